/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICE_PLATFORM_ACPI_PM_H
#define DEVICE_PLATFORM_ACPI_PM_H

#include "device/device.h"

/* Somebody presses the power button. Takes the device's lock. */
void acpi_pm_power_button(struct alc_dev *d);
/* Has the guest asked for the button's event? Takes the device's lock. */
bool acpi_pm_button_enabled(struct alc_dev *d);

#endif
