/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VGA with the Bochs display interface: PCI function 1234:1111, for which SeaBIOS, OVMF, GRUB and
 * Linux have drivers. Registers at their ports and, with those of the display interface, in BAR 2;
 * video memory in the window at 0xa0000 and as linear framebuffer in BAR 0.
 */
#include "device/video/vga.h"

#include "alcazar/device.h"
#include "base/errno.h"
#include "bus/pc.h"

enum { REGION_PORTS, REGION_DISPI, REGION_WINDOW, REGION_LINEAR, REGION_REGISTERS };
enum { BAR_LINEAR = 0, BAR_REGISTERS = 2, REGISTERS_SIZE = 0x1000 };
enum { MMIO_PORTS = 0x400, MMIO_PORTS_END = 0x420, MMIO_DISPI = 0x500, MMIO_DISPI_END = 0x516 };

enum { PORTS = 0x3b0, PORTS_SIZE = 0x30, WINDOW = 0xa0000, WINDOW_SIZE = 0x20000 };
enum {
	PORT_CRTC_MONO = 0x3b4,
	PORT_STATUS_MONO = 0x3ba,
	PORT_ATTR = 0x3c0,
	PORT_ATTR_READ = 0x3c1,
	PORT_MISC_WRITE = 0x3c2, /* read: input status 0 */
	PORT_SEQ = 0x3c4,
	PORT_DAC_MASK = 0x3c6,
	PORT_DAC_READ = 0x3c7, /* read: state */
	PORT_DAC_WRITE = 0x3c8,
	PORT_DAC_DATA = 0x3c9,
	PORT_FEATURE = 0x3ca,
	PORT_MISC = 0x3cc,
	PORT_GC = 0x3ce,
	PORT_CRTC = 0x3d4,
	PORT_STATUS = 0x3da,
};
enum { MISC_COLOR = 1, ATTR_INDEX = 0x1f, CRTC_PROTECT = 0x80, CRTC_LINE_COMPARE_8 = 0x10 };
enum { STATUS_BLANK = 1, STATUS_RETRACE = 8, STATUS_SENSE = 0x10, DAC_STATE_READ = 3 };

/* A picture of 60 Hz: 525 lines, of which 480 are shown; of each line four fifths. */
#define FRAME_NS 16666667ull
enum { LINES = 525, LINES_SHOWN = 480, RETRACE_FIRST = 490, RETRACE_END = 492 };

/* ---- Registers ---------------------------------------------------------------------------- */

static u8 status(struct alc_dev *d)
{
	u64 line_256 = clock_now_ns(d->env.clock) % FRAME_NS * LINES * 256 / FRAME_NS;
	u64 line = line_256 >> 8;
	u8 bits = 0;

	if (line >= LINES_SHOWN || (line_256 & 255) >= 205)
		bits |= STATUS_BLANK;
	if (line >= RETRACE_FIRST && line < RETRACE_END)
		bits |= STATUS_RETRACE;
	return bits;
}

static u8 dac_data_read(struct vga_state *s)
{
	u8 val = s->dac[s->dac_read * 3 + s->dac_part];

	s->dac_part = (s->dac_part + 1) % 3;
	s->dac_read = (u8)(s->dac_read + !s->dac_part);
	return val;
}

static void dac_data_write(struct vga_state *s, u8 val)
{
	bool wide = s->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC;

	s->dac[s->dac_write * 3 + s->dac_part] = wide ? val : val & 63;
	s->dac_part = (s->dac_part + 1) % 3;
	s->dac_write = (u8)(s->dac_write + !s->dac_part);
}

static bool is_color(const struct vga_state *s)
{
	return s->misc & MISC_COLOR;
}

/* The CRT controller and status 1 are at 0x3dx or at 0x3bx: elsewhere there is nothing. */
static bool absent(const struct vga_state *s, u16 port)
{
	return port < PORT_ATTR ? is_color(s) : port >= PORT_CRTC && !is_color(s);
}

