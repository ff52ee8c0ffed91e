/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYSCALL and SYSRET, which change the privilege and lead from translated code to translated code.
 *
 * What SYSCALL and SYSRET load into CS and SS depends on MSRs alone. tr.ring has it ready for one
 * value of them; with another, and where the new flags ask for more than translated code knows
 * (a trap flag, alignment checks, an interrupt that waits for IF), the interpreter runs them.
 */
#include "engine/translate/gen.h"
#include "isa/segment.h"

/* ---- What is loaded ---- */

void tr_ring_refresh(struct alc_vcpu *v, struct tr *t)
{
	u16 in = (u16)(v->msr.star >> 32) & ~3u, out = (u16)(v->msr.star >> 48);

	if (!(v->efer & X86_EFER_SCE) || !x86_long_mode(v))
		return;
	t->ring = (struct tr_ring){
		.star = v->msr.star,
		.efer = v->efer,
		.cs = {seg_flat_code(in, 0, true), seg_flat_code((u16)((out + 16) | 3), 3, true)},
		.ss = {seg_flat_data((u16)(in + 8), 0), seg_flat_data((u16)((out + 8) | 3), 3)},
	};
}

/* ---- The runtime's part ----
 *
 * The site, SITE_STEP, is in T2; the next one is for the transfer to an address that the cache of
 * targets doesn't have. Flags are in memory.
 */

static struct hmem gpr(unsigned r)
{
	return hm_gs(V_OFF(gpr) + (i32)(r * sizeof(u64)));
}

static void shift32(struct code *c, unsigned ext, unsigned reg, unsigned by)
{
	E_CODE(c, 0x41, 0xc1, 0xc0 | ext << 3 | (reg & 7), by);
}

enum { SHL = 4, SHR = 5 };

static void op_imm32(struct code *c, unsigned ext, struct hmem m, u32 imm)
{
	e_rm(c, 0x81, false, ext, m);
	e32(c, imm);
}

enum { IMM_OR = 1, IMM_AND = 4 };

/* T0 = RFLAGS with the arithmetic flags in; takes T1. */
static void load_rflags(struct code *c)
{
	e_load32(c, T0, hm_gs(T_OFF(flags_mem)));
	e_rr(c, OP_MOV_LOAD, false, T1, T0);
	shift32(c, SHR, T1, 8);
	e_and32_imm(c, T1, X86_ARITH & 0xff);
	e_and32_imm(c, T0, 1);
	shift32(c, SHL, T0, 11);
	e_rr(c, 0x0b, false, T1, T0); /* or */
	e_load32(c, T0, hm_gs(V_OFF(rflags)));
	e_and32_imm(c, T0, ~(u32)(X86_ARITH | X86_RF));
	e_rr(c, 0x0b, false, T0, T1);
}

void ring_store_rflags(struct code *c)
{
	e_store(c, hm_gs(V_OFF(rflags)), T0);
	e_rr(c, OP_MOV_LOAD, false, T1, T0);
	e_and32_imm(c, T1, 0xff);
	shift32(c, SHL, T1, 8);
	shift32(c, SHR, T0, 11);
	e_and32_imm(c, T0, 1);
	e_rr(c, 0x0b, false, T1, T0);
	e_store32(c, hm_gs(T_OFF(flags_mem)), T1);
}

static void copy_segment(struct code *c, i32 to, i32 from)
{
	_Static_assert(sizeof(struct x86_seg) == 16, "two words");
	for (i32 k = 0; k < 16; k += 8) {
		e_load(c, T0, hm_gs(from + k));
		e_store(c, hm_gs(to + k), T0);
	}
}

void ring_load_segments(struct code *c, i32 cs, i32 ss)
{
	copy_segment(c, V_OFF(seg[X86_CS]), cs);
	copy_segment(c, V_OFF(seg[X86_SS]), ss);
}

void ring_switch(struct tr *t, unsigned user)
{
	struct code *c = &t->emit;

	e_store(c, hm_gs(T_OFF(pair_saved) + (i32)(!user * sizeof(u64))), X86_RSP);
	e_store8_imm(c, hm_gs(V_OFF(cpl)), user ? 3 : 0);
	op_imm32(c, user ? IMM_OR : IMM_AND, hm_gs(T_OFF(c.mode)),
		 user ? MODE_USER : ~(u32)MODE_USER);
	e_mov_imm(c, T0,
		  (u64)(uintptr_t)(t->tables +
				   TLB_SIZE * (user ? TLB_TABLE_USER : TLB_TABLE_KERNEL)));
	e_store(c, hm_gs(T_OFF(c.tlb)), T0);
	e_load(c, X86_RSP, hm_gs(T_OFF(pair_saved) + (i32)(user * sizeof(u64))));
}

/* CS and SS of tr.ring too. */
static void switch_ring(struct tr *t, unsigned user)
{
	i32 image = (i32)(user * sizeof(struct x86_seg));

	ring_load_segments(&t->emit, T_OFF(ring.cs) + image, T_OFF(ring.ss) + image);
	ring_switch(t, user);
}

void ring_transfer(struct tr *t, unsigned user)
{
	i32 table = T_OFF(jumps) + (i32)(user * JUMP_CACHE * sizeof(struct tr_jump));
	struct code *c = &t->emit;
	u32 unknown;

	e_lea(c, T2, hm(T2, 1));
	e_jump_offset(c);
	e_rm(c, OP_CMP, true, T0, hm_gs_at(T1, table));
	unknown = e_jcc(c, CC_NE);
	e_bind(c, unknown, t->rt.indirect);
	t->ring_jumps[t->ring_points.npoints++] = (struct tr_point){
		.rel = unknown, .to = t->rt.indirect & mask_low(31), .compares = true};
	e_jmp_mem(c, hm_gs_at(T1, table + (i32)offsetof(struct tr_jump, host)));
}

