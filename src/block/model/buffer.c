/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/model/buffer.h"

#include "base/errno.h"

/* A heap by the time of leaving, then of coming, over slots that are also in a hash by unit. */
enum { NONE = -1 };

struct slot {
	u64 unit, leaves_ns, order;
	i32 next; /* of its bucket, or of the free ones */
};

struct buffer {
	const struct alc_host *host;
	u32 n, max, mask;
	i32 free_slots;
	u64 puts;
	struct slot *slots;
	u32 *heap;
	i32 *buckets;
};

static i32 *bucket_of(const struct buffer *b, u64 unit)
{
	return &b->buckets[(u32)(unit * 0x9e3779b97f4a7c15ull >> 32) & b->mask];
}

/* ---- Heap --------------------------------------------------------------------------------- */

static const struct slot *slot_at(const struct buffer *b, u32 at)
{
	return &b->slots[b->heap[at]];
}

static bool is_before(const struct buffer *b, u32 i, u32 k)
{
	const struct slot *x = slot_at(b, i), *y = slot_at(b, k);

	return x->leaves_ns < y->leaves_ns || (x->leaves_ns == y->leaves_ns && x->order < y->order);
}

static void swap(struct buffer *b, u32 i, u32 k)
{
	u32 slot = b->heap[i];

	b->heap[i] = b->heap[k];
	b->heap[k] = slot;
}

static void rise(struct buffer *b, u32 at)
{
	for (; at && is_before(b, at, (at - 1) / 2); at = (at - 1) / 2)
		swap(b, at, (at - 1) / 2);
}

static void sink(struct buffer *b, u32 at)
{
	for (;;) {
		u32 least = at;

		for (u32 child = 2 * at + 1; child <= 2 * at + 2 && child < b->n; child++)
			if (is_before(b, child, least))
				least = child;
		if (least == at)
			return;
		swap(b, at, least);
		at = least;
	}
}

/* ---- Use ---------------------------------------------------------------------------------- */

bool buffer_has(const struct buffer *b, u64 unit)
{
	i32 i = *bucket_of(b, unit);

	while (i != NONE && b->slots[i].unit != unit)
		i = b->slots[i].next;
	return i != NONE;
}

bool buffer_is_full(const struct buffer *b)
{
	return b->n == b->max;
}

u64 buffer_drop(struct buffer *b)
{
	i32 slot = (i32)b->heap[0];
	i32 *at = bucket_of(b, b->slots[slot].unit);

	while (*at != slot)
		at = &b->slots[*at].next;
	*at = b->slots[slot].next;
	b->slots[slot].next = b->free_slots;
	b->free_slots = slot;
	b->heap[0] = b->heap[--b->n];
	sink(b, 0);
	return b->slots[slot].leaves_ns;
}

void buffer_forget(struct buffer *b, u64 now_ns)
{
	while (b->n && slot_at(b, 0)->leaves_ns <= now_ns)
		buffer_drop(b);
}

void buffer_put(struct buffer *b, u64 unit, u64 leaves_ns)
{
	i32 slot = b->free_slots, *bucket = bucket_of(b, unit);

	b->free_slots = b->slots[slot].next;
	b->slots[slot] = (struct slot){unit, leaves_ns, b->puts++, *bucket};
	*bucket = slot;
	b->heap[b->n] = (u32)slot;
	rise(b, b->n++);
}

/* ---- Life --------------------------------------------------------------------------------- */

void buffer_destroy(struct buffer *b)
{
	if (!b)
		return;
	host_free(b->host, b->slots, b->max * sizeof(*b->slots));
	host_free(b->host, b->heap, b->max * sizeof(*b->heap));
	host_free(b->host, b->buckets, ((size_t)b->mask + 1) * sizeof(*b->buckets));
	host_free(b->host, b, sizeof(*b));
}

static void link_all(struct buffer *b)
{
	for (u32 i = 0; i <= b->mask; i++)
		b->buckets[i] = NONE;
	for (u32 i = 0; i < b->max; i++)
		b->slots[i].next = i + 1 < b->max ? (i32)(i + 1) : NONE;
}

int buffer_create(const struct alc_host *host, u32 max, struct buffer **out, struct alc_err *err)
{
	struct buffer *b = host_alloc(host, sizeof(*b));

	if (!b)
		return alc_fail(err, -ENOMEM, "no memory for a drive model");
	*b = (struct buffer){.host = host, .max = max, .mask = 15};
	while (b->mask < 2 * max)
		b->mask = 2 * b->mask + 1;
	b->slots = host_alloc(host, max * sizeof(*b->slots));
	b->heap = host_alloc(host, max * sizeof(*b->heap));
	b->buckets = host_alloc(host, ((size_t)b->mask + 1) * sizeof(*b->buckets));
	if (!b->slots || !b->heap || !b->buckets) {
		buffer_destroy(b);
		return alc_fail(err, -ENOMEM, "no memory for a drive model");
	}
	link_all(b);
	*out = b;
	return 0;
}
