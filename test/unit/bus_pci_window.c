/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who answers where: BARs that move and overlap, bridge windows (PCI-to-PCI Bridge 1.2), ECAM and
 * CF8/CFC, and the addresses that are given without firmware.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/test/sweep.h"
#include "pci_bench.h"

enum { MEM = 0xc0000000, IO = 0x6000, DATA_PORT = 0xcfc };

static const struct pci_bar_desc bars[] = {
	{0, PCI_BAR_MEM32, 0x1000},
	{1, PCI_BAR_IO, 16},
	{2, PCI_BAR_MEM64, 0x10000},
};
static const struct pci_desc desc = {
	.vendor = 0x1234,
	.device = 0x5678,
	.bars = bars,
	.nbars = ARRAY_LEN(bars),
	.intx = true,
	.msix = 3,
	.msix_bar = 4,
};
static const struct pci_desc port = {.kind = PCI_ROOT_PORT, .vendor = 0xabcd, .device = 1};

static u64 mem(struct pci_bench *b, u64 addr, unsigned size)
{
	return region_read(&b->memory, addr, size);
}

static u64 io(struct pci_bench *b, u64 addr, unsigned size)
{
	return region_read(&b->ports, addr, size);
}

static struct fake *add_mapped(struct pci_bench *b, u64 at)
{
	struct fake *k = bench_add(b, NULL, PCI_SLOT_AUTO, &desc);

	set(k, BAR0, at, 4);
	set(k, BAR0 + 4, IO, 4);
	set(k, BAR0 + 8, BENCH_MEM64, 8);
	set(k, COMMAND, MEM_ON | IO_ON, 2);
	return k;
}

static void test_decoding_needs_its_bit(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_mapped(b, MEM);

	assert_int_equal(mem(b, MEM + 8, 4), bench_bytes(0, 8, 4));
	assert_int_equal(io(b, IO + 3, 1), bench_byte(1, 3));
	assert_int_equal(mem(b, BENCH_MEM64 + 0xff8, 8), bench_bytes(2, 0xff8, 8));
	set(k, COMMAND, MEM_ON, 2);
	assert_int_equal(io(b, IO + 3, 1), 0xff);
	assert_int_equal(mem(b, MEM, 1), bench_byte(0, 0));
	set(k, COMMAND, IO_ON, 2);
	assert_int_equal(io(b, IO + 3, 1), bench_byte(1, 3));
	assert_int_equal(mem(b, MEM, 1), 0xff);
	assert_int_equal(mem(b, BENCH_MEM64, 8), ~0ull);
	region_write(&b->memory, MEM, 1, 4);
	assert_int_equal(k->writes, 0);
}

static void test_writes_arrive(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_mapped(b, MEM);

	region_write(&b->memory, BENCH_MEM64 + 0x1234, 0x1122334455667788ull, 8);
	assert_true(k->bar == 2 && k->off == 0x1234 && k->size == 8);
	assert_true(k->val == 0x1122334455667788ull);
	region_write(&b->ports, IO + 1, 0xab, 1);
	assert_true(k->bar == 1 && k->off == 1 && k->size == 1 && k->val == 0xab);
	assert_int_equal(k->writes, 2);
}

/* While it decodes: half of an address at a time, and back. */
static void test_moving(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_mapped(b, MEM);

	set(k, BAR0, MEM + 0x5000, 4);
	assert_int_equal(mem(b, MEM, 1), 0xff);
	assert_int_equal(mem(b, MEM + 0x5001, 1), bench_byte(0, 1));
	set(k, BAR0 + 12, (BENCH_MEM64 >> 32) + 1, 4);
	assert_int_equal(mem(b, BENCH_MEM64, 1), 0xff);
	assert_int_equal(mem(b, BENCH_MEM64 + (1ull << 32), 1), bench_byte(2, 0));
	set(k, BAR0, 0xffffffff, 4); /* sizing */
	assert_int_equal(mem(b, MEM + 0x5001, 1), 0xff);
	set(k, BAR0, 0, 4); /* where RAM is, if it is anywhere */
	assert_int_equal(mem(b, MEM + 0x5001, 1), 0xff);
	set(k, BAR0, MEM, 4);
	assert_int_equal(mem(b, MEM, 1), bench_byte(0, 0));
}

