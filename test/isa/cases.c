/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "cases.h"

/*
 * What goes wrong in emulators: each case is its instructions' bytes and the few registers that
 * matter. All start from common_state below, with RSP at CASE_DATA + 0x800.
 */
struct set {
	i8 reg; /* enum x86_gpr, or one of these; SET_END ends the list */
	u64 val;
};

enum { SET_END = 0, SET_GPR = 1, SET_FLAGS = 32, SET_MXCSR, SET_FCW, SET_AT };

#define R(reg) (SET_GPR + X86_##reg)
#define D(off) (CASE_DATA + (off))

struct written {
	const char *name;
	u8 len;
	const char *code;
	const char *needs; /* a feature that not all machines have, or NULL */
	struct set set[8];
};

#define CODE(bytes)               sizeof(bytes) - 1, bytes, NULL
#define CODE_WITH(feature, bytes) sizeof(bytes) - 1, bytes, feature

static const struct written written[] = {
	{"bt mem, reg: negative offset",
	 CODE("\x48\x0f\xab\x06"),
	 {{R(RSI), D(0x1000)}, {R(RAX), -77ull}}},
	{"bt mem, r16: negative offset",
	 CODE("\x66\x0f\xbb\x06"),
	 {{R(RSI), D(0x1000)}, {R(RAX), 0x8001}}},
	{"btr mem, reg: into the guard",
	 CODE("\x48\x0f\xb3\x06"),
	 {{R(RSI), D(0)}, {R(RAX), -1ull}}},
	{"67h truncates the address",
	 CODE("\x67\x48\x8b\x46\x08"),
	 {{R(RSI), D(0x100) | 0xabcd00000000}}},
	{"67h wraps at 4 GB",
	 CODE("\x67\x8b\x44\x0e\x10"),
	 {{R(RSI), 0xfffffff0}, {R(RCX), D(0x200)}}},
	{"67h lea", CODE("\x67\x48\x8d\x44\x0e\x10"), {{R(RSI), -16ull}, {R(RCX), 0x12345678}}},
	{"push rsp", CODE("\x54"), {{0}}},
	{"pop rsp", CODE("\x5c"), {{0}}},
	{"pop [rsp+8]", CODE("\x8f\x44\x24\x08"), {{0}}},
	{"push [rsp+8]", CODE("\xff\x74\x24\x08"), {{0}}},
	{"push r16 and pop r16", CODE("\x66\x50\x66\x5b"), {{R(RAX), 0x1122334455667788}}},
	{"push to the guard", CODE("\x50"), {{R(RSP), D(0)}}},
	{"push to the read-only page", CODE("\x50"), {{R(RSP), CASE_RO + 8}}},
	{"call [rsp+8]", CODE("\xff\x54\x24\x08"), {{0}}},
	{"call with no stack", CODE("\xe8\x00\x00\x00\x00"), {{R(RSP), D(4)}}},
	{"ret 16", CODE("\x68\x00\x01\x01\x10\xc2\x10\x00"), {{0}}},
	{"cmov reads when false", CODE("\x48\x0f\x44\x06"), {{R(RSI), D(-8)}}},
	{"32-bit cmov zero-extends when false", CODE("\x0f\x44\xc3"), {{R(RAX), -1ull}}},
	{"cmpxchg needs the write right", CODE("\x0f\xb1\x0e"), {{R(RSI), CASE_RO}}},
	{"32-bit cmpxchg, unequal",
	 CODE("\x0f\xb1\xcb"),
	 {{R(RAX), -1ull}, {R(RBX), 5ull << 32 | 7}}},
	{"32-bit cmpxchg, equal",
	 CODE("\x0f\xb1\xcb"),
	 {{R(RAX), 7}, {R(RBX), 5ull << 32 | 7}, {R(RCX), -2ull}}},
	{"cmpxchg16b misaligned", CODE("\x48\x0f\xc7\x0e"), {{R(RSI), D(8)}}},
	{"cmpxchg16b", CODE("\xf0\x48\x0f\xc7\x0e"), {{R(RSI), D(16)}}},
	{"xchg with memory", CODE("\x87\x06"), {{R(RSI), D(32)}, {R(RAX), -1ull}}},
	{"xchg with the read-only page", CODE("\x48\x87\x06"), {{R(RSI), CASE_RO}}},
	{"xadd with itself", CODE("\x48\x0f\xc1\xc0"), {{R(RAX), BIT(63)}}},
	{"high-byte registers",
	 CODE("\x00\xfc\x40\x00\xfc\x86\xe0"),
	 {{R(RAX), 0x1234}, {R(RBX), 0xff80}}},
	{"32-bit shift by 0 zero-extends",
	 CODE("\xd3\xe0"),
	 {{R(RAX), -1ull}, {R(RCX), 32}, {SET_FLAGS, X86_ARITH}}},
	{"movsxd forms", CODE("\x48\x63\xc3\x63\xcb\x66\x63\xd3"), {{R(RBX), 0x80000000}}},
	{"movsx from a high byte", CODE("\x0f\xbe\xc7\x66\x0f\xb6\xcf"), {{R(RBX), 0x80ff}}},
	{"rep movsb, rcx 0", CODE("\xf3\xa4"), {{R(RSI), 0}, {R(RDI), 0}}},
	{"rep cmpsb, rcx 0", CODE("\xf3\xa6"), {{SET_FLAGS, X86_ZF | X86_CF}}},
	{"rep movsb, overlapping",
	 CODE("\xf3\xa4"),
	 {{R(RSI), D(0)}, {R(RDI), D(1)}, {R(RCX), 300}}},
	{"rep movsq, overlapping, down",
	 CODE("\xf3\x48\xa5"),
	 {{R(RSI), D(0x400)}, {R(RDI), D(0x3fc)}, {R(RCX), 40}, {SET_FLAGS, X86_DF}}},
	{"rep movsd into the guard",
	 CODE("\xf3\xa5"),
	 {{R(RSI), D(0x100)}, {R(RDI), D(0x1fc2)}, {R(RCX), 100}}},
	{"rep stosb down into the guard",
	 CODE("\xf3\xaa"),
	 {{R(RDI), D(20)}, {R(RCX), 100}, {SET_FLAGS, X86_DF}}},
	{"67h rep stosb",
	 CODE("\x67\xf3\xaa"),
	 {{R(RDI), D(20) | 7ull << 32}, {R(RCX), 5ull << 32 | 9}}},
	{"repne scasw", CODE("\x66\xf2\xaf"), {{R(RDI), D(20)}, {R(RCX), 90}, {R(RAX), 0xffff}}},
	{"repe cmpsq", CODE("\xf3\x48\xa7"), {{R(RDI), D(64)}, {R(RSI), D(64)}, {R(RCX), 50}}},
	{"stosq across the end of the lower half",
	 CODE("\x48\xab"),
	 {{R(RDI), BIT(47) - 7}, {R(RAX), 1}}},
	{"rep stosd across the end of the lower half",
	 CODE("\xf3\xab"),
	 {{R(RDI), BIT(47) - 2}, {R(RCX), 4}}},
	{"movsw across the end of the lower half",
	 CODE("\x66\xa5"),
	 {{R(RDI), BIT(47) - 1}, {R(RSI), D(0)}}},
	{"div by zero", CODE("\x48\xf7\xf3"), {{R(RAX), 1}}},
	{"div overflows", CODE("\x48\xf7\xf3"), {{R(RDX), 3}, {R(RBX), 3}}},
	{"idiv of the least number by -1",
	 CODE("\x48\xf7\xfb"),
	 {{R(RAX), BIT(63)}, {R(RDX), -1ull}, {R(RBX), -1ull}}},
	{"idiv r8 at its limit", CODE("\xf6\xfb"), {{R(RAX), 0xff80}, {R(RBX), 1}}},
	{"idiv r8 past its limit", CODE("\xf6\xfb"), {{R(RAX), 0xff7f}, {R(RBX), 1}}},
	{"shld by more than 32",
	 CODE("\x0f\xa5\xd8"),
	 {{R(RAX), 0xdeadbeef}, {R(RBX), 0x12345678}, {R(RCX), 0x2f}}},
	{"shrd r64 by 63", CODE("\x48\x0f\xac\xd8\x3f"), {{R(RAX), -2ull}, {R(RBX), 0x12345678}}},
	{"rcl r8 by 9", CODE("\xc0\xd0\x09"), {{R(RAX), 0xa5}, {SET_FLAGS, X86_CF}}},
	{"rcr r8 by 31", CODE("\xc0\xd8\x1f"), {{R(RAX), 0xa5}, {SET_FLAGS, X86_CF}}},
	{"rcr r16 by 17", CODE("\x66\xc1\xd8\x11"), {{R(RAX), 0x8001}}},
	{"rol r8 by 8", CODE("\xc0\xc0\x08"), {{R(RAX), 0x81}}},
	{"lahf", CODE("\x9f"), {{SET_FLAGS, X86_ARITH}}},
	{"sahf", CODE("\x9e"), {{R(RAX), 0xff00}}},
	{"pushf shows user-mode flags", CODE("\x9c\x58"), {{SET_FLAGS, X86_ARITH | X86_DF}}},
	{"popf can't clear IF nor set IOPL", CODE("\x68\xd5\x3c\x00\x00\x9d\x9c\x58"), {{0}}},
	{"popf sets ID", CODE("\x68\x00\x00\x20\x00\x9d\x9c\x58"), {{0}}},
	{"popfw", CODE("\x66\x68\xd5\x0c\x66\x9d"), {{0}}},
	{"enter, nested", CODE("\xc8\x20\x00\x03"), {{R(RBP), D(0x900)}}},
	{"enter into the guard", CODE("\xc8\x00\x10\x00"), {{R(RBP), D(0x900)}}},
	{"leave", CODE("\xc9"), {{R(RBP), D(0x300)}}},
	{"lock on a register", CODE("\xf0\x01\xc0"), {{0}}},
	{"lock mov", CODE("\xf0\x89\x06"), {{R(RSI), D(0)}}},
	{"fifteen bytes",
	 CODE("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90"),
	 {{0}}},
	{"sixteen bytes",
	 CODE("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90"),
	 {{0}}},
	{"movaps misaligned", CODE("\x0f\x28\x06"), {{R(RSI), D(8)}}},
	{"movaps misaligned and unmapped", CODE("\x0f\x28\x06"), {{R(RSI), D(-8)}}},
	{"non-canonical through rsi", CODE("\x8b\x06"), {{R(RSI), BIT(62)}}},
	{"non-canonical through rbp", CODE("\x8b\x45\x00"), {{R(RBP), BIT(62)}}},
	{"non-canonical push", CODE("\x50"), {{R(RSP), BIT(62)}}},
	{"non-canonical through rsp, gs", CODE("\x65\x8b\x04\x24"), {{R(RSP), BIT(62)}}},
	{"store crossing into read-only", CODE("\x48\x89\x06"), {{R(RSI), CASE_RO - 3}}},
	{"store crossing into the guard", CODE("\x48\x89\x06"), {{R(RSI), CASE_RO + 0xffd}}},
	{"store crossing from the guard", CODE("\x48\x89\x06"), {{R(RSI), D(-3)}}},
	{"add crossing into read-only", CODE("\x48\x01\x06"), {{R(RSI), CASE_RO - 3}}},
	{"vmovups crossing into read-only", CODE("\xc5\xfc\x11\x06"), {{R(RSI), CASE_RO - 3}}},
	{"store to the next instruction",
	 CODE("\xc7\x05\x00\x00\x00\x00\xff\xc0\x90\x90\x90\x90\x90\x90"),
	 {{R(RAX), 1}}},
	{"execute data", CODE("\xff\xe6"), {{R(RSI), D(0x10)}}},
	{"call by an operand that its return address is stored to",
	 CODE("\x48\x89\x07\xff\x17"),
	 {{R(RSP), D(0x808)}, {R(RDI), D(0x800)}, {R(RAX), BIT(62)}}},
	{"accesses by RSP from 2^62 on",
	 CODE("\x48\xff\x4c\x24\x09\x5e\x0f\x49\x6c\x24\xef"),
	 {{R(RSP), BIT(62) - 9}}},
	{"call to a non-canonical address", CODE("\xff\xd6"), {{R(RSI), BIT(62)}}},
	{"jump to a non-canonical address", CODE("\xff\xe6"), {{R(RSI), BIT(62)}}},
	{"fetch runs into the guard", CODE("\x48\xb8\x01\x02"), {{SET_AT, CASE_CODE_SIZE - 4}}},
	{"instruction over two pages",
	 CODE("\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08"),
	 {{SET_AT, 0xffd}}},
	{"x87 stack overflow",
	 CODE("\xd9\xe8\xd9\xe8\xd9\xe8\xd9\xe8\xd9\xe8\xd9\xe8\xd9\xe8\xd9\xe8\xd9\xe8"),
	 {{0}}},
	{"x87 stack underflow", CODE("\xde\xc1"), {{0}}},
	{"x87 underflow, unmasked: #MF at the next", CODE("\xde\xc1\x9b"), {{SET_FCW, 0x37e}}},
	{"fnstsw doesn't wait", CODE("\xde\xc1\xdf\xe0"), {{SET_FCW, 0x37e}}},
	{"fninit", CODE("\xd9\xe8\xdb\xe3"), {{SET_FCW, 0x27f}}},
	{"emms after mmx", CODE("\x0f\xef\xc0\x0f\x77"), {{0}}},
	{"divps by zero, unmasked: #XM", CODE("\x0f\x57\xc0\x0f\x5e\xc8"), {{SET_MXCSR, 0x1d80}}},
	{"divps invalid, unmasked: #XM", CODE("\x0f\x57\xc0\x0f\x5e\xc0"), {{SET_MXCSR, 0x1f00}}},
	{"vreducesd to a denormal, flushed to zero with underflow unmasked",
	 CODE_WITH("avx512dq",
		   "\xb8\x01\x00\x00\x00\xc4\xe1\xf9\x6e\xc8\x62\xf3\xf5\x08\x57\xc1\x00"),
	 {{SET_MXCSR, 0x9780}}},
	{"vreducesd to a denormal, flushed to zero with precision unmasked: #XM",
	 CODE_WITH("avx512dq",
		   "\xb8\x01\x00\x00\x00\xc4\xe1\xf9\x6e\xc8\x62\xf3\xf5\x08\x57\xc1\x00"),
	 {{SET_MXCSR, 0x8780}}},
	{"vcvtps2ph to an exact denormal, underflow unmasked: #XM",
	 CODE_WITH("f16c", "\xb8\x00\x00\x80\x33\xc5\xf9\x6e\xc8\xc4\xe3\x79\x1d\xc8\x04"),
	 {{SET_MXCSR, 0x1780}}},
	{"vcvtps2ph to an exact denormal in memory, underflow unmasked: #XM",
	 CODE_WITH("f16c", "\xb8\x00\x00\x80\x33\xc5\xf9\x6e\xc8\xc4\xe3\x79\x1d\x0e\x04"),
	 {{R(RSI), D(0x40)}, {SET_MXCSR, 0x1780}}},
	{"vcvtps2ph to memory that can't be written, overflow unmasked: #XM goes first",
	 CODE_WITH("f16c", "\xb8\x00\x00\x00\x7f\xc5\xf9\x6e\xc8\xc4\xe3\x79\x1d\x0e\x04"),
	 {{R(RSI), CASE_RO}, {SET_MXCSR, 0x1b80}}},
	{"vcvtps2ph of nothing to a register that has a denormal, underflow unmasked",
	 CODE_WITH(
		 "avx512vl",
		 "\xb8\x01\x00\x00\x00\xc5\xf9\x6e\xc8\xc5\xf4\x47\xc9\x62\xf3\x7d\x09\x1d\xc9\x04"),
	 {{SET_MXCSR, 0x1780}}},
	{"ldmxcsr with reserved bits", CODE("\x0f\xae\x55\x00"), {{R(RBP), CASE_RO}}},
	{"fxsave misaligned", CODE("\x0f\xae\x06"), {{R(RSI), D(8)}}},
	{"fxrstor misaligned", CODE("\x0f\xae\x0e"), {{R(RSI), D(8)}}},
	{"maskmovdqu", CODE("\x66\x0f\xf7\xc1"), {{R(RDI), D(0xff8)}}},
	/* Only the operand's own address is cut to 32 bits: the second part is not at 0. */
	{"vpmaskmovd, 67h, over 4 GB, the first off",
	 CODE_WITH("avx2", "\xc5\xf5\x76\xc9\xc5\xf5\x73\xf9\x04\x67\xc4\xe2\x75\x8c\x06"),
	 {{R(RSI), 0xabcdfffffffc}}},
	{"vpmaskmovd to memory, 67h, over 4 GB, the first off",
	 CODE_WITH("avx2", "\xc5\xf5\x76\xc9\xc5\xf5\x73\xf9\x04\x67\xc4\xe2\x75\x8e\x06"),
	 {{R(RSI), 0xabcdfffffffc}}},
	{"vpaddd with a mask, 67h, over 4 GB, the first off",
	 CODE_WITH("avx512f", "\xc5\xf8\x92\xc8\x67\x62\xf1\x7d\x49\xfe\x06"),
	 {{R(RAX), 0xfe}, {R(RSI), 0xabcdfffffffc}}},
	{"vmovdqu32 to memory with a mask, 67h, over 4 GB, the first off",
	 CODE_WITH("avx512f", "\xc5\xf8\x92\xc8\x67\x62\xf1\x7e\x49\x7f\x06"),
	 {{R(RAX), 0xfe}, {R(RSI), 0xabcdfffffffc}}},
	{"vpmaskmovd, all off, unmapped",
	 CODE("\xc5\xfd\xef\xc0\xc4\xe2\x7d\x8e\x0e"),
	 {{R(RSI), D(-64)}}},
	{"vpgatherdd, mask off", CODE("\xc5\xe5\xef\xdb\xc4\xe2\x65\x90\x0c\x16"), {{R(RSI), 0}}},
	{"pcmpistri flags", CODE("\x66\x0f\x3a\x63\xca\x0c"), {{0}}},
	{"ptest flags", CODE("\x66\x0f\x38\x17\xca"), {{SET_FLAGS, X86_ARITH}}},
	{"vptest ymm flags", CODE("\xc4\xe2\x7d\x17\xca"), {{SET_FLAGS, X86_ARITH}}},
	{"vzeroupper", CODE("\xc5\xf8\x77"), {{0}}},
	{"vzeroall", CODE("\xc5\xfc\x77"), {{0}}},
	{"xmm writes keep the upper half, vex clears it",
	 CODE("\x0f\x57\xc0\xc5\xf0\x57\xc9"),
	 {{0}}},
	{"vex with a 66 prefix", CODE("\x66\xc5\xf0\x57\xc9"), {{0}}},
	{"rex before a legacy prefix is void",
	 CODE("\x48\x66\x01\xd8"),
	 {{R(RAX), -1ull}, {R(RBX), 1}}},
	{"ud2", CODE("\x0f\x0b"), {{0}}},
	{"rsm", CODE("\x0f\xaa"), {{0}}},
	{"hlt", CODE("\xf4"), {{0}}},
	{"cli", CODE("\xfa"), {{0}}},
	{"in al, dx", CODE("\xec"), {{0}}},
	{"mov rax, cr0", CODE("\x0f\x20\xc0"), {{0}}},
	{"wrmsr", CODE("\x0f\x30"), {{0}}},
	{"opcodes that 64-bit mode lacks", CODE("\x27"), {{0}}},
	{"alignment check", CODE("\x8b\x06"), {{R(RSI), D(1)}, {SET_FLAGS, X86_AC}}},
	{"alignment check spares bytes", CODE("\x8a\x06"), {{R(RSI), D(1)}, {SET_FLAGS, X86_AC}}},
	{"single step", CODE("\x68\x02\x03\x00\x00\x9d\x90\x90"), {{0}}},
	{"jrcxz with 67h", CODE("\x67\xe3\x01\x90\x90"), {{R(RCX), 1ull << 32}}},
	{"loop counts down 64 bits", CODE("\xe2\x01\x90\x90"), {{R(RCX), 0}}},
	{"wrfsbase and a load",
	 CODE("\xf3\x48\x0f\xae\xd6\x64\x48\x8b\x00"),
	 {{R(RSI), D(0x40)}, {R(RAX), 8}}},
	{"rdfsbase to a register in the state, 32 bits of it",
	 CODE("\xf3\x41\x0f\xae\xc1\xf3\x49\x0f\xae\xc8"),
	 {{R(R9), -1ull}, {R(R8), -1ull}}},
	{"wrgsbase of 32 bits",
	 CODE("\xf3\x41\x0f\xae\xda\xf3\x48\x0f\xae\xc8"),
	 {{R(R10), -1ull}}},
	{"wrfsbase keeps flags",
	 CODE("\x48\x39\xc0\xf3\x48\x0f\xae\xd6\xf3\x48\x0f\xae\xc0\x9f"),
	 {{R(RSI), D(0)}, {SET_FLAGS, X86_ARITH}}},
	{"mov r16, sreg leaves the rest",
	 CODE("\x66\x8c\xd8\x66\x41\x8c\xd1\x66\x8c\xe4"),
	 {{R(RAX), -1ull}, {R(R9), -1ull}}},
	{"wrfsbase non-canonical", CODE("\xf3\x48\x0f\xae\xd6"), {{R(RSI), BIT(62)}}},
};

const unsigned ncases = ARRAY_LEN(written);

static void apply(struct isa_case *c, const struct set *s)
{
	if (s->reg < SET_FLAGS)
		c->in.gpr[s->reg - SET_GPR] = s->val;
	else if (s->reg == SET_FLAGS)
		c->in.rflags |= s->val;
	else if (s->reg == SET_MXCSR)
		c->in.mxcsr = (u32)s->val;
	else if (s->reg == SET_FCW)
		c->in.fcw = (u16)s->val;
	else
		c->at = (u16)s->val;
}

const char *case_needs(unsigned i)
{
	return written[i].needs;
}

void case_at(unsigned i, struct isa_case *c)
{
	const struct written *w = &written[i];

	case_init(c);
	c->name = w->name;
	c->fill = i;
	c->len = w->len;
	memcpy(c->code, w->code, w->len);
	for (unsigned k = 0; k < 16; k++)
		c->in.vec[k][k & 3] = c->in.vec[k][~k & 3] = 0x3ff0000000000000ull + k;
	for (unsigned k = 0; k < ARRAY_LEN(w->set) && w->set[k].reg != SET_END; k++)
		apply(c, &w->set[k]);
	c->in.rip = CASE_CODE + c->at;
}
