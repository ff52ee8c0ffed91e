/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "generate.h"
#include "rng.h"
#include "undefined.h"
#include "values.h"

/* One case in the making. */
struct gen {
	struct rng r;
	struct isa_case *c;
	u32 placed; /* registers whose value an operand's address depends on, by number */
};

/* In a sequence these hold addresses; most instructions leave them alone. */
#define POINTERS                                                                                   \
	(BIT(X86_RBX) | BIT(X86_RSP) | BIT(X86_RBP) | BIT(X86_RSI) | BIT(X86_RDI) | BIT(X86_R12) | \
	 BIT(X86_R14))

static u64 in_data(struct gen *g, unsigned size, unsigned align)
{
	return align_down(CASE_DATA + 64 + rng_below(&g->r, CASE_DATA_SIZE - 192 - size), align);
}

/* Where a memory operand of `size` bytes is to lie. */
static u64 target(struct gen *g, unsigned size, bool locked)
{
	unsigned align = size >= 2 && size <= 64 ? size & -size : 1;
	u64 into = 1 + rng_below(&g->r, size > 1 ? size - 1 : 1);

	switch (rng_below(&g->r, 32)) {
	case 0: /* from the first page into the second; a locked one would lock the bus */
		return locked ? in_data(g, size, align) : CASE_DATA + 0x1000 - into;
	case 1:
	case 2:
		return CASE_RO - into;
	case 3:
		return CASE_RO + CASE_RO_SIZE - into;
	case 4:
		return CASE_DATA - into;
	case 5:
		return CASE_RO + rng_below(&g->r, CASE_RO_SIZE - size);
	case 6:
		return rng_u64(&g->r) >> 16 | BIT(62);
	case 7:
		return CASE_CODE + 0x1000 + rng_below(&g->r, 0x800);
	case 8:
	case 9:
	case 10:
	case 11:
		return in_data(g, size, locked ? align : 1);
	default:
		return in_data(g, size, rng_percent(&g->r, 50) ? align : 64);
	}
}

static int gpr_number(ZydisRegister reg)
{
	ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	return full >= ZYDIS_REGISTER_RAX && full <= ZYDIS_REGISTER_R15
		       ? (int)(full - ZYDIS_REGISTER_RAX)
		       : -1;
}

static int vec_number(ZydisRegister reg)
{
	ZydisRegisterClass k = ZydisRegisterGetClass(reg);

	return k == ZYDIS_REGCLASS_XMM || k == ZYDIS_REGCLASS_YMM || k == ZYDIS_REGCLASS_ZMM
		       ? (int)ZydisRegisterGetId(reg)
		       : -1;
}

/* Gives a register a value unless an address already depends on it. */
static void place(struct gen *g, int reg, u64 val)
{
	if (reg < 0 || (g->placed & BIT(reg)))
		return;
	g->c->in.gpr[reg] = val;
	g->placed |= BIT(reg);
}

static u64 segment_base(const struct gen *g, const ZydisDecodedOperandMem *m)
{
	if (m->segment == ZYDIS_REGISTER_FS)
		return g->c->in.fs_base;
	if (m->segment == ZYDIS_REGISTER_GS)
		return g->c->in.gs_base;
	return 0;
}

static void place_vector_indices(struct gen *g, int vec)
{
	for (unsigned i = 0; i < 8 && vec >= 0; i++)
		if (rng_percent(&g->r, 90))
			g->c->in.vec[vec][i] = (u64)(i64)(i8)rng_u64(&g->r);
}

static void put_disp(struct gen *g, const struct decoded *d, u8 *code, u64 val)
{
	(void)g;
	memcpy(code + d->insn.raw.disp.offset, &val, d->insn.raw.disp.size / 8);
}

