/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generator's frame: instructions in the order of their addresses, then the cold code. Here
 * also those instructions that run as they are, with other registers.
 */
#include "engine/translate/gen.h"

/* ---- Registers ---- */

enum { STATE_REGS = 0xf << X86_R8 };

bool in_state(const struct gen *g, unsigned guest)
{
	return (g->fast ? g->fast->in_state : STATE_REGS) >> guest & 1;
}

unsigned host_reg(const struct gen *g, unsigned guest)
{
	if (guest == X86_RSP)
		return H_RSP;
	return g->fast ? g->fast->host[guest] : guest;
}

struct hmem state_reg(unsigned guest)
{
	return hm_gs(V_OFF(gpr) + (i32)(guest * sizeof(u64)));
}

unsigned gen_word(const struct gen *g)
{
	return g->in->compat ? 4 : 8;
}

void gen_load_word(struct gen *g, unsigned reg, struct hmem m)
{
	e_rm(g->c, OP_MOV_LOAD, !g->in->compat, reg, m);
}

void gen_store_word(struct gen *g, struct hmem m, unsigned reg)
{
	e_rm(g->c, OP_MOV_STORE, !g->in->compat, reg, m);
}

/* Sign-extended */
void gen_store_word_imm(struct gen *g, struct hmem m, i32 imm)
{
	e_rm(g->c, 0xc7, !g->in->compat, 0, m);
	e32(g->c, (u32)imm);
}

void gen_lea_word(struct gen *g, unsigned to, unsigned base, i32 disp)
{
	(g->in->compat ? e_lea32 : e_lea)(g->c, to, hm((int)base, disp));
}

void gen_move_word(struct gen *g, unsigned to, unsigned from)
{
	e_rr(g->c, OP_MOV_LOAD, !g->in->compat, to, from);
}

void gen_load_state(struct gen *g, unsigned reg, unsigned guest)
{
	held_drop(g, reg);
	e_load(g->c, reg, state_reg(guest));
	hold_value(g, reg, guest);
}

void gen_store_state(struct gen *g, unsigned guest, unsigned reg)
{
	e_store(g->c, state_reg(guest), reg);
	hold_value(g, reg, guest);
}

u64 gen_rip(const struct gen *g, const struct tr_insn *i)
{
	return g->in->page_rip + i->off;
}

/* ---- Addresses of the region's ---- */

void gen_note_stays(struct gen *g)
{
	g->in->region->stays = true;
}

static void note_address(struct gen *g, u32 at, enum tr_address_kind kind)
{
	if (g->naddresses == ADDRESSES_MAX)
		gen_note_stays(g);
	else
		g->w->addresses[g->naddresses++] = (struct tr_address){.at = at & mask_low(30),
								       .kind = kind & 3};
}

void gen_mov_relative(struct gen *g, unsigned reg, u64 va)
{
	u32 before = g->c->at;

	e_mov_imm(g->c, reg, va);
	if (g->c->at - before == 2 + sizeof(va))
		note_address(g, g->c->at - (u32)sizeof(va), ADDRESS_ITSELF);
	else
		gen_note_stays(g);
}

void gen_note_displacement(struct gen *g, enum tr_address_kind kind)
{
	note_address(g, g->c->at - (u32)sizeof(i32), kind);
}

/* ---- Sites, stubs, entries ---- */

u32 new_site(struct gen *g, struct tr_site s)
{
	u32 n;

	s.region = g->in->region;
	if (s.kind == SITE_INTERP && swap_is_on(g)) {
		s.swapped = 1;
		s.restore = g->fast->restore;
	}
	if (s.kind == SITE_INTERP || s.kind == SITE_STEP || s.kind == SITE_ONE)
		s.uncount = (u16)g->counted;
	n = tr_site_new(g->t, &s);
	g->full |= !n;
	return n;
}

struct stub *new_stub(struct gen *g, enum stub_kind kind)
{
	static struct stub overflow; /* written, never read: the region is dropped */
	struct stub *s;

