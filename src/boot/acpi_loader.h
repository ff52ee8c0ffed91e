/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_ACPI_LOADER_H
#define BOOT_ACPI_LOADER_H

#include "boot/acpi.h"

/*
 * ACPI tables for firmware that places them itself: the tables with all pointers relative to their
 * own beginning, the RSDP, and a script that says what to allocate, which pointers to complete and
 * which checksums to compute then (QEMU, docs/specs: the BIOS linker/loader).
 */
#define ACPI_LOADER_RSDP   "etc/acpi/rsdp"
#define ACPI_LOADER_TABLES "etc/acpi/tables"
#define ACPI_LOADER_SCRIPT "etc/table-loader"

enum { ACPI_LOADER_COMMAND = 128, ACPI_LOADER_COMMANDS_MAX = 64 };

struct acpi_loader {
	u8 *tables; /* allocated: ACPI_ROOM bytes, of which len are used */
	size_t len;
	u8 rsdp[ACPI_RSDP_SIZE];
	u8 script[ACPI_LOADER_COMMANDS_MAX * ACPI_LOADER_COMMAND];
	size_t script_len;
};

/* Fills *out; acpi_loader_free gives back what it holds, after a failure too. */
int acpi_loader_build(const struct alc_host *host, const struct acpi_params *p,
		      struct acpi_loader *out, struct alc_err *err) ALC_MUST_CHECK;
void acpi_loader_free(const struct alc_host *host, struct acpi_loader *l);

#endif
