/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared objects that are no schedulers for this program: WRONG says in which way. */
#include "block/sched/plugin.h"

#ifdef WRONG
extern const struct sched_plugin alcazar_scheduler;
__attribute__((visibility("default"))) const struct sched_plugin alcazar_scheduler = {WRONG};
#endif
