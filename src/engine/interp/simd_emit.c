/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Thunks: native code for one guest instruction.
 *
 * The instruction keeps its prefixes that select an operation, its opcode, its vector registers
 * and its immediate. Its memory operand becomes [RSI], its general registers EAX (ModRM.reg) and
 * ECX (ModRM.rm), which are loaded from and stored to the guest's. REX or VEX and ModRM are made
 * anew, so that code of any mode runs in the host's 64-bit mode.
 *
 * All vector registers are the caller's to save, so none is preserved. The host's MXCSR and x87
 * control word are put back. Below RSP lies the red zone, where the host's MXCSR waits.
 */
#include "engine/interp/simd.h"

enum { HOST_AX, HOST_CX, HOST_DX };

struct gpr_use {
	u8 host;
	u8 byte_off; /* in gpr[] */
	bool byte, load, store;
};

struct emitter {
	struct thunk_code *t;
	const struct dec *d;
	struct simd_insn *in;
	struct gpr_use gpr[4];
	unsigned ngpr;
	u32 load, store; /* vector registers, a bit each */
	u32 wide;        /* of those loaded: all 256 bits */
	u8 k_load, k_store;
	u8 reg, rm; /* host numbers for ModRM */
	bool rm_mem, has_gpr;
};

static void byte(struct emitter *e, unsigned b)
{
	e->t->byte[e->t->len++] = (u8)b;
}

static void bytes(struct emitter *e, const u8 *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		byte(e, b[i]);
}

#define CODE(e, ...) bytes(e, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

/* ModRM and displacement for [RDI + offset in struct alc_vcpu]. */
static void state_operand(struct emitter *e, unsigned reg, size_t offset)
{
	byte(e, 0x87 | (reg & 7) << 3);
	for (unsigned i = 0; i < 4; i++)
		byte(e, (unsigned)(offset >> 8 * i) & 0xff);
}

/* ---- What the operands are ---- */

static void use_gpr(struct emitter *e, const ZydisDecodedOperand *o, unsigned host)
{
	bool is_byte = ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_GPR8;
	u8 reg = dec_reg(o->reg.value);

	e->has_gpr = true;
	e->gpr[e->ngpr++] = (struct gpr_use){
		.host = (u8)host,
		.byte_off = is_byte ? reg : (u8)(reg * 8),
		.byte = is_byte,
		.load = o->actions & ZYDIS_OPERAND_ACTION_MASK_READ,
		.store = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE,
	};
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		e->in->dst_gpr = reg;
}

static void use_vec(struct emitter *e, const ZydisDecodedOperand *o, unsigned id)
{
	bool writes = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

	/* Legacy forms and masked ones write parts of a register; VEX ones all of it. */
	if ((o->actions & ZYDIS_OPERAND_ACTION_MASK_READ) || !(e->in->flags & SIMD_VEX) ||
	    e->in->flags & SIMD_EVEX)
		e->load |= 1u << id;
	if (ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_YMM)
		e->wide |= 1u << id;
	if (writes) {
		e->store |= 1u << id;
		e->in->dst_vec = (u8)id;
	}
}

static void use_mask(struct emitter *e, const ZydisDecodedOperand *o, unsigned id)
{
	e->k_load |= (u8)(1 << id);
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) {
		e->k_store |= (u8)(1 << id);
		e->in->dst_k = (u8)id;
	}
}

/* The number that stands for a register operand in the thunk's instruction. */
static unsigned use_register(struct emitter *e, const ZydisDecodedOperand *o)
{
	unsigned id = (unsigned)ZydisRegisterGetId(o->reg.value) & 31;

	switch (ZydisRegisterGetClass(o->reg.value)) {
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
	case ZYDIS_REGCLASS_ZMM:
		use_vec(e, o, id);
		return id;
	case ZYDIS_REGCLASS_MASK:
		use_mask(e, o, id & 7);
		return id & 7;
	case ZYDIS_REGCLASS_MMX:
		return id & 7;
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
			id = HOST_AX;
		else if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
			id = HOST_CX;
		use_gpr(e, o, id);
		return id;
	default:
		return id;
	}
}

static void use_memory(struct emitter *e, const ZydisDecodedOperand *o)
{
	e->in->mem_size = (u8)(o->size / 8);
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		e->in->flags |= SIMD_READS;
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		e->in->flags |= SIMD_WRITES;
	e->rm_mem = true;
}

