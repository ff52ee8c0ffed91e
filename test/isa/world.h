/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_WORLD_H
#define TEST_ISA_WORLD_H

#include "alcazar/err.h"
#include "alcazar/vm.h"
#include "case.h"
#include "engine/engine.h"
#include "isa/cpuid.h"
#include "isa/vcpu.h"

/*
 * A machine of one vCPU and some RAM, without devices, on any engine and through nothing but the
 * engine's contract.
 */
enum { WORLD_RAM = 0x80000 };

/* Options of an engine, as engine.h's configure takes them. */
struct setting {
	const char *key, *value;
};

enum { SETTINGS_MAX = 16 };

struct settings {
	struct setting all[SETTINGS_MAX];
	unsigned count;
};

/* Splits text, KEY=VALUE, in place; false if it has not that form or there is no room. */
bool settings_add(struct settings *s, char *text);

struct world {
	struct alc_host *host;
	struct alc_clock *clock;
	struct alc_space space;
	struct region_map ports;
	struct x86_platform plat;
	struct x86_cpuid_table cpuid;
	const struct alc_engine *engine;
	void *vm;
	struct alc_vcpu *v;
	struct alc_vcpu *vcpus[1];
	struct watchdog *dog;
	struct nag *nag; /* NULL: it runs undisturbed */
	/*
	 * It is stopped after at most so many instructions, again and again; 0: never. stops: what
	 * it was at these places, as a hash over RIP, the count and the general registers.
	 */
	unsigned slice;
	u64 instructions_max; /* after so many it has failed; 0: there is no end */
	u64 stops;
	u8 *ram; /* all of WORLD_RAM; write to it only before the first run */
};

/* An engine that the program has, or NULL. */
const struct alc_engine *world_engine(const char *name);

/* settings: NULL is none. A half-made world is destroyed. */
/* --cpu of all worlds from now on. */
extern const char *world_cpu;

int world_create(struct world *w, const struct alc_engine *engine, const struct settings *settings,
		 struct alc_err *err) ALC_MUST_CHECK;
void world_destroy(struct world *w); /* zeroed or half-made is fine */

/*
 * Runs until the guest halts (ALC_EXIT_HALT), shuts down or can't go on, with *v exact then. What
 * runs for many seconds is stopped: ALC_EXIT_ATTENTION.
 */
enum alc_exit world_run(struct world *w, struct alc_err *err);

/*
 * From now on another thread sends it these (enum x86_attention) all the time while it runs, with
 * kicks: X86_ATTN_WORK, after which it goes on, and X86_ATTN_NMI.
 */
int world_disturb(struct world *w, u32 attention, struct alc_err *err) ALC_MUST_CHECK;

/* What `out` has that user mode sees, into the vCPU; and back. */
void world_put_state(struct alc_vcpu *v, const struct case_state *in);
void world_get_state(const struct alc_vcpu *v, struct case_state *out);

/* Control registers as Linux has them while a 64-bit process runs, at CPL 3 or 0. */
void world_enter_mode(struct alc_vcpu *v, u64 cr3, unsigned cpl);

#endif
