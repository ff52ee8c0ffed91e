/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_MODEL_ARM_H
#define BLOCK_MODEL_ARM_H

#include "block/disk_req.h"
#include "block/model/geometry.h"
#include "block/model/segcache.h"

/*
 * The one thing in a disk that is scarce: the arm with its heads, and what waits for it.
 *
 * When the arm is free and something waits, it takes that whose first sector can be under the head
 * the soonest (shortest access time first); of equals a request before data of the write cache,
 * then the older. But a request that has waited longer than the patience goes first, the oldest of
 * them. Data of the write cache compete only if no request waits or if their buffer is more than
 * half full. Something that comes at the instant at which the arm becomes free comes after the
 * choice.
 *
 * After a read the heads read on into the cache, until they have read ahead enough or have
 * something else to do.
 */
struct job {
	struct disk_req *req; /* NULL: data of the write cache */
	u64 sector;
	u64 sectors;
	bool write;
	u64 since_ns, ready_ns; /* when it came; when the controller has worked on it */
	struct place place;
};

struct jobs {
	struct job *all; /* the oldest first */
	unsigned n, max;
};

/* Read-ahead: [base, next) has been read in one sweep, and what follows up to `end` will be. */
struct ahead {
	bool on;
	u64 base, next, end;
	u64 at_ns; /* when `next` begins to pass, see geometry_passed */
};

struct arm {
	const struct geometry *geometry;
	struct segcache *cache; /* or NULL */
	u64 disk_sectors, prefetch, patience_ns;

	u64 free_ns;
	struct track track;
	bool busy; /* with `current`, until free_ns */
	struct job current;
	struct ahead ahead;

	struct jobs requests, dirty;
	u64 dirty_sectors, dirty_max;
	u64 seeks, seek_cylinders, destages;
};

/* Adds a job to one of the two lists, which has room. */
void arm_add(struct arm *a, struct jobs *to, const struct job *job, u64 now_ns);
/*
 * Makes the next move that is due at now_ns or before. False: none is. Else *started is what the
 * arm took up; it will be done at free_ns.
 */
bool arm_step(struct arm *a, u64 now_ns, struct job *started);
/* Brings the read-ahead up to now_ns. */
void arm_read_ahead(struct arm *a, u64 now_ns);
/*
 * A read now whose last sectors are being read ahead: keeps the heads at it until they have passed.
 * False: it isn't such a read.
 */
bool arm_stream(struct arm *a, u64 sector, u64 sectors, u64 *done_ns);
/* A read within the sweep was served: the heads, brought up to now_ns, read on behind it. */
void arm_read_on(struct arm *a, u64 sector, u64 sectors, u64 now_ns);
/* The same arm without its cache, for looking into the future; its lists are copied into `to`. */
struct arm arm_copy(const struct arm *a, struct job *to);

#endif
