/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State between KVM and struct alc_vcpu.
 *
 * KVM stops with events half delivered: an interrupt that it took from the local APIC, an
 * exception whose frame could not be pushed. Our state has no place for those, and needs none:
 * they are delivered here, by the semantics that all engines share. What a software interrupt
 * left behind is forgotten, since its instruction runs again.
 */
#include <errno.h>
#include <string.h>

#include "engine/kvm/internal.h"
#include "isa/event.h"
#include "isa/fpu.h"
#include "isa/lapic.h"
#include "isa/msr.h"

enum { ATTR_AVL = 0x1000, CPL_VM86 = 3 };

static int failed(struct alc_err *err, int rc, const struct kvm_vcpu *c, const char *verb,
		  const char *what)
{
	return rc < 0 ? alc_fail(err, rc, "KVM does not %s %s of vCPU %u: %s", verb, what,
				 c->v->index, strerror(-rc))
		      : 0;
}

static int get(struct kvm_vcpu *c, unsigned long request, void *to, const char *what,
	       struct alc_err *err)
{
	return failed(err, kvm_call(c->fd, request, to), c, "give", what);
}

static int put(struct kvm_vcpu *c, unsigned long request, void *from, const char *what,
	       struct alc_err *err)
{
	return failed(err, kvm_call(c->fd, request, from), c, "take", what);
}

/* ---- Segments ----------------------------------------------------------------------------- */

static struct x86_seg seg_in(const struct kvm_segment *k)
{
	bool present = k->present && !k->unusable;

	return (struct x86_seg){
		.base = k->base,
		.limit = k->limit,
		.sel = k->selector,
		.attr = (u16)(k->type | (k->s ? X86_SEG_S : 0) | k->dpl << X86_SEG_DPL_SHIFT |
			      (present ? X86_SEG_P : 0) | (k->avl ? ATTR_AVL : 0) |
			      (k->l ? X86_SEG_L : 0) | (k->db ? X86_SEG_DB : 0) |
			      (k->g ? X86_SEG_G : 0)),
	};
}

static struct kvm_segment seg_out(const struct x86_seg *s)
{
	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->sel,
		.type = s->attr & X86_SEG_TYPE,
		.s = !!(s->attr & X86_SEG_S),
		.dpl = (s->attr & X86_SEG_DPL) >> X86_SEG_DPL_SHIFT,
		.present = !!(s->attr & X86_SEG_P),
		.avl = !!(s->attr & ATTR_AVL),
		.l = !!(s->attr & X86_SEG_L),
		.db = !!(s->attr & X86_SEG_DB),
		.g = !!(s->attr & X86_SEG_G),
		.unusable = !(s->attr & X86_SEG_P),
	};
}

/* Where each of ours lies in KVM's. */
static const size_t seg_at[X86_SEGS] = {
	[X86_ES] = offsetof(struct kvm_sregs, es), [X86_CS] = offsetof(struct kvm_sregs, cs),
	[X86_SS] = offsetof(struct kvm_sregs, ss), [X86_DS] = offsetof(struct kvm_sregs, ds),
	[X86_FS] = offsetof(struct kvm_sregs, fs), [X86_GS] = offsetof(struct kvm_sregs, gs),
};

static struct kvm_segment *kvm_seg(struct kvm_sregs *s, unsigned i)
{
	return (struct kvm_segment *)((u8 *)s + seg_at[i]);
}

/* KVM finds the privilege level in SS (or knows it from the mode). */
static u8 cpl_of(const struct alc_vcpu *v, const struct kvm_sregs *s)
{
	if (!(v->cr0 & X86_CR0_PE))
		return 0;
	return v->rflags & X86_VM ? CPL_VM86 : s->ss.dpl;
}

static void sregs_in(struct alc_vcpu *v, struct kvm_sregs *s)
{
	for (unsigned i = 0; i < X86_SEGS; i++)
		v->seg[i] = seg_in(kvm_seg(s, i));
	v->ldtr = seg_in(&s->ldt);
	v->tr = seg_in(&s->tr);
	v->gdtr = (struct x86_dtr){s->gdt.base, s->gdt.limit};
	v->idtr = (struct x86_dtr){s->idt.base, s->idt.limit};
	v->cr0 = s->cr0;
	v->cr2 = s->cr2;
	v->cr3 = s->cr3;
	v->cr4 = s->cr4;
	v->efer = s->efer;
	v->cpl = cpl_of(v, s);
}

