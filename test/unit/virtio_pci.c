/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <time.h>

#include "alcazar/device.h"
#include "base/errno.h"
#include "host/test/sweep.h"
#include "virtio_driver.h"

/*
 * The transport against virtio 1.2, 2 to 4.1, with a type that echoes: what it reads it writes
 * back, turned upside down. Queue 1 holds its chains until the test lets go of them.
 */
enum { ECHO, HELD, QUEUES = 3, CONFIG_SIZE = 10, FEATURE = 1 << 3, BAD_FEATURE = 1 << 4 };

struct state {
	struct virtio_regs virtio;
	u32 echoed;
	u8 mood; /* 1 after reset, 0-9 */
};

struct spy {
	struct virtq_chain held;
	struct alc_iov held_iov[4];
	bool holding;
	unsigned starts, stops, queue_stops, notifies[QUEUES], written_off, written_len;
	u8 config[CONFIG_SIZE];
};

static struct spy *spy(struct virtio *v)
{
	return v->priv;
}

static int spy_probe(struct virtio *v, struct alc_err *err)
{
	struct spy *s = spy(v);

	for (unsigned i = 0; i < CONFIG_SIZE; i++)
		s->config[i] = (u8)(0xa0 + i);
	v->offers = FEATURE | BAD_FEATURE;
	v->nqueues = QUEUES;
	v->queue_size[2] = 64;
	return 0;
}

static void spy_config(struct virtio *v, u8 *out)
{
	memcpy(out, spy(v)->config, CONFIG_SIZE);
}

static void spy_config_written(struct virtio *v, const u8 *bytes, unsigned off, unsigned len)
{
	struct spy *s = spy(v);

	s->written_off = off;
	s->written_len = len;
	memcpy(s->config, bytes, CONFIG_SIZE);
}

static bool spy_features_ok(struct virtio *v, u64 features)
{
	return !(features & BAD_FEATURE);
}

static void spy_start(struct virtio *v)
{
	assert_true(v->running);
	spy(v)->starts++;
}

static void echo(struct virtio *v, unsigned queue)
{
	struct alc_iov iov[8];
	struct virtq_chain c = {.iov = iov, .iov_max = ARRAY_LEN(iov)};
	struct state *st = v->dev->state;

	while (virtio_pop(v, queue, &c)) {
		u8 bytes[256];
		size_t n = iov_copy_from(iov, c.nout, 0, bytes, sizeof(bytes));

		for (size_t i = 0; i < n; i++)
			bytes[i] = (u8)~bytes[i];
		n = iov_copy_to(iov + c.nout, c.nin, 0, bytes, n);
		st->echoed++;
		virtio_push(v, queue, &c, (u32)n);
	}
}

static void spy_notify(struct virtio *v, unsigned queue)
{
	struct spy *s = spy(v);

	assert_true(queue < QUEUES && v->running && virtq_started(v->queues[queue]));
	s->notifies[queue]++;
	if (queue != HELD) {
		echo(v, queue);
	} else if (!s->holding) {
		s->held = (struct virtq_chain){.iov = s->held_iov,
					       .iov_max = ARRAY_LEN(s->held_iov)};
		s->holding = virtio_pop(v, queue, &s->held);
	}
}

/* As work that another thread has finished. */
static void let_go(struct vd *d)
{
	struct virtio *v = virtio_of(d->dev);
	struct spy *s = spy(v);

	dev_lock(d->dev);
	if (v->running && s->holding) {
		iov_fill(s->held.iov + s->held.nout, s->held.nin, 0, 0x77, SIZE_MAX);
		virtio_push(v, HELD, &s->held, (u32)s->held.in_len);
		s->holding = false;
	}
	dev_unlock(d->dev);
}

static void spy_stop(struct virtio *v)
{
	spy(v)->stops++;
	spy(v)->holding = false;
}

static void spy_stop_queue(struct virtio *v, unsigned queue)
{
	spy(v)->queue_stops++;
	if (queue == HELD)
		spy(v)->holding = false;
}

static void spy_reset(struct virtio *v)
{
	struct state *st = v->dev->state;

	assert_int_equal(st->echoed, 0);
	st->mood = 1;
}

static int spy_check(struct virtio *v, struct alc_err *err)
{
	const struct state *st = v->dev->state;

	return st->mood > 9 ? alc_fail(err, -EINVAL, "a mood of %u", st->mood) : 0;
}

static const struct virtio_type type = {
	.id = 42,
	.class_code = 0xff0000,
	.priv_size = sizeof(struct spy),
	.config_size = CONFIG_SIZE,
	.probe = spy_probe,
	.config = spy_config,
	.config_written = spy_config_written,
	.features_ok = spy_features_ok,
	.start = spy_start,
	.notify = spy_notify,
	.stop = spy_stop,
	.stop_queue = spy_stop_queue,
	.reset = spy_reset,
	.check = spy_check,
};

static const struct alc_field fields[] = {VIRTIO_FIELDS, FIELD(struct state, echoed),
					  FIELD(struct state, mood), FIELD_END};
