/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "mem/region.h"

enum { REGIONS_MIN = 16 };

void region_map_init(struct region_map *m, const struct alc_host *host)
{
	*m = (struct region_map){.host = host};
}

void region_map_fini(struct region_map *m)
{
	if (m->regions)
		host_free(m->host, m->regions, m->cap * sizeof(*m->regions));
	*m = (struct region_map){.host = m->host};
}

/* Inclusive, since a region may end where the address type does. */
static u64 last_of(const struct alc_region *r)
{
	return r->base + (r->size - 1);
}

/* Index of the first region that doesn't lie wholly below addr. */
static size_t first_not_below(const struct region_map *m, u64 addr)
{
	size_t lo = 0, hi = m->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (last_of(&m->regions[mid]) < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int region_check(const struct alc_region *r, struct alc_err *err)
{
	if (!r->size)
		return alc_fail(err, -EINVAL, "region '%s' is empty", r->name);
	if (last_of(r) < r->base)
		return alc_fail(err, -EINVAL, "region '%s' runs past the last address", r->name);
	if (!r->read || !r->write)
		return alc_fail(err, -EINVAL, "region '%s' can't be read and written", r->name);
	return 0;
}

static int region_grow(struct region_map *m)
{
	size_t cap = m->cap ? 2 * m->cap : REGIONS_MIN;
	struct alc_region *regions;

	if (m->count < m->cap)
		return 0;
	regions = host_alloc(m->host, cap * sizeof(*regions));
	if (!regions)
		return -ENOMEM;
	if (m->regions)
		__builtin_memcpy(regions, m->regions, m->count * sizeof(*regions));
	host_free(m->host, m->regions, m->cap * sizeof(*regions));
	m->regions = regions;
	m->cap = cap;
	return 0;
}

int region_add(struct region_map *m, const struct alc_region *r, struct alc_err *err)
{
	const struct alc_region *next;
	size_t at;
	int rc = region_check(r, err);

	if (rc)
		return rc;
	at = first_not_below(m, r->base);
	next = at < m->count ? &m->regions[at] : NULL;
	if (next && next->base <= last_of(r))
		return alc_fail(err, -EEXIST,
				"region '%s' at 0x%llx overlaps region '%s' at 0x%llx", r->name,
				(unsigned long long)r->base, next->name,
				(unsigned long long)next->base);
	if (region_grow(m))
		return alc_fail(err, -ENOMEM, "out of memory for region '%s'", r->name);
	if (m->regions && at < m->count)
		__builtin_memmove(&m->regions[at + 1], &m->regions[at],
				  (m->count - at) * sizeof(*m->regions));
	m->regions[at] = *r;
	m->count++;
	return 0;
}

void region_remove(struct region_map *m, u64 base)
{
	size_t at = first_not_below(m, base);

	if (at == m->count || m->regions[at].base != base)
		return;
	m->count--;
	for (; at < m->count; at++)
		m->regions[at] = m->regions[at + 1];
}

const struct alc_region *region_find(const struct region_map *m, u64 addr)
{
	size_t at = first_not_below(m, addr);

	return at < m->count && m->regions[at].base <= addr ? &m->regions[at] : NULL;
}

static bool holds(const struct alc_region *r, u64 addr, unsigned size)
{
	return r && last_of(r) - addr >= size - 1;
}

/* Bytes past the last address belong to nobody. */
static bool byte_exists(u64 addr, unsigned i)
{
	return addr + i >= addr;
}

static u64 read_bytes(const struct region_map *m, u64 addr, unsigned size)
{
	u64 v = 0;

	for (unsigned i = 0; i < size; i++) {
		const struct alc_region *r = NULL;
		u64 byte = 0xff;

		if (byte_exists(addr, i))
			r = region_find(m, addr + i);
		if (r)
			byte = r->read(r->ctx, addr + i - r->base, 1);
		v |= zext(byte, 1) << (8 * i);
	}
	return v;
}

static void write_bytes(const struct region_map *m, u64 addr, u64 val, unsigned size)
{
	for (unsigned i = 0; i < size && byte_exists(addr, i); i++) {
		const struct alc_region *r = region_find(m, addr + i);

		if (r)
			r->write(r->ctx, addr + i - r->base, zext(val >> (8 * i), 1), 1);
	}
}

u64 region_read(const struct region_map *m, u64 addr, unsigned size)
{
	const struct alc_region *r = region_find(m, addr);

	if (holds(r, addr, size))
		return zext(r->read(r->ctx, addr - r->base, size), size);
	return read_bytes(m, addr, size);
}

void region_write(const struct region_map *m, u64 addr, u64 val, unsigned size)
{
	const struct alc_region *r = region_find(m, addr);

	if (holds(r, addr, size))
		r->write(r->ctx, addr - r->base, zext(val, size), size);
	else
		write_bytes(m, addr, val, size);
}
