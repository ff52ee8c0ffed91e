/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory operands by windows (window.h): an address, and what its slot says is to be added.
 *
 * Nothing is compared, so nothing can fail but the access itself: that is a fault of the host's,
 * at an address of the code that is known. What can't be had so, or is asked of a device often,
 * goes by the TLB, as without windows (access.c).
 */
#include "base/errno.h"
#include "engine/translate/gen.h"

/* ---- Faults ---- */

static unsigned ban_hash(u64 rip)
{
	return (u32)(rip ^ rip >> 17) * 0x9e3779b1u >> (32 - __builtin_ctz(WINDOW_BANS));
}

bool tr_window_banned(const struct tr *t, u64 rip)
{
	unsigned h = ban_hash(rip);

	return t->window_bans[h / 64] >> h % 64 & 1;
}

/* Devices, and pages that somebody watches stores to: each such access costs a signal. */
static void missed(struct tr *t, const struct tr_site *s)
{
	enum { PATIENCE = 4 };
	unsigned h = ban_hash(s->rip);

	if (++t->window_misses[h / 8] < PATIENCE)
		return;
	t->window_misses[h / 8] = 0;
	t->window_bans[h / 64] |= BIT(h % 64);
	t->n_window_bans++;
	tr_region_drop(t, s->region);
}

bool tr_window_fault(struct tr *t, u32 site, u64 host)
{
	const struct tr_site *s = tr_site(t, site);
	int r;

	if (!(s->region->mode & MODE_WINDOWS))
		return false;
	r = tr_windows_fault(t->windows, host, s->access);
	if (r == -EACCES)
		missed(t, s);
	else if (r == -EAGAIN)
		t->windows_due = true;
	/* The page fault of this access, unless another exception goes before it. */
	t->faulted = r == -EFAULT && s->size <= 8;
	return !r;
}

/* ---- Operands ---- */

/* reg = what is to be added to the address in `of`; keeps flags. */
static void load_slot(struct gen *g, unsigned reg, unsigned of)
{
	struct code *c = g->c;

	_Static_assert(WINDOW_SLOTS == 256, "a byte");
	/* rorx reg, of, 40; movzx reg, its low byte */
	E_CODE(c, 0xc4, (reg > 7 ? 0 : 0x80) | 0x40 | (of > 7 ? 0 : 0x20) | 3, 0xfb, 0xf0,
	       0xc0 | (reg & 7) << 3 | (of & 7), WINDOW_SHIFT);
	E_CODE(c, reg > 7 ? 0x45 : 0x40, 0x0f, 0xb6, 0xc0 | (reg & 7) << 3 | (reg & 7));
	e_load(c, reg,
	       (struct hmem){
		       .base = -1, .index = (int)reg, .shift = 3, .disp = T_OFF(slots), .gs = true});
}

static u32 operand_site(struct gen *g, unsigned size, unsigned access)
{
	return new_site(g, (struct tr_site){.rip = gen_rip(g, g->i),
					    .kind = SITE_INTERP,
					    .flags = (u8)g->fstate,
					    .size = (u8)size,
					    .access = (u8)access});
}

struct access window_at(struct gen *g, unsigned base, i32 disp, unsigned size, unsigned access)
{
	load_slot(g, T1, base);
	return (struct access){.m = {.base = (int)base, .index = T1, .disp = disp},
			       .busy = BIT(T1),
			       .site = operand_site(g, size, access)};
}

/* Its slot is a constant too. */
static struct access at_constant(struct gen *g, const struct tr_insn *i, u64 gva)
{
	i32 slot = T_OFF(slots) + (i32)(field_get(gva, WINDOW_SHIFT, 8) * sizeof(u64));
	struct access a = {.site = operand_site(g, i->size, i->access)};

	e_load(g->c, T1, hm_gs(slot));
	a.busy = BIT(T1);
	if ((u64)(i64)(i32)gva == gva) {
		a.m = hm(T1, (i32)gva);
		return a;
	}
	e_mov_imm(g->c, T0, gva);
	a.m = (struct hmem){.base = T0, .index = T1};
	a.busy |= BIT(T0);
	return a;
}

struct access window_operand(struct gen *g, const struct tr_insn *i)
{
	bool constant = i->base == NO_REG && i->index == NO_REG && !i->seg;
	u32 site;

	if (i->base != NO_REG && i->index == NO_REG && !i->seg && !i->a32 && !in_state(i->base))
		return window_at(g, host_reg(i->base), (i32)i->disp, i->size, i->access);
	if (constant && fields_in_state(i) < 2)
		return at_constant(g, i, constant_address(g, i));
	ea_operand(g, i);
	load_slot(g, T1, T0);
	site = operand_site(g, i->size, i->access);
	return at_address(g, i, site);
}

bool windows_for(const struct gen *g, const struct tr_insn *i)
{
	return g->in->windows && !is_locked(i) && !tr_window_banned(g->t, gen_rip(g, i));
}
