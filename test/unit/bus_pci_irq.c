/* SPDX-License-Identifier: BSD-2-Clause */
/* INTx and its routing (as on Q35), MSI (PCI 3.0, 6.8.1) and MSI-X (6.8.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pci_bench.h"

enum { TABLE = 0xc0000000, PBA = TABLE + 2048 };
enum { VECTORS = 5, MSI_VECTORS = 4, ENABLE = 0x8000, MASK_ALL = 0x4000 };
#define ADDRESS 0xfee01000ull

static const struct pci_desc desc = {
	.vendor = 0x1234,
	.intx = true,
	.msi = MSI_VECTORS,
	.msix = VECTORS,
	.msix_bar = 0,
};
static const struct pci_desc port = {.kind = PCI_ROOT_PORT, .vendor = 1, .intx = true, .msi = 1};

/* ---- INTx ---- */

static u8 pirq_at(struct pci_bench *b, struct fake *parent, int slot)
{
	struct fake *k = bench_add(b, parent, slot, &desc);
	u8 driven;

	pci_intx(k->f, true);
	driven = b->pirqs;
	pci_intx(k->f, false);
	assert_int_equal(b->pirqs, 0);
	pci_function_destroy(k->f);
	b->nfakes--;
	return driven;
}

static void test_routing(void **state)
{
	struct pci_bench *b = *state;
	struct fake *p;

	for (int device = 0; device < 25; device++)
		assert_int_equal(pirq_at(b, NULL, device << 3), 0x10 << device % 4);
	for (int device = 25; device < 32; device++)
		assert_int_equal(pirq_at(b, NULL, device << 3), 1);
	p = bench_add(b, NULL, 6 << 3, &port);
	assert_int_equal(pirq_at(b, p, 0), 0x40);
	p = bench_add(b, NULL, 26 << 3, &port);
	assert_int_equal(pirq_at(b, p, 0), 1);
}

/* Two on one wire: it is low when both are. */
static void test_wired_or(void **state)
{
	struct pci_bench *b = *state;
	struct fake *one = bench_add(b, NULL, 1 << 3, &desc);
	struct fake *two = bench_add(b, NULL, 5 << 3, &desc);

	pci_intx(one->f, true);
	pci_intx(one->f, true);
	pci_intx(two->f, true);
	assert_int_equal(b->pirqs, 0x20);
	pci_intx(one->f, false);
	assert_int_equal(b->pirqs, 0x20);
	pci_intx(two->f, false);
	assert_int_equal(b->pirqs, 0);
}

static void test_intx_gates(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = bench_add(b, NULL, 1 << 3, &desc);
	const struct {
		unsigned at, on, off;
	} gates[] = {
		{COMMAND, INTX_OFF, 0},
		{bench_cap(k, 0x05) + 2, 1, 0},
		{bench_cap(k, 0x11) + 2, ENABLE, 0},
		{bench_cap(k, 0x01) + 4, 3, 0},
	};

	assert_int_equal(get(k, STATUS, 1) & 8, 0);
	pci_intx(k->f, true);
	for (size_t i = 0; i < ARRAY_LEN(gates); i++) {
		assert_int_equal(b->pirqs, 0x20);
		set(k, gates[i].at, gates[i].on, 2);
		assert_int_equal(b->pirqs, 0);
		assert_int_equal(get(k, STATUS, 1) & 8, 8); /* pending all the same */
		set(k, gates[i].at, gates[i].off, 2);
	}
	assert_int_equal(b->pirqs, 0x20);
	pci_intx(k->f, false);
	assert_int_equal(get(k, STATUS, 1) & 8, 0);
}

/* ---- MSI ---- */

static struct fake *add_msi(struct pci_bench *b, unsigned log_enabled)
{
	struct fake *k = bench_add(b, NULL, 1 << 3, &desc);
	unsigned cap = bench_cap(k, 0x05);

	set(k, COMMAND, MASTER_ON | MEM_ON, 2);
	set(k, cap + 4, ADDRESS, 8);
	set(k, cap + 12, 0x4143, 2);
	set(k, cap + 2, 1 | log_enabled << 4, 2);
	return k;
}

