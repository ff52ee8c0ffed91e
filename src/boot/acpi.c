/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's ACPI tables (ACPI 6.4): RSDP -> RSDT and XSDT -> FADT (-> FACS, DSDT), MADT, MCFG.
 *
 * The machine is always in ACPI mode (SMI_CMD is 0), has a fixed-feature power button (which the
 * flag FADT_PWR_BUTTON would deny), no sleep button, no sleep state but S5, no processor power
 * states.
 */
#include "boot/acpi.h"

#include "base/errno.h"
#include "boot/acpi_pci.h"
#include "bus/pc.h"

enum {
	HEADER_SIZE = 36,
	RSDP_SIZE_V1 = 20, /* what the first checksum covers */
	FACS_SIZE = 64,
	FADT_SIZE = 276,
	TABLES_IN_XSDT = 3,
};

/* Fixed ACPI Description Table, offsets (table 5.9). */
enum {
	FADT_FIRMWARE_CTRL = 36,
	FADT_DSDT = 40,
	FADT_SCI_INT = 46,
	FADT_PM1A_EVT_BLK = 56,
	FADT_PM1A_CNT_BLK = 64,
	FADT_PM_TMR_BLK = 76,
	FADT_PM1_EVT_LEN = 88,
	FADT_PM1_CNT_LEN = 89,
	FADT_PM_TMR_LEN = 91,
	FADT_P_LVL2_LAT = 96,
	FADT_P_LVL3_LAT = 98,
	FADT_CENTURY = 108,
	FADT_IAPC_BOOT_ARCH = 109,
	FADT_FLAGS = 112,
	FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128,
	FADT_MINOR = 131,
	FADT_X_DSDT = 140,
	FADT_X_PM1A_EVT_BLK = 148,
	FADT_X_PM1A_CNT_BLK = 172,
	FADT_X_PM_TMR_BLK = 208,
	FADT_HYPERVISOR = 268,
};

enum {
	FADT_WBINVD = 1 << 0,
	FADT_PROC_C1 = 1 << 2,
	FADT_SLP_BUTTON = 1 << 5,  /* no fixed-feature sleep button */
	FADT_FIX_RTC = 1 << 6,     /* the alarm wakes nothing */
	FADT_TMR_VAL_EXT = 1 << 8, /* the PM timer has 32 bits */
	FADT_RESET_REG_SUP = 1 << 10,
	BOOT_ARCH_LEGACY_DEVICES = 1 << 0,
	BOOT_ARCH_NO_VGA = 1 << 2,
	LAT_C2_UNSUPPORTED = 101, /* microseconds above which a state is not used */
	LAT_C3_UNSUPPORTED = 1001,
	RTC_CENTURY = 0x32,
	RESET_VALUE = 6,
	PM1_CNT_SIZE = 2,
	PM_TMR_SIZE = 4,
};

enum { GAS_SYSTEM_IO = 1, GAS_BYTE = 1, GAS_WORD = 2, GAS_DWORD = 3 };

/* Multiple APIC Description Table, entry types (table 5.21). */
enum {
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	MADT_OVERRIDE = 2,
	MADT_LAPIC_NMI = 4,
	MADT_X2APIC = 9,
	MADT_X2APIC_NMI = 10,
	MADT_PCAT_COMPAT = 1,
	MADT_ENABLED = 1,
	APIC_ID_BROADCAST = 0xff,
	INTI_LEVEL_HIGH = 0xd,
	PIN_PIT = 2,
};

/* Tables are laid into a copy of the area in host memory, then loaded at once. */
struct tables {
	struct aml out; /* the writer serves for all tables, not for AML alone */
	u64 base;       /* guest-physical address of out.buf */
};

static void put(struct tables *t, u64 value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		aml_byte(&t->out, (u8)(value >> (8 * i)));
}

static void put_text(struct tables *t, const char *text, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		aml_byte(&t->out, (u8)text[i]);
}

static void align_to(struct tables *t, unsigned to)
{
	while (t->out.len % to && !t->out.overflow)
		aml_byte(&t->out, 0);
}

static u8 checksum(const u8 *bytes, size_t len)
{
	u8 sum = 0;

	while (len--)
		sum = (u8)(sum + *bytes++);
	return (u8)-sum;
}

/* Opens a table: its header, with length and checksum still 0. Returns its offset. */
static size_t begin(struct tables *t, const char *signature, u8 revision)
{
	size_t at;

	align_to(t, 16);
	at = t->out.len;
	put_text(t, signature, 4);
	put(t, 0, 4); /* length */
	put(t, revision, 1);
	put(t, 0, 1); /* checksum */
	put_text(t, "ALCZAR", 6);
	put_text(t, "ALCAZAR ", 8);
	put(t, 1, 4); /* OEM revision */
	put_text(t, "ALCZ", 4);
	put(t, 1, 4); /* creator revision */
	return at;
}

