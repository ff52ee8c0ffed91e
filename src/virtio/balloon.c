/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio/balloon.h"

#include "alcazar/device.h"
#include "base/errno.h"
#include "base/fmt.h"
#include "virtio/virtio.h"

/*
 * Memory balloon (virtio 1.2, 5.5): pages that the guest gives up, and pages that it reports as
 * free, go back to the host at once. A page that is used again is simply there again, zeroed, so
 * deflating takes nothing.
 *
 * Queues: the specification gives each optional queue a number of its own, Linux numbers those
 * that were agreed on without gaps. With statistics and reporting the only ones offered, both can
 * be served: queue 2 is for statistics if those were agreed on, and what comes behind is for
 * reports.
 */
enum { ID_BALLOON = 5, PCI_CLASS_MEMORY_OTHER = 0x058000 };
enum { F_STATS = 2, F_DEFLATE_ON_OOM = 4, F_PAGE_POISON = 16, F_PAGE_REPORTING = 32 };
enum { CONFIG_NUM_PAGES = 0, CONFIG_ACTUAL = 4, CONFIG_POISON = 12, CONFIG_SIZE = 16 };
enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_STATS, QUEUES = 5 };
/* Drivers send 256 pages at a time; what is far beyond that would only hold up a vCPU. */
enum { CHAIN_PFNS_MAX = 16384 };
enum { PIECES_MAX = 128, PFNS_MAX = 256, STAT_SIZE = 10, STATS_MAX = 32 };

struct config {
	struct virtio_options virtio;
	u64 size;
	bool deflate_on_oom, reporting;
};

struct state {
	struct virtio_regs virtio;
	u32 num_pages, actual, poison, known;
	u64 stats[BALLOON_STATS];
};

struct priv {
	u32 target; /* pages; outlives resets by the driver */
	u64 returned;
	bool told; /* the operator, that the host takes nothing back */
};

static struct state *state_of(const struct virtio *v)
{
	return v->dev->state;
}

static struct priv *priv_of(const struct virtio *v)
{
	return v->priv;
}

static void complain(struct virtio *v, int error)
{
	const struct alc_host *h = v->dev->env.host;
	char text[ALC_ERR_TEXT_MAX];

	if (priv_of(v)->told)
		return;
	priv_of(v)->told = true;
	fmt_text(text, sizeof(text), "device '%s': the host takes no memory back (error %d)",
		 v->dev->id, -error);
	h->log(h->ctx, ALC_LOG_WARN, text);
}

/* What is not RAM can't be given back; that a guest tries is no harm. */
static void give_back(struct virtio *v, u8 *hva, u64 len)
{
	int r = space_discard(v->dev->env.space, hva, len);

	if (!r)
		priv_of(v)->returned += len;
	else if (r != -EFAULT)
		complain(v, r);
}

/* ---- inflating ---- */

/* Neighbours are given back together: a guest finds free memory in runs, up or down. */
struct run {
	u8 *hva;
	u64 len;
};

static void end_run(struct virtio *v, struct run *r)
{
	if (r->len)
		give_back(v, r->hva, r->len);
	r->len = 0;
}

static void add_page(struct virtio *v, struct run *r, u32 pfn)
{
	struct alc_span span;

	if (!space_span(v->dev->env.space, gpa((u64)pfn << ALC_PAGE_SHIFT), ALC_PAGE_SIZE, &span) ||
	    span.rom)
		return;
	if (r->len && span.hva == r->hva + r->len) {
		r->len += ALC_PAGE_SIZE;
	} else if (r->len && span.hva + ALC_PAGE_SIZE == r->hva) {
		r->hva = span.hva;
		r->len += ALC_PAGE_SIZE;
	} else {
		end_run(v, r);
		*r = (struct run){span.hva, ALC_PAGE_SIZE};
	}
}

static void inflate_chain(struct virtio *v, const struct virtq_chain *c)
{
	struct run run = {NULL, 0};
	u8 pfns[PFNS_MAX * 4];
	u64 at = 0;
	size_t n;

	do {
		n = iov_copy_from(c->iov, c->nout, at, pfns, sizeof(pfns)) / 4;
		for (size_t i = 0; i < n; i++)
			add_page(v, &run, ld32(pfns + 4 * i));
		at += n * 4;
	} while (n == PFNS_MAX && at < CHAIN_PFNS_MAX * 4);
	end_run(v, &run);
}

/* ---- statistics ---- */

/* The driver's buffer stays in the ring, until it is asked for another. */
static void read_stats(struct virtio *v, const struct virtq_chain *c)
{
	struct state *s = state_of(v);
	u8 bytes[STATS_MAX * STAT_SIZE];
	size_t n = iov_copy_from(c->iov, c->nout, 0, bytes, sizeof(bytes)) / STAT_SIZE;

	for (size_t i = 0; i < n; i++) {
		u16 tag = ld16(bytes + i * STAT_SIZE);

		if (tag >= BALLOON_STATS)
			continue;
		s->stats[tag] = ld64(bytes + i * STAT_SIZE + 2);
		s->known |= (u32)BIT(tag);
	}
}

static void look_at_stats(struct virtio *v)
{
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain c = {.iov = iov, .iov_max = PIECES_MAX};

	if (!virtio_pop(v, QUEUE_STATS, &c))
		return;
	read_stats(v, &c);
	virtq_unpop(v->queues[QUEUE_STATS], &c);
}

void virtio_balloon_ask(struct alc_dev *d)
{
	struct virtio *v = virtio_of(d);
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain c = {.iov = iov, .iov_max = PIECES_MAX};

	dev_lock(d);
	if (virtio_has(v, F_STATS) && virtio_pop(v, QUEUE_STATS, &c))
		virtio_push(v, QUEUE_STATS, &c, 0);
	dev_unlock(d);
}

