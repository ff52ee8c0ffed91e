/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_test.h"

DEVICE_SETUP("i8042")

enum { DATA = 0x60, CMD = 0x64 };

static void assert_answers(struct rig *r, const u8 *want, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(in8(r, CMD) & 1, 1);
		assert_int_equal(in8(r, DATA), want[i]);
	}
	assert_int_equal(in8(r, CMD) & 1, 0);
}

#define ANSWERS(r, ...) \
	assert_answers(r, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

static void command_byte(struct rig *r, u8 val)
{
	out8(r, CMD, 0x60);
	out8(r, DATA, val);
}

static void test_controller(void **state)
{
	struct rig *r = *state;

	assert_int_equal(in8(r, CMD), 0x14);
	out8(r, CMD, 0xaa);
	assert_int_equal(in8(r, CMD), 0x1d);
	ANSWERS(r, 0x55);
	out8(r, CMD, 0x20);
	ANSWERS(r, 0x34); /* the self test disables the keyboard */
	out8(r, CMD, 0xab);
	ANSWERS(r, 0);
	out8(r, CMD, 0xc0);
	ANSWERS(r, 0x80);
	out8(r, CMD, 0x65);
	out8(r, DATA, 0x5a);
	out8(r, CMD, 0x25);
	ANSWERS(r, 0x5a);
	out8(r, CMD, 0xdd);
	out8(r, CMD, 0xd0);
	ANSWERS(r, 0xcd);
	out8(r, CMD, 0xdf);
	out8(r, CMD, 0xd0);
	ANSWERS(r, 0xcf);
}

static void test_keyboard(void **state)
{
	struct rig *r = *state;

	command_byte(r, 0x05); /* no translation */
	out8(r, DATA, 0xff);
	ANSWERS(r, 0xfa, 0xaa);
	out8(r, DATA, 0xf2);
	ANSWERS(r, 0xfa, 0xab, 0x83);
	out8(r, DATA, 0xfe);
	ANSWERS(r, 0x83);
	out8(r, DATA, 0xee);
	ANSWERS(r, 0xee);
	out8(r, DATA, 0xed);
	ANSWERS(r, 0xfa);
	out8(r, DATA, 0x07);
	ANSWERS(r, 0xfa);
	out8(r, DATA, 0xf3);
	ANSWERS(r, 0xfa);
	out8(r, DATA, 0x00);
	ANSWERS(r, 0xfa);
	out8(r, DATA, 0xf4);
	ANSWERS(r, 0xfa);
	out8(r, DATA, 0xf5);
	ANSWERS(r, 0xfa);
	out8(r, DATA, 0x12);
	ANSWERS(r, 0xfe); /* not a command */
	out8(r, DATA, 0xed);
	out8(r, DATA, 0xee); /* a command in place of the parameter is a command */
	ANSWERS(r, 0xfa, 0xee);
}

static void test_scan_sets(void **state)
{
	struct rig *r = *state;

	command_byte(r, 0x05);
	out8(r, DATA, 0xf0);
	ANSWERS(r, 0xfa);
	out8(r, DATA, 0);
	ANSWERS(r, 0xfa, 2);
	out8(r, DATA, 0xf0);
	ANSWERS(r, 0xfa);
	out8(r, DATA, 3);
	ANSWERS(r, 0xfa);
	out8(r, DATA, 0xf0);
	ANSWERS(r, 0xfa);
	out8(r, DATA, 0);
	ANSWERS(r, 0xfa, 3);
	out8(r, DATA, 0xf6);
	ANSWERS(r, 0xfa);
	command_byte(r, 0x45);
	out8(r, DATA, 0xf0);
	ANSWERS(r, 0xfa);
	out8(r, DATA, 0);
	ANSWERS(r, 0xfa, 0x41); /* 2, translated */
	out8(r, DATA, 0xf2);
	ANSWERS(r, 0xfa, 0xab, 0x41);
}

static void test_interrupt(void **state)
{
	struct rig *r = *state;

	command_byte(r, 0x04);
	out8(r, DATA, 0xff);
	assert_false(r->irq[0]);
	ANSWERS(r, 0xfa, 0xaa);
	command_byte(r, 0x05);
	out8(r, DATA, 0xff);
	assert_true(r->irq[0]);
	rig_clear(r);
	assert_int_equal(in8(r, DATA), 0xfa);
	assert_int_equal(rig_count(r, EVENT_IRQ), 2); /* an edge for the next byte */
	assert_true(r->irq[0]);
	in8(r, DATA);
	assert_false(r->irq[0]);
}

static void test_disabled_keyboard_waits(void **state)
{
	struct rig *r = *state;

	command_byte(r, 0x05);
	out8(r, DATA, 0xff);
	out8(r, CMD, 0xad);
	assert_int_equal(in8(r, DATA), 0xfa); /* was in the buffer already */
	assert_int_equal(in8(r, CMD) & 1, 0);
	out8(r, CMD, 0xae);
	ANSWERS(r, 0xaa);
}

static void test_no_auxiliary_port(void **state)
{
	struct rig *r = *state;

	out8(r, CMD, 0xd3);
	out8(r, DATA, 0x5a);
	assert_int_equal(in8(r, CMD) & 0x21, 1); /* not marked as auxiliary */
	ANSWERS(r, 0x5a);
	out8(r, CMD, 0xa9);
	ANSWERS(r, 2);
	out8(r, CMD, 0xd4);
	out8(r, DATA, 0xf2);
	ANSWERS(r, 0xfe);
	out8(r, CMD, 0xa8);
	out8(r, CMD, 0x20);
	assert_int_equal(in8(r, DATA) & 0x20, 0x20); /* stays disabled */
	out8(r, CMD, 0xd2);
	out8(r, DATA, 0x1c);
	ANSWERS(r, 0x1c);
}

static void test_reset_line(void **state)
{
	struct rig *r = *state;

	out8(r, CMD, 0xff);
	assert_int_equal(rig_count(r, EVENT_REQUEST), 0);
	out8(r, CMD, 0xfe);
	assert_int_equal(rig_count(r, EVENT_REQUEST), 1);
	assert_int_equal(rig_last(r, EVENT_REQUEST)->a, ALC_REQUEST_RESET);
	out8(r, CMD, 0xd1);
	out8(r, DATA, 0x03);
	assert_int_equal(rig_count(r, EVENT_REQUEST), 1);
	out8(r, CMD, 0xd1);
	out8(r, DATA, 0x02);
	assert_int_equal(rig_count(r, EVENT_REQUEST), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_controller),
		DEVICE_TEST(test_keyboard),
		DEVICE_TEST(test_scan_sets),
		DEVICE_TEST(test_interrupt),
		DEVICE_TEST(test_disabled_keyboard_waits),
		DEVICE_TEST(test_no_auxiliary_port),
		DEVICE_TEST(test_reset_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
