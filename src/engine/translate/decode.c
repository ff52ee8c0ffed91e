/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From Zydis's view of an instruction to what the generator needs: which kind it is, where its
 * registers stand in the encoding, its memory operand, its flags.
 */
#include "engine/translate/translate.h"

static bool is_compat(const struct dec *d)
{
	return tr_compat(d->mode);
}

/* Of stack slots, near jumps' targets and addresses. */
static unsigned word_bits(const struct dec *d)
{
	return is_compat(d) ? 32 : 64;
}

/* ---- Registers ---- */

static bool is_gpr(ZydisRegister r)
{
	ZydisRegisterClass k = ZydisRegisterGetClass(r);

	return k == ZYDIS_REGCLASS_GPR8 || k == ZYDIS_REGCLASS_GPR16 || k == ZYDIS_REGCLASS_GPR32 ||
	       k == ZYDIS_REGCLASS_GPR64;
}

static bool is_high_byte(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
}

static bool is_vector(ZydisRegister r)
{
	ZydisRegisterClass k = ZydisRegisterGetClass(r);

	return k == ZYDIS_REGCLASS_XMM || k == ZYDIS_REGCLASS_YMM || k == ZYDIS_REGCLASS_ZMM ||
	       k == ZYDIS_REGCLASS_MASK;
}

/* 0-15; high bytes count as their register. */
static u8 gpr_number(ZydisRegister r)
{
	if (ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_GPR8)
		return (u8)(dec_reg(r) / 8);
	return dec_reg(r);
}

static bool in_memory(unsigned reg)
{
	return reg >= X86_R8 && reg <= X86_R11;
}

static unsigned field_of(const ZydisDecodedOperand *o)
{
	switch (o->encoding) {
	case ZYDIS_OPERAND_ENCODING_MODRM_REG:
		return FIELD_REG;
	case ZYDIS_OPERAND_ENCODING_MODRM_RM:
		return FIELD_RM;
	case ZYDIS_OPERAND_ENCODING_NDSNDD:
		return FIELD_V;
	case ZYDIS_OPERAND_ENCODING_OPCODE:
		return FIELD_OP;
	default:
		return 0;
	}
}

static void set_field(struct tr_insn *i, unsigned field, u8 reg)
{
	if (field == FIELD_REG)
		i->reg = reg;
	else if (field == FIELD_RM)
		i->rm = reg;
	else if (field == FIELD_V)
		i->v = reg;
	else
		i->op_reg = reg;
}

/* False: a register that the generator can't replace. */
static bool use_gpr(struct tr_insn *i, const ZydisDecodedOperand *o)
{
	u8 reg = gpr_number(o->reg.value);
	unsigned field = field_of(o);
	bool whole = o->size >= 32;

	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		i->written |= (u16)BIT(reg);

	if (!field) /* implied: it must be where it is in the host too */
		return reg != X86_RSP && !in_memory(reg);
	if (is_high_byte(o->reg.value)) { /* of a register that stays: its encoding does too */
		i->high_byte = true;
	} else {
		i->gpr |= (u8)field;
		set_field(i, field, reg);
	}
	if (o->actions != ZYDIS_OPERAND_ACTION_WRITE || !whole)
		i->loads |= (u8)field;
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		i->stores |= (u8)field;
	return true;
}

/* The encoding names them, if anything does: REX doesn't reach them. */
static bool is_x87_register(ZydisRegister r)
{
	ZydisRegisterClass k = ZydisRegisterGetClass(r);

	return k == ZYDIS_REGCLASS_X87 || k == ZYDIS_REGCLASS_MMX ||
	       r == ZYDIS_REGISTER_X87CONTROL || r == ZYDIS_REGISTER_X87STATUS ||
	       r == ZYDIS_REGISTER_X87TAG;
}

