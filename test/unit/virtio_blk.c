/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "block/simple.h"
#include "virtio_driver.h"

extern const struct alc_dev_class virtio_blk_class;

enum { DISK = 1 << 20, SECTOR = 512 };
enum {
	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	T_GET_ID = 8,
	T_DISCARD = 11,
	T_ZEROES = 13,
	T_ERASE = 14
};
enum { OK = 0, IOERR = 1, UNSUPP = 2, UNTOUCHED = 0xee };
#define F_RO           BIT(5)
#define F_FLUSH        BIT(9)
#define F_CONFIG_WCE   BIT(11)
#define F_MQ           BIT(12)
#define F_DISCARD      BIT(13)
#define F_WRITE_ZEROES BIT(14)

/* Where the test's request is in guest memory. */
enum {
	HEADER = VD_DATA,
	STATUS = VD_DATA + 0x100,
	DATA = VD_DATA + 0x1000,
	DATA_ROOM = 0x8000,
};

/* A disk that is done when the test says so, and notes what it was asked. */
struct disk {
	struct block block, *ram;
	struct block_req *held[64];
	unsigned nheld, flushes, writes;
	bool hold;
	int fail;   /* status of all from now on */
	u64 issuer; /* of the last one */
	u8 bytes[DISK];
};

static void forward(struct disk *d, struct block_req *r)
{
	d->flushes += r->op == BLOCK_FLUSH;
	d->writes += r->op == BLOCK_WRITE;
	d->issuer = r->issuer;
	r->next = NULL;
	if (d->fail) {
		r->status = d->fail;
		r->done(r);
	} else {
		block_submit(d->ram, r);
	}
}

static void disk_submit(struct block *b, struct block_req *list)
{
	struct disk *d = container_of(b, struct disk, block);

	while (list) {
		struct block_req *r = list;

		list = r->next;
		if (d->hold)
			d->held[d->nheld++] = r;
		else
			forward(d, r);
	}
}

static void disk_drain(struct block *b)
{
	struct disk *d = container_of(b, struct disk, block);

	while (d->nheld)
		forward(d, d->held[--d->nheld]);
}

static const struct block_ops disk_ops = {
	.name = "test", .submit = disk_submit, .drain = disk_drain};

struct rig {
	struct vd vd;
	struct disk disk;
	u32 priority;
};

static void plug_disk(struct rig *r)
{
	vd_init(&r->vd);
	assert_int_equal(block_ram_create(&r->vd.th.host, DISK, r->disk.bytes, &r->disk.ram, NULL),
			 0);
	r->disk.block.ops = &disk_ops;
	r->disk.block.info = r->disk.ram->info;
	r->vd.env.block = &r->disk.block;
}

static struct rig *begin_opts(bool read_only, const struct alc_dev_opt *opts, size_t nopts,
			      u64 want)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	plug_disk(r);
	r->disk.block.info.read_only = read_only;
	vd_create(&r->vd, &virtio_blk_class, opts, nopts);
	vd_up(&r->vd, want, 1);
	for (unsigned i = 0; i < DISK; i += SECTOR)
		st32(r->disk.bytes + i, i / SECTOR);
	return r;
}

static struct rig *begin(void)
{
	return begin_opts(false, NULL, 0, ~0ull);
}

static void end(struct rig *r)
{
	block_close(r->disk.ram);
	vd_fini(&r->vd);
	free(r);
}

static u64 config(struct rig *r, unsigned off, unsigned size)
{
	return dev_read(r->vd.dev, VD_DEVICE, off, size);
}

static void put_header(struct rig *r, u32 type, u64 sector)
{
	st32(vd_mem(&r->vd, HEADER), type);
	st32(vd_mem(&r->vd, HEADER + 4), r->priority);
	st64(vd_mem(&r->vd, HEADER + 8), sector);
	*vd_mem(&r->vd, STATUS) = UNTOUCHED;
}

static void add(struct rig *r, u32 type, u64 sector, u32 len)
{
	bool in = type == T_IN || type == T_GET_ID;
	const struct vd_buf bufs[] = {{HEADER, 16, false}, {DATA, len, in}, {STATUS, 1, true}};
	const struct vd_buf bare[] = {bufs[0], bufs[2]};

	put_header(r, type, sector);
	vd_add(&r->vd, 0, len ? bufs : bare, len ? 3 : 2);
	vd_kick(&r->vd, 0);
}

