/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BUS_PCI_ROOT_H
#define BUS_PCI_ROOT_H

#include "bus/pc.h"
#include "bus/pci.h"
#include "mem/region.h"

/*
 * The root complex, from the side of the machine and of its chipset devices.
 *
 * INTx: device d's pin p (0-3) of bus 0 is PIRQ E-H by (d + p) % 4 for devices 0-24, PIRQ A-D by
 * p for the rest, as on a Q35; a root port passes on its device's pins turned by their device
 * number. PIRQ n is GSI 16+n, always; and the ISA interrupt that pci_root_route says.
 *
 * Order of locks: a device's, the root complex's, an interrupt controller's.
 */
enum { PCI_NO_ROUTE = -1 };

struct pci_sinks {
	struct alc_irq gsi; /* set takes the global system interrupt as `line` */
	struct alc_irq isa; /* likewise an ISA interrupt, for the PIC alone */
	struct alc_msi_sink msi;
};

int pci_root_create(const struct alc_host *host, const struct pci_sinks *sinks,
		    struct pci_root **out, struct alc_err *err) ALC_MUST_CHECK;
/* NULL is fine; all functions are gone by then. */
void pci_root_destroy(struct pci_root *root);

/*
 * Claims the windows: in `ports` from PC_PORT_PCI_IO up, in `memory` [PC_LOW_RAM_MAX,
 * PC_PCI_MEM32_END) and [mem64, mem64_end), each without what others claim already. So it is to be
 * called after all other regions are there.
 */
int pci_root_claim(struct pci_root *root, struct region_map *ports, struct region_map *memory,
		   u64 mem64, u64 mem64_end, struct alc_err *err) ALC_MUST_CHECK;

/* The root port with that name, or NULL. */
struct pci_function *pci_root_port(struct pci_root *root, const char *name);
/* As pci_function_create, but behind a root port unless port is NULL; there, device 0 only. */
int pci_function_create_behind(struct pci_root *root, struct pci_function *port, int slot,
			       const struct pci_desc *desc, const struct pci_ops *ops, void *ctx,
			       const char *name, struct pci_function **out,
			       struct alc_err *err) ALC_MUST_CHECK;
/* device << 3 | function */
u8 pci_function_slot(const struct pci_function *f);

/* PIRQ n goes to this ISA interrupt too, or to none. */
void pci_root_route(struct pci_root *root, unsigned pirq, int isa_irq);
/* ECAM answers at [base, base + size), within the memory window below 4 GiB; size 0: nowhere. */
void pci_root_set_ecam(struct pci_root *root, u64 base, u64 size);
u64 pci_root_ecam(const struct pci_root *root);

/* The address register of CF8/CFC, and the data register: off 0-3, off + size <= 4. */
void pci_root_set_address(struct pci_root *root, u32 address);
u32 pci_root_data_read(struct pci_root *root, unsigned off, unsigned size);
void pci_root_data_write(struct pci_root *root, unsigned off, u32 val, unsigned size);

/* By bus number, device << 3 | function, offset: nobody there reads as ones. */
u64 pci_root_config_read(struct pci_root *root, u8 bus, u8 devfn, unsigned off, unsigned size);
void pci_root_config_write(struct pci_root *root, u8 bus, u8 devfn, unsigned off, u64 val,
			   unsigned size);

/* A guest's access to PCI memory or I/O by address: what nobody decodes reads as ones. */
u64 pci_root_mem_read(struct pci_root *root, u64 addr, unsigned size);
void pci_root_mem_write(struct pci_root *root, u64 addr, u64 val, unsigned size);
u64 pci_root_io_read(struct pci_root *root, u64 addr, unsigned size);
void pci_root_io_write(struct pci_root *root, u64 addr, u64 val, unsigned size);

/*
 * What firmware does before it boots: bus numbers, bridge windows, BARs, interrupt line registers
 * (irqs: of PIRQ A-H), decoding on. BARs of 64 MiB and more go to [mem64, mem64_end), if they can.
 */
int pci_assign(struct pci_root *root, const u8 irqs[PC_PIRQS], u64 mem64, u64 mem64_end,
	       struct alc_err *err) ALC_MUST_CHECK;

#endif
