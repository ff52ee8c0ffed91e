/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_CONFORM_RIG_H
#define TEST_CONFORM_RIG_H

#include "device/device.h"

/*
 * One device on a bench: time that moves when told, its outputs written down, its inputs within
 * reach. Everything a device does to its surroundings becomes an event.
 */
enum event_kind {
	EVENT_READ, /* of a guest: the value */
	EVENT_IRQ,
	EVENT_GSI,
	EVENT_MSI,
	EVENT_CHAR,
	EVENT_RESUME,
	EVENT_REQUEST,
	EVENT_ACK, /* the vector that an interrupt controller gave */
};

struct event {
	enum event_kind kind;
	u64 a, b;
};

/* Of the root complex, in either map. */
enum { RIG_PCI_WINDOWS = 2, RIG_DISK_SIZE = 1 << 20 };
enum { RIG_EVENTS_MAX = 64, RIG_TIMERS_MAX = 8, RIG_FIRES_MAX = 500 };

/* Guest time of the rig. The type is the clock's own name: rig.c stands in for host/clock.c. */
struct alc_clock {
	u64 now_ns, wall_base_ns;
	struct alc_timer *timers[RIG_TIMERS_MAX];
	size_t count;
};

struct rig {
	struct alc_clock clock;
	struct alc_space space; /* devices only */
	struct region_map ports;
	struct pci_root *pci;
	struct block *block;
	struct net_link net;
	struct alc_dev_env env;
	struct alc_dev *dev;
	const struct alc_char_front *front;

	bool irq[4];
	u32 gsi;
	u64 log_count, log_hash; /* of all events since rig_clear */
	struct event log[RIG_EVENTS_MAX];
};

/* The rig stays where it is: the device points into it. host: of a struct test_host. */
void rig_init(struct rig *r, const struct alc_host *host, u64 now_ns);
/* The device by class name, with default options; asserts success. */
void rig_create(struct rig *r, const char *class_name);
void rig_fini(struct rig *r);

/* Fires what falls due, each timer at its own instant; after RIG_FIRES_MAX the rest are late. */
void rig_advance(struct rig *r, u64 ns);
/* Moves time and fires nothing; what is due fires late, with the next advance. */
void rig_skip(struct rig *r, u64 ns);
/* The earliest armed deadline, or 0. */
u64 rig_next_deadline(const struct rig *r);

void rig_note(struct rig *r, enum event_kind kind, u64 a, u64 b);
void rig_clear(struct rig *r);
/* Events of a kind among those kept. */
unsigned rig_count(const struct rig *r, enum event_kind kind);
const struct event *rig_last(const struct rig *r, enum event_kind kind);

/* As a CPU does it: through the port map. */
u64 rig_in(struct rig *r, u16 port, unsigned size);
void rig_out(struct rig *r, u16 port, u64 val, unsigned size);

static inline u8 in8(struct rig *r, u16 port)
{
	return (u8)rig_in(r, port, 1);
}

static inline void out8(struct rig *r, u16 port, u8 val)
{
	rig_out(r, port, val, 1);
}

/* Characters from the back end, as many as there is room for. Returns how many. */
size_t rig_type(struct rig *r, const char *text);

/* Sets one element of one field in a snapshot of the rig's device. */
void rig_patch(const struct rig *r, u8 *snapshot, const char *field, unsigned element, u64 val);

#endif
