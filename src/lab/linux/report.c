/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/linux/experiment.h"

/* ---- Text --------------------------------------------------------------------------------- */

void text_add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (t->len + (size_t)n + 1 > t->room) {
		size_t room = 2 * (t->room + (size_t)n + 1);
		char *more = realloc(t->at, room);

		t->failed |= !more;
		if (!more)
			return;
		t->at = more;
		t->room = room;
	}
	va_start(ap, fmt);
	t->len += (size_t)vsnprintf(t->at + t->len, t->room - t->len, fmt, ap);
	va_end(ap);
}

static int text_finish(struct text *t, char **out, struct alc_err *err)
{
	if (t->failed || !t->at) {
		free(t->at);
		return alc_fail(err, -ENOMEM, "no memory for the results");
	}
	*out = t->at;
	return 0;
}

/* ---- Figures ------------------------------------------------------------------------------ */

static double ms(double ns)
{
	return ns / 1e6;
}

void cell_figures(const struct cell *c, struct figures *f)
{
	const struct tally *t = &c->tally;
	double seconds = tally_seconds(t);

	*f = (struct figures){
		.service_ms = ms(histogram_mean(&t->service)),
		.response_ms = ms(histogram_mean(&t->response)),
		.response_deviation_ms = ms(histogram_deviation(&t->response)),
		.p50_ms = ms((double)histogram_percentile(&t->response, 0.5)),
		.p90_ms = ms((double)histogram_percentile(&t->response, 0.9)),
		.p99_ms = ms((double)histogram_percentile(&t->response, 0.99)),
		.max_ms = ms((double)t->response.most),
		.sectors_ms = seconds > 0 ? (double)t->sectors / seconds / 1000 : 0,
		.requests_s = seconds > 0 ? (double)t->response.n / seconds : 0,
		.sectors_per_dispatch =
			t->dispatched ? (double)t->dispatched_sectors / (double)t->dispatched : 0,
		.fairness = tally_fairness_sectors(t),
		.fairness_response = tally_fairness_response(t),
		.hit_share = t->dispatched ? (double)t->cached / (double)t->dispatched : 0,
	};
}

/* ---- CSV ---------------------------------------------------------------------------------- */

/* Labels may have commas. */
static void csv_text(struct text *t, const char *s)
{
	text_add(t, "\"");
	for (; *s; s++)
		text_add(t, "%s%c", *s == '"' ? "\"" : "", *s);
	text_add(t, "\",");
}

static void csv_cell(struct text *t, const struct cell *c)
{
	const struct tally *y = &c->tally;
	struct figures f;

	cell_figures(c, &f);
	csv_text(t, c->workload->label);
	csv_text(t, c->model->label);
	csv_text(t, c->scheduler->label);
	text_add(t, "%llu,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%.6f,",
		 (unsigned long long)c->seed, (unsigned long long)y->response.n,
		 (unsigned long long)y->reads, (unsigned long long)y->writes,
		 (unsigned long long)y->dispatched, (unsigned long long)y->merged,
		 (unsigned long long)y->cached, (unsigned long long)y->sectors,
		 (unsigned long long)y->dispatched_sectors, tally_seconds(y));
	text_add(t,
		 "%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%u,%.6f\n",
		 f.service_ms, ms(histogram_deviation(&y->service)), f.response_ms,
		 f.response_deviation_ms, f.p50_ms, f.p90_ms,
		 ms((double)histogram_percentile(&y->response, 0.95)), f.p99_ms,
		 ms((double)histogram_percentile(&y->response, 0.999)), f.sectors_ms, f.requests_s,
		 f.fairness, f.fairness_response, f.max_ms, y->slowest_issuer,
		 ms((double)y->slowest_arrival_ns));
}

