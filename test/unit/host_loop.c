/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/linux/loop.h"

static struct loop *loop;

static int setup(void **state)
{
	return loop_create("a name that is too long", &loop, NULL);
}

static int teardown(void **state)
{
	loop_destroy(loop);
	return 0;
}

/* A descriptor whose callback counts, and says what it was called with. */
struct watched {
	int fd;
	struct loop_fd *f;
	atomic_uint calls, events;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned count;
	bool consume, remove_self, hold, held;
	pthread_t thread;
	sigset_t mask;
	char name[16];
};

static void ready(void *ctx, uint32_t events)
{
	struct watched *w = ctx;
	eventfd_t v;

	if (w->consume)
		eventfd_read(w->fd, &v);
	if (w->remove_self)
		loop_remove(w->f);
	pthread_mutex_lock(&w->lock);
	w->count++;
	w->events = events;
	w->thread = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &w->mask);
	pthread_getname_np(w->thread, w->name, sizeof(w->name));
	w->held = w->hold;
	pthread_cond_broadcast(&w->changed);
	while (w->hold)
		pthread_cond_wait(&w->changed, &w->lock);
	w->held = false;
	pthread_mutex_unlock(&w->lock);
}

static void watch(struct watched *w, uint32_t events)
{
	*w = (struct watched){
		.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.consume = true,
	};
	assert_true(w->fd >= 0);
	assert_int_equal(loop_add(loop, w->fd, events, ready, w, &w->f, NULL), 0);
}

static void await(struct watched *w, unsigned count)
{
	pthread_mutex_lock(&w->lock);
	while (w->count < count)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static unsigned count_of(struct watched *w)
{
	unsigned n;

	pthread_mutex_lock(&w->lock);
	n = w->count;
	pthread_mutex_unlock(&w->lock);
	return n;
}

/* When a second descriptor, readable after the first, was served, the first had its turn. */
static void pass(struct watched *marker)
{
	unsigned n = count_of(marker);

	eventfd_write(marker->fd, 1);
	await(marker, n + 1);
	/* The kernel hands out ready descriptors in turn; twice, so that no batch is left. */
	eventfd_write(marker->fd, 1);
	await(marker, n + 2);
}

static void calls_for_what_is_ready(void **state)
{
	struct watched a, b;

	watch(&a, EPOLLIN);
	watch(&b, EPOLLIN);
	eventfd_write(a.fd, 1);
	await(&a, 1);
	assert_int_equal(a.events, EPOLLIN);
	assert_false(pthread_equal(a.thread, pthread_self()));
	assert_int_equal(count_of(&b), 0);
	assert_string_equal(a.name, "a name that is ");
	assert_true(sigismember(&a.mask, SIGTERM));
	eventfd_write(b.fd, 1);
	await(&b, 1);
	assert_true(pthread_equal(a.thread, b.thread));
	loop_remove(a.f);
	loop_remove(b.f);
	close(a.fd);
	close(b.fd);
}

static void stays_ready_until_consumed(void **state)
{
	struct watched a;

	watch(&a, EPOLLIN);
	a.consume = false;
	eventfd_write(a.fd, 1);
	await(&a, 5);
	loop_remove(a.f);
	close(a.fd);
}

static void sleeps_and_wakes(void **state)
{
	struct watched a, marker;

	watch(&a, 0);
	watch(&marker, EPOLLIN);
	eventfd_write(a.fd, 1);
	pass(&marker);
	assert_int_equal(count_of(&a), 0);
	loop_change(a.f, EPOLLIN);
	await(&a, 1);
	loop_change(a.f, 0);
	eventfd_write(a.fd, 1);
	pass(&marker);
	assert_int_equal(count_of(&a), 1);
	loop_change(a.f, EPOLLIN);
	await(&a, 2);
	loop_change(a.f, EPOLLOUT);
	await(&a, 3);
	assert_true(a.events & EPOLLOUT);
	loop_remove(a.f);
	loop_remove(marker.f);
	close(a.fd);
	close(marker.fd);
}

/* Descriptors may be closed after the removal, and nobody is called any more. */
static void removed_is_never_called(void **state)
{
	struct watched marker;

	watch(&marker, EPOLLIN);
	for (unsigned i = 0; i < 200; i++) {
		struct watched *a = malloc(sizeof(*a));

		assert_non_null(a);
		watch(a, EPOLLIN);
		a->consume = false;
		eventfd_write(a->fd, 1);
		loop_remove(a->f);
		close(a->fd);
		free(a); /* a call now would be a use after free */
	}
	pass(&marker);
	loop_remove(marker.f);
	close(marker.fd);
}

static void removes_itself(void **state)
{
	struct watched a, marker;

	watch(&a, EPOLLIN);
	watch(&marker, EPOLLIN);
	a.consume = false;
	a.remove_self = true;
	eventfd_write(a.fd, 1);
	await(&a, 1);
	pass(&marker);
	assert_int_equal(count_of(&a), 1);
	loop_remove(marker.f);
	close(a.fd);
	close(marker.fd);
}

struct remover {
	struct watched *w;
	atomic_bool done;
};

static void *remove_it(void *arg)
{
	struct remover *r = arg;

	loop_remove(r->w->f);
	atomic_store(&r->done, true);
	return NULL;
}

static void removal_waits_for_the_callback(void **state)
{
	struct watched a;
	struct remover r = {.w = &a};
	pthread_t t;

	watch(&a, EPOLLIN);
	a.hold = true;
	eventfd_write(a.fd, 1);
	await(&a, 1);
	assert_int_equal(pthread_create(&t, NULL, remove_it, &r), 0);
	for (int i = 0; i < 1000; i++) {
		sched_yield();
		assert_false(atomic_load(&r.done));
	}
	pthread_mutex_lock(&a.lock);
	a.hold = false;
	pthread_cond_broadcast(&a.changed);
	pthread_mutex_unlock(&a.lock);
	pthread_join(t, NULL);
	assert_false(a.held);
	close(a.fd);
}

static void hang_ups_are_told_only_to_the_awake(void **state)
{
	struct watched a, marker;
	int pipe_fds[2];

	watch(&marker, EPOLLIN);
	watch(&a, 0);
	loop_remove(a.f);
	close(a.fd);
	assert_int_equal(pipe(pipe_fds), 0);
	a.fd = pipe_fds[0];
	a.consume = false;
	assert_int_equal(loop_add(loop, a.fd, 0, ready, &a, &a.f, NULL), 0);
	close(pipe_fds[1]);
	pass(&marker);
	assert_int_equal(count_of(&a), 0);
	loop_change(a.f, EPOLLIN);
	await(&a, 1);
	assert_true(a.events & EPOLLHUP);
	loop_remove(a.f);
	loop_remove(NULL);
	close(a.fd);
	loop_remove(marker.f);
	close(marker.fd);
}

static void what_cannot_be_watched_is_an_error(void **state)
{
	struct alc_err err = {0};
	struct loop_fd *f = NULL;

	assert_true(loop_add(loop, -1, EPOLLIN, ready, NULL, &f, &err) < 0);
	assert_null(f);
	assert_true(err.text[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_for_what_is_ready),
		cmocka_unit_test(stays_ready_until_consumed),
		cmocka_unit_test(sleeps_and_wakes),
		cmocka_unit_test(removed_is_never_called),
		cmocka_unit_test(removes_itself),
		cmocka_unit_test(removal_waits_for_the_callback),
		cmocka_unit_test(hang_ups_are_told_only_to_the_awake),
		cmocka_unit_test(what_cannot_be_watched_is_an_error),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
