/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio/console.h"

#include "alcazar/device.h"
#include "base/errno.h"
#include "base/str.h"
#include "virtio/virtio.h"

/*
 * Console (virtio 1.2, 5.3): port 0, and ports with names that programs in the guest and on the
 * host talk through. Drivers without multiport support have port 0 alone.
 *
 * Input waits in a FIFO for buffers; until somebody in the guest has opened the port, it waits at
 * its source, and no reset by a driver that comes later can lose it. What the
 * device has to say on the control queue isn't queued but noted, a bit for each kind of message,
 * and said in order when there is a buffer: so the driver can't make it pile up.
 */
enum { ID_CONSOLE = 3, PCI_CLASS_SERIAL_OTHER = 0x078000 };
enum { F_SIZE = 1, F_MULTIPORT = 2, F_EMERG_WRITE = 4 };
enum { CONFIG_COLS = 0, CONFIG_ROWS = 2, CONFIG_PORTS = 4, CONFIG_EMERG = 8, CONFIG_SIZE = 12 };
enum { QUEUE_RX0, QUEUE_TX0, QUEUE_CONTROL_RX, QUEUE_CONTROL_TX, QUEUE_RX1 };
enum { PORTS_MAX = 8, NAME_MAX = 63, FIFO_SIZE = 2048, PIECES_MAX = 64 };

enum { DEVICE_READY, DEVICE_ADD, DEVICE_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN };
enum { PORT_NAME = 7 };
enum { MESSAGE_ID = 0, MESSAGE_EVENT = 4, MESSAGE_VALUE = 6, MESSAGE_SIZE = 8 };

/* What a port has to tell the driver, in this order. */
static const u16 messages[] = {DEVICE_ADD, CONSOLE_PORT, PORT_NAME, PORT_OPEN};
enum { SAY_ADD = 1, SAY_CONSOLE = 2, SAY_NAME = 4, SAY_OPEN = 8, SAY_ALL = 15 };

struct config {
	struct virtio_options virtio;
	u64 cols, rows;
	const char *ports;
};

struct state {
	struct virtio_regs virtio;
	u8 say[PORTS_MAX];
	u8 guest_open[PORTS_MAX];
	u16 fifo_len[PORTS_MAX];
	u8 fifo[PORTS_MAX * FIFO_SIZE];
};

struct port {
	struct virtio *v;
	unsigned index;
	const char *name; /* name_len bytes; none for port 0 */
	unsigned name_len;
	struct alc_char chardev;
	struct alc_char_front front;
	bool had_room; /* what the back end may believe */
};

struct priv {
	struct port ports[PORTS_MAX];
	unsigned nports;
};

static struct state *state_of(const struct virtio *v)
{
	return v->dev->state;
}

static struct priv *priv_of(const struct virtio *v)
{
	return v->priv;
}

static unsigned rx_queue(unsigned port)
{
	return port ? QUEUE_RX1 + 2 * (port - 1) : QUEUE_RX0;
}

static unsigned port_of_queue(unsigned queue)
{
	return queue < QUEUE_CONTROL_RX ? 0 : 1 + (queue - QUEUE_RX1) / 2;
}

/* ---- control messages ---- */

static bool multiport(const struct virtio *v)
{
	return virtio_has(v, F_MULTIPORT);
}

static u16 message_value(const struct port *p, u16 event)
{
	return event == PORT_OPEN ? p->chardev.ops != NULL : 1;
}

/* Into one buffer, which it fits or is cut to. */
static void say(struct port *p, u16 event, const struct virtq_chain *c)
{
	const struct alc_iov *in = c->iov + c->nout;
	u8 header[MESSAGE_SIZE];
	size_t len;

	st32(header + MESSAGE_ID, p->index);
	st16(header + MESSAGE_EVENT, event);
	st16(header + MESSAGE_VALUE, message_value(p, event));
	len = iov_copy_to(in, c->nin, 0, header, sizeof(header));
	if (event == PORT_NAME)
		len += iov_copy_to(in, c->nin, len, p->name, p->name_len);
	virtio_push(p->v, QUEUE_CONTROL_RX, c, (u32)len);
}

