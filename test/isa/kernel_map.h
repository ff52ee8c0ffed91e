/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_KERNEL_MAP_H
#define TEST_ISA_KERNEL_MAP_H

/*
 * Where the kernel of kernel.h has its parts, for C and the assembler: macros only.
 *
 * Guest-physical 0 to KERNEL_END is mapped at KERNEL_VA, for the supervisor only. The window that
 * programs run in is mapped by one page table, at WINDOW and once more at WINDOW_HIGH, and at some
 * places of the lower half beyond 32 bits. All differ in the bits of the uppermost table only.
 */
#define KERNEL_VA    0xffffffff80000000
#define WINDOW       0x10000000
#define WINDOW_HIGH  0xffff888010000000
#define WINDOW_FAR_1 0x550010000000
#define WINDOW_FAR_2 0x7f0010000000
#define WINDOW_FAR_3 0x7f8010000000

#define GPA_PML4     0x1000
#define GPA_PDPT     0x2000
#define GPA_PD       0x3000
#define GPA_WINDOW   0x4000 /* the window's page table */
#define GPA_PDPT_TOP 0x5000
#define GPA_PD_TOP   0x6000
#define GPA_KERNEL   0x7000 /* the kernel's page table */
#define GPA_GDT      0x9000
#define GPA_TSS      0x9100
#define GPA_IDT      0xa000
#define GPA_STUBS    0xb000
#define GPA_HANDLERS 0xc000
#define GPA_STACK    0xd000
#define GPA_NMI      0xe000 /* the stack of NMI's */
#define KERNEL_END   0xf000

/* Pages of the window that change, by number. */
#define PAGE_DEMAND   6      /* absent until touched, then read-only until written */
#define PAGE_REMAP    7      /* in one of two frames */
#define PAGE_STEPS    14     /* executable, in one of two frames */
#define PAGE_WRITABLE 12     /* now and then not */
#define REMAP_FLIP    0x1000 /* what the two frames' addresses differ in */

/* Software interrupts that anyone may use. */
#define CALL_RETURN 0x80 /* nothing but IRETQ */
#define CALL_REMAP  0x81 /* PAGE_REMAP and PAGE_STEPS to their other frames */
#define CALL_RIGHT  0x82 /* PAGE_WRITABLE gets or loses its write right */
#define CALL_FLUSH  0x83 /* MOV to CR3 */
#define CALL_UNMAP  0x84 /* PAGE_DEMAND is absent again */
#define CALL_RELOAD 0x85 /* as CALL_REMAP, but MOV to CR3 makes it seen */
#define CALL_FIRST  CALL_RETURN
#define CALLS       6

#endif
