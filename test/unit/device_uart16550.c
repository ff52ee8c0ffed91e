/* SPDX-License-Identifier: BSD-2-Clause */
#include "catalog/catalog.h"
#include "device_test.h"

DEVICE_SETUP("uart16550")

enum { BASE = 0x3f8, DATA = BASE, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };
enum { OPEN = 0x0b }; /* MCR: DTR, RTS, OUT2 */

/* 115200 8N1, FIFOs on with trigger level 8, line open. */
static void set_up(struct rig *r, u8 ier)
{
	out8(r, LCR, 0x83);
	out8(r, DATA, 1);
	out8(r, IER, 0);
	out8(r, LCR, 3);
	out8(r, FCR, 0x81);
	out8(r, MCR, OPEN);
	out8(r, IER, ier);
	rig_clear(r);
}

static void test_registers(void **state)
{
	struct rig *r = *state;

	assert_int_equal(in8(r, IIR), 0x01);
	assert_int_equal(in8(r, LSR), 0x60);
	assert_int_equal(in8(r, MSR), 0xb0);
	out8(r, SCR, 0xa5);
	assert_int_equal(in8(r, SCR), 0xa5);
	out8(r, IER, 0xff);
	assert_int_equal(in8(r, IER), 0x0f);
	out8(r, MCR, 0xff);
	assert_int_equal(in8(r, MCR), 0x1f);
	out8(r, LCR, 0x83);
	assert_int_equal(in8(r, DATA), 12); /* 9600 */
	out8(r, DATA, 0x34);
	out8(r, IER, 0x12);
	assert_int_equal(rig_in(r, DATA, 2), 0x1234); /* wide accesses are split */
	assert_int_equal(rig_count(r, EVENT_CHAR), 0);
	out8(r, LCR, 3);
	assert_int_equal(in8(r, IER), 0x0f);
	out8(r, FCR, 1);
	assert_int_equal(in8(r, IIR) & 0xc0, 0xc0);
	out8(r, FCR, 0);
	assert_int_equal(in8(r, IIR) & 0xc0, 0);
}

static void test_transmit(void **state)
{
	struct rig *r = *state;

	set_up(r, 0);
	out8(r, DATA, 'a');
	assert_int_equal(rig_last(r, EVENT_CHAR)->a, 'a');
	assert_int_equal(in8(r, LSR), 0x60);
	assert_false(r->irq[0]);
	out8(r, LCR, 0); /* what nobody has set up still passes whole bytes */
	out8(r, DATA, 0xff);
	assert_int_equal(rig_last(r, EVENT_CHAR)->a, 0xff);
}

static void test_transmitter_interrupt(void **state)
{
	struct rig *r = *state;

	set_up(r, 0);
	out8(r, IER, 2); /* enabling raises it: the transmitter is empty */
	assert_true(r->irq[0]);
	assert_int_equal(in8(r, IIR), 0xc2);
	assert_false(r->irq[0]); /* reading the IIR is the acknowledgement */
	assert_int_equal(in8(r, IIR), 0xc1);
	out8(r, DATA, 'x');
	assert_true(r->irq[0]);
	rig_clear(r);
	out8(r, DATA, 'y'); /* unacknowledged: falls and rises */
	assert_int_equal(rig_count(r, EVENT_IRQ), 2);
	assert_true(r->irq[0]);
	in8(r, IIR);
	out8(r, IER, 2); /* enabled already */
	assert_false(r->irq[0]);
	out8(r, IER, 0);
	out8(r, IER, 2);
	assert_true(r->irq[0]);
}

static void test_out2_gates_the_interrupt(void **state)
{
	struct rig *r = *state;

	set_up(r, 2);
	assert_true(r->irq[0]);
	out8(r, MCR, 3);
	assert_false(r->irq[0]);
	assert_int_equal(in8(r, IIR), 0xc2); /* pending all the same */
}

static void test_receive_fifo(void **state)
{
	struct rig *r = *state;

	set_up(r, 1);
	assert_int_equal(rig_type(r, "0123456"), 7);
	assert_false(r->irq[0]);
	assert_int_equal(in8(r, LSR), 0x61);
	assert_int_equal(rig_type(r, "7"), 1);
	assert_true(r->irq[0]); /* the trigger level */
	assert_int_equal(in8(r, IIR), 0xc4);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(in8(r, DATA), '0' + i);
		assert_false(r->irq[0]); /* below the level */
	}
	assert_int_equal(in8(r, LSR), 0x60);
	assert_int_equal(in8(r, DATA), '7'); /* nothing new */
}

static void test_receive_timeout(void **state)
{
	struct rig *r = *state;

	set_up(r, 1);
	rig_type(r, "ab");
	rig_advance(r, 347221); /* 4 characters of 10 bits at 115200 are 347.2 us */
	assert_false(r->irq[0]);
	rig_advance(r, 1);
	assert_true(r->irq[0]);
	assert_int_equal(in8(r, IIR), 0xcc);
	in8(r, DATA); /* reading restarts it */
	assert_false(r->irq[0]);
	rig_advance(r, 347222);
	assert_true(r->irq[0]);
	in8(r, DATA);
	rig_advance(r, 1000000);
	assert_false(r->irq[0]);
}

static void test_single_register(void **state)
{
	struct rig *r = *state;

	set_up(r, 1);
	out8(r, FCR, 0);
	assert_int_equal(rig_type(r, "ab"), 1);
	assert_true(r->irq[0]);
	assert_int_equal(in8(r, IIR), 0x04);
	assert_int_equal(in8(r, DATA), 'a');
	assert_false(r->irq[0]);
}

