/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_X86_H
#define ISA_X86_H

/*
 * x86 architectural state and constants. Everything a guest can observe of a CPU is in
 * struct alc_vcpu; how it is run is an engine's business.
 *
 * References: Intel SDM (vol. 1-4), AMD APM (vol. 1-5).
 */
#include "base/bits.h"
#include "bus/irq.h"
#include "host/clock.h"
#include "host/entropy.h"
#include "mem/space.h"

enum x86_gpr {
	X86_RAX,
	X86_RCX,
	X86_RDX,
	X86_RBX,
	X86_RSP,
	X86_RBP,
	X86_RSI,
	X86_RDI,
	X86_R8,
	X86_R9,
	X86_R10,
	X86_R11,
	X86_R12,
	X86_R13,
	X86_R14,
	X86_R15,
	X86_GPRS,
	/* Two slots past the architectural ones, for address computation by table: */
	X86_REG_ZERO = X86_GPRS, /* always 0: "no base", "no index" */
	X86_REG_BLOCK,           /* an engine's own: RIP at the start of the block it runs */
	X86_REG_SLOTS,
};

/* In the encoding order of Sreg. */
enum x86_segment { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_SEGS };

/* RFLAGS */
enum {
	X86_CF = 1 << 0,
	X86_R1 = 1 << 1,
	X86_PF = 1 << 2,
	X86_AF = 1 << 4,
	X86_ZF = 1 << 6,
	X86_SF = 1 << 7,
	X86_TF = 1 << 8,
	X86_IF = 1 << 9,
	X86_DF = 1 << 10,
	X86_OF = 1 << 11,
	X86_IOPL = 3 << 12,
	X86_NT = 1 << 14,
	X86_RF = 1 << 16,
	X86_VM = 1 << 17,
	X86_AC = 1 << 18,
	X86_VIF = 1 << 19,
	X86_VIP = 1 << 20,
	X86_ID = 1 << 21,
	X86_ARITH = X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_OF,
};

/* CR0 */
#define X86_CR0_PE BIT(0)
#define X86_CR0_MP BIT(1)
#define X86_CR0_EM BIT(2)
#define X86_CR0_TS BIT(3)
#define X86_CR0_ET BIT(4)
#define X86_CR0_NE BIT(5)
#define X86_CR0_WP BIT(16)
#define X86_CR0_AM BIT(18)
#define X86_CR0_NW BIT(29)
#define X86_CR0_CD BIT(30)
#define X86_CR0_PG BIT(31)

/* CR4 */
#define X86_CR4_VME        BIT(0)
#define X86_CR4_PVI        BIT(1)
#define X86_CR4_TSD        BIT(2)
#define X86_CR4_DE         BIT(3)
#define X86_CR4_PSE        BIT(4)
#define X86_CR4_PAE        BIT(5)
#define X86_CR4_MCE        BIT(6)
#define X86_CR4_PGE        BIT(7)
#define X86_CR4_PCE        BIT(8)
#define X86_CR4_OSFXSR     BIT(9)
#define X86_CR4_OSXMMEXCPT BIT(10)
#define X86_CR4_UMIP       BIT(11)
#define X86_CR4_LA57       BIT(12)
#define X86_CR4_FSGSBASE   BIT(16)
#define X86_CR4_PCIDE      BIT(17)
#define X86_CR4_OSXSAVE    BIT(18)
#define X86_CR4_SMEP       BIT(20)
#define X86_CR4_SMAP       BIT(21)
#define X86_CR4_PKE        BIT(22)

/* EFER */
#define X86_EFER_SCE BIT(0)
#define X86_EFER_LME BIT(8)
#define X86_EFER_LMA BIT(10)
#define X86_EFER_NXE BIT(11)

/* Exceptions (SDM vol. 3A 6.15) */
enum x86_vector {
	X86_DE = 0,
	X86_DB = 1,
	X86_NMI = 2,
	X86_BP = 3,
	X86_OFV = 4,
	X86_BR = 5,
	X86_UD = 6,
	X86_NM = 7,
	X86_DF_ = 8,
	X86_TS_ = 10,
	X86_NP = 11,
	X86_SSF = 12,
	X86_GP = 13,
	X86_PFV = 14,
	X86_MF = 16,
	X86_AC_ = 17,
	X86_MC = 18,
	X86_XM = 19,
};

/* Page-fault error code (SDM vol. 3A 4.7) */
enum {
	X86_PF_P = 1,
	X86_PF_W = 2,
	X86_PF_U = 4,
	X86_PF_RSVD = 8,
	X86_PF_I = 16,
	X86_PF_PK = 32,
};

/*
 * Descriptor attributes: bits 40-55 of a descriptor, with the limit's four bits cleared
 * (SDM vol. 3A 3.4.5).
 */
