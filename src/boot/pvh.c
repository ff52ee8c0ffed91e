/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF kernels by PVH's direct boot (Xen, docs/misc/pvh.pandoc and
 * public/arch-x86/hvm/start_info.h): the entry stands in an ELF note, EBX points to
 * struct hvm_start_info.
 */
#include "boot/elf.h"

#include "base/errno.h"
#include "bus/pc.h"

enum {
	NOTE_HEADER = 12,
	NOTE_PHYS32_ENTRY = 18,
	START_MAGIC = 0x336ec578,
	START_VERSION = 1,
	START_SIZE = 56,
	MODULE_SIZE = 32,
	MEMMAP_ENTRY_SIZE = 24,
};

static bool is_entry_note(const u8 *note, u32 namesz, u32 descsz)
{
	return ld32(note + 8) == NOTE_PHYS32_ENTRY && namesz == 4 && descsz >= 4 &&
	       ld32(note + NOTE_HEADER) == 0x006e6558; /* "Xen" and its NUL */
}

/* The entry from one PT_NOTE segment, whose bytes are known to be in the image. */
static bool find_entry(const struct elf_segment *s, const u8 *bytes, u32 *entry)
{
	u64 align = s->align == 8 ? 8 : 4, off = 0;

	while (s->filesz - off >= NOTE_HEADER) {
		const u8 *note = bytes + off;
		u32 namesz = ld32(note), descsz = ld32(note + 4);
		u64 desc = align_up((u64)NOTE_HEADER + namesz, align);
		u64 next = align_up(desc + descsz, align);

		if (desc + descsz > s->filesz - off)
			return false;
		if (is_entry_note(note, namesz, descsz)) {
			*entry = ld32(note + desc);
			return true;
		}
		if (next > s->filesz - off)
			return false;
		off += next;
	}
	return false;
}

static int pvh_entry(struct boot_ctx *c, const struct elf *e, u32 *entry)
{
	for (unsigned i = 0; i < e->phnum; i++) {
		struct elf_segment s;

		elf_segment_at(e, i, &s);
		if (s.type != ELF_PT_NOTE || !image_holds(e->image, s.offset, s.filesz))
			continue;
		if (find_entry(&s, e->image->bytes + s.offset, entry))
			return 0;
	}
	return alc_fail(c->err, -EINVAL,
			"kernel '%s': an ELF image without a PVH entry note (or multiboot header), "
			"so there is no way to start it; Linux has the note with CONFIG_PVH.",
			c->p->kernel.name);
}

static int put_memmap(struct boot_ctx *c, u64 *at)
{
	u8 map[BOOT_E820_MAX * MEMMAP_ENTRY_SIZE] = {0};

	for (unsigned i = 0; i < c->nmap; i++) {
		u8 *e = map + i * MEMMAP_ENTRY_SIZE;

		put64(e, c->map[i].base);
		put64(e + 8, c->map[i].size);
		put32(e + 16, c->map[i].type);
	}
	return boot_area_put(c, map, (u64)c->nmap * MEMMAP_ENTRY_SIZE, 8, at);
}

static int put_module(struct boot_ctx *c, u64 *list)
{
	u8 module[MODULE_SIZE] = {0};
	u64 base;
	int ret = boot_initrd_high(c, PC_ABOVE_4G, &base);

	if (ret)
		return ret;
	put64(module, base);
	put64(module + 8, c->p->initrd.len);
	return boot_area_put(c, module, sizeof(module), 8, list);
}

static int put_start_info(struct boot_ctx *c, u64 *at)
{
	u8 info[START_SIZE] = {0};
	u64 cmdline, memmap, modules = 0;
	int ret = boot_area_put_text(c, "", c->p->append, &cmdline);

	if (ret || (ret = put_memmap(c, &memmap)))
		return ret;
	if (c->p->initrd.bytes) {
		ret = put_module(c, &modules);
		if (ret)
			return ret;
	}
	put32(info, START_MAGIC);
	put32(info + 4, START_VERSION);
	put32(info + 12, modules ? 1 : 0);
	put64(info + 16, modules);
	put64(info + 24, cmdline);
	put64(info + 32, c->p->rsdp.v);
	put64(info + 40, memmap);
	put32(info + 48, c->nmap);
	return boot_area_put(c, info, sizeof(info), 8, at);
}

static int load(struct boot_ctx *c)
{
	struct elf e;
	u64 info;
	u32 entry = 0;
	int ret = elf_open(c, &e);

	if (ret || (ret = pvh_entry(c, &e, &entry)) || (ret = elf_load_segments(c, &e)))
		return ret;
	if (entry < c->image_start || entry >= c->image_end)
		return alc_fail(
			c->err, -EINVAL,
			"kernel '%s': malformed: its PVH entry 0x%x lies outside its segments.",
			c->p->kernel.name, entry);
	ret = put_start_info(c, &info);
	if (ret || (ret = boot_enter_flat32(c, entry)))
		return ret;
	/* PVH wants a 32-bit TSS loaded, of the smallest size. */
	c->bsp->tr = (struct x86_seg){.limit = 0x67, .attr = X86_SEG_P | 0xb};
	c->bsp->gpr[X86_RBX] = info;
	return 0;
}

bool elf_load(struct boot_ctx *c, int *result)
{
	if (!elf_magic(&c->p->kernel))
		return false;
	*result = load(c);
	return true;
}
