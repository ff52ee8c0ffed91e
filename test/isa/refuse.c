/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linked with --wrap=mmap64 and --wrap=mprotect: every call passes here. Windows (engine/translate/
 * window.h) are known by the size of what is reserved for them.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "refuse.h"
#include "rng.h"

enum { WINDOWS_MAX = 1024 };
#define RESERVED_MIN (1ull << 40)

unsigned refuse_one_in;
bool refuse_all;

static struct {
	uintptr_t begin, end;
} windows[WINDOWS_MAX];
static unsigned nwindows;
static struct rng rng = {1};

void *__real_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t off);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t off);
int __real_mprotect(void *at, size_t len, int prot);
int __wrap_mprotect(void *at, size_t len, int prot);

static bool in_window(const void *at)
{
	for (unsigned i = 0; i < nwindows; i++)
		if ((uintptr_t)at - windows[i].begin < windows[i].end - windows[i].begin)
			return true;
	return false;
}

static bool refused(const void *at)
{
	if (!refuse_one_in || !in_window(at) || rng_below(&rng, refuse_one_in))
		return false;
	errno = ENOMEM;
	return true;
}

void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p;

	if (flags & MAP_FIXED && refused(at))
		return MAP_FAILED;
	p = __real_mmap64(at, len, prot, flags, fd, off);
	if (p != MAP_FAILED && len >= RESERVED_MIN && nwindows < WINDOWS_MAX) {
		windows[nwindows].begin = (uintptr_t)p;
		windows[nwindows++].end = (uintptr_t)p + len;
	}
	return p;
}

/* What has no rights can always be had, as far as Linux goes. */
int __wrap_mprotect(void *at, size_t len, int prot)
{
	if ((prot != PROT_NONE || refuse_all) && refused(at))
		return -1;
	return __real_mprotect(at, len, prot);
}
