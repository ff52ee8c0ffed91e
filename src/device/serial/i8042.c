/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "bus/pc.h"
#include "device/device.h"

/*
 * Keyboard controller (IBM PS/2 technical reference, "Keyboard and auxiliary device controller")
 * with a keyboard on which nobody types, so that drivers find what they look for. There is no
 * auxiliary port: its tests report a fault and what is sent to it is refused.
 *
 * The A20 gate's bit is kept and has no effect: address line 20 always works.
 */
enum { REGION_DATA, REGION_COMMAND };
enum { RAM_SIZE = 32, QUEUE_SIZE = 16 };
enum { ST_FULL = 1, ST_SYSTEM = 4, ST_COMMAND = 8, ST_UNLOCKED = 16 };
/* Command byte, the first of the controller's RAM */
enum {
	CB_IRQ1 = 1,
	CB_SYSTEM = 4,
	CB_DISABLED = 0x10,
	CB_AUX_DISABLED = 0x20,
	CB_TRANSLATE = 0x40
};
enum { OUT_RUN = 1, OUT_A20 = 2, OUT_FULL = 0x10, OUT_RESET_STATE = 0xcf };

/* Commands; those that take a byte wait for it in `awaiting`. */
enum {
	CMD_READ_RAM = 0x20,
	CMD_WRITE_RAM = 0x60,
	CMD_AUX_DISABLE = 0xa7,
	CMD_AUX_ENABLE = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KBD_TEST = 0xab,
	CMD_KBD_DISABLE = 0xad,
	CMD_KBD_ENABLE = 0xae,
	CMD_READ_INPUT = 0xc0,
	CMD_READ_OUTPUT = 0xd0,
	CMD_WRITE_OUTPUT = 0xd1,
	CMD_ECHO_KBD = 0xd2,
	CMD_ECHO_AUX = 0xd3,
	CMD_WRITE_AUX = 0xd4,
	CMD_A20_OFF = 0xdd,
	CMD_A20_ON = 0xdf,
	CMD_PULSE = 0xf0, /* to 0xff: the low bits that are 0 are pulsed low */
};
enum { SELF_TEST_OK = 0x55, AUX_CLOCK_STUCK = 2, INPUT_UNLOCKED = 0x80 };

/* Keyboard commands and answers */
enum {
	KBD_LEDS = 0xed,
	KBD_ECHO = 0xee,
	KBD_SCAN_SET = 0xf0,
	KBD_IDENTIFY = 0xf2,
	KBD_RATE = 0xf3,
	KBD_ENABLE = 0xf4,
	KBD_DISABLE = 0xf5,
	KBD_DEFAULTS = 0xf6,
	KBD_RESEND = 0xfe,
	KBD_RESET = 0xff,
	KBD_ACK = 0xfa,
	KBD_OK = 0xaa,
};
enum { SCAN_SET_DEFAULT = 2 };

struct state {
	u8 ram[RAM_SIZE];
	u8 outport;
	u8 awaiting;                  /* controller command whose byte comes next, 0: none */
	u8 last_command;              /* the last write was to the command port */
	u8 full, data;                /* output buffer */
	u8 queue[QUEUE_SIZE], queued; /* what the keyboard has still to send; zeroes after */
	u8 kbd_awaiting;              /* keyboard command whose byte comes next, 0: none */
	u8 kbd_last;                  /* what it sent last, for resend */
	u8 scan_set;
};

static const struct alc_field fields[] = {
	FIELD_ARRAY(struct state, ram),    FIELD(struct state, outport),
	FIELD(struct state, awaiting),     FIELD(struct state, last_command),
	FIELD(struct state, full),         FIELD(struct state, data),
	FIELD_ARRAY(struct state, queue),  FIELD(struct state, queued),
	FIELD(struct state, kbd_awaiting), FIELD(struct state, kbd_last),
	FIELD(struct state, scan_set),     FIELD_END,
};

static void update(struct alc_dev *d)
{
	const struct state *s = d->state;

	dev_irq(d, 0, s->full && (s->ram[0] & CB_IRQ1));
}

/* Set 2 to set 1, for the only bytes that a silent keyboard sends and translation changes. */
static u8 translate(u8 v)
{
	switch (v) {
	case 0x01:
		return 0x43;
	case 0x02:
	case 0x83:
		return 0x41;
	case 0x03:
		return 0x3f;
	default:
		return v;
	}
}

