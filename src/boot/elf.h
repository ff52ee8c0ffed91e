/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_ELF_H
#define BOOT_ELF_H

#include "boot/load.h"

/* An ELF executable's headers, 32 or 64 bits wide (System V ABI, chapters 4 and 5). */
enum { ELF_PT_LOAD = 1, ELF_PT_NOTE = 4 };

struct elf {
	const struct boot_image *image;
	bool is64;
	u64 entry;
	u64 phoff;
	unsigned phnum, phentsize;
};

struct elf_segment {
	u32 type;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};

/* True if the image begins as an ELF file does. */
bool elf_magic(const struct boot_image *image);
/* Checks everything that elf_segment_at relies on. */
int elf_open(struct boot_ctx *c, struct elf *out);
void elf_segment_at(const struct elf *e, unsigned i, struct elf_segment *out);
int elf_load_segments(struct boot_ctx *c, const struct elf *e);
/* Where the entry point lies in physical memory. */
u64 elf_physical_entry(const struct elf *e);

#endif
