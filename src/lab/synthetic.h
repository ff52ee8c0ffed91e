/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAB_SYNTHETIC_H
#define LAB_SYNTHETIC_H

#include "lab/number.h"
#include "lab/workload.h"

/*
 * What sequential, random and mixed have in common: processes with `depth` requests each in flight,
 * or, with a rate, requests that arrive whether those before are done or not.
 */
struct synthetic_params {
	u64 processes, depth, size_bytes, think_ns;
	double rate, reads, offset, span, random, zipf;
	bool poisson;
};

/* The rows of a parameter table that all three have. */
#define SYNTHETIC_PARAMS                                                                       \
	{"processes", "processes", PARAM_COUNT, offsetof(struct synthetic_params, processes),  \
	 "1",         1,           4096},                                                      \
		{"depth",     "requests of each in flight (closed loop)",                      \
		 PARAM_COUNT, offsetof(struct synthetic_params, depth),                        \
		 "1",         1,                                                               \
		 1024},                                                                        \
		{"size",      "bytes of a request",                                            \
		 PARAM_COUNT, offsetof(struct synthetic_params, size_bytes),                   \
		 "4K",        512,                                                             \
		 1 << 26},                                                                     \
		{"think",    "time from a completion to the next request (closed loop)",       \
		 PARAM_TIME, offsetof(struct synthetic_params, think_ns),                      \
		 "0",        0,                                                                \
		 1e12},                                                                        \
		{"rate",     "requests a second of all processes (open loop); 0: closed loop", \
		 PARAM_REAL, offsetof(struct synthetic_params, rate),                          \
		 "0",        0,                                                                \
		 1e9},                                                                         \
		{"poisson",  "random gaps in the open loop, rather than equal ones",           \
		 PARAM_FLAG, offsetof(struct synthetic_params, poisson),                       \
		 "on",       0,                                                                \
		 0},                                                                           \
		{"reads",    "share of reads",                                                 \
		 PARAM_REAL, offsetof(struct synthetic_params, reads),                         \
		 "1",        0,                                                                \
		 1},                                                                           \
		{"offset",   "where the region begins, as a share of the disk",                \
		 PARAM_REAL, offsetof(struct synthetic_params, offset),                        \
		 "0",        0,                                                                \
		 1},                                                                           \
	{                                                                                      \
		"span", "size of the region, as a share of the disk", PARAM_REAL,              \
			offsetof(struct synthetic_params, span), "1", 0, 1                     \
	}

/* random: the share of requests at random places, the others go on behind the one before. */
int synthetic_create(const struct workload_class *class, const struct workload_env *env,
		     const struct synthetic_params *p, struct workload **out,
		     struct alc_err *err) ALC_MUST_CHECK;
void synthetic_destroy(struct workload *w);
void synthetic_next(struct workload *w, u32 actor, u64 now_ns, struct work_step *step);
void synthetic_done(struct workload *w, const struct disk_req *r, u64 tag, u64 now_ns,
		    struct work_wake *wake);

#endif
