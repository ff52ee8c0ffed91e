/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/virtual.h"

#include "base/errno.h"
#include "base/param.h"
#include "base/str.h"
#include "vm/machine.h"

/* ---- Options ------------------------------------------------------------------------------ */

enum { OPTION_MAX = 64 };

#define QUANTUM_MAX 1e9
#define DATE_MAX    253402300799.0 /* the end of the year 9999 */

static const struct param params[] = {
	{"rate", "instructions that a CPU executes a second", PARAM_REAL,
	 offsetof(struct virtual_options, rate), "1e9", CLOCK_HZ_MIN, (double)CLOCK_HZ_MAX},
	{"quantum", "time that CPUs run before it is the next one's turn", PARAM_TIME,
	 offsetof(struct virtual_options, quantum_ns), "10us", 1, QUANTUM_MAX},
	{"seed", "0: each turn is a quantum; else turns have random lengths", PARAM_COUNT,
	 offsetof(struct virtual_options, seed), "0", 0, 1e18},
	{"entropy", "seed of the random numbers that the guest gets", PARAM_COUNT,
	 offsetof(struct virtual_options, entropy), "0", 0, 1e18},
	{"date", "seconds since 1970 at which the machine is switched on", PARAM_COUNT,
	 offsetof(struct virtual_options, date_s), "1767225600", 0, DATE_MAX},
	{"latency", "what a disk without a model takes for a request", PARAM_TIME,
	 offsetof(struct virtual_options, latency_ns), "100us", 0, QUANTUM_MAX},
	{.name = NULL},
};

/* Copies up to a comma, and returns what follows it; NULL: too long. */
static const char *take_option(const char *text, char out[OPTION_MAX])
{
	size_t n = 0;

	while (text[n] && text[n] != ',' && n < OPTION_MAX - 1) {
		out[n] = text[n];
		n++;
	}
	out[n] = '\0';
	if (text[n] && text[n] != ',')
		return NULL;
	return text[n] ? text + n + 1 : text + n;
}

static int set_option(char *option, struct virtual_options *out, struct alc_err *err)
{
	char *value = option;

	while (*value && *value != '=')
		value++;
	if (!*value)
		return alc_fail(err, -EINVAL, "the clock's option '%s' is not KEY=VALUE", option);
	*value = '\0';
	if (param_set(params, option, value + 1, out, err) == 0)
		return 0;
	if (err)
		err->code = -EINVAL; /* whatever is wrong with it */
	return -EINVAL;
}

int virtual_parse(const char *clock, bool *is_virtual, struct virtual_options *out,
		  struct alc_err *err)
{
	char option[OPTION_MAX];
	const char *rest = take_option(clock, option);
	int r;

	*is_virtual = str_eq(option, "virtual");
	if (str_eq(clock, "host"))
		return 0;
	if (!*is_virtual)
		return alc_fail(err, -EINVAL,
				str_eq(option, "host")
					? "the clock 'host' has no options, and so not '%s'"
					: "there is no clock '%s': use host or virtual",
				clock);
	r = param_parse(params, NULL, out, err);
	while (!r && rest && *rest) {
		rest = take_option(rest, option);
		r = rest ? set_option(option, out, err) : 0;
	}
	return rest ? r : alc_fail(err, -EINVAL, "an option in '%s' is too long", clock);
}

/* ---- Rounds ------------------------------------------------------------------------------- */

static bool must_return(const struct machine *m)
{
	return atomic_load(&m->stopping);
}

static bool runnable(const struct machine_cpu *c)
{
	return c->v->activity == X86_RUNNING || atomic_load(&c->v->attention);
}

static bool any_runnable(const struct machine *m)
{
	for (unsigned i = 0; i < m->ncpus; i++)
		if (runnable(&m->cpus[i]))
			return true;
	return false;
}

/*
 * Short rounds make interleavings that long ones never show, and long ones those where one CPU does
 * much in one go: lengths are spread over the powers of two.
 */
static u64 quantum(struct machine *m)
{
	struct machine_virtual *t = &m->virtual;
	u64 r[2];

	if (m->ncpus == 1)
		return CLOCK_SLICE_MAX_NS;
	if (!t->opts.seed)
		return t->opts.quantum_ns;
	entropy_fill(m->host, &t->rounds, r, sizeof(r));
	return 1 + r[0] % max_u64(2 * t->opts.quantum_ns >> r[1] % 8, 1);
}

