/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_PLAIN_H
#define TEST_ISA_PLAIN_H

#include <stddef.h>

/*
 * Copying and filling without the C library, for code that runs with a case's own FS base: a
 * library's functions, and what a sanitizer puts in their place, may use thread-local data.
 */
static inline void plain_copy(void *to, const void *from, size_t len)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

static inline void plain_fill(void *to, int byte, size_t len)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(byte) : "memory");
}

#endif
