/* SPDX-License-Identifier: BSD-2-Clause */
#include "device/platform/fw_cfg.h"
#include "alcazar/device.h"
#include "base/errno.h"
#include "base/str.h"
#include "bus/pc.h"

/*
 * Firmware configuration: named byte strings that the machine leaves for firmware and kernels,
 * read one byte at a time through a selector and a data port. The traditional interface only, as
 * the feature bits say; no DMA. Contents are configuration and never change while the machine
 * runs; the guest's state is the selector and how far it has read.
 */
enum { OFF_SELECTOR, OFF_DATA };
enum { KEY_SIGNATURE = 0, KEY_ID = 1, KEY_CPUS = 5, KEY_CPUS_MAX = 0xf, KEY_DIRECTORY = 0x19 };
enum { KEY_FILE0 = 0x20, KEY_MASK = 0x3fff }; /* bit 14 was for writing, 15 for the architecture */
enum { FEATURE_TRADITIONAL = 1 };
/* Directory: a big-endian count, then entries of size (4), key (2), zero (2) and name. */
enum { DIR_ENTRY = 8 + FW_CFG_NAME_MAX, DIR_SIZE = 4 + FW_CFG_FILES_MAX * DIR_ENTRY };

struct config {
	u64 cpus;
};

struct file {
	u8 *bytes;
	u32 len;
};

struct priv {
	struct file files[FW_CFG_FILES_MAX];
	unsigned nfiles;
	u8 dir[DIR_SIZE];
};

struct state {
	u16 key;
	u32 offset;
};

static const struct alc_field fields[] = {FIELD(struct state, key), FIELD(struct state, offset),
					  FIELD_END};

struct item {
	const u8 *bytes;
	u32 len;
};

/* What a key stands for; `number` is where a small one's bytes go. */
static struct item find_item(const struct alc_dev *d, u16 key, u8 number[4])
{
	const struct config *c = d->config;
	const struct priv *p = d->priv;
	unsigned i = key - KEY_FILE0;

	switch (key) {
	case KEY_SIGNATURE:
		return (struct item){(const u8 *)"QEMU", 4};
	case KEY_ID:
		st32(number, FEATURE_TRADITIONAL);
		return (struct item){number, 4};
	case KEY_CPUS:
	case KEY_CPUS_MAX:
		st16(number, (u16)c->cpus);
		return (struct item){number, 2};
	case KEY_DIRECTORY:
		return (struct item){p->dir, 4 + p->nfiles * DIR_ENTRY};
	default:
		if (key < KEY_FILE0 || i >= p->nfiles)
			return (struct item){NULL, 0};
		return (struct item){p->files[i].bytes, p->files[i].len};
	}
}

static void put_be32(u8 *to, u32 v)
{
	st32(to, __builtin_bswap32(v));
}

static void add_entry(struct priv *p, const char *name, size_t len)
{
	u8 *e = p->dir + 4 + p->nfiles * DIR_ENTRY;

	put_be32(e, (u32)len);
	st16(e + 4, __builtin_bswap16((u16)(KEY_FILE0 + p->nfiles)));
	__builtin_memcpy(e + 8, name, str_len(name));
	p->nfiles++;
	put_be32(p->dir, p->nfiles);
}

static bool name_taken(const struct priv *p, const char *name)
{
	for (unsigned i = 0; i < p->nfiles; i++)
		if (str_eq((const char *)p->dir + 4 + i * DIR_ENTRY + 8, name))
			return true;
	return false;
}

int fw_cfg_add_file(struct alc_dev *d, const char *name, const void *bytes, size_t len,
		    struct alc_err *err)
{
	struct priv *p = d->priv;
	u8 *copy;

	if (!*name || str_len(name) >= FW_CFG_NAME_MAX)
		return alc_fail(err, -EINVAL,
				"device '%s': '%s' is no name for a file of 1 to %u letters", d->id,
				name, FW_CFG_NAME_MAX - 1);
	if (name_taken(p, name))
		return alc_fail(err, -EINVAL, "device '%s': there are two files '%s'", d->id, name);
	if (p->nfiles == FW_CFG_FILES_MAX || len > UINT32_MAX)
		return alc_fail(err, -ENOSPC, "device '%s': no place for file '%s' of %zu bytes",
				d->id, name, len);
	copy = host_alloc(d->env.host, len ? len : 1);
	if (!copy)
		return alc_fail(err, -ENOMEM, "device '%s': no memory for file '%s'", d->id, name);
	__builtin_memcpy(copy, bytes, len);
	p->files[p->nfiles] = (struct file){copy, (u32)len};
	add_entry(p, name, len);
	return 0;
}

/* One byte a read, whatever its width; zeroes beyond the end. */
static u64 fw_cfg_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	struct state *s = d->state;
	u8 number[4];
	struct item item = find_item(d, s->key, number);

	if (off != OFF_DATA || s->offset >= item.len)
		return 0;
	return item.bytes[s->offset++];
}

static void fw_cfg_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;

	if (off != OFF_SELECTOR || size != 2)
		return;
	s->key = val & KEY_MASK;
	s->offset = 0;
}

static void fw_cfg_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;

	*s = (struct state){0};
}

static int fw_cfg_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct state *s = d->state;
	u8 number[4];

	if ((s->key & ~KEY_MASK) || s->offset > find_item(d, s->key, number).len)
		return alc_fail(err, -EINVAL,
				"device '%s': snapshot is beyond the end of item 0x%x", d->id,
				s->key);
	return 0;
}

static int fw_cfg_probe(struct alc_dev *d, struct alc_err *err)
{
	d->priv = host_alloc(d->env.host, sizeof(struct priv));
	if (!d->priv)
		return alc_fail(err, -ENOMEM, "no memory for device '%s'", d->id);
	return 0;
}

static void fw_cfg_remove(struct alc_dev *d)
{
	struct priv *p = d->priv;

	if (!p)
		return;
	for (unsigned i = 0; i < p->nfiles; i++)
		host_free(d->env.host, p->files[i].bytes, p->files[i].len ? p->files[i].len : 1);
	host_free(d->env.host, p, sizeof(*p));
}

#define OPTIONS(P) P(struct config, UINT, cpus, "1", 1, PC_CPUS_MAX, "number of processors")
static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};

static const struct alc_dev_region regions[] = {
	{"registers", ALC_REGION_PORT, PC_PORT_FW_CFG, 2, 1, 2, NULL, 0},
	{.name = NULL},
};

extern const struct alc_dev_class fw_cfg_class;
const struct alc_dev_class fw_cfg_class = {
	.name = "fw-cfg",
	.summary = "files for firmware and kernels",
	.state_size = sizeof(struct state),
	.config_size = sizeof(struct config),
	.props = props,
	.options = options,
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.platform = true,
	.probe = fw_cfg_probe,
	.remove = fw_cfg_remove,
	.reset = fw_cfg_reset,
	.read = fw_cfg_read,
	.write = fw_cfg_write,
	.loaded = fw_cfg_loaded,
};
