/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_PAGING_H
#define ISA_PAGING_H

#include "isa/x86.h"

/* Bits of paging entries. */
#define PTE_P  BIT(0)
#define PTE_W  BIT(1)
#define PTE_U  BIT(2)
#define PTE_A  BIT(5)
#define PTE_D  BIT(6)
#define PTE_PS BIT(7)
#define PTE_G  BIT(8)
#define PTE_NX BIT(63)

/* What a walk found: one page of 4 KiB, 2 MiB, 4 MiB or 1 GiB. */
struct x86_translation {
	alc_gpa gpa;   /* of the address itself */
	u8 page_shift; /* of the page that maps it */
	bool writable; /* the same privilege may write, and D is already set */
	bool user;     /* user page: U/S set at every level */
	bool global;
};

/*
 * Walks the guest's page tables for one access (SDM vol. 3A chapter 4): no paging, 32-bit, PAE
 * and 4-level, with permissions, reserved bits, SMEP and SMAP, and sets A and D atomically.
 * `user`: the access counts as user-mode. Nonzero: #PF is recorded. Canonicality is the
 * caller's to check.
 */
int x86_walk(struct alc_vcpu *v, u64 gva, unsigned access, bool user, struct x86_translation *out);

/* An access with these flags made now counts as user-mode? */
static inline bool x86_is_user(const struct alc_vcpu *v, unsigned access)
{
	return v->cpl == 3 && !(access & X86_IMPLICIT);
}

#endif
