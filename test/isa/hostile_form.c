/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "guest.h"
#include "hostile.h"
#include "silicon.h"
#include "undefined.h"
#include "values.h"

enum { ROOM_KEPT = 512 };

void put(struct hgen *g, const void *bytes, unsigned n)
{
	if (g->at + n > HOSTILE_CODE)
		return;
	memcpy(g->h->code + g->at, bytes, n);
	g->at += n;
	if (g->at > HOSTILE_CODE - ROOM_KEPT)
		g->full = true;
}

u64 here(const struct hgen *g)
{
	return g->h->base + HP_CODE * 0x1000 + g->at;
}

unsigned registers(const struct hgen *g)
{
	return g->h->bits == 32 ? 8 : X86_GPRS;
}

void put_imm(struct hgen *g, int reg, u64 v)
{
	u8 b[10] = {(u8)(0x48 | reg >> 3), (u8)(0xb8 | (reg & 7))};

	memcpy(b + 2, &v, 8);
	if (g->h->bits == 32)
		put(g, b + 1, 5);
	else
		put(g, b, 10);
}

/* ---- Operands ---------------------------------------------------------------------------------
 */

int any_but(struct hgen *g, u32 not )
{
	int reg;

	do
		reg = (int)rng_below(&g->r, registers(g));
	while (not >> reg & 1);
	return reg;
}

/* What the parts of a sum may be: whatever they are, they come out right. */
u64 any_part(struct hgen *g)
{
	unsigned n = (unsigned)rng_below(&g->r, 10);

	if (n < 4)
		return value_int(&g->r);
	if (n < 7)
		return g->places[rng_below(&g->r, g->nplaces)].addr + rng_below(&g->r, 16);
	return n == 7 ? rng_below(&g->r, 4096) : rng_u64(&g->r);
}

static void choose_disp(struct hgen *g, struct operand *o)
{
	static const i32 far[] = {INT32_MAX, INT32_MIN, INT32_MIN + 1, 0x7ffff000, -0x1000, 0x1000};
	unsigned n = (unsigned)rng_below(&g->r, 10);

	o->disp = 0;
	o->disp_size = 0;
	if (n < 5) {
		o->disp = (i8)rng_u64(&g->r);
		o->disp_size = 1;
	} else if (n < 9) {
		o->disp = n < 7 ? far[rng_below(&g->r, ARRAY_LEN(far))] : (i32)rng_u64(&g->r);
		o->disp_size = 4;
	}
}

/* wrfsbase, wrgsbase: what is not canonical faults, and the slot is over. */
static u64 put_segment(struct hgen *g, struct operand *o)
{
	bool gs = rng_percent(&g->r, 50);
	int reg = any_but(g, BIT(X86_RSP));
	u64 base = any_part(g);
	u8 b[5] = {0xf3, (u8)(0x48 | reg >> 3), 0x0f, 0xae, (u8)(0xd0 | gs << 3 | (reg & 7))};

	o->segment = gs ? 0x65 : 0x64;
	if (g->h->bits == 32)
		return gs ? g->h->in.gs_base : g->h->in.fs_base;
	if (!x86_canonical(base))
		base = (u64)((i64)(base << 16) >> 16);
	put_imm(g, reg, base);
	put(g, b, 5);
	return base;
}

static void put_base_index(struct hgen *g, struct operand *o, u64 sum, u32 not )
{
	u64 upper = o->a32 && g->h->bits == 64 ? rng_u64(&g->r) << 32 : 0, index = any_part(g);

	if (o->base >= 0 && o->index >= 0) {
		put_imm(g, o->index, index);
		put_imm(g, o->base, (sum - (u64)o->disp - (index << o->scale)) ^ upper);
	} else if (o->base >= 0) {
		put_imm(g, o->base, (sum - (u64)o->disp) ^ upper);
	} else {
		/* What the scale can't make is the displacement's; its bits shifted out are free.
		 */
		o->disp = (i32)((o->disp & ~(i64)15) | (i64)(sum & 15));
		o->disp_size = 4;
		index = (sum - (u64)o->disp) >> o->scale;
		if (o->scale)
			index |= rng_u64(&g->r) << (64 - o->scale);
		put_imm(g, o->index, index ^ upper);
	}
}

/* Without registers, where that reaches. */
static bool put_constant(struct hgen *g, struct operand *o, u64 sum)
{
	u64 distance = sum - here(g);

	if (g->h->bits == 64 && distance + BIT(30) < BIT(31) && rng_percent(&g->r, 60)) {
		o->relative = true;
		o->target = sum;
		return true;
	}
	if (g->h->bits == 64 && (u64)(i64)(i32)sum != sum && !o->a32)
		return false;
	o->disp = (i32)sum;
	o->disp_size = 4;
	return true;
}

