/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shifts and rotates (SDM vol. 2, "SAL/SAR/SHL/SHR", "RCL/RCR/ROL/ROR", "SHLD", "SHRD", BMI2).
 *
 * A count is first cut to 5 bits (6 for 64-bit operands); a count of 0 changes no flag. Flags
 * that the SDM leaves undefined come out as the formula for a count of 1 has them.
 */
#include "engine/interp/ops.h"

typedef unsigned __int128 u128;

static inline bool msb(u64 v, unsigned bits)
{
	return v >> (bits - 1) & 1;
}

static inline u64 do_shl(struct interp *c, u64 a, unsigned n, unsigned bits)
{
	u64 r = n >= bits ? 0 : zext(a << n, bits / 8);
	bool cf = n <= bits && (a >> (bits - n) & 1);

	flags_set(c, sext(r, bits / 8), cf, msb(r, bits) ^ cf);
	return r;
}

static inline u64 do_shr(struct interp *c, u64 a, unsigned n, unsigned bits)
{
	u64 r = n >= bits ? 0 : a >> n;
	bool cf = n <= bits && (a >> (n - 1) & 1);

	flags_set(c, sext(r, bits / 8), cf, msb(r, bits) ^ msb(r << 1, bits));
	return r;
}

static inline u64 do_sar(struct interp *c, u64 a, unsigned n, unsigned bits)
{
	i64 s = sext(a, bits / 8);

	flags_set(c, s >> n, s >> (n - 1) & 1, false);
	return zext((u64)(s >> n), bits / 8);
}

static inline u64 do_rol(struct interp *c, u64 a, unsigned n, unsigned bits)
{
	u64 r;

	n %= bits;
	r = n ? zext(a << n | a >> (bits - n), bits / 8) : a;
	flags_set_cf_of(c, r & 1, msb(r, bits) ^ (r & 1));
	return r;
}

static inline u64 do_ror(struct interp *c, u64 a, unsigned n, unsigned bits)
{
	u64 r;

	n %= bits;
	r = n ? zext(a >> n | a << (bits - n), bits / 8) : a;
	flags_set_cf_of(c, msb(r, bits), msb(r, bits) ^ msb(r << 1, bits));
	return r;
}

/* Rotation through carry: one bit wider than the operand. */
static inline u64 do_rcl(struct interp *c, u64 a, unsigned n, unsigned bits)
{
	u128 x = (u128)flag_cf(c) << bits | a;
	u64 r;

	n %= bits + 1;
	if (!n)
		return a;
	x = x << n | x >> (bits + 1 - n);
	r = zext((u64)x, bits / 8);
	flags_set_cf_of(c, x >> bits & 1, msb(r, bits) ^ (x >> bits & 1));
	return r;
}

static inline u64 do_rcr(struct interp *c, u64 a, unsigned n, unsigned bits)
{
	u128 x = (u128)flag_cf(c) << bits | a;
	u64 r;

	n %= bits + 1;
	if (!n)
		return a;
	x = x >> n | x << (bits + 1 - n);
	r = zext((u64)x, bits / 8);
	flags_set_cf_of(c, x >> bits & 1, msb(r, bits) ^ msb(r << 1, bits));
	return r;
}

#define COUNT_MASK(bits) ((bits) == 64 ? 63u : 31u)

