/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio/net.h"

#include "alcazar/device.h"
#include "base/errno.h"
#include "base/str.h"

/*
 * Network card (virtio 1.2, 5.1): pairs of queues, mergeable buffers, checksum and segmentation
 * offloads both ways, a control queue. Frames are passed on within notify and receive, so none is
 * ever in flight: what the back end refuses stays in the queue, what the driver has no buffer for
 * stays with the back end.
 */
enum { ID_NET = 1, PCI_CLASS_ETHERNET = 0x020000, CONFIG_SIZE = 12, LINK_UP = 1 };
enum { HEADER_SIZE = 12, BUFFERS_MAX = 64, PIECES_MAX = NET_PIECES_MAX + 1, HEAD_LEN = 18 };
enum { MTU_MIN = 68, MTU_MAX = 65535 };

/* Offsets in the header (5.1.6). */
enum { HDR_FLAGS, HDR_GSO_TYPE, HDR_LEN, HDR_GSO_SIZE = 4, HDR_CSUM_START = 6 };
enum { HDR_CSUM_OFFSET = 8, HDR_NUM_BUFFERS = 10 };

struct config {
	struct virtio_options virtio;
	const char *mac;
	u64 queues, mtu;
};

#define OPTIONS(P)                                                                                \
	VIRTIO_OPTIONS(P)                                                                         \
	P(struct config, STRING, mac, "02:00:00:00:00:01", 0, 0, "address, as 02:00:00:00:00:01") \
	P(struct config, UINT, queues, "1", 1, NET_PAIRS_MAX, "pairs of queues")                  \
	P(struct config, UINT, mtu, "0", 0, MTU_MAX, "what the driver is told; 0: the network's")

struct net {
	struct net_front front;
	u8 mac[NET_MAC];
	bool up;
	bool starved;                /* the back end has frames and was refused */
	bool blocked[NET_PAIRS_MAX]; /* so were frames of these pairs, by the back end */
	struct alc_iov pieces[PIECES_MAX], body[PIECES_MAX];
	u64 dropped; /* malformed, or larger than any buffer */
};

static struct net *net_of(const struct virtio *v)
{
	return v->priv;
}

static struct net_link *link_of(const struct virtio *v)
{
	return v->dev->env.net;
}

/* The control queue follows the pairs that the driver knows of (5.1.2). */
static unsigned control_queue(const struct virtio *v)
{
	return virtio_has(v, NET_F_MQ) ? v->nqueues - 1 : 2;
}

/* ---- from the guest ---- */

static bool offload_allowed(const struct virtio *v, const struct net_offload *o, u32 len)
{
	u8 gso = o->gso_type & (u8)~NET_GSO_ECN;

	if (o->flags & NET_NEEDS_CSUM) {
		if (!virtio_has(v, NET_F_CSUM) || o->csum_start + o->csum_offset + 2u > len)
			return false;
	} else if (o->gso_type) {
		return false;
	}
	if ((o->gso_type & NET_GSO_ECN) && !virtio_has(v, NET_F_HOST_ECN))
		return false;
	switch (gso) {
	case NET_GSO_NONE:
		return !o->gso_type;
	case NET_GSO_TCPV4:
		return virtio_has(v, NET_F_HOST_TSO4) && o->gso_size;
	case NET_GSO_TCPV6:
		return virtio_has(v, NET_F_HOST_TSO6) && o->gso_size;
	default:
		return false;
	}
}

