/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The runtime that each code cache begins with: the way in, the ways out, and between.
 */
#include "engine/translate/translate.h"

static const u8 identity[] = {X86_RCX, X86_RDX, X86_RBX, X86_RBP, X86_RSI,
			      X86_RDI, X86_R12, X86_R13, X86_R14, X86_R15};
/* Those that C functions don't keep; R8 is guest RSP, R11 may be in use at a check. */
static const u8 volatile_regs[] = {X86_RCX, X86_RDX, X86_RSI, X86_RDI, 8, 11};
static const u8 callee_saved[] = {X86_RBX, X86_RBP, X86_R12, X86_R13, X86_R14, X86_R15};

static struct hmem gpr(unsigned r)
{
	return hm_gs(V_OFF(gpr) + (i32)(r * sizeof(u64)));
}

/* VMOVUPS or MOVUPS between gs:[fpu.vec[n]] and a register: all that the host has of it. */
static void move_vector(struct tr *t, unsigned n, bool store)
{
	struct code *c = &t->emit;
	struct hmem m = hm_gs(V_OFF(fpu.vec) + (i32)(n * sizeof(u64[8])));

	e8(c, 0x65);
	if (t->zmm)
		E_CODE(c, 0x62, (n & 8 ? 0 : 0x80) | 0x60 | (n & 16 ? 0 : 0x10) | 1, 0x7c, 0x48,
		       0x10 + store);
	else if (tr_host_has(t, TR_HOST_AVX))
		E_CODE(c, 0xc5, n & 8 ? 0x7c : 0xfc, 0x10 + store);
	else if (n & 8)
		E_CODE(c, 0x44, 0x0f, 0x10 + store);
	else
		E_CODE(c, 0x0f, 0x10 + store);
	e_modrm_mem(c, n, &m);
}

/* KMOVQ */
static void move_mask(struct code *c, unsigned n, bool store)
{
	struct hmem m = hm_gs(V_OFF(fpu.k) + (i32)(n * sizeof(u64)));

	E_CODE(c, 0x65, 0xc4, 0xe1, 0xf8, 0x90 + store);
	e_modrm_mem(c, n, &m);
}

static void move_vectors(struct tr *t, bool store)
{
	for (unsigned n = 0; n < (t->zmm ? 32 : 16); n++)
		move_vector(t, n, store);
	for (unsigned n = 0; t->zmm && n < 8; n++)
		move_mask(&t->emit, n, store);
}

/* ZF: what the registers that SSE has are above its 128 bits is zero. Takes XMM0. */
static void test_uppers(struct tr *t)
{
	struct code *c = &t->emit;
	unsigned parts = t->zmm ? 4 : 2;

	for (unsigned n = 0; n < 16; n++)
		for (unsigned k = 1; k < parts; k++) {
			struct hmem m = hm_gs(V_OFF(fpu.vec) +
					      (i32)(n * sizeof(u64[8]) + k * sizeof(u64[2])));

			E_CODE(c, 0x65, 0xc5, 0xf8, n + k == 1 ? 0x10 : 0x56); /* VMOVUPS, VORPS */
			e_modrm_mem(c, 0, &m);
		}
	E_CODE(c, 0xc4, 0xe2, 0x79, 0x17, 0xc0); /* vptest xmm0, xmm0 */
}

/*
 * Registers that were loaded as a whole have upper halves for the host, even if these are zero: SSE
 * then waits for what a destination was before, to keep its upper half. VZEROUPPER ends that.
 */
static void load_vectors(struct tr *t)
{
	struct code *c = &t->emit;
	u32 used;

	if (!tr_host_has(t, TR_HOST_AVX)) {
		move_vectors(t, false);
		return;
	}
	test_uppers(t);
	move_vectors(t, false);
	used = e_jcc(c, CC_NE);
	E_CODE(c, 0xc5, 0xf8, 0x77); /* vzeroupper */
	e_bind_here(c, used);
}

