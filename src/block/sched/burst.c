/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/burst.h"

void burst_init(struct burst *b, const struct burst_params *params, u64 max_sectors)
{
	b->params = *params;
	b->rules = (struct merge_rules){.max_sectors = (u32)max_sectors, .front = true};
}

void burst_add(struct burst *b, struct disk_req *r, u64 now_ns)
{
	struct disk_req *absorbed;

	queue_add(&b->queue, &b->rules, r, now_ns, &absorbed);
}

static u64 due_ns(const struct burst *b, enum burst_kind kind)
{
	const struct disk_req *oldest = b->queue.fifo.oldest;
	u64 delay_ns = kind == BURST_FORCED ? b->params.most_ns : b->params.least_ns;

	return oldest ? node_of(oldest)->expires_ns + delay_ns : DISK_NEVER;
}

static bool is_over(const struct burst *b, bool reads_wait, u64 now_ns)
{
	return !b->left || (b->kind == BURST_IDLE && reads_wait) || due_ns(b, BURST_IDLE) > now_ns;
}

static enum burst_kind to_begin(const struct burst *b, bool reads_wait, u64 now_ns)
{
	if (due_ns(b, BURST_FORCED) <= now_ns && !(reads_wait && b->owed))
		return BURST_FORCED;
	if (!reads_wait && due_ns(b, BURST_IDLE) <= now_ns)
		return BURST_IDLE;
	return BURST_NONE;
}

enum burst_kind burst_look(struct burst *b, bool reads_wait, u64 now_ns)
{
	if (b->kind != BURST_NONE && !is_over(b, reads_wait, now_ns))
		return b->kind;
	b->kind = to_begin(b, reads_wait, now_ns);
	if (b->kind != BURST_NONE)
		b->owed = 0;
	b->left = b->queue.sorted.count;
	return b->kind;
}

u64 burst_ask_ns(const struct burst *b, enum burst_kind kind, u64 now_ns)
{
	u64 ns = due_ns(b, kind);

	return ns > now_ns ? ns : DISK_NEVER;
}

struct disk_req *burst_take(struct burst *b)
{
	struct disk_req *r = sorted_from(&b->queue.sorted, b->head);

	if (!r)
		r = sorted_first(&b->queue.sorted);
	queue_remove(&b->queue, r);
	b->head = span_end(r);
	b->left--;
	b->owed += b->kind == BURST_FORCED;
	return r;
}
