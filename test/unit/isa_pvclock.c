/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "isa_world.h"

#include "isa/msr.h"
#include "isa/pvclock.h"

static u32 rd32(struct world *w, u64 a)
{
	return (u32)space_read(&w->space, gpa(a), 4);
}

static u64 rd64(struct world *w, u64 a)
{
	return space_read(&w->space, gpa(a), 8);
}

/* The time as a guest computes it from the page. */
static u64 guest_ns(struct world *w, unsigned cpu, u64 page)
{
	u64 delta = x86_tsc(w->vcpus[cpu]) - rd64(w, page + 8);
	i8 shift = (i8)space_read(&w->space, gpa(page + 28), 1);

	assert_int_equal(rd32(w, page) & 1, 0);
	delta = shift < 0 ? delta >> -shift : delta << shift;
	return rd64(w, page + 16) + (u64)((unsigned __int128)delta * rd32(w, page + 24) >> 32);
}

static void system_time(void **state)
{
	static const u64 frequencies[] = {1000000000, 2700000000, 2699999999, 999999999,
					  5000000,    4000000000, 2000000000};

	for (unsigned i = 0; i < ARRAY_LEN(frequencies); i++) {
		struct world w;
		u64 tick_ns = 1000000000 / frequencies[i] + 1;
		u32 version;

		world_init(&w, 2, "default", frequencies[i]);
		world_pass(&w, 12345678);
		assert_int_equal(x86_wrmsr(w.vcpus[0], MSR_KVM_SYSTEM_TIME, 0x1001), 0);
		world_pass(&w, 987654321);
		assert_int_equal(x86_wrmsr(w.vcpus[1], MSR_KVM_SYSTEM_TIME, 0x1041), 0);
		assert_int_equal(space_read(&w.space, gpa(0x1000 + 29), 1), 1);
		for (unsigned n = 0; n < 5; n++) {
			u64 now = clock_now_ns(w.clock), seen = guest_ns(&w, 0, 0x1000);

			assert_in_range(now - seen, 0, tick_ns * 2);
			assert_int_equal(seen, guest_ns(&w, 1, 0x1040));
			world_pass(&w, 77777);
		}
		/* Writing the TSC moves the line with it. */
		version = rd32(&w, 0x1000);
		assert_int_equal(x86_wrmsr(w.vcpus[0], MSR_TSC, 0), 0);
		assert_in_range(clock_now_ns(w.clock) - guest_ns(&w, 0, 0x1000), 0, tick_ns * 2);
		assert_true(rd32(&w, 0x1000) > version);
		world_fini(&w);
	}
}

static void bad_addresses(void **state)
{
	static const u64 vals[] = {WORLD_MEMORY - 16 + 1, 1ull << 45 | 1, ~0ull, 0x1003, 0x2000};
	struct world w;

	world_init(&w, 1, "default", 1000000000);
	for (unsigned i = 0; i < ARRAY_LEN(vals); i++) {
		assert_int_equal(x86_wrmsr(w.vcpus[0], MSR_KVM_SYSTEM_TIME, vals[i]), 0);
		pvclock_refresh(w.vcpus[0]);
	}
	assert_int_equal(x86_wrmsr(w.vcpus[0], MSR_KVM_WALL_CLOCK, ~0ull), 0);
	assert_int_equal(x86_wrmsr(w.vcpus[0], MSR_KVM_WALL_CLOCK, WORLD_MEMORY - 8), 0);
	assert_int_equal(x86_wrmsr(w.vcpus[0], MSR_KVM_STEAL_TIME, WORLD_MEMORY + 1), 0);
	pvclock_add_steal(w.vcpus[0], 5);
	for (u64 a = 0; a < WORLD_MEMORY; a += 8)
		if (rd64(&w, a))
			fail_msg("something was written at %#lx", (unsigned long)a);
	world_fini(&w);
}

static void wall_clock(void **state)
{
	struct world w;

	world_init(&w, 1, "default", 1000000000);
	world_pass(&w, 5000000000);
	assert_int_equal(x86_wrmsr(w.vcpus[0], MSR_KVM_WALL_CLOCK, 0x3000), 0);
	assert_int_equal(rd32(&w, 0x3000) & 1, 0);
	assert_int_equal(rd32(&w, 0x3004), 1700000000);
	assert_int_equal(rd32(&w, 0x3008), 123456789);
	assert_int_equal(x86_wrmsr(w.vcpus[0], MSR_KVM_WALL_CLOCK_OLD, 0x3100), 0);
	assert_int_equal(rd64(&w, 0x3104), rd64(&w, 0x3004));
	world_fini(&w);
}

static void steal(void **state)
{
	struct world w;

	world_init(&w, 1, "default", 1000000000);
	pvclock_add_steal(w.vcpus[0], 1000);
	assert_int_equal(x86_wrmsr(w.vcpus[0], MSR_KVM_STEAL_TIME, 0x4041), 0);
	assert_int_equal(rd64(&w, 0x4040), 0);
	pvclock_add_steal(w.vcpus[0], 30);
	pvclock_add_steal(w.vcpus[0], 12);
	assert_int_equal(rd64(&w, 0x4040), 42);
	assert_true(rd32(&w, 0x4048) && !(rd32(&w, 0x4048) & 1));
	/* Switched off: untouched. */
	assert_int_equal(x86_wrmsr(w.vcpus[0], MSR_KVM_STEAL_TIME, 0), 0);
	pvclock_add_steal(w.vcpus[0], 12);
	assert_int_equal(rd64(&w, 0x4040), 42);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_time),
		cmocka_unit_test(bad_addresses),
		cmocka_unit_test(wall_clock),
		cmocka_unit_test(steal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
