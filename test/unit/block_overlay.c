/* SPDX-License-Identifier: BSD-2-Clause */
#include "block_test.h"

#include "block/overlay.h"
#include "block/simple.h"
#include "host/test/sweep.h"

enum { CLUSTER_BITS = 12, DISK = 64 << CLUSTER_BITS, SECTOR = 512, SECTORS = DISK / SECTOR };

/* ---- a store that is as bad as it may be -------------------------------------------------- */

/*
 * Requests wait until the test picks one, in any order. A flush makes durable what was done before
 * it was submitted, and nothing else. A crash leaves what is durable, and of the rest any sectors.
 */
enum { LOG_MAX = 4096, PENDING_MAX = 512 };

struct written {
	u64 at, len, done_seq;
	u8 *bytes;
};

struct bad_store {
	struct block block;
	u64 *random;
	u8 *now, *durable;
	u64 seq;
	bool at_once; /* nothing waits: for opening and closing */
	struct block_req *pending[PENDING_MAX];
	unsigned npending, nlog;
	struct written log[LOG_MAX];
};

static bool bad_step(struct bad_store *s);

static void bad_submit(struct block *b, struct block_req *list)
{
	struct bad_store *s = container_of(b, struct bad_store, block);

	for (struct block_req *r = list; r; r = r->next) {
		assert_true(s->npending < PENDING_MAX);
		r->provider_use[0] = ++s->seq;
		s->pending[s->npending++] = r;
	}
	while (s->at_once && bad_step(s))
		;
}

static void bad_write(struct bad_store *s, const struct block_req *r)
{
	struct written *w = &s->log[s->nlog++];

	assert_true(s->nlog < LOG_MAX);
	*w = (struct written){.at = r->offset, .len = r->len, .done_seq = ++s->seq};
	w->bytes = calloc(1, r->len);
	if (r->op == BLOCK_WRITE)
		assert_int_equal(iov_copy_from(r->iov, r->niov, 0, w->bytes, r->len), r->len);
	memcpy(s->now + w->at, w->bytes, w->len);
}

static void bad_flush(struct bad_store *s, u64 submitted_seq)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < s->nlog; i++) {
		struct written *w = &s->log[i];

		if (w->done_seq > submitted_seq) {
			s->log[kept++] = *w;
			continue;
		}
		memcpy(s->durable + w->at, w->bytes, w->len);
		free(w->bytes);
	}
	s->nlog = kept;
}

/* Does one of the requests that wait; false: none does. */
static bool bad_step(struct bad_store *s)
{
	struct block_req *r;
	unsigned i;

	if (!s->npending)
		return false;
	i = (unsigned)random_below(s->random, s->npending);
	r = s->pending[i];
	s->pending[i] = s->pending[--s->npending];
	r->status = block_check(&s->block.info, r->op, r->offset, r->len);
	assert_int_equal(r->status, 0);
	if (r->op == BLOCK_READ)
		iov_copy_to(r->iov, r->niov, 0, s->now + r->offset, r->len);
	else if (r->op == BLOCK_FLUSH)
		bad_flush(s, r->provider_use[0]);
	else
		bad_write(s, r);
	r->done(r);
	return true;
}

static void bad_drain(struct block *b)
{
	while (bad_step(container_of(b, struct bad_store, block)))
		;
}

static void bad_drain_none(struct block *b)
{
}

static void bad_close(struct block *b)
{
}

static const struct block_ops bad_ops = {
	.name = "bad", .submit = bad_submit, .drain = bad_drain, .close = bad_close};

/* What is found after a crash now. */
static u8 *bad_crash(const struct bad_store *s)
{
	u8 *found = malloc(s->block.info.size);

	memcpy(found, s->durable, s->block.info.size);
	for (unsigned i = 0; i < s->nlog; i++) {
		const struct written *w = &s->log[i];

		for (u64 at = 0; at < w->len; at += SECTOR)
			if (random_below(s->random, 2))
				memcpy(found + w->at + at, w->bytes + at, SECTOR);
	}
	return found;
}

/* ---- the crash test ----------------------------------------------------------------------- */

/* What a sector may be after a crash: what it was at the last flush, and what was written since. */
enum { HISTORY_MAX = 600, OPS = 24, RUNS = 150, STEPS_MAX = 1500 };

