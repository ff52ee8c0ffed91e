/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOST_LINUX_CONFINE_H
#define HOST_LINUX_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "alcazar/err.h"

/*
 * Confinement of a helper process, for good, by itself: what parses bytes from strangers keeps
 * the descriptors it has and may do what its profile lists.
 *
 * In this order: limits; no new privileges; no file system (Landlock, where the kernel has it; no
 * new TCP listeners either, and no way to processes outside); user and groups given up if root,
 * all capabilities dropped, also for later; not dumpable; dies with its parent; last a seccomp
 * filter.
 */
enum confine_verdict { CONFINE_ALLOW, CONFINE_REFUSE /* -EPERM; all that is not listed kills */ };
enum confine_compare { CONFINE_EQUAL = 1, CONFINE_BITS /* (arg & mask) == value */ };

struct confine_condition {
	uint8_t compare; /* enum confine_compare; 0 ends the conditions */
	uint8_t arg;
	uint64_t value, mask;
};

/* Rows of one call add up; within one row all conditions must hold. */
struct confine_rule {
	const char *call, *why;
	enum confine_verdict verdict;
	struct confine_condition when[3];
};

struct confine_profile {
	const char *process, *purpose;
	const struct confine_rule *rules;
	size_t nrules;
	int fds_kept;        /* 0 .. fds_kept-1 are inherited */
	unsigned fds_max;    /* that may be open at a time */
	uint64_t memory_max; /* address space */
	bool dies_with_parent;
};

/* First of all: closes what the process should not have inherited. */
int confine_close_others(const struct confine_profile *p, struct alc_err *err) ALC_MUST_CHECK;
/* Once, while the process has one thread. On failure the process must end. */
int confine(const struct confine_profile *p, struct alc_err *err) ALC_MUST_CHECK;
/* What confine does on this host, for people or as JSON. */
void confine_describe(const struct confine_profile *p, bool json, FILE *to);

#endif
