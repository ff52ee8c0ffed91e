/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions: what direct jumps reach from an entry without leaving its page, but for two kinds that
 * go on in the next one: an instruction that lies across, alone, and a short loop that does, from
 * its head to the jump back. They have one entry, in the first page, which looks whether the second
 * is still the one behind it: all else that leads to code relies on the page of its address alone.
 *
 * The pages' bytes are copied line by line after the lines were marked (mem/space.h), so that a
 * region holds for as long as the pages' generations are those of its marks.
 */
#include "engine/translate/translate.h"

enum { PAGES = 2, LINE = 64, LOOP_BYTES = 1024 };

struct page {
	struct itlb_entry it;
	u32 gen;
	u64 lines; /* copied */
};

struct builder {
	struct alc_vcpu *v;
	struct tr *t;
	struct page pages[PAGES];
	unsigned low, high; /* offsets from which, and up to which, instructions are taken */
	bool moved;         /* a page's generation changed under way */
	bool goes_over;     /* control may go on from there */
	bool whole;
	unsigned n, max, nwork;
	u16 work[REGION_INSNS];
	i16 at[PAGES * ALC_PAGE_SIZE];
	u64 covered[PAGES * ALC_PAGE_SIZE / 64]; /* instructions that other regions have */
	struct tr_insn insns[REGION_INSNS], sorted[REGION_INSNS];
	u8 bytes[PAGES * ALC_PAGE_SIZE];
};

static bool in_two(const struct builder *b)
{
	return b->high > ALC_PAGE_SIZE;
}

static unsigned span(const struct builder *b)
{
	return in_two(b) ? PAGES * ALC_PAGE_SIZE : ALC_PAGE_SIZE;
}

static struct page *page_of(struct builder *b, unsigned off)
{
	return &b->pages[off / ALC_PAGE_SIZE];
}

static void fetch_line(struct builder *b, unsigned off)
{
	struct page *p = page_of(b, off);
	unsigned at = off % ALC_PAGE_SIZE;
	u32 gen;

	if (p->lines >> at / LINE & 1)
		return;
	gen = space_mark_code(b->v->plat->space, p->it.page, at, LINE);
	if (p->lines && gen != p->gen)
		b->moved = true;
	p->gen = gen;
	p->lines |= BIT(at / LINE);
	__builtin_memcpy(b->bytes + off, p->it.hva + at, LINE);
}

static void fetch(struct builder *b, unsigned off, unsigned len)
{
	for (unsigned line = off / LINE; line <= (off + len - 1) / LINE; line++)
		fetch_line(b, line * LINE);
}

static bool covered(const struct builder *b, unsigned off)
{
	return b->covered[off / 64] >> off % 64 & 1;
}

/*
 * Only where control has been before: half of the code around hot code is never run. Without a
 * threshold there is no before.
 */
static bool worth(struct builder *b, unsigned off)
{
	const struct page *p = page_of(b, off);

	if (covered(b, off))
		return false;
	return !b->t->vm->threshold || b->at[off] >= 0 ||
	       *tr_heat(b->t, p->it.gpa + off % ALC_PAGE_SIZE, p->gen);
}

static void add_work(struct builder *b, i32 off)
{
	if (off >= (i32)b->high)
		b->goes_over |= off < PAGES * ALC_PAGE_SIZE;
	else if (off >= (i32)b->low && b->nwork < REGION_INSNS && worth(b, (unsigned)off))
		b->work[b->nwork++] = (u16)off;
}

/* Control does not pass to the next instruction. */
static bool ends(const struct tr_insn *i)
{
	switch (i->kind) {
	case K_JMP:
	case K_JMP_REG:
	case K_JMP_MEM:
	case K_RET:
	case K_END:
	case K_SYSCALL:
	case K_SYSRET:
	case K_IRET:
		return true;
	default:
		return false;
	}
}

static bool jumps(const struct tr_insn *i)
{
	return i->kind == K_JMP || i->kind == K_JCC || i->kind == K_LOOP;
}

/* The interpreter's blocks end there too, so that what follows may not have been run. */
static bool splits(const struct tr_insn *i)
{
	return i->kind == K_JCC || i->kind == K_LOOP || i->kind == K_CALL ||
	       i->kind == K_CALL_REG || i->kind == K_CALL_MEM;
}

/* Nothing leads into a region of two pages but its entry, which looks for the second. */
static bool may_be_in_two(const struct tr_insn *i)
{
	return tr_insn_runs_on(i) || i->kind == K_JMP;
}

/* Decodes from `off` to where that leads no further. */
static void decode_run(struct builder *b, struct dec *d, unsigned off)
{
	while (off < b->high && b->at[off] < 0 && b->n < b->max && !covered(b, off)) {
		struct tr_insn *i = &b->insns[b->n];
		unsigned avail = (unsigned)min_u64(15, span(b) - off);

		fetch(b, off, avail);
		*i = (struct tr_insn){.off = (u16)off};
		if (!tr_decode(d, b->bytes + off, avail, i)) {
			b->goes_over = true;
			return;
		}
		if (in_two(b) && b->max > 1 && !may_be_in_two(i))
			return;
		b->at[off] = (i16)b->n++;
		off += i->len;
		if (jumps(i))
			add_work(b, i->target);
		if (ends(i))
			return;
		if (splits(i)) {
			add_work(b, (i32)off);
			return;
		}
	}
	b->goes_over |= off >= b->high;
}

