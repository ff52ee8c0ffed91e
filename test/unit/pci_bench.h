/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_UNIT_PCI_BENCH_H
#define TEST_UNIT_PCI_BENCH_H

#include "bus/pc.h"
#include "bus/pci.h"
#include "host/test/test_host.h"
#include "mem/region.h"

/* A root complex on a bench, with functions that note what reaches them. */
enum { BENCH_FUNCTIONS = 8, BENCH_MESSAGES = 16 };
#define BENCH_MEM64     0x200000000ull
#define BENCH_MEM64_END 0x10000000000ull

/* Offsets that tests name; the rest of PCI's registers are in the specification. */
enum {
	COMMAND = 0x04,
	STATUS = 0x06,
	HEADER = 0x0e,
	BAR0 = 0x10,
	CAPS = 0x34,
	IO_ON = 1,
	MEM_ON = 2,
	MASTER_ON = 4,
	INTX_OFF = 0x400,
};

struct fake {
	struct pci_function *f;
	char name[8];
	unsigned resets, reads, writes;
	unsigned bar, size; /* of the last access */
	u64 off, val;
	unsigned config_off, config_len, config_writes, config_reads;
};

struct pci_bench {
	struct test_host th;
	struct region_map memory, ports;
	struct pci_root *root;
	u8 pirqs; /* levels */
	unsigned nmessages;
	struct alc_msi messages[BENCH_MESSAGES];
	struct fake fakes[BENCH_FUNCTIONS];
	unsigned nfakes;
};

void bench_open(struct pci_bench *b);
void bench_close(struct pci_bench *b);
/* What cmocka calls: *state is the bench. */
int bench_setup(void **state);
int bench_teardown(void **state);

/* Adds a function; parent NULL: on bus 0. Asserts success. */
struct fake *bench_add(struct pci_bench *b, struct fake *parent, int slot,
		       const struct pci_desc *desc);
/* The first capability with that ID: its offset; 0: none. */
unsigned bench_cap(struct fake *k, u8 id);

static inline u64 get(struct fake *k, unsigned off, unsigned size)
{
	return pci_config_read(k->f, off, size);
}

static inline void set(struct fake *k, unsigned off, u64 val, unsigned size)
{
	pci_config_write(k->f, off, val, size);
}

/* What a fake answers at an offset of a BAR, byte by byte. */
static inline u8 bench_byte(unsigned bar, u64 off)
{
	return (u8)(0x10 * (bar + 1) ^ off);
}

u64 bench_bytes(unsigned bar, u64 off, unsigned size);

#endif
