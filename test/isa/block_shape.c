/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "block_gen.h"
#include "values.h"

/* What items form: whatever translators treat in ways of their own. */

static void put_plain(struct bgen *g)
{
	static const struct {
		u8 kind, percent;
	} mix[] = {{MENU_COMMON, 38}, {MENU_GENERAL, 24}, {MENU_VECTOR, 19},
		   {MENU_PARTIAL, 8}, {MENU_READERS, 6},  {MENU_ATOMIC, 5}};
	unsigned draw = (unsigned)rng_below(&g->r, 100), i = 0;

	if (rng_percent(&g->r, g->x87_percent)) {
		put_random(g, MENU_X87);
		return;
	}
	while (draw >= mix[i].percent)
		draw -= mix[i++].percent;
	put_random(g, mix[i].kind);
}

static void put_some(struct bgen *g, unsigned most)
{
	for (unsigned n = 1 + (unsigned)rng_below(&g->r, most); n && !g->full; n--)
		put_plain(g);
}

void aim_here(struct bgen *g, int item)
{
	g->b->item[item].fix[0].item = (i16)g->b->count;
}

int put_jcc(struct bgen *g, int to)
{
	static const u32 reads[] = {X86_OF, X86_CF, X86_ZF,          X86_CF | X86_ZF,
				    X86_SF, X86_PF, X86_SF | X86_OF, X86_SF | X86_OF | X86_ZF};
	u8 cc = rng_u64(&g->r) & 15, b[6] = {0x0f, (u8)(0x80 | cc)};

	put_define(g, reads[cc >> 1]);
	return put_ref(g, b, 6, FIX_RELATIVE, 4, to, 0);
}

static int put_jmp(struct bgen *g, int to)
{
	u8 b[5] = {0xe9};

	return put_ref(g, b, 5, FIX_RELATIVE, 4, to, 0);
}

static int free_register(struct bgen *g)
{
	int reg = any_with(g, ROLE_FREE);

	return reg < 0 ? X86_RAX : reg;
}

/* ---- Control flow -----------------------------------------------------------------------------
 */

static void shape_skip(struct bgen *g)
{
	int jump = rng_percent(&g->r, 75) ? put_jcc(g, 0) : put_jmp(g, 0);
	u32 before = g->undefined;

	put_some(g, 3);
	aim_here(g, jump);
	g->undefined |= before;
}

void put_back_edge(struct bgen *g, int counter, int start)
{
	const u8 low = counter & 7, high = counter > 7;
	u8 dec[3] = {0x48 | high, 0xff, 0xc8 | low}, sub[4] = {0x48 | high, 0x83, 0xe8 | low, 1};
	u8 lea[5] = {0x48 | high * 5, 0x8d, 0x44 | low << 3, 0x20 | low, 0xff};
	u8 loop[2] = {0xe2, 0}, jnz[6] = {0x0f, 0x85};
	u64 draw = rng_below(&g->r, 4);

	/* Too long a body would be out of reach: a program that can't be linked. */
	if (draw == 0 && counter == X86_RCX) {
		put_ref(g, loop, 2, FIX_RELATIVE, 1, start, 0);
		return;
	}
	if (draw < 2) {
		put_bytes(g, sub, 4);
		g->undefined = 0;
	} else if (draw == 2) {
		/* lea counter, [counter - 1]; test counter, counter */
		put_bytes(g, lea, 5);
		put_rr(g, 0x85, counter, counter);
		g->undefined = X86_AF;
	} else {
		put_bytes(g, dec, 3);
		g->undefined &= X86_CF;
	}
	put_ref(g, jnz, 6, FIX_RELATIVE, 4, start, 0);
}

void set_counter(struct bgen *g, int counter, unsigned n)
{
	u8 mov[6] = {0x41, (u8)(0xb8 | (counter & 7)), (u8)n};

	put_bytes(g, counter < 8 ? mov + 1 : mov, counter < 8 ? 5 : 6);
}

static void shape_loop(struct bgen *g)
{
	int counter = g->role[X86_RCX] == ROLE_FREE && rng_percent(&g->r, 30) ? X86_RCX
									      : free_register(g);
	int start;

	if (g->role[counter] != ROLE_FREE)
		return;
	set_counter(g, counter, 1 + (unsigned)rng_below(&g->r, rng_percent(&g->r, 20) ? 40 : 5));
	g->role[counter] = ROLE_COUNTER;
	start = g->b->count;
	g->undefined = X86_ARITH;
	put_shapes(g, 1 + (unsigned)rng_below(&g->r, 3));
	put_back_edge(g, counter, start);
	g->role[counter] = ROLE_FREE;
}

