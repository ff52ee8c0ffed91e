/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "block_gen.h"
#include "values.h"

/* What 32-bit code has, 64-bit code has not or has in another form, and how both call each other.
 */

unsigned compat_narrow(u8 *b, unsigned n)
{
	unsigned at = 0;
	bool wide;

	while (b[at] == 0x66 || b[at] == 0x67 || b[at] == 0x64 || b[at] == 0x65 || b[at] == 0xf0 ||
	       b[at] == 0xf2 || b[at] == 0xf3)
		at++;
	if ((b[at] & 0xf0) != 0x40)
		return n;
	wide = b[at] & 8;
	memmove(b + at, b + at + 1, n - at - 1);
	n--;
	/* MOV with an immediate of eight bytes */
	return wide && (b[at] & 0xf8) == 0xb8 ? at + 5 : n;
}

static int free_register(struct bgen *g)
{
	int reg = any_with(g, ROLE_FREE);

	return reg < 0 ? X86_RAX : reg;
}

#define PUT(g, ...) put_exact(g, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* An instruction whose bytes 1 to 4 are an item's address. */
static void put_with_address(struct bgen *g, const u8 *b, unsigned n, int item)
{
	int i = put_exact(g, b, n);

	g->b->item[i].fix[0] =
		(struct block_fix){.kind = FIX_ABSOLUTE, .at = 1, .size = 4, .item = (i16)item};
}

/* ---- The stack ---- */

static void all_registers(struct bgen *g)
{
	PUT(g, 0x60); /* pusha */
	for (unsigned n = (unsigned)rng_below(&g->r, 3); n; n--)
		put_random(g, MENU_COMMON);
	PUT(g, 0x61); /* popa */
}

static void words(struct bgen *g)
{
	int a = any_register(g), b = free_register(g);
	u8 push[] = {0x66, (u8)(0x50 | a)}, pop[] = {0x66, (u8)(0x58 | b)};

	put_exact(g, push, 2);
	if (rng_percent(&g->r, 50))
		PUT(g, 0x66, 0x9c); /* pushf */
	else
		PUT(g, 0x66, 0x6a, 0x91); /* push imm8 */
	g->undefined = 0;
	put_exact(g, pop, 2);
	if (g->role[b] == ROLE_FREE)
		put_exact(g, pop, 2);
	else
		put_exact(g, (const u8[]){0x66, 0x83, 0xc4, 2}, 4);
	put_define(g, X86_ARITH);
}

static void segment_registers(struct bgen *g)
{
	static const u8 pairs[][4] = {
		{0x06, 0x07}, {0x1e, 0x1f}, {0x16, 0x17}, {0x0f, 0xa0, 0x0f, 0xa1}};
	unsigned k = (unsigned)rng_below(&g->r, 4), n = k == 3 ? 2 : 1;
	int reg = free_register(g);

	put_exact(g, pairs[k], n);
	if (rng_percent(&g->r, 50))
		put_random(g, MENU_COMMON);
	if (rng_percent(&g->r, 15) && g->role[reg] == ROLE_FREE && k != 2) {
		/* A segment that nothing can be reached by, or all. */
		put_pop(g, reg);
		put_mov(g, reg, rng_percent(&g->r, 50) ? 0 : CASE_SS);
		put_push(g, reg);
	}
	put_exact(g, pairs[k] + n, n);
}

/* les reg, [esp]; lds; lgs … */
static void far_pointer(struct bgen *g)
{
	int reg = free_register(g);
	u8 load[] = {rng_percent(&g->r, 50) ? 0xc4 : 0xc5, (u8)(0x04 | reg << 3), 0x24};

	if (g->role[reg] != ROLE_FREE)
		return;
	PUT(g, 0x6a, CASE_SS);
	put_push(g, any_register(g));
	put_exact(g, load, 3);
	PUT(g, 0x8d, 0x64, 0x24, 8); /* lea esp, [esp + 8] */
}

/* ---- Addresses ---- */

