/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers: those that a CPU acts on are KVM's, all others are isa/msr.h's, so
 * that guests find the same ones whatever engine runs them. The filter sends the latter here.
 */
#include <errno.h>
#include <string.h>

#include "engine/kvm/internal.h"
#include "isa/lapic.h"
#include "isa/msr.h"

typedef unsigned long long ull;

enum where {
	INSIDE,       /* always KVM's */
	LAPIC_INSIDE, /* KVM's where it has the local APICs */
};

enum access {
	NOTHING = 0,
	GET = 1,
	SET = 2,
	BOTH = GET | SET,
};

/* Rows with BOTH are copied between KVM and struct alc_vcpu as they are. */
static const struct row {
	u32 msr;
	u16 needs; /* 1 + enum x86_feature, or 0 */
	u8 where, access;
	u32 offset;
} rows[] = {
#define NEEDS(id)  1 + X86_FEAT_##id
#define IN(member) offsetof(struct alc_vcpu, member)
	{MSR_TSC, 0, INSIDE, NOTHING, 0},
	{MSR_KVM_WALL_CLOCK_OLD, NEEDS(KVM_CLOCKSOURCE), INSIDE, NOTHING, 0},
	{MSR_KVM_SYSTEM_TIME_OLD, NEEDS(KVM_CLOCKSOURCE), INSIDE, NOTHING, 0},
	{MSR_APIC_BASE, 0, LAPIC_INSIDE, NOTHING, 0},
	{MSR_TSC_ADJUST, NEEDS(TSC_ADJUST), INSIDE, BOTH, IN(msr.tsc_adjust)},
	{MSR_SPEC_CTRL, NEEDS(SPEC_CTRL), INSIDE, BOTH, IN(msr.spec_ctrl)},
	{MSR_PRED_CMD, NEEDS(SPEC_CTRL), INSIDE, NOTHING, 0},
	{MSR_FLUSH_CMD, NEEDS(FLUSH_L1D), INSIDE, NOTHING, 0},
	{MSR_SYSENTER_CS, 0, INSIDE, BOTH, IN(msr.sysenter_cs)},
	{MSR_SYSENTER_ESP, 0, INSIDE, BOTH, IN(msr.sysenter_esp)},
	{MSR_SYSENTER_EIP, 0, INSIDE, BOTH, IN(msr.sysenter_eip)},
	{MSR_PAT, 0, INSIDE, BOTH, IN(msr.pat)},
	{MSR_TSC_DEADLINE, NEEDS(TSC_DEADLINE), LAPIC_INSIDE, NOTHING, 0},
	{MSR_KVM_WALL_CLOCK, NEEDS(KVM_CLOCKSOURCE2), INSIDE, BOTH, IN(pv.wall_clock)},
	{MSR_KVM_SYSTEM_TIME, NEEDS(KVM_CLOCKSOURCE2), INSIDE, BOTH, IN(pv.system_time)},
	{MSR_KVM_STEAL_TIME, NEEDS(KVM_STEAL_TIME), INSIDE, BOTH, IN(pv.steal_time)},
	{MSR_KVM_POLL_CONTROL, NEEDS(KVM_POLL_CONTROL), INSIDE, BOTH, IN(pv.poll_control)},
	{MSR_EFER, 0, INSIDE, NOTHING, 0}, /* with the segment registers */
	{MSR_STAR, NEEDS(SYSCALL), INSIDE, BOTH, IN(msr.star)},
	{MSR_LSTAR, NEEDS(LM), INSIDE, BOTH, IN(msr.lstar)},
	{MSR_CSTAR, NEEDS(LM), INSIDE, BOTH, IN(msr.cstar)},
	{MSR_SFMASK, NEEDS(SYSCALL), INSIDE, BOTH, IN(msr.sfmask)},
	{MSR_FS_BASE, NEEDS(LM), INSIDE, NOTHING, 0},
	{MSR_GS_BASE, NEEDS(LM), INSIDE, NOTHING, 0},
	{MSR_KERNEL_GS_BASE, NEEDS(LM), INSIDE, BOTH, IN(msr.kernel_gs_base)},
	{MSR_TSC_AUX, NEEDS(RDTSCP), INSIDE, BOTH, IN(msr.tsc_aux)},
};

static bool inside(const struct kvm_vm *vm, const struct row *row)
{
	return row->where == INSIDE || kvm_lapics_inside(vm);
}

static bool there(const struct alc_vcpu *v, const struct row *row)
{
	return !row->needs || cpuid_has(v->cpuid, (enum x86_feature)(row->needs - 1));
}

/* Is the register one that KVM serves for this vCPU? */
static bool kvm_serves(const struct kvm_vcpu *c, u32 msr)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].msr == msr)
			return inside(c->vm, &rows[i]);
	return msr >= MSR_X2APIC && msr <= MSR_X2APIC + 0xff && kvm_lapics_inside(c->vm);
}

/* ---- The filter --------------------------------------------------------------------------- */

enum { RANGE_MSRS = 0x2000, RANGE_BYTES = RANGE_MSRS / 8, RANGES = 3 };

static const u32 range_base[RANGES] = {0, 0x4b564000, 0xc0000000};

/* A set bit lets KVM serve it. */
static void fill_range(const struct kvm_vm *vm, u32 base, u8 bitmap[RANGE_BYTES])
{
	memset(bitmap, 0, RANGE_BYTES);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		u32 n = rows[i].msr - base;

		if (n < RANGE_MSRS && inside(vm, &rows[i]))
			bitmap[n / 8] |= (u8)BIT(n % 8);
	}
}

