/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The software TLB and everything about guest memory that is not its fast path.
 *
 * Three tables: supervisor accesses, user accesses, and one whose tags never match, for user
 * code under alignment checking, where every access has to be looked at.
 */
#include "base/errno.h"
#include "engine/interp/interp.h"
#include "isa/control.h"
#include "isa/lapic.h"
#include "isa/segment.h"

static void log_fill(struct interp *c, unsigned which, unsigned entry)
{
	struct tlb_log *log = &c->log[which];

	if (log->count < TLB_LOG_MAX)
		log->entry[log->count] = (u16)entry;
	if (log->count <= TLB_LOG_MAX)
		log->count++;
}

int tlb_create(struct alc_vcpu *v, struct interp *c, struct alc_err *err)
{
	const struct alc_host *h = v->plat->host;

	c->tables_own = !c->tables;
	if (c->tables_own)
		c->tables = host_alloc(h, TLB_TABLES_BYTES);
	c->itlb = host_alloc(h, ITLB_SIZE * sizeof(*c->itlb));
	c->log = host_alloc(h, TLB_LOGS * sizeof(*c->log));
	c->marks = host_alloc(h, TLB_MARKS);
	c->spaces = host_alloc(h, TLB_SPACES * sizeof(*c->spaces));
	if (!c->tables || !c->itlb || !c->log || !c->marks || !c->spaces)
		return alc_fail(err, -ENOMEM, "no memory for the TLB of vCPU %u", v->index);
	c->epoch[0] = c->epoch[1] = c->epoch_last = 1;
	for (unsigned i = 0; i < TLB_TABLES * TLB_SIZE; i++)
		tlb_entry_clear(c, i);
	return 0;
}

void tlb_destroy(struct alc_vcpu *v, struct interp *c)
{
	if (c->tables_own)
		host_free(v->plat->host, c->tables, TLB_TABLES_BYTES);
	host_free(v->plat->host, c->itlb, ITLB_SIZE * sizeof(*c->itlb));
	host_free(v->plat->host, c->marks, TLB_MARKS);
	host_free(v->plat->host, c->log, TLB_LOGS * sizeof(*c->log));
	host_free(v->plat->host, c->spaces, TLB_SPACES * sizeof(*c->spaces));
}

/* ---- Mode ---------------------------------------------------------------------------------------
 */

static bool flat_segments(const struct alc_vcpu *v)
{
	return seg_flat(&v->seg[X86_DS]) && seg_flat(&v->seg[X86_ES]) &&
	       seg_flat(&v->seg[X86_SS]) && seg_flat(&v->seg[X86_CS]);
}

/* Whatever its base is, no access by it can fail for its limit or rights. */
static bool open_segment(const struct x86_seg *s)
{
	const u16 wanted = X86_SEG_P | X86_SEG_S | X86_SEG_RW;

	return (s->attr & (wanted | X86_SEG_CODE | X86_SEG_DC)) == wanted && s->limit == 0xffffffff;
}

static u32 segments_mode(const struct alc_vcpu *v)
{
	return (v->seg[X86_SS].attr & X86_SEG_DB ? MODE_STACK32 : 0) |
	       (open_segment(&v->seg[X86_FS]) ? MODE_OPEN_FS : 0) |
	       (open_segment(&v->seg[X86_GS]) ? MODE_OPEN_GS : 0);
}

static u32 code_size(const struct alc_vcpu *v)
{
	if (x86_code64(v))
		return MODE_64;
	return v->seg[X86_CS].attr & X86_SEG_DB ? MODE_32 : MODE_16;
}

void interp_mode_changed(struct alc_vcpu *v)
{
	struct interp *c = v->engine;
	u32 mode = code_size(v);

	c->align_check = v->cpl == 3 && (v->cr0 & X86_CR0_AM) && (v->rflags & X86_AC);
	mode |= v->cpl == 3 ? MODE_USER : 0;
	mode |= mode & MODE_64 || flat_segments(v) ? MODE_FLAT : 0;
	mode |= mode & MODE_64 ? 0 : segments_mode(v);
	mode |= x86_protected(v) ? 0 : MODE_REAL;
	mode |= v->cr0 & X86_CR0_TS ? MODE_TS : 0;
	mode |= v->cr0 & X86_CR0_EM ? MODE_EM : 0;
	mode |= v->cr4 & X86_CR4_OSFXSR ? MODE_SSE : 0;
	mode |= (v->cr4 & X86_CR4_OSXSAVE) && (v->xcr0 & 6) == 6 ? MODE_AVX : 0;
	mode |= (v->cr4 & X86_CR4_OSXSAVE) && (v->xcr0 & 0xe6) == 0xe6 ? MODE_AVX512 : 0;
	mode |= x86_long_mode(v) ? MODE_LONG : 0;
	mode |= (v->rflags & X86_TF) || x86_breakpoints_armed(v) ? MODE_SINGLE : 0;
	c->mode = mode;
	c->tlb = c->tables + TLB_SIZE * (c->align_check ? TLB_TABLE_CHECKED
					 : v->cpl == 3  ? TLB_TABLE_USER
							: TLB_TABLE_KERNEL);
}

