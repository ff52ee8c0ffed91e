/* SPDX-License-Identifier: BSD-2-Clause */
/* Machines in virtual time: counts and instants to the instruction, hashes, pauses, refusals. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/errno.h"
#include "host/test/test_host.h"
#include "tiny_kernel.h"

enum { COUNTER = 0x200000, RAM = 16 << 20, HASHES_MAX = 4 };

static const u8 count_up[] = {0xff, 0x05, 0x00, 0x00, 0x20, 0x00, 0xeb, 0xf8};
static const u8 sleep_for_good[] = {0xfa, 0xf4, 0xeb, 0xfd};
/* One instruction, then 1000 times three, then three more, the last of which ends the machine. */
static const u8 count_and_power_off[] = {
	0xb9, 0xe8, 0x03, 0x00, 0x00,                   /* mov $1000, %ecx */
	0xff, 0x05, 0x00, 0x00, 0x20, 0x00,             /* incl COUNTER */
	0x49, 0x75, 0xf7,                               /* dec %ecx; jnz */
	0x66, 0xba, 0x04, 0x06,                         /* mov $0x604, %dx */
	0x66, 0xb8, 0x00, 0x34, 0x66, 0xef, 0xeb, 0xfe, /* S5 */
};
enum { INSTRUCTIONS = 1 + 3 * 1000 + 3 };

/* 100,000 bytes by REP STOSB; then the time-stamp counter says how many instructions those were. */
static const u8 fill_and_power_off[] = {
	0x0f, 0x31, 0x89, 0xc3,                         /* rdtsc; mov %eax, %ebx */
	0xbf, 0x00, 0x00, 0x30, 0x00,                   /* mov $0x300000, %edi */
	0xb9, 0xa0, 0x86, 0x01, 0x00,                   /* mov $100000, %ecx */
	0xf3, 0xaa,                                     /* rep stosb */
	0x0f, 0x31, 0x29, 0xd8,                         /* rdtsc; sub %ebx, %eax */
	0xa3, 0x00, 0x00, 0x20, 0x00,                   /* mov %eax, COUNTER */
	0x66, 0xba, 0x04, 0x06,                         /* mov $0x604, %dx */
	0x66, 0xb8, 0x00, 0x34, 0x66, 0xef, 0xeb, 0xfe, /* S5 */
};
enum { FROM_RDTSC_TO_RDTSC = 5 };

struct rig {
	struct test_host th;
	struct alc_desc desc;
	u8 image[IMAGE_MAX];
	struct machine *m;
	struct alc_result res;
	pthread_t thread;
	u64 at_ns[HASHES_MAX], hash[HASHES_MAX];
	unsigned nhashes;
	bool has_memory;
};

static void note_hash(void *ctx, const struct alc_state_hash *h)
{
	struct rig *r = ctx;

	assert_true(r->nhashes < HASHES_MAX);
	r->at_ns[r->nhashes] = h->at_ns;
	r->hash[r->nhashes++] = h->hash;
	for (size_t i = 0; i < h->nparts; i++)
		r->has_memory |= !strcmp(h->parts[i].name, "memory");
}

static struct rig prepared(const char *clock)
{
	struct rig r = {.desc = ALC_DESC_INIT};

	r.desc.engine = "interp";
	r.desc.memory_bytes = RAM;
	r.desc.clock = clock;
	return r;
}

static int make(struct rig *r, const struct alc_engine *const *engines, const u8 *code, size_t len,
		struct alc_err *err)
{
	struct machine_parts parts = {
		.kernel = {"test", r->image, 0}, .engines = engines, .hashed = note_hash, .ctx = r};

	test_host_init(&r->th, TEST_TIME_REAL);
	parts.kernel.len = make_kernel(r->image, code, len);
	return machine_create(&r->th.host, &r->desc, &parts, &r->m, err);
}

static void end(struct rig *r)
{
	machine_destroy(r->m);
	assert_int_equal(test_host_leaks(&r->th), 0);
	test_host_fini(&r->th);
}

static void *run_machine(void *arg)
{
	struct rig *r = arg;
	struct alc_err err = {0};

	return machine_run(r->m, &r->res, &err) ? arg : NULL;
}

static u32 counter(struct rig *r)
{
	u32 n;

	assert_int_equal(space_copy_in(&r->m->space, gpa(COUNTER), &n, sizeof(n)), 0);
	return n;
}

static void run_to_power_off(struct rig *r, const u8 *code, size_t len)
{
	struct alc_err err = {0};

	if (make(r, NULL, code, len, &err))
		fail_msg("%s", err.text);
	assert_null(run_machine(r));
	assert_int_equal(r->res.outcome, ALC_OUTCOME_POWEROFF);
}

