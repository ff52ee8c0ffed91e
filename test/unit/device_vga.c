/* SPDX-License-Identifier: BSD-2-Clause */
#include "device_test.h"

#include "device/video/vga.h"

/* From IBM's description of the VGA, and the Bochs display interface's. */
DEVICE_SETUP("vga")

enum { PORTS, DISPI, WINDOW, LINEAR, REGISTERS };

static void indexed(struct rig *r, u16 port, u8 index, u8 val)
{
	rig_out(r, port, index | val << 8, 2);
}

static void attr(struct rig *r, u8 index, u8 val)
{
	in8(r, 0x3da); /* the next is an index */
	out8(r, 0x3c0, index);
	out8(r, 0x3c0, val);
}

static u8 win(struct rig *r, u32 off)
{
	return (u8)dev_read(r->dev, WINDOW, off, 1);
}

static void win_put(struct rig *r, u32 off, u8 val)
{
	dev_write(r->dev, WINDOW, off, val, 1);
}

static void dispi(struct rig *r, u16 index, u16 val)
{
	rig_out(r, 0x1ce, index, 2);
	rig_out(r, 0x1cf, val, 2);
}

static u16 dispi_get(struct rig *r, u16 index)
{
	rig_out(r, 0x1ce, index, 2);
	return (u16)rig_in(r, 0x1cf, 2);
}

/* Planar: all of 64 KiB at 0xa0000, all planes. */
static void planar(struct rig *r)
{
	indexed(r, 0x3c4, 2, 0x0f);
	indexed(r, 0x3c4, 4, 0x06);
	indexed(r, 0x3ce, 5, 0x00);
	indexed(r, 0x3ce, 6, 0x05);
	indexed(r, 0x3ce, 8, 0xff);
}

static u8 plane(struct rig *r, unsigned p, u32 off)
{
	indexed(r, 0x3ce, 4, (u8)p);
	return win(r, off);
}

/* ---- registers ---- */

static void test_indexed_registers(void **state)
{
	struct rig *r = *state;

	indexed(r, 0x3c4, 2, 0x0a);
	assert_int_equal(in8(r, 0x3c4), 2);
	assert_int_equal(in8(r, 0x3c5), 0x0a);
	indexed(r, 0x3ce, 8, 0x55);
	assert_int_equal(rig_in(r, 0x3ce, 2), 0x5508);
	indexed(r, 0x3d4, 0x0e, 0x12);
	assert_int_equal(in8(r, 0x3d5), 0x12);
	out8(r, 0x3d4, 0x20); /* no such register */
	out8(r, 0x3d5, 0x12);
	assert_int_equal(in8(r, 0x3d5), 0);
}

static void test_attribute_flip_flop(void **state)
{
	struct rig *r = *state;

	attr(r, 3, 0x2a);
	in8(r, 0x3da);
	out8(r, 0x3c0, 0x23);
	assert_int_equal(in8(r, 0x3c1), 0x2a);
	out8(r, 0x3c0, 0x15); /* data */
	assert_int_equal(in8(r, 0x3c1), 0x15);
	assert_int_equal(in8(r, 0x3c0), 0x23);
}

static void test_crtc_protection(void **state)
{
	struct rig *r = *state;

	indexed(r, 0x3d4, 7, 0x01);
	indexed(r, 0x3d4, 0x11, 0x80);
	indexed(r, 0x3d4, 7, 0xfe);
	assert_int_equal(in8(r, 0x3d5), 0x11); /* bit 4 alone gets through */
	indexed(r, 0x3d4, 1, 0x4f);
	assert_int_equal(in8(r, 0x3d5), 0);
	indexed(r, 0x3d4, 0x11, 0x00);
	indexed(r, 0x3d4, 1, 0x4f);
	assert_int_equal(in8(r, 0x3d5), 0x4f);
}

/* Monochrome has the CRT controller at 0x3b4, and nothing at 0x3d4; color the other way round. */
static void test_mono_and_color(void **state)
{
	struct rig *r = *state;

	assert_int_equal(in8(r, 0x3b4), 0xff);
	assert_int_not_equal(in8(r, 0x3d4), 0xff);
	out8(r, 0x3c2, 0);
	assert_int_equal(in8(r, 0x3d4), 0xff);
	indexed(r, 0x3b4, 0x0f, 9);
	assert_int_equal(in8(r, 0x3b5), 9);
	assert_int_equal(in8(r, 0x3cc), 0);
}

