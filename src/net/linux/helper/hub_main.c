/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alcazar-net-hub: Ethernet between machines of one host.
 *
 * Descriptor 3 is the socket of the first machine, 4 listens for more. Each gets an answer as its
 * welcome, then frames with virtio network headers go both ways (net/framing.h, net/vnet.h); what
 * the headers ask for, the receiving machine checks. A frame goes to where its destination was
 * last seen as a source, else to all; who does not keep up loses frames. The end of the last
 * member is the end of the process.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bits.h"
#include "host/linux/helper.h"
#include "net/framing.h"
#include "net/linux/helper/profiles.h"
#include "net/net.h"
#include "net/vnet.h"

enum {
	LISTEN_FD = HELPER_FD + 1,
	MEMBERS_MAX = 64,
	IN_SIZE = 512 * 1024,
	OUT_SIZE = 2 * 1024 * 1024,
	MACS = 1024, /* remembered; a power of two */
	MAC_LEN = 6,
};

struct member {
	int fd; /* -1: none */
	struct framing in;
	u8 *in_buf, *out_buf;
	size_t out_start, out_end;
};

struct hub {
	struct member members[MEMBERS_MAX];
	unsigned nmembers;
	struct {
		u8 mac[MAC_LEN];
		u8 member; /* index + 1; 0: none */
	} macs[MACS];
};

/* ---- Where to ----------------------------------------------------------------------------- */

static unsigned mac_slot(const u8 *mac)
{
	return ((u32)mac[5] | (u32)mac[4] << 8 | (u32)mac[3] << 16) * 2654435761u >> 16 &
	       (MACS - 1);
}

static void learn(struct hub *h, const u8 *mac, unsigned from)
{
	unsigned slot = mac_slot(mac);

	if (mac[0] & 1) /* a group is no sender */
		return;
	memcpy(h->macs[slot].mac, mac, MAC_LEN);
	h->macs[slot].member = (u8)(from + 1);
}

/* -1: not known, or a group. */
static int find(const struct hub *h, const u8 *mac)
{
	unsigned slot = mac_slot(mac);

	if (mac[0] & 1 || memcmp(h->macs[slot].mac, mac, MAC_LEN) != 0)
		return -1;
	return h->macs[slot].member - 1;
}

static void forget(struct hub *h, unsigned member)
{
	for (unsigned i = 0; i < MACS; i++)
		if (h->macs[i].member == member + 1)
			h->macs[i].member = 0;
}

/* ---- Sending ------------------------------------------------------------------------------ */

static void flush(struct member *m)
{
	while (m->out_start < m->out_end) {
		ssize_t n = send(m->fd, m->out_buf + m->out_start, m->out_end - m->out_start,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) /* gone: the reader will see it */
			break;
		m->out_start += (size_t)n;
	}
	m->out_start = m->out_end = 0;
}

/* bytes: with the length before them. */
static void give(struct member *m, const u8 *bytes, size_t len)
{
	if (OUT_SIZE - m->out_end < len) {
		memmove(m->out_buf, m->out_buf + m->out_start, m->out_end - m->out_start);
		m->out_end -= m->out_start;
		m->out_start = 0;
	}
	if (OUT_SIZE - m->out_end < len)
		return;
	memcpy(m->out_buf + m->out_end, bytes, len);
	m->out_end += len;
}

static void forward(struct hub *h, unsigned from, const u8 *bytes, size_t len)
{
	const u8 *ethernet = bytes + FRAMING_HEAD + VNET_LEN;
	int to = find(h, ethernet);

	learn(h, ethernet + MAC_LEN, from);
	for (unsigned i = 0; i < MEMBERS_MAX; i++)
		if (h->members[i].fd >= 0 && i != from && (to < 0 || (unsigned)to == i))
			give(&h->members[i], bytes, len);
}

/* ---- Members ------------------------------------------------------------------------------ */

