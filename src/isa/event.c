/* SPDX-License-Identifier: BSD-2-Clause */
#include "isa/event.h"

#include "isa/segment.h"

enum x86_event_kind {
	X86_EVENT_FAULT,     /* an exception */
	X86_EVENT_INTERRUPT, /* external, or NMI */
	X86_EVENT_SOFTWARE,  /* INT n, INT3, INTO: the gate's DPL counts */
};

/* One event under delivery. */
struct event {
	enum x86_event_kind kind;
	u8 vector;
	bool has_error;
	u32 error;
};

/* Error code of a fault found while delivering: selector or vector, with EXT (SDM 6.13). */
static u32 ext(const struct event *e)
{
	return e->kind != X86_EVENT_SOFTWARE;
}

static u32 idt_error(const struct event *e)
{
	return (u32)e->vector << 3 | 2 | ext(e);
}

static int deliver_real(struct alc_vcpu *v, const struct event *e)
{
	u16 vec[2], frame[3];
	u64 sp = (v->gpr[X86_RSP] - 6) & 0xffff;

	if ((u32)e->vector * 4 + 3 > v->idtr.limit)
		return x86_raise(v, X86_GP);
	if (v->ops->read(v, v->idtr.base + e->vector * 4u, vec, 4, X86_READ | X86_IMPLICIT))
		return X86_FAULT;
	frame[0] = (u16)v->rip;
	frame[1] = v->seg[X86_CS].sel;
	frame[2] = (u16)v->rflags;
	if (v->ops->write(v, v->seg[X86_SS].base + sp, frame, 6, X86_WRITE | X86_IMPLICIT))
		return X86_FAULT;
	v->gpr[X86_RSP] = (v->gpr[X86_RSP] & ~0xffffull) | sp;
	v->seg[X86_CS].sel = vec[1];
	v->seg[X86_CS].base = (u64)vec[1] << 4;
	v->rip = vec[0];
	v->rflags &= ~(u64)(X86_IF | X86_TF | X86_AC | X86_RF);
	return X86_OK;
}

struct gate {
	u16 sel;
	u64 offset;
	unsigned type, dpl, ist;
	bool present;
};

static struct gate gate_of_desc(struct x86_desc d, bool wide)
{
	struct gate g = {
		.sel = (u16)field_get(d.lo, 16, 16),
		.offset = field_get(d.lo, 0, 16) | field_get(d.lo, 48, 16) << 16,
		.type = (unsigned)field_get(d.lo, 40, 5),
		.dpl = (unsigned)field_get(d.lo, 45, 2),
		.present = d.lo >> 47 & 1,
	};

	if (wide) {
		g.offset |= field_get(d.hi, 0, 32) << 32;
		g.ist = (unsigned)field_get(d.lo, 32, 3);
	}
	return g;
}

enum { GATE_TASK = 5, GATE_INT16 = 6, GATE_TRAP16 = 7, GATE_INT32 = 14, GATE_TRAP32 = 15 };

static int read_gate(struct alc_vcpu *v, const struct event *e, struct gate *g)
{
	bool wide = x86_long_mode(v);
	unsigned size = wide ? 16 : 8;
	struct x86_desc d = {0};

	if (e->vector * size + size - 1 > v->idtr.limit)
		return x86_raise_error(v, X86_GP, idt_error(e));
	if (v->ops->read(v, v->idtr.base + e->vector * size, &d, size, X86_READ | X86_IMPLICIT))
		return X86_FAULT;
	*g = gate_of_desc(d, wide);
	if (g->type == GATE_TASK && !wide)
		return x86_unsupported(v, "interrupt through a task gate");
	if (g->type != GATE_INT32 && g->type != GATE_TRAP32 &&
	    (wide || (g->type != GATE_INT16 && g->type != GATE_TRAP16)))
		return x86_raise_error(v, X86_GP, idt_error(e));
	if (e->kind == X86_EVENT_SOFTWARE && g->dpl < v->cpl)
		return x86_raise_error(v, X86_GP, idt_error(e));
	if (!g->present)
		return x86_raise_error(v, X86_NP, idt_error(e));
	return X86_OK;
}

/* The handler's code segment and privilege. */
static int read_target(struct alc_vcpu *v, const struct event *e, const struct gate *g,
		       struct x86_seg *cs)
{
	struct x86_desc d = {0};

