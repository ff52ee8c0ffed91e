/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/model/flash.h"

#include "base/errno.h"

enum { RETRIES_MAX = 8, NONE = -1 };

enum use { USE_FREE, USE_OPEN, USE_FULL, USE_VICTIM, USE_RETIRED };

struct flash_block {
	u32 valid; /* units */
	u32 erases;
	u8 use;
};

struct die {
	u64 free_ns;
	u32 free_blocks, usable_blocks;
	i32 open, victim; /* blocks, or NONE */
	u32 open_used;    /* units written in it */
	u32 victim_next;  /* unit of it to look at */
	u32 moves;        /* for each unit of the host */
};

/*
 * The two maps have a word for each unit, which costs memory only where they were written: 0 is
 * what holds at the start, else it is the number plus one. At the start a unit before `filled` is
 * at its place in the order in which the dies are filled.
 */
struct flash {
	const struct alc_host *host;
	struct flash_params params;
	u64 units, filled, seed, draw;
	u64 retry_32, slower_16; /* fixed point */
	u32 block_units, die_blocks, least_blocks;
	struct alc_host_ram place_of, unit_at;
	struct timeline *channels;
	struct die *dies;
	struct flash_block *blocks; /* of die 0, of die 1… */
	struct flash_stats stats;
};

static u64 mixed(u64 z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* ---- Places ------------------------------------------------------------------------------- */

static u32 die_of(const struct flash *f, u64 unit)
{
	return (u32)(unit / f->params.page_units % f->params.dies);
}

/* Its number among the units of its die, and back. */
static u64 index_in_die(const struct flash *f, u64 unit)
{
	u64 n = f->params.page_units;

	return unit / n / f->params.dies * n + unit % n;
}

static u64 unit_of_index(const struct flash *f, u32 die, u64 index)
{
	u64 n = f->params.page_units;

	return (index / n * f->params.dies + die) * n + index % n;
}

static u64 die_places(const struct flash *f)
{
	return (u64)f->die_blocks * f->block_units;
}

static u32 *word(const struct alc_host_ram *map, u64 i)
{
	return (u32 *)(void *)map->base + i;
}

/* Where a unit is, plus one; 0: nowhere. */
static u64 find_place(const struct flash *f, u64 unit)
{
	u32 place = *word(&f->place_of, unit);

	if (place || unit >= f->filled)
		return place;
	return die_of(f, unit) * die_places(f) + index_in_die(f, unit) + 1;
}

static bool is_valid(const struct flash *f, u32 die, u64 place, u64 *unit)
{
	u32 there = *word(&f->unit_at, place);

	*unit = there ? there - 1 : unit_of_index(f, die, place - die * die_places(f));
	return *unit < f->units && find_place(f, *unit) == place + 1;
}

static struct flash_block *block_at(struct flash *f, u32 die, u32 index)
{
	return &f->blocks[(u64)die * f->die_blocks + index];
}

static struct flash_block *block_of_place(struct flash *f, u64 place)
{
	return &f->blocks[place / f->block_units];
}

/* ---- Time --------------------------------------------------------------------------------- */

static struct timeline *channel_of(struct flash *f, u32 die)
{
	return &f->channels[die % f->params.channels];
}

static u64 tries(struct flash *f, const struct flash_block *b)
{
	u64 erases = min_u64(b->erases, 2 * f->params.endurance);
	u64 chance = mul_div(f->retry_32, erases * erases,
			     f->params.endurance * f->params.endurance);
	u64 n = 1;

	while (chance && n <= RETRIES_MAX) {
		f->draw += 0x9e3779b97f4a7c15ull;
		if (mixed(f->draw) >> 32 >= chance)
			break;
		n++;
	}
	f->stats.senses++;
	f->stats.retries += n - 1;
	return n;
}

static u64 sense_and_carry(struct flash *f, u32 die, u64 place, u64 ready_ns)
{
	struct die *d = &f->dies[die];
	u64 sensed_ns = max_u64(ready_ns, d->free_ns) +
			f->params.sense_ns * tries(f, block_of_place(f, place));

	d->free_ns = timeline_reserve(channel_of(f, die), sensed_ns, f->params.carry_ns);
	return d->free_ns;
}

static u64 carry_and_program(struct flash *f, u32 die, u64 ready_ns)
{
	struct die *d = &f->dies[die];

	d->free_ns = timeline_reserve(channel_of(f, die), max_u64(ready_ns, d->free_ns),
				      f->params.carry_ns) +
		     f->params.program_ns / f->params.page_units;
	f->stats.programs++;
	return d->free_ns;
}

static void erase_time(struct flash *f, u32 die, const struct flash_block *b)
{
	u64 ns = f->params.erase_ns;

	f->dies[die].free_ns += ns +
				(mul_div(ns * f->slower_16, b->erases, f->params.endurance) >> 16);
	f->stats.erases++;
}

/* ---- Writing ------------------------------------------------------------------------------ */

static bool open_block(struct flash *f, u32 die)
{
	struct die *d = &f->dies[die];
	i32 best = NONE;

	for (u32 i = 0; i < f->die_blocks; i++) {
		const struct flash_block *b = block_at(f, die, i);

		if (b->use == USE_FREE &&
		    (best == NONE || b->erases < block_at(f, die, (u32)best)->erases))
			best = (i32)i;
	}
	if (best == NONE) {
		f->stats.read_only = true;
		return false;
	}
	if (d->open != NONE)
		block_at(f, die, (u32)d->open)->use = USE_FULL;
	block_at(f, die, (u32)best)->use = USE_OPEN;
	d->free_blocks--;
	d->open = best;
	d->open_used = 0;
	return true;
}

/* The map only: the unit is now at the next place of the open block. */
static bool put_unit(struct flash *f, u32 die, u64 unit)
{
	struct die *d = &f->dies[die];
	u64 before = find_place(f, unit), place;

	if ((d->open == NONE || d->open_used == f->block_units) && !open_block(f, die))
		return false;
	place = ((u64)die * f->die_blocks + (u32)d->open) * f->block_units + d->open_used++;
	if (before)
		block_of_place(f, before - 1)->valid--;
	block_of_place(f, place)->valid++;
	*word(&f->place_of, unit) = (u32)(place + 1);
	*word(&f->unit_at, place) = (u32)(unit + 1);
	return true;
}

/* ---- Garbage collection ------------------------------------------------------------------- */

static u64 endurance_of(const struct flash *f, u64 block)
{
	u64 spread = (u64)((double)f->params.endurance * f->params.spread);

	return f->params.endurance - spread + mixed(f->seed ^ (block << 20)) % (2 * spread + 1);
}

static void erase_victim(struct flash *f, u32 die)
{
	struct die *d = &f->dies[die];
	struct flash_block *b = block_at(f, die, (u32)d->victim);

	erase_time(f, die, b);
	b->erases++;
	f->stats.worst_erases = max_u64(f->stats.worst_erases, b->erases);
	d->victim = NONE;
	if (b->erases < endurance_of(f, (u64)(b - f->blocks))) {
		b->use = USE_FREE;
		d->free_blocks++;
		return;
	}
	b->use = USE_RETIRED;
	f->stats.retired++;
	d->usable_blocks--;
	if (d->usable_blocks < f->least_blocks)
		f->stats.read_only = true;
}

static void pick_victim(struct flash *f, u32 die)
{
	struct die *d = &f->dies[die];
	u32 valid = f->block_units; /* one with as many frees nothing */

	for (u32 i = 0; i < f->die_blocks; i++) {
		const struct flash_block *b = block_at(f, die, i);

		if (b->use == USE_FULL && b->valid < valid) {
			valid = b->valid;
			d->victim = (i32)i;
		}
	}
	if (d->victim == NONE)
		return;
	block_at(f, die, (u32)d->victim)->use = USE_VICTIM;
	d->victim_next = 0;
	d->moves = (valid + f->block_units - valid - 1) / (f->block_units - valid);
	if (d->free_blocks < f->params.reserve)
		d->moves = 2 * d->moves + 1;
}

/* Moves the next valid unit of the victim; false: it has none, or there is no room. */
static bool move_one(struct flash *f, u32 die)
{
	struct die *d = &f->dies[die];
	u64 begin = ((u64)die * f->die_blocks + (u32)d->victim) * f->block_units;

	while (d->victim_next < f->block_units) {
		u64 place = begin + d->victim_next++, unit;

		if (!is_valid(f, die, place, &unit))
			continue;
		if (!put_unit(f, die, unit))
			return false;
		carry_and_program(f, die, sense_and_carry(f, die, place, 0));
		f->stats.moves++;
		return true;
	}
	return false;
}

static void collect(struct flash *f, u32 die)
{
	struct die *d = &f->dies[die];

	if (d->victim == NONE && d->free_blocks <= f->params.reserve)
		pick_victim(f, die);
	if (d->victim == NONE)
		return;
	for (u32 i = 0; i < d->moves && block_at(f, die, (u32)d->victim)->valid; i++)
		if (!move_one(f, die))
			return;
	if (!block_at(f, die, (u32)d->victim)->valid)
		erase_victim(f, die);
}

/* ---- Use ---------------------------------------------------------------------------------- */

void flash_forget(struct flash *f, u64 now_ns)
{
	for (u64 i = 0; i < f->params.channels; i++)
		timeline_forget(&f->channels[i], now_ns);
}

u64 flash_read(struct flash *f, u64 unit, u64 ready_ns, struct flash_run *run)
{
	u64 place = find_place(f, unit), page;
	u32 die = die_of(f, unit);

	if (!place)
		return ready_ns;
	page = (place - 1) / f->params.page_units + 1;
	if (run->page == page)
		f->dies[die].free_ns = run->end_ns =
			timeline_reserve(channel_of(f, die), run->end_ns, f->params.carry_ns);
	else
		run->end_ns = sense_and_carry(f, die, place - 1, ready_ns);
	run->page = page;
	return run->end_ns;
}

bool flash_write(struct flash *f, u64 unit, u64 ready_ns, u64 *end_ns)
{
	u32 die = die_of(f, unit);

	if (f->stats.read_only || !put_unit(f, die, unit))
		return false;
	*end_ns = carry_and_program(f, die, ready_ns);
	collect(f, die);
	return true;
}

const struct flash_stats *flash_stats(const struct flash *f)
{
	return &f->stats;
}

/* ---- Life --------------------------------------------------------------------------------- */

static u64 divided_up(u64 a, u64 b)
{
	return (a + b - 1) / b;
}

static int measure(struct flash *f, struct alc_err *err)
{
	const struct flash_params *p = &f->params;
	u64 die_units = divided_up(divided_up(f->units, p->page_units), p->dies) * p->page_units;
	u64 block_units = p->page_units * p->block_pages;
	u64 least = divided_up(die_units, block_units) + p->reserve + 2;
	u64 blocks = max_u64(
		least, divided_up(die_units + (u64)((double)die_units * p->spare), block_units));

	if (f->units >= UINT32_MAX || blocks * block_units * p->dies >= UINT32_MAX)
		return alc_fail(
			err, -ERANGE,
			"a solid-state drive of this size needs larger units or fewer dies");
	f->block_units = (u32)block_units;
	f->least_blocks = (u32)least;
	f->die_blocks = (u32)blocks;
	return 0;
}

/* What was written before: full blocks from the first one on. */
static void fill_die(struct flash *f, u32 die)
{
	struct die *d = &f->dies[die];
	u64 n = f->params.page_units, row = n * f->params.dies; /* units in a page of each die */
	u64 rest = f->filled % row, left;

	left = f->filled / row * n + (rest > die * n ? min_u64(rest - die * n, n) : 0);
	*d = (struct die){.open = NONE,
			  .victim = NONE,
			  .free_blocks = f->die_blocks,
			  .usable_blocks = f->die_blocks};
	for (u32 i = 0; i < f->die_blocks; i++) {
		struct flash_block *b = block_at(f, die, i);

		b->erases = (u32)f->params.age;
		b->valid = (u32)min_u64(left, f->block_units);
		left -= b->valid;
		if (!b->valid)
			continue;
		b->use = USE_FULL;
		d->free_blocks--;
	}
}

void flash_destroy(struct flash *f)
{
	const struct alc_host *h;

	if (!f)
		return;
	h = f->host;
	if (f->place_of.base)
		h->ram_unmap(h->ctx, &f->place_of);
	if (f->unit_at.base)
		h->ram_unmap(h->ctx, &f->unit_at);
	host_free(h, f->channels, f->params.channels * sizeof(*f->channels));
	host_free(h, f->dies, f->params.dies * sizeof(*f->dies));
	host_free(h, f->blocks, f->params.dies * f->die_blocks * sizeof(*f->blocks));
	host_free(h, f, sizeof(*f));
}

static int map_words(struct flash *f, u64 n, struct alc_host_ram *out, struct alc_err *err)
{
	int rc = f->host->ram_map(f->host->ctx, align_up(n * sizeof(u32), 4096), out);

	if (!rc)
		return 0;
	*out = (struct alc_host_ram){.fd = -1};
	return alc_fail(err, rc, "no memory for the map of a solid-state drive");
}

static int make_parts(struct flash *f, struct alc_err *err)
{
	const struct flash_params *p = &f->params;
	int rc = measure(f, err);

	if (!rc)
		rc = map_words(f, f->units, &f->place_of, err);
	if (!rc)
		rc = map_words(f, p->dies * die_places(f), &f->unit_at, err);
	if (rc)
		return rc;
	f->channels = host_alloc(f->host, p->channels * sizeof(*f->channels));
	f->dies = host_alloc(f->host, p->dies * sizeof(*f->dies));
	f->blocks = host_alloc(f->host, p->dies * f->die_blocks * sizeof(*f->blocks));
	if (!f->channels || !f->dies || !f->blocks)
		return alc_fail(err, -ENOMEM, "no memory for the blocks of a solid-state drive");
	for (u32 i = 0; i < p->dies; i++)
		fill_die(f, i);
	return 0;
}

int flash_create(const struct alc_host *host, const struct flash_params *params, u64 units,
		 u64 filled, u64 seed, struct flash **out, struct alc_err *err)
{
	struct flash *f = host_alloc(host, sizeof(*f));
	int rc;

	if (!f)
		return alc_fail(err, -ENOMEM, "no memory for a drive model");
	*f = (struct flash){.host = host,
			    .params = *params,
			    .units = units,
			    .filled = filled,
			    .seed = seed,
			    .draw = seed,
			    .retry_32 = (u64)(params->retry * 4294967296.0),
			    .slower_16 = (u64)(params->slower * 65536.0)};
	f->stats.worst_erases = params->age;
	rc = make_parts(f, err);
	if (rc) {
		flash_destroy(f);
		return rc;
	}
	*out = f;
	return 0;
}
