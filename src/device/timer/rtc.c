/* SPDX-License-Identifier: BSD-2-Clause */
#include "alcazar/device.h"
#include "base/errno.h"
#include "bus/pc.h"
#include "device/device.h"

/*
 * Real-time clock and CMOS memory (Motorola MC146818A data sheet; the PC's ports, century byte and
 * memory sizes).
 *
 * The time of day is guest calendar time plus an offset that the guest sets; while the guest holds
 * the clock (SET, or the divider in reset) it is the bytes that it writes. Flags of register C are
 * brought up to the present instant whenever somebody looks, whether or not their interrupts are
 * enabled; a host timer exists only for an enabled interrupt whose flag is clear.
 */
#define NS_PER_S 1000000000ull
enum { CMOS_SIZE = 128, RTC_HZ = 32768, S_PER_DAY = 86400 };
enum {
	SECONDS,
	SECONDS_ALARM,
	MINUTES,
	MINUTES_ALARM,
	HOURS,
	HOURS_ALARM,
	WEEKDAY,
	DAY,
	MONTH,
	YEAR
};
enum { REG_A = 10, REG_B, REG_C, REG_D, CENTURY = 0x32 };
enum { A_UIP = 0x80, A_RATE = 0x0f, A_DIVIDER_RESET = 0x60 };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_BINARY = 0x04, B_24H = 0x02 };
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10, C_FLAGS = 0x70 };
enum { D_VALID = 0x80 };
enum { HOUR_PM = 0x80, ALARM_ANY = 0xc0, NEVER = S_PER_DAY };
/* Update in progress: 244 us of warning (t_BUC) and 1984 us of update (t_UC). */
enum { UPDATE_NS = (244 + 1984) * 1000 };

struct config {
	u64 base_kib, ext_kib, high_kib, cpus;
};

struct state {
	u64 offset_s;     /* seconds, modulo 2^64, that the time of day is ahead of the calendar */
	u64 phase_ns;     /* where in the calendar's second ours begins */
	u64 seen_ns;      /* phased calendar time up to which the flags are accounted for */
	u8 weekday_shift; /* of the weekday against the date's, 0-6 */
	u8 index;
	u8 a, b, c;
	u8 cmos[CMOS_SIZE]; /* time bytes only while the clock is held; A to D never */
};

static const struct alc_field fields[] = {
	FIELD(struct state, offset_s),   FIELD(struct state, phase_ns),
	FIELD(struct state, seen_ns),    FIELD(struct state, weekday_shift),
	FIELD(struct state, index),      FIELD(struct state, a),
	FIELD(struct state, b),          FIELD(struct state, c),
	FIELD_ARRAY(struct state, cmos), FIELD_END,
};

/* ---- the calendar ---- */

struct date {
	i64 year;
	unsigned month, day; /* 1-12, 1-31 */
};

/* Days since 1970-01-01 in the Gregorian calendar; years begin in March, so leap days end them. */
static i64 days_of(struct date t)
{
	i64 y = t.year - (t.month <= 2), era = (y >= 0 ? y : y - 399) / 400;
	unsigned yoe = (unsigned)(y - era * 400);
	unsigned doy = (153 * (t.month + (t.month > 2 ? -3u : 9u)) + 2) / 5 + t.day - 1;

	return era * 146097 + (i64)(yoe * 365 + yoe / 4 - yoe / 100 + doy) - 719468;
}

static struct date date_of(i64 days)
{
	i64 z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	struct date t = {.year = (i64)yoe + era * 400,
			 .month = mp < 10 ? mp + 3 : mp - 9,
			 .day = doy - (153 * mp + 2) / 5 + 1};

	t.year += t.month <= 2;
	return t;
}

static i64 floor_div(i64 a, i64 b)
{
	return a / b - (a % b < 0);
}

/* ---- bytes ---- */

static u8 encode(const struct state *s, unsigned v)
{
	return (u8)(s->b & B_BINARY ? v : v / 10 % 10 << 4 | v % 10);
}

