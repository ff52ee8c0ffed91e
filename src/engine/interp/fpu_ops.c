/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that manage floating-point state rather than compute: x87 control, and the
 * FXSAVE and XSAVE areas (SDM vol. 1 8.3.9, 10.5, 13). Images are made and read by isa/fpu.h.
 *
 * An image is written after both of its ends, which lie in at most two pages, are known to be
 * writable; one that is restored is read whole before any register changes.
 */
#include "engine/interp/simd.h"

enum { PIECE = 64, X87_REGS_SIZE = 80, FSAVE_MAX = 28 + X87_REGS_SIZE };

/* ---- Areas in guest memory ---- */

/* Both ends before anything between: an end past the first page is what CR2 tells of. */
static int area_usable(struct alc_vcpu *v, u64 gva, unsigned size, unsigned access)
{
	u8 byte;

	return v->ops->read(v, gva, &byte, 1, access) ||
	       v->ops->read(v, gva + size - 1, &byte, 1, access);
}

static int area_read(struct alc_vcpu *v, const struct op *op, struct interp *c, u64 gva, void *to,
		     unsigned size)
{
	if (area_usable(v, gva, size, X86_READ))
		return 1;
	for (unsigned i = 0; i < size; i += PIECE)
		if (mem_read_slow(v, c, op, gva + i, (u8 *)to + i,
				  (unsigned)min_u64(PIECE, size - i)))
			return 1;
	return 0;
}

static int area_write(struct alc_vcpu *v, const struct op *op, struct interp *c, u64 gva,
		      const void *from, unsigned size)
{
	if (area_usable(v, gva, size, X86_RMW))
		return 1;
	for (unsigned i = 0; i < size; i += PIECE)
		if (mem_write_slow(v, c, op, gva + i, (const u8 *)from + i,
				   (unsigned)min_u64(PIECE, size - i)))
			return 1;
	return 0;
}

/*
 * As operand(). Where misalignment is #GP anyway, the processor reports #AC first if it is asked
 * to check; where it isn't, words of ac_mask + 1 bytes count (SDM vol. 3A 6.15, table 6-7).
 */
static int area_operand(struct alc_vcpu *v, const struct op *op, struct interp *c, u64 *gva,
			unsigned size, unsigned gp_mask, unsigned ac_mask, unsigned access)
{
	if (operand(v, op, gva, size, 0, access))
		return 1;
	if (x86_long_mode(v) && !(x86_canonical(*gva) && x86_canonical(*gva + size - 1)))
		return x86_raise_error(v, op->shift & SHIFT_STACK ? X86_SSF : X86_GP, 0);
	if (c->align_check && (*gva & (gp_mask | ac_mask)))
		return x86_raise_error(v, X86_AC_, 0);
	return *gva & gp_mask ? x86_raise_error(v, X86_GP, 0) : 0;
}

/* Handlers are a function that may fail and what all have in common. */
typedef int body_fn(struct alc_vcpu *v, const struct op *op, struct interp *c);

static inline void run_body(struct alc_vcpu *v, const struct op *op, struct interp *c,
			    body_fn *body)
{
	if (unlikely(body(v, op, c))) {
		op_fault(v, op, c);
		return;
	}
	NEXT;
}

#define DEFINE_OP(name)                                                                  \
	static void op_##name(struct alc_vcpu *v, const struct op *op, struct interp *c) \
	{                                                                                \
		run_body(v, op, c, name);                                                \
	}

#define DEFINE_WAITING_OP(name)                                                          \
	static void op_##name(struct alc_vcpu *v, const struct op *op, struct interp *c) \
	{                                                                                \
		X87_CHECK(v, op, c);                                                     \
		run_body(v, op, c, name);                                                \
	}

/* ---- x87 control words ---- */

static int fldcw(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	u64 gva;
	u16 x;

	if (operand(v, op, &gva, 2, 0, X86_READ) || mem_read16(v, c, op, gva, &x))
		return 1;
	v->fpu.fcw = (x & FCW_DEFINED) | FCW_ONE;
	x87_summarize(&v->fpu);
	return 0;
}

