/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "base/fmt.h"
#include "virtio/transport.h"

/* The device class that a virtio type becomes: identity, capabilities, reset, interrupts, load. */

const struct alc_field virtio_fields[] = {VIRTIO_FIELDS, FIELD_END};

_Static_assert(sizeof(struct virtq_state) == VIRTQ_STATE_WORDS * sizeof(u16),
	       "the table saves it as an array of u16");

const struct alc_dev_region virtio_pci_regions[] = {
	[REGION_COMMON] = {.name = "common",
			   .kind = ALC_REGION_BAR,
			   .base = COMMON_AT,
			   .size = COMMON_SIZE,
			   .access_min = 1,
			   .access_max = 4,
			   .bar = VIRTIO_BAR},
	[REGION_ISR] = {.name = "isr",
			.kind = ALC_REGION_BAR,
			.base = ISR_AT,
			.size = ISR_SIZE,
			.access_min = 1,
			.access_max = 1,
			.bar = VIRTIO_BAR},
	[REGION_DEVICE] = {.name = "device",
			   .kind = ALC_REGION_BAR,
			   .base = DEVICE_AT,
			   .size = DEVICE_SIZE,
			   .access_min = 1,
			   .access_max = 4,
			   .bar = VIRTIO_BAR},
	[REGION_NOTIFY] = {.name = "notify",
			   .kind = ALC_REGION_BAR,
			   .base = NOTIFY_AT,
			   .size = NOTIFY_SIZE,
			   .access_min = 1,
			   .access_max = 4,
			   .bar = VIRTIO_BAR},
	{.name = NULL},
};

static const struct pci_bar_desc bars[] = {
	{.bar = VIRTIO_BAR, .kind = PCI_BAR_MEM32, .size = VIRTIO_BAR_SIZE}};

/* What all types have in common; probe puts in the rest. */
const struct pci_desc virtio_pci_desc = {
	.vendor = 0x1af4,
	.device = 0x1040,
	.subvendor = 0x1af4,
	.subdevice = 0x0040,
	.revision = 1,
	.bars = bars,
	.nbars = ARRAY_LEN(bars),
	.intx = true,
	.msix_bar = 1,
};

static const struct virtio_type *type_of(const struct alc_dev *d)
{
	return d->cls->detail;
}

struct virtio *virtio_of(const struct alc_dev *d)
{
	return &((struct transport *)d->priv)->v;
}

/* ---- capabilities (4.1.4) ---- */

enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };
enum { PCI_CAP_VENDOR = 9 };
/* Bytes after ID and next pointer: cap_len, cfg_type, bar, id, padding, offset, length, own. */
enum { AT_LEN = 0, AT_TYPE = 1, AT_BAR = 2, AT_OFFSET = 6, AT_LENGTH = 10, AT_OWN = 14 };
enum { CAP_BYTES = 14, CAP_BYTES_OWN = 18 };

static const u8 cfg_access_writable[CAP_BYTES_OWN] = {
	[AT_BAR] = 0xff,        [AT_OFFSET] = 0xff, [AT_OFFSET + 1] = 0xff, [AT_OFFSET + 2] = 0xff,
	[AT_OFFSET + 3] = 0xff, [AT_LENGTH] = 0xff, [AT_LENGTH + 1] = 0xff, [AT_LENGTH + 2] = 0xff,
	[AT_LENGTH + 3] = 0xff, [AT_OWN] = 0xff,    [AT_OWN + 1] = 0xff,    [AT_OWN + 2] = 0xff,
	[AT_OWN + 3] = 0xff,
};

static u8 *add_cap(struct transport *t, u8 type, unsigned len, u32 offset, u32 length)
{
	u8 *bytes = t->cap_bytes[t->ncaps];

	bytes[AT_LEN] = (u8)(len + 2);
	bytes[AT_TYPE] = type;
	bytes[AT_BAR] = VIRTIO_BAR;
	st32(bytes + AT_OFFSET, offset);
	st32(bytes + AT_LENGTH, length);
	t->caps[t->ncaps++] =
		(struct pci_cap_desc){.id = PCI_CAP_VENDOR, .len = (u8)len, .bytes = bytes};
	return bytes;
}

