/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "block/sched/table.h"

enum { REQUESTS_MAX = 8, CASES = 100000, PLACES = 100 };

static struct table_room room;

struct request {
	double at, weight;
};

struct problem {
	struct request requests[REQUESTS_MAX];
	unsigned n;
	double head, cost;
};

/* ---- Orders by hand ---- */

static double away(double a, double b)
{
	return a < b ? b - a : a - b;
}

/* The weighted sum of response times of an order. */
static double sum_of(const struct problem *p, const unsigned *order)
{
	double at = p->head, now = 0, sum = 0;

	for (unsigned i = 0; i < p->n; i++) {
		const struct request *r = &p->requests[order[i]];

		now += away(at, r->at) + p->cost * r->weight;
		sum += r->weight * now;
		at = r->at;
	}
	return sum;
}

struct search {
	const struct problem *p;
	bool served[REQUESTS_MAX];
	double best;
	bool below_is_best, above_is_best;
};

/* How far one order has come. */
struct walk {
	double at, now, sum, waiting; /* waiting: weight */
	unsigned n;
	bool began_below;
};

static void note(struct search *s, const struct walk *w)
{
	if (w->sum < s->best) {
		s->best = w->sum;
		s->below_is_best = s->above_is_best = false;
	}
	if (w->sum == s->best)
		*(w->began_below ? &s->below_is_best : &s->above_is_best) = true;
}

static struct walk step(const struct problem *p, struct walk w, unsigned i)
{
	const struct request *r = &p->requests[i];

	if (!w.n++)
		w.began_below = r->at < p->head;
	w.now += away(w.at, r->at) + p->cost * r->weight;
	w.sum += r->weight * w.now;
	w.waiting -= r->weight;
	w.at = r->at;
	return w;
}

/* What waits responds no earlier than now: an order that is worse already is not gone to its end.
 */
static void try_all(struct search *s, const struct walk *w)
{
	if (w->n == s->p->n)
		note(s, w);
	for (unsigned i = 0; i < s->p->n; i++) {
		struct walk next;

		if (s->served[i])
			continue;
		next = step(s->p, *w, i);
		if (next.sum + next.waiting * next.now > s->best)
			continue;
		s->served[i] = true;
		try_all(s, &next);
		s->served[i] = false;
	}
}

/* The best of all orders that are not worse than `bound`, and which sides such may begin with. */
static struct search search_all(const struct problem *p, double bound)
{
	struct search s = {.p = p, .best = bound};
	struct walk w = {.at = p->head};

	for (unsigned i = 0; i < p->n; i++)
		w.waiting += p->requests[i].weight;
	try_all(&s, &w);
	return s;
}

/* ---- The plan ---- */

