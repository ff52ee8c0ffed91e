/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/linux/helper.h"
#include "net/linux/backends.h"
#include "net/linux/framed.h"
#include "net/linux/unix_socket.h"

/*
 * A hub between machines of one host: a confined process, alcazar-net-hub, that listens at a
 * socket's name, welcomes who connects, and ends with its last member.
 *
 * Who comes first starts it. A lock on the socket's directory sees to it that there is one first;
 * a name where nobody listens any more is left from a machine that was killed, and is replaced. A
 * hub that is just ending closes the connections that it has not welcomed, so who joins waits
 * for the welcome and else tries again.
 */
enum { ATTEMPTS = 16, BACKLOG = 64, LEAVE_PATIENCE_MS = 10000 };
static const char helper_name[] = "alcazar-net-hub";

struct membership {
	char *path;
	int fd;
	pid_t started; /* the hub's process, if it is ours; it goes on when we leave */
};

static int lock_directory(const char *path, int *out, struct alc_err *err)
{
	char copy[PATH_MAX];
	const char *dir;
	int fd;

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return alc_fail(err, -ENAMETOOLONG, "network hub: the path is too long");
	dir = dirname(copy);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return alc_fail(err, -errno, "network hub: can't open '%s': %s", dir,
				strerror(errno));
	while (flock(fd, LOCK_EX))
		if (errno != EINTR) {
			int rc = -errno;

			close(fd);
			return alc_fail(err, rc, "network hub: can't lock '%s': %s", dir,
					strerror(-rc));
		}
	*out = fd;
	return 0;
}

/* -ECONNREFUSED: nobody is there; -EPIPE: somebody who has just ended. */
static int join(const char *path, int *out, struct alc_err *err)
{
	struct alc_err why = {0};
	int fd, rc = unix_connect(path, &fd, &why);

	if (rc == -ENOENT)
		return -ECONNREFUSED;
	if (!rc) {
		rc = helper_await_answer(fd, helper_name, &why);
		if (!rc)
			*out = fd;
		else
			close(fd);
	}
	if (rc == -ECONNRESET)
		rc = -EPIPE;
	if (!rc || rc == -ECONNREFUSED || rc == -EPIPE)
		return rc;
	return alc_fail(err, rc, "%s", why.text);
}

static int listen_at(const char *path, int *out, struct alc_err *err)
{
	struct sockaddr_un a;
	struct stat st;
	int fd, rc = unix_address(path, &a, err);

	if (rc)
		return rc;
	if (!lstat(path, &st)) {
		if (!S_ISSOCK(st.st_mode))
			return alc_fail(err, -EEXIST, "network hub: '%s' is there, and no socket",
					path);
		unlink(path);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, BACKLOG)) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return alc_fail(err, rc, "network hub: can't listen at '%s': %s", path,
				strerror(-rc));
	}
	*out = fd;
	return 0;
}

static int start_hub(const char *path, struct membership *m, struct alc_err *err)
{
	int fds[2];
	const int size = 2 * 1024 * 1024;
	int pair[2], listener = -1, rc = listen_at(path, &listener, err);

	if (rc)
		return rc;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		rc = alc_fail(err, -errno, "can't make a socket pair: %s", strerror(errno));
		close(listener);
		return rc;
	}
	for (unsigned i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	fds[0] = pair[1];
	fds[1] = listener;
	rc = helper_spawn(helper_name, fds, 2, &m->started, err);
	close(pair[1]);
	close(listener);
	if (!rc) {
		rc = helper_await_answer(pair[0], helper_name, err);
		if (rc)
			helper_end(m->started);
	}
	if (rc) {
		close(pair[0]);
		unlink(path);
	} else {
		m->fd = pair[0];
	}
	return rc;
}

static int join_or_start(const char *path, struct membership *m, struct alc_err *err)
{
	int lock, rc = join(path, &m->fd, err);

	if (rc != -ECONNREFUSED)
		return rc;
	rc = lock_directory(path, &lock, err);
	if (rc)
		return rc;
	rc = join(path, &m->fd, err);
	if (rc == -ECONNREFUSED)
		rc = start_hub(path, m, err);
	close(lock);
	return rc;
}

/*
 * Asks without connecting: the hub would take a connection for one more member, and whoever left
 * after it would find the hub still there. A datagram socket can't connect to a stream's:
 * EPROTOTYPE says that one is bound to the name, ECONNREFUSED that none is (connect(2)).
 */
static bool is_abandoned(const char *path)
{
	struct sockaddr_un a;
	int fd = unix_address(path, &a, NULL) ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool refused;

	if (fd < 0)
		return false;
	refused = connect(fd, (struct sockaddr *)&a, sizeof(a)) && errno == ECONNREFUSED;
	close(fd);
	return refused;
}

/*
 * A hub closes its listener before the connection of its last member. So after the end of ours,
 * a name where nobody listens has no use any more.
 */
static void leave(void *ctx, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct membership *m = ctx;
	char rest[4096];
	int lock;

	shutdown(fd, SHUT_WR);
	while (poll(&p, 1, LEAVE_PATIENCE_MS) > 0 && recv(fd, rest, sizeof(rest), 0) > 0)
		;
	if (!lock_directory(m->path, &lock, NULL)) {
		if (is_abandoned(m->path)) {
			unlink(m->path);
			helper_end(m->started);
		}
		close(lock);
	}
	free(m->path);
	free(m);
}

int net_hub_open(const struct alc_host *host, struct loop *loop, const struct net_opts *o,
		 struct net_link **out, struct alc_err *err)
{
	struct framed_params p = {.what = "the network's hub", .vnet = true, .leave = leave};
	struct membership *m;
	const char *path = NULL;
	int rc = opts_need(o, "path", &path, err);

	if (rc)
		return rc;
	m = calloc(1, sizeof(*m));
	if (m)
		m->path = strdup(path);
	if (!m || !m->path) {
		free(m);
		return alc_fail(err, -ENOMEM, "no memory for network hub");
	}
	rc = -EPIPE;
	for (unsigned i = 0; rc == -EPIPE && i < ATTEMPTS; i++)
		rc = join_or_start(path, m, err);
	if (rc) {
		free(m->path);
		free(m);
		return alc_fail(err, rc, "can't join the hub at '%s'", path);
	}
	p.ctx = m;
	return framed_create(host, loop, m->fd, &p, out, err);
}
