/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "forms.h"
#include "rng.h"

static const struct {
	ZydisISASet set;
	const char *feature; /* "" for what every x86-64 CPU has; or two */
} isa_sets[] = {
	{ZYDIS_ISA_SET_I86, ""},
	{ZYDIS_ISA_SET_I186, ""},
	{ZYDIS_ISA_SET_I286PROTECTED, ""},
	{ZYDIS_ISA_SET_I286REAL, ""},
	{ZYDIS_ISA_SET_I386, ""},
	{ZYDIS_ISA_SET_I486, ""},
	{ZYDIS_ISA_SET_I486REAL, ""},
	{ZYDIS_ISA_SET_PENTIUMREAL, ""},
	{ZYDIS_ISA_SET_PENTIUMMMX, "mmx"},
	{ZYDIS_ISA_SET_PPRO, ""},
	{ZYDIS_ISA_SET_LONGMODE, ""},
	{ZYDIS_ISA_SET_FAT_NOP, ""},
	{ZYDIS_ISA_SET_PAUSE, ""},
	{ZYDIS_ISA_SET_X87, "fpu"},
	{ZYDIS_ISA_SET_CMOV, "cmov"},
	{ZYDIS_ISA_SET_FCMOV, "cmov"},
	{ZYDIS_ISA_SET_LAHF, "lahf_lm"},
	{ZYDIS_ISA_SET_CMPXCHG16B, "cx16"},
	{ZYDIS_ISA_SET_CLFSH, "clflush"},
	{ZYDIS_ISA_SET_FXSAVE, "fxsr"},
	{ZYDIS_ISA_SET_FXSAVE64, "fxsr"},
	{ZYDIS_ISA_SET_SSE, "sse"},
	{ZYDIS_ISA_SET_SSEMXCSR, "sse"},
	{ZYDIS_ISA_SET_SSE_PREFETCH, "sse"},
	{ZYDIS_ISA_SET_SSE2, "sse2"},
	{ZYDIS_ISA_SET_SSE2MMX, "sse2"},
	{ZYDIS_ISA_SET_SSE3, "pni"},
	{ZYDIS_ISA_SET_SSE3X87, "pni"},
	{ZYDIS_ISA_SET_SSSE3, "ssse3"},
	{ZYDIS_ISA_SET_SSSE3MMX, "ssse3"},
	{ZYDIS_ISA_SET_SSE4, "sse4_1"},
	{ZYDIS_ISA_SET_SSE42, "sse4_2"},
	{ZYDIS_ISA_SET_POPCNT, "popcnt"},
	{ZYDIS_ISA_SET_AVX, "avx"},
	{ZYDIS_ISA_SET_AVX2, "avx2"},
	{ZYDIS_ISA_SET_AVX2GATHER, "avx2"},
	{ZYDIS_ISA_SET_FMA, "fma"},
	{ZYDIS_ISA_SET_F16C, "f16c"},
	{ZYDIS_ISA_SET_AES, "aes"},
	{ZYDIS_ISA_SET_AVXAES, "aes"},
	{ZYDIS_ISA_SET_PCLMULQDQ, "pclmulqdq"},
	{ZYDIS_ISA_SET_SHA, "sha_ni"},
	{ZYDIS_ISA_SET_BMI1, "bmi1"},
	{ZYDIS_ISA_SET_BMI2, "bmi2"},
	{ZYDIS_ISA_SET_LZCNT, "abm"},
	{ZYDIS_ISA_SET_ADOX_ADCX, "adx"},
	{ZYDIS_ISA_SET_MOVBE, "movbe"},
	{ZYDIS_ISA_SET_RDWRFSGS, "fsgsbase"},
	{ZYDIS_ISA_SET_PREFETCH_NOP, "3dnowprefetch"},
	{ZYDIS_ISA_SET_CLFLUSHOPT, "clflushopt"},
	{ZYDIS_ISA_SET_CLWB, "clwb"},
	{ZYDIS_ISA_SET_GFNI, "gfni"},
	{ZYDIS_ISA_SET_AVX_GFNI, "gfni"},
	{ZYDIS_ISA_SET_VAES, "vaes"},
	{ZYDIS_ISA_SET_VPCLMULQDQ, "vpclmulqdq"},
	{ZYDIS_ISA_SET_AVX_VNNI, "avx_vnni"},
	{ZYDIS_ISA_SET_AVX512F_128, "avx512vl"},
	{ZYDIS_ISA_SET_AVX512F_256, "avx512vl"},
	{ZYDIS_ISA_SET_AVX512F_512, "avx512f"},
	{ZYDIS_ISA_SET_AVX512F_128N, "avx512f"},
	{ZYDIS_ISA_SET_AVX512F_SCALAR, "avx512f"},
	{ZYDIS_ISA_SET_AVX512F_KOP, "avx512f"},
	{ZYDIS_ISA_SET_AVX512BW_128, "avx512bw"},
	{ZYDIS_ISA_SET_AVX512BW_256, "avx512bw"},
	{ZYDIS_ISA_SET_AVX512BW_512, "avx512bw"},
	{ZYDIS_ISA_SET_AVX512BW_128N, "avx512bw"},
	{ZYDIS_ISA_SET_AVX512BW_KOP, "avx512bw"},
	{ZYDIS_ISA_SET_AVX512CD_128, "avx512cd"},
	{ZYDIS_ISA_SET_AVX512CD_256, "avx512cd"},
	{ZYDIS_ISA_SET_AVX512CD_512, "avx512cd"},
	{ZYDIS_ISA_SET_AVX512DQ_128, "avx512dq"},
	{ZYDIS_ISA_SET_AVX512DQ_256, "avx512dq"},
	{ZYDIS_ISA_SET_AVX512DQ_512, "avx512dq"},
	{ZYDIS_ISA_SET_AVX512DQ_128N, "avx512dq"},
	{ZYDIS_ISA_SET_AVX512DQ_SCALAR, "avx512dq"},
	{ZYDIS_ISA_SET_AVX512DQ_KOP, "avx512dq"},
	{ZYDIS_ISA_SET_AVX512_GFNI_128, "avx512f+gfni"},
	{ZYDIS_ISA_SET_AVX512_GFNI_256, "avx512f+gfni"},
	{ZYDIS_ISA_SET_AVX512_GFNI_512, "avx512f+gfni"},
	{ZYDIS_ISA_SET_AVX512_VAES_128, "avx512f+vaes"},
	{ZYDIS_ISA_SET_AVX512_VAES_256, "avx512f+vaes"},
	{ZYDIS_ISA_SET_AVX512_VAES_512, "avx512f+vaes"},
	{ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_128, "avx512f+vpclmulqdq"},
	{ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_256, "avx512f+vpclmulqdq"},
	{ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_512, "avx512f+vpclmulqdq"},
};

