/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_test.h"
#include "base/errno.h"
#include "bus/pc.h"
#include "device/platform/acpi_pm.h"
#include "device/platform/fw_cfg.h"

/* The small devices of the platform, and those for tests. */

#define SETUP(name, class_name)                         \
	static int name(void **state)                   \
	{                                               \
		return device_setup(state, class_name); \
	}

SETUP(setup_pm, "acpi-pm")
SETUP(setup_fw_cfg, "fw-cfg")
SETUP(setup_debugcon, "debugcon")
SETUP(setup_reset, "pc-reset")
SETUP(setup_exit, "isa-debug-exit")
SETUP(setup_status, "guest-status")
SETUP(setup_testdev, "pc-testdev")

#define S 1000000000ull

/* ---- acpi-pm ---- */

enum { STS = PC_PORT_PM, EN = STS + 2, CNT = STS + 4, TMR = STS + 8 };

static void test_pm_timer(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_in(r, TMR, 4), 0);
	rig_advance(r, S);
	assert_int_equal(rig_in(r, TMR, 4), 3579545);
	assert_int_equal(rig_in(r, TMR, 2), 3579545 & 0xffff);
	assert_int_equal(rig_in(r, TMR + 1, 1), 3579545 >> 8 & 0xff);
	dev_reset(r->dev, ALC_RESET_COLD);
	assert_int_equal(rig_in(r, TMR, 4), 3579545); /* runs through resets */
	rig_skip(r, 1199 * S);
	assert_int_equal(rig_in(r, TMR, 4), (u32)(3579545ull * 1200));
	rig_out(r, TMR, 0, 4);
	assert_int_equal(rig_in(r, TMR, 4), (u32)(3579545ull * 1200));
}

static void test_pm_timer_event(void **state)
{
	struct rig *r = *state;

	rig_out(r, EN, 1, 2);
	rig_advance(r, 599 * S);
	assert_false(r->irq[0]);
	rig_advance(r, S); /* 2^31 / 3579545 is 599.93 s */
	assert_true(r->irq[0]);
	assert_int_equal(rig_in(r, STS, 2), 1);
	rig_out(r, STS, 1, 2);
	assert_false(r->irq[0]);
	rig_advance(r, 600 * S);
	assert_true(r->irq[0]);
	rig_out(r, EN, 0, 2);
	assert_false(r->irq[0]);
	assert_int_equal(rig_in(r, STS, 4), 1);
}

static void test_pm_power_button(void **state)
{
	struct rig *r = *state;

	acpi_pm_power_button(r->dev);
	assert_false(r->irq[0]);
	assert_int_equal(rig_in(r, STS, 2), 0x100);
	rig_out(r, EN, 0x01, 1);
	rig_out(r, EN + 1, 0x01, 1); /* bytes of a register do not disturb each other */
	assert_int_equal(rig_in(r, EN, 2), 0x101);
	assert_true(r->irq[0]);
	rig_out(r, STS, 0xff, 1);
	assert_true(r->irq[0]);
	rig_out(r, STS + 1, 0x01, 1);
	assert_false(r->irq[0]);
	rig_out(r, EN, 0xffff, 2);
	assert_int_equal(rig_in(r, EN, 2), 0x521);
}

static void test_pm_control(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_in(r, CNT, 2), 1);
	rig_out(r, CNT, 0, 2);
	assert_int_equal(rig_in(r, CNT, 2), 1);
	rig_out(r, CNT, 1 << 10 | 1 << 13, 2);
	rig_out(r, CNT, 5 << 10, 2);
	assert_int_equal(rig_count(r, EVENT_REQUEST), 0);
	rig_out(r, CNT, 5 << 10 | 1 << 13, 2);
	assert_int_equal(rig_count(r, EVENT_REQUEST), 1);
	assert_int_equal(rig_last(r, EVENT_REQUEST)->a, ALC_REQUEST_POWEROFF);
	assert_int_equal(rig_in(r, CNT, 2), 5 << 10 | 1);
	rig_out(r, CNT, 1 << 13, 2); /* as OVMF does it */
	assert_int_equal(rig_count(r, EVENT_REQUEST), 2);
}

