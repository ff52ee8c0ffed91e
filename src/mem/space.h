/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef MEM_SPACE_H
#define MEM_SPACE_H

#include "alcazar/err.h"
#include "mem/addr.h"
#include "mem/region.h"

/*
 * The guest-physical address space: RAM and ROM banks, device regions, nothing.
 *
 * Every page of RAM or ROM has a struct alc_page, by which those who write tell those who care
 * (code caches, dirty logs). The protocol has a frequent and a rare side:
 *
 *   writer (frequent): store to the page; load page->flags; if it is not exactly PAGE_DIRTY,
 *                      call space_note_write().
 *   watcher (rare):    change flags; host->barrier_all(); then read the page's bytes.
 *
 * The writer has no fence between its store and its load; barrier_all supplies the missing
 * store-load order for both sides (asymmetric Dekker). So either the writer sees the flag, or
 * the watcher sees the bytes.
 */
enum {
	PAGE_DIRTY = 1, /* written since the dirty log was last taken */
	PAGE_CODE = 2,  /* bytes of it were decoded: writes must bump gen */
	PAGE_ROM = 4,   /* guest writes are ignored */
	PAGE_BUSY = 8,  /* code_lines and gen are being changed; only mem/page.c sets it */
};

struct alc_page {
	_Atomic(u8) flags;
	/* Somebody may store here without looking at flags: see struct alc_space_watch. */
	_Atomic(bool) silent_writers;
	_Atomic(u32) gen;        /* changes after every write that may have hit decoded bytes */
	_Atomic(u64) code_lines; /* which 64-byte lines were decoded since gen last changed */
};

struct alc_bank {
	alc_gpa base;
	u64 size; /* multiple of the page size */
	u8 *hva;
	struct alc_page *pages;
	bool rom;
};

/*
 * Those whose stores don't follow the writer's side of the protocol, because they asked for leave
 * when flags was PAGE_DIRTY alone, and noted it in silent_writers. From any thread.
 */
struct alc_space_watch {
	/*
	 * The page (NULL: every page) is watched from now on: on return nobody stores into it
	 * silently, stores that were made so are visible, and silent_writers is clear.
	 */
	void (*silence)(void *ctx, struct alc_page *p);
	/* The page's gen has changed. */
	void (*code_hit)(void *ctx, struct alc_page *p);
	void *ctx;
};

enum { SPACE_BANKS_MAX = 8 };

struct alc_space {
	const struct alc_host *host;
	struct alc_host_ram ram; /* all banks are cut from this one object */
	struct alc_bank banks[SPACE_BANKS_MAX];
	unsigned nbanks;
	u64 ram_used;                        /* of ram.size */
	const struct alc_space_watch *watch; /* NULL: everybody follows the protocol */
	struct region_map devices;
};

/* A span of plain memory: valid for `len` bytes from hva, within one page or more. */
struct alc_span {
	u8 *hva;
	u64 len;
	struct alc_page
		*page; /* of the first byte; the following bytes' pages follow in the array */
	bool rom;
};

/* Maps total_bytes of host memory, from which banks are then cut. */
int space_init(struct alc_space *s, const struct alc_host *host, u64 total_bytes,
	       struct alc_err *err) ALC_MUST_CHECK;
/* NULL-safe and fine on a zeroed or half-made space. */
void space_fini(struct alc_space *s);
int space_add_bank(struct alc_space *s, alc_gpa base, u64 size, bool rom,
		   struct alc_err *err) ALC_MUST_CHECK;
int space_add_device(struct alc_space *s, const struct alc_region *r,
		     struct alc_err *err) ALC_MUST_CHECK;

/* The bank that holds a, or NULL. */
const struct alc_bank *space_bank(const struct alc_space *s, alc_gpa a);
/*
 * Plain memory at a, as long as it is contiguous in its bank, at most len bytes: false, and out
 * untouched, if a is not in RAM or ROM.
 */
bool space_span(const struct alc_space *s, alc_gpa a, u64 len, struct alc_span *out);

/*
 * Checked copies, for devices and loaders: all of [a, a+len) must be RAM (or ROM for reads and
 * for space_load), else -EFAULT and nothing is copied. Writes go through space_note_write.
 */
int space_copy_in(const struct alc_space *s, alc_gpa a, void *to, u64 len) ALC_MUST_CHECK;
int space_copy_out(struct alc_space *s, alc_gpa a, const void *from, u64 len) ALC_MUST_CHECK;
/* As space_copy_out, into ROM too: what the machine itself puts there before the first run. */
int space_load(struct alc_space *s, alc_gpa a, const void *from, u64 len) ALC_MUST_CHECK;

/*
 * Gives the whole pages within [hva, hva+len), a piece of one RAM bank as space_span gave it, back
 * to the host; they then read as zero. Those who watch writes hear of it.
 */
int space_discard(struct alc_space *s, u8 *hva, u64 len) ALC_MUST_CHECK;

/* One CPU access (1, 2, 4, 8 bytes, any alignment), to memory or device. ROM swallows writes. */
u64 space_read(const struct alc_space *s, alc_gpa a, unsigned size);
void space_write(struct alc_space *s, alc_gpa a, u64 val, unsigned size);

/* After a store of len bytes at offset `off` of the page (off + len <= page size). */
void space_note_write(struct alc_space *s, struct alc_page *p, u64 off, u64 len);
/* The same for a store of any length, which goes on in the pages that follow p. */
void space_note_span(struct alc_space *s, struct alc_page *p, u64 off, u64 len);
/* The same for a store by a pointer into one bank, as space_span gave it. */
void space_note_host(struct alc_space *s, const u8 *hva, u64 len);
/*
 * Before bytes [off, off+len) of a page are decoded: marks their lines and the page. Returns the
 * generation to remember; the bytes may be read only after this returns, and what was made of
 * them holds while page->gen is that generation.
 */
u32 space_mark_code(struct alc_space *s, struct alc_page *p, u64 off, u64 len);

/*
 * Takes the dirty log of one bank: bit i of bitmap says whether page i was written, and the log is
 * clear again. Fills one u64 for each 64 pages or part of 64. What was written before is visible
 * to the caller on return.
 */
void space_take_dirty(struct alc_space *s, const struct alc_bank *b, u64 *bitmap);

#endif
