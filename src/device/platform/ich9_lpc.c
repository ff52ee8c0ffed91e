/* SPDX-License-Identifier: BSD-2-Clause */
#include "device/platform/ich9_lpc.h"

#include "base/errno.h"
#include "bus/pc.h"

/*
 * LPC bridge as on Q35 (Intel I/O Controller Hub 9 data sheet, chapter 13): where PCI's interrupts
 * go. PIRQ A-H are pins 16-23 of the I/O APIC, and, where a routing register says so, a line of
 * the PIC. The PM registers' base is fixed (see acpi_pm.c); there is no SMM, and SMI_EN says that
 * SMIs are taken care of, so that firmware leaves them alone.
 */
enum { PMBASE = 0x40, ACPI_CNTL = 0x44, PIRQ_A_ROUT = 0x60, SIRQ_CNTL = 0x64, PIRQ_E_ROUT = 0x68 };
enum { LPC_IO_DEC = 0x80, LPC_EN = 0x82, GEN_PMCON_1 = 0xa0, BIOS_CNTL = 0xdc, RCBA = 0xf0 };
enum { ROUTE_OFF = 0x80, ROUTE_LINE = 0x0f, ROUTE_WRITABLE = ROUTE_OFF | ROUTE_LINE };
enum { SMI_EN_VALUE = 0x21 }; /* GBL_SMI_EN, APMC_EN */
/* Lines that a PIRQ can be routed to. */
enum { ISA_LINES = 0xdef8 };

struct state {
	u8 level; /* of PIRQ A-H, bit by bit */
	u16 isa;  /* lines that are driven high for it */
};

static const struct alc_field fields[] = {
	FIELD(struct state, level),
	FIELD(struct state, isa),
	FIELD_END,
};

#define ROUTE(base, n)                                     \
	{                                                  \
		(base) + (n), 1, ROUTE_OFF, ROUTE_WRITABLE \
	}

static const struct pci_reg_desc regs[] = {
	{PMBASE, 4, PC_PORT_PM | 1, 0}, {ACPI_CNTL, 1, 0x80, 0x87},  ROUTE(PIRQ_A_ROUT, 0),
	ROUTE(PIRQ_A_ROUT, 1),          ROUTE(PIRQ_A_ROUT, 2),       ROUTE(PIRQ_A_ROUT, 3),
	{SIRQ_CNTL, 1, 0x10, 0xff},     ROUTE(PIRQ_E_ROUT, 0),       ROUTE(PIRQ_E_ROUT, 1),
	ROUTE(PIRQ_E_ROUT, 2),          ROUTE(PIRQ_E_ROUT, 3),       {LPC_IO_DEC, 2, 0, 0x1377},
	{LPC_EN, 2, 0, 0x3f0f},         {GEN_PMCON_1, 2, 0, 0x041f}, {BIOS_CNTL, 1, 0, 0x03},
	{RCBA, 4, 0, 0xffffc001},
};

static const struct pci_desc pci = {
	.kind = PCI_CHIPSET,
	.vendor = 0x8086,
	.device = 0x2918,
	.subvendor = 0x8086,
	.subdevice = 0x2918,
	.revision = 2,
	.class_code = 0x060100,
	.regs = regs,
	.nregs = ARRAY_LEN(regs),
};

static unsigned route_register(unsigned pirq)
{
	return pirq < 4 ? PIRQ_A_ROUT + pirq : PIRQ_E_ROUT + pirq - 4;
}

static u16 isa_lines(const struct alc_dev *d)
{
	const struct state *s = d->state;
	u16 lines = 0;

	for (unsigned i = 0; d->pci && i < PC_PIRQS; i++) {
		u8 route = pci_config(d->pci)[route_register(i)];

		if ((s->level >> i & 1) && !(route & ROUTE_OFF))
			lines |= (u16)(1u << (route & ROUTE_LINE));
	}
	return lines & (u16)ISA_LINES;
}

static void set_gsi(struct alc_dev *d, unsigned gsi, bool level)
{
	if (d->env.gsi.set)
		d->env.gsi.set(d->env.gsi.ctx, gsi, level);
}

static void update_isa(struct alc_dev *d)
{
	struct state *s = d->state;
	u16 now = isa_lines(d), changed = now ^ s->isa;

	s->isa = now;
	for (; changed; changed &= (u16)(changed - 1)) {
		unsigned line = (unsigned)__builtin_ctz(changed);

		set_gsi(d, line, now >> line & 1);
	}
}

void ich9_lpc_set_pirq(struct alc_dev *d, unsigned pirq, bool level)
{
	struct state *s = d->state;

	dev_lock(d);
	s->level = (u8)((s->level & ~(1u << pirq)) | (unsigned)level << pirq);
	set_gsi(d, PC_GSI_PIRQ_A + pirq, level);
	update_isa(d);
	dev_unlock(d);
}

void ich9_lpc_firmware(struct alc_dev *d)
{
	for (unsigned i = 0; i < PC_PIRQS; i++)
		pci_config_write(d->pci, route_register(i), 10 + (i >> 1 & 1), 1);
}

static void lpc_config_written(struct alc_dev *d, unsigned off, unsigned len)
{
	update_isa(d);
}

static u64 lpc_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	return SMI_EN_VALUE;
}

static void lpc_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
}

/* Levels are what PCI functions drive, and survive. */
static void lpc_reset(struct alc_dev *d, enum alc_reset kind)
{
	update_isa(d);
}

static int lpc_loaded(struct alc_dev *d, struct alc_err *err)
{
	struct state *s = d->state;

	if (s->isa != isa_lines(d))
		return alc_fail(err, -EINVAL,
				"device '%s': snapshot drives lines that nothing is routed to",
				d->id);
	for (unsigned i = 0; i < PC_PIRQS; i++)
		set_gsi(d, PC_GSI_PIRQ_A + i, s->level >> i & 1);
	for (unsigned i = 0; i < PC_ISA_IRQS; i++)
		if (s->isa >> i & 1)
			set_gsi(d, i, true);
	return 0;
}

static const struct alc_dev_region regions[] = {
	{"smi-enable", ALC_REGION_PORT, PC_PORT_SMI_EN, 4, 4, 4, NULL, 0},
	{.name = NULL},
};

extern const struct alc_dev_class ich9_lpc_class;
const struct alc_dev_class ich9_lpc_class = {
	.name = "lpc-bridge",
	.summary = "PCI to ISA bridge and interrupt router, as on Q35",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.platform = true,
	.pci = &pci,
	.reset = lpc_reset,
	.read = lpc_read,
	.write = lpc_write,
	.loaded = lpc_loaded,
	.config_written = lpc_config_written,
};
