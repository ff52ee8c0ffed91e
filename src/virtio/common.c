/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio/transport.h"

/*
 * The transport's registers: common configuration (virtio 1.2, 4.1.4.3), notifications, interrupt
 * status, and the window on the type's configuration.
 *
 * A driver may set up queues until DRIVER_OK and a queue that it has reset after that; all else
 * that it writes there is without effect, whatever it hopes for.
 */

bool transport_features_ok(const struct transport *t)
{
	u64 f = t->regs->driver_features;
	struct virtio *v = (struct virtio *)(uintptr_t)&t->v;

	if (f & ~t->offered || !(f & VIRTIO_F_VERSION_1))
		return false;
	return !v->type->features_ok || v->type->features_ok(v, f);
}

bool transport_vector_ok(const struct transport *t, u16 vector)
{
	return vector == NO_VECTOR || vector < t->v.dev->pci_desc.msix;
}

/* ---- queues ---- */

void transport_reset_queue_regs(struct transport *t, unsigned queue)
{
	struct virtio_regs *r = t->regs;

	r->queue_enable[queue] = 0;
	r->queue_size[queue] = queue < t->v.nqueues ? t->v.queue_size[queue] : 0;
	r->queue_vector[queue] = NO_VECTOR;
	r->queue_desc[queue] = r->queue_driver[queue] = r->queue_device[queue] = 0;
}

struct virtq_config transport_queue_config(const struct transport *t, unsigned queue)
{
	const struct virtio_regs *r = t->regs;
	u64 f = r->driver_features;

	return (struct virtq_config){
		.size = r->queue_size[queue],
		.packed = f & VIRTIO_F_RING_PACKED,
		.indirect = f & VIRTIO_F_INDIRECT_DESC,
		.event_idx = f & VIRTIO_F_EVENT_IDX,
		.desc = r->queue_desc[queue],
		.driver = r->queue_driver[queue],
		.device = r->queue_device[queue],
	};
}

static bool start_queue(struct transport *t, unsigned queue)
{
	struct virtq_config c = transport_queue_config(t, queue);
	struct alc_err err = {0};

	if (virtq_start(t->v.queues[queue], &c, &err) == 0)
		return true;
	virtio_break(&t->v, err.text);
	return false;
}

void transport_go(struct transport *t)
{
	t->v.running = true;
	if (t->v.type->start)
		t->v.type->start(&t->v);
}

static void driver_ok(struct transport *t)
{
	t->regs->status |= STATUS_DRIVER_OK;
	for (unsigned i = 0; i < t->v.nqueues; i++)
		if (t->regs->queue_enable[i] && !start_queue(t, i))
			return;
	transport_go(t);
}

void transport_notify(struct transport *t, unsigned queue)
{
	struct virtio *v = &t->v;

	if (v->running && queue < v->nqueues && virtq_started(v->queues[queue]))
		v->type->notify(v, queue);
}

void transport_notify_all(struct transport *t)
{
	for (unsigned i = 0; i < t->v.nqueues; i++)
		transport_notify(t, i);
}

/* ---- registers ---- */

static u64 get_device_feature_select(const struct transport *t)
{
	return t->regs->device_feature_select;
}

static void set_device_feature_select(struct transport *t, u64 val)
{
	t->regs->device_feature_select = (u32)val;
}

static u64 get_device_feature(const struct transport *t)
{
	u32 word = t->regs->device_feature_select;

	return word < 2 ? (u32)(t->offered >> word * 32) : 0;
}

static u64 get_driver_feature_select(const struct transport *t)
{
	return t->regs->driver_feature_select;
}

static void set_driver_feature_select(struct transport *t, u64 val)
{
	t->regs->driver_feature_select = (u32)val;
}

static u64 get_driver_feature(const struct transport *t)
{
	u32 word = t->regs->driver_feature_select;

	return word < 2 ? (u32)(t->regs->driver_features >> word * 32) : 0;
}

static void set_driver_feature(struct transport *t, u64 val)
{
	struct virtio_regs *r = t->regs;
	unsigned shift = r->driver_feature_select * 32;

	if (r->driver_feature_select < 2 && !(r->status & STATUS_FEATURES_OK))
		r->driver_features = (r->driver_features & ~((u64)UINT32_MAX << shift)) |
				     val << shift;
}

static u16 vector_or_none(const struct transport *t, u64 val)
{
	return transport_vector_ok(t, (u16)val) ? (u16)val : NO_VECTOR;
}

static u64 get_msix_config(const struct transport *t)
{
	return t->regs->msix_config;
}

static void set_msix_config(struct transport *t, u64 val)
{
	t->regs->msix_config = vector_or_none(t, val);
}

static u64 get_num_queues(const struct transport *t)
{
	return t->v.nqueues;
}

static u64 get_status(const struct transport *t)
{
	return t->regs->status;
}

