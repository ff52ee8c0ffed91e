/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_CATS_COMMON_H
#define BLOCK_SCHED_CATS_COMMON_H

#include "block/sched/antic.h"
#include "block/sched/burst.h"
#include "block/sched/made.h"
#include "block/sched/plan.h"
#include "block/sched/shadow.h"

/*
 * What CATS and its successor have in common: reads by algorithm T behind a shadow of the drive's
 * cache, writes in bursts, and idling for a process's next read. Embed as the first member.
 */
struct cats_params {
	u64 max_sectors, table_side;
	struct burst_params burst;
	struct antic_params antic;
	bool hit_first;
	struct segcache_params segcache;
};

/* Their rows in a class's table. */
#define CATS_PARAMS(type, member)                                                         \
	BURST_PARAMS(offsetof(type, member.burst)),                                       \
		{"antic_expire",                                                          \
		 "longest time to wait for the next read of a process; 0: none",          \
		 PARAM_TIME,                                                              \
		 offsetof(type, member.antic.expire_ns),                                  \
		 "5ms",                                                                   \
		 0,                                                                       \
		 1e12},                                                                   \
		{"table_side",  "most requests that T looks at on each side of the head", \
		 PARAM_COUNT,   offsetof(type, member.table_side),                        \
		 "64",          1,                                                        \
		 TABLE_SIDE_MAX},                                                         \
		{"hit_first",                                                             \
		 "serve first what the drive has in its cache",                           \
		 PARAM_FLAG,                                                              \
		 offsetof(type, member.hit_first),                                        \
		 "on",                                                                    \
		 0,                                                                       \
		 0},                                                                      \
		SEGCACHE_PARAMS(offsetof(type, member.segcache)),                         \
		MERGE_PARAM(type, member.max_sectors)

struct cats_common {
	struct made made;
	struct shadow shadow;
	struct burst writes;
	struct antic antic;
	struct plan plan;
	u64 head, sent;           /* where the drive is; requests that it got */
	struct disk_req *planned; /* the next read, as long as nothing has changed; or NULL */
};

/* shadowed: the cache has a shadow. On failure c is given back. */
int cats_common_init(struct cats_common *c, const struct sched_env *env,
		     const struct cats_params *p, bool shadowed, struct alc_err *err);
/* Of a class: the first member's own. */
void cats_common_destroy(struct sched *s);
void cats_common_done(struct sched *s, struct disk_req *r, u64 now_ns);

void cats_common_add(struct cats_common *c, struct disk_req *r, bool as_read, u64 now_ns);
/* The drive gets r, which has left its queue; a hit leaves the head where it is. Returns r. */
struct disk_req *cats_send(struct cats_common *c, struct disk_req *r, bool hit);
/* A read out of turn or in it. */
struct disk_req *cats_send_read(struct cats_common *c, struct disk_req *r);
struct disk_req *cats_send_write(struct cats_common *c);
/* Writes while there are no reads: a read may come, however. */
struct disk_req *cats_send_idle_write(struct cats_common *c, u64 now_ns, u64 *ask_ns);

#endif
