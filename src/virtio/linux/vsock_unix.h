/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VIRTIO_LINUX_VSOCK_UNIX_H
#define VIRTIO_LINUX_VSOCK_UNIX_H

#include "device/device.h"
#include "host/linux/loop.h"

/*
 * The host's side of a virtio-vsock device as Unix sockets, by the convention that Firecracker and
 * Cloud Hypervisor have:
 *
 *  - who wants to talk to the guest connects to `path`, sends "CONNECT <port>\n" and gets
 *    "OK <port>\n" when the guest has taken the connection, or the end of the stream;
 *  - what the guest connects to on port N of the host is `path`_N, where somebody must listen.
 */
struct vsock_unix;

/* Before the machine runs. -EADDRINUSE if somebody listens on path already. */
int vsock_unix_create(struct alc_dev *d, const char *path, struct loop *loop,
		      struct vsock_unix **out, struct alc_err *err) ALC_MUST_CHECK;
/* While the device is still there and the machine doesn't run. NULL is fine. Removes path. */
void vsock_unix_destroy(struct vsock_unix *u);

#endif
