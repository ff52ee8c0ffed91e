/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "block/simple.h"

struct null {
	struct block block;
	const struct alc_host *host;
};

static void null_submit(struct block *b, struct block_req *list)
{
	while (list) {
		struct block_req *r = list;

		list = r->next;
		r->status = block_check(&b->info, r->op, r->offset, r->len);
		if (!r->status && r->op == BLOCK_READ)
			iov_fill(r->iov, r->niov, 0, 0, r->len);
		r->done(r);
	}
}

static void null_drain(struct block *b)
{
}

static void null_close(struct block *b)
{
	struct null *n = container_of(b, struct null, block);

	host_free(n->host, n, sizeof(*n));
}

static const struct block_ops null_ops = {
	.name = "null",
	.submit = null_submit,
	.drain = null_drain,
	.close = null_close,
};

int block_null_create(const struct alc_host *host, u64 size, struct block **out,
		      struct alc_err *err)
{
	struct null *n;

	if (!size || size % BLOCK_MIN)
		return alc_fail(err, -EINVAL, "a null disk's size is a multiple of 512, not %llu",
				(unsigned long long)size);
	n = host_alloc(host, sizeof(*n));
	if (!n)
		return alc_fail(err, -ENOMEM, "no memory for a null disk");
	n->host = host;
	n->block = (struct block){
		.ops = &null_ops,
		.info = {.size = size,
			 .block = BLOCK_MIN,
			 .physical = BLOCK_MIN,
			 .discard = true,
			 .zeroes = true,
			 .discard_align = BLOCK_MIN},
	};
	*out = &n->block;
	return 0;
}
