/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/interp/step.h"
#include "guest.h"
#include "kernel.h"
#include "silicon.h"

enum {
	GPA_DATA = 0x10000,
	GPA_RO = GPA_DATA + CASE_DATA_SIZE,
	GPA_CODE = 0x20000,
	/* More than any case needs that ends: REP iterations may count. */
	STEPS_MAX = 1000000,
};

struct guest {
	struct world world;
	void (*run)(struct world *w, struct case_outcome *o);
};

/*
 * An engine that jumps to the wrong place takes its process with it, so that a batch is run by a
 * process that may die: the case that killed it is known, and another one goes on behind it.
 */
struct batch {
	unsigned next; /* case */
	struct case_outcome out[SILICON_BATCH];
};

struct apart {
	const char *engine;
	struct settings settings;
	struct batch *shared;
};

static void map_pages(struct world *w, u64 gva, u64 to, u64 size, u64 rights)
{
	for (u64 off = 0; off < size; off += ALC_PAGE_SIZE)
		kernel_map_page(w, (unsigned)((gva + off - WINDOW) / ALC_PAGE_SIZE),
				(to + off) | rights);
}

static void map_window(struct world *w)
{
	map_pages(w, CASE_DATA, GPA_DATA, CASE_DATA_SIZE, PTE_P | PTE_W | PTE_U | PTE_NX);
	map_pages(w, CASE_RO, GPA_RO, CASE_RO_SIZE, PTE_P | PTE_U | PTE_NX);
	map_pages(w, CASE_CODE, GPA_CODE, CASE_CODE_SIZE, PTE_P | PTE_W | PTE_U);
	case_fill_ro(w->ram + GPA_RO);
}

static void guest_destroy(void *ctx)
{
	struct guest *g = ctx;

	if (g)
		world_destroy(&g->world);
	free(g);
}

static int guest_create(const char *name, const struct settings *settings,
			void (*run)(struct world *w, struct case_outcome *o), void **out,
			struct alc_err *err)
{
	const struct alc_engine *engine = world_engine(name);
	struct guest *g = calloc(1, sizeof(*g));
	int ret = engine ? 0 : alc_fail(err, -ENOENT, "no engine '%s'", name);

	if (!g)
		return alc_fail(err, -ENOMEM, "out of memory");
	if (!ret)
		ret = world_create(&g->world, engine, settings, err);
	if (ret) {
		free(g);
		return ret;
	}
	g->run = run;
	kernel_install(&g->world);
	map_window(&g->world);
	*out = g;
	return 0;
}

/* Without the IDT: faults are taken from the interpreter itself. */
static void step(struct world *w, struct case_outcome *o)
{
	struct alc_err why = {0};
	bool faulted = false;
	enum alc_exit exit;

	memset(&o->fault, 0, sizeof(o->fault));
	o->why[0] = 0;
	w->engine->set_state(w->v);
	exit = interp_step(w->v, STEPS_MAX, &o->fault, &faulted, &why);
	o->end = faulted ? CASE_FAULT : CASE_TIMEOUT;
	if (exit == ALC_EXIT_ERROR) {
		o->end = CASE_LOST;
		snprintf(o->why, sizeof(o->why), "%s", why.text);
	}
	world_get_state(w->v, &o->out);
	/* As the native runner reports it: INT3 at itself. */
	if (faulted && o->fault.vector == X86_BP)
		o->out.rip--;
}

static int run_one(struct guest *g, const struct isa_case *c, struct case_outcome *o,
		   struct alc_err *err)
{
	struct alc_space *space = &g->world.space;
	int ret;

	case_fill(c, o->data, o->code);
	ret = space_copy_out(space, gpa(GPA_DATA), o->data, sizeof(o->data));
	if (!ret)
		ret = space_copy_out(space, gpa(GPA_CODE), o->code, sizeof(o->code));
	if (ret)
		return alc_fail(err, ret, "the window is not in the guest's RAM");
	kernel_enter(&g->world, &c->in, 3);
	g->run(&g->world, o);
	ret = space_copy_in(space, gpa(GPA_DATA), o->data, sizeof(o->data));
	return ret ? ret : space_copy_in(space, gpa(GPA_CODE), o->code, sizeof(o->code));
}