static void join(struct hub *h, int fd)
{
	unsigned i = 0;

	while (i < MEMBERS_MAX && h->members[i].fd >= 0)
		i++;
	if (i == MEMBERS_MAX) {
		if (helper_answer(fd, -EBUSY, "the hub is full"))
			errno = 0; /* it has gone already */
		close(fd);
		return;
	}
	if (helper_answer(fd, 0, "")) {
		close(fd);
		return;
	}
	h->members[i].fd = fd;
	h->members[i].out_start = h->members[i].out_end = 0;
	framing_init(&h->members[i].in, h->members[i].in_buf, IN_SIZE, VNET_LEN + NET_FRAME_MIN,
		     VNET_LEN + NET_FRAME_MAX);
	h->nmembers++;
}

static void take_new(struct hub *h)
{
	int fd;

	while ((fd = accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		join(h, fd);
}

/* The order is what a leaving machine relies on: see net/linux/hub.c. */
static void part(struct hub *h, unsigned i)
{
	if (h->nmembers == 1) {
		take_new(h);
		if (h->nmembers == 1)
			close(LISTEN_FD);
	}
	close(h->members[i].fd);
	h->members[i].fd = -1;
	h->nmembers--;
	forget(h, i);
}

static void read_member(struct hub *h, unsigned i)
{
	struct member *m = &h->members[i];
	u32 room, len;
	u8 *to = framing_space(&m->in, &room), *frame;
	ssize_t n = recv(m->fd, to, room, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		framing_filled(&m->in, (u32)n);
	while (n > 0 && (frame = framing_peek(&m->in, &len))) {
		forward(h, i, frame - FRAMING_HEAD, FRAMING_HEAD + len);
		framing_take(&m->in);
	}
	if (n <= 0 || m->in.broken)
		part(h, i);
}

/* ---- The loop ----------------------------------------------------------------------------- */

static void turn(struct hub *h)
{
	struct pollfd polls[MEMBERS_MAX + 1] = {{.fd = LISTEN_FD, .events = POLLIN}};

	for (unsigned i = 0; i < MEMBERS_MAX; i++) {
		const struct member *m = &h->members[i];

		polls[1 + i] = (struct pollfd){.fd = m->fd, .events = POLLIN};
		if (m->out_start < m->out_end)
			polls[1 + i].events |= POLLOUT;
	}
	if (poll(polls, MEMBERS_MAX + 1, -1) < 0)
		return;
	for (unsigned i = 0; i < MEMBERS_MAX; i++)
		if (polls[1 + i].revents & ~POLLOUT)
			read_member(h, i);
	for (unsigned i = 0; i < MEMBERS_MAX; i++)
		if (h->members[i].fd >= 0)
			flush(&h->members[i]);
	if (polls[0].revents)
		take_new(h);
}

static int serve(void)
{
	static struct hub h;
	struct alc_err err = {0};
	int rc = confine_close_others(&net_hub_profile, &err);

	/* Its starter, and the starter's terminal, may end before it. */
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < MEMBERS_MAX; i++) {
		h.members[i].fd = -1;
		h.members[i].in_buf = malloc(IN_SIZE);
		h.members[i].out_buf = malloc(OUT_SIZE);
		if (!h.members[i].in_buf || !h.members[i].out_buf)
			return 3;
	}
	if (!rc)
		rc = confine(&net_hub_profile, &err);
	if (rc) {
		if (helper_answer(HELPER_FD, rc, err.text))
			return 4;
		return 3;
	}
	join(&h, HELPER_FD);
	while (h.nmembers)
		turn(&h);
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--describe-confinement")) {
		confine_describe(&net_hub_profile, false, stdout);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--describe-confinement=json")) {
		confine_describe(&net_hub_profile, true, stdout);
		return 0;
	}
	if (argc != 1) {
		fputs("alcazar-net-hub is started by alcazar.\n", stderr);
		return 2;
	}
	return serve();
}
