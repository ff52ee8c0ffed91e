/* SPDX-License-Identifier: BSD-2-Clause */
#include "undefined.h"

enum { ALL = X86_ARITH };

/*
 * What the decoder's table says holds for all counts and operands at once; these rows say it for
 * the instructions where it depends (SDM vol. 2, "Flags Affected").
 */
enum rule { BY_COUNT, ROTATE, DOUBLE_SHIFT, FIXED };

static const struct {
	ZydisMnemonic mnemonic;
	enum rule rule;
	u32 flags; /* for FIXED */
} rules[] = {
	{ZYDIS_MNEMONIC_SHL, BY_COUNT, 0},
	{ZYDIS_MNEMONIC_SHR, BY_COUNT, 0},
	{ZYDIS_MNEMONIC_SAR, BY_COUNT, 0},
	{ZYDIS_MNEMONIC_ROL, ROTATE, 0},
	{ZYDIS_MNEMONIC_ROR, ROTATE, 0},
	{ZYDIS_MNEMONIC_RCL, ROTATE, 0},
	{ZYDIS_MNEMONIC_RCR, ROTATE, 0},
	{ZYDIS_MNEMONIC_SHLD, DOUBLE_SHIFT, 0},
	{ZYDIS_MNEMONIC_SHRD, DOUBLE_SHIFT, 0},
	{ZYDIS_MNEMONIC_AND, FIXED, X86_AF},
	{ZYDIS_MNEMONIC_OR, FIXED, X86_AF},
	{ZYDIS_MNEMONIC_XOR, FIXED, X86_AF},
	{ZYDIS_MNEMONIC_TEST, FIXED, X86_AF},
	{ZYDIS_MNEMONIC_ANDN, FIXED, X86_AF | X86_PF},
	{ZYDIS_MNEMONIC_BLSI, FIXED, X86_AF | X86_PF},
	{ZYDIS_MNEMONIC_BLSR, FIXED, X86_AF | X86_PF},
	{ZYDIS_MNEMONIC_BLSMSK, FIXED, X86_AF | X86_PF},
	{ZYDIS_MNEMONIC_BZHI, FIXED, X86_AF | X86_PF},
	{ZYDIS_MNEMONIC_BEXTR, FIXED, X86_AF | X86_PF | X86_SF},
	{ZYDIS_MNEMONIC_MUL, FIXED, X86_SF | X86_ZF | X86_AF | X86_PF},
	{ZYDIS_MNEMONIC_IMUL, FIXED, X86_SF | X86_ZF | X86_AF | X86_PF},
	{ZYDIS_MNEMONIC_DIV, FIXED, ALL},
	{ZYDIS_MNEMONIC_IDIV, FIXED, ALL},
	{ZYDIS_MNEMONIC_BSF, FIXED, ALL & ~X86_ZF},
	{ZYDIS_MNEMONIC_BSR, FIXED, ALL & ~X86_ZF},
	{ZYDIS_MNEMONIC_TZCNT, FIXED, ALL & ~(X86_ZF | X86_CF)},
	{ZYDIS_MNEMONIC_LZCNT, FIXED, ALL & ~(X86_ZF | X86_CF)},
	{ZYDIS_MNEMONIC_BT, FIXED, X86_OF | X86_SF | X86_AF | X86_PF},
	{ZYDIS_MNEMONIC_BTS, FIXED, X86_OF | X86_SF | X86_AF | X86_PF},
	{ZYDIS_MNEMONIC_BTR, FIXED, X86_OF | X86_SF | X86_AF | X86_PF},
	{ZYDIS_MNEMONIC_BTC, FIXED, X86_OF | X86_SF | X86_AF | X86_PF},
};

/* The count of a shift when the instruction itself tells it, masked as the CPU does, or -1. */
static int known_count(const struct decoded *d)
{
	const ZydisDecodedOperand *count = &d->op[0];

	for (unsigned i = 0; i < d->insn.operand_count; i++)
		if (d->op[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			count = &d->op[i];
	if (count->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return (int)(count->imm.value.u & (d->op[0].size == 64 ? 63 : 31));
	return -1;
}

static u32 after_shift(const struct decoded *d, enum rule rule)
{
	int count = known_count(d);
	bool left_or_right = d->insn.mnemonic != ZYDIS_MNEMONIC_SAR;
	u32 flags = rule == ROTATE ? 0 : X86_AF;

	if (count == 0)
		return 0;
	if (count != 1)
		flags |= X86_OF;
	if (rule == BY_COUNT && left_or_right && d->op[0].size < 32 &&
	    (count < 0 || count >= d->op[0].size))
		flags |= X86_CF;
	if (rule == DOUBLE_SHIFT && d->op[0].size == 16 && (count < 0 || count > 16))
		flags |= ALL;
	return flags;
}

u32 undefined_after(const struct decoded *d)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].mnemonic == d->insn.mnemonic)
			return rules[i].rule == FIXED ? rules[i].flags
						      : after_shift(d, rules[i].rule);
	return d->insn.cpu_flags ? d->insn.cpu_flags->undefined & ALL : 0;
}

