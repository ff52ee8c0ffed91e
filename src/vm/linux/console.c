/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vm/linux/vm_linux.h"

static int open_file(struct console *c, const char *path, struct alc_err *err)
{
	int rc;

	c->file_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (c->file_fd >= 0)
		return 0;
	rc = -errno;
	return alc_fail(err, rc, "can't write the console file '%s': %s", path, strerror(-rc));
}

/* What is all there, so that it does not matter when it is read. */
static bool is_file(int fd)
{
	struct stat s;

	if (fstat(fd, &s))
		return false;
	return S_ISREG(s.st_mode) || (S_ISCHR(s.st_mode) && s.st_rdev == makedev(1, 3));
}

int console_open(struct console *c, const struct alc_console *desc, bool is_virtual,
		 void (*stop)(void *ctx), void *ctx, struct alc_err *err)
{
	struct char_fds_params p = {
		.in_fd = desc->in_fd,
		.out_fd = desc->out_fd,
		.escape_char = desc->escape_char,
		.eof_as_eot = desc->eof_as_eot,
		.await_ready = desc->await_ready,
		.stop = stop,
		.stop_ctx = ctx,
	};
	int rc;

	if (desc->kind == ALC_CONSOLE_NONE)
		return 0;
	if (desc->kind == ALC_CONSOLE_FILE) {
		rc = open_file(c, desc->path, err);
		if (rc)
			return rc;
		p.in_fd = -1;
		p.out_fd = c->file_fd;
	}
	p.by_clock = is_virtual && p.in_fd >= 0 && is_file(p.in_fd);
	c->outside = is_virtual && p.in_fd >= 0 && !p.by_clock;
	return char_fds_create(&p, &c->fds, err);
}

void console_close(struct console *c)
{
	char_fds_destroy(c->fds);
	c->fds = NULL;
	if (c->file_fd >= 0)
		close(c->file_fd);
	c->file_fd = -1;
}

struct alc_char console_stream(const struct console *c)
{
	return c->fds ? char_fds_stream(c->fds) : (struct alc_char){0};
}
