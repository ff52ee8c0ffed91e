/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_LINUX_FRAMED_H
#define NET_LINUX_FRAMED_H

#include <sys/types.h>

#include "alcazar/err.h"
#include "host/host.h"
#include "host/linux/loop.h"
#include "net/net.h"

/*
 * A link over a stream socket, frames with their length before them (net/framing.h). What lies
 * behind the socket, a helper process or a stranger, is its opener's business.
 *
 * A full socket refuses; a front that refuses stops the reading, so the other side feels it. The
 * other side gone, or not keeping to the framing: carrier down, one line for the operator, frames
 * are dropped.
 */
struct framed_params {
	const char *what; /* for the operator's line; lives as long as the link */
	u32 mtu;
	bool vnet;       /* a virtio network header comes before each frame: offloads travel */
	bool sums_right; /* no need for the front to check what comes */
	pid_t helper;    /* the process behind it, ended with the link; 0: not ours */
	void (*leave)(void *ctx, int fd); /* in close, before fd is closed; optional */
	void *ctx;
};

/* Takes fd and the process over, also on failure. */
int framed_create(const struct alc_host *host, struct loop *loop, int fd,
		  const struct framed_params *p, struct net_link **out,
		  struct alc_err *err) ALC_MUST_CHECK;

#endif