/* ---- fw-cfg ---- */

static void fw_select(struct rig *r, u16 key)
{
	rig_out(r, 0x510, key, 2);
}

static u64 fw_be(struct rig *r, unsigned bytes)
{
	u64 v = 0;

	while (bytes--)
		v = v << 8 | in8(r, 0x511);
	return v;
}

static void test_fw_cfg_items(void **state)
{
	struct rig *r = *state;

	fw_select(r, 0);
	assert_int_equal(fw_be(r, 4), 0x51454d55);
	assert_int_equal(in8(r, 0x511), 0);
	fw_select(r, 1);
	assert_int_equal(fw_be(r, 4), 0x03000000); /* both interfaces */
	fw_select(r, 5);
	assert_int_equal(fw_be(r, 2), 0x0100);
	fw_select(r, 0x4000 | 5);
	out8(r, 0x510, 0); /* the selector is 16 bits wide or nothing */
	assert_int_equal(fw_be(r, 2), 0x0100);
	fw_select(r, 0x8000 | 5); /* a number of its own */
	assert_int_equal(fw_be(r, 2), 0);
	fw_select(r, 0x8002);
	assert_int_equal(fw_be(r, 2), 0x0100);
	fw_select(r, 0x1234);
	assert_int_equal(fw_be(r, 4), 0);
	out8(r, 0x511, 0xff);
}

static void test_fw_cfg_directory(void **state)
{
	struct rig *r = *state;
	struct alc_err err = {0};
	char name[FW_CFG_NAME_MAX];

	fw_select(r, 0x19);
	assert_int_equal(fw_be(r, 4), 0);
	assert_int_equal(fw_cfg_add_file(r->dev, "etc/one", "abc", 3, &err), 0);
	assert_int_equal(fw_cfg_add_file(r->dev, "etc/none", "", 0, &err), 0);
	assert_int_equal(fw_cfg_add_file(r->dev, "opt/two", "\xff\xfe", 2, &err), 0);
	fw_select(r, 0x19);
	assert_int_equal(fw_be(r, 4), 3);
	assert_int_equal(fw_be(r, 4), 3);
	assert_int_equal(fw_be(r, 2), 0x20);
	assert_int_equal(fw_be(r, 2), 0);
	for (unsigned i = 0; i < sizeof(name); i++)
		name[i] = (char)in8(r, 0x511);
	assert_string_equal(name, "etc/one");
	assert_int_equal(fw_be(r, 4), 0);
	assert_int_equal(fw_be(r, 2), 0x21);
	fw_select(r, 0x22);
	assert_int_equal(fw_be(r, 3), 0xfffe00);
	fw_select(r, 0x21);
	assert_int_equal(fw_be(r, 1), 0);
	fw_select(r, 0x23);
	assert_int_equal(fw_be(r, 1), 0);
}