/* The keyboard's next byte goes into an empty output buffer, if its clock is not held. */
static void refill(struct alc_dev *d)
{
	struct state *s = d->state;

	if (!s->full && s->queued && !(s->ram[0] & CB_DISABLED)) {
		s->kbd_last = s->queue[0];
		s->data = s->ram[0] & CB_TRANSLATE ? translate(s->kbd_last) : s->kbd_last;
		s->full = 1;
		__builtin_memmove(s->queue, s->queue + 1, QUEUE_SIZE - 1);
		s->queue[QUEUE_SIZE - 1] = 0;
		s->queued--;
	}
	update(d);
}

/* An answer of the controller itself takes the buffer, whatever was in it. */
static void answer(struct state *s, u8 v)
{
	s->data = v;
	s->full = 1;
}

/* ---- keyboard ---- */

static void kbd_send(struct state *s, u8 v)
{
	if (s->queued < QUEUE_SIZE)
		s->queue[s->queued++] = v;
}

static void kbd_parameter(struct state *s, u8 val)
{
	u8 cmd = s->kbd_awaiting;

	s->kbd_awaiting = 0;
	kbd_send(s, KBD_ACK);
	if (cmd != KBD_SCAN_SET)
		return; /* lights and repeat rate of a keyboard that is not there */
	if (val == 0)
		kbd_send(s, s->scan_set);
	else
		s->scan_set = val <= 3 ? val : SCAN_SET_DEFAULT;
}

static void kbd_command(struct state *s, u8 val)
{
	switch (val) {
	case KBD_ECHO:
		kbd_send(s, KBD_ECHO);
		return;
	case KBD_RESEND:
		kbd_send(s, s->kbd_last);
		return;
	case KBD_LEDS:
	case KBD_SCAN_SET:
	case KBD_RATE:
		kbd_send(s, KBD_ACK);
		s->kbd_awaiting = val;
		return;
	case KBD_IDENTIFY:
		kbd_send(s, KBD_ACK);
		kbd_send(s, 0xab);
		kbd_send(s, 0x83);
		return;
	case KBD_ENABLE:
	case KBD_DISABLE:
		kbd_send(s, KBD_ACK);
		return;
	case KBD_DEFAULTS:
	case KBD_RESET:
		kbd_send(s, KBD_ACK);
		s->scan_set = SCAN_SET_DEFAULT;
		if (val == KBD_RESET)
			kbd_send(s, KBD_OK);
		return;
	default:
		kbd_send(s, KBD_RESEND);
		return;
	}
}

/* A new byte makes the keyboard drop what it still had to say, and its clock runs for it. */
static void kbd_write(struct state *s, u8 val)
{
	s->ram[0] &= (u8)~CB_DISABLED;
	__builtin_memset(s->queue, 0, sizeof(s->queue));
	s->queued = 0;
	if (s->kbd_awaiting && val < KBD_LEDS)
		kbd_parameter(s, val);
	else {
		s->kbd_awaiting = 0;
		kbd_command(s, val);
	}
}

/* ---- controller ---- */

static void write_outport(struct alc_dev *d, u8 val)
{
	struct state *s = d->state;

	s->outport = val;
	if (!(val & OUT_RUN))
		dev_request(d, ALC_REQUEST_RESET, 0);
}

static void parameter(struct alc_dev *d, u8 val)
{
	struct state *s = d->state;
	u8 cmd = s->awaiting;

	s->awaiting = 0;
	switch (cmd) {
	case CMD_WRITE_OUTPUT:
		write_outport(d, val);
		break;
	case CMD_ECHO_KBD:
	case CMD_ECHO_AUX: /* without the status bit that would tell it apart */
		answer(s, val);
		break;
	case CMD_WRITE_AUX:
		answer(s, KBD_RESEND);
		break;
	default:
		s->ram[cmd - CMD_WRITE_RAM] = val;
		s->ram[0] |= CB_AUX_DISABLED;
		break;
	}
}

