/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which instructions are executed by the host, when they are available, and the store of thunks:
 * the same instruction in many places shares one.
 */
#include "engine/interp/simd.h"

#include "base/errno.h"

/* ---- Availability ---- */

struct isa_row {
	u8 isa; /* ZydisISASet */
	u8 kind;
	u16 feature;
};

static const struct isa_row isa_rows[] = {
	{ZYDIS_ISA_SET_X87, KIND_X87, X86_FEAT_FPU},
	{ZYDIS_ISA_SET_PPRO, KIND_X87, X86_FEAT_CMOV}, /* FCOMI and its like */
	{ZYDIS_ISA_SET_FCMOV, KIND_X87, X86_FEAT_CMOV},
	{ZYDIS_ISA_SET_SSE3X87, KIND_X87, X86_FEAT_SSE3},
	{ZYDIS_ISA_SET_PENTIUMMMX, KIND_MMX, X86_FEAT_MMX},
	{ZYDIS_ISA_SET_SSE2MMX, KIND_MMX, X86_FEAT_SSE2},
	{ZYDIS_ISA_SET_SSSE3MMX, KIND_MMX, X86_FEAT_SSSE3},
	{ZYDIS_ISA_SET_SSE, KIND_SSE, X86_FEAT_SSE},
	{ZYDIS_ISA_SET_SSEMXCSR, KIND_SSE, X86_FEAT_SSE},
	{ZYDIS_ISA_SET_SSE2, KIND_SSE, X86_FEAT_SSE2},
	{ZYDIS_ISA_SET_SSE3, KIND_SSE, X86_FEAT_SSE3},
	{ZYDIS_ISA_SET_SSSE3, KIND_SSE, X86_FEAT_SSSE3},
	{ZYDIS_ISA_SET_SSE4, KIND_SSE, X86_FEAT_SSE4_1},
	{ZYDIS_ISA_SET_SSE42, KIND_SSE, X86_FEAT_SSE4_2},
	{ZYDIS_ISA_SET_AES, KIND_SSE, X86_FEAT_AES},
	{ZYDIS_ISA_SET_PCLMULQDQ, KIND_SSE, X86_FEAT_PCLMULQDQ},
	{ZYDIS_ISA_SET_SHA, KIND_SSE, X86_FEAT_SHA_NI},
	{ZYDIS_ISA_SET_GFNI, KIND_SSE, X86_FEAT_GFNI},
	{ZYDIS_ISA_SET_AVX, KIND_AVX, X86_FEAT_AVX},
	{ZYDIS_ISA_SET_AVX2, KIND_AVX, X86_FEAT_AVX2},
	{ZYDIS_ISA_SET_AVX2GATHER, KIND_AVX, X86_FEAT_AVX2},
	{ZYDIS_ISA_SET_FMA, KIND_AVX, X86_FEAT_FMA},
	{ZYDIS_ISA_SET_F16C, KIND_AVX, X86_FEAT_F16C},
	{ZYDIS_ISA_SET_AVXAES, KIND_AVX, X86_FEAT_AES},
	{ZYDIS_ISA_SET_VAES, KIND_AVX, X86_FEAT_VAES},
	{ZYDIS_ISA_SET_VPCLMULQDQ, KIND_AVX, X86_FEAT_VPCLMULQDQ},
	{ZYDIS_ISA_SET_AVX_GFNI, KIND_AVX, X86_FEAT_GFNI},
	{ZYDIS_ISA_SET_AVX_VNNI, KIND_AVX, X86_FEAT_AVX_VNNI},
	{ZYDIS_ISA_SET_AVX512F_128, KIND_AVX512, X86_FEAT_AVX512VL},
	{ZYDIS_ISA_SET_AVX512F_256, KIND_AVX512, X86_FEAT_AVX512VL},
	{ZYDIS_ISA_SET_AVX512F_512, KIND_AVX512, X86_FEAT_AVX512F},
	{ZYDIS_ISA_SET_AVX512F_128N, KIND_AVX512, X86_FEAT_AVX512F},
	{ZYDIS_ISA_SET_AVX512F_SCALAR, KIND_AVX512, X86_FEAT_AVX512F},
	{ZYDIS_ISA_SET_AVX512F_KOP, KIND_AVX512, X86_FEAT_AVX512F},
	{ZYDIS_ISA_SET_AVX512BW_128, KIND_AVX512, X86_FEAT_AVX512BW},
	{ZYDIS_ISA_SET_AVX512BW_256, KIND_AVX512, X86_FEAT_AVX512BW},
	{ZYDIS_ISA_SET_AVX512BW_512, KIND_AVX512, X86_FEAT_AVX512BW},
	{ZYDIS_ISA_SET_AVX512BW_128N, KIND_AVX512, X86_FEAT_AVX512BW},
	{ZYDIS_ISA_SET_AVX512BW_KOP, KIND_AVX512, X86_FEAT_AVX512BW},
	{ZYDIS_ISA_SET_AVX512CD_128, KIND_AVX512, X86_FEAT_AVX512CD},
	{ZYDIS_ISA_SET_AVX512CD_256, KIND_AVX512, X86_FEAT_AVX512CD},
	{ZYDIS_ISA_SET_AVX512CD_512, KIND_AVX512, X86_FEAT_AVX512CD},
	{ZYDIS_ISA_SET_AVX512DQ_128, KIND_AVX512, X86_FEAT_AVX512DQ},
	{ZYDIS_ISA_SET_AVX512DQ_256, KIND_AVX512, X86_FEAT_AVX512DQ},
	{ZYDIS_ISA_SET_AVX512DQ_512, KIND_AVX512, X86_FEAT_AVX512DQ},
	{ZYDIS_ISA_SET_AVX512DQ_128N, KIND_AVX512, X86_FEAT_AVX512DQ},
	{ZYDIS_ISA_SET_AVX512DQ_SCALAR, KIND_AVX512, X86_FEAT_AVX512DQ},
	{ZYDIS_ISA_SET_AVX512DQ_KOP, KIND_AVX512, X86_FEAT_AVX512DQ},
	/* Wider forms come with AVX-512 itself. */
	{ZYDIS_ISA_SET_AVX512_GFNI_128, KIND_AVX512, X86_FEAT_GFNI},
	{ZYDIS_ISA_SET_AVX512_GFNI_256, KIND_AVX512, X86_FEAT_GFNI},
	{ZYDIS_ISA_SET_AVX512_GFNI_512, KIND_AVX512, X86_FEAT_GFNI},
	{ZYDIS_ISA_SET_AVX512_VAES_128, KIND_AVX512, X86_FEAT_VAES},
	{ZYDIS_ISA_SET_AVX512_VAES_256, KIND_AVX512, X86_FEAT_VAES},
	{ZYDIS_ISA_SET_AVX512_VAES_512, KIND_AVX512, X86_FEAT_VAES},
	{ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_128, KIND_AVX512, X86_FEAT_VPCLMULQDQ},
	{ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_256, KIND_AVX512, X86_FEAT_VPCLMULQDQ},
	{ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_512, KIND_AVX512, X86_FEAT_VPCLMULQDQ},
};

