/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_test.h"
#include "bus/pc.h"
#include "device/irq/ioapic.h"

DEVICE_SETUP("ioapic")

static void reg_write(struct rig *r, u8 index, u32 val)
{
	region_write(&r->space.devices, PC_IOAPIC_BASE, index, 4);
	region_write(&r->space.devices, PC_IOAPIC_BASE + 0x10, val, 4);
}

static u32 reg_read(struct rig *r, u8 index)
{
	region_write(&r->space.devices, PC_IOAPIC_BASE, index, 4);
	return (u32)region_read(&r->space.devices, PC_IOAPIC_BASE + 0x10, 4);
}

static void entry(struct rig *r, unsigned pin, u64 rte)
{
	reg_write(r, (u8)(0x11 + 2 * pin), (u32)(rte >> 32));
	reg_write(r, (u8)(0x10 + 2 * pin), (u32)rte);
}

static void set(struct rig *r, unsigned pin, bool level)
{
	struct alc_irq irq = ioapic_input(r->dev, pin);

	irq_set(&irq, level);
}

static bool remote_irr(struct rig *r, unsigned pin)
{
	return reg_read(r, (u8)(0x10 + 2 * pin)) >> 14 & 1;
}

enum { LEVEL = 1 << 15, MASKED = 1 << 16, LOGICAL = 1 << 11 };

static void test_registers(void **state)
{
	struct rig *r = *state;

	assert_int_equal(reg_read(r, 1), 0x00170011);
	reg_write(r, 1, 0xffffffff);
	assert_int_equal(reg_read(r, 1), 0x00170011);
	reg_write(r, 0, 0xffffffff);
	assert_int_equal(reg_read(r, 0), 0x0f000000);
	assert_int_equal(reg_read(r, 2), 0x0f000000);
	assert_int_equal(reg_read(r, 0x10 + 46), MASKED);
	entry(r, 23, ~0ull & ~(u64)LEVEL);
	assert_int_equal(reg_read(r, 0x10 + 46), 0x12fff);
	assert_int_equal(reg_read(r, 0x11 + 46), 0xff000000);
	assert_int_equal(reg_read(r, 0x40), 0);
	/* A byte of the window; the select register's other bytes are not there. */
	assert_int_equal(region_read(&r->space.devices, PC_IOAPIC_BASE, 4), 0x40);
}

static void test_edge(void **state)
{
	struct rig *r = *state;
	const struct event *msi;

	entry(r, 4, 0x0300000000000034ull);
	set(r, 4, true);
	set(r, 4, true);
	assert_int_equal(rig_count(r, EVENT_MSI), 1);
	msi = rig_last(r, EVENT_MSI);
	assert_int_equal(msi->a, 0xfee03000);
	assert_int_equal(msi->b, 0x4034);
	assert_false(remote_irr(r, 4));
	set(r, 4, false);
	set(r, 4, true);
	assert_int_equal(rig_count(r, EVENT_MSI), 2);
}

static void test_edge_on_masked_pin_is_lost(void **state)
{
	struct rig *r = *state;

	entry(r, 4, 0x34 | MASKED);
	set(r, 4, true);
	entry(r, 4, 0x34);
	assert_int_equal(rig_count(r, EVENT_MSI), 0);
}

static void test_message_fields(void **state)
{
	struct rig *r = *state;

	entry(r, 9, 0xff00000000000000ull | LOGICAL | 1 << 8 | LEVEL | 0x51);
	set(r, 9, true);
	assert_int_equal(rig_last(r, EVENT_MSI)->a, 0xfeeff004);
	assert_int_equal(rig_last(r, EVENT_MSI)->b, 0xc151);
	entry(r, 0, 7 << 8 | LEVEL); /* ExtINT has no handshake */
	set(r, 0, true);
	assert_int_equal(rig_last(r, EVENT_MSI)->b, 0x4700);
	assert_false(remote_irr(r, 0));
}

static void test_level_handshake(void **state)
{
	struct rig *r = *state;

	entry(r, 9, LEVEL | 0x51);
	set(r, 9, true);
	assert_int_equal(rig_count(r, EVENT_MSI), 1);
	assert_true(remote_irr(r, 9));
	set(r, 9, false);
	set(r, 9, true); /* accepted already: nothing until the EOI */
	assert_int_equal(rig_count(r, EVENT_MSI), 1);
	ioapic_eoi(r->dev, 0x50);
	assert_true(remote_irr(r, 9));
	ioapic_eoi(r->dev, 0x51); /* still asserted: again */
	assert_int_equal(rig_count(r, EVENT_MSI), 2);
	assert_true(remote_irr(r, 9));
	set(r, 9, false);
	ioapic_eoi(r->dev, 0x51);
	assert_int_equal(rig_count(r, EVENT_MSI), 2);
	assert_false(remote_irr(r, 9));
}

static void test_level_and_mask(void **state)
{
	struct rig *r = *state;

	entry(r, 9, LEVEL | MASKED | 0x51);
	set(r, 9, true);
	assert_int_equal(rig_count(r, EVENT_MSI), 0);
	entry(r, 9, LEVEL | 0x51); /* a level is not lost */
	assert_int_equal(rig_count(r, EVENT_MSI), 1);
	entry(r, 9, LEVEL | MASKED | 0x51);
	assert_true(remote_irr(r, 9)); /* software can't write it */
	ioapic_eoi(r->dev, 0x51);
	assert_int_equal(rig_count(r, EVENT_MSI), 1);
	assert_false(remote_irr(r, 9));
}

/* How an operating system ends an interrupt on an I/O APIC without an EOI register. */
static void test_switching_to_edge_ends(void **state)
{
	struct rig *r = *state;

	entry(r, 9, LEVEL | 0x51);
	set(r, 9, true);
	entry(r, 9, MASKED | 0x51);
	assert_false(remote_irr(r, 9));
	entry(r, 9, LEVEL | MASKED | 0x51);
	assert_false(remote_irr(r, 9));
	entry(r, 9, LEVEL | 0x51);
	assert_int_equal(rig_count(r, EVENT_MSI), 2);
}

static void test_two_pins_of_one_vector(void **state)
{
	struct rig *r = *state;

	entry(r, 10, LEVEL | 0x60);
	entry(r, 11, LEVEL | 0x60);
	set(r, 10, true);
	set(r, 11, true);
	set(r, 10, false);
	ioapic_eoi(r->dev, 0x60);
	assert_int_equal(rig_count(r, EVENT_MSI), 3);
	assert_false(remote_irr(r, 10));
	assert_true(remote_irr(r, 11));
	set(r, 24, true); /* no such pin */
	assert_int_equal(rig_count(r, EVENT_MSI), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_registers),
		DEVICE_TEST(test_edge),
		DEVICE_TEST(test_edge_on_masked_pin_is_lost),
		DEVICE_TEST(test_message_fields),
		DEVICE_TEST(test_level_handshake),
		DEVICE_TEST(test_level_and_mask),
		DEVICE_TEST(test_switching_to_edge_ends),
		DEVICE_TEST(test_two_pins_of_one_vector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
