/* SPDX-License-Identifier: BSD-2-Clause */
/* Configuration space as power-on leaves it, and what of it can be written. */
#include "bus/pci_internal.h"

/* PCI Express capability (PCI Express Base 5.0, 7.5.3). */
enum {
	EXP_LEN = 60,
	EXP_FLAGS = 2,
	EXP_DEVCAP = 4,
	EXP_DEVCTL = 8,
	EXP_LNKCAP = 12,
	EXP_LNKCTL = 16,
	EXP_LNKSTA = 18,
	EXP_ROOTCTL = 28,
	EXP_DEVCTL2 = 40,
	EXP_LNKCTL2 = 48,
	EXP_VERSION = 2,
	EXP_TYPE_ENDPOINT = 0,
	EXP_TYPE_ROOT_PORT = 4,
	EXP_TYPE_INTEGRATED = 9,
	EXP_ROLE_ERRORS = 1 << 15,
	EXP_LINK_GEN1_X1 = 1 << 4 | 1,
};
#define EXP_FLR (1u << 28)

enum {
	PM_LEN = 8,
	PM_CAPS = 2,
	PM_CONTROL = 4,
	PM_VERSION = 3,
	PM_NO_SOFT_RESET = 8,
	PM_STATE = 3,
	PM_D0 = 0,
	PM_D3HOT = 3,
};
enum { MSI_LEN = 24, MSI_CONTROL = 2, MSI_ADDRESS = 4, MSI_ADDRESS_HIGH = 8, MSI_DATA = 12 };
enum { MSI_MASK = 16, MSI_64BIT = 0x80, MSI_MASKABLE = 0x100, MSI_WRITABLE = 0x71 };
enum { MSIX_LEN = 12, MSIX_CONTROL = 2, MSIX_TABLE_AT = 4, MSIX_PBA_AT = 8 };

struct builder {
	struct pci_function *f;
	unsigned next; /* where the next capability goes */
	unsigned link; /* where its address is to be written */
};

static void put16(struct pci_function *f, unsigned off, u16 val, u16 writable)
{
	st16(f->state.config + off, val);
	st16(f->writable + off, writable);
}

static void put32(struct pci_function *f, unsigned off, u32 val, u32 writable)
{
	st32(f->state.config + off, val);
	st32(f->writable + off, writable);
}

/* Room for a capability of len bytes, ID and link filled in: its offset. */
static u16 add_cap(struct builder *b, u8 id, unsigned len)
{
	u8 *c = b->f->state.config;
	unsigned at = b->next;

	c[b->link] = (u8)at;
	c[at] = id;
	b->link = at + 1;
	b->next = (at + len + 3) & ~3u;
	return (u16)at;
}

static void build_msix(struct builder *b)
{
	struct pci_function *f = b->f;
	u16 at = add_cap(b, CAP_MSIX, MSIX_LEN);

	f->cap_msix = at;
	put16(f, at + MSIX_CONTROL, (u16)(f->desc->msix - 1), 0xc000);
	put32(f, at + MSIX_TABLE_AT, f->desc->msix_bar, 0);
	put32(f, at + MSIX_PBA_AT, MSIX_PBA | f->desc->msix_bar, 0);
}

static void build_msi(struct builder *b)
{
	struct pci_function *f = b->f;
	u16 at = add_cap(b, CAP_MSI, MSI_LEN), log = 0;

	while (1u << log < f->desc->msi)
		log++;
	f->cap_msi = at;
	put16(f, at + MSI_CONTROL, (u16)(MSI_64BIT | MSI_MASKABLE | log << 1), MSI_WRITABLE);
	put32(f, at + MSI_ADDRESS, 0, ~3u);
	put32(f, at + MSI_ADDRESS_HIGH, 0, ~0u);
	put16(f, at + MSI_DATA, 0, 0xffff);
	put32(f, at + MSI_MASK, 0, (u32)mask_low(f->desc->msi));
}

static void build_pm(struct builder *b)
{
	struct pci_function *f = b->f;
	u16 at = add_cap(b, CAP_PM, PM_LEN);

	f->cap_pm = at;
	put16(f, at + PM_CAPS, PM_VERSION, 0);
	put16(f, at + PM_CONTROL, PM_NO_SOFT_RESET, PM_STATE);
}

static void build_express(struct builder *b)
{
	struct pci_function *f = b->f;
	bool port = f->desc->kind == PCI_ROOT_PORT, link = port || f->parent;
	u16 at = add_cap(b, CAP_EXP, EXP_LEN), type = EXP_TYPE_INTEGRATED;

	if (link)
		type = port ? EXP_TYPE_ROOT_PORT : EXP_TYPE_ENDPOINT;
	f->cap_exp = at;
	put16(f, at + EXP_FLAGS, (u16)(EXP_VERSION | type << 4), 0);
	put32(f, at + EXP_DEVCAP, EXP_ROLE_ERRORS | (port ? 0 : EXP_FLR), 0);
	/* Initiate FLR (bit 15) reads as zero: see pci.c. */
	put16(f, at + EXP_DEVCTL, 0, 0x7fff);
	put16(f, at + EXP_DEVCTL2, 0, 0x0010);
	if (!link)
		return;
	put32(f, at + EXP_LNKCAP, EXP_LINK_GEN1_X1, 0);
	put16(f, at + EXP_LNKCTL, 0, 0x00c3);
	put16(f, at + EXP_LNKSTA, EXP_LINK_GEN1_X1, 0);
	put16(f, at + EXP_LNKCTL2, 1, 0);
	if (port)
		put16(f, at + EXP_ROOTCTL, 0, 0x001f);
}

