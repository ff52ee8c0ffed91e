/* SPDX-License-Identifier: BSD-2-Clause */
#include "isa/transfer.h"

#include "isa/segment.h"

/* Stack words at SS:RSP + skip, all of one size; they lie within 40 bytes. */
static int pop_words(struct alc_vcpu *v, u64 skip, u64 *words, unsigned n, unsigned size)
{
	u64 mask = seg_stack_mask(v);
	u8 raw[40];
	unsigned i;

	if (v->ops->read(v, v->seg[X86_SS].base + ((v->gpr[X86_RSP] + skip) & mask), raw, n * size,
			 X86_READ))
		return X86_FAULT;
	for (i = 0; i < n; i++)
		words[i] = ld_size(raw + i * size, size);
	return X86_OK;
}

static void set_rsp(struct alc_vcpu *v, u64 rsp, u64 mask)
{
	v->gpr[X86_RSP] = mask == 0xffff ? (v->gpr[X86_RSP] & ~mask) | (rsp & mask) : rsp & mask;
}

static void set_cs(struct alc_vcpu *v, struct x86_seg cs, u64 rip, unsigned cpl)
{
	cs.sel = (u16)((cs.sel & ~3u) | cpl);
	v->seg[X86_CS] = cs;
	v->cpl = (u8)cpl;
	v->rip = rip;
	v->ops->mode_changed(v);
}

/* Is rip a valid target in cs? */
static int check_target(struct alc_vcpu *v, const struct x86_seg *cs, u64 rip)
{
	if (x86_long_mode(v) && (cs->attr & X86_SEG_L) ? !x86_canonical(rip) : rip > cs->limit)
		return x86_raise_error(v, X86_GP, 0);
	return X86_OK;
}

/* A code segment for a jump or call without change of privilege (SDM vol. 3A 5.8.1). */
static int read_code(struct alc_vcpu *v, u16 sel, struct x86_seg *cs)
{
	struct x86_desc d = {0};

	if (sel_null(sel))
		return x86_raise_error(v, X86_GP, 0);
	if (desc_read(v, sel, false, X86_GP, &d))
		return X86_FAULT;
	*cs = seg_of_desc(sel, d, false);
	if (!(cs->attr & X86_SEG_S)) {
		unsigned type = cs->attr & X86_SEG_TYPE;

		if (type == 12 ||
		    (!x86_long_mode(v) && (type == 4 || type == 5 || type == 1 || type == 9)))
			return x86_unsupported(
				v, "far transfer through a call gate, task gate or TSS");
		return x86_raise_error(v, X86_GP, sel & ~3u);
	}
	if (!seg_is_code(cs) ||
	    (x86_long_mode(v) && (cs->attr & X86_SEG_L) && (cs->attr & X86_SEG_DB)) ||
	    (seg_conforming(cs) ? seg_dpl(cs) > v->cpl
				: sel_rpl(sel) > v->cpl || seg_dpl(cs) != v->cpl))
		return x86_raise_error(v, X86_GP, sel & ~3u);
	if (!(cs->attr & X86_SEG_P))
		return x86_raise_error(v, X86_NP, sel & ~3u);
	return desc_set_accessed(v, sel, cs);
}

static int far_target(struct alc_vcpu *v, u16 sel, u64 *offset, unsigned opsize, struct x86_seg *cs)
{
	int r;

	*offset = zext(*offset, opsize);
	if (!x86_protected(v) || (v->rflags & X86_VM)) {
		*cs = v->seg[X86_CS];
		cs->sel = sel;
		cs->base = (u64)sel << 4;
		r = *offset > cs->limit ? x86_raise_error(v, X86_GP, 0) : X86_OK;
		return r;
	}
	r = read_code(v, sel, cs);
	return r ? r : check_target(v, cs, *offset);
}

/* Real mode keeps the selector whole: it has no RPL. */
static void far_enter(struct alc_vcpu *v, struct x86_seg cs, u64 rip)
{
	u16 sel = cs.sel;

	set_cs(v, cs, rip, v->cpl);
	if (!x86_protected(v))
		v->seg[X86_CS].sel = sel;
}

