/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_PVCLOCK_H
#define ISA_PVCLOCK_H

#include "isa/x86.h"

/*
 * KVM's paravirtual clock and steal time (Linux, Documentation/virt/kvm/x86/msr.rst).
 * The structures lie in guest memory; a bad address makes the write a no-op.
 */
int pvclock_set_system_time(struct alc_vcpu *v, u64 val); /* nonzero: #GP */
int pvclock_set_wall_clock(struct alc_vcpu *v, u64 val);
int pvclock_set_steal_time(struct alc_vcpu *v, u64 val);
/* Adds to the steal time that the guest sees: time the vCPU wanted to run and did not. */
void pvclock_add_steal(struct alc_vcpu *v, u64 stolen_ns);
/* Republishes the clock after a pause or load. */
void pvclock_refresh(struct alc_vcpu *v);

#endif
