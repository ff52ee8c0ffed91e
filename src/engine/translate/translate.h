/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_TRANSLATE_TRANSLATE_H
#define ENGINE_TRANSLATE_TRANSLATE_H

/*
 * The translator: 64-bit guest code, and user mode's 32-bit code under a 64-bit kernel, becomes
 * host code that runs in this process.
 *
 * Built around the interpreter, which runs whatever is cold, rare or 16-bit, and to which
 * translated code deoptimises; both share one software TLB. Each vCPU has its own translations,
 * so nothing below is shared between threads unless it says so.
 *
 * Registers. Guest RAX, RCX, RDX, RBX, RBP, RSI, RDI and R12-R15 live in the host's registers of
 * the same names, guest RSP in host R8. Guest R8-R11, the least used, live in v->gpr. Host R9, R10
 * and R11 are scratch. GS points to struct alc_vcpu, behind which struct tr lies. Host RSP is a
 * stack of return pairs (flow.c).
 *
 * Flags. The host's arithmetic flags are the guest's. Checks of memory accesses destroy them, so
 * liveness is computed (liveness.c) and only what may be read again is kept: in AH and AL around
 * the check, or in tr.flags_mem, where jumps between regions want them.
 *
 * SIMD registers and the x87 state are the guest's while tr.fpu_in says so. C code runs only after
 * they are saved, but for that of a slow access, which x87 state doesn't hinder.
 */
#include <stdatomic.h>

#include "engine/interp/interp.h"
#include "engine/translate/code.h"
#include "engine/translate/emit.h"
#include "engine/translate/engine.h"
#include "engine/translate/insn.h"
#include "engine/translate/window.h"

struct tr;

/* Host registers with a role. */
enum { H_RSP = 8, T0 = 9, T1 = 10, T2 = 11 };

struct tr_jump {
	u64 rip;
	const u8 *host;
};

/* A run of the address space around RSP, all of it writable RAM that is contiguous in the host. */
enum { RANGE_SIZES = 9 };

struct tr_range {
	u64 base, limit[RANGE_SIZES]; /* by the operand's size, 1 to 256 bytes: its length less that
				       */
	u64 addend;
};

/* The range of an access that may be anywhere: reach.c. */
struct tr_reach {
	u64 base, limit, addend; /* limit: its length less the operand's */
	u32 misses;              /* so many more before C is asked */
};

struct tr_reach_info {
	u32 check, back, miss, miss_end, slow_jump, slow; /* code offsets */
	u8 size, bad;
	bool write, user, set, given_up;
	u64 since; /* the TSC when the range was set, or 0 */
};

enum {
	JUMP_CACHE = 16384, /* by tr_jump_index() */
	PAGE_CACHE = 16384, /* tr.page_ids */
	PAGE_LOG = 2048,
	USER_CODE = 4096, /* bits of tr.user_code */
	JUMP_LOG = 2048,
	REGIONS_MAX = 1 << 17,
	WINDOW_BANS = 1 << 15, /* tr.window_bans */
	WINDOW_GUESSES = 256,
	JOIN_COUNTS = 4096,
	HEAT = 1 << 18, /* tr.heat */
	KERNEL_PAGES = 8192,
	LOOKUPS = 16384,      /* tr.lookups */
	ENTRY_HASH = 1 << 17, /* tr.entries */
	VIEW_HASH = 8192,
	REGION_HASH = 4096,
	HITS_MAX = 64,
	ADDENDS = 32,
	REACHES = 16384,
	FAST_STREAMS = 8,
	POINTS_MAX = 2048,   /* of a region */
	ADDRESSES_MAX = 512, /* of a region; with more it stays */
	UNMOVED = 1024,      /* tr.unmoved */
	RING_JUMPS = 5,      /* from ring to ring, or back */
	X87_AREA = 576,
	PAIR_STACK = 256 << 10,
};

