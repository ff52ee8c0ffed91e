/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/framing.h"

void framing_init(struct framing *r, u8 *buf, u32 size, u32 min, u32 max)
{
	*r = (struct framing){.buf = buf, .size = size, .min = min, .max = max};
}

u8 *framing_space(struct framing *r, u32 *room)
{
	if (r->start == r->end) {
		r->start = r->end = 0;
	} else if (r->size - r->start < FRAMING_HEAD + r->max) {
		__builtin_memmove(r->buf, r->buf + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	*room = r->size - r->end;
	return r->buf + r->end;
}

void framing_filled(struct framing *r, u32 n)
{
	r->end += n;
}

u8 *framing_peek(struct framing *r, u32 *len)
{
	u32 have = r->end - r->start, n;

	if (r->broken || have < FRAMING_HEAD)
		return NULL;
	n = __builtin_bswap32(ld32(r->buf + r->start));
	r->broken = n < r->min || n > r->max;
	if (r->broken || have - FRAMING_HEAD < n)
		return NULL;
	*len = n;
	return r->buf + r->start + FRAMING_HEAD;
}

void framing_take(struct framing *r)
{
	r->start += FRAMING_HEAD + __builtin_bswap32(ld32(r->buf + r->start));
}