/* Says the port's next message; false if there is none, or no buffer. */
static bool say_next(struct port *p)
{
	u8 *pending = &state_of(p->v)->say[p->index];
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain c = {.iov = iov, .iov_max = PIECES_MAX};

	for (unsigned i = 0; i < ARRAY_LEN(messages); i++) {
		if (!(*pending & BIT(i)))
			continue;
		if (!virtio_pop(p->v, QUEUE_CONTROL_RX, &c))
			return false;
		*pending &= (u8)~BIT(i);
		say(p, messages[i], &c);
		return true;
	}
	return false;
}

static void talk(struct virtio *v)
{
	struct priv *s = priv_of(v);

	if (!multiport(v))
		return;
	for (unsigned i = 0; i < s->nports; i++)
		while (say_next(&s->ports[i]))
			;
}

/* ---- input ---- */

static bool is_open(const struct virtio *v, unsigned port)
{
	return multiport(v) ? state_of(v)->guest_open[port] : !port;
}

static size_t room_of(const struct port *p)
{
	if (!p->v->running || !is_open(p->v, p->index))
		return 0;
	return FIFO_SIZE - state_of(p->v)->fifo_len[p->index];
}

static void resume_if_room(struct port *p)
{
	bool room = room_of(p), had_room = p->had_room;

	p->had_room = room;
	if (room && !had_room)
		char_resume(&p->chardev);
}

static void deliver(struct port *p)
{
	struct state *s = state_of(p->v);
	u8 *fifo = s->fifo + (size_t)p->index * FIFO_SIZE;
	u16 *len = &s->fifo_len[p->index];
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain c = {.iov = iov, .iov_max = PIECES_MAX};

	while (*len && virtio_pop(p->v, rx_queue(p->index), &c)) {
		size_t n = iov_copy_to(iov + c.nout, c.nin, 0, fifo, *len);

		*len = (u16)(*len - n);
		__builtin_memmove(fifo, fifo + n, *len);
		virtio_push(p->v, rx_queue(p->index), &c, (u32)n);
	}
	resume_if_room(p);
}

static size_t front_room(void *ctx)
{
	struct port *p = ctx;
	struct alc_dev *d = p->v->dev;
	size_t room;

	dev_lock(d);
	room = room_of(p);
	p->had_room = room != 0;
	dev_unlock(d);
	return room;
}

/* More than there is room for is lost: the back end broke the flow control. */
static void front_input(void *ctx, const u8 *bytes, size_t len)
{
	struct port *p = ctx;
	struct alc_dev *d = p->v->dev;
	struct state *s = d->state;
	u16 *have = &s->fifo_len[p->index];

	dev_lock(d);
	len = min_u64(len, room_of(p));
	__builtin_memcpy(s->fifo + (size_t)p->index * FIFO_SIZE + *have, bytes, len);
	*have = (u16)(*have + len);
	deliver(p);
	dev_unlock(d);
}

/* ---- what the driver sends ---- */

static void transmit(struct virtio *v, unsigned queue)
{
	struct port *p = &priv_of(v)->ports[port_of_queue(queue)];
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain c = {.iov = iov, .iov_max = PIECES_MAX};

	while (virtio_pop(v, queue, &c)) {
		for (unsigned i = 0; i < c.nout; i++)
			char_write(&p->chardev, iov[i].base, iov[i].len);
		virtio_push(v, queue, &c, 0);
	}
}

static void port_ready(struct virtio *v, unsigned port)
{
	const struct port *p = &priv_of(v)->ports[port];

	if (!port)
		state_of(v)->say[port] |= SAY_CONSOLE;
	else
		state_of(v)->say[port] |= SAY_NAME;
	if (p->chardev.ops)
		state_of(v)->say[port] |= SAY_OPEN;
}

/* What was typed for a program that is gone isn't for the next. */
static void port_open(struct virtio *v, unsigned port, bool open)
{
	struct state *s = state_of(v);

	s->guest_open[port] = open;
	if (!open)
		s->fifo_len[port] = 0;
	deliver(&priv_of(v)->ports[port]);
}

