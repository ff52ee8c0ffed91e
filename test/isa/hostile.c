/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile programs (hostile.h) on an engine and on the interpreter: faults, results and all of RAM
 * must be the same, and the process's own memory as it was.
 *
 *	hostile [--engine NAME,KEY=VALUE…] [--compat] [--seed N] [--first N] [--cases N]
 *	        [--seconds N] [--runs N] [--kicks] [--nmis] [--keep-going] [--one-process]
 *	        [--refuse N] [--refuse-all N]
 *
 * Addresses are the process's own, and not random: a seed (ALCAZAR_SEED too) gives the same
 * programs again. What differs is reduced to the slots that matter.
 *
 * --refuse: one in N of what windows ask of the host is refused (refuse.h), and programs must not
 * notice. --refuse-all: even what a host has no reason to; where that leaves mapped what must not
 * be, the vCPU has to stop with an error, and does so in at least one program.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"
#include "refuse.h"

/* How a worker's life ends. */
enum { WORK_DIFFERS = 3, WORK_STOPPED };

enum { REPORTS_MAX = 5 };

/* What processes share. */
struct findings {
	u64 next; /* program */
	u64 ran, unfit, differ, faults, slots, stopped;
	struct hostile program, smaller;
	struct hostile_outcome out[2];
	char what[200]; /* differs; "": nothing */
};

struct attack {
	const char *engine;
	struct settings settings;
	u64 seed, first, cases, seconds;
	unsigned bits, runs, refuse;
	u32 disturb;
	bool keep_going, one_process;
	struct hostile_menu menu;
	struct findings *f;
	/* This process's own. */
	struct watch *watch;
	struct hostile_guest guest[2];
	struct place *places;
	unsigned nplaces;
};

/* ---- Guests -----------------------------------------------------------------------------------
 */

static void add_place(struct attack *a, u64 addr, const char *name)
{
	struct place *p = &a->places[a->nplaces++];

	p->addr = addr;
	snprintf(p->name, sizeof(p->name), "%s", name);
}

/* What is worth most: the vCPU with all that translated code finds by GS, and this very stack. */
static void find_places(struct attack *a)
{
	struct world *w = &a->guest[1].world;
	u64 v = (u64)(uintptr_t)w->v;

	a->nplaces = 0;
	add_place(a, v, "vCPU");
	add_place(a, v + sizeof(struct alc_vcpu), "engine's part of the vCPU");
	add_place(a, v + sizeof(struct alc_vcpu) + w->engine->vcpu_bytes, "end of the vCPU");
	add_place(a, (u64)(uintptr_t)w->ram, "guest RAM");
	add_place(a, (u64)(uintptr_t)w->ram + WORLD_RAM, "end of guest RAM");
	add_place(a, (u64)(uintptr_t)&v, "stack");
	add_place(a, (u64)(uintptr_t)&memcpy, "memcpy");
	a->nplaces += host_places(a->places + a->nplaces, HOSTILE_PLACES - a->nplaces);
}

static int open_guest(struct attack *a, unsigned i, struct alc_err *err)
{
	const struct alc_engine *e = world_engine(i ? a->engine : "interp");
	int ret = e ? hostile_guest_create(&a->guest[i], e, i ? &a->settings : NULL, err)
		    : alc_fail(err, -1, "there is no engine '%s'", a->engine);

	if (!ret && i && a->disturb)
		ret = world_disturb(&a->guest[i].world, a->disturb, err);
	return ret;
}

static void close_guests(struct attack *a)
{
	hostile_guest_destroy(&a->guest[0]);
	hostile_guest_destroy(&a->guest[1]);
	watch_destroy(a->watch);
	free(a->places);
	a->watch = NULL;
	a->places = NULL;
}

static bool open_guests(struct attack *a)
{
	struct alc_err err = {0};
	bool good;

	refuse_one_in = 0;
	memset(a->guest, 0, sizeof(a->guest));
	a->watch = watch_create();
	a->places = calloc(HOSTILE_PLACES, sizeof(*a->places));
	good = a->watch && a->places && watch_heap(a->watch) && !open_guest(a, 0, &err) &&
	       watch_heap(a->watch) && !open_guest(a, 1, &err) && watch_heap(a->watch);
	if (good) {
		/* Before the pages that surround them are mappings too. */
		find_places(a);
		good = watch_mappings(a->watch);
	}
	if (!good)
		fprintf(stderr, "can't make the guests: %s\n", err.text);
	refuse_one_in = a->refuse;
	return good;
}

