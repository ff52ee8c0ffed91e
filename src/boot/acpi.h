/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "alcazar/err.h"
#include "mem/space.h"

/*
 * Generated ACPI tables (ACPI 6.4): RSDP, XSDT, FADT (PM timer, S5, reset register), FACS, MADT,
 * MCFG, DSDT (processors, PCI with its windows and interrupts, COM ports, RTC). Constants are
 * bus/pc.h's.
 */
struct acpi_params {
	unsigned cpus;
	bool com2;
	bool vga;
	u64 pci_mem64_base, pci_mem64_end; /* PCI's window above RAM */
};

enum { ACPI_ROOM = 32 * 1024, ACPI_RSDP_SIZE = 36 };

/* Into buf, of ACPI_ROOM bytes, for tables that will be at `base`; the RSDP comes first. */
int acpi_build_at(const struct acpi_params *p, u64 base, u8 *buf, size_t *len,
		  struct alc_err *err) ALC_MUST_CHECK;
/* Writes the tables into the BIOS area of guest memory and returns the RSDP's address. */
int acpi_build(struct alc_space *space, const struct acpi_params *p, alc_gpa *rsdp,
	       struct alc_err *err) ALC_MUST_CHECK;

#endif