/* Of the first of some lines of a page. */
static i16 *at_line(struct builder *b, unsigned page, u64 lines)
{
	return &b->at[page * ALC_PAGE_SIZE + (unsigned)__builtin_ctzll(lines) * LINE];
}

/* In the order of addresses; `at` follows. Most regions have instructions in few lines. */
static void sort(struct builder *b)
{
	unsigned k = 0;

	for (unsigned p = 0; p < PAGES; p++)
		for (u64 lines = b->pages[p].lines; lines; lines &= lines - 1) {
			i16 *at = at_line(b, p, lines);

			for (unsigned off = 0; off < LINE; off++)
				if (at[off] >= 0) {
					b->sorted[k] = b->insns[at[off]];
					at[off] = (i16)k++;
				}
		}
	__builtin_memcpy(b->insns, b->sorted, k * sizeof(*b->sorted));
}

/* Of the last region nothing stays. */
static void clear(struct builder *b)
{
	for (unsigned p = 0; p < PAGES; p++) {
		for (u64 lines = b->pages[p].lines; lines; lines &= lines - 1)
			__builtin_memset(at_line(b, p, lines), 0xff, LINE * sizeof(*b->at));
		b->pages[p].lines = 0;
	}
}

static void mark_head(struct builder *b, i32 off, bool mem, bool loop)
{
	struct tr_insn *i;

	if (off < 0 || off >= (i32)span(b) || b->at[off] < 0)
		return;
	i = &b->insns[b->at[off]];
	i->head = true;
	i->mem_head |= mem;
	i->loop |= loop;
}

static void mark_heads(struct builder *b, unsigned entry)
{
	mark_head(b, (i32)entry, true, false);
	for (unsigned k = 0; k < b->n; k++) {
		const struct tr_insn *i = &b->insns[k];
		i32 next = i->off + i->len;

		if (jumps(i))
			mark_head(b, i->target, false, i->target <= i->off);
		/* Instructions may overlap: then what comes next is reached by a jump. */
		if (!ends(i) && next < (i32)span(b) && b->at[next] != (i16)(k + 1))
			mark_head(b, next, false, false);
	}
}

/* False: there is none that code can go on in. */
static bool add_page(struct builder *b)
{
	u64 va = (b->v->rip & ALC_PAGE_MASK) + ALC_PAGE_SIZE;
	struct itlb_entry first = b->pages[0].it; /* the lookup may take its place */
	const struct itlb_entry *second = itlb_lookup(b->v, &b->t->c, va);

	if (!second)
		return false;
	b->pages[0].it = first;
	b->pages[1].it = *second;
	b->pages[1].gen = atomic_load_explicit(&second->page->gen, memory_order_acquire);
	return true;
}

/* What is reached from an entry between two offsets, but no more than `max` instructions. */
static void decode_between(struct builder *b, unsigned entry, unsigned low, unsigned high,
			   unsigned max)
{
	struct dec d = {.v = b->v, .c = &b->t->c, .mode = b->t->c.mode};

	clear(b);
	b->low = low;
	b->high = high;
	b->max = max;
	b->n = b->nwork = 0;
	b->moved = b->goes_over = false;
	b->work[b->nwork++] = (u16)entry;
	while (b->nwork)
		decode_run(b, &d, b->work[--b->nwork]);
}

/* Behind the last jump back to the entry from the second page; 0: there is none. */
static unsigned loop_end(const struct builder *b, unsigned entry)
{
	unsigned end = 0;

	for (unsigned k = 0; k < b->n; k++) {
		const struct tr_insn *i = &b->insns[k];

		if (jumps(i) && i->target == (i32)entry)
			end = (unsigned)max_u64(end, i->off + i->len);
	}
	return end > ALC_PAGE_SIZE ? end : 0;
}

static bool is_short_jump(u8 opcode)
{
	return (opcode & 0xf0) == 0x70 || opcode == 0xeb || (opcode & 0xfc) == 0xe0;
}

/*
 * Does something in the second page look like a jump back to the entry? It seldom does, and to look
 * takes less time than to decode both pages.
 */
static bool looks_looping(const struct builder *b, unsigned entry)
{
	const u8 *second = b->pages[1].it.hva;

	for (unsigned at = 1; at + ALC_PAGE_SIZE < entry + LOOP_BYTES; at++) {
		i32 back = (i32)(entry - ALC_PAGE_SIZE - at), rel;

		__builtin_memcpy(&rel, second + at, sizeof(rel));
		if (rel == back - (i32)sizeof(rel))
			return true;
		if ((i8)second[at] == back - 1 && is_short_jump(second[at - 1]))
			return true;
	}
	return false;
}

