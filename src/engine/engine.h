/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "alcazar/err.h"
#include "bus/fastpath.h"
#include "isa/cpuid.h"
#include "isa/x86.h"

/*
 * The contract of an engine: it runs architectural state. The loop above is the same for all.
 *
 * Threading: vcpu_create, run, get_state, set_state and vcpu_destroy for one vCPU happen on one
 * thread at a time; kick, invalidate and what is in struct alc_irqchip from any. vm_create,
 * configure, irqchip, adapt and dirty_log are called while no vCPU runs.
 *
 * Counting. Where guest time comes from executed instructions, two runs are equal only if each
 * engine counts alike and stops at the same places. Engines that set `counts` keep v->instructions,
 * and obey v->run_until, which is UINT64_MAX where nobody wants them to stop:
 *
 * - An instruction takes one, whether it completes or raises an exception (also one of its fetch,
 *   and a breakpoint's before it); what it delivers itself (INT n, a trap after it, the exception)
 *   is part of it. To accept an interrupt or NMI takes one more. Nothing else counts: not INIT and
 *   SIPI, not a halted CPU's time. HLT is an instruction.
 * - REP, with whatever count, is one instruction, which takes its one with the last iteration or
 *   the exception. It may be left between two iterations: where attention is due, and, when what
 *   it did has lowered run_until, where the instructions before it have reached that.
 * - Outside calls see the count exact: when an instruction makes the engine call anything that may
 *   look at a clock or arm a timer (a device, a port, an MSR, the TSC), v->instructions is the
 *   number of those before it.
 * - run returns ALC_EXIT_BUDGET at the first boundary between instructions at which v->instructions
 *   >= v->run_until: before it accepts what waits there, and before it fetches (which would set
 *   accessed bits). So it never goes past, unless it was already there when it was called: then it
 *   does nothing. Whether the CPU is halted is to be seen in v->activity.
 * - Such an outside call may lower run_until, and it may set bits in v->attention (a timer that is
 *   due, a device's interrupt, an IPI to oneself). Both are obeyed at the boundary right after
 *   that instruction, wherever a block ends; so is an interrupt that waits when an instruction
 *   (STI, POPF, IRET, a write to CR8) opens the way for it, at the first boundary where it may be
 *   accepted.
 */
enum alc_exit {
	ALC_EXIT_ATTENTION, /* X86_ATTN_STOP, _WORK, or INIT/SIPI taken: look at v and run again */
	ALC_EXIT_HALT,      /* HLT with nothing to wake it: sleep until v->attention */
	ALC_EXIT_BUDGET,    /* v->instructions has reached v->run_until */
	ALC_EXIT_SHUTDOWN,  /* triple fault */
	ALC_EXIT_ERROR,     /* the VMM can't go on: err says why, naming instruction and mode */
};

struct alc_engine_score {
	int usable;    /* 0, or -errno when not */
	unsigned good; /* larger is better; only to rank usable engines. 0: only by its name */
	char why[200]; /* one sentence: what was found */
};

/*
 * Interrupt controllers that an engine has inside. The machine then makes no devices for those and
 * drives them by this table. Level and message have the meaning that they have in bus/irq.h.
 */
struct alc_irqchip {
	/* The I/O APIC and the PIC pair; only together with the local APICs. */
	bool has_ioapic;
	/*
	 * The local APICs are always the engine's: v->lapic is where get_state and set_state
	 * exchange their registers, and nobody else looks at it.
	 */
	void (*deliver_msi)(void *vm, struct alc_msi msg);
	/* has_ioapic: a global system interrupt; those of ISA reach the PIC too. */
	void (*set_gsi)(void *vm, unsigned gsi, bool level);
	/* Not has_ioapic: the output of the machine's PIC, and what its I/O APIC's pins send. */
	void (*set_intr)(void *vm, bool level);
	void (*route_pin)(void *vm, unsigned pin, struct alc_msi msg);
	/* Power-on state, for all but the local APICs. */
	void (*reset)(void *vm);
};

struct alc_engine {
	const char *name, *summary;
	size_t vcpu_bytes; /* of its own, behind each struct alc_vcpu; x86_platform.vcpu_bytes */
	/*
	 * The engine gives guests KVM's clock and steal time by itself; else the machine does, by
	 * isa/pvclock.h.
	 */
	bool has_pvclock;
	/* It keeps and obeys counts of instructions, as above: guests can have a virtual clock. */
	bool counts;
	/* Is it usable on this host, and how good? Milliseconds at most. */
	void (*probe)(const struct alc_host *host, struct alc_engine_score *score);
	/* Per-machine part; *out is passed to vcpu_create. */
	int (*vm_create)(const struct x86_platform *plat, void **out, struct alc_err *err);
	void (*vm_destroy)(void *vm);
	/*
	 * One option of this engine, between vm_create and the first vcpu_create. -EINVAL and a
	 * sentence for one that it doesn't have. Optional: an engine without options.
	 */
	int (*configure)(void *vm, const char *key, const char *value, struct alc_err *err);
	/*
	 * Makes the CPU that guests see one that this engine can run, before the first
	 * vcpu_create: takes features away, sets the TSC's frequency. Optional.
	 */
	int (*adapt)(void *vm, struct x86_cpuid_table *cpuid, struct alc_err *err);
	/* NULL: none inside. Optional. */
	const struct alc_irqchip *(*irqchip)(void *vm);
	/* Sets v->ops and v->engine. */
	int (*vcpu_create)(void *vm, struct alc_vcpu *v, struct alc_err *err);
	void (*vcpu_destroy)(struct alc_vcpu *v); /* half-made is fine */
	/*
	 * Runs until something needs the loop above. On return *v is exact, if there is no
	 * get_state.
	 */
	enum alc_exit (*run)(struct alc_vcpu *v, struct alc_err *err);
	/* Makes a run that is under way return soon, or look at v->attention. Optional. */
	void (*kick)(struct alc_vcpu *v);
	/*
	 * Makes *v exact, local APIC included, where the engine keeps state elsewhere. What is
	 * changed in *v afterwards is the guest's at the next run. Optional.
	 */
	int (*get_state)(struct alc_vcpu *v, struct alc_err *err);
	/* State in v was changed from outside (load, debugger): drop what was derived from it. */
	void (*set_state)(struct alc_vcpu *v);
	/* Guest memory was changed behind the write protocol of mem/space.h. */
	void (*invalidate)(void *vm, alc_gpa base, u64 len);
	/*
	 * For engines whose guests write past the protocol of mem/space.h: log from now on, or no
	 * longer; and note in the space what was written since the last call. Optional.
	 */
	int (*dirty_log)(void *vm, bool on, struct alc_err *err);
	int (*dirty_sync)(void *vm, struct alc_err *err);
	/* Optional. The context is the engine's vm. */
	const struct alc_fastpath_ops *fastpath;
	/*
	 * For engines whose guests have clocks besides the machine's: those stand still from the
	 * one call to the other. No vCPU runs meanwhile. Optional.
	 */
	void (*stop_time)(void *vm);
	void (*start_time)(void *vm);
	/* Counters by name for --stats; calls fn for each. Optional. */
	void (*stats)(struct alc_vcpu *v, void (*fn)(void *ctx, const char *name, u64 value),
		      void *ctx);
};

/* The engines that need no operating system, best first; NULL-terminated. */
extern const struct alc_engine *const alc_engines[];
extern const struct alc_engine interp_engine;

#endif
