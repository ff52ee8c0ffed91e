/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_STAGE_LIST_H
#define BLOCK_STAGE_LIST_H

#include "block/stage.h"

/* One line for each class; stage.c has the list. */
extern const struct stage_class stage_drive;
extern const struct stage_class stage_fault;
extern const struct stage_class stage_rate;

#endif
