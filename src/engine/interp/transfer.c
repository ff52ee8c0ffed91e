/* SPDX-License-Identifier: BSD-2-Clause */
/* Software interrupts, far transfers, system calls: the shell around isa/event.h, transfer.h. */
#include "engine/interp/ops.h"
#include "engine/interp/system.h"
#include "isa/event.h"
#include "isa/segment.h"
#include "isa/transfer.h"

/* Delivers through the IDT with RIP after the instruction; a fault of delivery is from before it.
 */
OP(software_int)
{
	u64 at = op_rip(v, op);
	int r;

	flags_sync(v, c);
	v->rip = op_next_rip(v, op);
	if (op->imm == X86_OFV && !op->a && !flag_of(c))
		return;
	if (c->stop_on_fault) {
		x86_raise(v, (u8)op->imm);
		c->exit = EXIT_FAULT;
		return;
	}
	r = x86_deliver_software(v, (u8)op->imm, at);
	c->interrupted = !r;
	flags_load(v, c);
	if (r)
		op_leave_result(v, op, c, r);
}

static bool gen_int(struct dec *d, unsigned vector)
{
	d->op->imm = vector ? vector : dec_imm(&d->o[0]) & 0xff;
	d->op->a = !vector; /* INT 4 is not INTO */
	d->end = true;
	gen(d, software_int);
	return true;
}

/* INT1 is a trap that no DPL guards (SDM vol. 2, INT1). */
OP(int1)
{
	x86_raise(v, X86_DB);
	v->rip = op_next_rip(v, op);
	c->exit = EXIT_FAULT;
}

static bool gen_int1(struct dec *d, unsigned arg)
{
	d->end = true;
	gen(d, int1);
	return true;
}

/* After a transfer that took RFLAGS with it. */
#define TRANSFER(e)                                                 \
	do {                                                        \
		int transfer_result;                                \
		flags_sync(v, c);                                   \
		transfer_result = (e);                              \
		if (unlikely(transfer_result)) {                    \
			op_leave_result(v, op, c, transfer_result); \
			return;                                     \
		}                                                   \
		flags_load(v, c);                                   \
		interp_mode_changed(v);                             \
		interp_recheck_interrupts(v, c);                    \
	} while (0)

/* op->a: operand size. */
OP(iret)
{
	TRANSFER(x86_iret(v, op->a));
}

OP(syscall)
{
	TRANSFER(x86_syscall(v, op_next_rip(v, op)));
}

OP(sysret)
{
	TRANSFER(x86_sysret(v, op->a));
}

OP(sysenter)
{
	TRANSFER(x86_sysenter(v));
}

OP(sysexit)
{
	TRANSFER(x86_sysexit(v, op->a));
}

enum { W_IRET, W_SYSCALL, W_SYSRET, W_SYSENTER, W_SYSEXIT };

static bool gen_transfer(struct dec *d, unsigned which)
{
	static op_fn *const fn[] = {iret, syscall, sysret, sysenter, sysexit};

	d->op->a = (u8)(d->z.operand_width / 8);
	if (which == W_SYSRET || which == W_SYSEXIT)
		d->op->a = d->z.attributes & ZYDIS_ATTRIB_HAS_REX && d->z.raw.rex.W ? 8 : 4;
	d->end = true;
	gen(d, fn[which]);
	return true;
}

/* op->a: operand size; op->b: call; op->imm: selector << 32 | offset, for a direct transfer. */
static inline void far_transfer(struct alc_vcpu *v, const struct op *op, struct interp *c, u16 sel,
				u64 off)
{
	TRANSFER(op->b ? x86_far_call(v, sel, off, op->a, op_next_rip(v, op))
		       : x86_far_jump(v, sel, off, op->a));
}

OP(far_direct)
{
	far_transfer(v, op, c, (u16)(op->imm >> 32), (u32)op->imm);
}

OP(far_memory)
{
	u8 raw[10];

	EA(gva, op->a + 2u, X86_READ)
	TRY(mem_read_slow(v, c, op, gva, raw, op->a + 2u));
	far_transfer(v, op, c, ld16(raw + op->a), ld_size(raw, op->a));
}

