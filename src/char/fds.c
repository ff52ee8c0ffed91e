/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "char/fds.h"

enum { PENDING_MAX = 4096, CTRL_D = 4 };
/*
 * A terminal driver eats a Ctrl-D that comes while a shell lets it edit lines and shows it to a
 * shell that edits them itself; one that comes just before the change is lost. So like a person
 * who wants to leave, the stream types it again from time to time.
 */
enum { CTRL_D_PERIOD_MS = 500, NS_PER_MS = 1000000 };
/* What a pipe or terminal that polls as writable takes without blocking. */
enum { CHUNK_MAX = 512 };

struct char_fds {
	struct char_fds_params p;
	pthread_t thread;
	bool has_thread;
	int wake_fd;    /* room, readiness, quit: the thread looks again */
	int unblock_fd; /* readable once output must not wait any more */
	_Atomic(bool) quit, ready, reader_gone;

	pthread_mutex_t lock; /* front; held while calling it */
	struct alc_char_front front;

	/* The thread's own. */
	u8 pending[PENDING_MAX];
	size_t npending;
	bool ended;  /* nothing more is read */
	bool at_eof; /* since there is no more */

	/* by_clock */
	struct alc_clock *clock;
	struct alc_timer timer;
	u64 ctrl_d_ns; /* when to type the next one */
};

static void notify(int fd)
{
	const uint64_t one = 1;
	ssize_t n;

	/* It fails only when the counter is full, and then the reader has enough to wake for. */
	do
		n = write(fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

static void drain(int fd)
{
	uint64_t count;
	ssize_t n;

	do
		n = read(fd, &count, sizeof(count));
	while (n < 0 && errno == EINTR);
}

/* ---- Output ------------------------------------------------------------------------------- */

/* False when nobody takes output any more. */
static bool wait_writable(struct char_fds *f)
{
	struct pollfd fds[2] = {
		{.fd = f->p.out_fd, .events = POLLOUT},
		{.fd = f->unblock_fd, .events = POLLIN},
	};

	for (;;) {
		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		if (fds[0].revents & POLLOUT)
			return true;
		if (fds[0].revents || fds[1].revents)
			return false;
	}
}

static void write_out(void *ctx, const u8 *bytes, size_t len)
{
	struct char_fds *f = ctx;

	if (f->p.out_fd < 0 || atomic_load(&f->reader_gone))
		return;
	while (len && wait_writable(f)) {
		ssize_t n = write(f->p.out_fd, bytes, len < CHUNK_MAX ? len : CHUNK_MAX);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0) {
			atomic_store(&f->reader_gone, true);
			return;
		}
		bytes += n;
		len -= (size_t)n;
	}
}

/* ---- Input -------------------------------------------------------------------------------- */

static bool may_push(struct char_fds *f)
{
	return f->npending && f->front.room && (!f->p.await_ready || atomic_load(&f->ready));
}

/*
 * Gives the front end what it has room for, until it says that it has none: only then will it
 * call resume. What it said before it took the last bytes may be out of date.
 */
static void push(struct char_fds *f)
{
	size_t n = 1;

	pthread_mutex_lock(&f->lock);
	while (n && may_push(f)) {
		n = f->front.room(f->front.ctx);
		n = n < f->npending ? n : f->npending;
		if (n)
			f->front.input(f->front.ctx, f->pending, n);
		f->npending -= n;
		memmove(f->pending, f->pending + n, f->npending);
	}
	pthread_mutex_unlock(&f->lock);
}

/* Room for one more is kept, for the Ctrl-D. */
static size_t space_left(const struct char_fds *f)
{
	return PENDING_MAX - 1 - f->npending;
}

static void type_ctrl_d(struct char_fds *f)
{
	f->pending[f->npending++] = CTRL_D;
}

static void end_input(struct char_fds *f)
{
	f->ended = f->at_eof = true;
	if (f->p.eof_as_eot)
		type_ctrl_d(f);
}

static bool repeats_ctrl_d(const struct char_fds *f)
{
	return f->at_eof && f->p.eof_as_eot && !f->npending;
}

static void take_input(struct char_fds *f)
{
	u8 *at = f->pending + f->npending;
	ssize_t n = read(f->p.in_fd, at, space_left(f));
	u8 *escape = NULL;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		end_input(f);
		return;
	}
	if (f->p.escape_char >= 0)
		escape = memchr(at, f->p.escape_char, (size_t)n);
	f->npending += (size_t)(escape ? escape - at : n);
	if (escape) {
		f->ended = true;
		f->p.stop(f->p.stop_ctx);
	}
}

