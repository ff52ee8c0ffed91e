/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk with a scheduler and the times of a drive: a station (station.h) in guest time, on a back
 * end that has the data.
 *
 * Reads and writes go into the station when they are submitted. When its scheduler dispatches one,
 * the back end is asked for it; it is done when both the model and the back end are done with it.
 * In virtual time the back end is done at once, and so nothing is late; in host time the throttle
 * (throttle.h) sees to it that few are. Events of the station happen at their own instants, in
 * order, whenever the host's timers come: the model is exact, and what the guest sees is as late as
 * a timer is.
 *
 * A flush goes to the back end at once, and is done when the model has everything durable. What is
 * neither read nor write nor flush passes by.
 *
 * Without a model the back end is the drive: it is given `depth` requests at a time, and each is
 * done when it is.
 *
 * All decisions are made under the lock by one thread at a time, the runner: whoever brings work
 * becomes it unless there is one. The back end is asked and `done` is called by the runner without
 * the lock, in the order of decisions.
 */
#include <stdatomic.h>

#include "base/errno.h"
#include "base/fmt.h"
#include "base/str.h"
#include "block/stage_list.h"
#include "block/station.h"
#include "block/throttle.h"
#include "host/clock.h"

enum { NODES = 512, STAT_NAME_MAX = 64 };
/* A scheduler that asks for an instant that was, and then has nothing, is asked again after this.
 */
enum { ASK_AGAIN_NS = 1000 };

struct node {
	struct disk_req d;
	struct node *next; /* of a list: free, back, finished */
	struct node *next_flush;
	struct block_req *req;
	void (*done)(struct block_req *r); /* whose the request is */
	void *ctx;
	struct drive_stage *s;
	bool asked;          /* of the back end */
	bool back, modelled; /* done by the back end; by the model */
	u64 back_ns;         /* guest time */
	u64 target_ns;       /* guest time: when the model was done */
	u64 dispatch_ns;     /* guest time */
	u64 epoch;           /* flushes before its dispatch; a flush: before itself */
	u64 due_ns;          /* of a flush, for the disk; DISK_NEVER: when `wait` others are done */
	unsigned wait;
	struct node *leader; /* back end as drive: of those that are done together */
	unsigned outstanding;
};

struct nodes {
	struct node *first, **end;
};

struct reqs {
	struct block_req *first, **end;
};

/* What the station has for a drive: the model, and the back end that is to be asked. */
struct shim {
	struct drive drive;
	struct drive *model;   /* NULL: the back end is the drive */
	struct disk_req *done; /* by the back end, as the drive, in order */
	struct disk_req **done_end;
};

struct drive_stage {
	struct block block;
	const struct alc_host *host;
	const char *disk;
	struct block *below;
	struct alc_clock *clock; /* NULL: nobody has attached it */
	struct alc_timer timer;
	struct node *nodes;

	struct alc_mutex *lock; /* of the rest */
	struct alc_event *idle; /* for drain */
	struct throttle throttle;
	struct station station;
	struct sched *sched;
	struct shim shim;
	struct node *free;
	struct reqs incoming; /* provider_use[0]: when, for the disk */
	struct reqs asked;    /* of the back end, as soon as the lock is free */
	struct nodes back, finished;
	struct node *flushes; /* that the model is not done with */
	u64 disk_ns;          /* the last instant that the station was told */
	u64 next_ns;          /* of the station's, for the disk */
	u64 armed_ns;         /* of the timer; DISK_NEVER: it is not armed */
	u64 active;           /* requests that are not done */
	u64 epoch;            /* flushes so far */
	unsigned at_work;     /* dispatched, and not done by the model */
	bool runs, again, draining, hurry;
	_Atomic(bool) broken; /* the scheduler is: requests pass by */

	u64 reads, writes, flushes_done, cached;
	u64 lag_ns, lag_max_ns; /* from the instants of the model to those of the guest */
};

static void lock(const struct drive_stage *s)
{
	host_lock(s->host, s->lock);
}

