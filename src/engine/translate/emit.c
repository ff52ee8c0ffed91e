/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/translate/emit.h"

void e32(struct code *c, u32 v)
{
	for (unsigned i = 0; i < 4; i++)
		e8(c, v >> 8 * i & 0xff);
}

void e64(struct code *c, u64 v)
{
	e32(c, (u32)v);
	e32(c, (u32)(v >> 32));
}

void e_bytes(struct code *c, const u8 *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		e8(c, b[i]);
}

/* ---- Operands ---- */

unsigned e_rex_mem(unsigned reg, const struct hmem *m)
{
	return (reg >> 3 & 1) << 2 | (m->index > 7 ? 2u : 0) | (m->base > 7 ? 1u : 0);
}

static void displacement(struct code *c, unsigned mod, i32 disp)
{
	if (mod == 1)
		e8(c, (u8)disp);
	else if (mod == 2)
		e32(c, (u32)disp);
}

void e_modrm_mem(struct code *c, unsigned reg, const struct hmem *m)
{
	unsigned r = (reg & 7) << 3, mod;

	if (m->relative) {
		e8(c, r | 5);
		e32(c, (u32)m->disp - (c->at + 4));
		return;
	}
	if (m->base < 0) { /* SIB with no base: a displacement of 32 bits, not relative to RIP */
		e8(c, r | 4);
		e8(c, m->shift << 6 | (unsigned)(m->index < 0 ? 4 : m->index & 7) << 3 | 5);
		e32(c, (u32)m->disp);
		return;
	}
	/* Base 5 with mod 0 means none. */
	mod = m->disp == 0 && (m->base & 7) != 5 ? 0 : m->disp == (i8)m->disp && !m->disp32 ? 1 : 2;
	if (m->index >= 0 || (m->base & 7) == 4) {
		e8(c, mod << 6 | r | 4);
		e8(c, m->shift << 6 | (unsigned)(m->index < 0 ? 4 : m->index & 7) << 3 |
			      (unsigned)(m->base & 7));
	} else {
		e8(c, mod << 6 | r | (unsigned)(m->base & 7));
	}
	displacement(c, mod, m->disp);
}

static void head_mem(struct code *c, bool w, unsigned reg, const struct hmem *m)
{
	unsigned rex = (w ? 8u : 0) | e_rex_mem(reg, m);

	if (m->gs)
		e8(c, 0x65);
	if (rex)
		e8(c, 0x40 | rex);
}

/*
 * Relative to RIP only what is moved: nothing of the instruction comes behind the displacement,
 * and AMD's processors don't fuse a comparison with an operand relative to RIP and its jump.
 */
static bool is_relative(const struct code *c, unsigned op, const struct hmem *m)
{
	return c->state_distance && !c->absolute && m->base < 0 && m->index < 0 &&
	       (op == OP_MOV_LOAD || op == OP_MOV_STORE);
}

void e_rm(struct code *c, unsigned op, bool w, unsigned reg, struct hmem m)
{
	if (m.gs && c->state) {
		m.gs = false;
		m.relative = is_relative(c, op, &m);
		m.disp += m.relative ? c->state_distance : c->state;
	}
	head_mem(c, w, reg, &m);
	e8(c, op);
	e_modrm_mem(c, reg, &m);
}

