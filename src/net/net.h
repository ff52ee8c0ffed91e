/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/bits.h"
#include "mem/iov.h"

/*
 * Ethernet frames between a front end (a network card) and a back end, through stages.
 *
 * A frame is Ethernet without FCS, in pieces, with what the sender leaves to the receiver to do:
 * checksum and segmentation. `offload` has the fields of a virtio network header (virtio 1.2,
 * 5.1.6) in host byte order; a zeroed one asks for nothing.
 *
 * A link is full duplex. The lower side (towards the back end) provides send; the upper side
 * registers a front, whose receive says whether it took the frame. Both directions may refuse for
 * lack of room: who was refused keeps the frame and tries again after `resume` (upwards) or `room`
 * (downwards), or drops it, as its kind documents.
 *
 * Threading: send and resume are called with the upper side's device lock held, on any thread;
 * the frame's memory is the caller's again when they return. The front's functions are called on
 * any thread, receive on one at a time, without locks of the back end held that send or resume
 * take. attach is called without the device's lock.
 */
enum { NET_GSO_NONE = 0, NET_GSO_TCPV4 = 1, NET_GSO_TCPV6 = 4, NET_GSO_ECN = 0x80 };
enum { NET_NEEDS_CSUM = 1, NET_DATA_VALID = 2 };
/* An IP packet of any length in an Ethernet header; pieces that a frame may have. */
enum { NET_FRAME_MIN = 14, NET_FRAME_MAX = 65550, NET_PIECES_MAX = 1024 };

struct net_offload {
	u8 flags, gso_type;
	u16 hdr_len, gso_size, csum_start, csum_offset;
};

struct net_frame {
	const struct alc_iov *iov;
	unsigned niov;
	u32 len; /* sum of iov, NET_FRAME_MIN to NET_FRAME_MAX */
	struct net_offload offload;
};

/* What the receiving side of a direction can take. */
enum {
	NET_TAKES_CSUM = 1, /* frames with NET_NEEDS_CSUM */
	NET_TAKES_TSO4 = 2,
	NET_TAKES_TSO6 = 4,
	NET_TAKES_ECN = 8,
};

struct net_front {
	/* False: no room (or the card is off); the back end may try again after resume. */
	bool (*receive)(void *ctx, const struct net_frame *f);
	/* The back end has room again, after a send that returned false. */
	void (*room)(void *ctx);
	/* The cable: up from attach on, unless told otherwise. */
	void (*carrier)(void *ctx, bool up);
	void *ctx;
};

struct net_link;

struct net_ops {
	const char *name;
	/* False: no room; the front's room is called when it is worth another try. */
	bool (*send)(struct net_link *l, const struct net_frame *f);
	/* What the front takes now (NET_TAKES_*): what comes up must be limited to it. Optional. */
	void (*set_front_takes)(struct net_link *l, unsigned takes);
	/* The front has room again. Optional. */
	void (*resume)(struct net_link *l);
	/* Called once before the machine runs; NULL detaches (after it returns: no receive). */
	void (*attach)(struct net_link *l, const struct net_front *front);
	/* Gives back what lies below too. Detached before. */
	void (*close)(struct net_link *l);
};

/* The head of every stage and back end: embed as the first member. */
struct net_link {
	const struct net_ops *ops;
	unsigned takes; /* NET_TAKES_*: constant */
	u32 mtu; /* payload of the largest frame it carries without segmentation; 0: unknown */
};

static inline bool net_send(struct net_link *l, const struct net_frame *f)
{
	return l->ops->send(l, f);
}

static inline void net_attach(struct net_link *l, const struct net_front *front)
{
	l->ops->attach(l, front);
}

static inline void net_resume(struct net_link *l)
{
	if (l->ops->resume)
		l->ops->resume(l);
}

static inline void net_front_takes(struct net_link *l, unsigned takes)
{
	if (l->ops->set_front_takes)
		l->ops->set_front_takes(l, takes);
}

/* NULL is fine. */
static inline void net_close(struct net_link *l)
{
	if (l)
		l->ops->close(l);
}

#endif
