/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator as an engine: creation, options, what it owes to others' stores, counters. */
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include <cpuid.h>

#include "base/errno.h"
#include "base/fmt.h"
#include "engine/translate/translate.h"
#include "isa/cpuid.h"

/* Blocks are cold code, but for what is never translated: they needn't stay. */
enum { THRESHOLD = 16, CACHE_BYTES = 64 << 20, BLOCKS_BYTES = 8 << 20 };
enum { BLOCKS_BYTES_MIN = 4 << 20 };

static const char *const feature_names[TR_FEATURES] = {
	[TR_LINK] = "link",         [TR_JUMPS] = "jumps",       [TR_PAIRS] = "pairs",
	[TR_RANGE] = "range",       [TR_LIVENESS] = "liveness", [TR_CONSTANT] = "constant",
	[TR_JOINS] = "joins",       [TR_RING] = "ring",         [TR_ANSWERS] = "answers",
	[TR_GROUPS] = "groups",     [TR_LOOPS] = "loops",       [TR_SWAPS] = "swaps",
	[TR_WINDOWS] = "windows",   [TR_HELD] = "held",         [TR_X87] = "x87",
	[TR_GUESSES] = "guesses",   [TR_EVICTION] = "eviction", [TR_REACH] = "reach",
	[TR_DIRECT] = "direct",     [TR_KICKS] = "kicks",       [TR_MOVES] = "moves",
	[TR_RELATIVE] = "relative", [TR_SPANS] = "spans",
};
static const char *const host_part_names[TR_HOST_PARTS] = {
	[TR_HOST_AVX] = "avx",
	[TR_HOST_BMI2] = "bmi2",
	[TR_HOST_FSGSBASE] = "fsgsbase",
	[TR_HOST_XSAVE] = "xsave",
};
static const char *const poison_names[TR_POISONS] = {
	[POISON_TLB] = "tlb",     [POISON_FLUSH] = "flush", [POISON_RANDOM] = "random",
	[POISON_STEP] = "step",   [POISON_PAIRS] = "pairs", [POISON_CUT] = "cut",
	[POISON_EVICT] = "evict", [POISON_MOVE] = "move",
};

static void probe(const struct alc_host *host, struct alc_engine_score *score)
{
	struct alc_host_code code;
	int r = host->code_map(host->ctx, 4096, &code);

	*score = (struct alc_engine_score){.usable = r, .good = 50};
	if (r) {
		fmt_text(score->why, sizeof(score->why), "this host forbids executable memory");
		return;
	}
	host->code_unmap(host->ctx, &code);
	fmt_text(score->why, sizeof(score->why),
		 "64-bit code and programs of 32 bits run as host code; needs no privileges");
}

/* ---- Others' stores ---- */

/* See mem/space.h. A vCPU's own thread, or one that is none. */
static void silence(void *ctx, struct alc_page *p)
{
	struct tr_vm *vm = ctx;
	const struct x86_platform *plat = vm->interp.plat;
	struct tr *self = tr_current();
	bool alone = self && (self->c.alone || plat->nvcpus == 1);

	if (!alone)
		exclusive_begin_by(&vm->interp, self ? &self->c : NULL);
	for (unsigned k = 0; k < plat->nvcpus; k++) {
		struct alc_vcpu *v = plat->vcpus[k];

		if (!v || !v->engine)
			continue;
		tlb_drop_writes(v->engine, p);
		if (tr_of(v)->windows)
			tr_windows_silence(tr_of(v)->windows, p);
		tr_forget_ranges(tr_of(v));
	}
	if (p)
		atomic_store(&p->silent_writers, false);
	if (!alone)
		exclusive_end_by(&vm->interp, self ? &self->c : NULL);
}

static void code_hit(void *ctx, struct alc_page *p)
{
	struct tr_vm *vm = ctx;
	const struct x86_platform *plat = vm->interp.plat;

	for (unsigned k = 0; k < plat->nvcpus; k++) {
		struct alc_vcpu *v = plat->vcpus[k];

		if (!v || !v->engine)
			continue;
		tr_note_hit(tr_of(v), p);
		atomic_fetch_or(&v->attention, X86_ATTN_CODE);
		tr_kick(v);
	}
}

