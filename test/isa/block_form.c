/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "block_gen.h"
#include "guest.h"
#include "silicon.h"
#include "undefined.h"
#include "values.h"

/* ---- Simple items -----------------------------------------------------------------------------
 */

enum { ROOM_KEPT = 24 };

int put_exact(struct bgen *g, const void *bytes, unsigned n)
{
	struct block *b = g->b;
	struct block_item *it = &b->item[b->count];

	memset(it, 0, sizeof(*it));
	memcpy(it->bytes, bytes, n);
	it->len = (u8)n;
	/* Shapes under way are finished in what is kept; the very last item is overwritten. */
	if (b->count < BLOCK_ITEMS - 1)
		b->count++;
	if (b->count >= BLOCK_ITEMS - ROOM_KEPT)
		g->full = true;
	return b->count - 1;
}

int put_bytes(struct bgen *g, const void *bytes, unsigned n)
{
	u8 b[16];

	memcpy(b, bytes, n);
	return put_exact(g, b, g->b->bits == 32 ? compat_narrow(b, n) : n);
}

int put_ref(struct bgen *g, const void *bytes, unsigned n, enum fix_kind kind, unsigned size,
	    int item, i32 offset)
{
	int i = put_bytes(g, bytes, n);

	if (g->b->bits == 32) {
		n = g->b->item[i].len;
		size = size > 4 ? 4 : size;
	}

	g->b->item[i].fix[0] = (struct block_fix){.kind = (u8)kind,
						  .at = (u8)(n - size),
						  .size = (u8)size,
						  .item = (i16)item,
						  .offset = offset};
	return i;
}

void put_mov(struct bgen *g, int reg, u64 v)
{
	u8 b[10] = {(u8)(0x48 | reg >> 3), (u8)(0xb8 | (reg & 7))};

	memcpy(b + 2, &v, 8);
	put_bytes(g, b, 10);
}

int put_address(struct bgen *g, int reg, int item, i32 offset)
{
	u8 mov[10] = {(u8)(0x48 | reg >> 3), (u8)(0xb8 | (reg & 7))};
	u8 lea[7] = {(u8)(0x48 | reg >> 3 << 2), 0x8d, (u8)(5 | (reg & 7) << 3)};

	if (rng_percent(&g->r, 30))
		return put_ref(g, mov, 10, FIX_ABSOLUTE, 8, item, offset);
	return put_ref(g, lea, 7, FIX_RELATIVE, 4, item, offset);
}

void put_rr(struct bgen *g, u8 opcode, int reg, int rm)
{
	u8 b[3] = {(u8)(0x48 | reg >> 3 << 2 | rm >> 3), opcode,
		   (u8)(0xc0 | (reg & 7) << 3 | (rm & 7))};

	put_bytes(g, b, 3);
}

static void put_stack(struct bgen *g, u8 opcode, int reg)
{
	u8 b[2] = {0x41, (u8)(opcode | (reg & 7))};

	put_bytes(g, reg < 8 ? b + 1 : b, reg < 8 ? 1 : 2);
}

void put_push(struct bgen *g, int reg)
{
	put_stack(g, 0x50, reg);
}

void put_pop(struct bgen *g, int reg)
{
	put_stack(g, 0x58, reg);
}

int any_register(struct bgen *g)
{
	return (int)rng_below(&g->r, block_registers(g->b));
}

int any_with(struct bgen *g, enum role role)
{
	unsigned n = 0, wanted;

	for (int i = 0; i < X86_GPRS; i++)
		n += g->role[i] == role;
	if (!n)
		return -1;
	wanted = (unsigned)rng_below(&g->r, n);
	for (int i = 0; i < X86_GPRS; i++)
		if (g->role[i] == role && !wanted--)
			return i;
	return -1;
}

void put_define(struct bgen *g, u32 read)
{
	if (!(g->undefined & read))
		return;
	/* cmp reg, reg */
	put_rr(g, 0x39, any_register(g), any_register(g));
	g->undefined = 0;
}

