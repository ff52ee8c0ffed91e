/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VIRTIO_VIRTIO_H
#define VIRTIO_VIRTIO_H

#include "device/device.h"
#include "virtio/queue.h"

/*
 * A virtio device over PCI (virtio 1.2, 4.1), modern; transitional where a type asks for it.
 *
 * A type is one const table. The transport (pci.c) makes of it a device class: negotiation,
 * status, configuration access, queues and interrupts are there; a type has only its features,
 * its configuration structure and what it does with chains. A device class of this family sets
 * .detail to its struct virtio_type and takes its calls from VIRTIO_CLASS_OPS.
 *
 * Threading: all calls into a type come with the device's lock held. A type that works on
 * other threads takes the lock to touch queues (dev_lock(virtio_dev(v))).
 */
struct virtio;

enum { VIRTIO_QUEUES_MAX = 33 };

/* Feature bits that the transport and the queues own. */
#define VIRTIO_F_INDIRECT_DESC     BIT(28)
#define VIRTIO_F_EVENT_IDX         BIT(29)
#define VIRTIO_F_VERSION_1         BIT(32)
#define VIRTIO_F_ACCESS_PLATFORM   BIT(33)
#define VIRTIO_F_RING_PACKED       BIT(34)
#define VIRTIO_F_ORDER_PLATFORM    BIT(36)
#define VIRTIO_F_NOTIFICATION_DATA BIT(38)
#define VIRTIO_F_RING_RESET        BIT(40)

struct virtio_type {
	u16 id;         /* 1 net, 2 block, 3 console, 4 entropy, 5 balloon, 19 vsock */
	u32 class_code; /* PCI class */
	bool transitional;
	size_t priv_size; /* the type's own part, zeroed: virtio_priv */
	size_t config_size;
	size_t state_size;             /* the type's own guest-visible state … */
	const struct alc_field *state; /* … and its table; optional */
	/* Takes resources; sets v->offers (device bits), v->nqueues, and queue sizes if not 256. */
	int (*probe)(struct virtio *v, struct alc_err *err);
	void (*remove)(struct virtio *v); /* a half-done probe too */
	/* The configuration structure, little-endian, config_size bytes. */
	void (*config)(struct virtio *v, u8 *out);
	/* Optional: the driver wrote [off, off+len) of it; `bytes` is the whole, as written. */
	void (*config_written)(struct virtio *v, const u8 *bytes, unsigned off, unsigned len);
	/* FEATURES_OK: may refuse a combination. Optional. */
	bool (*features_ok)(struct virtio *v, u64 features);
	/* DRIVER_OK: v->features is what was agreed on; enabled queues are started. Optional. */
	void (*start)(struct virtio *v);
	/* Queue `queue` may have chains. */
	void (*notify)(struct virtio *v, unsigned queue);
	/*
	 * The device (queue: one queue) is being reset: when this returns, nothing touches guest
	 * memory for it any more, and chains popped are forgotten. Required.
	 */
	void (*stop)(struct virtio *v);
	void (*stop_queue)(struct virtio *v, unsigned queue);
};

/* What a type may look at; the transport's own state lies behind it. */
struct virtio {
	struct alc_dev *dev;
	const struct virtio_type *type;
	u64 offers;   /* device-specific features, set in probe */
	u64 features; /* agreed on, valid from FEATURES_OK on */
	unsigned nqueues;
	u16 queue_size[VIRTIO_QUEUES_MAX]; /* largest; 0 in probe means 256 */
	struct virtq *queues[VIRTIO_QUEUES_MAX];
	bool running; /* DRIVER_OK and not broken: only then may queues be touched */
	void *priv;
};

static inline bool virtio_has(const struct virtio *v, u64 feature)
{
	return (v->features & feature) == feature;
}

/* Interrupts the driver for queue if it wants that. */
void virtio_signal(struct virtio *v, unsigned queue);
/* The configuration structure changed. */
void virtio_config_changed(struct virtio *v);
/* The driver broke the protocol: NEEDS_RESET, an interrupt for it, a line for the operator. */
void virtio_break(struct virtio *v, const char *why);
/*
 * The next chain, or false; a queue that broke has broken the device. Also false unless
 * v->running.
 */
bool virtio_pop(struct virtio *v, unsigned queue, struct virtq_chain *c);

#endif
