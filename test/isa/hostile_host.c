/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hostile.h"

enum { WATCHED_MAX = 2048, HEAP_BLOCKS = 24, MAPS_MAX = 512 };

struct watched {
	u64 *at;
	size_t words;
	bool mapped;
	char name[48];
};

struct watch {
	struct watched all[WATCHED_MAX];
	unsigned count;
	char broken[160];
};

/* No two words are alike, and none is likely to be a guest's. */
static u64 pattern(const u64 *at)
{
	return rng_mix((u64)(uintptr_t)at ^ 0x6b657030757421ull);
}

static void watch_add(struct watch *w, void *at, size_t len, bool mapped, const char *name)
{
	struct watched *p = &w->all[w->count++];

	*p = (struct watched){.at = at, .words = len / 8, .mapped = mapped};
	snprintf(p->name, sizeof(p->name), "%s", name);
	for (size_t i = 0; i < p->words; i++)
		p->at[i] = pattern(&p->at[i]);
}

struct watch *watch_create(void)
{
	return calloc(1, sizeof(struct watch));
}

void watch_destroy(struct watch *w)
{
	for (unsigned i = 0; w && i < w->count; i++) {
		if (w->all[i].mapped)
			munmap(w->all[i].at, w->all[i].words * 8);
		else
			free(w->all[i].at);
	}
	free(w);
}

bool watch_heap(struct watch *w)
{
	for (unsigned i = 0; i < HEAP_BLOCKS && w->count < WATCHED_MAX; i++) {
		size_t len = 64u << (i % 12);
		void *block = malloc(len);

		if (!block)
			return false;
		watch_add(w, block, len, false, "a block of the heap");
	}
	return true;
}

/* ---- Mappings ---------------------------------------------------------------------------------
 */

struct map {
	u64 begin, end;
	char name[40];
};

/* Not what grows by itself, and what is the kernel's. */
static bool is_ours(const struct map *m)
{
	return strcmp(m->name, "[stack]") && strcmp(m->name, "[heap]") &&
	       strncmp(m->name, "[v", 2) != 0;
}

static unsigned read_maps(struct map *to, unsigned max)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned n = 0;

	while (f && n < max && fgets(line, sizeof(line), f)) {
		struct map *m = &to[n];
		unsigned long long begin, end;
		char *name = strrchr(line, ' ');

		if (sscanf(line, "%llx-%llx", &begin, &end) != 2)
			continue;
		*m = (struct map){.begin = begin, .end = end};
		if (name && strrchr(name, '/'))
			name = strrchr(name, '/');
		if (name)
			snprintf(m->name, sizeof(m->name), "%.*s", (int)strcspn(name + 1, "\n"),
				 name + 1);
		n++;
	}
	if (f)
		fclose(f);
	return n;
}

static void watch_page(struct watch *w, u64 at, const char *name)
{
	void *want = (void *)(uintptr_t)at, *got; /* NOLINT(performance-no-int-to-ptr) */

	if (w->count == WATCHED_MAX)
		return;
	got = mmap(want, ALC_PAGE_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (got == want)
		watch_add(w, got, ALC_PAGE_SIZE, true, name);
	else if (got != MAP_FAILED)
		munmap(got, ALC_PAGE_SIZE);
}

bool watch_mappings(struct watch *w)
{
	struct map *maps = calloc(MAPS_MAX, sizeof(*maps));
	unsigned n = maps ? read_maps(maps, MAPS_MAX) : 0;

	for (unsigned i = 0; i < n; i++) {
		char name[48];

		if (!is_ours(&maps[i]))
			continue;
		snprintf(name, sizeof(name), "below %s", maps[i].name);
		watch_page(w, maps[i].begin - ALC_PAGE_SIZE, name);
		snprintf(name, sizeof(name), "above %s", maps[i].name);
		watch_page(w, maps[i].end, name);
	}
	free(maps);
	return n;
}

const char *watch_broken(struct watch *w)
{
	for (unsigned i = 0; i < w->count; i++) {
		const struct watched *p = &w->all[i];

		for (size_t k = 0; k < p->words; k++) {
			if (p->at[k] == pattern(&p->at[k]))
				continue;
			snprintf(w->broken, sizeof(w->broken), "%s (%p): %016llx at +%zx", p->name,
				 (void *)p->at, (unsigned long long)p->at[k], k * 8);
			return w->broken;
		}
	}
	return NULL;
}

unsigned host_places(struct place *to, unsigned max)
{
	struct map *maps = calloc(MAPS_MAX, sizeof(*maps));
	unsigned n = maps ? read_maps(maps, MAPS_MAX) : 0, count = 0;

	for (unsigned i = 0; i < n && count + 2 <= max; i++) {
		to[count].addr = maps[i].begin;
		snprintf(to[count++].name, sizeof(to->name), "begin of %s", maps[i].name);
		to[count].addr = maps[i].end;
		snprintf(to[count++].name, sizeof(to->name), "end of %s", maps[i].name);
	}
	free(maps);
	return count;
}
