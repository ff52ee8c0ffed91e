/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include "alcazar/vm.h"
#include "entries.h"
#include "options.h"

/* The flags of `run` and the keys of a description, as text. */
struct run_values {
	char *engine, *cpus, *cpu, *memory, *clock;
	char *kernel, *initrd, *append, *firmware;
	struct strings disks, nets, devices, displays, command, state_hashes;
	char *cloud_init, *console, *timeout, *shutdown_timeout, *halt_poll, *stats;
	bool spectre, print;
};

extern const struct option_row run_rows[];

/* A machine's description, resolved: what the strings mean. */
struct run_plan {
	struct alc_desc desc;
	struct entries device_entries, disk_entries, net_entries;
	struct alc_device_desc *devices;
	struct alc_disk_desc *disks;
	struct alc_net_desc *nets;
	char kernel[4096], initrd[4096]; /* of the default guest */
	struct strings paths;            /* expanded */
	struct alc_display *displays;
	uint64_t *hash_at_ns;
	void *command_archive;
	bool default_guest;
};

/* Fills *plan; 0 or an exit status, after having said why. Freed by run_plan_free either way. */
int run_plan_make(const struct run_values *v, struct run_plan *plan);
void run_plan_free(struct run_plan *plan);

#endif