static int nearer(const void *a, const void *b)
{
	const struct table_point *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static int farther(const void *a, const void *b)
{
	return nearer(b, a);
}

static enum table_first plan(const struct problem *p, double *sum)
{
	struct table_point below[REQUESTS_MAX], above[REQUESTS_MAX];
	struct table_side b = {below, 0}, a = {above, 0};

	for (unsigned i = 0; i < p->n; i++) {
		struct table_point at = {p->requests[i].at, p->requests[i].weight};

		if (at.at < p->head)
			below[b.count++] = at;
		else
			above[a.count++] = at;
	}
	qsort(below, b.count, sizeof(*below), farther);
	qsort(above, a.count, sizeof(*above), nearer);
	return table_plan(p->head, &b, &a, p->cost, &room, sum);
}

/* The whole order: plan, serve the first, plan again. */
static void serve_by_plan(struct problem p, double *order)
{
	for (unsigned k = 0; p.n; k++) {
		double sum;
		enum table_first side = plan(&p, &sum);
		unsigned first = 0;

		for (unsigned i = 1; i < p.n; i++) {
			bool right_side = (p.requests[i].at < p.head) == (side == TABLE_BELOW);
			bool first_is = (p.requests[first].at < p.head) == (side == TABLE_BELOW);

			if (right_side && (!first_is || away(p.requests[i].at, p.head) <
								away(p.requests[first].at, p.head)))
				first = i;
		}
		order[k] = p.head = p.requests[first].at;
		p.requests[first] = p.requests[--p.n];
	}
}

static struct problem example(void)
{
	return (struct problem){
		.requests = {{95, 1}, {10, 1}, {60, 1}, {41, 1}}, .n = 4, .head = 50};
}

static void worked_example(void **state)
{
	static const unsigned first_come[] = {0, 1, 2, 3}, nearest_first[] = {3, 2, 0, 1};
	static const unsigned best[] = {2, 3, 1, 0};
	static const double order[] = {60, 41, 10, 95};
	struct problem p = example();
	double sum, served[4];

	assert_true(sum_of(&p, first_come) / 4 == 138.5);
	assert_true(sum_of(&p, nearest_first) / 4 == 62);
	assert_true(sum_of(&p, best) / 4 == 61);
	assert_int_equal(plan(&p, &sum), TABLE_ABOVE);
	assert_true(sum / 4 == 61);
	serve_by_plan(p, served);
	assert_memory_equal(served, order, sizeof(order));
}

static void constant_cost_adds_what_it_must(void **state)
{
	struct problem p = example();
	double plain, costly;

	plan(&p, &plain);
	p.cost = 7;
	plan(&p, &costly);
	assert_true(costly == plain + 7.0 * 4 * 5 / 2);
}

static void one_side_and_none(void **state)
{
	struct problem p = {.head = 50};
	double sum = 1;

	assert_int_equal(plan(&p, &sum), TABLE_NONE);
	assert_true(sum == 0);
	p = (struct problem){.requests = {{10, 1}, {30, 2}}, .n = 2, .head = 50};
	assert_int_equal(plan(&p, &sum), TABLE_BELOW);
	assert_true(sum == 2 * 20 + 40);
	p = (struct problem){.requests = {{50, 3}, {60, 1}}, .n = 2, .head = 50};
	assert_int_equal(plan(&p, &sum), TABLE_ABOVE);
	assert_true(sum == 10);
}

/* ---- Against all orders ---- */

static u64 next_random(u64 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

/* By turns: all weights equal or not, without cost or with. */
static struct problem random_problem(u64 *seed, unsigned nth)
{
	struct problem p = {.n = 1 + (unsigned)(next_random(seed) % REQUESTS_MAX)};

	p.head = (double)(next_random(seed) % PLACES);
	p.cost = nth & 1 ? (double)(next_random(seed) % 30) : 0;
	for (unsigned i = 0; i < p.n; i++) {
		p.requests[i].at = (double)(next_random(seed) % PLACES);
		p.requests[i].weight = nth & 2 ? (double)(1 + next_random(seed) % 9) : 1;
	}
	return p;
}

static void equals_the_best_of_all_orders(void **state)
{
	u64 seed = 0x9e3779b97f4a7c15ull;
	unsigned largest = 0;

	for (unsigned nth = 0; nth < CASES; nth++) {
		struct problem p = random_problem(&seed, nth);
		struct search s;
		double sum;
		enum table_first side;

		largest += p.n == REQUESTS_MAX;
		side = plan(&p, &sum);
		s = search_all(&p, sum);
		if (sum != s.best)
			print_error("case %u: %f, not %f\n", nth, sum, s.best);
		assert_true(sum == s.best);
		assert_true(side == TABLE_BELOW ? s.below_is_best : s.above_is_best);
	}
	assert_true(largest > CASES / 10);
}

/* ---- Large ones ---- */

/* The recurrence as it is written, in the plainest way. */
static double plain_recurrence(const struct table_side *below, const struct table_side *above)
{
	enum { SIDE = 64 };
	static double v[SIDE + 1][SIDE + 1][2];
	unsigned a = below->count, b = above->count;

	assert_true(a <= SIDE && b <= SIDE);
	for (unsigned i = a + 1; i-- > 0;)
		for (unsigned j = b + 1; j-- > 0;)
			for (unsigned side = 0; side < 2; side++) {
				double at = 0, wait = 0, best = __builtin_inf(), to;

				if (side ? j : i)
					at = side ? above->points[j - 1].at
						  : below->points[i - 1].at;
				for (unsigned k = i; k < a; k++)
					wait += below->points[k].weight;
				for (unsigned k = j; k < b; k++)
					wait += above->points[k].weight;
				if (i < a) {
					to = wait * (at - below->points[i].at) + v[i + 1][j][0];
					best = to < best ? to : best;
				}
				if (j < b) {
					to = wait * (above->points[j].at - at) + v[i][j + 1][1];
					best = to < best ? to : best;
				}
				v[i][j][side] = i == a && j == b ? 0 : best;
			}
	return v[0][0][0];
}

static void fill(struct table_point *points, unsigned n, double sign, u64 *seed)
{
	double at = 0;

	for (unsigned i = 0; i < n; i++) {
		at += sign * (double)(next_random(seed) % 2000000);
		points[i] = (struct table_point){at, (double)(1 + next_random(seed) % 4)};
	}
}

static void equals_the_plain_recurrence(void **state)
{
	struct table_point below[64], above[64];
	u64 seed = 77;

	for (unsigned nth = 0; nth < 300; nth++) {
		struct table_side b = {below, (unsigned)(next_random(&seed) % 65)};
		struct table_side a = {above, (unsigned)(next_random(&seed) % 65)};
		double sum;

		fill(below, b.count, -1, &seed);
		fill(above, a.count, 1, &seed);
		table_plan(0, &b, &a, 0, &room, &sum);
		assert_true(sum == plain_recurrence(&b, &a));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worked_example),
		cmocka_unit_test(constant_cost_adds_what_it_must),
		cmocka_unit_test(one_side_and_none),
		cmocka_unit_test(equals_the_best_of_all_orders),
		cmocka_unit_test(equals_the_plain_recurrence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
