/* SPDX-License-Identifier: BSD-2-Clause */
#include "bus/pc.h"
#include "device/device.h"

/*
 * Host bridge as on Q35 (Intel 3 Series Express Chipset data sheet, chapter 5), with what firmware
 * looks for: where ECAM is, and the switches of the area below 1 MiB, which here is RAM in any
 * case.
 */
enum { PCIEXBAR = 0x60, PAM = 0x90, PAMS = 7, SMRAM = 0x9d, ESMRAMC = 0x9e };
enum { PCIEXBAR_ENABLE = 1, PAM_WRITABLE = 0x33, SMRAM_INITIAL = 2, ESMRAMC_INITIAL = 0x38 };

#define PAM_REG(n)                            \
	{                                     \
		PAM + (n), 1, 0, PAM_WRITABLE \
	}

static const struct pci_reg_desc regs[] = {
	{PCIEXBAR, 4, (u32)PC_ECAM_BASE | PCIEXBAR_ENABLE, 0xf0000000 | PCIEXBAR_ENABLE},
	{PCIEXBAR + 4, 4, 0, 0},
	PAM_REG(0),
	PAM_REG(1),
	PAM_REG(2),
	PAM_REG(3),
	PAM_REG(4),
	PAM_REG(5),
	PAM_REG(6),
	{SMRAM, 1, SMRAM_INITIAL, 0x78},
	{ESMRAMC, 1, ESMRAMC_INITIAL, 0x07},
};

static const struct pci_desc pci = {
	.kind = PCI_CHIPSET,
	.vendor = 0x8086,
	.device = 0x29c0,
	.subvendor = 0x8086,
	.subdevice = 0x29c0,
	.revision = 2,
	.class_code = 0x060000,
	.regs = regs,
	.nregs = ARRAY_LEN(regs),
};

static void place_ecam(struct alc_dev *d)
{
	u32 bar = d->pci ? ld32(pci_config(d->pci) + PCIEXBAR) : 0;

	if (d->pci)
		pci_set_ecam(d->env.pci, bar & PCIEXBAR_ENABLE, bar & 0xf0000000);
}

static void mch_config_written(struct alc_dev *d, unsigned off, unsigned len)
{
	if (off < PCIEXBAR + 8 && off + len > PCIEXBAR)
		place_ecam(d);
}

static void mch_reset(struct alc_dev *d, enum alc_reset kind)
{
	place_ecam(d);
}

static int mch_loaded(struct alc_dev *d, struct alc_err *err)
{
	place_ecam(d);
	return 0;
}

extern const struct alc_dev_class mch_class;
const struct alc_dev_class mch_class = {
	.name = "host-bridge",
	.summary = "PCI Express host bridge, as on Q35",
	.version = 1,
	.version_min = 1,
	.platform = true,
	.pci = &pci,
	.reset = mch_reset,
	.loaded = mch_loaded,
	.config_written = mch_config_written,
};
