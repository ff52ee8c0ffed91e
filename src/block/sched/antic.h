/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_ANTIC_H
#define BLOCK_SCHED_ANTIC_H

#include "block/sched/issuers.h"
#include "block/sched/think.h"

/*
 * Anticipation: a disk that falls idle because a process thinks between two requests is deceptively
 * idle; to seek away then may cost more than to wait for it (S. Iyer, P. Druschel, 2001).
 *
 * Waiting delays all that wait, going makes the one that thinks wait for the way there and back. So
 * it pays if
 *
 *	waiting * (think time + service of its next) < service of the other + the way back
 *
 * The times of services are learned: from what the drive took for which distance, a line.
 */
struct antic_params {
	u64 expire_ns; /* longest wait; 0: none */
	bool always;   /* wait that long after each read, whoever it was of */
};

/* A line through points that forgets: sums in which each point counts less by a 256th. */
struct antic_line {
	double n, x, y, xx, xy;
};

struct antic {
	struct antic_params params;
	u64 sectors; /* of the disk */
	struct issuers issuers;
	struct think think[ISSUERS];
	struct antic_line line;
	bool armed;  /* the request served last was a read, and its issuer has none now */
	unsigned of; /* that issuer */
	u64 since_ns;
};

void antic_init(struct antic *a, const struct antic_params *params, u64 sectors);
void antic_added(struct antic *a, const struct disk_req *r, u64 now_ns);
/* r goes to the drive, distance from the head away. Keeps that in the node. */
void antic_sent(struct antic *a, struct disk_req *r, u64 distance);
void antic_done(struct antic *a, const struct disk_req *r, u64 now_ns);
/*
 * Until when to wait rather than serve a request so far away, while so many wait: later than
 * now_ns, or 0: not at all.
 */
u64 antic_until(const struct antic *a, u64 distance, unsigned waiting, u64 now_ns);
/* What the drive takes for a request at that distance, as far as it is known. */
double antic_service_ns(const struct antic *a, u64 distance);

#endif
