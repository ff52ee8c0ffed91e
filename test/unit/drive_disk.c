/* SPDX-License-Identifier: BSD-2-Clause */
/* The detailed disk against a slow oracle that goes sector by sector, request by request. */
#include <math.h>

#include "block/model/geometry.h"
#include "drive_rings.h"

/* ---- The oracle: geometry ----------------------------------------------------------------- */

enum { JOBS_MAX = 320, DEPTH_MAX = 64, ZONES_MAX = 8 };

struct config {
	const char *text;
	u64 sectors, span;
	u64 rotation, heads, zones, outer, inner, single, average, full, head_switch, settle;
	u64 depth, overhead, bus, patience, buffer;
	bool cache, write_cache, keep_writes;
	unsigned segments, segment_sectors, prefetch;
	u32 sectors_max;
	unsigned writes_percent;
	u64 think_max; /* between requests */
	bool single_sequence;
};

struct spot {
	u64 cylinder, head, index, in_track;
};

struct pending {
	int slot; /* of the request; -1: data of the write cache */
	u64 sector, sectors, since, ready;
	bool write;
};

struct oracle {
	struct config c;
	u64 zone_cylinders, cylinders;
	/* the arm */
	u64 free_ns, cylinder, head;
	bool busy;
	struct pending current, requests[JOBS_MAX], dirty[JOBS_MAX];
	unsigned nrequests, ndirty;
	/* read-ahead */
	bool ahead;
	u64 base, next, end, at;
	/* the controller */
	u64 bus_free;
	struct rings *rings; /* NULL: none, or in a look into the future */
	u64 done_ns[DEPTH_MAX];
	bool known[DEPTH_MAX], cached[DEPTH_MAX];
	unsigned long hits, buffered, destaged, seeks, streamed;
};

static u64 larger(u64 a, u64 b)
{
	return a > b ? a : b;
}

static u64 per_track(const struct oracle *o, u64 zone)
{
	if (o->c.zones == 1)
		return o->c.outer;
	return o->c.outer - (o->c.outer - o->c.inner) * zone / (o->c.zones - 1);
}

static struct spot spot_of(const struct oracle *o, u64 sector)
{
	u64 zone = 0, track;

	while (zone + 1 < o->c.zones &&
	       sector >= o->zone_cylinders * o->c.heads * per_track(o, zone)) {
		sector -= o->zone_cylinders * o->c.heads * per_track(o, zone);
		zone++;
	}
	track = sector / per_track(o, zone);
	return (struct spot){zone * o->zone_cylinders + track / o->c.heads, track % o->c.heads,
			     sector % per_track(o, zone), per_track(o, zone)};
}

static u64 begins_at(const struct oracle *o, const struct spot *s, u64 index)
{
	return index * o->c.rotation / s->in_track;
}

/* The instant in a rotation at which a sector begins to pass. */
static u64 phase(const struct oracle *o, const struct spot *s)
{
	u64 head_step = o->c.head_switch + o->c.settle;
	u64 cylinder_step = larger(o->c.single, o->c.head_switch) + o->c.settle;
	unsigned __int128 skew = (unsigned __int128)(s->cylinder * (o->c.heads - 1) + s->head) *
					 head_step +
				 (unsigned __int128)s->cylinder * cylinder_step;

	return (u64)((skew + begins_at(o, s, s->index)) % o->c.rotation);
}

static u64 root(u64 d)
{
	return (u64)floorl(sqrtl((long double)d * 4294967296.0L));
}

static u64 seek_ns(const struct oracle *o, u64 d)
{
	u64 stroke = o->cylinders - 1, knee = stroke / 3;

	if (d == 0)
		return 0;
	if (d == 1)
		return o->c.single;
	if (d <= knee)
		return o->c.single +
		       (o->c.average - o->c.single) * (root(d) - root(1)) / (root(knee) - root(1));
	if (knee < 2)
		return o->c.full;
	return o->c.average + (o->c.full - o->c.average) * (d - knee) / (stroke - knee);
}

static u64 reach(const struct oracle *o, u64 t, u64 sector, bool write)
{
	struct spot s = spot_of(o, sector);
	u64 d = s.cylinder > o->cylinder ? s.cylinder - o->cylinder : o->cylinder - s.cylinder;
	u64 move = seek_ns(o, d), p = phase(o, &s);

	if (s.head != o->head)
		move = larger(move, o->c.head_switch);
	if (d || s.head != o->head)
		t += move + (write ? o->c.settle : 0);
	if (p < t)
		p += (t - p + o->c.rotation - 1) / o->c.rotation * o->c.rotation;
	return p;
}

