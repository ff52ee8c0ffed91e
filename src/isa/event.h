/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_EVENT_H
#define ISA_EVENT_H

#include "isa/x86.h"

/*
 * Delivery of exceptions and interrupts (SDM vol. 3A chapter 6), in real, protected and long
 * mode. v->rflags must be exact (an engine that keeps flags lazily makes them so first).
 */

/*
 * Delivers, escalating to #DF and shutdown (v->activity) as SDM vol. 3A 6.15 "double fault"
 * says. X86_OK, or X86_UNSUPPORTED (task gates).
 */
int x86_deliver_fault(struct alc_vcpu *v);
int x86_deliver_interrupt(struct alc_vcpu *v, u8 vector);
/* INT n and kin: RIP is past it; fault_rip is its own, where a fault of the delivery belongs. */
int x86_deliver_software(struct alc_vcpu *v, u8 vector, u64 fault_rip);

#endif
