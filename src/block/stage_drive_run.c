/* SPDX-License-Identifier: BSD-2-Clause */
/* What a modelled disk does with its requests: see stage_drive.h. */
#include "base/errno.h"
#include "base/fmt.h"
#include "block/stage_drive.h"

/* A scheduler that asks for an instant that was, and then has nothing, is asked again after this.
 */
enum { ASK_AGAIN_NS = 1000 };

/* ---- the drive that the station sees ------------------------------------------------------ */

static void shim_done(struct shim *h, struct disk_req *r)
{
	r->next = NULL;
	*h->done_end = r;
	h->done_end = &r->next;
}

static void ask(struct drive_stage *s, struct node *n, struct node *leader, u64 now_ns)
{
	n->leader = leader;
	leader->outstanding++;
	n->dispatch_ns = throttle_guest_ns(&s->throttle, now_ns);
	n->epoch = s->epoch;
	n->asked = true;
	s->at_work++;
	reqs_add(&s->asked, n->req);
}

static void shim_submit(struct drive *d, struct disk_req *r, u64 now_ns)
{
	struct shim *h = container_of(d, struct shim, drive);
	struct drive_stage *s = container_of(h, struct drive_stage, shim);
	struct node *leader = container_of(r, struct node, d);

	leader->outstanding = 0;
	ask(s, leader, leader, now_ns);
	for (struct disk_req *m = r->merged; m; m = m->next)
		ask(s, container_of(m, struct node, d), leader, now_ns);
	if (h->model)
		h->model->class->submit(h->model, r, now_ns);
}

static u64 shim_next_ns(const struct drive *d)
{
	const struct shim *h = (const void *)d;

	if (h->model)
		return h->model->class->next_ns(h->model);
	return h->done ? h->done->done_ns : DISK_NEVER;
}

static struct disk_req *shim_take(struct drive *d, u64 now_ns)
{
	struct shim *h = container_of(d, struct shim, drive);
	struct disk_req *r = h->done;

	if (h->model)
		return h->model->class->take(h->model, now_ns);
	if (!r || r->done_ns > now_ns)
		return NULL;
	h->done = r->next;
	if (!h->done)
		h->done_end = &h->done;
	return r;
}

const struct drive_class drive_shim = {
	.name = "stage",
	.submit = shim_submit,
	.next_ns = shim_next_ns,
	.take = shim_take,
};

/* ---- what is done ------------------------------------------------------------------------- */

static void say_k(const struct drive_stage *s)
{
	u64 k = s->throttle.k_ppm / 1000;
	char text[ALC_ERR_TEXT_MAX];

	fmt_text(text, sizeof(text), "disk '%s': k is %llu.%03llu now", s->disk,
		 (unsigned long long)k / 1000, (unsigned long long)k % 1000);
	s->host->log(s->host->ctx, ALC_LOG_INFO, text);
}

/* A request that a drain hurried says nothing about the host. */
static void count(struct drive_stage *s, const struct node *n, u64 guest_ns)
{
	u64 lag_ns = guest_ns - n->target_ns;

	s->reads += n->d.op == BLOCK_READ;
	s->writes += n->d.op == BLOCK_WRITE;
	s->cached += n->d.cached;
	if (!s->shim.model || s->hurry || guest_ns < n->target_ns)
		return;
	s->lag_ns += lag_ns;
	s->lag_max_ns = max_u64(lag_ns, s->lag_max_ns);
	if (throttle_count(&s->throttle, guest_ns, n->back_ns > n->target_ns))
		say_k(s);
}

static void finish(struct drive_stage *s, struct node *n, u64 guest_ns)
{
	if (n->req->op == BLOCK_FLUSH)
		s->flushes_done++;
	else
		count(s, n, guest_ns);
	nodes_add(&s->finished, n);
}

/* What was at work when a flush came is what it waits for. */
static void relieve_flushes(struct drive_stage *s, const struct node *n, u64 at_ns)
{
	for (struct node *f = s->flushes; f; f = f->next_flush)
		if (f->due_ns == DISK_NEVER && n->epoch <= f->epoch && !--f->wait)
			f->due_ns = at_ns;
}

static void modelled(struct drive_stage *s, struct node *n, u64 guest_ns)
{
	n->modelled = true;
	n->target_ns = throttle_guest_ns(&s->throttle, n->d.done_ns);
	s->at_work--;
	relieve_flushes(s, n, n->d.done_ns);
	if (n->back)
		finish(s, n, guest_ns);
}

