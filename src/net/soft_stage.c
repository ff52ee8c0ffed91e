/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "net/offload.h"

/*
 * Frames whose offload fields don't fit their bytes are lost here, both ways: they come from a
 * guest, ours or one behind a hub, and neither back ends nor drivers need to be ready for them.
 *
 * A receiver may refuse one segment of many. Its sender then keeps the whole frame and brings it
 * again, so the way remembers how far it was; another frame in its place (the card was reset) is
 * told by its headers, which have sequence numbers.
 */
struct way {
	struct net_soft soft;
	struct net_frame next;
	bool pending; /* `next` was refused */
};

struct stage {
	struct net_link link;
	const struct alc_host *host;
	struct net_link *lower;
	struct net_front front;
	_Atomic(unsigned) front_takes;
	struct way down, up;
};

static unsigned needs(const struct net_offload *o)
{
	unsigned n = o->flags & NET_NEEDS_CSUM ? NET_TAKES_CSUM : 0;

	switch (o->gso_type & ~NET_GSO_ECN) {
	case NET_GSO_NONE:
		return n;
	case NET_GSO_TCPV4:
		n |= NET_TAKES_TSO4;
		break;
	default:
		n |= NET_TAKES_TSO6;
	}
	return o->gso_type & NET_GSO_ECN ? n | NET_TAKES_ECN : n;
}

static bool same_frame(const struct way *w, const struct net_frame *f)
{
	u8 head[NET_HEADERS_MAX];
	size_t n = w->soft.headers_len;

	return f->len == w->soft.len && f->iov == w->soft.from && f->niov == w->soft.nfrom &&
	       iov_copy_from(f->iov, f->niov, 0, head, n) == n &&
	       !__builtin_memcmp(head, w->soft.original, n);
}

typedef bool (*sink)(struct stage *s, const struct net_frame *f);

static bool convert(struct stage *s, struct way *w, const struct net_frame *f, sink to)
{
	if (w->pending && same_frame(w, f)) {
		if (!to(s, &w->next))
			return false;
	} else if (!net_soft_init(&w->soft, f)) {
		w->pending = false;
		return true;
	}
	w->pending = false;
	while (net_soft_next(&w->soft, &w->next))
		if (!to(s, &w->next)) {
			w->pending = true;
			return false;
		}
	return true;
}

static bool to_lower(struct stage *s, const struct net_frame *f)
{
	return net_send(s->lower, f);
}

static bool to_front(struct stage *s, const struct net_frame *f)
{
	return s->front.receive(s->front.ctx, f);
}

static bool stage_send(struct net_link *l, const struct net_frame *f)
{
	struct stage *s = container_of(l, struct stage, link);

	if (!net_offload_valid(f))
		return true;
	if (!(needs(&f->offload) & ~s->lower->takes))
		return net_send(s->lower, f);
	return convert(s, &s->down, f, to_lower);
}

static bool stage_receive(void *ctx, const struct net_frame *f)
{
	struct stage *s = ctx;

	if (!net_offload_valid(f))
		return true;
	if (!(needs(&f->offload) & ~s->front_takes))
		return to_front(s, f);
	return convert(s, &s->up, f, to_front);
}

static void stage_room(void *ctx)
{
	struct stage *s = ctx;

	s->front.room(s->front.ctx);
}

static void stage_carrier(void *ctx, bool up)
{
	struct stage *s = ctx;

	s->front.carrier(s->front.ctx, up);
}

static void stage_front_takes(struct net_link *l, unsigned takes)
{
	struct stage *s = container_of(l, struct stage, link);

	s->front_takes = takes;
	net_front_takes(s->lower, takes);
}

static void stage_resume(struct net_link *l)
{
	net_resume(container_of(l, struct stage, link)->lower);
}

static void stage_attach(struct net_link *l, const struct net_front *front)
{
	struct stage *s = container_of(l, struct stage, link);
	const struct net_front own = {stage_receive, stage_room, stage_carrier, s};

	if (front)
		s->front = *front;
	net_attach(s->lower, front ? &own : NULL);
}

static void stage_close(struct net_link *l)
{
	struct stage *s = container_of(l, struct stage, link);

	net_close(s->lower);
	host_free(s->host, s, sizeof(*s));
}

static const struct net_ops ops = {
	.name = "soft",
	.send = stage_send,
	.set_front_takes = stage_front_takes,
	.resume = stage_resume,
	.attach = stage_attach,
	.close = stage_close,
};

int net_soft_stage_create(const struct alc_host *host, struct net_link *lower,
			  struct net_link **out)
{
	struct stage *s = host_alloc(host, sizeof(*s));

	if (!s) {
		net_close(lower);
		return -ENOMEM;
	}
	s->link = (struct net_link){
		.ops = &ops,
		.takes = NET_TAKES_CSUM | NET_TAKES_TSO4 | NET_TAKES_TSO6 | NET_TAKES_ECN,
		.mtu = lower->mtu,
	};
	s->host = host;
	s->lower = lower;
	*out = &s->link;
	return 0;
}
