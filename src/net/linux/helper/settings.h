/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_LINUX_HELPER_SETTINGS_H
#define NET_LINUX_HELPER_SETTINGS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "alcazar/err.h"

/* The user-mode network's settings, as lines "key=value". */
enum { FORWARDS_MAX = 64 };

struct forward {
	bool udp;
	struct sockaddr_in host;
	unsigned short host_port, guest_port;
	char text[80]; /* "tcp:127.0.0.1:80", for messages */
};

struct settings {
	bool ipv4, ipv6, restricted, host_loopback;
	unsigned mtu;
	struct in_addr net, mask, host, dns, dhcp;
	struct in6_addr prefix, host6, dns6;
	unsigned prefix_len;
	char hostname[64], domain[256];
	struct forward forwards[FORWARDS_MAX];
	unsigned nforwards;
};

/* Changes text. -EINVAL with a sentence. */
int settings_parse(char *text, struct settings *out, struct alc_err *err) ALC_MUST_CHECK;

#endif