/* What of the translator can be switched off, to be measured or to find a bug. */
enum tr_feature {
	TR_LINK,     /* direct jumps between regions */
	TR_JUMPS,    /* the cache of indirect targets */
	TR_PAIRS,    /* returns by the host's RET */
	TR_RANGE,    /* the range cache of RSP */
	TR_LIVENESS, /* without it all flags are kept always */
	TR_CONSTANT, /* short checks of constant addresses */
	TR_GROUPS,   /* one check for several accesses */
	TR_LOOPS,    /* innermost loops without checks */
	TR_SWAPS,    /* loops with hot registers of memory in those of cold ones */
	TR_DIRECT,   /* the vCPU's state by its address instead of GS */
	TR_RELATIVE, /* and that relative to RIP */
	TR_REACH,    /* ranges of accesses in loops */
	TR_JOINS,    /* ways into the middle of regions */
	TR_RING,     /* SYSCALL, SYSRET and IRETQ from translated code to translated code */
	TR_ANSWERS,  /* system instructions that C does without leaving it */
	TR_WINDOWS,  /* the host's MMU for guest memory */
	TR_GUESSES,  /* and guessing where an address is */
	TR_HELD,     /* keeping what scratch registers have from one instruction to the next */
	TR_X87,      /* x87 and MMX instructions */
	TR_EVICTION, /* of the coldest part of the cache when it is full, rather than of all */
	TR_MOVES,    /* code that is elsewhere in another address space goes with it */
	TR_KICKS,    /* signals, rather than looks at `attention` */
	TR_SPANS,    /* regions of two pages, where a loop lies across */
	TR_FEATURES,
};
/* Deliberate harshness, for tests. */
enum tr_poison {
	POISON_TLB,    /* the TLB is emptied at every slow access */
	POISON_FLUSH,  /* all translations are dropped often */
	POISON_RANDOM, /* … or now and then */
	POISON_STEP,   /* every entry leaves again */
	POISON_PAIRS,  /* hardly any room for return pairs */
	POISON_CUT,    /* regions have a few instructions */
	POISON_EVICT,  /* parts of the cache are dropped often */
	POISON_MOVE,   /* code moves however often it has */
	TR_POISONS,
};

/* What translated code uses of the host where there is it, and does without where not. */
enum tr_host_part {
	TR_HOST_AVX,
	TR_HOST_BMI2,
	TR_HOST_FSGSBASE,
	TR_HOST_XSAVE,
	TR_HOST_PARTS,
};

/*
 * Checks that the runtime makes for code that is run seldom: of operands of 1 to 32 bytes that are
 * read, of such that are written, and of words in the range around RSP.
 */
enum { CHECK_SIZES = 6, CHECK_RANGE = 2 * CHECK_SIZES, CHECKS };
enum { CHECK_SIZE_MAX = 1 << (CHECK_SIZES - 1) };

/* Entry points of the runtime in the code cache: offsets (trampoline.c). */
struct tr_runtime {
	u32 enter, leave, slow, reach, gone, indirect, return_miss[2], range_miss[2], syscall,
		sysret, iret, step;
	u32 enter_check, enter_end; /* between them nothing has happened yet: kick.c */
	u32 ring_begin, ring_end;
	struct {
		u32 begin, looked, end; /* looked: at `attention` */
	} ask[2];                       /* what calls C, and comes back */
	u32 leave_tail; /* what is left of leaving where the guest's state is kept */
	u32 leave_end;
	u32 load_fpu[4]; /* by UNIT_*: what of these is not in yet; takes flags and scratch */
	u32 load_vector, save_vector, load_x87, save_x87;
	u32 checked[2][CHECKS]; /* by user mode */
};

/* An exact host address at which a guest instruction may fault, in ascending order. */
struct tr_fault_point {
	u32 off, site;
};

/* What SYSCALL (0) and SYSRET (1) load, for these values of MSRs: ring.c. */
struct tr_ring {
	u64 star, efer;
	struct x86_seg cs[2], ss[2];
};

/* What translated code knew of an address space that does not run: spaces.c. */
struct tr_space {
	u64 epoch; /* of its lower half: interp.epoch; 0: this place is free */
	u64 used;  /* when, by tr.spaces_used */
	u32 mode;  /* tr.key_mode[1] */
	bool low_kernel;
	u32 npages, njumps;
	u16 page_at[PAGE_LOG], jump_at[JUMP_LOG];
	u32 page_id[PAGE_LOG];
	struct tr_jump jumps[JUMP_LOG];
	u64 user_code[USER_CODE / 64];
};

