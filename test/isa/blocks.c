/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs random programs on two engines from the same state, and compares all that a guest can see
 * at the end. A program that differs is reduced to the fewest instructions that still do, and
 * printed. The seed is printed, and ALCAZAR_SEED or --seed gives the same programs again; --first N
 * --cases 1 gives the one numbered N. --configure KEY=VALUE, which may be repeated, is an option of
 * the second engine. --seconds N goes on for so long. --kicks and --nmis disturb the second engine
 * from another thread, which must not show.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "block_run.h"
#include "planted.h"

enum { EXIT_SKIP = 77, REPORTS_MAX = 10, WHY_MAX = 8 };

/* Why programs were not compared. */
struct reason {
	const char *why;
	u64 count;
};

struct run {
	const char *names[2];
	struct settings settings[2];
	struct block_guest guest[2], stepper;
	struct block_menu *menu;
	u64 seed, first, cases, seconds, only;
	unsigned expect;   /* reduced to at most this many: the test of the test */
	unsigned shortest; /* of what was found */
	unsigned runs;     /* of each program on the second engine, one after the other */
	unsigned at_run;   /* the one that showed the difference, from 1 */
	bool fresh;        /* a new guest for each program */
	u32 disturb;       /* enum x86_attention that the second engine gets all the time */
	bool keep_going, verbose;
	u32 dead_on_fault;
	u64 ran, differ, unlinked, steps;
	u64 ends[256];
	struct reason unfit[WHY_MAX];
	struct block block, smaller;
	struct block_outcome out[2];
	struct block_trial trial;
};

static void count_unfit(struct run *r, const char *why)
{
	for (unsigned i = 0; i < WHY_MAX; i++) {
		if (r->unfit[i].why && r->unfit[i].why != why)
			continue;
		r->unfit[i].why = why;
		r->unfit[i].count++;
		return;
	}
}

static const struct alc_engine *find(const char *name)
{
	return strcmp(name, planted_engine.name) ? world_engine(name) : &planted_engine;
}

static int open_guest(struct run *r, unsigned i, struct alc_err *err)
{
	const struct alc_engine *e = find(r->names[i]);

	int ret = e ? block_guest_create(&r->guest[i], e, &r->settings[i], err)
		    : alc_fail(err, -ENOENT, "no engine '%s'", r->names[i]);

	if (!ret && i == 1 && r->disturb)
		ret = world_disturb(&r->guest[i].world, r->disturb, err);
	return ret;
}

/* An engine that can't be made again is the end: nothing could be compared any more. */
static void refresh(struct run *r)
{
	struct alc_err err = {0};

	block_guest_destroy(&r->guest[1]);
	if (open_guest(r, 1, &err)) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
}

/* NULL: the engines agree, or the program can't be compared (trial.fit). */
static const char *compare(struct run *r, struct block *b)
{
	const char *what = NULL;

	block_try(&r->stepper, b, &r->trial);
	if (!r->trial.fit)
		return NULL;
	block_guest_run(&r->guest[0], b, &r->out[0]);
	if (r->fresh)
		refresh(r);
	/* More than once, with what the engine remembers of the first time. */
	for (r->at_run = 0; r->at_run < r->runs && !what; r->at_run++) {
		block_guest_run(&r->guest[1], b, &r->out[1]);
		what = block_difference(&r->out[0], &r->out[1], r->trial.undefined,
					r->dead_on_fault);
	}
	return what;
}

/* What the reducer does to an item: NOPs keep all addresses as they are. */
static void take_away(struct block_item *it, bool keep_place)
{
	if (keep_place)
		it->nop = true;
	else
		it->len = 0;
}

static bool try_without(struct run *r, unsigned from, unsigned count, bool keep_place)
{
	struct block *b = &r->block, *s = &r->smaller;

	*s = *b;
	for (unsigned i = from; i < from + count && i + 1u < s->count; i++)
		if (s->item[i].len)
			take_away(&s->item[i], keep_place);
	if (block_length(s) == block_length(b) || !block_link(s) || !compare(r, s))
		return false;
	*b = *s;
	return true;
}

