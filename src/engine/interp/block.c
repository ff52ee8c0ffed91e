/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache of decoded blocks.
 *
 * Found, in this order, by: the block just left (its successor in the same page), a table of
 * jump targets by RIP, a hash by guest-physical address. Memory is an arena that only grows;
 * when it is full, everything is dropped and decoding starts anew.
 */
#include "base/errno.h"
#include "engine/interp/interp.h"

enum { CHUNK_BYTES = 2 << 20, /* a huge page */ ARENA_BYTES_MAX = 64 << 20 };

struct chunk {
	struct chunk *next;
	_Alignas(64) u8 bytes[];
};

struct arena {
	struct chunk *first, *current;
	size_t used;  /* of the current chunk's bytes */
	size_t total; /* of all chunks, in host memory */
	size_t max;
};

/* ---- Memory
 * ----------------------------------------------------------------------------------------- */

static bool arena_grow(struct alc_vcpu *v, struct arena *a)
{
	struct chunk *k = a->current ? a->current->next : a->first;

	if (!k) {
		if (a->total + CHUNK_BYTES > a->max)
			return false;
		k = host_alloc(v->plat->host, CHUNK_BYTES);
		if (!k)
			return false;
		if (a->current)
			a->current->next = k;
		else
			a->first = k;
		a->total += CHUNK_BYTES;
	}
	a->current = k;
	a->used = 0;
	return true;
}

static void *arena_take(struct alc_vcpu *v, struct arena *a, size_t size)
{
	void *p;

	size = align_up(size, 64);
	if (!a->current || a->used + size > CHUNK_BYTES - sizeof(struct chunk))
		if (!arena_grow(v, a))
			return NULL;
	p = a->current->bytes + a->used;
	a->used += size;
	return p;
}

int block_cache_create(struct alc_vcpu *v, struct interp *c, struct alc_err *err)
{
	const struct alc_host *h = v->plat->host;

	c->arena = host_alloc(h, sizeof(*c->arena));
	if (c->arena)
		c->arena->max = c->blocks_bytes ? c->blocks_bytes : ARENA_BYTES_MAX;
	c->hash = host_alloc(h, BLOCK_HASH * sizeof(*c->hash));
	c->jumps = host_alloc(h, JUMPS * sizeof(*c->jumps));
	if (!c->arena || !c->hash || !c->jumps || !arena_grow(v, c->arena))
		return alc_fail(err, -ENOMEM, "no memory for the decoded blocks of vCPU %u",
				v->index);
	return 0;
}

void block_cache_destroy(struct alc_vcpu *v, struct interp *c)
{
	const struct alc_host *h = v->plat->host;
	struct chunk *k, *next;

	for (k = c->arena ? c->arena->first : NULL; k; k = next) {
		next = k->next;
		host_free(h, k, CHUNK_BYTES);
	}
	host_free(h, c->arena, sizeof(*c->arena));
	host_free(h, c->hash, BLOCK_HASH * sizeof(*c->hash));
	host_free(h, c->jumps, JUMPS * sizeof(*c->jumps));
}

void block_cache_flush(struct alc_vcpu *v, struct interp *c)
{
	(void)v;
	__builtin_memset(c->hash, 0, BLOCK_HASH * sizeof(*c->hash));
	__builtin_memset(c->jumps, 0, JUMPS * sizeof(*c->jumps));
	c->arena->current = c->arena->first;
	c->arena->used = 0;
	c->block = NULL;
	c->slot = NULL;
	simd_flush(c);
}

/* ---- Decoding a block
 * ----------------------------------------------------------------------------------- */

/* The bytes of the page being decoded, taken line by line as the write protocol wants it. */
struct fetch {
	struct alc_vcpu *v;
	const struct itlb_entry *it;
	unsigned start,
		marked; /* offsets in the page: of the block, and up to where it is copied */
	u32 gen;
	bool moved; /* the page's generation changed under way */
	u8 bytes[ALC_PAGE_SIZE];
};

