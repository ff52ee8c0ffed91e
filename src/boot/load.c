/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/load.h"

#include "base/errno.h"
#include "base/str.h"
#include "bus/pc.h"

bool boot_is_ram(const struct boot_ctx *c, u64 base, u64 len)
{
	for (unsigned i = 0; i < c->nmap; i++) {
		const struct boot_e820 *e = &c->map[i];

		if (e->type == BOOT_E820_RAM && base >= e->base && base - e->base <= e->size &&
		    len <= e->size - (base - e->base))
			return true;
	}
	return false;
}

u64 boot_find_high(const struct boot_ctx *c, u64 len, u64 floor, u64 ceiling)
{
	u64 best = 0;

	for (unsigned i = 0; i < c->nmap; i++) {
		const struct boot_e820 *e = &c->map[i];
		u64 low = max_u64(e->base, floor), high = min_u64(e->base + e->size, ceiling), at;

		if (e->type != BOOT_E820_RAM || low >= high || len > high - low)
			continue;
		at = (high - len) & ALC_PAGE_MASK;
		if (at >= low && at > best)
			best = at;
	}
	return best;
}

int boot_copy(struct boot_ctx *c, u64 to, const void *from, u64 len)
{
	if (space_load(c->space, gpa(to), from, len))
		return alc_fail(c->err, -ENOSPC,
				"kernel '%s': the guest has no memory at 0x%llx (%llu bytes).",
				c->p->kernel.name, (unsigned long long)to, (unsigned long long)len);
	return 0;
}

int boot_zero(struct boot_ctx *c, u64 to, u64 len)
{
	static const u8 zeros[ALC_PAGE_SIZE];

	while (len) {
		u64 n = min_u64(len, sizeof(zeros));
		int ret = boot_copy(c, to, zeros, n);

		if (ret)
			return ret;
		to += n;
		len -= n;
	}
	return 0;
}

int boot_area_take(struct boot_ctx *c, u64 len, u64 align, u64 *base)
{
	u64 at = align_up(c->area_next, align);

	if (at > BOOT_AREA_END || len > BOOT_AREA_END - at)
		return alc_fail(
			c->err, -ENOSPC,
			"kernel '%s': command line and start structures need more than %u KiB; "
			"shorten the command line.",
			c->p->kernel.name, (BOOT_AREA_END - BOOT_AREA_BASE) >> 10);
	if (!boot_is_ram(c, at, len))
		return alc_fail(c->err, -ENOSPC,
				"kernel '%s': the guest's memory is too small to boot from; give "
				"it at least 2M.",
				c->p->kernel.name);
	c->area_next = at + len;
	*base = at;
	return 0;
}

int boot_area_put(struct boot_ctx *c, const void *from, u64 len, u64 align, u64 *base)
{
	u64 at = 0;
	int ret = boot_area_take(c, len, align, &at);

	if (ret || (ret = boot_copy(c, at, from, len)))
		return ret;
	*base = at;
	return 0;
}

int boot_area_put_text(struct boot_ctx *c, const char *first, const char *second, u64 *base)
{
	size_t first_len = str_len(first), second_len = str_len(second);
	bool both = first_len && second_len;
	u64 at = 0;
	int ret = boot_area_take(c, first_len + both + second_len + 1, 1, &at);

	if (ret || (ret = boot_copy(c, at, first, first_len)))
		return ret;
	if (both && (ret = boot_copy(c, at + first_len, " ", 1)))
		return ret;
	ret = boot_copy(c, at + first_len + both, second, second_len + 1);
	if (ret)
		return ret;
	*base = at;
	return 0;
}

