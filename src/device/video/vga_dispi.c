/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Bochs display interface (Bochs VBE extensions, version 0xb0c5): a linear framebuffer of any
 * size that fits into video memory. While it is enabled its registers always describe a picture
 * inside that memory: what is written is fitted.
 */
#include "device/video/vga.h"

enum { ID_FIRST = 0xb0c0, ID_LAST = 0xb0c5 };
enum { WIDTH_MAX = 2048, HEIGHT_MAX = 2048, VIRTUAL_WIDTH_MAX = 4096, BPP_MAX = 32 };
enum { BPP_DEFAULT = 8 };

static unsigned pixel_bytes(unsigned bpp)
{
	switch (bpp) {
	case 8:
		return 1;
	case 15:
	case 16:
		return 2;
	case 24:
		return 3;
	case 32:
		return 4;
	default:
		return 0;
	}
}

static u16 clamp(u16 v, unsigned low, unsigned high)
{
	return (u16)(v < low ? low : v > high ? high : v);
}

static void fit(struct vga_state *s)
{
	u16 *r = s->dispi;
	unsigned lines;

	if (!pixel_bytes(r[DISPI_BPP]))
		r[DISPI_BPP] = BPP_DEFAULT;
	r[DISPI_WIDTH] = clamp(r[DISPI_WIDTH] & (u16)~7, 8, WIDTH_MAX);
	r[DISPI_VIRTUAL_WIDTH] = clamp(r[DISPI_VIRTUAL_WIDTH] & (u16)~7, r[DISPI_WIDTH],
				       VIRTUAL_WIDTH_MAX);
	lines = VGA_VRAM_SIZE / (r[DISPI_VIRTUAL_WIDTH] * pixel_bytes(r[DISPI_BPP]));
	lines = clamp((u16)min_u64(lines, 0xffff), 1, 0xffff);
	r[DISPI_HEIGHT] = clamp(r[DISPI_HEIGHT], 1, (unsigned)min_u64(lines, HEIGHT_MAX));
	r[DISPI_VIRTUAL_HEIGHT] = (u16)lines;
	r[DISPI_X] = clamp(r[DISPI_X], 0, r[DISPI_VIRTUAL_WIDTH] - r[DISPI_WIDTH]);
	r[DISPI_Y] = clamp(r[DISPI_Y], 0, lines - r[DISPI_HEIGHT]);
}

static void enable(struct vga_state *s, u16 val)
{
	bool was_on = vga_dispi_on(s);

	s->dispi[DISPI_ENABLE] = val & (DISPI_ENABLED | DISPI_GET_LIMITS | DISPI_8BIT_DAC |
					DISPI_LINEAR | DISPI_KEEP_MEMORY);
	if (was_on || !vga_dispi_on(s))
		return;
	s->dispi[DISPI_VIRTUAL_WIDTH] = s->dispi[DISPI_WIDTH];
	s->dispi[DISPI_X] = s->dispi[DISPI_Y] = s->dispi[DISPI_BANK] = 0;
	fit(s);
	if (!(val & DISPI_KEEP_MEMORY))
		__builtin_memset(s->vram, 0, VGA_VRAM_SIZE);
}

void vga_dispi_reset(struct vga_state *s)
{
	__builtin_memset(s->dispi, 0, sizeof(s->dispi));
	s->dispi[DISPI_ID] = ID_LAST;
	s->dispi_index = 0;
	s->dispi_low = 0;
}

u16 vga_dispi_read(const struct vga_state *s, unsigned index)
{
	if (s->dispi[DISPI_ENABLE] & DISPI_GET_LIMITS) {
		switch (index) {
		case DISPI_WIDTH:
			return WIDTH_MAX;
		case DISPI_HEIGHT:
			return HEIGHT_MAX;
		case DISPI_BPP:
			return BPP_MAX;
		}
	}
	if (index == DISPI_VRAM_64K)
		return VGA_VRAM_SIZE >> 16;
	return index < DISPI_VRAM_64K ? s->dispi[index] : 0;
}

void vga_dispi_write(struct vga_state *s, unsigned index, u16 val)
{
	switch (index) {
	case DISPI_ID:
		if (val >= ID_FIRST && val <= ID_LAST)
			s->dispi[DISPI_ID] = val;
		return;
	case DISPI_ENABLE:
		enable(s, val);
		return;
	case DISPI_WIDTH:
	case DISPI_HEIGHT:
	case DISPI_BPP:
	case DISPI_BANK:
	case DISPI_VIRTUAL_WIDTH:
	case DISPI_X:
	case DISPI_Y:
		s->dispi[index] = val;
		break;
	default:
		return;
	}
	if (vga_dispi_on(s))
		fit(s);
}

bool vga_dispi_layout(const struct vga_state *s, struct vga_layout *out)
{
	const u16 *r = s->dispi;
	struct vga_layout l = {.width = r[DISPI_WIDTH], .height = r[DISPI_HEIGHT]};
	u64 end;

	l.bpp = r[DISPI_BPP];
	l.bytes = pixel_bytes(l.bpp);
	l.pitch = r[DISPI_VIRTUAL_WIDTH] * l.bytes;
	l.start = r[DISPI_Y] * l.pitch + r[DISPI_X] * l.bytes;
	end = l.start + (u64)l.pitch * (l.height - 1) + l.width * l.bytes;
	if (!l.bytes || !l.width || !l.height || l.width > WIDTH_MAX || l.height > HEIGHT_MAX ||
	    r[DISPI_VIRTUAL_WIDTH] > VIRTUAL_WIDTH_MAX ||
	    r[DISPI_X] + l.width > r[DISPI_VIRTUAL_WIDTH] || end > VGA_VRAM_SIZE)
		return false;
	*out = l;
	return true;
}
