/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_TRANSLATE_GEN_H
#define ENGINE_TRANSLATE_GEN_H

/*
 * What the parts of the generator share: gen.c (one instruction after the other), access.c (memory
 * operands and their checks), flow.c (jumps, calls, returns, exits), count.c (the virtual clock).
 *
 * Cold code (slow paths, exits) is noted as a stub and emitted behind the region.
 */
#include "engine/translate/loop.h"

/* What a check recomputes into T0 when it has failed. */
enum ea_kind { EA_OPERAND, EA_STACK, EA_FRAME, EA_BITS, EA_RDI };

enum stub_kind {
	STUB_SLOW,  /* a check failed: let C make it possible, try again */
	STUB_EXIT,  /* leave at a site */
	STUB_EDGE,  /* a conditional jump that must move flags first */
	STUB_FPU,   /* floating-point state is not the guest's yet */
	STUB_CALL,  /* an indirect call whose target is not in the cache */
	STUB_COPY,  /* of a run: target is its number */
	STUB_GUESS, /* a terabyte was not the one: target is the register */
	STUB_REACH, /* an address is not in its access's range: target is that's number */
	STUB_LOOP,  /* the way into a loop's copy, and that: target is its number, disp the head */
	STUB_LEAVE, /* out of a loop's copy, to an instruction of the region: target */
};

struct stub {
	u8 kind, ea;
	bool bracket;    /* flags are in AX: see flags_bracket */
	bool save;       /* STUB_EDGE: flags to memory */
	bool copies;     /* STUB_REACH: T2 becomes what is compared */
	u8 fstate, fast; /* fast: number of the loop's copy it is of, from 1 on, or 0 */
	u16 insn;
	u32 jump; /* rel32 that leads here */
	u32 back; /* code offset to go back to */
	u32 site;
	i32 disp; /* EA_STACK */
	i32 target;
};

struct fixup {
	u32 rel;
	u16 insn;
	u8 fast; /* as stub.fast */
	bool back;
};

/* Accesses with one check, see group.c. The range of bytes is seen from `at`. */
struct group {
	u8 base, index, shift, slot;
	bool range, write, open, used, bracket;
	u8 fstate;
	u16 first, last, at; /* instructions: the first and last access, and the check before it */
	u16 members;
	i64 lo, hi;
	i64 moved; /* what was added to the address since the first access */
	u32 jump;  /* rel32 of the check's failure, 0 before it was made */
	u32 copy;
};

/*
 * What a scratch register holds from one instruction to the next (held.c): what is to be added to
 * base + index << shift, which was `ref` bytes off when that was looked up; or the value of base.
 */
struct held {
	u8 base, index, shift;
	bool live, value;
	i64 ref;
	unsigned mark;  /* places up to then don't rely on it */
	unsigned stamp; /* when it was used last */
};

/* Instructions with groups: from the first that they may begin at, to the last access. */
struct run {
	u16 begin, last, first_group, end_group;
	u8 fstate; /* behind the last, where `back` is */
	u32 back;
};

enum { COPY_INSNS = 128, SWAPS_MAX = 4 };

/* A guest register that lives in memory, and one whose host register it has in a copy: swap.c. */
struct swap {
	u8 hot, cold;
};

/* A loop that has a copy, without checks (fast.c) or with registers swapped (swap.c). */
struct fast_loop {
	u16 head, last, changed;
	u8 nstreams, held, counter, after_fstate; /* held: so many streams have registers */
	i32 counter_step;
	const struct tr_loop_point *at_head;
	u32 after;             /* where the code behind the loop is; 0: it has a label of its own */
	u32 label[COPY_INSNS]; /* in the copy, of heads */
	u8 of[COPY_INSNS];     /* the stream of each instruction, from 1 on */
	struct tr_stream streams[STREAMS_MAX];
	u8 nswaps;
	struct swap swaps[SWAPS_MAX];
	u16 in_state;         /* BIT(guest register) */
	u8 host[GPRS];        /* of the others */
	u32 restore;          /* code: swaps back, and leaves with the site in T1 */
	u32 outs[COPY_INSNS]; /* of heads that are jumped back to: code that leaves there */
};

enum { GROUPS_MAX = 255, RUNS_MAX = 255 };
enum { STUBS_MAX = 6 * REGION_INSNS, FIXUPS_MAX = 3 * REGION_INSNS };