static const struct alc_prop props[] = {VIRTIO_OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {VIRTIO_OPTIONS(OPTION_ROW)};
static const struct alc_dev_class spy_class = {
	.name = "virtio-spy",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.config_size = sizeof(struct virtio_options),
	.props = props,
	.options = options,
	VIRTIO_CLASS_OPS(type),
};

static int setup(void **state)
{
	struct vd *d = malloc(sizeof(*d));

	assert_non_null(d);
	vd_init(d);
	vd_create(d, &spy_class, NULL, 0);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	vd_fini(*state);
	free(*state);
	return 0;
}

static struct spy *spy_of(struct vd *d)
{
	return spy(virtio_of(d->dev));
}

static const u64 want_all = ~(u64)BAD_FEATURE & ~VIRTIO_F_RING_PACKED;

/* One round over queue `queue`: is it alive? */
static void assert_echo(struct vd *d, unsigned queue)
{
	const struct vd_buf bufs[] = {{VD_DATA, 4, false}, {VD_DATA + 0x100, 4, true}};

	st32(vd_mem(d, VD_DATA), 0x11223344);
	st32(vd_mem(d, VD_DATA + 0x100), 0);
	vd_add(d, queue, bufs, 2);
	vd_kick(d, queue);
	assert_int_equal(vd_done(d, queue), 4);
	assert_int_equal(ld32(vd_mem(d, VD_DATA + 0x100)), ~0x11223344u);
}

/* ---- identity ---- */

static void identity(void **state)
{
	struct vd *d = *state;
	const struct pci_desc *p = &d->dev->pci_desc;
	unsigned seen = 0;

	assert_int_equal(p->vendor, 0x1af4);
	assert_int_equal(p->device, 0x1040 + 42);
	assert_true(p->revision >= 1);
	assert_true(p->subdevice >= 0x40);
	assert_int_equal(p->msix, QUEUES + 1);
	assert_true(p->intx);
	for (unsigned i = 0; i < p->ncaps; i++) {
		const u8 *b = p->caps[i].bytes;
		u32 off = ld32(b + 6), len = ld32(b + 10);

		assert_int_equal(p->caps[i].id, 9);
		assert_int_equal(b[0], p->caps[i].len + 2);
		seen |= 1u << b[1];
		if (b[1] == 5)
			continue;
		assert_int_equal(b[2], p->bars[0].bar);
		assert_true(len && off % 4 == 0 && off + len <= p->bars[0].size);
		assert_true(b[1] != 4 || len == CONFIG_SIZE);
		assert_true(b[1] != 2 || ld32(b + 14) == 4);
	}
	assert_int_equal(seen, 0x3e); /* common, notify, ISR, device, PCI access: each once */
	assert_int_equal(p->ncaps, 5);
	assert_int_equal(vd_get(d, R_NUM_QUEUES, 2), QUEUES);
}

static void options_offer_features(void **state)
{
	static const struct alc_dev_opt on[] = {{"packed", "on"}};
	static const struct alc_dev_opt off[] = {{"event_idx", "off"}, {"indirect", "off"}};
	struct vd *d = *state;
	u64 base = vd_offered(d);

	assert_true(base & VIRTIO_F_VERSION_1 && base & FEATURE && base & VIRTIO_F_RING_RESET);
	assert_true(base & VIRTIO_F_EVENT_IDX && base & VIRTIO_F_INDIRECT_DESC);
	assert_false(base & VIRTIO_F_RING_PACKED);
	assert_false(base & (VIRTIO_F_ACCESS_PLATFORM | VIRTIO_F_ORDER_PLATFORM));
	dev_destroy(d->dev);
	vd_create(d, &spy_class, on, 1);
	assert_true(vd_offered(d) == (base | VIRTIO_F_RING_PACKED));
	dev_destroy(d->dev);
	vd_create(d, &spy_class, off, 2);
	assert_true(vd_offered(d) == (base & ~(VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC)));
}

/* ---- status and features ---- */

static u8 try_features(struct vd *d, u64 features)
{
	vd_set(d, R_STATUS, 0, 1);
	vd_set(d, R_STATUS, S_ACK | S_DRIVER, 1);
	for (unsigned i = 0; i < 2; i++) {
		vd_set(d, R_DRIVER_FEATURE_SELECT, i, 4);
		vd_set(d, R_DRIVER_FEATURE, (u32)(features >> 32 * i), 4);
		assert_int_equal(vd_get(d, R_DRIVER_FEATURE, 4), (u32)(features >> 32 * i));
	}
	vd_set(d, R_STATUS, S_ACK | S_DRIVER | S_FEATURES_OK, 1);
	return (u8)vd_get(d, R_STATUS, 1);
}

static void features_are_negotiated(void **state)
{
	struct vd *d = *state;
	u64 offered = vd_offered(d) & ~(u64)BAD_FEATURE;

	assert_false(try_features(d, 0) & S_FEATURES_OK);
	assert_false(try_features(d, offered & ~VIRTIO_F_VERSION_1) & S_FEATURES_OK);
	assert_false(try_features(d, VIRTIO_F_VERSION_1 | BIT(63)) & S_FEATURES_OK);
	assert_false(try_features(d, VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED) & S_FEATURES_OK);
	assert_false(try_features(d, VIRTIO_F_VERSION_1 | BAD_FEATURE) & S_FEATURES_OK);
	assert_true(try_features(d, VIRTIO_F_VERSION_1) & S_FEATURES_OK);
	assert_true(virtio_of(d->dev)->features == VIRTIO_F_VERSION_1);
	/* What was agreed on stays. */
	vd_set(d, R_DRIVER_FEATURE, ~0u, 4);
	assert_int_equal(vd_get(d, R_DRIVER_FEATURE, 4), 1);
	/* Words beyond the second are empty. */
	vd_set(d, R_DEVICE_FEATURE_SELECT, 2, 4);
	assert_int_equal(vd_get(d, R_DEVICE_FEATURE, 4), 0);
	vd_set(d, R_DRIVER_FEATURE_SELECT, 0xffffffff, 4);
	vd_set(d, R_DRIVER_FEATURE, ~0u, 4);
	assert_int_equal(vd_get(d, R_DRIVER_FEATURE, 4), 0);
}

static void status_only_grows(void **state)
{
	struct vd *d = *state;

	vd_set(d, R_STATUS, S_ACK, 1);
	vd_set(d, R_STATUS, S_DRIVER, 1);
	assert_int_equal(vd_get(d, R_STATUS, 1), S_ACK | S_DRIVER);
	vd_set(d, R_STATUS, S_NEEDS_RESET | 0x30, 1);
	assert_int_equal(vd_get(d, R_STATUS, 1), S_ACK | S_DRIVER);
	/* Not without features. */
	vd_set(d, R_STATUS, S_DRIVER_OK, 1);
	assert_int_equal(vd_get(d, R_STATUS, 1), S_ACK | S_DRIVER);
	assert_int_equal(spy_of(d)->starts, 0);
	vd_set(d, R_STATUS, 0x80, 1);
	assert_int_equal(vd_get(d, R_STATUS, 1), S_ACK | S_DRIVER | 0x80);
	vd_up(d, want_all, QUEUES);
	assert_int_equal(spy_of(d)->starts, 1);
	vd_set(d, R_STATUS, S_DRIVER_OK, 1);
	assert_int_equal(spy_of(d)->starts, 1);
	vd_set(d, R_STATUS, 0, 1);
	assert_int_equal(vd_get(d, R_STATUS, 1), 0);
	assert_false(virtio_of(d->dev)->running);
	for (unsigned i = 0; i < QUEUES; i++) {
		vd_set(d, R_QUEUE_SELECT, i, 2);
		assert_int_equal(vd_get(d, R_QUEUE_ENABLE, 2), 0);
		assert_int_equal(vd_get(d, R_QUEUE_VECTOR, 2), 0xffff);
		assert_int_equal(vd_get(d, R_QUEUE_DESC, 8), 0);
		assert_int_equal(vd_get(d, R_QUEUE_SIZE, 2), i == 2 ? 64 : 256);
	}
}

/* ---- queues ---- */

static void queues_echo(void **state)
{
	struct vd *d = *state;

	vd_up(d, want_all, QUEUES);
	for (unsigned i = 0; i < 40; i++)
		assert_echo(d, ECHO);
	assert_echo(d, 2);
	assert_int_equal(d->msi[ECHO + 1], 1); /* the event index was never moved on */
	assert_int_equal(d->msi[3], 1);
	vd_up(d, want_all & ~VIRTIO_F_EVENT_IDX, QUEUES);
	for (unsigned i = 0; i < 40; i++)
		assert_echo(d, ECHO);
	assert_int_equal(d->msi[ECHO + 1], 41);
}

static void queues_that_are_not_there(void **state)
{
	static const u16 numbers[] = {QUEUES, 33, 64, 255, 256, 0x7fff, 0x8000, 0xffff};
	struct vd *d = *state;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		vd_set(d, R_QUEUE_SELECT, numbers[i], 2);
		assert_int_equal(vd_get(d, R_QUEUE_SELECT, 2), numbers[i]);
		for (unsigned reg = R_QUEUE_SIZE; reg < 60; reg += 2) {
			vd_set(d, reg, 1, 2);
			assert_int_equal(vd_get(d, reg, 2), 0);
		}
	}
}

