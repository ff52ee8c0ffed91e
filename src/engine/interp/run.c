/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interpreter's loop: runs blocks, and between them delivers what waits.
 */
#include "base/errno.h"
#include "base/fmt.h"
#include "engine/interp/interp.h"
#include "engine/interp/ops.h"
#include "engine/interp/step.h"
#include "isa/event.h"
#include "isa/lapic.h"
#include "isa/vcpu.h"

/* ---- Flags
 * ---------------------------------------------------------------------------------------- */

u64 flags_get(const struct interp *c)
{
	return (flag_cf(c) ? X86_CF : 0) | (flag_pf(c) ? X86_PF : 0) | (flag_af(c) ? X86_AF : 0) |
	       (flag_zf(c) ? X86_ZF : 0) | (flag_sf(c) ? X86_SF : 0) | (flag_of(c) ? X86_OF : 0);
}

void flags_put(struct interp *c, u64 f)
{
	bool cf = f & X86_CF, of = f & X86_OF, pf = f & X86_PF;

	/* A result of 0 has even parity, one of 1 odd; bit 8 of aux makes the difference good. */
	c->flag_res = !(f & X86_ZF);
	c->flag_aux = (u64)cf << 63 | (u64)(cf ^ of) << 62 | (f & X86_AF ? AUX_AF : 0) |
		      (f & X86_SF ? 1 : 0) | (pf != (c->flag_res == 0) ? BIT(8) : 0);
}

/* ---- Handlers that end a block
 * ---------------------------------------------------------------------- */

void op_uncount(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	v->instructions -= c->block->ninsn - (u64)(op - c->block->ops);
}

static bool at_budget(const struct alc_vcpu *v)
{
	return v->instructions >= atomic_load_explicit(&v->run_until, memory_order_relaxed);
}

/* The rest of the running block is not to run: its next op ends it. */
static void cut_after(const struct op *op, struct interp *c)
{
	struct op *next = (struct op *)(uintptr_t)(op + 1);

	if (c->exit == EXIT_NONE)
		c->exit = EXIT_BOUNDARY;
	if (c->cut || next->fn == op_end || next->fn == op_stale)
		return;
	c->cut = next;
	c->cut_fn = next->fn;
	next->fn = op_stale;
}

static void mend_cut(struct interp *c)
{
	if (likely(!c->cut))
		return;
	c->cut->fn = c->cut_fn;
	c->cut = NULL;
}

void op_call_out(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	if (op)
		op_uncount(v, op, c);
}

void op_called_out(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	if (!op)
		return;
	v->instructions++;
	if (unlikely(atomic_load_explicit(&v->attention, memory_order_relaxed) || at_budget(v)))
		cut_after(op, c);
	v->instructions += c->block->ninsn - (u64)(op + 1 - c->block->ops);
}

void op_fault(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	op_uncount(v, op + 1, c);
	v->rip = op_rip(v, op);
	if (c->exit == EXIT_NONE || c->exit == EXIT_BOUNDARY)
		c->exit = EXIT_FAULT;
}

void op_end(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	v->rip = op_rip(v, op);
	if (page_offset(c->block->gpa) + op->off < ALC_PAGE_SIZE)
		c->slot = &c->block->succ[0];
}

void op_stale(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	op_uncount(v, op, c);
	v->rip = op_rip(v, op);
}

void op_ud(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	x86_raise(v, X86_UD);
	op_fault(v, op, c);
}

void op_nm(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	x86_raise(v, X86_NM);
	op_fault(v, op, c);
}

void op_gp(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	x86_raise_error(v, X86_GP, 0);
	op_fault(v, op, c);
}

static const char *mode_name(const struct alc_vcpu *v)
{
	if (x86_code64(v))
		return "64-bit mode";
	if (x86_long_mode(v))
		return "compatibility mode";
	return x86_protected(v) ? "protected mode" : "real mode";
}

/* Stops the machine: `what` can't be done. Names the instruction by its bytes and mnemonic. */
static void stop_unsupported(struct alc_vcpu *v, const struct op *op, struct interp *c,
			     const char *what)
{
	char hex[3 * 15 + 1] = "?", *p = hex;
	const struct itlb_entry *it;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	const char *name = "?";
	u64 rip = op_rip(v, op), at = x86_code64(v) ? rip : (u32)(rip + v->seg[X86_CS].base);
	unsigned i, avail = (unsigned)min_u64(15, ALC_PAGE_SIZE - page_offset(at));

	it = itlb_lookup(v, c, at);
	if (it && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&c->decoder[decoder_index(c->mode)],
						      it->hva + page_offset(at), avail, &z, o))) {
		name = ZydisMnemonicGetString(z.mnemonic);
		for (i = 0; i < z.length; i++)
			p += fmt_text(p, 4, "%02x ", it->hva[page_offset(at) + i]);
	}
	op_fault(v, op, c);
	c->exit = EXIT_ERROR;
	alc_fail(c->err, -ENOTSUP, "%s is not supported: '%s' (%s) at %llx in %s, CPL %u, vCPU %u",
		 what, name, hex, (unsigned long long)rip, mode_name(v), v->cpl, v->index);
}

