/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/linux/uring.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { ENTRIES = 256, BATCH = 64, RETRY_MS = 10 };

_Static_assert(sizeof(struct alc_iov) == sizeof(struct iovec) &&
		       offsetof(struct alc_iov, base) == offsetof(struct iovec, iov_base) &&
		       offsetof(struct alc_iov, len) == offsetof(struct iovec, iov_len),
	       "an alc_iov is handed to the kernel as it is");

struct uring {
	const struct alc_host *host;
	struct io_uring ring;
	void (*complete)(void *ctx, struct block_req *r, int result);
	void *ctx;
	int wake_fd;
	bool has_ring;
	struct alc_thread *thread;

	/*
	 * The submission side. What the ring has no room for waits in the backlog: the kernel is
	 * never owed more completions than the completion ring holds.
	 */
	pthread_mutex_t submit_lock;
	struct block_req *backlog, **backlog_end;
	unsigned in_flight;
	bool quit;

	pthread_mutex_t reap_lock;
};

static void prepare(struct io_uring_sqe *sqe, const struct block_req *r)
{
	const struct iovec *iov = (const struct iovec *)r->iov;

	switch (r->op) {
	case BLOCK_READ:
		if (r->niov == 1 && r->len <= UINT32_MAX)
			io_uring_prep_read(sqe, 0, iov->iov_base, (unsigned)r->len, r->offset);
		else
			io_uring_prep_readv(sqe, 0, iov, r->niov, r->offset);
		break;
	case BLOCK_WRITE:
		if (r->niov == 1 && r->len <= UINT32_MAX)
			io_uring_prep_write(sqe, 0, iov->iov_base, (unsigned)r->len, r->offset);
		else
			io_uring_prep_writev(sqe, 0, iov, r->niov, r->offset);
		break;
	default:
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
		break;
	}
	sqe->flags |= IOSQE_FIXED_FILE; /* file 0 of those registered */
}

/* Moves as much of the backlog as fits, with submit_lock held. */
static void fill(struct uring *u)
{
	struct io_uring_sqe *sqe;

	while (u->backlog && u->in_flight < ENTRIES && (sqe = io_uring_get_sqe(&u->ring))) {
		struct block_req *r = u->backlog;

		u->backlog = r->next;
		if (!u->backlog)
			u->backlog_end = &u->backlog;
		prepare(sqe, r);
		io_uring_sqe_set_data(sqe, r);
		u->in_flight++;
	}
}

/*
 * Gives the kernel what is ready. Completions that it has at once make no event: who calls this
 * reaps after it. What it does not take now (-EAGAIN, -EBUSY: short of memory) stays in the ring
 * and is offered again by the ring's thread.
 */
static void enter(struct uring *u)
{
	int rc;

	fill(u);
	if (!io_uring_sq_ready(&u->ring))
		return;
	io_uring_cq_eventfd_toggle(&u->ring, false);
	do
		rc = io_uring_submit(&u->ring);
	while (rc == -EINTR);
	io_uring_cq_eventfd_toggle(&u->ring, true);
	/* The kernel looks at the switch after it posts; so the switch before we look for posts. */
	atomic_thread_fence(memory_order_seq_cst);
	if (io_uring_sq_ready(&u->ring))
		eventfd_write(u->wake_fd, 1);
}

struct completion {
	struct block_req *req;
	int result;
};

static unsigned reap_batch(struct uring *u, struct completion *out)
{
	struct io_uring_cqe *cqes[BATCH];
	unsigned n;

	pthread_mutex_lock(&u->reap_lock);
	n = io_uring_peek_batch_cqe(&u->ring, cqes, BATCH);
	for (unsigned i = 0; i < n; i++)
		out[i] = (struct completion){io_uring_cqe_get_data(cqes[i]), cqes[i]->res};
	io_uring_cq_advance(&u->ring, n);
	pthread_mutex_unlock(&u->reap_lock);
	return n;
}