/* ---- Creation ---- */

static void vm_destroy(void *opaque)
{
	struct tr_vm *vm = opaque;
	const struct x86_platform *plat;

	if (!vm)
		return;
	plat = vm->interp.plat;
	plat->space->watch = NULL;
	tr_perf_map_close(vm);
	interp_vm_fini(&vm->interp);
	host_free(plat->host, vm, sizeof(*vm));
}

static int vm_create(const struct x86_platform *plat, void **out, struct alc_err *err)
{
	struct tr_vm *vm = host_alloc(plat->host, sizeof(*vm));
	int r;

	if (!vm)
		return alc_fail(err, -ENOMEM, "no memory for the translator");
	vm->interp.kick = tr_kick;
	r = interp_vm_init(&vm->interp, plat, err);
	if (r) {
		host_free(plat->host, vm, sizeof(*vm));
		return r;
	}
	vm->threshold = THRESHOLD;
	vm->poison_every = 1;
	vm->cache_bytes = CACHE_BYTES;
	vm->perf_map = -1;
	vm->watch = (struct alc_space_watch){.silence = silence, .code_hit = code_hit, .ctx = vm};
	plat->space->watch = &vm->watch;
	*out = vm;
	return 0;
}

static void vcpu_destroy(struct alc_vcpu *v)
{
	struct tr *t = v->engine;

	if (!t)
		return;
	tr_cache_destroy(t);
	interp_vcpu_fini(&t->c);
}

static bool cpuid_bit(u32 leaf, unsigned reg, unsigned bit)
{
	unsigned r[4] = {0};

	return __get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]) && r[reg] >> bit & 1;
}

enum { HWCAP2_FSGSBASE = 2 };

/* As far as the host's operating system lets programs use it. */
static u32 host_parts(void)
{
	enum { ebx = 1, ecx = 2 };
	u32 parts = 0;

	parts |= __builtin_cpu_supports("avx") ? BIT(TR_HOST_AVX) : 0;
	parts |= cpuid_bit(7, ebx, 8) ? BIT(TR_HOST_BMI2) : 0;
	parts |= getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE ? BIT(TR_HOST_FSGSBASE) : 0;
	parts |= cpuid_bit(1, ecx, 27) ? BIT(TR_HOST_XSAVE) : 0;
	return parts;
}

static int vcpu_create(void *opaque, struct alc_vcpu *v, struct alc_err *err)
{
	struct tr_vm *vm = opaque;
	struct tr *t = (struct tr *)(void *)(v + 1);
	int r;

	memset(t, 0, sizeof(*t));
	t->vm = vm;
	t->c.v = v;
	t->c.tables = t->tables;
	t->c.silent_stores = true;
	t->c.blocks_bytes = BLOCKS_BYTES / v->cpuid->ncpus;
	if (t->c.blocks_bytes < BLOCKS_BYTES_MIN)
		t->c.blocks_bytes = BLOCKS_BYTES_MIN;
	t->host_parts = host_parts() & ~vm->without;
	t->zmm = cpuid_has(v->cpuid, X86_FEAT_AVX512F) && tr_host_has(t, TR_HOST_AVX);
	tr_x87_init(t);
	t->host_mxcsr = 0x1f80;
	t->rng = v->index + 1;
	r = tr_signals_install(err);
	t->off = tr_off(vm);
	t->attention_mask = tr_has(t, TR_KICKS) ? UINT32_MAX : 0;
	if (!r)
		r = interp_vcpu_init(&t->c, &vm->interp, v, err);
	if (r)
		return r;
	r = tr_cache_create(t, err);
	if (!r && vm->windows == WINDOWS_ALWAYS && (!t->windows || !tr_has(t, TR_WINDOWS)))
		r = alc_fail(
			err, -ENOTSUP,
			"windows=always can't be had: it needs BMI2 and addresses for %u vCPUs, "
			"and neither spectre=yes nor off=windows",
			v->cpuid->ncpus);
	if (r) {
		vcpu_destroy(v);
		return r;
	}
	v->ops = &tr_ops;
	return 0;
}

