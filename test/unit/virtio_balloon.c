/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdatomic.h>
#include <sys/stat.h>

#include "virtio_driver.h"

#include "base/errno.h"
#include "virtio/balloon.h"

/* Against virtio 1.2, 5.5; how much memory there is says the object that RAM is made of. */
extern const struct alc_dev_class virtio_balloon_class;

enum { F_STATS = 2, F_DEFLATE_ON_OOM = 4, F_POISON = 16, F_REPORTING = 32 };
enum { INFLATE, DEFLATE, STATS, FREE_PAGE, REPORTING };
enum { PAGE = 4096, PAGES = 64, AREA = VD_DATA };

static int setup(void **state)
{
	static const struct alc_dev_opt opts[] = {{"size", "0x10000"}};
	struct vd *d = malloc(sizeof(*d));

	assert_non_null(d);
	vd_init(d);
	vd_create(d, &virtio_balloon_class, opts, 1);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	vd_fini(*state);
	free(*state);
	return 0;
}

/* Pages of [AREA, AREA + PAGES) that hold their mark, as a bit each. */
static u64 marked(struct vd *d)
{
	u64 map = 0;

	for (unsigned i = 0; i < PAGES; i++)
		map |= (u64)(ld32(vd_mem(d, AREA + i * PAGE)) == 0xabcd0000 + i &&
			     ld32(vd_mem(d, AREA + i * PAGE + PAGE - 4)) == i)
		       << i;
	return map;
}

static void mark(struct vd *d)
{
	for (unsigned i = 0; i < PAGES; i++) {
		st32(vd_mem(d, AREA + i * PAGE), 0xabcd0000 + i);
		st32(vd_mem(d, AREA + i * PAGE + PAGE - 4), i);
	}
	assert_true(marked(d) == ~0ull);
}

static u64 host_bytes(struct vd *d)
{
	struct stat st;

	assert_int_equal(fstat(d->space.ram.fd, &st), 0);
	return (u64)st.st_blocks * 512;
}

/* Page numbers, by way of a buffer outside the area; n of them to the queue. */
static void send_pfns(struct vd *d, unsigned queue, const u32 *pfns, unsigned n)
{
	const struct vd_buf bufs[] = {{VD_RAM + 0x100000, 4, false},
				      {VD_RAM + 0x100004, (n - 1) * 4, false}};

	for (unsigned i = 0; i < n; i++)
		st32(vd_mem(d, VD_RAM + 0x100000 + 4 * i), pfns[i]);
	vd_add(d, queue, bufs, n > 1 ? 2 : 1);
	vd_kick(d, queue);
	assert_int_equal(vd_done(d, queue), 0);
}

static void inflating_gives_memory_back(void **state)
{
	const u32 first = AREA / PAGE;
	const u32 pfns[] = {first + 1, first + 2, first + 3, /* up */
			    first + 9, first + 8, first + 7, /* down */
			    first + 20};
	struct vd *d = *state;
	struct virtio_balloon_info info;
	u64 before;

	vd_up(d, ~0ull, 5);
	mark(d);
	st32(vd_mem(d, VD_RAM + 0x100000), 1); /* where their numbers will stand */
	before = host_bytes(d);
	send_pfns(d, INFLATE, pfns, 7);
	assert_int_equal(before - host_bytes(d), 7 * PAGE);
	assert_true(marked(d) == ~(0xeull | 0x380ull | 1ull << 20));
	virtio_balloon_info(d->dev, &info);
	assert_int_equal(info.returned, 7 * PAGE);
	assert_int_equal(ld64(vd_mem(d, AREA + PAGE)), 0);
	/* They are simply there again. */
	mark(d);
	send_pfns(d, DEFLATE, pfns, 7);
	assert_true(marked(d) == ~0ull);
}

static void pages_that_are_no_ram(void **state)
{
	const u32 pfns[] = {0,          VD_RAM / PAGE - 1, (VD_RAM + VD_RAM_SIZE) / PAGE,
			    0xffffffff, 0xc0000,           AREA / PAGE + 5};
	struct vd *d = *state;

	vd_up(d, ~0ull, 5);
	mark(d);
	send_pfns(d, INFLATE, pfns, ARRAY_LEN(pfns));
	assert_true(marked(d) == ~0x20ull);
	assert_false(vd_get(d, R_STATUS, 1) & S_NEEDS_RESET);
}

