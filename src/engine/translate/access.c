/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory operands: is the page there with the right, and is it plain RAM? Then the instruction
 * works on host memory itself.
 *
 * The check subtracts the tag of the TLB entry from the address. What results is the offset in
 * the page or, when the entry is another page's, larger than any offset: one unsigned comparison
 * tests the tag and that the operand does not cross the page.
 */
#include "engine/translate/gen.h"

/* ---- Flags ---- */

void flags_to_memory(struct gen *g)
{
	struct code *c = g->c;

	if (g->fstate == FLAGS_MEM)
		return;
	held_drop(g, T0);
	e_rr(c, OP_MOV_LOAD, true, T0, X86_RAX);
	e_flags_to_ax(c);
	e_store32(c, hm_gs(T_OFF(flags_mem)), X86_RAX);
	e_rr(c, OP_MOV_LOAD, true, X86_RAX, T0);
	g->fstate = FLAGS_MEM;
}

void flags_to_host(struct gen *g)
{
	struct code *c = g->c;

	if (g->fstate == FLAGS_HOST)
		return;
	held_drop(g, T0);
	e_rr(c, OP_MOV_LOAD, true, T0, X86_RAX);
	e_load32(c, X86_RAX, hm_gs(T_OFF(flags_mem)));
	e_flags_from_ax(c);
	e_rr(c, OP_MOV_LOAD, true, X86_RAX, T0);
	g->fstate = FLAGS_HOST;
}

bool flags_prepare(struct gen *g)
{
	if (g->fstate == FLAGS_MEM)
		return false;
	if (g->i->strong)
		return true;
	if (g->i->weak)
		flags_to_memory(g);
	return false;
}

void flags_bracket(struct gen *g)
{
	e_store(g->c, hm_gs(T_OFF(save_rax)), X86_RAX);
	e_flags_to_ax(g->c);
}

void flags_unbracket(struct gen *g)
{
	e_flags_from_ax(g->c);
	e_load(g->c, X86_RAX, hm_gs(T_OFF(save_rax)));
}

/* ---- Addresses ---- */

u64 constant_address(const struct gen *g, const struct tr_insn *i)
{
	u64 a = (u64)i->disp + (i->rip_relative ? gen_rip(g, i) : 0);

	return i->a32 ? (u32)a : a;
}

void constant_mov(struct gen *g, const struct tr_insn *i, unsigned reg, u64 gva)
{
	if (i->rip_relative)
		gen_mov_relative(g, reg, gva);
	else
		e_mov_imm(g->c, reg, gva);
}

void constant_displacement(struct gen *g, const struct tr_insn *i, enum tr_address_kind kind)
{
	if (i->rip_relative)
		gen_note_displacement(g, kind);
}

void constant_short(struct gen *g, const struct tr_insn *i)
{
	if (i->rip_relative)
		gen_note_stays(g);
}

unsigned fields_copied(const struct gen *g, const struct tr_insn *i)
{
	return field_is_copied(g, i, FIELD_REG) + field_is_copied(g, i, FIELD_V);
}

static bool is_constant(const struct tr_insn *i)
{
	return i->base == NO_REG && i->index == NO_REG;
}

/* Which register has it, even if that is a scratch one, or -1. */
static int register_of(struct gen *g, unsigned guest)
{
	unsigned held;

	if (guest == NO_REG)
		return -1;
	if (!in_state(g, guest))
		return (int)host_reg(g, guest);
	held = held_value(g, guest);
	return held ? (int)held : -1;
}

/* So many parts of its address are to be loaded first. */
static unsigned parts_loaded(struct gen *g, const struct tr_insn *i)
{
	return (i->base != NO_REG && register_of(g, i->base) < 0) +
	       (i->index != NO_REG && register_of(g, i->index) < 0);
}

bool ea_again(struct gen *g, const struct tr_insn *i)
{
	return held_in(g, T2) && !is_constant(i) && !i->seg && !parts_loaded(g, i);
}

