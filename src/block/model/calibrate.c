/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/model/calibrate.h"

#include "base/errno.h"
#include "base/fmt.h"
#include "block/model/geometry.h"
#include "block/model/model.h"

enum { TERMS_MAX = 6, ROUNDS_MAX = 30 };

/* What the value of one request is made of: a coefficient for each term. */
struct point {
	double service_ns;
	double term[TERMS_MAX];
	double error_ns;
	bool left_out;
};

struct points {
	const struct alc_host *host;
	struct point *all;
	double *scratch; /* as many */
	size_t n, used;
	unsigned nterms;
	double coefficient[TERMS_MAX];
};

/* ---- Numbers ------------------------------------------------------------------------------ */

static double magnitude(double v)
{
	return v < 0 ? -v : v;
}

/* Of 0 to 1, to 31 bits. */
static double root_of_part(double v)
{
	if (v <= 0)
		return 0;
	return (double)integer_root((u64)(v * 4611686018427387904.0)) / 2147483648.0;
}

static void sift(double *v, size_t at, size_t n)
{
	for (;;) {
		size_t child = 2 * at + 1;
		double held = v[at];

		if (child >= n)
			return;
		if (child + 1 < n && v[child + 1] > v[child])
			child++;
		if (v[child] <= held)
			return;
		v[at] = v[child];
		v[child] = held;
		at = child;
	}
}

static void sort(double *v, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(v, i, n);
	for (size_t end = n; end-- > 1;) {
		double last = v[end];

		v[end] = v[0];
		v[0] = last;
		sift(v, 0, end);
	}
}

/* ---- Least squares ------------------------------------------------------------------------ */

struct system {
	double a[TERMS_MAX][TERMS_MAX + 1]; /* the last column is the right-hand side */
	unsigned n;
};

static void normal_equations(const struct points *p, struct system *s)
{
	*s = (struct system){.n = p->nterms};
	for (size_t i = 0; i < p->n; i++) {
		const struct point *q = &p->all[i];

		if (q->left_out)
			continue;
		for (unsigned r = 0; r < s->n; r++) {
			for (unsigned c = 0; c < s->n; c++)
				s->a[r][c] += q->term[r] * q->term[c];
			s->a[r][s->n] += q->term[r] * q->service_ns;
		}
	}
}

static void swap_rows(struct system *s, unsigned i, unsigned k)
{
	for (unsigned c = 0; c <= s->n; c++) {
		double held = s->a[i][c];

		s->a[i][c] = s->a[k][c];
		s->a[k][c] = held;
	}
}

/* Gauss and Jordan, the largest pivot of each column. False: the terms depend on one another. */
static bool solve(struct system *s, double *x)
{
	double scale[TERMS_MAX];

	for (unsigned i = 0; i < s->n; i++)
		scale[i] = s->a[i][i];
	for (unsigned i = 0; i < s->n; i++) {
		unsigned pivot = i;

		for (unsigned r = i + 1; r < s->n; r++)
			if (magnitude(s->a[r][i]) > magnitude(s->a[pivot][i]))
				pivot = r;
		if (magnitude(s->a[pivot][i]) <= 1e-9 * scale[i])
			return false;
		swap_rows(s, i, pivot);
		for (unsigned r = 0; r < s->n; r++) {
			double factor = r == i ? 0 : s->a[r][i] / s->a[i][i];

			for (unsigned c = i; c <= s->n; c++)
				s->a[r][c] -= factor * s->a[i][c];
		}
	}
	for (unsigned i = 0; i < s->n; i++)
		x[i] = s->a[i][s->n] / s->a[i][i];
	return true;
}

static double value_at(const struct points *p, const double *term)
{
	double v = 0;

	for (unsigned i = 0; i < p->nterms; i++)
		v += p->coefficient[i] * term[i];
	return v;
}

/* A quantile of the errors of those that are used, or of their magnitudes. */
static double error_quantile(const struct points *p, double quantile, bool of_magnitude)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		if (!p->all[i].left_out)
			p->scratch[n++] = of_magnitude ? magnitude(p->all[i].error_ns)
						       : p->all[i].error_ns;
	sort(p->scratch, n);
	return n ? p->scratch[(size_t)(quantile * (double)(n - 1))] : 0;
}

