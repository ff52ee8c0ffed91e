/* SPDX-License-Identifier: BSD-2-Clause */
#include "device/irq/i8259.h"
#include "base/errno.h"

/*
 * Two 8259A interrupt controllers as a PC wires them: the second's output is the first's input
 * 2. Written from Intel's data sheet (231468) and, for the edge/level registers, the PIIX3's.
 *
 * Choices: the mode bit for level triggering in ICW1 is ignored, since PC chipsets replaced it by
 * the ELCR; ICW3 and the buffered modes have nothing to select; vectors are always the 8086's.
 */
enum { MASTER, SLAVE, CHIPS, CASCADE = 2, SPURIOUS = 7 };
enum { REGION_MASTER, REGION_SLAVE, REGION_ELCR };
enum { ICW1 = 0x10, ICW1_IC4 = 1, ICW1_SINGLE = 2 };
enum { ICW4_AEOI = 2, ICW4_SFNM = 0x10, ICW4_KEPT = 0x1f };
enum { OCW3 = 8, OCW3_RIS = 1, OCW3_RR = 2, OCW3_POLL = 4, OCW3_SMM = 0x20, OCW3_ESMM = 0x40 };

/* What the next write to the odd port is. */
enum init_step { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4, INIT_NEVER };

struct chip {
	u8 irr, isr, imr;
	u8 line;   /* inputs as they are now */
	u8 elcr;   /* level-triggered inputs */
	u8 lowest; /* input of lowest priority; the one above it, modulo 8, is highest */
	u8 vector; /* ICW2: base vector */
	u8 icw1, icw4;
	u8 init; /* enum init_step */
	u8 read_isr, poll, special_mask, rotate_aeoi;
};

struct state {
	struct chip chip[CHIPS];
	u8 intr; /* the output */
};

#define CHIP_FIELDS(n)                                                                    \
	FIELD(struct state, chip[n].irr), FIELD(struct state, chip[n].isr),               \
		FIELD(struct state, chip[n].imr), FIELD(struct state, chip[n].line),      \
		FIELD(struct state, chip[n].elcr), FIELD(struct state, chip[n].lowest),   \
		FIELD(struct state, chip[n].vector), FIELD(struct state, chip[n].icw1),   \
		FIELD(struct state, chip[n].icw4), FIELD(struct state, chip[n].init),     \
		FIELD(struct state, chip[n].read_isr), FIELD(struct state, chip[n].poll), \
		FIELD(struct state, chip[n].special_mask),                                \
		FIELD(struct state, chip[n].rotate_aeoi)

static const struct alc_field fields[] = {CHIP_FIELDS(0), CHIP_FIELDS(1), FIELD(struct state, intr),
					  FIELD_END};

/* Inputs that the ELCR can make level-triggered: not the timer, keyboard, cascade, RTC, FPU. */
static const u8 elcr_writable[CHIPS] = {0xf8, 0xde};

/* Rank of the highest-priority bit in mask, 0 is highest; 8 if none. */
static unsigned rank(const struct chip *c, u8 mask)
{
	unsigned i = 0;

	while (i < 8 && !(mask >> ((c->lowest + 1 + i) & 7) & 1))
		i++;
	return i;
}

static unsigned input_of_rank(const struct chip *c, unsigned r)
{
	return (c->lowest + 1 + r) & 7;
}

/* What is in service and so blocks requests of its own and lower priority. */
static u8 blocking(const struct chip *c, bool master)
{
	u8 isr = c->isr;

	if (c->special_mask)
		isr &= (u8)~c->imr;
	if (master && (c->icw4 & ICW4_SFNM))
		isr &= (u8)~BIT(CASCADE);
	return isr;
}

/* The input that the chip would deliver now, or -1. */
static int requested(const struct state *s, unsigned n)
{
	const struct chip *c = &s->chip[n];
	unsigned r = rank(c, c->irr & (u8)~c->imr);

	if (c->init != INIT_DONE || r == 8 || r >= rank(c, blocking(c, n == MASTER)))
		return -1;
	return (int)input_of_rank(c, r);
}

