/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_BLOCK_H
#define TEST_ISA_BLOCK_H

#include "case.h"
#include "kernel_map.h"
#include "rng.h"

/*
 * Programs of a few dozen instructions, to be run on two engines that must agree. A program is a
 * list of items, one instruction each, whose references to each other are resolved when it is
 * linked: so the reducer may take any item away.
 *
 * It runs in the window of kernel_map.h, at CPL 3 or 0, at the window's low or high address. Pages
 * of the window, by number:
 */
enum {
	PG_DATA = 0, /* four, readable and writable, scattered in guest-physical memory */
	PG_DATA_END = 4,
	PG_RO = 4,
	PG_ABSENT = 5,
	/* PAGE_DEMAND, PAGE_REMAP */
	PG_ALIAS = 8,  /* the frame of page PG_DATA + 1 once more */
	PG_STACK = 10, /* two */
	/* Executable; its last instruction goes on in PAGE_STEPS, and so do a loop and a jump. */
	PG_CROSS = 13,
	/*
	 * PAGE_STEPS: one function a register, that steps it up in one frame and down in the other;
	 * before them the last byte of such a step of RAX, and its RET, and such a loop's second
	 * half; behind them one that has its address in RAX
	 */
	/* PAGE_WRITABLE */
	PG_CODE = 16,       /* two, writable and executable */
	PG_CODE_ALIAS = 20, /* the frames of both once more, not executable */
	PG_WINDOW = 24,
};

enum { BLOCK_ITEMS = 128, BLOCK_FIXES = 2, BLOCK_STEP_SIZE = 64, BLOCK_STEP_AT = 16 };
enum { BLOCK_WHERE_AT = BLOCK_STEP_AT + 16 * BLOCK_STEP_SIZE };
enum { BLOCK_STEP_OPCODE = 4 };                        /* the byte that says up or down */
enum { BLOCK_VIA_AT = 0xf80 };                         /* in PG_CROSS: leads to BLOCK_WHERE_AT */
enum { BLOCK_LOOP_AT = 0xfe0, BLOCK_LOOP_END_AT = 2 }; /* in PG_CROSS and PAGE_STEPS */

enum fix_kind { FIX_NONE, FIX_RELATIVE, FIX_ABSOLUTE };

/* Bytes of an item that depend on an address: of another item, or (item < 0) of the window. */
struct block_fix {
	u8 kind, at, size;
	i16 item;
	i32 offset; /* from the item's first byte, or from the window's base */
};

struct block_item {
	u8 bytes[16];
	u8 len;   /* 0: taken away */
	bool nop; /* its place is kept, by so many NOPs */
	struct block_fix fix[BLOCK_FIXES];
};

struct block {
	u64 seed;
	u64 base; /* WINDOW… */
	u8 bits;  /* 64, or 32 for compatibility mode */
	u8 cpl;
	u32 fs_limit; /* 32 bits: of FS */
	u16 at;       /* of the first item in the code pages */
	u16 entry;    /* the item that is executed first */
	u16 count;
	struct block_item item[BLOCK_ITEMS];
	u64 fill; /* seed of the data pages' contents */
	struct case_state in;
	/* Found by linking. */
	u64 addr[BLOCK_ITEMS + 1];
	u8 code[CASE_CODE_SIZE];
};

static inline unsigned block_registers(const struct block *b)
{
	return b->bits == 32 ? 8 : X86_GPRS;
}

/* block_link.c: false if a reference does not reach. */
bool block_link(struct block *b);
unsigned block_length(const struct block *b); /* items that are still there */
/* Disassembly, state at the start. */
void block_print(const struct block *b);

/* block_form.c, block_shape.c */
struct block_menu;
struct block_menu *block_menu_create(unsigned bits); /* NULL: out of memory */
void block_menu_destroy(struct block_menu *m);
/* base: where its window is; the program is the same, and of CPL 3. 0: as the seed says. */
void block_generate(const struct block_menu *m, u64 seed, unsigned bits, u64 base, struct block *b);

#endif
