/* SPDX-License-Identifier: BSD-2-Clause */
/* The network card's control queue (virtio 1.2, 5.1.6.5), and the filters that it sets. */
#include "virtio/net.h"

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2, CLASS_MQ = 4, CLASS_OFFLOADS = 5 };
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1, VLAN_ADD = 0, VLAN_DEL = 1, MQ_PAIRS_SET = 0 };
enum { OFFLOADS_SET = 0, ACK_OK = 0, ACK_ERR = 1 };
/* Two tables of addresses are the largest command; what is longer says that it overflows. */
enum { COMMAND_MAX = 2 + 2 * (4 + 256 * NET_MAC), PIECES_MAX = 64 };
enum { ETHERTYPE_AT = 12, ETHERTYPE_VLAN = 0x8100, VLAN_TAG_AT = 14, VLAN_ID = 0xfff };

struct command {
	const u8 *data;
	size_t len;
	u8 number;
};

/* ---- commands: 0 or -1 ---- */

static int set_rx_mode(struct virtio *v, const struct command *c)
{
	u64 needs = c->number <= NET_RX_ALLMULTI ? NET_F_CTRL_RX : NET_F_CTRL_RX_EXTRA;

	if (c->number >= NET_RX_MODES || c->len != 1 || c->data[0] > 1 || !virtio_has(v, needs))
		return -1;
	net_state_of(v)->modes[c->number] = c->data[0];
	return 0;
}

/* A table too long for ours lets all addresses of its kind through. */
static int set_mac_tables(struct virtio *v, const struct command *c)
{
	struct net_state *s = net_state_of(v);
	const u8 *at[NET_TABLES];
	u32 count[NET_TABLES];
	size_t pos = 0;

	for (unsigned t = 0; t < NET_TABLES; t++) {
		if (c->len - pos < 4)
			return -1;
		count[t] = ld32(c->data + pos);
		at[t] = c->data + pos + 4;
		pos += 4;
		if (count[t] > (c->len - pos) / NET_MAC)
			return -1;
		pos += (size_t)count[t] * NET_MAC;
	}
	for (unsigned t = 0; t < NET_TABLES; t++) {
		s->table_overflow[t] = count[t] > NET_MAC_TABLE;
		s->table_count[t] = s->table_overflow[t] ? 0 : (u8)count[t];
		__builtin_memcpy(s->tables + t * NET_MAC_TABLE * NET_MAC, at[t],
				 s->table_count[t] * (size_t)NET_MAC);
	}
	return 0;
}

static int set_mac(struct virtio *v, const struct command *c)
{
	if (c->number == MAC_TABLE_SET && virtio_has(v, NET_F_CTRL_RX))
		return set_mac_tables(v, c);
	if (c->number != MAC_ADDR_SET || c->len != NET_MAC || !virtio_has(v, NET_F_CTRL_MAC_ADDR))
		return -1;
	__builtin_memcpy(net_state_of(v)->mac, c->data, NET_MAC);
	return 0;
}

static int set_vlan(struct virtio *v, const struct command *c)
{
	u8 *vlans = net_state_of(v)->vlans;
	unsigned id;

	if (c->number > VLAN_DEL || c->len != 2 || !virtio_has(v, NET_F_CTRL_VLAN))
		return -1;
	id = ld16(c->data);
	if (id > VLAN_ID)
		return -1;
	if (c->number == VLAN_ADD)
		vlans[id / 8] |= (u8)(1u << id % 8);
	else
		vlans[id / 8] &= (u8) ~(1u << id % 8);
	return 0;
}

static int set_pairs(struct virtio *v, const struct command *c)
{
	if (c->number != MQ_PAIRS_SET || c->len != 2 || !virtio_has(v, NET_F_MQ))
		return -1;
	if (ld16(c->data) < 1 || ld16(c->data) > v->nqueues / 2)
		return -1;
	net_state_of(v)->pairs = ld16(c->data);
	return 0;
}

