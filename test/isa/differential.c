/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs cases on the host CPU and on a runner, and compares. The seed is printed, and
 * ALCAZAR_SEED or --seed gives the same cases again; --first N --cases 1 gives the one numbered N.
 * --configure KEY=VALUE, which may be repeated, is an option of the runner's engine; --cpu what it
 * shows guests. --evex leaves out what has another encoding than AVX-512's.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cases.h"
#include "compare.h"
#include "generate.h"
#include "runner.h"
#include "silicon.h"
#include "world.h"

enum { EXIT_SKIP = 77, REPORTS_MAX = 20 };

struct run {
	struct silicon *silicon;
	const struct runner *runner;
	void *ctx;
	struct forms forms;
	u64 seed, first, cases;
	ZydisMnemonic only;
	bool keep_going, list, evex;
	struct settings settings;
	u64 ran, differ, incomparable;
	struct isa_case batch[SILICON_BATCH];
	u64 numbers[SILICON_BATCH];
	struct case_outcome host[SILICON_BATCH], other[SILICON_BATCH];
};

static const struct runner *chosen;

static bool has_feature(const char *feature)
{
	return silicon_has(feature) && (!chosen->has || chosen->has(feature));
}

static void report(struct run *r, unsigned i)
{
	const struct isa_case *c = &r->batch[i];

	if (r->differ++ >= REPORTS_MAX)
		return;
	if (c->name)
		printf("\n'%s' differs\n", c->name);
	else
		printf("\ncase %llu of seed %llu differs\n", (unsigned long long)r->numbers[i],
		       (unsigned long long)r->seed);
	compare_report(c, &r->host[i], &r->other[i], r->runner->name, r->runner->dead_on_fault);
}

/* Leaves out what never ends on the host CPU, on which others would only lose time. */
static unsigned drop_endless(struct run *r, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (r->host[i].end == CASE_TIMEOUT) {
			r->incomparable++;
			continue;
		}
		if (kept != i) {
			r->batch[kept] = r->batch[i];
			r->numbers[kept] = r->numbers[i];
			r->host[kept] = r->host[i];
		}
		kept++;
	}
	return kept;
}

