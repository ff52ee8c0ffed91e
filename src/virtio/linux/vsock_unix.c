/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio/linux/vsock_unix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "virtio/vsock.h"

/*
 * The device's lock guards all of this; the loop's thread takes it for each event. A descriptor
 * may not be taken out of the loop with that lock held, so an end that the device closes only goes
 * to a list, which the loop's thread empties when it is woken.
 */
enum { LINE_MAX_BYTES = 32, BACKLOG = 64, HOST_PORT_FIRST = 1 << 30, SUFFIX_MAX = 12 };

_Static_assert(sizeof(struct alc_iov) == sizeof(struct iovec) &&
		       offsetof(struct alc_iov, base) == offsetof(struct iovec, iov_base) &&
		       offsetof(struct alc_iov, len) == offsetof(struct iovec, iov_len),
	       "pieces go to the kernel as they are");

/* The host's end of a connection, or of what will become one when its first line is there. */
struct end {
	struct vsock_unix *u;
	struct end *next;
	int fd;
	struct loop_fd *watch;
	struct vsock_conn *c; /* NULL: no line yet, or dead */
	u32 host_port;
	bool dead;
};

struct vsock_unix {
	struct alc_dev *d;
	struct loop *loop;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	bool bound, attached, closing;
	int listen_fd, wake_fd;
	struct loop_fd *listener, *waker;
	struct end *ends;
	u32 next_port;
};

/* ---- ends ---- */