static int set_offloads(struct virtio *v, const struct command *c)
{
	u64 offloads;

	if (c->number != OFFLOADS_SET || c->len != 8 || !virtio_has(v, NET_F_GUEST_OFFLOADS))
		return -1;
	offloads = ld64(c->data);
	if (offloads & ~(v->features & NET_GUEST_OFFLOADS))
		return -1;
	net_state_of(v)->offloads = offloads;
	net_tell_takes(v);
	return 0;
}

static int (*const classes[])(struct virtio *v, const struct command *c) = {
	[CLASS_RX] = set_rx_mode, [CLASS_MAC] = set_mac,           [CLASS_VLAN] = set_vlan,
	[CLASS_MQ] = set_pairs,   [CLASS_OFFLOADS] = set_offloads,
};

static u8 run_command(struct virtio *v, const u8 *bytes, size_t len)
{
	struct command c;

	if (len < 2 || bytes[0] >= ARRAY_LEN(classes) || !classes[bytes[0]])
		return ACK_ERR;
	c = (struct command){.data = bytes + 2, .len = len - 2, .number = bytes[1]};
	return classes[bytes[0]](v, &c) ? ACK_ERR : ACK_OK;
}

void net_control_notify(struct virtio *v, unsigned queue)
{
	struct alc_iov iov[PIECES_MAX];
	struct virtq_chain c = {.iov = iov, .iov_max = PIECES_MAX};
	u8 bytes[COMMAND_MAX], ack;

	while (virtio_pop(v, queue, &c)) {
		size_t len = iov_copy_from(iov, c.nout, 0, bytes, sizeof(bytes));

		if (!c.in_len) {
			virtio_break(v, "a control command without room for its answer");
			return;
		}
		ack = c.out_len > sizeof(bytes) ? ACK_ERR : run_command(v, bytes, len);
		iov_copy_to(iov + c.nout, c.nin, 0, &ack, 1);
		virtio_push(v, queue, &c, 1);
	}
}

/* ---- filters ---- */

static bool in_table(const struct net_state *s, enum net_table t, const u8 *address)
{
	const u8 *table = s->tables + (unsigned)t * NET_MAC_TABLE * NET_MAC;

	for (unsigned i = 0; i < s->table_count[t]; i++)
		if (!__builtin_memcmp(table + (size_t)i * NET_MAC, address, NET_MAC))
			return true;
	return s->table_overflow[t];
}

static bool wants_address(const struct net_state *s, const u8 *address)
{
	static const u8 broadcast[NET_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (!__builtin_memcmp(address, broadcast, NET_MAC))
		return !s->modes[NET_RX_NOBCAST];
	if (address[0] & 1)
		return !s->modes[NET_RX_NOMULTI] &&
		       (s->modes[NET_RX_ALLMULTI] || in_table(s, NET_MULTICAST, address));
	return !s->modes[NET_RX_NOUNI] &&
	       (s->modes[NET_RX_ALLUNI] || !__builtin_memcmp(s->mac, address, NET_MAC) ||
		in_table(s, NET_UNICAST, address));
}

static bool wants_vlan(const struct virtio *v, const u8 *head, size_t len)
{
	const struct net_state *s = net_state_of(v);
	unsigned id;

	if (!virtio_has(v, NET_F_CTRL_VLAN) || len < VLAN_TAG_AT + 2 ||
	    (head[ETHERTYPE_AT] << 8 | head[ETHERTYPE_AT + 1]) != ETHERTYPE_VLAN)
		return true;
	id = (unsigned)(head[VLAN_TAG_AT] << 8 | head[VLAN_TAG_AT + 1]) & VLAN_ID;
	return s->vlans[id / 8] >> id % 8 & 1;
}

bool net_wants(const struct virtio *v, const u8 *head, size_t len)
{
	const struct net_state *s = net_state_of(v);

	return len >= NET_FRAME_MIN && (s->modes[NET_RX_PROMISC] || wants_address(s, head)) &&
	       wants_vlan(v, head, len);
}