int x86_far_jump(struct alc_vcpu *v, u16 sel, u64 offset, unsigned opsize)
{
	struct x86_seg cs = {0};
	int r = far_target(v, sel, &offset, opsize, &cs);

	if (r)
		return r;
	far_enter(v, cs, offset);
	return X86_OK;
}

int x86_far_call(struct alc_vcpu *v, u16 sel, u64 offset, unsigned opsize, u64 next_rip)
{
	u64 mask = seg_stack_mask(v), rsp = v->gpr[X86_RSP] - 2 * opsize;
	struct x86_seg cs = {0};
	u8 frame[16];
	int r = far_target(v, sel, &offset, opsize, &cs);

	if (r)
		return r;
	st_size(frame, next_rip, opsize);
	st_size(frame + opsize, v->seg[X86_CS].sel, opsize);
	if (v->ops->write(v, v->seg[X86_SS].base + (rsp & mask), frame, 2 * opsize, X86_WRITE))
		return X86_FAULT;
	set_rsp(v, rsp, mask);
	far_enter(v, cs, offset);
	return X86_OK;
}

/* A code segment to return to: RPL is the privilege returned to (SDM vol. 2, RET and IRET). */
static int read_return_code(struct alc_vcpu *v, u16 sel, struct x86_seg *cs)
{
	struct x86_desc d = {0};

	if (sel_null(sel))
		return x86_raise_error(v, X86_GP, 0);
	if (desc_read(v, sel, false, X86_GP, &d))
		return X86_FAULT;
	*cs = seg_of_desc(sel, d, false);
	if (!seg_is_code(cs) || sel_rpl(sel) < v->cpl ||
	    (seg_conforming(cs) ? seg_dpl(cs) > sel_rpl(sel) : seg_dpl(cs) != sel_rpl(sel)) ||
	    (x86_long_mode(v) && (cs->attr & X86_SEG_L) && (cs->attr & X86_SEG_DB)))
		return x86_raise_error(v, X86_GP, sel & ~3u);
	if (!(cs->attr & X86_SEG_P))
		return x86_raise_error(v, X86_NP, sel & ~3u);
	return desc_set_accessed(v, sel, cs);
}

/* Data segments that the outer level may not use become null (SDM vol. 2, RET). */
static void drop_inner_segments(struct alc_vcpu *v)
{
	static const u8 which[] = {X86_ES, X86_DS, X86_FS, X86_GS};
	unsigned i;

	for (i = 0; i < ARRAY_LEN(which); i++) {
		struct x86_seg *s = &v->seg[which[i]];

		if ((s->attr & X86_SEG_P) && !seg_conforming(s) && seg_dpl(s) < v->cpl)
			*s = seg_null(0);
	}
}

/* The stack of an outer return: null is allowed below CPL 3 when returning to 64-bit code. */
static int return_stack(struct alc_vcpu *v, const struct x86_seg *cs, u16 sel, unsigned cpl,
			struct x86_seg *ss)
{
	if (sel_null(sel) && x86_long_mode(v) && (cs->attr & X86_SEG_L) && cpl != 3) {
		*ss = seg_null(sel);
		return X86_OK;
	}
	return seg_check_stack(v, sel, cpl, X86_GP, ss);
}

static u64 stack_mask_in(const struct x86_seg *cs, const struct x86_seg *ss, bool long_mode)
{
	if (long_mode && (cs->attr & X86_SEG_L))
		return ~0ull;
	return ss->attr & X86_SEG_DB ? 0xffffffffu : 0xffff;
}

/* The common end of RETF and IRET in protected and long mode. */
struct return_frame {
	u64 rip, rsp;
	u16 cs, ss;
	bool has_stack; /* rsp and ss were on the stack */
};

static int return_to(struct alc_vcpu *v, const struct return_frame *f, u64 inner_rsp)
{
	struct x86_seg cs = {0}, ss = v->seg[X86_SS];
	unsigned cpl = sel_rpl(f->cs);
	bool outer;
	int r = read_return_code(v, f->cs, &cs);

	if (r)
		return r;
	outer = cpl != v->cpl;
	if (f->has_stack)
		r = return_stack(v, &cs, f->ss, cpl, &ss);
	if (!r)
		r = check_target(v, &cs, f->rip);
	if (r)
		return r;
	v->seg[X86_SS] = ss;
	set_rsp(v, f->has_stack ? f->rsp : inner_rsp,
		f->has_stack ? stack_mask_in(&cs, &ss, x86_long_mode(v)) : seg_stack_mask(v));
	set_cs(v, cs, f->rip, cpl);
	if (outer) {
		drop_inner_segments(v);
		v->ops->mode_changed(v);
	}
	return X86_OK;
}

