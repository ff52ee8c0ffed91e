/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/elf.h"

#include "base/errno.h"

enum {
	EI_CLASS = 4,
	EI_DATA = 5,
	CLASS32 = 1,
	CLASS64 = 2,
	DATA_LSB = 1,
	E_MACHINE = 18,
	EM_386 = 3,
	EM_X86_64 = 62,
	EHDR32_SIZE = 52,
	EHDR64_SIZE = 64,
	PHDR32_SIZE = 32,
	PHDR64_SIZE = 56,
	SEGMENTS_MAX = 128, /* kernels have ten at most; this bounds the work for a hostile one */
};

bool elf_magic(const struct boot_image *image)
{
	return image->len >= 4 && ld32(image->bytes) == 0x464c457f;
}

static int bad(struct boot_ctx *c, const char *why)
{
	return alc_fail(c->err, -EINVAL, "kernel '%s': %s.", c->p->kernel.name, why);
}

static void read_ehdr(struct elf *e)
{
	const u8 *b = e->image->bytes;

	if (e->is64) {
		e->entry = ld64(b + 24);
		e->phoff = ld64(b + 32);
		e->phentsize = ld16(b + 54);
		e->phnum = ld16(b + 56);
	} else {
		e->entry = ld32(b + 24);
		e->phoff = ld32(b + 28);
		e->phentsize = ld16(b + 42);
		e->phnum = ld16(b + 44);
	}
}

int elf_open(struct boot_ctx *c, struct elf *out)
{
	struct elf e = {.image = &c->p->kernel};
	const u8 *b = e.image->bytes;
	u16 machine;

	if (e.image->len < EHDR32_SIZE)
		return bad(c, "truncated: shorter than an ELF header");
	e.is64 = b[EI_CLASS] == CLASS64;
	if ((!e.is64 && b[EI_CLASS] != CLASS32) || b[EI_DATA] != DATA_LSB)
		return bad(c, "malformed ELF header: neither 32 nor 64 bits, little-endian");
	if (e.is64 && e.image->len < EHDR64_SIZE)
		return bad(c, "truncated: shorter than an ELF header");
	machine = ld16(b + E_MACHINE);
	if (machine != EM_386 && machine != EM_X86_64)
		return bad(c, "an ELF image for another processor than x86");
	read_ehdr(&e);
	if (e.phnum == 0)
		return bad(c, "an ELF image without program headers; link it as an executable");
	if (e.phnum > SEGMENTS_MAX)
		return bad(c, "malformed: more than 128 program headers");
	if (e.phentsize < (e.is64 ? PHDR64_SIZE : PHDR32_SIZE))
		return bad(c, "malformed: program headers are too small");
	if (!image_holds(e.image, e.phoff, (u64)e.phnum * e.phentsize))
		return bad(c, "truncated: the program headers reach past the end of the file");
	*out = e;
	return 0;
}

void elf_segment_at(const struct elf *e, unsigned i, struct elf_segment *out)
{
	const u8 *b = e->image->bytes + e->phoff + (u64)i * e->phentsize;

	out->type = ld32(b);
	if (e->is64) {
		out->offset = ld64(b + 8);
		out->vaddr = ld64(b + 16);
		out->paddr = ld64(b + 24);
		out->filesz = ld64(b + 32);
		out->memsz = ld64(b + 40);
		out->align = ld64(b + 48);
	} else {
		out->offset = ld32(b + 4);
		out->vaddr = ld32(b + 8);
		out->paddr = ld32(b + 12);
		out->filesz = ld32(b + 16);
		out->memsz = ld32(b + 20);
		out->align = ld32(b + 28);
	}
}

int elf_load_segments(struct boot_ctx *c, const struct elf *e)
{
	for (unsigned i = 0; i < e->phnum; i++) {
		struct elf_segment s;
		int ret;

		elf_segment_at(e, i, &s);
		if (s.type != ELF_PT_LOAD)
			continue;
		ret = boot_segment(c, s.paddr, s.offset, s.filesz, s.memsz);
		if (ret)
			return ret;
	}
	if (c->image_start == c->image_end)
		return bad(c, "an ELF image with nothing to load");
	return 0;
}

u64 elf_physical_entry(const struct elf *e)
{
	for (unsigned i = 0; i < e->phnum; i++) {
		struct elf_segment s;

		elf_segment_at(e, i, &s);
		if (s.type == ELF_PT_LOAD && e->entry >= s.vaddr && e->entry - s.vaddr < s.memsz)
			return e->entry - s.vaddr + s.paddr;
	}
	return e->entry;
}
