/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_test.h"

DEVICE_SETUP("i8254")

enum { CH0 = 0x40, CH2 = 0x42, CONTROL = 0x43, P61 = 0x61 };
enum { OUT = 0x80, NULL_COUNT = 0x40 };

static u64 now_tick(const struct rig *r)
{
	return (u64)((unsigned __int128)r->clock.now_ns * 1193182 / 1000000000);
}

/* To the first nanosecond of the tick that is `ticks` from the present one. */
static void ticks(struct rig *r, u64 n)
{
	u64 tick = now_tick(r) + n;
	u64 ns = (u64)(((unsigned __int128)tick * 1000000000 + 1193181) / 1193182);

	rig_advance(r, ns - r->clock.now_ns);
	assert_int_equal(now_tick(r), tick);
}

static u8 status(struct rig *r, unsigned ch)
{
	out8(r, CONTROL, (u8)(0xe0 | 2 << ch));
	return in8(r, (u16)(CH0 + ch));
}

static u16 count(struct rig *r, unsigned ch)
{
	u8 lo;

	out8(r, CONTROL, (u8)(ch << 6));
	lo = in8(r, (u16)(CH0 + ch));
	return (u16)(lo | in8(r, (u16)(CH0 + ch)) << 8);
}

/* Both bytes, low first; the count is loaded with the next tick. */
static void program(struct rig *r, unsigned ch, unsigned mode, u16 val)
{
	out8(r, CONTROL, (u8)(ch << 6 | 0x30 | mode << 1));
	out8(r, (u16)(CH0 + ch), (u8)val);
	out8(r, (u16)(CH0 + ch), (u8)(val >> 8));
}

static void test_mode0(void **state)
{
	struct rig *r = *state;

	program(r, 0, 0, 100);
	assert_false(r->irq[0]);
	assert_int_equal(status(r, 0), NULL_COUNT | 0x30);
	ticks(r, 1);
	assert_int_equal(status(r, 0), 0x30);
	assert_int_equal(count(r, 0), 100);
	ticks(r, 99);
	assert_int_equal(count(r, 0), 1);
	assert_false(r->irq[0]);
	ticks(r, 1);
	assert_true(r->irq[0]);
	assert_int_equal(status(r, 0), OUT | 0x30);
	ticks(r, 1);
	assert_int_equal(count(r, 0), 0xffff); /* goes on, with no effect */
	ticks(r, 70000);
	assert_true(r->irq[0]);
	out8(r, CH0, 5); /* the first byte stops it and lowers the output */
	assert_false(r->irq[0]);
	ticks(r, 70000);
	assert_false(r->irq[0]);
	out8(r, CH0, 0);
	ticks(r, 6);
	assert_true(r->irq[0]);
}

static void test_mode2(void **state)
{
	struct rig *r = *state;

	program(r, 0, 2, 10);
	assert_true(r->irq[0]); /* the control word raises it */
	ticks(r, 1);
	for (unsigned i = 0; i < 25; i++) {
		assert_int_equal(count(r, 0), 10 - i % 10);
		assert_int_equal(status(r, 0) & OUT, i % 10 == 9 ? 0 : OUT);
		ticks(r, 1);
	}
}

/* Each period is one rising edge, however late the host's timers are; late ones coalesce. */
static void test_mode2_interrupts(void **state)
{
	struct rig *r = *state;

	program(r, 0, 2, 1000);
	ticks(r, 1);
	rig_clear(r);
	ticks(r, 999);
	assert_int_equal(rig_count(r, EVENT_IRQ), 0);
	ticks(r, 1);
	assert_int_equal(rig_count(r, EVENT_IRQ), 2);
	assert_true(r->irq[0]);
	ticks(r, 3000);
	assert_int_equal(rig_count(r, EVENT_IRQ), 8);
	rig_skip(r, 10000000);
	rig_advance(r, 0);
	assert_int_equal(rig_count(r, EVENT_IRQ), 10);
	assert_true(r->irq[0]);
}

