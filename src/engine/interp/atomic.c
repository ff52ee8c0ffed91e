/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XCHG, XADD, CMPXCHG and its 8- and 16-byte forms. The host's own locked operations make them
 * atomic between vCPU threads.
 */
#include "engine/interp/ops.h"

/* XCHG with memory is locked whether or not the prefix is there (SDM vol. 2, XCHG). */
#define DEFINE_XCHG(bits)                                                                      \
	OP(xchg_rr##bits)                                                                      \
	{                                                                                      \
		u##bits a = reg##bits(v, op->a), b = reg##bits(v, op->b);                      \
		set_reg##bits(v, op->a, b);                                                    \
		set_reg##bits(v, op->b, a);                                                    \
		NEXT;                                                                          \
	}                                                                                      \
	OP(xchg_m##bits)                                                                       \
	{                                                                                      \
		EA(gva, bits / 8, X86_RMW)                                                     \
		u##bits *p = mem_lock_begin(v, c, op, gva, bits / 8);                          \
		TRY(!p);                                                                       \
		u##bits old = __atomic_exchange_n(p, reg##bits(v, op->a), __ATOMIC_SEQ_CST);   \
		TRY(mem_lock_end(v, c, op, gva, p, bits / 8));                                 \
		set_reg##bits(v, op->a, old);                                                  \
		NEXT;                                                                          \
	}                                                                                      \
	OP(xadd_rr##bits)                                                                      \
	{                                                                                      \
		u##bits a = reg##bits(v, op->a), b = reg##bits(v, op->b);                      \
		u##bits sum = (u##bits)(a + b);                                                \
		flags_add(c, a, b, sum, bits);                                                 \
		set_reg##bits(v, op->b, a);                                                    \
		set_reg##bits(v, op->a, sum);                                                  \
		NEXT;                                                                          \
	}                                                                                      \
	OP(xadd_m##bits)                                                                       \
	{                                                                                      \
		EA(gva, bits / 8, X86_RMW)                                                     \
		u##bits *p = mem_lock_begin(v, c, op, gva, bits / 8), b = reg##bits(v, op->a); \
		TRY(!p);                                                                       \
		u##bits old = __atomic_fetch_add(p, b, __ATOMIC_SEQ_CST);                      \
		TRY(mem_lock_end(v, c, op, gva, p, bits / 8));                                 \
		flags_add(c, old, b, (u##bits)(old + b), bits);                                \
		set_reg##bits(v, op->a, old);                                                  \
		NEXT;                                                                          \
	}                                                                                      \
	OP(cmpxchg_rr##bits)                                                                   \
	{                                                                                      \
		u##bits acc = reg##bits(v, X86_RAX), dst = reg##bits(v, op->a);                \
		flags_sub(c, acc, dst, (u##bits)(acc - dst), bits);                            \
		if (acc == dst)                                                                \
			set_reg##bits(v, op->a, reg##bits(v, op->b));                          \
		else                                                                           \
			set_reg##bits(v, X86_RAX, dst);                                        \
		NEXT;                                                                          \
	}                                                                                      \
	/* The destination is written in either case, so it needs the write right. */          \
	OP(cmpxchg_m##bits)                                                                    \
	{                                                                                      \
		EA(gva, bits / 8, X86_RMW)                                                     \
		u##bits *p = mem_lock_begin(v, c, op, gva, bits / 8);                          \
		TRY(!p);                                                                       \
		u##bits acc = reg##bits(v, X86_RAX), old = acc;                                \
		bool same = __atomic_compare_exchange_n(p, &old, reg##bits(v, op->a), false,   \
							__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);   \
		TRY(mem_lock_end(v, c, op, gva, p, bits / 8));                                 \
		flags_sub(c, acc, old, (u##bits)(acc - old), bits);                            \
		if (!same)                                                                     \
			set_reg##bits(v, X86_RAX, old);                                        \
		NEXT;                                                                          \
	}
FOR_WIDTHS(DEFINE_XCHG)

static bool gen_xchg(struct dec *d, unsigned arg)
{
	static op_fn *const rr[4] = BY_WIDTH(xchg_rr), *const m[4] = BY_WIDTH(xchg_m);
	bool mem0 = is_mem(&d->o[0]), mem1 = is_mem(&d->o[1]);

	d->op->a = dec_reg(d->o[mem0].reg.value);
	if (!mem0 && !mem1)
		d->op->b = dec_reg(d->o[1].reg.value);
	gen(d, (mem0 || mem1 ? m : rr)[width_index(d->o[0].size)]);
	return true;
}

enum { X_XADD, X_CMPXCHG };

static bool gen_exchange(struct dec *d, unsigned which)
{
	static op_fn *const forms[][2][4] = {
		[X_XADD] = {BY_WIDTH(xadd_rr), BY_WIDTH(xadd_m)},
		[X_CMPXCHG] = {BY_WIDTH(cmpxchg_rr), BY_WIDTH(cmpxchg_m)},
	};
	bool mem = is_mem(&d->o[0]);

	if (mem) {
		d->op->a = dec_reg(d->o[1].reg.value);
	} else {
		d->op->a = dec_reg(d->o[0].reg.value);
		d->op->b = dec_reg(d->o[1].reg.value);
	}
	gen(d, forms[which][mem][width_index(d->o[0].size)]);
	return true;
}

OP(cmpxchg8b)
{
	u64 expect = (u64)reg32(v, X86_RDX) << 32 | reg32(v, X86_RAX), old = expect;
	u64 want = (u64)reg32(v, X86_RCX) << 32 | reg32(v, X86_RBX);
	bool same;
	u64 *p;

	EA(gva, 8, X86_RMW)
	p = mem_lock_begin(v, c, op, gva, 8);
	TRY(!p);
	same = __atomic_compare_exchange_n(p, &old, want, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
	TRY(mem_lock_end(v, c, op, gva, p, 8));
	if (!same) {
		v->gpr[X86_RAX] = (u32)old;
		v->gpr[X86_RDX] = old >> 32;
	}
	flags_put(c, (flags_get(c) & ~(u64)X86_ZF) | (same ? X86_ZF : 0));
	NEXT;
}

/* One locked 16-byte compare-and-swap; compilers put it into a library otherwise. */
static bool swap16(void *p, u64 expect[2], const u64 want[2])
{
	bool same;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(same), "+m"(*(u64(*)[2])p), "+a"(expect[0]), "+d"(expect[1])
			 : "b"(want[0]), "c"(want[1])
			 : "memory");
	return same;
}

OP(cmpxchg16b)
{
	u64 old[2] = {v->gpr[X86_RAX], v->gpr[X86_RDX]};
	u64 want[2] = {v->gpr[X86_RBX], v->gpr[X86_RCX]};
	bool same;
	void *p;

	EA(gva, 16, X86_RMW)
	if (gva & 15)
		TRY(x86_raise_error(v, X86_GP, 0));
	p = mem_lock_begin(v, c, op, gva, 16);
	TRY(!p);
	same = swap16(p, old, want);
	TRY(mem_lock_end(v, c, op, gva, p, 16));
	if (!same) {
		v->gpr[X86_RAX] = old[0];
		v->gpr[X86_RDX] = old[1];
	}
	flags_put(c, (flags_get(c) & ~(u64)X86_ZF) | (same ? X86_ZF : 0));
	NEXT;
}

static bool gen_wide_cmpxchg(struct dec *d, unsigned wide)
{
	gen(d, wide ? cmpxchg16b : cmpxchg8b);
	return true;
}

const struct insn_row atomic_rows[] = {
	{ZYDIS_MNEMONIC_XCHG, gen_xchg, 0},
	{ZYDIS_MNEMONIC_XADD, gen_exchange, X_XADD},
	{ZYDIS_MNEMONIC_CMPXCHG, gen_exchange, X_CMPXCHG},
	{ZYDIS_MNEMONIC_CMPXCHG8B, gen_wide_cmpxchg, 0},
	{ZYDIS_MNEMONIC_CMPXCHG16B, gen_wide_cmpxchg, 1},
	{0},
};
