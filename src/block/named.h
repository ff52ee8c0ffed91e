/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_NAMED_H
#define BLOCK_NAMED_H

#include "alcazar/err.h"
#include "base/bits.h"

/*
 * Looks NAME of "NAME" or "NAME:PARAM=VALUE:…" up in a table. row i of it is at
 * (const char *)table + i * stride and begins with a `const char *name`; a NULL name ends it.
 * *params is what follows the colon, or "". NULL: there is no such name, and err, which calls the
 * thing `what`, suggests the nearest.
 */
const void *named_find(const void *table, size_t stride, const char *what, const char *text,
		       const char **params, struct alc_err *err);

/* The same for a NULL-terminated table of pointers to such rows. */
const void *named_find_in(const void *const *rows, const char *what, const char *text,
			  const char **params, struct alc_err *err);

#endif
