/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System instructions: the shell around isa/. Each checks privilege, calls the semantics, and
 * ends its block, since what it changed may be what the rest of the block was decoded under.
 */
#include "engine/interp/system.h"

#include "engine/interp/ops.h"
#include "isa/control.h"
#include "isa/cpuid.h"
#include "isa/fpu.h"
#include "isa/msr.h"
#include "isa/segment.h"

/* ---- Segment, control and debug registers
 * ---------------------------------------------------------- */

OP(mov_from_sreg)
{
	set_reg_size(v, op->b, v->seg[op->a].sel, (unsigned)op->imm);
	NEXT;
}

OP(mov_from_sreg_m)
{
	EA(gva, 2, X86_WRITE)
	TRY(mem_write16(v, c, op, gva, v->seg[op->a].sel));
	NEXT;
}

static inline void load_sreg(struct alc_vcpu *v, const struct op *op, struct interp *c, u16 sel)
{
	TRY_ISA(x86_load_segment(v, op->a, sel));
	go_next(v, op);
	if (op->a == X86_SS) {
		v->shadow_rip = v->rip;
		v->shadow_ss = true;
	}
}

OP(mov_to_sreg)
{
	load_sreg(v, op, c, reg16(v, op->b));
}

OP(mov_to_sreg_m)
{
	u16 sel;

	EA(gva, 2, X86_READ)
	TRY(mem_read16(v, c, op, gva, &sel));
	load_sreg(v, op, c, sel);
}

/* Size of a control or debug register: 8 bytes in 64-bit mode, else 4; in op->imm. */
OP(mov_from_cr)
{
	u64 x;

	NEED_CPL0;
	TRY_ISA(x86_read_cr(v, op->a, &x));
	set_reg_size(v, op->b, x, (unsigned)op->imm);
	NEXT;
}

OP(mov_to_cr)
{
	NEED_CPL0;
	flags_sync(v, c);
	TRY_ISA(x86_write_cr(v, op->a, reg_size(v, op->b, (unsigned)op->imm)));
	go_next(v, op);
}

OP(mov_from_dr)
{
	u64 x;

	NEED_CPL0;
	TRY_ISA(x86_read_dr(v, op->a, &x));
	set_reg_size(v, op->b, x, (unsigned)op->imm);
	NEXT;
}

OP(mov_to_dr)
{
	NEED_CPL0;
	TRY_ISA(x86_write_dr(v, op->a, reg_size(v, op->b, (unsigned)op->imm)));
	go_next(v, op);
}

static bool in_class(const ZydisDecodedOperand *o, ZydisRegister first, ZydisRegister last)
{
	return is_reg(o) && o->reg.value >= first && o->reg.value <= last;
}

struct special_class {
	ZydisRegister first, last;
	op_fn *from_r, *from_m, *to_r, *to_m;
};

bool system_mov(struct dec *d)
{
	static const struct special_class classes[] = {
		{ZYDIS_REGISTER_ES, ZYDIS_REGISTER_GS, mov_from_sreg, mov_from_sreg_m, mov_to_sreg,
		 mov_to_sreg_m},
		{ZYDIS_REGISTER_CR0, ZYDIS_REGISTER_CR15, mov_from_cr, NULL, mov_to_cr, NULL},
		{ZYDIS_REGISTER_DR0, ZYDIS_REGISTER_DR15, mov_from_dr, NULL, mov_to_dr, NULL},
	};
	unsigned i;

	for (i = 0; i < ARRAY_LEN(classes); i++) {
		const struct special_class *k = &classes[i];
		bool to = in_class(&d->o[0], k->first, k->last);
		const ZydisDecodedOperand *special = &d->o[!to], *other = &d->o[to];

		if (!in_class(special, k->first, k->last))
			continue;
		d->op->a = (u8)(special->reg.value - k->first);
		d->op->imm = other->size / 8;
		if (is_reg(other))
			d->op->b = dec_reg(other->reg.value);
		gen(d, to ? (is_mem(other) ? k->to_m : k->to_r)
			  : (is_mem(other) ? k->from_m : k->from_r));
		d->end = to;
		return true;
	}
	return false;
}

OP(clts)
{
	NEED_CPL0;
	v->cr0 &= ~X86_CR0_TS;
	interp_mode_changed(v);
	go_next(v, op);
}

