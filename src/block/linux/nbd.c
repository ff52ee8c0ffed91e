/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/linux/nbd.h"

#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fmt.h"
#include "block/linux/inflight.h"
#include "block/linux/report.h"

/*
 * One thread waits for the connection and keeps libnbd going. Requests are handed to libnbd by who
 * submits them, which may send, receive and even complete others in passing. Completions come with
 * libnbd's lock held, so they go on a list first, and `done` is called after libnbd has returned.
 */
enum { NAME_MAX_SHOWN = 120, COMMAND_BYTES_MAX = 32 << 20 };

struct nbd {
	struct block block;
	const struct alc_host *host;
	struct nbd_handle *h;
	struct report report;
	struct inflight inflight;
	struct alc_thread *thread;
	int wake_fd;
	u32 command_max;
	bool can_flush;
	char name[NAME_MAX_SHOWN];

	pthread_mutex_t lock;
	struct block_req *done, **done_end;
	bool quit;
};

/* A request is one or more commands; the last of them to end ends it. In provider_use. */
struct command_set {
	struct nbd *n;
	u8 *bounce; /* for data in pieces */
	u32 pending;
	int status;
};
_Static_assert(sizeof(struct command_set) <= sizeof(((struct block_req *)0)->provider_use),
	       "it must fit");

static struct command_set *set_of(struct block_req *r)
{
	return (struct command_set *)r->provider_use;
}

/* ---- completion --------------------------------------------------------------------------- */

/* One command, or the submitter's own share, has ended. */
static void end_one(struct block_req *r, int status)
{
	struct command_set *s = set_of(r);
	struct nbd *n = s->n;

	pthread_mutex_lock(&n->lock);
	if (status && !s->status)
		s->status = status;
	if (--s->pending == 0) {
		r->next = NULL;
		*n->done_end = r;
		n->done_end = &r->next;
	}
	pthread_mutex_unlock(&n->lock);
}

static int command_done(void *ctx, int *error)
{
	end_one(ctx, -*error);
	return 1; /* libnbd may forget it */
}

static const char *const op_names[] = {
	[BLOCK_READ] = "read",       [BLOCK_WRITE] = "write",  [BLOCK_FLUSH] = "flush",
	[BLOCK_DISCARD] = "discard", [BLOCK_ZERO] = "zeroing",
};

static bool lost(struct nbd *n)
{
	return nbd_aio_is_dead(n->h) > 0 || nbd_aio_is_closed(n->h) > 0;
}

static void report_failure(struct nbd *n, const struct block_req *r, int status)
{
	if (lost(n))
		report_line(&n->report,
			    "disk '%s': its server is gone, all requests fail from now on",
			    n->name);
	else
		report_line(&n->report, "disk '%s': %s of %llu bytes at %llu failed: %s", n->name,
			    op_names[r->op], (unsigned long long)r->len,
			    (unsigned long long)r->offset, strerror(-status));
}

static void finish(struct nbd *n, struct block_req *r)
{
	struct command_set s = *set_of(r);

	if (s.bounce && !s.status && r->op == BLOCK_READ)
		iov_copy_to(r->iov, r->niov, 0, s.bounce, r->len);
	free(s.bounce);
	if (s.status)
		report_failure(n, r, s.status);
	if (s.status && s.status != -ENOSPC && s.status != -EOPNOTSUPP && s.status != -EROFS)
		s.status = -EIO;
	inflight_done(&n->inflight, r, s.status);
}

static void finish_all(struct nbd *n)
{
	struct block_req *list;

	pthread_mutex_lock(&n->lock);
	list = n->done;
	n->done = NULL;
	n->done_end = &n->done;
	pthread_mutex_unlock(&n->lock);
	while (list) {
		struct block_req *r = list;

		list = r->next;
		finish(n, r);
	}
}

/* ---- submission --------------------------------------------------------------------------- */

static int64_t command(struct nbd *n, struct block_req *r, u8 *p, u64 at, u64 len)
{
	nbd_completion_callback cb = {.callback = command_done, .user_data = r};

	switch (r->op) {
	case BLOCK_READ:
		return nbd_aio_pread(n->h, p, len, r->offset + at, cb, 0);
	case BLOCK_WRITE:
		return nbd_aio_pwrite(n->h, p, len, r->offset + at, cb, 0);
	case BLOCK_FLUSH:
		return nbd_aio_flush(n->h, cb, 0);
	case BLOCK_DISCARD:
		return nbd_aio_trim(n->h, len, r->offset + at, cb, 0);
	case BLOCK_ZERO:
		return nbd_aio_zero(n->h, len, r->offset + at, cb,
				    r->unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE);
	}
	return -1;
}

