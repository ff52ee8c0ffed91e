/* SPDX-License-Identifier: BSD-2-Clause */
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "block_test.h"

#include "block/linux/file.h"
#include "block/linux/open.h"
#include "host/test/sweep.h"

/* Disks that are missing, shrink, can't be written, are locked, full, or served by who dies. */
enum { DISK = 1 << 20, SECTOR = 512 };

static int try_open(struct bench *b, const char *file, const char *key, const char *value,
		    struct block **out, struct alc_err *err)
{
	const struct alc_device_opt opt = {key, value};

	*err = (struct alc_err){0};
	return block_open(&b->th.host, file, &opt, key ? 1 : 0, out, err);
}

static struct block *must_open(struct bench *b, const char *file, const char *key,
			       const char *value)
{
	struct alc_err err;
	struct block *d = NULL;

	if (try_open(b, file, key, value, &d, &err))
		fail_msg("%s", err.text);
	return d;
}

static void must_fail(struct bench *b, const char *file, const char *key, const char *value, int rc,
		      const char *says)
{
	struct alc_err err;
	struct block *d;

	assert_int_equal(try_open(b, file, key, value, &d, &err), rc);
	assert_int_equal(err.code, rc);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
}

static void what_is_no_disk(void **state)
{
	struct bench b;
	const char *fifo;

	bench_open(&b);
	must_fail(&b, bench_path(&b, "nothing"), NULL, NULL, -ENOENT, "No such file");
	must_fail(&b, b.dir, "readonly", NULL, -EINVAL, "neither a file nor a block device");
	fifo = bench_path(&b, "fifo");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	must_fail(&b, fifo, NULL, NULL, -EINVAL, "neither a file nor a block device");
	must_fail(&b, bench_file(&b, "empty", 0), NULL, NULL, -EINVAL, "only 0 bytes");
	must_fail(&b, bench_file(&b, "small", 511), NULL, NULL, -EINVAL, "only 511 bytes");
	must_fail(&b, "nbd:nbd+unix:///?socket=/nowhere", NULL, NULL, -ENOENT, "can't connect");
	must_fail(&b, "null:12Q", NULL, NULL, -EINVAL, "no size");
	must_fail(&b, "ram:-1", NULL, NULL, -EINVAL, "no size");
	must_fail(&b, "ram:99999999999999T", NULL, NULL, -EINVAL, "too large");
	must_fail(&b, "ram:0", NULL, NULL, -EINVAL, "multiple of 512");
	bench_close(&b);
}

static void options(void **state)
{
	struct bench b;
	const char *path;

	bench_open(&b);
	path = bench_file(&b, "disk", DISK);
	must_fail(&b, path, "snapshoot", NULL, -EINVAL, "did you mean 'snapshot'?");
	must_fail(&b, path, "colour", "red", -EINVAL, "no option 'colour'");
	must_fail(&b, path, "readonly", "perhaps", -EINVAL, "'on' or 'off'");
	must_fail(&b, path, "aio", "native", -EINVAL, "'io_uring' or 'threads'");
	must_fail(&b, path, "cache", NULL, -EINVAL, "'none' or 'writeback'");
	must_fail(&b, path, "overlay", NULL, -EINVAL, "a file's name");
	must_fail(&b, "ram:1M", "cache", "none", -EINVAL, "are for files");
	must_fail(&b, path, "overlay", path, -EBUSY, "in use");
	assert_true(block_option_known("overlay"));
	assert_false(block_option_known("serial"));
	bench_close(&b);
}

static void size_that_is_no_whole_number(void **state)
{
	struct block *d;
	struct bench b;

	bench_open(&b);
	d = must_open(&b, bench_file(&b, "disk", DISK + 100), NULL, NULL);
	assert_int_equal(d->info.size, DISK);
	assert_true(test_host_logged(&b.th, "the last 100 are left out"));
	block_close(d);
	bench_close(&b);
}

