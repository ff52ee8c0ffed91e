/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "compare.h"
#include "undefined.h"
#include "vendor.h"

enum { SEEN_FLAGS = X86_ARITH | X86_DF | X86_TF | X86_AC | X86_NT | X86_ID };

#define AT(member) offsetof(struct case_state, member)

/*
 * FOP, FIP and FDP are left out: which instructions update them, and whether at all without an
 * unmasked exception, is up to the CPU model (CPUID FDP_EXCPTN_ONLY).
 */
static const struct {
	const char *name;
	u32 offset, size, count;
} fields[] = {
	{"gpr", AT(gpr), 8, X86_GPRS},  {"rip", AT(rip), 8, 1},   {"fs_base", AT(fs_base), 8, 1},
	{"gs_base", AT(gs_base), 8, 1}, {"vec", AT(vec), 64, 32}, {"k", AT(k), 8, 8},
	{"st", AT(st), 16, 8},          {"fcw", AT(fcw), 2, 1},   {"fsw", AT(fsw), 2, 1},
	{"ftw", AT(ftw), 1, 1},
};

static const char *const gpr_names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

static u32 compared_flags(const struct isa_case *c, const struct case_outcome *host,
			  u32 dead_on_fault)
{
	u64 fault_rip = host->fault.vector == X86_BP ? 0 : host->out.rip;
	u32 flags = SEEN_FLAGS & ~undefined_in(c, fault_rip).flags;

	/* A faulting instruction leaves no flags undefined if it is the only one. */
	if (host->out.rip == c->in.rip && host->fault.vector != X86_BP)
		flags = SEEN_FLAGS;
	return host->fault.vector == X86_BP ? flags : flags & ~dead_on_fault;
}

static bool same_state(const struct case_state *a, const struct case_state *b)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (memcmp((const u8 *)a + fields[i].offset, (const u8 *)b + fields[i].offset,
			   fields[i].size * fields[i].count))
			return false;
	return true;
}

/*
 * An engine may find an unmasked exception by computing with all of them masked. It then knows
 * of conditions too that the CPU, stopping earlier, did not come to report in MXCSR.
 */
static bool same_mxcsr(const struct case_outcome *host, const struct case_outcome *other)
{
	enum { MXCSR_FLAGS = 0x3f };
	u32 more = other->out.mxcsr & ~host->out.mxcsr & MXCSR_FLAGS;

	return host->out.mxcsr ==
	       (host->fault.vector == X86_XM ? other->out.mxcsr & ~more : other->out.mxcsr);
}

static u32 compared_error(const struct case_outcome *host)
{
	/* Linux doesn't tell user mode which kernel addresses are present; the lower half's last
	 * page is one of them.
	 */
	if (host->fault.vector == X86_PFV && host->fault.cr2 >= BIT(47) - ALC_PAGE_SIZE)
		return (u32)~X86_PF_P;
	return ~0u;
}

static bool same_fault(const struct case_outcome *host, const struct case_outcome *other)
{
	u32 mask = compared_error(host);

	return host->fault.vector == other->fault.vector &&
	       (host->fault.error & mask) == (other->fault.error & mask) &&
	       host->fault.cr2 == other->fault.cr2;
}

/*
 * An AddressSanitizer build's shadow memory (x86-64: from 0x7fff8000 to 0x10007fff8000) is mapped
 * in the native runner too, where a stray address then finds something.
 */
static bool is_shadow(u64 a)
{
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
	return a >= 0x7fff8000 && a < 0x10007fff8000;
#endif
#endif
	(void)a;
	return false;
}

/* An exception that is of the numbers, not of the access, and comes before the other one's. */
static bool only_one_of_numbers(const struct case_outcome *host, const struct case_outcome *other)
{
	if (host->out.rip == other->out.rip)
		return (host->fault.vector == X86_XM) != (other->fault.vector == X86_XM);
	return (host->out.rip < other->out.rip ? host : other)->fault.vector == X86_XM;
}

