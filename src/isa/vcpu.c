/* SPDX-License-Identifier: BSD-2-Clause */
#include "isa/vcpu.h"

#include <stdatomic.h>

#include "base/errno.h"

#include "isa/fpu.h"
#include "isa/lapic.h"
#include "isa/msr.h"

void x86_attend(struct alc_vcpu *v, unsigned bits)
{
	atomic_fetch_or(&v->attention, bits);
	if (v->plat->kick)
		v->plat->kick(v->plat->kick_ctx, v);
}

int x86_raise(struct alc_vcpu *v, unsigned vector)
{
	v->fault = (struct x86_fault){.vector = (u8)vector};
	return 1;
}

int x86_raise_error(struct alc_vcpu *v, unsigned vector, u32 error)
{
	v->fault = (struct x86_fault){.vector = (u8)vector, .has_error = true, .error = error};
	return 1;
}

int x86_raise_page_fault(struct alc_vcpu *v, u64 gva, u32 error)
{
	v->fault = (struct x86_fault){
		.vector = X86_PFV, .has_error = true, .error = error, .cr2 = gva};
	return 1;
}

int x86_unsupported(struct alc_vcpu *v, const char *what)
{
	v->unsupported = what;
	return X86_UNSUPPORTED;
}

u64 x86_tsc(const struct alc_vcpu *v)
{
	u64 now_ns = clock_now_ns(v->plat->clock), hz = v->plat->tsc_hz;

	/* Guests ask often, and a 128-bit division costs more than the clock. */
	return (hz == 1000000000 ? now_ns : mul_div(now_ns, hz, 1000000000)) + v->msr.tsc_offset;
}

/* A segment as real mode has it (SDM vol. 3A 20.1.4 and table 9-1). */
static struct x86_seg real_segment(u16 sel, u64 base, bool code)
{
	return (struct x86_seg){.base = base,
				.limit = 0xffff,
				.sel = sel,
				.attr = X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED |
					(code ? X86_SEG_CODE : 0)};
}

void vcpu_reset(struct alc_vcpu *v, bool init)
{
	unsigned s;

	__builtin_memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[X86_RDX] = cpuid_query(v, 1, 0).eax;
	v->rip = 0xfff0;
	v->rflags = X86_R1;
	for (s = 0; s < X86_SEGS; s++)
		v->seg[s] = real_segment(0, 0, false);
	v->seg[X86_CS] = real_segment(0xf000, 0xffff0000, true);
	v->ldtr = (struct x86_seg){.limit = 0xffff, .attr = X86_SEG_P | 2};
	v->tr = (struct x86_seg){.limit = 0xffff, .attr = X86_SEG_P | 11};
	v->gdtr = v->idtr = (struct x86_dtr){.limit = 0xffff};
	v->cr0 = X86_CR0_ET | (init ? v->cr0 & (X86_CR0_CD | X86_CR0_NW) : X86_CR0_CD | X86_CR0_NW);
	v->cr2 = v->cr3 = v->cr4 = 0;
	v->efer = 0;
	__builtin_memset(v->dr, 0, sizeof(v->dr));
	v->dr[6] = 0xffff0ff0;
	v->dr[7] = 0x400;
	v->cpl = 0;
	v->nmi_blocked = false;
	v->shadow_rip = ~0ull;
	v->activity = v->index == 0 ? X86_RUNNING : X86_WAIT_SIPI;
	if (!init) {
		v->xcr0 = X86_XCR0_X87;
		fpu_reset(&v->fpu);
		x86_msr_reset(v);
		__builtin_memset(&v->pv, 0, sizeof(v->pv));
		atomic_store(&v->attention, 0);
	}
	lapic_reset(v->lapic, init);
	if (v->ops) {
		v->ops->mode_changed(v);
		v->ops->flush_all(v);
	}
}

void vcpu_start(struct alc_vcpu *v, u8 vector)
{
	v->seg[X86_CS] = real_segment((u16)(vector << 8), (u64)vector << 12, true);
	v->rip = 0;
	v->activity = X86_RUNNING;
	if (v->ops)
		v->ops->mode_changed(v);
}

int vcpu_create(const struct x86_platform *plat, unsigned index,
		const struct x86_cpuid_table *cpuid, struct alc_vcpu **out, struct alc_err *err)
{
	struct alc_vcpu *v = host_alloc(plat->host, sizeof(*v) + plat->vcpu_bytes);
	int r;

	if (!v)
		return alc_fail(err, -ENOMEM, "no memory for vCPU %u", index);
	v->plat = plat;
	v->index = index;
	v->cpuid = cpuid;
	atomic_store(&v->run_until, UINT64_MAX);
	r = lapic_create(v, err);
	if (r) {
		host_free(plat->host, v, sizeof(*v) + plat->vcpu_bytes);
		return r;
	}
	vcpu_reset(v, false);
	*out = v;
	return 0;
}

void vcpu_destroy(struct alc_vcpu *v)
{
	if (!v)
		return;
	lapic_destroy(v->lapic);
	host_free(v->plat->host, v, sizeof(*v) + v->plat->vcpu_bytes);
}
