/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SIMPLE_H
#define BLOCK_SIMPLE_H

#include "alcazar/err.h"
#include "block/block.h"
#include "host/host.h"

/* Back ends that live in memory. They are done with a request within submit. */

/* Reads as zeroes, forgets writes. size: a multiple of 512. */
int block_null_create(const struct alc_host *host, u64 size, struct block **out,
		      struct alc_err *err) ALC_MUST_CHECK;
/*
 * RAM. bytes: what the disk is made of, which stays the caller's and must outlive it; NULL: memory
 * of its own, zeroed.
 */
int block_ram_create(const struct alc_host *host, u64 size, u8 *bytes, struct block **out,
		     struct alc_err *err) ALC_MUST_CHECK;

#endif
