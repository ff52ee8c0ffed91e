/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BUS_PCI_INTERNAL_H
#define BUS_PCI_INTERNAL_H

#include <stdatomic.h>

#include "bus/pci_regs.h"
#include "bus/pci_root.h"

/* Between the files of PCI. Where a comment says "locked", the caller holds the root's lock. */
enum {
	CONFIG_SIZE = 256,   /* what a function has registers in … */
	CONFIG_SPACE = 4096, /* … of what can be addressed, where the rest reads as zero */
	FUNCTIONS_MAX = 96,
	CAPS_MAX = 16,
	WINDOW_PARTS_MAX = 48,
	MSIX_ENTRY = 16,
	MSIX_BAR_SIZE = 4096,
	MSIX_PBA_AT = 2048,
	SLOT_ANY_FUNCTION = 8,
};

struct pci_state {
	u8 config[CONFIG_SIZE];
	u8 msix_table[PCI_MSIX_VECTORS_MAX * MSIX_ENTRY];
	u64 msix_pending;
};

struct pci_function {
	struct pci_root *root;
	struct pci_function *port; /* the root port it is behind, or NULL */
	const struct pci_desc *desc;
	const struct pci_ops *ops;
	void *ctx;
	const char *name;
	u8 devfn;
	struct pci_state s;
	/* What configuration space is after a reset, and what writes do to its bits. */
	u8 initial[CONFIG_SIZE], writable[CONFIG_SIZE], w1c[CONFIG_SIZE];
	bool own[CONFIG_SIZE]; /* bytes that are the class's */
	u64 bar_size[PCI_BARS];
	u8 bar_kind[PCI_BARS];
	u8 pm, express, msi, msix; /* where these capabilities lie; 0: none */
	u8 caps[CAPS_MAX];
	_Atomic(bool) master;
	bool drives_pirq;
};

/* Who answers at [first, last]: bytes of f's BAR that begins at base. */
struct pci_range {
	u64 first, last, base;
	struct pci_function *f;
	u64 bar;
};

enum { RANGE_WORDS = 5 };
_Static_assert(sizeof(struct pci_range) == RANGE_WORDS * sizeof(u64), "copied by words");

/* Ranges, sorted and disjoint, read while they change: see pci_decode.c. */
struct pci_table {
	size_t cap;
	_Atomic(u64) count;
	_Atomic(u64) *words;
};

enum { TABLE_MEM, TABLE_IO, TABLES };

/* A part of a window, which a region of the machine's maps points to. */
struct pci_part {
	struct pci_root *root;
	u64 base;
};

struct pci_root {
	const struct alc_host *host;
	struct pci_sinks sinks;
	struct alc_mutex *lock;
	struct pci_function *functions[FUNCTIONS_MAX]; /* in the order of creation */
	unsigned nfunctions;

	struct pci_table tables[TABLES];
	struct pci_range *scratch;
	_Atomic(u32) seq; /* odd: the tables are being changed */

	unsigned pirq_count[PC_PIRQS]; /* functions that drive it */
	i8 route[PC_PIRQS];
	u16 isa_lines; /* as driven */

	_Atomic(u32) address;
	_Atomic(u64) ecam; /* base | log2 of the size; 0: none */
	struct pci_part parts[WINDOW_PARTS_MAX];
	unsigned nparts;
};

static inline void root_lock(const struct pci_root *root)
{
	host_lock(root->host, root->lock);
}

static inline void root_unlock(const struct pci_root *root)
{
	host_unlock(root->host, root->lock);
}

/* In power state D0, and so is the port on the way. Locked. */
bool function_awake(const struct pci_function *f);

/* pci_layout.c: configuration space from a description. */
int function_lay_out(struct pci_function *f, struct alc_err *err) ALC_MUST_CHECK;

/* pci_decode.c. `update`: after a change of BARs, bridge windows or what enables them. Locked. */
int tables_create(struct pci_root *root, struct alc_err *err) ALC_MUST_CHECK;
void tables_destroy(struct pci_root *root);
void tables_update(struct pci_root *root);
u64 function_bar(const struct pci_function *f, unsigned bar);

/* pci_irq.c. Locked. */
void intx_update(struct pci_function *f);
void intx_update_all(struct pci_root *root);
void msi_flush(struct pci_function *f);
void msix_reset(struct pci_function *f);
bool msix_takes_bar(const struct pci_function *f, unsigned bar);
u64 msix_bar_read(struct pci_function *f, u64 off, unsigned size);
void msix_bar_write(struct pci_function *f, u64 off, u64 val, unsigned size);

/* pci_config.c. Locked: all that depends on configuration space, after a change. */
void function_settle(struct pci_function *f);
void function_clear(struct pci_function *f);

#endif
