/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_INTERP_INTERP_H
#define ENGINE_INTERP_INTERP_H

/*
 * The interpreter.
 *
 * Guest code is decoded once, block by block, into an array of `struct op`: a handler and its
 * operands. A handler does its work and tail-calls the next op's handler; the last op of a block
 * is always a handler that returns to the loop in run.c. Where the compiler makes no tail calls
 * (-O0, sanitizers) the calls nest, no deeper than a block is long.
 *
 * Precise state: gpr[] is exact at all times; RIP is known from the op (its offset in the block,
 * plus gpr[X86_REG_BLOCK]); arithmetic flags are kept lazily (below). A handler that faults
 * leaves by op_fault() before it has changed anything.
 *
 * Blocks are cached per vCPU by guest-physical address and mode; each remembers its page's
 * generation (mem/space.h) and is stale when that has moved on.
 */
#include <stdatomic.h>

#include <Zydis/Zydis.h>

#include "engine/engine.h"
#include "isa/paging.h"
#include "isa/x86.h"

struct interp;
struct op;
typedef void op_fn(struct alc_vcpu *v, const struct op *op, struct interp *c);

/* op.addr: 0 in the common case that the effective address is the linear address. */
enum {
	ADDR_SEG = 0x07,    /* 1 + segment whose base is added, 0: none */
	ADDR_SIZE32 = 0x10, /* the effective address is cut to 32 bits */
	ADDR_SIZE16 = 0x20,
	ADDR_CHECKED = 0x80, /* outside 64-bit mode: limit and rights of the segment count */
};

/* op.shift: the index's scale in the low bits (a shift count is taken modulo 64), and: */
enum { SHIFT_STACK = 0x80 }; /* a non-canonical address is #SS rather than #GP */

struct op {
	op_fn *fn;
	u64 imm;
	i64 disp;
	u8 a, b;        /* registers: indexes into gpr[], or byte offsets into it for 8-bit ones */
	u8 base, index; /* X86_REG_ZERO where there is none */
	u8 shift, addr;
	u16 off; /* of the instruction in its block; the next op's is where it ends */
};

/* What the decoding of a block depends on besides its bytes. */
enum {
	MODE_16 = 0,
	MODE_32 = 1,
	MODE_64 = 2,
	MODE_SIZE = 3,
	MODE_USER = 1 << 2,    /* CPL 3 */
	MODE_STACK32 = 1 << 3, /* SS.B, outside 64-bit mode only */
	MODE_FLAT = 1 << 4,    /* DS, ES, SS, CS are flat: no checks outside 64-bit mode */
	MODE_REAL = 1 << 5,
	MODE_TS = 1 << 6,      /* CR0.TS */
	MODE_EM = 1 << 7,      /* CR0.EM */
	MODE_SSE = 1 << 8,     /* CR4.OSFXSR */
	MODE_AVX = 1 << 9,     /* CR4.OSXSAVE and XCR0[2:1] = 3 */
	MODE_SINGLE = 1 << 10, /* one instruction a block: single-stepping, debug registers */
	MODE_LONG = 1 << 11,   /* EFER.LMA: compatibility rather than legacy mode */
	MODE_ONE = 1 << 12,    /* one instruction a block: the rest is run by another engine */
	/* Outside 64-bit mode: from its base on all 4 GiB may be read and written. */
	MODE_OPEN_FS = 1 << 13,
	MODE_OPEN_GS = 1 << 14,
	MODE_AVX512 = 1 << 15, /* and XCR0[7:5] = 7 */
};

struct block {
	u64 gpa;
	u32 mode;
	u32 gen, gen2; /* of page and page2 when it was decoded */
	struct alc_page *page;
	struct alc_page *page2; /* second page of a block that crosses one, or NULL */
	u64 gpa2;               /* and its address */
	struct block *hash_next;
	struct block *succ[2]; /* fall-through and taken, in the same page; may be stale */
	u16 ninsn, bytes;
	struct op ops[];
};

enum { BLOCK_INSNS_MAX = 48 };

/* Translations of data accesses. A tag is a page's address, or one that can't match. */
struct tlb_entry {
	u64 rtag, wtag;
	u64 addend; /* host address = gva + addend */
	struct alc_page *page;
};

