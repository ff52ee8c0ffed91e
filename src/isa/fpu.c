/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Images of x87, SSE, AVX and AVX-512 state: FXSAVE (SDM vol. 1 10.5.1), XSAVE (13.4-13.8) and the
 * x87 environment (8.1.10). FCS and FDS are always 0, as CPUID's ZERO_FCS_FDS announces.
 *
 * The stack registers are kept in stack order, ST(0) first, while the tag word goes by physical
 * register: whatever sets TOP without meaning to move the stack must rotate one against the other.
 */
#include "isa/fpu.h"

enum {
	FCW_INIT = 0x37f,
	FCW_ONE = 0x40, /* reads as 1 */
	FCW_MASK = 0x1f7f,
	FOP_MASK = 0x7ff,
	FSW_TOP_SHIFT = 11,
	FSW_EXCEPTIONS = 0x3f,
	FSW_ES = 0x80,
	FSW_B = 0x8000,
	MXCSR_INIT = 0x1f80,
	MXCSR_MASK = 0xffff,
};

/* Offsets in the FXSAVE image, which is also an XSAVE area's legacy region. */
enum {
	FX_FCW = 0,
	FX_FSW = 2,
	FX_FTW = 4,
	FX_FOP = 6,
	FX_FIP = 8,
	FX_FDP = 16,
	FX_MXCSR = 24,
	FX_MXCSR_MASK = 28,
	FX_ST = 32,
	FX_XMM = 160,
	XS_HEADER = 512,
	XS_BV = XS_HEADER,
	XS_COMP_BV = XS_HEADER + 8,
	XS_RESERVED = XS_HEADER + 16,
	XS_HEADER_END = XS_HEADER + 64,
};
#define XCOMP_COMPACTED BIT(63)

static unsigned top(const struct x86_fpu *f)
{
	return f->fsw >> FSW_TOP_SHIFT & 7;
}

/* Gives FSW a new value while the physical registers stay where they are. */
static void set_fsw(struct x86_fpu *f, u16 fsw)
{
	unsigned shift = ((fsw >> FSW_TOP_SHIFT & 7) - top(f)) & 7;
	u8 old[8][16];

	if (shift) {
		__builtin_memcpy(old, f->st, sizeof(old));
		for (unsigned i = 0; i < 8; i++)
			__builtin_memcpy(f->st[i], old[(i + shift) & 7], sizeof(old[0]));
	}
	f->fsw = fsw;
}

/* The summary bit and its copy follow from the flags and their masks (SDM vol. 1 8.1.3.3). */
static u16 with_summary(u16 fsw, u16 fcw)
{
	fsw &= (u16) ~(FSW_ES | FSW_B);
	return fsw & ~fcw & FSW_EXCEPTIONS ? fsw | FSW_ES | FSW_B : fsw;
}

void fpu_fninit(struct x86_fpu *f)
{
	set_fsw(f, 0);
	f->fcw = FCW_INIT;
	f->ftw = 0;
	f->fop = 0;
	f->fip = f->fdp = 0;
}

static void init_x87(struct x86_fpu *f)
{
	fpu_fninit(f);
	__builtin_memset(f->st, 0, sizeof(f->st));
}

void fpu_reset(struct x86_fpu *f)
{
	__builtin_memset(f, 0, sizeof(*f));
	f->fcw = FCW_INIT;
	f->mxcsr = MXCSR_INIT;
}

static void put_x87(const struct x86_fpu *f, u8 *area, bool rexw)
{
	st16(area + FX_FCW, f->fcw);
	st16(area + FX_FSW, f->fsw);
	st16(area + FX_FTW, f->ftw);
	st16(area + FX_FOP, f->fop);
	/* Without REX.W: 32 bits of offset, and a selector that is always 0. */
	st64(area + FX_FIP, rexw ? f->fip : (u32)f->fip);
	st64(area + FX_FDP, rexw ? f->fdp : (u32)f->fdp);
	for (unsigned i = 0; i < 8; i++) {
		st64(area + FX_ST + 16 * i, ld64(f->st[i]));
		st64(area + FX_ST + 16 * i + 8, ld16(f->st[i] + 8));
	}
}

