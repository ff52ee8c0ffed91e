/* SPDX-License-Identifier: BSD-2-Clause */
/* Model-specific registers by table (SDM vol. 4; APM vol. 2 appendix A). */
#include "isa/msr.h"

#include "bus/pc.h"
#include "isa/cpuid.h"
#include "isa/lapic.h"
#include "isa/pvclock.h"

enum {
	NO_READ = 1 << 0,
	NO_WRITE = 1 << 1,
	CANONICAL = 1 << 2, /* #GP unless the value is a canonical address */
	KEEP_REST = 1 << 3, /* bits that can't be set are ignored rather than #GP */
};

/*
 * Without functions, a row is storage: one u64 per MSR from offset in struct alc_vcpu on.
 * Functions return nonzero for #GP; a write function sees a value that passed the mask.
 */
struct msr_row {
	u32 first, last;
	u16 needs; /* 1 + enum x86_feature without which the MSR isn't there, or 0 */
	u8 flags;
	u32 offset;
	u64 writable;
	int (*read)(struct alc_vcpu *v, u32 msr, u64 *val);
	int (*write)(struct alc_vcpu *v, u32 msr, u64 val);
};

enum memory_type { MT_UC = 0, MT_WC = 1, MT_WT = 4, MT_WP = 5, MT_WB = 6, MT_UC_MINUS = 7 };

#define MTRR_VARIABLE    8
#define MTRR_FIXED_ON    BIT(10)
#define MTRR_ON          BIT(11)
#define MTRR_CAP         (MTRR_VARIABLE | BIT(8) | BIT(10)) /* fixed ranges, write combining */
#define PAT_RESET        0x0007040600070406ull
#define MISC_FAST_STRING BIT(0)
#define MISC_NO_BTS      BIT(11)
#define MISC_NO_PEBS     BIT(12)
#define FEATURE_LOCK     BIT(0)
#define MICROCODE        (1ull << 32) /* revision in the upper half */
#define MCG_CTL_P        BIT(8)
#define DEBUGCTL_LBR     BIT(0)
#define DEBUGCTL_BTF     BIT(1)

#define CAP_RDCL_NO      BIT(0)
#define CAP_IBRS_ALL     BIT(1)
#define CAP_SKIP_L1DFL   BIT(3)
#define CAP_SSB_NO       BIT(4)
#define CAP_MDS_NO       BIT(5)
#define CAP_PSCHANGE_NO  BIT(6)
#define CAP_TAA_NO       BIT(8)
#define CAP_SBDR_SSDP_NO BIT(13)
#define CAP_FBSDP_NO     BIT(14)
#define CAP_PSDP_NO      BIT(15)
#define CAP_BHI_NO       BIT(20)
#define CAP_PBRSB_NO     BIT(24)
#define CAP_GDS_NO       BIT(26)
#define CAP_RFDS_NO      BIT(27)
#define CAP_ITS_NO       BIT(62)
#define CAPS_NOT_AFFECTED                                                                         \
	(CAP_RDCL_NO | CAP_SKIP_L1DFL | CAP_SSB_NO | CAP_MDS_NO | CAP_PSCHANGE_NO | CAP_TAA_NO |  \
	 CAP_SBDR_SSDP_NO | CAP_FBSDP_NO | CAP_PSDP_NO | CAP_BHI_NO | CAP_PBRSB_NO | CAP_GDS_NO | \
	 CAP_RFDS_NO | CAP_ITS_NO)

static int read_tsc(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = x86_tsc(v);
	return 0;
}

/* The TSC moved: what is due at a value of it is due at another time now. */
static void shift_tsc(struct alc_vcpu *v, u64 by)
{
	v->msr.tsc_offset += by;
	v->msr.tsc_adjust += by;
	if (v->lapic)
		lapic_loaded(v->lapic);
	pvclock_refresh(v);
}

static int write_tsc(struct alc_vcpu *v, u32 msr, u64 val)
{
	shift_tsc(v, val - x86_tsc(v));
	return 0;
}

static int write_tsc_adjust(struct alc_vcpu *v, u32 msr, u64 val)
{
	shift_tsc(v, val - v->msr.tsc_adjust);
	return 0;
}

static int read_apic_base(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = lapic_base(v->lapic);
	return 0;
}

