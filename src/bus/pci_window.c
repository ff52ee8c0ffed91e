/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who answers in the windows: BARs that decode, and ECAM.
 *
 * The table of mappings is a sequence lock: readers take no lock, copy one entry, and look again
 * whether the table was being rebuilt; who meets that several times takes the lock. Rebuilding is
 * rare (a BAR or a command register was written), and functions outlive every reader, so what a
 * late reader finds is at worst where a BAR was a moment ago.
 */
#include "bus/pci_internal.h"

enum { IO_SPACE_END = 0x10000, ECAM_SIZE_SHIFT = 28, TRIES = 4 };
#define ECAM_SIZE (1ull << ECAM_SIZE_SHIFT)

struct hit {
	struct pci_function *f;
	unsigned bar;
	u64 off, left; /* bytes from off to the BAR's end */
};

/* ---- rebuilding, with the lock held ---- */

u64 pci_bar_address(const struct pci_function *f, unsigned bar)
{
	unsigned off = REG_BAR + 4 * bar;
	u64 low = config32(f, off);

	switch (f->bar_kind[bar]) {
	case PCI_BAR_IO:
		return low & 0xfffc;
	case PCI_BAR_MEM32:
		return low & ~15ull;
	default:
		return (low & ~15ull) | (u64)config32(f, off + 4) << 32;
	}
}

static bool command(const struct pci_function *f, u16 bits)
{
	return (config16(f, REG_COMMAND) & bits) == bits && pci_awake(f);
}

static bool within(u64 base, u64 size, u64 first, u64 last)
{
	return first <= last && base >= first && base + size - 1 <= last && base + size - 1 >= base;
}

/* PCI-to-PCI Bridge 1.2, 3.2.5.6 to 3.2.5.10. */
static bool bridge_forwards(const struct pci_function *b, bool io, u64 base, u64 size)
{
	const u8 *c = b->state.config;
	u64 pref_base = (config16(b, REG_PREF_BASE) & 0xfff0ull) << 16;
	u64 pref_limit = (config16(b, REG_PREF_LIMIT) & 0xfff0ull) << 16 | 0xfffff;

	if (!command(b, io ? CMD_IO : CMD_MEMORY))
		return false;
	if (io)
		return within(base, size, (c[REG_IO_BASE] & 0xf0ull) << 8,
			      (c[REG_IO_LIMIT] & 0xf0ull) << 8 | 0xfff);
	pref_base |= (u64)config32(b, REG_PREF_BASE_HIGH) << 32;
	pref_limit |= (u64)config32(b, REG_PREF_LIMIT_HIGH) << 32;
	return within(base, size, (config16(b, REG_MEM_BASE) & 0xfff0ull) << 16,
		      (config16(b, REG_MEM_LIMIT) & 0xfff0ull) << 16 | 0xfffff) ||
	       within(base, size, pref_base, pref_limit);
}

static void add_mapping(struct pci_table *t, struct pci_function *f, unsigned bar, u64 base)
{
	u32 n = atomic_load_explicit(&t->count, memory_order_relaxed);
	struct pci_mapping *m = &t->entry[n];

	atomic_store_explicit(&m->base, base, memory_order_relaxed);
	atomic_store_explicit(&m->size, f->bar_size[bar], memory_order_relaxed);
	atomic_store_explicit(&m->f, f, memory_order_relaxed);
	atomic_store_explicit(&m->bar, bar, memory_order_relaxed);
	atomic_store_explicit(&t->count, n + 1, memory_order_relaxed);
}

static void map_bar(struct pci_root *r, struct pci_function *f, unsigned bar)
{
	bool io = f->bar_kind[bar] == PCI_BAR_IO;
	u64 base = pci_bar_address(f, bar);

	f->bar_at[bar] = PCI_UNMAPPED;
	if (!f->bar_size[bar] || !command(f, io ? CMD_IO : CMD_MEMORY))
		return;
	if (f->parent && !bridge_forwards(f->parent, io, base, f->bar_size[bar]))
		return;
	add_mapping(io ? &r->io : &r->mem, f, bar, base);
	f->bar_at[bar] = base;
}

static void tell(struct pci_function *f, unsigned bar)
{
	if (f->bar_told[bar] == f->bar_at[bar])
		return;
	f->bar_told[bar] = f->bar_at[bar];
	if (f->ops->bar_mapped)
		f->ops->bar_mapped(f->ctx, bar, f->bar_at[bar]);
}

