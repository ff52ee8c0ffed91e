/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOST_TEST_SWEEP_H
#define HOST_TEST_SWEEP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alcazar/err.h"
#include "host/test/test_host.h"

/*
 * The sweep: runs a piece of code once for each call to the host that may fail, with that call
 * failing, and once more with none failing. Each run must leave nothing behind; a failed run must
 * say so by a negative code, and by a sentence if it has one. For cmocka tests.
 */
struct sweep {
	/*
	 * Makes the thing, and if that succeeds destroys it. Returns what the making returned.
	 * err is empty at the start.
	 */
	int (*run)(const struct alc_host *host, void *arg, struct alc_err *err);
	void *arg;
	bool has_err;  /* err is passed on, so that it must be filled when run fails */
	bool may_cope; /* some calls may fail without the whole failing */
};

enum { SWEEP_CALLS_MAX = 100000 };

/* One run; true if a call was made to fail in it. */
static inline bool sweep_once(const struct sweep *s, unsigned nth)
{
	struct alc_err err = {0};
	struct test_host th;
	bool failed;
	int rc;

	test_host_init(&th, TEST_TIME_MANUAL);
	th.fail_nth = nth;
	rc = s->run(&th.host, s->arg, &err);
	failed = th.failed;
	if (test_host_leaks(&th))
		print_error("call %u failing leaves %zu resources\n", nth, test_host_leaks(&th));
	assert_int_equal(test_host_leaks(&th), 0);
	if (!failed || s->may_cope)
		assert_true(rc == 0 || (failed && rc < 0));
	else
		assert_true(rc < 0);
	if (rc && s->has_err) {
		assert_int_equal(err.code, rc);
		assert_true(err.text[0] != '\0');
	}
	test_host_fini(&th);
	return failed;
}

/* Returns how many calls can fail. */
static inline unsigned sweep(const struct sweep *s)
{
	unsigned nth = 1;

	while (sweep_once(s, nth)) {
		assert_true(nth < SWEEP_CALLS_MAX);
		nth++;
	}
	return nth - 1;
}

#endif
