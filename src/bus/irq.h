/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BUS_IRQ_H
#define BUS_IRQ_H

#include "base/bits.h"

/*
 * An interrupt line, from the side that drives it. `set` may be called from any thread, with
 * the driving device's lock held; a sink takes its own lock and calls only downwards: device ->
 * PIC, I/O APIC -> local APIC -> vCPU.
 */
struct alc_irq {
	void (*set)(void *ctx, unsigned line, bool level);
	void *ctx;
	unsigned line;
};

static inline void irq_set(const struct alc_irq *irq, bool level)
{
	if (irq->set)
		irq->set(irq->ctx, irq->line, level);
}

/* A message-signalled interrupt, as written to the APIC (SDM vol. 3A 11.11, "MSI"). */
struct alc_msi {
	u64 address;
	u32 data;
};

/*
 * Who takes messages: the machine's local APICs. Implemented in isa/; the I/O APIC and MSI
 * devices are its users.
 */
struct alc_msi_sink {
	void (*deliver)(void *ctx, struct alc_msi msg);
	/*
	 * Optional: an I/O APIC's pin now sends this message, level-triggered. For sinks that tell
	 * the end of an interrupt only if they know beforehand who wants to hear it.
	 */
	void (*route_pin)(void *ctx, unsigned pin, struct alc_msi msg);
	void *ctx;
};

#endif
