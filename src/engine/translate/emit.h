/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_TRANSLATE_EMIT_H
#define ENGINE_TRANSLATE_EMIT_H

/*
 * Host instructions, byte by byte (SDM vol. 2, chapter 2). Registers are numbers 0-15.
 *
 * Code is written through one mapping and runs in another; jumps are relative, so only absolute
 * addresses care. A buffer that is full swallows the rest: `end` is checked once a region.
 */
#include "base/bits.h"

struct code {
	u8 *base;
	u32 at, size;
	/*
	 * What GS points to, if code reaches that by a displacement alone: a byte shorter, and a
	 * cycle sooner, since a segment's base is added after the rest of an address. 0: by GS.
	 */
	i32 state;
	/*
	 * Relative to RIP that is another byte shorter, and AMD's processors hand on what was just
	 * stored within no time, where an address of a displacement alone takes them 7 cycles. So
	 * far is the state from where the code's first byte runs; 0: it is not within reach.
	 */
	i32 state_distance;
	bool absolute; /* nothing is relative to RIP now: it will be copied, or has to be as long */
};

/* A host memory operand. base and index: a register or -1; gs: by that segment. */
struct hmem {
	int base, index;
	unsigned shift;
	i32 disp; /* relative: from the code's first byte */
	bool gs;
	bool disp32;   /* no displacement of 8 bits, which EVEX would scale */
	bool relative; /* to RIP, and the displacement is the instruction's end */
};

static inline struct hmem hm_gs(i32 disp)
{
	return (struct hmem){.base = -1, .index = -1, .disp = disp, .gs = true};
}

static inline struct hmem hm_gs_at(int base, i32 disp)
{
	return (struct hmem){.base = base, .index = -1, .disp = disp, .gs = true};
}

static inline struct hmem hm(int base, i32 disp)
{
	return (struct hmem){.base = base, .index = -1, .disp = disp};
}

/* Opcodes of e_rm and e_rr with a 64-bit (W) or 32-bit operand. */
enum {
	OP_ADD = 0x03,
	OP_SUB = 0x2b,
	OP_CMP = 0x3b, /* register with r/m */
	OP_MOV_LOAD = 0x8b,
	OP_MOV_STORE = 0x89,
	OP_MOV_LOAD8 = 0x8a, /* W has no meaning with these */
	OP_MOV_STORE8 = 0x88,
	OP_LEA = 0x8d,
	OP_TEST = 0x85,
};

/* Conditions of Jcc. */
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A };

static inline void e8(struct code *c, unsigned b)
{
	if (c->at < c->size)
		c->base[c->at] = (u8)b;
	c->at++;
}

void e32(struct code *c, u32 v);
void e64(struct code *c, u64 v);
void e_bytes(struct code *c, const u8 *b, unsigned n);
#define E_CODE(c, ...) e_bytes(c, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* REX (0: none), then up to 3 opcode bytes, then ModRM with a memory operand. */
void e_modrm_mem(struct code *c, unsigned reg, const struct hmem *m);
unsigned e_rex_mem(unsigned reg, const struct hmem *m); /* its R, X, B bits */

void e_rm(struct code *c, unsigned op, bool w, unsigned reg, struct hmem m);
void e_rr(struct code *c, unsigned op, bool w, unsigned reg, unsigned rm);
void e_load(struct code *c, unsigned reg, struct hmem m);
void e_store(struct code *c, struct hmem m, unsigned reg);
void e_load32(struct code *c, unsigned reg, struct hmem m);
void e_store32(struct code *c, struct hmem m, unsigned reg);
void e_store_imm32(struct code *c, struct hmem m, i32 imm); /* 64 bits, sign-extended */
void e_lea(struct code *c, unsigned reg, struct hmem m);
void e_lea32(struct code *c, unsigned reg, struct hmem m); /* cut to 32 bits */
void e_mov_imm(struct code *c, unsigned reg, u64 imm);     /* shortest form, keeps flags */
void e_cmp_imm(struct code *c, unsigned reg, i32 imm);
void e_and32_imm(struct code *c, unsigned reg, u32 imm);
void e_cmp8_mem(struct code *c, struct hmem m, unsigned imm);
void e_cmp32_mem(struct code *c, struct hmem m, u32 imm);
/* Sign-extended 8-bit immediate. */
void e_cmp32_mem8(struct code *c, struct hmem m, unsigned imm);
void e_or8_mem(struct code *c, struct hmem m, unsigned imm);
void e_and8_mem(struct code *c, struct hmem m, unsigned imm);
void e_test8_mem(struct code *c, struct hmem m, unsigned imm);
void e_store8_imm(struct code *c, struct hmem m, unsigned imm);
void e_push(struct code *c, unsigned reg);
void e_pop(struct code *c, unsigned reg);
void e_jmp_mem(struct code *c, struct hmem m);
void e_call_mem(struct code *c, struct hmem m);
void e_call_abs(struct code *c, const void *fn); /* clobbers RAX */

/* Jumps with a rel32; return the offset of that, for e_bind. */
u32 e_jcc(struct code *c, unsigned cc);
u32 e_jmp(struct code *c);
u32 e_call(struct code *c);
void e_bind(struct code *c, u32 rel, u32 target);
void e_nop(struct code *c, unsigned n); /* that many bytes */
/* To where a line of the cache begins: a short loop in two of them takes some CPUs a cycle more. */
void e_align_loop(struct code *c);
static inline void e_bind_here(struct code *c, u32 rel)
{
	e_bind(c, rel, c->at);
}

static inline void e_jmp_to(struct code *c, u32 target)
{
	e_bind(c, e_jmp(c), target);
}

static inline void e_call_to(struct code *c, u32 target)
{
	e_bind(c, e_call(c), target);
}

/* Flags into AX as LAHF and SETO have them, and back: AL + 7Fh overflows if AL is 1. */
void e_flags_to_ax(struct code *c);
void e_flags_from_ax(struct code *c);

#endif