static void assert_message(struct pci_bench *b, unsigned i, u64 address, u32 data)
{
	assert_true(i < b->nmessages);
	assert_int_equal(b->messages[i].address, address);
	assert_int_equal(b->messages[i].data, data);
}

static void test_msi(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_msi(b, 2);

	pci_msi(k->f, 0);
	pci_msi(k->f, 2);
	assert_int_equal(b->nmessages, 2);
	assert_message(b, 0, ADDRESS, 0x4140);
	assert_message(b, 1, ADDRESS, 0x4142);
	pci_msi(k->f, MSI_VECTORS); /* out of range */
	pci_msi(k->f, ~0u);
	set(k, COMMAND, MEM_ON, 2); /* no DMA, no message */
	pci_msi(k->f, 0);
	set(k, COMMAND, MEM_ON | MASTER_ON, 2);
	set(k, bench_cap(k, 0x05) + 2, 0, 2);
	pci_msi(k->f, 0);
	assert_int_equal(b->nmessages, 2);
}

static void test_msi_masks(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_msi(b, 2);
	unsigned cap = bench_cap(k, 0x05);

	set(k, cap + 16, 0xffffffff, 4);
	assert_int_equal(get(k, cap + 16, 4), 0x0f);
	pci_msi(k->f, 1);
	pci_msi(k->f, 1);
	pci_msi(k->f, 3);
	assert_int_equal(b->nmessages, 0);
	assert_int_equal(get(k, cap + 20, 4), 0x0a);
	set(k, cap + 20, 0, 4); /* read-only */
	assert_int_equal(get(k, cap + 20, 4), 0x0a);
	set(k, cap + 16, 0x08, 1);
	assert_int_equal(b->nmessages, 1);
	assert_message(b, 0, ADDRESS, 0x4141);
	assert_int_equal(get(k, cap + 20, 4), 0x08);
	set(k, cap + 16, 0, 4);
	assert_int_equal(b->nmessages, 2);
	assert_int_equal(get(k, cap + 20, 4), 0);
}

/* Fewer enabled than asked for: data keeps more of its bits (6.8.1.6). */
static void test_msi_fewer(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_msi(b, 1);

	pci_msi(k->f, 1);
	assert_message(b, 0, ADDRESS, 0x4143);
	pci_msi(k->f, 0);
	assert_message(b, 1, ADDRESS, 0x4142);
}

/* ---- MSI-X ---- */

static u64 entry(unsigned vector)
{
	return TABLE + 16 * vector;
}

static struct fake *add_msix(struct pci_bench *b)
{
	struct fake *k = bench_add(b, NULL, 1 << 3, &desc);

	set(k, BAR0, TABLE, 4);
	set(k, COMMAND, MASTER_ON | MEM_ON, 2);
	set(k, bench_cap(k, 0x11) + 2, ENABLE, 2);
	for (unsigned v = 0; v < VECTORS; v++) {
		assert_int_equal(region_read(&b->memory, entry(v) + 12, 4), 1);
		region_write(&b->memory, entry(v), ADDRESS + 0x1000 * v, 8);
		region_write(&b->memory, entry(v) + 8, 0x40 + v, 4);
	}
	return k;
}

static void test_msix(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_msix(b);

	assert_true(pci_msix_enabled(k->f));
	region_write(&b->memory, entry(3) + 12, 0, 4);
	pci_msi(k->f, 3);
	assert_int_equal(b->nmessages, 1);
	assert_message(b, 0, ADDRESS + 0x3000, 0x43);
	pci_msi(k->f, VECTORS);
	pci_msi(k->f, 63);
	pci_msi(k->f, 64);
	pci_msi(k->f, ~0u);
	assert_int_equal(b->nmessages, 1);
	assert_int_equal(region_read(&b->memory, PBA, 8), 0);
}

