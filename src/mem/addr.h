/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef MEM_ADDR_H
#define MEM_ADDR_H

#include "base/bits.h"

/* A guest-physical address: a type of its own, so that it can't be used as a pointer. */
typedef struct {
	u64 v;
} alc_gpa;

enum { ALC_PAGE_SHIFT = 12, ALC_PAGE_SIZE = 1 << ALC_PAGE_SHIFT };
#define ALC_PAGE_MASK (~(u64)(ALC_PAGE_SIZE - 1))

static inline alc_gpa gpa(u64 v)
{
	return (alc_gpa){v};
}

static inline alc_gpa gpa_add(alc_gpa a, u64 n)
{
	return (alc_gpa){a.v + n};
}

static inline u64 page_offset(u64 addr)
{
	return addr & (ALC_PAGE_SIZE - 1);
}

#endif
