/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "host/test/sweep.h"
#include "tiny_kernel.h"

/* ---- Guests --------------------------------------------------------------------------------- */

static const u8 crash[] = {0xcc}; /* int3 without an IDT */
static const u8 spin[] = {0xeb, 0xfe};
static const u8 sleep_forever[] = {0xfa, 0xf4, 0xeb, 0xfd}; /* cli; hlt */
static const u8 debug_exit[] = {0xb0, 21, 0xe6, 0xf4, 0xeb, 0xfe};
/* Status 9 to port 0xf8, then SLP_EN with S5 to PM1a control. */
static const u8 power_off[] = {0xb0, 9,    0xe6, 0xf8, 0x66, 0xba, 0x04, 0x06,
			       0x66, 0xb8, 0x00, 0x34, 0x66, 0xef, 0xeb, 0xfe};
/*
 * Counts its starts in RAM that no image covers, with a reset by the keyboard controller after
 * each but the third, when it powers off.
 */
static const u8 third_time[] = {
	0xff, 0x05, 0x00, 0x00, 0x20, 0x00,    /* incl 0x200000 */
	0x83, 0x3d, 0x00, 0x00, 0x20, 0x00, 3, /* cmpl $3, 0x200000 */
	0x74, 6,                               /* je */
	0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe,    /* reset */
	0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x34, 0x66, 0xef, 0xeb, 0xfe,
};

static const struct alc_device_desc exit_device = {.class_name = "isa-debug-exit"};

static struct alc_desc description(void)
{
	struct alc_desc d = ALC_DESC_INIT;

	d.engine = "interp";
	d.memory_bytes = 16 << 20;
	d.devices = &exit_device;
	d.ndevices = 1;
	return d;
}

static struct machine_parts parts(const u8 *image, size_t len)
{
	return (struct machine_parts){.kernel = {"test", image, len}};
}

/* ---- Outcomes ----------------------------------------------------------------------------- */

struct ending {
	struct alc_result res;
	unsigned resets;
};

static struct ending run(const struct alc_desc *desc, const u8 *code, size_t len, bool stop)
{
	u8 image[IMAGE_MAX];
	struct machine_parts p = parts(image, make_kernel(image, code, len));
	struct alc_err err = {0};
	struct test_host th;
	struct machine *m;
	struct ending e;

	test_host_init(&th, TEST_TIME_REAL);
	if (machine_create(&th.host, desc, &p, &m, &err))
		fail_msg("%s", err.text);
	if (stop)
		machine_stop(m);
	if (machine_run(m, &e.res, &err))
		fail_msg("%s", err.text);
	e.resets = m->resets;
	machine_destroy(m);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
	return e;
}

static void crashes(void **state)
{
	struct alc_desc d = description();

	assert_int_equal(run(&d, crash, sizeof(crash), false).res.outcome, ALC_OUTCOME_CRASHED);
}

static void exits(void **state)
{
	struct alc_desc d = description();
	struct ending e = run(&d, debug_exit, sizeof(debug_exit), false);

	assert_int_equal(e.res.outcome, ALC_OUTCOME_EXIT);
	assert_int_equal(e.res.status, 21 << 1 | 1);
}

static void powers_off_with_status(void **state)
{
	struct alc_desc d = description();
	struct ending e;

	for (d.cpus = 1; d.cpus <= 3; d.cpus++) {
		e = run(&d, power_off, sizeof(power_off), false);
		assert_int_equal(e.res.outcome, ALC_OUTCOME_POWEROFF);
		assert_int_equal(e.res.status, 9);
	}
}

static void stops(void **state)
{
	struct alc_desc d = description();

	assert_int_equal(run(&d, spin, sizeof(spin), true).res.outcome, ALC_OUTCOME_STOPPED);
	assert_int_equal(run(&d, sleep_forever, sizeof(sleep_forever), true).res.outcome,
			 ALC_OUTCOME_STOPPED);
}