static void test_fw_cfg_refusals(void **state)
{
	struct rig *r = *state;
	struct alc_err err = {0};
	char name[64];

	memset(name, 'n', sizeof(name));
	name[56] = 0;
	assert_int_equal(fw_cfg_add_file(r->dev, name, "", 0, &err), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	name[55] = 0;
	assert_int_equal(fw_cfg_add_file(r->dev, name, "", 0, NULL), 0);
	assert_int_equal(fw_cfg_add_file(r->dev, name, "", 0, NULL), -EINVAL);
	assert_int_equal(fw_cfg_add_file(r->dev, "", "", 0, NULL), -EINVAL);
	for (unsigned i = 1; i < FW_CFG_FILES_MAX; i++) {
		name[0] = (char)i;
		assert_int_equal(fw_cfg_add_file(r->dev, name, "x", 1, NULL), 0);
	}
	assert_int_equal(fw_cfg_add_file(r->dev, "more", "x", 1, NULL), -ENOSPC);
}

enum { FW_RAM = 0x4000, FW_COMMAND = 0x1000 };
enum { FW_ERROR = 1, FW_READ = 2, FW_SKIP = 4, FW_SELECT = 8, FW_WRITE = 16 };

static void fw_memory(struct rig *r)
{
	const struct alc_host *h = r->env.host;
	struct region_map devices = r->space.devices;

	assert_int_equal(space_init(&r->space, h, FW_RAM + ALC_PAGE_SIZE, NULL), 0);
	r->space.devices = devices;
	assert_int_equal(space_add_bank(&r->space, gpa(0), FW_RAM, false, NULL), 0);
	assert_int_equal(space_add_bank(&r->space, gpa(0x8000), ALC_PAGE_SIZE, true, NULL), 0);
	for (unsigned i = 0; i < FW_RAM; i += 8)
		space_write(&r->space, gpa(i), 0x5555555555555555, 8);
}

static void fw_memory_end(struct rig *r)
{
	struct region_map devices = r->space.devices;

	r->space.devices = (struct region_map){.host = r->env.host};
	space_fini(&r->space);
	r->space = (struct alc_space){.host = r->env.host, .devices = devices};
}

/* Puts a command at `at` and has it carried out; returns its control word afterwards. */
static u32 fw_command_at(struct rig *r, u64 at, u32 control, u32 len, u64 to)
{
	u8 c[16];

	st32(c, __builtin_bswap32(control));
	st32(c + 4, __builtin_bswap32(len));
	st64(c + 8, __builtin_bswap64(to));
	assert_int_equal(space_load(&r->space, gpa(at), c, sizeof(c)), 0);
	rig_out(r, 0x514, __builtin_bswap32((u32)(at >> 32)), 4);
	rig_out(r, 0x518, __builtin_bswap32((u32)at), 4);
	return __builtin_bswap32((u32)space_read(&r->space, gpa(at), 4));
}

static u32 fw_command(struct rig *r, u32 control, u32 len, u64 to)
{
	return fw_command_at(r, FW_COMMAND, control, len, to);
}

static u64 fw_ram(struct rig *r, u64 at, unsigned size)
{
	return space_read(&r->space, gpa(at), size);
}

static void test_fw_cfg_dma_reads(void **state)
{
	struct rig *r = *state;

	fw_memory(r);
	assert_int_equal(fw_cfg_add_file(r->dev, "etc/one", "abcdef", 6, NULL), 0);
	assert_int_equal(rig_in(r, 0x514, 4), 0x554d4551); /* QEMU */
	assert_int_equal(rig_in(r, 0x518, 4), 0x47464320); /* CFG, after a blank */
	assert_int_equal(fw_command(r, 0x20 << 16 | FW_SELECT | FW_READ, 2, 0x2000), 0);
	assert_int_equal(fw_ram(r, 0x2000, 4), 0x55556261);
	assert_int_equal(fw_command(r, FW_SKIP, 1, 0), 0);
	assert_int_equal(fw_command(r, FW_READ, 5, 0x2001), 0); /* two beyond the end */
	assert_int_equal(fw_ram(r, 0x2000, 8), 0x5555000066656461);
	assert_int_equal(in8(r, 0x511), 0); /* the other interface stands there too */
	assert_int_equal(fw_command(r, 0x20 << 16 | FW_SELECT, 0, 0), 0);
	assert_int_equal(in8(r, 0x511), 'a');
	assert_int_equal(fw_command(r, FW_SKIP, ~0u, 0), 0);
	assert_int_equal(in8(r, 0x511), 0);
	assert_int_equal(fw_command(r, 0x777 << 16 | FW_SELECT | FW_READ, FW_RAM - 0x2000, 0x2000),
			 0); /* nothing is all zeroes, over more than a page */
	for (unsigned i = 0x2000; i < FW_RAM; i += 8)
		assert_int_equal(fw_ram(r, i, 8), 0);
	fw_memory_end(r);
}

static void test_fw_cfg_dma_refusals(void **state)
{
	static const u64 bad[] = {FW_RAM - 2, FW_RAM, 0x8000, 0xfffffffffffffffe, 1ull << 40};
	struct rig *r = *state;

	fw_memory(r);
	assert_int_equal(fw_cfg_add_file(r->dev, "etc/one", "abcdef", 6, NULL), 0);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(fw_command(r, 0x20 << 16 | FW_SELECT | FW_READ, 4, bad[i]),
				 FW_ERROR);
		assert_int_equal(in8(r, 0x511), 'a'); /* not read by halves */
	}
	assert_int_equal(fw_ram(r, FW_RAM - 8, 8), 0x5555555555555555);
	assert_int_equal(fw_command(r, 0x20 << 16 | FW_SELECT | FW_WRITE, 4, 0x2000), FW_ERROR);
	assert_int_equal(fw_command(r, FW_READ, ~0u, 0x2000), FW_ERROR); /* more than there is */
	/* The command itself where nothing can be read, or nothing be answered. */
	rig_out(r, 0x514, ~0u, 4);
	rig_out(r, 0x518, ~0u, 4);
	rig_out(r, 0x518, __builtin_bswap32(FW_RAM - 8), 4);
	assert_int_equal(fw_command_at(r, 0x8000, 0x20 << 16 | FW_SELECT | FW_READ, 2, 0x2000),
			 0x20 << 16 | FW_SELECT | FW_READ);
	/* The high half holds for one command. */
	rig_out(r, 0x514, ~0u, 4);
	rig_out(r, 0x518, 0, 4);
	assert_int_equal(fw_command(r, 0x20 << 16 | FW_SELECT, 0, 0), 0);
	fw_memory_end(r);
}

