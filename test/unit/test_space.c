/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "alcazar/vm.h"
#include "base/errno.h"
#include "host/test/sweep.h"
#include "mem/space.h"

/* A device that remembers its last access and reads as the offset of each byte plus one. */
struct scratch {
	unsigned reads, writes, size;
	u64 off, val;
};

static u64 scratch_read(void *ctx, u64 off, unsigned size)
{
	struct scratch *d = ctx;
	u64 v = 0;

	d->reads++;
	d->off = off;
	d->size = size;
	for (unsigned i = 0; i < size; i++)
		v |= ((off + i + 1) & 0xff) << (8 * i);
	return v | ~mask_low(8 * size); /* the upper bits are the map's to cut off */
}

static void scratch_write(void *ctx, u64 off, u64 val, unsigned size)
{
	struct scratch *d = ctx;

	d->writes++;
	d->off = off;
	d->val = val;
	d->size = size;
}

static struct alc_region region(const char *name, u64 base, u64 size, struct scratch *d)
{
	return (struct alc_region){name, base, size, scratch_read, scratch_write, d};
}

struct rig {
	struct test_host th;
	struct alc_space s;
	struct scratch dev, top;
};

enum { RAM_A = 0, RAM_A_SIZE = 0x4000, RAM_B = 0x10000, RAM_B_SIZE = 0x3000 };
enum { ROM = 0x4000, ROM_SIZE = 0x1000, DEV = 0x13000, DEV_SIZE = 0x10 };

static int setup(void **state)
{
	static struct rig r;
	struct alc_region dev = region("dev", DEV, DEV_SIZE, &r.dev);
	struct alc_region top = region("top", UINT64_MAX - 1, 2, &r.top);

	memset(&r, 0, sizeof(r));
	test_host_init(&r.th, TEST_TIME_MANUAL);
	assert_int_equal(space_init(&r.s, &r.th.host, 0x9000, NULL), 0);
	assert_int_equal(space_add_bank(&r.s, gpa(RAM_A), RAM_A_SIZE, false, NULL), 0);
	assert_int_equal(space_add_bank(&r.s, gpa(RAM_B), RAM_B_SIZE, false, NULL), 0);
	assert_int_equal(space_add_bank(&r.s, gpa(ROM), ROM_SIZE, true, NULL), 0);
	assert_int_equal(space_add_device(&r.s, &dev, NULL), 0);
	assert_int_equal(space_add_device(&r.s, &top, NULL), 0);
	*state = &r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	space_fini(&r->s);
	space_fini(&r->s);
	assert_int_equal(test_host_leaks(&r->th), 0);
	test_host_fini(&r->th);
	return 0;
}

static void accesses_of_any_size_and_alignment(void **state)
{
	static const u64 pattern = 0x8877665544332211;
	struct rig *r = *state;

	for (unsigned size = 1; size <= 8; size *= 2)
		for (u64 a = 0xff0; a < 0x1010; a++) {
			space_write(&r->s, gpa(a), ~0ull, 8);
			space_write(&r->s, gpa(a), pattern, size);
			assert_true(space_read(&r->s, gpa(a), size) == zext(pattern, size));
			assert_true(space_read(&r->s, gpa(a), 8) ==
				    (zext(pattern, size) | ~mask_low(8 * size)));
		}
}

static void access_over_a_page_end_dirties_both(void **state)
{
	struct rig *r = *state;
	u64 map = 0;

	space_write(&r->s, gpa(0x1ffe), 0x11223344, 4);
	space_take_dirty(&r->s, &r->s.banks[0], &map);
	assert_int_equal(map, 0x6);
	space_write(&r->s, gpa(0x1000), 1, 8);
	space_take_dirty(&r->s, &r->s.banks[0], &map);
	assert_int_equal(map, 0x2);
	space_take_dirty(&r->s, &r->s.banks[0], &map);
	assert_int_equal(map, 0);
}

