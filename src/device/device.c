/* SPDX-License-Identifier: BSD-2-Clause */
#include "device/device.h"
#include "base/errno.h"
#include "base/fmt.h"
#include "base/str.h"
#include "device/pci_dev.h"

enum { REGIONS_MAX = 8 };

/* What a region's entry in an address map points to. */
struct hook {
	struct alc_dev *dev;
	unsigned region;
};

/* A device with what only the core needs of it. */
struct instance {
	struct alc_dev dev;
	char *id;
	size_t id_size;
	struct hook hooks[REGIONS_MAX];
	struct pci_dev_options pci_options;
};

/* ---- accesses ---- */

/* The widest aligned access at `off` that a region allows and that `len` bytes call for. */
static unsigned access_size(const struct alc_dev_region *r, u64 off, unsigned len)
{
	unsigned size = r->access_max;

	while (size > r->access_min && (size > len || off % size))
		size /= 2;
	return size;
}

/* An access cut to what lies within the region: 0 if none of it does. */
static unsigned clip(const struct alc_dev_region *r, u64 off, unsigned size)
{
	return off >= r->size ? 0 : (unsigned)min_u64(size, r->size - off);
}

static u64 read_locked(struct alc_dev *d, unsigned region, u64 off, unsigned len)
{
	const struct alc_dev_region *r = &d->cls->regions[region];
	u64 val = 0;

	for (unsigned done = 0; done < len;) {
		unsigned size = access_size(r, off + done, len - done);
		unsigned skip = (off + done) % size;
		unsigned take = (unsigned)min_u64(size - skip, len - done);
		u64 part = d->cls->read(d, region, off + done - skip, size) >> (skip * 8);

		val |= zext(part, take) << (done * 8);
		done += take;
	}
	return val;
}

u64 dev_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	unsigned len = clip(&d->cls->regions[region], off, size);
	u64 val = 0;

	if (len) {
		dev_lock(d);
		val = read_locked(d, region, off, len);
		dev_unlock(d);
	}
	return zext(val | ~mask_low(len * 8), size);
}

static void write_parts(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned len)
{
	const struct alc_dev_region *r = &d->cls->regions[region];

	for (unsigned done = 0; done < len;) {
		unsigned size = access_size(r, off + done, len - done);
		unsigned skip = (off + done) % size;
		unsigned take = (unsigned)min_u64(size - skip, len - done);
		u64 part = zext(val >> (done * 8), take) << (skip * 8);

		d->cls->write(d, region, off + done - skip, part, size);
		done += take;
	}
}

void dev_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	unsigned len = clip(&d->cls->regions[region], off, size);
	bool locked = !(d->cls->doorbells >> region & 1);

	if (!len)
		return;
	if (locked)
		dev_lock(d);
	write_parts(d, region, off, val, len);
	if (locked)
		dev_unlock(d);
}

static u64 hook_read(void *ctx, u64 off, unsigned size)
{
	struct hook *h = ctx;

	return dev_read(h->dev, h->region, off, size);
}

static void hook_write(void *ctx, u64 off, u64 val, unsigned size)
{
	struct hook *h = ctx;

	dev_write(h->dev, h->region, off, val, size);
}

/* ---- options ---- */

static const struct alc_prop *find_prop(const struct alc_dev_class *cls, const char *name)
{
	for (const struct alc_prop *p = cls->props; p && p->name; p++)
		if (str_eq(p->name, name))
			return p;
	return NULL;
}

static int unknown_option(const struct alc_dev_class *cls, const char *key, struct alc_err *err)
{
	const char *nearest = NULL;
	size_t best = SIZE_MAX;

	if (!cls->props || !cls->props->name)
		return alc_fail(err, -EINVAL, "device class '%s' takes no options, and so no '%s'",
				cls->name, key);
	for (const struct alc_prop *p = cls->props; p->name; p++)
		if (str_nearer(key, p->name, &best))
			nearest = p->name;
	if (!nearest)
		return alc_fail(err, -EINVAL,
				"device class '%s' has no option '%s'; its first is '%s'",
				cls->name, key, cls->props->name);
	return alc_fail(err, -EINVAL, "device class '%s' has no option '%s'; did you mean '%s'?",
			cls->name, key, nearest);
}

