/* SPDX-License-Identifier: BSD-2-Clause */
#include "device/irq/ioapic.h"
#include "base/errno.h"
#include "bus/pc.h"

/*
 * I/O APIC (82093AA, version 0x11: no EOI register, as the version says).
 *
 * Inputs are logical: a pin is asserted or not, so the polarity bit of an entry is kept and has
 * no effect. Messages are accepted at once, so the delivery status always reads idle.
 */
enum { PINS = PC_IOAPIC_PINS, VERSION = 0x11 };
enum { REG_SELECT = 0x00, REG_WINDOW = 0x10 };
enum { INDEX_ID, INDEX_VERSION, INDEX_ARBITRATION, INDEX_ENTRY0 = 0x10 };
enum { ID_SHIFT = 24, ID_MASK = 0xf };

/* Redirection table entry */
#define RTE_VECTOR   0xffull
#define RTE_MODE_LO  8 /* three bits */
#define RTE_LOGICAL  BIT(11)
#define RTE_REMOTE   BIT(14)
#define RTE_LEVEL    BIT(15)
#define RTE_MASKED   BIT(16)
#define RTE_DEST_LO  56
#define RTE_WRITABLE (0xff00000000000000ull | 0x1afffull)

enum { MODE_FIXED, MODE_LOWEST };

struct state {
	u64 rte[PINS];
	u32 lines; /* inputs as they are now */
	u8 select, id;
};

static const struct alc_field fields[] = {
	FIELD_ARRAY(struct state, rte),
	FIELD(struct state, lines),
	FIELD(struct state, select),
	FIELD(struct state, id),
	FIELD_END,
};

static unsigned mode(u64 rte)
{
	return (unsigned)field_get(rte, RTE_MODE_LO, 3);
}

/* Only these two modes have the handshake of remote IRR and EOI; the others are edges. */
static bool is_level(u64 rte)
{
	return (rte & RTE_LEVEL) && mode(rte) <= MODE_LOWEST;
}

/* MSI format (SDM vol. 3A 11.11): an entry's fields, in other places. */
static struct alc_msi message(u64 rte)
{
	return (struct alc_msi){
		.address = PC_LAPIC_BASE | field_get(rte, RTE_DEST_LO, 8) << 12 |
			   (rte & RTE_LOGICAL ? BIT(2) : 0),
		.data = (u32)((rte & RTE_VECTOR) | mode(rte) << 8 | BIT(14) |
			      (is_level(rte) ? BIT(15) : 0)),
	};
}

static void send(struct alc_dev *d, u64 rte)
{
	if (d->env.msi.deliver)
		d->env.msi.deliver(d->env.msi.ctx, message(rte));
}

/* Masked ones too: what an entry sent before may still be in service. */
static void route(struct alc_dev *d, unsigned pin)
{
	const struct state *s = d->state;

	if (d->env.msi.route_pin && is_level(s->rte[pin]))
		d->env.msi.route_pin(d->env.msi.ctx, pin, message(s->rte[pin]));
}

void ioapic_announce(struct alc_dev *d)
{
	for (unsigned pin = 0; pin < PINS; pin++)
		route(d, pin);
}

/* A level-triggered pin that is asserted, unmasked and not yet accepted by anyone is sent. */
static void service_level(struct alc_dev *d, unsigned pin)
{
	struct state *s = d->state;
	u64 *rte = &s->rte[pin];

	if (!is_level(*rte) || (*rte & (RTE_MASKED | RTE_REMOTE)) || !(s->lines >> pin & 1))
		return;
	*rte |= RTE_REMOTE;
	send(d, *rte);
}

static void input_set(void *ctx, unsigned pin, bool level)
{
	struct alc_dev *d = ctx;
	struct state *s = d->state;
	bool rose;

	if (pin >= PINS)
		return;
	dev_lock(d);
	rose = level && !(s->lines >> pin & 1);
	s->lines = (u32)((s->lines & ~BIT(pin)) | (u64)level << pin);
	if (is_level(s->rte[pin]))
		service_level(d, pin);
	else if (rose && !(s->rte[pin] & RTE_MASKED)) /* an edge on a masked pin is lost */
		send(d, s->rte[pin]);
	dev_unlock(d);
}

