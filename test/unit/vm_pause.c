/* SPDX-License-Identifier: BSD-2-Clause */
/* Pause and resume, the power button, stolen time, halts. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "host/test/test_host.h"
#include "isa/pvclock.h"
#include "tiny_kernel.h"

enum { COUNTER = 0x200000, STEAL = 0x300000, RAM = 16 << 20 };
#define SECOND_NS 1000000000ull

/* The counter lies in RAM that no image covers: resets leave it alone. */
static const u8 count_up[] = {0xff, 0x05, 0x00, 0x00, 0x20, 0x00, 0xeb, 0xf8};
static const u8 count_and_sleep[] = {0xff, 0x05, 0x00, 0x00, 0x20, 0x00, 0xfa, 0xf4, 0xeb, 0xfd};
static const u8 count_and_reset[] = {
	0xff, 0x05, 0x00, 0x00, 0x20, 0x00, /* incl */
	0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe, /* reset by the keyboard controller */
};
static const u8 count_and_power_off[] = {
	0xff, 0x05, 0x00, 0x00, 0x20, 0x00,             /* incl */
	0x66, 0xba, 0x04, 0x06,                         /* mov $0x604, %dx */
	0x66, 0xb8, 0x00, 0x34, 0x66, 0xef, 0xeb, 0xfe, /* S5 */
};
/* Enables the button's event, counts, waits for the button, powers off. */
static const u8 obey_button[] = {
	0x66, 0xba, 0x02, 0x06, 0x66, 0xb8, 0x00, 0x01, 0x66, 0xef, /* outw $0x100, $0x602 */
	0xff, 0x05, 0x00, 0x00, 0x20, 0x00,                         /* incl */
	0x66, 0xba, 0x00, 0x06,                                     /* mov $0x600, %dx */
	0x66, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf9,                   /* inw; testb $1, %ah; jz */
	0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x34, 0x66, 0xef, 0xeb, 0xfe,
};
/* Enables the event, and then does something else. */
static const u8 ignore_button[] = {
	0x66, 0xba, 0x02, 0x06, 0x66, 0xb8, 0x00, 0x01, 0x66,
	0xef, 0xff, 0x05, 0x00, 0x00, 0x20, 0x00, 0xeb, 0xf8,
};

/* ---- A machine that runs in a thread ------------------------------------------------------ */

struct rig {
	struct test_host th;
	struct alc_desc desc;
	u8 image[IMAGE_MAX];
	struct machine *m;
	struct alc_result res;
	pthread_t thread;
};

static struct alc_desc description(void)
{
	struct alc_desc d = ALC_DESC_INIT;

	d.engine = "interp";
	d.memory_bytes = RAM;
	return d;
}

static u64 no_cpu_time(void *ctx)
{
	return 0;
}

static void set_up(struct rig *r, enum test_time time, const u8 *code, size_t len)
{
	struct machine_parts parts = {.kernel = {"test", r->image, 0}};
	struct alc_err err = {0};

	test_host_init(&r->th, time);
	/* All time that passes while a CPU runs is stolen from it. */
	r->th.host.thread_cpu_ns = no_cpu_time;
	parts.kernel.len = make_kernel(r->image, code, len);
	if (machine_create(&r->th.host, &r->desc, &parts, &r->m, &err))
		fail_msg("%s", err.text);
}

static void *run_machine(void *arg)
{
	struct rig *r = arg;
	struct alc_err err = {0};

	return machine_run(r->m, &r->res, &err) ? arg : NULL;
}

static void start(struct rig *r)
{
	assert_int_equal(pthread_create(&r->thread, NULL, run_machine, r), 0);
}

/* Waits for the machine's end. */
static enum alc_outcome finish(struct rig *r)
{
	void *failed;

	pthread_join(r->thread, &failed);
	assert_null(failed);
	machine_pause(r->m);
	machine_resume(r->m);
	machine_destroy(r->m);
	assert_int_equal(test_host_leaks(&r->th), 0);
	test_host_fini(&r->th);
	return r->res.outcome;
}

static u32 counter(struct rig *r)
{
	u32 n;

	assert_int_equal(space_copy_in(&r->m->space, gpa(COUNTER), &n, sizeof(n)), 0);
	return n;
}