static void test_debugcon(void **state)
{
	struct rig *r = *state;

	assert_int_equal(in8(r, 0x402), 0xe9);
	out8(r, 0x402, 'x');
	rig_out(r, 0x402, 'y' | 0x100, 2);
	assert_int_equal(rig_count(r, EVENT_CHAR), 2);
	assert_int_equal(rig_last(r, EVENT_CHAR)->a, 'y');
}

/* ---- reset, exit, status ---- */

static void test_reset_register(void **state)
{
	struct rig *r = *state;

	out8(r, 0xcf9, 0x02);
	out8(r, 0xcf9, 0x0a);
	assert_int_equal(rig_count(r, EVENT_REQUEST), 0);
	assert_int_equal(in8(r, 0xcf9), 0x0a);
	out8(r, 0xcf9, 0x0e);
	assert_int_equal(rig_count(r, EVENT_REQUEST), 1);
	assert_int_equal(rig_last(r, EVENT_REQUEST)->a, ALC_REQUEST_RESET);
	out8(r, 0xcf9, 0x06); /* no rise */
	assert_int_equal(rig_count(r, EVENT_REQUEST), 1);
	out8(r, 0xcf9, 0x00);
	out8(r, 0xcf9, 0x06);
	assert_int_equal(rig_count(r, EVENT_REQUEST), 2);
}

static void test_debug_exit(void **state)
{
	struct rig *r = *state;

	out8(r, 0xf4, 0);
	assert_int_equal(rig_last(r, EVENT_REQUEST)->a, ALC_REQUEST_EXIT);
	assert_int_equal(rig_last(r, EVENT_REQUEST)->b, 1);
	rig_out(r, 0xf4, 0x10, 4);
	assert_int_equal(rig_last(r, EVENT_REQUEST)->b, 0x21);
	out8(r, 0xf7, 0xff);
	assert_int_equal(rig_last(r, EVENT_REQUEST)->b, 0xff);
	assert_int_equal(rig_count(r, EVENT_REQUEST), 3);
	assert_int_equal(in8(r, 0xf4), 0);
}

