/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/linux/vm_linux.h"

enum { READ_FIRST = 1 << 20, CPIO_ALIGN = 4, VGA_ROM_MAX = 1 << 20 };

static int grow(struct image *im, size_t cap)
{
	u8 *bytes = realloc(im->bytes, cap);

	if (!bytes)
		return -ENOMEM;
	im->bytes = bytes;
	return 0;
}

/* To the end of the file or one byte past max: no size is trusted, so pipes work too. */
static int read_up_to(struct image *im, int fd, size_t cap, u64 max_bytes)
{
	int rc = grow(im, cap);

	while (!rc && im->len <= max_bytes) {
		ssize_t n = read(fd, im->bytes + im->len, cap - im->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		im->len += (size_t)n;
		if (im->len == cap)
			rc = grow(im, cap *= 2);
	}
	return rc;
}

static int read_file(struct image *im, int fd, u64 max_bytes)
{
	size_t cap = READ_FIRST;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISREG(st.st_mode)) {
		if ((u64)st.st_size > max_bytes)
			return -EFBIG;
		cap = (size_t)st.st_size + 1;
	}
	return read_up_to(im, fd, cap, max_bytes);
}

int image_read(struct image *im, const char *what, const char *path, u64 max_bytes,
	       const char *room, struct alc_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0) {
		rc = -errno;
		return alc_fail(err, rc, "can't open the %s '%s': %s", what, path, strerror(-rc));
	}
	rc = read_file(im, fd, max_bytes);
	close(fd);
	if (rc == -EFBIG || (!rc && im->len > max_bytes))
		return alc_fail(err, -ENOSPC, "the %s '%s' is larger than %s of %llu MiB", what,
				path, room, (unsigned long long)(max_bytes >> 20));
	if (rc)
		return alc_fail(err, rc, "can't read the %s '%s': %s", what, path, strerror(-rc));
	if (!im->len)
		return alc_fail(err, -ENOEXEC, "the %s '%s' is empty", what, path);
	return 0;
}

int image_append(struct image *im, const void *bytes, size_t len, struct alc_err *err)
{
	size_t at = (im->len + CPIO_ALIGN - 1) & ~(size_t)(CPIO_ALIGN - 1);

	if (grow(im, at + len))
		return alc_fail(err, -ENOMEM, "no memory for the initrd");
	memset(im->bytes + im->len, 0, at - im->len);
	memcpy(im->bytes + at, bytes, len);
	im->len = at + len;
	return 0;
}

void image_free(struct image *im)
{
	free(im->bytes);
	*im = (struct image){0};
}

static int read_if_there(struct image *im, const char *path, struct alc_err *err)
{
	if (access(path, R_OK))
		return 0;
	return image_read(im, "VGA BIOS", path, VGA_ROM_MAX, "the place for it", err);
}

int image_vga_rom(struct image *im, const char *firmware, struct alc_err *err)
{
	static const char name[] = "vgabios-stdvga.bin", package[] = "/usr/share/seabios/";
	const char *slash = strrchr(firmware, '/');
	int dir_len = slash ? (int)(slash - firmware) + 1 : 0, rc = 0;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%.*s%s", dir_len, firmware, name) < (int)sizeof(path))
		rc = read_if_there(im, path, err);
	if (rc || im->bytes)
		return rc;
	snprintf(path, sizeof(path), "%s%s", package, name);
	return read_if_there(im, path, err);
}
