/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * String instructions with and without REP.
 *
 * A repeated instruction is interruptible between iterations with RIP still at it and its
 * registers telling how far it came. The common cases, MOVS and STOS forward within one page,
 * run a page at a time.
 */
#include "engine/interp/ops.h"
#include "engine/interp/system.h"
#include "isa/x86.h"

/* op->a: element size; op->b: address width in bytes; op->imm: repeat prefix. */
enum { REP_NONE, REP, REPNE };
enum { ITERATIONS_PER_VISIT = 4096 };

static inline u64 str_reg(const struct alc_vcpu *v, const struct op *op, unsigned r)
{
	return zext(v->gpr[r], op->b);
}

static inline void str_advance(struct alc_vcpu *v, const struct op *op, unsigned r, i64 by)
{
	set_reg_size(v, r, v->gpr[r] + (u64)by, op->b);
}

static inline i64 str_step(const struct alc_vcpu *v, const struct op *op)
{
	return v->rflags & X86_DF ? -(i64)op->a : op->a;
}

/* The source, through DS or an override (op->addr), and the destination, always through ES. */
static int src_linear(struct alc_vcpu *v, const struct op *op, u64 *gva, unsigned access)
{
	*gva = str_reg(v, op, X86_RSI);
	return linear(v, op, gva, op->a, access);
}

static int dst_linear(struct alc_vcpu *v, const struct op *op, u64 *gva, unsigned access)
{
	*gva = str_reg(v, op, X86_RDI);
	if (likely(!(op->addr & ADDR_CHECKED)))
		return 0;
	{
		struct op es = *op;

		es.addr = (u8)((op->addr & ~ADDR_SEG) | (1 + X86_ES));
		return ea_segment(v, &es, gva, op->a, access);
	}
}

static inline int str_read(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
			   u64 *x)
{
	const u8 *p = mem_rptr(c, gva, op->a);

	*x = 0;
	if (unlikely(!p))
		return mem_read_slow(v, c, op, gva, x, op->a);
	*x = ld_size(p, op->a);
	return 0;
}

static inline int str_write(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
			    u64 x)
{
	u8 *p = mem_wptr(c, gva, op->a);

	if (unlikely(!p))
		return mem_write_slow(v, c, op, gva, &x, op->a);
	st_size(p, x, op->a);
	mem_wrote(c, op, gva, op->a);
	return 0;
}

/* ---- One iteration of each; nonzero: fault, registers as before it ------------------------------
 */

typedef int str_fn(struct alc_vcpu *v, struct interp *c, const struct op *op);

static int movs_once(struct alc_vcpu *v, struct interp *c, const struct op *op)
{
	i64 step = str_step(v, op);
	u64 src, dst, x;

	if (src_linear(v, op, &src, X86_READ) || dst_linear(v, op, &dst, X86_WRITE) ||
	    str_read(v, c, op, src, &x) || str_write(v, c, op, dst, x))
		return 1;
	str_advance(v, op, X86_RSI, step);
	str_advance(v, op, X86_RDI, step);
	return 0;
}

static int stos_once(struct alc_vcpu *v, struct interp *c, const struct op *op)
{
	u64 dst;

	if (dst_linear(v, op, &dst, X86_WRITE) || str_write(v, c, op, dst, v->gpr[X86_RAX]))
		return 1;
	str_advance(v, op, X86_RDI, str_step(v, op));
	return 0;
}

static int lods_once(struct alc_vcpu *v, struct interp *c, const struct op *op)
{
	u64 src, x;

	if (src_linear(v, op, &src, X86_READ) || str_read(v, c, op, src, &x))
		return 1;
	set_reg_size(v, X86_RAX, x, op->a);
	str_advance(v, op, X86_RSI, str_step(v, op));
	return 0;
}

static int cmps_once(struct alc_vcpu *v, struct interp *c, const struct op *op)
{
	i64 step = str_step(v, op);
	u64 src, dst, a, b;

	/* Where both operands fault, CPUs report the one through ES. */
	if (dst_linear(v, op, &dst, X86_READ) || str_read(v, c, op, dst, &b) ||
	    src_linear(v, op, &src, X86_READ) || str_read(v, c, op, src, &a))
		return 1;
	flags_sub(c, a, b, zext(a - b, op->a), op->a * 8u);
	str_advance(v, op, X86_RSI, step);
	str_advance(v, op, X86_RDI, step);
	return 0;
}

static int scas_once(struct alc_vcpu *v, struct interp *c, const struct op *op)
{
	u64 a = zext(v->gpr[X86_RAX], op->a), dst, b;

	if (dst_linear(v, op, &dst, X86_READ) || str_read(v, c, op, dst, &b))
		return 1;
	flags_sub(c, a, b, zext(a - b, op->a), op->a * 8u);
	str_advance(v, op, X86_RDI, str_step(v, op));
	return 0;
}

/* ---- Runs of iterations within a page
 * ------------------------------------------------------------- */

/* Elements from gva to the end of its page. */
static inline u64 run_length(const struct op *op, u64 gva, u64 want)
{
	return min_u64(want, (ALC_PAGE_SIZE - page_offset(gva)) / op->a);
}

