/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Draws what a monitor would show (IBM VGA technical reference, "CRT controller", "Attribute
 * controller"). The address counter counts characters; how it becomes an offset in a plane depends
 * on byte, word and doubleword mode. Blinking things are shown in their visible half.
 */
#include "device/video/vga.h"

enum { COUNTER_MASK = 0xffff, TEXT_COLUMNS_MAX = 256, LINES_MAX = 2048 };
enum { UNDERLINE_DOUBLEWORD = 0x40, MODE_BYTE = 0x40, MODE_ROW_SCAN_13 = 1, CURSOR_OFF = 0x20 };
enum { DOUBLE_SCAN = 0x80, ROW_SCAN = 0x1f };
enum { ATTR_BLINK = 8, ATTR_LINE_GRAPHICS = 4, ATTR_FIXED_HIGH = 0x80 };
enum { FONT_CHAR = 32, FONT_SIZE = 8192, FONT_PLANE = 2 };

static u32 scale_dac(const struct vga_state *s, u8 v)
{
	return s->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC ? v : (v & 63u) << 2 | (v & 63u) >> 4;
}

static u32 dac_color(const struct vga_state *s, u8 index)
{
	const u8 *c = &s->dac[(index & s->dac_mask) * 3];

	return scale_dac(s, c[0]) << 16 | scale_dac(s, c[1]) << 8 | scale_dac(s, c[2]);
}

/* One of 16 colors, by the attribute controller's palette. */
static u32 palette_color(const struct vga_state *s, unsigned c)
{
	u8 select = s->attr[ATTR_COLOR_SELECT], v = s->attr[c & s->attr[ATTR_PLANES] & 15] & 63;

	if (s->attr[ATTR_MODE] & ATTR_FIXED_HIGH)
		v = (v & 15) | (u8)((select & 3) << 4);
	return dac_color(s, v | (u8)((select & 12) << 4));
}

/* Where in a plane the address counter points. */
static u32 plane_offset(const struct vga_state *s, u32 counter)
{
	if (s->crtc[CRTC_UNDERLINE] & UNDERLINE_DOUBLEWORD)
		counter = counter << 2 | (counter >> 14 & 3);
	else if (!(s->crtc[CRTC_MODE] & MODE_BYTE))
		counter = counter << 1 | (counter >> 15 & 1);
	return counter & COUNTER_MASK;
}

static u8 plane_byte(const struct vga_state *s, unsigned plane, u32 off)
{
	return s->vram[off * VGA_PLANES + plane];
}

static unsigned visible_lines(const struct vga_state *s)
{
	unsigned over = s->crtc[CRTC_OVERFLOW];

	return (s->crtc[CRTC_VERTICAL_END] | (over & 2) << 7 | (over & 0x40) << 3) + 1u;
}

static unsigned columns(const struct vga_state *s)
{
	return s->crtc[CRTC_DISPLAY_END] + 1u;
}

static u32 start_counter(const struct vga_state *s)
{
	return (u32)s->crtc[CRTC_START_HIGH] << 8 | s->crtc[CRTC_START_LOW];
}

static u32 row_counter(const struct vga_state *s, unsigned row)
{
	return start_counter(s) + row * s->crtc[CRTC_OFFSET] * 2u;
}

/* ---- Text --------------------------------------------------------------------------------- */

/* Character maps A (bit 3 of the attribute set) and B: two bits and a third one far away. */
static u32 font_base(const struct vga_state *s, u8 attribute)
{
	unsigned maps = s->seq[SEQ_CHAR_MAP];
	unsigned map = attribute & 8 ? (maps >> 2 & 3) * 2 | (maps >> 5 & 1)
				     : (maps & 3) * 2 | (maps >> 4 & 1);

	return map * FONT_SIZE;
}

struct cell {
	u8 c, attribute;
	bool cursor;
};

static struct cell cell_at(const struct vga_state *s, u32 counter)
{
	u32 off = plane_offset(s, counter);
	u32 cursor = (u32)s->crtc[CRTC_CURSOR_HIGH] << 8 | s->crtc[CRTC_CURSOR_LOW];

	return (struct cell){
		.c = plane_byte(s, 0, off),
		.attribute = plane_byte(s, 1, off),
		.cursor = (counter & COUNTER_MASK) == cursor &&
			  !(s->crtc[CRTC_CURSOR_START] & CURSOR_OFF),
	};
}

/* The dots of one line of a character, the leftmost in bit 8. */
static unsigned cell_dots(const struct vga_state *s, const struct cell *cell, unsigned line)
{
	u32 at = font_base(s, cell->attribute) + cell->c * FONT_CHAR + line;
	unsigned dots = plane_byte(s, FONT_PLANE, at) << 1u;
	bool joined = s->attr[ATTR_MODE] & ATTR_LINE_GRAPHICS && cell->c >= 0xc0 && cell->c < 0xe0;

	if (joined)
		dots |= dots >> 1 & 1;
	if (cell->cursor && line >= (s->crtc[CRTC_CURSOR_START] & ROW_SCAN) &&
	    line <= (s->crtc[CRTC_CURSOR_END] & ROW_SCAN))
		dots = 0x1ff;
	return dots;
}

static void draw_cell(const struct vga_state *s, const struct cell *cell, u32 *to, unsigned pitch,
		      unsigned width, unsigned height)
{
	bool blink = s->attr[ATTR_MODE] & ATTR_BLINK;
	u32 front = palette_color(s, cell->attribute & 15);
	u32 back = palette_color(s, cell->attribute >> 4 & (blink ? 7 : 15));

	for (unsigned y = 0; y < height; y++, to += pitch) {
		unsigned dots = cell_dots(s, cell, y);

		for (unsigned x = 0; x < width; x++)
			to[x] = dots >> (8 - x) & 1 ? front : back;
	}
}

static void draw_text(const struct vga_state *s, struct display_image *out)
{
	unsigned width = s->seq[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9;
	unsigned height = (s->crtc[CRTC_MAX_SCAN_LINE] & ROW_SCAN) + 1u;
	unsigned cols = columns(s), rows = visible_lines(s) / height;

	rows = (unsigned)min_u64(rows, DISPLAY_CELLS_MAX / TEXT_COLUMNS_MAX);
	out->columns = cols;
	out->rows = rows;
	out->width = cols * width;
	out->height = rows * height;
	for (unsigned row = 0; row < rows; row++)
		for (unsigned col = 0; col < cols; col++) {
			struct cell cell = cell_at(s, row_counter(s, row) + col);

			out->cells[row * cols + col] = cell.c;
			draw_cell(s, &cell,
				  out->pixels + (size_t)row * height * out->width + col * width,
				  out->width, width, height);
		}
}

/* ---- Planar graphics ---------------------------------------------------------------------- */

/* The eight pixels of one count, by shift mode: colors of the palette, or of the DAC. */
static void pixels_planar(const u8 b[VGA_PLANES], u8 out[8])
{
	for (unsigned x = 0; x < 8; x++)
		out[x] = (u8)((b[0] >> (7 - x) & 1) | (b[1] >> (7 - x) & 1) << 1 |
			      (b[2] >> (7 - x) & 1) << 2 | (b[3] >> (7 - x) & 1) << 3);
}

static void pixels_cga(const u8 b[VGA_PLANES], u8 out[8])
{
	for (unsigned x = 0; x < 8; x++) {
		unsigned pair = x >> 2, shift = 6 - 2 * (x & 3);

		out[x] = (u8)((b[pair] >> shift & 3) | (b[pair + 2] >> shift & 3) << 2);
	}
}

/* Each color takes two dot clocks. */
static void pixels_256(const u8 b[VGA_PLANES], u8 out[8])
{
	for (unsigned x = 0; x < 8; x++)
		out[x] = b[x / 2];
}

static void draw_count(const struct vga_state *s, u32 off, u32 *to)
{
	const u8 *bytes = &s->vram[off * VGA_PLANES];
	u8 colors[8];

	if (s->gc[GC_MODE] & MODE_SHIFT_256) {
		pixels_256(bytes, colors);
		for (unsigned x = 0; x < 8; x++)
			to[x] = dac_color(s, colors[x]);
		return;
	}
	if (s->gc[GC_MODE] & MODE_SHIFT_CGA)
		pixels_cga(bytes, colors);
	else
		pixels_planar(bytes, colors);
	for (unsigned x = 0; x < 8; x++)
		to[x] = palette_color(s, colors[x]);
}

static void draw_graphics(const struct vga_state *s, struct display_image *out)
{
	unsigned scan = s->crtc[CRTC_MAX_SCAN_LINE], per_row = (scan & ROW_SCAN) + 1u;
	unsigned twice = scan & DOUBLE_SCAN ? 2 : 1, cols = columns(s);

	out->width = cols * 8;
	out->height = (unsigned)min_u64(visible_lines(s), DISPLAY_PIXELS_MAX / out->width);
	for (unsigned y = 0; y < out->height; y++) {
		unsigned line = y / twice, row = line / per_row, in_row = line % per_row;

		for (unsigned col = 0; col < cols; col++) {
			u32 off = plane_offset(s, row_counter(s, row) + col);

			/* Address bit 13 is that of the row scan counter, as CGA modes want. */
			if (!(s->crtc[CRTC_MODE] & MODE_ROW_SCAN_13))
				off = (off & ~0x2000u) | (in_row & 1) << 13;
			draw_count(s, off, out->pixels + (size_t)y * out->width + col * 8);
		}
	}
}

/* ---- Linear framebuffer ------------------------------------------------------------------- */

static u32 widen(u32 v, unsigned bits)
{
	return v << (8 - bits) | v >> (2 * bits - 8);
}

static u32 pixel(const struct vga_state *s, const u8 *p, unsigned bpp)
{
	unsigned green = bpp == 16 ? 6 : 5;
	u32 v;

	switch (bpp) {
	case 8:
		return dac_color(s, *p);
	case 15:
	case 16:
		v = ld16(p);
		return widen(v >> (5 + green) & 31, 5) << 16 |
		       widen(v >> 5 & ((1u << green) - 1), green) << 8 | widen(v & 31, 5);
	case 24:
		return (u32)p[2] << 16 | (u32)p[1] << 8 | p[0];
	default:
		return ld32(p) & 0xffffff;
	}
}

static void draw_linear(const struct vga_state *s, struct display_image *out)
{
	struct vga_layout l;

	if (!vga_dispi_layout(s, &l))
		return;
	out->width = l.width;
	out->height = l.height;
	for (unsigned y = 0; y < l.height; y++)
		for (unsigned x = 0; x < l.width; x++)
			out->pixels[(size_t)y * l.width + x] =
				pixel(s, &s->vram[l.start + y * l.pitch + x * l.bytes], l.bpp);
}

static void blank(struct display_image *out)
{
	out->columns = out->rows = 0;
	__builtin_memset(out->pixels, 0, sizeof(*out->pixels) * out->width * out->height);
}

void vga_draw(const struct vga_state *s, struct display_image *out)
{
	out->width = out->height = 0;
	out->columns = out->rows = 0;
	if (vga_dispi_on(s))
		draw_linear(s, out);
	else if (s->gc[GC_MISC] & MISC_GRAPHICS)
		draw_graphics(s, out);
	else
		draw_text(s, out);
	if (!vga_dispi_on(s) &&
	    (!(s->attr_index & ATTR_VIDEO_ON) || s->seq[SEQ_CLOCKING] & CLOCKING_SCREEN_OFF))
		blank(out);
}
