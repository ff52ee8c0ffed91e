/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that are frequent enough to be more than a call of the interpreter: flags as data,
 * the interrupt flag, strings within a page, bit strings.
 *
 * Where the short way does not suffice, the instruction is the interpreter's after all, as if it
 * were a K_ONE; nothing has changed by then.
 */
#include "engine/translate/gen.h"

enum { FLAGS_OFF = V_OFF(rflags) };

/* A jump to cold code that lets the interpreter run the instruction, then goes on at `back`. */
static struct stub *rather_interpret(struct gen *g, u32 jump, u32 site, bool bracket)
{
	struct stub *s = new_stub(g, STUB_EXIT);

	s->jump = jump;
	s->site = site;
	s->bracket = bracket;
	return s;
}

static u32 one_site(struct gen *g, const struct tr_insn *i)
{
	return new_site(g, (struct tr_site){.rip = gen_rip(g, i),
					    .kind = SITE_ONE,
					    .next = i->len,
					    .flags = (u8)g->fstate});
}

static void resume_here(struct gen *g, u32 site)
{
	if (site)
		tr_slot(g->t, site)->value = g->c->at;
}

static void op_imm32(struct code *c, unsigned ext, struct hmem m, u32 imm)
{
	e_rm(c, 0x81, false, ext, m);
	e32(c, imm);
}

/* ---- Segments ---- */

/* T0's lower 16 bits to those of a guest register; no flags. */
static void store_word(struct gen *g, unsigned guest)
{
	if (in_state(g, guest)) {
		struct hmem m = state_reg(guest);

		E_CODE(g->c, 0x66, 0x65, 0x44, 0x89); /* mov gs:[…], r9w */
		e_modrm_mem(g->c, T0, &m);
	} else {
		unsigned to = host_reg(g, guest);

		E_CODE(g->c, 0x66, 0x44 | to >> 3, 0x89, 0xc8 | (to & 7)); /* mov r16, r9w */
	}
}

/* MOV r32, Sreg and its 64-bit form are zero-extended; r16 leaves the rest of the register. */
void insn_read_segment(struct gen *g, const struct tr_insn *i)
{
	bool part = i->prefixes & PFX_66 && !i->w;
	unsigned to = in_state(g, i->rm) || part ? T0 : host_reg(g, i->rm);
	struct hmem m = hm_gs(V_OFF(seg) + (i32)(i->reg * sizeof(struct x86_seg) +
						 offsetof(struct x86_seg, sel)));
	unsigned rex = e_rex_mem(to, &m);

	e8(g->c, 0x65);
	if (rex)
		e8(g->c, 0x40 | rex);
	E_CODE(g->c, 0x0f, 0xb7); /* movzx r32, m16 */
	e_modrm_mem(g->c, to, &m);
	if (part)
		store_word(g, i->rm);
	else if (in_state(g, i->rm))
		e_store(g->c, state_reg(i->rm), T0);
}

static struct hmem segment_base(const struct tr_insn *i)
{
	unsigned which = i->reg & 1 ? X86_GS : X86_FS;

	return hm_gs(V_OFF(seg) + (i32)(which * sizeof(struct x86_seg)));
}

