/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "block_run.h"

enum { SEEN_FLAGS = X86_ARITH | X86_DF | X86_TF | X86_IF | X86_AC | X86_NT | X86_ID };

enum { FSW_ES = 0x80 };

#define AT(member) offsetof(struct case_state, member)

static const struct {
	const char *name;
	u32 offset, size, count;
} fields[] = {
	{"gpr", AT(gpr), 8, X86_GPRS},  {"rip", AT(rip), 8, 1},     {"fs_base", AT(fs_base), 8, 1},
	{"gs_base", AT(gs_base), 8, 1}, {"zmm", AT(vec), 64, 32},   {"k", AT(k), 8, 8},
	{"st", AT(st), 16, 8},          {"fcw", AT(fcw), 2, 1},     {"fsw", AT(fsw), 2, 1},
	{"ftw", AT(ftw), 1, 1},         {"mxcsr", AT(mxcsr), 4, 1}, {"fop", AT(fop), 2, 1},
	{"fip", AT(fip), 8, 1},         {"fdp", AT(fdp), 8, 1},
};

/* Only Intel's processors tell programs x87 pointers at all times, and so engines guests. */
static bool compared(size_t field)
{
	return fields[field].offset < AT(fop) || fields[field].offset > AT(fdp) ||
	       __builtin_cpu_is("intel");
}

static u64 flags_that_differ(const struct block_outcome *a, const struct block_outcome *b,
			     u32 undefined, u32 dead_on_fault)
{
	u64 mask = SEEN_FLAGS & ~undefined;

	if (a->cpu.fault.vector != X86_BP)
		mask &= ~dead_on_fault;
	return (a->cpu.out.rflags ^ b->cpu.out.rflags) & mask;
}

/*
 * The bits of a byte that differ and count. Frames hold dead flags. A page's accessed bit may be
 * set early, and its dirty bit where a fault came between, or an x87 exception kept a store off.
 */
static u8 differing_bits(const struct block_outcome *a, const struct block_outcome *b, u64 at)
{
	u8 x = a->ram[at], y = b->ram[at];

	if (at >= GPA_STACK && at < GPA_NMI + ALC_PAGE_SIZE)
		return 0;
	if (at < GPA_PML4 || at >= GPA_GDT || at % 8)
		return x ^ y;
	if (a->cpu.fault.vector != X86_BP || a->cpu.out.fsw & FSW_ES)
		x |= y & PTE_D;
	return (u8)((x ^ y) & ~PTE_A);
}

static bool same_page(const struct block_outcome *a, const struct block_outcome *b, u64 at)
{
	if (!memcmp(a->ram + at, b->ram + at, ALC_PAGE_SIZE))
		return true;
	for (u64 i = at; i < at + ALC_PAGE_SIZE; i++)
		if (differing_bits(a, b, i))
			return false;
	return true;
}

static bool same_ram(const struct block_outcome *a, const struct block_outcome *b)
{
	for (u64 at = 0; at < WORLD_RAM; at += ALC_PAGE_SIZE)
		if (!same_page(a, b, at))
			return false;
	return true;
}

const char *block_difference(const struct block_outcome *a, const struct block_outcome *b,
			     u32 undefined, u32 dead_on_fault)
{
	const struct case_state *x = &a->cpu.out, *y = &b->cpu.out;

	if (a->cpu.end != b->cpu.end || a->cpu.end != CASE_FAULT)
		return "end";
	if (a->cpu.fault.vector != b->cpu.fault.vector)
		return "vector";
	if (a->cpu.fault.error != b->cpu.fault.error)
		return "error code";
	if (a->cr2 != b->cr2)
		return "cr2";
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (compared(i) &&
		    memcmp((const u8 *)x + fields[i].offset, (const u8 *)y + fields[i].offset,
			   fields[i].size * fields[i].count))
			return fields[i].name;
	if (flags_that_differ(a, b, undefined, dead_on_fault))
		return "flags";
	if (a->instructions != b->instructions)
		return "count of instructions";
	if (a->stops != b->stops)
		return "where it was stopped";
	return same_ram(a, b) ? NULL : "ram";
}

static void print_end(const char *who, const struct block_outcome *o)
{
	const struct case_outcome *c = &o->cpu;

	printf("  %-10s ", who);
	if (c->end == CASE_LOST)
		printf("could not go on: %s\n", c->why);
	else if (c->end == CASE_TIMEOUT)
		printf("never ended, at rip %llx\n", (unsigned long long)c->out.rip);
	else
		printf("vector %u error %x cr2 %llx rip %llx flags %llx\n", c->fault.vector,
		       c->fault.error, (unsigned long long)o->cr2, (unsigned long long)c->out.rip,
		       (unsigned long long)c->out.rflags);
}

static void print_bytes(const u8 *p, unsigned n)
{
	while (n--)
		printf("%02x", p[n]);
}

static void print_fields(const struct case_state *a, const struct case_state *b)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		for (u32 k = 0; k < fields[i].count; k++) {
			size_t at = fields[i].offset + k * fields[i].size;
			const u8 *x = (const u8 *)a + at, *y = (const u8 *)b + at;

			if (!memcmp(x, y, fields[i].size))
				continue;
			if (fields[i].offset == AT(gpr))
				printf("  %-8s ", names[k]);
			else
				printf("  %s[%u] ", fields[i].name, k);
			print_bytes(x, fields[i].size);
			printf(" ");
			print_bytes(y, fields[i].size);
			printf("\n");
		}
	}
}

static void print_ram(const struct block_outcome *a, const struct block_outcome *b)
{
	unsigned shown = 0;

	for (u64 i = 0; i < WORLD_RAM && shown < 24; i++) {
		if (!differing_bits(a, b, i))
			continue;
		printf("  gpa %llx: %02x %02x\n", (unsigned long long)i, a->ram[i], b->ram[i]);
		shown++;
	}
}

void block_print_difference(const struct block_outcome *a, const struct block_outcome *b,
			    u32 undefined, u32 dead_on_fault, const char *const names[2])
{
	u64 flags = flags_that_differ(a, b, undefined, dead_on_fault);

	print_end(names[0], a);
	print_end(names[1], b);
	if (a->instructions != b->instructions)
		printf("  %llu and %llu instructions\n", (unsigned long long)a->instructions,
		       (unsigned long long)b->instructions);
	if (flags)
		printf("  flags differ in %llx\n", (unsigned long long)flags);
	print_fields(&a->cpu.out, &b->cpu.out);
	print_ram(a, b);
}
