/* SPDX-License-Identifier: BSD-2-Clause */
#include <emmintrin.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux32.h"

enum { N = 512 };

static int by_value(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

static u32 fib(u32 n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static u32 step_up(u32 v)
{
	return v + 0x10001;
}

static u32 turn(u32 v)
{
	return v << 5 | v >> 27;
}

static u32 fold(u32 v)
{
	return mix(v, v >> 3);
}

u32 arithmetic(u32 seed)
{
	static u32 (*const functions[])(u32) = {step_up, turn, fold, fib};
	u32 v[N], sum = 0;
	u64 wide_sum = seed;
	int64_t quotient = 0;

	for (unsigned i = 0; i < N; i++) {
		v[i] = next_random(&seed);
		wide_sum = wide_sum * 6364136223846793005ull + v[i];
		quotient += (int64_t)wide_sum / (int32_t)(v[i] | 1);
		sum = mix(sum, functions[v[i] >> 30 & 3](v[i] >> 30 == 3 ? v[i] >> 26 & 7 : v[i]));
	}
	qsort(v, N, sizeof(v[0]), by_value);
	for (unsigned i = 1; i < N; i++)
		sum = mix(sum, (v[i] < v[i - 1]) + (u32)__builtin_popcount(v[i]));
	return mix(mix(sum, (u32)wide_sum), (u32)((u64)quotient >> 7));
}

/* Strings of all lengths and places: the library's routines for this processor. */
u32 text(u32 seed)
{
	static char a[3 * 4096], b[3 * 4096];
	u32 sum = 0;

	for (unsigned i = 0; i < 64; i++) {
		u32 from = next_random(&seed) >> 18 & 4095, to = next_random(&seed) >> 18 & 4095;
		u32 len = next_random(&seed) >> (i & 1 ? 19 : 25);

		len = len > 8000 ? 8000 : len;
		memset(a + from, (int)(seed >> 24 | 1), len);
		a[from + len] = '\0';
		memmove(b + to, a + from, len + 1);
		memmove(b + to + (len > 40 ? 13 : 0), b + to, len > 40 ? len - 13 : len);
		sum = mix(sum, (u32)strlen(b + to));
		sum = mix(sum, (u32)(memcmp(a + from, b + to, len) < 0));
		__asm__ volatile("rep movsl" : : "S"(a), "D"(b), "c"(i * 16) : "memory");
		snprintf(a, sizeof(a), "%u %s %.3f", i, "of", i / 3.0);
		sum = mix(sum, (u32)strlen(strcat(a, "!")));
	}
	return sum;
}

static u32 bits_of(double d)
{
	u64 v;

	memcpy(&v, &d, sizeof(v));
	return mix((u32)v, (u32)(v >> 32));
}

/* Compiled for x87, as i386 has it; volatile, that every result is rounded. */
u32 floating(u32 seed)
{
	volatile double x = 1.0 + (seed & 0xffff) / 65536.0, y = 0;
	volatile long double l = x;
	u32 sum = 0;

	for (unsigned i = 1; i < 60; i++) {
		y = y * 0.75 + sqrt(x * i) - floor(x / i);
		x = x + (i & 1 ? 0.25 : -0.125) * y / i;
		l = l * 1.000001L + y;
		sum = mix(sum, bits_of(x));
		sum = mix(sum, (u32)(int)(y * 1000));
	}
	return mix(sum, bits_of((double)l));
}

__attribute__((target("sse2"))) u32 vectors(u32 seed)
{
	float f[64] __attribute__((aligned(16)));
	__m128i v = _mm_set1_epi32((int)seed), w = _mm_set_epi32(1, 2, 3, 4);
	__m128 total = _mm_setzero_ps();
	u32 out[4], sum = 0;

	for (unsigned i = 0; i < 64; i++)
		f[i] = (float)(next_random(&seed) >> 8);
	for (unsigned i = 0; i < 64; i += 4) {
		total = _mm_add_ps(total, _mm_sqrt_ps(_mm_load_ps(f + i)));
		v = _mm_add_epi32(_mm_xor_si128(v, _mm_cvtps_epi32(_mm_load_ps(f + i))), w);
		w = _mm_shuffle_epi32(_mm_mul_epu32(v, w), 0x1b);
	}
	_mm_storeu_si128((__m128i *)out, _mm_xor_si128(v, w));
	for (unsigned i = 0; i < 4; i++)
		sum = mix(sum, out[i]);
	_mm_storeu_ps(f + 1, total);
	for (unsigned i = 0; i < 6; i++)
		sum = mix(sum, (u32)f[i]);
	return sum;
}
