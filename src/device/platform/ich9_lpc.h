/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICE_PLATFORM_ICH9_LPC_H
#define DEVICE_PLATFORM_ICH9_LPC_H

#include "device/device.h"

/* The level of PIRQ A-H (0-7). */
void ich9_lpc_set_pirq(struct alc_dev *d, unsigned pirq, bool level);
/* What firmware does, for systems that use the PIC: PIRQs in turns to ISA lines 10 and 11. */
void ich9_lpc_firmware(struct alc_dev *d);

#endif
