/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translations of addresses change: what isa/ tells the engine of that (struct x86_engine_ops), and
 * what translated code believes about it.
 *
 * Of user code it believes tr.page_ids (which links into other pages compare) and the targets in
 * tr.jumps[1]. Both are of the address space that runs. With PCIDs they are put aside when another
 * one does, and come back with the TLB's entries: the number of the TLB's lower half
 * (interp.epoch) says whether nothing was flushed meanwhile. Pairs are not kept, and the range
 * around RSP is found again in the TLB.
 *
 * Kernel code is believed to be where it was: if translations of the upper half may have changed,
 * all of it is looked at (verify_kernel), and what has gone loses its regions.
 */
#include "engine/translate/translate.h"

/* ---- What is put aside ---- */

static struct tr_space *find(struct tr *t, u64 epoch)
{
	for (unsigned k = 0; k < ARRAY_LEN(t->spaces); k++)
		if (t->spaces[k].epoch == epoch)
			return &t->spaces[k];
	return NULL;
}

/* One that is free, or was not used for longest, but for that of `wanted`. */
static struct tr_space *place(struct tr *t, u64 wanted)
{
	struct tr_space *oldest = NULL;

	for (unsigned k = 0; k < ARRAY_LEN(t->spaces); k++) {
		struct tr_space *s = &t->spaces[k];

		if (!s->epoch)
			return s;
		if (s->epoch != wanted && (!oldest || s->used < oldest->used))
			oldest = s;
	}
	return oldest;
}

/*
 * What was known under this number, while the TLB has the next one already. What is logged twice is
 * found once: what was put aside is cleared.
 */
static void put_aside(struct tr *t, u64 epoch)
{
	struct tr_space *s = place(t, t->c.epoch[0]);

	s->epoch = epoch;
	s->used = ++t->spaces_used;
	s->mode = t->key_mode[1];
	s->low_kernel = t->low_kernel;
	__builtin_memcpy(s->user_code, t->user_code, sizeof(t->user_code));
	s->npages = s->njumps = 0;
	for (unsigned k = 0; t->npage_log <= PAGE_LOG && k < t->npage_log; k++) {
		u32 *id = &t->page_ids[t->page_log[k]];

		if (!*id)
			continue;
		s->page_at[s->npages] = t->page_log[k];
		s->page_id[s->npages++] = *id;
		*id = 0;
	}
	for (unsigned k = 0; t->njump_log <= JUMP_LOG && k < t->njump_log; k++) {
		struct tr_jump *j = &t->jumps[1][t->jump_log[k]];

		if (tr_jump_is_clear(j))
			continue;
		s->jump_at[s->njumps] = t->jump_log[k];
		s->jumps[s->njumps++] = *j;
		tr_jump_clear(t, j);
	}
}

static void put_back(struct tr *t, struct tr_space *s)
{
	t->key_mode[1] = s->mode;
	t->low_kernel |= s->low_kernel; /* for page_ids lead there too */
	for (unsigned k = 0; k < s->npages; k++) {
		t->page_ids[s->page_at[k]] = s->page_id[k];
		t->page_log[k] = s->page_at[k];
	}
	for (unsigned k = 0; k < s->njumps; k++) {
		t->jumps[1][s->jump_at[k]] = s->jumps[k];
		t->jump_log[k] = s->jump_at[k];
	}
	t->npage_log = s->npages;
	t->njump_log = s->njumps;
	__builtin_memcpy(t->user_code, s->user_code, sizeof(t->user_code));
	s->epoch = 0;
}

void tr_forget_spaces_with(struct tr *t, u64 va)
{
	for (unsigned k = 0; k < ARRAY_LEN(t->spaces); k++)
		if (tr_user_code_in(t->spaces[k].user_code, va))
			t->spaces[k].epoch = 0;
}

void tr_forget_spaces(struct tr *t)
{
	for (unsigned k = 0; k < ARRAY_LEN(t->spaces); k++)
		t->spaces[k].epoch = 0;
}

/* ---- Kernel code ---- */

/* Is it where it was? Then it keeps its links. */
static bool kernel_page_holds(struct alc_vcpu *v, unsigned k)
{
	struct tr *t = tr_of(v);
	struct x86_translation tr;
	struct alc_span span;

	if (x86_walk(v, t->kernel_pages[k].va, X86_EXEC, false, &tr) ||
	    !space_span(v->plat->space, tr.gpa, 1, &span) || span.page != t->kernel_pages[k].page)
		return false;
	t->kernel_nonglobal |= !tr.global;
	return true;
}

