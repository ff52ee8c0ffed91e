/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Innermost loops without checks.
 *
 * Addresses that a loop moves by a constant in each iteration stay in their pages for a known
 * number of iterations. The jump back to the head leads to cold code that looks up the page of each
 * such stream, and works out how many iterations stay in all of them. If those are some, they are
 * made in a copy of the loop in which no access of a stream is checked; then, or if a page is not
 * there, an iteration of the loop as it is follows: it fills the TLB, crosses pages.
 *
 * Guest state in the copy is that of the loop at the same instruction, so that its exits and faults
 * are the loop's own. What it has beside that: the value of a register at which it ends, compared
 * at its head, and for each stream what is to be added to an address, in scratch registers as far
 * as the body leaves some, else in tr.held.
 *
 * What was looked up holds for as long as a group's check does (group.c), and for the same reason;
 * the number of iterations has a limit, since without kicks nobody looks at `attention` meanwhile.
 */
#include "engine/translate/gen.h"

enum {
	SPAN_MAX = 512,  /* of a stream's bytes in one iteration */
	STEP_MAX = 1024, /* in bytes */
	WORTH = 3,       /* iterations */
	AT_ONCE = 16384, /* instructions */
};

/* ---- Which loops ---- */

static const struct tr_stream *stream_of(const struct fast_loop *l, unsigned index)
{
	unsigned n = index >= l->head && index <= l->last ? l->of[index - l->head] : 0;

	return n ? &l->streams[n - 1] : NULL;
}

static bool varies(const struct fast_loop *l, unsigned reg)
{
	return reg != NO_REG && l->changed >> reg & 1;
}

/* How many scratch registers an address takes beside what its stream holds. */
static unsigned address_takes(const struct gen *g, const struct fast_loop *l,
			      const struct tr_insn *i)
{
	bool base = varies(l, i->base), index = varies(l, i->index);

	if (base && index)
		return 1 + in_state(g, i->index);
	return (base && in_state(g, i->base)) + (index && in_state(g, i->index));
}

static unsigned fields_take(const struct gen *g, const struct tr_insn *i)
{
	return field_is_copied(g, i, FIELD_REG) + field_is_copied(g, i, FIELD_RM) +
	       field_is_copied(g, i, FIELD_V) + field_is_copied(g, i, FIELD_OP);
}

static unsigned takes(const struct gen *g, const struct fast_loop *l, unsigned index)
{
	const struct tr_insn *i = &g->in->insns[index];

	switch (i->kind) {
	case K_NOP:
	case K_JCC:
	case K_JMP:
		return 0;
	case K_LEA:
		return in_state(g, i->reg) + (i->base != NO_REG && in_state(g, i->base)) +
		       (i->index != NO_REG && in_state(g, i->index));
	case K_PLAIN:
		if (!i->mem)
			return fields_take(g, i);
		if (i->x87_pointers)
			return 3; /* for FDP */
		if (stream_of(l, index))
			return fields_take(g, i) + address_takes(g, l, i);
		return g->in->windows ? (unsigned)min_u64(window_takes(g, i) + fields_take(g, i), 3)
				      : 3;
	default:
		return 3;
	}
}

/* With the first `held` streams in registers: is there room everywhere for what else there is? */
static bool fits(const struct gen *g, const struct fast_loop *l, unsigned held)
{
	for (unsigned k = l->head; k <= l->last; k++) {
		unsigned n = l->of[k - l->head];

		if (takes(g, l, k) + held + (n > held) > 3)
			return false;
	}
	return !held || held + in_state(g, l->counter) <= 3;
}

/* With registers as they are in the copy. */
static bool find_room(struct gen *g, struct fast_loop *l)
{
	bool found;

	l->held = 0;
	g->fast = l;
	found = fits(g, l, 0);
	while (found && l->held < l->nstreams && fits(g, l, l->held + 1u))
		l->held++;
	g->fast = NULL;
	return found;
}

