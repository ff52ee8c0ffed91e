/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_test.h"
#include "device/irq/i8259.h"

DEVICE_SETUP("i8259")

enum { M = 0x20, M1 = 0x21, S = 0xa0, S1 = 0xa1 };
enum { VEC_M = 0x30, VEC_S = 0x38, EOI = 0x20 };

/* As a PC's firmware does it; icw4 carries what a test is about. */
static void init(struct rig *r, u8 icw4_master, u8 icw4_slave)
{
	out8(r, M, 0x11);
	out8(r, M1, VEC_M);
	out8(r, M1, 4);
	out8(r, M1, icw4_master);
	out8(r, S, 0x11);
	out8(r, S1, VEC_S);
	out8(r, S1, 2);
	out8(r, S1, icw4_slave);
}

static void line(struct rig *r, unsigned n, bool level)
{
	struct alc_irq irq = i8259_input(r->dev, n);

	irq_set(&irq, level);
}

static void edge(struct rig *r, unsigned n)
{
	line(r, n, false);
	line(r, n, true);
}

static u8 isr(struct rig *r, u16 port)
{
	out8(r, port, 0x0b);
	return in8(r, port);
}

static u8 irr(struct rig *r, u16 port)
{
	out8(r, port, 0x0a);
	return in8(r, port);
}

static void test_silent_until_programmed(void **state)
{
	struct rig *r = *state;

	edge(r, 3);
	assert_false(r->irq[0]);
	assert_int_equal(i8259_ack(r->dev), -1);
	out8(r, M, 0x11);
	out8(r, M1, VEC_M);
	out8(r, M1, 4);
	edge(r, 3);
	assert_false(r->irq[0]);
	out8(r, M1, 1);
	assert_true(r->irq[0]);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 3);
}

static void test_priorities(void **state)
{
	struct rig *r = *state;

	init(r, 1, 1);
	edge(r, 5);
	edge(r, 3);
	assert_true(r->irq[0]);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 3);
	assert_false(r->irq[0]); /* 5 waits for 3 */
	edge(r, 1);
	assert_true(r->irq[0]); /* 1 nests */
	assert_int_equal(i8259_ack(r->dev), VEC_M + 1);
	assert_int_equal(isr(r, M), 0x0a);
	assert_int_equal(irr(r, M), 0x20);
	out8(r, M, EOI); /* the highest: 1 */
	assert_int_equal(isr(r, M), 0x08);
	out8(r, M, 0x60 | 3); /* specific */
	assert_true(r->irq[0]);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 5);
}

static void test_edge_needs_to_stay_and_to_fall(void **state)
{
	struct rig *r = *state;

	init(r, 1, 1);
	line(r, 4, true);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 4);
	out8(r, M, EOI);
	assert_false(r->irq[0]); /* still high: no new request */
	line(r, 4, true);
	assert_false(r->irq[0]);
	edge(r, 4);
	assert_true(r->irq[0]);
	line(r, 4, false); /* gone before the acknowledgement: spurious */
	assert_false(r->irq[0]);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 7);
	assert_int_equal(isr(r, M), 0);
}

static void test_level(void **state)
{
	struct rig *r = *state;

	init(r, 1, 1);
	out8(r, 0x4d0, 0xff);
	out8(r, 0x4d1, 0xff);
	assert_int_equal(in8(r, 0x4d0), 0xf8); /* 0, 1 and 2 are always edges */
	assert_int_equal(in8(r, 0x4d1), 0xde); /* as are 8 and 13 */
	line(r, 5, true);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 5);
	out8(r, M, EOI);
	assert_true(r->irq[0]); /* as long as it is high */
	line(r, 5, false);
	assert_false(r->irq[0]);
}

static void test_cascade(void **state)
{
	struct rig *r = *state;

	init(r, 1, 1);
	edge(r, 12);
	edge(r, 3);
	assert_int_equal(i8259_ack(r->dev), VEC_S + 4); /* input 2 is above 3 */
	assert_int_equal(isr(r, M), 0x04);
	assert_int_equal(isr(r, S), 0x10);
	edge(r, 9); /* higher on the slave, but 2 is in service on the master */
	assert_false(r->irq[0]);
	out8(r, S, EOI);
	out8(r, M, EOI);
	assert_int_equal(i8259_ack(r->dev), VEC_S + 1);
	out8(r, S, EOI);
	out8(r, M, EOI);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 3);
	line(r, 2, true); /* nobody else can drive the cascade */
	assert_int_equal(irr(r, M), 0);
}

static void test_slave_requests_back_to_back(void **state)
{
	struct rig *r = *state;

	/* Automatic EOI: nothing but the acknowledgement separates two of the slave's requests. */
	init(r, 3, 3);
	edge(r, 9);
	edge(r, 10);
	assert_int_equal(i8259_ack(r->dev), VEC_S + 1);
	assert_true(r->irq[0]);
	assert_int_equal(i8259_ack(r->dev), VEC_S + 2);
	assert_false(r->irq[0]);
	assert_int_equal(isr(r, M) | isr(r, S), 0);
}

