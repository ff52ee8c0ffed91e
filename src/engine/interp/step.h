/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_INTERP_STEP_H
#define ENGINE_INTERP_STEP_H

#include "engine/engine.h"

/*
 * For tests of instructions: runs at most max_instructions, one by one. A fault is not delivered
 * through the IDT but ends the run, with *faulted set, the fault in *fault and *v exact at the
 * boundary before the faulting instruction (after it for INT3 and INT n). Interrupts stay out.
 */
enum alc_exit interp_step(struct alc_vcpu *v, unsigned max_instructions, struct x86_fault *fault,
			  bool *faulted, struct alc_err *err);

#endif
