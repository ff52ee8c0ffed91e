/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_OVERLAY_FORMAT_H
#define BLOCK_OVERLAY_FORMAT_H

#include "block/overlay.h"

/* Private to overlay*.c: where things are in a store. */
enum { OVERLAY_HEADER_LEN = 4096, OVERLAY_BITMAP_AT = 4096, OVERLAY_BITMAP_BLOCK = 4096 };

struct overlay_layout {
	u64 size; /* of the base */
	unsigned cluster_bits;
	u64 clusters;
	u64 bitmap_len; /* whole blocks */
	u64 data_at;
	u64 store_size;
};

/* False: there can be no such overlay. */
bool overlay_layout(u64 base_size, unsigned cluster_bits, struct overlay_layout *out);
/* Reads and checks the header; name_out may be NULL. */
int overlay_read_header(const struct alc_host *host, struct block *store,
			struct overlay_layout *out, char *name_out, struct alc_err *err);

#endif