struct value {
	u64 tag, done_seq; /* done_seq: UINT64_MAX until it is done */
};

struct history {
	struct value values[HISTORY_MAX];
	unsigned n;
};

struct crash_test;

struct op {
	struct crash_test *t;
	struct block_req req;
	struct alc_iov iov[2];
	u8 *bytes;
	u64 submit_seq;
	bool busy;
};

struct crash_test {
	struct bench b;
	u64 random, next_tag, flushes;
	struct bad_store store;
	struct block *disk;
	u8 *base_bytes;
	struct history *sectors;
	struct op ops[OPS];
};

static u64 tag_of(const u8 *sector)
{
	for (unsigned i = 8; i < SECTOR; i += 8)
		assert_int_equal(ld64(sector + i), ld64(sector));
	return ld64(sector);
}

static void fill_tag(u8 *sector, u64 tag)
{
	for (unsigned i = 0; i < SECTOR; i += 8)
		st64(sector + i, tag);
}

static void note_done(struct crash_test *t, const struct op *o)
{
	for (u64 s = o->req.offset / SECTOR; s < (o->req.offset + o->req.len) / SECTOR; s++) {
		struct history *h = &t->sectors[s];

		h->values[h->n - 1].done_seq = t->store.seq;
	}
}

/* The last value that was done when the flush was submitted is the oldest that may be. */
static void note_flushed(struct crash_test *t, u64 submit_seq)
{
	t->flushes++;
	for (u64 s = 0; s < SECTORS; s++) {
		struct history *h = &t->sectors[s];
		unsigned oldest = 0;

		for (unsigned i = 0; i < h->n; i++)
			if (h->values[i].done_seq <= submit_seq)
				oldest = i;
		memmove(h->values, h->values + oldest, (h->n - oldest) * sizeof(h->values[0]));
		h->n -= oldest;
	}
}

static void op_done(struct block_req *r)
{
	struct op *o = r->ctx;
	struct crash_test *t = o->t;

	assert_int_equal(r->status, 0);
	/* Later than all that the store has done for it. */
	t->store.seq++;
	if (r->op == BLOCK_FLUSH)
		note_flushed(t, o->submit_seq);
	else
		note_done(t, o);
	o->busy = false;
	free(o->bytes);
}

static bool overlaps_others(const struct crash_test *t, u64 offset, u64 len)
{
	for (unsigned i = 0; i < OPS; i++) {
		const struct op *o = &t->ops[i];

		if (o->busy && o->req.offset < offset + len && offset < o->req.offset + o->req.len)
			return true;
	}
	return false;
}

static void set_data(struct crash_test *t, struct op *o)
{
	u64 cut = random_below(&t->random, o->req.len + 1);

	o->bytes = malloc(o->req.len);
	for (u64 at = 0; at < o->req.len; at += SECTOR) {
		struct history *h = &t->sectors[(o->req.offset + at) / SECTOR];
		u64 tag = o->req.op == BLOCK_ZERO ? 0 : ++t->next_tag;

		assert_true(h->n < HISTORY_MAX);
		h->values[h->n++] = (struct value){tag, UINT64_MAX};
		fill_tag(o->bytes + at, tag);
	}
	o->iov[0] = (struct alc_iov){.base = o->bytes, .len = cut};
	o->iov[1] = (struct alc_iov){.base = o->bytes + cut, .len = o->req.len - cut};
	if (o->req.op == BLOCK_WRITE) {
		o->req.iov = o->iov;
		o->req.niov = 2;
	}
}

static void start_op(struct crash_test *t)
{
	struct op *o = t->ops;
	u64 first = random_below(&t->random, SECTORS), n;

	while (o < t->ops + OPS && o->busy)
		o++;
	if (o == t->ops + OPS)
		return;
	n = 1 + random_below(&t->random, min_u64(SECTORS - first, 30));
	*o = (struct op){.t = t, .submit_seq = ++t->store.seq};
	o->req = (struct block_req){.done = op_done, .ctx = o};
	switch (random_below(&t->random, 5)) {
	case 0:
		o->req.op = BLOCK_FLUSH;
		break;
	case 1:
		o->req.op = BLOCK_ZERO;
		break;
	default:
		o->req.op = BLOCK_WRITE;
		break;
	}
	if (o->req.op != BLOCK_FLUSH) {
		if (overlaps_others(t, first * SECTOR, n * SECTOR))
			return;
		o->req.offset = first * SECTOR;
		o->req.len = n * SECTOR;
		set_data(t, o);
	}
	o->busy = true;
	block_submit(t->disk, &o->req);
}

