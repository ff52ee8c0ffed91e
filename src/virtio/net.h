/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include "virtio/virtio.h"

/* What the files of the network card share; private to net.c and net_control.c. */
enum { NET_PAIRS_MAX = 16, NET_MAC = 6, NET_MAC_TABLE = 64, NET_VLAN_BYTES = 4096 / 8 };

#define NET_F_CSUM           BIT(0)
#define NET_F_GUEST_CSUM     BIT(1)
#define NET_F_GUEST_OFFLOADS BIT(2)
#define NET_F_MTU            BIT(3)
#define NET_F_MAC            BIT(5)
#define NET_F_GUEST_TSO4     BIT(7)
#define NET_F_GUEST_TSO6     BIT(8)
#define NET_F_GUEST_ECN      BIT(9)
#define NET_F_HOST_TSO4      BIT(11)
#define NET_F_HOST_TSO6      BIT(12)
#define NET_F_HOST_ECN       BIT(13)
#define NET_F_MRG_RXBUF      BIT(15)
#define NET_F_STATUS         BIT(16)
#define NET_F_CTRL_VQ        BIT(17)
#define NET_F_CTRL_RX        BIT(18)
#define NET_F_CTRL_VLAN      BIT(19)
#define NET_F_CTRL_RX_EXTRA  BIT(20)
#define NET_F_MQ             BIT(22)
#define NET_F_CTRL_MAC_ADDR  BIT(23)
#define NET_GUEST_OFFLOADS \
	(NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN)

/* Receive modes, as the commands of class RX count them. */
enum net_rx_mode {
	NET_RX_PROMISC,
	NET_RX_ALLMULTI,
	NET_RX_ALLUNI,
	NET_RX_NOMULTI,
	NET_RX_NOUNI,
	NET_RX_NOBCAST,
	NET_RX_MODES,
};

/* Filter tables: addresses of one kind each. */
enum net_table { NET_UNICAST, NET_MULTICAST, NET_TABLES };

struct net_state {
	struct virtio_regs virtio;
	u64 offloads; /* of NET_GUEST_OFFLOADS, that the driver takes now */
	u16 pairs;    /* in use */
	u8 mac[NET_MAC];
	u8 modes[NET_RX_MODES];
	u8 table_count[NET_TABLES], table_overflow[NET_TABLES];
	u8 tables[NET_TABLES * NET_MAC_TABLE * NET_MAC];
	u8 vlans[NET_VLAN_BYTES];
};

static inline struct net_state *net_state_of(const struct virtio *v)
{
	return v->dev->state;
}

/* net_control.c */
void net_control_notify(struct virtio *v, unsigned queue);
/* Should a frame that begins with these 18 bytes (or fewer: len) reach the driver? */
bool net_wants(const struct virtio *v, const u8 *head, size_t len);
/* net.c: tells the back end what the driver takes now. */
void net_tell_takes(struct virtio *v);

#endif
