/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PUSH and POP in all forms, PUSHF/POPF, ENTER, LEAVE, PUSHA/POPA.
 */
#include "engine/interp/ops.h"
#include "isa/segment.h"

/*
 * An access through RSP: a non-canonical address is #SS, not #GP (SDM vol. 1 3.3.7.1).
 */
static int stack_fault(struct alc_vcpu *v, u64 gva)
{
	if (x86_long_mode(v) && v->fault.vector == X86_GP && !x86_canonical(gva))
		return x86_raise_error(v, X86_SSF, 0);
	return 1;
}

static void stack_linear(const struct alc_vcpu *v, u64 rsp, u64 *gva)
{
	*gva = rsp & seg_stack_mask(v);
	if (!x86_code64(v))
		*gva = (u32)(v->seg[X86_SS].base + *gva);
}

int stack_write(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 rsp, u64 val,
		unsigned size)
{
	u64 gva;
	int r;

	stack_linear(v, rsp, &gva);
	switch (size) {
	case 2:
		r = mem_write16(v, c, op, gva, (u16)val);
		break;
	case 4:
		r = mem_write32(v, c, op, gva, (u32)val);
		break;
	default:
		r = mem_write64(v, c, op, gva, val);
		break;
	}
	return r ? stack_fault(v, gva) : 0;
}

int stack_read(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 rsp, u64 *val,
	       unsigned size)
{
	u64 gva;
	u16 x16;
	u32 x32;
	int r;

	stack_linear(v, rsp, &gva);
	switch (size) {
	case 2:
		r = mem_read16(v, c, op, gva, &x16);
		*val = r ? *val : x16;
		break;
	case 4:
		r = mem_read32(v, c, op, gva, &x32);
		*val = r ? *val : x32;
		break;
	default:
		r = mem_read64(v, c, op, gva, val);
		break;
	}
	return r ? stack_fault(v, gva) : 0;
}

u64 stack_move(const struct alc_vcpu *v, i64 delta)
{
	u64 mask = seg_stack_mask(v), rsp = v->gpr[X86_RSP] + (u64)delta;

	return mask == 0xffff ? (v->gpr[X86_RSP] & ~mask) | (rsp & mask) : rsp & mask;
}

/* ---- 64-bit mode, 8 bytes: what nearly every push and pop is ------------------------------------
 */

#define PUSH64(val)                                      \
	u64 rsp = v->gpr[X86_RSP] - 8;                   \
	if (unlikely(mem_write64(v, c, op, rsp, val))) { \
		stack_fault(v, rsp);                     \
		op_fault(v, op, c);                      \
		return;                                  \
	}                                                \
	v->gpr[X86_RSP] = rsp;                           \
	NEXT

OP(push64_r)
{
	PUSH64(v->gpr[op->a]);
}

OP(push64_i)
{
	PUSH64(op->imm);
}

OP(push64_m)
{
	u64 x;

	EA(gva, 8, X86_READ)
	TRY(mem_read64(v, c, op, gva, &x));
	PUSH64(x);
}

OP(pop64_r)
{
	u64 x, rsp = v->gpr[X86_RSP];

	if (unlikely(mem_read64(v, c, op, rsp, &x))) {
		stack_fault(v, rsp);
		op_fault(v, op, c);
		return;
	}
	v->gpr[X86_RSP] = rsp + 8;
	v->gpr[op->a] = x; /* after RSP: POP RSP leaves what was popped */
	NEXT;
}

/* ---- Any mode, 2, 4 or 8 bytes: op->disp or op->imm carries the size
 * ------------------------------ */

/* Size in op->b. */
OP(push_r)
{
	TRY(stack_write(v, c, op, v->gpr[X86_RSP] - op->b, v->gpr[op->a], op->b));
	v->gpr[X86_RSP] = stack_move(v, -(i64)op->b);
	NEXT;
}

OP(push_i)
{
	TRY(stack_write(v, c, op, v->gpr[X86_RSP] - op->b, op->imm, op->b));
	v->gpr[X86_RSP] = stack_move(v, -(i64)op->b);
	NEXT;
}

OP(push_m)
{
	u64 x = 0;

	EA(gva, op->b, X86_READ)
	TRY(mem_read_slow(v, c, op, gva, &x, op->b));
	TRY(stack_write(v, c, op, v->gpr[X86_RSP] - op->b, x, op->b));
	v->gpr[X86_RSP] = stack_move(v, -(i64)op->b);
	NEXT;
}

OP(pop_r)
{
	u64 x = 0;

	TRY(stack_read(v, c, op, v->gpr[X86_RSP], &x, op->b));
	v->gpr[X86_RSP] = stack_move(v, op->b);
	set_reg_size(v, op->a, x, op->b);
	NEXT;
}

