/* SPDX-License-Identifier: BSD-2-Clause */
/* The cloud-init disk, read back by libarchive and looked at by blkid, as cloud-init does. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/linux/seed.h"

enum { SECTOR = 2048, PATH_SIZE = 128 };

struct folder {
	char dir[64];
	void *disk;
	size_t len;
	struct alc_err err;
};

static const char *in_folder(const struct folder *f, const char *name)
{
	static _Thread_local char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return path;
}

static void put(const struct folder *f, const char *name, const char *text)
{
	FILE *out = fopen(in_folder(f, name), "we");

	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, strlen(text), out), strlen(text));
	assert_int_equal(fclose(out), 0);
}

static int setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	strcpy(f->dir, "/tmp/alcazar-seed.XXXXXX");
	*state = f;
	return mkdtemp(f->dir) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = {"user-data", "meta-data",      "vendor-data",
					    "README",    "network-config", "disk"};
	struct folder *f = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (unlink(in_folder(f, names[i])))
			rmdir(in_folder(f, names[i]));
	rmdir(f->dir);
	free(f->disk);
	free(f);
	return 0;
}

static int build(struct folder *f)
{
	return seed_build(f->dir, &f->disk, &f->len, &f->err);
}

/* The file's contents as a string, which the caller frees; NULL if it isn't on the disk. */
static char *on_disk(const struct folder *f, const char *name)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	char *text = NULL;

	assert_int_equal(archive_read_support_format_iso9660(a), ARCHIVE_OK);
	assert_int_equal(archive_read_open_memory(a, f->disk, f->len), ARCHIVE_OK);
	while (!text && archive_read_next_header(a, &e) == ARCHIVE_OK) {
		size_t len = (size_t)archive_entry_size(e);

		if (strcmp(archive_entry_pathname(e), name) != 0)
			continue;
		text = calloc(1, len + 1);
		assert_int_equal(archive_read_data(a, text, len), len);
	}
	archive_read_free(a);
	return text;
}

static void assert_on_disk(const struct folder *f, const char *name, const char *want)
{
	char *text = on_disk(f, name);

	assert_non_null(text);
	assert_string_equal(text, want);
	free(text);
}

static void test_files(void **state)
{
	struct folder *f = *state;

	put(f, "user-data", "#cloud-config\nhostname: here\n");
	put(f, "meta-data", "instance-id: one\n");
	put(f, "network-config", "version: 2\n");
	put(f, "vendor-data", "#cloud-config\n{}\n");
	put(f, "README", "not for the guest");
	assert_int_equal(build(f), 0);
	assert_int_equal(f->len % SECTOR, 0);
	assert_on_disk(f, "user-data", "#cloud-config\nhostname: here\n");
	assert_on_disk(f, "meta-data", "instance-id: one\n");
	assert_on_disk(f, "network-config", "version: 2\n");
	assert_on_disk(f, "vendor-data", "#cloud-config\n{}\n");
	assert_null(on_disk(f, "README"));
}

static void test_minimum(void **state)
{
	struct folder *f = *state;

	put(f, "user-data", "#cloud-config\n");
	put(f, "meta-data", "");
	assert_int_equal(build(f), 0);
	assert_on_disk(f, "user-data", "#cloud-config\n");
	assert_on_disk(f, "meta-data", "");
	assert_null(on_disk(f, "network-config"));
}

/* More than one sector, and more than one read. */
static void test_large(void **state)
{
	enum { LEN = 3 << 20 };
	struct folder *f = *state;
	char *text = malloc(LEN + 1);

	assert_non_null(text);
	for (int i = 0; i < LEN; i++)
		text[i] = (char)('a' + i * 7 % 23);
	text[LEN] = '\0';
	put(f, "user-data", text);
	put(f, "meta-data", "instance-id: one\n");
	assert_int_equal(build(f), 0);
	assert_on_disk(f, "user-data", text);
	free(text);
}

