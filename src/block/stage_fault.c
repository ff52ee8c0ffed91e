/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults: a disk that is slow, fails, loses writes, writes parts of them, or answers no more.
 *
 * Which requests it happens to is told by their operation and place, then by counting, then by
 * chance; the same seed and the same requests in the same order have the same faults.
 */
#include "base/errno.h"
#include "base/fmt.h"
#include "block/disk_req.h"
#include "block/hold.h"
#include "block/named.h"
#include "block/stage_list.h"

enum { STAT_NAME_MAX = 64 };

struct fault_params {
	bool read, write, flush, discard;
	u64 sector, sectors, skip, nth, times, seed, time_ns;
	double probability;
};

#define AT(member) offsetof(struct fault_params, member)

/* `time` comes last, and is for delays alone. */
#define COMMON                                                                                  \
	{"read", "whether it happens to reads", PARAM_FLAG, AT(read), "on", 0, 0},              \
		{"write", "whether it happens to writes", PARAM_FLAG, AT(write), "on", 0, 0},   \
		{"flush", "whether it happens to flushes", PARAM_FLAG, AT(flush), "off", 0, 0}, \
		{"discard",  "whether it happens to discards and zeroing",                      \
		 PARAM_FLAG, AT(discard),                                                       \
		 "off",      0,                                                                 \
		 0},                                                                            \
		{"sector",    "first sector of 512 bytes that it happens to",                   \
		 PARAM_COUNT, AT(sector),                                                       \
		 "0",         0,                                                                \
		 1e18},                                                                         \
		{"sectors", "how many; 0: to the end", PARAM_COUNT, AT(sectors), "0", 0, 1e18}, \
		{"skip",      "requests of these that are spared at first",                     \
		 PARAM_COUNT, AT(skip),                                                         \
		 "0",         0,                                                                \
		 1e18},                                                                         \
		{"nth", "then every nth", PARAM_COUNT, AT(nth), "1", 1, 1e18},                  \
		{"probability",                                                                 \
		 "share of those, at random",                                                   \
		 PARAM_REAL,                                                                    \
		 AT(probability),                                                               \
		 "1",                                                                           \
		 0,                                                                             \
		 1},                                                                            \
		{"times", "faults at most; 0: no limit", PARAM_COUNT, AT(times), "0", 0, 1e18}, \
	{                                                                                       \
		"seed", "of what is random", PARAM_COUNT, AT(seed), "1", 0, 1e18                \
	}

static const struct param common_params[] = {COMMON, {.name = NULL}};
static const struct param delay_params[] = {
	COMMON,
	{"time", "how long", PARAM_TIME, AT(time_ns), "100ms", 0, 1e13},
	{.name = NULL},
};

struct fault;

struct kind {
	const char *name;
	const struct param *params;
	unsigned ops; /* that it can happen to: BIT(BLOCK_…) */
	const char *ops_text;
	/* With the lock held. True: r is done, once the lock is free. */
	bool (*strike)(struct fault *f, struct block_req *r);
};

struct fault {
	struct block block;
	const struct alc_host *host;
	const struct kind *kind;
	struct fault_params p;
	unsigned ops;     /* that it happens to */
	struct hold hold; /* its lock is that of the rest */
	struct block_req *hung;
	u64 random;
	u64 seen, struck;
};

/* ---- whom it happens to ------------------------------------------------------------------- */

/* xorshift64* (Vigna, 2016). */
static u64 next_random(struct fault *f)
{
	u64 x = f->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	f->random = x;
	return x * 0x2545f4914f6cdd1dull;
}

/* A flush has no place, and is everywhere. */
static bool is_in_place(const struct fault *f, const struct block_req *r)
{
	u64 first = f->p.sector * SECTOR_BYTES, end = first + f->p.sectors * SECTOR_BYTES;

	if (r->op == BLOCK_FLUSH)
		return true;
	return r->offset + r->len > first && (!f->p.sectors || r->offset < end);
}

static bool is_struck(struct fault *f, const struct block_req *r)
{
	if (!(f->ops & BIT(r->op)) || !is_in_place(f, r))
		return false;
	f->seen++;
	if (f->p.times && f->struck == f->p.times)
		return false;
	if (f->seen <= f->p.skip || (f->seen - f->p.skip) % f->p.nth)
		return false;
	if (f->p.probability < 1 &&
	    (double)(next_random(f) >> 11) >= f->p.probability * (double)BIT(53))
		return false;
	f->struck++;
	return true;
}