static void get_x87(struct x86_fpu *f, const u8 *area, bool rexw)
{
	f->fcw = (ld16(area + FX_FCW) & FCW_MASK) | FCW_ONE;
	f->fsw = with_summary(ld16(area + FX_FSW), f->fcw);
	f->ftw = area[FX_FTW];
	f->fop = ld16(area + FX_FOP) & FOP_MASK;
	f->fip = rexw ? ld64(area + FX_FIP) : ld32(area + FX_FIP);
	f->fdp = rexw ? ld64(area + FX_FDP) : ld32(area + FX_FDP);
	for (unsigned i = 0; i < 8; i++) {
		st64(f->st[i], ld64(area + FX_ST + 16 * i));
		st64(f->st[i] + 8, ld16(area + FX_ST + 16 * i + 8));
	}
}

static void put_mxcsr(const struct x86_fpu *f, u8 *area)
{
	st32(area + FX_MXCSR, f->mxcsr);
	st32(area + FX_MXCSR_MASK, MXCSR_MASK);
}

static void put_xmm(const struct x86_fpu *f, u8 *area)
{
	for (unsigned i = 0; i < 16; i++)
		__builtin_memcpy(area + FX_XMM + 16 * i, f->vec[i], 16);
}

static void get_xmm(struct x86_fpu *f, const u8 *area)
{
	for (unsigned i = 0; i < 16; i++)
		__builtin_memcpy(f->vec[i], area + FX_XMM + 16 * i, 16);
}

static void init_xmm(struct x86_fpu *f)
{
	for (unsigned i = 0; i < 16; i++)
		f->vec[i][0] = f->vec[i][1] = 0;
}

/* ---- Extended components ---- */

static void put_avx(const struct x86_fpu *f, u8 *at)
{
	for (unsigned i = 0; i < 16; i++)
		__builtin_memcpy(at + 16 * i, f->vec[i] + 2, 16);
}

static void get_avx(struct x86_fpu *f, const u8 *at)
{
	for (unsigned i = 0; i < 16; i++)
		__builtin_memcpy(f->vec[i] + 2, at + 16 * i, 16);
}

static void put_opmask(const struct x86_fpu *f, u8 *at)
{
	__builtin_memcpy(at, f->k, sizeof(f->k));
}

static void get_opmask(struct x86_fpu *f, const u8 *at)
{
	__builtin_memcpy(f->k, at, sizeof(f->k));
}

static void put_zmm_high(const struct x86_fpu *f, u8 *at)
{
	for (unsigned i = 0; i < 16; i++)
		__builtin_memcpy(at + 32 * i, f->vec[i] + 4, 32);
}

static void get_zmm_high(struct x86_fpu *f, const u8 *at)
{
	for (unsigned i = 0; i < 16; i++)
		__builtin_memcpy(f->vec[i] + 4, at + 32 * i, 32);
}

static void put_high_zmm(const struct x86_fpu *f, u8 *at)
{
	__builtin_memcpy(at, f->vec[16], 16 * sizeof(f->vec[0]));
}

static void get_high_zmm(struct x86_fpu *f, const u8 *at)
{
	__builtin_memcpy(f->vec[16], at, 16 * sizeof(f->vec[0]));
}

/* Offsets are those of Intel's processors with AVX-512, which leave room for MPX. */
static const struct component {
	u8 number;
	u16 offset, length;
	void (*put)(const struct x86_fpu *f, u8 *at);
	void (*get)(struct x86_fpu *f, const u8 *at);
} extended[] = {
	{2, 576, 256, put_avx, get_avx},
	{5, 1088, 64, put_opmask, get_opmask},
	{6, 1152, 512, put_zmm_high, get_zmm_high},
	{7, 1664, 1024, put_high_zmm, get_high_zmm},
};

