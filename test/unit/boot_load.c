/* SPDX-License-Identifier: BSD-2-Clause */
/* Loaders against images made here: good ones, each kind of bad one, and mutated ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/errno.h"
#include "boot/boot.h"
#include "bus/pc.h"
#include "host/test/test_host.h"

#define MIB (1ull << 20)

enum { IMAGE_MAX = 16384, MAP_ENTRIES = 5 };

struct fixture {
	struct test_host th;
	struct alc_space space;
	struct alc_vcpu cpu;
	struct boot_params p;
	struct alc_err err;
	u8 image[IMAGE_MAX];
	u8 initrd[5000];
};

static void make_space(struct fixture *f, u64 memory)
{
	assert_int_equal(space_init(&f->space, &f->th.host, memory + MIB, NULL), 0);
	assert_int_equal(space_add_bank(&f->space, gpa(0), 0xa0000, false, NULL), 0);
	assert_int_equal(space_add_bank(&f->space, gpa(PC_BIOS_AREA), 0x10000, true, NULL), 0);
	if (memory > MIB)
		assert_int_equal(
			space_add_bank(&f->space, gpa(PC_HIGH_RAM), memory - MIB, false, NULL), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	test_host_init(&f->th, TEST_TIME_MANUAL);
	make_space(f, 64 * MIB);
	for (size_t i = 0; i < sizeof(f->initrd); i++)
		f->initrd[i] = (u8)(i * 7 + 1);
	f->p.kernel = (struct boot_image){"kern", f->image, 0};
	f->p.append = "console=ttyS0";
	f->p.rsdp = gpa(PC_BIOS_AREA);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	space_fini(&f->space);
	assert_int_equal(test_host_leaks(&f->th), 0);
	test_host_fini(&f->th);
	free(f);
	return 0;
}

static void with_memory(struct fixture *f, u64 memory)
{
	space_fini(&f->space);
	memset(&f->space, 0, sizeof(f->space));
	make_space(f, memory);
}

static void with_initrd(struct fixture *f)
{
	f->p.initrd = (struct boot_image){"disk.img", f->initrd, sizeof(f->initrd)};
}

static int load(struct fixture *f)
{
	memset(&f->cpu, 0, sizeof(f->cpu));
	memset(&f->err, 0, sizeof(f->err));
	return boot_load(&f->space, &f->p, &f->cpu, &f->err);
}

static void refused(struct fixture *f, int code, const char *words)
{
	assert_int_equal(load(f), code);
	assert_int_equal(f->err.code, code);
	if (!strstr(f->err.text, words))
		fail_msg("'%s' does not speak of '%s'", f->err.text, words);
	assert_int_equal(f->err.text[strlen(f->err.text) - 1], '.');
}

static u64 guest(struct fixture *f, u64 at, unsigned size)
{
	return space_read(&f->space, gpa(at), size);
}

static void guest_text(struct fixture *f, u64 at, const char *want)
{
	char got[128] = {0};

	assert_int_equal(space_copy_in(&f->space, gpa(at), got, strlen(want) + 1), 0);
	assert_string_equal(got, want);
}

static void initrd_lies_at(struct fixture *f, u64 at)
{
	u8 got[sizeof(f->initrd)];

	assert_int_equal(at % ALC_PAGE_SIZE, 0);
	assert_int_equal(space_copy_in(&f->space, gpa(at), got, sizeof(got)), 0);
	assert_memory_equal(got, f->initrd, sizeof(got));
}

/* --- images ------------------------------------------------------------------------------ */

enum { BZ_PAYLOAD = 4096, BZ_LEN = 1024 + BZ_PAYLOAD };