/* LMSW sets PE but never clears it (SDM vol. 2). */
static inline void do_lmsw(struct alc_vcpu *v, const struct op *op, struct interp *c, u16 x)
{
	u64 mask = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS;

	NEED_CPL0;
	TRY_ISA(x86_write_cr(v, 0, (v->cr0 & ~(mask & ~X86_CR0_PE)) | (x & mask)));
	go_next(v, op);
}

OP(lmsw_r)
{
	do_lmsw(v, op, c, reg16(v, op->a));
}

OP(lmsw_m)
{
	u16 x;

	NEED_CPL0;
	EA(gva, 2, X86_READ)
	TRY(mem_read16(v, c, op, gva, &x));
	do_lmsw(v, op, c, x);
}

/* UMIP keeps system state from user programs (SDM vol. 3A 2.5). */
static inline int umip(struct alc_vcpu *v)
{
	return v->cpl && (v->cr4 & X86_CR4_UMIP) ? x86_raise_error(v, X86_GP, 0) : 0;
}

/* SMSW, SLDT, STR: a value into a register of op->b bytes, or 16 bits into memory. */
enum { V_SMSW, V_SLDT, V_STR };

static u64 system_value(const struct alc_vcpu *v, unsigned which)
{
	return which == V_SMSW ? v->cr0 : which == V_SLDT ? v->ldtr.sel : v->tr.sel;
}

OP(store_value_r)
{
	TRY(umip(v));
	if (op->imm != V_SMSW && (!x86_protected(v) || (v->rflags & X86_VM)))
		TRY(x86_raise(v, X86_UD));
	set_reg_size(v, op->a, system_value(v, (unsigned)op->imm), op->b);
	NEXT;
}

OP(store_value_m)
{
	TRY(umip(v));
	if (op->imm != V_SMSW && (!x86_protected(v) || (v->rflags & X86_VM)))
		TRY(x86_raise(v, X86_UD));
	EA(gva, 2, X86_WRITE)
	TRY(mem_write16(v, c, op, gva, (u16)system_value(v, (unsigned)op->imm)));
	NEXT;
}

static bool gen_store_value(struct dec *d, unsigned which)
{
	d->op->imm = which;
	d->op->b = (u8)(d->o[0].size / 8);
	if (is_reg(&d->o[0]))
		d->op->a = dec_reg(d->o[0].reg.value);
	gen(d, is_reg(&d->o[0]) ? store_value_r : store_value_m);
	return true;
}

static bool gen_lmsw(struct dec *d, unsigned arg)
{
	if (is_reg(&d->o[0]))
		d->op->a = dec_reg(d->o[0].reg.value);
	gen(d, is_reg(&d->o[0]) ? lmsw_r : lmsw_m);
	d->end = true;
	return true;
}

/* ---- Descriptor tables
 * -------------------------------------------------------------------------------- */

/* op->imm bit 0: IDT; op->b: bytes of the base (8, 4, or 3 with a 16-bit operand). */
OP(load_table)
{
	u8 raw[10];
	u64 base;

	NEED_CPL0;
	EA(gva, 6, X86_READ)
	TRY(mem_read_slow(v, c, op, gva, raw, op->b == 8 ? 10 : 6));
	base = op->b == 8 ? ld64(raw + 2) : ld32(raw + 2) & (op->b == 3 ? 0xffffff : ~0u);
	if (!x86_canonical(base))
		TRY(x86_raise_error(v, X86_GP, 0));
	*(op->imm ? &v->idtr : &v->gdtr) = (struct x86_dtr){.base = base, .limit = ld16(raw)};
	NEXT;
}

OP(store_table)
{
	const struct x86_dtr *t = op->imm ? &v->idtr : &v->gdtr;
	u8 raw[10];

	TRY(umip(v));
	st16(raw, t->limit);
	st64(raw + 2, t->base);
	EA(gva, 6, X86_WRITE)
	TRY(mem_write_slow(v, c, op, gva, raw, op->b == 8 ? 10 : 6));
	NEXT;
}

enum { D_LGDT, D_LIDT, D_SGDT, D_SIDT };

static bool gen_table(struct dec *d, unsigned which)
{
	d->op->imm = which == D_LIDT || which == D_SIDT;
	d->op->b = (d->mode & MODE_SIZE) == MODE_64 ? 8 : d->z.operand_width == 16 ? 3 : 4;
	gen(d, which <= D_LIDT ? load_table : store_table);
	return true;
}