/* Copied in once, then judged. */
static bool make_frame(struct virtio *v, const struct virtq_chain *c, struct net_frame *f)
{
	struct net *n = net_of(v);
	u8 h[HEADER_SIZE];

	if (iov_copy_from(c->iov, c->nout, 0, h, sizeof(h)) < sizeof(h) ||
	    c->out_len < HEADER_SIZE + NET_FRAME_MIN || c->out_len > HEADER_SIZE + NET_FRAME_MAX)
		return false;
	*f = (struct net_frame){
		.iov = n->body,
		.niov = iov_slice(c->iov, c->nout, HEADER_SIZE, c->out_len, n->body),
		.len = (u32)c->out_len - HEADER_SIZE,
		.offload = {.flags = h[HDR_FLAGS] & NET_NEEDS_CSUM,
			    .gso_type = h[HDR_GSO_TYPE],
			    .hdr_len = ld16(h + HDR_LEN),
			    .gso_size = ld16(h + HDR_GSO_SIZE),
			    .csum_start = ld16(h + HDR_CSUM_START),
			    .csum_offset = ld16(h + HDR_CSUM_OFFSET)},
	};
	return offload_allowed(v, &f->offload, f->len);
}

static void transmit(struct virtio *v, unsigned queue)
{
	struct net *n = net_of(v);
	struct virtq_chain c = {.iov = n->pieces, .iov_max = PIECES_MAX};
	struct net_frame f;

	n->blocked[queue / 2] = false;
	while (virtio_pop(v, queue, &c)) {
		if (!make_frame(v, &c, &f)) {
			n->dropped++;
		} else if (!net_send(link_of(v), &f)) {
			n->blocked[queue / 2] = true;
			virtq_unpop(v->queues[queue], &c);
			return;
		}
		virtio_push(v, queue, &c, 0);
	}
}

static void front_room(void *ctx)
{
	struct virtio *v = ctx;

	dev_lock(v->dev);
	for (unsigned i = 0; i < NET_PAIRS_MAX; i++)
		if (net_of(v)->blocked[i])
			transmit(v, 2 * i + 1);
	dev_unlock(v->dev);
}

/* ---- to the guest ---- */

/* Which pair a flow goes to: addresses and ports of either direction come out the same. */
static unsigned choose_pair(const struct virtio *v, const struct net_frame *f)
{
	u8 head[54] = {0};
	u32 hash = 0;

	if (net_state_of(v)->pairs <= 1)
		return 0;
	iov_copy_from(f->iov, f->niov, 0, head, sizeof(head));
	for (unsigned i = 26; i + 4 <= 38; i += 4) /* IPv4 addresses, then ports */
		hash ^= ld32(head + i);
	hash ^= hash >> 16;
	hash ^= hash >> 8;
	return hash % net_state_of(v)->pairs;
}

struct buffers {
	struct virtq_chain chain[BUFFERS_MAX];
	unsigned count, pieces;
	u64 room;
};

static void put_back(struct virtio *v, unsigned queue, struct buffers *b)
{
	while (b->count)
		virtq_unpop(v->queues[queue], &b->chain[--b->count]);
}

enum taken { TAKEN, TOO_FEW, NEVER };

/*
 * Buffers for len bytes, or none. NEVER: as many as one frame may have are there, and it does not
 * fit; to wait would keep all that comes behind it waiting too.
 */
static enum taken take_buffers(struct virtio *v, unsigned queue, u64 len, struct buffers *b)
{
	unsigned max = virtio_has(v, NET_F_MRG_RXBUF) ? BUFFERS_MAX : 1;
	bool full;

	while (b->room < len && b->count < max && b->pieces < PIECES_MAX) {
		struct virtq_chain *c = &b->chain[b->count];

		c->iov = net_of(v)->pieces + b->pieces;
		c->iov_max = PIECES_MAX - b->pieces;
		if (!virtio_pop(v, queue, c))
			break;
		b->count++;
		b->pieces += c->nout + c->nin;
		b->room += c->in_len;
	}
	if (b->room >= len)
		return TAKEN;
	full = b->count == max || b->pieces >= PIECES_MAX;
	put_back(v, queue, b);
	return full ? NEVER : TOO_FEW;
}

