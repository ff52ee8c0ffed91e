/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_UNDEFINED_H
#define TEST_ISA_UNDEFINED_H

#include "case.h"
#include "forms.h"

/* Flags that the architecture leaves undefined after one instruction. */
u32 undefined_after(const struct decoded *d);

struct undefined {
	u32 flags; /* after the whole case */
	bool read; /* an instruction reads a flag while it is undefined */
};

/* Follows the case's instructions in the order of their addresses. */
struct undefined undefined_in(const struct isa_case *c);

#endif