static void build_own_caps(struct builder *b)
{
	struct pci_function *f = b->f;

	for (unsigned i = 0; i < f->desc->ncaps; i++) {
		const struct pci_cap_desc *c = &f->desc->caps[i];
		u16 at = add_cap(b, c->id, c->len + 2u);

		f->caps_at[i] = at;
		__builtin_memcpy(f->state.config + at + 2, c->bytes, c->len);
		if (c->writable)
			__builtin_memcpy(f->writable + at + 2, c->writable, c->len);
	}
}

static void build_caps(struct pci_function *f)
{
	struct builder b = {.f = f, .next = REG_OWN, .link = REG_CAPS};

	if (f->desc->kind != PCI_CHIPSET) {
		if (f->desc->msix)
			build_msix(&b);
		if (f->desc->msi)
			build_msi(&b);
		build_pm(&b);
		build_express(&b);
	}
	build_own_caps(&b);
	if (b.next != REG_OWN)
		f->state.config[REG_STATUS] |= STATUS_CAPS;
}

static void build_bar(struct pci_function *f, unsigned bar, unsigned kind, u64 size)
{
	unsigned off = REG_BAR + 4 * bar;
	u64 writable = ~(size - 1);

	f->bar_size[bar] = size;
	f->bar_kind[bar] = (u8)kind;
	switch (kind) {
	case PCI_BAR_IO:
		put32(f, off, 1, (u32)writable & 0xffff & ~3u);
		break;
	case PCI_BAR_MEM32:
		put32(f, off, 0, (u32)writable & ~15u);
		break;
	default: /* 64 bits, prefetchable */
		put32(f, off, 0xc, (u32)writable & ~15u);
		put32(f, off + 4, 0, (u32)(writable >> 32));
	}
}

static void build_bars(struct pci_function *f)
{
	const struct pci_desc *d = f->desc;

	for (unsigned i = 0; i < d->nbars; i++)
		build_bar(f, d->bars[i].bar, d->bars[i].kind, d->bars[i].size);
	if (d->msix)
		build_bar(f, d->msix_bar, PCI_BAR_MEM32, MSIX_BAR_SIZE);
}

/* 16-bit I/O, 32-bit memory and 64-bit prefetchable windows, all closed: base above limit. */
static void build_bridge(struct pci_function *f)
{
	put16(f, REG_BUS_PRIMARY, 0, 0xffff);
	f->writable[REG_BUS_SUBORDINATE] = 0xff;
	put16(f, REG_IO_BASE, 0x00f0, 0xf0f0);
	put32(f, REG_MEM_BASE, 0x0000fff0, 0xfff0fff0);
	put32(f, REG_PREF_BASE, 0x0001fff1, 0xfff0fff0);
	put32(f, REG_PREF_BASE_HIGH, 0, ~0u);
	put32(f, REG_PREF_LIMIT_HIGH, 0, ~0u);
	put16(f, REG_BRIDGE_CONTROL, 0, 0x0043);
}

static void build_identity(struct pci_function *f)
{
	const struct pci_desc *d = f->desc;
	u8 *c = f->state.config;

	st16(c + REG_VENDOR, d->vendor);
	st16(c + REG_DEVICE, d->device);
	c[REG_REVISION] = d->revision;
	c[REG_CLASS] = (u8)d->class_code;
	st16(c + REG_CLASS + 1, (u16)(d->class_code >> 8));
	put16(f, REG_COMMAND, 0, CMD_WRITABLE);
	st16(f->clearable + REG_STATUS, STATUS_CLEARABLE);
	f->writable[REG_CACHE_LINE] = 0xff;
	f->writable[REG_IRQ_LINE] = 0xff;
	c[REG_IRQ_PIN] = d->intx;
	c[REG_HEADER] = f->multifunction ? HEADER_MULTIFUNCTION : 0;
	if (d->kind == PCI_ROOT_PORT) {
		c[REG_HEADER] |= HEADER_BRIDGE;
		return;
	}
	st16(c + REG_SUBVENDOR, d->subvendor);
	st16(c + REG_SUBDEVICE, d->subdevice);
}

void pci_build(struct pci_function *f)
{
	__builtin_memset(&f->state.config, 0, sizeof(f->state.config));
	__builtin_memset(f->state.msix_table, 0, sizeof(f->state.msix_table));
	f->state.msix_pending = 0;
	build_identity(f);
	build_bars(f);
	if (f->desc->kind == PCI_ROOT_PORT)
		build_bridge(f);
	build_caps(f);
	for (unsigned i = 0; i < f->desc->nregs; i++) {
		const struct pci_reg_desc *r = &f->desc->regs[i];

		st_size(f->state.config + r->off, r->initial, r->size);
		st_size(f->writable + r->off, r->writable, r->size);
	}
	/* Vectors are masked until somebody unmasks them (PCI 3.0, 6.8.2.9). */
	for (unsigned i = 0; i < f->desc->msix; i++)
		f->state.msix_table[i * MSIX_ENTRY + 12] = 1;
}

bool pci_awake(const struct pci_function *f)
{
	return !f->cap_pm || (f->state.config[f->cap_pm + PM_CONTROL] & PM_STATE) == PM_D0;
}

/* There are D0 and D3hot (PCI Power Management 1.2, 3.2.4). */
static bool power_state_exists(u8 control)
{
	return (control & PM_STATE) == PM_D0 || (control & PM_STATE) == PM_D3HOT;
}

u8 pci_power(const struct pci_function *f)
{
	return f->cap_pm ? f->state.config[f->cap_pm + PM_CONTROL] : PM_D0;
}

void pci_power_written(struct pci_function *f, u8 before)
{
	if (f->cap_pm && !power_state_exists(pci_power(f)))
		f->state.config[f->cap_pm + PM_CONTROL] = before;
}
