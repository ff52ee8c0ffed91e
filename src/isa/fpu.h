/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_FPU_H
#define ISA_FPU_H

#include "isa/x86.h"

/*
 * Images of the floating-point and vector state: FXSAVE and XSAVE areas (SDM vol. 1 10.5, 13),
 * and the FSAVE/FSTENV forms of x87. Registers themselves are in struct x86_fpu. The functions
 * move state between struct x86_fpu and a host buffer; guest memory is the caller's business.
 */
enum { X86_FXSAVE_SIZE = 512, X86_XSAVE_MAX = 4096 };

#define X86_XCR0_X87 BIT(0)
#define X86_XCR0_SSE BIT(1)
#define X86_XCR0_AVX BIT(2)
/* Opmask, ZMM_Hi256, Hi16_ZMM: enabled together or not at all. */
#define X86_XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7))

void fpu_reset(struct x86_fpu *f); /* power-on: FCW 0x37f by FNINIT, MXCSR 0x1f80 */
void fpu_fninit(struct x86_fpu *f);

/* rexw: FXSAVE64, whose FIP and FDP are 64 bits wide. */
void fpu_fxsave(const struct x86_fpu *f, u8 area[X86_FXSAVE_SIZE], bool rexw);
/* Nonzero: reserved MXCSR bits are set (#GP), and f is unchanged. */
int fpu_fxrstor(struct x86_fpu *f, const u8 area[X86_FXSAVE_SIZE], bool rexw);

/*
 * XSAVE family on a host buffer that was read from guest memory (for what is preserved) and will
 * be written back. rfbm: requested components, already masked with XCR0.
 */
enum x86_xsave_form { X86_XSAVE, X86_XSAVEOPT, X86_XSAVEC };
/* Returns the number of bytes of area that were written or preserved, to be stored back. */
u32 fpu_xsave(const struct x86_fpu *f, u8 area[X86_XSAVE_MAX], u64 rfbm, enum x86_xsave_form form,
	      bool rexw);
/* Where an extended component lies in an area of these components, and how long it is. */
u32 fpu_xsave_offset(unsigned component, u64 components, bool compacted);
u32 fpu_xsave_length(unsigned component); /* 0: there is no such component */
/* The end of those in `used` in an area of these components, or that of the header. */
u32 fpu_xsave_end(u64 used, u64 components, bool compacted);
/* Nonzero: #GP for a bad header or MXCSR; f is unchanged. */
int fpu_xrstor(struct x86_fpu *f, const u8 area[X86_XSAVE_MAX], u64 rfbm, u64 xcr0, bool rexw);
/* XINUSE: components not in their initial configuration. */
u64 fpu_xinuse(const struct x86_fpu *f);

/* FNSTENV/FLDENV/FNSAVE/FRSTOR in the four layouts (SDM vol. 1 8.1.10): opsize 2 or 4. */
unsigned fpu_env_size(unsigned opsize);
void fpu_store_env(const struct x86_fpu *f, u8 *out, unsigned opsize, bool protected_mode);
void fpu_load_env(struct x86_fpu *f, const u8 *in, unsigned opsize, bool protected_mode);

#endif
