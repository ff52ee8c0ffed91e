/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "virtio/queue_internal.h"

/*
 * The rules for chains, of both ring formats. What a descriptor says was copied in by the caller;
 * here it is judged, and becomes a piece of host memory if it is good.
 */

/* 2.7.4.2: no chain is longer than 2^32 bytes. */
#define CHAIN_BYTES_MAX BIT(32)

/* 2.7.4.2: what the device reads comes before what it writes. */
static bool order_ok(const struct virtq_chain *c, bool write)
{
	return write || !c->nin;
}

int chain_add(const struct virtq *q, struct virtq_chain *c, const struct desc *d)
{
	bool write = d->flags & DESC_WRITE;
	struct alc_span span;

	if (!d->len || !order_ok(c, write) || c->nout + c->nin >= c->iov_max ||
	    c->out_len + c->in_len + d->len > CHAIN_BYTES_MAX)
		return -EPROTO;
	/* A span ends with its bank, and no bank wraps: a shorter one is not all in memory. */
	if (!space_span(q->space, gpa(d->addr), d->len, &span) || span.len != d->len ||
	    (write && span.rom))
		return -EPROTO;
	c->iov[c->nout + c->nin] = (struct alc_iov){.base = span.hva, .len = d->len};
	if (write) {
		c->nin++;
		c->in_len += d->len;
	} else {
		c->nout++;
		c->out_len += d->len;
	}
	return 0;
}

/* 2.7.5.3.1: which of a table's descriptors come, and in which order, is in their `next`. */
static int add_linked(const struct virtq *q, struct virtq_chain *c, const u8 *table, u32 entries)
{
	u32 at = 0;

	for (u32 seen = 0; seen < entries; seen++) {
		struct desc d = desc_load_split(table + at * DESC_SIZE);

		if (d.flags & DESC_INDIRECT || chain_add(q, c, &d))
			return -EPROTO;
		if (!(d.flags & DESC_NEXT))
			return 0;
		at = d.last;
		if (at >= entries)
			return -EPROTO;
	}
	return -EPROTO; /* a loop */
}

/* 2.8.7: all of them, in order; the other flags and the ID are reserved there. */
static int add_listed(const struct virtq *q, struct virtq_chain *c, const u8 *table, u32 entries)
{
	for (u32 i = 0; i < entries; i++) {
		struct desc d = desc_load_packed(table + i * DESC_SIZE);

		if (d.flags & DESC_INDIRECT || chain_add(q, c, &d))
			return -EPROTO;
	}
	return 0;
}

int chain_add_table(const struct virtq *q, struct virtq_chain *c, const struct desc *table)
{
	u32 entries = table->len / DESC_SIZE;
	struct alc_span span;

	if (!q->config.indirect || table->flags & DESC_NEXT || table->len % DESC_SIZE || !entries ||
	    entries > VIRTQ_SIZE_MAX)
		return -EPROTO;
	if (!space_span(q->space, gpa(table->addr), table->len, &span) || span.len != table->len)
		return -EPROTO;
	return q->config.packed ? add_listed(q, c, span.hva, entries)
				: add_linked(q, c, span.hva, entries);
}