#define HOST_DEPENDENT "its result is the machine's, not the instruction's"
#define LEAVES         "it enters the kernel or another code segment"
#define DESCRIPTOR     "it reads a descriptor table, which differs"
#define POINTERS       "it stores the x87 instruction pointer, which CPU models keep differently"
#define UMIP           "Linux emulates it under UMIP"
#define ONE_VENDOR     "vendors differ"

static const struct {
	ZydisMnemonic mnemonic;
	const char *why;
} excluded[] = {
	{ZYDIS_MNEMONIC_CPUID, HOST_DEPENDENT},
	{ZYDIS_MNEMONIC_RDTSC, HOST_DEPENDENT},
	{ZYDIS_MNEMONIC_RDPMC, HOST_DEPENDENT},
	{ZYDIS_MNEMONIC_SYSCALL, LEAVES},
	{ZYDIS_MNEMONIC_SYSENTER, LEAVES},
	{ZYDIS_MNEMONIC_INT, LEAVES},
	{ZYDIS_MNEMONIC_INT1, "Linux and #DB: a trap that a debugger may take"},
	{ZYDIS_MNEMONIC_IRET, LEAVES},
	{ZYDIS_MNEMONIC_IRETD, LEAVES},
	{ZYDIS_MNEMONIC_IRETQ, LEAVES},
	{ZYDIS_MNEMONIC_LAR, DESCRIPTOR},
	{ZYDIS_MNEMONIC_LSL, DESCRIPTOR},
	{ZYDIS_MNEMONIC_VERR, DESCRIPTOR},
	{ZYDIS_MNEMONIC_VERW, DESCRIPTOR},
	{ZYDIS_MNEMONIC_LSS, DESCRIPTOR},
	{ZYDIS_MNEMONIC_LFS, DESCRIPTOR},
	{ZYDIS_MNEMONIC_LGS, DESCRIPTOR},
	{ZYDIS_MNEMONIC_FNSTENV, POINTERS},
	{ZYDIS_MNEMONIC_FNSAVE, POINTERS},
	{ZYDIS_MNEMONIC_FXSAVE, POINTERS},
	{ZYDIS_MNEMONIC_FXSAVE64, POINTERS},
	{ZYDIS_MNEMONIC_SGDT, UMIP},
	{ZYDIS_MNEMONIC_SIDT, UMIP},
	{ZYDIS_MNEMONIC_SLDT, UMIP},
	{ZYDIS_MNEMONIC_SMSW, UMIP},
	{ZYDIS_MNEMONIC_STR, UMIP},
	{ZYDIS_MNEMONIC_XGETBV, HOST_DEPENDENT},
	{ZYDIS_MNEMONIC_SYSEXIT, LEAVES},
	{ZYDIS_MNEMONIC_SYSRET, LEAVES},
	{ZYDIS_MNEMONIC_RSM, "outside SMM only: #UD, a hand-written case covers it"},
};