static u8 status(struct rig *r)
{
	return *vd_mem(&r->vd, STATUS);
}

static u8 request(struct rig *r, u32 type, u64 sector, u32 len)
{
	add(r, type, sector, len);
	vd_done(&r->vd, 0);
	return status(r);
}

/* ---- tests -------------------------------------------------------------------------------- */

static void reads_and_writes(void **state)
{
	struct rig *r = begin();
	u8 *data = vd_mem(&r->vd, DATA);

	assert_int_equal(request(r, T_IN, 5, 2 * SECTOR), OK);
	assert_int_equal(ld32(data), 5);
	assert_int_equal(ld32(data + SECTOR), 6);
	memset(data, 0x5a, SECTOR);
	assert_int_equal(request(r, T_OUT, 2047, SECTOR), OK);
	assert_int_equal(r->disk.bytes[DISK - SECTOR], 0x5a);
	assert_int_equal(r->disk.bytes[DISK - 1], 0x5a);
	assert_int_equal(ld32(r->disk.bytes + DISK - 2 * SECTOR), 2046);
	add(r, T_IN, 1, SECTOR);
	assert_int_equal(vd_done(&r->vd, 0), SECTOR + 1); /* data and status */
	end(r);
}

/* Header, data and status in whatever descriptors (2.7.4). */
static void any_layout(void **state)
{
	const struct vd_buf out[] = {{HEADER, 7, false},
				     {HEADER + 7, 9, false},
				     {DATA, 100, false},
				     {DATA + 100, 412, false},
				     {STATUS, 1, true}};
	const struct vd_buf in[] = {
		{HEADER, 16, false}, {DATA, 300, true}, {DATA + 300, 213, true}};
	struct rig *r = begin();

	memset(vd_mem(&r->vd, DATA), 0x33, SECTOR);
	put_header(r, T_OUT, 9);
	vd_add(&r->vd, 0, out, 5);
	vd_kick(&r->vd, 0);
	vd_done(&r->vd, 0);
	assert_int_equal(status(r), OK);
	assert_int_equal(r->disk.bytes[9 * SECTOR], 0x33);
	assert_int_equal(r->disk.bytes[10 * SECTOR - 1], 0x33);
	put_header(r, T_IN, 9);
	memset(vd_mem(&r->vd, DATA), UNTOUCHED, SECTOR + 1);
	vd_add(&r->vd, 0, in, 3);
	vd_kick(&r->vd, 0);
	assert_int_equal(vd_done(&r->vd, 0), SECTOR + 1);
	assert_int_equal(*vd_mem(&r->vd, DATA + SECTOR - 1), 0x33);
	assert_int_equal(*vd_mem(&r->vd, DATA + SECTOR), OK);
	/* One descriptor for header and data. */
	put_header(r, T_OUT, 3);
	memset(vd_mem(&r->vd, HEADER + 16), 0x44, 100);
	{
		const struct vd_buf joined[] = {{HEADER, 16 + SECTOR, false}, {DATA, 1, true}};

		vd_add(&r->vd, 0, joined, 2);
	}
	vd_kick(&r->vd, 0);
	vd_done(&r->vd, 0);
	assert_int_equal(*vd_mem(&r->vd, DATA), OK);
	assert_int_equal(r->disk.bytes[3 * SECTOR], 0x44);
	end(r);
}

static void wrong_requests(void **state)
{
	struct rig *r = begin();
	u8 before[SECTOR];

	memcpy(before, r->disk.bytes, SECTOR);
	assert_int_equal(request(r, T_IN, 2048, SECTOR), IOERR);
	assert_int_equal(request(r, T_IN, 2047, 2 * SECTOR), IOERR);
	assert_int_equal(request(r, T_IN, UINT64_MAX, SECTOR), IOERR);
	assert_int_equal(request(r, T_IN, BIT(55), SECTOR), IOERR);
	assert_int_equal(request(r, T_OUT, 0, 100), IOERR);
	assert_int_equal(request(r, T_OUT, UINT64_MAX >> 9, SECTOR), IOERR);
	assert_int_equal(request(r, T_ERASE, 0, 16), UNSUPP);
	assert_int_equal(request(r, 0xffffffff, 0, SECTOR), UNSUPP);
	assert_memory_equal(before, r->disk.bytes, SECTOR);
	assert_int_equal(request(r, T_IN, 0, SECTOR), OK);
	end(r);
}

