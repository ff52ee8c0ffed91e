/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC's registers and priorities (SDM vol. 3A chapter 11). Both register interfaces
 * meet in reg_read and reg_write, by register number: an xAPIC offset divided by 16, or an x2APIC
 * MSR less 0x800.
 */
#include "isa/lapic_internal.h"

#include <stdatomic.h>

#include "base/errno.h"
#include "bus/pc.h"
#include "isa/cpuid.h"
#include "isa/msr.h"

enum reg {
	REG_ID = 0x02,
	REG_VERSION = 0x03,
	REG_TPR = 0x08,
	REG_APR = 0x09,
	REG_PPR = 0x0a,
	REG_EOI = 0x0b,
	REG_LDR = 0x0d,
	REG_DFR = 0x0e,
	REG_SVR = 0x0f,
	REG_ISR = 0x10,
	REG_TMR = 0x18,
	REG_IRR = 0x20,
	REG_ESR = 0x28,
	REG_ICR = 0x30,
	REG_ICR_HIGH = 0x31,
	REG_LVT = 0x32,
	REG_TIMER_INITIAL = 0x38,
	REG_TIMER_CURRENT = 0x39,
	REG_TIMER_DIVIDE = 0x3e,
	REG_SELF_IPI = 0x3f,
};

enum {
	VERSION = 0x14 | (LAPIC_LVTS - 1) << 16,
	SVR_RESET = 0xff,
	SVR_BITS = 0x3ff,
	ICR_BITS = 0xccfff & ~(1 << 12),
};
#define DFR_FLAT 0xffffffffu

/* Bits that software sets in each LVT register. */
static const u32 lvt_bits[LAPIC_LVTS] = {
	[LAPIC_LVT_TIMER] = 0x700ff, [LAPIC_LVT_THERMAL] = 0x107ff, [LAPIC_LVT_PERF] = 0x107ff,
	[LAPIC_LVT_LINT0] = 0x1a7ff, [LAPIC_LVT_LINT1] = 0x1a7ff,   [LAPIC_LVT_ERROR] = 0x100ff,
};

void lapic_lock(struct x86_lapic *a)
{
	host_lock(a->plat->host, a->lock);
}

static bool get_bit(const u32 bits[8], unsigned n)
{
	return bits[n / 32] >> (n % 32) & 1;
}

static void set_bit(u32 bits[8], unsigned n)
{
	bits[n / 32] |= (u32)BIT(n % 32);
}

static void clear_bit(u32 bits[8], unsigned n)
{
	bits[n / 32] &= ~(u32)BIT(n % 32);
}

static int highest(const u32 bits[8])
{
	for (int i = 7; i >= 0; i--)
		if (bits[i])
			return i * 32 + 31 - __builtin_clz(bits[i]);
	return -1;
}

bool lapic_enabled(const struct x86_lapic *a)
{
	return (a->s.base & LAPIC_BASE_ENABLE) && (a->s.svr & LAPIC_SVR_ENABLE);
}

static bool in_x2apic_mode(const struct x86_lapic *a)
{
	return a->s.base & LAPIC_BASE_X2APIC;
}

u32 lapic_ppr(const struct x86_lapic *a)
{
	int isr = highest(a->s.isr);
	u32 in_service = isr < 0 ? 0 : (u32)isr & 0xf0;

	return a->s.tpr >> 4 >= in_service >> 4 ? a->s.tpr : in_service;
}

/* Arbitration priority (SDM vol. 3A 11.6.2.4): what is requested counts too. */
static u32 arbitration_priority(const struct x86_lapic *a)
{
	int irr = highest(a->s.irr), isr = highest(a->s.isr);
	u32 r = irr < 0 ? 0 : (u32)irr >> 4, s = isr < 0 ? 0 : (u32)isr >> 4;

	if (a->s.tpr >> 4 >= r && a->s.tpr >> 4 > s)
		return a->s.tpr;
	return (u32)max_u64(max_u64(a->s.tpr >> 4 & s, s), r) << 4;
}

