/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_TRANSLATE_INSN_H
#define ENGINE_TRANSLATE_INSN_H

/* Guest instructions, decoded, and what is asked of them; nothing here knows of host code. */
#include "engine/interp/interp.h"

/* Arithmetic flags as a mask of six, for liveness. */
enum { F_CF = 1, F_PF = 2, F_AF = 4, F_ZF = 8, F_SF = 16, F_OF = 32, F_ALL = 63 };

/* What of the floating-point state an instruction or a region needs in the host: a mask. */
enum {
	UNIT_VECTOR = 1, /* SIMD registers and MXCSR */
	UNIT_X87 = 2,    /* MMX too */
};

enum tr_kind {
	K_PLAIN, /* the instruction itself, with its operands replaced */
	K_LEA,
	K_NOP,
	K_PUSH_REG,
	K_PUSH_IMM,
	K_PUSH_MEM,
	K_POP_REG,
	K_LEAVE,
	K_BITS, /* BT and kin with memory and a bit offset in a register */
	K_READ_SEGMENT,
	K_PUSHF,
	K_POPF,
	K_FLAG_BIT, /* CLI, CLD, STD */
	K_SWAPGS,
	K_READ_CR2,
	K_BASE, /* RDFSBASE and kin */
	K_STI,
	K_STRING, /* MOVS, STOS */
	K_RDTSC,
	K_RDTSCP,
	K_PAUSE,
	K_CPUID,
	K_WRITE_CR3,
	K_INVLPG,
	K_SYSCALL,
	K_SYSRET,
	K_IRET,
	K_JMP,
	K_JCC,
	K_LOOP, /* LOOP and JRCXZ */
	K_CALL,
	K_JMP_REG,
	K_JMP_MEM,
	K_CALL_REG,
	K_CALL_MEM,
	K_RET,
	K_ONE, /* the interpreter runs this one, then translated code goes on */
	K_END, /* the interpreter goes on from here */
};

enum { NO_REG = 0xff };
enum { PFX_66 = 1, PFX_F2 = 2, PFX_F3 = 4, PFX_LOCK = 8 };
/* Register fields of an encoding, for insn.gpr, .reads, .writes. */
enum { FIELD_REG = 1, FIELD_RM = 2, FIELD_V = 4, FIELD_OP = 8 };

struct tr_insn {
	u16 off; /* from its region's page on */
	u8 len;
	u8 kind; /* enum tr_kind */
	/* Encoding */
	u8 map, opcode, prefixes, imm_size;
	bool vex, evex, rex, w, l, has_modrm;
	u8 evex_last;          /* its third byte: zeroing, length, broadcast or rounding, mask */
	u8 reg, rm, v, op_reg; /* guest register numbers, or opcode extension in reg */
	u8 gpr;                /* FIELD_*: which are general registers */
	u8 loads, stores;      /* FIELD_*: which must be loaded before, stored after */
	u16 written;           /* general registers that it changes, where use_operands() looked */
	bool adds;             /* and that is all: `added` to rm */
	i32 added;
	bool high_byte; /* names AH, CH, DH or BH in reg or rm: can't have a REX prefix */
	u64 imm;
	/* Memory operand */
	bool mem, a32, rip_relative;
	u8 base, index, shift, size, seg; /* NO_REG; seg: 0 or X86_FS, X86_GS */
	u8 access;                        /* X86_READ or X86_WRITE */
	i64 disp;                         /* rip_relative: the address's distance from `off` */
	/* Flags */
	u8 flags_read, flags_written; /* written whatever the operands are */
	bool flags_maybe;             /* may write some, or none */
	u8 fpu;                       /* UNIT_* */
	bool x87_pointers;            /* sets FIP, FOP and, with memory, FDP */
	u16 fop;
	bool head;     /* a jump may lead here */
	bool mem_head; /* and flags are in memory then: the region's entry */
	bool loop;     /* a backward jump of the region leads here */
	i32 target;    /* of a direct jump: page offset, possibly outside the page */
	/* Liveness before it (liveness.c) */
	u8 strong, weak;
	/* group.c: numbers from 1 on, or 0 */
	u8 run, group, stack_group;
	bool reach; /* reach.c: it may have a range of its own */
};

/* decode.c: fills i from the bytes at a page offset; false: it does not end in this page. */
bool tr_decode(struct dec *d, const u8 *bytes, unsigned avail, struct tr_insn *i);

/* insn.c */
/* False: the register becomes something else; else what is added to it. */
bool tr_insn_adds(const struct tr_insn *i, unsigned reg, i64 *add);
/* The registers, as a mask, for which that is false. */
u16 tr_insn_makes(const struct tr_insn *i);
/* The register becomes the sum of another one, all 64 bits of it, and a constant. */
bool tr_insn_copies(const struct tr_insn *i, unsigned reg, unsigned *from, i64 *add);
/* Exceptions of its numbers, or pending ones, go before its page fault. */
bool tr_insn_raises(const struct tr_insn *i);
/* It must be one access for other CPUs too; XCHG is so without a prefix. */
bool tr_insn_locked(const struct tr_insn *i);
/* Control goes on behind it, but for a conditional jump, and translated code is not left by it. */
bool tr_insn_runs_on(const struct tr_insn *i);

/*
 * compat.c, for 32-bit code: whether an operand at an FS or GS address can be translated; and an
 * encoding that means the same to the host, in 64-bit mode: before and after operands are known.
 */
bool tr_compat_segment(const struct dec *d, const struct tr_insn *i);
void tr_compat_encode(struct tr_insn *i);
void tr_compat_encoded(const struct dec *d, struct tr_insn *i);

/* liveness.c */
/* at: by offset, below `span`, the index of the instruction there, or -1. */
void tr_liveness(struct tr_insn *insns, unsigned n, const i16 *at, unsigned span, bool keep_all);

#endif