static void put_call_reg(struct bgen *g, int reg, bool call)
{
	u8 b[3] = {0x41, 0xff, (u8)((call ? 0xd0 : 0xe0) | (reg & 7))};

	put_bytes(g, reg < 8 ? b + 1 : b, reg < 8 ? 2 : 3);
}

/* call or jmp [reg + 8]: through memory */
static void put_call_mem(struct bgen *g, int target, int base, bool call)
{
	u8 store[8] = {(u8)(0x48 | target >> 3 << 2 | base >> 3), 0x89,
		       (u8)(0x84 | (target & 7) << 3), (u8)(0x20 | (base & 7)), 8};
	u8 jump[8] = {(u8)(0x40 | base >> 3), 0xff, (u8)(call ? 0x94 : 0xa4),
		      (u8)(0x20 | (base & 7)), 8};

	put_bytes(g, store, 8);
	put_bytes(g, jump, 8);
}

/* By any of its forms. */
static void put_branch(struct bgen *g, int item, i32 offset, bool call)
{
	int reg = free_register(g), base = any_writable(g);
	u8 direct[5] = {call ? 0xe8 : 0xe9};
	u64 draw = rng_below(&g->r, 4);

	if (draw > 1) {
		put_ref(g, direct, 5, FIX_RELATIVE, 4, item, offset);
		return;
	}
	put_address(g, reg, item, offset);
	if (draw == 1 && base >= 0)
		put_call_mem(g, reg, base, call);
	else
		put_call_reg(g, reg, call);
}

static void shape_call(struct bgen *g)
{
	unsigned i = g->functions ? (unsigned)rng_below(&g->r, g->functions) : 0;

	if (!g->functions)
		return;
	put_branch(g, g->function[i], 0, true);
	if (i)
		g->undefined = X86_ARITH;
}

static void put_ret(struct bgen *g)
{
	u8 ret = 0xc3;

	put_bytes(g, &ret, 1);
}

/* Jumps over a few items that nobody executes. */
static void shape_far_jump(struct bgen *g)
{
	int reg = free_register(g), base = any_writable(g), at;
	u8 call[5] = {0xe8};

	switch (rng_below(&g->r, base < 0 ? 3 : 5)) {
	case 0: /* push address; ret */
		at = put_address(g, reg, 0, 0);
		put_push(g, reg);
		put_ret(g);
		break;
	case 1: /* two returns in a row */
		at = put_address(g, reg, 0, 0);
		put_push(g, reg);
		put_address(g, reg, g->b->count + 3, 0);
		put_push(g, reg);
		put_ret(g);
		put_ret(g);
		break;
	case 2: /* a call that nobody returns from */
		at = put_ref(g, call, 5, FIX_RELATIVE, 4, 0, 0);
		put_some(g, 1);
		aim_here(g, at);
		put_pop(g, reg);
		return;
	case 3:
		at = put_address(g, reg, 0, 0);
		put_call_mem(g, reg, base, false);
		break;
	default:
		at = put_address(g, reg, 0, 0);
		put_call_reg(g, reg, false);
	}
	put_some(g, 1);
	aim_here(g, at);
}

/* ---- Flags ------------------------------------------------------------------------------------
 */

/* A flag setter, and much later who reads it. */
static void shape_flags(struct bgen *g)
{
	put_random(g, MENU_SETTERS);
	if (rng_percent(&g->r, 60))
		put_random(g, MENU_PARTIAL);
	put_define(g, X86_ARITH & ~X86_AF);
	for (unsigned n = (unsigned)rng_below(&g->r, 5); n && !g->full; n--)
		put_random(g, MENU_NEUTRAL);
	if (rng_percent(&g->r, 25))
		put_random(g, MENU_VECTOR);
	if (g->functions && rng_percent(&g->r, 40))
		put_branch(g, g->function[0], 0, true); /* which leaves flags alone */
	if (rng_percent(&g->r, 15)) {
		u8 call[2] = {0xcd, CALL_RETURN};

		put_bytes(g, call, 2);
	}
	put_random(g, MENU_READERS);
}

