/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions whose opcodes 64-bit mode has taken for others or dropped: decimal arithmetic, SALC,
 * BOUND, ARPL.
 */
#include "engine/interp/ops.h"

/* ---- Decimal arithmetic ---- */

static u8 al(const struct alc_vcpu *v)
{
	return (u8)v->gpr[X86_RAX];
}

/* ZF, SF and PF by AL; OF is undefined, and 0 here. */
static void set_al(struct alc_vcpu *v, struct interp *c, u8 val, bool cf, bool af)
{
	set_reg8(v, X86_RAX * 8, val);
	flags_set(c, (i8)val, cf, false);
	c->flag_aux |= af ? AUX_AF : 0;
}

/* Packed: the low digit is out of range or has carried into the high one; likewise the high one. */
static void adjust_packed(struct alc_vcpu *v, struct interp *c, int sign)
{
	u8 old = al(v), val = old;
	bool low = (old & 15) > 9 || flag_af(c), high = old > 0x99 || flag_cf(c);
	/* Only subtraction keeps what the low digit's adjustment borrows. */
	bool borrow = sign < 0 && low && old < 6;

	if (low)
		val = (u8)(val + sign * 6);
	if (high)
		val = (u8)(val + sign * 0x60);
	set_al(v, c, val, high || borrow, low);
}

OP(daa)
{
	adjust_packed(v, c, 1);
	NEXT;
}

OP(das)
{
	adjust_packed(v, c, -1);
	NEXT;
}

/* Unpacked: the low digit alone, which carries into AH. */
static void adjust_unpacked(struct alc_vcpu *v, struct interp *c, int sign)
{
	bool carry = (al(v) & 15) > 9 || flag_af(c);
	u16 ax = (u16)(reg16(v, X86_RAX) + (carry ? sign * 0x106 : 0));

	set_reg16(v, X86_RAX, ax);
	set_al(v, c, ax & 15, carry, carry);
}

OP(aaa)
{
	adjust_unpacked(v, c, 1);
	NEXT;
}

OP(aas)
{
	adjust_unpacked(v, c, -1);
	NEXT;
}

/* op->imm: the base of the digits. */
OP(aam)
{
	u8 base = (u8)op->imm, val = al(v);

	if (!base)
		TRY(x86_raise(v, X86_DE));
	set_reg8(v, X86_RAX * 8 + 1, val / base);
	set_al(v, c, val % base, false, false);
	NEXT;
}

OP(aad)
{
	u8 val = (u8)(al(v) + reg8(v, X86_RAX * 8 + 1) * (u8)op->imm);

	set_reg8(v, X86_RAX * 8 + 1, 0);
	set_al(v, c, val, false, false);
	NEXT;
}

OP(salc)
{
	set_reg8(v, X86_RAX * 8, flag_cf(c) ? 0xff : 0);
	NEXT;
}

enum { D_AAA, D_AAS, D_DAA, D_DAS, D_AAM, D_AAD, D_SALC };

static bool gen_decimal(struct dec *d, unsigned which)
{
	static op_fn *const fn[] = {aaa, aas, daa, das, aam, aad, salc};

	if (which == D_AAM || which == D_AAD)
		d->op->imm = dec_imm(&d->o[0]);
	gen(d, fn[which]);
	return true;
}

/* ---- Checks ---- */

/* op->a: register, op->b: its size. The bounds are signed, and may both be met. */
OP(bound)
{
	i64 index = sext(v->gpr[op->a], op->b);
	u64 low = 0, high = 0;

	EA(gva, 2u * op->b, X86_READ)
	TRY(mem_read_slow(v, c, op, gva, &low, op->b));
	TRY(mem_read_slow(v, c, op, gva + op->b, &high, op->b));
	if (index < sext(low, op->b) || index > sext(high, op->b))
		TRY(x86_raise(v, X86_BR));
	NEXT;
}

static bool gen_bound(struct dec *d, unsigned arg)
{
	d->op->a = dec_reg(d->o[0].reg.value);
	d->op->b = (u8)(d->z.operand_width / 8);
	gen(d, bound);
	return true;
}

/* The privilege of a selector is lowered to the other one's; ZF says if it had to be. */
static bool adjust_privilege(struct interp *c, u16 *sel, u16 other)
{
	bool lower = (*sel & 3) < (other & 3);

	if (lower)
		*sel = (u16)((*sel & ~3) | (other & 3));
	flags_put(c, (flags_get(c) & ~(u64)X86_ZF) | (lower ? X86_ZF : 0));
	return lower;
}

OP(arpl_r)
{
	u16 sel = reg16(v, op->a);

	if (adjust_privilege(c, &sel, reg16(v, op->b)))
		set_reg16(v, op->a, sel);
	NEXT;
}

OP(arpl_m)
{
	u16 sel, *p;

	EA(gva, 2, X86_RMW)
	p = mem_rmw_begin(v, c, op, gva, 2);
	TRY(!p);
	sel = ld16(p);
	adjust_privilege(c, &sel, reg16(v, op->b));
	st16(p, sel);
	TRY(mem_rmw_end(v, c, op, gva, p, 2));
	NEXT;
}

/* Real mode has it not. */
static bool gen_arpl(struct dec *d, unsigned arg)
{
	bool reg = is_reg(&d->o[0]);

	d->op->a = reg ? dec_reg(d->o[0].reg.value) : 0;
	d->op->b = dec_reg(d->o[1].reg.value);
	gen(d, d->mode & MODE_REAL ? op_ud : reg ? arpl_r : arpl_m);
	return true;
}

const struct insn_row legacy_rows[] = {
	{ZYDIS_MNEMONIC_BOUND, gen_bound, 0},       {ZYDIS_MNEMONIC_ARPL, gen_arpl, 0},
	{ZYDIS_MNEMONIC_AAA, gen_decimal, D_AAA},   {ZYDIS_MNEMONIC_AAS, gen_decimal, D_AAS},
	{ZYDIS_MNEMONIC_DAA, gen_decimal, D_DAA},   {ZYDIS_MNEMONIC_DAS, gen_decimal, D_DAS},
	{ZYDIS_MNEMONIC_AAM, gen_decimal, D_AAM},   {ZYDIS_MNEMONIC_AAD, gen_decimal, D_AAD},
	{ZYDIS_MNEMONIC_SALC, gen_decimal, D_SALC}, {0},
};
