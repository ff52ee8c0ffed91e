/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAB_PAGE_CACHE_H
#define LAB_PAGE_CACHE_H

#include "alcazar/err.h"
#include "base/bits.h"
#include "host/host.h"

/*
 * A page cache with read-ahead, after what Linux 2.6.30 does for reads of one page at a time.
 *
 * Each open file has a window: the pages that were read last in one go. Its first window is four
 * pages, each later one twice as long, up to a limit. A page at the start of the part that was read
 * ahead of need is marked; who touches it has the next window read, and doesn't wait for that. So a
 * sequential reader has one window in use and one in flight. Windows end at the end of the file;
 * pages that are there already are not read again, and what remains becomes one request for each
 * contiguous run.
 *
 * Replacement: the page that was used least recently. Pages in flight can't be replaced.
 *
 * Pages are numbered over all files. Who calls it sees to the requests and to the waiting.
 */
enum page_state { PAGE_ABSENT, PAGE_IN_FLIGHT, PAGE_PRESENT };

struct cached_page {
	u32 newer, older; /* of PAGE_PRESENT: the list of use */
	u8 state;
	bool marked;
};

struct page_cache {
	const struct alc_host *host;
	struct cached_page *pages;
	u32 npages, capacity, used; /* used: in flight or present */
	u32 newest, oldest;
	u32 window_max;
	u64 lookups, hits; /* hits: present */
};

/* The read-ahead of one reader of one file. Zero at open. */
struct read_ahead {
	u32 start, size, ahead; /* the last window, and how much of its end was not asked for */
	u32 previous;           /* page read last, plus one */
};

/* A run of pages to be read. */
struct page_run {
	u32 first, n; /* in the numbering of all files */
};

enum { PAGE_RUNS_MAX = 4096 };

/* capacity, window_max: in pages, at least 1; window_max at most PAGE_RUNS_MAX / 2. */
int page_cache_init(struct page_cache *c, const struct alc_host *host, u32 npages, u32 capacity,
		    u32 window_max, struct alc_err *err) ALC_MUST_CHECK;
void page_cache_fini(struct page_cache *c);

/*
 * A process reads page `page` of the file whose pages are [first, first + pages). Returns the state
 * of the page; PAGE_IN_FLIGHT: the process has to wait for it. runs, *nruns (at most
 * PAGE_RUNS_MAX): what is to be read now; these pages are in flight from then on.
 */
enum page_state page_cache_read(struct page_cache *c, struct read_ahead *ra, u32 first, u32 pages,
				u32 page, struct page_run *runs, u32 *nruns);
/* A run has been read. */
void page_cache_arrived(struct page_cache *c, struct page_run run);

#endif