void op_unsupported(struct alc_vcpu *v, const struct op *op, struct interp *c)
{
	stop_unsupported(v, op, c, "an instruction");
}

void op_leave_result(struct alc_vcpu *v, const struct op *op, struct interp *c, int result)
{
	if (result == X86_UNSUPPORTED)
		stop_unsupported(v, op, c, v->unsupported);
	else
		op_fault(v, op, c);
}

/* ---- Between blocks
 * -------------------------------------------------------------------------------------- */

static enum interp_next stop_with(enum alc_exit *out, enum alc_exit why)
{
	*out = why;
	return NEXT_RETURN;
}

static enum interp_next after_delivery(struct alc_vcpu *v, struct interp *c, int result,
				       enum alc_exit *out)
{
	if (result == X86_UNSUPPORTED) {
		alc_fail(c->err, -ENOTSUP, "%s is not supported: at %llx in %s, vCPU %u",
			 v->unsupported, (unsigned long long)v->rip, mode_name(v), v->index);
		return stop_with(out, ALC_EXIT_ERROR);
	}
	if (v->activity == X86_SHUTDOWN)
		return stop_with(out, ALC_EXIT_SHUTDOWN);
	return NEXT_RUN;
}

static enum interp_next deliver_fault(struct alc_vcpu *v, struct interp *c, enum alc_exit *out)
{
	c->n_faults++;
	flags_sync(v, c);
	return after_delivery(v, c, x86_deliver_fault(v), out);
}

static bool in_shadow(const struct alc_vcpu *v)
{
	return v->shadow_rip == v->rip;
}

static enum interp_next take_interrupt(struct alc_vcpu *v, struct interp *c, enum alc_exit *out)
{
	int vector;

	if (!(v->rflags & X86_IF)) {
		atomic_fetch_and(&v->attention, ~(u32)X86_ATTN_INTR);
		if (lapic_pending(v->lapic))
			c->intr_waiting = true; /* until IF is set: interp_recheck_interrupts() */
		return NEXT_RUN;
	}
	if (in_shadow(v))
		return NEXT_RUN; /* the bit stays: again after the next block */
	atomic_fetch_and(&v->attention, ~(u32)X86_ATTN_INTR);
	vector = lapic_ack(v->lapic);
	if (vector < 0)
		return NEXT_RUN;
	if (lapic_pending(v->lapic))
		atomic_fetch_or(&v->attention, X86_ATTN_INTR);
	c->n_interrupts++;
	v->instructions++;
	v->activity = X86_RUNNING;
	flags_sync(v, c);
	return after_delivery(v, c, x86_deliver_interrupt(v, (u8)vector), out);
}

static enum interp_next take_nmi(struct alc_vcpu *v, struct interp *c, enum alc_exit *out)
{
	if (v->nmi_blocked || in_shadow(v))
		return NEXT_RUN;
	atomic_fetch_and(&v->attention, ~(u32)X86_ATTN_NMI);
	v->nmi_blocked = true;
	v->instructions++;
	v->activity = X86_RUNNING;
	flags_sync(v, c);
	return after_delivery(v, c, x86_deliver_interrupt(v, X86_NMI), out);
}

/* INIT and SIPI (SDM vol. 3A 8.4.2); a SIPI finds only those that wait for it. */
static void take_start_up(struct alc_vcpu *v, struct interp *c, u32 attn)
{
	if (attn & X86_ATTN_INIT) {
		atomic_fetch_and(&v->attention, ~(u32)X86_ATTN_INIT);
		vcpu_reset(v, true);
		flags_load(v, c);
		if (v->index == 0)
			v->activity = X86_RUNNING;
	}
	if (attn & X86_ATTN_SIPI) {
		atomic_fetch_and(&v->attention, ~(u32)X86_ATTN_SIPI);
		if (v->activity == X86_WAIT_SIPI)
			vcpu_start(v, v->sipi_vector);
	}
}

static enum interp_next attend(struct alc_vcpu *v, struct interp *c, enum alc_exit *out)
{
	u32 attn = atomic_load(&v->attention);
	enum interp_next n = NEXT_RUN;

