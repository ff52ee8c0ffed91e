/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hashes of a machine's state, part by part: what two runs must agree on if they are the same.
 *
 * Not cryptographic: a difference that nobody made on purpose is found. Only what a guest may find
 * out is in it, so nothing of an engine's, and pages that were never written are the same as pages
 * of zeroes.
 */
#include "base/errno.h"
#include "base/fmt.h"
#include "isa/lapic.h"
#include "vm/machine.h"

enum { LANES = 4, PART_NAME_MAX = 48, DEADLINES_PRIME = 59 };
#define PRIME 0x9e3779b185ebca87ull
#define MIX   0xc2b2ae3d27d4eb4full

/* ---- The function ------------------------------------------------------------------------- */

static u64 mix(u64 h, u64 x)
{
	h ^= x * MIX;
	h = h << 31 | h >> 33;
	return h * PRIME;
}

static u64 finish(u64 h)
{
	h ^= h >> 29;
	h *= MIX;
	return h ^ h >> 32;
}

static u64 hash_bytes(u64 h, const void *bytes, size_t len)
{
	const u8 *p = bytes;
	u8 rest[8] = {0};

	h = mix(h, len);
	for (; len >= 8; len -= 8, p += 8)
		h = mix(h, ld64(p));
	__builtin_memcpy(rest, p, len);
	return mix(h, ld64(rest));
}

/* A page, by lanes that don't wait for each other; 0 for one of zeroes. */
static u64 hash_page(const u8 *p)
{
	u64 lane[LANES] = {1, 2, 3, 4}, any = 0;

	for (unsigned i = 0; i < ALC_PAGE_SIZE; i += 8 * LANES)
		for (unsigned k = 0; k < LANES; k++) {
			u64 x = ld64(p + i + 8 * k);

			any |= x;
			lane[k] = mix(lane[k], x);
		}
	return any ? finish(mix(mix(mix(lane[0], lane[1]), lane[2]), lane[3])) : 0;
}

/* ---- Parts -------------------------------------------------------------------------------- */

static u64 hash_segment(u64 h, const struct x86_seg *s)
{
	return mix(mix(h, s->base), (u64)s->limit << 32 | (u32)s->sel << 16 | s->attr);
}

static u64 hash_table(u64 h, const struct x86_dtr *t)
{
	return mix(mix(h, t->base), t->limit);
}

_Static_assert(sizeof(struct x86_msrs) % 8 == 0 && sizeof(struct x86_kvm_pv) == 7 * 8 + 2 * 4,
	       "hashed as bytes: there are no holes");

static u64 hash_fpu(u64 h, const struct x86_fpu *f)
{
	h = hash_bytes(h, f->vec, sizeof(f->vec));
	h = hash_bytes(h, f->k, sizeof(f->k));
	for (unsigned i = 0; i < ARRAY_LEN(f->st); i++)
		h = hash_bytes(h, f->st[i], 10);
	h = mix(h, (u64)f->fcw << 48 | (u64)f->fsw << 32 | (u64)f->ftw << 16 | f->fop);
	return mix(mix(mix(h, f->fip), f->fdp), f->mxcsr);
}

/* An interrupt that waits is in the local APIC, whatever the CPU has been told of it. */
static u64 waiting(const struct alc_vcpu *v)
{
	return atomic_load(&v->attention) &
	       (X86_ATTN_NMI | X86_ATTN_INIT | X86_ATTN_SIPI | X86_ATTN_SMI);
}

static u64 hash_cpu(const struct alc_vcpu *v)
{
	bool shadow = v->shadow_rip == v->rip;
	u64 h = hash_bytes(0, v->gpr, X86_GPRS * sizeof(v->gpr[0]));

	h = mix(mix(h, v->rip), v->rflags);
	for (unsigned i = 0; i < X86_SEGS; i++)
		h = hash_segment(h, &v->seg[i]);
	h = hash_segment(hash_segment(h, &v->ldtr), &v->tr);
	h = hash_table(hash_table(h, &v->gdtr), &v->idtr);
	h = mix(mix(mix(mix(h, v->cr0), v->cr2), v->cr3), v->cr4);
	h = mix(mix(h, v->xcr0), v->efer);
	h = hash_bytes(h, v->dr, sizeof(v->dr));
	h = hash_bytes(h, &v->msr, sizeof(v->msr));
	h = hash_bytes(h, &v->pv, sizeof(v->pv));
	h = mix(h, (u64)v->cpl << 32 | (u64)v->activity << 24 | (u64)v->nmi_blocked << 16 |
			   (u64)shadow << 8 | (u64)(shadow && v->shadow_ss));
	h = mix(h, waiting(v) << 8 | v->sipi_vector);
	return finish(mix(hash_fpu(h, &v->fpu), v->instructions));
}

static int hash_fields(const struct machine *m, const struct alc_field *fields, u16 version,
		       const void *state, u64 *h)
{
	size_t len = fields_size(fields, version);
	u8 *bytes = host_alloc(m->host, len ? len : 1);

	if (!bytes)
		return -ENOMEM;
	fields_save(fields, version, state, bytes);
	*h = finish(hash_bytes(*h, bytes, len));
	host_free(m->host, bytes, len ? len : 1);
	return 0;
}

enum { FIELDS_FIRST_VERSION = 1 };

