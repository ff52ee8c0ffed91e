/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "isa_world.h"

#include "isa/msr.h"

enum {
	ID = 0x20,
	TPR = 0x80,
	PPR = 0xa0,
	EOI = 0xb0,
	LDR = 0xd0,
	DFR = 0xe0,
	SVR = 0xf0,
	ISR = 0x100,
	TMR = 0x180,
	IRR = 0x200,
	ESR = 0x280,
	ICR = 0x300,
	ICR_HIGH = 0x310,
	LVT_TIMER = 0x320,
	LVT_LINT0 = 0x350,
	LVT_ERROR = 0x370,
	INITIAL = 0x380,
	CURRENT = 0x390,
	DIVIDE = 0x3e0,
	SELF_IPI = 0x3f0,

	MASKED = 1 << 16,
	PERIODIC = 1 << 17,
	DEADLINE = 2 << 17,
	DIVIDE_BY_1 = 0xb,
};
#define TSC_HZ 2700000000ull

static struct x86_lapic *apic(struct world *w, unsigned cpu)
{
	return w->vcpus[cpu]->lapic;
}

static u32 rd(struct world *w, unsigned cpu, u64 off)
{
	return (u32)lapic_mmio_read(apic(w, cpu), off, 4);
}

static void wr(struct world *w, unsigned cpu, u64 off, u32 val)
{
	lapic_mmio_write(apic(w, cpu), off, val, 4);
}

static int wrx(struct world *w, unsigned cpu, u32 off, u64 val)
{
	return lapic_msr_write(apic(w, cpu), MSR_X2APIC + (off >> 4), val);
}

static void enable_all(struct world *w)
{
	for (unsigned i = 0; i < w->plat.nvcpus; i++)
		wr(w, i, SVR, 0x1ff);
}

static void x2apic_all(struct world *w)
{
	for (unsigned i = 0; i < w->plat.nvcpus; i++)
		assert_int_equal(
			lapic_set_base(apic(w, i), lapic_base(apic(w, i)) | BIT(10) | BIT(11)), 0);
}

static void send_msi(struct world *w, unsigned dest, u32 data)
{
	lapic_deliver_msi(&w->plat, (struct alc_msi){0xfee00000 | dest << 12, data});
}

/* One bit per vCPU that would get this vector now; takes it from there. */
static u32 receivers(struct world *w, int vector)
{
	u32 got = 0;

	for (unsigned i = 0; i < w->plat.nvcpus; i++) {
		assert_int_equal(lapic_pending(apic(w, i)),
				 !!(world_attention(w, i) & X86_ATTN_INTR));
		if (!lapic_pending(apic(w, i)))
			continue;
		assert_int_equal(lapic_ack(apic(w, i)), vector);
		if (lapic_base(apic(w, i)) & BIT(10))
			assert_int_equal(wrx(w, i, EOI, 0), 0);
		else
			wr(w, i, EOI, 0);
		world_attention(w, i);
		got |= 1u << i;
	}
	return got;
}

static void reset_values(void **state)
{
	struct world w;

	world_init(&w, 2, "default", TSC_HZ);
	assert_int_equal(lapic_base(apic(&w, 0)), 0xfee00900);
	assert_int_equal(lapic_base(apic(&w, 1)), 0xfee00800);
	assert_int_equal(rd(&w, 1, ID), 1 << 24);
	assert_int_equal(rd(&w, 0, 0x30), 0x00050014);
	assert_int_equal(rd(&w, 0, SVR), 0xff);
	assert_int_equal(rd(&w, 0, DFR), 0xffffffff);
	for (u64 off = LVT_TIMER; off <= LVT_ERROR; off += 16)
		assert_int_equal(rd(&w, 0, off), MASKED);
	/* While disabled by software, LVTs stay masked and nothing is accepted. */
	wr(&w, 0, LVT_TIMER, 0x30);
	assert_int_equal(rd(&w, 0, LVT_TIMER), MASKED | 0x30);
	send_msi(&w, 0, 0x41);
	assert_false(lapic_pending(apic(&w, 0)));
	/* Registers lie in the first four bytes of sixteen. */
	assert_int_equal(lapic_mmio_read(apic(&w, 0), SVR, 1), 0xff);
	assert_int_equal(lapic_mmio_read(apic(&w, 0), 0x32, 2), 5);
	assert_int_equal(rd(&w, 0, SVR + 4), 0);
	world_fini(&w);
}

