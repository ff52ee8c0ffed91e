/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/linux/helper.h"
#include "net/linux/backends.h"
#include "net/linux/framed.h"

/*
 * User-mode NAT: the machine's side. The network itself is libslirp in alcazar-net-user, a
 * confined process of its own; what is here is its start.
 */
enum {
	/* Room for some of the largest frames on their way; the system may grant less. */
	SOCKET_BUFFER = 2 * 1024 * 1024,
	/*
	 * Large frames cost less, but libslirp's windows end at 64 KiB: with segments of more than
	 * half of one, its avoidance of silly windows (RFC 1122, 4.2.3.4) waits for its persist
	 * timer.
	 */
	MTU = 16384,
};
static const char helper_name[] = "alcazar-net-user";

/* What is common to options and settings goes over as it is: the helper checks it. */
static int settings_text(const struct net_opts *o, char text[HELPER_TEXT_MAX], struct alc_err *err)
{
	size_t at = 0;

	text[0] = 0;
	for (size_t i = 0; i < o->n; i++) {
		const char *key = o->opts[i].key, *value = o->opts[i].value;
		int n;

		if (!strcmp(key, "capture"))
			continue;
		if (strchr(key, '\n') || (value && strchr(value, '\n')))
			return alc_fail(err, -EINVAL, "an option of network user has two lines");
		if (!value && strchr(key, ':'))
			n = snprintf(text + at, HELPER_TEXT_MAX - at, "forward=%s\n", key);
		else
			n = snprintf(text + at, HELPER_TEXT_MAX - at, "%s=%s\n", key,
				     value ? value : "on");
		at += (size_t)n;
		if (at >= HELPER_TEXT_MAX)
			return alc_fail(err, -EINVAL, "network user has too many options");
	}
	return 0;
}

static int talk(int fd, const char *text, struct alc_err *err)
{
	int rc = helper_send_text(fd, text, err);

	return rc ? rc : helper_await_answer(fd, helper_name, err);
}

static int start(const char *text, int *fd, pid_t *pid, struct alc_err *err)
{
	const int size = SOCKET_BUFFER;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return alc_fail(err, -errno, "can't make a socket pair: %s", strerror(errno));
	for (unsigned i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	rc = helper_spawn(helper_name, &pair[1], 1, pid, err);
	close(pair[1]);
	if (!rc) {
		rc = talk(pair[0], text, err);
		if (rc)
			helper_end(*pid);
	}
	if (rc)
		close(pair[0]);
	else
		*fd = pair[0];
	return rc;
}

int net_user_open(const struct alc_host *host, struct loop *loop, const struct net_opts *o,
		  struct net_link **out, struct alc_err *err)
{
	struct framed_params p = {
		.what = "user-mode network's process",
		.mtu = MTU,
		.sums_right = true,
	};
	char text[HELPER_TEXT_MAX];
	int fd = -1, rc = settings_text(o, text, err);

	if (!rc)
		rc = start(text, &fd, &p.helper, err);
	if (rc)
		return rc;
	if (opts_get(o, "mtu"))
		p.mtu = (u32)strtoul(opts_get(o, "mtu"), NULL, 10); /* the helper took it */
	return framed_create(host, loop, fd, &p, out, err);
}