static void csv(const struct alc_experiment *x, struct text *t)
{
	text_add(t, "workload,model,scheduler,seed,requests,reads,writes,dispatched,merged,cached,"
		    "sectors,dispatched_sectors,seconds,service_ms,service_deviation_ms,"
		    "response_ms,response_deviation_ms,p50_ms,p90_ms,p95_ms,p99_ms,p999_ms,"
		    "sectors_per_ms,requests_per_s,fairness_sectors,fairness_response,max_ms,"
		    "max_issuer,max_arrival_ms\n");
	for (size_t i = 0; i < x->ncells; i++)
		csv_cell(t, &x->cells[i]);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void set_real(json_t *o, const char *key, double v)
{
	json_object_set_new(o, key, json_real(v));
}

static void set_count(json_t *o, const char *key, u64 v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

/* Pairs of a bin's least value and its count, of those that are not empty. */
static json_t *histogram_json(const struct histogram *h)
{
	json_t *o = json_object(), *bins = json_array();

	set_count(o, "n", h->n);
	set_count(o, "least_ns", h->least);
	set_count(o, "most_ns", h->most);
	set_real(o, "mean_ns", histogram_mean(h));
	set_real(o, "deviation_ns", histogram_deviation(h));
	for (unsigned i = 0; i < HISTOGRAM_BINS; i++)
		if (h->bins[i])
			json_array_append_new(bins,
					      json_pack("[I, I]", (json_int_t)histogram_from(i),
							(json_int_t)h->bins[i]));
	json_object_set_new(o, "bins", bins);
	return o;
}

static json_t *issuers_json(const struct tally *t)
{
	json_t *list = json_array();

	for (u32 i = 0; i < t->issuers; i++) {
		const struct tally_issuer *who = &t->by_issuer[i];

		if (who->requests)
			json_array_append_new(
				list, json_pack("{s:i, s:I, s:I, s:f}", "issuer", (int)i,
						"requests", (json_int_t)who->requests, "sectors",
						(json_int_t)who->sectors, "response_ms",
						ms(who->response_ns / (double)who->requests)));
	}
	return list;
}

static void add_counts(json_t *o, const struct tally *t)
{
	set_count(o, "requests", t->response.n);
	set_count(o, "reads", t->reads);
	set_count(o, "writes", t->writes);
	set_count(o, "sectors", t->sectors);
	set_count(o, "dispatched", t->dispatched);
	set_count(o, "dispatched_sectors", t->dispatched_sectors);
	set_count(o, "merged", t->merged);
	set_count(o, "cached", t->cached);
	set_real(o, "seconds", tally_seconds(t));
}

static json_t *cell_json(const struct cell *c)
{
	json_t *o = json_object(), *stats = json_object();
	struct figures f;

	cell_figures(c, &f);
	json_object_set_new(o, "workload", json_string(c->workload->label));
	json_object_set_new(o, "model", json_string(c->model->label));
	json_object_set_new(o, "scheduler", json_string(c->scheduler->label));
	set_count(o, "seed", c->seed);
	add_counts(o, &c->tally);
	set_real(o, "service_ms", f.service_ms);
	set_real(o, "response_ms", f.response_ms);
	set_real(o, "p50_ms", f.p50_ms);
	set_real(o, "p90_ms", f.p90_ms);
	set_real(o, "p99_ms", f.p99_ms);
	set_real(o, "max_ms", f.max_ms);
	set_count(o, "max_issuer", c->tally.slowest_issuer);
	set_real(o, "max_arrival_ms", ms((double)c->tally.slowest_arrival_ns));
	set_real(o, "sectors_per_ms", f.sectors_ms);
	set_real(o, "requests_per_s", f.requests_s);
	set_real(o, "fairness_sectors", f.fairness);
	set_real(o, "fairness_response", f.fairness_response);
	for (unsigned i = 0; i < c->nstats; i++)
		set_real(stats, c->stats[i].name, c->stats[i].value);
	json_object_set_new(o, "stats", stats);
	json_object_set_new(o, "response", histogram_json(&c->tally.response));
	json_object_set_new(o, "service", histogram_json(&c->tally.service));
	json_object_set_new(o, "issuers", issuers_json(&c->tally));
	return o;
}

static int json(const struct alc_experiment *x, char **out, struct alc_err *err)
{
	json_t *cells = json_array(), *all;

	for (size_t i = 0; i < x->ncells; i++)
		json_array_append_new(cells, cell_json(&x->cells[i]));
	all = json_pack("{s:s, s:o}", "clock", "virtual", "cells", cells);
	*out = all ? json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(10)) : NULL;
	json_decref(all);
	return *out ? 0 : alc_fail(err, -ENOMEM, "no memory for the results");
}

/* ---- Table -------------------------------------------------------------------------------- */

/* max_ms apart: of that the greatest counts. */
static void add_share(struct figures *to, const struct figures *f, double share)
{
	to->service_ms += f->service_ms * share;
	to->response_ms += f->response_ms * share;
	to->p50_ms += f->p50_ms * share;
	to->p99_ms += f->p99_ms * share;
	to->sectors_ms += f->sectors_ms * share;
	to->requests_s += f->requests_s * share;
	to->fairness += f->fairness * share;
	to->hit_share += f->hit_share * share;
	to->max_ms = f->max_ms > to->max_ms ? f->max_ms : to->max_ms;
}

/* The seeds of one row together: means of the figures, the greatest of the maxima. */
static void row_figures(const struct cell *c, size_t seeds, struct figures *out, double *spread)
{
	double least = 0, most = 0;

	*out = (struct figures){0};
	for (size_t i = 0; i < seeds; i++) {
		struct figures f;

		cell_figures(&c[i], &f);
		add_share(out, &f, 1 / (double)seeds);
		least = !i || f.response_ms < least ? f.response_ms : least;
		most = !i || f.response_ms > most ? f.response_ms : most;
	}
	*spread = out->response_ms > 0 ? (most - least) / 2 / out->response_ms * 100 : 0;
}

static int label_width(const struct parts *parts)
{
	int width = (int)strlen("scheduler");

	for (size_t i = 0; i < parts->n; i++)
		if ((int)strlen(parts->items[i].label) > width)
			width = (int)strlen(parts->items[i].label);
	return width;
}

static void table_head(struct text *t, const struct cell *c, int width)
{
	text_add(t, "%s%s on %s\n", t->len ? "\n" : "", c->workload->label, c->model->label);
	text_add(t, "  %-*s %8s %9s %6s %9s %9s %10s %9s %8s %6s %6s\n", width, "scheduler",
		 "service", "response", "+-", "p50", "p99", "max", "thruput", "req/s", "hits",
		 "fair");
	text_add(t, "  %-*s %8s %9s %6s %9s %9s %10s %9s %8s %6s %6s\n", width, "", "ms", "ms", "%",
		 "ms", "ms", "ms", "sect/ms", "", "%", "Jain");
}

static void table_row(struct text *t, const struct cell *c, size_t seeds, int width)
{
	struct figures f;
	double spread;

	row_figures(c, seeds, &f, &spread);
	text_add(t, "  %-*s %8.2f %9.2f %6.1f %9.2f %9.2f %10.2f %9.2f %8.0f %6.1f %6.3f\n", width,
		 c->scheduler->label, f.service_ms, f.response_ms, spread, f.p50_ms, f.p99_ms,
		 f.max_ms, f.sectors_ms, f.requests_s, 100 * f.hit_share, f.fairness);
}

static void table(const struct alc_experiment *x, struct text *t)
{
	int width = label_width(&x->schedulers);

	for (size_t i = 0; i < x->ncells; i += x->nseeds) {
		if (x->cells[i].scheduler == x->schedulers.items)
			table_head(t, &x->cells[i], width);
		table_row(t, &x->cells[i], x->nseeds, width);
	}
}

int alc_experiment_text(const struct alc_experiment *x, enum alc_experiment_format format,
			char **out, struct alc_err *err)
{
	struct text t = {0};

	if (!x->ran)
		return alc_fail(err, -EINVAL, "the experiment has not been run");
	if (format == ALC_EXPERIMENT_JSON)
		return json(x, out, err);
	if (format == ALC_EXPERIMENT_CSV)
		csv(x, &t);
	else
		table(x, &t);
	return text_finish(&t, out, err);
}
