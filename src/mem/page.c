/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdatomic.h>

#include "mem/space.h"

/*
 * Who wrote what, told to those who care.
 *
 * Decoded code. A decoder D keeps what it made of a page's bytes for as long as the page's gen is
 * the one that space_mark_code gave it. Wanted: if D read bytes that lack a store S, then gen
 * differs from D's by the time that the writer W of S is done with space_note_write (or has
 * found that it needn't call it). The parts:
 *
 * Changes of code_lines, of PAGE_CODE and of gen happen in sections that PAGE_BUSY serialises,
 * so they are totally ordered. A marking section reads gen, sets lines and PAGE_CODE, and, if
 * PAGE_CODE was clear, has every thread pass a barrier. A hitting section adds one to gen, then
 * clears all lines, then PAGE_CODE together with PAGE_BUSY. So whoever sees lines or the flag
 * cleared, by an acquiring load, sees a gen that no earlier mark has.
 *
 * W stores, then loads flags without a fence.
 * (a) It sees neither CODE nor BUSY, from before D's mark, and CODE was clear when some marking
 *     section that precedes or is D's began: that section's barrier (which ends before the
 *     section does) fell after W's load, or W would have seen the flag; thus after S as well,
 *     and D, who reads after the section, sees S. Other decoders can't skip this wait: while the
 *     barrier is under way, the section is.
 * (b) It sees neither, from after D's mark: a hitting section came in between and has changed gen.
 * (c) It sees either. Then a full fence, then a load of code_lines. D's mark sets its lines by an
 *     atomic read-modify-write, a full fence too, before D reads the bytes. So W finds the
 *     lines, or D sees S, or a hitting section in between has cleared the lines and changed gen.
 *     Finding them, W enters a section and looks again: they are there still, and it changes
 *     gen; or another has.
 *
 * The dirty log. A taker clears PAGE_DIRTY, then has every thread pass a barrier, then reads the
 * bytes. A writer that found the flag still set did so before that barrier, and so was its store:
 * the taker sees the bytes. One that found it clear sets it again for the next taker.
 */

enum { LINE_SHIFT = 6 };

static u8 flags_of(struct alc_page *p)
{
	return atomic_load_explicit(&p->flags, memory_order_acquire);
}

/* The lines that bytes [off, off+len) touch; len > 0. */
static u64 lines_of(u64 off, u64 len)
{
	u64 first = off >> LINE_SHIFT, last = (off + len - 1) >> LINE_SHIFT;

	return mask_low((unsigned)last + 1) & ~mask_low((unsigned)first);
}

/* Sections are short, and apart from a page's first mark without system calls: spin. */
static void section_enter(struct alc_page *p)
{
	while (atomic_fetch_or(&p->flags, PAGE_BUSY) & PAGE_BUSY)
		while (flags_of(p) & PAGE_BUSY)
			__builtin_ia32_pause();
}

static void section_leave(struct alc_page *p, u8 clear)
{
	atomic_fetch_and(&p->flags, (u8) ~(PAGE_BUSY | clear));
}

static void hit_lines(const struct alc_space *s, struct alc_page *p, u64 lines)
{
	u8 clear = 0;

	section_enter(p);
	if (atomic_load(&p->code_lines) & lines) {
		atomic_fetch_add(&p->gen, 1);
		atomic_store(&p->code_lines, 0);
		clear = PAGE_CODE;
	}
	section_leave(p, clear);
	if (clear && s->watch)
		s->watch->code_hit(s->watch->ctx, p);
}

void space_note_write(struct alc_space *s, struct alc_page *p, u64 off, u64 len)
{
	u8 flags = flags_of(p);
	u64 lines;

	if (!len)
		return;
	if (!(flags & PAGE_DIRTY))
		atomic_fetch_or(&p->flags, PAGE_DIRTY);
	if (!(flags & (PAGE_CODE | PAGE_BUSY)))
		return;
	lines = lines_of(off, len);
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&p->code_lines) & lines)
		hit_lines(s, p, lines);
}

u32 space_mark_code(struct alc_space *s, struct alc_page *p, u64 off, u64 len)
{
	u32 gen;

	section_enter(p);
	gen = atomic_load(&p->gen);
	if (len) {
		atomic_fetch_or(&p->code_lines, lines_of(off, len));
		if (!(atomic_fetch_or(&p->flags, PAGE_CODE) & PAGE_CODE))
			s->host->barrier_all(s->host->ctx);
	}
	section_leave(p, 0);
	/* Outside the section: whom this waits for may be waiting for the section. */
	if (s->watch && atomic_load(&p->silent_writers))
		s->watch->silence(s->watch->ctx, p);
	return gen;
}

static bool take_page(struct alc_page *p)
{
	return (flags_of(p) & PAGE_DIRTY) &&
	       (atomic_fetch_and(&p->flags, (u8)~PAGE_DIRTY) & PAGE_DIRTY);
}

void space_take_dirty(struct alc_space *s, const struct alc_bank *b, u64 *bitmap)
{
	u64 npages = b->size >> ALC_PAGE_SHIFT;
	bool any = false;

	for (u64 i = 0; i < npages; i++) {
		if (i % 64 == 0)
			bitmap[i / 64] = 0;
		if (take_page(&b->pages[i])) {
			bitmap[i / 64] |= BIT(i % 64);
			any = true;
		}
	}
	if (any && s->watch)
		s->watch->silence(s->watch->ctx, NULL);
	s->host->barrier_all(s->host->ctx);
}
