/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/sched.h"

#include "base/errno.h"
#include "block/named.h"
#include "block/sched/list.h"

/* clang-format off */
const struct sched_class *const sched_classes[] = {
	&sched_noop,
	&sched_deadline,
	&sched_mq_deadline,
	&sched_anticipatory,
	&sched_cfq,
	&sched_bfq,
	&sched_look,
	&sched_cscan,
	&sched_satf,
	&sched_cats,
	&sched_cats2,
	NULL,
};
/* clang-format on */

int sched_create_class(const struct sched_env *env, const struct sched_class *class,
		       const char *params, struct sched **out, struct alc_err *err)
{
	void *values = host_alloc(env->host, class->params_size + 1);
	int rc;

	if (!values)
		return alc_fail(err, -ENOMEM, "no memory for a disk scheduler");
	rc = param_parse(class->params, params, values, err);
	if (!rc)
		rc = class->create(env, values, out, err);
	if (!rc)
		(*out)->class = class;
	host_free(env->host, values, class->params_size + 1);
	return rc;
}

int sched_create(const struct sched_env *env, const char *text, struct sched **out,
		 struct alc_err *err)
{
	const char *params;
	const struct sched_class *class = named_find_in((const void *const *)sched_classes,
							"disk scheduler", text, &params, err);

	return class ? sched_create_class(env, class, params, out, err) : -ENOENT;
}