	if (attn & X86_ATTN_PAUSE) {
		atomic_fetch_and(&v->attention, ~(u32)X86_ATTN_PAUSE);
		exclusive_leave_guest(c);
		exclusive_enter_guest(c);
	}
	if (attn & (X86_ATTN_INIT | X86_ATTN_SIPI))
		take_start_up(v, c, attn);
	if (attn & (X86_ATTN_STOP | X86_ATTN_WORK))
		return stop_with(out, ALC_EXIT_ATTENTION);
	if (v->activity == X86_WAIT_SIPI) {
		/* Nothing else reaches it (SDM vol. 3A table 9-1 and 8.4.2). */
		atomic_fetch_and(&v->attention,
				 ~(u32)(X86_ATTN_INTR | X86_ATTN_NMI | X86_ATTN_SMI));
		return NEXT_RUN;
	}
	if (attn & X86_ATTN_SMI) {
		alc_fail(c->err, -ENOTSUP,
			 "system management mode is not supported: SMI to vCPU %u", v->index);
		return stop_with(out, ALC_EXIT_ERROR);
	}
	if (attn & X86_ATTN_NMI)
		n = take_nmi(v, c, out);
	if (n == NEXT_RUN && (attn & X86_ATTN_INTR))
		n = take_interrupt(v, c, out);
	if (n == NEXT_RUN && in_shadow(v)) {
		/* What waits comes after one instruction, even if that leads back to itself. */
		c->mode |= MODE_SINGLE;
		c->single_once = true;
		v->shadow_rip = ~0ull;
	}
	return n;
}

/* After a block: what it left for us, then what came from outside. */
enum interp_next interp_boundary(struct alc_vcpu *v, struct interp *c, enum alc_exit *out)
{
	u32 exit = c->exit;
	enum interp_next n = NEXT_RUN;

	c->exit = EXIT_NONE;
	c->slot = NULL;
	mend_cut(c);
	if (exit == EXIT_ERROR)
		return stop_with(out, ALC_EXIT_ERROR);
	if (exit == EXIT_FAULT)
		n = deliver_fault(v, c, out);
	if (n == NEXT_RUN && at_budget(v) && v->activity != X86_SHUTDOWN)
		return stop_with(out, ALC_EXIT_BUDGET);
	if (n == NEXT_RUN && atomic_load(&v->attention))
		n = attend(v, c, out);
	/* What was accepted counts. */
	if (n == NEXT_RUN && at_budget(v) && v->activity != X86_SHUTDOWN)
		return stop_with(out, ALC_EXIT_BUDGET);
	/* A software interrupt is delivered by its instruction, so it may have come to this too. */
	if (n == NEXT_RUN && v->activity == X86_SHUTDOWN)
		return stop_with(out, ALC_EXIT_SHUTDOWN);
	if (n == NEXT_RUN && v->activity != X86_RUNNING) {
		/* Halted: only attention ends it, and what waits for IF or an IRET can't. */
		if (!(atomic_load(&v->attention) & ~(u32)(v->nmi_blocked ? X86_ATTN_NMI : 0)))
			return stop_with(out, ALC_EXIT_HALT);
		c->exit = EXIT_BOUNDARY; /* look again */
	}
	return n;
}

/* ---- Single step, breakpoints
 * ---------------------------------------------------------------------------- */

/* Instruction breakpoints at RIP: DR7 enables, R/W and LEN 0 (SDM vol. 3A 17.2.4). */
static u64 code_breakpoints(const struct alc_vcpu *v)
{
	u64 hit = 0;
	unsigned i;

	for (i = 0; i < 4; i++)
		if ((v->dr[7] >> (2 * i) & 3) && !(v->dr[7] >> (16 + 4 * i) & 15) &&
		    v->dr[i] == v->rip)
			hit |= BIT(i);
	return hit;
}

/*
 * One instruction with TF set or breakpoints armed. Data breakpoints are not watched: a guest
 * that arms one is told so by the first instruction it runs.
 */
static bool watched_before(struct alc_vcpu *v, struct interp *c)
{
	u64 hit = v->rflags & X86_RF ? 0 : code_breakpoints(v);
	unsigned i;

	for (i = 0; i < 4; i++)
		if ((v->dr[7] >> (2 * i) & 3) && (v->dr[7] >> (16 + 4 * i) & 3)) {
			c->exit = EXIT_ERROR;
			alc_fail(c->err, -ENOTSUP,
				 "a data breakpoint is not supported: DR%u at %llx, vCPU %u", i,
				 (unsigned long long)v->rip, v->index);
			return false;
		}
	if (!hit)
		return true;
	x86_raise(v, X86_DB);
	v->fault.dr6_set = hit;
	v->instructions++;
	c->exit = EXIT_FAULT;
	return false;
}

static void watched_after(struct alc_vcpu *v, struct interp *c, bool tf)
{
	v->rflags &= ~(u64)X86_RF;
	if (c->single_once) {
		c->single_once = false;
		interp_mode_changed(v);
	}
	if (tf && !c->interrupted && !(v->shadow_ss && in_shadow(v)) &&
	    (c->exit == EXIT_NONE || c->exit == EXIT_BOUNDARY)) {
		x86_raise(v, X86_DB);
		v->fault.dr6_set = BIT(14); /* BS */
		c->exit = EXIT_FAULT;
	}
}

