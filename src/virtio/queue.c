/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "virtio/queue_internal.h"

typedef unsigned long long ull; /* for %llx */

int virtq_create(const struct alc_host *host, struct alc_space *space, struct virtq_state *state,
		 struct virtq **out)
{
	struct virtq *q = host_alloc(host, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->host = host;
	q->space = space;
	q->state = state;
	*out = q;
	return 0;
}

void virtq_destroy(struct virtq *q)
{
	if (q)
		host_free(q->host, q, sizeof(*q));
}

/* ---- start and stop ---- */

static const struct ring_format *format_of(const struct virtq_config *c)
{
	return c->packed ? &packed_format : &split_format;
}

static int check_size(const struct virtq_config *c, struct alc_err *err)
{
	bool power = c->size && !(c->size & (c->size - 1));

	if (!c->size || c->size > VIRTQ_SIZE_MAX || (!c->packed && !power))
		return alc_fail(err, -EINVAL, "a queue can't have %u elements", c->size);
	return 0;
}

static int map_area(const struct virtq *q, const char *name, u64 addr,
		    const struct area_shape *shape, u16 size, struct area *out, struct alc_err *err)
{
	u64 len = shape->fixed + (u64)shape->each * size;
	struct alc_span span;

	if (addr % shape->align)
		return alc_fail(err, -EINVAL, "a queue's %s area at 0x%llx is not aligned to %u",
				name, (ull)addr, shape->align);
	if (!space_span(q->space, gpa(addr), len, &span) || span.len != len || span.rom)
		return alc_fail(err, -EINVAL, "a queue's %s area at 0x%llx is not in RAM", name,
				(ull)addr);
	*out = (struct area){
		.space = q->space,
		.hva = span.hva,
		.page = span.page,
		.page_off = page_offset(addr),
	};
	return 0;
}

struct areas {
	struct area desc, driver, device;
};

static int map_areas(const struct virtq *q, const struct virtq_config *c, struct areas *out,
		     struct alc_err *err)
{
	const struct ring_format *f = format_of(c);
	int r = check_size(c, err);

	if (!r)
		r = map_area(q, "descriptor", c->desc, &f->desc, c->size, &out->desc, err);
	if (!r)
		r = map_area(q, "driver", c->driver, &f->driver, c->size, &out->driver, err);
	if (!r)
		r = map_area(q, "device", c->device, &f->device, c->size, &out->device, err);
	return r;
}

static void run(struct virtq *q, const struct virtq_config *c, const struct areas *areas)
{
	q->desc = areas->desc;
	q->driver = areas->driver;
	q->device = areas->device;
	q->config = *c;
	q->format = format_of(c);
	q->put = q->state->next_used;
	q->put_wrap = q->state->used_wrap;
	q->held = 0;
	q->asked = true; /* as the driver found it: areas are zeroed before they are used */
}

int virtq_start(struct virtq *q, const struct virtq_config *c, struct alc_err *err)
{
	struct areas areas;
	u16 wrap = format_of(c)->first_wrap;
	int r = map_areas(q, c, &areas, err);

	if (r)
		return r;
	*q->state =
		(struct virtq_state){.avail_wrap = wrap, .used_wrap = wrap, .signalled_wrap = wrap};
	run(q, c, &areas);
	return 0;
}

int virtq_check(const struct virtq *q, const struct virtq_config *c, struct alc_err *err)
{
	struct areas areas;
	int r = map_areas(q, c, &areas, err);

	if (r)
		return r;
	if (q->state->broken > 1 || !format_of(c)->positions_ok(q->state, c->size))
		return alc_fail(err, -EINVAL, "a queue of %u elements can't be at %u, %u", c->size,
				q->state->next_avail, q->state->next_used);
	return 0;
}

void virtq_resume(struct virtq *q, const struct virtq_config *c)
{
	struct areas areas;

	if (map_areas(q, c, &areas, NULL))
		return;
	q->state->next_avail = q->state->next_used;
	q->state->avail_wrap = q->state->used_wrap;
	run(q, c, &areas);
	virtq_notify_enable(q, true);
}

void virtq_stop(struct virtq *q)
{
	q->format = NULL;
	*q->state = (struct virtq_state){.broken = 0};
}

bool virtq_started(const struct virtq *q)
{
	return q->format;
}

bool virtq_broken(const struct virtq *q)
{
	return q->state->broken;
}

u16 virtq_size(const struct virtq *q)
{
	return q->format ? q->config.size : 0;
}

/* ---- chains ---- */

int virtq_pop(struct virtq *q, struct virtq_chain *c)
{
	int r;

	if (!q->format)
		return 0;
	if (q->state->broken)
		return -EPROTO;
	c->nout = c->nin = 0;
	c->out_len = c->in_len = 0;
	r = q->format->pop(q, c);
	if (r < 0)
		q->state->broken = 1;
	/*
	 * The event moves along, so that who pops until there is nothing hears of the next chain:
	 * the fence stands between this store and the next pop's look at the ring.
	 */
	if (r > 0 && q->asked && q->config.event_idx) {
		q->format->ask(q, true);
		ring_fence();
	}
	return r;
}

void virtq_unpop(struct virtq *q, const struct virtq_chain *c)
{
	if (q->format)
		q->format->unpop(q, c);
}

void virtq_drop(struct virtq *q, const struct virtq_chain *c, u32 written)
{
	u64 left = written;

	for (unsigned i = c->nout; left && i < c->nout + c->nin; i++) {
		u64 len = min_u64(left, c->iov[i].len);

		space_note_host(q->space, c->iov[i].base, len);
		left -= len;
	}
}

void virtq_push_hold(struct virtq *q, const struct virtq_chain *c, u32 written)
{
	virtq_drop(q, c, written);
	if (!q->format)
		return;
	q->format->put(q, c, (u32)min_u64(written, c->in_len));
	q->held++;
}

void virtq_release(struct virtq *q)
{
	if (!q->format || !q->held)
		return;
	q->format->publish(q);
	q->state->next_used = q->put;
	q->state->used_wrap = q->put_wrap;
	q->held = 0;
}

void virtq_push(struct virtq *q, const struct virtq_chain *c, u32 written)
{
	virtq_push_hold(q, c, written);
	virtq_release(q);
}

bool virtq_wants_signal(struct virtq *q)
{
	struct virtq_state *s = q->state;
	bool wants;

	if (!q->format || (s->signalled == s->next_used && s->signalled_wrap == s->used_wrap))
		return false;
	ring_fence();
	wants = q->format->wants_signal(q);
	s->signalled = s->next_used;
	s->signalled_wrap = s->used_wrap;
	return wants;
}

bool virtq_notify_enable(struct virtq *q, bool on)
{
	if (!q->format)
		return false;
	q->asked = on;
	q->format->ask(q, on);
	if (!on)
		return false;
	ring_fence();
	return q->format->available(q);
}
