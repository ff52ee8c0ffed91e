/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel set of bench/kernels, run by the same binary on the host and in guests.
 *
 *	kernels list                  name and iteration of each, TAB between them
 *	kernels calibrate MS NAME…    COUNT <name> <iterations that take about MS milliseconds>
 *	kernels run NAME=COUNT…       BENCH <name> <nanoseconds> <iterations> <checksum>
 *	kernels together TURNS CPUS NAME=COUNT…
 *	                              BENCH <name>/<processes>/<turn> and the same, by one process
 *	                              and by one on each of so many CPUs
 *
 * A kernel is timed by CLOCK_MONOTONIC after an untimed run of an eighth of its iterations, at
 * least one: what is measured is code that has run before. A kernel that this CPU can't run gets
 * the line `BENCH <name> 0 0 <what it lacks>`.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "kernels.h"

enum { WARM_UP_SHARE = 8 };

static const struct kernel kernels[] = {
	{"chase-16k", "hop", .run = chase_16k, .prepare = chase_16k_prepare},
	{"chase-512k", "hop", .run = chase_512k, .prepare = chase_512k_prepare},
	{"chase-8m", "hop", .run = chase_8m, .prepare = chase_8m_prepare},
	{"array-sum", "32 KiB", .run = array_sum, .prepare = block_prepare},
	{"copy-8", "32 KiB", .run = copy_8, .prepare = block_prepare},
	{"copy-16-sse", "32 KiB", .run = copy_16, .prepare = block_prepare},
	{"page-memset", "4 KiB", .run = page_memset},
	{"page-stores", "4096 pages", .run = page_stores},
	{"quicksort", "8192 numbers", .run = quicksort, .prepare = sort_prepare},
	{"insertion-sort", "256 numbers", .run = insertion_sort, .prepare = sort_prepare},
	{"hash-table", "operation", .run = hash_table},
	{"crc-table", "4 KiB", .run = crc_table, .prepare = crc_prepare},
	{"fnv", "4 KiB", .run = fnv, .prepare = message_prepare},
	{"sha256", "4 KiB", .run = sha256, .prepare = message_prepare},
	{"matrix-double", "64 by 64", .run = matrix, .prepare = matrix_prepare},
	{"long-double", "256 polynomials", .run = long_double, .prepare = long_double_prepare},
	{"vector-sse", "2048 floats", .run = vector_sse, .prepare = vector_prepare},
	{"vector-avx2", "2048 floats", .run = vector_avx2, .prepare = vector_prepare,
	 .needs = "AVX2", .usable = avx2_usable},
	{"vector-avx512", "2048 floats", .run = vector_avx512, .prepare = vector_prepare,
	 .needs = "AVX-512", .usable = avx512_usable},
	{"fib", "fib(20)", .run = fib},
	{"queens", "8 queens", .run = queens},
	{"bytecode", "program", .run = bytecode},
	{"virtual-calls", "64 calls", .run = virtual_calls},
	{"strings", "32 strings", .run = strings, .prepare = strings_prepare},
	{"lz", "16 KiB", .run = lz, .prepare = lz_prepare},
	{"tree", "1024 keys", .run = tree},
	{"flat-code", "2047 calls", .run = flat_code},
};

enum { KERNELS = sizeof(kernels) / sizeof(kernels[0]) };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static const struct kernel *find(const char *name, size_t len)
{
	for (size_t i = 0; i < KERNELS; i++)
		if (strlen(kernels[i].name) == len && !memcmp(kernels[i].name, name, len))
			return &kernels[i];
	fprintf(stderr, "kernels: there is no kernel '%.*s'\n", (int)len, name);
	return NULL;
}

static bool is_usable(const struct kernel *k)
{
	return !k->usable || k->usable();
}

void kernel_prepare(const struct kernel *k, uint64_t count)
{
	if (k->prepare)
		k->prepare();
	k->run(count / WARM_UP_SHARE + 1);
}