/* Leaves out what is far off; true if that changed anything. */
static bool leave_out(struct points *p)
{
	/* Errors spread evenly over a rotation reach to twice their median, and have some noise. */
	double limit = 2.5 * error_quantile(p, 0.5, true);
	bool changed = false;

	p->used = 0;
	for (size_t i = 0; i < p->n; i++) {
		bool far = magnitude(p->all[i].error_ns) > limit;

		changed |= far != p->all[i].left_out;
		p->all[i].left_out = far;
		p->used += !far;
	}
	return changed;
}

static int fit_points(struct points *p, struct alc_err *err)
{
	struct system s;

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		normal_equations(p, &s);
		if (p->used < CALIBRATE_LEAST || !solve(&s, p->coefficient))
			return alc_fail(err, -EINVAL,
					"the trace says too little: it needs requests at random "
					"places and of several sizes");
		for (size_t i = 0; i < p->n; i++)
			p->all[i].error_ns = p->all[i].service_ns - value_at(p, p->all[i].term);
		if (!leave_out(p))
			return 0;
	}
	return 0;
}

/* ---- Points ------------------------------------------------------------------------------- */

static double service_ns(const struct measured *rows, size_t i)
{
	u64 begin = rows[i].dispatch_ns;

	if (i && rows[i - 1].done_ns > begin)
		begin = rows[i - 1].done_ns;
	return rows[i].done_ns > begin ? (double)(rows[i].done_ns - begin) : 0;
}

static void points_free(struct points *p)
{
	host_free(p->host, p->all, p->n * sizeof(*p->all));
	host_free(p->host, p->scratch, p->n * sizeof(*p->scratch));
}

static int points_make(struct points *p, const struct alc_host *host, const struct measured *rows,
		       size_t n, u64 span, unsigned nterms, struct alc_err *err)
{
	*p = (struct points){.host = host, .n = n, .used = n, .nterms = nterms};
	if (n < CALIBRATE_LEAST)
		return alc_fail(err, -EINVAL, "a trace of %zu requests is too short, it takes %d",
				n, CALIBRATE_LEAST);
	for (size_t i = 0; i < n; i++)
		if (rows[i].sector >= span || rows[i].sectors > span - rows[i].sector)
			return alc_fail(err, -EINVAL, "request %zu of the trace is off the disk",
					i);
	p->all = host_alloc(host, n * sizeof(*p->all));
	p->scratch = host_alloc(host, n * sizeof(*p->scratch));
	if (!p->all || !p->scratch) {
		points_free(p);
		return alc_fail(err, -ENOMEM, "no memory for a trace");
	}
	for (size_t i = 0; i < n; i++)
		p->all[i].service_ns = service_ns(rows, i);
	return 0;
}

static u64 head_before(const struct measured *rows, size_t i)
{
	return i ? rows[i - 1].sector + rows[i - 1].sectors : 0;
}

static unsigned long whole(double v)
{
	return v <= 0 ? 0 : (unsigned long)(v + 0.5);
}

static void report(struct calibrated *out, const struct points *p, double rotation_ns,
		   double full_ns)
{
	out->used = p->used;
	out->outliers = p->n - p->used;
	out->rotation_ns = rotation_ns;
	out->full_ns = full_ns;
}

/* ---- The linear model --------------------------------------------------------------------- */

int calibrate_linear(const struct alc_host *host, const struct measured *rows, size_t n, u64 span,
		     bool transfer, struct calibrated *out, struct alc_err *err)
{
	struct points p;
	int rc = points_make(&p, host, rows, n, span, transfer ? 3 : 2, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++) {
		u64 head = head_before(rows, i);
		u64 d = rows[i].sector > head ? rows[i].sector - head : head - rows[i].sector;

		p.all[i].term[0] = 0.5;
		p.all[i].term[1] = (double)d / (double)span;
		p.all[i].term[2] = rows[i].sectors;
	}
	rc = fit_points(&p, err);
	if (!rc) {
		report(out, &p, p.coefficient[0], p.coefficient[1]);
		fmt_text(out->text, sizeof(out->text),
			 "linear:rotation=%luns:seek=%luns:transfer=%luns:span=%lu",
			 whole(p.coefficient[0]), whole(p.coefficient[1]),
			 transfer ? whole(p.coefficient[2]) : 0, (unsigned long)span);
	}
	points_free(&p);
	return rc;
}

/* ---- The detailed disk -------------------------------------------------------------------- */

/*
 * Terms: the seek curve in the distance x as a part of all cylinders, as k0 + k1 * sqrt(x) up to a
 * third and k2 + k3 * x beyond, half a rotation in each; and a time for each sector that grows
 * with the place, from k4 at the outside by k5 to the inside.
 */
