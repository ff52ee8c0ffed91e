/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DEVICE_VIDEO_VGA_H
#define DEVICE_VIDEO_VGA_H

#include "device/device.h"
#include "display/display.h"

struct display_source vga_display(struct alc_dev *d);

/* The rest is private to the files of this device. */

enum { VGA_VRAM_SIZE = 4 << 20, VGA_PLANE_SIZE = 64 << 10, VGA_PLANES = 4 };

/* Sequencer, graphics controller, CRT controller, attribute controller: what is used by name. */
enum {
	SEQ_CLOCKING = 1,
	SEQ_MAP_MASK = 2,
	SEQ_CHAR_MAP = 3,
	SEQ_MEMORY_MODE = 4,
	SEQ_REGS = 8,
};
enum { CLOCKING_8_DOTS = 1, CLOCKING_SCREEN_OFF = 0x20 };
enum { MEMORY_NOT_ODD_EVEN = 4, MEMORY_CHAIN4 = 8 };
enum {
	GC_SET_RESET,
	GC_ENABLE_SET_RESET,
	GC_COLOR_COMPARE,
	GC_ROTATE,
	GC_READ_MAP,
	GC_MODE,
	GC_MISC,
	GC_COLOR_DONT_CARE,
	GC_BIT_MASK,
	GC_REGS = 16,
};
enum { MODE_READ_COMPARE = 8, MODE_ODD_EVEN = 0x10, MODE_SHIFT_CGA = 0x20, MODE_SHIFT_256 = 0x40 };
enum { MISC_GRAPHICS = 1 };
enum {
	CRTC_DISPLAY_END = 1,
	CRTC_OVERFLOW = 7,
	CRTC_MAX_SCAN_LINE = 9,
	CRTC_CURSOR_START = 0xa,
	CRTC_CURSOR_END = 0xb,
	CRTC_START_HIGH = 0xc,
	CRTC_START_LOW = 0xd,
	CRTC_CURSOR_HIGH = 0xe,
	CRTC_CURSOR_LOW = 0xf,
	CRTC_RETRACE_END = 0x11,
	CRTC_VERTICAL_END = 0x12,
	CRTC_OFFSET = 0x13,
	CRTC_UNDERLINE = 0x14,
	CRTC_MODE = 0x17,
	CRTC_LAST = 0x18,
	CRTC_REGS = 64,
};
enum { ATTR_MODE = 0x10, ATTR_PLANES = 0x12, ATTR_COLOR_SELECT = 0x14, ATTR_REGS = 32 };
enum { ATTR_VIDEO_ON = 0x20 }; /* of the index register */

/* Bochs display interface: registers by index. */
enum {
	DISPI_ID,
	DISPI_WIDTH,
	DISPI_HEIGHT,
	DISPI_BPP,
	DISPI_ENABLE,
	DISPI_BANK,
	DISPI_VIRTUAL_WIDTH,
	DISPI_VIRTUAL_HEIGHT,
	DISPI_X,
	DISPI_Y,
	DISPI_VRAM_64K,
	DISPI_REGS = 16,
};
enum {
	DISPI_ENABLED = 1,
	DISPI_GET_LIMITS = 2,
	DISPI_8BIT_DAC = 0x20,
	DISPI_LINEAR = 0x40,
	DISPI_KEEP_MEMORY = 0x80,
};

struct vga_state {
	u8 misc, feature;
	u8 seq_index, seq[SEQ_REGS];
	u8 gc_index, gc[GC_REGS];
	u8 crtc_index, crtc[CRTC_REGS];
	u8 attr_index, attr_data; /* attr_data: the next write to 0x3c0 is data */
	u8 attr[ATTR_REGS];
	u8 dac_mask, dac_read, dac_write, dac_part, dac_writing;
	u8 dac[256 * 3];
	u8 latch[VGA_PLANES];
	u8 dispi_low; /* the low byte of a data register that is written by bytes */
	u16 dispi_index, dispi[DISPI_REGS];
	/* Byte `off` of plane p is at off * 4 + p; the linear framebuffer is the same bytes. */
	u8 vram[VGA_VRAM_SIZE];
};

/* vga_memory.c: the window at 0xa0000. */
u8 vga_window_read(struct vga_state *s, u32 off);
void vga_window_write(struct vga_state *s, u32 off, u8 val);

/* vga_dispi.c */
void vga_dispi_reset(struct vga_state *s);
u16 vga_dispi_read(const struct vga_state *s, unsigned index);
void vga_dispi_write(struct vga_state *s, unsigned index, u16 val);
static inline bool vga_dispi_on(const struct vga_state *s)
{
	return s->dispi[DISPI_ENABLE] & DISPI_ENABLED;
}
/* Where and how the picture lies in vram: false if its registers, as loaded, make no sense. */
struct vga_layout {
	u32 width, height, start, pitch; /* pitch in bytes */
	unsigned bpp, bytes;             /* of a pixel */
};
bool vga_dispi_layout(const struct vga_state *s, struct vga_layout *out);

/* vga_draw.c */
void vga_draw(const struct vga_state *s, struct display_image *out);

#endif
