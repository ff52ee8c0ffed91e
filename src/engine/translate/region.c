/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions: what direct jumps reach from an entry without leaving its page.
 *
 * The page's bytes are copied line by line after the lines were marked (mem/space.h), so that a
 * region holds for as long as the page's generation is the one of its marks.
 */
#include "engine/translate/translate.h"

struct builder {
	struct alc_vcpu *v;
	struct tr *t;
	struct itlb_entry it, it2; /* it2.page: of an instruction that goes on in the next page */
	u64 lines;                 /* copied */
	u32 gen, gen2;
	bool moved; /* the page's generation changed under way */
	bool whole;
	unsigned n, max, nwork;
	u16 work[REGION_INSNS];
	i16 at[ALC_PAGE_SIZE];
	u64 covered[ALC_PAGE_SIZE / 64]; /* instructions that other regions have */
	struct tr_insn insns[REGION_INSNS], sorted[REGION_INSNS];
	u8 bytes[ALC_PAGE_SIZE + 16]; /* and of the next page, for it2 */
};

static void fetch(struct builder *b, unsigned off, unsigned len)
{
	for (unsigned line = off / 64; line <= (off + len - 1) / 64; line++) {
		u32 gen;

		if (b->lines >> line & 1)
			continue;
		gen = space_mark_code(b->v->plat->space, b->it.page, line * 64, 64);
		if (b->lines && gen != b->gen)
			b->moved = true;
		b->gen = gen;
		b->lines |= BIT(line);
		__builtin_memcpy(b->bytes + line * 64, b->it.hva + line * 64, 64);
	}
}

static bool covered(const struct builder *b, unsigned off)
{
	return b->covered[off / 64] >> off % 64 & 1;
}

/*
 * Only where control has been before: half of the code around hot code is never run. Without a
 * threshold there is no before.
 */
static bool worth(const struct builder *b, i32 off)
{
	if (covered(b, (unsigned)off))
		return false;
	return !b->t->vm->threshold || b->at[off] >= 0 ||
	       *tr_heat(b->t, b->it.gpa + (u64)off, b->gen);
}

static void add_work(struct builder *b, i32 off)
{
	if (off >= 0 && off < ALC_PAGE_SIZE && b->nwork < REGION_INSNS && worth(b, off))
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

/* Decodes from `off` to where that leads no further. */
static void decode_run(struct builder *b, struct dec *d, unsigned off)
{
	while (off < ALC_PAGE_SIZE && b->at[off] < 0 && b->n < b->max && !covered(b, off)) {
		struct tr_insn *i = &b->insns[b->n];
		unsigned avail = (unsigned)min_u64(15, ALC_PAGE_SIZE - off);

		fetch(b, off, avail);
		*i = (struct tr_insn){.off = (u16)off};
		if (!tr_decode(d, b->bytes + off, avail, i))
			return; /* goes on in the next page: the interpreter's */
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
}

/* In the order of addresses; `at` follows. Most regions have instructions in few lines. */
static void sort(struct builder *b)
{
	unsigned k = 0;

	for (u64 lines = b->lines; lines; lines &= lines - 1) {
		i16 *at = &b->at[__builtin_ctzll(lines) * 64];

		for (unsigned off = 0; off < 64; off++)
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
	for (u64 lines = b->lines; lines; lines &= lines - 1)
		__builtin_memset(&b->at[__builtin_ctzll(lines) * 64], 0xff, 64 * sizeof(*b->at));
	b->lines = 0;
}

static void mark_head(struct builder *b, i32 off, bool mem, bool loop)
{
	struct tr_insn *i;

	if (off < 0 || off >= ALC_PAGE_SIZE || b->at[off] < 0)
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
		if (!ends(i) && next < ALC_PAGE_SIZE && b->at[next] != (i16)(k + 1))
			mark_head(b, next, false, false);
	}
}

/* A region of its own: an instruction that begins in this page and ends in the next. */
static bool decode_crossing(struct builder *b, struct dec *d, unsigned off)
{
	struct alc_vcpu *v = b->v;
	struct itlb_entry first = b->it; /* the lookup may take its place */
	const struct itlb_entry *second;
	unsigned have = ALC_PAGE_SIZE - off;

	second = itlb_lookup(v, &b->t->c, (v->rip & ALC_PAGE_MASK) + ALC_PAGE_SIZE);
	if (!second)
		return false;
	b->it = first;
	b->it2 = *second;
	fetch(b, off, have);
	b->gen2 = space_mark_code(v->plat->space, b->it2.page, 0, 16);
	__builtin_memcpy(b->bytes + ALC_PAGE_SIZE, b->it2.hva, 16);
	b->insns[0] = (struct tr_insn){.off = (u16)off};
	if (!tr_decode(d, b->bytes + off, 15, &b->insns[0]))
		return false;
	b->at[off] = 0;
	b->n = 1;
	return true;
}

static bool decode_region(struct builder *b, unsigned entry)
{
	struct dec d = {.v = b->v, .c = &b->t->c, .mode = b->t->c.mode};

	clear(b);
	b->moved = false;
	b->n = b->nwork = 0;
	b->max = tr_poisoned(b->t, POISON_CUT) ? 1 + (b->t->rng >> 61) : REGION_INSNS;
	__builtin_memset(b->covered, 0, sizeof(b->covered));
	if (!b->whole && tr_has(b->t, TR_JOINS))
		tr_covered(b->t, b->it.page, b->v->rip, b->covered);
	b->covered[entry / 64] &= ~BIT(entry % 64);
	b->work[b->nwork++] = (u16)entry;
	while (b->nwork)
		decode_run(b, &d, b->work[--b->nwork]);
	b->it2.page = NULL;
	if (!b->n && !decode_crossing(b, &d, entry))
		return false;
	sort(b);
	mark_heads(b, entry);
	return true;
}

/* The second page's part in the life of a region: a region that is nothing but that. */
static bool add_second(struct builder *b, struct tr_region *r)
{
	struct tr_region *second;

	if (!b->it2.page)
		return true;
	second = tr_alloc(b->t, sizeof(*second));
	if (!second)
		return false;
	*second = (struct tr_region){
		.page = b->it2.page,
		.gen = b->gen2,
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
	tr_liveness(b->insns, b->n, b->at, !tr_has(t, TR_LIVENESS));
	g.region = tr_alloc(t, sizeof(*g.region));
	if (!g.region)
		return NULL;
	if (!add_second(b, g.region))
		return NULL;
	*g.region = (struct tr_region){.page2 = b->it2.page,
				       .page = b->it.page,
				       .gen = b->gen,
				       .mode = tr_mode(t),
				       .rip = v->rip};
	g.insns = b->insns;
	g.at = b->at;
	g.n = b->n;
	g.page_rip = v->rip & ALC_PAGE_MASK;
	if (!tr_generate(&g))
		return NULL;
	if (!tr_view_add(t, g.region))
		return NULL;
	tr_region_add(t, g.region);
	tr_observe(&g, b->bytes);
	t->n_regions++;
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
	b->it = *it;
	b->whole = whole;
	return build(b);
}

void tr_builder_free(struct tr *t)
{
	host_free(t->c.v->plat->host, t->builder, sizeof(*t->builder));
	t->builder = NULL;
}
