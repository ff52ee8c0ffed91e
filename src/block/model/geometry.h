/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_MODEL_GEOMETRY_H
#define BLOCK_MODEL_GEOMETRY_H

#include "alcazar/err.h"
#include "base/bits.h"

/*
 * Where the sectors of a disk lie, how long its arm takes, and when a sector comes by.
 *
 * Sectors fill the tracks of a cylinder, head by head, then the next cylinder, from the outside to
 * the inside. All zones have as many cylinders, and fewer sectors per track from zone to zone:
 * zone z of Z has outer - (outer - inner) * z/(Z-1), rounded down. There are as many cylinders as
 * the sectors need, the same number in each zone.
 *
 * The angle is a function of time: at instant t the disk stands at t modulo the rotation, and an
 * angle is given as the instant in the first rotation at which it passes the heads. Sector s of n
 * in a track begins at skew + s * rotation/n, rounded down. The skew of the first track is 0; from
 * track to track it grows by the time that it takes to get to it for writing, so that long
 * transfers lose nothing there: by the head switch within a cylinder, by a seek of one cylinder
 * between them (or a head switch, if that takes longer), each with the settling for writes.
 *
 * A seek over d cylinders takes a + b*sqrt(d) up to a knee and c + e*d beyond it, which three
 * figures of a data sheet fix: d = 1 takes `single`; the knee, a third of the full stroke and so
 * about the mean distance of random seeks, takes `average`; the full stroke takes `full`.
 */
enum { GEOMETRY_ZONES_MAX = 64 };

struct geometry_params {
	u64 rotation_ns;
	u64 heads, zones, outer, inner; /* sectors per track of the first zone and of the last */
	u64 single_ns, average_ns, full_ns;
	u64 head_switch_ns, write_settle_ns;
};

struct zone {
	u64 first_sector;
	u32 first_cylinder;
	u32 track_sectors;
};

struct geometry {
	u64 rotation_ns, head_switch_ns, write_settle_ns;
	u64 head_skew_ns, cylinder_skew_ns; /* from track to track; from cylinder to cylinder */
	u64 single_ns, average_ns, full_ns;
	u64 root_one, root_knee; /* 2^16 * sqrt of the distance */
	u32 heads, cylinders, knee, nzones;
	struct zone zones[GEOMETRY_ZONES_MAX];
};

struct track {
	u32 cylinder, head;
};

/* Where a sector is. */
struct place {
	struct track track;
	u32 index, track_sectors; /* which of its track, of how many */
	u64 skew_ns;              /* of the track */
};

/* -ERANGE: more cylinders than there can be. */
int geometry_init(struct geometry *g, const struct geometry_params *p, u64 sectors,
		  struct alc_err *err) ALC_MUST_CHECK;
struct place geometry_place(const struct geometry *g, u64 sector);
u64 geometry_seek_ns(const struct geometry *g, u32 cylinders);
/* From where the heads are at t: when the sector begins to pass them. */
u64 geometry_reach_ns(const struct geometry *g, struct track from, u64 t, const struct place *to,
		      bool write);
/*
 * A transfer that begins at t, when the first sector begins to pass: when the last one has passed.
 * *track: where the heads are then.
 */
u64 geometry_transfer_ns(const struct geometry *g, u64 sector, u64 sectors, u64 t, bool write,
			 struct track *track);
/*
 * A read that begins at *t, when the first sector begins to pass, and is stopped at until_ns or
 * after `sectors`: how many have passed whole. *t and *track are then where the next one begins to
 * pass; if that is in the next track, where the last one ended.
 */
u64 geometry_passed(const struct geometry *g, u64 sector, u64 sectors, u64 until_ns, u64 *t,
		    struct track *track);

/* The greatest r with r * r <= v. */
u64 integer_root(u64 v);

#endif
