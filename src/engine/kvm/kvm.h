/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_KVM_KVM_H
#define ENGINE_KVM_KVM_H

#include "engine/engine.h"

/*
 * KVM as an engine. Options: irqchip=kernel|split|user, where the interrupt controllers are;
 * dirty-log=bitmap|ring, how written pages are found.
 */
extern const struct alc_engine kvm_engine;

#endif
