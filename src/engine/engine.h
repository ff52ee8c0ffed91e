/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "alcazar/err.h"
#include "isa/x86.h"

/*
 * The contract of an engine: it runs architectural state. The loop above is the same for all.
 *
 * Threading: vcpu_create, run, get_state, set_state and vcpu_destroy for one vCPU happen on one
 * thread at a time; kick and invalidate from any.
 */
enum alc_exit {
	ALC_EXIT_ATTENTION, /* X86_ATTN_STOP, _WORK, or INIT/SIPI taken: look at v and run again */
	ALC_EXIT_HALT,      /* HLT with nothing to wake it: sleep until v->attention */
	ALC_EXIT_SHUTDOWN,  /* triple fault */
	ALC_EXIT_ERROR,     /* the VMM can't go on: err says why, naming instruction and mode */
};

struct alc_engine_score {
	int usable;    /* 0, or -errno when not */
	unsigned good; /* larger is better; only to rank usable engines */
	char why[200]; /* one sentence: what was found */
};

struct alc_engine {
	const char *name, *summary;
	/* Is it usable on this host, and how good? Milliseconds at most. */
	void (*probe)(const struct alc_host *host, struct alc_engine_score *score);
	/* Per-machine part; *out is passed to vcpu_create. */
	int (*vm_create)(const struct x86_platform *plat, void **out, struct alc_err *err);
	void (*vm_destroy)(void *vm);
	/* Sets v->ops and v->engine. */
	int (*vcpu_create)(void *vm, struct alc_vcpu *v, struct alc_err *err);
	void (*vcpu_destroy)(struct alc_vcpu *v); /* half-made is fine */
	/* Runs until something needs the loop above. On return *v is exact. */
	enum alc_exit (*run)(struct alc_vcpu *v, struct alc_err *err);
	/* State in v was changed from outside (load, debugger): drop what was derived from it. */
	void (*set_state)(struct alc_vcpu *v);
	/* Guest memory was changed behind the write protocol of mem/space.h. */
	void (*invalidate)(void *vm, alc_gpa base, u64 len);
	/* Counters by name for --stats; calls fn for each. Optional. */
	void (*stats)(struct alc_vcpu *v, void (*fn)(void *ctx, const char *name, u64 value),
		      void *ctx);
};

/* All engines of this build, best first; NULL-terminated. */
extern const struct alc_engine *const alc_engines[];

#endif
