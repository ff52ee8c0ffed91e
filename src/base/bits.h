/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;

#define BIT(n)                          (1ull << (n))
#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define likely(x)                       __builtin_expect(!!(x), 1)
#define unlikely(x)                     __builtin_expect(!!(x), 0)
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* The low `n` bits set, 0 <= n <= 64. */
static inline u64 mask_low(unsigned n)
{
	return n >= 64 ? ~0ull : BIT(n) - 1;
}

/* Bits [lo, lo+width) of v. */
static inline u64 field_get(u64 v, unsigned lo, unsigned width)
{
	return (v >> lo) & mask_low(width);
}

/* v cut to `size` bytes (1, 2, 4, 8), zero-extended / sign-extended. */
static inline u64 zext(u64 v, unsigned size)
{
	return v & mask_low(size * 8);
}

static inline i64 sext(u64 v, unsigned size)
{
	unsigned shift = 64 - size * 8;
	return (i64)(v << shift) >> shift;
}

static inline u64 align_down(u64 v, u64 to)
{
	return v & ~(to - 1);
}

static inline u64 align_up(u64 v, u64 to)
{
	return (v + to - 1) & ~(to - 1);
}

static inline u64 min_u64(u64 a, u64 b)
{
	return a < b ? a : b;
}

static inline u64 max_u64(u64 a, u64 b)
{
	return a > b ? a : b;
}

/* a * mul / div without overflow of the product. */
static inline u64 mul_div(u64 a, u64 mul, u64 div)
{
	return (u64)((unsigned __int128)a * mul / div);
}

/*
 * Loads and stores at any alignment, each compiled to one move: guest memory is shared with
 * other vCPUs, so a load must never be split, repeated or merged by the compiler.
 */
typedef u16 __attribute__((aligned(1), may_alias)) u16_una;
typedef u32 __attribute__((aligned(1), may_alias)) u32_una;
typedef u64 __attribute__((aligned(1), may_alias)) u64_una;

static inline u8 ld8(const void *p)
{
	return *(const volatile u8 *)p;
}

static inline u16 ld16(const void *p)
{
	return *(const volatile u16_una *)p;
}

static inline u32 ld32(const void *p)
{
	return *(const volatile u32_una *)p;
}

static inline u64 ld64(const void *p)
{
	return *(const volatile u64_una *)p;
}

static inline void st8(void *p, u8 v)
{
	*(volatile u8 *)p = v;
}

static inline void st16(void *p, u16 v)
{
	*(volatile u16_una *)p = v;
}

static inline void st32(void *p, u32 v)
{
	*(volatile u32_una *)p = v;
}

static inline void st64(void *p, u64 v)
{
	*(volatile u64_una *)p = v;
}

static inline u64 ld_size(const void *p, unsigned size)
{
	switch (size) {
	case 1:
		return ld8(p);
	case 2:
		return ld16(p);
	case 4:
		return ld32(p);
	default:
		return ld64(p);
	}
}

static inline void st_size(void *p, u64 v, unsigned size)
{
	switch (size) {
	case 1:
		st8(p, (u8)v);
		break;
	case 2:
		st16(p, (u16)v);
		break;
	case 4:
		st32(p, (u32)v);
		break;
	default:
		st64(p, v);
		break;
	}
}

#endif