static void add_caps(struct transport *t)
{
	const struct virtio_type *type = t->v.type;
	u8 *notify;

	add_cap(t, CAP_COMMON, CAP_BYTES, COMMON_AT, COMMON_LEN);
	notify = add_cap(t, CAP_NOTIFY, CAP_BYTES_OWN, NOTIFY_AT, t->v.nqueues * NOTIFY_STEP);
	st32(notify + AT_OWN, NOTIFY_STEP);
	add_cap(t, CAP_ISR, CAP_BYTES, ISR_AT, 1);
	if (type->config_size)
		add_cap(t, CAP_DEVICE, CAP_BYTES, DEVICE_AT, (u32)type->config_size);
	t->access_cap = t->ncaps;
	add_cap(t, CAP_PCI, CAP_BYTES_OWN, 0, 0)[AT_BAR] = 0;
	t->caps[t->access_cap].writable = cfg_access_writable;
}

/*
 * 4.1.4.9: a window for drivers that can't reach the BAR. What stands there is the guest's;
 * returns the data's offset in configuration space, or 0 if [off, off+len) doesn't touch it or no
 * access can be made.
 */
static unsigned window(struct alc_dev *d, unsigned off, unsigned len, unsigned *region, u64 *at,
		       unsigned *size)
{
	struct transport *t = d->priv;
	unsigned cap = pci_cap_offset(d->pci, t->access_cap) + 2, data = cap + AT_OWN;
	const u8 *bytes = pci_config(d->pci) + cap;
	u32 offset = ld32(bytes + AT_OFFSET), length = ld32(bytes + AT_LENGTH);

	if (off + len <= data || off >= data + 4 || bytes[AT_BAR] != VIRTIO_BAR)
		return 0;
	if ((length != 1 && length != 2 && length != 4) || offset % length)
		return 0;
	for (unsigned i = 0; virtio_pci_regions[i].name; i++) {
		const struct alc_dev_region *r = &virtio_pci_regions[i];

		if (offset >= r->base && offset - r->base < r->size) {
			*region = i;
			*at = offset - r->base;
			*size = length;
			return data;
		}
	}
	return 0;
}

void virtio_pci_config_written(struct alc_dev *d, unsigned off, unsigned len)
{
	unsigned region, size, data;
	u64 at;

	data = window(d, off, len, &region, &at, &size);
	if (!data)
		return;
	if (region == REGION_ISR)
		size = 1;
	transport_write(d->priv, region, at, ld_size(pci_config(d->pci) + data, size), size);
}

void virtio_pci_config_reading(struct alc_dev *d, unsigned off, unsigned len)
{
	unsigned region, size, data;
	u64 at;

	data = window(d, off, len, &region, &at, &size);
	if (data)
		st_size(pci_config(d->pci) + data, virtio_pci_read(d, region, at, size), size);
}

/* ---- creation and end ---- */

static int no_memory(const struct alc_dev *d, struct alc_err *err)
{
	return alc_fail(err, -ENOMEM, "no memory for device '%s'", d->id);
}

static int make_queues(struct transport *t, struct alc_err *err)
{
	struct virtio *v = &t->v;
	const struct alc_dev_env *env = &v->dev->env;

	for (unsigned i = 0; i < v->nqueues; i++) {
		if (!v->queue_size[i])
			v->queue_size[i] = 256;
		if (virtq_create(env->host, env->space, &t->regs->queue_state[i], &v->queues[i]))
			return no_memory(v->dev, err);
	}
	return 0;
}

static u64 offered(const struct virtio *v)
{
	const struct virtio_options *o = v->dev->config;
	u64 f = v->offers | VIRTIO_F_VERSION_1 | VIRTIO_F_NOTIFICATION_DATA |
		VIRTIO_F_NOTIF_CONFIG_DATA;

	if (o->packed)
		f |= VIRTIO_F_RING_PACKED;
	if (o->event_idx)
		f |= VIRTIO_F_EVENT_IDX;
	if (o->indirect)
		f |= VIRTIO_F_INDIRECT_DESC;
	if (v->type->stop_queue)
		f |= VIRTIO_F_RING_RESET;
	return f;
}

static void identify(struct transport *t)
{
	struct pci_desc *p = &t->v.dev->pci_desc;
	const struct virtio_type *type = t->v.type;
	unsigned vectors = t->v.nqueues + 1;

	*p = virtio_pci_desc;
	p->device = (u16)(p->device + type->id);
	p->subdevice = (u16)(p->subdevice + type->id);
	p->class_code = type->class_code;
	p->msix = (u8)min_u64(vectors, PCI_MSIX_VECTORS_MAX);
	add_caps(t);
	p->caps = t->caps;
	p->ncaps = (u8)t->ncaps;
}