static void bad_values_are_ignored(void **state)
{
	struct vd *d = *state;

	vd_negotiate(d, want_all);
	vd_set(d, R_QUEUE_SELECT, 0, 2);
	vd_set(d, R_QUEUE_SIZE, 0, 2);
	assert_int_equal(vd_get(d, R_QUEUE_SIZE, 2), 256);
	vd_set(d, R_QUEUE_SIZE, 257, 2);
	assert_int_equal(vd_get(d, R_QUEUE_SIZE, 2), 256);
	vd_set(d, R_QUEUE_ENABLE, 2, 2);
	assert_int_equal(vd_get(d, R_QUEUE_ENABLE, 2), 0);
	vd_set(d, R_QUEUE_VECTOR, QUEUES + 1, 2);
	assert_int_equal(vd_get(d, R_QUEUE_VECTOR, 2), 0xffff);
	vd_set(d, R_QUEUE_VECTOR, QUEUES, 2);
	assert_int_equal(vd_get(d, R_QUEUE_VECTOR, 2), QUEUES);
	vd_set(d, R_MSIX_CONFIG, QUEUES + 1, 2);
	assert_int_equal(vd_get(d, R_MSIX_CONFIG, 2), 0xffff);
}

static void assert_needs_reset(struct vd *d)
{
	assert_true(vd_get(d, R_STATUS, 1) & S_NEEDS_RESET);
	assert_false(virtio_of(d->dev)->running);
	assert_true(test_host_logged(&d->th, "needs a reset"));
	vd_set(d, R_STATUS, S_DRIVER_OK, 1);
	assert_false(virtio_of(d->dev)->running);
	vd_up(d, want_all, QUEUES);
	assert_echo(d, ECHO);
}

