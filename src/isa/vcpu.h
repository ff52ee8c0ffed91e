/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_VCPU_H
#define ISA_VCPU_H

#include "alcazar/err.h"
#include "isa/cpuid.h"
#include "isa/x86.h"

/*
 * A vCPU with its local APIC, in power-on state. plat and cpuid must outlive it. Index 0 is the
 * boot processor: after a reset it runs at the reset vector, the others wait for their SIPI.
 */
int vcpu_create(const struct x86_platform *plat, unsigned index,
		const struct x86_cpuid_table *cpuid, struct alc_vcpu **out,
		struct alc_err *err) ALC_MUST_CHECK;
void vcpu_destroy(struct alc_vcpu *v); /* NULL is fine */
/* RESET, or INIT, which spares what SDM vol. 3A table 9-1 says it spares. */
void vcpu_reset(struct alc_vcpu *v, bool init);
/* Starts an application processor at vector << 12 (SDM vol. 3A 8.4.4). */
void vcpu_start(struct alc_vcpu *v, u8 vector);

#endif
