/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOST_ENTROPY_H
#define HOST_ENTROPY_H

#include "host/host.h"

/*
 * Random bytes for a guest: the host's, or a sequence that follows from a seed, for machines whose
 * runs are to be equal. A sequence has one user at a time.
 */
struct alc_entropy {
	u64 state; /* at first the seed: any will do */
};

/* e NULL: the host's. */
void entropy_fill(const struct alc_host *host, struct alc_entropy *e, void *buf, size_t len);

#endif