static const u8 initial[1024];

static bool includes(u64 components, const struct component *x)
{
	return components >> x->number & 1;
}

u32 fpu_xsave_offset(unsigned component, u64 components, bool compacted)
{
	u32 at = XS_HEADER_END;

	for (unsigned i = 0; i < ARRAY_LEN(extended); i++) {
		if (extended[i].number == component)
			return compacted ? at : extended[i].offset;
		at += includes(components, &extended[i]) ? extended[i].length : 0;
	}
	return 0;
}

u32 fpu_xsave_length(unsigned component)
{
	for (unsigned i = 0; i < ARRAY_LEN(extended); i++)
		if (extended[i].number == component)
			return extended[i].length;
	return 0;
}

u32 fpu_xsave_end(u64 used, u64 components, bool compacted)
{
	u32 end = XS_HEADER_END;

	for (unsigned i = 0; i < ARRAY_LEN(extended); i++)
		if (includes(used, &extended[i]))
			end = fpu_xsave_offset(extended[i].number, components, compacted) +
			      extended[i].length;
	return end;
}

void fpu_fxsave(const struct x86_fpu *f, u8 area[X86_FXSAVE_SIZE], bool rexw)
{
	put_x87(f, area, rexw);
	put_mxcsr(f, area);
	put_xmm(f, area);
}

static bool mxcsr_bad(const u8 *area)
{
	return ld32(area + FX_MXCSR) & ~(u32)MXCSR_MASK;
}

int fpu_fxrstor(struct x86_fpu *f, const u8 area[X86_FXSAVE_SIZE], bool rexw)
{
	if (mxcsr_bad(area))
		return 1;
	get_x87(f, area, rexw);
	f->mxcsr = ld32(area + FX_MXCSR);
	get_xmm(f, area);
	return 0;
}

static bool x87_in_use(const struct x86_fpu *f)
{
	if (f->fcw != FCW_INIT || f->fsw || f->ftw || f->fop || f->fip || f->fdp)
		return true;
	for (unsigned i = 0; i < 8; i++)
		if (ld64(f->st[i]) || ld16(f->st[i] + 8))
			return true;
	return false;
}

/* Anything set in quadwords [from, to) of these vector registers? */
static bool vec_in_use(const struct x86_fpu *f, unsigned first, unsigned from, unsigned to)
{
	u64 any = 0;

	for (unsigned i = first; i < first + 16; i++)
		for (unsigned k = from; k < to; k++)
			any |= f->vec[i][k];
	return any;
}

static bool opmask_in_use(const struct x86_fpu *f)
{
	u64 any = 0;

	for (unsigned i = 0; i < 8; i++)
		any |= f->k[i];
	return any;
}

u64 fpu_xinuse(const struct x86_fpu *f)
{
	u64 mask = 0;

	mask |= x87_in_use(f) ? X86_XCR0_X87 : 0;
	mask |= vec_in_use(f, 0, 0, 2) ? X86_XCR0_SSE : 0;
	mask |= vec_in_use(f, 0, 2, 4) ? X86_XCR0_AVX : 0;
	mask |= opmask_in_use(f) ? BIT(5) : 0;
	mask |= vec_in_use(f, 0, 4, 8) ? BIT(6) : 0;
	mask |= vec_in_use(f, 16, 0, 8) ? BIT(7) : 0;
	return mask;
}

static void put_components(const struct x86_fpu *f, u8 *area, u64 mask, u64 layout, bool compacted,
			   bool rexw)
{
	if (mask & X86_XCR0_X87)
		put_x87(f, area, rexw);
	if (mask & X86_XCR0_SSE)
		put_xmm(f, area);
	for (unsigned i = 0; i < ARRAY_LEN(extended); i++)
		if (includes(mask, &extended[i]))
			extended[i].put(
				f, area + fpu_xsave_offset(extended[i].number, layout, compacted));
}