	if (g->nstubs == STUBS_MAX) {
		g->full = true;
		return &overflow;
	}
	s = &g->w->stubs[g->nstubs++];
	*s = (struct stub){.kind = (u8)kind,
			   .insn = (u16)g->index,
			   .fstate = (u8)g->fstate,
			   .fast = g->fast ? (u8)(g->fast - g->w->fast + 1) : 0};
	return s;
}

static void add_point(struct gen *g, struct tr_point p, unsigned head)
{
	if (!tr_has(g->t, TR_KICKS))
		return;
	if (g->npoints == POINTS_MAX) {
		g->full = true;
		return;
	}
	g->w->point_heads[g->npoints] = (u16)head;
	g->w->points[g->npoints++] = p;
}

void note_point(struct gen *g, u32 rel, u32 to, bool compares)
{
	add_point(g, (struct tr_point){.rel = rel, .to = to & mask_low(31), .compares = compares},
		  0);
}

void note_back(struct gen *g, u32 rel, unsigned head)
{
	add_point(g, (struct tr_point){.rel = rel}, head + 1);
}

void add_entry(struct gen *g, u64 rip, u32 host, bool mem, bool pops, bool live)
{
	g->w->heads[g->nheads++] = (struct tr_entry){
		.rip = rip,
		.host = host,
		.mem = mem,
		.pops = pops,
		.live = live,
	};
}

static bool is_division(const struct tr_insn *i)
{
	return i->map == 0 && (i->opcode & ~1u) == 0xf6; /* or of its group */
}

/* What was checked by itself, as in copies, faults if it is DIV or asks for alignment. */
static bool may_fault(const struct gen *g)
{
	const struct tr_insn *i = g->i;

	return !gen_is_cold(g) || g->in->region->mode & MODE_WINDOWS || i->fpu ||
	       i->kind != K_PLAIN || i->size > 8 || is_division(i);
}

void main_point(struct gen *g, u32 site)
{
	if (!may_fault(g))
		return;
	g->full |= !tr_fault_point(g->t, g->c->at, site);
}

/* ---- Encoding ---- */

enum { IX_REG, IX_RM, IX_V, IX_OP, IX_FIELDS };

