/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that access memory element by element, so that elements which are masked off
 * cause no fault: masked moves and gathers (SDM vol. 2). And MXCSR's own.
 *
 * A store that may reach two pages looks at all its elements before it writes the first.
 */
#include "engine/interp/simd.h"

/* op->a: data register; op->b: mask register; op->imm: as packed here. */
enum { ELEM_SHIFT = 0, COUNT_SHIFT = 8, INDEX_SHIFT = 16, INDEX_SIZE_SHIFT = 24 };

static unsigned part(const struct op *op, unsigned shift)
{
	return op->imm >> shift & 0xff;
}

/* Element i of `size` bytes. */
static u64 elem(const u64 *vec, unsigned i, unsigned size)
{
	return ld_size((const u8 *)vec + i * size, size);
}

static void set_elem(u64 *vec, unsigned i, unsigned size, u64 x)
{
	st_size((u8 *)vec + i * size, x, size);
}

static bool masked_on(const u64 *mask, unsigned i, unsigned size)
{
	return elem(mask, i, size) >> (size * 8 - 1);
}

static int read_elem(struct alc_vcpu *v, const struct op *op, struct interp *c, u64 ea,
		     unsigned size, u64 *out)
{
	const u8 *p;

	*out = 0;
	ea = ea_cut(op, ea);
	if (linear(v, op, &ea, size, X86_READ))
		return 1;
	p = mem_rptr(c, ea, size);
	if (unlikely(!p))
		return mem_read_slow(v, c, op, ea, out, size);
	*out = ld_size(p, size);
	return 0;
}

static int write_elem(struct alc_vcpu *v, const struct op *op, struct interp *c, u64 ea,
		      unsigned size, u64 x)
{
	u8 *p;

	ea = ea_cut(op, ea);
	if (linear(v, op, &ea, size, X86_WRITE))
		return 1;
	p = mem_wptr(c, ea, size);
	if (unlikely(!p))
		return mem_write_slow(v, c, op, ea, &x, size);
	st_size(p, x, size);
	mem_wrote(c, op, ea, size);
	return 0;
}

static void masked_load(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	unsigned size = part(op, ELEM_SHIFT), count = part(op, COUNT_SHIFT);
	const u64 *mask = v->fpu.vec[op->b];
	u64 out[8] = {0}, x;

	for (unsigned i = 0; i < count; i++) {
		if (!masked_on(mask, i, size))
			continue;
		if (read_elem(v, op, c, op_ea(v, op) + i * size, size, &x)) {
			op_fault(v, op, c);
			return;
		}
		set_elem(out, i, size, x);
	}
	__builtin_memcpy(v->fpu.vec[op->a], out, sizeof(out));
	NEXT;
}

/* Could all elements be written? Nonzero: v->fault is set. */
static int probe_masked(struct alc_vcpu *v, const struct op *op, const u64 *mask, unsigned size,
			unsigned count)
{
	u64 x, ea;

	for (unsigned i = 0; i < count; i++) {
		if (!masked_on(mask, i, size))
			continue;
		ea = ea_cut(op, op_ea(v, op) + i * size);
		if (linear(v, op, &ea, size, X86_WRITE) || v->ops->read(v, ea, &x, size, X86_RMW))
			return 1;
	}
	return 0;
}

/* Nonzero: v->fault is set. */
static int store_masked(struct alc_vcpu *v, const struct op *op, struct interp *c, const u64 *data,
			const u64 *mask)
{
	unsigned size = part(op, ELEM_SHIFT), count = part(op, COUNT_SHIFT);

	/* Without a segment's base the page offset is the address's. */
	if ((op->addr || page_offset(op_ea(v, op)) + size * count > ALC_PAGE_SIZE) &&
	    probe_masked(v, op, mask, size, count))
		return 1;
	for (unsigned i = 0; i < count; i++)
		if (masked_on(mask, i, size) &&
		    write_elem(v, op, c, op_ea(v, op) + i * size, size, elem(data, i, size)))
			return 1;
	return 0;
}

static void masked_store(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	if (store_masked(v, op, c, v->fpu.vec[op->a], v->fpu.vec[op->b])) {
		op_fault(v, op, c);
		return;
	}
	NEXT;
}

static void maskmovq(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	unsigned top = fpu_top(&v->fpu);
	u64 data = ld64(v->fpu.st[(op->a - top) & 7]), mask = ld64(v->fpu.st[(op->b - top) & 7]);

	X87_CHECK(v, op, c);
	mmx_enter(&v->fpu); /* even if the store faults */
	if (store_masked(v, op, c, &data, &mask)) {
		op_fault(v, op, c);
		return;
	}
	NEXT;
}

/*
 * What was gathered before a fault stays, with its mask cleared, so that the restarted
 * instruction goes on from there (SDM vol. 2 VGATHERDPS).
 */