/* Into T0, or T1 if that is taken. */
static int load_part(struct gen *g, unsigned guest, int taken)
{
	int reg = taken == T0 ? T1 : T0;

	held_drop(g, (unsigned)reg);
	e_load(g->c, (unsigned)reg, state_reg(guest));
	return reg;
}

/* T0 = the sum that m says, of those registers (NO_REG: none). */
static void sum_of(struct gen *g, unsigned base, unsigned index, struct hmem m, bool a32)
{
	m.base = register_of(g, base);
	m.index = register_of(g, index);
	if (base != NO_REG && m.base < 0)
		m.base = load_part(g, base, m.index);
	if (index != NO_REG && m.index < 0)
		m.index = load_part(g, index, m.base);
	(a32 ? e_lea32 : e_lea)(g->c, T0, m);
}

void ea_offset(struct gen *g, const struct tr_insn *i)
{
	if (is_constant(i))
		constant_mov(g, i, T0, constant_address(g, i));
	else
		sum_of(g, i->base, i->index, (struct hmem){.shift = i->shift, .disp = (i32)i->disp},
		       i->a32);
	held_drop(g, T0);
}

/* Linear addresses of 32-bit code have 32 bits too. */
static void ea_segment_base(struct gen *g, const struct tr_insn *i)
{
	held_drop(g, T1);
	e_load(g->c, T1,
	       hm_gs(i->seg == X86_FS ? V_OFF(seg[X86_FS].base) : V_OFF(seg[X86_GS].base)));
	(g->in->compat ? e_lea32 : e_lea)(g->c, T0, (struct hmem){.base = T0, .index = T1});
}

void ea_operand(struct gen *g, const struct tr_insn *i)
{
	ea_offset(g, i);
	if (i->seg)
		ea_segment_base(g, i);
}

/* ---- Checks ---- */

static i32 table_off(const struct gen *g)
{
	return T_OFF(tables) + (i32)((g->in->user ? TLB_TABLE_USER : TLB_TABLE_KERNEL) * TLB_SIZE *
				     sizeof(struct tlb_entry));
}

i32 tlb_tag_off(const struct gen *g, unsigned access)
{
	return table_off(g) + (i32)(access & X86_WRITE ? offsetof(struct tlb_entry, wtag)
						       : offsetof(struct tlb_entry, rtag));
}

i32 tlb_addend_off(const struct gen *g)
{
	return table_off(g) + (i32)offsetof(struct tlb_entry, addend);
}

/* T1 = byte offset in the table of the entry for the address in a register. */
void tlb_entry_offset_of(struct gen *g, unsigned reg)
{
	struct code *c = g->c;

	_Static_assert(sizeof(struct tlb_entry) == 32, "the shift below is by 12 - 5");
	if (tr_host_has(g->t, TR_HOST_BMI2)) {
		E_CODE(c, 0xc4, reg > 7 ? 0x43 : 0x63, 0xfb, 0xf0, 0xd0 | (reg & 7), 7); /* rorx */
	} else {
		e_rr(c, OP_MOV_LOAD, false, T1, reg);
		E_CODE(c, 0x41, 0xc1, 0xea, 7); /* shr r10d, 7 */
	}
	e_and32_imm(c, T1, (TLB_SIZE - 1) * sizeof(struct tlb_entry));
}

void tlb_entry_offset(struct gen *g)
{
	tlb_entry_offset_of(g, T0);
}

/* The copy of a run shares the run's sites, as far as flags are in the same place. */
u32 access_site(struct gen *g, unsigned size, unsigned access, bool stack)
{
	const struct tr_site s = {.rip = gen_rip(g, g->i),
				  .kind = SITE_INTERP,
				  .flags = (u8)g->fstate,
				  .size = (u8)size,
				  .access = (u8)access,
				  .locked = tr_insn_locked(g->i),
				  .raises = tr_insn_raises(g->i),
				  .stack = stack};
	u32 *of = g->w->sites[g->index], n;

	for (unsigned k = 0; k < 2 && gen_is_cold(g); k++)
		if (of[k] && tr_site_like(g->t, of[k], &s))
			return of[k];
	n = new_site(g, s);
	if (!g->copying)
		of[of[0] != 0] = n;
	return n;
}

