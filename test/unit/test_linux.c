/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "alcazar/vm.h"
#include "base/errno.h"
#include "host/linux/linux.h"

static struct alc_host *h;

static int setup(void **state)
{
	return alc_host_open(&h, NULL);
}

static int teardown(void **state)
{
	alc_host_close(h);
	return 0;
}

static void alloc_is_zeroed_and_aligned(void **state)
{
	static const size_t sizes[] = {1, 64, 65, 4096, 1 << 20};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		u8 *p = host_alloc(h, sizes[i]);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 64, 0);
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(p[j], 0);
		memset(p, 0xff, sizes[i]);
		host_free(h, p, sizes[i]);
	}
	assert_null(host_alloc(h, SIZE_MAX));
	assert_null(host_alloc(h, (size_t)1 << 62));
	host_free(h, NULL, 5);
}

static void ram_is_shared_and_lazy(void **state)
{
	struct alc_host_ram ram;
	u8 byte = 0;

	assert_int_equal(h->ram_map(h->ctx, 1ull << 30, &ram), 0);
	assert_int_equal((uintptr_t)ram.base % 4096, 0);
	ram.base[ram.size - 1] = 0x5a;
	assert_int_equal(pread(ram.fd, &byte, 1, (off_t)ram.size - 1), 1);
	assert_int_equal(byte, 0x5a);
	assert_int_equal(ram.base[0], 0);
	h->ram_unmap(h->ctx, &ram);
	h->ram_unmap(h->ctx, NULL);
}

/* What /proc/self/smaps says of the mapping that begins at p, in KiB; 0 where it doesn't. */
static unsigned long smaps_kib(const void *p, const char *key)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long start, kib = 0;
	bool here = false;
	char line[256];

	assert_non_null(f);
	while (!kib && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-", &start) == 1 && strchr(line, '-'))
			here = start == (uintptr_t)p;
		else if (here && !strncmp(line, key, strlen(key)))
			kib = strtoul(line + strlen(key), NULL, 10);
	}
	fclose(f);
	return kib;
}

/* What the host says of huge pages, and whether it lets a process have namespaces of its own. */
static bool may_have_huge_pages(void)
{
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
	char text[64] = "[never]";
	int status = 1;
	pid_t child;

	if (f && !fgets(text, sizeof(text), f))
		text[0] = 0;
	if (f)
		fclose(f);
	child = fork();
	if (!child)
		_exit(unshare(CLONE_NEWUSER | CLONE_NEWNS) ? 1 : 0);
	return waitpid(child, &status, 0) == child && !status && !strstr(text, "[never]");
}

static void ram_has_huge_pages(void **state)
{
	struct alc_host_ram ram;
	unsigned long kib;

	if (!may_have_huge_pages()) {
		print_message("no huge pages, or no user namespaces, for this process here\n");
		skip();
	}
	assert_int_equal(h->ram_map(h->ctx, 64 << 20, &ram), 0);
	/* Several: a host may have no 2 MiB in one piece left for the first. */
	for (size_t at = 0; at < ram.size; at += 8 << 20)
		ram.base[at] = 1;
	kib = smaps_kib(ram.base, "ShmemPmdMapped:");
	assert_true(kib >= 2048);
	assert_int_equal(h->ram_discard(h->ctx, &ram, 0, ram.size), 0);
	assert_int_equal(ram.base[8 << 20], 0);
	h->ram_unmap(h->ctx, &ram);
}

/* Is there a mapping of such protection at p, with a name that begins so? By /proc/self/maps. */
static bool is_mapped(const void *p, const char *prot, const char *name)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[256], has_prot[5], has_name[64];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strtoull(line, NULL, 16) == (uintptr_t)p &&
			sscanf(line, "%*s %4s %*s %*s %*s %63s", has_prot, has_name) == 2 &&
			!strcmp(has_prot, prot) && !strncmp(has_name, name, strlen(name));
	if (f)
		fclose(f);
	return found;
}

