/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VIRTIO_VIRTIO_H
#define VIRTIO_VIRTIO_H

#include "device/device.h"
#include "virtio/queue.h"

/*
 * A virtio device over PCI (virtio 1.2, 4.1), modern.
 *
 * A type is one const table. The transport (pci.c) makes of it a device class: negotiation,
 * status, configuration access, queues and interrupts are there; a type has only its features,
 * its configuration structure and what it does with chains.
 *
 *	struct config { struct virtio_options virtio; u64 size; };
 *	struct state { struct virtio_regs virtio; u32 mine; };       (if it has state of its own)
 *
 *	#define OPTIONS(P) VIRTIO_OPTIONS(P) P(struct config, UINT, size, …)
 *	static const struct alc_field fields[] = {VIRTIO_FIELDS, FIELD(struct state, mine),
 *FIELD_END};
 *
 *	const struct alc_dev_class virtio_x_class = {
 *		.name = "virtio-x",
 *		.state_size = sizeof(struct state),  (else of struct virtio_regs, and virtio_fields)
 *		.state = fields,
 *		.config_size = sizeof(struct config),
 *		…
 *		VIRTIO_CLASS_OPS(type),
 *	};
 *
 * Threading: all calls into a type come with the device's lock held, on a vCPU's thread or on the
 * device's own. A type that works on other threads takes the lock to touch queues
 * (dev_lock(v->dev)), and looks at v->running first.
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
#define VIRTIO_F_NOTIF_CONFIG_DATA BIT(39)
#define VIRTIO_F_RING_RESET        BIT(40)

/* Options of every virtio class: the first member of its configuration. */
struct virtio_options {
	bool packed, event_idx, indirect;
	const char *iothread;
};
#define VIRTIO_OPTIONS(P)                                                                  \
	P(struct virtio_options, BOOL, packed, "off", 0, 0, "offer packed rings")          \
	P(struct virtio_options, BOOL, event_idx, "on", 0, 0, "offer event indices")       \
	P(struct virtio_options, BOOL, indirect, "on", 0, 0, "offer indirect descriptors") \
	P(struct virtio_options, STRING, iothread, "auto", 0, 0,                           \
	  "a thread serves notifications: on, off, auto")

/* The transport's state: the first member of a class's, or all of it. */
struct virtio_regs {
	u64 driver_features;
	u32 device_feature_select, driver_feature_select;
	u16 msix_config, queue_select;
	u8 status, config_generation, isr;
	/* By queue, as the driver wrote them … */
	u8 queue_enable[VIRTIO_QUEUES_MAX], queue_was_reset[VIRTIO_QUEUES_MAX];
	u16 queue_size[VIRTIO_QUEUES_MAX], queue_vector[VIRTIO_QUEUES_MAX];
	u64 queue_desc[VIRTIO_QUEUES_MAX], queue_driver[VIRTIO_QUEUES_MAX];
	u64 queue_device[VIRTIO_QUEUES_MAX];
	/* … and how far the device is. */
	struct virtq_state queue_state[VIRTIO_QUEUES_MAX];
};
#define VIRTIO_FIELDS                                                                            \
	FIELD(struct virtio_regs, driver_features),                                              \
		FIELD(struct virtio_regs, device_feature_select),                                \
		FIELD(struct virtio_regs, driver_feature_select),                                \
		FIELD(struct virtio_regs, msix_config), FIELD(struct virtio_regs, queue_select), \
		FIELD(struct virtio_regs, status), FIELD(struct virtio_regs, config_generation), \
		FIELD(struct virtio_regs, isr), FIELD_ARRAY(struct virtio_regs, queue_enable),   \
		FIELD_ARRAY(struct virtio_regs, queue_was_reset),                                \
		FIELD_ARRAY(struct virtio_regs, queue_size),                                     \
		FIELD_ARRAY(struct virtio_regs, queue_vector),                                   \
		FIELD_ARRAY(struct virtio_regs, queue_desc),                                     \
		FIELD_ARRAY(struct virtio_regs, queue_driver),                                   \
		FIELD_ARRAY(struct virtio_regs, queue_device),                                   \
	{                                                                                        \
		.name = "queue_state", .offset = offsetof(struct virtio_regs, queue_state),      \
		.size = sizeof(u16), .count = VIRTIO_QUEUES_MAX * VIRTQ_STATE_WORDS, .since = 1  \
	}