/* Linux's ioprio: class 2 (best effort), level 7. What stands above it is not part of it. */
static void priority_is_handed_on(void **state)
{
	struct rig *r = begin();

	assert_int_equal(request(r, T_IN, 0, SECTOR), OK);
	assert_int_equal(r->disk.issuer, 0);
	r->priority = 0x12344007;
	assert_int_equal(request(r, T_OUT, 0, SECTOR), OK);
	assert_int_equal(r->disk.issuer, 0x40070000);
	end(r);
}

static void no_header_or_status(void **state)
{
	const struct vd_buf none[] = {{HEADER, 16, false}, {DATA, SECTOR, false}};
	const struct vd_buf cut[] = {{HEADER, 15, false}, {STATUS, 1, true}};

	for (unsigned i = 0; i < 2; i++) {
		struct rig *r = begin();

		put_header(r, T_OUT, 0);
		vd_add(&r->vd, 0, i ? cut : none, 2);
		vd_kick(&r->vd, 0);
		assert_true(vd_get(&r->vd, R_STATUS, 1) & S_NEEDS_RESET);
		assert_int_equal(status(r), UNTOUCHED);
		vd_up(&r->vd, ~0ull, 1);
		assert_int_equal(request(r, T_IN, 0, SECTOR), OK);
		end(r);
	}
}

static void failing_disk(void **state)
{
	struct rig *r = begin();

	r->disk.fail = -EIO;
	assert_int_equal(request(r, T_IN, 0, SECTOR), IOERR);
	assert_int_equal(request(r, T_OUT, 0, SECTOR), IOERR);
	assert_int_equal(request(r, T_FLUSH, 0, 0), IOERR);
	r->disk.fail = -ENOSPC;
	assert_int_equal(request(r, T_OUT, 0, SECTOR), IOERR);
	r->disk.fail = -EOPNOTSUPP;
	assert_int_equal(request(r, T_OUT, 0, SECTOR), UNSUPP);
	r->disk.fail = 0;
	assert_int_equal(request(r, T_OUT, 0, SECTOR), OK);
	end(r);
}

static void identity(void **state)
{
	const struct alc_dev_opt opts[] = {{"serial", "ABC-123"}};
	const struct alc_dev_opt full[] = {{"serial", "12345678901234567890"}};
	const struct alc_dev_opt longer[] = {{"serial", "123456789012345678901"}};
	struct rig *r = begin_opts(false, opts, 1, ~0ull);
	struct alc_err err = {0};
	struct alc_dev *dev;

	memset(vd_mem(&r->vd, DATA), UNTOUCHED, 32);
	assert_int_equal(request(r, T_GET_ID, 0, 20), OK);
	assert_memory_equal(vd_mem(&r->vd, DATA), "ABC-123\0\0\0\0\0\0\0\0\0\0\0\0\0\xee", 21);
	assert_int_equal(request(r, T_GET_ID, 0, 3), OK);
	end(r);
	r = begin_opts(false, full, 1, ~0ull);
	assert_int_equal(request(r, T_GET_ID, 0, 20), OK);
	assert_memory_equal(vd_mem(&r->vd, DATA), "12345678901234567890", 20);
	assert_int_equal(dev_create(&virtio_blk_class, "x", &r->vd.env, longer, 1, &dev, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "more than 20 characters"));
	end(r);
}

static void configuration(void **state)
{
	const struct alc_dev_opt opts[] = {{"queues", "3"}};
	struct rig *r = begin_opts(false, opts, 1, ~0ull);

	assert_int_equal(config(r, 0, 8), DISK / SECTOR);
	assert_int_equal(config(r, 12, 4), 510);
	assert_int_equal(config(r, 20, 4), SECTOR);
	assert_int_equal(config(r, 32, 1), 1);
	assert_int_equal(config(r, 34, 2), 3);
	assert_int_equal(config(r, 40, 4), 1);
	assert_int_equal(vd_get(&r->vd, R_NUM_QUEUES, 2), 3);
	assert_true(vd_offered(&r->vd) & F_MQ);
	assert_false(vd_offered(&r->vd) & F_RO);
	assert_true(vd_offered(&r->vd) & F_DISCARD);
	end(r);
}