static void put_header(struct virtio *v, const struct net_frame *f, u16 buffers, u8 *h)
{
	const struct net_offload *o = &f->offload;

	__builtin_memset(h, 0, HEADER_SIZE);
	if (net_state_of(v)->offloads & NET_F_GUEST_CSUM)
		h[HDR_FLAGS] = o->flags & (NET_NEEDS_CSUM | NET_DATA_VALID);
	h[HDR_GSO_TYPE] = o->gso_type;
	st16(h + HDR_LEN, o->hdr_len);
	st16(h + HDR_GSO_SIZE, o->gso_size);
	st16(h + HDR_CSUM_START, o->csum_start);
	st16(h + HDR_CSUM_OFFSET, o->csum_offset);
	st16(h + HDR_NUM_BUFFERS, buffers);
}

/* Header and frame as one stream into the buffers, which become visible at once. */
static void fill_buffers(struct virtio *v, unsigned queue, const struct net_frame *f,
			 struct buffers *b)
{
	u64 left = HEADER_SIZE + (u64)f->len, at = 0;
	u8 header[HEADER_SIZE];

	put_header(v, f, (u16)b->count, header);
	for (unsigned i = 0; i < b->count; i++) {
		struct virtq_chain *c = &b->chain[i];
		const struct alc_iov *in = c->iov + c->nout;
		u64 here = min_u64(left, c->in_len), pos = 0;

		if (!i)
			pos = iov_copy_to(in, c->nin, 0, header, HEADER_SIZE);
		for (u64 skip = pos, k = 0, done = pos; done < here && k < c->nin; k++) {
			u64 len = in[k].len > skip ? min_u64(in[k].len - skip, here - done) : 0;

			if (len)
				iov_copy_from(f->iov, f->niov, at, in[k].base + skip, len);
			skip = in[k].len > skip ? 0 : skip - in[k].len;
			at += len;
			done += len;
		}
		left -= here;
		virtq_push_hold(v->queues[queue], c, (u32)here);
	}
	virtq_release(v->queues[queue]);
	virtio_signal(v, queue);
}

static bool front_deliver(struct virtio *v, const struct net_frame *f)
{
	struct net *n = net_of(v);
	unsigned queue = 2 * choose_pair(v, f);
	u8 head[HEAD_LEN] = {0};
	struct buffers b = {.count = 0};

	if (!v->running)
		return false;
	if (!net_wants(v, head, iov_copy_from(f->iov, f->niov, 0, head, sizeof(head))))
		return true;
	switch (take_buffers(v, queue, HEADER_SIZE + (u64)f->len, &b)) {
	case TOO_FEW:
		n->starved = true;
		return false;
	case NEVER:
		n->dropped++;
		return true;
	case TAKEN:
		break;
	}
	/* The first buffer must hold the header (5.1.6.3.1). */
	if (b.chain[0].in_len >= HEADER_SIZE)
		fill_buffers(v, queue, f, &b);
	else
		virtio_break(v, "a receive buffer too small for a header");
	return true;
}

static bool front_receive(void *ctx, const struct net_frame *f)
{
	struct virtio *v = ctx;
	bool taken;

	dev_lock(v->dev);
	taken = front_deliver(v, f);
	dev_unlock(v->dev);
	return taken;
}

static void front_carrier(void *ctx, bool up)
{
	struct virtio *v = ctx;

	dev_lock(v->dev);
	if (net_of(v)->up != up) {
		net_of(v)->up = up;
		virtio_config_changed(v);
	}
	dev_unlock(v->dev);
}

/* ---- the device ---- */

void net_tell_takes(struct virtio *v)
{
	static const struct {
		u64 feature;
		unsigned takes;
	} map[] = {
		{NET_F_GUEST_CSUM, NET_TAKES_CSUM},
		{NET_F_GUEST_TSO4, NET_TAKES_TSO4},
		{NET_F_GUEST_TSO6, NET_TAKES_TSO6},
		{NET_F_GUEST_ECN, NET_TAKES_ECN},
	};
	unsigned takes = 0;

	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (net_state_of(v)->offloads & map[i].feature)
			takes |= map[i].takes;
	net_front_takes(link_of(v), takes);
}