static int fnstcw(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	u64 gva;

	return operand(v, op, &gva, 2, 0, X86_WRITE) || mem_write16(v, c, op, gva, v->fpu.fcw);
}

static int fnstsw(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	u64 gva;

	return operand(v, op, &gva, 2, 0, X86_WRITE) || mem_write16(v, c, op, gva, v->fpu.fsw);
}

static int fnstsw_ax(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	v->gpr[X86_RAX] = (v->gpr[X86_RAX] & ~0xffffull) | v->fpu.fsw;
	return 0;
}

static int fninit(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	fpu_fninit(&v->fpu);
	return 0;
}

static int fnclex(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	enum { FSW_SF = 0x40 };

	v->fpu.fsw &= (u16) ~(EXC_ALL | FSW_SF | FSW_ES | FSW_B);
	return 0;
}

static int nothing(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	return 0;
}

DEFINE_WAITING_OP(fldcw)
DEFINE_OP(fnstcw)
DEFINE_OP(fnstsw)
DEFINE_OP(fnstsw_ax)
DEFINE_OP(fninit)
DEFINE_OP(fnclex)
DEFINE_OP(nothing)

/* TS alone doesn't matter to WAIT, EM not at all (SDM vol. 2 WAIT). */
static void op_fwait(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	if ((v->cr0 & X86_CR0_MP) && (v->cr0 & X86_CR0_TS)) {
		op_nm(v, op, c);
		return;
	}
	X87_CHECK(v, op, c);
	NEXT;
}

/* ---- x87 environments: op->a is the operand size, op->b whether in protected mode ---- */

static int fldenv(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	unsigned size = fpu_env_size(op->a);
	u8 area[FSAVE_MAX];
	u64 gva;

	if (area_operand(v, op, c, &gva, size, 0, op->a - 1u, X86_READ) ||
	    area_read(v, op, c, gva, area, size))
		return 1;
	fpu_load_env(&v->fpu, area, op->a, op->b);
	return 0;
}

static int fnstenv(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	unsigned size = fpu_env_size(op->a);
	u8 area[FSAVE_MAX];
	u64 gva;

	fpu_store_env(&v->fpu, area, op->a, op->b);
	if (area_operand(v, op, c, &gva, size, 0, op->a - 1u, X86_WRITE) ||
	    area_write(v, op, c, gva, area, size))
		return 1;
	v->fpu.fcw |= EXC_ALL;
	x87_summarize(&v->fpu);
	return 0;
}

static int frstor(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	unsigned size = fpu_env_size(op->a);
	u8 area[FSAVE_MAX];
	u64 gva;

	if (area_operand(v, op, c, &gva, size + X87_REGS_SIZE, 0, op->a - 1u, X86_READ) ||
	    area_read(v, op, c, gva, area, size + X87_REGS_SIZE))
		return 1;
	fpu_load_env(&v->fpu, area, op->a, op->b);
	for (unsigned i = 0; i < 8; i++)
		__builtin_memcpy(v->fpu.st[i], area + size + 10 * i, 10);
	return 0;
}

static int fnsave(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	unsigned size = fpu_env_size(op->a);
	u8 area[FSAVE_MAX];
	u64 gva;

	fpu_store_env(&v->fpu, area, op->a, op->b);
	for (unsigned i = 0; i < 8; i++)
		__builtin_memcpy(area + size + 10 * i, v->fpu.st[i], 10);
	if (area_operand(v, op, c, &gva, size + X87_REGS_SIZE, 0, op->a - 1u, X86_WRITE) ||
	    area_write(v, op, c, gva, area, size + X87_REGS_SIZE))
		return 1;
	fpu_fninit(&v->fpu);
	return 0;
}

DEFINE_WAITING_OP(fldenv)
DEFINE_OP(fnstenv)
DEFINE_WAITING_OP(frstor)
DEFINE_OP(fnsave)

