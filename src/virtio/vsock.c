/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio/vsock.h"

#include "alcazar/device.h"
#include "base/errno.h"
#include "virtio/virtio.h"

/*
 * The guest's side of sockets (virtio 1.2, 5.10).
 *
 * Credit: the guest may send what a connection's buffer has room for, and is reset if it sends
 * more; from the host no more is read than the guest has room for, straight into its memory. So
 * neither side can make the other keep more than a fixed amount.
 *
 * Packets that the device has to send are not queued, but noted with their connection, a bit for
 * each kind; connections that have some stand in a list and take turns. Only refusals of packets
 * that belong to no connection need a queue; while that is full, nothing is taken of the guest.
 */
enum { ID_VSOCK = 19, PCI_CLASS_COMMUNICATION_OTHER = 0x078000 };
enum { F_STREAM = 1 };
enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT, QUEUES };
enum { PIECES_MAX = 64, HASH = 256, CONNS_MAX = 512, REFUSALS_MAX = 64 };
enum { BUFFER_SIZE = 65536, PACKET_MAX = 65536 };

enum { OP_REQUEST = 1, OP_RESPONSE, OP_RST, OP_SHUTDOWN, OP_RW, OP_CREDIT_UPDATE };
enum { OP_CREDIT_REQUEST = 7, TYPE_STREAM = 1 };
enum { SHUTDOWN_RECEIVE = 1, SHUTDOWN_SEND = 2, SHUTDOWN_BOTH = 3 };
enum { HEADER_SIZE = 44, EVENT_TRANSPORT_RESET = 0 };

struct header {
	u64 src_cid, dst_cid;
	u32 src_port, dst_port, len, flags, buf_alloc, fwd_cnt;
	u16 type, op;
};

struct config {
	struct virtio_options virtio;
	u64 cid;
	const char *path;
};

enum conn_state { ASKING, OPEN, ENDED };

struct vsock_conn {
	struct virtio *v;
	struct vsock_conn *hash_next;
	struct vsock_conn *turn_next, **turn_at; /* in the list of those with something to send */
	u32 guest_port, host_port;
	enum conn_state state; /* ENDED: only a reset is still to be sent */
	void *end;
	u32 say;       /* packets to send: BIT(OP_…) */
	bool readable; /* as far as is known */
	u8 guest_done; /* SHUTDOWN_…, as the guest said */
	u8 host_done;  /* … and as it is to be told */
	bool asked;    /* for credit */
	bool shut;     /* the host knows that the guest sends no more */
	/* From guest to host. */
	u8 *buffer;
	u32 first, used;
	u32 forwarded, told; /* bytes in all, and of which the guest knows */
	/* From host to guest. */
	u32 sent, peer_alloc, peer_forwarded;
};

struct priv {
	const struct vsock_ops *ops;
	void *ctx;
	struct vsock_conn *hash[HASH];
	struct vsock_conn *turns, **turns_end;
	unsigned nconns;
	struct header refusals[REFUSALS_MAX];
	unsigned nrefusals;
	bool event; /* connections were lost in a load, which the guest must be told */
};

static struct priv *priv_of(const struct virtio *v)
{
	return v->priv;
}

static u64 guest_cid(const struct virtio *v)
{
	return ((const struct config *)v->dev->config)->cid;
}

/* ---- packets ---- */

static void put_header(u8 *out, const struct header *h)
{
	st64(out, h->src_cid);
	st64(out + 8, h->dst_cid);
	st32(out + 16, h->src_port);
	st32(out + 20, h->dst_port);
	st32(out + 24, h->len);
	st16(out + 28, h->type);
	st16(out + 30, h->op);
	st32(out + 32, h->flags);
	st32(out + 36, h->buf_alloc);
	st32(out + 40, h->fwd_cnt);
}

static struct header get_header(const u8 *in)
{
	return (struct header){
		.src_cid = ld64(in),
		.dst_cid = ld64(in + 8),
		.src_port = ld32(in + 16),
		.dst_port = ld32(in + 20),
		.len = ld32(in + 24),
		.type = ld16(in + 28),
		.op = ld16(in + 30),
		.flags = ld32(in + 32),
		.buf_alloc = ld32(in + 36),
		.fwd_cnt = ld32(in + 40),
	};
}

static struct header header_of(const struct vsock_conn *c, u16 op, u32 len)
{
	return (struct header){
		.src_cid = VSOCK_CID_HOST,
		.dst_cid = guest_cid(c->v),
		.src_port = c->host_port,
		.dst_port = c->guest_port,
		.len = len,
		.type = TYPE_STREAM,
		.op = op,
		.flags = op == OP_SHUTDOWN ? c->host_done : 0,
		.buf_alloc = BUFFER_SIZE,
		.fwd_cnt = c->forwarded,
	};
}