static void make_bzimage(struct fixture *f)
{
	u8 *b = f->image;

	memset(b, 0, IMAGE_MAX);
	b[0x1f1] = 1;
	st32(b + 0x1f4, BZ_PAYLOAD / 16);
	st16(b + 0x1fe, 0xaa55);
	b[0x200] = 0xeb;
	b[0x201] = 0x66;
	memcpy(b + 0x202, "HdrS", 4);
	st16(b + 0x206, 0x20f);
	b[0x211] = 1;
	st32(b + 0x22c, 0x7fffffff);
	st32(b + 0x230, 2 * MIB);
	b[0x234] = 1;
	st16(b + 0x236, 1);
	st32(b + 0x238, 100);
	st64(b + 0x258, 16 * MIB);
	st32(b + 0x260, 8 * MIB);
	memset(b + 1024, 0x90, BZ_PAYLOAD);
	f->p.kernel.len = BZ_LEN;
}

/* Two headers: a note at 0x200 and a segment at 0x400, 0x300 bytes to 0x200000, 0x1000 there. */
static void make_elf64(struct fixture *f)
{
	u8 *b = f->image, *load_header = b + 64, *note_header = b + 64 + 56, *note = b + 0x200;

	memset(b, 0, IMAGE_MAX);
	memcpy(b, "\177ELF\2\1\1", 7);
	st16(b + 16, 2);
	st16(b + 18, 62);
	st64(b + 24, 0xffffffff80200010);
	st64(b + 32, 64);
	st16(b + 54, 56);
	st16(b + 56, 2);
	st32(load_header, 1);
	st64(load_header + 8, 0x400);
	st64(load_header + 16, 0xffffffff80200000);
	st64(load_header + 24, 2 * MIB);
	st64(load_header + 32, 0x300);
	st64(load_header + 40, 0x1000);
	st32(note_header, 4);
	st64(note_header + 8, 0x200);
	st64(note_header + 32, 20 + 20);
	st64(note_header + 40, 20 + 20);
	/* Another owner's note first. */
	st32(note, 4);
	st32(note + 4, 4);
	st32(note + 8, 18);
	memcpy(note + 12, "GNU", 4);
	st32(note + 20, 4);
	st32(note + 24, 4);
	st32(note + 28, 18);
	memcpy(note + 32, "Xen", 4);
	st32(note + 36, 2 * MIB + 0x20);
	memset(b + 0x400, 0xcc, 0x300);
	f->p.kernel.len = 0x700;
}

static void put_multiboot_header(u8 *h, u32 flags)
{
	st32(h, 0x1badb002);
	st32(h + 4, flags);
	st32(h + 8, (u32) - (0x1badb002 + flags));
}

static void make_multiboot_elf(struct fixture *f)
{
	u8 *b = f->image, *ph = b + 52;

	memset(b, 0, IMAGE_MAX);
	memcpy(b, "\177ELF\1\1\1", 7);
	st16(b + 16, 2);
	st16(b + 18, 3);
	st32(b + 24, MIB + 0x40);
	st32(b + 28, 52);
	st16(b + 42, 32);
	st16(b + 44, 1);
	st32(ph, 1);
	st32(ph + 4, 0x100);
	st32(ph + 8, MIB);
	st32(ph + 12, MIB);
	st32(ph + 16, 0x200);
	st32(ph + 20, 0x3000);
	memset(b + 0x100, 0xcc, 0x200);
	put_multiboot_header(b + 0x100, 3);
	f->p.kernel.len = 0x300;
}

static void make_multiboot_flat(struct fixture *f)
{
	u8 *b = f->image, *h = b + 0x80;

	memset(b, 0xcc, IMAGE_MAX);
	put_multiboot_header(h, 1 << 16 | 4);
	st32(h + 12, MIB + 0x40); /* so the load starts at file offset 0x40 */
	st32(h + 16, MIB);
	st32(h + 20, MIB + 0x200);
	st32(h + 24, MIB + 0x400);
	st32(h + 28, MIB + 0x100);
	f->p.kernel.len = 0x300;
}

/* --- good images ------------------------------------------------------------------------- */