/* LDMXCSR (2) and STMXCSR (3). */
static void move_mxcsr(struct code *c, unsigned op, i32 off)
{
	struct hmem m = hm_gs(off);

	E_CODE(c, 0x65, 0x0f, 0xae);
	e_modrm_mem(c, op, &m);
}

static void emit_vector(struct tr *t)
{
	struct code *c = &t->emit;

	t->rt.load_vector = c->at;
	load_vectors(t);
	move_mxcsr(c, 2, V_OFF(fpu.mxcsr));
	e_or8_mem(c, hm_gs(T_OFF(fpu_in)), UNIT_VECTOR);
	e8(c, 0xc3);

	t->rt.save_vector = c->at;
	move_vectors(t, true);
	move_mxcsr(c, 3, V_OFF(fpu.mxcsr));
	move_mxcsr(c, 2, T_OFF(host_mxcsr));
	if (tr_host_has(t, TR_HOST_AVX))
		E_CODE(c, 0xc5, 0xf8, 0x77); /* vzeroupper */
	e_and8_mem(c, hm_gs(T_OFF(fpu_in)), (u8)~UNIT_VECTOR);
	e8(c, 0xc3);
}

/* If the unit's bit is set in the byte at off, calls `to`; changes flags. */
static void call_if(struct code *c, i32 off, u8 unit, u32 to)
{
	u32 skip;

	e_test8_mem(c, hm_gs(off), unit);
	skip = e_jcc(c, CC_E);
	e_call_to(c, to);
	e_bind_here(c, skip);
}

static void call_unless(struct code *c, u8 unit, u32 to)
{
	u32 skip;

	e_test8_mem(c, hm_gs(T_OFF(fpu_in)), unit);
	skip = e_jcc(c, CC_NE);
	e_call_to(c, to);
	e_bind_here(c, skip);
}

static void emit_fpu(struct tr *t)
{
	emit_vector(t);
	tr_emit_x87(t);
	t->rt.load_fpu[UNIT_VECTOR] = t->rt.load_vector;
	t->rt.load_fpu[UNIT_X87] = t->rt.load_x87;
	t->rt.load_fpu[UNIT_VECTOR | UNIT_X87] = t->emit.at;
	call_unless(&t->emit, UNIT_VECTOR, t->rt.load_vector);
	call_unless(&t->emit, UNIT_X87, t->rt.load_x87);
	e8(&t->emit, 0xc3);
}

/* void enter(const u8 *target); returns the jump for when somebody wants attention. */
static u32 emit_enter(struct tr *t)
{
	struct code *c = &t->emit;
	u32 refused;

	t->rt.enter = c->at;
	for (unsigned k = 0; k < ARRAY_LEN(callee_saved); k++)
		e_push(c, callee_saved[k]);
	e_lea(c, X86_RSP, hm(X86_RSP, -8)); /* 16-byte aligned, for what is called from there */
	e_store(c, hm_gs(T_OFF(host_rsp)), X86_RSP);
	e_store(c, hm_gs(T_OFF(target)), X86_RDI);
	call_if(c, T_OFF(want_fpu), UNIT_VECTOR, t->rt.load_vector);
	call_if(c, T_OFF(want_fpu), UNIT_X87, t->rt.load_x87);
	/* From here on it may begin anew at any instruction: nothing but registers is written. */
	t->rt.enter_check = c->at;
	e_load32(c, X86_RAX, hm_gs(T_OFF(attention_mask)));
	e_rm(c, OP_TEST, false, X86_RAX, hm_gs(V_OFF(attention)));
	refused = e_jcc(c, CC_NE);
	e_load(c, X86_RSP, hm_gs(T_OFF(pair_rsp)));
	e_load32(c, X86_RAX, hm_gs(T_OFF(flags_host)));
	e_flags_from_ax(c);
	for (unsigned k = 0; k < ARRAY_LEN(identity); k++)
		e_load(c, identity[k], gpr(identity[k]));
	e_load(c, H_RSP, gpr(X86_RSP));
	e_load(c, X86_RAX, gpr(X86_RAX));
	e_jmp_mem(c, hm_gs(T_OFF(target)));
	t->rt.enter_end = c->at;
	return refused;
}

