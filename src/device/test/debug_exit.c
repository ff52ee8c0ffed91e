/* SPDX-License-Identifier: BSD-2-Clause */
#include "alcazar/device.h"
#include "base/errno.h"
#include "device/device.h"

/*
 * isa-debug-exit, as test kernels know it: a write of v ends the machine with status
 * (v << 1) | 1, which is never that of a clean end.
 */
enum { SIZE = 4 };

struct config {
	u64 iobase, iosize;
};

static u64 exit_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	const struct config *c = d->config;

	return off < c->iosize ? 0 : ~0ull;
}

static void exit_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	const struct config *c = d->config;

	if (off < c->iosize)
		dev_request(d, ALC_REQUEST_EXIT, (unsigned)(val << 1 | 1) & 0xff);
}

static void exit_reset(struct alc_dev *d, enum alc_reset kind)
{
}

static int exit_probe(struct alc_dev *d, struct alc_err *err)
{
	const struct config *c = d->config;

	if (c->iosize & (c->iosize - 1))
		return alc_fail(err, -EINVAL, "device '%s': iosize is 1, 2 or 4, not %llu", d->id,
				(unsigned long long)c->iosize);
	return 0;
}

#define OPTIONS(P)                                                                  \
	P(struct config, UINT, iobase, "0xf4", 0, 0x10000 - SIZE, "first I/O port") \
	P(struct config, UINT, iosize, "4", 1, SIZE, "ports that respond: 1, 2 or 4")
static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};

static const struct alc_dev_region regions[] = {
	{"exit", ALC_REGION_PORT, 0xf4, SIZE, 1, 4, "iobase", 0},
	{.name = NULL},
};

extern const struct alc_dev_class debug_exit_class;
const struct alc_dev_class debug_exit_class = {
	.name = "isa-debug-exit",
	.summary = "port by which a test kernel ends the machine with a status",
	.config_size = sizeof(struct config),
	.props = props,
	.options = options,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.probe = exit_probe,
	.reset = exit_reset,
	.read = exit_read,
	.write = exit_write,
};
