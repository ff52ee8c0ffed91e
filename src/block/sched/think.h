/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_THINK_H
#define BLOCK_SCHED_THINK_H

#include "block/sched/node.h"

/*
 * What an issuer does between two requests: how long it thinks when it waits for none, and how far
 * from the end of the last the next begins. Means that forget: the last of them counts an eighth.
 * Zeroed: nothing known.
 */
struct think {
	u64 done_ns;  /* when the last request was done */
	u64 last_end; /* behind the last request */
	u64 mean_ns, mean_sectors;
	u32 waiting;         /* requests not yet done */
	u8 times, distances; /* how many samples, up to THINK_SURE */
	bool has_done;
};

enum {
	THINK_SURE = 3,
	THINK_FAR = 128 * 1024, /* one leap alone doesn't make a process one that seeks */
};

static inline u64 think_mean(u64 mean, u64 sample, u8 *samples)
{
	if (!*samples)
		mean = sample;
	if (*samples < THINK_SURE)
		++*samples;
	return mean - mean / 8 + sample / 8;
}

/* most_ns: longer pauses count as that long, so that one of them is soon forgotten. */
static inline void think_asked(struct think *t, const struct disk_req *r, u64 now_ns, u64 most_ns)
{
	if (t->has_done) {
		u64 away = distance_of(r->sector, t->last_end);

		if (t->distances)
			away = min_u64(away, 4 * t->mean_sectors + THINK_FAR);
		if (!t->waiting)
			t->mean_ns = think_mean(t->mean_ns, min_u64(now_ns - t->done_ns, most_ns),
						&t->times);
		t->mean_sectors = think_mean(t->mean_sectors, away, &t->distances);
	}
	t->last_end = disk_req_end(r);
	t->waiting++;
}

static inline void think_done(struct think *t, u64 now_ns)
{
	t->waiting--;
	t->done_ns = now_ns;
	t->has_done = true;
}

static inline bool think_known(const struct think *t)
{
	return t->times >= THINK_SURE && t->distances >= THINK_SURE;
}

#endif
