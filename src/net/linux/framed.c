/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/linux/framed.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host/linux/helper.h"
#include "net/framing.h"
#include "net/vnet.h"

enum {
	RX_SIZE = 512 * 1024,
	/* Receives before others of the loop have their turn. */
	RX_ROUNDS = 8,
	TX_MAX = FRAMING_HEAD + VNET_LEN + NET_FRAME_MAX,
};

struct framed {
	struct net_link link;
	struct framed_params p;
	const struct alc_host *host;
	int fd, kick_fd;
	struct loop_fd *on_socket, *on_kick;
	atomic_uint front_takes;

	pthread_mutex_t front_lock; /* held while the front is called */
	struct net_front front;
	bool attached;

	pthread_mutex_t tx_lock;
	u8 tail[TX_MAX]; /* of a frame that the socket took in part */
	u32 tail_at, tail_len;
	bool refused; /* somebody waits for room */
	bool reading; /* what the loop waits for */
	bool dead;

	struct framing rx; /* the loop thread's own */
	u8 rx_buf[RX_SIZE];
};

/* ---- Towards the other side --------------------------------------------------------------- */

/* With tx_lock held. */
static void watch(struct framed *f)
{
	uint32_t events = f->reading ? EPOLLIN : 0;

	if (f->tail_len || f->refused)
		events |= EPOLLOUT;
	loop_change(f->on_socket, f->dead ? 0 : events);
}

static ssize_t push(struct framed *f, struct iovec *iov, size_t n)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t sent;

	do
		sent = sendmsg(f->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent;
}

/* The pieces as one sendmsg takes them: head, then the frame. */
struct outgoing {
	u8 head[FRAMING_HEAD + VNET_LEN];
	struct iovec iov[1 + NET_PIECES_MAX];
	size_t n, len;
};

static void prepare(const struct framed *f, const struct net_frame *frame, struct outgoing *o)
{
	u32 extra = f->p.vnet ? VNET_LEN : 0;

	framing_put_head(o->head, extra + frame->len);
	if (extra)
		vnet_put(o->head + FRAMING_HEAD, &frame->offload, 0);
	o->iov[0] = (struct iovec){o->head, FRAMING_HEAD + extra};
	for (unsigned i = 0; i < frame->niov; i++)
		o->iov[1 + i] = (struct iovec){frame->iov[i].base, frame->iov[i].len};
	o->n = 1 + frame->niov;
	o->len = FRAMING_HEAD + extra + frame->len;
}

/* What sendmsg left of the pieces goes to the tail. */
static void keep_rest(struct framed *f, const struct outgoing *o, size_t sent)
{
	f->tail_at = f->tail_len = 0;
	for (size_t i = 0; i < o->n; i++) {
		size_t len = o->iov[i].iov_len;

		if (sent < len) {
			memcpy(f->tail + f->tail_len, (u8 *)o->iov[i].iov_base + sent, len - sent);
			f->tail_len += (u32)(len - sent);
			sent = 0;
		} else {
			sent -= len;
		}
	}
}

static bool refuse(struct framed *f)
{
	f->refused = true;
	watch(f);
	return false;
}

/* Linux takes 1024 pieces at a time; a frame of more goes by way of the tail. */
static bool send_locked(struct framed *f, const struct net_frame *frame)
{
	struct outgoing o;
	ssize_t sent;

	if (f->dead)
		return true;
	if (f->tail_len)
		return refuse(f);
	prepare(f, frame, &o);
	sent = o.n > 1024 ? 0 : push(f, o.iov, o.n);
	if (sent < 0)
		return errno != EAGAIN || refuse(f); /* other errors: the reader will see them */
	if ((size_t)sent < o.len) {
		keep_rest(f, &o, (size_t)sent);
		watch(f);
	}
	return true;
}

static bool framed_send(struct net_link *l, const struct net_frame *frame)
{
	struct framed *f = container_of(l, struct framed, link);
	bool taken;

	if (frame->niov > NET_PIECES_MAX || frame->len > NET_FRAME_MAX)
		return true;
	pthread_mutex_lock(&f->tx_lock);
	taken = send_locked(f, frame);
	pthread_mutex_unlock(&f->tx_lock);
	return taken;
}

