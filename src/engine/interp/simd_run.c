/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handlers that run thunks: memory operand, exceptions, flags.
 *
 * SIMD exceptions (SDM vol. 1 11.5). The thunk runs with all of them masked and the flags clear;
 * the flags it raises are what the processor found. If one that the guest has unmasked is among
 * them, the destination is put back and #XM raised. Two refinements:
 *   - invalid, denormal and divide-by-zero are found before the operation, so if one of them is
 *     unmasked, what was found after it (overflow, underflow, precision) did not happen;
 *   - unmasked underflow means "tiny", masked underflow "tiny and inexact": a run with flush to
 *     zero, which reports any tiny result, tells. Flush to zero has no effect on a result whose
 *     underflow is unmasked, but on one of VREDUCE, which knows no underflow (SDM vol. 2): that
 *     is inexact then. VCVTPS2PH takes no notice of it at all: its results are looked at.
 * One thing stays unseen: with unmasked overflow or underflow the precision flag tells whether the
 * significand was rounded, where we report it also for a result that only left the range.
 *
 * x87 exceptions are raised by the next waiting instruction: X87_CHECK, before anything else.
 * A store that finds one unmasked leaves memory alone.
 */
#include "engine/interp/simd.h"

static const struct simd_insn *insn_of(const struct op *op)
{
	return (const struct simd_insn *)(uintptr_t)op->imm;
}

/* ---- Flags ---- */

/* As LAHF and SETO leave them in AX, SAHF and ADD AL, 127 take them. */
static u32 thunk_flags(const struct interp *c)
{
	u64 f = flags_get(c);

	return (u32)(f & 0xff) << 8 | (f & X86_OF ? 1 : 0);
}

static void put_flags(struct interp *c, u32 ax)
{
	enum { LOW = X86_ARITH & 0xff };

	flags_put(c, (ax >> 8 & LOW) | (ax & 1 ? X86_OF : 0));
}

/* ---- x87 state ---- */

enum { FX_FCW = 0, FX_FSW = 2, FX_FTW = 4, FX_FOP = 6, FX_MXCSR = 24, FX_ST = 32 };

/* No pointers: the host must not see the guest's, nor the guest the host's. */
static void image_load(const struct x86_fpu *f, u8 *fx)
{
	st16(fx + FX_FCW, f->fcw);
	st16(fx + FX_FSW, f->fsw);
	st16(fx + FX_FTW, f->ftw);
	st16(fx + FX_FOP, 0);
	st64(fx + 8, 0);
	st64(fx + 16, 0);
	st32(fx + FX_MXCSR, f->mxcsr | MXCSR_MASKS);
	__builtin_memcpy(fx + FX_ST, f->st, sizeof(f->st));
}

static void image_store(struct x86_fpu *f, const u8 *fx)
{
	f->fcw = ld16(fx + FX_FCW);
	f->fsw = ld16(fx + FX_FSW);
	f->ftw = fx[FX_FTW];
	__builtin_memcpy(f->st, fx + FX_ST, sizeof(f->st));
}

static void set_pointers(struct alc_vcpu *v, const struct op *op, const struct simd_insn *in)
{
	bool mode64 = x86_code64(v);
	u64 rip = op_rip(v, op);

	v->fpu.fip = mode64 ? rip : (u32)rip;
	/* The opcode is kept for unmasked exceptions only (SDM vol. 1 8.1.9.1). */
	if (x87_pending(&v->fpu))
		v->fpu.fop = in->fop;
	if (in->flags & (SIMD_READS | SIMD_WRITES)) {
		u64 ea = ea_cut(op, op_ea(v, op));

		v->fpu.fdp = mode64 ? ea : (u32)ea;
	}
}

/* TOP becomes 0, and the registers stay where they are. */
static void clear_top(struct x86_fpu *f)
{
	unsigned top = fpu_top(f);
	u8 old[8][16];

	__builtin_memcpy(old, f->st, sizeof(old));
	for (unsigned i = 0; i < 8; i++)
		__builtin_memcpy(f->st[i], old[(i - top) & 7], sizeof(old[0]));
	f->fsw &= (u16)~FSW_TOP;
}