static void flat_segments(const struct alc_vcpu *v, bool wide)
{
	assert_int_equal(v->seg[X86_CS].sel, 0x10);
	assert_int_equal(v->seg[X86_CS].attr, wide ? 0xa09b : 0xc09b);
	assert_int_equal(v->seg[X86_SS].sel, 0x18);
	assert_int_equal(v->seg[X86_SS].attr, 0xc093);
	for (unsigned i = 0; i < X86_SEGS; i++) {
		assert_int_equal(v->seg[i].base, 0);
		assert_int_equal(v->seg[i].limit, 0xffffffff);
	}
	assert_int_equal(v->rflags, 2);
}

static void bzimage_boots_in_long_mode(void **state)
{
	struct fixture *f = *state;
	u64 zp, gdt;

	make_bzimage(f);
	with_initrd(f);
	assert_int_equal(load(f), 0);
	flat_segments(&f->cpu, true);
	assert_int_equal(f->cpu.rip, 16 * MIB + 0x200);
	assert_int_equal(f->cpu.cr0, 0x80000011);
	assert_int_equal(f->cpu.cr4, 0x20);
	assert_int_equal(f->cpu.efer, 0x500);
	gdt = f->cpu.gdtr.base;
	assert_true(guest(f, gdt + 0x10, 8) == 0x00af9b000000ffff);
	assert_true(guest(f, gdt + 0x18, 8) == 0x00cf93000000ffff);

	zp = f->cpu.gpr[X86_RSI];
	assert_int_equal(guest(f, zp + 0x202, 4), 0x53726448);
	assert_int_equal(guest(f, zp + 0x210, 1), 0xff);
	assert_int_equal(guest(f, zp + 0x1ef, 1), 0);
	assert_int_equal(guest(f, zp + 0x70, 8), PC_BIOS_AREA);
	guest_text(f, guest(f, zp + 0x228, 4), "console=ttyS0");
	assert_int_equal(guest(f, zp + 0x21c, 4), sizeof(f->initrd));
	initrd_lies_at(f, guest(f, zp + 0x218, 4));
	assert_true(guest(f, zp + 0x218, 4) >= 24 * MIB);
	assert_int_equal(guest(f, 16 * MIB, 4), 0x90909090);
	assert_int_equal(guest(f, 16 * MIB + BZ_PAYLOAD, 4), 0);
}

static void identity_map_covers_4g(void **state)
{
	struct fixture *f = *state;
	const u64 samples[] = {0, 0x1234567, 0x3fffffff, 0x40000000, 0x9abcdef0, 0xffffffff};

	make_bzimage(f);
	assert_int_equal(load(f), 0);
	for (unsigned i = 0; i < ARRAY_LEN(samples); i++) {
		u64 a = samples[i], pml4e = guest(f, f->cpu.cr3, 8);
		u64 pdpte = guest(f, (pml4e & ALC_PAGE_MASK) + (a >> 30) * 8, 8);
		u64 pde = guest(f, (pdpte & ALC_PAGE_MASK) + (a >> 21 & 511) * 8, 8);

		assert_int_equal(pde & 0xfff, 0x83);
		assert_int_equal(pde & ~0xfffull, a & ~(2 * MIB - 1));
	}
}

static void e820_leaves_out_the_bios_area(void **state)
{
	struct fixture *f = *state;
	struct boot_e820 map[BOOT_E820_MAX];
	unsigned n = boot_e820(&f->space, map);

	assert_int_equal(n, MAP_ENTRIES);
	assert_true(map[0].base == 0 && map[0].size == PC_EBDA && map[0].type == BOOT_E820_RAM);
	assert_true(map[1].base == PC_EBDA && map[1].type == BOOT_E820_RESERVED);
	assert_true(map[2].base == PC_BIOS_AREA && map[2].type == BOOT_E820_RESERVED);
	assert_true(map[3].base == MIB && map[3].size == 63 * MIB);
	assert_true(map[4].base == PC_ECAM_BASE && map[4].type == BOOT_E820_RESERVED);
}

