/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_UNIT_TINY_KERNEL_H
#define TEST_UNIT_TINY_KERNEL_H

#include <string.h>

#include "vm/machine.h"

/* A multiboot kernel around a few bytes of 32-bit code. */
enum { LOAD_AT = 0x100000, CODE_OFF = 0x80, IMAGE_MAX = 0x100 };

/* ELF32 with one segment: the whole file, its entry point at CODE_OFF. */
static inline size_t make_kernel(u8 out[IMAGE_MAX], const u8 *code, size_t len)
{
	static const u8 ident[] = {0x7f, 'E', 'L', 'F', 1, 1, 1};
	enum { MAGIC = 0x1badb002, MULTIBOOT_OFF = 0x60 };

	memset(out, 0, IMAGE_MAX);
	memcpy(out, ident, sizeof(ident));
	st16(out + 16, 2); /* executable */
	st16(out + 18, 3); /* 386 */
	st32(out + 20, 1);
	st32(out + 24, LOAD_AT + CODE_OFF);
	st32(out + 28, 52); /* program headers */
	st16(out + 40, 52);
	st16(out + 42, 32);
	st16(out + 44, 1);
	st32(out + 52, 1); /* PT_LOAD */
	st32(out + 60, LOAD_AT);
	st32(out + 64, LOAD_AT);
	st32(out + 68, IMAGE_MAX);
	st32(out + 72, IMAGE_MAX);
	st32(out + 76, 7);
	st32(out + MULTIBOOT_OFF, MAGIC);
	st32(out + MULTIBOOT_OFF + 8, (u32)-MAGIC);
	memcpy(out + CODE_OFF, code, len);
	return IMAGE_MAX;
}

#endif
