/* SPDX-License-Identifier: BSD-2-Clause */
/* Which address spaces have windows, and when (window.h). */
#include <sys/mman.h>

#include "base/errno.h"
#include "engine/translate/window_run.h"

enum {
	PAGES_MAX = 40000, /* of all vCPUs: the host allows 65,530 mappings as a rule */
	WINDOWS_MAX = 72,  /* of all vCPUs: of the host's 128 TiB */
};
#define NO_TERABYTE (~0ull)

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

struct window *window_of(struct space *s, unsigned slot)
{
	for (unsigned k = 0; k < s->nwindows; k++)
		if (s->windows[k].slot == slot)
			return &s->windows[k];
	return NULL;
}

/* ---- Spaces ---- */

/*
 * What a space's windows cost it comes out of a twentieth of its time, and out of what it did not
 * use of that before; from a debt it retreats.
 * Filling them is an investment, of which an eighth counts; what is unmapped again was a bad one.
 */
enum { MEANS = 20, INVESTMENT = 8 };
/*
 * In cycles, some GHz: windows from 20 ms on, 6 ms of debt, 50 ms of credit, a second chance after
 * 300 ms.
 */
#define HOT_CYCLES    60000000ull
#define DEBT_CYCLES   18000000ll
#define CREDIT_CYCLES 150000000ll
#define PENALTY       900000000ull
#define PENALTY_MAX   (PENALTY << 20)
#define FILL_CYCLES   16000ull /* of one page */

static void charge(struct tr_windows *w, u64 cost)
{
	struct space *s = w->now;
	i64 saved = (i64)((s->cycles - s->debt_at) / MEANS);

	s->debt -= saved;
	if (s->debt < -CREDIT_CYCLES)
		s->debt = -CREDIT_CYCLES;
	s->debt += (i64)cost;
	s->debt_at = s->cycles;
}

static void space_empty(struct tr_windows *w, struct space *s)
{
	runs_forget(w, s);
	for (unsigned k = 0; k < s->nwindows; k++)
		release(s->windows[k].map);
	w->nwindows -= s->nwindows;
	s->nwindows = 0;
	s->hot = false;
}

/*
 * Of the address space that CR3 names. Guests give the page of one that has gone to the next, which
 * is not to inherit its windows, nor what they have cost. What is mapped highest tells them apart:
 * programs have their stacks there, from beginning to end, at an address and by tables of their
 * own.
 */
static u64 identity(const struct tr_windows *w)
{
	const u64 address = mask_low(X86_PHYS_BITS) & ALC_PAGE_MASK;
	struct alc_vcpu *v = w->t->c.v;
	u64 table = v->cr3 & address, id = 0;

	for (unsigned level = LEVELS; level > 1; level--) {
		const u64 *at = runs_entry_at(v, table, 0);
		unsigned k = level == LEVELS ? 256 : 512;
		u64 entry = 0;

		while (at && k && !(entry & PTE_P))
			entry = __atomic_load_n(&at[--k], __ATOMIC_RELAXED);
		table = entry & PTE_P ? entry & address : 0;
		id = (id ^ table ^ k) * 0x9e3779b97f4a7c15ull;
		if (!table || entry & PTE_PS)
			break;
	}
	return id;
}

static void space_begin(struct space *s, u64 cr3)
{
	*s = (struct space){.cr3 = cr3, .used = s->used, .penalty = PENALTY};
}

/* Begins anew if it is another program's by now; false: it is not. */
static bool space_renew(struct tr_windows *w, struct space *s)
{
	if (s->identity == identity(w))
		return false;
	space_empty(w, s);
	space_begin(s, s->cr3);
	w->stats.replaced++;
	return true;
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
	space_begin(oldest, cr3);
	return oldest;
}

/* Terabytes of the lower half that the guest's uppermost table has something in. */
static bool windows_make(struct tr_windows *w, struct space *s)
{
	struct alc_vcpu *v = w->t->c.v;
	u64 table = v->cr3 & mask_low(X86_PHYS_BITS) & ALC_PAGE_MASK;

	for (unsigned k = 0; k < 256; k++) {
		const u64 *at = runs_entry_at(v, table, k);

		if (!at || (*at & (PTE_P | PTE_U)) != (PTE_P | PTE_U) || window_of(s, k / 2))
			continue;
		if (!window_add(w, s, k / 2))
			return s->nwindows != 0;
	}
	return s->nwindows != 0;
}

bool spaces_make_room(struct tr_windows *w)
{
	struct space *coldest = NULL;

	for (unsigned k = 0; k < SPACES; k++) {
		struct space *s = &w->spaces[k];

		if (s != w->now && s->hot && (!coldest || s->used < coldest->used))
			coldest = s;
	}
	if (coldest)
		space_empty(w, coldest);
	return coldest;
}

static void promote(struct tr_windows *w, struct space *s)
{
	if (w->nwindows + SPACE_WINDOWS > w->windows_max)
		spaces_make_room(w);
	if (!windows_make(w, s))
		return;
	s->hot = true;
	s->lacking = s->full = false;
	s->debt = 0;
	s->debt_at = s->cycles;
	s->identity = identity(w);
	w->stats.spaces++;
	slots_load(w, s, true);
}

