/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_INTERP_SIMD_H
#define ENGINE_INTERP_SIMD_H

/*
 * x87, MMX, SSE, AVX and AVX-512 on the host's own execution units.
 *
 * Each distinct instruction becomes a thunk: a small native function that loads the registers
 * which the instruction names from the guest's state, executes it with its memory operand and
 * its general registers replaced, and stores back what it wrote (simd_emit.c). Frequent moves
 * (simd_move.c), instructions that access memory by element (simd_masked.c) and those that only
 * manage state (fpu_ops.c) are plain C.
 *
 * Thunks run with every exception masked, so that the host never faults: unmasked SIMD exceptions
 * are found by looking at the flags afterwards (simd_run.c), pending x87 ones before.
 */
#include "engine/interp/interp.h"
#include "host/host.h"
#include "isa/cpuid.h"
#include "isa/fpu.h"

/* MXCSR and the x87 words have the six exceptions in one order (SDM vol. 1 8.1.3, 10.2.3). */
enum {
	EXC_IE = 1,
	EXC_DE = 2,
	EXC_ZE = 4,
	EXC_OE = 8,
	EXC_UE = 16,
	EXC_PE = 32,
	EXC_ALL = 0x3f,
	EXC_PRE = EXC_IE | EXC_DE | EXC_ZE, /* found before the operation, and instead of it */
	MXCSR_MASK_SHIFT = 7,
	MXCSR_MASKS = EXC_ALL << MXCSR_MASK_SHIFT,
	MXCSR_FZ = 1 << 15,
	MXCSR_DEFINED = 0xffff,
	FSW_ES = 0x80,
	FSW_TOP = 7 << 11,
	FSW_TOP_SHIFT = 11,
	FSW_B = 0x8000,
	FCW_ONE = 0x40,
	FCW_DEFINED = 0x1f7f,
};

/*
 * mem: the memory operand; fx: x87 and MXCSR as an FXSAVE image, in and out (x87 and MMX only);
 * flags: the guest's, packed as thunk_flags() does. Returns the flags in the same form.
 */
typedef u32 thunk_fn(struct alc_vcpu *v, void *mem, u8 *fx, u32 flags);

enum {
	SIMD_X87 = 1 << 0,      /* x87 state by way of an FXSAVE image: x87 and MMX */
	SIMD_POINTERS = 1 << 1, /* sets FIP, FDP, FOP */
	SIMD_MXCSR = 1 << 2,    /* looks at or changes MXCSR */
	SIMD_FLAGS = 1 << 3,    /* sets RFLAGS */
	SIMD_READS = 1 << 4,    /* its memory operand */
	SIMD_WRITES = 1 << 5,   /* its memory operand */
	SIMD_VEX = 1 << 6,      /* clears what lies above its result */
	SIMD_FLAGS_IN = 1 << 7, /* looks at RFLAGS, or leaves some of them */
	SIMD_STEPS = 1 << 8,    /* operations in sequence, each with exceptions of its own */
	SIMD_ZMM = 1 << 9,      /* what it clears are 512 bits */
	SIMD_EVEX = 1 << 10,
	SIMD_QUIET = 1 << 11,  /* as if all exceptions were masked, and leaves no flags */
	SIMD_HALVES = 1 << 12, /* its result are half-precision numbers, which FZ doesn't concern */
};

/* Which elements of a memory operand a mask register names (SDM vol. 2 2.7.4, 2.8). */
enum simd_elements {
	ELEMENTS_ALL,    /* there is no mask, or none that keeps loads from faulting */
	ELEMENTS_EACH,   /* one bit each */
	ELEMENTS_PACKED, /* as many as there are bits, side by side */
	ELEMENTS_REPEAT, /* one bit each for as many times as they are repeated */
};

enum { SIMD_NONE = 0xff };

struct simd_insn {
	thunk_fn *run;
	u16 flags;
	u16 fop;
	u8 mem_size;
	u8 align_mask; /* of the address: nonzero bits are #GP */
	u8 dst_vec;    /* register to restore after an unmasked exception, or SIMD_NONE */
	u8 dst_gpr, dst_k;
	u8 mask;      /* register that masks the memory operand or SIMD_HALVES, or 0 */
	u8 elements;  /* enum simd_elements, of loads */
	u8 elem_size; /* in memory, where there is a mask */
	u8 elems;     /* bits of the mask that count; SIMD_HALVES: how many */
	u16 len;      /* of the code at run */
	u16 next;     /* in its hash chain, 0: last */
};

