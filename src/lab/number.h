/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAB_NUMBER_H
#define LAB_NUMBER_H

#include "base/bits.h"

/*
 * Random numbers and the little mathematics that their distributions need.
 *
 * A workload must be the same with every compiler, with and without a C library, in the simulator
 * and in a guest; a C library's log and pow are not (they may differ in the last bit from version
 * to version). These are made of the four operations alone, which IEEE 754 rounds in one way; the
 * core is compiled without contraction of a*b+c. Relative error below 1e-14.
 */
double num_log(double x);           /* x > 0, finite */
double num_exp(double x);           /* -700 < x < 700 */
double num_pow(double x, double y); /* x > 0 */
double num_sqrt(double x);          /* x >= 0 */

/* xoshiro256**, seeded by splitmix64 (Blackman, Vigna: Scrambled Linear Generators, 2018). */
struct rng {
	u64 s[4];
};

/* Streams of one seed are independent of each other: one for each process, say. */
void rng_init(struct rng *r, u64 seed, u64 stream);
u64 rng_next(struct rng *r);
u64 rng_below(struct rng *r, u64 n); /* 0 … n-1; n at least 1 */
double rng_unit(struct rng *r);      /* uniform in (0, 1], multiples of 2^-53 */

double rng_exponential(struct rng *r, double mean);
/* P(X > x) = (k / x)^alpha for x >= k. Mean k * alpha / (alpha - 1), infinite for alpha <= 1. */
double rng_pareto(struct rng *r, double alpha, double k);
double rng_normal(struct rng *r);
double rng_lognormal(struct rng *r, double mu, double sigma);

/* A sleep or a gap in whole nanoseconds, at least 1 and at most a century. */
u64 num_ns(double ns);

/*
 * Zipf: of n ranks the i-th, from 0, has a probability proportional to 1 / (i + 1)^exponent.
 * cumulative: room for n numbers, of the caller.
 */
struct zipf {
	double *cumulative;
	u32 n;
};

void zipf_init(struct zipf *z, double *cumulative, u32 n, double exponent);
u32 zipf_draw(const struct zipf *z, struct rng *r);

#endif
