/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/linux/backends.h"
#include "net/vnet.h"

/*
 * A tap interface of the host's (Documentation/networking/tuntap.rst): each read and write is a
 * frame with a virtio network header before it, so offloads pass.
 *
 * The kernel drops what an interface that is down or full does not take, as a real one does; so
 * send never refuses. What the front refuses is kept, one frame, and the rest waits in the kernel.
 */
enum { RX_ROUNDS = 64 };

struct tap {
	struct net_link link;
	const struct alc_host *host;
	int fd, kick_fd;
	struct loop_fd *on_tap, *on_kick;

	pthread_mutex_t front_lock; /* held while the front is called */
	struct net_front front;
	bool attached;

	/* The loop thread's own. */
	u8 frame[VNET_LEN + NET_FRAME_MAX];
	u32 kept; /* length of what the front refused; 0: nothing */
};

static bool tap_send(struct net_link *l, const struct net_frame *f)
{
	struct tap *t = container_of(l, struct tap, link);
	struct iovec iov[1 + NET_PIECES_MAX];
	u8 head[VNET_LEN];
	ssize_t n;

	if (f->niov >= NET_PIECES_MAX) /* Linux takes 1024 with the header */
		return true;
	vnet_put(head, &f->offload, 0);
	iov[0] = (struct iovec){head, sizeof(head)};
	for (unsigned i = 0; i < f->niov; i++)
		iov[1 + i] = (struct iovec){f->iov[i].base, f->iov[i].len};
	do
		n = writev(t->fd, iov, (int)f->niov + 1);
	while (n < 0 && errno == EINTR);
	return true;
}

/* ---- Receiving ---------------------------------------------------------------------------- */

static bool deliver(struct tap *t)
{
	struct alc_iov iov = {t->frame + VNET_LEN, t->kept - VNET_LEN};
	struct net_frame f = {&iov, 1, t->kept - VNET_LEN, vnet_get(t->frame)};
	bool taken;

	pthread_mutex_lock(&t->front_lock);
	taken = t->attached && t->front.receive(t->front.ctx, &f);
	pthread_mutex_unlock(&t->front_lock);
	if (taken)
		t->kept = 0;
	return taken;
}

static void tap_ready(void *ctx, uint32_t events)
{
	struct tap *t = ctx;

	for (unsigned i = 0; i < RX_ROUNDS; i++) {
		ssize_t n;

		if (t->kept && !deliver(t)) {
			loop_change(t->on_tap, 0); /* until kicked */
			return;
		}
		n = read(t->fd, t->frame, sizeof(t->frame));
		if (n < VNET_LEN + NET_FRAME_MIN) {
			/* An interface that was deleted reads as EBADFD for ever. */
			if (n < 0 && errno != EAGAIN && errno != EINTR)
				loop_change(t->on_tap, 0);
			return;
		}
		t->kept = (u32)n;
	}
}

static void kicked(void *ctx, uint32_t events)
{
	struct tap *t = ctx;
	eventfd_t count;

	if (!eventfd_read(t->kick_fd, &count))
		loop_change(t->on_tap, EPOLLIN);
}

static void tap_resume(struct net_link *l)
{
	struct tap *t = container_of(l, struct tap, link);

	eventfd_write(t->kick_fd, 1);
}

/* ---- The front ---------------------------------------------------------------------------- */

static void tap_front_takes(struct net_link *l, unsigned takes)
{
	static const unsigned flags[][2] = {
		{NET_TAKES_CSUM, TUN_F_CSUM},
		{NET_TAKES_TSO4, TUN_F_TSO4},
		{NET_TAKES_TSO6, TUN_F_TSO6},
		{NET_TAKES_ECN, TUN_F_TSO_ECN},
	};
	struct tap *t = container_of(l, struct tap, link);
	unsigned offloads = 0;

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (takes & flags[i][0])
			offloads |= flags[i][1];
	/* Where it can't, the stage above does it. */
	ioctl(t->fd, TUNSETOFFLOAD, offloads);
}

static void tap_attach(struct net_link *l, const struct net_front *front)
{
	struct tap *t = container_of(l, struct tap, link);

	pthread_mutex_lock(&t->front_lock);
	t->attached = front;
	if (front)
		t->front = *front;
	pthread_mutex_unlock(&t->front_lock);
	tap_resume(l);
}

