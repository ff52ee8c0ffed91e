/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "bus/pc.h"
#include "device/device.h"

/*
 * Reset control register (PIIX3 data sheet, RC): a rising RCPU resets, hard or soft; this machine
 * makes no difference between the two.
 *
 * The register answers byte accesses alone. It lies within PCI's configuration address register,
 * a doubleword at 0xcf8 whose byte 1 is a device and function number: whoever accesses PCI
 * writes there, and must not reset the machine. So the whole doubleword is claimed here, and
 * accesses of all its four bytes are passed on to the root complex.
 */
enum { BLOCK_SIZE = 4, BLOCK = PC_PORT_RESET / BLOCK_SIZE * BLOCK_SIZE };
enum { SYSTEM_RESET = 2, RESET_CPU = 4, FULL_RESET = 8 };
enum { KEPT = SYSTEM_RESET | RESET_CPU | FULL_RESET };

/* What is kept of an address: the enable bit, bus, device, function, register. */
#define ADDRESS_KEPT 0x80fffffcu

struct state {
	u32 address; /* the root complex's */
	u8 control;
};

static const struct alc_field fields[] = {
	FIELD(struct state, address),
	FIELD(struct state, control),
	FIELD_END,
};

static void set_address(struct alc_dev *d, u32 address)
{
	struct state *s = d->state;

	s->address = address & ADDRESS_KEPT;
	if (d->env.pci)
		pci_set_address(d->env.pci, s->address);
}

static bool is_control(u64 off, unsigned size)
{
	return off == PC_PORT_RESET - BLOCK && size == 1;
}

static u64 reset_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	const struct state *s = d->state;

	if (size == BLOCK_SIZE)
		return s->address;
	return is_control(off, size) ? s->control : ~0ull;
}

static void reset_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;
	bool rises = val & ~s->control & RESET_CPU;

	if (size == BLOCK_SIZE)
		set_address(d, (u32)val);
	if (!is_control(off, size))
		return;
	s->control = val & KEPT;
	if (rises)
		dev_request(d, ALC_REQUEST_RESET, 0);
}

static void reset_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;

	s->control = 0;
	set_address(d, 0);
}

static int reset_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct state *s = d->state;

	if ((s->control & ~KEPT) || (s->address & ~ADDRESS_KEPT))
		return alc_fail(err, -EINVAL, "device '%s': snapshot has bits that no register has",
				d->id);
	set_address(d, s->address);
	return 0;
}

static const struct alc_dev_region regions[] = {
	{"control", ALC_REGION_PORT, BLOCK, BLOCK_SIZE, 1, 4, NULL, 0},
	{.name = NULL},
};

extern const struct alc_dev_class pc_reset_class;
const struct alc_dev_class pc_reset_class = {
	.name = "pc-reset",
	.summary = "reset control register",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.platform = true,
	.reset = reset_reset,
	.read = reset_read,
	.write = reset_write,
	.loaded = reset_loaded,
};