/* Closes a table and returns its guest-physical address. */
static u64 end(struct tables *t, size_t at)
{
	u8 *table = t->out.buf + at;

	if (t->out.overflow)
		return 0;
	st32(table + 4, (u32)(t->out.len - at));
	table[9] = checksum(table, t->out.len - at);
	return t->base + at;
}

/* A legacy device: one or two port ranges, at most one interrupt. */
struct isa_device {
	const char *name, *id;
	u8 uid;
	struct {
		u16 port;
		u8 len;
	} io[2];
	int irq; /* -1: none */
};

static const struct isa_device isa_devices[] = {
	{"PIC", "PNP0000", 0, {{PC_PORT_PIC_MASTER, 2}, {PC_PORT_PIC_SLAVE, 2}}, 2},
	{"TMR", "PNP0100", 0, {{PC_PORT_PIT, 4}}, PC_IRQ_PIT},
	{"RTC", "PNP0B00", 0, {{PC_PORT_RTC, 2}}, PC_IRQ_RTC},
	{"COM1", "PNP0501", 1, {{PC_PORT_COM1, 8}}, PC_IRQ_COM1},
};

static const struct isa_device com2 = {"COM2", "PNP0501", 2, {{PC_PORT_COM2, 8}}, PC_IRQ_COM2};

static void put_isa_device(struct aml *a, const struct isa_device *d)
{
	struct aml_block device = aml_device(a, d->name), resources;

	aml_name(a, "_HID");
	aml_eisa_id(a, d->id);
	if (d->uid) {
		aml_name(a, "_UID");
		aml_integer(a, d->uid);
	}
	aml_name(a, "_CRS");
	resources = aml_resources(a);
	for (unsigned i = 0; i < ARRAY_LEN(d->io); i++)
		if (d->io[i].len)
			aml_io(a, d->io[i].port, d->io[i].len);
	if (d->irq >= 0)
		aml_irq(a, (u8)d->irq);
	aml_resources_end(a, resources);
	aml_end(a, device);
}

static void put_processor(struct aml *a, unsigned index)
{
	static const char digits[] = "0123456789ABCDEF";
	const char name[] = {'C', digits[index >> 8 & 15], digits[index >> 4 & 15],
			     digits[index & 15], 0};
	struct aml_block device = aml_device(a, name);

	aml_name(a, "_HID");
	aml_string(a, "ACPI0007");
	aml_name(a, "_UID");
	aml_integer(a, index);
	aml_end(a, device);
}

/* One scope for each processor, so that none grows beyond a two-byte length. */
static void put_processors(struct aml *a, unsigned cpus)
{
	for (unsigned i = 0; i < cpus; i++) {
		struct aml_block scope = aml_scope(a, "\\_SB");

		put_processor(a, i);
		aml_end(a, scope);
	}
}

static void put_s5(struct aml *a)
{
	struct aml_block package;

	aml_name(a, "\\_S5");
	package = aml_package(a, 4);
	aml_integer(a, PC_SLP_TYP_S5); /* for PM1a_CNT.SLP_TYP */
	aml_integer(a, PC_SLP_TYP_S5); /* for PM1b */
	aml_integer(a, 0);
	aml_integer(a, 0);
	aml_end(a, package);
}

static u64 build_dsdt(struct tables *t, const struct acpi_params *p)
{
	size_t at = begin(t, "DSDT", 2);
	struct aml *a = &t->out;
	struct aml_block scope;

	put_s5(a);
	put_processors(a, p->cpus);
	scope = aml_scope(a, "\\_SB");
	for (unsigned i = 0; i < ARRAY_LEN(isa_devices); i++)
		put_isa_device(a, &isa_devices[i]);
	if (p->com2)
		put_isa_device(a, &com2);
	acpi_put_pci(a, p);
	aml_end(a, scope);
	return end(t, at);
}

static u64 build_facs(struct tables *t)
{
	u64 at;

	align_to(t, 64);
	at = t->base + t->out.len;
	put_text(t, "FACS", 4);
	put(t, FACS_SIZE, 4);
	for (unsigned i = 8; i < FACS_SIZE; i++)
		put(t, i == 32 ? 2 : 0, 1); /* byte 32: version */
	return at;
}

