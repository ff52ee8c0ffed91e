/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt controllers inside KVM, and the shortcuts that lead to and from them.
 *
 * KVM's interrupts have numbers, for which a table of routes says where they go. Pins 0 to 23 of
 * an I/O APIC come first: wired to KVM's own controllers, or, where the I/O APIC is ours, as the
 * messages that its pins send, so that KVM tells the end of those interrupts. Messages of
 * eventfds follow.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kvm/internal.h"

enum { TIMER_PIN = 2, PIC_LINES = 8, CASCADE = 2 };
enum { ENTRIES_MAX = 3 * PC_IOAPIC_PINS + ROUTES_MAX };

union routing {
	struct kvm_irq_routing table;
	u8 room[sizeof(struct kvm_irq_routing) +
		ENTRIES_MAX * sizeof(struct kvm_irq_routing_entry)];
};

static void route_chip(union routing *r, u32 gsi, u32 chip, u32 pin)
{
	r->table.entries[r->table.nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {chip, pin}};
}

static void route_msi(union routing *r, u32 gsi, const struct kvm_msi_route *m)
{
	if (!m->used || m->masked)
		return;
	r->table.entries[r->table.nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = {.address_lo = (u32)m->msg.address,
			  .address_hi = (u32)(m->msg.address >> 32),
			  .data = m->msg.data},
	};
}

/* An ISA line is an input of the PIC pair too; the timer's is another pin of the I/O APIC. */
static void route_line(union routing *r, u32 gsi)
{
	if (gsi < PC_ISA_IRQS && gsi != CASCADE)
		route_chip(r, gsi, gsi < PIC_LINES ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
			   gsi % PIC_LINES);
	if (gsi != TIMER_PIN)
		route_chip(r, gsi, KVM_IRQCHIP_IOAPIC, gsi == PC_IRQ_PIT ? TIMER_PIN : gsi);
}

/* Called with the lock held. */
static int set_routes(struct kvm_vm *vm, struct alc_err *err)
{
	union routing *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return alc_fail(err, -ENOMEM, "no memory for KVM's interrupt routes");
	for (u32 pin = 0; pin < PC_IOAPIC_PINS; pin++)
		if (vm->chips == CHIPS_KERNEL)
			route_line(r, pin);
		else
			route_msi(r, pin, &vm->pins[pin]);
	for (u32 i = 0; i < ROUTES_MAX; i++)
		route_msi(r, PC_IOAPIC_PINS + i, &vm->routes[i]);
	rc = kvm_call(vm->fd, KVM_SET_GSI_ROUTING, r);
	free(r);
	return rc ? alc_fail(err, rc, "KVM does not take a table of interrupt routes: %s",
			     strerror(-rc))
		  : 0;
}

/* ---- Creation ----------------------------------------------------------------------------- */

static int create_split(struct kvm_vm *vm, struct alc_err *err)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {PC_IOAPIC_PINS}};
	int rc = kvm_call(vm->fd, KVM_ENABLE_CAP, &cap);

	return rc ? alc_fail(err, rc,
			     "this KVM has no local APICs apart from an I/O APIC (%s): "
			     "use irqchip=user",
			     strerror(-rc))
		  : 0;
}

static int create_kernel(struct kvm_vm *vm, struct alc_err *err)
{
	int rc = kvm_call_int(vm->fd, KVM_CREATE_IRQCHIP, 0);

	return rc ? alc_fail(err, rc,
			     "this KVM has no interrupt controllers (%s): use irqchip=user",
			     strerror(-rc))
		  : 0;
}

int kvm_chips_create(struct kvm_vm *vm, struct alc_err *err)
{
	struct kvm_enable_cap ids = {
		.cap = KVM_CAP_X2APIC_API,
		.args = {KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK}};
	int rc;

	if (!kvm_lapics_inside(vm))
		return 0;
	rc = vm->chips == CHIPS_SPLIT ? create_split(vm, err) : create_kernel(vm, err);
	if (rc)
		return rc;
	rc = kvm_call(vm->fd, KVM_ENABLE_CAP, &ids);
	if (rc)
		return alc_fail(err, rc, "this KVM has no x2APIC IDs (%s): use irqchip=user",
				strerror(-rc));
	pthread_mutex_lock(&vm->lock);
	rc = set_routes(vm, err);
	pthread_mutex_unlock(&vm->lock);
	return rc;
}

/* ---- What the machine drives -------------------------------------------------------------- */

static void deliver_msi(void *opaque, struct alc_msi msg)
{
	struct kvm_vm *vm = opaque;
	struct kvm_msi m = {.address_lo = (u32)msg.address,
			    .address_hi = (u32)(msg.address >> 32),
			    .data = msg.data};

	/* A message that nobody is addressed by is lost, as on the bus. */
	kvm_call(vm->fd, KVM_SIGNAL_MSI, &m);
}

static void set_gsi(void *opaque, unsigned gsi, bool level)
{
	struct kvm_vm *vm = opaque;
	struct kvm_irq_level l = {.irq = gsi, .level = level};

	kvm_call(vm->fd, KVM_IRQ_LINE, &l);
}

static void set_intr(void *opaque, bool level)
{
	struct kvm_vm *vm = opaque;

	atomic_store(&vm->intr, level);
	if (level && vm->vcpus[0])
		x86_attend(vm->vcpus[0], X86_ATTN_INTR);
}

static void report(struct kvm_vm *vm, const struct alc_err *err)
{
	vm->plat->host->log(vm->plat->host->ctx, ALC_LOG_ERROR, err->text);
}

