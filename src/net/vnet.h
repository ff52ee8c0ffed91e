/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_VNET_H
#define NET_VNET_H

#include "net/net.h"

/*
 * The virtio network header as bytes (virtio 1.2, 5.1.6): what struct net_offload is within. A
 * modern device has num_buffers behind it; tap, with the length set to VNET_LEN, has too.
 */
enum { VNET_LEN = 12, VNET_NUM_BUFFERS = 10 };

static inline struct net_offload vnet_get(const u8 *h)
{
	return (struct net_offload){
		.flags = h[0],
		.gso_type = h[1],
		.hdr_len = ld16(h + 2),
		.gso_size = ld16(h + 4),
		.csum_start = ld16(h + 6),
		.csum_offset = ld16(h + 8),
	};
}

static inline void vnet_put(u8 *h, const struct net_offload *o, u16 num_buffers)
{
	h[0] = o->flags;
	h[1] = o->gso_type;
	st16(h + 2, o->hdr_len);
	st16(h + 4, o->gso_size);
	st16(h + 6, o->csum_start);
	st16(h + 8, o->csum_offset);
	st16(h + VNET_NUM_BUFFERS, num_buffers);
}

#endif
