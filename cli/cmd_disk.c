/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alcazar/disk.h"
#include "cmds.h"
#include "terminal.h"
#include "value.h"

/* ---- Progress ----------------------------------------------------------------------------- */

enum { BAR_WIDTH = 40 };

/* On a terminal only; a pipe gets nothing. Ctrl-C ends the run. */
static bool show_progress(void *ctx, uint64_t done, uint64_t total)
{
	bool visible = *(const bool *)ctx;
	unsigned full = total ? (unsigned)(done * BAR_WIDTH / total) : BAR_WIDTH;

	if (!visible)
		return !signals_caught();
	full = full > BAR_WIDTH ? BAR_WIDTH : full;
	fprintf(stderr, "\r[%.*s%*s] %3u%%  %.1f of %.1f million requests", (int)full,
		"########################################", (int)(BAR_WIDTH - full), "",
		full * 100 / BAR_WIDTH, (double)done / 1e6, (double)total / 1e6);
	if (done >= total)
		fputs("\r\033[K", stderr);
	fflush(stderr);
	return !signals_caught();
}

/* ---- experiment --------------------------------------------------------------------------- */

struct experiment_values {
	char *csv, *json, *plots, *jobs;
	bool quiet;
};

static const struct option_row experiment_rows[] = {
	{"csv", "FILE", "write a row for each cell as CSV", OPTION_VALUE,
	 offsetof(struct experiment_values, csv), NULL, NULL, VALUES_FILE, NULL},
	{"json", "FILE", "write all results as JSON: histograms and processes too", OPTION_VALUE,
	 offsetof(struct experiment_values, json), NULL, NULL, VALUES_FILE, NULL},
	{"plots", "FOLDER", "draw the distributions of response times as SVG and PNG, by gnuplot",
	 OPTION_VALUE, offsetof(struct experiment_values, plots), NULL, NULL, VALUES_FILE, NULL},
	{"jobs", "N", "run on so many threads", OPTION_VALUE,
	 offsetof(struct experiment_values, jobs), "one a CPU", NULL, VALUES_ANY, NULL},
	{"quiet", NULL, "print no table", OPTION_FLAG, offsetof(struct experiment_values, quiet),
	 NULL, NULL, VALUES_ANY, NULL},
	{NULL, NULL, NULL, OPTION_FLAG, 0, NULL, NULL, VALUES_ANY, NULL},
};

/* "-" is standard output. */
static int write_text(const char *path, const char *text)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "we") : stdout;
	bool failed;

	if (!f)
		return fail(EXIT_VMM, "can't write '%s': %s", path, strerror(errno));
	failed = fputs(text, f) < 0;
	failed |= f == stdout ? fflush(f) != 0 : fclose(f) != 0;
	return failed ? fail(EXIT_VMM, "can't write '%s': %s", path, strerror(errno)) : EXIT_OK;
}

static int write_as(const struct alc_experiment *x, enum alc_experiment_format format,
		    const char *path)
{
	struct alc_err err = {0};
	char *text;
	int status;

	if (alc_experiment_text(x, format, &text, &err))
		return fail(EXIT_VMM, "%s", err.text);
	status = write_text(path, text);
	free(text);
	return status;
}

static int write_all(const struct alc_experiment *x, const struct experiment_values *v)
{
	struct alc_err err = {0};
	int status = EXIT_OK;

	if (!v->quiet)
		status = write_as(x, ALC_EXPERIMENT_TABLE, "-");
	if (v->csv && status == EXIT_OK)
		status = write_as(x, ALC_EXPERIMENT_CSV, v->csv);
	if (v->json && status == EXIT_OK)
		status = write_as(x, ALC_EXPERIMENT_JSON, v->json);
	if (v->plots && status == EXIT_OK && alc_experiment_plot(x, v->plots, &err))
		status = fail(EXIT_VMM, "%s", err.text);
	return status;
}

static int run_and_write(struct alc_experiment *x, const struct experiment_values *v, unsigned jobs)
{
	bool visible = isatty(STDERR_FILENO);
	struct alc_err err = {0};

	if (!alc_experiment_run(x, jobs, show_progress, &visible, &err))
		return write_all(x, v);
	if (visible)
		fputs("\r\033[K", stderr);
	return fail(EXIT_VMM, "%s", err.text);
}

static int experiment(void *values, const char *operand, struct strings trailing)
{
	const struct experiment_values *v = values;
	struct alc_err err = {0};
	struct alc_experiment *x;
	uint64_t jobs = 0;
	int status;

	if (!operand)
		return fail(EXIT_USAGE, "which plan? As in `alcazar disk experiment plan.yaml`");
	if (v->jobs && (!parse_count(v->jobs, &jobs) || !jobs || jobs > 256))
		return fail(EXIT_USAGE, "--jobs is a number from 1 to 256, not '%s'", v->jobs);
	if (alc_experiment_open(operand, &x, &err))
		return fail(EXIT_USAGE, "%s", err.text);
	signals_watch();
	status = run_and_write(x, v, (unsigned)jobs);
	alc_experiment_close(x);
	return status;
}