static void kill_end(struct end *e)
{
	const uint64_t one = 1;
	ssize_t n;

	e->c = NULL;
	e->dead = true;
	loop_change(e->watch, 0);
	do
		n = write(e->u->wake_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

static void free_end(struct end *e)
{
	loop_remove(e->watch);
	close(e->fd);
	free(e);
}

/* The loop's thread: its own removals take effect at once. */
static void reap(void *ctx, uint32_t events)
{
	struct vsock_unix *u = ctx;
	uint64_t count;
	ssize_t n = read(u->wake_fd, &count, sizeof(count));

	(void)n; /* it only has to be empty */
	dev_lock(u->d);
	for (struct end **at = &u->ends; *at && !u->closing;) {
		struct end *e = *at;

		if (e->dead) {
			*at = e->next;
			free_end(e);
		} else {
			at = &e->next;
		}
	}
	dev_unlock(u->d);
}

static void end_event(void *ctx, uint32_t events);

/* Takes fd over, also on failure. */
static struct end *make_end(struct vsock_unix *u, int fd)
{
	struct end *e = calloc(1, sizeof(*e));

	if (!e) {
		close(fd);
		return NULL;
	}
	e->u = u;
	e->fd = fd;
	if (loop_add(u->loop, fd, EPOLLIN, end_event, e, &e->watch, NULL)) {
		close(fd);
		free(e);
		return NULL;
	}
	e->next = u->ends;
	u->ends = e;
	return e;
}

/* ---- connections from the host ---- */

/* "CONNECT <port>\n" without its newline. */
static bool parse_line(const char *line, u32 *port)
{
	static const char word[] = "CONNECT ";
	unsigned long long v;
	char *rest;

	if (strncmp(line, word, sizeof(word) - 1) != 0)
		return false;
	line += sizeof(word) - 1;
	if (*line < '0' || *line > '9')
		return false;
	v = strtoull(line, &rest, 10);
	if (*rest || v >= UINT32_MAX)
		return false;
	*port = (u32)v;
	return true;
}

/*
 * The first line, without what follows it, which is for the guest: 1 if it is there, 0 if it is
 * still to come, -1 if it never will.
 */
static int read_line(int fd, char line[LINE_MAX_BYTES])
{
	ssize_t n = recv(fd, line, LINE_MAX_BYTES, MSG_PEEK | MSG_DONTWAIT);
	char *newline;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	newline = memchr(line, '\n', (size_t)n);
	if (!newline)
		return n == 0 || n == LINE_MAX_BYTES ? -1 : 0;
	n = recv(fd, line, (size_t)(newline - line) + 1, MSG_DONTWAIT);
	*newline = '\0';
	return n > 0 ? 1 : -1;
}

/* From a port of the host's own; a peer that is slow may still have one after a whole turn. */
static int begin(struct end *e, u32 guest_port)
{
	struct vsock_unix *u = e->u;
	int r;

	do {
		e->host_port = u->next_port++;
		if (u->next_port == UINT32_MAX)
			u->next_port = HOST_PORT_FIRST;
		r = vsock_connect(u->d, guest_port, e->host_port, e, &e->c);
	} while (r == -EEXIST);
	return r;
}

static void first_line(struct end *e)
{
	char line[LINE_MAX_BYTES];
	u32 port;
	int r = read_line(e->fd, line);

	if (!r)
		return;
	loop_change(e->watch, 0);
	if (r < 0 || !parse_line(line, &port) || begin(e, port))
		kill_end(e);
}

static void end_event(void *ctx, uint32_t events)
{
	struct end *e = ctx;
	struct vsock_unix *u = e->u;

	dev_lock(u->d);
	if (e->dead || u->closing)
		; /* too late */
	else if (!e->c)
		first_line(e);
	else if (events & (EPOLLHUP | EPOLLERR))
		vsock_hang_up(e->c);
	else
		vsock_ready(e->c, events & EPOLLIN, events & EPOLLOUT);
	dev_unlock(u->d);
}

static void accept_event(void *ctx, uint32_t events)
{
	struct vsock_unix *u = ctx;
	int fd = accept4(u->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	dev_lock(u->d);
	if (u->closing)
		close(fd);
	else
		make_end(u, fd);
	dev_unlock(u->d);
}

/* ---- what the device asks for ---- */

static int unix_socket(const char *path, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(addr->sun_path, path, strlen(path) + 1);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int op_connect(void *ctx, u32 port, struct vsock_conn *c, void **end)
{
	struct vsock_unix *u = ctx;
	char path[sizeof(u->path) + SUFFIX_MAX]; /* u->path is that much shorter */
	struct sockaddr_un addr;
	struct end *e;
	int fd, r;

	snprintf(path, sizeof(path), "%s_%u", u->path, port);
	fd = unix_socket(path, &addr);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		r = -errno;
		close(fd);
		return r;
	}
	e = make_end(u, fd);
	if (!e)
		return -ENOMEM;
	e->host_port = port;
	e->c = c;
	*end = e;
	return 0;
}

static void op_connected(void *end)
{
	struct end *e = end;
	char line[LINE_MAX_BYTES];
	int len = snprintf(line, sizeof(line), "OK %u\n", e->host_port);

	/* Nothing was written to it before, so it has room; if it is gone, its end says so. */
	if (send(e->fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static i64 result(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static i64 op_read(void *end, const struct alc_iov *iov, unsigned n)
{
	struct end *e = end;

	return result(readv(e->fd, (const struct iovec *)(const void *)iov, (int)n));
}

static i64 op_write(void *end, const u8 *bytes, size_t len)
{
	struct end *e = end;

	return result(send(e->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT));
}

static void op_watch(void *end, bool readable, bool writable)
{
	struct end *e = end;

	loop_change(e->watch, (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u));
}

static void op_shutdown(void *end)
{
	struct end *e = end;

	shutdown(e->fd, SHUT_WR);
}

static void op_close(void *end)
{
	kill_end(end);
}

static const struct vsock_ops ops = {
	.connect = op_connect,
	.connected = op_connected,
	.read = op_read,
	.write = op_write,
	.watch = op_watch,
	.shutdown = op_shutdown,
	.close = op_close,
};

/* ---- creation and end ---- */

/* A socket that is left of a process that is gone refuses whoever knocks. */
static bool is_stale(const char *path)
{
	struct sockaddr_un addr;
	int fd = unix_socket(path, &addr);
	bool stale;

	if (fd < 0)
		return false;
	stale = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int bind_to(struct vsock_unix *u, struct alc_err *err)
{
	struct sockaddr_un addr;
	int r;

	u->listen_fd = unix_socket(u->path, &addr);
	if (u->listen_fd < 0)
		return alc_fail(err, -errno, "no socket for '%s': %s", u->path, strerror(errno));
	r = bind(u->listen_fd, (struct sockaddr *)&addr, sizeof(addr));
	if (r && errno == EADDRINUSE && is_stale(u->path)) {
		unlink(u->path);
		r = bind(u->listen_fd, (struct sockaddr *)&addr, sizeof(addr));
	}
	u->bound = !r;
	if (r || listen(u->listen_fd, BACKLOG))
		return alc_fail(err, -errno, "can't listen on '%s': %s", u->path, strerror(errno));
	return 0;
}

static int open_all(struct vsock_unix *u, struct alc_err *err)
{
	int r = bind_to(u, err);

	if (r)
		return r;
	u->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (u->wake_fd < 0)
		return alc_fail(err, -errno, "no descriptor for '%s': %s", u->path,
				strerror(errno));
	r = loop_add(u->loop, u->wake_fd, EPOLLIN, reap, u, &u->waker, err);
	if (r)
		return r;
	virtio_vsock_attach(u->d, &ops, u);
	u->attached = true;
	return loop_add(u->loop, u->listen_fd, EPOLLIN, accept_event, u, &u->listener, err);
}

int vsock_unix_create(struct alc_dev *d, const char *path, struct loop *loop,
		      struct vsock_unix **out, struct alc_err *err)
{
	struct vsock_unix *u;
	int r;

	if (!*path || strlen(path) + SUFFIX_MAX > sizeof(u->path))
		return alc_fail(err, -EINVAL,
				"device '%s': a socket's path has 1 to %zu characters, not '%s'",
				d->id, sizeof(u->path) - SUFFIX_MAX, path);
	u = calloc(1, sizeof(*u));
	if (!u)
		return alc_fail(err, -ENOMEM, "no memory for '%s'", path);
	u->d = d;
	u->loop = loop;
	u->listen_fd = u->wake_fd = -1;
	u->next_port = HOST_PORT_FIRST;
	memcpy(u->path, path, strlen(path) + 1);
	r = open_all(u, err);
	if (r) {
		vsock_unix_destroy(u);
		return r;
	}
	*out = u;
	return 0;
}

void vsock_unix_destroy(struct vsock_unix *u)
{
	if (!u)
		return;
	dev_lock(u->d);
	u->closing = true;
	dev_unlock(u->d);
	if (u->attached)
		virtio_vsock_attach(u->d, NULL, NULL);
	/* Without the lock: each waits for its callback. */
	loop_remove(u->listener);
	while (u->ends) {
		struct end *e = u->ends;

		u->ends = e->next;
		free_end(e);
	}
	loop_remove(u->waker);
	if (u->wake_fd >= 0)
		close(u->wake_fd);
	if (u->listen_fd >= 0)
		close(u->listen_fd);
	if (u->bound)
		unlink(u->path);
	free(u);
}