void pci_remap(struct pci_root *r)
{
	u32 s = atomic_load_explicit(&r->sequence, memory_order_relaxed);

	atomic_store_explicit(&r->sequence, s + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&r->io.count, 0, memory_order_relaxed);
	atomic_store_explicit(&r->mem.count, 0, memory_order_relaxed);
	for (unsigned i = 0; i < r->nfunctions; i++)
		for (unsigned bar = 0; bar < PCI_BARS; bar++)
			map_bar(r, r->functions[i], bar);
	atomic_store_explicit(&r->sequence, s + 2, memory_order_release);
	for (unsigned i = 0; i < r->nfunctions; i++)
		for (unsigned bar = 0; bar < PCI_BARS; bar++)
			tell(r->functions[i], bar);
}

/* ---- looking up, from any thread ---- */

static bool search(const struct pci_table *t, u64 addr, struct hit *hit)
{
	u32 n = atomic_load_explicit(&t->count, memory_order_relaxed);

	for (u32 i = 0; i < n && i < MAPPINGS_MAX; i++) {
		const struct pci_mapping *m = &t->entry[i];
		u64 base = atomic_load_explicit(&m->base, memory_order_relaxed);
		u64 size = atomic_load_explicit(&m->size, memory_order_relaxed);

		if (addr < base || addr - base >= size)
			continue;
		*hit = (struct hit){
			.f = atomic_load_explicit(&m->f, memory_order_relaxed),
			.bar = atomic_load_explicit(&m->bar, memory_order_relaxed),
			.off = addr - base,
			.left = size - (addr - base),
		};
		return true;
	}
	return false;
}

static bool find(struct pci_root *r, const struct pci_table *t, u64 addr, struct hit *hit)
{
	bool found;

	for (unsigned i = 0; i < TRIES; i++) {
		u32 s = atomic_load_explicit(&r->sequence, memory_order_acquire);

		found = search(t, addr, hit);
		atomic_thread_fence(memory_order_acquire);
		if (!(s & 1) && s == atomic_load_explicit(&r->sequence, memory_order_relaxed))
			return found;
		r->p.host->yield(r->p.host->ctx);
	}
	pci_lock(r);
	found = search(t, addr, hit);
	pci_unlock(r);
	return found;
}

/* ---- accesses ---- */

static bool is_msix_bar(const struct pci_function *f, unsigned bar)
{
	return f->desc->msix && bar == f->desc->msix_bar;
}

static u64 read_hit(const struct hit *h, unsigned size)
{
	u64 val;

	if (!is_msix_bar(h->f, h->bar))
		return h->f->ops->bar_read(h->f->ctx, h->bar, h->off, size);
	pci_lock(h->f->root);
	val = pci_msix_read(h->f, h->off, size);
	pci_unlock(h->f->root);
	return val;
}

static void write_hit(const struct hit *h, u64 val, unsigned size)
{
	if (!is_msix_bar(h->f, h->bar)) {
		h->f->ops->bar_write(h->f->ctx, h->bar, h->off, val, size);
		return;
	}
	pci_lock(h->f->root);
	pci_msix_write(h->f, h->off, val, size);
	pci_unlock(h->f->root);
}

/* What crosses a BAR's end, or misses all: byte by byte, each to its own. */
static u64 read_at(struct pci_root *r, const struct pci_table *t, u64 addr, unsigned size)
{
	struct hit hit;
	u64 val = 0;

	if (find(r, t, addr, &hit) && hit.left >= size)
		return zext(read_hit(&hit, size), size);
	if (size == 1)
		return 0xff;
	for (unsigned i = 0; i < size; i++)
		val |= read_at(r, t, addr + i, 1) << (8 * i);
	return val;
}

static void write_at(struct pci_root *r, const struct pci_table *t, u64 addr, u64 val,
		     unsigned size)
{
	struct hit hit;

	if (find(r, t, addr, &hit) && hit.left >= size)
		write_hit(&hit, zext(val, size), size);
	else
		for (unsigned i = 0; size > 1 && i < size; i++)
			write_at(r, t, addr + i, val >> (8 * i) & 0xff, 1);
}

/* ---- configuration space ---- */

/* ECAM: bus, device and function, register (PCI Express 7.2.2). */
static struct pci_function *ecam_function(struct pci_root *r, u64 off)
{
	struct pci_function *f;

	pci_lock(r);
	f = pci_find(r, (unsigned)(off >> 20), (unsigned)(off >> 12 & 0xff));
	pci_unlock(r);
	return f;
}

/* The offset in ECAM if addr is there. */
static bool in_ecam(const struct pci_root *r, u64 addr, unsigned size, u64 *off)
{
	u64 base = atomic_load_explicit(&r->ecam, memory_order_relaxed);

	*off = addr - base;
	return base != ~0ull && addr >= base && *off <= ECAM_SIZE - size;
}

static u64 ecam_read(struct pci_root *r, u64 off, unsigned size)
{
	struct pci_function *f = ecam_function(r, off);
	unsigned reg = off % PCI_CONFIG_SIZE;

	return f ? pci_config_read(f, reg, size) : mask_low(size * 8);
}