/* Generic Address Structure of an I/O port. */
static void gas(u8 *at, u16 port, u8 bytes)
{
	at[0] = GAS_SYSTEM_IO;
	at[1] = (u8)(bytes * 8);
	at[3] = bytes == 4 ? GAS_DWORD : bytes == 2 ? GAS_WORD : GAS_BYTE;
	st64(at + 4, port);
}

static void fill_pm_blocks(u8 *f)
{
	st32(f + FADT_PM1A_EVT_BLK, PC_PORT_PM + PC_PM1_EVT);
	st32(f + FADT_PM1A_CNT_BLK, PC_PORT_PM + PC_PM1_CNT);
	st32(f + FADT_PM_TMR_BLK, PC_PORT_PM + PC_PM_TMR);
	f[FADT_PM1_EVT_LEN] = PC_PM1_CNT - PC_PM1_EVT;
	f[FADT_PM1_CNT_LEN] = PM1_CNT_SIZE;
	f[FADT_PM_TMR_LEN] = PM_TMR_SIZE;
	gas(f + FADT_X_PM1A_EVT_BLK, PC_PORT_PM + PC_PM1_EVT, PC_PM1_CNT - PC_PM1_EVT);
	gas(f + FADT_X_PM1A_CNT_BLK, PC_PORT_PM + PC_PM1_CNT, PM1_CNT_SIZE);
	gas(f + FADT_X_PM_TMR_BLK, PC_PORT_PM + PC_PM_TMR, PM_TMR_SIZE);
}

static u64 build_fadt(struct tables *t, const struct acpi_params *p, u64 facs, u64 dsdt)
{
	size_t at = begin(t, "FACP", 6);
	u8 *f;

	put_text(t, (const char[FADT_SIZE]){0}, FADT_SIZE - HEADER_SIZE);
	if (t->out.overflow)
		return 0;
	f = t->out.buf + at;
	/* 64-bit pointers win where both are given; the FACS has only the 32-bit one. */
	st32(f + FADT_FIRMWARE_CTRL, (u32)facs);
	st32(f + FADT_DSDT, (u32)dsdt);
	st64(f + FADT_X_DSDT, dsdt);
	st16(f + FADT_SCI_INT, PC_IRQ_SCI);
	fill_pm_blocks(f);
	st16(f + FADT_P_LVL2_LAT, LAT_C2_UNSUPPORTED);
	st16(f + FADT_P_LVL3_LAT, LAT_C3_UNSUPPORTED);
	f[FADT_CENTURY] = RTC_CENTURY;
	st16(f + FADT_IAPC_BOOT_ARCH, BOOT_ARCH_LEGACY_DEVICES | (p->vga ? 0 : BOOT_ARCH_NO_VGA));
	st32(f + FADT_FLAGS, FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC |
				     FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP);
	gas(f + FADT_RESET_REG, PC_PORT_RESET, 1);
	f[FADT_RESET_VALUE] = RESET_VALUE;
	f[FADT_MINOR] = 4;
	__builtin_memcpy(f + FADT_HYPERVISOR, "ALCAZAR ", 8);
	return end(t, at);
}

static void put_local_apic(struct tables *t, u32 id)
{
	bool wide = id >= APIC_ID_BROADCAST;

	put(t, wide ? MADT_X2APIC : MADT_LAPIC, 1);
	put(t, wide ? 16 : 8, 1);
	if (wide) {
		put(t, 0, 2);
		put(t, id, 4);
		put(t, MADT_ENABLED, 4);
		put(t, id, 4); /* processor UID */
	} else {
		put(t, id, 1); /* processor UID */
		put(t, id, 1);
		put(t, MADT_ENABLED, 4);
	}
}

static void put_override(struct tables *t, u8 irq, u32 gsi, u16 flags)
{
	put(t, MADT_OVERRIDE, 1);
	put(t, 10, 1);
	put(t, 0, 1); /* bus: ISA */
	put(t, irq, 1);
	put(t, gsi, 4);
	put(t, flags, 2);
}

/* LINT1 of every processor is the NMI line. */
static void put_nmi(struct tables *t, bool wide)
{
	put(t, wide ? MADT_X2APIC_NMI : MADT_LAPIC_NMI, 1);
	put(t, wide ? 12 : 6, 1);
	if (!wide)
		put(t, APIC_ID_BROADCAST, 1);
	put(t, 0, 2); /* polarity and trigger: as the bus has them */
	if (wide)
		put(t, 0xffffffff, 4);
	put(t, 1, 1);
	if (wide)
		put(t, 0, 3);
}

