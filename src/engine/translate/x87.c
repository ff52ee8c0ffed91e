/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x87 and MMX instructions run as they are. Their state is loaded by XRSTOR where a region that
 * has some begins, if it isn't in yet, and saved by XSAVE when translated code leaves, each time
 * this component alone (SDM vol. 1 13.4.1).
 *
 * Exceptions. An unmasked one is pending until the next waiting instruction, here as there: that
 * raises SIGFPE, its address is in the table of faults, and the interpreter finds the exception
 * pending before it.
 *
 * Pointers. The host's FIP is the address of translated code, which the same table makes the
 * guest's; 0 is loaded, so that what executed nothing changes nothing. The opcode is the guest's
 * too, and counts if the host has another than was loaded, which no instruction has: processors
 * set it at unmasked exceptions only (8.1.9.1). FDP is stored behind each access, since host
 * addresses don't tell it. AMD processors save pointers only while an exception is pending, and
 * so tell guests as much as they tell programs.
 */
#include "engine/interp/simd.h"
#include "engine/translate/gen.h"

enum {
	IMAGE_FCW = 0, /* and FSW */
	IMAGE_FTW = 4,
	IMAGE_FOP = 6,
	IMAGE_FIP = 8,
	IMAGE_FDP = 16,
	IMAGE_ST = 32,
	IMAGE_BV = 512,
	NO_FOP = 0x7ff, /* DF FF is no instruction */
};

/* ---- State ---- */

void tr_x87_init(struct tr *t)
{
	st16(t->x87 + IMAGE_FOP, NO_FOP);
	st64(t->x87 + IMAGE_FIP, 0);
	st64(t->x87 + IMAGE_FDP, 0);
	st64(t->x87 + IMAGE_BV, X86_XCR0_X87);
}

static void take_pointers(struct alc_vcpu *v, struct tr *t)
{
	u64 off = ld64(t->x87 + IMAGE_FIP) - (u64)(uintptr_t)t->code.rx;
	u32 site = off < t->code.size ? tr_fault_site(t, (u32)off) : 0;
	struct tr_site s;

	if (!site)
		return;
	tr_site_read(t, site, &s);
	v->fpu.fip = s.rip;
	if (ld16(t->x87 + IMAGE_FOP) != NO_FOP)
		v->fpu.fop = (u16)s.fop;
}

void tr_x87_take(struct alc_vcpu *v, struct tr *t)
{
	struct x86_fpu *f = &v->fpu;

	t->x87_left = false;
	f->fcw = ld16(t->x87 + IMAGE_FCW);
	f->fsw = ld16(t->x87 + IMAGE_FCW + 2);
	f->ftw = t->x87[IMAGE_FTW];
	__builtin_memcpy(f->st, t->x87 + IMAGE_ST, sizeof(f->st));
	take_pointers(v, t);
	tr_x87_init(t);
}

/* ---- The runtime's part ---- */

static void move_area(struct code *c, unsigned op)
{
	struct hmem m = hm_gs(T_OFF(x87));

	E_CODE(c, 0x65, 0x48, 0x0f, 0xae);
	e_modrm_mem(c, op, &m);
}

static void component(struct code *c)
{
	e_mov_imm(c, X86_RAX, X86_XCR0_X87);
	e_mov_imm(c, X86_RDX, 0);
}

static void emit_load(struct tr *t)
{
	struct code *c = &t->emit;

	t->rt.load_x87 = c->at;
	e_load32(c, T0, hm_gs(V_OFF(fpu.fcw)));
	e_store32(c, hm_gs(T_OFF(x87) + IMAGE_FCW), T0);
	e_rm(c, 0x8a, false, T0, hm_gs(V_OFF(fpu.ftw)));
	e_rm(c, 0x88, false, T0, hm_gs(T_OFF(x87) + IMAGE_FTW));
	for (unsigned k = 0; k < 16; k++) {
		unsigned reg = k & 1 ? T1 : T0;

		e_load(c, reg, hm_gs(V_OFF(fpu.st) + (i32)k * 8));
		e_store(c, hm_gs(T_OFF(x87) + IMAGE_ST + (i32)k * 8), reg);
	}
	e_rr(c, OP_MOV_LOAD, true, T0, X86_RAX);
	e_rr(c, OP_MOV_LOAD, true, T1, X86_RDX);
	component(c);
	move_area(c, 5); /* xrstor64 */
	e_rr(c, OP_MOV_LOAD, true, X86_RAX, T0);
	e_rr(c, OP_MOV_LOAD, true, X86_RDX, T1);
	e_or8_mem(c, hm_gs(T_OFF(fpu_in)), UNIT_X87);
	e8(c, 0xc3);
}

