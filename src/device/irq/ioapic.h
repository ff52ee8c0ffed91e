/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICE_IRQ_IOAPIC_H
#define DEVICE_IRQ_IOAPIC_H

#include "device/device.h"

/* Input pin 0-23. */
struct alc_irq ioapic_input(struct alc_dev *d, unsigned pin);

/* A local APIC's end-of-interrupt message for a level-triggered vector. Takes the device's lock. */
void ioapic_eoi(struct alc_dev *d, u8 vector);

/*
 * Tells the message sink again where the level-triggered pins' messages go: it is a new one.
 * Called with the device's lock held.
 */
void ioapic_announce(struct alc_dev *d);

#endif
