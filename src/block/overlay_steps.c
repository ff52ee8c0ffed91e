/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "block/overlay_internal.h"

/*
 * What the steps of a request are.
 *
 * Reads go to base or store, a run of clusters at a time. What changes clusters that the store has
 * goes there. Others are made: whole ones by writing them, others by copying the base's first and
 * putting the new data in, all in one write, so that a cluster is never there in part. Who makes
 * clusters holds them, and others who want to wait.
 */

static u64 cluster_of(const struct overlay *o, u64 offset)
{
	return offset >> o->l.cluster_bits;
}

static u64 cluster_start(const struct overlay *o, u64 cluster)
{
	return cluster << o->l.cluster_bits;
}

/* The last one may be cut off. */
static u64 cluster_end(const struct overlay *o, u64 cluster)
{
	return min_u64(cluster_start(o, cluster + 1), o->l.size);
}

static u64 position(const struct job *j)
{
	return j->req->offset + j->at;
}

static u64 left(const struct job *j)
{
	return j->req->len - j->at;
}

/* How far from `at` on the store has, or has not, what it has, or has not, there. */
static u64 run_of(const struct job *j, u64 at, u64 len)
{
	const struct overlay *o = j->o;
	u64 c = cluster_of(o, at), end = at + len;
	bool has = overlay_map_has(&o->map, c);

	do
		c++;
	while (cluster_start(o, c) < end && overlay_map_has(&o->map, c) == has);
	return min_u64(cluster_start(o, c), end) - at;
}

/* ---- data of a step ---- */

static void set_sub(struct job *j, enum block_op op, u64 offset, u64 len)
{
	j->sub = (struct block_req){
		.op = op, .offset = offset, .len = len, .issuer = j->req->issuer};
}

static void set_whole(struct job *j, u8 *p)
{
	j->whole = (struct alc_iov){.base = p, .len = j->sub.len};
	j->sub.iov = &j->whole;
	j->sub.niov = 1;
}

/* The pieces from j->at on, as many as there is room for: how many bytes they have, up to len. */
static u64 take_pieces(struct job *j, u64 len)
{
	const struct block_req *r = j->req;
	u64 start = 0, got = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < r->niov && got < len && n < OVERLAY_PIECES; i++) {
		u64 skip = j->at > start ? j->at - start : 0;

		start += r->iov[i].len;
		if (skip >= r->iov[i].len)
			continue;
		j->pieces[n].base = r->iov[i].base + skip;
		j->pieces[n].len = min_u64(r->iov[i].len - skip, len - got);
		got += j->pieces[n++].len;
	}
	j->sub.niov = n;
	return got;
}

/* Drops what is beyond len bytes of the pieces taken. */
static void cut_pieces(struct job *j, u64 len)
{
	unsigned n = 0;

	for (u64 at = 0; at < len; at += j->pieces[n++].len)
		j->pieces[n].len = min_u64(j->pieces[n].len, len - at);
	j->sub.niov = n;
}

/*
 * Gives the step the request's own memory, for len bytes or fewer, a multiple of `unit`. Returns
 * how many; 0: the pieces are too small for that.
 */
static u64 use_memory(struct job *j, u64 len, u64 unit)
{
	u64 got;

	if (!j->at && len == j->req->len) {
		j->sub.iov = j->req->iov;
		j->sub.niov = j->req->niov;
		return len;
	}
	j->sub.iov = j->pieces;
	got = take_pieces(j, len);
	if (got < len) {
		got = align_down(got, unit);
		cut_pieces(j, got);
	}
	return got;
}

static void advance(struct job *j)
{
	j->at += j->step_len;
}

static void release(struct job *j)
{
	if (j->last > j->first)
		job_wake_waiting(j->o);
	j->first = j->last = 0;
}

static void after_plain(struct job *j)
{
	advance(j);
}

/* The clusters that a step has made are there from now on. */
static void after_make(struct job *j)
{
	if (!j->status) {
		overlay_map_set(&j->o->map, j->first, j->last);
		advance(j);
	}
	release(j);
}

static u64 store_offset(const struct overlay *o, u64 offset)
{
	return o->l.data_at + offset;
}