static void emit_modrm(struct gen *g, unsigned reg, unsigned rm, const struct hmem *m)
{
	if (m)
		e_modrm_mem(g->c, reg, m);
	else
		e8(g->c, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static void emit_vex(struct gen *g, const struct tr_insn *i, const u8 *host, const struct hmem *m)
{
	struct code *c = g->c;
	unsigned rxb = (host[IX_REG] >> 3 & 1) << 2;

	rxb |= m ? e_rex_mem(0, m) : host[IX_RM] >> 3 & 1;
	e8(c, 0xc4);
	e8(c, (~rxb & 7) << 5 | i->map);
	e8(c,
	   (i->w ? 0x80u : 0) | (~(unsigned)host[IX_V] & 15) << 3 | (i->l ? 4u : 0) | i->prefixes);
	e8(c, i->opcode);
	if (i->has_modrm)
		emit_modrm(g, host[IX_REG], host[IX_RM], m);
}

/* As SDM vol. 2 2.7.1 has it: registers have five bits, all inverted. */
static void emit_evex(struct gen *g, const struct tr_insn *i, const u8 *host, const struct hmem *m)
{
	unsigned reg = host[IX_REG], v = host[IX_V], rm = m ? e_rex_mem(0, m) << 3 : host[IX_RM];
	unsigned p0 = (reg & 8 ? 0x80 : 0) | (rm & 16 ? 0x40 : 0) | (rm & 8 ? 0x20 : 0) |
		      (reg & 16 ? 0x10 : 0);
	struct code *c = g->c;

	E_CODE(c, 0x62, (p0 ^ 0xf0) | i->map, (i->w ? 0x84 : 4) | (~v & 15) << 3 | i->prefixes,
	       (i->evex_last & 0xf7) | (v & 16 ? 0 : 8), i->opcode);
	emit_modrm(g, reg, rm, m);
}

static void emit_legacy(struct gen *g, const struct tr_insn *i, const u8 *host,
			const struct hmem *m)
{
	struct code *c = g->c;
	unsigned rex = i->w ? 8 : 0;

	if (i->prefixes & PFX_LOCK)
		e8(c, 0xf0);
	if (i->prefixes & PFX_66)
		e8(c, 0x66);
	if (i->prefixes & PFX_F2)
		e8(c, 0xf2);
	if (i->prefixes & PFX_F3)
		e8(c, 0xf3);
	if (i->has_modrm)
		rex |= (host[IX_REG] >> 3 & 1) << 2 | (m ? e_rex_mem(0, m) : host[IX_RM] >> 3 & 1);
	else if (i->gpr & FIELD_OP)
		rex |= host[IX_OP] >> 3 & 1;
	/* A prefix without bits still makes SPL … DIL of AH … BH. */
	if (rex || i->rex)
		e8(c, 0x40 | rex);
	if (i->map)
		e8(c, 0x0f);
	if (i->map == 2)
		e8(c, 0x38);
	else if (i->map == 3)
		e8(c, 0x3a);
	e8(c, i->gpr & FIELD_OP ? (i->opcode & ~7u) | (host[IX_OP] & 7) : i->opcode);
	if (i->has_modrm)
		emit_modrm(g, host[IX_REG], host[IX_RM], m);
}

/* host: numbers for reg, rm, v and the opcode's register, as far as there are such. */
void emit_guest(struct gen *g, const struct tr_insn *i, const u8 *host, const struct hmem *m)
{
	struct hmem wide;

	if (i->evex && m) {
		wide = *m;
		wide.disp32 = true;
		m = &wide;
	}
	if (i->evex)
		emit_evex(g, i, host, m);
	else if (i->vex)
		emit_vex(g, i, host, m);
	else
		emit_legacy(g, i, host, m);
	for (unsigned k = 0; k < i->imm_size; k++)
		e8(g->c, i->imm >> 8 * k & 0xff);
}

/* ---- Plain instructions ---- */

static u8 guest_field(const struct tr_insn *i, unsigned ix)
{
	return ix == IX_REG ? i->reg : ix == IX_RM ? i->rm : ix == IX_V ? i->v : i->op_reg;
}

/* AH … BH beside memory, whose registers may need a REX prefix. */
static bool is_high_copy(const struct tr_insn *i, unsigned field)
{
	return field == FIELD_REG && i->high_byte && i->mem;
}

bool field_is_copied(const struct gen *g, const struct tr_insn *i, unsigned field)
{
	unsigned ix = (unsigned)__builtin_ctz(field);

	return is_high_copy(i, field) || (i->gpr & field && in_state(g, guest_field(i, ix)));
}

/* One that nothing is held in, else the one that was not used for longest. */
unsigned gen_scratch(struct gen *g, unsigned *busy)
{
	unsigned reg = held_oldest(g, *busy);

	*busy |= BIT(reg);
	held_drop(g, reg);
	return reg;
}

/* One for what the guest's register becomes: that which has it as it was, if it can. */
static unsigned scratch_for(struct gen *g, unsigned guest, unsigned *busy)
{
	unsigned reg = held_where(g, guest);

	if (!reg || *busy & BIT(reg))
		return gen_scratch(g, busy);
	*busy |= BIT(reg);
	held_drop(g, reg);
	return reg;
}

unsigned gen_load_reg(struct gen *g, unsigned guest, unsigned *busy)
{
	unsigned reg;

	if (!in_state(g, guest))
		return host_reg(g, guest);
	reg = held_value(g, guest);
	if (reg) {
		*busy |= BIT(reg);
		return reg;
	}
	reg = gen_scratch(g, busy);
	gen_load_state(g, reg, guest);
	return reg;
}

/* A byte by memory, as no instruction names both AH and a scratch register. */
static void move_byte(struct gen *g, unsigned to, unsigned from)
{
	e_rm(g->c, OP_MOV_STORE8, false, from, hm_gs(T_OFF(high_byte)));
	e_rm(g->c, OP_MOV_LOAD8, false, to, hm_gs(T_OFF(high_byte)));
}

/* Does one of these fields name the register? */
static bool has_field(const struct tr_insn *i, unsigned fields, unsigned reg)
{
	for (unsigned ix = 0; ix < IX_FIELDS; ix++)
		if ((i->gpr & fields) >> ix & 1 && guest_field(i, ix) == reg)
			return true;
	return false;
}

/* The first field with the same register. */
static unsigned first_field(const struct tr_insn *i, unsigned reg)
{
	unsigned ix = 0;

	while (!(i->gpr >> ix & 1) || guest_field(i, ix) != reg)
		ix++;
	return ix;
}

/* The registers that live in memory: those whose value is needed, or those that only get one. */
static void scratch_fields(struct gen *g, const struct tr_insn *i, bool needed, unsigned *busy,
			   u8 *host)
{
	for (unsigned ix = 0; ix < IX_FIELDS; ix++) {
		u8 reg = guest_field(i, ix);
		unsigned first;

		if (!(i->gpr >> ix & 1) || !in_state(g, reg) ||
		    has_field(i, i->loads, reg) != needed)
			continue;
		first = first_field(i, reg);
		if (first < ix)
			host[ix] = host[first];
		else
			host[ix] = (u8)(needed ? gen_load_reg(g, reg, busy)
					       : scratch_for(g, reg, busy));
	}
}

/*
 * Numbers for the encoding; registers that live in memory are loaded into scratch ones. First what
 * is needed: a place for a result may be taken from what was held.
 */
static void load_fields(struct gen *g, const struct tr_insn *i, unsigned busy, u8 *host)
{
	for (unsigned ix = 0; ix < IX_FIELDS; ix++) {
		u8 reg = guest_field(i, ix);

		host[ix] = reg == NO_REG ? 0 : reg;
		if (is_high_copy(i, 1u << ix)) {
			host[ix] = (u8)gen_scratch(g, &busy);
			move_byte(g, host[ix], reg);
		} else if (i->gpr >> ix & 1 && !in_state(g, reg)) {
			host[ix] = (u8)host_reg(g, reg);
		}
	}
	scratch_fields(g, i, true, &busy, host);
	scratch_fields(g, i, false, &busy, host);
}

/*
 * Is what the register becomes here only for the next instruction, which makes something else of
 * it, can't fault, and is come to from nowhere else? A scratch register holds it until then. (If
 * that is used, there is no place to join at between the two: held.c.)
 */
static bool passes_on(const struct gen *g, const struct tr_insn *i, unsigned guest)
{
	const struct tr_insn *next = i + 1;
	bool flags_in_host = i->flags_written || i->flags_maybe || g->fstate == FLAGS_HOST;

	if (!g->holding || g->kept || g->copying || g->t->counting || i->run ||
	    g->index + 1 == g->in->n || next->off != i->off + i->len)
		return false;
	return next->kind == K_PLAIN && !next->head && !next->run && !next->mem && !next->fpu &&
	       !is_division(next) && (!next->strong || flags_in_host) &&
	       has_field(next, next->stores, guest);
}

static void store_result(struct gen *g, const struct tr_insn *i, unsigned guest, unsigned reg)
{
	if (passes_on(g, i, guest))
		hold_value(g, reg, guest);
	else
		gen_store_state(g, guest, reg);
}

static void store_fields(struct gen *g, const struct tr_insn *i, const u8 *host)
{
	if (is_high_copy(i, FIELD_REG) && i->stores & FIELD_REG)
		move_byte(g, i->reg, host[IX_REG]);
	for (unsigned ix = 0; ix < IX_FIELDS; ix++)
		if ((i->gpr & i->stores) >> ix & 1 && in_state(g, guest_field(i, ix)))
			store_result(g, i, guest_field(i, ix), host[ix]);
}

void insn_plain(struct gen *g, const struct tr_insn *i)
{
	struct access a = {0};
	u8 host[IX_FIELDS];

	if (i->mem)
		a = access_operand(g, i);
	else if (i->fpu || is_division(i))
		a.site = new_site(g, (struct tr_site){.rip = gen_rip(g, i),
						      .kind = SITE_INTERP,
						      .flags = (u8)g->fstate});
	load_fields(g, i, a.busy | g->kept, host);
	if (a.site)
		main_point(g, a.site);
	if (i->x87_pointers)
		x87_site(g, i, a.site);
	emit_guest(g, i, host, i->mem ? &a.m : NULL);
	store_fields(g, i, host);
	if (i->x87_pointers && i->mem)
		x87_data_pointer(g, i);
}

/* The address alone; nothing is accessed. */
static void insn_lea(struct gen *g, const struct tr_insn *i)
{
	struct hmem m = {.base = -1, .index = -1, .shift = i->shift, .disp = (i32)i->disp};
	unsigned busy = g->kept;
	unsigned to = host_reg(g, i->reg);
	struct code *c = g->c;

	if (i->base != NO_REG && !i->rip_relative)
		m.base = (int)gen_load_reg(g, i->base, &busy);
	if (i->index != NO_REG)
		m.index = (int)gen_load_reg(g, i->index, &busy);
	if (in_state(g, i->reg))
		to = i->loads ? gen_load_reg(g, i->reg, &busy) : scratch_for(g, i->reg, &busy);
	if (i->rip_relative) {
		u64 a = gen_rip(g, i) + (u64)i->disp;

		gen_mov_relative(g, to, i->w ? a : (u32)a);
	} else {
		/* To 32 bits a sum is cut anyway. */
		if (i->a32 && i->w)
			e8(c, 0x67);
		emit_guest(g, i, (u8[IX_FIELDS]){(u8)to}, &m);
	}
	if (in_state(g, i->reg))
		store_result(g, i, i->reg, to);
}

/* ---- Stack ---- */

void push_register(struct gen *g, unsigned reg)
{
	i32 word = (i32)gen_word(g);
	struct access a;

	g->reserved = reg;
	a = access_stack(g, -word, X86_WRITE);
	g->reserved = 0;
	main_point(g, a.site);
	gen_store_word(g, a.m, reg);
	gen_lea_word(g, H_RSP, H_RSP, -word);
}

static void insn_push_reg(struct gen *g, const struct tr_insn *i)
{
	/* A check takes these. */
	unsigned busy = windows_for(g, i) ? 0 : BIT(T0) | BIT(T1);

	push_register(g, gen_load_reg(g, i->op_reg, &busy));
}

static void insn_push_imm(struct gen *g, const struct tr_insn *i)
{
	i32 word = (i32)gen_word(g);
	struct access a = access_stack(g, -word, X86_WRITE);

	main_point(g, a.site);
	gen_store_word_imm(g, a.m, (i32)i->imm);
	gen_lea_word(g, H_RSP, H_RSP, -word);
}

static void insn_push_mem(struct gen *g, const struct tr_insn *i)
{
	struct access a = access_operand(g, i);

	main_point(g, a.site);
	gen_load_word(g, T2, a.m);
	push_register(g, T2);
}

static void insn_pop_reg(struct gen *g, const struct tr_insn *i)
{
	struct access a = access_stack(g, 0, X86_READ);
	unsigned to = in_state(g, i->op_reg) ? T0 : host_reg(g, i->op_reg);

	main_point(g, a.site);
	gen_load_word(g, to, a.m);
	if (in_state(g, i->op_reg))
		held_drop(g, T0);
	if (i->op_reg != X86_RSP)
		gen_lea_word(g, H_RSP, H_RSP, (i32)gen_word(g));
	if (in_state(g, i->op_reg))
		gen_store_state(g, i->op_reg, T0);
}

static void insn_leave(struct gen *g, const struct tr_insn *i)
{
	struct access a = access_frame(g);

	(void)i;
	main_point(g, a.site);
	gen_load_word(g, T0, a.m);
	gen_lea_word(g, H_RSP, X86_RBP, (i32)gen_word(g));
	e_rr(g->c, OP_MOV_LOAD, true, X86_RBP, T0);
}

/* ---- What the interpreter does ---- */

void insn_one(struct gen *g, const struct tr_insn *i)
{
	u32 site = new_site(g, (struct tr_site){.rip = gen_rip(g, i),
						.kind = SITE_ONE,
						.next = i->len,
						.flags = (u8)g->fstate});

	flow_leave(g, site);
	if (site)
		tr_slot(g->t, site)->value = g->c->at;
	g->fstate = FLAGS_HOST;
}

void insn_end(struct gen *g, const struct tr_insn *i)
{
	flow_leave(g, new_site(g, (struct tr_site){.rip = gen_rip(g, i),
						   .kind = SITE_STEP,
						   .flags = (u8)g->fstate}));
}

static void insn_nop(struct gen *g, const struct tr_insn *i)
{
	(void)g;
	(void)i;
}

static void (*const by_kind[])(struct gen *g, const struct tr_insn *i) = {
	[K_PLAIN] = insn_plain,       [K_LEA] = insn_lea,
	[K_NOP] = insn_nop,           [K_PUSH_REG] = insn_push_reg,
	[K_PUSH_IMM] = insn_push_imm, [K_PUSH_MEM] = insn_push_mem,
	[K_POP_REG] = insn_pop_reg,   [K_LEAVE] = insn_leave,
	[K_JMP] = flow_insn,          [K_JCC] = flow_insn,
	[K_LOOP] = flow_insn,         [K_CALL] = flow_insn,
	[K_JMP_REG] = flow_insn,      [K_JMP_MEM] = flow_insn,
	[K_CALL_REG] = flow_insn,     [K_CALL_MEM] = flow_insn,
	[K_RET] = flow_insn,          [K_ONE] = insn_one,
	[K_END] = insn_end,           [K_READ_SEGMENT] = insn_read_segment,
	[K_PUSHF] = insn_pushf,       [K_POPF] = insn_popf,
	[K_FLAG_BIT] = insn_flag_bit, [K_SWAPGS] = insn_swapgs,
	[K_READ_CR2] = insn_read_cr2, [K_STI] = insn_sti,
	[K_STRING] = insn_string,     [K_BITS] = insn_bits,
	[K_RDTSC] = insn_answer,      [K_RDTSCP] = insn_answer,
	[K_CPUID] = insn_answer,      [K_WRITE_CR3] = insn_answer,
	[K_INVLPG] = insn_answer,     [K_PAUSE] = insn_answer,
	[K_SYSCALL] = insn_ring,      [K_SYSRET] = insn_ring,
	[K_IRET] = insn_ring,         [K_BASE] = insn_base,
};

/* ---- The region ---- */

static bool goes_on(const struct tr_insn *i)
{
	return i->kind != K_JMP && i->kind != K_JMP_REG && i->kind != K_JMP_MEM &&
	       i->kind != K_RET && i->kind != K_END && i->kind != K_SYSCALL &&
	       i->kind != K_SYSRET && i->kind != K_IRET;
}

void emit_one(struct gen *g)
{
	const struct tr_insn *i = g->i;

	held_before(g);
	if (i->strong)
		flags_to_host(g);
	groups_before(g);
	by_kind[i->kind](g, i);
	if (i->kind == K_PLAIN && (i->flags_written || i->flags_maybe))
		g->fstate = FLAGS_HOST;
	groups_after(g);
	held_after(g);
}

/* Others may come in here, unless a check for what follows would have been passed by. */
static void note_place(struct gen *g, const struct tr_insn *i)
{
	if (groups_underway(g))
		return;
	g->w->places[g->nplaces++] = (struct tr_place){.host = g->c->at,
						       .off = i->off,
						       .live = i->strong | i->weak,
						       .load_flags = (i->strong | i->weak) &&
								     g->fstate == FLAGS_HOST};
}

void gen_go_on(struct gen *g)
{
	i32 next = g->i->off + g->i->len;

	if (goes_on(g->i) && (g->index + 1 == g->in->n || g->in->insns[g->index + 1].off != next))
		flow_edge(g, next);
}

static void emit_insn(struct gen *g, unsigned k)
{
	const struct tr_insn *i = &g->in->insns[k];

	g->i = i;
	g->index = k;
	if (i->head)
		flow_enter_head(g, i);
	if (g->t->counting)
		count_before(g, k);
	note_place(g, i);
	fast_note_after(g);
	emit_one(g);
	count_after(g);
	gen_go_on(g);
}

static void bind_fixups(struct gen *g)
{
	for (unsigned k = 0; k < g->nfixups; k++) {
		const struct fixup *f = &g->w->fixups[k];
		const struct fast_loop *l = f->fast ? &g->w->fast[f->fast - 1] : NULL;

		e_bind(g->c, f->rel, l ? l->label[f->insn - l->head] : g->w->label[f->insn]);
		if (f->back && l && l->nswaps)
			note_point(g, f->rel, l->outs[f->insn - l->head], false);
		else if (f->back)
			note_back(g, f->rel, f->insn);
	}
}

static void emit_stubs(struct gen *g)
{
	for (unsigned k = 0; k < g->nstubs; k++) {
		const struct stub s = g->w->stubs[k];

		g->index = s.insn;
		g->i = &g->in->insns[s.insn];
		g->fstate = s.fstate;
		g->fast = s.fast ? &g->w->fast[s.fast - 1] : NULL;
		held_none(g);
		if (s.jump)
			e_bind_here(g->c, s.jump);
		if (s.kind == STUB_SLOW)
			stub_slow(g, &s);
		else if (s.kind == STUB_COPY)
			stub_copy(g, &s);
		else if (s.kind == STUB_REACH)
			stub_reach(g, &s);
		else if (s.kind == STUB_LOOP)
			stub_loop(g, &s);
		else if (s.kind == STUB_GUESS)
			stub_guess(g, &s);
		else
			flow_stub(g, &s);
	}
}

static void publish(struct gen *g)
{
	struct tr_region *r = g->in->region;

	r->nheads = (u16)g->nheads;
	r->mem_heads = tr_alloc(g->t, g->nheads * sizeof(*r->mem_heads));
	/* What lies across two pages is found by its entries alone. */
	r->nplaces = r->page2 || !tr_has(g->t, TR_JOINS) ? 0 : (u16)g->nplaces;
	r->places = tr_alloc(g->t, r->nplaces * sizeof(*r->places));
	r->npoints = (u16)g->npoints;
	r->points = tr_alloc(g->t, g->npoints * sizeof(*r->points));
	r->naddresses = (u16)g->naddresses;
	r->addresses = tr_alloc(g->t, g->naddresses * sizeof(*r->addresses));
	r->nlinks = (u16)(g->t->segment->nlinks - r->first_link);
	if (!r->mem_heads || !r->places || !r->points || !r->addresses) {
		g->full = true;
		return;
	}
	__builtin_memcpy(r->addresses, g->w->addresses, g->naddresses * sizeof(*r->addresses));
	for (unsigned k = 0; k < g->npoints; k++) {
		unsigned head = g->w->point_heads[k];

		r->points[k] = g->w->points[k];
		if (!head)
			continue;
		r->points[k].to = g->w->outs[head - 1] & mask_low(31);
		g->full |= !r->points[k].to;
	}
	tr_places_pack(r, g->w->places);
	for (unsigned k = 0; k < g->nheads; k++) {
		struct tr_entry *e = &r->mem_heads[k];

		*e = g->w->heads[k];
		e->region = r;
	}
}

bool tr_generate(struct gen_context *in)
{
	struct tr *t = in->t;
	struct gen g = {.v = in->v, .t = t, .c = &t->emit, .in = in, .fstate = FLAGS_HOST};

	if (!t->work)
		t->work = host_alloc(in->v->plat->host, sizeof(*t->work));
	if (!t->work)
		return false;
	g.w = t->work;
	for (unsigned k = 0; k < in->n; k++)
		in->region->fpu |= in->insns[k].kind == K_PLAIN ? in->insns[k].fpu : 0;
	fast_find(&g);
	swap_find(&g);
	reach_find(&g);
	groups_find(&g);
	__builtin_memset(t->work->sites, 0, in->n * sizeof(t->work->sites[0]));
	__builtin_memset(t->work->outs, 0, in->n * sizeof(t->work->outs[0]));
	in->region->begin = g.c->at;
	in->region->first_link = t->segment->nlinks;
	for (unsigned k = 0; k < in->n && !g.full; k++)
		emit_insn(&g, k);
	emit_stubs(&g);
	bind_fixups(&g);
	in->region->end = g.c->at;
	publish(&g);
	return !g.full && g.c->at <= g.c->size;
}

void tr_work_free(struct tr *t)
{
	host_free(t->c.v->plat->host, t->work, sizeof(*t->work));
	t->work = NULL;
}
