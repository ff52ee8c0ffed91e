/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_TRANSLATE_CODE_H
#define ENGINE_TRANSLATE_CODE_H

/* What is known of translated code: regions, their entries, and where they may leave (cache.c). */
#include "engine/interp/interp.h"

struct tr_region;

/* Where arithmetic flags are at a point of translated code. */
enum tr_flags { FLAGS_HOST, FLAGS_MEM };

/* Places at which translated code may leave. */
enum tr_site_kind {
	SITE_INTERP,    /* the interpreter goes on at rip */
	SITE_STEP,      /* it runs one instruction, which leads anywhere */
	SITE_ONE,       /* it runs one instruction, then `resume` goes on */
	SITE_LINK,      /* to rip; the jump at `patch` can be made to lead there */
	SITE_INDIRECT,  /* to the address in tr.exit_target; see `undo` */
	SITE_ATTENTION, /* at rip, because v->attention is set */
	SITE_GONE,      /* an entry of code that is not valid any more */
	SITE_HOT,       /* a join that is taken often: join.c */
	SITE_KINDS,
};

/* A site's number where there is none. */
enum { NO_SITE = 0 };

/* ANSWER_RETURN: of an IRETQ that the interpreter makes, SITE_STEP. */
enum tr_answer {
	ANSWER_NONE,
	ANSWER_TSC,
	ANSWER_PAUSE,
	ANSWER_CPUID,
	ANSWER_CR3,
	ANSWER_INVLPG,
	ANSWER_RETURN,
};

struct tr_site {
	u64 rip;
	struct tr_region *region;
	union {
		u32 resume;  /* SITE_ONE: code offset */
		u32 fop;     /* SITE_INTERP of an x87 instruction */
		i32 undo;    /* SITE_INDIRECT: what to add to RSP if the target is not canonical */
		u32 restore; /* SITE_INTERP with registers swapped: the code that a fault goes on at
			      */
	};
	u32 kind : 4;
	u32 flags : 1;    /* enum tr_flags */
	u32 next : 4;     /* SITE_ONE: length of the instruction */
	u32 answer : 3;   /* SITE_ONE: enum tr_answer, what C does without leaving */
	u32 locked : 1;   /* must not cross a cache line */
	u32 stack : 1;    /* checked by the range cache of RSP */
	u32 access : 1;   /* X86_READ or X86_WRITE */
	u32 size : 7;     /* of the operand */
	u32 raises : 1;   /* other exceptions of the instruction may go before its page fault */
	u32 uncount : 10; /* instructions that were counted but come after this place */
	u32 swapped : 1;  /* see swap.c */
};

/* As it is kept. */
struct tr_slot {
	u32 region : 17; /* its number in the segment */
	u32 off : 13;    /* of rip, from the region's page on */
	u32 raises : 1, swapped : 1;
	u32 kind : 4, flags : 1, next : 4, answer : 3, locked : 1, stack : 1, access : 1, size : 7,
		uncount : 10;
	u32 value; /* resume, undo, fop; SITE_LINK: the number of its link in the segment */
};

_Static_assert(sizeof(struct tr_slot) == 12, "there are as many as memory operands");

/* What else belongs to a SITE_LINK. */
struct tr_link {
	i32 target; /* distance of rip from the page's beginning */
	u32 patch;  /* code offset of a rel32 */
	u32 stub;   /* and to which it led at first */
	u32 known;  /* the number of the user page's mapping that it relies on, or 0 */
	/*
	 * A rel32 that may lead to entries for which no flags live, or 0; where it led at first;
	 * the entry's code to which it leads now, or 0; and the next site of which such a jump
	 * leads to the same entry.
	 */
	u32 dead, dead_stub, dead_entry, dead_next;
};

struct tr_entry {
	u64 rip;
	struct tr_entry *next; /* of the same hash */
	struct tr_region *region;
	u32 host;            /* code offset */
	u32 dead_links : 28; /* the first site whose `dead` leads here, or 0 */
	bool mem : 1;        /* flags in memory: jumps may be linked here */
	bool pops : 1;       /* where a callee returns to, with the pair on the stack */
	bool live : 1;       /* flags may be read */
	bool dead : 1;       /* of a dead region */
};

