/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM as an engine: creation, options, destruction, counters. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/kvm/internal.h"

/*
 * Three pages that KVM wants for real mode on Intel, and one for its page table: below 4 GiB, in
 * the hole, and clear of firmware and devices. By page number.
 */
enum { REAL_MODE_TABLE = 0xfeffc, REAL_MODE_TSS = 0xfeffd };

/* ---- The machine's part ------------------------------------------------------------------- */

static void vm_destroy(void *opaque)
{
	struct kvm_vm *vm = opaque;

	if (!vm)
		return;
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->sys_fd >= 0)
		close(vm->sys_fd);
	pthread_mutex_destroy(&vm->lock);
	host_free(vm->plat->host, vm, sizeof(*vm));
}

static int prepare_real_mode(struct kvm_vm *vm, struct alc_err *err)
{
	u64 table = (u64)REAL_MODE_TABLE << ALC_PAGE_SHIFT;
	int r = kvm_call(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &table);

	if (!r)
		r = kvm_call_int(vm->fd, KVM_SET_TSS_ADDR, (u64)REAL_MODE_TSS << ALC_PAGE_SHIFT);
	return r ? alc_fail(err, r, "KVM can't prepare real mode: %s", strerror(-r)) : 0;
}

static int open_vm(struct kvm_vm *vm, struct alc_err *err)
{
	char why[ALC_ERR_TEXT_MAX];

	vm->sys_fd = kvm_open(why, sizeof(why));
	if (vm->sys_fd < 0)
		return alc_fail(err, vm->sys_fd, "%s", why);
	vm->fd = kvm_call_int(vm->sys_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return alc_fail(err, vm->fd, "KVM does not create a machine: %s",
				strerror(-vm->fd));
	vm->run_size = kvm_call_int(vm->sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vm->run_size < (int)sizeof(struct kvm_run))
		return alc_fail(err, -EIO, "KVM's page of a vCPU is too small");
	vm->kick_signal = kvm_take_signal();
	if (vm->kick_signal < 0)
		return alc_fail(err, -EBUSY, "this process has no signal left for KVM's vCPUs");
	return prepare_real_mode(vm, err);
}

static int vm_create(const struct x86_platform *plat, void **out, struct alc_err *err)
{
	struct kvm_vm *vm = host_alloc(plat->host, sizeof(*vm));
	int r;

	if (!vm)
		return alc_fail(err, -ENOMEM, "no memory for KVM's part of a machine");
	vm->plat = plat;
	vm->sys_fd = vm->fd = -1;
	pthread_mutex_init(&vm->lock, NULL);
	r = open_vm(vm, err);
	if (r) {
		vm_destroy(vm);
		return r;
	}
	*out = vm;
	return 0;
}

/* ---- Options ------------------------------------------------------------------------------ */

static const char *const chips_names[] = {
	[CHIPS_KERNEL] = "kernel", [CHIPS_SPLIT] = "split", [CHIPS_USER] = "user", NULL};
static const char *const log_names[] = {"bitmap", "ring", NULL};

static int choose(const char *const *names, const char *value)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], value))
			return i;
	return -1;
}

static int configure(void *opaque, const char *key, const char *value, struct alc_err *err)
{
	struct kvm_vm *vm = opaque;
	int n;

	if (!strcmp(key, "irqchip")) {
		n = choose(chips_names, value);
		if (n < 0)
			return alc_fail(err, -EINVAL, "irqchip is kernel, split or user, not '%s'",
					value);
		vm->chips = (enum kvm_chips)n;
		return 0;
	}
	if (!strcmp(key, "dirty-log")) {
		n = choose(log_names, value);
		if (n < 0)
			return alc_fail(err, -EINVAL, "dirty-log is bitmap or ring, not '%s'",
					value);
		vm->ring = n;
		return 0;
	}
	return alc_fail(err, -EINVAL,
			"the engine 'kvm' has no option '%s': there are irqchip and dirty-log",
			key);
}

static const struct alc_irqchip *irqchip(void *opaque)
{
	const struct kvm_vm *vm = opaque;

	if (vm->chips == CHIPS_USER)
		return NULL;
	return vm->chips == CHIPS_SPLIT ? &kvm_chips_split : &kvm_chips_kernel;
}

/* What depends on options, and must be there before the first vCPU. */
static int start(struct kvm_vm *vm, struct alc_err *err)
{
	int r = kvm_chips_create(vm, err);

	if (!r && vm->ring)
		r = kvm_ring_enable(vm, err);
	if (!r)
		r = kvm_set_msr_filter(vm, err);
	vm->started = !r;
	return r;
}

/* ---- One vCPU ------------------------------------------------------------------------------ */

