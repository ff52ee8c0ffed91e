/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control flow: jumps within the region, links to others, calls paired with the host's.
 *
 * A pair on the host stack is [host return address][guest return address]. The host's CALL makes
 * the upper half of it, so that the CPU's return predictor works for the guest: a guest RET whose
 * target is the guest half executes the host's RET. What does not match (context switches,
 * longjmp, return addresses that were changed) takes the cache of indirect targets or C.
 *
 * Between regions flags are in tr.flags_mem if anybody can want them; a link to an entry for which
 * no flags live skips putting them there.
 */
#include "engine/translate/gen.h"

static const struct tr_insn *insn_at(const struct gen *g, i32 off, unsigned *index)
{
	if (off < 0 || off >= (i32)g->in->span || g->in->at[off] < 0)
		return NULL;
	*index = (unsigned)g->in->at[off];
	return &g->in->insns[*index];
}

static bool lives(const struct tr_insn *i)
{
	return i->strong | i->weak;
}

/* Where the region is entered and its second page is another one, that may read them. */
static bool may_live(const struct gen *g, const struct tr_insn *i)
{
	return lives(i) || (i->mem_head && g->in->region->page2);
}

void flow_leave(struct gen *g, u32 site)
{
	e_mov_imm(g->c, T1, site);
	e_jmp_to(g->c, g->t->rt.leave);
}

/* ---- Links ---- */

/* A jump out of the region, which C may lead elsewhere. */
static u32 link_site(struct gen *g, i32 target)
{
	u64 rip = g->in->page_rip + (u64)(i64)target;

	return new_site(g, (struct tr_site){.rip = g->in->compat ? (u32)rip : rip,
					    .kind = SITE_LINK,
					    .flags = FLAGS_MEM});
}

static void leave_stub(struct gen *g, u32 jump, u32 site)
{
	struct stub *s = new_stub(g, STUB_EXIT);

	s->jump = jump;
	s->site = site;
}

static void patchable(struct gen *g, u32 jump, u32 site)
{
	if (site)
		tr_link_of(g->t, site)->patch = jump;
	leave_stub(g, jump, site);
}

/* `jump` leads to `stub`, and may be led past what that does for flags. */
static void set_dead(struct gen *g, u32 site, u32 jump, u32 stub)
{
	if (!site)
		return;
	tr_link_of(g->t, site)->dead = jump;
	tr_link_of(g->t, site)->dead_stub = stub;
	note_point(g, jump, stub, false);
}

/* A jump or call that goes out: flags to memory unless the entry turns out not to want them. */
static void go_out(struct gen *g, u32 jump, u32 site)
{
	struct stub *s;

	if (g->fstate == FLAGS_MEM) {
		patchable(g, jump, site);
		return;
	}
	s = new_stub(g, STUB_EDGE);
	s->jump = jump;
	s->save = true;
	s->site = site;
}

/* To code outside of the region. */
static void outside(struct gen *g, i32 target, u32 dead)
{
	u32 site = link_site(g, target), begin;

	swap_leave(g);
	begin = g->c->at;
	if (!dead) {
		go_out(g, e_jmp(g->c), site);
		return;
	}
	flags_to_memory(g);
	set_dead(g, site, dead, begin);
	patchable(g, e_jmp(g->c), site);
}

void flow_fixup(struct gen *g, u32 rel, unsigned insn)
{
	bool inside = g->fast && insn >= g->fast->head && insn <= g->fast->last;

	if (!inside && swap_is_on(g)) {
		flow_leave_copy(g, rel, insn);
		return;
	}
	if (g->nfixups == FIXUPS_MAX) {
		g->full = true;
		return;
	}
	g->w->fixups[g->nfixups++] = (struct fixup){
		.rel = rel,
		.insn = (u16)insn,
		.fast = inside ? (u8)(g->fast - g->w->fast + 1) : 0,
		.back = g->in->insns[insn].off <= g->i->off,
	};
}

