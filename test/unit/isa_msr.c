/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "isa_world.h"

#include "isa/msr.h"

#define TSC_HZ       2700000000ull
#define NONCANONICAL 0x0000800000000000ull

static void fault_cleared(struct alc_vcpu *v)
{
	v->fault = (struct x86_fault){0};
}

static int wr(struct alc_vcpu *v, u32 msr, u64 val)
{
	int r;

	fault_cleared(v);
	r = x86_wrmsr(v, msr, val);
	assert_int_equal(v->fault.vector, r ? X86_GP : 0);
	assert_int_equal(v->fault.has_error, !!r);
	return r;
}

static u64 rd(struct alc_vcpu *v, u32 msr)
{
	u64 val = 0xdead;

	assert_int_equal(x86_rdmsr(v, msr, &val), 0);
	return val;
}

static void written_values(void **state)
{
	/* What is written, and what reads back; fault: #GP, and nothing changes. */
	static const struct {
		u32 msr;
		u64 val, expect;
		bool fault;
	} cases[] = {
		{MSR_PAT, 0x0007010600070106, 0x0007010600070106, false},
		{MSR_PAT, 0x0207010600070106, 0x0007010600070106, true},
		{MSR_MTRR_DEF_TYPE, 0xc06, 0xc06, false},
		{MSR_MTRR_DEF_TYPE, 0xc02, 0xc06, true},
		{MSR_MTRR_DEF_TYPE, 0x1c06, 0xc06, true},
		{MSR_MTRR_PHYS_BASE0, 0x80000006, 0x80000006, false},
		{MSR_MTRR_PHYS_BASE0, BIT(46), 0x80000006, true},
		{MSR_MTRR_PHYS_BASE0, 0x106, 0x80000006, true},
		{MSR_MTRR_PHYS_MASK7, 0x3fff80000800, 0x3fff80000800, false},
		{MSR_MTRR_PHYS_MASK7, 0x3fff80000801, 0x3fff80000800, true},
		{MSR_MTRR_FIX_64K, 0x0606060606060606, 0x0606060606060606, false},
		{MSR_MTRR_FIX_16K + 1, 0x0101010101010101, 0x0101010101010101, false},
		{MSR_MTRR_FIX_4K + 7, 0x0505050505050505, 0x0505050505050505, false},
		{MSR_MTRR_FIX_4K + 7, 0x0705050505050505, 0x0505050505050505, true},
		{MSR_LSTAR, 0xffffffff81000000, 0xffffffff81000000, false},
		{MSR_LSTAR, NONCANONICAL, 0xffffffff81000000, true},
		{MSR_CSTAR, NONCANONICAL, 0, true},
		{MSR_SYSENTER_EIP, NONCANONICAL, 0, true},
		{MSR_FS_BASE, 0x7f0000001000, 0x7f0000001000, false},
		{MSR_FS_BASE, NONCANONICAL, 0x7f0000001000, true},
		{MSR_GS_BASE, 0xffff888000000000, 0xffff888000000000, false},
		{MSR_KERNEL_GS_BASE, NONCANONICAL, 0, true},
		{MSR_STAR, 0x0023001000000000, 0x0023001000000000, false},
		{MSR_SFMASK, 0x47700, 0x47700, false},
		{MSR_SFMASK, BIT(32), 0x47700, true},
		{MSR_TSC_AUX, 3, 3, false},
		{MSR_TSC_AUX, BIT(40), 3, true},
		{MSR_MISC_ENABLE, 0x401800, 0x1800, false},
		{MSR_MCG_CTL, ~0ull, ~0ull, false},
		{MSR_MCG_CTL, 5, ~0ull, true},
		{MSR_MCG_STATUS, 8, 0, true},
		{MSR_BIOS_SIGN_ID, 0, 1ull << 32, false},
		{MSR_DEBUGCTL, 2, 0, false},
		{MSR_DEBUGCTL, 0x40, 0, true},
		{MSR_KVM_POLL_CONTROL, 1, 1, false},
		{MSR_KVM_POLL_CONTROL, 2, 1, true},
		{MSR_KVM_STEAL_TIME, 0x1021, 0, true},
		{MSR_MTRRCAP, 0, 0x508, true},
		{MSR_PLATFORM_ID, 0, 0, true},
		{MSR_FEATURE_CONTROL, 1, 1, false},
		{MSR_FEATURE_CONTROL, 0, 1, true},
		{MSR_APIC_BASE, 0xfee00d00, 0xfee00d00, false},
		{MSR_APIC_BASE, 0xfee00900, 0xfee00d00, true},
		{MSR_X2APIC + 8, 0x20, 0x20, false},
		{MSR_X2APIC + 8, 0x120, 0x20, true},
	};
	struct world w;

	world_init(&w, 1, "default", TSC_HZ);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(wr(w.vcpus[0], cases[i].msr, cases[i].val), cases[i].fault);
		assert_int_equal(rd(w.vcpus[0], cases[i].msr), cases[i].expect);
	}
	assert_int_equal(w.vcpus[0]->seg[X86_FS].base, 0x7f0000001000);
	assert_int_equal(w.vcpus[0]->seg[X86_GS].base, 0xffff888000000000);
	assert_int_equal(w.mode_changes, 2);
	world_fini(&w);
}