static bool writes_segment(const struct decoded *d)
{
	for (unsigned i = 0; i < d->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &d->op[i];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_SEGMENT &&
		    (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			return true;
	}
	return false;
}

static bool has_all(const char *features, bool (*has)(const char *feature))
{
	const char *plus = strchr(features, '+');
	char first[32] = "";

	if (plus)
		memcpy(first, features, (size_t)(plus - features));
	return plus ? has(first) && has(plus + 1) : !features[0] || has(features);
}

static const char *why_excluded(const struct decoded *d, bool (*has)(const char *feature))
{
	const ZydisDecodedInstruction *n = &d->insn;

	if (n->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return LEAVES;
	for (size_t i = 0; i < ARRAY_LEN(excluded); i++)
		if (excluded[i].mnemonic == n->mnemonic)
			return excluded[i].why;
	if (writes_segment(d))
		return "it loads a segment register";
	if (n->mnemonic == ZYDIS_MNEMONIC_BSWAP && n->operand_width == 16)
		return "a 16-bit BSWAP is undefined";
	/* AMD truncates RIP to 16 bits, Intel ignores the prefix. */
	if (n->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE &&
	    (n->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE))
		return ONE_VENDOR;
	for (size_t i = 0; i < ARRAY_LEN(isa_sets); i++)
		if (isa_sets[i].set == n->meta.isa_set)
			return has_all(isa_sets[i].feature, has) ? NULL
								 : "the CPU lacks the feature";
	return "its instruction set is not in the table of compared ones";
}

bool forms_decode(const u8 *bytes, size_t len, struct decoded *d)
{
	return forms_decode_as(64, bytes, len, d);
}

bool forms_decode_as(unsigned bits, const u8 *bytes, size_t len, struct decoded *d)
{
	ZydisDecoder dec;

	if (bits == 64)
		ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else
		ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, bytes, len, &d->insn, d->op));
}

u64 forms_key(const struct decoded *d)
{
	u64 h = d->insn.mnemonic;

	h = rng_mix(h << 8 | (d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) << 4 |
		    !!(d->insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE)) << 1 |
		    !!(d->insn.attributes & ZYDIS_ATTRIB_HAS_REPNE));
	if (d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
		h = rng_mix(h ^ 1 << 20 ^ (u64)d->insn.raw.evex.b << 16 ^
			    (u64)(d->insn.raw.evex.aaa != 0) << 17 ^
			    (u64)d->insn.avx.vector_length);
	for (unsigned i = 0; i < d->insn.operand_count; i++) {
		const ZydisDecodedOperand *op = &d->op[i];
		u64 kind = op->type;

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER)
			kind |= (u64)ZydisRegisterGetClass(op->reg.value) << 8;
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
			kind |= (u64)op->mem.type << 8;
		h = rng_mix(h ^ (kind << 40 | (u64)op->size << 24 | (u64)op->encoding << 16 |
				 (u64)op->visibility << 8 | op->actions));
	}
	return h;
}