static bool use_register(struct tr_insn *i, const ZydisDecodedOperand *o)
{
	ZydisRegister r = o->reg.value;

	if (is_gpr(r))
		return use_gpr(i, o);
	if (is_vector(r)) {
		unsigned field = field_of(o);

		i->fpu |= UNIT_VECTOR;
		if (field)
			set_field(i, field, (u8)ZydisRegisterGetId(r));
		return true;
	}
	if (r == ZYDIS_REGISTER_MXCSR) {
		i->fpu |= UNIT_VECTOR;
		return true;
	}
	if (is_x87_register(r))
		return true;
	return r == ZYDIS_REGISTER_RFLAGS || r == ZYDIS_REGISTER_EFLAGS ||
	       r == ZYDIS_REGISTER_FLAGS;
}

/* ---- Memory ---- */

static bool use_memory(struct dec *d, struct tr_insn *i, const ZydisDecodedOperand *o)
{
	ZydisRegister base = o->mem.base, index = o->mem.index;

	if (o->mem.type != ZYDIS_MEMOP_TYPE_MEM && o->mem.type != ZYDIS_MEMOP_TYPE_AGEN)
		return false;
	if (o->size / 8 > 64)
		return false;
	/* Into 16 bits: it reads as many (SDM vol. 2, MOVSXD), but 32 on AMD's processors. */
	if (d->z.mnemonic == ZYDIS_MNEMONIC_MOVSXD && d->z.operand_width == 16)
		return false;
	i->mem = true;
	i->size = (u8)(o->size / 8);
	i->a32 = d->z.address_width == 32;
	i->disp = o->mem.disp.has_displacement ? o->mem.disp.value : 0;
	if (is_compat(d))
		i->disp = (i32)i->disp;
	i->access = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? X86_WRITE : X86_READ;
	i->base = i->index = NO_REG;
	i->shift = 0;
	if (base == ZYDIS_REGISTER_RIP || base == ZYDIS_REGISTER_EIP) {
		i->rip_relative = true;
		i->disp += i->len;
	} else if (base != ZYDIS_REGISTER_NONE) {
		i->base = gpr_number(base);
	}
	if (index != ZYDIS_REGISTER_NONE && o->mem.scale) {
		if (!is_gpr(index))
			return false;
		i->index = gpr_number(index);
		i->shift = (u8)__builtin_ctz(o->mem.scale);
	}
	i->seg = o->mem.segment == ZYDIS_REGISTER_FS   ? X86_FS
		 : o->mem.segment == ZYDIS_REGISTER_GS ? X86_GS
						       : 0;
	if (i->seg && is_compat(d) && !tr_compat_segment(d, i))
		return false;
	return i->has_modrm && (i->disp == (i32)i->disp || !i->rip_relative);
}

static bool names_rsp(const struct tr_insn *i)
{
	return (i->gpr & FIELD_REG && i->reg == X86_RSP) || (i->gpr & FIELD_RM && i->rm == X86_RSP);
}

/* A mask keeps elements from faulting, of which a check knows nothing. */
static bool masks_memory(const struct dec *d, const struct tr_insn *i)
{
	return i->evex && i->mem && d->z.raw.evex.aaa;
}

static bool use_operands(struct dec *d, struct tr_insn *i)
{
	for (unsigned k = 0; k < d->z.operand_count; k++) {
		const ZydisDecodedOperand *o = &d->o[k];

		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && !use_register(i, o))
			return false;
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN || !use_memory(d, i, o)))
			return false;
		if (o->type == ZYDIS_OPERAND_TYPE_POINTER)
			return false;
	}
	return !masks_memory(d, i) && !(i->high_byte && names_rsp(i));
}

/* ---- Encoding ---- */