/* libnbd calls back for each command that it took, and for no other. */
static void issue(struct nbd *n, struct block_req *r, u8 *p, u64 at, u64 len)
{
	struct command_set *s = set_of(r);

	pthread_mutex_lock(&n->lock);
	s->pending++;
	pthread_mutex_unlock(&n->lock);
	if (command(n, r, p, at, len) < 0)
		end_one(r, nbd_get_errno() ? -nbd_get_errno() : -EIO);
}

/* The data in one piece: the request's own, or a copy. */
static u8 *flat(struct block_req *r)
{
	struct command_set *s = set_of(r);

	if (r->op != BLOCK_READ && r->op != BLOCK_WRITE)
		return NULL;
	if (r->niov == 1)
		return r->iov->base;
	s->bounce = malloc(r->len);
	if (s->bounce && r->op == BLOCK_WRITE)
		iov_copy_from(r->iov, r->niov, 0, s->bounce, r->len);
	return s->bounce;
}

static void submit_one(struct nbd *n, struct block_req *r)
{
	struct command_set *s = set_of(r);
	int status = 0;
	u8 *p = NULL;

	*s = (struct command_set){.n = n, .pending = 1};
	if (r->len) {
		p = flat(r);
		if (!p && (r->op == BLOCK_READ || r->op == BLOCK_WRITE))
			status = -ENOMEM;
	}
	if (!status && r->op == BLOCK_FLUSH && n->can_flush)
		issue(n, r, NULL, 0, 0);
	for (u64 at = 0; !status && r->op != BLOCK_FLUSH && at < r->len;) {
		u64 len = min_u64(r->len - at, n->command_max);

		issue(n, r, p ? p + at : NULL, at, len);
		at += len;
	}
	end_one(r, status);
}

static void wake(struct nbd *n)
{
	eventfd_write(n->wake_fd, 1);
}

static void nbd_submit(struct block *b, struct block_req *list)
{
	struct nbd *n = container_of(b, struct nbd, block);

	while (list) {
		struct block_req *r = list;
		int rc = block_check(&b->info, r->op, r->offset, r->len);

		list = r->next;
		inflight_add(&n->inflight, 1);
		if (rc)
			inflight_done(&n->inflight, r, rc);
		else
			submit_one(n, r);
	}
	wake(n);
	finish_all(n);
}

static void nbd_drain(struct block *b)
{
	struct nbd *n = container_of(b, struct nbd, block);

	inflight_wait_none(&n->inflight);
}

/* ---- the thread --------------------------------------------------------------------------- */

static bool quits(struct nbd *n)
{
	bool quit;

	pthread_mutex_lock(&n->lock);
	quit = n->quit;
	pthread_mutex_unlock(&n->lock);
	return quit;
}

static short wanted_events(struct nbd *n)
{
	switch (nbd_aio_get_direction(n->h)) {
	case LIBNBD_AIO_DIRECTION_READ:
		return POLLIN;
	case LIBNBD_AIO_DIRECTION_WRITE:
		return POLLOUT;
	case LIBNBD_AIO_DIRECTION_BOTH:
		return POLLIN | POLLOUT;
	default:
		return 0;
	}
}

/* What came; reading first, since what is there may make room for what is to be sent. */
static void notify(struct nbd *n, short events)
{
	unsigned direction = nbd_aio_get_direction(n->h);

	if (events & (POLLIN | POLLHUP | POLLERR) && direction & LIBNBD_AIO_DIRECTION_READ)
		nbd_aio_notify_read(n->h);
	else if (events & (POLLOUT | POLLHUP | POLLERR) && direction & LIBNBD_AIO_DIRECTION_WRITE)
		nbd_aio_notify_write(n->h);
}

static void keep_going(void *arg)
{
	struct nbd *n = arg;

	while (!quits(n)) {
		struct pollfd fds[2] = {
			{.fd = n->wake_fd, .events = POLLIN},
			{.fd = lost(n) ? -1 : nbd_aio_get_fd(n->h), .events = wanted_events(n)},
		};
		eventfd_t count;

		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents)
			eventfd_read(n->wake_fd, &count);
		if (fds[1].revents)
			notify(n, fds[1].revents);
		finish_all(n);
	}
}

/* ---- opening and closing ------------------------------------------------------------------ */

static void nbd_finish(struct nbd *n)
{
	if (n->thread) {
		pthread_mutex_lock(&n->lock);
		n->quit = true;
		pthread_mutex_unlock(&n->lock);
		wake(n);
		n->host->thread_join(n->host->ctx, n->thread);
	}
	if (n->h && nbd_aio_is_ready(n->h) > 0)
		nbd_shutdown(n->h, 0);
	nbd_close(n->h);
	if (n->wake_fd >= 0)
		close(n->wake_fd);
	pthread_mutex_destroy(&n->lock);
	inflight_fini(&n->inflight);
	host_free(n->host, n, sizeof(*n));
}

static void nbd_back_end_close(struct block *b)
{
	nbd_finish(container_of(b, struct nbd, block));
}