static void times_out(void **state)
{
	struct alc_desc d = description();

	d.timeout_ns = 1000000;
	assert_int_equal(run(&d, spin, sizeof(spin), false).res.outcome, ALC_OUTCOME_TIMEOUT);
	assert_int_equal(run(&d, sleep_forever, sizeof(sleep_forever), false).res.outcome,
			 ALC_OUTCOME_TIMEOUT);
}

static void resets(void **state)
{
	struct alc_desc d = description();
	struct ending e = run(&d, third_time, sizeof(third_time), false);

	assert_int_equal(e.res.outcome, ALC_OUTCOME_POWEROFF);
	assert_int_equal(e.resets, 2);
	d.no_reboot = true;
	e = run(&d, third_time, sizeof(third_time), false);
	assert_int_equal(e.res.outcome, ALC_OUTCOME_RESET);
	assert_int_equal(e.resets, 0);
}

/* ---- Descriptions that make no sense ------------------------------------------------------ */

static void refused(const struct alc_desc *d, int code, const char *says)
{
	u8 image[IMAGE_MAX];
	struct machine_parts p = parts(image, make_kernel(image, spin, sizeof(spin)));
	struct alc_err err = {0};
	struct machine *m = NULL;
	struct test_host th;

	test_host_init(&th, TEST_TIME_MANUAL);
	assert_int_equal(machine_create(&th.host, d, &p, &m, &err), code);
	assert_null(m);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

static void bad_descriptions(void **state)
{
	struct alc_device_desc misspelt = {.class_name = "isa-debug-exi"};
	struct alc_device_desc twice = {.class_name = "i8259"};
	struct alc_desc d = description();

	d.cpus = 0;
	refused(&d, -EINVAL, "1 to 64");
	d = description();
	d.memory_bytes = (16 << 20) - 4096;
	refused(&d, -EINVAL, "at least 16 MiB");
	d.memory_bytes = (16 << 20) + 1;
	refused(&d, -EINVAL, "4096");
	d.memory_bytes = 1ull << 60;
	refused(&d, -EINVAL, "address");
	d = description();
	d.clock = "sundial";
	refused(&d, -EINVAL, "sundial");
	d.clock = "host,rate=1";
	refused(&d, -EINVAL, "no options");
	d.clock = "virtual,rate";
	refused(&d, -EINVAL, "KEY=VALUE");
	d.clock = "virtual,quanta=1us";
	refused(&d, -EINVAL, "quantum");
	d.clock = "virtual,rate=0";
	refused(&d, -EINVAL, "rate");
	d.clock = "host";
	d.hash_at_end = true;
	refused(&d, -EINVAL, "virtual clock");
	d = description();
	d.engine = "steam";
	refused(&d, -EINVAL, "auto, interp");
	d = description();
	d.cpu = "abacus";
	refused(&d, -EINVAL, "abacus");
	d = description();
	d.devices = &misspelt;
	refused(&d, -EINVAL, "isa-debug-exit");
	d.devices = &twice;
	refused(&d, -EINVAL, "already");
}

static void bad_image(void **state)
{
	static const u8 junk[64] = "not a kernel";
	struct machine_parts p = parts(junk, sizeof(junk));
	struct alc_desc d = description();
	struct alc_err err = {0};
	struct machine *m = NULL;
	struct test_host th;

	test_host_init(&th, TEST_TIME_MANUAL);
	assert_int_equal(machine_create(&th.host, &d, &p, &m, &err), -ENOEXEC);
	assert_int_equal(err.code, -ENOEXEC);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

/* ---- PCI, as firmware would leave it --------------------------------------------------- */

static u64 config(struct machine *m, u8 devfn, unsigned off, unsigned size)
{
	region_write(&m->ports, 0xcf8, 0x80000000 | devfn << 8 | (off & 0xfc), 4);
	return region_read(&m->ports, 0xcfc + off % 4, size);
}

static void check_pci(struct machine *m, u8 devfn)
{
	u64 bar = config(m, devfn, 0x10, 4);

	assert_int_equal(config(m, 0, 0, 4), 0x29c08086);
	assert_int_equal(config(m, 0x1f << 3, 0, 4), 0x29188086);
	assert_int_equal(config(m, devfn, 4, 2), 3);
	assert_int_equal(space_read(&m->space, gpa(bar), 4), 0x0d1eca5a);
	/* INTA# of device 5 is PIRQ F; that goes to an interrupt of the PIC, level-triggered. */
	assert_int_equal(config(m, devfn, 0x3c, 1), 10);
	assert_int_equal(config(m, 0x1f << 3, 0x69, 1), 10);
	assert_int_equal(region_read(&m->ports, 0x4d1, 1) & 0x0c, 0x0c);
	region_write(&m->ports, 0xa0, 0x0a, 1); /* read IRR */
	assert_int_equal(region_read(&m->ports, 0xa0, 1) & 4, 0);
	space_write(&m->space, gpa(bar + 8), 1, 4);
	assert_int_equal(region_read(&m->ports, 0xa0, 1) & 4, 4);
	space_write(&m->space, gpa(bar + 8), 0, 4);
	assert_int_equal(region_read(&m->ports, 0xa0, 1) & 4, 0);
}

/* From the start, and again after a reset. */
static void pci_is_set_up(void **state)
{
	static const struct alc_device_opt addr = {"addr", "5"};
	static const struct alc_device_desc testdev = {
		.class_name = "pci-testdev", .opts = &addr, .nopts = 1};
	struct alc_desc d = description();
	u8 image[IMAGE_MAX];
	struct machine_parts p = parts(image, make_kernel(image, spin, sizeof(spin)));
	struct alc_err err = {0};
	struct test_host th;
	struct machine *m;

	d.devices = &testdev;
	test_host_init(&th, TEST_TIME_MANUAL);
	if (machine_create(&th.host, &d, &p, &m, &err))
		fail_msg("%s", err.text);
	check_pci(m, 5 << 3);
	for (unsigned i = 0; i < m->ndevices; i++)
		dev_reset(m->devices[i], ALC_RESET_WARM);
	assert_int_equal(config(m, 5 << 3, 0x10, 4), 0);
	assert_int_equal(machine_load(m, &err), 0);
	check_pci(m, 5 << 3);
	machine_destroy(m);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

/* ---- Any call to the host may fail -------------------------------------------------------- */

static int make_and_destroy(const struct alc_host *host, void *arg, struct alc_err *err)
{
	u8 image[IMAGE_MAX];
	struct machine_parts p = parts(image, make_kernel(image, spin, sizeof(spin)));
	struct machine *m;
	int rc = machine_create(host, arg, &p, &m, err);

	if (!rc)
		machine_destroy(m);
	return rc;
}

static void create_sweep(void **state)
{
	struct alc_desc d = description();
	struct sweep s = {.run = make_and_destroy, .arg = &d, .has_err = true, .may_cope = true};

	d.cpus = 2;
	assert_true(sweep(&s) > 20);
}

/* Running takes threads; a machine that can't have them says so and lets go of what it has. */
static int make_and_run(const struct alc_host *host, void *arg, struct alc_err *err)
{
	u8 image[IMAGE_MAX];
	struct machine_parts p = parts(image, make_kernel(image, power_off, sizeof(power_off)));
	struct alc_result res;
	struct machine *m;
	int rc = machine_create(host, arg, &p, &m, err);

	if (rc)
		return rc;
	rc = machine_run(m, &res, err);
	machine_destroy(m);
	return rc;
}

static void run_sweep(void **state)
{
	struct alc_desc d = description();
	struct sweep s = {.run = make_and_run, .arg = &d, .has_err = true, .may_cope = true};

	d.cpus = 2;
	assert_true(sweep(&s) > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crashes),
		cmocka_unit_test(exits),
		cmocka_unit_test(powers_off_with_status),
		cmocka_unit_test(stops),
		cmocka_unit_test(times_out),
		cmocka_unit_test(resets),
		cmocka_unit_test(pci_is_set_up),
		cmocka_unit_test(bad_descriptions),
		cmocka_unit_test(bad_image),
		cmocka_unit_test(create_sweep),
		cmocka_unit_test(run_sweep),
	};

	return cmocka_run_group_tests_name("vm_machine", tests, NULL, NULL);
}