static int run_batch(struct run *r, unsigned n)
{
	struct alc_err err = {0};
	int ret = silicon_run(r->silicon, r->batch, r->host, n, &err);

	r->ran += n;
	n = drop_endless(r, n);
	if (ret || r->runner->run(r->ctx, r->batch, r->other, n, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	for (unsigned i = 0; i < n; i++) {
		switch (compare_outcomes(&r->batch[i], &r->host[i], &r->other[i],
					 r->runner->dead_on_fault)) {
		case CASE_DIFFERS:
			report(r, i);
			break;
		case CASE_INCOMPARABLE:
			r->incomparable++;
			break;
		case CASE_SAME:
			break;
		}
	}
	return 0;
}

static int run_written(struct run *r)
{
	for (unsigned i = 0; i < ncases; i++) {
		const char *needs = case_needs(i);

		if (needs && !has_feature(needs))
			continue;
		case_at(i, &r->batch[0]);
		if (run_batch(r, 1))
			return -1;
	}
	return 0;
}

static int run_random(struct run *r)
{
	for (u64 done = 0; done < r->cases && (r->keep_going || r->differ < REPORTS_MAX);) {
		unsigned n = (unsigned)min_u64(SILICON_BATCH, r->cases - done);

		for (unsigned i = 0; i < n; i++) {
			r->numbers[i] = r->first + done + i;
			generate_case(&r->forms, r->seed, r->numbers[i], r->only, &r->batch[i]);
		}
		if (run_batch(r, n))
			return -1;
		done += n;
	}
	return 0;
}

/* One line a mnemonic: its forms, how many of them ran and how often, or why it is left out. */
static void list_coverage(const struct run *r)
{
	u32 covered = 0, taking_part = 0;

	for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
		u32 forms = 0, ran = 0, cases = 0;
		const char *why = NULL;

		for (u32 i = 0; i < r->forms.count; i++) {
			const struct form *f = &r->forms.all[i];

			if (f->mnemonic != m)
				continue;
			if (f->excluded) {
				why = f->excluded;
				continue;
			}
			forms++;
			ran += f->cases > 0;
			cases += f->cases;
		}
		if (forms)
			printf("%-20s %3u of %3u forms, %u cases\n",
			       ZydisMnemonicGetString((ZydisMnemonic)m), ran, forms, cases);
		else if (why)
			printf("%-20s left out: %s\n", ZydisMnemonicGetString((ZydisMnemonic)m),
			       why);
		covered += ran;
		taking_part += forms;
	}
	printf("%u of %u forms covered\n", covered, taking_part);
}

static ZydisMnemonic mnemonic_named(const char *name)
{
	for (unsigned m = 1; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
		if (!strcasecmp(ZydisMnemonicGetString((ZydisMnemonic)m), name))
			return (ZydisMnemonic)m;
	fprintf(stderr, "no instruction is called '%s'\n", name);
	exit(2);
}

static void choose_runner(const char *name)
{
	for (const struct runner *const *p = runners; *p; p++) {
		if (!strcmp((*p)->name, name)) {
			chosen = *p;
			return;
		}
	}
	fprintf(stderr, "no runner is called '%s'\n", name);
	exit(2);
}

static void parse(struct run *r, int argc, char **argv)
{
	static const struct option options[] = {
		{"cases", 1, NULL, 'n'},      {"seed", 1, NULL, 's'},      {"only", 1, NULL, 'o'},
		{"keep-going", 0, NULL, 'k'}, {"first", 1, NULL, 'f'},     {"runner", 1, NULL, 'r'},
		{"list", 0, NULL, 'l'},       {"configure", 1, NULL, 'c'}, {"cpu", 1, NULL, 'p'},
		{"evex", 0, NULL, 'e'},       {NULL, 0, NULL, 0},
	};
	const char *seed = getenv("ALCAZAR_SEED");
	int opt;

	if (seed)
		r->seed = strtoull(seed, NULL, 0);
	else if (getrandom(&r->seed, 4, 0) != 4)
		r->seed = 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'n':
			r->cases = strtoull(optarg, NULL, 0);
			break;
		case 's':
			r->seed = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			r->first = strtoull(optarg, NULL, 0);
			break;
		case 'o':
			r->only = mnemonic_named(optarg);
			break;
		case 'r':
			choose_runner(optarg);
			break;
		case 'k':
			r->keep_going = true;
			break;
		case 'c':
			if (!settings_add(&r->settings, optarg)) {
				fprintf(stderr, "'%s' is not KEY=VALUE\n", optarg);
				exit(2);
			}
			break;
		case 'l':
			r->list = true;
			break;
		case 'p':
			world_cpu = optarg;
			break;
		case 'e':
			r->evex = true;
			break;
		default:
			exit(2);
		}
	}
}

static int run_all(struct run *r)
{
	if (r->only == ZYDIS_MNEMONIC_INVALID && !r->first && run_written(r))
		return 1;
	if (run_random(r))
		return 1;
	if (r->list)
		list_coverage(r);
	printf("%llu cases, %llu differ, %llu can't be compared\n", (unsigned long long)r->ran,
	       (unsigned long long)r->differ, (unsigned long long)r->incomparable);
	return r->differ > 0;
}

static bool is_evex(const struct form *t)
{
	return t->evex;
}

int main(int argc, char **argv)
{
	static struct run r = {.cases = 20000};
	struct alc_err err = {0};
	int ret;

	chosen = runners[0];
	parse(&r, argc, argv);
	r.runner = chosen;
	printf("host CPU against %s, seed %llu\n", r.runner->name, (unsigned long long)r.seed);
	if (silicon_create(has_feature("avx512f"), &r.silicon, &err)) {
		printf("skipped: %s\n", err.text);
		return EXIT_SKIP;
	}
	if (forms_create(&r.forms, 64, has_feature) ||
	    r.runner->create(&r.settings, &r.ctx, &err)) {
		fprintf(stderr, "%s\n", err.text[0] ? err.text : "out of memory");
		ret = 1;
	} else {
		if (r.evex)
			forms_keep(&r.forms, is_evex);
		ret = r.forms.ntaking_part ? run_all(&r) : EXIT_SKIP;
	}
	r.runner->destroy(r.ctx);
	forms_destroy(&r.forms);
	silicon_destroy(r.silicon);
	return ret;
}