static void net_notify(struct virtio *v, unsigned queue)
{
	struct net *n = net_of(v);

	if (virtio_has(v, NET_F_CTRL_VQ) && queue == control_queue(v)) {
		net_control_notify(v, queue);
	} else if (queue % 2) {
		transmit(v, queue);
	} else if (n->starved) {
		n->starved = false;
		net_resume(link_of(v));
	}
}

static void net_start(struct virtio *v)
{
	struct net *n = net_of(v);

	net_tell_takes(v);
	n->starved = false;
	net_resume(link_of(v));
}

static void net_stop(struct virtio *v)
{
	struct net *n = net_of(v);

	n->starved = false;
	__builtin_memset(n->blocked, 0, sizeof(n->blocked));
	net_front_takes(link_of(v), 0);
}

static void net_stop_queue(struct virtio *v, unsigned queue)
{
	if (queue / 2 < NET_PAIRS_MAX)
		net_of(v)->blocked[queue / 2] &= !(queue % 2);
}

static void net_reset(struct virtio *v)
{
	struct net_state *s = net_state_of(v);

	__builtin_memcpy(s->mac, net_of(v)->mac, NET_MAC);
	s->modes[NET_RX_PROMISC] = 1;
	s->pairs = 1;
}

static int net_check(struct virtio *v, struct alc_err *err)
{
	const struct net_state *s = net_state_of(v);
	bool good = s->pairs >= 1 && s->pairs <= v->nqueues / 2 &&
		    !(s->offloads & ~(u64)NET_GUEST_OFFLOADS);

	for (unsigned i = 0; i < NET_RX_MODES; i++)
		good = good && s->modes[i] <= 1;
	for (unsigned t = 0; t < NET_TABLES; t++)
		good = good && s->table_count[t] <= NET_MAC_TABLE && s->table_overflow[t] <= 1;
	return good ? 0
		    : alc_fail(err, -EINVAL, "device '%s': snapshot has impossible filters",
			       v->dev->id);
}

static void net_config(struct virtio *v, u8 *out)
{
	const struct config *c = v->dev->config;
	u32 mtu = c->mtu ? (u32)c->mtu : link_of(v)->mtu;

	__builtin_memcpy(out, net_state_of(v)->mac, NET_MAC);
	st16(out + 6, net_of(v)->up ? LINK_UP : 0);
	st16(out + 8, (u16)(v->nqueues / 2));
	st16(out + 10, (u16)min_u64(mtu, MTU_MAX));
}

static bool parse_mac(const char *text, u8 mac[NET_MAC])
{
	for (unsigned i = 0; i < NET_MAC; i++) {
		const char *begin = text;
		u64 v;

		if (!str_take_hex(&text, 2, &v) || text != begin + 2)
			return false;
		mac[i] = (u8)v;
		if (*text++ != (i + 1 < NET_MAC ? ':' : '\0'))
			return false;
	}
	return !(mac[0] & 1);
}

static u64 offers(const struct virtio *v)
{
	const struct config *c = v->dev->config;
	u64 f = NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_HOST_ECN |
		NET_GUEST_OFFLOADS | NET_F_GUEST_OFFLOADS | NET_F_MAC | NET_F_MRG_RXBUF |
		NET_F_STATUS | NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_RX_EXTRA |
		NET_F_CTRL_VLAN | NET_F_CTRL_MAC_ADDR;

	if (!(link_of(v)->takes & NET_TAKES_CSUM))
		f &= ~(NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_HOST_ECN);
	if (!(link_of(v)->takes & NET_TAKES_TSO4))
		f &= ~NET_F_HOST_TSO4;
	if (!(link_of(v)->takes & NET_TAKES_TSO6))
		f &= ~NET_F_HOST_TSO6;
	if (!(link_of(v)->takes & NET_TAKES_ECN))
		f &= ~NET_F_HOST_ECN;
	if (c->queues > 1)
		f |= NET_F_MQ;
	if (c->mtu || link_of(v)->mtu)
		f |= NET_F_MTU;
	return f;
}