enum { TLB_TABLE_KERNEL, TLB_TABLE_USER, TLB_TABLE_CHECKED, TLB_TABLES };
enum { TLB_LOWER, TLB_UPPER, TLB_UPPER_NONGLOBAL, TLB_LOGS };
enum { TLB_SIZE = 4096, TLB_LOG_MAX = 512, TLB_MARKS = TLB_TABLE_CHECKED * TLB_SIZE };

/*
 * Which entries were filled for one half of the address space since that was last flushed; count >
 * max: not known any more.
 */
struct tlb_log {
	u32 count;
	u16 entry[TLB_LOG_MAX];
};

/*
 * Large pages are cached in pieces, of which INVLPG must drop all: which pieces of 1 GiB of the
 * address space have any? count > max: not known.
 */
enum { TLB_LARGE_MAX = 15 };
struct tlb_large {
	u32 count, gib[TLB_LARGE_MAX];
};

/* What was cached of the lower half of an address space that does not run: spaces.c. */
enum { TLB_SPACES = 8 };
struct tlb_space {
	u64 cr3;
	u64 epoch; /* of its lower half; 0: this place is free */
	u64 used;  /* when, by interp.spaces_used */
	struct tlb_large large;
	u32 count;
	u16 at[TLB_LOG_MAX];
	struct tlb_entry entries[TLB_LOG_MAX];
};

struct itlb_entry {
	u64 tag; /* page address | 1 if user */
	u64 gpa;
	const u8 *hva;
	struct alc_page *page;
	u64 epoch;
};

enum { ITLB_SIZE = 256, JUMPS = 4096, BLOCK_HASH = 131072 };

struct jump {
	u64 rip;
	u64 epoch;
	u32 mode;
	struct block *block;
};

/* Why the loop must look up from running blocks. */
enum interp_exit { EXIT_NONE, EXIT_FAULT, EXIT_HALT, EXIT_ERROR, EXIT_BOUNDARY };

struct simd; /* simd.c's own */

struct interp {
	struct tlb_entry *tlb;  /* the table in use: by privilege, or the empty one */
	u64 flag_res, flag_aux; /* lazy flags */
	struct block *block;    /* being run */
	struct block **slot;    /* where the block just left wants its successor cached */
	u32 exit;               /* enum interp_exit */
	u32 mode;               /* of the next block */
	/* This op is op_stale for the moment, so that the block ends before it; else NULL. */
	struct op *cut;
	op_fn *cut_fn;
	struct alc_vcpu *v;
	struct interp_vm *vm;
	struct tlb_entry *tables; /* [3][TLB_SIZE]: supervisor, user, always empty */
	bool tables_own;
	/* By entry of the tables that have any: of its page, see tlb_drop_writes(). */
	u8 *marks;
	/* [TLB_LOGS]: of the lower and the upper half, and what of this is not global. */
	struct tlb_log *log;
	struct tlb_space *spaces; /* [TLB_SPACES] */
	u64 spaces_used;
	/*
	 * Of the lower and the upper half: another one after a flush, and never the same again but
	 * for an address space that comes back with what was cached of it.
	 */
	u64 epoch[2], epoch_last;
	bool upper_nonglobal; /* non-global code of the upper half is cached */
	bool lower_global;    /* … and a global one of the lower half */
	bool align_check;     /* CR0.AM, EFLAGS.AC, CPL 3: the empty table is in use */
	bool single_once;     /* MODE_SINGLE is set for the next block alone */
	bool interrupted;     /* the instruction was a software interrupt, which clears TF */
	bool intr_waiting;    /* an interrupt waits for IF or the shadow's end */
	/*
	 * Set by an engine whose stores through the TLB tell nobody: then no entry has a write tag
	 * while somebody watches the page.
	 */
	bool silent_stores;
	struct itlb_entry *itlb;
	struct jump *jumps;
	struct block **hash;
	struct arena *arena;
	size_t blocks_bytes;       /* for decoded blocks; 0: as the interpreter likes */
	struct tlb_large large[2]; /* by half */
	struct simd *simd;
	struct alc_err *err;        /* where EXIT_ERROR puts its sentence */
	_Alignas(64) u8 bounce[64]; /* an operand that is not in one page of plain RAM */
	ZydisDecoder decoder[6];    /* by decoder_index() */
	_Atomic(bool) in_guest;     /* may touch guest memory now: exclusive.c */
	bool alone;
	bool stop_on_fault; /* step.h: faults are reported, not delivered */
	u64 n_pauses;
	/* Counters */
	u64 n_blocks_decoded, n_insns_decoded, n_lookups, n_tlb_fills, n_faults, n_interrupts,
		n_flushes, n_switches, n_kept, n_stale, n_mmio;
};