static void verify_kernel(struct alc_vcpu *v)
{
	struct tr *t = tr_of(v);
	unsigned n = 0;

	t->n_verified++;
	t->kernel_nonglobal = false;
	for (unsigned k = 0; k < t->nkernel_pages; k++) {
		if (kernel_page_holds(v, k))
			t->kernel_pages[n++] = t->kernel_pages[k];
		else
			tr_kill_view(t, t->kernel_pages[k].page, t->kernel_pages[k].va);
	}
	if (n == t->nkernel_pages)
		return;
	t->nkernel_pages = n;
	tr_kernel_pages_changed(t);
}

/* ---- For isa/ ---- */

/*
 * Another address space, or what is known of this one is not sure any more. `left` is the number of
 * what was known until now: what comes back by that has not been flushed.
 */
static void switch_windows(struct tr *t, u64 left)
{
	bool has = t->windows && tr_windows_switch(t->windows, left);

	t->window_mode[1] = has ? MODE_WINDOWS : 0;
	t->windows_due = true;
}

/*
 * Translations of the running address space may have; kernel: those of the upper half too. One page
 * alone leaves windows as they are.
 */
static void changed(struct alc_vcpu *v, bool kernel)
{
	struct tr *t = tr_of(v);

	tr_forget_ranges(t);
	tr_forget_jumps(t, kernel);
	__builtin_memset(t->user_code, 0, sizeof(t->user_code));
	if (kernel)
		verify_kernel(v);
}

/* … with the address space, and so must be looked at. */
static bool kernel_may_change(const struct tr *t)
{
	return t->c.upper_nonglobal || t->kernel_nonglobal;
}

static void switch_space(struct alc_vcpu *v, u64 from, bool keep)
{
	struct tr *t = tr_of(v);
	bool kernel = kernel_may_change(t), other = (from ^ v->cr3) & 0xfff;
	u64 epoch = t->c.epoch[0];
	struct tr_space *s;

	interp_ops.switch_space(v, from, keep);
	if (t->c.epoch[0] == epoch)
		return;
	switch_windows(t, epoch);
	if (v->cr4 & X86_CR4_PCIDE && other)
		put_aside(t, epoch);
	changed(v, kernel);
	s = find(t, t->c.epoch[0]);
	if (s)
		put_back(t, s);
}

static void flush_all(struct alc_vcpu *v)
{
	u64 epoch = tr_of(v)->c.epoch[0];

	interp_ops.flush_all(v);
	switch_windows(tr_of(v), epoch);
	changed(v, true);
}

static void flush_nonglobal(struct alc_vcpu *v)
{
	bool kernel = kernel_may_change(tr_of(v));
	u64 epoch = tr_of(v)->c.epoch[0];

	interp_ops.flush_nonglobal(v);
	switch_windows(tr_of(v), epoch);
	changed(v, kernel);
}

static void flush_space(struct alc_vcpu *v, unsigned pcid)
{
	bool kernel = kernel_may_change(tr_of(v));
	u64 epoch = tr_of(v)->c.epoch[0];

	interp_ops.flush_space(v, pcid);
	if (pcid != x86_pcid(v))
		return;
	switch_windows(tr_of(v), epoch);
	changed(v, kernel);
}

/* May translated code rely on more than what is at this address: on a large page around it? */
static bool is_large(const struct tr *t, u64 gva)
{
	return tlb_large_has(gva >> 63 ? &t->kernel_large : &t->c.large[0], gva);
}

/* May it rely on the kernel's page there, and is that another one? */
static bool kernel_page_differs(struct alc_vcpu *v, u64 gva)
{
	int k = gva >> 63 ? tr_kernel_page(tr_of(v), gva) : -1;

	return k >= 0 && !kernel_page_holds(v, (unsigned)k);
}

static void flush_page(struct alc_vcpu *v, unsigned pcid, u64 gva)
{
	struct tr *t = tr_of(v);
	bool large = is_large(t, gva);

	interp_ops.flush_page(v, pcid, gva);
	if (pcid != x86_pcid(v))
		return;
	if (t->windows)
		tr_windows_flush_page(t->windows, gva);
	tr_forget_ranges(t);
	if (large || kernel_page_differs(v, gva))
		changed(v, gva >> 63);
	else if (!(gva >> 63) && tr_user_code(t, gva))
		tr_forget_mapping(t, gva);
}

static void mode_changed(struct alc_vcpu *v)
{
	interp_mode_changed(v);
}

static int read(struct alc_vcpu *v, u64 gva, void *to, unsigned len, unsigned access)
{
	return interp_ops.read(v, gva, to, len, access);
}

static int write(struct alc_vcpu *v, u64 gva, const void *from, unsigned len, unsigned access)
{
	return interp_ops.write(v, gva, from, len, access);
}

const struct x86_engine_ops tr_ops = {
	.read = read,
	.write = write,
	.switch_space = switch_space,
	.flush_all = flush_all,
	.flush_nonglobal = flush_nonglobal,
	.flush_space = flush_space,
	.flush_page = flush_page,
	.mode_changed = mode_changed,
};
