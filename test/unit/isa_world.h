/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_WORLD_H
#define TEST_ISA_WORLD_H

#include "host/test/test_host.h"
#include "isa/cpuid.h"
#include "isa/lapic.h"
#include "isa/x86.h"

/* A few vCPUs with their APICs, some memory and a clock that stands still until told. */
enum { WORLD_CPUS_MAX = 20, WORLD_MEMORY = 1 << 20 };

struct world {
	struct test_host th;
	struct alc_clock *clock;
	struct alc_space space;
	struct x86_platform plat;
	struct x86_cpuid_table cpuid;
	struct alc_vcpu *vcpus[WORLD_CPUS_MAX];
	int pic_vector;   /* what the PIC answers */
	unsigned eois;    /* that the I/O APIC heard */
	u8 eoi_vector;    /* of the last one */
	unsigned flushes; /* engine calls */
	unsigned mode_changes;
};

void world_init(struct world *w, unsigned ncpus, const char *profile, u64 tsc_hz);
void world_fini(struct world *w);
/* Lets guest time pass, with all timers in it. */
void world_pass(struct world *w, u64 ns);
/* The attention bits that came up, taken. */
unsigned world_attention(struct world *w, unsigned cpu);

#endif