u32 undefined_defined(const struct decoded *d)
{
	const ZydisAccessedFlags *f = d->insn.cpu_flags;
	bool by_count = known_count(d) < 0 && (d->insn.meta.category == ZYDIS_CATEGORY_SHIFT ||
					       d->insn.meta.category == ZYDIS_CATEGORY_ROTATE);

	if (!f || by_count || known_count(d) == 0 ||
	    (d->insn.attributes &
	     (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)))
		return 0;
	return (f->modified | f->set_0 | f->set_1) & ~f->undefined & ALL;
}

u32 undefined_read(const struct decoded *d)
{
	if (d->insn.mnemonic == ZYDIS_MNEMONIC_PUSHF || d->insn.mnemonic == ZYDIS_MNEMONIC_PUSHFD ||
	    d->insn.mnemonic == ZYDIS_MNEMONIC_PUSHFQ)
		return ALL;
	if (d->insn.mnemonic == ZYDIS_MNEMONIC_LAHF)
		return ALL & ~X86_OF;
	return d->insn.cpu_flags ? d->insn.cpu_flags->tested & ALL : 0;
}

bool undefined_result(const struct decoded *d, u8 cl)
{
	const ZydisDecodedOperand *count = &d->op[2];

	if (d->insn.mnemonic != ZYDIS_MNEMONIC_SHLD && d->insn.mnemonic != ZYDIS_MNEMONIC_SHRD)
		return false;
	if (count->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		cl = (u8)count->imm.value.u;
	return d->op[0].size == 16 && (cl & 31) > 16;
}

bool undefined_fault(const struct decoded *d)
{
	static const ZydisMnemonic parts[] = {
		ZYDIS_MNEMONIC_MASKMOVQ,   ZYDIS_MNEMONIC_MASKMOVDQU, ZYDIS_MNEMONIC_VMASKMOVDQU,
		ZYDIS_MNEMONIC_VMASKMOVPS, ZYDIS_MNEMONIC_VMASKMOVPD, ZYDIS_MNEMONIC_VPMASKMOVD,
		ZYDIS_MNEMONIC_VPMASKMOVQ, ZYDIS_MNEMONIC_VCVTPH2PS,  ZYDIS_MNEMONIC_VCVTPS2PH,
		ZYDIS_MNEMONIC_FLDENV,     ZYDIS_MNEMONIC_FRSTOR,     ZYDIS_MNEMONIC_FXRSTOR,
		ZYDIS_MNEMONIC_FXRSTOR64,  ZYDIS_MNEMONIC_FBSTP,
	};

	if (d->insn.mnemonic == ZYDIS_MNEMONIC_FSTP && d->op[0].size == 80)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (parts[i] == d->insn.mnemonic)
			return true;
	if (d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && d->insn.raw.evex.aaa &&
	    d->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
		return true;
	/* How much of the upper half is cleared before a masked gather's fault. */
	return d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX &&
	       (d->insn.meta.category == ZYDIS_CATEGORY_GATHER ||
		d->insn.meta.category == ZYDIS_CATEGORY_AVX2GATHER);
}

struct undefined undefined_in(const struct isa_case *c, u64 fault_rip)
{
	struct undefined u = {0};
	bool straight = true;
	struct decoded d;

	for (size_t off = 0; off < c->len && forms_decode(c->code + off, c->len - off, &d);
	     off += d.insn.length) {
		if (u.flags & undefined_read(&d))
			u.read = true;
		if (d.insn.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
			straight = false;
		if (fault_rip && c->in.rip + off == fault_rip)
			straight = false;
		/* Where a branch may have skipped it, an instruction defines nothing for sure. */
		if (straight)
			u.flags &= ~undefined_defined(&d);
		u.flags |= undefined_after(&d);
		u.fault |= undefined_fault(&d);
	}
	return u;
}
