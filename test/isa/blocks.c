/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs random programs on two engines from the same state, and compares all that a guest can see
 * at the end. A program that differs is reduced to the fewest instructions that still do, and
 * printed. The seed is printed, and ALCAZAR_SEED or --seed gives the same programs again; --first N
 * --cases 1 gives the one numbered N. --configure KEY=VALUE, which may be repeated, is an option of
 * the second engine. --seconds N goes on for so long. --kicks and --nmis disturb the second engine
 * from another thread, which must not show. --slices N stops both after every 1 to N instructions:
 * they must count alike, and be in the same state then. --compat makes programs of 32 bits.
 * --moving runs each at several addresses. --cpu is what both have. --one-process is for the
 * debugger.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "block_work.h"
#include "kernel_map.h"

enum { REPORTS_MAX = 10 };

static void count_unfit(struct work *w, const char *why)
{
	for (unsigned i = 0; i < WHY_MAX; i++) {
		if (w->f->unfit[i].why && w->f->unfit[i].why != why)
			continue;
		w->f->unfit[i].why = why;
		w->f->unfit[i].count++;
		return;
	}
}

static void report(struct work *w, u64 number, const char *what)
{
	if (w->f->differ++ >= REPORTS_MAX)
		return;
	printf("\nprogram %llu of seed %llu ", (unsigned long long)number,
	       (unsigned long long)w->seed);
	work_report(w, what);
}

static void run_at(struct work *w, u64 number, u64 base)
{
	const char *what;

	block_generate(w->menu, rng_mix(rng_mix(w->seed) + number), w->bits, base, &w->f->block);
	if (!block_link(&w->f->block)) {
		w->f->unlinked++;
		return;
	}
	what = work_compare(w, &w->f->block);
	if (!w->f->trial.fit) {
		count_unfit(w, w->f->trial.why);
		return;
	}
	w->f->ran++;
	w->f->steps += w->f->trial.steps;
	w->f->ends[w->f->trial.vector]++;
	if (what)
		report(w, number, what);
}

/* The same page of code, as shared libraries are: here, there and here again. */
static void run_one(struct work *w, u64 number)
{
	static const u64 places[] = {WINDOW_FAR_1, WINDOW_FAR_2, WINDOW_FAR_3, WINDOW_FAR_2};

	if (!w->moving) {
		run_at(w, number, 0);
		return;
	}
	for (unsigned i = 0; i < ARRAY_LEN(places); i++)
		run_at(w, number, places[i]);
}

static bool finished(const struct work *w, time_t end)
{
	return (w->seconds ? time(NULL) >= end : w->f->next >= w->first + w->cases) ||
	       (w->f->differ >= REPORTS_MAX && !w->keep_going) ||
	       (w->expect && w->f->shortest <= w->expect);
}

/* 0, or what the process is to exit with. */
static int run_until(struct work *w, time_t end)
{
	struct alc_err err = {0};
	int ret = work_open(w, &err);

	if (ret)
		fprintf(stderr, "%s\n", err.text);
	for (; !ret && !finished(w, end); w->f->next++)
		run_one(w, w->f->next);
	work_close(w);
	fflush(stdout);
	return ret != 0;
}

/* Workers, each until it dies of a program. */
static int run_all(struct work *w)
{
	time_t end = time(NULL) + (time_t)w->seconds;
	int status = 0;
	pid_t pid;

	if (w->one_process)
		return run_until(w, end);
	while (!finished(w, end)) {
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			_exit(run_until(w, end));
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
		snprintf(w->f->out[1].cpu.why, sizeof(w->f->out[1].cpu.why), "the process died: %s",
			 strsignal(WTERMSIG(status)));
		w->f->out[1].cpu.end = CASE_LOST;
		report(w, w->f->next++, "the process died");
	}
	return 0;
}

static void summarize(const struct work *w)
{
	printf("%llu programs, %llu instructions, %llu differ\nended by vector",
	       (unsigned long long)w->f->ran, (unsigned long long)w->f->steps,
	       (unsigned long long)w->f->differ);
	for (unsigned i = 0; i < 256; i++)
		if (w->f->ends[i])
			printf(" %u: %llu", i, (unsigned long long)w->f->ends[i]);
	printf("\nnot compared: %llu out of reach", (unsigned long long)w->f->unlinked);
	for (unsigned i = 0; i < WHY_MAX && w->f->unfit[i].why; i++)
		printf("; %llu %s", (unsigned long long)w->f->unfit[i].count, w->f->unfit[i].why);
	printf("\n");
}