static bool is_x87(const struct dec *d)
{
	return d->z.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;
}

static void use_operands(struct emitter *e)
{
	const struct dec *d = e->d;

	e->reg = d->z.raw.modrm.reg;
	e->rm = d->z.raw.modrm.rm;
	for (unsigned i = 0; i < d->z.operand_count; i++) {
		const ZydisDecodedOperand *o = &d->o[i];

		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
			use_memory(e, o);
		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER || is_x87(d))
			continue;
		if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG)
			e->reg = (u8)use_register(e, o);
		else if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
			e->rm = (u8)use_register(e, o);
		else
			use_register(e, o);
	}
}

/* ---- Loads and stores around it ---- */

/* VMOVUPS of 512 bits */
static void move_zmm(struct emitter *e, unsigned id, bool store)
{
	CODE(e, 0x62, (id & 8 ? 0 : 0x80) | 0x60 | (id & 16 ? 0 : 0x10) | 1, 0x7c, 0x48,
	     0x10 + store);
	state_operand(e, id, offsetof(struct alc_vcpu, fpu.vec) + id * sizeof(u64[8]));
}

/* KMOVQ */
static void move_masks(struct emitter *e, u8 which, bool store)
{
	for (unsigned i = 0; i < 8; i++) {
		if (!(which >> i & 1))
			continue;
		CODE(e, 0xc4, 0xe1, 0xf8, 0x90 + store);
		state_operand(e, i, offsetof(struct alc_vcpu, fpu.k) + i * sizeof(u64));
	}
}

static void move_vec(struct emitter *e, unsigned id, bool wide, bool store)
{
	if (e->in->flags & SIMD_EVEX || (e->in->flags & SIMD_ZMM && store)) {
		move_zmm(e, id, store);
		return;
	}
	if (e->in->flags & SIMD_VEX) /* VMOVUPS */
		CODE(e, 0xc5, (id & 8 ? 0x78 : 0xf8) | (wide ? 4 : 0), 0x10 + store);
	else if (id & 8) /* MOVUPS */
		CODE(e, 0x44, 0x0f, 0x10 + store);
	else
		CODE(e, 0x0f, 0x10 + store);
	state_operand(e, id, offsetof(struct alc_vcpu, fpu.vec) + id * sizeof(u64[8]));
}

static void load_registers(struct emitter *e)
{
	for (unsigned i = 0; i < 32; i++)
		if (e->load >> i & 1)
			move_vec(e, i, e->wide >> i & 1, false);
	move_masks(e, e->k_load, false);
	for (unsigned i = 0; i < e->ngpr; i++) {
		const struct gpr_use *g = &e->gpr[i];

		if (!g->load)
			continue;
		if (g->byte)
			CODE(e, 0x0f, 0xb6); /* MOVZX r32, m8 */
		else
			CODE(e, 0x48, 0x8b);
		state_operand(e, g->host, offsetof(struct alc_vcpu, gpr) + g->byte_off);
	}
}

static void store_registers(struct emitter *e)
{
	/* The instruction cleared the upper half itself, and with it the guest's. */
	for (unsigned i = 0; i < 32; i++)
		if (e->store >> i & 1)
			move_vec(e, i, e->in->flags & SIMD_VEX, true);
	move_masks(e, e->k_store, true);
	for (unsigned i = 0; i < e->ngpr; i++) {
		const struct gpr_use *g = &e->gpr[i];

		if (!g->store)
			continue;
		CODE(e, 0x48, 0x89);
		state_operand(e, g->host, offsetof(struct alc_vcpu, gpr) + g->byte_off);
	}
}

/* ---- The instruction ---- */

static unsigned modrm(const struct emitter *e)
{
	if (e->rm_mem)
		return (e->reg & 7) << 3 | 6;
	return 0xc0 | (e->reg & 7) << 3 | (e->rm & 7);
}

/* Immediate bytes as they are. */
static void immediate(struct emitter *e)
{
	const ZydisDecodedInstruction *z = &e->d->z;
	unsigned size = (z->raw.imm[0].size + z->raw.imm[1].size) / 8;

	for (unsigned i = z->length - size; i < z->length; i++)
		byte(e, e->d->bytes[i]);
}

/* A register number in the immediate, of which 32-bit code ignores the top bit. */
static bool has_is4(const struct dec *d)
{
	for (unsigned i = 0; i < d->z.operand_count; i++)
		if (d->o[i].encoding == ZYDIS_OPERAND_ENCODING_IS4)
			return true;
	return false;
}