static int write_apic_base(struct alc_vcpu *v, u32 msr, u64 val)
{
	return lapic_set_base(v->lapic, val);
}

static int read_tsc_deadline(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = lapic_tsc_deadline(v->lapic);
	return 0;
}

static int write_tsc_deadline(struct alc_vcpu *v, u32 msr, u64 val)
{
	lapic_set_tsc_deadline(v->lapic, val);
	return 0;
}

static int read_x2apic(struct alc_vcpu *v, u32 msr, u64 *val)
{
	return lapic_msr_read(v->lapic, msr, val);
}

static int write_x2apic(struct alc_vcpu *v, u32 msr, u64 val)
{
	return lapic_msr_write(v->lapic, msr, val);
}

static int read_zero(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = 0;
	return 0;
}

static int write_nothing(struct alc_vcpu *v, u32 msr, u64 val)
{
	return 0;
}

static int read_microcode(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = MICROCODE;
	return 0;
}

/* The ratio of the TSC to the 100 MHz bus clock, in bits 8-15. */
static int read_platform_info(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = min_u64(v->plat->tsc_hz / 100000000, 0xff) << 8;
	return 0;
}

static int read_arch_capabilities(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = CAPS_NOT_AFFECTED;
	if (cpuid_has(v->cpuid, X86_FEAT_SPEC_CTRL))
		*val |= CAP_IBRS_ALL;
	*val &= v->cpuid->arch_capabilities;
	return 0;
}

/* No banks: nothing in this machine reports hardware errors. */
static int read_mcg_cap(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = MCG_CTL_P;
	return 0;
}

static int write_mcg_ctl(struct alc_vcpu *v, u32 msr, u64 val)
{
	if (val != 0 && val != ~0ull)
		return 1;
	v->msr.mcg_ctl = val;
	return 0;
}

static int write_feature_control(struct alc_vcpu *v, u32 msr, u64 val)
{
	if (v->msr.feature_control & FEATURE_LOCK)
		return 1;
	v->msr.feature_control = val;
	return 0;
}

static bool types_valid(u64 val, u32 allowed)
{
	for (unsigned i = 0; i < 8; i++, val >>= 8)
		if ((val & 0xff) > MT_UC_MINUS || !(allowed >> (val & 0xff) & 1))
			return false;
	return true;
}

enum {
	MTRR_TYPES = 1 << MT_UC | 1 << MT_WC | 1 << MT_WT | 1 << MT_WP | 1 << MT_WB,
	PAT_TYPES = MTRR_TYPES | 1 << MT_UC_MINUS,
};

static int write_pat(struct alc_vcpu *v, u32 msr, u64 val)
{
	if (!types_valid(val, PAT_TYPES))
		return 1;
	v->msr.pat = val;
	return 0;
}

static int read_mtrr_cap(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = MTRR_CAP;
	return 0;
}

static int write_mtrr_def_type(struct alc_vcpu *v, u32 msr, u64 val)
{
	if (!types_valid(val & 0xff, MTRR_TYPES))
		return 1;
	v->msr.mtrr_def_type = val;
	return 0;
}

static u64 *mtrr_variable(struct alc_vcpu *v, u32 msr)
{
	u32 i = (msr - MSR_MTRR_PHYS_BASE0) / 2;

	return msr & 1 ? &v->msr.mtrr_mask[i] : &v->msr.mtrr_base[i];
}

static int read_mtrr_variable(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = *mtrr_variable(v, msr);
	return 0;
}

static int write_mtrr_variable(struct alc_vcpu *v, u32 msr, u64 val)
{
	u64 reserved = msr & 1 ? mask_low(11) : 0xf00;

	if ((val & reserved) || (!(msr & 1) && !types_valid(val & 0xff, MTRR_TYPES)))
		return 1;
	*mtrr_variable(v, msr) = val;
	return 0;
}

/* 0x250, 0x258-0x259 and 0x268-0x26f lie side by side in mtrr_fixed. */
static u64 *mtrr_fixed(struct alc_vcpu *v, u32 msr)
{
	if (msr < MSR_MTRR_FIX_16K)
		return &v->msr.mtrr_fixed[0];
	return &v->msr.mtrr_fixed[msr < MSR_MTRR_FIX_4K ? 1 + (msr & 1) : 3 + (msr & 7)];
}