static bool may_be_loop(struct builder *b, unsigned entry)
{
	return b->goes_over && entry + LOOP_BYTES > ALC_PAGE_SIZE && tr_has(b->t, TR_SPANS) &&
	       !tr_compat(b->t->c.mode) && add_page(b) && looks_looping(b, entry);
}

static void decode_from(struct builder *b, unsigned entry, unsigned max)
{
	unsigned end;

	decode_between(b, entry, 0, ALC_PAGE_SIZE, max);
	if (!b->n && add_page(b)) {
		decode_between(b, entry, entry, ALC_PAGE_SIZE + 15, 1);
		return;
	}
	if (!may_be_loop(b, entry))
		return;
	decode_between(b, entry, entry, entry + LOOP_BYTES, max);
	end = loop_end(b, entry);
	decode_between(b, entry, end ? entry : 0, end ? end : ALC_PAGE_SIZE, max);
}

static bool decode_region(struct builder *b, unsigned entry)
{
	bool cut = tr_poisoned(b->t, POISON_CUT);

	__builtin_memset(b->covered, 0, sizeof(b->covered));
	if (!b->whole && tr_has(b->t, TR_JOINS))
		tr_covered(b->t, b->pages[0].it.page, b->v->rip, b->covered);
	b->covered[entry / 64] &= ~BIT(entry % 64);
	decode_from(b, entry, cut ? 1 + (b->t->rng >> 61) : REGION_INSNS);
	sort(b);
	mark_heads(b, entry);
	return b->n;
}

static struct alc_page *second_page(const struct builder *b)
{
	return in_two(b) ? b->pages[1].it.page : NULL;
}

/* The second page's part in the life of a region: a region that is nothing but that. */
static bool add_second(struct builder *b, struct tr_region *r)
{
	struct tr_region *second;

	if (!second_page(b))
		return true;
	second = tr_alloc(b->t, sizeof(*second));
	if (!second)
		return false;
	*second = (struct tr_region){
		.page = second_page(b),
		.gen = b->pages[1].gen,
		.mode = tr_mode(b->t),
		.rip = (b->v->rip & ALC_PAGE_MASK) + ALC_PAGE_SIZE,
		.begin = b->t->emit.at,
		.whole = r,
	};
	tr_region_add(b->t, second);
	return true;
}

static struct tr_entry *build(struct builder *b)
{
	struct alc_vcpu *v = b->v;
	struct tr *t = b->t;
	struct gen_context g = {
		.v = v,
		.t = t,
		.user = t->c.mode & MODE_USER,
		.compat = tr_compat(t->c.mode),
		.windows = tr_mode(t) & MODE_WINDOWS,
	};

	do {
		if (!decode_region(b, (unsigned)page_offset(v->rip)))
			return NULL;
	} while (b->moved);
	tr_liveness(b->insns, b->n, b->at, span(b), !tr_has(t, TR_LIVENESS));
	g.region = tr_alloc(t, sizeof(*g.region));
	if (!g.region)
		return NULL;
	if (!add_second(b, g.region))
		return NULL;
	*g.region = (struct tr_region){.page2 = second_page(b),
				       .page = b->pages[0].it.page,
				       .gen = b->pages[0].gen,
				       .mode = tr_mode(t),
				       .rip = v->rip};
	g.insns = b->insns;
	g.at = b->at;
	g.span = span(b);
	g.n = b->n;
	g.page_rip = v->rip & ALC_PAGE_MASK;
	if (second_page(b) && !(v->rip >> 63))
		g.region->second_id = tr_page_id(t, v->rip + ALC_PAGE_SIZE, second_page(b));
	if (!tr_generate(&g))
		return NULL;
	if (!tr_view_add(t, g.region))
		return NULL;
	tr_region_add(t, g.region);
	tr_observe(&g, b->bytes);
	t->n_regions++;
	t->n_spans += in_two(b) && b->n > 1;
	t->n_insns += b->n;
	t->n_bytes += g.region->end - g.region->begin;
	return tr_lookup(v, t);
}

struct tr_entry *tr_translate(struct alc_vcpu *v, struct tr *t, bool whole)
{
	const struct itlb_entry *it = itlb_lookup(v, &t->c, v->rip);
	struct builder *b;

	if (!it)
		return NULL;
	/* 32-bit code that runs on past 4 GiB faults or wraps: the interpreter's. */
	if (tr_compat(t->c.mode) && v->rip >> ALC_PAGE_SHIFT >= 0xfffff)
		return NULL;
	b = t->builder;
	if (!b) {
		b = t->builder = host_alloc(v->plat->host, sizeof(*b));
		if (!b)
			return NULL;
		__builtin_memset(b->at, 0xff, sizeof(b->at));
	}
	b->v = v;
	b->t = t;
	b->pages[0].it = *it;
	b->whole = whole;
	return build(b);
}

void tr_builder_free(struct tr *t)
{
	host_free(t->c.v->plat->host, t->builder, sizeof(*t->builder));
	t->builder = NULL;
}