static const struct command cmd_experiment = {
	.name = "disk experiment",
	.summary = "run schedulers on drive models under workloads, as a plan says",
	.operand = "PLAN.yaml",
	.operand_values = VALUES_FILE,
	.options = experiment_rows,
	.values_size = sizeof(struct experiment_values),
	.run = experiment,
};

/* ---- list --------------------------------------------------------------------------------- */

struct list_values {
	bool json;
};

static const struct option_row list_rows[] = {
	{"json", NULL, "print JSON", OPTION_FLAG, offsetof(struct list_values, json), NULL, NULL,
	 VALUES_ANY, NULL},
	{NULL, NULL, NULL, OPTION_FLAG, 0, NULL, NULL, VALUES_ANY, NULL},
};

static const struct kind {
	const char *title, *key;
} kinds[] = {
	[ALC_DISK_SCHEDULERS] = {"Schedulers", "schedulers"},
	[ALC_DISK_MODELS] = {"Drive models", "models"},
	[ALC_DISK_PRESETS] = {"Drives", "presets"},
	[ALC_DISK_WORKLOADS] = {"Workloads", "workloads"},
};

static void print_names(void)
{
	struct alc_disk_info d;

	for (unsigned k = 0; k < ALC_DISK_KINDS; k++) {
		if (alc_disk_info(k, 0, &d))
			printf("%s%s:\n", k ? "\n" : "", kinds[k].title);
		for (size_t i = 0; alc_disk_info(k, i, &d); i++)
			printf("  %-18s %s\n", d.name, d.summary);
	}
	puts("\n`alcazar disk list NAME` tells one's parameters.");
}

static void print_parameters(enum alc_disk_kind kind, size_t i)
{
	struct alc_option_info o;
	int width = 0;

	for (size_t j = 0; alc_disk_option(kind, i, j, &o); j++)
		width = (int)strlen(o.name) > width ? (int)strlen(o.name) : width;
	for (size_t j = 0; alc_disk_option(kind, i, j, &o); j++)
		printf("  %-*s  %-6s  %s (default: %s)\n", width, o.name, o.type, o.help,
		       o.initial);
}

static void print_one(enum alc_disk_kind kind, size_t i)
{
	struct alc_disk_info d;

	alc_disk_info(kind, i, &d);
	printf("%s: %s\n", d.name, d.summary);
	if (d.text)
		printf("  is %s\n  from %s\n", d.text, d.source);
	print_parameters(kind, i);
}

static json_t *one_json(enum alc_disk_kind kind, size_t i)
{
	json_t *parameters = json_array();
	struct alc_option_info o;
	struct alc_disk_info d;

	alc_disk_info(kind, i, &d);
	for (size_t j = 0; alc_disk_option(kind, i, j, &o); j++)
		json_array_append_new(parameters,
				      json_pack("{s:s, s:s, s:s, s:s}", "name", o.name, "type",
						o.type, "default", o.initial, "help", o.help));
	return json_pack("{s:s, s:s, s:s?, s:s?, s:o}", "name", d.name, "summary", d.summary,
			 "text", d.text, "source", d.source, "parameters", parameters);
}

static int print_json(json_t *o)
{
	int failed = json_dumpf(o, stdout, JSON_INDENT(2));

	putchar('\n');
	json_decref(o);
	return failed ? fail(EXIT_VMM, "out of memory") : EXIT_OK;
}

static json_t *all_json(void)
{
	json_t *all = json_object();
	struct alc_disk_info d;

	for (unsigned k = 0; k < ALC_DISK_KINDS; k++) {
		json_t *list = json_array();

		for (size_t i = 0; alc_disk_info(k, i, &d); i++)
			json_array_append_new(list, one_json(k, i));
		json_object_set_new(all, kinds[k].key, list);
	}
	return all;
}

/* The i-th name over all kinds. */
static const char *name_at(size_t i, void *ctx)
{
	struct alc_disk_info d;

	for (unsigned k = 0; k < ALC_DISK_KINDS; k++)
		for (size_t n = 0; alc_disk_info(k, n, &d); n++)
			if (!i--)
				return d.name;
	return NULL;
}

static int list_one(const char *name, bool json)
{
	struct alc_disk_info d;
	const char *near;

	for (unsigned k = 0; k < ALC_DISK_KINDS; k++)
		for (size_t i = 0; alc_disk_info(k, i, &d); i++) {
			if (strcmp(d.name, name))
				continue;
			if (json)
				return print_json(one_json(k, i));
			print_one(k, i);
			return EXIT_OK;
		}
	near = nearest(name, name_at, NULL);
	if (near)
		return fail(EXIT_USAGE, "there is no '%s' (did you mean %s?)", name, near);
	return fail(EXIT_USAGE, "there is no '%s': see `alcazar disk list`", name);
}

