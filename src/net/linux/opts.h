/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_LINUX_OPTS_H
#define NET_LINUX_OPTS_H

#include <stdbool.h>

#include "alcazar/vm.h"

/* Options of one network, as the description has them. */
struct net_opts {
	const char *kind;
	const struct alc_device_opt *opts;
	size_t n;
};

/* NULL: not given (or without a value). */
const char *opts_get(const struct net_opts *o, const char *key);
/* The same, but -EINVAL with a sentence if it is not there. */
int opts_need(const struct net_opts *o, const char *key, const char **out,
	      struct alc_err *err) ALC_MUST_CHECK;

#endif
