/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BUS_PC_H
#define BUS_PC_H

#include "base/bits.h"

/* The PC's fixed map: what devices, ACPI tables and the composition of a machine agree on. */

/* Guest-physical memory */
#define PC_EBDA      0x9fc00ull  /* end of conventional RAM; RSDP and MP structures above */
#define PC_BIOS_AREA 0xf0000ull  /* where an operating system looks for the RSDP */
#define PC_HIGH_RAM  0x100000ull /* RAM above the first megabyte */
/*
 * RAM below 4 GiB ends at ECAM at the latest; firmware for this chipset expects both there. From
 * the end of RAM to the I/O APIC, all is PCI's.
 */
#define PC_LOW_RAM_MAX  0xb0000000ull
#define PC_ECAM_BASE    0xb0000000ull
#define PC_ECAM_SIZE    0x10000000ull
#define PC_PCI_MEM_BASE 0xc0000000ull /* where BARs are put */
#define PC_PCI_MEM_END  0xfec00000ull
#define PC_PCI_IO_BASE  0x4000 /* to the end of I/O space */
#define PC_ABOVE_4G     0x100000000ull
#define PC_IOAPIC_BASE  0xfec00000ull
#define PC_LAPIC_BASE   0xfee00000ull
#define PC_TESTDEV_BASE 0xff000000ull /* pc-testdev's scratch window, 64 KiB */

/* I/O ports */
enum {
	PC_PORT_PIC_MASTER = 0x20,
	PC_PORT_PIC_SLAVE = 0xa0,
	PC_PORT_ELCR = 0x4d0,
	PC_PORT_PIT = 0x40,
	PC_PORT_I8042_DATA = 0x60,
	PC_PORT_SYSTEM_B = 0x61,
	PC_PORT_I8042_CMD = 0x64,
	PC_PORT_RTC = 0x70,
	PC_PORT_DISPI = 0x1ce, /* VGA: display interface */
	PC_PORT_COM1 = 0x3f8,
	PC_PORT_COM2 = 0x2f8,
	PC_PORT_DEBUG_EXIT = 0xf4,
	PC_PORT_STATUS = 0xf8,    /* guest-status: the exit status of a command run in the guest */
	PC_PORT_DEBUGCON = 0x402, /* firmware messages */
	PC_PORT_FW_CFG = 0x510,
	PC_PORT_SMI_EN = 0x630,
	PC_PORT_PM = 0x600, /* ACPI: PM1a event (4), PM1a control (2) at +4, PM timer (4) at +8 */
	PC_PORT_RESET = 0xcf9,
};

/* PM block, offsets from PC_PORT_PM */
enum { PC_PM1_EVT = 0, PC_PM1_CNT = 4, PC_PM_TMR = 8, PC_PM_SIZE = 16 };
/* SLP_TYP of the only sleep state; firmware for virtual machines writes 0 without asking. */
enum { PC_SLP_TYP_S5 = 5, PC_SLP_TYP_S5_FIXED = 0 };

/* Interrupts: ISA lines are also global system interrupts, except that 0 goes to pin 2. */
enum {
	PC_IRQ_PIT = 0,
	PC_IRQ_KBD = 1,
	PC_IRQ_COM2 = 3,
	PC_IRQ_COM1 = 4,
	PC_IRQ_RTC = 8,
	PC_IRQ_SCI = 9,
	PC_ISA_IRQS = 16,
	PC_IOAPIC_PINS = 24,
	PC_GSI_PIRQ_A = 16, /* to PIRQ H */
	PC_PIRQS = 8,
};

/* PCI: device << 3 | function on bus 0. */
enum { PC_SLOT_HOST_BRIDGE = 0, PC_SLOT_LPC = 0x1f << 3 };

enum { PC_CPUS_MAX = 64 };

#endif
