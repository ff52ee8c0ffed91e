/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUEST_THREADS_H
#define GUEST_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

enum { THREADS = 4, PAGE = 4096, LINE = 64 };

static inline u32 next_random(u32 *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* The first that does not hold is printed; from processes too. */
#define EXPECT(condition) expect(condition, #condition, __FILE__, __LINE__)
void expect(bool good, const char *what, const char *file, int line);

/* Each in a thread, or in a process, of its own, all at the same time. */
void in_threads(void (*run)(u32 id));
void in_processes(void (*run)(u32 id));

/* Are locked operations to be made across lines? Without, they are made elsewhere. */
extern bool split_locks;

/* Memory that processes share; the second is another address of the same. */
u8 *shared_pages(unsigned pages, u8 **alias);
void free_pages(u8 *at, unsigned pages);

/* Waits for others without keeping them from running. */
void relax(unsigned turn);

/* Parts of the program; n: how much of it. */
/* locks.c: what the C library and the kernel make of atomic operations */
void mutexes(u32 n);
void mutexes_of_processes(u32 n);
void owners_that_die(u32 n);
void queue(u32 n);
void other_locks(u32 n);
void births(u32 n);
/* atomics.c: the operations themselves */
void locked(u32 n);
void split(u32 n);
void pairs_of_words(u32 n);
void torn(u32 n);
void order(u32 n);
/* memory.c: pages whose mapping changes under those who use them */
void protected(u32 n);
void moved(u32 n);
void copied(u32 n);
/* state.c: what belongs to a thread */
void own_storage(u32 n);
void registers(u32 n);
void code(u32 n);

#endif