void flow_leave_copy(struct gen *g, u32 rel, unsigned insn)
{
	struct stub *s;

	if (!swap_is_on(g)) {
		g->fast = NULL;
		flow_fixup(g, rel, insn);
		return;
	}
	s = new_stub(g, STUB_LEAVE);
	s->jump = rel;
	s->target = (i32)insn;
}

/* Flags as the head expects them. */
static void flags_for(struct gen *g, const struct tr_insn *head)
{
	if (!lives(head))
		return;
	if (head->mem_head)
		flags_to_memory(g);
	else
		flags_to_host(g);
}

static bool flags_fit(const struct gen *g, const struct tr_insn *head)
{
	return !lives(head) || g->fstate == (head->mem_head ? FLAGS_MEM : FLAGS_HOST);
}

void flow_edge(struct gen *g, i32 target)
{
	const struct tr_insn *to;
	unsigned index;
	u32 rel;

	to = insn_at(g, target, &index);
	if (!to) {
		outside(g, target, 0);
		return;
	}
	flags_for(g, to);
	rel = e_jmp(g->c);
	if (!fast_jump_back(g, rel, index))
		flow_fixup(g, rel, index);
}

/* A conditional jump, of which `rel` is what is to be bound. */
static void edge_from(struct gen *g, u32 rel, i32 target)
{
	const struct tr_insn *to;
	struct stub *s;
	unsigned index;

	to = insn_at(g, target, &index);
	if (to && flags_fit(g, to)) {
		if (!fast_jump_back(g, rel, index))
			flow_fixup(g, rel, index);
		return;
	}
	if (!to && g->fstate == FLAGS_MEM && !swap_is_on(g)) {
		patchable(g, rel, link_site(g, target));
		return;
	}
	s = new_stub(g, STUB_EDGE);
	s->jump = rel;
	s->target = target;
}

static void stub_edge(struct gen *g, const struct stub *s)
{
	unsigned index;

	if (s->save) { /* of an unconditional jump, which has its site already */
		set_dead(g, s->site, s->jump, g->c->at);
		flags_to_memory(g);
		patchable(g, e_jmp(g->c), s->site);
		return;
	}
	if (insn_at(g, s->target, &index))
		flow_edge(g, s->target);
	else
		outside(g, s->target, swap_is_on(g) ? 0 : s->jump);
}

/* ---- Heads ---- */

u32 e_unless_fpu(struct code *c, u8 units)
{
	if (units == (UNIT_VECTOR | UNIT_X87)) {
		e_cmp8_mem(c, hm_gs(T_OFF(fpu_in)), units);
		return e_jcc(c, CC_NE);
	}
	e_test8_mem(c, hm_gs(T_OFF(fpu_in)), units);
	return e_jcc(c, CC_E);
}

/* What the region needs must be the guest's from here on; flags are in memory. */
void flow_fpu_check(struct gen *g)
{
	struct stub *s;
	u32 jump;

	if (!g->in->region->fpu)
		return;
	jump = e_unless_fpu(g->c, g->in->region->fpu);
	s = new_stub(g, STUB_FPU);
	s->jump = jump;
	s->back = g->c->at;
}

/* The region's second page must be behind its first; flags are in memory. */
static void check_second(struct gen *g)
{
	const struct tr_region *r = g->in->region;
	u64 rip = gen_rip(g, g->i);
	struct stub *s;
	u32 jump;

	if (!r->second_id)
		return;
	jump = e_unless_page(g->c, rip + ALC_PAGE_SIZE, r->second_id);
	s = new_stub(g, STUB_EXIT);
	s->jump = jump;
	s->site = new_site(
		g, (struct tr_site){.rip = rip, .kind = SITE_ATTENTION, .flags = FLAGS_MEM});
}

