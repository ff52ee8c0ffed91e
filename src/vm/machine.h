/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VM_MACHINE_H
#define VM_MACHINE_H

#include <stdatomic.h>

#include "alcazar/vm.h"
#include "boot/acpi.h"
#include "boot/boot.h"
#include "bus/pc.h"
#include "device/device.h"
#include "display/display.h"
#include "engine/engine.h"
#include "isa/cpuid.h"
#include "vm/virtual.h"

/*
 * A machine without files, terminals or an operating system: the freestanding part of struct
 * alc_vm. Whoever is around it reads the images and opens the streams.
 */
/* A device of the description that works on a back end: a disk or a network card. */
struct machine_card {
	const char *class_name, *id;
	const struct alc_device_opt *opts;
	size_t nopts;
	struct block *block;
	struct net_link *net;
};

struct machine_parts {
	struct boot_image kernel, initrd; /* initrd.bytes NULL: none; must outlive the machine: a
					     reset loads them again */
	struct boot_image firmware;       /* bytes NULL: none; else there is no kernel */
	struct boot_image vga_rom;        /* for firmware; bytes NULL: none */
	/*
	 * Optional, for kernel and initrd: their bytes are needed now, and till they are let go.
	 * In between they need take no memory.
	 */
	int (*images_fetch)(void *ctx, struct alc_err *err);
	void (*images_release)(void *ctx);
	/* Streams of desc->devices, by their index there; NULL: none has any. */
	const struct alc_char *streams;
	struct alc_char com1, com2;
	bool has_com2;
	const struct machine_card *cards; /* needed by machine_create only; back ends live longer */
	size_t ncards;
	unsigned host_cpus; /* processors that the host has for this machine; 0: unknown */
	/* To choose from, best first, NULL-terminated; NULL: those of the core. */
	const struct alc_engine *const *engines;
	/* Optional: the guest is ready for input (it read the guest-status port). */
	void (*ready)(void *ctx);
	/* Optional: the machine is ended from outside, so streams must not make it wait any more.
	 */
	void (*unblock)(void *ctx);
	/* A hash of the state that desc asks for, on the CPUs' thread or machine_run's. Optional.
	 */
	void (*hashed)(void *ctx, const struct alc_state_hash *hash);
	void *ctx;
};

enum { MACHINE_MEMORY_MIN = 16 << 20, MACHINE_DEVICES_MAX = 64, MACHINE_DOORBELLS_MAX = 256 };
enum { MACHINE_FIRMWARE_MIN = 64 << 10, MACHINE_FIRMWARE_MAX = 8 << 20 };
/* A TSC in nanoseconds: guests that divide by its frequency lose no precision. */
#define MACHINE_TSC_HZ        1000000000ull
#define MACHINE_PCI_MEM64_END BIT(X86_PHYS_BITS)

enum machine_verdict {
	VERDICT_NONE,
	VERDICT_RESET, /* stop all CPUs, reset, run on */
	VERDICT_MOVE,  /* stop all CPUs, take them to machine.move_to, run on */
	VERDICT_END,   /* machine.result */
};

/* See pause.c. */
enum machine_phase {
	PHASE_IDLE, /* before machine_run */
	PHASE_RUNNING,
	PHASE_PARKED,
	PHASE_ENDED,
};

struct machine_cpu {
	struct machine *m;
	struct alc_vcpu *v;
	struct alc_thread *thread;
	struct alc_event *wake;
	_Atomic(bool) asleep;
	bool in_engine; /* engine->vcpu_create was called */
	/* Counters: written by the CPU's own thread. */
	u64 exits[ALC_EXIT_ERROR + 1];
	u64 run_ns, stolen_ns;
	u64 polls_answered, polls_in_vain, polled_ns;
	u64 poll_ns;          /* how long the next halt looks for work; see halt.c */
	_Atomic(u64) time_ns; /* virtual time: how far it has run, or where it was woken */
};