/* An IRETQ that was made: selectors, descriptors, and what was loaded (return.c). */
struct tr_return {
	u64 cs_sel, ss_sel; /* as words of a frame */
	u64 cs_raw, ss_raw;
	u32 cs_off, ss_off, limit; /* in the GDT; limit: of both */
	struct x86_seg cs, ss;
};

/* What the slot of a terabyte says: window_access.c. */
struct tr_guess {
	u64 terabyte, addend;
};

struct tr {
	struct interp c;
	_Alignas(64) u8 x87[X87_AREA]; /* an XSAVE area for x87 state alone */
	_Alignas(64) struct tlb_entry tables[TLB_TABLES * TLB_SIZE];
	struct tr_jump jumps[2][JUMP_CACHE]; /* by user mode */
	struct tr_range range[2];
	u64 slots[WINDOW_SLOTS]; /* user mode's windows: what to add to an address */
	struct tr_guess guesses[WINDOW_GUESSES];
	u32 page_ids[PAGE_CACHE]; /* which user code pages are where translated code believes */
	u64 addends[ADDENDS];     /* of groups of accesses, within a run of instructions */
	u64 held[FAST_STREAMS], fast_end, n_fast_runs; /* fast.c, within a loop */
	u8 high_byte;                                  /* gen.c, within an instruction */
	struct tr_reach reaches[REACHES];
	/* Used by translated code and the runtime */
	struct tr_ring ring;
	struct tr_return returns[3];
	u64 return_kept[4];
	u64 answer;
	u64 host_rsp, slow_rsp, save_rax, exit_target, pair_rsp;
	u64 check_address, check_return;
	const u8 *target;
	u32 joins[JOIN_COUNTS];    /* how often each may be taken yet, before it is hot */
	u32 flags_host, flags_mem; /* AH: as LAHF; AL: OF */
	u32 exit_site;
	u32 host_mxcsr;
	u32 attention_mask;            /* of v->attention: what forbids to enter */
	u8 fpu_in, want_fpu, slow_fpu; /* UNIT_* */
	bool x87_left;                 /* x87 holds what v->fpu is to become */
	bool faulted; /* v->fault is that of the access at which translated code left */
	/* Below only C looks */
	struct tr_vm *vm;
	struct alc_host_code code;
	struct code emit;
	struct tr_runtime rt;
	struct tr_reach_info reach_info[REACHES];
	unsigned nreaches, nreaches_set, nreaches_free;
	u16 reaches_set[REACHES];  /* which have a range */
	u16 reaches_free[REACHES]; /* of those, whose code was dropped */
	u32 code_start;            /* behind the runtime */
	bool zmm;          /* the guest has AVX-512: all of its state is in or out together */
	u32 host_parts;    /* BIT(enum tr_host_part): those to use */
	u8 *pair_stack[2]; /* mapped with guard pages */
	u64 pair_saved[2];
	u32 key_mode[2];            /* by user mode: what jumps and pairs were made under */
	u32 window_mode[2];         /* by user mode: MODE_WINDOWS or 0 */
	struct tr_windows *windows; /* NULL: can't be */
	bool windows_due;           /* something may have changed for them */
	bool windows_lost;          /* the host has not unmapped what it was to */
	u64 window_bans[WINDOW_BANS / 64];
	u8 window_misses[WINDOW_BANS / 8];
	u32 off;       /* BIT(enum tr_feature): tr_vm.off, and what counting excludes */
	bool counting; /* translations keep v->instructions and obey v->run_until (count.c) */
	struct builder *builder; /* region.c's own */
	struct gen_work *work;   /* gen.c's own */
	struct tr_segment segments[SEGMENTS];
	struct tr_segment *segment; /* to which translations are added */
	u64 drops;                  /* of segments: what was known of translations may be gone */
	u8 *reserved;
	size_t reserved_size;
	struct tr_view *view_pool, *free_views;
	struct tr_page_id *id_pool;
	unsigned nviews, npage_ids;
	struct tr_entry *entries[ENTRY_HASH];
	struct tr_region *regions[REGION_HASH]; /* by page */
	struct tr_view *views[VIEW_HASH];
	_Alignas(64) struct tr_lookup lookups[LOOKUPS];
	/*
	 * How often a block was interpreted, by its guest-physical address and the generation of
	 * its page: hashed, and what falls together is hot a little sooner. Blocks come and go.
	 */
	u16 heat[HEAT];
	/*
	 * A filter, by a hash of pages' addresses: of which user code may page_ids, jumps and pairs
	 * know something?
	 */
	u64 user_code[USER_CODE / 64];
	u32 page_id_next;
	struct tr_page_id *pages[PAGE_CACHE];
	/* Which of page_ids and jumps[1] are in use; more than fit: not known. */
	unsigned npage_log, njump_log;
	u16 page_log[PAGE_LOG], jump_log[JUMP_LOG];
	struct tr_space spaces[TLB_SPACES];
	u64 spaces_used;
	bool low_kernel; /* such code in the lower half may have pairs */
	u32 njoins;
	u64 unmoved[UNMOVED]; /* pages that move.c looked for in vain, by address, and when */
	struct {
		u64 va;
		const struct alc_page *page;
	} kernel_pages[KERNEL_PAGES];
	unsigned nkernel_pages;
	u16 kernel_hash[2 * KERNEL_PAGES]; /* by address: 1 + its number, or 0 */
	struct tlb_large kernel_large;     /* where such pages are parts of large ones */
	bool kernel_nonglobal;             /* one of them may be another in another space */
	/* Pages whose code was written to: by any thread, under hits_lock. */
	_Atomic(bool) hits_lock;
	unsigned nhits; /* > HITS_MAX: more than fit */
	struct alc_page *hits[HITS_MAX];
	/* kick.c */
	_Atomic(bool) inside, kick_sent; /* in translated code, or C that it calls */
	_Atomic(int) tid;                /* of the thread that runs it, or did last */
	struct tr_region *trapped;       /* whose points lead out; NULL: none's do */
	struct tr_region ring_points;    /* as if the way from ring to ring were a region */
	struct tr_point ring_jumps[RING_JUMPS];
	unsigned npatches;
	struct tr_patch patches[POINTS_MAX];
	u64 n_kicks, n_kick_steps, n_patches;
	u64 rng, poison_chances;
	u64 n_regions, n_insns, n_bytes, n_exits[SITE_KINDS], n_slow, n_slow_failed, n_links,
		n_moves, n_moved, n_killed, n_code_flushes, n_evictions, n_evicted_regions,
		n_window_bans, n_faults, n_enters, n_interp_blocks, n_verified, n_fast_loops,
		n_swapped_loops, n_spans, n_constant, n_guesses, n_reaches_left;
};

