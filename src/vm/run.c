/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running a machine.
 *
 * Each vCPU has a thread, which does nothing but run the engine and sleep in halts. The thread in
 * machine_run starts them, sleeps until somebody has reached a verdict (a device's request, a
 * CPU's crash, machine_stop, the time limit), joins them all, and ends or resets. So whoever
 * resets or destroys has the machine to itself, once the clock is stopped too.
 *
 * A verdict is reached under m->lock and only once; `stopping` tells the CPUs, and
 * X86_ATTN_STOP makes them look.
 */
#include "base/errno.h"
#include "device/platform/acpi_pm.h"
#include "isa/pvclock.h"
#include "vm/machine.h"

/* How often a CPU that never halts looks how much of its time the host gave to others. */
#define STEAL_PERIOD_NS 100000000ull

/* ---- Verdicts ----------------------------------------------------------------------------- */

static bool stopping(struct machine *m)
{
	return atomic_load(&m->stopping);
}

static void attend_all(struct machine *m, unsigned bits)
{
	for (unsigned i = 0; i < m->ncpus; i++)
		x86_attend(m->vcpus[i], bits);
}

/* err may be NULL. The first verdict stands, but a wish to move yields to any other. */
static void conclude(struct machine *m, enum machine_verdict verdict, struct alc_result res,
		     const struct alc_err *err)
{
	host_lock(m->host, m->lock);
	if (m->verdict == VERDICT_NONE || m->verdict == VERDICT_MOVE) {
		m->verdict = verdict;
		m->result = res;
		if (err)
			m->err = *err;
		atomic_store(&m->stopping, true);
	}
	host_unlock(m->host, m->lock);
	attend_all(m, X86_ATTN_STOP);
	m->host->event_signal(m->host->ctx, m->wake);
}

static void end(struct machine *m, enum alc_outcome outcome, int status)
{
	conclude(m, VERDICT_END, (struct alc_result){outcome, status}, NULL);
}

void machine_request(void *ctx, enum alc_request what, unsigned value)
{
	struct machine *m = ctx;

	switch (what) {
	case ALC_REQUEST_RESET:
		if (m->desc->no_reboot)
			end(m, ALC_OUTCOME_RESET, 0);
		else
			conclude(m, VERDICT_RESET, (struct alc_result){0}, NULL);
		break;
	case ALC_REQUEST_POWEROFF:
		end(m, ALC_OUTCOME_POWEROFF, atomic_load(&m->poweroff_status));
		break;
	case ALC_REQUEST_EXIT:
		end(m, ALC_OUTCOME_EXIT, (int)value);
		break;
	case ALC_REQUEST_STATUS:
		atomic_store(&m->poweroff_status, (int)value);
		break;
	case ALC_REQUEST_READY:
		if (m->parts.ready)
			m->parts.ready(m->parts.ctx);
		break;
	}
}

void machine_stop(struct machine *m)
{
	atomic_store(&m->stop_asked, true);
	m->host->event_signal(m->host->ctx, m->wake);
}

void machine_power_button(struct machine *m)
{
	atomic_store(&m->button_asked, true);
	m->host->event_signal(m->host->ctx, m->wake);
}

void machine_move(struct machine *m, const char *engine)
{
	atomic_store(&m->move_to, engine);
	conclude(m, VERDICT_MOVE, (struct alc_result){0}, NULL);
}

/* ---- One CPU ------------------------------------------------------------------------------ */

static enum alc_exit run_once(struct machine_cpu *c, struct alc_err *err)
{
	const struct alc_host *h = c->m->host;
	bool steal = !c->m->virtual.on;
	u64 wall_ns = host_now_ns(h), cpu_ns = steal ? h->thread_cpu_ns(h->ctx) : 0, stolen_ns;
	enum alc_exit exit = c->m->engine->run(c->v, err);

	cpu_ns = steal ? h->thread_cpu_ns(h->ctx) - cpu_ns : 0;
	wall_ns = host_now_ns(h) - wall_ns;
	c->run_ns += wall_ns;
	c->exits[exit]++;
	stolen_ns = steal && wall_ns > cpu_ns ? wall_ns - cpu_ns : 0;
	c->stolen_ns += stolen_ns;
	if (stolen_ns && !c->m->engine->has_pvclock)
		pvclock_add_steal(c->v, stolen_ns);
	return exit;
}

enum alc_exit run_cpu(struct machine_cpu *c, struct alc_err *err)
{
	enum alc_exit exit = run_once(c, err);

	if (exit == ALC_EXIT_ATTENTION)
		atomic_fetch_and(&c->v->attention, ~(u32)(X86_ATTN_STOP | X86_ATTN_WORK));
	else if (exit == ALC_EXIT_SHUTDOWN)
		end(c->m, ALC_OUTCOME_CRASHED, 0);
	else if (exit == ALC_EXIT_ERROR)
		conclude(c->m, VERDICT_END, (struct alc_result){ALC_OUTCOME_FAILED, 0}, err);
	return exit;
}

static void cpu_main(void *arg)
{
	struct machine_cpu *c = arg;
	struct alc_err err = {0};

	while (!stopping(c->m)) {
		if (atomic_load(&c->m->holding)) {
			pause_hold(c);
			continue;
		}
		switch (run_cpu(c, &err)) {
		case ALC_EXIT_ATTENTION:
		case ALC_EXIT_BUDGET: /* there is none */
			break;
		case ALC_EXIT_HALT:
			halt_wait(c);
			break;
		case ALC_EXIT_SHUTDOWN:
		case ALC_EXIT_ERROR:
			return;
		}
	}
}

/* ---- The machine -------------------------------------------------------------------------- */

static void join_cpus(struct machine *m)
{
	atomic_store(&m->stopping, true);
	attend_all(m, X86_ATTN_STOP);
	for (unsigned i = 0; i < m->ncpus; i++) {
		if (m->cpus[i].thread)
			m->host->thread_join(m->host->ctx, m->cpus[i].thread);
		m->cpus[i].thread = NULL;
	}
}

static int start_cpus(struct machine *m, struct alc_err *err)
{
	const struct alc_host *h = m->host;
	bool one = m->virtual.on;

	m->nthreads = one ? 1 : m->ncpus;
	for (unsigned i = 0; i < m->nthreads; i++) {
		int r = h->thread_start(h->ctx, "vcpu", one ? virtual_main : cpu_main,
					one ? (void *)m : &m->cpus[i], &m->cpus[i].thread);

		if (r) {
			join_cpus(m);
			return alc_fail(err, r, "can't start a thread for vCPU %u", i);
		}
	}
	return 0;
}

static enum machine_verdict verdict(struct machine *m)
{
	enum machine_verdict v;

	host_lock(m->host, m->lock);
	v = m->verdict;
	host_unlock(m->host, m->lock);
	return v;
}

static void end_from_outside(struct machine *m, enum alc_outcome outcome)
{
	end(m, outcome, 0);
	if (m->parts.unblock)
		m->parts.unblock(m->parts.ctx);
}

static void press_button(struct machine *m)
{
	u64 grace_ns = m->desc->shutdown_timeout_ns, now_ns = host_now_ns(m->host);

	if (!acpi_pm_button_enabled(m->pm)) {
		end_from_outside(m, ALC_OUTCOME_STOPPED);
		return;
	}
	acpi_pm_power_button(m->pm);
	if (!m->shutdown_ns && grace_ns && grace_ns < UINT64_MAX - now_ns)
		m->shutdown_ns = now_ns + grace_ns;
}

static bool past(u64 deadline_ns, u64 now_ns)
{
	return deadline_ns && now_ns >= deadline_ns;
}

static void pause_running(struct machine *m)
{
	struct alc_err err = {0};
	int r;

	if (pause_cpus(m)) {
		clock_stop(m->clock);
		pause_park(m);
		r = clock_start(m->clock);
		if (r) {
			alc_fail(&err, r, "can't start the machine's clock");
			conclude(m, VERDICT_END, (struct alc_result){ALC_OUTCOME_FAILED, 0}, &err);
		}
	}
	/* Those that shall stop find that out without running before. */
	if (verdict(m) == VERDICT_NONE && !atomic_load(&m->stop_asked))
		pause_release(m);
}

/* Whether somebody or something outside wants the machine to end. */
static bool ended_from_outside(struct machine *m, u64 now_ns)
{
	if (atomic_load(&m->stop_asked) || past(m->shutdown_ns, now_ns)) {
		end_from_outside(m, ALC_OUTCOME_STOPPED);
		return true;
	}
	if (past(m->limit_ns, now_ns)) {
		end_from_outside(m, ALC_OUTCOME_TIMEOUT);
		return true;
	}
	return false;
}

static u64 next_look_ns(const struct machine *m, u64 now_ns)
{
	u64 until_ns = m->virtual.on ? UINT64_MAX : now_ns + STEAL_PERIOD_NS;

	if (m->limit_ns)
		until_ns = min_u64(until_ns, m->limit_ns);
	if (m->shutdown_ns)
		until_ns = min_u64(until_ns, m->shutdown_ns);
	return until_ns == UINT64_MAX ? ALC_WAIT_FOREVER : until_ns;
}

static void wait_for_verdict(struct machine *m)
{
	const struct alc_host *h = m->host;

	while (verdict(m) == VERDICT_NONE) {
		u64 now_ns = host_now_ns(h);

		if (ended_from_outside(m, now_ns))
			break;
		if (atomic_load(&m->pause_asked)) {
			pause_running(m);
			continue;
		}
		if (atomic_exchange(&m->button_asked, false)) {
			press_button(m);
			continue;
		}
		if (h->event_wait(h->ctx, m->wake, next_look_ns(m, now_ns)) && !m->virtual.on)
			for (unsigned i = 0; i < m->ncpus; i++)
				if (!atomic_load(&m->cpus[i].asleep))
					x86_attend(m->vcpus[i], X86_ATTN_WORK);
	}
}

static void forget_verdict(struct machine *m)
{
	host_lock(m->host, m->lock);
	m->verdict = VERDICT_NONE;
	host_unlock(m->host, m->lock);
}

static int reset(struct machine *m, struct alc_err *err)
{
	for (unsigned i = 0; i < m->ndevices; i++)
		dev_reset(m->devices[i], ALC_RESET_WARM);
	forget_verdict(m);
	atomic_store(&m->poweroff_status, 0);
	m->resets++;
	return machine_load(m, err);
}

/* From power-on or reset to the next verdict. */
static int run_period(struct machine *m, struct alc_err *err)
{
	int r;

	atomic_store(&m->stopping, false);
	r = clock_start(m->clock);
	if (r)
		return alc_fail(err, r, "can't start the machine's clock");
	r = start_cpus(m, err);
	if (!r) {
		wait_for_verdict(m);
		join_cpus(m);
		pause_release(m);
	}
	clock_stop(m->clock);
	return r;
}

static int obey_verdict(struct machine *m, struct alc_err *err)
{
	if (m->verdict == VERDICT_RESET)
		return reset(m, err);
	if (m->verdict != VERDICT_MOVE)
		return 0;
	forget_verdict(m);
	return move_engine(m, atomic_load(&m->move_to), err);
}

static int run_to_end(struct machine *m, struct alc_err *err)
{
	int r = 0;

	while (!r && m->verdict != VERDICT_END) {
		pause_park(m);
		if (atomic_load(&m->stop_asked)) {
			end_from_outside(m, ALC_OUTCOME_STOPPED);
			break;
		}
		r = run_period(m, err);
		if (!r)
			r = obey_verdict(m, err);
	}
	return r;
}

static u64 limit(const struct machine *m, u64 now_ns)
{
	u64 left_ns = m->desc->timeout_ns;

	return left_ns && left_ns < UINT64_MAX - now_ns ? now_ns + left_ns : 0;
}

int machine_run(struct machine *m, struct alc_result *res, struct alc_err *err)
{
	u64 began_ns = host_now_ns(m->host);
	int r;

	if (m->has_run)
		return alc_fail(err, -EBUSY, "a machine runs once: create another one");
	m->has_run = true;
	m->limit_ns = limit(m, began_ns);
	pause_begin(m);
	r = run_to_end(m, err);
	pause_end(m);
	m->run_ns = host_now_ns(m->host) - began_ns - m->paused_ns;
	if (!r)
		machine_hash_end(m);
	if (r) {
		*res = (struct alc_result){.outcome = ALC_OUTCOME_FAILED};
		return r;
	}
	*res = m->result;
	if (m->result.outcome == ALC_OUTCOME_FAILED)
		return alc_fail(err, m->err.code ? m->err.code : -EIO, "%s",
				m->err.text[0] ? m->err.text : "the engine gave up");
	return 0;
}
