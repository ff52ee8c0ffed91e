/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICE_PLATFORM_FW_CFG_H
#define DEVICE_PLATFORM_FW_CFG_H

#include "device/device.h"

enum { FW_CFG_FILES_MAX = 32, FW_CFG_NAME_MAX = 56 }; /* name with its terminator */

/*
 * Adds a file, before the machine first runs; its bytes are copied. -EINVAL for a name that is
 * empty, too long or taken, -ENOSPC when the directory is full, -ENOMEM.
 */
int fw_cfg_add_file(struct alc_dev *d, const char *name, const void *bytes, size_t len,
		    struct alc_err *err) ALC_MUST_CHECK;

#endif
