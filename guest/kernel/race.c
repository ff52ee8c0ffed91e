/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two races that were put here on purpose, for those who look for races: a counter without a lock,
 * and a lock that is looked at and taken in two steps. Each shows only if one processor comes
 * between two instructions of another. "counter" or "lock" in the command line; a failure is a
 * race that showed.
 */
#include "kernel.h"

enum { COUNTS = 300, ENTRIES = 600, WORK = 8 };

static volatile bool go;
static volatile u32 done;
static volatile u64 counter;
static volatile u32 lock_word, inside, meetings;

static void work(void)
{
	for (unsigned i = 0; i < WORK; i++)
		__asm__ volatile("nop");
}

/* In two instructions at least: no compiler makes an INC of it. */
static void count(void)
{
	u64 x = counter;

	__asm__ volatile("" : "+r"(x));
	counter = x + 1;
}

/* Right would be XCHG. */
static void take_lock(void)
{
	while (lock_word)
		pause();
	lock_word = 1;
}

static void enter(void)
{
	take_lock();
	if (__atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST) > 1)
		__atomic_add_fetch(&meetings, 1, __ATOMIC_SEQ_CST);
	work();
	__atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
	lock_word = 0;
}

static void race(void)
{
	bool locks = command_has("lock");

	for (unsigned i = 0; i < (locks ? ENTRIES : COUNTS); i++) {
		if (locks)
			enter();
		else
			count();
		work();
	}
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

void ap_run(unsigned index)
{
	(void)index;
	while (!go)
		pause();
	race();
}

void run_tests(void)
{
	unsigned cpus = start_others();

	go = true;
	race();
	while (done < cpus)
		pause();
	if (command_has("lock"))
		ok(!meetings, "%u meetings in a section for one", meetings);
	else
		ok(counter == (u64)cpus * COUNTS, "%u counted, not %u", (u32)counter,
		   cpus * COUNTS);
}
