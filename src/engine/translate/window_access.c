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
#include "engine/translate/loop.h"

/* ---- Faults ---- */

static unsigned rip_hash(u64 rip)
{
	return (u32)(rip ^ rip >> 17) * 0x9e3779b1u >> (32 - __builtin_ctz(WINDOW_BANS));
}

bool tr_window_banned(const struct tr *t, u64 rip)
{
	unsigned h = rip_hash(rip);

	return t->window_bans[h / 64] >> h % 64 & 1;
}

/* Devices, and pages that somebody watches stores to: each such access costs a signal. */
static void missed(struct tr *t, const struct tr_site *s)
{
	enum { PATIENCE = 4, BANS_MAX = WINDOW_BANS / 16 };
	unsigned h = rip_hash(s->rip);

	if (++t->window_misses[h / 8] < PATIENCE)
		return;
	t->window_misses[h / 8] = 0;
	/* Programs come and go: what was banned for those of long ago hits others by its hash. */
	if (t->n_window_bans % BANS_MAX == BANS_MAX - 1)
		__builtin_memset(t->window_bans, 0, sizeof(t->window_bans));
	t->window_bans[h / 64] |= BIT(h % 64);
	t->n_window_bans++;
	tr_region_drop(t, s->region);
}

bool tr_window_fault(struct tr *t, u32 site, u64 host)
{
	struct tr_site s;
	int r;

	tr_site_read(t, site, &s);
	if (!(s.region->mode & MODE_WINDOWS))
		return false;
	r = tr_windows_fault(t->windows, host, s.access);
	if (r == -EACCES)
		missed(t, &s);
	else if (r == -EAGAIN)
		t->windows_due = true;
	/*
	 * The page fault of this access, unless another exception goes before it, as it would on
	 * the host, if that is one of Intel's. What goes on past the lower half is no page fault
	 * whatever is mapped.
	 */
	t->faulted = r == -EFAULT && !s.raises && s.size <= 8 &&
		     x86_canonical(t->c.v->fault.cr2 + s.size - 1);
	return !r;
}

/* ---- Slots ---- */

/* reg, of whose low byte it is, becomes what is to be added. */
static void slot_of_number(struct gen *g, unsigned reg)
{
	struct code *c = g->c;

	_Static_assert(WINDOW_SLOTS == 256, "a byte");
	E_CODE(c, 0x45, 0x0f, 0xb6, 0xc0 | (reg & 7) << 3 | (reg & 7)); /* movzx */
	e_load(c, reg,
	       (struct hmem){.base = -1,
			     .index = (int)reg,
			     .shift = 3,
			     .disp = T_OFF(slots),
			     .gs = true});
}

void window_slot(struct gen *g, unsigned reg, unsigned of)
{
	E_CODE(g->c, 0xc4, 0x43 | (of > 7 ? 0 : 0x20), 0xfb, 0xf0, 0xc0 | (reg & 7) << 3 | (of & 7),
	       WINDOW_SHIFT); /* rorx */
	slot_of_number(g, reg);
}

/* ---- Guesses ----
 *
 * Where the next address is what was loaded by the last one, in a loop, the way from the address by
 * its slot to the data is as long as another load. A guess is not on that way: the terabyte was
 * the same the last time, and what to add is found without waiting for the address. It takes
 * flags.
 */

static i32 guess_off(u64 rip)
{
	return T_OFF(guesses) + (i32)((rip_hash(rip) % WINDOW_GUESSES) * sizeof(struct tr_guess));
}

/* An address that moves by a constant in each iteration, or not at all, is known in time. */
static bool is_steady(const struct tr_loop *l, unsigned insn, unsigned reg)
{
	return tr_loop_steady(l, &l->at[insn - l->head], reg);
}

static bool guess_wanted(const struct gen *g, const struct tr_insn *i)
{
	if (!tr_has(g->t, TR_GUESSES) || i != g->i || i->kind != K_PLAIN || i->strong ||
	    (i->weak && g->fstate == FLAGS_HOST))
		return false;
	for (unsigned k = 0; k < g->nloops; k++) {
		const struct tr_loop *l = &g->w->loops[k];

		if (g->index >= l->head && g->index <= l->last)
			return !is_steady(l, g->index, i->base) ||
			       !is_steady(l, g->index, i->index);
	}
	return false;
}

static void guess_slot(struct gen *g, unsigned reg, unsigned of)
{
	i32 guess = guess_off(gen_rip(g, g->i));
	struct code *c = g->c;
	struct stub *s;
	u32 jump;

	e_rr(c, OP_MOV_LOAD, true, reg, of);
	E_CODE(c, 0x49, 0xc1, 0xe8 | (reg & 7), WINDOW_SHIFT); /* shr reg */
	e_rm(c, OP_CMP, true, reg, hm_gs(guess + (i32)offsetof(struct tr_guess, terabyte)));
	jump = e_jcc(c, CC_NE);
	e_load(c, reg, hm_gs(guess + (i32)offsetof(struct tr_guess, addend)));
	s = new_stub(g, STUB_GUESS);
	s->jump = jump;
	s->back = c->at;
	s->disp = guess;
	s->target = (i32)reg;
	g->t->n_guesses++;
}

