/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ALCAZAR_VM_H
#define ALCAZAR_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alcazar/err.h"

/*
 * A machine: described, created, run, destroyed.
 *
 *	struct alc_host *host;
 *	struct alc_vm *vm;
 *	struct alc_desc desc = ALC_DESC_INIT;
 *	struct alc_result res;
 *
 *	desc.kernel = "/boot/vmlinuz";
 *	alc_host_open(&host, &err);
 *	alc_vm_create(host, &desc, &vm, &err);
 *	alc_vm_run(vm, &res, &err);
 *	alc_vm_destroy(vm);
 *	alc_host_close(host);
 *
 * Threading: one thread creates, runs and destroys; alc_vm_stop, _power_button, _pause and _resume
 * may be called from any other thread as long as the machine exists, the first two from a signal
 * handler, too.
 */
struct alc_vm;
struct alc_host;

/* One --device: class name and key=value options. Strings belong to the caller. */
struct alc_device_opt {
	const char *key, *value;
};

struct alc_device_desc {
	const char *class_name;
	const struct alc_device_opt *opts;
	size_t nopts;
};

/*
 * A disk: a back end, stages on it, a device in front. file is a path or nbd:URI, null:SIZE,
 * ram:SIZE. Options as --disk has them: readonly, snapshot, overlay=FILE, device=CLASS, serial=TEXT
 * and the device's own; NULL value: given without one.
 */
struct alc_disk_desc {
	const char *file;
	const struct alc_device_opt *opts;
	size_t nopts;
};

/*
 * A network interface: kind is user, tap, stream, hub or null; options as --net has them: the
 * kind's own, capture=FILE, device=CLASS, mac=ADDRESS and the device's own.
 */
struct alc_net_desc {
	const char *kind;
	const struct alc_device_opt *opts;
	size_t nopts;
};

/* Where the guest's first serial port goes. */
struct alc_console {
	enum { ALC_CONSOLE_NONE, ALC_CONSOLE_FDS, ALC_CONSOLE_FILE } kind;
	int in_fd, out_fd; /* ALC_CONSOLE_FDS; in_fd -1: no input. Not closed */
	const char *path;  /* ALC_CONSOLE_FILE: output only */
	int escape_char;   /* typed on in_fd, it stops the machine; -1: none */
	bool eof_as_eot;   /* from the end of input on, send the guest a Ctrl-D every half second */
	/*
	 * Hold input back until the guest says that it is ready for it, by reading the
	 * guest-status port. Else what comes while a kernel probes the port may get lost.
	 */
	bool await_ready;
};

/* A file that gets the screen when the machine ends, and when alc_vm_display asks for it. */
struct alc_display {
	enum { ALC_DISPLAY_PNG, ALC_DISPLAY_TEXT } kind; /* text: that of a text mode, as UTF-8 */
	const char *path;
};

/*
 * A hash of a machine's whole state at an instant: the same for two machines that have come to the
 * same state. The parts tell where two differ. Lives as long as the call that brings it.
 */
struct alc_state_part {
	const char *name; /* cpu0, lapic0, devices by name, timers, entropy, memory */
	uint64_t hash;
};

struct alc_state_hash {
	uint64_t at_ns; /* guest time */
	bool at_end;
	uint64_t hash;
	const struct alc_state_part *parts;
	size_t nparts;
};

