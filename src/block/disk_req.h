/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_DISK_REQ_H
#define BLOCK_DISK_REQ_H

#include "block/block.h"

/*
 * A request as disk schedulers and drive models see it: a range of sectors and instants, no data.
 * Only reads and writes come here; flushes and discards pass by (block/stage.h).
 *
 * Schedulers and models are pure: they know no clock, and do what they do at the instants they are
 * given, which never decrease. The same calls at the same instants give the same answers. They are
 * not thread-safe; whoever drives them serialises the calls.
 */
enum { SECTOR_BYTES = 512 };
#define DISK_NEVER UINT64_MAX /* an instant that does not come */

/* What those who know their issuers say about them; the rest are best effort. */
enum disk_prio { DISK_BEST_EFFORT, DISK_REAL_TIME, DISK_IDLE };

struct disk_req {
	struct disk_req *next; /* of whoever holds it */
	u64 sector;            /* what was asked for */
	u32 sectors;           /* at least 1 */
	enum block_op op;      /* BLOCK_READ or BLOCK_WRITE */
	bool sync;  /* somebody waits for it: reads, and writes that are not write-back */
	u32 issuer; /* whose it is: a process, a queue */
	enum disk_prio prio;
	u64 arrival_ns, dispatch_ns, done_ns;

	/*
	 * What the drive is asked for. A scheduler that coalesces widens the span of the request
	 * that it dispatches, and hangs those that it serves on `merged` (linked by next, each with
	 * its own range, none with a `merged` of its own); all are done when it is. Else the span
	 * is the request's own range. When all are done, the span of a merged one is empty
	 * (span_sectors 0): the drive was not asked for it apart.
	 */
	u64 span_sector;
	u32 span_sectors;
	struct disk_req *merged;
	bool cached; /* set by the drive: served from its cache */

	u64 sched_use[8]; /* the scheduler's own, from add to dispatch and done */
	u64 drive_use[8]; /* the drive's own, from submit to take */
};

static inline u64 disk_req_end(const struct disk_req *r)
{
	return r->sector + r->sectors;
}

#endif