static void gather(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	unsigned size = part(op, ELEM_SHIFT), count = part(op, COUNT_SHIFT);
	unsigned index_size = part(op, INDEX_SIZE_SHIFT);
	u64 *to = v->fpu.vec[op->a], *mask = v->fpu.vec[op->b];
	const u64 *index = v->fpu.vec[part(op, INDEX_SHIFT)];
	u64 x, off;

	for (unsigned i = 0; i < count; i++)
		set_elem(mask, i, size, masked_on(mask, i, size) ? ~0ull : 0);
	for (unsigned i = 0; i < count; i++) {
		if (!masked_on(mask, i, size))
			continue;
		off = (u64)sext(elem(index, i, index_size), index_size) << (op->shift & 3);
		if (read_elem(v, op, c, v->gpr[op->base] + off + (u64)op->disp, size, &x)) {
			op_fault(v, op, c);
			return;
		}
		set_elem(to, i, size, x);
		set_elem(mask, i, size, 0);
	}
	__builtin_memset(mask, 0, 64);
	__builtin_memset((u8 *)to + count * size, 0, 64 - count * size);
	NEXT;
}

/*
 * With a mask register, of which the bit of each element that is done is cleared. Stores are made
 * in order, from the lowest element on.
 */
static u64 vsib_address(const struct alc_vcpu *v, const struct op *op, unsigned i)
{
	const u64 *index = v->fpu.vec[part(op, INDEX_SHIFT)];
	unsigned size = part(op, INDEX_SIZE_SHIFT);

	return v->gpr[op->base] + ((u64)sext(elem(index, i, size), size) << (op->shift & 3)) +
	       (u64)op->disp;
}

/* Nonzero: v->fault is set; what was done before stays so. */
static int gather_elements(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	unsigned size = part(op, ELEM_SHIFT), count = part(op, COUNT_SHIFT);
	u64 *to = v->fpu.vec[op->a], *k = &v->fpu.k[op->b], x;

	for (unsigned i = 0; i < count; i++) {
		if (!(*k >> i & 1))
			continue;
		if (read_elem(v, op, c, vsib_address(v, op, i), size, &x))
			return 1;
		set_elem(to, i, size, x);
		*k &= ~BIT(i);
	}
	*k = 0;
	__builtin_memset((u8 *)to + count * size, 0, 64 - count * size);
	return 0;
}

static int scatter_elements(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	unsigned size = part(op, ELEM_SHIFT), count = part(op, COUNT_SHIFT);
	u64 *k = &v->fpu.k[op->b];

	for (unsigned i = 0; i < count; i++) {
		if (!(*k >> i & 1))
			continue;
		if (write_elem(v, op, c, vsib_address(v, op, i), size,
			       elem(v->fpu.vec[op->a], i, size)))
			return 1;
		*k &= ~BIT(i);
	}
	*k = 0;
	return 0;
}

/* Processors don't check the alignment of elements. */
static void gather_masked(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	bool checked = c->align_check;
	int r;

	c->align_check = false;
	r = gather_elements(v, op, c);
	c->align_check = checked;
	if (r) {
		op_fault(v, op, c);
		return;
	}
	NEXT;
}

static void scatter_masked(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	bool checked = c->align_check;
	int r;

	c->align_check = false;
	r = scatter_elements(v, op, c);
	c->align_check = checked;
	if (r) {
		op_fault(v, op, c);
		return;
	}
	NEXT;
}

static void ldmxcsr(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	u64 gva;
	u32 x;

	if (operand(v, op, &gva, 4, 0, X86_READ) || mem_read32(v, c, op, gva, &x)) {
		op_fault(v, op, c);
		return;
	}
	if (x & ~(u32)MXCSR_DEFINED) {
		op_gp(v, op, c);
		return;
	}
	v->fpu.mxcsr = x;
	NEXT;
}

static void stmxcsr(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	u64 gva;

	if (operand(v, op, &gva, 4, 0, X86_WRITE) || mem_write32(v, c, op, gva, v->fpu.mxcsr)) {
		op_fault(v, op, c);
		return;
	}
	NEXT;
}

/* ---- Generation ---- */

static u8 reg_id(const ZydisDecodedOperand *o)
{
	return (u8)ZydisRegisterGetId(o->reg.value);
}

static bool set(struct dec *d, op_fn *fn, u8 a, u8 b)
{
	d->op->fn = fn;
	d->op->a = a;
	d->op->b = b;
	return true;
}