static void test_label(void **state)
{
	struct folder *f = *state;
	char command[PATH_SIZE + 64], said[64] = "";
	FILE *out, *blkid;

	put(f, "user-data", "#cloud-config\n");
	put(f, "meta-data", "instance-id: one\n");
	assert_int_equal(build(f), 0);
	/* Of the volume descriptors (ECMA-119 8.4.7, and 8.5.6 in the Joliet one, in UCS-2). */
	assert_memory_equal((char *)f->disk + 16 * SECTOR + 40, "CIDATA  ", 8);
	assert_memory_equal((char *)f->disk + 17 * SECTOR + 40, "\0c\0i\0d\0a\0t\0a", 12);

	out = fopen(in_folder(f, "disk"), "we");
	assert_non_null(out);
	assert_int_equal(fwrite(f->disk, 1, f->len, out), f->len);
	assert_int_equal(fclose(out), 0);
	snprintf(command, sizeof(command),
		 "PATH=$PATH:/usr/sbin:/sbin blkid -p -o value -s LABEL %s", in_folder(f, "disk"));
	blkid = popen(command, "r");
	assert_non_null(blkid);
	if (!fgets(said, sizeof(said), blkid))
		said[0] = '\0';
	if (WEXITSTATUS(pclose(blkid)) == 127) {
		print_message("there is no blkid to ask\n");
		return;
	}
	assert_string_equal(said, "cidata\n");
}

/* No time of day: neither the files' nor that of the making. */
static void test_times(void **state)
{
	static const unsigned char epoch[7] = {70, 1, 1};
	struct folder *f = *state;

	put(f, "user-data", "#cloud-config\n");
	put(f, "meta-data", "instance-id: one\n");
	assert_int_equal(build(f), 0);
	for (int descriptor = 16; descriptor < 18; descriptor++) {
		const char *at = (char *)f->disk + descriptor * SECTOR;

		assert_memory_equal(at + 1, "CD001", 5);
		for (int date = 0; date < 4; date++)
			assert_memory_equal(at + 813 + 17 * date, "1970010100000000", 17);
		assert_memory_equal(at + 156 + 18, epoch, sizeof(epoch));
	}
	/* Every record of the folder has the same date, in its time stamps too (Rock Ridge's TF).
	 */
	for (size_t i = 18 * SECTOR; i + 64 < f->len; i++) {
		const unsigned char *at = (unsigned char *)f->disk + i;

		if (!memcmp(at, "TF", 2) && at[3] == 1)
			for (int stamp = 5; stamp < at[2]; stamp += 7)
				assert_memory_equal(at + stamp, epoch, sizeof(epoch));
	}
}

static void test_bad_folders(void **state)
{
	struct folder *f = *state;

	assert_int_equal(build(f), -ENOENT);
	assert_non_null(strstr(f->err.text, "no file user-data"));

	put(f, "user-data", "#cloud-config\n");
	f->err = (struct alc_err){0};
	assert_int_equal(build(f), -ENOENT);
	assert_non_null(strstr(f->err.text, "no file meta-data"));

	assert_int_equal(mkdir(in_folder(f, "meta-data"), 0700), 0);
	f->err = (struct alc_err){0};
	assert_int_equal(build(f), -EISDIR);
	assert_non_null(strstr(f->err.text, "/meta-data"));
	assert_int_equal(rmdir(in_folder(f, "meta-data")), 0);

	assert_int_equal(mkfifo(in_folder(f, "meta-data"), 0600), 0);
	f->err = (struct alc_err){0};
	assert_int_equal(build(f), -EINVAL);
	assert_non_null(strstr(f->err.text, "not a regular file"));
	assert_int_equal(unlink(in_folder(f, "meta-data")), 0);

	put(f, "meta-data", "");
	assert_int_equal(truncate(in_folder(f, "user-data"), (16 << 20) + 1), 0);
	f->err = (struct alc_err){0};
	assert_int_equal(build(f), -EFBIG);
	assert_non_null(strstr(f->err.text, "16 MiB"));
	assert_null(f->disk);
}

static void test_no_folder(void **state)
{
	struct folder *f = *state;
	char path[] = "/nonexistent/seed";

	assert_int_equal(seed_build(path, &f->disk, &f->len, &f->err), -ENOENT);
	assert_non_null(strstr(f->err.text, path));
	put(f, "README", "a file, no folder");
	f->err = (struct alc_err){0};
	assert_int_equal(seed_build(in_folder(f, "README"), &f->disk, &f->len, &f->err), -ENOTDIR);
	assert_null(f->disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_minimum, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_label, setup, teardown),
		cmocka_unit_test_setup_teardown(test_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
