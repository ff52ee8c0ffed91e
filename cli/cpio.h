/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_CPIO_H
#define CLI_CPIO_H

#include <stddef.h>

#include "options.h"

/*
 * A newc archive with /alcazar/command, which tells the default guest's first process what to run:
 * each argument followed by a NUL. To be appended to the initrd; freed with free().
 */
void *cpio_command(struct strings argv, size_t *len);

#endif