static void time_is_instructions(void **state)
{
	static const struct {
		const char *clock;
		u64 ns;
	} rates[] = {{"virtual", INSTRUCTIONS},
		     {"virtual,rate=1e6", INSTRUCTIONS * 1000ull},
		     {"virtual,rate=4e9", INSTRUCTIONS / 4},
		     {"virtual,rate=1e9,quantum=1ns,seed=9", INSTRUCTIONS}};

	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		struct rig r = prepared(rates[i].clock);

		run_to_power_off(&r, count_and_power_off, sizeof(count_and_power_off));
		assert_int_equal(counter(&r), 1000);
		assert_int_equal(r.m->vcpus[0]->instructions, INSTRUCTIONS);
		assert_int_equal(r.m->virtual.now_ns, rates[i].ns);
		end(&r);
	}
}

static void rep_is_one_instruction(void **state)
{
	struct rig r = prepared("virtual");

	run_to_power_off(&r, fill_and_power_off, sizeof(fill_and_power_off));
	assert_int_equal(counter(&r), FROM_RDTSC_TO_RDTSC);
	end(&r);
}

static void hash_run(struct rig *r)
{
	static const u64 instants[] = {100, 1000, 50000};

	r->desc.hash_at_ns = instants;
	r->desc.nhash_at = ARRAY_LEN(instants);
	r->desc.hash_at_end = true;
	run_to_power_off(r, count_and_power_off, sizeof(count_and_power_off));
	end(r);
}

static void hashes_come_at_their_instants_and_agree(void **state)
{
	struct rig a = prepared("virtual"), b = prepared("virtual"),
		   late = prepared("virtual,date=1000000000");

	hash_run(&a);
	hash_run(&b);
	assert_int_equal(a.nhashes, 3);
	assert_int_equal(a.at_ns[0], 100);
	assert_int_equal(a.at_ns[1], 1000);
	assert_int_equal(a.at_ns[2], INSTRUCTIONS);
	assert_true(a.has_memory);
	assert_true(a.hash[0] != a.hash[1] && a.hash[1] != a.hash[2]);
	assert_memory_equal(a.hash, b.hash, sizeof(a.hash));
	hash_run(&late);
	assert_true(late.hash[0] != a.hash[0]);
}

static void start(struct rig *r, const u8 *code, size_t len)
{
	struct alc_err err = {0};

	if (make(r, NULL, code, len, &err))
		fail_msg("%s", err.text);
	assert_int_equal(pthread_create(&r->thread, NULL, run_machine, r), 0);
}

static void stop(struct rig *r)
{
	void *failed;

	machine_stop(r->m);
	pthread_join(r->thread, &failed);
	assert_null(failed);
	assert_int_equal(r->res.outcome, ALC_OUTCOME_STOPPED);
	end(r);
}

static void a_pause_stops_the_count(void **state)
{
	struct rig r = prepared("virtual");
	u64 instructions;

	start(&r, count_up, sizeof(count_up));
	while (counter(&r) < 1000)
		r.th.host.yield(r.th.host.ctx);
	machine_pause(r.m);
	instructions = r.m->vcpus[0]->instructions;
	assert_int_equal(counter(&r), (instructions + 1) / 2);
	machine_resume(r.m);
	while (counter(&r) < instructions / 2 + 1000)
		r.th.host.yield(r.th.host.ctx);
	stop(&r);
}

static void a_machine_that_sleeps_for_good_is_stopped(void **state)
{
	struct rig r = prepared("virtual");

	start(&r, sleep_for_good, sizeof(sleep_for_good));
	while (!atomic_load(&r.m->virtual.asleep))
		r.th.host.yield(r.th.host.ctx);
	machine_pause(r.m);
	machine_resume(r.m);
	assert_int_equal(r.m->vcpus[0]->instructions, 2);
	stop(&r);
}

static void a_paused_machine_is_stopped(void **state)
{
	struct rig r = prepared("virtual");

	start(&r, count_up, sizeof(count_up));
	while (counter(&r) < 1000)
		r.th.host.yield(r.th.host.ctx);
	machine_pause(r.m);
	stop(&r);
}

/* As an engine that doesn't count: not by its name, not by auto, not by a move. */
static void only_engines_that_count(void **state)
{
	struct alc_engine vague = interp_engine;
	const struct alc_engine *const engines[] = {&vague, NULL};
	const struct alc_engine *const both[] = {&vague, &interp_engine, NULL};
	struct rig r = prepared("virtual");
	struct alc_err err = {0};

	vague.name = "vague";
	vague.counts = false;
	r.desc.engine = "vague";
	assert_int_equal(make(&r, engines, count_up, sizeof(count_up), &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "does not count"));
	test_host_fini(&r.th);
	r.desc.engine = "auto";
	assert_int_equal(make(&r, engines, count_up, sizeof(count_up), &err), -ENODEV);
	test_host_fini(&r.th);
	assert_int_equal(make(&r, both, count_up, sizeof(count_up), &err), 0);
	assert_ptr_equal(r.m->engine, &interp_engine);
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_is_instructions),
		cmocka_unit_test(rep_is_one_instruction),
		cmocka_unit_test(hashes_come_at_their_instants_and_agree),
		cmocka_unit_test(a_pause_stops_the_count),
		cmocka_unit_test(a_machine_that_sleeps_for_good_is_stopped),
		cmocka_unit_test(a_paused_machine_is_stopped),
		cmocka_unit_test(only_engines_that_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
