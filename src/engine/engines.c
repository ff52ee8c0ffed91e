/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/engine.h"
#include "engine/interp/interp.h"

const struct alc_engine *const alc_engines[] = {&interp_engine, NULL};