static void priorities(void **state)
{
	struct world w;

	world_init(&w, 1, "default", TSC_HZ);
	enable_all(&w);
	send_msi(&w, 0, 0x41);
	send_msi(&w, 0, 0x52);
	send_msi(&w, 0, 0x41);
	assert_int_equal(world_attention(&w, 0), X86_ATTN_INTR);
	assert_int_equal(rd(&w, 0, IRR + 0x20), 1 << 1 | 1 << 18);
	assert_int_equal(lapic_ack(apic(&w, 0)), 0x52);
	assert_int_equal(rd(&w, 0, PPR), 0x50);
	assert_int_equal(rd(&w, 0, ISR + 0x20), 1 << 18);
	/* Neither a lower class nor the same one interrupts; a higher one nests. */
	send_msi(&w, 0, 0x5f);
	assert_false(lapic_pending(apic(&w, 0)));
	assert_int_equal(lapic_ack(apic(&w, 0)), -1);
	send_msi(&w, 0, 0x61);
	assert_true(lapic_pending(apic(&w, 0)));
	assert_int_equal(lapic_ack(apic(&w, 0)), 0x61);
	world_attention(&w, 0);
	wr(&w, 0, EOI, 0);
	assert_false(lapic_pending(apic(&w, 0)));
	wr(&w, 0, EOI, 0);
	assert_int_equal(world_attention(&w, 0), X86_ATTN_INTR);
	assert_int_equal(lapic_ack(apic(&w, 0)), 0x5f);
	wr(&w, 0, EOI, 0);
	/* The task priority, by its two names. */
	lapic_set_cr8(apic(&w, 0), 4);
	assert_int_equal(rd(&w, 0, TPR), 0x40);
	assert_false(lapic_pending(apic(&w, 0)));
	wr(&w, 0, TPR, 0x3f);
	assert_int_equal(lapic_cr8(apic(&w, 0)), 3);
	assert_int_equal(rd(&w, 0, PPR), 0x3f);
	assert_int_equal(lapic_ack(apic(&w, 0)), 0x41);
	wr(&w, 0, EOI, 0);
	assert_int_equal(lapic_ack(apic(&w, 0)), -1);
	assert_int_equal(w.eois, 0);
	world_fini(&w);
}

static void level_eoi(void **state)
{
	struct world w;

	world_init(&w, 1, "default", TSC_HZ);
	enable_all(&w);
	send_msi(&w, 0, 0xc070);
	assert_int_equal(rd(&w, 0, TMR + 0x30), 1 << 16);
	assert_int_equal(lapic_ack(apic(&w, 0)), 0x70);
	wr(&w, 0, EOI, 0);
	assert_int_equal(w.eois, 1);
	assert_int_equal(w.eoi_vector, 0x70);
	send_msi(&w, 0, 0x70);
	assert_int_equal(lapic_ack(apic(&w, 0)), 0x70);
	wr(&w, 0, EOI, 0);
	wr(&w, 0, EOI, 0);
	assert_int_equal(w.eois, 1);
	world_fini(&w);
}

