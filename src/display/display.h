/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DISPLAY_DISPLAY_H
#define DISPLAY_DISPLAY_H

#include "base/bits.h"

/*
 * What a screen shows: the front end is a graphics adapter, which draws its screen when asked; the
 * back end (a picture file) asks whenever it wants to know. Nobody pushes pixels.
 */
enum {
	DISPLAY_PIXELS_MAX = 4 << 20,
	DISPLAY_CELLS_MAX = 256 * 128, /* characters of a text screen */
};

struct display_image {
	unsigned width, height;
	u32 *pixels; /* room for DISPLAY_PIXELS_MAX: 0x00rrggbb, row by row */
	/* In a text mode its characters, in code page 437; else no columns. */
	unsigned columns, rows;
	u8 *cells; /* room for DISPLAY_CELLS_MAX */
};

struct display_source {
	/* The screen as it is now. From any thread; takes the adapter's lock. */
	void (*draw)(void *ctx, struct display_image *out);
	void *ctx; /* draw NULL: no screen */
};

/*
 * A text screen as lines of UTF-8, blanks at their ends left out. Writes at most size bytes and
 * returns how many there are: display_text(image, NULL, 0) measures.
 */
size_t display_text(const struct display_image *image, char *out, size_t size);

#endif