int virtio_pci_probe(struct alc_dev *d, struct alc_err *err)
{
	const struct virtio_type *type = type_of(d);
	const struct alc_host *h = d->env.host;
	struct transport *t = host_alloc(h, sizeof(*t));
	int r;

	if (!t)
		return no_memory(d, err);
	d->priv = t;
	t->regs = d->state;
	t->v.dev = d;
	t->v.type = type;
	t->v.priv = type->priv_size ? host_alloc(h, type->priv_size) : NULL;
	t->config = type->config_size ? host_alloc(h, type->config_size) : NULL;
	if ((type->priv_size && !t->v.priv) || (type->config_size && !t->config))
		return no_memory(d, err);
	t->probed = true;
	r = type->probe(&t->v, err);
	if (r)
		return r;
	t->offered = offered(&t->v);
	identify(t);
	r = make_queues(t, err);
	if (!r)
		r = transport_start_thread(t, err);
	t->live = !r;
	return r;
}

void virtio_pci_remove(struct alc_dev *d)
{
	struct transport *t = d->priv;
	const struct alc_host *h = d->env.host;

	if (!t)
		return;
	t->v.running = false;
	if (t->live) {
		dev_lock(d);
		t->v.type->stop(&t->v);
		dev_unlock(d);
	}
	transport_stop_thread(t);
	if (t->probed && t->v.type->remove)
		t->v.type->remove(&t->v);
	for (unsigned i = 0; i < t->v.nqueues; i++)
		virtq_destroy(t->v.queues[i]);
	host_free(h, t->config, t->v.type->config_size);
	host_free(h, t->v.priv, t->v.type->priv_size);
	host_free(h, t, sizeof(*t));
}

/* ---- interrupts (4.1.4.5, 4.1.5.3) ---- */

static bool msix_on(const struct alc_dev *d)
{
	return d->pci && pci_msix_enabled(d->pci);
}

void transport_set_isr(struct transport *t, u8 isr)
{
	t->regs->isr = isr;
	if (t->v.dev->pci)
		pci_intx(t->v.dev->pci, isr);
}

static void interrupt(struct transport *t, u8 cause, u16 vector)
{
	struct alc_dev *d = t->v.dev;

	if (!msix_on(d))
		transport_set_isr(t, t->regs->isr | cause);
	else if (vector != NO_VECTOR)
		pci_msi(d->pci, vector);
}

void virtio_signal(struct virtio *v, unsigned queue)
{
	struct transport *t = transport_of(v);

	if (v->running && virtq_wants_signal(v->queues[queue]))
		interrupt(t, ISR_QUEUE, t->regs->queue_vector[queue]);
}

void virtio_config_changed(struct virtio *v)
{
	struct transport *t = transport_of(v);

	t->regs->config_generation++;
	if (t->regs->status & STATUS_DRIVER_OK)
		interrupt(t, ISR_CONFIG, t->regs->msix_config);
}

void virtio_break(struct virtio *v, const char *why)
{
	struct transport *t = transport_of(v);
	const struct alc_host *h = v->dev->env.host;
	char text[ALC_ERR_TEXT_MAX];

	v->running = false;
	if (t->regs->status & STATUS_NEEDS_RESET)
		return;
	t->regs->status |= STATUS_NEEDS_RESET;
	if (t->regs->status & STATUS_DRIVER_OK)
		interrupt(t, ISR_CONFIG, t->regs->msix_config);
	/* A guest can do this as often as it likes; an operator needs to read it only so often. */
	if (t->complaints == COMPLAINTS_MAX)
		return;
	t->complaints++;
	fmt_text(text, sizeof(text), "device '%s' needs a reset by its driver: %s", v->dev->id,
		 why);
	h->log(h->ctx, ALC_LOG_WARN, text);
}

/* ---- queues, as types use them ---- */

bool virtio_pop(struct virtio *v, unsigned queue, struct virtq_chain *c)
{
	const struct pci_function *f = v->dev->pci;
	int r;

	if (!v->running || (f && !pci_bus_master(f)))
		return false;
	r = virtq_pop(v->queues[queue], c);
	if (r < 0)
		virtio_break(v, "a descriptor chain breaks the rules");
	return r > 0;
}

void virtio_push(struct virtio *v, unsigned queue, const struct virtq_chain *c, u32 written)
{
	virtq_push(v->queues[queue], c, written);
	virtio_signal(v, queue);
}

