/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAB_LIST_H
#define LAB_LIST_H

#include "lab/workload.h"

/* One line for each class; workload.c has the list. */
extern const struct workload_class work_mixed;
extern const struct workload_class work_random;
extern const struct workload_class work_replay;
extern const struct workload_class work_sequential;
extern const struct workload_class work_surge;

#endif