static void access_over_a_bank_end(void **state)
{
	struct rig *r = *state;

	/* RAM, then ROM. */
	space_write(&r->s, gpa(ROM - 2), 0x44332211, 4);
	assert_int_equal(space_read(&r->s, gpa(ROM - 2), 4), 0x2211);
	/* RAM, then a device. */
	space_write(&r->s, gpa(DEV - 1), 0xbbaa, 2);
	assert_int_equal(r->dev.writes, 1);
	assert_int_equal(r->dev.val, 0xbb);
	assert_int_equal(space_read(&r->s, gpa(DEV - 1), 2), 0x01aa);
	/* Nothing, then RAM. */
	space_write(&r->s, gpa(RAM_B - 2), 0x44332211, 4);
	assert_int_equal(space_read(&r->s, gpa(RAM_B), 2), 0x4433);
	assert_int_equal(space_read(&r->s, gpa(RAM_B - 2), 4), 0x4433ffff);
}

static void nothing_reads_as_ones(void **state)
{
	struct rig *r = *state;

	for (unsigned size = 1; size <= 8; size *= 2)
		assert_true(space_read(&r->s, gpa(0x8000), size) == mask_low(8 * size));
	space_write(&r->s, gpa(0x8000), 0, 8);
}

static void addresses_do_not_wrap(void **state)
{
	struct rig *r = *state;
	u8 buf[16] = {0};

	space_write(&r->s, gpa(0), 0x5a, 1);
	space_write(&r->s, gpa(UINT64_MAX), 0, 4);
	assert_int_equal(r->top.writes, 1);
	assert_int_equal(space_read(&r->s, gpa(0), 1), 0x5a);
	assert_true(space_read(&r->s, gpa(UINT64_MAX), 4) == 0xffffff02);
	assert_int_equal(space_read(&r->s, gpa(UINT64_MAX - 1), 2), 0x0201);
	assert_int_equal(space_copy_in(&r->s, gpa(UINT64_MAX - 3), buf, 8), -EFAULT);
	assert_int_equal(space_copy_in(&r->s, gpa(1), buf, UINT64_MAX), -EFAULT);
	assert_int_equal(space_copy_out(&r->s, gpa(UINT64_MAX), buf, 2), -EFAULT);
}

static void rom_swallows_writes(void **state)
{
	static const u8 image[4] = {1, 2, 3, 4};
	struct rig *r = *state;
	struct alc_span span;

	assert_int_equal(space_load(&r->s, gpa(ROM), image, 4), 0);
	space_write(&r->s, gpa(ROM), 0, 4);
	assert_int_equal(space_read(&r->s, gpa(ROM), 4), 0x04030201);
	assert_int_equal(space_copy_out(&r->s, gpa(ROM), image, 4), -EFAULT);
	assert_true(space_span(&r->s, gpa(ROM + 0xffe), 8, &span));
	assert_true(span.rom && span.len == 2);
	assert_true(span.page->flags & PAGE_ROM);
}

static void copies_are_all_or_nothing(void **state)
{
	struct rig *r = *state;
	u8 in[64], out[64];

	memset(in, 0x77, sizeof(in));
	/* The bank before ROM ends inside. */
	assert_int_equal(space_copy_out(&r->s, gpa(ROM - 32), in, 64), -EFAULT);
	assert_int_equal(space_read(&r->s, gpa(ROM - 32), 8), 0);
	assert_int_equal(space_load(&r->s, gpa(ROM - 32), in, 64), 0);
	assert_int_equal(space_copy_in(&r->s, gpa(ROM - 32), out, 64), 0);
	assert_memory_equal(in, out, 64);
	memset(out, 0, sizeof(out));
	assert_int_equal(space_copy_in(&r->s, gpa(ROM + ROM_SIZE - 32), out, 64), -EFAULT);
	assert_int_equal(out[0], 0);
	assert_int_equal(space_copy_in(&r->s, gpa(0x8000), out, 1), -EFAULT);
	assert_int_equal(space_copy_in(&r->s, gpa(0x8000), out, 0), 0);
}