static void ipi_destinations(void **state)
{
	struct world w;

	world_init(&w, 4, "default", TSC_HZ);
	enable_all(&w);
	for (unsigned i = 0; i < 4; i++)
		wr(&w, i, LDR, 1u << (24 + i));
	static const struct {
		u32 high, low, expect;
	} cases[] = {
		{2, 0x40, 1 << 2},    /* physical */
		{0xff, 0x40, 0xf},    /* physical broadcast */
		{7, 0x40, 0},         /* nobody */
		{0x5, 0x840, 0x5},    /* flat logical */
		{0xff, 0x840, 0xf},   /* flat broadcast */
		{0, 0x40040, 1 << 1}, /* self */
		{0, 0x80040, 0xf},    /* all */
		{0, 0xc0040, 0xd},    /* all but self */
		{0xe, 0x940, 1 << 1}, /* lowest priority: the first of equals */
		{2, 0xc040, 1 << 2},  /* the trigger bit means nothing */
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		wr(&w, 1, ICR_HIGH, cases[i].high << 24);
		wr(&w, 1, ICR, cases[i].low);
		assert_int_equal(receivers(&w, 0x40), cases[i].expect);
	}
	assert_int_equal(w.eois, 0);
	/* Lowest priority looks at the task priority. */
	wr(&w, 1, TPR, 0x20);
	wr(&w, 3, TPR, 0x10);
	wr(&w, 2, TPR, 0x30);
	wr(&w, 1, ICR_HIGH, 0xeu << 24);
	wr(&w, 1, ICR, 0x940);
	assert_int_equal(receivers(&w, 0x40), 1 << 3);
	/* Clusters: two of two. */
	for (unsigned i = 0; i < 4; i++) {
		wr(&w, i, DFR, 0x0fffffff);
		wr(&w, i, LDR, (i / 2 << 4 | 1u << i % 2) << 24);
	}
	wr(&w, 0, ICR_HIGH, 0x13u << 24);
	wr(&w, 0, ICR, 0x840);
	assert_int_equal(receivers(&w, 0x40), 0xc);
	wr(&w, 0, ICR_HIGH, 0xf2u << 24);
	wr(&w, 0, ICR, 0x840);
	assert_int_equal(receivers(&w, 0x40), 0xa);
	world_fini(&w);
}

static void x2apic_destinations(void **state)
{
	struct world w;

	world_init(&w, 20, "default", TSC_HZ);
	enable_all(&w);
	x2apic_all(&w);
	static const struct {
		u64 icr;
		u32 expect;
	} cases[] = {
		{17ull << 32 | 0x40, 1 << 17},
		{0xffffffffull << 32 | 0x40, 0xfffff},
		{0xffull << 32 | 0x40, 0},
		{0x00010009ull << 32 | 0x840, 1 << 16 | 1 << 19},
		{0x00000003ull << 32 | 0x840, 0x3},
		{0x40040, 1 << 5},
		{0xc0040, 0xfffff & ~(1 << 5)},
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(wrx(&w, 5, ICR, cases[i].icr), 0);
		assert_int_equal(receivers(&w, 0x40), cases[i].expect);
	}
	assert_int_equal(wrx(&w, 5, SELF_IPI, 0x77), 0);
	assert_int_equal(receivers(&w, 0x77), 1 << 5);
	world_fini(&w);
}

static void other_modes(void **state)
{
	struct world w;

	world_init(&w, 2, "default", TSC_HZ);
	enable_all(&w);
	wr(&w, 0, ICR_HIGH, 1 << 24);
	wr(&w, 0, ICR, 0x4400); /* NMI */
	assert_int_equal(world_attention(&w, 1), X86_ATTN_NMI);
	wr(&w, 0, ICR, 0xc500); /* INIT, level assert */
	assert_int_equal(world_attention(&w, 1), X86_ATTN_INIT);
	wr(&w, 0, ICR, 0x8500); /* INIT, level de-assert */
	assert_int_equal(world_attention(&w, 1), 0);
	wr(&w, 0, ICR, 0x469a); /* SIPI */
	assert_int_equal(world_attention(&w, 1), X86_ATTN_SIPI);
	assert_int_equal(w.vcpus[1]->sipi_vector, 0x9a);
	wr(&w, 0, ICR, 0x4200); /* SMI */
	assert_int_equal(world_attention(&w, 1), X86_ATTN_SMI);
	/* INIT and SIPI also reach an APIC that software has disabled. */
	wr(&w, 1, SVR, 0xff);
	wr(&w, 0, ICR, 0x4500);
	wr(&w, 0, ICR, 0x4608);
	assert_int_equal(world_attention(&w, 1), X86_ATTN_INIT | X86_ATTN_SIPI);
	assert_int_equal(world_attention(&w, 0), 0);
	world_fini(&w);
}

