/* SPDX-License-Identifier: BSD-2-Clause */
#include "display/linux/png.h"

#include <errno.h>
#include <png.h>
#include <stdlib.h>

enum { RGB_BYTES = 3 };

static u8 *to_rgb(const struct display_image *image, size_t pixels)
{
	u8 *rgb = calloc(pixels, RGB_BYTES);

	for (size_t i = 0; rgb && i < (size_t)image->width * image->height; i++) {
		rgb[i * RGB_BYTES] = (u8)(image->pixels[i] >> 16);
		rgb[i * RGB_BYTES + 1] = (u8)(image->pixels[i] >> 8);
		rgb[i * RGB_BYTES + 2] = (u8)image->pixels[i];
	}
	return rgb;
}

int picture_write(FILE *f, const struct display_image *image, struct alc_err *err)
{
	bool empty = !image->width || !image->height;
	png_image png = {
		.version = PNG_IMAGE_VERSION,
		.width = empty ? 1 : image->width,
		.height = empty ? 1 : image->height,
		.format = PNG_FORMAT_RGB,
	};
	u8 *rgb = to_rgb(image, (size_t)png.width * png.height);
	int done;

	if (!rgb)
		return alc_fail(err, -ENOMEM, "no memory for a picture of the screen");
	done = png_image_write_to_stdio(&png, f, 0, rgb, 0, NULL);
	free(rgb);
	if (!done)
		return alc_fail(err, -EIO, "can't make a picture of the screen: %s", png.message);
	return 0;
}
