/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/acpi_dsdt.h"

#include "bus/pc.h"

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

/* ---- PCI ---- */

enum {
	PIN_COUNT = 4,
	PCI_DEVICES = 32,
	ROTATED_DEVICES = 25, /* 0-24 share PIRQ E-H in turns, the rest have A-D */
	PIRQ_E = 4,
	OSC_GRANTED = 0x15, /* native hot-plug, power management events, capability structure */
	OSC_MASKED = 0x10,
	OSC_BAD_REVISION = 8,
	OSC_BAD_UUID = 4,
	OSC_CONTROL = 8, /* offset of the third doubleword */
	VGA_WINDOW = 0xa0000,
	VGA_WINDOW_END = 0xbffff,
	PCI_PORTS_END = 0xcff,
};

/* 33DB4D5B-1FF7-401C-9657-7441C03DD766, as ToUUID lays it out (PCI Firmware 3.2, 4.5.1). */
static const u8 osc_uuid[16] = {0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
				0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66};

/* CDWn |= bits */
static void put_or(struct aml *a, const char *field, u8 bits)
{
	aml_op(a, AML_OR);
	aml_name_string(a, field);
	aml_integer(a, bits);
	aml_name_string(a, field);
}

static void put_field(struct aml *a, u8 offset, const char *name)
{
	aml_op(a, AML_CREATE_DWORD);
	aml_op(a, AML_ARG0 + 3);
	aml_integer(a, offset);
	aml_name_string(a, name);
}

/*
 * If (Local0 != CDW3) { CDW1 |= masked }
 */
static void put_osc_control(struct aml *a)
{
	struct aml_block differs;

	aml_op(a, AML_AND);
	aml_name_string(a, "CDW3");
	aml_integer(a, OSC_GRANTED);
	aml_op(a, AML_LOCAL0);
	differs = aml_if(a);
	aml_op(a, AML_NOT);
	aml_op(a, AML_EQUAL);
	aml_op(a, AML_LOCAL0);
	aml_name_string(a, "CDW3");
	put_or(a, "CDW1", OSC_MASKED);
	aml_end(a, differs);
	aml_op(a, AML_STORE);
	aml_op(a, AML_LOCAL0);
	aml_name_string(a, "CDW3");
}

/* Arg0: UUID, Arg1: revision, Arg3: the capabilities, which are changed in place. */
static void put_osc(struct aml *a)
{
	struct aml_block method = aml_method(a, "_OSC", 4), block;

	put_field(a, 0, "CDW1");
	block = aml_if(a);
	aml_op(a, AML_EQUAL);
	aml_op(a, AML_ARG0);
	aml_buffer(a, osc_uuid, sizeof(osc_uuid));
	put_field(a, OSC_CONTROL, "CDW3");
	put_osc_control(a);
	{
		struct aml_block revision = aml_if(a);

		aml_op(a, AML_NOT);
		aml_op(a, AML_EQUAL);
		aml_op(a, AML_ARG0 + 1);
		aml_integer(a, 1);
		put_or(a, "CDW1", OSC_BAD_REVISION);
		aml_end(a, revision);
	}
	aml_end(a, block);
	block = aml_else(a);
	put_or(a, "CDW1", OSC_BAD_UUID);
	aml_end(a, block);
	aml_op(a, AML_RETURN);
	aml_op(a, AML_ARG0 + 3);
	aml_end(a, method);
}

static u8 gsi_of(unsigned device, unsigned pin)
{
	unsigned pirq = device < ROTATED_DEVICES ? PIRQ_E + (device + pin) % PIN_COUNT : pin;

	return (u8)(PC_GSI_PIRQ_A + pirq);
}

/* Each pin of each device goes to a fixed interrupt of the I/O APIC. */
static void put_prt(struct aml *a)
{
	struct aml_block table, entry;

	aml_name(a, "_PRT");
	table = aml_package(a, PCI_DEVICES * PIN_COUNT);
	for (unsigned i = 0; i < PCI_DEVICES * PIN_COUNT; i++) {
		entry = aml_package(a, 4);
		aml_integer(a, i / PIN_COUNT << 16 | 0xffff);
		aml_integer(a, i % PIN_COUNT);
		aml_integer(a, 0);
		aml_integer(a, gsi_of(i / PIN_COUNT, i % PIN_COUNT));
		aml_end(a, entry);
	}
	aml_end(a, table);
}

static void put_pci_windows(struct aml *a, const struct acpi_params *p)
{
	struct aml_block resources;

	aml_name(a, "_CRS");
	resources = aml_resources(a);
	aml_window(a, AML_WINDOW_BUS, 0, PC_PCI_BUSES - 1);
	aml_io(a, PC_PORT_PCI_ADDRESS, 8);
	aml_window(a, AML_WINDOW_IO, 0, PC_PORT_PCI_ADDRESS - 1);
	aml_window(a, AML_WINDOW_IO, PCI_PORTS_END + 1, 0xffff);
	aml_window(a, AML_WINDOW_MEM, VGA_WINDOW, VGA_WINDOW_END);
	aml_window(a, AML_WINDOW_MEM, PC_PCI_MEM_BASE, PC_PCI_MEM_END - 1);
	if (p->mem64_end > p->mem64_base)
		aml_window(a, AML_WINDOW_MEM, p->mem64_base, p->mem64_end - 1);
	aml_resources_end(a, resources);
}

static void put_pci(struct aml *a, const struct acpi_params *p)
{
	struct aml_block device = aml_device(a, "PCI0");

	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0A08");
	aml_name(a, "_CID");
	aml_eisa_id(a, "PNP0A03");
	aml_name(a, "_UID");
	aml_integer(a, 0);
	aml_name(a, "_SEG");
	aml_integer(a, 0);
	aml_name(a, "_BBN");
	aml_integer(a, 0);
	put_pci_windows(a, p);
	put_prt(a);
	put_osc(a);
	aml_end(a, device);
}

/* What no bus may give away: ECAM (PCI Firmware 3.2, 4.1.2). */
static void put_motherboard(struct aml *a)
{
	struct aml_block device = aml_device(a, "MBRD"), resources;

	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0C02");
	aml_name(a, "_CRS");
	resources = aml_resources(a);
	aml_memory(a, PC_ECAM_BASE, PC_ECAM_SIZE);
	aml_resources_end(a, resources);
	aml_end(a, device);
}

void acpi_put_dsdt(struct aml *a, const struct acpi_params *p)
{
	struct aml_block scope;

	put_s5(a);
	put_processors(a, p->cpus);
	scope = aml_scope(a, "\\_SB");
	for (unsigned i = 0; i < ARRAY_LEN(isa_devices); i++)
		put_isa_device(a, &isa_devices[i]);
	if (p->com2)
		put_isa_device(a, &com2);
	put_motherboard(a);
	aml_end(a, scope);
	scope = aml_scope(a, "\\_SB");
	put_pci(a, p);
	aml_end(a, scope);
}