static void parse_engines(struct work *w, char *text)
{
	char *comma = strchr(text, ',');

	if (!comma) {
		fprintf(stderr, "--engines takes two names, A,B\n");
		exit(2);
	}
	*comma = '\0';
	w->names[0] = text;
	w->names[1] = comma + 1;
}

static void take_option(struct work *w, int opt, char *value)
{
	const u64 number = value ? strtoull(value, NULL, 0) : 0;

	if (opt == 'n')
		w->cases = number;
	else if (opt == 's')
		w->seed = number;
	else if (opt == 'f')
		w->first = number;
	else if (opt == 't')
		w->seconds = number;
	else if (opt == 'x')
		w->expect = (unsigned)number;
	else if (opt == 'r')
		w->runs = (unsigned)number;
	else if (opt == 'u')
		w->slice = (unsigned)number;
	else if (opt == 'e')
		parse_engines(w, value);
	else if (opt == 'k')
		w->keep_going = true;
	else if (opt == 'v')
		w->verbose = true;
	else if (opt == 'z')
		w->fresh = true;
	else if (opt == 'o')
		w->moving = true;
	else if (opt == 'b')
		w->bits = 32;
	else if (opt == 'p')
		world_cpu = value;
	else if (opt == '1')
		w->one_process = true;
	else if (opt == 'i')
		w->disturb |= X86_ATTN_WORK;
	else if (opt == 'm')
		w->disturb |= X86_ATTN_NMI;
	else if (opt != 'c' || !settings_add(&w->settings[1], value))
		exit(2);
}

static void parse(struct work *w, int argc, char **argv)
{
	static const struct option options[] = {
		{"cases", 1, NULL, 'n'},   {"seed", 1, NULL, 's'},        {"first", 1, NULL, 'f'},
		{"engines", 1, NULL, 'e'}, {"configure", 1, NULL, 'c'},   {"seconds", 1, NULL, 't'},
		{"expect", 1, NULL, 'x'},  {"keep-going", 0, NULL, 'k'},  {"verbose", 0, NULL, 'v'},
		{"runs", 1, NULL, 'r'},    {"kicks", 0, NULL, 'i'},       {"nmis", 0, NULL, 'm'},
		{"fresh", 0, NULL, 'z'},   {"one-process", 0, NULL, '1'}, {"slices", 1, NULL, 'u'},
		{"compat", 0, NULL, 'b'},  {"cpu", 1, NULL, 'p'},         {"moving", 0, NULL, 'o'},
		{NULL, 0, NULL, 0},
	};
	const char *seed = getenv("ALCAZAR_SEED");
	int opt;

	if (seed)
		w->seed = strtoull(seed, NULL, 0);
	else if (getrandom(&w->seed, 4, 0) != 4)
		w->seed = 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		take_option(w, opt, optarg);
	if (w->moving && w->bits == 32) {
		fprintf(stderr, "--moving is beyond where programs of 32 bits can be\n");
		exit(2);
	}
	/* Where instructions are counted all state is exact, flags in frames too. */
	if (!strcmp(w->names[1], "translate") && !w->slice)
		w->dead_on_fault = X86_ARITH;
	w->f->next = w->first;
}

/* 0, or 1: what was looked for was not found, or the other way round. */
static int verdict(const struct work *w)
{
	if (w->expect && w->f->shortest > w->expect) {
		printf("a difference of at most %u instructions was to be found\n", w->expect);
		return 1;
	}
	if (!w->f->ran) {
		printf("no program was fit to be compared\n");
		return 1;
	}
	return !w->expect && w->f->differ;
}

int main(int argc, char **argv)
{
	static struct work w = {
		.names = {"interp", "interp"}, .bits = 64, .cases = 2000, .runs = 2};
	int ret;

	w.f = mmap(NULL, sizeof(*w.f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w.f == MAP_FAILED)
		return 1;
	w.f->shortest = ~0u;
	parse(&w, argc, argv);
	printf("%s against %s, seed %llu\n", w.names[0], w.names[1], (unsigned long long)w.seed);
	w.menu = block_menu_create(w.bits);
	ret = w.menu ? run_all(&w) : 1;
	if (!ret) {
		summarize(&w);
		ret = verdict(&w);
	}
	block_menu_destroy(w.menu);
	munmap(w.f, sizeof(*w.f));
	return ret;
}
