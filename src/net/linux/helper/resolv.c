/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/linux/helper/resolv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * For each query that it forwards, libslirp asks whether /etc/resolv.conf has changed, and reads it
 * if so. A confined process has no files; what libslirp finds under that name is a copy taken at
 * the start. These two definitions stand before the C library's for all of the process, and there
 * is nothing else that it opens by name.
 */
static const char resolv_path[] = "/etc/resolv.conf";
static char copy[16384];
static size_t copy_len;

void resolv_load(void)
{
	int fd = open(resolv_path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	while ((n = read(fd, copy + copy_len, sizeof(copy) - copy_len)) > 0)
		copy_len += (size_t)n;
	close(fd);
}

/* Seen by shared libraries, against the build's default. */
#define STANDS_BEFORE __attribute__((visibility("default")))

STANDS_BEFORE FILE *fopen64(const char *restrict path, const char *restrict mode)
{
	if (strcmp(path, resolv_path) || strcmp(mode, "r") || !copy_len) {
		errno = ENOENT;
		return NULL;
	}
	return fmemopen(copy, copy_len, "r");
}

STANDS_BEFORE int stat64(const char *restrict path, struct stat64 *restrict out)
{
	if (strcmp(path, resolv_path)) {
		errno = ENOENT;
		return -1;
	}
	memset(out, 0, sizeof(*out));
	out->st_size = (off_t)copy_len;
	return 0;
}