/* ---- One program ------------------------------------------------------------------------------
 */

static bool stopped_by_host(const struct hostile_outcome *o)
{
	return refuse_all && o->cpu.end == CASE_LOST && strstr(o->cpu.why, "does not take back");
}

/* f->what; false: the program can't be compared. */
static bool compare(struct attack *a, const struct hostile *h)
{
	struct findings *f = a->f;
	const char *what = NULL;

	f->what[0] = '\0';
	hostile_guest_run(&a->guest[0], h, &f->out[0]);
	if (f->out[0].cpu.end != CASE_FAULT)
		return false;
	/* Again, with what the engine remembers of the first time. */
	for (unsigned i = 0; i < a->runs && !what; i++) {
		hostile_guest_run(&a->guest[1], h, &f->out[1]);
		if (stopped_by_host(&f->out[1]))
			return true;
		what = hostile_difference(&f->out[0], &f->out[1]);
		if (!what)
			what = watch_broken(a->watch);
	}
	if (what)
		snprintf(f->what, sizeof(f->what), "%s", what);
	return true;
}

/* By a process made for it, which it may kill; then f->what. */
static bool differs_apart(struct attack *a, const struct hostile *h)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	snprintf(a->f->what, sizeof(a->f->what), "the process died");
	pid = fork();
	if (pid == 0) {
		if (!open_guests(a))
			_exit(2);
		compare(a, h);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	return WIFSIGNALED(status) || (!WEXITSTATUS(status) && a->f->what[0]);
}

static void reduce(struct attack *a)
{
	struct findings *f = a->f;

	for (unsigned i = 0; i < f->program.slots; i++) {
		f->smaller = f->program;
		hostile_drop(&f->smaller, i);
		if (differs_apart(a, &f->smaller))
			f->program = f->smaller;
	}
}

static void report(struct attack *a, u64 number)
{
	struct findings *f = a->f;

	if (f->differ++ >= REPORTS_MAX)
		return;
	printf("\nprogram %llu of seed %llu differs: %s\n", (unsigned long long)number,
	       (unsigned long long)a->seed, f->what);
	if (differs_apart(a, &f->program)) {
		reduce(a);
		differs_apart(a, &f->program);
		printf("reduced; differs: %s\n", f->what);
	} else {
		printf("not in a fresh guest: it needs what was run before\n");
	}
	hostile_print(&f->program);
	if (strcmp(f->what, "the process died") != 0)
		hostile_print_difference(&f->program, &f->out[0], &f->out[1]);
	fflush(stdout);
}

/* ---- All of them ------------------------------------------------------------------------------
 */

static bool finished(const struct attack *a, time_t end)
{
	return (a->seconds ? time(NULL) >= end : a->f->next >= a->first + a->cases) ||
	       (a->f->differ >= REPORTS_MAX && !a->keep_going);
}

static void run_next(struct attack *a)
{
	struct findings *f = a->f;

	hostile_generate(&a->menu, rng_mix(rng_mix(a->seed) + f->next), a->bits, a->places,
			 a->nplaces, (u64)(uintptr_t)a->guest[1].world.ram, &f->program);
	snprintf(f->what, sizeof(f->what), "the process died");
	if (!compare(a, &f->program)) {
		f->unfit++;
		return;
	}
	f->ran++;
	f->slots += f->program.slots;
	f->faults += ld64(f->out[0].ram + HG_STATE + STATE_COUNT);
}

/* A worker's life, which ends with the first difference: its memory may be anything then. */
static int work(struct attack *a, time_t end)
{
	bool good = open_guests(a);

	for (; good && !finished(a, end); a->f->next++) {
		run_next(a);
		if (a->f->what[0])
			return WORK_DIFFERS;
		if (stopped_by_host(&a->f->out[1]))
			return WORK_STOPPED;
	}
	close_guests(a);
	return !good;
}

static int run_all(struct attack *a)
{
	time_t end = time(NULL) + (time_t)a->seconds;
	int status = 0;
	pid_t pid;

	if (a->one_process)
		return work(a, end);
	while (!finished(a, end)) {
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			_exit(work(a, end));
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		if (WIFEXITED(status) && WEXITSTATUS(status) == WORK_STOPPED) {
			a->f->stopped++;
			a->f->next++;
			continue;
		}
		if (WIFEXITED(status) && WEXITSTATUS(status) != WORK_DIFFERS)
			return WEXITSTATUS(status);
		report(a, a->f->next++);
	}
	return 0;
}