/* ---- queues ---- */

/* A driver that poisons free pages wants them back as it left them (5.5.6.6.2). */
static void report_chain(struct virtio *v, const struct virtq_chain *c)
{
	if (virtio_has(v, F_PAGE_POISON) && state_of(v)->poison)
		return;
	for (unsigned i = c->nout; i < c->nout + c->nin; i++)
		give_back(v, c->iov[i].base, c->iov[i].len);
}

static void balloon_notify(struct virtio *v, unsigned queue)
{
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain c = {.iov = iov, .iov_max = PIECES_MAX};

	if (queue == QUEUE_STATS && virtio_has(v, F_STATS)) {
		look_at_stats(v);
		return;
	}
	while (virtio_pop(v, queue, &c)) {
		if (queue == QUEUE_INFLATE)
			inflate_chain(v, &c);
		else if (queue != QUEUE_DEFLATE && virtio_has(v, F_PAGE_REPORTING))
			report_chain(v, &c);
		virtio_push(v, queue, &c, 0);
	}
}

/* ---- configuration ---- */

static void balloon_config(struct virtio *v, u8 *out)
{
	const struct state *s = state_of(v);

	st32(out + CONFIG_NUM_PAGES, s->num_pages);
	st32(out + CONFIG_ACTUAL, s->actual);
	st32(out + CONFIG_POISON, s->poison);
}

static void balloon_config_written(struct virtio *v, const u8 *bytes, unsigned off, unsigned len)
{
	struct state *s = state_of(v);

	s->actual = ld32(bytes + CONFIG_ACTUAL);
	s->poison = ld32(bytes + CONFIG_POISON);
}

void virtio_balloon_set_target(struct alc_dev *d, u64 bytes)
{
	struct virtio *v = virtio_of(d);
	u32 pages = (u32)min_u64(bytes >> ALC_PAGE_SHIFT, UINT32_MAX);

	dev_lock(d);
	priv_of(v)->target = pages;
	if (state_of(v)->num_pages != pages) {
		state_of(v)->num_pages = pages;
		virtio_config_changed(v);
	}
	dev_unlock(d);
}

void virtio_balloon_info(struct alc_dev *d, struct virtio_balloon_info *out)
{
	struct virtio *v = virtio_of(d);
	const struct state *s = d->state;

	dev_lock(d);
	*out = (struct virtio_balloon_info){
		.target = (u64)s->num_pages << ALC_PAGE_SHIFT,
		.actual = (u64)s->actual << ALC_PAGE_SHIFT,
		.returned = priv_of(v)->returned,
		.known = s->known,
	};
	__builtin_memcpy(out->stats, s->stats, sizeof(out->stats));
	dev_unlock(d);
}

/* ---- the type ---- */

static int balloon_probe(struct virtio *v, struct alc_err *err)
{
	const struct config *c = v->dev->config;

	v->offers = F_STATS | F_PAGE_POISON;
	if (c->deflate_on_oom)
		v->offers |= F_DEFLATE_ON_OOM;
	if (c->reporting)
		v->offers |= F_PAGE_REPORTING;
	v->nqueues = QUEUES;
	v->queue_size[QUEUE_STATS] = 16;
	priv_of(v)->target = (u32)(c->size >> ALC_PAGE_SHIFT);
	return 0;
}

static void balloon_reset(struct virtio *v)
{
	state_of(v)->num_pages = priv_of(v)->target;
}

/* After a load the target is the snapshot's. */
static void balloon_start(struct virtio *v)
{
	priv_of(v)->target = state_of(v)->num_pages;
}

/* No chain is kept from one call to the next. */
static void balloon_stop(struct virtio *v)
{
}

static void balloon_stop_queue(struct virtio *v, unsigned queue)
{
}

static int balloon_check(struct virtio *v, struct alc_err *err)
{
	if (state_of(v)->known >> BALLOON_STATS)
		return alc_fail(err, -EINVAL,
				"device '%s': snapshot has statistics that nobody knows",
				v->dev->id);
	return 0;
}

static const struct virtio_type type = {
	.id = ID_BALLOON,
	.class_code = PCI_CLASS_MEMORY_OTHER,
	.priv_size = sizeof(struct priv),
	.config_size = CONFIG_SIZE,
	.probe = balloon_probe,
	.config = balloon_config,
	.config_written = balloon_config_written,
	.start = balloon_start,
	.notify = balloon_notify,
	.stop = balloon_stop,
	.stop_queue = balloon_stop_queue,
	.reset = balloon_reset,
	.check = balloon_check,
};

#define SIZE_MAX_BYTES 0xffffffff000
#define OPTIONS(P)                                                    \
	VIRTIO_OPTIONS(P)                                             \
	P(struct config, UINT, size, "0", 0, SIZE_MAX_BYTES,          \
	  "bytes that the guest is to give up, at first")             \
	P(struct config, BOOL, deflate_on_oom, "on", 0, 0,            \
	  "the guest may take memory back rather than run out of it") \
	P(struct config, BOOL, reporting, "on", 0, 0, "the guest may report free pages")
static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};

static const struct alc_field fields[] = {
	VIRTIO_FIELDS,
	FIELD(struct state, num_pages),
	FIELD(struct state, actual),
	FIELD(struct state, poison),
	FIELD(struct state, known),
	FIELD_ARRAY(struct state, stats),
	FIELD_END,
};

extern const struct alc_dev_class virtio_balloon_class;
const struct alc_dev_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.summary = "takes memory from the guest and gives it back to the host",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.config_size = sizeof(struct config),
	.props = props,
	.options = options,
	VIRTIO_CLASS_OPS(type),
};