void e_rr(struct code *c, unsigned op, bool w, unsigned reg, unsigned rm)
{
	unsigned rex = (w ? 8u : 0) | (reg >> 3) << 2 | rm >> 3;

	if (rex)
		e8(c, 0x40 | rex);
	e8(c, op);
	e8(c, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void e_load(struct code *c, unsigned reg, struct hmem m)
{
	e_rm(c, OP_MOV_LOAD, true, reg, m);
}

void e_store(struct code *c, struct hmem m, unsigned reg)
{
	e_rm(c, OP_MOV_STORE, true, reg, m);
}

void e_load32(struct code *c, unsigned reg, struct hmem m)
{
	e_rm(c, OP_MOV_LOAD, false, reg, m);
}

void e_store32(struct code *c, struct hmem m, unsigned reg)
{
	e_rm(c, OP_MOV_STORE, false, reg, m);
}

void e_store_imm32(struct code *c, struct hmem m, i32 imm)
{
	e_rm(c, 0xc7, true, 0, m);
	e32(c, (u32)imm);
}

void e_lea(struct code *c, unsigned reg, struct hmem m)
{
	m.gs = false;
	e_rm(c, OP_LEA, true, reg, m);
}

void e_lea32(struct code *c, unsigned reg, struct hmem m)
{
	m.gs = false;
	e_rm(c, OP_LEA, false, reg, m);
}

void e_mov_imm(struct code *c, unsigned reg, u64 imm)
{
	unsigned b = reg >> 3;

	if (imm <= 0xffffffff) {
		if (b)
			e8(c, 0x41);
		e8(c, 0xb8 | (reg & 7));
		e32(c, (u32)imm);
	} else if ((u64)(i64)(i32)imm == imm) {
		e8(c, 0x48 | b);
		e8(c, 0xc7);
		e8(c, 0xc0 | (reg & 7));
		e32(c, (u32)imm);
	} else {
		e8(c, 0x48 | b);
		e8(c, 0xb8 | (reg & 7));
		e64(c, imm);
	}
}

void e_cmp_imm(struct code *c, unsigned reg, i32 imm)
{
	e8(c, 0x48 | reg >> 3);
	e8(c, imm == (i8)imm ? 0x83 : 0x81);
	e8(c, 0xf8 | (reg & 7));
	if (imm == (i8)imm)
		e8(c, (u8)imm);
	else
		e32(c, (u32)imm);
}

void e_and32_imm(struct code *c, unsigned reg, u32 imm)
{
	if (reg > 7)
		e8(c, 0x41);
	e8(c, 0x81);
	e8(c, 0xe0 | (reg & 7));
	e32(c, imm);
}

static void mem_imm8(struct code *c, unsigned op, unsigned ext, struct hmem m, unsigned imm)
{
	e_rm(c, op, false, ext, m);
	e8(c, imm);
}

void e_cmp8_mem(struct code *c, struct hmem m, unsigned imm)
{
	mem_imm8(c, 0x80, 7, m, imm);
}

void e_cmp32_mem(struct code *c, struct hmem m, u32 imm)
{
	e_rm(c, 0x81, false, 7, m);
	e32(c, imm);
}

void e_cmp32_mem8(struct code *c, struct hmem m, unsigned imm)
{
	mem_imm8(c, 0x83, 7, m, imm);
}

void e_or8_mem(struct code *c, struct hmem m, unsigned imm)
{
	mem_imm8(c, 0x80, 1, m, imm);
}

void e_and8_mem(struct code *c, struct hmem m, unsigned imm)
{
	mem_imm8(c, 0x80, 4, m, imm);
}

void e_test8_mem(struct code *c, struct hmem m, unsigned imm)
{
	mem_imm8(c, 0xf6, 0, m, imm);
}

void e_store8_imm(struct code *c, struct hmem m, unsigned imm)
{
	mem_imm8(c, 0xc6, 0, m, imm);
}

/* ---- Control ---- */

void e_push(struct code *c, unsigned reg)
{
	if (reg > 7)
		e8(c, 0x41);
	e8(c, 0x50 | (reg & 7));
}

void e_pop(struct code *c, unsigned reg)
{
	if (reg > 7)
		e8(c, 0x41);
	e8(c, 0x58 | (reg & 7));
}

void e_jmp_mem(struct code *c, struct hmem m)
{
	e_rm(c, 0xff, false, 4, m);
}

void e_call_mem(struct code *c, struct hmem m)
{
	e_rm(c, 0xff, false, 2, m);
}

void e_call_abs(struct code *c, const void *fn)
{
	e_mov_imm(c, 0, (u64)(uintptr_t)fn);
	E_CODE(c, 0xff, 0xd0);
}

u32 e_jcc(struct code *c, unsigned cc)
{
	E_CODE(c, 0x0f, 0x80 | cc);
	e32(c, 0);
	return c->at - 4;
}

u32 e_jmp(struct code *c)
{
	e8(c, 0xe9);
	e32(c, 0);
	return c->at - 4;
}

u32 e_call(struct code *c)
{
	e8(c, 0xe8);
	e32(c, 0);
	return c->at - 4;
}

void e_bind(struct code *c, u32 rel, u32 target)
{
	u32 d = target - (rel + 4);

	if (rel + 4 > c->size)
		return;
	for (unsigned i = 0; i < 4; i++)
		c->base[rel + i] = (u8)(d >> 8 * i);
}

/* The forms that SDM vol. 2 recommends (NOP). */
void e_nop(struct code *c, unsigned n)
{
	static const u8 forms[][8] = {{0x90},
				      {0x66, 0x90},
				      {0x0f, 0x1f, 0},
				      {0x0f, 0x1f, 0x40},
				      {0x0f, 0x1f, 0x44},
				      {0x66, 0x0f, 0x1f, 0x44},
				      {0x0f, 0x1f, 0x80},
				      {0x0f, 0x1f, 0x84}};

	while (n) {
		unsigned len = n < 8 ? n : 8;

		e_bytes(c, forms[len - 1], len);
		n -= len;
	}
}

void e_align_loop(struct code *c)
{
	e_nop(c, -c->at % 64);
}

void e_flags_to_ax(struct code *c)
{
	E_CODE(c, 0x9f, 0x0f, 0x90, 0xc0);
}

void e_flags_from_ax(struct code *c)
{
	E_CODE(c, 0x04, 0x7f, 0x9e);
}