/* What is written by one mapping runs in the other, which perf calls anonymous: memory.c. */
static bool code_works(u64 size)
{
	static const u8 mov_eax_42_ret[] = {0xb8, 42, 0, 0, 0, 0xc3};
	size_t at = size - sizeof(mov_eax_42_ret);
	struct alc_host_code code;
	const u8 *last;
	int (*fn)(void);
	bool good;

	if (h->code_map(h->ctx, size, &code))
		return false;
	memcpy(code.rw + at, mov_eax_42_ret, sizeof(mov_eax_42_ret));
	last = code.rx + at;
	memcpy(&fn, &last, sizeof(fn));
	good = fn() == 42 && is_mapped(code.rw, "rw-s", "/") &&
	       (is_mapped(code.rx, "r-xs", "/dev/zero") ||
		is_mapped(code.rx, "r-xs", "/anon_hugepage"));
	h->code_unmap(h->ctx, &code);
	return good;
}

static void code_written_here_runs_there(void **state)
{
	assert_true(code_works(4096));
	assert_true(code_works(28 << 20));
	h->code_unmap(h->ctx, NULL);
}

static void code_has_huge_pages(void **state)
{
	struct alc_host_code code;

	if (!may_have_huge_pages()) {
		print_message("no huge pages, or no user namespaces, for this process here\n");
		skip();
	}
	assert_int_equal(h->code_map(h->ctx, 28 << 20, &code), 0);
	for (size_t at = 0; at < code.size; at += 4 << 20) {
		code.rw[at] = 0xc3;
		assert_int_equal(code.rx[at], 0xc3);
	}
	assert_true(smaps_kib(code.rx, "ShmemPmdMapped:") >= 2048);
	h->code_unmap(h->ctx, &code);
}

/* In a process that can't have namespaces: what it is given has no huge pages, and works. */
static int map_without_namespaces(void)
{
	FILE *limit = unshare(CLONE_NEWUSER) ? NULL
					     : fopen("/proc/sys/user/max_user_namespaces", "w");
	struct alc_host_ram ram;
	u8 byte = 0;

	if (!limit || fputs("0", limit) < 0 || fclose(limit) || !unshare(CLONE_NEWUSER))
		return 77;
	if (h->ram_map(h->ctx, 8 << 20, &ram))
		return 1;
	ram.base[ram.size - 1] = 0x5a;
	if (pread(ram.fd, &byte, 1, (off_t)ram.size - 1) != 1 || byte != 0x5a || ram.base[0])
		return 2;
	h->ram_unmap(h->ctx, &ram);
	return code_works(28 << 20) ? 0 : 3;
}