enum {
	X86_SEG_TYPE = 0xf,
	X86_SEG_ACCESSED = 1,
	X86_SEG_RW = 2,
	X86_SEG_DC = 4,
	X86_SEG_CODE = 8,
	X86_SEG_S = 0x10,
	X86_SEG_DPL = 0x60,
	X86_SEG_DPL_SHIFT = 5,
	X86_SEG_P = 0x80,
	X86_SEG_L = 0x2000,
	X86_SEG_DB = 0x4000,
	X86_SEG_G = 0x8000,
};

struct x86_seg {
	u64 base;
	u32 limit; /* in bytes, granularity applied */
	u16 sel;
	u16 attr; /* X86_SEG_*; P clear means unusable (a null selector) */
};

struct x86_dtr {
	u64 base;
	u16 limit;
};

/* x87, SSE, AVX: the registers themselves, not an image; images are made by fpu.h. */
struct x86_fpu {
	_Alignas(64)
		u64 vec[32][8]; /* ZMM0-31, low quadwords first; XMM and YMM are their low parts */
	u64 k[8];
	u8 st[8][16]; /* ST(0)-ST(7) in stack order, 10 bytes used, as FXSAVE lays them out */
	u16 fcw, fsw;
	u8 ftw; /* abridged: 1 = valid */
	u16 fop;
	u64 fip, fdp;
	u32 mxcsr;
};

enum x86_activity {
	X86_RUNNING,
	X86_HALTED,
	X86_WAIT_SIPI, /* an application processor before its SIPI */
	X86_SHUTDOWN,  /* after a triple fault */
};

/* MSRs that are plain storage; those with a home elsewhere (EFER, APIC base) live there. */
struct x86_msrs {
	u64 star, lstar, cstar, sfmask;
	u64 kernel_gs_base, tsc_aux;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 pat, misc_enable, feature_control, xss;
	u64 mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
	u64 tsc_offset; /* guest TSC = clock ticks + this */
	u64 tsc_adjust;
	u64 spec_ctrl;
	u64 mcg_status, mcg_ctl;
};

/* KVM's paravirtual interface (Linux, Documentation/virt/kvm/x86/msr.rst). */
struct x86_kvm_pv {
	u64 system_time, wall_clock, steal_time, async_pf, async_pf_int, poll_control, pv_eoi;
	u32 time_version, wall_version;
};

/* A fault on its way: set by the function that found it, delivered at the instruction's end. */
struct x86_fault {
	u8 vector;
	bool has_error;
	u32 error;
	u64 cr2;     /* for #PF */
	u64 dr6_set; /* for #DB */
};

struct alc_vcpu;
struct x86_lapic;
struct x86_cpuid_table;

/*
 * What the instruction semantics need of an engine: access to guest-virtual memory through
 * whatever cache of translations the engine keeps.
 */
enum x86_access {
	X86_READ = 0,
	X86_WRITE = 1,
	X86_EXEC = 2,
	X86_RMW = X86_WRITE, /* a read that needs the write right */
	X86_IMPLICIT = 4,    /* supervisor access whatever the CPL: GDT, IDT, TSS … */
};

struct x86_engine_ops {
	/*
	 * Reads or writes len bytes (at most 64, any alignment, page crossing too) at a linear
	 * address, to memory or to a device. Nonzero: v->fault is set and nothing was written.
	 */
	int (*read)(struct alc_vcpu *v, u64 gva, void *to, unsigned len, unsigned access);
	int (*write)(struct alc_vcpu *v, u64 gva, const void *from, unsigned len, unsigned access);
	/*
	 * The address space is what CR3 says from now on, and was what `from` says. keep: what was
	 * cached under its PCID before holds still; else nothing of that does but global pages, as
	 * always without CR4.PCIDE (SDM vol. 3A 4.10.4.1).
	 */
	void (*switch_space)(struct alc_vcpu *v, u64 from, bool keep);
	/*
	 * Translations may be stale: all; all but global ones; those of one PCID but global ones;
	 * one page's under one PCID, or global.
	 */
	void (*flush_all)(struct alc_vcpu *v);
	void (*flush_nonglobal)(struct alc_vcpu *v);
	void (*flush_space)(struct alc_vcpu *v, unsigned pcid);
	void (*flush_page)(struct alc_vcpu *v, unsigned pcid, u64 gva);
	/* CR0, CR4, EFER, CPL or a segment changed: whatever the engine derived from them. */
	void (*mode_changed)(struct alc_vcpu *v);
};

/*
 * Reasons for a vCPU to leave its fast path at the next instruction boundary. Set by anyone,
 * with x86_attend(); taken by the vCPU's own thread.
 */
