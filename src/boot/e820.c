/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot/boot.h"
#include "bus/pc.h"

/*
 * The map has no entry for holes: ACPI 6.4, 15.1 lets an operating system take what is not
 * listed for device space. From the EBDA to the first megabyte everything that exists is listed
 * as reserved, the ACPI tables included; so is ECAM.
 */
struct map {
	struct boot_e820 *out;
	unsigned n;
};

static void add(struct map *m, u64 base, u64 end, u32 type)
{
	if (base >= end)
		return;
	if (m->n) {
		struct boot_e820 *last = &m->out[m->n - 1];

		if (last->type == type && last->base + last->size == base) {
			last->size += end - base;
			return;
		}
	}
	if (m->n < BOOT_E820_MAX)
		m->out[m->n++] = (struct boot_e820){base, end - base, type};
}

static void add_bank(struct map *m, const struct alc_bank *b)
{
	u64 base = b->base.v, end = base + b->size;

	if (b->rom) {
		add(m, base, end, BOOT_E820_RESERVED);
		return;
	}
	add(m, base, min_u64(end, PC_EBDA), BOOT_E820_RAM);
	add(m, max_u64(base, PC_EBDA), min_u64(end, PC_HIGH_RAM), BOOT_E820_RESERVED);
	add(m, max_u64(base, PC_HIGH_RAM), end, BOOT_E820_RAM);
}

/* The bank with the lowest base that is at least `from`, or NULL. */
static const struct alc_bank *next_bank(const struct alc_space *s, u64 from)
{
	const struct alc_bank *best = NULL;

	for (unsigned i = 0; i < s->nbanks; i++) {
		const struct alc_bank *b = &s->banks[i];

		if (b->base.v >= from && (!best || b->base.v < best->base.v))
			best = b;
	}
	return best;
}

unsigned boot_e820(const struct alc_space *space, struct boot_e820 out[BOOT_E820_MAX])
{
	struct map m = {.out = out};
	const struct alc_bank *b = next_bank(space, 0);

	for (; b && b->base.v < PC_ECAM_BASE; b = next_bank(space, b->base.v + 1))
		add_bank(&m, b);
	add(&m, PC_ECAM_BASE, PC_ECAM_BASE + PC_ECAM_SIZE, BOOT_E820_RESERVED);
	for (; b; b = next_bank(space, b->base.v + 1))
		add_bank(&m, b);
	return m.n;
}