/* A check in the making: its flags are cared for and its address is in T0. */
struct check {
	bool bracket;
	u32 retry, site;
	u8 ea;
	i32 disp;
};

static void check_failed(struct gen *g, const struct check *k, unsigned cc)
{
	struct stub *s;
	u32 jump = e_jcc(g->c, cc);

	s = new_stub(g, STUB_SLOW);
	s->ea = k->ea;
	s->bracket = k->bracket;
	s->jump = jump;
	s->back = k->retry;
	s->site = k->site;
	s->disp = k->disp;
}

static struct check check_begin(struct gen *g, unsigned size, unsigned access, bool stack)
{
	struct check k = {.bracket = flags_prepare(g)};

	k.site = access_site(g, size, access, stack);
	k.retry = g->c->at;
	return k;
}

/* The address is in T0 or T2, which becomes the offset in the page; T1 is the entry's. */
static void check_tag_in(struct gen *g, const struct check *k, unsigned reg, unsigned size,
			 unsigned access)
{
	e_rm(g->c, OP_SUB, true, reg, hm_gs_at(T1, tlb_tag_off(g, access)));
	e_cmp_imm(g->c, reg, (i32)(ALC_PAGE_SIZE - size));
	check_failed(g, k, CC_A);
	if (tr_insn_locked(g->i) && size > 1) {                       /* see slow.c */
		E_CODE(g->c, 0x41, 0xf6, 0xc0 | (reg & 7), size - 1); /* test reg, size - 1 */
		check_failed(g, k, CC_NE);
	}
}

/* The address is in T0, and perhaps in another register, from which it comes sooner. */
static void check_tag_of(struct gen *g, const struct check *k, unsigned reg, unsigned size,
			 unsigned access)
{
	tlb_entry_offset_of(g, reg);
	check_tag_in(g, k, T0, size, access);
}

static void check_tag(struct gen *g, const struct check *k, unsigned size, unsigned access)
{
	check_tag_of(g, k, T0, size, access);
}

/*
 * T0, the offset in the page, becomes the operand's address by the entry's page, whatever was
 * checked: `spectre`. The page is that of the reading tag; the other may be none.
 */
static struct access masked(struct gen *g, const struct check *k)
{
	struct code *c = g->c;

	e_and32_imm(c, T0, ALC_PAGE_SIZE - 1);
	e_rm(c, OP_ADD, true, T0, hm_gs_at(T1, tlb_tag_off(g, X86_READ)));
	e_rm(c, OP_ADD, true, T0, hm_gs_at(T1, tlb_addend_off(g)));
	if (k->bracket)
		flags_unbracket(g);
	return (struct access){.m = hm(T0, 0), .busy = BIT(T0), .site = k->site};
}

static struct access check_masked(struct gen *g, const struct tr_insn *i)
{
	struct check k = check_begin(g, i->size, i->access, false);

	ea_operand(g, i);
	if (k.bracket)
		flags_bracket(g);
	check_tag(g, &k, i->size, i->access);
	return masked(g, &k);
}

static struct access base_and_addend(const struct gen *g, const struct tr_insn *i, int base,
				     u32 site)
{
	return (struct access){.m = {.base = base, .index = T1, .disp = (i32)i->disp},
			       .busy = BIT(T1) | (in_state(g, i->base) ? BIT((unsigned)base) : 0),
			       .site = site};
}