enum x86_attention {
	X86_ATTN_INTR = 1 << 0, /* the local APIC or the PIC may have an interrupt */
	X86_ATTN_NMI = 1 << 1,
	X86_ATTN_INIT = 1 << 2,
	X86_ATTN_SIPI = 1 << 3,
	X86_ATTN_STOP = 1 << 4, /* return to the run loop */
	X86_ATTN_SMI = 1 << 5,
	X86_ATTN_WORK = 1 << 6,  /* the run loop has something to do on this thread */
	X86_ATTN_PAUSE = 1 << 7, /* the engine's own: another vCPU must be alone for a moment */
	X86_ATTN_CODE = 1 << 8,  /* the engine's own: code was written to */
};

/* Where the vCPU stands in its machine. Constant after creation. */
struct x86_platform {
	const struct alc_host *host;
	struct alc_clock *clock;
	struct alc_entropy *entropy; /* NULL: the host's */
	struct alc_space *space;
	struct region_map *ports;
	u64 tsc_hz; /* of the guest's TSC; also in CPUID */
	/* The 8259 pair's interrupt acknowledge: a vector, or -1 if its line is down. */
	int (*pic_ack)(void *ctx);
	void *pic_ctx;
	/* End of a level-triggered interrupt, to the I/O APIC. */
	void (*eoi)(void *ctx, u8 vector);
	void *eoi_ctx;
	/* Wakes the thread of a vCPU that may be halted; called after x86_attend set a bit. */
	void (*kick)(void *ctx, struct alc_vcpu *v);
	void *kick_ctx;
	struct alc_vcpu **vcpus; /* all, by index */
	unsigned nvcpus;
	size_t vcpu_bytes; /* zeroed memory behind each struct alc_vcpu, for its engine */
};

struct alc_vcpu {
	u64 gpr[X86_REG_SLOTS];
	u64 rip;
	u64 rflags;
	struct x86_seg seg[X86_SEGS];
	struct x86_seg ldtr, tr;
	struct x86_dtr gdtr, idtr;
	u64 cr0, cr2, cr3, cr4, xcr0, efer;
	u64 dr[8]; /* 4 and 5 unused */
	u8 cpl;
	struct x86_msrs msr;
	struct x86_kvm_pv pv;
	u8 activity;      /* enum x86_activity */
	bool nmi_blocked; /* until IRET */
	/*
	 * RIP of the instruction that STI or MOV SS shields from interrupts (SDM vol. 3A 6.8.3),
	 * or ~0: the shadow ends when RIP moves on.
	 */
	u64 shadow_rip;
	bool shadow_ss;         /* it is MOV SS's, which holds back debug traps too */
	struct x86_fault fault; /* meaningful only right after a function reported one */
	/* What x86_unsupported() was told: a part of the architecture that is not built. */
	const char *unsupported;
	struct x86_fpu fpu;
	struct x86_lapic *lapic;

	_Atomic(u32) attention; /* enum x86_attention */
	u8 sipi_vector;         /* of the pending SIPI */

	const struct x86_platform *plat;
	const struct x86_cpuid_table *cpuid;
	const struct x86_engine_ops *ops;
	void *engine; /* the engine's own */
	unsigned index;

	/*
	 * Executed instructions, and how many there shall be at most; engine.h says what counts.
	 * Changed by the vCPU's thread; run_until lowered by others too.
	 */
	u64 instructions;
	_Atomic(u64) run_until;
};

/* Sets a bit of v->attention and wakes it if it sleeps. From any thread. */
void x86_attend(struct alc_vcpu *v, unsigned bits);

/* Records a fault; returns 1 so that callers write `return x86_raise(…)`. */
int x86_raise(struct alc_vcpu *v, unsigned vector);
int x86_raise_error(struct alc_vcpu *v, unsigned vector, u32 error);
int x86_raise_page_fault(struct alc_vcpu *v, u64 gva, u32 error);

/*
 * Reports a feature that the ISA layer lacks; returns X86_UNSUPPORTED. The engine then stops the
 * machine with a sentence that names instruction and mode: never wrong behaviour.
 */
enum { X86_OK = 0, X86_FAULT = 1, X86_UNSUPPORTED = -1 };
int x86_unsupported(struct alc_vcpu *v, const char *what);

static inline bool x86_long_mode(const struct alc_vcpu *v)
{
	return v->efer & X86_EFER_LMA;
}

/* Running 64-bit code (rather than compatibility mode). */
static inline bool x86_code64(const struct alc_vcpu *v)
{
	return x86_long_mode(v) && (v->seg[X86_CS].attr & X86_SEG_L);
}

static inline bool x86_protected(const struct alc_vcpu *v)
{
	return v->cr0 & X86_CR0_PE;
}

static inline bool x86_canonical(u64 a)
{
	return (u64)((i64)(a << 16) >> 16) == a;
}

/* What cached translations are of; one for all without CR4.PCIDE. */
static inline unsigned x86_pcid(const struct alc_vcpu *v)
{
	return v->cr4 & X86_CR4_PCIDE ? v->cr3 & 0xfff : 0;
}

/* The guest's time-stamp counter now. */
u64 x86_tsc(const struct alc_vcpu *v);

#endif
