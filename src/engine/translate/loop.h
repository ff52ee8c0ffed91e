/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_TRANSLATE_LOOP_H
#define ENGINE_TRANSLATE_LOOP_H

/*
 * Innermost loops of a region, and how addresses move in them: analysis alone, nothing is emitted
 * or changed. For those who hold something across iterations that a check has found out.
 *
 * A loop is instructions one behind the other in memory, from its head to one jump back to that.
 * All other jumps in it lead forward, in it or out of it, and nothing in it calls or leaves to the
 * interpreter by itself. A region with joins can be entered at every place that note_place() notes,
 * and at heads: whoever holds something must have it on these ways too, or keep them out; what
 * `closed` says is only about jumps.
 */
#include "engine/translate/translate.h"

enum { LOOP_INSNS = 64, LOOPS_MAX = 16, STREAMS_MAX = FAST_STREAMS, GPRS = 16 };

/*
 * Before an instruction of the body: general registers of which is known that they are `moved`
 * more than what `origin` was at the head.
 */
struct tr_loop_point {
	bool reached; /* from the head, within the iteration */
	u16 known;
	u8 origin[GPRS];
	i32 moved[GPRS];
};

struct tr_loop {
	u16 head, last; /* instructions; the last is the jump back, JCC or JMP */
	bool closed;    /* nothing outside of it jumps into its middle */
	u16 changed;    /* general registers that the body writes: BIT(register) */
	u16 steps; /* those to which a whole iteration adds the same on every way, or nothing */
	i32 step[GPRS];
	/*
	 * By instruction, from the head on. The first of them says what is so behind an iteration:
	 * two registers of which one was just made of the other. Control may have come into the
	 * middle: whoever relies on it compares them.
	 */
	struct tr_loop_point at[LOOP_INSNS];
};

/*
 * Accesses of a loop with one address but for constants, which moves by `step` in each iteration
 * (0: stays). lo and hi: the bytes of all of them, seen from that address with registers as they
 * are at the head. Without registers: the linear address itself.
 */
struct tr_stream {
	u8 base, index, shift; /* NO_REG */
	u8 members;
	bool write;
	i32 step;
	i64 lo, hi;
};

/* Before an instruction of the loop: is it known what a whole iteration adds to the register? */
bool tr_loop_steady(const struct tr_loop *l, const struct tr_loop_point *p, unsigned reg);

unsigned tr_loops_find(const struct gen_context *in, struct tr_loop *loops, unsigned max);

/*
 * The streams of a loop, with all bytes of one within `span`. of: by instruction, from the head on,
 * the number of the stream that its memory operand belongs to, from 1 on; or 0.
 */
unsigned tr_loop_streams(const struct gen_context *in, const struct tr_loop *l, unsigned span,
			 struct tr_stream *streams, unsigned max, u8 *of);

#endif