static u64 pass(struct oracle *o, u64 begin, u64 sector)
{
	struct spot s = spot_of(o, sector);

	o->cylinder = s.cylinder;
	o->head = s.head;
	return begin + begins_at(o, &s, s.index + 1) - begins_at(o, &s, s.index);
}

static bool same_track(const struct oracle *o, u64 sector)
{
	struct spot s = spot_of(o, sector);

	return s.cylinder == o->cylinder && s.head == o->head;
}

/* The heads end where the last one passes. */
static u64 transfer(struct oracle *o, u64 begin, u64 sector, u64 sectors, bool write)
{
	u64 t = pass(o, begin, sector);

	for (u64 i = 1; i < sectors; i++)
		t = pass(o, same_track(o, sector + i) ? t : reach(o, t, sector + i, write),
			 sector + i);
	return t;
}

/* ---- The oracle: arm ---------------------------------------------------------------------- */

static void read_ahead(struct oracle *o, u64 now)
{
	u64 from = o->next;

	while (o->ahead && o->next < o->end) {
		u64 begin = same_track(o, o->next) ? o->at : reach(o, o->at, o->next, false);
		u64 end;

		if (begin > now)
			break;
		end = pass(o, begin, o->next);
		o->at = begin;
		if (end > now)
			break;
		o->at = end;
		o->next++;
	}
	if (o->rings && o->next > from)
		rings_fill(o->rings, from, o->next - from);
}

static unsigned pick(const struct oracle *o, bool *of_dirty)
{
	u64 best = UINT64_MAX, buffered = 0;
	unsigned index = 0;

	*of_dirty = false;
	if (o->nrequests && o->free_ns - o->requests[0].since > o->c.patience)
		return 0;
	for (unsigned i = 0; i < o->nrequests; i++) {
		const struct pending *p = &o->requests[i];
		u64 t = reach(o, larger(o->free_ns, p->ready), p->sector, p->write);

		if (t < best) {
			best = t;
			index = i;
		}
	}
	for (unsigned i = 0; i < o->ndirty; i++)
		buffered += o->dirty[i].sectors;
	if (o->nrequests && buffered <= o->c.buffer / 2 && o->ndirty <= 128)
		return index;
	for (unsigned i = 0; i < o->ndirty; i++) {
		const struct pending *p = &o->dirty[i];
		u64 t = reach(o, larger(o->free_ns, p->ready), p->sector, true);

		if (t < best) {
			best = t;
			index = i;
			*of_dirty = true;
		}
	}
	return index;
}

static struct pending pull(struct pending *list, unsigned *n, unsigned i)
{
	struct pending p = list[i];

	(*n)--;
	for (; i < *n; i++)
		list[i] = list[i + 1];
	return p;
}

/* What the arm does at free_ns, if that has come. */
static bool step(struct oracle *o, u64 now)
{
	struct pending *p = &o->current;
	bool of_dirty;
	unsigned i;
	u64 begin, from;

	if (o->free_ns > now)
		return false;
	if (o->busy && !p->write) {
		if (o->rings)
			rings_fill(o->rings, p->sector, p->sectors);
		o->ahead = true;
		o->base = p->sector;
		o->next = p->sector + p->sectors;
		o->end = o->next + (o->c.cache ? o->c.prefetch : 0);
		o->end = o->end > o->c.sectors ? o->c.sectors : o->end;
		o->at = o->free_ns;
	}
	o->busy = false;
	if (!o->nrequests && !o->ndirty)
		return false;
	read_ahead(o, o->free_ns);
	o->ahead = false;
	i = pick(o, &of_dirty);
	*p = of_dirty ? pull(o->dirty, &o->ndirty, i) : pull(o->requests, &o->nrequests, i);
	begin = reach(o, larger(o->free_ns, p->ready), p->sector, p->write);
	from = o->cylinder;
	o->seeks += spot_of(o, p->sector).cylinder != from;
	o->destaged += p->slot < 0;
	o->free_ns = transfer(o, begin, p->sector, p->sectors, p->write);
	o->busy = true;
	if (p->slot >= 0) {
		o->done_ns[p->slot] = o->free_ns;
		o->known[p->slot] = true;
	}
	return true;
}

static void advance(struct oracle *o, u64 now)
{
	while (step(o, now))
		continue;
}

/* ---- The oracle: controller --------------------------------------------------------------- */

static bool dirty_has(const struct oracle *o, u64 sector, u64 sectors)
{
	for (unsigned i = 0; i < o->ndirty; i++)
		if (sector >= o->dirty[i].sector &&
		    sector + sectors <= o->dirty[i].sector + o->dirty[i].sectors)
			return true;
	return false;
}

