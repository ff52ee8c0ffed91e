/* SPDX-License-Identifier: BSD-2-Clause */
#include "alcazar/device.h"
#include "bus/pc.h"
#include "device/device.h"

/*
 * A port for the messages of firmware: what is written goes out, a byte at a time. A read gives
 * 0xe9, by which firmware knows that somebody listens.
 */
enum { PRESENT = 0xe9 };

struct config {
	u64 port;
	const char *chardev; /* for who composes the machine, and opens it */
};

static u64 debugcon_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	return PRESENT;
}

static void debugcon_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	u8 byte = (u8)val;

	char_write(&d->env.chardev, &byte, 1);
}

static void debugcon_reset(struct alc_dev *d, enum alc_reset kind)
{
}

#define OPTIONS(P)                                                   \
	P(struct config, UINT, port, "0x402", 0, 0xffff, "I/O port") \
	P(struct config, STRING, chardev, "stderr", 0, 0,            \
	  "where what is written goes: stderr, none or file:PATH")
static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};

static const struct alc_dev_region regions[] = {
	{"console", ALC_REGION_PORT, PC_PORT_DEBUGCON, 1, 1, 1, "port", 0},
	{.name = NULL},
};

extern const struct alc_dev_class debugcon_class;
const struct alc_dev_class debugcon_class = {
	.name = "debugcon",
	.summary = "port for the messages of firmware",
	.config_size = sizeof(struct config),
	.props = props,
	.options = options,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.backend = ALC_BACKEND_CHAR,
	.reset = debugcon_reset,
	.read = debugcon_read,
	.write = debugcon_write,
};