struct interp_vm {
	const struct x86_platform *plat;
	const struct insn_row **rows; /* by ZydisMnemonic */
	struct alc_mutex *exclusive;  /* held by who is, or wants to be, alone: exclusive.c */
	_Atomic(bool) wanted;
	void (*kick)(struct alc_vcpu *v); /* makes it look at `attention`, or NULL: it does */
};

/* ---- Leaving a block ---------------------------------------------------------------------- */

/* Calls the next op's handler; every handler that does not leave ends with it. */
#define NEXT return op[1].fn(v, op + 1, c)

/* v->fault is set: leave before the instruction took effect. */
void op_fault(struct alc_vcpu *v, const struct op *op, struct interp *c);
/* Leave after it, at RIP as set; nothing cached about where that is. */
#define LEAVE return
/* What can't be run: stops the VM with a sentence that names instruction and mode. */
void op_unsupported(struct alc_vcpu *v, const struct op *op, struct interp *c);
void op_ud(struct alc_vcpu *v, const struct op *op, struct interp *c);
void op_nm(struct alc_vcpu *v, const struct op *op, struct interp *c);
void op_gp(struct alc_vcpu *v, const struct op *op, struct interp *c);
void op_end(struct alc_vcpu *v, const struct op *op, struct interp *c);
/* Put in place of the next op when the running block has been written to. */
void op_stale(struct alc_vcpu *v, const struct op *op, struct interp *c);
/* Instructions from op on did not run though the block's entry counted them. */
void op_uncount(struct alc_vcpu *v, const struct op *op, struct interp *c);
/*
 * Around what engine.h calls an outside call: the count is exact in between. Afterwards the block
 * ends with this op, if there is something to look at. op may be NULL: an access by isa/, in an
 * instruction that ends its block.
 */
void op_call_out(struct alc_vcpu *v, const struct op *op, struct interp *c);
void op_called_out(struct alc_vcpu *v, const struct op *op, struct interp *c);

static inline u64 op_rip(const struct alc_vcpu *v, const struct op *op)
{
	return v->gpr[X86_REG_BLOCK] + op->off;
}

static inline u64 op_next_rip(const struct alc_vcpu *v, const struct op *op)
{
	return v->gpr[X86_REG_BLOCK] + op[1].off;
}

/* ---- Lazy flags ------------------------------------------------------------------------------
 *
 * Two words describe the six arithmetic flags whatever operation set them:
 *
 *   flag_res  the result, sign-extended: ZF and SF, and PF from its low byte
 *   flag_aux  bit 63 CF; bit 62 CF ^ OF (the carry into the sign); bit 3 AF;
 *             bit 0 inverts SF; bits 8-15 are XORed into the byte that gives PF
 *
 * The vector of carries out of each bit position, shifted so that the sign's is bit 63, has the
 * first three where they are wanted. The last two make any combination expressible (POPF).
 */
#define AUX_CARRIES (BIT(63) | BIT(62))
#define AUX_AF      BIT(3)

static inline bool flag_cf(const struct interp *c)
{
	return c->flag_aux >> 63;
}

static inline bool flag_of(const struct interp *c)
{
	return (c->flag_aux ^ c->flag_aux << 1) >> 63;
}

static inline bool flag_zf(const struct interp *c)
{
	return c->flag_res == 0;
}

static inline bool flag_sf(const struct interp *c)
{
	return (c->flag_res >> 63) ^ (c->flag_aux & 1);
}

static inline bool flag_af(const struct interp *c)
{
	return c->flag_aux >> 3 & 1;
}

static inline bool flag_pf(const struct interp *c)
{
	return !__builtin_parity((unsigned)((c->flag_res ^ c->flag_aux >> 8) & 0xff));
}

/* res must be sign-extended; af and the rest as flags. */
static inline void flags_set(struct interp *c, i64 res, bool cf, bool of)
{
	c->flag_res = (u64)res;
	c->flag_aux = (u64)cf << 63 | (u64)(cf ^ of) << 62;
}