/* ---- A memory operand -------------------------------------------------------------------------
 */

struct place {
	int base, index; /* register, or -1 */
	unsigned scale;
	i32 disp;
	bool rip, addr32;
	u8 segment; /* prefix, or 0 */
	i32 window; /* rip: where in the window */
};

static const struct {
	u8 page, percent;
} regions[] = {
	{PG_DATA, 10},       {PG_DATA + 1, 12}, {PG_DATA + 2, 12},      {PG_DATA + 3, 8},
	{PG_RO, 8},          {PAGE_DEMAND, 10}, {PAGE_REMAP, 10},       {PG_ALIAS, 8},
	{PAGE_WRITABLE, 10}, {PG_STACK, 4},     {PG_CODE_ALIAS + 1, 4}, {PG_ABSENT, 1},
};

i32 block_window_offset(struct rng *r)
{
	unsigned draw = (unsigned)rng_below(r, 97), i = 0;
	i32 in_page = (i32)rng_below(r, 56) * 64 + 256;

	while (draw >= regions[i].percent)
		draw -= regions[i++].percent;
	if (rng_percent(r, 25))
		in_page += (i32)rng_below(r, 64);
	else if (rng_percent(r, 20))
		in_page = 0x1000 - (i32)rng_below(r, 48);
	return regions[i].page * 0x1000 + in_page;
}

static i32 random_disp(struct bgen *g, bool aligned)
{
	i32 d = (i32)rng_below(&g->r, 256) - 128;

	if (rng_percent(&g->r, 30))
		d = 0;
	else if (rng_percent(&g->r, 15))
		d = (i32)rng_below(&g->r, 1024) - 512;
	return aligned ? d & ~63 : d;
}

static void choose_place(struct bgen *g, struct place *p, bool aligned)
{
	unsigned how = (unsigned)rng_below(&g->r, 100);

	*p = (struct place){.base = any_with(g, ROLE_POINTER), .index = -1, .scale = 1};
	p->disp = random_disp(g, aligned);
	if (how < 12) {
		p->rip = true;
		p->base = -1;
		p->window = block_window_offset(&g->r);
		if (aligned)
			p->window &= ~63;
	} else if (how < 20) {
		p->segment = how & 1 ? 0x64 : 0x65;
		p->base = rng_percent(&g->r, 70) ? any_with(g, ROLE_INDEX) : -1;
		p->disp = aligned ? 64 : p->disp & 0x3ff;
	} else if (how < 40 && !aligned) {
		p->index = any_with(g, ROLE_INDEX);
		p->scale = 1u << rng_below(&g->r, 4);
	}
	p->addr32 = g->b->bits == 64 && g->b->base == WINDOW && !p->segment &&
		    rng_percent(&g->r, 6);
}

/* ModRM with SIB and displacement; returns its length. X and B go into *rex. */
static unsigned encode_place(const struct place *p, u8 reg, u8 *m, u8 *rex, struct bgen *g)
{
	unsigned n = 1, scale = 0;
	bool sib = p->index >= 0 || p->base < 0 || (p->base & 7) == 4;
	bool small = p->disp == (i8)p->disp && p->base >= 0 && !rng_percent(&g->r, 15);
	u8 mod = p->base < 0 ? 0 : small ? 1 : 2;

	if (p->rip) {
		m[0] = (u8)(reg << 3 | 5);
		return 5;
	}
	if (!p->disp && p->base >= 0 && (p->base & 7) != 5 && rng_percent(&g->r, 80))
		mod = 0;
	while (1u << scale < p->scale)
		scale++;
	m[0] = (u8)(mod << 6 | reg << 3 | (sib ? 4 : p->base & 7));
	if (sib)
		m[n++] = (u8)(scale << 6 | (p->index < 0 ? 4 : p->index & 7) << 3 |
			      (p->base < 0 ? 5 : p->base & 7));
	*rex |= (u8)((p->index > 7) << 1 | (p->base > 7));
	memcpy(m + n, &p->disp, 4);
	return n + (p->base < 0 || mod == 2 ? 4 : mod);
}

