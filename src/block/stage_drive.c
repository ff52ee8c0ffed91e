/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a modelled disk: see stage_drive.h. */
#include "base/errno.h"
#include "base/fmt.h"
#include "block/stage_drive.h"

enum { STAT_NAME_MAX = 64 };

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
	drive_lock(s);
	now_ns = throttle_disk_ns(&s->throttle, clock_cpu_ns(s->clock));
	while (list) {
		struct block_req *r = list;

		list = r->next;
		r->provider_use[0] = now_ns;
		reqs_add(&s->incoming, r);
		s->active++;
	}
	drive_unlock(s);
	drive_run(s);
}

static bool is_busy(struct drive_stage *s)
{
	bool busy;

	drive_lock(s);
	busy = s->active || s->runs;
	s->draining = s->hurry = busy;
	drive_unlock(s);
	return busy;
}

static void drive_drain(struct block *b)
{
	struct drive_stage *s = container_of(b, struct drive_stage, block);

	while (is_busy(s)) {
		drive_run(s);
		if (is_busy(s))
			s->host->event_wait(s->host->ctx, s->idle, ALC_WAIT_FOREVER);
	}
	block_drain(s->below);
}

static void drive_attach(struct block *b, struct alc_clock *clock)
{
	struct drive_stage *s = container_of(b, struct drive_stage, block);

	s->clock = clock;
	if (clock_is_virtual(clock))
		throttle_off(&s->throttle);
	block_attach(s->below, clock);
}

static void drive_free(struct drive_stage *s)
{
	const struct alc_host *h = s->host;

	sched_destroy(s->sched);
	drive_destroy(s->shim.model);
	host_free(h, s->nodes, DRIVE_NODES * sizeof(*s->nodes));
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

	drive_lock(s);
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
	drive_unlock(s);
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
	 offsetof(struct host_params, depth), "32", 1, DRIVE_NODES},
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

bool drive_is_host(const char *model)
{
	return host_params_of(model) != NULL;
}

static int create_model(struct drive_stage *s, const struct stage_env *env, const char *text,
			const char *cache, struct alc_err *err)
{
	struct drive_env de = {env->host, s->block.info.size / SECTOR_BYTES, env->seed};
	char whole[MODEL_TEXT_MAX];
	size_t len = fmt_text(whole, sizeof(whole), cache ? "%s:cache=on:%s" : "%s", text, cache);

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
	s->shim.drive.class = &drive_shim;
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

/* For schedulers that go by their drive's times. */
static u64 access_ns(const void *ctx, const struct disk_req *r, u64 now_ns)
{
	const struct drive *model = ctx;

	return model->class->access_ns(model, r, now_ns);
}

static int create_station(struct drive_stage *s, const struct stage_env *env,
			  const char *const *texts, struct alc_err *err)
{
	struct sched_env se = {.host = env->host, .sectors = s->block.info.size / SECTOR_BYTES};
	const char *sched = texts[KEY_SCHED] ? texts[KEY_SCHED] : "noop";
	struct throttle_params p;
	int rc = param_parse(throttle_params, texts[KEY_THROTTLE], &p, err);

	if (!rc)
		rc = create_drive(s, env, texts, err);
	if (!rc && s->shim.model && s->shim.model->class->access_ns) {
		se.access_ns = access_ns;
		se.access_ctx = s->shim.model;
	}
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
	s->nodes = host_alloc(h, DRIVE_NODES * sizeof(*s->nodes));
	if (!s->lock || !s->idle || !s->nodes)
		return alc_fail(err, -ENOMEM, "no memory for a modelled disk");
	for (unsigned i = DRIVE_NODES; i--;) {
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
	clock_timer_init(&s->timer, drive_timer_fired, s);
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
