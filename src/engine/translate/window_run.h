/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_TRANSLATE_WINDOW_RUN_H
#define ENGINE_TRANSLATE_WINDOW_RUN_H

/*
 * What window.c (which spaces have windows, and when) and window_run.c (what is mapped in them)
 * share.
 *
 * A run is what one page table of the guest maps: 2 MiB of a space, with the entries as they were
 * when their pages were mapped. Verifying a space compares them with what the tables hold now.
 */
#include "engine/translate/translate.h"

enum {
	RUN_PAGES = 512,
	RUN_HASH = 1024,
	PAGE_HASH = 4096,
	SPACE_WINDOWS = 4,
	SPACES = 12,
	LEVELS = 4,
};
#define WINDOW_BYTES (1ull << WINDOW_SHIFT)
#define RUN_BYTES    ((u64)RUN_PAGES * ALC_PAGE_SIZE)

struct entry_copy {
	const u64 *at;
	u64 value;
};

struct run {
	u64 gva;
	struct space *space;
	struct run *next, **link; /* of its space */
	struct run *hash_next;
	u8 *host;
	struct entry_copy up[LEVELS]; /* the entries that lead to the table, or to the large page */
	unsigned nup;
	bool may_write;   /* as far as they say */
	const u64 *table; /* NULL: a large page */
	u64 mapped[RUN_PAGES / 64], writable[RUN_PAGES / 64];
	u32 node[RUN_PAGES]; /* of mapped pages */
	u64 pte[RUN_PAGES];
};

/* A page that is mapped, found by the page. */
struct node {
	const struct alc_page *page;
	struct run *run;
	u32 next;
	u16 index; /* in the run */
};

struct window {
	u8 *map, *host; /* with guards, without */
	unsigned slot;
};

struct space {
	u64 cr3;                            /* without a PCID */
	u64 identity;                       /* when it got windows, or lost them: window.c */
	u64 epoch;                          /* of the lower half when it was left: interp.epoch */
	bool hot;                           /* has windows */
	bool lacking;                       /* an access went to a terabyte without one */
	bool full;                          /* and it got none for it */
	u64 used;                           /* when, for replacement */
	u64 cycles;                         /* of the host's TSC, while it was the present one */
	u64 faults;                         /* that the guest got meanwhile */
	u64 watched_cycles, watched_faults; /* those before the time that is being looked at */
	u64 not_before;                     /* of cycles: it was better off without them */
	u64 penalty;
	i64 debt;    /* what windows cost it beyond its means; below 0: its credit */
	u64 debt_at; /* when (cycles) that was reckoned */
	struct run *runs;
	struct window windows[SPACE_WINDOWS];
	unsigned nwindows;
};

struct tr_windows {
	struct tr *t;
	u64 *slots;
	u8 *nowhere; /* host addresses that are never mapped: a window of no terabyte */
	struct space spaces[SPACES], *now;
	struct run *runs[RUN_HASH];
	u32 by_page[PAGE_HASH], free_node;
	unsigned nwindows, windows_max;
	u64 clock, since; /* the last switch; and when `now` was charged last */
	u64 faults_since; /* interp.n_faults then */
	bool exhausted;   /* all pages are the present space's, or the host refused */
	struct tr_window_stats stats;
	unsigned nnodes, nmapped;
	struct node nodes[];
};

/* The window of a space for a slot, or NULL. */
struct window *window_of(struct space *s, unsigned slot);

/* The space that ran longest ago loses its windows, never the present one; false: none has any. */
bool spaces_make_room(struct tr_windows *w);
/*
 * The host takes no rights away at all: this vCPU runs no more code, but ends with an error where
 * it attends next. From any thread that may change windows.
 */
void tr_windows_lose(struct tr_windows *w);
/* The guest's entry in host memory; NULL if the table is not in RAM. */
const u64 *runs_entry_at(struct alc_vcpu *v, u64 table, unsigned index);
/* Unmaps what the guest's tables don't say any more: of all a space, or of one page. */
void runs_verify(struct tr_windows *w, struct space *s);
void runs_verify_page(struct tr_windows *w, struct space *s, u64 gva);
/* Forgets all of them, without unmapping: windows go as a whole. */
void runs_forget(struct tr_windows *w, struct space *s);
/* Maps the page, and what is around it, for that access; false: it can't be, or v->fault. */
bool runs_fill(struct tr_windows *w, struct space *s, u64 gva, bool write);

#endif