/* The function made first answers; when it goes away the other does. */
static void test_overlap(void **state)
{
	struct pci_bench *b = *state;
	struct fake *first = add_mapped(b, MEM), *second = add_mapped(b, MEM);

	region_write(&b->memory, MEM + 4, 1, 4);
	assert_true(first->writes == 1 && second->writes == 0);
	set(first, COMMAND, 0, 2);
	region_write(&b->memory, MEM + 4, 1, 4);
	assert_true(first->writes == 1 && second->writes == 1);
	set(first, COMMAND, MEM_ON, 2);
	region_write(&b->memory, MEM + 4, 1, 4);
	assert_true(first->writes == 2 && second->writes == 1);
}

/* What crosses the end of a BAR goes to both sides, byte by byte. */
static void test_edges(void **state)
{
	struct pci_bench *b = *state;

	add_mapped(b, MEM);
	assert_int_equal(mem(b, MEM - 2, 4), bench_bytes(0, 0, 2) << 16 | 0xffff);
	assert_int_equal(mem(b, MEM + 0xffe, 4), bench_bytes(0, 0xffe, 2) | 0xffff0000);
	add_mapped(b, MEM + 0x1000);
	assert_int_equal(mem(b, MEM + 0xffe, 4), bench_bytes(0, 0xffe, 2) | bench_bytes(0, 0, 2)
										    << 16);
	assert_int_equal(mem(b, PC_PCI_MEM_END - 2, 4), 0xffffffff);
	assert_int_equal(mem(b, PC_PCI_MEM_END - 8, 8), ~0ull);
	assert_int_equal(io(b, 0xfffc, 4), 0xffffffff);
}

static void test_sleeping_function(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = add_mapped(b, MEM);
	unsigned pm = bench_cap(k, 0x01);

	set(k, COMMAND, MEM_ON | MASTER_ON, 2);
	assert_true(pci_bus_master(k->f));
	set(k, pm + 4, 3, 2);
	assert_int_equal(mem(b, MEM, 4), 0xffffffff);
	assert_false(pci_bus_master(k->f));
	assert_int_equal(get(k, BAR0, 4), MEM);
	set(k, pm + 4, 0, 2);
	assert_int_equal(mem(b, MEM, 4), bench_bytes(0, 0, 4));
	assert_true(pci_bus_master(k->f));
}

/* ---- configuration space by address ---- */

static u64 ecam(unsigned bus, unsigned devfn, unsigned off)
{
	return PC_ECAM_BASE | bus << 20 | devfn << 12 | off;
}

static void test_ecam(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = bench_add(b, NULL, 2 << 3, &desc);

	bench_add(b, NULL, 2 << 3 | 1, &desc);
	assert_int_equal(mem(b, ecam(0, 2 << 3, 0), 4), 0x56781234);
	assert_int_equal(mem(b, ecam(0, 2 << 3, 1), 2), 0x7812);
	assert_int_equal(mem(b, ecam(0, 3 << 3, 0), 8), ~0ull);
	assert_int_equal(mem(b, ecam(1, 2 << 3, 0), 4), 0xffffffff);
	region_write(&b->memory, ecam(0, 2 << 3, BAR0 + 8), BENCH_MEM64, 8);
	assert_int_equal(get(k, BAR0 + 8, 8), BENCH_MEM64 | 0xc);
	/* Across two functions, and across nobody and one. */
	assert_int_equal(mem(b, ecam(0, 2 << 3, 0xffe), 4), 0x12340000);
	assert_int_equal(mem(b, ecam(0, 1 << 3 | 7, 0xffe), 4), 0x1234ffff);
	pci_set_ecam(b->root, false, 0);
	assert_int_equal(mem(b, ecam(0, 2 << 3, 0), 4), 0xffffffff);
	pci_set_ecam(b->root, true, 0xe0000000);
	assert_int_equal(mem(b, 0xe0000000 | 2 << 15, 4), 0x56781234);
	assert_int_equal(mem(b, ecam(0, 2 << 3, 0), 4), 0xffffffff);
}

static void test_mechanism_1(void **state)
{
	struct pci_bench *b = *state;
	struct fake *k = bench_add(b, NULL, 2 << 3 | 1, &desc);
	u32 address = 0x80000000 | (2 << 3 | 1) << 8;

	assert_int_equal(io(b, DATA_PORT, 4), 0xffffffff);
	pci_set_address(b->root, address);
	assert_int_equal(io(b, DATA_PORT, 4), 0x56781234);
	assert_int_equal(io(b, DATA_PORT + 1, 1), 0x12);
	assert_int_equal(io(b, DATA_PORT + 2, 2), 0x5678);
	pci_set_address(b->root, address | BAR0);
	region_write(&b->ports, DATA_PORT + 2, 0xc123, 2);
	assert_int_equal(get(k, BAR0, 4), 0xc1230000);
	pci_set_address(b->root, address & ~0x80000000u); /* disabled */
	assert_int_equal(io(b, DATA_PORT, 4), 0xffffffff);
	region_write(&b->ports, DATA_PORT, 0, 4);
	pci_set_address(b->root, address | 1 << 16); /* another bus */
	assert_int_equal(io(b, DATA_PORT, 4), 0xffffffff);
}