void mmx_enter(struct x86_fpu *f)
{
	clear_top(f);
	f->ftw = 0xff;
}

void op_mf(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	/* Without CR0.NE the exception is an interrupt by way of FERR#, which this PC lacks. */
	if (!(v->cr0 & X86_CR0_NE)) {
		op_unsupported(v, op, c);
		return;
	}
	x86_raise(v, X86_MF);
	op_fault(v, op, c);
}

/* ---- Execution ---- */

/* Under v->fpu.mxcsr as it is, with its masks set. */
static u32 run_once(struct alc_vcpu *v, struct interp *c, const struct simd_insn *in, void *mem)
{
	u8 *fx = c->simd->fx;
	u32 flags = in->flags & SIMD_FLAGS_IN ? thunk_flags(c) : 0;

	if (!(in->flags & SIMD_X87))
		return in->run(v, mem, NULL, flags);
	image_load(&v->fpu, fx);
	flags = in->run(v, mem, fx, flags);
	if (in->flags & SIMD_MXCSR)
		v->fpu.mxcsr = ld32(fx + FX_MXCSR);
	return flags;
}

struct saved {
	u64 vec[8], gpr, k;
};

static void save_dst(const struct alc_vcpu *v, const struct simd_insn *in, struct saved *s)
{
	if (in->dst_vec != SIMD_NONE)
		__builtin_memcpy(s->vec, v->fpu.vec[in->dst_vec], sizeof(s->vec));
	if (in->dst_gpr != SIMD_NONE)
		s->gpr = v->gpr[in->dst_gpr];
	if (in->dst_k != SIMD_NONE)
		s->k = v->fpu.k[in->dst_k];
}

static void restore_dst(struct alc_vcpu *v, const struct simd_insn *in, const struct saved *s)
{
	if (in->dst_vec != SIMD_NONE)
		__builtin_memcpy(v->fpu.vec[in->dst_vec], s->vec, sizeof(s->vec));
	if (in->dst_gpr != SIMD_NONE)
		v->gpr[in->dst_gpr] = s->gpr;
	if (in->dst_k != SIMD_NONE)
		v->fpu.k[in->dst_k] = s->k;
}

/* Exceptions found when run with all masked and the given control bits added. */
static u32 probe(struct alc_vcpu *v, struct interp *c, const struct simd_insn *in, void *mem,
		 u32 mxcsr, u32 *flags)
{
	v->fpu.mxcsr = (mxcsr | MXCSR_MASKS) & ~(u32)EXC_ALL;
	*flags = run_once(v, c, in, mem);
	return v->fpu.mxcsr & EXC_ALL;
}

/* Has it made a half-precision number that is tiny? One that was rounded to zero is inexact. */
static bool made_tiny_half(const struct alc_vcpu *v, const struct simd_insn *in, const void *mem)
{
	const u8 *result = mem ? mem : (const u8 *)v->fpu.vec[in->dst_vec];
	u64 bits = in->mask ? v->fpu.k[in->mask] : ~0ull;

	for (unsigned i = 0; i < in->elems; i++) {
		unsigned half = ld16(result + i * 2);

		if (bits >> i & 1 && !(half & 0x7c00) && half & 0x3ff)
			return true;
	}
	return false;
}

/* Some exception is unmasked. Nonzero: it was found, v->fault is set. */
static int run_unmasked(struct alc_vcpu *v, struct interp *c, const struct simd_insn *in, void *mem,
			u32 *flags)
{
	u32 mxcsr = v->fpu.mxcsr;
	u32 unmasked = ~(mxcsr >> MXCSR_MASK_SHIFT) & EXC_ALL;
	u32 found, tiny = 0;
	struct saved saved;

	save_dst(v, in, &saved);
	if (unmasked & EXC_UE) {
		tiny = probe(v, c, in, mem, mxcsr | MXCSR_FZ, flags) & EXC_UE;
		if (in->flags & SIMD_HALVES && made_tiny_half(v, in, mem))
			tiny = EXC_UE;
		restore_dst(v, in, &saved);
		if (tiny)
			mxcsr &= ~(u32)MXCSR_FZ;
	}
	found = probe(v, c, in, mem, mxcsr, flags) | tiny;
	/* A later step's operands may be the first's result: what came before it stays. */
	if ((found & unmasked & EXC_PRE) && !(in->flags & SIMD_STEPS))
		found &= EXC_PRE;
	v->fpu.mxcsr = mxcsr | found;
	if (!(found & unmasked))
		return 0;
	restore_dst(v, in, &saved);
	if (in->flags & SIMD_X87) /* the transition to MMX comes first */
		mmx_enter(&v->fpu);
	return x86_raise(v, v->cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD);
}

