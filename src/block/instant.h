/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_INSTANT_H
#define BLOCK_INSTANT_H

#include "alcazar/err.h"
#include "block/block.h"
#include "host/host.h"

/*
 * In virtual time, a disk that takes the same time for each request, whatever the host takes. A
 * request goes to the back end at the instant at which it is done, and is waited for: so its data
 * reach guest memory, or leave it, at that instant, too. Latency 0: within submit, for stages above
 * that know how long it takes. In host time it passes everything on.
 *
 * A drain does not wait for guest time: what is under way is done early, in its order. Takes below
 * if it succeeds.
 */
int instant_create(const struct alc_host *host, u64 latency_ns, struct block *below,
		   struct block **out, struct alc_err *err) ALC_MUST_CHECK;

#endif