static void pvh_boots_at_its_note(void **state)
{
	struct fixture *f = *state;
	u64 info, module;

	make_elf64(f);
	with_initrd(f);
	assert_int_equal(load(f), 0);
	flat_segments(&f->cpu, false);
	assert_int_equal(f->cpu.rip, 2 * MIB + 0x20);
	assert_int_equal(f->cpu.cr0 & X86_CR0_PG, 0);
	assert_int_equal(f->cpu.tr.limit, 0x67);
	info = f->cpu.gpr[X86_RBX];
	assert_int_equal(guest(f, info, 4), 0x336ec578);
	assert_int_equal(guest(f, info + 4, 4), 1);
	assert_int_equal(guest(f, info + 12, 4), 1);
	module = guest(f, info + 16, 8);
	initrd_lies_at(f, guest(f, module, 8));
	assert_int_equal(guest(f, module + 8, 8), sizeof(f->initrd));
	guest_text(f, guest(f, info + 24, 8), "console=ttyS0");
	assert_int_equal(guest(f, info + 32, 8), PC_BIOS_AREA);
	assert_int_equal(guest(f, info + 48, 4), MAP_ENTRIES);
	assert_int_equal(guest(f, guest(f, info + 40, 8) + 8, 8), PC_EBDA);
	assert_int_equal(guest(f, 2 * MIB + 0x2fc, 4), 0xcccccccc);
	assert_int_equal(guest(f, 2 * MIB + 0x300, 4), 0);
}

static void multiboot_elf_boots(void **state)
{
	struct fixture *f = *state;
	u64 mbi, module, mmap;

	make_multiboot_elf(f);
	with_initrd(f);
	assert_int_equal(load(f), 0);
	flat_segments(&f->cpu, false);
	assert_int_equal(f->cpu.rip, MIB + 0x40);
	assert_int_equal(f->cpu.gpr[X86_RAX], 0x2badb002);
	mbi = f->cpu.gpr[X86_RBX];
	assert_int_equal(guest(f, mbi, 4), 0x24d);
	assert_int_equal(guest(f, mbi + 4, 4), PC_EBDA / 1024);
	assert_int_equal(guest(f, mbi + 8, 4), 63 * 1024);
	guest_text(f, guest(f, mbi + 16, 4), "kern console=ttyS0");
	assert_int_equal(guest(f, mbi + 20, 4), 1);
	module = guest(f, mbi + 24, 4);
	initrd_lies_at(f, guest(f, module, 4));
	assert_int_equal(guest(f, module, 4), MIB + 0x3000);
	assert_int_equal(guest(f, module + 4, 4), MIB + 0x3000 + sizeof(f->initrd));
	guest_text(f, guest(f, module + 8, 4), "disk.img");
	assert_int_equal(guest(f, mbi + 44, 4), MAP_ENTRIES * 24);
	mmap = guest(f, mbi + 48, 4);
	assert_int_equal(guest(f, mmap, 4), 20);
	assert_int_equal(guest(f, mmap + 12, 8), PC_EBDA);
	guest_text(f, guest(f, mbi + 64, 4), "alcazar");
}

static void multiboot_flat_boots(void **state)
{
	struct fixture *f = *state;

	make_multiboot_flat(f);
	f->p.append = "";
	assert_int_equal(load(f), 0);
	assert_int_equal(f->cpu.rip, MIB + 0x100);
	assert_int_equal(guest(f, MIB + 0x40, 4), 0x1badb002);
	assert_int_equal(guest(f, MIB + 0x1fc, 4), 0xcccccccc);
	assert_int_equal(guest(f, MIB + 0x200, 4), 0);
	guest_text(f, guest(f, f->cpu.gpr[X86_RBX] + 16, 4), "kern");
	assert_int_equal(guest(f, f->cpu.gpr[X86_RBX] + 20, 4), 0);
}

