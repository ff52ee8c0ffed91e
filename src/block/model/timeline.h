/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_MODEL_TIMELINE_H
#define BLOCK_MODEL_TIMELINE_H

#include "base/bits.h"

/*
 * When a thing that does one thing at a time is busy, as far as it has been promised. Work may go
 * into a gap between promises, so what comes later doesn't hold up what is ready sooner.
 *
 * It remembers so many stretches of work; if there are more, the gap between the first two counts
 * as busy.
 */
enum { TIMELINE_MAX = 1024 };

struct stretch {
	u64 begin_ns, end_ns;
};

struct timeline {
	unsigned first, n;
	struct stretch busy[2 * TIMELINE_MAX]; /* [first, first + n), in order, never touching */
};

/* Promises the first gap of that length from ready_ns on; returns when it ends. */
u64 timeline_reserve(struct timeline *t, u64 ready_ns, u64 length_ns);
/* Nothing will be ready before now_ns any more. */
void timeline_forget(struct timeline *t, u64 now_ns);

#endif
