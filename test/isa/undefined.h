/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_UNDEFINED_H
#define TEST_ISA_UNDEFINED_H

#include "case.h"
#include "forms.h"

/* Flags that the architecture leaves undefined after one instruction. */
u32 undefined_after(const struct decoded *d);
/* Flags that the instruction always gives a value: not the ones it may leave alone. */
u32 undefined_defined(const struct decoded *d);
u32 undefined_read(const struct decoded *d);
/* The result too, as of a 16-bit double shift by more than 16. cl: what CL has. */
bool undefined_result(const struct decoded *d, u8 cl);
/*
 * Instructions whose operand is accessed in parts: which part's address a fault names, what of
 * the operand was stored before it, and whether a mask of zeros or a misaligned part faults at
 * all is the implementation's choice (SDM vol. 2, MASKMOVDQU, VMASKMOV, FSTP, FLDENV, masked stores
 * of AVX-512).
 */
bool undefined_fault(const struct decoded *d);

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