struct operand put_operand(struct hgen *g, u64 addr, u32 not )
{
	struct operand o = {.base = -1, .index = -1};
	unsigned how = (unsigned)rng_below(&g->r, 100);

	if (g->h->bits == 64 && rng_percent(&g->r, 4))
		addr = (u32)addr;
	o.a32 = g->h->bits == 64 && addr <= UINT32_MAX && rng_percent(&g->r, 40);
	if (rng_percent(&g->r, 15))
		addr -= put_segment(g, &o);
	if (g->h->bits == 32)
		addr = (u32)addr;
	if (how < 12 && put_constant(g, &o, addr))
		return o;
	choose_disp(g, &o);
	o.base = how < 20 ? X86_RSP : how < 85 ? any_but(g, not ) : -1;
	if (o.base < 0 || rng_percent(&g->r, 35)) {
		o.index = any_but(g, not | BIT(X86_RSP) | (o.base < 0 ? 0 : BIT(o.base)));
		o.scale = (unsigned)rng_below(&g->r, 4);
	}
	put_base_index(g, &o, addr, not );
	return o;
}

/* ---- Encoding ---------------------------------------------------------------------------------
 */

/* ModRM, SIB and displacement; X and B into *rex. */
static unsigned encode_operand(const struct operand *o, int reg, u8 *m, u8 *rex)
{
	bool sib = o->index >= 0 || o->base < 0 || (o->base & 7) == 4;
	u8 size = o->disp_size, mod;
	i32 disp = (i32)o->disp;
	unsigned n = 1;

	reg &= 7;
	if (o->relative) {
		m[0] = (u8)(reg << 3 | 5);
		return 5;
	}
	if (o->base >= 0 && (o->base & 7) == 5 && !size)
		size = 1;
	mod = o->base < 0 ? 0 : size == 4 ? 2 : size;
	m[0] = (u8)(mod << 6 | reg << 3 | (sib ? 4 : o->base & 7));
	if (sib)
		m[n++] = (u8)(o->scale << 6 | (o->index < 0 ? 4 : o->index & 7) << 3 |
			      (o->base < 0 ? 5 : o->base & 7));
	*rex |= (u8)((o->index > 7) << 1 | (o->base > 7));
	memcpy(m + n, &disp, 4);
	return n + (o->base < 0 ? 4 : size);
}

static unsigned encode_prefixes(const struct form *t, const struct operand *o, bool lock, u8 *b)
{
	unsigned n = 0;

	if (o->segment)
		b[n++] = o->segment;
	if (o->a32)
		b[n++] = 0x67;
	if (lock)
		b[n++] = 0xf0;
	if (!t->vex && t->pp)
		b[n++] = forms_pp[t->pp];
	return n;
}

static unsigned encode_opcode(const struct form *t, u8 rex, u8 v, u8 *b)
{
	unsigned n = 0;

	if (t->vex) {
		n += forms_put_vex(t, rex, v & 0x78, b);
	} else {
		if (t->bits == 64 && (t->w || rex))
			b[n++] = (u8)(0x40 | t->w << 3 | rex);
		n += forms_put_map(t, b + n);
	}
	b[n++] = t->opcode;
	return n;
}

/* Its length; 0: it isn't that form. */
static unsigned encode(struct hgen *g, const struct form *t, const struct operand *o, int reg,
		       bool lock, struct decoded *d, u8 bytes[40])
{
	u8 m[8] = {0}, rex = (u8)((reg > 7) << 2);
	unsigned k = encode_operand(o, reg, m, &rex), n;
	u64 tail = rng_u64(&g->r);
	u8 v = rng_percent(&g->r, 50) ? 0x78 : (u8)rng_u64(&g->r);

	if (t->bits == 32)
		rex = 0;
	n = encode_prefixes(t, o, lock, bytes);
	n += encode_opcode(t, rex, v, bytes + n);
	memcpy(bytes + n, m, k);
	memcpy(bytes + n + k, &tail, 8);
	if (!forms_decode_as(t->bits, bytes, 15, d) || forms_key(d) != t->key)
		return 0;
	if (o->relative) {
		u32 distance = (u32)(o->target - here(g) - d->insn.length);

		memcpy(bytes + d->insn.raw.disp.offset, &distance, 4);
	}
	return d->insn.length;
}

void put_plain(struct hgen *g, const struct form *t, const struct operand *o, int reg)
{
	u8 bytes[24], m[8] = {0}, rex = (u8)((reg > 7) << 2);
	unsigned k = encode_operand(o, reg, m, &rex), n = encode_prefixes(t, o, false, bytes);
	struct form u = *t;

	u.bits = g->h->bits;
	u.w = t->w && u.bits == 64;
	n += encode_opcode(&u, rex, 0x78, bytes + n);
	memcpy(bytes + n, m, k);
	put(g, bytes, n + k);
}