/* The register by which the copy knows its end: one that always moves. */
static bool find_counter(const struct gen *g, const struct tr_loop *a, struct fast_loop *l)
{
	bool found = false;

	for (unsigned r = 0; r < GPRS; r++) {
		if (!(a->steps >> r & 1) || !a->step[r] || (found && in_state(g, r)))
			continue;
		l->counter = (u8)r;
		l->counter_step = a->step[r];
		found = true;
	}
	return found && l->counter_step < 1 << 20 && l->counter_step > -(1 << 20);
}

/* Accesses that keep their own checks, of which those of the loop as it is may share some. */
static unsigned others(const struct gen *g, const struct fast_loop *l)
{
	unsigned n = 0;

	if (g->in->windows)
		return 0;
	for (unsigned k = l->head; k <= l->last; k++)
		n += takes(g, l, k) == 3 && !stream_of(l, k);
	return n;
}

/* Where there are windows, are they what all of its accesses go by? */
static bool is_uniform(const struct gen *g, const struct fast_loop *l)
{
	if (!g->in->windows)
		return true;
	for (unsigned k = l->head; k <= l->last; k++)
		if (g->in->insns[k].mem && !windows_for(g, &g->in->insns[k]))
			return false;
	return true;
}

static bool choose(struct gen *g, const struct tr_loop *a, struct fast_loop *l)
{
	const struct tr_insn *insns = g->in->insns;
	unsigned members = 0;

	*l = (struct fast_loop){
		.head = a->head, .last = a->last, .changed = a->changed, .at_head = &a->at[0]};
	l->nstreams = (u8)tr_loop_streams(g->in, a, SPAN_MAX, l->streams, STREAMS_MAX, l->of);
	for (unsigned k = 0; k < l->nstreams; k++) {
		members += l->streams[k].members;
		if (l->streams[k].step > STEP_MAX || l->streams[k].step < -STEP_MAX)
			return false;
	}
	/* Flags would have to be kept around what is compared at the head. */
	if (!l->nstreams || insns[a->head].strong || insns[a->head].weak)
		return false;
	for (unsigned k = a->head + 1u; k <= a->last; k++)
		if (insns[k].mem_head)
			return false;
	if (!find_counter(g, a, l) || others(g, l) > members || !is_uniform(g, l))
		return false;
	swap_choose(g, l);
	if (l->nswaps && find_room(g, l))
		return true;
	swap_none(l);
	return find_room(g, l);
}

void fast_find(struct gen *g)
{
	struct tr_loop *found = g->w->loops;

	g->nloops = tr_loops_find(g->in, found, LOOPS_MAX);
	for (unsigned k = 0; k < g->nloops && tr_has(g->t, TR_LOOPS); k++)
		g->nfast += choose(g, &found[k], &g->w->fast[g->nfast]);
}

static struct fast_loop *ending_at(const struct gen *g, unsigned index)
{
	for (unsigned k = 0; k < g->nfast; k++)
		if (g->w->fast[k].last == index)
			return &g->w->fast[k];
	return NULL;
}

bool fast_ends(const struct gen *g, unsigned index)
{
	return ending_at(g, index);
}

struct fast_loop *fast_over(const struct gen *g, unsigned index)
{
	for (unsigned k = 0; k < g->nfast; k++)
		if (index >= g->w->fast[k].head && index <= g->w->fast[k].last)
			return &g->w->fast[k];
	return NULL;
}

/* ---- The loop as it is ---- */

/* Iterations of streams are counted from the head on; else any jump back will do. */
static bool leads_in(const struct fast_loop *l, unsigned from, unsigned to)
{
	return l->nstreams ? from == l->last && to == l->head : to >= l->head && to <= from;
}

bool fast_jump_back(struct gen *g, u32 rel, unsigned to)
{
	struct fast_loop *l = fast_over(g, g->index);
	struct stub *s;

	if (!l || g->fast || g->copying || !leads_in(l, g->index, to))
		return false;
	s = new_stub(g, STUB_LOOP);
	s->jump = rel;
	s->target = (i32)(l - g->w->fast);
	s->disp = (i32)to;
	note_back(g, rel, to);
	return true;
}

