/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alcazar-net-user: the user-mode network of one machine, by libslirp, in a process of its own.
 *
 * Descriptor 3 is a stream socket to the machine. First comes one message with the settings and
 * the answer to it; then frames (net/framing.h) both ways. Ports are bound, then the process
 * confines itself, then it answers that it is ready: so no byte of a guest is seen before.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "host/linux/helper.h"
#include "net/framing.h"
#include "net/linux/helper/profiles.h"
#include "net/linux/helper/resolv.h"
#include "net/linux/helper/settings.h"
#include "net/net.h"

enum {
	IN_SIZE = 1024 * 1024,
	OUT_SIZE = 4 * 1024 * 1024,
	OUT_SOON = 256 * 1024, /* sent at once, rather than when the world was looked after */
	POLLS_MAX = 4096,
	TIMERS_MAX = SLIRP_TIMER_NUM,
};

struct timer {
	bool used, armed;
	SlirpTimerId id;
	void *opaque;
	int64_t expire_ms;
};

struct user {
	Slirp *slirp;
	struct framing in;
	u8 *in_buf, *out_buf;
	size_t out_start, out_end;
	struct pollfd polls[POLLS_MAX];
	unsigned npolls;
	struct timer timers[TIMERS_MAX];
};

static int64_t now_ns(void *opaque)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- To the machine ----------------------------------------------------------------------- */

static void flush(struct user *u)
{
	while (u->out_start < u->out_end) {
		ssize_t n = send(HELPER_FD, u->out_buf + u->out_start, u->out_end - u->out_start,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			_exit(0); /* the machine has ended */
		if (n < 0)
			return;
		u->out_start += (size_t)n;
	}
	u->out_start = u->out_end = 0;
}

/* While frames wait for the machine, the world is not read; so few come here then. */
static bool out_room(struct user *u, size_t len)
{
	if (OUT_SIZE - u->out_end >= len)
		return true;
	memmove(u->out_buf, u->out_buf + u->out_start, u->out_end - u->out_start);
	u->out_end -= u->out_start;
	u->out_start = 0;
	return OUT_SIZE - u->out_end >= len;
}

static ssize_t send_packet(const void *frame, size_t len, void *opaque)
{
	struct user *u = opaque;

	if (len < NET_FRAME_MIN || len > NET_FRAME_MAX || !out_room(u, FRAMING_HEAD + len))
		return (ssize_t)len; /* lost, as on any Ethernet */
	framing_put_head(u->out_buf + u->out_end, (u32)len);
	memcpy(u->out_buf + u->out_end + FRAMING_HEAD, frame, len);
	u->out_end += FRAMING_HEAD + len;
	if (u->out_end - u->out_start >= OUT_SOON)
		flush(u);
	return (ssize_t)len;
}

/* ---- From the machine --------------------------------------------------------------------- */

static void take_frames(struct user *u)
{
	u8 *frame;
	u32 len;

	while ((frame = framing_peek(&u->in, &len))) {
		slirp_input(u->slirp, frame, (int)len);
		framing_take(&u->in);
	}
	if (u->in.broken)
		_exit(3);
}

static void read_machine(struct user *u)
{
	u32 room;
	u8 *to = framing_space(&u->in, &room);
	ssize_t n = recv(HELPER_FD, to, room, MSG_DONTWAIT);

	if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
		_exit(0);
	if (n > 0) {
		framing_filled(&u->in, (u32)n);
		take_frames(u);
	}
}

/* ---- What libslirp asks of its host ------------------------------------------------------- */

static void guest_error(const char *msg, void *opaque)
{
}

static void *timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	struct user *u = opaque;

	for (unsigned i = 0; i < TIMERS_MAX; i++)
		if (!u->timers[i].used) {
			u->timers[i] = (struct timer){.used = true, .id = id, .opaque = cb_opaque};
			return &u->timers[i];
		}
	abort(); /* there are as many as it has kinds */
}

static void timer_free(void *timer, void *opaque)
{
	*(struct timer *)timer = (struct timer){0};
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	struct timer *t = timer;

	t->armed = true;
	t->expire_ms = expire_ms;
}

static void poll_fd(int fd, void *opaque)
{
}

static void notify(void *opaque)
{
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = now_ns,
	.timer_new_opaque = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = poll_fd,
	.unregister_poll_fd = poll_fd,
	.notify = notify,
};

/* ---- The loop ----------------------------------------------------------------------------- */

static const struct {
	int slirp;
	short poll;
} events[] = {
	{SLIRP_POLL_IN, POLLIN},   {SLIRP_POLL_OUT, POLLOUT}, {SLIRP_POLL_PRI, POLLPRI},
	{SLIRP_POLL_ERR, POLLERR}, {SLIRP_POLL_HUP, POLLHUP},
};

static int add_poll(int fd, int want, void *opaque)
{
	struct user *u = opaque;
	short e = 0;

	if (u->npolls == POLLS_MAX)
		return -1;
	for (unsigned i = 0; i < ARRAY_LEN(events); i++)
		if (want & events[i].slirp)
			e |= events[i].poll;
	u->polls[u->npolls] = (struct pollfd){.fd = fd, .events = e};
	return (int)u->npolls++;
}