static void queues_in_bad_places(void **state)
{
	static const struct {
		unsigned reg;
		u64 val;
	} bad[] = {
		{R_QUEUE_DESC, 0},
		{R_QUEUE_DESC, ~0ull - 15},
		{R_QUEUE_DESC, VD_RAM + 8},
		{R_QUEUE_DRIVER, VD_RAM + VD_RAM_SIZE - 4},
		{R_QUEUE_DEVICE, VD_RAM - 8},
		{R_QUEUE_SIZE, 7},
	};
	struct vd *d = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		unsigned before = d->msi[0];

		vd_negotiate(d, want_all);
		vd_set(d, R_MSIX_CONFIG, 0, 2);
		vd_setup_queue(d, 0);
		vd_set(d, R_QUEUE_SELECT, 1, 2);
		vd_set(d, R_QUEUE_DESC, VD_RAM, 8);
		vd_set(d, R_QUEUE_DRIVER, VD_RAM, 8);
		vd_set(d, R_QUEUE_DEVICE, VD_RAM, 8);
		vd_set(d, bad[i].reg, bad[i].val, 8);
		vd_set(d, R_QUEUE_ENABLE, 1, 2);
		vd_set(d, R_STATUS, S_DRIVER_OK, 1);
		assert_int_equal(d->msi[0], before + 1);
		assert_needs_reset(d);
	}
}

/*
 * Nothing but guest RAM is ever at the end of a descriptor, so a device can't be made to write to
 * a device, itself included: such a chain breaks it, and that is all.
 */
static void dma_to_a_device(void **state)
{
	struct vd *d = *state;
	struct spy *s = spy_of(d);
	u64 own = vd_bar(d, 4);
	const struct vd_buf bufs[] = {{VD_DATA, 4, false}, {own + 0x3000, 4, true}};
	const struct vd_buf reads[] = {{own + 0x1000, 4, false}, {VD_DATA, 4, true}};

	/* It is there, for a CPU. */
	assert_int_equal(space_read(&d->space, gpa(own + R_NUM_QUEUES), 2), QUEUES);
	for (unsigned i = 0; i < 2; i++) {
		unsigned notified, before = d->msi[0];

		vd_up(d, want_all, QUEUES);
		notified = s->notifies[ECHO];
		vd_add(d, ECHO, i ? reads : bufs, 2);
		vd_kick(d, ECHO);
		assert_int_equal(s->notifies[ECHO], notified + 1);
		assert_int_equal(d->msi[0], before + 1);
		/* Broken means: no queue does anything. */
		vd_kick(d, ECHO);
		vd_kick(d, 2);
		assert_int_equal(s->notifies[ECHO], notified + 1);
		assert_needs_reset(d);
	}
}

static void complaints_are_few(void **state)
{
	const struct vd_buf bad = {0, 4, false};
	struct vd *d = *state;
	unsigned lines = 0;

	for (unsigned i = 0; i < 100; i++) {
		vd_up(d, want_all, QUEUES);
		vd_add(d, ECHO, &bad, 1);
		vd_kick(d, ECHO);
	}
	for (const char *at = d->th.log; (at = strstr(at, "needs a reset")); at++)
		lines++;
	assert_int_equal(lines, 10);
}

/* ---- configuration is frozen ---- */

struct prng {
	u64 s;
};

static u64 rnd(struct prng *p, u64 below)
{
	p->s ^= p->s << 13;
	p->s ^= p->s >> 7;
	p->s ^= p->s << 17;
	return (p->s * 0x2545f4914f6cdd1dull >> 11) % below;
}

static u64 first_seed(void)
{
	const char *text = getenv("ALCAZAR_SEED");
	u64 seed = text ? strtoull(text, NULL, 0) : (u64)time(NULL);

	print_message("ALCAZAR_SEED=%llu\n", (unsigned long long)seed);
	return seed * 0x9e3779b97f4a7c15ull | 1;
}

/* Anywhere in the common configuration but where a reset is. */
static void random_write(struct vd *d, struct prng *p)
{
	unsigned size = 1u << rnd(p, 4), off = (unsigned)rnd(p, 64);
	u64 val = rnd(p, 3) ? rnd(p, 4) : p->s;
	bool status = off <= R_STATUS && off + size > R_STATUS;
	bool reset = off < R_QUEUE_RESET + 2 && off + size > R_QUEUE_RESET;

	if (rnd(p, 4) == 0)
		vd_set(d, R_QUEUE_SELECT, rnd(p, QUEUES + 1), 2);
	if (!status && !reset)
		vd_set(d, off, val, size);
}