/* ---- connections ---- */

static struct vsock_conn **bucket(struct priv *p, u32 guest_port, u32 host_port)
{
	return &p->hash[(guest_port * 0x9e3779b1u ^ host_port * 0x85ebca6bu) >> 24];
}

static struct vsock_conn *find(struct priv *p, u32 guest_port, u32 host_port)
{
	struct vsock_conn *c = *bucket(p, guest_port, host_port);

	while (c && (c->guest_port != guest_port || c->host_port != host_port))
		c = c->hash_next;
	return c;
}

static int make_conn(struct virtio *v, u32 guest_port, u32 host_port, struct vsock_conn **out)
{
	struct priv *p = priv_of(v);
	const struct alc_host *h = v->dev->env.host;
	struct vsock_conn *c, **at = bucket(p, guest_port, host_port);

	if (p->nconns == CONNS_MAX)
		return -ENOSPC;
	c = host_alloc(h, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->buffer = host_alloc(h, BUFFER_SIZE);
	if (!c->buffer) {
		host_free(h, c, sizeof(*c));
		return -ENOMEM;
	}
	c->v = v;
	c->guest_port = guest_port;
	c->host_port = host_port;
	c->hash_next = *at;
	*at = c;
	p->nconns++;
	*out = c;
	return 0;
}

static void leave_turns(struct vsock_conn *c)
{
	struct priv *p = priv_of(c->v);

	if (!c->turn_at)
		return;
	*c->turn_at = c->turn_next;
	if (c->turn_next)
		c->turn_next->turn_at = c->turn_at;
	else
		p->turns_end = c->turn_at;
	c->turn_at = NULL;
	c->turn_next = NULL;
}

static void join_turns(struct vsock_conn *c)
{
	struct priv *p = priv_of(c->v);

	if (c->turn_at)
		return;
	c->turn_next = NULL;
	c->turn_at = p->turns_end;
	*p->turns_end = c;
	p->turns_end = &c->turn_next;
}

static void drop_end(struct vsock_conn *c)
{
	if (c->end)
		priv_of(c->v)->ops->close(c->end);
	c->end = NULL;
}

static void free_conn(struct vsock_conn *c)
{
	struct priv *p = priv_of(c->v);
	const struct alc_host *h = c->v->dev->env.host;
	struct vsock_conn **at = bucket(p, c->guest_port, c->host_port);

	while (*at != c)
		at = &(*at)->hash_next;
	*at = c->hash_next;
	leave_turns(c);
	drop_end(c);
	p->nconns--;
	host_free(h, c->buffer, BUFFER_SIZE);
	host_free(h, c, sizeof(*c));
}

static void free_all(struct priv *p)
{
	for (unsigned i = 0; i < HASH; i++)
		while (p->hash[i])
			free_conn(p->hash[i]);
	p->nrefusals = 0;
}

static void say(struct vsock_conn *c, u16 op)
{
	c->say |= (u32)BIT(op);
	join_turns(c);
}

/* The connection is over for the host; the guest has still to be told. */
static void end_conn(struct vsock_conn *c)
{
	drop_end(c);
	c->state = ENDED;
	c->say = 0;
	c->used = 0;
	say(c, OP_RST);
}

/* ---- credit ---- */

/* What the guest says may be nonsense; then there is none. */
static u32 credit(const struct vsock_conn *c)
{
	u32 out = c->sent - c->peer_forwarded;

	return out < c->peer_alloc ? c->peer_alloc - out : 0;
}

static bool may_send_data(const struct vsock_conn *c)
{
	return c->state == OPEN && c->end && c->readable && !(c->host_done & SHUTDOWN_SEND) &&
	       !(c->guest_done & SHUTDOWN_RECEIVE);
}

/* What the host's end is to be watched for, after anything that may have changed that. */
static void update_watch(struct vsock_conn *c)
{
	bool in = c->state == OPEN && !c->readable && !(c->host_done & SHUTDOWN_SEND) &&
		  !(c->guest_done & SHUTDOWN_RECEIVE);

	if (c->end && c->state == OPEN)
		priv_of(c->v)->ops->watch(c->end, in, c->used != 0);
}

/* ---- from guest to host ---- */

static bool flush(struct vsock_conn *c)
{
	const struct vsock_ops *ops = priv_of(c->v)->ops;

	while (c->used) {
		u32 len = (u32)min_u64(c->used, BUFFER_SIZE - c->first);
		i64 n = ops->write(c->end, c->buffer + c->first, len);

		if (n == -EAGAIN)
			return true;
		if (n <= 0)
			return false;
		c->first = (c->first + (u32)n) % BUFFER_SIZE;
		c->used -= (u32)n;
		c->forwarded += (u32)n;
	}
	return true;
}

/* Moves on what is there, and ends what has come to its end. */
static void pump(struct vsock_conn *c)
{
	if (c->state != OPEN)
		return;
	if (!flush(c)) {
		end_conn(c);
		return;
	}
	if (!c->used && c->guest_done == SHUTDOWN_BOTH) {
		end_conn(c);
		return;
	}
	if (!c->used && c->guest_done & SHUTDOWN_SEND && !c->shut) {
		c->shut = true;
		priv_of(c->v)->ops->shutdown(c->end);
	}
	if (c->forwarded - c->told >= BUFFER_SIZE / 2)
		say(c, OP_CREDIT_UPDATE);
	update_watch(c);
}

static void take_data(struct vsock_conn *c, const struct virtq_chain *chain, u32 len)
{
	u32 at = (c->first + c->used) % BUFFER_SIZE;
	u32 head = (u32)min_u64(len, BUFFER_SIZE - at);

	if (c->state != OPEN || c->guest_done & SHUTDOWN_SEND || len > BUFFER_SIZE - c->used ||
	    len > chain->out_len - HEADER_SIZE) {
		end_conn(c);
		return;
	}
	iov_copy_from(chain->iov, chain->nout, HEADER_SIZE, c->buffer + at, head);
	iov_copy_from(chain->iov, chain->nout, HEADER_SIZE + head, c->buffer, len - head);
	c->used += len;
	pump(c);
}

static void refuse(struct virtio *v, const struct header *h)
{
	struct priv *p = priv_of(v);

	if (h->op != OP_RST)
		p->refusals[p->nrefusals++] = (struct header){
			.src_cid = h->dst_cid,
			.dst_cid = h->src_cid,
			.src_port = h->dst_port,
			.dst_port = h->src_port,
			.type = h->type,
			.op = OP_RST,
		};
}

static void request(struct virtio *v, const struct header *h)
{
	struct priv *p = priv_of(v);
	struct vsock_conn *c;

	if (!p->ops || make_conn(v, h->src_port, h->dst_port, &c)) {
		refuse(v, h);
		return;
	}
	c->peer_alloc = h->buf_alloc;
	c->peer_forwarded = h->fwd_cnt;
	if (p->ops->connect(p->ctx, h->dst_port, c, &c->end)) {
		c->end = NULL;
		end_conn(c);
		return;
	}
	c->state = OPEN;
	say(c, OP_RESPONSE);
	update_watch(c);
}

static void response(struct vsock_conn *c)
{
	if (c->state != ASKING) {
		end_conn(c);
		return;
	}
	c->state = OPEN;
	priv_of(c->v)->ops->connected(c->end);
	update_watch(c);
}

static void handle(struct vsock_conn *c, const struct header *h, const struct virtq_chain *chain)
{
	c->peer_alloc = h->buf_alloc;
	c->peer_forwarded = h->fwd_cnt;
	if (credit(c))
		c->asked = false;
	switch (h->op) {
	case OP_RESPONSE:
		response(c);
		break;
	case OP_SHUTDOWN:
		c->guest_done |= h->flags & SHUTDOWN_BOTH;
		pump(c);
		break;
	case OP_RW:
		take_data(c, chain, h->len);
		break;
	case OP_CREDIT_REQUEST:
		say(c, OP_CREDIT_UPDATE);
		break;
	case OP_CREDIT_UPDATE:
		break;
	default: /* a second request, or what nobody knows */
		end_conn(c);
		break;
	}
}

static void take_packet(struct virtio *v, const struct virtq_chain *chain)
{
	struct priv *p = priv_of(v);
	struct vsock_conn *c;
	u8 bytes[HEADER_SIZE];
	struct header h;

	if (iov_copy_from(chain->iov, chain->nout, 0, bytes, HEADER_SIZE) != HEADER_SIZE)
		return;
	h = get_header(bytes);
	if (h.src_cid != guest_cid(v))
		return; /* 5.10.6.2: not in its own name */
	c = find(p, h.src_port, h.dst_port);
	if (h.dst_cid != VSOCK_CID_HOST || h.type != TYPE_STREAM) {
		refuse(v, &h);
	} else if (!c) {
		if (h.op == OP_REQUEST)
			request(v, &h);
		else
			refuse(v, &h);
	} else if (h.op == OP_RST) {
		free_conn(c);
	} else if (c->state != ENDED) {
		handle(c, &h, chain);
		if (may_send_data(c))
			join_turns(c);
	}
}

/* ---- from host to guest ---- */

static void push_packet(struct virtio *v, const struct virtq_chain *chain, const struct header *h)
{
	u8 bytes[HEADER_SIZE];

	put_header(bytes, h);
	iov_copy_to(chain->iov + chain->nout, chain->nin, 0, bytes, HEADER_SIZE);
	virtio_push(v, QUEUE_RX, chain, HEADER_SIZE + h->len);
}

static void send_op(struct vsock_conn *c, u16 op, const struct virtq_chain *chain)
{
	struct header h = header_of(c, op, 0);

	c->say &= ~(u32)BIT(op);
	c->told = c->forwarded;
	push_packet(c->v, chain, &h);
	if (op == OP_RST)
		free_conn(c);
}

/* Straight into the guest's buffer. False: the chain was not used. */
static bool send_data(struct vsock_conn *c, const struct virtq_chain *chain)
{
	struct alc_iov piece[PIECES_MAX];
	u64 room = min_u64(min_u64(chain->in_len - HEADER_SIZE, credit(c)), PACKET_MAX);
	unsigned n = iov_slice(chain->iov + chain->nout, chain->nin, HEADER_SIZE, room, piece);
	i64 got = priv_of(c->v)->ops->read(c->end, piece, n);
	struct header h;

	if (got > 0) {
		c->sent += (u32)got;
		c->told = c->forwarded;
		h = header_of(c, OP_RW, (u32)got);
		push_packet(c->v, chain, &h);
		return true;
	}
	if (got == -EAGAIN) {
		c->readable = false;
	} else if (got == 0) {
		c->host_done |= SHUTDOWN_SEND;
		c->say |= (u32)BIT(OP_SHUTDOWN);
	} else {
		end_conn(c);
	}
	update_watch(c);
	return false;
}

/* What comes first of what a connection has to say: an operation, or OP_RW for data, or 0. */
static u16 next_op(struct vsock_conn *c)
{
	static const u16 order[] = {OP_RST, OP_REQUEST, OP_RESPONSE, OP_CREDIT_UPDATE,
				    OP_CREDIT_REQUEST};

	for (unsigned i = 0; i < ARRAY_LEN(order); i++)
		if (c->say & BIT(order[i]))
			return order[i];
	if (may_send_data(c)) {
		if (credit(c))
			return OP_RW;
		if (!c->asked) {
			c->asked = true;
			c->say |= (u32)BIT(OP_CREDIT_REQUEST);
			return OP_CREDIT_REQUEST;
		}
	}
	/* After all data. */
	if (c->say & BIT(OP_SHUTDOWN) && c->host_done & SHUTDOWN_SEND)
		return OP_SHUTDOWN;
	return 0;
}

/* One packet of the connection whose turn it is; false: the chain was not used. */
static bool take_turn(struct vsock_conn *c, const struct virtq_chain *chain)
{
	u16 op = next_op(c);

	leave_turns(c);
	if (!op)
		return false;
	join_turns(c); /* at the end */
	if (op == OP_RW)
		return send_data(c, chain);
	send_op(c, op, chain);
	return true;
}

static bool send_refusal(struct virtio *v, const struct virtq_chain *chain)
{
	struct priv *p = priv_of(v);

	if (!p->nrefusals)
		return false;
	push_packet(v, chain, &p->refusals[0]);
	p->nrefusals--;
	__builtin_memmove(p->refusals, p->refusals + 1, p->nrefusals * sizeof(p->refusals[0]));
	return true;
}

static void send_event(struct virtio *v)
{
	struct priv *p = priv_of(v);
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain c = {.iov = iov, .iov_max = PIECES_MAX};
	u8 event[4] = {EVENT_TRANSPORT_RESET};

	if (!p->event || !virtio_pop(v, QUEUE_EVENT, &c))
		return;
	p->event = false;
	virtio_push(v, QUEUE_EVENT, &c,
		    (u32)iov_copy_to(iov + c.nout, c.nin, 0, event, sizeof(event)));
}

/* All that there is to send, as far as the guest has buffers. */
static void send_all(struct virtio *v)
{
	struct priv *p = priv_of(v);
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain chain = {.iov = iov, .iov_max = PIECES_MAX};

	while (p->nrefusals || p->turns) {
		bool done;

		if (!virtio_pop(v, QUEUE_RX, &chain))
			return;
		if (chain.in_len <= HEADER_SIZE) {
			virtio_break(v, "a receive buffer has no room for a packet");
			return;
		}
		done = send_refusal(v, &chain);
		while (!done && p->turns)
			done = take_turn(p->turns, &chain);
		if (!done)
			virtq_unpop(v->queues[QUEUE_RX], &chain);
	}
}

/* ---- queues ---- */

static void receive_all(struct virtio *v)
{
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain c = {.iov = iov, .iov_max = PIECES_MAX};

	while (priv_of(v)->nrefusals < REFUSALS_MAX && virtio_pop(v, QUEUE_TX, &c)) {
		take_packet(v, &c);
		virtio_push(v, QUEUE_TX, &c, 0);
		send_all(v);
	}
}

static void vsock_notify(struct virtio *v, unsigned queue)
{
	if (queue == QUEUE_EVENT) {
		send_event(v);
		return;
	}
	if (queue == QUEUE_RX)
		send_all(v);
	receive_all(v);
}

/* ---- for the back end ---- */

int vsock_connect(struct alc_dev *d, u32 guest_port, u32 host_port, void *end,
		  struct vsock_conn **out)
{
	struct virtio *v = virtio_of(d);
	struct vsock_conn *c;
	int r;

	if (!v->running)
		return -ENOTCONN;
	if (find(priv_of(v), guest_port, host_port))
		return -EEXIST;
	r = make_conn(v, guest_port, host_port, &c);
	if (r)
		return r;
	c->end = end;
	*out = c;
	say(c, OP_REQUEST);
	send_all(v);
	return 0;
}

void vsock_ready(struct vsock_conn *c, bool readable, bool writable)
{
	struct virtio *v = c->v;

	if (readable) {
		c->readable = true;
		update_watch(c);
		join_turns(c);
	}
	if (writable)
		pump(c);
	send_all(v);
}

/* What the host wrote before it went is still read; what the guest writes goes nowhere. */
void vsock_hang_up(struct vsock_conn *c)
{
	struct virtio *v = c->v;

	if (c->state != OPEN) {
		end_conn(c);
	} else {
		c->host_done |= SHUTDOWN_RECEIVE;
		c->readable = true;
		update_watch(c);
		join_turns(c);
	}
	send_all(v);
}

void virtio_vsock_attach(struct alc_dev *d, const struct vsock_ops *ops, void *ctx)
{
	struct virtio *v = virtio_of(d);
	struct priv *p = priv_of(v);

	dev_lock(d);
	if (!ops)
		free_all(p);
	p->ops = ops;
	p->ctx = ctx;
	dev_unlock(d);
}

const char *virtio_vsock_path(const struct alc_dev *d)
{
	return ((const struct config *)d->config)->path;
}

/* ---- the type ---- */

static int vsock_probe(struct virtio *v, struct alc_err *err)
{
	struct priv *p = priv_of(v);

	p->turns_end = &p->turns;
	v->offers = F_STREAM;
	v->nqueues = QUEUES;
	return 0;
}

static void vsock_config(struct virtio *v, u8 *out)
{
	st64(out, guest_cid(v));
}

/* Connections don't outlive a driver, nor a load: their other ends are elsewhere. */
static void vsock_stop(struct virtio *v)
{
	struct priv *p = priv_of(v);

	p->event = true;
	free_all(p);
}

static void vsock_stop_queue(struct virtio *v, unsigned queue)
{
}

/* A driver that begins anew has no connections to lose. */
static void vsock_reset(struct virtio *v)
{
	priv_of(v)->event = false;
}

static const struct virtio_type type = {
	.id = ID_VSOCK,
	.class_code = PCI_CLASS_COMMUNICATION_OTHER,
	.priv_size = sizeof(struct priv),
	.config_size = 8,
	.probe = vsock_probe,
	.config = vsock_config,
	.notify = vsock_notify,
	.stop = vsock_stop,
	.stop_queue = vsock_stop_queue,
	.reset = vsock_reset,
};

#define OPTIONS(P)                                                                   \
	VIRTIO_OPTIONS(P)                                                            \
	P(struct config, UINT, cid, "3", 3, 0xfffffffe, "the guest's address (CID)") \
	P(struct config, STRING, path, "", 0, 0, "Unix socket that is the host's side")
static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};

extern const struct alc_dev_class virtio_vsock_class;
const struct alc_dev_class virtio_vsock_class = {
	.name = "virtio-vsock",
	.summary = "sockets between guest and host",
	.state_size = sizeof(struct virtio_regs),
	.state = virtio_fields,
	.version = 1,
	.version_min = 1,
	.config_size = sizeof(struct config),
	.props = props,
	.options = options,
	VIRTIO_CLASS_OPS(type),
};
