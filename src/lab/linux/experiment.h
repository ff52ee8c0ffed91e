/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAB_LINUX_EXPERIMENT_H
#define LAB_LINUX_EXPERIMENT_H

#include "alcazar/disk.h"
#include "host/host.h"
#include "lab/tally.h"
#include "lab/workload.h"

/* Between the files of lab/linux. */

/* Memory of the C library: all that the pure rooms ask of a host here. */
extern const struct alc_host lab_host;

/* ---- plan.c: what a plan says ---- */

struct plan_texts {
	char **items;
	unsigned count;
};

struct plan {
	char *disk, *requests, *warmup, *until;
	struct plan_texts seeds, schedulers, models, workloads;
};

int plan_read(const char *path, struct plan **out, struct alc_err *err) ALC_MUST_CHECK;
void plan_free(struct plan *plan);

/* NAME or "LABEL = NAME", with its parameters, one value each. */
struct part {
	char *label, *text;
};

struct parts {
	struct part *items;
	size_t n;
};

/*
 * Spreads out lists of values: a=[1,2]:b=[x,y] is four texts. Labels get the values chosen:
 * "LABEL a=1 b=x".
 */
int parts_expand(const struct plan_texts *texts, struct parts *out,
		 struct alc_err *err) ALC_MUST_CHECK;
void parts_free(struct parts *parts);

/* ---- trace.c ---- */

/*
 * blkparse's text, a fio log (version 2 or 3), MSR-Cambridge (SNIA) CSV, or the CSV of a `record`
 * stage: which one, the file's beginning tells. -EINVAL: a line is not as it must be; it is named.
 */
int trace_read(const char *path, struct trace *out, struct alc_err *err) ALC_MUST_CHECK;
int trace_parse(const char *name, const char *text, size_t len, struct trace *out,
		struct alc_err *err) ALC_MUST_CHECK;
void trace_free(struct trace *t);

/* ---- cell.c: one run of the simulator ---- */

enum { CELL_STATS_MAX = 24, STAT_NAME_MAX = 32 };

struct cell_stat {
	char name[STAT_NAME_MAX];
	double value;
};

struct cell {
	const struct part *scheduler, *model, *workload;
	const struct trace *trace; /* or NULL */
	u64 seed, sectors, requests, warmup, until_ns;
	/* Results. */
	int rc;
	struct alc_err err;
	struct tally tally;
	struct cell_stat stats[CELL_STATS_MAX];
	unsigned nstats;
};

/* progress: as in struct sim. */
void cell_run(struct cell *c, bool (*progress)(void *ctx, u64 done), void *ctx);
/* Makes and destroys the parts, to see whether they can be made. */
int cell_check(const struct cell *c, struct alc_err *err) ALC_MUST_CHECK;

/* ---- experiment.c ---- */

struct loaded_trace {
	char *path;
	struct trace trace;
};

struct alc_experiment {
	struct plan *plan;
	struct parts schedulers, models, workloads;
	struct loaded_trace *traces;
	size_t ntraces;
	u64 *seeds;
	size_t nseeds;
	/* By workload, model, scheduler, seed: the seed changes fastest. */
	struct cell *cells;
	size_t ncells;
	bool ran;
};

/* A growing text. */
struct text {
	char *at;
	size_t len, room;
	bool failed;
};

void text_add(struct text *t, const char *fmt, ...) ALC_PRINTF(2, 3);

/* ---- report.c ---- */

struct figures {
	double service_ms, response_ms, response_deviation_ms, p50_ms, p90_ms, p99_ms, max_ms;
	double sectors_ms, requests_s, sectors_per_dispatch, fairness, fairness_response, hit_share;
};

void cell_figures(const struct cell *c, struct figures *f);

#endif
