/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/errno.h"
#include "host/test/sweep.h"
#include "host/test/test_host.h"
#include "virtio/queue.h"

/*
 * Queues against virtio 1.2, 2.7 and 2.8, from a driver's side that is written here on its own:
 * rings by their layout in the specification, rules one by one, and a random driver whose idea of
 * what comes next is compared with what the device is given.
 */
enum {
	RAM = 0x100000,
	RAM_SIZE = 0x800000,
	ROM = RAM + RAM_SIZE, /* right behind */
	DEV = 0x2000000,
	DESC = RAM,
	DRIVER = RAM + 0x8000,
	DEVICE = RAM + 0xa000,
	TABLE = RAM + 0x10000, /* 16 KiB and more */
	DATA = RAM + 0x40000,
	SIZE = 8,
};
enum { NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 1 << 7, USED = 1 << 15 };
enum { IOV_MAX_TEST = 1100 };

struct rig {
	struct test_host th;
	struct alc_space space;
	struct virtq_state state;
	struct virtq *q;
	struct virtq_config cfg;
	struct alc_iov iov[IOV_MAX_TEST];
	struct virtq_chain c;
};

static u64 dev_read(void *ctx, u64 off, unsigned size)
{
	fail_msg("a queue reads a device register");
	return 0;
}

static void dev_write(void *ctx, u64 off, u64 val, unsigned size)
{
	fail_msg("a queue writes a device register");
}

static void rig_open(struct rig *r)
{
	struct alc_region dev = {"dev", DEV, 0x1000, dev_read, dev_write, NULL};

	memset(r, 0, sizeof(*r));
	test_host_init(&r->th, TEST_TIME_MANUAL);
	assert_int_equal(space_init(&r->space, &r->th.host, RAM_SIZE + 0x1000, NULL), 0);
	assert_int_equal(space_add_bank(&r->space, gpa(RAM), RAM_SIZE, false, NULL), 0);
	assert_int_equal(space_add_bank(&r->space, gpa(ROM), 0x1000, true, NULL), 0);
	assert_int_equal(space_add_device(&r->space, &dev, NULL), 0);
	assert_int_equal(virtq_create(&r->th.host, &r->space, &r->state, &r->q), 0);
	r->cfg = (struct virtq_config)
	{
		.size = SIZE, .indirect = true, .desc = DESC, .driver = DRIVER, .device = DEVICE
	};
	r->c = (struct virtq_chain){.iov = r->iov, .iov_max = IOV_MAX_TEST};
}

static void rig_start(struct rig *r)
{
	struct alc_err err = {0};

	if (virtq_start(r->q, &r->cfg, &err))
		fail_msg("start: %s", err.text);
}

static void rig_close(struct rig *r)
{
	virtq_destroy(r->q);
	space_fini(&r->space);
	assert_int_equal(test_host_leaks(&r->th), 0);
	test_host_fini(&r->th);
}

