/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/overlay_format.h"

#include "base/errno.h"
#include "base/str.h"
#include "block/sync.h"

static const u8 magic[8] = {'A', 'L', 'C', 'O', 'V', 'L', '\r', '\n'};

/* Offsets in the header. */
enum {
	AT_VERSION = 8,
	AT_CLUSTER_BITS = 12,
	AT_BASE_SIZE = 16,
	AT_BITMAP = 24,
	AT_DATA = 32,
	AT_NAME_LEN = 40,
	AT_NAME = 64,
	VERSION = 1,
};
enum { CLUSTER_BITS_MIN = 12, CLUSTER_BITS_MAX = 21 };
/* 1 EiB: no sum of offsets overflows. */
#define SIZE_LIMIT BIT(60)

bool overlay_layout(u64 base_size, unsigned cluster_bits, struct overlay_layout *out)
{
	u64 cluster, bytes;

	if (cluster_bits < CLUSTER_BITS_MIN || cluster_bits > CLUSTER_BITS_MAX || !base_size ||
	    base_size > SIZE_LIMIT || base_size % BLOCK_MIN)
		return false;
	cluster = BIT(cluster_bits);
	out->size = base_size;
	out->cluster_bits = cluster_bits;
	out->clusters = (base_size + cluster - 1) >> cluster_bits;
	bytes = (out->clusters + 7) / 8;
	out->bitmap_len = align_up(bytes, OVERLAY_BITMAP_BLOCK);
	out->data_at = align_up(OVERLAY_BITMAP_AT + out->bitmap_len, cluster);
	out->store_size = out->data_at + (out->clusters << cluster_bits);
	return true;
}

u64 overlay_store_size(u64 base_size, unsigned cluster_bits)
{
	struct overlay_layout l;

	return overlay_layout(base_size, cluster_bits, &l) ? l.store_size : 0;
}

static void put_header(u8 *h, const struct overlay_layout *l, const char *name)
{
	__builtin_memcpy(h, magic, sizeof(magic));
	st32(h + AT_VERSION, VERSION);
	st32(h + AT_CLUSTER_BITS, l->cluster_bits);
	st64(h + AT_BASE_SIZE, l->size);
	st64(h + AT_BITMAP, OVERLAY_BITMAP_AT);
	st64(h + AT_DATA, l->data_at);
	st32(h + AT_NAME_LEN, (u32)str_len(name));
	__builtin_memcpy(h + AT_NAME, name, str_len(name));
}

/* The bitmap first, and durable: a header is never there without one that is clear. */
static int write_empty(const struct alc_host *host, struct block *store,
		       const struct overlay_layout *l, u8 *block, const char *name)
{
	int rc = 0;

	for (u64 at = 0; at < l->bitmap_len && !rc; at += OVERLAY_BITMAP_BLOCK)
		rc = block_sync(host, store, BLOCK_WRITE, OVERLAY_BITMAP_AT + at, block,
				OVERLAY_BITMAP_BLOCK);
	if (!rc)
		rc = block_sync(host, store, BLOCK_FLUSH, 0, NULL, 0);
	put_header(block, l, name);
	if (!rc)
		rc = block_sync(host, store, BLOCK_WRITE, 0, block, OVERLAY_HEADER_LEN);
	if (!rc)
		rc = block_sync(host, store, BLOCK_FLUSH, 0, NULL, 0);
	return rc;
}

int overlay_format(const struct alc_host *host, struct block *store, u64 base_size,
		   const char *base_name, unsigned cluster_bits, struct alc_err *err)
{
	struct overlay_layout l;
	u8 *block;
	int rc;

	if (!overlay_layout(base_size, cluster_bits, &l) || store->info.size < l.store_size)
		return alc_fail(err, -EINVAL, "no overlay of %llu bytes fits into %llu",
				(unsigned long long)base_size,
				(unsigned long long)store->info.size);
	if (str_len(base_name) >= OVERLAY_BASE_NAME_MAX)
		return alc_fail(err, -EINVAL, "an overlay's base has a name of at most %d bytes",
				OVERLAY_BASE_NAME_MAX - 1);
	block = host_alloc(host, OVERLAY_HEADER_LEN);
	if (!block)
		return alc_fail(err, -ENOMEM, "no memory to make an overlay");
	rc = write_empty(host, store, &l, block, base_name);
	host_free(host, block, OVERLAY_HEADER_LEN);
	return rc ? alc_fail(err, rc, "can't write the overlay's header (error %d)", -rc) : 0;
}

static int bad(struct alc_err *err, const char *what)
{
	return alc_fail(err, -EINVAL, "the overlay is damaged: %s", what);
}

/* Every value must be the one that follows from size and cluster size: none is free. */
static int check_header(const u8 *h, const struct block_info *store, struct overlay_layout *out,
			struct alc_err *err)
{
	struct overlay_layout l;
	u32 name_len = ld32(h + AT_NAME_LEN);

	if (__builtin_memcmp(h, magic, sizeof(magic)) != 0)
		return alc_fail(err, -EINVAL, "it is no overlay");
	if (ld32(h + AT_VERSION) != VERSION)
		return alc_fail(err, -ENOTSUP, "the overlay has version %u, this program knows %d",
				ld32(h + AT_VERSION), VERSION);
	if (!overlay_layout(ld64(h + AT_BASE_SIZE), ld32(h + AT_CLUSTER_BITS), &l))
		return bad(err, "there are no such sizes");
	if (ld64(h + AT_BITMAP) != OVERLAY_BITMAP_AT || ld64(h + AT_DATA) != l.data_at)
		return bad(err, "its parts are not where they belong");
	if (l.store_size > store->size)
		return bad(err, "its end is missing");
	if (name_len >= OVERLAY_BASE_NAME_MAX)
		return bad(err, "its base has no name that can be");
	for (u32 i = 0; i < name_len; i++)
		if (!h[AT_NAME + i])
			return bad(err, "its base has no name that can be");
	*out = l;
	return 0;
}

int overlay_read_header(const struct alc_host *host, struct block *store,
			struct overlay_layout *out, char *name_out, struct alc_err *err)
{
	u8 *h;
	int rc;

	if (store->info.size < OVERLAY_HEADER_LEN)
		return alc_fail(err, -EINVAL, "it is no overlay");
	h = host_alloc(host, OVERLAY_HEADER_LEN);
	if (!h)
		return alc_fail(err, -ENOMEM, "no memory to open an overlay");
	rc = block_sync(host, store, BLOCK_READ, 0, h, OVERLAY_HEADER_LEN);
	if (rc)
		rc = alc_fail(err, rc, "can't read the overlay's header (error %d)", -rc);
	else
		rc = check_header(h, &store->info, out, err);
	if (!rc && name_out) {
		u32 len = ld32(h + AT_NAME_LEN);

		__builtin_memcpy(name_out, h + AT_NAME, len);
		name_out[len] = '\0';
	}
	host_free(host, h, OVERLAY_HEADER_LEN);
	return rc;
}

int overlay_identify(const struct alc_host *host, struct block *store, u64 *base_size,
		     char *name_out, struct alc_err *err)
{
	struct overlay_layout l;
	int rc = overlay_read_header(host, store, &l, name_out, err);

	if (!rc)
		*base_size = l.size;
	return rc;
}