bool dec_w_is_size(const struct dec *d, bool has_gpr)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_VMOVD:
	case ZYDIS_MNEMONIC_VPINSRD:
	case ZYDIS_MNEMONIC_VPEXTRD:
	case ZYDIS_MNEMONIC_VCVTSI2SD:
	case ZYDIS_MNEMONIC_VCVTSI2SS:
	case ZYDIS_MNEMONIC_VCVTUSI2SD:
	case ZYDIS_MNEMONIC_VCVTUSI2SS:
		return true;
	default:
		return has_gpr;
	}
}

static unsigned vvvv(const struct dec *d)
{
	for (unsigned i = 0; i < d->z.operand_count; i++)
		if (d->o[i].encoding == ZYDIS_OPERAND_ENCODING_NDSNDD)
			return (unsigned)ZydisRegisterGetId(d->o[i].reg.value) & 15;
	return 0;
}

static void insn_vex(struct emitter *e)
{
	const ZydisDecodedInstruction *z = &e->d->z;
	bool mode64 = (e->d->mode & MODE_SIZE) == MODE_64;
	bool w = z->raw.vex.W && (mode64 || !dec_w_is_size(e->d, e->has_gpr));
	unsigned b = e->rm_mem ? 0 : e->rm >> 3;

	CODE(e, 0xc4, (e->reg & 8 ? 0 : 0x80) | 0x40 | (b ? 0 : 0x20) | z->raw.vex.m_mmmm,
	     w << 7 | (~vvvv(e->d) & 15) << 3 | z->raw.vex.L << 2 | z->raw.vex.pp);
	CODE(e, z->opcode, modrm(e));
	immediate(e);
	if (!mode64 && has_is4(e->d))
		e->t->byte[e->t->len - 1] &= 0x7f;
}

static ZydisRegisterClass class_at(const struct dec *d, ZydisOperandEncoding place)
{
	for (unsigned i = 0; i < d->z.operand_count; i++)
		if (d->o[i].type == ZYDIS_OPERAND_TYPE_REGISTER && d->o[i].encoding == place)
			return ZydisRegisterGetClass(d->o[i].reg.value);
	return ZYDIS_REGCLASS_INVALID;
}

static bool is_gpr_class(ZydisRegisterClass k)
{
	return k >= ZYDIS_REGCLASS_GPR8 && k <= ZYDIS_REGCLASS_GPR64;
}

/* The prefix as it is, but for what belongs to registers that are replaced (SDM vol. 2 2.7.1). */
static void insn_evex(struct emitter *e)
{
	const ZydisDecodedInstruction *z = &e->d->z;
	const u8 *prefix = e->d->bytes + z->raw.evex.offset;
	unsigned p0 = prefix[1], p1 = prefix[2], p2 = prefix[3];

	if (e->rm_mem || is_gpr_class(class_at(e->d, ZYDIS_OPERAND_ENCODING_MODRM_RM)))
		p0 |= 0x60; /* X, B */
	if (is_gpr_class(class_at(e->d, ZYDIS_OPERAND_ENCODING_MODRM_REG)))
		p0 |= 0x90; /* R, R' */
	if ((e->d->mode & MODE_SIZE) != MODE_64) {
		p0 |= 0xf0;
		p1 |= 0x40; /* the upper bit of vvvv */
		p2 |= 0x08; /* V' */
		if (dec_w_is_size(e->d, e->has_gpr))
			p1 &= 0x7f;
	}
	CODE(e, 0x62, p0, p1, p2, z->opcode, modrm(e));
	immediate(e);
}

/* Prefixes that belong to the opcode. CRC32's 0x66 is an operand size, which depends on mode. */
static void mandatory_prefixes(struct emitter *e)
{
	const ZydisDecodedInstruction *z = &e->d->z;
	bool crc = z->mnemonic == ZYDIS_MNEMONIC_CRC32;

	if (crc && e->d->o[1].size == 16)
		byte(e, 0x66);
	for (unsigned i = 0; i < z->raw.prefix_count; i++) {
		unsigned p = z->raw.prefixes[i].value;

		if (p == 0xf2 || p == 0xf3 || (p == 0x66 && !crc))
			byte(e, p);
	}
}