static const struct block_ops nbd_ops = {
	.name = "nbd",
	.submit = nbd_submit,
	.drain = nbd_drain,
	.close = nbd_back_end_close,
};

static int failed(struct nbd *n, const char *what, struct alc_err *err)
{
	int rc = nbd_get_errno() ? -nbd_get_errno() : -EIO;
	const char *why = nbd_get_error();

	return alc_fail(err, rc, "disk '%s': %s: %s", n->name, what, why ? why : "no reason given");
}

static int connect_to(struct nbd *n, const char *uri, struct alc_err *err)
{
	n->h = nbd_create();
	if (!n->h)
		return failed(n, "can't use libnbd", err);
	if (nbd_set_uri_allow_tls(n->h, LIBNBD_TLS_DISABLE) ||
	    nbd_set_uri_allow_transports(n->h, LIBNBD_ALLOW_TRANSPORT_TCP |
						       LIBNBD_ALLOW_TRANSPORT_UNIX) ||
	    nbd_connect_uri(n->h, uri))
		return failed(n, "can't connect to the NBD server", err);
	return 0;
}

static u32 block_of(struct nbd *n)
{
	int64_t min = nbd_get_block_size(n->h, LIBNBD_SIZE_MINIMUM);

	return min > BLOCK_MIN ? (u32)min : BLOCK_MIN;
}

static void set_limits(struct nbd *n)
{
	struct block_info *info = &n->block.info;
	int64_t preferred = nbd_get_block_size(n->h, LIBNBD_SIZE_PREFERRED);
	int64_t max = nbd_get_block_size(n->h, LIBNBD_SIZE_MAXIMUM);

	info->physical = preferred > info->block && preferred <= 1 << 20 ? (u32)preferred
									 : info->block;
	n->command_max = max > 0 && max < COMMAND_BYTES_MAX ? (u32)max : COMMAND_BYTES_MAX;
	n->command_max = (u32)align_down(n->command_max, info->block);
	n->can_flush = nbd_can_flush(n->h) > 0;
	info->discard = !info->read_only && nbd_can_trim(n->h) > 0;
	info->zeroes = !info->read_only && nbd_can_zero(n->h) > 0;
	info->discard_align = info->physical;
}

static void warn(const struct nbd *n, const char *what)
{
	char text[ALC_ERR_TEXT_MAX];

	fmt_text(text, sizeof(text), "disk '%s': %s", n->name, what);
	n->host->log(n->host->ctx, ALC_LOG_WARN, text);
}

static int learn(struct nbd *n, bool read_only, struct alc_err *err)
{
	struct block_info *info = &n->block.info;
	int64_t size = nbd_get_size(n->h);

	if (size < 0)
		return failed(n, "can't learn its size", err);
	info->block = block_of(n);
	if (info->block > BLOCK_MAX || info->block & (info->block - 1))
		return alc_fail(err, -ENOTSUP, "disk '%s' has blocks of %u bytes", n->name,
				info->block);
	info->size = align_down((u64)size, info->block);
	if (!info->size)
		return alc_fail(err, -EINVAL, "disk '%s' has only %llu bytes", n->name,
				(unsigned long long)size);
	if (info->size != (u64)size)
		warn(n, "its size is no whole number of blocks, the rest is left out");
	if (!read_only && nbd_is_read_only(n->h) > 0)
		return alc_fail(err, -EROFS,
				"disk '%s' is read-only: 'readonly' or 'snapshot' makes do with it",
				n->name);
	info->read_only = read_only;
	set_limits(n);
	if (!n->can_flush && !read_only)
		warn(n, "its server knows no flush, so writes may be lost in a crash");
	return 0;
}

static int start(struct nbd *n, struct alc_err *err)
{
	int rc;

	n->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = n->wake_fd < 0
		     ? -errno
		     : n->host->thread_start(n->host->ctx, "disk-nbd", keep_going, n, &n->thread);
	return rc ? alc_fail(err, rc, "disk '%s': can't start its thread: %s", n->name,
			     strerror(-rc))
		  : 0;
}

int block_nbd_open(const struct alc_host *host, const char *uri, bool read_only, struct block **out,
		   struct alc_err *err)
{
	struct nbd *n = host_alloc(host, sizeof(*n));
	int rc;

	if (!n)
		return alc_fail(err, -ENOMEM, "no memory to open disk '%s'", uri);
	n->host = n->report.host = host;
	n->block.ops = &nbd_ops;
	n->wake_fd = -1;
	n->done_end = &n->done;
	pthread_mutex_init(&n->lock, NULL);
	inflight_init(&n->inflight);
	fmt_text(n->name, sizeof(n->name), "%s", uri);
	rc = connect_to(n, uri, err);
	if (!rc)
		rc = learn(n, read_only, err);
	if (!rc)
		rc = start(n, err);
	if (rc) {
		nbd_finish(n);
		return rc;
	}
	*out = &n->block;
	return 0;
}
