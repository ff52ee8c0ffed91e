/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "kernel.h"

extern const u8 kernel_code[], kernel_code_end[], kernel_page_fault[], kernel_syscall[];
extern const u8 kernel_call_return[], kernel_call_remap[], kernel_call_right[];
extern const u8 kernel_call_flush[], kernel_call_unmap[], kernel_call_reload[];

enum { STUB_SIZE = 16, HLT_AT = 8, GATE_SIZE = 16, TSS_SELECTOR = 0x40, TSS_LIMIT = 0x67 };

static u64 address_of(const u8 *handler)
{
	return KERNEL_VA + GPA_HANDLERS + (u64)(handler - kernel_code);
}

enum { IST_FAULTS = 1, IST_NMI = 2 };

static void make_gate(u8 *gate, u64 to, unsigned dpl, u8 ist)
{
	const u8 interrupt_gate = 0x8e;

	st16(gate, (u16)to);
	st16(gate + 2, CASE_CS0);
	gate[4] = ist;
	gate[5] = (u8)(interrupt_gate | dpl << 5);
	st16(gate + 6, (u16)(to >> 16));
	st32(gate + 8, (u32)(to >> 32));
}

/* A stub halts for good, NMIs or not; that of #PF begins with a jump to its handler. */
static void make_stubs(u8 *ram)
{
	u8 *pf = ram + GPA_STUBS + X86_PFV * STUB_SIZE;
	static const u8 halt[] = {0xf4, 0xeb, 0xfd}; /* hlt; jmp to it */
	const u8 jmp = 0xe9;

	for (unsigned i = 0; i < 256; i++) {
		u8 *stub = ram + GPA_STUBS + i * STUB_SIZE;
		bool anyone = i == X86_BP || i == X86_OFV;

		memset(stub, 0x90, STUB_SIZE);
		memcpy(stub + HLT_AT, halt, sizeof(halt));
		make_gate(ram + GPA_IDT + i * GATE_SIZE, KERNEL_VA + GPA_STUBS + i * STUB_SIZE,
			  anyone ? 3 : 0, IST_FAULTS);
	}
	pf[0] = jmp;
	st32(pf + 1, (u32)(address_of(kernel_page_fault) -
			   (KERNEL_VA + GPA_STUBS + X86_PFV * STUB_SIZE + 5)));
}

static void make_calls(u8 *ram)
{
	static const u8 *const calls[CALLS] = {kernel_call_return, kernel_call_remap,
					       kernel_call_right,  kernel_call_flush,
					       kernel_call_unmap,  kernel_call_reload};

	memcpy(ram + GPA_HANDLERS, kernel_code, (size_t)(kernel_code_end - kernel_code));
	for (unsigned i = 0; i < CALLS; i++)
		make_gate(ram + GPA_IDT + (CALL_FIRST + i) * GATE_SIZE, address_of(calls[i]), 3,
			  IST_FAULTS);
	make_gate(ram + GPA_IDT + X86_NMI * GATE_SIZE, address_of(kernel_call_return), 0, IST_NMI);
}

static void make_segments(u8 *ram)
{
	u8 *gdt = ram + GPA_GDT;
	u64 tss = KERNEL_VA + GPA_TSS;

	st64(gdt + CASE_CS0, 0x00af9b000000ffff);
	st64(gdt + CASE_SS0, 0x00cf93000000ffff);
	st64(gdt + (CASE_SS & ~3), 0x00cff3000000ffff);
	st64(gdt + (CASE_CS & ~3), 0x00affb000000ffff);
	st64(gdt + (CASE_CS32 & ~3), 0x00cffb000000ffff);
	st64(gdt + TSS_SELECTOR,
	     TSS_LIMIT | (tss & 0xffffff) << 16 | 0x8bull << 40 | (tss >> 24 & 0xff) << 56);
	st64(gdt + TSS_SELECTOR + 8, tss >> 32);
	st64(ram + GPA_TSS + 0x1c + IST_FAULTS * 8, KERNEL_VA + GPA_STACK + ALC_PAGE_SIZE);
	st64(ram + GPA_TSS + 0x1c + IST_NMI * 8, KERNEL_VA + GPA_NMI + ALC_PAGE_SIZE);
	/* No I/O permission bitmap. */
	st16(ram + GPA_TSS + 0x66, TSS_LIMIT + 1);
}