/* ---- Options ---- */

static int parse_set(const char *value, const char *const *names, unsigned n, u32 *set,
		     const char *what, struct alc_err *err)
{
	*set = 0;
	while (*value) {
		size_t len = strcspn(value, ",+");
		unsigned k;

		for (k = 0; k < n; k++)
			if (strlen(names[k]) == len && !strncmp(names[k], value, len))
				break;
		if (k == n)
			return alc_fail(err, -EINVAL, "the translator has no %s '%.*s'", what,
					(int)len, value);
		*set |= 1u << k;
		value += len + (value[len] != '\0');
	}
	return 0;
}

static int parse_number(const char *key, const char *value, u64 max, u64 *out, struct alc_err *err)
{
	char *end;

	*out = strtoull(value, &end, 10);
	if (end == value || *end || *out > max)
		return alc_fail(err, -EINVAL, "'%s' is not a number that %s can be", value, key);
	return 0;
}

static int parse_perf_map(struct tr_vm *vm, const char *value, struct alc_err *err)
{
	if (strcmp(value, "yes") != 0)
		return alc_fail(err, -EINVAL, "perf-map is yes or not given, not '%s'", value);
	return tr_perf_map_open(vm, err);
}

/* Only the check of a TLB entry has an address that can be confined. */
static int parse_spectre(struct tr_vm *vm, const char *value, struct alc_err *err)
{
	if (strcmp(value, "yes") != 0)
		return alc_fail(err, -EINVAL, "spectre is yes or not given, not '%s'", value);
	vm->spectre = true;
	return 0;
}

static int parse_windows(struct tr_vm *vm, const char *value, struct alc_err *err)
{
	static const char *const names[] = {
		[WINDOWS_AUTO] = "auto", [WINDOWS_ALWAYS] = "always", [WINDOWS_NEVER] = "never"};

	for (unsigned k = 0; k < ARRAY_LEN(names); k++)
		if (!strcmp(value, names[k])) {
			vm->windows = (enum tr_window_use)k;
			return 0;
		}
	return alc_fail(err, -EINVAL, "windows are auto, always or never, not '%s'", value);
}

static int parse_dump(struct tr_vm *vm, const char *value, struct alc_err *err)
{
	char *end;
	u64 rip = strtoull(value, &end, 16);

	if (end == value || *end)
		return alc_fail(err, -EINVAL, "'%s' is not an address in hexadecimal", value);
	vm->dump_rip = rip;
	atomic_store(&vm->dump, true);
	return 0;
}

static int configure(void *opaque, const char *key, const char *value, struct alc_err *err)
{
	struct tr_vm *vm = opaque;
	u64 n;
	int r;

	if (!strcmp(key, "off"))
		return parse_set(value, feature_names, TR_FEATURES, &vm->off, "optimisation", err);
	if (!strcmp(key, "poison"))
		return parse_set(value, poison_names, TR_POISONS, &vm->poison, "poison", err);
	if (!strcmp(key, "without"))
		return parse_set(value, host_part_names, TR_HOST_PARTS, &vm->without, "use for",
				 err);
	if (!strcmp(key, "threshold")) {
		r = parse_number(key, value, 10000, &n, err);
		vm->threshold = r ? vm->threshold : (unsigned)n;
		return r;
	}
	if (!strcmp(key, "poison-every")) {
		r = parse_number(key, value, 1 << 30, &n, err);
		vm->poison_every = !r && n ? (u32)n : vm->poison_every;
		return r;
	}
	if (!strcmp(key, "cache-mib")) {
		r = parse_number(key, value, 1024, &n, err);
		vm->cache_bytes = r ? vm->cache_bytes : n << 20;
		return r;
	}
	if (!strcmp(key, "windows"))
		return parse_windows(vm, value, err);
	if (!strcmp(key, "perf-map"))
		return parse_perf_map(vm, value, err);
	if (!strcmp(key, "spectre"))
		return parse_spectre(vm, value, err);
	if (!strcmp(key, "dump"))
		return parse_dump(vm, value, err);
	return alc_fail(
		err, -EINVAL,
		"the translator has no option '%s'; it has off, poison, "
		"poison-every, without, threshold, cache-mib, windows, perf-map, spectre and dump",
		key);
}

