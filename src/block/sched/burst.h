/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_BURST_H
#define BLOCK_SCHED_BURST_H

#include "block/sched/queue.h"

/*
 * Writes that go up the disk in bursts (C-SCAN), so that reads are disturbed seldom.
 *
 * A burst begins when a write has waited for `most_ns`, or for `least_ns` while there are no reads.
 * It ends when no write has waited for least_ns, or as many are served as waited at its beginning;
 * one of the second kind also when a read comes. After one of the first kind as many reads go
 * first, if they wait, so that neither starves the other.
 */
struct burst_params {
	u64 most_ns, least_ns;
};

/* clang-format off */
#define BURST_PARAMS(at)                                                                           \
	{"max_writedelay", "time after which a write begins a burst", PARAM_TIME,                  \
	 (at) + offsetof(struct burst_params, most_ns), "1s", 0, 1e12},                            \
	{"min_writedelay", "the same while there are no reads; younger writes end a burst",        \
	 PARAM_TIME, (at) + offsetof(struct burst_params, least_ns), "50ms", 0, 1e12}
/* clang-format on */

enum burst_kind { BURST_NONE, BURST_IDLE, BURST_FORCED };

struct burst {
	struct burst_params params;
	struct merge_rules rules;
	struct queue queue;
	u64 head;
	enum burst_kind kind;
	unsigned left; /* of this burst */
	unsigned owed; /* reads to go before the next */
};

void burst_init(struct burst *b, const struct burst_params *params, u64 max_sectors);
void burst_add(struct burst *b, struct disk_req *r, u64 now_ns);
/* Which burst there is now; there are writes then. */
enum burst_kind burst_look(struct burst *b, bool reads_wait, u64 now_ns);
/* The next write of the burst. */
struct disk_req *burst_take(struct burst *b);
/* A read goes. */
static inline void burst_passed(struct burst *b)
{
	b->owed -= b->owed > 0;
}
/* When a burst of that kind will be due; DISK_NEVER: it is, or there are no writes. */
u64 burst_ask_ns(const struct burst *b, enum burst_kind kind, u64 now_ns);

#endif