	if (sel_null(g->sel))
		return x86_raise_error(v, X86_GP, ext(e));
	if (desc_read(v, g->sel, false, X86_GP, &d)) {
		v->fault.error |= v->fault.vector == X86_GP ? ext(e) : 0;
		return X86_FAULT;
	}
	*cs = seg_of_desc(g->sel, d, false);
	if (!seg_is_code(cs) || seg_dpl(cs) > v->cpl ||
	    (x86_long_mode(v) && (cs->attr & (X86_SEG_L | X86_SEG_DB)) != X86_SEG_L))
		return x86_raise_error(v, X86_GP, (g->sel & ~3u) | ext(e));
	if (!(cs->attr & X86_SEG_P))
		return x86_raise_error(v, X86_NP, (g->sel & ~3u) | ext(e));
	return desc_set_accessed(v, g->sel, cs);
}

/* RFLAGS as saved: faults set RF, so that a code breakpoint is not taken twice (SDM 17.3.1.1). */
static u64 saved_flags(const struct alc_vcpu *v, const struct event *e)
{
	bool rf = e->kind == X86_EVENT_FAULT && e->vector != X86_DB && e->vector != X86_DF_;

	return v->rflags | (rf ? X86_RF : 0);
}

static void enter_handler(struct alc_vcpu *v, const struct gate *g, struct x86_seg cs, unsigned cpl)
{
	cs.sel = (u16)((cs.sel & ~3u) | cpl);
	v->seg[X86_CS] = cs;
	v->cpl = (u8)cpl;
	v->rip = g->offset;
	v->rflags &= ~(u64)(X86_TF | X86_NT | X86_RF | X86_VM);
	if (g->type == GATE_INT32 || g->type == GATE_INT16)
		v->rflags &= ~(u64)X86_IF;
}

/* RSPn or ISTn of the 64-bit TSS (SDM vol. 3A figure 7-11). */
static int tss64_stack(struct alc_vcpu *v, const struct event *e, unsigned off, u64 *rsp)
{
	if (off + 7 > v->tr.limit)
		return x86_raise_error(v, X86_TS_, (v->tr.sel & ~3u) | ext(e));
	if (v->ops->read(v, v->tr.base + off, rsp, 8, X86_READ | X86_IMPLICIT))
		return X86_FAULT;
	if (!x86_canonical(*rsp))
		return x86_raise_error(v, X86_SSF, ext(e));
	return X86_OK;
}

static int deliver_long(struct alc_vcpu *v, const struct event *e)
{
	u64 frame[6], rsp = v->gpr[X86_RSP];
	struct x86_seg cs = {0};
	struct gate g = {0};
	unsigned cpl, n = 0;
	int r = read_gate(v, e, &g);

	if (!r)
		r = read_target(v, e, &g, &cs);
	if (r)
		return r;
	if (!x86_canonical(g.offset))
		return x86_raise_error(v, X86_GP, ext(e));
	cpl = seg_conforming(&cs) ? v->cpl : seg_dpl(&cs);
	if (g.ist)
		r = tss64_stack(v, e, 0x24 + (g.ist - 1) * 8, &rsp);
	else if (cpl != v->cpl)
		r = tss64_stack(v, e, 4 + cpl * 8, &rsp);
	if (r)
		return r;
	rsp &= ~0xfull;
	if (e->has_error)
		frame[n++] = e->error;
	frame[n++] = v->rip;
	frame[n++] = v->seg[X86_CS].sel;
	frame[n++] = saved_flags(v, e);
	frame[n++] = v->gpr[X86_RSP];
	frame[n++] = v->seg[X86_SS].sel;
	rsp -= n * 8;
	if (!x86_canonical(rsp))
		return x86_raise_error(v, X86_SSF, ext(e));
	if (v->ops->write(v, rsp, frame, n * 8, X86_WRITE | (cpl == 3 ? 0 : X86_IMPLICIT)))
		return X86_FAULT;
	if (cpl != v->cpl)
		v->seg[X86_SS] = seg_null((u16)cpl);
	v->gpr[X86_RSP] = rsp;
	enter_handler(v, &g, cs, cpl);
	return X86_OK;
}

/* SSn:ESPn of a 32-bit TSS (SDM vol. 3A figure 7-2) or a 16-bit one (figure 7-10). */
static int tss_stack(struct alc_vcpu *v, const struct event *e, unsigned cpl, u64 *esp,
		     struct x86_seg *ss)
{
	bool tss32 = (v->tr.attr & X86_SEG_TYPE) >= 9;
	unsigned off = tss32 ? 4 + cpl * 8 : 2 + cpl * 4, size = tss32 ? 6 : 4;
	u8 raw[6] = {0};

	if (off + size - 1 > v->tr.limit)
		return x86_raise_error(v, X86_TS_, (v->tr.sel & ~3u) | ext(e));
	if (v->ops->read(v, v->tr.base + off, raw, size, X86_READ | X86_IMPLICIT))
		return X86_FAULT;
	*esp = tss32 ? ld32(raw) : ld16(raw);
	return seg_check_stack(v, ld16(raw + size - 2), cpl, X86_TS_, ss);
}

