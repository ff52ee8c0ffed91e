/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_VENDOR_H
#define TEST_ISA_VENDOR_H

#include "case.h"

/*
 * The guest's processor is one of Intel's. Of what AMD's do otherwise (APM), the host can tell
 * nothing there: has a case an instruction that is another one there, or does it end, on the host
 * or on the engine, by one of those that do so for other reasons?
 */
bool vendor_differs(const struct isa_case *c, const struct case_outcome *host,
		    const struct case_outcome *other);

#endif