/* One a vCPU, and no chain longer than its queue. */
static void defaults(void **state)
{
	const struct alc_dev_opt small[] = {{"queue_size", "64"}};
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	plug_disk(r);
	r->vd.env.cpus = 5;
	vd_create(&r->vd, &virtio_blk_class, NULL, 0);
	assert_int_equal(vd_get(&r->vd, R_NUM_QUEUES, 2), 5);
	end(r);
	r = begin();
	assert_int_equal(vd_get(&r->vd, R_NUM_QUEUES, 2), 1);
	assert_false(vd_offered(&r->vd) & F_MQ);
	end(r);
	r = begin_opts(false, small, 1, ~0ull);
	assert_int_equal(config(r, 12, 4), 62);
	end(r);
}

static void read_only(void **state)
{
	struct rig *r = begin_opts(true, NULL, 0, ~0ull);

	assert_true(vd_offered(&r->vd) & F_RO);
	assert_false(vd_offered(&r->vd) & (F_DISCARD | F_WRITE_ZEROES));
	assert_int_equal(request(r, T_OUT, 0, SECTOR), IOERR);
	assert_int_equal(request(r, T_IN, 7, SECTOR), OK);
	assert_int_equal(ld32(vd_mem(&r->vd, DATA)), 7);
	assert_int_equal(r->disk.writes, 0);
	end(r);
}

static void put_range(struct rig *r, u64 sector, u32 sectors, u32 flags)
{
	st64(vd_mem(&r->vd, DATA), sector);
	st32(vd_mem(&r->vd, DATA + 8), sectors);
	st32(vd_mem(&r->vd, DATA + 12), flags);
}

static void ranges(void **state)
{
	struct rig *r = begin();

	put_range(r, 4, 2, 1);
	assert_int_equal(request(r, T_ZEROES, 0, 16), OK);
	assert_int_equal(ld32(r->disk.bytes + 3 * SECTOR), 3);
	assert_int_equal(ld32(r->disk.bytes + 4 * SECTOR), 0);
	assert_int_equal(ld32(r->disk.bytes + 5 * SECTOR), 0);
	assert_int_equal(ld32(r->disk.bytes + 6 * SECTOR), 6);
	put_range(r, 8, 1, 0);
	assert_int_equal(request(r, T_DISCARD, 0, 16), OK);
	put_range(r, 8, 1, 1);
	assert_int_equal(request(r, T_DISCARD, 0, 16), UNSUPP);
	put_range(r, 8, 1, 2);
	assert_int_equal(request(r, T_ZEROES, 0, 16), UNSUPP);
	put_range(r, 2047, 2, 0);
	assert_int_equal(request(r, T_ZEROES, 0, 16), IOERR);
	put_range(r, UINT64_MAX, 1, 0);
	assert_int_equal(request(r, T_ZEROES, 0, 16), IOERR);
	put_range(r, 0, UINT32_MAX, 0);
	assert_int_equal(request(r, T_DISCARD, 0, 16), IOERR);
	assert_int_equal(request(r, T_DISCARD, 0, 15), IOERR);
	assert_int_equal(request(r, T_DISCARD, 0, 32), IOERR);
	end(r);
	r = begin_opts(false, NULL, 0, F_FLUSH);
	put_range(r, 4, 2, 0);
	assert_int_equal(request(r, T_ZEROES, 0, 16), UNSUPP);
	end(r);
}

/* 5.2.6.2: without FLUSH, or with writeback off, a write that is done is durable. */
static void durability(void **state)
{
	struct rig *r = begin_opts(false, NULL, 0, ~0ull);

	assert_int_equal(request(r, T_OUT, 0, SECTOR), OK);
	assert_int_equal(r->disk.flushes, 0);
	assert_int_equal(request(r, T_FLUSH, 0, 0), OK);
	assert_int_equal(r->disk.flushes, 1);
	dev_write(r->vd.dev, VD_DEVICE, 32, 0, 1);
	assert_int_equal(config(r, 32, 1), 0);
	assert_int_equal(request(r, T_OUT, 0, SECTOR), OK);
	assert_int_equal(r->disk.flushes, 2);
	put_range(r, 4, 2, 0);
	assert_int_equal(request(r, T_ZEROES, 0, 16), OK);
	assert_int_equal(r->disk.flushes, 3);
	assert_int_equal(request(r, T_IN, 0, SECTOR), OK);
	assert_int_equal(r->disk.flushes, 3);
	vd_up(&r->vd, ~0ull, 1);
	assert_int_equal(config(r, 32, 1), 1);
	end(r);
	r = begin_opts(false, NULL, 0, 0);
	assert_int_equal(request(r, T_OUT, 0, SECTOR), OK);
	assert_int_equal(r->disk.flushes, 1);
	end(r);
}

