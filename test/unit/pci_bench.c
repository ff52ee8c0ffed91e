/* SPDX-License-Identifier: BSD-2-Clause */
#include "pci_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

u64 bench_bytes(unsigned bar, u64 off, unsigned size)
{
	u64 val = 0;

	for (unsigned i = 0; i < size; i++)
		val |= (u64)bench_byte(bar, off + i) << 8 * i;
	return val;
}

static u64 bar_read(void *ctx, unsigned bar, u64 off, unsigned size)
{
	struct fake *k = ctx;

	k->reads++;
	return bench_bytes(bar, off, size);
}

static void bar_write(void *ctx, unsigned bar, u64 off, u64 val, unsigned size)
{
	struct fake *k = ctx;

	k->writes++;
	k->bar = bar;
	k->off = off;
	k->val = val;
	k->size = size;
}

static void function_reset(void *ctx)
{
	struct fake *k = ctx;

	k->resets++;
	pci_intx(k->f, false);
}

static void config_written(void *ctx, unsigned off, unsigned len)
{
	struct fake *k = ctx;

	k->config_writes++;
	k->config_off = off;
	k->config_len = len;
}

static void config_reading(void *ctx, unsigned off, unsigned len)
{
	struct fake *k = ctx;

	k->config_reads++;
}

static const struct pci_ops ops = {
	.bar_read = bar_read,
	.bar_write = bar_write,
	.reset = function_reset,
	.config_written = config_written,
	.config_reading = config_reading,
};

static void on_pirq(void *ctx, unsigned line, bool level)
{
	struct pci_bench *b = ctx;

	b->pirqs = (u8)((b->pirqs & ~(1u << line)) | (unsigned)level << line);
}

static void on_message(void *ctx, struct alc_msi msg)
{
	struct pci_bench *b = ctx;

	assert_true(b->nmessages < BENCH_MESSAGES);
	b->messages[b->nmessages++] = msg;
}

void bench_open(struct pci_bench *b)
{
	struct pci_root_params p = {
		.mem32_base = PC_LOW_RAM_MAX,
		.mem32_end = PC_PCI_MEM_END,
		.mem64_base = BENCH_MEM64,
		.mem64_end = BENCH_MEM64_END,
		.io_base = PC_PCI_IO_BASE,
		.ecam_base = PC_ECAM_BASE,
		.msi = {.deliver = on_message, .ctx = b},
	};

	memset(b, 0, sizeof(*b));
	test_host_init(&b->th, TEST_TIME_MANUAL);
	p.host = &b->th.host;
	region_map_init(&b->memory, p.host);
	region_map_init(&b->ports, p.host);
	for (unsigned i = 0; i < ARRAY_LEN(p.pirq); i++)
		p.pirq[i] = (struct alc_irq){on_pirq, b, i};
	assert_int_equal(pci_root_create(&p, &b->memory, &b->ports, &b->root, NULL), 0);
}

void bench_close(struct pci_bench *b)
{
	while (b->nfakes)
		pci_function_destroy(b->fakes[--b->nfakes].f);
	assert_int_equal(b->pirqs, 0);
	pci_root_destroy(b->root);
	region_map_fini(&b->memory);
	region_map_fini(&b->ports);
	assert_int_equal(test_host_leaks(&b->th), 0);
	test_host_fini(&b->th);
}

int bench_setup(void **state)
{
	struct pci_bench *b = malloc(sizeof(*b));

	assert_non_null(b);
	bench_open(b);
	*state = b;
	return 0;
}

int bench_teardown(void **state)
{
	bench_close(*state);
	free(*state);
	return 0;
}

struct fake *bench_add(struct pci_bench *b, struct fake *parent, int slot,
		       const struct pci_desc *desc)
{
	struct fake *k = &b->fakes[b->nfakes];
	struct alc_err err = {0};

	assert_true(b->nfakes < BENCH_FUNCTIONS);
	snprintf(k->name, sizeof(k->name), "f%u", b->nfakes);
	if (pci_function_create(b->root, parent ? parent->f : NULL, slot, desc, &ops, k, k->name,
				&k->f, &err))
		fail_msg("%s", err.text);
	b->nfakes++;
	return k;
}

unsigned bench_cap(struct fake *k, u8 id)
{
	unsigned off = (unsigned)get(k, CAPS, 1);

	for (unsigned n = 0; off; n++) {
		assert_true(n < 48 && off >= 0x40 && off % 4 == 0);
		if (get(k, off, 1) == id)
			return off;
		off = (unsigned)get(k, off + 1, 1);
	}
	return 0;
}
