/* SPDX-License-Identifier: BSD-2-Clause */
#include "isa/segment.h"

/* System segment types (SDM vol. 3A table 3-2). */
enum {
	SYS_TSS16 = 1,
	SYS_LDT = 2,
	SYS_TSS16_BUSY = 3,
	SYS_CALL16 = 4,
	SYS_TASK = 5,
	SYS_TSS = 9,
	SYS_TSS_BUSY = 11,
	SYS_CALL = 12,
};

struct x86_seg seg_of_desc(u16 sel, struct x86_desc d, bool wide)
{
	struct x86_seg s = {.sel = sel};

	s.base = field_get(d.lo, 16, 24) | field_get(d.lo, 56, 8) << 24;
	if (wide)
		s.base |= field_get(d.hi, 0, 32) << 32;
	s.limit = (u32)(field_get(d.lo, 0, 16) | field_get(d.lo, 48, 4) << 16);
	s.attr = (u16)(field_get(d.lo, 40, 16) & ~0xf00u);
	if (s.attr & X86_SEG_G)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

struct x86_seg seg_null(u16 sel)
{
	return (struct x86_seg){.sel = sel, .attr = (u16)(sel_rpl(sel) << X86_SEG_DPL_SHIFT)};
}

struct x86_seg seg_flat_code(u16 sel, unsigned dpl, bool code64)
{
	return (struct x86_seg){.limit = 0xffffffff,
				.sel = sel,
				.attr = (u16)(X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_RW |
					      X86_SEG_ACCESSED | X86_SEG_G |
					      (code64 ? X86_SEG_L : X86_SEG_DB) |
					      dpl << X86_SEG_DPL_SHIFT)};
}

struct x86_seg seg_flat_data(u16 sel, unsigned dpl)
{
	return (struct x86_seg){.limit = 0xffffffff,
				.sel = sel,
				.attr = (u16)(X86_SEG_P | X86_SEG_S | X86_SEG_RW |
					      X86_SEG_ACCESSED | X86_SEG_G | X86_SEG_DB |
					      dpl << X86_SEG_DPL_SHIFT)};
}

/* Linear address of sel's descriptor; false if it lies beyond its table. */
static bool desc_address(const struct alc_vcpu *v, u16 sel, unsigned size, u64 *at)
{
	u64 base = v->gdtr.base, limit = v->gdtr.limit;
	u64 off = sel & ~7u;

	if (sel & 4) {
		if (!(v->ldtr.attr & X86_SEG_P))
			return false;
		base = v->ldtr.base;
		limit = v->ldtr.limit;
	}
	*at = base + off;
	return off + size - 1 <= limit;
}

int desc_read(struct alc_vcpu *v, u16 sel, bool wide, unsigned vector, struct x86_desc *out)
{
	struct x86_desc d = {0};
	u64 at;

	if (!desc_address(v, sel, wide ? 16 : 8, &at))
		return x86_raise_error(v, vector, sel & ~3u);
	if (v->ops->read(v, at, &d, wide ? 16 : 8, X86_READ | X86_IMPLICIT))
		return X86_FAULT;
	*out = d;
	return X86_OK;
}

int desc_set_accessed(struct alc_vcpu *v, u16 sel, struct x86_seg *s)
{
	u8 access;
	u64 at;

	if (s->attr & X86_SEG_ACCESSED || !desc_address(v, sel, 8, &at))
		return X86_OK;
	access = (u8)(s->attr | X86_SEG_ACCESSED);
	if (v->ops->write(v, at + 5, &access, 1, X86_WRITE | X86_IMPLICIT))
		return X86_FAULT;
	s->attr |= X86_SEG_ACCESSED;
	return X86_OK;
}

int seg_check_stack(struct alc_vcpu *v, u16 sel, unsigned cpl, unsigned vector, struct x86_seg *out)
{
	struct x86_desc d = {0};
	struct x86_seg s = {0};

	if (sel_null(sel))
		return x86_raise_error(v, vector, 0);
	if (desc_read(v, sel, false, vector, &d))
		return X86_FAULT;
	s = seg_of_desc(sel, d, false);
	if (sel_rpl(sel) != cpl || seg_dpl(&s) != cpl || seg_is_code(&s) ||
	    (s.attr & (X86_SEG_S | X86_SEG_RW)) != (X86_SEG_S | X86_SEG_RW))
		return x86_raise_error(v, vector, sel & ~3u);
	if (!(s.attr & X86_SEG_P))
		return x86_raise_error(v, X86_SSF, sel & ~3u);
	if (desc_set_accessed(v, sel, &s))
		return X86_FAULT;
	*out = s;
	return X86_OK;
}

static int check_data(struct alc_vcpu *v, u16 sel, struct x86_seg *out)
{
	struct x86_desc d = {0};
	struct x86_seg s = {0};

	if (desc_read(v, sel, false, X86_GP, &d))
		return X86_FAULT;
	s = seg_of_desc(sel, d, false);
	if (!(s.attr & X86_SEG_S) || (seg_is_code(&s) && !(s.attr & X86_SEG_RW)))
		return x86_raise_error(v, X86_GP, sel & ~3u);
	if (!seg_conforming(&s) && (sel_rpl(sel) > seg_dpl(&s) || v->cpl > seg_dpl(&s)))
		return x86_raise_error(v, X86_GP, sel & ~3u);
	if (!(s.attr & X86_SEG_P))
		return x86_raise_error(v, X86_NP, sel & ~3u);
	if (desc_set_accessed(v, sel, &s))
		return X86_FAULT;
	*out = s;
	return X86_OK;
}

static int load_protected(struct alc_vcpu *v, enum x86_segment which, u16 sel, struct x86_seg *out)
{
	if (which == X86_SS) {
		/* 64-bit mode below CPL 3 may hold a null SS. */
		if (sel_null(sel) && x86_code64(v) && v->cpl < 3 && sel_rpl(sel) == v->cpl) {
			*out = seg_null(sel);
			return X86_OK;
		}
		return seg_check_stack(v, sel, v->cpl, X86_GP, out);
	}
	if (sel_null(sel)) {
		/* Intel CPUs clear the base; software relies on neither. */
		*out = seg_null(sel);
		return X86_OK;
	}
	return check_data(v, sel, out);
}

int x86_load_segment(struct alc_vcpu *v, enum x86_segment which, u16 sel)
{
	struct x86_seg s = v->seg[which];
	int r = X86_OK;

	if (!x86_protected(v) || (v->rflags & X86_VM)) {
		/* Real mode keeps limit and rights: "unreal" mode is made of this. */
		s.sel = sel;
		s.base = (u64)sel << 4;
	} else {
		r = load_protected(v, which, sel, &s);
	}
	if (r)
		return r;
	v->seg[which] = s;
	v->ops->mode_changed(v);
	return X86_OK;
}

static int load_system(struct alc_vcpu *v, u16 sel, u16 type, bool allow_null, struct x86_seg *out)
{
	struct x86_desc d = {0};
	struct x86_seg s = {0};

	if (sel_null(sel)) {
		if (!allow_null)
			return x86_raise_error(v, X86_GP, 0);
		*out = seg_null(sel);
		return X86_OK;
	}
	if (sel & 4)
		return x86_raise_error(v, X86_GP, sel & ~3u);
	if (desc_read(v, sel, x86_long_mode(v), X86_GP, &d))
		return X86_FAULT;
	s = seg_of_desc(sel, d, x86_long_mode(v));
	/* A 16-bit TSS is as good for LTR outside long mode. */
	if ((s.attr & X86_SEG_S) ||
	    ((s.attr & X86_SEG_TYPE) != type &&
	     !(type == SYS_TSS && !x86_long_mode(v) && (s.attr & X86_SEG_TYPE) == SYS_TSS16)) ||
	    (x86_long_mode(v) && !x86_canonical(s.base)))
		return x86_raise_error(v, X86_GP, sel & ~3u);
	if (!(s.attr & X86_SEG_P))
		return x86_raise_error(v, X86_NP, sel & ~3u);
	*out = s;
	return X86_OK;
}

int x86_lldt(struct alc_vcpu *v, u16 sel)
{
	return load_system(v, sel, SYS_LDT, true, &v->ldtr);
}

int x86_ltr(struct alc_vcpu *v, u16 sel)
{
	struct x86_seg s = {0};
	u8 access;

	if (load_system(v, sel, SYS_TSS, false, &s))
		return X86_FAULT;
	s.attr |= 2; /* busy */
	access = (u8)s.attr;
	if (v->ops->write(v, v->gdtr.base + (sel & ~7u) + 5, &access, 1, X86_WRITE | X86_IMPLICIT))
		return X86_FAULT;
	v->tr = s;
	return X86_OK;
}

static bool probe_system(const struct alc_vcpu *v, enum x86_probe what, unsigned type)
{
	static const u16 lar = BIT(SYS_TSS16) | BIT(SYS_LDT) | BIT(SYS_TSS16_BUSY) |
			       BIT(SYS_CALL16) | BIT(SYS_TASK) | BIT(SYS_TSS) | BIT(SYS_TSS_BUSY) |
			       BIT(SYS_CALL);
	static const u16 lar64 = BIT(SYS_LDT) | BIT(SYS_TSS) | BIT(SYS_TSS_BUSY) | BIT(SYS_CALL);
	static const u16 gates = BIT(SYS_CALL16) | BIT(SYS_TASK) | BIT(SYS_CALL);
	u16 valid = x86_long_mode(v) ? lar64 : lar;

	if (what == X86_LSL)
		valid &= (u16)~gates;
	return (what == X86_LAR || what == X86_LSL) && (valid >> type & 1);
}

int x86_probe_segment(struct alc_vcpu *v, enum x86_probe what, u16 sel, bool *ok, u32 *value)
{
	struct x86_desc d = {0};
	struct x86_seg s = {0};
	u64 at;

	*ok = false;
	if (sel_null(sel) || !desc_address(v, sel, 8, &at))
		return X86_OK;
	if (desc_read(v, sel, false, X86_GP, &d))
		return X86_FAULT;
	s = seg_of_desc(sel, d, false);
	if (!(s.attr & X86_SEG_S) && !probe_system(v, what, s.attr & X86_SEG_TYPE))
		return X86_OK;
	if (!seg_conforming(&s) && (v->cpl > seg_dpl(&s) || sel_rpl(sel) > seg_dpl(&s)))
		return X86_OK;
	if (what == X86_VERR && seg_is_code(&s) && !(s.attr & X86_SEG_RW))
		return X86_OK;
	if (what == X86_VERW && (seg_is_code(&s) || !(s.attr & X86_SEG_RW)))
		return X86_OK;
	*ok = true;
	*value = what == X86_LSL ? s.limit : (u32)(d.lo >> 32) & 0x00f0ff00;
	return X86_OK;
}