static void unlock(const struct drive_stage *s)
{
	host_unlock(s->host, s->lock);
}

static void nodes_init(struct nodes *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void nodes_add(struct nodes *l, struct node *n)
{
	n->next = NULL;
	*l->end = n;
	l->end = &n->next;
}

static struct node *nodes_take(struct nodes *l)
{
	struct node *n = l->first;

	if (n) {
		l->first = n->next;
		if (!l->first)
			l->end = &l->first;
	}
	return n;
}

static void reqs_init(struct reqs *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void reqs_add(struct reqs *l, struct block_req *r)
{
	r->next = NULL;
	*l->end = r;
	l->end = &r->next;
}

static struct block_req *reqs_take(struct reqs *l)
{
	struct block_req *r = l->first;

	if (r) {
		l->first = r->next;
		if (!l->first)
			l->end = &l->first;
	}
	return r;
}

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

static const struct drive_class shim_class = {
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
	s->lag_max_ns = lag_ns > s->lag_max_ns ? lag_ns : s->lag_max_ns;
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

	s->disk_ns = at_ns > s->disk_ns ? at_ns : s->disk_ns;
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

static void run(struct drive_stage *s);

static void back_done(struct block_req *r)
{
	struct node *n = r->ctx;
	struct drive_stage *s = n->s;

	lock(s);
	n->back_ns = clock_now_ns(s->clock);
	nodes_add(&s->back, n);
	unlock(s);
	run(s);
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
		u64 at_ns = came_ns(s->incoming.first);

		at_ns = at_ns > s->disk_ns ? at_ns : s->disk_ns;
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

	for (unsigned i = 0; i < NODES; i++) {
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
	u64 guest_ns = clock_now_ns(s->clock), disk_ns = throttle_disk_ns(&s->throttle, guest_ns);

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
	unlock(s);
	if (asked)
		block_submit(s->below, asked);
	call_done(finished, &count);
	lock(s);
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

static void run(struct drive_stage *s)
{
	bool did;

	lock(s);
	if (s->runs) {
		s->again = true;
		unlock(s);
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
	unlock(s);
}

static void timer_fired(void *arg)
{
	struct drive_stage *s = arg;

	lock(s);
	s->armed_ns = DISK_NEVER;
	unlock(s);
	run(s);
}

/* ---- the stage ---------------------------------------------------------------------------- */

static bool is_ours(const struct block_req *r)
{
	if (r->op == BLOCK_FLUSH)
		return true;
	return (r->op == BLOCK_READ || r->op == BLOCK_WRITE) && r->len &&
	       r->len / SECTOR_BYTES <= UINT32_MAX;
}

/* Those for the station; what can't be is told at once, and the others pass by. */
static struct block_req *sort(struct drive_stage *s, struct block_req *list)
{
	struct reqs ours, others;

	reqs_init(&ours);
	reqs_init(&others);
	while (list) {
		struct block_req *r = list;

		list = r->next;
		r->status = block_check(&s->block.info, r->op, r->offset, r->len);
		if (r->status)
			r->done(r);
		else
			reqs_add(is_ours(r) ? &ours : &others, r);
	}
	if (others.first)
		block_submit(s->below, others.first);
	return ours.first;
}

static void drive_submit(struct block *b, struct block_req *list)
{
	struct drive_stage *s = container_of(b, struct drive_stage, block);
	u64 now_ns;

	if (!s->clock || atomic_load(&s->broken)) {
		block_submit(s->below, list);
		return;
	}
	list = sort(s, list);
	if (!list)
		return;
	lock(s);
	now_ns = throttle_disk_ns(&s->throttle, clock_now_ns(s->clock));
	while (list) {
		struct block_req *r = list;

		list = r->next;
		r->provider_use[0] = now_ns;
		reqs_add(&s->incoming, r);
		s->active++;
	}
	unlock(s);
	run(s);
}

static bool is_busy(struct drive_stage *s)
{
	bool busy;

	lock(s);
	busy = s->active || s->runs;
	s->draining = s->hurry = busy;
	unlock(s);
	return busy;
}

static void drive_drain(struct block *b)
{
	struct drive_stage *s = container_of(b, struct drive_stage, block);

	while (is_busy(s)) {
		run(s);
		if (is_busy(s))
			s->host->event_wait(s->host->ctx, s->idle, ALC_WAIT_FOREVER);
	}
	block_drain(s->below);
}

static void drive_attach(struct block *b, struct alc_clock *clock)
{
	struct drive_stage *s = container_of(b, struct drive_stage, block);

	s->clock = clock;
	block_attach(s->below, clock);
}

static void drive_free(struct drive_stage *s)
{
	const struct alc_host *h = s->host;

	sched_destroy(s->sched);
	drive_destroy(s->shim.model);
	host_free(h, s->nodes, NODES * sizeof(*s->nodes));
	h->event_destroy(h->ctx, s->idle);
	h->mutex_destroy(h->ctx, s->lock);
	host_free(h, s, sizeof(*s));
}

static void drive_close(struct block *b)
{
	struct drive_stage *s = container_of(b, struct drive_stage, block);
	struct block *below = s->below;

	drive_free(s);
	block_close(below);
}

struct stat_names {
	block_stat_fn *fn;
	void *ctx;
};

static void model_stat(void *ctx, const char *name, double value)
{
	const struct stat_names *to = ctx;
	char text[STAT_NAME_MAX];

	fmt_text(text, sizeof(text), "model.%s", name);
	to->fn(to->ctx, text, value);
}

static void drive_stats(struct block *b, block_stat_fn *fn, void *ctx)
{
	struct drive_stage *s = container_of(b, struct drive_stage, block);
	const struct throttle *t = &s->throttle;
	struct stat_names to = {fn, ctx};

	lock(s);
	fn(ctx, "drive.reads", (double)s->reads);
	fn(ctx, "drive.writes", (double)s->writes);
	fn(ctx, "drive.flushes", (double)s->flushes_done);
	if (s->shim.model) {
		fn(ctx, "drive.cached", (double)s->cached);
		fn(ctx, "drive.k", throttle_k(t));
		fn(ctx, "drive.throttled", (double)t->all);
		fn(ctx, "drive.late", (double)t->all_late);
		fn(ctx, "drive.lag_mean_ns", t->all ? (double)s->lag_ns / (double)t->all : 0);
		fn(ctx, "drive.lag_max_ns", (double)s->lag_max_ns);
		if (s->shim.model->class->stats)
			s->shim.model->class->stats(s->shim.model, model_stat, &to);
	}
	unlock(s);
	block_stats(s->below, fn, ctx);
}

static const struct block_ops drive_ops = {
	.name = "drive",
	.submit = drive_submit,
	.drain = drive_drain,
	.close = drive_close,
	.attach = drive_attach,
	.stats = drive_stats,
};

/* ---- creation ----------------------------------------------------------------------------- */

/* Indices of keys. */
enum { KEY_SCHED, KEY_MODEL, KEY_CACHE, KEY_THROTTLE };
enum { MODEL_TEXT_MAX = 512 };

struct host_params {
	u64 depth;
};

static const struct param host_params[] = {
	{"depth", "requests that the back end gets at a time", PARAM_COUNT,
	 offsetof(struct host_params, depth), "32", 1, NODES},
	{.name = NULL},
};

static const char host_model[] = "host";

/* The parameters of the model that is none, or NULL. */
static const char *host_params_of(const char *text)
{
	const char *name = host_model;

	if (!text)
		return "";
	for (; *name; name++, text++)
		if (*text != *name)
			return NULL;
	return !*text ? text : *text == ':' ? text + 1 : NULL;
}

static int create_model(struct drive_stage *s, const struct stage_env *env, const char *text,
			const char *cache, struct alc_err *err)
{
	struct drive_env de = {env->host, s->block.info.size / SECTOR_BYTES, env->seed};
	char whole[MODEL_TEXT_MAX];
	size_t len = fmt_text(whole, sizeof(whole), cache ? "%s:%s" : "%s", text, cache);

	if (len >= sizeof(whole))
		return alc_fail(err, -EINVAL, "the model's parameters are too long");
	return drive_create(&de, whole, &s->shim.model, err);
}

static int create_drive(struct drive_stage *s, const struct stage_env *env,
			const char *const *texts, struct alc_err *err)
{
	const char *params = host_params_of(texts[KEY_MODEL]);
	struct host_params p;
	int rc;

	if (params && texts[KEY_CACHE])
		return alc_fail(err, -EINVAL, "a drive's cache needs a model: model=NAME");
	if (params && texts[KEY_THROTTLE])
		return alc_fail(err, -EINVAL, "a throttle needs a model: model=NAME");
	s->shim.drive.class = &shim_class;
	s->shim.done_end = &s->shim.done;
	if (!params) {
		rc = create_model(s, env, texts[KEY_MODEL], texts[KEY_CACHE], err);
		s->shim.drive.depth = rc ? 0 : s->shim.model->depth;
		return rc;
	}
	rc = param_parse(host_params, params, &p, err);
	s->shim.drive.depth = rc ? 0 : (unsigned)p.depth;
	return rc;
}

static int create_station(struct drive_stage *s, const struct stage_env *env,
			  const char *const *texts, struct alc_err *err)
{
	struct sched_env se = {env->host, s->block.info.size / SECTOR_BYTES};
	const char *sched = texts[KEY_SCHED] ? texts[KEY_SCHED] : "noop";
	struct throttle_params p;
	int rc = param_parse(throttle_params, texts[KEY_THROTTLE], &p, err);

	if (!rc)
		rc = create_drive(s, env, texts, err);
	if (!rc)
		rc = env->sched_open ? env->sched_open(&se, sched, &s->sched, err)
				     : sched_create(&se, sched, &s->sched, err);
	if (rc)
		return rc;
	throttle_init(&s->throttle, &p);
	station_init(&s->station, s->sched, &s->shim.drive);
	return 0;
}

static int allocate(struct drive_stage *s, struct alc_err *err)
{
	const struct alc_host *h = s->host;

	s->lock = h->mutex_create(h->ctx);
	s->idle = h->event_create(h->ctx);
	s->nodes = host_alloc(h, NODES * sizeof(*s->nodes));
	if (!s->lock || !s->idle || !s->nodes)
		return alc_fail(err, -ENOMEM, "no memory for a modelled disk");
	for (unsigned i = NODES; i--;) {
		s->nodes[i].next = s->free;
		s->free = &s->nodes[i];
	}
	return 0;
}

static int drive_stage_create(const struct stage_env *env, const char *const *texts,
			      struct block *below, struct block **out, struct alc_err *err)
{
	struct drive_stage *s = host_alloc(env->host, sizeof(*s));
	int rc;

	if (!s)
		return alc_fail(err, -ENOMEM, "no memory for a modelled disk");
	s->block = (struct block){.ops = &drive_ops, .info = below->info};
	s->host = env->host;
	s->disk = env->disk;
	s->below = below;
	s->next_ns = s->armed_ns = DISK_NEVER;
	reqs_init(&s->incoming);
	reqs_init(&s->asked);
	nodes_init(&s->back);
	nodes_init(&s->finished);
	clock_timer_init(&s->timer, timer_fired, s);
	rc = allocate(s, err);
	if (!rc)
		rc = create_station(s, env, texts, err);
	if (rc) {
		drive_free(s);
		return rc;
	}
	*out = &s->block;
	return 0;
}

const struct stage_class stage_drive = {
	.name = "drive",
	.summary = "a scheduler, and the times of a drive",
	.keys = {"sched", "model", "cache", "throttle"},
	.helps = {"disk scheduler, as NAME:PARAM=VALUE:…", "drive model, likewise; host: none",
		  "parameters of the model's read cache",
		  "how a model keeps pace with the host: k, lock, window …"},
	.create = drive_stage_create,
};
