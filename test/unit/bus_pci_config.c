/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration space (PCI 3.0, chapter 6; PCI Express 5.0, 7.5), by every size, offset and order
 * of access.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/errno.h"
#include "pci_bench.h"

static const struct pci_bar_desc bars[] = {
	{0, PCI_BAR_MEM32, 0x2000},
	{1, PCI_BAR_IO, 32},
	{2, PCI_BAR_MEM64, 1ull << 33},
};
static const u8 vendor_bytes[] = {6, 0xaa, 0xbb, 0xcc}, vendor_writable[] = {0, 0x0f, 0, 0xff};
static const struct pci_cap_desc caps[] = {{0x09, 4, vendor_bytes, vendor_writable}};

static const struct pci_desc desc = {
	.vendor = 0x1234,
	.device = 0x5678,
	.subvendor = 0x9abc,
	.subdevice = 0xdef0,
	.revision = 7,
	.class_code = 0x020304,
	.bars = bars,
	.nbars = ARRAY_LEN(bars),
	.caps = caps,
	.ncaps = ARRAY_LEN(caps),
	.intx = true,
	.msi = 4,
	.msix = 5,
	.msix_bar = 4,
};

static const struct pci_reg_desc chipset_regs[] = {{0x60, 4, 0x11223344, 0x00ff00f0},
						   {0x70, 1, 0x80, 0x8f}};
static const struct pci_desc chipset = {
	.kind = PCI_CHIPSET,
	.vendor = 0x8086,
	.device = 1,
	.regs = chipset_regs,
	.nregs = ARRAY_LEN(chipset_regs),
};

static const struct pci_desc port = {.kind = PCI_ROOT_PORT, .vendor = 1, .intx = true, .msi = 1};

static void test_header(void **state)
{
	struct fake *k = bench_add(*state, NULL, PCI_SLOT_AUTO, &desc);

	assert_int_equal(get(k, 0x00, 4), 0x56781234);
	assert_int_equal(get(k, 0x08, 4), 0x02030407);
	assert_int_equal(get(k, 0x2c, 4), 0xdef09abc);
	assert_int_equal(get(k, 0x3d, 1), 1);
	assert_int_equal(get(k, HEADER, 1), 0);
	assert_int_equal(get(k, STATUS, 2), 0x10);
	assert_int_equal(get(k, COMMAND, 2), 0);
	set(k, COMMAND, 0xffff, 2);
	assert_int_equal(get(k, COMMAND, 2), 0x0547);
	set(k, 0x00, ~0ull, 8);
	assert_int_equal(get(k, 0x00, 4), 0x56781234);
	assert_int_equal(get(k, STATUS, 2), 0x10);
}

/* All ones, then read back (6.2.5.1). */
static void test_bar_sizes(void **state)
{
	struct fake *k = bench_add(*state, NULL, PCI_SLOT_AUTO, &desc);
	static const u32 sizes[] = {0xffffe000, 0x0000ffe1, 0x0000000c, 0xfffffffe, 0xfffff000, 0};

	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		u64 before = get(k, BAR0 + 4 * i, 4);

		set(k, BAR0 + 4 * i, 0xffffffff, 4);
		assert_int_equal(get(k, BAR0 + 4 * i, 4), sizes[i]);
		set(k, BAR0 + 4 * i, before, 4);
		assert_int_equal(get(k, BAR0 + 4 * i, 4), before);
	}
	set(k, 0x30, 0xffffffff, 4); /* no expansion ROM */
	assert_int_equal(get(k, 0x30, 4), 0);
}

/*
 * A write of any size at any offset is the byte writes that it consists of, and so is a read. Two
 * functions get the same bytes, one in pieces.
 */
static void test_sizes_and_alignments(void **state)
{
	struct fake *whole = bench_add(*state, NULL, PCI_SLOT_AUTO, &desc);
	struct fake *pieces = bench_add(*state, NULL, PCI_SLOT_AUTO, &desc);
	u64 val = 0x0123456789abcdefull;

	for (unsigned size = 1; size <= 8; size *= 2) {
		for (unsigned off = 0; off < 0x100; off++, val = val * 0x5851f42d4c957f2dull + 1) {
			unsigned resets = whole->resets;
			u64 bytes = 0;

			set(whole, off, val, size);
			if (whole->resets != resets) { /* FLR: pieces come in another order */
				pci_function_reset(pieces->f);
				continue;
			}
			for (unsigned i = 0; i < size; i++)
				set(pieces, off + i, val >> 8 * i, 1);
			for (unsigned at = 0; at < 0x100; at++)
				assert_int_equal(get(whole, at, 1), get(pieces, at, 1));
			for (unsigned i = 0; i < size; i++)
				bytes |= get(whole, off + i, 1) << 8 * i;
			assert_int_equal(get(whole, off, size), bytes);
		}
	}
}