/* The register of an operand that has a base and a displacement alone, or -1. */
static int base_of(struct gen *g, const struct tr_insn *i)
{
	if (i->base == NO_REG || i->index != NO_REG || i->seg || i->a32)
		return -1;
	/* A scratch one leaves two for the check and for other operands. */
	return in_state(g, i->base) && fields_copied(g, i) > 1 ? -1 : register_of(g, i->base);
}

/* The base keeps its register, the check is off the path of the data. */
static struct access check_base(struct gen *g, const struct tr_insn *i, int base)
{
	struct check k = check_begin(g, i->size, i->access, false);
	/* RAX is flags within a bracket. */
	bool early = i->disp == 0 && !k.bracket;

	ea_operand(g, i);
	if (k.bracket)
		flags_bracket(g);
	check_tag_of(g, &k, early ? (unsigned)base : T0, i->size, i->access);
	e_load(g->c, T1, hm_gs_at(T1, tlb_addend_off(g)));
	if (k.bracket)
		flags_unbracket(g);
	return base_and_addend(g, i, base, k.site);
}

/* The address in T0 and the addend in T1, unless the instruction needs more than T2 besides. */
struct access at_address(struct gen *g, const struct tr_insn *i, u32 site)
{
	struct hmem m = {.base = T0, .index = T1};

	if (fields_copied(g, i) < 2)
		return (struct access){.m = m, .busy = BIT(T0) | BIT(T1), .site = site};
	e_lea(g->c, T0, m);
	return (struct access){.m = hm(T0, 0), .busy = BIT(T0), .site = site};
}

/*
 * Anything: a copy of the address is compared, so that the data waits for the addend alone. Where
 * T2 is in use, the address is made twice instead.
 */
static struct access check_any(struct gen *g, const struct tr_insn *i)
{
	struct check k = check_begin(g, i->size, i->access, false);
	bool again = ea_again(g, i);

	if (!again)
		held_drop(g, T2);
	ea_operand(g, i);
	if (k.bracket)
		flags_bracket(g);
	if (!again)
		e_rr(g->c, OP_MOV_LOAD, true, T2, T0);
	tlb_entry_offset_of(g, T0);
	check_tag_in(g, &k, again ? T0 : T2, i->size, i->access);
	e_load(g->c, T1, hm_gs_at(T1, tlb_addend_off(g)));
	if (k.bracket)
		flags_unbracket(g);
	if (again)
		ea_offset(g, i);
	return at_address(g, i, k.site);
}

/*
 * Bit n of the string at EA is bit n mod 64 of the element at EA + (n >> 6) * 8; 32 bits likewise
 * (SDM vol. 2, BT). n is signed.
 */
static void ea_bits(struct gen *g, const struct tr_insn *i)
{
	struct code *c = g->c;

	ea_operand(g, i);
	if (in_state(g, i->reg))
		e_load(c, T2, state_reg(i->reg));
	else
		e_rr(c, OP_MOV_LOAD, true, T2, host_reg(g, i->reg));
	if (i->size == 4)
		e_rr(c, 0x63, true, T2, T2);   /* movsxd */
	if (tr_host_has(g->t, TR_HOST_BMI2)) { /* keeps flags */
		e_mov_imm(c, T1, i->size == 8 ? 6 : 5);
		E_CODE(c, 0xc4, 0x42, 0xaa, 0xf7, 0xd3); /* sarx r10, r11, r10 */
	} else {
		e_rr(c, OP_MOV_LOAD, true, T1, T2);
		E_CODE(c, 0x49, 0xc1, 0xfa, i->size == 8 ? 6 : 5); /* sar r10 */
	}
	(g->in->compat ? e_lea32 : e_lea)(
		c, T0, (struct hmem){.base = T0, .index = T1, .shift = i->size == 8 ? 3 : 2});
}

struct access access_bits(struct gen *g, const struct tr_insn *i)
{
	struct check k = check_begin(g, i->size, i->access, false);