/* ---- One form ---------------------------------------------------------------------------------
 */

struct draft {
	u8 bytes[32];
	unsigned disp_at; /* of a RIP-relative operand */
	struct place place;
	struct decoded d;
};

static unsigned prefixes(struct bgen *g, const struct form *t, const struct place *p, bool lock,
			 u8 *b)
{
	unsigned n = 0;

	if (t->mem && p->segment)
		b[n++] = p->segment;
	if (t->mem && p->addr32)
		b[n++] = 0x67;
	if (lock)
		b[n++] = 0xf0;
	if (!t->vex && !t->evex && t->pp)
		b[n++] = forms_pp[t->pp];
	return n;
}

/* rex: R, X and B as REX has them. */
static unsigned opcode(struct bgen *g, const struct form *t, u8 rex, bool fixed, u8 *b)
{
	unsigned n = 0;

	if (t->evex) {
		u64 r = fixed || t->bits == 32 ? 0x87800 : rng_u64(&g->r);

		b[n++] = 0x62;
		b[n++] = (u8)((rex ^ 7) << 5 | (t->bits == 32 ? 0x10 : rng_u64(&g->r) & 0x10) |
			      t->map);
		b[n++] = (u8)(t->w << 7 | (r >> 8 & 0x78) | 4 | t->pp);
		b[n++] = (u8)(t->l << 5 | t->b << 4 | (r >> 16 & 8));
		if (t->masked)
			b[n - 1] |= (u8)(1 + rng_below(&g->r, 7)) | (rng_u64(&g->r) & 0x80);
	} else if (t->vex) {
		n += forms_put_vex(t, rex, fixed ? 0x78 : (u8)rng_u64(&g->r) & 0x78, b);
	} else {
		if (t->bits == 64 && (t->w || rex || rng_percent(&g->r, 10)))
			b[n++] = (u8)(0x40 | t->w << 3 | rex);
		n += forms_put_map(t, b + n);
	}
	b[n++] = t->opcode;
	return n;
}

static bool draft_form(struct bgen *g, const struct form *t, bool lock, struct draft *f)
{
	bool fixed = rng_percent(&g->r, 50);
	const u8 high = t->bits == 64;
	u8 reg = fixed ? t->reg : rng_u64(&g->r) & 7, rex = (rng_u64(&g->r) & high) << 2,
	   m[8] = {0};
	u64 tail = value_int(&g->r);
	unsigned n, k = 1;

	if (!t->vex && !t->evex && !t->map && (t->opcode & 0xfc) == 0xa0) {
		/* MOV with an address of its own */
		f->place.segment = 0;
		f->place.addr32 = false;
	}
	if (t->mem) {
		k = encode_place(&f->place, reg, m, &rex, g);
	} else {
		m[0] = (u8)(0xc0 | reg << 3 | (fixed ? t->rm : rng_u64(&g->r) & 7));
		rex |= rng_u64(&g->r) & high;
	}
	n = prefixes(g, t, &f->place, lock, f->bytes);
	n += opcode(g, t, rex, fixed, f->bytes + n);
	memcpy(f->bytes + n, m, k);
	memcpy(f->bytes + n + k, &tail, 8);
	if (!forms_decode_as(t->bits, f->bytes, 15, &f->d) || forms_key(&f->d) != t->key)
		return false;
	f->disp_at = f->d.insn.raw.disp.offset;
	return true;
}

static int register_number(ZydisRegister reg)
{
	ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	return full >= ZYDIS_REGISTER_RAX && full <= ZYDIS_REGISTER_R15
		       ? (int)(full - ZYDIS_REGISTER_RAX)
		       : -1;
}

static bool is_bit_test(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_BT || m == ZYDIS_MNEMONIC_BTS || m == ZYDIS_MNEMONIC_BTR ||
	       m == ZYDIS_MNEMONIC_BTC;
}