static int read_mtrr_fixed(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = *mtrr_fixed(v, msr);
	return 0;
}

static int write_mtrr_fixed(struct alc_vcpu *v, u32 msr, u64 val)
{
	if (!types_valid(val, MTRR_TYPES))
		return 1;
	*mtrr_fixed(v, msr) = val;
	return 0;
}

/* SDM vol. 3A 9.8.5: LME only while paging is off; LMA follows by itself and ignores writes. */
static int write_efer(struct alc_vcpu *v, u32 msr, u64 val)
{
	u64 changed = (val ^ v->efer) & ~X86_EFER_LMA;

	if ((val & X86_EFER_NXE) && !cpuid_has(v->cpuid, X86_FEAT_NX))
		return 1;
	if ((changed & X86_EFER_LME) && (v->cr0 & X86_CR0_PG))
		return 1;
	v->efer ^= changed;
	if (!changed || !v->ops)
		return 0;
	if (changed & X86_EFER_NXE)
		v->ops->flush_all(v);
	v->ops->mode_changed(v);
	return 0;
}

static int read_segment_base(struct alc_vcpu *v, u32 msr, u64 *val)
{
	*val = v->seg[msr == MSR_FS_BASE ? X86_FS : X86_GS].base;
	return 0;
}

static int write_segment_base(struct alc_vcpu *v, u32 msr, u64 val)
{
	v->seg[msr == MSR_FS_BASE ? X86_FS : X86_GS].base = val;
	if (v->ops)
		v->ops->mode_changed(v);
	return 0;
}

static int write_system_time(struct alc_vcpu *v, u32 msr, u64 val)
{
	return pvclock_set_system_time(v, val);
}

static int write_wall_clock(struct alc_vcpu *v, u32 msr, u64 val)
{
	return pvclock_set_wall_clock(v, val);
}

static int write_steal_time(struct alc_vcpu *v, u32 msr, u64 val)
{
	return pvclock_set_steal_time(v, val);
}

#define ONE(msr)   .first = (msr), .last = (msr)
#define NEEDS(id)  .needs = 1 + X86_FEAT_##id
#define IN(member) .offset = offsetof(struct alc_vcpu, member)
#define ANY        .writable = ~0ull
#define MASK(bits) .writable = (bits)
#define READ_ONLY  .flags = NO_WRITE
#define LOW(n)     (BIT(n) - 1)
#define PHYS_MASK  LOW(X86_PHYS_BITS)

