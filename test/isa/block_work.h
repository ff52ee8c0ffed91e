/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_BLOCK_WORK_H
#define TEST_ISA_BLOCK_WORK_H

#include "block_run.h"

/*
 * The comparison under way. An engine with a fault may take its process with it: programs are run
 * by worker processes, and the one that killed its worker is known and reduced by others.
 */
enum { WHY_MAX = 8 };

/* Why programs were not compared. */
struct reason {
	const char *why;
	u64 count;
};

/* What processes share. */
struct findings {
	u64 next; /* program */
	u64 ran, differ, unlinked, steps;
	u64 ends[256];
	struct reason unfit[WHY_MAX];
	unsigned shortest; /* of what was found */
	/* The present program. */
	struct block block, smaller;
	struct block_outcome out[2];
	struct block_trial trial;
	const char *what; /* differs; NULL: nothing */
	unsigned at_run;  /* the run that showed it, from 1 */
};

struct work {
	/* What was asked for. */
	const char *names[2];
	struct settings settings[2];
	u64 seed, first, cases, seconds;
	unsigned expect; /* reduced to at most this many: the test of the test */
	unsigned slice;  /* both are stopped after at most so many instructions; 0: they are not */
	unsigned runs;   /* of each program on the second engine, one after the other */
	unsigned bits;   /* of the programs: 64 or 32 */
	bool fresh;      /* a new guest for each program */
	u32 disturb;     /* enum x86_attention that the second engine gets all the time */
	bool keep_going, verbose, one_process;
	bool moving; /* each program at several addresses */
	u32 dead_on_fault;
	struct findings *f;
	/* This process's own. */
	struct block_menu *menu;
	struct block_guest guest[2], stepper;
};

int work_open(struct work *w, struct alc_err *err) ALC_MUST_CHECK;
void work_close(struct work *w);

/* NULL: the engines agree, or the program can't be compared (trial.fit). */
const char *work_compare(struct work *w, struct block *b);
/* The same by a process and guests made for it, which it may kill. */
const char *work_compare_apart(struct work *w, struct block *b);
/* Shows what differs, reduces f->block and shows that. */
void work_report(struct work *w, const char *what);

#endif
