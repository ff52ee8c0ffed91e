/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "bus/pc.h"
#include "device/device.h"

/*
 * Programmable interval timer (Intel 8254, data sheet 231164) and port 0x61, which gates and
 * shows its third channel.
 *
 * Nothing counts. A channel remembers the tick of guest time (1193182 Hz) at which its counting
 * element was loaded, and count, output and status are functions of the ticks since then. A host
 * timer exists only to drive channel 0's output. The low pulses of modes 2 and 4 are one tick
 * (838 ns) long, less than any host timer resolves: the line is pulsed low when they end.
 */
enum { CHANNELS = 3, SPEAKER = 2, PIT_HZ = 1193182 };
#define NS_PER_S 1000000000ull
enum { REGION_PIT, REGION_PORT61 };
enum { ACCESS_LATCH, ACCESS_LSB, ACCESS_MSB, ACCESS_BOTH };

/* Port 0x61; DRAM refresh toggles its bit once a refresh request, every 15.085 us. */
enum { P61_GATE = 1, P61_WRITABLE = 0xf, P61_REFRESH = 0x10, P61_OUT = 0x20, REFRESH_NS = 15085 };

struct channel {
	u64 start;   /* tick at which the counting element was loaded */
	u64 frozen;  /* ticks counted, while the gate holds the count */
	u64 seen;    /* tick up to which reloads and output edges are accounted for */
	u32 count;   /* that it was loaded with: 1 to 65536, or what BCD digits say */
	u32 reload;  /* count register: what it is loaded with next */
	u16 latched; /* count */
	u8 mode, bcd, access;
	u8 written;  /* a count was written since the control word */
	u8 counting; /* the counting element was loaded since then */
	u8 pending;  /* reload takes effect at the end of the cycle */
	u8 gate;
	u8 status;       /* latched */
	u8 latch_count;  /* the next read returns latched */
	u8 latch_status; /* the next read returns status */
	u8 read_msb, write_msb;
	u8 lsb; /* first of two bytes written */
};

struct state {
	struct channel ch[CHANNELS];
	u8 port61;
};

struct priv {
	struct alc_timer timer;
	bool line; /* channel 0's output, as last driven: what it was at `seen` */
};

#define CH(n, member) FIELD(struct state, ch[n].member)
#define CH_FIELDS(n)                                                                           \
	CH(n, start), CH(n, frozen), CH(n, seen), CH(n, count), CH(n, reload), CH(n, latched), \
		CH(n, mode), CH(n, bcd), CH(n, access), CH(n, written), CH(n, counting),       \
		CH(n, pending), CH(n, gate), CH(n, status), CH(n, latch_count),                \
		CH(n, latch_status), CH(n, read_msb), CH(n, write_msb), CH(n, lsb)

static const struct alc_field fields[] = {
	CH_FIELDS(0), CH_FIELDS(1), CH_FIELDS(2), FIELD(struct state, port61), FIELD_END,
};

static u64 tick_now(struct alc_dev *d)
{
	return mul_div(clock_now_ns(d->env.clock), PIT_HZ, NS_PER_S);
}

/* The first nanosecond that belongs to a tick. */
static u64 tick_ns(u64 tick)
{
	u64 ns = mul_div(tick, NS_PER_S, PIT_HZ);

	return mul_div(ns, PIT_HZ, NS_PER_S) < tick ? ns + 1 : ns;
}

/* ---- a channel as a function of time ---- */

static bool is_periodic(const struct channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* Modes in which a rising gate starts a cycle, and writing a count does not. */
static bool is_triggered(const struct channel *c)
{
	return c->mode == 1 || c->mode == 5;
}

/* A low gate stops the count, except in the triggered modes. */
static bool is_held(const struct channel *c)
{
	return !c->gate && !is_triggered(c);
}

static u64 elapsed(const struct channel *c, u64 tick)
{
	if (is_held(c))
		return c->frozen;
	return tick > c->start ? tick - c->start : 0;
}

/* Ticks of mode 3's high half; an odd count's extra tick belongs to it. */
static u64 high_half(const struct channel *c)
{
	return (c->count + 1) / 2;
}

static bool output(const struct channel *c, u64 tick)
{
	u64 t = elapsed(c, tick);

	if (!c->counting)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
		return t >= c->count;
	case 1:
		return t >= c->count;
	case 2:
		return !c->gate || t % c->count != c->count - 1;
	case 3:
		return !c->gate || t % c->count < high_half(c);
	default:
		return t != c->count;
	}
}