/* Done on another thread, later: the device's own thread gives it back. */
static void done_later(void **state)
{
	struct rig *r = begin();
	u16 id;
	u32 len;

	r->disk.hold = true;
	add(r, T_IN, 5, SECTOR);
	assert_false(vd_used(&r->vd, 0, &id, &len));
	assert_int_equal(status(r), UNTOUCHED);
	disk_drain(&r->disk.block);
	test_host_settle(&r->vd.th);
	assert_int_equal(vd_done(&r->vd, 0), SECTOR + 1);
	assert_int_equal(status(r), OK);
	assert_int_equal(ld32(vd_mem(&r->vd, DATA)), 5);
	end(r);
}

enum { POOL = VD_SIZE, POOL_QUEUES = 3, FLUSHES = 8 };

/* All queues full of flushes, which are more than the pool has requests. */
static struct rig *begin_starved(void)
{
	const struct alc_dev_opt opts[] = {{"queues", "3"}, {"queue_size", "16"}};
	const struct vd_buf bufs[] = {{HEADER, 16, false}, {STATUS, 1, true}};
	struct rig *r = begin_opts(false, opts, 2, ~0ull);

	_Static_assert(POOL_QUEUES * FLUSHES > POOL, "one queue gets none");
	vd_up(&r->vd, ~0ull, POOL_QUEUES);
	put_header(r, T_FLUSH, 0);
	r->disk.hold = true;
	for (unsigned q = 0; q < POOL_QUEUES; q++) {
		for (unsigned i = 0; i < FLUSHES; i++)
			vd_add(&r->vd, q, bufs, 2);
		vd_kick(&r->vd, q);
	}
	assert_int_equal(r->disk.nheld, POOL);
	return r;
}

static unsigned count_done(struct rig *r, unsigned queue)
{
	unsigned n = 0;
	u16 id;
	u32 len;

	while (vd_used(&r->vd, queue, &id, &len))
		n++;
	return n;
}

static void starved_queue(void **state)
{
	struct rig *r = begin_starved();

	assert_int_equal(count_done(r, 2), 0);
	r->disk.hold = false;
	disk_drain(&r->disk.block);
	test_host_settle(&r->vd.th);
	for (unsigned q = 0; q < POOL_QUEUES; q++)
		assert_int_equal(count_done(r, q), FLUSHES);
	assert_int_equal(r->disk.flushes, POOL_QUEUES * FLUSHES);
	end(r);
}

/* One queue's reset, or a save, takes away what others waited for. */
static void starved_queue_later(void **state)
{
	struct rig *r = begin_starved();
	u8 *saved = malloc(dev_save_size(r->vd.dev));

	r->disk.hold = false;
	vd_set(&r->vd, R_QUEUE_SELECT, 0, 2);
	vd_set(&r->vd, R_QUEUE_RESET, 1, 2);
	assert_int_equal(count_done(r, 0), 0);
	assert_int_equal(count_done(r, 1), FLUSHES);
	assert_int_equal(count_done(r, 2), FLUSHES);
	end(r);
	r = begin_starved();
	dev_save(r->vd.dev, saved);
	for (unsigned q = 0; q < POOL_QUEUES; q++)
		assert_int_equal(count_done(r, q), FLUSHES);
	free(saved);
	end(r);
	r = begin_starved();
	vd_up(&r->vd, ~0ull, POOL_QUEUES);
	assert_int_equal(r->disk.flushes, POOL);
	r->disk.hold = false;
	assert_int_equal(request(r, T_IN, 1, SECTOR), OK);
	end(r);
}

/* After a reset nothing of what was in flight reaches the guest. */
static void reset_in_flight(void **state)
{
	struct rig *r = begin();
	u16 id;
	u32 len;

	r->disk.hold = true;
	add(r, T_OUT, 5, SECTOR);
	assert_int_equal(r->disk.nheld, 1);
	vd_set(&r->vd, R_STATUS, 0, 1);
	assert_int_equal(r->disk.nheld, 0);
	test_host_settle(&r->vd.th);
	assert_int_equal(status(r), UNTOUCHED);
	assert_false(vd_used(&r->vd, 0, &id, &len));
	r->disk.hold = false;
	vd_up(&r->vd, ~0ull, 1);
	assert_int_equal(request(r, T_IN, 1, SECTOR), OK);
	end(r);
}

