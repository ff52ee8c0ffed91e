/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_GUEST_H
#define TEST_ISA_GUEST_H

#include "runner.h"

/*
 * The software engines as runners: a vCPU in 64-bit user mode, as Linux sets it up, over page
 * tables that map the window of case.h for it and nothing else.
 */
extern const struct runner guest_interp;     /* stepping, without an IDT */
extern const struct runner guest_interp_run; /* as any engine, by kernel.h */
/*
 * Translates each block before it runs. The arithmetic flags that a faulting instruction would
 * have written are dead, and may have any value in its frame.
 */
extern const struct runner guest_translate;

/* Does the CPU profile of the runners above offer the feature, by its name in /proc/cpuinfo? */
bool guest_has(const char *feature);

#endif