/* Rarely good for anything but a fault, or the end of what the other items rely on. */
static bool is_rude(ZydisMnemonic m)
{
	static const ZydisMnemonic rude[] = {
		ZYDIS_MNEMONIC_DIV,      ZYDIS_MNEMONIC_IDIV,     ZYDIS_MNEMONIC_LDMXCSR,
		ZYDIS_MNEMONIC_VLDMXCSR, ZYDIS_MNEMONIC_FLDCW,    ZYDIS_MNEMONIC_FLDENV,
		ZYDIS_MNEMONIC_FRSTOR,   ZYDIS_MNEMONIC_FXRSTOR,  ZYDIS_MNEMONIC_FXRSTOR64,
		ZYDIS_MNEMONIC_WRFSBASE, ZYDIS_MNEMONIC_WRGSBASE, ZYDIS_MNEMONIC_UD0,
		ZYDIS_MNEMONIC_UD1,      ZYDIS_MNEMONIC_UD2,      ZYDIS_MNEMONIC_POPF,
		ZYDIS_MNEMONIC_POPFQ,    ZYDIS_MNEMONIC_XLAT,     ZYDIS_MNEMONIC_INT3,
		ZYDIS_MNEMONIC_XRSTOR,   ZYDIS_MNEMONIC_XRSTOR64, ZYDIS_MNEMONIC_POPFD,
		ZYDIS_MNEMONIC_BOUND,    ZYDIS_MNEMONIC_INTO,     ZYDIS_MNEMONIC_AAM,
	};

	for (size_t i = 0; i < ARRAY_LEN(rude); i++)
		if (rude[i] == m)
			return true;
	return false;
}

static bool is_privileged(const struct decoded *d)
{
	return (d->insn.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) ||
	       d->insn.meta.category == ZYDIS_CATEGORY_SYSTEM ||
	       d->insn.meta.category == ZYDIS_CATEGORY_IO ||
	       d->insn.meta.category == ZYDIS_CATEGORY_IOSTRINGOP ||
	       d->insn.mnemonic == ZYDIS_MNEMONIC_CLI || d->insn.mnemonic == ZYDIS_MNEMONIC_STI;
}

/* Where in the window it is, as far as that can be known. */
static i32 window_place(const struct bgen *g, const struct place *p)
{
	return p->rip ? p->window : p->base >= 0 ? g->offset[p->base] + p->disp : 0;
}

static bool within(u32 pages, i32 at, i32 size)
{
	i32 first = at >> 12, last = (at + size - 1) >> 12;

	return first >= 0 && last < PG_WINDOW && (pages & BIT(first)) && (pages & BIT(last));
}

/* Does the place lead to a fault, or to what others rely on? */
static bool place_hurts(const struct bgen *g, const struct place *p, i32 size, bool written)
{
	const u32 writable = BIT(PG_DATA) | BIT(PG_DATA + 1) | BIT(PG_DATA + 2) | BIT(PG_DATA + 3) |
			     BIT(PAGE_DEMAND) | BIT(PAGE_REMAP) | BIT(PG_ALIAS) | BIT(PG_STACK) |
			     BIT(PG_STACK + 1) | BIT(PAGE_WRITABLE) | BIT(PG_CODE_ALIAS + 1);
	const u32 readable = writable | BIT(PG_RO) | BIT(PG_CODE) | BIT(PG_CODE + 1) |
			     BIT(PG_CODE_ALIAS);

	/* A function's return address. */
	if (written && g->spare_stack && p->base == X86_RSP && p->disp + size > 0)
		return true;
	if (p->segment)
		return false;
	if (p->index >= 0)
		size += (i32)p->scale * 64;
	return !within(written ? writable : readable, window_place(g, p), size);
}

int any_writable(struct bgen *g)
{
	for (unsigned tries = 0; tries < 20; tries++) {
		int reg = any_with(g, ROLE_POINTER);

		struct place p = {.base = reg, .index = -1};

		if (reg != X86_RSP && !place_hurts(g, &p, 64, true))
			return reg;
	}
	return -1;
}