static int guest_run(void *ctx, const struct isa_case *cases, struct case_outcome *out, unsigned n,
		     struct alc_err *err)
{
	for (unsigned i = 0; i < n; i++) {
		int ret = run_one(ctx, &cases[i], &out[i], err);

		if (ret)
			return ret;
	}
	return 0;
}

bool guest_has(const char *feature)
{
	static const struct {
		enum x86_feature id;
		const char *name;
	} names[] = {
#define FEATURE(id, leaf, subleaf, reg, bit, text) {X86_FEAT_##id, text},
#include "isa/features.inc"
#undef FEATURE
	};
	static struct x86_cpuid_table table;

	if (!table.profile && cpuid_table_init(&table, world_cpu, 1, 1000000000, NULL))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(names[i].name, feature))
			return cpuid_has(&table, names[i].id);
	return false;
}

static int create_steps(const struct settings *settings, void **out, struct alc_err *err)
{
	return guest_create("interp", settings, step, out, err);
}

/* ---- In processes that may die ----------------------------------------------------------------
 */

static void apart_destroy(void *ctx)
{
	struct apart *a = ctx;

	if (a)
		munmap(a->shared, sizeof(*a->shared));
	free(a);
}

static int apart_create(const char *engine, const struct settings *settings, void **out,
			struct alc_err *err)
{
	struct apart *a = calloc(1, sizeof(*a));
	void *trial;
	int ret = a ? guest_create(engine, settings, kernel_run, &trial, err)
		    : alc_fail(err, -ENOMEM, "out of memory");

	if (ret) {
		free(a);
		return ret;
	}
	guest_destroy(trial);
	a->engine = engine;
	a->settings = *settings;
	a->shared = mmap(NULL, sizeof(*a->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (a->shared == MAP_FAILED) {
		free(a);
		return alc_fail(err, -ENOMEM, "out of memory");
	}
	*out = a;
	return 0;
}

static int child(struct apart *a, const struct isa_case *cases, unsigned n)
{
	struct batch *b = a->shared;
	struct alc_err err = {0};
	void *guest;
	int ret = guest_create(a->engine, &a->settings, kernel_run, &guest, &err);

	for (; !ret && b->next < n; b->next++)
		ret = run_one(guest, &cases[b->next], &b->out[b->next], &err);
	return ret != 0;
}

/* One process, which ends the batch or dies of a case. */
static int run_process(struct apart *a, const struct isa_case *cases, unsigned n,
		       struct alc_err *err)
{
	struct case_outcome *o;
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(child(a, cases, n));
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return alc_fail(err, -EAGAIN, "can't make a process");
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status) ? alc_fail(err, -EIO, "a guest could not be made") : 0;
	o = &a->shared->out[a->shared->next++];
	o->end = CASE_LOST;
	snprintf(o->why, sizeof(o->why), "the process died: %s", strsignal(WTERMSIG(status)));
	return 0;
}

static int apart_run(void *ctx, const struct isa_case *cases, struct case_outcome *out, unsigned n,
		     struct alc_err *err)
{
	struct apart *a = ctx;

	a->shared->next = 0;
	while (a->shared->next < n) {
		int ret = run_process(a, cases, n, err);

		if (ret)
			return ret;
	}
	memcpy(out, a->shared->out, n * sizeof(*out));
	return 0;
}

static int create_interp(const struct settings *settings, void **out, struct alc_err *err)
{
	return apart_create("interp", settings, out, err);
}

static int create_translate(const struct settings *settings, void **out, struct alc_err *err)
{
	struct settings all = {.count = 1, .all = {{"threshold", "0"}}};

	for (unsigned i = 0; i < settings->count && all.count < SETTINGS_MAX; i++)
		all.all[all.count++] = settings->all[i];
	return apart_create("translate", &all, out, err);
}

const struct runner guest_interp = {
	.name = "interp",
	.create = create_steps,
	.destroy = guest_destroy,
	.run = guest_run,
	.has = guest_has,
};

const struct runner guest_interp_run = {
	.name = "interp-run",
	.create = create_interp,
	.destroy = apart_destroy,
	.run = apart_run,
	.has = guest_has,
};

const struct runner guest_translate = {
	.name = "translate",
	.create = create_translate,
	.destroy = apart_destroy,
	.run = apart_run,
	.has = guest_has,
	.dead_on_fault = X86_ARITH,
};
