/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux bzImage by the 64-bit boot protocol (Linux, Documentation/x86/boot.rst and zero-page.rst).
 *
 * The real-mode part is not run: the loader reads the setup header from it, builds the zero page
 * (struct boot_params) and enters the protected-mode part 0x200 bytes after its start, where a
 * kernel with XLF_KERNEL_64 has its 64-bit entry.
 */
#include "boot/load.h"

#include "base/errno.h"
#include "base/str.h"
#include "bus/pc.h"

/* Offsets in the image and in the zero page alike. */
enum {
	HDR_SETUP_SECTS = 0x1f1,
	HDR_SYSSIZE = 0x1f4,
	HDR_BOOT_FLAG = 0x1fe,
	HDR_JUMP = 0x200,
	HDR_MAGIC = 0x202,
	HDR_VERSION = 0x206,
	HDR_TYPE_OF_LOADER = 0x210,
	HDR_LOADFLAGS = 0x211,
	HDR_RAMDISK_IMAGE = 0x218,
	HDR_RAMDISK_SIZE = 0x21c,
	HDR_CMD_LINE_PTR = 0x228,
	HDR_INITRD_ADDR_MAX = 0x22c,
	HDR_XLOADFLAGS = 0x236,
	HDR_CMDLINE_SIZE = 0x238,
	HDR_PREF_ADDRESS = 0x258,
	HDR_INIT_SIZE = 0x260,
	HDR_END = 0x264, /* of what is read here */
};

/* Offsets in the zero page only. */
enum {
	ZP_ACPI_RSDP_ADDR = 0x070,
	ZP_E820_ENTRIES = 0x1e8,
	ZP_HEADER = 0x1f1,
	ZP_HEADER_END = 0x290,
	ZP_E820_TABLE = 0x2d0,
	ZP_E820_ENTRY_SIZE = 20,
};

enum {
	BOOT_FLAG = 0xaa55,
	HDRS = 0x53726448, /* "HdrS" */
	VERSION_MIN = 0x206,
	VERSION_XLOADFLAGS = 0x20c,
	LOADED_HIGH = 1,
	XLF_KERNEL_64 = 1,
	LOADER_UNDEFINED = 0xff,
	SECTOR = 512,
	ENTRY64 = 0x200,
};

struct bzimage {
	u64 payload, payload_len; /* the protected-mode part, in the file */
	u64 load_at, init_size;
	u64 initrd_max;
	u32 cmdline_max;
};

static int bad(struct boot_ctx *c, const char *why)
{
	return alc_fail(c->err, -EINVAL, "kernel '%s': %s.", c->p->kernel.name, why);
}

static int check_header(struct boot_ctx *c)
{
	const struct boot_image *k = &c->p->kernel;
	u16 version = ld16(k->bytes + HDR_VERSION);

	if (version < VERSION_MIN || !(k->bytes[HDR_LOADFLAGS] & LOADED_HIGH))
		return alc_fail(c->err, -EINVAL,
				"kernel '%s': boot protocol %u.%02u is too old; 2.06 and a bzImage "
				"are the least.",
				k->name, version >> 8, version & 0xff);
	if (version < VERSION_XLOADFLAGS || k->len < HDR_END ||
	    !(ld16(k->bytes + HDR_XLOADFLAGS) & XLF_KERNEL_64))
		return bad(c, "has no 64-bit entry point; a 64-bit Linux 3.8 or later has one");
	return 0;
}

static int read_header(struct boot_ctx *c, struct bzimage *z)
{
	const struct boot_image *k = &c->p->kernel;
	unsigned sects = k->bytes[HDR_SETUP_SECTS] ? k->bytes[HDR_SETUP_SECTS] : 4;
	u64 need = (u64)ld32(k->bytes + HDR_SYSSIZE) * 16;
	int ret = check_header(c);

	if (ret)
		return ret;
	z->payload = (u64)(sects + 1) * SECTOR;
	/* syssize counts paragraphs, so the last one may be incomplete. */
	if (k->len <= z->payload || k->len - z->payload + 15 < need || need <= ENTRY64)
		return alc_fail(c->err, -EINVAL,
				"kernel '%s': truncated: the file has %zu bytes, its header speaks "
				"of %llu.",
				k->name, k->len, (unsigned long long)z->payload + need);
	z->payload_len = min_u64(need, k->len - z->payload);
	z->load_at = ld64(k->bytes + HDR_PREF_ADDRESS);
	z->init_size = max_u64(ld32(k->bytes + HDR_INIT_SIZE), z->payload_len);
	z->initrd_max = (u64)ld32(k->bytes + HDR_INITRD_ADDR_MAX) + 1;
	z->cmdline_max = ld32(k->bytes + HDR_CMDLINE_SIZE);
	return 0;
}

