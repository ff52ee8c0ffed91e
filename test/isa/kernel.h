/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_KERNEL_H
#define TEST_ISA_KERNEL_H

#include "kernel_map.h"
#include "world.h"

/*
 * The least that a guest needs so that whatever happens to a program is seen from outside, on any
 * engine: an IDT whose gates lead to a HLT each, on a stack of their own. A program ends at its
 * first fault, INT3 included; which it was tells the HLT's address, and the frame the rest. A few
 * software interrupts and one page change the mapping under a running program (kernel_map.h). NMIs
 * leave no trace but on their own stack.
 */
enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40 };
#define PTE_NX BIT(63)

/* Tables, handlers and an empty window into w->ram, before the first run. */
void kernel_install(struct world *w);
/* A page of the window: its entry in the page table. */
void kernel_map_page(struct world *w, unsigned page, u64 pte);

/* The vCPU as it enters a program. */
void kernel_enter(struct world *w, const struct case_state *in, unsigned cpl);
/* The same at CPL 3 in compatibility mode; fs_limit: of FS, all others reach 4 GiB. */
void kernel_enter_compat(struct world *w, const struct case_state *in, u32 fs_limit);
/* Runs it; what of `out` is not memory. */
void kernel_run(struct world *w, struct case_outcome *out);
/* The same of a vCPU that has come to rest, by run's exit. */
void kernel_outcome(struct world *w, enum alc_exit exit, const struct alc_err *why,
		    struct case_outcome *out);

#endif
