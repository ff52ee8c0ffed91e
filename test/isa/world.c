/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rng.h"
#include "vm/linux/vm_linux.h"
#include "world.h"

/* ---- The watchdog -----------------------------------------------------------------------------
 *
 * A guest that never halts must not hang the test. Each run has a number, odd while it goes on;
 * the watchdog stops one that it meets at several ticks in a row. An engine that doesn't care is
 * out of order, and the process ends.
 */
enum { TICK_SECONDS = 1, TICKS_MAX = 6, TICKS_TO_ABORT = 12 };

struct watchdog {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool quit;
	struct world *world;
	_Atomic(u64) run;
};

static void attend(struct world *w, u32 attention)
{
	x86_attend(w->v, attention);
	if (w->engine->kick)
		w->engine->kick(w->v);
}

static void *watch(void *arg)
{
	struct watchdog *d = arg;
	u64 seen = 0;
	unsigned ticks = 0;

	pthread_mutex_lock(&d->lock);
	while (!d->quit) {
		struct timespec t;
		u64 run = atomic_load(&d->run);

		ticks = run == seen && (run & 1) ? ticks + 1 : 0;
		seen = run;
		if (ticks >= TICKS_MAX)
			attend(d->world, X86_ATTN_STOP);
		if (ticks >= TICKS_TO_ABORT)
			abort();
		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_sec += TICK_SECONDS;
		pthread_cond_timedwait(&d->changed, &d->lock, &t);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static int watchdog_create(struct world *w, struct alc_err *err)
{
	struct watchdog *d = calloc(1, sizeof(*d));

	if (!d)
		return alc_fail(err, -ENOMEM, "out of memory");
	d->world = w;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	if (pthread_create(&d->thread, NULL, watch, d)) {
		free(d);
		return alc_fail(err, -EAGAIN, "can't start the watchdog's thread");
	}
	w->dog = d;
	return 0;
}

static void watchdog_destroy(struct watchdog *d)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->quit = true;
	pthread_cond_signal(&d->changed);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* ---- Disturbance ------------------------------------------------------------------------------
 */

struct nag {
	pthread_t thread;
	struct world *world;
	u32 attention;
	_Atomic(bool) quit;
};

static void *disturb(void *arg)
{
	struct nag *n = arg;
	struct rng r = {1};

	while (!atomic_load(&n->quit)) {
		if (atomic_load(&n->world->dog->run) & 1)
			attend(n->world, n->attention);
		/* A program takes some microseconds: no sleep is that short. */
		for (u64 wait = rng_below(&r, 2000); wait; wait--)
			__builtin_ia32_pause();
		if (!rng_below(&r, 64))
			sched_yield();
	}
	return NULL;
}

int world_disturb(struct world *w, u32 attention, struct alc_err *err)
{
	struct nag *n = calloc(1, sizeof(*n));

	if (!n)
		return alc_fail(err, -ENOMEM, "out of memory");
	n->world = w;
	n->attention = attention;
	if (pthread_create(&n->thread, NULL, disturb, n)) {
		free(n);
		return alc_fail(err, -EAGAIN, "can't start a thread");
	}
	w->nag = n;
	return 0;
}

static void nag_destroy(struct nag *n)
{
	if (!n)
		return;
	atomic_store(&n->quit, true);
	pthread_join(n->thread, NULL);
	free(n);
}

/* ---- Creation ---------------------------------------------------------------------------------
 */

bool settings_add(struct settings *s, char *text)
{
	char *equals = strchr(text, '=');

	if (!equals || equals == text || s->count == SETTINGS_MAX)
		return false;
	*equals = '\0';
	s->all[s->count++] = (struct setting){text, equals + 1};
	return true;
}

const struct alc_engine *world_engine(const char *name)
{
	for (const struct alc_engine *const *e = linux_engines; *e; e++)
		if (!strcmp((*e)->name, name))
			return *e;
	return NULL;
}

static int no_interrupt(void *ctx)
{
	return -1;
}

static void no_eoi(void *ctx, u8 vector)
{
}

static void no_kick(void *ctx, struct alc_vcpu *v)
{
}

const char *world_cpu = "default";

static int make_platform(struct world *w, struct alc_err *err)
{
	int ret = alc_host_open(&w->host, err);

	if (!ret)
		ret = clock_create(w->host, &w->clock);
	if (ret)
		return alc_fail(err, ret, "can't open the host");
	region_map_init(&w->ports, w->host);
	ret = space_init(&w->space, w->host, WORLD_RAM, err);
	if (!ret)
		ret = space_add_bank(&w->space, gpa(0), WORLD_RAM, false, err);
	if (!ret)
		ret = cpuid_table_init(&w->cpuid, world_cpu, 1, 1000000000, err);
	w->plat = (struct x86_platform){
		.host = w->host,
		.clock = w->clock,
		.space = &w->space,
		.ports = &w->ports,
		.tsc_hz = 1000000000,
		.pic_ack = no_interrupt,
		.eoi = no_eoi,
		.kick = no_kick,
		.vcpus = w->vcpus,
		.nvcpus = 1,
		.vcpu_bytes = w->engine->vcpu_bytes,
	};
	if (!ret)
		w->ram = space_bank(&w->space, gpa(0))->hva;
	return ret;
}

static int configure(struct world *w, const struct settings *s, struct alc_err *err)
{
	int ret = 0;

	for (unsigned i = 0; s && i < s->count && !ret; i++)
		ret = w->engine->configure
			      ? w->engine->configure(w->vm, s->all[i].key, s->all[i].value, err)
			      : alc_fail(err, -EINVAL, "engine '%s' has no options",
					 w->engine->name);
	return ret;
}

static int make_vcpu(struct world *w, const struct settings *s, struct alc_err *err)
{
	int ret = w->engine->vm_create(&w->plat, &w->vm, err);

	if (!ret)
		ret = configure(w, s, err);
	if (!ret && w->engine->adapt)
		ret = w->engine->adapt(w->vm, &w->cpuid, err);
	if (!ret)
		ret = vcpu_create(&w->plat, 0, &w->cpuid, &w->v, err);
	if (ret)
		return ret;
	w->vcpus[0] = w->v;
	return w->engine->vcpu_create(w->vm, w->v, err);
}

int world_create(struct world *w, const struct alc_engine *engine, const struct settings *settings,
		 struct alc_err *err)
{
	int ret;

	memset(w, 0, sizeof(*w));
	w->engine = engine;
	ret = make_platform(w, err);
	if (!ret)
		ret = make_vcpu(w, settings, err);
	if (!ret)
		ret = watchdog_create(w, err);
	if (ret) {
		world_destroy(w);
		return alc_fail(err, ret, "can't make the guest");
	}
	return 0;
}

void world_destroy(struct world *w)
{
	nag_destroy(w->nag);
	watchdog_destroy(w->dog);
	if (w->v && w->vm)
		w->engine->vcpu_destroy(w->v);
	vcpu_destroy(w->v);
	if (w->vm)
		w->engine->vm_destroy(w->vm);
	if (w->host) {
		region_map_fini(&w->ports);
		space_fini(&w->space);
	}
	clock_destroy(w->clock);
	alc_host_close(w->host);
	memset(w, 0, sizeof(*w));
}

/* ---- Running ----------------------------------------------------------------------------------
 */

/* ---- Stops by a count of instructions ---- */

static void mix(u64 *hash, u64 v)
{
	*hash = (*hash ^ v) * 0x100000001b3;
	*hash ^= *hash >> 29;
}

static void note_stop(struct world *w)
{
	mix(&w->stops, w->v->instructions);
	mix(&w->stops, w->v->rip);
	for (unsigned i = 0; i < X86_GPRS; i++)
		mix(&w->stops, w->v->gpr[i]);
}

/* Slices of all lengths up to the longest, in an order that is the same each time. */
static void next_slice(struct world *w, u64 *random)
{
	*random = *random * 6364136223846793005ull + 1442695040888963407ull;
	atomic_store(&w->v->run_until, w->v->instructions + 1 + (*random >> 33) % w->slice);
}

enum alc_exit world_run(struct world *w, struct alc_err *err)
{
	enum alc_exit exit;
	u64 random = 1;

	w->stops = 0;
	w->v->instructions = 0;
	atomic_fetch_and(&w->v->attention, X86_ATTN_CODE); /* what the engine is yet to look at */
	w->v->activity = X86_RUNNING;
	w->engine->set_state(w->v);
	atomic_fetch_add(&w->dog->run, 1);
	do {
		atomic_fetch_and(&w->v->attention, ~(u32)X86_ATTN_WORK);
		if (w->slice)
			next_slice(w, &random);
		else if (w->instructions_max)
			atomic_store(&w->v->run_until, w->instructions_max);
		exit = w->engine->run(w->v, err);
		if (exit == ALC_EXIT_BUDGET)
			note_stop(w);
	} while ((exit == ALC_EXIT_BUDGET &&
		  (!w->instructions_max || w->v->instructions < w->instructions_max)) ||
		 (exit == ALC_EXIT_ATTENTION && !(atomic_load(&w->v->attention) & X86_ATTN_STOP)));
	atomic_fetch_add(&w->dog->run, 1);
	if (w->engine->get_state && w->engine->get_state(w->v, err))
		return ALC_EXIT_ERROR;
	return exit;
}

void world_enter_mode(struct alc_vcpu *v, u64 cr3, unsigned cpl)
{
	const u16 data = X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED | X86_SEG_DB |
			 X86_SEG_G | (u16)(cpl << X86_SEG_DPL_SHIFT);
	const u16 code = X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_RW | X86_SEG_ACCESSED |
			 X86_SEG_L | X86_SEG_G | (u16)(cpl << X86_SEG_DPL_SHIFT);

	memset(v->seg, 0, sizeof(v->seg));
	v->seg[X86_CS] =
		(struct x86_seg){.limit = ~0u, .sel = cpl ? CASE_CS : CASE_CS0, .attr = code};
	v->seg[X86_SS] =
		(struct x86_seg){.limit = ~0u, .sel = cpl ? CASE_SS : CASE_SS0, .attr = data};
	v->cpl = (u8)cpl;
	v->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM |
		 X86_CR0_PG;
	v->cr2 = 0;
	v->cr3 = cr3;
	v->cr4 = X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_OSFXSR |
		 X86_CR4_OSXMMEXCPT | X86_CR4_FSGSBASE | X86_CR4_OSXSAVE | X86_CR4_SMEP |
		 X86_CR4_SMAP | X86_CR4_UMIP;
	v->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	v->xcr0 = v->cpuid->xcr0_mask;
	memset(v->dr, 0, sizeof(v->dr));
	v->dr[6] = 0xffff0ff0;
	v->dr[7] = 0x400;
	v->shadow_rip = ~0ull;
	v->shadow_ss = false;
	v->nmi_blocked = false;
	v->activity = X86_RUNNING;
}

/* What the CPU has of them. */
static void put_vectors(struct alc_vcpu *v, const struct case_state *in)
{
	bool wide = cpuid_has(v->cpuid, X86_FEAT_AVX512F);

	for (unsigned i = 0; i < (wide ? 32 : 16); i++)
		memcpy(v->fpu.vec[i], in->vec[i], wide ? 64 : 32);
	if (wide)
		memcpy(v->fpu.k, in->k, sizeof(in->k));
}

void world_put_state(struct alc_vcpu *v, const struct case_state *in)
{
	memcpy(v->gpr, in->gpr, sizeof(in->gpr));
	v->rip = in->rip;
	v->rflags = in->rflags;
	v->seg[X86_FS].base = in->fs_base;
	v->seg[X86_GS].base = in->gs_base;
	put_vectors(v, in);
	memcpy(v->fpu.st, in->st, sizeof(in->st));
	v->fpu.fcw = in->fcw;
	v->fpu.fsw = in->fsw;
	v->fpu.ftw = in->ftw;
	v->fpu.fop = in->fop;
	v->fpu.fip = in->fip;
	v->fpu.fdp = in->fdp;
	v->fpu.mxcsr = in->mxcsr;
}

void world_get_state(const struct alc_vcpu *v, struct case_state *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->gpr, v->gpr, sizeof(out->gpr));
	out->rip = v->rip;
	out->rflags = v->rflags;
	out->fs_base = v->seg[X86_FS].base;
	out->gs_base = v->seg[X86_GS].base;
	memcpy(out->vec, v->fpu.vec, sizeof(out->vec));
	memcpy(out->k, v->fpu.k, sizeof(out->k));
	for (unsigned i = 0; i < 8; i++)
		memcpy(out->st[i], v->fpu.st[i], 10);
	out->fcw = v->fpu.fcw;
	out->fsw = v->fpu.fsw;
	out->ftw = v->fpu.ftw;
	out->fop = v->fpu.fop;
	out->fip = v->fpu.fip;
	out->fdp = v->fpu.fdp;
	out->mxcsr = v->fpu.mxcsr;
}
