/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kicks [--engine NAME[,KEY=VALUE...]] [--rounds N]
 *
 * Does an engine that is kicked return, whatever it runs? Loops without an end, in user mode and
 * the supervisor's, are kicked by another thread, once a round, at some time or other; a kick that
 * is lost is never made up for. TAP on standard output.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa/msr.h"
#include "rng.h"
#include "world.h"

/* kicks_code.S */
struct kicks_shape {
	u64 off;
	char name[24];
};

extern const u8 kicks_code[], kicks_code_end[], kicks_syscall[];
extern const struct kicks_shape kicks_shapes[], kicks_shapes_end[];

/* Guest-physical. */
enum {
	AT_TOP = 0x1000,    /* the tables' first level; the others follow, for each half */
	AT_TABLES = 0x2000, /* three pages a half */
	AT_GDT = 0x8000,
	AT_STACK = 0xb000, /* its upper end */
	AT_CODE = 0x10000,
	AT_DATA = 0x20000,
	AT_END = 0x60000,
};

#define BASE_USER   0x40000000ull
#define BASE_KERNEL 0xffffffff80000000ull

enum { P = 1, W = 2, U = 4 };

static void put(struct world *w, u32 at, u64 value)
{
	memcpy(w->ram + at, &value, sizeof(value));
}

/* All of RAM at an address of which the second-level entry is for that and nothing else. */
static void map_all(struct world *w, u64 base, u32 tables, unsigned rights)
{
	put(w, AT_TOP + (base >> 39 & 511) * 8, tables | P | W | U);
	put(w, tables + (base >> 30 & 511) * 8, (tables + 0x1000) | P | W | U);
	put(w, tables + 0x1000 + (base >> 21 & 511) * 8, (tables + 0x2000) | P | W | U);
	for (u32 at = 0; at < WORLD_RAM; at += ALC_PAGE_SIZE)
		put(w, tables + 0x2000 + at / ALC_PAGE_SIZE * 8, at | P | W | rights);
}

static void install(struct world *w)
{
	memset(w->ram, 0, WORLD_RAM);
	map_all(w, BASE_USER, AT_TABLES, U);
	map_all(w, BASE_KERNEL, AT_TABLES + 0x3000, 0);
	put(w, AT_GDT + (CASE_CS0 & ~7), 0x00af9b000000ffff);
	put(w, AT_GDT + (CASE_SS0 & ~7), 0x00cf93000000ffff);
	put(w, AT_GDT + (CASE_CS & ~7), 0x00affb000000ffff);
	put(w, AT_GDT + (CASE_SS & ~7), 0x00cff3000000ffff);
	memcpy(w->ram + AT_CODE, kicks_code, (size_t)(kicks_code_end - kicks_code));
}

static void start(struct world *w, const struct kicks_shape *s, unsigned cpl)
{
	u64 base = cpl ? BASE_USER : BASE_KERNEL;
	struct alc_vcpu *v = w->v;

	put(w, AT_DATA, cpl ? CASE_SS : CASE_SS0);
	put(w, AT_DATA + 8, cpl ? CASE_CS : CASE_CS0);
	world_enter_mode(v, AT_TOP, cpl);
	memset(v->gpr, 0, sizeof(v->gpr));
	v->gdtr = (struct x86_dtr){.base = BASE_KERNEL + AT_GDT, .limit = 0x3f};
	v->msr.star = (u64)CASE_CS0 << 32 | (u64)(CASE_CS32 | 3) << 48;
	v->msr.lstar = BASE_KERNEL + AT_CODE + (u64)(kicks_syscall - kicks_code);
	v->msr.sfmask = 0;
	v->gpr[X86_RBX] = base + AT_DATA;
	v->gpr[X86_RSP] = base + AT_STACK;
	v->rflags = X86_R1;
	v->rip = base + AT_CODE + s->off;
	w->engine->set_state(v);
}

/* ---- The other thread ---- */

struct kicker {
	pthread_t thread;
	struct world *world;
	_Atomic(unsigned) wanted; /* rounds begun, and those that it has kicked in */
	_Atomic(bool) quit;
};