static void ecam_write(struct pci_root *r, u64 off, u64 val, unsigned size)
{
	struct pci_function *f = ecam_function(r, off);
	unsigned reg = off % PCI_CONFIG_SIZE;

	if (f)
		pci_config_write(f, reg, val, size);
}

/* CF8/CFC; accesses to CFC are within one doubleword, or the map splits them. */
static struct pci_function *addressed(struct pci_root *r, u32 address)
{
	struct pci_function *f = NULL;

	pci_lock(r);
	if (address >> 31)
		f = pci_find(r, address >> 16 & 0xff, address >> 8 & 0xff);
	pci_unlock(r);
	return f;
}

static u64 data_read(void *ctx, u64 off, unsigned size)
{
	struct pci_root *r = ctx;
	u32 address = atomic_load(&r->address);
	struct pci_function *f = addressed(r, address);

	return f ? pci_config_read(f, (address & 0xfc) + (unsigned)off, size) : mask_low(size * 8);
}

static void data_write(void *ctx, u64 off, u64 val, unsigned size)
{
	struct pci_root *r = ctx;
	u32 address = atomic_load(&r->address);
	struct pci_function *f = addressed(r, address);

	if (f)
		pci_config_write(f, (address & 0xfc) + (unsigned)off, val, size);
}

/* ---- the windows ---- */

/* What crosses a page may cross functions, or the edge of ECAM. */
static bool in_one_page(u64 addr, unsigned size)
{
	return addr % PCI_CONFIG_SIZE + size <= PCI_CONFIG_SIZE;
}

static u64 mem_read(struct pci_root *r, u64 addr, unsigned size)
{
	u64 off, val = 0;

	for (unsigned i = 0; !in_one_page(addr, size) && i < size; i++)
		val |= mem_read(r, addr + i, 1) << (8 * i);
	if (!in_one_page(addr, size))
		return val;
	return in_ecam(r, addr, size, &off) ? ecam_read(r, off, size)
					    : read_at(r, &r->mem, addr, size);
}

static void mem_write(struct pci_root *r, u64 addr, u64 val, unsigned size)
{
	u64 off;

	if (!in_one_page(addr, size))
		for (unsigned i = 0; i < size; i++)
			mem_write(r, addr + i, val >> (8 * i) & 0xff, 1);
	else if (in_ecam(r, addr, size, &off))
		ecam_write(r, off, val, size);
	else
		write_at(r, &r->mem, addr, val, size);
}

static u64 low_read(void *ctx, u64 off, unsigned size)
{
	struct pci_root *r = ctx;

	return mem_read(r, r->p.mem32_base + off, size);
}

static void low_write(void *ctx, u64 off, u64 val, unsigned size)
{
	struct pci_root *r = ctx;

	mem_write(r, r->p.mem32_base + off, val, size);
}

static u64 high_read(void *ctx, u64 off, unsigned size)
{
	struct pci_root *r = ctx;

	return read_at(r, &r->mem, r->p.mem64_base + off, size);
}

static void high_write(void *ctx, u64 off, u64 val, unsigned size)
{
	struct pci_root *r = ctx;

	write_at(r, &r->mem, r->p.mem64_base + off, val, size);
}

static u64 io_read(void *ctx, u64 off, unsigned size)
{
	struct pci_root *r = ctx;

	return read_at(r, &r->io, r->p.io_base + off, size);
}

static void io_write(void *ctx, u64 off, u64 val, unsigned size)
{
	struct pci_root *r = ctx;

	write_at(r, &r->io, r->p.io_base + off, val, size);
}

enum { CONFIG_DATA = 0xcfc };

int pci_windows_add(struct pci_root *r, struct alc_err *err)
{
	const struct pci_root_params *p = &r->p;
	const struct {
		struct region_map *map;
		struct alc_region region;
	} windows[] = {
		{r->ports, {"PCI configuration", CONFIG_DATA, 4, data_read, data_write, r}},
		{r->ports,
		 {"PCI I/O", p->io_base, IO_SPACE_END - p->io_base, io_read, io_write, r}},
		{r->memory,
		 {"PCI memory", p->mem32_base, p->mem32_end - p->mem32_base, low_read, low_write,
		  r}},
		{r->memory,
		 {"PCI memory above 4 GiB", p->mem64_base, p->mem64_end - p->mem64_base, high_read,
		  high_write, r}},
	};
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_LEN(windows); i++)
		rc = region_add(windows[i].map, &windows[i].region, err);
	return rc;
}

void pci_windows_remove(struct pci_root *r)
{
	region_remove(r->ports, CONFIG_DATA);
	region_remove(r->ports, r->p.io_base);
	region_remove(r->memory, r->p.mem32_base);
	region_remove(r->memory, r->p.mem64_base);
}