static void hear(struct virtio *v, const u8 message[MESSAGE_SIZE])
{
	u32 port = ld32(message + MESSAGE_ID);
	u16 event = ld16(message + MESSAGE_EVENT), value = ld16(message + MESSAGE_VALUE);
	unsigned nports = priv_of(v)->nports;

	if (event == DEVICE_READY) {
		for (unsigned i = 0; value && i < nports; i++)
			state_of(v)->say[i] = SAY_ADD;
		return;
	}
	if (port >= nports)
		return;
	if (event == PORT_READY && value)
		port_ready(v, port);
	else if (event == PORT_OPEN)
		port_open(v, port, value);
}

static void control(struct virtio *v)
{
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain c = {.iov = iov, .iov_max = PIECES_MAX};

	while (virtio_pop(v, QUEUE_CONTROL_TX, &c)) {
		u8 message[MESSAGE_SIZE];

		if (iov_copy_from(iov, c.nout, 0, message, sizeof(message)) == sizeof(message))
			hear(v, message);
		virtio_push(v, QUEUE_CONTROL_TX, &c, 0);
	}
	talk(v);
}

static void console_notify(struct virtio *v, unsigned queue)
{
	if (queue == QUEUE_CONTROL_RX)
		talk(v);
	else if (queue == QUEUE_CONTROL_TX)
		control(v);
	else if (queue % 2)
		transmit(v, queue);
	else
		deliver(&priv_of(v)->ports[port_of_queue(queue)]);
}

/* ---- configuration ---- */

static void console_config(struct virtio *v, u8 *out)
{
	const struct config *c = v->dev->config;

	st16(out + CONFIG_COLS, (u16)c->cols);
	st16(out + CONFIG_ROWS, (u16)c->rows);
	st32(out + CONFIG_PORTS, priv_of(v)->nports);
}

/* 5.3.4: one byte to the console, before any queue is there. */
static void console_config_written(struct virtio *v, const u8 *bytes, unsigned off, unsigned len)
{
	if (off <= CONFIG_EMERG && off + len > CONFIG_EMERG)
		char_write(&priv_of(v)->ports[0].chardev, bytes + CONFIG_EMERG, 1);
}

/* ---- creation and end ---- */

static struct port *add_port(struct virtio *v, const char *name, unsigned len)
{
	struct priv *s = priv_of(v);
	struct port *p = &s->ports[s->nports];

	*p = (struct port){.v = v, .index = s->nports, .name = name, .name_len = len};
	p->front = (struct alc_char_front){.room = front_room, .input = front_input, .ctx = p};
	s->nports++;
	return p;
}

static struct port *find_port(const struct virtio *v, const char *name, unsigned len)
{
	struct priv *s = priv_of(v);

	for (unsigned i = 1; i < s->nports; i++)
		if (s->ports[i].name_len == len &&
		    __builtin_memcmp(s->ports[i].name, name, len) == 0)
			return &s->ports[i];
	return NULL;
}

static unsigned name_len(const char *list)
{
	unsigned n = 0;

	while (list[n] && list[n] != ':')
		n++;
	return n;
}

/* Names between colons; none at all is fine. */
static int add_named_ports(struct virtio *v, const char *list, struct alc_err *err)
{
	while (*list) {
		unsigned len = name_len(list);

		if (!len || len > NAME_MAX)
			return alc_fail(err, -EINVAL,
					"device '%s': a port's name has 1 to %d characters",
					v->dev->id, NAME_MAX);
		if (find_port(v, list, len))
			return alc_fail(err, -EINVAL, "device '%s' has two ports '%.*s'",
					v->dev->id, (int)len, list);
		if (priv_of(v)->nports == PORTS_MAX)
			return alc_fail(err, -EINVAL, "device '%s' has more than %d named ports",
					v->dev->id, PORTS_MAX - 1);
		add_port(v, list, len);
		list += len;
		if (*list && !*++list)
			return alc_fail(err, -EINVAL, "device '%s': no port after the last ':'",
					v->dev->id);
	}
	return 0;
}

