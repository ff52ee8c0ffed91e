/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translated code: where it is, how it is found, what invalidates it.
 *
 * An entry holds for one guest-physical page and one linear address; that the one is still mapped
 * at the other is what C checks by its instruction TLB whenever it looks an entry up; links have
 * other means (link.c).
 *
 * Code of a page whose bytes were written to is dead: its entries are overwritten by calls to the
 * runtime. Its memory is used again only after its segment was dropped (store.c, evict.c).
 */
#include <sys/mman.h>

#include "base/errno.h"
#include "engine/translate/translate.h"

/* ---- Pairs ---- */

/*
 * Above the first pair lies what no return address matches, for those who look deeper. The tiny
 * stack has room for twice what the runtime pushes at a slow access.
 */
enum { PAIR_MARGIN = 256, PAIR_STACK_TINY = PAIR_MARGIN + 160 };
#define NO_RETURN BIT(62)

u64 tr_pair_base(const struct tr *t, unsigned user)
{
	u64 size = tr_poisoned(t, POISON_PAIRS) ? PAIR_STACK_TINY : PAIR_STACK;

	return (u64)(uintptr_t)(t->pair_stack[user] + size - PAIR_MARGIN);
}

static void pairs_reset(struct tr *t, unsigned user)
{
	u64 *at = (u64 *)(uintptr_t)tr_pair_base(t, user);

	t->pair_saved[user] = tr_pair_base(t, user);
	/* If the guest returns to that very value, C raises its fault. */
	for (unsigned i = 0; i < PAIR_MARGIN / 8; i += 2) {
		at[i] = (u64)(uintptr_t)tr_host(t, t->rt.indirect);
		at[i + 1] = NO_RETURN;
	}
}

/*
 * The runtime keeps registers there too, up to nine of them, in the midst of which this may happen.
 * Pairs stay aligned to 16 bytes, or a host address would stand where a guest's is looked for.
 */
u64 tr_pairs_restart(struct tr *t, unsigned user, u64 rsp)
{
	enum { KEPT = 128 };
	u64 base = tr_pair_base(t, user), to = base - KEPT + (rsp & 8);

	__builtin_memmove((void *)(uintptr_t)to, (const void *)(uintptr_t)rsp, base - to);
	return to;
}