/* RDFSBASE and kin, if CR4 allows them and what is written is canonical. */
void insn_base(struct gen *g, const struct tr_insn *i)
{
	bool bracket = flags_prepare(g), writes = i->reg & 2;
	u32 site = one_site(g, i);
	struct code *c = g->c;

	_Static_assert(offsetof(struct x86_seg, base) == 0, "where segment_base() points");
	if (writes && in_state(g, i->rm))
		e_rm(c, OP_MOV_LOAD, i->w, T0, state_reg(i->rm));
	else if (writes)
		e_rr(c, OP_MOV_LOAD, i->w, T0, host_reg(g, i->rm));
	if (bracket)
		flags_bracket(g);
	e_rm(c, 0xf7, false, 0, hm_gs(V_OFF(cr4))); /* test */
	e32(c, (u32)X86_CR4_FSGSBASE);
	rather_interpret(g, e_jcc(c, CC_E), site, bracket);
	if (writes) {
		e_rr(c, OP_MOV_LOAD, true, T1, T0);
		E_CODE(c, 0x49, 0xc1, 0xfa, 47); /* sar r10, 47 */
		E_CODE(c, 0x49, 0xff, 0xc2);     /* inc r10 */
		e_cmp_imm(c, T1, 1);
		rather_interpret(g, e_jcc(c, CC_A), site, bracket);
	}
	if (bracket)
		flags_unbracket(g);
	if (writes) {
		e_store(c, segment_base(i), T0);
	} else {
		e_rm(c, OP_MOV_LOAD, i->w, T0, segment_base(i));
		if (in_state(g, i->rm))
			e_store(c, state_reg(i->rm), T0);
		else
			e_rr(c, OP_MOV_LOAD, true, host_reg(g, i->rm), T0);
	}
	resume_here(g, site);
}

/* ---- RFLAGS ---- */

/* The image is the state's word with the arithmetic flags put in; RF and VM read 0. */
void insn_pushf(struct gen *g, const struct tr_insn *i)
{
	struct code *c = g->c;

	(void)i;
	flags_to_memory(g);
	e_load32(c, T2, hm_gs(T_OFF(flags_mem)));
	e_rr(c, OP_MOV_LOAD, false, T0, T2);
	E_CODE(c, 0x41, 0xc1, 0xe9, 8); /* shr r9d, 8 */
	e_and32_imm(c, T0, X86_ARITH & 0xff);
	e_and32_imm(c, T2, 1);
	E_CODE(c, 0x41, 0xc1, 0xe3, 11); /* shl r11d, 11 */
	e_rr(c, 0x0b, false, T2, T0);    /* or */
	e_load32(c, T0, hm_gs(FLAGS_OFF));
	e_and32_imm(c, T0, ~(u32)(X86_ARITH | X86_RF | X86_VM));
	e_rr(c, 0x0b, false, T2, T0);
	push_register(g, T2);
}

/* Of the supervisor, and only if nothing but arithmetic flags and IF changes. */
void insn_popf(struct gen *g, const struct tr_insn *i)
{
	const u32 easy = X86_ARITH | X86_IF;
	u32 site = one_site(g, i);
	struct code *c = g->c;
	struct access a;
	u32 unwanted, off, recheck;

	a = access_stack(g, 0, X86_READ);
	main_point(g, a.site);
	e_load(c, T2, a.m);
	e_load(c, T0, hm_gs(FLAGS_OFF));
	e_rr(c, 0x33, true, T0, T2); /* xor */
	E_CODE(c, 0x49, 0xf7, 0xc1); /* test r9, imm32 */
	e32(c, ~easy);               /* sign-extended: the upper half too */
	unwanted = e_jcc(c, CC_NE);
	rather_interpret(g, unwanted, site, false);
	E_CODE(c, 0x41, 0xf7, 0xc3); /* test r11d, imm32 */
	e32(c, X86_IF);
	off = e_jcc(c, CC_E);
	e_cmp8_mem(c, hm_gs(T_OFF(c.intr_waiting)), 0);
	recheck = e_jcc(c, CC_NE);
	rather_interpret(g, recheck, site, false);
	e_bind_here(c, off);
	e_store32(c, hm_gs(FLAGS_OFF), T2);
	e_lea(c, H_RSP, hm(H_RSP, 8));
	e_rr(c, OP_MOV_LOAD, false, T0, T2); /* flags_mem = AH: low byte, AL: OF */
	e_and32_imm(c, T0, 0xff);
	E_CODE(c, 0x41, 0xc1, 0xe1, 8);  /* shl r9d, 8 */
	E_CODE(c, 0x41, 0xc1, 0xeb, 11); /* shr r11d, 11 */
	e_and32_imm(c, T2, 1);
	e_rr(c, 0x0b, false, T0, T2);
	e_store32(c, hm_gs(T_OFF(flags_mem)), T0);
	g->fstate = FLAGS_MEM;
	resume_here(g, site);
}