/* ---- From linear address to host address
 * ------------------------------------------------------------ */

/* What is at an address, up to the end of its page. */
struct target {
	u8 *hva; /* NULL: a device, or nothing, or a write to ROM */
	struct alc_page *page;
	alc_gpa gpa;
	bool lapic;
};

static bool is_lapic(const struct alc_vcpu *v, alc_gpa a)
{
	u64 base = lapic_base(v->lapic);

	/* Enabled and not in x2APIC mode (SDM vol. 3A 11.12.1). */
	return (base & (BIT(11) | BIT(10))) == BIT(11) &&
	       ((a.v ^ base) & mask_low(52) & ALC_PAGE_MASK) == 0;
}

/*
 * May stores go to this page without a word? Whoever begins to watch it changes its flags first and
 * looks at silent_writers then; both sides' pairs are sequentially consistent.
 */
static bool may_be_silent(struct alc_page *p, bool writing)
{
	if (writing && !(atomic_load(&p->flags) & PAGE_DIRTY))
		atomic_fetch_or(&p->flags, PAGE_DIRTY);
	if (atomic_load(&p->flags) != PAGE_DIRTY)
		return false;
	atomic_store(&p->silent_writers, true);
	return atomic_load(&p->flags) == PAGE_DIRTY;
}

bool tlb_may_store(struct alc_page *p)
{
	return may_be_silent(p, false);
}

bool tlb_span(const struct alc_vcpu *v, u64 a, struct alc_span *span)
{
	return !is_lapic(v, gpa(a)) && space_span(v->plat->space, gpa(a), ALC_PAGE_SIZE, span);
}

/* What flushing must know of the pages that are cached; entry: -1 for code. */
static void note_kind(struct interp *c, u64 gva, const struct x86_translation *tr, int entry)
{
	unsigned half = gva >> 63;

	if (!half)
		c->lower_global |= tr->global;
	else if (!tr->global && entry < 0)
		c->upper_nonglobal = true;
	else if (!tr->global)
		log_fill(c, TLB_UPPER_NONGLOBAL, (unsigned)entry);
	if (tr->page_shift > ALC_PAGE_SHIFT)
		tlb_large_add(&c->large[half], gva);
}

static void fill(struct alc_vcpu *v, struct interp *c, struct tlb_entry *table, u64 gva,
		 unsigned access, const struct x86_translation *tr, const struct alc_span *span)
{
	unsigned i = tlb_index(gva), half = gva >> 63;
	u64 page = gva & ALC_PAGE_MASK;
	bool smap = (v->cr4 & X86_CR4_SMAP) && tr->user && table == c->tables;

	log_fill(c, half, (unsigned)(table - c->tables) + i);
	tlb_entry_clear(c, (unsigned)(table - c->tables) + i);
	table[i].addend = (u64)(uintptr_t)span->hva - gva;
	table[i].page = span->page;
	if (table != c->tables + TLB_TABLE_CHECKED * TLB_SIZE)
		c->marks[(unsigned)(table - c->tables) + i] = tlb_mark(span->page);
	/* Under SMAP the right depends on EFLAGS.AC: such pages are looked up each time. */
	if (table != c->tables + TLB_TABLE_CHECKED * TLB_SIZE && !smap) {
		table[i].rtag = page;
		if (tr->writable && !span->rom &&
		    (!c->silent_stores || may_be_silent(span->page, access & X86_WRITE)))
			table[i].wtag = page;
	}
	note_kind(c, gva, tr, (int)((unsigned)(table - c->tables) + i));
	c->n_tlb_fills++;
}

