/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

/* Shared by C and assembly. Selectors stand in the order that SYSCALL and SYSRET demand. */
#define SEL_CODE32       0x08
#define SEL_CODE64       0x10
#define SEL_DATA         0x18
#define SEL_USER_CODE32  0x20
#define SEL_USER_DATA    0x28
#define SEL_USER_CODE    0x30
#define SEL_TSS          0x38
#define SEL_ABSENT       0x48
#define SEL_CODE64_ALIAS 0x50
#define SEL_CODE16       0x58
#define SEL_DATA16       0x60

#define TRAMPOLINE       0x8000
#define CPUS_MAX         64
#define STACK_SHIFT      14
#define STACK_SIZE       (1 << STACK_SHIFT)

#endif
