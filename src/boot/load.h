/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_LOAD_H
#define BOOT_LOAD_H

#include "boot/boot.h"

/*
 * What the loaders share; private to this room.
 *
 * Everything that a boot protocol has the loader itself put into guest memory (start structures,
 * command line, GDT, first page tables) goes into one area of conventional memory, below the EBDA
 * and away from the first pages, where kernels like to put real-mode trampolines.
 */
enum { BOOT_AREA_BASE = 0x90000, BOOT_AREA_END = 0x9f000 };

struct boot_ctx {
	struct alc_space *space;
	const struct boot_params *p;
	struct alc_vcpu *bsp;
	struct alc_err *err;
	struct boot_e820 map[BOOT_E820_MAX];
	unsigned nmap;
	u64 area_next;   /* first free byte of the area */
	u64 image_start; /* where the image's segments lie */
	u64 image_end;
};

/* True and bsp set up if the image is of this kind; *result is then what the loader returns. */
bool multiboot_load(struct boot_ctx *c, int *result);
bool elf_load(struct boot_ctx *c, int *result);
bool bzimage_load(struct boot_ctx *c, int *result);

/* True if [off, off+len) lies within the image. */
static inline bool image_holds(const struct boot_image *image, u64 off, u64 len)
{
	return off <= image->len && len <= image->len - off;
}

/* True if all of [base, base+len) is RAM that the E820 map offers. */
bool boot_is_ram(const struct boot_ctx *c, u64 base, u64 len);
/* Page-aligned place for len bytes of RAM within [floor, ceiling), the highest; 0: none. */
u64 boot_find_high(const struct boot_ctx *c, u64 len, u64 floor, u64 ceiling);

/* Takes len bytes of the area, aligned to `align`. */
int boot_area_take(struct boot_ctx *c, u64 len, u64 align, u64 *base);
/* Takes room for it and copies it there. */
int boot_area_put(struct boot_ctx *c, const void *from, u64 len, u64 align, u64 *base);
int boot_area_put_text(struct boot_ctx *c, const char *first, const char *second, u64 *base);

int boot_copy(struct boot_ctx *c, u64 to, const void *from, u64 len);
int boot_zero(struct boot_ctx *c, u64 to, u64 len);
/*
 * One segment of the image: file bytes [off, off+filesz) to base, zeros up to memsz. Checks the
 * file's bounds, that memory is there, and that the area is left alone; widens image_start/end.
 */
int boot_segment(struct boot_ctx *c, u64 base, u64 off, u64 filesz, u64 memsz);
/* Loads the initrd, as high as possible below `ceiling` and above the image, or after the image. */
int boot_initrd_high(struct boot_ctx *c, u64 ceiling, u64 *base);
int boot_initrd_after(struct boot_ctx *c, u64 *base);

/* Flat 32-bit protected mode without paging, interrupts off, at entry. */
int boot_enter_flat32(struct boot_ctx *c, u32 entry);
/* 64-bit mode with the low 4 GiB mapped to themselves, interrupts off, at entry. */
int boot_enter_long(struct boot_ctx *c, u64 entry);

/* Little-endian stores into a structure being built. */
static inline void put16(u8 *at, u64 v)
{
	st16(at, (u16)v);
}

static inline void put32(u8 *at, u64 v)
{
	st32(at, (u32)v);
}

static inline void put64(u8 *at, u64 v)
{
	st64(at, v);
}

#endif