/* The vector that may be delivered now, or -1. */
static int deliverable(const struct x86_lapic *a)
{
	int irr = highest(a->s.irr);

	if (!(a->s.base & LAPIC_BASE_ENABLE) || irr < 0)
		return -1;
	return (u32)irr >> 4 > lapic_ppr(a) >> 4 ? irr : -1;
}

/* The PIC's request reaches the processor: by LINT0, by a message, or past an absent APIC. */
static bool extint_pending(const struct x86_lapic *a)
{
	u32 lvt = a->s.lvt[LAPIC_LVT_LINT0];

	if (a->s.extint)
		return true;
	if (!a->s.lint0)
		return false;
	if (!(a->s.base & LAPIC_BASE_ENABLE))
		return true;
	return !(lvt & LAPIC_MASKED) && (lvt >> LAPIC_MODE_SHIFT & 7) == LAPIC_EXTINT;
}

void lapic_settle(struct x86_lapic *a)
{
	bool ready = extint_pending(a) || deliverable(a) >= 0;
	u32 attend = a->attend | (ready ? X86_ATTN_INTR : 0);

	a->attend = 0;
	atomic_store_explicit(&a->ready, ready, memory_order_release);
	host_unlock(a->plat->host, a->lock);
	if (attend)
		x86_attend(a->vcpu, attend);
}

bool lapic_pending(struct x86_lapic *a)
{
	return atomic_load_explicit(&a->ready, memory_order_acquire);
}

void lapic_error(struct x86_lapic *a, u32 esr_bit)
{
	bool news = !(a->s.esr_pending & esr_bit);

	a->s.esr_pending |= esr_bit;
	if (news)
		lapic_local(a, LAPIC_LVT_ERROR);
}

void lapic_accept(struct x86_lapic *a, u8 vector, bool level)
{
	if (!lapic_enabled(a))
		return;
	if (vector < 16) {
		lapic_error(a, LAPIC_ESR_RECEIVE_VECTOR);
		return;
	}
	set_bit(a->s.irr, vector);
	if (level)
		set_bit(a->s.tmr, vector);
	else
		clear_bit(a->s.tmr, vector);
}

/* The error and timer LVTs have no mode field, which makes them fixed. */
void lapic_local(struct x86_lapic *a, unsigned i)
{
	u32 lvt = a->s.lvt[i];
	bool level = (i == LAPIC_LVT_LINT0 || i == LAPIC_LVT_LINT1) && (lvt & LAPIC_LEVEL);

	if (lvt & LAPIC_MASKED)
		return;
	switch (lvt >> LAPIC_MODE_SHIFT & 7) {
	case LAPIC_FIXED:
		/* An illegal vector of the error LVT would report itself for ever. */
		if (i == LAPIC_LVT_ERROR && (lvt & LAPIC_VECTOR) < 16)
			break;
		if (level && (lvt & LAPIC_LVT_REMOTE_IRR))
			break;
		if (level)
			a->s.lvt[i] |= LAPIC_LVT_REMOTE_IRR;
		lapic_accept(a, (u8)lvt, level);
		break;
	case LAPIC_NMI:
		a->attend |= X86_ATTN_NMI;
		break;
	case LAPIC_SMI:
		a->attend |= X86_ATTN_SMI;
		break;
	case LAPIC_INIT:
		a->attend |= X86_ATTN_INIT;
		break;
	}
}

void lapic_set_extint(struct x86_lapic *a, bool level)
{
	bool rising;

	lapic_lock(a);
	rising = level && !a->s.lint0;
	a->s.lint0 = level;
	if (rising && (a->s.base & LAPIC_BASE_ENABLE))
		lapic_local(a, LAPIC_LVT_LINT0);
	lapic_settle(a);
}

/* Takes note that an ExtINT is being acknowledged; false if there was none. */
static bool take_extint(struct x86_lapic *a)
{
	bool taken;

	lapic_lock(a);
	taken = extint_pending(a);
	a->s.extint = 0;
	lapic_settle(a);
	return taken;
}

