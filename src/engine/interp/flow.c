/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Near jumps, calls and returns, loops.
 *
 * A direct transfer knows its target's offset from the block's start (op->imm) and the width
 * that RIP is cut to (op->disp). op->a and op->b say whether the taken and the fall-through
 * successor lie in the block's own page: then the block remembers them. Whether they do depends
 * only on offsets within the page, so it holds at whatever address the page is mapped.
 */
#include "engine/interp/ops.h"
#include "engine/interp/system.h"

static inline void go_taken(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	v->rip = (v->gpr[X86_REG_BLOCK] + op->imm) & (u64)op->disp;
	if (op->a)
		c->slot = &c->block->succ[1];
}

static inline void go_on(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	v->rip = op_next_rip(v, op);
	if (op->b)
		c->slot = &c->block->succ[0];
}

OP(jmp_rel)
{
	go_taken(v, op, c);
}

#define DEFINE_JCC(cc)                      \
	OP(jcc_##cc)                        \
	{                                   \
		if (condition(c, cc))       \
			go_taken(v, op, c); \
		else                        \
			go_on(v, op, c);    \
	}
FOR_CONDITIONS(DEFINE_JCC)

/* LOOPcc and JrCXZ: the count register's width is op->base. */
static inline u64 loop_count(struct alc_vcpu *v, const struct op *op)
{
	u64 n = zext(v->gpr[X86_RCX] - 1, op->base);

	set_reg_size(v, X86_RCX, n, op->base);
	return n;
}

OP(loop_any)
{
	if (loop_count(v, op))
		go_taken(v, op, c);
	else
		go_on(v, op, c);
}

OP(loope)
{
	if (loop_count(v, op) && flag_zf(c))
		go_taken(v, op, c);
	else
		go_on(v, op, c);
}

OP(loopne)
{
	if (loop_count(v, op) && !flag_zf(c))
		go_taken(v, op, c);
	else
		go_on(v, op, c);
}

OP(jrcxz)
{
	if (!zext(v->gpr[X86_RCX], op->base))
		go_taken(v, op, c);
	else
		go_on(v, op, c);
}

/* Offset of a page within [0, 4096)? `at` counts from the page in which the block starts. */
static bool in_page(i64 at)
{
	return at >= 0 && at < ALC_PAGE_SIZE;
}

static u64 rip_mask(const struct dec *d, unsigned opsize)
{
	if ((d->mode & MODE_SIZE) == MODE_64)
		return ~0ull;
	return opsize == 2 ? 0xffff : 0xffffffff;
}

/* Fills op for a direct transfer; block_off: where the block starts in its page. */
static void set_target(struct dec *d)
{
	i64 next = d->off + d->z.length;
	i64 target = next + d->o[0].imm.value.s;

	d->op->imm = (u64)target;
	d->op->disp = (i64)rip_mask(d, d->z.operand_width / 8);
	d->op->a = in_page((i64)d->block_off + target);
	d->op->b = in_page((i64)d->block_off + next);
	d->end = true;
}

static bool gen_jcc(struct dec *d, unsigned cc)
{
#define JCC_NAME(n) jcc_##n,
	static op_fn *const fn[] = {FOR_CONDITIONS(JCC_NAME)};

	set_target(d);
	gen(d, fn[cc]);
	return true;
}

enum { L_LOOP, L_LOOPE, L_LOOPNE, L_JRCXZ };

static bool gen_loop(struct dec *d, unsigned which)
{
	static op_fn *const fn[] = {loop_any, loope, loopne, jrcxz};

	set_target(d);
	d->op->base = (u8)(d->z.address_width / 8);
	gen(d, fn[which]);
	return true;
}

/* ---- Indirect transfers, calls, returns
 * ------------------------------------------------------------ */

/* Near indirect target: canonical in 64-bit mode, else it is #GP at the jump itself. */
static int check_target(struct alc_vcpu *v, u64 rip)
{
	if (unlikely(!x86_canonical(rip)))
		return x86_raise_error(v, X86_GP, 0);
	if (!x86_code64(v) && rip > v->seg[X86_CS].limit)
		return x86_raise_error(v, X86_GP, 0);
	return 0;
}

OP(jmp_r)
{
	u64 rip = v->gpr[op->a] & op->imm;

	TRY(check_target(v, rip));
	v->rip = rip;
}

/* op->b: operand size. */
OP(jmp_m)
{
	u64 rip = 0;

	EA(gva, op->b, X86_READ)
	TRY(mem_read_slow(v, c, op, gva, &rip, op->b));
	TRY(check_target(v, rip));
	v->rip = rip;
}

OP(jmp64_m)
{
	u64 rip;

	EA(gva, 8, X86_READ)
	TRY(mem_read64(v, c, op, gva, &rip));
	TRY(check_target(v, rip));
	v->rip = rip;
}

/*
 * The return address is stored before the target is looked at: a bad target leaves it in memory,
 * with RSP unmoved.
 */
static inline int call_to(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 rip,
			  unsigned size)
{
	if (stack_write(v, c, op, v->gpr[X86_RSP] - size, op_next_rip(v, op), size) ||
	    check_target(v, rip))
		return 1;
	v->gpr[X86_RSP] = stack_move(v, -(i64)size);
	v->rip = rip;
	return 0;
}

OP(call64_rel)
{
	u64 rsp = v->gpr[X86_RSP] - 8;

	if (likely(mem_wptr(c, rsp, 8))) {
		mem_write64(v, c, op, rsp, op_next_rip(v, op));
		v->gpr[X86_RSP] = rsp;
	} else {
		TRY(call_to(v, c, op, 0, 8));
	}
	go_taken(v, op, c);
}

/* op->base: operand size. */
OP(call_rel)
{
	TRY(call_to(v, c, op, 0, op->base));
	go_taken(v, op, c);
}

OP(call_r)
{
	u64 rip = v->gpr[op->a] & op->imm;

	TRY(call_to(v, c, op, rip, op->b));
}

OP(call_m)
{
	u64 rip = 0;

	EA(gva, op->b, X86_READ)
	if (op->b == 8)
		TRY(mem_read64(v, c, op, gva, &rip));
	else
		TRY(mem_read_slow(v, c, op, gva, &rip, op->b));
	TRY(call_to(v, c, op, rip, op->b));
}

OP(ret64)
{
	u64 rip, rsp = v->gpr[X86_RSP];
	const u8 *p = mem_rptr(c, rsp, 8);

	if (likely(p))
		rip = ld64(p);
	else
		TRY(stack_read(v, c, op, rsp, &rip, 8));
	if (unlikely(!x86_canonical(rip)))
		TRY(x86_raise_error(v, X86_GP, 0));
	v->gpr[X86_RSP] = rsp + 8 + op->imm;
	v->rip = rip;
}

/* op->b: operand size; op->imm: bytes to release. */
OP(ret_any)
{
	u64 rip = 0;

	TRY(stack_read(v, c, op, v->gpr[X86_RSP], &rip, op->b));
	TRY(check_target(v, rip));
	v->gpr[X86_RSP] = stack_move(v, (i64)(op->b + op->imm));
	v->rip = rip;
}

static bool is_far(const struct dec *d)
{
	return d->z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

static bool gen_jmp(struct dec *d, unsigned arg)
{
	unsigned size = d->z.operand_width / 8;

	if (is_far(d))
		return flow_far(d, false);
	if (is_imm(&d->o[0])) {
		set_target(d);
		gen(d, jmp_rel);
		return true;
	}
	d->op->b = (u8)size;
	if (is_reg(&d->o[0])) {
		d->op->a = dec_reg(d->o[0].reg.value);
		d->op->imm = mask_low(size * 8);
		gen(d, jmp_r);
	} else {
		gen(d, size == 8 ? jmp64_m : jmp_m);
	}
	d->end = true;
	return true;
}

static bool gen_call(struct dec *d, unsigned arg)
{
	unsigned size = d->z.operand_width / 8;

	if (is_far(d))
		return flow_far(d, true);
	if (is_imm(&d->o[0])) {
		set_target(d);
		d->op->base = (u8)size;
		gen(d, size == 8 ? call64_rel : call_rel);
		return true;
	}
	d->op->b = (u8)size;
	if (is_reg(&d->o[0])) {
		d->op->a = dec_reg(d->o[0].reg.value);
		d->op->imm = mask_low(size * 8);
		gen(d, call_r);
	} else {
		gen(d, call_m);
	}
	d->end = true;
	return true;
}

static bool gen_ret(struct dec *d, unsigned arg)
{
	unsigned size = d->z.operand_width / 8;

	if (is_far(d))
		return flow_far_return(d);
	d->op->imm = is_imm(&d->o[0]) ? dec_imm(&d->o[0]) & 0xffff : 0;
	d->op->b = (u8)size;
	gen(d, size == 8 ? ret64 : ret_any);
	d->end = true;
	return true;
}

const struct insn_row flow_rows[] = {
	{ZYDIS_MNEMONIC_JMP, gen_jmp, 0},          {ZYDIS_MNEMONIC_CALL, gen_call, 0},
	{ZYDIS_MNEMONIC_RET, gen_ret, 0},          {ZYDIS_MNEMONIC_JO, gen_jcc, 0},
	{ZYDIS_MNEMONIC_JNO, gen_jcc, 1},          {ZYDIS_MNEMONIC_JB, gen_jcc, 2},
	{ZYDIS_MNEMONIC_JNB, gen_jcc, 3},          {ZYDIS_MNEMONIC_JZ, gen_jcc, 4},
	{ZYDIS_MNEMONIC_JNZ, gen_jcc, 5},          {ZYDIS_MNEMONIC_JBE, gen_jcc, 6},
	{ZYDIS_MNEMONIC_JNBE, gen_jcc, 7},         {ZYDIS_MNEMONIC_JS, gen_jcc, 8},
	{ZYDIS_MNEMONIC_JNS, gen_jcc, 9},          {ZYDIS_MNEMONIC_JP, gen_jcc, 10},
	{ZYDIS_MNEMONIC_JNP, gen_jcc, 11},         {ZYDIS_MNEMONIC_JL, gen_jcc, 12},
	{ZYDIS_MNEMONIC_JNL, gen_jcc, 13},         {ZYDIS_MNEMONIC_JLE, gen_jcc, 14},
	{ZYDIS_MNEMONIC_JNLE, gen_jcc, 15},        {ZYDIS_MNEMONIC_LOOP, gen_loop, L_LOOP},
	{ZYDIS_MNEMONIC_LOOPE, gen_loop, L_LOOPE}, {ZYDIS_MNEMONIC_LOOPNE, gen_loop, L_LOOPNE},
	{ZYDIS_MNEMONIC_JCXZ, gen_loop, L_JRCXZ},  {ZYDIS_MNEMONIC_JECXZ, gen_loop, L_JRCXZ},
	{ZYDIS_MNEMONIC_JRCXZ, gen_loop, L_JRCXZ}, {0},
};