static inline void flags_logic(struct interp *c, i64 res)
{
	c->flag_res = (u64)res;
	c->flag_aux = 0;
}

static inline u64 aux_of_carries(u64 carries, unsigned bits)
{
	return (carries << (64 - bits) & AUX_CARRIES) | (carries & AUX_AF);
}

static inline void flags_add(struct interp *c, u64 a, u64 b, u64 r, unsigned bits)
{
	c->flag_res = (u64)sext(r, bits / 8);
	c->flag_aux = aux_of_carries((a & b) | ((a | b) & ~r), bits);
}

static inline void flags_sub(struct interp *c, u64 a, u64 b, u64 r, unsigned bits)
{
	c->flag_res = (u64)sext(r, bits / 8);
	c->flag_aux = aux_of_carries((~a & b) | ((~a | b) & r), bits);
}

/* Changes only CF. */
static inline void flags_set_cf(struct interp *c, bool cf)
{
	bool of = flag_of(c);

	c->flag_aux = (c->flag_aux & ~AUX_CARRIES) | (u64)cf << 63 | (u64)(cf ^ of) << 62;
}

static inline void flags_set_cf_of(struct interp *c, bool cf, bool of)
{
	c->flag_aux = (c->flag_aux & ~AUX_CARRIES) | (u64)cf << 63 | (u64)(cf ^ of) << 62;
}

/* The six as RFLAGS bits, and back. */
u64 flags_get(const struct interp *c);
void flags_put(struct interp *c, u64 rflags);
/* v->rflags exact <-> lazy. isa/ functions that look at RFLAGS are called between the two. */
static inline void flags_sync(struct alc_vcpu *v, const struct interp *c)
{
	v->rflags = (v->rflags & ~(u64)X86_ARITH) | flags_get(c);
}

static inline void flags_load(const struct alc_vcpu *v, struct interp *c)
{
	flags_put(c, v->rflags);
}

/* The running block's bytes have been written to. */
static inline bool block_is_stale(const struct interp *c)
{
	const struct block *b = c->block;

	if (b->gen != atomic_load_explicit(&b->page->gen, memory_order_relaxed))
		return true;
	return b->page2 && b->gen2 != atomic_load_explicit(&b->page2->gen, memory_order_relaxed);
}

/* ---- Effective addresses ----------------------------------------------------------------------
 */

static inline u64 op_ea(const struct alc_vcpu *v, const struct op *op)
{
	return v->gpr[op->base] + (v->gpr[op->index] << (op->shift & 63)) + (u64)op->disp;
}

/* Cuts to the address size. */
static inline u64 ea_cut(const struct op *op, u64 ea)
{
	if (op->addr & ADDR_SIZE32)
		return (u32)ea;
	return op->addr & ADDR_SIZE16 ? (u16)ea : ea;
}

/* Adds the segment, with its checks outside 64-bit mode; nonzero: fault. */
int ea_segment(struct alc_vcpu *v, const struct op *op, u64 *ea, unsigned size, unsigned access);

/* ea in, linear address out; nonzero: v->fault is set. */
static inline int linear(struct alc_vcpu *v, const struct op *op, u64 *ea, unsigned size,
			 unsigned access)
{
	if (likely(op->addr == 0))
		return 0;
	return ea_segment(v, op, ea, size, access);
}

/* ---- Guest memory -------------------------------------------------------------------------------
 *
 * mem_read/mem_write at a linear address; nonzero: v->fault is set and nothing was written.
 * `op` is the op under way: a write that hits the running block makes that block end after it.
 */
static inline unsigned tlb_index(u64 gva)
{
	return gva >> 12 & (TLB_SIZE - 1);
}

int mem_read_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva, void *to,
		  unsigned size);
int mem_write_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
		   const void *from, unsigned size);
void mem_written(struct interp *c, const struct op *op, struct alc_page *page, u64 gva,
		 unsigned size);

/* Host address of [gva, gva+size) if it is one page of RAM readable (writable) now, else NULL. */
static inline u8 *mem_rptr(const struct interp *c, u64 gva, unsigned size)
{
	const struct tlb_entry *e = &c->tlb[tlb_index(gva)];

	return likely(gva - e->rtag <= ALC_PAGE_SIZE - size) ? (u8 *)(uintptr_t)(gva + e->addend)
							     : NULL;
}