enum verdict compare_outcomes(const struct isa_case *c, const struct case_outcome *host,
			      const struct case_outcome *other, u32 dead_on_fault)
{
	u64 flags;

	if (host->end == CASE_TIMEOUT)
		return CASE_INCOMPARABLE;
	if (host->end != CASE_FAULT || other->end == CASE_LOST)
		return CASE_DIFFERS;
	if (other->end == CASE_TIMEOUT)
		return vendor_differs(c, host, other) ? CASE_INCOMPARABLE : CASE_DIFFERS;
	if (host->fault.vector == X86_PFV && !x86_canonical(host->fault.cr2))
		return CASE_INCOMPARABLE;
	if (other->fault.vector == X86_PFV && is_shadow(other->fault.cr2))
		return CASE_INCOMPARABLE;
	flags = (host->out.rflags ^ other->out.rflags) & compared_flags(c, host, dead_on_fault);
	if (!flags && same_fault(host, other) && same_state(&host->out, &other->out) &&
	    same_mxcsr(host, other) && !memcmp(host->data, other->data, sizeof(host->data)) &&
	    !memcmp(host->code, other->code, sizeof(host->code)))
		return CASE_SAME;
	/* A repeated store that came over itself: when that is noticed is the host's affair. */
	if (memcmp(host->code + c->at, c->code, c->len))
		return CASE_INCOMPARABLE;
	if (undefined_in(c, 0).fault && !only_one_of_numbers(host, other) &&
	    (host->fault.vector != X86_BP || other->fault.vector != X86_BP))
		return CASE_INCOMPARABLE;
	return vendor_differs(c, host, other) ? CASE_INCOMPARABLE : CASE_DIFFERS;
}

static void print_code(const struct isa_case *c)
{
	ZydisFormatter fmt;
	struct decoded d;
	size_t off = 0;

	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	while (off < c->len) {
		char text[128] = "(not an instruction)";
		size_t n = c->len - off;

		if (forms_decode(c->code + off, n, &d)) {
			n = d.insn.length;
			ZydisFormatterFormatInstruction(&fmt, &d.insn, d.op,
							d.insn.operand_count_visible, text,
							sizeof(text), c->in.rip + off, NULL);
		}
		printf("  %llx ", (unsigned long long)(c->in.rip + off));
		for (size_t i = 0; i < n; i++)
			printf(" %02x", c->code[off + i]);
		printf("   %s\n", text);
		off += n;
	}
}

static void print_bytes(const u8 *p, unsigned n)
{
	while (n--)
		printf("%02x", p[n]);
}

static void print_mxcsr(const struct case_outcome *host, const struct case_outcome *other)
{
	if (!same_mxcsr(host, other))
		printf("  mxcsr    host %08x engine %08x\n", host->out.mxcsr, other->out.mxcsr);
}

static void print_state(const struct case_state *in, const struct case_state *a,
			const struct case_state *b)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		for (u32 k = 0; k < fields[i].count; k++) {
			size_t at = fields[i].offset + k * fields[i].size;
			const u8 *x = (const u8 *)a + at, *y = (const u8 *)b + at;

			if (!memcmp(x, y, fields[i].size))
				continue;
			if (fields[i].offset == offsetof(struct case_state, gpr))
				printf("  %-8s", gpr_names[k]);
			else
				printf("  %s[%u] ", fields[i].name, k);
			printf(" host ");
			print_bytes(x, fields[i].size);
			printf(" engine ");
			print_bytes(y, fields[i].size);
			printf(" before ");
			print_bytes((const u8 *)in + at, fields[i].size);
			printf("\n");
		}
	}
}

static void print_memory(const char *what, u64 base, const u8 *a, const u8 *b, size_t len)
{
	unsigned shown = 0;

	for (size_t i = 0; i < len && shown < 32; i++) {
		if (a[i] == b[i])
			continue;
		printf("  %s %llx: host %02x engine %02x\n", what, (unsigned long long)(base + i),
		       a[i], b[i]);
		shown++;
	}
}

