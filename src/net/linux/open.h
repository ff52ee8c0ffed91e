/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_LINUX_OPEN_H
#define NET_LINUX_OPEN_H

#include "alcazar/vm.h"
#include "host/host.h"
#include "host/linux/loop.h"
#include "net/net.h"

/*
 * The whole lower side of a network interface: its back end by kind, a recorder if `capture` is
 * given, and on top the stage that does offloads in software where the back end does not, so that
 * a card may always offer them.
 *
 * Kinds and their options (`capture` goes with all):
 *
 *	user    forward=tcp|udp:[ADDRESS:]HOSTPORT:GUESTPORT (also several), restrict, ipv4, ipv6,
 *	        net=10.0.2.0/24, host_loopback, mtu, hostname, domain
 *	tap     ifname
 *	stream  path: a Unix socket that speaks as passt does; mtu
 *	hub     path: a Unix socket, one for each hub
 *	null
 *
 * Options that belong to the card (device, mac …) must have been taken out: an unknown one is an
 * error. net_option_is_ours tells which are not the card's.
 */
int net_open(const struct alc_host *host, struct loop *loop, const struct alc_net_desc *desc,
	     const char *name, struct net_link **out, struct alc_err *err) ALC_MUST_CHECK;
/* May the back end of this kind have the option? A forward may stand without its key. */
bool net_option_is_ours(const char *kind, const struct alc_device_opt *opt);

#endif