static int net_probe(struct virtio *v, struct alc_err *err)
{
	const struct config *c = v->dev->config;
	struct net *n = net_of(v);

	if (!parse_mac(c->mac, n->mac))
		return alc_fail(err, -EINVAL,
				"device '%s': mac is an address as 02:00:00:00:00:01, not '%s'",
				v->dev->id, c->mac);
	if (c->mtu && c->mtu < MTU_MIN)
		return alc_fail(err, -EINVAL, "device '%s': mtu is %u to %u", v->dev->id,
				(unsigned)MTU_MIN, (unsigned)MTU_MAX);
	v->nqueues = 2 * (unsigned)c->queues + 1;
	v->offers = offers(v);
	n->up = true;
	n->front = (struct net_front){
		.receive = front_receive, .room = front_room, .carrier = front_carrier, .ctx = v};
	net_attach(link_of(v), &n->front);
	return 0;
}

static void net_remove(struct virtio *v)
{
	if (net_of(v) && net_of(v)->front.receive)
		net_attach(link_of(v), NULL);
}

static bool net_features_ok(struct virtio *v, u64 f)
{
	/* 5.1.3.1: which features need which. */
	static const struct {
		u64 feature, needs;
	} rules[] = {
		{NET_F_GUEST_TSO4, NET_F_GUEST_CSUM},
		{NET_F_GUEST_TSO6, NET_F_GUEST_CSUM},
		{NET_F_HOST_TSO4, NET_F_CSUM},
		{NET_F_HOST_TSO6, NET_F_CSUM},
		{NET_F_CTRL_RX, NET_F_CTRL_VQ},
		{NET_F_CTRL_VLAN, NET_F_CTRL_VQ},
		{NET_F_MQ, NET_F_CTRL_VQ},
		{NET_F_CTRL_MAC_ADDR, NET_F_CTRL_VQ},
		{NET_F_GUEST_OFFLOADS, NET_F_CTRL_VQ},
	};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if ((f & rules[i].feature) && !(f & rules[i].needs))
			return false;
	net_state_of(v)->offloads = f & NET_GUEST_OFFLOADS;
	return true;
}

static const struct virtio_type type = {
	.id = ID_NET,
	.class_code = PCI_CLASS_ETHERNET,
	.priv_size = sizeof(struct net),
	.config_size = CONFIG_SIZE,
	.probe = net_probe,
	.remove = net_remove,
	.config = net_config,
	.features_ok = net_features_ok,
	.start = net_start,
	.notify = net_notify,
	.stop = net_stop,
	.stop_queue = net_stop_queue,
	.busy = true,
	.reset = net_reset,
	.check = net_check,
};

static const struct alc_field fields[] = {
	VIRTIO_FIELDS,
	FIELD(struct net_state, offloads),
	FIELD(struct net_state, pairs),
	FIELD_ARRAY(struct net_state, mac),
	FIELD_ARRAY(struct net_state, modes),
	FIELD_ARRAY(struct net_state, table_count),
	FIELD_ARRAY(struct net_state, table_overflow),
	FIELD_ARRAY(struct net_state, tables),
	FIELD_ARRAY(struct net_state, vlans),
	FIELD_END,
};
static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};

extern const struct alc_dev_class virtio_net_class;
const struct alc_dev_class virtio_net_class = {
	.name = "virtio-net",
	.summary = "network card",
	.state_size = sizeof(struct net_state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.config_size = sizeof(struct config),
	.props = props,
	.options = options,
	.backend = ALC_BACKEND_NET,
	VIRTIO_CLASS_OPS(type),
};
