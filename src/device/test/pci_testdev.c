/* SPDX-License-Identifier: BSD-2-Clause */
#include "alcazar/device.h"
#include "base/errno.h"
#include "device/device.h"

/*
 * pci-testdev: a PCI function for tests of PCI, drivers and monitors. BAR 0 (memory, 32 bits) has
 * the registers below; BAR 1 (I/O) is a window on the first of them; BAR 2 (memory, 64 bits) is
 * scratch memory; BAR 4 is MSI-X.
 *
 *	0x00 id       reads 0x0d1eca5a
 *	0x04 scratch
 *	0x08 level    bit 0: INTA# as driven
 *	0x0c message  a write sends message number `value`, by MSI-X or MSI
 *	0x10 source   guest-physical address, 64 bits
 *	0x18 target   likewise
 *	0x20 length   bytes, at most 64 KiB
 *	0x24 go       a write copies [source, +length) to target, then sends message number `value`
 *	0x28 status   0: never copied, 1: the last copy succeeded, 2: it failed
 */
enum { BAR_REGISTERS = 0, BAR_PORTS = 1, BAR_MEMORY = 2, BAR_MSIX = 4 };
enum { REGION_REGISTERS, REGION_PORTS, REGION_MEMORY };
enum { REGISTERS_SIZE = 0x1000, PORTS_SIZE = 16, MEMORY_SIZE = 0x4000, LENGTH_MAX = 0x10000 };
enum {
	REG_ID = 0x00,
	REG_SCRATCH = 0x04,
	REG_LEVEL = 0x08,
	REG_MESSAGE = 0x0c,
	REG_SOURCE = 0x10,
	REG_TARGET = 0x18,
	REG_LENGTH = 0x20,
	REG_GO = 0x24,
	REG_STATUS = 0x28,
};
enum { ID_VALUE = 0x0d1eca5a, CHUNK = 256 };
enum { STATUS_NONE, STATUS_DONE, STATUS_FAILED };

struct state {
	u32 scratch, level, length, status;
	u64 source, target;
	u64 memory[MEMORY_SIZE / 8];
};

static const struct alc_field fields[] = {
	FIELD(struct state, scratch),      FIELD(struct state, level),
	FIELD(struct state, length),       FIELD(struct state, status),
	FIELD(struct state, source),       FIELD(struct state, target),
	FIELD_ARRAY(struct state, memory), FIELD_END,
};

static const struct pci_bar_desc bars[] = {
	{BAR_REGISTERS, PCI_BAR_MEM32, REGISTERS_SIZE},
	{BAR_PORTS, PCI_BAR_IO, PORTS_SIZE},
	{BAR_MEMORY, PCI_BAR_MEM64, MEMORY_SIZE},
};

static const struct pci_desc desc = {
	.vendor = 0x1234,
	.device = 0xa1ca,
	.subvendor = 0x1234,
	.subdevice = 0x0001,
	.revision = 1,
	.class_code = 0xff0000,
	.bars = bars,
	.nbars = ARRAY_LEN(bars),
	.intx = true,
	.msi = 4,
	.msix = 8,
	.msix_bar = BAR_MSIX,
};

/* ---- DMA ---- */

static int copy(struct alc_dev *d, u64 source, u64 target, u32 length)
{
	u8 chunk[CHUNK];
	int r = 0;

	for (u32 done = 0; !r && done < length; done += CHUNK) {
		u64 n = min_u64(length - done, CHUNK);

		r = space_copy_in(d->env.space, gpa(source + done), chunk, n);
		if (!r)
			r = space_copy_out(d->env.space, gpa(target + done), chunk, n);
	}
	return r;
}

static void start_copy(struct alc_dev *d, u32 message)
{
	struct state *s = d->state;
	bool ok = s->length <= LENGTH_MAX && pci_bus_master(d->pci) &&
		  copy(d, s->source, s->target, s->length) == 0;

	s->status = ok ? STATUS_DONE : STATUS_FAILED;
	pci_msi(d->pci, message);
}

/* ---- registers ---- */

static u32 register_read(const struct state *s, u64 off)
{
	switch (off) {
	case REG_ID:
		return ID_VALUE;
	case REG_SCRATCH:
		return s->scratch;
	case REG_LEVEL:
		return s->level;
	case REG_SOURCE:
		return (u32)s->source;
	case REG_SOURCE + 4:
		return (u32)(s->source >> 32);
	case REG_TARGET:
		return (u32)s->target;
	case REG_TARGET + 4:
		return (u32)(s->target >> 32);
	case REG_LENGTH:
		return s->length;
	case REG_STATUS:
		return s->status;
	default:
		return 0;
	}
}

static void set_half(u64 *to, unsigned shift, u32 val)
{
	*to = (*to & ~((u64)0xffffffff << shift)) | (u64)val << shift;
}

static void register_write(struct alc_dev *d, u64 off, u32 val)
{
	struct state *s = d->state;

	switch (off) {
	case REG_SCRATCH:
		s->scratch = val;
		break;
	case REG_LEVEL:
		s->level = val & 1;
		pci_intx(d->pci, s->level);
		break;
	case REG_MESSAGE:
		pci_msi(d->pci, val);
		break;
	case REG_SOURCE:
	case REG_SOURCE + 4:
		set_half(&s->source, (unsigned)(off - REG_SOURCE) * 8, val);
		break;
	case REG_TARGET:
	case REG_TARGET + 4:
		set_half(&s->target, (unsigned)(off - REG_TARGET) * 8, val);
		break;
	case REG_LENGTH:
		s->length = val;
		break;
	case REG_GO:
		start_copy(d, val);
		break;
	default:
		break;
	}
}

static u64 test_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	struct state *s = d->state;

	return region == REGION_MEMORY ? ld_size((u8 *)s->memory + off, size)
				       : register_read(s, off);
}

static void test_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;

	if (region == REGION_MEMORY)
		st_size((u8 *)s->memory + off, val, size);
	else
		register_write(d, off, (u32)val);
}

static void test_reset(struct alc_dev *d, enum alc_reset kind)
{
	__builtin_memset(d->state, 0, sizeof(struct state));
	pci_intx(d->pci, false);
}

static int test_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct state *s = d->state;

	if (s->level > 1 || s->status > STATUS_FAILED)
		return alc_fail(err, -EINVAL, "device '%s': snapshot has bits that no register has",
				d->id);
	pci_intx(d->pci, s->level);
	return 0;
}

static const struct alc_dev_region regions[] = {
	[REGION_REGISTERS] = {.name = "registers",
			      .kind = ALC_REGION_BAR,
			      .bar = BAR_REGISTERS,
			      .size = REGISTERS_SIZE,
			      .access_min = 4,
			      .access_max = 4},
	[REGION_PORTS] = {.name = "ports",
			  .kind = ALC_REGION_BAR,
			  .bar = BAR_PORTS,
			  .size = PORTS_SIZE,
			  .access_min = 4,
			  .access_max = 4},
	[REGION_MEMORY] = {.name = "memory",
			   .kind = ALC_REGION_BAR,
			   .bar = BAR_MEMORY,
			   .size = MEMORY_SIZE,
			   .access_min = 1,
			   .access_max = 8},
	{.name = NULL},
};

extern const struct alc_dev_class pci_testdev_class;
const struct alc_dev_class pci_testdev_class = {
	.name = "pci-testdev",
	.summary = "PCI function that tests drive: BARs of each kind, interrupts, DMA",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.pci = &desc,
	.reset = test_reset,
	.read = test_read,
	.write = test_write,
	.loaded = test_loaded,
};
