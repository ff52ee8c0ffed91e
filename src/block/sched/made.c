/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/sched/made.h"

#include "base/errno.h"

void *sched_make(const struct sched_env *env, const struct sched_class *class, size_t size,
		 struct alc_err *err)
{
	struct made *m = host_alloc(env->host, size);

	if (!m) {
		alc_fail(err, -ENOMEM, "no memory for the disk scheduler '%s'", class->name);
		return NULL;
	}
	*m = (struct made){.sched.class = class, .host = env->host, .size = size};
	return m;
}

void sched_unmake(struct sched *s)
{
	struct made *m = container_of(s, struct made, sched);

	host_free(m->host, m, m->size);
}
