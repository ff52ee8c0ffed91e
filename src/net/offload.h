/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_OFFLOAD_H
#define NET_OFFLOAD_H

#include "alcazar/err.h"
#include "host/host.h"
#include "net/net.h"

/*
 * Checksums and segmentation in software, for a receiver that can't do what a sender left to do.
 * Internet checksums: RFC 1071. TCP segmentation: what virtio 1.2, 5.1.6.2 asks of a device.
 */
enum { NET_HEADERS_MAX = 256 };

/* The one's-complement sum of a part of a scattered buffer, as 16 bits in memory order. */
u16 net_sum(const struct alc_iov *iov, unsigned n, u32 at, u32 len);
/* One's-complement addition. */
u16 net_sum_add(u16 a, u16 b);

/*
 * Is what the frame asks for possible with its bytes, by the driver's rules? A frame that leaves
 * nothing to do always is.
 */
bool net_offload_valid(const struct net_frame *f);

/*
 * Makes of a frame that leaves work to do (and is valid) frames that leave none.
 *
 *	net_soft_init(&s, f);
 *	while (net_soft_next(&s, &out))
 *		…
 *
 * Headers are copied once, so a sender that changes them meanwhile changes nothing. What comes out
 * lives until the next call, its payload in f's memory.
 */
struct net_soft {
	u8 original[NET_HEADERS_MAX], headers[NET_HEADERS_MAX];
	u32 headers_len, len, at;
	struct net_offload offload;
	u32 segment; /* how many came out */
	u16 l3;
	bool ipv6, done;
	const struct alc_iov *from;
	unsigned nfrom, npieces;
	struct alc_iov pieces[NET_PIECES_MAX + 1];
};

/* False: the frame is not valid. */
bool net_soft_init(struct net_soft *s, const struct net_frame *f);
bool net_soft_next(struct net_soft *s, struct net_frame *out);

/*
 * A stage that does in software what its neighbours don't take, both ways; towards the front it
 * takes everything. What net_offload_valid refuses goes no further. Takes lower over, also on
 * failure.
 */
int net_soft_stage_create(const struct alc_host *host, struct net_link *lower,
			  struct net_link **out) ALC_MUST_CHECK;

#endif