enum { SHORT, SHORT_ROOT, LONG, LONG_LINEAR, OUTER, INWARDS };

/*
 * The part of the cylinders that lies before a part u of the sectors, if the sectors per track
 * fall evenly from 1 to `ratio`: u = (2p - (1-ratio) * p^2) / (1+ratio), solved for p.
 */
static double cylinder_part(double u, double ratio)
{
	double fall = 1 - ratio;

	if (fall < 1e-3)
		return u;
	return (1 - root_of_part(1 - fall * (1 + ratio) * u)) / fall;
}

static void disk_terms(struct points *p, const struct measured *rows, u64 span, double ratio)
{
	for (size_t i = 0; i < p->n; i++) {
		double *t = p->all[i].term;
		u64 head = head_before(rows, i);
		double at = cylinder_part((double)rows[i].sector / (double)span, ratio);
		double x = magnitude(at - cylinder_part((double)head / (double)span, ratio));
		bool is_long = x >= 1.0 / 3;

		t[SHORT] = !is_long;
		t[SHORT_ROOT] = is_long ? 0 : root_of_part(x);
		t[LONG] = is_long;
		t[LONG_LINEAR] = is_long ? x : 0;
		t[OUTER] = rows[i].sectors;
		t[INWARDS] = rows[i].sectors * at;
		p->all[i].left_out = head == rows[i].sector; /* may come without a rotation */
	}
}

/* From the middle half of the errors: they are spread evenly over one rotation. */
static double rotation_of(const struct points *p)
{
	static const double speeds[] = {4200, 5400, 5900, 7200, 10000, 10500, 12000, 15000};
	double ns = 2 * (error_quantile(p, 0.75, false) - error_quantile(p, 0.25, false));

	for (size_t i = 0; i < ARRAY_LEN(speeds); i++) {
		double usual = 60e9 / speeds[i];

		if (magnitude(ns - usual) < 0.04 * usual)
			return usual;
	}
	return ns;
}

static double ratio_of(const struct points *p)
{
	double outer = p->coefficient[OUTER], inner = outer + p->coefficient[INWARDS];

	if (outer <= 0 || inner <= outer)
		return 1;
	return outer / inner < 0.2 ? 0.2 : outer / inner;
}

static void write_disk(const struct points *p, u64 span, unsigned heads, struct calibrated *out)
{
	const double *k = p->coefficient;
	double rotation = rotation_of(p), ratio = ratio_of(p);
	double outer = k[OUTER] > 0 ? rotation / k[OUTER] : 1000;
	double cylinders = (double)span / (heads * outer * (1 + ratio) / 2);
	double third =
		(k[SHORT] + k[SHORT_ROOT] * root_of_part(1.0 / 3) + k[LONG] + k[LONG_LINEAR] / 3) /
		2;
	double single = k[SHORT] + k[SHORT_ROOT] * root_of_part(1 / cylinders) - rotation / 2;
	double average = third - rotation / 2, full = k[LONG] + k[LONG_LINEAR] - rotation / 2;

	average = average < single ? single : average;
	full = full < average ? average : full;
	report(out, p, rotation, full);
	fmt_text(out->text, sizeof(out->text),
		 "disk:rotation=%luns:seek-single=%luns:seek-average=%luns:seek-full=%luns:"
		 "outer=%lu:inner=%lu:heads=%u:span=%lu:overhead=0",
		 whole(rotation), whole(single), whole(average), whole(full), whole(outer),
		 whole(outer * ratio), heads, (unsigned long)span);
}

int calibrate_disk(const struct alc_host *host, const struct measured *rows, size_t n, u64 span,
		   unsigned heads, struct calibrated *out, struct alc_err *err)
{
	struct points p;
	int rc = points_make(&p, host, rows, n, span, TERMS_MAX, err);
	double ratio = 1;

	if (rc)
		return rc;
	/* The distances in cylinders depend on the zones, which the fit gives. */
	for (unsigned round = 0; round < 4 && !rc; round++) {
		disk_terms(&p, rows, span, ratio);
		rc = fit_points(&p, err);
		ratio = ratio_of(&p);
	}
	if (!rc)
		write_disk(&p, span, heads, out);
	points_free(&p);
	return rc;
}

/* ---- How well a model fits ---------------------------------------------------------------- */