/* Makes the registers (or the displacement) lead to where the operand is to lie. */
static void place_operand(struct gen *g, const struct decoded *d, const ZydisDecodedOperand *op,
			  u8 *code, u64 rip)
{
	const ZydisDecodedOperandMem *m = &op->mem;
	bool locked = (d->insn.attributes & ZYDIS_ATTRIB_HAS_LOCK) ||
		      d->insn.mnemonic == ZYDIS_MNEMONIC_XCHG;
	u64 at = target(g, op->size ? op->size / 8 : 8, locked) - segment_base(g, m);
	int base = gpr_number(m->base), index = gpr_number(m->index);

	if (m->base == ZYDIS_REGISTER_RIP || m->base == ZYDIS_REGISTER_EIP) {
		put_disp(g, d, code, at - rip - d->insn.length);
		return;
	}
	if (m->base == ZYDIS_REGISTER_NONE && m->index == ZYDIS_REGISTER_NONE) {
		put_disp(g, d, code, at);
		return;
	}
	place_vector_indices(g, vec_number(m->index));
	if (base < 0) {
		if (index >= 0)
			place(g, index, (at - (u64)m->disp.value) / m->scale);
		return;
	}
	if (index >= 0 && index != base)
		place(g, index,
		      rng_percent(&g->r, 80) ? rng_u64(&g->r) % 64 - 32 : value_int(&g->r));
	at -= (u64)m->disp.value;
	if (index >= 0 && index != base)
		at -= g->c->in.gpr[index] * m->scale;
	else if (index == base)
		at /= m->scale + 1u;
	if (d->insn.address_width == 32 && rng_percent(&g->r, 70))
		at = (u32)at | rng_u64(&g->r) << 32;
	/* The stack mostly stays where it is. */
	if (base == X86_RSP && op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
	    rng_percent(&g->r, 70))
		return;
	place(g, base, at);
}

/* Where execution goes: code mostly, so that it ends at an INT3. */
static u64 branch_target(struct gen *g)
{
	switch (rng_below(&g->r, 16)) {
	case 0:
		return CASE_CODE + CASE_CODE_SIZE + rng_below(&g->r, 64);
	case 1:
		return CASE_DATA + rng_below(&g->r, 64);
	case 2:
		return rng_u64(&g->r);
	default:
		return value_code_address(&g->r);
	}
}

static void place_code_pointer(struct gen *g, const struct decoded *d)
{
	const ZydisDecodedOperand *op = &d->op[0];
	u64 to = branch_target(g);

	if (d->insn.mnemonic == ZYDIS_MNEMONIC_RET) {
		case_add_patch(g->c, g->c->in.gpr[X86_RSP], &to, 8);
	} else if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		g->c->in.gpr[gpr_number(op->reg.value)] = to;
	} else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		int base = gpr_number(op->mem.base);

		if (base >= 0 && op->mem.index == ZYDIS_REGISTER_NONE)
			case_add_patch(g->c,
				       g->c->in.gpr[base] + (u64)op->mem.disp.value +
					       segment_base(g, &op->mem),
				       &to, 8);
	}
}

