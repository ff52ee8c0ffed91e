/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_ACPI_PCI_H
#define BOOT_ACPI_PCI_H

#include "boot/acpi.h"
#include "boot/aml.h"

/*
 * PCI in the DSDT, within the scope \_SB: the host bridge with what it passes on and where INTx
 * goes, and a device that reserves ECAM. Private to this room.
 */
void acpi_put_pci(struct aml *a, const struct acpi_params *p);

#endif
