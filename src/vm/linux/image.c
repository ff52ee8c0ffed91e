/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
	int rc;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISREG(st.st_mode)) {
		if ((u64)st.st_size > max_bytes)
			return -EFBIG;
		cap = (size_t)st.st_size + 1;
	}
	rc = read_up_to(im, fd, cap, max_bytes);
	if (!rc && S_ISREG(st.st_mode) && im->len == (size_t)st.st_size) {
		im->file_bytes = im->len;
		im->changed = st.st_mtim;
	}
	return rc;
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
	im->what = what;
	im->path = path;
	im->fd = fd;
	if (rc || !im->file_bytes)
		close(fd);
	if (rc)
		im->file_bytes = 0;
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

/* ---- Without its pages ---- */

/* The whole pages that are the file's alone. */
static u8 *pages_of(const struct image *im, size_t *len)
{
	uintptr_t at = (uintptr_t)im->bytes;
	uintptr_t first = align_up(at, ALC_PAGE_SIZE);
	uintptr_t end = align_down(at + im->file_bytes, ALC_PAGE_SIZE);

	*len = end > first ? end - first : 0;
	return im->bytes + (first - at);
}

void image_release(struct image *im)
{
	size_t len;
	u8 *pages;

	if (!im->file_bytes)
		return;
	pages = pages_of(im, &len);
	im->released = len && !madvise(pages, len, MADV_DONTNEED);
}

static bool is_unchanged(const struct image *im)
{
	struct stat st;

	return !fstat(im->fd, &st) && (size_t)st.st_size == im->file_bytes &&
	       st.st_mtim.tv_sec == im->changed.tv_sec && st.st_mtim.tv_nsec == im->changed.tv_nsec;
}

static bool read_again(const struct image *im)
{
	size_t len, done = 0;
	u8 *pages = pages_of(im, &len);

	while (done < len) {
		ssize_t n = pread(im->fd, pages + done, len - done,
				  (off_t)((size_t)(pages - im->bytes) + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return is_unchanged(im);
}

int image_fetch(struct image *im, struct alc_err *err)
{
	if (!im->released)
		return 0;
	if (!is_unchanged(im) || !read_again(im))
		return alc_fail(err, -ESTALE,
				"the %s '%s' has changed since the machine was started", im->what,
				im->path);
	im->released = false;
	return 0;
}

void image_free(struct image *im)
{
	if (im->file_bytes)
		close(im->fd);
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
