/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every vCPU publishes the same line: guest time 0 at the tick count 0, with the slope of the
 * TSC's frequency. It depends on nothing sampled, so two vCPUs whose TSCs agree compute the same
 * time from it, and the "stable" flag is the truth.
 */
#include "isa/pvclock.h"

#include "isa/msr.h"

struct time_info {
	u32 version;
	u32 pad0;
	u64 tsc_timestamp;
	u64 system_time;
	u32 tsc_to_system_mul;
	i8 tsc_shift;
	u8 flags;
	u8 pad[2];
};

struct wall_clock {
	u32 version;
	u32 sec;
	u32 nsec;
};

struct steal_time {
	u64 steal;
	u32 version;
	u32 flags;
	u8 preempted;
	u8 pad[47];
};

_Static_assert(sizeof(struct time_info) == 32 && sizeof(struct wall_clock) == 12 &&
		       sizeof(struct steal_time) == 64,
	       "layouts that guests know");

enum {
	ENABLE = 1,
	TIME_ALIGN = 4,
	STEAL_ALIGN = 64,
	FLAG_TSC_STABLE = 1,
};
#define NS_PER_SEC 1000000000ull

/* ns = (ticks << shift) * mul / 2^32, with mul normalised to all its 32 bits. */
static void set_slope(struct time_info *t, u64 tsc_hz)
{
	u64 ns = NS_PER_SEC, ticks = tsc_hz;
	int shift = 0;

	for (; ticks <= ns; shift++)
		ticks <<= 1;
	for (; ticks > 2 * ns; shift--)
		ns <<= 1;
	t->tsc_to_system_mul = (u32)mul_div(ns, BIT(32), ticks);
	t->tsc_shift = (i8)shift;
}

/*
 * Writes a structure whose version counter lies at version_at in it. The guest may read while
 * this writes: an odd version says so, and is seen before and after the body, since stores become
 * visible in order. Nothing is written unless all of it lies in RAM.
 */
static void publish(struct alc_space *space, alc_gpa at, void *body, u64 len, u64 version_at)
{
	u8 *version = (u8 *)body + version_at;
	alc_gpa version_gpa = gpa_add(at, version_at);
	struct alc_span span;

	if (!space_span(space, at, len, &span) || span.len < len || span.rom)
		return;
	st32(version, (ld32(version) | 1) + 2);
	if (space_copy_out(space, version_gpa, version, sizeof(u32)) ||
	    space_copy_out(space, at, body, len))
		return;
	st32(version, ld32(version) + 1);
	if (space_copy_out(space, version_gpa, version, sizeof(u32)))
		return;
}

static void publish_time(struct alc_vcpu *v)
{
	alc_gpa at = gpa(v->pv.system_time & ~(u64)ENABLE);
	struct time_info t = {.version = v->pv.time_version};

	if (!(v->pv.system_time & ENABLE) || at.v % TIME_ALIGN)
		return;
	t.tsc_timestamp = v->msr.tsc_offset;
	t.flags = FLAG_TSC_STABLE;
	set_slope(&t, v->plat->tsc_hz);
	publish(v->plat->space, at, &t, sizeof(t), offsetof(struct time_info, version));
	v->pv.time_version = t.version;
}

int pvclock_set_system_time(struct alc_vcpu *v, u64 val)
{
	v->pv.system_time = val;
	publish_time(v);
	return 0;
}

int pvclock_set_wall_clock(struct alc_vcpu *v, u64 val)
{
	struct alc_clock *clock = v->plat->clock;
	u64 boot_ns = clock_wall_ns(clock) - clock_now_ns(clock);
	struct wall_clock w = {.version = v->pv.wall_version,
			       .sec = (u32)(boot_ns / NS_PER_SEC),
			       .nsec = (u32)(boot_ns % NS_PER_SEC)};

	v->pv.wall_clock = val;
	if (val % TIME_ALIGN)
		return 0;
	publish(v->plat->space, gpa(val), &w, sizeof(w), offsetof(struct wall_clock, version));
	v->pv.wall_version = w.version;
	return 0;
}

int pvclock_set_steal_time(struct alc_vcpu *v, u64 val)
{
	if (val & (STEAL_ALIGN - 1) & ~(u64)ENABLE)
		return 1;
	v->pv.steal_time = val;
	pvclock_add_steal(v, 0);
	return 0;
}

void pvclock_add_steal(struct alc_vcpu *v, u64 stolen_ns)
{
	struct alc_space *space = v->plat->space;
	alc_gpa at = gpa(v->pv.steal_time & ~(u64)(STEAL_ALIGN - 1));
	struct steal_time s;

	if (!(v->pv.steal_time & ENABLE) || space_copy_in(space, at, &s, sizeof(s)))
		return;
	s.steal += stolen_ns;
	s.preempted = 0;
	publish(space, at, &s, sizeof(s), offsetof(struct steal_time, version));
}

void pvclock_refresh(struct alc_vcpu *v)
{
	publish_time(v);
}
