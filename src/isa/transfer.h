/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_TRANSFER_H
#define ISA_TRANSFER_H

#include "isa/x86.h"

/*
 * Far transfers, IRET and the fast system calls. On X86_OK, RIP, CS, CPL and stack are the new
 * ones; on X86_FAULT nothing has changed. opsize is the operand size in bytes (2, 4, 8);
 * v->rflags must be exact for IRET and SYSCALL and is changed by them.
 */
int x86_far_jump(struct alc_vcpu *v, u16 sel, u64 offset, unsigned opsize);
int x86_far_call(struct alc_vcpu *v, u16 sel, u64 offset, unsigned opsize, u64 next_rip);
/* RETF imm16. */
int x86_far_return(struct alc_vcpu *v, unsigned opsize, u16 release);
int x86_iret(struct alc_vcpu *v, unsigned opsize);

int x86_syscall(struct alc_vcpu *v, u64 next_rip);
int x86_sysret(struct alc_vcpu *v, unsigned opsize);
int x86_sysenter(struct alc_vcpu *v);
int x86_sysexit(struct alc_vcpu *v, unsigned opsize);

#endif