bool flow_far(struct dec *d, bool call)
{
	d->op->a = (u8)(d->z.operand_width / 8);
	d->op->b = call;
	d->end = true;
	if (is_mem(&d->o[0])) {
		gen(d, far_memory);
	} else {
		d->op->imm = (u64)d->o[0].ptr.segment << 32 | d->o[0].ptr.offset;
		gen(d, far_direct);
	}
	return true;
}

OP(far_return)
{
	TRANSFER(x86_far_return(v, op->a, (u16)op->imm));
}

bool flow_far_return(struct dec *d)
{
	d->op->a = (u8)(d->z.operand_width / 8);
	d->op->imm = is_imm(&d->o[0]) ? dec_imm(&d->o[0]) & 0xffff : 0;
	d->end = true;
	gen(d, far_return);
	return true;
}

/* LSS, LFS, LGS, LDS, LES: op->a segment, op->b register, op->imm size. */
OP(load_far_pointer)
{
	unsigned size = (unsigned)op->imm;
	u8 raw[10];

	EA(gva, size + 2, X86_READ)
	TRY(mem_read_slow(v, c, op, gva, raw, size + 2));
	TRY_ISA(x86_load_segment(v, op->a, ld16(raw + size)));
	set_reg_size(v, op->b, ld_size(raw, size), size);
	go_next(v, op);
}

static bool gen_far_pointer(struct dec *d, unsigned seg)
{
	d->op->a = (u8)seg;
	d->op->b = dec_reg(d->o[0].reg.value);
	d->op->imm = d->o[0].size / 8;
	d->end = true;
	gen(d, load_far_pointer);
	return true;
}

/* KVM's hypercalls: none is offered, and all answer -KVM_ENOSYS. */
OP(hypercall)
{
	if (v->cpl != 0) {
		v->gpr[X86_RAX] = (u64)-1; /* -KVM_EPERM */
		NEXT;
	}
	v->gpr[X86_RAX] = (u64)-1000;
	NEXT;
}

static bool gen_hypercall(struct dec *d, unsigned arg)
{
	gen(d, hypercall);
	return true;
}

static bool gen_ud(struct dec *d, unsigned arg)
{
	d->end = true;
	gen(d, op_ud);
	return true;
}

const struct insn_row transfer_rows[] = {
	{ZYDIS_MNEMONIC_INT, gen_int, 0},
	{ZYDIS_MNEMONIC_INT3, gen_int, X86_BP},
	{ZYDIS_MNEMONIC_INTO, gen_int, X86_OFV},
	{ZYDIS_MNEMONIC_INT1, gen_int1, 0},
	{ZYDIS_MNEMONIC_IRET, gen_transfer, W_IRET},
	{ZYDIS_MNEMONIC_IRETD, gen_transfer, W_IRET},
	{ZYDIS_MNEMONIC_IRETQ, gen_transfer, W_IRET},
	{ZYDIS_MNEMONIC_SYSCALL, gen_transfer, W_SYSCALL},
	{ZYDIS_MNEMONIC_SYSRET, gen_transfer, W_SYSRET},
	{ZYDIS_MNEMONIC_SYSENTER, gen_transfer, W_SYSENTER},
	{ZYDIS_MNEMONIC_SYSEXIT, gen_transfer, W_SYSEXIT},
	{ZYDIS_MNEMONIC_LSS, gen_far_pointer, X86_SS},
	{ZYDIS_MNEMONIC_LFS, gen_far_pointer, X86_FS},
	{ZYDIS_MNEMONIC_LGS, gen_far_pointer, X86_GS},
	{ZYDIS_MNEMONIC_LDS, gen_far_pointer, X86_DS},
	{ZYDIS_MNEMONIC_LES, gen_far_pointer, X86_ES},
	{ZYDIS_MNEMONIC_VMCALL, gen_hypercall, 0},
	{ZYDIS_MNEMONIC_VMMCALL, gen_hypercall, 0},
	{ZYDIS_MNEMONIC_RSM, gen_ud, 0}, /* outside system management mode */
	{ZYDIS_MNEMONIC_UD0, gen_ud, 0},
	{ZYDIS_MNEMONIC_UD1, gen_ud, 0},
	{ZYDIS_MNEMONIC_UD2, gen_ud, 0},
	{0},
};