/* Behind the jump back, where exits of the copy go on. */
void fast_note_after(struct gen *g)
{
	struct fast_loop *l = g->index ? ending_at(g, g->index - 1) : NULL;
	const struct tr_insn *before = l ? &g->in->insns[l->last] : NULL;

	if (!l || g->i->head || g->i->off != before->off + before->len)
		return;
	held_none(g);
	l->after = g->c->at;
	l->after_fstate = (u8)g->fstate;
}

/* ---- The way in ---- */

static i32 held_off(unsigned stream)
{
	return T_OFF(held) + (i32)(stream * sizeof(u64));
}

/* To T1, which has the addend: registers that the loop leaves alone. */
static void add_constant_part(struct gen *g, const struct fast_loop *l, const struct tr_stream *s)
{
	struct code *c = g->c;

	if (s->base == NO_REG && s->index == NO_REG) {
		e_mov_imm(c, T0, (u64)s->lo);
		gen_note_stays(g);
		e_lea(c, T1, (struct hmem){.base = T1, .index = T0});
		return;
	}
	if (s->base != NO_REG && !varies(l, s->base)) {
		if (in_state(g, s->base))
			e_rm(c, OP_ADD, true, T1, state_reg(s->base));
		else
			e_rr(c, OP_ADD, true, T1, host_reg(g, s->base));
	}
	if (s->index != NO_REG && !varies(l, s->index)) {
		unsigned index = in_state(g, s->index) ? T0 : host_reg(g, s->index);

		if (index == T0)
			e_load(c, T0, state_reg(s->index));
		e_lea(c, T1, (struct hmem){.base = T1, .index = (int)index, .shift = s->shift});
	}
}

/* T2, iterations less one, becomes at most what the stream's page allows; T0: offset in the page.
 */
static void limit_iterations(struct gen *g, const struct tr_stream *s, unsigned room)
{
	unsigned distance = (unsigned)(s->step < 0 ? -s->step : s->step);
	struct code *c = g->c;

	if (!s->step)
		return;
	if (s->step > 0) {
		E_CODE(c, 0x41, 0xf7, 0xd9); /* neg r9d */
		E_CODE(c, 0x41, 0x81, 0xc1); /* add r9d, room */
		e32(c, room);
	}
	if (distance > 1) /* rounded up to a power of two: never too many */
		E_CODE(c, 0x41, 0xc1, 0xe9, (u8)(32 - __builtin_clz(distance - 1))); /* shr r9d */
	E_CODE(c, 0x45, 0x39, 0xcb);       /* cmp r11d, r9d */
	E_CODE(c, 0x45, 0x0f, 0x47, 0xd9); /* cmova r11d, r9d */
}

/* T1 = what is to be added to the addresses in T0's page; *failed: the jump for when it's not
 * there.
 */
static void check_stream(struct gen *g, const struct tr_stream *s, u32 *failed)
{
	unsigned room = ALC_PAGE_SIZE - (unsigned)(s->hi - s->lo);
	struct code *c = g->c;

	tlb_entry_offset(g);
	e_rm(c, OP_SUB, true, T0, hm_gs_at(T1, tlb_tag_off(g, s->write ? X86_WRITE : X86_READ)));
	e_cmp_imm(c, T0, (i32)room);
	*failed = e_jcc(c, CC_A);
	e_load(c, T1, hm_gs_at(T1, tlb_addend_off(g)));
	limit_iterations(g, s, room);
}

/* In a window no iteration is one too many: all of them together end in its guard at the furthest.
 */
