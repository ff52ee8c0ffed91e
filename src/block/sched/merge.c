/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/merge.h"

/* Both are of one kind: one may wait for the other. */
static bool alike(const struct disk_req *a, const struct disk_req *b)
{
	return a->op == b->op && a->sync == b->sync;
}

/* low begins first, or where high begins. */
static bool fit(const struct merge_rules *rules, const struct disk_req *low,
		const struct disk_req *high)
{
	u64 end = max_u64(span_end(low), span_end(high));

	if (!alike(low, high) || end - low->span_sector > rules->max_sectors)
		return false;
	return rules->overlap && low->op == BLOCK_READ ? span_end(low) >= high->span_sector
						       : span_end(low) == high->span_sector;
}

static void hang(struct disk_req *to, struct disk_req *r)
{
	struct sched_node *n = node_of(to);

	r->next = NULL;
	if (n->last_merged)
		n->last_merged->next = r;
	else
		to->merged = r;
	n->last_merged = r;
}

/* r with all that hang on it. */
static void take_members(struct disk_req *to, struct disk_req *r)
{
	struct disk_req *theirs = r->merged, *last = node_of(r)->last_merged;
	unsigned members = node_of(to)->members + node_of(r)->members;

	r->merged = NULL;
	node_of(r)->last_merged = NULL;
	hang(to, r);
	if (theirs) {
		r->next = theirs;
		node_of(to)->last_merged = last;
	}
	node_of(to)->members = (u16)min_u64(members, UINT16_MAX);
	node_of(to)->expires_ns = min_u64(node_of(to)->expires_ns, node_of(r)->expires_ns);
}

static void widen(struct disk_req *to, const struct disk_req *r)
{
	u64 begin = min_u64(to->span_sector, r->span_sector);
	u64 end = max_u64(span_end(to), span_end(r));

	to->span_sector = begin;
	to->span_sectors = (u32)(end - begin);
}

static void swallow(struct disk_req *to, struct disk_req *r)
{
	widen(to, r);
	take_members(to, r);
	/* `to` is what the drive sees of it. */
	r->span_sector = r->sector;
	r->span_sectors = r->sectors;
}

/* The one that stays has the place of the one that waited longer. */
static void leave_fifo(struct fifo *f, struct disk_req *stays, struct disk_req *goes)
{
	if (node_of(goes)->expires_ns >= node_of(stays)->expires_ns) {
		fifo_remove(f, goes);
		return;
	}
	fifo_remove(f, stays);
	fifo_replace(f, goes, stays);
}

/* to has grown upwards. */
static struct disk_req *join_next(struct sorted *t, struct fifo *f, const struct merge_rules *rules,
				  struct disk_req *to)
{
	struct disk_req *next = sorted_next(to);

	if (!next || !fit(rules, to, next))
		return NULL;
	sorted_remove(t, next);
	leave_fifo(f, to, next);
	swallow(to, next);
	return next;
}

struct disk_req *merge_add(struct sorted *t, struct fifo *f, const struct merge_rules *rules,
			   struct disk_req *r, struct disk_req **absorbed)
{
	struct disk_req *high = sorted_from(t, r->span_sector + 1);
	struct disk_req *low = high ? sorted_prev(high) : sorted_last(t);

	*absorbed = NULL;
	if (low && fit(rules, low, r)) {
		swallow(low, r);
		*absorbed = join_next(t, f, rules, low);
		return low;
	}
	if (!rules->front || !high || !fit(rules, r, high))
		return NULL;
	sorted_remove(t, high);
	swallow(high, r);
	sorted_insert(t, high);
	return high;
}
