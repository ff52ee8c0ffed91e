/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "isa_world.h"

#include "base/errno.h"

#include "isa/fpu.h"

#define TSC_HZ 2700000000ull

static const struct {
	const char *name;
	u32 leaf, subleaf;
	u8 reg, bit;
} bits[X86_FEATURES] = {
#define eax                                        0
#define ebx                                        1
#define ecx                                        2
#define edx                                        3
#define FEATURE(id, leaf, subleaf, reg, bit, text) {text, leaf, subleaf, reg, bit},
#include "isa/features.inc"
#undef FEATURE
#undef eax
#undef ebx
#undef ecx
#undef edx
};

static struct x86_cpuid_regs query(struct world *w, unsigned cpu, u32 leaf, u32 sub)
{
	return cpuid_query(w->vcpus[cpu], leaf, sub);
}

static u32 reg(struct x86_cpuid_regs r, unsigned n)
{
	const u32 all[] = {r.eax, r.ebx, r.ecx, r.edx};

	return all[n];
}

static void assert_regs(struct x86_cpuid_regs r, u32 a, u32 b, u32 c, u32 d)
{
	assert_int_equal(r.eax, a);
	assert_int_equal(r.ebx, b);
	assert_int_equal(r.ecx, c);
	assert_int_equal(r.edx, d);
}

static void feature_table(void **state)
{
	for (unsigned i = 0; i < X86_FEATURES; i++) {
		assert_true(bits[i].bit < 32);
		for (unsigned k = 0; k < i; k++) {
			assert_string_not_equal(bits[i].name, bits[k].name);
			assert_false(bits[i].leaf == bits[k].leaf &&
				     bits[i].subleaf == bits[k].subleaf &&
				     bits[i].reg == bits[k].reg && bits[i].bit == bits[k].bit);
		}
	}
}

/* Each offered feature shows in its bit; OSXSAVE only once the guest has set CR4. */
static void bits_follow_table(void **state)
{
	for (const char *const *name = cpuid_profiles; *name; name++) {
		struct world w;

		world_init(&w, 3, *name, TSC_HZ);
		for (unsigned f = 0; f < X86_FEATURES; f++)
			assert_int_equal(
				reg(query(&w, 1, bits[f].leaf, bits[f].subleaf), bits[f].reg) >>
						bits[f].bit &
					1,
				cpuid_has(&w.cpuid, (enum x86_feature)f));
		assert_false(cpuid_has(&w.cpuid, X86_FEAT_OSXSAVE));
		w.vcpus[1]->cr4 |= X86_CR4_OSXSAVE;
		assert_true(query(&w, 1, 1, 0).ecx & BIT(27));
		lapic_set_base(w.vcpus[1]->lapic, 0xfee00000);
		assert_false(query(&w, 1, 1, 0).edx & BIT(9));
		assert_true(query(&w, 0, 1, 0).edx & BIT(9));
		world_fini(&w);
	}
}

