/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers as one page, for engines that have local APICs of their own: each at 16 times its
 * number (SDM vol. 3A table 11-1), the ID as wide as the mode has it, the ICR as two registers.
 */
#include "isa/lapic_internal.h"

enum {
	AT_ID = 0x20,
	AT_VERSION = 0x30,
	AT_TPR = 0x80,
	AT_PPR = 0xa0,
	AT_LDR = 0xd0,
	AT_DFR = 0xe0,
	AT_SVR = 0xf0,
	AT_ISR = 0x100,
	AT_TMR = 0x180,
	AT_IRR = 0x200,
	AT_ESR = 0x280,
	AT_ICR = 0x300,
	AT_ICR_HIGH = 0x310,
	AT_LVT = 0x320,
	AT_INITIAL = 0x380,
	AT_CURRENT = 0x390,
	AT_DIVIDE = 0x3e0,
	STEP = 0x10,
	XAPIC_ID_SHIFT = 24,
};

static bool in_x2apic_mode(const struct x86_lapic *a)
{
	return a->s.base & LAPIC_BASE_X2APIC;
}

static void put_vector(u8 *page, unsigned at, const u32 bits[8])
{
	for (unsigned i = 0; i < 8; i++)
		st32(page + at + i * STEP, bits[i]);
}

static void get_vector(const u8 *page, unsigned at, u32 bits[8])
{
	for (unsigned i = 0; i < 8; i++)
		bits[i] = ld32(page + at + i * STEP);
}

void lapic_get_page(struct x86_lapic *a, u8 page[LAPIC_PAGE])
{
	const struct lapic_state *s = &a->s;

	__builtin_memset(page, 0, LAPIC_PAGE);
	lapic_lock(a);
	st32(page + AT_ID, in_x2apic_mode(a) ? s->id : s->id << XAPIC_ID_SHIFT);
	st32(page + AT_VERSION, 0x14 | (LAPIC_LVTS - 1) << 16);
	st32(page + AT_TPR, s->tpr);
	st32(page + AT_PPR, lapic_ppr(a));
	st32(page + AT_LDR, s->ldr);
	st32(page + AT_DFR, s->dfr);
	st32(page + AT_SVR, s->svr);
	put_vector(page, AT_ISR, s->isr);
	put_vector(page, AT_TMR, s->tmr);
	put_vector(page, AT_IRR, s->irr);
	st32(page + AT_ESR, s->esr);
	st32(page + AT_ICR, (u32)s->icr);
	st32(page + AT_ICR_HIGH, (u32)(s->icr >> 32));
	for (unsigned i = 0; i < LAPIC_LVTS; i++)
		st32(page + AT_LVT + i * STEP, s->lvt[i]);
	st32(page + AT_INITIAL, s->timer_initial);
	st32(page + AT_CURRENT, lapic_timer_current(a));
	st32(page + AT_DIVIDE, s->timer_divide);
	lapic_settle(a);
}

void lapic_set_page(struct x86_lapic *a, u64 base, const u8 page[LAPIC_PAGE], u64 tsc_deadline)
{
	struct lapic_state *s = &a->s;

	lapic_lock(a);
	s->base = base;
	s->tpr = ld32(page + AT_TPR) & 0xff;
	s->ldr = ld32(page + AT_LDR);
	s->dfr = ld32(page + AT_DFR);
	s->svr = ld32(page + AT_SVR);
	get_vector(page, AT_ISR, s->isr);
	get_vector(page, AT_TMR, s->tmr);
	get_vector(page, AT_IRR, s->irr);
	s->esr = ld32(page + AT_ESR);
	s->icr = ld32(page + AT_ICR) | (u64)ld32(page + AT_ICR_HIGH) << 32;
	for (unsigned i = 0; i < LAPIC_LVTS; i++)
		s->lvt[i] = ld32(page + AT_LVT + i * STEP);
	s->timer_initial = ld32(page + AT_INITIAL);
	s->timer_divide = ld32(page + AT_DIVIDE) & 0xb;
	s->tsc_deadline = tsc_deadline;
	lapic_timer_set_current(a, ld32(page + AT_CURRENT));
	lapic_timer_rearm(a);
	lapic_settle(a);
}

void lapic_suspend(struct x86_lapic *a)
{
	clock_timer_cancel(a->plat->clock, &a->timer);
}

bool lapic_extint_level(struct x86_lapic *a)
{
	bool level;

	lapic_lock(a);
	level = a->s.lint0;
	lapic_settle(a);
	return level;
}
