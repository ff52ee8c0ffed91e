/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_INTERP_OPS_H
#define ENGINE_INTERP_OPS_H

/*
 * What the instruction families share: registers by width, and handlers named by width.
 * Only the families include it.
 */
#include "engine/interp/interp.h"

/* 8-bit registers are named by their byte's offset in gpr[], so that AH … BH need no case. */
static inline u8 reg8(const struct alc_vcpu *v, unsigned off)
{
	return ((const u8 *)v->gpr)[off];
}

static inline u16 reg16(const struct alc_vcpu *v, unsigned r)
{
	return (u16)v->gpr[r];
}

static inline u32 reg32(const struct alc_vcpu *v, unsigned r)
{
	return (u32)v->gpr[r];
}

static inline u64 reg64(const struct alc_vcpu *v, unsigned r)
{
	return v->gpr[r];
}

static inline void set_reg8(struct alc_vcpu *v, unsigned off, u8 val)
{
	((u8 *)v->gpr)[off] = val;
}

static inline void set_reg16(struct alc_vcpu *v, unsigned r, u16 val)
{
	v->gpr[r] = (v->gpr[r] & ~0xffffull) | val;
}

/* Writing 32 bits clears the upper half (SDM vol. 1 3.4.1.1). */
static inline void set_reg32(struct alc_vcpu *v, unsigned r, u32 val)
{
	v->gpr[r] = val;
}

static inline void set_reg64(struct alc_vcpu *v, unsigned r, u64 val)
{
	v->gpr[r] = val;
}

static inline void set_reg_size(struct alc_vcpu *v, unsigned r, u64 val, unsigned size)
{
	switch (size) {
	case 1:
		set_reg8(v, r, (u8)val);
		break;
	case 2:
		set_reg16(v, r, (u16)val);
		break;
	case 4:
		set_reg32(v, r, (u32)val);
		break;
	default:
		set_reg64(v, r, val);
		break;
	}
}

static inline u64 reg_size(const struct alc_vcpu *v, unsigned r, unsigned size)
{
	return size == 1 ? reg8(v, r) : zext(v->gpr[r], size);
}

/* One entry a width, in the order of width_index(). */
#define BY_WIDTH(name)                                \
	{                                             \
		name##8, name##16, name##32, name##64 \
	}
#define BY_WIDTH_NO8(name)                         \
	{                                          \
		NULL, name##16, name##32, name##64 \
	}
#define FOR_WIDTHS(X)     X(8) X(16) X(32) X(64)
#define FOR_WIDTHS_NO8(X) X(16) X(32) X(64)

static inline unsigned width_index(unsigned bits)
{
	return bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3;
}

/*
 * The linear address of the op's memory operand into `gva`, or out by the fault.
 */
#define EA(gva, size, access)                              \
	u64 gva = op_ea(v, op);                            \
	if (unlikely(linear(v, op, &gva, size, access))) { \
		op_fault(v, op, c);                        \
		return;                                    \
	}

/* Fault out if e is nonzero. */
#define TRY(e)                              \
	do {                                \
		if (unlikely(e)) {          \
			op_fault(v, op, c); \
			return;             \
		}                           \
	} while (0)

#define OP(name) static void name(struct alc_vcpu *v, const struct op *op, struct interp *c)

/* Declares x and reads the memory operand into it. */
#define MEM_SOURCE(bits, x)               \
	u##bits x;                        \
	EA(x##_gva, (bits) / 8, X86_READ) \
	TRY(mem_read##bits(v, c, op, x##_gva, &x));

/* After an isa/ function: X86_OK falls through. */
void op_leave_result(struct alc_vcpu *v, const struct op *op, struct interp *c, int result);
#define TRY_ISA(e)                                             \
	do {                                                   \
		int isa_result = (e);                          \
		if (unlikely(isa_result)) {                    \
			op_leave_result(v, op, c, isa_result); \
			return;                                \
		}                                              \
	} while (0)

/* Stack, in any mode; nonzero: fault, nothing changed. RSP is the caller's to move. */
int stack_write(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 rsp, u64 val,
		unsigned size);
int stack_read(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 rsp, u64 *val,
	       unsigned size);
/* The new RSP after moving it by delta: only its stack-width part changes. */
u64 stack_move(const struct alc_vcpu *v, i64 delta);

/* Operand kinds, for choosing forms. */
static inline bool is_reg(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER;
}

static inline bool is_mem(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY;
}

static inline bool is_imm(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

static inline void gen(struct dec *d, op_fn *fn)
{
	d->op->fn = fn;
}

/* Conditions, in the encoding order of Jcc's low nibble (SDM vol. 2 appendix B, table B-10). */
static inline bool condition(const struct interp *c, unsigned cc)
{
	bool r;

	switch (cc >> 1) {
	case 0:
		r = flag_of(c);
		break;
	case 1:
		r = flag_cf(c);
		break;
	case 2:
		r = flag_zf(c);
		break;
	case 3:
		r = flag_cf(c) || flag_zf(c);
		break;
	case 4:
		r = flag_sf(c);
		break;
	case 5:
		r = flag_pf(c);
		break;
	case 6:
		r = flag_sf(c) ^ flag_of(c);
		break;
	default:
		r = (flag_sf(c) ^ flag_of(c)) || flag_zf(c);
		break;
	}
	return r ^ (cc & 1);
}

#define FOR_CONDITIONS(X) \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

#endif
