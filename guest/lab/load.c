/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The laboratory's workloads on a real block device, inside a guest or on the host: the same
 * generators and the same seed as in `alcazar disk experiment`, so that the two can be compared.
 *
 *	disk-load [--buffered] [--seed N] [--requests N] DEVICE WORKLOAD
 *
 * WORKLOAD is the text that a plan has, as in surge:processes=64:k2=2ms; those that wait for their
 * requests (closed loop). Each actor is a thread. Requests go past the page cache (O_DIRECT), or
 * with --buffered through the kernel's own, which is what surge:buffered=on only models.
 *
 * Prints one line of JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lab/workload.h"

enum { ALIGNMENT = 4096, STACK_BYTES = 64 << 10 };

struct load {
	const char *device;
	struct workload *workload;
	bool buffered;
	u64 start_ns;
	_Atomic(u64) left;    /* requests */
	pthread_mutex_t lock; /* of the workload */
	pthread_barrier_t ready;
};

struct actor {
	struct load *load;
	pthread_t thread;
	u32 number;
	int error;
	u64 requests, response_ns, longest_ns;
};

/* ---- What the core asks of a host ---------------------------------------------------------- */

static void *allocate(void *ctx, size_t size)
{
	return calloc(1, size ? size : 1);
}

static void release(void *ctx, void *p, size_t size)
{
	free(p);
}

static const struct alc_host memory = {.alloc = allocate, .free = release};

/* ---- Time ---------------------------------------------------------------------------------- */

static u64 now_ns(const struct load *load)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec - load->start_ns;
}

static void sleep_until(const struct load *load, u64 ns)
{
	struct timespec t;

	ns += load->start_ns;
	t = (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* ---- Actors -------------------------------------------------------------------------------- */

static int transfer(int fd, const struct work_step *s, char *buffer)
{
	size_t len = (size_t)s->sectors * SECTOR_BYTES;
	off_t at = (off_t)(s->sector * SECTOR_BYTES);
	ssize_t n = s->op == BLOCK_READ ? pread(fd, buffer, len, at) : pwrite(fd, buffer, len, at);

	if (n == (ssize_t)len)
		return 0;
	return n < 0 ? errno : EIO;
}

/* A request, and its completion told to the workload; who waits for it is this thread itself. */
static int do_request(struct actor *a, int fd, const struct work_step *s, char *buffer)
{
	struct load *load = a->load;
	struct disk_req r = {.sector = s->sector, .sectors = s->sectors, .op = s->op};
	u32 woken[1];
	struct work_wake wake = {woken, 0};
	u64 begin = now_ns(load), took;
	int error = transfer(fd, s, buffer);

	took = now_ns(load) - begin;
	a->requests++;
	a->response_ns += took;
	a->longest_ns = took > a->longest_ns ? took : a->longest_ns;
	pthread_mutex_lock(&load->lock);
	load->workload->class->done(load->workload, &r, s->tag, begin + took, &wake);
	pthread_mutex_unlock(&load->lock);
	return error;
}

static bool take_one(struct load *load)
{
	u64 left = atomic_load(&load->left);

	while (left)
		if (atomic_compare_exchange_weak(&load->left, &left, left - 1))
			return true;
	return false;
}

static void act(struct actor *a, int fd, char **buffer)
{
	struct load *load = a->load;
	size_t room = 0;

	while (!a->error) {
		struct work_step s;

		pthread_mutex_lock(&load->lock);
		load->workload->class->next(load->workload, a->number, now_ns(load), &s);
		pthread_mutex_unlock(&load->lock);
		if (s.kind == WORK_SLEEP)
			sleep_until(load, s.until_ns);
		if (s.kind == WORK_END || (s.kind == WORK_SUBMIT && !take_one(load)))
			return;
		if (s.kind != WORK_SUBMIT)
			continue;
		if ((size_t)s.sectors * SECTOR_BYTES > room) {
			room = (size_t)s.sectors * SECTOR_BYTES;
			free(*buffer);
			*buffer = aligned_alloc(ALIGNMENT, (room + ALIGNMENT - 1) & -ALIGNMENT);
		}
		a->error = *buffer ? do_request(a, fd, &s, *buffer) : ENOMEM;
	}
}

/* Each has the device open for itself, as the kernel reads ahead by open file. */
static void *run(void *arg)
{
	struct actor *a = arg;
	int fd = open(a->load->device, O_RDWR | (a->load->buffered ? 0 : O_DIRECT));
	char *buffer = NULL;

	if (fd < 0)
		fd = open(a->load->device, O_RDONLY | (a->load->buffered ? 0 : O_DIRECT));
	prctl(PR_SET_TIMERSLACK, 1);
	pthread_barrier_wait(&a->load->ready);
	if (fd < 0) {
		a->error = errno;
		return NULL;
	}
	act(a, fd, &buffer);
	free(buffer);
	close(fd);
	return NULL;
}

/* ---- The whole ----------------------------------------------------------------------------- */

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "disk-load: %s: %s\n", what, why);
	return 1;
}