int x86_far_return(struct alc_vcpu *v, unsigned opsize, u16 release)
{
	u64 mask = seg_stack_mask(v), w[4] = {0};
	struct return_frame f;

	if (pop_words(v, 0, w, 2, opsize))
		return X86_FAULT;
	if (!x86_protected(v) || (v->rflags & X86_VM)) {
		struct x86_seg cs = {0};
		int r = far_target(v, (u16)w[1], &w[0], opsize, &cs);

		if (r)
			return r;
		set_rsp(v, v->gpr[X86_RSP] + 2 * opsize + release, mask);
		far_enter(v, cs, w[0]);
		return X86_OK;
	}
	f = (struct return_frame){.rip = w[0], .cs = (u16)w[1]};
	if (sel_rpl(f.cs) > v->cpl) {
		if (pop_words(v, 2 * opsize + release, w + 2, 2, opsize))
			return X86_FAULT;
		f.has_stack = true;
		f.rsp = w[2] + release;
		f.ss = (u16)w[3];
	}
	return return_to(v, &f, v->gpr[X86_RSP] + 2 * opsize + release);
}

/* RFLAGS bits that IRET may change at the CPL it runs at (SDM vol. 2, IRET). */
static u64 iret_flags_mask(const struct alc_vcpu *v, unsigned opsize)
{
	u64 mask = X86_ARITH | X86_TF | X86_DF | X86_NT;

	if (opsize > 2)
		mask |= X86_RF | X86_AC | X86_ID;
	if (v->cpl <= (v->rflags & X86_IOPL) >> 12)
		mask |= X86_IF;
	if (v->cpl == 0)
		mask |= X86_IOPL | (opsize > 2 ? X86_VIF | X86_VIP : 0);
	return mask;
}

static int iret_real(struct alc_vcpu *v, unsigned opsize)
{
	u64 w[3] = {0}, mask = seg_stack_mask(v);
	struct x86_seg cs = {0};
	u64 change = X86_ARITH | X86_TF | X86_IF | X86_DF | X86_IOPL | X86_NT;
	int r;

	if (pop_words(v, 0, w, 3, opsize))
		return X86_FAULT;
	r = far_target(v, (u16)w[1], &w[0], opsize, &cs);
	if (r)
		return r;
	if (opsize == 4)
		change |= X86_RF | X86_AC | X86_ID;
	set_rsp(v, v->gpr[X86_RSP] + 3 * opsize, mask);
	v->rflags = (v->rflags & ~change) | (w[2] & change) | X86_R1;
	far_enter(v, cs, w[0]);
	return X86_OK;
}

int x86_iret(struct alc_vcpu *v, unsigned opsize)
{
	u64 w[5] = {0}, mask;
	struct return_frame f;
	unsigned n = x86_code64(v) ? 5 : 3;
	int r;

	if (v->rflags & X86_VM)
		return x86_unsupported(v, "IRET in virtual-8086 mode");
	if (!x86_protected(v)) {
		r = iret_real(v, opsize);
		if (!r)
			v->nmi_blocked = false;
		return r;
	}
	if (v->rflags & X86_NT)
		return x86_long_mode(v) ? x86_raise_error(v, X86_GP, 0)
					: x86_unsupported(v, "IRET from a nested task");
	if (pop_words(v, 0, w, n, opsize))
		return X86_FAULT;
	if (opsize == 4 && !x86_long_mode(v) && v->cpl == 0 && (w[2] & X86_VM))
		return x86_unsupported(v, "IRET to virtual-8086 mode");
	f = (struct return_frame){.rip = w[0], .cs = (u16)w[1], .has_stack = n == 5};
	if (n == 3 && sel_rpl(f.cs) > v->cpl) {
		if (pop_words(v, 3 * opsize, w + 3, 2, opsize))
			return X86_FAULT;
		f.has_stack = true;
	}
	if (f.has_stack) {
		f.rsp = w[3];
		f.ss = (u16)w[4];
	}
	mask = iret_flags_mask(v, opsize);
	r = return_to(v, &f, v->gpr[X86_RSP] + 3 * opsize);
	if (r)
		return r;
	v->rflags = (v->rflags & ~mask) | (w[2] & mask) | X86_R1;
	v->nmi_blocked = false;
	return X86_OK;
}

