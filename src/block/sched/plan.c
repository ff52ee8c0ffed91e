/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/plan.h"

static struct table_point point_of(const struct plan *p, const struct disk_req *r, u64 head,
				   u64 now_ns)
{
	const struct sched_node *n = node_of(r);
	double weight = n->members;

	if (p->age_ns > 0)
		weight *= 1 + (double)(now_ns - n->expires_ns) / p->age_ns;
	/* From the head on: small numbers are exact. */
	return (struct table_point){(double)(i64)(r->span_sector - head), weight};
}

struct disk_req *plan_first(struct plan *p, const struct sorted *t, u64 head, u64 now_ns)
{
	struct disk_req *up = sorted_from(t, head), *down = up ? sorted_prev(up) : sorted_last(t);
	struct table_side below = {p->below, 0}, above = {p->above, 0};
	double sum;

	if (!up || !down)
		return up ? up : down;
	for (struct disk_req *r = up; r && above.count < p->side; r = sorted_next(r))
		p->above[above.count++] = point_of(p, r, head, now_ns);
	for (struct disk_req *r = down; r && below.count < p->side; r = sorted_prev(r))
		p->below[below.count++] = point_of(p, r, head, now_ns);
	return table_plan(0, &below, &above, 0, &p->room, &sum) == TABLE_BELOW ? down : up;
}
