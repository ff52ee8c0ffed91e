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

static int read_elem(struct alc_vcpu *v, const struct op *op, struct interp *c, u64 gva,
		     unsigned size, u64 *out)
{
	const u8 *p = mem_rptr(c, gva, size);

	*out = 0;
	if (unlikely(!p))
		return mem_read_slow(v, c, op, gva, out, size);
	*out = ld_size(p, size);
	return 0;
}

static int write_elem(struct alc_vcpu *v, const struct op *op, struct interp *c, u64 gva,
		      unsigned size, u64 x)
{
	u8 *p = mem_wptr(c, gva, size);

	if (unlikely(!p))
		return mem_write_slow(v, c, op, gva, &x, size);
	st_size(p, x, size);
	mem_wrote(c, op, gva, size);
	return 0;
}

static void masked_load(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	unsigned size = part(op, ELEM_SHIFT), count = part(op, COUNT_SHIFT);
	const u64 *mask = v->fpu.vec[op->b];
	u64 out[8] = {0}, x, gva;

	for (unsigned i = 0; i < count; i++) {
		if (!masked_on(mask, i, size))
			continue;
		if (part_address(v, op, c, i * size, size, X86_READ, &gva) ||
		    read_elem(v, op, c, gva, size, &x)) {
			op_fault(v, op, c);
			return;
		}
		set_elem(out, i, size, x);
	}
	__builtin_memcpy(v->fpu.vec[op->a], out, sizeof(out));
	NEXT;
}

/* Could all elements be written? Nonzero: v->fault is set. */
static int probe_masked(struct alc_vcpu *v, const struct op *op, const struct interp *c,
			const u64 *mask, unsigned size, unsigned count)
{
	u64 x, gva;

	for (unsigned i = 0; i < count; i++) {
		if (!masked_on(mask, i, size))
			continue;
		if (part_address(v, op, c, i * size, size, X86_WRITE, &gva) ||
		    v->ops->read(v, gva, &x, size, X86_RMW))
			return 1;
	}
	return 0;
}