static void extint(void **state)
{
	struct world w;

	world_init(&w, 2, "default", TSC_HZ);
	lapic_set_extint(apic(&w, 0), true);
	assert_false(lapic_pending(apic(&w, 0)));
	lapic_firmware(apic(&w, 0));
	lapic_firmware(apic(&w, 1));
	assert_int_equal(world_attention(&w, 0), X86_ATTN_INTR);
	w.pic_vector = 0x22;
	assert_int_equal(lapic_ack(apic(&w, 0)), 0x22);
	assert_int_equal(rd(&w, 0, ISR + 0x10), 0);
	lapic_set_extint(apic(&w, 0), false);
	assert_false(lapic_pending(apic(&w, 0)));
	assert_int_equal(lapic_ack(apic(&w, 0)), -1);
	/* By message, once. */
	send_msi(&w, 1, 0x700);
	assert_true(lapic_pending(apic(&w, 1)));
	assert_int_equal(lapic_ack(apic(&w, 1)), 0x22);
	assert_false(lapic_pending(apic(&w, 1)));
	/* A spurious one leaves the APIC's own to be taken. */
	send_msi(&w, 1, 0x700);
	send_msi(&w, 1, 0x55);
	w.pic_vector = -1;
	assert_int_equal(lapic_ack(apic(&w, 1)), 0x55);
	/* Past a disabled APIC. */
	assert_int_equal(lapic_set_base(apic(&w, 0), 0xfee00000), 0);
	lapic_set_extint(apic(&w, 0), true);
	w.pic_vector = 0x23;
	assert_true(lapic_pending(apic(&w, 0)));
	assert_int_equal(lapic_ack(apic(&w, 0)), 0x23);
	world_fini(&w);
}

static void lint0_fixed(void **state)
{
	struct world w;

	world_init(&w, 1, "default", TSC_HZ);
	enable_all(&w);
	wr(&w, 0, LVT_LINT0, 0x60);
	lapic_set_extint(apic(&w, 0), true);
	lapic_set_extint(apic(&w, 0), true);
	assert_int_equal(lapic_ack(apic(&w, 0)), 0x60);
	wr(&w, 0, EOI, 0);
	assert_int_equal(lapic_ack(apic(&w, 0)), -1);
	wr(&w, 0, LVT_LINT0, 0x8060);
	assert_int_equal(rd(&w, 0, LVT_LINT0), 0xc060);
	assert_int_equal(lapic_ack(apic(&w, 0)), 0x60);
	wr(&w, 0, EOI, 0);
	assert_int_equal(lapic_ack(apic(&w, 0)), 0x60);
	lapic_set_extint(apic(&w, 0), false);
	wr(&w, 0, EOI, 0);
	assert_int_equal(lapic_ack(apic(&w, 0)), -1);
	assert_int_equal(rd(&w, 0, LVT_LINT0), 0x8060);
	world_fini(&w);
}

static void errors(void **state)
{
	struct world w;

	world_init(&w, 1, "default", TSC_HZ);
	enable_all(&w);
	wr(&w, 0, LVT_ERROR, 0xfe);
	wr(&w, 0, ICR, 0x4005);
	assert_int_equal(lapic_ack(apic(&w, 0)), 0xfe);
	assert_int_equal(rd(&w, 0, ESR), 0);
	wr(&w, 0, ESR, 0);
	assert_int_equal(rd(&w, 0, ESR), 1 << 5);
	send_msi(&w, 0, 0x0f);
	rd(&w, 0, 0x40);
	wr(&w, 0, ESR, 0);
	assert_int_equal(rd(&w, 0, ESR), 1 << 6 | 1 << 7);
	wr(&w, 0, ESR, 0);
	assert_int_equal(rd(&w, 0, ESR), 0);
	world_fini(&w);
}