/* 2.1: a driver sets bits; only all of them can be cleared, by a reset. */
static void set_status(struct transport *t, u64 val)
{
	struct virtio_regs *r = t->regs;
	u8 added = (u8)(val & ~(u64)r->status);

	if (!val) {
		transport_reset(t);
		return;
	}
	r->status |= added & (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FAILED);
	if (added & STATUS_FEATURES_OK && transport_features_ok(t)) {
		r->status |= STATUS_FEATURES_OK;
		t->v.features = r->driver_features;
	}
	if (added & STATUS_DRIVER_OK && r->status & STATUS_FEATURES_OK)
		driver_ok(t);
}

static u64 get_config_generation(const struct transport *t)
{
	return t->regs->config_generation;
}

static u64 get_queue_select(const struct transport *t)
{
	return t->regs->queue_select;
}

static void set_queue_select(struct transport *t, u64 val)
{
	t->regs->queue_select = (u16)val;
}

/* Of the selected queue: 0 and without effect where there is no such queue. */
static bool selected(const struct transport *t, unsigned *queue)
{
	*queue = t->regs->queue_select;
	return *queue < t->v.nqueues;
}

static bool settable(const struct transport *t, unsigned *queue)
{
	const struct virtio_regs *r = t->regs;

	return selected(t, queue) && !r->queue_enable[*queue] &&
	       (!(r->status & STATUS_DRIVER_OK) || r->queue_was_reset[*queue]);
}

static u64 get_queue_size(const struct transport *t)
{
	unsigned q;

	return selected(t, &q) ? t->regs->queue_size[q] : 0;
}

static void set_queue_size(struct transport *t, u64 val)
{
	unsigned q;

	if (settable(t, &q) && val && val <= t->v.queue_size[q])
		t->regs->queue_size[q] = (u16)val;
}

static u64 get_queue_vector(const struct transport *t)
{
	unsigned q;

	return selected(t, &q) ? t->regs->queue_vector[q] : 0;
}

/* Not part of the queue itself: 4.1.5.1.2 lets a driver turn an interrupt off at any time. */
static void set_queue_vector(struct transport *t, u64 val)
{
	unsigned q;

	if (selected(t, &q))
		t->regs->queue_vector[q] = vector_or_none(t, val);
}

static u64 get_queue_enable(const struct transport *t)
{
	unsigned q;

	return selected(t, &q) ? t->regs->queue_enable[q] : 0;
}

static void set_queue_enable(struct transport *t, u64 val)
{
	struct virtio_regs *r = t->regs;
	unsigned q;

	if (val != 1 || !settable(t, &q))
		return;
	r->queue_enable[q] = 1;
	r->queue_was_reset[q] = 0;
	if (t->v.running)
		start_queue(t, q);
}

/* Where queues are told apart by address, their number serves as well as anything (4.1.5.2). */
static u64 get_queue_notify(const struct transport *t)
{
	unsigned q;

	return selected(t, &q) ? q : 0;
}

#define QUEUE_ADDRESS(name)                                    \
	static u64 get_##name(const struct transport *t)       \
	{                                                      \
		unsigned q;                                    \
                                                               \
		return selected(t, &q) ? t->regs->name[q] : 0; \
	}                                                      \
	static void set_##name(struct transport *t, u64 val)   \
	{                                                      \
		unsigned q;                                    \
                                                               \
		if (settable(t, &q))                           \
			t->regs->name[q] = val;                \
	}
QUEUE_ADDRESS(queue_desc)
QUEUE_ADDRESS(queue_driver)
QUEUE_ADDRESS(queue_device)

/* A reset is done by the time that the driver can look (2.6.1). */
static u64 get_queue_reset(const struct transport *t)
{
	return 0;
}

static void set_queue_reset(struct transport *t, u64 val)
{
	struct virtio *v = &t->v;
	unsigned q;

	if (val != 1 || !selected(t, &q) || !t->regs->queue_enable[q] ||
	    !virtio_has(v, VIRTIO_F_RING_RESET))
		return;
	if (virtq_started(v->queues[q]))
		v->type->stop_queue(v, q);
	virtq_stop(v->queues[q]);
	transport_reset_queue_regs(t, q);
	t->regs->queue_was_reset[q] = 1;
}