static void profiles(void **state)
{
	static const enum x86_feature always[] = {
		X86_FEAT_FPU,
		X86_FEAT_CX8,
		X86_FEAT_CMOV,
		X86_FEAT_FXSR,
		X86_FEAT_SSE2,
		X86_FEAT_PAE,
		X86_FEAT_LM,
		X86_FEAT_NX,
		X86_FEAT_APIC,
		X86_FEAT_X2APIC,
		X86_FEAT_SYSCALL,
		X86_FEAT_HYPERVISOR,
		X86_FEAT_TSC_DEADLINE,
		X86_FEAT_KVM_CLOCKSOURCE2,
		X86_FEAT_INVARIANT_TSC,
	};
	static const enum x86_feature never[] = {
		X86_FEAT_PKU,          X86_FEAT_LA57,  X86_FEAT_SHSTK,    X86_FEAT_IBT,
		X86_FEAT_RTM,          X86_FEAT_HLE,   X86_FEAT_AMX_TILE, X86_FEAT_AVX512IFMA,
		X86_FEAT_XSAVES,       X86_FEAT_RDPID, X86_FEAT_VMX,      X86_FEAT_MONITOR,
		X86_FEAT_KVM_ASYNC_PF,
	};
	static const enum x86_feature level4[] = {X86_FEAT_AVX512F, X86_FEAT_AVX512BW,
						  X86_FEAT_AVX512CD, X86_FEAT_AVX512DQ,
						  X86_FEAT_AVX512VL};
	static const enum x86_feature only_max[] = {X86_FEAT_SMAP, X86_FEAT_SPEC_CTRL};
	u64 host[(X86_FEATURES + 63) / 64];
	bool avx512;

	cpuid_host_features(host);
	avx512 = host[X86_FEAT_AVX512F / 64] >> X86_FEAT_AVX512F % 64 & 1;
	for (const char *const *name = cpuid_profiles; *name; name++) {
		struct x86_cpuid_table t;

		if (!strcmp(*name, "x86-64-v4") && !avx512) {
			assert_int_equal(cpuid_table_init(&t, *name, 1, TSC_HZ, NULL), -EINVAL);
			continue;
		}
		assert_int_equal(cpuid_table_init(&t, *name, 1, TSC_HZ, NULL), 0);
		assert_string_equal(t.profile, *name);
		for (unsigned i = 0; i < ARRAY_LEN(always); i++)
			assert_true(cpuid_has(&t, always[i]));
		for (unsigned i = 0; i < ARRAY_LEN(never); i++)
			assert_false(cpuid_has(&t, never[i]));
		for (unsigned i = 0; i < ARRAY_LEN(only_max); i++)
			assert_int_equal(cpuid_has(&t, only_max[i]), !strcmp(*name, "max"));
		/* What the host executes in the guest's place, it has. */
		static const enum x86_feature units[] = {X86_FEAT_AVX, X86_FEAT_AVX2, X86_FEAT_FMA,
							 X86_FEAT_AES, X86_FEAT_SHA_NI};
		for (unsigned i = 0; i < ARRAY_LEN(units); i++)
			if (cpuid_has(&t, units[i]))
				assert_true(host[units[i] / 64] >> units[i] % 64 & 1);
		assert_int_equal(!!(t.xcr0_mask & X86_XCR0_AVX), cpuid_has(&t, X86_FEAT_AVX));
		/* All of the level's part that is AVX-512, or none, and where it is asked for. */
		for (unsigned i = 0; i < ARRAY_LEN(level4); i++)
			assert_int_equal(
				cpuid_has(&t, level4[i]),
				avx512 && (!strcmp(*name, "max") || !strcmp(*name, "x86-64-v4")));
		assert_int_equal(t.xcr0_mask & X86_XCR0_AVX512,
				 cpuid_has(&t, X86_FEAT_AVX512F) ? X86_XCR0_AVX512 : 0);
	}
}

static void bad_arguments(void **state)
{
	struct x86_cpuid_table t = {.ncpus = 77};
	struct alc_err err = {0};

	assert_int_not_equal(cpuid_table_init(&t, "x86-64-v9", 1, TSC_HZ, &err), 0);
	assert_non_null(strstr(err.text, "x86-64-v9"));
	assert_int_not_equal(cpuid_table_init(&t, "max", 0, TSC_HZ, NULL), 0);
	assert_int_not_equal(cpuid_table_init(&t, "max", 65, TSC_HZ, NULL), 0);
	assert_int_not_equal(cpuid_table_init(&t, "max", 1, 0, NULL), 0);
	assert_int_equal(t.ncpus, 77);
}