static u8 crtc_read(struct alc_dev *d, unsigned offset)
{
	struct vga_state *s = d->state;

	switch (offset) {
	case PORT_CRTC - PORT_CRTC:
		return s->crtc_index;
	case PORT_CRTC + 1 - PORT_CRTC:
		return s->crtc_index <= CRTC_LAST ? s->crtc[s->crtc_index] : 0;
	case PORT_STATUS - PORT_CRTC:
		s->attr_data = 0;
		return status(d);
	default:
		return 0xff;
	}
}

static u8 port_read(struct alc_dev *d, u16 port)
{
	struct vga_state *s = d->state;

	if (absent(s, port))
		return 0xff;
	switch (port) {
	case PORT_ATTR:
		return s->attr_data ? 0 : s->attr_index;
	case PORT_ATTR_READ:
		return s->attr[s->attr_index & ATTR_INDEX];
	case PORT_MISC_WRITE:
		return STATUS_SENSE;
	case PORT_SEQ:
		return s->seq_index;
	case PORT_SEQ + 1:
		return s->seq[s->seq_index];
	case PORT_DAC_MASK:
		return s->dac_mask;
	case PORT_DAC_READ:
		return s->dac_writing ? 0 : DAC_STATE_READ;
	case PORT_DAC_WRITE:
		return s->dac_write;
	case PORT_DAC_DATA:
		return dac_data_read(s);
	case PORT_FEATURE:
		return s->feature;
	case PORT_MISC:
		return s->misc;
	case PORT_GC:
		return s->gc_index;
	case PORT_GC + 1:
		return s->gc[s->gc_index];
	default:
		if (port < PORT_ATTR)
			return port < PORT_CRTC_MONO ? 0xff : crtc_read(d, port - PORT_CRTC_MONO);
		return port < PORT_CRTC ? 0xff : crtc_read(d, port - PORT_CRTC);
	}
}

static void attr_write(struct vga_state *s, u8 val)
{
	unsigned i = s->attr_index & ATTR_INDEX;

	if (!s->attr_data)
		s->attr_index = val & (ATTR_INDEX | ATTR_VIDEO_ON);
	else if (i <= ATTR_COLOR_SELECT)
		s->attr[i] = val;
	s->attr_data ^= 1;
}

/* Registers 0 to 7 can be protected, but for one bit of line compare. */
static void crtc_data_write(struct vga_state *s, u8 val)
{
	unsigned i = s->crtc_index;

	if (i > CRTC_LAST)
		return;
	if (i <= CRTC_OVERFLOW && s->crtc[CRTC_RETRACE_END] & CRTC_PROTECT) {
		if (i == CRTC_OVERFLOW)
			s->crtc[i] = (s->crtc[i] & ~CRTC_LINE_COMPARE_8) |
				     (val & CRTC_LINE_COMPARE_8);
		return;
	}
	s->crtc[i] = val;
}

static void crtc_write(struct vga_state *s, unsigned offset, u8 val)
{
	if (offset == 0)
		s->crtc_index = val & (CRTC_REGS - 1);
	else if (offset == 1)
		crtc_data_write(s, val);
	else if (offset == PORT_STATUS - PORT_CRTC)
		s->feature = val;
}

static void dac_index_write(struct vga_state *s, u8 *index, u8 val)
{
	*index = val;
	s->dac_part = 0;
	s->dac_writing = index == &s->dac_write;
}

static void port_write(struct vga_state *s, u16 port, u8 val)
{
	if (absent(s, port))
		return;
	switch (port) {
	case PORT_ATTR:
		attr_write(s, val);
		break;
	case PORT_MISC_WRITE:
		s->misc = val;
		break;
	case PORT_SEQ:
		s->seq_index = val & (SEQ_REGS - 1);
		break;
	case PORT_SEQ + 1:
		s->seq[s->seq_index] = val;
		break;
	case PORT_DAC_MASK:
		s->dac_mask = val;
		break;
	case PORT_DAC_READ:
		dac_index_write(s, &s->dac_read, val);
		break;
	case PORT_DAC_WRITE:
		dac_index_write(s, &s->dac_write, val);
		break;
	case PORT_DAC_DATA:
		dac_data_write(s, val);
		break;
	case PORT_GC:
		s->gc_index = val & (GC_REGS - 1);
		break;
	case PORT_GC + 1:
		s->gc[s->gc_index] = val;
		break;
	default:
		if (port >= PORT_CRTC_MONO && port < PORT_ATTR)
			crtc_write(s, port - PORT_CRTC_MONO, val);
		else if (port >= PORT_CRTC)
			crtc_write(s, port - PORT_CRTC, val);
		break;
	}
}