struct replay {
	struct drive *drive;
	const struct measured *rows;
	struct disk_req *reqs; /* one for each row */
	double *measured, *modelled, *errors;
	size_t n;
};

static void give_all(struct replay *r)
{
	const struct drive_class *class = r->drive->class;
	unsigned inside = 0;
	u64 now_ns = 0;

	for (size_t i = 0; i < r->n; i++) {
		struct disk_req *q = &r->reqs[i];

		now_ns = max_u64(now_ns, r->rows[i].dispatch_ns);
		while (inside &&
		       (class->next_ns(r->drive) <= now_ns || inside == r->drive->depth)) {
			now_ns = max_u64(now_ns, class->next_ns(r->drive));
			inside -= class->take(r->drive, now_ns) != NULL;
		}
		*q = (struct disk_req){.sector = r->rows[i].sector,
				       .sectors = r->rows[i].sectors,
				       .op = r->rows[i].write ? BLOCK_WRITE : BLOCK_READ,
				       .arrival_ns = r->rows[i].dispatch_ns,
				       .dispatch_ns = now_ns,
				       .span_sector = r->rows[i].sector,
				       .span_sectors = r->rows[i].sectors};
		class->submit(r->drive, q, now_ns);
		inside++;
	}
	while (inside)
		inside -= class->take(r->drive, class->next_ns(r->drive)) != NULL;
}

/* Both as if requests had gone one at a time, as service_ns sees them. */
static void collect(struct replay *r)
{
	u64 last_ns = 0;

	for (size_t i = 0; i < r->n; i++) {
		u64 begin_ns = max_u64(r->reqs[i].dispatch_ns, last_ns);

		last_ns = max_u64(last_ns, r->reqs[i].done_ns);
		r->modelled[i] = last_ns > begin_ns ? (double)(last_ns - begin_ns) : 0;
		r->measured[i] = service_ns(r->rows, i);
		r->errors[i] = magnitude(r->modelled[i] - r->measured[i]);
	}
}

static double mean(const double *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i];
	return sum / (double)n;
}

static double variance_explained(const struct replay *r, double average)
{
	double all = 0, left = 0;

	for (size_t i = 0; i < r->n; i++) {
		double off = r->measured[i] - average;

		all += off * off;
		left += r->errors[i] * r->errors[i];
	}
	return all > 0 ? 1 - left / all : 0;
}

/* Of two sorted samples of the same size. */
static double cdf_distance(const double *a, const double *b, size_t n)
{
	size_t i = 0, k = 0, most = 0;

	while (i < n && k < n) {
		double v = a[i] < b[k] ? a[i] : b[k];

		while (i < n && a[i] <= v)
			i++;
		while (k < n && b[k] <= v)
			k++;
		most = i > k ? (i - k > most ? i - k : most) : (k - i > most ? k - i : most);
	}
	return (double)most / (double)n;
}

static void judge(struct replay *r, struct fit *out)
{
	out->mean_measured_ns = mean(r->measured, r->n);
	out->mean_modelled_ns = mean(r->modelled, r->n);
	out->r_squared = variance_explained(r, out->mean_measured_ns);
	sort(r->errors, r->n);
	out->median_error_ns = r->errors[r->n / 2];
	sort(r->measured, r->n);
	sort(r->modelled, r->n);
	out->cdf_distance = cdf_distance(r->measured, r->modelled, r->n);
}

int calibrate_check(const struct alc_host *host, const char *model, const struct measured *rows,
		    size_t n, u64 sectors, struct fit *out, struct alc_err *err)
{
	struct replay r = {.rows = rows, .n = n};
	int rc;

	if (!n)
		return alc_fail(err, -EINVAL, "the trace is empty");
	rc = drive_create(&(struct drive_env){host, sectors, 1}, model, &r.drive, err);
	if (rc)
		return rc;
	r.reqs = host_alloc(host, n * sizeof(*r.reqs));
	r.measured = host_alloc(host, 3 * n * sizeof(double));
	if (r.reqs && r.measured) {
		r.modelled = r.measured + n;
		r.errors = r.modelled + n;
		give_all(&r);
		collect(&r);
		judge(&r, out);
	} else {
		rc = alc_fail(err, -ENOMEM, "no memory for a trace");
	}
	host_free(host, r.measured, 3 * n * sizeof(double));
	host_free(host, r.reqs, n * sizeof(*r.reqs));
	drive_destroy(r.drive);
	return rc;
}