static void check_sector(const struct crash_test *t, u64 s, const u8 *bytes)
{
	const struct history *h = &t->sectors[s];
	u64 tag = tag_of(bytes);

	for (unsigned i = 0; i < h->n; i++)
		if (h->values[i].tag == tag)
			return;
	fail_msg("sector %llu is %llx, which it can't be", (unsigned long long)s,
		 (unsigned long long)tag);
}

/* As after the host came up again: an overlay that knows nothing but what was found. */
static void check_after_crash(struct crash_test *t)
{
	const struct alc_host *h = &t->b.th.host;
	u8 *found = bad_crash(&t->store), *bytes = malloc(DISK);
	struct block *base, *store, *disk;

	assert_int_equal(block_ram_create(h, DISK, t->base_bytes, &base, NULL), 0);
	assert_int_equal(block_ram_create(h, t->store.block.info.size, found, &store, NULL), 0);
	assert_int_equal(block_overlay_create(h, base, store, true, &disk, NULL), 0);
	assert_int_equal(do_read(&t->b, disk, 0, bytes, DISK), 0);
	for (u64 s = 0; s < SECTORS; s++)
		check_sector(t, s, bytes + s * SECTOR);
	block_close(disk);
	free(bytes);
	free(found);
}

static void make_base(struct crash_test *t, struct block **out)
{
	t->base_bytes = malloc(DISK);
	t->sectors = calloc(SECTORS, sizeof(t->sectors[0]));
	for (u64 s = 0; s < SECTORS; s++) {
		t->sectors[s].values[t->sectors[s].n++] = (struct value){++t->next_tag, 0};
		fill_tag(t->base_bytes + s * SECTOR, t->next_tag);
	}
	assert_int_equal(block_ram_create(&t->b.th.host, DISK, t->base_bytes, out, NULL), 0);
}

static void set_up(struct crash_test *t, u64 seed)
{
	u64 size = overlay_store_size(DISK, CLUSTER_BITS);
	struct block *base;

	bench_open(&t->b);
	t->random = seed;
	make_base(t, &base);
	t->store = (struct bad_store){.random = &t->random, .at_once = true};
	t->store.now = calloc(1, size);
	t->store.durable = calloc(1, size);
	t->store.block = (struct block){.ops = &bad_ops,
					.info = {.size = size,
						 .block = SECTOR,
						 .physical = SECTOR,
						 .zeroes = random_below(&t->random, 2),
						 .discard_align = SECTOR}};
	assert_int_equal(
		overlay_format(&t->b.th.host, &t->store.block, DISK, "base", CLUSTER_BITS, NULL),
		0);
	assert_int_equal(
		block_overlay_create(&t->b.th.host, base, &t->store.block, true, &t->disk, NULL),
		0);
	t->store.at_once = false;
}

static void tear_down(struct crash_test *t)
{
	while (bad_step(&t->store))
		;
	block_drain(t->disk);
	t->store.at_once = true;
	block_close(t->disk);
	for (unsigned i = 0; i < t->store.nlog; i++)
		free(t->store.log[i].bytes);
	free(t->store.now);
	free(t->store.durable);
	free(t->sectors);
	free(t->base_bytes);
	bench_close(&t->b);
}

static void acknowledged_flushes_survive_crashes(void **state)
{
	u64 seed = random_seed(), flushes = 0;

	for (unsigned run = 0; run < RUNS; run++) {
		struct crash_test *t = calloc(1, sizeof(*t));

		set_up(t, random_next(&seed));
		for (u64 n = random_below(&t->random, STEPS_MAX); n; n--) {
			if (random_below(&t->random, 3) == 0)
				start_op(t);
			else
				bad_step(&t->store);
			if (random_below(&t->random, 100) == 0)
				check_after_crash(t);
		}
		check_after_crash(t);
		flushes += t->flushes;
		tear_down(t);
		free(t);
	}
	assert_true(flushes > RUNS);
}

/* ---- hostile stores ----------------------------------------------------------------------- */

