/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which arithmetic flags may be read again.
 *
 * Before each instruction two masks: `strong` flags are read by the region itself and so must be
 * in the host's flags; `weak` ones can only be read by code outside of the region, which takes
 * them from memory. Nobody knows what is outside: all flags leave the region alive, though hardly
 * any callee or caller looks at them.
 */
#include "engine/translate/translate.h"

struct live {
	u8 strong, weak;
};

struct flow {
	const struct tr_insn *insns;
	const i16 *at;
	unsigned span;
};

static u8 any(struct live l)
{
	return l.strong | l.weak;
}

/* What lives at an instruction's beginning, for those who come from another place in the region. */
static struct live at_head(const struct tr_insn *to)
{
	u8 all = to->strong | to->weak;

	if (to->mem_head)
		return (struct live){.weak = all};
	return (struct live){.strong = all};
}

static struct live join(struct live a, struct live b)
{
	struct live l = {.strong = a.strong | b.strong};

	l.weak = (u8)((a.weak | b.weak) & ~l.strong);
	return l;
}

static const struct live outside = {.weak = F_ALL};

/* Of a page offset that control passes to. */
static struct live at_target(const struct flow *f, i32 off)
{
	if (off < 0 || off >= (i32)f->span || f->at[off] < 0)
		return outside;
	return at_head(&f->insns[f->at[off]]);
}

static struct live after(const struct flow *f, const struct tr_insn *i)
{
	i32 next = i->off + i->len;

	switch (i->kind) {
	case K_JMP:
		return at_target(f, i->target);
	case K_JCC:
	case K_LOOP:
		break;
	case K_CALL:
	case K_CALL_REG:
	case K_CALL_MEM:
	case K_JMP_REG:
	case K_JMP_MEM:
	case K_RET:
	case K_END:
	case K_ONE:
	case K_SYSCALL:
	case K_SYSRET:
	case K_IRET:
		return outside;
	default:
		break;
	}
	if (next < (i32)f->span && f->at[next] >= 0 && !f->insns[f->at[next]].head) {
		const struct tr_insn *n = &f->insns[f->at[next]];
		struct live l = {n->strong, n->weak};

		return i->kind == K_JCC || i->kind == K_LOOP ? join(l, at_target(f, i->target)) : l;
	}
	if (i->kind == K_JCC || i->kind == K_LOOP)
		return join(at_target(f, next), at_target(f, i->target));
	return at_target(f, next);
}

static struct live before(const struct tr_insn *i, struct live l)
{
	u8 kept = (u8)(any(l) & ~i->flags_written);

	if (i->kind == K_ONE || i->kind == K_END || i->kind == K_PUSHF || i->kind == K_SYSCALL ||
	    i->kind == K_SYSRET || i->kind == K_IRET)
		return outside;
	/* What it leaves must be in the host's flags, beside what it sets. */
	if (i->flags_maybe)
		return (struct live){.strong = any(l) | i->flags_read};
	if (i->flags_written)
		return (struct live){.strong = kept | i->flags_read};
	l.strong |= i->flags_read;
	l.weak &= (u8)~l.strong;
	return l;
}

void tr_liveness(struct tr_insn *insns, unsigned n, const i16 *at, unsigned span, bool keep_all)
{
	const struct flow f = {.insns = insns, .at = at, .span = span};
	bool changed = true;

	for (unsigned k = 0; k < n; k++)
		insns[k].strong = keep_all ? F_ALL : 0;
	if (keep_all)
		return;
	while (changed) {
		changed = false;
		for (unsigned k = n; k-- > 0;) {
			struct tr_insn *i = &insns[k];
			struct live l = before(i, after(&f, i));

			changed |= l.strong != i->strong || l.weak != i->weak;
			i->strong = l.strong;
			i->weak = l.weak;
		}
	}
}
