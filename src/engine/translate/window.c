/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Windows: what is mapped in them, and when it no longer may be (window.h).
 *
 * A run is what one page table of the guest maps: 2 MiB of a space, with the entries as they were
 * when their pages were mapped. Verifying a space compares them with what the tables hold now.
 */
#include <sys/mman.h>

#include "base/errno.h"
#include "engine/translate/translate.h"

enum {
	RUN_PAGES = 512,
	RUN_HASH = 1024,
	PAGE_HASH = 4096,
	PAGES_MAX = 40000, /* of all vCPUs: the host allows 65,530 mappings as a rule */
	WINDOWS_MAX = 72,  /* of all vCPUs: of the host's 128 TiB */
	SPACE_WINDOWS = 4,
	SPACES = 12,
	AROUND = 8, /* pages on either side that are mapped with the one that is wanted */
	LEVELS = 4,
};
#define NO_TERABYTE  (~0ull)
#define WINDOW_BYTES (1ull << WINDOW_SHIFT)
#define RUN_BYTES    ((u64)RUN_PAGES * ALC_PAGE_SIZE)

/* Bits of the guest's paging entries. */
#define PTE_P  BIT(0)
#define PTE_W  BIT(1)
#define PTE_U  BIT(2)
#define PTE_A  BIT(5)
#define PTE_D  BIT(6)
#define PTE_PS BIT(7)

struct entry_copy {
	const u64 *at;
	u64 value;
};

struct run {
	u64 gva;
	struct space *space;
	struct run *next, **link; /* of its space */
	struct run *hash_next;
	u8 *host;
	struct entry_copy up[LEVELS]; /* the entries that lead to the table, or to the large page */
	unsigned nup;
	bool may_write;   /* as far as they say */
	const u64 *table; /* NULL: a large page */
	u64 mapped[RUN_PAGES / 64], writable[RUN_PAGES / 64];
	u32 node[RUN_PAGES]; /* of mapped pages */
	u64 pte[RUN_PAGES];
};

/* A page that is mapped, found by the page. */
struct node {
	const struct alc_page *page;
	struct run *run;
	u32 next;
	u16 index; /* in the run */
};

struct window {
	u8 *map, *host; /* with guards, without */
	unsigned slot;
};

struct space {
	u64 cr3;        /* without a PCID */
	u64 epoch;      /* of the lower half when it was left: interp.epoch */
	bool hot;       /* has windows */
	bool lacking;   /* an access went to a terabyte without one */
	bool full;      /* and it got none for it */
	u64 used;       /* when, for replacement */
	u64 cycles;     /* that it ran, with or without windows */
	u64 not_before; /* of cycles: it was better off without them */
	u64 penalty;
	u64 debt, debt_at; /* what windows cost it beyond its means; when (cycles) that was reckoned
			    */
	struct run *runs;
	struct window windows[SPACE_WINDOWS];
	unsigned nwindows;
};

struct tr_windows {
	struct tr *t;
	u64 *slots;
	u8 *nowhere; /* host addresses that are never mapped: a window of no terabyte */
	struct space spaces[SPACES], *now;
	struct run *runs[RUN_HASH];
	u32 by_page[PAGE_HASH], free_node;
	unsigned nwindows, windows_max;
	u64 clock, since; /* the last switch; and when `now` was charged last */
	bool exhausted;   /* the host would not map */
	struct tr_window_stats stats;
	unsigned nnodes, nmapped;
	struct node nodes[];
};

static u64 cycles(void)
{
	return __builtin_ia32_rdtsc();
}

/* ---- Slots ---- */

static u64 slot_base(unsigned slot)
{
	u64 base = (u64)slot << WINDOW_SHIFT;

	return slot < WINDOW_SLOTS / 2 ? base : base | ~mask_low(48);
}

static void slot_set(struct tr_windows *w, unsigned slot, const u8 *host)
{
	w->slots[slot] = (u64)(uintptr_t)(host ? host : w->nowhere) - slot_base(slot);
}

