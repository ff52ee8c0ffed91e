/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bit tests, scans and counts, BMI1 and the rest of BMI2, byte swaps, CRC32.
 */
#include "engine/interp/ops.h"

typedef unsigned __int128 u128;
typedef u64 wide_u32;
typedef u128 wide_u64;

/* ---- BT, BTS, BTR, BTC ------------------------------------------------------------------------
 */

enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

static inline u64 bit_apply(enum bit_op what, u64 x, u64 mask)
{
	switch (what) {
	case BIT_SET:
		return x | mask;
	case BIT_RESET:
		return x & ~mask;
	case BIT_COMPLEMENT:
		return x ^ mask;
	default:
		return x;
	}
}

/* op->b: register of the bit offset, or X86_REG_ZERO: op->imm. */
static inline u64 bit_offset(const struct alc_vcpu *v, const struct op *op)
{
	return v->gpr[op->b] + op->imm;
}

/*
 * A register offset addresses memory anywhere: the operand is the element of its own width that
 * holds the bit, counted from the effective address (SDM vol. 2, BT). An immediate stays inside.
 */
static inline u64 bit_displacement(const struct op *op, u64 offset, unsigned bits)
{
	i64 element = op->b == X86_REG_ZERO ? 0
					    : sext(offset, bits / 8) >> (bits == 64   ? 6
									 : bits == 32 ? 5
										      : 4);

	return (u64)element * (bits / 8);
}

