/* SPDX-License-Identifier: BSD-2-Clause */
#include "catalog/catalog.h"
#include "device_test.h"

DEVICE_SETUP("rtc")

#define S 1000000000ull

enum { A = 10, B = 11, C = 12, D = 13, CENTURY = 0x32 };
enum { SET = 0x80, PIE = 0x40, AIE = 0x20, UIE = 0x10, BINARY = 4, H24 = 2 };

static u8 get(struct rig *r, u8 reg)
{
	out8(r, 0x70, reg);
	return in8(r, 0x71);
}

static void put(struct rig *r, u8 reg, u8 val)
{
	out8(r, 0x70, reg);
	out8(r, 0x71, val);
}

/* 2023-11-14 22:13:20 UTC, on the second; that was a Tuesday. */
static void at_known_time(struct rig *r)
{
	r->clock.wall_base_ns = 1700000000 * S - r->clock.now_ns;
	dev_reset(r->dev, ALC_RESET_COLD);
}

static void assert_time(struct rig *r, const u8 want[8])
{
	static const u8 regs[8] = {CENTURY, 9, 8, 7, 6, 4, 2, 0};

	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(get(r, regs[i]), want[i]);
}

static void put_time(struct rig *r, const u8 val[8])
{
	static const u8 regs[8] = {CENTURY, 9, 8, 7, 6, 4, 2, 0};

	for (unsigned i = 0; i < 8; i++)
		put(r, regs[i], val[i]);
}

static void test_time_of_day(void **state)
{
	struct rig *r = *state;

	at_known_time(r);
	assert_time(r, (const u8[8]){0x20, 0x23, 0x11, 0x14, 3, 0x22, 0x13, 0x20});
	put(r, B, H24 | BINARY);
	assert_time(r, (const u8[8]){20, 23, 11, 14, 3, 22, 13, 20});
	put(r, B, 0); /* BCD, 12 hours */
	assert_int_equal(get(r, 4), 0x80 | 0x10);
	rig_advance(r, 2 * 3600 * S); /* past midnight */
	assert_time(r, (const u8[8]){0x20, 0x23, 0x11, 0x15, 4, 0x12, 0x13, 0x20});
	put(r, B, BINARY);
	rig_advance(r, 12 * 3600 * S);
	assert_int_equal(get(r, 4), 0x80 | 12);
	assert_int_equal(get(r, D), 0x80);
	assert_int_equal(in8(r, 0x70), 0xff);
}

static void test_setting_the_time(void **state)
{
	struct rig *r = *state;

	at_known_time(r);
	put(r, B, SET | H24);
	put_time(r, (const u8[8]){0x20, 0x24, 0x02, 0x28, 4, 0x23, 0x59, 0x58});
	rig_advance(r, 10 * S);
	assert_int_equal(get(r, 0), 0x58); /* held */
	put(r, B, H24);
	rig_advance(r, 2 * S);
	assert_time(r, (const u8[8]){0x20, 0x24, 0x02, 0x29, 5, 0x00, 0x00, 0x00}); /* leap year */
	rig_advance(r, 86400 * S);
	assert_time(r, (const u8[8]){0x20, 0x24, 0x03, 0x01, 6, 0x00, 0x00, 0x00});
}

static void test_centuries(void **state)
{
	struct rig *r = *state;

	at_known_time(r);
	put(r, B, SET | H24);
	put_time(r, (const u8[8]){0x19, 0x00, 0x02, 0x28, 1, 0x23, 0x59, 0x59});
	put(r, B, H24);
	rig_advance(r, S);
	assert_int_equal(get(r, 8), 0x03); /* 1900 had no leap day */
	put(r, B, SET | H24);
	put_time(r, (const u8[8]){0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59});
	put(r, B, H24);
	rig_advance(r, S);
	assert_time(r, (const u8[8]){0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00});
}