static void tap_close(struct net_link *l)
{
	struct tap *t = container_of(l, struct tap, link);

	loop_remove(t->on_kick);
	loop_remove(t->on_tap);
	if (t->kick_fd >= 0)
		close(t->kick_fd);
	if (t->fd >= 0)
		close(t->fd);
	pthread_mutex_destroy(&t->front_lock);
	free(t);
}

static const struct net_ops ops = {
	.name = "tap",
	.send = tap_send,
	.set_front_takes = tap_front_takes,
	.resume = tap_resume,
	.attach = tap_attach,
	.close = tap_close,
};

/* ---- Opening ------------------------------------------------------------------------------ */

static int fail_to_set(const char *ifname, int code, struct alc_err *err)
{
	switch (code) {
	case EPERM:
		return alc_fail(err, -EPERM,
				"no permission for tap '%s': make it with 'ip tuntap add %s mode "
				"tap user NAME', or run with CAP_NET_ADMIN",
				ifname, ifname);
	case EBUSY:
		return alc_fail(err, -EBUSY, "tap '%s' is in use by another program", ifname);
	case EINVAL:
		return alc_fail(err, -EINVAL, "'%s' is not a tap interface with one queue", ifname);
	default:
		return alc_fail(err, -code, "can't use tap '%s': %s", ifname, strerror(code));
	}
}

static int set_interface(int fd, const char *ifname, struct alc_err *err)
{
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	const int len = VNET_LEN, little = 1;

	if (strlen(ifname) >= IFNAMSIZ)
		return alc_fail(err, -EINVAL, "'%.40s' is too long for an interface's name",
				ifname);
	memcpy(r.ifr_name, ifname, strlen(ifname));
	if (ioctl(fd, TUNSETIFF, &r))
		return fail_to_set(ifname, errno, err);
	if (ioctl(fd, TUNSETVNETHDRSZ, &len) || ioctl(fd, TUNSETVNETLE, &little) ||
	    ioctl(fd, TUNSETOFFLOAD, 0))
		return alc_fail(err, -errno, "tap '%s' can't do virtio headers: %s", ifname,
				strerror(errno));
	return 0;
}

/* An interface that is not there would be made, and go with us: who asks for one has it set up. */
static int open_tap(const char *ifname, int *out, struct alc_err *err)
{
	int fd, rc;

	if (!if_nametoindex(ifname))
		return alc_fail(err, -ENODEV,
				"there is no tap interface '%s' (ip tuntap add %s "
				"mode tap)",
				ifname, ifname);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return alc_fail(err, -errno, "can't open /dev/net/tun: %s", strerror(errno));
	rc = set_interface(fd, ifname, err);
	if (rc)
		close(fd);
	else
		*out = fd;
	return rc;
}

static u32 get_mtu(const char *ifname)
{
	struct ifreq r = {0};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	u32 mtu = 0;

	memcpy(r.ifr_name, ifname, strlen(ifname));
	if (s >= 0 && !ioctl(s, SIOCGIFMTU, &r))
		mtu = (u32)r.ifr_mtu;
	if (s >= 0)
		close(s);
	return mtu;
}

int net_tap_open(const struct alc_host *host, struct loop *loop, const struct net_opts *o,
		 struct net_link **out, struct alc_err *err)
{
	const char *ifname = NULL;
	struct tap *t;
	int fd = -1, rc = opts_need(o, "ifname", &ifname, err);

	if (!rc)
		rc = open_tap(ifname, &fd, err);
	if (rc)
		return rc;
	t = calloc(1, sizeof(*t));
	if (!t) {
		close(fd);
		return alc_fail(err, -ENOMEM, "no memory for network tap");
	}
	t->link = (struct net_link){
		.ops = &ops,
		.takes = NET_TAKES_CSUM | NET_TAKES_TSO4 | NET_TAKES_TSO6 | NET_TAKES_ECN,
		.mtu = get_mtu(ifname),
	};
	t->host = host;
	t->fd = fd;
	pthread_mutex_init(&t->front_lock, NULL);
	t->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = t->kick_fd < 0 ? alc_fail(err, -errno, "can't make an event descriptor") : 0;
	if (!rc)
		rc = loop_add(loop, fd, 0, tap_ready, t, &t->on_tap, err);
	if (!rc)
		rc = loop_add(loop, t->kick_fd, EPOLLIN, kicked, t, &t->on_kick, err);
	if (rc)
		tap_close(&t->link);
	else
		*out = &t->link;
	return rc;
}
