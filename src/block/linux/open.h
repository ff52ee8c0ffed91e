/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_LINUX_OPEN_H
#define BLOCK_LINUX_OPEN_H

#include "alcazar/vm.h"
#include "block/block.h"
#include "host/host.h"

/*
 * Opens what a disk's description says: PATH, null:SIZE or ram:SIZE, and the stages that its
 * options ask for. Options that are not a back end's (see BLOCK_OPTIONS in open.c) are the
 * device's: they are copied to rest, which has room for all.
 */
int block_open(const struct alc_host *host, const struct alc_disk_desc *d,
	       struct alc_device_opt *rest, size_t *nrest, struct block **out,
	       struct alc_err *err) ALC_MUST_CHECK;

#endif
