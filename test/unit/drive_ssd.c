/* SPDX-License-Identifier: BSD-2-Clause */
/* The solid-state drive against a slow oracle with plain arrays, request by request. */
#include "drive_test.h"

/* ---- The oracle --------------------------------------------------------------------------- */

enum { DIES_MAX = 8, BLOCKS_MAX = 512, SLOTS_MAX = 64, SPANS_MAX = 8192, HELD_MAX = 256 };

struct spans { /* promises of a channel or the link, in no order */
	unsigned n;
	u64 from[SPANS_MAX], to[SPANS_MAX];
};

struct oblock {
	long unit[SLOTS_MAX]; /* -1: nothing */
	unsigned used, erases;
	enum { FREE, OPEN, FULL, VICTIM, GONE } use;
};

struct odie {
	struct oblock blocks[BLOCKS_MAX];
	u64 free_ns;
	int open, victim;
	unsigned next, moves, usable;
};

struct config {
	const char *text;
	u64 sectors, unit, link_ns, overhead_ns, sense_ns, program_ns, erase_ns, carry_ns;
	unsigned channels, dies, page, block, reserve, buffer;
	double spare, filled, spread, retry, slower;
	u64 endurance, age;
	bool plp, dies_out; /* dies_out: it shall come to its end */
	u32 sectors_max;
	unsigned writes_percent;
};

struct held {
	u64 unit, leaves_ns;
};

struct oracle {
	struct config c;
	u64 units, seed, draw;
	unsigned slots, nblocks, least;
	struct odie dies[DIES_MAX];
	struct spans channels[DIES_MAX], link;
	struct {
		int die, block, slot; /* die -1: nowhere */
	} * map;
	struct held held[HELD_MAX]; /* the oldest first */
	unsigned nheld;
	bool read_only;
	u64 last_ns, programmed_ns;
	unsigned long programs, moves, erases, retired, retries, hits, failed;
};

static u64 mix(u64 z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static bool overlaps(const struct spans *s, u64 from, u64 to)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->from[i] < to && from < s->to[i])
			return true;
	return false;
}

/* The earliest of ready and all ends at which the work overlaps nothing. */
static u64 promise(struct spans *s, u64 ready, u64 length)
{
	u64 best = overlaps(s, ready, ready + length) ? UINT64_MAX : ready;

	if (!length)
		return ready;
	for (unsigned i = 0; i < s->n && best != ready; i++)
		if (s->to[i] >= ready && s->to[i] < best &&
		    !overlaps(s, s->to[i], s->to[i] + length))
			best = s->to[i];
	assert_true(s->n < SPANS_MAX);
	s->from[s->n] = best;
	s->to[s->n++] = best + length;
	return best + length;
}

static void forget(struct spans *s, u64 now)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < s->n; i++)
		if (s->to[i] > now) {
			s->from[kept] = s->from[i];
			s->to[kept++] = s->to[i];
		}
	s->n = kept;
}

static unsigned die_of(const struct oracle *o, u64 unit)
{
	return (unsigned)(unit / o->c.page % o->c.dies);
}

static bool is_here(const struct oracle *o, unsigned die, int block, int slot)
{
	long unit = o->dies[die].blocks[block].unit[slot];

	return unit >= 0 && o->map[unit].die == (int)die && o->map[unit].block == block &&
	       o->map[unit].slot == slot;
}

static unsigned valid(const struct oracle *o, unsigned die, int block)
{
	unsigned n = 0;

	for (unsigned i = 0; i < o->slots; i++)
		n += is_here(o, die, block, (int)i);
	return n;
}

static unsigned free_blocks(const struct oracle *o, unsigned die)
{
	unsigned n = 0;

	for (unsigned i = 0; i < o->nblocks; i++)
		n += o->dies[die].blocks[i].use == FREE;
	return n;
}