/* Nonzero: v->fault is set and nothing but MXCSR's flags has changed. */
static int run_insn(struct alc_vcpu *v, struct interp *c, const struct simd_insn *in, void *mem,
		    u32 *flags)
{
	if (in->flags & SIMD_QUIET) {
		u32 mxcsr = v->fpu.mxcsr;

		v->fpu.mxcsr |= MXCSR_MASKS;
		*flags = run_once(v, c, in, mem);
		v->fpu.mxcsr = mxcsr;
		return 0;
	}
	if ((in->flags & SIMD_MXCSR) && unlikely(~v->fpu.mxcsr & MXCSR_MASKS)) {
		u32 fz = v->fpu.mxcsr & MXCSR_FZ;
		int r = run_unmasked(v, c, in, mem, flags);

		v->fpu.mxcsr |= fz;
		return r;
	}
	*flags = run_once(v, c, in, mem);
	return 0;
}

/* What a successful instruction leaves besides registers. */
static void finish(struct alc_vcpu *v, const struct op *op, struct interp *c,
		   const struct simd_insn *in, u32 flags)
{
	if (in->flags & SIMD_X87)
		image_store(&v->fpu, c->simd->fx);
	if (in->flags & SIMD_POINTERS)
		set_pointers(v, op, in);
	if (in->flags & SIMD_FLAGS)
		put_flags(c, flags);
}

/* ---- Handlers ---- */

/* Ten bytes are aligned like eight; mem_read_slow() knows powers of two (SDM vol. 3A 6.15). */
static int check_m80(struct alc_vcpu *v, const struct interp *c, const struct simd_insn *in,
		     u64 gva)
{
	if (likely(!c->align_check) || in->mem_size != 10 || !(gva & 7) || !x86_canonical(gva))
		return 0;
	return x86_raise_error(v, X86_AC_, 0);
}

/* ---- Masked operands (SDM vol. 2 2.8) ----
 *
 * If all of the operand can be read, the instruction itself takes what its mask names. Otherwise
 * the elements that it names are read one by one, and what is wrong with others doesn't matter.
 */

/* Elements of the memory operand that take part, a bit each. */
static u64 named(const struct alc_vcpu *v, const struct simd_insn *in)
{
	u64 bits = v->fpu.k[in->mask] & mask_low(in->elems), first = 0;
	unsigned n = in->mem_size / in->elem_size;

	if (in->elements == ELEMENTS_PACKED)
		return mask_low((unsigned)__builtin_popcountll(bits));
	if (in->elements != ELEMENTS_REPEAT)
		return bits;
	for (; bits; bits >>= n)
		first |= bits & mask_low(n);
	return first;
}

/* It is no matter if nothing is accessed. */
static unsigned masked_alignment(const struct alc_vcpu *v, const struct simd_insn *in)
{
	return named(v, in) ? in->align_mask : 0;
}

static int element_at(struct alc_vcpu *v, const struct op *op, const struct interp *c,
		      const struct simd_insn *in, unsigned i, unsigned access, u64 *gva)
{
	return part_address(v, op, c, i * in->elem_size, in->elem_size, access, gva);
}

