/* SPDX-License-Identifier: BSD-2-Clause */
#include "vendor.h"

#include "forms.h"
#include "silicon.h"

/* ---- Other instructions ------------------------------------------------------------------------
 */

static bool is_branch(const struct decoded *d)
{
	return d->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR ||
	       d->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_SHORT;
}

static bool has_prefix(const struct decoded *d, u8 prefix)
{
	for (unsigned i = 0; i < d->insn.raw.prefix_count; i++)
		if (d->insn.raw.prefixes[i].value == prefix)
			return true;
	return false;
}

static bool reads_rsp(const struct decoded *d)
{
	for (unsigned i = 0; i < d->insn.operand_count_visible; i++)
		if (d->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (d->op[i].reg.value == ZYDIS_REGISTER_RSP ||
		     d->op[i].reg.value == ZYDIS_REGISTER_ESP))
			return true;
	return false;
}

/* Where EVEX.X is set, which says nothing of a general register, Zen 4 may take RSP before a CALL.
 */
static bool takes_old_rsp(const struct decoded *d)
{
	return d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && reads_rsp(d);
}

static bool is_another(const struct decoded *d)
{
	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_PAUSE: /* NOP with a prefix, and so with REX.B XCHG of R8 and RAX */
		return d->insn.raw.rex.B;
	case ZYDIS_MNEMONIC_LOOPE: /* REP and REPNE say what it loops by */
	case ZYDIS_MNEMONIC_LOOPNE:
		return has_prefix(d, 0xf2) || has_prefix(d, 0xf3) || has_prefix(d, 0x66);
	case ZYDIS_MNEMONIC_MOVSXD: /* reads 32 bits even then */
		return has_prefix(d, 0x66);
	case ZYDIS_MNEMONIC_VREDUCEPD: /* nothing is flushed to zero, nor inexact */
	case ZYDIS_MNEMONIC_VREDUCEPS:
	case ZYDIS_MNEMONIC_VREDUCESD:
	case ZYDIS_MNEMONIC_VREDUCESS:
		return true;
	default: /* an operand size of 16 bits cuts the target */
		return takes_old_rsp(d) || (is_branch(d) && has_prefix(d, 0x66));
	}
}

static bool has_another(const struct isa_case *c)
{
	struct decoded d;

	for (size_t off = 0; off < c->len && forms_decode(c->code + off, c->len - off, &d);
	     off += d.insn.length)
		if (is_another(&d))
			return true;
	return false;
}

/* ---- Other exceptions --------------------------------------------------------------------------
 */

static bool is_call(const struct decoded *d)
{
	return d->insn.meta.category == ZYDIS_CATEGORY_CALL;
}

/* PREFETCHW and its neighbours. */
static bool is_prefetch_of_register(const struct decoded *d)
{
	return d->insn.opcode_map == ZYDIS_OPCODE_MAP_0F && d->insn.opcode == 0x0d &&
	       d->insn.raw.modrm.mod == 3;
}

static bool is_sha(const struct decoded *d)
{
	return d->insn.meta.category == ZYDIS_CATEGORY_SHA;
}

static bool is_half_store(const struct decoded *d)
{
	return d->insn.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH;
}

static bool is_vector_access(const struct decoded *d)
{
	for (unsigned i = 0; i < d->insn.operand_count_visible; i++)
		if (d->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY && d->op[i].size > 64)
			return true;
	return false;
}

static bool is_masked(const struct decoded *d)
{
	return d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && d->insn.raw.evex.aaa;
}

static bool is_string_search(const struct decoded *d)
{
	return d->insn.meta.category == ZYDIS_CATEGORY_STRINGOP &&
	       (has_prefix(d, 0xf2) || has_prefix(d, 0xf3));
}

static bool is_x87_store(const struct decoded *d)
{
	return d->insn.meta.category == ZYDIS_CATEGORY_X87_ALU &&
	       d->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
	       d->op[0].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
}

static bool is_mmx(const struct decoded *d)
{
	for (unsigned i = 0; i < d->insn.operand_count; i++)
		if (d->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(d->op[i].reg.value) == ZYDIS_REGCLASS_MMX)
			return true;
	return false;
}

static bool loads_mxcsr(const struct decoded *d)
{
	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
		return true;
	default:
		return false;
	}
}

/* ACCESS: what an access to memory can raise. */
enum { ANY = 256, ACCESS };

static const struct {
	bool (*is)(const struct decoded *d);
	int host, engine; /* vectors that the instruction ends in */
} rules[] = {
	{is_call, X86_GP, X86_GP},              /* to what is not canonical: nothing is stored */
	{is_prefetch_of_register, X86_UD, ANY}, /* reserved, not a NOP */
	{loads_mxcsr, ANY, X86_GP},             /* bit 17, which masks faults of alignment */
	{is_sha, ANY, X86_GP},                  /* operands need no alignment */
	{is_vector_access, X86_AC_, ANY},       /* of all that is not aligned */
	{is_masked, ANY, X86_AC_},              /* of no element that is masked out */
	{is_half_store, ACCESS, X86_XM},        /* the store goes first */
	{is_x87_store, ACCESS, ANY},            /* the same */
	{is_string_search, ACCESS, ACCESS},     /* RDI's first; flags are of the last comparison */
	{is_mmx, ACCESS, ACCESS},               /* the x87 state is left alone */
};

static bool is_vector(int vector, int rule)
{
	if (rule == ACCESS)
		return vector == X86_SSF || vector == X86_GP || vector == X86_PFV ||
		       vector == X86_AC_;
	return vector == rule;
}

static bool ends_as(const struct case_outcome *o, u64 rip, int rule)
{
	return rule == ANY || (o->out.rip == rip && is_vector(o->fault.vector, rule));
}

static bool differs_at(const struct isa_case *c, u64 rip, const struct case_outcome *host,
		       const struct case_outcome *other)
{
	u64 off = rip - c->in.rip;
	struct decoded d;

	if (off >= c->len || !forms_decode(c->code + off, c->len - off, &d))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].is(&d) && ends_as(host, rip, rules[i].host) &&
		    ends_as(other, rip, rules[i].engine))
			return true;
	return false;
}

bool vendor_differs(const struct isa_case *c, const struct case_outcome *host,
		    const struct case_outcome *other)
{
	if (silicon_is_intel())
		return false;
	if (has_another(c))
		return true;
	return other->end == CASE_FAULT && (differs_at(c, host->out.rip, host, other) ||
					    differs_at(c, other->out.rip, host, other));
}
