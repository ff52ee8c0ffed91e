/* SPDX-License-Identifier: BSD-2-Clause */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "vm/linux/seed.h"

enum { PART_MAX = 16 << 20, FILE_MODE = 0444 };

/* In the order of the documentation of the NoCloud data source. */
static const struct part {
	const char *name;
	bool required;
} parts[] = {
	{"user-data", true},
	{"meta-data", true},
	{"vendor-data", false},
	{"network-config", false},
};

struct bytes {
	u8 *at;
	size_t len;
};

/* ---- The folder ----------------------------------------------------------------------------- */

static int read_all(int fd, struct bytes *b)
{
	size_t got = 0;

	while (got < b->len) {
		ssize_t n = read(fd, b->at + got, b->len - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		got += (size_t)n;
	}
	b->len = got;
	return 0;
}

static int read_open(int fd, struct bytes *b)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > PART_MAX)
		return -EFBIG;
	b->len = (size_t)st.st_size;
	b->at = malloc(b->len + 1);
	return b->at ? read_all(fd, b) : -ENOMEM;
}

/* -ENOENT without a word: not there. */
static int read_part(int dir_fd, const char *dir, const char *name, struct bytes *b,
		     struct alc_err *err)
{
	/* Not to wait for the other end of a pipe. */
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = fd < 0 ? -errno : 0;

	if (rc == -ENOENT)
		return rc;
	if (!rc)
		rc = read_open(fd, b);
	if (fd >= 0)
		close(fd);
	if (rc == -EFBIG)
		return alc_fail(err, rc, "'%s/%s' is too large: %d MiB is the most that fits", dir,
				name, PART_MAX >> 20);
	if (rc == -EINVAL)
		return alc_fail(err, rc, "'%s/%s' is not a regular file", dir, name);
	if (rc)
		return alc_fail(err, rc, "can't read '%s/%s': %s", dir, name, strerror(-rc));
	return 0;
}

/* ---- The file system --------------------------------------------------------------------------
 */

static la_ssize_t append(struct archive *a, void *ctx, const void *data, size_t len)
{
	struct bytes *out = ctx;
	u8 *at = realloc(out->at, out->len + len);

	if (!at) {
		archive_set_error(a, ENOMEM, "no memory");
		return -1;
	}
	memcpy(at + out->len, data, len);
	out->at = at;
	out->len += len;
	return (la_ssize_t)len;
}

static int archive_failed(struct archive *a, struct alc_err *err)
{
	const char *why = archive_error_string(a);
	int code = archive_errno(a);

	return alc_fail(err, code > 0 ? -code : -EIO, "can't make the cloud-init disk: %s",
			why ? why : "libarchive doesn't say why");
}

/*
 * zisofs would compress what is large, which not every guest can read; and padding is for drives
 * that read ahead.
 */
static int start(struct archive *a, struct bytes *out, struct alc_err *err)
{
	if (archive_write_set_format_iso9660(a) ||
	    archive_write_set_options(a, "volume-id=cidata,rockridge=useful,joliet,!zisofs,!pad") ||
	    archive_write_set_bytes_in_last_block(a, 1) ||
	    archive_write_open(a, out, NULL, append, NULL))
		return archive_failed(a, err);
	return 0;
}

static int add(struct archive *a, const char *name, const struct bytes *b, struct alc_err *err)
{
	struct archive_entry *e = archive_entry_new();
	int rc = 0;

	if (!e)
		return alc_fail(err, -ENOMEM, "no memory for the cloud-init disk");
	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, FILE_MODE);
	archive_entry_set_size(e, (la_int64_t)b->len);
	archive_entry_set_mtime(e, 0, 0);
	archive_entry_set_atime(e, 0, 0);
	archive_entry_set_ctime(e, 0, 0);
	if (archive_write_header(a, e) ||
	    archive_write_data(a, b->at, b->len) != (la_ssize_t)b->len)
		rc = archive_failed(a, err);
	archive_entry_free(e);
	return rc;
}

static int add_part(struct archive *a, int dir_fd, const char *dir, const struct part *p,
		    struct alc_err *err)
{
	struct bytes b = {0};
	int rc = read_part(dir_fd, dir, p->name, &b, err);

	if (rc == -ENOENT)
		rc = p->required ? alc_fail(err, rc,
					    "the cloud-init folder '%s' has no file %s (it may be "
					    "empty, but must be there)",
					    dir, p->name)
				 : 0;
	else if (!rc)
		rc = add(a, p->name, &b, err);
	free(b.at);
	return rc;
}

static int write_all(struct archive *a, int dir_fd, const char *dir, struct bytes *out,
		     struct alc_err *err)
{
	int rc = start(a, out, err);