/* From anywhere in translated code, with the site in T1; refused: with what was to be entered. */
static void emit_leave(struct tr *t, u32 refused)
{
	struct code *c = &t->emit;

	t->rt.leave = c->at;
	e_store(c, gpr(X86_RAX), X86_RAX);
	e_flags_to_ax(c);
	e_store32(c, hm_gs(T_OFF(flags_host)), X86_RAX);
	for (unsigned k = 0; k < ARRAY_LEN(identity); k++)
		e_store(c, gpr(identity[k]), identity[k]);
	e_store(c, gpr(X86_RSP), H_RSP);
	e_store32(c, hm_gs(T_OFF(exit_site)), T1);
	e_store(c, hm_gs(T_OFF(pair_rsp)), X86_RSP);
	t->rt.leave_tail = c->at;
	e_load(c, X86_RSP, hm_gs(T_OFF(host_rsp)));
	call_if(c, T_OFF(fpu_in), UNIT_VECTOR, t->rt.save_vector);
	call_if(c, T_OFF(fpu_in), UNIT_X87, t->rt.save_x87);
	e_lea(c, X86_RSP, hm(X86_RSP, 8));
	for (unsigned k = ARRAY_LEN(callee_saved); k-- > 0;)
		e_pop(c, callee_saved[k]);
	e8(c, 0xc3);

	e_bind_here(c, refused);
	e_mov_imm(c, T1, NO_SITE);
	e_store32(c, hm_gs(T_OFF(exit_site)), T1);
	e_jmp_to(c, t->rt.leave_tail);
	t->rt.leave_end = c->at;
}

/*
 * If somebody has come to want attention, what has asked is made to leave, or to go on by single
 * steps (kick.c). On C's stack, changes flags and what C doesn't keep but RAX.
 */
static void look_behind(struct tr *t, u32 *looked)
{
	struct code *c = &t->emit;
	u32 none, leaves;

	e_load32(c, X86_RCX, hm_gs(T_OFF(attention_mask)));
	e_rm(c, OP_TEST, false, X86_RCX, hm_gs(V_OFF(attention)));
	*looked = c->at;
	none = e_jcc(c, CC_E);
	e_push(c, X86_RAX);
	e_push(c, X86_RAX);
	e_mov_imm(c, X86_RDI, (u64)(uintptr_t)t);
	e_call_abs(c, (const void *)(uintptr_t)tr_kick_behind);
	e_rr(c, OP_TEST, true, X86_RAX, X86_RAX);
	e_pop(c, X86_RAX);
	e_pop(c, X86_RAX);
	leaves = e_jcc(c, CC_E);
	E_CODE(c, 0x9c);                   /* pushfq */
	E_CODE(c, 0x80, 0x4c, 0x24, 1, 1); /* or byte [rsp + 1], TF */
	E_CODE(c, 0x9d);                   /* popfq */
	e_bind_here(c, leaves);
	e_bind_here(c, none);
}

/*
 * C is asked what it can do about the address in T0, for the site or whatever is in T1. Comes back
 * with everything but T0 and T1 as it was if that is 0, else leaves. x87 state stays where it is:
 * what is called from here has nothing to do with long double.
 */