static int setup(void **state)
{
	struct rig *r = malloc(sizeof(*r));

	assert_non_null(r);
	rig_open(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	free(*state);
	return 0;
}

static u64 rd(struct rig *r, u64 at, unsigned size)
{
	return space_read(&r->space, gpa(at), size);
}

static void wr(struct rig *r, u64 at, u64 val, unsigned size)
{
	space_write(&r->space, gpa(at), val, size);
}

/* ---- rings by hand ---- */

struct d {
	u64 addr;
	u32 len;
	u16 flags, last;
};

static void put_desc(struct rig *r, u64 at, struct d d)
{
	wr(r, at, d.addr, 8);
	wr(r, at + 8, d.len, 4);
	wr(r, at + 12, r->cfg.packed ? d.last : d.flags, 2);
	wr(r, at + 14, r->cfg.packed ? d.flags : d.last, 2);
}

/* The split and the packed layout differ in the order of the last two fields. */
static void put_split(struct rig *r, unsigned slot, struct d d)
{
	put_desc(r, DESC + slot * 16, d);
}

static void offer(struct rig *r, u16 head)
{
	u16 idx = (u16)rd(r, DRIVER + 2, 2);

	wr(r, DRIVER + 4 + 2 * (idx % r->cfg.size), head, 2);
	wr(r, DRIVER + 2, (u16)(idx + 1), 2);
}

/* ---- rules ---- */

enum { FORMS = 4 };

/* A chain in the ring, and a table at TABLE. In packed format `last` of the ring's is an ID. */
struct form {
	const char *name;
	struct d ring[FORMS], table[FORMS];
	bool split_only, packed_only;
};

static const struct form bad_forms[] = {
	{"zero length", {{DATA, 0, 0, 0}}, {{0}}, false, false},
	{"zero length behind", {{DATA, 1, NEXT, 1}, {DATA, 0, WRITE, 0}}, {{0}}, false, false},
	{"zero length in a table", {{TABLE, 16, INDIRECT, 0}}, {{DATA, 0, 0, 0}}, false, false},
	{"address wraps", {{~0ull - 15, 32, 0, 0}}, {{0}}, false, false},
	{"address wraps into RAM", {{~0ull, 0xffffffff, 0, 0}}, {{0}}, false, false},
	{"no memory", {{0x10000000, 16, 0, 0}}, {{0}}, false, false},
	{"a device", {{DEV, 4, WRITE, 0}}, {{0}}, false, false},
	{"a device, read", {{DEV, 4, 0, 0}}, {{0}}, false, false},
	{"ends beyond RAM into ROM", {{ROM - 8, 16, WRITE, 0}}, {{0}}, false, false},
	{"ends beyond RAM, read", {{ROM - 8, 16, 0, 0}}, {{0}}, false, false},
	{"ends beyond memory", {{ROM + 0xff0, 0x20, 0, 0}}, {{0}}, false, false},
	{"begins before RAM", {{RAM - 8, 16, 0, 0}}, {{0}}, false, false},
	{"writes ROM", {{ROM, 16, WRITE, 0}}, {{0}}, false, false},
	{"read after write", {{DATA, 8, WRITE | NEXT, 1}, {DATA, 8, 0, 0}}, {{0}}, false, false},
	{"read after write in a table",
	 {{TABLE, 32, INDIRECT, 0}},
	 {{DATA, 8, WRITE | NEXT, 1}, {DATA, 8, 0, 0}},
	 false,
	 false},
	{"read in a table after write",
	 {{DATA, 8, WRITE | NEXT, 1}, {TABLE, 16, INDIRECT, 0}},
	 {{DATA, 8, 0, 0}},
	 false,
	 false},
	{"indirect and next",
	 {{TABLE, 16, INDIRECT | NEXT, 1}, {DATA, 8, 0, 0}},
	 {{DATA, 8, 0, 0}},
	 false,
	 false},
	{"table of no entries", {{TABLE, 0, INDIRECT, 0}}, {{DATA, 8, 0, 0}}, false, false},
	{"table of half an entry", {{TABLE, 8, INDIRECT, 0}}, {{DATA, 8, 0, 0}}, false, false},
	{"table of 1.5 entries", {{TABLE, 24, INDIRECT, 0}}, {{DATA, 8, 0, 0}}, false, false},
	{"table too long", {{TABLE, 1025 * 16, INDIRECT, 0}}, {{DATA, 8, 0, 0}}, false, false},
	{"table of 4 GiB", {{TABLE, 0xfffffff0, INDIRECT, 0}}, {{DATA, 8, 0, 0}}, false, false},
	{"table on a device", {{DEV, 16, INDIRECT, 0}}, {{0}}, false, false},
	{"table beyond memory", {{ROM + 0xff8, 16, INDIRECT, 0}}, {{0}}, false, false},
	{"table in a table", {{TABLE, 16, INDIRECT, 0}}, {{TABLE, 16, INDIRECT, 0}}, false, false},
	{"table in a table, behind",
	 {{TABLE, 32, INDIRECT, 0}},
	 {{DATA, 8, NEXT, 1}, {TABLE, 16, INDIRECT, 0}},
	 false,
	 false},
	{"table writes ROM", {{TABLE, 16, INDIRECT, 0}}, {{ROM, 8, WRITE, 0}}, false, false},
	{"loop of one", {{DATA, 8, NEXT, 0}}, {{0}}, true, false},
	{"loop of two", {{DATA, 8, NEXT, 1}, {DATA, 8, NEXT, 0}}, {{0}}, true, false},
	{"loop in a table",
	 {{TABLE, 32, INDIRECT, 0}},
	 {{DATA, 8, NEXT, 1}, {DATA, 8, NEXT, 0}},
	 true,
	 false},
	{"next is no slot", {{DATA, 8, NEXT, SIZE}}, {{0}}, true, false},
	{"next is far off", {{DATA, 8, NEXT, 0xffff}}, {{0}}, true, false},
	{"next is not in the table", {{TABLE, 32, INDIRECT, 0}}, {{DATA, 8, NEXT, 2}}, true, false},
	{"a table behind others",
	 {{DATA, 8, NEXT, 0}, {TABLE, 16, INDIRECT, 0}},
	 {{DATA, 8, 0, 0}},
	 false,
	 true},
};

static void put_form(struct rig *r, const struct form *f)
{
	for (unsigned i = 0; i < FORMS; i++) {
		struct d ring = f->ring[i];

		if (r->cfg.packed && ring.addr)
			ring.flags |= AVAIL;
		put_desc(r, DESC + i * 16, ring);
		put_desc(r, TABLE + i * 16, f->table[i]);
	}
	if (!r->cfg.packed)
		offer(r, 0);
}

static void assert_broken(struct rig *r, const char *name)
{
	int rc = virtq_pop(r->q, &r->c);

	if (rc != -EPROTO)
		fail_msg("%s (%s): pop gives %d", name, r->cfg.packed ? "packed" : "split", rc);
	assert_true(virtq_broken(r->q));
	assert_int_equal(virtq_pop(r->q, &r->c), -EPROTO);
}

static void rules(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		for (size_t i = 0; i < ARRAY_LEN(bad_forms); i++) {
			const struct form *f = &bad_forms[i];
			struct rig r;

			if (packed ? f->split_only : f->packed_only)
				continue;
			rig_open(&r);
			r.cfg.packed = packed;
			rig_start(&r);
			put_form(&r, f);
			assert_broken(&r, f->name);
			/* Only a stop mends it. */
			virtq_stop(r.q);
			rig_start(&r);
			assert_false(virtq_broken(r.q));
			rig_close(&r);
		}
	}
}

static void indirect_only_if_agreed_on(void **state)
{
	const struct form f = {"indirect", {{TABLE, 16, INDIRECT, 0}}, {{DATA, 8, 0, 0}}, 0, 0};

	for (unsigned packed = 0; packed < 2; packed++) {
		struct rig r;

		rig_open(&r);
		r.cfg.packed = packed;
		r.cfg.indirect = false;
		rig_start(&r);
		put_form(&r, &f);
		assert_broken(&r, f.name);
		rig_close(&r);
	}
}

/* The same RAM again and again: 512 times 8 MiB is as long as a chain may be (2.7.4.2). */
static void total_of_more_than_4_gib(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	for (unsigned n = 512; n <= 513; n++) {
		for (unsigned i = 0; i < n; i++)
			put_desc(r, TABLE + i * 16,
				 (struct d){RAM, i < 512 ? RAM_SIZE : 1, i < n - 1 ? NEXT : 0,
					    (u16)(i + 1)});
		put_split(r, 0, (struct d){TABLE, n * 16, INDIRECT, 0});
		offer(r, 0);
		assert_int_equal(virtq_pop(r->q, &r->c), n == 512 ? 1 : -EPROTO);
		if (n == 512)
			assert_true(r->c.out_len == 1ull << 32);
	}
}