int lapic_ack(struct x86_lapic *a)
{
	int vector;

	/* The PIC is asked without the lock: it calls in here with its own held. */
	if (a->plat->pic_ack && take_extint(a)) {
		vector = a->plat->pic_ack(a->plat->pic_ctx);
		if (vector >= 0)
			return vector;
	}
	lapic_lock(a);
	vector = deliverable(a);
	if (vector >= 0) {
		clear_bit(a->s.irr, (unsigned)vector);
		set_bit(a->s.isr, (unsigned)vector);
	}
	lapic_settle(a);
	return vector;
}

/* A level on LINT0 that is still there after its EOI asks again. */
static void rearm_lint0(struct x86_lapic *a, unsigned vector)
{
	u32 *lvt = &a->s.lvt[LAPIC_LVT_LINT0];

	if (!(*lvt & LAPIC_LVT_REMOTE_IRR) || (*lvt & LAPIC_VECTOR) != vector)
		return;
	*lvt &= ~(u32)LAPIC_LVT_REMOTE_IRR;
	if (a->s.lint0)
		lapic_local(a, LAPIC_LVT_LINT0);
}

/* Takes the lock; the I/O APIC is told without it, since it may deliver again at once. */
static void end_of_interrupt(struct x86_lapic *a)
{
	bool tell = false;
	int vector;

	lapic_lock(a);
	vector = highest(a->s.isr);
	if (vector >= 0) {
		clear_bit(a->s.isr, (unsigned)vector);
		tell = get_bit(a->s.tmr, (unsigned)vector);
		rearm_lint0(a, (unsigned)vector);
	}
	lapic_settle(a);
	if (tell && a->plat->eoi)
		a->plat->eoi(a->plat->eoi_ctx, (u8)vector);
}

static u32 x2apic_ldr(u32 id)
{
	return id >> 4 << 16 | 1u << (id & 0xf);
}

static void reset_registers(struct x86_lapic *a)
{
	struct lapic_state old = a->s;

	lapic_timer_stop(a);
	a->s = (struct lapic_state){.base = old.base,
				    .id = old.id,
				    .lint0 = old.lint0,
				    .dfr = DFR_FLAT,
				    .svr = SVR_RESET};
	for (unsigned i = 0; i < LAPIC_LVTS; i++)
		a->s.lvt[i] = LAPIC_MASKED;
	if (in_x2apic_mode(a))
		a->s.ldr = x2apic_ldr(a->s.id);
}

void lapic_reset(struct x86_lapic *a, bool init)
{
	lapic_lock(a);
	if (!init) {
		a->s.base = PC_LAPIC_BASE | LAPIC_BASE_ENABLE;
		if (a->vcpu->index == 0)
			a->s.base |= LAPIC_BASE_BSP;
		a->s.id = a->vcpu->index;
	}
	reset_registers(a);
	lapic_settle(a);
}

void lapic_firmware(struct x86_lapic *a)
{
	lapic_lock(a);
	a->s.svr |= LAPIC_SVR_ENABLE;
	if (a->s.base & LAPIC_BASE_BSP)
		a->s.lvt[LAPIC_LVT_LINT0] = LAPIC_EXTINT << LAPIC_MODE_SHIFT;
	a->s.lvt[LAPIC_LVT_LINT1] = LAPIC_NMI << LAPIC_MODE_SHIFT;
	lapic_settle(a);
}

u64 lapic_base(const struct x86_lapic *a)
{
	return a->s.base;
}

/* The transitions of SDM vol. 3A figure 11-27. */
static bool transition_valid(u64 from, u64 to)
{
	bool from_on = from & LAPIC_BASE_ENABLE, from_x2 = from & LAPIC_BASE_X2APIC;
	bool to_on = to & LAPIC_BASE_ENABLE, to_x2 = to & LAPIC_BASE_X2APIC;

	if (to_x2 && (!to_on || !from_on))
		return false;
	return !(from_x2 && to_on && !to_x2);
}