struct machine {
	const struct alc_host *host;
	const struct alc_desc *desc;
	struct machine_parts parts;
	const struct alc_engine *engine;
	void *engine_vm;
	const struct alc_irqchip *irqchip; /* the engine's, or NULL: ours */
	struct alc_clock *clock;
	struct machine_virtual virtual;
	struct alc_entropy entropy; /* all random bytes that the guest gets */
	struct alc_space space;
	struct region_map ports;
	struct x86_cpuid_table cpuid;
	struct x86_platform plat;
	struct alc_vcpu *vcpus[PC_CPUS_MAX];
	struct machine_cpu cpus[PC_CPUS_MAX];
	unsigned ncpus;

	struct alc_dev *devices[MACHINE_DEVICES_MAX];
	unsigned ndevices;
	struct alc_dev *pic, *ioapic; /* NULL where the engine has them inside */
	struct alc_dev *lpc, *pm, *fw_cfg;
	struct pci_root *pci;
	u64 pci_mem64_base;

	struct alc_mutex *lock; /* verdict, result, err, phase */
	struct alc_event *wake; /* of the thread in machine_run */
	enum machine_verdict verdict;
	struct alc_result result;
	struct alc_err err;
	_Atomic(int) poweroff_status; /* what the guest set for a later power-off */
	_Atomic(bool) stopping;       /* vCPU threads must return */
	_Atomic(bool) stop_asked;     /* machine_stop */
	_Atomic(bool) button_asked;   /* machine_power_button */
	_Atomic(unsigned) sleepers;   /* CPUs asleep in a halt */
	bool has_run;
	u64 limit_ns, shutdown_ns; /* host time at which the machine is ended; 0: never */

	struct alc_mutex *pause_lock; /* held by the one who waits for `parked` */
	struct alc_event *parked;     /* the phase may have changed */
	enum machine_phase phase;
	_Atomic(bool) pause_asked; /* changes under `lock`, as the next three do */
	_Atomic(bool) holding;     /* CPUs' threads wait rather than run */
	unsigned nthreads;         /* of CPUs: one each, or one for all in virtual time */
	unsigned held, hold_round; /* how many hold, since the round began */
	unsigned pauses;
	u64 paused_ns;

	const char *_Atomic move_to; /* the engine that machine_move asked for */
	unsigned resets, moves;
	u64 create_ns, run_ns; /* host time spent */

	struct alc_mutex *doorbells_lock;
	struct machine_doorbell {
		bool used;
		alc_gpa gpa;
		unsigned size;
		int fd;
	} doorbells[MACHINE_DOORBELLS_MAX];
};

/* Whether a description makes sense by itself: to be asked before its images are read. */
int machine_check(const struct alc_desc *desc, struct alc_err *err) ALC_MUST_CHECK;
/* desc and parts' bytes must outlive the machine. On failure nothing is left. */
int machine_create(const struct alc_host *host, const struct alc_desc *desc,
		   const struct machine_parts *parts, struct machine **out,
		   struct alc_err *err) ALC_MUST_CHECK;
void machine_destroy(struct machine *m); /* NULL and half-made are fine */
int machine_run(struct machine *m, struct alc_result *res, struct alc_err *err) ALC_MUST_CHECK;
/* From any thread or signal handler, as far as the host's event_signal may be called there. */
void machine_stop(struct machine *m);
/*
 * Presses the power button, from wherever machine_stop may be called. A guest that has not enabled
 * the button's event is stopped at once, one that has is after desc.shutdown_timeout_ns.
 */
void machine_power_button(struct machine *m);
/*
 * Stops guest time; returns when no CPU is inside an engine and no timer's callback runs, or when
 * the machine has ended. Before machine_run it makes that begin parked. Pausing twice is as good as
 * once. From any thread but the machine's own and those in callbacks of its devices.
 */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);
/*
 * Lets the guest run on in another engine (named as in a description), as soon as all its CPUs
 * have stopped between two instructions. If that can't be, the machine ends with the reason.
 * From any thread; engine must stay valid while the machine runs.
 */