static bool set_encoding(const struct dec *d, struct tr_insn *i)
{
	const ZydisDecodedInstruction *z = &d->z;

	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	    z->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX &&
	    z->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX)
		return false;
	i->vex = z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
	i->evex = z->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
	switch (z->opcode_map) {
	case ZYDIS_OPCODE_MAP_DEFAULT:
		i->map = 0;
		break;
	case ZYDIS_OPCODE_MAP_0F:
		i->map = 1;
		break;
	case ZYDIS_OPCODE_MAP_0F38:
		i->map = 2;
		break;
	case ZYDIS_OPCODE_MAP_0F3A:
		i->map = 3;
		break;
	default:
		return false;
	}
	i->opcode = z->opcode;
	i->has_modrm = z->attributes & ZYDIS_ATTRIB_HAS_MODRM;
	i->reg = z->raw.modrm.reg;
	i->rm = z->raw.modrm.rm;
	i->op_reg = i->v = NO_REG;
	i->rex = z->attributes & ZYDIS_ATTRIB_HAS_REX;
	i->w = i->vex ? z->raw.vex.W : i->rex && z->raw.rex.W;
	if (i->vex) {
		i->l = z->raw.vex.L;
		i->prefixes = z->raw.vex.pp;
	}
	if (i->evex) {
		i->w = z->raw.evex.W;
		i->prefixes = z->raw.evex.pp;
		i->evex_last = d->bytes[z->raw.evex.offset + 3];
	}
	for (unsigned k = 0; !i->vex && !i->evex && k < z->raw.prefix_count; k++) {
		u8 p = z->raw.prefixes[k].value;

		i->prefixes |= p == 0x66   ? PFX_66
			       : p == 0xf2 ? PFX_F2
			       : p == 0xf3 ? PFX_F3
			       : p == 0xf0 ? PFX_LOCK
					   : 0;
	}
	/* Repeated or contradicting prefixes: the last of F2 and F3 counts. */
	if ((i->prefixes & (PFX_F2 | PFX_F3)) == (PFX_F2 | PFX_F3))
		return false;
	i->imm_size = (u8)((z->raw.imm[0].size + z->raw.imm[1].size) / 8);
	for (unsigned k = 0; k < i->imm_size && k < 8; k++)
		i->imm |= (u64)d->bytes[z->length - i->imm_size + k] << 8 * k;
	return i->imm_size <= 8;
}

/* ---- Flags ---- */

static u8 six(u32 f)
{
	return (u8)((f & X86_CF ? F_CF : 0) | (f & X86_PF ? F_PF : 0) | (f & X86_AF ? F_AF : 0) |
		    (f & X86_ZF ? F_ZF : 0) | (f & X86_SF ? F_SF : 0) | (f & X86_OF ? F_OF : 0));
}

/* A count of zero leaves all flags (SDM vol. 2, SAL): is it sure that there is another? */
static bool count_unknown(const struct dec *d)
{
	const ZydisDecodedInstruction *z = &d->z;
	u64 mask = d->o[0].size == 64 ? 63 : 31;

	if (z->meta.category != ZYDIS_CATEGORY_SHIFT && z->meta.category != ZYDIS_CATEGORY_ROTATE &&
	    z->mnemonic != ZYDIS_MNEMONIC_SHLD && z->mnemonic != ZYDIS_MNEMONIC_SHRD)
		return false;
	for (unsigned k = 0; k < z->operand_count; k++)
		if (d->o[k].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && (d->o[k].imm.value.u & mask))
			return false;
	return true;
}

static void set_flags(const struct dec *d, struct tr_insn *i)
{
	const ZydisAccessedFlags *f = d->z.cpu_flags;
	unsigned changes;

	if (!f)
		return;
	changes = six(f->modified | f->set_0 | f->set_1 | f->undefined);
	i->flags_read = six(f->tested);
	/* SHLX and kin are of the category and change none. */
	if (changes && count_unknown(d))
		i->flags_maybe = true;
	else
		i->flags_written = (u8)changes;
}

/* ---- Kinds ---- */

