/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdatomic.h>

#include "base/errno.h"
#include "mem/space.h"

typedef unsigned long long ull; /* for %llx */

int space_init(struct alc_space *s, const struct alc_host *host, u64 total_bytes,
	       struct alc_err *err)
{
	int rc;

	*s = (struct alc_space){.host = host};
	region_map_init(&s->devices, host);
	rc = host->ram_map(host->ctx, total_bytes, &s->ram);
	if (rc)
		return alc_fail(err, rc, "this host can't give %llu MiB of memory to the guest",
				(ull)(total_bytes >> 20));
	return 0;
}

static size_t pages_bytes(u64 size)
{
	return (size_t)(size >> ALC_PAGE_SHIFT) * sizeof(struct alc_page);
}

void space_fini(struct alc_space *s)
{
	if (!s || !s->host)
		return;
	for (unsigned i = 0; i < s->nbanks; i++)
		host_free(s->host, s->banks[i].pages, pages_bytes(s->banks[i].size));
	region_map_fini(&s->devices);
	s->host->ram_unmap(s->host->ctx, &s->ram);
	*s = (struct alc_space){.host = NULL};
}

static bool overlap(u64 a, u64 a_size, u64 b, u64 b_size)
{
	return a <= b + (b_size - 1) && b <= a + (a_size - 1);
}

static const struct alc_bank *bank_in_range(const struct alc_space *s, u64 base, u64 size)
{
	for (unsigned i = 0; i < s->nbanks; i++)
		if (overlap(s->banks[i].base.v, s->banks[i].size, base, size))
			return &s->banks[i];
	return NULL;
}

static const struct alc_region *device_in_range(const struct alc_space *s, u64 base, u64 size)
{
	for (size_t i = 0; i < s->devices.count; i++) {
		const struct alc_region *r = &s->devices.regions[i];

		if (overlap(r->base, r->size, base, size))
			return r;
	}
	return NULL;
}

static int check_bank(const struct alc_space *s, u64 base, u64 size, struct alc_err *err)
{
	const struct alc_bank *b;
	const struct alc_region *r;

	if (!size || page_offset(base) || page_offset(size) || base + size < base)
		return alc_fail(err, -EINVAL,
				"memory at 0x%llx of 0x%llx bytes is not made of whole pages",
				(ull)base, (ull)size);
	if (s->nbanks == SPACE_BANKS_MAX)
		return alc_fail(err, -ENOSPC, "more than %u banks of memory",
				(unsigned)SPACE_BANKS_MAX);
	if (size > s->ram.size - s->ram_used)
		return alc_fail(err, -ENOSPC,
				"memory at 0x%llx needs 0x%llx bytes, 0x%llx are left", (ull)base,
				(ull)size, (ull)(s->ram.size - s->ram_used));
	b = bank_in_range(s, base, size);
	if (b)
		return alc_fail(err, -EEXIST, "memory at 0x%llx overlaps memory at 0x%llx",
				(ull)base, (ull)b->base.v);
	r = device_in_range(s, base, size);
	if (r)
		return alc_fail(err, -EEXIST, "memory at 0x%llx overlaps region '%s' at 0x%llx",
				(ull)base, r->name, (ull)r->base);
	return 0;
}

int space_add_bank(struct alc_space *s, alc_gpa base, u64 size, bool rom, struct alc_err *err)
{
	struct alc_page *pages;
	int rc = check_bank(s, base.v, size, err);

	if (rc)
		return rc;
	pages = host_alloc(s->host, pages_bytes(size));
	if (!pages)
		return alc_fail(err, -ENOMEM, "out of memory for the pages of 0x%llx bytes",
				(ull)size);
	for (u64 i = 0; rom && i < size >> ALC_PAGE_SHIFT; i++)
		atomic_store_explicit(&pages[i].flags, PAGE_ROM, memory_order_relaxed);
	s->banks[s->nbanks++] = (struct alc_bank){
		.base = base,
		.size = size,
		.hva = s->ram.base + s->ram_used,
		.pages = pages,
		.rom = rom,
	};
	s->ram_used += size;
	return 0;
}

int space_add_device(struct alc_space *s, const struct alc_region *r, struct alc_err *err)
{
	/* Empty and wrapping regions are region_add's to refuse. */
	bool sane = r->size && r->base + (r->size - 1) >= r->base;
	const struct alc_bank *b = sane ? bank_in_range(s, r->base, r->size) : NULL;

	if (b)
		return alc_fail(err, -EEXIST, "region '%s' at 0x%llx overlaps memory at 0x%llx",
				r->name, (ull)r->base, (ull)b->base.v);
	return region_add(&s->devices, r, err);
}

const struct alc_bank *space_bank(const struct alc_space *s, alc_gpa a)
{
	for (unsigned i = 0; i < s->nbanks; i++)
		if (a.v - s->banks[i].base.v < s->banks[i].size)
			return &s->banks[i];
	return NULL;
}

bool space_span(const struct alc_space *s, alc_gpa a, u64 len, struct alc_span *out)
{
	const struct alc_bank *b = space_bank(s, a);
	u64 off;

	if (!b)
		return false;
	off = a.v - b->base.v;
	*out = (struct alc_span){
		.hva = b->hva + off,
		.len = min_u64(len, b->size - off),
		.page = &b->pages[off >> ALC_PAGE_SHIFT],
		.rom = b->rom,
	};
	return true;
}

