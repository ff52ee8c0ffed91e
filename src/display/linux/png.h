/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DISPLAY_LINUX_PNG_H
#define DISPLAY_LINUX_PNG_H

#include <stdio.h>

#include "alcazar/err.h"
#include "display/display.h"

/* Writes the screen as a PNG picture; one that shows nothing is a black dot. */
int picture_write(FILE *f, const struct display_image *image, struct alc_err *err) ALC_MUST_CHECK;

#endif
