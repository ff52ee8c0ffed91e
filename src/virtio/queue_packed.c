/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "virtio/queue_internal.h"

/*
 * Packed virtqueues (virtio 1.2, 2.8): one ring in which driver and device overwrite each other's
 * descriptors, and wrap counters that tell new ones from old. A position is a slot and its wrap
 * counter.
 */
enum { FLAG_AVAIL = 1 << 7, FLAG_USED = 1 << 15 };
enum { DESC_ID = 12, DESC_FLAGS = 14 };
/* Event suppression structures (2.8.10): u16 position and wrap counter, u16 flags. */
enum { EVENT_WRAP = 1 << 15, EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2 };

struct position {
	u16 slot, wrap;
};

static struct position advance(struct position p, u16 by, u16 size)
{
	unsigned slot = (unsigned)p.slot + by;

	return slot < size ? (struct position){(u16)slot, p.wrap}
			   : (struct position){(u16)(slot - size), !p.wrap};
}

static struct position retreat(struct position p, u16 by, u16 size)
{
	return p.slot >= by ? (struct position){(u16)(p.slot - by), p.wrap}
			    : (struct position){(u16)(p.slot + size - by), !p.wrap};
}

/* Slots from a on to b: 0 to 2 * size - 1. */
static unsigned distance(struct position a, struct position b, u16 size)
{
	unsigned from = a.slot + (a.wrap ? 0u : size), to = b.slot + (b.wrap ? 0u : size);

	return to >= from ? to - from : to + 2u * size - from;
}

static struct position avail_of(const struct virtq_state *s)
{
	return (struct position){s->next_avail, s->avail_wrap};
}

static struct position used_of(const struct virtq_state *s)
{
	return (struct position){s->next_used, s->used_wrap};
}

static void set_avail(struct virtq_state *s, struct position p)
{
	s->next_avail = p.slot;
	s->avail_wrap = p.wrap;
}

static bool packed_positions_ok(const struct virtq_state *s, u16 size)
{
	return s->next_avail < size && s->next_used < size && s->signalled < size &&
	       s->avail_wrap <= 1 && s->used_wrap <= 1 && s->signalled_wrap <= 1 &&
	       distance(used_of(s), avail_of(s), size) <= size;
}

static u64 slot_at(u16 slot)
{
	return (u64)slot * DESC_SIZE;
}

/* 2.8.1: available is avail bit as the wrap counter, used bit not. */
static bool is_available(u16 flags, u16 wrap)
{
	bool avail = flags & FLAG_AVAIL, used = flags & FLAG_USED;

	return avail == wrap && used != wrap;
}

/* The flags say whether the rest is there to be read: so they are read first, with acquire. */
static struct desc load_slot(const struct virtq *q, u16 slot)
{
	u16 flags = ring_load16(&q->desc, slot_at(slot) + DESC_FLAGS);
	struct desc d = desc_load_packed(q->desc.hva + slot_at(slot));

	d.flags = flags;
	return d;
}

static bool packed_available(const struct virtq *q)
{
	const struct virtq_state *s = q->state;

	return is_available(ring_load16(&q->desc, slot_at(s->next_avail) + DESC_FLAGS),
			    s->avail_wrap);
}

/*
 * From p on, `room` slots at most. The driver makes a chain's first descriptor available last, so
 * the others must be. An indirect table is a chain by itself.
 */
static int walk(const struct virtq *q, struct virtq_chain *c, struct position p, unsigned room)
{
	while (room--) {
		struct desc d = load_slot(q, p.slot);

		c->count++;
		c->id = d.last;
		if (!is_available(d.flags, p.wrap))
			return -EPROTO;
		if (d.flags & DESC_INDIRECT)
			return c->count == 1 ? chain_add_table(q, c, &d) : -EPROTO;
		if (chain_add(q, c, &d))
			return -EPROTO;
		if (!(d.flags & DESC_NEXT))
			return 0;
		p = advance(p, 1, q->config.size);
	}
	return -EPROTO;
}

static int packed_pop(struct virtq *q, struct virtq_chain *c)
{
	struct virtq_state *s = q->state;
	u16 size = q->config.size;
	unsigned in_flight = distance(used_of(s), avail_of(s), size);

	if (!packed_available(q))
		return 0;
	c->count = 0;
	if (walk(q, c, avail_of(s), size - in_flight))
		return -EPROTO;
	set_avail(s, advance(avail_of(s), c->count, size));
	return 1;
}

static void packed_unpop(struct virtq *q, const struct virtq_chain *c)
{
	set_avail(q->state, retreat(avail_of(q->state), c->count, q->config.size));
}

static void packed_put(struct virtq *q, const struct virtq_chain *c, u32 written)
{
	struct position p = {q->put, q->put_wrap};
	u64 at = slot_at(p.slot);
	u16 flags = p.wrap ? FLAG_AVAIL | FLAG_USED : 0;

	if (written)
		flags |= DESC_WRITE;
	st32(q->desc.hva + at + 8, written);
	st16(q->desc.hva + at + DESC_ID, c->id);
	space_note_span(q->space, q->desc.page, q->desc.page_off + at + 8, 6);
	if (q->held)
		ring_store16(&q->desc, at + DESC_FLAGS, flags);
	else
		q->held_flags = flags;
	p = advance(p, c->count, q->config.size);
	q->put = p.slot;
	q->put_wrap = p.wrap;
}

/* The driver looks at them in order, so the first one's flags hold all of them back. */
static void packed_publish(struct virtq *q)
{
	ring_store16(&q->desc, slot_at(q->state->next_used) + DESC_FLAGS, q->held_flags);
}

/* 2.8.10: is the driver's event within what was pushed, [signalled, next_used)? */
static bool packed_wants_signal(const struct virtq *q)
{
	const struct virtq_state *s = q->state;
	struct position old = {s->signalled, s->signalled_wrap};
	u32 event = ring_load32(&q->driver, 0);
	u16 flags = (u16)(event >> 16) & 3, size = q->config.size;
	struct position at = {event & (EVENT_WRAP - 1), event & EVENT_WRAP ? 1 : 0};

	if (flags != EVENT_DESC || !q->config.event_idx)
		return flags != EVENT_DISABLE;
	/* A slot that isn't there is a driver's mistake, in which too many interrupts harm least.
	 */
	return at.slot >= size || distance(old, at, size) < distance(old, used_of(s), size);
}

static void packed_ask(struct virtq *q, bool on)
{
	const struct virtq_state *s = q->state;
	u32 event = (u32)EVENT_DISABLE << 16;

	if (on && q->config.event_idx)
		event = (u32)EVENT_DESC << 16 | (s->avail_wrap ? EVENT_WRAP : 0) | s->next_avail;
	else if (on)
		event = EVENT_ENABLE;
	ring_store32(&q->device, 0, event);
}

const struct ring_format packed_format = {
	.desc = {.fixed = 0, .each = DESC_SIZE, .align = 16},
	.driver = {.fixed = 4, .each = 0, .align = 4},
	.device = {.fixed = 4, .each = 0, .align = 4},
	.first_wrap = 1,
	.positions_ok = packed_positions_ok,
	.available = packed_available,
	.pop = packed_pop,
	.unpop = packed_unpop,
	.put = packed_put,
	.publish = packed_publish,
	.wants_signal = packed_wants_signal,
	.ask = packed_ask,
};