static inline u8 *mem_wptr(const struct interp *c, u64 gva, unsigned size)
{
	const struct tlb_entry *e = &c->tlb[tlb_index(gva)];

	return likely(gva - e->wtag <= ALC_PAGE_SIZE - size) ? (u8 *)(uintptr_t)(gva + e->addend)
							     : NULL;
}

/* After a store through mem_wptr. */
static inline void mem_wrote(struct interp *c, const struct op *op, u64 gva, unsigned size)
{
	struct alc_page *page = c->tlb[tlb_index(gva)].page;

	if (unlikely(atomic_load_explicit(&page->flags, memory_order_relaxed) != PAGE_DIRTY))
		mem_written(c, op, page, gva, size);
}

#define DEFINE_MEM(bits)                                                             \
	static inline int mem_read##bits(struct alc_vcpu *v, struct interp *c,       \
					 const struct op *op, u64 gva, u##bits *out) \
	{                                                                            \
		const u8 *p = mem_rptr(c, gva, bits / 8);                            \
		if (unlikely(!p))                                                    \
			return mem_read_slow(v, c, op, gva, out, bits / 8);          \
		*out = ld##bits(p);                                                  \
		return 0;                                                            \
	}                                                                            \
	static inline int mem_write##bits(struct alc_vcpu *v, struct interp *c,      \
					  const struct op *op, u64 gva, u##bits val) \
	{                                                                            \
		u8 *p = mem_wptr(c, gva, bits / 8);                                  \
		if (unlikely(!p))                                                    \
			return mem_write_slow(v, c, op, gva, &val, bits / 8);        \
		st##bits(p, val);                                                    \
		mem_wrote(c, op, gva, bits / 8);                                     \
		return 0;                                                            \
	}
DEFINE_MEM(8)
DEFINE_MEM(16)
DEFINE_MEM(32)
DEFINE_MEM(64)

/*
 * Read-modify-write: begin gives a host address to work on, which is guest RAM itself or, where
 * that is impossible (a device, two pages), the bounce buffer holding the present value; end
 * makes it so. NULL: v->fault is set.
 */
void *mem_rmw_begin_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
			 unsigned size);
int mem_rmw_end_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
		     unsigned size);

static inline void *mem_rmw_begin(struct alc_vcpu *v, struct interp *c, const struct op *op,
				  u64 gva, unsigned size)
{
	u8 *p = mem_wptr(c, gva, size);

	return likely(p) ? p : mem_rmw_begin_slow(v, c, op, gva, size);
}

static inline int mem_rmw_end(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
			      void *p, unsigned size)
{
	if (unlikely(p == c->bounce))
		return mem_rmw_end_slow(v, c, op, gva, size);
	mem_wrote(c, op, gva, size);
	return 0;
}

/*
 * The same for operations that must be atomic between vCPUs: where no host access is, the others
 * stand still from begin to end. So they do for operands that cross a cache line, at whose locked
 * access the host's other CPUs would stand still, or its kernel intervene.
 */
static inline bool in_line(u64 gva, unsigned size)
{
	return (gva & 63) + size <= 64;
}

void *mem_lock_begin_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
			  unsigned size);
int mem_lock_end_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
		      unsigned size);

static inline void *mem_lock_begin(struct alc_vcpu *v, struct interp *c, const struct op *op,
				   u64 gva, unsigned size)
{
	u8 *p = mem_wptr(c, gva, size);

	return likely(p && in_line(gva, size)) ? p : mem_lock_begin_slow(v, c, op, gva, size);
}

static inline int mem_lock_end(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
			       void *p, unsigned size)
{
	if (unlikely(p == c->bounce))
		return mem_lock_end_slow(v, c, op, gva, size);
	mem_wrote(c, op, gva, size);
	return 0;
}

/* Between these a vCPU may touch guest memory. */
void exclusive_enter_guest(struct interp *c);
void exclusive_leave_guest(struct interp *c);
void exclusive_begin(struct interp *c);
void exclusive_end(struct interp *c);
/* The same by a thread that may be no vCPU's: c is NULL then. */
void exclusive_begin_by(struct interp_vm *vm, struct interp *c);
void exclusive_end_by(struct interp_vm *vm, struct interp *c);

/* ---- Decoding -------------------------------------------------------------------------------- */

