/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block_run.h"
#include "engine/interp/step.h"
#include "forms.h"
#include "isa/event.h"
#include "undefined.h"
#include "values.h"

/* Frames of the window's pages: neighbours there are no neighbours here. */
enum {
	FRAME_DATA = 0x20000, /* four, every other one */
	FRAME_RO = 0x28000,
	FRAME_DEMAND = 0x2b000,
	FRAME_REMAP = 0x2c000, /* two, REMAP_FLIP apart */
	FRAME_WRITABLE = 0x2f000,
	FRAME_STACK = 0x32000, /* two, downwards */
	FRAME_CODE = 0x38000,  /* two, downwards */
	FRAME_STEPS = 0x3a000, /* two, REMAP_FLIP apart */
	FRAME_CROSS = 0x3d000,
	FRAMES_END = 0x40000,
};

static u64 pte_of(unsigned page)
{
	switch (page) {
	case PG_DATA:
	case PG_DATA + 1:
	case PG_DATA + 2:
	case PG_DATA + 3:
		return (FRAME_DATA + page * 0x2000u) | PTE_P | PTE_W | PTE_NX;
	case PG_RO:
		return FRAME_RO | PTE_P | PTE_NX;
	case PAGE_DEMAND:
		return FRAME_DEMAND | PTE_NX;
	case PAGE_REMAP:
		return FRAME_REMAP | PTE_P | PTE_W | PTE_NX;
	case PAGE_STEPS:
		return FRAME_STEPS | PTE_P | PTE_W;
	case PG_CROSS:
		return FRAME_CROSS | PTE_P | PTE_W;
	case PG_ALIAS:
		return (FRAME_DATA + 0x2000u) | PTE_P | PTE_W | PTE_NX;
	case PG_STACK:
	case PG_STACK + 1:
		return (FRAME_STACK - (page - PG_STACK) * 0x1000u) | PTE_P | PTE_W | PTE_NX;
	case PAGE_WRITABLE:
		return FRAME_WRITABLE | PTE_P | PTE_W | PTE_NX;
	case PG_CODE:
	case PG_CODE + 1:
		return (FRAME_CODE - (page - PG_CODE) * 0x1000u) | PTE_P | PTE_W;
	case PG_CODE_ALIAS:
	case PG_CODE_ALIAS + 1:
		return (FRAME_CODE - (page - PG_CODE_ALIAS) * 0x1000u) | PTE_P | PTE_W | PTE_NX;
	default:
		return 0;
	}
}

int block_guest_create(struct block_guest *g, const struct alc_engine *engine,
		       const struct settings *settings, struct alc_err *err)
{
	int ret;

	memset(g, 0, sizeof(*g));
	g->image = calloc(1, WORLD_RAM);
	if (!g->image)
		return alc_fail(err, -ENOMEM, "out of memory");
	ret = world_create(&g->world, engine, settings, err);
	if (ret) {
		free(g->image);
		g->image = NULL;
		return ret;
	}
	kernel_install(&g->world);
	memcpy(g->image, g->world.ram, WORLD_RAM);
	return 0;
}

void block_guest_destroy(struct block_guest *g)
{
	if (g->image)
		world_destroy(&g->world);
	free(g->image);
	g->image = NULL;
}

/* ModRM of INC and DEC of the first register. */
enum { STEP_UP = 0xc0, STEP_DOWN = 0xc8 };
enum { LOOP_AT = BLOCK_LOOP_AT + 6 };

/* 2: inc rax (dec rax); dec ecx; jnz 1b; pop rcx; ret */
static void make_loop_end(u8 *frame, u8 opcode, bool rex)
{
	const u8 end[] = {rex ? 0x48 : 0x90, 0xff, opcode, 0xff, 0xc9, 0x75, 0, 0x59, 0xc3};
	enum { JUMP_END = 7 };

	memcpy(frame + BLOCK_LOOP_END_AT, end, sizeof(end));
	frame[BLOCK_LOOP_END_AT + JUMP_END - 1] =
		(u8)(LOOP_AT - ALC_PAGE_SIZE - BLOCK_LOOP_END_AT - JUMP_END);
}

