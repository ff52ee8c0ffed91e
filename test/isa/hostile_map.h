/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_HOSTILE_MAP_H
#define TEST_ISA_HOSTILE_MAP_H

#include "kernel_map.h"

/*
 * Where hostile programs have their parts, for C and the assembler: macros only. All of RAM is
 * mapped at KERNEL_VA for the supervisor; programs see some of it in the window.
 */
#define HG_FAULT      0xc800  /* the handler of hostile_code.S, behind those of kernel.h */
#define HG_CELLS      0x10000 /* that programs write to */
#define HG_STATE      0x11000 /* the handler's own */
#define HG_LOG        0x12000 /* what faulted, and in what state */
#define HG_LOG_END    0x16000
#define HG_RESULTS    0x16000 /* what programs have found, two pages */
#define HG_DATA       0x20000 /* frames to be mapped anywhere */
#define HG_FRAMES     14
#define HG_EDGE       0x2e000 /* a frame of code that runs off its end */
#define HG_CODE       0x30000 /* four pages */
#define HG_CODE_PAGES 4
#define HG_WRITABLE   0x34000 /* PAGE_WRITABLE */
#define HG_DEMAND     0x35000 /* PAGE_DEMAND */
#define HG_REMAP      0x36000 /* PAGE_REMAP, two */
#define HG_STEPS      0x38000 /* PAGE_STEPS, two */
#define HG_TABLES     0x40000 /* page tables */
#define HG_END        0x80000

/* Cells. */
#define CELL_RESUME 0 /* where to go on after a fault; 0: nowhere */
#define CELL_LOOP   8 /* how often the program is still to be run */
#define CELL_TARGET 16

/* The handler's state. */
#define STATE_COUNT 0 /* of faults */
#define STATE_FUEL  8 /* the count at which it is enough */
#define STATE_CS    16
#define STATE_SS    24

/* The log's entries take turns; each keeps a hash of all that it was given. */
#define LOG_SIZE    256
#define LOG_ENTRIES ((HG_LOG_END - HG_LOG) / LOG_SIZE)

#endif