/* ---- what happens ------------------------------------------------------------------------- */

static bool delay(struct fault *f, struct block_req *r)
{
	hold_add(&f->hold, r,
		 hold_works(&f->hold) ? clock_cpu_ns(f->hold.clock) + f->p.time_ns : 0);
	return false;
}

static bool fail(struct fault *f, struct block_req *r)
{
	r->status = -EIO;
	return true;
}

static bool drop(struct fault *f, struct block_req *r)
{
	r->status = 0;
	return true;
}

/* The part of a write that reaches the disk. */
struct torn {
	const struct alc_host *host;
	u64 len;
	const struct alc_iov *iov;
	unsigned niov, room;
	void (*done)(struct block_req *r);
	void *ctx;
	struct alc_iov pieces[];
};

static void free_torn(struct torn *t)
{
	host_free(t->host, t, sizeof(*t) + t->room * sizeof(t->pieces[0]));
}

/* What the guest is told is as if all of it had been written. */
static void torn_done(struct block_req *r)
{
	struct torn *t = r->ctx;

	r->len = t->len;
	r->iov = t->iov;
	r->niov = t->niov;
	r->done = t->done;
	r->ctx = t->ctx;
	free_torn(t);
	r->done(r);
}

/* Some whole blocks of it, or none. */
static bool tear(struct fault *f, struct block_req *r)
{
	u64 blocks = r->len / f->block.info.block, keep = blocks ? next_random(f) % blocks : 0;
	size_t size = sizeof(struct torn) + r->niov * sizeof(struct alc_iov);
	struct torn *t = keep ? host_alloc(f->host, size) : NULL;

	if (!t)
		return drop(f, r);
	*t = (struct torn){
		.host = f->host,
		.len = r->len,
		.iov = r->iov,
		.niov = r->niov,
		.room = r->niov,
		.done = r->done,
		.ctx = r->ctx,
	};
	r->len = keep * f->block.info.block;
	r->niov = iov_slice(r->iov, r->niov, 0, r->len, t->pieces);
	r->iov = t->pieces;
	r->done = torn_done;
	r->ctx = t;
	hold_add(&f->hold, r, 0);
	return false;
}

static bool hang(struct fault *f, struct block_req *r)
{
	r->next = f->hung;
	f->hung = r;
	return false;
}

enum {
	WRITES = BIT(BLOCK_WRITE),
	DISCARDS = BIT(BLOCK_DISCARD) | BIT(BLOCK_ZERO),
	CHANGES = WRITES | DISCARDS | BIT(BLOCK_FLUSH),
	ALL = CHANGES | BIT(BLOCK_READ),
};

/* clang-format off */
static const struct kind kinds[] = {
	{"delay", delay_params, ALL, "", delay},
	{"error", common_params, ALL, "", fail},
	{"drop", common_params, CHANGES, "writes, flushes and discards", drop},
	{"torn", common_params, WRITES, "writes", tear},
	{"hang", common_params, ALL, "", hang},
	{.name = NULL},
};
/* clang-format on */

/* ---- the stage ---------------------------------------------------------------------------- */

/* With the lock held: one request to where it belongs. */
static void sort(struct fault *f, struct block_req *r, struct block_req ***good,
		 struct block_req ***done)
{
	r->next = NULL;
	if (!is_struck(f, r)) {
		**good = r;
		*good = &r->next;
	} else if (f->kind->strike(f, r)) {
		**done = r;
		*done = &r->next;
	}
}

static void call_done(struct block_req *list)
{
	while (list) {
		struct block_req *r = list;

		list = r->next;
		r->done(r);
	}
}

static void fault_submit(struct block *b, struct block_req *list)
{
	struct fault *f = container_of(b, struct fault, block);
	struct block_req *good = NULL, **good_end = &good, *done = NULL, **done_end = &done;

	hold_lock(&f->hold);
	while (list) {
		struct block_req *r = list;

		list = r->next;
		sort(f, r, &good_end, &done_end);
	}
	hold_unlock(&f->hold);
	if (good)
		block_submit(f->hold.below, good);
	call_done(done);
	hold_go(&f->hold);
}