static int add_form(struct forms *f, const struct form *form)
{
	if (f->count == f->cap) {
		u32 cap = f->cap ? f->cap * 2 : 1024;
		struct form *all = realloc(f->all, cap * sizeof(*all));

		if (!all)
			return -ENOMEM;
		f->all = all;
		f->cap = cap;
	}
	f->all[f->count++] = *form;
	return 0;
}

const u8 forms_pp[4] = {0, 0x66, 0xf3, 0xf2};

unsigned forms_put_vex(const struct form *t, u8 rex, u8 vvvv, u8 *b)
{
	b[0] = 0xc4;
	b[1] = (u8)((rex ^ 7) << 5) | t->map;
	b[2] = (u8)(t->w << 7 | vvvv | t->l << 2 | t->pp);
	return 3;
}

unsigned forms_put_map(const struct form *t, u8 *b)
{
	unsigned n = 0;

	if (t->map)
		b[n++] = 0x0f;
	if (t->map > 1)
		b[n++] = t->map == 2 ? 0x38 : 0x3a;
	return n;
}

static size_t encode(const struct form *t, u8 *b)
{
	size_t n = 0;

	if (t->evex) {
		b[n++] = 0x62;
		b[n++] = 0xf0 | t->map;
		b[n++] = (u8)(t->w << 7 | 0x7c | t->pp);
		b[n++] = (u8)(t->l << 5 | t->b << 4 | 8 | t->masked);
	} else if (t->vex) {
		n += forms_put_vex(t, 0, 0x78, b);
	} else {
		if (t->pp)
			b[n++] = forms_pp[t->pp];
		if (t->w)
			b[n++] = 0x48;
		n += forms_put_map(t, b + n);
	}
	b[n++] = t->opcode;
	/* Memory through RSI; where VSIB needs an index byte, the zeros that follow are one. */
	b[n++] = (u8)(t->mem ? t->reg << 3 | t->rm : 0xc0 | t->reg << 3 | t->rm);
	memset(b + n, 0, 12);
	return n + 12;
}

static bool prefix_or_escape(u8 op, unsigned bits)
{
	/* In 32-bit code these are instructions too. */
	if ((op & 0xf0) == 0x40 || op == 0xc4 || op == 0xc5 || op == 0x62)
		return bits == 64;
	return (op >= 0x64 && op <= 0x67) || (op & 0xe7) == 0x26 || op == 0x0f || op == 0xf0 ||
	       op == 0xf2 || op == 0xf3;
}

/* What leads from the two-byte map to the three-byte ones, which are tried by themselves. */
static bool escape_of_map(u8 map, u8 op)
{
	return map == 1 && (op == 0x38 || op == 0x3a);
}

/* Keys that were seen: open addressing, never deleted from. */
struct keys {
	u64 slot[1 << 16];
};

static bool first_time(struct keys *k, u64 key)
{
	u32 i = (u32)key & (ARRAY_LEN(k->slot) - 1);

	for (; k->slot[i]; i = (i + 1) & (ARRAY_LEN(k->slot) - 1))
		if (k->slot[i] == key)
			return false;
	k->slot[i] = key;
	return true;
}

static int try_form(struct forms *f, struct form *t, struct keys *seen,
		    bool (*has)(const char *feature))
{
	struct decoded d;
	u8 bytes[24];
	size_t n = encode(t, bytes);

	if (!forms_decode_as(t->bits, bytes, n, &d) ||
	    (d.insn.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) != t->vex ||
	    (d.insn.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) != t->evex)
		return 0;
	t->key = forms_key(&d);
	if (!first_time(seen, t->key))
		return 0;
	t->mnemonic = d.insn.mnemonic;
	t->excluded = why_excluded(&d, has);
	return add_form(f, t);
}