static unsigned put_frame(u8 *out, const u64 *words, unsigned n, unsigned size)
{
	unsigned i;

	for (i = 0; i < n; i++)
		st_size(out + i * size, words[i], size);
	return n * size;
}

static int deliver_protected(struct alc_vcpu *v, const struct event *e)
{
	u64 words[6], esp = v->gpr[X86_RSP];
	struct x86_seg cs = {0}, ss = v->seg[X86_SS];
	unsigned cpl, n = 0, len, size;
	u8 frame[24];
	struct gate g = {0};
	u64 mask;
	int r = read_gate(v, e, &g);

	if (!r)
		r = read_target(v, e, &g, &cs);
	if (r)
		return r;
	size = g.type >= GATE_INT32 ? 4 : 2;
	cpl = seg_conforming(&cs) ? v->cpl : seg_dpl(&cs);
	if (e->has_error)
		words[n++] = e->error;
	words[n++] = v->rip;
	words[n++] = v->seg[X86_CS].sel;
	words[n++] = saved_flags(v, e);
	if (cpl != v->cpl) {
		r = tss_stack(v, e, cpl, &esp, &ss);
		if (r)
			return r;
		words[n++] = v->gpr[X86_RSP];
		words[n++] = v->seg[X86_SS].sel;
	}
	len = put_frame(frame, words, n, size);
	mask = ss.attr & X86_SEG_DB ? 0xffffffffu : 0xffff;
	esp = (esp & ~mask) | ((esp - len) & mask);
	if (v->ops->write(v, (u32)(ss.base + (esp & mask)), frame, len,
			  X86_WRITE | (cpl == 3 ? 0 : X86_IMPLICIT)))
		return X86_FAULT;
	v->seg[X86_SS] = ss;
	v->gpr[X86_RSP] = esp;
	enter_handler(v, &g, cs, cpl);
	return X86_OK;
}

static int deliver_once(struct alc_vcpu *v, const struct event *e)
{
	int r;

	if (!x86_protected(v))
		r = deliver_real(v, e);
	else if (x86_long_mode(v))
		r = deliver_long(v, e);
	else if (v->rflags & X86_VM)
		r = x86_unsupported(v, "an event in virtual-8086 mode");
	else
		r = deliver_protected(v, e);
	if (!r) {
		v->shadow_rip = ~0ull;
		v->ops->mode_changed(v);
	}
	return r;
}

/* Classes for double faults (SDM vol. 3A table 6-4). */
static bool contributory(u8 vector)
{
	return vector == X86_DE || (vector >= X86_TS_ && vector <= X86_GP);
}

static bool makes_double_fault(const struct event *first, const struct x86_fault *second)
{
	if (first->kind != X86_EVENT_FAULT)
		return false;
	if (first->vector == X86_PFV)
		return second->vector == X86_PFV || contributory(second->vector);
	return contributory(first->vector) && contributory(second->vector);
}

/* Side effects that come with a fault whether or not its handler can be entered. */
static struct event event_of_fault(struct alc_vcpu *v)
{
	const struct x86_fault *f = &v->fault;

	if (f->vector == X86_PFV)
		v->cr2 = f->cr2;
	if (f->vector == X86_DB) {
		v->dr[6] |= f->dr6_set;
		v->dr[7] &= ~BIT(13); /* GD */
	}
	return (struct event){
		.kind = X86_EVENT_FAULT,
		.vector = f->vector,
		.has_error = f->has_error && x86_protected(v),
		.error = f->error,
	};
}

static int deliver_escalating(struct alc_vcpu *v, struct event e, u64 fault_rip)
{
	for (;;) {
		int r = deliver_once(v, &e);

		if (r != X86_FAULT)
			return r;
		v->rip = fault_rip;
		if (e.kind == X86_EVENT_FAULT && e.vector == X86_DF_) {
			v->activity = X86_SHUTDOWN;
			return X86_OK;
		}
		if (makes_double_fault(&e, &v->fault))
			e = (struct event){.kind = X86_EVENT_FAULT,
					   .vector = X86_DF_,
					   .has_error = x86_protected(v)};
		else
			e = event_of_fault(v);
	}
}

int x86_deliver_fault(struct alc_vcpu *v)
{
	return deliver_escalating(v, event_of_fault(v), v->rip);
}

int x86_deliver_interrupt(struct alc_vcpu *v, u8 vector)
{
	return deliver_escalating(v, (struct event){.kind = X86_EVENT_INTERRUPT, .vector = vector},
				  v->rip);
}

int x86_deliver_software(struct alc_vcpu *v, u8 vector, u64 fault_rip)
{
	return deliver_escalating(v, (struct event){.kind = X86_EVENT_SOFTWARE, .vector = vector},
				  fault_rip);
}
