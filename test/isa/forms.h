/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_FORMS_H
#define TEST_ISA_FORMS_H

#include <Zydis/Zydis.h>

#include "base/bits.h"

/*
 * All instruction forms of the opcode space that Zydis decodes, found by trying every opcode with
 * every prefix, REX.W, VEX.L, ModRM group and operand kind. A form is a mnemonic with its operands'
 * kinds, sizes and places in the encoding.
 */
struct form {
	u64 key;
	u16 mnemonic;
	bool vex, evex, mem, w;
	u8 l;
	bool b, masked; /* EVEX: its b, and a mask register other than k0 */
	u8 bits;        /* 64, or 32: of what code */
	u8 pp;          /* none, 66, F3, F2 (the encoding of VEX.pp) */
	u8 map;         /* 0: one-byte, 1: 0F, 2: 0F38, 3: 0F3A */
	u8 opcode, reg, rm;
	const char *excluded; /* why it does not take part, or NULL */
	u32 cases;            /* how many were made of it */
};

struct forms {
	struct form *all;
	u32 count, cap;
	u32 *taking_part; /* indices of those that are not excluded */
	u32 ntaking_part;
};

struct decoded {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/*
 * bits: 64, or 32 for those of compatibility mode. has: may an instruction of this CPU feature (its
 * name in /proc/cpuinfo) be used?
 */
int forms_create(struct forms *f, unsigned bits, bool (*has)(const char *feature));
/* Only these take part from now on. */
void forms_keep(struct forms *f, bool (*wanted)(const struct form *t));
void forms_destroy(struct forms *f);

bool forms_decode(const u8 *bytes, size_t len, struct decoded *d);
bool forms_decode_as(unsigned bits, const u8 *bytes, size_t len, struct decoded *d);

/* What stands for a form's pp where no VEX or EVEX has it: a prefix, or 0. */
extern const u8 forms_pp[4];
/* Write an encoding's bytes before the opcode, and return how many. rex: R, X and B as REX has
 * them. */
unsigned forms_put_vex(const struct form *t, u8 rex, u8 vvvv, u8 *b); /* vvvv: in its place there */
unsigned forms_put_map(const struct form *t, u8 *b);
/* What makes a form of its instruction; prefixes without a meaning of their own don't matter. */
u64 forms_key(const struct decoded *d);

#endif
