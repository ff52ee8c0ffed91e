/* SPDX-License-Identifier: BSD-2-Clause */
#include "alcazar/device.h"
#include "base/errno.h"
#include "bus/pc.h"
#include "device/device.h"

/*
 * 16550A UART, as a PC has it: MCR's OUT2 gates the interrupt (TI data sheet PC16550D).
 *
 * Transmission takes no time, so the transmitter is always empty and its interrupt follows each
 * byte at once. Reception takes what the back end has, as fast as the guest makes room. The line
 * counts as one with hardware flow control: its peer sends only while DTR and RTS are on, so that
 * nothing typed early is lost when a driver clears the FIFO before it turns them on.
 */
#define NS_PER_S 1000000000ull
enum { FIFO_SIZE = 16, BAUD_BASE = 115200 };
enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };
enum { IER_RX = 1, IER_TX = 2, IER_LINE = 4, IER_MODEM = 8, IER_MASK = 15 };
enum { IIR_NONE = 1, IIR_MODEM = 0, IIR_TX = 2, IIR_RX = 4, IIR_LINE = 6, IIR_TIMEOUT = 12 };
enum { IIR_FIFOS = 0xc0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_KEPT = 0xc9 };
enum { LCR_PARITY = 8, LCR_STOP2 = 4, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16, MCR_MASK = 31 };
enum { LSR_READY = 1, LSR_OVERRUN = 2, LSR_EMPTY = 0x60 };
enum { MSR_DELTAS = 15, MSR_TERI = 4, MSR_CTS = 16, MSR_DSR = 32, MSR_RI = 64, MSR_DCD = 128 };

struct config {
	u64 port;
	bool handshake;
};

struct state {
	u64 rx_ns;        /* when a character last came or was read: the timeout counts from here */
	u8 rx[FIFO_SIZE]; /* oldest first, zeroes after */
	u8 rx_len;
	u8 ier, fcr, lcr, mcr, msr, scr, dll, dlm;
	u8 overrun;
	u8 tx_pending; /* the transmitter's interrupt condition */
	u8 last;       /* what an empty receiver returns: the character read last */
};

static const struct alc_field fields[] = {
	FIELD(struct state, rx_ns),
	FIELD_ARRAY(struct state, rx),
	FIELD(struct state, rx_len),
	FIELD(struct state, ier),
	FIELD(struct state, fcr),
	FIELD(struct state, lcr),
	FIELD(struct state, mcr),
	FIELD(struct state, msr),
	FIELD(struct state, scr),
	FIELD(struct state, dll),
	FIELD(struct state, dlm),
	FIELD(struct state, overrun),
	FIELD(struct state, tx_pending),
	FIELD(struct state, last),
	FIELD_END,
};

struct priv {
	struct alc_timer timeout;
	struct alc_char_front front;
	bool had_room; /* what the back end may believe */
};

/* ---- conditions ---- */

