/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include "kernel.h"

/* The groups of the `cpu` test kernel. */
void test_exceptions(void);
void test_segments(void);
void test_user_mode(void);
void test_shadows(void);
void test_interrupt_stacks(void);
void test_returns(void);
void test_paging(void);
void test_spaces(void);
void test_modified_code(void);
void test_real_mode(void);
void test_state_images(void);

/*
 * What QEMU's TCG (7.2) is known to get wrong is skipped there, so that these kernels can be run on
 * it, and checked everywhere else.
 */
bool on_tcg(void);
/* One line for the last EXPECT: it should have ended in this vector and error code. */
void report_unless_tcg(const char *name, int vector, u64 error);

/* User-mode playground: code and stack at these addresses, mapped by setup_user. */
#define USER_CODE  0x8000000000ull
#define USER_STACK 0x8000002000ull /* top; the page below it */
void setup_user(void);
/* Copies code to USER_CODE, runs it in ring 3 with RDI, returns how it ended. */
void run_user_code(const u8 *code, size_t len, u64 rdi, u64 rflags);

/* True if the last EXPECT ended in this vector and error code. */
static inline bool caught_as(int vector, u64 error)
{
	return caught.vector == vector && caught.error == error;
}

#endif
