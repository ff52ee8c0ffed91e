/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory as KVM's slots, one a bank, and which pages of it were written.
 *
 * The log comes as a bitmap for each slot, or as a ring for each vCPU, in which KVM puts page
 * numbers and from which they are taken and reset. Either ends in the pages of mem/space.h. A
 * page counts as clean once it was reported, so the report comes before anybody reads the bytes.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/kvm/internal.h"

enum { RING_BYTES = 65536, RING_ENTRIES = RING_BYTES / sizeof(struct kvm_dirty_gfn) };

typedef unsigned long long ull;

static int set_slot(struct kvm_vm *vm, unsigned i, struct alc_err *err)
{
	const struct alc_bank *b = &vm->plat->space->banks[i];
	struct kvm_userspace_memory_region r = {
		.slot = i,
		.flags = b->rom        ? KVM_MEM_READONLY
			 : vm->logging ? KVM_MEM_LOG_DIRTY_PAGES
				       : 0,
		.guest_phys_addr = b->base.v,
		.memory_size = b->size,
		.userspace_addr = (uintptr_t)b->hva,
	};
	int rc = kvm_call(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);

	return rc ? alc_fail(err, rc, "KVM does not take the memory at 0x%llx (0x%llx bytes): %s",
			     (ull)b->base.v, (ull)b->size, strerror(-rc))
		  : 0;
}

int kvm_sync_slots(struct kvm_vm *vm, struct alc_err *err)
{
	int rc = 0;

	pthread_mutex_lock(&vm->lock);
	while (!rc && vm->nslots < vm->plat->space->nbanks) {
		rc = set_slot(vm, vm->nslots, err);
		if (!rc)
			vm->nslots++;
	}
	pthread_mutex_unlock(&vm->lock);
	return rc;
}

/* ---- The log ------------------------------------------------------------------------------ */

int kvm_dirty_log(void *opaque, bool on, struct alc_err *err)
{
	struct kvm_vm *vm = opaque;
	int rc = kvm_sync_slots(vm, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&vm->lock);
	vm->logging = on;
	for (unsigned i = 0; !rc && i < vm->nslots; i++)
		if (!vm->plat->space->banks[i].rom)
			rc = set_slot(vm, i, err);
	pthread_mutex_unlock(&vm->lock);
	return rc;
}

static void note_page(struct alc_space *s, const struct alc_bank *b, u64 index)
{
	if (index < b->size >> ALC_PAGE_SHIFT)
		space_note_write(s, &b->pages[index], 0, ALC_PAGE_SIZE);
}

static void note_bitmap(struct alc_space *s, const struct alc_bank *b, const u64 *bits, u64 words)
{
	for (u64 w = 0; w < words; w++)
		for (u64 rest = bits[w]; rest; rest &= rest - 1)
			note_page(s, b, w * 64 + (u64)__builtin_ctzll(rest));
}

static int sync_bitmap(struct kvm_vm *vm, unsigned slot, struct alc_err *err)
{
	const struct alc_host *h = vm->plat->host;
	const struct alc_bank *b = &vm->plat->space->banks[slot];
	u64 words = ((b->size >> ALC_PAGE_SHIFT) + 63) / 64;
	struct kvm_dirty_log log = {.slot = slot};
	u64 *bits = host_alloc(h, words * sizeof(*bits));
	int rc;

	if (!bits)
		return alc_fail(err, -ENOMEM, "no memory for a log of written pages");
	log.dirty_bitmap = bits;
	rc = kvm_call(vm->fd, KVM_GET_DIRTY_LOG, &log);
	if (rc)
		alc_fail(err, rc, "KVM does not give its log of written pages: %s", strerror(-rc));
	else
		note_bitmap(vm->plat->space, b, bits, words);
	host_free(h, bits, words * sizeof(*bits));
	return rc;
}

/* Takes what is new in one vCPU's ring (Linux, Documentation/virt/kvm/api.rst, 8.29). */
static unsigned sync_ring(struct kvm_vm *vm, struct kvm_vcpu *c)
{
	unsigned n = 0;

	for (; n < RING_ENTRIES; n++) {
		struct kvm_dirty_gfn *g = &c->ring[c->ring_next % RING_ENTRIES];

		if (!(__atomic_load_n(&g->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			break;
		if ((g->slot & 0xffff) < vm->nslots)
			note_page(vm->plat->space, &vm->plat->space->banks[g->slot & 0xffff],
				  g->offset);
		__atomic_store_n(&g->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		c->ring_next++;
	}
	return n;
}

static int sync_rings(struct kvm_vm *vm, struct alc_err *err)
{
	unsigned n = 0;
	int rc;

	for (unsigned i = 0; i < ARRAY_LEN(vm->vcpus); i++)
		if (vm->vcpus[i])
			n += sync_ring(vm, vm->vcpus[i]->engine);
	if (!n)
		return 0;
	rc = kvm_call_int(vm->fd, KVM_RESET_DIRTY_RINGS, 0);
	return rc < 0 ? alc_fail(err, rc, "KVM does not reset its rings of written pages: %s",
				 strerror(-rc))
		      : 0;
}

int kvm_dirty_sync(void *opaque, struct alc_err *err)
{
	struct kvm_vm *vm = opaque;
	int rc = 0;

	pthread_mutex_lock(&vm->lock);
	if (vm->ring)
		rc = sync_rings(vm, err);
	for (unsigned i = 0; !rc && !vm->ring && vm->logging && i < vm->nslots; i++)
		if (!vm->plat->space->banks[i].rom)
			rc = sync_bitmap(vm, i, err);
	pthread_mutex_unlock(&vm->lock);
	return rc;
}

/* ---- Rings -------------------------------------------------------------------------------- */

int kvm_ring_enable(struct kvm_vm *vm, struct alc_err *err)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_DIRTY_LOG_RING, .args = {RING_BYTES}};
	int rc = kvm_call(vm->fd, KVM_ENABLE_CAP, &cap);

	return rc ? alc_fail(err, rc,
			     "this KVM has no ring of written pages: leave out "
			     "dirty-log=ring")
		  : 0;
}

int kvm_ring_map(struct kvm_vcpu *c, struct alc_err *err)
{
	void *p = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd,
		       KVM_DIRTY_LOG_PAGE_OFFSET * ALC_PAGE_SIZE);

	if (p == MAP_FAILED)
		return alc_fail(err, -errno, "can't map KVM's ring of written pages: %s",
				strerror(errno));
	c->ring = p;
	return 0;
}

void kvm_ring_unmap(struct kvm_vcpu *c)
{
	if (c->ring)
		munmap(c->ring, RING_BYTES);
	c->ring = NULL;
}