static unsigned capacity(const struct state *s)
{
	return s->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static unsigned trigger(const struct state *s)
{
	static const u8 levels[] = {1, 4, 8, 14};

	return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

/* Four characters' time: start, data, parity and stop bits at the rate of the divisor. */
static u64 timeout_ns(const struct state *s)
{
	unsigned bits = 1 + 5 + (s->lcr & 3) + !!(s->lcr & LCR_PARITY) + 1 + !!(s->lcr & LCR_STOP2);
	u64 divisor = (u64)s->dlm << 8 | s->dll;

	return 4 * bits * (divisor ? divisor : 1) * NS_PER_S / BAUD_BASE;
}

/* Characters below the trigger level that nobody has read for four characters' time. */
static bool may_time_out(const struct state *s)
{
	return (s->fcr & FCR_ENABLE) && s->rx_len && s->rx_len < trigger(s);
}

static bool timed_out(const struct state *s, u64 now_ns)
{
	return may_time_out(s) && now_ns >= s->rx_ns + timeout_ns(s);
}

/* The pending interrupt of highest priority, as the IIR tells it. */
static u8 pending(const struct state *s, u64 now_ns)
{
	if ((s->ier & IER_LINE) && s->overrun)
		return IIR_LINE;
	if ((s->ier & IER_RX) && s->rx_len >= trigger(s))
		return IIR_RX;
	if ((s->ier & IER_RX) && timed_out(s, now_ns))
		return IIR_TIMEOUT;
	if ((s->ier & IER_TX) && s->tx_pending)
		return IIR_TX;
	if ((s->ier & IER_MODEM) && (s->msr & MSR_DELTAS))
		return IIR_MODEM;
	return IIR_NONE;
}

/*
 * A terminal that minds DTR and RTS sends when both are there: then nothing gets lost while a
 * kernel probes the port. OVMF never raises them.
 */
static size_t room(const struct alc_dev *d)
{
	const struct config *c = d->config;
	const struct state *s = d->state;
	u8 needed = c->handshake ? MCR_DTR | MCR_RTS : 0;
	bool open = (s->mcr & (needed | MCR_LOOP)) == needed;

	return open ? capacity(s) - s->rx_len : 0;
}

/*
 * In loopback mode the modem outputs, OUT2 among them, are inactive. The time is looked at once:
 * a timeout must be seen either as come or as to come.
 */
static void update(struct alc_dev *d)
{
	const struct state *s = d->state;
	struct priv *p = d->priv;
	bool gate = (s->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2, had_room = p->had_room;
	u64 now_ns = clock_now_ns(d->env.clock);

	dev_irq(d, 0, gate && pending(s, now_ns) != IIR_NONE);
	if ((s->ier & IER_RX) && may_time_out(s) && !timed_out(s, now_ns))
		dev_timer_set(d, &p->timeout, s->rx_ns + timeout_ns(s));
	else
		clock_timer_cancel(d->env.clock, &p->timeout);
	p->had_room = room(d) != 0;
	if (p->had_room && !had_room)
		char_resume(&d->env.chardev);
}

static void timer_fire(void *arg)
{
	struct alc_dev *d = arg;

	dev_lock(d);
	update(d);
	dev_unlock(d);
}

/* ---- characters ---- */

/* The overrun of a FIFO loses the new character, that of a single register the old one. */
static void receive(struct alc_dev *d, u8 byte)
{
	struct state *s = d->state;

	s->rx_ns = clock_now_ns(d->env.clock);
	if (s->rx_len < capacity(s)) {
		s->rx[s->rx_len++] = byte;
		return;
	}
	s->overrun = 1;
	if (!(s->fcr & FCR_ENABLE))
		s->rx[0] = byte;
}

static void clear_rx(struct state *s)
{
	__builtin_memset(s->rx, 0, sizeof(s->rx));
	s->rx_len = 0;
}

static u8 read_rx(struct alc_dev *d)
{
	struct state *s = d->state;

	if (!s->rx_len)
		return s->last;
	s->last = s->rx[0];
	__builtin_memmove(s->rx, s->rx + 1, FIFO_SIZE - 1);
	s->rx[FIFO_SIZE - 1] = 0;
	s->rx_len--;
	s->rx_ns = clock_now_ns(d->env.clock);
	return s->last;
}

/* The interrupt falls with the write and rises again when the byte is gone, which is now. */
static void transmit(struct alc_dev *d, u8 byte)
{
	struct state *s = d->state;

	s->tx_pending = 0;
	update(d);
	if (s->mcr & MCR_LOOP)
		receive(d, byte);
	else
		char_write(&d->env.chardev, &byte, 1);
	s->tx_pending = 1;
}

static size_t front_room(void *ctx)
{
	struct alc_dev *d = ctx;
	struct priv *p = d->priv;
	size_t n;

	dev_lock(d);
	n = room(d);
	p->had_room = n != 0;
	dev_unlock(d);
	return n;
}

/* More than there is room for is lost: the peer broke the flow control. */
static void front_input(void *ctx, const u8 *bytes, size_t len)
{
	struct alc_dev *d = ctx;

	dev_lock(d);
	len = min_u64(len, room(d));
	for (size_t i = 0; i < len; i++)
		receive(d, bytes[i]);
	update(d);
	dev_unlock(d);
}

/* ---- registers ---- */

/* Modem inputs: a peer that is always ready, or in loopback the own outputs. */
static u8 modem_inputs(const struct state *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u8)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
		    (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

/* Deltas accumulate until read; the ring indicator's is set by its falling edge alone. */
static void write_mcr(struct state *s, u8 val)
{
	u8 before, changed;

	s->mcr = val & MCR_MASK;
	before = s->msr & (u8)~MSR_DELTAS;
	changed = before ^ modem_inputs(s);
	s->msr = (u8)((s->msr & MSR_DELTAS) | modem_inputs(s) |
		      (changed >> 4 & (MSR_DELTAS - MSR_TERI)));
	if (changed & before & MSR_RI)
		s->msr |= MSR_TERI;
}

/* Changing the enable bit clears the FIFOs; without it the other bits are not programmed. */
static void write_fcr(struct state *s, u8 val)
{
	if ((s->fcr ^ val) & FCR_ENABLE || val & FCR_CLEAR_RX)
		clear_rx(s);
	s->fcr = val & FCR_ENABLE ? val & FCR_KEPT : 0;
}

/* Enabling the transmitter's interrupt raises it, the transmitter being empty. */
static void write_ier(struct state *s, u8 val)
{
	if ((val & IER_TX) && !(s->ier & IER_TX))
		s->tx_pending = 1;
	s->ier = val & IER_MASK;
}

static void uart_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct state *s = d->state;
	bool dlab = s->lcr & LCR_DLAB;

	switch (off) {
	case REG_DATA:
		if (dlab)
			s->dll = (u8)val;
		else
			transmit(d, (u8)val);
		break;
	case REG_IER:
		if (dlab)
			s->dlm = (u8)val;
		else
			write_ier(s, (u8)val);
		break;
	case REG_IIR:
		write_fcr(s, (u8)val);
		break;
	case REG_LCR:
		s->lcr = (u8)val;
		break;
	case REG_MCR:
		write_mcr(s, (u8)val);
		break;
	case REG_SCR:
		s->scr = (u8)val;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
	update(d);
}

/* Reading the IIR acknowledges the transmitter's interrupt if that is what it tells. */
static u8 read_iir(struct alc_dev *d)
{
	struct state *s = d->state;
	u8 iir = pending(d->state, clock_now_ns(d->env.clock));

	if (iir == IIR_TX)
		s->tx_pending = 0;
	return iir | (s->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static u8 read_lsr(struct state *s)
{
	u8 lsr = (u8)(LSR_EMPTY | (s->rx_len ? LSR_READY : 0) | (s->overrun ? LSR_OVERRUN : 0));

	s->overrun = 0;
	return lsr;
}

static u8 read_msr(struct state *s)
{
	u8 msr = s->msr;

	s->msr &= (u8)~MSR_DELTAS;
	return msr;
}

static u8 read_reg(struct alc_dev *d, u64 off)
{
	struct state *s = d->state;
	bool dlab = s->lcr & LCR_DLAB;

	switch (off) {
	case REG_DATA:
		return dlab ? s->dll : read_rx(d);
	case REG_IER:
		return dlab ? s->dlm : s->ier;
	case REG_IIR:
		return read_iir(d);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return read_lsr(s);
	case REG_MSR:
		return read_msr(s);
	default:
		return s->scr;
	}
}

static u64 uart_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	u8 val = read_reg(d, off);

	update(d);
	return val;
}

static void uart_reset(struct alc_dev *d, enum alc_reset kind)
{
	struct state *s = d->state;

	*s = (struct state){.dll = BAUD_BASE / 9600};
	s->msr = modem_inputs(s);
	update(d);
}

static int uart_loaded(struct alc_dev *d, struct alc_err *err)
{
	const struct state *s = d->state;

	for (unsigned i = s->rx_len; i < FIFO_SIZE; i++)
		if (s->rx[i])
			return alc_fail(
				err, -EINVAL,
				"device '%s': snapshot has a character beyond its FIFO's end",
				d->id);
	if (s->rx_len > capacity(s) || (s->ier & ~IER_MASK) || (s->fcr & ~FCR_KEPT) ||
	    (s->mcr & ~MCR_MASK) || (s->msr & ~MSR_DELTAS) != modem_inputs(s) || s->overrun > 1 ||
	    s->tx_pending > 1 || s->rx_ns > INT64_MAX)
		return alc_fail(err, -EINVAL, "device '%s': snapshot has an impossible state",
				d->id);
	update(d);
	return 0;
}

static int uart_probe(struct alc_dev *d, struct alc_err *err)
{
	struct priv *p = host_alloc(d->env.host, sizeof(*p));

	if (!p)
		return alc_fail(err, -ENOMEM, "no memory for device '%s'", d->id);
	d->priv = p;
	clock_timer_init(&p->timeout, timer_fire, d);
	p->front = (struct alc_char_front){.room = front_room, .input = front_input, .ctx = d};
	char_attach(&d->env.chardev, &p->front);
	return 0;
}

static void uart_remove(struct alc_dev *d)
{
	struct priv *p = d->priv;

	if (!p)
		return;
	char_attach(&d->env.chardev, NULL);
	clock_timer_cancel(d->env.clock, &p->timeout);
	host_free(d->env.host, p, sizeof(*p));
}

#define OPTIONS(P)                                                         \
	P(struct config, UINT, port, "0x3f8", 0, 0xfff8, "first I/O port") \
	P(struct config, BOOL, handshake, "on", 0, 0, "input waits for DTR and RTS")
static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};

static const struct alc_dev_region regions[] = {
	{"registers", ALC_REGION_PORT, PC_PORT_COM1, 8, 1, 1, "port", 0},
	{.name = NULL},
};
static const char *const irqs[] = {"irq", NULL};

extern const struct alc_dev_class uart16550_class;
const struct alc_dev_class uart16550_class = {
	.name = "uart16550",
	.summary = "16550A serial port",
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
	.probe = uart_probe,
	.remove = uart_remove,
	.reset = uart_reset,
	.read = uart_read,
	.write = uart_write,
	.loaded = uart_loaded,
};