/* VMASKMOVPS xmm1, mask, m; or m, mask, xmm1. */
static bool gen_maskmov(struct dec *d, unsigned size)
{
	bool store = d->o[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	const ZydisDecodedOperand *data = &d->o[store ? 2 : 0];

	d->op->imm = size | d->o[1].size / 8 / size << COUNT_SHIFT;
	return set(d, store ? masked_store : masked_load, reg_id(data), reg_id(&d->o[1]));
}

/* MASKMOVDQU xmm1, mask, [rDI]. */
static bool gen_maskmov_bytes(struct dec *d, bool mmx)
{
	dec_mem(d, &d->o[2]);
	d->op->imm = 1 | (mmx ? 8 : 16) << COUNT_SHIFT;
	return set(d, mmx ? maskmovq : masked_store, reg_id(&d->o[0]), reg_id(&d->o[1]));
}

/* VGATHERDPS xmm1, vm, mask. */
static bool gen_gather(struct dec *d, unsigned index_size, unsigned size)
{
	unsigned len = d->z.avx.vector_length / 8;
	unsigned count = (unsigned)min_u64(len / index_size, len / size);
	unsigned index = (unsigned)ZydisRegisterGetId(d->o[1].mem.index) & 15;
	u8 to = reg_id(&d->o[0]), mask = reg_id(&d->o[2]);

	if (to == mask || to == index || mask == index) {
		d->op->fn = op_ud;
		d->end = true;
		return true;
	}
	d->op->imm = size | count << COUNT_SHIFT | index << INDEX_SHIFT |
		     (u64)index_size << INDEX_SIZE_SHIFT;
	d->op->index = X86_REG_ZERO;
	d->op->shift = (u8)((d->op->shift & SHIFT_STACK) | __builtin_ctz(d->o[1].mem.scale));
	return set(d, gather, to, mask);
}

bool simd_masked_gen(struct dec *d)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
		return set(d, ldmxcsr, 0, 0);
	case ZYDIS_MNEMONIC_STMXCSR:
	case ZYDIS_MNEMONIC_VSTMXCSR:
		return set(d, stmxcsr, 0, 0);
	case ZYDIS_MNEMONIC_MASKMOVQ:
		return gen_maskmov_bytes(d, true);
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		return gen_maskmov_bytes(d, false);
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
		return gen_maskmov(d, 4);
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return gen_maskmov(d, 8);
	case ZYDIS_MNEMONIC_VGATHERDPS:
	case ZYDIS_MNEMONIC_VPGATHERDD:
		return gen_gather(d, 4, 4);
	case ZYDIS_MNEMONIC_VGATHERDPD:
	case ZYDIS_MNEMONIC_VPGATHERDQ:
		return gen_gather(d, 4, 8);
	case ZYDIS_MNEMONIC_VGATHERQPS:
	case ZYDIS_MNEMONIC_VPGATHERQD:
		return gen_gather(d, 8, 4);
	case ZYDIS_MNEMONIC_VGATHERQPD:
	case ZYDIS_MNEMONIC_VPGATHERQQ:
		return gen_gather(d, 8, 8);
	default:
		return false;
	}
}

/* VGATHERDPS zmm1 {k1}, vm; VSCATTERDPS vm {k1}, zmm1. */
static bool gen_vsib(struct dec *d, bool scatters, unsigned index_size, unsigned size)
{
	const ZydisDecodedOperand *data = &d->o[scatters ? 2 : 0], *at = &d->o[scatters ? 0 : 2];
	unsigned len = d->z.avx.vector_length / 8;
	unsigned count = (unsigned)min_u64(len / index_size, len / size);
	unsigned index = (unsigned)ZydisRegisterGetId(at->mem.index);
	u8 reg = reg_id(data), k = reg_id(&d->o[1]);

	if (!k || (!scatters && reg == index)) {
		d->op->fn = op_ud;
		d->end = true;
		return true;
	}
	d->op->imm = size | count << COUNT_SHIFT | index << INDEX_SHIFT |
		     (u64)index_size << INDEX_SIZE_SHIFT;
	d->op->index = X86_REG_ZERO;
	d->op->shift = (u8)((d->op->shift & SHIFT_STACK) | __builtin_ctz(at->mem.scale));
	return set(d, scatters ? scatter_masked : gather_masked, reg, k);
}

bool simd_vsib_gen(struct dec *d)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_VGATHERDPS:
	case ZYDIS_MNEMONIC_VPGATHERDD:
		return gen_vsib(d, false, 4, 4);
	case ZYDIS_MNEMONIC_VGATHERDPD:
	case ZYDIS_MNEMONIC_VPGATHERDQ:
		return gen_vsib(d, false, 4, 8);
	case ZYDIS_MNEMONIC_VGATHERQPS:
	case ZYDIS_MNEMONIC_VPGATHERQD:
		return gen_vsib(d, false, 8, 4);
	case ZYDIS_MNEMONIC_VGATHERQPD:
	case ZYDIS_MNEMONIC_VPGATHERQQ:
		return gen_vsib(d, false, 8, 8);
	case ZYDIS_MNEMONIC_VSCATTERDPS:
	case ZYDIS_MNEMONIC_VPSCATTERDD:
		return gen_vsib(d, true, 4, 4);
	case ZYDIS_MNEMONIC_VSCATTERDPD:
	case ZYDIS_MNEMONIC_VPSCATTERDQ:
		return gen_vsib(d, true, 4, 8);
	case ZYDIS_MNEMONIC_VSCATTERQPS:
	case ZYDIS_MNEMONIC_VPSCATTERQD:
		return gen_vsib(d, true, 8, 4);
	case ZYDIS_MNEMONIC_VSCATTERQPD:
	case ZYDIS_MNEMONIC_VPSCATTERQQ:
		return gen_vsib(d, true, 8, 8);
	default:
		return false;
	}
}
