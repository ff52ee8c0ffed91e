/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernels that read and write memory and do little else. */
#include <emmintrin.h>

#include "kernels.h"

enum { LINE_BYTES = 64, PAGE_BYTES = 4096, BLOCK_WORDS = 4096, PAGES = 4096 };
enum {
	CHASE_LINES_16K = (16 << 10) / LINE_BYTES,
	CHASE_LINES_512K = (512 << 10) / LINE_BYTES,
	CHASE_LINES_8M = (8 << 20) / LINE_BYTES
};

struct line {
	struct line *next;
	uint64_t payload;
	char rest[LINE_BYTES - 16];
} __attribute__((aligned(LINE_BYTES)));

static struct line lines_16k[CHASE_LINES_16K], lines_512k[CHASE_LINES_512K],
	lines_8m[CHASE_LINES_8M];
static uint64_t source[BLOCK_WORDS] __attribute__((aligned(PAGE_BYTES)));
static uint64_t target[BLOCK_WORDS] __attribute__((aligned(PAGE_BYTES)));
static char pages[PAGES][PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

/* Sattolo's shuffle: one cycle through all lines. */
static void make_cycle(struct line *lines, uint32_t count)
{
	uint64_t seed = RANDOM_SEED;

	for (uint32_t i = 0; i < count; i++) {
		lines[i].next = &lines[i];
		lines[i].payload = i;
	}
	for (uint32_t i = count - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(random_next(&seed) % i);
		struct line *t = lines[i].next;

		lines[i].next = lines[j].next;
		lines[j].next = t;
	}
}

static inline uint64_t chase(const struct line *at, uint64_t count)
{
	while (count--)
		at = at->next;
	return at->payload;
}

void chase_16k_prepare(void)
{
	make_cycle(lines_16k, CHASE_LINES_16K);
}

void chase_512k_prepare(void)
{
	make_cycle(lines_512k, CHASE_LINES_512K);
}

void chase_8m_prepare(void)
{
	make_cycle(lines_8m, CHASE_LINES_8M);
}

uint64_t chase_16k(uint64_t count)
{
	return chase(lines_16k, count);
}

uint64_t chase_512k(uint64_t count)
{
	return chase(lines_512k, count);
}

uint64_t chase_8m(uint64_t count)
{
	return chase(lines_8m, count);
}

void block_prepare(void)
{
	uint64_t seed = RANDOM_SEED;

	for (size_t i = 0; i < BLOCK_WORDS; i++)
		source[i] = random_next(&seed);
}

uint64_t array_sum(uint64_t count)
{
	uint64_t sum = 0;

	while (count--) {
		for (size_t i = 0; i < BLOCK_WORDS; i++)
			sum += source[i];
		barrier();
	}
	return sum;
}

static uint64_t sum_of_target(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < BLOCK_WORDS; i++)
		sum = mix(sum, target[i]);
	return sum;
}

/* What each copy starts from, for the checksum to tell whether there was one. */
static void clear_target(void)
{
	for (size_t i = 0; i < BLOCK_WORDS; i++)
		target[i] = 0;
}

uint64_t copy_8(uint64_t count)
{
	clear_target();
	while (count--) {
		for (size_t i = 0; i < BLOCK_WORDS; i++)
			target[i] = source[i];
		barrier();
	}
	return sum_of_target();
}

uint64_t copy_16(uint64_t count)
{
	const __m128i *from = (const __m128i *)source;
	__m128i *to = (__m128i *)target;

	clear_target();
	while (count--) {
		for (size_t i = 0; i < BLOCK_WORDS / 2; i++)
			_mm_storeu_si128(to + i, _mm_loadu_si128(from + i));
		barrier();
	}
	return sum_of_target();
}

static uint64_t sum_of_pages(void)
{
	uint64_t sum = 0;

	for (size_t page = 0; page < PAGES; page++)
		for (size_t at = 0; at < PAGE_BYTES; at += LINE_BYTES)
			sum = mix(sum, *(const uint64_t *)(const void *)&pages[page][at]);
	return sum;
}

static void fill_page(void *page, uint64_t value)
{
	size_t words = PAGE_BYTES / sizeof(size_t);

#ifdef __x86_64__
	__asm__ volatile("rep stosq" : "+D"(page), "+c"(words) : "a"(value) : "memory");
#else
	__asm__ volatile("rep stosl" : "+D"(page), "+c"(words) : "a"((uint32_t)value) : "memory");
#endif
}

/* As a kernel clears pages that it hands out: whole, and in no order. */
uint64_t page_memset(uint64_t count)
{
	enum { STRIDE = 1217 }; /* odd, so it comes to each page */

	for (size_t page = 0; page < PAGES; page++)
		fill_page(pages[page], 0);
	for (uint64_t i = 0; i < count; i++)
		fill_page(pages[i * STRIDE % PAGES], i);
	return sum_of_pages();
}

/* One store a page, at offsets that spread over the sets of a cache. */
uint64_t page_stores(uint64_t count)
{
	for (size_t page = 0; page < PAGES; page++)
		fill_page(pages[page], 0);
	while (count--) {
		for (size_t page = 0; page < PAGES; page++)
			++*(uint64_t *)(void *)&pages[page][page * LINE_BYTES % PAGE_BYTES];
		barrier();
	}
	return sum_of_pages();
}