static void a_table_may_be_longer_than_the_queue(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	for (unsigned i = 0; i < 1024; i++)
		put_desc(r, TABLE + i * 16,
			 (struct d){DATA + i, 1, i < 1023 ? NEXT : 0, (u16)(i + 1)});
	put_split(r, 0, (struct d){TABLE, 1024 * 16, INDIRECT, 0});
	offer(r, 0);
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	assert_int_equal(r->c.nout, 1024);
}

static void more_pieces_than_there_is_room_for(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	for (unsigned i = 0; i < 4; i++)
		put_split(r, i, (struct d){DATA, 8, i < 3 ? NEXT : 0, (u16)(i + 1)});
	offer(r, 0);
	offer(r, 0);
	r->c.iov_max = 4;
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	r->c.iov_max = 3;
	assert_int_equal(virtq_pop(r->q, &r->c), -EPROTO);
}

static void chain_as_long_as_the_queue(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	for (unsigned i = 0; i < SIZE; i++)
		put_split(r, i, (struct d){DATA + i, 1, i < SIZE - 1 ? NEXT : 0, (u16)(i + 1)});
	offer(r, 0);
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	assert_int_equal(r->c.nout, SIZE);
	/* Direct ones and a table at the end make one chain (2.7.5.3.2). */
	put_split(r, 0, (struct d){DATA, 4, NEXT, 1});
	put_split(r, 1, (struct d){TABLE, 16, INDIRECT, 0});
	put_desc(r, TABLE, (struct d){DATA + 8, 4, WRITE, 0});
	offer(r, 0);
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	assert_int_equal(r->c.nout, 1);
	assert_int_equal(r->c.nin, 1);
}

static void head_is_no_slot(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	offer(r, SIZE);
	assert_broken(r, "head");
}

static void avail_index_runs_ahead(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	put_split(r, 0, (struct d){DATA, 8, 0, 0});
	wr(r, DRIVER + 2, SIZE + 1, 2);
	assert_broken(r, "more than size");
	virtq_stop(r->q);
	rig_start(r);
	wr(r, DRIVER + 2, SIZE, 2);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(virtq_pop(r->q, &r->c), 1);
	assert_int_equal(virtq_pop(r->q, &r->c), 0);
	/* All are in flight: there can be no other. */
	wr(r, DRIVER + 2, SIZE + 1, 2);
	assert_broken(r, "more than size with those in flight");
	virtq_stop(r->q);
	rig_start(r);
	wr(r, DRIVER + 2, 2, 2);
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	wr(r, DRIVER + 2, 1, 2);
	assert_broken(r, "backwards");
}

/* Each of a packed chain's slots must be available in its own lap (2.8.1). */
static void packed_wrap_counters(void **state)
{
	struct rig *r = *state;

	r->cfg.packed = true;
	r->cfg.size = 3; /* need not be a power of two */
	rig_start(r);
	put_desc(r, DESC, (struct d){DATA, 8, AVAIL | USED, 7}); /* used */
	assert_int_equal(virtq_pop(r->q, &r->c), 0);
	put_desc(r, DESC, (struct d){DATA, 8, USED, 7}); /* of the lap after */
	assert_int_equal(virtq_pop(r->q, &r->c), 0);
	put_desc(r, DESC, (struct d){DATA, 8, AVAIL | NEXT, 7});
	put_desc(r, DESC + 16, (struct d){DATA, 8, USED, 9}); /* of the lap after */
	assert_broken(r, "second slot of a chain");
	virtq_stop(r->q);
	rig_start(r);
	for (unsigned i = 0; i < 2; i++) {
		put_desc(r, DESC + i * 16, (struct d){DATA, 8, AVAIL, (u16)(7 + i)});
		assert_int_equal(virtq_pop(r->q, &r->c), 1);
		assert_int_equal(r->c.id, 7 + i);
		virtq_push(r->q, &r->c, 0);
		assert_int_equal(rd(r, DESC + i * 16 + 14, 2), AVAIL | USED);
	}
	/* A chain over the ring's end: the slots' flags change sides there. */
	put_desc(r, DESC + 32, (struct d){DATA, 8, AVAIL | NEXT, 1});
	put_desc(r, DESC, (struct d){DATA + 8, 8, USED | WRITE, 33});
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	assert_int_equal(r->c.id, 33);
	assert_int_equal(r->c.count, 2);
	virtq_push(r->q, &r->c, 5);
	assert_int_equal(rd(r, DESC + 32 + 14, 2), AVAIL | USED | WRITE);
	assert_int_equal(rd(r, DESC + 32 + 12, 2), 33);
	assert_int_equal(rd(r, DESC + 32 + 8, 4), 5);
	assert_int_equal(r->state.next_used, 1);
	assert_int_equal(r->state.used_wrap, 0);
}

static void packed_ring_overrun(void **state)
{
	struct rig *r = *state;

	r->cfg.packed = true;
	rig_start(r);
	for (unsigned i = 0; i < SIZE; i++) {
		put_desc(r, DESC + i * 16, (struct d){DATA, 8, AVAIL, (u16)i});
		assert_int_equal(virtq_pop(r->q, &r->c), 1);
	}
	assert_int_equal(virtq_pop(r->q, &r->c), 0);
	put_desc(r, DESC, (struct d){DATA, 8, USED, 0}); /* available in the next lap: too early */
	assert_broken(r, "slot still in flight");
	virtq_stop(r->q);
	rig_start(r);
	for (unsigned i = 0; i < SIZE; i++)
		put_desc(r, DESC + i * 16, (struct d){DATA, 8, AVAIL | NEXT, (u16)i});
	assert_broken(r, "chain without end");
}

/* ---- start ---- */