static void try_stream(struct gen *g, const struct fast_loop *l, unsigned k, u32 *failed)
{
	const struct tr_stream *s = &l->streams[k];
	const struct group as_group = {
		.base = s->base, .index = s->index, .shift = s->shift, .lo = s->lo, .hi = s->hi};

	_Static_assert((u64)AT_ONCE * STEP_MAX + SPAN_MAX < WINDOW_GUARD / 2, "with displacements");
	if (s->base == NO_REG && s->index == NO_REG)
		e_mov_imm(g->c, T0, (u64)s->lo); /* see add_constant_part */
	else
		group_address(g, &as_group);
	if (g->in->windows)
		window_slot(g, T1, T0);
	else
		check_stream(g, s, failed);
	add_constant_part(g, l, s);
	e_store(g->c, hm_gs(held_off(k)), T1);
}

static const u8 held_regs[] = {T0, T1, T2};

/* T2: iterations less one. The counter's value behind the last of them. */
static void store_end(struct gen *g, const struct fast_loop *l)
{
	struct code *c = g->c;

	E_CODE(c, 0x4d, 0x69, 0xdb); /* imul r11, r11, step */
	e32(c, (u32)l->counter_step);
	e_lea(c, T2, hm(T2, l->counter_step));
	if (in_state(g, l->counter))
		e_rm(c, OP_ADD, true, T2, state_reg(l->counter));
	else
		e_rr(c, OP_ADD, true, T2, host_reg(g, l->counter));
	e_store(c, hm_gs(T_OFF(fast_end)), T2);
}

/* Are registers to each other as they are behind an iteration? */
static void check_relations(struct gen *g, const struct fast_loop *l)
{
	struct code *c = g->c;

	for (unsigned r = 0; r < GPRS; r++) {
		unsigned of = l->at_head->origin[r], from = in_state(g, of) ? T0 : host_reg(g, of);

		if (of == r)
			continue;
		if (in_state(g, of))
			e_load(c, T0, state_reg(of));
		e_lea(c, T0, hm((int)from, l->at_head->moved[r]));
		if (in_state(g, r))
			e_rm(c, OP_CMP, true, T0, state_reg(r));
		else
			e_rr(c, OP_CMP, true, T0, host_reg(g, r));
		flow_fixup(g, e_jcc(c, CC_NE), l->head);
	}
}

static void go_in(struct gen *g, const struct fast_loop *l)
{
	unsigned most = AT_ONCE / (l->last - l->head + 1u);
	u32 failed[STREAMS_MAX];
	struct code *c = g->c;

	check_relations(g, l);
	e_mov_imm(c, T2, most - 1);
	for (unsigned k = 0; k < l->nstreams; k++)
		try_stream(g, l, k, &failed[k]);
	if (!g->in->windows) {
		e_cmp_imm(c, T2, WORTH - 1);
		flow_fixup(g, e_jcc(c, CC_B), l->head);
		for (unsigned k = 0; k < l->nstreams; k++)
			flow_fixup(g, failed[k], l->head);
	}
	store_end(g, l);
	e_rm(c, 0x83, true, 0, hm_gs(T_OFF(n_fast_runs))); /* add, of a byte */
	e8(c, 1);
	swap_enter(g, l);
	for (unsigned k = 0; k < l->held; k++)
		e_load(c, held_regs[k], hm_gs(held_off(k)));
}

/* ---- The copy ---- */

static void at_end(struct gen *g, const struct fast_loop *l)
{
	unsigned busy = g->kept, reg = l->counter;

	if (in_state(g, reg)) {
		reg = gen_scratch(g, &busy);
		e_load(g->c, reg, state_reg(l->counter));
	} else {
		reg = host_reg(g, reg);
	}
	e_rm(g->c, OP_CMP, true, reg, hm_gs(T_OFF(fast_end)));
	flow_leave_copy(g, e_jcc(g->c, CC_E), l->head);
}

/* What control comes to behind the jump back. */
static void leave_copy(struct gen *g, const struct fast_loop *l)
{
	const struct tr_insn *i = &g->in->insns[l->last];

	if (i->kind != K_JCC)
		return;
	swap_leave(g);
	g->fast = NULL;
	if (!l->after) {
		flow_edge(g, i->off + i->len);
		return;
	}
	if (l->after_fstate == FLAGS_MEM)
		flags_to_memory(g);
	else
		flags_to_host(g);
	e_jmp_to(g->c, l->after);
}