/* What no write of any value may change: identity, capabilities' links, read-only fields. */
static void test_read_only_bits(void **state)
{
	struct fake *k = bench_add(*state, NULL, PCI_SLOT_AUTO, &desc);
	u8 zeroes[256], ones[256], first[256];

	for (unsigned i = 0; i < 256; i++)
		first[i] = (u8)get(k, i, 1);
	for (unsigned i = 0; i < 256; i++) {
		set(k, i, 0, 1);
		zeroes[i] = (u8)get(k, i, 1);
	}
	for (unsigned i = 0; i < 256; i++)
		set(k, i, i == bench_cap(k, 0x10) + 9 ? 0x7f : 0xff, 1); /* all but FLR */
	for (unsigned i = 0; i < 256; i++)
		ones[i] = (u8)get(k, i, 1);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal((first[i] ^ zeroes[i]) & ~(ones[i] ^ zeroes[i]), 0);
	for (unsigned at = first[CAPS]; at; at = first[at + 1]) {
		assert_int_equal(ones[at], first[at]);
		assert_int_equal(ones[at + 1], first[at + 1]);
	}
}

static void test_beyond_256(void **state)
{
	struct fake *k = bench_add(*state, NULL, PCI_SLOT_AUTO, &desc);

	set(k, 0x100, ~0ull, 8);
	assert_int_equal(get(k, 0x100, 4), 0); /* no extended capability */
	assert_int_equal(get(k, 0xffc, 4), 0);
	assert_int_equal(get(k, 0xffe, 4), 0xffff0000); /* past the end: nobody */
	assert_int_equal(get(k, 0x1000, 8), ~0ull);
	set(k, 0xffe, ~0ull, 8);
	set(k, 0x1000, ~0ull, 8);
	assert_int_equal(get(k, 0xffc, 4), 0);
}

static void test_capabilities(void **state)
{
	struct fake *k = bench_add(*state, NULL, PCI_SLOT_AUTO, &desc);
	unsigned own = bench_cap(k, 0x09), exp = bench_cap(k, 0x10), pm = bench_cap(k, 0x01);

	assert_int_equal(own, pci_cap_offset(k->f, 0));
	assert_int_equal(get(k, own + 2, 4), 0xccbbaa06);
	set(k, own + 2, 0x11223344, 4);
	assert_int_equal(get(k, own + 2, 4), 0x11bba306);
	assert_true(k->config_writes && k->config_off == own + 2 && k->config_len == 4);
	assert_true(k->config_reads);
	assert_int_equal(get(k, exp + 2, 2), 0x0092); /* version 2, integrated endpoint */
	assert_int_equal(get(k, exp + 4, 4) >> 28 & 1, 1);
	assert_int_equal(get(k, bench_cap(k, 0x05) + 2, 2), 0x0184); /* 64 bits, masks, 4 */
	assert_int_equal(get(k, bench_cap(k, 0x11) + 2, 2), 4);
	assert_int_equal(get(k, bench_cap(k, 0x11) + 4, 4), 4);
	/* States that are not there are not entered. */
	for (unsigned to = 0; to < 4; to++) {
		set(k, pm + 4, to, 2);
		assert_int_equal(get(k, pm + 4, 2) & 3, to == 3 ? 3 : 0);
		set(k, pm + 4, 0, 2);
	}
}

static void test_chipset_registers(void **state)
{
	struct fake *k = bench_add(*state, NULL, 0, &chipset);

	assert_int_equal(get(k, STATUS, 2), 0); /* no capabilities */
	set(k, 0x60, 0xffffffff, 4);
	assert_int_equal(get(k, 0x60, 4), 0x11ff33f4);
	set(k, 0x6f, 0x0000, 2);
	assert_int_equal(get(k, 0x70, 1), 0);
	assert_int_equal(k->config_off, 0x6f);
	set(k, 0x40, ~0ull, 8);
	assert_int_equal(get(k, 0x40, 8), 0);
	pci_function_reset(k->f);
	assert_int_equal(get(k, 0x60, 4), 0x11223344);
}

static void test_function_level_reset(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = bench_add(b, NULL, PCI_SLOT_AUTO, &desc);
	unsigned control = bench_cap(k, 0x10) + 8;

	set(k, BAR0, 0xc0000000, 4);
	set(k, COMMAND, MEM_ON | MASTER_ON, 2);
	pci_intx(k->f, true);
	set(k, control, 0x7fff, 2);
	assert_int_equal(k->resets, 0);
	set(k, control + 1, 0x80, 1);
	assert_int_equal(k->resets, 1);
	assert_int_equal(get(k, control, 2) & 0x8000, 0);
	assert_int_equal(get(k, BAR0, 4), 0);
	assert_int_equal(get(k, COMMAND, 2), 0);
	assert_int_equal(b->pirqs, 0);
	assert_int_equal(region_read(&b->memory, 0xc0000000, 4), 0xffffffff);
	/* Within a wider write too. */
	set(k, control - 4, 0x8000ull << 32, 8);
	assert_int_equal(k->resets, 2);
}

