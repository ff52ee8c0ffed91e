/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which address space the software TLB is of, and what of it must go.
 *
 * The tables are of the address space that runs. Under CR4.PCIDE what they have of the lower half
 * is put aside, as a list, when CR3 says another PCID, and put back when it says this one again and
 * allows that: a context switch costs as much as was cached, and no walks afterwards. Without
 * PCIDs each MOV to CR3 asks for fresh walks anyway (SDM vol. 3A 4.10.4.1).
 *
 * The upper half is the kernel's: global pages stay, others don't. What
 * is put aside is therefore of the lower half alone, and has no global pages: one INVLPG would have
 * to take them from all. Dropping more than must be is always right.
 */
#include "engine/interp/interp.h"

/* ---- The table's entries of one half ---- */

static void clear_all(struct interp *c, unsigned half)
{
	for (unsigned i = 0; i < TLB_TABLE_CHECKED * TLB_SIZE; i++) /* that is empty always */
		if (c->tables[i].rtag >> 63 == half)
			tlb_entry_clear(c, i);
}

/* Address spaces change often and fill little: then only what was filled is cleared. */
static void clear_half(struct interp *c, unsigned half)
{
	struct tlb_log *log = &c->log[half];

	if (log->count > TLB_LOG_MAX)
		clear_all(c, half);
	else
		for (u32 k = 0; k < log->count; k++)
			tlb_entry_clear(c, log->entry[k]);
	log->count = 0;
	c->large[half].count = 0;
	if (half)
		c->log[TLB_UPPER_NONGLOBAL].count = 0;
	else
		c->lower_global = false;
}

static void flush_half(struct interp *c, unsigned half)
{
	clear_half(c, half);
	c->epoch[half] = ++c->epoch_last;
}

/*
 * Some of the kernel's data may be: what was filled of that. Code is known by the number of the
 * half, and all of it goes.
 */
static void flush_upper_nonglobal(struct interp *c)
{
	struct tlb_log *log = &c->log[TLB_UPPER_NONGLOBAL];

	if (c->upper_nonglobal || log->count > TLB_LOG_MAX)
		flush_half(c, 1);
	for (u32 k = 0; k < log->count; k++)
		tlb_entry_clear(c, log->entry[k]);
	log->count = 0;
	c->upper_nonglobal = false;
}

/* ---- Large pages ---- */

static u32 gib_of(u64 gva)
{
	return gva >> 30 & 0x3ffff;
}

bool tlb_large_has(const struct tlb_large *l, u64 gva)
{
	for (u32 k = 0; k < l->count && k < TLB_LARGE_MAX; k++)
		if (l->gib[k] == gib_of(gva))
			return true;
	return l->count > TLB_LARGE_MAX;
}

void tlb_large_add(struct tlb_large *l, u64 gva)
{
	if (tlb_large_has(l, gva))
		return;
	if (l->count < TLB_LARGE_MAX)
		l->gib[l->count] = gib_of(gva);
	l->count++;
}

/* ---- Address spaces that don't run ---- */

static void forget(struct tlb_space *s)
{
	s->epoch = 0;
	s->count = 0;
}

static void forget_all(struct interp *c)
{
	for (unsigned k = 0; k < TLB_SPACES; k++)
		forget(&c->spaces[k]);
}

static struct tlb_space *find(struct interp *c, unsigned pcid)
{
	for (unsigned k = 0; k < TLB_SPACES; k++)
		if (c->spaces[k].epoch && (c->spaces[k].cr3 & 0xfff) == pcid)
			return &c->spaces[k];
	return NULL;
}

/* A place that is free, or the one not used for longest, but for `wanted`. */
static struct tlb_space *place(struct interp *c, const struct tlb_space *wanted)
{
	struct tlb_space *oldest = NULL;

	for (unsigned k = 0; k < TLB_SPACES; k++) {
		struct tlb_space *s = &c->spaces[k];

		if (!s->epoch)
			return s;
		if (s != wanted && (!oldest || s->used < oldest->used))
			oldest = s;
	}
	return oldest;
}

/*
 * What the tables have of the lower half goes to s; with more than fits, nothing does but what
 * itlb_lookup and others know by the number. Global pages are not to come back.
 */
