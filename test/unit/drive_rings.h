/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_DRIVE_RINGS_H
#define TEST_DRIVE_RINGS_H

#include "drive_test.h"

/*
 * The slow oracle of the segmented cache: each segment is a ring with a slot for each sector, and
 * for each sector of the disk there is a mask of the segments that have it.
 */
enum { RINGS_MAX = 64 };

struct ring {
	u64 *slots;
	unsigned used, write_at;
	u64 newest; /* meaningful if used */
};

struct rings {
	struct ring rings[RINGS_MAX];
	unsigned n, slots, prefetch, fifo;
	bool keep_writes;
	u64 disk_sectors;
	u64 *held; /* of each sector */
};

static inline void rings_init(struct rings *c, unsigned n, unsigned slots, unsigned prefetch,
			      bool keep_writes, u64 disk_sectors)
{
	assert_true(n <= RINGS_MAX);
	*c = (struct rings){.n = n,
			    .slots = slots,
			    .prefetch = prefetch < slots ? prefetch : slots,
			    .keep_writes = keep_writes,
			    .disk_sectors = disk_sectors,
			    .held = calloc(disk_sectors, sizeof(u64))};
	for (unsigned i = 0; i < n; i++)
		c->rings[i].slots = calloc(slots, sizeof(u64));
}

static inline void rings_fini(struct rings *c)
{
	for (unsigned i = 0; i < c->n; i++)
		free(c->rings[i].slots);
	free(c->held);
}

static inline bool rings_have(const struct rings *c, u64 sector, u64 sectors)
{
	u64 all = ~0ull;

	for (u64 i = 0; i < sectors; i++)
		all &= c->held[sector + i];
	return all != 0;
}

static inline void ring_clear(struct rings *c, unsigned i)
{
	struct ring *r = &c->rings[i];

	for (unsigned k = 0; k < r->used; k++)
		c->held[r->slots[k]] &= ~(1ull << i);
	r->used = r->write_at = 0;
}

static inline void ring_push(struct rings *c, unsigned i, u64 sector)
{
	struct ring *r = &c->rings[i];

	if (r->used == c->slots)
		c->held[r->slots[r->write_at]] &= ~(1ull << i);
	else
		r->used++;
	r->slots[r->write_at] = sector;
	r->newest = sector;
	r->write_at = (r->write_at + 1) % c->slots;
	c->held[sector] |= 1ull << i;
}

static inline unsigned rings_take(struct rings *c)
{
	unsigned i = c->fifo;

	c->fifo = (i + 1) % c->n;
	ring_clear(c, i);
	return i;
}

static inline void rings_fill(struct rings *c, u64 sector, u64 sectors)
{
	int to = -1;

	for (unsigned i = 0; i < c->n; i++) {
		const struct ring *r = &c->rings[i];
		bool next_to_it = r->used && r->newest + 1 == sector;

		if (!next_to_it && (sector >= c->disk_sectors || !(c->held[sector] >> i & 1)))
			continue;
		if (to < 0 || r->newest > c->rings[to].newest)
			to = (int)i;
	}
	if (to < 0)
		to = (int)rings_take(c);
	for (u64 s = sector; s < sector + sectors; s++)
		if (!c->rings[to].used || s > c->rings[to].newest)
			ring_push(c, (unsigned)to, s);
}

static inline bool rings_read(struct rings *c, u64 sector, u64 sectors)
{
	u64 ahead = c->prefetch;

	if (rings_have(c, sector, sectors))
		return true;
	if (sector + sectors + ahead > c->disk_sectors)
		ahead = c->disk_sectors - sector - sectors;
	rings_fill(c, sector, sectors + ahead);
	return false;
}

static inline void rings_write(struct rings *c, u64 sector, u64 sectors)
{
	unsigned to;

	for (u64 s = sector; s < sector + sectors; s++)
		for (unsigned i = 0; c->held[s] && i < c->n; i++)
			if (c->held[s] >> i & 1)
				ring_clear(c, i);
	if (!c->keep_writes)
		return;
	to = rings_take(c);
	for (u64 s = sector; s < sector + sectors; s++)
		ring_push(c, to, s);
}

#endif