static bool plain_category(const ZydisDecodedInstruction *z)
{
	/* All of AVX-512 that dec_available() knows, but for what use_operands() refuses. */
	if (z->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
		return true;
	switch (z->meta.category) {
	case ZYDIS_CATEGORY_ADOX_ADCX:
	case ZYDIS_CATEGORY_AES:
	case ZYDIS_CATEGORY_AVX:
	case ZYDIS_CATEGORY_AVX2:
	case ZYDIS_CATEGORY_BINARY:
	case ZYDIS_CATEGORY_BITBYTE:
	case ZYDIS_CATEGORY_BMI1:
	case ZYDIS_CATEGORY_BMI2:
	case ZYDIS_CATEGORY_BROADCAST:
	case ZYDIS_CATEGORY_CMOV:
	case ZYDIS_CATEGORY_CONVERT:
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_FCMOV:
	case ZYDIS_CATEGORY_GFNI:
	case ZYDIS_CATEGORY_KMASK:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_LOGICAL_FP:
	case ZYDIS_CATEGORY_LZCNT:
	case ZYDIS_CATEGORY_MMX:
	case ZYDIS_CATEGORY_PCLMULQDQ:
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_SEMAPHORE:
	case ZYDIS_CATEGORY_SETCC:
	case ZYDIS_CATEGORY_SHA:
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_SSE:
	case ZYDIS_CATEGORY_TBM:
	case ZYDIS_CATEGORY_VAES:
	case ZYDIS_CATEGORY_VFMA:
	case ZYDIS_CATEGORY_VPCLMULQDQ:
	case ZYDIS_CATEGORY_X87_ALU:
		return true;
	default:
		return false;
	}
}

/* Exceptions to the categories, both ways. */
static bool plain_mnemonic(ZydisMnemonic m, bool by_category)
{
	switch (m) {
	case ZYDIS_MNEMONIC_CLC:
	case ZYDIS_MNEMONIC_STC:
	case ZYDIS_MNEMONIC_CMC:
	case ZYDIS_MNEMONIC_LAHF:
	case ZYDIS_MNEMONIC_SAHF:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_POPCNT:
	case ZYDIS_MNEMONIC_LZCNT:
	case ZYDIS_MNEMONIC_TZCNT:
	case ZYDIS_MNEMONIC_CRC32:
		return true;
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_STMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
	case ZYDIS_MNEMONIC_VSTMXCSR:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
	case ZYDIS_MNEMONIC_XLAT:
	case ZYDIS_MNEMONIC_RDPID:
		return false;
	/* A bit offset reaches beyond the operand. */
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return by_category;
	default:
		return by_category;
	}
}

static bool is_bit_test(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_BT || m == ZYDIS_MNEMONIC_BTS || m == ZYDIS_MNEMONIC_BTR ||
	       m == ZYDIS_MNEMONIC_BTC;
}

/* Those with a hint's address, or none. */
static bool is_nop(const ZydisDecodedInstruction *z)
{
	switch (z->meta.category) {
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_WIDENOP:
	case ZYDIS_CATEGORY_PREFETCH:
		return z->mnemonic != ZYDIS_MNEMONIC_PAUSE;
	default:
		return z->mnemonic == ZYDIS_MNEMONIC_ENDBR64 ||
		       z->mnemonic == ZYDIS_MNEMONIC_ENDBR32 || z->mnemonic == ZYDIS_MNEMONIC_NOP;
	}
}

static enum tr_kind kind_push(const struct dec *d, struct tr_insn *i)
{
	const ZydisDecodedOperand *o = &d->o[0];

	if (d->z.operand_width != word_bits(d))
		return K_ONE;
	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		i->imm = o->imm.value.u;
		return K_PUSH_IMM;
	}
	if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return use_memory((struct dec *)(uintptr_t)d, i, o) ? K_PUSH_MEM : K_ONE;
	if (o->type != ZYDIS_OPERAND_TYPE_REGISTER || !is_gpr(o->reg.value))
		return K_ONE;
	i->op_reg = gpr_number(o->reg.value);
	return K_PUSH_REG;
}

static enum tr_kind kind_pop(const struct dec *d, struct tr_insn *i)
{
	const ZydisDecodedOperand *o = &d->o[0];

	if (d->z.operand_width != word_bits(d) || o->type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    !is_gpr(o->reg.value))
		return K_ONE;
	i->op_reg = gpr_number(o->reg.value);
	return K_POP_REG;
}

/* In 32-bit code 66h leaves 16 bits of EIP. */
static bool cuts_target(const struct dec *d, const struct tr_insn *i)
{
	return is_compat(d) && i->prefixes & PFX_66;
}