static u64 sense(struct oracle *o, unsigned die, int block, u64 ready)
{
	struct odie *d = &o->dies[die];
	unsigned __int128 e = d->blocks[block].erases, chance;
	u64 at = ready > d->free_ns ? ready : d->free_ns;

	if (e > 2 * o->c.endurance)
		e = 2 * o->c.endurance;
	chance = (u64)(o->c.retry * 4294967296.0) * e * e / o->c.endurance / o->c.endurance;
	at += o->c.sense_ns;
	for (unsigned i = 0; i < 8 && chance; i++) {
		o->draw += 0x9e3779b97f4a7c15ull;
		if (mix(o->draw) >> 32 >= chance)
			break;
		at += o->c.sense_ns;
		o->retries++;
	}
	return d->free_ns = promise(&o->channels[die % o->c.channels], at, o->c.carry_ns);
}

static u64 program(struct oracle *o, unsigned die, u64 ready)
{
	struct odie *d = &o->dies[die];
	u64 at = ready > d->free_ns ? ready : d->free_ns;

	o->programs++;
	at = promise(&o->channels[die % o->c.channels], at, o->c.carry_ns);
	return d->free_ns = at + o->c.program_ns / o->c.page;
}

static bool append(struct oracle *o, unsigned die, u64 unit)
{
	struct odie *d = &o->dies[die];
	struct oblock *b;

	if (d->open < 0 || d->blocks[d->open].used == o->slots) {
		int best = -1;

		for (unsigned i = 0; i < o->nblocks; i++)
			if (d->blocks[i].use == FREE &&
			    (best < 0 || d->blocks[i].erases < d->blocks[best].erases))
				best = (int)i;
		if (best < 0) {
			o->read_only = true;
			return false;
		}
		if (d->open >= 0)
			d->blocks[d->open].use = FULL;
		d->open = best;
		d->blocks[best].use = OPEN;
		d->blocks[best].used = 0;
		for (unsigned i = 0; i < o->slots; i++)
			d->blocks[best].unit[i] = -1;
	}
	b = &d->blocks[d->open];
	b->unit[b->used] = (long)unit;
	o->map[unit].die = (int)die;
	o->map[unit].block = d->open;
	o->map[unit].slot = (int)b->used++;
	return true;
}

static void erase(struct oracle *o, unsigned die)
{
	struct odie *d = &o->dies[die];
	struct oblock *b = &d->blocks[d->victim];
	u64 s = (u64)((double)o->c.endurance * o->c.spread);
	u64 index = die * o->nblocks + (unsigned)d->victim;
	u64 bears = o->c.endurance - s + mix(o->seed ^ index << 20) % (2 * s + 1);
	unsigned __int128 slower = (u64)(o->c.slower * 65536) * o->c.erase_ns;

	d->free_ns += o->c.erase_ns + ((u64)(slower * b->erases / o->c.endurance) >> 16);
	o->erases++;
	b->erases++;
	b->use = b->erases < bears ? FREE : GONE;
	d->victim = -1;
	if (b->use == FREE)
		return;
	o->retired++;
	if (--d->usable < o->least)
		o->read_only = true;
}

static void pick(struct oracle *o, unsigned die)
{
	struct odie *d = &o->dies[die];
	unsigned least = o->slots, nfree = free_blocks(o, die);

	if (nfree > o->c.reserve)
		return;
	for (unsigned i = 0; i < o->nblocks; i++) {
		unsigned v = d->blocks[i].use == FULL ? valid(o, die, (int)i) : o->slots;

		if (v < least) {
			least = v;
			d->victim = (int)i;
		}
	}
	if (d->victim < 0)
		return;
	d->blocks[d->victim].use = VICTIM;
	d->next = 0;
	for (d->moves = 0; d->moves * (o->slots - least) < least;)
		d->moves++;
	if (nfree < o->c.reserve)
		d->moves += d->moves + 1;
}

static void collect(struct oracle *o, unsigned die)
{
	struct odie *d = &o->dies[die];

	if (d->victim < 0)
		pick(o, die);
	if (d->victim < 0)
		return;
	for (unsigned moved = 0; moved < d->moves && d->next < o->slots; d->next++) {
		if (!is_here(o, die, d->victim, (int)d->next))
			continue;
		if (!append(o, die, (u64)d->blocks[d->victim].unit[d->next]))
			return;
		program(o, die, sense(o, die, d->victim, 0));
		o->moves++;
		moved++;
	}
	if (!valid(o, die, d->victim))
		erase(o, die);
}