	k.ea = EA_BITS;
	ea_bits(g, i);
	if (k.bracket)
		flags_bracket(g);
	check_tag(g, &k, i->size, i->access);
	if (g->t->vm->spectre)
		e_and32_imm(g->c, T0, ALC_PAGE_SIZE - 1);
	e_rm(g->c, OP_ADD, true, T0, hm_gs_at(T1, tlb_tag_off(g, X86_READ)));
	e_rm(g->c, OP_ADD, true, T0, hm_gs_at(T1, tlb_addend_off(g)));
	e_and32_imm(g->c, T2, i->size * 8 - 1);
	if (k.bracket)
		flags_unbracket(g);
	return (struct access){.m = hm(T0, 0), .busy = BIT(T0) | BIT(T2), .site = k.site};
}

/* A constant address has a constant entry. */
static struct access check_constant(struct gen *g, const struct tr_insn *i, u64 gva)
{
	i32 entry = (i32)(tlb_index(gva) * sizeof(struct tlb_entry));
	u64 page = gva & ALC_PAGE_MASK;
	bool near = (u64)(i64)(i32)page == page && (u64)(i64)(i32)gva == gva;
	struct check k = check_begin(g, i->size, i->access, false);
	struct code *c = g->c;
	struct access a = {.site = k.site};

	g->t->n_constant++;
	if (near)
		constant_short(g, i);
	else
		constant_mov(g, i, T0, page);
	if (k.bracket)
		flags_bracket(g);
	if (near) {
		e_rm(c, 0x81, true, 7, hm_gs(tlb_tag_off(g, i->access) + entry));
		e32(c, (u32)page);
	} else {
		e_rm(c, OP_CMP, true, T0, hm_gs(tlb_tag_off(g, i->access) + entry));
		constant_displacement(g, i, ADDRESS_TLB);
	}
	check_failed(g, &k, CC_NE);
	e_load(c, T1, hm_gs(tlb_addend_off(g) + entry));
	constant_displacement(g, i, ADDRESS_TLB);
	if (k.bracket)
		flags_unbracket(g);
	if (near) {
		a.m = hm(T1, (i32)gva);
		a.busy = BIT(T1);
	} else {
		a.m = (struct hmem){.base = T0, .index = T1, .disp = (i32)page_offset(gva)};
		a.busy = BIT(T0) | BIT(T1);
	}
	return a;
}

static unsigned log_rounded_up(unsigned size)
{
	return size > 1 ? 32 - (unsigned)__builtin_clz(size - 1) : 0;
}

static i32 limit_off(unsigned size)
{
	return (i32)(offsetof(struct tr_range, limit) + log_rounded_up(size) * sizeof(u64));
}

/* ---- 32-bit code ----
 *
 * A sum of registers wraps at 4 GiB, and what their upper halves hold is nobody's business: the
 * operand is accessed by the address that was checked, never by the registers.
 */

/* The offset and the operand behind it must be below 4 GiB: nothing else can be wrong with it. */
static void check_limit(struct gen *g, const struct check *k, const struct tr_insn *i)
{
	struct stub *s;
	u32 jump;

	E_CODE(g->c, 0x41, 0x83, 0xf9, (u8)-i->size); /* cmp r9d, -size */
	jump = e_jcc(g->c, CC_A);
	s = new_stub(g, STUB_EXIT);
	s->jump = jump;
	s->site = k->site;
	s->bracket = k->bracket;
}

/* Anything; leaves T0 to the byte of AH, CH, DH or BH. */
static struct access check_compat(struct gen *g, const struct tr_insn *i)
{
	struct check k = check_begin(g, i->size, i->access, false);

	ea_offset(g, i);
	if (k.bracket)
		flags_bracket(g);
	if (i->seg) {
		if (!is_constant(i) && i->size > 1)
			check_limit(g, &k, i);
		ea_segment_base(g, i);
	}
	e_rr(g->c, OP_MOV_LOAD, false, T2, T0);
	check_tag(g, &k, i->size, i->access);
	if (g->t->vm->spectre)
		return masked(g, &k);
	e_load(g->c, T1, hm_gs_at(T1, tlb_addend_off(g)));
	if (k.bracket)
		flags_unbracket(g);
	return (struct access){
		.m = {.base = T2, .index = T1}, .busy = BIT(T1) | BIT(T2), .site = k.site};
}