static void sregs_out(const struct alc_vcpu *v, struct kvm_sregs *s)
{
	*s = (struct kvm_sregs){
		.ldt = seg_out(&v->ldtr),
		.tr = seg_out(&v->tr),
		.gdt = {.base = v->gdtr.base, .limit = v->gdtr.limit},
		.idt = {.base = v->idtr.base, .limit = v->idtr.limit},
		.cr0 = v->cr0,
		.cr2 = v->cr2,
		.cr3 = v->cr3,
		.cr4 = v->cr4,
		.cr8 = lapic_cr8(v->lapic),
		.efer = v->efer,
		.apic_base = lapic_base(v->lapic),
	};
	for (unsigned i = 0; i < X86_SEGS; i++)
		*kvm_seg(s, i) = seg_out(&v->seg[i]);
	if (v->cr0 & X86_CR0_PE)
		s->ss.dpl = v->cpl;
}

/* ---- General registers -------------------------------------------------------------------- */

static const struct {
	u8 ours;
	u16 at;
} gprs[] = {
#define GPR(ours, name)                               \
	{                                             \
		ours, offsetof(struct kvm_regs, name) \
	}
	GPR(X86_RAX, rax), GPR(X86_RCX, rcx), GPR(X86_RDX, rdx), GPR(X86_RBX, rbx),
	GPR(X86_RSP, rsp), GPR(X86_RBP, rbp), GPR(X86_RSI, rsi), GPR(X86_RDI, rdi),
	GPR(X86_R8, r8),   GPR(X86_R9, r9),   GPR(X86_R10, r10), GPR(X86_R11, r11),
	GPR(X86_R12, r12), GPR(X86_R13, r13), GPR(X86_R14, r14), GPR(X86_R15, r15),
#undef GPR
};

static void regs_in(struct alc_vcpu *v, const struct kvm_regs *r)
{
	for (size_t i = 0; i < ARRAY_LEN(gprs); i++)
		v->gpr[gprs[i].ours] = ld64((const u8 *)r + gprs[i].at);
	v->rip = r->rip;
	v->rflags = r->rflags;
}

static void regs_out(const struct alc_vcpu *v, struct kvm_regs *r)
{
	for (size_t i = 0; i < ARRAY_LEN(gprs); i++)
		st64((u8 *)r + gprs[i].at, v->gpr[gprs[i].ours]);
	r->rip = v->rip;
	r->rflags = v->rflags;
}

/* ---- Floating point, debug registers ------------------------------------------------------ */

enum { XSTATE_BV = X86_FXSAVE_SIZE }; /* first in the area's header */

static u64 components(const struct alc_vcpu *v)
{
	return v->cpuid->xcr0_mask | X86_XCR0_X87 | X86_XCR0_SSE;
}

static int get_fpu(struct kvm_vcpu *c, struct alc_err *err)
{
	struct alc_vcpu *v = c->v;
	struct kvm_xsave x;
	struct kvm_xcrs xcrs = {0};
	int r = get(c, KVM_GET_XSAVE, &x, "the XSAVE area", err);

	if (r)
		return r;
	/* The host may have components that our guests don't see; they are as they were at reset.
	 */
	st64((u8 *)&x + XSTATE_BV, ld64((u8 *)&x + XSTATE_BV) & components(v));
	if (fpu_xrstor(&v->fpu, (const u8 *)&x, components(v), components(v), true))
		return alc_fail(err, -EIO, "KVM gives an impossible XSAVE area of vCPU %u",
				v->index);
	if (!v->cpuid->xcr0_mask)
		return 0;
	r = get(c, KVM_GET_XCRS, &xcrs, "XCR0", err);
	if (!r && xcrs.nr_xcrs)
		v->xcr0 = xcrs.xcrs[0].value;
	return r;
}

static int put_fpu(struct kvm_vcpu *c, struct alc_err *err)
{
	struct alc_vcpu *v = c->v;
	struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.value = v->xcr0}}};
	struct kvm_xsave x = {0};
	int r = 0;

	fpu_xsave(&v->fpu, (u8 *)&x, components(v), X86_XSAVE, true);
	if (v->cpuid->xcr0_mask)
		r = put(c, KVM_SET_XCRS, &xcrs, "XCR0", err);
	return r ? r : put(c, KVM_SET_XSAVE, &x, "the XSAVE area", err);
}

static int get_debug(struct kvm_vcpu *c, struct alc_err *err)
{
	struct kvm_debugregs d;
	int r = get(c, KVM_GET_DEBUGREGS, &d, "the debug registers", err);

	if (r)
		return r;
	memcpy(c->v->dr, d.db, sizeof(d.db));
	c->v->dr[6] = d.dr6;
	c->v->dr[7] = d.dr7;
	return 0;
}