/* Has somebody something for this vCPU? Then leave, with flags as they are. */
static void poll(struct gen *g, bool bracket)
{
	struct stub *s;
	u32 jump, site;

	site = new_site(g, (struct tr_site){.rip = gen_rip(g, g->i),
					    .kind = SITE_ATTENTION,
					    .flags = (u8)g->fstate});
	if (bracket)
		flags_bracket(g);
	e_cmp32_mem8(g->c, hm_gs(V_OFF(attention)), 0);
	jump = e_jcc(g->c, CC_NE);
	s = new_stub(g, STUB_EXIT);
	s->jump = jump;
	s->site = site;
	s->bracket = bracket;
	if (bracket)
		flags_unbracket(g);
}

/*
 * Where jumps back lead when the vCPU is kicked. Links and other entries have their own ways out,
 * and begin with what may be written over when the region dies.
 */
static void enter_unpolled(struct gen *g, const struct tr_insn *i)
{
	struct stub *s;

	add_entry(g, gen_rip(g, i), g->c->at, i->mem_head, false, may_live(g, i));
	if (i->mem_head) {
		e_nop(g->c, g->in->region->second_id || g->in->region->fpu ? 0 : ENTRY_BYTES);
		check_second(g);
		flow_fpu_check(g);
	}
	if (i->loop)
		e_align_loop(g->c);
	g->w->label[g->index] = g->c->at;
	if (!i->loop)
		return;
	s = new_stub(g, STUB_EXIT);
	s->site = new_site(g, (struct tr_site){.rip = gen_rip(g, g->i),
					       .kind = SITE_ATTENTION,
					       .flags = (u8)g->fstate});
}

void flow_enter_head(struct gen *g, const struct tr_insn *i)
{
	bool falls_in = g->index &&
			g->in->insns[g->index - 1].off + g->in->insns[g->index - 1].len == i->off;
	enum tr_kind before = falls_in ? g->in->insns[g->index - 1].kind : K_END;

	if (falls_in && before != K_JMP && before != K_JMP_REG && before != K_JMP_MEM &&
	    before != K_RET && before != K_END && before != K_SYSCALL && before != K_SYSRET &&
	    before != K_IRET)
		flags_for(g, i);
	held_none(g);
	g->fstate = i->mem_head ? FLAGS_MEM : FLAGS_HOST;
	if (tr_has(g->t, TR_KICKS)) {
		enter_unpolled(g, i);
		return;
	}
	g->w->label[g->index] = g->c->at;
	add_entry(g, gen_rip(g, i), g->c->at, i->mem_head, false, may_live(g, i));
	if (i->mem_head) {
		check_second(g);
		poll(g, false);
		flow_fpu_check(g);
	} else if (i->loop) {
		poll(g, lives(i));
	}
}

/* ---- Direct jumps ---- */

static void insn_jcc(struct gen *g, const struct tr_insn *i)
{
	u32 rel = e_jcc(g->c, i->opcode & 15);

	edge_from(g, rel, i->target);
}

/* JRCXZ reaches 127 bytes only: it jumps around, or to, a jump. LOOP counts without flags. */
static void insn_loop(struct gen *g, const struct tr_insn *i)
{
	enum tr_flags fstate = g->fstate;
	struct code *c = g->c;
	u32 over;

	if (i->opcode == 0xe2) {
		(i->a32 ? e_lea32 : e_lea)(c, X86_RCX, hm(X86_RCX, -1));
		E_CODE(c, 0xe3, 5);
		edge_from(g, e_jmp(c), i->target);
	} else {
		if (i->a32)
			e8(c, 0x67);
		E_CODE(c, 0xe3, 5);
		over = e_jmp(c);
		edge_from(g, e_jmp(c), i->target);
		e_bind_here(c, over);
	}
	g->fstate = fstate;
}

/* ---- Calls and returns ---- */