struct tr_vm {
	struct interp_vm interp;
	struct alc_space_watch watch;
	unsigned threshold;
	u32 off;     /* BIT(enum tr_feature) */
	u32 poison;  /* BIT(enum tr_poison) */
	u32 without; /* BIT(enum tr_host_part): as if the host lacked them */
	enum tr_window_use windows;
	/*
	 * TLB, FLUSH, EVICT and RANDOM happen at one in so many of their chances: whole systems
	 * never come to an end otherwise.
	 */
	u32 poison_every;
	bool spectre; /* addresses are confined even where a check is mispredicted */
	u64 cache_bytes;
	/* observe.c */
	int perf_map; /* a descriptor, or -1 */
	u64 dump_rip;
	_Atomic(bool) dump; /* the region with dump_rip is to be listed, once */
};

static inline struct tr *tr_of(const struct alc_vcpu *v)
{
	return v->engine;
}

static inline bool tr_has(const struct tr *t, enum tr_feature f)
{
	return !(t->off >> f & 1);
}

int tr_kick_signal(void); /* signals.c; 0: there was none to be had */

/* What is off for a whole machine. */
static inline u32 tr_off(const struct tr_vm *vm)
{
	const u32 unmasked = BIT(TR_RANGE) | BIT(TR_CONSTANT) | BIT(TR_GROUPS) | BIT(TR_LOOPS) |
			     BIT(TR_REACH) | BIT(TR_WINDOWS);

	return vm->off | (vm->spectre ? unmasked : 0) | (tr_kick_signal() ? 0 : BIT(TR_KICKS));
}