static void frozen_by_driver_ok(void **state)
{
	struct prng p = {first_seed()};
	struct vd *d = *state;
	struct virtio_regs before, *now = &((struct state *)d->dev->state)->virtio;

	for (unsigned round = 0; round < 200; round++) {
		vd_up(d, want_all & ~VIRTIO_F_EVENT_IDX, 2); /* queue 2 is not enabled */
		before = *now;
		for (unsigned i = 0; i < 200; i++)
			random_write(d, &p);
		assert_memory_equal(now->queue_enable, before.queue_enable,
				    sizeof(before.queue_enable));
		assert_memory_equal(now->queue_size, before.queue_size, sizeof(before.queue_size));
		assert_memory_equal(now->queue_desc, before.queue_desc, sizeof(before.queue_desc));
		assert_memory_equal(now->queue_driver, before.queue_driver,
				    sizeof(before.queue_driver));
		assert_memory_equal(now->queue_device, before.queue_device,
				    sizeof(before.queue_device));
		assert_true(now->driver_features == before.driver_features);
		assert_int_equal(virtq_size(virtio_of(d->dev)->queues[ECHO]), VD_SIZE);
		assert_false(virtq_started(virtio_of(d->dev)->queues[2]));
		assert_echo(d, ECHO);
	}
}

static void frozen_by_queue_enable(void **state)
{
	struct prng p = {first_seed()};
	struct vd *d = *state;
	struct virtio_regs before, *now = &((struct state *)d->dev->state)->virtio;

	for (unsigned round = 0; round < 200; round++) {
		vd_negotiate(d, want_all);
		vd_setup_queue(d, ECHO);
		before = *now;
		for (unsigned i = 0; i < 200; i++)
			random_write(d, &p);
		assert_int_equal(now->queue_enable[ECHO], 1);
		assert_int_equal(now->queue_size[ECHO], before.queue_size[ECHO]);
		assert_true(now->queue_desc[ECHO] == before.queue_desc[ECHO]);
		assert_true(now->queue_driver[ECHO] == before.queue_driver[ECHO]);
		assert_true(now->queue_device[ECHO] == before.queue_device[ECHO]);
	}
}

static void queue_reset(void **state)
{
	struct vd *d = *state;
	struct spy *s = spy_of(d);

	vd_up(d, want_all & ~VIRTIO_F_RING_RESET, QUEUES);
	vd_set(d, R_QUEUE_SELECT, ECHO, 2);
	vd_set(d, R_QUEUE_RESET, 1, 2); /* not agreed on */
	assert_int_equal(s->queue_stops, 0);
	assert_echo(d, ECHO);
	vd_up(d, want_all, QUEUES);
	assert_echo(d, ECHO);
	vd_set(d, R_QUEUE_SELECT, ECHO, 2);
	vd_set(d, R_QUEUE_RESET, 1, 2);
	assert_int_equal(s->queue_stops, 1);
	assert_int_equal(vd_get(d, R_QUEUE_RESET, 2), 0);
	assert_int_equal(vd_get(d, R_QUEUE_ENABLE, 2), 0);
	vd_kick(d, ECHO);
	assert_echo(d, 2); /* the others go on */
	vd_setup_queue(d, ECHO);
	assert_echo(d, ECHO);
	/* Now it is as frozen as before. */
	vd_set(d, R_QUEUE_SELECT, ECHO, 2);
	vd_set(d, R_QUEUE_DESC, 0, 8);
	vd_set(d, R_QUEUE_ENABLE, 0, 2);
	assert_echo(d, ECHO);
	/* A bad place breaks the device then, too. */
	vd_set(d, R_QUEUE_RESET, 1, 2);
	vd_set(d, R_QUEUE_ENABLE, 1, 2);
	assert_needs_reset(d);
}

/* ---- notifications ---- */

static void every_notification(void **state)
{
	struct vd *d = *state;
	struct spy *s = spy_of(d);

	for (unsigned up = 0; up < 2; up++) {
		unsigned before[QUEUES];

		if (up)
			vd_up(d, want_all, 2);
		memcpy(before, s->notifies, sizeof(before));
		for (unsigned size = 1; size <= 8; size *= 2)
			for (unsigned off = 0; off < 0x110; off++)
				for (unsigned val = 0; val < 4; val++)
					dev_write(d->dev, VD_NOTIFY, off, val, size);
		for (unsigned i = 0; i < QUEUES; i++)
			assert_int_equal(s->notifies[i] != before[i], up && i < 2);
		memcpy(before, s->notifies, sizeof(before));
		for (unsigned n = 0; n < 0x10000; n++)
			dev_write(d->dev, VD_NOTIFY, 4, n | n << 16, n & 1 ? 2 : 4);
		assert_int_equal(s->notifies[HELD], before[HELD] + (up ? 0x10000 : 0));
		assert_int_equal(s->notifies[ECHO], before[ECHO]);
	}
}

/* ---- interrupts ---- */