static bool can_lock(const struct decoded *d)
{
	return d->insn.attributes & ZYDIS_ATTRIB_ACCEPTS_LOCK;
}

bool put_form(struct hgen *g, const struct form *t, const struct operand *o, int reg)
{
	static const u8 cmp[] = {0x39, 0xc0}; /* cmp eax, eax */
	struct decoded d;
	u8 bytes[40];
	unsigned n = encode(g, t, o, reg, false, &d, bytes);

	if (!n || undefined_result(&d, 31)) /* whatever CL has */
		return false;
	/* Undefined flags are not to be seen; the target is counted from behind this. */
	if (undefined_read(&d)) {
		put(g, cmp, sizeof(cmp));
		n = encode(g, t, o, reg, false, &d, bytes);
	}
	if (n && can_lock(&d) && rng_percent(&g->r, 40))
		n = encode(g, t, o, reg, true, &d, bytes);
	put(g, bytes, n);
	g->undefined = undefined_after(&d);
	return n;
}

/* ---- Menu -------------------------------------------------------------------------------------
 */

static bool has_feature(const char *feature)
{
	return silicon_has(feature) && guest_has(feature);
}

/* It would end the program, or go elsewhere; what its fault looks like must be known. */
static bool is_out(const struct decoded *d)
{
	static const ZydisMnemonic out[] = {
		ZYDIS_MNEMONIC_LDMXCSR,
		ZYDIS_MNEMONIC_VLDMXCSR,
		ZYDIS_MNEMONIC_XRSTOR,
		ZYDIS_MNEMONIC_XRSTOR64,
	};

	for (size_t i = 0; i < ARRAY_LEN(out); i++)
		if (out[i] == d->insn.mnemonic)
			return true;
	if (undefined_fault(d) && d->op[0].size > 64 * 8)
		return true;
	return (d->insn.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) ||
	       d->insn.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
	       d->insn.meta.category == ZYDIS_CATEGORY_SYSTEM ||
	       d->insn.meta.category == ZYDIS_CATEGORY_IO ||
	       d->insn.meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

static bool has_operand(const struct decoded *d)
{
	for (unsigned i = 0; i < d->insn.operand_count_visible; i++)
		if (d->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    d->op[i].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM)
			return true;
	return false;
}

bool hostile_menu_create(struct hostile_menu *m, unsigned bits)
{
	struct hostile h = {.bits = (u8)bits};
	struct hgen g = {.r = {1}, .h = &h};
	struct operand o = {.base = X86_RSI, .index = X86_RDI};

	if (forms_create(&m->forms, bits, has_feature))
		return false;
	m->count = 0;
	m->mem = calloc(m->forms.count, sizeof(*m->mem));
	for (u32 i = 0; m->mem && i < m->forms.count; i++) {
		const struct form *t = &m->forms.all[i];
		struct decoded d;
		u8 bytes[40];

		if (t->mem && !t->excluded && encode(&g, t, &o, t->reg, false, &d, bytes) &&
		    has_operand(&d) && !is_out(&d))
			m->mem[m->count++] = i;
	}
	return m->mem && m->count;
}

void hostile_menu_destroy(struct hostile_menu *m)
{
	free(m->mem);
	forms_destroy(&m->forms);
	memset(m, 0, sizeof(*m));
}

/* What an instruction of that form does with memory. */
static void describe(const struct decoded *d, struct draft *out)
{
	for (unsigned i = 0; i < d->insn.operand_count_visible; i++)
		if (d->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			out->size = d->op[i].size / 8;
	out->locks = can_lock(d) || d->insn.mnemonic == ZYDIS_MNEMONIC_XCHG;
	/*
	 * A bit's offset may lead far from its operand, and may be locked there. Where an operand
	 * is accessed in parts, which of them faults is anybody's choice.
	 */
	out->align = d->insn.mnemonic == ZYDIS_MNEMONIC_BTS ||
				     d->insn.mnemonic == ZYDIS_MNEMONIC_BTR ||
				     d->insn.mnemonic == ZYDIS_MNEMONIC_BTC
			     ? 16
		     : undefined_fault(d) ? 64
					  : 1;
}

bool draft_any(struct hgen *g, struct draft *out, const struct form **form)
{
	struct operand o = {.base = X86_RSI, .index = X86_RDI};

	for (unsigned tries = 0; tries < 20; tries++) {
		const struct form *t =
			&g->menu->forms.all[g->menu->mem[rng_below(&g->r, g->menu->count)]];
		struct decoded d;
		u8 bytes[40];

		if (!encode(g, t, &o, t->reg, false, &d, bytes))
			continue;
		*out = (struct draft){0};
		describe(&d, out);
		*form = t;
		return true;
	}
	return false;
}
