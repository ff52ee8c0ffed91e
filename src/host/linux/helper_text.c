/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/linux/helper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum { PATIENCE_MS = 30000 };

static int wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do
		n = poll(&p, 1, PATIENCE_MS);
	while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : n ? -errno : -ETIMEDOUT;
}

static int send_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len) {
		int rc = wait_for(fd, POLLOUT);
		ssize_t n = rc ? -1 : send(fd, at, len, MSG_NOSIGNAL);

		if (rc)
			return rc;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int receive_all(int fd, void *bytes, size_t len)
{
	char *at = bytes;

	while (len) {
		int rc = wait_for(fd, POLLIN);
		ssize_t n = rc ? -1 : recv(fd, at, len, 0);

		if (rc)
			return rc;
		if (!n)
			return -EPIPE;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int send_text(int fd, const char *text)
{
	uint32_t len = (uint32_t)strlen(text), head = htonl(len);
	int rc = len < HELPER_TEXT_MAX ? send_all(fd, &head, sizeof(head)) : -E2BIG;

	return rc ? rc : send_all(fd, text, len);
}

int helper_receive_text(int fd, char text[HELPER_TEXT_MAX])
{
	uint32_t len;
	int rc = receive_all(fd, &len, sizeof(len));

	if (rc)
		return rc;
	len = ntohl(len);
	if (len >= HELPER_TEXT_MAX)
		return -EPROTO;
	text[len] = 0;
	return receive_all(fd, text, len);
}

int helper_send_text(int fd, const char *text, struct alc_err *err)
{
	int rc = send_text(fd, text);

	if (rc == -E2BIG)
		return alc_fail(err, -EINVAL, "the network's options are too long");
	if (rc)
		return alc_fail(err, rc, "can't talk to a helper process: %s", strerror(-rc));
	return 0;
}

int helper_answer(int fd, int code, const char *text)
{
	uint32_t head = htonl((uint32_t)-code);
	int rc = send_all(fd, &head, sizeof(head));

	return rc ? rc : send_text(fd, text);
}

int helper_await_answer(int fd, const char *name, struct alc_err *err)
{
	char text[HELPER_TEXT_MAX];
	uint32_t code;
	int rc = receive_all(fd, &code, sizeof(code));

	if (!rc)
		rc = helper_receive_text(fd, text);
	if (rc)
		return alc_fail(err, rc, "the helper process %s did not get ready: %s", name,
				strerror(-rc));
	return code ? alc_fail(err, -(int)ntohl(code), "%s", text) : 0;
}
