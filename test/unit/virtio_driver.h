/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_UNIT_VIRTIO_DRIVER_H
#define TEST_UNIT_VIRTIO_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/test/test_host.h"
#include "virtio/virtio.h"

/*
 * A machine of one virtio device, RAM and a driver, which follows virtio 1.2 chapters 3 and 4.1 on
 * split rings. What a test wants to be wrong, it does wrong by the registers below.
 */
enum {
	VD_RAM = 0x100000,
	VD_RAM_SIZE = 0x400000,
	VD_DATA = VD_RAM + 0x200000, /* for the tests */
	VD_QUEUES = 8,
	VD_SIZE = 16,
};
enum { VD_COMMON, VD_ISR, VD_DEVICE, VD_NOTIFY }; /* regions */

/* Registers of the common configuration (4.1.4.3). */
enum {
	R_DEVICE_FEATURE_SELECT = 0,
	R_DEVICE_FEATURE = 4,
	R_DRIVER_FEATURE_SELECT = 8,
	R_DRIVER_FEATURE = 12,
	R_MSIX_CONFIG = 16,
	R_NUM_QUEUES = 18,
	R_STATUS = 20,
	R_CONFIG_GENERATION = 21,
	R_QUEUE_SELECT = 22,
	R_QUEUE_SIZE = 24,
	R_QUEUE_VECTOR = 26,
	R_QUEUE_ENABLE = 28,
	R_QUEUE_NOTIFY_OFF = 30,
	R_QUEUE_DESC = 32,
	R_QUEUE_DRIVER = 40,
	R_QUEUE_DEVICE = 48,
	R_QUEUE_NOTIFY_DATA = 56,
	R_QUEUE_RESET = 58,
};
enum { S_ACK = 1, S_DRIVER = 2, S_DRIVER_OK = 4, S_FEATURES_OK = 8, S_NEEDS_RESET = 0x40 };

struct vd_queue {
	u16 avail, seen; /* indices */
	u16 next_desc;
};

struct vd {
	struct test_host th;
	struct alc_space space;
	struct region_map ports;
	struct alc_dev_env env;
	struct alc_dev *dev;
	struct vd_queue q[VD_QUEUES];
	struct pci_root *pci;
	/* What came out of it: messages by their data, and INTx. */
	unsigned msi[64];
	unsigned stray_msis; /* those that go where the driver has none sent */
	bool intx;
	bool no_msix; /* the driver doesn't enable MSI-X */
};

/* env may be changed between the two. */
void vd_init(struct vd *d);
void vd_create(struct vd *d, const struct alc_dev_class *cls, const struct alc_dev_opt *opts,
	       size_t nopts);
void vd_fini(struct vd *d);

/* MSI-X vector i sends data i; memory decoding and bus mastering on. */
void vd_plug(struct vd *d);
void vd_bus_master(struct vd *d, bool on);
/* Where a BAR is. */
u64 vd_bar(struct vd *d, unsigned bar);

u64 vd_get(struct vd *d, unsigned reg, unsigned size);
void vd_set(struct vd *d, unsigned reg, u64 val, unsigned size);
u64 vd_offered(struct vd *d);

/* Reset to FEATURES_OK with what of `want` and VERSION_1 is offered. */
void vd_negotiate(struct vd *d, u64 want);
void vd_setup_queue(struct vd *d, unsigned queue);
void vd_driver_ok(struct vd *d);
/* All of it, with the first n queues; message queue i interrupts on vector i + 1, config on 0. */
void vd_up(struct vd *d, u64 want, unsigned n);

struct vd_buf {
	u64 addr;
	u32 len;
	bool write;
};
/* Makes a chain available, without notifying: its head. */
u16 vd_add(struct vd *d, unsigned queue, const struct vd_buf *bufs, unsigned n);
void vd_kick(struct vd *d, unsigned queue);
/* The next used element, if there is one. */
bool vd_used(struct vd *d, unsigned queue, u16 *id, u32 *len);
/* Asserts that a chain was given back and returns its length. */
u32 vd_done(struct vd *d, unsigned queue);
u8 *vd_mem(struct vd *d, u64 addr);

#endif