static void test_dac(void **state)
{
	struct rig *r = *state;

	out8(r, 0x3c8, 254);
	assert_int_equal(in8(r, 0x3c7), 0);
	for (u8 i = 0; i < 9; i++) /* wraps from 255 to 0 */
		out8(r, 0x3c9, 0xf0 | i);
	out8(r, 0x3c7, 255);
	assert_int_equal(in8(r, 0x3c7), 3);
	for (u8 i = 3; i < 9; i++)
		assert_int_equal(in8(r, 0x3c9), 0x30 | i); /* six bits */
}

static void test_retrace(void **state)
{
	struct rig *r = *state;
	unsigned blanks = 0, retraces = 0;

	for (unsigned i = 0; i < 10000; i++) {
		u8 s = in8(r, 0x3da);

		blanks += s & 1;
		retraces += s >> 3 & 1;
		assert_true(!(s & 8) || (s & 1));
		rig_advance(r, 16667);
	}
	assert_in_range(blanks, 2000, 4000);
	assert_in_range(retraces, 20, 60);
}

/* ---- planes ---- */

static void test_map_mask_and_read_map(void **state)
{
	struct rig *r = *state;

	planar(r);
	for (u8 p = 0; p < 4; p++) {
		indexed(r, 0x3c4, 2, (u8)(1 << p));
		win_put(r, 0x1234, 0x10 + p);
	}
	for (unsigned p = 0; p < 4; p++)
		assert_int_equal(plane(r, p, 0x1234), 0x10 + p);
}

static void test_write_modes(void **state)
{
	struct rig *r = *state;

	planar(r);
	/* Mode 0: rotate, set/reset for planes 0 and 1, bit mask over latches. */
	win_put(r, 0, 0xff);
	indexed(r, 0x3ce, 0, 0x01);
	indexed(r, 0x3ce, 1, 0x03);
	indexed(r, 0x3ce, 3, 0x04);
	indexed(r, 0x3ce, 8, 0x0f);
	win(r, 0);
	win_put(r, 0, 0x21);
	assert_int_equal(plane(r, 0, 0), 0xff);
	assert_int_equal(plane(r, 1, 0), 0xf0);
	assert_int_equal(plane(r, 2, 0), 0xf2);
	/* Mode 1: the latches. */
	indexed(r, 0x3ce, 5, 0x01);
	win(r, 0);
	win_put(r, 7, 0);
	assert_int_equal(plane(r, 1, 7), 0xf0);
	assert_int_equal(plane(r, 2, 7), 0xf2);
	/* Mode 2: a color, under the mask. */
	indexed(r, 0x3ce, 5, 0x02);
	indexed(r, 0x3ce, 3, 0x00);
	win(r, 1);
	win_put(r, 1, 0x05);
	assert_int_equal(plane(r, 0, 1), 0x0f);
	assert_int_equal(plane(r, 1, 1), 0x00);
	assert_int_equal(plane(r, 2, 1), 0x0f);
	/* Mode 3: set/reset where the rotated byte and the mask have ones. */
	indexed(r, 0x3ce, 5, 0x03);
	indexed(r, 0x3ce, 0, 0x08);
	win(r, 2);
	win_put(r, 2, 0x3c);
	assert_int_equal(plane(r, 3, 2), 0x0c);
	assert_int_equal(plane(r, 0, 2), 0x00);
}

static void test_logic(void **state)
{
	static const u8 want[4] = {0x3c, 0x0c & 0x3c, 0x0f | 0x3c, 0x0f ^ 0x3c};
	struct rig *r = *state;

	planar(r);
	for (u8 op = 0; op < 4; op++) {
		indexed(r, 0x3ce, 3, 0);
		win_put(r, op, 0x0f);
		indexed(r, 0x3ce, 3, (u8)(op << 3));
		win(r, op);
		win_put(r, op, 0x3c);
		assert_int_equal(win(r, op), want[op]);
	}
}

static void test_read_mode_1(void **state)
{
	struct rig *r = *state;

	planar(r);
	indexed(r, 0x3c4, 2, 0x05);
	win_put(r, 0, 0xf0);
	indexed(r, 0x3ce, 5, 0x08);
	indexed(r, 0x3ce, 2, 0x05);
	indexed(r, 0x3ce, 7, 0x0f);
	assert_int_equal(win(r, 0), 0xf0);
	indexed(r, 0x3ce, 2, 0x01);
	assert_int_equal(win(r, 0), 0x00);
	indexed(r, 0x3ce, 7, 0x01); /* plane 0 alone counts */
	assert_int_equal(win(r, 0), 0xf0);
}

