/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_LINUX_NBD_H
#define BLOCK_LINUX_NBD_H

#include "alcazar/err.h"
#include "block/block.h"
#include "host/host.h"

/*
 * Network block devices, by libnbd: whatever nbdkit and qemu-nbd can serve. Without TLS.
 *
 * uri: as the NBD project writes it: nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?socket=PATH. A
 * server that goes away is not looked for again: all requests fail from then on.
 */
int block_nbd_open(const struct alc_host *host, const char *uri, bool read_only, struct block **out,
		   struct alc_err *err) ALC_MUST_CHECK;

#endif
