/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_SILICON_H
#define TEST_ISA_SILICON_H

#include "case.h"

/*
 * The host CPU as a runner of cases: a child process in which each case is entered by sigreturn
 * (which loads every register, the vector state included) and left by the signal that its fault
 * raises (whose frame holds the same). One case costs one signal.
 */
struct silicon;

enum { SILICON_BATCH = 64 };

/* wide: cases have ZMM16-31, upper halves and masks too. */
int silicon_create(bool wide, struct silicon **out, struct alc_err *err) ALC_MUST_CHECK;
void silicon_destroy(struct silicon *s); /* NULL is fine */
/*
 * Runs n <= SILICON_BATCH cases. out[i].end is CASE_LOST for a case that killed the child, which
 * is then replaced. Nonzero only if that fails.
 */
int silicon_run(struct silicon *s, const struct isa_case *cases, struct case_outcome *out,
		unsigned n, struct alc_err *err) ALC_MUST_CHECK;
/* The flag's name as in /proc/cpuinfo; is it the host CPU's (and on, where it can be off)? */
bool silicon_has(const char *cpuinfo_flag);
bool silicon_is_intel(void);

#endif
