/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_MODEL_SEGCACHE_H
#define BLOCK_MODEL_SEGCACHE_H

#include "alcazar/err.h"
#include "base/param.h"
#include "host/host.h"

/*
 * The read cache of a disk: which sectors it has, not their data. It is divided into segments of
 * equal size, each a ring that holds one contiguous range. Any segment may hold any range (fully
 * associative); the one that was taken first is replaced first (FIFO), whether it was hit or not.
 *
 * What is read from the medium, with the read-ahead behind it, goes to the segment that it
 * continues: one that holds its first sector or ends right before it (of several, the one that
 * reaches farthest). The ring wraps around: the sectors read last stay. If it continues none, the
 * oldest segment is taken. A write drops every segment that has one of its sectors.
 *
 * Drives use it, and schedulers that keep a shadow of their drive's. Pure, not thread-safe.
 */
struct segcache_params {
	u64 segments, sectors; /* and the size of each */
	u64 prefetch;          /* sectors of read-ahead; at most those of a segment count */
	bool keep_writes;      /* what is written is there for later reads */
};

/* Lines of a table of parameters; `at` is the offset of a struct segcache_params. */
/* clang-format off */
#define SEGCACHE_PARAMS(at)                                                                        \
	{"segments", "segments of the read cache", PARAM_COUNT,                                    \
	 (at) + offsetof(struct segcache_params, segments), "64", 1, SEGCACHE_SEGMENTS_MAX},       \
	{"sectors", "sectors in each segment of the read cache", PARAM_COUNT,                      \
	 (at) + offsetof(struct segcache_params, sectors), "221", 1, SEGCACHE_SECTORS_MAX},        \
	{"prefetch", "sectors that the drive reads ahead", PARAM_COUNT,                            \
	 (at) + offsetof(struct segcache_params, prefetch), "64", 0, SEGCACHE_SECTORS_MAX},        \
	{"keep-writes", "whether the read cache keeps what is written", PARAM_FLAG,                \
	 (at) + offsetof(struct segcache_params, keep_writes), "off", 0, 0}
/* clang-format on */

enum { SEGCACHE_SEGMENTS_MAX = 1 << 16, SEGCACHE_SECTORS_MAX = 1 << 30 };

struct segcache;

/* disk_sectors: read-ahead ends there. */
int segcache_create(const struct alc_host *host, const struct segcache_params *params,
		    u64 disk_sectors, struct segcache **out, struct alc_err *err) ALC_MUST_CHECK;
void segcache_destroy(struct segcache *c);

/* Whether one segment has all these sectors: what a read of them now would be. */
bool segcache_has(const struct segcache *c, u64 sector, u64 sectors);
/* A read: true if it hits, else it and its read-ahead are in the cache now. */
bool segcache_read(struct segcache *c, u64 sector, u64 sectors);
void segcache_write(struct segcache *c, u64 sector, u64 sectors);
/* These came from the medium, for drives that see to their read-ahead themselves. */
void segcache_fill(struct segcache *c, u64 sector, u64 sectors);

#endif
