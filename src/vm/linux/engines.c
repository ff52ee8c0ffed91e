/* SPDX-License-Identifier: BSD-2-Clause */
/* The engines of a Linux process: the core's, and those that need Linux. */
#include <string.h>

#include "alcazar/device.h"
#include "engine/kvm/kvm.h"
#include "engine/translate/engine.h"
#include "vm/linux/vm_linux.h"

const struct alc_engine *const linux_engines[] = {&kvm_engine, &translate_engine, &interp_engine,
						  NULL};

bool alc_engine_info(struct alc_host *host, size_t i, struct alc_engine_info *out)
{
	struct alc_engine_score score;

	for (size_t k = 0; k <= i; k++)
		if (!linux_engines[k])
			return false;
	score = engine_probe(host, linux_engines[i]);
	*out = (struct alc_engine_info){
		.name = linux_engines[i]->name,
		.summary = linux_engines[i]->summary,
		.usable = score.usable == 0,
		.chosen = engine_best(host, linux_engines, false) == linux_engines[i],
		.good = score.good,
	};
	_Static_assert(sizeof(out->why) == sizeof(score.why), "one is copied to the other");
	memcpy(out->why, score.why, sizeof(out->why));
	return true;
}
