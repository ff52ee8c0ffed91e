/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_LIST_H
#define BLOCK_SCHED_LIST_H

#include "block/sched/sched.h"

/* One line for each class; sched.c has the list. */
extern const struct sched_class sched_anticipatory;
extern const struct sched_class sched_bfq;
extern const struct sched_class sched_cats;
extern const struct sched_class sched_cats2;
extern const struct sched_class sched_cfq;
extern const struct sched_class sched_cscan;
extern const struct sched_class sched_deadline;
extern const struct sched_class sched_look;
extern const struct sched_class sched_mq_deadline;
extern const struct sched_class sched_noop;
extern const struct sched_class sched_satf;

#endif
