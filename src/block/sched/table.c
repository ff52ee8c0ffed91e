/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/table.h"

/*
 * The recurrence, made cheap. Let x[i] and y[j] be the distances from where the head began to the
 * i-th request below and the j-th above, P[i] the weight of all but i below, Q[j] that of j above:
 * W(i,j) = P[i] - Q[j]. To V(i,j,below) we add f(i,j), the cost of i steps downwards from where the
 * head began when j above had been served, and to V(i,j,above) likewise g(i,j):
 *
 *	f(i,j) = A[i] - Q[j] * x[i],	A[i] = sum over m < i of P[m] * (x[m+1] - x[m])
 *	g(i,j) = P[i] * y[j] - B[j],	B[j] = sum over m < j of Q[m] * (y[m+1] - y[m])
 *
 * Then a step onwards costs nothing, and a turn what is the product of two terms and sums of terms
 * of i alone and of j alone:
 *
 *	F(i,j,below) = min(F(i+1,j,below),
 *		F(i,j+1,above) + P[i]*x[i] + A[i] + B[j+1] - Q[j]*y[j+1] - 2*x[i]*Q[j])
 *	F(i,j,above) = min(F(i,j+1,above),
 *		F(i+1,j,below) + P[i]*x[i+1] - A[i+1] - B[j] - Q[j]*y[j] + 2*P[i]*y[j])
 *
 * States with as many requests served, i + j = k, don't depend on each other, only on those with
 * one more served: so a diagonal is computed at once, two states by one instruction, and takes the
 * place of the one before. States are indexed by i; what depends on j is stored from the outermost
 * request inwards, so that it too is read upwards.
 */
typedef double pair __attribute__((vector_size(16)));
typedef double pair_any __attribute__((vector_size(16), aligned(8), may_alias));

/* The rows of coefficients. Below: by i; above: j at [b - j]. */
enum { TURN_UP, WAY, TURN_DOWN, WEIGHT };

static inline pair load(const double *p)
{
	return *(const pair_any *)p;
}

static inline void store(double *p, pair v)
{
	*(pair_any *)p = v;
}

static inline pair lesser(pair a, pair b)
{
#if defined(__SSE2__)
	return __builtin_ia32_minpd(a, b);
#else
	return (pair){a[0] < b[0] ? a[0] : b[0], a[1] < b[1] ? a[1] : b[1]};
#endif
}

/* Returns A[a] and in *left P[a]. */
static double fill_below(struct table_room *t, double head, const struct table_side *side,
			 double weight, double *left)
{
	double x = 0, walked = 0;

	for (unsigned i = 0; i < side->count; i++) {
		double to = head - side->points[i].at;

		t->below[TURN_UP][i] = weight * x + walked;
		t->below[WAY][i] = 2 * x;
		t->below[WEIGHT][i] = 2 * weight;
		walked += weight * (to - x);
		t->below[TURN_DOWN][i] = weight * to - walked;
		x = to;
		weight -= side->points[i].weight;
	}
	/* At the lowest one can only turn up; behind it nothing is, but is computed. */
	t->below[TURN_UP][side->count] = weight * x + walked;
	t->below[WAY][side->count] = 2 * x;
	t->below[WEIGHT][side->count] = t->below[TURN_DOWN][side->count] = 0;
	for (unsigned row = 0; row < 4; row++)
		t->below[row][side->count + 1] = 0;
	*left = weight;
	return walked;
}

/* Returns B[b]. */
static double fill_above(struct table_room *t, double head, const struct table_side *side)
{
	unsigned b = side->count;
	double y = 0, walked = 0, done = 0;

	for (unsigned j = 0; j < b; j++) {
		double to = side->points[j].at - head;

		t->above[TURN_DOWN][b - j] = -walked - done * y;
		t->above[WAY][b - j] = y;
		t->above[WEIGHT][b - j] = done;
		walked += done * (to - y);
		t->above[TURN_UP][b - j] = walked - done * to;
		y = to;
		done += side->points[j].weight;
	}
	t->above[TURN_DOWN][0] = -walked - done * y;
	t->above[WAY][0] = y;
	t->above[WEIGHT][0] = t->above[TURN_UP][0] = 0;
	for (unsigned row = 0; row < 4; row++)
		t->above[row][b + 1] = 0;
	return walked;
}

/* The states i = low … high of a diagonal; shift: where in `above` what belongs to i = 0 is. */
static void diagonal(struct table_room *t, unsigned low, unsigned high, i64 shift)
{
	for (unsigned i = low; i <= high; i += 2) {
		i64 j = shift + i;
		pair down = load(t->at_below + i + 1), up = load(t->at_above + i);
		pair turn_up = load(t->below[TURN_UP] + i) + load(t->above[TURN_UP] + j) -
			       load(t->below[WAY] + i) * load(t->above[WEIGHT] + j);
		pair turn_down = load(t->below[TURN_DOWN] + i) + load(t->above[TURN_DOWN] + j) +
				 load(t->below[WEIGHT] + i) * load(t->above[WAY] + j);

		store(t->at_below + i, lesser(down, up + turn_up));
		store(t->at_above + i, lesser(up, down + turn_down));
	}
}

struct totals {
	double weight, squares;
};

static void add_side(struct totals *s, const struct table_side *side)
{
	for (unsigned i = 0; i < side->count; i++) {
		double w = side->points[i].weight;

		s->weight += w;
		s->squares += w * w;
	}
}

static void run(double head, const struct table_side *below, const struct table_side *above,
		double weight, struct table_room *t)
{
	unsigned a = below->count, b = above->count;
	double left, walked_below = fill_below(t, head, below, weight, &left);
	double walked_above = fill_above(t, head, above);
	double x = a ? head - below->points[a - 1].at : 0;
	double y = b ? above->points[b - 1].at - head : 0;

	for (unsigned i = 0; i < a + 4; i++)
		t->at_below[i] = t->at_above[i] = __builtin_inf();
	/* All served: V is 0. What is left below is all that is above, Q[b]. */
	t->at_below[a] = walked_below - left * x;
	t->at_above[a] = left * y - walked_above;
	for (unsigned k = a + b - 1; k > 0; k--)
		diagonal(t, k > b ? k - b : 0, k < a ? k : a, (i64)b - k);
}

enum table_first table_plan(double head, const struct table_side *below,
			    const struct table_side *above, double cost, struct table_room *room,
			    double *sum)
{
	double go_below, go_above, ways;
	struct totals total = {0};

	*sum = 0;
	if (!below->count && !above->count)
		return TABLE_NONE;
	add_side(&total, below);
	add_side(&total, above);
	run(head, below, above, total.weight, room);
	/* Steps onwards cost nothing, so these are the sums by the first step. */
	go_below = below->count ? room->at_below[1] : __builtin_inf();
	go_above = above->count ? room->at_above[0] : __builtin_inf();
	ways = go_below < go_above ? go_below : go_above;
	*sum = ways + cost * (total.weight * total.weight + total.squares) / 2;
	return go_below < go_above ? TABLE_BELOW : TABLE_ABOVE;
}
