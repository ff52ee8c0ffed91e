/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_DRIVE_TEST_H
#define TEST_DRIVE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "block/model/model.h"
#include "host/test/test_host.h"

/* What tests of drive models share: random numbers, streams of requests, a count of them. */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Sanitizers take ten times as long, and see what they look for in fewer requests. */
static inline unsigned requests_of(unsigned n)
{
	return SANITIZED ? n / 20 : n;
}

/* splitmix64: the same everywhere for a seed. */
static inline u64 random_next(u64 *state)
{
	u64 z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline u64 random_below(u64 *state, u64 n)
{
	return random_next(state) % n;
}

/* ---- Streams ------------------------------------------------------------------------------ */

enum stream_kind { STREAM_RANDOM, STREAM_SEQUENTIAL, STREAM_MIXED, STREAM_KINDS };

static const char *const stream_names[] = {"random", "sequential", "mixed"};

struct stream {
	enum stream_kind kind;
	u64 state, disk_sectors;
	u32 sectors_max;
	unsigned writes_percent;
	bool single; /* all are one sequence, instead of four */
	u64 at[4];   /* where the sequences are */
};

static inline void stream_place(struct stream *s, struct disk_req *r)
{
	u64 *at = &s->at[random_below(&s->state, s->single ? 1 : ARRAY_LEN(s->at))];
	bool follows = s->kind == STREAM_SEQUENTIAL ||
		       (s->kind == STREAM_MIXED && random_below(&s->state, 4) != 0);

	r->sectors = 1 + (u32)random_below(&s->state, s->sectors_max);
	/* Jumps, short steps over something and steps back are part of every stream. */
	if (!follows || random_below(&s->state, 64) == 0)
		*at = random_below(&s->state, s->disk_sectors);
	else if (random_below(&s->state, 16) == 0)
		*at += random_below(&s->state, 32);
	else if (random_below(&s->state, 16) == 0)
		*at -= min_u64(*at, random_below(&s->state, 64));
	if (*at + r->sectors > s->disk_sectors)
		*at = random_below(&s->state, s->disk_sectors - r->sectors + 1);
	r->sector = *at;
	*at += r->sectors;
	if (*at >= s->disk_sectors)
		*at = 0;
}

static inline void stream_next(struct stream *s, struct disk_req *r)
{
	*r = (struct disk_req){.op = BLOCK_READ};
	stream_place(s, r);
	if (random_below(&s->state, 100) < s->writes_percent)
		r->op = BLOCK_WRITE;
	r->span_sector = r->sector;
	r->span_sectors = r->sectors;
}

/* A drive that must come to be. */
static inline struct drive *drive_of(const struct alc_host *host, u64 sectors, const char *text)
{
	struct alc_err err = {0};
	struct drive *d = NULL;
	int rc = drive_create(&(struct drive_env){host, sectors, 42}, text, &d, &err);

	if (rc)
		print_error("%s: %s\n", text, err.text);
	assert_int_equal(rc, 0);
	return d;
}

static inline void add_stat(void *ctx, const char *name, double value)
{
	struct {
		const char *name;
		double value;
	} *wanted = ctx;

	if (!strcmp(name, wanted->name))
		wanted->value = value;
}

/* A counter of a drive; it must have it. */
static inline double drive_stat(const struct drive *d, const char *name)
{
	struct {
		const char *name;
		double value;
	} wanted = {name, -1};

	d->class->stats(d, add_stat, &wanted);
	assert_true(wanted.value >= 0);
	return wanted.value;
}

#endif