/* A sound one of a small disk, in `bytes`. */
static void make_sound(struct bench *b, u8 *bytes, u64 size)
{
	struct block *store;

	memset(bytes, 0, size);
	assert_int_equal(block_ram_create(&b->th.host, size, bytes, &store, NULL), 0);
	assert_int_equal(
		overlay_format(&b->th.host, store, DISK, "/images/base.img", CLUSTER_BITS, NULL),
		0);
	block_close(store);
}

/* Opens what is there; if it can be opened, all of it can be read and written. */
static int try_store(struct bench *b, u8 *bytes, u64 size, struct alc_err *err)
{
	const struct alc_host *h = &b->th.host;
	struct block *base, *store, *disk;
	u8 *data;
	int rc;

	assert_int_equal(block_ram_create(h, DISK, NULL, &base, NULL), 0);
	assert_int_equal(block_ram_create(h, size, bytes, &store, NULL), 0);
	rc = block_overlay_create(h, base, store, true, &disk, err);
	if (rc) {
		block_close(store);
		block_close(base);
		return rc;
	}
	data = calloc(1, DISK);
	assert_int_equal(do_read(b, disk, 0, data, DISK), 0);
	assert_int_equal(do_write(b, disk, 0, data, DISK), 0);
	assert_int_equal(do_flush(b, disk), 0);
	free(data);
	block_close(disk);
	return 0;
}

static void hostile_stores(void **state)
{
	u64 size = overlay_store_size(DISK, CLUSTER_BITS), seed = random_seed();
	static const u64 values[] = {
		0,        1,         11,         12,         21,      22,      63,
		64,       255,       UINT32_MAX, UINT64_MAX, BIT(63), BIT(60), BIT(60) + 512,
		DISK - 1, DISK + 512};
	u8 *bytes = malloc(size);
	struct bench b;
	unsigned refused = 0;

	bench_open(&b);
	for (unsigned i = 0; i < 3000; i++) {
		struct alc_err err = {0};
		u64 at = random_below(&seed, 10) ? random_below(&seed, 80)
						 : random_below(&seed, 8192);
		int rc;

		make_sound(&b, bytes, size);
		if (random_below(&seed, 2))
			bytes[at] = (u8)random_next(&seed);
		else
			st64(bytes + (at & ~7ull), values[random_below(&seed, ARRAY_LEN(values))]);
		rc = try_store(&b, bytes, size, &err);
		assert_true(rc == 0 || rc == -EINVAL || rc == -ENOTSUP || rc == -ENOMEM);
		assert_true(rc == 0 || err.text[0]);
		refused += rc != 0;
	}
	assert_true(refused > 300);
	free(bytes);
	bench_close(&b);
}

static void cut_stores(void **state)
{
	u64 size = overlay_store_size(DISK, CLUSTER_BITS);
	u8 *bytes = malloc(size);
	struct alc_err err = {0};
	struct bench b;

	bench_open(&b);
	make_sound(&b, bytes, size);
	assert_int_equal(try_store(&b, bytes, size, &err), 0);
	assert_int_equal(try_store(&b, bytes, size - SECTOR, &err), -EINVAL);
	assert_non_null(strstr(err.text, "its end is missing"));
	assert_int_equal(try_store(&b, bytes, SECTOR, NULL), -EINVAL);
	memset(bytes, 0, 8);
	err = (struct alc_err){0};
	assert_int_equal(try_store(&b, bytes, size, &err), -EINVAL);
	assert_non_null(strstr(err.text, "no overlay"));
	free(bytes);
	bench_close(&b);
}

static void other_base(void **state)
{
	u64 size = overlay_store_size(DISK, CLUSTER_BITS), found;
	u8 *bytes = malloc(size);
	char name[OVERLAY_BASE_NAME_MAX];
	struct block *base, *store, *disk;
	struct alc_err err = {0};
	struct bench b;

	bench_open(&b);
	make_sound(&b, bytes, size);
	assert_int_equal(block_ram_create(&b.th.host, DISK + SECTOR, NULL, &base, NULL), 0);
	assert_int_equal(block_ram_create(&b.th.host, size, bytes, &store, NULL), 0);
	assert_int_equal(overlay_identify(&b.th.host, store, &found, name, NULL), 0);
	assert_int_equal(found, DISK);
	assert_string_equal(name, "/images/base.img");
	assert_int_equal(block_overlay_create(&b.th.host, base, store, true, &disk, &err), -EINVAL);
	assert_non_null(strstr(err.text, "made for a base of"));
	block_close(store);
	block_close(base);
	free(bytes);
	bench_close(&b);
}

