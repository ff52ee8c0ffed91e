/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_MADE_H
#define BLOCK_SCHED_MADE_H

#include "block/sched/sched.h"

/* A scheduler that is one piece of memory: embed as the first member. */
struct made {
	struct sched sched;
	const struct alc_host *host;
	size_t size;
};

/* Zeroed but for this head; NULL: err says why. */
void *sched_make(const struct sched_env *env, const struct sched_class *class, size_t size,
		 struct alc_err *err);
/* For sched_class.destroy. */
void sched_unmake(struct sched *s);

#endif
