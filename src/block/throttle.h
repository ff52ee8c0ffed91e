/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_THROTTLE_H
#define BLOCK_THROTTLE_H

#include "base/param.h"

/*
 * How a modelled disk keeps pace on a host that may be slower than it.
 *
 * The disk lives in a time of its own that passes k times slower than the guest's: what takes X in
 * the model takes k*X for the guest. Where guest time is the host's, the real back end may not be
 * done at that instant, and then the request is late. The controller looks at windows of
 * completions: more than `high` of them late, and k is too small; fewer than `low`, and the guest
 * waits longer than it must for times that are right. Divide what the guest measures by k. k=…,
 * lock=on is for measurements.
 *
 * In virtual time nothing is late, and k stays 1.
 */
struct throttle_params {
	double k, high, low, raise, lower;
	u64 window;
	bool lock;
};

extern const struct param throttle_params[];

struct throttle {
	struct throttle_params p;
	u64 k_ppm; /* so that instants don't depend on how floating point is rounded */
	/* The same instant in both times; k applies since then. */
	u64 guest_ns, disk_ns;
	u64 seen, late; /* in this window */
	u64 windows, all, all_late;
};

void throttle_init(struct throttle *t, const struct throttle_params *p);
/* No k: for virtual time. */
void throttle_off(struct throttle *t);
double throttle_k(const struct throttle *t);

u64 throttle_disk_ns(const struct throttle *t, u64 guest_ns);
/* The first instant at which it is disk_ns for the disk, or later. */
u64 throttle_guest_ns(const struct throttle *t, u64 disk_ns);
/* Time passes for the disk alone: at guest_ns it is disk_ns. */
void throttle_jump(struct throttle *t, u64 guest_ns, u64 disk_ns);
/* A request was completed at guest_ns. True: k has changed. */
bool throttle_count(struct throttle *t, u64 guest_ns, bool late);

#endif