#define DEFINE_SHIFT(name, bits)                                                               \
	static inline u##bits name##_any##bits(struct interp *c, u##bits a, unsigned n)        \
	{                                                                                      \
		n &= COUNT_MASK(bits);                                                         \
		return n ? (u##bits)do_##name(c, a, n, bits) : a;                              \
	}                                                                                      \
	OP(name##_ri##bits)                                                                    \
	{                                                                                      \
		set_reg##bits(v, op->a,                                                        \
			      name##_any##bits(c, reg##bits(v, op->a), (unsigned)op->imm));    \
		NEXT;                                                                          \
	}                                                                                      \
	OP(name##_rc##bits)                                                                    \
	{                                                                                      \
		set_reg##bits(v, op->a,                                                        \
			      name##_any##bits(c, reg##bits(v, op->a), reg8(v, X86_RCX * 8))); \
		NEXT;                                                                          \
	}                                                                                      \
	static inline void name##_mem##bits(struct alc_vcpu *v, const struct op *op,           \
					    struct interp *c, unsigned n)                      \
	{                                                                                      \
		EA(gva, bits / 8, X86_RMW)                                                     \
		u##bits *p = mem_rmw_begin(v, c, op, gva, bits / 8);                           \
		TRY(!p);                                                                       \
		st##bits(p, name##_any##bits(c, ld##bits(p), n));                              \
		TRY(mem_rmw_end(v, c, op, gva, p, bits / 8));                                  \
		NEXT;                                                                          \
	}                                                                                      \
	OP(name##_mi##bits)                                                                    \
	{                                                                                      \
		name##_mem##bits(v, op, c, (unsigned)op->imm);                                 \
	}                                                                                      \
	OP(name##_mc##bits)                                                                    \
	{                                                                                      \
		name##_mem##bits(v, op, c, reg8(v, X86_RCX * 8));                              \
	}

#define DEFINE_SHIFTS(bits)     \
	DEFINE_SHIFT(shl, bits) \
	DEFINE_SHIFT(shr, bits) \
	DEFINE_SHIFT(sar, bits) \
	DEFINE_SHIFT(rol, bits) \
	DEFINE_SHIFT(ror, bits) \
	DEFINE_SHIFT(rcl, bits) \
	DEFINE_SHIFT(rcr, bits)
FOR_WIDTHS(DEFINE_SHIFTS)

enum { S_SHL, S_SHR, S_SAR, S_ROL, S_ROR, S_RCL, S_RCR };

#define SHIFT_FORMS(name)                                                                          \
	{                                                                                          \
		BY_WIDTH(name##_ri), BY_WIDTH(name##_rc), BY_WIDTH(name##_mi), BY_WIDTH(name##_mc) \
	}

static op_fn *const shifts[][4][4] = {
	[S_SHL] = SHIFT_FORMS(shl), [S_SHR] = SHIFT_FORMS(shr), [S_SAR] = SHIFT_FORMS(sar),
	[S_ROL] = SHIFT_FORMS(rol), [S_ROR] = SHIFT_FORMS(ror), [S_RCL] = SHIFT_FORMS(rcl),
	[S_RCR] = SHIFT_FORMS(rcr),
};

static bool gen_shift(struct dec *d, unsigned which)
{
	bool mem = is_mem(&d->o[0]), cl = is_reg(&d->o[1]);

	if (!mem)
		d->op->a = dec_reg(d->o[0].reg.value);
	if (!cl)
		d->op->imm = dec_imm(&d->o[1]);
	gen(d, shifts[which][2 * mem + cl][width_index(d->o[0].size)]);
	return true;
}

/* ---- Double shifts ----------------------------------------------------------------------------
 */

/*
 * a:b shifted as one; a is the destination. For 16-bit operands and counts above 16 the SDM
 * leaves the result undefined; hardware goes on shifting in b and then a again.
 */
static inline u64 do_shld(struct interp *c, u64 a, u64 b, unsigned n, unsigned bits)
{
	u64 r;
	bool cf;

	if (bits == 16) {
		u64 x = a << 32 | b << 16 | a;

		r = (u16)(x << n >> 32);
		cf = x >> (48 - n) & 1;
	} else {
		r = zext(a << n | b >> (bits - n), bits / 8);
		cf = a >> (bits - n) & 1;
	}
	flags_set(c, sext(r, bits / 8), cf, msb(r, bits) ^ msb(a, bits));
	return r;
}

static inline u64 do_shrd(struct interp *c, u64 a, u64 b, unsigned n, unsigned bits)
{
	u64 r;
	bool cf;

	if (bits == 16) {
		u64 x = a << 32 | b << 16 | a;

		r = (u16)(x >> n);
		cf = x >> (n - 1) & 1;
	} else {
		r = zext(a >> n | b << (bits - n), bits / 8);
		cf = a >> (n - 1) & 1;
	}
	flags_set(c, sext(r, bits / 8), cf, msb(r, bits) ^ msb(a, bits));
	return r;
}

/* op->a destination register, op->b source, op->imm the count, or ~0 for CL. */
static inline unsigned double_count(const struct alc_vcpu *v, const struct op *op, unsigned bits)
{
	return (op->imm == ~0ull ? reg8(v, X86_RCX * 8) : (unsigned)op->imm) & COUNT_MASK(bits);
}

#define DEFINE_DOUBLE(name, bits)                                                              \
	OP(name##_r##bits)                                                                     \
	{                                                                                      \
		unsigned n = double_count(v, op, bits);                                        \
		u##bits a = reg##bits(v, op->a);                                               \
		if (n)                                                                         \
			a = (u##bits)do_##name(c, a, reg##bits(v, op->b), n, bits);            \
		set_reg##bits(v, op->a, a);                                                    \
		NEXT;                                                                          \
	}                                                                                      \
	OP(name##_m##bits)                                                                     \
	{                                                                                      \
		unsigned n = double_count(v, op, bits);                                        \
		EA(gva, bits / 8, X86_RMW)                                                     \
		u##bits *p = mem_rmw_begin(v, c, op, gva, bits / 8);                           \
		TRY(!p);                                                                       \
		if (n)                                                                         \
			st##bits(p, (u##bits)do_##name(c, ld##bits(p), reg##bits(v, op->b), n, \
						       bits));                                 \
		TRY(mem_rmw_end(v, c, op, gva, p, bits / 8));                                  \
		NEXT;                                                                          \
	}
#define DEFINE_DOUBLES(bits) DEFINE_DOUBLE(shld, bits) DEFINE_DOUBLE(shrd, bits)
FOR_WIDTHS_NO8(DEFINE_DOUBLES)

static op_fn *const doubles[2][2][4] = {
	{BY_WIDTH_NO8(shld_r), BY_WIDTH_NO8(shld_m)},
	{BY_WIDTH_NO8(shrd_r), BY_WIDTH_NO8(shrd_m)},
};

static bool gen_double(struct dec *d, unsigned right)
{
	bool mem = is_mem(&d->o[0]);

	if (!mem)
		d->op->a = dec_reg(d->o[0].reg.value);
	d->op->b = dec_reg(d->o[1].reg.value);
	d->op->imm = is_imm(&d->o[2]) ? dec_imm(&d->o[2]) & 0xff : ~0ull;
	gen(d, doubles[right][mem][width_index(d->o[0].size)]);
	return true;
}

/* ---- BMI2: without flags ----------------------------------------------------------------------
 */

/* op->a destination, op->b source register, op->imm: RORX's count, or the count register. */
#define DEFINE_BMI2(name, bits, expr)                          \
	OP(name##_r##bits)                                     \
	{                                                      \
		u##bits x = reg##bits(v, op->b);               \
		unsigned n = name##_count(v, op) & (bits - 1); \
		set_reg##bits(v, op->a, (u##bits)(expr));      \
		NEXT;                                          \
	}                                                      \
	OP(name##_m##bits)                                     \
	{                                                      \
		u##bits x;                                     \
		unsigned n = name##_count(v, op) & (bits - 1); \
		EA(gva, bits / 8, X86_READ)                    \
		TRY(mem_read##bits(v, c, op, gva, &x));        \
		set_reg##bits(v, op->a, (u##bits)(expr));      \
		NEXT;                                          \
	}

static inline unsigned rorx_count(const struct alc_vcpu *v, const struct op *op)
{
	(void)v;
	return (unsigned)op->imm;
}

static inline unsigned sarx_count(const struct alc_vcpu *v, const struct op *op)
{
	return (unsigned)v->gpr[op->imm];
}

#define shlx_count sarx_count
#define shrx_count sarx_count

#define DEFINE_BMI2S(bits)                                               \
	DEFINE_BMI2(rorx, bits, x >> n | x << ((bits - n) & (bits - 1))) \
	DEFINE_BMI2(sarx, bits, (i##bits)x >> n)                         \
	DEFINE_BMI2(shlx, bits, x << n)                                  \
	DEFINE_BMI2(shrx, bits, x >> n)
DEFINE_BMI2S(32)
DEFINE_BMI2S(64)

enum { B_RORX, B_SARX, B_SHLX, B_SHRX };

static bool gen_bmi2(struct dec *d, unsigned which)
{
	static op_fn *const forms[][2][2] = {
		[B_RORX] = {{rorx_r32, rorx_r64}, {rorx_m32, rorx_m64}},
		[B_SARX] = {{sarx_r32, sarx_r64}, {sarx_m32, sarx_m64}},
		[B_SHLX] = {{shlx_r32, shlx_r64}, {shlx_m32, shlx_m64}},
		[B_SHRX] = {{shrx_r32, shrx_r64}, {shrx_m32, shrx_m64}},
	};
	bool mem = is_mem(&d->o[1]);

	d->op->a = dec_reg(d->o[0].reg.value);
	if (!mem)
		d->op->b = dec_reg(d->o[1].reg.value);
	d->op->imm = is_imm(&d->o[2]) ? dec_imm(&d->o[2]) : dec_reg(d->o[2].reg.value);
	gen(d, forms[which][mem][d->o[0].size == 64]);
	return true;
}

const struct insn_row shift_rows[] = {
	{ZYDIS_MNEMONIC_SHL, gen_shift, S_SHL},  {ZYDIS_MNEMONIC_SHR, gen_shift, S_SHR},
	{ZYDIS_MNEMONIC_SAR, gen_shift, S_SAR},  {ZYDIS_MNEMONIC_ROL, gen_shift, S_ROL},
	{ZYDIS_MNEMONIC_ROR, gen_shift, S_ROR},  {ZYDIS_MNEMONIC_RCL, gen_shift, S_RCL},
	{ZYDIS_MNEMONIC_RCR, gen_shift, S_RCR},  {ZYDIS_MNEMONIC_SHLD, gen_double, 0},
	{ZYDIS_MNEMONIC_SHRD, gen_double, 1},    {ZYDIS_MNEMONIC_RORX, gen_bmi2, B_RORX},
	{ZYDIS_MNEMONIC_SARX, gen_bmi2, B_SARX}, {ZYDIS_MNEMONIC_SHLX, gen_bmi2, B_SHLX},
	{ZYDIS_MNEMONIC_SHRX, gen_bmi2, B_SHRX}, {0},
};
