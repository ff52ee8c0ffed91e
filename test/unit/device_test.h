/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_UNIT_DEVICE_TEST_H
#define TEST_UNIT_DEVICE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conform/rig.h"
#include "host/test/test_host.h"

/*
 * Data-sheet tests: one device on a rig for each test, which takes it as
 *
 *	struct rig *r = *state;
 */
struct device_test {
	struct rig rig; /* first: what the test sees */
	struct test_host th;
};

static inline int device_setup(void **state, const char *class_name)
{
	struct device_test *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	test_host_init(&t->th, TEST_TIME_MANUAL);
	rig_init(&t->rig, &t->th.host, 0);
	rig_create(&t->rig, class_name);
	*state = &t->rig;
	return 0;
}

static inline int device_teardown(void **state)
{
	struct device_test *t = container_of((struct rig *)*state, struct device_test, rig);

	rig_fini(&t->rig);
	assert_int_equal(test_host_leaks(&t->th), 0);
	test_host_fini(&t->th);
	free(t);
	return 0;
}

#define DEVICE_SETUP(class_name)                        \
	static int setup(void **state)                  \
	{                                               \
		return device_setup(state, class_name); \
	}

#define DEVICE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, device_teardown)

#endif