static int put_debug(struct kvm_vcpu *c, struct alc_err *err)
{
	struct kvm_debugregs d = {.dr6 = c->v->dr[6], .dr7 = c->v->dr[7]};

	memcpy(d.db, c->v->dr, sizeof(d.db));
	return put(c, KVM_SET_DEBUGREGS, &d, "the debug registers", err);
}

/* ---- Events ------------------------------------------------------------------------------- */

static int deliver(struct alc_vcpu *v, const struct kvm_vcpu_events *e, struct alc_err *err)
{
	int r = X86_OK;

	if (e->exception.injected || e->exception.pending) {
		v->fault = (struct x86_fault){.vector = e->exception.nr,
					      .has_error = e->exception.has_error_code,
					      .error = e->exception.error_code,
					      .cr2 = v->cr2};
		r = x86_deliver_fault(v);
	} else if (e->nmi.injected) {
		v->nmi_blocked = true;
		r = x86_deliver_interrupt(v, X86_NMI);
	} else if (e->interrupt.injected && !e->interrupt.soft) {
		r = x86_deliver_interrupt(v, e->interrupt.nr);
	} else {
		return 0;
	}
	v->shadow_rip = ~0ull;
	return r == X86_UNSUPPORTED
		       ? alc_fail(err, -ENOTSUP, "%s is not supported: at %llx, vCPU %u",
				  v->unsupported, (unsigned long long)v->rip, v->index)
		       : 0;
}

static int events_in(struct kvm_vcpu *c, const struct kvm_vcpu_events *e, struct alc_err *err)
{
	struct alc_vcpu *v = c->v;

	v->nmi_blocked = e->nmi.masked;
	v->shadow_rip = e->interrupt.shadow ? v->rip : ~0ull;
	v->shadow_ss = e->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS;
	if (e->nmi.pending)
		atomic_fetch_or(&v->attention, X86_ATTN_NMI);
	return deliver(v, e, err);
}

static int put_events(struct kvm_vcpu *c, struct alc_err *err)
{
	const struct alc_vcpu *v = c->v;
	bool shadow = v->shadow_rip == v->rip;
	struct kvm_vcpu_events e = {
		.nmi.masked = v->nmi_blocked,
		.interrupt.shadow = !shadow        ? 0
				    : v->shadow_ss ? KVM_X86_SHADOW_INT_MOV_SS
						   : KVM_X86_SHADOW_INT_STI,
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
	};

	return put(c, KVM_SET_VCPU_EVENTS, &e, "the pending events", err);
}

/* ---- Activity and local APIC -------------------------------------------------------------- */

static const struct {
	u32 theirs;
	u8 ours;
} activities[] = {
	{KVM_MP_STATE_RUNNABLE, X86_RUNNING},        {KVM_MP_STATE_HALTED, X86_HALTED},
	{KVM_MP_STATE_UNINITIALIZED, X86_WAIT_SIPI}, {KVM_MP_STATE_INIT_RECEIVED, X86_WAIT_SIPI},
	{KVM_MP_STATE_SIPI_RECEIVED, X86_WAIT_SIPI},
};

static int get_lapic(struct kvm_vcpu *c, u64 base, struct alc_err *err)
{
	struct alc_vcpu *v = c->v;
	struct kvm_mp_state mp;
	struct kvm_lapic_state page;
	u64 deadline;
	int r = get(c, KVM_GET_MP_STATE, &mp, "the activity", err);

	if (!r)
		r = get(c, KVM_GET_LAPIC, &page, "the local APIC", err);
	if (r)
		return r;
	if (kvm_get_msr(c->fd, MSR_TSC_DEADLINE, &deadline))
		deadline = 0;
	for (size_t i = 0; i < ARRAY_LEN(activities); i++)
		if (activities[i].theirs == mp.mp_state)
			v->activity = activities[i].ours;
	lapic_set_page(v->lapic, base, (const u8 *)page.regs, deadline);
	if (v->index == 0)
		lapic_set_extint(v->lapic, atomic_load(&c->vm->intr));
	return 0;
}