static void insn_legacy(struct emitter *e)
{
	const ZydisDecodedInstruction *z = &e->d->z;
	bool w = (z->attributes & ZYDIS_ATTRIB_HAS_REX) && z->raw.rex.W;
	unsigned rex = w << 3 | (e->reg >> 3) << 2 | (e->rm_mem ? 0u : e->rm >> 3);

	mandatory_prefixes(e);
	if (rex)
		byte(e, 0x40 | rex);
	byte(e, 0x0f);
	if (z->opcode_map == ZYDIS_OPCODE_MAP_0F38)
		byte(e, 0x38);
	else if (z->opcode_map == ZYDIS_OPCODE_MAP_0F3A)
		byte(e, 0x3a);
	byte(e, z->opcode);
	if (z->attributes & ZYDIS_ATTRIB_HAS_MODRM)
		byte(e, modrm(e));
	immediate(e);
}

static void insn(struct emitter *e)
{
	if (is_x87(e->d))
		CODE(e, e->d->z.opcode, modrm(e));
	else if (e->in->flags & SIMD_EVEX)
		insn_evex(e);
	else if (e->in->flags & SIMD_VEX)
		insn_vex(e);
	else
		insn_legacy(e);
}

/* ---- Around it ---- */

static void mxcsr_to_state(struct emitter *e)
{
	CODE(e, 0x0f, 0xae);
	state_operand(e, 3, offsetof(struct alc_vcpu, fpu.mxcsr));
}

static void mxcsr_from_state(struct emitter *e)
{
	CODE(e, 0x0f, 0xae);
	state_operand(e, 2, offsetof(struct alc_vcpu, fpu.mxcsr));
}

static void prologue(struct emitter *e)
{
	u16 flags = e->in->flags;

	if (flags & (SIMD_X87 | SIMD_MXCSR))
		CODE(e, 0x0f, 0xae, 0x5c, 0x24, 0xf8); /* stmxcsr [rsp - 8] */
	if (flags & SIMD_X87)
		CODE(e, 0x48, 0x0f, 0xae, 0x0a); /* fxrstor64 [rdx], MXCSR too */
	else if (flags & SIMD_MXCSR)
		mxcsr_from_state(e);
	if (flags & SIMD_FLAGS_IN) /* mov eax, ecx; add al, 127 (for OF); sahf */
		CODE(e, 0x89, 0xc8, 0x04, 0x7f, 0x9e);
}

static void epilogue(struct emitter *e)
{
	u16 flags = e->in->flags;

	if (flags & SIMD_X87) /* fxsave64 [rdx]; fninit */
		CODE(e, 0x48, 0x0f, 0xae, 0x02, 0xdb, 0xe3);
	else if (flags & SIMD_MXCSR)
		mxcsr_to_state(e);
	if (flags & (SIMD_X87 | SIMD_MXCSR))
		CODE(e, 0x0f, 0xae, 0x54, 0x24, 0xf8); /* ldmxcsr [rsp - 8] */
	if (flags & SIMD_VEX)
		CODE(e, 0xc5, 0xf8, 0x77); /* vzeroupper */
	byte(e, 0xc3);
}

/* ---- What kind of instruction it is ---- */

static bool uses_mmx(const struct dec *d)
{
	for (unsigned i = 0; i < d->z.operand_count; i++)
		if (d->o[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(d->o[i].reg.value) == ZYDIS_REGCLASS_MMX)
			return true;
	return d->z.mnemonic == ZYDIS_MNEMONIC_EMMS;
}

/* They raise nothing, but what a denormal is to them, as operand or result, is MXCSR's. */
static bool only_looks_at_mxcsr(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_VRCP14PD:
	case ZYDIS_MNEMONIC_VRCP14PS:
	case ZYDIS_MNEMONIC_VRCP14SD:
	case ZYDIS_MNEMONIC_VRCP14SS:
	case ZYDIS_MNEMONIC_VRSQRT14PD:
	case ZYDIS_MNEMONIC_VRSQRT14PS:
	case ZYDIS_MNEMONIC_VRSQRT14SD:
	case ZYDIS_MNEMONIC_VRSQRT14SS:
	case ZYDIS_MNEMONIC_VFPCLASSPD:
	case ZYDIS_MNEMONIC_VFPCLASSPS:
	case ZYDIS_MNEMONIC_VFPCLASSSD:
	case ZYDIS_MNEMONIC_VFPCLASSSS:
		return true;
	default:
		return false;
	}
}

