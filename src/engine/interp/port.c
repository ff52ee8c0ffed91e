/* SPDX-License-Identifier: BSD-2-Clause */
/* Port I/O: who may, IN and OUT (INS and OUTS are string instructions). */
#include "engine/interp/ops.h"
#include "engine/interp/system.h"

/* IOPL, then the permission bitmap of a 32- or 64-bit TSS (SDM vol. 1 19.5.2). */
int io_allowed(struct alc_vcpu *v, u16 port, unsigned size)
{
	u16 base, bits;

	if (!x86_protected(v) || v->cpl <= (v->rflags & X86_IOPL) >> 12)
		return 0;
	if ((v->tr.attr & X86_SEG_P) && (v->tr.attr & X86_SEG_TYPE) >= 9 && v->tr.limit >= 103) {
		if (v->ops->read(v, v->tr.base + 102, &base, 2, X86_READ | X86_IMPLICIT))
			return 1;
		if (base + port / 8u + 1 <= v->tr.limit) {
			if (v->ops->read(v, v->tr.base + base + port / 8u, &bits, 2,
					 X86_READ | X86_IMPLICIT))
				return 1;
			if (!(bits >> (port & 7) & mask_low(size)))
				return 0;
		}
	}
	return x86_raise_error(v, X86_GP, 0);
}

/* op->imm: port, or ~0 for DX; op->a: size. */
static inline u16 io_port(const struct alc_vcpu *v, const struct op *op)
{
	return op->imm == ~0ull ? reg16(v, X86_RDX) : (u16)op->imm;
}

OP(in)
{
	u16 port = io_port(v, op);
	u64 x;

	TRY(io_allowed(v, port, op->a));
	op_call_out(v, op, c);
	x = region_read(v->plat->ports, port, op->a);
	op_called_out(v, op, c);
	set_reg_size(v, X86_RAX, x, op->a);
	go_next(v, op);
}

OP(out)
{
	u16 port = io_port(v, op);

	TRY(io_allowed(v, port, op->a));
	op_call_out(v, op, c);
	region_write(v->plat->ports, port, zext(v->gpr[X86_RAX], op->a), op->a);
	op_called_out(v, op, c);
	go_next(v, op);
}

static bool gen_io(struct dec *d, unsigned output)
{
	const ZydisDecodedOperand *port = &d->o[!output], *data = &d->o[output];

	d->op->imm = is_imm(port) ? dec_imm(port) & 0xff : ~0ull;
	d->op->a = (u8)(data->size / 8);
	d->end = true;
	gen(d, output ? out : in);
	return true;
}

const struct insn_row port_rows[] = {
	{ZYDIS_MNEMONIC_IN, gen_io, 0},
	{ZYDIS_MNEMONIC_OUT, gen_io, 1},
	{0},
};