/* SDM vol. 1 13.7 (XSAVE), 13.9 (XSAVEOPT), 13.10 (XSAVEC). */
u32 fpu_xsave(const struct x86_fpu *f, u8 area[X86_XSAVE_MAX], u64 rfbm, enum x86_xsave_form form,
	      bool rexw)
{
	bool compacted = form == X86_XSAVEC;
	u64 in_use = fpu_xinuse(f) & rfbm;

	if (compacted) {
		/* XINUSE says nothing of MXCSR, which this form saves with SSE alone. */
		if ((rfbm & X86_XCR0_SSE) && f->mxcsr != MXCSR_INIT)
			in_use |= X86_XCR0_SSE;
		if (in_use & X86_XCR0_SSE)
			put_mxcsr(f, area);
		put_components(f, area, in_use, rfbm, true, rexw);
		st64(area + XS_BV, in_use);
		st64(area + XS_COMP_BV, rfbm | XCOMP_COMPACTED);
	} else {
		if (rfbm & (X86_XCR0_SSE | X86_XCR0_AVX))
			put_mxcsr(f, area);
		put_components(f, area, form == X86_XSAVEOPT ? in_use : rfbm, rfbm, false, rexw);
		st64(area + XS_BV, (ld64(area + XS_BV) & ~rfbm) | in_use);
	}
	return fpu_xsave_end(rfbm, rfbm, compacted);
}

static bool all_zero(const u8 *p, unsigned len)
{
	u8 any = 0;

	for (unsigned i = 0; i < len; i++)
		any |= p[i];
	return !any;
}

/* SDM vol. 1 13.8: what XRSTOR refuses. */
static bool header_bad(const u8 *area, u64 xcr0)
{
	u64 bv = ld64(area + XS_BV), comp = ld64(area + XS_COMP_BV);

	if (!(comp & XCOMP_COMPACTED))
		return (bv & ~xcr0) || !all_zero(area + XS_COMP_BV, 16);
	return (comp & ~XCOMP_COMPACTED & ~xcr0) || (bv & ~(comp & ~XCOMP_COMPACTED)) ||
	       !all_zero(area + XS_RESERVED, XS_HEADER_END - XS_RESERVED);
}

static void get_extended(struct x86_fpu *f, const u8 *area, u64 rfbm, u64 bv, u64 comp)
{
	for (unsigned i = 0; i < ARRAY_LEN(extended); i++) {
		const struct component *x = &extended[i];
		bool used = includes(bv, x);

		if (includes(rfbm, x))
			x->get(f, used ? area + fpu_xsave_offset(x->number, comp, comp) : initial);
	}
}

int fpu_xrstor(struct x86_fpu *f, const u8 area[X86_XSAVE_MAX], u64 rfbm, u64 xcr0, bool rexw)
{
	u64 bv = ld64(area + XS_BV);
	bool compacted = ld64(area + XS_COMP_BV) & XCOMP_COMPACTED;
	/* The standard form takes MXCSR from memory for AVX too, whatever XSTATE_BV says. */
	bool load_mxcsr = compacted ? rfbm & bv & X86_XCR0_SSE
				    : rfbm & (X86_XCR0_SSE | X86_XCR0_AVX);

	if (header_bad(area, xcr0) || (load_mxcsr && mxcsr_bad(area)))
		return 1;
	if (load_mxcsr)
		f->mxcsr = ld32(area + FX_MXCSR);
	else if (rfbm & X86_XCR0_SSE)
		f->mxcsr = MXCSR_INIT;
	if (rfbm & bv & X86_XCR0_X87)
		get_x87(f, area, rexw);
	else if (rfbm & X86_XCR0_X87)
		init_x87(f);
	if (rfbm & bv & X86_XCR0_SSE)
		get_xmm(f, area);
	else if (rfbm & X86_XCR0_SSE)
		init_xmm(f);
	get_extended(f, area, rfbm, bv, compacted ? ld64(area + XS_COMP_BV) : 0);
	return 0;
}

