/* SPDX-License-Identifier: BSD-2-Clause */
/* What is mapped in windows, and when it no longer may be (window_run.h). */
#include <sys/mman.h>

#include "engine/translate/window_run.h"

enum { AROUND = 8 }; /* pages on either side that are mapped with the one that is wanted */

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

static void forget_mapped(struct tr_windows *w, struct run *r, unsigned first, unsigned end)
{
	for (unsigned k = first; k < end; k++)
		if (is_set(r->mapped, k))
			note_unmapped(w, r, k);
}

/*
 * Where the host doesn't unmap a part, as it allows no more mappings and that would split one: all
 * of the window that a run is in loses its rights, for which none is split. Nor does that leave a
 * hole, in which something of the host's could come to lie; where there is one already, it fails.
 */
static void window_shut(struct tr_windows *w, const struct run *of)
{
	const u64 terabytes = ~(WINDOW_BYTES - 1);
	struct window *win = window_of(of->space, (unsigned)field_get(of->gva, WINDOW_SHIFT, 8));

	if (mprotect(win->host, WINDOW_BYTES, PROT_NONE))
		tr_windows_lose(w);
	for (struct run *r = of->space->runs; r; r = r->next)
		if (!((r->gva ^ of->gva) & terabytes))
			forget_mapped(w, r, 0, RUN_PAGES);
	w->exhausted = true;
	w->stats.shut++;
}

/* Pages [first, end) of a run; those between them that are not mapped may be among them. */
static void unmap(struct tr_windows *w, struct run *r, unsigned first, unsigned end)
{
	if (map_nothing(r, first, end))
		forget_mapped(w, r, first, end);
	else
		window_shut(w, r);
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
		}
	if (!mapped)
		forget_mapped(w, r, first, end);
	else if (end)
		unmap(w, r, first, end);
	while (*link != r)
		link = &(*link)->hash_next;
	*link = r->hash_next;
	*r->link = r->next;
	if (r->next)
		r->next->link = r->link;
	host_free(w->t->c.v->plat->host, r, sizeof(*r));
}

const u64 *runs_entry_at(struct alc_vcpu *v, u64 table, unsigned index)
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
		const u64 *at = runs_entry_at(v, table, field_get(gva, 12 + 9 * (level - 1), 9));

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
	r->table = runs_entry_at(v, table, 0);
	return r->table != NULL;
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

void runs_verify(struct tr_windows *w, struct space *s)
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

void runs_verify_page(struct tr_windows *w, struct space *s, u64 gva)
{
	unsigned k = (unsigned)field_get(gva, 12, 9);
	struct run *r = run_find(w, s, gva);

	if (!r)
		return;
	if (!r->table || !path_holds(r))
		run_drop(w, r, true);
	else if (is_set(r->mapped, k) && changed(r->pte[k], load(&r->table[k])))
		unmap(w, r, k, k + 1);
}

void runs_forget(struct tr_windows *w, struct space *s)
{
	while (s->runs)
		run_drop(w, s->runs, false);
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

	while (f->end - f->first + w->nmapped >= w->nnodes) {
		if (!spaces_make_room(w)) {
			w->exhausted = true;
			return false;
		}
	}
	/* What was there may be gone or not, if it fails. */
	if (mmap(r->host + f->first * ALC_PAGE_SIZE, (f->end - f->first) * ALC_PAGE_SIZE,
		 f->write ? PROT_READ | PROT_WRITE : PROT_READ,
		 MAP_SHARED | MAP_FIXED | MAP_POPULATE, ram->fd, hva - ram->base) == MAP_FAILED) {
		window_shut(w, r);
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
bool runs_fill(struct tr_windows *w, struct space *s, u64 gva, bool write)
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

/* ---- Others ---- */

static void silence_pages(struct tr_windows *w, struct run *r, unsigned first, unsigned end)
{
	if (mprotect(r->host + first * ALC_PAGE_SIZE, (end - first) * ALC_PAGE_SIZE, PROT_READ)) {
		window_shut(w, r);
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