static void fixed_command(struct alc_dev *d, u8 cmd)
{
	struct state *s = d->state;

	switch (cmd) {
	case CMD_AUX_TEST:
		answer(s, AUX_CLOCK_STUCK);
		break;
	case CMD_SELF_TEST:
		s->ram[0] = CB_SYSTEM | CB_DISABLED | CB_AUX_DISABLED;
		answer(s, SELF_TEST_OK);
		break;
	case CMD_KBD_TEST:
		answer(s, 0);
		break;
	case CMD_KBD_DISABLE:
		s->ram[0] |= CB_DISABLED;
		break;
	case CMD_KBD_ENABLE:
		s->ram[0] &= (u8)~CB_DISABLED;
		break;
	case CMD_READ_INPUT:
		answer(s, INPUT_UNLOCKED);
		break;
	case CMD_READ_OUTPUT:
		answer(s, (u8)((s->outport & ~OUT_FULL) | (s->full ? OUT_FULL : 0)));
		break;
	case CMD_WRITE_OUTPUT:
	case CMD_ECHO_KBD:
	case CMD_ECHO_AUX:
	case CMD_WRITE_AUX:
		s->awaiting = cmd;
		break;
	case CMD_A20_OFF:
		s->outport &= (u8)~OUT_A20;
		break;
	case CMD_A20_ON:
		s->outport |= OUT_A20;
		break;
	default: /* CMD_AUX_DISABLE and CMD_AUX_ENABLE among them: there is none */
		break;
	}
}

static void command(struct alc_dev *d, u8 cmd)
{
	struct state *s = d->state;

	s->awaiting = 0;
	if (cmd >= CMD_READ_RAM && cmd < CMD_READ_RAM + RAM_SIZE)
		answer(s, s->ram[cmd - CMD_READ_RAM]);
	else if (cmd >= CMD_WRITE_RAM && cmd < CMD_WRITE_RAM + RAM_SIZE)
		s->awaiting = cmd;
	else if (cmd < CMD_PULSE)
		fixed_command(d, cmd);
	else if (!(cmd & OUT_RUN))
		dev_request(d, ALC_REQUEST_RESET, 0);
}

static void i8042_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;

	s->last_command = region == REGION_COMMAND;
	if (region == REGION_COMMAND)
		command(d, (u8)val);
	else if (s->awaiting)
		parameter(d, (u8)val);
	else
		kbd_write(s, (u8)val);
	refill(d);
}

/* Emptying the buffer drops the line before the next byte raises it: one edge a byte. */
static u64 i8042_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	struct state *s = d->state;
	u8 val = s->data;

	if (region == REGION_COMMAND)
		return (u64)((s->full ? ST_FULL : 0) | (s->ram[0] & CB_SYSTEM ? ST_SYSTEM : 0) |
			     (s->last_command ? ST_COMMAND : 0) | ST_UNLOCKED);
	s->full = 0;
	update(d);
	refill(d);
	return val;
}

static void i8042_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;

	*s = (struct state){.outport = OUT_RESET_STATE, .scan_set = SCAN_SET_DEFAULT};
	s->ram[0] = CB_SYSTEM | CB_IRQ1 | CB_AUX_DISABLED | CB_TRANSLATE;
	update(d);
}

static bool awaiting_valid(u8 cmd)
{
	return !cmd || (cmd >= CMD_WRITE_RAM && cmd < CMD_WRITE_RAM + RAM_SIZE) ||
	       cmd == CMD_WRITE_OUTPUT || cmd == CMD_ECHO_KBD || cmd == CMD_ECHO_AUX ||
	       cmd == CMD_WRITE_AUX;
}

static int i8042_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct state *s = d->state;
	u8 k = s->kbd_awaiting;

	if (s->queued > QUEUE_SIZE || s->full > 1 || s->last_command > 1 ||
	    !awaiting_valid(s->awaiting) ||
	    (k && k != KBD_LEDS && k != KBD_RATE && k != KBD_SCAN_SET) || s->scan_set < 1 ||
	    s->scan_set > 3 || !(s->ram[0] & CB_AUX_DISABLED))
		return alc_fail(err, -EINVAL, "device '%s': snapshot has an impossible state",
				d->id);
	for (unsigned i = s->queued; i < QUEUE_SIZE; i++)
		if (s->queue[i])
			return alc_fail(err, -EINVAL,
					"device '%s': snapshot has a byte beyond its queue's end",
					d->id);
	update(d);
	return 0;
}

static const struct alc_dev_region regions[] = {
	[REGION_DATA] = {"data", ALC_REGION_PORT, PC_PORT_I8042_DATA, 1, 1, 1, NULL, 0},
	[REGION_COMMAND] = {"command", ALC_REGION_PORT, PC_PORT_I8042_CMD, 1, 1, 1, NULL, 0},
	{.name = NULL},
};
static const char *const irqs[] = {"keyboard", NULL};

extern const struct alc_dev_class i8042_class;
const struct alc_dev_class i8042_class = {
	.name = "i8042",
	.summary = "keyboard controller, and a keyboard on which nobody types",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.regions = regions,
	.irqs = irqs,
	.platform = true,
	.reset = i8042_reset,
	.read = i8042_read,
	.write = i8042_write,
	.loaded = i8042_loaded,
};
