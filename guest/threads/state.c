/* SPDX-License-Identifier: BSD-2-Clause */
#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "threads.h"

static u32 turns;

/* ---- Thread-local storage, and signals from others ---- */

static __thread u32 own, own_id, own_signals;
static pthread_t everybody[THREADS];
static pthread_barrier_t all;
static _Atomic(u32) sent, taken;

static void *thread_pointer(void)
{
	void *at;

	__asm__ volatile("movq %%fs:0, %0" : "=r"(at));
	return at;
}

static void from_others(int n)
{
	int was = errno;

	(void)n;
	EXPECT(thread_pointer() == (void *)everybody[own_id]);
	own_signals++;
	errno = 1000;
	sched_yield();
	errno = was;
}

static void use_own(u32 id)
{
	pid_t tid = gettid();
	u32 random = id;

	own_id = id;
	own = own_signals = 0;
	everybody[id] = pthread_self();
	pthread_barrier_wait(&all);
	for (u32 i = 0; i < turns; i++) {
		own += id + 1;
		if (next_random(&random) % 4 == 0) {
			EXPECT(!pthread_kill(everybody[random >> 8 & 3], SIGUSR1));
			atomic_fetch_add(&sent, 1);
		}
		errno = (int)id + 1;
		if (i % 8 == 0)
			EXPECT(gettid() == tid);
		EXPECT(errno == (int)id + 1 && own_id == id && own == (i + 1) * (id + 1));
		EXPECT(thread_pointer() == (void *)pthread_self());
		EXPECT(pthread_equal(everybody[id], pthread_self()));
	}
	pthread_barrier_wait(&all);
	atomic_fetch_add(&taken, own_signals);
}

void own_storage(u32 n)
{
	struct sigaction a = {.sa_handler = from_others};

	turns = n;
	sent = taken = 0;
	sigaction(SIGUSR1, &a, NULL);
	pthread_barrier_init(&all, NULL, THREADS);
	in_threads(use_own);
	/* Several that wait at once are one. */
	EXPECT(taken <= sent && taken > 0);
	pthread_barrier_destroy(&all);
}

/* ---- Registers and flags, whoever ran in between ---- */

static bool kept(u64 pattern, u64 times)
{
	u64 bad = 1;

	__asm__ volatile("movq %1, %%rbx; movq %1, %%rdx; movq %1, %%rsi; movq %1, %%rdi\n"
			 "movq %1, %%r8; movq %1, %%r9; movq %1, %%r10; movq %1, %%r11\n"
			 "movq %1, %%r12; movq %1, %%r13; movq %1, %%r14\n"
			 "movq %1, %%xmm0; punpcklqdq %%xmm0, %%xmm0\n"
			 "movdqa %%xmm0, %%xmm7; movdqa %%xmm0, %%xmm15\n"
			 "1: stc; jnc 2f\n"
			 "movq %%rbx, %%rax; xorq %%rdx, %%rax; jnz 2f\n"
			 "xorq %%rsi, %%rax; xorq %%rdi, %%rax; jnz 2f\n"
			 "xorq %%r8, %%rax; xorq %%r9, %%rax; jnz 2f\n"
			 "xorq %%r10, %%rax; xorq %%r11, %%rax; jnz 2f\n"
			 "xorq %%r12, %%rax; xorq %%r13, %%rax; jnz 2f\n"
			 "movdqa %%xmm0, %%xmm1; pxor %%xmm7, %%xmm1\n"
			 "movdqa %%xmm15, %%xmm2; pxor %%xmm7, %%xmm2\n"
			 "por %%xmm2, %%xmm1; movq %%xmm1, %%rax; testq %%rax, %%rax; jnz 2f\n"
			 "cmpq %%r14, %%rbx; stc; jne 2f; jnc 2f\n"
			 "decq %%rcx; jnz 1b\n"
			 "xorl %%eax, %%eax; jmp 3f\n"
			 "2: movl $1, %%eax\n"
			 "3:"
			 : "=&a"(bad), "+r"(pattern), "+c"(times)
			 :
			 : "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
			   "r14", "xmm0", "xmm1", "xmm2", "xmm7", "xmm15", "cc");
	return !bad;
}

static void keep(u32 id)
{
	everybody[id] = pthread_self();
	own_id = id;
	pthread_barrier_wait(&all);
	for (u32 i = 0; i < 16; i++) {
		EXPECT(kept((id + 1) * 0x123456789abcdefull, turns / 16 + 1));
		EXPECT(!pthread_kill(everybody[(id + i) % THREADS], SIGUSR1));
	}
	pthread_barrier_wait(&all);
}

void registers(u32 n)
{
	turns = n;
	pthread_barrier_init(&all, NULL, THREADS);
	in_threads(keep);
	pthread_barrier_destroy(&all);
}

/* ---- Code that another thread writes ---- */

static u8 *at, *alias;
static _Atomic(u32) published, ran[THREADS];

static void write_code(u8 *to, u32 i)
{
	u32 value = i * 0x01000193u;

	memset(to, 0x90, 32);
	to += i % 7;
	*to++ = 0xb8; /* mov eax, imm32 */
	memcpy(to, &value, 4);
	to[4] = 0xc3;
}

static void run_code(u32 i, u32 where)
{
	u32 (*f)(void) = (u32(*)(void))(uintptr_t)(at + where);
	u32 eax, ebx, ecx, edx;

	__cpuid(0, eax, ebx, ecx, edx); /* serializes: SDM vol. 3A, 9.1.3 */
	EXPECT(f() == i * 0x01000193u);
}

static u32 place_of(u32 i)
{
	return i % 3 ? i % 3 * 512 : PAGE - 5; /* across pages, too */
}

static void write_or_run(u32 id)
{
	unsigned turn = 0;

	for (u32 i = 1; i <= turns; i++) {
		if (id) {
			while (atomic_load(&published) < i)
				relax(++turn);
		} else {
			write_code((i & 1 ? at : alias) + place_of(i), i);
			atomic_store(&published, i);
		}
		run_code(i, place_of(i));
		atomic_store(&ran[id], i);
		for (u32 k = 1; k < THREADS && !id; k++)
			while (atomic_load(&ran[k]) < i)
				relax(++turn);
	}
}

void code(u32 n)
{
	turns = n;
	published = 0;
	for (u32 k = 0; k < THREADS; k++)
		ran[k] = 0;
	at = shared_pages(2, &alias);
	EXPECT(!mprotect(at, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
	in_threads(write_or_run);
	free_pages(at, 2);
	free_pages(alias, 2);
}
