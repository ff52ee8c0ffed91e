/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_BLOCK_STAGE_TEST_H
#define TEST_BLOCK_STAGE_TEST_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/errno.h"
#include "block/simple.h"
#include "block/stage_list.h"
#include "host/clock.h"
#include "host/test/sweep.h"

/* A stage on a back end that keeps what it is given until it is told to do it, in manual time. */
enum { RIG_BYTES = 1 << 20, RIG_REQS = 1024, RIG_US = 1000 };
#define RIG_MS 1000000ull

struct back {
	struct block block;
	struct block *ram;
	pthread_mutex_t lock;
	struct block_req *kept, **end;
	bool slow; /* keep requests; else they are done at once */
	unsigned inside, most, seen[BLOCK_ZERO + 1];
};

struct tested {
	struct block_req r;
	struct alc_iov iov[2];
	u8 data[8192];
	struct rig *rig;
	u64 done_ns;
	unsigned order; /* from 1; 0: it is not done */
};

struct rig {
	struct test_host th;
	struct alc_clock *clock;
	u8 *bytes;
	struct back back;
	struct block *top;
	struct tested *reqs;
	_Atomic(unsigned) done;
};

/* ---- the back end ---- */

static inline void back_submit(struct block *b, struct block_req *list)
{
	struct back *k = container_of(b, struct back, block);

	for (struct block_req *r = list, *next; r; r = next) {
		next = r->next;
		pthread_mutex_lock(&k->lock);
		k->seen[r->op]++;
		r->next = NULL;
		if (k->slow) {
			*k->end = r;
			k->end = &r->next;
			k->inside++;
			k->most = (unsigned)max_u64(k->most, k->inside);
			r = NULL;
		}
		pthread_mutex_unlock(&k->lock);
		if (r)
			block_submit(k->ram, r);
	}
}

/* Does the n that came first; what comes from their `done` is not among them. */
static inline void back_do(struct back *k, unsigned n)
{
	while (n--) {
		struct block_req *r;

		pthread_mutex_lock(&k->lock);
		r = k->kept;
		if (r) {
			k->kept = r->next;
			k->inside--;
		}
		if (!k->kept)
			k->end = &k->kept;
		pthread_mutex_unlock(&k->lock);
		if (!r)
			return;
		r->next = NULL;
		block_submit(k->ram, r);
	}
}

/* Puts the first one behind the others. */
static inline void back_rotate(struct back *k)
{
	struct block_req *r;

	pthread_mutex_lock(&k->lock);
	r = k->kept;
	k->kept = r->next;
	r->next = NULL;
	*(k->kept ? k->end : &k->kept) = r;
	k->end = &r->next;
	pthread_mutex_unlock(&k->lock);
}

static inline void back_drain(struct block *b)
{
	back_do(container_of(b, struct back, block), UINT32_MAX);
}

static inline void back_close(struct block *b)
{
	block_close(container_of(b, struct back, block)->ram);
}

static const struct block_ops back_ops = {
	.name = "test", .submit = back_submit, .drain = back_drain, .close = back_close};

/* ---- the rig ---- */

static inline int rig_try(struct rig *g, const struct stage_class *class, const char *const *texts,
			  const struct stage_env *more, struct alc_err *err)
{
	struct stage_env env = more ? *more : (struct stage_env){0};

	env.host = &g->th.host;
	env.disk = "test";
	env.seed = 1;
	return class->create(&env, texts, &g->back.block, &g->top, err);
}

static inline void rig_open(struct rig *g, const struct stage_class *class,
			    const char *const *texts, const struct stage_env *more)
{
	struct alc_err err = {0};

	memset(g, 0, sizeof(*g));
	test_host_init(&g->th, TEST_TIME_MANUAL);
	g->th.manual_ns = 12345;
	g->bytes = calloc(1, RIG_BYTES);
	g->reqs = calloc(RIG_REQS, sizeof(*g->reqs));
	assert_true(g->bytes && g->reqs);
	pthread_mutex_init(&g->back.lock, NULL);
	g->back.end = &g->back.kept;
	assert_int_equal(block_ram_create(&g->th.host, RIG_BYTES, g->bytes, &g->back.ram, &err), 0);
	g->back.block = (struct block){&back_ops, g->back.ram->info};
	assert_int_equal(clock_create(&g->th.host, &g->clock), 0);
	if (rig_try(g, class, texts, more, &err)) {
		print_error("%s\n", err.text);
		fail();
	}
	block_attach(g->top, g->clock);
	assert_int_equal(clock_start(g->clock), 0);
}