static void base_transitions(void **state)
{
	static const struct {
		u64 from, to;
		int fault;
	} cases[] = {
		{0x800, 0x000, 0}, {0x800, 0xc00, 0}, {0x800, 0x400, 1}, {0x000, 0x800, 0},
		{0x000, 0xc00, 1}, {0x000, 0x400, 1}, {0xc00, 0x000, 0}, {0xc00, 0x800, 1},
		{0xc00, 0x400, 1}, {0xc00, 0xc00, 0}, {0x800, 0x800, 0}, {0x000, 0x000, 0},
	};
	struct world w;

	world_init(&w, 2, "default", TSC_HZ);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		lapic_reset(apic(&w, 1), false);
		assert_int_equal(lapic_set_base(apic(&w, 1), 0xfee00000 | cases[i].from), 0);
		assert_int_equal(lapic_set_base(apic(&w, 1), 0xfee00000 | cases[i].to),
				 cases[i].fault);
		assert_int_equal(lapic_base(apic(&w, 1)) & 0xfff,
				 cases[i].fault ? cases[i].from : cases[i].to);
	}
	assert_int_equal(lapic_set_base(apic(&w, 0), BIT(46) | 0xfee00800), 1);
	assert_int_equal(lapic_set_base(apic(&w, 0), 0xfee00a00), 1);
	assert_int_equal(lapic_set_base(apic(&w, 0), 0xfee00800), 0);
	assert_int_equal(lapic_base(apic(&w, 0)), 0xfee00900);
	/* INIT keeps x2APIC mode and the ID. */
	assert_int_equal(lapic_set_base(apic(&w, 0), 0xfee00d00), 0);
	lapic_reset(apic(&w, 0), true);
	assert_int_equal(lapic_base(apic(&w, 0)), 0xfee00d00);
	assert_int_equal(lapic_mmio_read(apic(&w, 0), ID, 4), 0xffffffff);
	world_fini(&w);
}

static void x2apic_faults(void **state)
{
	struct world w;
	u64 val;

	world_init(&w, 1, "default", TSC_HZ);
	assert_int_equal(lapic_msr_read(apic(&w, 0), 0x802, &val), 1);
	assert_int_equal(wrx(&w, 0, EOI, 0), 1);
	x2apic_all(&w);
	assert_int_equal(lapic_msr_read(apic(&w, 0), 0x802, &val), 0);
	assert_int_equal(val, 0);
	for (u32 reg = 0; reg < 0x100; reg++) {
		static const u8 readable[] = {0x02, 0x03, 0x08, 0x0a, 0x0d, 0x0f,
					      0x28, 0x30, 0x38, 0x39, 0x3e};
		bool expect = (reg >= 0x10 && reg < 0x28) || (reg >= 0x32 && reg < 0x38);

		for (unsigned i = 0; i < ARRAY_LEN(readable); i++)
			expect |= readable[i] == reg;
		assert_int_equal(lapic_msr_read(apic(&w, 0), 0x800 + reg, &val), !expect);
	}
	static const struct {
		u32 off;
		u64 val;
		int fault;
	} writes[] = {
		{ID, 0, 1},
		{LDR, 0, 1},
		{DFR, 0, 1},
		{PPR, 0, 1},
		{EOI, 0, 0},
		{EOI, 1, 1},
		{ESR, 0, 0},
		{ESR, 1, 1},
		{TPR, 0xff, 0},
		{TPR, 0x100, 1},
		{SVR, 0x1ff, 0},
		{SVR, 0x1000, 1},
		{CURRENT, 0, 1},
		{DIVIDE, 0xb, 0},
		{DIVIDE, 4, 1},
		{ICR, 0x100000, 1},
		{ICR_HIGH, 0, 1},
		{SELF_IPI, 0x100, 1},
		{LVT_TIMER, 0x400ff, 0},
		{LVT_TIMER, BIT(32), 1},
		{0x400, 0, 1},
	};
	for (unsigned i = 0; i < ARRAY_LEN(writes); i++)
		assert_int_equal(wrx(&w, 0, writes[i].off, writes[i].val), writes[i].fault);
	world_fini(&w);
}

