/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_UNDEFINED_H
#define TEST_ISA_UNDEFINED_H

#include "case.h"
#include "forms.h"

/* Flags that the architecture leaves undefined after one instruction. */
u32 undefined_after(const struct decoded *d);

struct undefined {
	u32 flags;  /* after the whole case */
	bool read;  /* an instruction reads a flag while it is undefined */
	bool fault; /* one of them faults in ways that differ between processors */
};

/*
 * Follows the case's instructions in the order of their addresses. `fault_rip`: where it ended by
 * a fault, from where on nothing is sure to have been executed; 0: nowhere.
 */
struct undefined undefined_in(const struct isa_case *c, u64 fault_rip);

#endif