static void test_debug_exit_options(void **state)
{
	struct rig *r = *state;
	const struct alc_dev_opt opts[] = {{"iobase", "0x501"}, {"iosize", "0x1"}};
	struct alc_dev *d;

	assert_int_equal(dev_create(r->dev->cls, "exit2", &r->env, opts, 2, &d, NULL), 0);
	out8(r, 0x501, 3);
	assert_int_equal(rig_last(r, EVENT_REQUEST)->b, 7);
	out8(r, 0x502, 3);
	assert_int_equal(rig_count(r, EVENT_REQUEST), 1);
	assert_int_equal(in8(r, 0x502), 0xff);
	dev_destroy(d);
}

static void test_guest_status(void **state)
{
	struct rig *r = *state;

	out8(r, PC_PORT_STATUS, 42);
	assert_int_equal(rig_last(r, EVENT_REQUEST)->a, ALC_REQUEST_STATUS);
	assert_int_equal(rig_last(r, EVENT_REQUEST)->b, 42);
	assert_int_equal(in8(r, PC_PORT_STATUS), 42);
}

/* ---- pc-testdev ---- */

static void test_testdev_latch(void **state)
{
	struct rig *r = *state;

	rig_out(r, 0xe0, 0x11223344, 4);
	assert_int_equal(rig_in(r, 0xe0, 4), 0x11223344);
	rig_out(r, 0xe2, 0xaabb, 2);
	out8(r, 0xe1, 0xcc);
	assert_int_equal(rig_in(r, 0xe0, 4), 0xaabbcc44);
	assert_int_equal(rig_in(r, 0xe1, 2), 0xbbcc);
	assert_int_equal(rig_in(r, 0xe8, 4), 0xaabbcc44); /* the same, by bytes */
	rig_out(r, 0xe8, 0x01020304, 4);
	assert_int_equal(rig_in(r, 0xe0, 4), 0x01020304);
	rig_out(r, 0xe4, 0x1000, 4);
	assert_int_equal(rig_in(r, 0xe0, 4), 0x01020304);
}

static void test_testdev_lines(void **state)
{
	struct rig *r = *state;

	out8(r, 0x2000 + 17, 1);
	assert_int_equal(r->gsi, 1u << 17);
	assert_int_equal(in8(r, 0x2000 + 17), 1);
	out8(r, 0x2000 + 5, 0x80);
	assert_int_equal(r->gsi, 1u << 17 | 1u << 5);
	out8(r, 0x2000 + 17, 0);
	assert_int_equal(r->gsi, 1u << 5);
	dev_reset(r->dev, ALC_RESET_WARM);
	assert_int_equal(r->gsi, 0);
}

static void test_testdev_memory(void **state)
{
	struct rig *r = *state;
	struct region_map *m = &r->space.devices;

	region_write(m, PC_TESTDEV_BASE + 0xfff8, 0x1122334455667788, 8);
	assert_true(region_read(m, PC_TESTDEV_BASE + 0xfff8, 8) == 0x1122334455667788);
	assert_int_equal(region_read(m, PC_TESTDEV_BASE + 0xfffb, 2), 0x4455);
	region_write(m, PC_TESTDEV_BASE + 0xfff9, 0xaabbccdd, 4);
	assert_true(region_read(m, PC_TESTDEV_BASE + 0xfff8, 8) == 0x112233aabbccdd88);
}

#define T(test, setup) cmocka_unit_test_setup_teardown(test, setup, device_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_pm_timer, setup_pm),
		T(test_pm_timer_event, setup_pm),
		T(test_pm_power_button, setup_pm),
		T(test_pm_control, setup_pm),
		T(test_fw_cfg_items, setup_fw_cfg),
		T(test_fw_cfg_directory, setup_fw_cfg),
		T(test_fw_cfg_refusals, setup_fw_cfg),
		T(test_fw_cfg_dma_reads, setup_fw_cfg),
		T(test_fw_cfg_dma_refusals, setup_fw_cfg),
		T(test_debugcon, setup_debugcon),
		T(test_reset_register, setup_reset),
		T(test_debug_exit, setup_exit),
		T(test_debug_exit_options, setup_exit),
		T(test_guest_status, setup_status),
		T(test_testdev_latch, setup_testdev),
		T(test_testdev_lines, setup_testdev),
		T(test_testdev_memory, setup_testdev),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
