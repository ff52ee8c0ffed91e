/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VM_VIRTUAL_H
#define VM_VIRTUAL_H

#include "alcazar/err.h"
#include "host/entropy.h"

/*
 * Virtual time: guest time comes from executed instructions, and nothing of the host's shows.
 *
 * One thread runs all CPUs in rounds. A round is a span of guest time, the quantum or less: it ends
 * where the earliest timer is due. Within it the CPUs run one after the other, in the order of
 * their numbers, each from the round's beginning, or from where it was woken in it, to its end.
 * Then what is due fires. So each timer fires when all CPUs have come to its instant and none
 * has gone past it, except those that were before the one who armed it in this round: they are
 * ahead by less than a quantum, and wait. Where all CPUs are halted the next timer's instant is
 * at once.
 *
 * Devices do their work where a CPU or a timer makes them, on that thread, and have no others.
 */
struct virtual_options {
	double rate; /* instructions a second */
	u64 quantum_ns;
	u64 seed;       /* 0: rounds of one quantum; else of random lengths up to two */
	u64 entropy;    /* seed of all random bytes that the guest gets */
	u64 date_s;     /* calendar time at guest time 0, UTC since 1970 */
	u64 latency_ns; /* of disks without a model */
};

/* A description's clock: "host", or "virtual" with options. -EINVAL and a sentence for others. */
int virtual_parse(const char *clock, bool *is_virtual, struct virtual_options *out,
		  struct alc_err *err) ALC_MUST_CHECK;

struct machine;

struct machine_virtual {
	bool on;
	struct virtual_options opts;
	struct alc_entropy rounds; /* their lengths */
	u64 now_ns;                /* where the last round ended */
	_Atomic(bool) asleep;      /* nothing to do until the outside world comes */
	u64 rounds_run, idle_ns;
	size_t hashes_done;
};

/* The thread that runs all CPUs. */
void virtual_main(void *arg);
/* A CPU got attention, on the running thread or from outside. */
void virtual_kick(struct machine *m, unsigned cpu);

#endif