static int resolve(struct alc_vcpu *v, struct interp *c, u64 gva, unsigned access, struct target *t)
{
	bool user = x86_is_user(v, access);
	struct tlb_entry *table = access & X86_IMPLICIT ? c->tables : c->tlb;
	struct x86_translation tr;
	struct alc_span span;

	if (x86_walk(v, gva, access, user, &tr))
		return 1;
	*t = (struct target){.gpa = tr.gpa, .lapic = is_lapic(v, tr.gpa)};
	if (t->lapic || !space_span(v->plat->space, tr.gpa, 1, &span))
		return 0;
	fill(v, c, table, gva, access, &tr, &span);
	if (!(access & X86_WRITE) || !span.rom)
		t->hva = span.hva;
	t->page = span.page;
	return 0;
}

bool tlb_refill(struct alc_vcpu *v, struct interp *c, u64 gva, unsigned access)
{
	struct target t;

	if (x86_long_mode(v) && !x86_canonical(gva))
		return false;
	return !resolve(v, c, gva, access, &t) && t.hva;
}

/* Canonical, and aligned where that is asked of user accesses. `stack`: through SS. */
static int check_address(struct alc_vcpu *v, const struct interp *c, u64 gva, unsigned size,
			 unsigned access, bool stack)
{
	if (x86_long_mode(v) && (!x86_canonical(gva) || !x86_canonical(gva + size - 1)))
		return x86_raise_error(v, stack ? X86_SSF : X86_GP, 0);
	if (unlikely(c->align_check) && !(access & X86_IMPLICIT) && size <= 8 &&
	    !(size & (size - 1)) && (gva & (size - 1)))
		return x86_raise_error(v, X86_AC_, 0);
	return 0;
}

/* ---- Devices
 * --------------------------------------------------------------------------------------------- */

static u64 device_read(struct alc_vcpu *v, const struct target *t, unsigned size)
{
	if (t->lapic)
		return lapic_mmio_read(v->lapic, page_offset(t->gpa.v), size);
	return space_read(v->plat->space, t->gpa, size);
}

static void device_write(struct alc_vcpu *v, const struct target *t, u64 val, unsigned size)
{
	if (t->lapic)
		lapic_mmio_write(v->lapic, page_offset(t->gpa.v), val, size);
	else
		space_write(v->plat->space, t->gpa, val, size);
}

/* The largest access that devices know and that fits. */
static unsigned device_chunk(unsigned size)
{
	return size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
}

/* ---- Copies ----
 *
 * Others may look at words meanwhile, and store to them: words are copied at once, and each byte
 * once. memcpy() stores twice where it has two moves for lengths in between, and the second would
 * undo what another vCPU has stored after the first.
 */

typedef u64 u128_any __attribute__((vector_size(16), aligned(1), may_alias));

/* Less than 8 bytes. */
static void copy_rest(u8 *to, const u8 *from, unsigned size)
{
	unsigned at = 0;

	if (size & 4) {
		st32(to, ld32(from));
		at = 4;
	}
	if (size & 2) {
		st16(to + at, ld16(from + at));
		at += 2;
	}
	if (size & 1)
		st8(to + at, ld8(from + at));
}

static void copy_words(void *to, const void *from, unsigned len)
{
	u8 *d = to;
	const u8 *s = from;

	for (; len >= 8; len -= 8, d += 8, s += 8)
		st64(d, ld64(s));
	copy_rest(d, s, len);
}

/* 16 bytes that are aligned are one access where there is AVX (SDM vol. 3A 9.1.1). */
static void copy_operand(void *to, const void *from, unsigned size)
{
	u8 *d = to;
	const u8 *s = from;

	for (; size >= 16; size -= 16, d += 16, s += 16)
		*(volatile u128_any *)d = *(const volatile u128_any *)s;
	copy_words(d, s, size);
}

static void part_read(struct alc_vcpu *v, struct interp *c, const struct op *op, struct target t,
		      u8 *to, unsigned size)
{
	unsigned n;

	if (t.hva) {
		copy_operand(to, t.hva, size);
		return;
	}
	c->n_mmio++;
	op_call_out(v, op, c);
	for (; size; size -= n, to += n, t.gpa.v += n) {
		n = device_chunk(size);
		st_size(to, device_read(v, &t, n), n);
	}
	op_called_out(v, op, c);
}

