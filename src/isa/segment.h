/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ISA_SEGMENT_H
#define ISA_SEGMENT_H

#include "isa/x86.h"

/*
 * Descriptors and segment registers (SDM vol. 3A chapters 3 and 5). Functions return X86_OK,
 * X86_FAULT (v->fault is set, nothing changed) or X86_UNSUPPORTED.
 */

/* A descriptor as it lies in a table; `hi` is the second half of a 16-byte one. */
struct x86_desc {
	u64 lo, hi;
};

static inline unsigned sel_rpl(u16 sel)
{
	return sel & 3;
}

static inline bool sel_null(u16 sel)
{
	return !(sel & ~3u);
}

static inline unsigned seg_dpl(const struct x86_seg *s)
{
	return (s->attr & X86_SEG_DPL) >> X86_SEG_DPL_SHIFT;
}

static inline bool seg_is_code(const struct x86_seg *s)
{
	return (s->attr & (X86_SEG_S | X86_SEG_CODE)) == (X86_SEG_S | X86_SEG_CODE);
}

static inline bool seg_conforming(const struct x86_seg *s)
{
	return seg_is_code(s) && (s->attr & X86_SEG_DC);
}

/* A stack segment's (or a code segment's, by D) default width in bits of its addresses. */
static inline u64 seg_stack_mask(const struct alc_vcpu *v)
{
	if (x86_code64(v))
		return ~0ull;
	return v->seg[X86_SS].attr & X86_SEG_DB ? 0xffffffffu : 0xffff;
}

/* Outside 64-bit mode: base and 4 GiB limit of a plain flat data or stack segment. */
static inline bool seg_flat(const struct x86_seg *s)
{
	return s->base == 0 && s->limit == 0xffffffff && (s->attr & X86_SEG_P) &&
	       (seg_is_code(s) || (s->attr & (X86_SEG_RW | X86_SEG_DC)) == X86_SEG_RW);
}

/* The segment that a descriptor (of 8 bytes, or of a system segment in long mode 16) describes. */
struct x86_seg seg_of_desc(u16 sel, struct x86_desc d, bool wide);
/* Reads sel's descriptor; beyond the table: `vector` with the selector as error code. */
int desc_read(struct alc_vcpu *v, u16 sel, bool wide, unsigned vector, struct x86_desc *out);
/* Sets the accessed bit of a code or data descriptor in memory, as loading it does. */
int desc_set_accessed(struct alc_vcpu *v, u16 sel, struct x86_seg *s);

/* MOV/POP/LxS to ES, SS, DS, FS, GS. */
int x86_load_segment(struct alc_vcpu *v, enum x86_segment which, u16 sel);
/* Checks sel as SS for a transfer to `cpl`; `vector` is #GP, #TS …, as the transfer has it. */
int seg_check_stack(struct alc_vcpu *v, u16 sel, unsigned cpl, unsigned vector,
		    struct x86_seg *out);
/* A null SS, as 64-bit transfers load it. */
struct x86_seg seg_null(u16 sel);
/* Real mode and SYSCALL: a segment made without a descriptor. */
struct x86_seg seg_flat_code(u16 sel, unsigned dpl, bool code64);
struct x86_seg seg_flat_data(u16 sel, unsigned dpl);

int x86_lldt(struct alc_vcpu *v, u16 sel);
int x86_ltr(struct alc_vcpu *v, u16 sel);
/* LAR, LSL, VERR, VERW: true if the selector is valid and visible (ZF); may fault on memory. */
enum x86_probe { X86_LAR, X86_LSL, X86_VERR, X86_VERW };
int x86_probe_segment(struct alc_vcpu *v, enum x86_probe what, u16 sel, bool *ok, u32 *value);

#endif