/* At ESP or EBP; keeps T2. */
static struct access check_compat_stack(struct gen *g, unsigned base, i32 disp, unsigned size,
					unsigned access, enum ea_kind ea)
{
	bool ranged = tr_has(g->t, TR_RANGE);
	struct check k = check_begin(g, size, access, ranged);
	struct code *c = g->c;

	k.ea = (u8)ea;
	k.disp = disp;
	e_lea32(c, T0, hm((int)base, disp));
	if (k.bracket)
		flags_bracket(g);
	if (ranged) {
		i32 range = T_OFF(range) + (i32)(g->in->user * sizeof(struct tr_range));

		e_rm(c, OP_SUB, true, T0, hm_gs(range + (i32)offsetof(struct tr_range, base)));
		e_rm(c, OP_CMP, true, T0, hm_gs(range + limit_off(size)));
		check_failed(g, &k, CC_A);
		e_load(c, T1, hm_gs(range + (i32)offsetof(struct tr_range, addend)));
	} else {
		check_tag(g, &k, size, access);
		if (g->t->vm->spectre)
			return masked(g, &k);
		e_load(c, T1, hm_gs_at(T1, tlb_addend_off(g)));
	}
	e_lea32(c, T0, hm((int)base, disp));
	if (k.bracket)
		flags_unbracket(g);
	return (struct access){
		.m = {.base = T0, .index = T1}, .busy = BIT(T0) | BIT(T1), .site = k.site};
}

static bool fits_range(const struct tr_insn *i)
{
	return i->size <= 8 && !(i->size & (i->size - 1));
}

static struct access access_compat(struct gen *g, const struct tr_insn *i)
{
	u64 gva = constant_address(g, i);

	if (tr_insn_locked(i) || i->seg)
		return check_compat(g, i);
	if (i->base == X86_RSP && i->index == NO_REG && fits_range(i))
		return check_compat_stack(g, H_RSP, (i32)i->disp, i->size, i->access, EA_STACK);
	if (is_constant(i) && tr_has(g->t, TR_CONSTANT) &&
	    page_offset(gva) + i->size <= ALC_PAGE_SIZE)
		return check_constant(g, i, gva);
	return check_compat(g, i);
}

/* ---- The choice ---- */

/* Near RSP, as a rule: a run of pages that is known to be writable. */
static struct access check_range(struct gen *g, unsigned base, i32 disp, unsigned size,
				 unsigned access, enum ea_kind ea)
{
	i32 range = T_OFF(range) + (i32)(g->in->user * sizeof(struct tr_range));
	struct check k = check_begin(g, size, access, true);
	struct code *c = g->c;

	k.ea = (u8)ea;
	k.disp = disp;
	e_lea(c, T0, hm((int)base, disp));
	if (k.bracket)
		flags_bracket(g);
	e_rm(c, OP_SUB, true, T0, hm_gs(range + (i32)offsetof(struct tr_range, base)));
	e_rm(c, OP_CMP, true, T0, hm_gs(range + limit_off(size)));
	check_failed(g, &k, CC_A);
	e_load(c, T1, hm_gs(range + (i32)offsetof(struct tr_range, addend)));
	if (k.bracket)
		flags_unbracket(g);
	return (struct access){.m = {.base = (int)base, .index = T1, .disp = disp},
			       .busy = BIT(T1),
			       .site = k.site};
}

/* ---- Groups ---- */

void group_address(struct gen *g, const struct group *p)
{
	sum_of(g, p->base, p->index, (struct hmem){.shift = p->shift, .disp = (i32)p->lo}, false);
}

