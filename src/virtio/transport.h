/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VIRTIO_TRANSPORT_H
#define VIRTIO_TRANSPORT_H

#include <stdatomic.h>

#include "virtio/virtio.h"

/* What the files of the PCI transport share: pci.c, common.c and serve.c, nobody else. */

enum { VIRTIO_BAR = 4, VIRTIO_BAR_SIZE = 0x4000 };
enum { REGION_COMMON, REGION_ISR, REGION_DEVICE, REGION_NOTIFY };
enum {
	COMMON_AT = 0,
	COMMON_LEN = 60, /* with queue_notify_data and queue_reset */
	COMMON_SIZE = 64,
	ISR_AT = 0x1000,
	ISR_SIZE = 4,
	DEVICE_AT = 0x2000,
	DEVICE_SIZE = 0x100,
	NOTIFY_AT = 0x3000,
	NOTIFY_SIZE = 0x100,
	NOTIFY_STEP = 4, /* notify_off_multiplier: each queue has an address of its own */
};
enum { ISR_QUEUE = 1, ISR_CONFIG = 2, NO_VECTOR = 0xffff };
enum {
	STATUS_ACKNOWLEDGE = 1,
	STATUS_DRIVER = 2,
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	STATUS_NEEDS_RESET = 0x40,
	STATUS_FAILED = 0x80,
	STATUS_ALL = 0xcf,
};
enum { CAPS_MAX = 5, CAP_BYTES_MAX = 18, COMPLAINTS_MAX = 10 };

struct transport {
	struct virtio v;
	struct virtio_regs *regs; /* the device's state begins with them */
	u64 offered;
	u8 *config; /* the type's configuration structure, rendered for an access */
	bool probed, live;
	unsigned complaints;
	struct pci_cap_desc caps[CAPS_MAX];
	u8 cap_bytes[CAPS_MAX][CAP_BYTES_MAX];
	unsigned ncaps, access_cap;

	/* The device's thread, see serve.c. */
	struct alc_event *wake;
	struct alc_thread *thread;
	_Atomic(bool) quit;
	bool threaded;         /* notifications are its */
	struct alc_timer work; /* in virtual time, instead */
	/* Those that queues have, of the BAR at bells_at; under the root complex's lock. */
	unsigned bells;
	u64 bells_at;
	bool has_bell_fd;
	int bell_fd; /* signals `wake` */
};

static inline struct transport *transport_of(struct virtio *v)
{
	return container_of(v, struct transport, v);
}

/* pci.c */
void transport_reset(struct transport *t);
void transport_set_isr(struct transport *t, u8 isr);

/* common.c */
void transport_reset_queue_regs(struct transport *t, unsigned queue);
struct virtq_config transport_queue_config(const struct transport *t, unsigned queue);
bool transport_features_ok(const struct transport *t);
bool transport_vector_ok(const struct transport *t, u16 vector);
/* From now on the type works. */
void transport_go(struct transport *t);
void transport_notify(struct transport *t, unsigned queue);
void transport_notify_all(struct transport *t);
/* A register write, with the lock held. */
void transport_write(struct transport *t, unsigned region, u64 off, u64 val, unsigned size);

/* serve.c. Starts none if none is wanted. */
int transport_start_thread(struct transport *t, struct alc_err *err);
void transport_stop_thread(struct transport *t); /* half-started and not started are fine */

#endif
