/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI tables: found from the RSDP as an operating system does, and read by ACPICA's iasl. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/errno.h"
#include "boot/acpi.h"
#include "boot/acpi_loader.h"
#include "bus/pc.h"
#include "host/test/sweep.h"
#include "host/test/test_host.h"

struct fixture {
	struct test_host th;
	struct alc_space space;
	alc_gpa rsdp;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	test_host_init(&f->th, TEST_TIME_MANUAL);
	assert_int_equal(space_init(&f->space, &f->th.host, 1 << 20, NULL), 0);
	assert_int_equal(space_add_bank(&f->space, gpa(PC_BIOS_AREA), 0x10000, true, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	space_fini(&f->space);
	test_host_fini(&f->th);
	free(f);
	return 0;
}

static void build(struct fixture *f, unsigned cpus, bool has_com2)
{
	struct acpi_params p = {.cpus = cpus,
				.com2 = has_com2,
				.pci_mem64_base = 1ull << 33,
				.pci_mem64_end = 1ull << 46};

	assert_int_equal(acpi_build(&f->space, &p, &f->rsdp, NULL), 0);
}

static u64 guest(struct fixture *f, u64 at, unsigned size)
{
	return space_read(&f->space, gpa(at), size);
}

static u8 sum(struct fixture *f, u64 at, u64 len)
{
	u8 s = 0;

	while (len--)
		s = (u8)(s + guest(f, at++, 1));
	return s;
}

static bool signed_as(struct fixture *f, u64 at, const char *signature)
{
	char got[5] = {0};

	assert_int_equal(space_copy_in(&f->space, gpa(at), got, 4), 0);
	return strcmp(got, signature) == 0;
}

/* The table's address, by way of RSDP and XSDT. */
static u64 table(struct fixture *f, const char *signature)
{
	u64 xsdt = guest(f, f->rsdp.v + 24, 8), len = guest(f, xsdt + 4, 4);

	assert_int_equal(sum(f, xsdt, len), 0);
	for (u64 at = xsdt + 36; at < xsdt + len; at += 8) {
		u64 t = guest(f, at, 8);

		assert_int_equal(sum(f, t, guest(f, t + 4, 4)), 0);
		if (signed_as(f, t, signature))
			return t;
	}
	fail_msg("no table %s", signature);
	return 0;
}

static void rsdp_is_sound(void **state)
{
	struct fixture *f = *state;

	build(f, 1, false);
	assert_int_equal(f->rsdp.v % 16, 0);
	assert_true(f->rsdp.v >= 0xe0000 && f->rsdp.v < 0x100000);
	assert_true(signed_as(f, f->rsdp.v, "RSD "));
	assert_int_equal(sum(f, f->rsdp.v, 20), 0);
	assert_int_equal(sum(f, f->rsdp.v, 36), 0);
}

static void check_rsdt(struct fixture *f)
{
	u64 rsdt = guest(f, f->rsdp.v + 16, 4), xsdt = guest(f, f->rsdp.v + 24, 8);
	u64 n = (guest(f, xsdt + 4, 4) - 36) / 8;

	assert_true(signed_as(f, rsdt, "RSDT"));
	assert_int_equal(guest(f, rsdt + 4, 4), 36 + 4 * n);
	assert_int_equal(sum(f, rsdt, 36 + 4 * n), 0);
	for (u64 i = 0; i < n; i++)
		assert_int_equal(guest(f, rsdt + 36 + 4 * i, 4), guest(f, xsdt + 36 + 8 * i, 8));
}

static void rsdt_and_xsdt_agree(void **state)
{
	build(*state, 2, false);
	check_rsdt(*state);
}

static void fadt_names_the_pm_block(void **state)
{
	struct fixture *f = *state;
	u64 fadt, dsdt;

	build(f, 1, false);
	fadt = table(f, "FACP");
	assert_int_equal(guest(f, fadt + 4, 4), 276);
	assert_int_equal(guest(f, fadt + 46, 2), PC_IRQ_SCI);
	assert_int_equal(guest(f, fadt + 208 + 4, 8), PC_PORT_PM + PC_PM_TMR);
	assert_int_equal(guest(f, fadt + 116 + 4, 8), PC_PORT_RESET);
	assert_int_equal(guest(f, fadt + 36, 4) % 64, 0);
	assert_true(signed_as(f, guest(f, fadt + 36, 4), "FACS"));
	dsdt = guest(f, fadt + 140, 8);
	assert_int_equal(dsdt, guest(f, fadt + 40, 4));
	assert_true(signed_as(f, dsdt, "DSDT"));
	assert_int_equal(sum(f, dsdt, guest(f, dsdt + 4, 4)), 0);
}

static unsigned entries(struct fixture *f, u64 madt, u8 type)
{
	u64 end = madt + guest(f, madt + 4, 4), at = madt + 44;
	unsigned n = 0;

	for (; at < end; at += guest(f, at + 1, 1)) {
		assert_true(guest(f, at + 1, 1) >= 2);
		n += guest(f, at, 1) == type;
	}
	assert_int_equal(at, end);
	return n;
}

static void madt_lists_processors(void **state)
{
	struct fixture *f = *state;

	build(f, PC_CPUS_MAX, false);
	assert_int_equal(entries(f, table(f, "APIC"), 0), PC_CPUS_MAX);
	assert_int_equal(entries(f, table(f, "APIC"), 1), 1);
	assert_int_equal(entries(f, table(f, "APIC"), 2), 2);
	assert_int_equal(entries(f, table(f, "APIC"), 4), 1);
	/* APIC IDs that do not fit a byte are x2APIC entries. */
	build(f, 300, false);
	assert_int_equal(entries(f, table(f, "APIC"), 0), 255);
	assert_int_equal(entries(f, table(f, "APIC"), 9), 45);
	assert_int_equal(entries(f, table(f, "APIC"), 10), 1);
}

static void mcfg_tells_where_ecam_is(void **state)
{
	struct fixture *f = *state;
	u64 mcfg;

	build(f, 1, false);
	mcfg = table(f, "MCFG");
	assert_int_equal(guest(f, mcfg + 4, 4), 60);
	assert_int_equal(guest(f, mcfg + 44, 8), PC_ECAM_BASE);
	assert_int_equal(guest(f, mcfg + 52, 4), 0xff000000);
}

static void too_many_processors_are_refused(void **state)
{
	struct fixture *f = *state;
	struct acpi_params p = {.cpus = 4000};
	struct alc_err err = {0};

	assert_int_equal(acpi_build(&f->space, &p, &f->rsdp, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "4000"));
}

/* ---- Tables that firmware places ---- */

struct file {
	const char *name;
	u8 *bytes;
	size_t len;
	u64 at; /* where in guest memory, 0: not yet allocated */
};

static struct file *find(struct file files[2], const u8 *name)
{
	for (unsigned i = 0; i < 2; i++)
		if (strcmp(files[i].name, (const char *)name) == 0)
			return &files[i];
	fail_msg("no file %s", (const char *)name);
	return NULL;
}

static void carry_out(struct file files[2], const u8 *c)
{
	struct file *f = find(files, c + 4), *source;
	u32 at, start, len;
	u8 *p, sum = 0;

	switch (ld32(c)) {
	case 1:
		f->at = c[64] == 2 ? 0xf0010 : 0xf4000;
		assert_int_equal(f->at % ld32(c + 60), 0);
		break;
	case 2:
		source = find(files, c + 60);
		at = ld32(c + 116);
		p = f->bytes + at;
		assert_true(f->at && source->at && at + c[120] <= f->len);
		assert_true(ld_size(p, c[120]) < source->len);
		st_size(p, ld_size(p, c[120]) + source->at, c[120]);
		break;
	case 3:
		at = ld32(c + 60);
		start = ld32(c + 64);
		len = ld32(c + 68);
		assert_true(at >= start && at < start + len && start + len <= f->len);
		assert_int_equal(f->bytes[at], 0);
		for (u32 i = 0; i < len; i++)
			sum = (u8)(sum + f->bytes[start + i]);
		f->bytes[at] = (u8)-sum;
		break;
	default:
		fail_msg("command %u", ld32(c));
	}
}

/* What is in memory once firmware has done as the script says is what we would have put there. */
static void firmware_can_place_tables(void **state)
{
	struct fixture *f = *state;
	struct acpi_params p = {.cpus = 3, .com2 = true, .vga = true};
	struct acpi_loader l;
	struct file files[2];
	u64 fadt;

	assert_int_equal(acpi_loader_build(&f->th.host, &p, &l, NULL), 0);
	files[0] = (struct file){"etc/acpi/rsdp", l.rsdp, sizeof(l.rsdp), 0};
	files[1] = (struct file){"etc/acpi/tables", l.tables, l.len, 0};
	assert_int_equal(l.script_len % 128, 0);
	for (size_t at = 0; at < l.script_len; at += 128)
		carry_out(files, l.script + at);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
			space_load(&f->space, gpa(files[i].at), files[i].bytes, files[i].len), 0);
	f->rsdp = gpa(files[0].at);
	assert_int_equal(sum(f, f->rsdp.v, 20), 0);
	assert_int_equal(sum(f, f->rsdp.v, 36), 0);
	check_rsdt(f);
	fadt = table(f, "FACP");
	assert_true(signed_as(f, guest(f, fadt + 36, 4), "FACS"));
	assert_int_equal(guest(f, fadt + 36, 4) % 64, 0);
	assert_true(signed_as(f, guest(f, fadt + 40, 4), "DSDT"));
	assert_int_equal(guest(f, fadt + 140, 8), guest(f, fadt + 40, 4));
	assert_int_equal(sum(f, guest(f, fadt + 40, 4), guest(f, guest(f, fadt + 40, 4) + 4, 4)),
			 0);
	assert_int_equal(guest(f, fadt + 109, 2) & 4, 0); /* there is a VGA */
	assert_int_equal(entries(f, table(f, "APIC"), 0), 3);
	acpi_loader_free(&f->th.host, &l);
}

static int load_once(const struct alc_host *host, void *arg, struct alc_err *err)
{
	struct acpi_params p = {.cpus = 2};
	struct acpi_loader l;
	int ret = acpi_loader_build(host, &p, &l, err);

	acpi_loader_free(host, &l);
	return ret;
}

static void loader_survives_failing_host(void **state)
{
	const struct sweep s = {.run = load_once, .has_err = true};

	assert_true(sweep(&s) >= 1);
}

static int build_once(const struct alc_host *host, void *arg, struct alc_err *err)
{
	struct acpi_params p = {.cpus = 2, .com2 = true};
	struct alc_space space = {0};
	alc_gpa rsdp;
	int ret = space_init(&space, host, 1 << 20, err);

	if (!ret)
		ret = space_add_bank(&space, gpa(PC_BIOS_AREA), 0x10000, true, err);
	if (!ret)
		ret = acpi_build(&space, &p, &rsdp, err);
	space_fini(&space);
	return ret;
}

static void survives_failing_host(void **state)
{
	const struct sweep s = {.run = build_once, .has_err = true};

	assert_true(sweep(&s) >= 2);
}

static void write_table(struct fixture *f, u64 at, const char *path)
{
	u64 len = guest(f, at + 4, 4);
	FILE *out = fopen(path, "wb");

	assert_non_null(out);
	for (u64 i = 0; i < len; i++)
		fputc((int)guest(f, at + i, 1), out);
	assert_int_equal(fclose(out), 0);
}

/* Disassembles, and for AML compiles the result again: no warnings in either direction. */
static void iasl_reads(struct fixture *f, u64 at, const char *name, bool aml)
{
	char command[512];

	write_table(f, at, "table.dat");
	snprintf(command, sizeof(command),
		 "iasl -d table.dat >iasl.log 2>&1 && ! grep -Ei 'error|warning|invalid|incorrect' "
		 "iasl.log table.dsl%s",
		 aml ? " && iasl -we table.dsl >iasl.log 2>&1" : "");
	if (system(command)) {
		system("cat iasl.log");
		fail_msg("iasl finds fault with the %s", name);
	}
}

/* Of the disassembly, with each run of blanks and line ends as one blank. */
static const char *const in_dsdt[] = {
	"Device (COM2)",
	"Device (PCI0)",
	/* Device 1, pin B: PIRQ G. Device 31, pin A: PIRQ A. */
	"Package (0x04) { 0x0001FFFF, One, Zero, 0x16 }",
	"Package (0x04) { 0x001FFFFF, Zero, Zero, 0x10 }",
	"0xC0000000, // Range Minimum 0xFEBFFFFF, // Range Maximum",
	"0x0000000200000000, // Range Minimum 0x00003FFFFFFFFFFF, // Range Maximum",
	"0xB0000000, // Address Base 0x10000000, // Address Length",
};

static void iasl_finds_no_fault(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/acpi.XXXXXX", command[256];

	if (system("command -v iasl >/dev/null 2>&1")) {
		print_message("iasl (acpica-tools) is missing\n");
		skip();
	}
	build(f, 5, true);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	iasl_reads(f, table(f, "FACP"), "FADT", false);
	iasl_reads(f, table(f, "APIC"), "MADT", false);
	iasl_reads(f, table(f, "MCFG"), "MCFG", false);
	iasl_reads(f, guest(f, f->rsdp.v + 24, 8), "XSDT", false);
	iasl_reads(f, guest(f, table(f, "FACP") + 36, 4), "FACS", false);
	iasl_reads(f, guest(f, table(f, "FACP") + 140, 8), "DSDT", true);
	for (size_t i = 0; i < ARRAY_LEN(in_dsdt); i++) {
		snprintf(command, sizeof(command), "tr -s ' \\n' ' ' <table.dsl | grep -qF '%s'",
			 in_dsdt[i]);
		if (system(command))
			fail_msg("the DSDT has no '%s'", in_dsdt[i]);
	}
	assert_int_equal(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(rsdp_is_sound),
		CASE(rsdt_and_xsdt_agree),
		CASE(fadt_names_the_pm_block),
		CASE(madt_lists_processors),
		CASE(too_many_processors_are_refused),
		CASE(mcfg_tells_where_ecam_is),
		CASE(iasl_finds_no_fault),
		cmocka_unit_test(survives_failing_host),
		CASE(firmware_can_place_tables),
		cmocka_unit_test(loader_survives_failing_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