static bool holds(const struct oracle *o, u64 unit)
{
	for (unsigned i = 0; i < o->nheld; i++)
		if (o->held[i].unit == unit)
			return true;
	return false;
}

static void let_go(struct oracle *o, unsigned i)
{
	o->nheld--;
	memmove(&o->held[i], &o->held[i + 1], (o->nheld - i) * sizeof(o->held[0]));
}

static u64 make_room(struct oracle *o, u64 ready)
{
	unsigned first = 0;
	u64 leaves;

	if (o->nheld < o->c.buffer)
		return ready;
	for (unsigned i = 1; i < o->nheld; i++)
		if (o->held[i].leaves_ns < o->held[first].leaves_ns)
			first = i;
	leaves = o->held[first].leaves_ns;
	let_go(o, first);
	return ready > leaves ? ready : leaves;
}

static u64 larger(u64 a, u64 b)
{
	return a > b ? a : b;
}

/* Returns when the request is done. */
static u64 oracle_read(struct oracle *o, u64 ready, const struct disk_req *r, bool *cached)
{
	u64 done = ready, last_end = 0;
	int last_die = -1, last_block = 0, last_page = 0;

	*cached = true;
	for (u64 unit = r->sector / o->c.unit; unit * o->c.unit < r->sector + r->sectors; unit++) {
		u64 from = larger(unit * o->c.unit, r->sector), there = ready;
		u64 to = min_u64((unit + 1) * o->c.unit, r->sector + r->sectors);
		int die = o->map[unit].die, page = o->map[unit].slot / (int)o->c.page;

		if (!holds(o, unit)) {
			*cached = false;
			if (die >= 0 && die == last_die && o->map[unit].block == last_block &&
			    page == last_page)
				there = o->dies[die].free_ns =
					promise(&o->channels[(unsigned)die % o->c.channels],
						last_end, o->c.carry_ns);
			else if (die >= 0)
				there = sense(o, (unsigned)die, o->map[unit].block, ready);
			if (die >= 0) {
				last_die = die;
				last_block = o->map[unit].block;
				last_page = page;
				last_end = there;
			}
		}
		done = larger(done, promise(&o->link, there, (to - from) * o->c.link_ns));
	}
	o->hits += *cached;
	return done;
}

static u64 oracle_write(struct oracle *o, u64 ready, const struct disk_req *r, bool *cached)
{
	u64 done = ready;

	*cached = true;
	for (u64 unit = r->sector / o->c.unit; unit * o->c.unit < r->sector + r->sectors; unit++) {
		u64 from = larger(unit * o->c.unit, r->sector);
		u64 to = min_u64((unit + 1) * o->c.unit, r->sector + r->sectors);
		bool merge = to - from < o->c.unit && !holds(o, unit) && o->map[unit].die >= 0;
		unsigned die = die_of(o, unit);
		u64 room, there, whole;

		*cached = *cached && o->nheld < o->c.buffer;
		room = make_room(o, ready);
		there = whole = promise(&o->link, room, (to - from) * o->c.link_ns);
		done = larger(done, there);
		if (merge)
			whole = larger(whole, sense(o, die, o->map[unit].block, room));
		if (o->read_only || !append(o, die, unit)) {
			o->failed++;
			return done;
		}
		o->held[o->nheld++] = (struct held){unit, program(o, die, whole)};
		o->programmed_ns = larger(o->programmed_ns, o->held[o->nheld - 1].leaves_ns);
		collect(o, die);
	}
	return done;
}

static u64 oracle_submit(struct oracle *o, const struct disk_req *r, u64 now, bool *cached)
{
	u64 ready = now + o->c.overhead_ns, done;

	forget(&o->link, now);
	for (unsigned i = 0; i < o->c.channels; i++)
		forget(&o->channels[i], now);
	for (unsigned i = 0; i < o->nheld;)
		if (o->held[i].leaves_ns <= now)
			let_go(o, i);
		else
			i++;
	done = r->op == BLOCK_READ ? oracle_read(o, ready, r, cached)
				   : oracle_write(o, ready, r, cached);
	o->last_ns = larger(o->last_ns, done);
	return done;
}

static u64 round_up(u64 a, u64 b)
{
	return a / b + (a % b != 0);
}