/* Zydis's classes are the SDM's (vol. 2A 2.4): 2, 3 and 11 are those with SIMD exceptions. */
static bool uses_mxcsr(const struct dec *d)
{
	if (only_looks_at_mxcsr(d->z.mnemonic))
		return true;
	switch (d->z.meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE2:
	case ZYDIS_EXCEPTION_CLASS_SSE3:
	case ZYDIS_EXCEPTION_CLASS_AVX2:
	case ZYDIS_EXCEPTION_CLASS_AVX3:
	case ZYDIS_EXCEPTION_CLASS_AVX11:
	case ZYDIS_EXCEPTION_CLASS_E2:
	case ZYDIS_EXCEPTION_CLASS_E2NF:
	case ZYDIS_EXCEPTION_CLASS_E3:
	case ZYDIS_EXCEPTION_CLASS_E3NF:
	case ZYDIS_EXCEPTION_CLASS_E11:
	case ZYDIS_EXCEPTION_CLASS_E11NF:
		return true;
	default:
		return d->z.meta.category == ZYDIS_CATEGORY_CONVERT;
	}
}

/* Memory operands that must be aligned (classes 1, 2 and 4; of VEX forms, only class 1). */
static bool must_align(const struct dec *d)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_PCMPISTRI:
	case ZYDIS_MNEMONIC_PCMPISTRM:
		return false;
	case ZYDIS_MNEMONIC_CVTPD2PI:
	case ZYDIS_MNEMONIC_CVTTPD2PI:
		return true;
	default:
		break;
	}
	switch (d->z.meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE1:
	case ZYDIS_EXCEPTION_CLASS_SSE2:
	case ZYDIS_EXCEPTION_CLASS_SSE4:
	case ZYDIS_EXCEPTION_CLASS_AVX1:
	case ZYDIS_EXCEPTION_CLASS_E1:
	case ZYDIS_EXCEPTION_CLASS_E1NF:
		return true;
	default:
		return false;
	}
}

/* Classes whose name has NF: masks don't keep them from faulting. Nor the three named here. */
static bool suppresses_faults(const struct dec *d)
{
	if (d->z.mnemonic == ZYDIS_MNEMONIC_VGF2P8AFFINEQB ||
	    d->z.mnemonic == ZYDIS_MNEMONIC_VGF2P8AFFINEINVQB ||
	    d->z.mnemonic == ZYDIS_MNEMONIC_VDBPSADBW)
		return false;
	switch (d->z.meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_E1:
	case ZYDIS_EXCEPTION_CLASS_E2:
	case ZYDIS_EXCEPTION_CLASS_E3:
	case ZYDIS_EXCEPTION_CLASS_E4:
	case ZYDIS_EXCEPTION_CLASS_E5:
	case ZYDIS_EXCEPTION_CLASS_E6:
	case ZYDIS_EXCEPTION_CLASS_E10:
	case ZYDIS_EXCEPTION_CLASS_E11:
		return true;
	default:
		return false;
	}
}

static bool is_packed(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_VCOMPRESSPS || m == ZYDIS_MNEMONIC_VCOMPRESSPD ||
	       m == ZYDIS_MNEMONIC_VPCOMPRESSD || m == ZYDIS_MNEMONIC_VPCOMPRESSQ ||
	       m == ZYDIS_MNEMONIC_VEXPANDPS || m == ZYDIS_MNEMONIC_VEXPANDPD ||
	       m == ZYDIS_MNEMONIC_VPEXPANDD || m == ZYDIS_MNEMONIC_VPEXPANDQ;
}

/* Elements that a broadcast makes of its operand. */
static u8 copies(const struct dec *d)
{
	static const u8 to[] = {
		[ZYDIS_BROADCAST_MODE_1_TO_2] = 2,   [ZYDIS_BROADCAST_MODE_1_TO_4] = 4,
		[ZYDIS_BROADCAST_MODE_1_TO_8] = 8,   [ZYDIS_BROADCAST_MODE_1_TO_16] = 16,
		[ZYDIS_BROADCAST_MODE_1_TO_32] = 32, [ZYDIS_BROADCAST_MODE_1_TO_64] = 64,
		[ZYDIS_BROADCAST_MODE_2_TO_4] = 4,   [ZYDIS_BROADCAST_MODE_2_TO_8] = 8,
		[ZYDIS_BROADCAST_MODE_2_TO_16] = 16, [ZYDIS_BROADCAST_MODE_4_TO_8] = 8,
		[ZYDIS_BROADCAST_MODE_4_TO_16] = 16, [ZYDIS_BROADCAST_MODE_8_TO_16] = 16,
	};

	return to[d->z.avx.broadcast.mode];
}