/* ---- FXSAVE, XSAVE: op->a is REX.W, op->b 64-bit mode ---- */

/* Outside 64-bit mode XMM8-15 and all that is wider or higher are neither saved nor restored. */
enum {
	FX_XMM = 160,
	FX_XMM8 = FX_XMM + 8 * 16,
	FX_XMM_END = FX_XMM + 16 * 16, /* what lies beyond in the 512 bytes is software's */
	XS_HEADER = 512,
	XS_BV = XS_HEADER,
	XS_COMP_BV = XS_HEADER + 8,
	XS_HEADER_END = XS_HEADER + 64,
};
#define XCOMP_COMPACTED BIT(63)

static int fxsave(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	u8 *area = c->simd->area;
	u64 gva;

	if (area_operand(v, op, c, &gva, X86_FXSAVE_SIZE, 15, 0, X86_WRITE) ||
	    area_usable(v, gva, X86_FXSAVE_SIZE, X86_RMW))
		return 1;
	__builtin_memset(area, 0, X86_FXSAVE_SIZE);
	fpu_fxsave(&v->fpu, area, op->a);
	return area_write(v, op, c, gva, area, op->b ? FX_XMM_END : FX_XMM8);
}

static void keep_high_registers(struct x86_fpu *f, const struct x86_fpu *old)
{
	__builtin_memcpy(f->vec[8], old->vec[8], 24 * sizeof(f->vec[0]));
}

static int fxrstor(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	struct x86_fpu new = v->fpu;
	u8 *area = c->simd->area;
	u64 gva;

	if (area_operand(v, op, c, &gva, X86_FXSAVE_SIZE, 15, 0, X86_READ) ||
	    area_read(v, op, c, gva, area, X86_FXSAVE_SIZE))
		return 1;
	if (fpu_fxrstor(&new, area, op->a))
		return x86_raise_error(v, X86_GP, 0);
	if (!op->b)
		keep_high_registers(&new, &v->fpu);
	v->fpu = new;
	return 0;
}

DEFINE_OP(fxsave)
DEFINE_OP(fxrstor)

static u64 requested(const struct alc_vcpu *v)
{
	return ((v->gpr[X86_RDX] << 32) | (u32)v->gpr[X86_RAX]) & v->xcr0;
}

/* 0, or the exception that the instruction raises before it looks at memory. */
static int xsave_unavailable(struct alc_vcpu *v)
{
	if (!(v->cr4 & X86_CR4_OSXSAVE))
		return x86_raise(v, X86_UD);
	return v->cr0 & X86_CR0_TS ? x86_raise(v, X86_NM) : 0;
}

/* What of an area is registers that 32-bit code doesn't have. */
static void keep_high_images(u8 *area, const u8 *old, u64 rfbm, bool compacted)
{
	/* From each component: YMM8-15, ZMM8-15, ZMM16-31. */
	static const struct {
		u8 component;
		u16 from, length;
	} parts[] = {{2, 128, 128}, {6, 256, 256}, {7, 0, 1024}};

	__builtin_memcpy(area + FX_XMM8, old + FX_XMM8, FX_XMM_END - FX_XMM8);
	for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
		u32 at = fpu_xsave_offset(parts[i].component, rfbm, compacted) + parts[i].from;

		if (rfbm >> parts[i].component & 1)
			__builtin_memcpy(area + at, old + at, parts[i].length);
	}
}

static int xsave(struct alc_vcpu *v, const struct op *op, struct interp *c,
		 enum x86_xsave_form form)
{
	u8 *area = c->simd->area, *old = c->simd->old_area;
	u64 gva, rfbm = requested(v);
	bool compacted = form == X86_XSAVEC;
	u32 size = fpu_xsave_end(rfbm, rfbm, compacted);