static void test_nonsense_is_survived(void **state)
{
	struct rig *r = *state;

	at_known_time(r);
	put(r, B, SET | H24);
	put_time(r, (const u8[8]){0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
	put(r, B, H24);
	rig_advance(r, S);
	assert_in_range(get(r, 8), 1, 0x12);
	assert_in_range(get(r, 6), 1, 7);
}

static void test_divider_reset_starts_half_a_second_before(void **state)
{
	struct rig *r = *state;

	at_known_time(r);
	rig_advance(r, S / 10);
	put(r, A, 0x66);
	put_time(r, (const u8[8]){0x20, 0x23, 0x01, 0x01, 1, 0x00, 0x00, 0x10});
	rig_advance(r, 5 * S);
	put(r, A, 0x26);
	rig_advance(r, S / 2 - 1);
	assert_int_equal(get(r, 0), 0x10);
	rig_advance(r, 1);
	assert_int_equal(get(r, 0), 0x11);
	rig_advance(r, S);
	assert_int_equal(get(r, 0), 0x12);
}

static void test_update_in_progress(void **state)
{
	struct rig *r = *state;

	at_known_time(r);
	rig_advance(r, S - 2228000 - 1);
	assert_int_equal(get(r, A), 0x26);
	rig_advance(r, 1);
	assert_int_equal(get(r, A), 0xa6);
	assert_int_equal(get(r, 0), 0x20);
	rig_advance(r, 2228000);
	assert_int_equal(get(r, A), 0x26);
	assert_int_equal(get(r, 0), 0x21);
	put(r, B, SET | H24);
	rig_advance(r, S - 1);
	assert_int_equal(get(r, A), 0x26); /* no updates */
}

static void test_update_interrupt(void **state)
{
	struct rig *r = *state;

	at_known_time(r);
	rig_advance(r, S / 2);
	get(r, C);
	put(r, B, H24 | UIE);
	rig_advance(r, S / 2 - 1);
	assert_false(r->irq[0]);
	rig_advance(r, 1);
	assert_true(r->irq[0]);
	assert_int_equal(get(r, C) & 0xb0, 0x90);
	assert_false(r->irq[0]);
	assert_int_equal(get(r, C), 0);
	rig_advance(r, S);
	assert_true(r->irq[0]);
	put(r, B, H24 | UIE | SET); /* SET clears UIE */
	assert_int_equal(get(r, B), H24 | SET);
	assert_false(r->irq[0]);
}

static void test_flags_without_interrupts(void **state)
{
	struct rig *r = *state;

	at_known_time(r);
	rig_advance(r, S);
	assert_int_equal(get(r, C), 0x50); /* UF and PF, no IRQF */
	assert_false(r->irq[0]);
	rig_advance(r, S);
	put(r, B, H24 | UIE); /* a flag that waits asserts at once */
	assert_true(r->irq[0]);
}

static void periodic(struct rig *r, u8 rate, unsigned hz)
{
	unsigned fired = 0;

	put(r, A, 0x20 | rate);
	put(r, B, H24 | PIE);
	get(r, C);
	for (unsigned i = 0; i < 10000; i++) {
		rig_advance(r, S / 10000);
		if (r->irq[0]) {
			assert_int_equal(get(r, C) & 0xc0, 0xc0);
			fired++;
		}
	}
	assert_in_range(fired, hz - 1, hz + 1);
}

static void test_periodic_interrupt(void **state)
{
	struct rig *r = *state;

	at_known_time(r);
	periodic(r, 6, 1024);
	periodic(r, 15, 2);
	periodic(r, 1, 256);
	periodic(r, 2, 128);
	put(r, A, 0x20); /* rate 0: none */
	get(r, C);
	rig_advance(r, 2 * S);
	assert_false(r->irq[0]);
}

static void test_alarm(void **state)
{
	struct rig *r = *state;

	at_known_time(r); /* 22:13:20 */
	get(r, C);
	put(r, 5, 0x22);
	put(r, 3, 0x14);
	put(r, 1, 0x05);
	put(r, B, H24 | AIE);
	rig_advance(r, 45 * S - 1);
	assert_false(r->irq[0]);
	rig_advance(r, 1);
	assert_true(r->irq[0]);
	assert_int_equal(get(r, C) & 0xa0, 0xa0);
	rig_advance(r, 86399 * S);
	assert_false(r->irq[0]);
	rig_advance(r, S); /* daily */
	assert_true(r->irq[0]);
}

static void test_alarm_wildcards(void **state)
{
	struct rig *r = *state;

	at_known_time(r); /* 22:13:20 */
	put(r, 5, 0xff);
	put(r, 3, 0xc0);
	put(r, 1, 0x30);
	put(r, B, H24 | AIE);
	get(r, C);
	rig_advance(r, 10 * S);
	assert_true(r->irq[0]);
	get(r, C);
	rig_advance(r, 60 * S);
	assert_true(r->irq[0]);
	put(r, 1, 0x75); /* never */
	get(r, C);
	rig_advance(r, 2 * 86400 * S);
	assert_false(r->irq[0]);
}

static void test_warm_reset(void **state)
{
	struct rig *r = *state;

	at_known_time(r);
	put(r, 0x40, 0x77);
	put(r, 0, 0x50);
	put(r, B, H24 | BINARY | UIE | AIE | PIE);
	rig_advance(r, S);
	assert_true(r->irq[0]);
	dev_reset(r->dev, ALC_RESET_WARM);
	assert_false(r->irq[0]);
	assert_int_equal(get(r, B), H24 | BINARY);
	assert_int_equal(get(r, C), 0);
	assert_int_equal(get(r, 0x40), 0x77);
	assert_int_equal(get(r, 0), 51);
	dev_reset(r->dev, ALC_RESET_COLD);
	assert_int_equal(get(r, 0x40), 0);
}

static void test_memory_sizes(void **state)
{
	struct rig *r = *state;
	const struct alc_dev_opt opts[] = {
		{"base_kib", "639"}, {"ext_kib", "0x1ffc00"}, {"high_kib", "4194304"}};
	struct alc_err err = {0};

	dev_destroy(r->dev);
	region_remove(&r->ports, 0x70);
	assert_int_equal(dev_create(dev_class_find("rtc"), "rtc", &r->env, opts, 3, &r->dev, &err),
			 0);
	assert_int_equal(get(r, 0x15) | get(r, 0x16) << 8, 639);
	assert_int_equal(get(r, 0x17) | get(r, 0x18) << 8, 0xffff);
	assert_int_equal(get(r, 0x34) | get(r, 0x35) << 8, (0x1ffc00 - 15 * 1024) / 64);
	assert_int_equal(get(r, 0x5b) | get(r, 0x5c) << 8 | get(r, 0x5d) << 16, 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_time_of_day),
		DEVICE_TEST(test_setting_the_time),
		DEVICE_TEST(test_centuries),
		DEVICE_TEST(test_nonsense_is_survived),
		DEVICE_TEST(test_divider_reset_starts_half_a_second_before),
		DEVICE_TEST(test_update_in_progress),
		DEVICE_TEST(test_update_interrupt),
		DEVICE_TEST(test_flags_without_interrupts),
		DEVICE_TEST(test_periodic_interrupt),
		DEVICE_TEST(test_alarm),
		DEVICE_TEST(test_alarm_wildcards),
		DEVICE_TEST(test_warm_reset),
		DEVICE_TEST(test_memory_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
