/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast disk schedulers decide: algorithm T by the number of requests, and each scheduler with a
 * drive, 64 requests outstanding at random places. Seconds of this process's own CPU time; medians
 * of five rounds, with the least and the greatest.
 *
 *	build/bench/schedulers [--json FILE] [--quick]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alcazar/vm.h"
#include "block/sched/table.h"
#include "block/station.h"

enum {
	ROUNDS = 5,
	OUTSTANDING = 64,
	SECTORS = 143374744,
	REQUESTS = 300000,
	DECISIONS = 20000,
	SIDE = 128,
	SAMPLES_MAX = 64,
	NAME_SIZE = 64,
};

struct sample {
	char name[NAME_SIZE];
	const char *unit;
	double rounds[ROUNDS];
};

struct report {
	struct sample samples[SAMPLES_MAX];
	unsigned n, rounds;
};

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static u64 next_random(u64 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

/* ---- Algorithm T ---- */

static void fill(struct table_point *points, unsigned n, double sign, u64 *seed)
{
	double at = 0;

	for (unsigned i = 0; i < n; i++) {
		at += sign * (double)(1 + next_random(seed) % 2000000);
		points[i] = (struct table_point){at, 1};
	}
}

static double microseconds_a_decision(unsigned n)
{
	static struct table_room room;
	struct table_point below[SIDE], above[SIDE];
	struct table_side b = {below, n / 2}, a = {above, n - n / 2};
	double sum, all = 0, began;
	u64 seed = 99;

	fill(below, b.count, -1, &seed);
	fill(above, a.count, 1, &seed);
	began = cpu_seconds();
	for (unsigned i = 0; i < DECISIONS; i++) {
		below[0].weight = 1 + i % 3;
		table_plan(0, &b, &a, 0, &room, &sum);
		all += sum;
	}
	/* The sum is used, so that nothing is left out. */
	return all > 0 ? (cpu_seconds() - began) / DECISIONS * 1e6 : 0;
}

/* ---- Schedulers with a drive ---- */

static void ask(struct station *st, struct disk_req *r, u64 now_ns, u64 *seed)
{
	r->sector = next_random(seed) % (SECTORS / 8) * 8;
	r->sectors = 8;
	r->op = BLOCK_READ;
	r->sync = true;
	station_add(st, r, now_ns);
}

static double run(struct station *st)
{
	static struct disk_req requests[OUTSTANDING];
	u64 now_ns = 0, next_ns, seed = 7;
	unsigned done = 0;
	double began = cpu_seconds();

	memset(requests, 0, sizeof(requests));
	for (unsigned i = 0; i < OUTSTANDING; i++) {
		requests[i].issuer = i;
		ask(st, &requests[i], 0, &seed);
	}
	while (done < REQUESTS) {
		struct disk_req *r = station_advance(st, now_ns, &next_ns), *after;

		if (!r)
			now_ns = next_ns;
		for (; r; r = after, done++) {
			after = r->next;
			ask(st, r, now_ns, &seed);
		}
	}
	return done / (cpu_seconds() - began);
}

static double requests_a_second(const struct alc_host *host, const char *name, const char *model)
{
	struct drive_env de = {.host = host, .sectors = SECTORS};
	struct sched_env se = {.host = host, .sectors = SECTORS};
	struct alc_err err = {0};
	struct station st;
	struct sched *sched;
	struct drive *drive;
	double result;

	if (drive_create(&de, model, &drive, &err) || sched_create(&se, name, &sched, &err)) {
		fprintf(stderr, "schedulers: %s\n", err.text);
		exit(1);
	}
	station_init(&st, sched, drive);
	result = run(&st);
	sched_destroy(sched);
	drive_destroy(drive);
	return result;
}

/* ---- Rounds and what they show ---- */

static struct sample *sample(struct report *r, const char *name, const char *unit)
{
	struct sample *s;

	for (unsigned i = 0; i < r->n; i++)
		if (strcmp(r->samples[i].name, name) == 0)
			return &r->samples[i];
	s = &r->samples[r->n++];
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->unit = unit;
	return s;
}

static void measure(struct report *r, const struct alc_host *host, unsigned round)
{
	static const char *const models[] = {"fixed:depth=1", "linear", "linear:cache=on"};
	char name[NAME_SIZE];

	for (unsigned n = 8; n <= 2 * SIDE; n *= 2) {
		snprintf(name, sizeof(name), "T, %u requests", n);
		sample(r, name, "us")->rounds[round] = microseconds_a_decision(n);
	}
	for (const struct sched_class *const *c = sched_classes; *c; c++)
		for (unsigned m = 0; m < ARRAY_LEN(models); m++) {
			snprintf(name, sizeof(name), "%s, %s", (*c)->name, models[m]);
			sample(r, name, "requests/s")->rounds[round] =
				requests_a_second(host, (*c)->name, models[m]);
		}
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void print(const struct report *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		struct sample s = r->samples[i];

		qsort(s.rounds, r->rounds, sizeof(*s.rounds), ascending);
		printf("%-32s %12.*f %-10s (%.*f to %.*f)\n", s.name, s.unit[0] == 'u' ? 2 : 0,
		       s.rounds[r->rounds / 2], s.unit, s.unit[0] == 'u' ? 2 : 0, s.rounds[0],
		       s.unit[0] == 'u' ? 2 : 0, s.rounds[r->rounds - 1]);
	}
}

static int write_json(const struct report *r, const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -1;
	fputs("{\n", f);
	for (unsigned i = 0; i < r->n; i++) {
		const struct sample *s = &r->samples[i];

		fprintf(f, "  \"%s\": {\"unit\": \"%s\", \"rounds\": [", s->name, s->unit);
		for (unsigned k = 0; k < r->rounds; k++)
			fprintf(f, "%s%.9g", k ? ", " : "", s->rounds[k]);
		fprintf(f, "]}%s\n", i + 1 < r->n ? "," : "");
	}
	fputs("}\n", f);
	return fclose(f);
}

int main(int argc, char **argv)
{
	static struct report r = {.rounds = ROUNDS};
	const char *json = NULL;
	struct alc_err err = {0};
	struct alc_host *host;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			r.rounds = 1;
		} else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
			json = argv[++i];
		} else {
			fprintf(stderr, "usage: schedulers [--json FILE] [--quick]\n");
			return 2;
		}
	}
	if (alc_host_open(&host, &err)) {
		fprintf(stderr, "schedulers: %s\n", err.text);
		return 1;
	}
	for (unsigned round = 0; round < r.rounds; round++)
		measure(&r, host, round);
	alc_host_close(host);
	print(&r);
	if (json && write_json(&r, json)) {
		perror(json);
		return 1;
	}
	return 0;
}