/* ---- reads ---- */

static void after_bounced_read(struct job *j)
{
	if (!j->status)
		iov_copy_to(j->req->iov, j->req->niov, j->at, j->bounce, j->step_len);
	advance(j);
}

static void step_read(struct job *j)
{
	struct overlay *o = j->o;
	u64 at = position(j), len = run_of(j, at, left(j)), got;
	bool has = overlay_map_has(&o->map, cluster_of(o, at));
	struct block *from = has ? o->store : o->base;

	set_sub(j, BLOCK_READ, has ? store_offset(o, at) : at, len);
	got = use_memory(j, len, o->block.info.block);
	j->step_len = j->sub.len = got ? got : min_u64(len, o->cluster);
	if (!got)
		set_whole(j, j->bounce);
	job_submit(j, from, got ? after_plain : after_bounced_read);
}

/* ---- changes ---- */

static bool held_by_others(const struct job *j, u64 cluster)
{
	for (unsigned i = 0; i < OVERLAY_JOBS; i++) {
		const struct job *other = &j->o->jobs[i];

		if (other != j && other->first <= cluster && cluster < other->last)
			return true;
	}
	return false;
}

static bool is_data(const struct job *j)
{
	return j->req->op == BLOCK_WRITE;
}

/*
 * Makes of a step that is set up what the request wants of the store: its data, or zeroes; those
 * as such, or written where the store knows no better. Returns how many bytes, as use_memory.
 */
static u64 fill_step(struct job *j, u64 len, u64 unit)
{
	struct overlay *o = j->o;

	if (is_data(j))
		return use_memory(j, len, unit);
	if (o->store->info.zeroes) {
		j->sub.op = BLOCK_ZERO;
		j->sub.unmap = j->req->unmap || j->req->op == BLOCK_DISCARD;
		return len;
	}
	len = min_u64(len, o->cluster);
	j->sub.len = len;
	set_whole(j, o->zeroes);
	return len;
}

/* Where the store has the clusters. */
static void step_overwrite(struct job *j, u64 at)
{
	struct overlay *o = j->o;
	u64 len = run_of(j, at, left(j)), got;

	set_sub(j, BLOCK_WRITE, store_offset(o, at), len);
	got = fill_step(j, len, o->block.info.block);
	j->step_len = j->sub.len = got ? got : min_u64(len, o->cluster);
	if (!got) {
		iov_copy_from(j->req->iov, j->req->niov, j->at, j->bounce, j->step_len);
		set_whole(j, j->bounce);
	}
	job_submit(j, o->store, after_plain);
}

/* The clusters from the one at `at` on that can be made whole now: [at, result). */
static u64 whole_run(const struct job *j, u64 at)
{
	const struct overlay *o = j->o;
	u64 c = cluster_of(o, at), end = at + left(j);

	if (at != cluster_start(o, c))
		return at;
	while (c < o->l.clusters && cluster_end(o, c) <= end && !overlay_map_has(&o->map, c) &&
	       !held_by_others(j, c))
		c++;
	return cluster_start(o, c) > o->l.size ? o->l.size : cluster_start(o, c);
}

static void hold(struct job *j, u64 at, u64 len)
{
	j->first = cluster_of(j->o, at);
	j->last = cluster_of(j->o, at + len - 1) + 1;
}

static void step_make_whole(struct job *j, u64 at, u64 got)
{
	j->step_len = j->sub.len = got;
	hold(j, at, got);
	job_submit(j, j->o->store, after_make);
}

/* The base's cluster is in the bounce buffer: now the new data. */
static void after_copy_read(struct job *j)
{
	struct overlay *o = j->o;
	u64 at = position(j), start = cluster_start(o, j->first);
	u64 end = cluster_end(o, j->first);

	if (j->status) {
		release(j);
		return;
	}
	if (is_data(j))
		iov_copy_from(j->req->iov, j->req->niov, j->at, j->bounce + (at - start),
			      j->step_len);
	else
		__builtin_memset(j->bounce + (at - start), 0, j->step_len);
	set_sub(j, BLOCK_WRITE, store_offset(o, start), end - start);
	set_whole(j, j->bounce);
	job_submit(j, o->store, after_make);
}