static bool run_possible(const struct alc_vcpu *v, const struct op *op)
{
	return op->b == 8 && !op->addr && !(v->rflags & X86_DF);
}

static void run_done(struct alc_vcpu *v, u64 n, u64 bytes, bool moved_source)
{
	v->gpr[X86_RCX] -= n;
	v->gpr[X86_RDI] += bytes;
	if (moved_source)
		v->gpr[X86_RSI] += bytes;
}

/* Number of iterations done at once: 0 where it must go one by one. */
static u64 movs_run(struct alc_vcpu *v, struct interp *c, const struct op *op)
{
	u64 src = v->gpr[X86_RSI], dst = v->gpr[X86_RDI], n, bytes;
	const u8 *from;
	u8 *to;

	n = run_length(op, src, run_length(op, dst, v->gpr[X86_RCX]));
	bytes = n * op->a;
	if (n < 2 || !(from = mem_rptr(c, src, (unsigned)bytes)) ||
	    !(to = mem_wptr(c, dst, (unsigned)bytes)))
		return 0;
	/* A destination that starts inside the source repeats a pattern: element by element. */
	if (to > from && (u64)(to - from) < bytes)
		return 0;
	__builtin_memmove(to, from, bytes);
	mem_wrote(c, op, dst, (unsigned)bytes);
	run_done(v, n, bytes, true);
	return n;
}

static u64 stos_run(struct alc_vcpu *v, struct interp *c, const struct op *op)
{
	u64 dst = v->gpr[X86_RDI], n = run_length(op, dst, v->gpr[X86_RCX]), bytes = n * op->a, i;
	u64 x = zext(v->gpr[X86_RAX], op->a);
	u8 *to;

	if (n < 2 || !(to = mem_wptr(c, dst, (unsigned)bytes)))
		return 0;
	if (op->a == 1 || !x)
		__builtin_memset(to, (int)x, bytes);
	else
		for (i = 0; i < bytes; i += op->a)
			st_size(to + i, x, op->a);
	mem_wrote(c, op, dst, (unsigned)bytes);
	run_done(v, n, bytes, false);
	return n;
}

typedef u64 run_fn(struct alc_vcpu *v, struct interp *c, const struct op *op);

/* ---- The loop around them
 * --------------------------------------------------------------------------- */

/* c->exit: a device's timer is due. */
static inline bool must_stop(const struct alc_vcpu *v, const struct interp *c)
{
	return atomic_load_explicit(&v->attention, memory_order_relaxed) || c->exit ||
	       block_is_stale(c);
}

/*
 * Repeats until the count is used up or the condition ends it; false: leave with RIP at the
 * instruction, to be continued (or after a fault, which is recorded). Flags are then those from
 * before the instruction (SDM vol. 2, REP).
 */
static inline bool repeat(struct alc_vcpu *v, struct interp *c, const struct op *op, str_fn *once,
			  run_fn *run, bool compares)
{
	u64 res0 = c->flag_res, aux0 = c->flag_aux;
	unsigned visits = 0;

	while (str_reg(v, op, X86_RCX)) {
		if (run && run_possible(v, op) && run(v, c, op)) {
			if (must_stop(v, c) && v->gpr[X86_RCX])
				goto later;
			continue;
		}
		if (once(v, c, op)) {
			c->flag_res = res0;
			c->flag_aux = aux0;
			op_fault(v, op, c);
			return false;
		}
		str_advance(v, op, X86_RCX, -1);
		if (compares && flag_zf(c) != (op->imm == REP))
			return true;
		if ((++visits >= ITERATIONS_PER_VISIT || must_stop(v, c)) &&
		    str_reg(v, op, X86_RCX))
			goto later;
	}
	return true;
later:
	c->flag_res = res0;
	c->flag_aux = aux0;
	op_uncount(v, op, c);
	v->rip = op_rip(v, op);
	c->exit = EXIT_BOUNDARY;
	return false;
}