/* ---- root ports ---- */

static void open_port(struct fake *p)
{
	set(p, 0x18, 0x050500, 4);
	set(p, 0x1c, 0x6060, 2);
	set(p, 0x20, 0xc000c000, 4);
	set(p, 0x24, 0x00000000, 4);
	set(p, 0x28, (u64)(BENCH_MEM64 >> 32) * 0x100000001ull, 8);
	set(p, COMMAND, MEM_ON | IO_ON | MASTER_ON, 2);
}

static struct fake *add_behind(struct pci_bench *b, struct fake *p)
{
	struct fake *k = bench_add(b, p, 0, &desc);

	set(k, BAR0, MEM, 4);
	set(k, BAR0 + 4, IO, 4);
	set(k, BAR0 + 8, BENCH_MEM64, 8);
	set(k, COMMAND, MEM_ON | IO_ON | MASTER_ON, 2);
	return k;
}

static void test_bus_numbers(void **state)
{
	struct pci_bench *b = *state;
	struct fake *p = bench_add(b, NULL, 4 << 3, &port), *k = bench_add(b, p, 0, &desc);

	assert_int_equal(get(p, HEADER, 1), 1);
	assert_int_equal(mem(b, ecam(5, 0, 0), 4), 0xffffffff);
	set(p, 0x18, 0x050500, 4);
	assert_int_equal(mem(b, ecam(5, 0, 0), 4), 0x56781234);
	assert_int_equal(mem(b, ecam(5, 1 << 3, 0), 4), 0xffffffff);
	assert_int_equal(mem(b, ecam(4, 0, 0), 4), 0xffffffff);
	set(p, 0x19, 9, 1);
	assert_int_equal(mem(b, ecam(5, 0, 0), 4), 0xffffffff);
	assert_int_equal(mem(b, ecam(9, 0, 0), 4), 0x56781234);
	assert_int_equal(get(k, bench_cap(k, 0x10) + 2, 2), 0x0002); /* endpoint with a link */
	assert_int_equal(get(p, bench_cap(p, 0x10) + 2, 2), 0x0042);
}

static void test_port_windows(void **state)
{
	struct pci_bench *b = *state;
	struct fake *p = bench_add(b, NULL, 4 << 3, &port), *k = add_behind(b, p);

	assert_int_equal(mem(b, MEM, 4), 0xffffffff); /* all shut */
	assert_int_equal(io(b, IO, 4), 0xffffffff);
	open_port(p);
	assert_int_equal(mem(b, MEM, 4), bench_bytes(0, 0, 4));
	assert_int_equal(mem(b, BENCH_MEM64 + 4, 4), bench_bytes(2, 4, 4));
	assert_int_equal(io(b, IO, 4), bench_bytes(1, 0, 4));
	set(p, 0x20, 0xc010c010, 4); /* the memory window goes elsewhere */
	assert_int_equal(mem(b, MEM, 4), 0xffffffff);
	assert_int_equal(mem(b, BENCH_MEM64 + 4, 4), bench_bytes(2, 4, 4));
	set(k, BAR0, MEM + 0x100000, 4);
	assert_int_equal(mem(b, MEM + 0x100000, 4), bench_bytes(0, 0, 4));
	set(p, 0x1c, 0x0060, 2); /* base above limit */
	set(p, 0x1c, 0x6070, 2);
	assert_int_equal(io(b, IO, 4), 0xffffffff);
	set(p, 0x2c, 0, 4); /* limit of the prefetchable window below its base */
	assert_int_equal(mem(b, BENCH_MEM64 + 4, 4), 0xffffffff);
	set(p, COMMAND, 0, 2);
	assert_int_equal(mem(b, MEM + 0x100000, 4), 0xffffffff);
}

static void test_port_gates_dma(void **state)
{
	struct pci_bench *b = *state;
	struct fake *p = bench_add(b, NULL, 4 << 3, &port), *k = add_behind(b, p);

	assert_false(pci_bus_master(k->f));
	open_port(p);
	assert_true(pci_bus_master(k->f));
	set(p, bench_cap(p, 0x01) + 4, 3, 2);
	assert_false(pci_bus_master(k->f));
	assert_int_equal(mem(b, MEM, 4), 0xffffffff);
}