static void finish_flushes(struct drive_stage *s, u64 guest_ns)
{
	struct node **at = &s->flushes, *n;

	while ((n = *at)) {
		if (n->due_ns > s->disk_ns) {
			at = &n->next_flush;
			continue;
		}
		*at = n->next_flush;
		n->modelled = true;
		if (n->back)
			finish(s, n, guest_ns);
	}
}

static u64 next_event(const struct drive_stage *s)
{
	u64 ns = s->next_ns;

	for (const struct node *f = s->flushes; f; f = f->next_flush)
		ns = min_u64(ns, f->due_ns);
	return ns;
}

/* One instant of the disk's. */
static void step(struct drive_stage *s, u64 at_ns, u64 guest_ns)
{
	struct disk_req *r;

	s->disk_ns = max_u64(at_ns, s->disk_ns);
	r = station_advance(&s->station, s->disk_ns, &s->next_ns);
	if (s->next_ns <= s->disk_ns)
		s->next_ns = s->disk_ns + ASK_AGAIN_NS;
	while (r) {
		struct disk_req *next = r->next;

		modelled(s, container_of(r, struct node, d), guest_ns);
		r = next;
	}
	finish_flushes(s, guest_ns);
}

static void advance(struct drive_stage *s, u64 until_ns, u64 guest_ns)
{
	u64 ns;

	while ((ns = next_event(s)) <= until_ns)
		step(s, ns, guest_ns);
}

/* ---- what comes from the back end --------------------------------------------------------- */

static void back_done(struct block_req *r)
{
	struct node *n = r->ctx;
	struct drive_stage *s = n->s;

	drive_lock(s);
	n->back_ns = clock_cpu_ns(s->clock);
	nodes_add(&s->back, n);
	drive_unlock(s);
	drive_run(s);
}

static void take_back(struct drive_stage *s, u64 disk_ns, u64 guest_ns)
{
	struct node *n;

	while ((n = nodes_take(&s->back))) {
		n->back = true;
		if (n->modelled)
			finish(s, n, guest_ns);
		else if (n->req->op != BLOCK_FLUSH && !s->shim.model && !--n->leader->outstanding) {
			n->leader->d.done_ns = disk_ns;
			shim_done(&s->shim, &n->leader->d);
			s->next_ns = min_u64(s->next_ns, disk_ns);
		}
	}
}

/* ---- what comes from the guest ------------------------------------------------------------ */

static void admit_flush(struct drive_stage *s, struct node *n, u64 at_ns)
{
	const struct drive *model = s->shim.model;

	n->epoch = s->epoch++;
	n->wait = s->at_work;
	n->due_ns = s->at_work ? DISK_NEVER : at_ns;
	if (model && model->class->flush_ns)
		n->due_ns = model->class->flush_ns(s->shim.model, at_ns);
	n->next_flush = s->flushes;
	s->flushes = n;
	n->asked = true;
	reqs_add(&s->asked, n->req);
}

static void admit(struct drive_stage *s, struct node *n, struct block_req *r, u64 at_ns)
{
	s->free = n->next;
	*n = (struct node){.s = s, .req = r, .done = r->done, .ctx = r->ctx};
	r->done = back_done;
	r->ctx = n;
	if (r->op == BLOCK_FLUSH) {
		admit_flush(s, n, at_ns);
		return;
	}
	n->d = (struct disk_req){
		.sector = r->offset / SECTOR_BYTES,
		.sectors = (u32)(r->len / SECTOR_BYTES),
		.op = r->op,
		.sync = r->op == BLOCK_READ,
		.issuer = (u32)r->issuer,
	};
	station_add(&s->station, &n->d, at_ns);
}

static u64 came_ns(const struct block_req *r)
{
	return r->provider_use[0];
}

/* What came at one instant is there when the scheduler is asked. */
static void admit_all(struct drive_stage *s, u64 guest_ns)
{
	while (s->incoming.first && s->free) {
		u64 at_ns = max_u64(came_ns(s->incoming.first), s->disk_ns);

		advance(s, at_ns, guest_ns);
		while (s->incoming.first && s->free && came_ns(s->incoming.first) <= at_ns)
			admit(s, s->free, reqs_take(&s->incoming), at_ns);
		step(s, at_ns, guest_ns);
	}
}

