/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_UNIT_NET_TEST_H
#define TEST_UNIT_NET_TEST_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/linux/loop.h"
#include "host/test/test_host.h"
#include "net/linux/open.h"

/* A card for tests: keeps what comes, in order, and waits for it. */
enum { CARD_FRAMES = 256 };

struct card {
	struct net_link *link;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct {
		u8 *bytes;
		u32 len;
		struct net_offload offload;
	} frames[CARD_FRAMES];
	unsigned nframes, taken; /* came; looked at */
	unsigned room;           /* frames until it refuses */
	unsigned refused, rooms; /* how often it did; how often it was told of room */
	bool up;
};

static inline bool card_receive(void *ctx, const struct net_frame *f)
{
	struct card *c = ctx;
	bool take;

	pthread_mutex_lock(&c->lock);
	take = c->room && c->nframes < CARD_FRAMES;
	if (take) {
		u8 *bytes = malloc(f->len);

		iov_copy_from(f->iov, f->niov, 0, bytes, f->len);
		c->frames[c->nframes].bytes = bytes;
		c->frames[c->nframes].len = f->len;
		c->frames[c->nframes++].offload = f->offload;
		c->room--;
	} else {
		c->refused++;
	}
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	return take;
}

static inline void card_room(void *ctx)
{
	struct card *c = ctx;

	pthread_mutex_lock(&c->lock);
	c->rooms++;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static inline void card_carrier(void *ctx, bool up)
{
	struct card *c = ctx;

	pthread_mutex_lock(&c->lock);
	c->up = up;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static inline void card_attach(struct card *c, struct net_link *link)
{
	const struct net_front front = {card_receive, card_room, card_carrier, c};

	*c = (struct card){
		.link = link,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.room = ~0u,
		.up = true,
	};
	net_attach(link, &front);
}

/* Gives the link back too. */
static inline void card_close(struct card *c)
{
	net_attach(c->link, NULL);
	net_close(c->link);
	for (unsigned i = 0; i < c->nframes; i++)
		free(c->frames[i].bytes);
}

/* As if nothing had come. */
static inline void card_forget(struct card *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->nframes)
		free(c->frames[--c->nframes].bytes);
	c->taken = 0;
	pthread_mutex_unlock(&c->lock);
	net_resume(c->link);
}

/* Waits until `n` frames came. */
static inline void card_await(struct card *c, unsigned n)
{
	pthread_mutex_lock(&c->lock);
	while (c->nframes < n)
		pthread_cond_wait(&c->changed, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

static inline void card_await_down(struct card *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->up)
		pthread_cond_wait(&c->changed, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

static inline void card_await_refusal(struct card *c)
{
	pthread_mutex_lock(&c->lock);
	while (!c->refused)
		pthread_cond_wait(&c->changed, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

/* Looks at frames in the order they came, waiting for more, until one is what is looked for. */
static inline const u8 *card_find(struct card *c, bool (*is_it)(const u8 *f, u32 len), u32 *len)
{
	for (;;) {
		card_await(c, c->taken + 1);
		*len = c->frames[c->taken].len;
		if (is_it(c->frames[c->taken++].bytes, *len))
			return c->frames[c->taken - 1].bytes;
	}
}

static inline bool card_send(struct card *c, const u8 *bytes, u32 len)
{
	struct alc_iov iov = {(u8 *)(uintptr_t)bytes, len};
	const struct net_frame f = {.iov = &iov, .niov = 1, .len = len};

	return net_send(c->link, &f);
}

/* Until it is taken. */
static inline void card_send_all(struct card *c, const struct net_frame *f)
{
	pthread_mutex_lock(&c->lock);
	for (;;) {
		unsigned rooms = c->rooms;
		bool taken;

		pthread_mutex_unlock(&c->lock);
		taken = net_send(c->link, f);
		pthread_mutex_lock(&c->lock);
		if (taken)
			break;
		while (c->rooms == rooms)
			pthread_cond_wait(&c->changed, &c->lock);
	}
	pthread_mutex_unlock(&c->lock);
}

/* Options as "key=value" or "key", up to a NULL. */
static inline int open_net(struct test_host *th, struct loop *loop, struct net_link **out,
			   struct alc_err *err, const char *kind, ...)
{
	static char texts[8][300];
	struct alc_device_opt opts[8];
	struct alc_net_desc d = {.kind = kind, .opts = opts};
	const char *o;
	va_list ap;

	va_start(ap, kind);
	while ((o = va_arg(ap, const char *))) {
		char *text = texts[d.nopts], *eq;

		strncpy(text, o, sizeof(texts[0]) - 1);
		eq = strchr(text, '=');
		if (eq)
			*eq++ = 0;
		opts[d.nopts++] = (struct alc_device_opt){text, eq};
	}
	va_end(ap);
	return net_open(&th->host, loop, &d, "net0", out, err);
}

#endif