static enum tr_kind kind_branch(struct dec *d, struct tr_insn *i)
{
	const ZydisDecodedOperand *o = &d->o[0];
	bool call = d->z.mnemonic == ZYDIS_MNEMONIC_CALL;

	if (d->z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || cuts_target(d, i))
		return K_END;
	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		i64 to = (i64)i->off + i->len + o->imm.value.s;

		if (to != (i32)to)
			return K_END;
		i->target = (i32)to;
		return call ? K_CALL : K_JMP;
	}
	if (d->z.operand_width != word_bits(d))
		return K_END;
	if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return !use_memory(d, i, o) ? K_END : call ? K_CALL_MEM : K_JMP_MEM;
	i->op_reg = gpr_number(o->reg.value);
	return call ? K_CALL_REG : K_JMP_REG;
}

/* Jcc keeps its condition in opcode's low bits in both of its forms. */
static enum tr_kind kind_conditional(struct dec *d, struct tr_insn *i)
{
	i64 to = (i64)i->off + i->len + d->o[0].imm.value.s;

	if (to != (i32)to || cuts_target(d, i))
		return K_END;
	i->target = (i32)to;
	i->a32 = d->z.address_width == 32; /* which counter */
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_JRCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_LOOP:
		return K_LOOP;
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
		return K_END;
	default:
		return K_JCC;
	}
}

static enum tr_kind kind_ret(const struct dec *d, struct tr_insn *i)
{
	if (d->z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || d->z.operand_width != word_bits(d))
		return K_END;
	i->imm &= 0xffff;
	return K_RET;
}

static enum tr_kind kind_lea(struct dec *d, struct tr_insn *i)
{
	const ZydisDecodedOperand *m = &d->o[1];

	if (!use_gpr(i, &d->o[0]) || !use_memory(d, i, m))
		return K_ONE;
	i->seg = 0;
	return i->rip_relative && (d->z.operand_width == 16 || i->a32) ? K_ONE : K_LEA;
}

/* After these translated code can go on: they change neither the mode nor where the code is. */
static bool goes_on(const ZydisDecodedInstruction *z)
{
	switch (z->meta.category) {
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_INVALID:
		break;
	default:
		return true;
	}
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_RDMSR:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_SWAPGS:
	case ZYDIS_MNEMONIC_WRMSR:
	case ZYDIS_MNEMONIC_INVLPG:
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_STAC:
	case ZYDIS_MNEMONIC_CLAC:
		return true;
	default:
		return false;
	}
}

static enum tr_kind other(const struct dec *d)
{
	return goes_on(&d->z) ? K_ONE : K_END;
}

/* Of FS and GS; which and whether it is written is in the ModRM byte. */
static enum tr_kind kind_base(const struct dec *d, struct tr_insn *i)
{
	i->rm = gpr_number(d->o[0].reg.value);
	return K_BASE;
}

/* MOV from a segment register to a general one. */
static bool reads_segment(const struct dec *d, struct tr_insn *i)
{
	if (d->z.mnemonic != ZYDIS_MNEMONIC_MOV || d->o[1].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    ZydisRegisterGetClass(d->o[1].reg.value) != ZYDIS_REGCLASS_SEGMENT ||
	    d->o[0].type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	i->rm = gpr_number(d->o[0].reg.value);
	i->reg = (u8)(d->o[1].reg.value - ZYDIS_REGISTER_ES);
	return true;
}

static enum tr_kind kind_string(const struct dec *d, struct tr_insn *i)
{
	bool override = d->z.attributes &
			(ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS);

	i->size = (u8)(d->o[0].size / 8);
	return override || d->z.address_width != word_bits(d) || i->prefixes & PFX_F2 ? K_ONE
										      : K_STRING;
}

/* Of vector registers the runtime keeps what SSE has, and so these can't run in between. */
static bool lost_halves(const struct tr *t, const struct tr_insn *i)
{
	return (i->vex || i->evex) && i->fpu & UNIT_VECTOR && !tr_host_has(t, TR_HOST_AVX);
}

/*
 * What Intel's processors and AMD's, which may be the host's, do differently: the former ask that
 * SHA's operands in memory are aligned, and by VREDUCE flush denormals to zero.
 */
static bool vendors_differ(const struct dec *d, const struct tr_insn *i)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_VREDUCEPD:
	case ZYDIS_MNEMONIC_VREDUCEPS:
	case ZYDIS_MNEMONIC_VREDUCESD:
	case ZYDIS_MNEMONIC_VREDUCESS:
		return true;
	default:
		return d->z.meta.category == ZYDIS_CATEGORY_SHA && i->mem;
	}
}

