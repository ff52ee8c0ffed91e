/* SPDX-License-Identifier: BSD-2-Clause */
#include "lab/list.h"
#include "lab/synthetic.h"

static const struct param params[] = {
	SYNTHETIC_PARAMS,
	{.name = NULL},
};

static int create(const struct workload_env *env, const void *values, struct workload **out,
		  struct alc_err *err)
{
	struct synthetic_params p = *(const struct synthetic_params *)values;

	p.random = 0;
	return synthetic_create(&work_sequential, env, &p, out, err);
}

const struct workload_class work_sequential = {
	.name = "sequential",
	.summary = "each process from its own place on, without a gap",
	.params = params,
	.params_size = sizeof(struct synthetic_params),
	.create = create,
	.destroy = synthetic_destroy,
	.next = synthetic_next,
	.done = synthetic_done,
};
