/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/linux/helper/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

/* ---- Values ------------------------------------------------------------------------------- */

static bool number(const char *s, unsigned long max, unsigned long *out)
{
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*out = strtoul(s, &end, 10);
	return !*end && !errno && *out <= max;
}

static bool set_bool(const char *v, bool *out)
{
	*out = !strcmp(v, "on");
	return *out || !strcmp(v, "off");
}

static bool set_net(const char *v, struct settings *s)
{
	char addr[INET_ADDRSTRLEN];
	const char *slash = strchr(v, '/');
	unsigned long bits;

	if (!slash || (size_t)(slash - v) >= sizeof(addr) || !number(slash + 1, 30, &bits) ||
	    bits < 8)
		return false;
	memcpy(addr, v, (size_t)(slash - v));
	addr[slash - v] = 0;
	if (inet_pton(AF_INET, addr, &s->net) != 1)
		return false;
	s->mask.s_addr = htonl(~0u << (32 - bits));
	return !(s->net.s_addr & ~s->mask.s_addr);
}

static bool set_text(const char *v, char *out, size_t size)
{
	return (size_t)snprintf(out, size, "%s", v) < size;
}

static bool set_mtu(const char *v, struct settings *s)
{
	unsigned long n;

	if (!number(v, 65520, &n) || n < 1280)
		return false;
	s->mtu = (unsigned)n;
	return true;
}

/* ---- Forwards ----------------------------------------------------------------------------- */

static bool port(const char *s, unsigned short *out)
{
	unsigned long n;

	if (!number(s, 65535, &n) || !n)
		return false;
	*out = (unsigned short)n;
	return true;
}

/* tcp:HOSTPORT:GUESTPORT, tcp:ADDRESS:HOSTPORT:GUESTPORT. Guests have no known IPv6 address. */
static bool parse_forward(const char *v, struct forward *f)
{
	char text[64], *part[4] = {NULL}, *save = NULL;
	const char *addr;
	unsigned n = 0;

	if (!set_text(v, text, sizeof(text)))
		return false;
	for (char *p = strtok_r(text, ":", &save); p; p = strtok_r(NULL, ":", &save)) {
		if (n == ARRAY_LEN(part))
			return false;
		part[n++] = p;
	}
	if (n < 3)
		return false;
	f->udp = !strcmp(part[0], "udp");
	addr = n == 4 ? part[1] : "127.0.0.1";
	if ((!f->udp && strcmp(part[0], "tcp") != 0) || !port(part[n - 2], &f->host_port) ||
	    !port(part[n - 1], &f->guest_port))
		return false;
	f->host = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(f->host_port)};
	snprintf(f->text, sizeof(f->text), "%s port %u of %.40s", f->udp ? "UDP" : "TCP",
		 f->host_port, addr);
	return inet_pton(AF_INET, addr, &f->host.sin_addr) == 1;
}

static bool set_forward(const char *v, struct settings *s)
{
	return s->nforwards < FORWARDS_MAX && parse_forward(v, &s->forwards[s->nforwards]) &&
	       ++s->nforwards;
}

/* ---- All ---------------------------------------------------------------------------------- */

static bool set(struct settings *s, const char *key, const char *v)
{
	if (!strcmp(key, "ipv4"))
		return set_bool(v, &s->ipv4);
	if (!strcmp(key, "ipv6"))
		return set_bool(v, &s->ipv6);
	if (!strcmp(key, "restrict"))
		return set_bool(v, &s->restricted);
	if (!strcmp(key, "host_loopback"))
		return set_bool(v, &s->host_loopback);
	if (!strcmp(key, "net"))
		return set_net(v, s);
	if (!strcmp(key, "mtu"))
		return set_mtu(v, s);
	if (!strcmp(key, "hostname"))
		return set_text(v, s->hostname, sizeof(s->hostname));
	if (!strcmp(key, "domain"))
		return set_text(v, s->domain, sizeof(s->domain));
	return !strcmp(key, "forward") && set_forward(v, s);
}

static struct in_addr member(const struct settings *s, u32 host)
{
	return (struct in_addr){.s_addr = s->net.s_addr | htonl(host)};
}

int settings_parse(char *text, struct settings *out, struct alc_err *err)
{
	struct settings s = {.ipv4 = true, .ipv6 = true, .host_loopback = true, .mtu = 65520};
	char *save = NULL;

	if (!set_net("10.0.2.0/24", &s) || inet_pton(AF_INET6, "fec0::", &s.prefix) != 1 ||
	    inet_pton(AF_INET6, "fec0::2", &s.host6) != 1 ||
	    inet_pton(AF_INET6, "fec0::3", &s.dns6) != 1)
		return alc_fail(err, -EINVAL, "no default addresses");
	s.prefix_len = 64;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *v = strchr(line, '=');

		if (!v)
			return alc_fail(err, -EINVAL, "user network: '%s' has no value", line);
		*v++ = 0;
		if (!set(&s, line, v))
			return alc_fail(err, -EINVAL, "user network: '%s' is no value for %s", v,
					line);
	}
	if (ntohl(~s.mask.s_addr) < 31)
		return alc_fail(err, -EINVAL,
				"user network: the network has room for 29 guests "
				"at least: /27 or larger");
	s.host = member(&s, 2);
	s.dns = member(&s, 3);
	s.dhcp = member(&s, 15);
	*out = s;
	return 0;
}
