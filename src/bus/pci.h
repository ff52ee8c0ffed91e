/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BUS_PCI_H
#define BUS_PCI_H

#include "alcazar/err.h"
#include "base/bits.h"
#include "base/field.h"
#include "bus/irq.h"
#include "host/host.h"

/*
 * PCI Express (PCI Express Base 5.0, PCI Local Bus 3.0): one root complex with its functions.
 *
 * A function declares what it is (struct pci_desc); configuration space, sizing and moving of
 * BARs, INTx, MSI, MSI-X and capabilities are made here from that. Configuration accesses of any
 * size and alignment, by CF8/CFC or through ECAM, become byte writes under a mask.
 *
 * BARs do not enter the machine's region maps, which never change while it runs. The root
 * complex owns three fixed windows there (I/O, memory below 4 GiB, memory above RAM), looks up
 * in a table of its own who answers, and lets that table change at any time.
 *
 * Threading: all functions from any thread. The root complex has a lock of its own, which is
 * never held while a function's ops are called: ops take the device's lock themselves.
 */
struct pci_root;
struct pci_function;

enum pci_bar_kind {
	PCI_BAR_MEM32,
	PCI_BAR_MEM64, /* prefetchable; takes two registers */
	PCI_BAR_IO,
};

struct pci_bar_desc {
	u8 bar; /* register 0-5 */
	u8 kind;
	u64 size; /* a power of two */
};

/* A capability: its bytes after ID and next pointer, and which of their bits are writable. */
struct pci_cap_desc {
	u8 id, len;
	const u8 *bytes, *writable; /* len bytes each; writable NULL: none */
};

/* A register that the class describes itself: `size` bytes at `off`, 0x40 up. */
struct pci_reg_desc {
	u16 off;
	u8 size; /* 1, 2 or 4 */
	u32 initial, writable;
};

enum { PCI_BARS = 6, PCI_MSIX_VECTORS_MAX = 64, PCI_CONFIG_SIZE = 4096 };

enum pci_kind {
	PCI_ENDPOINT,
	PCI_CHIPSET,   /* no capabilities: registers by pci_desc.regs alone */
	PCI_ROOT_PORT, /* a bridge to a bus of its own */
};

struct pci_desc {
	u8 kind; /* enum pci_kind */
	u16 vendor, device, subvendor, subdevice;
	u8 revision;
	u32 class_code;                  /* 24 bits: base class, subclass, interface */
	const struct pci_bar_desc *bars; /* besides the one for MSI-X */
	u8 nbars;
	const struct pci_cap_desc *caps; /* besides PCI Express, MSI, MSI-X, power management */
	u8 ncaps;
	const struct pci_reg_desc *regs;
	u8 nregs;
	bool intx; /* drives INTA# */
	u8 msi;    /* MSI vectors, a power of two; 0: no MSI */
	/* MSI-X vectors, 0: no MSI-X. Table and PBA fill a 32-bit memory BAR of their own. */
	u8 msix, msix_bar;
};

/* What a function does; ctx is the device's. bar_read and bar_write: offset within the BAR. */
struct pci_ops {
	u64 (*bar_read)(void *ctx, unsigned bar, u64 off, unsigned size);
	void (*bar_write)(void *ctx, unsigned bar, u64 off, u64 val, unsigned size);
	/* Function-level reset (PCI Express 6.6.2): the device, its configuration space is done. */
	void (*reset)(void *ctx);
	/*
	 * Optional: accesses to the function's own capabilities (pci_desc.caps) or to device-
	 * specific registers (0x40 up, no capability there) went through: bytes [off, off+len)
	 * were written; or are about to be read.
	 */
	void (*config_written)(void *ctx, unsigned off, unsigned len);
	void (*config_reading)(void *ctx, unsigned off, unsigned len);
	/*
	 * Optional: the BAR is now decoded at base, or (PCI_UNMAPPED) nowhere. Called with the root
	 * complex's lock held, perhaps without the device's: calls only downwards.
	 */
	void (*bar_mapped)(void *ctx, unsigned bar, u64 base);
};
#define PCI_UNMAPPED UINT64_MAX

