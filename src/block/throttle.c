/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/throttle.h"

#include "block/disk_req.h"

static const double MILLION = 1e6;
enum { PPM = 1000000 };

typedef unsigned __int128 u128;

#define AT(member) offsetof(struct throttle_params, member)

const struct param throttle_params[] = {
	{"k", "how many times slower than its model the disk is", PARAM_REAL, AT(k), "1", 1, 1000},
	{"lock", "whether k stays as it is", PARAM_FLAG, AT(lock), "off", 0, 0},
	{"window", "completions after which k is looked at", PARAM_COUNT, AT(window), "2000", 2000,
	 1e9},
	{"high", "share of late requests from which k is raised", PARAM_REAL, AT(high), "0.01", 0,
	 1},
	{"low", "share of late requests below which k is lowered", PARAM_REAL, AT(low), "0.001", 0,
	 1},
	{"raise", "factor by which k is raised", PARAM_REAL, AT(raise), "1.1", 1, 10},
	{"lower", "divisor by which k is lowered", PARAM_REAL, AT(lower), "1.05", 1, 10},
	{.name = NULL},
};

void throttle_init(struct throttle *t, const struct throttle_params *p)
{
	*t = (struct throttle){.p = *p, .k_ppm = (u64)(p->k * MILLION + 0.5)};
}

void throttle_off(struct throttle *t)
{
	t->k_ppm = PPM;
	t->p.lock = true;
}

double throttle_k(const struct throttle *t)
{
	return (double)t->k_ppm / MILLION;
}

u64 throttle_disk_ns(const struct throttle *t, u64 guest_ns)
{
	/* In virtual time a CPU may be a little behind the one that was last. */
	if (guest_ns <= t->guest_ns)
		return t->disk_ns;
	return t->disk_ns + (u64)((u128)(guest_ns - t->guest_ns) * PPM / t->k_ppm);
}

u64 throttle_guest_ns(const struct throttle *t, u64 disk_ns)
{
	u128 ns;

	if (disk_ns == DISK_NEVER)
		return DISK_NEVER;
	if (disk_ns <= t->disk_ns)
		return t->guest_ns;
	ns = t->guest_ns + ((u128)(disk_ns - t->disk_ns) * t->k_ppm + PPM - 1) / PPM;
	return ns < DISK_NEVER ? (u64)ns : DISK_NEVER - 1;
}

void throttle_jump(struct throttle *t, u64 guest_ns, u64 disk_ns)
{
	t->guest_ns = guest_ns;
	t->disk_ns = disk_ns;
}

static u64 next_k(const struct throttle *t)
{
	double share = (double)t->late / (double)t->seen, k = throttle_k(t);

	if (share > t->p.high)
		k *= t->p.raise;
	else if (share < t->p.low)
		k /= t->p.lower;
	k = k < 1 ? 1 : k;
	k = k > 1000 ? 1000 : k;
	return (u64)(k * MILLION + 0.5);
}

bool throttle_count(struct throttle *t, u64 guest_ns, bool late)
{
	u64 k_ppm;

	t->all++;
	t->all_late += late;
	t->seen++;
	t->late += late;
	if (t->seen < t->p.window)
		return false;
	k_ppm = t->p.lock ? t->k_ppm : next_k(t);
	t->windows++;
	t->seen = t->late = 0;
	if (k_ppm == t->k_ppm)
		return false;
	throttle_jump(t, guest_ns, throttle_disk_ns(t, guest_ns));
	t->k_ppm = k_ppm;
	return true;
}