static void isr_and_intx(void **state)
{
	struct vd *d = *state;

	d->no_msix = true;
	vd_up(d, want_all & ~VIRTIO_F_EVENT_IDX, QUEUES);
	assert_false(d->intx);
	assert_echo(d, ECHO);
	assert_true(d->intx);
	virtio_config_changed(virtio_of(d->dev));
	assert_int_equal(dev_read(d->dev, VD_ISR, 0, 1), 3);
	assert_false(d->intx);
	assert_int_equal(dev_read(d->dev, VD_ISR, 0, 4), 0);
	assert_echo(d, ECHO);
	assert_int_equal(dev_read(d->dev, VD_ISR, 1, 1), 0); /* reads beside it don't acknowledge */
	assert_true(d->intx);
	vd_set(d, R_STATUS, 0, 1);
	assert_false(d->intx);
	assert_int_equal(d->msi[ECHO + 1], 0);
}

static void vectors(void **state)
{
	struct vd *d = *state;

	vd_up(d, want_all & ~VIRTIO_F_EVENT_IDX, QUEUES);
	vd_set(d, R_QUEUE_SELECT, ECHO, 2);
	vd_set(d, R_QUEUE_VECTOR, 0xffff, 2); /* may be turned off at any time */
	assert_echo(d, ECHO);
	assert_int_equal(d->msi[ECHO + 1], 0);
	vd_set(d, R_QUEUE_VECTOR, 3, 2);
	assert_echo(d, ECHO);
	assert_int_equal(d->msi[3], 1);
	assert_int_equal(dev_read(d->dev, VD_ISR, 0, 1), 0);
	virtio_config_changed(virtio_of(d->dev));
	assert_int_equal(d->msi[0], 1);
	vd_set(d, R_MSIX_CONFIG, 0xffff, 2);
	virtio_config_changed(virtio_of(d->dev));
	assert_int_equal(d->msi[0], 1);
}

static void without_bus_master(void **state)
{
	const struct vd_buf bufs[] = {{VD_DATA, 4, false}, {VD_DATA + 4, 4, true}};
	struct vd *d = *state;
	u32 len;
	u16 id;

	vd_up(d, want_all, QUEUES);
	vd_bus_master(d, false);
	vd_add(d, ECHO, bufs, 2);
	vd_kick(d, ECHO);
	assert_false(vd_used(d, ECHO, &id, &len));
	vd_bus_master(d, true);
	vd_kick(d, ECHO);
	assert_int_equal(vd_done(d, ECHO), 4);
}

/* ---- the type's configuration ---- */

static void configuration(void **state)
{
	struct vd *d = *state;
	struct spy *s = spy_of(d);
	u8 generation = (u8)vd_get(d, R_CONFIG_GENERATION, 1);

	assert_int_equal(dev_read(d->dev, VD_DEVICE, 0, 4), 0xa3a2a1a0);
	assert_int_equal(dev_read(d->dev, VD_DEVICE, 1, 2), 0xa2a1);
	assert_int_equal(dev_read(d->dev, VD_DEVICE, 8, 4), 0xa9a8); /* zeroes beyond */
	assert_int_equal(dev_read(d->dev, VD_DEVICE, 12, 4), 0);
	dev_write(d->dev, VD_DEVICE, 8, 0x44332211, 4);
	assert_int_equal(s->written_off, 8);
	assert_int_equal(s->written_len, 2);
	assert_int_equal(dev_read(d->dev, VD_DEVICE, 8, 4), 0x2211);
	s->written_len = 0;
	dev_write(d->dev, VD_DEVICE, 12, 1, 4);
	dev_write(d->dev, VD_DEVICE, 252, ~0ull, 8);
	assert_int_equal(s->written_len, 0);
	virtio_config_changed(virtio_of(d->dev));
	assert_int_equal(vd_get(d, R_CONFIG_GENERATION, 1), (u8)(generation + 1));
	assert_int_equal(d->msi[0], 0); /* not before DRIVER_OK */
}

/* ---- the window in configuration space (4.1.4.9) ---- */

/* The capability of type 5, where it lies now. */
static unsigned find_window(struct vd *d)
{
	unsigned at = pci_config_read(d->dev->pci, 0x34, 1);

	while (at && !(pci_config_read(d->dev->pci, at, 1) == 9 &&
		       pci_config_read(d->dev->pci, at + 3, 1) == 5))
		at = pci_config_read(d->dev->pci, at + 1, 1);
	assert_int_not_equal(at, 0);
	return at;
}

static void aim(struct vd *d, u8 bar, u32 off, u32 len)
{
	unsigned cap = find_window(d);

	pci_config_write(d->dev->pci, cap + 4, bar, 1);
	pci_config_write(d->dev->pci, cap + 8, off, 4);
	pci_config_write(d->dev->pci, cap + 12, len, 4);
}

static u32 peek(struct vd *d, unsigned size)
{
	return pci_config_read(d->dev->pci, find_window(d) + 16, size);
}

static void poke(struct vd *d, u32 val, unsigned size)
{
	pci_config_write(d->dev->pci, find_window(d) + 16, val, size);
}