/* ---- failures ----------------------------------------------------------------------------- */

/* Fails what the mask says, on its way to RAM. */
struct failing {
	struct block block, *below;
	unsigned mask; /* of BIT(op) */
	u64 from;      /* offset from which on */
};

static void failing_submit(struct block *b, struct block_req *list)
{
	struct failing *f = container_of(b, struct failing, block);

	while (list) {
		struct block_req *r = list;

		list = r->next;
		r->next = NULL;
		if (f->mask >> r->op & 1 && (r->op == BLOCK_FLUSH || r->offset >= f->from)) {
			r->status = -EIO;
			r->done(r);
		} else {
			block_submit(f->below, r);
		}
	}
}

static void failing_close(struct block *b)
{
	block_close(container_of(b, struct failing, block)->below);
}

static const struct block_ops failing_ops = {.name = "failing",
					     .submit = failing_submit,
					     .drain = bad_drain_none,
					     .close = failing_close};

/* A write that the store does not take is no write, and a flush that failed is made up for. */
static void store_fails(void **state)
{
	u64 size = overlay_store_size(DISK, CLUSTER_BITS);
	u8 *bytes = malloc(size), sector[SECTOR], data[2 << CLUSTER_BITS];
	struct failing f = {.from = 8192};
	struct block *base, *disk;
	struct bench b;

	bench_open(&b);
	make_sound(&b, bytes, size);
	assert_int_equal(block_ram_create(&b.th.host, DISK, NULL, &base, NULL), 0);
	assert_int_equal(block_ram_create(&b.th.host, size, bytes, &f.below, NULL), 0);
	f.block = (struct block){.ops = &failing_ops, .info = f.below->info};
	assert_int_equal(block_overlay_create(&b.th.host, base, &f.block, true, &disk, NULL), 0);
	memset(data, 5, sizeof(data));
	f.mask = BIT(BLOCK_WRITE);
	assert_int_equal(do_write(&b, disk, 512, data, SECTOR), -EIO);
	assert_int_equal(do_write(&b, disk, 0, data, sizeof(data)), -EIO);
	assert_int_equal(do_read(&b, disk, 512, sector, SECTOR), 0);
	assert_int_equal(sector[0], 0);
	f.mask = 0;
	assert_int_equal(do_write(&b, disk, 512, data, SECTOR), 0);
	f.mask = BIT(BLOCK_FLUSH);
	assert_int_equal(do_flush(&b, disk), -EIO);
	assert_int_equal(bytes[4096], 0); /* the bitmap: not before the data are durable */
	f.mask = BIT(BLOCK_WRITE);
	f.from = 0;
	assert_int_equal(do_flush(&b, disk), -EIO);
	f.mask = 0;
	assert_int_equal(do_flush(&b, disk), 0);
	assert_int_equal(bytes[4096], 1);
	block_close(disk);
	free(bytes);
	bench_close(&b);
}

static int make_one(const struct alc_host *host, void *arg, struct alc_err *err)
{
	struct block *base, *store, *disk;
	int rc = block_ram_create(host, DISK, NULL, &base, err);

	if (rc)
		return rc;
	rc = block_ram_create(host, overlay_store_size(DISK, CLUSTER_BITS), arg, &store, err);
	if (rc) {
		block_close(base);
		return rc;
	}
	rc = overlay_format(host, store, DISK, "base", CLUSTER_BITS, err);
	if (!rc)
		rc = block_overlay_create(host, base, store, false, &disk, err);
	if (rc) {
		block_close(store);
		block_close(base);
		return rc;
	}
	block_close(disk);
	return 0;
}

static void host_fails(void **state)
{
	u8 *bytes = malloc(overlay_store_size(DISK, CLUSTER_BITS));
	struct sweep s = {.run = make_one, .arg = bytes, .has_err = true};

	assert_true(sweep(&s) > 10);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acknowledged_flushes_survive_crashes),
		cmocka_unit_test(hostile_stores),
		cmocka_unit_test(cut_stores),
		cmocka_unit_test(other_base),
		cmocka_unit_test(store_fails),
		cmocka_unit_test(host_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