static bool memory_address(const struct gen *g, const struct decoded *d, u64 *addr)
{
	for (unsigned i = 0; i < d->insn.operand_count; i++) {
		const ZydisDecodedOperandMem *m = &d->op[i].mem;
		int base;

		if (d->op[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		base = gpr_number(m->base);
		if (base < 0 || m->index != ZYDIS_REGISTER_NONE)
			return false;
		*addr = g->c->in.gpr[base] + (u64)m->disp.value + segment_base(g, m);
		return true;
	}
	return false;
}

/* A quotient that fits, half of the time: the dividend's high half is its low half's sign. */
static void place_dividend(struct gen *g, const struct decoded *d)
{
	u64 *gpr = g->c->in.gpr;

	if (g->placed & (BIT(X86_RAX) | BIT(X86_RDX)) || rng_percent(&g->r, 30))
		return;
	if (d->insn.operand_width == 8)
		gpr[X86_RAX] = rng_u64(&g->r) & 0xff;
	else
		gpr[X86_RDX] = d->insn.mnemonic == ZYDIS_MNEMONIC_IDIV && gpr[X86_RAX] >> 63
				       ? ~0ull
				       : rng_u64(&g->r) & 3;
}

/* The expected value that is there, half of the time. */
static void place_comparand(struct gen *g, const struct decoded *d)
{
	static u8 data[CASE_DATA_SIZE], code[CASE_CODE_SIZE];
	u64 at;

	if ((g->placed & (BIT(X86_RAX) | BIT(X86_RDX))) || rng_percent(&g->r, 50))
		return;
	if (d->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER) {
		g->c->in.gpr[X86_RAX] = g->c->in.gpr[gpr_number(d->op[0].reg.value)];
		return;
	}
	if (!memory_address(g, d, &at) || at < CASE_DATA || at > CASE_DATA + CASE_DATA_SIZE - 16)
		return;
	case_fill(g->c, data, code);
	memcpy(&g->c->in.gpr[X86_RAX], data + (at - CASE_DATA), 8);
	memcpy(&g->c->in.gpr[X86_RDX],
	       data + (at - CASE_DATA) + (d->insn.mnemonic == ZYDIS_MNEMONIC_CMPXCHG8B ? 4 : 8), 8);
}

/* MXCSR in memory: random bytes have reserved bits, which is #GP. */
static void place_mxcsr(struct gen *g, const struct decoded *d)
{
	bool image = d->insn.mnemonic == ZYDIS_MNEMONIC_FXRSTOR ||
		     d->insn.mnemonic == ZYDIS_MNEMONIC_FXRSTOR64;
	u32 mxcsr = rng_u64(&g->r) & 0xffff;
	u64 at;

	if (memory_address(g, d, &at) && rng_percent(&g->r, 85))
		case_add_patch(g->c, at + (image ? 24 : 0), &mxcsr, 4);
}

static void place_count(struct gen *g)
{
	u64 n = rng_below(&g->r, 10);

	place(g, X86_RCX,
	      n < 6   ? rng_below(&g->r, 40)
	      : n < 8 ? rng_below(&g->r, 6000)
		      : value_int(&g->r));
}

static void small_register(struct gen *g, int reg)
{
	if (reg >= 0 && !(g->placed & BIT(reg)) && rng_percent(&g->r, 60))
		g->c->in.gpr[reg] = rng_u64(&g->r) & 0x3f3f;
}

/* Operands that uniform values would rarely make interesting. */
static void place_special(struct gen *g, const struct decoded *d)
{
	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
		place_dividend(g, d);
		break;
	case ZYDIS_MNEMONIC_CMPXCHG:
	case ZYDIS_MNEMONIC_CMPXCHG8B:
	case ZYDIS_MNEMONIC_CMPXCHG16B:
		place_comparand(g, d);
		break;
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC: /* bit offsets that stay near the window */
		if (d->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER && rng_percent(&g->r, 85))
			place(g, gpr_number(d->op[1].reg.value),
			      (u64)(i64)(i16)rng_u64(&g->r) >> (rng_u64(&g->r) & 3));
		break;
	case ZYDIS_MNEMONIC_BEXTR:
	case ZYDIS_MNEMONIC_BZHI:
		if (d->op[2].type == ZYDIS_OPERAND_TYPE_REGISTER)
			small_register(g, gpr_number(d->op[2].reg.value));
		break;
	case ZYDIS_MNEMONIC_LOOP:
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
	case ZYDIS_MNEMONIC_JRCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
		if (rng_percent(&g->r, 70))
			g->c->in.gpr[X86_RCX] = rng_below(&g->r, 3);
		break;
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_VPCMPESTRI:
	case ZYDIS_MNEMONIC_VPCMPESTRM:
		if (!(g->placed & BIT(X86_RAX)))
			g->c->in.gpr[X86_RAX] = rng_u64(&g->r) % 40 - 20;
		if (!(g->placed & BIT(X86_RDX)))
			g->c->in.gpr[X86_RDX] = rng_u64(&g->r) % 40 - 20;
		break;
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
		place_mxcsr(g, d);
		break;
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
		if (rng_percent(&g->r, 70))
			g->c->in.gpr[gpr_number(d->op[0].reg.value)] &= mask_low(47);
		break;
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_RET:
		place_code_pointer(g, d);
		break;
	default:
		break;
	}
}

static void place_immediates(struct gen *g, const struct decoded *d, u8 *code, u64 rip)
{
	for (unsigned i = 0; i < 2; i++) {
		u64 v = value_int(&g->r);

		if (!d->insn.raw.imm[i].size)
			continue;
		if (d->insn.raw.imm[i].is_relative && d->insn.raw.imm[i].size == 32)
			v = branch_target(g) - rip - d->insn.length;
		if (d->insn.mnemonic == ZYDIS_MNEMONIC_ENTER && i == 0)
			v = rng_u64(&g->r) & (rng_percent(&g->r, 90) ? 0x1ff : 0xffff);
		memcpy(code + d->insn.raw.imm[i].offset, &v, d->insn.raw.imm[i].size / 8);
	}
}

static u8 random_modrm(struct gen *g, const struct form *t, bool fixed)
{
	u8 reg = fixed ? t->reg : rng_u64(&g->r) & 7, rm = rng_u64(&g->r) & 7;
	u8 mod = rng_below(&g->r, 3);

	if (!t->mem)
		return 0xc0 | reg << 3 | (fixed ? t->rm : rm);
	if (fixed && t->rm == 4)
		rm = 4;
	return (u8)(mod << 6 | reg << 3 | rm);
}

/* Prefixes in any number of the order-free ones; returns how many bytes. */
static unsigned random_prefixes(struct gen *g, const struct form *t, u8 *b)
{
	static const u8 segment[] = {0x64, 0x65, 0x2e, 0x3e, 0x64, 0x65};
	unsigned n = 0;

	if (rng_percent(&g->r, 12))
		b[n++] = segment[rng_below(&g->r, sizeof(segment))];
	if (rng_percent(&g->r, 8))
		b[n++] = 0x67;
	if (t->vex || t->evex)
		return n;
	if (rng_percent(&g->r, t->mem ? 10 : 1))
		b[n++] = 0xf0;
	if (t->pp)
		b[n++] = forms_pp[t->pp];
	else if (!t->map && rng_percent(&g->r, 3))
		b[n++] = forms_pp[1 + rng_below(&g->r, 3)];
	return n;
}

static unsigned random_vex(struct gen *g, const struct form *t, bool fixed, u8 *b)
{
	u8 rex = rng_u64(&g->r) & 7, v = fixed ? 0x78 : (u8)rng_u64(&g->r) & 0x78;

	if (t->map == 1 && !t->w && rng_percent(&g->r, 50)) {
		b[0] = 0xc5;
		b[1] = (u8)((rex ^ 7u) << 5 & 0x80) | (u8)(v | t->l << 2 | t->pp);
		return 2;
	}
	return forms_put_vex(t, rex, v, b);
}

/* fixed: no register beyond the first eight, and none but the first as the second source. */
static unsigned random_evex(struct gen *g, const struct form *t, bool fixed, u8 *b)
{
	u64 r = rng_u64(&g->r);

	b[0] = 0x62;
	b[1] = (u8)((fixed ? 0xf0 : r & 0xf0) | t->map);
	b[2] = (u8)(t->w << 7 | (fixed ? 0x78 : r >> 8 & 0x78) | 4 | t->pp);
	b[3] = (u8)(t->l << 5 | t->b << 4 | (fixed ? 8 : r >> 16 & 8));
	if (t->masked)
		b[3] |= (u8)(1 + (r >> 24) % 7) | (r >> 32 & 0x80);
	return 4;
}

static unsigned random_rex(struct gen *g, const struct form *t, u8 *b)
{
	unsigned n = 0;
	u8 rex = 0x40 | (u8)(t->w << 3) | (rng_percent(&g->r, 60) ? rng_u64(&g->r) & 7 : 0);

	if (rex != 0x40 || rng_percent(&g->r, 20))
		b[n++] = rex;
	return n + forms_put_map(t, b + n);
}

/* Random bytes of one form; false if the draw made another instruction of it. */
static bool draw(struct gen *g, const struct form *t, u8 *b, struct decoded *d)
{
	bool fixed = rng_percent(&g->r, 60);
	unsigned n = random_prefixes(g, t, b);
	u64 tail[2] = {value_int(&g->r), value_int(&g->r)};

	n += t->evex  ? random_evex(g, t, fixed, b + n)
	     : t->vex ? random_vex(g, t, fixed, b + n)
		      : random_rex(g, t, b + n);
	b[n] = t->opcode;
	/* An opcode may have its register in it. */
	b[n + 1] = random_modrm(g, t, fixed);
	memcpy(b + n + 2, tail, sizeof(tail));
	/* SIB, displacement and immediate are whatever the decoder takes of the tail. */
	return forms_decode(b, 15, d) && forms_key(d) == t->key;
}

static void random_x87(struct gen *g)
{
	struct case_state *in = &g->c->in;
	struct rng *r = &g->r;

	for (unsigned i = 0; i < 8; i++) {
		value_f80(r, in->st[i]);
	}
	in->fcw = rng_percent(r, 60) ? 0x37f : 0x40 | (rng_u64(r) & 0x0f00) | 0x3f;
	if (rng_percent(r, 10))
		in->fcw &= ~(rng_u64(r) & 0x3f);
	in->fsw = rng_u64(r) & 0x7f7f & ~(rng_percent(r, 70) ? 0x3f : 0);
	in->fsw &= ~0x80;
	if (in->fsw & ~in->fcw & 0x3f)
		in->fsw |= 0x8080;
	in->ftw = rng_percent(r, 60) ? 0xff : (u8)rng_u64(r);
}

static void random_state(struct gen *g)
{
	struct case_state *in = &g->c->in;
	struct rng *r = &g->r;

	for (unsigned i = 0; i < X86_GPRS; i++)
		in->gpr[i] = value_int(r);
	in->gpr[X86_RSP] = CASE_DATA + 0x400 + (rng_u64(r) & 0x7f8);
	if (rng_percent(r, 10))
		in->gpr[X86_RSP] = target(g, 8, false);
	if (rng_percent(r, 80))
		in->gpr[X86_RBP] = CASE_DATA + 0x800 + (rng_u64(r) & 0x7ff);
	in->fs_base = CASE_DATA + (rng_u64(r) & 0xfff);
	in->gs_base = CASE_DATA - (rng_u64(r) & 0xfff);
	in->rflags |= rng_u64(r) & X86_ARITH;
	if (rng_percent(r, 25))
		in->rflags |= X86_DF;
	if (rng_percent(r, 3))
		in->rflags |= X86_AC;
	values_vectors(r, in->vec, in->k);
	in->mxcsr = 0x1f80;
	if (rng_percent(r, 40))
		in->mxcsr |= rng_u64(r) & 0xe07f;
	if (rng_percent(r, 8))
		in->mxcsr &= ~(rng_u64(r) & 0x1f80);
	random_x87(g);
}

/* One instruction at c->code + c->len with its operands; false if the form resisted. */
static bool add_single(struct gen *g, const struct form *t)
{
	struct isa_case *c = g->c;
	u8 *b = c->code + c->len;
	struct decoded d;
	u64 rip = c->in.rip + c->len;
	int tries = 60;

	while (!draw(g, t, b, &d) || undefined_result(&d, (u8)c->in.gpr[X86_RCX]))
		if (!tries--)
			return false;
	place_immediates(g, &d, b, rip);
	if (d.insn.attributes &
	    (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
		place_count(g);
	for (unsigned i = 0; i < d.insn.operand_count; i++)
		if (d.op[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			place_operand(g, &d, &d.op[i], b, rip);
	place_special(g, &d);
	if (!forms_decode(b, 15, &d) || undefined_result(&d, (u8)c->in.gpr[X86_RCX]))
		return false;
	c->len += d.insn.length;
	return true;
}

static bool spoils_pointer(const struct decoded *d, u64 kept)
{
	for (unsigned i = 0; i < d->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &d->op[i];
		int reg = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? gpr_number(op->reg.value) : -1;

		if (reg >= 0 &&
		    (op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT || reg == X86_RCX) &&
		    (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) && (kept & BIT(reg)))
			return true;
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.type == ZYDIS_MEMOP_TYPE_MEM) {
			int base = gpr_number(op->mem.base);

			if (base < 0 || !(POINTERS & BIT(base)) ||
			    op->mem.index != ZYDIS_REGISTER_NONE || op->mem.disp.value > 0x7f ||
			    op->mem.disp.value < -0x80)
				return true;
		}
	}
	return false;
}

/* Nothing that leaves the sequence, and no count that nobody bounds. */
static bool fits_sequence(const struct decoded *d)
{
	return d->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE &&
	       d->insn.mnemonic != ZYDIS_MNEMONIC_SHLD && d->insn.mnemonic != ZYDIS_MNEMONIC_SHRD &&
	       d->insn.mnemonic != ZYDIS_MNEMONIC_INT3 && d->insn.address_width == 64 &&
	       !(d->insn.attributes &
		 (ZYDIS_ATTRIB_IS_PRIVILEGED | ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_REP |
		  ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE));
}

static void add_step(struct gen *g, struct forms *f, u64 kept)
{
	struct isa_case *c = g->c;

	for (unsigned tries = 0; tries < 200; tries++) {
		u32 form = f->taking_part[rng_below(&g->r, f->ntaking_part)];
		struct decoded d;

		if (!draw(g, &f->all[form], c->code + c->len, &d) || !fits_sequence(&d))
			continue;
		if (spoils_pointer(&d, rng_percent(&g->r, 95) ? kept : kept & BIT(X86_RCX)))
			continue;
		c->len += d.insn.length;
		if (!undefined_in(c, 0).read) {
			c->form = form;
			f->all[form].cases++;
			return;
		}
		c->len -= d.insn.length;
	}
	c->code[c->len++] = 0x90;
}

static void put(struct isa_case *c, const void *bytes, unsigned n)
{
	memcpy(c->code + c->len, bytes, n);
	c->len += n;
}

/* A conditional jump over the next few instructions, or a call or jump to behind them. */
static void add_forward(struct gen *g, struct forms *f)
{
	static const u8 always[] = {0xeb, 0xe3};
	struct isa_case *c = g->c;
	unsigned start, skipped = 1 + rng_below(&g->r, 2);
	u8 near[5] = {rng_percent(&g->r, 50) ? 0xe8 : 0xe9, 0, 0, 0, 0};

	if (rng_percent(&g->r, 25)) {
		put(c, near, 5);
	} else {
		near[0] = rng_percent(&g->r, 75) ? 0x70 | (rng_u64(&g->r) & 15)
						 : always[rng_below(&g->r, 2)];
		put(c, near, 2);
		if (undefined_in(c, 0).read)
			c->code[c->len - 2] = 0xeb;
	}
	start = c->len;
	while (skipped--)
		add_step(g, f, POINTERS);
	c->code[start - (near[0] >= 0xe8 && near[0] <= 0xe9 ? 4 : 1)] = (u8)(c->len - start);
}

/* mov ecx, n; body; loop body */
static void add_loop(struct gen *g, struct forms *f)
{
	struct isa_case *c = g->c;
	u8 mov[5] = {0xb9, 1 + rng_below(&g->r, 6), 0, 0, 0}, loop[2] = {0xe2, 0};
	unsigned start;

	put(c, mov, 5);
	start = c->len;
	add_step(g, f, POINTERS | BIT(X86_RCX));
	loop[1] = (u8)(start - c->len - 2);
	put(c, loop, 2);
}

/* lea reg, [rip + n]; jmp reg, over one instruction */
static void add_computed(struct gen *g, struct forms *f)
{
	static const u8 lea_jmp[] = {0x48, 0x8d, 0x05, 2, 0, 0, 0, 0xff, 0xe0};
	struct isa_case *c = g->c;
	unsigned start;

	put(c, lea_jmp, sizeof(lea_jmp));
	start = c->len;
	add_step(g, f, POINTERS);
	c->code[start - 6] = (u8)(c->len - start + 2);
}

static void generate_sequence(struct gen *g, struct forms *f)
{
	unsigned steps = 2 + rng_below(&g->r, 11);

	for (unsigned i = 0; i < X86_GPRS; i++)
		if (POINTERS & BIT(i))
			g->c->in.gpr[i] = in_data(g, 256, rng_percent(&g->r, 80) ? 32 : 1) + 128;
	for (unsigned i = 0; i < steps && g->c->len < CASE_BYTES_MAX - 64; i++) {
		switch (rng_below(&g->r, 16)) {
		case 0:
		case 1:
			add_forward(g, f);
			break;
		case 2:
			add_loop(g, f);
			break;
		case 3:
			add_computed(g, f);
			break;
		default:
			add_step(g, f, POINTERS);
		}
	}
}

/* The n-th of `count`, each once before any twice, in an order given by seed. */
static u64 in_turn(u64 seed, u64 n, u64 count)
{
	/* Cycle-walking over a bijection of 64 bits would be slow: a stride coprime to count does.
	 */
	u64 stride = rng_mix(seed) % count | 1;

	for (;; stride += 2) {
		u64 a = stride, b = count;

		while (b) {
			u64 rest = a % b;

			a = b;
			b = rest;
		}
		if (a == 1)
			break;
	}
	return (n % count * (stride % count) + rng_mix(seed + 1) % count) % count;
}

static u32 pick_form(const struct forms *f, u64 seed, u64 number, ZydisMnemonic only)
{
	u64 matching = 0, wanted;

	if (only == ZYDIS_MNEMONIC_INVALID)
		return f->taking_part[in_turn(seed, number, f->ntaking_part)];
	for (u32 i = 0; i < f->ntaking_part; i++)
		matching += f->all[f->taking_part[i]].mnemonic == only;
	wanted = matching ? number % matching : 0;
	for (u32 i = 0; i < f->ntaking_part; i++)
		if (f->all[f->taking_part[i]].mnemonic == only && !wanted--)
			return f->taking_part[i];
	return f->taking_part[0];
}

void generate_case(struct forms *f, u64 seed, u64 number, ZydisMnemonic only, struct isa_case *c)
{
	struct gen g = {.r = {rng_mix(seed ^ rng_mix(number))}, .c = c};

	case_init(c);
	c->fill = rng_u64(&g.r);
	/* Sometimes the instruction crosses the two code pages, or runs into the unmapped one. */
	if (rng_percent(&g.r, 5))
		c->at = (u16)(0x1000 - rng_below(&g.r, 16));
	else if (rng_percent(&g.r, 1))
		c->at = (u16)(0x2000 - CASE_BYTES_MAX);
	c->in.rip = CASE_CODE + c->at;
	random_state(&g);
	if (only == ZYDIS_MNEMONIC_INVALID && number % 8 == 7) {
		generate_sequence(&g, f);
		return;
	}
	c->form = pick_form(f, seed, number - number / 8, only);
	if (add_single(&g, &f->all[c->form]))
		f->all[c->form].cases++;
	else
		put(c, "\x90", 1);
}
