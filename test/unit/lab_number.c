/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lab/number.h"

/* Against the C library's, which is right to a unit in the last place or so. */
static void functions_are_exact_enough(void **state)
{
	struct rng r;

	rng_init(&r, 1, 0);
	for (int i = 0; i < 200000; i++) {
		double x = exp((rng_unit(&r) - 0.5) * 1300), y = (rng_unit(&r) - 0.5) * 1300;

		assert_true(fabs(num_log(x) - log(x)) <= 1e-14 * fabs(log(x)) + 1e-16);
		assert_true(fabs(num_exp(y) / exp(y) - 1) < 1e-14);
		assert_true(fabs(num_sqrt(x) / sqrt(x) - 1) < 1e-15);
	}
	assert_true(num_log(1) == 0 && num_exp(0) == 1 && num_sqrt(0) == 0);
	assert_true(fabs(num_log(5e-324) - log(5e-324)) < 1e-11);
	for (int i = 0; i < 100000; i++) {
		double x = rng_unit(&r), y = (rng_unit(&r) - 0.5) * 20;

		assert_true(fabs(num_pow(x, y) / pow(x, y) - 1) < 1e-13);
	}
}

/* What any compiler and any machine must give: a workload is named by its seed. */
static void numbers_never_change(void **state)
{
	u64 sum = 0;
	double bits;
	struct rng r;

	rng_init(&r, 42, 7);
	assert_true(rng_next(&r) == 0x719e15cf3d4342f);
	for (int i = 0; i < 100000; i++) {
		double all[4];

		all[0] = rng_pareto(&r, 1.5, 8);
		all[1] = rng_lognormal(&r, 9.357, 1.318);
		all[2] = rng_exponential(&r, 3);
		all[3] = rng_unit(&r);

		for (unsigned n = 0; n < ARRAY_LEN(all); n++) {
			u64 v;

			bits = all[n];
			__builtin_memcpy(&v, &bits, sizeof(v));
			sum = (sum ^ v) * 0x100000001b3;
		}
	}
	assert_true(sum == 0x911f9073c6b00675);
}

static void streams_differ(void **state)
{
	struct rng a, b, c;

	rng_init(&a, 1, 0);
	rng_init(&b, 1, 1);
	rng_init(&c, 2, 0);
	for (int i = 0; i < 1000; i++) {
		u64 x = rng_next(&a), y = rng_next(&b), z = rng_next(&c);

		assert_true(x != y && y != z && x != z);
	}
}

/* Seeds are fixed, so the bounds are those of this one sample: five deviations of its mean. */
enum { SAMPLES = 400000 };

static void moments(double (*draw)(struct rng *r), double *mean, double *deviation)
{
	double sum = 0, squares = 0;
	struct rng r;

	rng_init(&r, 3, 0);
	for (int i = 0; i < SAMPLES; i++) {
		double x = draw(&r);

		sum += x;
		squares += x * x;
	}
	*mean = sum / SAMPLES;
	*deviation = sqrt(squares / SAMPLES - *mean * *mean);
}

static double unit(struct rng *r)
{
	return rng_unit(r);
}

static double exponential(struct rng *r)
{
	return rng_exponential(r, 3);
}

static double normal(struct rng *r)
{
	return rng_normal(r);
}

/* alpha 5: a mean of 2.5 and a deviation of 0.645, which are finite enough to be sampled. */
static double pareto(struct rng *r)
{
	return rng_pareto(r, 5, 2);
}

static double lognormal(struct rng *r)
{
	return rng_lognormal(r, 1, 0.5);
}

static double below(struct rng *r)
{
	return (double)rng_below(r, 6);
}

static void moments_are_right(void **state)
{
	static const struct {
		double (*draw)(struct rng *r);
		double mean, deviation;
	} cases[] = {
		{unit, 0.5, 0.288675},
		{exponential, 3, 3},
		{normal, 0, 1},
		{pareto, 2.5, 0.645497},
		{lognormal, 3.080217, 1.641572},
		{below, 2.5, 1.707825},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		double mean, deviation;

		moments(cases[i].draw, &mean, &deviation);
		assert_true(fabs(mean - cases[i].mean) < 5 * cases[i].deviation / sqrt(SAMPLES));
		assert_true(fabs(deviation / cases[i].deviation - 1) < 0.02);
	}
}

/* P(X > x) = (k/x)^alpha, also where there is no mean. */
static void pareto_has_its_tail(void **state)
{
	const double alpha = 0.9, k = 2;
	unsigned beyond[4] = {0};
	struct rng r;

	rng_init(&r, 4, 0);
	for (int i = 0; i < SAMPLES; i++) {
		double x = rng_pareto(&r, alpha, k);

		assert_true(x >= k);
		for (int n = 0; n < 4; n++)
			beyond[n] += x > k * pow(10, n);
	}
	for (int n = 1; n < 4; n++) {
		double p = pow(10, -n * alpha), noise = sqrt(p * (1 - p) / SAMPLES);

		assert_true(fabs((double)beyond[n] / SAMPLES - p) < 5 * noise);
	}
}

static void zipf_has_its_law(void **state)
{
	enum { N = 1000 };
	double *cumulative = malloc(N * sizeof(*cumulative)), harmonic = 0;
	unsigned seen[N] = {0};
	struct zipf z;
	struct rng r;

	zipf_init(&z, cumulative, N, 0.8);
	rng_init(&r, 5, 0);
	for (int i = 0; i < SAMPLES; i++) {
		u32 n = zipf_draw(&z, &r);

		assert_true(n < N);
		seen[n]++;
	}
	for (int i = 1; i <= N; i++)
		harmonic += pow(i, -0.8);
	for (int i = 0; i < N; i += 37) {
		double p = pow(i + 1, -0.8) / harmonic, noise = sqrt(p * (1 - p) / SAMPLES);

		assert_true(fabs((double)seen[i] / SAMPLES - p) < 5 * noise);
	}
	free(cumulative);
}

static void times_stay_in_range(void **state)
{
	assert_int_equal(num_ns(0), 1);
	assert_int_equal(num_ns(-5), 1);
	assert_int_equal(num_ns(1234.9), 1234);
	assert_true(num_ns(1e300) < UINT64_MAX / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_exact_enough),
		cmocka_unit_test(numbers_never_change),
		cmocka_unit_test(streams_differ),
		cmocka_unit_test(moments_are_right),
		cmocka_unit_test(pareto_has_its_tail),
		cmocka_unit_test(zipf_has_its_law),
		cmocka_unit_test(times_stay_in_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
