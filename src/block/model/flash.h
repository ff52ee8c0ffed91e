/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_MODEL_FLASH_H
#define BLOCK_MODEL_FLASH_H

#include "alcazar/err.h"
#include "block/model/timeline.h"
#include "host/host.h"

/*
 * The flash of a solid-state drive: dies on channels, their blocks, the map from logical units to
 * places in them, garbage collection and wear; and when what it does is done.
 *
 * Place. A unit is what the map maps. A page has some units, a block some pages. As many units as
 * a page has go to one die, the next ones to the next die, die i being on channel i modulo the
 * number of channels; a unit never leaves its die. Within a die units are written one after the
 * other into an open block; when it is full, the free block with the fewest erasures is opened, of
 * equals the first. What lies before `filled` has been written once, in order, from the first block
 * of each die on; the last of these blocks stays as it is, whatever room it has.
 *
 * Garbage collection. When a die has no more than `reserve` free blocks after a unit was written
 * for the host, the full block with the fewest valid units becomes its victim, of equals the
 * first; it had v of them out of n. From then on each unit written for the host moves
 * ceil(v / (n-v)) valid units of the victim, in their order, or twice as many and one if fewer
 * than `reserve` were free; when there is none left, it is erased.
 *
 * Wear. A block bears a number of erasures of its own, `endurance` plus or minus up to its part
 * `spread` (rounded down, s): endurance - s + h mod (2*s + 1), where h is the last step of
 * splitmix64 on seed ^ block << 20, blocks counted through all dies. At the erasure that reaches
 * it, it is retired. When a die has not enough blocks left for its units, the reserve and two more,
 * or no free one when it needs one, the drive's life is over: it can be read only. A page must be
 * sensed again, up to 8 times, each time with a chance that grows with the square of the block's
 * erasures (those beyond twice `endurance` don't count), from 0 to `retry` at `endurance`: if the
 * upper half of the next number of splitmix64, begun with seed, is below the chance as a fraction
 * of 2^32, rounded down. An erasure takes longer in proportion to those before it, by `slower` (in
 * 1/65536, rounded down) at `endurance`.
 *
 * Time. A die does one thing after the other in the order in which they are asked for. Reading a
 * unit: the die senses the page, then the channel carries the unit in the first gap that it has;
 * the die is busy until then.
 * Further units of the same page at once after that need no sensing. Writing: the channel carries
 * the unit when it is there and the die is free, then the die is busy for the unit's share of the
 * time in which a page is programmed. Moving a unit is to read it and to write it.
 */
struct flash_params {
	u64 channels, dies; /* in all */
	u64 page_units, block_pages, reserve;
	u64 sense_ns, program_ns, erase_ns; /* a page, a page, a block */
	u64 carry_ns;                       /* a unit, on a channel */
	u64 endurance, age;                 /* erasures; those that each block has had before */
	double spare; /* blocks more than the units need, as a part of those */
	double spread, retry, slower;
};

struct flash_stats {
	u64 senses, retries, programs, moves, erases, retired;
	u64 worst_erases; /* of a block */
	bool read_only;
};

struct flash;

/* -ERANGE: more units than there can be. */
int flash_create(const struct alc_host *host, const struct flash_params *params, u64 units,
		 u64 filled, u64 seed, struct flash **out, struct alc_err *err) ALC_MUST_CHECK;
void flash_destroy(struct flash *f);

/* Nothing will be ready before now_ns any more. */
void flash_forget(struct flash *f, u64 now_ns);
/* A read of several units, one call each in a row: which page was read last. */
struct flash_run {
	u64 page; /* and one, 0: none */
	u64 end_ns;
};
/* When a unit is across the channel. A unit that was never written needs no read: ready_ns. */
u64 flash_read(struct flash *f, u64 unit, u64 ready_ns, struct flash_run *run);
/* When it has been programmed. False: it can't be written, the drive can be read only. */
bool flash_write(struct flash *f, u64 unit, u64 ready_ns, u64 *end_ns);
const struct flash_stats *flash_stats(const struct flash *f);

#endif