/* Until the guest has counted that far on. */
static void await(struct rig *r, u32 more)
{
	u32 before = counter(r);

	while (counter(r) - before < more)
		r->th.host.yield(r->th.host.ctx);
}

/* For a guest that counts once, perhaps before anybody looks. */
static void await_first(struct rig *r)
{
	while (!counter(r))
		r->th.host.yield(r->th.host.ctx);
}

static void await_phase(struct rig *r, enum machine_phase wanted)
{
	enum machine_phase now;

	do {
		r->th.host.yield(r->th.host.ctx);
		host_lock(r->m->host, r->m->lock);
		now = r->m->phase;
		host_unlock(r->m->host, r->m->lock);
	} while (now != wanted);
}

static enum alc_outcome stop(struct rig *r)
{
	machine_stop(r->m);
	return finish(r);
}

/* ---- Pause and resume --------------------------------------------------------------------- */

static void guest_and_its_time_stand_still(void **state)
{
	struct rig r = {.desc = description()};
	u64 at_ns;
	u32 n;

	set_up(&r, TEST_TIME_MANUAL, count_up, sizeof(count_up));
	start(&r);
	await(&r, 1000);
	machine_pause(r.m);
	assert_int_equal(r.m->phase, PHASE_PARKED);
	n = counter(&r);
	at_ns = clock_now_ns(r.m->clock);
	test_host_advance(&r.th, 10 * SECOND_NS);
	assert_int_equal(clock_now_ns(r.m->clock), at_ns);
	assert_int_equal(counter(&r), n);
	machine_resume(r.m);
	await(&r, 1000);
	test_host_advance(&r.th, 3);
	assert_int_equal(clock_now_ns(r.m->clock), at_ns + 3);
	assert_int_equal(stop(&r), ALC_OUTCOME_STOPPED);
}

static void pause_does_not_nest(void **state)
{
	struct rig r = {.desc = description()};

	set_up(&r, TEST_TIME_REAL, count_up, sizeof(count_up));
	start(&r);
	machine_resume(r.m);
	await(&r, 1000);
	machine_pause(r.m);
	machine_pause(r.m);
	machine_resume(r.m);
	machine_resume(r.m);
	await(&r, 1000);
	assert_int_equal(r.m->pauses, 1);
	assert_int_equal(stop(&r), ALC_OUTCOME_STOPPED);
}

static void paused_before_it_runs(void **state)
{
	struct rig r = {.desc = description()};

	set_up(&r, TEST_TIME_MANUAL, count_up, sizeof(count_up));
	machine_pause(r.m);
	start(&r);
	await_phase(&r, PHASE_PARKED);
	assert_int_equal(counter(&r), 0);
	machine_resume(r.m);
	await(&r, 1000);
	assert_int_equal(stop(&r), ALC_OUTCOME_STOPPED);
}

static void stop_ends_a_paused_machine(void **state)
{
	struct rig r = {.desc = description()};

	set_up(&r, TEST_TIME_MANUAL, count_up, sizeof(count_up));
	machine_pause(r.m);
	start(&r);
	await_phase(&r, PHASE_PARKED);
	machine_stop(r.m);
	assert_int_equal(finish(&r), ALC_OUTCOME_STOPPED);
}

static void paused_in_a_halt(void **state)
{
	struct rig r = {.desc = description()};

	r.desc.cpus = 3;
	set_up(&r, TEST_TIME_REAL, count_and_sleep, sizeof(count_and_sleep));
	start(&r);
	await_first(&r);
	for (unsigned i = 0; i < 50; i++) {
		machine_pause(r.m);
		assert_int_equal(r.m->phase, PHASE_PARKED);
		machine_resume(r.m);
	}
	assert_int_equal(r.m->pauses, 50);
	assert_int_equal(counter(&r), 1);
	assert_int_equal(stop(&r), ALC_OUTCOME_STOPPED);
}