static void test_memory_maps(void **state)
{
	static const struct {
		u32 base, size;
	} maps[4] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
	struct rig *r = *state;

	planar(r);
	for (unsigned i = 0; i < 4; i++) {
		indexed(r, 0x3ce, 6, (u8)(1 | i << 2));
		for (u32 off = 0; off < 0x20000; off += 0x800) {
			bool inside = off >= maps[i].base && off - maps[i].base < maps[i].size;

			win_put(r, off, 0x5a);
			assert_int_equal(win(r, off), inside ? 0x5a : 0xff);
		}
	}
}

static void test_chain4(void **state)
{
	struct rig *r = *state;

	planar(r);
	indexed(r, 0x3c4, 4, 0x0e);
	dev_write(r->dev, WINDOW, 0x100, 0x44332211, 4);
	assert_int_equal(dev_read(r->dev, WINDOW, 0x100, 4), 0x44332211);
	indexed(r, 0x3c4, 4, 0x06);
	for (unsigned p = 0; p < 4; p++)
		assert_int_equal(plane(r, p, 0x100), 0x11 * (p + 1));
}

/* ---- pictures ---- */

struct picture {
	struct display_image image;
	u32 *pixels;
	u8 *cells;
};

static void look(struct rig *r, struct picture *p)
{
	struct display_source s = vga_display(r->dev);

	p->pixels = malloc(DISPLAY_PIXELS_MAX * sizeof(u32));
	p->cells = malloc(DISPLAY_CELLS_MAX);
	assert_non_null(p->pixels);
	assert_non_null(p->cells);
	p->image = (struct display_image){.pixels = p->pixels, .cells = p->cells};
	s.draw(s.ctx, &p->image);
	assert_true((u64)p->image.width * p->image.height <= DISPLAY_PIXELS_MAX);
	assert_true((u64)p->image.columns * p->image.rows <= DISPLAY_CELLS_MAX);
}

static void look_away(struct picture *p)
{
	free(p->pixels);
	free(p->cells);
}

/* 80 by 25 characters of 9 by 16, as a BIOS sets it; the font is made of what the test needs. */
static void text_mode(struct rig *r)
{
	static const u8 crtc[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0,
				  0x4f, 0x0d, 0x0e, 0,    0,    0,    0,    0x9c, 0x0e,
				  0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};

	planar(r);
	indexed(r, 0x3c4, 2, 0x04);
	for (unsigned y = 0; y < 16; y++)
		win_put(r, 'A' * 32 + y, y == 3 ? 0x81 : 0);
	indexed(r, 0x3c4, 2, 0x03);
	indexed(r, 0x3c4, 4, 0x02);
	indexed(r, 0x3ce, 5, 0x10);
	indexed(r, 0x3ce, 6, 0x0e);
	for (u8 i = 0; i < sizeof(crtc); i++)
		indexed(r, 0x3d4, i, crtc[i]);
	for (u8 i = 0; i < 16; i++)
		attr(r, i, i);
	attr(r, 0x10, 0x0c);
	attr(r, 0x12, 0x0f);
	in8(r, 0x3da);
	out8(r, 0x3c0, 0x20); /* screen on */
	for (unsigned i = 0; i < 16; i++) {
		out8(r, 0x3c8, (u8)i);
		out8(r, 0x3c9, (u8)(i * 4));
		out8(r, 0x3c9, 0);
		out8(r, 0x3c9, 63);
	}
}

static void test_text(void **state)
{
	struct rig *r = *state;
	struct picture p;
	char text[64];
	size_t len;

	text_mode(r);
	dev_write(r->dev, WINDOW, 0x18000 + (80 + 2) * 2, 0x1f41, 2);
	dev_write(r->dev, WINDOW, 0x18000 + (80 + 4) * 2, 0x07c9, 2);
	look(r, &p);
	assert_int_equal(p.image.width, 720);
	assert_int_equal(p.image.height, 400);
	assert_int_equal(p.image.columns, 80);
	assert_int_equal(p.image.rows, 25);
	/* Row 1, column 2, its fourth line: first and eighth dots in color 15, else color 1. */
	assert_int_equal(p.pixels[(16 + 3) * 720 + 18], 0xf300ff);
	assert_int_equal(p.pixels[(16 + 3) * 720 + 19], 0x1000ff);
	assert_int_equal(p.pixels[(16 + 3) * 720 + 25], 0xf300ff);
	assert_int_equal(p.pixels[(16 + 3) * 720 + 26], 0x1000ff);
	/* The cursor: two lines at the first character, white on black or not. */
	assert_int_equal(p.pixels[13 * 720], p.pixels[14 * 720 + 8]);
	len = display_text(&p.image, text, sizeof(text));
	assert_int_equal(len, 1 + 8 + 23);
	assert_memory_equal(text, "\n  A \xe2\x95\x94\n\n", 10);
	look_away(&p);
}