static void fill(struct oracle *o)
{
	u64 filled = (u64)((double)o->units * o->c.filled);
	unsigned at[DIES_MAX] = {0};

	for (u64 unit = 0; unit < o->units; unit++) {
		unsigned die = die_of(o, unit), index = at[die]++;
		struct oblock *b = &o->dies[die].blocks[index / o->slots];

		o->map[unit].die = -1;
		if (unit >= filled)
			continue;
		b->use = FULL;
		b->unit[index % o->slots] = (long)unit;
		o->map[unit].die = (int)die;
		o->map[unit].block = (int)(index / o->slots);
		o->map[unit].slot = (int)(index % o->slots);
	}
}

static struct oracle *oracle_create(const struct config *c, u64 seed)
{
	struct oracle *o = calloc(1, sizeof(*o));
	u64 die_units;

	o->c = *c;
	o->seed = o->draw = seed;
	o->slots = c->page * c->block;
	o->units = round_up(c->sectors, c->unit);
	o->map = calloc(o->units, sizeof(*o->map));
	die_units = round_up(round_up(o->units, c->page), c->dies) * c->page;
	o->least = (unsigned)round_up(die_units, o->slots) + c->reserve + 2;
	o->nblocks = (unsigned)round_up(die_units + (u64)((double)die_units * c->spare), o->slots);
	if (o->nblocks < o->least)
		o->nblocks = o->least;
	assert_true(o->nblocks <= BLOCKS_MAX && o->slots <= SLOTS_MAX && c->dies <= DIES_MAX);
	for (unsigned d = 0; d < c->dies; d++) {
		o->dies[d].open = o->dies[d].victim = -1;
		o->dies[d].usable = o->nblocks;
		for (unsigned i = 0; i < o->nblocks; i++) {
			o->dies[d].blocks[i].erases = (unsigned)c->age;
			memset(o->dies[d].blocks[i].unit, 0xff, sizeof(long[SLOTS_MAX]));
		}
	}
	fill(o);
	return o;
}

/* ---- Comparing ---------------------------------------------------------------------------- */

enum { DEPTH = 32 };

static const struct config configs[] = {
	{.text = "ssd:channels=2:dies=3:unit=8:page=4:block=8:buffer=32:spare=0.3:reserve=2",
	 .sectors = 20000,
	 .unit = 8,
	 .link_ns = 930,
	 .overhead_ns = 20000,
	 .sense_ns = 60000,
	 .program_ns = 700000,
	 .erase_ns = 5000000,
	 .carry_ns = 8000,
	 .channels = 2,
	 .dies = 6,
	 .page = 4,
	 .block = 8,
	 .reserve = 2,
	 .buffer = 32,
	 .spare = 0.3,
	 .filled = 1,
	 .spread = 0.1,
	 .retry = 0.5,
	 .slower = 1,
	 .endurance = 3000,
	 .sectors_max = 64,
	 .writes_percent = 30},
	{.text = "ssd:channels=4:dies=2:unit=3:page=3:block=20:buffer=200:spare=0.1:reserve=5:"
		 "filled=0.4:plp=on:age=2500:read=33us:program=100us:erase=2ms:channel=1.7us:"
		 "link=111ns:overhead=7us:slower=3.3:retry=0.9",
	 .sectors = 30001,
	 .unit = 3,
	 .link_ns = 111,
	 .overhead_ns = 7000,
	 .sense_ns = 33000,
	 .program_ns = 100000,
	 .erase_ns = 2000000,
	 .carry_ns = 1700,
	 .channels = 4,
	 .dies = 8,
	 .page = 3,
	 .block = 20,
	 .reserve = 5,
	 .buffer = 200,
	 .spare = 0.1,
	 .filled = 0.4,
	 .spread = 0.1,
	 .retry = 0.9,
	 .slower = 3.3,
	 .endurance = 3000,
	 .age = 2500,
	 .plp = true,
	 .sectors_max = 16,
	 .writes_percent = 50},
	{.text = "ssd:channels=1:dies=2:unit=1:page=2:block=16:buffer=8:spare=1:reserve=1:"
		 "endurance=20:spread=0.5",
	 .sectors = 800,
	 .unit = 1,
	 .link_ns = 930,
	 .overhead_ns = 20000,
	 .sense_ns = 60000,
	 .program_ns = 700000,
	 .erase_ns = 5000000,
	 .carry_ns = 8000,
	 .channels = 1,
	 .dies = 2,
	 .page = 2,
	 .block = 16,
	 .reserve = 1,
	 .buffer = 8,
	 .spare = 1,
	 .filled = 1,
	 .spread = 0.5,
	 .retry = 0.5,
	 .slower = 1,
	 .endurance = 20,
	 .dies_out = true,
	 .sectors_max = 4,
	 .writes_percent = 70},
};