static void paused_among_resets(void **state)
{
	struct rig r = {.desc = description()};

	set_up(&r, TEST_TIME_REAL, count_and_reset, sizeof(count_and_reset));
	start(&r);
	for (unsigned i = 0; i < 50; i++) {
		u32 n;

		await(&r, 1);
		machine_pause(r.m);
		n = counter(&r);
		r.th.host.yield(r.th.host.ctx);
		assert_int_equal(counter(&r), n);
		machine_resume(r.m);
	}
	assert_true(r.m->resets >= 49);
	assert_int_equal(stop(&r), ALC_OUTCOME_STOPPED);
}

static void *toggle(void *arg)
{
	struct rig *r = arg;

	for (unsigned i = 0; i < 200; i++) {
		machine_pause(r->m);
		machine_resume(r->m);
	}
	return NULL;
}

static void paused_by_many(void **state)
{
	pthread_t threads[4];
	struct rig r = {.desc = description()};

	set_up(&r, TEST_TIME_REAL, count_up, sizeof(count_up));
	start(&r);
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, toggle, &r), 0);
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	await(&r, 1000);
	assert_int_equal(stop(&r), ALC_OUTCOME_STOPPED);
}

/* Whoever waits for a pause of a machine that ends instead does not wait for ever. */
static void pause_of_one_that_ends(void **state)
{
	for (unsigned i = 0; i < 50; i++) {
		struct rig r = {.desc = description()};

		set_up(&r, TEST_TIME_REAL, count_and_power_off, sizeof(count_and_power_off));
		start(&r);
		toggle(&r);
		assert_int_equal(finish(&r), ALC_OUTCOME_POWEROFF);
	}
}

static void pauses_do_not_count_for_the_time_limit(void **state)
{
	struct rig r = {.desc = description()};

	r.desc.timeout_ns = 5 * SECOND_NS;
	set_up(&r, TEST_TIME_MANUAL, count_up, sizeof(count_up));
	start(&r);
	await(&r, 1000);
	machine_pause(r.m);
	test_host_advance(&r.th, 100 * SECOND_NS);
	machine_resume(r.m);
	await(&r, 1000);
	machine_pause(r.m);
	assert_int_equal(r.m->phase, PHASE_PARKED);
	machine_resume(r.m);
	test_host_advance(&r.th, 5 * SECOND_NS);
	assert_int_equal(finish(&r), ALC_OUTCOME_TIMEOUT);
}

/* ---- Stolen time -------------------------------------------------------------------------- */

static u64 steal_seen(struct rig *r)
{
	u64 ns;

	assert_int_equal(space_copy_in(&r->m->space, gpa(STEAL), &ns, sizeof(ns)), 0);
	return ns;
}

static void only_running_cpus_are_stolen_from(void **state)
{
	struct rig r = {.desc = description()};

	set_up(&r, TEST_TIME_MANUAL, count_up, sizeof(count_up));
	machine_pause(r.m);
	start(&r);
	await_phase(&r, PHASE_PARKED);
	assert_int_equal(pvclock_set_steal_time(r.m->vcpus[0], STEAL | 1), 0);
	test_host_advance(&r.th, 10 * SECOND_NS);
	machine_resume(r.m);
	await(&r, 100000);
	machine_pause(r.m);
	assert_int_equal(steal_seen(&r), 0);
	machine_resume(r.m);
	/* From here on the CPU is inside the engine, which nothing makes it leave. */
	await(&r, 100000);
	test_host_advance(&r.th, 5 * SECOND_NS);
	machine_pause(r.m);
	assert_int_equal(steal_seen(&r), 5 * SECOND_NS);
	assert_int_equal(r.m->cpus[0].stolen_ns, 5 * SECOND_NS);
	machine_resume(r.m);
	assert_int_equal(stop(&r), ALC_OUTCOME_STOPPED);
}

static void halted_cpus_are_not_stolen_from(void **state)
{
	struct rig r = {.desc = description()};

	set_up(&r, TEST_TIME_MANUAL, count_and_sleep, sizeof(count_and_sleep));
	start(&r);
	while (!atomic_load(&r.m->cpus[0].asleep))
		r.th.host.yield(r.th.host.ctx);
	test_host_advance(&r.th, 5 * SECOND_NS);
	machine_pause(r.m);
	assert_int_equal(r.m->cpus[0].stolen_ns, 0);
	machine_resume(r.m);
	assert_int_equal(stop(&r), ALC_OUTCOME_STOPPED);
}

