/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "isa_world.h"

#include "isa/msr.h"

static int pic_ack(void *ctx)
{
	struct world *w = ctx;

	return w->pic_vector;
}

static void ioapic_eoi(void *ctx, u8 vector)
{
	struct world *w = ctx;

	w->eois++;
	w->eoi_vector = vector;
}

static void flush_all(struct alc_vcpu *v)
{
	((struct world *)v->engine)->flushes++;
}

static void mode_changed(struct alc_vcpu *v)
{
	((struct world *)v->engine)->mode_changes++;
}

static const struct x86_engine_ops engine_ops = {
	.flush_all = flush_all,
	.mode_changed = mode_changed,
};

static struct alc_vcpu *make_vcpu(struct world *w, unsigned index)
{
	struct alc_vcpu *v = host_alloc(&w->th.host, sizeof(*v));

	assert_non_null(v);
	v->plat = &w->plat;
	v->cpuid = &w->cpuid;
	v->ops = &engine_ops;
	v->engine = w;
	v->index = index;
	v->xcr0 = 1;
	x86_msr_reset(v);
	assert_int_equal(lapic_create(v, NULL), 0);
	return v;
}

void world_init(struct world *w, unsigned ncpus, const char *profile, u64 tsc_hz)
{
	__builtin_memset(w, 0, sizeof(*w));
	test_host_init(&w->th, TEST_TIME_MANUAL);
	w->th.wall_base_ns = 1700000000123456789ull;
	w->pic_vector = -1;
	assert_int_equal(clock_create(&w->th.host, &w->clock), 0);
	assert_int_equal(space_init(&w->space, &w->th.host, WORLD_MEMORY, NULL), 0);
	assert_int_equal(space_add_bank(&w->space, gpa(0), WORLD_MEMORY, false, NULL), 0);
	assert_int_equal(cpuid_table_init(&w->cpuid, profile, ncpus, tsc_hz, NULL), 0);
	w->plat = (struct x86_platform){
		.host = &w->th.host,
		.clock = w->clock,
		.space = &w->space,
		.tsc_hz = tsc_hz,
		.pic_ack = pic_ack,
		.pic_ctx = w,
		.eoi = ioapic_eoi,
		.eoi_ctx = w,
		.vcpus = w->vcpus,
		.nvcpus = ncpus,
	};
	for (unsigned i = 0; i < ncpus; i++)
		w->vcpus[i] = make_vcpu(w, i);
	assert_int_equal(clock_start(w->clock), 0);
}

void world_fini(struct world *w)
{
	clock_stop(w->clock);
	for (unsigned i = 0; i < w->plat.nvcpus; i++) {
		lapic_destroy(w->vcpus[i]->lapic);
		host_free(&w->th.host, w->vcpus[i], sizeof(*w->vcpus[i]));
	}
	clock_destroy(w->clock);
	space_fini(&w->space);
	assert_int_equal(test_host_leaks(&w->th), 0);
	test_host_fini(&w->th);
}

void world_pass(struct world *w, u64 ns)
{
	test_host_settle(&w->th);
	test_host_advance(&w->th, ns);
	test_host_settle(&w->th);
}

unsigned world_attention(struct world *w, unsigned cpu)
{
	return atomic_exchange(&w->vcpus[cpu]->attention, 0);
}
