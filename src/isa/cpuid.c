/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID (SDM vol. 2A, CPUID; KVM's leaves: Linux, Documentation/virt/kvm/x86/cpuid.rst).
 *
 * Identity. The guest sees GenuineIntel, family 6, model 0x36, an in-order Atom. The vendor makes
 * SYSENTER available in compatibility mode and lets IA32_ARCH_CAPABILITIES speak; the model is one
 * that operating systems know not to speculate. So the kernel neither looks for microcode to
 * trust nor chooses retpolines, page-table isolation, IBRS or buffer clearing: all its paths stay
 * unpatched, and it has nothing to warn about. For a CPU whose instructions are carried out by
 * software that is also the plain truth: a guest's indirect branch is not predicted by the guest's
 * own history. IA32_ARCH_CAPABILITIES says the same, fault by fault, to systems that read it.
 * C libraries pick their string functions by feature bits for this model.
 */
#include "isa/cpuid.h"

#include "base/errno.h"
#include "bus/pc.h"
#include "isa/fpu.h"
#include "isa/lapic.h"

enum {
	SIGNATURE = 0x00030661, /* family 6, model 0x36, stepping 1 */
	MAX_BASIC = 0x1f,
	CLFLUSH_LINE = 64,
};
#define MAX_EXTENDED 0x80000008u
#define KVM_BASE     0x40000000u
#define KVM_MAX      0x40000010u
#define KVM_RANGE    0x400000ffu

enum reg { eax, ebx, ecx, edx };

static const struct {
	u32 leaf;
	u8 subleaf, reg, bit;
} feature_bits[X86_FEATURES] = {
#define FEATURE(id, leaf, subleaf, reg, bit, text) [X86_FEAT_##id] = {leaf, subleaf, reg, bit},
#include "isa/features.inc"
#undef FEATURE
};

static const char *const feature_names[X86_FEATURES] = {
#define FEATURE(id, leaf, subleaf, reg, bit, text) [X86_FEAT_##id] = text,
#include "isa/features.inc"
#undef FEATURE
};

#define F(id)   X86_FEAT_##id
#define SET_END X86_FEATURES

/* What the machine around the instruction set provides, in every profile. */
static const u16 platform_set[] = {
	F(DE),
	F(PSE),
	F(TSC),
	F(MSR),
	F(PAE),
	F(MCE),
	F(APIC),
	F(SEP),
	F(MTRR),
	F(PGE),
	F(MCA),
	F(PAT),
	F(CLFLUSH),
	F(SELFSNOOP),
	F(X2APIC),
	F(TSC_DEADLINE),
	F(HYPERVISOR),
	F(ARAT),
	F(TSC_ADJUST),
	F(ZERO_FCS_FDS),
	F(ARCH_CAPABILITIES),
	F(NX),
	F(PDPE1GB),
	F(RDTSCP),
	F(LM),
	F(INVARIANT_TSC),
	F(KVM_CLOCKSOURCE),
	F(KVM_NOP_IO_DELAY),
	F(KVM_CLOCKSOURCE2),
	F(KVM_STEAL_TIME),
	F(KVM_POLL_CONTROL),
	F(KVM_CLOCKSOURCE_STABLE),
	SET_END,
};

/* The levels of the x86-64 psABI, section 3.1.1. */
static const u16 v1_set[] = {
	F(FPU), F(CX8), F(CMOV), F(MMX), F(FXSR), F(SSE), F(SSE2), F(SYSCALL), SET_END,
};
static const u16 v2_set[] = {
	F(SSE3), F(SSSE3), F(SSE4_1), F(SSE4_2), F(CX16), F(POPCNT), F(LAHF_LM), SET_END,
};
static const u16 v3_set[] = {
	F(AVX), F(AVX2), F(F16C), F(FMA), F(BMI1), F(BMI2), F(ABM), F(MOVBE), F(XSAVE), SET_END,
};

static const u16 v4_set[] = {
	F(AVX512F), F(AVX512BW), F(AVX512CD), F(AVX512DQ), F(AVX512VL), SET_END,
};

/*
 * Beyond the levels: what speeds up common software or hardens the guest at no cost. With PCIDs
 * what is known of an address space outlasts a switch to another one.
 */
static const u16 default_set[] = {
	F(PCLMULQDQ),     F(AES),      F(SHA_NI),     F(GFNI),     F(VAES),   F(VPCLMULQDQ),
	F(RDRAND),        F(RDSEED),   F(ADX),        F(ERMS),     F(FSRM),   F(SMEP),
	F(UMIP),          F(FSGSBASE), F(CLFLUSHOPT), F(XSAVEOPT), F(XSAVEC), F(XGETBV1),
	F(3DNOWPREFETCH), F(PCID),     F(INVPCID),    SET_END,
};

/*
 * Right, but slower for the guest: SMAP opens and closes access around each user copy, and
 * speculation control makes a kernel write MSRs at each switch.
 */
static const u16 max_set[] = {
	F(SMAP), F(SPEC_CTRL), F(STIBP), F(SSBD), F(FLUSH_L1D), SET_END,
};

/* Instructions that engines leave to the host's own units: offered only where it has them. */
static const struct host_unit {
	u16 feature;
	bool ymm; /* needs the host's operating system to have enabled AVX state too */
} host_units[] = {
	/* And AVX-512 state. All of these are there, or none is taken. */
	{F(AVX512F), true},  {F(AVX512BW), true},   {F(AVX512CD), true},   {F(AVX512DQ), true},
	{F(AVX512VL), true},

	{F(FPU), false},     {F(MMX), false},       {F(FXSR), false},      {F(SSE), false},
	{F(SSE2), false},    {F(SSE3), false},      {F(SSSE3), false},     {F(SSE4_1), false},
	{F(SSE4_2), false},  {F(PCLMULQDQ), false}, {F(AES), false},       {F(SHA_NI), false},
	{F(GFNI), false},    {F(AVX), true},        {F(AVX2), true},       {F(FMA), true},
	{F(F16C), true},     {F(VAES), true},       {F(VPCLMULQDQ), true},
};

/* User-mode instructions of the integer units. */
static const u16 host_integer[] = {
	F(TSC),   F(CX8),        F(CMOV),     F(CLFLUSH), F(CX16),          F(MOVBE),   F(POPCNT),
	F(XSAVE), F(RDRAND),     F(FSGSBASE), F(BMI1),    F(BMI2),          F(ERMS),    F(RDSEED),
	F(ADX),   F(CLFLUSHOPT), F(FSRM),     F(SYSCALL), F(RDTSCP),        F(LAHF_LM), F(ABM),
	F(RDPID), F(XSAVEOPT),   F(XSAVEC),   F(XGETBV1), F(3DNOWPREFETCH), SET_END,
};

struct profile {
	const char *name;
	const u16 *sets[7];
	bool capped; /* leaves out what the host lacks, where others fail */
};

static const struct profile profiles[] = {
	{"default", {platform_set, v1_set, v2_set, v3_set, default_set}, true},
	{"max", {platform_set, v1_set, v2_set, v3_set, v4_set, default_set, max_set}, true},
	{"x86-64-v1", {platform_set, v1_set}, false},
	{"x86-64", {platform_set, v1_set}, false},
	{"x86-64-v2", {platform_set, v1_set, v2_set}, false},
	{"x86-64-v3", {platform_set, v1_set, v2_set, v3_set}, false},
	{"x86-64-v4", {platform_set, v1_set, v2_set, v3_set, v4_set}, false},
};

const char *const cpuid_profiles[] = {
	"default", "max", "x86-64-v1", "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", NULL,
};

static void set_bit(u64 *features, unsigned f)
{
	features[f / 64] |= BIT(f % 64);
}

static void clear_bit(u64 *features, unsigned f)
{
	features[f / 64] &= ~BIT(f % 64);
}

static bool test_bit(const u64 *features, unsigned f)
{
	return features[f / 64] >> (f % 64) & 1;
}

static struct x86_cpuid_regs host_cpuid(u32 leaf, u32 subleaf)
{
	struct x86_cpuid_regs r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

/* The host's operating system switches all of this state (SDM vol. 1 14.3, 15.2). */
static bool host_enables(u32 components)
{
	u32 lo, hi;

	if (!(host_cpuid(1, 0).ecx & BIT(27)))
		return false;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (lo & components) == components;
}

static u32 reg_of(struct x86_cpuid_regs r, unsigned reg)
{
	const u32 regs[] = {r.eax, r.ebx, r.ecx, r.edx};

	return regs[reg];
}

static bool host_has(unsigned f)
{
	u32 leaf = feature_bits[f].leaf;
	struct x86_cpuid_regs r;

	if (host_cpuid(leaf & 0x80000000, 0).eax < leaf)
		return false;
	r = host_cpuid(leaf, 0);
	if (feature_bits[f].subleaf && leaf == 7 && r.eax < feature_bits[f].subleaf)
		return false;
	r = host_cpuid(leaf, feature_bits[f].subleaf);
	return reg_of(r, feature_bits[f].reg) >> feature_bits[f].bit & 1;
}

void cpuid_host_features(u64 features[(X86_FEATURES + 63) / 64])
{
	bool ymm = host_enables(X86_XCR0_SSE | X86_XCR0_AVX);
	bool zmm = ymm && host_enables(X86_XCR0_AVX512);

	for (unsigned i = 0; i < (X86_FEATURES + 63) / 64; i++)
		features[i] = 0;
	for (unsigned i = 0; i < ARRAY_LEN(host_units); i++)
		if (host_has(host_units[i].feature) && (ymm || !host_units[i].ymm))
			set_bit(features, host_units[i].feature);
	for (const u16 *f = v4_set; *f != SET_END; f++)
		zmm &= test_bit(features, *f);
	for (const u16 *f = v4_set; *f != SET_END; f++)
		if (!zmm)
			clear_bit(features, *f);
	for (const u16 *f = host_integer; *f != SET_END; f++)
		if (host_has(*f))
			set_bit(features, *f);
}

static bool same_text(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static const struct profile *find_profile(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(profiles); i++)
		if (same_text(profiles[i].name, name))
			return &profiles[i];
	return NULL;
}

/* The first feature of the set that only the host could execute and doesn't, or SET_END. */
static unsigned drop_missing(u64 *features)
{
	u64 host[(X86_FEATURES + 63) / 64];
	unsigned missing = SET_END;

	cpuid_host_features(host);
	for (unsigned i = 0; i < ARRAY_LEN(host_units); i++) {
		unsigned f = host_units[i].feature;

		if (!test_bit(features, f) || test_bit(host, f))
			continue;
		clear_bit(features, f);
		if (missing == SET_END)
			missing = f;
	}
	return missing;
}

static void set_brand(char brand[48])
{
	static const char text[] = "Alcazar virtual CPU";

	__builtin_memset(brand, 0, 48);
	__builtin_memcpy(brand, text, sizeof(text));
}

int cpuid_table_init(struct x86_cpuid_table *t, const char *profile, unsigned ncpus, u64 tsc_hz,
		     struct alc_err *err)
{
	const struct profile *p = find_profile(profile);
	struct x86_cpuid_table made = {.ncpus = ncpus,
				       .tsc_hz = tsc_hz,
				       .signature = SIGNATURE,
				       .arch_capabilities = ~0ull};
	unsigned missing;

	if (!p)
		return alc_fail(err, -EINVAL,
				"CPU profile '%s' is unknown; there are default, max, x86-64, "
				"x86-64-v1, x86-64-v2, x86-64-v3 and x86-64-v4",
				profile);
	if (ncpus < 1 || ncpus > PC_CPUS_MAX)
		return alc_fail(err, -EINVAL, "a machine has 1 to %d CPUs, not %u", PC_CPUS_MAX,
				ncpus);
	if (tsc_hz < 1000000)
		return alc_fail(err, -EINVAL, "the TSC's frequency must be at least 1 MHz");
	for (unsigned i = 0; i < ARRAY_LEN(p->sets) && p->sets[i]; i++)
		for (const u16 *f = p->sets[i]; *f != SET_END; f++)
			set_bit(made.features, *f);
	missing = drop_missing(made.features);
	if (missing != SET_END && !p->capped)
		return alc_fail(
			err, -EINVAL,
			"CPU profile '%s' needs %s, which this host's CPU lacks; use 'default'",
			p->name, feature_names[missing]);
	if (ncpus > 1)
		set_bit(made.features, F(HT));
	made.profile = p->name;
	if (cpuid_has(&made, F(XSAVE)))
		made.xcr0_mask = X86_XCR0_X87 | X86_XCR0_SSE;
	if (cpuid_has(&made, F(XSAVE)) && cpuid_has(&made, F(AVX)))
		made.xcr0_mask |= X86_XCR0_AVX;
	if (cpuid_has(&made, F(AVX512F)))
		made.xcr0_mask |= X86_XCR0_AVX512;
	set_brand(made.brand);
	*t = made;
	return 0;
}

u32 xsave_size(u64 mask)
{
	return fpu_xsave_end(mask, mask, false);
}

u32 xsave_size_compacted(u64 mask)
{
	return fpu_xsave_end(mask, mask, true);
}

/* Bits that an APIC ID needs to tell n processors apart. */
static unsigned id_bits(unsigned n)
{
	unsigned bits = 0;

	while (BIT(bits) < n)
		bits++;
	return bits;
}

static u32 text4(const char *s)
{
	return ld32(s);
}

static void leaf_vendor(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	*r = (struct x86_cpuid_regs){MAX_BASIC, text4("Genu"), text4("ntel"), text4("ineI")};
}

static void leaf_signature(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	r->eax = v->cpuid->signature;
	r->ebx = v->index << 24 | (CLFLUSH_LINE / 8) << 8;
	r->ebx |= (u32)BIT(id_bits(v->cpuid->ncpus)) << 16;
	if (v->lapic && !(lapic_base(v->lapic) & BIT(11)))
		r->edx &= ~(u32)BIT(feature_bits[F(APIC)].bit);
	if (v->cr4 & X86_CR4_OSXSAVE)
		r->ecx |= BIT(feature_bits[F(OSXSAVE)].bit);
}

/* Everything about caches is in leaf 4. */
static void leaf_cache_bytes(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	r->eax = 0x0000ff01;
}

static const struct {
	u8 type, level;
	u8 ways;
	u32 sets;
	bool shared;
} caches[] = {
	{1, 1, 8, 64, false},    /* 32 KiB of data */
	{2, 1, 8, 64, false},    /* 32 KiB of instructions */
	{3, 2, 16, 1024, false}, /* 1 MiB */
	{3, 3, 16, 16384, true}, /* 16 MiB, all cores' */
};

static void leaf_caches(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	u32 ids = (u32)mask_low(id_bits(v->cpuid->ncpus));

	if (sub >= ARRAY_LEN(caches))
		return;
	r->eax = caches[sub].type | (u32)caches[sub].level << 5 | 1u << 8;
	r->eax |= (caches[sub].shared ? ids : 0) << 14 | ids << 26;
	r->ebx = (u32)(caches[sub].ways - 1) << 22 | (CLFLUSH_LINE - 1);
	r->ecx = caches[sub].sets - 1;
}

static void leaf_features7(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	if (sub == 0)
		r->eax = 2;
}

/* Level types 1 and 2: threads, of which each core has one, and cores. */
static void leaf_topology(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	r->ecx = sub & 0xff;
	r->edx = v->index;
	if (sub == 0) {
		r->ebx = 1;
		r->ecx |= 1 << 8;
	} else if (sub == 1) {
		r->eax = id_bits(v->cpuid->ncpus);
		r->ebx = v->cpuid->ncpus;
		r->ecx |= 2 << 8;
	}
}

static void leaf_xsave(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	u64 mask = v->cpuid->xcr0_mask;

	if (!mask)
		return;
	if (sub == 0) {
		*r = (struct x86_cpuid_regs){(u32)mask, xsave_size(v->xcr0), xsave_size(mask),
					     (u32)(mask >> 32)};
	} else if (sub == 1) {
		if (cpuid_has(v->cpuid, F(XSAVEC)))
			r->ebx = xsave_size_compacted(v->xcr0);
	} else if (sub < 64 && mask >> sub & 1) {
		r->eax = fpu_xsave_length(sub);
		r->ebx = fpu_xsave_offset(sub, mask, false);
	}
}

static u64 common_divisor(u64 a, u64 b)
{
	while (b) {
		u64 rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/*
 * TSC = crystal * EBX / EAX. Operating systems take the crystal for the APIC timer's clock too,
 * so it is that clock if the ratio is short enough for their 32-bit product in kHz; else the TSC
 * is its own crystal, in kHz units where its frequency has more than 32 bits.
 */
static void leaf_tsc(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	u64 hz = v->cpuid->tsc_hz;
	u64 unit = common_divisor(hz, X86_APIC_BUS_HZ);

	if (hz / 1000 <= UINT32_MAX && hz / unit <= UINT32_MAX / (X86_APIC_BUS_HZ / 1000))
		*r = (struct x86_cpuid_regs){(u32)(X86_APIC_BUS_HZ / unit), (u32)(hz / unit),
					     (u32)X86_APIC_BUS_HZ, 0};
	else if (hz <= UINT32_MAX)
		*r = (struct x86_cpuid_regs){1, 1, (u32)hz, 0};
	else
		*r = (struct x86_cpuid_regs){1, 1000, (u32)(hz / 1000), 0};
}

static void leaf_mhz(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	u32 mhz = (u32)min_u64((v->cpuid->tsc_hz + 500000) / 1000000, 0xffff);

	*r = (struct x86_cpuid_regs){mhz, mhz, 100, 0};
}

static void leaf_kvm(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	*r = (struct x86_cpuid_regs){KVM_MAX, text4("KVMK"), text4("VMKV"), text4("M\0\0")};
}

static void leaf_kvm_frequencies(const struct alc_vcpu *v, u32 leaf, u32 sub,
				 struct x86_cpuid_regs *r)
{
	r->eax = (u32)(v->cpuid->tsc_hz / 1000);
	r->ebx = X86_APIC_BUS_HZ / 1000;
}

static void leaf_extended(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	r->eax = MAX_EXTENDED;
}

static void leaf_brand(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	const char *part = v->cpuid->brand + (leaf - 0x80000002) * 16;

	*r = (struct x86_cpuid_regs){text4(part), text4(part + 4), text4(part + 8),
				     text4(part + 12)};
}

static void leaf_l2(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	enum { KIB = 1024, WAYS_16 = 8 };

	r->ecx = KIB << 16 | WAYS_16 << 12 | CLFLUSH_LINE;
}

static void leaf_addresses(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r)
{
	r->eax = X86_LINEAR_BITS << 8 | X86_PHYS_BITS;
}

/* Leaves with more than feature bits; these are already in r. A leaf in no row has only those. */
static const struct {
	u32 first, last;
	void (*fill)(const struct alc_vcpu *v, u32 leaf, u32 sub, struct x86_cpuid_regs *r);
} leaves[] = {
	{0, 0, leaf_vendor},
	{1, 1, leaf_signature},
	{2, 2, leaf_cache_bytes},
	{4, 4, leaf_caches},
	{7, 7, leaf_features7},
	{0xb, 0xb, leaf_topology},
	{0xd, 0xd, leaf_xsave},
	{0x15, 0x15, leaf_tsc},
	{0x16, 0x16, leaf_mhz},
	{0x1f, 0x1f, leaf_topology},
	{KVM_BASE, KVM_BASE, leaf_kvm},
	{KVM_MAX, KVM_MAX, leaf_kvm_frequencies},
	{0x80000000, 0x80000000, leaf_extended},
	{0x80000002, 0x80000004, leaf_brand},
	{0x80000006, 0x80000006, leaf_l2},
	{0x80000008, 0x80000008, leaf_addresses},
};

/* Leaves whose ECX input selects; the others give the same whatever ECX is. */
static bool has_subleaves(u32 leaf)
{
	return leaf == 7 || leaf == 0xd;
}

static struct x86_cpuid_regs feature_regs(const struct x86_cpuid_table *t, u32 leaf, u32 subleaf)
{
	u32 regs[4] = {0};

	for (unsigned f = 0; f < X86_FEATURES; f++)
		if (feature_bits[f].leaf == leaf && feature_bits[f].subleaf == subleaf &&
		    cpuid_has(t, (enum x86_feature)f))
			regs[feature_bits[f].reg] |= BIT(feature_bits[f].bit);
	return (struct x86_cpuid_regs){regs[eax], regs[ebx], regs[ecx], regs[edx]};
}

static bool out_of_range(u32 leaf)
{
	if (leaf >= KVM_BASE && leaf <= KVM_RANGE)
		return leaf > KVM_MAX;
	return leaf & 0x80000000 ? leaf > MAX_EXTENDED : leaf > MAX_BASIC;
}

struct x86_cpuid_regs cpuid_query(const struct alc_vcpu *v, u32 leaf, u32 subleaf)
{
	struct x86_cpuid_regs r;

	/* SDM: an input past the maximum gives the data of the highest basic leaf. */
	if (out_of_range(leaf))
		leaf = MAX_BASIC;
	r = feature_regs(v->cpuid, leaf, has_subleaves(leaf) ? subleaf : 0);
	for (unsigned i = 0; i < ARRAY_LEN(leaves); i++)
		if (leaf >= leaves[i].first && leaf <= leaves[i].last)
			leaves[i].fill(v, leaf, subleaf, &r);
	return r;
}