struct alc_irq ioapic_input(struct alc_dev *d, unsigned pin)
{
	return (struct alc_irq){.set = input_set, .ctx = d, .line = pin};
}

void ioapic_eoi(struct alc_dev *d, u8 vector)
{
	struct state *s = d->state;

	dev_lock(d);
	for (unsigned pin = 0; pin < PINS; pin++) {
		if (!(s->rte[pin] & RTE_REMOTE) || (s->rte[pin] & RTE_VECTOR) != vector)
			continue;
		s->rte[pin] &= ~RTE_REMOTE;
		service_level(d, pin);
	}
	dev_unlock(d);
}

/* Switching an entry to edge-triggered forgets an acceptance: the way to end one without EOI. */
static void write_entry(struct alc_dev *d, unsigned pin, unsigned shift, u32 val)
{
	struct state *s = d->state;
	u64 half = (u64)0xffffffff << shift;
	u64 rte = (s->rte[pin] & ~half) | ((u64)val << shift & half);

	rte = (rte & RTE_WRITABLE) | (s->rte[pin] & RTE_REMOTE);
	if (!is_level(rte))
		rte &= ~RTE_REMOTE;
	s->rte[pin] = rte;
	route(d, pin);
	service_level(d, pin);
}

static void write_window(struct alc_dev *d, u32 val)
{
	struct state *s = d->state;
	unsigned i = s->select - INDEX_ENTRY0;

	if (s->select == INDEX_ID)
		s->id = val >> ID_SHIFT & ID_MASK;
	else if (s->select >= INDEX_ENTRY0 && i < 2 * PINS)
		write_entry(d, i / 2, i % 2 * 32, val);
}

static u32 read_window(const struct state *s)
{
	unsigned i = s->select - INDEX_ENTRY0;

	if (s->select == INDEX_ID || s->select == INDEX_ARBITRATION)
		return (u32)s->id << ID_SHIFT;
	if (s->select == INDEX_VERSION)
		return (PINS - 1) << 16 | VERSION;
	if (s->select >= INDEX_ENTRY0 && i < 2 * PINS)
		return (u32)(s->rte[i / 2] >> i % 2 * 32);
	return 0;
}

static u64 ioapic_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	const struct state *s = d->state;

	if (off == REG_SELECT)
		return s->select;
	return off == REG_WINDOW ? read_window(s) : 0;
}

static void ioapic_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;

	if (off == REG_SELECT)
		s->select = (u8)val;
	else if (off == REG_WINDOW)
		write_window(d, (u32)val);
}

static void ioapic_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;

	*s = (struct state){0};
	for (unsigned pin = 0; pin < PINS; pin++)
		s->rte[pin] = RTE_MASKED;
}

static int ioapic_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct state *s = d->state;

	for (unsigned pin = 0; pin < PINS; pin++) {
		u64 rte = s->rte[pin];

		if ((rte & ~(RTE_WRITABLE | RTE_REMOTE)) || ((rte & RTE_REMOTE) && !is_level(rte)))
			return alc_fail(err, -EINVAL,
					"device '%s': snapshot has an impossible entry for pin %u",
					d->id, pin);
	}
	if (s->id > ID_MASK || (u64)s->lines >> PINS)
		return alc_fail(err, -EINVAL, "device '%s': snapshot has an impossible ID or pin",
				d->id);
	ioapic_announce(d);
	return 0;
}

static const struct alc_dev_region regions[] = {
	{"registers", ALC_REGION_MEM, PC_IOAPIC_BASE, 0x1000, 4, 4, NULL, 0},
	{.name = NULL},
};

extern const struct alc_dev_class ioapic_class;
const struct alc_dev_class ioapic_class = {
	.name = "ioapic",
	.summary = "I/O APIC with 24 pins",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.platform = true,
	.reset = ioapic_reset,
	.read = ioapic_read,
	.write = ioapic_write,
	.loaded = ioapic_loaded,
};