/* Nothing may be in flight, and so no timer armed, when the clock goes. */
static inline void rig_close(struct rig *g)
{
	clock_destroy(g->clock);
	block_close(g->top);
	assert_int_equal(test_host_leaks(&g->th), 0);
	test_host_fini(&g->th);
	pthread_mutex_destroy(&g->back.lock);
	free(g->bytes);
	free(g->reqs);
}

static inline u64 rig_now(struct rig *g)
{
	return clock_now_ns(g->clock);
}

/* Lets time pass up to an instant, step by step, so that no timer is late. */
static inline void rig_until(struct rig *g, u64 ns, u64 step_ns)
{
	test_host_settle(&g->th);
	while (rig_now(g) < ns) {
		test_host_advance(&g->th, min_u64(step_ns, ns - rig_now(g)));
		test_host_settle(&g->th);
	}
}

static inline void rig_done(struct block_req *r)
{
	struct tested *t = r->ctx;

	t->done_ns = clock_now_ns(t->rig->clock);
	t->order = atomic_fetch_add(&t->rig->done, 1) + 1;
}

static inline struct tested *rig_make(struct rig *g, unsigned i, enum block_op op, u64 offset,
				      u64 len)
{
	struct tested *t = &g->reqs[i];

	assert_true(len <= sizeof(t->data));
	t->rig = g;
	t->order = 0;
	/* Two pieces, neither a whole block. */
	t->iov[0] = (struct alc_iov){t->data, (size_t)min_u64(len, 100)};
	t->iov[1] = (struct alc_iov){t->data + t->iov[0].len, len - t->iov[0].len};
	t->r = (struct block_req){
		.op = op,
		.offset = offset,
		.len = op == BLOCK_FLUSH ? 0 : len,
		.iov = t->iov,
		.niov = 2,
		.status = -EINVAL,
		.done = rig_done,
		.ctx = t,
	};
	return t;
}

static inline struct tested *rig_submit(struct rig *g, unsigned i, enum block_op op, u64 offset,
					u64 len)
{
	struct tested *t = rig_make(g, i, op, offset, len);

	block_submit(g->top, &t->r);
	return t;
}

/* A write of bytes that tell i. */
static inline struct tested *rig_write(struct rig *g, unsigned i, u64 offset, u64 len)
{
	struct tested *t = rig_make(g, i, BLOCK_WRITE, offset, len);

	memset(t->data, (int)(i % 251 + 1), len);
	block_submit(g->top, &t->r);
	return t;
}

static inline bool rig_has(const struct rig *g, u64 offset, u64 len, u8 byte)
{
	for (u64 i = 0; i < len; i++)
		if (g->bytes[offset + i] != byte)
			return false;
	return true;
}

struct stat_search {
	const char *name;
	double value;
	bool found;
};

static inline void stat_look(void *ctx, const char *name, double value)
{
	struct stat_search *s = ctx;

	if (!strcmp(name, s->name)) {
		s->value = value;
		s->found = true;
	}
}

static inline double rig_stat(struct rig *g, const char *name)
{
	struct stat_search s = {.name = name};

	block_stats(g->top, stat_look, &s);
	assert_true(s.found);
	return s.value;
}

/* What a user is told who asks for this. */
static inline void rig_refuses(const struct stage_class *class, const char *const *texts, int rc,
			       const char *says)
{
	struct alc_err err = {0};
	struct rig g = {0};

	test_host_init(&g.th, TEST_TIME_MANUAL);
	g.back.block = (struct block){&back_ops, {.size = RIG_BYTES, .block = 512}};
	assert_int_equal(rig_try(&g, class, texts, NULL, &err), rc);
	if (!strstr(err.text, says)) {
		print_error("'%s' does not say '%s'\n", err.text, says);
		fail();
	}
	assert_int_equal(test_host_leaks(&g.th), 0);
	test_host_fini(&g.th);
}

#endif
