/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pausing: whoever asks only leaves a note and waits. The thread in machine_run finds it, has the
 * CPUs' threads hold, stops the clock and parks until the note is gone. So no CPU is inside an
 * engine, no timer fires and guest time stands still while a machine is parked, and what the host
 * did meanwhile is nobody's stolen time. The threads stay, because engines count by them.
 *
 * Whether the machine is parked changes under m->lock together with the decision to go on: one who
 * asks for a pause either finds it parked, and then it stays so, or finds it running, and then it
 * will park.
 */
#include "vm/machine.h"

static void set_phase(struct machine *m, enum machine_phase phase)
{
	host_lock(m->host, m->lock);
	m->phase = phase;
	host_unlock(m->host, m->lock);
	m->host->event_signal(m->host->ctx, m->parked);
}

static enum machine_phase phase(struct machine *m)
{
	enum machine_phase p;

	host_lock(m->host, m->lock);
	p = m->phase;
	host_unlock(m->host, m->lock);
	return p;
}

/* Says what is wanted, and waits until the machine is no longer in a phase that contradicts. */
static void ask(struct machine *m, bool pause, enum machine_phase until_not)
{
	/* An event has one waiter. */
	host_lock(m->host, m->pause_lock);
	host_lock(m->host, m->lock);
	atomic_store(&m->pause_asked, pause);
	host_unlock(m->host, m->lock);
	m->host->event_signal(m->host->ctx, m->wake);
	while (phase(m) == until_not)
		m->host->event_wait(m->host->ctx, m->parked, ALC_WAIT_FOREVER);
	host_unlock(m->host, m->pause_lock);
}

void machine_pause(struct machine *m)
{
	ask(m, true, PHASE_RUNNING);
}

void machine_resume(struct machine *m)
{
	ask(m, false, PHASE_PARKED);
}

static void shift(u64 *deadline_ns, u64 by_ns)
{
	if (*deadline_ns)
		*deadline_ns += by_ns;
}

static void account(struct machine *m, u64 parked_ns)
{
	m->paused_ns += parked_ns;
	shift(&m->limit_ns, parked_ns);
	shift(&m->shutdown_ns, parked_ns);
}

/*
 * Goes on if nobody wants a pause, or if there is an end to come to. began_ns: when the pause did,
 * which ends before anybody can know of it.
 */
static bool go_on(struct machine *m, u64 began_ns)
{
	bool go;

	host_lock(m->host, m->lock);
	go = !atomic_load(&m->pause_asked) || atomic_load(&m->stop_asked);
	if (go && m->phase == PHASE_PARKED)
		account(m, host_now_ns(m->host) - began_ns);
	if (go)
		m->phase = PHASE_RUNNING;
	host_unlock(m->host, m->lock);
	m->host->event_signal(m->host->ctx, m->parked);
	return go;
}

static void wait_parked(struct machine *m)
{
	u64 began_ns = host_now_ns(m->host);

	if (m->engine->stop_time)
		m->engine->stop_time(m->engine_vm);
	m->pauses++;
	set_phase(m, PHASE_PARKED);
	while (!go_on(m, began_ns))
		m->host->event_wait(m->host->ctx, m->wake, ALC_WAIT_FOREVER);
	if (m->engine->start_time)
		m->engine->start_time(m->engine_vm);
}

/* ---- CPUs that hold ----------------------------------------------------------------------- */

static bool holds(const struct machine *m, unsigned round)
{
	return atomic_load(&m->holding) && m->hold_round == round && !atomic_load(&m->stopping);
}

void pause_hold(struct machine_cpu *c)
{
	struct machine *m = c->m;
	const struct alc_host *h = m->host;
	unsigned round;

	atomic_store(&c->asleep, true);
	host_lock(h, m->lock);
	round = m->hold_round;
	m->held++;
	h->event_signal(h->ctx, m->wake);
	while (holds(m, round)) {
		host_unlock(h, m->lock);
		h->event_wait(h->ctx, c->wake, ALC_WAIT_FOREVER);
		host_lock(h, m->lock);
	}
	host_unlock(h, m->lock);
	atomic_store(&c->asleep, false);
}

/* Each round is counted anew: who has not yet noticed the end of one must not count for the next.
 */
static void set_holding(struct machine *m, bool holding)
{
	host_lock(m->host, m->lock);
	atomic_store(&m->holding, holding);
	m->held = 0;
	m->hold_round++;
	host_unlock(m->host, m->lock);
}

static bool must_await_cpus(struct machine *m)
{
	bool more;

	host_lock(m->host, m->lock);
	more = m->verdict == VERDICT_NONE && m->held < m->nthreads;
	host_unlock(m->host, m->lock);
	return more;
}

bool pause_cpus(struct machine *m)
{
	set_holding(m, true);
	for (unsigned i = 0; i < m->ncpus; i++)
		x86_attend(m->vcpus[i], X86_ATTN_STOP);
	while (must_await_cpus(m))
		m->host->event_wait(m->host->ctx, m->wake, ALC_WAIT_FOREVER);
	return m->held == m->nthreads;
}

void pause_release(struct machine *m)
{
	set_holding(m, false);
	for (unsigned i = 0; i < m->ncpus; i++)
		m->host->event_signal(m->host->ctx, m->cpus[i].wake);
}

/* ---- For machine_run ---------------------------------------------------------------------- */

void pause_begin(struct machine *m)
{
	set_phase(m, PHASE_RUNNING);
}

void pause_park(struct machine *m)
{
	if (!go_on(m, 0))
		wait_parked(m);
}

void pause_end(struct machine *m)
{
	set_phase(m, PHASE_ENDED);
}