static void multiboot_takes_elf64_too(void **state)
{
	struct fixture *f = *state;

	make_elf64(f);
	put_multiboot_header(f->image + 0x600, 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(f->cpu.rip, 2 * MIB + 0x10);
	assert_int_equal(f->cpu.gpr[X86_RAX], 0x2badb002);
}

/* --- bad images -------------------------------------------------------------------------- */

static void unknown_images_are_refused(void **state)
{
	struct fixture *f = *state;

	refused(f, -EINVAL, "not a kernel");
	f->p.kernel.len = IMAGE_MAX;
	refused(f, -EINVAL, "not a kernel");
	memcpy(f->image, "\177ELF", 4);
	f->p.kernel.len = 10;
	refused(f, -EINVAL, "truncated");
}

static void bad_bzimages_are_refused(void **state)
{
	struct fixture *f = *state;

	make_bzimage(f);
	f->p.kernel.len = 3000;
	refused(f, -EINVAL, "truncated");
	make_bzimage(f);
	st16(f->image + 0x206, 0x205);
	refused(f, -EINVAL, "2.05 is too old");
	make_bzimage(f);
	f->image[0x211] = 0;
	refused(f, -EINVAL, "too old");
	make_bzimage(f);
	st16(f->image + 0x236, 0);
	refused(f, -EINVAL, "no 64-bit entry");
	make_bzimage(f);
	st16(f->image + 0x206, 0x20b);
	refused(f, -EINVAL, "no 64-bit entry");
	make_bzimage(f);
	st32(f->image + 0x238, 4);
	refused(f, -EINVAL, "command line");
	make_bzimage(f);
	st64(f->image + 0x258, ~0ull - 100);
	refused(f, -EINVAL, "load address");
	make_bzimage(f);
	st32(f->image + 0x260, 0xffffffff);
	refused(f, -ENOSPC, "memory");
}

static void too_little_memory_is_said(void **state)
{
	struct fixture *f = *state;

	make_bzimage(f);
	with_memory(f, 20 * MIB);
	refused(f, -ENOSPC, "needs 9 MiB of memory at 16 MiB");
	with_memory(f, 24 * MIB + 4096);
	assert_int_equal(load(f), 0);
	with_initrd(f);
	refused(f, -ENOSPC, "initrd 'disk.img'");
	with_memory(f, 24 * MIB + 8192);
	assert_int_equal(load(f), 0);
	make_multiboot_elf(f);
	with_memory(f, MIB + 0x4000);
	refused(f, -ENOSPC, "initrd 'disk.img'");
	f->p.initrd.bytes = NULL;
	assert_int_equal(load(f), 0);
}

static void initrd_respects_its_ceiling(void **state)
{
	struct fixture *f = *state;
	u64 at;

	make_bzimage(f);
	with_initrd(f);
	st32(f->image + 0x22c, 32 * MIB - 1);
	assert_int_equal(load(f), 0);
	at = guest(f, f->cpu.gpr[X86_RSI] + 0x218, 4);
	assert_int_equal(at, 32 * MIB - 8192);
	st32(f->image + 0x22c, 17 * MIB);
	refused(f, -ENOSPC, "initrd");
}

static void bad_elf_is_refused(void **state)
{
	struct fixture *f = *state;
	u8 *segment = f->image + 64;

	make_elf64(f);
	st32(f->image + 28 + 0x200, 17);
	refused(f, -EINVAL, "PVH");
	make_elf64(f);
	st16(f->image + 18, 183);
	refused(f, -EINVAL, "another processor");
	make_elf64(f);
	st16(f->image + 56, 0xffff);
	refused(f, -EINVAL, "program headers");
	make_elf64(f);
	st64(f->image + 32, ~0ull - 8);
	refused(f, -EINVAL, "truncated");
	make_elf64(f);
	st64(segment + 8, ~0ull - 0x10); /* offset + size wraps around */
	refused(f, -EINVAL, "truncated");
	make_elf64(f);
	st64(segment + 40, 1);
	refused(f, -EINVAL, "larger in the file");
	make_elf64(f);
	st64(segment + 24, 63 * MIB + 0xffff0);
	st64(segment + 40, 0x100000);
	refused(f, -ENOSPC, "outside the guest's memory");
	make_elf64(f);
	st64(segment + 40, ~0ull);
	refused(f, -ENOSPC, "outside the guest's memory");
	make_elf64(f);
	st64(segment + 24, 0x8f800);
	refused(f, -EINVAL, "overlaps");
	make_elf64(f);
	st64(segment + 24, 0xf0000);
	refused(f, -ENOSPC, "outside the guest's memory");
	make_elf64(f);
	st32(f->image + 0x224, 100000);
	refused(f, -EINVAL, "PVH");
}

static void bad_multiboot_is_refused(void **state)
{
	struct fixture *f = *state;
	u8 *h = f->image + 0x80;

	make_multiboot_elf(f);
	put_multiboot_header(f->image + 0x100, 0x8003);
	refused(f, -EINVAL, "0x8000");
	make_multiboot_flat(f);
	st32(h + 16, MIB + 0x80);
	refused(f, -EINVAL, "contradict");
	make_multiboot_flat(f);
	st32(h + 20, MIB + 0x1000);
	refused(f, -EINVAL, "truncated");
	make_multiboot_flat(f);
	st32(h + 28, 5 * MIB);
	refused(f, -EINVAL, "entry");
	make_multiboot_flat(f);
	put_multiboot_header(h, 0);
	refused(f, -EINVAL, "not ELF");
	make_multiboot_flat(f);
	f->p.kernel.len = 0x90;
	refused(f, -EINVAL, "truncated");
}

static void long_command_lines_are_refused(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(70000);

	memset(text, 'x', 69999);
	text[69999] = 0;
	f->p.append = text;
	make_elf64(f);
	refused(f, -ENOSPC, "shorten the command line");
	free(text);
}

/* --- mutated images ---------------------------------------------------------------------- */

static u32 next_random(u32 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/*
 * Loads from a heap copy of exactly the image's length, so that a sanitizer sees each read past
 * its end; whatever happens must be success or a sentence.
 */
static void load_copy(struct fixture *f, size_t len)
{
	u8 *copy = malloc(len ? len : 1);
	int ret;

	memcpy(copy, f->image, len);
	f->p.kernel.bytes = copy;
	f->p.kernel.len = len;
	ret = load(f);
	assert_true(ret == 0 || ret == -EINVAL || ret == -ENOSPC);
	assert_true(ret == 0 || f->err.text[0]);
	f->p.kernel.bytes = f->image;
	free(copy);
}

static void mutate(struct fixture *f, void (*make)(struct fixture *f), size_t header_len)
{
	u32 seed = 12345;
	size_t len;

	with_initrd(f);
	make(f);
	len = f->p.kernel.len;
	for (size_t cut = 0; cut < len; cut += cut < header_len ? 1 : 37) {
		make(f);
		load_copy(f, cut);
	}
	for (unsigned round = 0; round < 1500; round++) {
		static const u64 values[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, ~0ull};
		unsigned changes = 1 + next_random(&seed) % 3;

		make(f);
		while (changes--) {
			size_t at = next_random(&seed) % header_len;

			if (next_random(&seed) & 1)
				f->image[at] ^= (u8)(1u << next_random(&seed) % 8);
			else
				st32(f->image + (at & ~3u),
				     (u32)values[next_random(&seed) % ARRAY_LEN(values)]);
		}
		load_copy(f, len);
	}
}

static void mutated_images_never_crash(void **state)
{
	struct fixture *f = *state;

	mutate(f, make_bzimage, 0x270);
	mutate(f, make_elf64, 0x230);
	mutate(f, make_multiboot_elf, 0x110);
	mutate(f, make_multiboot_flat, 0xa0);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(bzimage_boots_in_long_mode),    CASE(identity_map_covers_4g),
		CASE(e820_leaves_out_the_bios_area), CASE(pvh_boots_at_its_note),
		CASE(multiboot_elf_boots),           CASE(multiboot_flat_boots),
		CASE(multiboot_takes_elf64_too),     CASE(unknown_images_are_refused),
		CASE(bad_bzimages_are_refused),      CASE(too_little_memory_is_said),
		CASE(initrd_respects_its_ceiling),   CASE(bad_elf_is_refused),
		CASE(bad_multiboot_is_refused),      CASE(long_command_lines_are_refused),
		CASE(mutated_images_never_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