/* 16-byte operands of legacy SSE that need no alignment. */
static bool bears_misalignment(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_MOVUPS || m == ZYDIS_MNEMONIC_MOVUPD ||
	       m == ZYDIS_MNEMONIC_MOVDQU || m == ZYDIS_MNEMONIC_LDDQU ||
	       m == ZYDIS_MNEMONIC_PCMPISTRI || m == ZYDIS_MNEMONIC_PCMPISTRM ||
	       m == ZYDIS_MNEMONIC_PCMPESTRI || m == ZYDIS_MNEMONIC_PCMPESTRM;
}

/* Of AVX. */
static bool wants_alignment(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_VMOVAPS || m == ZYDIS_MNEMONIC_VMOVAPD ||
	       m == ZYDIS_MNEMONIC_VMOVDQA || m == ZYDIS_MNEMONIC_VMOVNTPS ||
	       m == ZYDIS_MNEMONIC_VMOVNTPD || m == ZYDIS_MNEMONIC_VMOVNTDQ ||
	       m == ZYDIS_MNEMONIC_VMOVNTDQA;
}

static bool misaligned(const struct bgen *g, const struct draft *f, const ZydisDecodedOperand *op)
{
	const struct place *p = &f->place;
	bool aligned = !(window_place(g, p) & 63) && p->index < 0 && !p->segment;
	ZydisExceptionClass class = f->d.insn.meta.exception_class;

	if (class == ZYDIS_EXCEPTION_CLASS_E1 || class == ZYDIS_EXCEPTION_CLASS_E1NF)
		return !aligned;

	if (op->size >= 512 * 8 || f->d.insn.mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B)
		return !aligned;
	if (f->d.insn.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return op->size == 128 && !bears_misalignment(f->d.insn.mnemonic) && !aligned;
	return wants_alignment(f->d.insn.mnemonic) && !aligned;
}

/* MOV between an accumulator and a 64-bit address. */
static bool is_absolute(const struct decoded *d)
{
	return d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	       d->insn.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (d->insn.opcode & 0xfc) == 0xa0;
}

/*
 * A locked access that crosses cache lines locks the bus, for which hosts may put a process to
 * sleep. Across pages engines have ways of their own.
 */
static bool locks_bus(const struct bgen *g, const struct draft *f, i32 size)
{
	const struct place *p = &f->place;
	i32 at = window_place(g, p);

	if (!(f->d.insn.attributes & ZYDIS_ATTRIB_HAS_LOCK) &&
	    f->d.insn.mnemonic != ZYDIS_MNEMONIC_XCHG)
		return false;
	if (p->segment || p->index >= 0 || p->base == X86_RSP)
		return true;
	return (at & 63) + size > 64 && (at & 0xfff) + size <= 0x1000;
}

static bool operand_hurts(const struct bgen *g, const struct draft *f,
			  const ZydisDecodedOperand *op)
{
	bool written = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		int reg = register_number(op->reg.value);

		return written && reg >= 0 && g->role[reg] != ROLE_FREE;
	}
	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
		return false;
	if (op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN ||
	    op->mem.type == ZYDIS_MEMOP_TYPE_VSIB)
		return true;
	if (is_bit_test(f->d.insn.mnemonic) && f->d.op[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    g->role[register_number(f->d.op[1].reg.value)] != ROLE_INDEX)
		return true;
	if (is_absolute(&f->d))
		return false;
	/* A bit's offset may lead past the operand. */
	if (locks_bus(g, f, is_bit_test(f->d.insn.mnemonic) ? 16 : op->size / 8))
		return true;
	return misaligned(g, f, op) || place_hurts(g, &f->place, op->size / 8, written);
}

/* Would it disturb what the rest of the program relies on? */
static bool hurts(const struct bgen *g, const struct draft *f)
{
	const ZydisDecodedInstruction *n = &f->d.insn;

	if (n->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || is_rude(n->mnemonic) ||
	    is_privileged(&f->d))
		return true;
	for (unsigned i = 0; i < n->operand_count; i++)
		if (operand_hurts(g, f, &f->d.op[i]))
			return true;
	return false;
}

static bool slows(const struct bgen *g, const struct draft *f)
{
	return (f->d.insn.attributes & ZYDIS_ATTRIB_HAS_LOCK) ||
	       f->d.insn.mnemonic == ZYDIS_MNEMONIC_XCHG;
}

static void keep(struct bgen *g, const struct draft *f)
{
	const struct place *p = &f->place;
	u32 read = undefined_read(&f->d);
	int i;

	put_define(g, read);
	i = put_exact(g, f->bytes, f->d.insn.length);
	if (is_absolute(&f->d))
		g->b->item[i].fix[0] =
			(struct block_fix){.kind = FIX_ABSOLUTE,
					   .at = (u8)f->disp_at,
					   .size = g->b->bits / 8,
					   .item = -1,
					   .offset = (i32)rng_below(&g->r, 4 * 0x1000 - 8)};
	for (unsigned k = 0; k < f->d.insn.operand_count; k++)
		if (f->d.op[k].type == ZYDIS_OPERAND_TYPE_MEMORY && p->rip && !is_absolute(&f->d))
			g->b->item[i].fix[0] = (struct block_fix){.kind = FIX_RELATIVE,
								  .at = (u8)f->disp_at,
								  .size = 4,
								  .item = -1,
								  .offset = p->window};
	g->undefined = (g->undefined & ~undefined_defined(&f->d)) | undefined_after(&f->d);
}

void put_random_at(struct bgen *g, enum menu_kind kind, int pointer, i32 disp)
{
	const struct block_menu *m = g->menu;
	/* Now and then it may hurt. */
	unsigned careful = rng_below(&g->r, 200) ? 100 : 5;

	g->spare_stack = g->in_function && pointer < 0;
	for (unsigned tries = 0; tries < 100 && m->count[kind]; tries++) {
		const struct form *t =
			&m->forms.all[m->list[kind][rng_below(&g->r, m->count[kind])]];
		struct draft f = {0};

		if (pointer >= 0 && !t->mem)
			continue;
		choose_place(g, &f.place, rng_percent(&g->r, 30));
		if (pointer >= 0)
			f.place = (struct place){
				.base = pointer, .index = -1, .scale = 1, .disp = disp};
		if (!draft_form(g, t, kind == MENU_ATOMIC && t->mem && rng_percent(&g->r, 70), &f))
			continue;
		if (tries < careful ? hurts(g, &f) : slows(g, &f))
			continue;
		keep(g, &f);
		return;
	}
}

void put_random(struct bgen *g, enum menu_kind kind)
{
	put_random_at(g, kind, -1, 0);
}

/* ---- The menu ---------------------------------------------------------------------------------
 */

static bool has_feature(const char *feature)
{
	return silicon_has(feature) && guest_has(feature);
}

static bool is_common(ZydisMnemonic m)
{
	static const ZydisMnemonic common[] = {
		ZYDIS_MNEMONIC_MOV,   ZYDIS_MNEMONIC_ADD,    ZYDIS_MNEMONIC_SUB,
		ZYDIS_MNEMONIC_LEA,   ZYDIS_MNEMONIC_CMP,    ZYDIS_MNEMONIC_TEST,
		ZYDIS_MNEMONIC_XOR,   ZYDIS_MNEMONIC_AND,    ZYDIS_MNEMONIC_OR,
		ZYDIS_MNEMONIC_INC,   ZYDIS_MNEMONIC_DEC,    ZYDIS_MNEMONIC_MOVZX,
		ZYDIS_MNEMONIC_MOVSX, ZYDIS_MNEMONIC_MOVSXD, ZYDIS_MNEMONIC_SHL,
		ZYDIS_MNEMONIC_SHR,   ZYDIS_MNEMONIC_IMUL,   ZYDIS_MNEMONIC_NEG,
		ZYDIS_MNEMONIC_NOT,   ZYDIS_MNEMONIC_XCHG,   ZYDIS_MNEMONIC_ADC,
		ZYDIS_MNEMONIC_SBB,
	};

	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		if (common[i] == m)
			return true;
	return false;
}

static bool uses_class(const struct decoded *d, ZydisRegisterClass first, ZydisRegisterClass last)
{
	for (unsigned i = 0; i < d->insn.operand_count; i++) {
		ZydisRegisterClass c = d->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER
					       ? ZydisRegisterGetClass(d->op[i].reg.value)
					       : ZYDIS_REGCLASS_INVALID;

		if (c >= first && c <= last)
			return true;
	}
	return false;
}

static void add_to(struct block_menu *m, enum menu_kind kind, u32 form)
{
	m->list[kind][m->count[kind]++] = form;
}

static void add_general(struct block_menu *m, u32 i, const struct decoded *d)
{
	u32 written = d->insn.cpu_flags
			      ? (d->insn.cpu_flags->modified | d->insn.cpu_flags->set_0 |
				 d->insn.cpu_flags->set_1 | d->insn.cpu_flags->undefined) &
					X86_ARITH
			      : 0;
	bool counted = d->insn.meta.category == ZYDIS_CATEGORY_SHIFT ||
		       d->insn.meta.category == ZYDIS_CATEGORY_ROTATE;

	add_to(m, MENU_GENERAL, i);
	if (is_common(d->insn.mnemonic))
		add_to(m, MENU_COMMON, i);
	if (written || !undefined_read(d))
		add_to(m, written ? MENU_SETTERS : MENU_NEUTRAL, i);
	if (written && (counted || written != X86_ARITH))
		add_to(m, MENU_PARTIAL, i);
	if (undefined_read(d))
		add_to(m, MENU_READERS, i);
	if (d->insn.attributes & ZYDIS_ATTRIB_ACCEPTS_LOCK)
		add_to(m, MENU_ATOMIC, i);
}

static bool sample(struct bgen *g, const struct form *t, struct decoded *d)
{
	for (unsigned tries = 0; tries < 100; tries++) {
		struct draft f = {.place = {.base = X86_RSI, .index = -1}};

		if (draft_form(g, t, false, &f)) {
			*d = f.d;
			return true;
		}
	}
	return false;
}

static bool takes_part(const struct decoded *d)
{
	return d->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE && !is_rude(d->insn.mnemonic) &&
	       !is_privileged(d) &&
	       !(d->insn.attributes &
		 (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE));
}

static void classify(struct block_menu *m, struct bgen *g)
{
	for (u32 k = 0; k < m->forms.ntaking_part; k++) {
		u32 i = m->forms.taking_part[k];
		struct decoded d;

		if (!sample(g, &m->forms.all[i], &d) || !takes_part(&d))
			continue;
		if (uses_class(&d, ZYDIS_REGCLASS_XMM, ZYDIS_REGCLASS_ZMM) ||
		    uses_class(&d, ZYDIS_REGCLASS_MASK, ZYDIS_REGCLASS_MASK))
			add_to(m, MENU_VECTOR, i);
		else if (uses_class(&d, ZYDIS_REGCLASS_X87, ZYDIS_REGCLASS_MMX) ||
			 d.insn.meta.isa_set == ZYDIS_ISA_SET_X87)
			add_to(m, MENU_X87, i);
		else
			add_general(m, i, &d);
	}
}

struct block_menu *block_menu_create(unsigned bits)
{
	static struct block scratch;
	struct bgen g = {.r = {1}, .b = &scratch};
	struct block_menu *m = calloc(1, sizeof(*m));

	scratch.bits = (u8)bits;
	if (!m || forms_create(&m->forms, bits, has_feature)) {
		free(m);
		return NULL;
	}
	for (unsigned i = 0; i < MENUS; i++) {
		m->list[i] = calloc(m->forms.count, sizeof(u32));
		if (!m->list[i]) {
			block_menu_destroy(m);
			return NULL;
		}
	}
	classify(m, &g);
	return m;
}

void block_menu_destroy(struct block_menu *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < MENUS; i++)
		free(m->list[i]);
	forms_destroy(&m->forms);
	free(m);
}
