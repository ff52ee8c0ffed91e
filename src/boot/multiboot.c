/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot 1 (Multiboot Specification 0.6.96). The image is ELF, or a flat file whose header
 * says where it goes. The command line is the kernel's file name and then the user's text; the
 * initrd, if any, is module 0 and its string is its file name.
 */
#include "boot/elf.h"

#include "base/errno.h"
#include "bus/pc.h"

enum {
	HEADER_SEARCH = 8192,
	HEADER_MAGIC = 0x1badb002,
	BOOTLOADER_MAGIC = 0x2badb002,
	HEADER_SIZE = 12,
	HEADER_ADDRESSES_SIZE = 32,
	/* Modules are always page-aligned, memory information is always given. */
	FLAG_VIDEO = 1 << 2, /* a wish, and there is no display */
	FLAG_ADDRESSES = 1 << 16,
	FLAGS_KNOWN = 1 | 1 << 1 | FLAG_VIDEO,
	FLAGS_REQUIRED = 0xffff, /* those that a loader must refuse if it does not know them */
};

enum {
	MBI_SIZE = 116,
	MBI_MEMORY = 1 << 0,
	MBI_CMDLINE = 1 << 2,
	MBI_MODULES = 1 << 3,
	MBI_MMAP = 1 << 6,
	MBI_LOADER_NAME = 1 << 9,
	MODULE_SIZE = 16,
	MMAP_ENTRY_SIZE = 24,
};

static bool find_header(const struct boot_image *k, u64 *at)
{
	for (u64 off = 0; off + HEADER_SIZE <= HEADER_SEARCH; off += 4) {
		const u8 *h = k->bytes + off;

		if (!image_holds(k, off, HEADER_SIZE))
			return false;
		if (ld32(h) == HEADER_MAGIC && (u32)(ld32(h) + ld32(h + 4) + ld32(h + 8)) == 0) {
			*at = off;
			return true;
		}
	}
	return false;
}

/* A flat image, placed by the header's address fields (section 3.1.3). */
static int load_flat(struct boot_ctx *c, u64 header, u64 *entry)
{
	const struct boot_image *k = &c->p->kernel;
	const u8 *h = k->bytes + header;
	u64 header_addr, load_addr, load_end, bss_end, off, filesz, memsz;

	if (!image_holds(k, header, HEADER_ADDRESSES_SIZE))
		return alc_fail(c->err, -EINVAL, "kernel '%s': truncated multiboot header.",
				k->name);
	header_addr = ld32(h + 12);
	load_addr = ld32(h + 16);
	load_end = ld32(h + 20);
	bss_end = ld32(h + 24);
	*entry = ld32(h + 28);
	if (load_addr > header_addr || header_addr - load_addr > header ||
	    (load_end && load_end < load_addr) || (bss_end && bss_end < load_addr))
		return alc_fail(c->err, -EINVAL,
				"kernel '%s': malformed: the multiboot header's addresses "
				"contradict each other.",
				k->name);
	off = header - (header_addr - load_addr);
	filesz = load_end ? load_end - load_addr : k->len - off;
	memsz = max_u64(filesz, bss_end ? bss_end - load_addr : 0);
	return boot_segment(c, load_addr, off, filesz, memsz);
}

static int load_elf(struct boot_ctx *c, u64 *entry)
{
	struct elf e;
	int ret = elf_open(c, &e);

	if (ret || (ret = elf_load_segments(c, &e)))
		return ret;
	*entry = elf_physical_entry(&e);
	return 0;
}

static int load_image(struct boot_ctx *c, u64 header, u64 *entry)
{
	const struct boot_image *k = &c->p->kernel;
	u32 flags = ld32(k->bytes + header + 4);
	int ret;

	if (flags & FLAGS_REQUIRED & ~(u32)FLAGS_KNOWN)
		return alc_fail(c->err, -EINVAL,
				"kernel '%s': its multiboot header demands features that are not "
				"there (flags 0x%x).",
				k->name, flags & FLAGS_REQUIRED & ~(u32)FLAGS_KNOWN);
	if (flags & FLAG_ADDRESSES)
		ret = load_flat(c, header, entry);
	else if (elf_magic(k))
		ret = load_elf(c, entry);
	else
		return alc_fail(c->err, -EINVAL,
				"kernel '%s': malformed: a multiboot header without addresses in a "
				"file that is not ELF.",
				k->name);
	if (ret)
		return ret;
	if (*entry < c->image_start || *entry >= c->image_end || *entry >= PC_ABOVE_4G)
		return alc_fail(
			c->err, -EINVAL,
			"kernel '%s': malformed: its entry 0x%llx lies outside its segments.",
			k->name, (unsigned long long)*entry);
	return 0;
}

