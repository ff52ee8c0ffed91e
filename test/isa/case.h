/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_ISA_CASE_H
#define TEST_ISA_CASE_H

#include "alcazar/err.h"
#include "base/bits.h"
#include "isa/x86.h"

/*
 * One differential case: a short user-mode program, the whole user-visible state that it starts
 * from, and what came of it. The same case runs on the host CPU (silicon.h) and on engines
 * (guest.h).
 *
 * Every runner maps the same user addresses:
 *
 *   CASE_DATA   two pages, readable and writable, not executable; unmapped below
 *   CASE_RO     one page behind them, readable only; unmapped above
 *   CASE_CODE   two pages, readable, writable and executable; unmapped on both sides
 *
 * Code pages are filled with INT3, and a case ends at its first fault: reaching an INT3 is the
 * normal end. So landing anywhere in the code pages is harmless, and every outcome has a fault.
 */
#define CASE_DATA 0x10000000ull
#define CASE_RO   0x10002000ull
#define CASE_CODE 0x10010000ull

enum {
	CASE_DATA_SIZE = 0x2000,
	CASE_RO_SIZE = 0x1000,
	CASE_CODE_SIZE = 0x2000,
	CASE_BYTES_MAX = 128,
	CASE_PATCHES = 4,
	CASE_INT3 = 0xcc,
};

/* What Linux gives a 64-bit process; MOV from a segment register shows it. */
enum { CASE_CS = 0x33, CASE_SS = 0x2b };
/* And one of 32 bits. */
enum { CASE_CS32 = 0x23 };
/* And the kernel. */
enum { CASE_CS0 = 0x10, CASE_SS0 = 0x18 };

struct case_state {
	u64 gpr[X86_GPRS];
	u64 rip, rflags;
	u64 fs_base, gs_base;
	u64 vec[32][8]; /* ZMM, low quadword first; ZMM16 and up, and k, where there is AVX-512 */
	u64 k[8];
	u64 st[8][2]; /* ST(0) first; 10 bytes used */
	u16 fcw, fsw;
	u8 ftw; /* abridged: 1 = valid */
	u16 fop;
	u64 fip, fdp;
	u32 mxcsr;
};

/* Bytes put into the window after it was filled. */
struct case_patch {
	u64 addr;
	u8 len, bytes[16];
};

struct isa_case {
	const char *name; /* of a hand-written case; NULL for a random one */
	u8 code[CASE_BYTES_MAX];
	u16 len;
	u16 at;   /* where in the code window the first byte goes; also the entry */
	u64 fill; /* seed of the data window's contents */
	struct case_state in;
	struct case_patch patch[CASE_PATCHES];
	u8 npatches;
	u32 form; /* the generator's class of the (last) instruction */
};

enum case_end { CASE_FAULT, CASE_TIMEOUT, CASE_LOST };

struct case_outcome {
	enum case_end end; /* LOST: the runner itself did not survive, or could not go on */
	struct x86_fault fault;
	struct case_state out;
	u8 data[CASE_DATA_SIZE];
	u8 code[CASE_CODE_SIZE];
	char why[ALC_ERR_TEXT_MAX]; /* for CASE_LOST */
};

/* State that every case may start from: a stack in the window, masked exceptions, rest zero. */
void case_init(struct isa_case *c);
/* The data window's and the code window's contents at the start. */
void case_fill(const struct isa_case *c, u8 data[CASE_DATA_SIZE], u8 code[CASE_CODE_SIZE]);
/* The read-only page is the same in all cases. */
void case_fill_ro(u8 ro[CASE_RO_SIZE]);
/* Adds a patch; false if there is no room. */
bool case_add_patch(struct isa_case *c, u64 addr, const void *bytes, unsigned len);

#endif