static u64 bus(struct oracle *o, u64 now, u64 sectors)
{
	o->bus_free = larger(o->bus_free, now + o->c.overhead) + sectors * o->c.bus;
	return o->bus_free;
}

static void queue(struct oracle *o, bool dirty, struct pending p, u64 now)
{
	if (!o->busy)
		o->free_ns = larger(o->free_ns, now);
	if (dirty)
		o->dirty[o->ndirty++] = p;
	else
		o->requests[o->nrequests++] = p;
}

static bool in_sweep(const struct oracle *o, u64 sector, u64 sectors)
{
	return o->ahead && sector >= o->base && sector + sectors <= o->end;
}

/* When the heads that read ahead have passed its end. */
static bool streams(const struct oracle *o, u64 sector, u64 sectors, u64 *when)
{
	struct oracle future;
	u64 begin;

	if (!in_sweep(o, sector, sectors) || sector + sectors <= o->next)
		return false;
	if (sector < o->next && !rings_have(o->rings, sector, o->next - sector))
		return false;
	future = *o;
	begin = same_track(o, o->next) ? o->at : reach(o, o->at, o->next, false);
	*when = transfer(&future, begin, o->next, sector + sectors - o->next, false);
	return true;
}

static void oracle_read(struct oracle *o, int slot, u64 sector, u64 sectors, u64 now)
{
	bool hit;
	u64 when = 0;

	read_ahead(o, now);
	hit = (o->rings && rings_have(o->rings, sector, sectors)) || dirty_has(o, sector, sectors);
	if (!hit && o->rings && streams(o, sector, sectors, &when)) {
		hit = true;
		o->streamed++;
		o->free_ns = larger(o->free_ns, when);
	}
	o->cached[slot] = hit;
	o->known[slot] = hit;
	o->hits += hit;
	if (!hit) {
		queue(o, false,
		      (struct pending){slot, sector, sectors, now, now + o->c.overhead, false},
		      now);
		return;
	}
	o->done_ns[slot] = larger(bus(o, now, sectors), when);
	if (in_sweep(o, sector, sectors)) {
		u64 until = sector + sectors + o->c.prefetch;

		until = until > o->c.sectors ? o->c.sectors : until;
		if (until > o->end) {
			if (o->next == o->end) {
				o->at = reach(o, larger(now, o->at), o->next, false);
				o->cylinder = spot_of(o, o->next).cylinder;
				o->head = spot_of(o, o->next).head;
			}
			o->end = until;
		}
	}
}

static void oracle_write(struct oracle *o, int slot, u64 sector, u64 sectors, u64 now)
{
	bool inside = o->c.write_cache && dirty_has(o, sector, sectors);
	bool taken = inside;
	u64 buffered = 0;

	for (unsigned i = 0; i < o->ndirty; i++)
		buffered += o->dirty[i].sectors;
	if (o->c.write_cache && o->ndirty < 256 && buffered + sectors <= o->c.buffer)
		taken = true;
	o->cached[slot] = o->known[slot] = taken;
	if (o->rings)
		rings_write(o->rings, sector, sectors);
	if (!taken) {
		queue(o, false,
		      (struct pending){slot, sector, sectors, now, now + o->c.overhead, true}, now);
		return;
	}
	o->buffered++;
	o->done_ns[slot] = bus(o, now, sectors);
	if (!inside)
		queue(o, true, (struct pending){-1, sector, sectors, now, o->done_ns[slot], true},
		      now);
}

static void oracle_submit(struct oracle *o, int slot, const struct disk_req *r, u64 now)
{
	advance(o, now);
	if (r->op == BLOCK_READ)
		oracle_read(o, slot, r->sector, r->sectors, now);
	else
		oracle_write(o, slot, r->sector, r->sectors, now);
	advance(o, now);
}

static struct oracle oracle_of(const struct config *c, struct rings *rings)
{
	struct oracle o = {.c = *c, .rings = rings};
	u64 sectors = larger(c->sectors, c->span), held;

	do {
		o.zone_cylinders++;
		held = 0;
		for (u64 z = 0; z < c->zones; z++)
			held += o.zone_cylinders * c->heads * per_track(&o, z);
	} while (held < sectors);
	o.cylinders = o.zone_cylinders * c->zones;
	if (c->prefetch > c->segment_sectors)
		o.c.prefetch = c->segment_sectors;
	return o;
}

/* ---- Comparing ---------------------------------------------------------------------------- */