#define DEFINE_STRING(name, run, compares)                              \
	OP(name)                                                        \
	{                                                               \
		if (op->imm == REP_NONE)                                \
			TRY(name##_once(v, c, op));                     \
		else if (!repeat(v, c, op, name##_once, run, compares)) \
			LEAVE;                                          \
		NEXT;                                                   \
	}
DEFINE_STRING(movs, movs_run, false)
DEFINE_STRING(stos, stos_run, false)
DEFINE_STRING(lods, NULL, false)
DEFINE_STRING(cmps, NULL, true)
DEFINE_STRING(scas, NULL, true)

/* ---- INS, OUTS
 * ---------------------------------------------------------------------------------------- */

static int ins_allowed_once(struct alc_vcpu *v, struct interp *c, const struct op *op)
{
	u64 dst, x;
	u8 probe[8];

	/* The store must be known to succeed before the port is read: reading has effects. */
	if (dst_linear(v, op, &dst, X86_WRITE))
		return 1;
	if (!mem_wptr(c, dst, op->a)) {
		if (mem_read_slow(v, c, op, dst, probe, op->a) ||
		    mem_write_slow(v, c, op, dst, probe, op->a))
			return 1;
	}
	op_call_out(v, op, c);
	x = region_read(v->plat->ports, reg16(v, X86_RDX), op->a);
	op_called_out(v, op, c);
	if (str_write(v, c, op, dst, x))
		return 1;
	str_advance(v, op, X86_RDI, str_step(v, op));
	return 0;
}

static int outs_allowed_once(struct alc_vcpu *v, struct interp *c, const struct op *op)
{
	u64 src, x;

	if (src_linear(v, op, &src, X86_READ) || str_read(v, c, op, src, &x))
		return 1;
	op_call_out(v, op, c);
	region_write(v->plat->ports, reg16(v, X86_RDX), x, op->a);
	op_called_out(v, op, c);
	str_advance(v, op, X86_RSI, str_step(v, op));
	return 0;
}

/* The right to the port comes first, and counts even where nothing is repeated. */
#define DEFINE_PORT_STRING(name)                              \
	DEFINE_STRING(name##_allowed, NULL, false)            \
	OP(name)                                              \
	{                                                     \
		TRY(io_allowed(v, reg16(v, X86_RDX), op->a)); \
		name##_allowed(v, op, c);                     \
	}
DEFINE_PORT_STRING(ins)
DEFINE_PORT_STRING(outs)

enum { T_MOVS, T_STOS, T_LODS, T_CMPS, T_SCAS, T_INS, T_OUTS };

/* The source's segment; the destination's is ES, which has a base only outside 64-bit mode. */
static void source_segment(struct dec *d)
{
	const ZydisDecodedOperand *m;
	unsigned i;

	for (i = 0; i < d->z.operand_count; i++) {
		m = &d->o[i];
		if (is_mem(m) &&
		    (m->mem.base == ZYDIS_REGISTER_RSI || m->mem.base == ZYDIS_REGISTER_ESI ||
		     m->mem.base == ZYDIS_REGISTER_SI)) {
			dec_mem(d, m);
			break;
		}
		if (is_mem(m))
			dec_mem(d, m);
	}
	d->op->addr &= (u8) ~(ADDR_SIZE16 | ADDR_SIZE32); /* str_reg cuts */
}

static bool gen_string(struct dec *d, unsigned which)
{
	static op_fn *const fn[] = {movs, stos, lods, cmps, scas, ins, outs};

	source_segment(d);
	d->op->a = (u8)(d->z.operand_width / 8);
	d->op->b = (u8)(d->z.address_width / 8);
	d->op->imm = d->z.attributes & ZYDIS_ATTRIB_HAS_REPNE                           ? REPNE
		     : d->z.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE) ? REP
											: REP_NONE;
	gen(d, fn[which]);
	return true;
}

const struct insn_row string_rows[] = {
	{ZYDIS_MNEMONIC_MOVSB, gen_string, T_MOVS},
	{ZYDIS_MNEMONIC_MOVSW, gen_string, T_MOVS},
	{ZYDIS_MNEMONIC_MOVSD, gen_string, T_MOVS},
	{ZYDIS_MNEMONIC_MOVSQ, gen_string, T_MOVS},
	{ZYDIS_MNEMONIC_STOSB, gen_string, T_STOS},
	{ZYDIS_MNEMONIC_STOSW, gen_string, T_STOS},
	{ZYDIS_MNEMONIC_STOSD, gen_string, T_STOS},
	{ZYDIS_MNEMONIC_STOSQ, gen_string, T_STOS},
	{ZYDIS_MNEMONIC_LODSB, gen_string, T_LODS},
	{ZYDIS_MNEMONIC_LODSW, gen_string, T_LODS},
	{ZYDIS_MNEMONIC_LODSD, gen_string, T_LODS},
	{ZYDIS_MNEMONIC_LODSQ, gen_string, T_LODS},
	{ZYDIS_MNEMONIC_CMPSB, gen_string, T_CMPS},
	{ZYDIS_MNEMONIC_CMPSW, gen_string, T_CMPS},
	{ZYDIS_MNEMONIC_CMPSD, gen_string, T_CMPS},
	{ZYDIS_MNEMONIC_CMPSQ, gen_string, T_CMPS},
	{ZYDIS_MNEMONIC_SCASB, gen_string, T_SCAS},
	{ZYDIS_MNEMONIC_SCASW, gen_string, T_SCAS},
	{ZYDIS_MNEMONIC_SCASD, gen_string, T_SCAS},
	{ZYDIS_MNEMONIC_SCASQ, gen_string, T_SCAS},
	{ZYDIS_MNEMONIC_INSB, gen_string, T_INS},
	{ZYDIS_MNEMONIC_INSW, gen_string, T_INS},
	{ZYDIS_MNEMONIC_INSD, gen_string, T_INS},
	{ZYDIS_MNEMONIC_OUTSB, gen_string, T_OUTS},
	{ZYDIS_MNEMONIC_OUTSW, gen_string, T_OUTS},
	{ZYDIS_MNEMONIC_OUTSD, gen_string, T_OUTS},
	{0},
};
