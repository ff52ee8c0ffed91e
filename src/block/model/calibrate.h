/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_MODEL_CALIBRATE_H
#define BLOCK_MODEL_CALIBRATE_H

#include "alcazar/err.h"
#include "base/bits.h"
#include "host/host.h"

/*
 * Parameters of drive models from what was measured on a drive, and how well a model fits.
 *
 * The trace wants requests that were given to the drive one at a time, at random places and of
 * several sizes, thousands of them. The service time of a request is from its dispatch, or from
 * the end of the one before it if that is later, to its end.
 */
struct measured {
	u64 dispatch_ns, done_ns, sector;
	u32 sectors;
	bool write;
};

enum { CALIBRATE_TEXT_MAX = 512, CALIBRATE_LEAST = 100 /* requests */ };

struct calibrated {
	char text[CALIBRATE_TEXT_MAX]; /* MODEL:PARAM=VALUE:… */
	size_t used, outliers;         /* requests: fitted to; far from the others */
	double rotation_ns, full_ns;   /* what both models have */
};

/*
 * Least squares of X = R/2 + S * d/D, and of a time for each sector if `transfer` is set. Requests
 * that are off by more than three times the typical error, such as hits in a cache, are left out,
 * until the fit stays the same. D: `span`. -EINVAL: too few requests, or they say too little.
 */
int calibrate_linear(const struct alc_host *host, const struct measured *rows, size_t n, u64 span,
		     bool transfer, struct calibrated *out, struct alc_err *err) ALC_MUST_CHECK;
/*
 * The same for rotation, seek curve and sectors per track of the detailed disk. Half a rotation is
 * in every service time, and the error of each is spread over one: so its quartiles give the
 * rotation, which becomes that of a usual speed if it is within 4 % of it. What the controller
 * takes is within the seeks. Heads and their switch can't be told from such a trace: `heads` is
 * for the seek to the next cylinder.
 */
int calibrate_disk(const struct alc_host *host, const struct measured *rows, size_t n, u64 span,
		   unsigned heads, struct calibrated *out, struct alc_err *err) ALC_MUST_CHECK;

struct fit {
	double mean_measured_ns, mean_modelled_ns; /* of service times */
	double median_error_ns;                    /* of the absolute errors, request by request */
	double r_squared;                          /* of the variance, what the model explains */
	double cdf_distance; /* the greatest between the two distributions (Kolmogorov-Smirnov) */
};

/* Gives a model the trace's requests at their instants of dispatch. */
int calibrate_check(const struct alc_host *host, const char *model, const struct measured *rows,
		    size_t n, u64 sectors, struct fit *out, struct alc_err *err) ALC_MUST_CHECK;

#endif
