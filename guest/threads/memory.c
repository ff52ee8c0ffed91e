/* SPDX-License-Identifier: BSD-2-Clause */
#include <emmintrin.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "threads.h"

/* ---- Writers, whose pages are taken from them at any time ---- */

enum { PAGES = 2, AREA = 2 * LINE };

static u8 *pages, *elsewhere;
static u32 turns;
static volatile bool over;
static _Atomic(u32) progress[THREADS];

/* The access is made again until the page is back. */
static void wait_for_page(int n, siginfo_t *info, void *context)
{
	u8 *at = info->si_addr;

	(void)n;
	(void)context;
	EXPECT(at >= pages && at < pages + PAGES * PAGE);
	if (at < pages || at >= pages + PAGES * PAGE)
		_exit(1);
	sched_yield();
}

static void catch_faults(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

	if (!handler)
		a = (struct sigaction){.sa_handler = SIG_DFL};
	sigaction(SIGSEGV, &a, NULL);
}

/* A number of the way that is told by `how`, to an area that nobody else writes to. */
static void write_number(u8 *area, u64 v, u32 how)
{
	u8 *to = area;
	u64 times = 2, more;

	switch (how % 7) {
	case 0:
		*(volatile u64 *)(void *)area = v;
		break;
	case 1:
		more = v - *(volatile u64 *)(void *)area;
		__asm__ volatile("lock xaddq %0, %1"
				 : "+r"(more), "+m"(*(u64 *)(void *)area)
				 :
				 : "cc");
		break;
	case 2:
		__asm__ volatile("xchgq %1, %0" : "+m"(*(u64 *)(void *)area), "+r"(v));
		break;
	case 3:
		__asm__ volatile("rep stosq" : "+D"(to), "+c"(times) : "a"(v) : "memory");
		break;
	case 4:
		__asm__ volatile("movdqu %1, %0"
				 : "=m"(*(__m128i *)(void *)area)
				 : "x"(_mm_set1_epi64x((long long)v)));
		break;
	case 5:
		__asm__ volatile("fildq %1; fistpq %0" : "=m"(*(u64 *)(void *)area) : "m"(v));
		break;
	default:
		more = v - *(volatile u64 *)(void *)area;
		__asm__ volatile("addq %1, %0" : "+m"(*(u64 *)(void *)area) : "r"(more) : "cc");
	}
}

static void write_on(u32 id)
{
	u8 *areas[] = {pages + id * AREA, pages + PAGE - 8 * LINE + id * AREA,
		       pages + PAGE + id * AREA};

	for (u64 v = 1; !over; v++) {
		u8 *area = areas[v % 3];

		write_number(area, v, (u32)v / 3);
		EXPECT(*(volatile u64 *)(void *)area == v);
		atomic_fetch_add_explicit(&progress[id], 1, memory_order_relaxed);
	}
}

static void wait_for_progress(void)
{
	unsigned turn = 0;

	for (u32 id = 1; id < THREADS; id++)
		for (u32 was = progress[id]; progress[id] - was < 4;)
			relax(++turn);
}

/* Who may not write there does not write there. */
static void expect_frozen(const u8 *at)
{
	static u8 before[PAGES * PAGE];

	memcpy(before, at, sizeof(before));
	for (unsigned turn = 0; turn < 128; turn++)
		relax(turn);
	EXPECT(!memcmp(before, at, sizeof(before)));
}

static void protect(u32 id)
{
	if (id) {
		write_on(id);
		return;
	}
	for (u32 i = 0; i < turns; i++) {
		EXPECT(!mprotect(pages, PAGES * PAGE, PROT_READ));
		expect_frozen(pages);
		EXPECT(!mprotect(pages, PAGES * PAGE, PROT_READ | PROT_WRITE));
		wait_for_progress();
	}
	over = true;
}

static void *map_private(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		abort();
	return at;
}

void protected(u32 n)
{
	turns = n;
	over = false;
	pages = map_private(PAGES * PAGE);
	catch_faults(wait_for_page);
	in_threads(protect);
	catch_faults(NULL);
	free_pages(pages, PAGES);
}

static void move(u32 id)
{
	if (id) {
		write_on(id);
		return;
	}
	for (u32 i = 0; i < turns; i++) {
		EXPECT(mremap(pages, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			      elsewhere) == elsewhere);
		expect_frozen(elsewhere);
		EXPECT(mremap(elsewhere, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			      pages) == pages);
		wait_for_progress();
	}
	over = true;
}

void moved(u32 n)
{
	u8 *room = map_private(4 * PAGES * PAGE);

	turns = n;
	over = false;
	pages = room;
	elsewhere = room + 2 * PAGES * PAGE;
	catch_faults(wait_for_page);
	in_threads(move);
	catch_faults(NULL);
	free_pages(room, 4 * PAGES);
}

/* ---- Copies that are made when somebody writes ---- */

struct counts {
	volatile u64 first, second;
	u8 apart[PAGE - 16];
};

static struct counts *counts;
static _Atomic(u64) *sum, done;

static void count_on(u32 id)
{
	struct counts *c = &counts[id];
	u64 n = 0;

	for (; !over; n++) {
		c->first++;
		c->second++;
		EXPECT(c->first == n + 1);
		atomic_fetch_add(sum, 1);
		atomic_fetch_add_explicit(&progress[id], 1, memory_order_relaxed);
	}
	EXPECT(c->first == n && c->second == n);
	atomic_fetch_add(&done, n);
}

/* A child has what was there at one moment, and keeps it to itself. */
static bool is_one_moment(void)
{
	u64 first[THREADS], all = *sum;

	for (u32 id = 1; id < THREADS; id++) {
		first[id] = counts[id].first;
		if (first[id] - counts[id].second > 1)
			return false;
	}
	for (unsigned turn = 0; turn < 64; turn++)
		relax(turn);
	for (u32 id = 1; id < THREADS; id++)
		if (counts[id].first != first[id])
			return false;
	if (*sum != all)
		return false;
	for (u32 id = 1; id < THREADS; id++)
		counts[id].first = counts[id].second = ~0ull;
	*sum = 0;
	return true;
}

static void count_or_fork(u32 id)
{
	if (id) {
		count_on(id);
		return;
	}
	for (u32 i = 0; i < turns; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid < 0)
			abort();
		if (!pid)
			_exit(is_one_moment() ? 7 : 8);
		wait_for_progress();
		EXPECT(waitpid(pid, &status, 0) == pid);
		EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
	over = true;
}

void copied(u32 n)
{
	turns = n;
	over = false;
	done = 0;
	counts = map_private((THREADS + 1) * PAGE);
	sum = (void *)&counts[THREADS];
	in_threads(count_or_fork);
	EXPECT(*sum == done);
	free_pages((u8 *)counts, THREADS + 1);
}