/* The socket has room. */
static void drain(struct framed *f)
{
	bool tell;

	pthread_mutex_lock(&f->tx_lock);
	if (f->tail_len) {
		struct iovec iov = {f->tail + f->tail_at, f->tail_len};
		ssize_t sent = push(f, &iov, 1);

		if (sent > 0) {
			f->tail_at += (u32)sent;
			f->tail_len -= (u32)sent;
		}
	}
	tell = f->refused && !f->tail_len;
	if (tell)
		f->refused = false;
	watch(f);
	pthread_mutex_unlock(&f->tx_lock);
	if (!tell)
		return;
	pthread_mutex_lock(&f->front_lock);
	if (f->attached)
		f->front.room(f->front.ctx);
	pthread_mutex_unlock(&f->front_lock);
}

/* ---- From the other side ------------------------------------------------------------------ */

static void set_reading(struct framed *f, bool on)
{
	pthread_mutex_lock(&f->tx_lock);
	f->reading = on;
	watch(f);
	pthread_mutex_unlock(&f->tx_lock);
}

static void die(struct framed *f, const char *why)
{
	char how[64], line[200];

	pthread_mutex_lock(&f->tx_lock);
	f->dead = true;
	f->tail_len = 0;
	watch(f);
	pthread_mutex_unlock(&f->tx_lock);
	if (!why) {
		helper_how_ended(f->p.helper, how, sizeof(how));
		why = how;
	}
	snprintf(line, sizeof(line), "%s %s: the guest's network cable is out", f->p.what, why);
	f->host->log(f->host->ctx, ALC_LOG_ERROR, line);
	pthread_mutex_lock(&f->front_lock);
	if (f->attached)
		f->front.carrier(f->front.ctx, false);
	pthread_mutex_unlock(&f->front_lock);
}

static bool deliver_one(struct framed *f, u8 *bytes, u32 len)
{
	u32 extra = f->p.vnet ? VNET_LEN : 0;
	struct alc_iov iov = {bytes + extra, len - extra};
	struct net_frame frame = {.iov = &iov, .niov = 1, .len = len - extra};

	if (f->p.vnet)
		frame.offload = vnet_get(bytes);
	else if (f->p.sums_right && atomic_load(&f->front_takes) & NET_TAKES_CSUM)
		frame.offload.flags = NET_DATA_VALID;
	return f->front.receive(f->front.ctx, &frame);
}

/* False: the front refused, or is not there. */
static bool deliver(struct framed *f)
{
	u8 *bytes;
	u32 len;
	bool all = true;

	pthread_mutex_lock(&f->front_lock);
	while (all && (bytes = framing_peek(&f->rx, &len))) {
		all = f->attached && deliver_one(f, bytes, len);
		if (all)
			framing_take(&f->rx);
	}
	pthread_mutex_unlock(&f->front_lock);
	return all;
}

/* 1: there may be more; 0: not now; -1: the other side is gone. */
static int fill(struct framed *f)
{
	u32 room;
	u8 *to = framing_space(&f->rx, &room);
	ssize_t n;

	do
		n = recv(f->fd, to, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	framing_filled(&f->rx, (u32)n);
	return !n ? -1 : (u32)n == room;
}

static void receive(struct framed *f)
{
	int more = 1;

	for (int round = 0; more > 0 && round < RX_ROUNDS; round++) {
		if (!deliver(f)) {
			set_reading(f, false); /* until kicked */
			return;
		}
		if (f->rx.broken) {
			die(f, "sent what is no frame");
			return;
		}
		more = fill(f);
	}
	if (!deliver(f))
		set_reading(f, false);
	else if (f->rx.broken)
		die(f, "sent what is no frame");
	else if (more < 0)
		die(f, NULL);
}

static void socket_ready(void *ctx, uint32_t events)
{
	struct framed *f = ctx;

	if (events & EPOLLOUT)
		drain(f);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !f->dead)
		receive(f);
}