/* ---- The command ------------------------------------------------------------------------------
 */

static void parse_engine(struct attack *a, char *text)
{
	char *option = strchr(text, ',');

	a->engine = text;
	while (option) {
		char *next = strchr(option + 1, ',');

		*option++ = '\0';
		if (next)
			*next = '\0';
		if (!settings_add(&a->settings, option)) {
			fprintf(stderr, "'%s' is not KEY=VALUE\n", option);
			exit(2);
		}
		if (next)
			*next = ',';
		option = next;
	}
}

static void take_option(struct attack *a, int opt, char *value)
{
	const u64 number = value ? strtoull(value, NULL, 0) : 0;

	if (opt == 'e')
		parse_engine(a, value);
	else if (opt == 's')
		a->seed = number;
	else if (opt == 'f')
		a->first = number;
	else if (opt == 'n')
		a->cases = number;
	else if (opt == 't')
		a->seconds = number;
	else if (opt == 'r')
		a->runs = (unsigned)number;
	else if (opt == 'b')
		a->bits = 32;
	else if (opt == 'i')
		a->disturb |= X86_ATTN_WORK;
	else if (opt == 'm')
		a->disturb |= X86_ATTN_NMI;
	else if (opt == 'k')
		a->keep_going = true;
	else if (opt == '1')
		a->one_process = true;
	else if (opt == 'u' || opt == 'U')
		a->refuse = (unsigned)number, refuse_all = opt == 'U';
	else
		exit(2);
}

static void parse(struct attack *a, int argc, char **argv)
{
	static const struct option options[] = {
		{"engine", 1, NULL, 'e'},      {"seed", 1, NULL, 's'},
		{"first", 1, NULL, 'f'},       {"cases", 1, NULL, 'n'},
		{"seconds", 1, NULL, 't'},     {"runs", 1, NULL, 'r'},
		{"compat", 0, NULL, 'b'},      {"kicks", 0, NULL, 'i'},
		{"nmis", 0, NULL, 'm'},        {"keep-going", 0, NULL, 'k'},
		{"one-process", 0, NULL, '1'}, {"refuse", 1, NULL, 'u'},
		{"refuse-all", 1, NULL, 'U'},  {NULL, 0, NULL, 0},
	};
	const char *seed = getenv("ALCAZAR_SEED");
	int opt;

	if (seed)
		a->seed = strtoull(seed, NULL, 0);
	else if (getrandom(&a->seed, 4, 0) != 4)
		a->seed = 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		take_option(a, opt, optarg);
}

/* Where the process has its memory is part of a program: once more, without chance. */
static void fix_addresses(char **argv)
{
	int now = personality(0xffffffff);

	if (now == -1 || (now & ADDR_NO_RANDOMIZE) ||
	    personality((unsigned)now | ADDR_NO_RANDOMIZE) == -1)
		return;
	execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	static char engine[] = "translate,threshold=0";
	static struct attack a = {.bits = 64, .cases = 1000, .runs = 2};
	int ret;

	fix_addresses(argv);
	parse(&a, argc, argv);
	if (!a.engine)
		parse_engine(&a, engine);
	a.f = mmap(NULL, sizeof(*a.f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (a.f == MAP_FAILED || !hostile_menu_create(&a.menu, a.bits))
		return 1;
	a.f->next = a.first;
	printf("hostile programs on %s, seed %llu, %u forms\n", a.engine,
	       (unsigned long long)a.seed, a.menu.count);
	ret = run_all(&a);
	printf("%llu programs with %llu slots and %llu faults, %llu differ; %llu not compared\n",
	       (unsigned long long)a.f->ran, (unsigned long long)a.f->slots,
	       (unsigned long long)a.f->faults, (unsigned long long)a.f->differ,
	       (unsigned long long)a.f->unfit);
	if (refuse_all)
		printf("%llu of them stopped by the host\n", (unsigned long long)a.f->stopped);
	hostile_menu_destroy(&a.menu);
	return ret ? ret : a.f->differ || !a.f->ran || (refuse_all && !a.f->stopped);
}