/* By number, for the binary search. */
static const struct msr_row rows[] = {
	{ONE(MSR_TSC), ANY, .read = read_tsc, .write = write_tsc},
	{ONE(MSR_KVM_WALL_CLOCK_OLD), NEEDS(KVM_CLOCKSOURCE), ANY, IN(pv.wall_clock),
	 .write = write_wall_clock},
	{ONE(MSR_KVM_SYSTEM_TIME_OLD), NEEDS(KVM_CLOCKSOURCE), ANY, IN(pv.system_time),
	 .write = write_system_time},
	{ONE(MSR_PLATFORM_ID), READ_ONLY, .read = read_zero},
	{ONE(MSR_APIC_BASE), NEEDS(APIC), ANY, .read = read_apic_base, .write = write_apic_base},
	{ONE(MSR_FEATURE_CONTROL), MASK(FEATURE_LOCK), IN(msr.feature_control),
	 .write = write_feature_control},
	{ONE(MSR_TSC_ADJUST), NEEDS(TSC_ADJUST), ANY, IN(msr.tsc_adjust),
	 .write = write_tsc_adjust},
	{ONE(MSR_SPEC_CTRL), NEEDS(SPEC_CTRL), MASK(BIT(0) | BIT(1) | BIT(2)), IN(msr.spec_ctrl)},
	{ONE(MSR_PRED_CMD), NEEDS(SPEC_CTRL), MASK(BIT(0)), .flags = NO_READ,
	 .write = write_nothing},
	/* An update is loaded by writing 0x79, which isn't there; 0x8b is cleared before a look. */
	{ONE(MSR_BIOS_SIGN_ID), ANY, .read = read_microcode, .write = write_nothing},
	{ONE(MSR_PLATFORM_INFO), READ_ONLY, .read = read_platform_info},
	{ONE(MSR_MTRRCAP), READ_ONLY, .read = read_mtrr_cap},
	{ONE(MSR_ARCH_CAPABILITIES), NEEDS(ARCH_CAPABILITIES), READ_ONLY,
	 .read = read_arch_capabilities},
	{ONE(MSR_FLUSH_CMD), NEEDS(FLUSH_L1D), MASK(BIT(0)), .flags = NO_READ,
	 .write = write_nothing},
	{ONE(MSR_SYSENTER_CS), MASK(LOW(32)), IN(msr.sysenter_cs), .flags = KEEP_REST},
	{ONE(MSR_SYSENTER_ESP), ANY, IN(msr.sysenter_esp), .flags = CANONICAL},
	{ONE(MSR_SYSENTER_EIP), ANY, IN(msr.sysenter_eip), .flags = CANONICAL},
	{ONE(MSR_MCG_CAP), READ_ONLY, .read = read_mcg_cap},
	{ONE(MSR_MCG_STATUS), MASK(LOW(3)), IN(msr.mcg_status)},
	{ONE(MSR_MCG_CTL), ANY, IN(msr.mcg_ctl), .write = write_mcg_ctl},
	{ONE(MSR_MISC_ENABLE), MASK(MISC_FAST_STRING), IN(msr.misc_enable), .flags = KEEP_REST},
	/* Branch records and branch stepping are accepted and never happen. */
	{ONE(MSR_DEBUGCTL), MASK(DEBUGCTL_LBR | DEBUGCTL_BTF), .read = read_zero,
	 .write = write_nothing},
	{.first = MSR_MTRR_PHYS_BASE0,
	 .last = MSR_MTRR_PHYS_MASK7,
	 MASK(PHYS_MASK),
	 .read = read_mtrr_variable,
	 .write = write_mtrr_variable},
	{ONE(MSR_MTRR_FIX_64K), ANY, .read = read_mtrr_fixed, .write = write_mtrr_fixed},
	{.first = MSR_MTRR_FIX_16K,
	 .last = MSR_MTRR_FIX_16K + 1,
	 ANY,
	 .read = read_mtrr_fixed,
	 .write = write_mtrr_fixed},
	{.first = MSR_MTRR_FIX_4K,
	 .last = MSR_MTRR_FIX_4K + 7,
	 ANY,
	 .read = read_mtrr_fixed,
	 .write = write_mtrr_fixed},
	{ONE(MSR_PAT), ANY, IN(msr.pat), .write = write_pat},
	{ONE(MSR_MTRR_DEF_TYPE), MASK(0xff | MTRR_FIXED_ON | MTRR_ON), IN(msr.mtrr_def_type),
	 .write = write_mtrr_def_type},
	{ONE(MSR_TSC_DEADLINE), NEEDS(TSC_DEADLINE), ANY, .read = read_tsc_deadline,
	 .write = write_tsc_deadline},
	{.first = MSR_X2APIC,
	 .last = MSR_X2APIC + 0xff,
	 NEEDS(X2APIC),
	 ANY,
	 .read = read_x2apic,
	 .write = write_x2apic},
	{ONE(MSR_XSS), NEEDS(XSAVES), MASK(0), IN(msr.xss)},
	{ONE(MSR_KVM_WALL_CLOCK), NEEDS(KVM_CLOCKSOURCE2), ANY, IN(pv.wall_clock),
	 .write = write_wall_clock},
	{ONE(MSR_KVM_SYSTEM_TIME), NEEDS(KVM_CLOCKSOURCE2), ANY, IN(pv.system_time),
	 .write = write_system_time},
	{ONE(MSR_KVM_STEAL_TIME), NEEDS(KVM_STEAL_TIME), ANY, IN(pv.steal_time),
	 .write = write_steal_time},
	{ONE(MSR_KVM_POLL_CONTROL), NEEDS(KVM_POLL_CONTROL), MASK(BIT(0)), IN(pv.poll_control)},
	{ONE(MSR_EFER), MASK(X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE), IN(efer),
	 .write = write_efer},
	{ONE(MSR_STAR), NEEDS(SYSCALL), ANY, IN(msr.star)},
	{ONE(MSR_LSTAR), NEEDS(LM), ANY, IN(msr.lstar), .flags = CANONICAL},
	{ONE(MSR_CSTAR), NEEDS(LM), ANY, IN(msr.cstar), .flags = CANONICAL},
	{ONE(MSR_SFMASK), NEEDS(SYSCALL), MASK(LOW(32)), IN(msr.sfmask)},
	{.first = MSR_FS_BASE,
	 .last = MSR_GS_BASE,
	 NEEDS(LM),
	 ANY,
	 .flags = CANONICAL,
	 .read = read_segment_base,
	 .write = write_segment_base},
	{ONE(MSR_KERNEL_GS_BASE), NEEDS(LM), ANY, IN(msr.kernel_gs_base), .flags = CANONICAL},
	{ONE(MSR_TSC_AUX), NEEDS(RDTSCP), MASK(LOW(32)), IN(msr.tsc_aux)},
};

