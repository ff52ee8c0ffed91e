/* SPDX-License-Identifier: BSD-2-Clause */
/* What decoded instructions do, as far as several parts of the generator ask. */
#include "engine/translate/insn.h"

/* The one register to which it adds a constant, or NO_REG. */
static unsigned added_to(const struct tr_insn *i, i64 *add)
{
	switch (i->kind) {
	case K_PUSH_REG:
	case K_PUSH_IMM:
	case K_PUSH_MEM:
		*add = -8;
		return X86_RSP;
	case K_POP_REG:
		*add = 8;
		return i->op_reg == X86_RSP ? NO_REG : X86_RSP;
	case K_LEA:
		*add = i->disp;
		return i->w && !i->a32 && !i->rip_relative && i->index == NO_REG &&
				       i->reg == i->base
			       ? i->base
			       : NO_REG;
	case K_PLAIN:
		*add = i->added;
		return i->adds ? i->rm : NO_REG;
	default:
		return NO_REG;
	}
}

static u16 changed(const struct tr_insn *i)
{
	switch (i->kind) {
	case K_PUSH_REG:
	case K_PUSH_IMM:
	case K_PUSH_MEM:
		return BIT(X86_RSP);
	case K_POP_REG:
		return (u16)(BIT(X86_RSP) | BIT(i->op_reg));
	default:
		return i->written;
	}
}

u16 tr_insn_makes(const struct tr_insn *i)
{
	i64 add;
	unsigned reg = added_to(i, &add);

	return changed(i) & (u16) ~(reg == NO_REG ? 0 : BIT(reg));
}

bool tr_insn_adds(const struct tr_insn *i, unsigned reg, i64 *add)
{
	if (added_to(i, add) == reg)
		return true;
	*add = 0;
	return !(tr_insn_makes(i) >> reg & 1);
}

static bool is_move(const struct tr_insn *i)
{
	return i->kind == K_PLAIN && !i->mem && !i->map && !i->vex && !i->evex && i->w &&
	       (i->opcode == 0x89 || i->opcode == 0x8b);
}

bool tr_insn_copies(const struct tr_insn *i, unsigned reg, unsigned *from, i64 *add)
{
	if (is_move(i) && (i->opcode == 0x89 ? i->rm : i->reg) == reg) {
		*from = i->opcode == 0x89 ? i->reg : i->rm;
		*add = 0;
		return true;
	}
	if (i->kind == K_LEA && i->w && !i->a32 && !i->rip_relative && i->index == NO_REG &&
	    i->base != NO_REG && i->reg == reg) {
		*from = i->base;
		*add = i->disp;
		return true;
	}
	return false;
}

bool tr_insn_runs_on(const struct tr_insn *i)
{
	switch (i->kind) {
	case K_PLAIN:
	case K_LEA:
	case K_NOP:
	case K_PUSH_REG:
	case K_PUSH_IMM:
	case K_PUSH_MEM:
	case K_POP_REG:
	case K_BITS:
	case K_JCC:
		return true;
	default:
		return false;
	}
}

bool tr_insn_locked(const struct tr_insn *i)
{
	return (i->kind == K_PLAIN || i->kind == K_BITS) && i->mem &&
	       (i->prefixes & PFX_LOCK || (i->map == 0 && !i->vex && (i->opcode & ~1u) == 0x86));
}

bool tr_insn_raises(const struct tr_insn *i)
{
	bool vcvtps2ph = (i->vex || i->evex) && i->map == 3 && i->opcode == 0x1d;

	return i->fpu & UNIT_X87 || vcvtps2ph;
}