static void test_mode2_takes_a_new_count_at_the_end(void **state)
{
	struct rig *r = *state;

	program(r, 0, 2, 10);
	ticks(r, 4);
	out8(r, CH0, 4);
	out8(r, CH0, 0);
	assert_int_equal(status(r, 0) & NULL_COUNT, NULL_COUNT);
	assert_int_equal(count(r, 0), 7);
	ticks(r, 6);
	assert_int_equal(count(r, 0), 1);
	rig_clear(r);
	ticks(r, 1);
	assert_int_equal(count(r, 0), 4);
	assert_int_equal(status(r, 0) & NULL_COUNT, 0);
	assert_int_equal(rig_count(r, EVENT_IRQ), 1); /* the end of the low tick just read */
	ticks(r, 4);
	assert_int_equal(count(r, 0), 4);
}

static void mode3(struct rig *r, u16 n)
{
	unsigned high = (n + 1u) / 2;

	program(r, 0, 3, n);
	ticks(r, 1);
	for (unsigned i = 0; i < 3u * n; i++) {
		unsigned phase = i % n, in_half = phase < high ? phase : phase - high;

		assert_int_equal(r->irq[0], phase < high);
		assert_int_equal(status(r, 0) >> 7, phase < high);
		assert_int_equal(count(r, 0), (n & ~1u) - 2 * in_half);
		ticks(r, 1);
	}
}

static void test_mode3(void **state)
{
	mode3(*state, 8);
	mode3(*state, 7);
}

static void test_mode4(void **state)
{
	struct rig *r = *state;

	program(r, 0, 4, 10);
	assert_true(r->irq[0]);
	rig_clear(r);
	ticks(r, 11);
	assert_int_equal(status(r, 0) & OUT, 0); /* the strobe */
	ticks(r, 1);
	assert_int_equal(status(r, 0) & OUT, OUT);
	assert_true(r->irq[0]);
	assert_int_equal(rig_last(r, EVENT_IRQ)->b, 1);
	assert_int_equal(rig_count(r, EVENT_IRQ), 2);
	ticks(r, 70000);
	assert_int_equal(rig_count(r, EVENT_IRQ), 2); /* once */
}

static void test_gate_of_mode1(void **state)
{
	struct rig *r = *state;

	program(r, 2, 1, 20);
	ticks(r, 100);
	assert_int_equal(status(r, 2) & OUT, OUT);
	out8(r, P61, 1); /* trigger */
	ticks(r, 1);
	assert_int_equal(status(r, 2) & OUT, 0);
	ticks(r, 10);
	out8(r, P61, 0); /* a falling gate does nothing */
	ticks(r, 5);
	assert_int_equal(status(r, 2) & OUT, 0);
	out8(r, P61, 1); /* retrigger */
	ticks(r, 20);
	assert_int_equal(status(r, 2) & OUT, 0);
	ticks(r, 1);
	assert_int_equal(status(r, 2) & OUT, OUT);
}

static void test_gate_of_mode5(void **state)
{
	struct rig *r = *state;

	program(r, 2, 5, 5);
	out8(r, P61, 1);
	ticks(r, 5);
	assert_int_equal(in8(r, P61) & 0x20, 0x20);
	ticks(r, 1);
	assert_int_equal(in8(r, P61) & 0x20, 0);
	ticks(r, 1);
	assert_int_equal(in8(r, P61) & 0x20, 0x20);
}

static void test_gate_of_mode0_holds(void **state)
{
	struct rig *r = *state;

	out8(r, P61, 1);
	program(r, 2, 0, 100);
	ticks(r, 41);
	out8(r, P61, 0);
	assert_int_equal(count(r, 2), 60);
	ticks(r, 1000);
	assert_int_equal(count(r, 2), 60);
	assert_int_equal(in8(r, P61) & 0x20, 0);
	out8(r, P61, 1);
	ticks(r, 59);
	assert_int_equal(in8(r, P61) & 0x20, 0);
	ticks(r, 1);
	assert_int_equal(in8(r, P61) & 0x21, 0x21);
}

static void test_gate_of_mode3_restarts(void **state)
{
	struct rig *r = *state;

	out8(r, P61, 1);
	program(r, 2, 3, 10);
	ticks(r, 7);
	assert_int_equal(status(r, 2) & OUT, 0);
	out8(r, P61, 0); /* output high at once */
	assert_int_equal(status(r, 2) & OUT, OUT);
	ticks(r, 3);
	out8(r, P61, 1);
	ticks(r, 1);
	assert_int_equal(count(r, 2), 10);
}