extern const struct alc_field virtio_fields[];

struct virtio_type {
	u16 id;           /* 1 net, 2 block, 3 console, 4 entropy, 5 balloon, 19 vsock */
	u32 class_code;   /* PCI class */
	size_t priv_size; /* the type's own part, zeroed: v->priv */
	size_t config_size;
	/* Takes resources; sets v->offers (device bits), v->nqueues, and queue sizes if not 256. */
	int (*probe)(struct virtio *v, struct alc_err *err);
	void (*remove)(struct virtio *v); /* a half-done probe too; after stop if it was whole */
	/* The configuration structure, little-endian, config_size bytes (zeroed); if there is one.
	 */
	void (*config)(struct virtio *v, u8 *out);
	/* Optional: the driver wrote [off, off+len) of it; `bytes` is the whole, as written. */
	void (*config_written)(struct virtio *v, const u8 *bytes, unsigned off, unsigned len);
	/* FEATURES_OK: may refuse a combination. Optional. */
	bool (*features_ok)(struct virtio *v, u64 features);
	/*
	 * DRIVER_OK (or such a state was loaded): v->features is what was agreed on; enabled queues
	 * are started. Optional.
	 */
	void (*start)(struct virtio *v);
	/* Queue `queue` may have chains. Also called for each queue after a load. */
	void (*notify)(struct virtio *v, unsigned queue);
	/*
	 * The device (queue: one queue) is being reset: when this returns, nothing touches guest
	 * memory for it any more, and chains popped are forgotten. Required; stop comes also to a
	 * device that never started. Without stop_queue, VIRTIO_F_RING_RESET is not offered.
	 */
	void (*stop)(struct virtio *v);
	void (*stop_queue)(struct virtio *v, unsigned queue);
	/* Before a save: what is in flight is finished, and given back if v->running. Optional. */
	void (*quiesce)(struct virtio *v);
	/*
	 * After stop: the type's own part of the state table, which is zeroed, as at power-on.
	 * Optional.
	 */
	void (*reset)(struct virtio *v);
	/* On the device's own thread, after virtio_wake. Optional. */
	void (*work)(struct virtio *v);
	/* Notifications are frequent: their own thread by default, where that spares exits. */
	bool busy;
	/* Is the type's own state, just loaded, one that can be? Without effects. Optional. */
	int (*check)(struct virtio *v, struct alc_err *err);
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

/* Of a device of a virtio class, after its probe. */
struct virtio *virtio_of(const struct alc_dev *d);

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
/* For types that have `work`. From any thread; several calls may make one. */
void virtio_wake(struct virtio *v);
/* virtq_push, then virtio_signal. Only if v->running. */
void virtio_push(struct virtio *v, unsigned queue, const struct virtq_chain *c, u32 written);

/* What makes a device class of a type. */
extern const struct alc_dev_region virtio_pci_regions[];
extern const struct pci_desc virtio_pci_desc;
int virtio_pci_probe(struct alc_dev *d, struct alc_err *err);
void virtio_pci_remove(struct alc_dev *d);
void virtio_pci_reset(struct alc_dev *d, enum alc_reset kind);
u64 virtio_pci_read(struct alc_dev *d, unsigned region, u64 off, unsigned size);
void virtio_pci_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size);
int virtio_pci_loaded(struct alc_dev *d, struct alc_err *err);
void virtio_pci_quiesce(struct alc_dev *d);
void virtio_pci_config_written(struct alc_dev *d, unsigned off, unsigned len);
void virtio_pci_config_reading(struct alc_dev *d, unsigned off, unsigned len);
void virtio_pci_bar_mapped(struct alc_dev *d, unsigned bar, u64 base);
enum { VIRTIO_PCI_DOORBELLS = 1 << 3 };

#define VIRTIO_CLASS_OPS(type_)                                                            \
	.detail = &(type_), .pci = &virtio_pci_desc, .regions = virtio_pci_regions,        \
	.probe = virtio_pci_probe, .remove = virtio_pci_remove, .reset = virtio_pci_reset, \
	.read = virtio_pci_read, .write = virtio_pci_write, .loaded = virtio_pci_loaded,   \
	.quiesce = virtio_pci_quiesce, .config_written = virtio_pci_config_written,        \
	.config_reading = virtio_pci_config_reading, .bar_mapped = virtio_pci_bar_mapped,  \
	.doorbells = VIRTIO_PCI_DOORBELLS

#endif