/* Not as a snapshot does it, which finishes what is under way. */
static int hash_device(const struct machine *m, struct alc_dev *d, u64 *h)
{
	int r = 0;

	dev_lock(d);
	if (d->cls->state)
		r = hash_fields(m, d->cls->state, d->cls->version, d->state, h);
	if (!r && d->pci)
		r = hash_fields(m, pci_function_fields, FIELDS_FIRST_VERSION,
				pci_function_state(d->pci), h);
	dev_unlock(d);
	return r;
}

static u64 hash_bank(u64 h, const struct alc_bank *b)
{
	for (u64 i = 0; i < b->size / ALC_PAGE_SIZE; i++) {
		u64 page = 0;

		/* Reading what was never written would take memory of the host. */
		if (b->rom ||
		    atomic_load_explicit(&b->pages[i].flags, memory_order_relaxed) & PAGE_DIRTY)
			page = hash_page(b->hva + i * ALC_PAGE_SIZE);
		if (page)
			h = mix(mix(h, b->base.v + i * ALC_PAGE_SIZE), page);
	}
	return h;
}

static u64 hash_memory(const struct machine *m)
{
	u64 h = 0;

	for (unsigned i = 0; i < m->space.nbanks; i++)
		h = hash_bank(h, &m->space.banks[i]);
	return finish(h);
}

/* Which device's they are, those know themselves. */
static void add_deadline(void *ctx, u64 deadline_ns)
{
	u64 *sum = ctx;

	*sum += finish(mix(DEADLINES_PRIME, deadline_ns));
}

/* ---- The whole ---------------------------------------------------------------------------- */

static size_t parts_max(const struct machine *m)
{
	return 2 * (size_t)m->ncpus + m->ndevices + 3;
}

struct part {
	struct alc_state_part part;
	char name[PART_NAME_MAX];
};

struct parts {
	struct part *list;
	size_t n;
};

static u64 *add_part(struct parts *p, const char *name, unsigned number)
{
	struct part *q = &p->list[p->n++];

	if (number == UINT32_MAX)
		fmt_text(q->name, sizeof(q->name), "%s", name);
	else
		fmt_text(q->name, sizeof(q->name), "%s%u", name, number);
	q->part.hash = 0;
	return &q->part.hash;
}

static int collect(struct machine *m, struct parts *p)
{
	int r = 0;

	for (unsigned i = 0; !r && i < m->ncpus; i++) {
		*add_part(p, "cpu", i) = hash_cpu(m->vcpus[i]);
		r = hash_fields(m, lapic_fields, FIELDS_FIRST_VERSION,
				lapic_state(m->vcpus[i]->lapic), add_part(p, "lapic", i));
	}
	for (unsigned i = 0; !r && i < m->ndevices; i++)
		r = hash_device(m, m->devices[i], add_part(p, m->devices[i]->id, UINT32_MAX));
	clock_each_deadline(m->clock, add_deadline, add_part(p, "timers", UINT32_MAX));
	*add_part(p, "entropy", UINT32_MAX) = finish(m->entropy.state);
	*add_part(p, "memory", UINT32_MAX) = hash_memory(m);
	return r;
}

static void report(struct machine *m, u64 at_ns, bool at_end, const struct parts *p,
		   struct alc_state_part *list)
{
	struct alc_state_hash h = {.at_ns = at_ns, .at_end = at_end, .parts = list, .nparts = p->n};
	u64 sum = mix(0, at_ns);

	for (size_t i = 0; i < p->n; i++) {
		list[i] = p->list[i].part;
		list[i].name = p->list[i].name;
		sum = mix(sum, list[i].hash);
	}
	h.hash = finish(sum);
	m->parts.hashed(m->parts.ctx, &h);
}

static void make_hash(struct machine *m, u64 at_ns, bool at_end)
{
	const struct alc_host *host = m->host;
	size_t n = parts_max(m), bytes = n * sizeof(struct part),
	       list_bytes = n * sizeof(struct alc_state_part);
	struct parts p = {.list = host_alloc(host, bytes)};
	struct alc_state_part *list = host_alloc(host, list_bytes);

	if (p.list && list && collect(m, &p) == 0)
		report(m, at_ns, at_end, &p, list);
	else
		host->log(host->ctx, ALC_LOG_ERROR, "no memory for a hash of the machine's state");
	host_free(host, list, list_bytes);
	host_free(host, p.list, bytes);
}

u64 machine_hash_next(const struct machine *m)
{
	size_t done = m->virtual.hashes_done;

	return done < m->desc->nhash_at ? m->desc->hash_at_ns[done] : CLOCK_NEVER;
}

void machine_hash_due(struct machine *m, u64 now_ns)
{
	bool due = false;

	/* Several that lie in one round are one. */
	for (; machine_hash_next(m) <= now_ns; m->virtual.hashes_done++)
		due = true;
	if (due && m->parts.hashed)
		make_hash(m, now_ns, false);
}

void machine_hash_end(struct machine *m)
{
	if (m->desc->hash_at_end && m->parts.hashed)
		make_hash(m, m->virtual.now_ns, true);
}

int machine_hash_check(const struct alc_desc *d, bool is_virtual, struct alc_err *err)
{
	if ((d->nhash_at || d->hash_at_end) && !is_virtual)
		return alc_fail(err, -EINVAL,
				"hashes of the state are for the virtual clock: in host time no "
				"two runs are equal");
	for (size_t i = 1; i < d->nhash_at; i++)
		if (d->hash_at_ns[i] < d->hash_at_ns[i - 1])
			return alc_fail(err, -EINVAL, "instants of state hashes must ascend");
	return 0;
}