/* Takes items away, in ever smaller pieces, as long as there is a difference. */
static void reduce(struct run *r)
{
	for (unsigned piece = r->block.count / 2u; piece; piece /= 2)
		for (unsigned at = 0; at < r->block.count; at += piece)
			if (!try_without(r, at, piece, false))
				try_without(r, at, piece, true);
}

/* Nothing special in registers that don't matter. */
static void reduce_state(struct run *r)
{
	struct case_state plain = {.mxcsr = 0x1f80, .fcw = 0x37f, .rflags = X86_R1 | X86_IF};
	struct block *b = &r->block, *s = &r->smaller;

	for (unsigned i = 0; i < X86_GPRS + 2; i++) {
		*s = *b;
		if (i < X86_GPRS) {
			s->in.gpr[i] = 0;
		} else if (i == X86_GPRS) {
			memset(s->in.vec, 0, sizeof(s->in.vec));
			memset(s->in.st, 0, sizeof(s->in.st));
			s->in.fcw = plain.fcw;
			s->in.fsw = 0;
			s->in.ftw = 0;
			s->in.mxcsr = plain.mxcsr;
		} else {
			s->in.rflags = plain.rflags;
		}
		if (block_link(s) && compare(r, s))
			*b = *s;
	}
}

static void report(struct run *r, u64 number, const char *what)
{
	unsigned length = block_length(&r->block), rounds = 4;
	bool was_fresh = r->fresh;

	if (r->differ++ >= REPORTS_MAX)
		return;
	printf("\nprogram %llu of seed %llu differs: %s (run %u)\n", (unsigned long long)number,
	       (unsigned long long)r->seed, what, r->at_run);
	if (r->verbose)
		block_print(&r->block);
	block_print_difference(&r->out[0], &r->out[1], r->trial.undefined, r->dead_on_fault,
			       r->names);
	/* One that needs what was run before it is reduced among the leftovers of all the others.
	 */
	r->fresh = true;
	if (!compare(r, &r->block)) {
		printf("not in a fresh guest: it needs what was run before\n");
		r->fresh = was_fresh;
	}
	while (rounds--)
		reduce(r);
	reduce_state(r);
	block_link(&r->block);
	what = compare(r, &r->block);
	r->fresh = was_fresh;
	printf("reduced from %u instructions; differs: %s (run %u)\n", length,
	       what ? what : "not any more", r->at_run);
	block_print(&r->block);
	block_print_difference(&r->out[0], &r->out[1], r->trial.undefined, r->dead_on_fault,
			       r->names);
	length = block_length(&r->block);
	if (length < r->shortest)
		r->shortest = length;
	fflush(stdout);
}

static void run_one(struct run *r, u64 number)
{
	const char *what;

	block_generate(r->menu, rng_mix(r->seed) ^ rng_mix(number + 1), &r->block);
	if (!block_link(&r->block)) {
		r->unlinked++;
		return;
	}
	what = compare(r, &r->block);
	if (!r->trial.fit) {
		count_unfit(r, r->trial.why);
		return;
	}
	r->ran++;
	r->steps += r->trial.steps;
	r->ends[r->trial.vector]++;
	if (what)
		report(r, number, what);
}

static void run_all(struct run *r)
{
	time_t end = time(NULL) + (time_t)r->seconds;

	for (u64 i = 0; i < r->cases || r->seconds; i++) {
		if (r->seconds && time(NULL) >= end)
			break;
		if (r->differ >= REPORTS_MAX && !r->keep_going)
			break;
		if (r->expect && r->differ)
			break;
		run_one(r, r->first + i);
	}
}

static void summarize(const struct run *r)
{
	printf("%llu programs, %llu instructions, %llu differ\nended by vector",
	       (unsigned long long)r->ran, (unsigned long long)r->steps,
	       (unsigned long long)r->differ);
	for (unsigned i = 0; i < 256; i++)
		if (r->ends[i])
			printf(" %u: %llu", i, (unsigned long long)r->ends[i]);
	printf("\nnot compared: %llu out of reach", (unsigned long long)r->unlinked);
	for (unsigned i = 0; i < WHY_MAX && r->unfit[i].why; i++)
		printf("; %llu %s", (unsigned long long)r->unfit[i].count, r->unfit[i].why);
	printf("\n");
}