/* Nonzero: v->fault is set. */
static int store_masked(struct alc_vcpu *v, const struct op *op, struct interp *c, const u64 *data,
			const u64 *mask)
{
	unsigned size = part(op, ELEM_SHIFT), count = part(op, COUNT_SHIFT);
	u64 gva;

	/* Without a segment's base the page offset is the address's. */
	if ((op->addr || page_offset(op_ea(v, op)) + size * count > ALC_PAGE_SIZE) &&
	    probe_masked(v, op, c, mask, size, count))
		return 1;
	for (unsigned i = 0; i < count; i++)
		if (masked_on(mask, i, size) &&
		    (part_address(v, op, c, i * size, size, X86_WRITE, &gva) ||
		     write_elem(v, op, c, gva, size, elem(data, i, size))))
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

/* ---- Gathers and scatters ---- */

/* Nonzero: v->fault is set. */
static int vsib_address(struct alc_vcpu *v, const struct op *op, unsigned i, unsigned access,
			u64 *gva)
{
	const u64 *index = v->fpu.vec[part(op, INDEX_SHIFT)];
	unsigned size = part(op, INDEX_SIZE_SHIFT);

	*gva = v->gpr[op->base] + ((u64)sext(elem(index, i, size), size) << (op->shift & 3)) +
	       (u64)op->disp;
	return linear(v, op, gva, part(op, ELEM_SHIFT), access);
}

static int gather_element(struct alc_vcpu *v, const struct op *op, struct interp *c, unsigned i)
{
	unsigned size = part(op, ELEM_SHIFT);
	u64 x, gva;

	if (vsib_address(v, op, i, X86_READ, &gva) || read_elem(v, op, c, gva, size, &x))
		return 1;
	set_elem(v->fpu.vec[op->a], i, size, x);
	return 0;
}

static int scatter_element(struct alc_vcpu *v, const struct op *op, struct interp *c, unsigned i)
{
	unsigned size = part(op, ELEM_SHIFT);
	u64 gva;

	return vsib_address(v, op, i, X86_WRITE, &gva) ||
	       write_elem(v, op, c, gva, size, elem(v->fpu.vec[op->a], i, size));
}

static void clear_above(struct alc_vcpu *v, const struct op *op)
{
	unsigned gathered = part(op, ELEM_SHIFT) * part(op, COUNT_SHIFT);

	__builtin_memset((u8 *)v->fpu.vec[op->a] + gathered, 0, 64 - gathered);
}

/*
 * What was gathered before a fault stays, with its mask cleared, so that the restarted
 * instruction goes on from there (SDM vol. 2 VGATHERDPS).
 */
static void gather(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	unsigned size = part(op, ELEM_SHIFT), count = part(op, COUNT_SHIFT);
	u64 *mask = v->fpu.vec[op->b];

	for (unsigned i = 0; i < count; i++)
		set_elem(mask, i, size, masked_on(mask, i, size) ? ~0ull : 0);
	for (unsigned i = 0; i < count; i++) {
		if (!masked_on(mask, i, size))
			continue;
		if (gather_element(v, op, c, i)) {
			op_fault(v, op, c);
			return;
		}
		set_elem(mask, i, size, 0);
	}
	__builtin_memset(mask, 0, 64);
	clear_above(v, op);
	NEXT;
}

/*
 * With a mask register, of which the bit of each element that is done is cleared. Stores are made
 * in order, from the lowest element on. Processors don't check the alignment of elements. Nonzero:
 * v->fault is set; what was done before stays so.
 */
static int masked_elements(struct alc_vcpu *v, const struct op *op, struct interp *c,
			   int (*one)(struct alc_vcpu *, const struct op *, struct interp *,
				      unsigned))
{
	unsigned count = part(op, COUNT_SHIFT);
	bool checked = c->align_check;
	u64 *k = &v->fpu.k[op->b];
	int r = 0;

	c->align_check = false;
	for (unsigned i = 0; i < count && !r; i++) {
		if (!(*k >> i & 1))
			continue;
		r = one(v, op, c, i);
		if (!r)
			*k &= ~BIT(i);
	}
	c->align_check = checked;
	if (!r)
		*k = 0;
	return r;
}

static void gather_masked(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	if (masked_elements(v, op, c, gather_element)) {
		op_fault(v, op, c);
		return;
	}
	clear_above(v, op);
	NEXT;
}

static void scatter_masked(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	if (masked_elements(v, op, c, scatter_element)) {
		op_fault(v, op, c);
		return;
	}
	NEXT;
}

/* ---- MXCSR ---- */

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

static const struct vsib {
	u16 mnemonic;
	u8 index_size, size;
	bool scatters;
} vsibs[] = {
	{ZYDIS_MNEMONIC_VGATHERDPS, 4, 4, false}, {ZYDIS_MNEMONIC_VPGATHERDD, 4, 4, false},
	{ZYDIS_MNEMONIC_VGATHERDPD, 4, 8, false}, {ZYDIS_MNEMONIC_VPGATHERDQ, 4, 8, false},
	{ZYDIS_MNEMONIC_VGATHERQPS, 8, 4, false}, {ZYDIS_MNEMONIC_VPGATHERQD, 8, 4, false},
	{ZYDIS_MNEMONIC_VGATHERQPD, 8, 8, false}, {ZYDIS_MNEMONIC_VPGATHERQQ, 8, 8, false},
	{ZYDIS_MNEMONIC_VSCATTERDPS, 4, 4, true}, {ZYDIS_MNEMONIC_VPSCATTERDD, 4, 4, true},
	{ZYDIS_MNEMONIC_VSCATTERDPD, 4, 8, true}, {ZYDIS_MNEMONIC_VPSCATTERDQ, 4, 8, true},
	{ZYDIS_MNEMONIC_VSCATTERQPS, 8, 4, true}, {ZYDIS_MNEMONIC_VPSCATTERQD, 8, 4, true},
	{ZYDIS_MNEMONIC_VSCATTERQPD, 8, 8, true}, {ZYDIS_MNEMONIC_VPSCATTERQQ, 8, 8, true},
};

static const struct vsib *vsib_of(const struct dec *d)
{
	for (unsigned i = 0; i < ARRAY_LEN(vsibs); i++)
		if (vsibs[i].mnemonic == d->z.mnemonic)
			return &vsibs[i];
	return NULL;
}

/* The operand, and what part() takes apart. */
static void put_vsib(struct dec *d, const struct vsib *s, const ZydisDecodedOperand *at)
{
	unsigned len = d->z.avx.vector_length / 8;
	unsigned count = (unsigned)min_u64(len / s->index_size, len / s->size);
	unsigned index = (unsigned)ZydisRegisterGetId(at->mem.index);

	d->op->imm = s->size | count << COUNT_SHIFT | index << INDEX_SHIFT |
		     (u64)s->index_size << INDEX_SIZE_SHIFT;
	d->op->index = X86_REG_ZERO;
	d->op->shift = (u8)((d->op->shift & SHIFT_STACK) | __builtin_ctz(at->mem.scale));
}

static bool undefined(struct dec *d)
{
	d->op->fn = op_ud;
	d->end = true;
	return true;
}

/* VGATHERDPS xmm1, vm, mask. */
static bool gen_gather(struct dec *d, const struct vsib *s)
{
	unsigned index = (unsigned)ZydisRegisterGetId(d->o[1].mem.index);
	u8 to = reg_id(&d->o[0]), mask = reg_id(&d->o[2]);

	if (to == mask || to == index || mask == index)
		return undefined(d);
	put_vsib(d, s, &d->o[1]);
	return set(d, gather, to, mask);
}

/* VGATHERDPS zmm1 {k1}, vm; VSCATTERDPS vm {k1}, zmm1. */
static bool gen_vsib(struct dec *d, const struct vsib *s)
{
	const ZydisDecodedOperand *data = &d->o[s->scatters ? 2 : 0];
	const ZydisDecodedOperand *at = &d->o[s->scatters ? 0 : 2];
	unsigned index = (unsigned)ZydisRegisterGetId(at->mem.index);
	u8 reg = reg_id(data), k = reg_id(&d->o[1]);

	if (!k || (!s->scatters && reg == index))
		return undefined(d);
	put_vsib(d, s, at);
	return set(d, s->scatters ? scatter_masked : gather_masked, reg, k);
}

bool simd_masked_gen(struct dec *d)
{
	const struct vsib *s;

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
	default:
		break;
	}
	s = vsib_of(d);
	return s && gen_gather(d, s);
}

bool simd_vsib_gen(struct dec *d)
{
	const struct vsib *s = vsib_of(d);

	return s && gen_vsib(d, s);
}