static void many_pages_in_one_chain(void **state)
{
	const struct vd_buf buf = {VD_RAM + 0x100000, 600 * 4, false};
	struct vd *d = *state;

	vd_up(d, ~0ull, 5);
	mark(d);
	for (unsigned i = 0; i < 600; i++)
		st32(vd_mem(d, VD_RAM + 0x100000 + 4 * i), AREA / PAGE + i % PAGES);
	vd_add(d, INFLATE, &buf, 1);
	vd_kick(d, INFLATE);
	assert_int_equal(vd_done(d, INFLATE), 0);
	assert_int_equal(marked(d), 0);
}

static void watchers_hear_of_it(void **state)
{
	const u32 pfn = AREA / PAGE + 3;
	struct vd *d = *state;
	u64 map[VD_RAM_SIZE / PAGE / 64];
	unsigned page = (AREA - VD_RAM) / PAGE + 3;
	struct alc_span span;
	u32 gen;

	vd_up(d, ~0ull, 5);
	assert_true(space_span(&d->space, gpa(AREA + 3 * PAGE), PAGE, &span));
	gen = space_mark_code(&d->space, span.page, 0, 16);
	space_take_dirty(&d->space, &d->space.banks[0], map);
	send_pfns(d, INFLATE, &pfn, 1);
	assert_int_not_equal(atomic_load(&span.page->gen), gen);
	space_take_dirty(&d->space, &d->space.banks[0], map);
	assert_true(map[page / 64] >> page % 64 & 1);
}

/* Both numberings of queues: with statistics, and without, as Linux counts them. */
static void reported_pages_go_back(void **state)
{
	static const struct {
		u64 features;
		unsigned queue;
	} ways[] = {{F_STATS | F_REPORTING, REPORTING},
		    {F_STATS | F_REPORTING, 3},
		    {F_REPORTING, 2},
		    {F_REPORTING, REPORTING}};
	const struct vd_buf bufs[] = {{AREA + 2 * PAGE, 4 * PAGE, true},
				      {AREA + 8 * PAGE + 100, 2 * PAGE, true}};
	struct vd *d = *state;

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		vd_up(d, ways[i].features, 5);
		mark(d);
		vd_add(d, ways[i].queue, bufs, 2);
		vd_kick(d, ways[i].queue);
		assert_int_equal(vd_done(d, ways[i].queue), 0);
		/* Of the second piece, the one page that lies in it whole. */
		assert_true(marked(d) == ~(0x3cull | 1ull << 9));
	}
	vd_up(d, F_STATS, 5); /* not agreed on */
	mark(d);
	vd_add(d, REPORTING, bufs, 2);
	vd_kick(d, REPORTING);
	assert_true(marked(d) == ~0ull);
}

static void poisoned_pages_stay(void **state)
{
	const struct vd_buf buf = {AREA, 4 * PAGE, true};
	struct vd *d = *state;

	for (u32 poison = 0; poison < 2; poison++) {
		vd_up(d, F_REPORTING | F_POISON, 5);
		dev_write(d->dev, VD_DEVICE, 12, poison * 0xaaaaaaaa, 4);
		mark(d);
		vd_add(d, REPORTING, &buf, 1);
		vd_kick(d, REPORTING);
		assert_int_equal(vd_done(d, REPORTING), 0);
		assert_true(marked(d) == (poison ? ~0ull : ~0xfull));
	}
}

static void target_and_actual(void **state)
{
	struct vd *d = *state;
	struct virtio_balloon_info info;

	vd_up(d, ~0ull, 5);
	assert_int_equal(dev_read(d->dev, VD_DEVICE, 0, 4), 16);
	virtio_balloon_set_target(d->dev, 5 * PAGE + 100);
	assert_int_equal(d->msi[0], 1);
	virtio_balloon_set_target(d->dev, 5 * PAGE);
	assert_int_equal(d->msi[0], 1);
	assert_int_equal(dev_read(d->dev, VD_DEVICE, 0, 4), 5);
	dev_write(d->dev, VD_DEVICE, 4, 3, 4);
	dev_write(d->dev, VD_DEVICE, 0, 77, 4); /* not the driver's */
	virtio_balloon_info(d->dev, &info);
	assert_int_equal(info.target, 5 * PAGE);
	assert_int_equal(info.actual, 3 * PAGE);
	/* A driver that begins anew finds the same target. */
	vd_up(d, ~0ull, 5);
	assert_int_equal(dev_read(d->dev, VD_DEVICE, 0, 4), 5);
	assert_int_equal(dev_read(d->dev, VD_DEVICE, 4, 4), 0);
}

