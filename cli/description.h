/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_DESCRIPTION_H
#define CLI_DESCRIPTION_H

#include "options.h"

/*
 * A machine's description as YAML: the keys are those of the option table's rows that have one.
 * All values are kept as text; they are checked where the flags are.
 */

/* Reads path into fresh values; -1 after having said why. Freed by description_free. */
int description_read(const struct option_row *rows, size_t values_size, const char *path,
		     void **values);
void description_free(const struct option_row *rows, size_t values_size, void *values);
/* Writes what is set in values; -1 after having said why. */
int description_write(const struct option_row *rows, size_t values_size, const void *values,
		      FILE *out);

#endif