/* Those that only the supervisor may execute whatever IOPL says. */
static enum tr_kind supervisor(const struct dec *d, enum tr_kind kind)
{
	return d->mode & MODE_USER ? K_ONE : kind;
}

/* MOV between the accumulator and an address in the code becomes the form with ModRM. */
static void encode_absolute(struct tr_insn *i)
{
	static const u8 same[] = {0x8a, 0x8b, 0x88, 0x89};

	if (i->vex || i->evex || i->map || (i->opcode & 0xfc) != 0xa0)
		return;
	i->opcode = same[i->opcode & 3];
	i->has_modrm = true;
	i->reg = X86_RAX;
}

static enum tr_kind kind_of(struct dec *d, struct tr_insn *i)
{
	ZydisMnemonic m = d->z.mnemonic;

	encode_absolute(i);
	if (is_compat(d)) {
		if (d->z.address_width != 32 || m == ZYDIS_MNEMONIC_VZEROALL ||
		    m == ZYDIS_MNEMONIC_VZEROUPPER) /* of eight registers only */
			return other(d);
		tr_compat_encode(i);
	}
	switch (m) {
	case ZYDIS_MNEMONIC_PUSH:
		return kind_push(d, i);
	case ZYDIS_MNEMONIC_POP:
		return kind_pop(d, i);
	case ZYDIS_MNEMONIC_LEAVE:
		return d->z.operand_width == word_bits(d) ? K_LEAVE : K_ONE;
	case ZYDIS_MNEMONIC_LEA:
		return kind_lea(d, i);
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_CALL:
		return kind_branch(d, i);
	case ZYDIS_MNEMONIC_RET:
		return kind_ret(d, i);
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_PUSHFQ:
		return K_PUSHF;
	case ZYDIS_MNEMONIC_POPFQ:
		return supervisor(d, K_POPF);
	case ZYDIS_MNEMONIC_CLI:
		return supervisor(d, K_FLAG_BIT);
	case ZYDIS_MNEMONIC_CLD:
	case ZYDIS_MNEMONIC_STD:
		return K_FLAG_BIT;
	case ZYDIS_MNEMONIC_SWAPGS:
		return d->mode & MODE_USER ? K_END : K_SWAPGS;
	case ZYDIS_MNEMONIC_STI:
		return supervisor(d, K_STI);
	case ZYDIS_MNEMONIC_RDFSBASE:
	case ZYDIS_MNEMONIC_RDGSBASE:
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
		return kind_base(d, i);
	case ZYDIS_MNEMONIC_RDTSC:
		return K_RDTSC;
	case ZYDIS_MNEMONIC_RDTSCP:
		return K_RDTSCP;
	case ZYDIS_MNEMONIC_PAUSE:
		return K_PAUSE;
	case ZYDIS_MNEMONIC_CPUID:
		return is_compat(d) ? other(d) : K_CPUID;
	case ZYDIS_MNEMONIC_INVLPG:
		return use_memory(d, i, &d->o[0]) && !i->seg ? supervisor(d, K_INVLPG) : K_ONE;
	case ZYDIS_MNEMONIC_SYSCALL:
		return d->mode & MODE_USER && !is_compat(d) ? K_SYSCALL : K_END;
	case ZYDIS_MNEMONIC_SYSRET:
		return i->w && !(d->mode & MODE_USER) ? K_SYSRET : K_END;
	case ZYDIS_MNEMONIC_IRETQ:
		return d->mode & MODE_USER ? K_END : K_IRET;
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSQ:
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
		return kind_string(d, i);
	case ZYDIS_MNEMONIC_MOVSD:
		if (d->z.meta.category == ZYDIS_CATEGORY_STRINGOP)
			return kind_string(d, i);
		break;
	default:
		break;
	}
	if (reads_segment(d, i))
		return K_READ_SEGMENT;
	if (m == ZYDIS_MNEMONIC_MOV && d->o[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    d->o[1].reg.value == ZYDIS_REGISTER_CR2) {
		i->rm = gpr_number(d->o[0].reg.value);
		return supervisor(d, K_READ_CR2);
	}
	if (m == ZYDIS_MNEMONIC_MOV && d->o[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    d->o[0].reg.value == ZYDIS_REGISTER_CR3) {
		i->rm = gpr_number(d->o[1].reg.value);
		return supervisor(d, K_WRITE_CR3);
	}
	if (d->z.meta.category == ZYDIS_CATEGORY_COND_BR)
		return kind_conditional(d, i);
	if (is_nop(&d->z))
		return K_NOP;
	if (!plain_mnemonic(m, plain_category(&d->z)) || !use_operands(d, i) ||
	    !tr_x87_decode(d, tr_of(d->v), i) || lost_halves(tr_of(d->v), i) ||
	    vendors_differ(d, i))
		return other(d);
	if (is_compat(d))
		tr_compat_encoded(d, i);
	if (is_bit_test(m) && i->mem && d->o[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
		return i->size >= 4 && !(is_compat(d) ? i->seg : i->a32) ? K_BITS : K_ONE;
	return K_PLAIN;
}

/* ADD, SUB, INC and DEC of a 64-bit register, by how much? */
static void set_added(struct tr_insn *i)
{
	bool imm8 = i->opcode == 0x83, imm32 = i->opcode == 0x81;
	bool subtracts = i->reg & 1;

	if (i->kind != K_PLAIN || i->map || i->vex || !i->w || i->mem || i->prefixes)
		return;
	if ((imm8 || imm32) && (i->reg == 0 || i->reg == 5))
		i->added = imm8 ? (i8)i->imm : (i32)i->imm;
	else if (i->opcode == 0xff && i->reg < 2)
		i->added = 1;
	else
		return;
	i->adds = i->added != INT32_MIN;
	if (subtracts && i->adds)
		i->added = -i->added;
}

bool tr_decode(struct dec *d, const u8 *bytes, unsigned avail, struct tr_insn *i)
{
	ZyanStatus s = dec_bytes(d, bytes, avail < 15 ? avail : 15);
	struct op unused = {0};

	if (s == ZYDIS_STATUS_NO_MORE_DATA && avail < 15)
		return false;
	i->op_reg = i->v = i->base = i->index = NO_REG;
	d->op = &unused; /* where dec_available says which exception it would be */
	if (!ZYAN_SUCCESS(s)) {
		i->kind = K_END;
		i->len = 1;
		return true;
	}
	i->len = d->z.length;
	if (!set_encoding(d, i) || !dec_available(d)) {
		i->kind = K_END;
		return true;
	}
	set_flags(d, i);
	/* They leave the destination alone if the source is 0. */
	if (d->z.mnemonic == ZYDIS_MNEMONIC_BSF || d->z.mnemonic == ZYDIS_MNEMONIC_BSR)
		i->loads = FIELD_REG;
	i->fpu = dec_is_simd(d)
			 ? UNIT_VECTOR
			 : 0; /* conversions to integers use MXCSR, though Zydis 4.0 hides it */
	i->kind = (u8)kind_of(d, i);
	/* They take RFLAGS from elsewhere, or to elsewhere. */
	if (i->kind == K_SYSCALL || i->kind == K_SYSRET || i->kind == K_IRET)
		i->flags_read = i->flags_written = 0;
	set_added(i);
	return true;
}