static void efer(void **state)
{
	struct world w;
	struct alc_vcpu *v;

	world_init(&w, 1, "default", TSC_HZ);
	v = w.vcpus[0];
	assert_int_equal(wr(v, MSR_EFER, X86_EFER_LME | X86_EFER_NXE), 0);
	assert_int_equal(w.mode_changes, 1);
	assert_int_equal(w.flushes, 1);
	/* LMA follows paging, not writes. */
	assert_int_equal(wr(v, MSR_EFER, X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE), 0);
	assert_int_equal(v->efer, X86_EFER_LME | X86_EFER_NXE);
	assert_int_equal(w.mode_changes, 1);
	v->cr0 |= X86_CR0_PG;
	v->efer |= X86_EFER_LMA;
	assert_int_equal(wr(v, MSR_EFER, X86_EFER_NXE), 1);
	assert_int_equal(wr(v, MSR_EFER, v->efer | BIT(1)), 1);
	assert_int_equal(wr(v, MSR_EFER, X86_EFER_LME | X86_EFER_NXE | X86_EFER_SCE), 0);
	assert_int_equal(v->efer, X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE);
	world_fini(&w);
}

static void absent(void **state)
{
	static const u32 msrs[] = {0x0,           0x1,          0x4f,          0x79,
				   0x140,         0x1b2,        0x186,         0x400,
				   0x606,         0xc0000105,   0xc0010015,    0xffffffff,
				   MSR_SPEC_CTRL, MSR_PRED_CMD, MSR_FLUSH_CMD, 0x4b564d02};
	struct world w;
	u64 val = 7;

	world_init(&w, 1, "default", TSC_HZ);
	for (unsigned i = 0; i < ARRAY_LEN(msrs); i++) {
		assert_int_equal(x86_rdmsr(w.vcpus[0], msrs[i], &val), 1);
		assert_int_equal(wr(w.vcpus[0], msrs[i], 0), 1);
	}
	assert_int_equal(val, 7);
	assert_int_equal(rd(w.vcpus[0], MSR_ARCH_CAPABILITIES) & 3, 1);
	world_fini(&w);
	world_init(&w, 1, "max", TSC_HZ);
	assert_int_equal(wr(w.vcpus[0], MSR_SPEC_CTRL, 5), 0);
	assert_int_equal(rd(w.vcpus[0], MSR_SPEC_CTRL), 5);
	assert_int_equal(wr(w.vcpus[0], MSR_SPEC_CTRL, 8), 1);
	assert_int_equal(wr(w.vcpus[0], MSR_PRED_CMD, 1), 0);
	assert_int_equal(x86_rdmsr(w.vcpus[0], MSR_PRED_CMD, &val), 1);
	assert_int_equal(rd(w.vcpus[0], MSR_ARCH_CAPABILITIES) & 3, 3);
	world_fini(&w);
}

static void tsc(void **state)
{
	struct world w;
	struct alc_vcpu *v;

	world_init(&w, 1, "default", 1000000000);
	v = w.vcpus[0];
	world_pass(&w, 1000);
	assert_int_equal(rd(v, MSR_TSC), 1000);
	assert_int_equal(wr(v, MSR_TSC, 50), 0);
	assert_int_equal(rd(v, MSR_TSC), 50);
	assert_int_equal(rd(v, MSR_TSC_ADJUST), (u64)-950);
	assert_int_equal(wr(v, MSR_TSC_ADJUST, 0), 0);
	assert_int_equal(rd(v, MSR_TSC), 1000);
	world_fini(&w);
}

static void firmware(void **state)
{
	struct world w;

	world_init(&w, 1, "default", TSC_HZ);
	assert_int_equal(rd(w.vcpus[0], MSR_MTRR_DEF_TYPE), 0);
	assert_int_equal(rd(w.vcpus[0], MSR_PAT), 0x0007040600070406);
	x86_msr_firmware(w.vcpus[0]);
	assert_int_equal(rd(w.vcpus[0], MSR_MTRR_DEF_TYPE), 0xc06);
	assert_int_equal(rd(w.vcpus[0], MSR_MTRR_PHYS_BASE0 + 1), 0x3fffc0000800);
	/* All that firmware sets, an operating system may write back. */
	for (u32 msr = MSR_MTRR_PHYS_BASE0; msr <= MSR_MTRR_DEF_TYPE; msr++) {
		u64 val;

		if (!x86_rdmsr(w.vcpus[0], msr, &val))
			assert_int_equal(wr(w.vcpus[0], msr, val), 0);
	}
	world_fini(&w);
}

static u64 next_random(u64 *s)
{
	*s = *s * 6364136223846793005ull + 1442695040888963407ull;
	return *s ^ *s >> 29;
}

/* Any value in any MSR: #GP or not, and what was accepted as storage stays within its mask. */
static void random_writes(void **state)
{
	static const struct {
		u32 first, last;
	} ranges[] = {{0, 0x2ff},     {0x6e0, 0x6e0},           {0x800, 0x8ff},
		      {0xda0, 0xda0}, {0x4b564d00, 0x4b564d10}, {0xc0000080, 0xc0000103}};
	struct world w;
	u64 seed = 1;

	world_init(&w, 2, "max", TSC_HZ);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < ARRAY_LEN(ranges); i++) {
			for (u32 msr = ranges[i].first; msr <= ranges[i].last; msr++) {
				u64 val = next_random(&seed) >> (next_random(&seed) & 63), got;

				wr(w.vcpus[0], msr, val);
				if (x86_rdmsr(w.vcpus[0], msr, &got))
					assert_int_equal(w.vcpus[0]->fault.vector, X86_GP);
			}
		}
	}
	assert_int_equal(w.vcpus[0]->efer & ~(u64)0xd01, 0);
	assert_true(x86_canonical(w.vcpus[0]->msr.lstar));
	assert_true(x86_canonical(w.vcpus[0]->seg[X86_GS].base));
	assert_int_equal(w.vcpus[0]->msr.tsc_aux >> 32, 0);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_values), cmocka_unit_test(efer),
		cmocka_unit_test(absent),         cmocka_unit_test(tsc),
		cmocka_unit_test(firmware),       cmocka_unit_test(random_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