static inline bool tr_host_has(const struct tr *t, enum tr_host_part p)
{
	return t->host_parts >> p & 1;
}

static inline bool tr_poisoned(const struct tr *t, enum tr_poison p)
{
	return t->vm->poison >> p & 1;
}

static inline bool tr_poison_due(struct tr *t, enum tr_poison p)
{
	return tr_poisoned(t, p) && ++t->poison_chances % t->vm->poison_every == 0;
}

/* 32-bit code: of what is translated only that of user mode in compatibility mode. */
static inline bool tr_compat(u32 mode)
{
	return (mode & MODE_SIZE) == MODE_32;
}

/* Beside the interpreter's: code that accesses memory by windows. */
enum { MODE_WINDOWS = 1 << 30 };

/* What translations are made for, and found by. */
static inline u32 tr_mode(const struct tr *t)
{
	u32 mode = t->c.mode;

	if ((mode & MODE_SIZE) != MODE_64)
		return mode;
	return mode | t->window_mode[(mode & MODE_USER) != 0];
}

/* Offsets from GS. */
#define V_OFF(field) ((i32)offsetof(struct alc_vcpu, field))
#define T_OFF(field) ((i32)(sizeof(struct alc_vcpu) + offsetof(struct tr, field)))

/*
 * Code is aligned, and that of a JIT compiler more so: low bits alone would leave most of the
 * cache empty. Translated code computes the same (e_jump_offset).
 */
enum { JUMP_FACTOR = 0x3779b1, JUMP_SHIFT = 18 };

static inline unsigned tr_jump_index(u64 rip)
{
	_Static_assert(JUMP_CACHE == 1 << (32 - JUMP_SHIFT), "the upper bits of the product");
	return (u32)rip * (u32)JUMP_FACTOR >> JUMP_SHIFT;
}

static inline u16 *tr_heat(struct tr *t, u64 gpa, u32 gen)
{
	_Static_assert(HEAT == 1 << (32 - 14), "the upper bits of the product");
	return &t->heat[((u32)(gpa ^ gpa >> 32) ^ gen << 20) * 0x9e3779b1u >> 14];
}

static inline const u8 *tr_host(const struct tr *t, u32 off)
{
	return t->code.rx + off;
}

/*
 * count.c: what was counted and not executed when translated code left at s; and what was taken
 * back so and comes now, behind the one instruction that the interpreter has run. False: it would
 * go too far.
 */
void tr_count_take_back(struct alc_vcpu *v, const struct tr_site *s);
bool tr_count_again(struct alc_vcpu *v, const struct tr_site *s);
/* May what comes next stop within the next n instructions? */
bool tr_count_near(const struct alc_vcpu *v, unsigned n);
/* Whether somebody wants counting, which translations must know. */
void tr_count_begin(struct alc_vcpu *v, struct tr *t);

/*
 * region.c: translates what starts at RIP; NULL: can't be, or there is no room. whole: also what
 * other regions have already.
 */
struct tr_entry *tr_translate(struct alc_vcpu *v, struct tr *t, bool whole);
void tr_builder_free(struct tr *t);

/* join.c */
/* A region that has places can be joined from now on; false: no room. */
bool tr_view_add(struct tr *t, struct tr_region *r);
/* Marks, for the page at RIP, the offsets of instructions that regions of it have. */
void tr_covered(struct tr *t, const struct alc_page *page, u64 rip, u64 *covered);
/* An entry that leads to RIP's instruction in the middle of a region; NULL: none has it. */
struct tr_entry *tr_join(struct alc_vcpu *v, struct tr *t);
void tr_places_pack(struct tr_region *r, const struct tr_place *places);
void tr_join_hot(struct alc_vcpu *v, struct tr *t, struct tr_region *j);
void tr_view_leave(struct tr *t, struct tr_region *r); /* if it is in one */
struct tr_view *tr_view_of(struct tr *t, const struct alc_page *page, u32 mode, u64 rip);
void tr_view_move(struct tr *t, struct tr_view *w, u64 va);

