/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU that a guest sees: our table, less what KVM can't give on this host.
 *
 * Guests run on the host's own CPU here, whose faults in speculation are theirs too; so they must
 * not take it for the harmless one of the software engines.
 */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "engine/kvm/internal.h"
#include "isa/fpu.h"
#include "isa/msr.h"

enum { ENTRIES_MAX = 256, TEXT_MAX = 200, PHYS_LEAF_BITS = 0xff };

union cpuid_table {
	struct kvm_cpuid2 list;
	u8 room[sizeof(struct kvm_cpuid2) + ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2)];
};

enum reg { eax, ebx, ecx, edx };

static const struct {
	u32 leaf;
	u8 subleaf, reg, bit;
	const char *name;
} bits[X86_FEATURES] = {
#define FEATURE(id, leaf, subleaf, reg, bit, text) \
	[X86_FEAT_##id] = {leaf, subleaf, reg, bit, text},
#include "isa/features.inc"
#undef FEATURE
};

/* Bits that KVM leaves to user space, or that our own tables stand for, whatever it lists. */
static const u16 ours[] = {
	X86_FEAT_APIC,
	X86_FEAT_X2APIC,
	X86_FEAT_TSC_DEADLINE,
	X86_FEAT_HT,
	X86_FEAT_HYPERVISOR,
	X86_FEAT_OSXSAVE,
	X86_FEAT_ARAT,
	X86_FEAT_MTRR,
	X86_FEAT_MCA,
	X86_FEAT_MCE,
	X86_FEAT_PAT,
	X86_FEAT_SELFSNOOP,
	X86_FEAT_ARCH_CAPABILITIES,
};

static int supported(const struct kvm_vm *vm, union cpuid_table *t, struct alc_err *err)
{
	int rc;

	*t = (union cpuid_table){.list.nent = ENTRIES_MAX};
	rc = kvm_call(vm->sys_fd, KVM_GET_SUPPORTED_CPUID, t);
	return rc ? alc_fail(err, rc, "KVM does not list its CPUID bits: %s", strerror(-rc)) : 0;
}

static const struct kvm_cpuid_entry2 *find(const union cpuid_table *t, u32 leaf, u32 sub)
{
	for (u32 i = 0; i < t->list.nent; i++) {
		const struct kvm_cpuid_entry2 *e = &t->list.entries[i];

		if (e->function == leaf &&
		    (e->index == sub || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return e;
	}
	return NULL;
}

/* Areas are the hardware's, and only Intel's processors place AVX-512 where our own areas do. */
static bool places_avx512(const union cpuid_table *t)
{
	for (unsigned i = 5; i <= 7; i++) {
		const struct kvm_cpuid_entry2 *e = find(t, 0xd, i);

		if (!e || e->ebx != fpu_xsave_offset(i, 0, false))
			return false;
	}
	return true;
}

static bool is_avx512(unsigned f)
{
	return f == X86_FEAT_AVX512F || f == X86_FEAT_AVX512BW || f == X86_FEAT_AVX512CD ||
	       f == X86_FEAT_AVX512DQ || f == X86_FEAT_AVX512VL;
}

static bool has(const union cpuid_table *t, unsigned f)
{
	const struct kvm_cpuid_entry2 *e = find(t, bits[f].leaf, bits[f].subleaf);
	u32 regs[4] = {0};

	if (is_avx512(f) && !places_avx512(t))
		return false;

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (ours[i] == f)
			return true;
	if (!e)
		return false;
	regs[eax] = e->eax;
	regs[ebx] = e->ebx;
	regs[ecx] = e->ecx;
	regs[edx] = e->edx;
	return regs[bits[f].reg] >> bits[f].bit & 1;
}

/* Takes away what KVM lacks; its names, with a space before each, come out in text. */
static void drop_missing(const union cpuid_table *have, struct x86_cpuid_table *t,
			 char text[TEXT_MAX])
{
	size_t at = 0;

	text[0] = '\0';
	for (unsigned f = 0; f < X86_FEATURES; f++) {
		if (!cpuid_has(t, (enum x86_feature)f) || has(have, f))
			continue;
		t->features[f / 64] &= ~BIT(f % 64);
		if (at < TEXT_MAX)
			at += fmt_text(text + at, TEXT_MAX - at, " %s", bits[f].name);
	}
	if (!cpuid_has(t, X86_FEAT_XSAVE))
		t->xcr0_mask = 0;
	else if (!cpuid_has(t, X86_FEAT_AVX))
		t->xcr0_mask &= X86_XCR0_X87 | X86_XCR0_SSE;
	else if (!cpuid_has(t, X86_FEAT_AVX512F))
		t->xcr0_mask &= ~X86_XCR0_AVX512;
}

/* ---- TSC ---------------------------------------------------------------------------------- */

/* Hardware can scale the guest's TSC, or the guest has to live with the host's. */
static u64 tsc_hz(const struct kvm_vm *vm, u64 wanted)
{
	int khz;

	if (kvm_call_int(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) > 0)
		return wanted;
	khz = kvm_call_int(vm->fd, KVM_GET_TSC_KHZ, 0);
	return khz > 0 ? (u64)khz * 1000 : 0;
}

/* The VM has no frequency before its first vCPU on older kernels: one is made for the question. */
static u64 tsc_hz_of_vcpu(const struct kvm_vm *vm)
{
	int fd = kvm_call_int(vm->sys_fd, KVM_CREATE_VM, 0), vcpu, khz = 0;

	if (fd < 0)
		return 0;
	vcpu = kvm_call_int(fd, KVM_CREATE_VCPU, 0);
	if (vcpu >= 0) {
		khz = kvm_call_int(vcpu, KVM_GET_TSC_KHZ, 0);
		close(vcpu);
	}
	close(fd);
	return khz > 0 ? (u64)khz * 1000 : 0;
}

/* ---- What the host's CPU is to be taken for ------------------------------------------------ */

/*
 * The host's own model if it is Intel's. Else one of Intel's that no operating system exempts
 * from anything, so that IA32_ARCH_CAPABILITIES alone speaks.
 */
static u32 signature(void)
{
	static const char intel[] = "GenuntelineI"; /* EBX, ECX, EDX */
	unsigned a, r[3];
	enum { SKYLAKE_SERVER = 0x50654 };

	if (!__get_cpuid(0, &a, &r[0], &r[1], &r[2]) || memcmp(r, intel, sizeof(r)))
		return SKYLAKE_SERVER;
	__get_cpuid(1, &a, &r[0], &r[1], &r[2]);
	return a & 0x0fff3fff;
}

static u64 arch_capabilities(const struct kvm_vm *vm)
{
	u64 val;

	return kvm_get_msr(vm->sys_fd, MSR_ARCH_CAPABILITIES, &val) ? 0 : val;
}

static bool capped(const char *profile)
{
	return !strcmp(profile, "default") || !strcmp(profile, "max");
}

int kvm_adapt(void *opaque, struct x86_cpuid_table *t, struct alc_err *err)
{
	struct kvm_vm *vm = opaque;
	const struct alc_host *h = vm->plat->host;
	union cpuid_table *have = calloc(1, sizeof(*have));
	char lacks[TEXT_MAX], line[TEXT_MAX + 80];
	u64 hz;
	int rc;

	if (!have)
		return alc_fail(err, -ENOMEM, "no memory for CPUID");
	rc = supported(vm, have, err);
	if (rc) {
		free(have);
		return rc;
	}
	drop_missing(have, t, lacks);
	free(have);
	if (lacks[0]) {
		fmt_text(line, sizeof(line), "KVM here lacks, and so does the guest's CPU:%s",
			 lacks);
		h->log(h->ctx, capped(t->profile) ? ALC_LOG_INFO : ALC_LOG_WARN, line);
	}
	t->signature = signature();
	t->arch_capabilities &= arch_capabilities(vm);
	hz = tsc_hz(vm, t->tsc_hz);
	if (!hz)
		hz = tsc_hz_of_vcpu(vm);
	if (!hz)
		return alc_fail(err, -ENOTSUP, "KVM does not know the frequency of its TSC");
	t->tsc_hz = hz;
	return 0;
}

u64 kvm_phys_mask(const struct kvm_vm *vm)
{
	unsigned a = 36, b, c, d;

	if ((unsigned)__get_cpuid_max(0x80000000, NULL) >= 0x80000008)
		__get_cpuid(0x80000008, &a, &b, &c, &d);
	return mask_low((unsigned)min_u64(a & PHYS_LEAF_BITS, X86_PHYS_BITS));
}

/* ---- One vCPU's table --------------------------------------------------------------------- */

/* Leaves that our table has something to say about; ranges of subleaves where ECX selects. */
static const struct {
	u32 first, last, subleaves;
} leaves[] = {
	{0, 3, 0},
	{4, 4, 5},
	{5, 6, 0},
	{7, 7, 3},
	{8, 0xa, 0},
	{0xb, 0xb, 3},
	{0xc, 0xc, 0},
	{0xd, 0xd, 3},
	{0xe, 0x1e, 0},
	{0x1f, 0x1f, 3},
	{0x40000000, 0x40000001, 0},
	{0x40000010, 0x40000010, 0},
	{0x80000000, 0x80000008, 0},
};

static void add_entry(union cpuid_table *t, const struct kvm_vcpu *c, u32 leaf, u32 sub,
		      bool indexed)
{
	struct x86_cpuid_regs r = cpuid_query(c->v, leaf, sub);

	if (leaf == 0x80000008)
		r.eax = (r.eax & ~(u32)PHYS_LEAF_BITS) |
			(u32)__builtin_popcountll(kvm_phys_mask(c->vm));
	t->list.entries[t->list.nent++] = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = sub,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = r.eax,
		.ebx = r.ebx,
		.ecx = r.ecx,
		.edx = r.edx,
	};
}

int kvm_set_cpuid(struct kvm_vcpu *c, struct alc_err *err)
{
	union cpuid_table *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return alc_fail(err, -ENOMEM, "no memory for CPUID");
	for (size_t i = 0; i < ARRAY_LEN(leaves); i++)
		for (u32 leaf = leaves[i].first; leaf <= leaves[i].last; leaf++)
			for (u32 sub = 0; sub < (leaves[i].subleaves ? leaves[i].subleaves : 1);
			     sub++)
				add_entry(t, c, leaf, sub, leaves[i].subleaves);
	rc = kvm_call(c->fd, KVM_SET_CPUID2, t);
	free(t);
	return rc ? alc_fail(err, rc, "KVM does not take the CPUID table of vCPU %u: %s",
			     c->v->index, strerror(-rc))
		  : 0;
}
