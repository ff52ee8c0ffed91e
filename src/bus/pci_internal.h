/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BUS_PCI_INTERNAL_H
#define BUS_PCI_INTERNAL_H

#include <stdatomic.h>

#include "bus/pci.h"
#include "mem/region.h"

/* What the files of the root complex share; private to bus/pci*.c. */

/* Configuration registers (PCI 3.0 chapter 6; bridges: PCI-to-PCI Bridge 1.2 chapter 3). */
enum {
	REG_VENDOR = 0x00,
	REG_DEVICE = 0x02,
	REG_COMMAND = 0x04,
	REG_STATUS = 0x06,
	REG_REVISION = 0x08,
	REG_CLASS = 0x09,
	REG_CACHE_LINE = 0x0c,
	REG_HEADER = 0x0e,
	REG_BAR = 0x10,
	REG_SUBVENDOR = 0x2c,
	REG_SUBDEVICE = 0x2e,
	REG_CAPS = 0x34,
	REG_IRQ_LINE = 0x3c,
	REG_IRQ_PIN = 0x3d,
	/* Type 1 */
	REG_BUS_PRIMARY = 0x18,
	REG_BUS_SECONDARY = 0x19,
	REG_BUS_SUBORDINATE = 0x1a,
	REG_IO_BASE = 0x1c,
	REG_IO_LIMIT = 0x1d,
	REG_MEM_BASE = 0x20,
	REG_MEM_LIMIT = 0x22,
	REG_PREF_BASE = 0x24,
	REG_PREF_LIMIT = 0x26,
	REG_PREF_BASE_HIGH = 0x28,
	REG_PREF_LIMIT_HIGH = 0x2c,
	REG_IO_BASE_HIGH = 0x30,
	REG_IO_LIMIT_HIGH = 0x32,
	REG_BRIDGE_CONTROL = 0x3e,
	REG_OWN = 0x40, /* capabilities and what else a device has */
};

enum {
	CMD_IO = 1,
	CMD_MEMORY = 2,
	CMD_MASTER = 4,
	CMD_WRITABLE = 0x0547, /* with parity, SERR#, INTx disable */
	CMD_INTX_OFF = 0x400,
	STATUS_INTX = 0x08,
	STATUS_CAPS = 0x10,
	STATUS_CLEARABLE = 0xf900,
	HEADER_BRIDGE = 1,
	HEADER_MULTIFUNCTION = 0x80,
	BRIDGE_BUS_RESET = 0x40,
};

enum { CAP_PM = 0x01, CAP_MSI = 0x05, CAP_EXP = 0x10, CAP_MSIX = 0x11 };

enum {
	FUNCTIONS_MAX = 64,
	MAPPINGS_MAX = FUNCTIONS_MAX * PCI_BARS,
	PIRQS = 8,
	INTX_PINS = 4,
	MSIX_ENTRY = 16,
	MSIX_BAR_SIZE = 4096,
	MSIX_PBA = 2048,
	NO_CAP = 0,
};

/* What a guest can observe of a function. */
struct pci_state {
	u8 config[PCI_CONFIG_SIZE];
	u8 msix_table[PCI_MSIX_VECTORS_MAX * MSIX_ENTRY];
	u64 msix_pending;
	u8 intx; /* as the device drives it */
};

struct pci_function {
	struct pci_root *root;
	struct pci_function *parent; /* a root port, or NULL: on bus 0 */
	u8 devfn;
	const char *name;
	const struct pci_desc *desc;
	const struct pci_ops *ops;
	void *ctx;
	struct pci_state state;
	u8 writable[PCI_CONFIG_SIZE], clearable[PCI_CONFIG_SIZE];
	u64 bar_size[PCI_BARS]; /* 0: no BAR, or the upper half of one */
	u8 bar_kind[PCI_BARS];
	u64 bar_at[PCI_BARS], bar_told[PCI_BARS]; /* where it decodes; as bar_mapped heard it */
	u16 cap_pm, cap_msi, cap_exp, cap_msix;   /* NO_CAP: none */
	u16 caps_at[16];                          /* of desc->caps */
	int pirq;                                 /* that INTA# drives now, or -1 */
	bool multifunction;                       /* its device has other functions */
};

/* One BAR that decodes. Fields are atomic for readers without the lock, see pci_window.c. */
struct pci_mapping {
	_Atomic(u64) base, size;
	_Atomic(struct pci_function *) f;
	_Atomic(u32) bar;
};

struct pci_table {
	struct pci_mapping entry[MAPPINGS_MAX];
	_Atomic(u32) count;
};

struct pci_root {
	struct pci_root_params p;
	struct alc_mutex *lock;
	struct region_map *memory, *ports;
	struct pci_function *functions[FUNCTIONS_MAX]; /* in order of creation */
	unsigned nfunctions;
	_Atomic(u32) address;  /* CF8 */
	_Atomic(u64) ecam;     /* base, or ~0: off */
	_Atomic(u32) sequence; /* odd while the tables are rebuilt */
	struct pci_table io, mem;
	u8 pirq_count[PIRQS]; /* functions that assert it */
};

static inline void pci_lock(struct pci_root *r)
{
	host_lock(r->p.host, r->lock);
}

static inline void pci_unlock(struct pci_root *r)
{
	host_unlock(r->p.host, r->lock);
}

static inline u16 config16(const struct pci_function *f, unsigned off)
{
	return ld16(f->state.config + off);
}

static inline u32 config32(const struct pci_function *f, unsigned off)
{
	return ld32(f->state.config + off);
}

/* pci_caps.c: builds configuration space from the description. */
void pci_build(struct pci_function *f);
/* The power control register; after a write to it: a state that is not there is not entered. */
u8 pci_power(const struct pci_function *f);
void pci_power_written(struct pci_function *f, u8 before);
/* In D3hot a function takes nothing but configuration accesses. */
bool pci_awake(const struct pci_function *f);

/* pci_window.c: lock held, after anything that decides what decodes where. */
void pci_remap(struct pci_root *r);
u64 pci_bar_address(const struct pci_function *f, unsigned bar);
int pci_windows_add(struct pci_root *r, struct alc_err *err);
void pci_windows_remove(struct pci_root *r);

/* pci_msi.c: lock held. */
bool pci_msi_on(const struct pci_function *f);
bool pci_msix_on(const struct pci_function *f);
/* Sends what is pending and no longer masked. */
void pci_flush_pending(struct pci_function *f);
u64 pci_msix_read(struct pci_function *f, u64 off, unsigned size);
void pci_msix_write(struct pci_function *f, u64 off, u64 val, unsigned size);

/* pci.c: lock held; drives the PIRQ as state and configuration say. */
void pci_update_intx(struct pci_function *f);
struct pci_function *pci_find(struct pci_root *r, unsigned bus, unsigned devfn);
/* Which of PIRQ A-H its INTA# is. */
unsigned pci_pirq(const struct pci_function *f);

#endif