/* Sums that wrap around at 4 GiB: only in 32 bits do they lead to where the pointer does. */
static void wrapped(struct bgen *g)
{
	static const u8 ops[] = {0x8b, 0x89, 0x03, 0x01, 0x33, 0x8a, 0x88, 0x87, 0x3b};
	int p = any_writable(g), reg = free_register(g), other = any_register(g);
	u8 op = ops[rng_below(&g->r, sizeof(ops))];
	u8 far[] = {op, (u8)(0x80 | other << 3 | reg), 0, 0, 0, 0};
	u8 indexed[] = {op, (u8)(0x84 | other << 3), 0, 0, 0, 0, 0};
	u32 delta = (u32)rng_u64(&g->r), scale = (u32)rng_below(&g->r, 4);

	if (p < 0 || g->role[reg] != ROLE_FREE || reg == X86_RSP || g->role[other] != ROLE_FREE ||
	    (other == reg && op == 0x87))
		return;
	if (op == 0x87 && g->offset[p] & 3) /* XCHG locks */
		return;
	if (rng_percent(&g->r, 50)) {
		/* mov reg, p + delta; op other, [reg - delta] */
		put_mov(g, reg, (u32)g->b->base + (u32)g->offset[p] + delta);
		st32(far + 2, 0u - delta);
		put_exact(g, far, 6);
	} else {
		/* mov reg, delta; op other, [p + reg * scale - delta * scale] */
		put_mov(g, reg, delta);
		indexed[2] = (u8)(scale << 6 | (u32)reg << 3 | (u32)p);
		st32(indexed + 3, 0u - (delta << scale));
		put_exact(g, indexed, 7);
	}
	g->undefined = 0;
	put_define(g, X86_CF);
}

/* Offsets of 16 bits reach the window only by a segment's base; LEA needs none. */
static void short_address(struct bgen *g)
{
	u8 modrm = (u8)(rng_u64(&g->r) & 0x38), disp = (u8)(rng_u64(&g->r) & 0x7f);
	int reg = free_register(g);

	if (g->role[reg] != ROLE_FREE)
		return;
	switch (rng_below(&g->r, 3)) {
	case 0: /* mov reg, gs:[disp16] */
		PUT(g, 0x65, 0x67, 0x8b, (u8)(0x06 | reg << 3), disp, 2);
		break;
	case 1: /* lea reg, [bx + si + disp8] and the like */
		PUT(g, 0x67, 0x8d, (u8)(0x40 | reg << 3 | (modrm >> 3 & 7)), disp);
		break;
	default: /* mov gs:[bx + disp8], reg */
		if (g->role[X86_RBX] == ROLE_INDEX)
			PUT(g, 0x65, 0x67, 0x89, (u8)(0x47 | reg << 3), disp);
	}
}

/* Thread-local data: an offset that the base makes wrap, and one at the very end of 4 GiB. */
static void by_segment(struct bgen *g)
{
	int reg = free_register(g), index = any_with(g, ROLE_INDEX);
	u32 disp = rng_percent(&g->r, 70) ? 0u - 4 * (1 + (u32)rng_below(&g->r, 40))
					  : 0u - (u32)rng_below(&g->r, 8);
	u8 prefix = rng_percent(&g->r, 70) ? 0x65 : 0x64;
	u8 b[] = {prefix, 0x8b, (u8)(0x05 | reg << 3), 0, 0, 0, 0};

	if (g->role[reg] != ROLE_FREE || reg == X86_RSP)
		return;
	if (!rng_percent(&g->r, 10))
		disp &= ~3u;
	if (rng_percent(&g->r, 50) || index < 0) {
		st32(b + 3, disp);
		put_exact(g, b, 7);
		return;
	}
	/* mov reg, disp; mov gs:[reg], index */
	put_mov(g, reg, disp);
	b[1] = 0x89;
	b[2] = (u8)(0x40 | index << 3 | reg);
	put_exact(g, b, 4);
}

/* ---- Jumps ---- */

/* A far call to the next instruction; what it pushed is taken off. */
static void far_call(struct bgen *g)
{
	u8 call[] = {0x9a, 0, 0, 0, 0, CASE_CS32, 0}, jump[] = {0xea, 0, 0, 0, 0, CASE_CS32, 0};

	if (rng_percent(&g->r, 50)) {
		put_with_address(g, jump, 7, g->b->count + 1);
		return;
	}
	put_with_address(g, call, 7, g->b->count + 1);
	PUT(g, 0x8d, 0x64, 0x24, 8);
}

/* Into 64-bit code, which leaves something in a register's upper half, and back. */
static void wide(struct bgen *g)
{
	u8 jump[] = {0xea, 0, 0, 0, 0, CASE_CS, 0}, push[] = {0x68, 0, 0, 0, 0};
	int reg = free_register(g);
	u8 mov[10] = {0x48, (u8)(0xb8 | reg)};
	u64 v = value_int(&g->r);

	put_with_address(g, jump, 7, g->b->count + 1);
	if (g->role[reg] == ROLE_FREE && rng_percent(&g->r, 70)) {
		memcpy(mov + 2, &v, 8);
		put_exact(g, mov, 10);
	}
	PUT(g, 0x6a, CASE_CS32);
	put_with_address(g, push, 5, g->b->count + 2);
	PUT(g, 0x48, 0xcb); /* retfq */
	if (g->role[reg] == ROLE_FREE)
		put_random(g, MENU_COMMON);
}