/* The full tag of a register that isn't empty (SDM vol. 1 8.1.7). */
static unsigned tag_of(const u8 *st)
{
	enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL };
	unsigned exponent = ld16(st + 8) & 0x7fff;
	u64 mantissa = ld64(st);

	if (exponent == 0)
		return mantissa ? TAG_SPECIAL : TAG_ZERO;
	return exponent != 0x7fff && mantissa >> 63 ? TAG_VALID : TAG_SPECIAL;
}

static u16 full_tags(const struct x86_fpu *f)
{
	enum { TAG_EMPTY = 3 };
	unsigned tags = 0;

	for (unsigned i = 0; i < 8; i++) {
		const u8 *st = f->st[(i - top(f)) & 7];

		tags |= (f->ftw >> i & 1 ? tag_of(st) : TAG_EMPTY) << (2 * i);
	}
	return (u16)tags;
}

static u8 abridged_tags(u16 tags)
{
	unsigned ftw = 0;

	for (unsigned i = 0; i < 8; i++)
		ftw |= (unsigned)((tags >> (2 * i) & 3) != 3) << i;
	return (u8)ftw;
}

enum { ENV_WORDS = 7 };

unsigned fpu_env_size(unsigned opsize)
{
	return ENV_WORDS * opsize;
}

/*
 * All layouts are seven words of the operand size: FCW, FSW, FTW, and four for the pointers. The
 * upper halves of 32-bit words are ones where nothing is defined.
 */
void fpu_store_env(const struct x86_fpu *f, u8 *out, unsigned opsize, bool protected_mode)
{
	u32 ones = opsize == 4 ? 0xffff0000 : 0;
	u32 w[ENV_WORDS] = {f->fcw | ones, f->fsw | ones, full_tags(f) | ones};
	u32 fip = (u32)f->fip, fdp = (u32)f->fdp;

	if (protected_mode) {
		w[3] = fip;
		w[4] = opsize == 4 ? (u32)f->fop << 16 : 0;
		w[5] = fdp;
		w[6] = ones;
	} else if (opsize == 4) {
		w[3] = (fip & 0xffff) | ones;
		w[4] = (fip >> 16 << 12) | f->fop;
		w[5] = (fdp & 0xffff) | ones;
		w[6] = fdp >> 16 << 12;
	} else {
		w[3] = fip;
		w[4] = (fip >> 16 & 0xf) << 12 | f->fop;
		w[5] = fdp;
		w[6] = (fdp >> 16 & 0xf) << 12;
	}
	for (unsigned i = 0; i < ENV_WORDS; i++)
		st_size(out + i * opsize, w[i], opsize);
}

void fpu_load_env(struct x86_fpu *f, const u8 *in, unsigned opsize, bool protected_mode)
{
	u32 w[ENV_WORDS];

	for (unsigned i = 0; i < ENV_WORDS; i++)
		w[i] = (u32)ld_size(in + i * opsize, opsize);
	f->fcw = ((u16)w[0] & FCW_MASK) | FCW_ONE;
	set_fsw(f, with_summary((u16)w[1], f->fcw));
	f->ftw = abridged_tags((u16)w[2]);
	if (protected_mode) {
		f->fip = w[3];
		f->fdp = w[5];
		f->fop = opsize == 4 ? w[4] >> 16 & FOP_MASK : 0;
	} else {
		u32 high = opsize == 4 ? 0xffff : 0xf;

		f->fip = (w[3] & 0xffff) | (w[4] >> 12 & high) << 16;
		f->fdp = (w[5] & 0xffff) | (w[6] >> 12 & high) << 16;
		f->fop = w[4] & FOP_MASK;
	}
}
