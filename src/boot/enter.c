/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processor state in which boot protocols hand over.
 *
 * Selectors 0x10 and 0x18 are what the Linux 64-bit protocol demands; the others leave them
 * open, so all use the same GDT layout.
 */
#include "boot/load.h"

enum { BOOT_CS = 0x10, BOOT_DS = 0x18, GDT_ENTRIES = 4 };
enum { PTE_PRESENT = 1, PTE_WRITABLE = 2, PTE_LARGE = 0x80 };
enum { PAGE_TABLES = 6, LARGE_PAGE_SHIFT = 21, IDENTITY_GIB = 4 };

enum {
	SEG_COMMON = X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED | X86_SEG_G,
	SEG_CODE32 = SEG_COMMON | X86_SEG_CODE | X86_SEG_DB,
	SEG_CODE64 = SEG_COMMON | X86_SEG_CODE | X86_SEG_L,
	SEG_DATA = SEG_COMMON | X86_SEG_DB,
};

/* A flat descriptor: base 0, limit 4 GiB (SDM vol. 3A 3.4.5). */
static u64 flat_descriptor(u16 attr)
{
	return 0xffffull | (u64)attr << 40 | 0xfull << 48;
}

static struct x86_seg flat_segment(u16 sel, u16 attr)
{
	return (struct x86_seg){.base = 0, .limit = 0xffffffff, .sel = sel, .attr = attr};
}

static int set_segments(struct boot_ctx *c, u16 code_attr)
{
	struct alc_vcpu *v = c->bsp;
	u64 gdt[GDT_ENTRIES] = {
		[BOOT_CS / 8] = flat_descriptor(code_attr),
		[BOOT_DS / 8] = flat_descriptor(SEG_DATA),
	};
	u64 at;
	int ret = boot_area_put(c, gdt, sizeof(gdt), 16, &at);

	if (ret)
		return ret;
	v->gdtr = (struct x86_dtr){.base = at, .limit = sizeof(gdt) - 1};
	v->idtr = (struct x86_dtr){.base = 0, .limit = 0};
	for (unsigned i = 0; i < X86_SEGS; i++)
		v->seg[i] = flat_segment(BOOT_DS, SEG_DATA);
	v->seg[X86_CS] = flat_segment(BOOT_CS, code_attr);
	v->cpl = 0;
	v->rflags = X86_R1;
	return 0;
}

int boot_enter_flat32(struct boot_ctx *c, u32 entry)
{
	int ret = set_segments(c, SEG_CODE32);

	if (ret)
		return ret;
	c->bsp->cr0 = X86_CR0_PE | X86_CR0_ET;
	c->bsp->cr3 = 0;
	c->bsp->cr4 = 0;
	c->bsp->efer = 0;
	c->bsp->rip = entry;
	return 0;
}

/* One PML4, one PDPT and a page directory for each GiB, of 2 MiB pages. */
static int identity_tables(struct boot_ctx *c, u64 *root)
{
	u64 base;
	int ret = boot_area_take(c, PAGE_TABLES * ALC_PAGE_SIZE, ALC_PAGE_SIZE, &base);

	if (ret || (ret = boot_zero(c, base, PAGE_TABLES * ALC_PAGE_SIZE)))
		return ret;
	for (u64 i = 0; i < 1 + IDENTITY_GIB; i++) {
		u64 table = base + (i == 0 ? 0 : ALC_PAGE_SIZE + (i - 1) * 8);
		u64 entry = (base + (i + 1) * ALC_PAGE_SIZE) | PTE_PRESENT | PTE_WRITABLE;

		ret = boot_copy(c, table, &entry, sizeof(entry));
		if (ret)
			return ret;
	}
	for (u64 i = 0; i < IDENTITY_GIB * 512ull; i++) {
		u64 entry = i << LARGE_PAGE_SHIFT | PTE_PRESENT | PTE_WRITABLE | PTE_LARGE;

		ret = boot_copy(c, base + 2 * ALC_PAGE_SIZE + i * 8, &entry, sizeof(entry));
		if (ret)
			return ret;
	}
	*root = base;
	return 0;
}

int boot_enter_long(struct boot_ctx *c, u64 entry)
{
	u64 root;
	int ret = set_segments(c, SEG_CODE64);

	if (ret || (ret = identity_tables(c, &root)))
		return ret;
	c->bsp->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_PG;
	c->bsp->cr3 = root;
	c->bsp->cr4 = X86_CR4_PAE;
	c->bsp->efer = X86_EFER_LME | X86_EFER_LMA;
	c->bsp->rip = entry;
	return 0;
}