static void banks_and_regions_refused(void **state)
{
	static const struct {
		u64 base, size;
		int rc;
	} banks[] = {
		{0x20000, 0, -EINVAL},           {0x20001, 0x1000, -EINVAL},
		{0x20000, 0x1001, -EINVAL},      {UINT64_MAX - 0xfff, 0x2000, -EINVAL},
		{0x20000, 0x2000, -ENOSPC},      {RAM_A + 0x3000, 0x1000, -EEXIST},
		{DEV & ~0xfff, 0x1000, -EEXIST},
	};
	static const struct {
		u64 base, size;
		int rc;
	} regions[] = {
		{0x30000, 0, -EINVAL},      {UINT64_MAX, 2, -EINVAL}, {DEV + 15, 1, -EEXIST},
		{DEV - 1, 2, -EEXIST},      {RAM_B - 1, 2, -EEXIST},  {0x12fff, 1, -EEXIST},
		{0x5000, 0x10000, -EEXIST}, {0x5000, 0xb000, 0},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(banks); i++) {
		struct alc_err err = {0};

		assert_int_equal(
			space_add_bank(&r->s, gpa(banks[i].base), banks[i].size, false, &err),
			banks[i].rc);
		assert_int_equal(err.code, banks[i].rc);
	}
	for (size_t i = 0; i < ARRAY_LEN(regions); i++) {
		struct alc_region g = region("more", regions[i].base, regions[i].size, &r->dev);
		struct alc_err err = {0};

		assert_int_equal(space_add_device(&r->s, &g, &err), regions[i].rc);
		assert_int_equal(err.code, regions[i].rc);
	}
}

static void region_map_splits_and_finds(void **state)
{
	struct rig *r = *state;
	struct scratch dev[40] = {{0}};
	struct region_map m;

	region_map_init(&m, &r->th.host);
	for (size_t i = 0; i < 40; i++) { /* shuffled; grows twice */
		struct alc_region g = region("port", (i * 7 % 40) * 4, 2, &dev[i * 7 % 40]);

		assert_int_equal(region_add(&m, &g, NULL), 0);
	}
	for (u64 a = 0; a < 160; a++) {
		const struct alc_region *g = region_find(&m, a);

		assert_true(a % 4 < 2 ? g && g->base == a / 4 * 4 : !g);
	}
	assert_null(region_find(&m, 160));
	for (u64 base = 1; base < 160; base += 4) { /* one byte too long at either end */
		struct alc_region low = region("more", base, 2, &dev[0]);
		struct alc_region high = region("more", base + 1, 3, &dev[0]);

		assert_int_equal(region_add(&m, &low, NULL), -EEXIST);
		assert_int_equal(region_add(&m, &high, NULL), base + 3 < 160 ? -EEXIST : 0);
	}
	assert_int_equal(region_read(&m, 4, 2), 0x0201);
	assert_true(region_read(&m, 4, 4) == 0xffff0201);
	assert_true(region_read(&m, 3, 8) == 0xff0201ffff0201ffull);
	region_write(&m, 9, 0x44332211, 4);
	assert_int_equal(dev[2].val, 0x11);
	assert_int_equal(dev[3].val, 0x44);
	assert_int_equal(dev[3].size, 1);
	assert_int_equal(dev[2].writes + dev[3].writes, 2);
	region_map_fini(&m);
}

static void only_hits_change_the_generation(void **state)
{
	struct rig *r = *state;
	struct alc_page *p = &r->s.banks[0].pages[1];
	u32 gen = space_mark_code(&r->s, p, 0x40, 0x41); /* lines 1 and 2 */

	assert_int_equal(p->code_lines, 0x6);
	space_write(&r->s, gpa(0x1000), 1, 8);
	space_write(&r->s, gpa(0x10c0), 1, 8);
	assert_int_equal(p->gen, gen);
	assert_int_equal(p->flags, PAGE_DIRTY | PAGE_CODE);
	space_write(&r->s, gpa(0x10bf), 1, 1);
	assert_int_not_equal(p->gen, gen);
	assert_int_equal(p->flags, PAGE_DIRTY);
	assert_int_equal(p->code_lines, 0);

	gen = space_mark_code(&r->s, p, 0xfff, 1);
	assert_int_equal(gen, p->gen);
	assert_int_equal(p->code_lines, 1ull << 63);
	space_write(&r->s, gpa(0x1ffc), 1, 8); /* into the next page */
	assert_int_not_equal(p->gen, gen);
	gen = space_mark_code(&r->s, p, 0, ALC_PAGE_SIZE);
	assert_true(p->code_lines == UINT64_MAX);
	assert_int_equal(space_copy_out(&r->s, gpa(0x1800), "x", 1), 0);
	assert_int_not_equal(p->gen, gen);
}

/*
 * Writers store ever larger numbers, each in a line of its own, and tell afterwards how far they
 * are; decoders mark, read and check: while the generation is the one they were given, the bytes
 * they read must be no older than what a writer had told before the check.
 */
