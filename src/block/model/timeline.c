/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/model/timeline.h"

static void drop_first(struct timeline *t)
{
	t->first++;
	t->n--;
}

void timeline_forget(struct timeline *t, u64 now_ns)
{
	while (t->n && t->busy[t->first].end_ns <= now_ns)
		drop_first(t);
}

/* The first stretch that ends after ns. */
static unsigned find(const struct timeline *t, u64 ns)
{
	unsigned low = t->first, high = t->first + t->n;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (t->busy[mid].end_ns <= ns)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void move(struct timeline *t, unsigned from, unsigned to, unsigned n)
{
	__builtin_memmove(&t->busy[to], &t->busy[from], n * sizeof(*t->busy));
}

static void insert(struct timeline *t, unsigned at, u64 begin_ns, u64 end_ns)
{
	if (t->first + t->n == ARRAY_LEN(t->busy)) {
		move(t, t->first, 0, t->n);
		at -= t->first;
		t->first = 0;
	}
	move(t, at, at + 1, t->first + t->n - at);
	t->busy[at] = (struct stretch){begin_ns, end_ns};
	t->n++;
	if (t->n <= TIMELINE_MAX)
		return;
	t->busy[t->first + 1].begin_ns = t->busy[t->first].begin_ns;
	drop_first(t);
}

/* A stretch before `at` that touches none but perhaps its neighbours. */
static void put(struct timeline *t, unsigned at, u64 begin_ns, u64 end_ns)
{
	bool before = at > t->first && t->busy[at - 1].end_ns == begin_ns;
	bool behind = at < t->first + t->n && t->busy[at].begin_ns == end_ns;

	if (before && behind) {
		t->busy[at - 1].end_ns = t->busy[at].end_ns;
		move(t, at + 1, at, t->first + t->n - at - 1);
		t->n--;
	} else if (before) {
		t->busy[at - 1].end_ns = end_ns;
	} else if (behind) {
		t->busy[at].begin_ns = begin_ns;
	} else {
		insert(t, at, begin_ns, end_ns);
	}
}

u64 timeline_reserve(struct timeline *t, u64 ready_ns, u64 length_ns)
{
	unsigned at = find(t, ready_ns);
	u64 begin_ns = ready_ns;

	if (!length_ns)
		return ready_ns;
	for (; at < t->first + t->n && t->busy[at].begin_ns < begin_ns + length_ns; at++)
		begin_ns = t->busy[at].end_ns;
	put(t, at, begin_ns, begin_ns + length_ns);
	return begin_ns + length_ns;
}