static void print_end(const char *who, const struct case_outcome *o)
{
	if (o->end == CASE_LOST)
		printf("  %-7s could not go on: %s\n", who, o->why);
	else if (o->end == CASE_TIMEOUT)
		printf("  %-7s never ended, at rip %llx\n", who, (unsigned long long)o->out.rip);
	else
		printf("  %-7s vector %u error %x cr2 %llx rip %llx flags %llx\n", who,
		       o->fault.vector, o->fault.error, (unsigned long long)o->fault.cr2,
		       (unsigned long long)o->out.rip, (unsigned long long)o->out.rflags);
}

static void print_u64s(const char *name, const u64 *v, unsigned n)
{
	printf("\t\t.%s = {", name);
	for (unsigned i = 0; i < n; i++)
		printf("%s0x%llx", i ? ", " : "", (unsigned long long)v[i]);
	printf("},\n");
}

static void print_literal(const struct isa_case *c)
{
	const struct case_state *s = &c->in;

	printf("{\n\t.name = \"\", .len = %u, .at = 0x%x, .fill = 0x%llxull,\n\t.code = {", c->len,
	       c->at, (unsigned long long)c->fill);
	for (unsigned i = 0; i < c->len; i++)
		printf("%s0x%02x", i ? ", " : "", c->code[i]);
	printf("},\n\t.in = {\n\t\t.rip = 0x%llx, .rflags = 0x%llx,\n"
	       "\t\t.fs_base = 0x%llx, .gs_base = 0x%llx,\n"
	       "\t\t.fcw = 0x%x, .fsw = 0x%x, .ftw = 0x%x, .mxcsr = 0x%x,\n",
	       (unsigned long long)s->rip, (unsigned long long)s->rflags,
	       (unsigned long long)s->fs_base, (unsigned long long)s->gs_base, s->fcw, s->fsw,
	       s->ftw, s->mxcsr);
	print_u64s("gpr", s->gpr, X86_GPRS);
	print_u64s("k", s->k, 8);
	printf("\t\t.vec = {");
	for (unsigned i = 0; i < 32; i++) {
		printf("{");
		for (unsigned n = 0; n < 8; n++)
			printf("0x%llx, ", (unsigned long long)s->vec[i][n]);
		printf("},\n\t\t\t");
	}
	printf("},\n\t\t.st = {");
	for (unsigned i = 0; i < 8; i++)
		printf("{0x%llx, 0x%llx}, ", (unsigned long long)s->st[i][0],
		       (unsigned long long)s->st[i][1]);
	printf("},\n\t},\n\t.npatches = %u, .patch = {", c->npatches);
	for (unsigned i = 0; i < c->npatches; i++) {
		printf("{0x%llx, %u, {", (unsigned long long)c->patch[i].addr, c->patch[i].len);
		for (unsigned k = 0; k < c->patch[i].len; k++)
			printf("%s0x%02x", k ? ", " : "", c->patch[i].bytes[k]);
		printf("}}, ");
	}
	printf("},\n},\n");
}

void compare_report(const struct isa_case *c, const struct case_outcome *host,
		    const struct case_outcome *other, const char *other_name, u32 dead_on_fault)
{
	print_code(c);
	print_end("host", host);
	print_end(other_name, other);
	if (host->end != CASE_LOST && other->end != CASE_LOST) {
		u64 flags = (host->out.rflags ^ other->out.rflags) &
			    compared_flags(c, host, dead_on_fault);

		if (flags)
			printf("  flags differ in %llx, before %llx\n", (unsigned long long)flags,
			       (unsigned long long)c->in.rflags);
		print_state(&c->in, &host->out, &other->out);
		print_mxcsr(host, other);
		print_memory("data", CASE_DATA, host->data, other->data, sizeof(host->data));
		print_memory("code", CASE_CODE, host->code, other->code, sizeof(host->code));
	}
	print_literal(c);
}
