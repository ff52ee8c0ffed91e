/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IRETQ from the supervisor's 64-bit code to 64-bit code, from translated code to translated code.
 *
 * What it loads into CS and SS is what their descriptors say. One such return is remembered of each
 * kind, when the interpreter has made it: to user mode, and to the supervisor with and without a
 * null SS. Another one is the same if selectors and descriptors are. It is left to the interpreter
 * if the frame is not in the range around RSP or the GDT not in the TLB, if flags ask for more than
 * translated code knows (a trap flag, alignment checks, a nested task), if an interrupt may be
 * waiting for IF, and whenever there would be a fault.
 *
 * Words of the frame are read once where anything but the guest depends on them: other vCPUs may
 * write to it meanwhile.
 */
#include "engine/translate/gen.h"
#include "isa/segment.h"

enum { RETURN_KERNEL, RETURN_USER, RETURN_NULL_SS };
enum { GDT_SPAN = 256 }; /* descriptors further from its beginning are not remembered */
enum { FRAME_RIP = 0, FRAME_CS = 8, FRAME_RFLAGS = 16, FRAME_RSP = 24, FRAME_SS = 32 };

/* ---- What is remembered ---- */

static bool read_descriptor(struct alc_vcpu *v, u16 sel, u64 *out)
{
	u32 off = sel & ~7u;

	return !(sel & 4) && off + 8 <= GDT_SPAN && off + 7 <= v->gdtr.limit &&
	       !interp_ops.read(v, v->gdtr.base + off, out, 8, X86_READ | X86_IMPLICIT);
}

void tr_return_note(struct alc_vcpu *v, struct tr *t)
{
	const struct x86_seg *cs = &v->seg[X86_CS], *ss = &v->seg[X86_SS];
	u16 in_gdt = sel_null(ss->sel) ? cs->sel : ss->sel; /* whose descriptor is compared */
	struct tr_return r = {.cs_sel = cs->sel, .ss_sel = ss->sel, .cs = *cs, .ss = *ss};

	if (t->c.exit || !x86_code64(v) || !read_descriptor(v, cs->sel, &r.cs_raw) ||
	    !read_descriptor(v, in_gdt, &r.ss_raw))
		return;
	r.cs_off = cs->sel & ~7u;
	r.ss_off = in_gdt & ~7u;
	r.limit = (r.cs_off > r.ss_off ? r.cs_off : r.ss_off) + 7;
	t->returns[v->cpl ? RETURN_USER : sel_null(ss->sel) ? RETURN_NULL_SS : RETURN_KERNEL] = r;
}

/* ---- The runtime's part ----
 *
 * The sites are in T2, as for SYSRET. RAX is the frame's host address, RCX is taken too; the
 * guest's are put aside.
 */

static struct hmem kept(unsigned k)
{
	return hm_gs(T_OFF(return_kept) + (i32)(k * sizeof(u64)));
}

static struct hmem remembered(unsigned kind, size_t field)
{
	return hm_gs(T_OFF(returns) + (i32)(kind * sizeof(struct tr_return) + field));
}

static struct hmem frame(i32 at)
{
	return hm(X86_RAX, at);
}

static void unless(struct code *c, unsigned cc, u32 otherwise)
{
	e_bind(c, e_jcc(c, cc ^ 1), otherwise);
}

/* RAX = where the 40 bytes at guest RSP are. */
static void find_frame(struct code *c, u32 otherwise)
{
	i32 range = T_OFF(range);
	struct hmem limit = hm_gs(range + (i32)offsetof(struct tr_range, limit[3]));

	e_rr(c, OP_MOV_LOAD, true, T0, H_RSP);
	e_rm(c, OP_SUB, true, T0, hm_gs(range + (i32)offsetof(struct tr_range, base)));
	e_rm(c, OP_CMP, true, T0, limit);
	unless(c, CC_BE, otherwise);
	e_lea(c, T0, hm(T0, FRAME_SS));
	e_rm(c, OP_CMP, true, T0, limit);
	unless(c, CC_BE, otherwise);
	e_load(c, X86_RAX, hm_gs(range + (i32)offsetof(struct tr_range, addend)));
	e_rr(c, OP_ADD, true, X86_RAX, H_RSP);
}

