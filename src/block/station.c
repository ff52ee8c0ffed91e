/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/station.h"

void station_init(struct station *st, struct sched *sched, struct drive *drive)
{
	*st = (struct station){.sched = sched, .drive = drive, .ask_ns = DISK_NEVER};
}

void station_add(struct station *st, struct disk_req *r, u64 now_ns)
{
	r->next = r->merged = NULL;
	r->arrival_ns = now_ns;
	r->span_sector = r->sector;
	r->span_sectors = r->sectors;
	r->cached = false;
	st->waiting++;
	st->sched->class->add(st->sched, r, now_ns);
}

/* Those that were merged are no longer waiting from the dispatch on. */
static unsigned members(const struct disk_req *r)
{
	unsigned n = 1;

	for (const struct disk_req *m = r->merged; m; m = m->next)
		n++;
	return n;
}

static void dispatch(struct station *st, u64 now_ns)
{
	st->ask_ns = DISK_NEVER;
	while (st->waiting && st->inside < st->drive->depth) {
		struct disk_req *r = st->sched->class->next(st->sched, now_ns, &st->ask_ns);

		if (!r)
			return;
		r->dispatch_ns = now_ns;
		st->waiting -= members(r);
		st->inside++;
		st->drive->class->submit(st->drive, r, now_ns);
	}
}

struct list {
	struct disk_req *first, **end;
};

static void append(struct list *l, struct disk_req *r)
{
	r->next = NULL;
	*l->end = r;
	l->end = &r->next;
}

static void finish(struct station *st, struct disk_req *r, struct list *to)
{
	struct disk_req *m = r->merged;

	st->inside--;
	if (st->sched->class->done)
		st->sched->class->done(st->sched, r, r->done_ns);
	append(to, r);
	while (m) {
		struct disk_req *next = m->next;

		m->dispatch_ns = r->dispatch_ns;
		m->done_ns = r->done_ns;
		m->cached = r->cached;
		m->span_sectors = 0;
		append(to, m);
		m = next;
	}
}

struct disk_req *station_advance(struct station *st, u64 now_ns, u64 *next_ns)
{
	struct list done = {.end = &done.first};
	u64 drive_ns;

	done.first = NULL;
	for (;;) {
		struct disk_req *r;

		while ((r = st->drive->class->take(st->drive, now_ns)) != NULL)
			finish(st, r, &done);
		dispatch(st, now_ns);
		drive_ns = st->drive->class->next_ns(st->drive);
		if (drive_ns > now_ns)
			break;
	}
	*next_ns = min_u64(drive_ns, st->ask_ns);
	return done.first;
}