static int report(const struct actor *actors, u32 n, u64 end_ns, const char *device)
{
	u64 requests = 0, response_ns = 0, longest_ns = 0;

	for (u32 i = 0; i < n; i++) {
		if (actors[i].error)
			return fail(device, strerror(actors[i].error));
		requests += actors[i].requests;
		response_ns += actors[i].response_ns;
		if (actors[i].longest_ns > longest_ns)
			longest_ns = actors[i].longest_ns;
	}
	printf("{\"requests\": %llu, \"seconds\": %.9f, \"response_ms\": %.6f, \"max_ms\": %.6f}\n",
	       (unsigned long long)requests, (double)end_ns / 1e9,
	       requests ? (double)response_ns / (double)requests / 1e6 : 0.0,
	       (double)longest_ns / 1e6);
	return 0;
}

static int play(struct load *load)
{
	u32 n = load->workload->actors, started = 0;
	struct actor *actors = calloc(n, sizeof(*actors));
	pthread_attr_t attr;
	int error = 0;
	u64 end_ns;

	if (!actors)
		return fail("threads", strerror(ENOMEM));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_barrier_init(&load->ready, NULL, n + 1);
	load->start_ns = 0;
	for (; started < n && !error; started++) {
		actors[started].load = load;
		actors[started].number = started;
		error = pthread_create(&actors[started].thread, &attr, run, &actors[started]);
	}
	/* Those that are there wait for ever at the barrier; the end of the process ends them. */
	if (error)
		return fail("threads", strerror(error));
	load->start_ns = now_ns(load);
	pthread_barrier_wait(&load->ready);
	for (u32 i = 0; i < n; i++)
		pthread_join(actors[i].thread, NULL);
	end_ns = now_ns(load);
	error = report(actors, n, end_ns, load->device);
	free(actors);
	return error;
}

static bool device_sectors(const char *path, u64 *sectors)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	uint64_t bytes = 0;
	bool ok = fd >= 0 && !fstat(fd, &st);

	if (ok && S_ISBLK(st.st_mode))
		ok = !ioctl(fd, BLKGETSIZE64, &bytes);
	else if (ok)
		bytes = (uint64_t)st.st_size;
	if (fd >= 0)
		close(fd);
	*sectors = bytes / SECTOR_BYTES;
	return ok;
}

static int usage(void)
{
	fputs("usage: disk-load [--buffered] [--seed N] [--requests N] DEVICE WORKLOAD\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct workload_env env = {.host = &memory, .seed = 1};
	struct load load = {.left = 50000, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct alc_err err = {0};
	int i = 1;

	for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--buffered"))
			load.buffered = true;
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			env.seed = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--requests") && i + 1 < argc)
			load.left = strtoull(argv[++i], NULL, 10);
		else
			return usage();
	}
	if (argc - i != 2)
		return usage();
	load.device = argv[i];
	if (!device_sectors(load.device, &env.sectors))
		return fail(load.device, strerror(errno));
	if (workload_create(&env, argv[i + 1], &load.workload, &err))
		return fail(argv[i + 1], err.text);
	if (strstr(argv[i + 1], "rate=") || strstr(argv[i + 1], "buffered=on"))
		return fail(argv[i + 1], "only closed loops, and buffered by --buffered");
	return play(&load);
}