static void timer_oneshot(void **state)
{
	struct world w;

	world_init(&w, 1, "default", TSC_HZ);
	enable_all(&w);
	wr(&w, 0, LVT_TIMER, 0x30);
	wr(&w, 0, DIVIDE, DIVIDE_BY_1);
	wr(&w, 0, INITIAL, 1000);
	world_pass(&w, 999);
	assert_int_equal(rd(&w, 0, CURRENT), 1);
	assert_false(lapic_pending(apic(&w, 0)));
	world_pass(&w, 1);
	assert_int_equal(receivers(&w, 0x30), 1);
	assert_int_equal(rd(&w, 0, CURRENT), 0);
	assert_int_equal(rd(&w, 0, INITIAL), 1000);
	/* Divided by 16; then the rest goes at a quarter of the pace. */
	wr(&w, 0, DIVIDE, 3);
	wr(&w, 0, INITIAL, 100);
	world_pass(&w, 800);
	assert_int_equal(rd(&w, 0, CURRENT), 50);
	wr(&w, 0, DIVIDE, 9);
	assert_int_equal(rd(&w, 0, CURRENT), 50);
	world_pass(&w, 50 * 64 - 1);
	assert_false(lapic_pending(apic(&w, 0)));
	world_pass(&w, 1);
	assert_int_equal(receivers(&w, 0x30), 1);
	/* Stopped by 0, and silent when masked. */
	wr(&w, 0, INITIAL, 10);
	wr(&w, 0, INITIAL, 0);
	world_pass(&w, 10000);
	wr(&w, 0, LVT_TIMER, MASKED | 0x30);
	wr(&w, 0, INITIAL, 10);
	world_pass(&w, 10000);
	assert_int_equal(receivers(&w, 0x30), 0);
	world_fini(&w);
}

static void timer_periodic(void **state)
{
	struct world w;

	world_init(&w, 1, "default", TSC_HZ);
	enable_all(&w);
	wr(&w, 0, LVT_TIMER, PERIODIC | 0x31);
	wr(&w, 0, DIVIDE, DIVIDE_BY_1);
	wr(&w, 0, INITIAL, 1000000);
	for (unsigned i = 0; i < 5; i++) {
		world_pass(&w, 400000);
		assert_int_equal(rd(&w, 0, CURRENT), 600000);
		assert_int_equal(receivers(&w, 0x31), 0);
		world_pass(&w, 600000);
		assert_int_equal(receivers(&w, 0x31), 1);
		assert_int_equal(rd(&w, 0, CURRENT), 1000000);
	}
	/* Late ticks merge, and the phase stays. */
	world_pass(&w, 3300000);
	assert_int_equal(receivers(&w, 0x31), 1);
	assert_int_equal(rd(&w, 0, CURRENT), 700000);
	world_fini(&w);
}

