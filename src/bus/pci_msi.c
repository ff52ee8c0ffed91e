/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI and MSI-X (PCI 3.0, 6.8). A masked message becomes pending and goes out when its mask is
 * taken away. Messages go out under the root complex's lock: sinks call only downwards.
 */
#include "bus/pci_internal.h"

enum { MSI_CONTROL = 2, MSI_ADDRESS = 4, MSI_ADDRESS_HIGH = 8, MSI_DATA = 12 };
enum { MSI_MASK = 16, MSI_PENDING = 20, MSI_ENABLE = 1 };
enum { MSIX_CONTROL = 2, MSIX_ENABLE = 0x8000, MSIX_FUNCTION_MASK = 0x4000 };
enum { ENTRY_ADDRESS = 0, ENTRY_DATA = 8, ENTRY_CONTROL = 12, ENTRY_MASKED = 1 };

bool pci_msi_on(const struct pci_function *f)
{
	return f->cap_msi && (config16(f, f->cap_msi + MSI_CONTROL) & MSI_ENABLE);
}

bool pci_msix_on(const struct pci_function *f)
{
	return f->cap_msix && (config16(f, f->cap_msix + MSIX_CONTROL) & MSIX_ENABLE);
}

/* A message is a memory write, so it needs what any DMA needs. */
static void send(struct pci_function *f, u64 address, u32 data)
{
	const struct alc_msi_sink *s = &f->root->p.msi;

	if (s->deliver && pci_bus_master(f))
		s->deliver(s->ctx, (struct alc_msi){.address = address, .data = data});
}

static u8 *entry(struct pci_function *f, unsigned vector)
{
	return f->state.msix_table + vector * MSIX_ENTRY;
}

static bool msix_masked(struct pci_function *f, unsigned vector)
{
	return (config16(f, f->cap_msix + MSIX_CONTROL) & MSIX_FUNCTION_MASK) ||
	       (entry(f, vector)[ENTRY_CONTROL] & ENTRY_MASKED);
}

static void send_msix(struct pci_function *f, unsigned vector)
{
	const u8 *e = entry(f, vector);

	send(f, ld64(e + ENTRY_ADDRESS), ld32(e + ENTRY_DATA));
}

static void send_msi(struct pci_function *f, unsigned vector)
{
	unsigned at = f->cap_msi, enabled = config16(f, at + MSI_CONTROL) >> 4 & 7;
	u32 count = 1u << enabled, data = config16(f, at + MSI_DATA);

	/* The low bits of data say which of the vectors that software gave (6.8.1.6). */
	data = (data & ~(count - 1)) | (vector & (count - 1));
	send(f, config32(f, at + MSI_ADDRESS) | (u64)config32(f, at + MSI_ADDRESS_HIGH) << 32,
	     data);
}

static void trigger_msi(struct pci_function *f, unsigned vector)
{
	unsigned at = f->cap_msi;

	if (vector >= f->desc->msi)
		return;
	if (config32(f, at + MSI_MASK) >> vector & 1)
		st32(f->state.config + at + MSI_PENDING,
		     config32(f, at + MSI_PENDING) | 1u << vector);
	else
		send_msi(f, vector);
}

void pci_msi(struct pci_function *f, unsigned vector)
{
	pci_lock(f->root);
	if (pci_msix_on(f) && vector < f->desc->msix) {
		if (msix_masked(f, vector))
			f->state.msix_pending |= BIT(vector);
		else
			send_msix(f, vector);
	} else if (!pci_msix_on(f) && pci_msi_on(f)) {
		trigger_msi(f, vector);
	}
	pci_unlock(f->root);
}

static void flush_msix(struct pci_function *f)
{
	for (u64 left = f->state.msix_pending; left; left &= left - 1) {
		unsigned vector = (unsigned)__builtin_ctzll(left);

		if (msix_masked(f, vector))
			continue;
		f->state.msix_pending &= ~BIT(vector);
		send_msix(f, vector);
	}
}

static void flush_msi(struct pci_function *f)
{
	u8 *pending = f->state.config + f->cap_msi + MSI_PENDING;
	u32 ready = ld32(pending) & ~config32(f, f->cap_msi + MSI_MASK);

	st32(pending, ld32(pending) & ~ready);
	for (; ready; ready &= ready - 1)
		send_msi(f, (unsigned)__builtin_ctz(ready));
}

void pci_flush_pending(struct pci_function *f)
{
	if (pci_msix_on(f))
		flush_msix(f);
	else if (pci_msi_on(f))
		flush_msi(f);
}

bool pci_msix_enabled(const struct pci_function *f)
{
	bool on;

	pci_lock(f->root);
	on = pci_msix_on(f);
	pci_unlock(f->root);
	return on;
}

/* ---- the table's BAR: doublewords and quadwords, aligned, as 6.8.2 demands; others read 0 ---- */

static bool good_access(u64 off, unsigned size)
{
	return (size == 4 || size == 8) && off % size == 0;
}

u64 pci_msix_read(struct pci_function *f, u64 off, unsigned size)
{
	u64 pba = f->state.msix_pending;

	if (!good_access(off, size))
		return 0;
	if (off < (u64)f->desc->msix * MSIX_ENTRY)
		return ld_size(f->state.msix_table + off, size);
	if (off >= MSIX_PBA && off < MSIX_PBA + 8)
		return zext(pba >> (off % 8 * 8), size);
	return 0;
}

static void write_dword(struct pci_function *f, u64 off, u32 val)
{
	/* Of vector control only the mask is there; addresses are of doublewords. */
	if (off % MSIX_ENTRY == ENTRY_CONTROL)
		val &= ENTRY_MASKED;
	else if (off % MSIX_ENTRY == ENTRY_ADDRESS)
		val &= ~3u;
	st32(f->state.msix_table + off, val);
}

void pci_msix_write(struct pci_function *f, u64 off, u64 val, unsigned size)
{
	if (!good_access(off, size) || off >= (u64)f->desc->msix * MSIX_ENTRY)
		return;
	write_dword(f, off, (u32)val);
	if (size == 8)
		write_dword(f, off + 4, (u32)(val >> 32));
	pci_flush_pending(f);
}
