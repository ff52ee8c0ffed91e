/* SPDX-License-Identifier: BSD-2-Clause */
#include "device/platform/acpi_pm.h"
#include "base/errno.h"
#include "bus/pc.h"

/*
 * ACPI fixed hardware (ACPI 6.4, 4.8.3): PM1a event and control blocks and the 32-bit power
 * management timer. The machine is always in ACPI mode: SCI_EN reads as one, and there is no SMI
 * command port. The timer is guest time in other units, so no reset touches it.
 */
#define NS_PER_S 1000000000ull
enum { PM_HZ = 3579545, TIMER_TOP_BIT = 31 };
enum { REGION_EVENT, REGION_CONTROL, REGION_TIMER };
enum { REG_STATUS = 0, REG_ENABLE = 2 };
enum { TIMER_EVENT = 1, GLOBAL_EVENT = 1 << 5, BUTTON_EVENT = 1 << 8 };
/* RTC_EN can be set, as Linux wants it to be, though no alarm comes this way (FIX_RTC). */
enum { RTC_EVENT = 1 << 10 };
enum { EVENTS = TIMER_EVENT | GLOBAL_EVENT | BUTTON_EVENT | RTC_EVENT };
enum { SCI_ENABLED = 1, SLEEP_TYPE_SHIFT = 10, SLEEP_TYPE = 7 << 10, SLEEP_ENABLE = 1 << 13 };
enum { CONTROL_KEPT = 2 | SLEEP_TYPE }; /* BM_RLD, SLP_TYP */

struct state {
	u64 seen; /* timer value, unwrapped, up to which its carries are accounted for */
	u16 status, enable, control;
};

static const struct alc_field fields[] = {
	FIELD(struct state, seen),
	FIELD(struct state, status),
	FIELD(struct state, enable),
	FIELD(struct state, control),
	FIELD_END,
};

static u64 timer_now(struct alc_dev *d)
{
	return mul_div(clock_now_ns(d->env.clock), PM_HZ, NS_PER_S);
}

/* The first nanosecond of a timer value. */
static u64 timer_ns(u64 value)
{
	u64 ns = mul_div(value, NS_PER_S, PM_HZ);

	return mul_div(ns, PM_HZ, NS_PER_S) < value ? ns + 1 : ns;
}

/* TMR_STS is set whenever the timer's top bit changes (4.8.3.1.1). */
static void sync(struct alc_dev *d)
{
	struct state *s = d->state;
	u64 now = timer_now(d);

	if (now >> TIMER_TOP_BIT != s->seen >> TIMER_TOP_BIT)
		s->status |= TIMER_EVENT;
	s->seen = now;
	dev_irq(d, 0, s->status & s->enable);
	if ((s->enable & TIMER_EVENT) && !(s->status & TIMER_EVENT))
		dev_timer_set(d, d->priv, timer_ns(((now >> TIMER_TOP_BIT) + 1) << TIMER_TOP_BIT));
	else
		clock_timer_cancel(d->env.clock, d->priv);
}

static void timer_fire(void *arg)
{
	struct alc_dev *d = arg;

	dev_lock(d);
	sync(d);
	dev_unlock(d);
}

void acpi_pm_power_button(struct alc_dev *d)
{
	struct state *s = d->state;

	dev_lock(d);
	s->status |= BUTTON_EVENT;
	sync(d);
	dev_unlock(d);
}

bool acpi_pm_button_enabled(struct alc_dev *d)
{
	const struct state *s = d->state;
	bool enabled;

	dev_lock(d);
	enabled = s->enable & BUTTON_EVENT;
	dev_unlock(d);
	return enabled;
}

static u16 *register_at(struct state *s, unsigned region, u64 off)
{
	if (region == REGION_CONTROL)
		return off < 2 ? &s->control : NULL;
	return off < REG_ENABLE ? &s->status : &s->enable;
}

static u64 pm_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	struct state *s = d->state;
	const u16 *reg;
	u16 val;

	sync(d);
	if (region == REGION_TIMER)
		return off ? 0 : timer_now(d);
	reg = register_at(s, region, off);
	val = reg ? *reg : 0;
	if (reg == &s->control)
		val |= SCI_ENABLED;
	return val >> (off % 2 * 8);
}

static void write_control(struct alc_dev *d, u16 val)
{
	struct state *s = d->state;
	unsigned type = (val & SLEEP_TYPE) >> SLEEP_TYPE_SHIFT;

	s->control = val & CONTROL_KEPT;
	if ((val & SLEEP_ENABLE) && (type == PC_SLP_TYP_S5 || type == PC_SLP_TYP_S5_FIXED))
		dev_request(d, ALC_REQUEST_POWEROFF, 0);
}

static void pm_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;
	u16 *reg = region == REGION_TIMER ? NULL : register_at(s, region, off);
	u16 mask = (u16)(mask_low(size * 8) << (off % 2 * 8));
	u16 bits = (u16)(val << (off % 2 * 8));

	sync(d);
	if (!reg)
		return;
	if (reg == &s->status)
		s->status &= (u16)~bits; /* write one to clear */
	else if (reg == &s->enable)
		s->enable = (u16)((s->enable & ~mask) | (bits & mask)) & EVENTS;
	else
		write_control(d, (u16)((s->control & ~mask) | (bits & mask)));
	sync(d);
}

static void pm_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;

	*s = (struct state){.seen = timer_now(d)};
	sync(d);
}

static int pm_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct state *s = d->state;

	if ((s->status & ~EVENTS) || (s->enable & ~EVENTS) || (s->control & ~CONTROL_KEPT))
		return alc_fail(err, -EINVAL, "device '%s': snapshot has bits that no register has",
				d->id);
	sync(d);
	return 0;
}

static int pm_probe(struct alc_dev *d, struct alc_err *err)
{
	d->priv = host_alloc(d->env.host, sizeof(struct alc_timer));
	if (!d->priv)
		return alc_fail(err, -ENOMEM, "no memory for device '%s'", d->id);
	clock_timer_init(d->priv, timer_fire, d);
	return 0;
}

static void pm_remove(struct alc_dev *d)
{
	if (d->priv)
		clock_timer_cancel(d->env.clock, d->priv);
	host_free(d->env.host, d->priv, sizeof(struct alc_timer));
}

static const struct alc_dev_region regions[] = {
	[REGION_EVENT] = {"event", ALC_REGION_PORT, PC_PORT_PM + PC_PM1_EVT, 4, 1, 2, NULL, 0},
	[REGION_CONTROL] = {"control", ALC_REGION_PORT, PC_PORT_PM + PC_PM1_CNT, 4, 1, 2, NULL, 0},
	[REGION_TIMER] = {"timer", ALC_REGION_PORT, PC_PORT_PM + PC_PM_TMR, PC_PM_SIZE - PC_PM_TMR,
			  4, 4, NULL, 0},
	{.name = NULL},
};
static const char *const irqs[] = {"sci", NULL};

extern const struct alc_dev_class acpi_pm_class;
const struct alc_dev_class acpi_pm_class = {
	.name = "acpi-pm",
	.summary = "ACPI power management registers and timer",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.irqs = irqs,
	.platform = true,
	.probe = pm_probe,
	.remove = pm_remove,
	.reset = pm_reset,
	.read = pm_read,
	.write = pm_write,
	.loaded = pm_loaded,
};
