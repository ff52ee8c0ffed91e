/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_FRAMING_H
#define NET_FRAMING_H

#include "base/bits.h"

/*
 * Frames on a byte stream: each is its length, 32 bits in network order, then its bytes. What
 * passt and socket back ends of other monitors speak.
 *
 * The reader is a window on the caller's buffer: bytes come in at its end in whatever pieces the
 * stream gives, whole frames go out at its start. A length outside [min, max] is a peer that is
 * broken or hostile: there is no way to find the next frame, so the reader stays broken.
 */
enum { FRAMING_HEAD = 4 };

struct framing {
	u8 *buf;
	u32 size;       /* at least FRAMING_HEAD + max */
	u32 start, end; /* bytes that came in and were not yet taken */
	u32 min, max;   /* of a frame */
	bool broken;
};

void framing_init(struct framing *r, u8 *buf, u32 size, u32 min, u32 max);
/* Where the next bytes go, and how many fit: never 0 unless a whole frame or worse is there. */
u8 *framing_space(struct framing *r, u32 *room);
void framing_filled(struct framing *r, u32 n);
/* The first frame, or NULL: not whole yet, or broken. It stays until framing_take. */
u8 *framing_peek(struct framing *r, u32 *len);
void framing_take(struct framing *r);

static inline void framing_put_head(u8 head[FRAMING_HEAD], u32 len)
{
	st32(head, __builtin_bswap32(len));
}

#endif