enum { WRITERS = 2, DECODERS = 2, ROUNDS = 20000 };

struct stress {
	struct alc_space *s;
	struct alc_page *page;
	_Atomic(u64) told[WRITERS];
	atomic_uint readers_left, next_id, stale;
};

static void stress_writer(void *arg)
{
	struct stress *st = arg;
	unsigned id = atomic_fetch_add(&st->next_id, 1);

	/* On past the last decoder's last mark, so that it must have been hit. */
	for (bool last = false; !last;) {
		u64 n = st->told[id] + 1;

		last = !st->readers_left;
		space_write(st->s, gpa(0x1000 + 64 * id), n, 8);
		atomic_store_explicit(&st->told[id], n, memory_order_release);
	}
}

static void stress_decoder(void *arg)
{
	struct stress *st = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned id = i % WRITERS;
		u32 gen = space_mark_code(st->s, st->page, 64 * id, 8);
		u64 seen = ld64(st->s->banks[0].hva + 0x1000 + 64 * id);

		for (int look = 0; look < 8; look++) {
			u64 told = atomic_load(&st->told[id]);

			if (atomic_load(&st->page->gen) == gen && told > seen)
				st->stale++;
		}
	}
	st->readers_left--;
}

static void run_stress(struct rig *r)
{
	struct stress st = {.s = &r->s, .page = &r->s.banks[0].pages[1], .readers_left = DECODERS};
	struct alc_thread *threads[WRITERS + DECODERS];
	const struct alc_host *h = &r->th.host;

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(h->thread_start(h->ctx, "stress",
						 i < WRITERS ? stress_writer : stress_decoder, &st,
						 &threads[i]),
				 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		h->thread_join(h->ctx, threads[i]);
	assert_int_equal(st.stale, 0);
	assert_int_not_equal(st.page->gen, 0);
}

static void no_decoder_believes_stale_bytes(void **state)
{
	run_stress(*state);
}

/* A taker must find what it was told of in its log or in the logs before. */
static void dirty_log_loses_nothing(void **state)
{
	struct rig *r = *state;
	struct stress st = {.s = &r->s, .readers_left = 1};
	const struct alc_host *h = &r->th.host;
	struct alc_thread *t;
	u64 map, copy = 0;

	assert_int_equal(h->thread_start(h->ctx, "writer", stress_writer, &st, &t), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		u64 told = atomic_load(&st.told[0]);

		space_take_dirty(&r->s, &r->s.banks[0], &map);
		if (map & 2)
			copy = ld64(r->s.banks[0].hva + 0x1000);
		if (copy < told)
			st.stale++;
	}
	st.readers_left--;
	h->thread_join(h->ctx, t);
	assert_int_equal(st.stale, 0);
}

static int make_space(const struct alc_host *host, void *arg, struct alc_err *err)
{
	struct scratch d = {0};
	struct alc_region g = region("dev", 0x100000, 16, &d);
	struct alc_space s;
	int rc = space_init(&s, host, 0x4000, err);

	if (!rc)
		rc = space_add_bank(&s, gpa(0), 0x3000, false, err);
	if (!rc)
		rc = space_add_bank(&s, gpa(0xf0000), 0x1000, true, err);
	if (!rc)
		rc = space_add_device(&s, &g, err);
	space_fini(&s);
	return rc;
}

static void space_sweep(void **state)
{
	const struct sweep s = {.run = make_space, .has_err = true};

	assert_int_equal(sweep(&s), 4);
}

#define WITH_RIG(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RIG(accesses_of_any_size_and_alignment),
		WITH_RIG(access_over_a_page_end_dirties_both),
		WITH_RIG(access_over_a_bank_end),
		WITH_RIG(nothing_reads_as_ones),
		WITH_RIG(addresses_do_not_wrap),
		WITH_RIG(rom_swallows_writes),
		WITH_RIG(copies_are_all_or_nothing),
		WITH_RIG(banks_and_regions_refused),
		WITH_RIG(region_map_splits_and_finds),
		WITH_RIG(only_hits_change_the_generation),
		WITH_RIG(no_decoder_believes_stale_bytes),
		WITH_RIG(dirty_log_loses_nothing),
		cmocka_unit_test(space_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