int lapic_set_base(struct x86_lapic *a, u64 val)
{
	u64 allowed = (mask_low(X86_PHYS_BITS) & ~mask_low(12)) | LAPIC_BASE_BSP |
		      LAPIC_BASE_X2APIC | LAPIC_BASE_ENABLE;
	bool was_x2apic = in_x2apic_mode(a);

	if ((val & ~allowed) || !transition_valid(a->s.base, val))
		return 1;
	if ((val & LAPIC_BASE_X2APIC) && !cpuid_has(a->vcpu->cpuid, X86_FEAT_X2APIC))
		return 1;
	lapic_lock(a);
	/* Which processor booted is not for software to say. */
	a->s.base = (val & ~LAPIC_BASE_BSP) | (a->s.base & LAPIC_BASE_BSP);
	if (!(val & LAPIC_BASE_ENABLE)) {
		reset_registers(a);
	} else if (in_x2apic_mode(a) && !was_x2apic) {
		a->s.ldr = x2apic_ldr(a->s.id);
		a->s.icr &= mask_low(32);
	}
	lapic_settle(a);
	return 0;
}

static u32 read_low_registers(struct x86_lapic *a, unsigned reg, bool x2apic, bool *bad)
{
	switch (reg) {
	case REG_ID:
		return x2apic ? a->s.id : a->s.id << 24;
	case REG_VERSION:
		return VERSION;
	case REG_TPR:
		return a->s.tpr;
	case REG_APR:
		*bad = x2apic;
		return arbitration_priority(a);
	case REG_PPR:
		return lapic_ppr(a);
	case REG_LDR:
		return a->s.ldr;
	case REG_DFR:
		*bad = x2apic;
		return a->s.dfr;
	case REG_SVR:
		return a->s.svr;
	default:
		/* EOI is for writing, but xAPIC software that reads it only gets 0. */
		*bad = x2apic || reg != REG_EOI;
		return 0;
	}
}

/* Called with the lock held. The value, and whether there is no such register to read. */
static u64 reg_read(struct x86_lapic *a, unsigned reg, bool x2apic, bool *bad)
{
	*bad = false;
	if (reg < REG_ISR)
		return read_low_registers(a, reg, x2apic, bad);
	if (reg < REG_TMR)
		return a->s.isr[reg - REG_ISR];
	if (reg < REG_IRR)
		return a->s.tmr[reg - REG_TMR];
	if (reg < REG_ESR)
		return a->s.irr[reg - REG_IRR];
	if (reg >= REG_LVT && reg < REG_LVT + LAPIC_LVTS)
		return a->s.lvt[reg - REG_LVT];
	switch (reg) {
	case REG_ESR:
		return a->s.esr;
	case REG_ICR:
		return x2apic ? a->s.icr : (u32)a->s.icr;
	case REG_ICR_HIGH:
		*bad = x2apic;
		return a->s.icr >> 32;
	case REG_TIMER_INITIAL:
		return a->s.timer_initial;
	case REG_TIMER_CURRENT:
		return lapic_timer_current(a);
	case REG_TIMER_DIVIDE:
		return a->s.timer_divide;
	default:
		*bad = true;
		return 0;
	}
}

static void write_svr(struct x86_lapic *a, u32 val)
{
	a->s.svr = val;
	if (val & LAPIC_SVR_ENABLE)
		return;
	/* SDM vol. 3A 11.4.7.2: a disabled APIC's LVTs are masked and stay so. */
	for (unsigned i = 0; i < LAPIC_LVTS; i++)
		a->s.lvt[i] |= LAPIC_MASKED;
}

static void write_lvt(struct x86_lapic *a, unsigned i, u32 val)
{
	if (!(a->s.svr & LAPIC_SVR_ENABLE))
		val |= LAPIC_MASKED;
	if (i == LAPIC_LVT_TIMER) {
		lapic_timer_set_lvt(a, val);
		return;
	}
	if (val & LAPIC_LEVEL)
		val |= a->s.lvt[i] & LAPIC_LVT_REMOTE_IRR;
	a->s.lvt[i] = val;
	if (i == LAPIC_LVT_LINT0 && a->s.lint0 && (val & LAPIC_LEVEL))
		lapic_local(a, i);
}