static void test_flow_control(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_type(r, "early"), 0); /* nobody has opened the line */
	out8(r, MCR, 1);
	assert_int_equal(rig_type(r, "early"), 0);
	rig_clear(r);
	out8(r, FCR, 1);
	out8(r, MCR, 3);
	assert_int_equal(rig_count(r, EVENT_RESUME), 1);
	assert_int_equal(rig_type(r, "0123456789abcdefgh"), 16);
	rig_clear(r);
	assert_int_equal(rig_type(r, "z"), 0);
	in8(r, DATA);
	in8(r, DATA);
	assert_int_equal(rig_count(r, EVENT_RESUME), 1); /* once: then it knows */
	assert_int_equal(rig_type(r, "xyz"), 2);
	rig_clear(r);
	out8(r, FCR, 3); /* clearing makes room */
	assert_int_equal(rig_count(r, EVENT_RESUME), 1);
	assert_int_equal(in8(r, LSR), 0x60);
	out8(r, MCR, 0x13); /* loopback: the line is not connected */
	assert_int_equal(rig_type(r, "a"), 0);
}

/* Without a handshake the line is always open, but for loopback. */
static void test_no_handshake(void **state)
{
	static const struct alc_dev_opt opts[] = {{"port", "0x2e8"}, {"handshake", "off"}};
	struct rig *r = *state;
	struct alc_dev *d;

	assert_int_equal(dev_create(r->dev->cls, "open", &r->env, opts, 2, &d, NULL), 0);
	assert_int_equal(rig_type(r, "a"), 1);
	assert_int_equal(in8(r, 0x2e8), 'a');
	out8(r, 0x2e8 + MCR - DATA, 0x10);
	assert_int_equal(rig_type(r, "a"), 0);
	dev_destroy(d);
	region_remove(&r->ports, 0x2e8);
}

static void test_loopback(void **state)
{
	struct rig *r = *state;

	set_up(r, 0);
	in8(r, MSR);
	out8(r, MCR, 0x10);
	assert_int_equal(in8(r, MSR), 0x0b); /* all dropped: CTS, DSR, DCD changed */
	assert_int_equal(in8(r, MSR), 0x00);
	out8(r, MCR, 0x1a);
	assert_int_equal(in8(r, MSR) & 0xf0, 0x90); /* RTS to CTS, OUT2 to DCD */
	out8(r, MCR, 0x15);
	assert_int_equal(in8(r, MSR) & 0xf0, 0x60); /* DTR to DSR, OUT1 to RI */
	out8(r, MCR, 0x10);
	assert_int_equal(in8(r, MSR), 0x06); /* the ring's trailing edge, and DSR */
	out8(r, DATA, 'L');
	assert_int_equal(rig_count(r, EVENT_CHAR), 0);
	assert_int_equal(in8(r, LSR), 0x61);
	assert_int_equal(in8(r, DATA), 'L');
}

static void test_overrun(void **state)
{
	struct rig *r = *state;

	set_up(r, 0);
	out8(r, MCR, 0x10);
	for (unsigned i = 0; i < 17; i++)
		out8(r, DATA, (u8)('a' + i));
	out8(r, MCR, OPEN);
	out8(r, IER, 5);
	assert_int_equal(in8(r, IIR), 0xc6); /* line status before data */
	assert_int_equal(in8(r, LSR), 0x63);
	assert_int_equal(in8(r, LSR), 0x61); /* told once */
	assert_int_equal(in8(r, IIR), 0xc4);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(in8(r, DATA), 'a' + i); /* the last was lost */
	out8(r, FCR, 0);
	out8(r, MCR, 0x10);
	out8(r, DATA, '1');
	out8(r, DATA, '2');
	assert_int_equal(in8(r, LSR), 0x63);
	assert_int_equal(in8(r, DATA), '2'); /* without FIFO the first is */
}

static void test_priorities(void **state)
{
	struct rig *r = *state;

	set_up(r, 0);
	in8(r, MSR);
	out8(r, MCR, 0x10);
	for (unsigned i = 0; i < 17; i++)
		out8(r, DATA, 'x');
	out8(r, MCR, OPEN);
	out8(r, IER, 0x0f);
	assert_int_equal(in8(r, IIR), 0xc6);
	in8(r, LSR);
	assert_int_equal(in8(r, IIR), 0xc4);
	for (unsigned i = 0; i < 16; i++)
		in8(r, DATA);
	assert_int_equal(in8(r, IIR), 0xc2);
	assert_int_equal(in8(r, IIR), 0xc0); /* modem status: 0 in the low bits */
	in8(r, MSR);
	assert_int_equal(in8(r, IIR), 0xc1);
	assert_false(r->irq[0]);
}

static void test_second_port(void **state)
{
	struct rig *r = *state;
	const struct alc_dev_opt opts[] = {{"port", "0x2f8"}};
	struct alc_err err = {0};
	struct alc_dev *com2;

	assert_int_equal(
		dev_create(dev_class_find("uart16550"), "com2", &r->env, opts, 1, &com2, &err), 0);
	out8(r, 0x2ff, 0x77);
	assert_int_equal(in8(r, 0x2ff), 0x77);
	assert_int_equal(in8(r, SCR), 0);
	dev_destroy(com2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_registers),
		DEVICE_TEST(test_transmit),
		DEVICE_TEST(test_transmitter_interrupt),
		DEVICE_TEST(test_out2_gates_the_interrupt),
		DEVICE_TEST(test_receive_fifo),
		DEVICE_TEST(test_receive_timeout),
		DEVICE_TEST(test_single_register),
		DEVICE_TEST(test_flow_control),
		DEVICE_TEST(test_no_handshake),
		DEVICE_TEST(test_loopback),
		DEVICE_TEST(test_overrun),
		DEVICE_TEST(test_priorities),
		DEVICE_TEST(test_second_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
