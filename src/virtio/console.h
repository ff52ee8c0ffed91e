/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VIRTIO_CONSOLE_H
#define VIRTIO_CONSOLE_H

#include "device/device.h"

/*
 * Port 0, the console, has the device's env.chardev. A port that option `ports` names has nobody
 * at its other end until this is called, before the machine runs; -ENOENT and a sentence if there
 * is no such port. What c points to outlives the device.
 */
int virtio_console_attach(struct alc_dev *d, const char *port, const struct alc_char *c,
			  struct alc_err *err) ALC_MUST_CHECK;

#endif
