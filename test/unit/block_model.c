/* SPDX-License-Identifier: BSD-2-Clause */
#include "block_test.h"

#include "block/linux/open.h"
#include "block/overlay.h"
#include "block/simple.h"

/*
 * Every back end, alone and below an overlay, against an array of bytes: batches of requests that
 * don't overlap, in random pieces of memory, then a look at all of it, then the same again after
 * the disk was closed and opened.
 */
enum { DISK = 3 << 20, SLOTS = 12, BATCHES = 150, PIECES = 9 };

struct world {
	struct bench b;
	u64 random;
	u8 *model;
	pid_t server;
	bool opened; /* not for the first time */
};

struct subject {
	const char *name;
	void (*open)(struct world *w, struct block **out);
	bool forgets; /* at close */
	const char *needs;
	void (*prepare)(struct world *w);
};

/* ---- subjects ----------------------------------------------------------------------------- */

static void open_with(struct world *w, const char *file, const struct alc_device_opt *opts,
		      size_t nopts, struct block **out)
{
	struct alc_err err = {0};
	int rc = block_open(&w->b.th.host, file, opts, nopts, out, &err);

	if (rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
}

static const char *image(struct world *w, const char *name)
{
	return w->opened ? bench_path(&w->b, name) : bench_file(&w->b, name, DISK);
}

static void open_ram(struct world *w, struct block **out)
{
	open_with(w, "ram:3M", NULL, 0, out);
}

static void open_ring(struct world *w, struct block **out)
{
	const struct alc_device_opt opt = {"aio", "io_uring"};

	open_with(w, image(w, "disk"), &opt, 1, out);
}

static void open_threads(struct world *w, struct block **out)
{
	const struct alc_device_opt opt = {"aio", "threads"};

	open_with(w, image(w, "disk"), &opt, 1, out);
}

/* /tmp may be a file system without O_DIRECT: then this is as open_ring. */
static void open_direct(struct world *w, struct block **out)
{
	const struct alc_device_opt opts[] = {{"cache", "none"}};
	const char *path = image(w, "disk");
	int fd = open(path, O_RDONLY | O_DIRECT);

	open_with(w, path, opts, fd >= 0, out);
	if (fd >= 0)
		close(fd);
}

static void open_direct_threads(struct world *w, struct block **out)
{
	const struct alc_device_opt opts[] = {{"aio", "threads"}, {"cache", "none"}};
	const char *path = image(w, "disk");
	int fd = open(path, O_RDONLY | O_DIRECT);

	open_with(w, path, opts, fd >= 0 ? 2 : 1, out);
	if (fd >= 0)
		close(fd);
}

static void fill_base(struct world *w, const char *path)
{
	u8 bytes[4096];
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	for (off_t at = 0; at < DISK; at += (off_t)sizeof(bytes)) {
		memset(bytes, (int)random_next(&w->random), sizeof(bytes));
		assert_int_equal(pwrite(fd, bytes, sizeof(bytes), at), sizeof(bytes));
	}
	close(fd);
}

static void prepare_base(struct world *w)
{
	fill_base(w, bench_file(&w->b, "base", DISK));
}

static void open_overlay(struct world *w, struct block **out)
{
	const struct alc_device_opt opt = {"overlay", bench_path(&w->b, "over")};

	open_with(w, bench_path(&w->b, "base"), &opt, 1, out);
}

static void open_overlay_threads(struct world *w, struct block **out)
{
	const struct alc_device_opt opts[] = {{"overlay", bench_path(&w->b, "over")},
					      {"aio", "threads"}};

	open_with(w, bench_path(&w->b, "base"), opts, 2, out);
}

static void open_snapshot(struct world *w, struct block **out)
{
	const struct alc_device_opt opt = {"snapshot", NULL};

	open_with(w, bench_path(&w->b, "base"), &opt, 1, out);
}

/* A snapshot of an overlay that was made before. */
static void prepare_stack(struct world *w)
{
	static const u8 bytes[5120] = {1, 2, 3};
	struct block *d;

	prepare_base(w);
	open_overlay(w, &d);
	assert_int_equal(do_write(&w->b, d, 512, bytes, sizeof(bytes)), 0);
	block_close(d);
}

static void open_stack(struct world *w, struct block **out)
{
	const struct alc_device_opt opts[] = {{"overlay", bench_path(&w->b, "over")},
					      {"snapshot", "on"}};

	open_with(w, bench_path(&w->b, "base"), opts, 2, out);
}

/* Small clusters, a last one that is cut off, and a store that can't zero. */
static void open_small_clusters(struct world *w, struct block **out)
{
	const struct alc_host *h = &w->b.th.host;
	struct block *base, *store;

	assert_int_equal(block_ram_create(h, DISK - 1024, NULL, &base, NULL), 0);
	assert_int_equal(
		block_ram_create(h, overlay_store_size(DISK - 1024, 12), NULL, &store, NULL), 0);
	store->info.zeroes = store->info.discard = false;
	assert_int_equal(overlay_format(h, store, DISK - 1024, "base", 12, NULL), 0);
	assert_int_equal(block_overlay_create(h, base, store, true, out, NULL), 0);
}

static void open_nbd(struct world *w, struct block **out)
{
	char uri[160];

	snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s", bench_path(&w->b, "sock"));
	open_with(w, uri, NULL, 0, out);
}

static void prepare_nbdkit(struct world *w)
{
	const char *sock = bench_path(&w->b, "sock");
	const char *const argv[] = {"nbdkit", "-f", "-U", sock, "memory", "3M", NULL};

	w->server = spawn(argv);
	await_socket(w->server, sock);
}

/* A server that takes no requests but of its own kind: blocks of 4 KiB, at most 64 KiB. */
static void prepare_nbdkit_blocks(struct world *w)
{
	const char *sock = bench_path(&w->b, "sock");
	const char *const argv[] = {"nbdkit",
				    "-f",
				    "-U",
				    sock,
				    "--filter=blocksize-policy",
				    "memory",
				    "3M",
				    "blocksize-minimum=4096",
				    "blocksize-preferred=4096",
				    "blocksize-maximum=65536",
				    "blocksize-error-policy=error",
				    NULL};

	w->server = spawn(argv);
	await_socket(w->server, sock);
}

static void prepare_qcow2(struct world *w)
{
	const char *sock = bench_path(&w->b, "sock"), *disk = bench_path(&w->b, "disk.qcow2");
	const char *const make[] = {"qemu-img", "create", "-q", "-f", "qcow2", disk, "3M", NULL};
	const char *const serve[] = {"qemu-nbd", "-t", "-e", "4", "--discard=unmap", "-f", "qcow2",
				     "-k",       sock, disk, NULL};
	int status;

	assert_int_equal(waitpid(spawn(make), &status, 0) > 0 && status == 0, true);
	w->server = spawn(serve);
	await_socket(w->server, sock);
}

static void open_nbd_snapshot(struct world *w, struct block **out)
{
	const struct alc_device_opt opt = {"snapshot", "on"};
	char uri[160];

	snprintf(uri, sizeof(uri), "nbd:nbd+unix:///?socket=%s", bench_path(&w->b, "sock"));
	open_with(w, uri, &opt, 1, out);
}

static void open_ram_snapshot(struct world *w, struct block **out)
{
	const struct alc_device_opt opt = {"snapshot", "on"};

	open_with(w, "ram:3M", &opt, 1, out);
}

static void open_null_snapshot(struct world *w, struct block **out)
{
	const struct alc_device_opt opt = {"snapshot", "on"};

	open_with(w, "null:3M", &opt, 1, out);
}

static const struct subject subjects[] = {
	{"ram", open_ram, true, NULL, NULL},
	{"file by io_uring", open_ring, false, NULL, NULL},
	{"file by threads", open_threads, false, NULL, NULL},
	{"file, no cache", open_direct, false, NULL, NULL},
	{"file, no cache, threads", open_direct_threads, false, NULL, NULL},
	{"overlay of a file", open_overlay, false, NULL, prepare_base},
	{"overlay of a file, threads", open_overlay_threads, false, NULL, prepare_base},
	{"snapshot of a file", open_snapshot, true, NULL, prepare_base},
	{"snapshot of an overlay", open_stack, true, NULL, prepare_stack},
	{"overlay, small clusters", open_small_clusters, true, NULL, NULL},
	{"snapshot of ram", open_ram_snapshot, true, NULL, NULL},
	{"snapshot of null", open_null_snapshot, true, NULL, NULL},
	{"nbd, nbdkit", open_nbd, false, "nbdkit", prepare_nbdkit},
	{"nbd, nbdkit with rules", open_nbd, false, "nbdkit", prepare_nbdkit_blocks},
	{"nbd, qcow2", open_nbd, false, "qemu-nbd", prepare_qcow2},
	{"snapshot of nbd", open_nbd_snapshot, true, "nbdkit", prepare_nbdkit},
};

/* ---- the property ------------------------------------------------------------------------- */

struct io {
	struct block_req req;
	struct alc_iov iov[PIECES];
	u8 *memory;
	_Atomic(unsigned) *left;
};

static void io_done(struct block_req *r)
{
	struct io *io = r->ctx;

	atomic_fetch_sub(io->left, 1);
}

/* Cuts memory into pieces of any size, some empty-handed alignments among them. */
static void cut(struct world *w, struct io *io, u64 len)
{
	unsigned n = 0;
	u64 at = 0;

	while (at < len && n < PIECES - 1 && random_below(&w->random, 4)) {
		u64 piece = 1 + random_below(&w->random, len - at);

		if (random_below(&w->random, 2) && piece > 512)
			piece &= ~511ull;
		io->iov[n++] = (struct alc_iov){.base = io->memory + at, .len = piece};
		at += piece;
	}
	if (at < len)
		io->iov[n++] = (struct alc_iov){.base = io->memory + at, .len = len - at};
	io->req.iov = io->iov;
	io->req.niov = n;
}

static enum block_op random_op(struct world *w, const struct block_info *info)
{
	switch (random_below(&w->random, 10)) {
	case 0:
		return BLOCK_FLUSH;
	case 1:
		return info->discard ? BLOCK_DISCARD : BLOCK_READ;
	case 2:
		return info->zeroes ? BLOCK_ZERO : BLOCK_READ;
	case 3:
	case 4:
	case 5:
	case 6:
		return BLOCK_WRITE;
	default:
		return BLOCK_READ;
	}
}

/* A request within [start, start+room). */
static void make_io(struct world *w, const struct block_info *info, struct io *io, u64 start,
		    u64 room)
{
	u64 blocks = room / info->block, first = random_below(&w->random, blocks);
	u64 n = 1 + random_below(&w->random, blocks - first);

	if (random_below(&w->random, 2))
		n = min_u64(n, 1 + random_below(&w->random, 8));
	io->req = (struct block_req){.op = random_op(w, info),
				     .unmap = random_below(&w->random, 2),
				     .done = io_done,
				     .ctx = io,
				     .issuer = 7};
	if (io->req.op == BLOCK_FLUSH)
		return;
	io->req.offset = start + first * info->block;
	io->req.len = n * info->block;
	io->memory = aligned_alloc(4096, align_up(io->req.len, 4096));
	assert_non_null(io->memory);
	for (u64 i = 0; i < io->req.len; i++)
		io->memory[i] = (u8)random_next(&w->random);
	if (io->req.op == BLOCK_READ || io->req.op == BLOCK_WRITE)
		cut(w, io, io->req.len);
}

/* After a discard there may be what was there, or nothing, block by block. */
static void check_discarded(struct world *w, struct block *d, const struct io *io)
{
	static const u8 zeroes[512];
	u64 len = io->req.len;

	assert_int_equal(do_read(&w->b, d, io->req.offset, io->memory, len), 0);
	for (u64 at = 0; at < len; at += 512)
		assert_true(memcmp(io->memory + at, zeroes, 512) == 0 ||
			    memcmp(io->memory + at, w->model + io->req.offset + at, 512) == 0);
	memcpy(w->model + io->req.offset, io->memory, len);
}

static void check_io(struct world *w, struct block *d, const struct io *io)
{
	u8 *model = w->model + io->req.offset;

	assert_int_equal(io->req.status, 0);
	switch (io->req.op) {
	case BLOCK_READ:
		assert_memory_equal(io->memory, model, io->req.len);
		break;
	case BLOCK_WRITE:
		memcpy(model, io->memory, io->req.len);
		break;
	case BLOCK_ZERO:
		memset(model, 0, io->req.len);
		break;
	case BLOCK_DISCARD:
		check_discarded(w, d, io);
		break;
	case BLOCK_FLUSH:
		break;
	}
}

static void run_batch(struct world *w, struct block *d)
{
	u64 slot = align_down(d->info.size / SLOTS, d->info.block);
	unsigned n = 1 + (unsigned)random_below(&w->random, SLOTS);
	_Atomic(unsigned) left = n;
	struct io ios[SLOTS] = {0};

	for (unsigned i = 0; i < n; i++) {
		ios[i].left = &left;
		make_io(w, &d->info, &ios[i], i * slot,
			i == SLOTS - 1 ? d->info.size - i * slot : slot);
		ios[i].req.next = i + 1 < n ? &ios[i + 1].req : NULL;
	}
	block_submit(d, &ios[0].req);
	block_drain(d);
	assert_int_equal(atomic_load(&left), 0);
	for (unsigned i = 0; i < n; i++) {
		check_io(w, d, &ios[i]);
		free(ios[i].memory);
	}
}

static void check_all(struct world *w, struct block *d)
{
	u8 *bytes = malloc(d->info.size);

	assert_int_equal(do_read(&w->b, d, 0, bytes, d->info.size), 0);
	assert_memory_equal(bytes, w->model, d->info.size);
	free(bytes);
}

static void check_limits(struct world *w, struct block *d)
{
	u8 bytes[8192];

	assert_int_equal(do_read(&w->b, d, d->info.size, bytes, d->info.block), -EINVAL);
	assert_int_equal(
		do_read(&w->b, d, d->info.size - d->info.block, bytes, (size_t)d->info.block * 2),
		-EINVAL);
	assert_int_equal(do_read(&w->b, d, 1, bytes, d->info.block), -EINVAL);
	assert_int_equal(do_write(&w->b, d, UINT64_MAX - 511, bytes, 512), -EINVAL);
}

static void run_subject(struct world *w, const struct subject *s)
{
	struct block *d;

	if (s->prepare)
		s->prepare(w);
	s->open(w, &d);
	assert_true(d->info.size <= DISK && d->info.size >= DISK - 4096);
	assert_int_equal(do_read(&w->b, d, 0, w->model, d->info.size), 0);
	for (unsigned i = 0; i < BATCHES; i++)
		run_batch(w, d);
	check_all(w, d);
	check_limits(w, d);
	block_close(d);
	if (!s->forgets) {
		w->opened = true;
		s->open(w, &d);
		check_all(w, d);
		block_close(d);
	}
	if (w->server)
		end_server(w->server, SIGTERM);
}

static void behaves_as_bytes(void **state)
{
	const struct subject *s = *state;
	struct world w = {.random = random_seed(), .model = malloc(DISK)};

	if (s->needs && !have_program(s->needs)) {
		print_message("%s is not installed\n", s->needs);
		free(w.model);
		skip();
	}
	bench_open(&w.b);
	run_subject(&w, s);
	bench_close(&w.b);
	free(w.model);
}

static void null_reads_zeroes(void **state)
{
	u8 bytes[1024];
	struct block *d;
	struct bench b;

	bench_open(&b);
	assert_int_equal(block_null_create(&b.th.host, 1 << 20, &d, NULL), 0);
	memset(bytes, 7, sizeof(bytes));
	assert_int_equal(do_write(&b, d, 512, bytes, sizeof(bytes)), 0);
	assert_int_equal(do_read(&b, d, 0, bytes, sizeof(bytes)), 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
	assert_int_equal(do_read(&b, d, 1 << 20, bytes, 512), -EINVAL);
	block_close(d);
	assert_int_equal(block_null_create(&b.th.host, 100, &d, NULL), -EINVAL);
	bench_close(&b);
}

/* Bytes that the caller gives are the disk, and stay the caller's. */
static void ram_of_given_bytes(void **state)
{
	u8 disk[4096] = {0}, bytes[512];
	struct block *d;
	struct bench b;

	bench_open(&b);
	assert_int_equal(block_ram_create(&b.th.host, sizeof(disk), disk, &d, NULL), 0);
	memset(bytes, 9, sizeof(bytes));
	assert_int_equal(do_write(&b, d, 1024, bytes, sizeof(bytes)), 0);
	block_close(d);
	assert_int_equal(disk[1023], 0);
	assert_int_equal(disk[1024], 9);
	assert_int_equal(disk[1535], 9);
	assert_int_equal(disk[1536], 0);
	bench_close(&b);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(subjects) + 2] = {cmocka_unit_test(null_reads_zeroes),
							    cmocka_unit_test(ram_of_given_bytes)};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_LEN(subjects); i++)
		tests[i + 2] =
			(struct CMUnitTest){.name = subjects[i].name,
					    .test_func = behaves_as_bytes,
					    .initial_state = (void *)(uintptr_t)&subjects[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
