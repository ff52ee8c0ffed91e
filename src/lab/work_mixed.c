/* SPDX-License-Identifier: BSD-2-Clause */
#include "lab/list.h"
#include "lab/synthetic.h"

static const struct param params[] = {
	SYNTHETIC_PARAMS,
	{"random", "share of requests at a random place", PARAM_REAL,
	 offsetof(struct synthetic_params, random), "0.5", 0, 1},
	{"zipf", "exponent of the popularity of the 1024 parts of the region; 0: all alike",
	 PARAM_REAL, offsetof(struct synthetic_params, zipf), "0", 0, 10},
	{.name = NULL},
};

static int create(const struct workload_env *env, const void *values, struct workload **out,
		  struct alc_err *err)
{
	return synthetic_create(&work_mixed, env, values, out, err);
}

const struct workload_class work_mixed = {
	.name = "mixed",
	.summary = "sequential runs between jumps to random places",
	.params = params,
	.params_size = sizeof(struct synthetic_params),
	.create = create,
	.destroy = synthetic_destroy,
	.next = synthetic_next,
	.done = synthetic_done,
};