/* A queue that is reset forgets what it had in flight; the driver does not hear of it. */
static void queue_reset_in_flight(void **state)
{
	struct rig *r = begin();
	u16 id;
	u32 len;

	r->disk.hold = true;
	add(r, T_IN, 5, SECTOR);
	vd_set(&r->vd, R_QUEUE_SELECT, 0, 2);
	vd_set(&r->vd, R_QUEUE_RESET, 1, 2);
	assert_int_equal(r->disk.nheld, 0);
	test_host_settle(&r->vd.th);
	assert_int_equal(status(r), UNTOUCHED);
	assert_false(vd_used(&r->vd, 0, &id, &len));
	end(r);
}

/* What is saved has nothing in flight, and the driver has got its answer. */
static void saved_in_flight(void **state)
{
	struct rig *r = begin();
	size_t size = dev_save_size(r->vd.dev);
	u8 *saved = malloc(size);

	r->disk.hold = true;
	add(r, T_IN, 5, SECTOR);
	dev_save(r->vd.dev, saved);
	assert_int_equal(r->disk.nheld, 0);
	assert_int_equal(status(r), OK);
	assert_int_equal(vd_done(&r->vd, 0), SECTOR + 1);
	r->disk.hold = false;
	assert_int_equal(dev_load(r->vd.dev, saved, size, NULL), 0);
	assert_int_equal(request(r, T_IN, 6, SECTOR), OK);
	assert_int_equal(ld32(vd_mem(&r->vd, DATA)), 6);
	free(saved);
	end(r);
}

/* ---- a thread for notifications ---- */

enum { BELLS_MAX = 4, NOTIFY_AT = 0x3000, NOTIFY_STEP = 4, VIRTIO_BAR = 4, REG_COMMAND = 4 };

struct bells {
	unsigned count, refuse_from;
	u64 at[BELLS_MAX];
	int fd;
};

static int bell_add(void *ctx, alc_gpa gpa, unsigned size, int fd)
{
	struct bells *b = ctx;

	if (b->count >= b->refuse_from)
		return -ENOSPC;
	assert_int_equal(size, 0);
	b->at[b->count++] = gpa.v;
	b->fd = fd;
	return 0;
}

static void bell_remove(void *ctx, alc_gpa gpa, unsigned size, int fd)
{
	struct bells *b = ctx;
	unsigned i = 0;

	while (i < b->count && b->at[i] != gpa.v)
		i++;
	assert_in_range(b->count, i + 1, BELLS_MAX);
	b->at[i] = b->at[--b->count];
}

static const struct alc_fastpath_ops bell_ops = {.doorbell_add = bell_add,
						 .doorbell_remove = bell_remove};

static struct rig *begin_bells(struct bells *bells, const char *iothread)
{
	const struct alc_dev_opt opts[] = {{"queues", "2"}, {"iothread", iothread}};
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	plug_disk(r);
	if (bells)
		r->vd.env.fastpath = (struct alc_fastpath){&bell_ops, bells};
	vd_create(&r->vd, &virtio_blk_class, opts, 2);
	vd_up(&r->vd, ~0ull, 2);
	return r;
}

/* Makes a read available, and tells nobody. */
static void add_read(struct rig *r, unsigned queue)
{
	const struct vd_buf bufs[] = {{HEADER, 16, false}, {DATA, SECTOR, true}, {STATUS, 1, true}};

	put_header(r, T_IN, 5);
	vd_add(&r->vd, queue, bufs, 3);
}

static void expect_read(struct rig *r, unsigned queue)
{
	test_host_settle(&r->vd.th);
	assert_int_equal(vd_done(&r->vd, queue), SECTOR + 1);
	assert_int_equal(status(r), OK);
}

