/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "linux32.h"

/* ---- Faults ---- */

static sigjmp_buf back;
static volatile u32 seen;

static void note(int n, siginfo_t *info, void *context)
{
	const ucontext_t *u = context;

	seen = mix((u32)n, (u32)info->si_code);
	seen = mix(seen, (u32)(uintptr_t)info->si_addr & (n == SIGSEGV ? ~0u : 0));
	seen = mix(seen, (u32)u->uc_mcontext.gregs[REG_EDI]);
	seen = mix(seen, (u32)u->uc_mcontext.gregs[REG_TRAPNO]);
	siglongjmp(back, 1);
}

static void cause(unsigned which)
{
	int bounds[2] = {1, 5};
	u32 out;

	switch (which) {
	case 0:
		__asm__ volatile("movl 0x10, %%eax" : : "D"(1) : "eax");
		break;
	case 1: /* an offset that wraps to a page which nobody has */
		__asm__ volatile("movl 0x20(%0), %%eax" : : "r"(-16), "D"(2) : "eax");
		break;
	case 2:
		__asm__ volatile("divl %1" : "=a"(out) : "r"(0), "a"(5), "d"(0), "D"(3) : "cc");
		break;
	case 3:
		__asm__ volatile("ud2" : : "D"(4));
		break;
	case 4:
		__asm__ volatile("bound %0, %1" : : "r"(7), "m"(bounds), "D"(5));
		break;
	case 5:
		__asm__ volatile("movb $0x7f, %%al; incb %%al; into" : : "D"(6) : "eax", "cc");
		break;
	case 6:
		__asm__ volatile("cli" : : "D"(7));
		break;
	case 7:
		__asm__ volatile("movl %%fs:0, %%eax" : : "D"(8) : "eax");
		break;
	case 8:
		__asm__ volatile("int $0x81" : : "D"(9));
		break;
	case 9:
		__asm__ volatile(".byte 0xd4, 0" : : "a"(5), "D"(10) : "cc"); /* aam 0 */
		break;
	case 10:
		__asm__ volatile("int3" : : "D"(11));
		break;
	default:
		__asm__ volatile("movaps %%xmm0, 4(%0)" : : "r"((uintptr_t)bounds & ~15u), "D"(12));
	}
}

static u32 outcome(unsigned which)
{
	seen = 0;
	if (!sigsetjmp(back, 1))
		cause(which);
	return seen;
}

u32 faults(u32 seed)
{
	static const int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGTRAP};
	struct sigaction a = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_NODEFER};
	u32 sum = seed;

	for (unsigned i = 0; i < 5; i++)
		sigaction(signals[i], &a, NULL);
	for (unsigned i = 0; i < 12; i++)
		sum = mix(sum, outcome(i));
	return sum;
}

/* ---- Signals that come at any time ---- */

static volatile sig_atomic_t ticks;

static void tick(int n)
{
	(void)n;
	ticks++;
}

/* The loop's result must not depend on where it was interrupted. */
u32 alarms(u32 seed)
{
	struct sigaction a = {.sa_handler = tick};
	struct itimerval every = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
	u32 sum = seed;

	ticks = 0;
	sigaction(SIGALRM, &a, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (unsigned i = 0; i < 100000; i++)
		sum = mix(sum, i);
	while (ticks < 3)
		;
	setitimer(ITIMER_REAL, &off, NULL);
	return sum;
}

/* ---- Threads ---- */

enum { THREADS = 4, TURNS = 2000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static u32 shared;
static _Atomic(u32) counter;
static _Atomic(u64) wide_counter;
static __thread u32 own = 5, own_array[64];

static void *work(void *arg)
{
	u32 id = (u32)(uintptr_t)arg;

	for (u32 i = 0; i < TURNS; i++) {
		own += id;
		own_array[i & 63] += own;
		atomic_fetch_add(&counter, id);
		atomic_fetch_add(&wide_counter, 0x100000001ull);
		pthread_mutex_lock(&lock);
		shared++;
		pthread_mutex_unlock(&lock);
		if (!(i & 511)) {
			errno = (int)id;
			close(-1);
			own += (u32)errno;
		}
	}
	return (void *)(uintptr_t)mix(own, own_array[id]);
}

u32 threads(u32 seed)
{
	pthread_t t[THREADS];
	u32 sum = seed;

	shared = 0;
	counter = 0;
	wide_counter = 0;
	for (u32 i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, work, (void *)(uintptr_t)(i + 1)))
			abort();
	for (u32 i = 0; i < THREADS; i++) {
		void *result;

		pthread_join(t[i], &result);
		sum = mix(sum, (u32)(uintptr_t)result);
	}
	return mix(mix(mix(mix(sum, shared), counter), (u32)wide_counter),
		   (u32)(wide_counter >> 32));
}

/* ---- Processes ---- */

/* By INT 80h, whatever way the C library takes. */
static int interrupt_80(int number, int a, int b, int c)
{
	int result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "0"(number), "b"(a), "c"(b), "d"(c)
			 : "memory");
	return result;
}

u32 processes(u32 seed)
{
	int p[2], status = 0;
	u32 got = 0;
	pid_t pid;

	if (pipe(p))
		abort();
	pid = fork();
	if (!pid) {
		seed = arithmetic(seed);
		_exit(interrupt_80(SYS_write, p[1], (int)(uintptr_t)&seed, 4) == 4 ? 7 : 1);
	}
	close(p[1]);
	if (read(p[0], &got, 4) != 4)
		got = 0;
	close(p[0]);
	waitpid(pid, &status, 0);
	return mix(mix(got, (u32)WEXITSTATUS(status)),
		   interrupt_80(SYS_getpid, 0, 0, 0) == getpid());
}