/* All ModRM bytes that can matter: eight groups, in memory or with each register number. */
static int try_opcode(struct forms *f, struct form *t, struct keys *seen,
		      bool (*has)(const char *feature))
{
	for (t->reg = 0; t->reg < 8; t->reg++) {
		int ret;

		t->mem = true;
		t->rm = t->vex && t->map == 2 && (t->opcode & 0xfc) == 0x90 ? 4 : 6;
		ret = try_form(f, t, seen, has);
		t->mem = false;
		for (t->rm = 0; !ret && t->rm < 8; t->rm++)
			ret = try_form(f, t, seen, has);
		if (ret)
			return ret;
	}
	return 0;
}

static int try_all(struct forms *f, struct keys *seen, unsigned bits,
		   bool (*has)(const char *feature))
{
	for (unsigned i = 0; i < 2 * 4 * 4 * 2; i++) {
		struct form t = {.vex = i & 1,
				 .map = i >> 1 & 3,
				 .pp = i >> 3 & 3,
				 .w = i >> 5 & 1,
				 .bits = (u8)bits};

		for (unsigned l = 0; l < (t.vex ? 2u : 1u); l++) {
			if (t.vex ? !t.map : t.w && bits == 32)
				break;
			t.l = l;
			for (unsigned op = 0; op < 256; op++) {
				int ret;

				if (!t.vex && (t.map ? escape_of_map(t.map, (u8)op)
						     : prefix_or_escape((u8)op, bits)))
					continue;
				t.opcode = (u8)op;
				ret = try_opcode(f, &t, seen, has);
				if (ret)
					return ret;
			}
		}
	}
	return 0;
}

/* Groups in ModRM are those of shifts by an immediate. */
static int try_evex_opcode(struct forms *f, struct form *t, struct keys *seen,
			   bool (*has)(const char *feature))
{
	bool group = t->map == 1 && t->opcode >= 0x71 && t->opcode <= 0x73;
	bool vsib = t->map == 2 && ((t->opcode & 0xfc) == 0x90 || (t->opcode & 0xfc) == 0xa0);
	int ret = 0;

	for (t->reg = group ? 0 : 1; !ret && t->reg < (group ? 8 : 2); t->reg++) {
		t->mem = true;
		t->rm = vsib ? 4 : 6;
		ret = try_form(f, t, seen, has);
		t->mem = false;
		t->rm = 2;
		if (!ret)
			ret = try_form(f, t, seen, has);
	}
	return ret;
}

static int try_evex(struct forms *f, struct keys *seen, unsigned bits,
		    bool (*has)(const char *feature))
{
	for (unsigned i = 0; i < 3 * 4 * 2 * 4 * 2 * 2; i++) {
		struct form t = {.evex = true,
				 .masked = i & 1,
				 .b = i >> 1 & 1,
				 .w = i >> 2 & 1,
				 .l = i >> 3 & 3,
				 .pp = i >> 5 & 3,
				 .map = (u8)(1 + (i >> 7)),
				 .bits = (u8)bits};

		for (unsigned op = 0; op < 256; op++) {
			int ret;

			t.opcode = (u8)op;
			ret = try_evex_opcode(f, &t, seen, has);
			if (ret)
				return ret;
		}
	}
	return 0;
}

int forms_create(struct forms *f, unsigned bits, bool (*has)(const char *feature))
{
	struct keys *seen = calloc(1, sizeof(*seen));
	int ret = seen ? 0 : -ENOMEM;

	memset(f, 0, sizeof(*f));
	if (!ret)
		ret = try_all(f, seen, bits, has);
	if (!ret && has("avx512f"))
		ret = try_evex(f, seen, bits, has);
	free(seen);
	if (!ret)
		f->taking_part = calloc(f->count, sizeof(*f->taking_part));
	if (ret || !f->taking_part) {
		forms_destroy(f);
		return -ENOMEM;
	}
	for (u32 i = 0; i < f->count; i++)
		if (!f->all[i].excluded)
			f->taking_part[f->ntaking_part++] = i;
	return 0;
}

void forms_keep(struct forms *f, bool (*wanted)(const struct form *t))
{
	u32 n = 0;

	for (u32 i = 0; i < f->ntaking_part; i++)
		if (wanted(&f->all[f->taking_part[i]]))
			f->taking_part[n++] = f->taking_part[i];
	f->ntaking_part = n;
}

void forms_destroy(struct forms *f)
{
	free(f->all);
	free(f->taking_part);
	memset(f, 0, sizeof(*f));
}
