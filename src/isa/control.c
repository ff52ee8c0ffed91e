/* SPDX-License-Identifier: BSD-2-Clause */
#include "isa/control.h"

#include "isa/cpuid.h"
#include "isa/fpu.h"
#include "isa/lapic.h"

#define CR0_DEFINED                                                                    \
	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | \
	 X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)

/* Bits whose change makes cached translations wrong (SDM vol. 3A 4.10.4.1). */
#define CR0_TLB (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE)
#define CR4_TLB \
	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PCIDE)

u64 x86_cr4_allowed(const struct alc_vcpu *v)
{
	static const struct {
		u64 bit;
		enum x86_feature feature;
	} gated[] = {
		{X86_CR4_SMEP, X86_FEAT_SMEP},         {X86_CR4_SMAP, X86_FEAT_SMAP},
		{X86_CR4_FSGSBASE, X86_FEAT_FSGSBASE}, {X86_CR4_PCIDE, X86_FEAT_PCID},
		{X86_CR4_OSXSAVE, X86_FEAT_XSAVE},     {X86_CR4_UMIP, X86_FEAT_UMIP},
	};
	u64 allowed = X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE |
		      X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	unsigned i;

	for (i = 0; i < ARRAY_LEN(gated); i++)
		if (cpuid_has(v->cpuid, gated[i].feature))
			allowed |= gated[i].bit;
	return allowed;
}

static int write_cr0(struct alc_vcpu *v, u64 val)
{
	u64 old = v->cr0, changed;

	if (val >> 32 || ((val & X86_CR0_PG) && !(val & X86_CR0_PE)) ||
	    ((val & X86_CR0_NW) && !(val & X86_CR0_CD)))
		return x86_raise_error(v, X86_GP, 0);
	val = (val & CR0_DEFINED) | X86_CR0_ET;
	changed = old ^ val;
	if ((changed & X86_CR0_PG) && (v->efer & X86_EFER_LME)) {
		if (val & X86_CR0_PG) {
			/* Entering long mode wants PAE and no 64-bit CS (SDM vol. 3A 9.8.5). */
			if (!(v->cr4 & X86_CR4_PAE) || (v->seg[X86_CS].attr & X86_SEG_L))
				return x86_raise_error(v, X86_GP, 0);
			v->efer |= X86_EFER_LMA;
		} else {
			if (x86_code64(v))
				return x86_raise_error(v, X86_GP, 0);
			v->efer &= ~X86_EFER_LMA;
		}
	}
	if (!(val & X86_CR0_PG) && (v->cr4 & X86_CR4_PCIDE) && (changed & X86_CR0_PG))
		return x86_raise_error(v, X86_GP, 0);
	v->cr0 = val;
	v->ops->mode_changed(v);
	if (changed & CR0_TLB)
		v->ops->flush_all(v);
	return X86_OK;
}

static int write_cr3(struct alc_vcpu *v, u64 val)
{
	u64 from = v->cr3;
	bool keep = false;

	if (v->cr4 & X86_CR4_PCIDE) {
		keep = val >> 63;
		val &= ~BIT(63);
	}
	if (x86_long_mode(v) && (val & ~mask_low(X86_PHYS_BITS)))
		return x86_raise_error(v, X86_GP, 0);
	v->cr3 = val;
	v->ops->switch_space(v, from, keep);
	return X86_OK;
}

static int write_cr4(struct alc_vcpu *v, u64 val)
{
	u64 changed = v->cr4 ^ val;

	if ((val & ~x86_cr4_allowed(v)) || (x86_long_mode(v) && !(val & X86_CR4_PAE)) ||
	    ((changed & val & X86_CR4_PCIDE) && (!x86_long_mode(v) || (v->cr3 & 0xfff))))
		return x86_raise_error(v, X86_GP, 0);
	v->cr4 = val;
	v->ops->mode_changed(v);
	if (changed & CR4_TLB)
		v->ops->flush_all(v);
	return X86_OK;
}

int x86_read_cr(struct alc_vcpu *v, unsigned n, u64 *val)
{
	switch (n) {
	case 0:
		*val = v->cr0;
		return X86_OK;
	case 2:
		*val = v->cr2;
		return X86_OK;
	case 3:
		*val = v->cr3;
		return X86_OK;
	case 4:
		*val = v->cr4;
		return X86_OK;
	case 8:
		*val = lapic_cr8(v->lapic);
		return X86_OK;
	default:
		return x86_raise(v, X86_UD);
	}
}

int x86_write_cr(struct alc_vcpu *v, unsigned n, u64 val)
{
	switch (n) {
	case 0:
		return write_cr0(v, val);
	case 2:
		v->cr2 = val;
		return X86_OK;
	case 3:
		return write_cr3(v, val);
	case 4:
		return write_cr4(v, val);
	case 8:
		if (val >> 4)
			return x86_raise_error(v, X86_GP, 0);
		lapic_set_cr8(v->lapic, val);
		return X86_OK;
	default:
		return x86_raise(v, X86_UD);
	}
}

/* DR4 and DR5 alias DR6 and DR7 unless CR4.DE; general detect traps every access (SDM 17.2). */
static int check_dr(struct alc_vcpu *v, unsigned *n)
{
	if (*n == 4 || *n == 5) {
		if (v->cr4 & X86_CR4_DE)
			return x86_raise(v, X86_UD);
		*n += 2;
	}
	if (v->dr[7] & BIT(13)) {
		x86_raise(v, X86_DB);
		v->fault.dr6_set = BIT(13);
		return X86_FAULT;
	}
	return X86_OK;
}

int x86_read_dr(struct alc_vcpu *v, unsigned n, u64 *val)
{
	if (check_dr(v, &n))
		return X86_FAULT;
	*val = v->dr[n];
	return X86_OK;
}

int x86_write_dr(struct alc_vcpu *v, unsigned n, u64 val)
{
	if (check_dr(v, &n))
		return X86_FAULT;
	if (n >= 6 && val >> 32)
		return x86_raise_error(v, X86_GP, 0);
	if (n == 6)
		val = (val & 0xe00f) | 0xffff0ff0;
	if (n == 7)
		val = (val & 0xffff2bff) | 0x400;
	v->dr[n] = val;
	v->ops->mode_changed(v);
	return X86_OK;
}

int x86_xsetbv(struct alc_vcpu *v, u32 index, u64 val)
{
	if (v->cpl != 0 || index != 0 || !(val & X86_XCR0_X87) || (val & ~v->cpuid->xcr0_mask) ||
	    ((val & X86_XCR0_AVX) && !(val & X86_XCR0_SSE)) ||
	    ((val & X86_XCR0_AVX512) &&
	     (val & (X86_XCR0_AVX512 | X86_XCR0_AVX)) != (X86_XCR0_AVX512 | X86_XCR0_AVX)))
		return x86_raise_error(v, X86_GP, 0);
	v->xcr0 = val;
	v->ops->mode_changed(v);
	return X86_OK;
}
