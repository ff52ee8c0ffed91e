/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ALCAZAR_DISK_H
#define ALCAZAR_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alcazar/device.h"
#include "alcazar/err.h"

/*
 * The disk laboratory: schedulers, drive models and workloads without a guest, in virtual time.
 *
 *	struct alc_experiment *x;
 *	char *table;
 *
 *	alc_experiment_open("plan.yaml", &x, &err);
 *	alc_experiment_run(x, 0, NULL, NULL, &err);
 *	alc_experiment_text(x, ALC_EXPERIMENT_TABLE, &table, &err);
 *	alc_experiment_close(x);
 *
 * The same plan gives the same figures on every machine, however many threads run it.
 */

/* ---- What there is ---- */

enum alc_disk_kind {
	ALC_DISK_SCHEDULERS,
	ALC_DISK_MODELS,
	ALC_DISK_PRESETS, /* models of products */
	ALC_DISK_WORKLOADS,
	ALC_DISK_KINDS,
};

struct alc_disk_info {
	const char *name, *summary;
	const char *text, *source; /* presets: the model and its parameters, where they are from */
};

/* The i-th of a kind, or false. Strings live as long as the program. */
bool alc_disk_info(enum alc_disk_kind kind, size_t i, struct alc_disk_info *out);
/* The j-th parameter of the i-th, or false. Types: number, time, real, flag. */
bool alc_disk_option(enum alc_disk_kind kind, size_t i, size_t j, struct alc_option_info *out);

/* ---- Experiments ---- */

struct alc_experiment;

/*
 * Reads a plan (alcazar-disk(1)) and makes its cells: schedulers x models x workloads x seeds, with
 * every list of values in their parameters spread out. Names and parameters are checked, traces
 * read. -EINVAL and others, with a sentence.
 */
int alc_experiment_open(const char *plan, struct alc_experiment **out,
			struct alc_err *err) ALC_MUST_CHECK;
void alc_experiment_close(struct alc_experiment *x); /* NULL is fine */
size_t alc_experiment_cells(const struct alc_experiment *x);

/*
 * Runs all cells on that many threads (0: as many as there are CPUs). progress, if any, is called
 * by the calling thread some times a second, and once at the end, with simulated requests. It ends
 * the run by returning false: -ECANCELED. The first cell in the plan's order that can't be done is
 * what fails.
 */
int alc_experiment_run(struct alc_experiment *x, unsigned threads,
		       bool (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx,
		       struct alc_err *err) ALC_MUST_CHECK;

enum alc_experiment_format {
	ALC_EXPERIMENT_TABLE, /* for people: a row for all seeds together */
	ALC_EXPERIMENT_CSV,   /* a row a cell */
	ALC_EXPERIMENT_JSON,  /* all: histograms, processes, counters of models too */
};

/* After a run: in a string that the caller frees with free(). */
int alc_experiment_text(const struct alc_experiment *x, enum alc_experiment_format format,
			char **out, struct alc_err *err) ALC_MUST_CHECK;

/*
 * After a run: distributions of response times, one picture for each workload and model, as SVG and
 * PNG, with the data and the gnuplot script they are made of, in a folder that is made if need be.
 * -ENOENT: there is no gnuplot.
 */
int alc_experiment_plot(const struct alc_experiment *x, const char *folder,
			struct alc_err *err) ALC_MUST_CHECK;

/* ---- Calibration ---- */

enum { ALC_CALIBRATION_TEXT_MAX = 512 };

struct alc_calibration {
	char text[ALC_CALIBRATION_TEXT_MAX]; /* the model with its parameters, as plans take it */
	size_t requests, used, outliers;     /* measured; fitted to; left out as too far off */
	double rotation_ms, full_seek_ms;
	/* What the model with these parameters makes of the trace. */
	double mean_measured_ms, mean_modelled_ms;
	double median_error_ms; /* of the absolute errors, request by request */
	double r_squared;       /* of the variance, what the model explains */
	double cdf_distance;    /* the greatest between the two distributions */
};

/*
 * Fits a model, linear or disk, to the service times of a trace that has them (a record, blkparse
 * with dispatches and completions, MSR-Cambridge CSV). disk_bytes: the size of the drive, 0: up to
 * the last sector of the trace; heads: the drive's, for disk. -EINVAL: the trace says too little.
 */
int alc_disk_calibrate(const char *trace, const char *model, uint64_t disk_bytes, unsigned heads,
		       struct alc_calibration *out, struct alc_err *err) ALC_MUST_CHECK;

#endif
