/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_LINUX_STAGES_H
#define BLOCK_LINUX_STAGES_H

#include "alcazar/vm.h"
#include "block/stage.h"

/* record.c; stages.c has the list of classes that need an operating system. */
extern const struct stage_class stage_record;

/* The i-th option that makes a stage or is part of one; NULL: there are no more. */
const char *stages_key(size_t i);

/* Is there a model of a drive among them, which knows how long requests take? */
bool stages_have_model(const struct alc_device_opt *opts, size_t nopts);

/*
 * Puts the stages that opts ask for on *b, in that order: the last one is nearest to the guest.
 * Options that make no stage are left alone. On failure *b is the stages so far, to be closed.
 */
int stages_put(const struct stage_env *env, const struct alc_device_opt *opts, size_t nopts,
	       struct block **b, struct alc_err *err) ALC_MUST_CHECK;

#endif