static const struct msr_row *find_row(const struct alc_vcpu *v, u32 msr)
{
	size_t lo = 0, hi = ARRAY_LEN(rows);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (msr > rows[mid].last)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == ARRAY_LEN(rows) || msr < rows[lo].first)
		return NULL;
	if (rows[lo].needs && !cpuid_has(v->cpuid, (enum x86_feature)(rows[lo].needs - 1)))
		return NULL;
	return &rows[lo];
}

static u64 *storage(struct alc_vcpu *v, const struct msr_row *row, u32 msr)
{
	return (u64 *)((u8 *)v + row->offset) + (msr - row->first);
}

static int read_row(struct alc_vcpu *v, const struct msr_row *row, u32 msr, u64 *val)
{
	if (!row || (row->flags & NO_READ))
		return 1;
	if (row->read)
		return row->read(v, msr, val);
	*val = *storage(v, row, msr);
	return 0;
}

static int write_row(struct alc_vcpu *v, const struct msr_row *row, u32 msr, u64 val)
{
	if (!row || (row->flags & NO_WRITE))
		return 1;
	if ((row->flags & CANONICAL) && !x86_canonical(val))
		return 1;
	if ((val & ~row->writable) && !(row->flags & KEEP_REST))
		return 1;
	if (row->write)
		return row->write(v, msr, val);
	*storage(v, row, msr) = (*storage(v, row, msr) & ~row->writable) | (val & row->writable);
	return 0;
}

int x86_rdmsr(struct alc_vcpu *v, u32 msr, u64 *val)
{
	if (read_row(v, find_row(v, msr), msr, val))
		return x86_raise_error(v, X86_GP, 0);
	return 0;
}

int x86_wrmsr(struct alc_vcpu *v, u32 msr, u64 val)
{
	if (write_row(v, find_row(v, msr), msr, val))
		return x86_raise_error(v, X86_GP, 0);
	return 0;
}

void x86_msr_reset(struct alc_vcpu *v)
{
	v->msr = (struct x86_msrs){
		.pat = PAT_RESET,
		.misc_enable = MISC_FAST_STRING | MISC_NO_BTS | MISC_NO_PEBS,
	};
}

void x86_msr_firmware(struct alc_vcpu *v)
{
	static const u64 fixed[11] = {
		/* RAM to 640 KiB; the video window and adapters' ROMs uncached; BIOS as ROM. */
		0x0606060606060606,
		0x0606060606060606,
		0,
		0,
		0,
		0,
		0,
		0x0505050505050505,
		0x0505050505050505,
		0x0505050505050505,
		0x0505050505050505,
	};

	v->msr.feature_control |= FEATURE_LOCK;
	v->msr.mtrr_def_type = MTRR_ON | MTRR_FIXED_ON | MT_WB;
	__builtin_memcpy(v->msr.mtrr_fixed, fixed, sizeof(fixed));
	/* The device hole below 4 GiB: ECAM, then the last gigabyte. */
	v->msr.mtrr_base[0] = 0xc0000000 | MT_UC;
	v->msr.mtrr_mask[0] = (PHYS_MASK & ~mask_low(30)) | BIT(11);
	v->msr.mtrr_base[1] = PC_ECAM_BASE | MT_UC;
	v->msr.mtrr_mask[1] = (PHYS_MASK & ~(PC_ECAM_SIZE - 1)) | BIT(11);
}