/* Lets a CPU run for a slice, or as long as it doesn't halt; false: the thread must return. */
static bool run_slice(struct machine_cpu *c)
{
	struct machine *m = c->m;
	struct alc_err err = {0};

	for (;;) {
		if (must_return(m))
			return false;
		if (atomic_load(&m->holding)) {
			pause_hold(&m->cpus[0]);
			continue;
		}
		switch (run_cpu(c, &err)) {
		case ALC_EXIT_ATTENTION:
			break;
		case ALC_EXIT_HALT:
		case ALC_EXIT_BUDGET:
			return true;
		case ALC_EXIT_SHUTDOWN:
		case ALC_EXIT_ERROR:
			return false;
		}
	}
}

static bool take_turn(struct machine_cpu *c, u64 from_ns, u64 *until_ns)
{
	struct machine *m = c->m;
	u64 end_ns;
	bool go_on;

	clock_slice_begin(m->clock, from_ns, *until_ns, &c->v->instructions, &c->v->run_until);
	go_on = run_slice(c);
	c->time_ns = clock_slice_end(m->clock, &end_ns);
	*until_ns = min_u64(*until_ns, end_ns);
	return go_on;
}

static void advance(struct machine *m, u64 to_ns)
{
	m->virtual.now_ns = to_ns;
	clock_advance(m->clock, to_ns);
	machine_hash_due(m, to_ns);
}

static void run_round(struct machine *m, u64 until_ns)
{
	u64 from_ns = m->virtual.now_ns;

	m->virtual.rounds_run++;
	for (unsigned i = 0; i < m->ncpus; i++) {
		struct machine_cpu *c = &m->cpus[i];
		u64 at_ns = max_u64(c->time_ns, from_ns);

		if (runnable(c) && at_ns < until_ns && !take_turn(c, at_ns, &until_ns))
			return;
	}
	advance(m, until_ns);
}

static void wait_for_outside(struct machine *m)
{
	atomic_store(&m->virtual.asleep, true);
	while (!must_return(m) && !atomic_load(&m->holding) && !any_runnable(m) &&
	       clock_next_ns(m->clock) == CLOCK_NEVER)
		clock_wait(m->clock);
	atomic_store(&m->virtual.asleep, false);
}

static void go_on(struct machine *m)
{
	u64 now_ns = m->virtual.now_ns, next_ns = clock_next_ns(m->clock);

	if (next_ns <= now_ns) {
		advance(m, now_ns);
	} else if (any_runnable(m)) {
		/* One CPU's state at an instant is the same wherever its rounds end. */
		if (m->ncpus == 1)
			next_ns = min_u64(next_ns, machine_hash_next(m));
		run_round(m, min_u64(now_ns + quantum(m), next_ns));
	} else if (next_ns != CLOCK_NEVER) {
		m->virtual.idle_ns += next_ns - now_ns;
		advance(m, next_ns);
	} else {
		wait_for_outside(m);
	}
}

/* CPUs that are ahead stay so; a later period begins where the last of them is. */
static void note_end(struct machine *m)
{
	for (unsigned i = 0; i < m->ncpus; i++)
		m->virtual.now_ns = max_u64(m->virtual.now_ns, m->cpus[i].time_ns);
}

void virtual_main(void *arg)
{
	struct machine *m = arg;

	while (!must_return(m)) {
		if (atomic_load(&m->holding))
			pause_hold(&m->cpus[0]);
		else
			go_on(m);
	}
	note_end(m);
}

void virtual_kick(struct machine *m, unsigned cpu)
{
	struct machine_cpu *c = &m->cpus[cpu];

	/* It is woken now, not where it began to sleep. */
	if (c->v->activity != X86_RUNNING)
		c->time_ns = max_u64(c->time_ns, clock_cpu_ns(m->clock));
	if (atomic_load(&m->cpus[0].asleep)) /* the thread of all, in a pause */
		m->host->event_signal(m->host->ctx, m->cpus[0].wake);
	else if (atomic_load(&m->virtual.asleep))
		clock_wake(m->clock);
	else if (m->engine->kick && c->in_engine)
		m->engine->kick(c->v);
}
