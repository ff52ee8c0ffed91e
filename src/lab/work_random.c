/* SPDX-License-Identifier: BSD-2-Clause */
#include "lab/list.h"
#include "lab/synthetic.h"

static const struct param params[] = {
	SYNTHETIC_PARAMS,
	{"zipf", "exponent of the popularity of the 1024 parts of the region; 0: all alike",
	 PARAM_REAL, offsetof(struct synthetic_params, zipf), "0", 0, 10},
	{.name = NULL},
};

static int create(const struct workload_env *env, const void *values, struct workload **out,
		  struct alc_err *err)
{
	struct synthetic_params p = *(const struct synthetic_params *)values;

	p.random = 1;
	return synthetic_create(&work_random, env, &p, out, err);
}

const struct workload_class work_random = {
	.name = "random",
	.summary = "at random places, equally or unequally likely",
	.params = params,
	.params_size = sizeof(struct synthetic_params),
	.create = create,
	.destroy = synthetic_destroy,
	.next = synthetic_next,
	.done = synthetic_done,
};