static void make_tables(u8 *ram)
{
	static const u64 windows[] = {WINDOW, WINDOW_HIGH, WINDOW_FAR_1, WINDOW_FAR_2,
				      WINDOW_FAR_3};
	const u64 table = PTE_P | PTE_W | PTE_U | PTE_A;

	for (unsigned i = 0; i < ARRAY_LEN(windows); i++)
		st64(ram + GPA_PML4 + (windows[i] >> 39 & 511) * 8, GPA_PDPT | table);
	st64(ram + GPA_PDPT + ((u64)WINDOW >> 30 & 511) * 8, GPA_PD | table);
	st64(ram + GPA_PD + (WINDOW >> 21 & 511) * 8, GPA_WINDOW | table);
	st64(ram + GPA_PML4 + (KERNEL_VA >> 39 & 511) * 8, GPA_PDPT_TOP | table);
	st64(ram + GPA_PDPT_TOP + (KERNEL_VA >> 30 & 511) * 8, GPA_PD_TOP | table);
	st64(ram + GPA_PD_TOP, GPA_KERNEL | table);
	for (u64 at = 0; at < KERNEL_END; at += ALC_PAGE_SIZE)
		st64(ram + GPA_KERNEL + at / ALC_PAGE_SIZE * 8, at | PTE_P | PTE_W | PTE_A | PTE_D);
}

void kernel_install(struct world *w)
{
	memset(w->ram, 0, KERNEL_END);
	make_segments(w->ram);
	make_stubs(w->ram);
	make_calls(w->ram);
	make_tables(w->ram);
}

void kernel_map_page(struct world *w, unsigned page, u64 pte)
{
	st64(w->ram + GPA_WINDOW + page * 8, pte);
}

void kernel_enter(struct world *w, const struct case_state *in, unsigned cpl)
{
	struct alc_vcpu *v = w->v;

	world_enter_mode(v, GPA_PML4, cpl);
	v->gdtr = (struct x86_dtr){KERNEL_VA + GPA_GDT, TSS_SELECTOR + 15};
	v->idtr = (struct x86_dtr){KERNEL_VA + GPA_IDT, 256 * GATE_SIZE - 1};
	v->ldtr = (struct x86_seg){0};
	v->tr = (struct x86_seg){.base = KERNEL_VA + GPA_TSS,
				 .limit = TSS_LIMIT,
				 .sel = TSS_SELECTOR,
				 .attr = X86_SEG_P | 11};
	v->msr.star = (u64)CASE_CS0 << 32 | (u64)(CASE_CS - 16) << 48;
	v->msr.lstar = address_of(kernel_syscall);
	v->msr.sfmask = 0;
	v->msr.kernel_gs_base = in->fs_base;
	world_put_state(v, in);
}

void kernel_enter_compat(struct world *w, const struct case_state *in, u32 fs_limit)
{
	struct alc_vcpu *v = w->v;
	struct x86_seg *cs = &v->seg[X86_CS], data;

	kernel_enter(w, in, 3);
	cs->sel = CASE_CS32;
	cs->attr = (u16)((cs->attr & ~X86_SEG_L) | X86_SEG_DB);
	data = v->seg[X86_SS];
	v->seg[X86_DS] = v->seg[X86_ES] = data;
	data.base = in->gs_base;
	v->seg[X86_GS] = data;
	data.base = in->fs_base;
	data.limit = fs_limit;
	v->seg[X86_FS] = data;
}

static bool has_error_code(unsigned vector)
{
	return vector < 32 &&
	       (BIT(vector) & (BIT(X86_DF_) | BIT(X86_TS_) | BIT(X86_NP) | BIT(X86_SSF) |
			       BIT(X86_GP) | BIT(X86_PFV) | BIT(X86_AC_)));
}

void kernel_outcome(struct world *w, enum alc_exit exit, const struct alc_err *why,
		    struct case_outcome *out)
{
	const u64 first = KERNEL_VA + GPA_STUBS + HLT_AT + 1;
	struct alc_vcpu *v = w->v;
	u64 n = (v->rip - first) / STUB_SIZE, rsp = v->gpr[X86_RSP] - (KERNEL_VA + GPA_STACK);
	const u8 *frame;

	memset(&out->fault, 0, sizeof(out->fault));
	out->why[0] = 0;
	world_get_state(v, &out->out);
	if (exit == ALC_EXIT_ATTENTION) {
		out->end = CASE_TIMEOUT;
		return;
	}
	out->end = CASE_LOST;
	if (exit != ALC_EXIT_HALT || v->rip < first || n > 255 || (v->rip - first) % STUB_SIZE ||
	    rsp > ALC_PAGE_SIZE - 5 * 8) {
		snprintf(out->why, sizeof(out->why), "exit %u at %llx, CPL %u: %.160s",
			 (unsigned)exit, (unsigned long long)v->rip, v->cpl, why->text);
		return;
	}
	out->end = CASE_FAULT;
	out->fault.vector = (u8)n;
	out->fault.has_error = has_error_code((unsigned)n);
	out->fault.cr2 = n == X86_PFV ? v->cr2 : 0;
	frame = w->ram + GPA_STACK + rsp;
	if (out->fault.has_error) {
		out->fault.error = (u32)ld64(frame);
		frame += 8;
	}
	out->out.rip = ld64(frame) - (n == X86_BP);
	out->out.rflags = ld64(frame + 16);
	out->out.gpr[X86_RSP] = ld64(frame + 24);
}

void kernel_run(struct world *w, struct case_outcome *out)
{
	struct alc_err why = {0};

	kernel_outcome(w, world_run(w, &why), &why, out);
}
