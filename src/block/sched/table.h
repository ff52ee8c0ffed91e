/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_TABLE_H
#define BLOCK_SCHED_TABLE_H

#include "base/bits.h"

/*
 * Algorithm T: in which order a head on a line serves n requests so that the sum of their response
 * times, each weighted, is least.
 *
 * It serves whatever it passes, so at any time what it has served is the i nearest requests below
 * where it began and the j nearest above, and it stands at the outermost of one side. From such a
 * state the next is the i+1st below or the j+1st above, and the way there delays the weight W(i,j)
 * that is still waiting:
 *
 *	V(i,j,s) = min(W(i,j) * (at(i,j,s) - below[i]) + V(i+1,j,below),
 *		       W(i,j) * (above[j] - at(i,j,s)) + V(i,j+1,above))
 *
 * where V is 0 when all are served; V(0,0) is the sum and its smaller branch the first request.
 * O(n^2). (F. Afrati et al., The complexity of the travelling repairman problem, 1986.)
 *
 * A time beside the way that is proportional to the weight, `cost` for each 1 of it, makes no
 * difference to the order: it adds cost * (W^2 + the sum of w^2) / 2 to every order's sum, since
 * each pair of requests has the earlier one's time once in the later one's response.
 *
 * Numbers are exact as long as positions and the sum are integers below 2^53.
 */
enum { TABLE_SIDE_MAX = 512 }; /* requests on one side */

struct table_point {
	double at, weight; /* weight > 0 */
};

struct table_side {
	const struct table_point *points; /* from the head outwards, distances never decreasing */
	unsigned count;                   /* at most TABLE_SIDE_MAX */
};

enum table_first { TABLE_NONE, TABLE_BELOW, TABLE_ABOVE };

/* Memory to work in; of no meaning between calls. */
enum { TABLE_ROW = TABLE_SIDE_MAX + 8 };
struct table_room {
	double below[4][TABLE_ROW], above[4][TABLE_ROW]; /* coefficients */
	double at_below[TABLE_ROW], at_above[TABLE_ROW]; /* the values of a diagonal of states */
};

/*
 * The side of the first request, and in *sum the weighted sum of response times. Of equally good
 * sides that above.
 */
enum table_first table_plan(double head, const struct table_side *below,
			    const struct table_side *above, double cost, struct table_room *room,
			    double *sum);

#endif