static const struct config configs[] = {
	{.text = "disk:heads=2:zones=4:outer=60:inner=30:depth=8:segments=16:sectors=96:"
		 "prefetch=32:buffer=512",
	 .sectors = 200000,
	 .rotation = 8333333,
	 .heads = 2,
	 .zones = 4,
	 .outer = 60,
	 .inner = 30,
	 .single = 1000000,
	 .average = 8500000,
	 .full = 18000000,
	 .head_switch = 800000,
	 .settle = 500000,
	 .depth = 8,
	 .overhead = 100000,
	 .bus = 1707,
	 .patience = 2000000000,
	 .buffer = 512,
	 .cache = true,
	 .write_cache = true,
	 .segments = 16,
	 .segment_sectors = 96,
	 .prefetch = 32,
	 .sectors_max = 24,
	 .writes_percent = 30,
	 .think_max = 4000000},
	{.text = "disk:rotation=4ms:heads=1:zones=1:outer=47:inner=47:depth=1:cache=off:"
		 "write-cache=off:overhead=0:bus=0:write-settle=0:seek-full=8.5ms",
	 .sectors = 30011,
	 .rotation = 4000000,
	 .heads = 1,
	 .zones = 1,
	 .outer = 47,
	 .inner = 47,
	 .single = 1000000,
	 .average = 8500000,
	 .full = 8500000,
	 .head_switch = 800000,
	 .depth = 1,
	 .patience = 2000000000,
	 .sectors_max = 64,
	 .writes_percent = 40,
	 .think_max = 1000},
	{.text = "disk:rotation=5.999999ms:heads=3:zones=7:outer=101:inner=40:depth=32:"
		 "patience=60ms:write-cache=off:keep-writes=on:overhead=130us:bus=3us:segments=4:"
		 "sectors=40:prefetch=100:span=900000:seek-single=0.3ms:head-switch=1.1ms",
	 .sectors = 150000,
	 .span = 900000,
	 .rotation = 5999999,
	 .heads = 3,
	 .zones = 7,
	 .outer = 101,
	 .inner = 40,
	 .single = 300000,
	 .average = 8500000,
	 .full = 18000000,
	 .head_switch = 1100000,
	 .settle = 500000,
	 .depth = 32,
	 .overhead = 130000,
	 .bus = 3000,
	 .patience = 60000000,
	 .cache = true,
	 .keep_writes = true,
	 .segments = 4,
	 .segment_sectors = 40,
	 .prefetch = 100,
	 .sectors_max = 16,
	 .writes_percent = 20,
	 .think_max = 3000000},
	{.text = "disk:rotation=4ms:heads=4:zones=2:outer=200:inner=100:depth=16:overhead=50us:"
		 "buffer=1M:seek-single=0.2ms:seek-average=3.5ms:seek-full=7.4ms:bus=1.6us",
	 .sectors = 60000,
	 .rotation = 4000000,
	 .heads = 4,
	 .zones = 2,
	 .outer = 200,
	 .inner = 100,
	 .single = 200000,
	 .average = 3500000,
	 .full = 7400000,
	 .head_switch = 800000,
	 .settle = 500000,
	 .depth = 16,
	 .overhead = 50000,
	 .bus = 1600,
	 .patience = 2000000000,
	 .buffer = 1 << 20,
	 .cache = true,
	 .write_cache = true,
	 .segments = 64,
	 .segment_sectors = 221,
	 .prefetch = 64,
	 .sectors_max = 8,
	 .writes_percent = 80,
	 .think_max = 2000000},
	{.text = "disk:heads=2:zones=4:outer=60:inner=30:depth=4:segments=4:sectors=300:"
		 "prefetch=120:buffer=512:overhead=20us",
	 .sectors = 200000,
	 .rotation = 8333333,
	 .heads = 2,
	 .zones = 4,
	 .outer = 60,
	 .inner = 30,
	 .single = 1000000,
	 .average = 8500000,
	 .full = 18000000,
	 .head_switch = 800000,
	 .settle = 500000,
	 .depth = 4,
	 .overhead = 20000,
	 .bus = 1707,
	 .patience = 2000000000,
	 .buffer = 512,
	 .cache = true,
	 .write_cache = true,
	 .segments = 4,
	 .segment_sectors = 300,
	 .prefetch = 120,
	 .sectors_max = 24,
	 .writes_percent = 2,
	 .think_max = 3000000,
	 .single_sequence = true},
};

struct rig {
	struct test_host th;
	struct drive *drive;
	struct oracle oracle;
	struct disk_req reqs[DEPTH_MAX];
	bool inside[DEPTH_MAX];
	unsigned n;
};