u32 access_group_check(struct gen *g, const struct group *p, bool bracket)
{
	i32 range = T_OFF(range) + (i32)(g->in->user * sizeof(struct tr_range));
	unsigned span = (unsigned)(p->hi - p->lo);
	struct code *c = g->c;
	u32 jump;

	group_address(g, p);
	if (bracket)
		flags_bracket(g);
	if (p->range) {
		e_rm(c, OP_SUB, true, T0, hm_gs(range + (i32)offsetof(struct tr_range, base)));
		e_rm(c, OP_CMP, true, T0, hm_gs(range + limit_off(span)));
		jump = e_jcc(c, CC_A);
		e_load(c, T1, hm_gs(range + (i32)offsetof(struct tr_range, addend)));
	} else {
		tlb_entry_offset_of(g, T0);
		e_rm(c, OP_SUB, true, T0,
		     hm_gs_at(T1, tlb_tag_off(g, p->write ? X86_WRITE : X86_READ)));
		e_cmp_imm(c, T0, (i32)(ALC_PAGE_SIZE - span));
		jump = e_jcc(c, CC_A);
		e_load(c, T1, hm_gs_at(T1, tlb_addend_off(g)));
	}
	if (bracket)
		flags_unbracket(g);
	return jump;
}

/* The addend of the operand's group is in T1. */
static struct access member_operand(struct gen *g, const struct tr_insn *i)
{
	u32 site = access_site(g, i->size, i->access, false);
	int base = base_of(g, i);

	if (base >= 0)
		return base_and_addend(g, i, base, site);
	if (parts_loaded(g, i) == 2) { /* takes T1 */
		held_drop(g, T2);
		e_rr(g->c, OP_MOV_LOAD, true, T2, T1);
		ea_operand(g, i);
		e_rr(g->c, OP_MOV_LOAD, true, T1, T2);
	} else {
		ea_operand(g, i);
	}
	return at_address(g, i, site);
}

/* ---- Copies of runs ---- */

/* T1 = the addend of the address in T0, by the runtime, which spares flags. */
static u32 checked(struct gen *g, unsigned size, unsigned access, bool ranged)
{
	u32 site = access_site(g, size, access, ranged);
	unsigned check = log_rounded_up(size) + (access & X86_WRITE ? CHECK_SIZES : 0);

	e_mov_imm(g->c, T1, site);
	e_call_to(g->c, g->t->rt.checked[g->in->user][ranged ? (unsigned)CHECK_RANGE : check]);
	return site;
}

static struct access copied_operand(struct gen *g, const struct tr_insn *i)
{
	bool simple = i->base != NO_REG && i->index == NO_REG && !i->seg && !i->a32;
	u32 site;

	ea_operand(g, i);
	site = checked(g, i->size, i->access,
		       simple && i->base == X86_RSP && fits_range(i) && tr_has(g->t, TR_RANGE));
	if (!simple || in_state(g, i->base))
		return at_address(g, i, site);
	return base_and_addend(g, i, (int)host_reg(g, i->base), site);
}

static struct access copied_word(struct gen *g, i32 disp, unsigned access)
{
	e_lea(g->c, T0, hm(H_RSP, disp));
	return (struct access){.m = {.base = H_RSP, .index = T1, .disp = disp},
			       .busy = BIT(T1),
			       .site = checked(g, 8, access, tr_has(g->t, TR_RANGE))};
}

struct access access_operand(struct gen *g, const struct tr_insn *i)
{
	int base;

