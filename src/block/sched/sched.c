/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/sched.h"

#include "base/errno.h"
#include "block/named.h"
#include "block/sched/list.h"

const struct sched_class *const sched_classes[] = {
	&sched_noop,
	NULL,
};

int sched_create(const struct sched_env *env, const char *text, struct sched **out,
		 struct alc_err *err)
{
	const char *params;
	const struct sched_class *class = named_find_in((const void *const *)sched_classes,
							"disk scheduler", text, &params, err);
	void *values;
	int rc;

	if (!class)
		return -ENOENT;
	values = host_alloc(env->host, class->params_size + 1);
	if (!values)
		return alc_fail(err, -ENOMEM, "no memory for a disk scheduler");
	rc = param_parse(class->params, params, values, err);
	if (!rc)
		rc = class->create(env, values, out, err);
	host_free(env->host, values, class->params_size + 1);
	return rc;
}
