/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUEST_BENCH_KERNELS_H
#define GUEST_BENCH_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A kernel is a piece of user code that makes no system call while it is timed. `run` does `count`
 * iterations from the same initial state each time, so its checksum depends on `count` alone:
 * whoever runs the same binary with the same count must get the same checksum.
 */
struct kernel {
	const char *name;
	const char *iteration; /* what one iteration is */
	uint64_t (*run)(uint64_t count);
	void (*prepare)(void); /* makes what `run` reads and never writes; may be null */
	const char *needs;     /* a CPU feature that `usable` looks for; null: none */
	bool (*usable)(void);
};

/* What is before it is done before what is after it, as far as the compiler is concerned. */
static inline void barrier(void)
{
	__asm__ volatile("" : : : "memory");
}

/* A value that the compiler knows nothing about from here on. */
static inline uint64_t opaque(uint64_t value)
{
	__asm__ volatile("" : "+r"(value));
	return value;
}

enum { RANDOM_SEED = 0x2545f491 };

/* Marsaglia's xorshift with shifts 13, 7, 17: never 0 unless *state is. */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x;
}

/* For checksums: each step can be undone, so no difference is lost on the way. */
static inline uint64_t mix(uint64_t sum, uint64_t value)
{
	uint64_t product = (sum ^ value) * 0x100000001b3u;

	return product ^ product >> 32;
}

/* main.c: what `run` reads, and an untimed run; and how long a timed one takes. */
void kernel_prepare(const struct kernel *k, uint64_t count);
uint64_t kernel_time(const struct kernel *k, uint64_t count, uint64_t *sum);

/*
 * together.c: so many processes do `count` iterations each, from this CPU on, one on each. Takes
 * the longest time; false: one could not be had, or they disagree about the checksum.
 */
enum { TOGETHER_MAX = 64 };
bool kernel_together(const struct kernel *k, uint64_t count, unsigned n, unsigned cpu,
		     uint64_t *took_ns, uint64_t *sum);

/* memory.c */
void chase_16k_prepare(void);
void chase_512k_prepare(void);
void chase_8m_prepare(void);
uint64_t chase_16k(uint64_t count);
uint64_t chase_512k(uint64_t count);
uint64_t chase_8m(uint64_t count);
void block_prepare(void);
uint64_t array_sum(uint64_t count);
uint64_t copy_8(uint64_t count);
uint64_t copy_16(uint64_t count);
uint64_t page_memset(uint64_t count);
uint64_t page_stores(uint64_t count);

/* sort.c */
void sort_prepare(void);
uint64_t quicksort(uint64_t count);
uint64_t insertion_sort(uint64_t count);

/* hash.c */
uint64_t hash_table(uint64_t count);
void crc_prepare(void);
uint64_t crc_table(uint64_t count);
void message_prepare(void);
uint64_t fnv(uint64_t count);
uint64_t sha256(uint64_t count);

/* number.c */
void matrix_prepare(void);
uint64_t matrix(uint64_t count);
void long_double_prepare(void);
uint64_t long_double(uint64_t count);
void vector_prepare(void);
uint64_t vector_sse(uint64_t count);
bool avx2_usable(void);
uint64_t vector_avx2(uint64_t count);
bool avx512_usable(void);
uint64_t vector_avx512(uint64_t count);

/* control.c */
uint64_t fib(uint64_t count);
uint64_t queens(uint64_t count);
uint64_t bytecode(uint64_t count);
uint64_t virtual_calls(uint64_t count);

/* text.c */
void strings_prepare(void);
uint64_t strings(uint64_t count);
void lz_prepare(void);
uint64_t lz(uint64_t count);

/* tree.c */
uint64_t tree(uint64_t count);

/* flat.c */
uint64_t flat_code(uint64_t count);

#endif