static const struct isa_row *isa_row(const struct dec *d)
{
	bool x87 = d->z.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;

	for (unsigned i = 0; i < ARRAY_LEN(isa_rows); i++)
		if (isa_rows[i].isa == d->z.meta.isa_set)
			/* Zydis files UD2, SYSENTER … under PPRO, too. */
			return isa_rows[i].kind == KIND_X87 && !x87 ? NULL : &isa_rows[i];
	return NULL;
}

static bool has_class(const struct dec *d, ZydisRegisterClass class)
{
	for (unsigned i = 0; i < d->z.operand_count; i++)
		if (d->o[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(d->o[i].reg.value) == class)
			return true;
	return false;
}

static enum simd_kind kind_of(const struct dec *d, const struct isa_row *row)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_CRC32:
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
		return KIND_NONE;
	default:
		break;
	}
	/* SSE's additions to MMX don't ask for OSFXSR, unless they have an XMM operand. */
	if (has_class(d, ZYDIS_REGCLASS_MMX) && !has_class(d, ZYDIS_REGCLASS_XMM))
		return KIND_MMX;
	return row->kind;
}

static bool unavailable(struct dec *d, op_fn *fn)
{
	d->op->fn = fn;
	d->end = true;
	return false;
}

static bool is_undefined(const struct dec *d, enum simd_kind kind)
{
	switch (kind) {
	case KIND_MMX:
		return d->mode & MODE_EM;
	case KIND_SSE:
		return (d->mode & MODE_EM) || !(d->mode & MODE_SSE);
	case KIND_AVX512:
		return !(d->mode & MODE_AVX512) || (d->mode & MODE_REAL) || (d->v->rflags & X86_VM);
	case KIND_AVX:
		return !(d->mode & MODE_AVX) || (d->mode & MODE_REAL) || (d->v->rflags & X86_VM);
	default:
		return false;
	}
}

bool simd_available(struct dec *d, enum simd_kind kind)
{
	if (is_undefined(d, kind))
		return unavailable(d, op_ud);
	if (kind == KIND_X87 && (d->mode & (MODE_EM | MODE_TS)))
		return unavailable(d, op_nm);
	if (kind != KIND_NONE && (d->mode & MODE_TS))
		return unavailable(d, op_nm);
	return true;
}

/* ---- The store ---- */