/* The new RFLAGS to kept(2). */
static void take_flags(struct code *c, u32 otherwise)
{
	const u32 easy = X86_ARITH | X86_R1 | X86_IF | X86_DF | X86_RF | X86_ID;

	e_rm(c, 0xf7, false, 0, hm_gs(V_OFF(rflags))); /* test */
	e32(c, X86_NT | X86_VM);
	unless(c, CC_E, otherwise);
	e_cmp8_mem(c, hm_gs(T_OFF(c.intr_waiting)), 0);
	unless(c, CC_E, otherwise);
	e_load(c, T0, frame(FRAME_RFLAGS));
	E_CODE(c, 0x49, 0xf7, 0xc1); /* test r9, imm32: sign-extended */
	e32(c, ~easy);
	unless(c, CC_E, otherwise);
	E_CODE(c, 0x41, 0x83, 0xc9, X86_R1); /* or r9d */
	e_store(c, kept(2), T0);
}

/* The new RIP to kept(3): canonical. */
static void take_rip(struct code *c, u32 otherwise)
{
	e_load(c, T0, frame(FRAME_RIP));
	e_store(c, kept(3), T0);
	E_CODE(c, 0x49, 0xc1, 0xf9, 47); /* sar r9, 47 */
	E_CODE(c, 0x49, 0xff, 0xc1);     /* inc r9 */
	e_cmp_imm(c, T0, 1);
	unless(c, CC_BE, otherwise);
}

static void compare_descriptor(struct code *c, unsigned kind, size_t off, size_t raw, u32 otherwise)
{
	e_load32(c, T1, remembered(kind, off));
	e_load(c, T1, (struct hmem){.base = T0, .index = T1});
	e_rm(c, OP_CMP, true, T1, remembered(kind, raw));
	unless(c, CC_E, otherwise);
}

/* Selectors and descriptors are as they were; takes RCX. */
static void compare_segments(struct code *c, unsigned kind, u32 otherwise)
{
	i32 table = T_OFF(tables); /* the supervisor's */

	e_load(c, T0, frame(FRAME_CS));
	e_rm(c, OP_CMP, true, T0, remembered(kind, offsetof(struct tr_return, cs_sel)));
	unless(c, CC_E, otherwise);
	e_load(c, T0, frame(FRAME_SS));
	e_rm(c, OP_CMP, true, T0, remembered(kind, offsetof(struct tr_return, ss_sel)));
	unless(c, CC_E, otherwise);
	e_load32(c, T0, hm_gs(V_OFF(gdtr.limit)));
	e_and32_imm(c, T0, 0xffff);
	e_rm(c, OP_CMP, false, T0, remembered(kind, offsetof(struct tr_return, limit)));
	unless(c, CC_AE, otherwise);
	e_load(c, T0, hm_gs(V_OFF(gdtr.base)));
	e_rr(c, OP_MOV_LOAD, false, T1, T0);
	E_CODE(c, 0x41, 0xc1, 0xea, 7); /* shr r10d, 7 */
	e_and32_imm(c, T1, (TLB_SIZE - 1) * sizeof(struct tlb_entry));
	e_rr(c, OP_MOV_LOAD, true, X86_RCX, T0);
	e_rm(c, OP_SUB, true, X86_RCX, hm_gs_at(T1, table + (i32)offsetof(struct tlb_entry, rtag)));
	e_cmp_imm(c, X86_RCX, ALC_PAGE_SIZE - GDT_SPAN);
	unless(c, CC_BE, otherwise);
	e_rm(c, OP_ADD, true, T0, hm_gs_at(T1, table + (i32)offsetof(struct tlb_entry, addend)));
	compare_descriptor(c, kind, offsetof(struct tr_return, cs_off),
			   offsetof(struct tr_return, cs_raw), otherwise);
	compare_descriptor(c, kind, offsetof(struct tr_return, ss_off),
			   offsetof(struct tr_return, ss_raw), otherwise);
}

