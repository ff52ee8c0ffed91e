/* SPDX-License-Identifier: BSD-2-Clause */
#include "virtio_driver.h"

#include "bus/pc.h"

enum { MSI_ADDRESS = 0xfee00000 };

/* Each queue's areas, one page apart. */
static u64 area(unsigned queue, unsigned which)
{
	return VD_RAM + 0x10000u + queue * 0x4000u + which * 0x1000u;
}

static void on_msi(void *ctx, struct alc_msi msg)
{
	struct vd *d = ctx;

	if (msg.address == MSI_ADDRESS && msg.data < ARRAY_LEN(d->msi))
		d->msi[msg.data]++;
	else
		d->stray_msis++;
}

static void on_pirq(void *ctx, unsigned pirq, bool level)
{
	((struct vd *)ctx)->intx = level;
}

static void make_root(struct vd *d)
{
	struct pci_root_params p = {
		.host = &d->th.host,
		.mem32_base = PC_ECAM_BASE,
		.mem32_end = PC_PCI_MEM_END,
		.mem64_base = PC_ABOVE_4G,
		.mem64_end = PC_ABOVE_4G << 4,
		.io_base = PC_PCI_IO_BASE,
		.ecam_base = PC_ECAM_BASE,
		.msi = {.deliver = on_msi, .ctx = d},
	};

	for (unsigned i = 0; i < PC_PIRQS; i++)
		p.pirq[i] = (struct alc_irq){on_pirq, d, i};
	assert_int_equal(pci_root_create(&p, &d->space.devices, &d->ports, &d->pci, NULL), 0);
}

void vd_init(struct vd *d)
{
	memset(d, 0, sizeof(*d));
	test_host_init(&d->th, TEST_TIME_MANUAL);
	assert_int_equal(space_init(&d->space, &d->th.host, VD_RAM_SIZE, NULL), 0);
	assert_int_equal(space_add_bank(&d->space, gpa(VD_RAM), VD_RAM_SIZE, false, NULL), 0);
	region_map_init(&d->ports, &d->th.host);
	make_root(d);
	d->env = (struct alc_dev_env){
		.host = &d->th.host, .space = &d->space, .ports = &d->ports, .pci = d->pci};
}

void vd_create(struct vd *d, const struct alc_dev_class *cls, const struct alc_dev_opt *opts,
	       size_t nopts)
{
	struct alc_err err = {0};

	if (dev_create(cls, "dut", &d->env, opts, nopts, &d->dev, &err))
		fail_msg("%s: %s", cls->name, err.text);
	vd_plug(d);
}

void vd_fini(struct vd *d)
{
	dev_destroy(d->dev);
	pci_root_destroy(d->pci);
	region_map_fini(&d->ports);
	space_fini(&d->space);
	assert_int_equal(d->stray_msis, 0);
	assert_int_equal(test_host_leaks(&d->th), 0);
	test_host_fini(&d->th);
}

/* ---- the function ---- */

enum { REG_COMMAND = 4, REG_BAR = 0x10, REG_CAPS = 0x34, CAP_MSIX = 0x11 };
enum { COMMAND_MEMORY = 2, COMMAND_MASTER = 4, MSIX_ENABLE = 1 << 15, MSIX_BAR = 1 };

static unsigned find_cap(const struct vd *d, u8 id)
{
	unsigned at = pci_config_read(d->dev->pci, REG_CAPS, 1);

	while (at && pci_config_read(d->dev->pci, at, 1) != id)
		at = pci_config_read(d->dev->pci, at + 1, 1);
	assert_int_not_equal(at, 0);
	return at;
}

u64 vd_bar(struct vd *d, unsigned bar)
{
	return pci_config_read(d->dev->pci, REG_BAR + 4 * bar, 4) & ~15u;
}

void vd_bus_master(struct vd *d, bool on)
{
	pci_config_write(d->dev->pci, REG_COMMAND, COMMAND_MEMORY | (on ? COMMAND_MASTER : 0), 2);
}

void vd_plug(struct vd *d)
{
	unsigned cap = find_cap(d, CAP_MSIX);
	unsigned n = (pci_config_read(d->dev->pci, cap + 2, 2) & 0x7ff) + 1;

	pci_assign(d->pci);
	vd_bus_master(d, true);
	for (unsigned i = 0; i < n; i++) {
		u64 entry = vd_bar(d, MSIX_BAR) + 16 * i;

		space_write(&d->space, gpa(entry), MSI_ADDRESS, 8);
		space_write(&d->space, gpa(entry + 8), i, 4);
		space_write(&d->space, gpa(entry + 12), 0, 4);
	}
	pci_config_write(d->dev->pci, cap + 2, d->no_msix ? 0 : MSIX_ENABLE, 2);
}

/* ---- the driver ---- */

u64 vd_get(struct vd *d, unsigned reg, unsigned size)
{
	return dev_read(d->dev, VD_COMMON, reg, size);
}

void vd_set(struct vd *d, unsigned reg, u64 val, unsigned size)
{
	dev_write(d->dev, VD_COMMON, reg, val, size);
}