static u32 hash_of(const struct thunk_code *t)
{
	u32 h = 2166136261u; /* FNV-1a */

	for (unsigned i = 0; i < t->len; i++)
		h = (h ^ t->byte[i]) * 16777619u;
	return (h ^ h >> 16) % SIMD_HASH;
}

static bool same(const struct simd_insn *a, const struct simd_insn *b, const struct thunk_code *t,
		 const struct simd *s)
{
	return a->len == b->len && a->flags == b->flags && a->fop == b->fop &&
	       a->mem_size == b->mem_size && a->align_mask == b->align_mask &&
	       !__builtin_memcmp(s->code.rw + ((const u8 *)(uintptr_t)a->run - s->code.rx), t->byte,
				 t->len);
}

static const struct simd_insn *find_or_add(struct simd *s, const struct simd_insn *in,
					   const struct thunk_code *t)
{
	u16 *head = &s->hash[hash_of(t)];
	struct simd_insn *n;

	for (unsigned i = *head; i; i = s->insns[i].next)
		if (same(&s->insns[i], in, t, s))
			return &s->insns[i];
	if (s->ninsns == SIMD_INSNS || s->used + THUNK_MAX > s->code.size)
		return NULL;
	n = &s->insns[s->ninsns];
	*n = *in;
	n->run = (thunk_fn *)(uintptr_t)(s->code.rx + s->used);
	n->next = *head;
	__builtin_memcpy(s->code.rw + s->used, t->byte, t->len);
	*head = (u16)s->ninsns++;
	s->used += (u32)align_up(t->len, 16);
	return n;
}

void simd_flush(struct interp *c)
{
	struct simd *s = c->simd;

	if (!s)
		return;
	__builtin_memset(s->hash, 0, sizeof(s->hash));
	s->used = 0;
	s->ninsns = 1;
}

bool simd_full(const struct interp *c)
{
	const struct simd *s = c->simd;

	return s->ninsns + BLOCK_INSNS_MAX > SIMD_INSNS ||
	       (s->code.size && s->used + BLOCK_INSNS_MAX * THUNK_MAX > s->code.size);
}

int simd_create(struct alc_vcpu *v, struct interp *c, struct alc_err *err)
{
	const struct alc_host *h = v->plat->host;
	int r;

	c->simd = host_alloc(h, sizeof(*c->simd));
	if (!c->simd)
		return alc_fail(err, -ENOMEM, "no memory for the floating-point unit of vCPU %u",
				v->index);
	/* A guest that never computes needs no code: it is an error only once it is needed. */
	r = h->code_map(h->ctx, SIMD_CODE_SIZE, &c->simd->code);
	if (r && r != -EPERM) {
		host_free(h, c->simd, sizeof(*c->simd));
		c->simd = NULL;
		return alc_fail(err, r, "no executable memory for vCPU %u", v->index);
	}
	if (r)
		c->simd->code = (struct alc_host_code){0};
	simd_flush(c);
	return 0;
}

void simd_destroy(struct interp *c)
{
	const struct alc_host *h;

	if (!c->simd)
		return;
	h = c->v->plat->host;
	if (c->simd->code.size)
		h->code_unmap(h->ctx, &c->simd->code);
	host_free(h, c->simd, sizeof(*c->simd));
	c->simd = NULL;
}

/* ---- Generation ---- */

static void no_code(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	op_fault(v, op, c);
	c->exit = EXIT_ERROR;
	alc_fail(c->err, -EPERM,
		 "the host forbids executable memory, which the guest's floating-point and vector "
		 "instructions need (at RIP 0x%llx)",
		 (unsigned long long)op_rip(v, op));
}

static bool thunk_gen(struct dec *d)
{
	struct simd *s = d->c->simd;
	const struct simd_insn *found;
	struct simd_insn in;
	struct thunk_code t;

	if (!s->code.size) {
		d->op->fn = no_code;
		d->end = true;
		return true;
	}
	simd_emit(d, &in, &t);
	found = find_or_add(s, &in, &t);
	if (!found)
		return false;
	d->op->imm = (uintptr_t)found;
	d->op->fn = simd_handler(found);
	return true;
}

bool simd_offered(struct dec *d)
{
	const struct isa_row *row = isa_row(d);

	return row && cpuid_has(d->v->cpuid, row->feature) && simd_available(d, kind_of(d, row));
}

bool simd_gen(struct dec *d)
{
	const struct isa_row *row = isa_row(d);

	if (!row)
		return false;
	if (!cpuid_has(d->v->cpuid, row->feature)) {
		unavailable(d, op_ud);
		return true;
	}
	if (!simd_available(d, kind_of(d, row)))
		return true;
	if (d->z.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
		return simd_vsib_gen(d) || thunk_gen(d);
	return simd_move_gen(d) || simd_masked_gen(d) || thunk_gen(d);
}