static int set_uint(const struct alc_dev_class *cls, const struct alc_prop *p, const char *text,
		    u64 *to, struct alc_err *err)
{
	u64 v;

	if (str_parse_u64(text, &v) || v < p->min || v > p->max)
		return alc_fail(
			err, -EINVAL,
			"device class '%s': option '%s' is a number from 0x%llx to 0x%llx, not '%s'",
			cls->name, p->name, (unsigned long long)p->min, (unsigned long long)p->max,
			text);
	*to = v;
	return 0;
}

static int set_bool(const struct alc_dev_class *cls, const struct alc_prop *p, const char *text,
		    bool *to, struct alc_err *err)
{
	bool yes = str_eq(text, "on") || str_eq(text, "true") || str_eq(text, "yes");

	if (!yes && !str_eq(text, "off") && !str_eq(text, "false") && !str_eq(text, "no"))
		return alc_fail(err, -EINVAL,
				"device class '%s': option '%s' is 'on' or 'off', not '%s'",
				cls->name, p->name, text);
	*to = yes;
	return 0;
}

static int set_prop(struct alc_dev *d, const struct alc_prop *p, const char *text,
		    struct alc_err *err)
{
	void *to = (u8 *)d->config + p->offset;

	switch (p->type) {
	case ALC_PROP_UINT:
		return set_uint(d->cls, p, text, to, err);
	case ALC_PROP_BOOL:
		return set_bool(d->cls, p, text, to, err);
	case ALC_PROP_STRING:
		*(const char **)to = text;
		return 0;
	}
	__builtin_unreachable();
}

static int configure(struct instance *in, const struct alc_dev_opt *opts, size_t nopts,
		     struct alc_err *err)
{
	struct alc_dev *d = &in->dev;
	int r;

	for (const struct alc_prop *p = d->cls->props; p && p->name; p++) {
		r = set_prop(d, p, p->initial, err);
		if (r)
			return r;
	}
	for (size_t i = 0; i < nopts; i++) {
		const struct alc_prop *p = find_prop(d->cls, opts[i].key);

		if (!p && d->cls->pci &&
		    pci_dev_option(&in->pci_options, opts[i].key, opts[i].value))
			continue;
		r = p ? set_prop(d, p, opts[i].value, err)
		      : unknown_option(d->cls, opts[i].key, err);
		if (r)
			return r;
	}
	return 0;
}

/* ---- creation and end ---- */

static u64 region_base(const struct alc_dev *d, const struct alc_dev_region *r)
{
	const struct alc_prop *p = r->base_prop ? find_prop(d->cls, r->base_prop) : NULL;

	return p ? *(const u64 *)((const u8 *)d->config + p->offset) : r->base;
}

static struct region_map *region_home(const struct alc_dev *d, const struct alc_dev_region *r)
{
	switch (r->kind) {
	case ALC_REGION_PORT:
		return d->env.ports;
	case ALC_REGION_MEM:
		return d->env.space ? &d->env.space->devices : NULL;
	default: /* in a BAR: the root complex leads there */
		return NULL;
	}
}

static void unplug(struct instance *in, unsigned count)
{
	const struct alc_dev *d = &in->dev;

	while (count--) {
		const struct alc_dev_region *r = &d->cls->regions[count];
		struct region_map *home = region_home(d, r);

		if (home)
			region_remove(home, region_base(d, r));
	}
}

/* All regions or none. */
static int plug(struct instance *in, struct alc_err *err)
{
	const struct alc_dev *d = &in->dev;
	const struct alc_dev_region *regions = d->cls->regions;

	for (unsigned i = 0; regions && regions[i].name; i++) {
		struct region_map *home = region_home(d, &regions[i]);
		struct alc_region entry = {
			.name = d->id,
			.base = region_base(d, &regions[i]),
			.size = regions[i].size,
			.read = hook_read,
			.write = hook_write,
			.ctx = &in->hooks[i],
		};
		int r;

		in->hooks[i] = (struct hook){.dev = &in->dev, .region = i};
		r = home ? region_add(home, &entry, err) : 0;
		if (r) {
			unplug(in, i);
			return r;
		}
	}
	return 0;
}

static void *alloc_some(const struct alc_host *h, size_t size, bool *ok)
{
	void *p = size ? host_alloc(h, size) : NULL;

	*ok = *ok && (p || !size);
	return p;
}

