/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/model/geometry.h"

#include "base/errno.h"

/*
 * Half the exponent of a double is a first guess of its root, and Newton's steps double the digits
 * that are right. The rest is put right in whole numbers, so that rounding doesn't matter.
 */
u64 integer_root(u64 v)
{
	double x = (double)v, y;
	u64 bits, root;

	if (!v)
		return 0;
	__builtin_memcpy(&bits, &x, sizeof(bits));
	bits = (bits >> 1) + (1023ull << 51);
	__builtin_memcpy(&y, &bits, sizeof(y));
	for (unsigned i = 0; i < 3; i++)
		y = 0.5 * (y + x / y);
	root = min_u64((u64)y, UINT32_MAX);
	while (root * root > v)
		root--;
	while (v - root * root > 2 * root)
		root++;
	return root;
}

/* ---- Layout ------------------------------------------------------------------------------- */

static u64 zone_track_sectors(const struct geometry_params *p, u64 zone)
{
	return p->zones == 1 ? p->outer : p->outer - (p->outer - p->inner) * zone / (p->zones - 1);
}

static int lay_out(struct geometry *g, const struct geometry_params *p, u64 sectors,
		   struct alc_err *err)
{
	u64 column = 0, first_sector = 0; /* sectors under one cylinder of each zone */
	u64 zone_cylinders;

	for (u64 z = 0; z < p->zones; z++)
		column += p->heads * zone_track_sectors(p, z);
	zone_cylinders = max_u64((sectors + column - 1) / column, 1);
	if (zone_cylinders * p->zones > INT32_MAX)
		return alc_fail(err, -ERANGE, "a disk of so many sectors needs larger tracks");
	for (u64 z = 0; z < p->zones; z++) {
		g->zones[z] = (struct zone){first_sector, (u32)(z * zone_cylinders),
					    (u32)zone_track_sectors(p, z)};
		first_sector += zone_cylinders * p->heads * zone_track_sectors(p, z);
	}
	g->nzones = (u32)p->zones;
	g->cylinders = (u32)(zone_cylinders * p->zones);
	return 0;
}

static u64 fixed_root(u32 distance)
{
	return integer_root((u64)distance << 32);
}

int geometry_init(struct geometry *g, const struct geometry_params *p, u64 sectors,
		  struct alc_err *err)
{
	int rc;

	if (p->inner > p->outer)
		return alc_fail(err, -EINVAL,
				"the inner tracks of a disk can't have more sectors than the outer "
				"ones");
	if (p->single_ns > p->average_ns || p->average_ns > p->full_ns)
		return alc_fail(err, -EINVAL, "longer seeks of a disk can't take less time");
	*g = (struct geometry){.rotation_ns = p->rotation_ns,
			       .head_switch_ns = p->head_switch_ns,
			       .write_settle_ns = p->write_settle_ns,
			       .single_ns = p->single_ns,
			       .average_ns = p->average_ns,
			       .full_ns = p->full_ns,
			       .heads = (u32)p->heads};
	rc = lay_out(g, p, sectors, err);
	if (rc)
		return rc;
	g->knee = (g->cylinders - 1) / 3;
	g->root_one = fixed_root(1);
	g->root_knee = fixed_root(g->knee);
	g->head_skew_ns = (p->head_switch_ns + p->write_settle_ns) % p->rotation_ns;
	g->cylinder_skew_ns = ((p->heads - 1) * g->head_skew_ns +
			       max_u64(p->single_ns, p->head_switch_ns) + p->write_settle_ns) %
			      p->rotation_ns;
	return 0;
}

static const struct zone *zone_of(const struct geometry *g, u64 sector)
{
	u32 low = 0, high = g->nzones;

	while (high - low > 1) {
		u32 mid = (low + high) / 2;

		if (g->zones[mid].first_sector <= sector)
			low = mid;
		else
			high = mid;
	}
	return &g->zones[low];
}