static void emit_ask(struct tr *t, unsigned which, u64 (*fn)(struct alc_vcpu *v, u64 gva, u32 site))
{
	struct code *c = &t->emit;
	u32 failed;

	t->rt.ask[which].begin = c->at;
	e_push(c, X86_RAX);
	e_flags_to_ax(c);
	e_push(c, X86_RAX);
	for (unsigned k = 0; k < ARRAY_LEN(volatile_regs); k++)
		e_push(c, volatile_regs[k]);
	e_store(c, hm_gs(T_OFF(slow_rsp)), X86_RSP);
	e_load(c, X86_RSP, hm_gs(T_OFF(host_rsp)));
	e_store32(c, hm_gs(T_OFF(exit_site)), T1);
	e_rm(c, 0x8a, false, X86_RAX, hm_gs(T_OFF(fpu_in)));
	e_rm(c, 0x88, false, X86_RAX, hm_gs(T_OFF(slow_fpu)));
	call_if(c, T_OFF(fpu_in), UNIT_VECTOR, t->rt.save_vector);
	e_mov_imm(c, X86_RDI, (u64)(uintptr_t)t->c.v);
	e_rr(c, OP_MOV_LOAD, true, X86_RSI, T0);
	e_rr(c, OP_MOV_LOAD, false, X86_RDX, T1);
	e_call_abs(c, (const void *)(uintptr_t)fn);
	look_behind(t, &t->rt.ask[which].looked);
	call_if(c, T_OFF(slow_fpu), UNIT_VECTOR, t->rt.load_vector);
	e_load(c, X86_RSP, hm_gs(T_OFF(slow_rsp)));
	for (unsigned k = ARRAY_LEN(volatile_regs); k-- > 0;)
		e_pop(c, volatile_regs[k]);
	e_rr(c, OP_TEST, true, X86_RAX, X86_RAX);
	e_pop(c, X86_RAX);
	failed = e_jcc(c, CC_NE);
	e_flags_from_ax(c);
	e_pop(c, X86_RAX);
	e8(c, 0xc3);

	e_bind_here(c, failed);
	e_flags_from_ax(c);
	e_pop(c, X86_RAX);
	e_lea(c, X86_RSP, hm(X86_RSP, 8));
	e_load32(c, T1, hm_gs(T_OFF(exit_site)));
	e_jmp_to(c, t->rt.leave);
	t->rt.ask[which].end = c->at;
}

/*
 * The range around RSP is another one: if the TLB has the page, that becomes the range, else as
 * above. Frames that lie across two pages which are not neighbours in memory change it often.
 */
static void emit_range_miss(struct tr *t, unsigned user)
{
	struct code *c = &t->emit;
	i32 table = T_OFF(tables) + (i32)((user ? TLB_TABLE_USER : TLB_TABLE_KERNEL) * TLB_SIZE *
					  sizeof(struct tlb_entry));
	i32 range = T_OFF(range) + (i32)(user * sizeof(struct tr_range));
	u32 failed;

	t->rt.range_miss[user] = c->at;
	e_push(c, T1);
	e_push(c, X86_RAX);
	e_flags_to_ax(c);
	e_push(c, X86_RAX);
	e_rr(c, OP_MOV_LOAD, false, T1, T0);
	E_CODE(c, 0x41, 0xc1, 0xea, 7); /* shr r10d, 7 */
	e_and32_imm(c, T1, (TLB_SIZE - 1) * sizeof(struct tlb_entry));
	e_rr(c, OP_MOV_LOAD, true, X86_RAX, T0);
	e_rm(c, OP_SUB, true, X86_RAX, hm_gs_at(T1, table + (i32)offsetof(struct tlb_entry, wtag)));
	e_cmp_imm(c, X86_RAX, ALC_PAGE_SIZE - 8); /* what reaches into the next page is C's */
	failed = e_jcc(c, CC_A);
	e_load(c, X86_RAX, hm_gs_at(T1, table + (i32)offsetof(struct tlb_entry, wtag)));
	e_store(c, hm_gs(range + (i32)offsetof(struct tr_range, base)), X86_RAX);
	e_load(c, X86_RAX, hm_gs_at(T1, table + (i32)offsetof(struct tlb_entry, addend)));
	e_store(c, hm_gs(range + (i32)offsetof(struct tr_range, addend)), X86_RAX);
	for (unsigned k = 0; k < RANGE_SIZES; k++)
		e_store_imm32(c, hm_gs(range + (i32)(offsetof(struct tr_range, limit) + 8 * k)),
			      ALC_PAGE_SIZE - (1 << k));
	e_pop(c, X86_RAX);
	e_flags_from_ax(c);
	e_pop(c, X86_RAX);
	e_pop(c, T1);
	e8(c, 0xc3);

	e_bind_here(c, failed);
	e_pop(c, X86_RAX);
	e_flags_from_ax(c);
	e_pop(c, X86_RAX);
	e_pop(c, T1);
	e_jmp_to(c, t->rt.slow);
}