/* A doorbell for each queue where the BAR decodes; either of them has all queues looked at. */
static void doorbells(void **state)
{
	struct bells bells = {.refuse_from = BELLS_MAX};
	struct rig *r = begin_bells(&bells, "auto");
	u64 bar = vd_bar(&r->vd, VIRTIO_BAR);

	assert_int_equal(bells.count, 2);
	for (unsigned q = 0; q < 2; q++) {
		assert_int_equal(bells.at[q], bar + NOTIFY_AT + NOTIFY_STEP * q);
		add_read(r, q);
		assert_true(test_host_raise(&r->vd.th, bells.fd));
		expect_read(r, q);
	}
	pci_config_write(r->vd.dev->pci, REG_COMMAND, 0, 2);
	assert_int_equal(bells.count, 0);
	pci_config_write(r->vd.dev->pci, 0x10 + 4 * VIRTIO_BAR, bar + 0x100000, 4);
	assert_int_equal(bells.count, 0);
	vd_bus_master(&r->vd, true);
	assert_int_equal(bells.count, 2);
	assert_int_equal(bells.at[0], bar + 0x100000 + NOTIFY_AT);
	pci_config_write(r->vd.dev->pci, 0x10 + 4 * VIRTIO_BAR, bar, 4);
	assert_int_equal(bells.count, 2);
	assert_int_equal(bells.at[0], bar + NOTIFY_AT);
	end(r);
	assert_int_equal(bells.count, 0);
}

/* What has no doorbell is written to the register, which the thread hears of too. */
static void doorbells_refused(void **state)
{
	struct bells bells = {.refuse_from = 1};
	struct rig *r = begin_bells(&bells, "auto");

	assert_int_equal(bells.count, 1);
	add_read(r, 1);
	vd_kick(&r->vd, 1);
	expect_read(r, 1);
	end(r);
	assert_int_equal(bells.count, 0);
	r = begin_bells(&bells, "off");
	assert_int_equal(bells.count, 0);
	add_read(r, 1);
	vd_kick(&r->vd, 1);
	assert_int_equal(vd_done(&r->vd, 1), SECTOR + 1);
	end(r);
}

/* On an engine without doorbells; and a bell that rang and was not heard before a save or reset. */
static void thread_for_notifications(void **state)
{
	const struct alc_dev_opt maybe[] = {{"iothread", "maybe"}};
	struct rig *r = begin_bells(NULL, "on");
	size_t size = dev_save_size(r->vd.dev);
	u8 *saved = malloc(size);
	struct alc_err err = {0};
	struct alc_dev *dev;

	add_read(r, 1);
	vd_kick(&r->vd, 1);
	expect_read(r, 1);
	add_read(r, 0);
	dev_save(r->vd.dev, saved);
	assert_int_equal(vd_done(&r->vd, 0), SECTOR + 1);
	add_read(r, 0);
	vd_set(&r->vd, R_STATUS, 0, 1);
	vd_kick(&r->vd, 0);
	test_host_settle(&r->vd.th);
	assert_int_equal(status(r), UNTOUCHED);
	assert_int_equal(dev_load(r->vd.dev, saved, size, NULL), 0);
	free(saved);
	assert_int_equal(dev_create(&virtio_blk_class, "x", &r->vd.env, maybe, 1, &dev, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "on, off or auto"));
	end(r);
}

static void needs_a_disk(void **state)
{
	struct rig *r = begin();
	struct alc_dev_env env = r->vd.env;
	struct alc_err err = {0};
	struct alc_dev *dev;

	env.block = NULL;
	assert_int_equal(dev_create(&virtio_blk_class, "x", &env, NULL, 0, &dev, &err), -EINVAL);
	assert_true(err.text[0]);
	end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_and_writes),
		cmocka_unit_test(any_layout),
		cmocka_unit_test(wrong_requests),
		cmocka_unit_test(priority_is_handed_on),
		cmocka_unit_test(no_header_or_status),
		cmocka_unit_test(failing_disk),
		cmocka_unit_test(identity),
		cmocka_unit_test(configuration),
		cmocka_unit_test(read_only),
		cmocka_unit_test(ranges),
		cmocka_unit_test(durability),
		cmocka_unit_test(done_later),
		cmocka_unit_test(reset_in_flight),
		cmocka_unit_test(saved_in_flight),
		cmocka_unit_test(queue_reset_in_flight),
		cmocka_unit_test(needs_a_disk),
		cmocka_unit_test(defaults),
		cmocka_unit_test(starved_queue),
		cmocka_unit_test(starved_queue_later),
		cmocka_unit_test(doorbells),
		cmocka_unit_test(doorbells_refused),
		cmocka_unit_test(thread_for_notifications),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
