/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a message to the local APICs that it is for (SDM vol. 3A 11.6, 11.11).
 *
 * Each APIC is looked at and written under its own lock, one after the other.
 */
#include "isa/lapic_internal.h"

enum { BROADCAST8 = 0xff, CLUSTER_ALL = 0xf };
#define BROADCAST32 0xffffffffu

static bool in_x2apic_mode(const struct x86_lapic *a)
{
	return a->s.base & LAPIC_BASE_X2APIC;
}

static bool logical_match(const struct x86_lapic *a, u32 dest)
{
	u32 id = a->s.ldr >> 24;

	if (in_x2apic_mode(a))
		return dest >> 16 == a->s.ldr >> 16 && (dest & a->s.ldr & 0xffff);
	if (a->s.dfr >> 28 == 0xf)
		return dest <= 0xff && (dest & id);
	if (dest > 0xff || (dest >> 4 != CLUSTER_ALL && dest >> 4 != id >> 4))
		return false;
	return dest & id & 0xf;
}

/* Called with the lock held. An APIC that is switched off hears nothing. */
static bool addressed(const struct x86_lapic *a, const struct lapic_message *m)
{
	if (!(a->s.base & LAPIC_BASE_ENABLE))
		return false;
	if (m->dest == (m->x2apic ? BROADCAST32 : BROADCAST8))
		return true;
	return m->logical ? logical_match(a, m->dest) : m->dest == a->s.id;
}

/* Called with the lock held. */
static void take(struct x86_lapic *a, const struct lapic_message *m)
{
	switch (m->mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		lapic_accept(a, m->vector, m->level);
		break;
	case LAPIC_SMI:
		a->attend |= X86_ATTN_SMI;
		break;
	case LAPIC_NMI:
		a->attend |= X86_ATTN_NMI;
		break;
	case LAPIC_INIT:
		/* The de-assertion only synchronized arbitration IDs, long ago. */
		if (!m->level || m->assert)
			a->attend |= X86_ATTN_INIT;
		break;
	case LAPIC_SIPI:
		a->vcpu->sipi_vector = m->vector;
		a->attend |= X86_ATTN_SIPI;
		break;
	case LAPIC_EXTINT:
		a->s.extint = 1;
		break;
	}
}

static void take_locked(struct x86_lapic *a, const struct lapic_message *m)
{
	lapic_lock(a);
	take(a, m);
	lapic_settle(a);
}

/* The addressed APIC with the lowest processor priority; of equals the first. */
static struct x86_lapic *lowest_priority(const struct x86_platform *p,
					 const struct lapic_message *m)
{
	struct x86_lapic *best = NULL;
	u32 best_ppr = 0;

	for (unsigned i = 0; i < p->nvcpus; i++) {
		struct x86_lapic *a = p->vcpus[i]->lapic;
		bool candidate;
		u32 ppr;

		lapic_lock(a);
		candidate = addressed(a, m) && lapic_enabled(a);
		ppr = lapic_ppr(a);
		lapic_settle(a);
		if (candidate && (!best || ppr < best_ppr)) {
			best = a;
			best_ppr = ppr;
		}
	}
	return best;
}

void lapic_route(const struct x86_platform *p, const struct lapic_message *m)
{
	if (m->lowest) {
		struct x86_lapic *a = lowest_priority(p, m);

		if (a)
			take_locked(a, m);
		return;
	}
	for (unsigned i = 0; i < p->nvcpus; i++) {
		struct x86_lapic *a = p->vcpus[i]->lapic;

		lapic_lock(a);
		if (addressed(a, m))
			take(a, m);
		lapic_settle(a);
	}
}

static void broadcast(struct x86_lapic *from, const struct lapic_message *m, bool self)
{
	const struct x86_platform *p = from->plat;

	for (unsigned i = 0; i < p->nvcpus; i++) {
		struct x86_lapic *a = p->vcpus[i]->lapic;

		if (a == from && !self)
			continue;
		lapic_lock(a);
		if (a->s.base & LAPIC_BASE_ENABLE)
			take(a, m);
		lapic_settle(a);
	}
}

static bool has_vector(u8 mode)
{
	return mode == LAPIC_FIXED || mode == LAPIC_LOWEST;
}

static void send_error(struct x86_lapic *a)
{
	lapic_lock(a);
	lapic_error(a, LAPIC_ESR_SEND_VECTOR);
	lapic_settle(a);
}

void lapic_send(struct x86_lapic *from, u64 icr, bool x2apic)
{
	enum { NO_SHORTHAND, SELF, ALL, OTHERS };
	u8 mode = icr >> LAPIC_MODE_SHIFT & 7;
	struct lapic_message m = {
		.dest = (u32)(x2apic ? icr >> 32 : icr >> 56),
		.logical = icr & LAPIC_LOGICAL,
		.x2apic = x2apic,
		.lowest = mode == LAPIC_LOWEST,
		.mode = mode,
		.vector = (u8)icr,
		.level = icr & LAPIC_LEVEL,
		.assert = icr & LAPIC_ASSERT,
	};

	if (has_vector(mode)) {
		/* IPIs are edges, whatever the trigger bit says (SDM vol. 3A 11.6.1). */
		m.level = false;
		if (m.vector < 16) {
			send_error(from);
			return;
		}
	}
	switch (field_get(icr, 18, 2)) {
	case NO_SHORTHAND:
		lapic_route(from->plat, &m);
		break;
	case SELF:
		/* Only fixed delivery is defined for it (SDM vol. 3A table 11-3). */
		if (mode == LAPIC_FIXED)
			take_locked(from, &m);
		break;
	case ALL:
		broadcast(from, &m, true);
		break;
	case OTHERS:
		broadcast(from, &m, false);
		break;
	}
}

void lapic_deliver_msi(const struct x86_platform *p, struct alc_msi msg)
{
	enum { REDIRECT = 1 << 3, LOGICAL = 1 << 2 };
	u8 mode = msg.data >> LAPIC_MODE_SHIFT & 7;
	struct lapic_message m = {
		.dest = (u32)field_get(msg.address, 12, 8),
		.logical = msg.address & LOGICAL,
		.lowest = mode == LAPIC_LOWEST || (mode == LAPIC_FIXED && (msg.address & REDIRECT)),
		.mode = mode,
		.vector = (u8)msg.data,
		.level = msg.data & LAPIC_LEVEL,
		.assert = msg.data & LAPIC_ASSERT,
	};

	if (msg.address >> 20 != 0xfee || mode == LAPIC_SIPI)
		return;
	lapic_route(p, &m);
}