struct expected {
	struct disk_req r;
	u64 done_ns;
	bool cached, inside;
};

struct rig {
	struct test_host th;
	struct drive *drive;
	struct oracle *oracle;
	struct expected all[DEPTH];
	unsigned inside;
};

static void submit_one(struct rig *g, struct stream *s, u64 now)
{
	struct expected *e = g->all;

	while (e->inside)
		e++;
	stream_next(s, &e->r);
	e->inside = true;
	g->inside++;
	e->done_ns = oracle_submit(g->oracle, &e->r, now, &e->cached);
	g->drive->class->submit(g->drive, &e->r, now);
}

static void take_one(struct rig *g, u64 now)
{
	struct disk_req *r = g->drive->class->take(g->drive, now);
	struct expected *e = container_of(r, struct expected, r);

	assert_non_null(r);
	assert_int_equal(r->done_ns, e->done_ns);
	assert_int_equal(r->cached, e->cached);
	e->inside = false;
	g->inside--;
}

static void compare_counters(const struct rig *g)
{
	const struct oracle *o = g->oracle;

	assert_true(drive_stat(g->drive, "hits") == (double)o->hits);
	assert_true(drive_stat(g->drive, "units-programmed") == (double)o->programs);
	assert_true(drive_stat(g->drive, "units-moved") == (double)o->moves);
	assert_true(drive_stat(g->drive, "erasures") == (double)o->erases);
	assert_true(drive_stat(g->drive, "blocks-retired") == (double)o->retired);
	assert_true(drive_stat(g->drive, "read-retries") == (double)o->retries);
	assert_true(drive_stat(g->drive, "writes-failed") == (double)o->failed);
	assert_true(drive_stat(g->drive, "read-only") == o->read_only);
}

static void compare_ssd(const struct config *c, enum stream_kind kind, unsigned requests)
{
	struct stream s = {.kind = kind,
			   .state = 5 + kind,
			   .disk_sectors = c->sectors,
			   .sectors_max = c->sectors_max,
			   .writes_percent = c->writes_percent};
	struct rig g = {.oracle = oracle_create(c, 42)};
	u64 now = 1000;

	test_host_init(&g.th, TEST_TIME_MANUAL);
	g.drive = drive_of(&g.th.host, c->sectors, c->text);
	for (unsigned i = 0; i < requests; i++) {
		if (g.inside == DEPTH || random_below(&s.state, 3) == 0)
			now = larger(now, g.inside ? g.drive->class->next_ns(g.drive) : 0);
		else
			now += random_below(&s.state, 40000);
		while (g.drive->class->next_ns(g.drive) <= now)
			take_one(&g, now);
		submit_one(&g, &s, now);
		if (i % 64 == 0) {
			u64 flush = larger(now, g.oracle->last_ns);

			if (!c->plp)
				flush = larger(flush, g.oracle->programmed_ns);
			assert_int_equal(g.drive->class->flush_ns(g.drive, now), flush);
		}
	}
	compare_counters(&g);
	assert_true(g.oracle->hits && g.oracle->moves && g.oracle->erases);
	assert_int_equal(g.oracle->read_only, c->dies_out);
	drive_destroy(g.drive);
	assert_int_equal(test_host_leaks(&g.th), 0);
	test_host_fini(&g.th);
	free(g.oracle->map);
	free(g.oracle);
}

static void ssd_equals_its_oracle(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(configs); i++)
		for (unsigned kind = 0; kind < STREAM_KINDS; kind++)
			compare_ssd(&configs[i], kind,
				    configs[i].dies_out ? (SANITIZED ? 30000 : 60000)
							: requests_of(140000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ssd_equals_its_oracle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