/* ---- Counters ---- */

static void stats(struct alc_vcpu *v, void (*fn)(void *ctx, const char *name, u64 value), void *ctx)
{
	const struct tr *t = tr_of(v);
	const struct tr_window_stats w = tr_windows_stats(t->windows);
	const struct {
		const char *name;
		u64 value;
	} counters[] = {
		{"regions", t->n_regions},
		{"instructions_translated", t->n_insns},
		{"translated_bytes", t->n_bytes},
		{"cache_bytes", tr_used_bytes(t)},
		{"code_flushes", t->n_code_flushes},
		{"evictions", t->n_evictions},
		{"regions_evicted", t->n_evicted_regions},
		{"regions_invalidated", t->n_killed},
		{"regions_moved", t->n_moved},
		{"links", t->n_links},
		{"entries", t->n_enters},
		{"slow_accesses", t->n_slow},
		{"slow_accesses_failed", t->n_slow_failed},
		{"exits_interpreter", t->n_exits[SITE_INTERP]},
		{"exits_step", t->n_exits[SITE_STEP]},
		{"exits_one", t->n_exits[SITE_ONE]},
		{"exits_link", t->n_exits[SITE_LINK]},
		{"exits_indirect", t->n_exits[SITE_INDIRECT]},
		{"exits_attention", t->n_exits[SITE_ATTENTION]},
		{"exits_gone", t->n_exits[SITE_GONE]},
		{"kicks", t->n_kicks},
		{"kick_steps", t->n_kick_steps},
		{"kick_points", t->n_patches},
		{"joins", t->njoins},
		{"joins_hot", t->n_exits[SITE_HOT]},
		{"loops_copied", t->n_fast_loops},
		{"loops_swapped", t->n_swapped_loops},
		{"regions_spanning", t->n_spans},
		{"checks_constant", t->n_constant},
		{"guesses", t->n_guesses},
		{"loops_unchecked", t->n_fast_runs},
		{"reaches", t->nreaches},
		{"reaches_given_up", t->n_reaches_left},
		{"host_faults", t->n_faults},
		{"interpreted_blocks", t->n_interp_blocks},
		{"kernel_verifications", t->n_verified},
		{"window_spaces", w.spaces},
		{"window_spaces_replaced", w.replaced},
		{"window_retreats", w.retreats},
		{"window_faults", w.faults},
		{"window_pages", w.pages},
		{"window_pages_unmapped", w.unmapped},
		{"window_verifications", w.verifications},
		{"windows_shut", w.shut},
		{"window_bans", t->n_window_bans},
	};

	for (unsigned k = 0; k < ARRAY_LEN(counters); k++)
		fn(ctx, counters[k].name, counters[k].value);
	interp_stats(v, fn, ctx);
}

const struct alc_engine translate_engine = {
	.name = "translate",
	.summary = "binary translation of 64-bit code and 32-bit programs; the rest is interpreted",
	.vcpu_bytes = sizeof(struct tr),
	.counts = true,
	.probe = probe,
	.vm_create = vm_create,
	.vm_destroy = vm_destroy,
	.configure = configure,
	.vcpu_create = vcpu_create,
	.vcpu_destroy = vcpu_destroy,
	.run = tr_run,
	.kick = tr_kick,
	.set_state = interp_set_state,
	.invalidate = interp_invalidate,
	.stats = stats,
};