static void areas_are_checked(void **state)
{
	static const struct {
		u16 size;
		bool packed;
		u64 desc, driver, device;
	} bad[] = {
		{0, false, DESC, DRIVER, DEVICE},
		{0, true, DESC, DRIVER, DEVICE},
		{3, false, DESC, DRIVER, DEVICE},
		{2048, false, DESC, DRIVER, DEVICE},
		{1025, true, DESC, DRIVER, DEVICE},
		{SIZE, false, DESC + 8, DRIVER, DEVICE},
		{SIZE, false, DESC, DRIVER + 1, DEVICE},
		{SIZE, false, DESC, DRIVER, DEVICE + 2},
		{SIZE, true, DESC + 8, DRIVER, DEVICE},
		{SIZE, true, DESC, DRIVER + 2, DEVICE},
		{SIZE, true, DESC, DRIVER, DEVICE + 2},
		{SIZE, false, 0, DRIVER, DEVICE},
		{SIZE, false, DESC, DEV, DEVICE},
		{SIZE, false, DESC, DRIVER, DEV},
		{SIZE, false, DESC, DRIVER, ROM},
		{SIZE, true, ROM, DRIVER, DEVICE},
		{SIZE, false, ROM - 16, DRIVER, DEVICE},
		{SIZE, false, ROM - SIZE * 16 + 16, DRIVER, DEVICE},
		{SIZE, false, DESC, ROM - 2 * SIZE - 4, DEVICE},
		{SIZE, false, DESC, DRIVER, ROM - 8 * SIZE - 4},
		{SIZE, false, ~0ull - 15, DRIVER, DEVICE},
		{SIZE, true, DESC, ~0ull - 3, DEVICE},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct virtq_config c = {.size = bad[i].size,
					 .packed = bad[i].packed,
					 .desc = bad[i].desc,
					 .driver = bad[i].driver,
					 .device = bad[i].device};
		struct alc_err err = {0};

		if (virtq_start(r->q, &c, &err) != -EINVAL)
			fail_msg("case %zu starts", i);
		assert_true(err.text[0]);
		assert_false(virtq_started(r->q));
		assert_int_equal(virtq_size(r->q), 0);
	}
	/* The last bytes of RAM will do. */
	r->cfg.desc = ROM - SIZE * 16;
	rig_start(r);
	r->cfg.desc = DESC;
	r->cfg.driver = ROM - 2 * SIZE - 6;
	rig_start(r);
	assert_int_equal(virtq_size(r->q), SIZE);
}

static void configuration_is_a_copy(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	put_split(r, 0, (struct d){DATA, 8, 0, 0});
	offer(r, 0);
	r->cfg = (struct virtq_config){.size = 0};
	assert_int_equal(virtq_size(r->q), SIZE);
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
}

static void a_stopped_queue_does_nothing(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	put_split(r, 0, (struct d){DATA, 8, WRITE, 0});
	offer(r, 0);
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	virtq_stop(r->q);
	assert_false(virtq_started(r->q));
	virtq_push(r->q, &r->c, 8);
	virtq_unpop(r->q, &r->c);
	virtq_release(r->q);
	assert_false(virtq_wants_signal(r->q));
	assert_false(virtq_notify_enable(r->q, true));
	assert_int_equal(virtq_pop(r->q, &r->c), 0);
	assert_int_equal(rd(r, DEVICE + 2, 2), 0);
	assert_int_equal(r->state.next_avail, 0);
}

/* ---- what the driver sees ---- */

static void held_chains_appear_at_once(void **state)
{
	struct rig *r = *state;
	struct virtq_chain c[3];
	struct alc_iov iov[3][1];

	for (unsigned packed = 0; packed < 2; packed++) {
		r->cfg.packed = packed;
		rig_start(r);
		for (unsigned i = 0; i < 3; i++) {
			put_desc(r, DESC + i * 16,
				 (struct d){DATA + i * 16, 16, WRITE | (packed ? AVAIL : 0),
					    packed ? (u16)i : 0});
			if (!packed)
				offer(r, (u16)i);
			c[i] = (struct virtq_chain){.iov = iov[i], .iov_max = 1};
			assert_int_equal(virtq_pop(r->q, &c[i]), 1);
		}
		for (unsigned i = 0; i < 3; i++)
			virtq_push_hold(r->q, &c[i], 4 + i);
		assert_false(virtq_wants_signal(r->q));
		if (packed)
			assert_int_equal(rd(r, DESC + 14, 2), AVAIL | WRITE);
		else
			assert_int_equal(rd(r, DEVICE + 2, 2), 0);
		virtq_release(r->q);
		assert_true(virtq_wants_signal(r->q));
		if (packed)
			assert_int_equal(rd(r, DESC + 14, 2), AVAIL | USED | WRITE);
		else
			assert_int_equal(rd(r, DEVICE + 2, 2), 3);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(packed ? rd(r, DESC + i * 16 + 8, 4)
						: rd(r, DEVICE + 8 + i * 8, 4),
					 4 + i);
		virtq_stop(r->q);
		memset(r->space.ram.base, 0, RAM_SIZE);
	}
}

static void writes_are_noted(void **state)
{
	struct rig *r = *state;
	u64 map[RAM_SIZE / ALC_PAGE_SIZE / 64];
	const struct alc_bank *bank = &r->space.banks[0];
	unsigned data = (DATA - RAM) / ALC_PAGE_SIZE, device = (DEVICE - RAM) / ALC_PAGE_SIZE;

	rig_start(r);
	/* Four pages; the third begins with the last byte that is written. */
	put_split(r, 0, (struct d){DATA, 16, NEXT, 1});
	put_split(r, 1, (struct d){DATA + 0x1000, 0x1000, NEXT | WRITE, 2});
	put_split(r, 2, (struct d){DATA + 0x2000, 0x2000, WRITE, 0});
	offer(r, 0);
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	space_take_dirty(&r->space, bank, map);
	virtq_push(r->q, &r->c, 0x1001);
	space_take_dirty(&r->space, bank, map);
	for (unsigned i = 0; i < RAM_SIZE / ALC_PAGE_SIZE; i++)
		assert_int_equal(map[i / 64] >> i % 64 & 1,
				 i == device || i == data + 1 || i == data + 2);
	/* Dropped chains write nothing but what they wrote. */
	offer(r, 0);
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	space_take_dirty(&r->space, bank, map);
	virtq_drop(r->q, &r->c, 1);
	space_take_dirty(&r->space, bank, map);
	for (unsigned i = 0; i < RAM_SIZE / ALC_PAGE_SIZE; i++)
		assert_int_equal(map[i / 64] >> i % 64 & 1, i == data + 1);
}