static void copy_head(struct gen *g, struct fast_loop *l)
{
	if (g->i->strong)
		flags_to_host(g);
	held_none(g);
	if (!l->nstreams && g->i->loop)
		e_align_loop(g->c);
	l->label[g->index - l->head] = g->c->at;
	g->fstate = FLAGS_HOST;
}

static void copy(struct gen *g, struct fast_loop *l)
{
	g->copying = true;
	for (unsigned k = l->head; k <= l->last && !g->full; k++) {
		g->fast = l;
		g->index = k;
		g->i = &g->in->insns[k];
		if (g->i->head && (k > l->head || !l->nstreams))
			copy_head(g, l);
		emit_one(g);
		if (k < l->last)
			gen_go_on(g);
	}
	leave_copy(g, l);
	g->copying = false;
}

static void copy_with_streams(struct gen *g, struct fast_loop *l)
{
	u32 in = e_jmp(g->c);

	if (l->nswaps)
		swap_restore(g, l);
	e_align_loop(g->c);
	held_none(g);
	for (unsigned k = 0; k < l->held; k++)
		g->kept |= BIT(held_regs[k]);
	l->label[0] = g->c->at;
	g->fast = l;
	at_end(g, l);
	e_bind_here(g->c, in);
	copy(g, l);
	g->kept = 0;
	g->t->n_fast_loops++;
}

/* The first way in makes the copy too. */
static void copy_with_swaps(struct gen *g, struct fast_loop *l, unsigned head)
{
	bool made = l->restore;

	swap_enter(g, l);
	g->fast = l;
	flow_fixup(g, e_jmp(g->c), head);
	if (made)
		return;
	swap_restore(g, l);
	copy(g, l);
}

void stub_loop(struct gen *g, const struct stub *s)
{
	struct fast_loop *l = &g->w->fast[s->target];
	bool made = l->restore; /* by another jump back */

	g->fstate = FLAGS_HOST;
	if (l->nstreams) {
		go_in(g, l);
		copy_with_streams(g, l);
	} else {
		copy_with_swaps(g, l, (unsigned)s->disp);
	}
	held_none(g);
	g->fast = NULL;
	if (l->nswaps && !made) {
		swap_outs(g, l);
		g->t->n_swapped_loops++;
	}
}

bool fast_has(const struct gen *g)
{
	return g->fast && stream_of(g->fast, g->index);
}

struct access fast_operand(struct gen *g, const struct tr_insn *i)
{
	const struct fast_loop *l = g->fast;
	const struct tr_stream *s = stream_of(l, g->index);
	unsigned n = (unsigned)(s - l->streams), busy = g->kept, held, base = 0, index;
	struct hmem m = {.index = -1, .disp = (i32)i->disp};
	u32 site = access_site(g, i->size, i->access, false);

	if (n < l->held) {
		held = held_regs[n];
	} else {
		held = gen_scratch(g, &busy);
		e_load(g->c, held, hm_gs(held_off(n)));
	}
	m.base = (int)held;
	if (s->base == NO_REG && s->index == NO_REG)
		m.disp = (i32)((i->rip_relative ? gen_rip(g, i) : 0) + (u64)i->disp - (u64)s->lo);
	if (varies(l, i->base)) {
		base = gen_load_reg(g, i->base, &busy);
		m.base = (int)base;
		m.index = (int)held;
	}
	if (varies(l, i->index)) {
		index = gen_load_reg(g, i->index, &busy);
		m.index = (int)index;
		m.shift = i->shift;
	}
	if (varies(l, i->base) && varies(l, i->index)) {
		unsigned sum = in_state(g, i->base) ? base : gen_scratch(g, &busy);

		e_lea(g->c, sum, m);
		held_drop(g, sum);
		m = (struct hmem){.base = (int)sum, .index = (int)held};
	}
	return (struct access){.m = m, .busy = busy, .site = site};
}