/* Stores the return address and pushes its half of the pair; takes T0 and T1. */
static void push_return(struct gen *g, const struct tr_insn *i)
{
	u64 next = gen_rip(g, i) + i->len;
	bool small = (u64)(i64)(i32)next == next;
	i32 word = (i32)gen_word(g);
	struct access a = access_stack(g, -word, X86_WRITE);
	unsigned value = a.busy & BIT(T0) ? T1 : T0;
	struct code *c = g->c;

	if (small || g->in->compat) {
		main_point(g, a.site);
		gen_store_word_imm(g, a.m, (i32)next);
		gen_note_stays(g);
	} else {
		gen_mov_relative(g, value, next);
		main_point(g, a.site);
		e_store(c, a.m, value);
	}
	gen_lea_word(g, H_RSP, H_RSP, -word);
	if (!tr_has(g->t, TR_PAIRS))
		return;
	if (small) {
		e8(c, 0x68);
		e32(c, (u32)next);
	} else {
		if (g->in->compat)
			e_mov_imm(c, value, next);
		e_push(c, value);
	}
}

/* Where a callee comes back to. */
static void after_call(struct gen *g, const struct tr_insn *i)
{
	u64 next = gen_rip(g, i) + i->len;
	unsigned index;

	if (tr_has(g->t, TR_PAIRS)) {
		add_entry(g, next, g->c->at, true, true, true);
		E_CODE(g->c, 0x48, 0x8d, 0x64, 0x24, 8); /* lea rsp, [rsp + 8] */
	}
	g->fstate = FLAGS_MEM;
	if (insn_at(g, i->off + i->len, &index)) /* else there is only a jump to somewhere else */
		add_entry(g, next, g->c->at, true, false, true);
	/* At least as long as the jump that replaces it when the region has gone. */
	if (g->in->region->fpu)
		flow_fpu_check(g);
	else
		e_nop(g->c, ENTRY_BYTES);
}

static void insn_call(struct gen *g, const struct tr_insn *i)
{
	u32 site;

	if (!windows_for(g, i)) /* where no flags are taken on the way */
		flags_to_memory(g);
	push_return(g, i);
	site = link_site(g, i->target);
	go_out(g, tr_has(g->t, TR_PAIRS) ? e_call(g->c) : e_jmp(g->c), site);
	after_call(g, i);
}

static u32 indirect_site(struct gen *g, const struct tr_insn *i, i32 undo)
{
	return new_site(g, (struct tr_site){.rip = gen_rip(g, i),
					    .kind = SITE_INDIRECT,
					    .undo = undo,
					    .flags = FLAGS_MEM});
}

/* With the target in T0: T1 = its place in the cache; returns the jump for when it's not there. */
static u32 find_target(struct gen *g, u32 site)
{
	i32 table = T_OFF(jumps) + (i32)(g->in->user * JUMP_CACHE * sizeof(struct tr_jump));
	struct code *c = g->c;

	e_mov_imm(c, T2, site);
	e_jump_offset(c);
	e_rm(c, OP_CMP, true, T0, hm_gs_at(T1, table));
	return e_jcc(c, CC_NE);
}

static struct hmem found_target(const struct gen *g)
{
	return hm_gs_at(T1, T_OFF(jumps) + (i32)(g->in->user * JUMP_CACHE * sizeof(struct tr_jump) +
						 offsetof(struct tr_jump, host)));
}

/* The operand of an indirect transfer into a scratch register. */
static void load_target(struct gen *g, const struct tr_insn *i, unsigned to)
{
	if (i->kind == K_JMP_MEM || i->kind == K_CALL_MEM) {
		struct access a = access_operand(g, i);

		main_point(g, a.site);
		gen_load_word(g, to, a.m);
	} else if (in_state(g, i->op_reg)) {
		e_load(g->c, to, state_reg(i->op_reg));
	} else {
		gen_move_word(g, to, host_reg(g, i->op_reg));
	}
}