/* Rising edges of the output from the load to a tick, that tick included. */
static u64 rises(const struct channel *c, u64 tick)
{
	u64 t = elapsed(c, tick);

	if (!c->counting)
		return 0;
	if (is_periodic(c)) /* a count of 1 is illegal there and makes no waves */
		return c->count > 1 ? t / c->count : 0;
	return t >= c->count + (c->mode >= 4 ? 1u : 0u);
}

static u16 to_bcd(u64 v)
{
	return (u16)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

/* What the counting element holds. */
static u16 counter(const struct channel *c, u64 tick)
{
	u64 wrap = c->bcd ? 10000 : 0x10000, t = elapsed(c, tick), v;

	if (!c->counting)
		v = c->reload;
	else if (c->mode == 2)
		v = c->count - t % c->count;
	else if (c->mode == 3)
		v = (c->count & ~1u) - 2 * (t % c->count % high_half(c));
	else
		v = c->count + wrap - t % wrap;
	return c->bcd ? to_bcd(v % wrap) : (u16)v;
}

static u8 status(const struct channel *c, u64 tick)
{
	bool null = !c->counting || c->pending || tick < c->start;

	return (u8)(output(c, tick) << 7 | null << 6 | c->access << 4 | c->mode << 1 | c->bcd);
}

/* The counting element takes the count register's value with the clock's next tick. */
static void load(struct channel *c, u64 tick)
{
	c->count = c->reload;
	c->start = tick + 1;
	c->frozen = 0;
	c->counting = 1;
	c->pending = 0;
}

/* A count that waited for the end of a cycle of modes 2 and 3 is taken there. */
static void apply_pending(struct channel *c, u64 tick)
{
	u64 cycle;

	if (!c->pending || is_held(c))
		return;
	cycle = elapsed(c, c->seen) / c->count + 1;
	if (elapsed(c, tick) < cycle * c->count)
		return;
	c->start += cycle * c->count;
	c->count = c->reload;
	c->pending = 0;
}

/* Brings a channel up to a tick; true if its output rose since the last time. */
static bool advance(struct channel *c, u64 tick)
{
	u64 before = rises(c, c->seen);
	bool rose, was_pending = c->pending;

	apply_pending(c, tick);
	/* Taking a new count at the end of a cycle is itself a rise. */
	rose = (was_pending && !c->pending) || rises(c, tick) > before;
	c->seen = tick;
	return rose;
}

/* ---- channel 0's output ---- */

/* The tick at which the output next has something to tell the line, or 0. */
static u64 next_edge(const struct channel *c, u64 tick)
{
	u64 t = elapsed(c, tick), phase, at;

	if (!c->counting || is_held(c) || (is_periodic(c) && c->count == 1))
		return 0;
	if (is_periodic(c)) {
		phase = t % c->count;
		at = c->mode == 3 && phase < high_half(c) && high_half(c) < c->count ? high_half(c)
										     : c->count;
		return c->start + t - phase + at;
	}
	at = c->count + (c->mode >= 4 ? 1u : 0u);
	return t < at ? c->start + at : 0;
}

static void drive(struct alc_dev *d, bool level)
{
	struct priv *p = d->priv;

	if (p->line == level)
		return;
	p->line = level;
	dev_irq(d, 0, level);
}

/* Arms the timer for what the line is next to be told, as seen from a tick. */
static void arm(struct alc_dev *d, u64 tick)
{
	const struct state *s = d->state;
	struct priv *p = d->priv;
	u64 next = next_edge(&s->ch[0], tick);

	if (next)
		dev_timer_set(d, &p->timer, tick_ns(next));
	else
		clock_timer_cancel(d->env.clock, &p->timer);
}

/* Accounts for all channels up to now, and tells the line. */
static void sync(struct alc_dev *d)
{
	struct state *s = d->state;
	u64 tick = tick_now(d);

	if (advance(&s->ch[0], tick))
		drive(d, false);
	for (unsigned n = 1; n < CHANNELS; n++)
		advance(&s->ch[n], tick);
	drive(d, output(&s->ch[0], tick));
	arm(d, tick);
}

static void timer_fire(void *arg)
{
	struct alc_dev *d = arg;

	dev_lock(d);
	sync(d);
	dev_unlock(d);
}

/* ---- registers ---- */

static u32 decode_count(const struct channel *c, u16 v)
{
	if (!c->bcd)
		return v ? v : 0x10000;
	return v ? (v & 15u) + (v >> 4 & 15u) * 10 + (v >> 8 & 15u) * 100 + (v >> 12) * 1000u
		 : 10000;
}

static void count_written(struct channel *c, u16 val, u64 tick)
{
	c->reload = decode_count(c, val);
	c->written = 1;
	if (is_triggered(c))
		return; /* waits for the gate */
	if (is_periodic(c) && c->counting)
		c->pending = 1;
	else
		load(c, tick);
}

static void write_count(struct channel *c, u8 val, u64 tick)
{
	switch (c->access) {
	case ACCESS_LSB:
		count_written(c, val, tick);
		break;
	case ACCESS_MSB:
		count_written(c, (u16)(val << 8), tick);
		break;
	default:
		c->write_msb = !c->write_msb;
		if (!c->write_msb) {
			count_written(c, (u16)(val << 8 | c->lsb), tick);
			break;
		}
		c->lsb = val;
		if (c->mode == 0) /* the first byte stops the count and lowers the output */
			c->counting = 0;
		break;
	}
}

static void latch_count(struct channel *c, u64 tick)
{
	if (c->latch_count)
		return;
	c->latched = counter(c, tick);
	c->latch_count = 1;
}

static void latch_status(struct channel *c, u64 tick)
{
	if (c->latch_status)
		return;
	c->status = status(c, tick);
	c->latch_status = 1;
}

static void write_control(struct state *s, u8 val, u64 tick)
{
	struct channel *c;

	if (val >> 6 == CHANNELS) { /* read-back command */
		for (unsigned n = 0; n < CHANNELS; n++) {
			if (!(val >> (n + 1) & 1))
				continue;
			if (!(val & 0x20))
				latch_count(&s->ch[n], tick);
			if (!(val & 0x10))
				latch_status(&s->ch[n], tick);
		}
		return;
	}
	c = &s->ch[val >> 6];
	if ((val >> 4 & 3) == ACCESS_LATCH) {
		latch_count(c, tick);
		return;
	}
	*c = (struct channel){
		.access = val >> 4 & 3,
		/* 6 and 7 are other spellings of 2 and 3 */
		.mode = (val >> 1 & 7) > 5 ? (val >> 1 & 3) : (val >> 1 & 7),
		.bcd = val & 1,
		.gate = c->gate,
		.seen = tick,
		.reload = c->reload,
	};
}

static u8 half(u16 v, bool msb)
{
	return (u8)(msb ? v >> 8 : v);
}

static u8 read_count(struct channel *c, u64 tick)
{
	u16 v = c->latch_count ? c->latched : counter(c, tick);
	bool msb = c->access == ACCESS_MSB || (c->access == ACCESS_BOTH && c->read_msb);

	if (c->latch_status) {
		c->latch_status = 0;
		return c->status;
	}
	if (c->access == ACCESS_BOTH)
		c->read_msb = !c->read_msb;
	if (!c->read_msb)
		c->latch_count = 0;
	return half(v, msb);
}

static void set_gate(struct channel *c, bool gate, u64 tick)
{
	if (gate == c->gate)
		return;
	if (!gate) {
		c->frozen = elapsed(c, tick);
		c->gate = 0;
		return;
	}
	c->gate = 1;
	if (is_triggered(c) || is_periodic(c)) {
		if (c->written)
			load(c, tick);
	} else {
		c->start = tick - min_u64(tick, c->frozen);
	}
}

static u8 read_port61(struct alc_dev *d)
{
	const struct state *s = d->state;
	bool refresh = clock_now_ns(d->env.clock) / REFRESH_NS & 1;

	return (u8)(s->port61 | (refresh ? P61_REFRESH : 0) |
		    (output(&s->ch[SPEAKER], tick_now(d)) ? P61_OUT : 0));
}

static u64 pit_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	struct state *s = d->state;

	sync(d);
	if (region == REGION_PORT61)
		return read_port61(d);
	return off < CHANNELS ? read_count(&s->ch[off], tick_now(d)) : 0;
}