/* Named elements into the bounce buffer; nonzero: v->fault is set. */
static int read_elements(struct alc_vcpu *v, const struct op *op, struct interp *c,
			 const struct simd_insn *in)
{
	u64 bits, gva;

	__builtin_memset(c->bounce, 0, sizeof(c->bounce));
	for (bits = named(v, in); bits; bits &= bits - 1) {
		unsigned i = (unsigned)__builtin_ctzll(bits);

		if (element_at(v, op, c, in, i, X86_READ, &gva) ||
		    mem_read_slow(v, c, op, gva, c->bounce + i * in->elem_size, in->elem_size))
			return 1;
	}
	return 0;
}

/* All that will be written must be writable before the first is. */
static int write_elements(struct alc_vcpu *v, const struct op *op, struct interp *c,
			  const struct simd_insn *in, const u8 *from)
{
	u64 bits, gva, x;

	for (bits = named(v, in); bits; bits &= bits - 1)
		if (element_at(v, op, c, in, (unsigned)__builtin_ctzll(bits), X86_WRITE, &gva) ||
		    v->ops->read(v, gva, &x, in->elem_size, X86_RMW))
			return 1;
	for (bits = named(v, in); bits; bits &= bits - 1) {
		unsigned i = (unsigned)__builtin_ctzll(bits);

		if (element_at(v, op, c, in, i, X86_WRITE, &gva) ||
		    mem_write_slow(v, c, op, gva, from + i * in->elem_size, in->elem_size))
			return 1;
	}
	return 0;
}

static void *fetch_elements(struct alc_vcpu *v, const struct op *op, struct interp *c,
			    const struct simd_insn *in)
{
	bool usable, checked = c->align_check;
	u64 gva;
	u8 *p;
	int r;

	usable = !operand(v, op, &gva, in->mem_size, masked_alignment(v, in), X86_READ);
	p = usable ? mem_rptr(c, gva, in->mem_size) : NULL;
	if (likely(p))
		return p;
	if (!usable && in->align_mask)
		return NULL;
	if (usable && !mem_read_slow(v, c, op, gva, c->bounce, in->mem_size))
		return c->bounce;
	/* The operand is checked as a whole. */
	if (v->fault.vector == X86_AC_ && named(v, in))
		return NULL;
	c->align_check = false;
	r = read_elements(v, op, c, in);
	c->align_check = checked;
	return r ? NULL : c->bounce;
}

/* The operand in place, or a copy of it; NULL: v->fault is set. */
static void *fetch(struct alc_vcpu *v, const struct op *op, struct interp *c,
		   const struct simd_insn *in)
{
	u64 gva;
	u8 *p;

	if (in->elements != ELEMENTS_ALL)
		return fetch_elements(v, op, c, in);
	if (operand(v, op, &gva, in->mem_size, in->align_mask, X86_READ) ||
	    check_m80(v, c, in, gva))
		return NULL;
	p = mem_rptr(c, gva, in->mem_size);
	if (likely(p))
		return p;
	return mem_read_slow(v, c, op, gva, c->bounce, in->mem_size) ? NULL : c->bounce;
}

static void run_reg(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	insn_of(op)->run(v, NULL, NULL, 0);
	NEXT;
}

static void run_load(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	const struct simd_insn *in = insn_of(op);
	void *mem = fetch(v, op, c, in);

	if (unlikely(!mem)) {
		op_fault(v, op, c);
		return;
	}
	in->run(v, mem, NULL, 0);
	NEXT;
}

static void run_store(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	const struct simd_insn *in = insn_of(op);
	u64 gva;
	u8 *p;

	if (operand(v, op, &gva, in->mem_size, in->align_mask, X86_WRITE)) {
		op_fault(v, op, c);
		return;
	}
	p = mem_wptr(c, gva, in->mem_size);
	if (likely(p)) {
		in->run(v, p, NULL, 0);
		mem_wrote(c, op, gva, in->mem_size);
		NEXT;
	}
	in->run(v, c->bounce, NULL, 0);
	if (mem_write_slow(v, c, op, gva, c->bounce, in->mem_size)) {
		op_fault(v, op, c);
		return;
	}
	NEXT;
}

