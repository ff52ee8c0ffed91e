/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "case.h"
#include "plain.h"
#include "values.h"

void case_init(struct isa_case *c)
{
	plain_fill(c, 0, sizeof(*c));
	c->in.rip = CASE_CODE;
	c->in.gpr[X86_RSP] = CASE_DATA + 0x800;
	c->in.rflags = X86_R1 | X86_IF;
	c->in.fcw = 0x37f;
	c->in.mxcsr = 0x1f80;
}

static void patch(u8 *mem, u64 base, u64 size, const struct case_patch *p)
{
	if (p->addr >= base && p->addr - base <= size - p->len)
		plain_copy(mem + (p->addr - base), p->bytes, p->len);
}

void case_fill(const struct isa_case *c, u8 data[CASE_DATA_SIZE], u8 code[CASE_CODE_SIZE])
{
	values_fill(c->fill, data, CASE_DATA_SIZE);
	plain_fill(code, CASE_INT3, CASE_CODE_SIZE);
	plain_copy(code + c->at, c->code, c->len);
	for (unsigned i = 0; i < c->npatches; i++) {
		patch(data, CASE_DATA, CASE_DATA_SIZE, &c->patch[i]);
		patch(code, CASE_CODE, CASE_CODE_SIZE, &c->patch[i]);
	}
}

void case_fill_ro(u8 ro[CASE_RO_SIZE])
{
	values_fill(1, ro, CASE_RO_SIZE);
}

bool case_add_patch(struct isa_case *c, u64 addr, const void *bytes, unsigned len)
{
	struct case_patch *p = &c->patch[c->npatches];

	if (c->npatches == CASE_PATCHES || len > sizeof(p->bytes))
		return false;
	p->addr = addr;
	p->len = (u8)len;
	plain_copy(p->bytes, bytes, len);
	c->npatches++;
	return true;
}
