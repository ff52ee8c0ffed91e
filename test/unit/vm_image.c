/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernels and initrds that are let go after they were loaded, and come back for a reset. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vm/linux/vm_linux.h"

enum { FILE_BYTES = 300001, LIMIT = 1 << 20 };

struct file {
	char path[64];
	u8 bytes[FILE_BYTES];
	struct image im;
	struct alc_err err;
};

static void put(const struct file *f)
{
	FILE *out = fopen(f->path, "we");

	assert_non_null(out);
	assert_int_equal(fwrite(f->bytes, 1, sizeof(f->bytes), out), sizeof(f->bytes));
	assert_int_equal(fclose(out), 0);
}

static int setup(void **state)
{
	struct file *f = calloc(1, sizeof(*f));
	int fd;

	snprintf(f->path, sizeof(f->path), "/tmp/image-test-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	for (unsigned i = 0; i < sizeof(f->bytes); i++)
		f->bytes[i] = (u8)(i * 7 + (i >> 8) + 1);
	put(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct file *f = *state;

	image_free(&f->im);
	unlink(f->path);
	free(f);
	return 0;
}

static void read_it(struct file *f)
{
	assert_int_equal(image_read(&f->im, "kernel", f->path, LIMIT, "the test", &f->err), 0);
	assert_int_equal(f->im.len, sizeof(f->bytes));
	assert_memory_equal(f->im.bytes, f->bytes, sizeof(f->bytes));
}

/* Of a page in the middle. */
static bool is_resident(const struct file *f)
{
	uintptr_t at = ((uintptr_t)f->im.bytes + FILE_BYTES / 2) & ~(uintptr_t)4095;
	unsigned char there;

	assert_int_equal(mincore((void *)at, 4096, &there), 0); /* NOLINT: an address */
	return there & 1;
}

static void comes_back(void **state)
{
	struct file *f = *state;

	read_it(f);
	for (unsigned k = 0; k < 2; k++) {
		assert_true(is_resident(f));
		image_release(&f->im);
		assert_false(is_resident(f));
		assert_int_equal(image_fetch(&f->im, &f->err), 0);
		assert_memory_equal(f->im.bytes, f->bytes, sizeof(f->bytes));
	}
}

/* What was put behind the file's bytes is nowhere else. */
static void keeps_the_rest(void **state)
{
	static const u8 rest[20000] = {1, 2, 3};
	struct file *f = *state;

	read_it(f);
	assert_int_equal(image_append(&f->im, rest, sizeof(rest), &f->err), 0);
	image_release(&f->im);
	assert_int_equal(image_fetch(&f->im, &f->err), 0);
	assert_memory_equal(f->im.bytes, f->bytes, sizeof(f->bytes));
	assert_memory_equal(f->im.bytes + (FILE_BYTES + 3) / 4 * 4, rest, sizeof(rest));
}

/* A file that was put in the place of the old one is another: the old one is still open. */
static void survives_a_new_file(void **state)
{
	struct file *f = *state;

	read_it(f);
	image_release(&f->im);
	unlink(f->path);
	f->bytes[5]++;
	put(f);
	f->bytes[5]--;
	assert_int_equal(image_fetch(&f->im, &f->err), 0);
	assert_memory_equal(f->im.bytes, f->bytes, sizeof(f->bytes));
}

static void says_that_it_changed(void **state)
{
	const struct timespec later[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	struct file *f = *state;

	read_it(f);
	image_release(&f->im);
	assert_int_equal(utimensat(AT_FDCWD, f->path, later, 0), 0);
	assert_int_equal(image_fetch(&f->im, &f->err), -ESTALE);
	assert_non_null(strstr(f->err.text, "has changed"));
}

static void stays_if_it_is_a_pipe(void **state)
{
	struct file *f = *state;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], f->bytes, 40000), 40000);
	close(ends[1]);
	snprintf(f->path + 32, 32, "/dev/fd/%d", ends[0]);
	assert_int_equal(image_read(&f->im, "kernel", f->path + 32, LIMIT, "the test", &f->err), 0);
	close(ends[0]);
	image_release(&f->im);
	assert_int_equal(image_fetch(&f->im, &f->err), 0);
	assert_int_equal(f->im.len, 40000);
	assert_memory_equal(f->im.bytes, f->bytes, 40000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_a_new_file, setup, teardown),
		cmocka_unit_test_setup_teardown(says_that_it_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(stays_if_it_is_a_pipe, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
