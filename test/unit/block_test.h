/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_BLOCK_TEST_H
#define TEST_BLOCK_TEST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "alcazar/err.h"
#include "base/bits.h"
#include "block/block.h"
#include "block/sync.h"
#include "host/test/test_host.h"

/* What tests of disks share: a directory, a count of what is open, servers. */
struct bench {
	struct test_host th;
	char dir[64];
	size_t fds, threads;
};

static inline size_t count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Threads of this process but for the kernel's own, which it keeps for io_uring. */
static inline size_t count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		char path[64], name[32] = "iou-";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", e->d_name);
		f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (f && fgets(name, sizeof(name), f))
			n += strncmp(name, "iou-", 4) != 0;
		if (f)
			fclose(f);
	}
	closedir(d);
	return n;
}

static inline void bench_open(struct bench *b)
{
	test_host_init(&b->th, TEST_TIME_REAL);
	strcpy(b->dir, "/tmp/alcazar-block-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->fds = count_entries("/proc/self/fd");
	b->threads = count_threads();
}

static inline const char *bench_path(const struct bench *b, const char *name)
{
	static char path[4][128];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", b->dir, name);
	return p;
}

static inline void remove_tree(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

/* Nothing is left: no descriptor, no thread, no memory. */
static inline void bench_close(struct bench *b)
{
	assert_int_equal(count_entries("/proc/self/fd"), b->fds);
	/* A thread that was joined is listed for a moment more. */
	for (unsigned i = 0; i < 1000 && count_threads() != b->threads; i++)
		usleep(1000);
	assert_int_equal(count_threads(), b->threads);
	if (test_host_leaks(&b->th))
		print_error("leaks: %zu\n", test_host_leaks(&b->th));
	assert_int_equal(test_host_leaks(&b->th), 0);
	test_host_fini(&b->th);
	remove_tree(b->dir);
}

/* A sparse file of that size. */
static inline const char *bench_file(const struct bench *b, const char *name, off_t size)
{
	const char *path = bench_path(b, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
	return path;
}

static inline int do_read(struct bench *b, struct block *d, u64 at, void *p, size_t len)
{
	return block_sync(&b->th.host, d, BLOCK_READ, at, p, len);
}

static inline int do_write(struct bench *b, struct block *d, u64 at, const void *p, size_t len)
{
	return block_sync(&b->th.host, d, BLOCK_WRITE, at, (void *)(uintptr_t)p, len);
}

static inline int do_flush(struct bench *b, struct block *d)
{
	return block_sync(&b->th.host, d, BLOCK_FLUSH, 0, NULL, 0);
}

/* A server in a process of its own, which dies with the test. argv[0] is looked up in PATH. */
static inline pid_t spawn(const char *const *argv)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	return pid;
}

static inline bool listens(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	yes = connect(s, (struct sockaddr *)&a, sizeof(a)) == 0;
	close(s);
	return yes;
}

/* Until the server listens. It must not end before. */
static inline void await_socket(pid_t pid, const char *path)
{
	int status;

	while (!listens(path)) {
		assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
		usleep(1000);
	}
}

static inline void end_server(pid_t pid, int sig)
{
	int status;

	kill(pid, sig);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static inline bool have_program(const char *name)
{
	char command[64];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", name);
	return system(command) == 0;
}

/* xorshift: the same everywhere for a seed. */
static inline u64 random_next(u64 *state)
{
	u64 x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

static inline u64 random_below(u64 *state, u64 n)
{
	return random_next(state) % n;
}

static inline u64 random_seed(void)
{
	const char *text = getenv("ALCAZAR_SEED");
	u64 seed = text ? strtoull(text, NULL, 0) : (u64)getpid() * 2654435761u + 1;

	print_message("ALCAZAR_SEED=%llu\n", (unsigned long long)seed);
	return seed ? seed : 1;
}

#endif