static void route_pin(void *opaque, unsigned pin, struct alc_msi msg)
{
	struct kvm_vm *vm = opaque;
	struct kvm_msi_route *m = &vm->pins[pin];
	struct alc_err err = {0};

	pthread_mutex_lock(&vm->lock);
	if (!m->used || m->msg.address != msg.address || m->msg.data != msg.data) {
		*m = (struct kvm_msi_route){.used = true, .fd = -1, .msg = msg};
		if (set_routes(vm, &err))
			report(vm, &err);
	}
	pthread_mutex_unlock(&vm->lock);
}

/* KVM's controllers as they are when created: all zero but for the masks of the I/O APIC. */
static void reset_kernel(void *opaque)
{
	struct kvm_vm *vm = opaque;
	struct kvm_irqchip chip;

	for (u32 id = KVM_IRQCHIP_PIC_MASTER; id <= KVM_IRQCHIP_IOAPIC; id++) {
		chip = (struct kvm_irqchip){.chip_id = id};
		if (kvm_call(vm->fd, KVM_GET_IRQCHIP, &chip))
			continue;
		if (id == KVM_IRQCHIP_IOAPIC) {
			struct kvm_ioapic_state *s = &chip.chip.ioapic;
			u64 base = s->base_address;

			*s = (struct kvm_ioapic_state){.base_address = base};
			for (unsigned i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
				s->redirtbl[i].fields.mask = 1;
		} else {
			u8 mask = chip.chip.pic.elcr_mask;

			chip.chip.pic = (struct kvm_pic_state){.elcr_mask = mask};
		}
		kvm_call(vm->fd, KVM_SET_IRQCHIP, &chip);
	}
}

static void reset_split(void *opaque)
{
	struct kvm_vm *vm = opaque;
	struct alc_err err = {0};

	pthread_mutex_lock(&vm->lock);
	memset(vm->pins, 0, sizeof(vm->pins));
	if (set_routes(vm, &err))
		report(vm, &err);
	pthread_mutex_unlock(&vm->lock);
}

const struct alc_irqchip kvm_chips_kernel = {
	.has_ioapic = true,
	.deliver_msi = deliver_msi,
	.set_gsi = set_gsi,
	.reset = reset_kernel,
};

const struct alc_irqchip kvm_chips_split = {
	.deliver_msi = deliver_msi,
	.set_intr = set_intr,
	.route_pin = route_pin,
	.reset = reset_split,
};

/* ---- Shortcuts ---------------------------------------------------------------------------- */

static int doorbell(struct kvm_vm *vm, alc_gpa gpa, unsigned size, int fd, u32 flags)
{
	struct kvm_ioeventfd e = {.addr = gpa.v, .len = size, .fd = fd, .flags = flags};

	return kvm_call(vm->fd, KVM_IOEVENTFD, &e);
}

static int doorbell_add(void *vm, alc_gpa gpa, unsigned size, int fd)
{
	return doorbell(vm, gpa, size, fd, 0);
}

static void doorbell_remove(void *vm, alc_gpa gpa, unsigned size, int fd)
{
	doorbell(vm, gpa, size, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

static int bind(struct kvm_vm *vm, unsigned route, u32 flags)
{
	struct kvm_irqfd f = {
		.fd = (u32)vm->routes[route].fd, .gsi = PC_IOAPIC_PINS + route, .flags = flags};

	return kvm_call(vm->fd, KVM_IRQFD, &f);
}

/* Called with the lock held: a free route, or ROUTES_MAX. */
static unsigned free_route(const struct kvm_vm *vm)
{
	unsigned i = 0;

	while (i < ROUTES_MAX && vm->routes[i].used)
		i++;
	return i;
}

static int msi_add(void *opaque, int fd, struct alc_msi msg, unsigned *route)
{
	struct kvm_vm *vm = opaque;
	unsigned i;
	int rc;

	if (!kvm_lapics_inside(vm))
		return -ENOTSUP;
	pthread_mutex_lock(&vm->lock);
	i = free_route(vm);
	rc = i == ROUTES_MAX ? -ENOSPC : 0;
	if (!rc) {
		vm->routes[i] = (struct kvm_msi_route){.used = true, .fd = fd, .msg = msg};
		rc = set_routes(vm, NULL);
		if (!rc)
			rc = bind(vm, i, 0);
		if (rc)
			vm->routes[i].used = false;
		else
			*route = i;
	}
	pthread_mutex_unlock(&vm->lock);
	return rc;
}

static int msi_change(void *opaque, unsigned route, const struct alc_msi *msg)
{
	struct kvm_vm *vm = opaque;
	struct kvm_msi_route *r;
	int rc;

	if (route >= ROUTES_MAX || !vm->routes[route].used)
		return -EINVAL;
	pthread_mutex_lock(&vm->lock);
	r = &vm->routes[route];
	r->masked = !msg;
	if (msg)
		r->msg = *msg;
	rc = set_routes(vm, NULL);
	pthread_mutex_unlock(&vm->lock);
	return rc;
}

static void msi_remove(void *opaque, unsigned route)
{
	struct kvm_vm *vm = opaque;
	struct alc_err err = {0};

	if (route >= ROUTES_MAX)
		return;
	pthread_mutex_lock(&vm->lock);
	if (vm->routes[route].used) {
		(void)bind(vm, route, KVM_IRQFD_FLAG_DEASSIGN);
		vm->routes[route].used = false;
		if (set_routes(vm, &err))
			report(vm, &err);
	}
	pthread_mutex_unlock(&vm->lock);
}

const struct alc_fastpath_ops kvm_fastpath = {
	.doorbell_add = doorbell_add,
	.doorbell_remove = doorbell_remove,
	.msi_add = msi_add,
	.msi_change = msi_change,
	.msi_remove = msi_remove,
};
