/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "net/linux/backends.h"
#include "net/linux/framed.h"
#include "net/linux/unix_socket.h"

/* A Unix stream socket with passt's framing: passt, or anything that speaks like it. */
enum { MTU_MIN = 1280, MTU_MAX = 65520 };

int unix_address(const char *path, struct sockaddr_un *out, struct alc_err *err)
{
	size_t len = strlen(path);

	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (len >= sizeof(out->sun_path))
		return alc_fail(err, -EINVAL,
				"'%.40s…' is too long for a socket's name: %u at most", path,
				(unsigned)sizeof(out->sun_path) - 1);
	memcpy(out->sun_path, path, len);
	return 0;
}

int unix_connect(const char *path, int *out, struct alc_err *err)
{
	const int size = 2 * 1024 * 1024;
	struct sockaddr_un a;
	int rc = unix_address(path, &a, err), fd;

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return alc_fail(err, rc, "can't connect to '%s': %s", path, strerror(-rc));
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*out = fd;
	return 0;
}

static int get_mtu(const struct net_opts *o, u32 *out, struct alc_err *err)
{
	const char *text = opts_get(o, "mtu");
	u64 mtu = 0;

	if (text && (str_parse_u64(text, &mtu) || mtu < MTU_MIN || mtu > MTU_MAX))
		return alc_fail(err, -EINVAL, "network stream: mtu is %u to %u, not '%s'", MTU_MIN,
				MTU_MAX, text);
	*out = (u32)mtu;
	return 0;
}

int net_stream_open(const struct alc_host *host, struct loop *loop, const struct net_opts *o,
		    struct net_link **out, struct alc_err *err)
{
	struct framed_params p = {.what = "the network's socket"};
	const char *path = NULL;
	int fd, rc = opts_need(o, "path", &path, err);

	if (!rc)
		rc = get_mtu(o, &p.mtu, err);
	if (!rc)
		rc = unix_connect(path, &fd, err);
	return rc ? rc : framed_create(host, loop, fd, &p, out, err);
}