static void *kick(void *arg)
{
	struct kicker *k = arg;
	struct rng r = {1};

	for (unsigned done = 0; !atomic_load(&k->quit);) {
		if (atomic_load(&k->wanted) == done) {
			sched_yield();
			continue;
		}
		for (u64 wait = rng_below(&r, rng_percent(&r, 50) ? 100 : 20000); wait; wait--)
			__builtin_ia32_pause();
		done++;
		x86_attend(k->world->v, X86_ATTN_STOP);
		if (k->world->engine->kick)
			k->world->engine->kick(k->world->v);
	}
	return NULL;
}

/* ---- Rounds ---- */

static bool is_inside(const struct world *w)
{
	u64 rip = w->v->rip, size = (u64)(kicks_code_end - kicks_code);

	return rip - BASE_USER - AT_CODE < size || rip - BASE_KERNEL - AT_CODE < size;
}

static bool round_of(struct world *w, struct kicker *k)
{
	struct alc_err err = {0};
	enum alc_exit exit;

	atomic_fetch_and(&w->v->attention, ~(u32)X86_ATTN_STOP);
	atomic_fetch_add(&k->wanted, 1);
	do
		exit = w->engine->run(w->v, &err);
	while (exit == ALC_EXIT_ATTENTION && !(atomic_load(&w->v->attention) & X86_ATTN_STOP));
	if (exit == ALC_EXIT_ATTENTION && is_inside(w))
		return true;
	printf("# exit %d at %llx %s\n", exit, (unsigned long long)w->v->rip, err.text);
	return false;
}

static bool try(struct world *w, struct kicker *k, const struct kicks_shape *s, unsigned cpl,
		unsigned rounds)
{
	bool good = true;

	start(w, s, cpl);
	for (unsigned n = 0; n < rounds && good; n++)
		good = round_of(w, k);
	return good;
}

static int run_all(struct world *w, unsigned rounds)
{
	unsigned shapes = (unsigned)(kicks_shapes_end - kicks_shapes), failed = 0;
	struct kicker k = {.world = w};

	if (pthread_create(&k.thread, NULL, kick, &k))
		return 1;
	printf("1..%u\n", 2 * shapes);
	for (unsigned n = 0; n < 2 * shapes; n++) {
		const struct kicks_shape *s = &kicks_shapes[n / 2];
		unsigned cpl = n % 2 ? 3 : 0;
		bool good;

		if (!strcmp(s->name, "syscalls") && !cpl) {
			printf("ok %u - %s # SKIP they come back to user mode\n", n + 1, s->name);
			continue;
		}
		good = try(w, &k, s, cpl, rounds);
		failed += !good;
		printf("%s %u - %s at CPL %u\n", good ? "ok" : "not ok", n + 1, s->name, cpl);
		fflush(stdout);
	}
	atomic_store(&k.quit, true);
	pthread_join(k.thread, NULL);
	return failed != 0;
}

static void note_counter(void *ctx, const char *name, u64 value)
{
	if (!strncmp(name, "kick", 4))
		printf("# %s: %llu\n", name, (unsigned long long)value);
}

static int usage(void)
{
	fputs("usage: kicks [--engine NAME[,KEY=VALUE...]] [--rounds N]\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	const struct alc_engine *engine = world_engine("translate");
	struct settings settings = {0};
	struct alc_err err = {0};
	unsigned rounds = 25;
	struct world w;
	int rc;

	for (int n = 1; n < argc; n += 2) {
		if (n + 1 == argc)
			return usage();
		if (!strcmp(argv[n], "--rounds")) {
			rounds = (unsigned)strtoul(argv[n + 1], NULL, 10);
			continue;
		}
		if (strcmp(argv[n], "--engine") != 0)
			return usage();
		engine = world_engine(strtok(argv[n + 1], ","));
		for (char *one; engine && (one = strtok(NULL, ","));)
			if (!settings_add(&settings, one))
				return usage();
	}
	if (!engine || !rounds)
		return usage();
	if (world_create(&w, engine, &settings, &err)) {
		printf("Bail out! %s\n", err.text);
		return 1;
	}
	install(&w);
	rc = run_all(&w, rounds);
	if (engine->stats)
		engine->stats(w.v, note_counter, NULL);
	world_destroy(&w);
	return rc;
}
