/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAB_TALLY_H
#define LAB_TALLY_H

#include "alcazar/err.h"
#include "block/disk_req.h"
#include "host/host.h"

/*
 * What an experiment counts. Response: from arrival to done, of every request. Service: from
 * dispatch to done, of every dispatch (with requests merged into one counted once).
 *
 * Histograms have 64 steps to each doubling, so a percentile is at most 1.6 % too high; means and
 * extremes are exact.
 */
enum {
	HISTOGRAM_STEP_BITS = 6,
	HISTOGRAM_BINS = (64 - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS
};

struct histogram {
	u64 bins[HISTOGRAM_BINS];
	u64 n, least, most;
	double sum, squares;
};

void histogram_add(struct histogram *h, u64 value);
/* The least value of a bin; that of bin HISTOGRAM_BINS - 1 and above: beyond all. */
u64 histogram_from(unsigned bin);
unsigned histogram_bin(u64 value);
/* A value that a share of all (0 to 1) doesn't exceed; 0 of an empty one. */
u64 histogram_percentile(const struct histogram *h, double share);
double histogram_mean(const struct histogram *h);
double histogram_deviation(const struct histogram *h);

struct tally_issuer {
	u64 requests, sectors;
	double response_ns;
};

struct tally {
	const struct alc_host *host;
	struct histogram response, service;
	u64 reads, writes, sectors, dispatched, dispatched_sectors, merged, cached;
	u64 first_ns, last_ns;  /* of arrivals, of completions */
	u64 slowest_arrival_ns; /* of the request with the greatest response, and whose it was */
	u32 slowest_issuer;
	u32 issuers;
	struct tally_issuer *by_issuer;
	u64 skip; /* so many requests are not counted, at first */
};

int tally_init(struct tally *t, const struct alc_host *host, u32 issuers,
	       struct alc_err *err) ALC_MUST_CHECK;
void tally_fini(struct tally *t);
void tally_add(struct tally *t, const struct disk_req *r, bool merged);

/* Sectors and requests per second of the time from the first arrival to the last completion. */
double tally_seconds(const struct tally *t);

/*
 * Jain's index (sum x)^2 / (n sum x^2), 1 when all are equal, of what the issuers got: sectors, or
 * the mean response that each had. Only of issuers that asked for something.
 */
double tally_fairness_sectors(const struct tally *t);
double tally_fairness_response(const struct tally *t);

#endif