static void memory_needs_no_namespaces(void **state)
{
	int status = 0;
	pid_t child = fork();

	if (!child)
		_exit(map_without_namespaces());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("a process can't give up namespaces here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* The child that makes the object is nobody else's to wait for, and changes no signal mask. */
static void ram_leaves_no_child(void **state)
{
	struct alc_host_ram ram;
	sigset_t before, after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(h->ram_map(h->ctx, 8 << 20, &ram), 0);
	h->ram_unmap(h->ctx, &ram);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int sig = 1; sig < 32; sig++)
		assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
	assert_int_equal(waitpid(-1, NULL, __WALL | WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void absurd_sizes_fail_cleanly(void **state)
{
	static const u64 sizes[] = {1ull << 50, 1ull << 62, 1ull << 63, UINT64_MAX};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct alc_host_ram ram = {.size = 42};
		struct alc_host_code code = {.size = 43};

		assert_int_equal(h->ram_map(h->ctx, sizes[i], &ram), -ENOMEM);
		assert_int_equal(ram.size, 42);
		assert_true(h->code_map(h->ctx, sizes[i], &code) < 0);
		assert_int_equal(code.size, 43);
	}
}

struct seen {
	char name[16];
	bool blocked, fault_open;
};

static void look_around(void *arg)
{
	struct seen *s = arg;
	sigset_t set;

	prctl(PR_GET_NAME, s->name);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	s->blocked = sigismember(&set, SIGINT) && sigismember(&set, SIGTERM) &&
		     sigismember(&set, SIGUSR1);
	s->fault_open = !sigismember(&set, SIGSEGV);
}

static void threads_have_names_and_no_signals(void **state)
{
	struct seen s = {.blocked = false};
	struct alc_thread *t;
	sigset_t set;

	assert_int_equal(h->thread_start(h->ctx, "a name that is too long", look_around, &s, &t),
			 0);
	h->thread_join(h->ctx, t);
	assert_string_equal(s.name, "a name that is ");
	assert_true(s.blocked && s.fault_open);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	assert_false(sigismember(&set, SIGINT));
}

static struct alc_event *make_event(bool has_fd, int *fd)
{
	struct alc_event *e = h->event_create(h->ctx);

	assert_non_null(e);
	if (has_fd)
		assert_int_equal(h->event_fd(h->ctx, e, fd), 0);
	return e;
}

static void remember_one_signal(bool has_fd)
{
	int fd;
	struct alc_event *e = make_event(has_fd, &fd);

	h->event_signal(h->ctx, e);
	h->event_signal(h->ctx, e);
	assert_int_equal(h->event_wait(h->ctx, e, ALC_WAIT_FOREVER), 0);
	assert_int_equal(h->event_wait(h->ctx, e, 1), -ETIMEDOUT);
	assert_int_equal(h->event_wait(h->ctx, e, host_now_ns(h) + 1000000), -ETIMEDOUT);
	h->event_signal(h->ctx, e);
	assert_int_equal(h->event_wait(h->ctx, e, 1), 0);
	if (has_fd) {
		assert_int_equal(eventfd_write(fd, 1), 0);
		h->event_signal(h->ctx, e);
		assert_int_equal(h->event_wait(h->ctx, e, ALC_WAIT_FOREVER), 0);
		assert_int_equal(h->event_wait(h->ctx, e, 1), -ETIMEDOUT);
	}
	h->event_destroy(h->ctx, e);
	h->event_destroy(h->ctx, NULL);
}

static void events_remember_one_signal(void **state)
{
	remember_one_signal(false);
	remember_one_signal(true);
}

enum { ROUNDS = 5000 };

struct pingpong {
	struct alc_event *ping, *pong;
	struct alc_mutex *lock;
	unsigned count; /* under lock */
};

static void bump(struct pingpong *p)
{
	host_lock(h, p->lock);
	p->count++;
	host_unlock(h, p->lock);
}

static void pong_thread(void *arg)
{
	struct pingpong *p = arg;

	for (int i = 0; i < ROUNDS; i++) {
		h->event_wait(h->ctx, p->ping, ALC_WAIT_FOREVER);
		bump(p);
		h->event_signal(h->ctx, p->pong);
	}
}

static void lose_no_wakeup(bool has_fd)
{
	int fd;
	struct pingpong p = {make_event(has_fd, &fd), make_event(has_fd, &fd),
			     h->mutex_create(h->ctx), 0};
	struct alc_thread *t;

	assert_int_equal(h->thread_start(h->ctx, "pong", pong_thread, &p, &t), 0);
	for (int i = 0; i < ROUNDS; i++) {
		bump(&p);
		h->event_signal(h->ctx, p.ping);
		assert_int_equal(h->event_wait(h->ctx, p.pong, UINT64_MAX), 0);
	}
	h->thread_join(h->ctx, t);
	assert_int_equal(p.count, 2 * ROUNDS);
	h->event_destroy(h->ctx, p.ping);
	h->event_destroy(h->ctx, p.pong);
	h->mutex_destroy(h->ctx, p.lock);
}

static void events_lose_no_wakeup(void **state)
{
	lose_no_wakeup(false);
	lose_no_wakeup(true);
}

/*
 * Dekker's entry with no fence on one side. Each round both raise a flag and look at the other's;
 * both finding the other's down is what the barrier forbids.
 */
struct dekker {
	struct linux_barrier *barrier;
	atomic_uint round, done;
	atomic_uint fast, slow;
	unsigned fast_saw;
};

static void fast_side(void *arg)
{
	struct dekker *d = arg;

	for (unsigned i = 1; i <= ROUNDS; i++) {
		while (atomic_load(&d->round) != i)
			sched_yield();
		atomic_store_explicit(&d->fast, 1, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst);
		d->fast_saw = atomic_load_explicit(&d->slow, memory_order_relaxed);
		atomic_store(&d->done, i);
	}
}

static void check_barrier(struct linux_barrier *b)
{
	struct dekker d = {.barrier = b};
	struct alc_thread *t;

	assert_int_equal(h->thread_start(h->ctx, "fast", fast_side, &d, &t), 0);
	for (unsigned i = 1; i <= ROUNDS; i++) {
		unsigned slow_saw;

		d.fast = d.slow = 0;
		atomic_store(&d.round, i);
		atomic_store_explicit(&d.slow, 1, memory_order_relaxed);
		linux_barrier(b);
		slow_saw = atomic_load_explicit(&d.fast, memory_order_relaxed);
		while (atomic_load(&d.done) != i)
			sched_yield();
		assert_true(slow_saw || d.fast_saw);
	}
	h->thread_join(h->ctx, t);
}

static void barrier_orders_all_threads(void **state)
{
	struct linux_barrier *b;

	assert_int_equal(linux_barrier_open(&b), 0);
	check_barrier(b);
	linux_barrier_close(b);
	h->barrier_all(h->ctx);
}

static void barrier_fallback_orders_all_threads(void **state)
{
	struct linux_barrier *b;

	assert_int_equal(linux_barrier_open_fallback(&b), 0);
	assert_non_null(b);
	check_barrier(b);
	linux_barrier_close(b);
}

static void random_fills(void **state)
{
	u8 a[64] = {0}, b[64] = {0};

	h->random(h->ctx, a, sizeof(a));
	h->random(h->ctx, b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
}

/* What a host opened under ALCAZAR_LOG=level prints of one line of each level. */
static void check_log(const char *level, const char *want)
{
	char got[128] = {0};
	struct alc_host *log_host;
	int fds[2], saved = dup(STDERR_FILENO);

	if (level)
		setenv("ALCAZAR_LOG", level, 1);
	else
		unsetenv("ALCAZAR_LOG");
	assert_int_equal(alc_host_open(&log_host, NULL), 0);
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	log_host->log(log_host->ctx, ALC_LOG_ERROR, "E");
	log_host->log(log_host->ctx, ALC_LOG_WARN, "W");
	log_host->log(log_host->ctx, ALC_LOG_INFO, "I");
	log_host->log(log_host->ctx, ALC_LOG_DEBUG, "D");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[1]);
	assert_true(read(fds[0], got, sizeof(got) - 1) > 0);
	close(fds[0]);
	assert_string_equal(got, want);
	alc_host_close(log_host);
}

static void log_honours_the_level(void **state)
{
	check_log(NULL, "alcazar: E\nalcazar: W\n");
	check_log("error", "alcazar: E\n");
	check_log("debug", "alcazar: E\nalcazar: W\nalcazar: I\nalcazar: D\n");
	check_log("nonsense", "alcazar: E\nalcazar: W\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alloc_is_zeroed_and_aligned),
		cmocka_unit_test(ram_is_shared_and_lazy),
		cmocka_unit_test(ram_has_huge_pages),
		cmocka_unit_test(memory_needs_no_namespaces),
		cmocka_unit_test(ram_leaves_no_child),
		cmocka_unit_test(absurd_sizes_fail_cleanly),
		cmocka_unit_test(code_written_here_runs_there),
		cmocka_unit_test(code_has_huge_pages),
		cmocka_unit_test(threads_have_names_and_no_signals),
		cmocka_unit_test(events_remember_one_signal),
		cmocka_unit_test(events_lose_no_wakeup),
		cmocka_unit_test(barrier_orders_all_threads),
		cmocka_unit_test(barrier_fallback_orders_all_threads),
		cmocka_unit_test(random_fills),
		cmocka_unit_test(log_honours_the_level),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