static void code_in_a_buffer_is_noticed(void **state)
{
	struct rig *r = *state;
	struct alc_span span;
	u32 gen;

	rig_start(r);
	assert_true(space_span(&r->space, gpa(DATA), 64, &span));
	gen = space_mark_code(&r->space, span.page, 0, 64);
	put_split(r, 0, (struct d){DATA, 16, WRITE, 1});
	offer(r, 0);
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	virtq_push(r->q, &r->c, 16);
	assert_int_not_equal(atomic_load(&span.page->gen), gen);
}

static void without_event_indices(void **state)
{
	struct rig *r = *state;

	rig_start(r);
	put_split(r, 0, (struct d){DATA, 8, 0, 0});
	assert_false(virtq_wants_signal(r->q)); /* for nothing */
	for (unsigned flag = 0; flag < 2; flag++) {
		wr(r, DRIVER, flag, 2);
		offer(r, 0);
		assert_int_equal(virtq_pop(r->q, &r->c), 1);
		virtq_push(r->q, &r->c, 0);
		assert_int_equal(virtq_wants_signal(r->q), !flag);
		assert_false(virtq_wants_signal(r->q));
	}
	assert_false(virtq_notify_enable(r->q, false));
	assert_int_equal(rd(r, DEVICE, 2), 1);
	offer(r, 0);
	assert_true(virtq_notify_enable(r->q, true));
	assert_int_equal(rd(r, DEVICE, 2), 0);
}

static void packed_event_suppression(void **state)
{
	struct rig *r = *state;

	r->cfg.packed = r->cfg.event_idx = true;
	rig_start(r);
	assert_false(virtq_notify_enable(r->q, false));
	assert_int_equal(rd(r, DEVICE, 4), 1u << 16);
	assert_false(virtq_notify_enable(r->q, true));
	assert_int_equal(rd(r, DEVICE, 4), 2u << 16 | 1 << 15);
	for (unsigned flags = 0; flags < 2; flags++) {
		wr(r, DRIVER + 2, flags, 2);
		put_desc(r, DESC + flags * 16, (struct d){DATA, 8, AVAIL, 0});
		assert_int_equal(virtq_pop(r->q, &r->c), 1);
		virtq_push(r->q, &r->c, 0);
		assert_int_equal(virtq_wants_signal(r->q), !flags);
	}
	/* A slot that does not exist. */
	wr(r, DRIVER, SIZE | 2u << 16, 4);
	put_desc(r, DESC + 32, (struct d){DATA, 8, AVAIL, 0});
	assert_int_equal(virtq_pop(r->q, &r->c), 1);
	virtq_push(r->q, &r->c, 0);
	assert_true(virtq_wants_signal(r->q));
}

/* ---- a random driver ---- */

enum { CHAIN_MAX = 6, STEPS = 6000 };

struct sent {
	struct d d[CHAIN_MAX];
	unsigned n;
	u16 id, slots;
	u16 taken[CHAIN_MAX]; /* split: slots of the descriptor area */
};

struct model {
	struct rig r;
	u64 rng;
	u16 size;
	/* Chains, in the order in which they were made available. */
	struct sent sent[1024];
	unsigned first, popped, end; /* numbers, modulo 1024 into sent */
	bool done[1024];
	/* Those that the device gave back, in that order. */
	struct {
		unsigned which;
		u32 written;
	} pushed[1024];
	unsigned push_end, push_seen;
	/* The driver's side of the rings. */
	bool slot_used[1024], id_used[1024];
	unsigned free;
	u16 avail; /* split: index; packed: slot */
	bool wrap;
	u64 slots_offered, slots_used; /* all that ever were: packed positions without laps */
	u64 last_kick_slots, signal_slots, signal_count;
	u16 last_kick_avail;
	bool parked; /* the device waits for a notification */
	struct virtq_chain chains[1024];
	struct alc_iov iov[1024][CHAIN_MAX];
};

static u64 rnd(struct model *m, u64 below)
{
	m->rng ^= m->rng << 13;
	m->rng ^= m->rng >> 7;
	m->rng ^= m->rng << 17;
	return (m->rng * 0x2545f4914f6cdd1dull >> 11) % below;
}

static u16 take_slot(struct model *m)
{
	u16 i = (u16)rnd(m, m->size);

	while (m->slot_used[i])
		i = (u16)((i + 1) % m->size);
	m->slot_used[i] = true;
	return i;
}

static void make_chain(struct model *m, struct sent *s)
{
	unsigned nout;

	s->n = 1 + (unsigned)rnd(m, CHAIN_MAX);
	nout = (unsigned)rnd(m, s->n + 1);
	for (unsigned i = 0; i < s->n; i++)
		s->d[i] = (struct d){DATA + rnd(m, 0x10000), 1 + (u32)rnd(m, 5000),
				     i < nout ? 0 : WRITE, 0};
}

/* How many of a chain's descriptors go into the ring; the rest into a table of `table`. */
static unsigned direct_part(struct model *m, const struct sent *s)
{
	if (m->r.cfg.indirect && rnd(m, 2))
		return m->r.cfg.packed ? 0 : (unsigned)rnd(m, s->n);
	return s->n;
}

