/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What firmware does to a PCI hierarchy before an operating system sees it: bus numbers, BARs,
 * bridge windows, decoding on. Addresses only go up; windows are far larger than devices.
 */
#include "bus/pci_internal.h"

enum { ECAM_SIZE = 256 << 20, BRIDGE_MEM = 1 << 20, BRIDGE_IO = 4096, IRQ_LINE = 10 };
#define CLOSED_BASE 0xfffff000ull

struct cursor {
	u64 io, mem32, mem64;
};

static void write32(struct pci_function *f, unsigned off, u32 val)
{
	st32(f->state.config + off, val);
}

static u64 take(u64 *next, u64 size, u64 align)
{
	u64 at = align_up(*next, align);

	*next = at + size;
	return at;
}

static void assign_bar(struct pci_function *f, unsigned bar, struct cursor *c)
{
	unsigned off = REG_BAR + 4 * bar;
	u64 size = f->bar_size[bar], at;

	switch (f->bar_kind[bar]) {
	case PCI_BAR_IO:
		write32(f, off, (u32)take(&c->io, size, size) | 1);
		break;
	case PCI_BAR_MEM32:
		write32(f, off, (u32)take(&c->mem32, size, size));
		break;
	default:
		at = take(&c->mem64, size, size);
		write32(f, off, (u32)at | 0xc);
		write32(f, off + 4, (u32)(at >> 32));
	}
}

/* Interrupt lines as the routing registers are set for: PIRQs in turns on 10 and 11. */
static void assign_function(struct pci_function *f, struct cursor *c)
{
	u16 command = CMD_MEMORY | CMD_IO;

	for (unsigned bar = 0; bar < PCI_BARS; bar++)
		if (f->bar_size[bar])
			assign_bar(f, bar, c);
	if (f->desc->kind == PCI_ROOT_PORT)
		command |= CMD_MASTER;
	if (f->desc->kind != PCI_CHIPSET)
		st16(f->state.config + REG_COMMAND, command);
	if (f->desc->intx)
		f->state.config[REG_IRQ_LINE] = (u8)(IRQ_LINE + (pci_pirq(f) >> 1 & 1));
}

static void assign_bus(struct pci_root *r, const struct pci_function *parent, struct cursor *c)
{
	for (unsigned i = 0; i < r->nfunctions; i++)
		if (r->functions[i]->parent == parent)
			assign_function(r->functions[i], c);
}

/* A window's base and limit registers, in units of which they have the upper bits. */
struct limits {
	u64 base, limit;
};

/*
 * Where nothing is behind the bridge the window is shut: its base above its limit, both below
 * 4 GiB, since software may not look at the upper halves of a window that is shut.
 */
static struct limits window(u64 base, u64 end, u64 unit)
{
	return end > base ? (struct limits){base, align_down(end - 1, unit)}
			  : (struct limits){CLOSED_BASE, 0};
}

static void set_windows(struct pci_function *b, const struct cursor *begin,
			const struct cursor *end)
{
	struct limits io = window(begin->io, end->io, BRIDGE_IO);
	struct limits mem = window(begin->mem32, end->mem32, BRIDGE_MEM);
	struct limits pref = window(begin->mem64, end->mem64, BRIDGE_MEM);
	u8 *config = b->state.config;

	config[REG_IO_BASE] = (u8)(io.base >> 8 & 0xf0);
	config[REG_IO_LIMIT] = (u8)(io.limit >> 8 & 0xf0);
	st16(config + REG_MEM_BASE, (u16)(mem.base >> 16 & 0xfff0));
	st16(config + REG_MEM_LIMIT, (u16)(mem.limit >> 16 & 0xfff0));
	st16(config + REG_PREF_BASE, (u16)((pref.base >> 16 & 0xfff0) | 1));
	st16(config + REG_PREF_LIMIT, (u16)((pref.limit >> 16 & 0xfff0) | 1));
	write32(b, REG_PREF_BASE_HIGH, (u32)(pref.base >> 32));
	write32(b, REG_PREF_LIMIT_HIGH, (u32)(pref.limit >> 32));
}

static void align_to_bridge(struct cursor *c)
{
	c->io = align_up(c->io, BRIDGE_IO);
	c->mem32 = align_up(c->mem32, BRIDGE_MEM);
	c->mem64 = align_up(c->mem64, BRIDGE_MEM);
}

static void assign_bridge(struct pci_function *b, unsigned bus, struct cursor *c)
{
	struct cursor begin;

	align_to_bridge(c);
	begin = *c;
	b->state.config[REG_BUS_SECONDARY] = b->state.config[REG_BUS_SUBORDINATE] = (u8)bus;
	assign_bus(b->root, b, c);
	set_windows(b, &begin, c);
	align_to_bridge(c);
}

void pci_assign(struct pci_root *r)
{
	struct cursor c = {
		.io = r->p.io_base,
		.mem32 = r->p.ecam_base + ECAM_SIZE,
		.mem64 = r->p.mem64_base,
	};
	unsigned bus = 0;

	pci_lock(r);
	assign_bus(r, NULL, &c);
	for (unsigned i = 0; i < r->nfunctions; i++)
		if (r->functions[i]->desc->kind == PCI_ROOT_PORT)
			assign_bridge(r->functions[i], ++bus, &c);
	pci_remap(r);
	pci_unlock(r);
}
