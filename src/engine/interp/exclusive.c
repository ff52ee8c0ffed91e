/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locked operations that are not one host access: those that cross a page or touch a device.
 *
 * They are atomic because nobody else runs meanwhile. A vCPU is `in_guest` while it may touch
 * guest memory; whoever wants to be alone takes the mutex, says so, and waits until no other
 * vCPU is in_guest. Those who see the wish at a block's end leave and queue at the mutex.
 *
 * Entering is Dekker's protocol: in_guest is set before `wanted` is looked at, `wanted` is set
 * before the in_guest of others is; all four are sequentially consistent.
 */
#include "engine/interp/interp.h"

void exclusive_enter_guest(struct interp *c)
{
	const struct alc_host *h = c->vm->plat->host;

	for (;;) {
		atomic_store(&c->in_guest, true);
		if (likely(!atomic_load(&c->vm->wanted)))
			return;
		atomic_store(&c->in_guest, false);
		host_lock(h, c->vm->exclusive);
		host_unlock(h, c->vm->exclusive);
	}
}

void exclusive_leave_guest(struct interp *c)
{
	atomic_store(&c->in_guest, false);
}

static void wait_until_alone(const struct interp_vm *vm, const struct interp *self)
{
	const struct x86_platform *p = vm->plat;
	unsigned i;

	for (i = 0; i < p->nvcpus; i++) {
		struct alc_vcpu *v = p->vcpus[i];
		struct interp *c = v ? v->engine : NULL;

		if (!c || c == self)
			continue;
		atomic_fetch_or(&v->attention, X86_ATTN_PAUSE);
		if (vm->kick)
			vm->kick(v);
		while (atomic_load(&c->in_guest))
			p->host->yield(p->host->ctx);
	}
}

void exclusive_begin_by(struct interp_vm *vm, struct interp *c)
{
	/* Not in the guest while queueing, or two who want to be alone would wait for each other.
	 */
	if (c)
		exclusive_leave_guest(c);
	host_lock(vm->plat->host, vm->exclusive);
	atomic_store(&vm->wanted, true);
	wait_until_alone(vm, c);
	if (c)
		c->alone = true;
}

void exclusive_end_by(struct interp_vm *vm, struct interp *c)
{
	if (c)
		c->alone = false;
	atomic_store(&vm->wanted, false);
	host_unlock(vm->plat->host, vm->exclusive);
	if (c)
		exclusive_enter_guest(c);
}

void exclusive_begin(struct interp *c)
{
	exclusive_begin_by(c->vm, c);
}

void exclusive_end(struct interp *c)
{
	exclusive_end_by(c->vm, c);
}

void *mem_lock_begin_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
			  unsigned size)
{
	void *p = mem_rmw_begin_slow(v, c, op, gva, size);

	if (!p || (p != c->bounce && in_line(gva, size)))
		return p;
	exclusive_begin(c);
	p = mem_rmw_begin_slow(v, c, op, gva, size);
	if (!p || (p != c->bounce && in_line(gva, size))) { /* the page tables changed meanwhile */
		exclusive_end(c);
		return p;
	}
	if (p != c->bounce)
		__builtin_memcpy(c->bounce, p, size);
	return c->bounce;
}

int mem_lock_end_slow(struct alc_vcpu *v, struct interp *c, const struct op *op, u64 gva,
		      unsigned size)
{
	int r = mem_rmw_end_slow(v, c, op, gva, size);

	exclusive_end(c);
	return r;
}
