/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads and processes that get at one thing from several sides. What must hold, holds on any
 * number of processors and however they are interrupted; nothing depends on time. Prints a line
 * for each part, the same everywhere.
 *
 *	guest-threads [ROUNDS]
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "threads.h"

static const struct {
	const char *name;
	void (*run)(u32 n);
	u32 n; /* of each round */
} parts[] = {
	{"locked", locked, 640},
	{"split", split, 3000},
	{"pairs of words", pairs_of_words, 5000},
	{"torn", torn, 20000},
	{"order", order, 1000},
	{"mutexes", mutexes, 10000},
	{"mutexes of processes", mutexes_of_processes, 3000},
	{"owners that die", owners_that_die, 10},
	{"queue", queue, 3000},
	{"other locks", other_locks, 1000},
	{"births", births, 4},
	{"protected", protected, 4},
	{"moved", moved, 4},
	{"copied", copied, 3},
	{"own storage", own_storage, 1000},
	{"registers", registers, 200000},
	{"code", code, 300},
};

static atomic_bool *failed; /* shared with processes */
bool split_locks;

void expect(bool good, const char *what, const char *file, int line)
{
	const char *name = strrchr(file, '/');

	if (!good && !atomic_exchange(failed, true))
		printf("%s:%d: not: %s\n", name ? name + 1 : file, line, what);
}

void relax(unsigned turn)
{
	if (turn % 64 == 63)
		sched_yield();
	else
		__builtin_ia32_pause();
}

/* ---- Threads ---- */

struct start {
	void (*run)(u32 id);
	u32 id;
	pthread_barrier_t *all;
};

static void *begin(void *arg)
{
	const struct start *s = arg;

	pthread_barrier_wait(s->all);
	s->run(s->id);
	return NULL;
}

void in_threads(void (*run)(u32 id))
{
	struct start starts[THREADS];
	pthread_t threads[THREADS];
	pthread_barrier_t all;

	pthread_barrier_init(&all, NULL, THREADS);
	for (u32 i = 0; i < THREADS; i++) {
		starts[i] = (struct start){run, i, &all};
		if (pthread_create(&threads[i], NULL, begin, &starts[i]))
			abort();
	}
	for (u32 i = 0; i < THREADS; i++)
		EXPECT(!pthread_join(threads[i], NULL));
	pthread_barrier_destroy(&all);
}

void in_processes(void (*run)(u32 id))
{
	pid_t pids[THREADS];

	for (u32 i = 0; i < THREADS; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			abort();
		if (!pids[i]) {
			run(i);
			_exit(0);
		}
	}
	for (u32 i = 0; i < THREADS; i++) {
		int status = -1;

		EXPECT(waitpid(pids[i], &status, 0) == pids[i]);
		EXPECT(status == 0);
	}
}

/* ---- Memory ---- */

static u8 *map_shared(size_t bytes, int fd)
{
	u8 *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		abort();
	return at;
}

u8 *shared_pages(unsigned pages, u8 **alias)
{
	int fd = memfd_create("shared", 0);
	u8 *at;

	if (fd < 0 || ftruncate(fd, (off_t)pages * PAGE))
		abort();
	at = map_shared((size_t)pages * PAGE, fd);
	if (alias)
		*alias = map_shared((size_t)pages * PAGE, fd);
	close(fd);
	return at;
}

void free_pages(u8 *at, unsigned pages)
{
	munmap(at, (size_t)pages * PAGE);
}

/* Where the kernel detects them, it makes each take milliseconds, or ends the program. */
static bool may_split_locks(void)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[8192];
	bool detected = false;

	while (f && fgets(line, sizeof(line), f))
		detected |= strstr(line, "split_lock_detect") || strstr(line, "bus_lock_detect");
	if (f)
		fclose(f);
	return !detected;
}

int main(int argc, char **argv)
{
	u32 rounds = argc > 1 ? (u32)strtoul(argv[1], NULL, 0) : 10;

	setvbuf(stdout, NULL, _IONBF, 0);
	split_locks = may_split_locks();
	failed = (atomic_bool *)shared_pages(1, NULL);
	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		atomic_store(failed, false);
		parts[i].run(parts[i].n * rounds);
		printf("%s: %s\n", parts[i].name, atomic_load(failed) ? "WRONG" : "right");
	}
	printf("done\n");
	return 0;
}