static void counted(struct bgen *g)
{
	static const u8 ops[] = {0xe0, 0xe1, 0xe2, 0xe3};
	u8 b[3] = {0x67, ops[rng_below(&g->r, 4)], 0};
	unsigned cut = rng_percent(&g->r, 30) ? 0 : 1;
	int i;

	if (g->role[X86_RCX] != ROLE_FREE)
		return;
	if (rng_percent(&g->r, 60))
		put_mov(g, X86_RCX, rng_percent(&g->r, 50) ? rng_below(&g->r, 3) : 0x10000);
	put_define(g, X86_ZF);
	i = put_exact(g, b + cut, 3 - cut);
	g->b->item[i].fix[0] = (struct block_fix){
		.kind = FIX_RELATIVE, .at = (u8)(2 - cut), .size = 1, .item = (i16)(i + 2)};
	put_random(g, MENU_NEUTRAL);
	PUT(g, 0x90);
}

/* ---- Encodings ---- */

static void decimal(struct bgen *g)
{
	static const u8 ops[][2] = {{0x27}, {0x2f}, {0x37}, {0x3f}, {0xd4, 10}, {0xd5, 10}, {0xd6}};
	unsigned k = (unsigned)rng_below(&g->r, 7);

	if (g->role[X86_RAX] != ROLE_FREE)
		return;
	put_define(g, X86_CF | X86_AF);
	put_exact(g, ops[k], k == 4 || k == 5 ? 2 : 1);
	if (k < 6)
		g->undefined = X86_ARITH;
}

/* inc, dec: CF stays */
static void short_steps(struct bgen *g)
{
	int reg = free_register(g);
	u8 step = (u8)(0x40 | (rng_u64(&g->r) & 8) | reg),
	   setc[] = {0x0f, 0x92, (u8)(0xc0 | (reg & 3))};

	if (g->role[reg] != ROLE_FREE)
		return;
	put_random(g, MENU_SETTERS);
	if (rng_percent(&g->r, 20))
		put_exact(g, (const u8[]){0x66, step}, 2);
	else
		put_exact(g, &step, 1);
	g->undefined &= X86_CF;
	if (g->role[reg & 3] == ROLE_FREE) {
		put_define(g, X86_CF);
		put_exact(g, setc, 3);
	}
}

/* BLENDV's register and W of general operands: bits that don't count. */
static void spare_bits(struct bgen *g)
{
	u8 blend[] = {0xc4, 0xe3, 0x69, 0x4a + (u8)(rng_u64(&g->r) & 1), 0xc1, (u8)rng_u64(&g->r)};
	int reg = free_register(g);
	u8 andn[] = {0xc4, 0xe2, 0xf8, 0xf2, (u8)(0xc0 | reg << 3 | (rng_u64(&g->r) & 7))};
	u8 movd[] = {0xc4, 0xe1, 0xf9, 0x6e, (u8)(0xc0 | (rng_u64(&g->r) & 0x3f))};

	if (rng_percent(&g->r, 40)) {
		blend[5] &= 0xf0;
		put_exact(g, blend, 6);
	} else if (rng_percent(&g->r, 50)) {
		put_exact(g, movd, 5);
	} else if (g->role[reg] == ROLE_FREE) {
		put_exact(g, andn, 5);
		g->undefined = X86_AF | X86_PF;
	}
}

static void cut_target(struct bgen *g)
{
	/* jmp rel16, jz rel16, ret of 16 bits: into pages that nobody has */
	if (rng_below(&g->r, 20))
		return;
	switch (rng_below(&g->r, 3)) {
	case 0:
		PUT(g, 0x66, 0xe9, 0, 0);
		break;
	case 1:
		put_define(g, X86_ZF);
		PUT(g, 0x66, 0x0f, 0x84, 0, 0);
		break;
	default:
		PUT(g, 0x66, 0xe8, 0, 0);
	}
}

void shape_compat(struct bgen *g)
{
	static void (*const all[])(struct bgen * g) = {
		all_registers, words,      segment_registers, far_pointer, wrapped,
		wrapped,       wrapped,    short_address,     by_segment,  by_segment,
		far_call,      wide,       counted,           decimal,     short_steps,
		short_steps,   spare_bits, cut_target,
	};

	all[rng_below(&g->r, ARRAY_LEN(all))](g);
}
