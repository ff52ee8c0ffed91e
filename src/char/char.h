/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CHAR_CHAR_H
#define CHAR_CHAR_H

#include "base/bits.h"

/*
 * Character streams between a front end (a UART) and a back end (a terminal, a file, nothing).
 *
 * The back end pushes input into the front end, never more than `room` says; when room was 0 and
 * grows again the front end calls back end `resume`. Output is taken whole; a back end that
 * can't keep up blocks or drops, as its kind documents.
 *
 * Threading: write and resume are called with the front end's lock held; room and input take it.
 */
struct alc_char_front {
	size_t (*room)(void *ctx);
	void (*input)(void *ctx, const u8 *bytes, size_t len);
	void *ctx;
};

struct alc_char_ops {
	const char *name;
	/* Required. */
	void (*write)(void *ctx, const u8 *bytes, size_t len);
	/* Optional: there is room again for input. */
	void (*resume)(void *ctx);
	/* Optional: who takes input; called once, before the machine runs. NULL front: detach. */
	void (*attach)(void *ctx, const struct alc_char_front *front);
};

struct alc_char {
	const struct alc_char_ops *ops; /* NULL: a null device */
	void *ctx;
};

static inline void char_write(const struct alc_char *c, const u8 *bytes, size_t len)
{
	if (c->ops)
		c->ops->write(c->ctx, bytes, len);
}

static inline void char_resume(const struct alc_char *c)
{
	if (c->ops && c->ops->resume)
		c->ops->resume(c->ctx);
}

static inline void char_attach(const struct alc_char *c, const struct alc_char_front *front)
{
	if (c->ops && c->ops->attach)
		c->ops->attach(c->ctx, front);
}

#endif