static void vcpu_destroy(struct alc_vcpu *v)
{
	struct kvm_vcpu *c = v->engine;

	if (!c)
		return;
	kvm_ring_unmap(c);
	if (c->run)
		munmap(c->run, (size_t)c->vm->run_size);
	if (c->fd >= 0)
		close(c->fd);
	c->vm->vcpus[v->index] = NULL;
	v->engine = NULL;
	v->ops = NULL;
	host_free(v->plat->host, c, sizeof(*c));
}

static int map_run(struct kvm_vcpu *c, struct alc_err *err)
{
	void *p = mmap(NULL, (size_t)c->vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);

	if (p == MAP_FAILED)
		return alc_fail(err, -errno, "can't map KVM's page of vCPU %u: %s", c->v->index,
				strerror(errno));
	c->run = p;
	return 0;
}

static int scale_tsc(struct kvm_vcpu *c, struct alc_err *err)
{
	int khz = (int)(c->v->cpuid->tsc_hz / 1000);
	int r = 0;

	if (kvm_call_int(c->fd, KVM_GET_TSC_KHZ, 0) != khz)
		r = kvm_call_int(c->fd, KVM_SET_TSC_KHZ, (unsigned long)khz);
	return r < 0 ? alc_fail(err, r, "KVM can't give vCPU %u a TSC of %d kHz: %s", c->v->index,
				khz, strerror(-r))
		     : 0;
}

static int fill_vcpu(struct kvm_vcpu *c, struct alc_err *err)
{
	int wanted = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
	int r = map_run(c, err);

	if (!r && c->vm->ring)
		r = kvm_ring_map(c, err);
	if (!r)
		r = scale_tsc(c, err);
	if (!r)
		r = kvm_set_cpuid(c, err);
	c->sync_regs = (kvm_call_int(c->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) & wanted) ==
		       wanted;
	return r;
}

static int vcpu_create(void *opaque, struct alc_vcpu *v, struct alc_err *err)
{
	struct kvm_vm *vm = opaque;
	struct kvm_vcpu *c;
	int r = vm->started ? 0 : start(vm, err);

	if (r)
		return r;
	c = host_alloc(v->plat->host, sizeof(*c));
	if (!c)
		return alc_fail(err, -ENOMEM, "no memory for vCPU %u of KVM", v->index);
	c->v = v;
	c->vm = vm;
	c->taken = true;
	c->fd = kvm_call_int(vm->fd, KVM_CREATE_VCPU, v->index);
	r = c->fd < 0 ? alc_fail(err, c->fd, "KVM does not create vCPU %u: %s", v->index,
				 strerror(-c->fd))
		      : fill_vcpu(c, err);
	v->engine = c;
	if (r) {
		vcpu_destroy(v);
		return r;
	}
	v->ops = &kvm_ops;
	vm->vcpus[v->index] = v;
	return 0;
}

/* KVM watches guest memory by itself. */
static void invalidate(void *vm, alc_gpa base, u64 len)
{
}

static void stats(struct alc_vcpu *v, void (*fn)(void *ctx, const char *name, u64 value), void *ctx)
{
	const struct kvm_vcpu *c = v->engine;
	const struct {
		const char *name;
		u64 value;
	} counters[] = {
		{"io", c->n_io},
		{"mmio", c->n_mmio},
		{"msr", c->n_msr},
		{"halts", c->n_halt},
		{"interrupts", c->n_intr},
		{"interrupt_windows", c->n_window},
		{"kicks", c->n_kicked},
		{"ends_of_interrupt", c->n_eoi},
		{"dirty_rings_full", c->n_ring_full},
		{"clocks_not_set", c->n_clock_refused},
	};

	for (size_t i = 0; i < ARRAY_LEN(counters); i++)
		fn(ctx, counters[i].name, counters[i].value);
}

const struct alc_engine kvm_engine = {
	.name = "kvm",
	.summary = "the host's hardware virtualization, by Linux's KVM",
	.has_pvclock = true,
	.probe = kvm_probe,
	.vm_create = vm_create,
	.vm_destroy = vm_destroy,
	.configure = configure,
	.adapt = kvm_adapt,
	.irqchip = irqchip,
	.vcpu_create = vcpu_create,
	.vcpu_destroy = vcpu_destroy,
	.run = kvm_vcpu_run,
	.kick = kvm_kick,
	.get_state = kvm_get_state,
	.set_state = kvm_set_state,
	.invalidate = invalidate,
	.dirty_log = kvm_dirty_log,
	.dirty_sync = kvm_dirty_sync,
	.stop_time = kvm_stop_time,
	.start_time = kvm_start_time,
	.fastpath = &kvm_fastpath,
	.stats = stats,
};