/* Anything that has no memory operand or reads it. */
static void run_any_load(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	const struct simd_insn *in = insn_of(op);
	void *mem = NULL;
	u32 flags;

	if (in->flags & SIMD_X87)
		X87_CHECK(v, op, c);
	if (in->flags & SIMD_READS) {
		mem = fetch(v, op, c, in);
		if (unlikely(!mem)) {
			op_fault(v, op, c);
			return;
		}
	}
	if (unlikely(run_insn(v, c, in, mem, &flags))) {
		op_fault(v, op, c);
		return;
	}
	finish(v, op, c, in, flags);
	NEXT;
}

/* An x87 store leaves memory alone if it raised an unmasked exception other than precision. */
static bool stored(const struct interp *c, const struct simd_insn *in)
{
	const u8 *fx = c->simd->fx;

	return !(in->flags & SIMD_X87) ||
	       !(ld16(fx + FX_FSW) & ~ld16(fx + FX_FCW) & (EXC_ALL & ~EXC_PE));
}

/* Half of the transition to MMX comes before the store, and so before what the store raises. */
static void store_fault(struct alc_vcpu *v, const struct op *op, struct interp *c,
			const struct simd_insn *in)
{
	if ((in->flags & SIMD_X87) && !(in->flags & SIMD_POINTERS))
		clear_top(&v->fpu);
	op_fault(v, op, c);
}

/* Anything that writes memory: the result is made aside, as the write may fault. */
static void run_any_store(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	const struct simd_insn *in = insn_of(op);
	u32 flags;
	_Alignas(64) u8 result[64];
	u64 gva;

	if (in->flags & SIMD_X87)
		X87_CHECK(v, op, c);
	if (operand(v, op, &gva, in->mem_size, in->align_mask, X86_WRITE) ||
	    check_m80(v, c, in, gva) || run_insn(v, c, in, result, &flags)) {
		store_fault(v, op, c, in);
		return;
	}
	/* MXCSR's flags stay even if the write faults, as they do on the processor. */
	if (stored(c, in) && mem_write_slow(v, c, op, gva, result, in->mem_size)) {
		store_fault(v, op, c, in);
		return;
	}
	finish(v, op, c, in, flags);
	NEXT;
}

/* As mem_write_slow() would have it of the operand as a whole. */
static bool is_unaligned_word(struct alc_vcpu *v, const struct op *op, const struct simd_insn *in)
{
	u64 gva = op_ea(v, op);

	return in->mem_size <= 8 && !linear(v, op, &gva, in->mem_size, X86_WRITE) &&
	       gva & (in->mem_size - 1u);
}

/* A masked store: what is not named is neither written nor in the way. */
static void run_masked_store(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	const struct simd_insn *in = insn_of(op);
	bool all = in->elements == ELEMENTS_ALL, checked = c->align_check;
	_Alignas(64) u8 result[64] = {0};
	u32 flags;
	u64 gva;
	int r;

	if ((in->align_mask || all) &&
	    operand(v, op, &gva, in->mem_size, masked_alignment(v, in), X86_WRITE))
		goto fault;
	if (all && !mem_rmw_begin_slow(v, c, op, gva, in->mem_size))
		goto fault;
	if (run_insn(v, c, in, result, &flags))
		goto fault;
	if (checked && named(v, in) && is_unaligned_word(v, op, in)) {
		x86_raise_error(v, X86_AC_, 0);
		goto fault;
	}
	c->align_check = false;
	r = write_elements(v, op, c, in, result);
	c->align_check = checked;
	if (r)
		goto fault;
	NEXT;
fault:
	op_fault(v, op, c);
}

op_fn *simd_handler(const struct simd_insn *in)
{
	bool plain = !(in->flags & (SIMD_X87 | SIMD_MXCSR | SIMD_FLAGS | SIMD_FLAGS_IN));

	if (in->flags & SIMD_WRITES && in->mask)
		return run_masked_store;
	if (in->flags & SIMD_WRITES)
		return plain ? run_store : run_any_store;
	if (!plain || in->elements != ELEMENTS_ALL)
		return run_any_load;
	return in->flags & SIMD_READS ? run_load : run_reg;
}
