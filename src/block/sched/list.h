/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_LIST_H
#define BLOCK_SCHED_LIST_H

#include "block/sched/sched.h"

/* One line for each class; sched.c has the list. */
extern const struct sched_class sched_noop;

#endif
