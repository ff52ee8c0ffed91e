/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VIRTIO_VSOCK_H
#define VIRTIO_VSOCK_H

#include "device/device.h"
#include "mem/iov.h"

/*
 * Sockets between guest and host (virtio 1.2, 5.10): streams. The device knows connections,
 * packets and credit; the host's ends of connections are a back end's.
 *
 * Threading: the device's lock is held in all functions here, in both directions, but for attach.
 * Calls of the back end must not come from within its own operations.
 */
struct vsock_conn;

enum { VSOCK_CID_HOST = 2 };
/* Which directions are over. */
enum { VSOCK_READ = 1, VSOCK_WRITE = 2 };

struct vsock_ops {
	/*
	 * The guest wants to talk to a port of the host. 0 and the host's end, which the
	 * connection then owns; or -errno, and the guest is refused.
	 */
	int (*connect)(void *ctx, u32 port, struct vsock_conn *c, void **end);
	/* The guest took a connection that the host began. */
	void (*connected)(void *end);
	/* Bytes, 0 at the end of the stream, -EAGAIN, or another -errno: the connection is over. */
	i64 (*read)(void *end, const struct alc_iov *iov, unsigned n);
	/* Bytes, at least 1; -EAGAIN; another -errno: the connection is over. */
	i64 (*write)(void *end, const u8 *bytes, size_t len);
	/* Of what vsock_ready is to tell. */
	void (*watch)(void *end, bool readable, bool writable);
	/* The guest sends no more (VSOCK_WRITE). */
	void (*shutdown)(void *end);
	/* The connection is gone: c is not to be used any more. */
	void (*close)(void *end);
};

/* Before the machine runs; NULL detaches: all connections are closed. Takes the lock itself. */
void virtio_vsock_attach(struct alc_dev *d, const struct vsock_ops *ops, void *ctx);
/* The option that says where the host's side is, "" if it was not given. */
const char *virtio_vsock_path(const struct alc_dev *d);

/*
 * Somebody on the host wants to talk to a port of the guest, from `host_port`, which no other
 * connection to that port has. -ENOTCONN: there is no driver; -ENOMEM, -ENOSPC, -EEXIST.
 */
int vsock_connect(struct alc_dev *d, u32 guest_port, u32 host_port, void *end,
		  struct vsock_conn **out) ALC_MUST_CHECK;
/* The end has something to read, or (reader gone, too) its end; has room to write. */
void vsock_ready(struct vsock_conn *c, bool readable, bool writable);
/* The end was closed by the host. */
void vsock_hang_up(struct vsock_conn *c);

#endif