/* The instance and its memory; whatever is there on failure is for instance_free. */
static bool instance_fill(struct instance *in, const char *id)
{
	struct alc_dev *d = &in->dev;
	const struct alc_host *h = d->env.host;
	bool ok = true;

	in->id_size = str_len(id) + 1;
	in->id = alloc_some(h, in->id_size, &ok);
	if (in->id)
		__builtin_memcpy(in->id, id, in->id_size);
	d->id = in->id;
	d->state = alloc_some(h, d->cls->state_size, &ok);
	d->config = alloc_some(h, d->cls->config_size, &ok);
	d->lock = h->mutex_create(h->ctx);
	return ok && d->lock;
}

static void instance_free(struct instance *in)
{
	struct alc_dev *d = &in->dev;
	const struct alc_host *h = d->env.host;

	if (d->lock)
		h->mutex_destroy(h->ctx, d->lock);
	host_free(h, d->config, d->cls->config_size);
	host_free(h, d->state, d->cls->state_size);
	host_free(h, in->id, in->id_size);
	host_free(h, in, sizeof(*in));
}

static int check_backend(const struct alc_dev *d, struct alc_err *err)
{
	static const char *const wants[] = {
		[ALC_BACKEND_BLOCK] = "a disk: give it one by --disk FILE,device=",
		[ALC_BACKEND_NET] = "a network: give it one by --net KIND,device=",
	};
	enum alc_backend b = d->cls->backend;

	if ((b == ALC_BACKEND_BLOCK && !d->env.block) || (b == ALC_BACKEND_NET && !d->env.net))
		return alc_fail(err, -EINVAL, "device '%s' needs %s%s", d->id, wants[b],
				d->cls->name);
	return 0;
}

/* The class's own part, then its PCI function. */
static int probe(struct instance *in, struct alc_err *err)
{
	struct alc_dev *d = &in->dev;
	int r = check_backend(d, err);

	if (r)
		return r;
	if (d->cls->pci)
		d->pci_desc = *d->cls->pci;
	r = d->cls->probe ? d->cls->probe(d, err) : 0;
	if (!r && d->cls->pci)
		r = pci_dev_create(d, &in->pci_options, err);
	return r;
}

static void unprobe(struct alc_dev *d)
{
	if (d->cls->remove)
		d->cls->remove(d);
	pci_dev_destroy(d);
}

/* Configured, probed, reset, and last of all reachable. */
static int bring_up(struct instance *in, const struct alc_dev_opt *opts, size_t nopts,
		    struct alc_err *err)
{
	struct alc_dev *d = &in->dev;
	int r;

	r = configure(in, opts, nopts, err);
	if (r)
		return r;
	r = probe(in, err);
	if (!r) {
		dev_reset(d, ALC_RESET_COLD);
		r = plug(in, err);
	}
	if (r)
		unprobe(d);
	return r;
}

int dev_create(const struct alc_dev_class *cls, const char *id, const struct alc_dev_env *env,
	       const struct alc_dev_opt *opts, size_t nopts, struct alc_dev **out,
	       struct alc_err *err)
{
	struct instance *in = host_alloc(env->host, sizeof(*in));
	int r;

	if (!in)
		return alc_fail(err, -ENOMEM, "no memory for device '%s'", id);
	in->dev.cls = cls;
	in->dev.env = *env;
	if (instance_fill(in, id))
		r = bring_up(in, opts, nopts, err);
	else
		r = alc_fail(err, -ENOMEM, "no memory for device '%s'", id);
	if (r) {
		instance_free(in);
		return r;
	}
	*out = &in->dev;
	return 0;
}

void dev_destroy(struct alc_dev *d)
{
	if (!d)
		return;
	unprobe(d);
	instance_free(container_of(d, struct instance, dev));
}

void dev_reset(struct alc_dev *d, enum alc_reset kind)
{
	if (d->pci)
		pci_function_reset(d->pci);
	dev_lock(d);
	d->cls->reset(d, kind);
	dev_unlock(d);
}

void dev_timer_set(struct alc_dev *d, struct alc_timer *t, u64 deadline_ns)
{
	const struct alc_host *h = d->env.host;
	char text[ALC_ERR_TEXT_MAX];

	if (clock_timer_set(d->env.clock, t, deadline_ns) == 0)
		return;
	fmt_text(text, sizeof(text), "device '%s': no memory for its timer, which won't fire",
		 d->id);
	h->log(h->ctx, ALC_LOG_ERROR, text);
}
