/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "bus/pc.h"
#include "device/device.h"

/*
 * pc-testdev, the device that kvm-unit-tests drives: a port latch of 4 bytes (0xe0) with a
 * byte-wide view of it (0xe8), a port that asks for a page to be unmapped behind the guest's back
 * (0xe4: without effect, since this machine has nothing that could go stale), one port for each
 * interrupt line (0x2000), and 64 KiB of memory that is not RAM.
 */
enum { REGION_LATCH, REGION_FLUSH, REGION_BYTES, REGION_LINES, REGION_MEMORY };
enum { LINES = PC_IOAPIC_PINS, MEMORY_SIZE = 0x10000 };

struct state {
	u32 latch;
	u32 lines;
	u64 memory[MEMORY_SIZE / 8];
};

static const struct alc_field fields[] = {FIELD(struct state, latch), FIELD(struct state, lines),
					  FIELD_ARRAY(struct state, memory), FIELD_END};

/* The lines as last driven: those that others drive are left alone. */
struct priv {
	u32 driven;
};

/* Drives what differs between the lines as they should be and as they are. */
static void drive(struct alc_dev *d, u32 lines)
{
	struct priv *p = d->priv;

	for (unsigned line = 0; line < LINES; line++)
		if ((lines ^ p->driven) >> line & 1 && d->env.gsi.set)
			d->env.gsi.set(d->env.gsi.ctx, line, lines >> line & 1);
	p->driven = lines;
}

static u64 test_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	struct state *s = d->state;

	switch (region) {
	case REGION_LATCH:
	case REGION_BYTES:
		return s->latch >> off * 8;
	case REGION_LINES:
		return s->lines >> off & 1;
	case REGION_MEMORY:
		return ld_size((u8 *)s->memory + off, size);
	default:
		return 0;
	}
}

static void write_latch(struct state *s, u64 off, u64 val, unsigned size)
{
	u32 mask = (u32)(mask_low(size * 8) << off * 8);

	s->latch = (s->latch & ~mask) | ((u32)(val << off * 8) & mask);
}

static void write_line(struct alc_dev *d, unsigned line, bool level)
{
	struct state *s = d->state;

	s->lines = (u32)((s->lines & ~BIT(line)) | (u64)level << line);
	drive(d, s->lines);
}

static void test_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;

	switch (region) {
	case REGION_LATCH:
	case REGION_BYTES:
		write_latch(s, off, val, size);
		break;
	case REGION_LINES:
		write_line(d, (unsigned)off, val);
		break;
	case REGION_MEMORY:
		st_size((u8 *)s->memory + off, val, size);
		break;
	default:
		break;
	}
}

static void test_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;

	__builtin_memset(s, 0, sizeof(*s));
	drive(d, 0);
}

static int test_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct state *s = d->state;

	if ((u64)s->lines >> LINES)
		return alc_fail(err, -EINVAL, "device '%s': snapshot has a line that is not there",
				d->id);
	drive(d, s->lines);
	return 0;
}

static int test_probe(struct alc_dev *d, struct alc_err *err)
{
	d->priv = host_alloc(d->env.host, sizeof(struct priv));
	if (!d->priv)
		return alc_fail(err, -ENOMEM, "no memory for device '%s'", d->id);
	return 0;
}

static void test_remove(struct alc_dev *d)
{
	host_free(d->env.host, d->priv, sizeof(struct priv));
}

static const struct alc_dev_region regions[] = {
	[REGION_LATCH] = {"latch", ALC_REGION_PORT, 0xe0, 4, 1, 4, NULL, 0},
	[REGION_FLUSH] = {"flush", ALC_REGION_PORT, 0xe4, 4, 1, 4, NULL, 0},
	[REGION_BYTES] = {"bytes", ALC_REGION_PORT, 0xe8, 4, 1, 1, NULL, 0},
	[REGION_LINES] = {"lines", ALC_REGION_PORT, 0x2000, LINES, 1, 1, NULL, 0},
	[REGION_MEMORY] = {"memory", ALC_REGION_MEM, PC_TESTDEV_BASE, MEMORY_SIZE, 1, 8, NULL, 0},
	{.name = NULL},
};

extern const struct alc_dev_class testdev_class;
const struct alc_dev_class testdev_class = {
	.name = "pc-testdev",
	.summary = "what kvm-unit-tests drives: latches, interrupt lines, memory that is not RAM",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.probe = test_probe,
	.remove = test_remove,
	.reset = test_reset,
	.read = test_read,
	.write = test_write,
	.loaded = test_loaded,
};
