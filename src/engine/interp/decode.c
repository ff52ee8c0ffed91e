/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From bytes to ops: Zydis decodes, a row found by the mnemonic says which family makes the op,
 * and what the guest's CPU does not have becomes #UD here.
 */
#include "base/fmt.h"
#include "base/errno.h"
#include "engine/interp/interp.h"
#include "isa/cpuid.h"

/* ---- Operands
 * --------------------------------------------------------------------------------------- */

u8 dec_reg(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return (u8)(r - ZYDIS_REGISTER_RAX);
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return (u8)(r - ZYDIS_REGISTER_EAX);
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		return (u8)(r - ZYDIS_REGISTER_AX);
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
		return (u8)((r - ZYDIS_REGISTER_AL) * 8);
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return (u8)((r - ZYDIS_REGISTER_AH) * 8 + 1);
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return (u8)((r - ZYDIS_REGISTER_SPL + X86_RSP) * 8);
	return X86_REG_ZERO;
}

const ZydisDecodedOperand *dec_mem_operand(const struct dec *d)
{
	unsigned i;

	for (i = 0; i < d->z.operand_count; i++)
		if (d->o[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &d->o[i];
	return NULL;
}

static u8 address_flags(const struct dec *d, ZydisRegister segment)
{
	unsigned seg = segment == ZYDIS_REGISTER_NONE ? X86_DS : segment - ZYDIS_REGISTER_ES;
	bool has_base = seg == X86_FS || seg == X86_GS;
	u8 flags = d->z.address_width == 32   ? ADDR_SIZE32
		   : d->z.address_width == 16 ? ADDR_SIZE16
					      : 0;

	if ((d->mode & MODE_SIZE) == MODE_64)
		return has_base ? (u8)(flags | (seg + 1)) : flags;
	if (has_base || !(d->mode & MODE_FLAT))
		return (u8)(flags | ADDR_CHECKED | (seg + 1));
	return flags;
}

void dec_mem(struct dec *d, const ZydisDecodedOperand *m)
{
	struct op *op = d->op;
	ZydisRegister base = m->mem.base;

	op->base = X86_REG_ZERO;
	op->index = X86_REG_ZERO;
	op->disp = m->mem.disp.has_displacement ? m->mem.disp.value : 0;
	if (base == ZYDIS_REGISTER_RIP || base == ZYDIS_REGISTER_EIP) {
		op->base = X86_REG_BLOCK;
		op->disp += d->off + d->z.length;
	} else if (base != ZYDIS_REGISTER_NONE) {
		op->base = dec_reg(base);
	}
	op->shift = 0;
	if (m->mem.index != ZYDIS_REGISTER_NONE && m->mem.scale) {
		op->index = dec_reg(m->mem.index);
		op->shift = (u8)__builtin_ctz(m->mem.scale);
	}
	if (m->mem.segment == ZYDIS_REGISTER_SS)
		op->shift |= SHIFT_STACK;
	op->addr = address_flags(d, m->mem.segment);
}

/* ---- What the guest's CPU has
 * ----------------------------------------------------------------------------- */

/* Instruction sets behind a feature bit; everything else that has a row is always there. */
static const struct {
	u16 isa_set;
	u16 feature;
} gated[] = {
	{ZYDIS_ISA_SET_ADOX_ADCX, X86_FEAT_ADX},
	{ZYDIS_ISA_SET_BMI1, X86_FEAT_BMI1},
	{ZYDIS_ISA_SET_BMI2, X86_FEAT_BMI2},
	{ZYDIS_ISA_SET_CLFLUSHOPT, X86_FEAT_CLFLUSHOPT},
	{ZYDIS_ISA_SET_CLFSH, X86_FEAT_CLFLUSH},
	{ZYDIS_ISA_SET_CLWB, X86_FEAT_CLWB},
	{ZYDIS_ISA_SET_CMOV, X86_FEAT_CMOV},
	{ZYDIS_ISA_SET_CMPXCHG16B, X86_FEAT_CX16},
	{ZYDIS_ISA_SET_INVPCID, X86_FEAT_INVPCID},
	{ZYDIS_ISA_SET_LZCNT, X86_FEAT_ABM},
	{ZYDIS_ISA_SET_MOVBE, X86_FEAT_MOVBE},
	{ZYDIS_ISA_SET_POPCNT, X86_FEAT_POPCNT},
	{ZYDIS_ISA_SET_RDPID, X86_FEAT_RDPID},
	{ZYDIS_ISA_SET_RDRAND, X86_FEAT_RDRAND},
	{ZYDIS_ISA_SET_RDSEED, X86_FEAT_RDSEED},
	{ZYDIS_ISA_SET_RDTSCP, X86_FEAT_RDTSCP},
	{ZYDIS_ISA_SET_RDWRFSGS, X86_FEAT_FSGSBASE},
	{ZYDIS_ISA_SET_SMAP, X86_FEAT_SMAP},
};

static bool has_feature(const struct dec *d)
{
	unsigned i;

	for (i = 0; i < ARRAY_LEN(gated); i++)
		if (gated[i].isa_set == d->z.meta.isa_set)
			return cpuid_has(d->v->cpuid, (enum x86_feature)gated[i].feature);
	/* CRC32 is of SSE4.2 but touches no vector register. */
	if (d->z.mnemonic == ZYDIS_MNEMONIC_CRC32)
		return cpuid_has(d->v->cpuid, X86_FEAT_SSE4_2);
	return true;
}

/*
 * Instruction sets that no profile offers: on a CPU without them they are #UD. What is neither
 * here nor implemented stops the machine with a sentence.
 */
static bool never_offered(ZydisISASet s)
{
	static const u16 sets[] = {
		ZYDIS_ISA_SET_AMD,
		ZYDIS_ISA_SET_AMD3DNOW,
		ZYDIS_ISA_SET_AMD_INVLPGB,
		ZYDIS_ISA_SET_CET,
		ZYDIS_ISA_SET_CLDEMOTE,
		ZYDIS_ISA_SET_CLZERO,
		ZYDIS_ISA_SET_ENQCMD,
		ZYDIS_ISA_SET_FMA4,
		ZYDIS_ISA_SET_HRESET,
		ZYDIS_ISA_SET_KEYLOCKER,
		ZYDIS_ISA_SET_KEYLOCKER_WIDE,
		ZYDIS_ISA_SET_LWP,
		ZYDIS_ISA_SET_MCOMMIT,
		ZYDIS_ISA_SET_MONITOR,
		ZYDIS_ISA_SET_MONITORX,
		ZYDIS_ISA_SET_MOVDIR,
		ZYDIS_ISA_SET_MPX,
		ZYDIS_ISA_SET_PADLOCK_ACE,
		ZYDIS_ISA_SET_PADLOCK_PHE,
		ZYDIS_ISA_SET_PADLOCK_PMM,
		ZYDIS_ISA_SET_PADLOCK_RNG,
		ZYDIS_ISA_SET_PCONFIG,
		ZYDIS_ISA_SET_PKU,
		ZYDIS_ISA_SET_PT,
		ZYDIS_ISA_SET_RDPRU,
		ZYDIS_ISA_SET_RTM,
		ZYDIS_ISA_SET_SERIALIZE,
		ZYDIS_ISA_SET_SGX,
		ZYDIS_ISA_SET_SGX_ENCLV,
		ZYDIS_ISA_SET_SMX,
		ZYDIS_ISA_SET_SNP,
		ZYDIS_ISA_SET_SSE4A,
		ZYDIS_ISA_SET_SVM,
		ZYDIS_ISA_SET_TBM,
		ZYDIS_ISA_SET_TDX,
		ZYDIS_ISA_SET_TSX_LDTRK,
		ZYDIS_ISA_SET_UINTR,
		ZYDIS_ISA_SET_VMFUNC,
		ZYDIS_ISA_SET_VTX,
		ZYDIS_ISA_SET_WAITPKG,
		ZYDIS_ISA_SET_XOP,
		ZYDIS_ISA_SET_XSAVES,
		ZYDIS_ISA_SET_AVX_VNNI,
		ZYDIS_ISA_SET_AMX_BF16,
		ZYDIS_ISA_SET_AMX_INT8,
		ZYDIS_ISA_SET_AMX_TILE,
		ZYDIS_ISA_SET_KNCE,
		ZYDIS_ISA_SET_KNCJKBR,
		ZYDIS_ISA_SET_KNCSTREAM,
		ZYDIS_ISA_SET_KNCV,
		ZYDIS_ISA_SET_KNC_MISC,
		ZYDIS_ISA_SET_KNC_PF_HINT,
	};
	unsigned i;

	if (s >= ZYDIS_ISA_SET_AVX512BW_128 && s <= ZYDIS_ISA_SET_AVX512_VPOPCNTDQ_512)
		return true;
	for (i = 0; i < ARRAY_LEN(sets); i++)
		if (sets[i] == s)
			return true;
	return false;
}

/* ---- Decoders
 * ---------------------------------------------------------------------------------------------------
 */

enum { DEC_64, DEC_COMPAT32, DEC_COMPAT16, DEC_LEGACY32, DEC_LEGACY16, DEC_REAL16 };

unsigned decoder_index(u32 mode)
{
	if ((mode & MODE_SIZE) == MODE_64)
		return DEC_64;
	if (mode & MODE_LONG)
		return (mode & MODE_SIZE) == MODE_32 ? DEC_COMPAT32 : DEC_COMPAT16;
	if ((mode & MODE_SIZE) == MODE_32)
		return DEC_LEGACY32;
	return mode & MODE_REAL ? DEC_REAL16 : DEC_LEGACY16;
}

void decoders_init(struct interp *c, const struct x86_cpuid_table *cpuid)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth stack;
	} modes[] = {
		[DEC_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
		[DEC_COMPAT32] = {ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32},
		[DEC_COMPAT16] = {ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16},
		[DEC_LEGACY32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
		[DEC_LEGACY16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
		[DEC_REAL16] = {ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16},
	};
	/* Encodings that an older CPU reads as another instruction. */
	static const struct {
		ZydisDecoderMode mode;
		int feature; /* -1: never */
	} readings[] = {
		{ZYDIS_DECODER_MODE_MPX, -1},
		{ZYDIS_DECODER_MODE_KNC, -1},
		{ZYDIS_DECODER_MODE_CET, -1},
		{ZYDIS_DECODER_MODE_CLDEMOTE, -1},
		{ZYDIS_DECODER_MODE_WBNOINVD, -1},
		{ZYDIS_DECODER_MODE_LZCNT, X86_FEAT_ABM},
		{ZYDIS_DECODER_MODE_TZCNT, X86_FEAT_BMI1},
	};
	unsigned i, j;

	for (i = 0; i < ARRAY_LEN(modes); i++) {
		ZydisDecoderInit(&c->decoder[i], modes[i].mode, modes[i].stack);
		for (j = 0; j < ARRAY_LEN(readings); j++)
			ZydisDecoderEnableMode(
				&c->decoder[i], readings[j].mode,
				readings[j].feature >= 0 &&
					cpuid_has(cpuid, (enum x86_feature)readings[j].feature));
	}
}

/* ---- Rows
 * ----------------------------------------------------------------------------------------------------------
 */

void decode_index_rows(const struct insn_row **by_mnemonic)
{
	static const struct insn_row *const families[] = {
		alu_rows,  shift_rows,  bit_rows,    move_rows,   stack_rows,
		flow_rows, string_rows, atomic_rows, system_rows, transfer_rows,
		port_rows, fpu_rows,    legacy_rows,
	};
	unsigned f;

	for (f = 0; f < ARRAY_LEN(families); f++) {
		const struct insn_row *r;

		for (r = families[f]; r->mnemonic; r++)
			by_mnemonic[r->mnemonic] = r;
	}
}

static bool is_vector(const struct dec *d)
{
	unsigned i;

	for (i = 0; i < d->z.operand_count; i++)
		if (d->o[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    d->o[i].reg.value >= ZYDIS_REGISTER_ST0 &&
		    d->o[i].reg.value <= ZYDIS_REGISTER_ZMM31)
			return true;
	return false;
}

/* MOVSD and CMPSD name a string instruction and a scalar one each. */
static bool use_row(const struct dec *d, const struct insn_row *row)
{
	return row && !(row->mnemonic == ZYDIS_MNEMONIC_MOVSD && is_vector(d)) &&
	       !(row->mnemonic == ZYDIS_MNEMONIC_CMPSD && is_vector(d));
}

static void make_op(struct dec *d)
{
	const struct insn_row *row = d->c->vm->rows[d->z.mnemonic];
	const ZydisDecodedOperand *m = dec_mem_operand(d);

	d->op->base = d->op->index = X86_REG_ZERO;
	if (m)
		dec_mem(d, m);
	if (use_row(d, row)) {
		if (has_feature(d) && row->gen(d, row->arg))
			return;
		if (!has_feature(d)) {
			d->op->fn = op_ud;
			d->end = true;
			return;
		}
	} else if (simd_gen(d)) {
		return;
	}
	d->op->fn = never_offered(d->z.meta.isa_set) ? op_ud : op_unsupported;
	d->end = true;
}

bool dec_is_simd(const struct dec *d)
{
	return !use_row(d, d->c->vm->rows[d->z.mnemonic]);
}

bool dec_available(struct dec *d)
{
	return dec_is_simd(d) ? simd_offered(d) : has_feature(d);
}

/*
 * Zydis 4.0.0 takes a SIB byte with mod 0 and base 5 for [R13] when REX.B is set. The encoding
 * means a displacement and no base whatever REX.B says (SDM vol. 2A table 2-5), so it is decoded
 * without that bit, which has no other part in an instruction with a memory operand.
 */
static bool misread_base(const ZydisDecodedInstruction *z)
{
	/* VEX and EVEX have it inverted. */
	bool rex_b = z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX    ? !z->raw.vex.B
		     : z->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ? !z->raw.evex.B
								      : z->raw.rex.B;

	return (z->attributes & ZYDIS_ATTRIB_HAS_SIB) && z->raw.modrm.mod == 0 &&
	       z->raw.sib.base == 5 && rex_b;
}

ZyanStatus dec_bytes(struct dec *d, const u8 *bytes, unsigned max)
{
	const ZydisDecoder *dec = &d->c->decoder[decoder_index(d->mode)];
	ZyanStatus s = ZydisDecoderDecodeFull(dec, bytes, max, &d->z, d->o);

	d->bytes = bytes;
	if (ZYAN_SUCCESS(s) && misread_base(&d->z)) {
		__builtin_memcpy(d->rewritten, bytes, max);
		if (d->z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
			d->rewritten[d->z.raw.vex.offset + 1] |= 0x20;
		else if (d->z.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
			d->rewritten[d->z.raw.evex.offset + 1] |= 0x20;
		else
			d->rewritten[d->z.raw.rex.offset] &= (u8)~1u;
		d->bytes = d->rewritten;
		s = ZydisDecoderDecodeFull(dec, d->rewritten, max, &d->z, d->o);
	}
	return s;
}

unsigned decode_one(struct dec *d, const u8 *bytes, unsigned avail)
{
	unsigned max = avail < 15 ? avail : 15;
	ZyanStatus s = dec_bytes(d, bytes, max);

	if (ZYAN_SUCCESS(s)) {
		make_op(d);
		return d->z.length;
	}
	if (s == ZYDIS_STATUS_NO_MORE_DATA && max < 15)
		return 0;
	d->end = true;
	/* More than 15 bytes is #GP (SDM vol. 2A 2.3.11); what is left decodes as nothing. */
	d->op->fn = s == ZYDIS_STATUS_INSTRUCTION_TOO_LONG || s == ZYDIS_STATUS_NO_MORE_DATA
			    ? op_gp
			    : op_ud;
	return 1;
}
