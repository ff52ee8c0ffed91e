/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_INTERP_STEP_H
#define ENGINE_INTERP_STEP_H

#include "engine/engine.h"

/*
 * Executes at most max_instructions and, instead of delivering a fault through the IDT, returns
 * with it in *fault and *faulted set: *v is exact at the boundary before the instruction that
 * faulted. For tests and debuggers.
 */
enum alc_exit interp_step(struct alc_vcpu *v, unsigned max_instructions, struct x86_fault *fault,
			  bool *faulted, struct alc_err *err);

#endif