static void timer_deadline(void **state)
{
	static const u64 frequencies[] = {1000000000, 2700000000, 2699999999, 999999937, 5000000};

	for (unsigned i = 0; i < ARRAY_LEN(frequencies); i++) {
		struct world w;
		struct alc_vcpu *v;

		world_init(&w, 1, "default", frequencies[i]);
		v = w.vcpus[0];
		enable_all(&w);
		lapic_set_tsc_deadline(v->lapic, 5);
		assert_int_equal(lapic_tsc_deadline(v->lapic), 0);
		wr(&w, 0, LVT_TIMER, DEADLINE | 0x32);
		for (u64 ticks = 1; ticks < 3000; ticks += 97) {
			u64 deadline = x86_tsc(v) + ticks;

			lapic_set_tsc_deadline(v->lapic, deadline);
			while (x86_tsc(v) < deadline) {
				assert_false(lapic_pending(v->lapic));
				assert_int_equal(lapic_tsc_deadline(v->lapic), deadline);
				world_pass(&w, frequencies[i] < 100000000 ? 100 : 7);
			}
			/* Rounding up costs at most one step more. */
			world_pass(&w, 1);
			assert_int_equal(receivers(&w, 0x32), 1);
			assert_int_equal(lapic_tsc_deadline(v->lapic), 0);
		}
		/* What has passed fires at once; leaving the mode disarms. */
		lapic_set_tsc_deadline(v->lapic, 1);
		assert_int_equal(receivers(&w, 0x32), 1);
		lapic_set_tsc_deadline(v->lapic, x86_tsc(v) + 1000);
		wr(&w, 0, LVT_TIMER, 0x32);
		world_pass(&w, 1000000);
		assert_int_equal(receivers(&w, 0x32), 0);
		/* A TSC that jumps takes the deadline along. */
		wr(&w, 0, LVT_TIMER, DEADLINE | 0x32);
		lapic_set_tsc_deadline(v->lapic, x86_tsc(v) + frequencies[i]);
		assert_int_equal(x86_wrmsr(v, MSR_TSC_ADJUST, frequencies[i]), 0);
		assert_int_equal(receivers(&w, 0x32), 1);
		/* One that never comes doesn't wrap around. */
		lapic_set_tsc_deadline(v->lapic, ~0ull);
		world_pass(&w, 1000000000);
		assert_int_equal(receivers(&w, 0x32), 0);
		world_fini(&w);
	}
}

static void save_and_load(void **state)
{
	struct world w;
	size_t len = fields_size(lapic_fields, 1);
	u8 *image = test_malloc(len);

	world_init(&w, 2, "default", TSC_HZ);
	enable_all(&w);
	wr(&w, 0, LVT_TIMER, 0x30);
	wr(&w, 0, DIVIDE, DIVIDE_BY_1);
	wr(&w, 0, INITIAL, 5000);
	send_msi(&w, 0, 0x44);
	fields_save(lapic_fields, 1, lapic_state(apic(&w, 0)), image);
	assert_int_equal(fields_load(lapic_fields, 1, lapic_state(apic(&w, 1)), image, len), 0);
	lapic_loaded(apic(&w, 1));
	assert_null(
		fields_differ(lapic_fields, lapic_state(apic(&w, 0)), lapic_state(apic(&w, 1))));
	assert_true(lapic_pending(apic(&w, 1)));
	assert_int_equal(lapic_ack(apic(&w, 1)), 0x44);
	wr(&w, 1, EOI, 0);
	world_pass(&w, 5000);
	assert_int_equal(lapic_ack(apic(&w, 1)), 0x30);
	test_free(image);
	world_fini(&w);
}

static void creation_fails(void **state)
{
	struct world w;
	struct alc_vcpu v = {0};
	struct alc_err err = {0};

	world_init(&w, 1, "default", TSC_HZ);
	v.plat = &w.plat;
	v.cpuid = &w.cpuid;
	for (unsigned nth = 1; nth <= 2; nth++) {
		w.th.calls = 0;
		w.th.fail_nth = nth;
		err.code = 0;
		assert_int_not_equal(lapic_create(&v, &err), 0);
		assert_int_not_equal(err.text[0], 0);
		assert_null(v.lapic);
	}
	w.th.fail_nth = 0;
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reset_values),
		cmocka_unit_test(priorities),
		cmocka_unit_test(level_eoi),
		cmocka_unit_test(ipi_destinations),
		cmocka_unit_test(x2apic_destinations),
		cmocka_unit_test(other_modes),
		cmocka_unit_test(extint),
		cmocka_unit_test(lint0_fixed),
		cmocka_unit_test(errors),
		cmocka_unit_test(base_transitions),
		cmocka_unit_test(x2apic_faults),
		cmocka_unit_test(timer_oneshot),
		cmocka_unit_test(timer_periodic),
		cmocka_unit_test(timer_deadline),
		cmocka_unit_test(save_and_load),
		cmocka_unit_test(creation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