static int check_segment(struct boot_ctx *c, u64 base, u64 off, u64 filesz, u64 memsz)
{
	const struct boot_image *k = &c->p->kernel;

	if (!image_holds(k, off, filesz))
		return alc_fail(c->err, -EINVAL,
				"kernel '%s': truncated: a segment's %llu bytes at offset 0x%llx "
				"reach past the end of the file (%zu bytes).",
				k->name, (unsigned long long)filesz, (unsigned long long)off,
				k->len);
	if (memsz < filesz)
		return alc_fail(c->err, -EINVAL,
				"kernel '%s': malformed: a segment is larger in the file than in "
				"memory.",
				k->name);
	if (!boot_is_ram(c, base, memsz))
		return alc_fail(c->err, -ENOSPC,
				"kernel '%s': a segment of %llu bytes at 0x%llx lies outside the "
				"guest's memory; give it more, or link the kernel elsewhere.",
				k->name, (unsigned long long)memsz, (unsigned long long)base);
	if (base < BOOT_AREA_END && base + memsz > BOOT_AREA_BASE)
		return alc_fail(c->err, -EINVAL,
				"kernel '%s': a segment at 0x%llx overlaps 0x%x-0x%x, which the "
				"loader needs for its tables.",
				k->name, (unsigned long long)base, BOOT_AREA_BASE, BOOT_AREA_END);
	return 0;
}

int boot_segment(struct boot_ctx *c, u64 base, u64 off, u64 filesz, u64 memsz)
{
	int ret;

	if (!memsz && !filesz)
		return 0;
	ret = check_segment(c, base, off, filesz, memsz);
	if (ret || (ret = boot_copy(c, base, c->p->kernel.bytes + off, filesz)) ||
	    (ret = boot_zero(c, base + filesz, memsz - filesz)))
		return ret;
	if (c->image_start == c->image_end) {
		c->image_start = base;
		c->image_end = base + memsz;
	}
	c->image_start = min_u64(c->image_start, base);
	c->image_end = max_u64(c->image_end, base + memsz);
	return 0;
}

static int initrd_too_large(struct boot_ctx *c)
{
	return alc_fail(c->err, -ENOSPC,
			"initrd '%s': %zu MiB do not fit into the guest's memory beside the "
			"kernel; give it more memory.",
			c->p->initrd.name, (c->p->initrd.len >> 20) + 1);
}

int boot_initrd_high(struct boot_ctx *c, u64 ceiling, u64 *base)
{
	u64 floor = max_u64(align_up(c->image_end, ALC_PAGE_SIZE), PC_HIGH_RAM);
	u64 at = boot_find_high(c, c->p->initrd.len, floor, min_u64(ceiling, PC_ABOVE_4G));
	int ret;

	if (!at)
		return initrd_too_large(c);
	ret = boot_copy(c, at, c->p->initrd.bytes, c->p->initrd.len);
	if (!ret)
		*base = at;
	return ret;
}

int boot_initrd_after(struct boot_ctx *c, u64 *base)
{
	u64 at = max_u64(align_up(c->image_end, ALC_PAGE_SIZE), PC_HIGH_RAM);
	int ret;

	if (at >= PC_ABOVE_4G || c->p->initrd.len > PC_ABOVE_4G - at ||
	    !boot_is_ram(c, at, c->p->initrd.len))
		return initrd_too_large(c);
	ret = boot_copy(c, at, c->p->initrd.bytes, c->p->initrd.len);
	if (!ret)
		*base = at;
	return ret;
}

int boot_load(struct alc_space *space, const struct boot_params *p, struct alc_vcpu *bsp,
	      struct alc_err *err)
{
	struct boot_ctx c = {
		.space = space, .p = p, .bsp = bsp, .err = err, .area_next = BOOT_AREA_BASE};
	int ret = 0;

	c.nmap = boot_e820(space, c.map);
	if (multiboot_load(&c, &ret) || elf_load(&c, &ret) || bzimage_load(&c, &ret))
		return ret;
	return alc_fail(err, -EINVAL,
			"kernel '%s': not a kernel that can be booted: neither a Linux bzImage nor "
			"an ELF image nor multiboot.",
			p->kernel.name);
}
