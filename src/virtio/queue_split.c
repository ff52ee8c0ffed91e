/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "virtio/queue_internal.h"

/* Split virtqueues (virtio 1.2, 2.7). Positions count on through 65535; a slot is theirs % size. */

/* Both rings: u16 flags, u16 index, elements, and behind them the other side's event index. */
enum { RING_FLAGS = 0, RING_INDEX = 2, RING_ELEMENTS = 4, USED_ELEMENT = 8 };
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

static u64 used_event_at(const struct virtq *q)
{
	return RING_ELEMENTS + 2ull * q->config.size;
}

static u64 avail_event_at(const struct virtq *q)
{
	return RING_ELEMENTS + (u64)USED_ELEMENT * q->config.size;
}

static bool split_positions_ok(const struct virtq_state *s, u16 size)
{
	return (u16)(s->next_avail - s->next_used) <= size && !s->avail_wrap && !s->used_wrap &&
	       !s->signalled_wrap;
}

static bool split_available(const struct virtq *q)
{
	return ring_load16(&q->driver, RING_INDEX) != q->state->next_avail;
}

/* From `head` on, in the descriptor area. An indirect table may end the chain (2.7.5.3.2). */
static int walk(const struct virtq *q, struct virtq_chain *c, u16 head)
{
	u16 at = head;

	for (unsigned seen = 0; seen < q->config.size; seen++) {
		struct desc d;

		if (at >= q->config.size)
			return -EPROTO;
		d = desc_load_split(q->desc.hva + (size_t)at * DESC_SIZE);
		if (d.flags & DESC_INDIRECT)
			return chain_add_table(q, c, &d);
		if (chain_add(q, c, &d))
			return -EPROTO;
		if (!(d.flags & DESC_NEXT))
			return 0;
		at = d.last;
	}
	return -EPROTO; /* a loop, or longer than the queue */
}

static int split_pop(struct virtq *q, struct virtq_chain *c)
{
	struct virtq_state *s = q->state;
	u16 size = q->config.size;
	u16 index = ring_load16(&q->driver, RING_INDEX);
	u16 pending = (u16)(index - s->next_avail), out = (u16)(index - s->next_used);

	if (!pending)
		return 0;
	/* Every chain takes a descriptor, so no more than size are anybody's at one time. */
	if (pending > size || out > size)
		return -EPROTO;
	c->id = ld16(q->driver.hva + RING_ELEMENTS + 2 * (s->next_avail & (size - 1)));
	c->count = 1;
	if (walk(q, c, c->id))
		return -EPROTO;
	s->next_avail++;
	return 1;
}

static void split_unpop(struct virtq *q, const struct virtq_chain *c)
{
	q->state->next_avail--;
}

static void split_put(struct virtq *q, const struct virtq_chain *c, u32 written)
{
	u64 at = RING_ELEMENTS + (u64)USED_ELEMENT * (q->put & (q->config.size - 1));

	st64(q->device.hva + at, c->id | (u64)written << 32);
	space_note_span(q->space, q->device.page, q->device.page_off + at, USED_ELEMENT);
	q->put++;
}

static void split_publish(struct virtq *q)
{
	ring_store16(&q->device, RING_INDEX, q->put);
}

/* 2.7.7.2: is the event within what was pushed, (signalled, next_used]? */
static bool split_wants_signal(const struct virtq *q)
{
	const struct virtq_state *s = q->state;
	u16 event;

	if (!q->config.event_idx)
		return !(ring_load16(&q->driver, RING_FLAGS) & AVAIL_NO_INTERRUPT);
	event = ring_load16(&q->driver, used_event_at(q));
	return (u16)(s->next_used - event - 1) < (u16)(s->next_used - s->signalled);
}

static void split_ask(struct virtq *q, bool on)
{
	if (!q->config.event_idx)
		ring_store16(&q->device, RING_FLAGS, on ? 0 : USED_NO_NOTIFY);
	else if (on)
		ring_store16(&q->device, avail_event_at(q), q->state->next_avail);
	/* Off: the event stays where the driver has been already. */
}

const struct ring_format split_format = {
	.desc = {.fixed = 0, .each = DESC_SIZE, .align = 16},
	.driver = {.fixed = 6, .each = 2, .align = 2},
	.device = {.fixed = 6, .each = USED_ELEMENT, .align = 4},
	.first_wrap = 0,
	.positions_ok = split_positions_ok,
	.available = split_available,
	.pop = split_pop,
	.unpop = split_unpop,
	.put = split_put,
	.publish = split_publish,
	.wants_signal = split_wants_signal,
	.ask = split_ask,
};
