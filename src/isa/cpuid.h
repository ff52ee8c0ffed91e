/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_CPUID_H
#define ISA_CPUID_H

#include "alcazar/err.h"
#include "isa/x86.h"

/*
 * CPUID by table: a profile (`default`, `max`, `x86-64-v1` … `v4`) names features; the features
 * that need the host's own execution units (SSE to AVX2, AES …) are offered only where the host
 * has them; leaves with topology, XSAVE sizes, TSC frequency and KVM's signature are computed.
 */
enum x86_feature {
#define FEATURE(id, leaf, subleaf, reg, bit, text) X86_FEAT_##id,
#include "isa/features.inc"
#undef FEATURE
	X86_FEATURES,
};

struct x86_cpuid_regs {
	u32 eax, ebx, ecx, edx;
};

struct x86_cpuid_table {
	const char *profile;
	u64 features[(X86_FEATURES + 63) / 64];
	unsigned ncpus;
	u64 tsc_hz;
	u64 xcr0_mask; /* XCR0 bits that the guest may set */
	char brand[48];
	u32 signature;         /* family, model, stepping: leaf 1, EAX */
	u64 arch_capabilities; /* what IA32_ARCH_CAPABILITIES may claim at most */
};

static inline bool cpuid_has(const struct x86_cpuid_table *t, enum x86_feature f)
{
	return t->features[f / 64] >> (f % 64) & 1;
}

/* Widths of physical and linear addresses: what leaf 0x80000008 says and the paging walk obeys. */
enum { X86_PHYS_BITS = 46, X86_LINEAR_BITS = 48 };
/* The APIC timer's input clock, and the unit of its count registers before the divider. */
#define X86_APIC_BUS_HZ 1000000000ull

/* What the host's own CPU can execute in user mode, in the same bitmap form. */
void cpuid_host_features(u64 features[(X86_FEATURES + 63) / 64]);
/* -EINVAL and a sentence for an unknown profile, or one that this host can't provide. */
int cpuid_table_init(struct x86_cpuid_table *t, const char *profile, unsigned ncpus, u64 tsc_hz,
		     struct alc_err *err) ALC_MUST_CHECK;
/* Profile names, NULL-terminated, for help. */
extern const char *const cpuid_profiles[];
/* Leaf as CPU v sees it now (OSXSAVE, APIC, XSAVE size depend on its state). */
struct x86_cpuid_regs cpuid_query(const struct alc_vcpu *v, u32 leaf, u32 subleaf);
/* Bytes that the standard-format XSAVE area takes for the components in mask. */
u32 xsave_size(u64 mask);
u32 xsave_size_compacted(u64 mask);

#endif
