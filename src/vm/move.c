/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From one engine to another, between two instructions of a guest that is none the wiser.
 *
 * The CPUs' state is struct alc_vcpu's in between. Interrupt controllers inside an engine are its
 * own, but for the local APICs, whose registers are part of a CPU's state; so a machine moves only
 * between engines that have neither I/O APIC nor PIC.
 */
#include "base/errno.h"
#include "device/irq/ioapic.h"
#include "isa/lapic.h"
#include "vm/machine.h"

static int get_states(struct machine *m, struct alc_err *err)
{
	int r = 0;

	for (unsigned i = 0; !r && m->engine->get_state && i < m->ncpus; i++)
		r = m->engine->get_state(m->vcpus[i], err);
	return r;
}

static void leave(struct machine *m)
{
	for (unsigned i = m->ncpus; i-- > 0;) {
		m->engine->vcpu_destroy(m->vcpus[i]);
		m->cpus[i].in_engine = false;
	}
	m->engine->vm_destroy(m->engine_vm);
	m->engine_vm = NULL;
	m->irqchip = NULL;
}

/* The CPU that the guest has seen must be one that the engine can run. */
static int check_cpuid(struct machine *m, const struct alc_engine *e, struct alc_err *err)
{
	struct x86_cpuid_table t = m->cpuid;
	int r = e->adapt ? e->adapt(m->engine_vm, &t, err) : 0;

	if (r)
		return r;
	for (unsigned i = 0; i < ARRAY_LEN(t.features); i++)
		if (t.features[i] != m->cpuid.features[i])
			return alc_fail(
				err, -ENOTSUP,
				"the engine '%s' lacks CPU features that this guest has seen",
				e->name);
	if (t.tsc_hz != m->cpuid.tsc_hz)
		return alc_fail(err, -ENOTSUP,
				"the engine '%s' can't give the guest a TSC of %llu Hz", e->name,
				(unsigned long long)m->cpuid.tsc_hz);
	return 0;
}

static int enter(struct machine *m, const struct alc_engine *e, const char *name,
		 struct alc_err *err)
{
	int r = e->vm_create(&m->plat, &m->engine_vm, err);

	if (r)
		return r;
	m->engine = e;
	r = engine_configure(e, m->engine_vm, name, err);
	if (!r)
		r = check_cpuid(m, e, err);
	if (!r && e->irqchip)
		m->irqchip = e->irqchip(m->engine_vm);
	if (!r && m->irqchip && m->irqchip->has_ioapic)
		r = alc_fail(err, -ENOTSUP,
			     "a running machine can't give its interrupt controllers to the engine "
			     "'%s': use irqchip=split or irqchip=user",
			     e->name);
	for (unsigned i = 0; !r && i < m->ncpus; i++) {
		m->cpus[i].in_engine = true;
		r = e->vcpu_create(m->engine_vm, m->vcpus[i], err);
		if (!r)
			e->set_state(m->vcpus[i]);
		/* What waits for IF was known to the other engine only. */
		if (!r && !m->irqchip && lapic_pending(m->vcpus[i]->lapic))
			x86_attend(m->vcpus[i], X86_ATTN_INTR);
	}
	return r;
}

/*
 * Streams have threads of their own, which drive interrupt lines. Users of the controllers come
 * after them in the list, and lock before them.
 */
static void lock_devices(struct machine *m)
{
	for (unsigned i = m->ndevices; i-- > 0;)
		dev_lock(m->devices[i]);
}

static void unlock_devices(struct machine *m)
{
	for (unsigned i = 0; i < m->ndevices; i++)
		dev_unlock(m->devices[i]);
}

static int change_engine(struct machine *m, const struct alc_engine *e, const char *name,
			 struct alc_err *err)
{
	int r = get_states(m, err);

	if (r)
		return r;
	leave(m);
	r = enter(m, e, name, err);
	if (!r && m->irqchip)
		ioapic_announce(m->ioapic);
	if (!r)
		shortcuts_moved(m);
	m->moves++;
	return r;
}

int move_engine(struct machine *m, const char *name, struct alc_err *err)
{
	const struct alc_engine *const *engines = m->parts.engines ? m->parts.engines : alc_engines;
	const struct alc_engine *e;
	int r = engine_select(m->host, engines, name, m->virtual.on, &e, err);

	if (!r && m->irqchip && m->irqchip->has_ioapic)
		r = alc_fail(err, -ENOTSUP,
			     "a machine whose interrupt controllers are inside the engine '%s' "
			     "can't leave it",
			     m->engine->name);
	if (r)
		return r;
	lock_devices(m);
	r = change_engine(m, e, name, err);
	unlock_devices(m);
	return r;
}
