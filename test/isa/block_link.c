/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "block.h"
#include "forms.h"

static void lay_out(struct block *b)
{
	u64 at = b->base + PG_CODE * 0x1000 + b->at;

	for (unsigned i = 0; i < b->count; i++) {
		b->addr[i] = at;
		at += b->item[i].len;
	}
	b->addr[b->count] = at;
}

/* Direct jumps: what else is relative to RIP has an address in 32-bit code. */
static bool is_jump(const struct block_item *it)
{
	u8 op = it->bytes[0] == 0x66 || it->bytes[0] == 0x67 ? it->bytes[1] : it->bytes[0];

	return op == 0xe8 || op == 0xe9 || op == 0xeb || (op & 0xfc) == 0xe0 ||
	       (op & 0xf0) == 0x70 || (op == 0x0f && (it->bytes[1] & 0xf0) == 0x80);
}

static bool resolve(const struct block *b, const struct block_fix *f, const struct block_item *it,
		    u64 at, u8 *to)
{
	u64 v = (f->item < 0 ? b->base : b->addr[f->item]) + (u64)(i64)f->offset;
	i64 rel = (i64)(v - at - it->len);

	if (f->kind == FIX_NONE)
		return true;
	if (f->kind == FIX_RELATIVE && (b->bits == 64 || is_jump(it))) {
		if (f->size == 1 ? rel != (i8)rel : rel != (i32)rel)
			return false;
		v = (u64)rel;
	} else if (f->size == 4 && v != (u32)v) {
		return false;
	}
	memcpy(to + f->at, &v, f->size);
	return true;
}

bool block_link(struct block *b)
{
	u64 start = b->base + PG_CODE * 0x1000;

	lay_out(b);
	memset(b->code, CASE_INT3, sizeof(b->code));
	if (b->addr[b->count] > start + sizeof(b->code))
		return false;
	for (unsigned i = 0; i < b->count; i++) {
		const struct block_item *it = &b->item[i];
		u8 *to = b->code + (b->addr[i] - start);

		memcpy(to, it->bytes, it->len);
		if (it->nop)
			memset(to, 0x90, it->len);
		for (unsigned k = 0; k < BLOCK_FIXES && it->len && !it->nop; k++)
			if (!resolve(b, &it->fix[k], it, b->addr[i], to))
				return false;
	}
	b->in.rip = b->addr[b->entry];
	return true;
}

unsigned block_length(const struct block *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->count; i++)
		n += b->item[i].len && !b->item[i].nop;
	return n;
}

static void print_item(const struct block *b, unsigned i)
{
	const u8 *bytes = b->code + (b->addr[i] - (b->base + PG_CODE * 0x1000));
	char text[128] = "(not an instruction)";
	ZydisFormatter fmt;
	struct decoded d;

	if (b->item[i].nop) {
		printf("    %llx  nop, %u times\n", (unsigned long long)b->addr[i], b->item[i].len);
		return;
	}
	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	if (forms_decode_as(b->bits, bytes, b->item[i].len, &d))
		ZydisFormatterFormatInstruction(&fmt, &d.insn, d.op, d.insn.operand_count_visible,
						text, sizeof(text), b->addr[i], NULL);
	printf("  %s%llx ", i == b->entry ? "> " : "  ", (unsigned long long)b->addr[i]);
	for (unsigned k = 0; k < 15; k++) {
		if (k < b->item[i].len)
			printf(" %02x", bytes[k]);
		else if (k < 8)
			printf("   ");
	}
	printf("   %s\n", text);
}

static void print_state(const struct case_state *s)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

	for (unsigned i = 0; i < X86_GPRS; i++)
		printf("%s%-3s %016llx", i % 4 ? "  " : "\n  ", names[i],
		       (unsigned long long)s->gpr[i]);
	printf("\n  rflags %llx  fs %llx  gs %llx  mxcsr %x  fcw %x fsw %x ftw %x\n",
	       (unsigned long long)s->rflags, (unsigned long long)s->fs_base,
	       (unsigned long long)s->gs_base, s->mxcsr, s->fcw, s->fsw, s->ftw);
}

void block_print(const struct block *b)
{
	printf("  CPL %u, %u-bit code, seed %llu, %u instructions\n", b->cpl, b->bits,
	       (unsigned long long)b->seed, block_length(b));
	for (unsigned i = 0; i < b->count; i++)
		if (b->item[i].len)
			print_item(b, i);
	print_state(&b->in);
}