static void access_window(void **state)
{
	static const struct {
		u8 bar;
		u32 off, len;
	} nowhere[] = {{1, 0x2000, 4}, {4, 0x2000, 3}, {4, 0x2000, 0},     {4, 0x2002, 4},
		       {4, 0x4000, 4}, {4, 0x800, 4},  {4, 0xfffffffc, 4}, {0xff, 0x2000, 4}};
	struct vd *d = *state;

	aim(d, 4, R_NUM_QUEUES, 2);
	assert_int_equal(peek(d, 2), QUEUES);
	aim(d, 4, R_STATUS, 1);
	poke(d, S_ACK, 1);
	assert_int_equal(vd_get(d, R_STATUS, 1), S_ACK);
	aim(d, 4, 0x2000, 4);
	assert_int_equal(peek(d, 4), 0xa3a2a1a0);
	for (size_t i = 0; i < ARRAY_LEN(nowhere); i++) {
		aim(d, nowhere[i].bar, nowhere[i].off, nowhere[i].len);
		poke(d, 0x55555555, 4);
		assert_int_equal(peek(d, 4), 0x55555555);
	}
	assert_int_equal(vd_get(d, R_STATUS, 1), S_ACK);
	for (u32 off = 0; off < 0x4000; off += 1 + (off & 0xff) / 0x80 * 13)
		for (u32 len = 1; len <= 4; len++) {
			aim(d, 4, off, len);
			(void)peek(d, 4);
			poke(d, ~0u, 4);
		}
	vd_up(d, want_all, QUEUES);
	assert_echo(d, ECHO);
}

/* ---- reset, save and load ---- */

static void work_that_outlives_a_reset(void **state)
{
	const struct vd_buf buf = {VD_DATA, 4, true};
	struct vd *d = *state;

	for (unsigned how = 0; how < 4; how++) {
		vd_up(d, want_all, QUEUES);
		st32(vd_mem(d, VD_DATA), 0);
		vd_add(d, HELD, &buf, 1);
		vd_kick(d, HELD);
		assert_true(spy_of(d)->holding);
		switch (how) {
		case 0:
			vd_set(d, R_STATUS, 0, 1);
			break;
		case 1:
			dev_reset(d->dev, ALC_RESET_WARM);
			break;
		case 2:
			vd_set(d, R_QUEUE_SELECT, HELD, 2);
			vd_set(d, R_QUEUE_RESET, 1, 2);
			break;
		default:
			virtio_break(virtio_of(d->dev), "the test wants it");
			break;
		}
		/* The type was told, but for a break, after which its driver must reset it. */
		assert_int_equal(spy_of(d)->holding, how == 3);
		let_go(d);
		assert_int_equal(ld32(vd_mem(d, VD_DATA)), 0);
	}
	vd_up(d, want_all, QUEUES);
	vd_add(d, HELD, &buf, 1);
	vd_kick(d, HELD);
	let_go(d);
	assert_int_equal(vd_done(d, HELD), 4);
	assert_int_equal(ld32(vd_mem(d, VD_DATA)), 0x77777777);
}

static void reset_is_as_new(void **state)
{
	struct vd *d = *state;
	struct state as_new = *(struct state *)d->dev->state;
	struct state *now = d->dev->state;

	vd_up(d, want_all, QUEUES);
	assert_echo(d, ECHO);
	assert_non_null(fields_differ(fields, &as_new, now));
	dev_reset(d->dev, ALC_RESET_COLD);
	assert_null(fields_differ(fields, &as_new, now));
}

static void a_loaded_device_goes_on(void **state)
{
	const struct vd_buf buf = {VD_DATA, 4, true};
	struct vd *d = *state;
	struct alc_err err = {0};
	size_t len = dev_save_size(d->dev);
	u8 *saved = malloc(len);

	assert_non_null(saved);
	for (unsigned i = 0; i < 40; i++) {
		if (!i)
			vd_up(d, want_all, QUEUES);
		assert_echo(d, ECHO);
		vd_add(d, HELD, &buf, 1);
		vd_kick(d, HELD);
		dev_save(d->dev, saved);
		dev_destroy(d->dev);
		vd_create(d, &spy_class, NULL, 0);
		if (i % 2)
			dev_reset(d->dev, ALC_RESET_WARM);
		if (dev_load(d->dev, saved, len, &err))
			fail_msg("%s", err.text);
		assert_int_equal(spy_of(d)->starts, 1);
		assert_echo(d, ECHO);
		assert_true(spy_of(d)->holding); /* it came again, in the notify after the load */
		let_go(d);
		assert_int_equal(vd_done(d, HELD), 4);
		assert_int_equal(((struct state *)d->dev->state)->echoed, 2 * i + 2);
	}
	free(saved);
}

static void set_field(u8 *saved, size_t len, const char *name, unsigned element, u64 val)
{
	size_t at = 32; /* behind the header */

	for (const struct alc_field *f = fields; f->name; f++) {
		if (strcmp(f->name, name) == 0) {
			st_size(saved + at + element * f->size, val, f->size);
			return;
		}
		at += (size_t)f->size * f->count;
	}
	fail_msg("no field '%s'", name);
}