/* Completes what is there, with no lock held while others' code runs. */
static void reap(struct uring *u)
{
	struct completion batch[BATCH];
	unsigned n;

	while ((n = reap_batch(u, batch))) {
		pthread_mutex_lock(&u->submit_lock);
		u->in_flight -= n;
		if (u->backlog)
			enter(u);
		pthread_mutex_unlock(&u->submit_lock);
		for (unsigned i = 0; i < n; i++)
			u->complete(u->ctx, batch[i].req, batch[i].result);
	}
}

void uring_submit(struct uring *u, struct block_req *list)
{
	struct block_req **end = &list;

	while (*end)
		end = &(*end)->next;
	pthread_mutex_lock(&u->submit_lock);
	*u->backlog_end = list;
	u->backlog_end = end;
	enter(u);
	pthread_mutex_unlock(&u->submit_lock);
	reap(u);
}

/* True if the kernel still does not take all that it was offered. */
static bool offer_again(struct uring *u)
{
	bool left;

	pthread_mutex_lock(&u->submit_lock);
	if (io_uring_sq_ready(&u->ring))
		enter(u);
	left = io_uring_sq_ready(&u->ring);
	pthread_mutex_unlock(&u->submit_lock);
	return left;
}

static bool quits(struct uring *u)
{
	bool quit;

	pthread_mutex_lock(&u->submit_lock);
	quit = u->quit;
	pthread_mutex_unlock(&u->submit_lock);
	return quit;
}

static void completer(void *arg)
{
	struct uring *u = arg;

	while (!quits(u)) {
		eventfd_t count;

		eventfd_read(u->wake_fd, &count);
		reap(u);
		while (offer_again(u)) {
			poll(NULL, 0, RETRY_MS);
			reap(u);
		}
		reap(u);
	}
}

static int set_up(struct uring *u, int fd)
{
	int rc = io_uring_queue_init(ENTRIES, &u->ring, 0);

	if (rc)
		return rc;
	u->has_ring = true;
	rc = io_uring_register_files(&u->ring, &fd, 1);
	if (rc)
		return rc;
	u->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (u->wake_fd < 0)
		return -errno;
	rc = io_uring_register_eventfd(&u->ring, u->wake_fd);
	if (rc)
		return rc;
	return u->host->thread_start(u->host->ctx, "disk-uring", completer, u, &u->thread);
}

int uring_create(const struct alc_host *host, int fd,
		 void (*complete)(void *ctx, struct block_req *r, int result), void *ctx,
		 struct uring **out, struct alc_err *err)
{
	struct uring *u = host_alloc(host, sizeof(*u));
	int rc;

	if (!u)
		return alc_fail(err, -ENOMEM, "no memory for io_uring");
	u->host = host;
	u->complete = complete;
	u->ctx = ctx;
	u->wake_fd = -1;
	u->backlog_end = &u->backlog;
	pthread_mutex_init(&u->submit_lock, NULL);
	pthread_mutex_init(&u->reap_lock, NULL);
	rc = set_up(u, fd);
	if (rc) {
		uring_destroy(u);
		return alc_fail(err, rc, "can't set up io_uring: %s", strerror(-rc));
	}
	*out = u;
	return 0;
}

void uring_destroy(struct uring *u)
{
	if (!u)
		return;
	if (u->thread) {
		pthread_mutex_lock(&u->submit_lock);
		u->quit = true;
		pthread_mutex_unlock(&u->submit_lock);
		eventfd_write(u->wake_fd, 1);
		u->host->thread_join(u->host->ctx, u->thread);
	}
	/* A ring ends some time after it is closed: the file should not wait for that. */
	if (u->has_ring) {
		io_uring_unregister_files(&u->ring);
		io_uring_queue_exit(&u->ring);
	}
	if (u->wake_fd >= 0)
		close(u->wake_fd);
	pthread_mutex_destroy(&u->reap_lock);
	pthread_mutex_destroy(&u->submit_lock);
	host_free(u->host, u, sizeof(*u));
}