/* Wrong: now it is that one. */
void stub_guess(struct gen *g, const struct stub *s)
{
	unsigned reg = (unsigned)s->target;
	struct code *c = g->c;

	e_store(c, hm_gs(s->disp + (i32)offsetof(struct tr_guess, terabyte)), reg);
	slot_of_number(g, reg);
	e_store(c, hm_gs(s->disp + (i32)offsetof(struct tr_guess, addend)), reg);
	e_jmp_to(c, s->back);
}

static void find_addend(struct gen *g, const struct tr_insn *i, unsigned reg, unsigned of)
{
	if (guess_wanted(g, i))
		guess_slot(g, reg, of);
	else
		window_slot(g, reg, of);
}

/* ---- Operands ---- */

static u32 operand_site(struct gen *g, unsigned size, unsigned access)
{
	return new_site(g, (struct tr_site){.rip = gen_rip(g, g->i),
					    .kind = SITE_INTERP,
					    .flags = (u8)g->fstate,
					    .size = (u8)size,
					    .raises = tr_insn_raises(g->i),
					    .access = (u8)access});
}

/* A base that is in a register, and a displacement. */
static struct access at_base(struct gen *g, const struct tr_insn *i, unsigned size, unsigned access)
{
	unsigned reg = held_addend(g, i, i->disp);

	if (!reg) {
		reg = held_take(g, g->reserved);
		find_addend(g, i, reg, host_reg(g, i->base));
		hold_addend(g, reg, i, 0);
	}
	return (struct access){
		.m = {.base = (int)host_reg(g, i->base), .index = (int)reg, .disp = (i32)i->disp},
		.busy = BIT(reg),
		.site = operand_site(g, size, access)};
}

struct access window_at(struct gen *g, unsigned guest_base, i32 disp, unsigned size,
			unsigned access)
{
	const struct tr_insn at = {.base = (u8)guest_base, .index = NO_REG, .disp = disp};

	return at_base(g, &at, size, access);
}

/* Its slot is a constant too. */
static struct access at_constant(struct gen *g, const struct tr_insn *i, u64 gva)
{
	i32 slot = T_OFF(slots) + (i32)(window_slot_of(gva) * sizeof(u64));
	struct access a = {.site = operand_site(g, i->size, i->access)};
	unsigned reg = held_take(g, 0), address;

	a.busy = BIT(reg);
	if ((u64)(i64)(i32)gva == gva) {
		e_load(g->c, reg, hm_gs(slot));
		a.m = hm((int)reg, (i32)gva);
		constant_short(g, i);
		return a;
	}
	address = held_take(g, reg);
	constant_mov(g, i, address, gva);
	e_load(g->c, reg, hm_gs(slot));
	constant_displacement(g, i, ADDRESS_SLOT);
	a.m = (struct hmem){.base = (int)address, .index = (int)reg};
	a.busy |= BIT(address);
	return a;
}

/* Anything: the address in T0. */
static struct access at_any(struct gen *g, const struct tr_insn *i)
{
	bool plain = !i->seg && !i->a32;
	struct access a = {.busy = BIT(T0)};
	unsigned reg;

	ea_operand(g, i);
	reg = plain ? held_addend(g, i, i->disp) : 0;
	if (!reg) {
		reg = held_take(g, T0);
		find_addend(g, i, reg, T0);
		if (plain)
			hold_addend(g, reg, i, i->disp);
	}
	a.site = operand_site(g, i->size, i->access);
	a.m = (struct hmem){.base = T0, .index = (int)reg};
	if (fields_copied(g, i) < 2) {
		a.busy |= BIT(reg);
		return a;
	}
	e_lea(g->c, T0, a.m);
	a.m = hm(T0, 0);
	return a;
}

struct access window_operand(struct gen *g, const struct tr_insn *i)
{
	bool plain = !i->seg && !i->a32;

	if (plain && i->base != NO_REG && i->index == NO_REG && !in_state(g, i->base))
		return at_base(g, i, i->size, i->access);
	if (!i->seg && i->base == NO_REG && i->index == NO_REG && fields_copied(g, i) < 2)
		return at_constant(g, i, constant_address(g, i));
	return at_any(g, i);
}

unsigned window_takes(const struct gen *g, const struct tr_insn *i)
{
	if (i->seg || i->a32 || i->index != NO_REG)
		return 3;
	return i->base == NO_REG ? 2 : in_state(g, i->base) ? 3 : 1;
}

bool windows_for(const struct gen *g, const struct tr_insn *i)
{
	return g->in->windows && !tr_insn_locked(i) && !tr_window_banned(g->t, gen_rip(g, i));
}