static void guesses_forget(struct tr_windows *w)
{
	for (unsigned k = 0; k < WINDOW_GUESSES; k++)
		w->t->guesses[k].terabyte = NO_TERABYTE;
}

static void slots_load(struct tr_windows *w, const struct space *s, bool on)
{
	for (unsigned k = 0; k < s->nwindows; k++)
		slot_set(w, s->windows[k].slot, on ? s->windows[k].host : NULL);
	guesses_forget(w);
}

/* Addresses of the host's where nothing is mapped, with guards. */
static u8 *reserve(void)
{
	void *p = mmap(NULL, WINDOW_BYTES + 2 * WINDOW_GUARD, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void release(u8 *map)
{
	if (map)
		munmap(map, WINDOW_BYTES + 2 * WINDOW_GUARD);
}

static bool window_add(struct tr_windows *w, struct space *s, unsigned slot)
{
	struct window *win = &s->windows[s->nwindows];

	if (s->nwindows == SPACE_WINDOWS || w->nwindows == w->windows_max)
		return false;
	win->map = reserve();
	if (!win->map)
		return false;
	win->host = win->map + WINDOW_GUARD;
	win->slot = slot;
	s->nwindows++;
	w->nwindows++;
	return true;
}

/* ---- Pages ---- */

static unsigned page_hash(const struct alc_page *p)
{
	return (u32)((uintptr_t)p / sizeof(*p)) * 0x9e3779b1u >> (32 - __builtin_ctz(PAGE_HASH));
}

static unsigned run_hash(const struct space *s, u64 gva)
{
	u64 key = gva / RUN_BYTES ^ s->cr3 >> 12;

	return (u32)(key ^ key >> 19) * 0x9e3779b1u >> (32 - __builtin_ctz(RUN_HASH));
}

static bool is_set(const u64 *map, unsigned k)
{
	return map[k / 64] >> k % 64 & 1;
}

static void set(u64 *map, unsigned k, bool on)
{
	map[k / 64] = (map[k / 64] & ~BIT(k % 64)) | (u64)on << k % 64;
}

static void note_mapped(struct tr_windows *w, struct run *r, unsigned k,
			const struct alc_page *page)
{
	u32 n = w->free_node, *head = &w->by_page[page_hash(page)];

	w->free_node = w->nodes[n].next;
	w->nodes[n] = (struct node){.page = page, .run = r, .index = (u16)k, .next = *head};
	*head = n;
	r->node[k] = n;
	w->nmapped++;
	set(r->mapped, k, true);
}

static void note_unmapped(struct tr_windows *w, struct run *r, unsigned k)
{
	u32 n = r->node[k], *link = &w->by_page[page_hash(w->nodes[n].page)];

	while (*link != n)
		link = &w->nodes[*link].next;
	*link = w->nodes[n].next;
	w->nodes[n].next = w->free_node;
	w->free_node = n;
	w->nmapped--;
	set(r->mapped, k, false);
	set(r->writable, k, false);
	w->stats.unmapped++;
}

static bool map_nothing(const struct run *r, unsigned first, unsigned end)
{
	return mmap(r->host + first * ALC_PAGE_SIZE, (end - first) * ALC_PAGE_SIZE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

/*
 * Pages [first, end) of a run are mapped no more; those between them that were not may be among
 * them. A host that has no room for another mapping has it for fewer, so then all of the run goes;
 * to leave it would be a hole in the guest's protection.
 */
static void unmap(struct tr_windows *w, struct run *r, unsigned first, unsigned end)
{
	if (!map_nothing(r, first, end)) {
		first = 0;
		end = RUN_PAGES;
		if (!map_nothing(r, first, end))
			__builtin_trap();
	}
	for (unsigned k = first; k < end; k++)
		if (is_set(r->mapped, k))
			note_unmapped(w, r, k);
}

/* ---- Runs ---- */

static struct run *run_find(const struct tr_windows *w, const struct space *s, u64 gva)
{
	struct run *r = w->runs[run_hash(s, gva)];

	while (r && (r->space != s || r->gva != (gva & ~(RUN_BYTES - 1))))
		r = r->hash_next;
	return r;
}

/* Only what is mapped is given back, not what is around it. */
static void run_drop(struct tr_windows *w, struct run *r, bool mapped)
{
	struct run **link = &w->runs[run_hash(r->space, r->gva)];
	unsigned first = RUN_PAGES, end = 0;

	for (unsigned k = 0; k < RUN_PAGES; k++)
		if (is_set(r->mapped, k)) {
			first = k < first ? k : first;
			end = k + 1;
			if (!mapped)
				note_unmapped(w, r, k);
		}
	if (mapped && end)
		unmap(w, r, first, end);
	while (*link != r)
		link = &(*link)->hash_next;
	*link = r->hash_next;
	*r->link = r->next;
	if (r->next)
		r->next->link = r->link;
	host_free(w->t->c.v->plat->host, r, sizeof(*r));
}

static const u64 *entry_at(struct alc_vcpu *v, u64 table, unsigned index)
{
	struct alc_span span;

	if (!space_span(v->plat->space, gpa(table + index * 8), 8, &span) || span.len < 8)
		return NULL;
	return (const u64 *)(const void *)span.hva;
}

static u64 load(const u64 *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

/* The entries that lead to an address, and the table that has the last one; false: none does. */
static bool read_path(struct alc_vcpu *v, u64 gva, struct run *r)
{
	u64 table = v->cr3 & mask_low(X86_PHYS_BITS) & ALC_PAGE_MASK, entry;

	r->may_write = true;
	r->nup = 0;
	for (unsigned level = LEVELS; level > 1; level--) {
		const u64 *at = entry_at(v, table, field_get(gva, 12 + 9 * (level - 1), 9));

		if (!at)
			return false;
		entry = load(at);
		if ((entry & (PTE_P | PTE_U)) != (PTE_P | PTE_U))
			return false;
		r->up[r->nup++] = (struct entry_copy){at, entry};
		r->may_write &= (entry & PTE_W) != 0;
		if (level < LEVELS && entry & PTE_PS) {
			r->may_write &= (entry & PTE_D) != 0;
			r->table = NULL;
			return true;
		}
		table = entry & mask_low(X86_PHYS_BITS) & ALC_PAGE_MASK;
	}
	r->table = entry_at(v, table, 0);
	return r->table != NULL;
}

static struct window *window_of(struct space *s, unsigned slot)
{
	for (unsigned k = 0; k < s->nwindows; k++)
		if (s->windows[k].slot == slot)
			return &s->windows[k];
	return NULL;
}

static struct run *run_new(struct tr_windows *w, struct space *s, u64 gva)
{
	struct alc_vcpu *v = w->t->c.v;
	struct window *win = window_of(s, (unsigned)field_get(gva, WINDOW_SHIFT, 8));
	struct run *r;
	unsigned h;

	r = win ? host_alloc(v->plat->host, sizeof(*r)) : NULL;
	if (!r)
		return NULL;
	r->gva = gva & ~(RUN_BYTES - 1);
	r->space = s;
	r->host = win->host + (r->gva & (WINDOW_BYTES - 1));
	if (!read_path(v, gva, r)) {
		host_free(v->plat->host, r, sizeof(*r));
		return NULL;
	}
	h = run_hash(s, gva);
	r->hash_next = w->runs[h];
	w->runs[h] = r;
	r->next = s->runs;
	r->link = &s->runs;
	if (r->next)
		r->next->link = &r->next;
	s->runs = r;
	return r;
}

/* ---- Do they still hold? ---- */

/* An entry whose A or D bit was taken away must be walked anew, to have it set. */
static bool changed(u64 was, u64 is)
{
	return ((was ^ is) & ~(PTE_A | PTE_D)) || (was & ~is & (PTE_A | PTE_D));
}

static bool path_holds(const struct run *r)
{
	for (unsigned k = 0; k < r->nup; k++)
		if (changed(r->up[k].value, load(r->up[k].at)))
			return false;
	return true;
}

static void run_verify_pages(struct tr_windows *w, struct run *r)
{
	unsigned first = RUN_PAGES, end = 0;

	if (!r->table)
		return;
	for (unsigned word = 0; word < RUN_PAGES / 64; word++)
		for (u64 left = r->mapped[word]; left; left &= left - 1) {
			unsigned k = word * 64 + (unsigned)__builtin_ctzll(left);
			u64 is = load(&r->table[k]);

			if (!changed(r->pte[k], is)) {
				r->pte[k] = is;
				if (end) {
					unmap(w, r, first, end);
					end = 0;
				}
				continue;
			}
			first = end ? first : k;
			end = k + 1;
		}
	if (end)
		unmap(w, r, first, end);
}

static void space_verify(struct tr_windows *w, struct space *s)
{
	struct run *next;

	w->stats.verifications++;
	for (struct run *r = s->runs; r; r = next) {
		next = r->next;
		if (path_holds(r))
			run_verify_pages(w, r);
		else
			run_drop(w, r, true);
	}
}

/* ---- Spaces ---- */

/* What a space's windows cost comes out of a twentieth of its time; from a debt it retreats. */
enum { MEANS = 20 };
/* In cycles, some GHz: windows from 20 ms on, 15 ms of debt, a second chance after 300 ms. */
#define HOT_CYCLES  60000000ull
#define DEBT_CYCLES 45000000ull
#define PENALTY     900000000ull

static void charge(struct tr_windows *w, u64 cost)
{
	struct space *s = w->now;
	u64 saved = (s->cycles - s->debt_at) / MEANS;

	s->debt = cost + (s->debt > saved ? s->debt - saved : 0);
	s->debt_at = s->cycles;
}

static void space_empty(struct tr_windows *w, struct space *s)
{
	while (s->runs)
		run_drop(w, s->runs, false);
	for (unsigned k = 0; k < s->nwindows; k++)
		release(s->windows[k].map);
	w->nwindows -= s->nwindows;
	s->nwindows = 0;
	s->hot = false;
}

static struct space *space_of(struct tr_windows *w, u64 cr3)
{
	struct space *oldest = &w->spaces[0];

	for (unsigned k = 0; k < SPACES; k++) {
		struct space *s = &w->spaces[k];

		if (s->used && s->cr3 == cr3)
			return s;
		if (s->hot < oldest->hot || (s->hot == oldest->hot && s->used < oldest->used))
			oldest = s;
	}
	space_empty(w, oldest);
	*oldest = (struct space){.cr3 = cr3, .penalty = PENALTY};
	return oldest;
}

/* Terabytes of the lower half that the guest's uppermost table has something in. */
static bool windows_for(struct tr_windows *w, struct space *s)
{
	struct alc_vcpu *v = w->t->c.v;
	u64 table = v->cr3 & mask_low(X86_PHYS_BITS) & ALC_PAGE_MASK;

	for (unsigned k = 0; k < 256; k++) {
		const u64 *at = entry_at(v, table, k);

		if (!at || (load(at) & (PTE_P | PTE_U)) != (PTE_P | PTE_U) || window_of(s, k / 2))
			continue;
		if (!window_add(w, s, k / 2))
			return s->nwindows != 0;
	}
	return s->nwindows != 0;
}

static void coldest_out(struct tr_windows *w)
{
	struct space *coldest = NULL;

	for (unsigned k = 0; k < SPACES; k++) {
		struct space *s = &w->spaces[k];

		if (s != w->now && s->hot && (!coldest || s->used < coldest->used))
			coldest = s;
	}
	if (coldest)
		space_empty(w, coldest);
}

static void promote(struct tr_windows *w, struct space *s)
{
	if (w->nwindows + SPACE_WINDOWS > w->windows_max)
		coldest_out(w);
	if (!windows_for(w, s))
		return;
	s->hot = true;
	s->lacking = s->full = false;
	s->debt = 0;
	s->debt_at = s->cycles;
	w->stats.spaces++;
	slots_load(w, s, true);
}

/* A terabyte came into use after windows were made. */
static void extend(struct tr_windows *w, struct space *s)
{
	unsigned before = s->nwindows;

	windows_for(w, s);
	slots_load(w, s, true);
	s->lacking = false;
	s->full = s->nwindows == before;
}

static void retreat(struct tr_windows *w, struct space *s)
{
	slots_load(w, s, false);
	space_empty(w, s);
	s->not_before = s->cycles + s->penalty;
	s->penalty *= 4;
	w->exhausted = false;
	w->stats.retreats++;
}

/* 4-level paging, as it is in 64-bit mode. */
static bool suitable(const struct tr_windows *w)
{
	const struct alc_vcpu *v = w->t->c.v;

	return x86_long_mode(v) && v->cr0 & X86_CR0_PG;
}

static void pass_time(struct tr_windows *w)
{
	u64 now = cycles();

	if (w->now)
		w->now->cycles += now - w->since;
	w->since = now;
}

bool tr_windows_consider(struct tr_windows *w)
{
	bool always = w->t->vm->windows == WINDOWS_ALWAYS;
	bool never = w->t->vm->windows == WINDOWS_NEVER || w->t->vm->spectre ||
		     !tr_has(w->t, TR_WINDOWS);
	struct space *s = w->now;

	if (!s)
		return false;
	pass_time(w);
	if (s->hot && (never || w->exhausted || (!always && s->debt > DEBT_CYCLES)))
		retreat(w, s);
	else if (!s->hot && !never && (always || s->cycles > HOT_CYCLES + s->not_before))
		promote(w, s);
	else if (s->hot && s->lacking)
		extend(w, s);
	return s->hot;
}

bool tr_windows_switch(struct tr_windows *w, u64 left)
{
	u64 cr3 = w->t->c.v->cr3 & ALC_PAGE_MASK, begin;

	pass_time(w);
	if (w->now && w->now->hot)
		slots_load(w, w->now, false);
	if (w->now)
		w->now->epoch = left;
	w->now = NULL;
	if (!suitable(w))
		return false;
	w->now = space_of(w, cr3);
	w->now->used = ++w->clock;
	if (w->now->hot) {
		begin = cycles();
		if (w->now->epoch != w->t->c.epoch[0])
			space_verify(w, w->now);
		slots_load(w, w->now, true);
		charge(w, cycles() - begin);
	}
	return w->now->hot;
}

void tr_windows_flush_page(struct tr_windows *w, u64 gva)
{
	struct run *r = w->now && w->now->hot ? run_find(w, w->now, gva) : NULL;
	unsigned k = (unsigned)field_get(gva, 12, 9);
	u64 begin = cycles();

	if (!r)
		return;
	if (!r->table || !path_holds(r))
		run_drop(w, r, true);
	else if (is_set(r->mapped, k) && changed(r->pte[k], load(&r->table[k])))
		unmap(w, r, k, k + 1);
	charge(w, cycles() - begin);
}

/* ---- Filling ---- */

/* The page that is wanted, and those around it. */
struct fill {
	struct run *r;
	unsigned k, first, end;
	u8 *hva;
	struct alc_page *page;
	bool write;
	u64 pte[2 * AROUND + 1]; /* by distance, from -AROUND on */
};

/* What the guest has for page k of a run at this moment: its entry, and the page. */
static u64 look(const struct tr_windows *w, const struct run *r, unsigned k, struct alc_span *span)
{
	u64 entry = r->table ? load(&r->table[k]) : r->up[r->nup - 1].value;
	u64 at = entry & mask_low(X86_PHYS_BITS) & ALC_PAGE_MASK;
	u64 inside = mask_low(12 + 9 * (LEVELS - r->nup));

	if (!r->table)
		at = (at & ~inside) | ((r->gva + k * ALC_PAGE_SIZE) & inside);
	return entry & PTE_P && tlb_span(w->t->c.v, at, span) ? entry : 0;
}

/* Is page k the one at this distance in the host, with these rights? Its entry is kept. */
static bool suits(const struct tr_windows *w, struct fill *f, unsigned k)
{
	const u64 wanted = PTE_P | PTE_U | PTE_A, rights = PTE_W | PTE_D;
	i64 d = (i64)k - f->k;
	struct alc_span span;
	u64 entry = look(w, f->r, k, &span);

	f->pte[d + AROUND] = entry;
	return (entry & wanted) == wanted && span.hva == f->hva + d * (i64)ALC_PAGE_SIZE &&
	       (!f->write || (entry & rights) == rights);
}

/* A neighbour that can be had more of is left for when it is wanted. */
static bool alike(const struct tr_windows *w, struct fill *f, unsigned k)
{
	const u64 rights = PTE_W | PTE_D;

	if (k >= RUN_PAGES || is_set(f->r->mapped, k) || !suits(w, f, k))
		return false;
	if (f->write)
		return tlb_may_store(f->page - f->k + k);
	return !f->r->may_write || (f->pte[(i64)k - f->k + AROUND] & rights) != rights;
}

static bool map_pages(struct tr_windows *w, const struct fill *f)
{
	const struct alc_host_ram *ram = &w->t->c.v->plat->space->ram;
	const u8 *hva = f->hva - (f->k - f->first) * ALC_PAGE_SIZE;
	struct run *r = f->r;

	if (f->end - f->first + w->nmapped >= w->nnodes ||
	    mmap(r->host + f->first * ALC_PAGE_SIZE, (f->end - f->first) * ALC_PAGE_SIZE,
		 f->write ? PROT_READ | PROT_WRITE : PROT_READ,
		 MAP_SHARED | MAP_FIXED | MAP_POPULATE, ram->fd, hva - ram->base) == MAP_FAILED) {
		w->exhausted = true;
		return false;
	}
	for (unsigned k = f->first; k < f->end; k++) {
		if (is_set(r->mapped, k))
			note_unmapped(w, r, k);
		note_mapped(w, r, k, f->page - f->k + k);
		set(r->writable, k, f->write);
		r->pte[k] = f->pte[(i64)k - f->k + AROUND];
		w->stats.pages++;
	}
	return true;
}

/* The TLB's entry for an address, if it has the right now. */
static const struct tlb_entry *translation(struct tr_windows *w, u64 gva, bool write)
{
	struct interp *c = &w->t->c;
	const struct tlb_entry *e = &c->tables[TLB_TABLE_USER * TLB_SIZE + tlb_index(gva)];
	u64 page = gva & ALC_PAGE_MASK;

	if ((write ? e->wtag : e->rtag) != page &&
	    !tlb_refill(c->v, c, gva, write ? X86_WRITE : X86_READ))
		return NULL;
	return (write ? e->wtag : e->rtag) == page ? e : NULL;
}

/*
 * The TLB decides what a page is and which rights it has; but what is mapped is what the guest's
 * entry says now, or that could change unnoticed.
 */
static bool fill(struct tr_windows *w, struct space *s, u64 gva, bool write)
{
	const struct tlb_entry *e = translation(w, gva, write);
	struct fill f = {.k = (unsigned)field_get(gva, 12, 9)};
	u64 page = gva & ALC_PAGE_MASK;

	if (!e)
		return false;
	f.r = run_find(w, s, gva);
	if (f.r && (!path_holds(f.r) || (write && !f.r->may_write))) {
		run_drop(w, f.r, true);
		f.r = NULL;
	}
	if (!f.r)
		f.r = run_new(w, s, gva);
	if (!f.r || (write && !f.r->may_write))
		return false;
	f.hva = (u8 *)(uintptr_t)(page + e->addend);
	f.page = e->page;
	f.write = f.r->may_write && e->wtag == page;
	if (!suits(w, &f, f.k))
		return false;
	for (f.first = f.k; f.first && f.k - f.first < AROUND && alike(w, &f, f.first - 1);)
		f.first--;
	for (f.end = f.k + 1; f.end - f.k <= AROUND && alike(w, &f, f.end);)
		f.end++;
	return map_pages(w, &f);
}

int tr_windows_fault(struct tr_windows *w, u64 host, unsigned access)
{
	struct alc_vcpu *v = w->t->c.v;
	struct space *s = w->now;
	u64 begin = cycles();
	int r = -EACCES;

	w->stats.faults++;
	v->fault.vector = 0xff;
	for (unsigned k = 0; s && k < s->nwindows; k++) {
		u64 off = host - (u64)(uintptr_t)s->windows[k].host;

		if (off < WINDOW_BYTES)
			r = fill(w, s, slot_base(s->windows[k].slot) + off, access & X86_WRITE) ? 0
			    : v->fault.vector == X86_PFV ? -EFAULT
							 : -EACCES;
	}
	if (s && !s->full && host - (u64)(uintptr_t)w->nowhere < WINDOW_BYTES) {
		s->lacking = true;
		r = -EAGAIN;
	}
	charge(w, cycles() - begin);
	return r;
}

/* ---- Others ---- */

static void silence_pages(struct tr_windows *w, struct run *r, unsigned first, unsigned end)
{
	if (mprotect(r->host + first * ALC_PAGE_SIZE, (end - first) * ALC_PAGE_SIZE, PROT_READ)) {
		unmap(w, r, first, end);
		return;
	}
	for (unsigned k = first; k < end; k++)
		set(r->writable, k, false);
}

static void run_silence(struct tr_windows *w, struct run *r)
{
	for (unsigned k = 0, end; k < RUN_PAGES; k = end) {
		end = k + 1;
		if (!is_set(r->writable, k))
			continue;
		while (end < RUN_PAGES && is_set(r->writable, end))
			end++;
		silence_pages(w, r, k, end);
	}
}

void tr_windows_silence(struct tr_windows *w, const struct alc_page *page)
{
	u32 n, next;

	if (!page) {
		for (unsigned k = 0; k < SPACES; k++)
			for (struct run *r = w->spaces[k].runs; r; r = r->next)
				run_silence(w, r);
		return;
	}
	for (n = w->by_page[page_hash(page)]; n; n = next) {
		struct run *r = w->nodes[n].run;
		unsigned k = w->nodes[n].index;

		next = w->nodes[n].next;
		if (w->nodes[n].page != page || !is_set(r->writable, k))
			continue;
		silence_pages(w, r, k, k + 1);
		next = w->by_page[page_hash(page)]; /* it may have changed */
	}
}

/* ---- Life ---- */

static size_t bytes_for(unsigned nnodes)
{
	return sizeof(struct tr_windows) + nnodes * sizeof(struct node);
}

struct tr_windows *tr_windows_create(struct tr *t, u64 *slots)
{
	const struct x86_platform *plat = t->c.v->plat;
	unsigned nnodes = PAGES_MAX / t->c.v->cpuid->ncpus;
	struct tr_windows *w;

	if (!tr_host_has(t, TR_HOST_BMI2) || plat->space->ram.fd < 0)
		return NULL;
	w = host_alloc(plat->host, bytes_for(nnodes));
	if (!w)
		return NULL;
	w->t = t;
	w->slots = slots;
	w->nnodes = nnodes;
	w->windows_max = WINDOWS_MAX / t->c.v->cpuid->ncpus;
	for (u32 n = 1; n < nnodes; n++)
		w->nodes[n].next = n + 1 < nnodes ? n + 1 : 0;
	w->free_node = 1;
	w->nowhere = reserve();
	if (!w->nowhere) {
		host_free(plat->host, w, bytes_for(nnodes));
		return NULL;
	}
	w->nowhere += WINDOW_GUARD;
	for (unsigned k = 0; k < WINDOW_SLOTS; k++)
		slot_set(w, k, NULL);
	guesses_forget(w);
	w->since = cycles();
	return w;
}

void tr_windows_destroy(struct tr_windows *w)
{
	if (!w)
		return;
	for (unsigned k = 0; k < SPACES; k++)
		space_empty(w, &w->spaces[k]);
	release(w->nowhere - WINDOW_GUARD);
	host_free(w->t->c.v->plat->host, w, bytes_for(w->nnodes));
}

struct tr_window_stats tr_windows_stats(const struct tr_windows *w)
{
	return w ? w->stats : (struct tr_window_stats){0};
}