/* Makes bytes [.., to) of the page available, `to` at most the page's end. */
static void fetch_to(struct fetch *f, unsigned to)
{
	unsigned end = (unsigned)min_u64(align_up(to, 64), ALC_PAGE_SIZE);
	u32 gen;

	if (end <= f->marked)
		return;
	gen = space_mark_code(f->v->plat->space, f->it->page, f->marked, end - f->marked);
	if (f->marked != f->start && gen != f->gen)
		f->moved = true;
	f->gen = gen;
	__builtin_memcpy(f->bytes + f->marked, f->it->hva + f->marked, end - f->marked);
	f->marked = end;
}

static void dec_start(struct dec *d, struct alc_vcpu *v, struct interp *c, unsigned block_off)
{
	d->v = v;
	d->c = c;
	d->mode = c->mode;
	d->off = 0;
	d->block_off = (u16)block_off;
	d->end = false;
}

static struct block *block_new(struct alc_vcpu *v, struct interp *c, const struct op *ops,
			       unsigned n, u64 gpa, u16 bytes)
{
	struct block *b = arena_take(v, c->arena, sizeof(*b) + (n + 1) * sizeof(struct op));
	u64 h = (gpa ^ gpa >> 15) & (BLOCK_HASH - 1);

	if (!b)
		return NULL;
	*b = (struct block){.gpa = gpa, .mode = c->mode, .ninsn = (u16)n, .bytes = bytes};
	__builtin_memcpy(b->ops, ops, n * sizeof(*ops));
	b->ops[n] = (struct op){.fn = op_end, .off = bytes};
	b->hash_next = c->hash[h];
	c->hash[h] = b;
	c->n_blocks_decoded++;
	c->n_insns_decoded += n;
	return b;
}

/* An instruction that begins in this page and ends in the next: a block of its own. */
static struct block *decode_crossing(struct alc_vcpu *v, struct interp *c, struct fetch *f,
				     struct dec *d, unsigned off)
{
	struct itlb_entry first = *f->it; /* the lookup below may take its place */
	const struct itlb_entry *second;
	unsigned have = ALC_PAGE_SIZE - off, len;
	struct op op = {0};
	u8 bytes[32];
	struct block *b;
	u32 gen2;

	second = itlb_lookup(v, c, (v->rip & ALC_PAGE_MASK) + ALC_PAGE_SIZE);
	if (!second)
		return NULL;
	__builtin_memcpy(bytes, f->bytes + off, have);
	gen2 = space_mark_code(v->plat->space, second->page, 0, 16);
	__builtin_memcpy(bytes + have, second->hva, 16);
	d->op = &op;
	len = decode_one(d, bytes, have + 16);
	b = block_new(v, c, &op, 1, first.gpa + off, (u16)len);
	if (!b)
		return NULL;
	b->page = first.page;
	b->gen = f->gen;
	b->page2 = second->page;
	b->gen2 = gen2;
	b->gpa2 = second->gpa;
	return b;
}

static unsigned insns_max(const struct interp *c)
{
	return c->mode & (MODE_SINGLE | MODE_ONE) || c->stop_on_fault ? 1 : BLOCK_INSNS_MAX;
}

static struct block *decode_once(struct alc_vcpu *v, struct interp *c, struct fetch *f)
{
	struct op ops[BLOCK_INSNS_MAX];
	unsigned n = 0, off = f->start, max = insns_max(c);
	struct block *b;
	struct dec d;

	dec_start(&d, v, c, f->start);
	while (n < max && !d.end && off < ALC_PAGE_SIZE) {
		unsigned avail, len;

		fetch_to(f, off + 15);
		avail = (unsigned)min_u64(15, ALC_PAGE_SIZE - off);
		ops[n] = (struct op){0};
		d.op = &ops[n];
		d.off = (u16)(off - f->start);
		len = decode_one(&d, f->bytes + off, avail);
		if (!len)
			break;
		ops[n++].off = d.off;
		off += len;
	}
	if (!n)
		return decode_crossing(v, c, f, &d, off);
	b = block_new(v, c, ops, n, f->it->gpa + f->start, (u16)(off - f->start));
	if (!b)
		return NULL;
	b->page = f->it->page;
	b->gen = f->gen;
	return b;
}

struct block *block_decode(struct alc_vcpu *v, struct interp *c, const struct itlb_entry *it)
{
	unsigned start = (unsigned)page_offset(v->rip);
	struct block *b;
	bool moved;