static void *input_main(void *arg)
{
	struct char_fds *f = arg;

	while (!atomic_load(&f->quit)) {
		struct pollfd fds[2] = {
			{.fd = f->wake_fd, .events = POLLIN},
			{.fd = f->p.in_fd, .events = POLLIN},
		};

		push(f);
		if (f->ended || !space_left(f))
			fds[1].fd = -1;
		switch (poll(fds, 2, repeats_ctrl_d(f) ? CTRL_D_PERIOD_MS : -1)) {
		case -1:
			continue;
		case 0:
			type_ctrl_d(f);
			continue;
		}
		if (fds[0].revents)
			drain(f->wake_fd);
		if (fds[1].revents)
			take_input(f);
	}
	return NULL;
}

/* ---- Input by a virtual clock: the same on the thread of its timers ------------------------- */

static void look_at(struct char_fds *f, u64 at_ns)
{
	/* Without memory for a timer, which devices will complain of, input stands. */
	(void)clock_timer_set(f->clock, &f->timer, at_ns);
}

static void read_all(struct char_fds *f)
{
	push(f);
	while (!f->ended && space_left(f)) {
		take_input(f);
		push(f);
	}
}

static void look(void *arg)
{
	struct char_fds *f = arg;
	u64 now_ns = clock_now_ns(f->clock);

	read_all(f);
	if (!repeats_ctrl_d(f))
		return;
	if (f->ctrl_d_ns && now_ns >= f->ctrl_d_ns) {
		type_ctrl_d(f);
		push(f);
	}
	if (!f->ctrl_d_ns || now_ns >= f->ctrl_d_ns)
		f->ctrl_d_ns = now_ns + (u64)CTRL_D_PERIOD_MS * NS_PER_MS;
	look_at(f, f->ctrl_d_ns);
}

void char_fds_set_clock(struct char_fds *f, struct alc_clock *clock)
{
	if (!f->p.by_clock)
		return;
	clock_timer_init(&f->timer, look, f);
	f->clock = clock;
	look_at(f, 0);
}

/* ---- What the front end calls ---------------------------------------------------------------- */

static void wake(struct char_fds *f)
{
	if (f->clock)
		look_at(f, 0);
	else
		notify(f->wake_fd);
}

/* Called with the front end's lock held, so it only wakes the thread. */
static void resume(void *ctx)
{
	wake(ctx);
}

static void attach(void *ctx, const struct alc_char_front *front)
{
	struct char_fds *f = ctx;

	pthread_mutex_lock(&f->lock);
	f->front = front ? *front : (struct alc_char_front){0};
	pthread_mutex_unlock(&f->lock);
	wake(f);
}

/* ---- Life --------------------------------------------------------------------------------- */

static const struct alc_char_ops ops = {
	.name = "fds",
	.write = write_out,
	.resume = resume,
	.attach = attach,
};

struct alc_char char_fds_stream(struct char_fds *f)
{
	return (struct alc_char){.ops = &ops, .ctx = f};
}

void char_fds_ready(struct char_fds *f)
{
	atomic_store(&f->ready, true);
	wake(f);
}

void char_fds_unblock(struct char_fds *f)
{
	notify(f->unblock_fd);
}

/* Signals are for the program's other threads. */
static int start_thread(struct char_fds *f)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&f->thread, NULL, input_main, f);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	f->has_thread = rc == 0;
	return -rc;
}

int char_fds_create(const struct char_fds_params *p, struct char_fds **out, struct alc_err *err)
{
	struct char_fds *f = calloc(1, sizeof(*f));
	int rc = 0;

	if (!f)
		return alc_fail(err, -ENOMEM, "no memory for a console");
	f->p = *p;
	pthread_mutex_init(&f->lock, NULL);
	f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->unblock_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->wake_fd < 0 || f->unblock_fd < 0)
		rc = -errno;
	else if (p->in_fd >= 0 && !p->by_clock)
		rc = start_thread(f);
	if (rc) {
		char_fds_destroy(f);
		return alc_fail(err, rc, "can't set up a console: %s", strerror(-rc));
	}
	*out = f;
	return 0;
}

void char_fds_destroy(struct char_fds *f)
{
	if (!f)
		return;
	if (f->has_thread) {
		atomic_store(&f->quit, true);
		notify(f->wake_fd);
		pthread_join(f->thread, NULL);
	}
	if (f->wake_fd >= 0)
		close(f->wake_fd);
	if (f->unblock_fd >= 0)
		close(f->unblock_fd);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