static void insn_jmp_indirect(struct gen *g, const struct tr_insn *i)
{
	u32 miss;

	flags_to_memory(g);
	load_target(g, i, T0);
	miss = find_target(g, indirect_site(g, i, 0));
	e_bind(g->c, miss, g->t->rt.indirect);
	note_point(g, miss, g->t->rt.indirect, true);
	e_jmp_mem(g->c, found_target(g));
}

static void insn_call_indirect(struct gen *g, const struct tr_insn *i)
{
	struct stub *s;
	u32 miss;

	flags_to_memory(g);
	load_target(g, i, T2);
	push_return(g, i);
	e_rr(g->c, OP_MOV_LOAD, true, T0, T2);
	miss = find_target(g, indirect_site(g, i, (i32)gen_word(g)));
	if (tr_has(g->t, TR_PAIRS))
		e_call_mem(g->c, found_target(g));
	else
		e_jmp_mem(g->c, found_target(g));
	s = new_stub(g, STUB_CALL);
	s->jump = miss;
	s->back = g->c->at;
	after_call(g, i);
}

static void insn_ret(struct gen *g, const struct tr_insn *i)
{
	struct code *c = g->c;
	i32 freed = (i32)gen_word(g) + (i32)i->imm;
	struct access a;
	bool pairs = tr_has(g->t, TR_PAIRS);
	u32 miss;

	flags_to_memory(g);
	a = access_stack(g, 0, X86_READ);
	main_point(g, a.site);
	gen_load_word(g, T0, a.m);
	gen_lea_word(g, H_RSP, H_RSP, freed);
	e_mov_imm(c, T2, indirect_site(g, i, -freed));
	if (pairs)
		E_CODE(c, 0x4c, 0x3b, 0x4c, 0x24, 8); /* cmp r9, [rsp + 8] */
	miss = pairs ? e_jcc(c, CC_NE) : e_jmp(c);
	e_bind(c, miss, g->t->rt.return_miss[g->in->user]);
	note_point(g, miss, g->t->rt.indirect, pairs);
	if (pairs)
		e8(c, 0xc3);
}

void flow_insn(struct gen *g, const struct tr_insn *i)
{
	switch (i->kind) {
	case K_JMP:
		flow_edge(g, i->target);
		break;
	case K_JCC:
		insn_jcc(g, i);
		break;
	case K_LOOP:
		insn_loop(g, i);
		break;
	case K_CALL:
		insn_call(g, i);
		break;
	case K_RET:
		insn_ret(g, i);
		break;
	case K_JMP_REG:
	case K_JMP_MEM:
		insn_jmp_indirect(g, i);
		break;
	default:
		insn_call_indirect(g, i);
		break;
	}
}

/* ---- Cold code ---- */

void flow_stub(struct gen *g, const struct stub *s)
{
	struct code *c = g->c;

	switch (s->kind) {
	case STUB_EDGE:
		stub_edge(g, s);
		break;
	case STUB_LEAVE:
		swap_leave(g);
		flow_fixup(g, e_jmp(c), (unsigned)s->target);
		break;
	case STUB_FPU:
		e_call_to(c, g->t->rt.load_fpu[g->in->region->fpu]);
		e_jmp_to(c, s->back);
		break;
	case STUB_CALL:
		note_point(g, s->jump, c->at, true);
		/* The callee returns here, behind the call, as if it had been the other one. */
		if (tr_has(g->t, TR_PAIRS)) {
			e_call_to(c, g->t->rt.indirect);
			e_jmp_to(c, s->back);
		} else {
			e_jmp_to(c, g->t->rt.indirect);
		}
		break;
	default:
		if (s->site && tr_slot(g->t, s->site)->kind == SITE_LINK) {
			tr_link_of(g->t, s->site)->stub = c->at;
			note_point(g, s->jump, c->at, false);
		}
		if (!s->jump)
			g->w->outs[g->index] = c->at;
		if (s->bracket)
			flags_unbracket(g);
		swap_leave(g);
		flow_leave(g, s->site);
		break;
	}
}