	if (xsave_unavailable(v) || area_operand(v, op, c, &gva, size, 63, 0, X86_WRITE) ||
	    area_usable(v, gva, size, X86_RMW) || area_read(v, op, c, gva, area, size))
		return 1;
	__builtin_memcpy(old, area, size);
	fpu_xsave(&v->fpu, area, rfbm, form, op->a);
	if (!op->b)
		keep_high_images(area, old, rfbm, compacted);
	return area_write(v, op, c, gva, area, FX_XMM_END) ||
	       area_write(v, op, c, gva + XS_HEADER, area + XS_HEADER, size - XS_HEADER);
}

static int xsave_plain(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	return xsave(v, op, c, X86_XSAVE);
}

static int xsaveopt(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	return xsave(v, op, c, X86_XSAVEOPT);
}

static int xsavec(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	return xsave(v, op, c, X86_XSAVEC);
}

static int xrstor(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	struct x86_fpu new = v->fpu;
	u8 *area = c->simd->area;
	u64 gva, rfbm = requested(v), layout;
	u32 end = fpu_xsave_end(rfbm, rfbm, false);

	if (xsave_unavailable(v) || area_operand(v, op, c, &gva, end, 63, 0, X86_READ) ||
	    area_read(v, op, c, gva, area, XS_HEADER_END))
		return 1;
	layout = ld64(area + XS_COMP_BV);
	end = fpu_xsave_end(ld64(area + XS_BV) & rfbm, layout, layout & XCOMP_COMPACTED);
	if (end > XS_HEADER_END &&
	    area_read(v, op, c, gva + XS_HEADER_END, area + XS_HEADER_END, end - XS_HEADER_END))
		return 1;
	if (fpu_xrstor(&new, area, rfbm, v->xcr0, op->a))
		return x86_raise_error(v, X86_GP, 0);
	if (!op->b)
		keep_high_registers(&new, &v->fpu);
	v->fpu = new;
	return 0;
}

DEFINE_OP(xsave_plain)
DEFINE_OP(xsaveopt)
DEFINE_OP(xsavec)
DEFINE_OP(xrstor)

/* ---- Generation ---- */

enum x87_op {
	X87_FLDCW,
	X87_FNSTCW,
	X87_FNSTSW,
	X87_FNINIT,
	X87_FNCLEX,
	X87_NOTHING,
	X87_FLDENV,
	X87_FNSTENV,
	X87_FRSTOR,
	X87_FNSAVE,
};

static bool has_fpu(struct dec *d)
{
	if (cpuid_has(d->v->cpuid, X86_FEAT_FPU))
		return simd_available(d, KIND_X87);
	d->op->fn = op_ud;
	d->end = true;
	return false;
}

static bool gen_x87(struct dec *d, unsigned which)
{
	static op_fn *const fn[] = {
		[X87_FLDCW] = op_fldcw,   [X87_FNSTCW] = op_fnstcw,   [X87_FNSTSW] = op_fnstsw,
		[X87_FNINIT] = op_fninit, [X87_FNCLEX] = op_fnclex,   [X87_NOTHING] = op_nothing,
		[X87_FLDENV] = op_fldenv, [X87_FNSTENV] = op_fnstenv, [X87_FRSTOR] = op_frstor,
		[X87_FNSAVE] = op_fnsave,
	};

	if (!has_fpu(d))
		return true;
	d->op->fn = fn[which];
	if (which == X87_FNSTSW && d->o[0].type == ZYDIS_OPERAND_TYPE_REGISTER)
		d->op->fn = op_fnstsw_ax;
	d->op->a = d->z.operand_width == 16 ? 2 : 4;
	d->op->b = !(d->mode & MODE_REAL) && !(d->v->rflags & X86_VM);
	return true;
}

static bool gen_fwait(struct dec *d, unsigned arg)
{
	d->op->fn = op_fwait;
	return true;
}

static void set_area_op(struct dec *d, op_fn *fn)
{
	d->op->fn = fn;
	d->op->a = (d->z.attributes & ZYDIS_ATTRIB_HAS_REX) && d->z.raw.rex.W;
	d->op->b = (d->mode & MODE_SIZE) == MODE_64;
}

