/* SPDX-License-Identifier: BSD-2-Clause */
/* What multiboot hands over: the command line and the memory map. */
#include "kernel.h"

extern u64 boot_info, boot_magic;

static const u8 *at(u64 address)
{
	return (const u8 *)address;
}

static u32 get32(const u8 *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24;
}

static u64 get64(const u8 *p)
{
	return get32(p) | (u64)get32(p + 4) << 32;
}

static void print_map(void)
{
	u64 p = get32(at(boot_info + 48)), end = p + get32(at(boot_info + 44));
	u64 total = 0;

	while (p < end) {
		const u8 *e = at(p);

		print("# %lx + %lx type %u\n", get64(e + 4), get64(e + 12), get32(e + 20));
		if (get32(e + 20) == 1)
			total += get64(e + 12);
		p += get32(e) + 4;
	}
	ok(total >= 1 << 20, "memory map has RAM");
}

void ap_run(unsigned index)
{
	(void)index;
}

void run_tests(void)
{
	u32 flags = get32(at(boot_info));

	print("# command line: %s\n", command_line());
	ok(boot_magic == 0x2badb002, "multiboot magic");
	ok(flags & 1, "memory sizes given");
	ok(flags & 4 && command_line()[0], "command line given");
	ok(flags & 64, "memory map given");
	if (flags & 64)
		print_map();
}
