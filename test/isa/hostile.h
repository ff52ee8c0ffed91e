/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_HOSTILE_H
#define TEST_ISA_HOSTILE_H

#include "block.h"
#include "forms.h"
#include "hostile_map.h"
#include "kernel.h"

/*
 * Programs that reach for what isn't theirs: with every form of operand, at addresses around each
 * boundary of the address space, and at those where the process of the machine has its own memory.
 * A program is a list of slots. Each names the place where to go on should it fault, sets registers
 * so that an address comes out, and accesses it; what it got goes to the results. All slots are run
 * several times, so that what an engine remembers of the first time is used.
 *
 * In the window: cells and results, code and once more the code without the right to execute, and
 * the pages that kernel.h's software interrupts change. Everything else is mapped where the program
 * wants it.
 */
enum {
	HP_CELLS = 0,
	HP_RESULTS = 1, /* two */
	/* PAGE_DEMAND, PAGE_REMAP, PAGE_WRITABLE, PAGE_STEPS */
	HP_CODE = 16, /* four */
	HP_CODE_END = HP_CODE + HG_CODE_PAGES,
	HP_CODE_ALIAS = 24, /* four, writable */
	HP_END = 28,
};

enum {
	HOSTILE_CODE = HG_CODE_PAGES * 0x1000,
	HOSTILE_SLOTS = 48,
	HOSTILE_EDGES = 6,
	HOSTILE_PLACES = 1024,
	HOSTILE_ROUNDS = 3,
};

/* An address worth reaching for. */
struct place {
	u64 addr;
	char name[48];
};

/* A boundary of the program's: the entries of the pages below and above; 0: absent. */
struct edge {
	struct place at;
	u64 pte[2];
};

struct slot {
	u16 at, len; /* in the code; its code is NOPs once it was taken away */
	bool gone;
};

struct hostile {
	u64 seed, fill, base; /* WINDOW or WINDOW_HIGH */
	u8 bits, cpl;
	bool open_code; /* it can write to its code, and does, but at random nowhere near */
	u32 fs_limit;
	struct case_state in;
	struct edge edge[HOSTILE_EDGES];
	struct slot slot[HOSTILE_SLOTS];
	unsigned slots;
	u8 code[HOSTILE_CODE];
};

/* ---- hostile_host.c: the process's own memory ------------------------------------------------ */

/*
 * Pages next to each mapping that there is, and blocks among those of the heap, are filled with a
 * pattern. hostile_watch() is called before, between and after guests are made.
 */
struct watch;
struct watch *watch_create(void); /* NULL: out of memory */
void watch_destroy(struct watch *w);
bool watch_heap(struct watch *w);
bool watch_mappings(struct watch *w);
/* Which page or block has changed; NULL: none. */
const char *watch_broken(struct watch *w);
/* Where mappings begin and end; returns how many. */
unsigned host_places(struct place *to, unsigned max);

/* ---- hostile_guest.c --------------------------------------------------------------------------
 */

struct hostile_guest {
	struct world world;
	u8 *image, *empty;
};

struct hostile_outcome {
	struct case_outcome cpu;
	u8 ram[WORLD_RAM];
};

int hostile_guest_create(struct hostile_guest *g, const struct alc_engine *engine,
			 const struct settings *settings, struct alc_err *err) ALC_MUST_CHECK;
void hostile_guest_destroy(struct hostile_guest *g); /* zeroed is fine */
void hostile_guest_run(struct hostile_guest *g, const struct hostile *h,
		       struct hostile_outcome *out);
/* The first difference, in words; NULL: none. */
const char *hostile_difference(const struct hostile_outcome *a, const struct hostile_outcome *b);
void hostile_print_difference(const struct hostile *h, const struct hostile_outcome *a,
			      const struct hostile_outcome *b);

/* ---- hostile_form.c, hostile_shape.c ----------------------------------------------------------
 */

struct hostile_menu {
	struct forms forms;
	u32 *mem; /* forms with a memory operand that programs may have */
	u32 count;
};

bool hostile_menu_create(struct hostile_menu *m, unsigned bits);
void hostile_menu_destroy(struct hostile_menu *m);

struct hgen {
	struct rng r;
	const struct hostile_menu *menu;
	struct hostile *h;
	const struct place *places;
	unsigned nplaces;
	unsigned at; /* of the next byte of code */
	u64 ram;     /* where the process has the guest's RAM */
	bool full;
	u32 undefined; /* flags, after the last instruction of put_form() */
};

/* An address, as an operand of an instruction has it. */
struct operand {
	int base, index; /* registers, or -1 */
	unsigned scale;  /* a shift */
	i64 disp;
	u8 disp_size; /* 0, 1 or 4 */
	u8 segment;   /* a prefix, or 0 */
	bool a32, relative;
	u64 target; /* relative: the address itself */
};

void put(struct hgen *g, const void *bytes, unsigned n);
void put_imm(struct hgen *g, int reg, u64 v);
unsigned registers(const struct hgen *g);
u64 here(const struct hgen *g);
/* Sets registers so that an operand's address is that one; `not`: registers to be left alone. */
struct operand put_operand(struct hgen *g, u64 addr, u32 not );
/* What a form does with memory. */
struct draft {
	u16 size;
	bool locks; /* it can be locked, and then is slow across cache lines */
	u8 align;   /* what the address must be a multiple of */
};
bool draft_any(struct hgen *g, struct draft *d, const struct form **form);
/* An instruction of that form, locked now and then; false: it can't have the operand. */
bool put_form(struct hgen *g, const struct form *t, const struct operand *o, int reg);
/* The opcode as it is; without an immediate operand, and not relative. */
void put_plain(struct hgen *g, const struct form *t, const struct operand *o, int reg);
int any_but(struct hgen *g, u32 not );
u64 any_part(struct hgen *g);

/* ram: where the second engine's process has the guest's RAM. */
void hostile_generate(const struct hostile_menu *m, u64 seed, unsigned bits,
		      const struct place *places, unsigned nplaces, u64 ram, struct hostile *h);
void hostile_print(const struct hostile *h);
/* Its code becomes NOPs. */
void hostile_drop(struct hostile *h, unsigned slot);

#endif