static int put_lapic(struct kvm_vcpu *c, struct alc_err *err)
{
	struct alc_vcpu *v = c->v;
	struct kvm_mp_state mp = {KVM_MP_STATE_RUNNABLE};
	struct kvm_lapic_state page;
	u64 deadline = lapic_tsc_deadline(v->lapic);
	int r;

	for (size_t i = ARRAY_LEN(activities); i-- > 0;)
		if (activities[i].ours == v->activity)
			mp.mp_state = activities[i].theirs;
	lapic_get_page(v->lapic, (u8 *)page.regs);
	lapic_suspend(v->lapic);
	r = put(c, KVM_SET_LAPIC, &page, "the local APIC", err);
	if (!r && deadline && kvm_set_msr(c->fd, MSR_TSC_DEADLINE, deadline))
		r = alc_fail(err, -EIO, "KVM does not take the TSC deadline of vCPU %u", v->index);
	if (!r)
		r = put(c, KVM_SET_MP_STATE, &mp, "the activity", err);
	if (v->index == 0) {
		atomic_store(&c->vm->intr, lapic_extint_level(v->lapic));
		atomic_fetch_or(&v->attention, X86_ATTN_INTR);
	}
	return r;
}

/* ---- All ---------------------------------------------------------------------------------- */

static int get_core(struct kvm_vcpu *c, struct kvm_regs *r, struct kvm_sregs *s,
		    struct kvm_vcpu_events *e, struct alc_err *err)
{
	int rc;

	if (c->sync_regs) {
		*r = c->run->s.regs.regs;
		*s = c->run->s.regs.sregs;
		*e = c->run->s.regs.events;
		return 0;
	}
	rc = get(c, KVM_GET_REGS, r, "the registers", err);
	if (!rc)
		rc = get(c, KVM_GET_SREGS, s, "the segment registers", err);
	return rc ? rc : get(c, KVM_GET_VCPU_EVENTS, e, "the pending events", err);
}

int kvm_get_state(struct alc_vcpu *v, struct alc_err *err)
{
	struct kvm_vcpu *c = v->engine;
	struct kvm_vcpu_events e;
	struct kvm_sregs s;
	struct kvm_regs r;
	int rc;

	if (c->taken)
		return 0;
	rc = kvm_complete(c, true, err);
	if (!rc)
		rc = get_core(c, &r, &s, &e, err);
	if (!rc) {
		regs_in(v, &r);
		sregs_in(v, &s);
		rc = get_fpu(c, err);
	}
	if (!rc)
		rc = get_debug(c, err);
	if (!rc)
		rc = kvm_get_msrs(c, err);
	if (!rc && kvm_lapics_inside(c->vm))
		rc = get_lapic(c, s.apic_base, err);
	else if (!rc)
		lapic_loaded(v->lapic); /* a TSC deadline is another time now */
	if (!rc)
		rc = events_in(c, &e, err);
	if (!rc)
		c->taken = true;
	return rc;
}

/* Where the local APICs are ours, a TSC deadline is by KVM's TSC from now on. */
static int measure_deadline(struct kvm_vcpu *c, struct alc_err *err)
{
	int r = kvm_learn_tsc(c, err);

	if (!r)
		lapic_loaded(c->v->lapic);
	return r;
}

static void put_clock(struct kvm_vcpu *c)
{
	struct kvm_clock_data d = {.clock = clock_now_ns(c->v->plat->clock)};

	/* Where KVM has no clock of its own, the guest sees none. */
	kvm_call(c->vm->fd, KVM_SET_CLOCK, &d);
}

int kvm_put_state(struct kvm_vcpu *c, struct alc_err *err)
{
	struct alc_vcpu *v = c->v;
	struct kvm_sregs s;
	struct kvm_regs r;
	/* What KVM still has to complete would change what it is given now. */
	int rc = c->in_flight ? kvm_complete(c, false, err) : 0;

	if (rc)
		return rc;
	regs_out(v, &r);
	sregs_out(v, &s);
	if (v->index == 0)
		put_clock(c);
	rc = put(c, KVM_SET_SREGS, &s, "the segment registers", err);
	if (!rc)
		rc = put(c, KVM_SET_REGS, &r, "the registers", err);
	if (!rc)
		rc = put_fpu(c, err);
	if (!rc)
		rc = put_debug(c, err);
	if (!rc)
		rc = kvm_set_msrs(c, err);
	if (!rc && kvm_lapics_inside(c->vm))
		rc = put_lapic(c, err);
	else if (!rc)
		rc = measure_deadline(c, err);
	if (!rc)
		rc = put_events(c, err);
	if (rc)
		return rc;
	c->run->if_flag = !!(v->rflags & X86_IF);
	c->run->ready_for_interrupt_injection = 0;
	c->taken = false;
	return 0;
}

void kvm_set_state(struct alc_vcpu *v)
{
	struct kvm_vcpu *c = v->engine;

	c->taken = true;
}