static u64 writable_bits(unsigned reg, bool x2apic)
{
	switch (reg) {
	case REG_TPR:
	case REG_SELF_IPI:
		return 0xff;
	case REG_EOI:
	case REG_ESR:
		return 0;
	case REG_LDR:
		return 0xff000000;
	case REG_DFR:
		return 0xf0000000;
	case REG_SVR:
		return SVR_BITS;
	case REG_ICR:
		return x2apic ? ICR_BITS | ~mask_low(32) : ICR_BITS;
	case REG_ICR_HIGH:
		return 0xff000000;
	case REG_TIMER_INITIAL:
		return mask_low(32);
	case REG_TIMER_DIVIDE:
		return 0xb;
	}
	return reg >= REG_LVT && reg < REG_LVT + LAPIC_LVTS ? lvt_bits[reg - REG_LVT] : 0;
}

static bool register_writable(unsigned reg, bool x2apic)
{
	switch (reg) {
	case REG_TPR:
	case REG_EOI:
	case REG_SVR:
	case REG_ESR:
	case REG_ICR:
	case REG_TIMER_INITIAL:
	case REG_TIMER_DIVIDE:
		return true;
	case REG_LDR:
	case REG_DFR:
	case REG_ICR_HIGH:
		return !x2apic;
	case REG_SELF_IPI:
		return x2apic;
	}
	return reg >= REG_LVT && reg < REG_LVT + LAPIC_LVTS;
}

/* Called with the lock held, with reserved bits clear. */
static void write_state(struct x86_lapic *a, unsigned reg, u64 val)
{
	switch (reg) {
	case REG_TPR:
		a->s.tpr = (u32)val;
		break;
	case REG_LDR:
		a->s.ldr = (u32)val;
		break;
	case REG_DFR:
		a->s.dfr = (u32)val | (DFR_FLAT >> 4);
		break;
	case REG_SVR:
		write_svr(a, (u32)val);
		break;
	case REG_ESR:
		/* Writing latches what came up since the last time. */
		a->s.esr = a->s.esr_pending;
		a->s.esr_pending = 0;
		break;
	case REG_ICR_HIGH:
		a->s.icr = (a->s.icr & mask_low(32)) | val << 32;
		break;
	case REG_TIMER_INITIAL:
		lapic_timer_set_initial(a, (u32)val);
		break;
	case REG_TIMER_DIVIDE:
		lapic_timer_set_divide(a, (u32)val);
		break;
	default:
		write_lvt(a, reg - REG_LVT, (u32)val);
		break;
	}
}

/* Takes the lock. ICR and EOI reach beyond this APIC, so they work without it. */
static void reg_write(struct x86_lapic *a, unsigned reg, u64 val, bool x2apic)
{
	u64 icr;

	switch (reg) {
	case REG_EOI:
		end_of_interrupt(a);
		break;
	case REG_ICR:
		lapic_lock(a);
		a->s.icr = x2apic ? val : (a->s.icr & ~mask_low(32)) | val;
		icr = a->s.icr;
		lapic_settle(a);
		lapic_send(a, icr, x2apic);
		break;
	case REG_SELF_IPI:
		lapic_send(a, BIT(18) | val, x2apic);
		break;
	default:
		lapic_lock(a);
		write_state(a, reg, val);
		lapic_settle(a);
		break;
	}
}

static bool has_mmio(const struct x86_lapic *a)
{
	return (a->s.base & LAPIC_BASE_ENABLE) && !in_x2apic_mode(a);
}

/* Registers are the first four bytes of each sixteen; the rest reads as 0. */
u64 lapic_mmio_read(struct x86_lapic *a, u64 off, unsigned size)
{
	unsigned byte = off & 0xf;
	bool bad;
	u64 val;

	if (!has_mmio(a))
		return mask_low(size * 8);
	if (byte >= 4)
		return 0;
	lapic_lock(a);
	val = reg_read(a, (unsigned)off >> 4, false, &bad);
	if (bad)
		lapic_error(a, LAPIC_ESR_REGISTER);
	lapic_settle(a);
	return zext((u32)val >> (byte * 8), size);
}

/* Only aligned stores of 32 bits are defined; wider ones bring nothing more. */
void lapic_mmio_write(struct x86_lapic *a, u64 off, u64 val, unsigned size)
{
	unsigned reg = (unsigned)off >> 4;

	if (!has_mmio(a) || (off & 0xf) || size < 4)
		return;
	if (register_writable(reg, false)) {
		reg_write(a, reg, val & writable_bits(reg, false), false);
	} else {
		bool bad;

		lapic_lock(a);
		reg_read(a, reg, false, &bad);
		if (bad)
			lapic_error(a, LAPIC_ESR_REGISTER);
		lapic_settle(a);
	}
}