static void test_multifunction(void **state)
{
	struct fake *a = bench_add(*state, NULL, 5 << 3, &desc), *b;

	assert_int_equal(get(a, HEADER, 1), 0);
	b = bench_add(*state, NULL, 5 << 3 | 3, &desc);
	assert_int_equal(get(a, HEADER, 1), 0x80);
	assert_int_equal(get(b, HEADER, 1), 0x80);
	pci_function_reset(a->f);
	assert_int_equal(get(a, HEADER, 1), 0x80);
}

static void test_slots(void **state)
{
	struct pci_bench *b = *state;
	struct fake *p = bench_add(b, NULL, 3 << 3, &port), *behind = bench_add(b, p, 0, &desc);
	struct pci_function *f = NULL;
	const struct {
		struct fake *parent;
		int slot, error;
	} bad[] = {
		{NULL, 3 << 3, -EEXIST}, {NULL, 256, -EINVAL}, {p, 8, -EINVAL},
		{p, 0, -EEXIST},         {behind, 0, -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct alc_err err = {0};

		assert_int_equal(
			pci_function_create(b->root, bad[i].parent ? bad[i].parent->f : NULL,
					    bad[i].slot, &desc, NULL, NULL, "bad", &f, &err),
			bad[i].error);
		assert_non_null(strstr(err.text, "bad"));
		assert_null(f);
	}
	assert_ptr_equal(pci_function_named(b->root, "f0"), p->f);
	assert_null(pci_function_named(b->root, "f7"));
}

/* ---- snapshots ---- */

static void save(struct fake *k, u8 *out)
{
	fields_save(pci_function_fields, 1, pci_function_state(k->f), out);
}

static void load(struct fake *k, const u8 *in, size_t len)
{
	assert_int_equal(fields_load(pci_function_fields, 1, pci_function_state(k->f), in, len), 0);
}

static void test_snapshot(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = bench_add(b, NULL, PCI_SLOT_AUTO, &desc);
	size_t len = fields_size(pci_function_fields, 1);
	u8 *saved = malloc(len), *fresh = malloc(len);

	assert_true(saved && fresh);
	save(k, fresh);
	set(k, BAR0, 0xc0000000, 4);
	set(k, COMMAND, MEM_ON, 2);
	pci_intx(k->f, true);
	save(k, saved);
	load(k, fresh, len);
	assert_int_equal(pci_function_check(k->f, NULL), 0);
	pci_function_loaded(k->f);
	assert_int_equal(b->pirqs, 0);
	assert_int_equal(region_read(&b->memory, 0xc0000004, 1), 0xff);
	load(k, saved, len);
	assert_int_equal(pci_function_check(k->f, NULL), 0);
	pci_function_loaded(k->f);
	assert_int_not_equal(b->pirqs, 0);
	assert_int_equal(region_read(&b->memory, 0xc0000004, 1), bench_byte(0, 4));
	pci_intx(k->f, false);
	free(saved);
	free(fresh);
}

/* Every bit of the header and of the core's capabilities that no write could have set. */
static void test_hostile_snapshots(void **state)
{
	struct fake *k = bench_add(*state, NULL, PCI_SLOT_AUTO, &desc);
	size_t len = fields_size(pci_function_fields, 1);
	u8 *saved = malloc(len), *bad = malloc(len);
	static const struct {
		unsigned at;
		u8 flip;
	} faults[] = {
		{0x00, 1},     {0x05, 0x80}, {STATUS, 0x10}, {0x08, 1}, {HEADER, 1}, {BAR0, 0x10},
		{BAR0 + 4, 1}, {0x2c, 1},    {CAPS, 4},      {0x3d, 2}, {0x100, 1},
	};

	assert_true(saved && bad);
	save(k, saved);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct alc_err err = {0};

		memcpy(bad, saved, len);
		bad[faults[i].at] ^= faults[i].flip;
		load(k, bad, len);
		if (pci_function_check(k->f, &err) != -EINVAL)
			fail_msg("byte 0x%x was taken", faults[i].at);
		assert_non_null(strstr(err.text, "f0"));
	}
	load(k, saved, len);
	assert_int_equal(pci_function_check(k->f, NULL), 0);
	free(saved);
	free(bad);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_header),
		CASE(test_bar_sizes),
		CASE(test_sizes_and_alignments),
		CASE(test_read_only_bits),
		CASE(test_beyond_256),
		CASE(test_capabilities),
		CASE(test_chipset_registers),
		CASE(test_function_level_reset),
		CASE(test_multifunction),
		CASE(test_slots),
		CASE(test_snapshot),
		CASE(test_hostile_snapshots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
