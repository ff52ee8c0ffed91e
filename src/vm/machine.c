/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/machine.h"

#include "base/errno.h"
#include "base/str.h"
#include "boot/acpi.h"
#include "device/platform/ich9_lpc.h"
#include "isa/lapic.h"
#include "isa/msr.h"
#include "isa/vcpu.h"

typedef unsigned long long ull; /* for %llu */

enum { PIRQ_LINES = 1 << 10 | 1 << 11 }; /* what ich9_lpc_firmware chooses */

/* ---- The description ---------------------------------------------------------------------- */

int machine_check(const struct alc_desc *d, struct alc_err *err)
{
	struct virtual_options options;
	bool is_virtual;
	int r;

	if (d->cpus < 1 || d->cpus > PC_CPUS_MAX)
		return alc_fail(err, -EINVAL, "a machine has 1 to %u CPUs, not %u",
				(unsigned)PC_CPUS_MAX, d->cpus);
	if (d->memory_bytes < MACHINE_MEMORY_MIN)
		return alc_fail(err, -EINVAL,
				"a machine needs at least %u MiB of memory, and this one has %llu "
				"bytes",
				MACHINE_MEMORY_MIN >> 20, (ull)d->memory_bytes);
	if (d->memory_bytes % ALC_PAGE_SIZE)
		return alc_fail(err, -EINVAL,
				"memory comes in pages of 4096 bytes, and %llu is no "
				"multiple of that",
				(ull)d->memory_bytes);
	if (d->memory_bytes > BIT(X86_PHYS_BITS - 1))
		return alc_fail(err, -EINVAL,
				"%llu MiB of memory is more than the guest can address",
				(ull)(d->memory_bytes >> 20));
	r = virtual_parse(d->clock, &is_virtual, &options, err);
	return r ? r : machine_hash_check(d, is_virtual, err);
}

/* ---- Memory ------------------------------------------------------------------------------- */

/*
 * RAM from 0 to PC_LOW_RAM_MAX at most, the rest above 4 GiB. What a PC has at 0xa0000-0xfffff is
 * RAM here too, but for the window of a VGA (tables lie in it); the E820 map reserves it.
 */
static int add_memory(struct machine *m, struct alc_err *err)
{
	u64 total = m->desc->memory_bytes, low = min_u64(total, PC_LOW_RAM_MAX);
	int r = space_init(&m->space, m->host, total + m->parts.firmware.len, err);

	if (!r)
		r = firmware_add_memory(m, low, err);
	if (!r && total > low)
		r = space_add_bank(&m->space, gpa(PC_ABOVE_4G), total - low, false, err);
	return r;
}

/* ---- CPUs --------------------------------------------------------------------------------- */

static int add_cpu(struct machine *m, unsigned i, struct alc_err *err)
{
	struct machine_cpu *c = &m->cpus[i];
	int r;

	c->m = m;
	c->wake = m->host->event_create(m->host->ctx);
	if (!c->wake)
		return alc_fail(err, -ENOMEM, "no memory for vCPU %u", i);
	r = vcpu_create(&m->plat, i, &m->cpuid, &c->v, err);
	if (r)
		return r;
	m->vcpus[i] = c->v;
	m->plat.nvcpus = m->ncpus = i + 1;
	c->in_engine = true;
	return m->engine->vcpu_create(m->engine_vm, c->v, err);
}

/* The engine's machine, with its options, and what it has to say about CPUs and controllers. */
static int add_engine(struct machine *m, struct alc_err *err)
{
	int r = m->engine->vm_create(&m->plat, &m->engine_vm, err);

	if (!r)
		r = engine_configure(m->engine, m->engine_vm, m->desc->engine, err);
	if (!r)
		r = cpuid_table_init(&m->cpuid, m->desc->cpu, m->desc->cpus, MACHINE_TSC_HZ, err);
	if (!r && m->engine->adapt)
		r = m->engine->adapt(m->engine_vm, &m->cpuid, err);
	if (r)
		return r;
	m->plat.tsc_hz = m->cpuid.tsc_hz;
	if (m->engine->irqchip)
		m->irqchip = m->engine->irqchip(m->engine_vm);
	return 0;
}

static int add_cpus(struct machine *m, struct alc_err *err)
{
	int r = add_engine(m, err);

	for (unsigned i = 0; !r && i < m->desc->cpus; i++)
		r = add_cpu(m, i, err);
	return r;
}

static void remove_cpus(struct machine *m)
{
	for (unsigned i = PC_CPUS_MAX; i-- > 0;) {
		struct machine_cpu *c = &m->cpus[i];

		if (c->in_engine)
			m->engine->vcpu_destroy(c->v);
		vcpu_destroy(c->v);
		if (c->wake)
			m->host->event_destroy(m->host->ctx, c->wake);
	}
	if (m->engine_vm)
		m->engine->vm_destroy(m->engine_vm);
}

/* -EINVAL is for descriptions that make no sense: an image that does not is -ENOEXEC. */
static int load_images(struct machine *m, const struct boot_params *boot, struct alc_err *err)
{
	const struct machine_parts *p = &m->parts;
	int r = p->images_fetch ? p->images_fetch(p->ctx, err) : 0;

	if (r)
		return r;
	r = boot_load(&m->space, boot, m->vcpus[0], err);
	if (p->images_release)
		p->images_release(p->ctx);
	if (r != -EINVAL)
		return r;
	if (err)
		err->code = -ENOEXEC;
	return -ENOEXEC;
}