static int load_kernel(struct boot_ctx *c, const struct bzimage *z)
{
	if (z->load_at >= PC_ABOVE_4G || z->load_at < PC_HIGH_RAM)
		return bad(c, "malformed: it asks for a load address outside 1 MiB to 4 GiB");
	if (!boot_is_ram(c, z->load_at, z->init_size))
		return alc_fail(c->err, -ENOSPC,
				"kernel '%s': needs %llu MiB of memory at %llu MiB; give the guest "
				"more memory.",
				c->p->kernel.name, (unsigned long long)(z->init_size >> 20) + 1,
				(unsigned long long)z->load_at >> 20);
	return boot_segment(c, z->load_at, z->payload, z->payload_len, z->init_size);
}

static int put_cmdline(struct boot_ctx *c, const struct bzimage *z, u64 *at)
{
	size_t len = str_len(c->p->append);

	if (len > z->cmdline_max)
		return alc_fail(
			c->err, -EINVAL,
			"kernel '%s': the command line has %zu characters, the kernel takes "
			"at most %u.",
			c->p->kernel.name, len, z->cmdline_max);
	return boot_area_put_text(c, "", c->p->append, at);
}

static void fill_e820(const struct boot_ctx *c, u8 *zero_page)
{
	zero_page[ZP_E820_ENTRIES] = (u8)c->nmap;
	for (unsigned i = 0; i < c->nmap; i++) {
		u8 *e = zero_page + ZP_E820_TABLE + i * ZP_E820_ENTRY_SIZE;

		put64(e, c->map[i].base);
		put64(e + 8, c->map[i].size);
		put32(e + 16, c->map[i].type);
	}
}

/*
 * The setup header is copied as the protocol says; its length stands in the second byte of the
 * jump instruction at 0x200. A zeroed screen_info (0 rows and columns) means that there is no VGA.
 */
static void fill_header(const struct boot_ctx *c, u8 *zero_page)
{
	const struct boot_image *k = &c->p->kernel;
	u64 end = min_u64(HDR_MAGIC + k->bytes[HDR_JUMP + 1], min_u64(ZP_HEADER_END, k->len));

	if (end > ZP_HEADER)
		__builtin_memcpy(zero_page + ZP_HEADER, k->bytes + ZP_HEADER, end - ZP_HEADER);
	zero_page[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	put64(zero_page + ZP_ACPI_RSDP_ADDR, c->p->rsdp.v);
	fill_e820(c, zero_page);
}

static int load(struct boot_ctx *c)
{
	u8 zero_page[ALC_PAGE_SIZE] = {0};
	struct bzimage z = {0};
	u64 cmdline = 0, initrd = 0, zero_page_at = 0;
	int ret = read_header(c, &z);

	if (ret || (ret = load_kernel(c, &z)) || (ret = put_cmdline(c, &z, &cmdline)))
		return ret;
	fill_header(c, zero_page);
	put32(zero_page + HDR_CMD_LINE_PTR, cmdline);
	if (c->p->initrd.bytes) {
		ret = boot_initrd_high(c, z.initrd_max, &initrd);
		if (ret)
			return ret;
		put32(zero_page + HDR_RAMDISK_IMAGE, initrd);
		put32(zero_page + HDR_RAMDISK_SIZE, c->p->initrd.len);
	}
	ret = boot_area_put(c, zero_page, sizeof(zero_page), ALC_PAGE_SIZE, &zero_page_at);
	if (ret || (ret = boot_enter_long(c, z.load_at + ENTRY64)))
		return ret;
	c->bsp->gpr[X86_RSI] = zero_page_at;
	return 0;
}

bool bzimage_load(struct boot_ctx *c, int *result)
{
	const struct boot_image *k = &c->p->kernel;

	if (k->len < HDR_LOADFLAGS + 1 || ld16(k->bytes + HDR_BOOT_FLAG) != BOOT_FLAG ||
	    ld32(k->bytes + HDR_MAGIC) != HDRS)
		return false;
	*result = load(c);
	return true;
}
