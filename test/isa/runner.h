/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_RUNNER_H
#define TEST_ISA_RUNNER_H

#include "alcazar/err.h"
#include "case.h"

struct settings;

/* Something that runs cases and is compared with the host CPU. */
struct runner {
	const char *name;
	/* Options are the engine's, of engine.h's configure. */
	int (*create)(const struct settings *settings, void **out, struct alc_err *err);
	void (*destroy)(void *ctx); /* NULL is fine */
	/* Nonzero: the runner itself failed. n is at most SILICON_BATCH. */
	int (*run)(void *ctx, const struct isa_case *cases, struct case_outcome *out, unsigned n,
		   struct alc_err *err);
	/* Does a vCPU offer the feature, by its name in /proc/cpuinfo? NULL: all of the host's. */
	bool (*has)(const char *feature);
	/* Flags that need not be right in the frame of a fault. */
	u32 dead_on_fault;
};

/* NULL-terminated, default first. */
extern const struct runner *const runners[];

#endif
