/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_OVERLAY_H
#define BLOCK_OVERLAY_H

#include "alcazar/err.h"
#include "block/block.h"
#include "host/host.h"

/*
 * A copy-on-write stage: reads come from a base that is never written to, but for the clusters
 * that a store has.
 *
 * The store is a block device of any kind, most often a sparse file. Little-endian:
 *
 *	0	header, one block of 4 KiB: struct overlay_header
 *	4 KiB	bitmap, one bit a cluster, least significant first, whole blocks of 4 KiB: the
 *		store has the cluster
 *	then	from the next multiple of a cluster on, the clusters at their places
 *
 * Order on disk: a bit is written only after a flush of the store that began after the cluster's
 * data were there, and a guest's flush is done only after a flush that follows the bits. A crash
 * in between leaves the bit clear, and the cluster is the base's again, which is what it was at
 * the last flush that was acknowledged.
 */
enum {
	OVERLAY_CLUSTER_BITS = 16, /* what is made; 12 to 21 are understood */
	OVERLAY_BASE_NAME_MAX = 1024,
};

/* Bytes that a store needs. 0: no overlay of that size can be. */
u64 overlay_store_size(u64 base_size, unsigned cluster_bits);
/*
 * Makes an empty overlay. What the store holds of clusters is not looked at, but the bitmap is
 * cleared. The store's size must be enough.
 */
int overlay_format(const struct alc_host *host, struct block *store, u64 base_size,
		   const char *base_name, unsigned cluster_bits,
		   struct alc_err *err) ALC_MUST_CHECK;
/*
 * Does the store hold an overlay, and of what? name_out, with room for OVERLAY_BASE_NAME_MAX
 * bytes, gets the base's name as overlay_format was told. All of the store is distrusted.
 */
int overlay_identify(const struct alc_host *host, struct block *store, u64 *base_size,
		     char *name_out, struct alc_err *err) ALC_MUST_CHECK;
/*
 * Takes base and store, which it closes in the end; when it fails they stay the caller's.
 * keep: the store is to outlive the machine. If not, a flush has nothing to do.
 */
int block_overlay_create(const struct alc_host *host, struct block *base, struct block *store,
			 bool keep, struct block **out, struct alc_err *err) ALC_MUST_CHECK;

#endif