static u64 fill_table(struct model *m, const struct sent *s, unsigned from)
{
	u64 at = TABLE + (m->end % 1024) * 16 * CHAIN_MAX;

	for (unsigned i = from; i < s->n; i++) {
		struct d d = s->d[i];

		if (i + 1 < s->n && !m->r.cfg.packed)
			d.flags |= NEXT;
		d.last = (u16)(i + 1 - from);
		put_desc(&m->r, at + (i - from) * 16, d);
	}
	return at;
}

static bool offer_split(struct model *m, struct sent *s)
{
	unsigned direct = direct_part(m, s), n = direct + (direct < s->n);

	if (n > m->free)
		return false;
	for (unsigned i = 0; i < n; i++)
		s->taken[i] = take_slot(m);
	for (unsigned i = 0; i < n; i++) {
		struct d d = s->d[i];

		if (i == direct)
			d = (struct d){fill_table(m, s, direct), 16 * (s->n - direct), INDIRECT, 0};
		else if (i + 1 < n)
			d.flags |= NEXT;
		d.last = i + 1 < n ? s->taken[i + 1] : (u16)rnd(m, 65536);
		put_split(&m->r, s->taken[i], d);
	}
	s->id = s->taken[0];
	s->slots = (u16)n;
	m->free -= n;
	wr(&m->r, DRIVER + 4 + 2 * (m->avail % m->size), s->id, 2);
	m->avail++;
	wr(&m->r, DRIVER + 2, m->avail, 2);
	return true;
}

static u16 lap_flags(bool wrap)
{
	return wrap ? AVAIL : USED;
}

static bool offer_packed(struct model *m, struct sent *s)
{
	unsigned direct = direct_part(m, s), n = direct + (direct < s->n);
	u16 at = m->avail, first_flags = 0;
	bool wrap = m->wrap;

	if (n > m->free)
		return false;
	do {
		s->id = (u16)rnd(m, 1024);
	} while (m->id_used[s->id]);
	m->id_used[s->id] = true;
	for (unsigned i = 0; i < n; i++) {
		struct d d = s->d[i];

		if (i == direct)
			d = (struct d){fill_table(m, s, direct), 16 * (s->n - direct), INDIRECT, 0};
		else if (i + 1 < n)
			d.flags |= NEXT;
		d.flags |= lap_flags(wrap);
		d.last = i + 1 < n ? (u16)rnd(m, 65536) : s->id;
		if (!i) {
			first_flags = d.flags;
			d.flags = (u16)rd(&m->r, DESC + at * 16u + 14, 2);
		}
		put_desc(&m->r, DESC + at * 16u, d);
		if (++at == m->size) {
			at = 0;
			wrap = !wrap;
		}
	}
	wr(&m->r, DESC + m->avail * 16u + 14, first_flags, 2);
	s->slots = (u16)n;
	m->free -= n;
	m->avail = at;
	m->wrap = wrap;
	return true;
}

/* Would a driver that follows the specification notify for what it added since it last asked? */
static bool kick_needed(struct model *m)
{
	struct rig *r = &m->r;
	u32 event;

	if (!r->cfg.packed) {
		u16 at = (u16)rd(r, DEVICE + 4 + 8u * m->size, 2);

		if (!r->cfg.event_idx)
			return !(rd(r, DEVICE, 2) & 1);
		for (u16 i = m->last_kick_avail; i != m->avail; i++)
			if (i == at)
				return true;
		return false;
	}
	event = (u32)rd(r, DEVICE, 4);
	if (event >> 16 != 2)
		return event >> 16 == 0;
	for (u64 i = m->last_kick_slots; i < m->slots_offered; i++)
		if (i % m->size == (event & 0x7fff) && (i / m->size % 2 == 0) == !!(event & 0x8000))
			return true;
	return false;
}

static void driver_kicks(struct model *m)
{
	if (kick_needed(m))
		m->parked = false;
	m->last_kick_avail = m->avail;
	m->last_kick_slots = m->slots_offered;
	if (m->parked && m->popped != m->end)
		fail_msg("chains wait, and nobody told the device");
}

/* Chains that the model must still know, from the oldest on. */
static unsigned remembered(const struct model *m)
{
	unsigned most = m->end - m->first;

	for (unsigned i = m->push_seen; i != m->push_end; i++)
		if (m->end - m->pushed[i % 1024].which > most)
			most = m->end - m->pushed[i % 1024].which;
	return most;
}

static void driver_adds(struct model *m)
{
	for (u64 n = 1 + rnd(m, 4); n-- && remembered(m) < 1000;) {
		struct sent *s = &m->sent[m->end % 1024];

		make_chain(m, s);
		if (!(m->r.cfg.packed ? offer_packed(m, s) : offer_split(m, s)))
			break;
		m->slots_offered += s->slots;
		m->end++;
	}
	driver_kicks(m);
}

static void driver_frees(struct model *m, const struct sent *s)
{
	m->free += s->slots;
	m->id_used[s->id] = false;
	if (!m->r.cfg.packed)
		for (unsigned i = 0; i < s->slots; i++)
			m->slot_used[s->taken[i]] = false;
}

/* The next used element, as the driver finds it. */
static bool driver_sees(struct model *m, u16 *id, u32 *len)
{
	struct rig *r = &m->r;
	u64 at = DESC + (m->slots_used % m->size) * 16;
	bool lap = m->slots_used / m->size % 2 == 0;
	u16 flags;

	if (!r->cfg.packed) {
		if ((u16)rd(r, DEVICE + 2, 2) == (u16)m->push_seen)
			return false;
		at = DEVICE
		+4 + 8 * (m->push_seen % m->size);
		*id = (u16)rd(r, at, 4);
		*len = (u32)rd(r, at + 4, 4);
		return true;
	}
	flags = (u16)rd(r, at + 14, 2);
	if (!!(flags & USED) != lap || !!(flags & AVAIL) != lap)
		return false;
	*id = (u16)rd(r, at + 12, 2);
	*len = flags & WRITE ? (u32)rd(r, at + 8, 4) : 0;
	return true;
}

