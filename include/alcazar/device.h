/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ALCAZAR_DEVICE_H
#define ALCAZAR_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "alcazar/err.h"

/*
 * What device classes and engines this build has, for listings and help.
 */
struct alc_option_info {
	const char *name, *type, *initial, *help; /* type: uint, bool, string */
};

struct alc_device_info {
	const char *name, *summary;
	bool platform; /* part of every machine; not for --device */
	/* A PCI function: it also takes addr=SLOT[.FUNCTION] and bus=ID, a root port's. */
	bool pci;
	const struct alc_option_info *options;
	size_t noptions;
};

/* The i-th class in alphabetical order, or false. Strings and options live as long as the program.
 */
bool alc_device_info(size_t i, struct alc_device_info *out);

struct alc_engine_info {
	const char *name, *summary;
	bool usable, chosen; /* chosen: what `auto` takes */
	unsigned good;       /* larger is better; 0: usable, but `auto` never takes it */
	char why[200];
};

struct alc_host;
/* Probes the i-th engine (best first) on this host, or false. */
bool alc_engine_info(struct alc_host *host, size_t i, struct alc_engine_info *out);

/* The i-th CPU profile's name, or NULL. */
const char *alc_cpu_profile(size_t i);

/*
 * What the i-th of the helper processes that a machine may have is allowed to do, as text or as a
 * JSON object, in a string that the caller frees with free(). -ENOENT: there is no i-th; -ENOEXEC
 * and others, with a sentence: it can't be asked.
 */
int alc_confinement(size_t i, bool json, char **out, struct alc_err *err) ALC_MUST_CHECK;

#endif