/* Where a machine's root complex stands. */
struct pci_root_params {
	const struct alc_host *host;
	/* Windows: where BARs can be reached, once assigned. Memory below 4 GiB has ECAM too. */
	u64 mem32_base, mem32_end, mem64_base, mem64_end;
	u16 io_base;   /* to the end of I/O space */
	u64 ecam_base; /* initial; pci_set_ecam moves it */
	struct alc_msi_sink msi;
	/* The level of PIRQ A-H (0-7), from INTx; a sink as in bus/irq.h. */
	struct alc_irq pirq[8];
};

struct region_map;

/*
 * Creates a root complex and adds its windows to the maps of memory and ports. The machine's
 * region maps must outlive it.
 */
int pci_root_create(const struct pci_root_params *p, struct region_map *memory,
		    struct region_map *ports, struct pci_root **out,
		    struct alc_err *err) ALC_MUST_CHECK;
void pci_root_destroy(struct pci_root *root); /* no functions any more; NULL is fine */
/* The host bridge's PCIEXBAR: 256 MiB of ECAM from base; must lie in the 32-bit window. */
void pci_set_ecam(struct pci_root *root, bool on, u64 base);
/* What accesses to 0xcfc go to: the value of the register at 0xcf8, whose owner keeps it. */
void pci_set_address(struct pci_root *root, u32 address);
/*
 * What firmware does: numbers buses, gives every BAR and bridge an address, and enables I/O and
 * memory. For machines that start an operating system without firmware.
 */
void pci_assign(struct pci_root *root);

enum { PCI_SLOT_AUTO = -1 };

/*
 * Adds a function: desc and ops must live as long as it does. slot is device << 3 | function, or
 * PCI_SLOT_AUTO for the next free device; parent is a root port, NULL: bus 0.
 */
int pci_function_create(struct pci_root *root, struct pci_function *parent, int slot,
			const struct pci_desc *desc, const struct pci_ops *ops, void *ctx,
			const char *name, struct pci_function **out,
			struct alc_err *err) ALC_MUST_CHECK;
void pci_function_destroy(struct pci_function *f); /* NULL is fine */
/* The function of that name, or NULL. */
struct pci_function *pci_function_named(struct pci_root *root, const char *name);
/* Configuration space as after power-on; ops->reset is not called. */
void pci_function_reset(struct pci_function *f);

/* May the function read and write guest memory (command register, bus master enable)? */
bool pci_bus_master(const struct pci_function *f);
/* The level of INTA#; not driven while MSI or MSI-X is enabled or INTx is disabled. */
void pci_intx(struct pci_function *f, bool level);
bool pci_msix_enabled(const struct pci_function *f);
/*
 * Sends message `vector` by MSI-X or MSI, whichever is enabled; a masked one becomes pending. A
 * vector out of range, or neither enabled, or no bus master: nothing.
 */
void pci_msi(struct pci_function *f, unsigned vector);

/* Raw configuration bytes, for chipset registers that a class describes itself (0x40 up). */
u8 *pci_config(struct pci_function *f);
/* Where the capability `index` of pci_desc.caps lies (its ID byte). */
unsigned pci_cap_offset(const struct pci_function *f, unsigned index);
/* A guest's access to configuration space; 1, 2, 4 or 8 bytes at any offset. */
u64 pci_config_read(struct pci_function *f, unsigned off, unsigned size);
void pci_config_write(struct pci_function *f, unsigned off, u64 val, unsigned size);

/* What a guest can observe of a function besides its device's own state. */
extern const struct alc_field pci_function_fields[];
void *pci_function_state(struct pci_function *f);
/* After a load of those: checks it as hostile, and does nothing else. */
int pci_function_check(struct pci_function *f, struct alc_err *err) ALC_MUST_CHECK;
/* After a load that was checked: maps BARs and drives INTA# accordingly. */
void pci_function_loaded(struct pci_function *f);

#endif