/*
 * gen.c: code for a decoded region. at[offset]: index of the instruction there, or -1. Offsets are
 * from its page on, below `span`: it may go on in the next one.
 */
enum { REGION_INSNS = 512 };
struct gen_context {
	struct alc_vcpu *v;
	struct tr *t;
	struct tr_region *region;
	struct tr_insn *insns;
	const i16 *at;
	unsigned n, span;
	u64 page_rip; /* linear address of the page */
	bool user, compat, windows;
};
bool tr_generate(struct gen_context *g);
void tr_work_free(struct tr *t);

/* flow.c: jumps, and returns its rel32, unless fpu_in has these units; takes flags. */
u32 e_unless_fpu(struct code *c, u8 units);

/* trampoline.c */
/* T1 = byte offset of the place in the jump cache for the target in T0; takes flags. */
void e_jump_offset(struct code *c);
void tr_emit_runtime(struct tr *t);
void tr_enter(struct tr *t, u32 host, u8 fpu);
/* Called by the runtime: 0 if the access can be made now. */
u64 tr_slow_access(struct alc_vcpu *v, u64 gva, u32 site);

/* reach.c */
void tr_reach_reset(struct tr *t);
void tr_reach_drop(struct tr *t, const struct tr_segment *g); /* the code of some has gone */
void tr_reach_forget(struct tr *t);
u64 tr_reach_missed(struct alc_vcpu *v, u64 gva, u32 n); /* called by the runtime */

/*
 * window_access.c: translated code that goes by windows faulted at a site, at that host address.
 * True: it can go on. And is an instruction better off without them?
 */
bool tr_window_fault(struct tr *t, u32 site, u64 host);
bool tr_window_banned(const struct tr *t, u64 rip);
/* x87.c */
void tr_x87_init(struct tr *t);
void tr_emit_x87(struct tr *t);
void tr_x87_take(struct alc_vcpu *v, struct tr *t); /* v->fpu becomes what was left in tr.x87 */
/* What of the floating-point state an instruction uses; false: only the interpreter can run it. */
bool tr_x87_decode(const struct dec *d, const struct tr *t, struct tr_insn *i);

/* ring.c */
void tr_emit_ring(struct tr *t);
/* answer.c. operand: of an instruction that has one; 0: done. */
u64 tr_answer(struct alc_vcpu *v, const struct tr_site *s, u64 operand);
/* return.c */
void tr_emit_return(struct tr *t, u32 step);
void tr_return_note(struct alc_vcpu *v, struct tr *t);  /* the one just made may come again */
void tr_ring_refresh(struct alc_vcpu *v, struct tr *t); /* for what the MSRs are now */