/* The address is computed with RSP already moved (SDM vol. 2, POP). */
OP(pop_m)
{
	u64 x = 0, before = v->gpr[X86_RSP], gva;

	TRY(stack_read(v, c, op, before, &x, op->b));
	v->gpr[X86_RSP] = stack_move(v, op->b);
	gva = op_ea(v, op);
	if (unlikely(linear(v, op, &gva, op->b, X86_WRITE) ||
		     mem_write_slow(v, c, op, gva, &x, op->b))) {
		v->gpr[X86_RSP] = before;
		op_fault(v, op, c);
		return;
	}
	NEXT;
}

/* op->a: segment register. Memory gets 16 bits; a wider slot keeps its upper part. */
OP(push_sreg)
{
	u64 rsp = v->gpr[X86_RSP] - op->b;

	TRY(stack_write(v, c, op, rsp, v->seg[op->a].sel, op->b));
	v->gpr[X86_RSP] = stack_move(v, -(i64)op->b);
	NEXT;
}

OP(pop_sreg)
{
	u64 x = 0;

	TRY(stack_read(v, c, op, v->gpr[X86_RSP], &x, op->b));
	TRY_ISA(x86_load_segment(v, op->a, (u16)x));
	v->gpr[X86_RSP] = stack_move(v, op->b);
	v->rip = op_next_rip(v, op);
	if (op->a == X86_SS) {
		v->shadow_rip = v->rip;
		v->shadow_ss = true;
	}
	LEAVE;
}

static u8 sreg_index(ZydisRegister r)
{
	return (u8)(r - ZYDIS_REGISTER_ES);
}

static bool is_sreg(const ZydisDecodedOperand *o)
{
	return is_reg(o) && o->reg.value >= ZYDIS_REGISTER_ES && o->reg.value <= ZYDIS_REGISTER_GS;
}

static bool gen_push(struct dec *d, unsigned arg)
{
	unsigned size = d->z.operand_width / 8;
	bool fast = size == 8;

	d->op->b = (u8)size;
	if (is_sreg(&d->o[0])) {
		d->op->a = sreg_index(d->o[0].reg.value);
		gen(d, push_sreg);
	} else if (is_imm(&d->o[0])) {
		d->op->imm = dec_imm(&d->o[0]);
		gen(d, fast ? push64_i : push_i);
	} else if (is_reg(&d->o[0])) {
		d->op->a = dec_reg(d->o[0].reg.value);
		gen(d, fast ? push64_r : push_r);
	} else {
		gen(d, fast ? push64_m : push_m);
	}
	return true;
}

static bool gen_pop(struct dec *d, unsigned arg)
{
	unsigned size = d->z.operand_width / 8;

	d->op->b = (u8)size;
	if (is_sreg(&d->o[0])) {
		d->op->a = sreg_index(d->o[0].reg.value);
		gen(d, pop_sreg);
		d->end = true;
	} else if (is_reg(&d->o[0])) {
		d->op->a = dec_reg(d->o[0].reg.value);
		gen(d, size == 8 ? pop64_r : pop_r);
	} else {
		dec_mem(d, &d->o[0]);
		gen(d, pop_m);
	}
	return true;
}

/* ---- Flags
 * ------------------------------------------------------------------------------------------ */

OP(pushf_any)
{
	u64 f;

	flags_sync(v, c);
	/* RF and VM read as 0 (SDM vol. 2, PUSHF). */
	f = (v->rflags & ~(u64)(X86_RF | X86_VM)) | X86_R1;
	TRY(stack_write(v, c, op, v->gpr[X86_RSP] - op->b, f, op->b));
	v->gpr[X86_RSP] = stack_move(v, -(i64)op->b);
	NEXT;
}

OP(popf_any)
{
	u64 f = 0, mask = X86_ARITH | X86_TF | X86_DF | X86_NT;
	unsigned iopl = (v->rflags & X86_IOPL) >> 12;

	TRY(stack_read(v, c, op, v->gpr[X86_RSP], &f, op->b));
	if (op->b > 2)
		mask |= X86_AC | X86_ID;
	if (v->cpl == 0)
		mask |= X86_IOPL;
	if (!x86_protected(v) || v->cpl <= iopl)
		mask |= X86_IF;
	v->gpr[X86_RSP] = stack_move(v, op->b);
	v->rflags = (v->rflags & ~mask & ~(u64)X86_RF) | (f & mask) | X86_R1;
	flags_load(v, c);
	v->rip = op_next_rip(v, op);
	interp_mode_changed(v); /* TF, AC */
	if (v->rflags & X86_IF)
		interp_recheck_interrupts(v, c);
	LEAVE;
}

static bool gen_pushf(struct dec *d, unsigned pop)
{
	d->op->b = (u8)(d->z.operand_width / 8);
	gen(d, pop ? popf_any : pushf_any);
	d->end = pop;
	return true;
}

/* ---- ENTER, LEAVE, PUSHA, POPA
 * ------------------------------------------------------------------------ */