struct gen_work {
	u32 label[REGION_INSNS];    /* of each head */
	u32 sites[REGION_INSNS][2]; /* of each instruction's accesses */
	struct stub stubs[STUBS_MAX];
	struct fixup fixups[FIXUPS_MAX];
	struct tr_entry heads[3 * REGION_INSNS];
	struct group groups[GROUPS_MAX];
	struct run runs[RUNS_MAX];
	struct tr_loop loops[LOOPS_MAX];
	struct fast_loop fast[LOOPS_MAX];
	struct tr_place places[REGION_INSNS];
	struct tr_point points[POINTS_MAX];
	u16 point_heads[POINTS_MAX]; /* of a jump back: where to, from 1 on; 0: `to` is known */
	u32 outs[REGION_INSNS];      /* of heads of loops: the code that leaves there */
	struct tr_address addresses[ADDRESSES_MAX];
};

struct gen {
	struct alc_vcpu *v;
	struct tr *t;
	struct code *c;
	struct gen_context *in;
	struct gen_work *w;
	const struct tr_insn *i; /* the one being emitted */
	unsigned index;
	enum tr_flags fstate;
	unsigned counted; /* instructions that were counted, from this one on */
	unsigned nstubs, nfixups, nheads, nplaces, ngroups, nruns, npoints, naddresses;
	bool full;
	bool copying;        /* a run or a loop, without groups */
	bool holding;        /* this instruction leaves alone what scratch registers hold */
	bool sparing;        /* or what T2 holds */
	unsigned reserved;   /* a scratch register with a value that is yet to be stored, or 0 */
	struct held held[3]; /* of T0, T1, T2 */
	unsigned stamp;
	unsigned nfast, nloops;
	const struct fast_loop *fast; /* whose copy is being emitted */
	unsigned kept;                /* BIT(register): scratch registers with a stream of its */
};

/* In the copy of a run that is for failed checks: fast.c's copies are anything but cold. */
static inline bool gen_is_cold(const struct gen *g)
{
	return g->copying && !g->fast;
}

/* A checked memory operand: where it is in the host, and which scratch registers that takes. */
struct access {
	struct hmem m;
	unsigned busy; /* BIT(register) */
	u32 site;
};

/* Of an entry, which are written over when the region dies. */
enum { ENTRY_BYTES = 5 };

/* gen.c */
u64 gen_rip(const struct gen *g, const struct tr_insn *i);
/* An address at a fixed distance from the region's, which goes with it when it moves: move.c. */
void gen_mov_relative(struct gen *g, unsigned reg, u64 va);
/* The displacement of 32 bits that was emitted last is of that one's TLB entry, or slot. */
void gen_note_displacement(struct gen *g, enum tr_address_kind kind);
void gen_note_stays(struct gen *g);                 /* the region is for this address alone */
bool in_state(const struct gen *g, unsigned guest); /* in v->gpr: R8 to R11, but for swaps */
/* FIELD_*: a copy of this register, in a scratch one, takes its place. */
bool field_is_copied(const struct gen *g, const struct tr_insn *i, unsigned field);
unsigned host_reg(const struct gen *g, unsigned guest);
struct hmem state_reg(unsigned guest);
/* Between a scratch register and where R8 to R11 are. */
void gen_load_state(struct gen *g, unsigned reg, unsigned guest);
void gen_store_state(struct gen *g, unsigned guest, unsigned reg);
/* Words are what the stack has: 8 bytes, 4 in 32-bit code, whose addresses they cut too. */
unsigned gen_word(const struct gen *g);
void gen_load_word(struct gen *g, unsigned reg, struct hmem m);
void gen_store_word(struct gen *g, struct hmem m, unsigned reg);
void gen_store_word_imm(struct gen *g, struct hmem m, i32 imm);
void gen_lea_word(struct gen *g, unsigned to, unsigned base, i32 disp);
void gen_move_word(struct gen *g, unsigned to, unsigned from);
u32 new_site(struct gen *g, struct tr_site s);
struct stub *new_stub(struct gen *g, enum stub_kind kind);
/*
 * Here control may go on for long: when the vCPU is kicked, rel leads `to`, or to where it leaves
 * at a loop's head.
 */
void note_point(struct gen *g, u32 rel, u32 to, bool compares);
void note_back(struct gen *g, u32 rel, unsigned head);
void add_entry(struct gen *g, u64 rip, u32 host, bool mem, bool pops, bool live);
void insn_plain(struct gen *g, const struct tr_insn *i);
void main_point(struct gen *g, u32 site); /* the next host instruction may fault as the guest's */
void emit_guest(struct gen *g, const struct tr_insn *i, const u8 *host, const struct hmem *m);
void emit_one(struct gen *g);  /* g->i, without what belongs to its place in the region */
void gen_go_on(struct gen *g); /* behind g->i, if what comes next is somewhere else */