static void put_stat(struct vd *d, unsigned i, u16 tag, u64 val)
{
	st16(vd_mem(d, VD_RAM + 0x100000 + 10 * i), tag);
	st64(vd_mem(d, VD_RAM + 0x100000 + 10 * i + 2), val);
}

static void statistics(void **state)
{
	const struct vd_buf buf = {VD_RAM + 0x100000, 35, false};
	struct vd *d = *state;
	struct virtio_balloon_info info;
	u32 len;
	u16 id;

	vd_up(d, F_STATS, 5);
	virtio_balloon_ask(d->dev); /* nothing to answer with yet */
	put_stat(d, 0, BALLOON_FREE, 123456789012);
	put_stat(d, 1, 4711, 1);
	put_stat(d, 2, BALLOON_AVAILABLE, 99);
	put_stat(d, 3, BALLOON_CACHES, 5); /* half of it only */
	vd_add(d, STATS, &buf, 1);
	vd_kick(d, STATS);
	assert_false(vd_used(d, STATS, &id, &len));
	virtio_balloon_info(d->dev, &info);
	assert_int_equal(info.known, 1 << BALLOON_FREE | 1 << BALLOON_AVAILABLE);
	assert_true(info.stats[BALLOON_FREE] == 123456789012);
	virtio_balloon_ask(d->dev);
	assert_int_equal(vd_done(d, STATS), 0);
	assert_int_equal(d->msi[STATS + 1], 1);
	put_stat(d, 0, BALLOON_FREE, 7);
	vd_add(d, STATS, &buf, 1);
	vd_kick(d, STATS);
	virtio_balloon_info(d->dev, &info);
	assert_true(info.stats[BALLOON_FREE] == 7);
}

static void a_host_that_takes_nothing_back(void **state)
{
	const u32 pfn = AREA / PAGE;
	struct vd *d = *state;
	size_t logged;

	vd_up(d, ~0ull, 5);
	mark(d);
	d->th.fail_nth = d->th.calls + 1;
	send_pfns(d, INFLATE, &pfn, 1);
	assert_true(marked(d) == ~0ull);
	assert_true(test_host_logged(&d->th, "takes no memory back"));
	logged = strlen(d->th.log);
	d->th.fail_nth = d->th.calls + 1;
	send_pfns(d, INFLATE, &pfn, 1);
	assert_int_equal(strlen(d->th.log), logged); /* told once */
}

static void discarding_pieces(void **state)
{
	struct vd *d = *state;
	u8 *at = vd_mem(d, AREA);
	u8 other[16];

	mark(d);
	assert_int_equal(space_discard(&d->space, at + 1, 2 * PAGE - 2), 0); /* no whole page */
	assert_int_equal(space_discard(&d->space, at, PAGE - 1), 0);
	assert_int_equal(space_discard(&d->space, at, 0), 0);
	assert_true(marked(d) == ~0ull);
	assert_int_equal(space_discard(&d->space, at + 1, 2 * PAGE - 1), 0);
	assert_true(marked(d) == ~2ull);
	assert_int_equal(space_discard(&d->space, other, sizeof(other)), -EFAULT);
	assert_int_equal(space_discard(&d->space, vd_mem(d, VD_RAM + VD_RAM_SIZE - PAGE), PAGE + 1),
			 -EFAULT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(inflating_gives_memory_back),
		TEST(pages_that_are_no_ram),
		TEST(many_pages_in_one_chain),
		TEST(watchers_hear_of_it),
		TEST(reported_pages_go_back),
		TEST(poisoned_pages_stay),
		TEST(target_and_actual),
		TEST(statistics),
		TEST(a_host_that_takes_nothing_back),
		TEST(discarding_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