/* A disk that hangs is given up by whoever drains it. */
static void fail_hung(struct fault *f)
{
	struct block_req *list;

	hold_lock(&f->hold);
	list = f->hung;
	f->hung = NULL;
	hold_unlock(&f->hold);
	for (struct block_req *r = list; r; r = r->next)
		r->status = -EIO;
	call_done(list);
}

static bool has_hung(struct fault *f)
{
	bool has;

	hold_lock(&f->hold);
	has = f->hung != NULL;
	hold_unlock(&f->hold);
	return has;
}

static void fault_drain(struct block *b)
{
	struct fault *f = container_of(b, struct fault, block);

	do {
		fail_hung(f);
		hold_drain(&f->hold);
	} while (has_hung(f));
}

static void fault_close(struct block *b)
{
	struct fault *f = container_of(b, struct fault, block);
	struct block *below = f->hold.below;

	hold_fini(&f->hold);
	host_free(f->host, f, sizeof(*f));
	block_close(below);
}

static void fault_attach(struct block *b, struct alc_clock *clock)
{
	struct fault *f = container_of(b, struct fault, block);

	hold_attach(&f->hold, clock);
	block_attach(f->hold.below, clock);
}

static void fault_stats(struct block *b, block_stat_fn *fn, void *ctx)
{
	struct fault *f = container_of(b, struct fault, block);
	char name[STAT_NAME_MAX];
	u64 seen, struck;

	hold_lock(&f->hold);
	seen = f->seen;
	struck = f->struck;
	hold_unlock(&f->hold);
	fmt_text(name, sizeof(name), "fault.%s.seen", f->kind->name);
	fn(ctx, name, (double)seen);
	fmt_text(name, sizeof(name), "fault.%s.struck", f->kind->name);
	fn(ctx, name, (double)struck);
	block_stats(f->hold.below, fn, ctx);
}

static const struct block_ops fault_ops = {
	.name = "fault",
	.submit = fault_submit,
	.drain = fault_drain,
	.close = fault_close,
	.attach = fault_attach,
	.stats = fault_stats,
};

/* ---- creation ----------------------------------------------------------------------------- */

static unsigned ops_of(const struct fault_params *p)
{
	return (p->read ? BIT(BLOCK_READ) : 0) | (p->write ? WRITES : 0) |
	       (p->flush ? BIT(BLOCK_FLUSH) : 0) | (p->discard ? DISCARDS : 0);
}

static int parse(struct fault *f, const char *text, struct alc_err *err)
{
	const char *params;
	int rc;

	f->kind = named_find(kinds, sizeof(kinds[0]), "fault", text, &params, err);
	if (!f->kind)
		return -ENOENT;
	rc = param_parse(f->kind->params, params, &f->p, err);
	if (rc)
		return rc;
	f->ops = ops_of(&f->p) & f->kind->ops;
	if (f->ops)
		return 0;
	if (f->kind->ops == ALL)
		return alc_fail(err, -EINVAL, "the fault '%s' happens to no operation",
				f->kind->name);
	return alc_fail(err, -EINVAL, "the fault '%s' can only happen to %s", f->kind->name,
			f->kind->ops_text);
}

static int fault_create(const struct stage_env *env, const char *const *texts, struct block *below,
			struct block **out, struct alc_err *err)
{
	struct fault *f = host_alloc(env->host, sizeof(*f));
	int rc;

	if (!f)
		return alc_fail(err, -ENOMEM, "no memory for faults");
	f->host = env->host;
	f->block = (struct block){.ops = &fault_ops, .info = below->info};
	rc = parse(f, texts[0], err);
	/* Zero is the one state that a xorshift has no way out of. */
	f->random = (f->p.seed + 1) * 0x9e3779b97f4a7c15ull | 1;
	if (!rc && hold_init(&f->hold, env->host, below)) {
		hold_fini(&f->hold);
		rc = alc_fail(err, -ENOMEM, "no memory for faults");
	}
	if (rc) {
		host_free(env->host, f, sizeof(*f));
		return rc;
	}
	*out = &f->block;
	return 0;
}

const struct stage_class stage_fault = {
	.name = "fault",
	.summary = "faults: delay, error, drop, torn, hang",
	.keys = {"fault"},
	.helps = {"KIND:PARAM=VALUE:…: delay, error, drop, torn or hang"},
	.create = fault_create,
};