	do {
		struct fetch f = {.v = v, .it = it, .start = start, .marked = start};

		b = decode_once(v, c, &f);
		moved = f.moved;
	} while (b && moved);
	return b;
}

/* ---- Finding a block
 * ---------------------------------------------------------------------------------------- */

static inline bool is_current(const struct block *b)
{
	if (b->gen != atomic_load_explicit(&b->page->gen, memory_order_acquire))
		return false;
	return !b->page2 || b->gen2 == atomic_load_explicit(&b->page2->gen, memory_order_acquire);
}

/* The second page of a crossing block may have been remapped. */
static int second_page_same(struct alc_vcpu *v, struct interp *c, const struct block *b)
{
	const struct itlb_entry *it = itlb_lookup(v, c, (v->rip & ALC_PAGE_MASK) + ALC_PAGE_SIZE);

	return it ? it->gpa == b->gpa2 : -1;
}

static struct block *hash_find(struct alc_vcpu *v, struct interp *c, u64 gpa)
{
	struct block **link = &c->hash[(gpa ^ gpa >> 15) & (BLOCK_HASH - 1)], *b;

	while ((b = *link)) {
		if (b->gpa == gpa && b->mode == c->mode) {
			if (is_current(b)) {
				int same = b->page2 ? second_page_same(v, c, b) : 1;

				if (same != 0)
					return same > 0 ? b : NULL;
			}
			*link = b->hash_next; /* stale: its place is freed with the arena */
			c->n_stale++;
			continue;
		}
		link = &b->hash_next;
	}
	return NULL;
}

static struct block *find(struct alc_vcpu *v, struct interp *c)
{
	const struct itlb_entry *it = itlb_lookup(v, c, v->rip);
	struct itlb_entry at;
	struct block *b;

	if (!it)
		return NULL;
	at = *it;
	v->fault.vector = 0xff;
	b = hash_find(v, c, at.gpa + page_offset(v->rip));
	if (b || v->fault.vector != 0xff || c->exit == EXIT_ERROR)
		return b;
	if (unlikely(simd_full(c)))
		block_cache_flush(v, c);
	b = block_decode(v, c, &at);
	if (b || v->fault.vector != 0xff || c->exit == EXIT_ERROR)
		return b;
	/* The arena is full. */
	block_cache_flush(v, c);
	b = block_decode(v, c, &at);
	if (!b && v->fault.vector == 0xff && c->exit != EXIT_ERROR) {
		c->exit = EXIT_ERROR;
		alc_fail(c->err, -ENOMEM, "no memory for the decoded blocks of vCPU %u", v->index);
	}
	return b;
}

/* Outside 64-bit mode code has a base and a limit. */
static int code_linear(struct alc_vcpu *v, u64 *linear)
{
	*linear = v->rip;
	if (x86_code64(v))
		return 0;
	if (v->rip > v->seg[X86_CS].limit)
		return x86_raise_error(v, X86_GP, 0);
	*linear = (u32)(v->seg[X86_CS].base + v->rip);
	return 0;
}

struct block *block_next(struct alc_vcpu *v, struct interp *c)
{
	struct block **slot = c->slot, *b;
	u64 rip = v->rip, linear;
	struct jump *j;

	if (slot) {
		c->slot = NULL;
		b = *slot;
		if (likely(b && is_current(b)))
			return b;
	}
	if (unlikely(code_linear(v, &linear)))
		return NULL;
	j = &c->jumps[(linear ^ linear >> 12) & (JUMPS - 1)];
	if (likely(j->rip == linear && j->mode == c->mode && j->block &&
		   j->epoch == c->epoch[linear >> 63] && is_current(j->block))) {
		b = j->block;
	} else {
		c->n_lookups++;
		v->rip = linear; /* the caches and the decoder work on linear addresses */
		b = find(v, c);
		v->rip = rip;
		if (!b)
			return NULL;
		*j = (struct jump){.rip = linear,
				   .epoch = c->epoch[linear >> 63],
				   .mode = c->mode,
				   .block = b};
	}
	if (slot && !b->page2 && c->block && b->page == c->block->page)
		*slot = b;
	return b;
}