static void read_only_disks(void **state)
{
	static const char *const files[] = {NULL, "ram:1M", "null:1M"};
	u8 sector[SECTOR] = {0};
	struct bench b;

	bench_open(&b);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		const char *file = files[i] ? files[i] : bench_file(&b, "disk", DISK);
		struct block *d = must_open(&b, file, "readonly", "on");

		assert_true(d->info.read_only);
		assert_int_equal(do_write(&b, d, 0, sector, SECTOR), -EROFS);
		assert_int_equal(block_sync(&b.th.host, d, BLOCK_DISCARD, 0, NULL, SECTOR), -EROFS);
		assert_int_equal(block_sync(&b.th.host, d, BLOCK_ZERO, 0, NULL, SECTOR), -EROFS);
		assert_int_equal(do_read(&b, d, 0, sector, SECTOR), 0);
		assert_int_equal(do_flush(&b, d), 0);
		block_close(d);
	}
	bench_close(&b);
}

/* In a mount namespace, where even root finds a file system read-only. */
static void read_only_file_system(void **state)
{
	struct block *d;
	struct bench b;
	const char *path;

	bench_open(&b);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("alcazar-test", b.dir, "tmpfs", 0, "size=4m")) {
		print_message("no mount namespace here: %s\n", strerror(errno));
		bench_close(&b);
		skip();
	}
	path = bench_file(&b, "disk", DISK);
	assert_int_equal(mount(NULL, b.dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	must_fail(&b, path, NULL, NULL, -EROFS, "'readonly' or 'snapshot' leaves it as it is");
	d = must_open(&b, path, "snapshot", NULL);
	assert_int_equal(do_write(&b, d, 0, "x", 0), 0);
	block_close(d);
	assert_int_equal(umount(b.dir), 0);
	bench_close(&b);
}

static void locks(void **state)
{
	struct block *d, *e;
	struct bench b;
	const char *path;

	bench_open(&b);
	path = bench_file(&b, "disk", DISK);
	d = must_open(&b, path, NULL, NULL);
	must_fail(&b, path, NULL, NULL, -EBUSY, path);
	must_fail(&b, path, "readonly", NULL, -EBUSY, "another program is writing to it");
	block_close(d);
	d = must_open(&b, path, "readonly", NULL);
	e = must_open(&b, path, "snapshot", NULL);
	must_fail(&b, path, NULL, NULL, -EBUSY, "in use");
	block_close(e);
	block_close(d);
	d = must_open(&b, path, NULL, NULL);
	block_close(d);
	/* An overlay locks its base against writers, and itself. */
	d = must_open(&b, path, "overlay", bench_path(&b, "over"));
	must_fail(&b, path, NULL, NULL, -EBUSY, "in use");
	must_fail(&b, path, "overlay", bench_path(&b, "over"), -EBUSY, "over");
	e = must_open(&b, path, "overlay", bench_path(&b, "other"));
	block_close(e);
	block_close(d);
	bench_close(&b);
}

static void locked_by_another_process(void **state)
{
	int to_child[2], to_parent[2], status;
	struct bench b;
	const char *path;
	char byte = 0;
	pid_t pid;

	bench_open(&b);
	path = bench_file(&b, "disk", DISK);
	assert_int_equal(pipe(to_child) | pipe(to_parent), 0);
	pid = fork();
	if (pid == 0) {
		must_open(&b, path, NULL, NULL);
		_exit(write(to_parent[1], &byte, 1) != 1 || read(to_child[0], &byte, 1) != 1);
	}
	assert_int_equal(read(to_parent[0], &byte, 1), 1);
	must_fail(&b, path, NULL, NULL, -EBUSY, "in use by another program");
	assert_int_equal(write(to_child[1], &byte, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (unsigned i = 0; i < 2; i++) {
		close(to_child[i]);
		close(to_parent[i]);
	}
	bench_close(&b);
}

static unsigned count_text(const char *in, const char *what)
{
	unsigned n = 0;

	for (; (in = strstr(in, what)); in++)
		n++;
	return n;
}

static void shrunken(struct bench *b, const char *aio)
{
	const char *path = bench_file(b, "disk", DISK);
	struct block *d = must_open(b, path, "aio", aio);
	u8 bytes[4 * SECTOR];

	b->th.log[0] = '\0';
	assert_int_equal(do_read(b, d, DISK / 2, bytes, sizeof(bytes)), 0);
	assert_int_equal(truncate(path, DISK / 2 + SECTOR + 7), 0);
	assert_int_equal(do_read(b, d, DISK / 2, bytes, SECTOR), 0);
	assert_int_equal(do_read(b, d, DISK / 2, bytes, sizeof(bytes)), -EIO);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(do_read(b, d, DISK - SECTOR, bytes, SECTOR), -EIO);
	assert_int_equal(count_text(b->th.log, "the file has shrunk"), 1);
	block_close(d);
}

static void shrunken_file(void **state)
{
	struct bench b;

	bench_open(&b);
	shrunken(&b, "io_uring");
	shrunken(&b, "threads");
	bench_close(&b);
}

/* Writes fail, and the disk goes on: what is there can be read, and written when there is room. */
static void full(struct bench *b, const char *aio)
{
	struct rlimit old, limit = {.rlim_cur = DISK / 2, .rlim_max = RLIM_INFINITY};
	struct block *d = must_open(b, bench_file(b, "disk", DISK), "aio", aio);
	u8 bytes[8 * SECTOR];

	b->th.log[0] = '\0';
	memset(bytes, 3, sizeof(bytes));
	getrlimit(RLIMIT_FSIZE, &old);
	limit.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(do_write(b, d, 0, bytes, sizeof(bytes)), 0);
	assert_int_equal(do_write(b, d, DISK / 2, bytes, sizeof(bytes)), -EFBIG);
	assert_int_equal(do_write(b, d, DISK / 2 - SECTOR, bytes, sizeof(bytes)), -EFBIG);
	assert_true(test_host_logged(&b->th, "File too large"));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(do_write(b, d, DISK / 2, bytes, sizeof(bytes)), 0);
	assert_int_equal(do_flush(b, d), 0);
	block_close(d);
}

static void full_file(void **state)
{
	struct bench b;

	bench_open(&b);
	full(&b, "io_uring");
	full(&b, "threads");
	bench_close(&b);
}

static void full_file_system(void **state)
{
	static const char *const aio[] = {"io_uring", "threads"};
	struct bench b;

	bench_open(&b);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("alcazar-test", b.dir, "tmpfs", 0, "size=256k")) {
		print_message("no mount namespace here: %s\n", strerror(errno));
		bench_close(&b);
		skip();
	}
	for (unsigned i = 0; i < ARRAY_LEN(aio); i++) {
		struct block *d = must_open(&b, bench_file(&b, "disk", DISK), "aio", aio[i]);
		u8 *bytes = calloc(1, DISK);

		b.th.log[0] = '\0';
		assert_int_equal(do_write(&b, d, 0, bytes, DISK), -ENOSPC);
		assert_true(test_host_logged(&b.th, "No space left"));
		assert_int_equal(block_sync(&b.th.host, d, BLOCK_DISCARD, 0, NULL, DISK), 0);
		assert_int_equal(do_write(&b, d, 0, bytes, 64 << 10), 0);
		free(bytes);
		block_close(d);
	}
	assert_int_equal(umount(b.dir), 0);
	bench_close(&b);
}

/* ---- NBD ---------------------------------------------------------------------------------- */

enum { READS = 64 };

static void note_status(struct block_req *r)
{
	*(int *)r->ctx = r->status;
}

/* Requests that wait for a slow server when it is killed, and one after that. */
static void server_is_killed(void **state)
{
	struct block_req reqs[READS] = {0};
	struct alc_iov iovs[READS];
	int status[READS];
	struct bench b;
	struct block *d;
	char uri[160];
	u8 *bytes = malloc(READS * SECTOR);
	pid_t pid;

	if (!have_program("nbdkit")) {
		print_message("nbdkit is not installed\n");
		free(bytes);
		skip();
	}
	bench_open(&b);
	{
		const char *sock = bench_path(&b, "sock");
		const char *const argv[] = {"nbdkit", "-f", "-U",          sock, "--filter=delay",
					    "memory", "1M", "rdelay=1000", NULL};

		pid = spawn(argv);
		await_socket(pid, sock);
		snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s", sock);
	}
	d = must_open(&b, uri, NULL, NULL);
	for (unsigned i = 0; i < READS; i++) {
		iovs[i] = (struct alc_iov){.base = bytes + i * SECTOR, .len = SECTOR};
		status[i] = 1;
		reqs[i] = (struct block_req){.op = BLOCK_READ,
					     .offset = i * SECTOR,
					     .len = SECTOR,
					     .iov = &iovs[i],
					     .niov = 1,
					     .done = note_status,
					     .ctx = &status[i],
					     .next = i + 1 < READS ? &reqs[i + 1] : NULL};
	}
	block_submit(d, reqs);
	end_server(pid, SIGKILL);
	block_drain(d);
	for (unsigned i = 0; i < READS; i++)
		assert_int_equal(status[i], -EIO);
	assert_int_equal(do_read(&b, d, 0, bytes, SECTOR), -EIO);
	assert_int_equal(do_write(&b, d, 0, bytes, SECTOR), -EIO);
	assert_int_equal(do_flush(&b, d), -EIO);
	assert_int_equal(count_text(b.th.log, "its server is gone"), 1);
	block_close(d);
	free(bytes);
	bench_close(&b);
}

static void read_only_server(void **state)
{
	struct bench b;
	struct block *d;
	char uri[160];
	pid_t pid;

	if (!have_program("nbdkit")) {
		print_message("nbdkit is not installed\n");
		skip();
	}
	bench_open(&b);
	{
		const char *sock = bench_path(&b, "sock");
		const char *const argv[] = {"nbdkit", "-f", "-r", "-U", sock, "memory", "1M", NULL};

		pid = spawn(argv);
		await_socket(pid, sock);
		snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s", sock);
	}
	must_fail(&b, uri, NULL, NULL, -EROFS, "is read-only");
	d = must_open(&b, uri, "snapshot", NULL);
	block_close(d);
	end_server(pid, SIGTERM);
	bench_close(&b);
}

/* ---- the host ----------------------------------------------------------------------------- */

static int open_one(const struct alc_host *host, void *arg, struct alc_err *err)
{
	const struct alc_device_opt *opt = arg;
	struct block *d;
	int rc = block_open(host, opt[0].key, opt + 1, 1, &d, err);

	if (rc)
		return rc;
	block_close(d);
	return 0;
}

static void host_fails(void **state)
{
	struct alc_device_opt opts[2] = {{0}};
	struct bench b;
	struct sweep s = {.run = open_one, .arg = opts, .has_err = true, .may_cope = true};

	bench_open(&b);
	opts[0].key = bench_file(&b, "disk", DISK);
	opts[1] = (struct alc_device_opt){"aio", "auto"};
	assert_true(sweep(&s) >= 3);
	opts[1] = (struct alc_device_opt){"aio", "threads"};
	assert_true(sweep(&s) >= 2);
	opts[1] = (struct alc_device_opt){"snapshot", NULL};
	assert_true(sweep(&s) > 10);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_disk),
		cmocka_unit_test(options),
		cmocka_unit_test(size_that_is_no_whole_number),
		cmocka_unit_test(read_only_disks),
		cmocka_unit_test(locks),
		cmocka_unit_test(locked_by_another_process),
		cmocka_unit_test(shrunken_file),
		cmocka_unit_test(full_file),
		cmocka_unit_test(server_is_killed),
		cmocka_unit_test(read_only_server),
		cmocka_unit_test(host_fails),
		cmocka_unit_test(read_only_file_system),
		cmocka_unit_test(full_file_system),
	};

	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