/*
 * inc reg (dec reg); ret. Behind TEST no flags live that came from elsewhere, behind a NOP, CF
 * does.
 */
static void make_steps(u8 *frame, u8 opcode, bool rex)
{
	/* test esp, esp (in the other frame a NOP); lea rax, [rip]; ret */
	const bool tests = opcode == STEP_UP;
	const u8 where[] = {
		tests ? 0x85 : 0x66, tests ? 0xe4 : 0x90, 0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xc3};

	memset(frame, CASE_INT3, ALC_PAGE_SIZE);
	for (unsigned reg = 0; reg < X86_GPRS; reg++) {
		u8 step[] = {reg & 1 ? 0x85 : 0x66,
			     reg & 1 ? 0xe4 : 0x90,
			     rex ? (u8)(0x48 | reg >> 3) : 0x90,
			     0xff,
			     (u8)(opcode | (reg & 7)),
			     0xc3};

		memcpy(frame + BLOCK_STEP_AT + reg * BLOCK_STEP_SIZE, step, sizeof(step));
	}
	memcpy(frame + BLOCK_WHERE_AT, where, sizeof(where));
	frame[0] = opcode;
	frame[1] = 0xc3;
	make_loop_end(frame, opcode, rex);
}

/* nop; inc rax (dec rax) but for its last byte. push rcx; mov ecx, 20; 1: jmp 2f */
static void make_crossing(u8 *frame, bool rex)
{
	const u8 step[] = {0x90, rex ? 0x48 : 0x90, 0xff};
	const u8 loop[] = {0x51, 0xb9, 20,   0,
			   0,    0,    0xeb, BLOCK_LOOP_END_AT + ALC_PAGE_SIZE - LOOP_AT - 2};

	enum { TO_WHERE = BLOCK_WHERE_AT + ALC_PAGE_SIZE - BLOCK_VIA_AT - 7 };
	/* test ecx, ecx; jmp */
	const u8 via[] = {0x85, 0xc9, 0xe9, TO_WHERE & 0xff, TO_WHERE >> 8, 0, 0};

	memset(frame, CASE_INT3, ALC_PAGE_SIZE);
	memcpy(frame + BLOCK_VIA_AT, via, sizeof(via));
	memcpy(frame + ALC_PAGE_SIZE - sizeof(step), step, sizeof(step));
	memcpy(frame + BLOCK_LOOP_AT, loop, sizeof(loop));
}

static void make_image(u8 *image, const struct block *b)
{
	for (unsigned page = 0; page < PG_WINDOW; page++) {
		u64 pte = pte_of(page);

		if (pte && b->cpl)
			pte |= PTE_U;
		st64(image + GPA_WINDOW + page * 8, pte);
	}
	memset(image + GPA_STACK, 0, KERNEL_END - GPA_STACK);
	values_fill(b->fill, image + FRAME_DATA, FRAMES_END - FRAME_DATA);
	make_steps(image + FRAME_STEPS, STEP_UP, b->bits == 64);
	make_steps(image + FRAME_STEPS + REMAP_FLIP, STEP_DOWN, b->bits == 64);
	make_crossing(image + FRAME_CROSS, b->bits == 64);
	memcpy(image + FRAME_CODE, b->code, ALC_PAGE_SIZE);
	memcpy(image + FRAME_CODE - ALC_PAGE_SIZE, b->code + ALC_PAGE_SIZE, ALC_PAGE_SIZE);
}

/* By the protocol of mem/space.h, and only what changes: engines keep what they made of the rest.
 */
static void reset_ram(struct block_guest *g)
{
	for (u64 at = 0; at < WORLD_RAM; at += ALC_PAGE_SIZE)
		if (memcmp(g->world.ram + at, g->image + at, ALC_PAGE_SIZE) &&
		    space_copy_out(&g->world.space, gpa(at), g->image + at, ALC_PAGE_SIZE))
			abort();
}

void block_guest_load(struct block_guest *g, const struct block *b)
{
	make_image(g->image, b);
	reset_ram(g);
	if (b->bits == 64)
		kernel_enter(&g->world, &b->in, b->cpl);
	else
		kernel_enter_compat(&g->world, &b->in, b->fs_limit);
}

