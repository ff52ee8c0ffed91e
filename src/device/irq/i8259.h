/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICE_IRQ_I8259_H
#define DEVICE_IRQ_I8259_H

#include "device/device.h"

/* Input line 0-15 of the pair; line 2 is the cascade and swallows what is driven. */
struct alc_irq i8259_input(struct alc_dev *d, unsigned line);

/*
 * The CPU's interrupt acknowledge cycle: the vector of the highest request, or the spurious one
 * (IRQ 7, IRQ 15) when the request is gone by now. -1 from a pair that was never programmed.
 * Takes the device's lock.
 */
int i8259_ack(struct alc_dev *d);

#endif
