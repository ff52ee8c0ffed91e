/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SYNC_H
#define BLOCK_SYNC_H

#include "block/block.h"
#include "host/host.h"

/*
 * One request, waited for: for opening and closing, never on a path that a guest is on.
 * 0 or -errno.
 */
int block_sync(const struct alc_host *host, struct block *b, enum block_op op, u64 offset,
	       void *buf, size_t len);

#endif