struct dec {
	struct alc_vcpu *v;
	struct interp *c;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	const u8 *bytes;  /* of the instruction */
	u8 rewritten[16]; /* where it had to be read in another way than it is written */
	u32 mode;
	u16 off;       /* of the instruction in its block */
	u16 block_off; /* of the block in its page */
	bool end;      /* set by a generator: the block ends after this op */
	struct op *op; /* to fill; everything but fn, imm, a, b is preset from the operands */
};

/* Fills d->op for one instruction; false: not supported in this form. */
typedef bool gen_fn(struct dec *d, unsigned arg);

struct insn_row {
	u16 mnemonic; /* ZydisMnemonic; 0 ends a table */
	gen_fn *gen;
	unsigned arg;
};

/* The families. */
extern const struct insn_row alu_rows[], shift_rows[], bit_rows[], move_rows[], stack_rows[],
	flow_rows[], string_rows[], atomic_rows[], system_rows[], transfer_rows[], port_rows[],
	fpu_rows[], legacy_rows[];
/* x87, MMX, SSE, AVX by the host CPU: whatever has no row, by its ISA set. */
bool simd_gen(struct dec *d);
int simd_create(struct alc_vcpu *v, struct interp *c, struct alc_err *err);
void simd_destroy(struct interp *c);
/* All blocks are about to be dropped: thunks may go too. */
void simd_flush(struct interp *c);
/* There may not be room for another block's thunks: flush the block cache before decoding. */
bool simd_full(const struct interp *c);

/* Fills d->z, d->o and d->bytes. */
ZyanStatus dec_bytes(struct dec *d, const u8 *bytes, unsigned max);
/* May the instruction in d->z be executed now, as far as CPUID and control registers say? */
bool dec_available(struct dec *d);
bool simd_offered(struct dec *d); /* the same for those of simd_gen */
bool dec_is_simd(const struct dec *d);
/*
 * Does VEX.W choose the size of an operand, so that it is ignored outside 64-bit mode? has_gpr: one
 * is a general register.
 */
bool dec_w_is_size(const struct dec *d, bool has_gpr);
/* Register number of a Zydis general register operand; byte offset in gpr[] for 8-bit ones. */
u8 dec_reg(ZydisRegister r);
/* Presets d->op's address fields from a memory operand. */
void dec_mem(struct dec *d, const ZydisDecodedOperand *m);
/* The operand that is in memory, or NULL. */
const ZydisDecodedOperand *dec_mem_operand(const struct dec *d);
static inline u64 dec_imm(const ZydisDecodedOperand *o)
{
	return o->imm.value.u;
}

static inline bool dec_lock(const struct dec *d)
{
	return d->z.attributes & ZYDIS_ATTRIB_HAS_LOCK;
}

/* ---- The loop, the caches ---------------------------------------------------------------------
 */

struct block *block_next(struct alc_vcpu *v, struct interp *c); /* NULL: v->fault is set */
int block_cache_create(struct alc_vcpu *v, struct interp *c, struct alc_err *err);
void block_cache_destroy(struct alc_vcpu *v, struct interp *c);
void block_cache_flush(struct alc_vcpu *v, struct interp *c);
/* Decodes at RIP; NULL: v->fault is set (fetch fault) or c->exit is EXIT_ERROR. */
struct block *block_decode(struct alc_vcpu *v, struct interp *c, const struct itlb_entry *it);
const struct itlb_entry *itlb_lookup(struct alc_vcpu *v, struct interp *c, u64 rip);
/*
 * Decodes one instruction of at most avail bytes into d->op (whatever it is, an op results, be it
 * one that raises #UD); 0: more bytes are needed, else its length.
 */
unsigned decode_one(struct dec *d, const u8 *bytes, unsigned avail);
/* Which of c->decoder[] reads code of this mode. */
unsigned decoder_index(u32 mode);
void decoders_init(struct interp *c, const struct x86_cpuid_table *cpuid);
/* Rows of all families by mnemonic: ZYDIS_MNEMONIC_MAX_VALUE + 1 pointers. */
void decode_index_rows(const struct insn_row **by_mnemonic);
/* IF, the shadow or the task priority changed: an interrupt that waited may go. */
static inline void interp_recheck_interrupts(struct alc_vcpu *v, struct interp *c)
{
	if (unlikely(c->intr_waiting)) {
		c->intr_waiting = false;
		atomic_fetch_or(&v->attention, X86_ATTN_INTR);
	}
}

