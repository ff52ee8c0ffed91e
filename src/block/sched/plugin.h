/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_PLUGIN_H
#define BLOCK_SCHED_PLUGIN_H

#include "block/sched/sched.h"

/*
 * A disk scheduler in a shared object, for --disk FILE,sched=./mine.so:PARAM=VALUE:…
 *
 * It is one file that includes this header and ends with SCHED_PLUGIN(class). It calls nothing of
 * the program that loads it but the class's own inline helpers (host_alloc …); when its create
 * fails, the loader says so. Headers and program must belong together: the numbers tell.
 */
enum { SCHED_ABI = 1 };

struct sched_plugin {
	u32 abi, class_size, env_size, req_size;
	const struct sched_class *class;
};

#define SCHED_PLUGIN_SYMBOL "alcazar_scheduler"

#define SCHED_PLUGIN(class_)                                                                   \
	extern const struct sched_plugin alcazar_scheduler;                                    \
	__attribute__((visibility("default"))) const struct sched_plugin alcazar_scheduler = { \
		SCHED_ABI, sizeof(struct sched_class), sizeof(struct sched_env),               \
		sizeof(struct disk_req), &(class_)}

#endif