	for (size_t i = 0; !rc && i < sizeof(parts) / sizeof(parts[0]); i++)
		rc = add_part(a, dir_fd, dir, &parts[i], err);
	if (!rc && archive_write_close(a))
		rc = archive_failed(a, err);
	return rc;
}

/* ---- The same files, the same bytes ------------------------------------------------------------
 */

/*
 * libarchive writes the time of day as that of the volume and of its root folder, and into a sector
 * of its own. Here it becomes 1970, which the files have already: what a guest reads depends on
 * nothing but the folder. (ECMA-119 8.4 and 9.1; timestamps of Rock Ridge: RRIP 1.12, 4.1.6.)
 */
enum {
	SECTOR = 2048,
	FIRST_DESCRIPTOR = 16,
	PRIMARY = 1,
	SUPPLEMENTARY = 2,
	TERMINATOR = 255,
	ROOT_RECORD = 156,
	VOLUME_DATES = 813, /* created, modified, expires, effective */
	VOLUME_DATES_LEN = 17,
	RECORD_EXTENT = 2,
	RECORD_DATE = 18,
	RECORD_NAME = 33, /* of one byte in the two records of the folder itself, so padded to 34 */
	RECORD_SYSTEM_USE = 34,
	FIELD_HEADER = 4,
};

static const char volume_date[VOLUME_DATES_LEN] = "1970010100000000";
static const u8 record_date[7] = {70, 1, 1};

/* Timestamps among the system use fields, each of which begins with two letters and a length. */
static void settle_fields(u8 *at, const u8 *end)
{
	for (; end - at > FIELD_HEADER && at[2] > FIELD_HEADER && at[2] <= end - at; at += at[2])
		if (at[0] == 'T' && at[1] == 'F')
			for (u8 *t = at + FIELD_HEADER + 1; t + sizeof(record_date) <= at + at[2];
			     t += sizeof(record_date))
				memcpy(t, record_date, sizeof(record_date));
}

static void settle_record(u8 *record)
{
	memcpy(record + RECORD_DATE, record_date, sizeof(record_date));
	if (record[0] > RECORD_SYSTEM_USE)
		settle_fields(record + RECORD_SYSTEM_USE, record + record[0]);
}

/* The root folder begins with the records of itself and of its parent, which is itself too. */
static int settle_root(struct bytes *disk, const u8 *record)
{
	u64 at = (u64)ld32(record + RECORD_EXTENT) * SECTOR;
	u8 *dir;

	if (at + SECTOR > disk->len)
		return -EIO;
	dir = disk->at + at;
	if (dir[0] <= RECORD_NAME || dir[dir[0]] <= RECORD_NAME)
		return -EIO;
	settle_record(dir);
	settle_record(dir + dir[0]);
	return 0;
}

static int settle_volume(struct bytes *disk, u8 *descriptor)
{
	for (int i = 0; i < 4; i++)
		memcpy(descriptor + VOLUME_DATES + i * VOLUME_DATES_LEN, volume_date,
		       VOLUME_DATES_LEN);
	settle_record(descriptor + ROOT_RECORD);
	return settle_root(disk, descriptor + ROOT_RECORD);
}

static int settle_times(struct bytes *disk)
{
	size_t at = FIRST_DESCRIPTOR * SECTOR;
	int rc = 0;

	for (; !rc && at + 2 * SECTOR <= disk->len && disk->at[at] != TERMINATOR; at += SECTOR)
		if (disk->at[at] == PRIMARY || disk->at[at] == SUPPLEMENTARY)
			rc = settle_volume(disk, disk->at + at);
	if (rc || at + 2 * SECTOR > disk->len)
		return -EIO;
	/* Which program made the disk, when and how; nothing refers to it. */
	at += SECTOR;
	if (!memcmp(disk->at + at, "INFO", 4))
		memset(disk->at + at, 0, SECTOR);
	return 0;
}

int seed_build(const char *dir, void **bytes, size_t *len, struct alc_err *err)
{
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
	struct bytes out = {0};
	struct archive *a;

	if (dir_fd < 0) {
		rc = -errno;
		return alc_fail(err, rc, "can't open the cloud-init folder '%s': %s", dir,
				strerror(-rc));
	}
	a = archive_write_new();
	rc = a ? write_all(a, dir_fd, dir, &out, err)
	       : alc_fail(err, -ENOMEM, "no memory for the cloud-init disk");
	archive_write_free(a);
	close(dir_fd);
	if (!rc && settle_times(&out))
		rc = alc_fail(err, -EIO,
			      "can't make the cloud-init disk: libarchive wrote no ISO 9660");
	if (rc) {
		free(out.at);
		return rc;
	}
	*bytes = out.at;
	*len = out.len;
	return 0;
}
