/* SPDX-License-Identifier: BSD-2-Clause */
#include "pci.h"

enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc };
#define CONFIG_ENABLE 0x80000000u
/* Where BARs above the identity-mapped 4 GiB are mapped. */
#define BAR_WINDOW 0x9000000000ull

u32 pci_read(u16 bdf, unsigned off, unsigned size)
{
	u16 port = (u16)(CONFIG_DATA + (off & 3));

	outl(CONFIG_ADDRESS, CONFIG_ENABLE | (u32)bdf << 8 | (off & 0xfc));
	return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

void pci_write(u16 bdf, unsigned off, u32 v, unsigned size)
{
	u16 port = (u16)(CONFIG_DATA + (off & 3));

	outl(CONFIG_ADDRESS, CONFIG_ENABLE | (u32)bdf << 8 | (off & 0xfc));
	if (size == 1)
		outb(port, (u8)v);
	else if (size == 2)
		outw(port, (u16)v);
	else
		outl(port, v);
}

/* All ones written, what sticks says the size (PCI 3.0, 6.2.5.1). */
static u32 probe_bar(u16 bdf, unsigned off, u32 *value)
{
	u32 sticks;

	*value = pci_read(bdf, off, 4);
	pci_write(bdf, off, 0xffffffff, 4);
	sticks = pci_read(bdf, off, 4);
	pci_write(bdf, off, *value, 4);
	return sticks;
}

static volatile u8 *map_bar(u64 base, u64 size)
{
	static u64 next = BAR_WINDOW;
	u64 at = next;

	if (base + size <= 1ull << 32)
		return (volatile u8 *)base;
	for (u64 off = 0; off < size; off += 4096)
		map_page(at + off, base + off, PTE_P | PTE_W);
	next += (size + 4095) & ~4095ull;
	return (volatile u8 *)at;
}

/* Returns how many registers the BAR takes. */
static unsigned scan_bar(struct pci_device *d, unsigned n)
{
	struct pci_bar *b = &d->bars[n];
	unsigned off = PCI_BAR0 + 4 * n;
	u32 low, high = 0;
	u64 mask = probe_bar(d->bdf, off, &low);
	bool wide = !(low & 1) && (low >> 1 & 3) == 2;

	b->io = low & 1;
	if (wide)
		mask |= (u64)probe_bar(d->bdf, off + 4, &high) << 32;
	else
		mask |= 0xffffffffull << 32;
	mask &= b->io ? ~3ull : ~15ull;
	if (!(u32)mask && !wide)
		return 1;
	b->base = ((u64)high << 32 | low) & (b->io ? ~3ull : ~15ull);
	b->size = ~mask + 1;
	if (b->io)
		b->size &= 0xffff;
	if (!b->io && b->size)
		b->at = map_bar(b->base, b->size);
	return wide ? 2 : 1;
}

static void scan_function(struct pci_device *d)
{
	u16 command = (u16)pci_read(d->bdf, PCI_COMMAND, 2);
	unsigned bars = (pci_read(d->bdf, PCI_HEADER, 1) & 0x7f) == 0 ? 6 : 0;

	pci_write(d->bdf, PCI_COMMAND, 0, 2);
	for (unsigned n = 0; n < bars;)
		n += scan_bar(d, n);
	command |= PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	pci_write(d->bdf, PCI_COMMAND, command, 2);
}

unsigned pci_scan(struct pci_device *out, unsigned max)
{
	unsigned n = 0;

	for (unsigned bdf = 0; bdf < 256 && n < max; bdf++) {
		u32 id = pci_read((u16)bdf, PCI_ID, 4);

		if ((u16)id == 0xffff)
			continue;
		out[n] = (struct pci_device){
			.bdf = (u16)bdf, .vendor = (u16)id, .device = (u16)(id >> 16)};
		scan_function(&out[n++]);
	}
	return n;
}

unsigned pci_capability(u16 bdf, u8 id, unsigned n)
{
	unsigned off = pci_read(bdf, PCI_CAPS, 1) & 0xfc;

	/* A list may loop: no more entries than fit. */
	for (unsigned i = 0; off && i < 48; i++) {
		if (pci_read(bdf, off, 1) == id && !n--)
			return off;
		off = pci_read(bdf, off + 1, 1) & 0xfc;
	}
	return 0;
}

u64 bar_read(const struct pci_bar *b, u64 off, unsigned size)
{
	volatile u8 *p = b->at + off;
	u16 port = (u16)(b->base + off);

	if (b->io)
		return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
	switch (size) {
	case 1:
		return *p;
	case 2:
		return *(volatile u16 *)p;
	case 4:
		return *(volatile u32 *)p;
	default:
		return *(volatile u64 *)p;
	}
}

void bar_write(const struct pci_bar *b, u64 off, u64 v, unsigned size)
{
	volatile u8 *p = b->at + off;
	u16 port = (u16)(b->base + off);

	if (b->io) {
		size == 1 ? outb(port, (u8)v) : size == 2 ? outw(port, (u16)v) : outl(port, (u32)v);
		return;
	}
	switch (size) {
	case 1:
		*p = (u8)v;
		break;
	case 2:
		*(volatile u16 *)p = (u16)v;
		break;
	case 4:
		*(volatile u32 *)p = (u32)v;
		break;
	default:
		*(volatile u64 *)p = v;
	}
}