/* CLI, CLD, STD */
void insn_flag_bit(struct gen *g, const struct tr_insn *i)
{
	bool bracket = flags_prepare(g), sets = i->opcode == 0xfd;
	u32 bit = i->opcode == 0xfa ? X86_IF : X86_DF;

	if (bracket)
		flags_bracket(g);
	op_imm32(g->c, sets ? 1 : 4, hm_gs(FLAGS_OFF), sets ? bit : ~bit);
	if (bracket)
		flags_unbracket(g);
}

/* The page fault's address. */
void insn_read_cr2(struct gen *g, const struct tr_insn *i)
{
	unsigned to = in_state(g, i->rm) ? T0 : host_reg(g, i->rm);

	e_load(g->c, to, hm_gs(V_OFF(cr2)));
	if (in_state(g, i->rm))
		e_store(g->c, state_reg(i->rm), T0);
}

void insn_swapgs(struct gen *g, const struct tr_insn *i)
{
	struct hmem base = hm_gs(V_OFF(seg[X86_GS].base));
	struct hmem other = hm_gs(V_OFF(msr.kernel_gs_base));

	(void)i;
	e_load(g->c, T0, base);
	e_load(g->c, T1, other);
	e_store(g->c, base, T1);
	e_store(g->c, other, T0);
}

/* Interrupts stay off for one more instruction (SDM vol. 2, STI). */
void insn_sti(struct gen *g, const struct tr_insn *i)
{
	bool bracket = flags_prepare(g);
	u32 site = one_site(g, i);
	struct code *c = g->c;

	gen_mov_relative(g, T0, gen_rip(g, i) + i->len);
	if (bracket)
		flags_bracket(g);
	e_cmp8_mem(c, hm_gs(T_OFF(c.intr_waiting)), 0);
	rather_interpret(g, e_jcc(c, CC_NE), site, bracket);
	op_imm32(c, 1, hm_gs(FLAGS_OFF), X86_IF);
	e_store(c, hm_gs(V_OFF(shadow_rip)), T0);
	e_store8_imm(c, hm_gs(V_OFF(shadow_ss)), 0);
	if (bracket)
		flags_unbracket(g);
	resume_here(g, site);
}

/* ---- Strings ---- */

/*
 * A page that the TLB doesn't have: it is filled, and the instruction begins anew. Of two addresses
 * each might take the other's place, for ever.
 */
static void string_missed(struct gen *g, u32 jump, u32 retry, unsigned access, bool bracket)
{
	struct stub *s = new_stub(g, STUB_SLOW);

	s->ea = EA_RDI;
	s->bracket = bracket;
	s->jump = jump;
	s->back = retry;
	s->site = new_site(g, (struct tr_site){.rip = gen_rip(g, g->i),
					       .kind = SITE_INTERP,
					       .flags = (u8)g->fstate,
					       .size = g->i->size,
					       .access = (u8)access});
}

/* T1 = offset of the TLB entry for an address register, within whose page the run must be. */
static void string_operand(struct gen *g, unsigned reg, unsigned access, const struct tr_insn *i,
			   u32 site, u32 retry, bool bracket)
{
	struct code *c = g->c;

	e_rr(c, OP_MOV_LOAD, true, T0, reg);
	tlb_entry_offset(g);
	e_rm(c, OP_SUB, true, T0, hm_gs_at(T1, tlb_tag_off(g, access)));
	e_cmp_imm(c, T0, ALC_PAGE_SIZE - 1);
	if (retry)
		string_missed(g, e_jcc(c, CC_A), retry, access, bracket);
	else
		rather_interpret(g, e_jcc(c, CC_A), site, bracket);
	if (i->prefixes & PFX_F3)
		e_lea(c, T0,
		      (struct hmem){.base = T0,
				    .index = X86_RCX,
				    .shift = (unsigned)__builtin_ctz(i->size)});
	else
		e_lea(c, T0, hm(T0, i->size));
	e_cmp_imm(c, T0, ALC_PAGE_SIZE);
	rather_interpret(g, e_jcc(c, CC_A), site, bracket);
}

