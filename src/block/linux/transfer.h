/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_LINUX_TRANSFER_H
#define BLOCK_LINUX_TRANSFER_H

#include "block/block.h"

/* Requests on a file, done by the calling thread. */
struct transfer {
	int fd;
	bool device; /* a block device */
	u32 align;   /* of memory and offsets, for O_DIRECT; 0: none asked for */
};

/*
 * Does r, of whose data `done` bytes are transferred already. 0 or -errno; -ENODATA: the file ends
 * before the request does.
 */
int transfer_run(const struct transfer *t, const struct block_req *r, u64 done);
/* Can the kernel take r's memory as it is? */
bool transfer_aligned(const struct transfer *t, const struct block_req *r);

#endif
