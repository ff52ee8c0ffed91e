/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small measurements, made inside a guest or on the host. Each prints one line:
 *
 *	BENCH <name> <nanoseconds by CLOCK_MONOTONIC> <units of work>
 *
 *	bench time NAME WORK COMMAND…   how long a command takes
 *	bench fork N                    N times fork, exec of this program, wait
 *	bench chase N                   N dependent loads, in random order over 32 MiB
 *	bench matrix N                  product of two N by N matrices of double
 *	bench syscalls N                N times getppid
 *	bench faults N                  N first touches of an anonymous page
 *	bench pipe N                    N times a byte to another process and back, by pipes
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, CHASE_BYTES = 32 << 20, CHASE_STEP = 64 };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int report(const char *name, uint64_t start, unsigned long work)
{
	printf("BENCH %s %llu %lu\n", name, (unsigned long long)(now_ns() - start), work);
	return 0;
}

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int run_child(char **argv)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return fail("fork");
	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) < 0)
		return fail("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int bench_time(int argc, char **argv)
{
	uint64_t start = now_ns();

	if (argc < 3 || run_child(argv + 2))
		return 1;
	return report(argv[0], start, strtoul(argv[1], NULL, 10));
}

static int bench_fork(const char *self, unsigned long n)
{
	char *argv[] = {strdup(self), strdup("nothing"), NULL};
	uint64_t start = now_ns();

	for (unsigned long i = 0; i < n; i++)
		if (run_child(argv))
			return 1;
	return report("fork-exec", start, n);
}

/* Sattolo's shuffle: one cycle through all lines. */
static void make_cycle(uint32_t *next, uint32_t lines)
{
	uint64_t seed = 88172645463325252u;

	for (uint32_t i = 0; i < lines; i++)
		next[i * (CHASE_STEP / 4)] = i;
	for (uint32_t i = lines - 1; i > 0; i--) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		uint32_t j = (uint32_t)(seed % i), t = next[i * (CHASE_STEP / 4)];

		next[i * (CHASE_STEP / 4)] = next[j * (CHASE_STEP / 4)];
		next[j * (CHASE_STEP / 4)] = t;
	}
}

static int bench_chase(unsigned long n)
{
	uint32_t *next = malloc(CHASE_BYTES);
	volatile uint32_t sink;
	uint32_t at = 0;
	uint64_t start;

	if (!next)
		return fail("malloc");
	make_cycle(next, CHASE_BYTES / CHASE_STEP);
	start = now_ns();
	for (unsigned long i = 0; i < n; i++)
		at = next[at * (CHASE_STEP / 4)];
	sink = at;
	(void)sink;
	free(next);
	return report("pointer-chase", start, n);
}

static int bench_matrix(unsigned long n)
{
	double *a = malloc(n * n * sizeof(*a)), *b = malloc(n * n * sizeof(*b));
	double *c = calloc(n * n, sizeof(*c));
	volatile double sink;
	uint64_t start;

	if (!a || !b || !c)
		return fail("malloc");
	for (unsigned long i = 0; i < n * n; i++) {
		a[i] = (double)(i % 7) + 0.5;
		b[i] = (double)(i % 5) - 1.25;
	}
	start = now_ns();
	for (unsigned long i = 0; i < n; i++)
		for (unsigned long k = 0; k < n; k++)
			for (unsigned long j = 0; j < n; j++)
				c[i * n + j] += a[i * n + k] * b[k * n + j];
	sink = c[n];
	(void)sink;
	report("matrix", start, n * n * n);
	free(a);
	free(b);
	free(c);
	return 0;
}

static int bench_syscalls(unsigned long n)
{
	uint64_t start = now_ns();

	for (unsigned long i = 0; i < n; i++)
		syscall(SYS_getppid);
	return report("syscalls", start, n);
}

/*
 * Of memory that is given back again and again: what is measured is the fault, and not how fast the
 * host finds memory that the guest never had before.
 */
static int bench_faults(unsigned long n)
{
	const unsigned long most = 1024;
	char *p = mmap(NULL, most * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	uint64_t start = now_ns();

	if (p == MAP_FAILED)
		return fail("mmap");
	/* One page is one fault only without huge pages. */
	madvise(p, most * PAGE, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < n; i++) {
		if (i % most == 0)
			madvise(p, most * PAGE, MADV_DONTNEED);
		p[i % most * PAGE] = 1;
	}
	return report("page-faults", start, n);
}

static int give_back(int in, int out)
{
	char byte;

	while (read(in, &byte, 1) == 1)
		if (write(out, &byte, 1) != 1)
			return 1;
	return 0;
}

static int ping(int out, int in, unsigned long n)
{
	uint64_t start = now_ns();
	char byte = 0;

	for (unsigned long i = 0; i < n; i++)
		if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
			return fail("pipe");
	return report("pipe", start, n);
}

/* Two switches of address spaces each time, where there is one CPU. */
static int bench_pipe(unsigned long n)
{
	int there[2], back[2], status, r;
	pid_t pid;

	if (pipe(there) || pipe(back))
		return fail("pipe");
	pid = fork();
	if (pid < 0)
		return fail("fork");
	if (pid == 0) {
		close(there[1]);
		_exit(give_back(there[0], back[1]));
	}
	r = ping(there[1], back[0], n);
	close(there[1]);
	if (waitpid(pid, &status, 0) < 0)
		return fail("waitpid");
	return r || status;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;

	if (!strcmp(what, "nothing"))
		return 0;
	if (!strcmp(what, "time"))
		return bench_time(argc - 2, argv + 2);
	if (!strcmp(what, "fork") && n)
		return bench_fork(argv[0], n);
	if (!strcmp(what, "chase") && n)
		return bench_chase(n);
	if (!strcmp(what, "matrix") && n)
		return bench_matrix(n);
	if (!strcmp(what, "syscalls") && n)
		return bench_syscalls(n);
	if (!strcmp(what, "faults") && n)
		return bench_faults(n);
	if (!strcmp(what, "pipe") && n)
		return bench_pipe(n);
	fprintf(stderr, "usage: bench time NAME WORK COMMAND... | "
			"fork|chase|matrix|syscalls|faults|pipe N\n");
	return 2;
}