int kvm_set_msr_filter(struct kvm_vm *vm, struct alc_err *err)
{
	u8 bitmaps[RANGES][RANGE_BYTES];
	struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_DENY};
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = {KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
			 KVM_MSR_EXIT_REASON_FILTER},
	};
	int rc = kvm_call(vm->fd, KVM_ENABLE_CAP, &cap);

	for (unsigned i = 0; i < RANGES; i++) {
		fill_range(vm, range_base[i], bitmaps[i]);
		filter.ranges[i] = (struct kvm_msr_filter_range){
			.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			.base = range_base[i],
			.nmsrs = RANGE_MSRS,
			.bitmap = bitmaps[i],
		};
	}
	if (!rc)
		rc = kvm_call(vm->fd, KVM_X86_SET_MSR_FILTER, &filter);
	return rc ? alc_fail(err, rc, "KVM does not take a filter for MSRs: %s", strerror(-rc)) : 0;
}

/* ---- Exits -------------------------------------------------------------------------------- */

/* KVM's own come here only to be refused. */
int kvm_exit_rdmsr(struct kvm_vcpu *c)
{
	struct kvm_run *run = c->run;
	u64 val = 0;

	c->n_msr++;
	run->msr.error = kvm_serves(c, run->msr.index) || x86_rdmsr(c->v, run->msr.index, &val);
	run->msr.data = val;
	return 0;
}

#define APIC_ENABLED BIT(11)

/* Without local APICs KVM still wants to know whether there is one: for CPUID. */
static int tell_apic_base(struct kvm_vcpu *c, struct alc_err *err)
{
	struct kvm_sregs s;
	u64 base = lapic_base(c->v->lapic);
	int rc;

	if (!((base ^ c->run->apic_base) & APIC_ENABLED))
		return 0;
	rc = kvm_call(c->fd, KVM_GET_SREGS, &s);
	s.apic_base = base;
	if (!rc)
		rc = kvm_call(c->fd, KVM_SET_SREGS, &s);
	return rc ? alc_fail(err, rc, "KVM does not take an APIC base of 0x%llx: %s", (ull)base,
			     strerror(-rc))
		  : 0;
}

/*
 * The TSC is read before the clock, so that what x86_tsc() says is never ahead of what the guest
 * sees: guests take an interrupt before its deadline for an error.
 */
int kvm_learn_tsc(struct kvm_vcpu *c, struct alc_err *err)
{
	u64 tsc;
	int r = kvm_get_msr(c->fd, MSR_TSC, &tsc);

	if (r)
		return alc_fail(err, r, "KVM does not give the TSC of vCPU %u: %s", c->v->index,
				strerror(-r));
	c->v->msr.tsc_offset = 0;
	c->v->msr.tsc_offset = tsc - x86_tsc(c->v);
	return 0;
}

int kvm_exit_wrmsr(struct kvm_vcpu *c, struct alc_err *err)
{
	struct kvm_run *run = c->run;
	int r = 0;

	c->n_msr++;
	if (run->msr.index == MSR_TSC_DEADLINE)
		r = kvm_learn_tsc(c, err);
	if (r)
		return r;
	run->msr.error = kvm_serves(c, run->msr.index) ||
			 x86_wrmsr(c->v, run->msr.index, run->msr.data);
	if (run->msr.index == MSR_APIC_BASE && !run->msr.error)
		return tell_apic_base(c, err);
	return 0;
}

/* ---- State -------------------------------------------------------------------------------- */

union msr_list {
	struct kvm_msrs list;
	u8 room[sizeof(struct kvm_msrs) + (ARRAY_LEN(rows) + 1) * sizeof(struct kvm_msr_entry)];
};

static u64 *storage(struct alc_vcpu *v, const struct row *row)
{
	return (u64 *)((u8 *)v + row->offset);
}

static void add(union msr_list *l, u32 msr, u64 data)
{
	l->list.entries[l->list.nmsrs++] = (struct kvm_msr_entry){.index = msr, .data = data};
}

/* The deadline goes with the local APIC's page, so it is not in the list. */
int kvm_get_msrs(struct kvm_vcpu *c, struct alc_err *err)
{
	struct alc_vcpu *v = c->v;
	union msr_list l = {.list.nmsrs = 0};
	unsigned n = 0;
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if ((rows[i].access & GET) && there(v, &rows[i]))
			add(&l, rows[i].msr, 0);
	rc = kvm_call(c->fd, KVM_GET_MSRS, &l);
	if (rc < (int)l.list.nmsrs)
		return alc_fail(err, -EIO, "KVM does not give MSR 0x%x of vCPU %u",
				l.list.entries[rc < 0 ? 0 : rc].index, v->index);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if ((rows[i].access & GET) && there(v, &rows[i]))
			*storage(v, &rows[i]) = l.list.entries[n++].data;
	return kvm_learn_tsc(c, err);
}

/* TSC_ADJUST before the TSC itself, which it would move. */
int kvm_set_msrs(struct kvm_vcpu *c, struct alc_err *err)
{
	struct alc_vcpu *v = c->v;
	union msr_list l = {.list.nmsrs = 0};
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if ((rows[i].access & SET) && there(v, &rows[i]))
			add(&l, rows[i].msr, *storage(v, &rows[i]));
	add(&l, MSR_TSC, x86_tsc(v));
	rc = kvm_call(c->fd, KVM_SET_MSRS, &l);
	if (rc < (int)l.list.nmsrs)
		return alc_fail(err, -EIO, "KVM does not take 0x%llx in MSR 0x%x of vCPU %u",
				(ull)l.list.entries[rc < 0 ? 0 : rc].data,
				l.list.entries[rc < 0 ? 0 : rc].index, v->index);
	return 0;
}