/* KiB of memory from 0, and from 1 MiB up to the first hole. */
static void put_memory_sizes(const struct boot_ctx *c, u8 *mbi)
{
	for (unsigned i = 0; i < c->nmap; i++) {
		const struct boot_e820 *e = &c->map[i];

		if (e->type != BOOT_E820_RAM)
			continue;
		if (e->base == 0)
			put32(mbi + 4, e->size >> 10);
		if (e->base == PC_HIGH_RAM)
			put32(mbi + 8, e->size >> 10);
	}
}

static int put_mmap(struct boot_ctx *c, u8 *mbi)
{
	u8 map[BOOT_E820_MAX * MMAP_ENTRY_SIZE] = {0};
	u64 len = (u64)c->nmap * MMAP_ENTRY_SIZE, at;
	int ret;

	for (unsigned i = 0; i < c->nmap; i++) {
		u8 *e = map + i * MMAP_ENTRY_SIZE;

		put32(e, MMAP_ENTRY_SIZE - 4); /* the size field does not count itself */
		put64(e + 4, c->map[i].base);
		put64(e + 12, c->map[i].size);
		put32(e + 20, c->map[i].type);
	}
	ret = boot_area_put(c, map, len, 4, &at);
	put32(mbi + 44, len);
	put32(mbi + 48, ret ? 0 : at);
	return ret;
}

static int put_modules(struct boot_ctx *c, u8 *mbi)
{
	u8 module[MODULE_SIZE] = {0};
	u64 base, name, at;
	int ret = boot_initrd_after(c, &base);

	if (ret || (ret = boot_area_put_text(c, c->p->initrd.name, "", &name)))
		return ret;
	put32(module, base);
	put32(module + 4, base + c->p->initrd.len);
	put32(module + 8, name);
	ret = boot_area_put(c, module, sizeof(module), 4, &at);
	if (ret)
		return ret;
	put32(mbi + 20, 1);
	put32(mbi + 24, at);
	return 0;
}

static int put_mbi(struct boot_ctx *c, u64 *at)
{
	u8 mbi[MBI_SIZE] = {0};
	u32 flags = MBI_MEMORY | MBI_CMDLINE | MBI_MMAP | MBI_LOADER_NAME;
	u64 cmdline, name;
	int ret = boot_area_put_text(c, c->p->kernel.name, c->p->append, &cmdline);

	if (ret || (ret = boot_area_put_text(c, "alcazar", "", &name)) || (ret = put_mmap(c, mbi)))
		return ret;
	if (c->p->initrd.bytes) {
		ret = put_modules(c, mbi);
		if (ret)
			return ret;
		flags |= MBI_MODULES;
	}
	put_memory_sizes(c, mbi);
	put32(mbi, flags);
	put32(mbi + 16, cmdline);
	put32(mbi + 64, name);
	return boot_area_put(c, mbi, sizeof(mbi), 8, at);
}

static int load(struct boot_ctx *c, u64 header)
{
	u64 entry = 0, mbi;
	int ret = load_image(c, header, &entry);

	if (ret || (ret = put_mbi(c, &mbi)) || (ret = boot_enter_flat32(c, (u32)entry)))
		return ret;
	c->bsp->gpr[X86_RAX] = BOOTLOADER_MAGIC;
	c->bsp->gpr[X86_RBX] = mbi;
	return 0;
}

bool multiboot_load(struct boot_ctx *c, int *result)
{
	u64 header;

	if (!find_header(&c->p->kernel, &header))
		return false;
	*result = load(c, header);
	return true;
}