static void parse_engines(struct run *r, char *text)
{
	char *comma = strchr(text, ',');

	if (!comma) {
		fprintf(stderr, "--engines takes two names, A,B\n");
		exit(2);
	}
	*comma = '\0';
	r->names[0] = text;
	r->names[1] = comma + 1;
}

static void parse(struct run *r, int argc, char **argv)
{
	static const struct option options[] = {
		{"cases", 1, NULL, 'n'},   {"seed", 1, NULL, 's'},       {"first", 1, NULL, 'f'},
		{"engines", 1, NULL, 'e'}, {"configure", 1, NULL, 'c'},  {"seconds", 1, NULL, 't'},
		{"expect", 1, NULL, 'x'},  {"keep-going", 0, NULL, 'k'}, {"verbose", 0, NULL, 'v'},
		{"runs", 1, NULL, 'r'},    {"kicks", 0, NULL, 'i'},      {"nmis", 0, NULL, 'm'},
		{"fresh", 0, NULL, 'z'},   {NULL, 0, NULL, 0},
	};
	const char *seed = getenv("ALCAZAR_SEED");
	int opt;

	if (seed)
		r->seed = strtoull(seed, NULL, 0);
	else if (getrandom(&r->seed, 4, 0) != 4)
		r->seed = 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'n')
			r->cases = strtoull(optarg, NULL, 0);
		else if (opt == 's')
			r->seed = strtoull(optarg, NULL, 0);
		else if (opt == 'f')
			r->first = strtoull(optarg, NULL, 0);
		else if (opt == 't')
			r->seconds = strtoull(optarg, NULL, 0);
		else if (opt == 'x')
			r->expect = (unsigned)strtoul(optarg, NULL, 0);
		else if (opt == 'e')
			parse_engines(r, optarg);
		else if (opt == 'k')
			r->keep_going = true;
		else if (opt == 'r')
			r->runs = (unsigned)strtoul(optarg, NULL, 0);
		else if (opt == 'i')
			r->disturb |= X86_ATTN_WORK;
		else if (opt == 'm')
			r->disturb |= X86_ATTN_NMI;
		else if (opt == 'z')
			r->fresh = true;
		else if (opt == 'v')
			r->verbose = true;
		else if (opt != 'c' || !settings_add(&r->settings[1], optarg))
			exit(2);
	}
}

static int open_guests(struct run *r, struct alc_err *err)
{
	int ret = open_guest(r, 0, err);

	if (!ret)
		ret = open_guest(r, 1, err);
	return ret ? ret : block_guest_create(&r->stepper, &interp_engine, NULL, err);
}

/* 0, or 1: what was looked for was not found, or the other way round. */
static int verdict(const struct run *r)
{
	if (r->expect && (!r->differ || r->shortest > r->expect)) {
		printf("a difference of at most %u instructions was to be found\n", r->expect);
		return 1;
	}
	if (!r->ran) {
		printf("no program was fit to be compared\n");
		return 1;
	}
	return !r->expect && r->differ;
}

int main(int argc, char **argv)
{
	static struct run r = {
		.names = {"interp", "interp"}, .cases = 2000, .runs = 2, .shortest = ~0u};
	struct alc_err err = {0};
	int ret = 1;

	parse(&r, argc, argv);
	if (!strcmp(r.names[1], "translate"))
		r.dead_on_fault = X86_ARITH;
	printf("%s against %s, seed %llu\n", r.names[0], r.names[1], (unsigned long long)r.seed);
	r.menu = block_menu_create();
	if (!r.menu || open_guests(&r, &err)) {
		fprintf(stderr, "%s\n", err.text[0] ? err.text : "out of memory");
	} else {
		run_all(&r);
		summarize(&r);
		ret = verdict(&r);
	}
	block_guest_destroy(&r.guest[0]);
	block_guest_destroy(&r.guest[1]);
	block_guest_destroy(&r.stepper);
	block_menu_destroy(r.menu);
	return ret;
}
