/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/plan.h"

double plan_age_weight(const struct plan *p, const struct disk_req *r, u64 now_ns)
{
	return p->age_ns > 0 ? 1 + (double)(now_ns - node_of(r)->expires_ns) / p->age_ns : 1;
}

static double weight_of(const struct plan *p, const struct disk_req *r, u64 now_ns)
{
	return node_of(r)->members * plan_age_weight(p, r, now_ns);
}

/* Relative to the head: small numbers are exact. */
static struct table_point point_of(const struct plan *p, const struct disk_req *r, u64 head,
				   u64 now_ns)
{
	return (struct table_point){(double)(i64)(r->span_sector - head), weight_of(p, r, now_ns)};
}

static unsigned gather_above(struct plan *p, struct disk_req *r, u64 head, u64 now_ns)
{
	struct disk_req *lead = NULL;
	unsigned n = 0;

	for (; r; r = sorted_next(r)) {
		if (lead && p->ahead && span_end(r) <= span_end(lead) + p->ahead) {
			p->above[n - 1].weight += weight_of(p, r, now_ns);
			continue;
		}
		if (n == p->side)
			break;
		lead = r;
		p->above[n++] = point_of(p, r, head, now_ns);
	}
	return n;
}

/* The lowest of a cluster leads it: so from above each may take the lead. */
static unsigned gather_below(struct plan *p, struct disk_req *r, u64 head, u64 now_ns,
			     struct disk_req **first)
{
	u64 top = 0;
	unsigned n = 0;

	for (; r; r = sorted_prev(r)) {
		struct table_point point = point_of(p, r, head, now_ns);

		if (n && p->ahead && top <= span_end(r) + p->ahead) {
			point.weight += p->below[n - 1].weight;
			n--;
		} else {
			top = span_end(r);
		}
		if (n == p->side)
			break;
		p->below[n++] = point;
		if (n == 1)
			*first = r;
	}
	return n;
}

struct disk_req *plan_first(struct plan *p, const struct sorted *t, u64 head, u64 now_ns)
{
	struct disk_req *up = sorted_from(t, head), *down = up ? sorted_prev(up) : sorted_last(t);
	struct table_side below = {p->below, 0}, above = {p->above, 0};
	double sum;

	above.count = gather_above(p, up, head, now_ns);
	below.count = gather_below(p, down, head, now_ns, &down);
	switch (table_plan(0, &below, &above, 0, &p->room, &sum)) {
	case TABLE_BELOW:
		return down;
	case TABLE_ABOVE:
		return up;
	case TABLE_NONE:
		break;
	}
	return NULL;
}