static void driver_collects(struct model *m)
{
	u32 len = 0;
	u16 id = 0;

	while (driver_sees(m, &id, &len)) {
		unsigned which = m->pushed[m->push_seen % 1024].which;
		const struct sent *s = &m->sent[which % 1024];

		assert_true(m->push_seen != m->push_end);
		assert_int_equal(id, s->id);
		assert_int_equal(len, m->pushed[m->push_seen % 1024].written);
		m->slots_used += s->slots;
		driver_frees(m, s);
		m->push_seen++;
	}
	assert_int_equal(m->push_seen, m->push_end);
}

static void assert_chain(struct model *m, const struct virtq_chain *c, const struct sent *s)
{
	unsigned nout = 0;

	assert_int_equal(c->nout + c->nin, s->n);
	for (unsigned i = 0; i < s->n; i++) {
		struct alc_span span;

		assert_true(space_span(&m->r.space, gpa(s->d[i].addr), s->d[i].len, &span));
		assert_ptr_equal(c->iov[i].base, span.hva);
		assert_int_equal(c->iov[i].len, s->d[i].len);
		nout += !(s->d[i].flags & WRITE);
	}
	assert_int_equal(c->nout, nout);
	assert_true(c->out_len == iov_len(c->iov, c->nout));
	assert_true(c->in_len == iov_len(c->iov + c->nout, c->nin));
}

static bool device_pops(struct model *m)
{
	unsigned at = m->popped % 1024;
	struct virtq_chain *c = &m->chains[at];
	int rc;

	*c = (struct virtq_chain){.iov = m->iov[at], .iov_max = CHAIN_MAX};
	rc = virtq_pop(m->r.q, c);
	assert_int_equal(rc, m->popped != m->end);
	if (!rc)
		return false;
	assert_chain(m, c, &m->sent[at]);
	if (!rnd(m, 8)) {
		virtq_unpop(m->r.q, c);
		return true;
	}
	m->done[at] = false;
	m->popped++;
	return true;
}

/* Until there is nothing, or not that far; sometimes with notifications off meanwhile. */
static void device_works(struct model *m)
{
	bool quiet = rnd(m, 2), more = true;

	if (m->parked)
		return;
	if (quiet)
		virtq_notify_enable(m->r.q, false);
	for (u64 n = rnd(m, 6); n-- && more;)
		more = device_pops(m);
	if (quiet)
		m->parked = !virtq_notify_enable(m->r.q, true);
	else
		m->parked = !more;
	assert_true(!m->parked || m->popped == m->end);
}

static void push_one(struct model *m, unsigned which, bool hold)
{
	struct virtq_chain *c = &m->chains[which % 1024];
	u32 written = c->in_len ? (u32)rnd(m, c->in_len + 1) : 0;

	m->done[which % 1024] = true;
	m->pushed[m->push_end % 1024].which = which;
	m->pushed[m->push_end % 1024].written = written;
	m->push_end++;
	if (hold)
		virtq_push_hold(m->r.q, c, written);
	else
		virtq_push(m->r.q, c, written);
	while (m->first != m->popped && m->done[m->first % 1024])
		m->first++;
}

static u64 slots_pushed(const struct model *m)
{
	u64 n = m->slots_used;

	for (unsigned i = m->push_seen; i != m->push_end; i++)
		n += m->sent[m->pushed[i % 1024].which % 1024].slots;
	return n;
}

/* By brute force: is the event among what was pushed since the last question? */
static bool signal_expected(struct model *m, u64 slots)
{
	struct rig *r = &m->r;
	u32 event;

	if (m->signal_count == m->push_end)
		return false;
	if (!r->cfg.packed) {
		u16 at = (u16)rd(r, DRIVER + 4 + 2u * m->size, 2);

		if (!r->cfg.event_idx)
			return !(rd(r, DRIVER, 2) & 1);
		for (u64 i = m->signal_count; i < m->push_end; i++)
			if ((u16)i == at)
				return true;
		return false;
	}
	event = (u32)rd(r, DRIVER, 4);
	if (event >> 16 != 2)
		return event >> 16 == 0;
	for (u64 i = m->signal_slots; i < slots; i++)
		if (i % m->size == (event & 0x7fff) && (i / m->size % 2 == 0) == !!(event & 0x8000))
			return true;
	return false;
}

static void driver_suppresses(struct model *m)
{
	struct rig *r = &m->r;
	u64 at = m->slots_used + rnd(m, 2u * m->size);

	if (!r->cfg.packed) {
		wr(r, DRIVER, rnd(m, 2), 2);
		wr(r, DRIVER + 4 + 2u * m->size, m->push_seen + rnd(m, 6) - 2, 2);
		return;
	}
	wr(r, DRIVER, at % m->size | (at / m->size % 2 ? 0 : 0x8000), 2);
	wr(r, DRIVER + 2, rnd(m, r->cfg.event_idx ? 3 : 2), 2);
}

static void device_pushes(struct model *m)
{
	bool hold = rnd(m, 2);
	u64 slots;

	driver_suppresses(m);
	for (u64 n = 1 + rnd(m, 4); n-- && m->first != m->popped;) {
		unsigned which = m->first + (unsigned)rnd(m, m->popped - m->first);

		if (!m->done[which % 1024])
			push_one(m, which, hold);
	}
	virtq_release(m->r.q);
	slots = slots_pushed(m);
	assert_int_equal(virtq_wants_signal(m->r.q), signal_expected(m, slots));
	m->signal_slots = slots;
	m->signal_count = m->push_end;
}

