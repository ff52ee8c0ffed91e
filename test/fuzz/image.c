/* SPDX-License-Identifier: BSD-2-Clause */
/* Boot images from strangers: bzImage, ELF/PVH, multiboot. */
#include <stdint.h>
#include <stdlib.h>

#include "boot/boot.h"
#include "bus/pc.h"
#include "host/test/test_host.h"

enum { MEMORY = 16 << 20 };

static struct test_host th;
static struct alc_space space;

static void open_once(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	test_host_init(&th, TEST_TIME_MANUAL);
	if (space_init(&space, &th.host, MEMORY, NULL) ||
	    space_add_bank(&space, gpa(0), MEMORY, false, NULL))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const u8 initrd[600];
	struct alc_vcpu cpu = {0};
	struct alc_err err = {0};
	/* The first byte chooses the rest of what a loader is given. */
	u8 kind = len ? bytes[0] : 0;
	struct boot_params p = {
		.kernel = {"kernel", len ? bytes + 1 : bytes, len ? len - 1 : 0},
		.initrd = {"initrd", kind & 1 ? initrd : NULL, kind & 1 ? sizeof(initrd) : 0},
		.append = kind & 2 ? "console=ttyS0 quiet" : "",
		.rsdp = gpa(kind & 4 ? PC_BIOS_AREA : 0),
	};
	int rc;

	open_once();
	rc = boot_load(&space, &p, &cpu, &err);
	if (rc > 0 || (rc < 0) != (err.text[0] != 0))
		abort();
	return 0;
}