unsigned gen_scratch(struct gen *g, unsigned *busy); /* one that is not, which it is then */
/* The host register that has a guest's: its own, or a scratch one. */
unsigned gen_load_reg(struct gen *g, unsigned guest, unsigned *busy);

void insn_one(struct gen *g, const struct tr_insn *i);
void insn_end(struct gen *g, const struct tr_insn *i);
void push_register(struct gen *g, unsigned reg);

/* special.c */
void insn_read_segment(struct gen *g, const struct tr_insn *i);
void insn_pushf(struct gen *g, const struct tr_insn *i);
void insn_popf(struct gen *g, const struct tr_insn *i);
void insn_flag_bit(struct gen *g, const struct tr_insn *i);
void insn_read_cr2(struct gen *g, const struct tr_insn *i);
void insn_base(struct gen *g, const struct tr_insn *i);
void insn_swapgs(struct gen *g, const struct tr_insn *i);
void insn_sti(struct gen *g, const struct tr_insn *i);
void insn_string(struct gen *g, const struct tr_insn *i);
void insn_bits(struct gen *g, const struct tr_insn *i);

/* x87.c */
void x87_site(struct gen *g, const struct tr_insn *i, u32 site); /* that of its fault point */
void x87_data_pointer(struct gen *g, const struct tr_insn *i);   /* behind it; takes scratch */

/* ring.c */
/*
 * ring.c, for the runtime: RFLAGS from T0, which takes T1; CS and SS from images at offsets of GS;
 * CPL, what the engine derives from it, and the stack of pairs, which take T0; a transfer to T0,
 * which the cache of targets of that privilege may know, with the first of two sites in T2.
 */
void ring_store_rflags(struct code *c);
void ring_load_segments(struct code *c, i32 cs, i32 ss);
void ring_switch(struct tr *t, unsigned user);
void ring_transfer(struct tr *t, unsigned user);
void insn_ring(struct gen *g, const struct tr_insn *i);
void insn_answer(struct gen *g, const struct tr_insn *i);

/* access.c */
void flags_to_memory(struct gen *g); /* and fstate is FLAGS_MEM */
void flags_to_host(struct gen *g);
bool flags_prepare(struct gen *g); /* before a check: does it need a bracket? */
void flags_bracket(struct gen *g);
void flags_unbracket(struct gen *g);
struct access access_operand(struct gen *g, const struct tr_insn *i);
/* A word at [RSP + disp] or at [RBP]. */
struct access access_stack(struct gen *g, i32 disp, unsigned access);
struct access access_frame(struct gen *g);
/* The element of a bit string, in T0; its bit's number in T2. */
struct access access_bits(struct gen *g, const struct tr_insn *i);
/* T1 = byte offset in the TLB of the entry for the address in T0; takes flags. */
void tlb_entry_offset(struct gen *g);
void tlb_entry_offset_of(struct gen *g, unsigned reg); /* the address is in another register */
i32 tlb_tag_off(const struct gen *g, unsigned access);
i32 tlb_addend_off(const struct gen *g);
/* The address in T0 and the addend in T1. */
struct access at_address(struct gen *g, const struct tr_insn *i, u32 site);
u32 access_site(struct gen *g, unsigned size, unsigned access, bool stack);
void ea_operand(struct gen *g, const struct tr_insn *i); /* into T0; takes T1 */
void ea_offset(struct gen *g, const struct tr_insn *i);  /* the same without the segment's base */
/* T2 is in use: the operand's address is to be made a second time in T0, when T1 has its addend. */
bool ea_again(struct gen *g, const struct tr_insn *i);
void stub_slow(struct gen *g, const struct stub *s);

/* held.c: around each instruction; and a scratch register becomes something else. */
void held_before(struct gen *g);
void held_after(struct gen *g);
void held_none(struct gen *g);
void held_drop(struct gen *g, unsigned reg);
bool held_in(const struct gen *g, unsigned reg);
/* The register that holds what to add to the operand's address, or a guest register's value; or 0.
 */
