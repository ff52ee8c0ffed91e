/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "block/overlay_internal.h"
#include "block/sync.h"

enum { READ_CHUNK = 1 << 20 };

static int read_map(struct overlay *o, struct alc_err *err)
{
	struct overlay_map *m = &o->map;

	for (u64 at = 0; at < m->len; at += READ_CHUNK) {
		int rc = block_sync(o->host, o->store, BLOCK_READ, OVERLAY_BITMAP_AT + at,
				    m->now + at, min_u64(m->len - at, READ_CHUNK));

		if (rc)
			return alc_fail(err, rc, "can't read the overlay's bitmap (error %d)", -rc);
	}
	__builtin_memcpy(m->stable, m->now, m->len);
	return 0;
}

int overlay_map_create(struct overlay *o, struct alc_err *err)
{
	struct overlay_map *m = &o->map;

	m->len = o->l.bitmap_len;
	m->blocks = m->len / OVERLAY_BITMAP_BLOCK;
	m->now = host_alloc(o->host, m->len);
	m->stable = host_alloc(o->host, m->len);
	m->flags = host_alloc(o->host, m->blocks);
	if (!m->now || !m->stable || !m->flags)
		return alc_fail(err, -ENOMEM, "no memory for the bitmap of an overlay");
	return read_map(o, err);
}

void overlay_map_destroy(struct overlay *o)
{
	struct overlay_map *m = &o->map;

	host_free(o->host, m->now, m->len);
	host_free(o->host, m->stable, m->len);
	host_free(o->host, m->flags, m->blocks);
}

bool overlay_map_has(const struct overlay_map *m, u64 cluster)
{
	return m->now[cluster / 8] >> cluster % 8 & 1;
}

void overlay_map_set(struct overlay_map *m, u64 first, u64 last)
{
	for (u64 c = first; c < last; c++) {
		m->now[c / 8] = (u8)(m->now[c / 8] | 1u << c % 8);
		m->flags[c / 8 / OVERLAY_BITMAP_BLOCK] |= MAP_DIRTY;
	}
}

bool overlay_map_take(struct overlay_map *m)
{
	bool any = false;

	for (u64 i = 0; i < m->blocks; i++) {
		u64 at = i * OVERLAY_BITMAP_BLOCK;

		if (!(m->flags[i] & MAP_DIRTY))
			continue;
		__builtin_memcpy(m->stable + at, m->now + at, OVERLAY_BITMAP_BLOCK);
		m->flags[i] = MAP_WRITING;
		any = true;
	}
	return any;
}

bool overlay_map_next(const struct overlay_map *m, u64 *block, u64 *count)
{
	u64 i = *block, n = 0;

	while (i < m->blocks && !(m->flags[i] & MAP_WRITING))
		i++;
	while (i + n < m->blocks && m->flags[i + n] & MAP_WRITING)
		n++;
	*block = i;
	*count = n;
	return n;
}

/* What changed meanwhile is dirty in any case. */
void overlay_map_taken(struct overlay_map *m, bool written)
{
	for (u64 i = 0; i < m->blocks; i++)
		if (m->flags[i] & MAP_WRITING)
			m->flags[i] = written ? m->flags[i] & MAP_DIRTY : MAP_DIRTY;
}