	if (g->in->compat)
		return access_compat(g, i);
	if (g->t->vm->spectre)
		return check_masked(g, i);
	if (fast_has(g))
		return fast_operand(g, i);
	if (windows_for(g, i))
		return window_operand(g, i);
	if (gen_is_cold(g) && !tr_insn_locked(i) && i->size <= CHECK_SIZE_MAX)
		return copied_operand(g, i);
	if (group_addend(g, i->group))
		return member_operand(g, i);
	base = base_of(g, i);
	if (tr_insn_locked(i))
		return base >= 0 ? check_base(g, i, base) : check_any(g, i);
	if (reach_wanted(g))
		return reach_operand(g, i);
	if (base == H_RSP && fits_range(i) && tr_has(g->t, TR_RANGE))
		return check_range(g, H_RSP, (i32)i->disp, i->size, i->access, EA_STACK);
	if (base >= 0)
		return check_base(g, i, base);
	if (is_constant(i) && !i->seg && tr_has(g->t, TR_CONSTANT) && fields_copied(g, i) < 2) {
		u64 gva = constant_address(g, i);

		if (page_offset(gva) + i->size <= ALC_PAGE_SIZE)
			return check_constant(g, i, gva);
	}
	return check_any(g, i);
}

static struct access stack_by_table(struct gen *g, unsigned base, i32 disp, unsigned access,
				    enum ea_kind ea)
{
	struct check k = check_begin(g, 8, access, false);

	k.ea = (u8)ea;
	k.disp = disp;
	e_lea(g->c, T0, hm((int)base, disp));
	if (k.bracket)
		flags_bracket(g);
	check_tag(g, &k, 8, access);
	if (g->t->vm->spectre)
		return masked(g, &k);
	e_load(g->c, T1, hm_gs_at(T1, tlb_addend_off(g)));
	if (k.bracket)
		flags_unbracket(g);
	return (struct access){.m = {.base = (int)base, .index = T1, .disp = disp},
			       .busy = BIT(T1),
			       .site = k.site};
}

struct access access_stack(struct gen *g, i32 disp, unsigned access)
{
	if (g->in->compat)
		return check_compat_stack(g, H_RSP, disp, 4, access, EA_STACK);
	if (windows_for(g, g->i))
		return window_at(g, X86_RSP, disp, 8, access);
	if (gen_is_cold(g))
		return copied_word(g, disp, access);
	if (group_addend(g, g->i->stack_group))
		return (struct access){.m = {.base = H_RSP, .index = T1, .disp = disp},
				       .busy = BIT(T1),
				       .site = access_site(g, 8, access, true)};
	return tr_has(g->t, TR_RANGE) ? check_range(g, H_RSP, disp, 8, access, EA_STACK)
				      : stack_by_table(g, H_RSP, disp, access, EA_STACK);
}

struct access access_frame(struct gen *g)
{
	if (g->in->compat)
		return check_compat_stack(g, X86_RBP, 0, 4, X86_READ, EA_FRAME);
	if (windows_for(g, g->i))
		return window_at(g, X86_RBP, 0, 8, X86_READ);
	return tr_has(g->t, TR_RANGE) ? check_range(g, X86_RBP, 0, 8, X86_READ, EA_FRAME)
				      : stack_by_table(g, X86_RBP, 0, X86_READ, EA_FRAME);
}

/* Out of line: the address once more, and let C see what can be done. */
void stub_slow(struct gen *g, const struct stub *s)
{
	const struct fast_loop *l = g->fast;
	struct code *c = g->c;
	bool stack;

	if (s->bracket)
		flags_unbracket(g);
	swap_leave(g);
	if (s->ea == EA_STACK)
		gen_lea_word(g, T0, H_RSP, s->disp);
	else if (s->ea == EA_BITS)
		ea_bits(g, g->i);
	else if (s->ea == EA_RDI)
		e_rr(c, OP_MOV_LOAD, true, T0, X86_RDI);
	else if (s->ea == EA_FRAME)
		gen_lea_word(g, T0, X86_RBP, 0);
	else
		ea_operand(g, g->i);
	e_mov_imm(c, T1, s->site);
	stack = s->site && tr_slot(g->t, s->site)->stack;
	e_call_to(c, stack ? g->t->rt.range_miss[g->in->user] : g->t->rt.slow);
	if (l)
		swap_enter(g, l);
	e_jmp_to(c, s->back);
}