/* LLDT, LTR, LAR, LSL, VERR, VERW share their 16-bit source; op->imm says which. */
enum { Y_LLDT, Y_LTR, Y_LAR, Y_LSL, Y_VERR, Y_VERW };

static inline int selector_allowed(struct alc_vcpu *v, const struct op *op)
{
	if (!x86_protected(v))
		return x86_raise(v, X86_UD);
	if ((op->imm == Y_LLDT || op->imm == Y_LTR) && v->cpl)
		return x86_raise_error(v, X86_GP, 0);
	return 0;
}

static inline void do_selector(struct alc_vcpu *v, const struct op *op, struct interp *c, u16 sel)
{
	u32 value = 0;
	bool ok;

	if (op->imm == Y_LLDT || op->imm == Y_LTR) {
		TRY_ISA(op->imm == Y_LLDT ? x86_lldt(v, sel) : x86_ltr(v, sel));
		NEXT;
	}
	TRY_ISA(x86_probe_segment(v, (enum x86_probe)(op->imm - Y_LAR), sel, &ok, &value));
	if (ok && (op->imm == Y_LAR || op->imm == Y_LSL))
		set_reg_size(v, op->b, value, op->a);
	flags_put(c, (flags_get(c) & ~(u64)X86_ZF) | (ok ? X86_ZF : 0));
	NEXT;
}

/* op->disp: source register where there is no memory operand. */
OP(selector_r)
{
	TRY(selector_allowed(v, op));
	do_selector(v, op, c, reg16(v, (unsigned)op->disp));
}

OP(selector_m)
{
	u16 sel;

	TRY(selector_allowed(v, op));
	EA(gva, 2, X86_READ)
	TRY(mem_read16(v, c, op, gva, &sel));
	do_selector(v, op, c, sel);
}

static bool gen_selector(struct dec *d, unsigned which)
{
	bool has_dst = which == Y_LAR || which == Y_LSL;
	const ZydisDecodedOperand *src = &d->o[has_dst];

	d->op->imm = which;
	if (has_dst) {
		d->op->b = dec_reg(d->o[0].reg.value);
		d->op->a = (u8)(d->o[0].size / 8);
	}
	if (is_reg(src))
		d->op->disp = dec_reg(src->reg.value);
	gen(d, is_reg(src) ? selector_r : selector_m);
	return true;
}

/* ---- Flags and halting
 * ------------------------------------------------------------------------------------ */

static int iopl_check(struct alc_vcpu *v)
{
	if (x86_protected(v) && v->cpl > (v->rflags & X86_IOPL) >> 12)
		return x86_raise_error(v, X86_GP, 0);
	return 0;
}

OP(cli)
{
	TRY(iopl_check(v));
	v->rflags &= ~(u64)X86_IF;
	NEXT;
}

/*
 * Interrupts stay off for one more instruction (SDM vol. 2, STI), if they were off. If one waits,
 * it comes right after that instruction rather than at the end of the block.
 */
OP(sti)
{
	bool was_on = v->rflags & X86_IF;

	TRY(iopl_check(v));
	v->rflags |= X86_IF;
	if (!was_on) {
		v->shadow_rip = op_next_rip(v, op);
		v->shadow_ss = false;
		if (unlikely(c->intr_waiting)) {
			interp_recheck_interrupts(v, c);
			op_uncount(v, op + 1, c);
			go_next(v, op);
			LEAVE;
		}
	}
	NEXT;
}

OP(hlt)
{
	NEED_CPL0;
	go_next(v, op);
	v->activity = X86_HALTED;
	c->exit = EXIT_HALT;
}

OP(stac_clac)
{
	NEED_CPL0;
	v->rflags = (v->rflags & ~(u64)X86_AC) | (op->imm ? X86_AC : 0);
	interp_mode_changed(v);
	go_next(v, op);
}

enum { Z_CLI, Z_STI, Z_HLT, Z_CLTS, Z_STAC, Z_CLAC };

static bool gen_flag_op(struct dec *d, unsigned which)
{
	static op_fn *const fn[] = {cli, sti, hlt, clts, stac_clac, stac_clac};

	d->op->imm = which == Z_STAC;
	d->end = which >= Z_HLT;
	gen(d, fn[which]);
	return true;
}

