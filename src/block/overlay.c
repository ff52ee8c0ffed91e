/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/overlay.h"

#include "base/errno.h"
#include "block/overlay_internal.h"
#include "block/sync.h"

/* The stage's life, and the runner: see overlay_internal.h. */

static void list_init(struct job_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void list_add(struct job_list *l, struct job *j)
{
	j->next = NULL;
	*l->end = j;
	l->end = &j->next;
}

static struct job *list_take(struct job_list *l)
{
	struct job *j = l->first;

	if (j) {
		l->first = j->next;
		if (!l->first)
			l->end = &l->first;
	}
	return j;
}

static void lock(const struct overlay *o)
{
	host_lock(o->host, o->lock);
}

static void unlock(const struct overlay *o)
{
	host_unlock(o->host, o->lock);
}

/* ---- the runner ---- */

/* With the lock held: a job that can go on, or a new one for a request that waits. */
static struct job *next_work(struct overlay *o)
{
	struct job *j = list_take(&o->ready);

	if (j || !o->backlog || !o->free)
		return j;
	j = o->free;
	o->free = j->next;
	j->req = o->backlog;
	o->backlog = j->req->next;
	if (!o->backlog)
		o->backlog_end = &o->backlog;
	j->status = 0;
	j->at = 0;
	j->after = NULL;
	return j;
}

static void run(struct overlay *o)
{
	struct job *j;

	lock(o);
	if (o->runs) {
		unlock(o);
		return;
	}
	o->runs = true;
	while ((j = next_work(o))) {
		unlock(o);
		job_run(j);
		lock(o);
	}
	o->runs = false;
	if (o->draining && !o->active)
		o->host->event_signal(o->host->ctx, o->idle);
	unlock(o);
}

static void make_ready(struct job *j)
{
	lock(j->o);
	list_add(&j->o->ready, j);
	unlock(j->o);
}

static void step_done(struct block_req *sub)
{
	struct job *j = sub->ctx;
	struct overlay *o = j->o;

	if (sub->status && !j->status)
		j->status = sub->status;
	make_ready(j);
	run(o);
}

void job_submit(struct job *j, struct block *to, void (*after)(struct job *j))
{
	j->after = after;
	j->sub.done = step_done;
	j->sub.ctx = j;
	block_submit(to, &j->sub);
}

void job_wait(struct job *j)
{
	list_add(&j->o->waiting, j);
}

void job_wake_waiting(struct overlay *o)
{
	struct job *j;

	while ((j = list_take(&o->waiting)))
		make_ready(j);
}

void job_finish(struct job *j)
{
	struct overlay *o = j->o;
	struct block_req *r = j->req;

	r->status = j->status;
	r->done(r);
	j->req = NULL;
	lock(o);
	j->next = o->free;
	o->free = j;
	o->active--;
	unlock(o);
}

/* ---- the stage ---- */

/* What can be told at once is. */
static struct block_req *refuse_wrong(struct overlay *o, struct block_req *list)
{
	struct block_req *good = NULL, **end = &good;

	while (list) {
		struct block_req *r = list;

		list = r->next;
		r->next = NULL;
		r->status = block_check(&o->block.info, r->op, r->offset, r->len);
		if (r->status) {
			r->done(r);
			continue;
		}
		*end = r;
		end = &r->next;
	}
	return good;
}

static void overlay_submit(struct block *b, struct block_req *list)
{
	struct overlay *o = container_of(b, struct overlay, block);

	list = refuse_wrong(o, list);
	if (!list)
		return;
	lock(o);
	*o->backlog_end = list;
	for (; list; list = list->next) {
		o->active++;
		o->backlog_end = &list->next;
	}
	unlock(o);
	run(o);
}

static bool is_busy(struct overlay *o)
{
	bool busy;

	lock(o);
	busy = o->active || o->runs;
	o->draining = busy;
	unlock(o);
	return busy;
}

/* At last those below: they may still be on their way out of step_done. */
static void overlay_drain(struct block *b)
{
	struct overlay *o = container_of(b, struct overlay, block);

	while (is_busy(o))
		o->host->event_wait(o->host->ctx, o->idle, ALC_WAIT_FOREVER);
	block_drain(o->base);
	block_drain(o->store);
}

static void overlay_free(struct overlay *o)
{
	const struct alc_host *h = o->host;

	overlay_map_destroy(o);
	host_free(h, o->bounce, o->cluster * OVERLAY_JOBS);
	host_free(h, o->zeroes, o->cluster);
	h->event_destroy(h->ctx, o->idle);
	h->mutex_destroy(h->ctx, o->lock);
	host_free(h, o, sizeof(*o));
}

/* Bits are written at flushes only, and a guest that ends well need not have made one. */
static void overlay_close(struct block *b)
{
	struct overlay *o = container_of(b, struct overlay, block);
	struct block *base = o->base, *store = o->store;

	if (o->keep && !o->block.info.read_only && block_sync(o->host, b, BLOCK_FLUSH, 0, NULL, 0))
		o->host->log(o->host->ctx, ALC_LOG_ERROR,
			     "disk overlay: what was written since the last flush is lost: the "
			     "bitmap can't be written");
	overlay_free(o);
	block_close(store);
	block_close(base);
}

static const struct block_ops overlay_ops = {
	.name = "overlay",
	.submit = overlay_submit,
	.drain = overlay_drain,
	.close = overlay_close,
};

static void set_info(struct overlay *o)
{
	const struct block_info *base = &o->base->info, *store = &o->store->info;

	o->block.info = (struct block_info){
		.size = o->l.size,
		.block = base->block > store->block ? base->block : store->block,
		.physical = base->physical > store->physical ? base->physical : store->physical,
		.read_only = store->read_only,
		.discard = store->zeroes && !store->read_only,
		.zeroes = !store->read_only,
		.discard_align = (u32)o->cluster,
	};
}

static int check_layout(struct overlay *o, struct alc_err *err)
{
	int rc = overlay_read_header(o->host, o->store, &o->l, NULL, err);

	if (rc)
		return rc;
	if (o->l.size != o->base->info.size)
		return alc_fail(err, -EINVAL,
				"the overlay was made for a base of %llu bytes, this one has %llu",
				(unsigned long long)o->l.size,
				(unsigned long long)o->base->info.size);
	o->cluster = BIT(o->l.cluster_bits);
	set_info(o);
	if (o->l.size % o->block.info.block)
		return alc_fail(err, -ENOTSUP,
				"the base has no whole number of the overlay's blocks of %u bytes",
				o->block.info.block);
	return 0;
}

static int make_jobs(struct overlay *o, struct alc_err *err)
{
	const struct alc_host *h = o->host;

	o->bounce = host_alloc(h, o->cluster * OVERLAY_JOBS);
	o->zeroes = host_alloc(h, o->cluster);
	o->idle = h->event_create(h->ctx);
	if (!o->bounce || !o->zeroes || !o->idle)
		return alc_fail(err, -ENOMEM, "no memory for an overlay");
	for (unsigned i = 0; i < OVERLAY_JOBS; i++) {
		o->jobs[i].o = o;
		o->jobs[i].bounce = o->bounce + i * o->cluster;
		o->jobs[i].next = o->free;
		o->free = &o->jobs[i];
	}
	return 0;
}

int block_overlay_create(const struct alc_host *host, struct block *base, struct block *store,
			 bool keep, struct block **out, struct alc_err *err)
{
	struct overlay *o = host_alloc(host, sizeof(*o));
	int rc;

	if (!o)
		return alc_fail(err, -ENOMEM, "no memory for an overlay");
	o->host = host;
	o->block.ops = &overlay_ops;
	o->base = base;
	o->store = store;
	o->keep = keep;
	o->backlog_end = &o->backlog;
	list_init(&o->waiting);
	list_init(&o->ready);
	o->lock = host->mutex_create(host->ctx);
	rc = o->lock ? check_layout(o, err) : alc_fail(err, -ENOMEM, "no memory for an overlay");
	if (!rc)
		rc = make_jobs(o, err);
	if (!rc)
		rc = overlay_map_create(o, err);
	if (rc) {
		overlay_free(o);
		return rc;
	}
	*out = &o->block;
	return 0;
}