/* A machine's description. Strings belong to the caller and must outlive the machine. */
struct alc_desc {
	const char *engine; /* auto, interp, kvm …; with options as in "kvm,irqchip=split" */
	const char *cpu;    /* CPUID profile */
	const char *clock;  /* host, or virtual with options as in "virtual,quantum=5us" */
	unsigned cpus;
	uint64_t memory_bytes;
	const char *kernel, *initrd, *append;
	const char *firmware;     /* a ROM image to start instead of a kernel */
	const void *initrd_extra; /* bytes appended to the initrd (a further cpio archive) */
	size_t initrd_extra_len;
	struct alc_console console;         /* COM1 */
	struct alc_console console2;        /* COM2, output only; ALC_CONSOLE_NONE: no such port */
	const struct alc_display *displays; /* if there are any, the machine has a VGA */
	size_t ndisplays;
	const struct alc_device_desc *devices;
	size_t ndevices;
	const struct alc_disk_desc *disks;
	size_t ndisks;
	const char
		*cloud_init; /* folder with user-data and meta-data: a NoCloud seed disk; or NULL */
	const struct alc_net_desc *nets;
	size_t nnets;
	uint64_t timeout_ns;          /* 0: none; pauses do not count */
	uint64_t shutdown_timeout_ns; /* from alc_vm_power_button to a hard stop; 0: never */
	uint64_t halt_poll_ns;        /* a halted CPU looks for work this long before it sleeps */
	/*
	 * Hashes of the state, in virtual time: at these instants, ascending, or with several CPUs
	 * at the end of the round that each lies in; and when the machine ends. Called on threads
	 * of the machine; the counters of --stats have them, too.
	 */
	const uint64_t *hash_at_ns;
	size_t nhash_at;
	bool hash_at_end;
	void (*hashed)(void *ctx, const struct alc_state_hash *hash);
	void *hashed_ctx;
	bool no_reboot; /* a reset that the guest asks for ends the machine */
};

#define ALC_DESC_INIT                                                           \
	{                                                                       \
		.engine = "auto", .cpu = "default", .clock = "host", .cpus = 1, \
		.memory_bytes = 512ull << 20                                    \
	}

enum alc_outcome {
	ALC_OUTCOME_POWEROFF, /* clean power-off; status is what the guest set, else 0 */
	ALC_OUTCOME_EXIT,     /* a device ended the machine with a status (isa-debug-exit) */
	ALC_OUTCOME_STOPPED,  /* alc_vm_stop */
	ALC_OUTCOME_TIMEOUT,
	ALC_OUTCOME_CRASHED, /* triple fault */
	ALC_OUTCOME_RESET,   /* the guest asked for a reset, and desc.no_reboot is set */
	ALC_OUTCOME_FAILED,  /* the VMM could not go on; err says why */
};

struct alc_result {
	enum alc_outcome outcome;
	int status;
};

/* The Linux host. */
int alc_host_open(struct alc_host **out, struct alc_err *err) ALC_MUST_CHECK;
void alc_host_close(struct alc_host *host);

/*
 * -EINVAL or -ENOTSUP: the description makes no sense or asks for what there is not; -ENOEXEC: the
 * kernel is not one; others: this host can't. On failure nothing is left.
 */
int alc_vm_create(struct alc_host *host, const struct alc_desc *desc, struct alc_vm **out,
		  struct alc_err *err) ALC_MUST_CHECK;
/* Runs to the machine's end. -errno only for ALC_OUTCOME_FAILED. */
int alc_vm_run(struct alc_vm *vm, struct alc_result *res, struct alc_err *err) ALC_MUST_CHECK;
void alc_vm_stop(struct alc_vm *vm);
/*
 * Presses the ACPI power button; as alc_vm_stop from any thread and from signal handlers. The
 * machine ends by the guest's power-off, or is stopped: after desc.shutdown_timeout_ns, or at once
 * if the guest does not listen to the button.
 */
void alc_vm_power_button(struct alc_vm *vm);
/*
 * Stops guest time, and the CPUs with it, until alc_vm_resume; returns when they have stopped.
 * Back ends finish what they have begun. Before alc_vm_run: the machine starts paused. A second
 * pause changes nothing, and one resume ends both. From any thread, but not from signal handlers;
 * alc_vm_stop ends a paused machine, too.
 */
void alc_vm_pause(struct alc_vm *vm);
void alc_vm_resume(struct alc_vm *vm);
/* Has the screen written to the files of desc.displays, soon. As alc_vm_stop, for any caller. */
void alc_vm_display(struct alc_vm *vm);
void alc_vm_destroy(struct alc_vm *vm); /* NULL is fine */

/* Counters as a JSON object, in a string that the caller frees with free(). */
int alc_vm_stats_json(struct alc_vm *vm, char **out, struct alc_err *err) ALC_MUST_CHECK;

#endif
