/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_RNG_H
#define TEST_ISA_RNG_H

#include "base/bits.h"

/* SplitMix64: any 64-bit seed is as good as another, so a case number can be one. */
struct rng {
	u64 state;
};

static inline u64 rng_mix(u64 z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline u64 rng_u64(struct rng *r)
{
	r->state += 0x9e3779b97f4a7c15ull;
	return rng_mix(r->state);
}

/* 0 <= result < n, n > 0 */
static inline u64 rng_below(struct rng *r, u64 n)
{
	return (u64)(((unsigned __int128)rng_u64(r) * n) >> 64);
}

static inline bool rng_percent(struct rng *r, unsigned percent)
{
	return rng_below(r, 100) < percent;
}

#endif
