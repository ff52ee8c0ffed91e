/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "case.h"
#include "values.h"
#include "plain.h"

u64 value_int(struct rng *r)
{
	u64 x = rng_u64(r);

	switch (rng_below(r, 12)) {
	case 0:
		return x % 3 - 1;
	case 1: /* min and max of each size */
		return (BIT(8 * (1u << (x & 3)) - 1) - (x >> 2 & 1)) << (x >> 3 & 1);
	case 2:
		return BIT(x & 63);
	case 3:
		return BIT(x & 63) - 1;
	case 4:
		return ~BIT(x & 63);
	case 5:
		return x & 0xff;
	case 6:
		return (u64) - (i64)(x & 0xff);
	case 7:
		return (u64)(i32)x;
	case 8:
		return (u32)x;
	case 9:
		return 0x0101010101010101ull * (x & 0xff);
	default:
		return x;
	}
}

u32 value_f32(struct rng *r)
{
	u64 x = rng_u64(r);
	u32 sign = (u32)(x & BIT(31)), frac = (u32)(x >> 32) & 0x7fffff;

	switch (rng_below(r, 10)) {
	case 0:
		return sign;
	case 1: /* infinity */
		return sign | 0x7f800000;
	case 2: /* NaN, quiet or signalling */
		return sign | 0x7f800001 | frac;
	case 3: /* denormal */
		return sign | frac;
	case 4: /* small integer */
		return sign | (0x3f800000 + (frac & 0x0ff00000) / 16 + (frac & 0x03f80000));
	case 5: /* near overflow or underflow */
		return sign | (x & 1 ? 0x7f000000 : 0x00800000) | frac;
	case 6: /* integer conversion limits */
		return sign | (0x4e000000 + ((u32)(x & 0x3f) << 23)) | (x & 64 ? 0 : frac);
	default:
		return sign | (0x3b000000 + ((u32)(x & 15) << 23)) | frac;
	}
}

u64 value_f64(struct rng *r)
{
	u64 x = rng_u64(r), frac = rng_u64(r) >> 12, sign = x & BIT(63);

	switch (rng_below(r, 10)) {
	case 0:
		return sign;
	case 1:
		return sign | 0x7ff0000000000000ull;
	case 2:
		return sign | 0x7ff0000000000001ull | frac;
	case 3:
		return sign | frac;
	case 4: /* an integer of few bits */
		return sign | (0x3ff0000000000000ull + ((x & 7) << 52)) |
		       (frac & 0xff00000000000ull);
	case 5:
		return sign | (x & 1 ? 0x7fe0000000000000ull : 0x0010000000000000ull) | frac;
	case 6:
		return sign | (0x41c0000000000000ull + ((x & 0x3f) << 52)) | (x & 64 ? 0 : frac);
	case 7: /* at the limits of single precision */
		return sign | ((x & 1 ? 0x47e0ull : 0x3690ull) << 48) | ((x & 0xff) << 45) | frac;
	default:
		return sign | (0x3fb0000000000000ull + ((x & 15) << 52)) | frac;
	}
}

void value_f80(struct rng *r, u64 out[2])
{
	u64 x = rng_u64(r), frac = rng_u64(r), sign = x & 0x8000;
	unsigned spread = (unsigned)(x >> 16 & 31);

	out[0] = frac | BIT(63);
	switch (rng_below(r, 12)) {
	case 0: /* zero */
		out[0] = 0;
		out[1] = sign;
		break;
	case 1: /* infinity */
		out[0] = BIT(63);
		out[1] = sign | 0x7fff;
		break;
	case 2: /* NaN, or pseudo-NaN without the integer bit */
		out[0] = x & BIT(40) ? frac : frac | BIT(63);
		out[1] = sign | 0x7fff;
		break;
	case 3: /* denormal */
		out[0] = frac >> (1 + spread);
		out[1] = sign;
		break;
	case 4: /* pseudo-denormal */
		out[1] = sign;
		break;
	case 5: /* unnormal */
		out[0] = frac & ~BIT(63);
		out[1] = sign | (0x3ff0 + spread);
		break;
	case 6: /* extremes */
		out[1] = sign | (x & BIT(41) ? 0x7ffe - spread % 4 : 1 + spread % 4);
		break;
	case 7: /* integer */
		out[0] = (frac | BIT(63)) & ~mask_low(63 - spread);
		out[1] = sign | (0x3fff + spread);
		break;
	case 8: /* MMX */
		out[0] = frac;
		out[1] = 0xffff;
		break;
	default:
		out[1] = sign | (0x3ff8 + spread % 16);
		break;
	}
}

u64 value_code_address(struct rng *r)
{
	return CASE_CODE + rng_below(r, CASE_CODE_SIZE);
}

void value_vector(struct rng *r, u64 out[4])
{
	u64 kind = rng_below(r, 8);

	for (unsigned i = 0; i < 4; i++) {
		switch (kind) {
		case 0:
		case 1:
			out[i] = (u64)value_f32(r) << 32 | value_f32(r);
			break;
		case 2:
		case 3:
			out[i] = value_f64(r);
			break;
		case 4: /* small elements: shift counts, shuffles, indices */
			out[i] = rng_u64(r) & 0x0f1f3f0f071f030full;
			break;
		case 5: /* masks */
			out[i] = (rng_u64(r) >> 7 & 0x0101010101010101ull) * 0xff;
			break;
		default:
			out[i] = kind == 6 ? value_int(r) : rng_u64(r);
		}
	}
}

void values_vectors(struct rng *r, u64 vec[32][8], u64 k[8])
{
	for (unsigned i = 0; i < 32; i++) {
		value_vector(r, vec[i]);
		value_vector(r, vec[i] + 4);
	}
	for (unsigned i = 0; i < 8; i++) {
		u64 some = rng_u64(r);

		k[i] = rng_percent(r, 15) ? ~0ull : rng_percent(r, 10) ? 0 : some;
		if (rng_percent(r, 20))
			k[i] = 1ull << (some & 15);
	}
}

void values_fill(u64 seed, u8 *mem, size_t len)
{
	struct rng r = {seed};
	u64 v[4];

	for (size_t off = 0; off + 32 <= len; off += 32) {
		switch (rng_below(&r, 8)) {
		case 0: /* two 80-bit numbers, one of them aligned */
			value_f80(&r, v);
			value_f80(&r, v + 2);
			break;
		case 1: /* where an indirect branch or a return may land */
			for (unsigned i = 0; i < 4; i++)
				v[i] = value_code_address(&r);
			break;
		default:
			value_vector(&r, v);
		}
		plain_copy(mem + off, v, 32);
	}
}