/* The cell counter wraps at the end of memory, and the picture with it. */
static void test_text_start_and_cursor(void **state)
{
	struct rig *r = *state;
	struct picture p;

	text_mode(r);
	dev_write(r->dev, WINDOW, 0x18000 + 85 * 2, 0x0741, 2);
	indexed(r, 0x3d4, 0x0d, 85);
	look(r, &p);
	assert_int_equal(p.cells[0], 'A');
	look_away(&p);
	indexed(r, 0x3d4, 0x0c, 0xff);
	indexed(r, 0x3d4, 0x0d, 0xff);
	look(r, &p);
	look_away(&p);
}

static void test_blank(void **state)
{
	struct rig *r = *state;
	struct picture p;

	text_mode(r);
	dev_write(r->dev, WINDOW, 0x18000, 0x1f41, 2);
	indexed(r, 0x3c4, 1, 0x20);
	look(r, &p);
	assert_int_equal(p.image.columns, 0);
	for (unsigned i = 0; i < 720 * 16; i++)
		assert_int_equal(p.pixels[i], 0);
	look_away(&p);
}

/* ---- display interface ---- */

static void set_linear(struct rig *r, u16 width, u16 height, u16 bpp)
{
	dispi(r, DISPI_ENABLE, 0);
	dispi(r, DISPI_WIDTH, width);
	dispi(r, DISPI_HEIGHT, height);
	dispi(r, DISPI_BPP, bpp);
	dispi(r, DISPI_ENABLE, DISPI_ENABLED | DISPI_LINEAR);
}

static void test_dispi_registers(void **state)
{
	struct rig *r = *state;

	assert_int_equal(dispi_get(r, DISPI_ID), 0xb0c5);
	dispi(r, DISPI_ID, 0xb0c2);
	assert_int_equal(dispi_get(r, DISPI_ID), 0xb0c2);
	dispi(r, DISPI_ID, 0x1234);
	assert_int_equal(dispi_get(r, DISPI_ID), 0xb0c2);
	assert_int_equal(dispi_get(r, DISPI_VRAM_64K), VGA_VRAM_SIZE >> 16);
	dispi(r, DISPI_ENABLE, DISPI_GET_LIMITS);
	assert_int_equal(dispi_get(r, DISPI_WIDTH), 2048);
	assert_int_equal(dispi_get(r, DISPI_BPP), 32);
	set_linear(r, 640, 480, 32);
	assert_int_equal(dispi_get(r, DISPI_VIRTUAL_WIDTH), 640);
	assert_int_equal(dispi_get(r, DISPI_VIRTUAL_HEIGHT), VGA_VRAM_SIZE / (640 * 4));
	dispi(r, DISPI_Y, 0xffff);
	assert_int_equal(dispi_get(r, DISPI_Y), VGA_VRAM_SIZE / (640 * 4) - 480);
	/* As words of BAR 2, at 0x500. */
	assert_int_equal(dev_read(r->dev, REGISTERS, 0x502, 2), 640);
	dev_write(r->dev, REGISTERS, 0x500 + 2 * DISPI_X, 8, 2);
	assert_int_equal(dispi_get(r, DISPI_X), 0);
	/* And the VGA's ports from 0x3c0 on, at 0x400. */
	dev_write(r->dev, REGISTERS, 0x404, 0x0a02, 2);
	assert_int_equal(in8(r, 0x3c5), 0x0a);
	assert_int_equal(dev_read(r->dev, REGISTERS, 0x405, 1), 0x0a);
}