/* ---- Identification, MSRs, time
 * ------------------------------------------------------------------------------ */

OP(cpuid)
{
	struct x86_cpuid_regs r = cpuid_query(v, reg32(v, X86_RAX), reg32(v, X86_RCX));

	v->gpr[X86_RAX] = r.eax;
	v->gpr[X86_RBX] = r.ebx;
	v->gpr[X86_RCX] = r.ecx;
	v->gpr[X86_RDX] = r.edx;
	NEXT;
}

static inline void put_edx_eax(struct alc_vcpu *v, u64 x)
{
	v->gpr[X86_RAX] = (u32)x;
	v->gpr[X86_RDX] = x >> 32;
}

static inline u64 edx_eax(const struct alc_vcpu *v)
{
	return (u64)reg32(v, X86_RDX) << 32 | reg32(v, X86_RAX);
}

OP(rdmsr)
{
	u64 x;
	int r;

	NEED_CPL0;
	op_call_out(v, op, c);
	r = x86_rdmsr(v, reg32(v, X86_RCX), &x);
	op_called_out(v, op, c);
	TRY_ISA(r);
	put_edx_eax(v, x);
	NEXT;
}

OP(wrmsr)
{
	int r;

	NEED_CPL0;
	op_call_out(v, op, c);
	r = x86_wrmsr(v, reg32(v, X86_RCX), edx_eax(v));
	op_called_out(v, op, c);
	TRY_ISA(r);
	go_next(v, op);
}

OP(rdtsc)
{
	if (v->cpl && (v->cr4 & X86_CR4_TSD))
		TRY(x86_raise_error(v, X86_GP, 0));
	op_call_out(v, op, c);
	put_edx_eax(v, x86_tsc(v));
	op_called_out(v, op, c);
	if (op->imm)
		v->gpr[X86_RCX] = (u32)v->msr.tsc_aux;
	NEXT;
}

/* No performance counters: every index is invalid. */
OP(rdpmc)
{
	TRY(x86_raise_error(v, X86_GP, 0));
	NEXT;
}

OP(rdpid)
{
	v->gpr[op->a] = (u32)v->msr.tsc_aux;
	NEXT;
}

OP(xgetbv)
{
	if (!(v->cr4 & X86_CR4_OSXSAVE))
		TRY(x86_raise(v, X86_UD));
	if (reg32(v, X86_RCX) == 1 && cpuid_has(v->cpuid, X86_FEAT_XGETBV1)) {
		put_edx_eax(v, v->xcr0 & fpu_xinuse(&v->fpu));
		NEXT;
	}
	if (reg32(v, X86_RCX) != 0)
		TRY(x86_raise_error(v, X86_GP, 0));
	put_edx_eax(v, v->xcr0);
	NEXT;
}

OP(xsetbv)
{
	if (!(v->cr4 & X86_CR4_OSXSAVE))
		TRY(x86_raise(v, X86_UD));
	TRY_ISA(x86_xsetbv(v, reg32(v, X86_RCX), edx_eax(v)));
	go_next(v, op);
}

/* RDRAND and RDSEED: 16, 32 or 64 bits, always successful. */
OP(rdrand)
{
	u64 x;

	entropy_fill(v->plat->host, v->plat->entropy, &x, sizeof(x));
	set_reg_size(v, op->a, x, op->b);
	flags_put(c, X86_CF);
	NEXT;
}

enum { I_CPUID, I_RDMSR, I_WRMSR, I_RDTSC, I_RDTSCP, I_RDPMC, I_XGETBV, I_XSETBV };

static bool gen_info(struct dec *d, unsigned which)
{
	static op_fn *const fn[] = {cpuid, rdmsr, wrmsr, rdtsc, rdtsc, rdpmc, xgetbv, xsetbv};

	d->op->imm = which == I_RDTSCP;
	d->end = which == I_WRMSR || which == I_XSETBV;
	gen(d, fn[which]);
	return true;
}

static bool gen_reg_info(struct dec *d, unsigned random)
{
	d->op->a = dec_reg(d->o[0].reg.value);
	d->op->b = (u8)(d->o[0].size / 8);
	gen(d, random ? rdrand : rdpid);
	return true;
}

/* ---- FS and GS bases
 * ------------------------------------------------------------------------------------------- */