u64 vd_offered(struct vd *d)
{
	u64 low, high;

	vd_set(d, R_DEVICE_FEATURE_SELECT, 0, 4);
	low = vd_get(d, R_DEVICE_FEATURE, 4);
	vd_set(d, R_DEVICE_FEATURE_SELECT, 1, 4);
	high = vd_get(d, R_DEVICE_FEATURE, 4);
	return low | high << 32;
}

void vd_negotiate(struct vd *d, u64 want)
{
	u64 features;

	vd_plug(d);
	vd_set(d, R_STATUS, 0, 1);
	assert_int_equal(vd_get(d, R_STATUS, 1), 0);
	memset(d->q, 0, sizeof(d->q));
	memset(vd_mem(d, area(0, 0)), 0, VD_QUEUES * 0x4000);
	vd_set(d, R_STATUS, S_ACK, 1);
	vd_set(d, R_STATUS, S_ACK | S_DRIVER, 1);
	features = vd_offered(d) & (want | VIRTIO_F_VERSION_1);
	vd_set(d, R_DRIVER_FEATURE_SELECT, 0, 4);
	vd_set(d, R_DRIVER_FEATURE, (u32)features, 4);
	vd_set(d, R_DRIVER_FEATURE_SELECT, 1, 4);
	vd_set(d, R_DRIVER_FEATURE, features >> 32, 4);
	vd_set(d, R_STATUS, S_ACK | S_DRIVER | S_FEATURES_OK, 1);
	assert_int_equal(vd_get(d, R_STATUS, 1), S_ACK | S_DRIVER | S_FEATURES_OK);
}

void vd_setup_queue(struct vd *d, unsigned queue)
{
	assert_true(queue < VD_QUEUES);
	memset(vd_mem(d, area(queue, 0)), 0, 0x4000);
	d->q[queue] = (struct vd_queue){0};
	vd_set(d, R_QUEUE_SELECT, queue, 2);
	assert_true(vd_get(d, R_QUEUE_SIZE, 2) >= VD_SIZE);
	vd_set(d, R_QUEUE_SIZE, VD_SIZE, 2);
	vd_set(d, R_QUEUE_VECTOR, queue + 1, 2);
	assert_int_equal(vd_get(d, R_QUEUE_VECTOR, 2), queue + 1);
	vd_set(d, R_QUEUE_DESC, area(queue, 0), 8);
	vd_set(d, R_QUEUE_DRIVER, area(queue, 1), 8);
	vd_set(d, R_QUEUE_DEVICE, area(queue, 2), 8);
	vd_set(d, R_QUEUE_ENABLE, 1, 2);
	assert_int_equal(vd_get(d, R_QUEUE_ENABLE, 2), 1);
}

void vd_driver_ok(struct vd *d)
{
	vd_set(d, R_STATUS, S_ACK | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK, 1);
	assert_int_equal(vd_get(d, R_STATUS, 1), S_ACK | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK);
}

void vd_up(struct vd *d, u64 want, unsigned n)
{
	vd_negotiate(d, want);
	vd_set(d, R_MSIX_CONFIG, 0, 2);
	for (unsigned i = 0; i < n; i++)
		vd_setup_queue(d, i);
	vd_driver_ok(d);
}

u8 *vd_mem(struct vd *d, u64 addr)
{
	struct alc_span span;

	assert_true(space_span(&d->space, gpa(addr), 1, &span));
	return span.hva;
}

/* Descriptors are taken round and round: a test has few chains at a time. */
u16 vd_add(struct vd *d, unsigned queue, const struct vd_buf *bufs, unsigned n)
{
	struct vd_queue *q = &d->q[queue];
	u8 *avail = vd_mem(d, area(queue, 1));
	u16 head = q->next_desc % VD_SIZE;

	assert_true(n && n <= VD_SIZE);
	for (unsigned i = 0; i < n; i++) {
		u8 *at = vd_mem(d, area(queue, 0)) + 16u * (q->next_desc++ % VD_SIZE);

		st64(at, bufs[i].addr);
		st32(at + 8, bufs[i].len);
		st16(at + 12, (u16)((i + 1 < n) | (bufs[i].write ? 2 : 0)));
		st16(at + 14, q->next_desc % VD_SIZE);
	}
	st16(avail + 4 + 2 * (q->avail % VD_SIZE), head);
	st16(avail + 2, ++q->avail);
	return head;
}

void vd_kick(struct vd *d, unsigned queue)
{
	u64 off;

	vd_set(d, R_QUEUE_SELECT, queue, 2);
	off = vd_get(d, R_QUEUE_NOTIFY_OFF, 2) * 4;
	dev_write(d->dev, VD_NOTIFY, off, queue, 2);
}

bool vd_used(struct vd *d, unsigned queue, u16 *id, u32 *len)
{
	struct vd_queue *q = &d->q[queue];
	const u8 *used = vd_mem(d, area(queue, 2));
	const u8 *at = used + 4 + 8u * (q->seen % VD_SIZE);

	if (ld16(used + 2) == q->seen)
		return false;
	*id = (u16)ld32(at);
	*len = ld32(at + 4);
	q->seen++;
	return true;
}

u32 vd_done(struct vd *d, unsigned queue)
{
	u16 id;
	u32 len = 0;

	if (!vd_used(d, queue, &id, &len))
		fail_msg("queue %u: nothing was given back", queue);
	return len;
}