/* A terabyte came into use after windows were made. */
static void extend(struct tr_windows *w, struct space *s)
{
	unsigned before = s->nwindows;

	windows_make(w, s);
	slots_load(w, s, true);
	s->lacking = false;
	s->full = s->nwindows == before;
}

static void retreat(struct tr_windows *w, struct space *s)
{
	slots_load(w, s, false);
	space_empty(w, s);
	s->identity = identity(w);
	s->not_before = s->cycles + s->penalty;
	s->penalty = min_u64(s->penalty * 4, PENALTY_MAX);
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

	if (w->now) {
		w->now->cycles += now - w->since;
		w->now->faults += w->t->c.n_faults - w->faults_since;
	}
	w->since = now;
	w->faults_since = w->t->c.n_faults;
}

/*
 * It has run for a while since it was looked at last. Who faults in new pages all the time would do
 * so twice for each. Who retreated is not to come back yet, unless it was another program.
 */
static bool is_worth_it(struct tr_windows *w, struct space *s)
{
	u64 passed = s->cycles - s->watched_cycles, faults = s->faults - s->watched_faults;

	if (passed < HOT_CYCLES)
		return false;
	s->watched_cycles = s->cycles;
	s->watched_faults = s->faults;
	if (s->cycles < s->not_before)
		space_renew(w, s);
	return s->cycles >= s->not_before && faults * FILL_CYCLES * MEANS < passed;
}

bool tr_windows_consider(struct tr_windows *w)
{
	bool always = w->t->vm->windows == WINDOWS_ALWAYS;
	bool never = w->t->vm->windows == WINDOWS_NEVER || !tr_has(w->t, TR_WINDOWS);
	struct space *s = w->now;

	if (!s)
		return false;
	pass_time(w);
	if (w->exhausted && spaces_make_room(w))
		w->exhausted = false;
	if (s->hot && (never || w->exhausted || (!always && s->debt > DEBT_CYCLES)))
		retreat(w, s);
	else if (!s->hot && !never && (always || is_worth_it(w, s)))
		promote(w, s);
	else if (s->hot && s->lacking)
		extend(w, s);
	return s->hot;
}

/* Something was flushed. */
static void verify(struct tr_windows *w)
{
	u64 begin = cycles(), unmapped = w->stats.unmapped;

	if (space_renew(w, w->now))
		return;
	runs_verify(w, w->now);
	charge(w, cycles() - begin + (w->stats.unmapped - unmapped) * FILL_CYCLES);
}

bool tr_windows_switch(struct tr_windows *w, u64 left)
{
	u64 cr3 = w->t->c.v->cr3 & ALC_PAGE_MASK;

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
	if (w->now->hot && w->now->epoch != w->t->c.epoch[0])
		verify(w);
	if (w->now->hot)
		slots_load(w, w->now, true);
	return w->now->hot;
}

void tr_windows_flush_page(struct tr_windows *w, u64 gva)
{
	u64 unmapped = w->stats.unmapped;

	if (!w->now || !w->now->hot)
		return;
	runs_verify_page(w, w->now, gva);
	charge(w, (w->stats.unmapped - unmapped) * FILL_CYCLES);
}

/* ---- Faults ---- */

int tr_windows_fault(struct tr_windows *w, u64 host, unsigned access)
{
	struct alc_vcpu *v = w->t->c.v;
	struct space *s = w->now;
	u64 begin = cycles();
	int r = -EACCES;

	w->stats.faults++;
	v->fault.vector = 0xff;
	if (!s)
		return r;
	for (unsigned k = 0; k < s->nwindows; k++) {
		u64 off = host - (u64)(uintptr_t)s->windows[k].host;

		if (off < WINDOW_BYTES)
			r = runs_fill(w, s, slot_base(s->windows[k].slot) + off, access & X86_WRITE)
				    ? 0
			    : v->fault.vector == X86_PFV ? -EFAULT
							 : -EACCES;
	}
	/* It may be what was to be unmapped. */
	if (w->t->windows_lost)
		return -EACCES;
	if (!s->full && host - (u64)(uintptr_t)w->nowhere < WINDOW_BYTES) {
		s->lacking = true;
		r = -EAGAIN;
	}
	charge(w, r ? FILL_CYCLES : (cycles() - begin) / INVESTMENT);
	return r;
}

void tr_windows_lose(struct tr_windows *w)
{
	w->t->windows_lost = true;
	atomic_fetch_or(&w->t->c.v->attention, X86_ATTN_CODE);
	tr_kick(w->t->c.v);
}

/* ---- Life ---- */

static size_t bytes_for(unsigned nnodes)
{
	return sizeof(struct tr_windows) + nnodes * sizeof(struct node);
}

struct tr_windows *tr_windows_create(struct tr *t, u64 *slots)
{
	const struct x86_platform *plat = t->c.v->plat;
	unsigned ncpus = t->c.v->cpuid->ncpus, nnodes = PAGES_MAX / ncpus;
	struct tr_windows *w;

	if (!tr_host_has(t, TR_HOST_BMI2) || plat->space->ram.fd < 0 ||
	    WINDOWS_MAX / ncpus < SPACE_WINDOWS)
		return NULL;
	w = host_alloc(plat->host, bytes_for(nnodes));
	if (!w)
		return NULL;
	w->t = t;
	w->slots = slots;
	w->nnodes = nnodes;
	w->windows_max = WINDOWS_MAX / ncpus;
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