static int list(void *values, const char *operand, struct strings trailing)
{
	const struct list_values *v = values;

	if (operand)
		return list_one(operand, v->json);
	if (v->json)
		return print_json(all_json());
	print_names();
	return EXIT_OK;
}

static const struct command cmd_list = {
	.name = "disk list",
	.summary = "list schedulers, drive models and workloads, or tell one's parameters",
	.operand = "NAME",
	.options = list_rows,
	.values_size = sizeof(struct list_values),
	.run = list,
};

/* ---- calibrate ---------------------------------------------------------------------------- */

struct calibrate_values {
	char *model, *disk, *heads;
	bool json;
};

static const struct option_row calibrate_rows[] = {
	{"model", "MODEL", "the model to fit: linear or disk", OPTION_VALUE,
	 offsetof(struct calibrate_values, model), "linear", NULL, VALUES_ANY, "linear disk"},
	{"disk", "SIZE", "size of the drive", OPTION_VALUE, offsetof(struct calibrate_values, disk),
	 "up to the trace's last sector", NULL, VALUES_ANY, NULL},
	{"heads", "N", "heads of the drive, for disk", OPTION_VALUE,
	 offsetof(struct calibrate_values, heads), "4", NULL, VALUES_ANY, NULL},
	{"json", NULL, "print JSON", OPTION_FLAG, offsetof(struct calibrate_values, json), NULL,
	 NULL, VALUES_ANY, NULL},
	{NULL, NULL, NULL, OPTION_FLAG, 0, NULL, NULL, VALUES_ANY, NULL},
};

static int calibration_json(const struct alc_calibration *c)
{
	return print_json(json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
				    "model", c->text, "requests", (json_int_t)c->requests, "used",
				    (json_int_t)c->used, "outliers", (json_int_t)c->outliers,
				    "rotation_ms", c->rotation_ms, "full_seek_ms", c->full_seek_ms,
				    "mean_measured_ms", c->mean_measured_ms, "mean_modelled_ms",
				    c->mean_modelled_ms, "median_error_ms", c->median_error_ms,
				    "r_squared", c->r_squared, "cdf_distance", c->cdf_distance));
}

static void print_calibration(const struct alc_calibration *c)
{
	puts(c->text);
	printf("\nfitted to %zu of %zu requests (%zu are far from the others)\n", c->used,
	       c->requests, c->outliers);
	printf("rotation %.3f ms, full-stroke seek %.3f ms\n", c->rotation_ms, c->full_seek_ms);
	printf("mean service: measured %.4f ms, modelled %.4f ms (%+.2f %%)\n", c->mean_measured_ms,
	       c->mean_modelled_ms, 100 * (c->mean_modelled_ms / c->mean_measured_ms - 1));
	printf("median error %.4f ms, R squared %.4f, distributions at most %.4f apart\n",
	       c->median_error_ms, c->r_squared, c->cdf_distance);
}

static int calibrate(void *values, const char *operand, struct strings trailing)
{
	const struct calibrate_values *v = values;
	uint64_t bytes = 0, heads = 4;
	struct alc_calibration c;
	struct alc_err err = {0};
	int rc;

	if (!operand)
		return fail(EXIT_USAGE, "which trace? As in `alcazar disk calibrate record.csv`");
	if (v->disk && !parse_size(v->disk, &bytes))
		return fail(EXIT_USAGE, "--disk is a size such as 80G, not '%s'", v->disk);
	if (v->heads && (!parse_count(v->heads, &heads) || !heads || heads > 1024))
		return fail(EXIT_USAGE, "--heads is a number from 1 to 1024, not '%s'", v->heads);
	rc = alc_disk_calibrate(operand, v->model ? v->model : "linear", bytes, (unsigned)heads, &c,
				&err);
	if (rc)
		return fail(rc == -ENOMEM ? EXIT_VMM : EXIT_USAGE, "%s", err.text);
	if (v->json)
		return calibration_json(&c);
	print_calibration(&c);
	return EXIT_OK;
}

static const struct command cmd_calibrate = {
	.name = "disk calibrate",
	.summary = "fit a drive model to a measured trace",
	.operand = "TRACE",
	.operand_values = VALUES_FILE,
	.options = calibrate_rows,
	.values_size = sizeof(struct calibrate_values),
	.run = calibrate,
};

static const struct command *const verbs[] = {&cmd_experiment, &cmd_calibrate, &cmd_list, NULL};

const struct command cmd_disk = {
	.name = "disk",
	.summary = "the disk laboratory: schedulers and drives in virtual time",
	.verbs = verbs,
};
