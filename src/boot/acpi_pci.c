/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/acpi_pci.h"

#include "bus/pc.h"

enum { SLOTS = 32, PINS = 4, PM_IO_SIZE = 0x80, OSC_ARGS = 4, OSC_CAPABILITIES = 3 };
enum { CONFIG_PORT = 0xcf8, CONFIG_PORTS = 8 };

/* As bus/pci.c routes: slots 0-24 rotate over PIRQ E-H, the others take A-D. */
static unsigned gsi_of(unsigned slot, unsigned pin)
{
	if (slot > 24)
		return PC_GSI_PIRQ_A + pin;
	return PC_GSI_PIRQ_A + 4 + (slot + pin) % PINS;
}

/* ACPI 6.4, 6.2.13: address of all functions of a slot, pin, no link device, interrupt. */
static void put_routing(struct aml *a)
{
	struct aml_block table;

	aml_name(a, "_PRT");
	table = aml_package(a, SLOTS * PINS);
	for (unsigned i = 0; i < SLOTS * PINS; i++) {
		struct aml_block entry = aml_package(a, 4);

		aml_integer(a, i / PINS << 16 | 0xffff);
		aml_integer(a, i % PINS);
		aml_integer(a, 0);
		aml_integer(a, gsi_of(i / PINS, i % PINS));
		aml_end(a, entry);
	}
	aml_end(a, table);
}

static void put_windows(struct aml *a, const struct acpi_params *p)
{
	struct aml_block r;

	aml_name(a, "_CRS");
	r = aml_resources(a);
	aml_window16(a, AML_WINDOW_BUS, 0, 0xff);
	aml_io(a, CONFIG_PORT, CONFIG_PORTS);
	/* All of I/O space: the LPC bridge has registers below where BARs are put. */
	aml_window16(a, AML_WINDOW_IO, 0, CONFIG_PORT - 1);
	aml_window16(a, AML_WINDOW_IO, CONFIG_PORT + CONFIG_PORTS, 0xffff);
	aml_window32(a, 0xa0000, 0xbffff); /* where a VGA's memory would be */
	aml_window32(a, PC_PCI_MEM_BASE, PC_PCI_MEM_END - 1);
	if (p->pci_mem64_base < p->pci_mem64_end)
		aml_window64(a, p->pci_mem64_base, p->pci_mem64_end - 1);
	aml_resources_end(a, r);
}

static void put_host_bridge(struct aml *a, const struct acpi_params *p)
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
	put_windows(a, p);
	put_routing(a);
	/* The system may control all that it asks for: nobody else does (PCI Firmware 3.2, 4.5). */
	aml_method_returning(a, "_OSC", OSC_ARGS, OSC_CAPABILITIES);
	aml_end(a, device);
}

/* PCI Firmware 3.2, 4.1.2: ECAM is to be reserved by a motherboard resource. */
static void put_reserved(struct aml *a)
{
	struct aml_block device = aml_device(a, "MRES"), r;

	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0C02");
	aml_name(a, "_CRS");
	r = aml_resources(a);
	aml_memory_fixed(a, PC_ECAM_BASE, PC_ECAM_SIZE);
	aml_io(a, PC_PORT_PM, PM_IO_SIZE);
	aml_resources_end(a, r);
	aml_end(a, device);
}

void acpi_put_pci(struct aml *a, const struct acpi_params *p)
{
	put_host_bridge(a, p);
	put_reserved(a);
}
