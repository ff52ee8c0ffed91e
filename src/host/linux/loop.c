/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/linux/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * A removed descriptor may still stand in the batch that the thread has just fetched. So its
 * memory is kept until the thread is between batches: `removed` entries are skipped, and reaped
 * where no batch is under way.
 */
enum { BATCH = 32 };

struct loop {
	int epoll_fd, wake_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t idle;     /* `running` changed */
	struct loop_fd *running; /* whose callback the thread is in */
	struct loop_fd *removed; /* to be reaped */
	bool quit;
};

struct loop_fd {
	struct loop *loop;
	int fd;
	void (*ready)(void *ctx, uint32_t events);
	void *ctx;
	bool watched, gone;
	struct loop_fd *next;
};

static void call(struct loop *l, struct loop_fd *f, uint32_t events)
{
	pthread_mutex_lock(&l->lock);
	if (f->gone) {
		pthread_mutex_unlock(&l->lock);
		return;
	}
	l->running = f;
	pthread_mutex_unlock(&l->lock);
	f->ready(f->ctx, events);
	pthread_mutex_lock(&l->lock);
	l->running = NULL;
	pthread_cond_broadcast(&l->idle);
	pthread_mutex_unlock(&l->lock);
}

static bool reap(struct loop *l)
{
	struct loop_fd *f;
	bool quit;

	pthread_mutex_lock(&l->lock);
	f = l->removed;
	l->removed = NULL;
	quit = l->quit;
	pthread_mutex_unlock(&l->lock);
	while (f) {
		struct loop_fd *next = f->next;

		free(f);
		f = next;
	}
	return quit;
}

static void *loop_main(void *arg)
{
	struct loop *l = arg;
	struct epoll_event batch[BATCH];

	while (!reap(l)) {
		int n = epoll_wait(l->epoll_fd, batch, BATCH, -1);

		for (int i = 0; i < n; i++)
			if (batch[i].data.ptr)
				call(l, batch[i].data.ptr, batch[i].events);
	}
	return NULL;
}

static void loop_free(struct loop *l)
{
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	pthread_cond_destroy(&l->idle);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static int loop_start(struct loop *l, const char *name)
{
	struct epoll_event wake = {.events = EPOLLIN | EPOLLET}; /* never read */
	sigset_t all, before;
	char short_name[16]; /* what Linux takes */
	int rc;

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll_fd < 0 || l->wake_fd < 0 ||
	    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &wake))
		return -errno;
	snprintf(short_name, sizeof(short_name), "%s", name);
	/* Signals are for the threads that the program has for them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&l->thread, NULL, loop_main, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!rc)
		pthread_setname_np(l->thread, short_name);
	return -rc;
}

int loop_create(const char *name, struct loop **out, struct alc_err *err)
{
	struct loop *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return alc_fail(err, -ENOMEM, "no memory for an event loop");
	l->epoll_fd = l->wake_fd = -1;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->idle, NULL);
	rc = loop_start(l, name);
	if (rc) {
		loop_free(l);
		return alc_fail(err, rc, "can't start an event loop: %s", strerror(-rc));
	}
	*out = l;
	return 0;
}

void loop_destroy(struct loop *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->quit = true;
	pthread_mutex_unlock(&l->lock);
	eventfd_write(l->wake_fd, 1);
	pthread_join(l->thread, NULL);
	reap(l);
	loop_free(l);
}

int loop_add(struct loop *l, int fd, uint32_t events, void (*ready)(void *ctx, uint32_t events),
	     void *ctx, struct loop_fd **out, struct alc_err *err)
{
	struct loop_fd *f = calloc(1, sizeof(*f));
	struct epoll_event ev = {.events = events, .data.ptr = f};

	if (!f)
		return alc_fail(err, -ENOMEM, "no memory to watch a file descriptor");
	f->loop = l;
	f->fd = fd;
	f->ready = ready;
	f->ctx = ctx;
	f->watched = events;
	*out = f; /* before the first callback, which may want it */
	if (events && epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		int rc = -errno;

		*out = NULL;
		free(f);
		return alc_fail(err, rc, "can't watch a file descriptor: %s", strerror(-rc));
	}
	return 0;
}

/* Taken out rather than given no events: epoll reports errors and hang-ups unasked. */
void loop_change(struct loop_fd *f, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = f};
	struct loop *l = f->loop;

	pthread_mutex_lock(&l->lock);
	if (!f->gone && (events || f->watched)) {
		int op = !events ? EPOLL_CTL_DEL : f->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

		epoll_ctl(l->epoll_fd, op, f->fd, &ev);
		f->watched = events;
	}
	pthread_mutex_unlock(&l->lock);
}

void loop_remove(struct loop_fd *f)
{
	struct loop *l;

	if (!f)
		return;
	l = f->loop;
	loop_change(f, 0);
	pthread_mutex_lock(&l->lock);
	f->gone = true;
	while (l->running == f && !pthread_equal(pthread_self(), l->thread))
		pthread_cond_wait(&l->idle, &l->lock);
	f->next = l->removed;
	l->removed = f;
	pthread_mutex_unlock(&l->lock);
	eventfd_write(l->wake_fd, 1);
}