/* cache.c */
int tr_cache_create(struct tr *t, struct alc_err *err);
void tr_cache_destroy(struct tr *t);
void tr_cache_flush(struct tr *t);
bool tr_cache_full(const struct tr *t); /* nothing can be added before room is made */
void tr_entry_add(struct tr *t, struct tr_entry *e);
void tr_region_add(struct tr *t, struct tr_region *r);
void tr_join_add(struct tr *t, struct tr_region *r, struct tr_region *j);
/* Of a page, and others of the same hash, by page_next. */
struct tr_region *tr_regions_of(struct tr *t, const struct alc_page *page);
/* It is for an address further up now. */
void tr_entry_move(struct tr *t, struct tr_entry *e, u64 distance);
/* The entry for RIP now, or NULL. */
struct tr_entry *tr_lookup(struct alc_vcpu *v, struct tr *t);
/* What was looked up last at RIP is in no region that could be joined; and one may be again. */
bool tr_is_uncovered(struct tr *t, u64 rip);
void tr_set_uncovered(struct tr *t, u64 rip);
void tr_clear_uncovered(struct tr *t, u64 rip);
/* A region is translated anew when it is next needed. */
void tr_region_drop(struct tr *t, struct tr_region *r);
/* Translations of pages that were written to are dropped. */
void tr_take_hits(struct tr *t);
void tr_note_hit(struct tr *t, struct alc_page *p); /* from any thread */
void tr_forget_jumps(struct tr *t, bool kernel);
/* Targets and pairs of user code in va's page. */
void tr_forget_jumps_in(struct tr *t, u64 va);
struct tr_entry *tr_gone_entry(struct tr *t, u32 off);
struct tr_region *tr_region_at(struct tr *t, u32 off); /* whose code that is, or NULL */
void tr_forget_lookups(struct tr *t);
void tr_region_kill(struct tr *t, struct tr_region *r);
/* Takes what a segment has out of the tables; all of its regions are dead already. */
void tr_unlist(struct tr *t, const struct tr_segment *g);
/* Jumps of the guest's and returns of its callees don't lead into a segment any more. */
void tr_forget_targets(struct tr *t, const struct tr_segment *g);
void tr_forget_ranges(struct tr *t);
void tr_jump_clear(const struct tr *t, struct tr_jump *j);
bool tr_jump_is_clear(const struct tr_jump *j);
/* What was translated of a page where that no longer is. */
void tr_kill_view(struct tr *t, const struct alc_page *page, u64 va);
/* Of the supervisor's page at va: -1 if none was translated, else its number in kernel_pages. */
int tr_kernel_page(const struct tr *t, u64 va);
void tr_kernel_pages_changed(struct tr *t); /* some were taken out */
/* What the filter of user code says of va's page. */
bool tr_user_code(const struct tr *t, u64 va);
bool tr_user_code_in(const u64 *filter, u64 va); /* what one put aside says */
void tr_user_code_add(struct tr *t, u64 va);

/* link.c */
/* The number of a user page's mapping, now believed by translated code; not 0. */
u32 tr_page_id(struct tr *t, u64 va, const struct alc_page *page);
/* Jumps, and returns its rel32, unless that is believed; takes flags. */
u32 e_unless_page(struct code *c, u64 va, u32 id);
/* The jump of a SITE_LINK leads to e from now on, as far as that is allowed. */
void tr_link(struct tr *t, u32 site, struct tr_entry *e);
/* Nothing leads to it past what puts flags into memory. */
void tr_unlink_dead(struct tr *t, struct tr_entry *e);
/* A link, out of the list of the entry to which it leads past that; and as it was at first. */
void tr_link_leave_dead(struct tr *t, const struct tr_link *l);
void tr_link_reset(struct tr *t, struct tr_link *l);
/* A join leads to e from now on, which has the same address. */
void tr_join_replace(struct tr *t, struct tr_region *j, const struct tr_entry *e);
/* An entry of a dead region leads to the same place of a living one from now on. */
void tr_replace(struct tr *t, const struct tr_entry *gone, const struct tr_entry *e);
void tr_jump_add(struct tr *t, u64 rip, const struct tr_entry *e);
/* The region's own links lead nowhere. */
void tr_unlink_region(struct tr *t, struct tr_region *r);
/* The page at va may be another one, for the running address space. */
void tr_forget_mapping(struct tr *t, u64 va);
/* Nothing leads to the user code of a page by this address any more. */
void tr_forget_page(struct tr *t, u64 va, const struct alc_page *page);
struct code tr_patch_at(const struct tr *t, u32 at); /* for code made before, in any segment */

/* move.c */
/* User code of RIP's page that is at another address comes here, if there is some: true. */
bool tr_move(struct alc_vcpu *v, struct tr *t);

/* spaces.c */
extern const struct x86_engine_ops tr_ops;
void tr_forget_spaces(struct tr *t);              /* those that don't run */
void tr_forget_spaces_with(struct tr *t, u64 va); /* … and may know user code of va's page */

