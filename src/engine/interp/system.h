/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_INTERP_SYSTEM_H
#define ENGINE_INTERP_SYSTEM_H

#include "engine/interp/interp.h"
#include "engine/interp/ops.h"

/* MOV to and from segment, control and debug registers; false if this MOV is a plain one. */
bool system_mov(struct dec *d);
/* Far JMP and CALL, direct and through memory; far RET. */
bool flow_far(struct dec *d, bool call);
bool flow_far_return(struct dec *d);
/* May the program use ports [port, port+size)? Nonzero: #GP is recorded. */
int io_allowed(struct alc_vcpu *v, u16 port, unsigned size);

/* Go on after this instruction, in whatever mode now is. */
static inline void go_next(struct alc_vcpu *v, const struct op *op)
{
	v->rip = op_next_rip(v, op);
}

#define NEED_CPL0                                           \
	do {                                                \
		if (unlikely(v->cpl != 0))                  \
			TRY(x86_raise_error(v, X86_GP, 0)); \
	} while (0)

#endif
