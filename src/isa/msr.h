/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_MSR_H
#define ISA_MSR_H

#include "isa/x86.h"

/*
 * Model-specific registers, by table: each row says what reading and writing mean, which bits
 * may be set and what is #GP. An MSR without a row is #GP(0), as on a CPU that lacks it.
 *
 * Nonzero: #GP(0) was recorded in v->fault. CPL is the caller's to check.
 */
int x86_rdmsr(struct alc_vcpu *v, u32 msr, u64 *val);
int x86_wrmsr(struct alc_vcpu *v, u32 msr, u64 val);

/* Power-on values of struct x86_msrs (INIT leaves most of them alone). */
void x86_msr_reset(struct alc_vcpu *v);
/*
 * What firmware leaves behind, for machines that start an operating system without any: memory
 * types enabled with write-back as the default, feature control locked. For every vCPU alike,
 * after its reset.
 */
void x86_msr_firmware(struct alc_vcpu *v);

enum {
	MSR_TSC = 0x10,
	MSR_KVM_WALL_CLOCK_OLD = 0x11,
	MSR_KVM_SYSTEM_TIME_OLD = 0x12,
	MSR_PLATFORM_ID = 0x17,
	MSR_APIC_BASE = 0x1b,
	MSR_FEATURE_CONTROL = 0x3a,
	MSR_TSC_ADJUST = 0x3b,
	MSR_SPEC_CTRL = 0x48,
	MSR_PRED_CMD = 0x49,
	MSR_BIOS_SIGN_ID = 0x8b,
	MSR_PLATFORM_INFO = 0xce,
	MSR_MTRRCAP = 0xfe,
	MSR_ARCH_CAPABILITIES = 0x10a,
	MSR_FLUSH_CMD = 0x10b,
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_MCG_CAP = 0x179,
	MSR_MCG_STATUS = 0x17a,
	MSR_MCG_CTL = 0x17b,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_DEBUGCTL = 0x1d9,
	MSR_MTRR_PHYS_BASE0 = 0x200,
	MSR_MTRR_PHYS_MASK7 = 0x20f,
	MSR_MTRR_FIX_64K = 0x250,
	MSR_MTRR_FIX_16K = 0x258, /* and 0x259 */
	MSR_MTRR_FIX_4K = 0x268,  /* to 0x26f */
	MSR_PAT = 0x277,
	MSR_MTRR_DEF_TYPE = 0x2ff,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_X2APIC = 0x800,
	MSR_XSS = 0xda0,
	MSR_EFER = 0xc0000080,
	MSR_STAR = 0xc0000081,
	MSR_LSTAR = 0xc0000082,
	MSR_CSTAR = 0xc0000083,
	MSR_SFMASK = 0xc0000084,
	MSR_FS_BASE = 0xc0000100,
	MSR_GS_BASE = 0xc0000101,
	MSR_KERNEL_GS_BASE = 0xc0000102,
	MSR_TSC_AUX = 0xc0000103,
	MSR_KVM_WALL_CLOCK = 0x4b564d00,
	MSR_KVM_SYSTEM_TIME = 0x4b564d01,
	MSR_KVM_STEAL_TIME = 0x4b564d03,
	MSR_KVM_POLL_CONTROL = 0x4b564d05,
};

#endif