/* ---- The loop
 * --------------------------------------------------------------------------------------------- */

static inline void run_one_block(struct alc_vcpu *v, struct interp *c, struct block *b)
{
	v->gpr[X86_REG_BLOCK] = v->rip;
	c->block = b;
	v->instructions += b->ninsn;
	b->ops[0].fn(v, b->ops, c);
}

static void run_watched(struct alc_vcpu *v, struct interp *c, struct block *b)
{
	bool tf = v->rflags & X86_TF;

	if (!watched_before(v, c))
		return;
	c->interrupted = false;
	run_one_block(v, c, b);
	watched_after(v, c, tf);
}

/*
 * The instruction at RIP has raised v->fault before anything of it was executed: on fetching it,
 * or where an engine around this one made its access.
 */
void interp_faulted(struct interp *c)
{
	struct alc_vcpu *v = c->v;

	if (c->exit != EXIT_NONE)
		return;
	v->instructions++;
	c->exit = EXIT_FAULT;
}

void interp_begin(struct alc_vcpu *v, struct interp *c, struct alc_err *err)
{
	c->err = err;
	c->exit = EXIT_BOUNDARY;
	flags_load(v, c);
	interp_mode_changed(v);
	exclusive_enter_guest(c);
}

void interp_end(struct alc_vcpu *v, struct interp *c)
{
	exclusive_leave_guest(c);
	flags_sync(v, c);
	c->slot = NULL;
	c->err = NULL;
}

/* The block is longer than what is left to run: one instruction of it. */
static __attribute__((noinline)) void run_one_insn(struct alc_vcpu *v, struct interp *c)
{
	struct block *b;

	c->slot = NULL;
	c->mode |= MODE_ONE;
	b = block_next(v, c);
	if (b)
		run_one_block(v, c, b);
	else
		interp_faulted(c);
	c->mode &= ~(u32)MODE_ONE;
	c->slot = NULL;
}

static inline u64 budget(const struct alc_vcpu *v)
{
	return atomic_load_explicit(&v->run_until, memory_order_relaxed) - v->instructions;
}

static inline void run_next(struct alc_vcpu *v, struct interp *c)
{
	struct block *b = block_next(v, c);

	if (unlikely(!b))
		interp_faulted(c);
	else if (unlikely(c->mode & MODE_SINGLE))
		run_watched(v, c, b);
	else if (unlikely(b->ninsn > budget(v)))
		run_one_insn(v, c);
	else
		run_one_block(v, c, b);
}

void interp_run_next(struct alc_vcpu *v, struct interp *c)
{
	run_next(v, c);
}

void interp_run_block(struct alc_vcpu *v, struct interp *c, struct block *b)
{
	run_one_block(v, c, b);
}

enum alc_exit interp_run(struct alc_vcpu *v, struct alc_err *err)
{
	struct interp *c = v->engine;
	enum alc_exit out = ALC_EXIT_ATTENTION;

	interp_begin(v, c, err);
	for (;;) {
		if (unlikely(atomic_load_explicit(&v->attention, memory_order_relaxed) | c->exit |
			     at_budget(v))) {
			if (interp_boundary(v, c, &out) == NEXT_RETURN)
				break;
			if (c->exit)
				continue;
		}
		run_next(v, c);
	}
	interp_end(v, c);
	return out;
}

enum alc_exit interp_step(struct alc_vcpu *v, unsigned max_instructions, struct x86_fault *fault,
			  bool *faulted, struct alc_err *err)
{
	struct interp *c = v->engine;
	enum alc_exit out = ALC_EXIT_ATTENTION;
	unsigned i;

	*faulted = false;
	c->err = err;
	c->stop_on_fault = true;
	c->exit = EXIT_NONE;
	c->slot = NULL;
	flags_load(v, c);
	interp_mode_changed(v);
	for (i = 0; i < max_instructions && c->exit == EXIT_NONE; i++) {
		c->slot = NULL;
		run_next(v, c);
		if (c->exit == EXIT_BOUNDARY)
			c->exit = EXIT_NONE;
	}
	flags_sync(v, c);
	if (c->exit == EXIT_FAULT) {
		*faulted = true;
		*fault = v->fault;
	} else if (c->exit == EXIT_HALT) {
		out = ALC_EXIT_HALT;
	} else if (c->exit == EXIT_ERROR) {
		out = ALC_EXIT_ERROR;
	}
	c->exit = EXIT_NONE;
	c->stop_on_fault = false;
	c->slot = NULL;
	c->err = NULL;
	return out;
}