int x86_syscall(struct alc_vcpu *v, u64 next_rip)
{
	u16 cs = (u16)(v->msr.star >> 32) & ~3u;

	if (!(v->efer & X86_EFER_SCE) || !x86_long_mode(v))
		return x86_raise(v, X86_UD);
	/* Intel's SYSCALL is #UD in compatibility mode; AMD's would go to CSTAR (APM vol. 3). */
	if (!x86_code64(v))
		return x86_raise(v, X86_UD);
	v->gpr[X86_RCX] = next_rip;
	v->gpr[X86_R11] = v->rflags & ~(u64)X86_RF;
	v->rflags = (v->rflags & ~v->msr.sfmask & ~(u64)X86_RF) | X86_R1;
	v->seg[X86_SS] = seg_flat_data((u16)(cs + 8), 0);
	set_cs(v, seg_flat_code(cs, 0, true), v->msr.lstar, 0);
	return X86_OK;
}

int x86_sysret(struct alc_vcpu *v, unsigned opsize)
{
	u16 base = (u16)(v->msr.star >> 48);
	u64 keep = X86_RF | X86_VM;

	if (!(v->efer & X86_EFER_SCE) || !x86_code64(v))
		return x86_raise(v, X86_UD);
	if (v->cpl != 0 || (opsize == 8 && !x86_canonical(v->gpr[X86_RCX])))
		return x86_raise_error(v, X86_GP, 0);
	v->rflags = (v->gpr[X86_R11] & 0x3c7fd7 & ~keep) | X86_R1;
	v->seg[X86_SS] = seg_flat_data((u16)((base + 8) | 3), 3);
	if (opsize == 8)
		set_cs(v, seg_flat_code((u16)((base + 16) | 3), 3, true), v->gpr[X86_RCX], 3);
	else
		set_cs(v, seg_flat_code((u16)(base | 3), 3, false), (u32)v->gpr[X86_RCX], 3);
	return X86_OK;
}

int x86_sysenter(struct alc_vcpu *v)
{
	u16 cs = (u16)v->msr.sysenter_cs & ~3u;
	bool long_mode = x86_long_mode(v);

	if (!x86_protected(v) || !(v->msr.sysenter_cs & 0xfffc))
		return x86_raise_error(v, X86_GP, 0);
	v->rflags &= ~(u64)(X86_VM | X86_IF);
	v->seg[X86_SS] = seg_flat_data((u16)(cs + 8), 0);
	v->gpr[X86_RSP] = long_mode ? v->msr.sysenter_esp : (u32)v->msr.sysenter_esp;
	set_cs(v, seg_flat_code(cs, 0, long_mode),
	       long_mode ? v->msr.sysenter_eip : (u32)v->msr.sysenter_eip, 0);
	return X86_OK;
}

int x86_sysexit(struct alc_vcpu *v, unsigned opsize)
{
	u16 base = (u16)v->msr.sysenter_cs & ~3u;
	bool to64 = opsize == 8;
	u16 cs = (u16)((base + (to64 ? 32 : 16)) | 3);
	u64 rip = v->gpr[X86_RDX], rsp = v->gpr[X86_RCX];

	if (!x86_protected(v) || v->cpl != 0 || !(v->msr.sysenter_cs & 0xfffc) ||
	    (to64 && (!x86_canonical(rip) || !x86_canonical(rsp))))
		return x86_raise_error(v, X86_GP, 0);
	v->seg[X86_SS] = seg_flat_data((u16)(cs + 8), 3);
	v->gpr[X86_RSP] = to64 ? rsp : (u32)rsp;
	set_cs(v, seg_flat_code(cs, 3, to64), to64 ? rip : (u32)rip, 3);
	return X86_OK;
}