static void submit_one(struct rig *g, struct stream *s, u64 now)
{
	int slot = 0;

	while (g->inside[slot])
		slot++;
	stream_next(s, &g->reqs[slot]);
	g->inside[slot] = true;
	g->n++;
	oracle_submit(&g->oracle, slot, &g->reqs[slot], now);
	g->drive->class->submit(g->drive, &g->reqs[slot], now);
}

static void take_all(struct rig *g, u64 now)
{
	struct disk_req *r;

	advance(&g->oracle, now);
	while ((r = g->drive->class->take(g->drive, now)) != NULL) {
		long slot = r - g->reqs;

		assert_true(g->oracle.known[slot]);
		assert_int_equal(r->done_ns, g->oracle.done_ns[slot]);
		assert_int_equal(r->cached, g->oracle.cached[slot]);
		g->inside[slot] = false;
		g->n--;
	}
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		assert_true(!g->inside[i] || !g->oracle.known[i] || g->oracle.done_ns[i] > now);
}

static u64 oracle_flush(const struct oracle *now_of, const bool *inside, u64 now)
{
	struct oracle o = *now_of;
	u64 last = now;

	o.rings = NULL;
	do
		last = o.busy ? larger(last, o.free_ns) : last;
	while (step(&o, UINT64_MAX));
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		last = inside[i] ? larger(last, o.done_ns[i]) : last;
	return last;
}

static void compare_counters(const struct rig *g)
{
	assert_true(drive_stat(g->drive, "hits") == (double)g->oracle.hits);
	assert_true(drive_stat(g->drive, "writes-buffered") == (double)g->oracle.buffered);
	assert_true(drive_stat(g->drive, "writes-destaged") == (double)g->oracle.destaged);
	assert_true(drive_stat(g->drive, "seeks") == (double)g->oracle.seeks);
	assert_true(drive_stat(g->drive, "cylinders") == (double)g->oracle.cylinders);
}

/* What a configuration's streams have met, all together: a short random one may have no hit. */
struct met {
	u64 hits, destaged;
};

static void compare_disk(const struct config *c, enum stream_kind kind, unsigned requests,
			 struct met *met)
{
	struct stream s = {.kind = kind,
			   .state = 11 + kind,
			   .disk_sectors = c->sectors,
			   .sectors_max = c->sectors_max,
			   .writes_percent = c->writes_percent,
			   .single = c->single_sequence};
	struct rings rings;
	struct rig g = {.oracle = oracle_of(c, c->cache ? &rings : NULL)};
	u64 now = 777;

	test_host_init(&g.th, TEST_TIME_MANUAL);
	g.drive = drive_of(&g.th.host, c->sectors, c->text);
	if (c->cache)
		rings_init(&rings, c->segments, c->segment_sectors, c->prefetch, c->keep_writes,
			   c->sectors);
	for (unsigned i = 0; i < requests; i++) {
		u64 next = g.drive->class->next_ns(g.drive);

		if (g.n == c->depth || (g.n && random_below(&s.state, 3) == 0))
			now = larger(now, next);
		else
			now += random_below(&s.state, c->think_max);
		take_all(&g, now);
		if (g.n < c->depth)
			submit_one(&g, &s, now);
		if (i % 64 == 0)
			assert_int_equal(g.drive->class->flush_ns(g.drive, now),
					 oracle_flush(&g.oracle, g.inside, now));
	}
	compare_counters(&g);
	met->hits += g.oracle.hits;
	met->destaged += g.oracle.destaged;
	assert_true(!c->single_sequence || kind != STREAM_SEQUENTIAL || g.oracle.streamed > 0);
	if (c->cache)
		rings_fini(&rings);
	drive_destroy(g.drive);
	assert_int_equal(test_host_leaks(&g.th), 0);
	test_host_fini(&g.th);
}

static void disk_equals_its_oracle(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
		const struct config *c = &configs[i];
		struct met met = {0};

		for (unsigned kind = 0; kind < STREAM_KINDS; kind++)
			compare_disk(c, kind, requests_of(70000), &met);
		assert_true(!c->cache || met.hits > 0);
		assert_true(!c->write_cache || met.destaged > 0);
	}
}

static void roots_are_exact(void **state)
{
	u64 random = 1;

	assert_int_equal(integer_root(0), 0);
	assert_int_equal(integer_root(UINT64_MAX), UINT32_MAX);
	for (unsigned i = 0; i < 200000; i++) {
		u64 r = random_next(&random) >> (32 + i % 32);

		assert_int_equal(integer_root(r * r), r);
		assert_int_equal(integer_root(r * r + 2 * r), r);
		assert_true(!r || integer_root(r * r - 1) == r - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roots_are_exact),
		cmocka_unit_test(disk_equals_its_oracle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
