/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_LINUX_SCHED_OPEN_H
#define BLOCK_LINUX_SCHED_OPEN_H

#include "block/sched/sched.h"

/*
 * sched_create, and also schedulers from shared objects (sched/plugin.h): those whose name has a
 * slash in it, as ./mine.so. What was loaded stays until the program ends.
 */
int sched_open(const struct sched_env *env, const char *text, struct sched **out,
	       struct alc_err *err) ALC_MUST_CHECK;

#endif
