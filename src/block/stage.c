/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/stage.h"

#include "block/stage_list.h"

const struct stage_class *const stage_classes[] = {
	&stage_drive,
	&stage_fault,
	&stage_rate,
	NULL,
};