static void attach(struct port *p, const struct alc_char *c)
{
	p->chardev = *c;
	char_attach(&p->chardev, &p->front);
}

int virtio_console_attach(struct alc_dev *d, const char *port, const struct alc_char *c,
			  struct alc_err *err)
{
	struct port *p = find_port(virtio_of(d), port, (unsigned)str_len(port));

	if (!p)
		return alc_fail(err, -ENOENT, "device '%s' has no port '%s'", d->id, port);
	attach(p, c);
	return 0;
}

static int console_probe(struct virtio *v, struct alc_err *err)
{
	const struct config *c = v->dev->config;
	int r;

	attach(add_port(v, NULL, 0), &v->dev->env.chardev);
	r = add_named_ports(v, c->ports, err);
	v->offers = F_MULTIPORT | F_EMERG_WRITE;
	if (c->cols && c->rows)
		v->offers |= F_SIZE;
	v->nqueues = 2 * (priv_of(v)->nports + 1);
	return r;
}

static void console_remove(struct virtio *v)
{
	struct priv *s = priv_of(v);

	for (unsigned i = 0; i < s->nports; i++)
		char_attach(&s->ports[i].chardev, NULL);
}

/* No chain is kept from one call to the next. */
static void console_stop(struct virtio *v)
{
}

static void console_stop_queue(struct virtio *v, unsigned queue)
{
}

static void console_reset(struct virtio *v)
{
	struct priv *s = priv_of(v);

	for (unsigned i = 0; i < s->nports; i++)
		s->ports[i].had_room = false;
}

static int console_check(struct virtio *v, struct alc_err *err)
{
	const struct state *s = state_of(v);
	bool bad = false;

	for (unsigned i = 0; i < PORTS_MAX; i++)
		bad |= s->fifo_len[i] > FIFO_SIZE || s->say[i] > SAY_ALL || s->guest_open[i] > 1;
	/* Nothing tells the driver a name that is not there. */
	bad |= s->say[0] & SAY_NAME;
	if (bad)
		return alc_fail(err, -EINVAL, "device '%s': snapshot has a port that can't be",
				v->dev->id);
	return 0;
}

static void console_start(struct virtio *v)
{
	struct priv *s = priv_of(v);

	for (unsigned i = 0; i < s->nports; i++)
		deliver(&s->ports[i]);
}

static const struct virtio_type type = {
	.id = ID_CONSOLE,
	.class_code = PCI_CLASS_SERIAL_OTHER,
	.priv_size = sizeof(struct priv),
	.config_size = CONFIG_SIZE,
	.probe = console_probe,
	.remove = console_remove,
	.config = console_config,
	.config_written = console_config_written,
	.start = console_start,
	.notify = console_notify,
	.stop = console_stop,
	.stop_queue = console_stop_queue,
	.reset = console_reset,
	.check = console_check,
};

#define OPTIONS(P)                                                                          \
	VIRTIO_OPTIONS(P)                                                                   \
	P(struct config, UINT, cols, "0", 0, 0xffff, "columns of the console; 0: not said") \
	P(struct config, UINT, rows, "0", 0, 0xffff, "rows of the console; 0: not said")    \
	P(struct config, STRING, ports, "", 0, 0, "names of ports besides the console, as a:b")
static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};

static const struct alc_field fields[] = {
	VIRTIO_FIELDS,
	FIELD_ARRAY(struct state, say),
	FIELD_ARRAY(struct state, guest_open),
	FIELD_ARRAY(struct state, fifo_len),
	FIELD_ARRAY(struct state, fifo),
	FIELD_END,
};

extern const struct alc_dev_class virtio_console_class;
const struct alc_dev_class virtio_console_class = {
	.name = "virtio-console",
	.summary = "a console, and named ports between programs in the guest and on the host",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.config_size = sizeof(struct config),
	.props = props,
	.options = options,
	.backend = ALC_BACKEND_CHAR,
	VIRTIO_CLASS_OPS(type),
};