static int pairs_create(struct tr *t)
{
	for (unsigned k = 0; k < 2; k++) {
		u8 *p = mmap(NULL, PAIR_STACK + 2 * ALC_PAGE_SIZE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			return -ENOMEM;
		t->pair_stack[k] = p + ALC_PAGE_SIZE;
		if (mprotect(t->pair_stack[k], PAIR_STACK, PROT_READ | PROT_WRITE))
			return -ENOMEM;
	}
	return 0;
}

static void pairs_destroy(struct tr *t)
{
	for (unsigned k = 0; k < 2; k++)
		if (t->pair_stack[k])
			munmap(t->pair_stack[k] - ALC_PAGE_SIZE, PAIR_STACK + 2 * ALC_PAGE_SIZE);
}

/* ---- Creation ---- */

int tr_cache_create(struct tr *t, struct alc_err *err)
{
	const struct alc_host *h = t->c.v->plat->host;
	u64 bytes = t->vm->cache_bytes / t->c.v->cpuid->ncpus;
	int r;

	if (pairs_create(t))
		return alc_fail(err, -ENOMEM, "no memory for the return pairs of vCPU %u",
				t->c.v->index);
	r = h->code_map(h->ctx, tr_code_bytes(bytes), &t->code);
	if (r)
		return alc_fail(err, r, "no executable memory for the translations of vCPU %u",
				t->c.v->index);
	t->emit = (struct code){.base = t->code.rw, .size = (u32)t->code.size};
	if (tr_has(t, TR_DIRECT) && (u64)(uintptr_t)(t + 1) <= INT32_MAX)
		t->emit.state = (i32)(uintptr_t)t->c.v;
	if (t->emit.state && tr_has(t, TR_RELATIVE) &&
	    (u64)(uintptr_t)(t->code.rx + t->code.size) <= INT32_MAX)
		t->emit.state_distance = t->emit.state - (i32)(uintptr_t)t->code.rx;
	t->windows = tr_windows_create(t, t->slots);
	tr_emit_runtime(t);
	if (tr_store_create(t))
		return alc_fail(err, -ENOMEM, "no memory for the translations of vCPU %u",
				t->c.v->index);
	tr_cache_flush(t);
	t->n_code_flushes = 0;
	return 0;
}

void tr_cache_destroy(struct tr *t)
{
	const struct alc_host *h = t->c.v->plat->host;

	tr_store_destroy(t);
	if (t->code.size)
		h->code_unmap(h->ctx, &t->code);
	pairs_destroy(t);
	tr_windows_destroy(t->windows);
	tr_builder_free(t);
	tr_work_free(t);
}

/* ---- Forgetting ---- */

/* If the guest jumps to just that value, C raises its fault. */
void tr_jump_clear(const struct tr *t, struct tr_jump *j)
{
	*j = (struct tr_jump){.rip = NO_RETURN, .host = tr_host(t, t->rt.indirect)};
}

bool tr_jump_is_clear(const struct tr_jump *j)
{
	return j->rip == NO_RETURN;
}

/* What translated code believes about where user code is, and (kernel) about kernel code. */
void tr_forget_jumps(struct tr *t, bool kernel)
{
	for (unsigned k = 0; k < t->npage_log && k < PAGE_LOG; k++)
		t->page_ids[t->page_log[k]] = 0;
	if (t->npage_log > PAGE_LOG)
		__builtin_memset(t->page_ids, 0, sizeof(t->page_ids));
	for (unsigned k = 0; k < t->njump_log && k < JUMP_LOG; k++)
		tr_jump_clear(t, &t->jumps[1][t->jump_log[k]]);
	if (t->njump_log > JUMP_LOG)
		for (unsigned k = 0; k < JUMP_CACHE; k++)
			tr_jump_clear(t, &t->jumps[1][k]);
	t->npage_log = t->njump_log = 0;
	pairs_reset(t, 1);
	if (kernel)
		for (unsigned k = 0; k < JUMP_CACHE; k++)
			tr_jump_clear(t, &t->jumps[0][k]);
	if (kernel || t->low_kernel)
		pairs_reset(t, 0);
	t->low_kernel = false;
}

static bool is_in_page(u64 rip, u64 va)
{
	return rip - va < ALC_PAGE_SIZE;
}

static void forget_targets_in(struct tr *t, u64 va)
{
	for (unsigned k = 0; k < JUMP_CACHE; k++)
		if (is_in_page(t->jumps[1][k].rip, va))
			tr_jump_clear(t, &t->jumps[1][k]);
}

static void pair_clear(const struct tr *t, u64 *pair)
{
	pair[0] = (u64)(uintptr_t)tr_host(t, t->rt.indirect);
	pair[1] = NO_RETURN;
}

static void forget_pairs_in(struct tr *t, u64 va)
{
	u64 *pair = (u64 *)(uintptr_t)t->pair_saved[1];
	u64 *top = (u64 *)(uintptr_t)tr_pair_base(t, 1);

	for (; pair < top; pair += 2)
		if (is_in_page(pair[1], va))
			pair_clear(t, pair);
}

void tr_forget_jumps_in(struct tr *t, u64 va)
{
	va &= ALC_PAGE_MASK;
	if (t->low_kernel) {
		tr_forget_jumps(t, false);
		return;
	}
	if (t->njump_log)
		forget_targets_in(t, va);
	forget_pairs_in(t, va);
}

void tr_forget_ranges(struct tr *t)
{
	for (unsigned k = 0; k < 2; k++)
		t->range[k] = (struct tr_range){.base = NO_RETURN, .addend = NO_RETURN};
	tr_reach_forget(t);
}

void tr_forget_lookups(struct tr *t)
{
	__builtin_memset(t->lookups, 0, sizeof(t->lookups));
}

void tr_cache_flush(struct tr *t)
{
	tr_store_reset(t);
	__builtin_memset(t->entries, 0, sizeof(t->entries));
	__builtin_memset(t->regions, 0, sizeof(t->regions));
	__builtin_memset(t->views, 0, sizeof(t->views));
	__builtin_memset(t->pages, 0, sizeof(t->pages));
	tr_forget_lookups(t);
	t->nkernel_pages = 0;
	t->kernel_large.count = 0;
	t->kernel_nonglobal = false;
	tr_kernel_pages_changed(t);
	t->npage_log = PAGE_LOG + 1;
	t->njump_log = JUMP_LOG + 1;
	t->low_kernel = false;
	tr_forget_jumps(t, true);
	tr_forget_spaces(t);
	tr_forget_ranges(t);
	tr_reach_reset(t);
	t->n_code_flushes++;
	t->drops++;
}

bool tr_cache_full(const struct tr *t)
{
	return tr_segment_full(t) || tr_pools_full(t) || t->nkernel_pages + 2 > KERNEL_PAGES;
}

void tr_forget_targets(struct tr *t, const struct tr_segment *g)
{
	const u8 *begin = tr_host(t, g->begin);
	size_t size = g->end - g->begin;

	tr_forget_spaces(t);
	for (unsigned user = 0; user < 2; user++) {
		u64 *pair = (u64 *)(uintptr_t)t->pair_saved[user];
		u64 *top = (u64 *)(uintptr_t)tr_pair_base(t, user);

		for (unsigned k = 0; k < JUMP_CACHE; k++)
			if ((size_t)(t->jumps[user][k].host - begin) < size)
				tr_jump_clear(t, &t->jumps[user][k]);
		for (; pair < top; pair += 2)
			if (pair[0] - (u64)(uintptr_t)begin < size)
				pair_clear(t, pair);
	}
}

/* ---- Entries ---- */

static unsigned entry_hash(u64 rip)
{
	return (u32)rip * 0x9e3779b1u >> (32 - __builtin_ctz(ENTRY_HASH));
}

static unsigned lookup_hash(u64 rip)
{
	return (unsigned)(rip ^ rip >> 12) & (LOOKUPS - 1);
}

static unsigned region_hash(const struct alc_page *p)
{
	return (unsigned)((uintptr_t)p / sizeof(*p) % REGION_HASH);
}

static unsigned user_code_bit(u64 va)
{
	return (va >> 12 ^ va >> 24) & (USER_CODE - 1);
}

bool tr_user_code_in(const u64 *filter, u64 va)
{
	return filter[user_code_bit(va) / 64] >> user_code_bit(va) % 64 & 1;
}

bool tr_user_code(const struct tr *t, u64 va)
{
	return tr_user_code_in(t->user_code, va);
}

void tr_user_code_add(struct tr *t, u64 va)
{
	if (va >> 63)
		return;
	t->user_code[user_code_bit(va) / 64] |= BIT(user_code_bit(va) % 64);
}

void tr_entry_add(struct tr *t, struct tr_entry *e)
{
	unsigned h = entry_hash(e->rip);

	e->next = t->entries[h];
	t->entries[h] = e;
	h = lookup_hash(e->rip);
	if (t->lookups[h].rip == e->rip) /* this one may suit better, or be the first */
		t->lookups[h].epoch = 0;
}

/* Where its number is, or would be. */
static unsigned kernel_slot(const struct tr *t, u64 va)
{
	unsigned h = (u32)(va >> 12) * 0x9e3779b1u % ARRAY_LEN(t->kernel_hash), n;

	while ((n = t->kernel_hash[h]) && t->kernel_pages[n - 1].va != (va & ALC_PAGE_MASK))
		h = (h + 1) % ARRAY_LEN(t->kernel_hash);
	return h;
}

int tr_kernel_page(const struct tr *t, u64 va)
{
	return t->kernel_hash[kernel_slot(t, va)] - 1;
}

void tr_kernel_pages_changed(struct tr *t)
{
	__builtin_memset(t->kernel_hash, 0, sizeof(t->kernel_hash));
	for (unsigned k = 0; k < t->nkernel_pages; k++)
		t->kernel_hash[kernel_slot(t, t->kernel_pages[k].va)] = (u16)(k + 1);
}

static void note_kernel_page(struct tr *t, const struct tr_region *r)
{
	if (!(r->rip >> 63) || tr_kernel_page(t, r->rip) >= 0)
		return;
	t->kernel_hash[kernel_slot(t, r->rip)] = (u16)(t->nkernel_pages + 1);
	t->kernel_pages[t->nkernel_pages].va = r->rip & ALC_PAGE_MASK;
	t->kernel_pages[t->nkernel_pages++].page = r->page;
	t->kernel_nonglobal |= t->c.upper_nonglobal;
	if (tlb_large_has(&t->c.large[1], r->rip))
		tlb_large_add(&t->kernel_large, r->rip);
}

struct tr_region *tr_regions_of(struct tr *t, const struct alc_page *page)
{
	return t->regions[region_hash(page)];
}

static void add_to_order(struct tr *t, struct tr_region *r)
{
	struct tr_segment *g = t->segment;

	g->order[g->norder++] = r;
}

void tr_region_add(struct tr *t, struct tr_region *r)
{
	unsigned h = region_hash(r->page);

	r->page_next = t->regions[h];
	t->regions[h] = r;
	add_to_order(t, r);
	note_kernel_page(t, r);
	for (unsigned k = 0; k < r->nheads; k++)
		if (!r->mem_heads[k].pops)
			tr_entry_add(t, &r->mem_heads[k]);
}

void tr_join_add(struct tr *t, struct tr_region *r, struct tr_region *j)
{
	j->page_next = r->joins;
	r->joins = j;
	add_to_order(t, j);
	tr_entry_add(t, &j->mem_heads[0]);
}

/* Code looks on entry whether the second page is still behind the first, by that number. */
static bool is_believed(struct tr *t, const struct tr_entry *e)
{
	const struct tr_region *r = e->region;

	return !r->second_id || tr_page_id(t, e->rip + ALC_PAGE_SIZE, r->page2) == r->second_id;
}

static bool second_holds(struct alc_vcpu *v, struct tr *t, const struct tr_entry *e)
{
	const struct itlb_entry *it;

	if (!e->region->page2)
		return true;
	it = itlb_lookup(v, &t->c, (e->rip & ALC_PAGE_MASK) + ALC_PAGE_SIZE);
	return it && it->page == e->region->page2 && is_believed(t, e);
}

static bool holds(const struct tr_entry *e)
{
	return !e->region->dead &&
	       e->region->gen == atomic_load_explicit(&e->region->page->gen, memory_order_acquire);
}

/*
 * The entry for RIP in a page. There are many entries of few places that are looked for: what is
 * found moves to the front, and of the others no more than themselves is touched.
 */
static struct tr_entry *find_entry(struct alc_vcpu *v, struct tr *t, const struct alc_page *page)
{
	struct tr_entry **head = &t->entries[entry_hash(v->rip)], **link = head, **at = NULL, *e;
	struct tr_entry *found = NULL;

	while ((e = *link)) {
		if (e->dead) {
			*link = e->next;
			continue;
		}
		if (e->rip == v->rip && e->region->mode == tr_mode(t) && e->region->page == page &&
		    holds(e) && second_holds(v, t, e)) {
			at = link;
			found = e;
			if (e->mem)
				break;
		}
		link = &e->next;
	}
	if (found && at != head) {
		*at = found->next;
		found->next = *head;
		*head = found;
	}
	return found;
}

static bool is_current(const struct tr *t, const struct tr_lookup *l, u64 rip)
{
	return l->rip == rip && l->epoch == t->c.epoch[rip >> 63] && l->mode == tr_mode(t);
}

struct tr_entry *tr_lookup(struct alc_vcpu *v, struct tr *t)
{
	u64 rip = v->rip;
	struct tr_lookup *l = &t->lookups[lookup_hash(rip)];
	const struct itlb_entry *it;

	/* Memory is what this waits for. */
	__builtin_prefetch(&t->entries[entry_hash(rip)]);
	tr_user_code_add(t, rip);
	/* What was not there is not there yet: see tr_entry_add. */
	if (likely(is_current(t, l, rip) &&
		   (!l->entry || (holds(l->entry) && is_believed(t, l->entry)))))
		return l->entry;
	it = itlb_lookup(v, &t->c, rip);
	if (!it)
		return NULL; /* the interpreter finds the same fault */
	*l = (struct tr_lookup){.rip = rip,
				.epoch = t->c.epoch[rip >> 63],
				.mode = tr_mode(t),
				.entry = find_entry(v, t, it->page)};
	return l->entry;
}

bool tr_is_uncovered(struct tr *t, u64 rip)
{
	const struct tr_lookup *l = &t->lookups[lookup_hash(rip)];

	return l->uncovered && is_current(t, l, rip);
}

void tr_set_uncovered(struct tr *t, u64 rip)
{
	struct tr_lookup *l = &t->lookups[lookup_hash(rip)];

	l->uncovered = is_current(t, l, rip);
}

void tr_clear_uncovered(struct tr *t, u64 rip)
{
	struct tr_lookup *l = &t->lookups[lookup_hash(rip)];

	if (l->rip == rip)
		l->uncovered = false;
}

/* ---- Invalidation ---- */

/* The last region that begins at an offset, or before it. */
static struct tr_region *region_before(struct tr *t, u32 off)
{
	const struct tr_segment *g = tr_segment_of(t, off);
	unsigned low = 0, high = g->norder;

	while (high - low > 1) {
		unsigned mid = (low + high) / 2;

		if (g->order[mid]->begin <= off)
			low = mid;
		else
			high = mid;
	}
	return high ? g->order[low] : NULL;
}

struct tr_region *tr_region_at(struct tr *t, u32 off)
{
	struct tr_region *r = region_before(t, off);

	return r && off >= r->begin && off < r->end ? r : NULL;
}

/* The entry, of a dead region, whose code began at an offset. */
struct tr_entry *tr_gone_entry(struct tr *t, u32 off)
{
	struct tr_region *r = region_before(t, off);

	for (unsigned k = 0; k < r->nheads; k++)
		if (r->mem_heads[k].host == off && r->mem_heads[k].mem)
			return &r->mem_heads[k];
	return NULL;
}

void tr_region_kill(struct tr *t, struct tr_region *r)
{
	r->dead = true;
	if (r->whole) {
		tr_region_kill(t, r->whole);
		return;
	}
	for (struct tr_region *j = r->joins; j; j = j->page_next)
		tr_region_kill(t, j);
	t->n_killed++;
	for (unsigned k = 0; k < r->nheads; k++) {
		struct code at = tr_patch_at(t, r->mem_heads[k].host);

		r->mem_heads[k].dead = true;
		if (!r->mem_heads[k].mem)
			continue;
		tr_unlink_dead(t, &r->mem_heads[k]);
		e_call_to(&at, t->rt.gone);
	}
}

void tr_region_drop(struct tr *t, struct tr_region *r)
{
	struct tr_region **link = &t->regions[region_hash(r->page)];

	while (*link && *link != r)
		link = &(*link)->page_next;
	if (!*link || r->dead)
		return; /* a join: it is its region that has the code */
	tr_region_kill(t, r);
	*link = r->page_next;
}

static void kill_page(struct tr *t, const struct alc_page *p)
{
	struct tr_region **link = &t->regions[region_hash(p)], *r;

	while ((r = *link)) {
		if (r->page == p && r->gen != atomic_load(&p->gen)) {
			tr_region_kill(t, r);
			*link = r->page_next;
			continue;
		}
		link = &r->page_next;
	}
}

static void unlist_entry(struct tr *t, const struct tr_entry *e)
{
	struct tr_entry **link = &t->entries[entry_hash(e->rip)];

	while (*link && *link != e)
		link = &(*link)->next;
	if (*link)
		*link = e->next;
}

void tr_entry_move(struct tr *t, struct tr_entry *e, u64 distance)
{
	unsigned h = lookup_hash(e->rip);

	unlist_entry(t, e);
	if (t->lookups[h].rip == e->rip)
		t->lookups[h].epoch = 0;
	e->rip += distance;
	if (!e->pops && !e->dead)
		tr_entry_add(t, e);
}

static void unlist_entries(struct tr *t, const struct tr_segment *g, const struct tr_region *r)
{
	for (unsigned k = 0; k < r->nheads; k++) {
		struct tr_entry **link = &t->entries[entry_hash(r->mem_heads[k].rip)];

		while (*link)
			if (tr_segment_has(g, *link))
				*link = (*link)->next;
			else
				link = &(*link)->next;
	}
}

/* It is not there if a store to its page killed it. */
static void unlist_region(struct tr *t, struct tr_region *r)
{
	struct tr_region **link = &t->regions[region_hash(r->page)];

	while (*link && *link != r)
		link = &(*link)->page_next;
	if (*link)
		*link = r->page_next;
	if (r->nplaces)
		tr_view_leave(t, r);
}

void tr_unlist(struct tr *t, const struct tr_segment *g)
{
	for (unsigned k = 0; k < g->norder; k++) {
		if (!g->order[k]->join)
			unlist_region(t, g->order[k]);
		unlist_entries(t, g, g->order[k]);
	}
	tr_forget_lookups(t);
}

static void lock_hits(struct tr *t)
{
	while (atomic_exchange_explicit(&t->hits_lock, true, memory_order_acquire))
		__builtin_ia32_pause();
}

static void unlock_hits(struct tr *t)
{
	atomic_store_explicit(&t->hits_lock, false, memory_order_release);
}

void tr_note_hit(struct tr *t, struct alc_page *p)
{
	lock_hits(t);
	if (t->nhits < HITS_MAX)
		t->hits[t->nhits] = p;
	if (t->nhits <= HITS_MAX)
		t->nhits++;
	unlock_hits(t);
}

void tr_take_hits(struct tr *t)
{
	struct alc_page *hits[HITS_MAX];
	unsigned n;

	lock_hits(t);
	n = t->nhits;
	__builtin_memcpy(hits, t->hits, sizeof(hits));
	t->nhits = 0;
	unlock_hits(t);
	if (n > HITS_MAX) {
		tr_cache_flush(t);
		return;
	}
	for (unsigned k = 0; k < n; k++)
		kill_page(t, hits[k]);
}

/* What was translated of a page where that no longer is. */
void tr_kill_view(struct tr *t, const struct alc_page *page, u64 va)
{
	struct tr_region **link = &t->regions[region_hash(page)], *r;

	while ((r = *link)) {
		if (r->page == page && (r->rip & ALC_PAGE_MASK) == va) {
			tr_region_kill(t, r);
			*link = r->page_next;
			continue;
		}
		link = &r->page_next;
	}
}
