/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "block/simple.h"

struct ram {
	struct block block;
	const struct alc_host *host;
	u8 *bytes;
	u64 owned; /* of `bytes`: 0 where they are somebody else's */
};

static void transfer(struct ram *m, const struct block_req *r)
{
	u8 *at = m->bytes + r->offset;

	switch (r->op) {
	case BLOCK_READ:
		iov_copy_to(r->iov, r->niov, 0, at, r->len);
		break;
	case BLOCK_WRITE:
		iov_copy_from(r->iov, r->niov, 0, at, r->len);
		break;
	case BLOCK_DISCARD:
	case BLOCK_ZERO:
		__builtin_memset(at, 0, r->len);
		break;
	case BLOCK_FLUSH:
		break;
	}
}

static void ram_submit(struct block *b, struct block_req *list)
{
	struct ram *m = container_of(b, struct ram, block);

	while (list) {
		struct block_req *r = list;

		list = r->next;
		r->status = block_check(&b->info, r->op, r->offset, r->len);
		if (!r->status)
			transfer(m, r);
		r->done(r);
	}
}

static void ram_drain(struct block *b)
{
}

static void ram_close(struct block *b)
{
	struct ram *m = container_of(b, struct ram, block);

	if (m->owned)
		host_free(m->host, m->bytes, m->owned);
	host_free(m->host, m, sizeof(*m));
}

static const struct block_ops ram_ops = {
	.name = "ram",
	.submit = ram_submit,
	.drain = ram_drain,
	.close = ram_close,
};

int block_ram_create(const struct alc_host *host, u64 size, u8 *bytes, struct block **out,
		     struct alc_err *err)
{
	struct ram *m;

	if (!size || size % BLOCK_MIN)
		return alc_fail(err, -EINVAL, "a RAM disk's size is a multiple of 512, not %llu",
				(unsigned long long)size);
	m = host_alloc(host, sizeof(*m));
	if (m && !bytes) {
		m->owned = size;
		bytes = host_alloc(host, size);
	}
	if (!m || !bytes) {
		host_free(host, m, sizeof(*m));
		return alc_fail(err, -ENOMEM, "no memory for a RAM disk of %llu bytes",
				(unsigned long long)size);
	}
	m->host = host;
	m->bytes = bytes;
	m->block = (struct block){
		.ops = &ram_ops,
		.info = {.size = size,
			 .block = BLOCK_MIN,
			 .physical = BLOCK_MIN,
			 .discard = true,
			 .zeroes = true,
			 .discard_align = BLOCK_MIN},
	};
	*out = &m->block;
	return 0;
}