static void part_write(struct alc_vcpu *v, struct interp *c, const struct op *op, struct target t,
		       u64 gva, const u8 *from, unsigned size)
{
	unsigned n;

	if (t.hva) {
		copy_operand(t.hva, from, size);
		if (atomic_load_explicit(&t.page->flags, memory_order_relaxed) != PAGE_DIRTY)
			mem_written(c, op, t.page, gva, size);
		return;
	}
	if (t.page)
		return; /* ROM */
	c->n_mmio++;
	op_call_out(v, op, c);
	for (; size; size -= n, from += n, t.gpa.v += n) {
		n = device_chunk(size);
		device_write(v, &t, ld_size(from, n), n);
	}
	op_called_out(v, op, c);
}

void mem_written(struct interp *c, const struct op *op, struct alc_page *page, u64 gva,
		 unsigned size)
{
	space_note_write(c->v->plat->space, page, page_offset(gva), size);
	if (c->block && op && block_is_stale(c)) {
		/* The block wrote to itself: what follows must be decoded anew. */
		struct op *next = (struct op *)(uintptr_t)(op + 1);

		if (next->fn != op_end)
			next->fn = op_stale;
	}
}

/* ---- Slow accesses
 * -------------------------------------------------------------------------------------- */

/* The two parts of an access that may cross a page; both are resolved before either is made. */
struct parts {
	struct target t[2];
	unsigned size[2];
};

static int resolve_parts(struct alc_vcpu *v, struct interp *c, u64 gva, unsigned size,
			 unsigned access, bool stack, struct parts *p)
{
	u64 room = ALC_PAGE_SIZE - page_offset(gva);

	if (check_address(v, c, gva, size, access, stack))
		return 1;
	p->size[0] = (unsigned)min_u64(size, room);
	p->size[1] = size - p->size[0];
	if (resolve(v, c, gva, access, &p->t[0]))
		return 1;
	return p->size[1] && resolve(v, c, gva + p->size[0], access, &p->t[1]);
}

static int read_parts(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva, void *to,
		      unsigned size, unsigned access, bool stack)
{
	struct parts p;

	if (resolve_parts(v, c, gva, size, access, stack, &p))
		return 1;
	part_read(v, c, op, p.t[0], to, p.size[0]);
	if (p.size[1])
		part_read(v, c, op, p.t[1], (u8 *)to + p.size[0], p.size[1]);
	return 0;
}

static int write_parts(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
		       const void *from, unsigned size, unsigned access, bool stack)
{
	struct parts p;

	if (resolve_parts(v, c, gva, size, access, stack, &p))
		return 1;
	part_write(v, c, op, p.t[0], gva, from, p.size[0]);
	if (p.size[1])
		part_write(v, c, op, p.t[1], gva + p.size[0], (const u8 *)from + p.size[0],
			   p.size[1]);
	return 0;
}

static bool stack_op(const struct op *op)
{
	return op && (op->shift & SHIFT_STACK);
}

/* Here too the TLB may have the page: operands of more than 8 bytes come at once. */
int mem_read_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva, void *to,
		  unsigned size)
{
	const u8 *p = mem_rptr(c, gva, size);

	if (p) {
		copy_operand(to, p, size);
		return 0;
	}
	return read_parts(v, c, op, gva, to, size, X86_READ, stack_op(op));
}

int mem_write_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
		   const void *from, unsigned size)
{
	u8 *p = mem_wptr(c, gva, size);

	if (p) {
		copy_operand(p, from, size);
		mem_wrote(c, op, gva, size);
		return 0;
	}
	return write_parts(v, c, op, gva, from, size, X86_WRITE, stack_op(op));
}

void *mem_rmw_begin_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
			 unsigned size)
{
	struct parts p;

	if (resolve_parts(v, c, gva, size, X86_RMW, stack_op(op), &p))
		return NULL;
	if (!p.size[1] && p.t[0].hva)
		return p.t[0].hva;
	part_read(v, c, op, p.t[0], c->bounce, p.size[0]);
	if (p.size[1])
		part_read(v, c, op, p.t[1], c->bounce + p.size[0], p.size[1]);
	return c->bounce;
}

int mem_rmw_end_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
		     unsigned size)
{
	return mem_write_slow(v, c, op, gva, c->bounce, size);
}

/* Outside 64-bit mode: presence, rights and limit (SDM vol. 3A 5.3, 5.4). */
static bool segment_allows(const struct x86_seg *s, u64 off, unsigned size, unsigned access,
			   bool protected_mode)
{
	bool code = s->attr & X86_SEG_CODE;
	u64 last = off + size - 1;

	if (protected_mode) {
		if (!(s->attr & X86_SEG_P))
			return false;
		if (access & X86_WRITE ? code || !(s->attr & X86_SEG_RW)
				       : code && !(s->attr & X86_SEG_RW))
			return false;
	}
	if (!code && (s->attr & X86_SEG_DC)) /* expand-down */
		return off > s->limit && last <= (s->attr & X86_SEG_DB ? 0xffffffffu : 0xffff);
	return last <= s->limit;
}

