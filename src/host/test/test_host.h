/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOST_TEST_HOST_H
#define HOST_TEST_HOST_H

#include <pthread.h>

#include "host/host.h"

/*
 * A host for tests: the Linux host, with every resource counted, any call made to fail, log lines
 * and random numbers under control, and time that stands still until it is told to pass.
 *
 *	struct test_host th;
 *
 *	test_host_init(&th, TEST_TIME_MANUAL);
 *	thing_create(&th.host, &thing);
 *	test_host_advance(&th, 5000);
 *	thing_destroy(thing);
 *	assert_int_equal(test_host_leaks(&th), 0);
 *	test_host_fini(&th);
 */
enum test_time {
	TEST_TIME_MANUAL, /* now_ns moves by test_host_advance alone */
	TEST_TIME_REAL,
};

/* What is live; the failable calls are those that make one of these. */
enum test_resource {
	TEST_ALLOC,
	TEST_RAM,
	TEST_CODE,
	TEST_THREAD,
	TEST_MUTEX,
	TEST_EVENT,
	TEST_RESOURCES,
};

enum { TEST_LOG_MAX = 4096, TEST_FD_FIRST = 1000000 };

struct test_host {
	struct alc_host host; /* hand this to the code under test */

	/* The n-th failable call from now on fails; 0: none does. */
	unsigned fail_nth;
	unsigned calls; /* failable calls so far */
	bool failed;    /* one was made to fail */

	size_t live[TEST_RESOURCES];
	size_t live_bytes; /* of TEST_ALLOC */

	enum test_time time;
	u64 wall_base_ns; /* calendar time at now_ns 0, in manual time */
	u64 manual_ns;
	u64 random_state;
	char log[TEST_LOG_MAX]; /* lines "level: text\n"; what doesn't fit is cut */

	/* The rest is private. */
	struct alc_host *real;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct alc_event *events;
	size_t running; /* threads whose function hasn't returned */
	int fds;
};

/* Aborts if the machine under the tests can't provide one. */
void test_host_init(struct test_host *th, enum test_time time);
void test_host_fini(struct test_host *th);

/* Live resources of all kinds. */
size_t test_host_leaks(struct test_host *th);
bool test_host_logged(struct test_host *th, const char *text);

/* Lets manual time pass, waking the waits whose deadline has come. */
void test_host_advance(struct test_host *th, u64 ns);
/*
 * Waits until every thread started through this host has returned or sleeps in event_wait with
 * nothing due. Only for code whose threads do come to rest.
 */
void test_host_settle(struct test_host *th);
/* Raises the count of a descriptor that event_fd gave: false if its event is gone. */
bool test_host_raise(struct test_host *th, int fd);

#endif