/* What the mask says of the memory operand, if the instruction has both. */
static void use_masked_memory(struct emitter *e)
{
	const struct dec *d = e->d;
	struct simd_insn *in = e->in;

	if (d->z.encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX || !in->mem_size)
		return;
	in->mask = (u8)(ZydisRegisterGetId(d->z.avx.mask.reg) & 7);
	if (d->z.avx.mask.reg == ZYDIS_REGISTER_NONE || !in->mask)
		return;
	in->elements = suppresses_faults(d) ? ELEMENTS_EACH : ELEMENTS_ALL;
	for (unsigned i = 0; i < d->z.operand_count; i++)
		if (d->o[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			in->elem_size = (u8)(d->o[i].element_size / 8);
	in->elems = (u8)(in->mem_size / in->elem_size);
	if (is_packed(d->z.mnemonic))
		in->elements = ELEMENTS_PACKED;
	if (d->z.avx.broadcast.mode && in->elements) {
		in->elements = ELEMENTS_REPEAT;
		in->elems = copies(d);
	}
}

static void use_halves(struct emitter *e)
{
	const struct dec *d = e->d;

	e->in->flags |= SIMD_HALVES;
	e->in->elems = (u8)(d->z.avx.vector_length / 32);
	if (d->z.avx.mask.reg != ZYDIS_REGISTER_NONE)
		e->in->mask = (u8)(ZydisRegisterGetId(d->z.avx.mask.reg) & 7);
}

/* "Exceptions are determined separately for each add and multiply operation" (SDM, DPPS). */
static bool has_steps(const struct dec *d)
{
	return d->z.mnemonic == ZYDIS_MNEMONIC_DPPS || d->z.mnemonic == ZYDIS_MNEMONIC_DPPD ||
	       d->z.mnemonic == ZYDIS_MNEMONIC_VDPPS || d->z.mnemonic == ZYDIS_MNEMONIC_VDPPD;
}

static void classify(const struct dec *d, struct simd_insn *in)
{
	const ZydisAccessedFlags *f = d->z.cpu_flags;

	if (d->z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		in->flags |= SIMD_VEX;
	if (d->z.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
		in->flags |= SIMD_VEX | SIMD_EVEX;
	if (in->flags & SIMD_EVEX &&
	    ((d->z.raw.evex.b && d->z.raw.modrm.mod == 3) || only_looks_at_mxcsr(d->z.mnemonic)))
		in->flags |= SIMD_QUIET;
	if (in->flags & SIMD_VEX && cpuid_has(d->v->cpuid, X86_FEAT_AVX512F))
		in->flags |= SIMD_ZMM;
	if (is_x87(d) || uses_mmx(d))
		in->flags |= SIMD_X87;
	if (!is_x87(d) && uses_mxcsr(d))
		in->flags |= SIMD_MXCSR;
	if (has_steps(d))
		in->flags |= SIMD_STEPS;
	if (f && (f->modified | f->set_0 | f->set_1 | f->undefined))
		in->flags |= SIMD_FLAGS | (is_x87(d) ? SIMD_FLAGS_IN : 0);
	if (f && f->tested)
		in->flags |= SIMD_FLAGS_IN;
}

void simd_emit(const struct dec *d, struct simd_insn *in, struct thunk_code *t)
{
	struct emitter e = {.t = t, .d = d, .in = in};

	*in = (struct simd_insn){.dst_vec = SIMD_NONE, .dst_gpr = SIMD_NONE, .dst_k = SIMD_NONE};
	t->len = 0;
	classify(d, in);
	use_operands(&e);
	use_masked_memory(&e);
	if (d->z.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH)
		use_halves(&e);
	if (must_align(d) && in->mem_size >= 16)
		in->align_mask = (u8)(in->mem_size - 1);
	/* FNOP, FINCSTP, FDECSTP and FFREE too: they are no control instructions to processors. */
	if (is_x87(d)) {
		in->flags |= SIMD_POINTERS;
		in->fop = (u16)((d->z.opcode & 7) << 8 | d->bytes[d->z.raw.modrm.offset]);
	}
	prologue(&e);
	load_registers(&e);
	insn(&e);
	if (in->flags & SIMD_FLAGS)
		CODE(&e, 0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto al */
	store_registers(&e);
	epilogue(&e);
	in->len = (u16)t->len;
}