static void put_aside(struct interp *c, struct tlb_space *s, u64 cr3)
{
	const struct tlb_log *log = &c->log[0];

	s->cr3 = cr3;
	s->epoch = c->epoch[0];
	s->used = ++c->spaces_used;
	s->large = c->large[0];
	s->count = 0;
	for (u32 k = 0; log->count <= TLB_LOG_MAX && k < log->count; k++) {
		const struct tlb_entry *e = &c->tables[log->entry[k]];

		/* One that was filled twice, or for the other half since, or has no rights. */
		if (e->rtag >> 62)
			continue;
		s->at[s->count] = log->entry[k];
		s->entries[s->count++] = *e;
		tlb_entry_clear(c, log->entry[k]);
	}
	clear_half(c, 0);
}

static void put_back(struct interp *c, struct tlb_space *s)
{
	struct tlb_log *log = &c->log[0];

	for (u32 k = 0; k < s->count; k++) {
		c->tables[s->at[k]] = s->entries[k];
		c->marks[s->at[k]] = tlb_mark(s->entries[k].page);
		log->entry[k] = s->at[k];
	}
	log->count = s->count;
	c->large[0] = s->large;
	c->epoch[0] = s->epoch;
	forget(s);
}

/* Eight entries of which one has the page's mark, perhaps. */
static void drop_writes_in(struct interp *c, unsigned first, const struct alc_page *page)
{
	for (unsigned i = first; i < first + 8; i++)
		if (!page || c->tables[i].page == page)
			c->tables[i].wtag = tlb_impossible_tag(i);
}

/*
 * Any entry may be of that page, and there are many: their marks are looked at eight at a time, for
 * a byte that is 0 after the exclusive or. The table under alignment checks has no rights at all.
 */
void tlb_drop_writes(struct interp *c, const struct alc_page *page)
{
	const u64 ones = 0x0101010101010101;

	for (unsigned i = 0; i < TLB_MARKS; i += 8) {
		u64 differ = ld64(c->marks + i) ^ tlb_mark(page) * ones;

		if (!page || ((differ - ones) & ~differ & ones << 7))
			drop_writes_in(c, i, page);
	}
	for (unsigned k = 0; k < TLB_SPACES; k++) {
		struct tlb_space *s = &c->spaces[k];

		for (u32 i = 0; i < s->count; i++)
			if (!page || s->entries[i].page == page)
				s->entries[i].wtag = tlb_impossible_tag(s->at[i]);
	}
}

/* ---- For isa/ ---- */

void interp_flush_all(struct alc_vcpu *v)
{
	struct interp *c = v->engine;

	flush_half(c, 0);
	flush_half(c, 1);
	c->upper_nonglobal = false;
	forget_all(c);
	c->n_flushes++;
}

void interp_flush_nonglobal(struct alc_vcpu *v)
{
	struct interp *c = v->engine;

	flush_half(c, 0);
	flush_upper_nonglobal(c);
	forget_all(c);
	c->n_flushes++;
}

void interp_flush_space(struct alc_vcpu *v, unsigned pcid)
{
	struct interp *c = v->engine;
	struct tlb_space *s = find(c, pcid);

	if (s)
		forget(s);
	if (pcid != x86_pcid(v))
		return;
	flush_half(c, 0);
	flush_upper_nonglobal(c);
	c->n_flushes++;
}

void interp_flush_page(struct alc_vcpu *v, unsigned pcid, u64 gva)
{
	struct interp *c = v->engine;
	unsigned half = gva >> 63;
	struct tlb_space *s = find(c, pcid);

	if (s && !half)
		forget(s);
	if (pcid != x86_pcid(v))
		return;
	if (tlb_large_has(&c->large[half], gva)) {
		flush_half(c, half);
		return;
	}
	for (unsigned t = 0; t < TLB_TABLE_CHECKED; t++)
		tlb_entry_clear(c, t * TLB_SIZE + tlb_index(gva));
	c->epoch[half] = ++c->epoch_last;
}

void interp_switch_space(struct alc_vcpu *v, u64 from, bool keep)
{
	struct interp *c = v->engine;
	unsigned pcid = x86_pcid(v);
	struct tlb_space *s;

	if (!(v->cr4 & X86_CR4_PCIDE) || ((from ^ v->cr3) & 0xfff) == 0) {
		if (!keep || from != v->cr3)
			interp_flush_space(v, pcid);
		return;
	}
	flush_upper_nonglobal(c);
	s = find(c, pcid);
	/* Without the right to keep it, or with other tables under that number, it is a new one. */
	if (s && (!keep || s->cr3 != v->cr3)) {
		forget(s);
		s = NULL;
	}
	if (c->lower_global)
		clear_half(c, 0);
	else
		put_aside(c, place(c, s), from);
	c->n_switches++;
	if (s) {
		put_back(c, s);
		c->n_kept++;
	} else {
		c->epoch[0] = ++c->epoch_last;
	}
}