static void pit_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;
	u64 tick = tick_now(d);

	sync(d);
	if (region == REGION_PORT61) {
		s->port61 = val & P61_WRITABLE;
		set_gate(&s->ch[SPEAKER], val & P61_GATE, tick);
	} else if (off < CHANNELS) {
		write_count(&s->ch[off], (u8)val, tick);
	} else {
		write_control(s, (u8)val, tick);
	}
	sync(d);
}

static void pit_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;
	struct priv *p = d->priv;

	*s = (struct state){0};
	for (unsigned n = 0; n < CHANNELS; n++)
		s->ch[n] = (struct channel){
			.access = ACCESS_BOTH, .gate = n != SPEAKER, .reload = 0x10000};
	clock_timer_cancel(d->env.clock, &p->timer);
	drive(d, false);
}

/* Ticks up to a century ahead: far from where sums wrap. */
#define TICK_MAX ((u64)PIT_HZ * 86400 * 36525)

static bool channel_valid(const struct channel *c)
{
	return c->start <= TICK_MAX && c->frozen <= TICK_MAX && c->seen <= TICK_MAX &&
	       c->count <= 0x10000 && c->reload && c->reload <= 0x10000 &&
	       (c->count || !c->counting) && c->mode <= 5 && c->bcd <= 1 &&
	       c->access >= ACCESS_LSB && c->access <= ACCESS_BOTH && c->written <= 1 &&
	       c->counting <= 1 && c->pending <= c->counting && c->gate <= 1 &&
	       c->latch_count <= 1 && c->latch_status <= 1 && c->read_msb <= 1 &&
	       c->write_msb <= 1 && (!c->pending || is_periodic(c));
}

