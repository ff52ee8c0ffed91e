/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_LINUX_HELPER_PROFILES_H
#define NET_LINUX_HELPER_PROFILES_H

#include "host/linux/confine.h"

extern const struct confine_profile net_user_profile, net_hub_profile;

#endif
