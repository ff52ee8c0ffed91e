/* SPDX-License-Identifier: BSD-2-Clause */
/* Calibration finds the parameters of traces that were made from known ones, with noise. */
#include "base/errno.h"
#include "block/model/calibrate.h"
#include "drive_test.h"
#include "host/test/sweep.h"

enum { ROWS = 20000 };

static struct measured rows[ROWS];

static double noise(u64 *state, double width)
{
	return ((double)random_below(state, 1 << 20) / (1 << 20) - 0.5) * width;
}

/* A parameter of what was found. */
static double found(const struct calibrated *c, const char *name)
{
	char wanted[64];
	const char *at;

	snprintf(wanted, sizeof(wanted), ":%s=", name);
	at = strstr(c->text, wanted);
	assert_non_null(at);
	return strtod(at + strlen(wanted), NULL);
}

static void assert_near(double a, double wanted, double part)
{
	if (a < wanted * (1 - part) || a > wanted * (1 + part))
		print_error("%g instead of %g\n", a, wanted);
	assert_true(a >= wanted * (1 - part) && a <= wanted * (1 + part));
}

/* ---- Linear ------------------------------------------------------------------------------- */

enum { LINEAR_SPAN = 143374744 };

/* X = R/2 + S * d/D + T * sectors, even noise of a rotation, and some hits in a cache. */
static void make_linear_trace(u64 state, unsigned hits_percent)
{
	u64 now = 0, head = 0;

	for (unsigned i = 0; i < ROWS; i++) {
		struct measured *m = &rows[i];
		double x;

		m->sectors = 8 << random_below(&state, 6);
		m->sector = random_below(&state, LINEAR_SPAN - 1000);
		m->dispatch_ns = now;
		x = 2e6 +
		    7.4e6 * (m->sector > head ? m->sector - head : head - m->sector) / LINEAR_SPAN +
		    7000.0 * m->sectors + noise(&state, 4e6);
		if (random_below(&state, 100) < hits_percent)
			x = 60000;
		m->done_ns = now + (u64)(x < 0 ? 0 : x);
		head = m->sector + m->sectors;
		now = m->done_ns + random_below(&state, 100000);
	}
}

static void find_linear(const struct alc_host *host, unsigned hits_percent, double within)
{
	struct alc_err err = {0};
	struct calibrated c;
	struct fit fit;

	make_linear_trace(3, hits_percent);
	assert_int_equal(calibrate_linear(host, rows, ROWS, LINEAR_SPAN, true, &c, &err), 0);
	assert_near(found(&c, "rotation"), 4e6, within);
	assert_near(found(&c, "seek"), 7.4e6, within);
	assert_near(found(&c, "transfer"), 7000, within);
	assert_true(c.outliers <= ROWS * hits_percent / 100 + ROWS / 50);
	assert_true(c.outliers >= ROWS * hits_percent * 3 / 400);
	assert_int_equal(calibrate_check(host, c.text, rows, ROWS, LINEAR_SPAN, &fit, &err), 0);
	assert_true(fit.median_error_ns < 1.3e6 && fit.r_squared > 0.2);
}

