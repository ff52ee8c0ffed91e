/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two-operand arithmetic and logic, INC/DEC/NEG/NOT, multiplication and division.
 *
 * Semantics are inline functions of a width; macros make a handler of each for every operand
 * form: rr register-register, rm register-memory, mr memory-register, ri, mi with an immediate,
 * and the locked variants of those that write memory.
 */
#include "engine/interp/ops.h"

#define DEFINE_SEMANTICS(bits)                                                     \
	static inline u##bits do_add##bits(struct interp *c, u##bits a, u##bits b) \
	{                                                                          \
		u##bits r = (u##bits)(a + b);                                      \
		flags_add(c, a, b, r, bits);                                       \
		return r;                                                          \
	}                                                                          \
	static inline u##bits do_adc##bits(struct interp *c, u##bits a, u##bits b) \
	{                                                                          \
		u##bits r = (u##bits)(a + b + flag_cf(c));                         \
		flags_add(c, a, b, r, bits);                                       \
		return r;                                                          \
	}                                                                          \
	static inline u##bits do_sub##bits(struct interp *c, u##bits a, u##bits b) \
	{                                                                          \
		u##bits r = (u##bits)(a - b);                                      \
		flags_sub(c, a, b, r, bits);                                       \
		return r;                                                          \
	}                                                                          \
	static inline u##bits do_sbb##bits(struct interp *c, u##bits a, u##bits b) \
	{                                                                          \
		u##bits r = (u##bits)(a - b - flag_cf(c));                         \
		flags_sub(c, a, b, r, bits);                                       \
		return r;                                                          \
	}                                                                          \
	static inline u##bits do_and##bits(struct interp *c, u##bits a, u##bits b) \
	{                                                                          \
		flags_logic(c, (i##bits)(a & b));                                  \
		return a & b;                                                      \
	}                                                                          \
	static inline u##bits do_or##bits(struct interp *c, u##bits a, u##bits b)  \
	{                                                                          \
		flags_logic(c, (i##bits)(a | b));                                  \
		return a | b;                                                      \
	}                                                                          \
	static inline u##bits do_xor##bits(struct interp *c, u##bits a, u##bits b) \
	{                                                                          \
		flags_logic(c, (i##bits)(a ^ b));                                  \
		return a ^ b;                                                      \
	}                                                                          \
	/* INC and DEC keep CF. */                                                 \
	static inline u##bits do_inc##bits(struct interp *c, u##bits a)            \
	{                                                                          \
		bool cf = flag_cf(c);                                              \
		u##bits r = do_add##bits(c, a, 1);                                 \
		flags_set_cf(c, cf);                                               \
		return r;                                                          \
	}                                                                          \
	static inline u##bits do_dec##bits(struct interp *c, u##bits a)            \
	{                                                                          \
		bool cf = flag_cf(c);                                              \
		u##bits r = do_sub##bits(c, a, 1);                                 \
		flags_set_cf(c, cf);                                               \
		return r;                                                          \
	}                                                                          \
	static inline u##bits do_neg##bits(struct interp *c, u##bits a)            \
	{                                                                          \
		return do_sub##bits(c, 0, a);                                      \
	}                                                                          \
	static inline u##bits do_not##bits(struct interp *c, u##bits a)            \
	{                                                                          \
		(void)c;                                                           \
		return (u##bits) ~a;                                               \
	}
FOR_WIDTHS(DEFINE_SEMANTICS)

/* A memory operand rewritten in place; locked: by compare-and-swap, so that it is one access. */
#define RMW(bits, result)                                    \
	EA(gva, bits / 8, X86_RMW)                           \
	u##bits *p = mem_rmw_begin(v, c, op, gva, bits / 8); \
	TRY(!p);                                             \
	u##bits old = ld##bits(p);                           \
	st##bits(p, result);                                 \
	TRY(mem_rmw_end(v, c, op, gva, p, bits / 8));        \
	NEXT

#define RMW_LOCKED(bits, result)                                                     \
	EA(gva, bits / 8, X86_RMW)                                                   \
	u##bits *p = mem_lock_begin(v, c, op, gva, bits / 8);                        \
	u64 res0 = c->flag_res, aux0 = c->flag_aux;                                  \
	TRY(!p);                                                                     \
	u##bits old = ld##bits(p), val;                                              \
	do {                                                                         \
		c->flag_res = res0; /* ADC and SBB read CF: each try starts anew */  \
		c->flag_aux = aux0;                                                  \
		val = result;                                                        \
	} while (!__atomic_compare_exchange_n(p, &old, val, false, __ATOMIC_SEQ_CST, \
					      __ATOMIC_SEQ_CST));                    \
	TRY(mem_lock_end(v, c, op, gva, p, bits / 8));                               \
	NEXT

#define DEFINE_BINARY(name, bits)                                                            \
	OP(name##_rr##bits)                                                                  \
	{                                                                                    \
		set_reg##bits(v, op->a,                                                      \
			      do_##name##bits(c, reg##bits(v, op->a), reg##bits(v, op->b))); \
		NEXT;                                                                        \
	}                                                                                    \
	OP(name##_ri##bits)                                                                  \
	{                                                                                    \
		set_reg##bits(v, op->a,                                                      \
			      do_##name##bits(c, reg##bits(v, op->a), (u##bits)op->imm));    \
		NEXT;                                                                        \
	}                                                                                    \
	OP(name##_rm##bits)                                                                  \
	{                                                                                    \
		MEM_SOURCE(bits, b)                                                          \
		set_reg##bits(v, op->a, do_##name##bits(c, reg##bits(v, op->a), b));         \
		NEXT;                                                                        \
	}                                                                                    \
	OP(name##_mr##bits)                                                                  \
	{                                                                                    \
		RMW(bits, do_##name##bits(c, old, reg##bits(v, op->a)));                     \
	}                                                                                    \
	OP(name##_mi##bits)                                                                  \
	{                                                                                    \
		RMW(bits, do_##name##bits(c, old, (u##bits)op->imm));                        \
	}                                                                                    \
	OP(name##_lmr##bits)                                                                 \
	{                                                                                    \
		RMW_LOCKED(bits, do_##name##bits(c, old, reg##bits(v, op->a)));              \
	}                                                                                    \
	OP(name##_lmi##bits)                                                                 \
	{                                                                                    \
		RMW_LOCKED(bits, do_##name##bits(c, old, (u##bits)op->imm));                 \
	}

/* CMP and TEST: no destination. */
#define DEFINE_COMPARE(name, sem, bits)                                      \
	OP(name##_rr##bits)                                                  \
	{                                                                    \
		do_##sem##bits(c, reg##bits(v, op->a), reg##bits(v, op->b)); \
		NEXT;                                                        \
	}                                                                    \
	OP(name##_ri##bits)                                                  \
	{                                                                    \
		do_##sem##bits(c, reg##bits(v, op->a), (u##bits)op->imm);    \
		NEXT;                                                        \
	}                                                                    \
	OP(name##_rm##bits)                                                  \
	{                                                                    \
		MEM_SOURCE(bits, b)                                          \
		do_##sem##bits(c, reg##bits(v, op->a), b);                   \
		NEXT;                                                        \
	}                                                                    \
	OP(name##_mr##bits)                                                  \
	{                                                                    \
		MEM_SOURCE(bits, a)                                          \
		do_##sem##bits(c, a, reg##bits(v, op->a));                   \
		NEXT;                                                        \
	}                                                                    \
	OP(name##_mi##bits)                                                  \
	{                                                                    \
		MEM_SOURCE(bits, a)                                          \
		do_##sem##bits(c, a, (u##bits)op->imm);                      \
		NEXT;                                                        \
	}

#define DEFINE_UNARY(name, bits)                                                  \
	OP(name##_r##bits)                                                        \
	{                                                                         \
		set_reg##bits(v, op->a, do_##name##bits(c, reg##bits(v, op->a))); \
		NEXT;                                                             \
	}                                                                         \
	OP(name##_m##bits)                                                        \
	{                                                                         \
		RMW(bits, do_##name##bits(c, old));                               \
	}                                                                         \
	OP(name##_lm##bits)                                                       \
	{                                                                         \
		RMW_LOCKED(bits, do_##name##bits(c, old));                        \
	}

#define DEFINE_ALL(bits)                \
	DEFINE_BINARY(add, bits)        \
	DEFINE_BINARY(adc, bits)        \
	DEFINE_BINARY(sub, bits)        \
	DEFINE_BINARY(sbb, bits)        \
	DEFINE_BINARY(and, bits)        \
	DEFINE_BINARY(or, bits)         \
	DEFINE_BINARY(xor, bits)        \
	DEFINE_COMPARE(cmp, sub, bits)  \
	DEFINE_COMPARE(test, and, bits) \
	DEFINE_UNARY(inc, bits)         \
	DEFINE_UNARY(dec, bits)         \
	DEFINE_UNARY(neg, bits)         \
	DEFINE_UNARY(not, bits)
FOR_WIDTHS(DEFINE_ALL)

enum { F_RR, F_RI, F_RM, F_MR, F_MI, F_LMR, F_LMI, FORMS };
enum { A_ADD, A_ADC, A_SUB, A_SBB, A_AND, A_OR, A_XOR, A_CMP, A_TEST };

#define BINARY_FORMS(name)                                                    \
	{                                                                     \
		[F_RR] = BY_WIDTH(name##_rr), [F_RI] = BY_WIDTH(name##_ri),   \
		[F_RM] = BY_WIDTH(name##_rm), [F_MR] = BY_WIDTH(name##_mr),   \
		[F_MI] = BY_WIDTH(name##_mi), [F_LMR] = BY_WIDTH(name##_lmr), \
		[F_LMI] = BY_WIDTH(name##_lmi)                                \
	}
#define COMPARE_FORMS(name)                                                 \
	{                                                                   \
		[F_RR] = BY_WIDTH(name##_rr), [F_RI] = BY_WIDTH(name##_ri), \
		[F_RM] = BY_WIDTH(name##_rm), [F_MR] = BY_WIDTH(name##_mr), \
		[F_MI] = BY_WIDTH(name##_mi)                                \
	}

static op_fn *const binary[][FORMS][4] = {
	[A_ADD] = BINARY_FORMS(add), [A_ADC] = BINARY_FORMS(adc),  [A_SUB] = BINARY_FORMS(sub),
	[A_SBB] = BINARY_FORMS(sbb), [A_AND] = BINARY_FORMS(and),  [A_OR] = BINARY_FORMS(or),
	[A_XOR] = BINARY_FORMS(xor), [A_CMP] = COMPARE_FORMS(cmp), [A_TEST] = COMPARE_FORMS(test),
};

static bool gen_binary(struct dec *d, unsigned which)
{
	unsigned w = width_index(d->o[0].size), form;

	if (is_mem(&d->o[0])) {
		form = is_imm(&d->o[1]) ? F_MI : F_MR;
		if (dec_lock(d))
			form += F_LMR - F_MR;
		if (is_imm(&d->o[1]))
			d->op->imm = dec_imm(&d->o[1]);
		else
			d->op->a = dec_reg(d->o[1].reg.value);
	} else {
		d->op->a = dec_reg(d->o[0].reg.value);
		form = is_imm(&d->o[1]) ? F_RI : is_mem(&d->o[1]) ? F_RM : F_RR;
		if (form == F_RI)
			d->op->imm = dec_imm(&d->o[1]);
		else if (form == F_RR)
			d->op->b = dec_reg(d->o[1].reg.value);
	}
	gen(d, binary[which][form][w]);
	return d->op->fn;
}

enum { U_INC, U_DEC, U_NEG, U_NOT };

#define UNARY_FORMS(name)                                                   \
	{                                                                   \
		BY_WIDTH(name##_r), BY_WIDTH(name##_m), BY_WIDTH(name##_lm) \
	}

static op_fn *const unary[][3][4] = {
	[U_INC] = UNARY_FORMS(inc),
	[U_DEC] = UNARY_FORMS(dec),
	[U_NEG] = UNARY_FORMS(neg),
	[U_NOT] = UNARY_FORMS(not ),
};

static bool gen_unary(struct dec *d, unsigned which)
{
	unsigned form = is_mem(&d->o[0]) ? dec_lock(d) ? 2 : 1 : 0;

	if (!form)
		d->op->a = dec_reg(d->o[0].reg.value);
	gen(d, unary[which][form][width_index(d->o[0].size)]);
	return true;
}

/* ---- Multiplication ------------------------------------------------------------------------ */

/*
 * CF and OF: the upper half matters. SF, ZF, AF and PF are undefined; they come out as of the
 * lower half.
 */
typedef unsigned __int128 u128;
typedef __int128 i128;
typedef u16 wide_u8;
typedef u32 wide_u16;
typedef u64 wide_u32;
typedef u128 wide_u64;
typedef i16 wide_i8;
typedef i32 wide_i16;
typedef i64 wide_i32;
typedef i128 wide_i64;

#define DEFINE_MUL(bits)                                                                           \
	static inline void do_mul##bits(struct alc_vcpu *v, struct interp *c, u##bits b)           \
	{                                                                                          \
		wide_u##bits r = (wide_u##bits)((wide_u##bits)reg##bits(v, X86_RAX) * b);          \
		u##bits hi = (u##bits)(r >> bits), lo = (u##bits)r;                                \
		put_product##bits(v, lo, hi);                                                      \
		flags_set(c, (i##bits)lo, hi != 0, hi != 0);                                       \
	}                                                                                          \
	static inline void do_imul1_##bits(struct alc_vcpu *v, struct interp *c, u##bits b)        \
	{                                                                                          \
		wide_i##bits r =                                                                   \
			(wide_i##bits)((wide_i##bits)(i##bits)reg##bits(v, X86_RAX) * (i##bits)b); \
		u##bits hi = (u##bits)((wide_u##bits)r >> bits), lo = (u##bits)r;                  \
		bool over = r != (i##bits)lo;                                                      \
		put_product##bits(v, lo, hi);                                                      \
		flags_set(c, (i##bits)lo, over, over);                                             \
	}                                                                                          \
	OP(mul_r##bits)                                                                            \
	{                                                                                          \
		do_mul##bits(v, c, reg##bits(v, op->a));                                           \
		NEXT;                                                                              \
	}                                                                                          \
	OP(mul_m##bits)                                                                            \
	{                                                                                          \
		MEM_SOURCE(bits, b)                                                                \
		do_mul##bits(v, c, b);                                                             \
		NEXT;                                                                              \
	}                                                                                          \
	OP(imul1_r##bits)                                                                          \
	{                                                                                          \
		do_imul1_##bits(v, c, reg##bits(v, op->a));                                        \
		NEXT;                                                                              \
	}                                                                                          \
	OP(imul1_m##bits)                                                                          \
	{                                                                                          \
		MEM_SOURCE(bits, b)                                                                \
		do_imul1_##bits(v, c, b);                                                          \
		NEXT;                                                                              \
	}

#define DEFINE_PUT_PRODUCT(bits)                                                         \
	static inline void put_product##bits(struct alc_vcpu *v, u##bits lo, u##bits hi) \
	{                                                                                \
		set_reg##bits(v, X86_RAX, lo);                                           \
		set_reg##bits(v, X86_RDX, hi);                                           \
	}
FOR_WIDTHS_NO8(DEFINE_PUT_PRODUCT)

/* Bytes multiply into AX. */
static inline void put_product8(struct alc_vcpu *v, u8 lo, u8 hi)
{
	set_reg16(v, X86_RAX, (u16)(lo | hi << 8));
}

FOR_WIDTHS(DEFINE_MUL)

#define DEFINE_IMUL(bits)                                                                         \
	static inline u##bits do_imul##bits(struct interp *c, u##bits a, u##bits b)               \
	{                                                                                         \
		wide_i##bits r = (wide_i##bits)((wide_i##bits)(i##bits)a * (i##bits)b);           \
		bool over = r != (i##bits)r;                                                      \
		flags_set(c, (i##bits)r, over, over);                                             \
		return (u##bits)r;                                                                \
	}                                                                                         \
	OP(imul_rr##bits)                                                                         \
	{                                                                                         \
		set_reg##bits(v, op->a,                                                           \
			      do_imul##bits(c, reg##bits(v, op->a), reg##bits(v, op->b)));        \
		NEXT;                                                                             \
	}                                                                                         \
	OP(imul_rm##bits)                                                                         \
	{                                                                                         \
		MEM_SOURCE(bits, b)                                                               \
		set_reg##bits(v, op->a, do_imul##bits(c, reg##bits(v, op->a), b));                \
		NEXT;                                                                             \
	}                                                                                         \
	OP(imul_rri##bits)                                                                        \
	{                                                                                         \
		set_reg##bits(v, op->a, do_imul##bits(c, reg##bits(v, op->b), (u##bits)op->imm)); \
		NEXT;                                                                             \
	}                                                                                         \
	OP(imul_rmi##bits)                                                                        \
	{                                                                                         \
		MEM_SOURCE(bits, b)                                                               \
		set_reg##bits(v, op->a, do_imul##bits(c, b, (u##bits)op->imm));                   \
		NEXT;                                                                             \
	}
FOR_WIDTHS_NO8(DEFINE_IMUL)

static op_fn *const imul_forms[][4] = {
	BY_WIDTH_NO8(imul_rr),
	BY_WIDTH_NO8(imul_rm),
	BY_WIDTH_NO8(imul_rri),
	BY_WIDTH_NO8(imul_rmi),
};

/* ---- Division --------------------------------------------------------------------------------
 *
 * Flags are undefined after DIV and IDIV; they are left alone.
 */
static inline int div_error(struct alc_vcpu *v)
{
	return x86_raise(v, X86_DE);
}

#define DEFINE_DIV(bits)                                                                       \
	static inline int do_div##bits(struct alc_vcpu *v, u##bits b)                          \
	{                                                                                      \
		wide_u##bits a = (wide_u##bits)((wide_u##bits)reg##bits(v, X86_RDX) << bits |  \
						reg##bits(v, X86_RAX));                        \
		if (!b || a / b > (u##bits) ~0ull)                                             \
			return div_error(v);                                                   \
		u##bits q = (u##bits)(a / b), rem = (u##bits)(a % b);                          \
		set_reg##bits(v, X86_RAX, q);                                                  \
		set_reg##bits(v, X86_RDX, rem);                                                \
		return 0;                                                                      \
	}                                                                                      \
	static inline int do_idiv##bits(struct alc_vcpu *v, u##bits ub)                        \
	{                                                                                      \
		wide_u##bits ua = (wide_u##bits)((wide_u##bits)reg##bits(v, X86_RDX) << bits | \
						 reg##bits(v, X86_RAX));                       \
		wide_i##bits a = (wide_i##bits)ua, b = (i##bits)ub, q;                         \
		/* The one quotient that the wide type can't hold either. */                   \
		if (!b || (b == -1 && ua == (wide_u##bits)1 << (2 * bits - 1)))                \
			return div_error(v);                                                   \
		q = (wide_i##bits)(a / b);                                                     \
		if (q != (i##bits)q)                                                           \
			return div_error(v);                                                   \
		set_reg##bits(v, X86_RAX, (u##bits)q);                                         \
		set_reg##bits(v, X86_RDX, (u##bits)(a % b));                                   \
		return 0;                                                                      \
	}
FOR_WIDTHS_NO8(DEFINE_DIV)

/* Bytes divide AX into AL and AH. */
static inline int do_div8(struct alc_vcpu *v, u8 b)
{
	u16 a = reg16(v, X86_RAX);

	if (!b || a / b > 0xff)
		return div_error(v);
	set_reg16(v, X86_RAX, (u16)((a / b) | (a % b) << 8));
	return 0;
}

static inline int do_idiv8(struct alc_vcpu *v, u8 ub)
{
	i16 a = (i16)reg16(v, X86_RAX);
	i8 b = (i8)ub;

	if (!b || a / b != (i8)(a / b))
		return div_error(v);
	set_reg16(v, X86_RAX, (u16)((u8)(a / b) | (u8)(a % b) << 8));
	return 0;
}

#define DEFINE_DIV_FORMS(name, bits)                          \
	OP(name##_r##bits)                                    \
	{                                                     \
		TRY(do_##name##bits(v, reg##bits(v, op->a))); \
		NEXT;                                         \
	}                                                     \
	OP(name##_m##bits)                                    \
	{                                                     \
		MEM_SOURCE(bits, b)                           \
		TRY(do_##name##bits(v, b));                   \
		NEXT;                                         \
	}
#define DEFINE_DIVS(bits) DEFINE_DIV_FORMS(div, bits) DEFINE_DIV_FORMS(idiv, bits)
FOR_WIDTHS(DEFINE_DIVS)

enum { M_MUL, M_IMUL, M_DIV, M_IDIV };

static op_fn *const accumulate[][2][4] = {
	[M_MUL] = {BY_WIDTH(mul_r), BY_WIDTH(mul_m)},
	[M_IMUL] = {BY_WIDTH(imul1_r), BY_WIDTH(imul1_m)},
	[M_DIV] = {BY_WIDTH(div_r), BY_WIDTH(div_m)},
	[M_IDIV] = {BY_WIDTH(idiv_r), BY_WIDTH(idiv_m)},
};

static bool gen_accumulate(struct dec *d, unsigned which)
{
	bool mem = is_mem(&d->o[0]);

	if (!mem)
		d->op->a = dec_reg(d->o[0].reg.value);
	gen(d, accumulate[which][mem][width_index(d->o[0].size)]);
	return true;
}

static bool gen_imul(struct dec *d, unsigned arg)
{
	bool mem = is_mem(&d->o[1]), three = d->z.operand_count_visible == 3;

	if (d->z.operand_count_visible == 1)
		return gen_accumulate(d, M_IMUL);
	d->op->a = dec_reg(d->o[0].reg.value);
	if (!mem)
		d->op->b = dec_reg(d->o[1].reg.value);
	if (three)
		d->op->imm = dec_imm(&d->o[2]);
	gen(d, imul_forms[2 * three + mem][width_index(d->o[0].size)]);
	return true;
}

/* ---- ADCX, ADOX: carry chains in CF and OF alone -------------------------------------------- */

#define DEFINE_ADX(bits)                                                                           \
	static inline void do_adx##bits(struct alc_vcpu *v, struct interp *c, const struct op *op, \
					u##bits b)                                                 \
	{                                                                                          \
		bool adox = op->imm, cf = flag_cf(c), of = flag_of(c);                             \
		u##bits a = reg##bits(v, op->a), r;                                                \
		bool carry = __builtin_add_overflow(a, b, &r);                                     \
		carry |= __builtin_add_overflow(r, (u##bits)(adox ? of : cf), &r);                 \
		set_reg##bits(v, op->a, r);                                                        \
		flags_set_cf_of(c, adox ? cf : carry, adox ? carry : of);                          \
	}                                                                                          \
	OP(adx_r##bits)                                                                            \
	{                                                                                          \
		do_adx##bits(v, c, op, reg##bits(v, op->b));                                       \
		NEXT;                                                                              \
	}                                                                                          \
	OP(adx_m##bits)                                                                            \
	{                                                                                          \
		MEM_SOURCE(bits, b)                                                                \
		do_adx##bits(v, c, op, b);                                                         \
		NEXT;                                                                              \
	}
DEFINE_ADX(32)
DEFINE_ADX(64)

static bool gen_adx(struct dec *d, unsigned adox)
{
	static op_fn *const forms[2][2] = {{adx_r32, adx_r64}, {adx_m32, adx_m64}};
	bool mem = is_mem(&d->o[1]);

	d->op->a = dec_reg(d->o[0].reg.value);
	d->op->imm = adox;
	if (!mem)
		d->op->b = dec_reg(d->o[1].reg.value);
	gen(d, forms[mem][d->o[0].size == 64]);
	return true;
}

const struct insn_row alu_rows[] = {
	{ZYDIS_MNEMONIC_ADD, gen_binary, A_ADD},
	{ZYDIS_MNEMONIC_ADC, gen_binary, A_ADC},
	{ZYDIS_MNEMONIC_SUB, gen_binary, A_SUB},
	{ZYDIS_MNEMONIC_SBB, gen_binary, A_SBB},
	{ZYDIS_MNEMONIC_AND, gen_binary, A_AND},
	{ZYDIS_MNEMONIC_OR, gen_binary, A_OR},
	{ZYDIS_MNEMONIC_XOR, gen_binary, A_XOR},
	{ZYDIS_MNEMONIC_CMP, gen_binary, A_CMP},
	{ZYDIS_MNEMONIC_TEST, gen_binary, A_TEST},
	{ZYDIS_MNEMONIC_INC, gen_unary, U_INC},
	{ZYDIS_MNEMONIC_DEC, gen_unary, U_DEC},
	{ZYDIS_MNEMONIC_NEG, gen_unary, U_NEG},
	{ZYDIS_MNEMONIC_NOT, gen_unary, U_NOT},
	{ZYDIS_MNEMONIC_MUL, gen_accumulate, M_MUL},
	{ZYDIS_MNEMONIC_IMUL, gen_imul, 0},
	{ZYDIS_MNEMONIC_DIV, gen_accumulate, M_DIV},
	{ZYDIS_MNEMONIC_IDIV, gen_accumulate, M_IDIV},
	{ZYDIS_MNEMONIC_ADCX, gen_adx, 0},
	{ZYDIS_MNEMONIC_ADOX, gen_adx, 1},
	{0},
};
