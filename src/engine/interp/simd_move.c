/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The moves that make up most of what compilers and C libraries emit, without a thunk.
 *
 * op->a is the vector register; op->b the other register, or the quadword of a that takes part;
 * op->imm a mask of address bits that must be clear.
 */
#include "engine/interp/simd.h"

#define VEC(v, n) ((v)->fpu.vec[n])

static void clear_high(struct alc_vcpu *v, unsigned n)
{
	__builtin_memset(VEC(v, n) + 4, 0, 32);
}

static void clear_upper(struct alc_vcpu *v, unsigned n)
{
	VEC(v, n)[2] = VEC(v, n)[3] = 0;
	clear_high(v, n);
}

/* ---- Whole registers ---- */

static void *source(struct alc_vcpu *v, const struct op *op, struct interp *c, unsigned size)
{
	u64 gva;
	u8 *p;

	if (operand(v, op, &gva, size, (unsigned)op->imm, X86_READ))
		return NULL;
	p = mem_rptr(c, gva, size);
	if (likely(p))
		return p;
	return mem_read_slow(v, c, op, gva, c->bounce, size) ? NULL : c->bounce;
}

static void load128(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	const void *p = source(v, op, c, 16);

	if (unlikely(!p)) {
		op_fault(v, op, c);
		return;
	}
	copy16(VEC(v, op->a), p);
	NEXT;
}

static void load128_vex(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	const void *p = source(v, op, c, 16);

	if (unlikely(!p)) {
		op_fault(v, op, c);
		return;
	}
	copy16(VEC(v, op->a), p);
	clear_upper(v, op->a);
	NEXT;
}

static void load256(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	const u8 *p = source(v, op, c, 32);

	if (unlikely(!p)) {
		op_fault(v, op, c);
		return;
	}
	copy16(VEC(v, op->a), p);
	copy16(VEC(v, op->a) + 2, p + 16);
	clear_high(v, op->a);
	NEXT;
}

static void store128(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	u64 gva;
	u8 *p;

	if (operand(v, op, &gva, 16, (unsigned)op->imm, X86_WRITE))
		goto fault;
	p = mem_wptr(c, gva, 16);
	if (likely(p)) {
		copy16(p, VEC(v, op->a));
		mem_wrote(c, op, gva, 16);
		NEXT;
	}
	if (mem_write_slow(v, c, op, gva, VEC(v, op->a), 16))
		goto fault;
	NEXT;
fault:
	op_fault(v, op, c);
}

static void store256(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	u64 gva;
	u8 *p;

	if (operand(v, op, &gva, 32, (unsigned)op->imm, X86_WRITE))
		goto fault;
	p = mem_wptr(c, gva, 32);
	if (likely(p)) {
		copy16(p, VEC(v, op->a));
		copy16(p + 16, VEC(v, op->a) + 2);
		mem_wrote(c, op, gva, 32);
		NEXT;
	}
	if (mem_write_slow(v, c, op, gva, VEC(v, op->a), 32))
		goto fault;
	NEXT;
fault:
	op_fault(v, op, c);
}

static void copy128(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	copy16(VEC(v, op->a), VEC(v, op->b));
	NEXT;
}

static void copy128_vex(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	copy16(VEC(v, op->a), VEC(v, op->b));
	clear_upper(v, op->a);
	NEXT;
}

static void copy256(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	copy16(VEC(v, op->a), VEC(v, op->b));
	copy16(VEC(v, op->a) + 2, VEC(v, op->b) + 2);
	clear_high(v, op->a);
	NEXT;
}

static void zero128(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	VEC(v, op->a)[0] = VEC(v, op->a)[1] = 0;
	NEXT;
}

static void zero256(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	VEC(v, op->a)[0] = VEC(v, op->a)[1] = 0;
	clear_upper(v, op->a);
	NEXT;
}

/* ---- Parts of registers ---- */

#define DEFINE_PART_LOAD(name, bits, effect)                                        \
	static void name(struct alc_vcpu *v, const struct op *op, struct interp *c) \
	{                                                                           \
		u64 gva;                                                            \
		u##bits x;                                                          \
		if (operand(v, op, &gva, bits / 8, 0, X86_READ) ||                  \
		    mem_read##bits(v, c, op, gva, &x)) {                            \
			op_fault(v, op, c);                                         \
			return;                                                     \
		}                                                                   \
		effect;                                                             \
		NEXT;                                                               \
	}

