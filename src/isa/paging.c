/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The paging walk (SDM vol. 3A chapter 4).
 *
 * One loop serves all three formats; struct format says how an entry of each is laid out. The
 * rights of a page are the AND of the rights of all its levels (4.6), so the loop collects
 * them, and only the last entry's rights are checked against the access.
 */
#include "isa/paging.h"

#include "isa/cpuid.h"

struct format {
	u8 levels;
	u8 entry_size;
	u8 index_bits;   /* per level, but for PAE's top level, which uses 2 */
	u8 large_levels; /* bit l set: an entry at level l (1 = last) may map a page */
};

static const struct format format_32 = {2, 4, 10, BIT(2)};
static const struct format format_pae = {3, 8, 9, BIT(2)};
static const struct format format_4level = {4, 8, 9, BIT(2) | BIT(3)};

static const struct format *paging_format(const struct alc_vcpu *v)
{
	if (v->efer & X86_EFER_LMA)
		return &format_4level;
	return v->cr4 & X86_CR4_PAE ? &format_pae : &format_32;
}

/* The entry's bits that must be zero (SDM vol. 3A tables 4-4 to 4-20). */
static u64 reserved_bits(const struct alc_vcpu *v, const struct format *f, unsigned level,
			 u64 entry)
{
	u64 rsvd;

	if (f->entry_size == 4) {
		/* PSE-36: bits 13-20 of a 4 MiB entry are address bits 32-39; bit 21 is reserved.
		 */
		return level == 2 && (entry & PTE_PS) && (v->cr4 & X86_CR4_PSE) ? BIT(21) : 0;
	}
	rsvd = mask_low(52) & ~mask_low(X86_PHYS_BITS);
	if (!(v->efer & X86_EFER_NXE))
		rsvd |= PTE_NX;
	if (f == &format_pae) {
		rsvd |= mask_low(63) & ~mask_low(52);
		if (level == 3)
			return rsvd | PTE_NX |
			       0x1e6; /* PDPTE: only P, PWT and PCD below the address */
	}
	if (level == 4 || (level == 3 && f == &format_pae))
		rsvd |= PTE_PS;
	if (level > 1 && (entry & PTE_PS) && (f->large_levels & BIT(level)))
		rsvd |= mask_low(12 + 9 * (level - 1)) & ~mask_low(13);
	return rsvd;
}

static int page_fault(struct alc_vcpu *v, u64 gva, unsigned access, bool user, u32 why)
{
	u32 code = why;

	if (access & X86_WRITE)
		code |= X86_PF_W;
	if (user)
		code |= X86_PF_U;
	if ((access & X86_EXEC) &&
	    ((v->cr4 & X86_CR4_SMEP) || ((v->cr4 & X86_CR4_PAE) && (v->efer & X86_EFER_NXE))))
		code |= X86_PF_I;
	return x86_raise_page_fault(v, gva, code);
}

/* The rights of a page, as collected over its levels, against the access (SDM vol. 3A 4.6.1). */
static bool allowed(const struct alc_vcpu *v, u64 rights, unsigned access, bool user)
{
	bool user_page = rights & PTE_U, writable = rights & PTE_W;

	if (user) {
		if (!user_page || ((access & X86_WRITE) && !writable))
			return false;
	} else {
		if ((access & X86_WRITE) && !writable && (v->cr0 & X86_CR0_WP))
			return false;
		if (user_page && (access & X86_EXEC) && (v->cr4 & X86_CR4_SMEP))
			return false;
		if (user_page && !(access & X86_EXEC) && (v->cr4 & X86_CR4_SMAP) &&
		    ((access & X86_IMPLICIT) || !(v->rflags & X86_AC)))
			return false;
	}
	return !((access & X86_EXEC) && (rights & PTE_NX) && (v->efer & X86_EFER_NXE));
}

/* Where an entry lies in host memory; NULL if the table is not in RAM. */
static u8 *entry_host(const struct alc_vcpu *v, alc_gpa a, unsigned size, struct alc_page **page)
{
	struct alc_span span;

	if (!space_span(v->plat->space, a, size, &span) || span.len < size || span.rom)
		return NULL;
	*page = span.page;
	return span.hva;
}