static void hostile_snapshots_are_refused(void **state)
{
	static const struct {
		const char *field;
		unsigned element;
		u64 val;
	} bad[] = {
		{"status", 0, 0x1f},
		{"status", 0, S_DRIVER_OK | S_ACK},
		{"isr", 0, 4},
		{"driver_features", 0, 0},
		{"driver_features", 0, ~0ull},
		{"driver_features", 0, VIRTIO_F_VERSION_1 | BAD_FEATURE},
		{"msix_config", 0, QUEUES + 1},
		{"queue_vector", 0, QUEUES + 1},
		{"queue_enable", 0, 2},
		{"queue_enable", QUEUES, 1},
		{"queue_was_reset", 0, 0xff},
		{"queue_was_reset", 32, 1},
		{"queue_size", 0, 0},
		{"queue_size", 0, 512},
		{"queue_size", 0, 5},
		{"queue_size", QUEUES, 1},
		{"queue_desc", 1, 0},
		{"queue_desc", 1, ~0ull << 4},
		{"queue_driver", 1, VD_RAM + 1},
		{"queue_device", 1, VD_RAM + VD_RAM_SIZE - 16},
		{"queue_state", 0, 100},
		{"queue_state", 1, 100},
		{"queue_state", 2, 1},
		{"queue_state", 6, 1},
		{"mood", 0, 10},
	};
	struct vd *d = *state;
	size_t len = dev_save_size(d->dev);
	u8 *saved = malloc(len);

	assert_non_null(saved);
	vd_up(d, want_all, QUEUES);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct alc_err err = {0};

		dev_save(d->dev, saved);
		set_field(saved, len, bad[i].field, bad[i].element, bad[i].val);
		if (dev_load(d->dev, saved, len, &err) != -EINVAL)
			fail_msg("%s[%u] = 0x%llx is loaded", bad[i].field, bad[i].element,
				 (unsigned long long)bad[i].val);
		assert_true(err.text[0]);
		assert_echo(d, ECHO);
	}
	free(saved);
}

/* Garbled snapshots, then use: whatever is let in must be something that can be. */
static void garbled_snapshots(void **state)
{
	struct prng p = {first_seed()};
	struct vd *d = *state;
	size_t len = dev_save_size(d->dev);
	u8 *saved = malloc(len);
	unsigned taken = 0;

	assert_non_null(saved);
	for (unsigned i = 0; i < 3000; i++) {
		vd_up(d, want_all, QUEUES);
		dev_save(d->dev, saved);
		for (u64 n = 1 + rnd(&p, 3); n--;)
			saved[32 + rnd(&p, len - 32)] ^= (u8)(1 << rnd(&p, 8));
		taken += dev_load(d->dev, saved, len, NULL) == 0;
		for (unsigned k = 0; k < 20; k++)
			random_write(d, &p);
		for (unsigned q = 0; q < QUEUES; q++)
			vd_kick(d, q);
	}
	assert_true(taken);
	d->stray_msis = 0; /* a table of vectors is the guest's to fill */
	free(saved);
}

/* Every register at every size and offset, in every state that comes of it. */
static void random_accesses(void **state)
{
	struct prng p = {first_seed()};
	struct vd *d = *state;

	for (unsigned i = 0; i < 200000; i++) {
		unsigned region = (unsigned)rnd(&p, 4), size = 1u << rnd(&p, 4);
		u64 off = rnd(&p, 0x108), val = rnd(&p, 2) ? rnd(&p, 16) : p.s;

		if (i % 1000 == 0 && rnd(&p, 2))
			vd_up(d, want_all, QUEUES);
		if (rnd(&p, 4) == 0)
			(void)dev_read(d->dev, region, off, size);
		else if (region == VD_COMMON && off < 60)
			random_write(d, &p);
		else
			dev_write(d->dev, region, off, val, size);
		if (rnd(&p, 100) == 0)
			vd_set(d, R_STATUS, rnd(&p, 256), 1);
		if (rnd(&p, 100) == 0)
			vd_set(d, R_QUEUE_RESET, 1, 2);
	}
	vd_up(d, want_all, QUEUES);
	assert_echo(d, ECHO);
}

/* ---- creation ---- */

static void creation_may_fail(void **state)
{
	struct vd *d = *state;
	size_t before;

	dev_destroy(d->dev);
	d->dev = NULL;
	before = test_host_leaks(&d->th);
	for (unsigned n = 1;; n++) {
		struct alc_err err = {0};
		int r;

		d->th.failed = false;
		d->th.fail_nth = d->th.calls + n;
		r = dev_create(&spy_class, "dut", &d->env, NULL, 0, &d->dev, &err);
		if (!d->th.failed) {
			assert_int_equal(r, 0);
			assert_true(n > 5);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(err.code, -ENOMEM);
		assert_int_equal(test_host_leaks(&d->th), before);
	}
	d->th.fail_nth = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(identity),
		TEST(options_offer_features),
		TEST(features_are_negotiated),
		TEST(status_only_grows),
		TEST(queues_echo),
		TEST(queues_that_are_not_there),
		TEST(bad_values_are_ignored),
		TEST(queues_in_bad_places),
		TEST(dma_to_a_device),
		TEST(complaints_are_few),
		TEST(frozen_by_driver_ok),
		TEST(frozen_by_queue_enable),
		TEST(queue_reset),
		TEST(every_notification),
		TEST(isr_and_intx),
		TEST(vectors),
		TEST(without_bus_master),
		TEST(configuration),
		TEST(access_window),
		TEST(work_that_outlives_a_reset),
		TEST(reset_is_as_new),
		TEST(a_loaded_device_goes_on),
		TEST(hostile_snapshots_are_refused),
		TEST(garbled_snapshots),
		TEST(random_accesses),
		TEST(creation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
