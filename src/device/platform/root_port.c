/* SPDX-License-Identifier: BSD-2-Clause */
#include "device/device.h"

/* PCI Express root port: a bus of its own, with room for one device. All of it is bus/pci's. */
static const struct pci_desc pci = {
	.kind = PCI_ROOT_PORT,
	.vendor = 0x8086,
	.device = 0x2940,
	.revision = 2,
	.class_code = 0x060400,
	.intx = true,
	.msi = 1,
};

static void port_reset(struct alc_dev *d, enum alc_reset kind)
{
}

extern const struct alc_dev_class root_port_class;
const struct alc_dev_class root_port_class = {
	.name = "pcie-root-port",
	.summary = "PCI Express root port; put a device behind it with its option bus=",
	.version = 1,
	.version_min = 1,
	.pci = &pci,
	.reset = port_reset,
};