#define DEFINE_BITS(name, what, bits)                                                             \
	OP(name##_r##bits)                                                                        \
	{                                                                                         \
		u64 mask = BIT(bit_offset(v, op) & (bits - 1));                                   \
		u##bits x = reg##bits(v, op->a);                                                  \
		flags_set_cf(c, x &mask);                                                         \
		if (what != BIT_TEST)                                                             \
			set_reg##bits(v, op->a, (u##bits)bit_apply(what, x, mask));               \
		NEXT;                                                                             \
	}                                                                                         \
	OP(name##_m##bits)                                                                        \
	{                                                                                         \
		u64 offset = bit_offset(v, op), mask = BIT(offset & (bits - 1));                  \
		u64 gva = op_ea(v, op) + bit_displacement(op, offset, bits);                      \
		TRY(linear(v, op, &gva, bits / 8, what == BIT_TEST ? X86_READ : X86_RMW));        \
		if (what == BIT_TEST) {                                                           \
			u##bits x;                                                                \
			TRY(mem_read##bits(v, c, op, gva, &x));                                   \
			flags_set_cf(c, x &mask);                                                 \
			NEXT;                                                                     \
		}                                                                                 \
		u##bits *p = mem_rmw_begin(v, c, op, gva, bits / 8), old;                         \
		TRY(!p);                                                                          \
		old = ld##bits(p);                                                                \
		st##bits(p, (u##bits)bit_apply(what, old, mask));                                 \
		TRY(mem_rmw_end(v, c, op, gva, p, bits / 8));                                     \
		flags_set_cf(c, old &mask);                                                       \
		NEXT;                                                                             \
	}                                                                                         \
	OP(name##_lm##bits)                                                                       \
	{                                                                                         \
		u64 offset = bit_offset(v, op), mask = BIT(offset & (bits - 1));                  \
		u64 gva = op_ea(v, op) + bit_displacement(op, offset, bits);                      \
		TRY(linear(v, op, &gva, bits / 8, X86_RMW));                                      \
		u##bits *p = mem_lock_begin(v, c, op, gva, bits / 8), old;                        \
		TRY(!p);                                                                          \
		old = ld##bits(p);                                                                \
		while (!__atomic_compare_exchange_n(p, &old, (u##bits)bit_apply(what, old, mask), \
						    false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))   \
			;                                                                         \
		TRY(mem_lock_end(v, c, op, gva, p, bits / 8));                                    \
		flags_set_cf(c, old &mask);                                                       \
		NEXT;                                                                             \
	}
#define DEFINE_ALL_BITS(bits)             \
	DEFINE_BITS(bt, BIT_TEST, bits)   \
	DEFINE_BITS(bts, BIT_SET, bits)   \
	DEFINE_BITS(btr, BIT_RESET, bits) \
	DEFINE_BITS(btc, BIT_COMPLEMENT, bits)
FOR_WIDTHS_NO8(DEFINE_ALL_BITS)

#define BIT_FORMS(name)                                                                 \
	{                                                                               \
		BY_WIDTH_NO8(name##_r), BY_WIDTH_NO8(name##_m), BY_WIDTH_NO8(name##_lm) \
	}

static bool gen_bit(struct dec *d, unsigned which)
{
	static op_fn *const forms[][3][4] = {
		[BIT_TEST] = BIT_FORMS(bt),
		[BIT_SET] = BIT_FORMS(bts),
		[BIT_RESET] = BIT_FORMS(btr),
		[BIT_COMPLEMENT] = BIT_FORMS(btc),
	};
	bool mem = is_mem(&d->o[0]);

	if (!mem)
		d->op->a = dec_reg(d->o[0].reg.value);
	d->op->b = is_imm(&d->o[1]) ? X86_REG_ZERO : dec_reg(d->o[1].reg.value);
	d->op->imm = is_imm(&d->o[1]) ? dec_imm(&d->o[1]) : 0;
	gen(d, forms[which][mem ? 1 + dec_lock(d) : 0][width_index(d->o[0].size)]);
	return true;
}

/* ---- One source, one destination: scans, counts, BMI1 ------------------------------------------
 */

/* Each: does the work and the flags. */
#define DEFINE_SCANS(bits)                                                          \
	static inline u##bits do_tzcnt##bits(struct interp *c, u##bits x)           \
	{                                                                           \
		u##bits r = x ? (u##bits)__builtin_ctzll(x) : bits;                 \
		flags_set(c, r, !x, false);                                         \
		return r;                                                           \
	}                                                                           \
	static inline u##bits do_lzcnt##bits(struct interp *c, u##bits x)           \
	{                                                                           \
		u##bits r = x ? (u##bits)(__builtin_clzll(x) - (64 - bits)) : bits; \
		flags_set(c, r, !x, false);                                         \
		return r;                                                           \
	}                                                                           \
	static inline u##bits do_popcnt##bits(struct interp *c, u##bits x)          \
	{                                                                           \
		flags_put(c, x ? 0 : X86_ZF);                                       \
		return (u##bits)__builtin_popcountll(x);                            \
	}                                                                           \
	static inline u##bits do_blsr##bits(struct interp *c, u##bits x)            \
	{                                                                           \
		u##bits r = (u##bits)(x & (x - 1));                                 \
		flags_set(c, (i##bits)r, !x, false);                                \
		return r;                                                           \
	}                                                                           \
	static inline u##bits do_blsmsk##bits(struct interp *c, u##bits x)          \
	{                                                                           \
		u##bits r = (u##bits)(x ^ (x - 1));                                 \
		flags_set(c, (i##bits)r, !x, false);                                \
		return r;                                                           \
	}                                                                           \
	static inline u##bits do_blsi##bits(struct interp *c, u##bits x)            \
	{                                                                           \
		u##bits r = (u##bits)(x & (0 - x));                                 \
		flags_set(c, (i##bits)r, x != 0, false);                            \
		return r;                                                           \
	}
FOR_WIDTHS_NO8(DEFINE_SCANS)

#define DEFINE_SCAN_FORMS(name, bits)                                             \
	OP(name##_r##bits)                                                        \
	{                                                                         \
		set_reg##bits(v, op->a, do_##name##bits(c, reg##bits(v, op->b))); \
		NEXT;                                                             \
	}                                                                         \
	OP(name##_m##bits)                                                        \
	{                                                                         \
		MEM_SOURCE(bits, x)                                               \
		set_reg##bits(v, op->a, do_##name##bits(c, x));                   \
		NEXT;                                                             \
	}
#define DEFINE_ALL_SCANS(bits)          \
	DEFINE_SCAN_FORMS(tzcnt, bits)  \
	DEFINE_SCAN_FORMS(lzcnt, bits)  \
	DEFINE_SCAN_FORMS(popcnt, bits) \
	DEFINE_SCAN_FORMS(blsr, bits)   \
	DEFINE_SCAN_FORMS(blsmsk, bits) \
	DEFINE_SCAN_FORMS(blsi, bits)
FOR_WIDTHS_NO8(DEFINE_ALL_SCANS)

/*
 * BSF and BSR of 0 leave the destination alone, upper half included: what AMD documents and
 * Intel's CPUs do.
 */
#define DEFINE_BIT_SCAN(name, index, bits)                                       \
	static inline void do_##name##bits(struct alc_vcpu *v, struct interp *c, \
					   const struct op *op, u##bits x)       \
	{                                                                        \
		flags_logic(c, (i##bits)x);                                      \
		if (x)                                                           \
			set_reg##bits(v, op->a, (u##bits)(index));               \
	}                                                                        \
	OP(name##_r##bits)                                                       \
	{                                                                        \
		do_##name##bits(v, c, op, reg##bits(v, op->b));                  \
		NEXT;                                                            \
	}                                                                        \
	OP(name##_m##bits)                                                       \
	{                                                                        \
		MEM_SOURCE(bits, x)                                              \
		do_##name##bits(v, c, op, x);                                    \
		NEXT;                                                            \
	}
#define DEFINE_BIT_SCANS(bits)                         \
	DEFINE_BIT_SCAN(bsf, __builtin_ctzll(x), bits) \
	DEFINE_BIT_SCAN(bsr, 63 - __builtin_clzll(x), bits)
FOR_WIDTHS_NO8(DEFINE_BIT_SCANS)

enum { C_BSF, C_BSR, C_TZCNT, C_LZCNT, C_POPCNT, C_BLSR, C_BLSMSK, C_BLSI };

#define SCAN_FORMS(name)                                       \
	{                                                      \
		BY_WIDTH_NO8(name##_r), BY_WIDTH_NO8(name##_m) \
	}

static bool gen_scan(struct dec *d, unsigned which)
{
	static op_fn *const forms[][2][4] = {
		[C_BSF] = SCAN_FORMS(bsf),       [C_BSR] = SCAN_FORMS(bsr),
		[C_TZCNT] = SCAN_FORMS(tzcnt),   [C_LZCNT] = SCAN_FORMS(lzcnt),
		[C_POPCNT] = SCAN_FORMS(popcnt), [C_BLSR] = SCAN_FORMS(blsr),
		[C_BLSMSK] = SCAN_FORMS(blsmsk), [C_BLSI] = SCAN_FORMS(blsi),
	};
	bool mem = is_mem(&d->o[1]);

	d->op->a = dec_reg(d->o[0].reg.value);
	if (!mem)
		d->op->b = dec_reg(d->o[1].reg.value);
	gen(d, forms[which][mem][width_index(d->o[0].size)]);
	return true;
}

/* ---- Two sources: ANDN, BEXTR, BZHI, PDEP, PEXT, MULX -------------------------------------------
 */

static inline u64 deposit(u64 x, u64 mask)
{
	u64 r = 0;

	for (; mask; mask &= mask - 1, x >>= 1)
		if (x & 1)
			r |= mask & -mask;
	return r;
}

static inline u64 extract(u64 x, u64 mask)
{
	u64 r = 0, bit = 1;

	for (; mask; mask &= mask - 1, bit <<= 1)
		if (x & mask & -mask)
			r |= bit;
	return r;
}

/* r: the operand that is always a register; m: the one that may be in memory. */
#define DEFINE_PAIRS(bits)                                                               \
	static inline u##bits do_andn##bits(struct interp *c, u##bits r, u##bits m)      \
	{                                                                                \
		flags_logic(c, (i##bits)(~r & m));                                       \
		return ~r & m;                                                           \
	}                                                                                \
	static inline u##bits do_bextr##bits(struct interp *c, u##bits r, u##bits m)     \
	{                                                                                \
		unsigned start = (u8)r, len = (u8)(r >> 8);                              \
		u##bits x = start >= bits ? 0 : (u##bits)((m >> start) & mask_low(len)); \
		flags_put(c, x ? 0 : X86_ZF);                                            \
		return x;                                                                \
	}                                                                                \
	static inline u##bits do_bzhi##bits(struct interp *c, u##bits r, u##bits m)      \
	{                                                                                \
		unsigned n = (u8)r;                                                      \
		u##bits x = (u##bits)(m & mask_low(n));                                  \
		flags_set(c, (i##bits)x, n >= bits, false);                              \
		return x;                                                                \
	}                                                                                \
	static inline u##bits do_pdep##bits(struct interp *c, u##bits r, u##bits m)      \
	{                                                                                \
		(void)c;                                                                 \
		return (u##bits)deposit(r, m);                                           \
	}                                                                                \
	static inline u##bits do_pext##bits(struct interp *c, u##bits r, u##bits m)      \
	{                                                                                \
		(void)c;                                                                 \
		return (u##bits)extract(r, m);                                           \
	}
DEFINE_PAIRS(32)
DEFINE_PAIRS(64)

/* op->a destination, op->imm the register operand, op->b or memory the other. */
#define DEFINE_PAIR_FORMS(name, bits)                                                             \
	OP(name##_r##bits)                                                                        \
	{                                                                                         \
		set_reg##bits(v, op->a,                                                           \
			      do_##name##bits(c, (u##bits)v->gpr[op->imm], reg##bits(v, op->b))); \
		NEXT;                                                                             \
	}                                                                                         \
	OP(name##_m##bits)                                                                        \
	{                                                                                         \
		MEM_SOURCE(bits, x)                                                               \
		set_reg##bits(v, op->a, do_##name##bits(c, (u##bits)v->gpr[op->imm], x));         \
		NEXT;                                                                             \
	}
#define DEFINE_ALL_PAIRS(bits)         \
	DEFINE_PAIR_FORMS(andn, bits)  \
	DEFINE_PAIR_FORMS(bextr, bits) \
	DEFINE_PAIR_FORMS(bzhi, bits)  \
	DEFINE_PAIR_FORMS(pdep, bits)  \
	DEFINE_PAIR_FORMS(pext, bits)
DEFINE_ALL_PAIRS(32)
DEFINE_ALL_PAIRS(64)

/* MULX: op->a receives the upper half, op->imm the lower, in this order of writing. */
#define DEFINE_MULX(bits)                                                                    \
	static inline void do_mulx##bits(struct alc_vcpu *v, const struct op *op, u##bits m) \
	{                                                                                    \
		wide_u##bits r = (wide_u##bits)reg##bits(v, X86_RDX) * m;                    \
		v->gpr[op->imm] = (u##bits)r;                                                \
		v->gpr[op->a] = (u##bits)(r >> bits);                                        \
	}                                                                                    \
	OP(mulx_r##bits)                                                                     \
	{                                                                                    \
		do_mulx##bits(v, op, reg##bits(v, op->b));                                   \
		NEXT;                                                                        \
	}                                                                                    \
	OP(mulx_m##bits)                                                                     \
	{                                                                                    \
		MEM_SOURCE(bits, x)                                                          \
		do_mulx##bits(v, op, x);                                                     \
		NEXT;                                                                        \
	}
DEFINE_MULX(32)
DEFINE_MULX(64)

enum { P_ANDN, P_BEXTR, P_BZHI, P_PDEP, P_PEXT, P_MULX };

#define PAIR_FORMS(name)                                            \
	{                                                           \
		{name##_r32, name##_r64}, {name##_m32, name##_m64}, \
	}

static bool gen_pair(struct dec *d, unsigned which)
{
	static op_fn *const forms[][2][2] = {
		[P_ANDN] = PAIR_FORMS(andn), [P_BEXTR] = PAIR_FORMS(bextr),
		[P_BZHI] = PAIR_FORMS(bzhi), [P_PDEP] = PAIR_FORMS(pdep),
		[P_PEXT] = PAIR_FORMS(pext), [P_MULX] = PAIR_FORMS(mulx),
	};
	/* BEXTR and BZHI have the register last and the r/m operand second. */
	bool rm_second = which == P_BEXTR || which == P_BZHI;
	const ZydisDecodedOperand *rm = &d->o[rm_second ? 1 : 2], *reg = &d->o[rm_second ? 2 : 1];

	d->op->a = dec_reg(d->o[0].reg.value);
	d->op->imm = dec_reg(reg->reg.value);
	if (is_reg(rm))
		d->op->b = dec_reg(rm->reg.value);
	gen(d, forms[which][is_mem(rm)][d->o[0].size == 64]);
	return true;
}

/* ---- Byte order ---------------------------------------------------------------------------------
 */

OP(bswap32)
{
	v->gpr[op->a] = __builtin_bswap32(reg32(v, op->a));
	NEXT;
}

OP(bswap64)
{
	v->gpr[op->a] = __builtin_bswap64(v->gpr[op->a]);
	NEXT;
}

/* Undefined by the SDM; CPUs clear the word. */
OP(bswap16)
{
	set_reg16(v, op->a, 0);
	NEXT;
}

static bool gen_bswap(struct dec *d, unsigned arg)
{
	d->op->a = dec_reg(d->o[0].reg.value);
	gen(d, d->o[0].size == 64 ? bswap64 : d->o[0].size == 32 ? bswap32 : bswap16);
	return true;
}

#define DEFINE_MOVBE(bits)                                                                       \
	OP(movbe_load##bits)                                                                     \
	{                                                                                        \
		MEM_SOURCE(bits, x)                                                              \
		set_reg##bits(v, op->a, __builtin_bswap##bits(x));                               \
		NEXT;                                                                            \
	}                                                                                        \
	OP(movbe_store##bits)                                                                    \
	{                                                                                        \
		EA(gva, bits / 8, X86_WRITE)                                                     \
		TRY(mem_write##bits(v, c, op, gva, __builtin_bswap##bits(reg##bits(v, op->a)))); \
		NEXT;                                                                            \
	}
FOR_WIDTHS_NO8(DEFINE_MOVBE)

static bool gen_movbe(struct dec *d, unsigned arg)
{
	static op_fn *const load[4] = BY_WIDTH_NO8(movbe_load), *const store[4] =
									BY_WIDTH_NO8(movbe_store);
	bool to_mem = is_mem(&d->o[0]);

	d->op->a = dec_reg(d->o[to_mem].reg.value);
	gen(d, (to_mem ? store : load)[width_index(d->o[0].size)]);
	return true;
}

/* ---- CRC32 --------------------------------------------------------------------------------------
 */

/* CRC-32C, reflected polynomial 0x82f63b78, four bits at a time. */
static u32 crc32c(u32 crc, u64 data, unsigned bytes)
{
	static const u32 nibble[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	unsigned i;

	for (i = 0; i < bytes * 2; i++, data >>= 4)
		crc = crc >> 4 ^ nibble[(crc ^ data) & 15];
	return crc;
}

#define DEFINE_CRC(bits)                                                                \
	OP(crc32_r##bits)                                                               \
	{                                                                               \
		v->gpr[op->a] = crc32c(reg32(v, op->a), reg##bits(v, op->b), bits / 8); \
		NEXT;                                                                   \
	}                                                                               \
	OP(crc32_m##bits)                                                               \
	{                                                                               \
		MEM_SOURCE(bits, x)                                                     \
		v->gpr[op->a] = crc32c(reg32(v, op->a), x, bits / 8);                   \
		NEXT;                                                                   \
	}
FOR_WIDTHS(DEFINE_CRC)

static bool gen_crc32(struct dec *d, unsigned arg)
{
	static op_fn *const forms[2][4] = {BY_WIDTH(crc32_r), BY_WIDTH(crc32_m)};
	bool mem = is_mem(&d->o[1]);

	d->op->a = dec_reg(d->o[0].reg.value);
	if (!mem)
		d->op->b = dec_reg(d->o[1].reg.value);
	gen(d, forms[mem][width_index(d->o[1].size)]);
	return true;
}

const struct insn_row bit_rows[] = {
	{ZYDIS_MNEMONIC_BT, gen_bit, BIT_TEST},      {ZYDIS_MNEMONIC_BTS, gen_bit, BIT_SET},
	{ZYDIS_MNEMONIC_BTR, gen_bit, BIT_RESET},    {ZYDIS_MNEMONIC_BTC, gen_bit, BIT_COMPLEMENT},
	{ZYDIS_MNEMONIC_BSF, gen_scan, C_BSF},       {ZYDIS_MNEMONIC_BSR, gen_scan, C_BSR},
	{ZYDIS_MNEMONIC_TZCNT, gen_scan, C_TZCNT},   {ZYDIS_MNEMONIC_LZCNT, gen_scan, C_LZCNT},
	{ZYDIS_MNEMONIC_POPCNT, gen_scan, C_POPCNT}, {ZYDIS_MNEMONIC_BLSR, gen_scan, C_BLSR},
	{ZYDIS_MNEMONIC_BLSMSK, gen_scan, C_BLSMSK}, {ZYDIS_MNEMONIC_BLSI, gen_scan, C_BLSI},
	{ZYDIS_MNEMONIC_ANDN, gen_pair, P_ANDN},     {ZYDIS_MNEMONIC_BEXTR, gen_pair, P_BEXTR},
	{ZYDIS_MNEMONIC_BZHI, gen_pair, P_BZHI},     {ZYDIS_MNEMONIC_PDEP, gen_pair, P_PDEP},
	{ZYDIS_MNEMONIC_PEXT, gen_pair, P_PEXT},     {ZYDIS_MNEMONIC_MULX, gen_pair, P_MULX},
	{ZYDIS_MNEMONIC_BSWAP, gen_bswap, 0},        {ZYDIS_MNEMONIC_MOVBE, gen_movbe, 0},
	{ZYDIS_MNEMONIC_CRC32, gen_crc32, 0},        {0},
};