/*
 * A level-triggered request follows its input. An edge-triggered one starts with a rising edge,
 * and needs the input to stay high until it is acknowledged ("Interrupt sequence", figure 9).
 */
static void set_input(struct chip *c, unsigned input, bool level)
{
	u8 bit = (u8)BIT(input);

	if (!level) {
		c->line &= (u8)~bit;
		c->irr &= (u8)~bit;
		return;
	}
	if ((c->elcr & bit) || !(c->line & bit))
		c->irr |= bit;
	c->line |= bit;
}

static void update(struct alc_dev *d)
{
	struct state *s = d->state;
	u8 intr;

	set_input(&s->chip[MASTER], CASCADE, requested(s, SLAVE) >= 0);
	intr = requested(s, MASTER) >= 0;
	if (intr == s->intr)
		return;
	s->intr = intr;
	dev_irq(d, 0, intr);
}

static void input_set(void *ctx, unsigned line, bool level)
{
	struct alc_dev *d = ctx;
	struct state *s = d->state;

	if (line == CASCADE || line >= 16)
		return;
	dev_lock(d);
	set_input(&s->chip[line / 8], line % 8, level);
	update(d);
	dev_unlock(d);
}

struct alc_irq i8259_input(struct alc_dev *d, unsigned line)
{
	return (struct alc_irq){.set = input_set, .ctx = d, .line = line};
}

/* Takes the highest request of one chip into service. */
static unsigned take(struct state *s, unsigned n)
{
	struct chip *c = &s->chip[n];
	int input = requested(s, n);
	u8 bit;

	if (input < 0)
		return SPURIOUS;
	bit = (u8)BIT(input);
	if (!(c->elcr & bit))
		c->irr &= (u8)~bit;
	if (!(c->icw4 & ICW4_AEOI))
		c->isr |= bit;
	else if (c->rotate_aeoi)
		c->lowest = (u8)input;
	/* The cascade output drops with the acknowledgement, so that a next request is an edge. */
	if (n == SLAVE)
		set_input(&s->chip[MASTER], CASCADE, false);
	return (unsigned)input;
}

int i8259_ack(struct alc_dev *d)
{
	struct state *s = d->state;
	unsigned n = MASTER, input;
	int vector = -1;

	dev_lock(d);
	if (s->chip[MASTER].init == INIT_DONE) {
		input = take(s, MASTER);
		if (input == CASCADE) {
			n = SLAVE;
			input = take(s, SLAVE);
		}
		vector = (int)(s->chip[n].vector | input);
		update(d);
	}
	dev_unlock(d);
	return vector;
}

/* ---- registers ---- */

static void write_icw1(struct chip *c, u8 val)
{
	c->icw1 = val;
	c->init = INIT_ICW2;
	c->irr = c->line & c->elcr;
	c->isr = c->imr = 0;
	c->lowest = 7;
	c->read_isr = c->poll = c->special_mask = c->rotate_aeoi = 0;
	if (!(val & ICW1_IC4))
		c->icw4 = 0;
}

/* Non-specific: the highest in service; in special mask mode a masked one does not count. */
static int eoi_target(const struct chip *c)
{
	unsigned r = rank(c, c->special_mask ? c->isr & (u8)~c->imr : c->isr);

	return r == 8 ? -1 : (int)input_of_rank(c, r);
}

/* OCW2: bits 7-5 are rotate, specific, end of interrupt; all eight combinations mean something. */
static void write_ocw2(struct chip *c, u8 val)
{
	bool rotate = val & 0x80, specific = val & 0x40, eoi = val & 0x20;
	int input = specific ? val & 7 : eoi_target(c);

	if (!eoi && !specific) {
		c->rotate_aeoi = rotate;
		return;
	}
	if (eoi && input >= 0)
		c->isr &= (u8)~BIT(input);
	if (rotate && input >= 0)
		c->lowest = (u8)input;
}

static void write_ocw3(struct chip *c, u8 val)
{
	if (val & OCW3_ESMM)
		c->special_mask = !!(val & OCW3_SMM);
	if (val & OCW3_POLL)
		c->poll = 1;
	else if (val & OCW3_RR)
		c->read_isr = val & OCW3_RIS;
}