static unsigned decode(const struct state *s, u8 v)
{
	return s->b & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static u8 encode_hour(const struct state *s, unsigned h)
{
	if (s->b & B_24H)
		return encode(s, h);
	return (u8)(encode(s, h % 12 ? h % 12 : 12) | (h >= 12 ? HOUR_PM : 0));
}

static unsigned decode_hour(const struct state *s, u8 v)
{
	if (s->b & B_24H)
		return decode(s, v);
	return decode(s, v & (u8)~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

static bool is_held(const struct state *s)
{
	return (s->b & B_SET) || (s->a & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static bool is_time(unsigned i)
{
	return i <= YEAR ? i != SECONDS_ALARM && i != MINUTES_ALARM && i != HOURS_ALARM
			 : i == CENTURY;
}

static u64 now_ns(struct alc_dev *d)
{
	const struct state *s = d->state;

	return clock_wall_ns(d->env.clock) + s->phase_ns;
}

/* Time of day, in seconds since 1970, at a phased instant. */
static i64 seconds_at(const struct state *s, u64 ns)
{
	return (i64)(ns / NS_PER_S + s->offset_s);
}

/* Writes the running time into the bytes. */
static void bytes_from_time(struct state *s, i64 seconds)
{
	i64 days = floor_div(seconds, S_PER_DAY);
	unsigned sod = (unsigned)(seconds - days * S_PER_DAY);
	struct date t = date_of(days);
	i64 weekday = days + 4 + s->weekday_shift; /* 1970 began on a Thursday */

	s->cmos[SECONDS] = encode(s, sod % 60);
	s->cmos[MINUTES] = encode(s, sod / 60 % 60);
	s->cmos[HOURS] = encode_hour(s, sod / 3600);
	s->cmos[WEEKDAY] = (u8)(weekday - floor_div(weekday, 7) * 7 + 1);
	s->cmos[DAY] = encode(s, t.day);
	s->cmos[MONTH] = encode(s, t.month);
	s->cmos[YEAR] = encode(s, (unsigned)(t.year - floor_div(t.year, 100) * 100));
	s->cmos[CENTURY] = encode(s, (unsigned)(floor_div(t.year, 100) % 100));
}

static unsigned clamp(unsigned v, unsigned lo, unsigned hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* The time that the bytes say, as near as they say one; notes the weekday. */
static i64 time_from_bytes(struct state *s)
{
	const u8 *m = s->cmos;
	struct date t = {
		.year = (i64)decode(s, m[CENTURY]) * 100 + decode(s, m[YEAR]),
		.month = clamp(decode(s, m[MONTH]), 1, 12),
		.day = clamp(decode(s, m[DAY]), 1, 31),
	};
	i64 days = days_of(t), weekday = days + 4;

	weekday -= floor_div(weekday, 7) * 7;
	s->weekday_shift = (u8)((clamp(m[WEEKDAY], 1, 7) - 1 + 7 - (unsigned)weekday) % 7);
	return days * S_PER_DAY + clamp(decode_hour(s, m[HOURS]), 0, 23) * 3600 +
	       clamp(decode(s, m[MINUTES]), 0, 59) * 60 + clamp(decode(s, m[SECONDS]), 0, 59);
}

/* The bytes of a running clock are computed; what is stored means nothing. */
static void clear_time_bytes(struct state *s)
{
	for (unsigned i = 0; i < CMOS_SIZE; i++)
		if (is_time(i))
			s->cmos[i] = 0;
}

/* From now on it is the time that the bytes say. */
static void start_from_bytes(struct alc_dev *d)
{
	struct state *s = d->state;

	s->offset_s = (u64)time_from_bytes(s) - now_ns(d) / NS_PER_S;
	clear_time_bytes(s);
}

/* ---- flags and the interrupt ---- */

/* Periodic rate: 2^(rate-1) ticks of 32768 Hz, except that 1 and 2 are as 8 and 9. */
static unsigned period_ticks(const struct state *s)
{
	unsigned rate = s->a & A_RATE;

	if (!rate || (s->a & A_DIVIDER_RESET) == A_DIVIDER_RESET)
		return 0;
	return 1u << ((rate <= 2 ? rate + 7 : rate) - 1);
}

static u64 periods_at(u64 ns, unsigned ticks)
{
	return mul_div(ns, RTC_HZ, NS_PER_S) / ticks;
}

static bool alarm_field(const struct state *s, unsigned i, unsigned v, bool hour)
{
	u8 byte = s->cmos[i];

	if ((byte & ALARM_ANY) == ALARM_ANY)
		return true;
	return (hour ? decode_hour(s, byte) : decode(s, byte)) == v;
}

/* The first second of the day at or after `from` at which the alarm goes off, or NEVER. */
static unsigned alarm_in_day(const struct state *s, unsigned from)
{
	bool any_second = (s->cmos[SECONDS_ALARM] & ALARM_ANY) == ALARM_ANY;
	unsigned t = from;

	if (!any_second && decode(s, s->cmos[SECONDS_ALARM]) > 59)
		return NEVER;
	while (t < S_PER_DAY) {
		if (!alarm_field(s, HOURS_ALARM, t / 3600, true))
			t += 3600 - t % 3600;
		else if (!alarm_field(s, MINUTES_ALARM, t / 60 % 60, false))
			t += 60 - t % 60;
		else if (!alarm_field(s, SECONDS_ALARM, t % 60, false))
			t++;
		else
			return t;
	}
	return NEVER;
}

/* Seconds from time of day `after` to the next alarm strictly after it, 0 if it never comes. */
static u64 alarm_distance(const struct state *s, i64 after)
{
	i64 days = floor_div(after, S_PER_DAY);
	unsigned sod = (unsigned)(after - days * S_PER_DAY), at = alarm_in_day(s, sod + 1);

	if (at == NEVER) {
		at = alarm_in_day(s, 0);
		return at == NEVER ? 0 : at + S_PER_DAY - sod;
	}
	return at - sod;
}

static void account_flags(struct state *s, u64 now)
{
	unsigned ticks = period_ticks(s);
	u64 passed = now / NS_PER_S - s->seen_ns / NS_PER_S, alarm;

	if (ticks && periods_at(now, ticks) != periods_at(s->seen_ns, ticks))
		s->c |= C_PF;
	if (is_held(s) || !passed)
		return;
	s->c |= C_UF;
	alarm = alarm_distance(s, seconds_at(s, s->seen_ns));
	if (alarm && alarm <= passed)
		s->c |= C_AF;
}

/* The phased instant of the next enabled interrupt whose flag is clear, or 0. */
static u64 next_event(const struct state *s, u64 now)
{
	u8 wanted = s->b & (u8)~s->c;
	u64 second = now / NS_PER_S, at = UINT64_MAX, alarm;
	unsigned ticks = period_ticks(s);

	if ((wanted & B_PIE) && ticks) {
		u64 tick = (periods_at(now, ticks) + 1) * ticks;

		at = mul_div(tick, NS_PER_S, RTC_HZ) + 1;
	}
	if ((wanted & B_UIE) && !is_held(s))
		at = min_u64(at, (second + 1) * NS_PER_S);
	if ((wanted & B_AIE) && !is_held(s)) {
		alarm = alarm_distance(s, seconds_at(s, now));
		if (alarm)
			at = min_u64(at, (second + alarm) * NS_PER_S);
	}
	return at == UINT64_MAX ? 0 : at;
}

/* Tells the line what the flags say, and arms the timer for the next one. */
static void update(struct alc_dev *d)
{
	struct state *s = d->state;
	u64 now = now_ns(d), next = next_event(s, now);

	s->c = (u8)((s->c & C_FLAGS) | (s->b & s->c & C_FLAGS ? C_IRQF : 0));
	dev_irq(d, 0, s->c & C_IRQF);
	if (next)
		dev_timer_set(d, d->priv, clock_now_ns(d->env.clock) + (next - now));
	else
		clock_timer_cancel(d->env.clock, d->priv);
}

/* Brings flags, line and timer up to the present. A calendar that stepped back has no events. */
static void sync(struct alc_dev *d)
{
	struct state *s = d->state;
	u64 now = now_ns(d);

	if (now > s->seen_ns)
		account_flags(s, now);
	s->seen_ns = now;
	update(d);
}

static void timer_fire(void *arg)
{
	struct alc_dev *d = arg;

	dev_lock(d);
	sync(d);
	dev_unlock(d);
}

/* ---- registers ---- */

/* Out of divider reset the first update comes half a second later. */
static void start_divider(struct alc_dev *d)
{
	struct state *s = d->state;
	u64 wall = clock_wall_ns(d->env.clock);

	s->phase_ns = (NS_PER_S * 3 / 2 - wall % NS_PER_S) % NS_PER_S;
	s->seen_ns = now_ns(d);
}

/*
 * Writes A or B: both can stop and start the clock. A held clock's bytes are as they are; a running
 * one's follow the data mode at once.
 */
static void write_control(struct alc_dev *d, u8 *reg, u8 val)
{
	struct state *s = d->state;
	bool held = is_held(s), divider_reset = (s->a & A_DIVIDER_RESET) == A_DIVIDER_RESET;

	if (!held)
		bytes_from_time(s, seconds_at(s, now_ns(d)));
	*reg = val;
	if (divider_reset && (s->a & A_DIVIDER_RESET) != A_DIVIDER_RESET)
		start_divider(d);
	if (held && !is_held(s))
		start_from_bytes(d);
	else if (!is_held(s))
		clear_time_bytes(s);
}

static void write_time(struct alc_dev *d, unsigned i, u8 val)
{
	struct state *s = d->state;

	if (is_held(s)) {
		s->cmos[i] = val;
		return;
	}
	bytes_from_time(s, seconds_at(s, now_ns(d)));
	s->cmos[i] = val;
	start_from_bytes(d);
}

static void write_data(struct alc_dev *d, u8 val)
{
	struct state *s = d->state;
	unsigned i = s->index;

	if (i == REG_A)
		write_control(d, &s->a, val & (u8)~A_UIP);
	else if (i == REG_B) /* SET also clears UIE */
		write_control(d, &s->b, val & B_SET ? val & (u8)~B_UIE : val);
	else if (is_time(i))
		write_time(d, i, val);
	else if (i != REG_C && i != REG_D)
		s->cmos[i] = val;
}

static u8 read_time(struct alc_dev *d, unsigned i)
{
	struct state *s = d->state, copy = *s;

	if (!is_held(s))
		bytes_from_time(&copy, seconds_at(s, now_ns(d)));
	return copy.cmos[i];
}

static u8 read_a(struct alc_dev *d)
{
	const struct state *s = d->state;
	bool uip = !is_held(s) && now_ns(d) % NS_PER_S >= NS_PER_S - UPDATE_NS;

	return (u8)(s->a | (uip ? A_UIP : 0));
}

static u8 read_c(struct alc_dev *d)
{
	struct state *s = d->state;
	u8 val = s->c;

	s->c = 0;
	update(d);
	return val;
}

static u8 read_data(struct alc_dev *d)
{
	const struct state *s = d->state;

	switch (s->index) {
	case REG_A:
		return read_a(d);
	case REG_B:
		return s->b;
	case REG_C:
		return read_c(d);
	case REG_D:
		return D_VALID;
	default:
		return is_time(s->index) ? read_time(d, s->index) : s->cmos[s->index];
	}
}

/* The index port can't be read back. Its bit 7 masks NMIs, which nothing here sends. */
static u64 rtc_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	sync(d);
	return off ? read_data(d) : 0xff;
}

static void rtc_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;

	sync(d);
	if (off) {
		write_data(d, (u8)val);
		sync(d);
	} else {
		s->index = val & (CMOS_SIZE - 1);
	}
}

/* Two bytes, low one first. */
static void put16(struct state *s, unsigned lo, u64 v)
{
	v = min_u64(v, 0xffff);
	s->cmos[lo] = (u8)v;
	s->cmos[lo + 1] = (u8)(v >> 8);
}

/*
 * What a BIOS leaves, and what firmware for virtual machines looks for: the FPU in the equipment
 * byte, the boot order (first disk, then CD), memory sizes, the number of processors but one.
 */
static void fill_cmos(struct state *s, const struct config *c)
{
	u64 above_16m = c->ext_kib > 15 * 1024 ? (c->ext_kib - 15 * 1024) / 64 : 0;
	u64 high = min_u64(c->high_kib / 64, 0xffffff);

	s->cmos[0x14] = 0x02;
	put16(s, 0x15, c->base_kib);
	put16(s, 0x17, c->ext_kib);
	put16(s, 0x30, c->ext_kib);
	put16(s, 0x34, above_16m);
	s->cmos[0x3d] = 0x32;
	s->cmos[0x5b] = (u8)high;
	s->cmos[0x5c] = (u8)(high >> 8);
	s->cmos[0x5d] = (u8)(high >> 16);
	s->cmos[0x5f] = (u8)(c->cpus - 1);
}

/* The reset line clears flags and interrupt enables; only power-on reaches the battery's side. */
static void rtc_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;

	if (kind == ALC_RESET_COLD) {
		*s = (struct state){.a = 0x26, .b = B_24H};
		s->seen_ns = now_ns(d);
		fill_cmos(s, d->config);
	}
	s->index = 0;
	s->b &= (u8) ~(B_PIE | B_AIE | B_UIE);
	s->c = 0;
	sync(d);
}

/* Times of day within some millennia of the epoch, so that no sum wraps. */
#define SECONDS_MAX ((i64)S_PER_DAY * 366 * 30000)

static int rtc_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct state *s = d->state;
	i64 offset = (i64)s->offset_s;

	if (s->phase_ns >= NS_PER_S || offset > SECONDS_MAX || offset < -SECONDS_MAX ||
	    s->seen_ns > INT64_MAX || s->weekday_shift > 6 || s->index >= CMOS_SIZE ||
	    (s->a & A_UIP) || (s->c & ~(C_FLAGS | C_IRQF)))
		return alc_fail(err, -EINVAL, "device '%s': snapshot has an impossible state",
				d->id);
	sync(d);
	return 0;
}

static int rtc_probe(struct alc_dev *d, struct alc_err *err)
{
	d->priv = host_alloc(d->env.host, sizeof(struct alc_timer));
	if (!d->priv)
		return alc_fail(err, -ENOMEM, "no memory for device '%s'", d->id);
	clock_timer_init(d->priv, timer_fire, d);
	return 0;
}

static void rtc_remove(struct alc_dev *d)
{
	if (d->priv)
		clock_timer_cancel(d->env.clock, d->priv);
	host_free(d->env.host, d->priv, sizeof(struct alc_timer));
}

#define OPTIONS(P)                                                                              \
	P(struct config, UINT, base_kib, "640", 0, 640, "conventional memory, in KiB")          \
	P(struct config, UINT, ext_kib, "0", 0, 0x3fffff, "memory from 1 MiB to 4 GiB, in KiB") \
	P(struct config, UINT, high_kib, "0", 0, 0x3fffffff, "memory above 4 GiB, in KiB")      \
	P(struct config, UINT, cpus, "1", 1, PC_CPUS_MAX, "number of processors")
static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};

static const struct alc_dev_region regions[] = {
	{"cmos", ALC_REGION_PORT, PC_PORT_RTC, 2, 1, 1, NULL, 0},
	{.name = NULL},
};
static const char *const irqs[] = {"irq", NULL};

extern const struct alc_dev_class rtc_class;
const struct alc_dev_class rtc_class = {
	.name = "rtc",
	.summary = "real-time clock and CMOS memory",
	.state_size = sizeof(struct state),
	.config_size = sizeof(struct config),
	.props = props,
	.options = options,
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.irqs = irqs,
	.platform = true,
	.probe = rtc_probe,
	.remove = rtc_remove,
	.reset = rtc_reset,
	.read = rtc_read,
	.write = rtc_write,
	.loaded = rtc_loaded,
};