/* #NM for EM, too, not #UD (SDM vol. 2 FXSAVE). */
static bool gen_fx(struct dec *d, unsigned restore)
{
	if (!cpuid_has(d->v->cpuid, X86_FEAT_FXSR)) {
		d->op->fn = op_ud;
		d->end = true;
	} else if (simd_available(d, KIND_X87)) {
		set_area_op(d, restore ? op_fxrstor : op_fxsave);
	}
	return true;
}

enum xs_op { XS_SAVE, XS_SAVEOPT, XS_SAVEC, XS_RSTOR };

static bool gen_xs(struct dec *d, unsigned which)
{
	static const struct {
		op_fn *fn;
		enum x86_feature feature;
	} ops[] = {
		[XS_SAVE] = {op_xsave_plain, X86_FEAT_XSAVE},
		[XS_SAVEOPT] = {op_xsaveopt, X86_FEAT_XSAVEOPT},
		[XS_SAVEC] = {op_xsavec, X86_FEAT_XSAVEC},
		[XS_RSTOR] = {op_xrstor, X86_FEAT_XSAVE},
	};

	if (cpuid_has(d->v->cpuid, ops[which].feature)) {
		set_area_op(d, ops[which].fn);
	} else {
		d->op->fn = op_ud;
		d->end = true;
	}
	return true;
}

const struct insn_row fpu_rows[] = {
	{ZYDIS_MNEMONIC_FLDCW, gen_x87, X87_FLDCW},
	{ZYDIS_MNEMONIC_FNSTCW, gen_x87, X87_FNSTCW},
	{ZYDIS_MNEMONIC_FNSTSW, gen_x87, X87_FNSTSW},
	{ZYDIS_MNEMONIC_FNINIT, gen_x87, X87_FNINIT},
	{ZYDIS_MNEMONIC_FNCLEX, gen_x87, X87_FNCLEX},
	{ZYDIS_MNEMONIC_FDISI8087_NOP, gen_x87, X87_NOTHING},
	{ZYDIS_MNEMONIC_FENI8087_NOP, gen_x87, X87_NOTHING},
	{ZYDIS_MNEMONIC_FSETPM287_NOP, gen_x87, X87_NOTHING},
	{ZYDIS_MNEMONIC_FLDENV, gen_x87, X87_FLDENV},
	{ZYDIS_MNEMONIC_FNSTENV, gen_x87, X87_FNSTENV},
	{ZYDIS_MNEMONIC_FRSTOR, gen_x87, X87_FRSTOR},
	{ZYDIS_MNEMONIC_FNSAVE, gen_x87, X87_FNSAVE},
	{ZYDIS_MNEMONIC_FWAIT, gen_fwait, 0},
	{ZYDIS_MNEMONIC_FXSAVE, gen_fx, 0},
	{ZYDIS_MNEMONIC_FXSAVE64, gen_fx, 0},
	{ZYDIS_MNEMONIC_FXRSTOR, gen_fx, 1},
	{ZYDIS_MNEMONIC_FXRSTOR64, gen_fx, 1},
	{ZYDIS_MNEMONIC_XSAVE, gen_xs, XS_SAVE},
	{ZYDIS_MNEMONIC_XSAVE64, gen_xs, XS_SAVE},
	{ZYDIS_MNEMONIC_XSAVEOPT, gen_xs, XS_SAVEOPT},
	{ZYDIS_MNEMONIC_XSAVEOPT64, gen_xs, XS_SAVEOPT},
	{ZYDIS_MNEMONIC_XSAVEC, gen_xs, XS_SAVEC},
	{ZYDIS_MNEMONIC_XSAVEC64, gen_xs, XS_SAVEC},
	{ZYDIS_MNEMONIC_XRSTOR, gen_xs, XS_RSTOR},
	{ZYDIS_MNEMONIC_XRSTOR64, gen_xs, XS_RSTOR},
	{0},
};