/* ---- the runner --------------------------------------------------------------------------- */

/* The scheduler holds requests, and asks for nothing: no instant will ever come for them. */
static bool is_stuck(const struct drive_stage *s)
{
	return s->station.waiting && !s->at_work && next_event(s) == DISK_NEVER;
}

static void give_up(struct drive_stage *s, u64 guest_ns)
{
	char text[ALC_ERR_TEXT_MAX];

	for (unsigned i = 0; i < DRIVE_NODES; i++) {
		struct node *n = &s->nodes[i];

		if (!n->req || n->asked)
			continue;
		n->asked = true;
		n->req->status = -EIO;
		nodes_add(&s->finished, n);
	}
	s->station.waiting = 0;
	atomic_store(&s->broken, true);
	fmt_text(text, sizeof(text),
		 "disk '%s': the scheduler '%s' has lost requests, and is no longer used", s->disk,
		 s->sched->class->name);
	s->host->log(s->host->ctx, ALC_LOG_ERROR, text);
}

/* Time passes for the disk alone. */
static void hurry(struct drive_stage *s, u64 guest_ns)
{
	u64 ns;

	while ((ns = next_event(s)) != DISK_NEVER) {
		if (ns > throttle_disk_ns(&s->throttle, guest_ns))
			throttle_jump(&s->throttle, guest_ns, ns);
		step(s, ns, guest_ns);
	}
	if (is_stuck(s))
		give_up(s, guest_ns);
}

static void work(struct drive_stage *s)
{
	u64 guest_ns = clock_cpu_ns(s->clock), disk_ns = throttle_disk_ns(&s->throttle, guest_ns);

	take_back(s, disk_ns, guest_ns);
	admit_all(s, guest_ns);
	advance(s, disk_ns, guest_ns);
	if (s->hurry)
		hurry(s, guest_ns);
}

/* With the lock held. False: there is no memory for a timer. */
static bool arm(struct drive_stage *s)
{
	u64 ns = throttle_guest_ns(&s->throttle, next_event(s));

	if (ns == s->armed_ns)
		return true;
	if (ns == DISK_NEVER)
		clock_timer_cancel(s->clock, &s->timer);
	else if (clock_timer_set(s->clock, &s->timer, ns))
		return false;
	s->armed_ns = ns;
	return true;
}

static struct node *call_done(struct node *list, u64 *count)
{
	for (struct node *n = list; n; n = n->next) {
		struct block_req *r = n->req;

		r->done = n->done;
		r->ctx = n->ctx;
		r->dispatch_ns = n->dispatch_ns;
		r->cached = n->d.cached;
		n->req = NULL;
		++*count;
		r->done(r);
	}
	return list;
}

static void give_back(struct drive_stage *s, struct node *list)
{
	while (list) {
		struct node *n = list;

		list = n->next;
		n->next = s->free;
		s->free = n;
	}
}

/* With the lock held, which it lets go meanwhile. False: there was nothing to do. */
static bool carry_out(struct drive_stage *s)
{
	struct block_req *asked = s->asked.first;
	struct node *finished = s->finished.first;
	u64 count = 0;

	if (!asked && !finished)
		return false;
	reqs_init(&s->asked);
	nodes_init(&s->finished);
	drive_unlock(s);
	if (asked)
		block_submit(s->below, asked);
	call_done(finished, &count);
	drive_lock(s);
	give_back(s, finished);
	s->active -= count;
	return true;
}

/* With the lock held: once more? */
static bool must_go_on(struct drive_stage *s, bool did)
{
	if (s->again || did)
		return true;
	if (arm(s))
		return false;
	/* Rather early than never. */
	s->hurry = true;
	return true;
}

void drive_run(struct drive_stage *s)
{
	bool did;

	drive_lock(s);
	if (s->runs) {
		s->again = true;
		drive_unlock(s);
		return;
	}
	s->runs = true;
	do {
		s->again = false;
		work(s);
		did = carry_out(s);
	} while (must_go_on(s, did));
	s->runs = false;
	s->hurry = s->draining;
	if (s->draining)
		s->host->event_signal(s->host->ctx, s->idle);
	drive_unlock(s);
}

void drive_timer_fired(void *arg)
{
	struct drive_stage *s = arg;

	drive_lock(s);
	s->armed_ns = DISK_NEVER;
	drive_unlock(s);
	drive_run(s);
}