/* store.c */
size_t tr_code_bytes(u64 cache_bytes); /* for the code of a vCPU whose cache may take that */
int tr_store_create(struct tr *t) ALC_MUST_CHECK;
void tr_store_destroy(struct tr *t);
void tr_store_reset(struct tr *t); /* everything has gone */
size_t tr_used_bytes(const struct tr *t);
struct tr_segment *tr_segment_of(struct tr *t, u32 off);
bool tr_segment_has(const struct tr_segment *g, const void *p); /* in its arena */
bool tr_segment_full(const struct tr *t);
void tr_segment_open(struct tr *t, struct tr_segment *g);
void tr_segment_reset(struct tr *t, struct tr_segment *g);
bool tr_pools_full(const struct tr *t);
void *tr_alloc(struct tr *t, size_t size);
u32 tr_site_new(struct tr *t, const struct tr_site *s); /* 0: no room */
void tr_site_read(struct tr *t, u32 site, struct tr_site *s);
/* The same but for rip and region of a SITE_INDIRECT, which take their time. */
void tr_site_read_exit(struct tr *t, u32 site, struct tr_site *s);
u32 tr_leaves_at(struct tr *t, u32 site); /* by a fault: code offset, with the site in T1 */
struct tr_slot *tr_slot(struct tr *t, u32 site);
u32 tr_site_serial(struct tr *t, u32 site);                         /* of its segment */
bool tr_site_like(struct tr *t, u32 site, const struct tr_site *s); /* the same, of its region */
struct tr_link *tr_link_of(struct tr *t, u32 site);                 /* of a SITE_LINK */
bool tr_fault_point(struct tr *t, u32 off, u32 site);
u32 tr_fault_site(struct tr *t, u32 off);  /* 0: none there */
struct tr_view *tr_view_new(struct tr *t); /* NULL: no room, as below */
void tr_view_free(struct tr *t, struct tr_view *w);
struct tr_page_id *tr_page_id_new(struct tr *t);

/* evict.c */
/* Room for more translations, where tr_cache_full() says so or one turned out not to fit. */
void tr_make_room(struct tr *t);
void tr_evict_some(struct tr *t); /* for POISON_EVICT */
/* To be told of what leads from one segment to another; false: no memory, it must not. */
bool tr_way_of_link(struct tr *t, u32 site, u32 to) ALC_MUST_CHECK;
bool tr_way_of_jump(struct tr *t, u32 from, u32 to) ALC_MUST_CHECK;

/*
 * observe.c: what is done for those who look, when a region was added. page: the guest's bytes,
 * from the beginning of the region's page on.
 */
void tr_observe(const struct gen_context *g, const u8 *page);
int tr_perf_map_open(struct tr_vm *vm, struct alc_err *err) ALC_MUST_CHECK;
void tr_perf_map_close(struct tr_vm *vm);

/* kick.c */
void tr_kick(struct alc_vcpu *v); /* from any thread: v->attention is set */
/* A signal interrupted the thread at *rip, and is to let it go on there. */
enum tr_kick_next { KICK_GO_ON, KICK_STEP } tr_kick_at(struct tr *t, u64 *rip);
/* The ways on from a region lead out; false: it has no code. Or those of none do any more. */
bool tr_kick_trap(struct tr *t, struct tr_region *r);
void tr_kick_restore(struct tr *t);
u64 tr_kick_behind(struct tr *t); /* called by the runtime: 0 if what called that will leave */
/* Around what runs translated code. */
void tr_kick_enter(struct tr *t);
void tr_kick_left(struct tr *t);

/* signals.c: the process's handlers, and a thread's part of it: signal stack and GS. */
int tr_signals_install(struct alc_err *err);
void tr_signals_thread(struct tr *t); /* NULL: not in translated code from now on */
struct tr *tr_current(void);
/* Where a stack of pairs begins. */
u64 tr_pair_base(const struct tr *t, unsigned user);
/* The stack at rsp is full: it begins anew with what was on top; returns the new RSP. */
u64 tr_pairs_restart(struct tr *t, unsigned user, u64 rsp);

enum alc_exit tr_run(struct alc_vcpu *v, struct alc_err *err);

#endif
