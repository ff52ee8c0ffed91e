/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves, extensions, LEA, conditional moves and sets, flag instructions, no-operations.
 */
#include "engine/interp/ops.h"
#include "engine/interp/system.h"

#define DEFINE_MOV(bits)                                                  \
	OP(mov_rr##bits)                                                  \
	{                                                                 \
		set_reg##bits(v, op->a, reg##bits(v, op->b));             \
		NEXT;                                                     \
	}                                                                 \
	OP(mov_ri##bits)                                                  \
	{                                                                 \
		set_reg##bits(v, op->a, (u##bits)op->imm);                \
		NEXT;                                                     \
	}                                                                 \
	OP(mov_rm##bits)                                                  \
	{                                                                 \
		MEM_SOURCE(bits, x)                                       \
		set_reg##bits(v, op->a, x);                               \
		NEXT;                                                     \
	}                                                                 \
	OP(mov_mr##bits)                                                  \
	{                                                                 \
		EA(gva, bits / 8, X86_WRITE)                              \
		TRY(mem_write##bits(v, c, op, gva, reg##bits(v, op->a))); \
		NEXT;                                                     \
	}                                                                 \
	OP(mov_mi##bits)                                                  \
	{                                                                 \
		EA(gva, bits / 8, X86_WRITE)                              \
		TRY(mem_write##bits(v, c, op, gva, (u##bits)op->imm));    \
		NEXT;                                                     \
	}
FOR_WIDTHS(DEFINE_MOV)

static bool gen_mov(struct dec *d, unsigned arg)
{
	static op_fn *const rr[4] = BY_WIDTH(mov_rr), *const ri[4] = BY_WIDTH(mov_ri),
			    *const rm[4] = BY_WIDTH(mov_rm), *const mr[4] = BY_WIDTH(mov_mr),
			    *const mi[4] = BY_WIDTH(mov_mi);
	unsigned w = width_index(d->o[0].size);

	if (system_mov(d))
		return true;
	if (is_mem(&d->o[0])) {
		if (is_imm(&d->o[1]))
			d->op->imm = dec_imm(&d->o[1]);
		else
			d->op->a = dec_reg(d->o[1].reg.value);
		gen(d, (is_imm(&d->o[1]) ? mi : mr)[w]);
		return true;
	}
	d->op->a = dec_reg(d->o[0].reg.value);
	if (is_imm(&d->o[1]))
		d->op->imm = dec_imm(&d->o[1]);
	else if (is_reg(&d->o[1]))
		d->op->b = dec_reg(d->o[1].reg.value);
	gen(d, (is_imm(&d->o[1]) ? ri : is_mem(&d->o[1]) ? rm : rr)[w]);
	return true;
}

/* ---- MOVZX, MOVSX, MOVSXD ----------------------------------------------------------------------
 */

#define DEFINE_EXTEND(name, type, from, to)                                    \
	OP(name##_r##from##_##to)                                              \
	{                                                                      \
		set_reg##to(v, op->a, (u##to)(type##from)reg##from(v, op->b)); \
		NEXT;                                                          \
	}                                                                      \
	OP(name##_m##from##_##to)                                              \
	{                                                                      \
		MEM_SOURCE(from, x)                                            \
		set_reg##to(v, op->a, (u##to)(type##from)x);                   \
		NEXT;                                                          \
	}
#define DEFINE_EXTENDS(name, type)        \
	DEFINE_EXTEND(name, type, 8, 16)  \
	DEFINE_EXTEND(name, type, 8, 32)  \
	DEFINE_EXTEND(name, type, 8, 64)  \
	DEFINE_EXTEND(name, type, 16, 16) \
	DEFINE_EXTEND(name, type, 16, 32) \
	DEFINE_EXTEND(name, type, 16, 64) \
	DEFINE_EXTEND(name, type, 32, 16) \
	DEFINE_EXTEND(name, type, 32, 32) \
	DEFINE_EXTEND(name, type, 32, 64)
DEFINE_EXTENDS(movzx, u)
DEFINE_EXTENDS(movsx, i)

/* [source width][destination width], then register and memory; 16-bit and up. */
#define EXTEND_ROW(name, from)                                      \
	{                                                           \
		{name##_r##from##_16, name##_m##from##_16},         \
			{name##_r##from##_32, name##_m##from##_32}, \
			{name##_r##from##_64, name##_m##from##_64}, \
	}
#define EXTEND_FORMS(name)                                                      \
	{                                                                       \
		EXTEND_ROW(name, 8), EXTEND_ROW(name, 16), EXTEND_ROW(name, 32) \
	}

static bool gen_extend(struct dec *d, unsigned is_signed)
{
	static op_fn *const forms[2][3][3][2] = {EXTEND_FORMS(movzx), EXTEND_FORMS(movsx)};
	bool mem = is_mem(&d->o[1]);
	unsigned from = d->o[1].size, to = d->o[0].size;

	/* MOVSXD into 16 bits reads 16 (SDM vol. 2, MOVSXD); Zydis says 32. */
	if (from > to)
		from = to;
	d->op->a = dec_reg(d->o[0].reg.value);
	if (!mem)
		d->op->b = dec_reg(d->o[1].reg.value);
	gen(d, forms[is_signed][width_index(from)][width_index(to) - 1][mem]);
	return true;
}

/* CBW family and CWD family: sign extension in place and into rDX. */
#define DEFINE_SIGN(half, full)                                                         \
	OP(extend_a##full)                                                              \
	{                                                                               \
		set_reg##full(v, X86_RAX, (u##full)(i##half)reg##half(v, X86_RAX));     \
		NEXT;                                                                   \
	}                                                                               \
	OP(extend_d##full)                                                              \
	{                                                                               \
		set_reg##full(v, X86_RDX,                                               \
			      (u##full)((i##full)reg##full(v, X86_RAX) >> (full - 1))); \
		NEXT;                                                                   \
	}
DEFINE_SIGN(8, 16)
DEFINE_SIGN(16, 32)
DEFINE_SIGN(32, 64)

enum { E_CBW, E_CWDE, E_CDQE, E_CWD, E_CDQ, E_CQO };

static bool gen_sign(struct dec *d, unsigned which)
{
	static op_fn *const fn[] = {extend_a16, extend_a32, extend_a64,
				    extend_d16, extend_d32, extend_d64};

	gen(d, fn[which]);
	return true;
}

/* ---- LEA
 * ------------------------------------------------------------------------------------------ */

OP(lea_fast64)
{
	v->gpr[op->a] = op_ea(v, op);
	NEXT;
}

OP(lea_any)
{
	set_reg_size(v, op->a, ea_cut(op, op_ea(v, op)), (unsigned)op->imm);
	NEXT;
}

static bool gen_lea(struct dec *d, unsigned arg)
{
	dec_mem(d, &d->o[1]);
	/* Only the address size counts; a segment has no part in it. */
	d->op->addr = d->z.address_width == 64   ? 0
		      : d->z.address_width == 32 ? ADDR_SIZE32
						 : ADDR_SIZE16;
	d->op->a = dec_reg(d->o[0].reg.value);
	d->op->imm = d->o[0].size / 8;
	gen(d, d->o[0].size == 64 && d->z.address_width == 64 ? lea_fast64 : lea_any);
	return true;
}

/* ---- CMOVcc, SETcc
 * ---------------------------------------------------------------------------------- */

/* The condition is op->imm's low nibble; a false CMOV still reads, and clears the upper half. */
#define DEFINE_CMOV(bits)                                                          \
	OP(cmov_r##bits)                                                           \
	{                                                                          \
		u##bits x = condition(c, (unsigned)op->imm) ? reg##bits(v, op->b)  \
							    : reg##bits(v, op->a); \
		set_reg##bits(v, op->a, x);                                        \
		NEXT;                                                              \
	}                                                                          \
	OP(cmov_m##bits)                                                           \
	{                                                                          \
		MEM_SOURCE(bits, x)                                                \
		if (!condition(c, (unsigned)op->imm))                              \
			x = reg##bits(v, op->a);                                   \
		set_reg##bits(v, op->a, x);                                        \
		NEXT;                                                              \
	}
FOR_WIDTHS_NO8(DEFINE_CMOV)

static bool gen_cmov(struct dec *d, unsigned cc)
{
	static op_fn *const forms[2][4] = {BY_WIDTH_NO8(cmov_r), BY_WIDTH_NO8(cmov_m)};
	bool mem = is_mem(&d->o[1]);

	d->op->a = dec_reg(d->o[0].reg.value);
	if (!mem)
		d->op->b = dec_reg(d->o[1].reg.value);
	d->op->imm = cc;
	gen(d, forms[mem][width_index(d->o[0].size)]);
	return true;
}

OP(setcc_r)
{
	set_reg8(v, op->a, condition(c, (unsigned)op->imm));
	NEXT;
}

OP(setcc_m)
{
	EA(gva, 1, X86_WRITE)
	TRY(mem_write8(v, c, op, gva, condition(c, (unsigned)op->imm)));
	NEXT;
}

static bool gen_setcc(struct dec *d, unsigned cc)
{
	bool mem = is_mem(&d->o[0]);

	if (!mem)
		d->op->a = dec_reg(d->o[0].reg.value);
	d->op->imm = cc;
	gen(d, mem ? setcc_m : setcc_r);
	return true;
}

/* ---- Flags
 * ------------------------------------------------------------------------------------------- */

OP(clc)
{
	flags_set_cf(c, false);
	NEXT;
}

OP(stc)
{
	flags_set_cf(c, true);
	NEXT;
}

OP(cmc)
{
	flags_set_cf(c, !flag_cf(c));
	NEXT;
}

OP(cld)
{
	v->rflags &= ~(u64)X86_DF;
	NEXT;
}

OP(std)
{
	v->rflags |= X86_DF;
	NEXT;
}

OP(lahf)
{
	set_reg8(v, X86_RAX * 8 + 1, (u8)((flags_get(c) & 0xff) | X86_R1));
	NEXT;
}

OP(sahf)
{
	flags_put(c, (flags_get(c) & X86_OF) | (reg8(v, X86_RAX * 8 + 1) & X86_ARITH));
	NEXT;
}

/* No-operations, hints and prefetches: nothing to see. */
OP(nop)
{
	NEXT;
}

OP(xlat)
{
	u8 x;
	u64 gva = v->gpr[X86_RBX] + reg8(v, X86_RAX * 8);

	TRY(linear(v, op, &gva, 1, X86_READ));
	TRY(mem_read8(v, c, op, gva, &x));
	set_reg8(v, X86_RAX * 8, x);
	NEXT;
}

static bool gen_xlat(struct dec *d, unsigned arg)
{
	/* The memory operand is hidden: presets give segment and size. */
	dec_mem(d, dec_mem_operand(d));
	gen(d, xlat);
	return true;
}

enum { N_CLC, N_STC, N_CMC, N_CLD, N_STD, N_LAHF, N_SAHF, N_NOP };

static bool gen_plain(struct dec *d, unsigned which)
{
	static op_fn *const fn[] = {clc, stc, cmc, cld, std, lahf, sahf, nop};

	gen(d, fn[which]);
	return true;
}

const struct insn_row move_rows[] = {
	{ZYDIS_MNEMONIC_MOV, gen_mov, 0},
	{ZYDIS_MNEMONIC_MOVZX, gen_extend, 0},
	{ZYDIS_MNEMONIC_MOVSX, gen_extend, 1},
	{ZYDIS_MNEMONIC_MOVSXD, gen_extend, 1},
	{ZYDIS_MNEMONIC_CBW, gen_sign, E_CBW},
	{ZYDIS_MNEMONIC_CWDE, gen_sign, E_CWDE},
	{ZYDIS_MNEMONIC_CDQE, gen_sign, E_CDQE},
	{ZYDIS_MNEMONIC_CWD, gen_sign, E_CWD},
	{ZYDIS_MNEMONIC_CDQ, gen_sign, E_CDQ},
	{ZYDIS_MNEMONIC_CQO, gen_sign, E_CQO},
	{ZYDIS_MNEMONIC_LEA, gen_lea, 0},
	{ZYDIS_MNEMONIC_CMOVO, gen_cmov, 0},
	{ZYDIS_MNEMONIC_CMOVNO, gen_cmov, 1},
	{ZYDIS_MNEMONIC_CMOVB, gen_cmov, 2},
	{ZYDIS_MNEMONIC_CMOVNB, gen_cmov, 3},
	{ZYDIS_MNEMONIC_CMOVZ, gen_cmov, 4},
	{ZYDIS_MNEMONIC_CMOVNZ, gen_cmov, 5},
	{ZYDIS_MNEMONIC_CMOVBE, gen_cmov, 6},
	{ZYDIS_MNEMONIC_CMOVNBE, gen_cmov, 7},
	{ZYDIS_MNEMONIC_CMOVS, gen_cmov, 8},
	{ZYDIS_MNEMONIC_CMOVNS, gen_cmov, 9},
	{ZYDIS_MNEMONIC_CMOVP, gen_cmov, 10},
	{ZYDIS_MNEMONIC_CMOVNP, gen_cmov, 11},
	{ZYDIS_MNEMONIC_CMOVL, gen_cmov, 12},
	{ZYDIS_MNEMONIC_CMOVNL, gen_cmov, 13},
	{ZYDIS_MNEMONIC_CMOVLE, gen_cmov, 14},
	{ZYDIS_MNEMONIC_CMOVNLE, gen_cmov, 15},
	{ZYDIS_MNEMONIC_SETO, gen_setcc, 0},
	{ZYDIS_MNEMONIC_SETNO, gen_setcc, 1},
	{ZYDIS_MNEMONIC_SETB, gen_setcc, 2},
	{ZYDIS_MNEMONIC_SETNB, gen_setcc, 3},
	{ZYDIS_MNEMONIC_SETZ, gen_setcc, 4},
	{ZYDIS_MNEMONIC_SETNZ, gen_setcc, 5},
	{ZYDIS_MNEMONIC_SETBE, gen_setcc, 6},
	{ZYDIS_MNEMONIC_SETNBE, gen_setcc, 7},
	{ZYDIS_MNEMONIC_SETS, gen_setcc, 8},
	{ZYDIS_MNEMONIC_SETNS, gen_setcc, 9},
	{ZYDIS_MNEMONIC_SETP, gen_setcc, 10},
	{ZYDIS_MNEMONIC_SETNP, gen_setcc, 11},
	{ZYDIS_MNEMONIC_SETL, gen_setcc, 12},
	{ZYDIS_MNEMONIC_SETNL, gen_setcc, 13},
	{ZYDIS_MNEMONIC_SETLE, gen_setcc, 14},
	{ZYDIS_MNEMONIC_SETNLE, gen_setcc, 15},
	{ZYDIS_MNEMONIC_CLC, gen_plain, N_CLC},
	{ZYDIS_MNEMONIC_STC, gen_plain, N_STC},
	{ZYDIS_MNEMONIC_CMC, gen_plain, N_CMC},
	{ZYDIS_MNEMONIC_CLD, gen_plain, N_CLD},
	{ZYDIS_MNEMONIC_STD, gen_plain, N_STD},
	{ZYDIS_MNEMONIC_LAHF, gen_plain, N_LAHF},
	{ZYDIS_MNEMONIC_SAHF, gen_plain, N_SAHF},
	{ZYDIS_MNEMONIC_XLAT, gen_xlat, 0},
	{ZYDIS_MNEMONIC_NOP, gen_plain, N_NOP},
	{ZYDIS_MNEMONIC_ENDBR32, gen_plain, N_NOP},
	{ZYDIS_MNEMONIC_ENDBR64, gen_plain, N_NOP},
	{ZYDIS_MNEMONIC_PREFETCH, gen_plain, N_NOP},
	{ZYDIS_MNEMONIC_PREFETCHNTA, gen_plain, N_NOP},
	{ZYDIS_MNEMONIC_PREFETCHT0, gen_plain, N_NOP},
	{ZYDIS_MNEMONIC_PREFETCHT1, gen_plain, N_NOP},
	{ZYDIS_MNEMONIC_PREFETCHT2, gen_plain, N_NOP},
	{ZYDIS_MNEMONIC_PREFETCHW, gen_plain, N_NOP},
	{ZYDIS_MNEMONIC_PREFETCHWT1, gen_plain, N_NOP},
	{0},
};
