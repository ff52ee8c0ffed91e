/* SPDX-License-Identifier: BSD-2-Clause */
/* The interpreter as an engine: creation, destruction, counters. */
#include "base/errno.h"
#include "base/fmt.h"
#include "engine/interp/interp.h"

enum { ROWS_BYTES = (ZYDIS_MNEMONIC_MAX_VALUE + 1) * sizeof(struct insn_row *) };

static void interp_probe(const struct alc_host *host, struct alc_engine_score *score)
{
	struct alc_host_code code;
	int r = host->code_map(host->ctx, 4096, &code);

	score->usable = 0;
	score->good = 10;
	if (r) {
		score->good = 1;
		fmt_text(score->why, sizeof(score->why),
			 "runs anywhere, but this host forbids executable memory, so SSE and x87 "
			 "instructions would stop the machine");
		return;
	}
	host->code_unmap(host->ctx, &code);
	fmt_text(score->why, sizeof(score->why), "runs anywhere, needs no privileges");
}

void interp_vm_fini(struct interp_vm *vm)
{
	const struct alc_host *h = vm->plat->host;

	host_free(h, (void *)(uintptr_t)vm->rows, ROWS_BYTES);
	if (vm->exclusive)
		h->mutex_destroy(h->ctx, vm->exclusive);
}

int interp_vm_init(struct interp_vm *vm, const struct x86_platform *plat, struct alc_err *err)
{
	const struct alc_host *h = plat->host;

	vm->plat = plat;
	vm->rows = host_alloc(h, ROWS_BYTES);
	vm->exclusive = h->mutex_create(h->ctx);
	if (!vm->rows || !vm->exclusive) {
		interp_vm_fini(vm);
		return alc_fail(err, -ENOMEM, "no memory for the interpreter");
	}
	decode_index_rows(vm->rows);
	return 0;
}

static void interp_vm_destroy(void *opaque)
{
	struct interp_vm *vm = opaque;

	if (!vm)
		return;
	interp_vm_fini(vm);
	host_free(vm->plat->host, vm, sizeof(*vm));
}

static int interp_vm_create(const struct x86_platform *plat, void **out, struct alc_err *err)
{
	struct interp_vm *vm = host_alloc(plat->host, sizeof(*vm));
	int r;

	if (!vm)
		return alc_fail(err, -ENOMEM, "no memory for the interpreter");
	r = interp_vm_init(vm, plat, err);
	if (r) {
		host_free(plat->host, vm, sizeof(*vm));
		return r;
	}
	*out = vm;
	return 0;
}

void interp_vcpu_fini(struct interp *c)
{
	struct alc_vcpu *v = c->v;

	simd_destroy(c);
	block_cache_destroy(v, c);
	tlb_destroy(v, c);
	v->engine = NULL;
	v->ops = NULL;
}

int interp_vcpu_init(struct interp *c, struct interp_vm *vm, struct alc_vcpu *v,
		     struct alc_err *err)
{
	int r;

	c->v = v;
	c->vm = vm;
	v->engine = c;
	decoders_init(c, v->cpuid);
	r = tlb_create(v, c, err);
	if (!r)
		r = block_cache_create(v, c, err);
	if (!r)
		r = simd_create(v, c, err);
	if (r) {
		interp_vcpu_fini(c);
		return r;
	}
	v->ops = &interp_ops;
	v->gpr[X86_REG_ZERO] = 0;
	interp_mode_changed(v);
	return 0;
}

static void interp_vcpu_destroy(struct alc_vcpu *v)
{
	struct interp *c = v->engine;

	if (!c)
		return;
	interp_vcpu_fini(c);
	host_free(v->plat->host, c, sizeof(*c));
}

static int interp_vcpu_create(void *vm, struct alc_vcpu *v, struct alc_err *err)
{
	struct interp *c = host_alloc(v->plat->host, sizeof(*c));
	int r;

	if (!c)
		return alc_fail(err, -ENOMEM, "no memory for vCPU %u of the interpreter", v->index);
	r = interp_vcpu_init(c, vm, v, err);
	if (r)
		host_free(v->plat->host, c, sizeof(*c));
	return r;
}

void interp_set_state(struct alc_vcpu *v)
{
	struct interp *c = v->engine;

	v->gpr[X86_REG_ZERO] = 0;
	c->block = NULL;
	c->slot = NULL;
	interp_mode_changed(v);
	v->ops->flush_all(v);
}

/* Generations change for whatever holds decoded bytes; each vCPU finds out by itself. */
void interp_invalidate(void *opaque, alc_gpa base, u64 len)
{
	struct interp_vm *vm = opaque;
	struct alc_span span;

	while (len && space_span(vm->plat->space, base, len, &span)) {
		u64 n = min_u64(span.len, ALC_PAGE_SIZE - page_offset(base.v));

		space_note_write(vm->plat->space, span.page, page_offset(base.v), n);
		base = gpa_add(base, n);
		len -= n;
	}
}

void interp_stats(struct alc_vcpu *v, void (*fn)(void *ctx, const char *name, u64 value), void *ctx)
{
	const struct interp *c = v->engine;
	const struct {
		const char *name;
		u64 value;
	} counters[] = {
		{"blocks_decoded", c->n_blocks_decoded},
		{"instructions_decoded", c->n_insns_decoded},
		{"block_lookups", c->n_lookups},
		{"blocks_stale", c->n_stale},
		{"tlb_fills", c->n_tlb_fills},
		{"tlb_flushes", c->n_flushes},
		{"space_switches", c->n_switches},
		{"spaces_kept", c->n_kept},
		{"faults", c->n_faults},
		{"interrupts", c->n_interrupts},
		{"mmio", c->n_mmio},
		{"pauses", c->n_pauses},
	};
	unsigned i;

	for (i = 0; i < ARRAY_LEN(counters); i++)
		fn(ctx, counters[i].name, counters[i].value);
}

const struct alc_engine interp_engine = {
	.name = "interp",
	.summary = "interpreter of decoded blocks; every mode, no host support needed",
	.probe = interp_probe,
	.counts = true,
	.vm_create = interp_vm_create,
	.vm_destroy = interp_vm_destroy,
	.vcpu_create = interp_vcpu_create,
	.vcpu_destroy = interp_vcpu_destroy,
	.run = interp_run,
	.set_state = interp_set_state,
	.invalidate = interp_invalidate,
	.stats = interp_stats,
};