/* ---- The stack --------------------------------------------------------------------------------
 */

static void put_rsp_add(struct bgen *g, int n)
{
	u8 add[4] = {0x48, 0x83, 0xc4, (u8)n}, lea[5] = {0x48, 0x8d, 0x64, 0x24, (u8)n};

	if (rng_percent(&g->r, 50)) {
		put_bytes(g, lea, 5);
	} else {
		put_bytes(g, add, 4);
		g->undefined = 0;
	}
}

static void push_mem(struct bgen *g, bool push)
{
	int base = push ? any_with(g, ROLE_POINTER) : any_writable(g);
	u8 b[5] = {(u8)(0x40 | base >> 3), push ? 0xff : 0x8f, (u8)(push ? 0x74 : 0x44),
		   (u8)(0x20 | (base & 7)), (u8)(rng_u64(&g->r) & 0x38)};

	if (base < 0)
		put_pop(g, free_register(g));
	else
		put_bytes(g, b, 5);
}

static void shape_stack(struct bgen *g)
{
	int a = any_register(g), b = free_register(g), c = free_register(g);
	u8 push_imm[5] = {0x68, 0xff, 0, 0x80, (u8)rng_u64(&g->r)};
	static const u8 align[] = {0x48, 0x83, 0xe4, 0xe0};

	switch (rng_below(&g->r, 6)) {
	case 0:
		put_push(g, a);
		put_push(g, b);
		put_some(g, 2);
		put_pop(g, c);
		put_pop(g, b);
		break;
	case 1:
		push_mem(g, true);
		put_bytes(g, push_imm, 5);
		put_some(g, 1);
		push_mem(g, false);
		put_pop(g, c);
		break;
	case 2:
		put_rsp_add(g, -32);
		put_random_at(g, MENU_COMMON, X86_RSP, (i32)rng_below(&g->r, 4) * 8);
		put_random_at(g, MENU_GENERAL, X86_RSP, (i32)rng_below(&g->r, 24));
		put_random_at(g, MENU_COMMON, X86_RSP, (i32)rng_below(&g->r, 4) * 8);
		put_rsp_add(g, 32);
		break;
	case 3:
		put_push(g, a);
		put_push(g, X86_RSP);
		put_pop(g, b);
		put_random(g, MENU_COMMON);
		put_rsp_add(g, g->b->bits / 8);
		break;
	case 4: /* mov b, rsp; and rsp, -32; …; mov rsp, b */
		put_rr(g, 0x89, X86_RSP, b);
		put_bytes(g, align, sizeof(align));
		g->undefined = X86_AF;
		put_push(g, a);
		put_random_at(g, MENU_COMMON, X86_RSP, 0);
		put_pop(g, c == b ? X86_RSP : c);
		put_rr(g, 0x8b, X86_RSP, b);
		break;
	default:
		put_push(g, a);
		put_push(g, b);
		put_random_at(g, MENU_COMMON, X86_RSP, 8);
		put_pop(g, b);
		put_pop(g, c);
	}
}

/* enter … leave, with RBP saved by them. */
static void shape_frame(struct bgen *g)
{
	static const u8 classic[][4] = {{0x55}, {0x48, 0x89, 0xe5}, {0x48, 0x83, 0xec, 0x20}};
	u8 enter[4] = {0xc8, 0x20, 0, 0}, leave = 0xc9, was = g->role[X86_RBP];
	i32 offset = g->offset[X86_RBP];

	enter[3] = rng_percent(&g->r, 10);
	if (was == ROLE_COUNTER)
		return;
	if (rng_percent(&g->r, 50)) {
		put_bytes(g, enter, 4);
	} else {
		put_bytes(g, classic[0], 1);
		put_bytes(g, classic[1], 3);
		put_bytes(g, classic[2], 4);
		g->undefined = 0;
	}
	g->role[X86_RBP] = ROLE_COUNTER; /* nobody's */
	for (unsigned n = (unsigned)rng_below(&g->r, 4); n && !g->full; n--)
		put_random_at(g, MENU_COMMON, X86_RBP, -8 - (i32)rng_below(&g->r, 24));
	put_some(g, 1);
	put_bytes(g, &leave, 1);
	g->role[X86_RBP] = was;
	g->offset[X86_RBP] = offset;
}