static void after_run(struct gen *g, unsigned to, unsigned reg, const struct tr_insn *i)
{
	struct hmem m = {.base = (int)reg, .index = -1, .disp = i->size};

	if (i->prefixes & PFX_F3)
		m = (struct hmem){.base = (int)reg,
				  .index = X86_RCX,
				  .shift = (unsigned)__builtin_ctz(i->size)};
	e_lea(g->c, to, m);
}

/* MOVS and STOS, repeated or not, upwards and within a page at either end: the host's own. */
void insn_string(struct gen *g, const struct tr_insn *i)
{
	bool moves = (i->opcode & ~1u) == 0xa4, bracket;
	struct code *c = g->c;
	u32 site, retry;

	if (g->t->vm->spectre) {
		insn_one(g, i);
		return;
	}
	bracket = flags_prepare(g);
	site = one_site(g, i);
	if (g->in->compat) { /* what is checked below is accessed: no upper halves */
		gen_move_word(g, X86_RDI, X86_RDI);
		gen_move_word(g, X86_RSI, X86_RSI);
	}
	retry = c->at;
	if (bracket)
		flags_bracket(g);
	if (i->prefixes & PFX_F3) {
		e_lea(c, T0, hm(X86_RCX, -1)); /* a count of 0 touches nothing */
		e_cmp_imm(c, T0, ALC_PAGE_SIZE / i->size - 1);
		rather_interpret(g, e_jcc(c, CC_A), site, bracket);
	}
	e_rm(c, 0xf7, false, 0, hm_gs(FLAGS_OFF)); /* test */
	e32(c, X86_DF);
	rather_interpret(g, e_jcc(c, CC_NE), site, bracket);
	if (moves) {
		string_operand(g, X86_RSI, X86_READ, i, site, 0, bracket);
		e_rr(c, OP_MOV_LOAD, false, T2, T1);
	}
	string_operand(g, X86_RDI, X86_WRITE, i, site, moves ? 0 : retry, bracket);
	if (bracket)
		flags_unbracket(g);
	/* From here on flags stay as they are. T0 and T1: where the registers end up. */
	e_load(c, T1, hm_gs_at(T1, tlb_addend_off(g)));
	after_run(g, T0, X86_RDI, i);
	e_lea(c, X86_RDI, (struct hmem){.base = X86_RDI, .index = T1});
	if (moves) {
		e_load(c, T2, hm_gs_at(T2, tlb_addend_off(g)));
		after_run(g, T1, X86_RSI, i);
		e_lea(c, X86_RSI, (struct hmem){.base = X86_RSI, .index = T2});
	}
	emit_guest(g, i, (const u8[4]){0}, NULL);
	gen_move_word(g, X86_RDI, T0);
	if (moves)
		gen_move_word(g, X86_RSI, T1);
	resume_here(g, site);
}

/* ---- Bit strings ---- */

/* BT and kin with memory and a register: the register may point anywhere, see access_bits(). */
void insn_bits(struct gen *g, const struct tr_insn *i)
{
	struct access a;

	if (i->strong && !tr_host_has(g->t, TR_HOST_BMI2)) { /* the address takes flags */
		insn_one(g, i);
		return;
	}
	a = access_bits(g, i);
	main_point(g, a.site);
	emit_guest(g, i, (const u8[4]){T2, 0, 0, 0}, &a.m);
	g->fstate = FLAGS_HOST;
}
