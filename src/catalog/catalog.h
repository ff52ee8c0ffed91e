/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CATALOG_CATALOG_H
#define CATALOG_CATALOG_H

#include "device/device.h"

/* The device classes of this build, sorted as in devices.inc; NULL-terminated. */
extern const struct alc_dev_class *const alc_dev_classes[];
const struct alc_dev_class *dev_class_find(const char *name);

#endif