static const struct reg {
	u8 off, size;
	u64 (*get)(const struct transport *t);
	void (*set)(struct transport *t, u64 val); /* NULL: read-only */
} regs[] = {
	{0, 4, get_device_feature_select, set_device_feature_select},
	{4, 4, get_device_feature, NULL},
	{8, 4, get_driver_feature_select, set_driver_feature_select},
	{12, 4, get_driver_feature, set_driver_feature},
	{16, 2, get_msix_config, set_msix_config},
	{18, 2, get_num_queues, NULL},
	{20, 1, get_status, set_status},
	{21, 1, get_config_generation, NULL},
	{22, 2, get_queue_select, set_queue_select},
	{24, 2, get_queue_size, set_queue_size},
	{26, 2, get_queue_vector, set_queue_vector},
	{28, 2, get_queue_enable, set_queue_enable},
	{30, 2, get_queue_notify, NULL},
	{32, 8, get_queue_desc, set_queue_desc},
	{40, 8, get_queue_driver, set_queue_driver},
	{48, 8, get_queue_device, set_queue_device},
	{56, 2, get_queue_notify, NULL},
	{58, 2, get_queue_reset, set_queue_reset},
};

static bool overlaps(const struct reg *r, u64 off, unsigned size)
{
	return r->off < off + size && off < (u64)r->off + r->size;
}

/* The bytes of [off, off+size) that a register has. */
static u64 common_read(const struct transport *t, u64 off, unsigned size)
{
	u64 val = 0;

	for (unsigned i = 0; i < ARRAY_LEN(regs); i++) {
		const struct reg *r = &regs[i];

		if (!overlaps(r, off, size))
			continue;
		if (r->off >= off)
			val |= r->get(t) << (r->off - off) * 8;
		else
			val |= r->get(t) >> (off - r->off) * 8;
	}
	return zext(val, size);
}

/* A part of a register leaves the rest of it as it is. */
static void common_write(struct transport *t, u64 off, u64 val, unsigned size)
{
	for (unsigned i = 0; i < ARRAY_LEN(regs); i++) {
		const struct reg *r = &regs[i];
		u8 bytes[8] = {0};

		if (!r->set || !overlaps(r, off, size))
			continue;
		st_size(bytes, r->get(t), r->size);
		for (unsigned k = 0; k < size; k++)
			if (off + k >= r->off && off + k < (u64)r->off + r->size)
				bytes[off + k - r->off] = (u8)(val >> k * 8);
		r->set(t, ld_size(bytes, r->size));
	}
}

/* ---- the type's configuration ---- */

static void render_config(struct transport *t)
{
	__builtin_memset(t->config, 0, t->v.type->config_size);
	t->v.type->config(&t->v, t->config);
}

static u64 config_read(struct transport *t, u64 off, unsigned size)
{
	u64 val = 0;

	if (off >= t->v.type->config_size)
		return 0;
	render_config(t);
	for (unsigned i = 0; i < size && off + i < t->v.type->config_size; i++)
		val |= (u64)t->config[off + i] << i * 8;
	return val;
}

static void config_write(struct transport *t, u64 off, u64 val, unsigned size)
{
	const struct virtio_type *type = t->v.type;
	unsigned len;

	if (off >= type->config_size || !type->config_written)
		return;
	len = (unsigned)min_u64(size, type->config_size - off);
	render_config(t);
	for (unsigned i = 0; i < len; i++)
		t->config[off + i] = (u8)(val >> i * 8);
	type->config_written(&t->v, t->config, (unsigned)off, len);
}

/* ---- accesses ---- */

/* 4.1.4.5: reading acknowledges. */
static u64 isr_read(struct transport *t, u64 off)
{
	u64 isr = off ? 0 : t->regs->isr;

	if (isr)
		transport_set_isr(t, 0);
	return isr;
}

u64 virtio_pci_read(struct alc_dev *d, unsigned region, u64 off, unsigned size)
{
	struct transport *t = d->priv;

	switch (region) {
	case REGION_COMMON:
		return common_read(t, off, size);
	case REGION_ISR:
		return isr_read(t, off);
	case REGION_DEVICE:
		return config_read(t, off, size);
	default:
		return 0;
	}
}

/* The address says which queue; what else a driver may write is only a hint. */
static void notify_write(struct transport *t, u64 off)
{
	if (t->threaded)
		virtio_wake(&t->v);
	else if (off % NOTIFY_STEP == 0)
		transport_notify(t, (unsigned)(off / NOTIFY_STEP));
}

void transport_write(struct transport *t, unsigned region, u64 off, u64 val, unsigned size)
{
	switch (region) {
	case REGION_COMMON:
		common_write(t, off, val, size);
		break;
	case REGION_DEVICE:
		config_write(t, off, val, size);
		break;
	case REGION_NOTIFY:
		notify_write(t, off);
		break;
	default:
		break;
	}
}

_Static_assert(VIRTIO_PCI_DOORBELLS == BIT(REGION_NOTIFY), "writes there come without the lock");

void virtio_pci_write(struct alc_dev *d, unsigned region, u64 off, u64 val, unsigned size)
{
	struct transport *t = d->priv;
	bool lock = region == REGION_NOTIFY && !t->threaded;

	if (lock)
		dev_lock(d);
	transport_write(t, region, off, val, size);
	if (lock)
		dev_unlock(d);
}
