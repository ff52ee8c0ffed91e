/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_ACPI_DSDT_H
#define BOOT_ACPI_DSDT_H

#include "boot/acpi.h"
#include "boot/aml.h"

/* The DSDT's body: processors, legacy devices, PCI. */
void acpi_put_dsdt(struct aml *a, const struct acpi_params *p);

#endif