/* As firmware leaves processors and memory for a kernel, with the images in place. */
static int load_kernel(struct machine *m, struct alc_err *err)
{
	struct boot_params boot = {
		.kernel = m->parts.kernel,
		.initrd = m->parts.initrd,
		.append = m->desc->append ? m->desc->append : "",
	};
	struct acpi_params acpi = machine_acpi(m);
	int r;

	if (m->irqchip)
		m->irqchip->reset(m->engine_vm);
	for (unsigned i = 0; i < m->ncpus; i++) {
		lapic_firmware(m->vcpus[i]->lapic);
		x86_msr_firmware(m->vcpus[i]);
	}
	pci_assign(m->pci);
	ich9_lpc_firmware(m->lpc);
	/* The lines that PIRQs go to now are shared, and so level-triggered. */
	region_write(&m->ports, PC_PORT_ELCR + 1, PIRQ_LINES >> 8, 1);
	r = acpi_build(&m->space, &acpi, &boot.rsdp, err);
	return r ? r : load_images(m, &boot, err);
}

int machine_load(struct machine *m, struct alc_err *err)
{
	int r;

	for (unsigned i = 0; i < m->ncpus; i++)
		vcpu_reset(m->vcpus[i], false);
	r = m->parts.firmware.bytes ? firmware_load(m, err) : load_kernel(m, err);
	for (unsigned i = 0; !r && i < m->ncpus; i++)
		m->engine->set_state(m->vcpus[i]);
	return r;
}

/* ---- Composition -------------------------------------------------------------------------- */

static int make_clock(struct machine *m)
{
	const struct virtual_options *o = &m->virtual.opts;

	if (!m->virtual.on)
		return clock_create(m->host, &m->clock);
	m->entropy.state = o->entropy;
	m->virtual.rounds.state = o->seed;
	return clock_create_virtual(m->host, (u64)o->rate, o->date_s * 1000000000, &m->clock);
}

static int add_basics(struct machine *m, struct alc_err *err)
{
	const struct alc_engine *const *engines = m->parts.engines ? m->parts.engines : alc_engines;
	int r = virtual_parse(m->desc->clock, &m->virtual.on, &m->virtual.opts, err);
	size_t vcpu_bytes = 0;

	if (!r)
		r = engine_select(m->host, engines, m->desc->engine, m->virtual.on, &m->engine,
				  err);
	if (r)
		return r;
	m->lock = m->host->mutex_create(m->host->ctx);
	m->wake = m->host->event_create(m->host->ctx);
	m->pause_lock = m->host->mutex_create(m->host->ctx);
	m->parked = m->host->event_create(m->host->ctx);
	m->doorbells_lock = m->host->mutex_create(m->host->ctx);
	if (!m->doorbells_lock || !m->lock || !m->wake || !m->pause_lock || !m->parked ||
	    make_clock(m))
		return alc_fail(err, -ENOMEM, "no memory for a machine");
	for (const struct alc_engine *const *e = engines; *e; e++) /* it may move between them */
		vcpu_bytes = (*e)->vcpu_bytes > vcpu_bytes ? (*e)->vcpu_bytes : vcpu_bytes;
	m->plat = (struct x86_platform){
		.host = m->host,
		.clock = m->clock,
		.entropy = m->virtual.on ? &m->entropy : NULL,
		.space = &m->space,
		.ports = &m->ports,
		.tsc_hz = MACHINE_TSC_HZ,
		.kick = machine_kick,
		.kick_ctx = m,
		.vcpus = m->vcpus,
		.vcpu_bytes = vcpu_bytes,
	};
	return 0;
}

static int compose(struct machine *m, struct alc_err *err)
{
	int r = add_basics(m, err);

	if (!r)
		r = add_memory(m, err);
	if (!r)
		r = add_cpus(m, err);
	if (!r)
		r = machine_add_devices(m, err);
	if (!r)
		r = machine_load(m, err);
	return r;
}

int machine_create(const struct alc_host *host, const struct alc_desc *desc,
		   const struct machine_parts *parts, struct machine **out, struct alc_err *err)
{
	u64 began_ns = host_now_ns(host);
	struct machine *m;
	int r = machine_check(desc, err);

	if (!r && parts->firmware.bytes)
		r = firmware_check(&parts->firmware, err);
	if (r)
		return r;
	m = host_alloc(host, sizeof(*m));
	if (!m)
		return alc_fail(err, -ENOMEM, "no memory for a machine");
	m->host = host;
	m->desc = desc;
	m->parts = *parts;
	region_map_init(&m->ports, host);
	r = compose(m, err);
	if (r) {
		machine_destroy(m);
		return r;
	}
	m->create_ns = host_now_ns(host) - began_ns;
	*out = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	/*
	 * No vCPU thread exists outside machine_run; timers are the only ones who may still be
	 * inside a device or local APIC, and clock_stop waits for them.
	 */
	if (m->clock)
		clock_stop(m->clock);
	while (m->ndevices)
		dev_destroy(m->devices[--m->ndevices]);
	pci_root_destroy(m->pci);
	remove_cpus(m);
	space_fini(&m->space);
	region_map_fini(&m->ports);
	clock_destroy(m->clock);
	m->host->event_destroy(m->host->ctx, m->parked);
	m->host->mutex_destroy(m->host->ctx, m->pause_lock);
	m->host->mutex_destroy(m->host->ctx, m->doorbells_lock);
	if (m->wake)
		m->host->event_destroy(m->host->ctx, m->wake);
	if (m->lock)
		m->host->mutex_destroy(m->host->ctx, m->lock);
	host_free(m->host, m, sizeof(*m));
}