static void write_odd(struct chip *c, u8 val)
{
	switch ((enum init_step)c->init) {
	case INIT_ICW2:
		c->vector = val & 0xf8;
		if (!(c->icw1 & ICW1_SINGLE))
			c->init = INIT_ICW3;
		else
			c->init = c->icw1 & ICW1_IC4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW3:
		c->init = c->icw1 & ICW1_IC4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW4:
		c->icw4 = val & ICW4_KEPT;
		c->init = INIT_DONE;
		break;
	case INIT_DONE:
	case INIT_NEVER:
		c->imr = val;
		break;
	}
}

static void write_even(struct chip *c, u8 val)
{
	if (val & ICW1)
		write_icw1(c, val);
	else if (val & OCW3)
		write_ocw3(c, val);
	else
		write_ocw2(c, val);
}

/* Inputs that become level-triggered request by their level, the others by their next edge. */
static void write_elcr(struct chip *c, u8 val)
{
	u8 changed = c->elcr ^ val;

	c->elcr = val;
	c->irr = (u8)((c->irr & ~changed) | (c->line & val & changed));
}

static void pic_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;

	if (region == REGION_ELCR)
		write_elcr(&s->chip[off], (u8)val & elcr_writable[off]);
	else if (off)
		write_odd(&s->chip[region], (u8)val);
	else
		write_even(&s->chip[region], (u8)val);
	update(d);
}

/* The poll command makes the next read an acknowledgement. */
static u8 poll(struct alc_dev *d, unsigned n)
{
	struct state *s = d->state;
	u8 val = 0;

	s->chip[n].poll = 0;
	if (requested(s, n) >= 0)
		val = (u8)(0x80 | take(s, n));
	update(d);
	return val;
}

static u64 pic_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	struct state *s = d->state;
	const struct chip *c = &s->chip[region == REGION_ELCR ? off : region];

	if (region == REGION_ELCR)
		return c->elcr;
	if (c->poll)
		return poll(d, region);
	if (off)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static void pic_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;

	for (unsigned n = 0; n < CHIPS; n++)
		s->chip[n] = (struct chip){.lowest = 7, .init = INIT_NEVER};
	s->intr = 0;
	dev_irq(d, 0, false);
}

static int pic_loaded(struct alc_dev *d, struct alc_err *err)
{
	struct state *s = d->state;

	for (unsigned n = 0; n < CHIPS; n++) {
		const struct chip *c = &s->chip[n];

		if (c->lowest > 7 || c->init > INIT_NEVER || (c->vector & 7) ||
		    (c->elcr & ~elcr_writable[n]) || (c->icw4 & ~ICW4_KEPT) || c->read_isr > 1 ||
		    c->poll > 1 || c->special_mask > 1 || c->rotate_aeoi > 1)
			return alc_fail(err, -EINVAL,
					"device '%s': snapshot has an impossible state of chip %u",
					d->id, n);
	}
	if (s->intr != (requested(s, MASTER) >= 0))
		return alc_fail(err, -EINVAL, "device '%s': snapshot contradicts its own output",
				d->id);
	dev_irq(d, 0, s->intr);
	return 0;
}

static const struct alc_dev_region regions[] = {
	[REGION_MASTER] = {"master", ALC_REGION_PORT, 0x20, 2, 1, 1, NULL, 0},
	[REGION_SLAVE] = {"slave", ALC_REGION_PORT, 0xa0, 2, 1, 1, NULL, 0},
	[REGION_ELCR] = {"elcr", ALC_REGION_PORT, 0x4d0, 2, 1, 1, NULL, 0},
	{.name = NULL},
};
static const char *const irqs[] = {"intr", NULL};

extern const struct alc_dev_class i8259_class;
const struct alc_dev_class i8259_class = {
	.name = "i8259",
	.summary = "pair of 8259A interrupt controllers",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.irqs = irqs,
	.platform = true,
	.reset = pic_reset,
	.read = pic_read,
	.write = pic_write,
	.loaded = pic_loaded,
};
