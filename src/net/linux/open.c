/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/linux/open.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "net/linux/backends.h"
#include "net/offload.h"

static const struct {
	const char *name;
	net_opener *open;
	const char *options[12];
} kinds[] = {
	{"user",
	 net_user_open,
	 {"capture", "forward", "restrict", "ipv4", "ipv6", "net", "host_loopback", "mtu",
	  "hostname", "domain"}},
	{"tap", net_tap_open, {"capture", "ifname"}},
	{"stream", net_stream_open, {"capture", "path", "mtu"}},
	{"hub", net_hub_open, {"capture", "path"}},
	{"null", net_null_open, {"capture"}},
};

static int find_kind(const char *name, size_t *out, struct alc_err *err)
{
	const char *best = NULL;
	size_t distance = SIZE_MAX;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!strcmp(kinds[i].name, name)) {
			*out = i;
			return 0;
		}
		if (str_nearer(name, kinds[i].name, &distance))
			best = kinds[i].name;
	}
	if (best)
		return alc_fail(err, -EINVAL, "there is no network '%s': did you mean '%s'?", name,
				best);
	return alc_fail(err, -EINVAL,
			"there is no network '%s', only user, tap, stream, hub and null", name);
}

static bool is_forward(const char *key)
{
	return !strncmp(key, "tcp:", 4) || !strncmp(key, "udp:", 4);
}

static bool knows(size_t kind, const struct alc_device_opt *o)
{
	for (const char *const *known = kinds[kind].options; *known; known++)
		if (!strcmp(*known, o->key))
			return true;
	return kinds[kind].open == net_user_open && !o->value && is_forward(o->key);
}

bool net_option_is_ours(const char *kind, const struct alc_device_opt *opt)
{
	size_t i;

	return !find_kind(kind, &i, NULL) && knows(i, opt);
}

static int check_options(size_t kind, const struct net_opts *o, struct alc_err *err)
{
	for (size_t i = 0; i < o->n; i++) {
		const char *near = str_nearest(o->opts[i].key, kinds[kind].options);

		if (knows(kind, &o->opts[i]))
			continue;
		if (near)
			return alc_fail(err, -EINVAL,
					"network %s has no option '%s': did you mean '%s'?",
					o->kind, o->opts[i].key, near);
		return alc_fail(err, -EINVAL, "network %s has no option '%s'", o->kind,
				o->opts[i].key);
	}
	return 0;
}

const char *opts_get(const struct net_opts *o, const char *key)
{
	for (size_t i = o->n; i-- > 0;)
		if (!strcmp(o->opts[i].key, key))
			return o->opts[i].value;
	return NULL;
}

int opts_need(const struct net_opts *o, const char *key, const char **out, struct alc_err *err)
{
	const char *v = opts_get(o, key);

	if (!v || !*v)
		return alc_fail(err, -EINVAL, "network %s needs the option %s", o->kind, key);
	*out = v;
	return 0;
}

int net_open(const struct alc_host *host, struct loop *loop, const struct alc_net_desc *desc,
	     const char *name, struct net_link **out, struct alc_err *err)
{
	const struct net_opts o = {desc->kind, desc->opts, desc->nopts};
	struct net_link *link = NULL;
	size_t kind = 0;
	int rc = find_kind(desc->kind, &kind, err);

	if (!rc)
		rc = check_options(kind, &o, err);
	if (!rc)
		rc = kinds[kind].open(host, loop, &o, &link, err);
	if (!rc && opts_get(&o, "capture"))
		rc = net_capture_create(host, opts_get(&o, "capture"), name, link, &link, err);
	if (!rc) {
		rc = net_soft_stage_create(host, link, &link);
		if (rc)
			alc_fail(err, rc, "no memory for network %s", desc->kind);
	}
	if (!rc)
		*out = link;
	return rc;
}