static void take_entry_offset(struct code *c)
{
	e_rr(c, OP_MOV_LOAD, false, T1, T0);
	E_CODE(c, 0x41, 0xc1, 0xea, 7); /* shr r10d, 7 */
	e_and32_imm(c, T1, (TLB_SIZE - 1) * sizeof(struct tlb_entry));
}

static void keep_flags(struct code *c)
{
	e_push(c, X86_RAX);
	e_flags_to_ax(c);
	e_push(c, X86_RAX);
}

static void restore_flags(struct code *c)
{
	e_pop(c, X86_RAX);
	e_flags_from_ax(c);
	e_pop(c, X86_RAX);
}

/*
 * A check for code that is run seldom and shall be short. Address in T0, site in T1; comes back
 * with the addend in T1 and everything else as it was, or leaves.
 */
static void emit_checked(struct tr *t, unsigned user, unsigned check)
{
	i32 table = T_OFF(tables) + (i32)((user ? TLB_TABLE_USER : TLB_TABLE_KERNEL) * TLB_SIZE *
					  sizeof(struct tlb_entry));
	i32 range = T_OFF(range) + (i32)(user * sizeof(struct tr_range));
	i32 tag = table + (i32)(check < CHECK_SIZES ? offsetof(struct tlb_entry, rtag)
						    : offsetof(struct tlb_entry, wtag));
	i32 addend = table + (i32)offsetof(struct tlb_entry, addend);
	i32 limit = range + (i32)(offsetof(struct tr_range, limit) + 3 * sizeof(u64));
	bool ranged = check == CHECK_RANGE;
	struct code *c = &t->emit;
	u32 failed;

	t->rt.checked[user][check] = c->at;
	keep_flags(c);
	e_rr(c, OP_MOV_LOAD, true, X86_RAX, T0);
	if (ranged) {
		e_rm(c, OP_SUB, true, X86_RAX, hm_gs(range + (i32)offsetof(struct tr_range, base)));
		e_rm(c, OP_CMP, true, X86_RAX, hm_gs(limit));
		/* Not the last word: a range that was forgotten has one address, and limit 0. */
		failed = e_jcc(c, CC_AE);
		e_load(c, T1, hm_gs(range + (i32)offsetof(struct tr_range, addend)));
	} else {
		e_push(c, T1);
		take_entry_offset(c);
		e_rm(c, OP_SUB, true, X86_RAX, hm_gs_at(T1, tag));
		e_cmp_imm(c, X86_RAX, ALC_PAGE_SIZE - (1 << check % CHECK_SIZES));
		failed = e_jcc(c, CC_A);
		e_load(c, T1, hm_gs_at(T1, addend));
		e_lea(c, X86_RSP, hm(X86_RSP, 8));
	}
	restore_flags(c);
	e8(c, 0xc3);

	/* What leaves must find no more on the stack than pairs. */
	e_bind_here(c, failed);
	if (!ranged)
		e_pop(c, T1);
	restore_flags(c);
	e_store(c, hm_gs(T_OFF(check_address)), T0);
	e_pop(c, T0);
	e_store(c, hm_gs(T_OFF(check_return)), T0);
	e_load(c, T0, hm_gs(T_OFF(check_address)));
	e_call_to(c, ranged ? t->rt.range_miss[user] : t->rt.slow);
	e_load(c, T0, hm_gs(T_OFF(check_return)));
	e_push(c, T0);
	e_load(c, T0, hm_gs(T_OFF(check_address)));
	if (ranged) {
		e_load(c, T1, hm_gs(range + (i32)offsetof(struct tr_range, addend)));
	} else {
		keep_flags(c);
		take_entry_offset(c);
		e_load(c, T1, hm_gs_at(T1, addend));
		restore_flags(c);
	}
	e8(c, 0xc3);
}