unsigned held_addend(struct gen *g, const struct tr_insn *i, i64 disp);
unsigned held_value(struct gen *g, unsigned guest);
unsigned held_where(struct gen *g, unsigned guest); /* the same, and it isn't used by that */
/* Of those that aren't BIT(register) in busy: free, or what was not used for longest. */
unsigned held_oldest(struct gen *g, unsigned busy);
/* A register to be loaded, but not this one: free, or what was not used for longest. */
unsigned held_take(struct gen *g, unsigned but);
/* It holds that from now on. */
void hold_addend(struct gen *g, unsigned reg, const struct tr_insn *i, i64 ref);
void hold_value(struct gen *g, unsigned reg, unsigned guest);

/* Shared with window_access.c. */
u64 constant_address(const struct gen *g, const struct tr_insn *i);
/*
 * What code has of it (only what is relative to RIP moves): itself, or rounded; in the displacement
 * emitted last; and in 32 bits, where it can't be moved.
 */
void constant_mov(struct gen *g, const struct tr_insn *i, unsigned reg, u64 gva);
void constant_displacement(struct gen *g, const struct tr_insn *i, enum tr_address_kind kind);
void constant_short(struct gen *g, const struct tr_insn *i);
unsigned fields_copied(const struct gen *g, const struct tr_insn *i);

/* window_access.c: does the instruction go by windows? Then its operand, or one at [base + disp].
 */
bool windows_for(const struct gen *g, const struct tr_insn *i);
void stub_guess(struct gen *g, const struct stub *s);
/* How many scratch registers, at most. */
unsigned window_takes(const struct gen *g, const struct tr_insn *i);
/* reg = what is to be added to the address in `of`; keeps flags. */
void window_slot(struct gen *g, unsigned reg, unsigned of);
struct access window_operand(struct gen *g, const struct tr_insn *i);
struct access window_at(struct gen *g, unsigned guest_base, i32 disp, unsigned size,
			unsigned access);

/* The check of a group, whose addend comes into T1; returns its jump for when it fails. */
u32 access_group_check(struct gen *g, const struct group *p, bool bracket);
void group_address(struct gen *g, const struct group *p); /* its least one, into T0; takes T1 */

/* group.c */
void groups_find(struct gen *g);
bool groups_underway(
	const struct gen *g); /* is a check made before this instruction needed in it or behind? */
void groups_before(struct gen *g);
void groups_after(struct gen *g);
bool group_addend(struct gen *g, unsigned number);
void stub_copy(struct gen *g, const struct stub *s);

/* fast.c */
void fast_find(struct gen *g);                       /* before groups_find */
bool fast_ends(const struct gen *g, unsigned index); /* is that the last of such a loop? */
struct fast_loop *fast_over(const struct gen *g, unsigned index); /* that it is in, or NULL */
bool fast_jump_back(struct gen *g, u32 rel, unsigned to); /* from g->i; true: rel is cared for */
void fast_note_after(struct gen *g);
bool fast_has(const struct gen *g); /* does the memory operand need no check? */
struct access fast_operand(struct gen *g, const struct tr_insn *i);
void stub_loop(struct gen *g, const struct stub *s);

/* swap.c */
void swap_find(struct gen *g); /* behind fast_find's streams */
void swap_none(struct fast_loop *l);
void swap_choose(const struct gen *g, struct fast_loop *l);
void swap_enter(struct gen *g, const struct fast_loop *l);
/* From here on registers are where they are outside of the copy; keeps flags, and T0 to T2. */
void swap_leave(struct gen *g);
bool swap_is_on(const struct gen *g);
void swap_restore(struct gen *g, struct fast_loop *l); /* makes l->restore */
void swap_outs(struct gen *g, struct fast_loop *l);    /* and l->outs */

/* reach.c */
void reach_find(struct gen *g);
bool reach_wanted(const struct gen *g); /* does g->i have a range of its own? */
struct access reach_operand(struct gen *g, const struct tr_insn *i);
void stub_reach(struct gen *g, const struct stub *s);

/* count.c */
void count_before(struct gen *g, unsigned k); /* instruction k: a run of them may begin there */
void count_after(struct gen *g);

/* flow.c */
void flow_insn(struct gen *g, const struct tr_insn *i);
void flow_fixup(struct gen *g, u32 rel, unsigned insn);      /* rel leads to that one's head */
void flow_leave_copy(struct gen *g, u32 rel, unsigned insn); /* or to that in the region itself */
void flow_edge(struct gen *g, i32 target); /* go to a page offset, wherever that is */
void flow_enter_head(struct gen *g, const struct tr_insn *i);
void flow_leave(struct gen *g, u32 site);
void flow_stub(struct gen *g, const struct stub *s);
void flow_fpu_check(struct gen *g);

#endif
