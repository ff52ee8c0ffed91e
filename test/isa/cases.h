/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_CASES_H
#define TEST_ISA_CASES_H

#include "case.h"

/* Hand-written and regression cases, complete and ready to run. */
extern const unsigned ncases;
void case_at(unsigned i, struct isa_case *c);
/* A feature without which the case means something else, or NULL. */
const char *case_needs(unsigned i);

#endif