/* Sets bits in an entry unless it has changed since it was read; false: walk again. */
static bool entry_set(u8 *host, unsigned size, u64 old, u64 bits)
{
	if (size == 4) {
		u32 expect = (u32)old;

		return __atomic_compare_exchange_n((u32 *)(void *)host, &expect, (u32)(old | bits),
						   false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	return __atomic_compare_exchange_n((u64 *)(void *)host, &old, old | bits, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static u64 leaf_base(const struct format *f, u64 entry, unsigned shift)
{
	u64 base = entry & mask_low(X86_PHYS_BITS) & ~mask_low(shift);

	if (f->entry_size == 4) {
		base = entry & 0xffffffffu & ~mask_low(shift);
		if (shift == 22)
			base |= field_get(entry, 13, 8) << 32;
	}
	return base;
}

enum walk_result { WALK_DONE, WALK_AGAIN, WALK_FAULT };

static enum walk_result walk_once(struct alc_vcpu *v, u64 gva, unsigned access, bool user,
				  const struct format *f, struct x86_translation *out)
{
	u64 rights = PTE_W | PTE_U;
	u64 table = f == &format_pae      ? v->cr3 & 0xffffffe0u
		    : f == &format_4level ? v->cr3 & mask_low(X86_PHYS_BITS) & ALC_PAGE_MASK
					  : v->cr3 & 0xfffff000u;
	unsigned level;

	for (level = f->levels;; level--) {
		unsigned shift = 12 + f->index_bits * (level - 1);
		alc_gpa where = gpa(table + field_get(gva, shift, f->index_bits) * f->entry_size);
		bool pdpte = level == 3 && f == &format_pae, leaf;
		struct alc_page *page = NULL;
		u64 entry, update;
		u8 *host;

		if (pdpte)
			where = gpa(table + field_get(gva, shift, 2) * f->entry_size);
		host = entry_host(v, where, f->entry_size, &page);
		/* Page tables outside RAM read as the bus does: all ones. */
		entry = host ? ld_size(host, f->entry_size) : zext(~0ull, f->entry_size);
		if (!(entry & PTE_P)) {
			page_fault(v, gva, access, user, 0);
			return WALK_FAULT;
		}
		if (entry & reserved_bits(v, f, level, entry)) {
			page_fault(v, gva, access, user, X86_PF_P | X86_PF_RSVD);
			return WALK_FAULT;
		}
		if (!pdpte)
			rights = (rights & entry) | ((rights | entry) & PTE_NX);
		leaf = level == 1 || ((entry & PTE_PS) && (f->large_levels & BIT(level)) &&
				      (f->entry_size == 8 || (v->cr4 & X86_CR4_PSE)));
		if (leaf && !allowed(v, rights, access, user)) {
			page_fault(v, gva, access, user, X86_PF_P);
			return WALK_FAULT;
		}
		update = pdpte ? 0 : PTE_A;
		if (leaf && (access & X86_WRITE))
			update |= PTE_D;
		if ((entry & update) != update && host) {
			if (!entry_set(host, f->entry_size, entry, update))
				return WALK_AGAIN;
			space_note_write(v->plat->space, page, page_offset(where.v), f->entry_size);
			entry |= update;
		}
		if (leaf) {
			*out = (struct x86_translation){
				.gpa = gpa(leaf_base(f, entry, shift) | (gva & mask_low(shift))),
				.page_shift = (u8)shift,
				.writable = (entry & PTE_D) && allowed(v, rights, X86_WRITE, user),
				.user = rights & PTE_U,
				.global = (entry & PTE_G) && (v->cr4 & X86_CR4_PGE),
			};
			return WALK_DONE;
		}
		table = f->entry_size == 4 ? entry & 0xfffff000u
					   : entry & mask_low(X86_PHYS_BITS) & ALC_PAGE_MASK;
	}
}

int x86_walk(struct alc_vcpu *v, u64 gva, unsigned access, bool user, struct x86_translation *out)
{
	const struct format *f = paging_format(v);
	enum walk_result r;

	if (!(v->cr0 & X86_CR0_PG)) {
		*out = (struct x86_translation){.gpa = gpa(gva & 0xffffffffu),
						.page_shift = 12,
						.writable = true,
						.user = true};
		return 0;
	}
	do {
		r = walk_once(v, gva, access, user, f, out);
	} while (r == WALK_AGAIN);
	return r == WALK_FAULT;
}
