/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernels.h"

enum { QUICK = 8192, INSERTION = 256 };

static uint32_t unsorted[QUICK], numbers[QUICK];

void sort_prepare(void)
{
	uint64_t seed = RANDOM_SEED;

	for (size_t i = 0; i < QUICK; i++)
		unsorted[i] = (uint32_t)random_next(&seed);
}

/* Each time another order, so that a branch predictor can't learn it. */
static void take_unsorted(size_t len, uint64_t time)
{
	for (size_t i = 0; i < len; i++)
		numbers[i] = unsorted[i] ^ (uint32_t)(time * 0x9e3779b9);
}

/* Hoare's partition; both ends included. */
static void sort_range(uint32_t *a, long low, long high)
{
	while (low < high) {
		uint32_t pivot = a[low + (high - low) / 2];
		long i = low - 1, j = high + 1;

		for (;;) {
			do
				i++;
			while (a[i] < pivot);
			do
				j--;
			while (a[j] > pivot);
			if (i >= j)
				break;
			uint32_t t = a[i];

			a[i] = a[j];
			a[j] = t;
		}
		sort_range(a, low, j);
		low = j + 1;
	}
}

static void sort_by_insertion(uint32_t *a, size_t len)
{
	for (size_t i = 1; i < len; i++) {
		uint32_t value = a[i];
		size_t j = i;

		for (; j > 0 && a[j - 1] > value; j--)
			a[j] = a[j - 1];
		a[j] = value;
	}
}

static uint64_t sum_of(size_t len, uint64_t sum)
{
	for (size_t i = 0; i < len; i += len / 16)
		sum = mix(sum, numbers[i]);
	return sum;
}

uint64_t quicksort(uint64_t count)
{
	uint64_t sum = 0;

	while (count--) {
		take_unsorted(QUICK, count);
		sort_range(numbers, 0, QUICK - 1);
		sum = sum_of(QUICK, sum);
	}
	return sum;
}

uint64_t insertion_sort(uint64_t count)
{
	uint64_t sum = 0;

	while (count--) {
		take_unsorted(INSERTION, count);
		sort_by_insertion(numbers, INSERTION);
		sum = sum_of(INSERTION, sum);
	}
	return sum;
}
