/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_LAPIC_INTERNAL_H
#define ISA_LAPIC_INTERNAL_H

#include "isa/lapic.h"

/* Between the files of the local APIC: registers, routing, timer, register page. */

enum {
	LAPIC_LVT_TIMER,
	LAPIC_LVT_THERMAL,
	LAPIC_LVT_PERF,
	LAPIC_LVT_LINT0,
	LAPIC_LVT_LINT1,
	LAPIC_LVT_ERROR,
	LAPIC_LVTS,
};

/* Delivery modes, as in LVT, ICR and MSI data. */
enum {
	LAPIC_FIXED = 0,
	LAPIC_LOWEST = 1,
	LAPIC_SMI = 2,
	LAPIC_NMI = 4,
	LAPIC_INIT = 5,
	LAPIC_SIPI = 6,
	LAPIC_EXTINT = 7,
};

/* ICR and LVT bits. */
enum {
	LAPIC_VECTOR = 0xff,
	LAPIC_MODE_SHIFT = 8,
	LAPIC_LOGICAL = 1 << 11,
	LAPIC_LVT_REMOTE_IRR = 1 << 14,
	LAPIC_ASSERT = 1 << 14,
	LAPIC_LEVEL = 1 << 15,
	LAPIC_MASKED = 1 << 16,
	LAPIC_TIMER_MODE = 3 << 17,
	LAPIC_TIMER_ONESHOT = 0 << 17,
	LAPIC_TIMER_PERIODIC = 1 << 17,
	LAPIC_TIMER_DEADLINE = 2 << 17,
};

/* Error status. */
enum {
	LAPIC_ESR_SEND_VECTOR = 1 << 5,
	LAPIC_ESR_RECEIVE_VECTOR = 1 << 6,
	LAPIC_ESR_REGISTER = 1 << 7
};

#define LAPIC_BASE_BSP    BIT(8)
#define LAPIC_BASE_X2APIC BIT(10)
#define LAPIC_BASE_ENABLE BIT(11)
#define LAPIC_SVR_ENABLE  BIT(8)

/* All that a guest can observe; the table of fields is over this. */
struct lapic_state {
	u64 base;
	u32 id;
	u32 tpr, ldr, dfr, svr;
	u32 isr[8], tmr[8], irr[8];
	u32 esr, esr_pending;
	u64 icr;
	u32 lvt[LAPIC_LVTS];
	u32 timer_initial, timer_divide;
	u64 timer_expiry_ns; /* guest time of the next expiry, 0: not counting */
	u64 tsc_deadline;    /* 0: not armed */
	u8 lint0;            /* level of the pin */
	u8 extint;           /* an ExtINT message came and was not acknowledged yet */
};

struct x86_lapic {
	struct lapic_state s;
	struct alc_vcpu *vcpu;
	const struct x86_platform *plat;
	struct alc_mutex *lock;
	struct alc_timer timer;
	/* What lapic_ack would find: kept up to date by whoever changes state. */
	_Atomic(bool) ready;
	u32 attend; /* X86_ATTN_* to raise once the lock is free */
};

struct lapic_message {
	u32 dest;
	bool logical;
	bool x2apic; /* 32-bit destination */
	bool lowest; /* one of those addressed */
	u8 mode, vector;
	bool level, assert;
};

void lapic_lock(struct x86_lapic *a);
/* Brings `ready` up to date, unlocks, and raises what came up meanwhile. */
void lapic_settle(struct x86_lapic *a);

/* The following are called with the lock held. */
bool lapic_enabled(const struct x86_lapic *a); /* by hardware and software */
u32 lapic_ppr(const struct x86_lapic *a);
void lapic_accept(struct x86_lapic *a, u8 vector, bool level);
void lapic_error(struct x86_lapic *a, u32 esr_bit);
/* Signals a local interrupt source. */
void lapic_local(struct x86_lapic *a, unsigned lvt);

u32 lapic_timer_current(struct x86_lapic *a);
void lapic_timer_set_current(struct x86_lapic *a, u32 count);
void lapic_timer_set_initial(struct x86_lapic *a, u32 count);
void lapic_timer_set_divide(struct x86_lapic *a, u32 divide);
void lapic_timer_set_lvt(struct x86_lapic *a, u32 lvt);
void lapic_timer_stop(struct x86_lapic *a);
void lapic_timer_rearm(struct x86_lapic *a);
void lapic_timer_fire(void *arg); /* takes the lock itself */

/* Sends what an ICR value says; called without any APIC's lock. */
void lapic_send(struct x86_lapic *from, u64 icr, bool x2apic);
void lapic_route(const struct x86_platform *p, const struct lapic_message *m);

#endif
