/* SPDX-License-Identifier: BSD-2-Clause */
#include "bus/pc.h"
#include "device/device.h"

/*
 * The port to which a guest writes the exit status of the command that it ran, before it powers
 * off. Reads return the last one, and say that the guest's console is ready for input.
 */
struct state {
	u8 status;
};

static const struct alc_field fields[] = {FIELD(struct state, status), FIELD_END};

static u64 status_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	const struct state *s = d->state;

	dev_request(d, ALC_REQUEST_READY, 0);
	return s->status;
}

static void status_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;

	s->status = (u8)val;
	dev_request(d, ALC_REQUEST_STATUS, s->status);
}

static void status_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;

	s->status = 0;
}

static const struct alc_dev_region regions[] = {
	{"status", ALC_REGION_PORT, PC_PORT_STATUS, 1, 1, 1, NULL, 0},
	{.name = NULL},
};

extern const struct alc_dev_class guest_status_class;
const struct alc_dev_class guest_status_class = {
	.name = "guest-status",
	.summary = "port by which a guest tells the exit status of its command",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.platform = true,
	.reset = status_reset,
	.read = status_read,
	.write = status_write,
};