/* Data segments stay only if user mode may have them (SDM vol. 2, IRET): P and a lower DPL. */
static void keep_segments(struct code *c, u32 otherwise)
{
	static const u8 which[] = {X86_ES, X86_DS, X86_FS, X86_GS};

	for (unsigned k = 0; k < ARRAY_LEN(which); k++) {
		e_load32(c, T0,
			 hm_gs(V_OFF(seg) + (i32)(which[k] * sizeof(struct x86_seg) +
						  offsetof(struct x86_seg, limit) + 4)));
		E_CODE(c, 0x41, 0xc1, 0xe9, 16); /* shr r9d, 16: attr, behind sel */
		e_and32_imm(c, T0, X86_SEG_P | X86_SEG_DPL);
		e_lea32(c, T0, hm(T0, -X86_SEG_P));
		e_cmp_imm(c, T0, X86_SEG_DPL);
		unless(c, CC_AE, otherwise);
	}
}

static void check_mode(struct code *c, u32 otherwise)
{
	e_load32(c, T0, hm_gs(T_OFF(c.mode)));
	E_CODE(c, 0x41, 0x83, 0xc9, MODE_USER);                 /* or r9d */
	e_rm(c, 0x0b, false, T0, hm_gs(T_OFF(window_mode[1]))); /* or */
	e_rm(c, OP_CMP, false, T0, hm_gs(T_OFF(key_mode[1])));
	unless(c, CC_E, otherwise);
}

static void emit_kind(struct tr *t, unsigned kind, u32 otherwise)
{
	struct code *c = &t->emit;
	i32 image = T_OFF(returns) + (i32)(kind * sizeof(struct tr_return));
	bool user = kind == RETURN_USER;

	compare_segments(c, kind, otherwise);
	if (user) {
		keep_segments(c, otherwise);
		check_mode(c, otherwise);
	}
	take_rip(c, otherwise);
	/* From here on it is done. */
	e_load(c, T0, kept(2));
	ring_store_rflags(c);
	e_store8_imm(c, hm_gs(V_OFF(nmi_blocked)), 0);
	ring_load_segments(c, image + (i32)offsetof(struct tr_return, cs),
			   image + (i32)offsetof(struct tr_return, ss));
	if (user)
		ring_switch(t, 1);
	e_load(c, H_RSP, frame(FRAME_RSP));
	e_load(c, X86_RAX, kept(0));
	e_load(c, X86_RCX, kept(1));
	e_load(c, T0, kept(3));
	ring_transfer(t, user);
}

void tr_emit_return(struct tr *t, u32 step)
{
	struct code *c = &t->emit;
	u32 otherwise = c->at, user, null;

	e_load(c, X86_RAX, kept(0));
	e_load(c, X86_RCX, kept(1));
	e_jmp_to(c, step);

	t->rt.iret = c->at;
	e_store(c, kept(0), X86_RAX);
	e_store(c, kept(1), X86_RCX);
	find_frame(c, otherwise);
	take_flags(c, otherwise);
	e_rm(c, 0xf7, false, 0, frame(FRAME_CS)); /* test */
	e32(c, 3);
	user = e_jcc(c, CC_NE);
	e_cmp32_mem8(c, frame(FRAME_SS), 0);
	null = e_jcc(c, CC_E);
	emit_kind(t, RETURN_KERNEL, otherwise);
	e_bind_here(c, user);
	emit_kind(t, RETURN_USER, otherwise);
	e_bind_here(c, null);
	emit_kind(t, RETURN_NULL_SS, otherwise);
}