static void step_copy(struct job *j, u64 at)
{
	struct overlay *o = j->o;
	u64 c = cluster_of(o, at), start = cluster_start(o, c), end = cluster_end(o, c);

	j->step_len = min_u64(end - at, left(j));
	hold(j, at, 1);
	set_sub(j, BLOCK_READ, start, end - start);
	set_whole(j, j->bounce);
	job_submit(j, o->base, after_copy_read);
}

/* Cuts `got` to whole clusters; the disk's end makes the last one whole. */
static u64 whole_clusters(const struct overlay *o, u64 at, u64 got)
{
	return at + got == o->l.size ? got : align_down(got, o->cluster);
}

static void step_change(struct job *j)
{
	struct overlay *o = j->o;
	u64 at = position(j), c = cluster_of(o, at), end, got = 0;

	if (overlay_map_has(&o->map, c)) {
		step_overwrite(j, at);
		return;
	}
	if (held_by_others(j, c)) {
		job_wait(j);
		return;
	}
	end = whole_run(j, at);
	if (end > at) {
		set_sub(j, BLOCK_WRITE, store_offset(o, at), end - at);
		got = whole_clusters(o, at, fill_step(j, end - at, o->cluster));
	}
	if (got)
		step_make_whole(j, at, got);
	else
		step_copy(j, at);
}

/* Only whole clusters: to make one in order to discard a part of it would be perverse. */
static void step_discard(struct job *j)
{
	struct overlay *o = j->o;
	u64 at = position(j), c = cluster_of(o, at);
	u64 n = min_u64(cluster_end(o, c) - at, left(j));

	if (at != cluster_start(o, c) || at + n != cluster_end(o, c))
		j->at += n;
	else
		step_change(j);
}

/* ---- flush ---- */

static void end_flush(struct job *j)
{
	j->o->flusher = NULL;
	overlay_map_taken(&j->o->map, !j->status);
	job_wake_waiting(j->o);
	job_finish(j);
}

/* One run of blocks of the bitmap after the other, then all of them durable. */
static void write_bits(struct job *j)
{
	struct overlay *o = j->o;
	u64 block = j->bitmap_next, n;

	if (j->status) {
		end_flush(j);
	} else if (overlay_map_next(&o->map, &block, &n)) {
		j->bitmap_next = block + n;
		set_sub(j, BLOCK_WRITE, OVERLAY_BITMAP_AT + block * OVERLAY_BITMAP_BLOCK,
			n * OVERLAY_BITMAP_BLOCK);
		set_whole(j, o->map.stable + block * OVERLAY_BITMAP_BLOCK);
		job_submit(j, o->store, write_bits);
	} else {
		set_sub(j, BLOCK_FLUSH, 0, 0);
		job_submit(j, o->store, end_flush);
	}
}

static void step_flush(struct job *j)
{
	struct overlay *o = j->o;

	if (!o->keep) {
		job_finish(j);
		return;
	}
	if (o->flusher) {
		job_wait(j);
		return;
	}
	o->flusher = j;
	j->bitmap_next = 0;
	set_sub(j, BLOCK_FLUSH, 0, 0);
	job_submit(j, o->store, overlay_map_take(&o->map) ? write_bits : end_flush);
}

/* ---- a request ---- */

static bool begin_step(struct job *j)
{
	u64 before = j->at;

	switch (j->req->op) {
	case BLOCK_READ:
		step_read(j);
		break;
	case BLOCK_WRITE:
	case BLOCK_ZERO:
		step_change(j);
		break;
	case BLOCK_DISCARD:
		step_discard(j);
		break;
	case BLOCK_FLUSH:
		step_flush(j);
		break;
	}
	return j->at != before;
}

void job_run(struct job *j)
{
	if (j->after) {
		void (*after)(struct job * j) = j->after;

		j->after = NULL;
		after(j);
		if (j->after || !j->req) /* it went on, or came to an end, by itself */
			return;
	}
	do {
		if (j->req->op != BLOCK_FLUSH && (j->status || !left(j))) {
			job_finish(j);
			return;
		}
	} while (begin_step(j));
}