/* An instruction of a region, by which join.c finds a way to it. */
struct tr_place {
	u32 host;        /* code offset */
	u16 off;         /* in its page */
	bool load_flags; /* flags must be the host's there */
	bool live;       /* they may be read there */
};

/* As it is kept: its code's distance from that of the one before, or from the region's. */
struct tr_packed_place {
	u16 off : 12, load_flags : 1, live : 1;
	u16 distance;
};

/* A rel32 that leads out of translated code instead when the vCPU is kicked: kick.c. */
struct tr_point {
	u32 rel;
	u32 to : 31;      /* code offset */
	u32 compares : 1; /* of a JNE in front of an indirect transfer: always taken then */
};

/*
 * Where code has an address of its own page's neighbourhood: move.c. Of user code that may be
 * anywhere, all other knowledge is relative to the page.
 */
struct tr_address {
	u32 at : 30;  /* code offset */
	u32 kind : 2; /* enum tr_address_kind */
};

/* The latter two are displacements, for the address before this one. */
enum tr_address_kind { ADDRESS_ITSELF, ADDRESS_TLB, ADDRESS_SLOT };

/* What was there before. */
struct tr_patch {
	u32 at, was;
	bool compares;
};

struct tr_region {
	/* What is looked at in all regions of a page, of which there are many: together. */
	struct alc_page *page;
	u32 gen, mode;
	u64 lines; /* of the page that have places, 64 bytes each */
	struct tr_region *view_next;
	struct tr_region *page_next; /* of the same page */
	u64 rip;
	bool dead, stays; /* stays: it can't be moved */
	u8 fpu;           /* UNIT_* */
	u32 second_id;    /* of a user's page2: what is checked on entry; else 0 */
	/* The others. */
	struct alc_page *page2;  /* the next one, where it goes on (region.c), or NULL */
	struct tr_region *whole; /* this stands for the second page of that one, and has no code */
	u16 nheads, nplaces, npoints, naddresses, nlinks;
	u32 first_link; /* its number in the segment */
	u32 join;       /* its number if it is a join, which is a region without places */
	struct tr_entry *mem_heads; /* array */
	u32 begin, end;             /* code offsets */
	union {
		struct tr_packed_place *places; /* to come in at, in the order of addresses */
		struct tr_region *into;         /* of a join; NULL: that has gone */
	};
	struct tr_point *points; /* by which control goes on from here, or round */
	struct tr_address *addresses;
	struct tr_region *joins; /* those that lead into this one, by page_next */
};

/* What was found for an address, or that there is nothing; holds for that epoch and mode. */
struct tr_lookup {
	u64 rip, epoch;
	u32 mode;
	bool uncovered; /* nor has any region its instruction (join.c) */
	struct tr_entry *entry;
};
_Static_assert(64 % sizeof(struct tr_lookup) == 0, "none lies in two of the host's lines");

/* A page of code at one of the addresses where it was seen: regions that have places. */
struct tr_view {
	u64 va;
	const struct alc_page *page;
	u32 mode;
	struct tr_region *regions; /* by view_next */
	u64 lines;                 /* of those, and maybe of some that are dead */
	u64 moved;                 /* there, or made: in cycles */
	struct tr_view *next;
};

struct tr_page_id {
	u64 va;
	const struct alc_page *page;
	u32 id;
	struct tr_page_id *next;
};

/* What leads into a segment from another one: a site that is linked, or a jump over an entry. */
struct tr_way {
	u32 from;   /* the site, or the entry's code offset */
	u32 serial; /* of the segment where that is */
	bool is_jump;
};

enum { SEGMENTS = 16, SITE_SHIFT = 20 };

/* See store.c and evict.c. */
struct tr_segment {
	u32 begin, end; /* code offsets */
	u32 at;         /* where code goes on, unless it is tr.segment */
	u32 serial;     /* another one each time that it was dropped */
	u32 nsites, nlinks, nfaults, norder, nways;
	u32 sites_max, links_max, faults_max, order_max, ways_max;
	struct tr_slot *sites;
	struct tr_link *links;
	struct tr_fault_point *faults;
	struct tr_region **order; /* by code offset */
	u8 *arena;
	size_t nbytes, arena_size;
	struct tr_way *ways;
	u64 uses; /* how often translated code was left there, lately */
};

#endif
