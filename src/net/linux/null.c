/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>

#include "net/linux/backends.h"

/* A cable that ends in a switch where nobody else is: frames go, none come. */
static bool null_send(struct net_link *l, const struct net_frame *f)
{
	return true;
}

static void null_attach(struct net_link *l, const struct net_front *front)
{
}

static void null_close(struct net_link *l)
{
	free(l);
}

static const struct net_ops ops = {
	.name = "null",
	.send = null_send,
	.attach = null_attach,
	.close = null_close,
};

int net_null_open(const struct alc_host *host, struct loop *loop, const struct net_opts *o,
		  struct net_link **out, struct alc_err *err)
{
	struct net_link *l = calloc(1, sizeof(*l));

	if (!l)
		return alc_fail(err, -ENOMEM, "no memory for network null");
	l->ops = &ops;
	l->takes = NET_TAKES_CSUM | NET_TAKES_TSO4 | NET_TAKES_TSO6 | NET_TAKES_ECN;
	*out = l;
	return 0;
}
