/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_MODEL_BUFFER_H
#define BLOCK_MODEL_BUFFER_H

#include "alcazar/err.h"
#include "host/host.h"

/*
 * The write buffer of a solid-state drive: which units it has, and when each leaves it because the
 * flash has it. A unit that was written twice is there twice.
 */
struct buffer;

int buffer_create(const struct alc_host *host, u32 max, struct buffer **out,
		  struct alc_err *err) ALC_MUST_CHECK;
void buffer_destroy(struct buffer *b);

/* Drops what has left by now_ns. */
void buffer_forget(struct buffer *b, u64 now_ns);
bool buffer_is_full(const struct buffer *b);
/* Drops what leaves first, of equals what came first, and says when; there must be something. */
u64 buffer_drop(struct buffer *b);
/* There must be room. */
void buffer_put(struct buffer *b, u64 unit, u64 leaves_ns);
bool buffer_has(const struct buffer *b, u64 unit);

#endif