static int get_revents(int index, void *opaque)
{
	const struct user *u = opaque;
	int got = 0;

	for (unsigned i = 0; index >= 0 && i < ARRAY_LEN(events); i++)
		if (u->polls[index].revents & events[i].poll)
			got |= events[i].slirp;
	return got;
}

static int run_timers(struct user *u)
{
	int64_t now = now_ns(u) / 1000000, next = 60000;

	for (unsigned i = 0; i < TIMERS_MAX; i++) {
		struct timer *t = &u->timers[i];

		if (t->armed && t->expire_ms <= now) {
			t->armed = false;
			slirp_handle_timer(u->slirp, t->id, t->opaque);
		}
		if (t->armed && t->expire_ms - now < next)
			next = t->expire_ms - now;
	}
	return next > 0 ? (int)next : 0;
}

static void turn(struct user *u)
{
	uint32_t timeout = (uint32_t)run_timers(u);
	bool world = u->out_start == u->out_end;
	int n;

	u->npolls = 1;
	u->polls[0] = (struct pollfd){.fd = HELPER_FD, .events = world ? POLLIN : POLLIN | POLLOUT};
	if (world)
		slirp_pollfds_fill(u->slirp, &timeout, add_poll, u);
	n = poll(u->polls, u->npolls, (int)timeout);
	if (n > 0 && u->polls[0].revents & (POLLIN | POLLHUP | POLLERR))
		read_machine(u);
	if (world)
		slirp_pollfds_poll(u->slirp, n < 0, get_revents, u);
	flush(u);
}

/* ---- Start -------------------------------------------------------------------------------- */

static Slirp *start_slirp(const struct settings *s, struct user *u)
{
	const SlirpConfig c = {
		.version = 4,
		.restricted = s->restricted,
		.in_enabled = s->ipv4,
		.vnetwork = s->net,
		.vnetmask = s->mask,
		.vhost = s->host,
		.in6_enabled = s->ipv6,
		.vprefix_addr6 = s->prefix,
		.vprefix_len = (uint8_t)s->prefix_len,
		.vhost6 = s->host6,
		.vhostname = s->hostname[0] ? s->hostname : NULL,
		.vdhcp_start = s->dhcp,
		.vnameserver = s->dns,
		.vnameserver6 = s->dns6,
		.vdomainname = s->domain[0] ? s->domain : NULL,
		.if_mtu = s->mtu,
		.if_mru = s->mtu,
		.disable_host_loopback = !s->host_loopback,
	};

	return slirp_new(&c, &callbacks, u);
}

static int add_forward(Slirp *slirp, const struct settings *s, const struct forward *f,
		       struct alc_err *err)
{
	struct sockaddr_in guest = {
		.sin_family = AF_INET,
		.sin_addr = s->dhcp,
		.sin_port = htons(f->guest_port),
	};

	if (slirp_add_hostxfwd(slirp, (const struct sockaddr *)&f->host, sizeof(f->host),
			       (const struct sockaddr *)&guest, sizeof(guest),
			       f->udp ? SLIRP_HOSTFWD_UDP : 0))
		return alc_fail(err, -errno, "can't forward %s: %s", f->text,
				errno == EADDRINUSE ? "it is in use already" : strerror(errno));
	return 0;
}

static int prepare(struct user *u, char *text, struct alc_err *err)
{
	struct settings s;
	int rc = settings_parse(text, &s, err);

	if (rc)
		return rc;
	u->in_buf = malloc(IN_SIZE);
	u->out_buf = malloc(OUT_SIZE);
	u->slirp = start_slirp(&s, u);
	if (!u->in_buf || !u->out_buf || !u->slirp)
		return alc_fail(err, -ENOMEM,
				"the user-mode network can't start: no memory, or "
				"addresses that don't go together");
	framing_init(&u->in, u->in_buf, IN_SIZE, NET_FRAME_MIN, NET_FRAME_MAX);
	for (unsigned i = 0; !rc && i < s.nforwards; i++)
		rc = add_forward(u->slirp, &s, &s.forwards[i], err);
	return rc ? rc : confine(&net_user_profile, err);
}

static int serve(void)
{
	static struct user u;
	char text[HELPER_TEXT_MAX];
	struct alc_err err = {0};
	int rc;

	if (confine_close_others(&net_user_profile, &err) || helper_receive_text(HELPER_FD, text))
		return 3;
	signal(SIGPIPE, SIG_IGN);
	resolv_load();
	rc = prepare(&u, text, &err);
	if (helper_answer(HELPER_FD, rc, err.text) || rc)
		_exit(3);
	for (;;)
		turn(&u);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--describe-confinement")) {
		confine_describe(&net_user_profile, false, stdout);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--describe-confinement=json")) {
		confine_describe(&net_user_profile, true, stdout);
		return 0;
	}
	if (argc != 1) {
		fputs("alcazar-net-user is started by alcazar.\n", stderr);
		return 2;
	}
	return serve();
}