/* Another queue goes on from what the state table has. */
static void device_moves(struct model *m)
{
	struct rig *r = &m->r;
	struct virtq_state saved = r->state;

	if (m->first != m->popped)
		return;
	virtq_destroy(r->q);
	assert_int_equal(virtq_create(&r->th.host, &r->space, &r->state, &r->q), 0);
	r->state = saved;
	assert_int_equal(virtq_check(r->q, &r->cfg, NULL), 0);
	virtq_resume(r->q, &r->cfg);
	m->parked = false;
}

static void run_model(struct model *m, u64 seed)
{
	static const u16 sizes[] = {1, 2, 4, 8, 16, 64, 256, 1024};

	rig_open(&m->r);
	m->rng = seed * 0x9e3779b97f4a7c15ull | 1;
	m->r.cfg.packed = rnd(m, 2);
	m->r.cfg.indirect = rnd(m, 2);
	m->r.cfg.event_idx = rnd(m, 2);
	m->size = m->r.cfg.packed ? (u16)(1 + rnd(m, 40)) : sizes[rnd(m, ARRAY_LEN(sizes))];
	m->r.cfg.size = m->size;
	m->free = m->size;
	m->wrap = true;
	rig_start(&m->r);
	for (unsigned i = 0; i < STEPS; i++) {
		u64 what = rnd(m, 64);

		if (what < 20)
			driver_adds(m);
		else if (what < 40)
			device_works(m);
		else if (what < 58)
			device_pushes(m);
		else if (what < 63)
			driver_collects(m);
		else
			device_moves(m);
	}
	rig_close(&m->r);
}

static void random_drivers(void **state)
{
	const char *text = getenv("ALCAZAR_SEED");
	u64 seed = text ? strtoull(text, NULL, 0) : (u64)time(NULL);
	unsigned rounds = text ? 1 : 60;

	for (unsigned i = 0; i < rounds; i++) {
		struct model *m = calloc(1, sizeof(*m));

		assert_non_null(m);
		print_message("ALCAZAR_SEED=%llu\n", (unsigned long long)(seed + i));
		run_model(m, seed + i);
		free(m);
	}
}

/* ---- snapshots ---- */

static void positions_are_checked(void **state)
{
	static const struct {
		bool packed;
		struct virtq_state s;
	} bad[] = {
		{false, {.next_avail = SIZE + 1}},
		{false, {.next_avail = 3, .next_used = 4}},
		{false, {.avail_wrap = 1}},
		{false, {.used_wrap = 1}},
		{false, {.signalled_wrap = 1}},
		{false, {.broken = 2}},
		{true, {.next_avail = SIZE}},
		{true, {.next_used = SIZE}},
		{true, {.signalled = SIZE}},
		{true, {.avail_wrap = 2}},
		{true, {.used_wrap = 2}},
		{true, {.signalled_wrap = 0x100}},
		{true, {.next_avail = 3, .next_used = 4, .avail_wrap = 1, .used_wrap = 1}},
		{true, {.next_avail = 4, .next_used = 3, .avail_wrap = 0, .used_wrap = 1}},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct alc_err err = {0};

		r->cfg.packed = bad[i].packed;
		r->state = bad[i].s;
		assert_int_equal(virtq_check(r->q, &r->cfg, &err), -EINVAL);
		assert_true(err.text[0]);
	}
	r->cfg.packed = false;
	r->state = (struct virtq_state){.next_avail = 3, .next_used = 65533};
	assert_int_equal(virtq_check(r->q, &r->cfg, NULL), 0);
	r->cfg.desc = DEV;
	assert_int_equal(virtq_check(r->q, &r->cfg, NULL), -EINVAL);
}

static void chains_in_flight_come_again(void **state)
{
	struct rig *r = *state;

	for (unsigned packed = 0; packed < 2; packed++) {
		r->cfg.packed = packed;
		rig_start(r);
		put_desc(r, DESC, (struct d){DATA, 8, packed ? AVAIL : 0, 0});
		if (!packed)
			offer(r, 0);
		assert_int_equal(virtq_pop(r->q, &r->c), 1);
		assert_int_equal(virtq_check(r->q, &r->cfg, NULL), 0);
		virtq_resume(r->q, &r->cfg);
		assert_int_equal(virtq_pop(r->q, &r->c), 1);
		assert_int_equal(r->c.iov[0].len, 8);
		virtq_stop(r->q);
		memset(r->space.ram.base, 0, RAM_SIZE);
	}
}

static int create_failing(const struct alc_host *host)
{
	struct virtq_state s = {0};
	struct virtq *q = NULL;
	int rc = virtq_create(host, NULL, &s, &q);

	virtq_destroy(q);
	return rc;
}

static void creation_may_fail(void **state)
{
	struct rig *r = *state;
	size_t before = test_host_leaks(&r->th);

	r->th.fail_nth = r->th.calls + 1;
	assert_int_equal(create_failing(&r->th.host), -ENOMEM);
	assert_int_equal(create_failing(&r->th.host), 0);
	assert_int_equal(test_host_leaks(&r->th), before);
	virtq_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules),
		cmocka_unit_test(indirect_only_if_agreed_on),
		TEST(total_of_more_than_4_gib),
		TEST(a_table_may_be_longer_than_the_queue),
		TEST(more_pieces_than_there_is_room_for),
		TEST(chain_as_long_as_the_queue),
		TEST(head_is_no_slot),
		TEST(avail_index_runs_ahead),
		TEST(packed_wrap_counters),
		TEST(packed_ring_overrun),
		TEST(areas_are_checked),
		TEST(configuration_is_a_copy),
		TEST(a_stopped_queue_does_nothing),
		TEST(held_chains_appear_at_once),
		TEST(writes_are_noted),
		TEST(code_in_a_buffer_is_noticed),
		TEST(without_event_indices),
		TEST(packed_event_suppression),
		cmocka_unit_test(random_drivers),
		TEST(positions_are_checked),
		TEST(chains_in_flight_come_again),
		TEST(creation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