/*
 * Jumps to `step` unless everything is as tr.ring has it, no interrupt waits, and the other ring
 * was left in the mode that it is entered in: a 32-bit program may have run there.
 */
static void check_ring(struct code *c, unsigned user, u32 step)
{
	e_load(c, T1, hm_gs(V_OFF(msr.star)));
	e_rm(c, OP_CMP, true, T1, hm_gs(T_OFF(ring.star)));
	e_bind(c, e_jcc(c, CC_NE), step);
	e_load(c, T1, hm_gs(V_OFF(efer)));
	e_rm(c, OP_CMP, true, T1, hm_gs(T_OFF(ring.efer)));
	e_bind(c, e_jcc(c, CC_NE), step);
	e_load32(c, T1, hm_gs(T_OFF(c.mode)));
	E_CODE(c, 0x41, 0x83, 0xf2, MODE_USER); /* xor r10d */
	e_rm(c, 0x0b, false, T1, hm_gs(T_OFF(window_mode) + (i32)(user * sizeof(u32)))); /* or */
	e_rm(c, OP_CMP, false, T1, hm_gs(T_OFF(key_mode) + (i32)(user * sizeof(u32))));
	e_bind(c, e_jcc(c, CC_NE), step);
	e_cmp8_mem(c, hm_gs(T_OFF(c.intr_waiting)), 0);
	e_bind(c, e_jcc(c, CC_NE), step);
}

/* The return address is in T0. */
static void emit_syscall(struct tr *t, u32 step)
{
	struct code *c = &t->emit;

	t->rt.syscall = c->at;
	check_ring(c, 0, step);
	e_rr(c, OP_MOV_LOAD, true, X86_RCX, T0);
	load_rflags(c);
	e_store(c, gpr(X86_R11), T0);
	e_load32(c, T1, hm_gs(V_OFF(msr.sfmask)));
	E_CODE(c, 0x41, 0xf7, 0xd2);         /* not r10d */
	e_rr(c, 0x23, false, T0, T1);        /* and */
	E_CODE(c, 0x41, 0x83, 0xc9, X86_R1); /* or r9d */
	ring_store_rflags(c);
	switch_ring(t, 0);
	e_load(c, T0, hm_gs(V_OFF(msr.lstar)));
	ring_transfer(t, 0);
}

/* Of 64-bit operand size. RCX is in the lower half, or else the interpreter's. */
static void emit_sysret(struct tr *t, u32 step)
{
	const u32 easy = X86_ARITH | X86_R1 | X86_IF | X86_DF | X86_ID;
	struct code *c = &t->emit;

	t->rt.sysret = c->at;
	check_ring(c, 1, step);
	e_rr(c, OP_MOV_LOAD, true, T1, X86_RCX);
	E_CODE(c, 0x49, 0xc1, 0xea, 47); /* shr r10 */
	e_bind(c, e_jcc(c, CC_NE), step);
	e_load(c, T0, gpr(X86_R11));
	E_CODE(c, 0x49, 0xf7, 0xc1); /* test r9, imm32: sign-extended */
	e32(c, ~easy);
	e_bind(c, e_jcc(c, CC_NE), step);
	E_CODE(c, 0x41, 0x83, 0xc9, X86_R1); /* or r9d */
	ring_store_rflags(c);
	switch_ring(t, 1);
	e_rr(c, OP_MOV_LOAD, true, T0, X86_RCX);
	ring_transfer(t, 1);
}

void tr_emit_ring(struct tr *t)
{
	struct code *c = &t->emit;
	u32 step = c->at;

	t->rt.step = t->rt.ring_begin = step;
	t->ring_points = (struct tr_region){.points = t->ring_jumps};
	e_rr(c, OP_MOV_LOAD, false, T1, T2);
	e_jmp_to(c, t->rt.leave);
	emit_syscall(t, step);
	emit_sysret(t, step);
	tr_emit_return(t, step);
	t->rt.ring_end = c->at;
}

/* ---- Instructions ---- */

static u32 two_sites(struct gen *g, const struct tr_insn *i)
{
	struct tr_site s = {.rip = gen_rip(g, i),
			    .kind = SITE_STEP,
			    .flags = FLAGS_MEM,
			    .answer = i->kind == K_IRET ? ANSWER_RETURN : ANSWER_NONE};
	u32 site = new_site(g, s);

	s.answer = ANSWER_NONE;
	s.kind = SITE_INDIRECT;
	new_site(g, s);
	return site;
}

void insn_ring(struct gen *g, const struct tr_insn *i)
{
	u32 jump;

	if (!tr_has(g->t, TR_RING)) {
		insn_end(g, i);
		return;
	}
	flags_to_memory(g);
	if (i->kind == K_SYSCALL)
		gen_mov_relative(g, T0, gen_rip(g, i) + i->len);
	e_mov_imm(g->c, T2, two_sites(g, i));
	jump = e_jmp(g->c);
	e_bind(g->c, jump,
	       i->kind == K_SYSCALL  ? g->t->rt.syscall
	       : i->kind == K_SYSRET ? g->t->rt.sysret
				     : g->t->rt.iret);
	note_point(g, jump, g->t->rt.step, false);
}
