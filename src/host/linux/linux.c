/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "alcazar/vm.h"
#include "base/str.h"
#include "host/linux/linux.h"

static u64 read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

static u64 now_ns(void *ctx)
{
	return read_clock(CLOCK_MONOTONIC);
}

static u64 wall_ns(void *ctx)
{
	return read_clock(CLOCK_REALTIME);
}

static u64 thread_cpu_ns(void *ctx)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static void barrier_all(void *ctx)
{
	const struct linux_host *lh = ctx;

	linux_barrier(lh->barrier);
}

static void yield(void *ctx)
{
	sched_yield();
}

static int fill_random(void *buf, size_t len)
{
	u8 *at = buf;

	while (len) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* getrandom can't fail once it has worked (see alc_host_open), short of a filter set up later. */
static void random_bytes(void *ctx, void *buf, size_t len)
{
	if (fill_random(buf, len))
		abort();
}

static const char *const level_names[] = {"error", "warn", "info", "debug", NULL};

static enum alc_log level_from_env(void)
{
	const char *text = getenv("ALCAZAR_LOG");

	for (int i = 0; text && level_names[i]; i++)
		if (str_eq(text, level_names[i]))
			return (enum alc_log)i;
	return ALC_LOG_WARN;
}

static void log_line(void *ctx, enum alc_log level, const char *text)
{
	const struct linux_host *lh = ctx;

	if (level <= lh->log_level)
		dprintf(STDERR_FILENO, "alcazar: %s\n", text);
}

static const struct alc_host linux_table = {
	.alloc = linux_alloc,
	.free = linux_free,
	.ram_map = linux_ram_map,
	.ram_unmap = linux_ram_unmap,
	.ram_discard = linux_ram_discard,
	.code_map = linux_code_map,
	.code_unmap = linux_code_unmap,
	.now_ns = now_ns,
	.wall_ns = wall_ns,
	.thread_start = linux_thread_start,
	.thread_join = linux_thread_join,
	.thread_cpu_ns = thread_cpu_ns,
	.mutex_create = linux_mutex_create,
	.mutex_destroy = linux_mutex_destroy,
	.mutex_lock = linux_mutex_lock,
	.mutex_unlock = linux_mutex_unlock,
	.event_create = linux_event_create,
	.event_destroy = linux_event_destroy,
	.event_wait = linux_event_wait,
	.event_signal = linux_event_signal,
	.event_fd = linux_event_fd,
	.barrier_all = barrier_all,
	.yield = yield,
	.random = random_bytes,
	.log = log_line,
};

int alc_host_open(struct alc_host **out, struct alc_err *err)
{
	struct linux_host *lh = calloc(1, sizeof(*lh));
	u8 probe;
	int rc;

	if (!lh)
		return alc_fail(err, -ENOMEM, "out of memory");
	rc = fill_random(&probe, sizeof(probe));
	if (rc) {
		free(lh);
		return alc_fail(err, rc, "this host gives no random bytes (getrandom): %s",
				strerror(-rc));
	}
	rc = linux_barrier_open(&lh->barrier);
	if (rc) {
		free(lh);
		return alc_fail(err, rc, "can't set up memory barriers between threads: %s",
				strerror(-rc));
	}
	lh->host = linux_table;
	lh->host.ctx = lh;
	lh->log_level = level_from_env();
	*out = &lh->host;
	return 0;
}

void alc_host_close(struct alc_host *host)
{
	struct linux_host *lh;

	if (!host)
		return;
	lh = container_of(host, struct linux_host, host);
	linux_barrier_close(lh->barrier);
	free(lh);
}