uint64_t kernel_time(const struct kernel *k, uint64_t count, uint64_t *sum)
{
	uint64_t start = now_ns();

	*sum = k->run(count);
	return now_ns() - start;
}

/* Doubles until a quarter of the target is exceeded, which leaves the clock's steps far below. */
static uint64_t calibrate(const struct kernel *k, uint64_t target_ns)
{
	uint64_t count = 1, sum, took_ns;

	kernel_prepare(k, 0);
	while ((took_ns = kernel_time(k, count, &sum)) < target_ns / 4)
		count *= 2;
	count = (uint64_t)((double)count * (double)target_ns / (double)took_ns);
	return count ? count : 1;
}

static int list(void)
{
	for (size_t i = 0; i < KERNELS; i++)
		printf("%s\t%s\n", kernels[i].name, kernels[i].iteration);
	return 0;
}

static int calibrate_all(uint64_t target_ns, char **names)
{
	for (; *names; names++) {
		const struct kernel *k = find(*names, strlen(*names));

		if (!k)
			return 2;
		if (is_usable(k))
			printf("COUNT %s %" PRIu64 "\n", k->name, calibrate(k, target_ns));
	}
	return 0;
}

static void run(const struct kernel *k, uint64_t count)
{
	uint64_t sum, took_ns;

	if (!is_usable(k)) {
		printf("BENCH %s 0 0 %s\n", k->name, k->needs);
		return;
	}
	kernel_prepare(k, count);
	took_ns = kernel_time(k, count, &sum);
	printf("BENCH %s %" PRIu64 " %" PRIu64 " %016" PRIx64 "\n", k->name, took_ns, count, sum);
}

/* NAME=COUNT; 0: there is no such kernel, or no count. */
static uint64_t count_of(const char *argument, const struct kernel **k)
{
	size_t len = strcspn(argument, "=");

	*k = find(argument, len);
	return *k && argument[len] ? strtoull(argument + len + 1, NULL, 10) : 0;
}

static int run_all(char **arguments)
{
	printf("BENCH ready 0 0\n");
	for (; *arguments; arguments++) {
		const struct kernel *k;
		uint64_t count = count_of(*arguments, &k);

		if (!count)
			return 2;
		run(k, count);
		fflush(stdout);
	}
	return 0;
}

static bool run_together(const struct kernel *k, uint64_t count, unsigned n, unsigned turn)
{
	uint64_t took_ns, sum;

	if (!kernel_together(k, count, n, n == 1 ? turn % n : 0, &took_ns, &sum))
		return false;
	printf("BENCH %s/%u/%u %" PRIu64 " %" PRIu64 " %016" PRIx64 "\n", k->name, n, turn, took_ns,
	       count * n, sum);
	fflush(stdout);
	return true;
}

/* Alone on one CPU after the other, and together, by turns. */
static int compare_all(unsigned turns, unsigned n, char **arguments)
{
	printf("BENCH ready 0 0\n");
	for (; *arguments; arguments++) {
		const struct kernel *k;
		uint64_t count = count_of(*arguments, &k);

		if (!count)
			return 2;
		for (unsigned turn = 0; turn < turns; turn++)
			if (!run_together(k, count, 1, turn) || !run_together(k, count, n, turn))
				return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	/* The same pages everywhere, whatever the kernel's default is. */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	if (!strcmp(what, "list"))
		return list();
	if (!strcmp(what, "calibrate") && argc > 3)
		return calibrate_all(strtoull(argv[2], NULL, 10) * 1000000, argv + 3);
	if (!strcmp(what, "run") && argc > 2)
		return run_all(argv + 2);
	if (!strcmp(what, "together") && argc > 4) {
		unsigned long n = strtoul(argv[3], NULL, 10);

		if (n > 1 && n <= TOGETHER_MAX)
			return compare_all((unsigned)strtoul(argv[2], NULL, 10), (unsigned)n,
					   argv + 4);
	}
	fprintf(stderr, "usage: kernels list | calibrate MS NAME... | run NAME=COUNT... | "
			"together TURNS CPUS NAME=COUNT...\n");
	return 2;
}