enum {
	THUNK_MAX = 256,
	SIMD_CODE_SIZE = 8 << 20,
	SIMD_INSNS = 32768, /* [0] is unused */
	SIMD_HASH = 8192,
};

struct simd {
	_Alignas(64) u8 fx[X86_FXSAVE_SIZE];
	/* Images on their way to or from guest memory, and what was there before. */
	_Alignas(64) u8 area[X86_XSAVE_MAX];
	u8 old_area[X86_XSAVE_MAX];
	struct alc_host_code code; /* size 0: the host forbids it */
	u32 used;                  /* bytes of code */
	u32 ninsns;
	u16 hash[SIMD_HASH];
	struct simd_insn insns[SIMD_INSNS];
};

/* Code of the thunk for d; fills in all but run and next. */
struct thunk_code {
	u8 byte[THUNK_MAX];
	unsigned len;
};
void simd_emit(const struct dec *d, struct simd_insn *in, struct thunk_code *t);
/* The handler that suits an instruction. */
op_fn *simd_handler(const struct simd_insn *in);

/* Instructions in plain C; false: not one of theirs. */
bool simd_move_gen(struct dec *d);
bool simd_masked_gen(struct dec *d);
bool simd_vsib_gen(struct dec *d); /* gathers and scatters of AVX-512 */

/* What an instruction needs to be available at all (SDM vol. 3A 13.1). */
enum simd_kind {
	KIND_NONE, /* no control register matters */
	KIND_X87,
	KIND_MMX,
	KIND_SSE,
	KIND_AVX,
	KIND_AVX512,
};
/* False: it is not, and d->op is the exception that it raises. */
bool simd_available(struct dec *d, enum simd_kind kind);

/* ---- Helpers ---- */

/* A register's low half at a time: what MOVDQU is. */
typedef u64 u128_una __attribute__((vector_size(16), aligned(1), may_alias));

static inline void copy16(void *to, const void *from)
{
	*(u128_una *)to = *(const u128_una *)from;
}

static inline unsigned fpu_top(const struct x86_fpu *f)
{
	return f->fsw >> FSW_TOP_SHIFT & 7;
}

static inline bool x87_pending(const struct x86_fpu *f)
{
	return f->fsw & ~f->fcw & EXC_ALL;
}

/* FSW's summary bits follow from the flags and their masks (SDM vol. 1 8.1.3.3). */
static inline void x87_summarize(struct x86_fpu *f)
{
	f->fsw &= (u16) ~(FSW_ES | FSW_B);
	if (x87_pending(f))
		f->fsw |= FSW_ES | FSW_B;
}

/* Leaves by #MF. */
void op_mf(struct alc_vcpu *v, const struct op *op, struct interp *c);
#define X87_CHECK(v, op, c)                             \
	do {                                            \
		if (unlikely(x87_pending(&(v)->fpu))) { \
			op_mf(v, op, c);                \
			return;                         \
		}                                       \
	} while (0)

/* x87 state as MMX instructions leave it: TOP 0 and all registers valid (SDM vol. 1 9.5.1). */
void mmx_enter(struct x86_fpu *f);

/*
 * The linear address of a part of the memory operand, `off` bytes behind its beginning. In 64-bit
 * mode only the operand's own address is cut to the address size (as processors have it; the
 * manuals don't say). Nonzero: v->fault is set.
 */
static inline int part_address(struct alc_vcpu *v, const struct op *op, const struct interp *c,
			       unsigned off, unsigned size, unsigned access, u64 *gva)
{
	bool wraps = (c->mode & MODE_SIZE) != MODE_64;

	*gva = op_ea(v, op) + (wraps ? off : 0);
	if (linear(v, op, gva, size, access))
		return 1;
	*gva += wraps ? 0 : off;
	return 0;
}

/* Guest memory operand of `size` bytes, checked; nonzero: v->fault is set. */
static inline int operand(struct alc_vcpu *v, const struct op *op, u64 *gva, unsigned size,
			  unsigned align_mask, unsigned access)
{
	*gva = op_ea(v, op);
	if (linear(v, op, gva, size, access))
		return 1;
	return unlikely(*gva & align_mask) ? x86_raise_error(v, X86_GP, 0) : 0;
}

#endif
