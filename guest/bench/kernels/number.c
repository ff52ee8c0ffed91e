/* SPDX-License-Identifier: BSD-2-Clause */
/* Floating point, scalar and in vectors. Nothing here may be contracted to fused operations: a
 * checksum is of exact bits. */
#include <immintrin.h>

#include "kernels.h"

enum { SIDE = 64, FLOATS = 2048, POINTS = 256 };

static double a[SIDE][SIDE], b[SIDE][SIDE], c[SIDE][SIDE];
static long double point[POINTS];
static float x[FLOATS] __attribute__((aligned(64))), y[FLOATS] __attribute__((aligned(64)));

void matrix_prepare(void)
{
	for (size_t i = 0; i < SIDE; i++)
		for (size_t j = 0; j < SIDE; j++) {
			a[i][j] = (double)((i * SIDE + j) % 7) + 0.5;
			b[i][j] = (double)((i * SIDE + j) % 5) - 1.25;
		}
}

static uint64_t bits_of(double value)
{
	union {
		double value;
		uint64_t bits;
	} u = {value};

	return u.bits;
}

static void add_product(void)
{
	for (size_t i = 0; i < SIDE; i++)
		for (size_t k = 0; k < SIDE; k++)
			for (size_t j = 0; j < SIDE; j++)
				c[i][j] += a[i][k] * b[k][j];
}

uint64_t matrix(uint64_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < SIDE; i++)
		for (size_t j = 0; j < SIDE; j++)
			c[i][j] = 0;
	while (count--) {
		add_product();
		barrier();
	}
	for (size_t i = 0; i < SIDE; i++)
		for (size_t j = 0; j < SIDE; j++)
			sum = mix(sum, bits_of(c[i][j]));
	return sum;
}

void long_double_prepare(void)
{
	for (size_t i = 0; i < POINTS; i++)
		point[i] = (long double)(i % 37) / 64 - 0.25L;
}

/* A polynomial at each point, which becomes its value: x87 with most operands in memory. */
uint64_t long_double(uint64_t count)
{
	static const long double factor[] = {0.5L, -0.25L, 0.125L, 0.75L, -0.5L, 0.0625L};
	uint64_t sum = 0;

	while (count--) {
		for (size_t i = 0; i < POINTS; i++) {
			long double value = 0;

			for (size_t k = 0; k < sizeof(factor) / sizeof(factor[0]); k++)
				value = value * point[i] + factor[k];
			point[i] = value;
		}
		barrier();
	}
	for (size_t i = 0; i < POINTS; i++)
		sum = mix(sum, bits_of((double)point[i]));
	return sum;
}

void vector_prepare(void)
{
	for (size_t i = 0; i < FLOATS; i++)
		x[i] = (float)(i % 31) - 14.75f;
}

static void clear_y(void)
{
	for (size_t i = 0; i < FLOATS; i++)
		y[i] = 0;
}

static uint64_t sum_of_y(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < FLOATS; i++)
		sum = mix(sum, bits_of(y[i]));
	return sum;
}

/* y = max(x * 1.5 + y * 0.5, -16), which neither overflows nor becomes denormal. */
uint64_t vector_sse(uint64_t count)
{
	const __m128 up = _mm_set1_ps(1.5f), half = _mm_set1_ps(0.5f), floor = _mm_set1_ps(-16);

	clear_y();
	while (count--) {
		for (size_t i = 0; i < FLOATS; i += 4) {
			__m128 sum = _mm_add_ps(_mm_mul_ps(_mm_load_ps(x + i), up),
						_mm_mul_ps(_mm_load_ps(y + i), half));

			_mm_store_ps(y + i, _mm_max_ps(sum, floor));
		}
		barrier();
	}
	return sum_of_y();
}

bool avx2_usable(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2");
}

/* The same, and neighbours swapped, which takes AVX2's permutation across lanes. */
__attribute__((target("avx2"))) uint64_t vector_avx2(uint64_t count)
{
	const __m256 up = _mm256_set1_ps(1.5f), half = _mm256_set1_ps(0.5f);
	const __m256 floor = _mm256_set1_ps(-16);
	const __m256i swap = _mm256_set_epi32(3, 2, 1, 0, 7, 6, 5, 4);

	clear_y();
	while (count--) {
		for (size_t i = 0; i < FLOATS; i += 8) {
			__m256 old = _mm256_permutevar8x32_ps(_mm256_load_ps(y + i), swap);
			__m256 sum = _mm256_add_ps(_mm256_mul_ps(_mm256_load_ps(x + i), up),
						   _mm256_mul_ps(old, half));

			_mm256_store_ps(y + i, _mm256_max_ps(sum, floor));
		}
		barrier();
	}
	return sum_of_y();
}

bool avx512_usable(void)
{
	return __builtin_cpu_supports("avx512f");
}

/* The same with a mask, by which every other number stays what it was. */
__attribute__((target("avx512f"))) uint64_t vector_avx512(uint64_t count)
{
	const __m512 up = _mm512_set1_ps(1.5f), half = _mm512_set1_ps(0.5f);
	const __m512 floor = _mm512_set1_ps(-16);

	clear_y();
	while (count--) {
		for (size_t i = 0; i < FLOATS; i += 16) {
			__m512 old = _mm512_load_ps(y + i);
			__m512 sum = _mm512_add_ps(_mm512_mul_ps(_mm512_load_ps(x + i), up),
						   _mm512_mul_ps(old, half));

			_mm512_store_ps(y + i, _mm512_mask_max_ps(old, 0x5555, sum, floor));
		}
		barrier();
	}
	return sum_of_y();
}