#define DEFINE_PART_STORE(name, bits, value)                                        \
	static void name(struct alc_vcpu *v, const struct op *op, struct interp *c) \
	{                                                                           \
		u64 gva;                                                            \
		if (operand(v, op, &gva, bits / 8, 0, X86_WRITE) ||                 \
		    mem_write##bits(v, c, op, gva, (u##bits)(value))) {             \
			op_fault(v, op, c);                                         \
			return;                                                     \
		}                                                                   \
		NEXT;                                                               \
	}

#define DEFINE_PART_MOVE(name, effect)                                              \
	static void name(struct alc_vcpu *v, const struct op *op, struct interp *c) \
	{                                                                           \
		effect;                                                             \
		NEXT;                                                               \
	}

DEFINE_PART_LOAD(load32_zero, 32, VEC(v, op->a)[0] = x; VEC(v, op->a)[1] = 0)
DEFINE_PART_LOAD(load64_zero, 64, VEC(v, op->a)[0] = x; VEC(v, op->a)[1] = 0)
DEFINE_PART_LOAD(load64_part, 64, VEC(v, op->a)[op->b] = x)
DEFINE_PART_STORE(store32, 32, VEC(v, op->a)[0])
DEFINE_PART_STORE(store64, 64, VEC(v, op->a)[op->b])
DEFINE_PART_STORE(movnti32, 32, v->gpr[op->a])
DEFINE_PART_STORE(movnti64, 64, v->gpr[op->a])
DEFINE_PART_MOVE(copy64_zero, VEC(v, op->a)[0] = VEC(v, op->b)[0]; VEC(v, op->a)[1] = 0)
DEFINE_PART_MOVE(copy64, VEC(v, op->a)[0] = VEC(v, op->b)[0])
DEFINE_PART_MOVE(copy32, st32(VEC(v, op->a), (u32)VEC(v, op->b)[0]))
DEFINE_PART_MOVE(gpr32_to_vec, VEC(v, op->a)[0] = (u32)v->gpr[op->b]; VEC(v, op->a)[1] = 0)
DEFINE_PART_MOVE(gpr64_to_vec, VEC(v, op->a)[0] = v->gpr[op->b]; VEC(v, op->a)[1] = 0)
DEFINE_PART_MOVE(vec_to_gpr32, v->gpr[op->b] = (u32)VEC(v, op->a)[0])
DEFINE_PART_MOVE(vec_to_gpr64, v->gpr[op->b] = VEC(v, op->a)[0])
DEFINE_PART_MOVE(fence, __atomic_thread_fence(__ATOMIC_SEQ_CST))

/* In 64-bit mode all sixteen registers, else the first eight (SDM vol. 2 VZEROUPPER). */
static void vzeroupper(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	for (unsigned i = 0; i < op->a; i++)
		clear_upper(v, i);
	NEXT;
}

static void vzeroall(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	for (unsigned i = 0; i < op->a; i++) {
		VEC(v, i)[0] = VEC(v, i)[1] = 0;
		clear_upper(v, i);
	}
	NEXT;
}

/* ---- Generation ---- */

static bool is_vec(const ZydisDecodedOperand *o)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(o->reg.value);

	return o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       (class == ZYDIS_REGCLASS_XMM || class == ZYDIS_REGCLASS_YMM);
}

static bool is_gpr(const ZydisDecodedOperand *o)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(o->reg.value);

	return o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       (class == ZYDIS_REGCLASS_GPR32 || class == ZYDIS_REGCLASS_GPR64);
}

static bool is_mem(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY;
}

static u8 vec_id(const ZydisDecodedOperand *o)
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

static bool gen_whole(struct dec *d, bool aligned)
{
	const ZydisDecodedOperand *to = &d->o[0], *from = &d->o[1];
	bool vex = d->z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
	bool wide = to->size == 256 || from->size == 256;

	d->op->imm = aligned ? (wide ? 31 : 15) : 0;
	if (is_mem(to))
		return set(d, wide ? store256 : store128, vec_id(from), 0);
	if (is_mem(from))
		return set(d, wide ? load256 : vex ? load128_vex : load128, vec_id(to), 0);
	return set(d, wide ? copy256 : vex ? copy128_vex : copy128, vec_id(to), vec_id(from));
}

/* x ^ x and the like, whatever the type. */
static bool gen_zero(struct dec *d)
{
	bool vex = d->z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
	const ZydisDecodedOperand *a = &d->o[vex ? 1 : 0], *b = &d->o[vex ? 2 : 1];

	if (!is_vec(a) || !is_vec(b) || a->reg.value != b->reg.value)
		return false;
	return set(d, vex ? zero256 : zero128, vec_id(&d->o[0]), 0);
}

