/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_TRANSLATE_WINDOW_H
#define ENGINE_TRANSLATE_WINDOW_H

/*
 * Windows: guest memory where the host's MMU translates.
 *
 * A window is one terabyte of the host's addresses for one terabyte of a guest address space's user
 * half. Pages of guest RAM are mapped into it when they are first touched there, with the rights
 * that the guest's page tables give to user mode; everything else in it, and 4 GiB on each side, is
 * mapped nowhere. Code that works by windows adds to an address what tr_windows.slot has for its
 * terabyte, and accesses: there is nothing to compare and no flag to keep.
 *
 * Confinement. The slot is chosen by bits 40 to 47 of an address, and holds the distance between a
 * window and that terabyte in its canonical place. If the other upper bits are not the canonical
 * ones, the sum has upper bits that are not the host's user half's, and the host refuses it. If
 * they are, it lies in the window; a displacement of 32 bits leads at most into its guard. Slots
 * without a window lead to one in which nothing is ever mapped.
 *
 * Flushes. What is mapped stays so until the guest's page tables say otherwise at a time when it
 * flushes its TLB: they are read then, and what has changed is unmapped. As in a TLB, what it
 * changes without a flush may be seen late.
 *
 * A vCPU has windows of its own, and its own thread alone changes them, but for rights to write,
 * which others take away after they have stopped it.
 */
#include "base/bits.h"

struct alc_page;
struct alc_vcpu;
struct tr;

enum { WINDOW_SLOTS = 256, WINDOW_SHIFT = 40 };
#define WINDOW_GUARD (4ull << 30)

static inline unsigned window_slot_of(u64 gva)
{
	return (unsigned)field_get(gva, WINDOW_SHIFT, 8);
}

/* When address spaces get windows. */
enum tr_window_use { WINDOWS_AUTO, WINDOWS_ALWAYS, WINDOWS_NEVER };

struct tr_windows;

struct tr_window_stats {
	u64 spaces, replaced, retreats, faults, pages, unmapped, verifications, shut;
};

/* NULL where it can't be: no BMI2, no object behind guest RAM, no addresses, too many vCPUs. */
struct tr_windows *tr_windows_create(struct tr *t, u64 *slots);
void tr_windows_destroy(struct tr_windows *w);
struct tr_window_stats tr_windows_stats(const struct tr_windows *w);

/*
 * The guest's address space may be another one, or has been flushed: true if user mode has windows
 * now. interp.epoch says what may have changed of its lower half: it was `left` until now. Not from
 * within translated code of user mode.
 */
bool tr_windows_switch(struct tr_windows *w, u64 left);
/* One page of the present one was flushed. */
void tr_windows_flush_page(struct tr_windows *w, u64 gva);
/* Time has passed: may the present address space have windows, is it better off without? As above.
 */
bool tr_windows_consider(struct tr_windows *w);

/*
 * A host address at which an access by a window faulted, in the handler of that: 0 if it can be
 * made now, -EFAULT if the guest has its fault for it (in v->fault), -EAGAIN if
 * tr_windows_consider() may help, -EACCES if that is no memory to be mapped, or not for this.
 */
int tr_windows_fault(struct tr_windows *w, u64 host, unsigned access);

/* Nobody may store to the page (NULL: any) by a window any more; others call it, see silence(). */
void tr_windows_silence(struct tr_windows *w, const struct alc_page *page);

#endif
