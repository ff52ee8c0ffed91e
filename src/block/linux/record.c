/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A record of a disk's requests in guest time, one line each as it is done, for replays and for
 * figures. What is not done in guest time (before the machine runs) is not in it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "block/disk_req.h"
#include "block/linux/stages.h"
#include "host/clock.h"

enum { CHUNK_ENTRIES = 64 };

struct entry {
	struct entry *next; /* of the free ones */
	struct record *record;
	void (*done)(struct block_req *r); /* whose the request is */
	void *ctx;
	u64 arrival_ns;
};

struct chunk {
	struct chunk *next;
	struct entry entries[CHUNK_ENTRIES];
};

struct record {
	struct block block;
	const struct alc_host *host;
	const char *disk;
	struct block *below;
	struct alc_clock *clock; /* NULL: nobody has attached it */
	struct alc_mutex *lock;  /* of the rest */
	struct entry *free;
	struct chunk *chunks;
	FILE *file;
	u64 written, unseen; /* unseen: there was no memory to see them done */
};

static const char *const op_names[] = {
	[BLOCK_READ] = "read",       [BLOCK_WRITE] = "write", [BLOCK_FLUSH] = "flush",
	[BLOCK_DISCARD] = "discard", [BLOCK_ZERO] = "zero",
};

static bool add_chunk(struct record *s)
{
	struct chunk *c = host_alloc(s->host, sizeof(*c));

	if (!c)
		return false;
	c->next = s->chunks;
	s->chunks = c;
	for (unsigned i = 0; i < CHUNK_ENTRIES; i++) {
		c->entries[i].next = s->free;
		s->free = &c->entries[i];
	}
	return true;
}

/* With the lock held. */
static void write_line(struct record *s, const struct block_req *r, u64 arrival_ns)
{
	u64 dispatch_ns = r->dispatch_ns ? r->dispatch_ns : arrival_ns;

	fprintf(s->file, "%llu,%llu,%llu,%s,%llu,%llu,%llu,%d\n", (unsigned long long)arrival_ns,
		(unsigned long long)dispatch_ns, (unsigned long long)clock_cpu_ns(s->clock),
		op_names[r->op], (unsigned long long)(r->offset / SECTOR_BYTES),
		(unsigned long long)(r->len / SECTOR_BYTES), (unsigned long long)r->issuer,
		r->cached);
	s->written++;
}

static void entry_done(struct block_req *r)
{
	struct entry *e = r->ctx;
	struct record *s = e->record;

	r->done = e->done;
	r->ctx = e->ctx;
	host_lock(s->host, s->lock);
	write_line(s, r, e->arrival_ns);
	e->next = s->free;
	s->free = e;
	host_unlock(s->host, s->lock);
	r->done(r);
}

/* With the lock held. */
static void watch(struct record *s, struct block_req *r, u64 now_ns)
{
	struct entry *e;

	if (!s->free && !add_chunk(s)) {
		s->unseen++;
		return;
	}
	e = s->free;
	s->free = e->next;
	*e = (struct entry){.record = s, .done = r->done, .ctx = r->ctx, .arrival_ns = now_ns};
	r->done = entry_done;
	r->ctx = e;
	r->dispatch_ns = 0;
	r->cached = false;
}

static void record_submit(struct block *b, struct block_req *list)
{
	struct record *s = container_of(b, struct record, block);
	u64 now_ns;

	if (s->clock) {
		host_lock(s->host, s->lock);
		now_ns = clock_cpu_ns(s->clock);
		for (struct block_req *r = list; r; r = r->next)
			watch(s, r, now_ns);
		host_unlock(s->host, s->lock);
	}
	block_submit(s->below, list);
}

static void record_drain(struct block *b)
{
	block_drain(container_of(b, struct record, block)->below);
}

static void record_attach(struct block *b, struct alc_clock *clock)
{
	struct record *s = container_of(b, struct record, block);

	s->clock = clock;
	block_attach(s->below, clock);
}

static void record_stats(struct block *b, block_stat_fn *fn, void *ctx)
{
	struct record *s = container_of(b, struct record, block);

	host_lock(s->host, s->lock);
	fn(ctx, "record.lines", (double)s->written);
	host_unlock(s->host, s->lock);
	block_stats(s->below, fn, ctx);
}

static void record_free(struct record *s)
{
	const struct alc_host *h = s->host;

	while (s->chunks) {
		struct chunk *c = s->chunks;

		s->chunks = c->next;
		host_free(h, c, sizeof(*c));
	}
	h->mutex_destroy(h->ctx, s->lock);
	host_free(h, s, sizeof(*s));
}

static void record_close(struct block *b)
{
	struct record *s = container_of(b, struct record, block);
	struct block *below = s->below;
	char text[ALC_ERR_TEXT_MAX];
	bool bad = ferror(s->file);

	bad |= fclose(s->file) != 0;
	if (bad || s->unseen) {
		snprintf(text, sizeof(text),
			 "disk '%s': the record of its requests is incomplete: %s", s->disk,
			 bad ? "it could not be written" : "there was no memory");
		s->host->log(s->host->ctx, ALC_LOG_ERROR, text);
	}
	record_free(s);
	block_close(below);
}

static const struct block_ops record_ops = {
	.name = "record",
	.submit = record_submit,
	.drain = record_drain,
	.close = record_close,
	.attach = record_attach,
	.stats = record_stats,
};

static int open_file(struct record *s, const char *path, struct alc_err *err)
{
	s->file = fopen(path, "we");
	if (!s->file)
		return alc_fail(err, -errno, "can't make the record '%s': %s", path,
				strerror(errno));
	fputs("arrival_ns,dispatch_ns,done_ns,op,sector,sectors,issuer,cached\n", s->file);
	return 0;
}

static int record_create(const struct stage_env *env, const char *const *texts, struct block *below,
			 struct block **out, struct alc_err *err)
{
	struct record *s = host_alloc(env->host, sizeof(*s));
	int rc;

	if (!s)
		return alc_fail(err, -ENOMEM, "no memory for a record");
	s->host = env->host;
	s->disk = env->disk;
	s->below = below;
	s->block = (struct block){.ops = &record_ops, .info = below->info};
	s->lock = env->host->mutex_create(env->host->ctx);
	rc = s->lock ? open_file(s, texts[0], err)
		     : alc_fail(err, -ENOMEM, "no memory for a record");
	if (rc) {
		record_free(s);
		return rc;
	}
	*out = &s->block;
	return 0;
}

const struct stage_class stage_record = {
	.name = "record",
	.summary = "a record of all requests, as CSV",
	.keys = {"record"},
	.helps = {"file for one line a request, as CSV"},
	.create = record_create,
};
