/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_PLANTED_H
#define TEST_ISA_PLANTED_H

#include "engine/engine.h"

/*
 * The interpreter with a fault of its own, by which the comparison is shown to find one: where an
 * XADD is in the program's first code page, ZF is wrong at the end.
 */
extern const struct alc_engine planted_engine;

#endif