static void shape_flags_word(struct bgen *g)
{
	/* pushfq; and/or/xor qword [rsp], imm32; popfq, in the flags that do no harm */
	static const u32 bits[] = {X86_ARITH,          X86_CF, X86_ZF | X86_SF, X86_OF | X86_PF,
				   X86_ARITH | X86_ID, X86_DF, X86_AC,          X86_TF};
	u8 pushf = 0x9c, popf = 0x9d, op[8] = {0x48, 0x81, 0x34, 0x24};
	u32 mask = bits[rng_below(&g->r, rng_percent(&g->r, 10) ? ARRAY_LEN(bits) : 5)];

	op[2] = rng_percent(&g->r, 50) ? 0x34 : 0x0c;
	memcpy(op + 4, &mask, 4);
	put_define(g, X86_ARITH);
	put_bytes(g, &pushf, 1);
	put_bytes(g, op, 8);
	put_bytes(g, &popf, 1);
	g->undefined = 0;
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

/* Neighbours off one base, which moves now and then: what translators check at once. */
static void shape_group(struct bgen *g)
{
	int base = any_with(g, ROLE_POINTER);
	const i32 start = g->offset[base];
	i32 disp = (i32)rng_below(&g->r, 128) - 64;

	for (unsigned n = 2 + (unsigned)rng_below(&g->r, 5); n && !g->full; n--) {
		enum menu_kind kind = rng_percent(&g->r, 70)   ? MENU_COMMON
				      : rng_percent(&g->r, 50) ? MENU_GENERAL
							       : MENU_VECTOR;

		put_random_at(g, kind, base,
			      disp - (g->offset[base] - start) + (i32)rng_below(&g->r, 5) * 8);
		if (rng_percent(&g->r, 25) && base != X86_RSP) {
			/* add base, imm8 */
			i8 by = (i8)((rng_u64(&g->r) & 0x3f) - 32);
			u8 add[4] = {(u8)(0x48 | base >> 3), 0x83, (u8)(0xc0 | (base & 7)), (u8)by};

			put_bytes(g, add, 4);
			g->undefined = 0;
			g->offset[base] += by;
		}
	}
	if (g->offset[base] != start) {
		g->offset[base] = start;
		put_mov(g, base, g->b->base + (u64)(i64)start);
	}
}

static const u8 string_ops[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};

static void restore(struct bgen *g, int reg)
{
	if (g->role[reg] == ROLE_POINTER)
		put_mov(g, reg, g->b->base + (u64)(i64)g->offset[reg]);
	else if (g->role[reg] == ROLE_INDEX)
		set_counter(g, reg, (unsigned)rng_below(&g->r, 64));
}

/* Where a string goes: in data pages, across their ends too. */
static i32 string_place(struct bgen *g)
{
	return (i32)(0x100 + rng_below(&g->r, PG_DATA_END * 0x1000 - 0x400));
}

static void shape_string(struct bgen *g)
{
	static const u8 prefix[] = {0, 0xf3, 0xf3, 0xf2};
	u8 b[4], cld = 0xfc, std = 0xfd, op = string_ops[rng_below(&g->r, sizeof(string_ops))];
	bool down = rng_percent(&g->r, 20);
	unsigned n = 0;

	if (g->role[X86_RCX] == ROLE_COUNTER || g->role[X86_RSI] == ROLE_COUNTER ||
	    g->role[X86_RDI] == ROLE_COUNTER)
		return;
	put_address(g, X86_RSI, -1, string_place(g));
	put_address(g, X86_RDI, -1, string_place(g));
	set_counter(g, X86_RCX, (unsigned)rng_below(&g->r, rng_percent(&g->r, 20) ? 120 : 20));
	if (down)
		put_bytes(g, &std, 1);
	b[n] = prefix[rng_below(&g->r, 4)];
	if (b[n] == 0xf2 && (op & 6) != 6)
		b[n] = 0xf3;
	n += b[n] != 0;
	if ((op & 1) && rng_percent(&g->r, 50))
		b[n++] = rng_percent(&g->r, 70) ? 0x48 : 0x66;
	if (n == 2 && b[1] == 0x66) {
		b[1] = b[0];
		b[0] = 0x66;
	}
	b[n++] = op;
	put_bytes(g, b, n);
	put_bytes(g, &cld, 1);
	restore(g, X86_RCX);
	restore(g, X86_RSI);
	restore(g, X86_RDI);
}

static void shape_kernel(struct bgen *g)
{
	u8 call[2] = {0xcd, (u8)(CALL_FIRST + rng_below(&g->r, CALLS))}, syscall[2] = {0x0f, 0x05};

	if (g->b->cpl == 3 && g->b->bits == 64 && rng_percent(&g->r, 15) &&
	    g->role[X86_RCX] == ROLE_FREE && g->role[X86_R11] == ROLE_FREE) {
		put_define(g, X86_ARITH);
		put_bytes(g, syscall, 2);
		return;
	}
	put_bytes(g, call, 2);
	if (rng_percent(&g->r, 70))
		put_some(g, 2);
}

void put_far_call(struct bgen *g, i32 offset)
{
	put_branch(g, -1, offset, true);
	g->undefined &= X86_CF;
}

void put_step(struct bgen *g, int reg)
{
	put_far_call(g, PAGE_STEPS * 0x1000 + BLOCK_STEP_AT + reg * BLOCK_STEP_SIZE);
}

/* What tells where it is, and of one frame keeps its caller's flags, itself or from PG_CROSS. */
static void put_where(struct bgen *g)
{
	if (g->role[X86_RAX] != ROLE_FREE || rng_percent(&g->r, 40))
		return;
	put_far_call(g, rng_percent(&g->r, 40) ? PAGE_STEPS * 0x1000 + BLOCK_WHERE_AT
					       : PG_CROSS * 0x1000 + BLOCK_VIA_AT);
	g->undefined |= X86_AF;
}

static void shape_remapped_code(struct bgen *g)
{
	const u8 remap[2] = {0xcd, rng_percent(&g->r, 50) ? CALL_REMAP : CALL_RELOAD};
	int reg = free_register(g);

	put_where(g);
	put_step(g, reg);
	if (rng_percent(&g->r, 50))
		put_step(g, reg);
	put_bytes(g, remap, 2);
	put_where(g);
	put_step(g, free_register(g));
	if (rng_percent(&g->r, 50)) {
		put_bytes(g, remap, 2);
		put_step(g, reg);
	}
}

/* What only the supervisor may do. */
static void shape_supervisor(struct bgen *g)
{
	static const u8 cli = 0xfa, sti = 0xfb, clts[] = {0x0f, 0x06},
			swapgs[] = {0x0f, 0x01, 0xf8};
	static const u8 control[] = {2, 3, 4, 0};
	int reg = free_register(g), p = any_writable(g);
	u8 cr = control[rng_below(&g->r, sizeof(control))];
	u8 from[4] = {(u8)(0x40 | reg >> 3), 0x0f, 0x20, (u8)(0xc0 | cr << 3 | (reg & 7))};
	u8 to[4] = {from[0], 0x0f, 0x22, from[3]};
	u8 set_ts[4] = {(u8)(0x48 | reg >> 3), 0x83, (u8)(0xc8 | (reg & 7)), X86_CR0_TS};
	u8 invlpg[5] = {(u8)(0x40 | (p < 0 ? 0 : p >> 3)), 0x0f, 0x01, (u8)(0x3c),
			(u8)(0x20 | (p & 7))};

	if (g->b->cpl)
		return;
	switch (rng_below(&g->r, 5)) {
	case 0:
		put_bytes(g, &cli, 1);
		put_some(g, 2);
		put_bytes(g, &sti, 1);
		break;
	case 1:
		put_bytes(g, swapgs, 3);
		put_some(g, 2);
		put_bytes(g, swapgs, 3);
		break;
	case 2:
		put_bytes(g, from, 4);
		put_random(g, MENU_NEUTRAL);
		put_bytes(g, from, 4);
		put_bytes(g, to, 4);
		/* MOV from and to control registers leaves the arithmetic flags undefined. */
		g->undefined = X86_ARITH;
		break;
	case 3:
		/* RBP and R13 have no form without a displacement. */
		if (p >= 0 && (p & 7) != X86_RBP)
			put_bytes(g, invlpg, 5);
		break;
	default: /* x87 and vectors are off for a while */
		from[3] = to[3] = (u8)(0xc0 | (reg & 7));
		put_bytes(g, from, 4);
		put_bytes(g, set_ts, 4);
		put_bytes(g, to, 4);
		g->undefined = X86_ARITH;
		put_random(g, rng_percent(&g->r, 10) ? MENU_VECTOR : MENU_GENERAL);
		put_bytes(g, clts, 2);
	}
}

/* ---- Self-modification ------------------------------------------------------------------------
 */

static int put_target(struct bgen *g, int reg)
{
	/* add, or, adc, sbb, and, sub, xor, cmp reg, imm32 */
	u8 b[7] = {(u8)(0x48 | reg >> 3), 0x81, (u8)(0xc0 | (rng_u64(&g->r) & 0x38) | (reg & 7))};
	u32 imm = (u32)value_int(&g->r);

	put_define(g, X86_CF);
	memcpy(b + 3, &imm, 4);
	put_bytes(g, b, 7);
	g->undefined = 0;
	return g->b->count - 1;
}

/* Where it has its immediate; before that the operation. */
static int target_imm(const struct bgen *g)
{
	return g->b->bits == 32 ? 2 : 3;
}

/* mov dword [rip + …], imm32: the target's immediate */
static void put_store_direct(struct bgen *g, int target)
{
	u8 mov[10] = {0xc7, 0x05};
	u32 imm = (u32)value_int(&g->r);
	int i;

	memcpy(mov + 6, &imm, 4);
	i = put_bytes(g, mov, 10);
	g->b->item[i].fix[0] = (struct block_fix){.kind = FIX_RELATIVE,
						  .at = 2,
						  .size = 4,
						  .item = (i16)target,
						  .offset = target_imm(g)};
}

/* To the immediate or to the operation, through a register and maybe the code pages' alias. */
static void put_store_indirect(struct bgen *g, int target, int reg)
{
	const u8 low = reg & 7, high = reg > 7;
	const u8 stosd = 0xab;
	int other = free_register(g);
	u8 xor [5] = {0x40 | high, 0x80, 0x70 | low, (u8)(target_imm(g) - 1),
		      (u8)(8 << rng_below(&g->r, 3))};
	u8 add[4] = {(u8)(0x40 | high | other >> 3 << 2), 0x01, (u8)(0x40 | low | (other & 7) << 3),
		     (u8)target_imm(g)};

	if (rng_percent(&g->r, 20) && g->role[X86_RDI] == ROLE_FREE) {
		/* lea rdi, [target.imm]; stosd */
		put_address(g, X86_RDI, target, target_imm(g));
		put_bytes(g, &stosd, 1);
		return;
	}
	put_address(g, reg, target,
		    rng_percent(&g->r, 30) ? (PG_CODE_ALIAS - PG_CODE) * 0x1000 : 0);
	if (rng_percent(&g->r, 50)) {
		put_bytes(g, xor, 5);
		g->undefined = X86_AF;
	} else {
		put_bytes(g, add, 4);
		g->undefined = 0;
	}
}

static void put_store(struct bgen *g, int target, int reg)
{
	if (rng_percent(&g->r, 50) || (reg & 7) == X86_RSP)
		put_store_direct(g, target);
	else
		put_store_indirect(g, target, reg);
}

static void shape_modify(struct bgen *g)
{
	int counter = free_register(g), reg, target, start;

	if (g->role[counter] != ROLE_FREE)
		return;
	set_counter(g, counter, 2 + (unsigned)rng_below(&g->r, 3));
	g->role[counter] = ROLE_COUNTER;
	reg = free_register(g);
	start = g->b->count;
	g->undefined = X86_ARITH;
	if (rng_percent(&g->r, 50)) {
		put_some(g, 2);
		target = put_target(g, reg);
		put_some(g, 2);
		put_store(g, target, reg);
	} else {
		/* The very next one, or one or two later. */
		int store = g->b->count;

		put_store(g, 0, reg);
		if (rng_percent(&g->r, 50))
			put_some(g, 2);
		target = put_target(g, reg);
		for (int i = store; i < target; i++)
			for (unsigned k = 0; k < BLOCK_FIXES; k++)
				if (g->b->item[i].fix[k].kind && g->b->item[i].fix[k].item == 0)
					g->b->item[i].fix[k].item = (i16)target;
	}
	put_back_edge(g, counter, start);
	g->role[counter] = ROLE_FREE;
}

/* ---- The rest ---------------------------------------------------------------------------------
 */

/* xor edx, edx; or divisor, 1; div divisor */
static void shape_divide(struct bgen *g)
{
	static const u8 clear[] = {0x31, 0xd2};
	int reg = free_register(g);
	u8 or [4] = {(u8)(0x48 | reg >> 3), 0x83, (u8)(0xc8 | (reg & 7)), 1};
	u8 div[3] = {(u8)(0x48 | reg >> 3), 0xf7, (u8)(0xf0 | (reg & 7))};

	if (g->role[X86_RDX] != ROLE_FREE || g->role[X86_RAX] != ROLE_FREE || reg == X86_RDX ||
	    reg == X86_RAX)
		return;
	put_bytes(g, or, 4);
	put_bytes(g, clear, 2);
	put_bytes(g, div, 3);
	g->undefined = X86_ARITH;
}

/* mov rax, [p + disp]; lock cmpxchg [p + disp], reg */
static void shape_exchange(struct bgen *g)
{
	int p = any_writable(g), reg = free_register(g);
	u8 disp = (u8)(rng_u64(&g->r) & 0x38);

	if (p >= 0 && g->role[X86_RAX] == ROLE_FREE && !(g->offset[p] & 7)) {
		u8 mov[5] = {(u8)(0x48 | p >> 3), 0x8b, 0x44, (u8)(0x20 | (p & 7)), disp};
		u8 cas[7] = {0xf0, (u8)(0x48 | reg >> 3 << 2 | p >> 3), 0x0f,
			     0xb1, (u8)(0x44 | (reg & 7) << 3),         (u8)(0x20 | (p & 7)),
			     disp};

		put_bytes(g, mov, 5);
		if (rng_percent(&g->r, 30))
			put_some(g, 1);
		put_bytes(g, cas, 7);
		g->undefined = 0;
	}
}

static const struct {
	void (*put)(struct bgen *g);
	u8 percent;
} shapes[] = {
	{put_plain, 12},        {shape_group, 11},        {shape_skip, 8},
	{shape_loop, 8},        {shape_call, 6},          {shape_far_jump, 5},
	{shape_flags, 7},       {shape_stack, 5},         {shape_frame, 3},
	{shape_flags_word, 1},  {shape_string, 2},        {shape_kernel, 2},
	{shape_modify, 2},      {shape_divide, 1},        {shape_exchange, 1},
	{shape_supervisor, 1},  {shape_remapped_code, 1}, {shape_block_string, 3},
	{shape_far_bit, 2},     {shape_all_flags, 2},     {shape_read_segment, 1},
	{shape_crossing, 1},    {shape_patched_step, 1},  {shape_moved_stack, 1},
	{shape_shared_base, 4}, {shape_stream_loop, 6},   {shape_search_loop, 3},
};

void put_shapes(struct bgen *g, unsigned n)
{
	if (g->depth == 2) {
		while (n-- && !g->full)
			put_plain(g);
		return;
	}
	g->depth++;
	while (n-- && !g->full) {
		unsigned draw = (unsigned)rng_below(&g->r, 100), i = 0;

		while (draw >= shapes[i].percent)
			draw -= shapes[i++].percent;
		if (g->b->bits == 32 && rng_percent(&g->r, 15))
			shape_compat(g);
		else
			shapes[i].put(g);
	}
	g->depth--;
}

/* ---- Functions --------------------------------------------------------------------------------
 */

void put_function(struct bgen *g)
{
	u8 ret_n[3] = {0xc2, 0, 0};
	int reg;

	g->function[g->functions] = (i16)g->b->count;
	g->in_function = true;
	g->undefined = X86_ARITH;
	if (!g->functions) {
		/* The first one leaves the flags alone. */
		for (unsigned n = (unsigned)rng_below(&g->r, 3); n; n--)
			put_random(g, MENU_NEUTRAL);
	} else {
		put_shapes(g, 1 + (unsigned)rng_below(&g->r, 3));
	}
	reg = free_register(g);
	switch (rng_below(&g->r, 6)) {
	case 0: /* pop reg; jmp reg */
		put_pop(g, reg);
		put_call_reg(g, reg, false);
		break;
	case 1:
		put_bytes(g, ret_n, 3);
		break;
	default:
		put_ret(g);
	}
	g->functions++;
	g->in_function = false;
	g->undefined = 0;
}
