/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef MEM_REGION_H
#define MEM_REGION_H

#include "alcazar/err.h"
#include "host/host.h"
#include "base/bits.h"

/*
 * Device regions by address: the same sorted table serves guest-physical memory and I/O ports.
 * Values travel as u64 plus size (1, 2, 4 or 8 bytes), little-endian.
 *
 * Threading: add and remove only while no vCPU runs; find and access from any thread.
 */
struct alc_region {
	const char *name;
	u64 base, size;
	/* off + access_size <= size holds; reads return only the low access_size bytes. */
	u64 (*read)(void *ctx, u64 off, unsigned access_size);
	void (*write)(void *ctx, u64 off, u64 val, unsigned access_size);
	void *ctx;
};

struct region_map {
	const struct alc_host *host;
	struct alc_region *regions; /* sorted by base, disjoint */
	size_t count, cap;
};

void region_map_init(struct region_map *m, const struct alc_host *host);
void region_map_fini(struct region_map *m);
/* Copies r. -EEXIST on overlap (names both), -EINVAL on a zero size or wrap-around, -ENOMEM. */
int region_add(struct region_map *m, const struct alc_region *r,
	       struct alc_err *err) ALC_MUST_CHECK;
/* Takes out the region that begins at base, if there is one. */
void region_remove(struct region_map *m, u64 base);
/* The region that holds addr, or NULL. */
const struct alc_region *region_find(const struct region_map *m, u64 addr);
/*
 * One access, split at region ends: what no region claims reads as all ones and swallows writes.
 */
u64 region_read(const struct region_map *m, u64 addr, unsigned size);
void region_write(const struct region_map *m, u64 addr, u64 val, unsigned size);

#endif
