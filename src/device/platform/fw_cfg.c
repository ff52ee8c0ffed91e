/* SPDX-License-Identifier: BSD-2-Clause */
#include "device/platform/fw_cfg.h"
#include "alcazar/device.h"
#include "base/errno.h"
#include "base/str.h"
#include "bus/pc.h"

/*
 * Firmware configuration: named byte strings and a few numbers that the machine leaves for firmware
 * and kernels. Contents are configuration and never change while the machine runs; the guest's
 * state is the selector, how far it has read, and half of an address.
 *
 * There are two ways to read. The traditional one is a selector and a data port, a byte at a time.
 * The other copies into guest memory: the guest writes the big-endian address of a command (see
 * struct command), high half first, and the write of the low half carries it out before it returns.
 * Nothing here can be written by the guest; a command that asks for it is answered with an error.
 */
enum { REGION_REGISTERS, REGION_DMA };
enum { OFF_SELECTOR, OFF_DATA };
enum { DMA_HIGH = 0, DMA_LOW = 4, DMA_SIZE = 8 };
enum {
	KEY_SIGNATURE = 0,
	KEY_ID = 1,
	KEY_RAM_BYTES = 3,
	KEY_NO_GRAPHICS = 4,
	KEY_CPUS = 5,
	KEY_BOOT_MENU = 0xe,
	KEY_CPUS_MAX = 0xf,
	KEY_DIRECTORY = 0x19,
	KEY_FILE0 = 0x20,
	KEY_ARCH_LOCAL = 0x8000,
	KEY_IRQ0_OVERRIDE = KEY_ARCH_LOCAL + 2,
	KEY_MASK = 0xbfff, /* bit 14 was for writing */
};
enum { FEATURE_TRADITIONAL = 1, FEATURE_DMA = 2 };
/* Directory: a big-endian count, then entries of size (4), key (2), zero (2) and name. */
enum { DIR_ENTRY = 8 + FW_CFG_NAME_MAX, DIR_SIZE = 4 + FW_CFG_FILES_MAX * DIR_ENTRY };
enum { NUMBER_MAX = 8 };

/* Bits of a command's control word; SELECT takes the key from the upper half. */
enum { CTL_ERROR = 1, CTL_READ = 2, CTL_SKIP = 4, CTL_SELECT = 8, CTL_WRITE = 16 };

/* What a read of the address gives, so that guests recognize the interface. */
static const u8 dma_signature[DMA_SIZE] = {'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'};

struct config {
	u64 cpus, ram_bytes;
	bool graphics;
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
	u32 dma_high; /* of the next command's address */
};

static const struct alc_field fields[] = {FIELD(struct state, key), FIELD(struct state, offset),
					  FIELD(struct state, dma_high), FIELD_END};

struct item {
	const u8 *bytes;
	u32 len;
};

static struct item put_number(u8 number[NUMBER_MAX], u64 value, unsigned size)
{
	st_size(number, value, size);
	return (struct item){number, size};
}

/* What a key stands for; `number` is where a small one's bytes go. */
static struct item find_item(const struct alc_dev *d, u16 key, u8 number[NUMBER_MAX])
{
	const struct config *c = d->config;
	const struct priv *p = d->priv;
	unsigned i = key - KEY_FILE0;