OP(swapgs)
{
	u64 t = v->seg[X86_GS].base;

	NEED_CPL0;
	v->seg[X86_GS].base = v->msr.kernel_gs_base;
	v->msr.kernel_gs_base = t;
	NEXT;
}

/* op->a the general register, op->b the segment, op->imm the size. */
OP(rdbase)
{
	if (!(v->cr4 & X86_CR4_FSGSBASE))
		TRY(x86_raise(v, X86_UD));
	set_reg_size(v, op->a, v->seg[op->b].base, (unsigned)op->imm);
	NEXT;
}

OP(wrbase)
{
	u64 x = reg_size(v, op->a, (unsigned)op->imm);

	if (!(v->cr4 & X86_CR4_FSGSBASE))
		TRY(x86_raise(v, X86_UD));
	if (!x86_canonical(x))
		TRY(x86_raise_error(v, X86_GP, 0));
	v->seg[op->b].base = x;
	NEXT;
}

enum { G_RDFS, G_RDGS, G_WRFS, G_WRGS };

static bool gen_base(struct dec *d, unsigned which)
{
	d->op->a = dec_reg(d->o[0].reg.value);
	d->op->b = which == G_RDFS || which == G_WRFS ? X86_FS : X86_GS;
	d->op->imm = d->o[0].size / 8;
	gen(d, which <= G_RDGS ? rdbase : wrbase);
	return true;
}

static bool gen_swapgs(struct dec *d, unsigned arg)
{
	gen(d, swapgs);
	return true;
}

/* ---- TLB, caches, fences
 * ------------------------------------------------------------------------------------------ */

OP(invlpg)
{
	NEED_CPL0;
	v->ops->flush_page(
		v, x86_pcid(v),
		ea_cut(op, op_ea(v, op)) +
			(op->addr & ADDR_SEG ? v->seg[(op->addr & ADDR_SEG) - 1].base : 0));
	go_next(v, op);
}

/* Types 0-3 (SDM vol. 2, INVPCID). */
OP(invpcid)
{
	u64 desc[2], type = v->gpr[op->a];

	NEED_CPL0;
	EA(gva, 16, X86_READ)
	TRY(mem_read_slow(v, c, op, gva, desc, 16));
	if (type > 3 || (type < 2 && desc[0] >> 12) || (type == 0 && !x86_canonical(desc[1])) ||
	    (type < 2 && desc[0] && !(v->cr4 & X86_CR4_PCIDE)))
		TRY(x86_raise_error(v, X86_GP, 0));
	if (type == 0)
		v->ops->flush_page(v, (unsigned)desc[0], desc[1]);
	else if (type == 1)
		v->ops->flush_space(v, (unsigned)desc[0]);
	else if (type == 2)
		v->ops->flush_all(v);
	else
		v->ops->flush_nonglobal(v);
	go_next(v, op);
}

/* WBINVD, INVD: caches are coherent with everything here. */
OP(privileged_nop)
{
	NEED_CPL0;
	NEXT;
}

OP(fence)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	NEXT;
}

/* CLFLUSH and kin read their byte, for permission's sake (SDM vol. 2). */
OP(cache_line)
{
	u8 x;

	EA(gva, 1, X86_READ)
	TRY(mem_read8(v, c, op, gva, &x));
	NEXT;
}

/*
 * A spinning vCPU may wait for one whose thread has no processor: hand over now and then. In
 * virtual time all are on this one.
 */
OP(pause_hint)
{
	if ((++c->n_pauses & 63) == 0 && !clock_is_virtual(v->plat->clock))
		v->plat->host->yield(v->plat->host->ctx);
	NEXT;
}

enum { H_INVLPG, H_INVPCID, H_WBINVD, H_FENCE, H_CLFLUSH, H_PAUSE };

static bool gen_cache(struct dec *d, unsigned which)
{
	static op_fn *const fn[] = {invlpg, invpcid, privileged_nop, fence, cache_line, pause_hint};

	if (which == H_INVLPG)
		dec_mem(d, &d->o[0]);
	if (which == H_INVPCID)
		d->op->a = dec_reg(d->o[0].reg.value);
	d->end = which <= H_INVPCID;
	gen(d, fn[which]);
	return true;
}

