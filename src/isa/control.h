/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_CONTROL_H
#define ISA_CONTROL_H

#include "isa/x86.h"

/*
 * Control and debug registers, with the checks and consequences of writing them (SDM vol. 3A
 * 2.5, 4.1.2, 17.2). CPL is the caller's to check. X86_OK or X86_FAULT.
 */
int x86_read_cr(struct alc_vcpu *v, unsigned n, u64 *val);
int x86_write_cr(struct alc_vcpu *v, unsigned n, u64 val);
int x86_read_dr(struct alc_vcpu *v, unsigned n, u64 *val);
int x86_write_dr(struct alc_vcpu *v, unsigned n, u64 val);
int x86_xsetbv(struct alc_vcpu *v, u32 index, u64 val);
/* CR4 bits that this CPU lets the guest set. */
u64 x86_cr4_allowed(const struct alc_vcpu *v);

/* Any of DR0-DR3 armed for instructions, or for data and I/O. */
static inline bool x86_breakpoints_armed(const struct alc_vcpu *v)
{
	return v->dr[7] & 0xff;
}

#endif