/* MOVD, MOVQ: what is not copied is cleared. */
static bool gen_movd(struct dec *d, bool quad)
{
	const ZydisDecodedOperand *to = &d->o[0], *from = &d->o[1];

	if (is_vec(to) && is_mem(from))
		return set(d, quad ? load64_zero : load32_zero, vec_id(to), 0);
	if (is_mem(to) && is_vec(from))
		return set(d, quad ? store64 : store32, vec_id(from), 0);
	if (is_vec(to) && is_vec(from))
		return set(d, copy64_zero, vec_id(to), vec_id(from));
	if (is_vec(to) && is_gpr(from))
		return set(d, quad ? gpr64_to_vec : gpr32_to_vec, vec_id(to),
			   dec_reg(from->reg.value));
	if (is_gpr(to) && is_vec(from))
		return set(d, quad ? vec_to_gpr64 : vec_to_gpr32, vec_id(from),
			   dec_reg(to->reg.value));
	return false; /* MMX */
}

/* MOVSS, MOVSD: between registers, the rest of the destination stays. */
static bool gen_scalar(struct dec *d, bool quad)
{
	const ZydisDecodedOperand *to = &d->o[0], *from = &d->o[1];

	if (is_vec(to) && is_vec(from))
		return set(d, quad ? copy64 : copy32, vec_id(to), vec_id(from));
	return gen_movd(d, quad);
}

static bool gen_half(struct dec *d, u8 half)
{
	const ZydisDecodedOperand *to = &d->o[0], *from = &d->o[1];

	if (is_mem(to))
		return set(d, store64, vec_id(from), half);
	return is_mem(from) && set(d, load64_part, vec_id(to), half);
}

static bool gen_clear(struct dec *d, op_fn *fn)
{
	return set(d, fn, (d->mode & MODE_SIZE) == MODE_64 ? 16 : 8, 0);
}

static bool gen_movnti(struct dec *d)
{
	const ZydisDecodedOperand *from = &d->o[1];

	return set(d, from->size == 64 ? movnti64 : movnti32, dec_reg(from->reg.value), 0);
}

bool simd_move_gen(struct dec *d)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_VMOVUPS:
	case ZYDIS_MNEMONIC_VMOVUPD:
	case ZYDIS_MNEMONIC_VMOVDQU:
	case ZYDIS_MNEMONIC_VLDDQU:
		return gen_whole(d, false);
	case ZYDIS_MNEMONIC_MOVAPS:
	case ZYDIS_MNEMONIC_MOVAPD:
	case ZYDIS_MNEMONIC_MOVDQA:
	case ZYDIS_MNEMONIC_MOVNTPS:
	case ZYDIS_MNEMONIC_MOVNTPD:
	case ZYDIS_MNEMONIC_MOVNTDQ:
	case ZYDIS_MNEMONIC_MOVNTDQA:
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
		return gen_whole(d, true);
	case ZYDIS_MNEMONIC_PXOR:
	case ZYDIS_MNEMONIC_XORPS:
	case ZYDIS_MNEMONIC_XORPD:
	case ZYDIS_MNEMONIC_VPXOR:
	case ZYDIS_MNEMONIC_VXORPS:
	case ZYDIS_MNEMONIC_VXORPD:
		return gen_zero(d);
	case ZYDIS_MNEMONIC_MOVD:
		return gen_movd(d, false);
	case ZYDIS_MNEMONIC_MOVQ:
		return gen_movd(d, true);
	case ZYDIS_MNEMONIC_MOVSS:
		return gen_scalar(d, false);
	case ZYDIS_MNEMONIC_MOVSD:
		return gen_scalar(d, true);
	case ZYDIS_MNEMONIC_MOVLPS:
	case ZYDIS_MNEMONIC_MOVLPD:
		return gen_half(d, 0);
	case ZYDIS_MNEMONIC_MOVHPS:
	case ZYDIS_MNEMONIC_MOVHPD:
		return gen_half(d, 1);
	case ZYDIS_MNEMONIC_MOVNTI:
		return gen_movnti(d);
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
		return set(d, fence, 0, 0);
	case ZYDIS_MNEMONIC_VZEROUPPER:
		return gen_clear(d, vzeroupper);
	case ZYDIS_MNEMONIC_VZEROALL:
		return gen_clear(d, vzeroall);
	default:
		return false;
	}
}
