/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_LAPIC_H
#define ISA_LAPIC_H

#include "base/field.h"
#include "isa/x86.h"

/*
 * Local APIC: xAPIC, x2APIC, timer in one-shot, periodic and TSC-deadline mode
 * (SDM vol. 3A chapter 11).
 *
 * Threading: everything takes the APIC's own lock; IRR is also set by other vCPUs and devices.
 * Never call with another APIC's lock held.
 */
int lapic_create(struct alc_vcpu *v, struct alc_err *err) ALC_MUST_CHECK;
void lapic_destroy(struct x86_lapic *a); /* NULL is fine */
/* Power-on or INIT state; INIT keeps the APIC ID and base (SDM vol. 3A 11.4.7.3). */
void lapic_reset(struct x86_lapic *a, bool init);
/*
 * What firmware leaves behind, for machines that start an operating system without any: the APIC
 * enabled, as virtual wire for the PIC on the boot processor (MP specification 3.6.2.2).
 */
void lapic_firmware(struct x86_lapic *a);

u64 lapic_base(const struct x86_lapic *a);
/* WRMSR to IA32_APIC_BASE: nonzero is #GP. */
int lapic_set_base(struct x86_lapic *a, u64 val);

/* Register page access, offset within the 4 KB page. */
u64 lapic_mmio_read(struct x86_lapic *a, u64 off, unsigned size);
void lapic_mmio_write(struct x86_lapic *a, u64 off, u64 val, unsigned size);
/* x2APIC registers, MSRs 0x800-0x8ff: nonzero is #GP. */
int lapic_msr_read(struct x86_lapic *a, u32 msr, u64 *val);
int lapic_msr_write(struct x86_lapic *a, u32 msr, u64 val);

u64 lapic_tsc_deadline(struct x86_lapic *a);
void lapic_set_tsc_deadline(struct x86_lapic *a, u64 tsc);

/* CR8 is the task priority's upper four bits. */
u64 lapic_cr8(struct x86_lapic *a);
void lapic_set_cr8(struct x86_lapic *a, u64 val);

/* True if lapic_ack would return a vector now; does not look at RFLAGS.IF. */
bool lapic_pending(struct x86_lapic *a);
/*
 * Takes the highest deliverable interrupt, from the APIC or (through LINT0 in ExtINT mode, or
 * with the APIC disabled) from the PIC: its vector, or -1.
 */
int lapic_ack(struct x86_lapic *a);

/* The PIC's output as seen on LINT0 of the boot processor. */
void lapic_set_extint(struct x86_lapic *a, bool level);
bool lapic_extint_level(struct x86_lapic *a);

/* A message from the I/O APIC or an MSI device to whom it is addressed, among plat->vcpus. */
void lapic_deliver_msi(const struct x86_platform *p, struct alc_msi msg);

/*
 * For engines with local APICs of their own: all registers as one page. The base register and the
 * TSC deadline have no place in it.
 */
enum { LAPIC_PAGE = 1024 };
void lapic_get_page(struct x86_lapic *a, u8 page[LAPIC_PAGE]);
void lapic_set_page(struct x86_lapic *a, u64 base, const u8 page[LAPIC_PAGE], u64 tsc_deadline);
/* From now on the other one counts: no timer of this one fires. */
void lapic_suspend(struct x86_lapic *a);

/* State table, for save, load and comparison. */
extern const struct alc_field lapic_fields[];
void *lapic_state(struct x86_lapic *a);
void lapic_loaded(struct x86_lapic *a); /* rebuilds the timer */

#endif