int lapic_msr_read(struct x86_lapic *a, u32 msr, u64 *val)
{
	bool bad;
	u64 got;

	if (!in_x2apic_mode(a))
		return 1;
	lapic_lock(a);
	got = reg_read(a, msr - MSR_X2APIC, true, &bad);
	lapic_settle(a);
	if (bad)
		return 1;
	*val = got;
	return 0;
}

int lapic_msr_write(struct x86_lapic *a, u32 msr, u64 val)
{
	enum { DELIVERY_STATUS = 1 << 12 };
	unsigned reg = msr - MSR_X2APIC;

	if (!in_x2apic_mode(a) || !register_writable(reg, true))
		return 1;
	/* The delivery status of xAPIC's ICR and LVTs: not there, but read-modify-write may set it.
	 */
	if (reg >= REG_ICR && reg < REG_LVT + LAPIC_LVTS)
		val &= ~(u64)DELIVERY_STATUS;
	if (reg >= REG_LVT && reg < REG_LVT + LAPIC_LVTS)
		val &= ~(u64)LAPIC_LVT_REMOTE_IRR;
	if (val & ~writable_bits(reg, true))
		return 1;
	reg_write(a, reg, val, true);
	return 0;
}

u64 lapic_cr8(struct x86_lapic *a)
{
	return a->s.tpr >> 4;
}

void lapic_set_cr8(struct x86_lapic *a, u64 val)
{
	lapic_lock(a);
	a->s.tpr = (u32)(val & 0xf) << 4;
	lapic_settle(a);
}

int lapic_create(struct alc_vcpu *v, struct alc_err *err)
{
	const struct alc_host *host = v->plat->host;
	struct x86_lapic *a = host_alloc(host, sizeof(*a));

	if (!a)
		return alc_fail(err, -ENOMEM, "no memory for the local APIC of vCPU %u", v->index);
	a->vcpu = v;
	a->plat = v->plat;
	a->lock = host->mutex_create(host->ctx);
	if (!a->lock) {
		host_free(host, a, sizeof(*a));
		return alc_fail(err, -ENOMEM, "no memory for the local APIC of vCPU %u", v->index);
	}
	clock_timer_init(&a->timer, lapic_timer_fire, a);
	v->lapic = a;
	lapic_reset(a, false);
	return 0;
}

void lapic_destroy(struct x86_lapic *a)
{
	const struct alc_host *host;

	if (!a)
		return;
	host = a->plat->host;
	clock_timer_cancel(a->plat->clock, &a->timer);
	host->mutex_destroy(host->ctx, a->lock);
	a->vcpu->lapic = NULL;
	host_free(host, a, sizeof(*a));
}

const struct alc_field lapic_fields[] = {
	FIELD(struct lapic_state, base),         FIELD(struct lapic_state, id),
	FIELD(struct lapic_state, tpr),          FIELD(struct lapic_state, ldr),
	FIELD(struct lapic_state, dfr),          FIELD(struct lapic_state, svr),
	FIELD_ARRAY(struct lapic_state, isr),    FIELD_ARRAY(struct lapic_state, tmr),
	FIELD_ARRAY(struct lapic_state, irr),    FIELD(struct lapic_state, esr),
	FIELD(struct lapic_state, esr_pending),  FIELD(struct lapic_state, icr),
	FIELD_ARRAY(struct lapic_state, lvt),    FIELD(struct lapic_state, timer_initial),
	FIELD(struct lapic_state, timer_divide), FIELD(struct lapic_state, timer_expiry_ns),
	FIELD(struct lapic_state, tsc_deadline), FIELD(struct lapic_state, lint0),
	FIELD(struct lapic_state, extint),       FIELD_END,
};

void *lapic_state(struct x86_lapic *a)
{
	return &a->s;
}

void lapic_loaded(struct x86_lapic *a)
{
	lapic_lock(a);
	lapic_timer_rearm(a);
	lapic_settle(a);
}
