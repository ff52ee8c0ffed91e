/* SPDX-License-Identifier: BSD-2-Clause */
#include "lab/workload.h"

#include "base/errno.h"
#include "block/named.h"
#include "lab/list.h"

const struct workload_class *const workload_classes[] = {
	&work_surge, &work_sequential, &work_random, &work_mixed, &work_replay, NULL,
};

int workload_create(const struct workload_env *env, const char *text, struct workload **out,
		    struct alc_err *err)
{
	const char *params;
	const struct workload_class *class = named_find_in((const void *const *)workload_classes,
							   "workload", text, &params, err);
	void *values;
	int rc;

	if (!class)
		return -ENOENT;
	if (class->needs_trace && !env->trace)
		return alc_fail(err, -EINVAL, "the workload '%s' needs a trace", class->name);
	values = host_alloc(env->host, class->params_size + 1);
	if (!values)
		return alc_fail(err, -ENOMEM, "no memory for a workload");
	rc = param_parse(class->params, params, values, err);
	if (!rc)
		rc = class->create(env, values, out, err);
	host_free(env->host, values, class->params_size + 1);
	return rc;
}
