/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest time stands still while no vCPU runs, and KVM's clocks do not: so what they went on
 * meanwhile is taken back. The TSCs go back by one and the same amount, so that they agree as much
 * as before. KVM takes small changes of the TSC's register for attempts to make the TSCs agree and
 * ignores them; so the offset is changed, where it can be (since Linux 5.16).
 *
 * Timers of KVM's local APICs that go by the TSC are set anew. Those that count by themselves have
 * gone on, and so come early.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "engine/kvm/internal.h"
#include "isa/lapic.h"
#include "isa/msr.h"

void kvm_stop_time(void *opaque)
{
	struct kvm_vm *vm = opaque;
	const struct kvm_vcpu *c = vm->vcpus[0]->engine;

	vm->has_stopped_clock = !kvm_call(vm->fd, KVM_GET_CLOCK, &vm->stopped_clock);
	vm->has_stopped_tsc = !kvm_get_msr(c->fd, MSR_TSC, &vm->stopped_tsc);
}

static int move_offset(struct kvm_vcpu *c, u64 back)
{
	u64 offset;
	struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL,
				       .attr = KVM_VCPU_TSC_OFFSET,
				       .addr = (u64)(uintptr_t)&offset};
	int r = kvm_call(c->fd, KVM_GET_DEVICE_ATTR, &attr);

	if (r)
		return r;
	offset -= back;
	return kvm_call(c->fd, KVM_SET_DEVICE_ATTR, &attr);
}

static void take_back(struct kvm_vcpu *c, u64 back)
{
	u64 tsc;

	if (move_offset(c, back) && !kvm_get_msr(c->fd, MSR_TSC, &tsc) &&
	    kvm_set_msr(c->fd, MSR_TSC, tsc - back))
		c->n_clock_refused++;
}

/* What expired meanwhile is armed again, too. */
static void set_deadline(struct kvm_vcpu *c)
{
	struct alc_err err = {0};
	u64 deadline;

	/* What it is to run from is made of the machine's clock. */
	if (c->taken)
		return;
	if (!kvm_lapics_inside(c->vm)) {
		if (kvm_learn_tsc(c, &err))
			c->n_clock_refused++;
		lapic_loaded(c->v->lapic);
		return;
	}
	if (!kvm_get_msr(c->fd, MSR_TSC_DEADLINE, &deadline) && deadline &&
	    kvm_set_msr(c->fd, MSR_TSC_DEADLINE, deadline))
		c->n_clock_refused++;
}

static u64 first_tsc(const struct kvm_vm *vm)
{
	const struct kvm_vcpu *c = vm->vcpus[0]->engine;
	u64 tsc;

	return kvm_get_msr(c->fd, MSR_TSC, &tsc) ? vm->stopped_tsc : tsc;
}

/* Where the host's TSCs disagree, KVM lets the guest's stand still at times; or even go back. */
static i64 gone_on(const struct kvm_vm *vm)
{
	return vm->has_stopped_tsc ? (i64)(first_tsc(vm) - vm->stopped_tsc) : 0;
}

/* A KVM that is made of software may take what it is told and not do it. */
static void check(struct kvm_vm *vm, i64 back)
{
	const struct alc_host *h = vm->plat->host;

	if (gone_on(vm) < back || vm->told_of_tsc)
		return;
	vm->told_of_tsc = true;
	h->log(h->ctx, ALC_LOG_WARN,
	       "this host's KVM does not set a TSC back, so the guest sees pauses pass");
}

void kvm_start_time(void *opaque)
{
	struct kvm_vm *vm = opaque;
	i64 back = gone_on(vm);

	for (unsigned i = 0; back > 0 && i < vm->plat->nvcpus; i++)
		take_back(vm->vcpus[i]->engine, (u64)back);
	if (back > 0)
		check(vm, back);
	if (vm->has_stopped_clock) {
		vm->stopped_clock.flags = 0;
		kvm_call(vm->fd, KVM_SET_CLOCK, &vm->stopped_clock);
	}
	for (unsigned i = 0; i < vm->plat->nvcpus; i++)
		set_deadline(vm->vcpus[i]->engine);
}