/* The front has room, or came. */
static void kicked(void *ctx, uint32_t events)
{
	struct framed *f = ctx;
	eventfd_t count;

	if (eventfd_read(f->kick_fd, &count) || f->dead)
		return;
	if (deliver(f))
		set_reading(f, true);
}

static void framed_resume(struct net_link *l)
{
	struct framed *f = container_of(l, struct framed, link);

	eventfd_write(f->kick_fd, 1);
}

static void framed_front_takes(struct net_link *l, unsigned takes)
{
	atomic_store(&container_of(l, struct framed, link)->front_takes, takes);
}

static void framed_attach(struct net_link *l, const struct net_front *front)
{
	struct framed *f = container_of(l, struct framed, link);
	bool dead;

	pthread_mutex_lock(&f->front_lock);
	f->attached = front;
	if (front)
		f->front = *front;
	pthread_mutex_lock(&f->tx_lock);
	dead = f->dead;
	pthread_mutex_unlock(&f->tx_lock);
	if (front && dead)
		front->carrier(front->ctx, false);
	pthread_mutex_unlock(&f->front_lock);
	framed_resume(l);
}

/* ---- Life --------------------------------------------------------------------------------- */

static void end_conversation(int fd, const struct framed_params *p)
{
	if (p->leave)
		p->leave(p->ctx, fd);
	close(fd);
	helper_end(p->helper);
}

static void framed_close(struct net_link *l)
{
	struct framed *f = container_of(l, struct framed, link);

	loop_remove(f->on_kick);
	loop_remove(f->on_socket);
	if (f->kick_fd >= 0)
		close(f->kick_fd);
	end_conversation(f->fd, &f->p);
	pthread_mutex_destroy(&f->tx_lock);
	pthread_mutex_destroy(&f->front_lock);
	free(f);
}

static const struct net_ops ops = {
	.name = "framed",
	.send = framed_send,
	.set_front_takes = framed_front_takes,
	.resume = framed_resume,
	.attach = framed_attach,
	.close = framed_close,
};

static struct framed *framed_new(const struct alc_host *host, int fd, const struct framed_params *p)
{
	struct framed *f = calloc(1, sizeof(*f));
	u32 extra = p->vnet ? VNET_LEN : 0;

	if (!f)
		return NULL;
	f->link = (struct net_link){.ops = &ops, .mtu = p->mtu};
	if (p->vnet)
		f->link.takes = NET_TAKES_CSUM | NET_TAKES_TSO4 | NET_TAKES_TSO6 | NET_TAKES_ECN;
	f->p = *p;
	f->host = host;
	f->fd = fd;
	f->kick_fd = -1;
	pthread_mutex_init(&f->front_lock, NULL);
	pthread_mutex_init(&f->tx_lock, NULL);
	framing_init(&f->rx, f->rx_buf, RX_SIZE, extra + NET_FRAME_MIN, extra + NET_FRAME_MAX);
	return f;
}

static int framed_start(struct framed *f, struct loop *loop, struct alc_err *err)
{
	int rc;

	f->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->kick_fd < 0)
		return alc_fail(err, -errno, "can't make an event descriptor: %s", strerror(errno));
	/* Asleep: nothing is read before a front is there. */
	rc = loop_add(loop, f->fd, 0, socket_ready, f, &f->on_socket, err);
	return rc ? rc : loop_add(loop, f->kick_fd, EPOLLIN, kicked, f, &f->on_kick, err);
}

int framed_create(const struct alc_host *host, struct loop *loop, int fd,
		  const struct framed_params *p, struct net_link **out, struct alc_err *err)
{
	struct framed *f = framed_new(host, fd, p);
	int rc;

	if (!f) {
		end_conversation(fd, p);
		return alc_fail(err, -ENOMEM, "no memory for a network link");
	}
	rc = framed_start(f, loop, err);
	if (rc) {
		framed_close(&f->link);
		return rc;
	}
	*out = &f->link;
	return 0;
}