void block_guest_run(struct block_guest *g, const struct block *b, struct block_outcome *out)
{
	block_guest_load(g, b);
	kernel_run(&g->world, &out->cpu);
	out->cr2 = g->world.v->cr2;
	out->stops = g->world.stops;
	out->instructions = g->world.slice ? g->world.v->instructions : 0;
	memcpy(out->ram, g->world.ram, WORLD_RAM);
}

/* ---- The trial run ----------------------------------------------------------------------------
 */

enum { TRIAL_STEPS = 4000 };

struct trial {
	struct block_guest *g;
	struct alc_vcpu *v;
	struct block_trial *out;
	struct decoded d;
	bool decoded;
};

static void unfit(struct trial *t, const char *why)
{
	t->out->fit = false;
	t->out->why = why;
}

/* The instruction at RIP, as far as its page in the window has it. */
static bool fetch(struct trial *t, const struct block *b)
{
	u64 off = t->v->rip - b->base - PG_CODE * 0x1000;
	u8 bytes[15];
	unsigned n = 0;

	if (off >= CASE_CODE_SIZE)
		return false;
	for (; n < sizeof(bytes) && off + n < CASE_CODE_SIZE; n++)
		bytes[n] = t->g->world.ram[FRAME_CODE - ((off + n) >> 12) * 0x1000 +
					   ((off + n) & 0xfff)];
	return forms_decode_as(x86_code64(t->v) ? 64 : 32, bytes, n, &t->d);
}

static void check_flags(struct trial *t)
{
	const struct decoded *d = &t->d;
	u32 *undefined = &t->out->undefined;
	u32 read = undefined_read(d);

	if (d->insn.mnemonic == ZYDIS_MNEMONIC_SYSCALL)
		read = X86_ARITH;
	if (*undefined & read)
		unfit(t, "it reads undefined flags");
	if (undefined_result(d, (u8)t->v->gpr[X86_RCX]))
		unfit(t, "a double shift's result is undefined");
	*undefined &= ~undefined_defined(d);
	*undefined |= undefined_after(d);
}

static int deliver(struct trial *t, u64 at)
{
	bool software = t->decoded && (t->d.insn.mnemonic == ZYDIS_MNEMONIC_INT ||
				       t->d.insn.mnemonic == ZYDIS_MNEMONIC_INT3);

	if (software && t->v->rip != at)
		return x86_deliver_software(t->v, t->v->fault.vector, at);
	if (t->decoded && undefined_fault(&t->d))
		unfit(t, "its fault varies");
	/* Up to the fault it is not known what the instruction did. */
	return x86_deliver_fault(t->v);
}

/* One instruction with its fault, if any; true when the program has come to an end. */
static bool try_step(struct trial *t, const struct block *b, struct alc_err *err)
{
	struct x86_fault fault;
	u64 at = t->v->rip;
	u32 before = t->out->undefined;
	bool faulted = false;
	enum alc_exit exit;

	t->decoded = fetch(t, b);
	if (t->decoded)
		check_flags(t);
	exit = interp_step(t->v, 1, &fault, &faulted, err);
	if (exit == ALC_EXIT_HALT)
		return true;
	if (exit == ALC_EXIT_ERROR) {
		unfit(t, "the interpreter can't go on");
		return true;
	}
	if (!faulted)
		return false;
	t->out->undefined |= before;
	t->v->fault = fault;
	if (deliver(t, at) || t->v->activity == X86_SHUTDOWN) {
		unfit(t, "a fault can't be delivered");
		return true;
	}
	return false;
}

void block_try(struct block_guest *g, const struct block *b, struct block_trial *out)
{
	struct trial t = {.g = g, .v = g->world.v, .out = out};
	struct case_outcome end;
	struct alc_err err = {0};

	*out = (struct block_trial){.fit = true};
	block_guest_load(g, b);
	g->world.engine->set_state(t.v);
	while (!try_step(&t, b, &err) && out->fit)
		if (out->steps++ == TRIAL_STEPS)
			unfit(&t, "it takes too long");
	kernel_outcome(&g->world, ALC_EXIT_HALT, &err, &end);
	if (out->fit && end.end != CASE_FAULT)
		unfit(&t, "it ends in an unknown place");
	out->vector = end.fault.vector;
}
