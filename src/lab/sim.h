/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAB_SIM_H
#define LAB_SIM_H

#include "block/station.h"
#include "lab/workload.h"

/*
 * The discrete-event simulator: a workload on a station, from instant 0 on.
 *
 * At an instant, those whose sleep is over act first, in the order in which they fell asleep. Then
 * the station takes what is done and decides, so it sees all requests that arrived by themselves at
 * that instant. Then those act that the completions wake, in order of completion, and the station
 * decides again.
 */
struct sim {
	const struct alc_host *host; /* for memory only */
	struct station *station;
	struct workload *workload;
	u64 requests; /* that many are submitted, then the actors stop; 0: as many as there are */
	u64 until_ns; /* no actor does anything after that instant; 0: no limit */
	/*
	 * Each request that is done, in order of done_ns; merged: it was served by the dispatch of
	 * another one.
	 */
	void (*seen)(void *ctx, const struct disk_req *r, bool merged);
	/* Called once in a while: how many are done. False ends the simulation: -ECANCELED. */
	bool (*progress)(void *ctx, u64 done);
	void *ctx;
};

struct sim_end {
	u64 submitted, dispatched;
	u64 end_ns; /* the last completion */
};

/*
 * Runs until all that was submitted is done. -ENOMEM; -ETIMEDOUT: the workload makes no requests
 * any more, or a scheduler keeps some for ever.
 */
int sim_run(const struct sim *sim, struct sim_end *end, struct alc_err *err) ALC_MUST_CHECK;

#endif