/* ---- The power button --------------------------------------------------------------------- */

static void button_powers_off(void **state)
{
	struct rig r = {.desc = description()};

	set_up(&r, TEST_TIME_REAL, obey_button, sizeof(obey_button));
	start(&r);
	await_first(&r);
	machine_power_button(r.m);
	assert_int_equal(finish(&r), ALC_OUTCOME_POWEROFF);
}

static void button_that_nobody_listens_to(void **state)
{
	struct rig r = {.desc = description()};

	set_up(&r, TEST_TIME_REAL, count_up, sizeof(count_up));
	start(&r);
	await(&r, 1);
	machine_power_button(r.m);
	assert_int_equal(finish(&r), ALC_OUTCOME_STOPPED);
}

static void button_that_is_ignored(void **state)
{
	struct rig r = {.desc = description()};

	r.desc.shutdown_timeout_ns = 1000000;
	set_up(&r, TEST_TIME_REAL, ignore_button, sizeof(ignore_button));
	start(&r);
	await(&r, 1);
	machine_power_button(r.m);
	assert_int_equal(finish(&r), ALC_OUTCOME_STOPPED);
}

/* ---- Halts -------------------------------------------------------------------------------- */

/* A CPU that looks for work finds it as one that sleeps does. */
static void halts_that_poll(void **state)
{
	struct rig r = {.desc = description()};

	r.desc.halt_poll_ns = 200000;
	set_up(&r, TEST_TIME_REAL, count_and_sleep, sizeof(count_and_sleep));
	r.m->parts.host_cpus = 64;
	r.m->cpus[0].poll_ns = r.desc.halt_poll_ns;
	start(&r);
	while (!atomic_load(&r.m->cpus[0].asleep))
		r.th.host.yield(r.th.host.ctx);
	machine_pause(r.m);
	assert_int_equal(r.m->cpus[0].polls_in_vain, 1);
	assert_true(r.m->cpus[0].polled_ns >= r.desc.halt_poll_ns);
	for (unsigned i = 0; i < 50; i++) {
		machine_resume(r.m);
		machine_pause(r.m);
	}
	machine_resume(r.m);
	assert_int_equal(stop(&r), ALC_OUTCOME_STOPPED);
}

/* With no processor to spare it sleeps at once. */
static void halts_that_must_not_poll(void **state)
{
	struct rig r = {.desc = description()};

	r.desc.halt_poll_ns = 200000;
	set_up(&r, TEST_TIME_REAL, count_and_sleep, sizeof(count_and_sleep));
	r.m->parts.host_cpus = 1;
	r.m->cpus[0].poll_ns = r.desc.halt_poll_ns;
	start(&r);
	while (!atomic_load(&r.m->cpus[0].asleep))
		r.th.host.yield(r.th.host.ctx);
	machine_pause(r.m);
	assert_int_equal(r.m->cpus[0].polls_in_vain, 0);
	assert_int_equal(r.m->cpus[0].polled_ns, 0);
	machine_resume(r.m);
	assert_int_equal(stop(&r), ALC_OUTCOME_STOPPED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_and_its_time_stand_still),
		cmocka_unit_test(pause_does_not_nest),
		cmocka_unit_test(paused_before_it_runs),
		cmocka_unit_test(stop_ends_a_paused_machine),
		cmocka_unit_test(paused_in_a_halt),
		cmocka_unit_test(paused_among_resets),
		cmocka_unit_test(paused_by_many),
		cmocka_unit_test(pause_of_one_that_ends),
		cmocka_unit_test(pauses_do_not_count_for_the_time_limit),
		cmocka_unit_test(only_running_cpus_are_stolen_from),
		cmocka_unit_test(halted_cpus_are_not_stolen_from),
		cmocka_unit_test(button_powers_off),
		cmocka_unit_test(button_that_nobody_listens_to),
		cmocka_unit_test(button_that_is_ignored),
		cmocka_unit_test(halts_that_poll),
		cmocka_unit_test(halts_that_must_not_poll),
	};

	return cmocka_run_group_tests_name("vm_pause", tests, NULL, NULL);
}
