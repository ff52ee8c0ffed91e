/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_LINUX_BACKENDS_H
#define NET_LINUX_BACKENDS_H

#include "host/host.h"
#include "host/linux/loop.h"
#include "net/linux/opts.h"
#include "net/net.h"

/* What each kind of network opens; net/linux/open.c has the table. */
typedef int net_opener(const struct alc_host *host, struct loop *loop, const struct net_opts *o,
		       struct net_link **out, struct alc_err *err);

net_opener net_user_open, net_tap_open, net_stream_open, net_hub_open, net_null_open;

/*
 * A stage that records what passes, as pcapng (IETF draft-ietf-opsawg-pcapng). Takes lower over,
 * also on failure.
 */
int net_capture_create(const struct alc_host *host, const char *path, const char *name,
		       struct net_link *lower, struct net_link **out,
		       struct alc_err *err) ALC_MUST_CHECK;

#endif
