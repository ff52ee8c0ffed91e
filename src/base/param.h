/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_PARAM_H
#define BASE_PARAM_H

#include "alcazar/err.h"
#include "base/bits.h"

/*
 * Named parameters of a model, a scheduler, a workload or a stage: one table for defaults, parsing,
 * sweeps, listings and help. The values live in a structure of the owner.
 *
 * As text a set of them is NAME=VALUE:NAME=VALUE…, since commas separate the options around it.
 */
enum param_kind {
	PARAM_COUNT, /* u64: decimal or 0x hexadecimal, or with K, M, G, T (powers of 1024) */
	PARAM_TIME,  /* u64 nanoseconds: a decimal number and ns, us, ms or s, as in 3.5ms */
	PARAM_REAL,  /* double: a decimal number, also with an exponent */
	PARAM_FLAG,  /* bool: on or off */
};

struct param {
	const char *name; /* NULL ends a table */
	const char *help; /* a phrase, with the unit */
	enum param_kind kind;
	u32 offset;          /* in the owner's structure: u64, double or bool */
	const char *initial; /* the default, as text: one that its kind and range allow */
	double min, max;     /* of the value in the structure; not for flags */
};

/* Writes all defaults into values, then what text says. text may be NULL or empty. */
int param_parse(const struct param *table, const char *text, void *values,
		struct alc_err *err) ALC_MUST_CHECK;
/* The same without the defaults: what text does not name stays as it is. */
int param_override(const struct param *table, const char *text, void *values,
		   struct alc_err *err) ALC_MUST_CHECK;
/*
 * One value. -ENOENT: no such name (the message suggests the nearest); -EINVAL: not a value of its
 * kind; -ERANGE. The structure is untouched then.
 */
int param_set(const struct param *table, const char *name, const char *value, void *values,
	      struct alc_err *err) ALC_MUST_CHECK;

#endif