void e_jump_offset(struct code *c)
{
	enum { LOG = 4 };

	_Static_assert(sizeof(struct tr_jump) == 1 << LOG, "the product is shifted by less");
	E_CODE(c, 0x45, 0x69, 0xd1); /* imul r10d, r9d, imm32 */
	e32(c, JUMP_FACTOR);
	E_CODE(c, 0x41, 0xc1, 0xea, JUMP_SHIFT - LOG); /* shr r10d */
	e_and32_imm(c, T1, (JUMP_CACHE - 1) << LOG);
}

/* An indirect transfer to T0 that the cache of targets doesn't know; site in T2. */
static void emit_indirect(struct tr *t)
{
	struct code *c = &t->emit;

	t->rt.indirect = c->at;
	e_store(c, hm_gs(T_OFF(exit_target)), T0);
	e_rr(c, OP_MOV_LOAD, false, T1, T2);
	e_jmp_to(c, t->rt.leave);
}

/* A RET to T0 that is not what the last pair says: a few older ones, then the cache of targets. */
static void emit_return_miss(struct tr *t, unsigned user)
{
	i32 table = T_OFF(jumps) + (i32)(user * JUMP_CACHE * sizeof(struct tr_jump));
	struct code *c = &t->emit;

	t->rt.return_miss[user] = c->at;
	for (i32 k = 1; k <= 4 && tr_has(t, TR_PAIRS); k++) {
		u32 next;

		e_rm(c, OP_CMP, true, T0, hm(X86_RSP, 8 + 16 * k));
		next = e_jcc(c, CC_NE);
		e_lea(c, X86_RSP, hm(X86_RSP, 16 * k));
		e8(c, 0xc3);
		e_bind_here(c, next);
	}
	e_jump_offset(c);
	e_rm(c, OP_CMP, true, T0, hm_gs_at(T1, table));
	e_bind(c, e_jcc(c, CC_NE), t->rt.indirect);
	e_jmp_mem(c, hm_gs_at(T1, table + (i32)offsetof(struct tr_jump, host)));
}

/* An entry of a region that is dead was replaced by a call to here; site 1 is its kind. */
static void emit_gone(struct tr *t)
{
	struct code *c = &t->emit;

	t->rt.gone = c->at;
	e_pop(c, T0);
	e_store(c, hm_gs(T_OFF(exit_target)), T0);
	e_mov_imm(c, T1, 1);
	e_jmp_to(c, t->rt.leave);
}

void tr_emit_runtime(struct tr *t)
{
	t->emit.at = 0;
	emit_fpu(t);
	emit_leave(t, emit_enter(t));
	t->rt.slow = t->emit.at;
	emit_ask(t, 0, tr_slow_access);
	t->rt.reach = t->emit.at;
	emit_ask(t, 1, tr_reach_missed);
	emit_range_miss(t, 0);
	emit_range_miss(t, 1);
	for (unsigned user = 0; user < 2; user++)
		for (unsigned k = 0; k < CHECKS; k++)
			emit_checked(t, user, k);
	emit_indirect(t);
	emit_return_miss(t, 0);
	emit_return_miss(t, 1);
	emit_gone(t);
	tr_emit_ring(t);
	t->code_start = (u32)align_up(t->emit.at, 64);
	t->emit.at = t->code_start;
}

void tr_enter(struct tr *t, u32 host, u8 fpu)
{
	void (*enter)(const u8 *target);

	enter = (void (*)(const u8 *))(uintptr_t)tr_host(t, t->rt.enter);
	t->want_fpu = fpu;
	t->n_enters++;
	tr_kick_enter(t);
	enter(tr_host(t, host));
	tr_kick_left(t);
	if (t->x87_left)
		tr_x87_take(t->c.v, t);
}
