/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/linux/backends.h"

/*
 * pcapng (draft-ietf-opsawg-pcapng): a section header, one interface, then a block for each frame
 * that went through, in both directions, before anything is done to it in software. Frames are
 * recorded when they were taken, so one that is offered again is there once.
 *
 * A file that can't be written to any more (a full disk) ends the recording with a line for the
 * operator; the frames still pass.
 */
enum {
	SECTION_HEADER = 0x0a0d0d0a,
	INTERFACE_DESCRIPTION = 1,
	ENHANCED_PACKET = 6,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINK_ETHERNET = 1,
	OPTION_END = 0,
	IF_NAME = 2,
	IF_TSRESOL = 9,
	NANOSECONDS = 9,
	EPB_FLAGS = 2,
	INBOUND = 1, /* as the guest sees it */
	OUTBOUND = 2,
};

struct capture {
	struct net_link link;
	const struct alc_host *host;
	struct net_link *lower;
	struct net_front front;
	int fd;
	pthread_mutex_t lock; /* of what follows and the file */
	bool ended;
	off_t len; /* of the whole blocks that are in the file */
};

/* A block under construction: everything but packet data. */
struct block {
	u8 bytes[192];
	u32 len;
};

static void add32(struct block *b, u32 v)
{
	st32(b->bytes + b->len, v);
	b->len += 4;
}

/* Callers see to it that there is room. Padded to 32 bits, as all options are. */
static void add_option(struct block *b, u16 code, const void *value, u16 len)
{
	add32(b, code | (u32)len << 16);
	memset(b->bytes + b->len, 0, align_up(len, 4));
	memcpy(b->bytes + b->len, value, len);
	b->len += (u32)align_up(len, 4);
}

static bool write_all(struct capture *c, struct iovec *iov, int n, size_t len)
{
	ssize_t done;

	do
		done = pwritev(c->fd, iov, n, c->len);
	while (done < 0 && errno == EINTR);
	if (done != (ssize_t)len) {
		if (done >= 0)
			errno = ENOSPC;
		return false;
	}
	c->len += (off_t)len;
	return true;
}

static void end(struct capture *c)
{
	c->ended = true;
	if (ftruncate(c->fd, c->len))
		c->host->log(c->host->ctx, ALC_LOG_WARN,
			     "the packet capture's file ends in the middle of a frame");
	c->host->log(c->host->ctx, ALC_LOG_ERROR,
		     errno == ENOSPC ? "the packet capture ended: no space on the disk"
				     : "the packet capture ended: its file can't be written");
}

/* ---- Frames ------------------------------------------------------------------------------- */

static void packet_head(struct block *b, u64 ns, u32 len, u32 total)
{
	add32(b, ENHANCED_PACKET);
	add32(b, total);
	add32(b, 0); /* interface */
	add32(b, (u32)(ns >> 32));
	add32(b, (u32)ns);
	add32(b, len);
	add32(b, len);
}

static void packet_tail(struct block *b, u32 len, u32 direction, u32 total)
{
	memset(b->bytes, 0, 4);
	b->len = (u32)align_up(len, 4) - len;
	add_option(b, EPB_FLAGS, &direction, sizeof(direction));
	add32(b, OPTION_END);
	add32(b, total);
}

static void record(struct capture *c, const struct net_frame *f, u32 direction, u64 ns)
{
	struct iovec iov[NET_PIECES_MAX + 2];
	struct block head = {.len = 0}, tail;
	/* 28 of head, padded data, 8 of flags, 4 of end, 4 of length again. */
	u32 total = 28 + (u32)align_up(f->len, 4) + 16;

	if (f->niov > 1022) /* Linux writes 1024 pieces at a time */
		return;
	packet_head(&head, ns, f->len, total);
	packet_tail(&tail, f->len, direction, total);
	iov[0] = (struct iovec){head.bytes, head.len};
	for (unsigned i = 0; i < f->niov; i++)
		iov[1 + i] = (struct iovec){f->iov[i].base, f->iov[i].len};
	iov[1 + f->niov] = (struct iovec){tail.bytes, tail.len};
	pthread_mutex_lock(&c->lock);
	if (!c->ended && !write_all(c, iov, (int)f->niov + 2, total))
		end(c);
	pthread_mutex_unlock(&c->lock);
}

