/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_COMPARE_H
#define TEST_ISA_COMPARE_H

#include "case.h"

enum verdict { CASE_SAME, CASE_DIFFERS, CASE_INCOMPARABLE };

/*
 * Are the two outcomes the same, but for what the architecture leaves undefined and for what
 * Linux hides of a fault? Incomparable: a case that never ended, or an address between the ends
 * of 48-bit and 57-bit canonical addresses on a host with five-level paging. dead_on_fault: flags
 * that don't count where the case ended otherwise than by INT3.
 */
enum verdict compare_outcomes(const struct isa_case *c, const struct case_outcome *host,
			      const struct case_outcome *other, u32 dead_on_fault);
/* Everything about a difference, on stdout: disassembly, what differs, and the case as C. */
void compare_report(const struct isa_case *c, const struct case_outcome *host,
		    const struct case_outcome *other, const char *other_name, u32 dead_on_fault);

#endif