/* ---- reset, save and load ---- */

/*
 * A doorbell that rang before the machine was paused may not have been answered, and must not be
 * while its memory is saved. Nothing rings now, so whoever answers later finds nothing new.
 */
void virtio_pci_quiesce(struct alc_dev *d)
{
	struct virtio *v = virtio_of(d);

	if (transport_of(v)->threaded)
		transport_notify_all(d->priv);
	if (v->type->quiesce)
		v->type->quiesce(v);
}

void transport_reset(struct transport *t)
{
	struct virtio *v = &t->v;
	size_t own = v->dev->cls->state_size - sizeof(*t->regs);

	v->running = false;
	v->type->stop(v);
	for (unsigned i = 0; i < v->nqueues; i++)
		virtq_stop(v->queues[i]);
	v->features = 0;
	__builtin_memset(t->regs, 0, sizeof(*t->regs));
	__builtin_memset(t->regs + 1, 0, own);
	t->regs->msix_config = NO_VECTOR;
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		transport_reset_queue_regs(t, i);
	transport_set_isr(t, 0);
	if (v->type->reset)
		v->type->reset(v);
}

void virtio_pci_reset(struct alc_dev *d, enum alc_reset kind)
{
	transport_reset(d->priv);
}

static int refuse(const struct transport *t, const char *what, struct alc_err *err)
{
	return alc_fail(err, -EINVAL, "device '%s': snapshot has %s that can't be", t->v.dev->id,
			what);
}

static int check_registers(const struct transport *t, struct alc_err *err)
{
	const struct virtio_regs *r = t->regs;

	if (r->status & ~STATUS_ALL || r->isr & ~(ISR_QUEUE | ISR_CONFIG))
		return refuse(t, "a status", err);
	if (r->status & STATUS_DRIVER_OK && !(r->status & STATUS_FEATURES_OK))
		return refuse(t, "a status", err);
	if (r->status & STATUS_FEATURES_OK && !transport_features_ok(t))
		return refuse(t, "features", err);
	if (!transport_vector_ok(t, r->msix_config))
		return refuse(t, "an interrupt vector", err);
	return 0;
}

static bool queue_regs_ok(const struct transport *t, unsigned i)
{
	const struct virtio_regs *r = t->regs;
	bool exists = i < t->v.nqueues;

	return r->queue_enable[i] <= exists && r->queue_was_reset[i] <= exists &&
	       transport_vector_ok(t, r->queue_vector[i]) && (exists || !r->queue_size[i]);
}

static bool is_running(const struct virtio_regs *r)
{
	return r->status & STATUS_DRIVER_OK && !(r->status & STATUS_NEEDS_RESET);
}

static int check_queues(const struct transport *t, struct alc_err *err)
{
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		struct virtq_config c;
		int r = 0;

		if (!queue_regs_ok(t, i))
			return refuse(t, "a queue", err);
		if (!is_running(t->regs) || !t->regs->queue_enable[i])
			continue;
		if (t->regs->queue_size[i] > t->v.queue_size[i])
			return refuse(t, "a queue", err);
		c = transport_queue_config(t, i);
		r = virtq_check(t->v.queues[i], &c, err);
		if (r)
			return r;
		if (t->regs->queue_state[i].broken)
			return refuse(t, "a broken queue in use", err);
	}
	return 0;
}

/* Queues that don't run have no positions. */
static void resume_queues(struct transport *t)
{
	struct virtio *v = &t->v;

	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		struct virtq_config c = transport_queue_config(t, i);

		if (is_running(t->regs) && t->regs->queue_enable[i])
			virtq_resume(v->queues[i], &c);
		else if (i < v->nqueues)
			virtq_stop(v->queues[i]);
		else
			t->regs->queue_state[i] = (struct virtq_state){.broken = 0};
	}
}

int virtio_pci_loaded(struct alc_dev *d, struct alc_err *err)
{
	struct transport *t = d->priv;
	struct virtio *v = &t->v;
	int r = check_registers(t, err);

	if (!r)
		r = check_queues(t, err);
	if (!r && v->type->check)
		r = v->type->check(v, err);
	if (r)
		return r;
	v->running = false;
	v->type->stop(v);
	v->features = t->regs->status & STATUS_FEATURES_OK ? t->regs->driver_features : 0;
	resume_queues(t);
	transport_set_isr(t, t->regs->isr);
	if (is_running(t->regs))
		transport_go(t);
	transport_notify_all(t);
	return 0;
}