/*
 * The display interface's ports: the index at 0, the data, a word, at 1, which is so an access of
 * two bytes here; the high one completes a write.
 */
static u64 dispi_port_read(const struct vga_state *s, u64 off, unsigned size)
{
	u16 data = vga_dispi_read(s, s->dispi_index);

	if (off == 0)
		return size == 2 ? s->dispi_index : (u8)s->dispi_index;
	return off == 1 ? (u8)data : off == 2 && size == 1 ? data >> 8 : ~0ull;
}

static void dispi_port_write(struct vga_state *s, u64 off, u16 val, unsigned size)
{
	if (off == 0)
		s->dispi_index = val;
	else if (off == 1)
		s->dispi_low = (u8)val;
	else if (off == 2 && size == 1)
		vga_dispi_write(s, s->dispi_index, (u16)(s->dispi_low | val << 8));
}

/* BAR 2: ports 0x3c0 on, then the display interface's registers as words. */
static u64 registers_read(struct alc_dev *d, u64 off, unsigned size)
{
	const struct vga_state *s = d->state;
	u64 val = 0;

	if (off >= MMIO_DISPI && off < MMIO_DISPI_END)
		return (u64)vga_dispi_read(s, (off - MMIO_DISPI) / 2) >> (off & 1) * 8;
	if (off < MMIO_PORTS || off >= MMIO_PORTS_END)
		return off < MMIO_PORTS ? 0 : ~0ull;
	for (unsigned i = 0; i < size; i++)
		val |= (u64)port_read(d, (u16)(PORT_ATTR + off - MMIO_PORTS + i)) << i * 8;
	return val;
}

static void registers_write(struct alc_dev *d, u64 off, u64 val, unsigned size)
{
	struct vga_state *s = d->state;

	if (off >= MMIO_DISPI && off < MMIO_DISPI_END && size == 2)
		vga_dispi_write(s, (off - MMIO_DISPI) / 2, (u16)val);
	if (off < MMIO_PORTS || off >= MMIO_PORTS_END)
		return;
	for (unsigned i = 0; i < size; i++)
		port_write(s, (u16)(PORT_ATTR + off - MMIO_PORTS + i), (u8)(val >> i * 8));
}

/* ---- The device --------------------------------------------------------------------------- */

static u64 vga_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	struct vga_state *s = d->state;

	switch (region) {
	case REGION_PORTS:
		return port_read(d, (u16)(PORTS + off));
	case REGION_DISPI:
		return dispi_port_read(s, off, size);
	case REGION_WINDOW:
		return vga_window_read(s, (u32)off);
	case REGION_LINEAR:
		return ld_size(&s->vram[off], size);
	default:
		return registers_read(d, off, size);
	}
}

static void vga_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct vga_state *s = d->state;

	switch (region) {
	case REGION_PORTS:
		port_write(s, (u16)(PORTS + off), (u8)val);
		break;
	case REGION_DISPI:
		dispi_port_write(s, off, (u16)val, size);
		break;
	case REGION_WINDOW:
		vga_window_write(s, (u32)off, (u8)val);
		break;
	case REGION_LINEAR:
		st_size(&s->vram[off], val, size);
		break;
	default:
		registers_write(d, off, val, size);
		break;
	}
}

static void vga_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct vga_state *s = d->state;

	__builtin_memset(s, 0, offsetof(struct vga_state, vram));
	s->misc = MISC_COLOR;
	s->dac_mask = 0xff;
	vga_dispi_reset(s);
	if (kind == ALC_RESET_COLD)
		__builtin_memset(s->vram, 0, sizeof(s->vram));
}

