/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_EVENT_H
#define ISA_EVENT_H

#include "isa/x86.h"

/*
 * Delivery of exceptions and interrupts (SDM vol. 3A chapter 6), in real, protected and long
 * mode. v->rflags must be exact (an engine that keeps flags lazily makes them so first).
 */

enum x86_event_kind {
	X86_EVENT_FAULT, /* an exception: v->fault, RIP at the instruction (or after, #DB, #BP) */
	X86_EVENT_INTERRUPT, /* external, or NMI */
	X86_EVENT_SOFTWARE,  /* INT n, INT3, INTO: gate DPL counts; RIP already past it */
};

/*
 * Delivers, escalating to #DF and shutdown (v->activity) as SDM vol. 3A 6.15 "double fault"
 * says. X86_OK, or X86_UNSUPPORTED (task gates).
 */
int x86_deliver_fault(struct alc_vcpu *v);
int x86_deliver(struct alc_vcpu *v, enum x86_event_kind kind, u8 vector);

#endif
