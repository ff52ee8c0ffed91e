/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_BLOCK_RUN_H
#define TEST_ISA_BLOCK_RUN_H

#include "block.h"
#include "kernel.h"

/* One engine's guest for programs. */
struct block_guest {
	struct world world;
	u8 *image; /* RAM as the next program is to find it */
};

struct block_outcome {
	struct case_outcome cpu; /* its memory parts unused */
	u64 cr2, stops, instructions;
	u8 ram[WORLD_RAM];
};

int block_guest_create(struct block_guest *g, const struct alc_engine *engine,
		       const struct settings *settings, struct alc_err *err) ALC_MUST_CHECK;
void block_guest_destroy(struct block_guest *g); /* zeroed is fine */

/* RAM and vCPU as the linked program wants them. */
void block_guest_load(struct block_guest *g, const struct block *b);
void block_guest_run(struct block_guest *g, const struct block *b, struct block_outcome *out);

/*
 * What a trial run by the interpreter, instruction by instruction, found out. A program is fit to
 * be compared if it ends, and reads no flag and takes no fault that processors may disagree on.
 */
struct block_trial {
	bool fit;
	const char *why; /* it isn't */
	u32 undefined;   /* flags that have no defined value at the end */
	u64 steps;
	unsigned vector; /* of its end */
};

void block_try(struct block_guest *stepper, const struct block *b, struct block_trial *out);

/*
 * The first difference that counts, in words; NULL: none. undefined: flags that don't count;
 * dead_on_fault: nor do these if the program ended by a fault.
 */
const char *block_difference(const struct block_outcome *a, const struct block_outcome *b,
			     u32 undefined, u32 dead_on_fault);
/* All of them. */
void block_print_difference(const struct block_outcome *a, const struct block_outcome *b,
			    u32 undefined, u32 dead_on_fault, const char *const names[2]);

#endif
