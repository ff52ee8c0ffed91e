/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_LINUX_OPEN_H
#define BLOCK_LINUX_OPEN_H

#include "alcazar/device.h"
#include "alcazar/vm.h"
#include "block/block.h"
#include "host/host.h"

/*
 * From what a user writes to a pipeline: a back end, and an overlay on it if that is asked for.
 *
 * file: PATH, nbd:URI (or the URI itself), null:SIZE, ram:SIZE.
 *
 * A program that sets a limit on the size of files ignores SIGXFSZ, so that a write beyond it is
 * an error of the disk rather than the end of the program.
 */
extern const struct alc_option_info block_options[];
extern const size_t block_options_count;
/* Is it one of those? What is not may be the device's. */
bool block_option_known(const char *key);

/*
 * opts: a NULL value is an option given without one. -EINVAL: an option that is unknown, or has a
 * value that can't be; others: of the file.
 */
int block_open(const struct alc_host *host, const char *file, const struct alc_device_opt *opts,
	       size_t nopts, struct block **out, struct alc_err *err) ALC_MUST_CHECK;

#endif