static void test_linear_pixels(void **state)
{
	static const struct {
		u16 bpp;
		u32 raw, color;
	} kinds[] = {
		{15, 0x7c1f, 0xff00ff},   {16, 0x07e0, 0x00ff00},     {16, 0x8000, 0x840000},
		{24, 0x123456, 0x123456}, {32, 0xff123456, 0x123456},
	};
	struct rig *r = *state;
	struct picture p;

	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		unsigned bytes = (kinds[i].bpp + 7) / 8;

		set_linear(r, 320, 200, kinds[i].bpp);
		for (unsigned b = 0; b < bytes; b++)
			dev_write(r->dev, LINEAR, (320 * 199 + 319) * bytes + b,
				  kinds[i].raw >> (8 * b) & 0xff, 1);
		look(r, &p);
		assert_int_equal(p.image.width, 320);
		assert_int_equal(p.image.height, 200);
		assert_int_equal(p.image.columns, 0);
		assert_int_equal(p.pixels[0], 0); /* cleared as it was enabled */
		assert_int_equal(p.pixels[320 * 200 - 1], kinds[i].color);
		look_away(&p);
	}
}

/* Every bank, and those that are not there, against the framebuffer. */
static void test_banks(void **state)
{
	struct rig *r = *state;

	set_linear(r, 1024, 768, 32);
	indexed(r, 0x3ce, 6, 0x05);
	for (unsigned bank = 0; bank < VGA_VRAM_SIZE >> 16; bank++) {
		dispi(r, DISPI_BANK, (u16)bank);
		win_put(r, 0xffff, (u8)(bank + 1));
		assert_int_equal(win(r, 0xffff), bank + 1);
		assert_int_equal(dev_read(r->dev, LINEAR, bank * 0x10000 + 0xffff, 1), bank + 1);
	}
	for (unsigned bank = VGA_VRAM_SIZE >> 16; bank < 0x10000; bank += 977) {
		dispi(r, DISPI_BANK, (u16)bank);
		win_put(r, 0, 0x77);
		assert_int_equal(win(r, 0), 0xff);
	}
}

/*
 * Whatever registers say, every address of the window is safe in every memory map, mode and bank,
 * and the picture can be drawn. A sanitizer is the judge.
 */
static void test_any_registers(void **state)
{
	static const u16 sizes[] = {0, 1, 8, 640, 2047, 2048, 4096, 0x8000, 0xffff};
	static const u16 depths[] = {0, 8, 15, 16, 24, 32, 33};
	struct rig *r = *state;
	u32 rng = 12345;
	struct picture p;

	for (unsigned i = 0; i < 300; i++) {
		for (u16 port = 0x3c4; port <= 0x3d4; port += port == 0x3c4 ? 10 : 6)
			for (u8 reg = 0; reg < 25; reg++) {
				rng = rng * 1664525 + 1013904223;
				indexed(r, port, reg, (u8)(rng >> 24));
			}
		attr(r, 0x10, (u8)(rng >> 8));
		for (u32 off = 0; off < 0x20000; off += 0x7ff) {
			win_put(r, off, (u8)off);
			win(r, off);
		}
		dispi(r, DISPI_WIDTH, sizes[i % ARRAY_LEN(sizes)]);
		dispi(r, DISPI_HEIGHT, sizes[i / 3 % ARRAY_LEN(sizes)]);
		dispi(r, DISPI_BPP, depths[i / 2 % ARRAY_LEN(depths)]);
		dispi(r, DISPI_ENABLE, i & 1 ? DISPI_ENABLED | DISPI_KEEP_MEMORY : 0);
		dispi(r, DISPI_VIRTUAL_WIDTH, sizes[i / 5 % ARRAY_LEN(sizes)]);
		dispi(r, DISPI_X, sizes[i / 7 % ARRAY_LEN(sizes)]);
		dispi(r, DISPI_Y, sizes[i / 4 % ARRAY_LEN(sizes)]);
		if (i % 8 < 2) {
			look(r, &p);
			look_away(&p);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_indexed_registers),
		DEVICE_TEST(test_attribute_flip_flop),
		DEVICE_TEST(test_crtc_protection),
		DEVICE_TEST(test_mono_and_color),
		DEVICE_TEST(test_dac),
		DEVICE_TEST(test_retrace),
		DEVICE_TEST(test_map_mask_and_read_map),
		DEVICE_TEST(test_write_modes),
		DEVICE_TEST(test_logic),
		DEVICE_TEST(test_read_mode_1),
		DEVICE_TEST(test_memory_maps),
		DEVICE_TEST(test_chain4),
		DEVICE_TEST(test_text),
		DEVICE_TEST(test_text_start_and_cursor),
		DEVICE_TEST(test_blank),
		DEVICE_TEST(test_dispi_registers),
		DEVICE_TEST(test_linear_pixels),
		DEVICE_TEST(test_banks),
		DEVICE_TEST(test_any_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