static u64 build_madt(struct tables *t, const struct acpi_params *p)
{
	size_t at = begin(t, "APIC", 5);

	put(t, PC_LAPIC_BASE, 4);
	put(t, MADT_PCAT_COMPAT, 4);
	for (u32 id = 0; id < p->cpus; id++)
		put_local_apic(t, id);
	put(t, MADT_IOAPIC, 1);
	put(t, 12, 1);
	put(t, 0, 2); /* its ID, reserved */
	put(t, PC_IOAPIC_BASE, 4);
	put(t, 0, 4); /* first interrupt */
	put_override(t, PC_IRQ_PIT, PIN_PIT, 0);
	put_override(t, PC_IRQ_SCI, PC_IRQ_SCI, INTI_LEVEL_HIGH);
	put_nmi(t, false);
	if (p->cpus > APIC_ID_BROADCAST)
		put_nmi(t, true);
	return end(t, at);
}

/* PCI Firmware 3.2, table 4-2. */
static u64 build_mcfg(struct tables *t)
{
	size_t at = begin(t, "MCFG", 1);

	put(t, 0, 8);
	put(t, PC_ECAM_BASE, 8);
	put(t, 0, 2);    /* segment group */
	put(t, 0, 1);    /* first bus */
	put(t, 0xff, 1); /* last bus */
	put(t, 0, 4);
	return end(t, at);
}

static u64 build_xsdt(struct tables *t, const u64 tables[TABLES_IN_XSDT])
{
	size_t at = begin(t, "XSDT", 1);

	for (unsigned i = 0; i < TABLES_IN_XSDT; i++)
		put(t, tables[i], 8);
	return end(t, at);
}

/* The XSDT's forerunner with pointers of 32 bits, the only one that boot loaders know. */
static u64 build_rsdt(struct tables *t, const u64 tables[TABLES_IN_XSDT])
{
	size_t at = begin(t, "RSDT", 1);

	for (unsigned i = 0; i < TABLES_IN_XSDT; i++)
		put(t, tables[i], 4);
	return end(t, at);
}

/* The RSDP comes first in the area; its place was kept free. */
static void fill_rsdp(struct tables *t, u64 rsdt, u64 xsdt)
{
	u8 *r = t->out.buf;

	__builtin_memcpy(r, "RSD PTR ", 8);
	__builtin_memcpy(r + 9, "ALCZAR", 6);
	r[15] = 2; /* revision */
	st32(r + 16, (u32)rsdt);
	st32(r + 20, ACPI_RSDP_SIZE);
	st64(r + 24, xsdt);
	r[8] = checksum(r, RSDP_SIZE_V1);
	r[32] = checksum(r, ACPI_RSDP_SIZE);
}

static int build(struct tables *t, const struct acpi_params *p, struct alc_err *err)
{
	u64 tables[TABLES_IN_XSDT], facs, dsdt, rsdt, xsdt;

	put_text(t, (const char[ACPI_RSDP_SIZE]){0}, ACPI_RSDP_SIZE);
	facs = build_facs(t);
	dsdt = build_dsdt(t, p);
	tables[0] = build_fadt(t, p, facs, dsdt);
	tables[1] = build_madt(t, p);
	tables[2] = build_mcfg(t);
	rsdt = build_rsdt(t, tables);
	xsdt = build_xsdt(t, tables);
	if (t->out.overflow)
		return alc_fail(err, -ENOSPC, "ACPI tables for %u CPUs do not fit.", p->cpus);
	fill_rsdp(t, rsdt, xsdt);
	return 0;
}

int acpi_build_at(const struct acpi_params *p, u64 base, u8 *buf, size_t *len, struct alc_err *err)
{
	struct tables t = {.out = {.buf = buf, .cap = ACPI_ROOM}, .base = base};
	int ret = build(&t, p, err);

	if (!ret)
		*len = t.out.len;
	return ret;
}

int acpi_build(struct alc_space *space, const struct acpi_params *p, alc_gpa *rsdp,
	       struct alc_err *err)
{
	u8 *buf = host_alloc(space->host, ACPI_ROOM);
	size_t len;
	int ret;

	if (!buf)
		return alc_fail(err, -ENOMEM, "out of memory for ACPI tables.");
	ret = acpi_build_at(p, PC_BIOS_AREA, buf, &len, err);
	if (!ret && space_load(space, gpa(PC_BIOS_AREA), buf, len))
		ret = alc_fail(err, -EFAULT, "the guest has no memory at 0x%llx for ACPI tables.",
			       PC_BIOS_AREA);
	if (!ret)
		*rsdp = gpa(PC_BIOS_AREA);
	host_free(space->host, buf, ACPI_ROOM);
	return ret;
}
