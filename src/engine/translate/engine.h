/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_TRANSLATE_ENGINE_H
#define ENGINE_TRANSLATE_ENGINE_H

#include "engine/engine.h"

/* x86-64 to x86-64 binary translation, in any process that may map executable memory. */
extern const struct alc_engine translate_engine;

#endif
