/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_BLOCK_GEN_H
#define TEST_ISA_BLOCK_GEN_H

#include "block.h"
#include "forms.h"

/* Private to the generator: block_form.c makes single instructions, block_shape.c what they form,
 * block_program.c programs.
 */

/* Forms by what a program wants of them. */
enum menu_kind {
	MENU_COMMON,  /* what compilers emit most */
	MENU_GENERAL, /* on general registers */
	MENU_NEUTRAL, /* of these, what leaves the flags alone */
	MENU_SETTERS, /* what sets some or all flags */
	MENU_PARTIAL, /* what sets only some, or maybe none */
	MENU_READERS, /* what reads flags */
	MENU_ATOMIC,  /* what may be locked */
	MENU_VECTOR,
	MENU_X87,
	MENUS,
};

struct block_menu {
	struct forms forms;
	u32 *list[MENUS];
	u32 count[MENUS];
};

/* What a register holds throughout. */
enum role { ROLE_FREE, ROLE_POINTER, ROLE_INDEX, ROLE_COUNTER };

struct bgen {
	struct rng r;
	const struct block_menu *menu;
	struct block *b;
	u8 role[X86_GPRS];
	i32 offset[X86_GPRS]; /* ROLE_POINTER: where in the window */
	u32 undefined;        /* flags, after the items so far */
	u8 depth;             /* of shapes within shapes */
	bool in_function;     /* RSP must be where it was at the end */
	bool spare_stack;     /* no write may hit what lies above RSP */
	u8 x87_percent;       /* of plain instructions */
	bool full;            /* there is no room for more */
	i16 function[4];      /* first items */
	unsigned functions;
};

/* ---- block_form.c -----------------------------------------------------------------------------
 */

/*
 * Appends an instruction; returns its item's number. It is given as 64-bit code has it, and loses
 * REX in 32-bit code, where an operand relative to RIP becomes one with an address.
 */
int put_bytes(struct bgen *g, const void *bytes, unsigned n);
/* The same as it is. */
int put_exact(struct bgen *g, const void *bytes, unsigned n);
/* The same with the reference that fills its last `size` bytes. */
int put_ref(struct bgen *g, const void *bytes, unsigned n, enum fix_kind kind, unsigned size,
	    int item, i32 offset);
/* mov reg, imm64 */
void put_mov(struct bgen *g, int reg, u64 v);
/* lea reg, [rip + …] or a mov of the same address */
int put_address(struct bgen *g, int reg, int item, i32 offset);
/* A random instruction of the kind that leaves the roles of registers be. */
void put_random(struct bgen *g, enum menu_kind kind);
/* Its memory operand, if it has one, relative to this pointer (-1: any), disp bytes away. */
void put_random_at(struct bgen *g, enum menu_kind kind, int pointer, i32 disp);
/* What gives all flags a value, if any that `read` has none. */
void put_define(struct bgen *g, u32 read);

int any_register(struct bgen *g);
/* A register with that role, at random; -1: none. */
int any_with(struct bgen *g, enum role role);
/* A pointer, not RSP, to where 64 bytes can be written; -1: none. */
int any_writable(struct bgen *g);
/* Somewhere in the window: page, aligned or not, near a page's end now and then. */
i32 block_window_offset(struct rng *r);
/* op r/m64, reg etc. with both in registers: REX.W op modrm */
/* A call, of any form, to the program's other pages. */
void put_far_call(struct bgen *g, i32 offset);
/* … to where other code may be the next time, which has to do with that register. */
void put_step(struct bgen *g, int reg);
void put_rr(struct bgen *g, u8 opcode, int reg, int rm);
/* push, pop */
void put_push(struct bgen *g, int reg);
void put_pop(struct bgen *g, int reg);

/* ---- block_special.c ---------------------------------------------------------------------------
 */

void shape_block_string(struct bgen *g);
void shape_far_bit(struct bgen *g);
void shape_all_flags(struct bgen *g);
void shape_read_segment(struct bgen *g);
void shape_crossing(struct bgen *g);
void shape_patched_step(struct bgen *g);
void shape_moved_stack(struct bgen *g);
void shape_shared_base(struct bgen *g);

/* ---- block_loop.c ------------------------------------------------------------------------------
 */

void shape_stream_loop(struct bgen *g);
void shape_search_loop(struct bgen *g);

/* ---- block_compat.c ----------------------------------------------------------------------------
 */

/* 64-bit code for the same without REX: returns its length. */
unsigned compat_narrow(u8 *b, unsigned n);
/* What only 32-bit code has. */
void shape_compat(struct bgen *g);

/* ---- block_shape.c ----------------------------------------------------------------------------
 */

void put_shapes(struct bgen *g, unsigned n);
/* The item after the present ones is what this one refers to. */
void aim_here(struct bgen *g, int item);
int put_jcc(struct bgen *g, int to);
/* A loop of n iterations from the item `start` on: before it, and its end. */
void set_counter(struct bgen *g, int counter, unsigned n);
void put_back_edge(struct bgen *g, int counter, int start);
/* One that shapes may call from now on. */
void put_function(struct bgen *g);

#endif