static void test_bcd(void **state)
{
	struct rig *r = *state;

	out8(r, CONTROL, 0x31); /* channel 0, mode 0, BCD */
	out8(r, CH0, 0x00);
	out8(r, CH0, 0x10); /* 1000 */
	ticks(r, 2);
	assert_int_equal(count(r, 0), 0x0999);
	ticks(r, 998);
	assert_false(r->irq[0]);
	ticks(r, 1);
	assert_true(r->irq[0]);
	ticks(r, 1);
	assert_int_equal(count(r, 0), 0x9999);
	out8(r, CH0, 0);
	out8(r, CH0, 0); /* 10000 */
	ticks(r, 10000);
	assert_int_equal(count(r, 0), 1);
}

static void test_latch_holds(void **state)
{
	struct rig *r = *state;

	program(r, 0, 2, 0); /* 65536 */
	ticks(r, 1 + 0x1234);
	out8(r, CONTROL, 0x00);
	ticks(r, 500);
	out8(r, CONTROL, 0x00); /* latched already: ignored */
	assert_int_equal(in8(r, CH0), 0xcc);
	ticks(r, 500);
	assert_int_equal(in8(r, CH0), 0xed);
	assert_int_equal(in8(r, CH0), (0xedcc - 1000) & 0xff); /* live again */
}

static void test_read_back(void **state)
{
	struct rig *r = *state;

	program(r, 0, 2, 1000);
	program(r, 2, 3, 2000);
	ticks(r, 11);
	out8(r, CONTROL, 0xc0 | 2 | 8); /* counts and status of 0 and 2 */
	ticks(r, 100);
	assert_int_equal(in8(r, CH0), OUT | 0x34); /* status comes first */
	assert_int_equal(in8(r, CH0), 990 & 0xff);
	assert_int_equal(in8(r, CH0), 990 >> 8);
	assert_int_equal(in8(r, CH2), OUT | 0x36);
	assert_int_equal(in8(r, CONTROL), 0);
}

static void test_single_bytes(void **state)
{
	struct rig *r = *state;

	out8(r, CONTROL, 0x14); /* channel 0, low byte, mode 2 */
	out8(r, CH0, 200);
	ticks(r, 11);
	assert_int_equal(in8(r, CH0), 190);
	assert_int_equal(in8(r, CH0), 190);
	out8(r, CONTROL, 0x24); /* high byte */
	out8(r, CH0, 2);
	ticks(r, 1);
	assert_int_equal(in8(r, CH0), 2);
	ticks(r, 1);
	assert_int_equal(in8(r, CH0), 1);
}

static void test_port61(void **state)
{
	struct rig *r = *state;
	u8 first = in8(r, P61);

	assert_int_equal(first & 0x0f, 0);
	rig_advance(r, 15085);
	assert_int_equal(in8(r, P61), first ^ 0x10);
	rig_advance(r, 15085);
	assert_int_equal(in8(r, P61), first);
	out8(r, P61, 0xff);
	assert_int_equal(in8(r, P61) & 0xcf, 0x0f);
}

static void test_frequency_over_a_day(void **state)
{
	struct rig *r = *state;

	program(r, 2, 2, 0);
	out8(r, P61, 1);
	ticks(r, 1);
	rig_skip(r, 86400ull * 1000000000);
	/* No drift: exactly 1193182 * 86400 ticks, within the tick that was under way. */
	assert_in_range((u16)(0 - count(r, 2) - 1193182ull * 86400), 0, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_mode0),
		DEVICE_TEST(test_mode2),
		DEVICE_TEST(test_mode2_interrupts),
		DEVICE_TEST(test_mode2_takes_a_new_count_at_the_end),
		DEVICE_TEST(test_mode3),
		DEVICE_TEST(test_mode4),
		DEVICE_TEST(test_gate_of_mode1),
		DEVICE_TEST(test_gate_of_mode5),
		DEVICE_TEST(test_gate_of_mode0_holds),
		DEVICE_TEST(test_gate_of_mode3_restarts),
		DEVICE_TEST(test_bcd),
		DEVICE_TEST(test_latch_holds),
		DEVICE_TEST(test_read_back),
		DEVICE_TEST(test_single_bytes),
		DEVICE_TEST(test_port61),
		DEVICE_TEST(test_frequency_over_a_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