/* In memory of its own, if c->tables is not set yet; that must have TLB_TABLES_BYTES, zeroed. */
enum { TLB_TABLES_BYTES = TLB_TABLES * TLB_SIZE * sizeof(struct tlb_entry) };
int tlb_create(struct alc_vcpu *v, struct interp *c, struct alc_err *err);
void tlb_destroy(struct alc_vcpu *v, struct interp *c);
/* Makes an entry for an access of the present privilege, if memory is there; else false. */
bool tlb_refill(struct alc_vcpu *v, struct interp *c, u64 gva, unsigned access);
/* silent_stores: may stores go to this page without a word? That is noted. */
bool tlb_may_store(struct alc_page *page);
/* The page at a guest-physical address, if it is RAM or ROM for this vCPU. */
bool tlb_span(const struct alc_vcpu *v, u64 a, struct alc_span *span);

/* A tag that entry i can't match: a non-canonical page whose place is another entry. */
static inline u64 tlb_impossible_tag(unsigned i)
{
	return BIT(62) | (u64)((i ^ 1) & (TLB_SIZE - 1)) << ALC_PAGE_SHIFT;
}

static inline void tlb_entry_clear(struct interp *c, unsigned i)
{
	c->tables[i].rtag = c->tables[i].wtag = tlb_impossible_tag(i);
}

/* Pages with different marks are different. */
static inline u8 tlb_mark(const struct alc_page *page)
{
	return (u8)((u32)((uintptr_t)page / sizeof(*page)) * 0x9e3779b1u >> 24);
}

/*
 * spaces.c. silent_stores: takes the write right from all entries of a page, or (NULL) of all.
 */
void tlb_drop_writes(struct interp *c, const struct alc_page *page);
/* May this be a part of one of them? */
bool tlb_large_has(const struct tlb_large *l, u64 gva);
void tlb_large_add(struct tlb_large *l, u64 gva);
/* As struct x86_engine_ops says. */
void interp_switch_space(struct alc_vcpu *v, u64 from, bool keep);
void interp_flush_all(struct alc_vcpu *v);
void interp_flush_nonglobal(struct alc_vcpu *v);
void interp_flush_space(struct alc_vcpu *v, unsigned pcid);
void interp_flush_page(struct alc_vcpu *v, unsigned pcid, u64 gva);
/* Chooses table and mode from the present state. */
void interp_mode_changed(struct alc_vcpu *v);
extern const struct x86_engine_ops interp_ops;

/* ---- For engines that are built around the interpreter ------------------------------------------
 *
 * Their struct begins with a struct interp, to which v->engine points, and their machine's with a
 * struct interp_vm. Between interp_begin and interp_end, on one thread: interp_boundary where
 * v->attention or c->exit say so, then blocks.
 */
enum interp_next { NEXT_RUN, NEXT_RETURN };

int interp_vm_init(struct interp_vm *vm, const struct x86_platform *plat, struct alc_err *err);
void interp_vm_fini(struct interp_vm *vm);
int interp_vcpu_init(struct interp *c, struct interp_vm *vm, struct alc_vcpu *v,
		     struct alc_err *err);
void interp_vcpu_fini(struct interp *c);
void interp_begin(struct alc_vcpu *v, struct interp *c, struct alc_err *err);
void interp_end(struct alc_vcpu *v, struct interp *c);
/* After a block: what it left, then what came from outside. NEXT_RETURN: *out is the reason. */
enum interp_next interp_boundary(struct alc_vcpu *v, struct interp *c, enum alc_exit *out);
/* Runs the block at RIP, whatever that takes; c->exit says if there is more to do. */
void interp_run_next(struct alc_vcpu *v, struct interp *c);
/* The same for a block that block_next has found, not under MODE_SINGLE. */
void interp_run_block(struct alc_vcpu *v, struct interp *c, struct block *b);
void interp_faulted(struct interp *c);
/* What the contract of engine.h asks for. */
void interp_set_state(struct alc_vcpu *v);
void interp_invalidate(void *vm, alc_gpa base, u64 len);
void interp_stats(struct alc_vcpu *v, void (*fn)(void *ctx, const char *name, u64 value),
		  void *ctx);

enum alc_exit interp_run(struct alc_vcpu *v, struct alc_err *err);
extern const struct alc_engine interp_engine;

#endif