int ea_segment(struct alc_vcpu *v, const struct op *op, u64 *ea, unsigned size, unsigned access)
{
	u64 a = ea_cut(op, *ea);
	unsigned s = op->addr & ADDR_SEG;

	if (op->addr & ADDR_CHECKED) {
		const struct x86_seg *seg = &v->seg[s - 1];

		if (!segment_allows(seg, a, size, access, x86_protected(v)))
			return x86_raise_error(v, s - 1 == X86_SS ? X86_SSF : X86_GP, 0);
		*ea = (u32)(a + seg->base);
		return 0;
	}
	*ea = s ? a + v->seg[s - 1].base : a;
	return 0;
}

/* ---- For isa/
 * ------------------------------------------------------------------------------------------------
 */

/* The table that an access of isa/'s goes by; under alignment checking the empty one. */
static const struct tlb_entry *ops_entry(const struct interp *c, u64 gva, unsigned access)
{
	return &(access & X86_IMPLICIT ? c->tables : c->tlb)[tlb_index(gva)];
}

static int ops_read(struct alc_vcpu *v, u64 gva, void *to, unsigned len, unsigned access)
{
	const struct tlb_entry *e = ops_entry(v->engine, gva, access);

	if (likely(gva - e->rtag <= ALC_PAGE_SIZE - len)) {
		copy_words(to, (const u8 *)(uintptr_t)(gva + e->addend), len);
		return 0;
	}
	return read_parts(v, v->engine, NULL, gva, to, len, access, false);
}

static int ops_write(struct alc_vcpu *v, u64 gva, const void *from, unsigned len, unsigned access)
{
	const struct tlb_entry *e = ops_entry(v->engine, gva, access);

	if (likely(gva - e->wtag <= ALC_PAGE_SIZE - len)) {
		copy_words((u8 *)(uintptr_t)(gva + e->addend), from, len);
		if (atomic_load_explicit(&e->page->flags, memory_order_relaxed) != PAGE_DIRTY)
			mem_written(v->engine, NULL, e->page, gva, len);
		return 0;
	}
	return write_parts(v, v->engine, NULL, gva, from, len, access | X86_WRITE, false);
}

const struct x86_engine_ops interp_ops = {
	.read = ops_read,
	.write = ops_write,
	.switch_space = interp_switch_space,
	.flush_all = interp_flush_all,
	.flush_nonglobal = interp_flush_nonglobal,
	.flush_space = interp_flush_space,
	.flush_page = interp_flush_page,
	.mode_changed = interp_mode_changed,
};

/* ---- Instruction fetch
 * ---------------------------------------------------------------------------------------- */

const struct itlb_entry *itlb_lookup(struct alc_vcpu *v, struct interp *c, u64 rip)
{
	u64 tag = (rip & ALC_PAGE_MASK) | (v->cpl == 3);
	struct itlb_entry *e = &c->itlb[(rip >> ALC_PAGE_SHIFT) & (ITLB_SIZE - 1)];
	struct x86_translation tr;
	struct alc_span span;

	if (likely(e->tag == tag && e->epoch == c->epoch[rip >> 63]))
		return e;
	if (x86_long_mode(v) && !x86_canonical(rip)) {
		x86_raise_error(v, X86_GP, 0);
		return NULL;
	}
	if (x86_walk(v, rip, X86_EXEC, v->cpl == 3, &tr))
		return NULL;
	if (!space_span(v->plat->space, gpa(tr.gpa.v & ALC_PAGE_MASK), ALC_PAGE_SIZE, &span) ||
	    span.len < ALC_PAGE_SIZE) {
		c->exit = EXIT_ERROR;
		alc_fail(
			c->err, -EFAULT,
			"vCPU %u fetches an instruction at %llx from guest-physical %llx, which is not memory",
			v->index, (unsigned long long)rip, (unsigned long long)tr.gpa.v);
		return NULL;
	}
	note_kind(c, rip, &tr, -1);
	*e = (struct itlb_entry){.tag = tag,
				 .gpa = tr.gpa.v & ALC_PAGE_MASK,
				 .hva = span.hva,
				 .page = span.page,
				 .epoch = c->epoch[rip >> 63]};
	return e;
}
