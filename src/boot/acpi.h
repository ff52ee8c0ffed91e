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
	u64 pci_mem64_base, pci_mem64_end; /* PCI's window above RAM */
};

/* Writes the tables into the BIOS area of guest memory and returns the RSDP's address. */
int acpi_build(struct alc_space *space, const struct acpi_params *p, alc_gpa *rsdp,
	       struct alc_err *err) ALC_MUST_CHECK;

#endif
