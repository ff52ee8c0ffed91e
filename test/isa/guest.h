/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_GUEST_H
#define TEST_ISA_GUEST_H

#include "runner.h"

/*
 * The software engines as runners: a vCPU in 64-bit user mode, as Linux sets it up, over page
 * tables that map the window of case.h and nothing else.
 */
extern const struct runner guest_interp;

#endif
