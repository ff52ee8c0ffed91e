/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VGA's memory as the CPU sees it in the 128 KiB at 0xa0000 (IBM VGA technical reference,
 * "Graphics controller"): four planes of 64 KiB, which one CPU byte reaches at the same offset
 * through latches, rotator, logic and masks.
 */
#include "device/video/vga.h"

enum { WINDOW_SIZE = 0x20000, BANK_SIZE = 0x10000 };

/* Memory maps of the miscellaneous register: what part of the window there is. */
static const struct {
	u32 base, size;
} maps[4] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};

/* The offset into the map, or false. */
static bool in_map(const struct vga_state *s, u32 *off)
{
	unsigned map = s->gc[GC_MISC] >> 2 & 3;

	if (*off < maps[map].base || *off - maps[map].base >= maps[map].size)
		return false;
	*off -= maps[map].base;
	return true;
}

/* With the display interface on, the window shows 64 KiB of the linear framebuffer. */
static u8 *banked(struct vga_state *s, u32 off)
{
	u64 at = (u64)s->dispi[DISPI_BANK] * BANK_SIZE + off;

	return off < BANK_SIZE && at < VGA_VRAM_SIZE ? &s->vram[at] : NULL;
}

static u8 *planes_at(struct vga_state *s, u32 off)
{
	return &s->vram[(off % VGA_PLANE_SIZE) * VGA_PLANES];
}

static void load_latches(struct vga_state *s, const u8 *planes)
{
	__builtin_memcpy(s->latch, planes, VGA_PLANES);
}

/* Read mode 1: a bit for each pixel whose color is the one looked for. */
static u8 compare(const struct vga_state *s)
{
	u8 differs = 0;

	for (unsigned p = 0; p < VGA_PLANES; p++) {
		u8 want = s->gc[GC_COLOR_COMPARE] >> p & 1 ? 0xff : 0;

		if (s->gc[GC_COLOR_DONT_CARE] >> p & 1)
			differs |= s->latch[p] ^ want;
	}
	return (u8)~differs;
}

u8 vga_window_read(struct vga_state *s, u32 off)
{
	unsigned plane = s->gc[GC_READ_MAP] & 3;

	if (!in_map(s, &off))
		return 0xff;
	if (vga_dispi_on(s)) {
		const u8 *at = banked(s, off);

		return at ? *at : 0xff;
	}
	if (s->seq[SEQ_MEMORY_MODE] & MEMORY_CHAIN4) {
		plane = off & 3;
		off &= ~3u;
	} else if (s->gc[GC_MODE] & MODE_ODD_EVEN) {
		plane = (plane & 2) | (off & 1);
		off &= ~1u;
	}
	load_latches(s, planes_at(s, off));
	return s->gc[GC_MODE] & MODE_READ_COMPARE ? compare(s) : s->latch[plane];
}

static u8 rotate(const struct vga_state *s, u8 val)
{
	unsigned n = s->gc[GC_ROTATE] & 7;

	return (u8)(val >> n | val << (8 - n));
}

static u8 combine(const struct vga_state *s, u8 val, u8 latch)
{
	switch (s->gc[GC_ROTATE] >> 3 & 3) {
	case 1:
		return val & latch;
	case 2:
		return val | latch;
	case 3:
		return val ^ latch;
	default:
		return val;
	}
}

static u8 all_bits(unsigned bit)
{
	return bit & 1 ? 0xff : 0;
}

/* What plane p gets, by write mode. */
static u8 plane_value(const struct vga_state *s, unsigned p, u8 val)
{
	u8 mask = s->gc[GC_BIT_MASK], set_reset = all_bits(s->gc[GC_SET_RESET] >> p);

	switch (s->gc[GC_MODE] & 3) {
	case 0:
		val = s->gc[GC_ENABLE_SET_RESET] >> p & 1 ? set_reset : rotate(s, val);
		break;
	case 1:
		return s->latch[p];
	case 2:
		val = all_bits(val >> p);
		break;
	default:
		mask &= rotate(s, val);
		val = set_reset;
		break;
	}
	return (combine(s, val, s->latch[p]) & mask) | (s->latch[p] & ~mask);
}

void vga_window_write(struct vga_state *s, u32 off, u8 val)
{
	u8 planes = s->seq[SEQ_MAP_MASK] & 15, *at;

	if (!in_map(s, &off))
		return;
	if (vga_dispi_on(s)) {
		at = banked(s, off);
		if (at)
			*at = val;
		return;
	}
	if (s->seq[SEQ_MEMORY_MODE] & MEMORY_CHAIN4) {
		planes &= 1 << (off & 3);
		off &= ~3u;
	} else if (!(s->seq[SEQ_MEMORY_MODE] & MEMORY_NOT_ODD_EVEN)) {
		planes &= 5 << (off & 1);
		off &= ~1u;
	}
	at = planes_at(s, off);
	for (unsigned p = 0; p < VGA_PLANES; p++)
		if (planes >> p & 1)
			at[p] = plane_value(s, p, val);
}
