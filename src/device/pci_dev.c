/* SPDX-License-Identifier: BSD-2-Clause */
#include "device/pci_dev.h"

#include "base/errno.h"
#include "base/str.h"

enum { SLOT_MAX = 31, FUNCTION_MAX = 7 };

bool pci_dev_option(struct pci_dev_options *o, const char *key, const char *value)
{
	if (str_eq(key, "addr"))
		o->addr = value;
	else if (str_eq(key, "bus"))
		o->bus = value;
	else
		return false;
	return true;
}

/* ---- BARs: which of the class's regions an access falls into ---- */

static const struct alc_dev_region *find_region(const struct alc_dev *d, unsigned bar, u64 off,
						unsigned *index)
{
	const struct alc_dev_region *r = d->cls->regions;

	for (*index = 0; r && r->name; r++, ++*index)
		if (r->kind == ALC_REGION_BAR && r->bar == bar && off >= r->base &&
		    off - r->base < r->size)
			return r;
	return NULL;
}

/* What crosses a region's end goes byte by byte, each to its own. */
static u64 bar_read(void *ctx, unsigned bar, u64 off, unsigned size)
{
	unsigned index;
	const struct alc_dev_region *r = find_region(ctx, bar, off, &index);
	u64 val = 0;

	if (r && off - r->base + size <= r->size)
		return dev_read(ctx, index, off - r->base, size);
	if (size == 1)
		return 0; /* a hole in a BAR */
	for (unsigned i = 0; i < size; i++)
		val |= bar_read(ctx, bar, off + i, 1) << (8 * i);
	return val;
}

static void bar_write(void *ctx, unsigned bar, u64 off, u64 val, unsigned size)
{
	unsigned index;
	const struct alc_dev_region *r = find_region(ctx, bar, off, &index);

	if (r && off - r->base + size <= r->size)
		dev_write(ctx, index, off - r->base, val, size);
	else
		for (unsigned i = 0; size > 1 && i < size; i++)
			bar_write(ctx, bar, off + i, val >> (8 * i) & 0xff, 1);
}

static void function_reset(void *ctx)
{
	struct alc_dev *d = ctx;

	dev_lock(d);
	d->cls->reset(d, ALC_RESET_WARM);
	dev_unlock(d);
}

static void config_written(void *ctx, unsigned off, unsigned len)
{
	struct alc_dev *d = ctx;

	if (!d->cls->config_written)
		return;
	dev_lock(d);
	d->cls->config_written(d, off, len);
	dev_unlock(d);
}

static void config_reading(void *ctx, unsigned off, unsigned len)
{
	struct alc_dev *d = ctx;

	if (!d->cls->config_reading)
		return;
	dev_lock(d);
	d->cls->config_reading(d, off, len);
	dev_unlock(d);
}

static void bar_mapped(void *ctx, unsigned bar, u64 base)
{
	struct alc_dev *d = ctx;

	if (d->cls->bar_mapped)
		d->cls->bar_mapped(d, bar, base);
}

static const struct pci_ops ops = {
	.bar_read = bar_read,
	.bar_write = bar_write,
	.reset = function_reset,
	.config_written = config_written,
	.config_reading = config_reading,
	.bar_mapped = bar_mapped,
};

/* ---- creation ---- */

static int parse_addr(const struct alc_dev *d, const char *text, int *slot, struct alc_err *err)
{
	u64 number, function = 0;
	const char *p = text;
	bool good = str_take_hex(&p, 2, &number) && number <= SLOT_MAX;

	if (good && *p == '.') {
		p++;
		good = str_take_hex(&p, 1, &function) && function <= FUNCTION_MAX;
	}
	if (!good || *p)
		return alc_fail(err, -EINVAL,
				"device '%s': addr is a PCI slot as 5 or 1f.2, not '%s'", d->id,
				text);
	*slot = (int)(number << 3 | function);
	return 0;
}

int pci_dev_create(struct alc_dev *d, const struct pci_dev_options *o, struct alc_err *err)
{
	struct pci_function *parent = NULL;
	int slot = PCI_SLOT_AUTO, rc;

	if (!d->env.pci)
		return alc_fail(err, -ENODEV, "device '%s' needs a machine with PCI", d->id);
	if (o->bus) {
		parent = pci_function_named(d->env.pci, o->bus);
		if (!parent)
			return alc_fail(
				err, -EINVAL,
				"device '%s': there is no PCI bus '%s' (name a root port that comes before it)",
				d->id, o->bus);
	}
	rc = o->addr ? parse_addr(d, o->addr, &slot, err) : 0;
	if (!rc)
		rc = pci_function_create(d->env.pci, parent, slot, &d->pci_desc, &ops, d, d->id,
					 &d->pci, err);
	return rc;
}

void pci_dev_destroy(struct alc_dev *d)
{
	pci_function_destroy(d->pci);
	d->pci = NULL;
}