const struct insn_row system_rows[] = {
	{ZYDIS_MNEMONIC_LMSW, gen_lmsw, 0},
	{ZYDIS_MNEMONIC_SMSW, gen_store_value, V_SMSW},
	{ZYDIS_MNEMONIC_SLDT, gen_store_value, V_SLDT},
	{ZYDIS_MNEMONIC_STR, gen_store_value, V_STR},
	{ZYDIS_MNEMONIC_LGDT, gen_table, D_LGDT},
	{ZYDIS_MNEMONIC_LIDT, gen_table, D_LIDT},
	{ZYDIS_MNEMONIC_SGDT, gen_table, D_SGDT},
	{ZYDIS_MNEMONIC_SIDT, gen_table, D_SIDT},
	{ZYDIS_MNEMONIC_LLDT, gen_selector, Y_LLDT},
	{ZYDIS_MNEMONIC_LTR, gen_selector, Y_LTR},
	{ZYDIS_MNEMONIC_LAR, gen_selector, Y_LAR},
	{ZYDIS_MNEMONIC_LSL, gen_selector, Y_LSL},
	{ZYDIS_MNEMONIC_VERR, gen_selector, Y_VERR},
	{ZYDIS_MNEMONIC_VERW, gen_selector, Y_VERW},
	{ZYDIS_MNEMONIC_CLI, gen_flag_op, Z_CLI},
	{ZYDIS_MNEMONIC_STI, gen_flag_op, Z_STI},
	{ZYDIS_MNEMONIC_HLT, gen_flag_op, Z_HLT},
	{ZYDIS_MNEMONIC_CLTS, gen_flag_op, Z_CLTS},
	{ZYDIS_MNEMONIC_STAC, gen_flag_op, Z_STAC},
	{ZYDIS_MNEMONIC_CLAC, gen_flag_op, Z_CLAC},
	{ZYDIS_MNEMONIC_CPUID, gen_info, I_CPUID},
	{ZYDIS_MNEMONIC_RDMSR, gen_info, I_RDMSR},
	{ZYDIS_MNEMONIC_WRMSR, gen_info, I_WRMSR},
	{ZYDIS_MNEMONIC_RDTSC, gen_info, I_RDTSC},
	{ZYDIS_MNEMONIC_RDTSCP, gen_info, I_RDTSCP},
	{ZYDIS_MNEMONIC_RDPMC, gen_info, I_RDPMC},
	{ZYDIS_MNEMONIC_XGETBV, gen_info, I_XGETBV},
	{ZYDIS_MNEMONIC_XSETBV, gen_info, I_XSETBV},
	{ZYDIS_MNEMONIC_RDRAND, gen_reg_info, 1},
	{ZYDIS_MNEMONIC_RDSEED, gen_reg_info, 1},
	{ZYDIS_MNEMONIC_RDPID, gen_reg_info, 0},
	{ZYDIS_MNEMONIC_SWAPGS, gen_swapgs, 0},
	{ZYDIS_MNEMONIC_RDFSBASE, gen_base, G_RDFS},
	{ZYDIS_MNEMONIC_RDGSBASE, gen_base, G_RDGS},
	{ZYDIS_MNEMONIC_WRFSBASE, gen_base, G_WRFS},
	{ZYDIS_MNEMONIC_WRGSBASE, gen_base, G_WRGS},
	{ZYDIS_MNEMONIC_INVLPG, gen_cache, H_INVLPG},
	{ZYDIS_MNEMONIC_INVPCID, gen_cache, H_INVPCID},
	{ZYDIS_MNEMONIC_WBINVD, gen_cache, H_WBINVD},
	{ZYDIS_MNEMONIC_INVD, gen_cache, H_WBINVD},
	{ZYDIS_MNEMONIC_MFENCE, gen_cache, H_FENCE},
	{ZYDIS_MNEMONIC_LFENCE, gen_cache, H_FENCE},
	{ZYDIS_MNEMONIC_SFENCE, gen_cache, H_FENCE},
	{ZYDIS_MNEMONIC_CLFLUSH, gen_cache, H_CLFLUSH},
	{ZYDIS_MNEMONIC_CLFLUSHOPT, gen_cache, H_CLFLUSH},
	{ZYDIS_MNEMONIC_CLWB, gen_cache, H_CLFLUSH},
	{ZYDIS_MNEMONIC_PAUSE, gen_cache, H_PAUSE},
	{0},
};