/* Where RAX and RDX have been saved. C finds the stack empty and all exceptions masked. */
static void emit_save(struct tr *t)
{
	struct code *c = &t->emit;

	t->rt.save_x87 = c->at;
	component(c);
	move_area(c, 4);       /* xsave64 */
	E_CODE(c, 0xdb, 0xe3); /* fninit */
	e_and8_mem(c, hm_gs(T_OFF(fpu_in)), (u8)~UNIT_X87);
	e_store8_imm(c, hm_gs(T_OFF(x87_left)), 1);
	e8(c, 0xc3);
}

void tr_emit_x87(struct tr *t)
{
	_Static_assert(offsetof(struct x86_fpu, fsw) == offsetof(struct x86_fpu, fcw) + 2,
		       "both are moved as one word");
	emit_load(t);
	emit_save(t);
}

/* ---- Instructions ---- */

static bool is_x87(const struct dec *d)
{
	return d->z.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
	       ((d->z.opcode & 0xf8) == 0xd8 || d->z.opcode == 0x9b);
}

static bool uses_class(const struct dec *d, ZydisRegisterClass class)
{
	for (unsigned k = 0; k < d->z.operand_count; k++)
		if (d->o[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(d->o[k].reg.value) == class)
			return true;
	return false;
}

/* Those that neither set pointers nor touch the stack's contents: of the control group. */
static bool is_control(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_FLDCW || m == ZYDIS_MNEMONIC_FNSTCW ||
	       m == ZYDIS_MNEMONIC_FNSTSW || m == ZYDIS_MNEMONIC_FNCLEX ||
	       m == ZYDIS_MNEMONIC_FWAIT;
}

/* Images hold pointers, which here are the host's; FNINIT sets them. */
static bool is_interpreters(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_FNINIT:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FDISI8087_NOP:
	case ZYDIS_MNEMONIC_FENI8087_NOP:
	case ZYDIS_MNEMONIC_FSETPM287_NOP:
		return true;
	default:
		return false;
	}
}

bool tr_x87_decode(const struct dec *d, const struct tr *t, struct tr_insn *i)
{
	ZydisMnemonic m = d->z.mnemonic;
	bool x87 = is_x87(d);

	if (!x87 && m != ZYDIS_MNEMONIC_EMMS && !uses_class(d, ZYDIS_REGCLASS_MMX))
		return true;
	if (!tr_host_has(t, TR_HOST_XSAVE) || !tr_has(t, TR_X87) || d->mode & (MODE_EM | MODE_TS) ||
	    (x87 && is_interpreters(m)))
		return false;
	i->fpu = UNIT_X87;
	/* Conversions between MMX registers and memory look at MXCSR as well. */
	if (uses_class(d, ZYDIS_REGCLASS_XMM) || d->z.meta.category == ZYDIS_CATEGORY_CONVERT)
		i->fpu |= UNIT_VECTOR;
	if (x87 && !is_control(m)) {
		i->x87_pointers = true;
		i->fop = (u16)((d->z.opcode & 7) << 8 | d->bytes[d->z.raw.modrm.offset]);
	}
	return true;
}

void x87_site(struct gen *g, const struct tr_insn *i, u32 site)
{
	if (site)
		tr_slot(g->t, site)->value = i->fop;
}

void x87_data_pointer(struct gen *g, const struct tr_insn *i)
{
	ea_offset(g, i);
	e_store(g->c, hm_gs(V_OFF(fpu.fdp)), T0);
}
