/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include "kernel.h"

/* PCI configuration by CF8/CFC, and virtio-pci's way to a device's registers. */
static inline u16 inw(u16 port)
{
	u16 v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline u32 inl(u16 port)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline void outw(u16 port, u16 v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

enum {
	PCI_ID = 0,
	PCI_COMMAND = 4,
	PCI_HEADER = 0xe,
	PCI_BAR0 = 0x10,
	PCI_CAPS = 0x34,
	PCI_COMMAND_IO = 1,
	PCI_COMMAND_MEMORY = 2,
	PCI_COMMAND_MASTER = 4,
};

struct pci_bar {
	u64 base, size; /* size 0: none */
	bool io;
	volatile u8 *at; /* memory: mapped here */
};

struct pci_device {
	u16 bdf, vendor, device;
	struct pci_bar bars[6];
};

/* address: bus << 8 | device << 3 | function */
u32 pci_read(u16 bdf, unsigned off, unsigned size);
void pci_write(u16 bdf, unsigned off, u32 v, unsigned size);
/* Bus 0: up to max functions, BARs sized and mapped, memory, I/O and bus master on. */
unsigned pci_scan(struct pci_device *out, unsigned max);
/* Capability `id`, the n-th: its offset, or 0. */
unsigned pci_capability(u16 bdf, u8 id, unsigned n);

u64 bar_read(const struct pci_bar *b, u64 off, unsigned size);
void bar_write(const struct pci_bar *b, u64 off, u64 v, unsigned size);

#endif
