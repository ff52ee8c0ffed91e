/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICE_PCI_DEV_H
#define DEVICE_PCI_DEV_H

#include "device/device.h"

/* Devices that are PCI functions: what joins the device model to bus/pci.h. Private to this room.
 */

/* Options that every PCI class has besides its own. */
struct pci_dev_options {
	const char *addr; /* SLOT[.FUNCTION] in hexadecimal; NULL: the next free one */
	const char *bus;  /* the ID of a root port; NULL: bus 0 */
};

/* Takes an option if it is one of these. */
bool pci_dev_option(struct pci_dev_options *o, const char *key, const char *value);

/* Makes d->pci out of d->pci_desc. */
int pci_dev_create(struct alc_dev *d, const struct pci_dev_options *o,
		   struct alc_err *err) ALC_MUST_CHECK;
void pci_dev_destroy(struct alc_dev *d);

#endif