static bool capture_send(struct net_link *l, const struct net_frame *f)
{
	struct capture *c = container_of(l, struct capture, link);
	u64 ns = c->host->wall_ns(c->host->ctx);
	bool taken = net_send(c->lower, f);

	if (taken)
		record(c, f, OUTBOUND, ns);
	return taken;
}

static bool capture_receive(void *ctx, const struct net_frame *f)
{
	struct capture *c = ctx;
	u64 ns = c->host->wall_ns(c->host->ctx);
	bool taken = c->front.receive(c->front.ctx, f);

	if (taken)
		record(c, f, INBOUND, ns);
	return taken;
}

/* ---- What only passes --------------------------------------------------------------------- */

static void capture_room(void *ctx)
{
	struct capture *c = ctx;

	c->front.room(c->front.ctx);
}

static void capture_carrier(void *ctx, bool up)
{
	struct capture *c = ctx;

	c->front.carrier(c->front.ctx, up);
}

static void capture_front_takes(struct net_link *l, unsigned takes)
{
	net_front_takes(container_of(l, struct capture, link)->lower, takes);
}

static void capture_resume(struct net_link *l)
{
	net_resume(container_of(l, struct capture, link)->lower);
}

static void capture_attach(struct net_link *l, const struct net_front *front)
{
	struct capture *c = container_of(l, struct capture, link);
	const struct net_front own = {capture_receive, capture_room, capture_carrier, c};

	if (front)
		c->front = *front;
	net_attach(c->lower, front ? &own : NULL);
}

/* ---- Life --------------------------------------------------------------------------------- */

static void capture_close(struct net_link *l)
{
	struct capture *c = container_of(l, struct capture, link);

	net_close(c->lower);
	if (c->fd >= 0)
		close(c->fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static const struct net_ops ops = {
	.name = "capture",
	.send = capture_send,
	.set_front_takes = capture_front_takes,
	.resume = capture_resume,
	.attach = capture_attach,
	.close = capture_close,
};

static bool write_block(struct capture *c, struct block *b)
{
	struct iovec iov = {b->bytes, b->len + 4};

	add32(b, b->len + 4);
	st32(b->bytes + 4, b->len);
	return write_all(c, &iov, 1, b->len);
}

static bool write_heads(struct capture *c, const char *name)
{
	struct block section = {.len = 0}, interface = {.len = 0};
	const u8 resolution = NANOSECONDS;

	add32(&section, SECTION_HEADER);
	add32(&section, 0); /* length: when it is known */
	add32(&section, BYTE_ORDER_MAGIC);
	add32(&section, 1);   /* version 1.0 */
	add32(&section, ~0u); /* length of the section: unknown */
	add32(&section, ~0u);
	add32(&interface, INTERFACE_DESCRIPTION);
	add32(&interface, 0);
	add32(&interface, LINK_ETHERNET);
	add32(&interface, 0); /* no limit of length */
	add_option(&interface, IF_NAME, name, (u16)strnlen(name, 100));
	add_option(&interface, IF_TSRESOL, &resolution, 1);
	add32(&interface, OPTION_END);
	return write_block(c, &section) && write_block(c, &interface);
}

int net_capture_create(const struct alc_host *host, const char *path, const char *name,
		       struct net_link *lower, struct net_link **out, struct alc_err *err)
{
	struct capture *c = calloc(1, sizeof(*c));

	if (!c) {
		net_close(lower);
		return alc_fail(err, -ENOMEM, "no memory for a packet capture");
	}
	c->link = (struct net_link){.ops = &ops, .takes = lower->takes, .mtu = lower->mtu};
	c->host = host;
	c->lower = lower;
	pthread_mutex_init(&c->lock, NULL);
	c->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (c->fd < 0 || !write_heads(c, name)) {
		int rc = -errno;

		capture_close(&c->link);
		return alc_fail(err, rc, "can't write the packet capture '%s': %s", path,
				strerror(-rc));
	}
	*out = &c->link;
	return 0;
}