static void test_secondary_bus_reset(void **state)
{
	struct pci_bench *b = *state;
	struct fake *p = bench_add(b, NULL, 4 << 3, &port), *k = add_behind(b, p);

	open_port(p);
	set(p, 0x3e, 0x40, 2);
	assert_true(k->resets == 1 && p->resets == 0);
	assert_int_equal(get(k, COMMAND, 2), 0);
	set(p, 0x3e, 0x40, 2); /* held */
	assert_int_equal(k->resets, 1);
	set(p, 0x3e, 0, 2);
	set(p, 0x3e, 0x40, 2);
	assert_int_equal(k->resets, 2);
}

/* ---- without firmware ---- */

static void check_assigned(struct pci_bench *b, struct fake *k)
{
	u64 low = get(k, BAR0, 4), ports = get(k, BAR0 + 4, 4) & ~3ull;
	u64 high = get(k, BAR0 + 8, 8) & ~15ull;

	assert_int_equal(mem(b, low + 4, 4), bench_bytes(0, 4, 4));
	assert_int_equal(io(b, ports + 4, 4), bench_bytes(1, 4, 4));
	assert_int_equal(mem(b, high + 4, 4), bench_bytes(2, 4, 4));
	for (unsigned i = 0; i < b->nfakes; i++)
		assert_int_equal(b->fakes[i].reads, &b->fakes[i] == k ? 3 : 0);
	k->reads = 0;
}

static void test_assignment(void **state)
{
	struct pci_bench *b = *state;
	struct fake *a = bench_add(b, NULL, 2 << 3, &desc);
	struct fake *p = bench_add(b, NULL, 3 << 3, &port), *q = bench_add(b, NULL, 4 << 3, &port);
	struct fake *behind = bench_add(b, q, 0, &desc);

	for (unsigned round = 0; round < 2; round++) {
		pci_assign(b->root);
		check_assigned(b, a);
		check_assigned(b, behind);
		assert_int_equal(mem(b, ecam(2, 0, 0), 4), 0x56781234);
		/* Shut windows are shut in their lower halves: software may look at those alone. */
		assert_true(get(p, 0x1c, 1) > get(p, 0x1d, 1));
		assert_true(get(p, 0x20, 2) > get(p, 0x22, 2));
		assert_true((get(p, 0x24, 2) & ~15ull) > (get(p, 0x26, 2) & ~15ull));
		assert_true(get(p, 0x28, 8) == 0);
		assert_int_equal(get(a, COMMAND, 2), MEM_ON | IO_ON);
		assert_int_equal(get(q, COMMAND, 2), MEM_ON | IO_ON | MASTER_ON);
		for (unsigned i = 0; i < b->nfakes; i++)
			pci_function_reset(b->fakes[i].f);
	}
}

static int create_once(const struct alc_host *host, void *arg, struct alc_err *err)
{
	static const struct pci_ops no_ops;
	struct pci_root_params p = {
		.host = host,
		.mem32_base = PC_LOW_RAM_MAX,
		.mem32_end = PC_PCI_MEM_END,
		.mem64_base = BENCH_MEM64,
		.mem64_end = BENCH_MEM64_END,
		.io_base = PC_PCI_IO_BASE,
		.ecam_base = PC_ECAM_BASE,
	};
	struct region_map memory, ports;
	struct pci_root *root = NULL;
	struct pci_function *f = NULL;
	int r;

	region_map_init(&memory, host);
	region_map_init(&ports, host);
	r = pci_root_create(&p, &memory, &ports, &root, err);
	if (!r)
		r = pci_function_create(root, NULL, PCI_SLOT_AUTO, &desc, &no_ops, NULL, "swept",
					&f, err);
	pci_function_destroy(f);
	pci_root_destroy(root);
	assert_int_equal(memory.count + ports.count, 0);
	region_map_fini(&memory);
	region_map_fini(&ports);
	return r;
}

static void test_failing_host(void **state)
{
	const struct sweep s = {.run = create_once, .has_err = true};

	assert_true(sweep(&s) >= 4);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_decoding_needs_its_bit),
		CASE(test_writes_arrive),
		CASE(test_moving),
		CASE(test_overlap),
		CASE(test_edges),
		CASE(test_sleeping_function),
		CASE(test_ecam),
		CASE(test_mechanism_1),
		CASE(test_bus_numbers),
		CASE(test_port_windows),
		CASE(test_port_gates_dma),
		CASE(test_secondary_bus_reset),
		CASE(test_assignment),
		cmocka_unit_test(test_failing_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
