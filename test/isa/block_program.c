/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "block_gen.h"
#include "values.h"

/* What registers hold at the start, and what a program is made of. */

static void assign_roles(struct bgen *g)
{
	struct case_state *in = &g->b->in;
	unsigned registers = block_registers(g->b), indexes = registers == 8 ? 1 : 2;
	unsigned pointers = registers == 8 ? 2 + (unsigned)rng_below(&g->r, 2)
					   : 3 + (unsigned)rng_below(&g->r, 4);

	for (unsigned i = registers; i < X86_GPRS; i++)
		g->role[i] = ROLE_COUNTER; /* nobody's */

	g->role[X86_RSP] = ROLE_POINTER;
	g->offset[X86_RSP] = PG_STACK * 0x1000 + 0xc00 + (i32)rng_below(&g->r, 0x80) * 8;
	while (pointers--) {
		int reg = any_register(g);

		if (reg == X86_RSP)
			continue;
		g->role[reg] = ROLE_POINTER;
		g->offset[reg] = block_window_offset(&g->r);
	}
	for (unsigned n = indexes; n;) {
		int reg = any_register(g);

		if (g->role[reg] != ROLE_FREE)
			continue;
		g->role[reg] = ROLE_INDEX;
		in->gpr[reg] = rng_below(&g->r, 64);
		n--;
	}
	for (int i = 0; i < X86_GPRS; i++)
		if (g->role[i] == ROLE_POINTER)
			in->gpr[i] = g->b->base + (u64)(i64)g->offset[i];
}

static void random_state(struct bgen *g)
{
	struct case_state *in = &g->b->in;

	for (unsigned i = 0; i < X86_GPRS; i++)
		in->gpr[i] = value_int(&g->r);
	for (unsigned i = 0; g->b->bits == 32 && i < 8; i++)
		in->gpr[i] = (u32)in->gpr[i];
	values_vectors(&g->r, in->vec, in->k);
	for (unsigned i = 0; i < 8; i++)
		value_f80(&g->r, in->st[i]);
	in->rflags = X86_R1 | X86_IF | (rng_u64(&g->r) & X86_ARITH);
	in->fcw = rng_percent(&g->r, 60) ? 0x37f : (u16)(0x7f | (rng_u64(&g->r) & 0xf00));
	if (rng_percent(&g->r, 15))
		in->fcw &= (u16)~BIT(rng_below(&g->r, 6));
	in->ftw = rng_percent(&g->r, 50) ? 0xff : (u8)rng_u64(&g->r);
	in->fsw = (u16)(rng_u64(&g->r) & (rng_percent(&g->r, 50) ? 0x4700 : 0x7f00));
	in->fop = rng_u64(&g->r) & 0x7ff;
	in->fip = value_int(&g->r);
	in->fdp = value_int(&g->r);
	in->mxcsr = 0x1f80 | (rng_percent(&g->r, 20) ? rng_u64(&g->r) & 0xe03f : 0);
	in->fs_base = g->b->base + PG_DATA * 0x1000 + (rng_u64(&g->r) & 0xfc0);
	in->gs_base = g->b->base + (PG_DATA + 1) * 0x1000 + (rng_u64(&g->r) & 0xff8);
}

/* Running on leads out of the code pages. */
static void end_at_page_end(struct block *b)
{
	unsigned length = 0;

	for (unsigned i = 0; i < b->count; i++)
		length += b->item[i].len;
	b->at = (u16)(CASE_CODE_SIZE - length);
}

void block_generate(const struct block_menu *m, u64 seed, unsigned bits, u64 base, struct block *b)
{
	struct bgen g = {.r = {rng_mix(seed)}, .menu = m, .b = b};
	u8 int3 = CASE_INT3;

	memset(b, 0, sizeof(*b));
	b->seed = seed;
	b->bits = (u8)bits;
	b->cpl = bits == 32 || rng_percent(&g.r, 60) ? 3 : 0;
	b->fs_limit = rng_percent(&g.r, 70) ? ~0u : 0x5ff;
	b->base = b->cpl == 0 && rng_percent(&g.r, 60) ? WINDOW_HIGH : WINDOW;
	if (base) {
		b->base = base;
		b->cpl = 3;
	}
	b->at = rng_percent(&g.r, 15) ? 0x1000 - (u16)rng_below(&g.r, 100)
				      : (u16)rng_below(&g.r, 0x400);
	b->fill = rng_u64(&g.r);
	g.x87_percent = (u8)(rng_percent(&g.r, 80) ? 4 : 30 + rng_below(&g.r, 60));
	random_state(&g);
	assign_roles(&g);
	if (rng_percent(&g.r, 70))
		for (unsigned n = 1 + (unsigned)rng_below(&g.r, 3); n && b->count < 30; n--)
			put_function(&g);
	b->entry = b->count;
	put_shapes(&g, 4 + (unsigned)rng_below(&g.r, 12));
	if (rng_percent(&g.r, 97))
		put_bytes(&g, &int3, 1);
	else
		end_at_page_end(b);
}