	switch (key) {
	case KEY_SIGNATURE:
		return (struct item){(const u8 *)"QEMU", 4};
	case KEY_ID:
		return put_number(number, FEATURE_TRADITIONAL | FEATURE_DMA, 4);
	case KEY_RAM_BYTES:
		return put_number(number, c->ram_bytes, 8);
	case KEY_NO_GRAPHICS:
		return put_number(number, !c->graphics, 2);
	case KEY_CPUS:
	case KEY_CPUS_MAX:
		return put_number(number, c->cpus, 2);
	case KEY_BOOT_MENU:
		return put_number(number, 0, 2);
	case KEY_IRQ0_OVERRIDE:
		return put_number(number, 1, 1);
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

static void select_item(struct state *s, u16 key)
{
	s->key = key & KEY_MASK;
	s->offset = 0;
}

/* ---- commands ---- */

struct command {
	u32 control, len;
	alc_gpa address;
};

enum { COMMAND_SIZE = 16 };

/* The next len bytes of the item, then zeroes, as they come in a read. */
static int copy_item(struct alc_dev *d, alc_gpa to, u32 len)
{
	static const u8 zeroes[ALC_PAGE_SIZE];
	struct state *s = d->state;
	u8 number[NUMBER_MAX];
	struct item item = find_item(d, s->key, number);
	u32 n = s->offset < item.len ? (u32)min_u64(len, item.len - s->offset) : 0;
	int r = n ? space_copy_out(d->env.space, to, item.bytes + s->offset, n) : 0;

	s->offset += r ? 0 : n;
	while (!r && n < len) {
		u32 part = (u32)min_u64(len - n, sizeof(zeroes));

		r = space_copy_out(d->env.space, gpa_add(to, n), zeroes, part);
		n += part;
	}
	return r;
}

static void skip_item(struct alc_dev *d, u32 len)
{
	struct state *s = d->state;
	u8 number[NUMBER_MAX];
	u32 size = find_item(d, s->key, number).len;

	s->offset = s->offset < size ? s->offset + (u32)min_u64(len, size - s->offset) : size;
}

static u32 carry_out(struct alc_dev *d, const struct command *c)
{
	if (c->control & CTL_SELECT)
		select_item(d->state, (u16)(c->control >> 16));
	if (c->control & CTL_READ)
		return copy_item(d, c->address, c->len) ? CTL_ERROR : 0;
	if (c->control & CTL_WRITE)
		return CTL_ERROR;
	if (c->control & CTL_SKIP)
		skip_item(d, c->len);
	return 0;
}

/* A command that is not in memory can't be answered either. */
static void run_command(struct alc_dev *d, alc_gpa at)
{
	u8 raw[COMMAND_SIZE], answer[4];
	struct command c;

	if (!d->env.space || space_copy_in(d->env.space, at, raw, sizeof(raw)))
		return;
	c.control = __builtin_bswap32(ld32(raw));
	c.len = __builtin_bswap32(ld32(raw + 4));
	c.address = gpa(__builtin_bswap64(ld64(raw + 8)));
	st32(answer, __builtin_bswap32(carry_out(d, &c)));
	if (space_copy_out(d->env.space, at, answer, sizeof(answer)))
		return; /* in ROM: nobody will see how it went */
}

static void dma_write(struct alc_dev *d, u64 off, u32 val)
{
	struct state *s = d->state;
	u32 half = __builtin_bswap32(val), high = s->dma_high;

	s->dma_high = off == DMA_HIGH ? half : 0;
	if (off == DMA_LOW)
		run_command(d, gpa((u64)high << 32 | half));
}

/* ---- ports ---- */

/* One byte a read, whatever its width; zeroes beyond the end. */
static u64 data_read(struct alc_dev *d)
{
	struct state *s = d->state;
	u8 number[NUMBER_MAX];
	struct item item = find_item(d, s->key, number);

	return s->offset < item.len ? item.bytes[s->offset++] : 0;
}

static u64 fw_cfg_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	if (region == REGION_DMA)
		return ld_size(dma_signature + off, size);
	return off == OFF_DATA ? data_read(d) : 0;
}

static void fw_cfg_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	if (region == REGION_DMA)
		dma_write(d, off, (u32)val);
	else if (off == OFF_SELECTOR && size == 2)
		select_item(d->state, (u16)val);
}

static void fw_cfg_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;

	*s = (struct state){0};
}

static int fw_cfg_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct state *s = d->state;
	u8 number[NUMBER_MAX];

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

#define OPTIONS(P)                                                                        \
	P(struct config, UINT, cpus, "1", 1, PC_CPUS_MAX, "number of processors")         \
	P(struct config, UINT, ram_bytes, "0", 0, UINT64_MAX, "size of memory, in bytes") \
	P(struct config, BOOL, graphics, "off", 0, 0, "whether there is a screen")
static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};

static const struct alc_dev_region regions[] = {
	[REGION_REGISTERS] = {"registers", ALC_REGION_PORT, PC_PORT_FW_CFG, 2, 1, 2, NULL, 0},
	[REGION_DMA] = {"dma", ALC_REGION_PORT, PC_PORT_FW_CFG + 4, DMA_SIZE, 4, 4, NULL, 0},
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