static int pit_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct state *s = d->state;

	for (unsigned n = 0; n < CHANNELS; n++)
		if (!channel_valid(&s->ch[n]))
			return alc_fail(
				err, -EINVAL,
				"device '%s': snapshot has an impossible state of channel %u",
				d->id, n);
	if ((s->port61 & ~P61_WRITABLE) || s->ch[SPEAKER].gate != (s->port61 & P61_GATE) ||
	    !s->ch[0].gate || !s->ch[1].gate)
		return alc_fail(err, -EINVAL, "device '%s': snapshot contradicts its own gates",
				d->id);
	drive(d, output(&s->ch[0], s->ch[0].seen));
	arm(d, s->ch[0].seen);
	return 0;
}

static int pit_probe(struct alc_dev *d, struct alc_err *err)
{
	struct priv *p = host_alloc(d->env.host, sizeof(*p));

	if (!p)
		return alc_fail(err, -ENOMEM, "no memory for device '%s'", d->id);
	d->priv = p;
	clock_timer_init(&p->timer, timer_fire, d);
	return 0;
}

static void pit_remove(struct alc_dev *d)
{
	struct priv *p = d->priv;

	if (p)
		clock_timer_cancel(d->env.clock, &p->timer);
	host_free(d->env.host, p, sizeof(*p));
}

static const struct alc_dev_region regions[] = {
	[REGION_PIT] = {"counters", ALC_REGION_PORT, PC_PORT_PIT, 4, 1, 1, NULL, 0},
	[REGION_PORT61] = {"port61", ALC_REGION_PORT, PC_PORT_SYSTEM_B, 1, 1, 1, NULL, 0},
	{.name = NULL},
};
static const char *const irqs[] = {"out0", NULL};

extern const struct alc_dev_class i8254_class;
const struct alc_dev_class i8254_class = {
	.name = "i8254",
	.summary = "programmable interval timer, and port 0x61",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.irqs = irqs,
	.platform = true,
	.probe = pit_probe,
	.remove = pit_remove,
	.reset = pit_reset,
	.read = pit_read,
	.write = pit_write,
	.loaded = pit_loaded,
};
