/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System instructions that C does while translated code waits, as for an access that its check
 * failed for: the TSC, PAUSE, CPUID, and where translated code can go on as if nothing was, loads
 * of CR3 and INVLPG. What C won't do, a fault for instance, is the interpreter's, as any SITE_ONE.
 */
#include "engine/translate/gen.h"
#include "isa/control.h"
#include "isa/cpuid.h"

/* ---- In C ---- */

/* 0: done. */
typedef u64 answer_fn(struct alc_vcpu *v, const struct tr_site *s, u64 operand);

static u64 answer_tsc(struct alc_vcpu *v, const struct tr_site *s, u64 operand)
{
	if (v->cpl && (v->cr4 & X86_CR4_TSD))
		return 1;
	tr_of(v)->answer = x86_tsc(v);
	return 0;
}

static u64 answer_pause(struct alc_vcpu *v, const struct tr_site *s, u64 operand)
{
	if ((++tr_of(v)->c.n_pauses & 63) == 0 && !clock_is_virtual(v->plat->clock))
		v->plat->host->yield(v->plat->host->ctx);
	return 0;
}

/* It serialises: code that another vCPU has changed is not to be run any more. */
static u64 answer_cpuid(struct alc_vcpu *v, const struct tr_site *s, u64 operand)
{
	struct x86_cpuid_regs r;

	if (atomic_load_explicit(&v->attention, memory_order_relaxed))
		return 1;
	r = cpuid_query(v, (u32)v->gpr[X86_RAX], (u32)v->gpr[X86_RCX]);
	v->gpr[X86_RAX] = r.eax;
	v->gpr[X86_RBX] = r.ebx;
	v->gpr[X86_RCX] = r.ecx;
	v->gpr[X86_RDX] = r.edx;
	return 0;
}

/*
 * Does translated code of the supervisor's stay as it is when the lower half changes? It does in
 * the upper half, unless that has pages that are not global.
 */
static bool stays(const struct tr *t, const struct tr_site *s)
{
	return s->rip >> 63 && !t->low_kernel && !t->c.upper_nonglobal && !t->kernel_nonglobal;
}

static u64 answer_cr3(struct alc_vcpu *v, const struct tr_site *s, u64 operand)
{
	return !stays(tr_of(v), s) || x86_write_cr(v, 3, operand) != X86_OK;
}

static u64 answer_invlpg(struct alc_vcpu *v, const struct tr_site *s, u64 operand)
{
	if (operand >> 63 || !stays(tr_of(v), s))
		return 1;
	v->ops->flush_page(v, x86_pcid(v), operand);
	return 0;
}

u64 tr_answer(struct alc_vcpu *v, const struct tr_site *s, u64 operand)
{
	static answer_fn *const by_kind[] = {
		[ANSWER_TSC] = answer_tsc,       [ANSWER_PAUSE] = answer_pause,
		[ANSWER_CPUID] = answer_cpuid,   [ANSWER_CR3] = answer_cr3,
		[ANSWER_INVLPG] = answer_invlpg,
	};

	return by_kind[s->answer](v, s, operand);
}

/* ---- In translated code ---- */

static enum tr_answer answer_of(const struct tr_insn *i)
{
	switch (i->kind) {
	case K_PAUSE:
		return ANSWER_PAUSE;
	case K_CPUID:
		return ANSWER_CPUID;
	case K_WRITE_CR3:
		return ANSWER_CR3;
	case K_INVLPG:
		return ANSWER_INVLPG;
	default:
		return ANSWER_TSC;
	}
}

static const u8 cpuid_regs[] = {X86_RAX, X86_RCX, X86_RDX, X86_RBX};

/* What C wants of the guest's registers: the operand to T0. */
static void give(struct gen *g, const struct tr_insn *i)
{
	struct code *c = g->c;

	if (i->kind == K_CPUID) {
		e_store(c, state_reg(X86_RAX), X86_RAX);
		e_store(c, state_reg(X86_RCX), X86_RCX);
	} else if (i->kind == K_WRITE_CR3 && in_state(g, i->rm)) {
		e_load(c, T0, state_reg(i->rm));
	} else if (i->kind == K_WRITE_CR3) {
		e_rr(c, OP_MOV_LOAD, true, T0, host_reg(g, i->rm));
	} else if (i->kind == K_INVLPG) {
		ea_operand(g, i);
	}
}

static void take(struct gen *g, const struct tr_insn *i)
{
	struct code *c = g->c;

	if (i->kind == K_RDTSC || i->kind == K_RDTSCP) {
		e_load32(c, X86_RAX, hm_gs(T_OFF(answer)));
		e_load32(c, X86_RDX, hm_gs(T_OFF(answer) + 4));
	}
	if (i->kind == K_RDTSCP)
		e_load32(c, X86_RCX, hm_gs(V_OFF(msr.tsc_aux)));
	for (unsigned k = 0; i->kind == K_CPUID && k < ARRAY_LEN(cpuid_regs); k++)
		e_load(c, cpuid_regs[k], state_reg(cpuid_regs[k]));
}

void insn_answer(struct gen *g, const struct tr_insn *i)
{
	struct code *c = g->c;
	u32 site;

	if (!tr_has(g->t, TR_ANSWERS)) {
		insn_one(g, i);
		return;
	}
	site = new_site(g, (struct tr_site){.rip = gen_rip(g, i),
					    .kind = SITE_ONE,
					    .next = i->len,
					    .flags = (u8)g->fstate,
					    .answer = answer_of(i)});
	give(g, i);
	e_mov_imm(c, T1, site);
	e_call_to(c, g->t->rt.slow);
	take(g, i);
	if (site)
		tr_slot(g->t, site)->value = c->at;
}