static void test_msix_masks(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_msix(b);
	unsigned control = bench_cap(k, 0x11) + 2;

	pci_msi(k->f, 0);
	pci_msi(k->f, 4);
	pci_msi(k->f, 4);
	assert_int_equal(b->nmessages, 0);
	assert_int_equal(region_read(&b->memory, PBA, 8), 0x11);
	assert_int_equal(region_read(&b->memory, PBA + 4, 4), 0);
	region_write(&b->memory, PBA, 0, 8); /* read-only */
	assert_int_equal(region_read(&b->memory, PBA, 4), 0x11);
	region_write(&b->memory, entry(4) + 12, 0, 4);
	assert_int_equal(b->nmessages, 1);
	assert_message(b, 0, ADDRESS + 0x4000, 0x44);
	assert_int_equal(region_read(&b->memory, PBA, 8), 1);
	/* The function's mask is over those of the vectors. */
	set(k, control, ENABLE | MASK_ALL, 2);
	region_write(&b->memory, entry(0) + 12, 0, 4);
	pci_msi(k->f, 4);
	assert_int_equal(b->nmessages, 1);
	assert_int_equal(region_read(&b->memory, PBA, 8), 0x11);
	set(k, control + 1, ENABLE >> 8, 1);
	assert_int_equal(b->nmessages, 3);
	assert_message(b, 1, ADDRESS, 0x40);
	assert_message(b, 2, ADDRESS + 0x4000, 0x44);
	assert_int_equal(region_read(&b->memory, PBA, 8), 0);
}

/* One quadword write of data and control: what goes out is the new message. */
static void test_msix_change_while_pending(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_msix(b);

	pci_msi(k->f, 2);
	region_write(&b->memory, entry(2) + 8, 0x99, 8);
	assert_int_equal(b->nmessages, 1);
	assert_message(b, 0, ADDRESS + 0x2000, 0x99);
}

static void test_msix_table_registers(void **state)
{
	struct pci_bench *b = *state;

	add_msix(b);
	region_write(&b->memory, entry(1), ~0ull, 8);
	assert_int_equal(region_read(&b->memory, entry(1), 8), ~3ull);
	region_write(&b->memory, entry(1) + 8, ~0ull, 8);
	assert_int_equal(region_read(&b->memory, entry(1) + 8, 8), 0x1ffffffffull);
	/* Past the last vector there is nothing. */
	region_write(&b->memory, entry(VECTORS), ~0ull, 8);
	assert_int_equal(region_read(&b->memory, entry(VECTORS), 8), 0);
	region_write(&b->memory, entry(VECTORS) - 4, ~0ull, 8);
	assert_int_equal(region_read(&b->memory, entry(VECTORS), 4), 0);
	region_write(&b->memory, TABLE + 0xffc, ~0ull, 4);
	assert_int_equal(region_read(&b->memory, TABLE + 0xffc, 4), 0);
}

static void test_msix_over_msi(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_msix(b);

	set(k, bench_cap(k, 0x05) + 2, 1, 2);
	pci_msi(k->f, 0);
	assert_int_equal(b->nmessages, 0);
	assert_int_equal(region_read(&b->memory, PBA, 8), 1);
}

static void test_reset_forgets(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_msix(b);

	pci_msi(k->f, 0);
	pci_function_reset(k->f);
	assert_false(pci_msix_enabled(k->f));
	set(k, BAR0, TABLE, 4);
	set(k, COMMAND, MASTER_ON | MEM_ON, 2);
	assert_int_equal(region_read(&b->memory, PBA, 8), 0);
	assert_int_equal(region_read(&b->memory, entry(0), 8), 0);
	assert_int_equal(region_read(&b->memory, entry(0) + 12, 4), 1);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_routing),
		CASE(test_wired_or),
		CASE(test_intx_gates),
		CASE(test_msi),
		CASE(test_msi_masks),
		CASE(test_msi_fewer),
		CASE(test_msix),
		CASE(test_msix_masks),
		CASE(test_msix_change_while_pending),
		CASE(test_msix_table_registers),
		CASE(test_msix_over_msi),
		CASE(test_reset_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
