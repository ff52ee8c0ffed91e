/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "alcazar/err.h"
#include "isa/x86.h"
#include "mem/space.h"

/*
 * Loaders: they put an image into guest memory and set the boot processor's registers as the
 * image's protocol says. The kind is told by the image's own magic, multiboot before ELF/PVH
 * before bzImage. Images are hostile input: every offset and length is checked.
 */
struct boot_image {
	const char *name; /* file name, for messages and multiboot's command line */
	const u8 *bytes;
	size_t len;
};

struct boot_params {
	struct boot_image kernel;
	struct boot_image initrd; /* bytes NULL: none */
	const char *append;       /* never NULL */
	alc_gpa rsdp;             /* 0: no ACPI */
};

/*
 * Loads, and sets up *bsp (already reset). -EINVAL with a sentence for a malformed image, -ENOSPC
 * for one that does not fit the guest's memory; guest memory is undefined after a failure.
 */
int boot_load(struct alc_space *space, const struct boot_params *p, struct alc_vcpu *bsp,
	      struct alc_err *err) ALC_MUST_CHECK;

/* The E820 map that all protocols hand over: RAM banks, minus what tables reserve. */
enum { BOOT_E820_RAM = 1, BOOT_E820_RESERVED = 2, BOOT_E820_ACPI = 3, BOOT_E820_MAX = 16 };

struct boot_e820 {
	u64 base, size;
	u32 type;
};

unsigned boot_e820(const struct alc_space *space, struct boot_e820 out[BOOT_E820_MAX]);

#endif