/* Is all of [a, a+len) memory, and if `writable`, RAM? No bank wraps, so neither does a walk. */
static bool all_memory(const struct alc_space *s, alc_gpa a, u64 len, bool writable)
{
	struct alc_span span = {0};

	for (; len; len -= span.len, a = gpa_add(a, span.len))
		if (!space_span(s, a, len, &span) || (writable && span.rom))
			return false;
	return true;
}

void space_note_span(struct alc_space *s, struct alc_page *p, u64 off, u64 len)
{
	for (; len; p++, off = 0) {
		u64 n = min_u64(len, ALC_PAGE_SIZE - off);

		if (atomic_load_explicit(&p->flags, memory_order_acquire) != PAGE_DIRTY)
			space_note_write(s, p, off, n);
		len -= n;
	}
}

/* The bank that a pointer leads into, or NULL. */
static const struct alc_bank *bank_of_host(const struct alc_space *s, const u8 *hva)
{
	for (unsigned i = 0; i < s->nbanks; i++)
		if ((u64)(hva - s->banks[i].hva) < s->banks[i].size)
			return &s->banks[i];
	return NULL;
}

void space_note_host(struct alc_space *s, const u8 *hva, u64 len)
{
	const struct alc_bank *b = bank_of_host(s, hva);
	u64 off = b ? (u64)(hva - b->hva) : 0;

	if (b)
		space_note_span(s, &b->pages[off >> ALC_PAGE_SHIFT], page_offset(off),
				min_u64(len, b->size - off));
}

int space_discard(struct alc_space *s, u8 *hva, u64 len)
{
	const struct alc_bank *b = bank_of_host(s, hva);
	u64 begin, end;
	int r;

	if (!b || b->rom || len > b->size - (u64)(hva - b->hva))
		return -EFAULT;
	begin = align_up((u64)(hva - s->ram.base), ALC_PAGE_SIZE);
	end = align_down((u64)(hva - s->ram.base) + len, ALC_PAGE_SIZE);
	if (begin >= end)
		return 0;
	r = s->host->ram_discard(s->host->ctx, &s->ram, begin, end - begin);
	if (!r)
		space_note_host(s, s->ram.base + begin, end - begin);
	return r;
}

int space_copy_in(const struct alc_space *s, alc_gpa a, void *to, u64 len)
{
	struct alc_span span = {0};
	u8 *at = to;

	if (!all_memory(s, a, len, false))
		return -EFAULT;
	for (; len; len -= span.len, a = gpa_add(a, span.len), at += span.len) {
		space_span(s, a, len, &span);
		__builtin_memcpy(at, span.hva, span.len);
	}
	return 0;
}

static void copy_out(struct alc_space *s, alc_gpa a, const u8 *from, u64 len)
{
	struct alc_span span = {0};

	for (; len; len -= span.len, a = gpa_add(a, span.len), from += span.len) {
		space_span(s, a, len, &span);
		__builtin_memcpy(span.hva, from, span.len);
		space_note_span(s, span.page, page_offset(a.v), span.len);
	}
}

int space_copy_out(struct alc_space *s, alc_gpa a, const void *from, u64 len)
{
	if (!all_memory(s, a, len, true))
		return -EFAULT;
	copy_out(s, a, from, len);
	return 0;
}

int space_load(struct alc_space *s, alc_gpa a, const void *from, u64 len)
{
	if (!all_memory(s, a, len, false))
		return -EFAULT;
	copy_out(s, a, from, len);
	return 0;
}

/* Memory for all of an access, so that it can be one load or store. */
static bool whole_in_memory(const struct alc_space *s, alc_gpa a, unsigned size,
			    struct alc_span *out)
{
	return space_span(s, a, size, out) && out->len == size;
}

/*
 * An access that starts or ends in memory, but isn't in one bank, goes byte by byte. Banks are
 * larger than any access, so looking at both ends is enough. (An end that wraps may look like
 * memory; then the byte-wise way is still right, only slower.)
 */
static bool touches_memory(const struct alc_space *s, alc_gpa a, unsigned size)
{
	return space_bank(s, a) || space_bank(s, gpa_add(a, size - 1));
}

u64 space_read(const struct alc_space *s, alc_gpa a, unsigned size)
{
	struct alc_span span;
	u64 v = 0;

	if (whole_in_memory(s, a, size, &span))
		return ld_size(span.hva, size);
	if (size == 1 || !touches_memory(s, a, size))
		return region_read(&s->devices, a.v, size);
	for (unsigned i = 0; i < size; i++) {
		bool exists = a.v + i >= a.v; /* nothing is past the last address */

		v |= (exists ? space_read(s, gpa_add(a, i), 1) : 0xff) << (8 * i);
	}
	return v;
}

void space_write(struct alc_space *s, alc_gpa a, u64 val, unsigned size)
{
	struct alc_span span;

	if (whole_in_memory(s, a, size, &span)) {
		if (span.rom)
			return;
		st_size(span.hva, val, size);
		space_note_span(s, span.page, page_offset(a.v), size);
		return;
	}
	if (size == 1 || !touches_memory(s, a, size)) {
		region_write(&s->devices, a.v, val, size);
		return;
	}
	for (unsigned i = 0; i < size && a.v + i >= a.v; i++)
		space_write(s, gpa_add(a, i), zext(val >> (8 * i), 1), 1);
}
