/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/errno.h"
#include "block/station.h"
#include "host/test/test_host.h"

/* ---- parameters ---- */

struct values {
	u64 count, time_ns;
	double real;
	bool flag;
};

static const struct param table[] = {
	{"count", "how many", PARAM_COUNT, offsetof(struct values, count), "8K", 1, 1 << 20},
	{"time", "how long", PARAM_TIME, offsetof(struct values, time_ns), "3.5ms", 0, 1e9},
	{"real", "a factor", PARAM_REAL, offsetof(struct values, real), "2.43", 0, 100},
	{"flag", "whether", PARAM_FLAG, offsetof(struct values, flag), "on", 0, 0},
	{.name = NULL},
};

static void parameters_have_defaults_and_units(void **state)
{
	struct alc_err err = {0};
	struct values v;

	assert_int_equal(param_parse(table, NULL, &v, &err), 0);
	assert_int_equal(v.count, 8192);
	assert_int_equal(v.time_ns, 3500000);
	assert_true(v.real == 2.43 && v.flag);
	assert_int_equal(param_parse(table, "time=0.25us:flag=off:count=0x10:real=1.5e1", &v, &err),
			 0);
	assert_int_equal(v.count, 16);
	assert_int_equal(v.time_ns, 250);
	assert_true(v.real == 15 && !v.flag);
}

static void parameters_refuse_nonsense(void **state)
{
	static const struct {
		const char *text;
		int rc;
		const char *says;
	} cases[] = {
		{"tme=1ms", -ENOENT, "did you mean 'time'"},
		{"time=1", -EINVAL, "a time such as"},
		{"time=2s", -ERANGE, "how long"},
		{"count=0", -ERANGE, "how many"},
		{"count=", -EINVAL, "a number"},
		{"flag=maybe", -EINVAL, "on or off"},
		{"real=1.2.3", -EINVAL, "a number"},
		{"real", -EINVAL, "NAME=VALUE"},
		{"real=-1", -ERANGE, "a factor"},
		{"xyzzy=1", -ENOENT, "no parameter"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct alc_err err = {0};
		struct values v;

		assert_int_equal(param_parse(table, cases[i].text, &v, &err), cases[i].rc);
		assert_non_null(strstr(err.text, cases[i].says));
	}
}

/* ---- a station ---- */

static void requests_share_a_drive(void **state)
{
	const struct alc_host *host;
	struct test_host th;
	struct disk_req reqs[3] = {0}, *done;
	struct alc_err err = {0};
	struct station st;
	struct sched *sched;
	struct drive *drive;
	u64 next_ns;

	test_host_init(&th, TEST_TIME_MANUAL);
	host = &th.host;
	assert_int_equal(sched_create(&(struct sched_env){.host = host, .sectors = 1000}, "noop",
				      &sched, &err),
			 0);
	assert_int_equal(drive_create(&(struct drive_env){host, 1000, 0},
				      "fixed:latency=10us:depth=2", &drive, &err),
			 0);
	station_init(&st, sched, drive);
	for (unsigned i = 0; i < 3; i++) {
		reqs[i].sector = i;
		reqs[i].sectors = 1;
		station_add(&st, &reqs[i], i);
		assert_null(station_advance(&st, i, &next_ns));
	}
	assert_int_equal(next_ns, 10000);
	assert_int_equal(st.waiting, 1);
	done = station_advance(&st, 10000, &next_ns);
	assert_ptr_equal(done, &reqs[0]);
	assert_null(done->next);
	assert_int_equal(next_ns, 10001);
	assert_int_equal(reqs[2].dispatch_ns, 10000);
	assert_ptr_equal(station_advance(&st, 10001, &next_ns), &reqs[1]);
	assert_ptr_equal(station_advance(&st, 20000, &next_ns), &reqs[2]);
	assert_int_equal(reqs[2].done_ns, 20000);
	assert_true(next_ns == DISK_NEVER);
	sched_destroy(sched);
	drive_destroy(drive);
	assert_int_equal(test_host_leaks(&th), 0);
	test_host_fini(&th);
}

static void unknown_names_are_suggested(void **state)
{
	struct alc_err err = {0}, second = {0};
	struct sched *sched;
	struct drive *drive;

	assert_int_equal(sched_create(&(struct sched_env){0}, "nop", &sched, &err), -ENOENT);
	assert_non_null(strstr(err.text, "did you mean 'noop'"));
	assert_int_equal(drive_create(&(struct drive_env){0}, "fixd:latency=1ms", &drive, &second),
			 -ENOENT);
	assert_non_null(strstr(second.text, "did you mean 'fixed'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_have_defaults_and_units),
		cmocka_unit_test(parameters_refuse_nonsense),
		cmocka_unit_test(requests_share_a_drive),
		cmocka_unit_test(unknown_names_are_suggested),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