/* A hit looks like a request that was lucky; those that are close by can't be told from them. */
static void linear_parameters_are_found(void **state)
{
	struct test_host th;

	test_host_init(&th, TEST_TIME_MANUAL);
	find_linear(&th.host, 0, 0.02);
	find_linear(&th.host, 10, 0.06);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

/* ---- Disk --------------------------------------------------------------------------------- */

enum { DISK_SPAN = 60000000 };

/* What a drive does with random reads one at a time, with noise on each end. */
static void make_trace_of(const char *text, u64 span, double width, u64 state)
{
	struct test_host th;
	struct drive *d;
	u64 now = 0;

	test_host_init(&th, TEST_TIME_MANUAL);
	d = drive_of(&th.host, span, text);
	for (unsigned i = 0; i < ROWS; i++) {
		struct disk_req r = {.op = BLOCK_READ};
		double late;

		r.span_sectors = r.sectors = 8 << random_below(&state, 8);
		r.span_sector = r.sector = random_below(&state, span - r.sectors);
		d->class->submit(d, &r, now);
		assert_ptr_equal(d->class->take(d, d->class->next_ns(d)), &r);
		late = width / 2 + noise(&state, width);
		rows[i] = (struct measured){now, r.done_ns + (u64)late, r.sector, r.sectors, false};
		now = rows[i].done_ns + random_below(&state, 5000000);
	}
	drive_destroy(d);
	test_host_fini(&th);
}

static const char disk_text[] =
	"disk:rotation=8.333333ms:outer=1600:inner=800:heads=4:zones=16:seek-single=0.8ms:"
	"seek-average=8.5ms:seek-full=16ms:overhead=0:prefetch=0:segments=1:sectors=1";

static void disk_parameters_are_found(void **state)
{
	struct alc_err err = {0};
	struct test_host th;
	struct calibrated c;
	struct fit fit, worse;

	test_host_init(&th, TEST_TIME_MANUAL);
	make_trace_of(disk_text, DISK_SPAN, 50000, 17);
	assert_int_equal(calibrate_disk(&th.host, rows, ROWS, DISK_SPAN, 4, &c, &err), 0);
	assert_near(c.rotation_ns, 8333333, 0.001);
	assert_near(found(&c, "seek-average"), 8.5e6, 0.05);
	assert_near(found(&c, "seek-full"), 16e6, 0.05);
	assert_near(found(&c, "seek-single"), 0.8e6, 0.5);
	assert_near(found(&c, "outer"), 1600, 0.2);
	assert_near(found(&c, "inner"), 800, 0.2);
	assert_int_equal(calibrate_check(&th.host, c.text, rows, ROWS, DISK_SPAN, &fit, &err), 0);
	assert_near(fit.mean_modelled_ns, fit.mean_measured_ns, 0.02);
	assert_true(fit.cdf_distance < 0.03);
	/* A disk of another kind fits worse. */
	assert_int_equal(calibrate_check(&th.host,
					 "disk:rotation=4ms:seek-average=4ms:seek-full=8ms", rows,
					 ROWS, DISK_SPAN, &worse, &err),
			 0);
	assert_true(worse.cdf_distance > 0.3 && worse.r_squared < fit.r_squared);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

/* A model judged by a trace of its own is right in everything. */
static void a_model_fits_its_own_trace(void **state)
{
	struct alc_err err = {0};
	struct test_host th;
	struct fit fit;

	test_host_init(&th, TEST_TIME_MANUAL);
	make_trace_of(disk_text, DISK_SPAN, 0, 5);
	assert_int_equal(calibrate_check(&th.host, disk_text, rows, ROWS, DISK_SPAN, &fit, &err),
			 0);
	assert_true(fit.median_error_ns == 0 && fit.r_squared == 1 && fit.cdf_distance == 0);
	assert_true(fit.mean_measured_ns == fit.mean_modelled_ns);
	test_host_fini(&th);
}

/* ---- Refusals ----------------------------------------------------------------------------- */

static void poor_traces_are_refused(void **state)
{
	struct alc_err few = {0}, same = {0}, off = {0}, none = {0};
	struct test_host th;
	struct calibrated c;
	struct fit fit;

	test_host_init(&th, TEST_TIME_MANUAL);
	make_linear_trace(1, 0);
	assert_int_equal(calibrate_linear(&th.host, rows, 10, LINEAR_SPAN, false, &c, &few),
			 -EINVAL);
	assert_non_null(strstr(few.text, "too short"));
	assert_int_equal(calibrate_linear(&th.host, rows, ROWS, 1000, false, &c, &off), -EINVAL);
	assert_non_null(strstr(off.text, "off the disk"));
	for (unsigned i = 0; i < ROWS; i++)
		rows[i] = (struct measured){i * 1000ull, i * 1000ull + 500, 7, 8, false};
	assert_int_equal(calibrate_disk(&th.host, rows, ROWS, LINEAR_SPAN, 4, &c, &same), -EINVAL);
	assert_non_null(strstr(same.text, "says too little"));
	assert_int_equal(calibrate_check(&th.host, "linear", rows, 0, 1000, &fit, &none), -EINVAL);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

static int do_all(const struct alc_host *host, void *arg, struct alc_err *err)
{
	struct calibrated c;
	struct fit fit;
	int rc = calibrate_linear(host, rows, 1000, LINEAR_SPAN, true, &c, err);

	if (!rc)
		rc = calibrate_disk(host, rows, 1000, LINEAR_SPAN, 4, &c, err);
	return rc ? rc : calibrate_check(host, c.text, rows, 1000, LINEAR_SPAN, &fit, err);
}

static void calibration_copes_without_memory(void **state)
{
	struct sweep s = {.run = do_all, .has_err = true};

	make_linear_trace(9, 0);
	assert_true(sweep(&s) > 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linear_parameters_are_found),
		cmocka_unit_test(disk_parameters_are_found),
		cmocka_unit_test(a_model_fits_its_own_trace),
		cmocka_unit_test(poor_traces_are_refused),
		cmocka_unit_test(calibration_copes_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
