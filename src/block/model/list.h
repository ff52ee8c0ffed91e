/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_MODEL_LIST_H
#define BLOCK_MODEL_LIST_H

#include "block/model/model.h"

/* One line for each class; model.c has the list. */
extern const struct drive_class drive_disk;
extern const struct drive_class drive_fixed;
extern const struct drive_class drive_linear;
extern const struct drive_class drive_ssd;

#endif
