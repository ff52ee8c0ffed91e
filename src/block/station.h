/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_STATION_H
#define BLOCK_STATION_H

#include "block/model/model.h"
#include "block/sched/sched.h"

/*
 * A scheduler in front of a drive: what a disk does with its requests, as a pure function of time.
 * The stage of a guest's disk and the simulator without a guest both drive this, and nothing else;
 * so they cannot differ in it.
 *
 * Not thread-safe; instants never decrease.
 */
struct station {
	struct sched *sched;
	struct drive *drive;
	unsigned waiting, inside; /* requests in the scheduler; in the drive, merged ones apart */
	u64 ask_ns;               /* when the scheduler wants to be asked again */
};

/* Takes both; they stay the caller's to destroy. */
void station_init(struct station *st, struct sched *sched, struct drive *drive);

/* A new request: sets arrival_ns, span, merged. Follow by station_advance at the same instant. */
void station_add(struct station *st, struct disk_req *r, u64 now_ns);

/*
 * Brings everything up to now_ns: takes what is done and gives the drive what it has room for, in
 * order of time. Returns the list (by next) of requests that are done, merged ones included, in
 * order of done_ns; *next_ns is the next instant at which something will happen by itself, or
 * DISK_NEVER. Exact only if it is called at each *next_ns, not later.
 */
struct disk_req *station_advance(struct station *st, u64 now_ns, u64 *next_ns);

#endif