static void identity(void **state)
{
	struct world w;
	struct x86_cpuid_regs r;
	char text[49] = {0};

	world_init(&w, 4, "default", TSC_HZ);
	r = query(&w, 0, 0, 0);
	memcpy(text, &r.ebx, 4);
	memcpy(text + 4, &r.edx, 4);
	memcpy(text + 8, &r.ecx, 4);
	assert_string_equal(text, "GenuineIntel");
	r = query(&w, 0, 0x40000000, 0);
	memcpy(text, &r.ebx, 12);
	assert_memory_equal(text, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(r.eax, 0x40000010);
	for (u32 i = 0; i < 3; i++) {
		r = query(&w, 0, 0x80000002 + i, 0);
		memcpy(text + 16 * i, &r, 16);
	}
	assert_string_equal(text, "Alcazar virtual CPU");
	assert_int_equal(query(&w, 0, 0x80000008, 0).eax, 48 << 8 | 46);
	/* Past the end: the highest basic leaf. */
	for (unsigned i = 0; i < 3; i++) {
		static const u32 out[] = {0x20, 0x40000011, 0x80000009};

		r = query(&w, 2, out[i], 1);
		assert_regs(r, 2, 4, 0x201, 2);
	}
	world_fini(&w);
}

static void topology(void **state)
{
	static const struct {
		unsigned cpus, bits;
	} cases[] = {{1, 0}, {2, 1}, {3, 2}, {4, 2}, {20, 5}};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned n = cases[i].cpus;
		struct x86_cpuid_regs r;
		struct world w;

		world_init(&w, n, "default", TSC_HZ);
		r = query(&w, n - 1, 0xb, 0);
		assert_regs(r, 0, 1, 0x100, n - 1);
		r = query(&w, n - 1, 0xb, 1);
		assert_regs(r, cases[i].bits, n, 0x201, n - 1);
		r = query(&w, n - 1, 0x1f, 2);
		assert_regs(r, 0, 0, 2, n - 1);
		r = query(&w, n - 1, 1, 0);
		assert_int_equal(r.ebx >> 24, n - 1);
		assert_int_equal(r.ebx >> 16 & 0xff, 1 << cases[i].bits);
		assert_int_equal(r.edx >> 28 & 1, n > 1);
		assert_int_equal(query(&w, 0, 4, 3).eax >> 14 & 0xfff, (1 << cases[i].bits) - 1);
		assert_int_equal(query(&w, 0, 4, 4).eax, 0);
		world_fini(&w);
	}
}

static void frequencies(void **state)
{
	static const u64 hz[] = {1000000000, 2700000000, 2699998000, 2500000000,
				 6000000000, 3599999999, 1000000};

	for (unsigned i = 0; i < ARRAY_LEN(hz); i++) {
		struct world w;
		struct x86_cpuid_regs r;
		u64 crystal_khz;

		world_init(&w, 1, "default", hz[i]);
		r = query(&w, 0, 0x15, 0);
		/* As operating systems compute it, in 32 bits. */
		crystal_khz = r.ecx / 1000;
		assert_true(crystal_khz * r.ebx <= UINT32_MAX);
		assert_int_equal(crystal_khz * r.ebx / r.eax, hz[i] / 1000);
		r = query(&w, 0, 0x40000010, 0);
		assert_int_equal(r.eax, hz[i] / 1000);
		assert_int_equal(r.ebx, 1000000);
		world_fini(&w);
	}
}

static void xsave_leaf(void **state)
{
	struct world w;
	struct x86_cpuid_regs r;

	world_init(&w, 1, "default", TSC_HZ);
	r = query(&w, 0, 0xd, 0);
	assert_int_equal(r.eax, w.cpuid.xcr0_mask);
	assert_int_equal(r.ebx, 576);
	assert_int_equal(r.ecx, xsave_size(w.cpuid.xcr0_mask));
	w.vcpus[0]->xcr0 = w.cpuid.xcr0_mask;
	assert_int_equal(query(&w, 0, 0xd, 0).ebx, r.ecx);
	assert_int_equal(query(&w, 0, 0xd, 1).ebx, xsave_size_compacted(w.cpuid.xcr0_mask));
	assert_int_equal(xsave_size(X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX), 832);
	assert_int_equal(xsave_size(0xe7), 2688);
	assert_int_equal(xsave_size_compacted(0xe7), 2432);
	world_fini(&w);
	world_init(&w, 1, "x86-64-v2", TSC_HZ);
	r = query(&w, 0, 0xd, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(feature_table), cmocka_unit_test(bits_follow_table),
		cmocka_unit_test(profiles),      cmocka_unit_test(bad_arguments),
		cmocka_unit_test(identity),      cmocka_unit_test(topology),
		cmocka_unit_test(frequencies),   cmocka_unit_test(xsave_leaf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
