/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/antic.h"

/* Until the line is known: half a rotation and the full stroke of an ordinary disk. */
enum { GUESS_NS = 4000000, GUESS_STROKE_NS = 10000000, LINE_KNOWN = 16 };

void antic_init(struct antic *a, const struct antic_params *params, u64 sectors)
{
	a->params = *params;
	a->sectors = max_u64(sectors, 1);
}

void antic_added(struct antic *a, const struct disk_req *r, u64 now_ns)
{
	unsigned of = issuer_number(&a->issuers, r->issuer);

	think_asked(&a->think[of], r, now_ns, 4 * a->params.expire_ns);
	if (of == a->of)
		a->armed = false;
}

void antic_sent(struct antic *a, struct disk_req *r, u64 distance)
{
	node_of(r)->expires_ns = distance;
	a->armed = false;
}

static void learn(struct antic_line *l, double x, double y)
{
	const double keep = 255.0 / 256;

	l->n = l->n * keep + 1;
	l->x = l->x * keep + x;
	l->y = l->y * keep + y;
	l->xx = l->xx * keep + x * x;
	l->xy = l->xy * keep + x * y;
}

void antic_done(struct antic *a, const struct disk_req *r, u64 now_ns)
{
	unsigned of = issuer_number(&a->issuers, r->issuer);

	if (!r->cached)
		learn(&a->line, (double)node_of(r)->expires_ns, (double)(now_ns - r->dispatch_ns));
	think_done(&a->think[of], now_ns);
	for (const struct disk_req *m = r->merged; m; m = m->next)
		think_done(&a->think[issuer_number(&a->issuers, m->issuer)], now_ns);
	a->armed = r->op == BLOCK_READ && !a->think[of].waiting;
	a->of = of;
	a->since_ns = now_ns;
}

static double guess_ns(const struct antic *a, double distance)
{
	return GUESS_NS + GUESS_STROKE_NS * distance / (double)a->sectors;
}

/* What a sector of distance adds: never less than nothing. */
static double slope(const struct antic *a)
{
	const struct antic_line *l = &a->line;
	double spread = l->n * l->xx - l->x * l->x, slant;

	if (l->n < LINE_KNOWN || spread <= 0)
		return (double)GUESS_STROKE_NS / (double)a->sectors;
	slant = (l->n * l->xy - l->x * l->y) / spread;
	return slant > 0 ? slant : 0;
}

double antic_service_ns(const struct antic *a, u64 distance)
{
	const struct antic_line *l = &a->line;
	double ns;

	if (l->n < LINE_KNOWN)
		return guess_ns(a, (double)distance);
	ns = (l->y + slope(a) * (l->n * (double)distance - l->x)) / l->n;
	return ns > 0 ? ns : 0;
}

static bool pays(const struct antic *a, u64 distance, unsigned waiting)
{
	const struct think *t = &a->think[a->of];
	double wait_ns = (double)t->mean_ns + antic_service_ns(a, t->mean_sectors);

	return think_known(t) && t->mean_ns <= a->params.expire_ns &&
	       (double)waiting * wait_ns <
		       antic_service_ns(a, distance) + slope(a) * (double)distance;
}

u64 antic_until(const struct antic *a, u64 distance, unsigned waiting, u64 now_ns)
{
	u64 until_ns = a->since_ns + a->params.expire_ns;

	if (!a->armed || until_ns <= now_ns)
		return 0;
	return a->params.always || pays(a, distance, waiting) ? until_ns : 0;
}
