/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs that have nothing to do. Sleeping and being woken costs the host tens of microseconds; a CPU
 * that expects work sooner than that looks for it instead, for a time that adapts: it doubles after
 * a sleep so short that a longer look would have spared it, and halves after a long one. It looks
 * only while the host has a processor to spare for it, besides those that the machine's CPUs that
 * are awake need, and one for the threads that bring the work.
 */
#include "vm/machine.h"

enum { POLL_FIRST_NS = 10000 };

/*
 * The sleeper says that it sleeps and then looks for work; the waker makes work and then looks
 * whether somebody sleeps. All four are sequentially consistent, so one of them sees the other.
 */
void machine_kick(void *ctx, struct alc_vcpu *v)
{
	struct machine *m = ctx;
	struct machine_cpu *c = &m->cpus[v->index];

	if (m->virtual.on)
		virtual_kick(m, v->index);
	else if (atomic_load(&c->asleep))
		m->host->event_signal(m->host->ctx, c->wake);
	else if (m->engine->kick && c->in_engine)
		m->engine->kick(v);
}

static bool has_work(struct machine_cpu *c)
{
	return atomic_load(&c->v->attention) || atomic_load(&c->m->stopping);
}

static bool may_poll(const struct machine_cpu *c)
{
	const struct machine *m = c->m;

	return c->poll_ns && m->ncpus - atomic_load(&m->sleepers) < m->parts.host_cpus;
}

/* True if work came. */
static bool poll(struct machine_cpu *c, u64 began_ns)
{
	u64 until_ns = began_ns + c->poll_ns;

	while (!has_work(c) && host_now_ns(c->m->host) < until_ns)
		__builtin_ia32_pause();
	return has_work(c);
}

static void adapt(struct machine_cpu *c, u64 halted_ns)
{
	u64 most_ns = c->m->desc->halt_poll_ns;

	if (halted_ns > most_ns)
		c->poll_ns = c->poll_ns / 2 < POLL_FIRST_NS ? 0 : c->poll_ns / 2;
	else
		c->poll_ns = min_u64(most_ns, c->poll_ns ? 2 * c->poll_ns : POLL_FIRST_NS);
}

static void sleep(struct machine_cpu *c)
{
	const struct alc_host *h = c->m->host;

	atomic_fetch_add(&c->m->sleepers, 1);
	atomic_store(&c->asleep, true);
	while (!has_work(c))
		h->event_wait(h->ctx, c->wake, ALC_WAIT_FOREVER);
	atomic_store(&c->asleep, false);
	atomic_fetch_sub(&c->m->sleepers, 1);
}

void halt_wait(struct machine_cpu *c)
{
	const struct alc_host *h = c->m->host;
	u64 began_ns;

	if (!c->m->desc->halt_poll_ns) {
		sleep(c);
		return;
	}
	began_ns = host_now_ns(h);
	if (may_poll(c)) {
		bool came = poll(c, began_ns);

		c->polled_ns += host_now_ns(h) - began_ns;
		if (came) {
			c->polls_answered++;
			return;
		}
		c->polls_in_vain++;
	}
	sleep(c);
	adapt(c, host_now_ns(h) - began_ns);
}