struct place geometry_place(const struct geometry *g, u64 sector)
{
	const struct zone *z = zone_of(g, sector);
	u64 in_zone = sector - z->first_sector;
	u64 in_track = in_zone % z->track_sectors, track = in_zone / z->track_sectors;
	struct place p = {
		.track = {z->first_cylinder + (u32)(track / g->heads), (u32)(track % g->heads)},
		.index = (u32)in_track,
		.track_sectors = z->track_sectors};

	p.skew_ns = (p.track.cylinder * g->cylinder_skew_ns + p.track.head * g->head_skew_ns) %
		    g->rotation_ns;
	return p;
}

/* ---- Motion ------------------------------------------------------------------------------- */

u64 geometry_seek_ns(const struct geometry *g, u32 cylinders)
{
	if (cylinders <= 1)
		return cylinders ? g->single_ns : 0;
	if (cylinders <= g->knee)
		return g->single_ns + (g->average_ns - g->single_ns) *
					      (fixed_root(cylinders) - g->root_one) /
					      (g->root_knee - g->root_one);
	if (g->knee <= 1)
		return g->full_ns;
	return g->average_ns +
	       (g->full_ns - g->average_ns) * (cylinders - g->knee) / (g->cylinders - 1 - g->knee);
}

static u64 move_ns(const struct geometry *g, struct track from, struct track to, bool write)
{
	u32 distance = from.cylinder > to.cylinder ? from.cylinder - to.cylinder
						   : to.cylinder - from.cylinder;
	u64 ns = geometry_seek_ns(g, distance);

	if (from.head != to.head)
		ns = max_u64(ns, g->head_switch_ns);
	else if (!distance)
		return 0;
	return ns + (write ? g->write_settle_ns : 0);
}

/* When a sector begins after the track does. */
static u64 offset_ns(const struct geometry *g, const struct place *p, u32 index)
{
	return index * g->rotation_ns / p->track_sectors;
}

u64 geometry_reach_ns(const struct geometry *g, struct track from, u64 t, const struct place *to,
		      bool write)
{
	u64 there = t + move_ns(g, from, to->track, write);
	u64 angle = there % g->rotation_ns;
	u64 wanted = to->skew_ns + offset_ns(g, to, to->index);

	if (wanted >= g->rotation_ns)
		wanted -= g->rotation_ns;
	return there + (wanted >= angle ? wanted - angle : wanted + g->rotation_ns - angle);
}

u64 geometry_transfer_ns(const struct geometry *g, u64 sector, u64 sectors, u64 t, bool write,
			 struct track *track)
{
	for (;;) {
		struct place p = geometry_place(g, sector);
		u32 n = (u32)min_u64(sectors, p.track_sectors - p.index);

		t += offset_ns(g, &p, p.index + n) - offset_ns(g, &p, p.index);
		*track = p.track;
		sector += n;
		sectors -= n;
		if (!sectors)
			return t;
		p = geometry_place(g, sector);
		t = geometry_reach_ns(g, *track, t, &p, write);
	}
}

/* How many sectors of one track have passed after `ns`, from the one at p on. */
static u32 passed_in_track(const struct geometry *g, const struct place *p, u64 ns)
{
	u64 offset = offset_ns(g, p, p->index) + ns;

	if (offset >= g->rotation_ns)
		return p->track_sectors - p->index;
	/* The last index whose offset, rounded down, is not beyond it. */
	return (u32)(((offset + 1) * p->track_sectors - 1) / g->rotation_ns) - p->index;
}

u64 geometry_passed(const struct geometry *g, u64 sector, u64 sectors, u64 until_ns, u64 *t,
		    struct track *track)
{
	u64 done = 0;

	while (done < sectors) {
		struct place p = geometry_place(g, sector + done);
		u64 begin = *t;
		u32 n;

		if (p.track.cylinder != track->cylinder || p.track.head != track->head)
			begin = geometry_reach_ns(g, *track, begin, &p, false);
		if (begin > until_ns)
			break;
		n = (u32)min_u64(passed_in_track(g, &p, until_ns - begin), sectors - done);
		*t = begin + offset_ns(g, &p, p.index + n) - offset_ns(g, &p, p.index);
		*track = p.track;
		done += n;
		if (p.index + n < p.track_sectors)
			break;
	}
	return done;
}
