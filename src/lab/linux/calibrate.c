/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/model/calibrate.h"
#include "lab/linux/experiment.h"

struct rows {
	struct measured *items;
	size_t n;
	u64 end; /* behind the last sector */
};

static int by_dispatch(const void *a, const void *b)
{
	const struct measured *x = a, *y = b;

	return (x->dispatch_ns > y->dispatch_ns) - (x->dispatch_ns < y->dispatch_ns);
}

/*
 * Of the requests whose service times are known, in the order in which the drive got them.
 * items are the caller's to free in any case.
 */
static int take_rows(const char *name, const struct trace *t, struct rows *out, struct alc_err *err)
{
	*out = (struct rows){.items = calloc(t->n, sizeof(*out->items))};
	if (!out->items)
		return alc_fail(err, -ENOMEM, "no memory for the trace '%s'", name);
	for (size_t i = 0; i < t->n; i++) {
		const struct trace_req *q = &t->reqs[i];

		if (!q->done_ns)
			continue;
		out->end = max_u64(out->end, q->sector + q->sectors);
		out->items[out->n++] = (struct measured){q->dispatch_ns, q->done_ns, q->sector,
							 q->sectors, q->op == BLOCK_WRITE};
	}
	qsort(out->items, out->n, sizeof(*out->items), by_dispatch);
	if (out->n < CALIBRATE_LEAST)
		return alc_fail(err, -EINVAL,
				"'%s' tells when %zu requests were done; %u are needed", name,
				out->n, CALIBRATE_LEAST);
	return 0;
}

static int fit(const struct rows *rows, const char *model, u64 span, unsigned heads,
	       struct calibrated *out, struct alc_err *err)
{
	if (!strcmp(model, "linear"))
		return calibrate_linear(&lab_host, rows->items, rows->n, span, true, out, err);
	if (!strcmp(model, "disk"))
		return calibrate_disk(&lab_host, rows->items, rows->n, span, heads, out, err);
	return alc_fail(err, -EINVAL, "the models linear and disk can be fitted, not '%s'", model);
}

static int calibrate_rows(const struct rows *rows, const char *model, u64 span, unsigned heads,
			  struct alc_calibration *out, struct alc_err *err)
{
	struct calibrated c;
	struct fit f;
	int rc;

	if (rows->end > span)
		return alc_fail(err, -ERANGE, "the trace goes to sector %llu, the disk to %llu",
				(unsigned long long)rows->end, (unsigned long long)span);
	rc = fit(rows, model, span, heads, &c, err);
	if (!rc)
		rc = calibrate_check(&lab_host, c.text, rows->items, rows->n, span, &f, err);
	if (rc)
		return rc;
	*out = (struct alc_calibration){
		.requests = rows->n,
		.used = c.used,
		.outliers = c.outliers,
		.rotation_ms = c.rotation_ns / 1e6,
		.full_seek_ms = c.full_ns / 1e6,
		.mean_measured_ms = f.mean_measured_ns / 1e6,
		.mean_modelled_ms = f.mean_modelled_ns / 1e6,
		.median_error_ms = f.median_error_ns / 1e6,
		.r_squared = f.r_squared,
		.cdf_distance = f.cdf_distance,
	};
	snprintf(out->text, sizeof(out->text), "%s", c.text);
	return 0;
}

int alc_disk_calibrate(const char *trace, const char *model, uint64_t disk_bytes, unsigned heads,
		       struct alc_calibration *out, struct alc_err *err)
{
	struct trace t;
	struct rows rows;
	int rc = trace_read(trace, &t, err);

	if (rc)
		return rc;
	rc = take_rows(trace, &t, &rows, err);
	trace_free(&t);
	if (!rc)
		rc = calibrate_rows(&rows, model, disk_bytes ? disk_bytes / SECTOR_BYTES : rows.end,
				    heads, out, err);
	free(rows.items);
	return rc;
}