/* The last word of the new frame must be writable, though nothing is written there. */
static int stack_probe(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 rsp,
		       unsigned size)
{
	u64 gva;

	stack_linear(v, rsp, &gva);
	return mem_rmw_begin(v, c, op, gva, size) ? 0 : stack_fault(v, gva);
}

/* Size in op->b, frame bytes in op->imm, nesting level in op->a (SDM vol. 2, ENTER). */
OP(enter)
{
	unsigned size = op->b, level = op->a & 31, i;
	u64 rsp = v->gpr[X86_RSP] - size, rbp = v->gpr[X86_RBP], frame = rsp, x;

	TRY(stack_write(v, c, op, rsp, rbp, size));
	for (i = 1; i < level; i++) {
		rbp -= size;
		TRY(stack_read(v, c, op, rbp, &x, size));
		rsp -= size;
		TRY(stack_write(v, c, op, rsp, x, size));
	}
	if (level) {
		rsp -= size;
		TRY(stack_write(v, c, op, rsp, frame, size));
	}
	rsp -= op->imm;
	TRY(stack_probe(v, c, op, rsp, size));
	v->gpr[X86_RSP] = stack_move(v, (i64)(rsp - v->gpr[X86_RSP]));
	set_reg_size(v, X86_RBP, frame, size);
	NEXT;
}

OP(leave64)
{
	u64 x, rbp = v->gpr[X86_RBP];

	if (unlikely(mem_read64(v, c, op, rbp, &x))) {
		stack_fault(v, rbp);
		op_fault(v, op, c);
		return;
	}
	v->gpr[X86_RSP] = rbp + 8;
	v->gpr[X86_RBP] = x;
	NEXT;
}

OP(leave_any)
{
	u64 x = 0;

	TRY(stack_read(v, c, op, v->gpr[X86_RBP], &x, op->b));
	v->gpr[X86_RSP] = stack_move(v, (i64)(v->gpr[X86_RBP] + op->b - v->gpr[X86_RSP]));
	set_reg_size(v, X86_RBP, x, op->b);
	NEXT;
}

OP(pusha)
{
	u64 rsp = v->gpr[X86_RSP];
	unsigned i;

	for (i = 0; i < 8; i++)
		TRY(stack_write(v, c, op, rsp - (i + 1) * op->b, v->gpr[i], op->b));
	v->gpr[X86_RSP] = stack_move(v, -(i64)(8 * op->b));
	NEXT;
}

OP(popa)
{
	u64 val[8] = {0};
	unsigned i;

	for (i = 0; i < 8; i++)
		TRY(stack_read(v, c, op, v->gpr[X86_RSP] + i * op->b, &val[7 - i], op->b));
	for (i = 0; i < 8; i++)
		if (i != X86_RSP)
			set_reg_size(v, i, val[i], op->b);
	v->gpr[X86_RSP] = stack_move(v, 8 * op->b);
	NEXT;
}

enum { K_ENTER, K_LEAVE, K_PUSHA, K_POPA };

static bool gen_frame(struct dec *d, unsigned which)
{
	unsigned size = d->z.operand_width / 8;

	d->op->b = (u8)size;
	if (which == K_ENTER) {
		d->op->imm = dec_imm(&d->o[0]) & 0xffff;
		d->op->a = (u8)dec_imm(&d->o[1]);
	}
	gen(d, which == K_ENTER                   ? enter
	       : which == K_PUSHA                 ? pusha
	       : which == K_POPA                  ? popa
	       : size == 8 && (d->mode & MODE_64) ? leave64
						  : leave_any);
	return true;
}

const struct insn_row stack_rows[] = {
	{ZYDIS_MNEMONIC_PUSH, gen_push, 0},
	{ZYDIS_MNEMONIC_POP, gen_pop, 0},
	{ZYDIS_MNEMONIC_PUSHF, gen_pushf, 0},
	{ZYDIS_MNEMONIC_PUSHFD, gen_pushf, 0},
	{ZYDIS_MNEMONIC_PUSHFQ, gen_pushf, 0},
	{ZYDIS_MNEMONIC_POPF, gen_pushf, 1},
	{ZYDIS_MNEMONIC_POPFD, gen_pushf, 1},
	{ZYDIS_MNEMONIC_POPFQ, gen_pushf, 1},
	{ZYDIS_MNEMONIC_ENTER, gen_frame, K_ENTER},
	{ZYDIS_MNEMONIC_LEAVE, gen_frame, K_LEAVE},
	{ZYDIS_MNEMONIC_PUSHA, gen_frame, K_PUSHA},
	{ZYDIS_MNEMONIC_PUSHAD, gen_frame, K_PUSHA},
	{ZYDIS_MNEMONIC_POPA, gen_frame, K_POPA},
	{ZYDIS_MNEMONIC_POPAD, gen_frame, K_POPA},
	{0},
};