static int vga_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct vga_state *s = d->state;
	struct vga_layout layout;

	if (s->seq_index >= SEQ_REGS || s->gc_index >= GC_REGS || s->crtc_index >= CRTC_REGS ||
	    (s->attr_index & ~(ATTR_INDEX | ATTR_VIDEO_ON)) || s->attr_data > 1 ||
	    s->dac_part > 2 || s->dac_writing > 1 ||
	    (vga_dispi_on(s) && !vga_dispi_layout(s, &layout)))
		return alc_fail(err, -EINVAL, "device '%s': snapshot has an impossible state",
				d->id);
	return 0;
}

static void draw(void *ctx, struct display_image *out)
{
	struct alc_dev *d = ctx;

	dev_lock(d);
	vga_draw(d->state, out);
	dev_unlock(d);
}

struct display_source vga_display(struct alc_dev *d)
{
	return (struct display_source){.draw = draw, .ctx = d};
}

static const struct alc_field fields[] = {
	FIELD(struct vga_state, misc),
	FIELD(struct vga_state, feature),
	FIELD(struct vga_state, seq_index),
	FIELD_ARRAY(struct vga_state, seq),
	FIELD(struct vga_state, gc_index),
	FIELD_ARRAY(struct vga_state, gc),
	FIELD(struct vga_state, crtc_index),
	FIELD_ARRAY(struct vga_state, crtc),
	FIELD(struct vga_state, attr_index),
	FIELD(struct vga_state, attr_data),
	FIELD_ARRAY(struct vga_state, attr),
	FIELD(struct vga_state, dac_mask),
	FIELD(struct vga_state, dac_read),
	FIELD(struct vga_state, dac_write),
	FIELD(struct vga_state, dac_part),
	FIELD(struct vga_state, dac_writing),
	FIELD_ARRAY(struct vga_state, dac),
	FIELD_ARRAY(struct vga_state, latch),
	FIELD(struct vga_state, dispi_low),
	FIELD(struct vga_state, dispi_index),
	FIELD_ARRAY(struct vga_state, dispi),
	FIELD_ARRAY(struct vga_state, vram),
	FIELD_END,
};

static const struct alc_dev_region regions[] = {
	[REGION_PORTS] = {"ports", ALC_REGION_PORT, PORTS, PORTS_SIZE, 1, 1, NULL, 0},
	[REGION_DISPI] = {"display interface", ALC_REGION_PORT, PC_PORT_DISPI, 4, 1, 2, NULL, 0},
	[REGION_WINDOW] = {"window", ALC_REGION_MEM, WINDOW, WINDOW_SIZE, 1, 1, NULL, 0},
	[REGION_LINEAR] = {"framebuffer", ALC_REGION_BAR, 0, VGA_VRAM_SIZE, 1, 8, NULL, BAR_LINEAR},
	[REGION_REGISTERS] = {"registers", ALC_REGION_BAR, 0, REGISTERS_SIZE, 1, 2, NULL,
			      BAR_REGISTERS},
	{.name = NULL},
};

static const struct pci_bar_desc bars[] = {
	{BAR_LINEAR, PCI_BAR_MEM32, VGA_VRAM_SIZE},
	{BAR_REGISTERS, PCI_BAR_MEM32, REGISTERS_SIZE},
};

static const struct pci_desc pci = {
	.vendor = 0x1234,
	.device = 0x1111,
	.subvendor = 0x1af4,
	.subdevice = 0x1100,
	.revision = 2,
	.class_code = 0x030000,
	.bars = bars,
	.nbars = ARRAY_LEN(bars),
};

extern const struct alc_dev_class vga_class;
const struct alc_dev_class vga_class = {
	.name = "vga",
	.summary = "VGA with linear framebuffer",
	.state_size = sizeof(struct vga_state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.pci = &pci,
	.reset = vga_reset,
	.read = vga_read,
	.write = vga_write,
	.loaded = vga_loaded,
};