void machine_move(struct machine *m, const char *engine);

/* The machine's screen; none if it has no VGA. */
struct display_source machine_display(const struct machine *m);

/* The rest is private to this room. */

/* hash.c: the description's hashes of the state. Next: an instant, or CLOCK_NEVER. */
int machine_hash_check(const struct alc_desc *d, bool is_virtual,
		       struct alc_err *err) ALC_MUST_CHECK;
u64 machine_hash_next(const struct machine *m);
void machine_hash_due(struct machine *m, u64 now_ns);
void machine_hash_end(struct machine *m);
/* wiring.c: platform devices and those of the description. */
int machine_add_devices(struct machine *m, struct alc_err *err) ALC_MUST_CHECK;
/*
 * firmware.c: what a machine with firmware, or a screen, has otherwise. Memory below 4 GiB, ROM
 * included; the ROM's contents; what devices tell firmware about the machine: their options, and
 * files of fw_cfg.
 */
struct told {
	struct alc_dev_opt opts[4];
	size_t n;
	char cpus[24], all[24], low[24], high[24];
};
int firmware_check(const struct boot_image *image, struct alc_err *err) ALC_MUST_CHECK;
int firmware_add_memory(struct machine *m, u64 low_bytes, struct alc_err *err) ALC_MUST_CHECK;
int firmware_load(struct machine *m, struct alc_err *err) ALC_MUST_CHECK;
void firmware_options(const struct machine *m, const char *class_name, struct told *t);
int firmware_describe(struct machine *m, struct alc_err *err) ALC_MUST_CHECK;
struct acpi_params machine_acpi(const struct machine *m);
bool machine_has_vga(const struct alc_desc *desc);
/* shortcuts.c: those that devices get, and what becomes of them in another engine. */
struct alc_fastpath shortcuts(struct machine *m);
void shortcuts_moved(struct machine *m);
/* run.c: what a device asks of its machine. */
void machine_request(void *ctx, enum alc_request what, unsigned value);
/*
 * Runs a CPU once. After ALC_EXIT_ATTENTION what the loop above was called for is taken away; after
 * _SHUTDOWN and _ERROR the machine's end has been concluded.
 */
enum alc_exit run_cpu(struct machine_cpu *c, struct alc_err *err);
/* halt.c: until the CPU has attention or shall stop. */
void machine_kick(void *ctx, struct alc_vcpu *v);
void halt_wait(struct machine_cpu *c);
/*
 * pause.c. A CPU's thread calls pause_hold when it finds m->holding set. The rest is for the thread
 * in machine_run: pause_cpus returns when all hold, or false if there is a verdict instead; either
 * way pause_release lets them go on. pause_park returns when the machine may run.
 */
void pause_hold(struct machine_cpu *c);
bool pause_cpus(struct machine *m);
void pause_release(struct machine *m);
void pause_begin(struct machine *m);
void pause_park(struct machine *m);
void pause_end(struct machine *m);
/* machine.c: power-on state, as firmware leaves it, with the images in memory. */
int machine_load(struct machine *m, struct alc_err *err) ALC_MUST_CHECK;
/* move.c: between two periods of running. */
int move_engine(struct machine *m, const char *name, struct alc_err *err) ALC_MUST_CHECK;
/*
 * engine.c. Options are given by name, after the engine's own. counting: only one that can have a
 * virtual clock.
 */
int engine_select(const struct alc_host *host, const struct alc_engine *const *engines,
		  const char *name, bool counting, const struct alc_engine **out,
		  struct alc_err *err) ALC_MUST_CHECK;
int engine_configure(const struct alc_engine *e, void *vm, const char *name,
		     struct alc_err *err) ALC_MUST_CHECK;
struct alc_engine_score engine_probe(const struct alc_host *host, const struct alc_engine *e);
const struct alc_engine *engine_best(const struct alc_host *host,
				     const struct alc_engine *const *engines, bool counting);

#endif