static void test_special_fully_nested(void **state)
{
	struct rig *r = *state;

	init(r, 0x11, 1);
	edge(r, 12);
	assert_int_equal(i8259_ack(r->dev), VEC_S + 4);
	edge(r, 9);
	assert_true(r->irq[0]); /* the slave's higher request gets through its own in service */
	assert_int_equal(i8259_ack(r->dev), VEC_S + 1);
	assert_int_equal(isr(r, S), 0x12);
}

static void test_spurious_slave(void **state)
{
	struct rig *r = *state;

	init(r, 1, 1);
	out8(r, 0x4d1, 0x10);
	line(r, 12, true);
	out8(r, M, 0x0c); /* poll: the master's input is taken, the slave's is not */
	assert_int_equal(in8(r, M), 0x82);
	assert_int_equal(isr(r, M), 0x04);
	out8(r, M, EOI);
	line(r, 12, false);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 7);
}

static void test_automatic_eoi_rotates(void **state)
{
	struct rig *r = *state;

	init(r, 3, 1);
	out8(r, M, 0x80); /* rotate in automatic EOI mode */
	edge(r, 1);
	edge(r, 3);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 1);
	assert_int_equal(isr(r, M), 0);
	edge(r, 1); /* now the lowest */
	assert_int_equal(i8259_ack(r->dev), VEC_M + 3);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 1);
	out8(r, M, 0x00);
	edge(r, 1);
	edge(r, 0);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 0); /* 1 is lowest since the last rotation */
}

static void test_rotation(void **state)
{
	struct rig *r = *state;

	init(r, 1, 1);
	out8(r, M, 0xc0 | 4); /* set priority: 4 lowest, 5 highest */
	edge(r, 4);
	edge(r, 6);
	edge(r, 0);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 6);
	out8(r, M, 0xa0); /* rotate on non-specific EOI: 6 lowest */
	assert_int_equal(i8259_ack(r->dev), VEC_M + 0);
	out8(r, M, 0xe0 | 0); /* rotate on specific EOI: 0 lowest */
	edge(r, 7);
	edge(r, 1);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 1);
}

static void test_special_mask(void **state)
{
	struct rig *r = *state;

	init(r, 1, 1);
	edge(r, 3);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 3);
	edge(r, 5);
	assert_false(r->irq[0]);
	out8(r, M1, 0x08);
	assert_false(r->irq[0]);
	out8(r, M, 0x68); /* special mask mode: 3, being masked, blocks nobody */
	assert_true(r->irq[0]);
	assert_int_equal(i8259_ack(r->dev), VEC_M + 5);
	out8(r, M, EOI); /* not the masked one */
	assert_int_equal(isr(r, M), 0x08);
	out8(r, M, 0x48);
	edge(r, 6);
	assert_false(r->irq[0]);
}

static void test_mask(void **state)
{
	struct rig *r = *state;

	init(r, 1, 1);
	out8(r, M1, 0x10);
	assert_int_equal(in8(r, M1), 0x10);
	edge(r, 4);
	assert_false(r->irq[0]);
	assert_int_equal(irr(r, M), 0x10);
	out8(r, M1, 0);
	assert_true(r->irq[0]);
}

static void test_poll(void **state)
{
	struct rig *r = *state;

	init(r, 1, 1);
	out8(r, M, 0x0c);
	assert_int_equal(in8(r, M), 0);
	edge(r, 6);
	out8(r, M, 0x0c);
	assert_int_equal(in8(r, M), 0x86);
	assert_int_equal(isr(r, M), 0x40);
	assert_false(r->irq[0]);
}

static void test_icw1_starts_over(void **state)
{
	struct rig *r = *state;

	init(r, 1, 1);
	out8(r, M1, 0xff);
	edge(r, 3);
	out8(r, M, 0x12); /* single, no ICW4 */
	assert_int_equal(irr(r, M), 0);
	out8(r, M1, 0x78);
	assert_int_equal(in8(r, M1), 0); /* initialised, and nothing masked */
	assert_false(r->irq[0]);         /* 3 must rise again */
	edge(r, 3);
	assert_int_equal(i8259_ack(r->dev), 0x7b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_silent_until_programmed),
		DEVICE_TEST(test_priorities),
		DEVICE_TEST(test_edge_needs_to_stay_and_to_fall),
		DEVICE_TEST(test_level),
		DEVICE_TEST(test_cascade),
		DEVICE_TEST(test_slave_requests_back_to_back),
		DEVICE_TEST(test_special_fully_nested),
		DEVICE_TEST(test_spurious_slave),
		DEVICE_TEST(test_automatic_eoi_rotates),
		DEVICE_TEST(test_rotation),
		DEVICE_TEST(test_special_mask),
		DEVICE_TEST(test_mask),
		DEVICE_TEST(test_poll),
		DEVICE_TEST(test_icw1_starts_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
