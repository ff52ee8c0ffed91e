/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "catalog/catalog.h"
#include "base/errno.h"
#include "device/irq/i8259.h"
#include "device/irq/ioapic.h"
#include "device/platform/acpi_pm.h"
#include "host/test/sweep.h"
#include "rig.h"

/*
 * What every device class must do, whatever it is. Accesses are random but aimed: at registers,
 * with sizes the class declares and values that mean something, since uniform ones never get
 * past the first register. What is compared is behaviour (two devices get the same accesses, and
 * must give the same answers, levels, characters and requests), since two snapshots agree even
 * where both forgot the same field. Field tables are compared on top.
 *
 * ALCAZAR_SEED=n repeats a run.
 */
enum { ROUNDS = 200, USE_OPS = 400, PROBE_OPS = 800, GARBLED_LOADS = 300, GARBLED_OPS = 60 };

static u64 first_seed = 0x5eed;
static u64 rng;

static u64 rnd(u64 below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng * 0x2545f4914f6cdd1dull >> 11) % below;
}

/* ---- operations ---- */

enum op_kind {
	OP_READ,
	OP_WRITE,
	OP_TIME,
	OP_INPUT,
	OP_SETUP,
	OP_RESET,
	OP_CONFIG_READ,
	OP_CONFIG_WRITE
};

struct op {
	enum op_kind kind;
	unsigned region, size;
	u64 off, val;
};

/* What reaches a device otherwise than by its registers. */
struct inputs {
	const char *class_name;
	void (*drive)(struct rig *r, u64 val);
};

static void drive_pic(struct rig *r, u64 val)
{
	struct alc_irq line = i8259_input(r->dev, val >> 8 & 15);

	if (val % 4 == 0)
		rig_note(r, EVENT_ACK, (u64)i8259_ack(r->dev), 0);
	else
		irq_set(&line, val & 1);
}

static void drive_ioapic(struct rig *r, u64 val)
{
	struct alc_irq pin = ioapic_input(r->dev, (val >> 8) % 24);

	if (val % 4 == 0)
		ioapic_eoi(r->dev, (u8)(val >> 8));
	else
		irq_set(&pin, val & 1);
}

static void drive_uart(struct rig *r, u64 val)
{
	const char text[] = {(char)(val >> 8 | 1), 'x', 'y', 0};

	rig_note(r, EVENT_ACK, rig_type(r, text + (val & 1)), 0);
}

static void drive_pm(struct rig *r, u64 val)
{
	acpi_pm_power_button(r->dev);
}

static const struct inputs inputs[] = {
	{"i8259", drive_pic},
	{"ioapic", drive_ioapic},
	{"uart16550", drive_uart},
	{"acpi-pm", drive_pm},
};

static const struct inputs *find_inputs(const struct alc_dev_class *cls)
{
	for (size_t i = 0; i < ARRAY_LEN(inputs); i++)
		if (strcmp(inputs[i].class_name, cls->name) == 0)
			return &inputs[i];
	return NULL;
}

/* Bytes that mean something special to a class, and that chance would seldom find. */
static const struct {
	const char *class_name;
	u8 words[16];
} hints[] = {
	{"i8042",
	 {0xfe, 0xed, 0xf0, 0xf3, 0xf2, 0xf5, 0xff, 0x20, 0x60, 0xd1, 0xd2, 0xd0, 0xad, 0xae}},
	{"i8254",
	 {0x30, 0x34, 0x36, 0x38, 0xb0, 0xb2, 0xb6, 0xb4, 0xba, 0xe2, 0xe8, 0x70, 0x80, 0x31}},
	{"i8259",
	 {0x11, 0x13, 0x0c, 0x0a, 0x0b, 0x68, 0x48, 0x80, 0x20, 0x60, 0xa0, 0xe0, 0x01, 0x03}},
	{"rtc", {0, 2, 4, 7, 8, 9, 10, 11, 12, 0x32, 0x26, 0x70, 0x42, 0x82, 0x22, 0x12}},
	{"uart16550",
	 {0xc1, 0x41, 0x03, 0x07, 0x0b, 0x0f, 0x13, 0x1f, 0x83, 0x80, 0x01, 0x02, 0x05}},
};

static u64 aim_word(const struct alc_dev_class *cls)
{
	for (size_t i = 0; i < ARRAY_LEN(hints); i++)
		if (strcmp(hints[i].class_name, cls->name) == 0)
			return hints[i].words[rnd(16)];
	return rnd(64);
}

/* Writes as drivers make them (a class's rows side by side), without which much of a device never
 * comes to life. */
static const struct {
	const char *class_name;
	size_t count;
	struct {
		u8 region, off, val;
	} writes[8];
} setups[] = {
	{"i8254",
	 7,
	 {{0, 3, 0x34}, {0, 0, 0x50}, {0, 0, 0}, {0, 3, 0xb6}, {0, 2, 0x91}, {0, 2, 0}, {1, 0, 1}}},
	{"i8259",
	 8,
	 {{0, 0, 0x11},
	  {0, 1, 0x30},
	  {0, 1, 4},
	  {0, 1, 1},
	  {1, 0, 0x11},
	  {1, 1, 0x38},
	  {1, 1, 2},
	  {1, 1, 1}}},
	{"uart16550", 4, {{0, 3, 3}, {0, 2, 0xc1}, {0, 4, 0x0b}, {0, 1, 1}}},
	{"uart16550", 6, {{0, 3, 3}, {0, 2, 0}, {0, 4, 0x1b}, {0, 1, 5}, {0, 0, 1}, {0, 0, 2}}},
};

/* One of the class's, as `which` has it. */
static void set_up(struct rig *r, u64 which)
{
	unsigned first = 0, n = 0, at;

	for (unsigned i = 0; i < ARRAY_LEN(setups); i++)
		if (strcmp(setups[i].class_name, r->dev->cls->name) == 0 && n++ == 0)
			first = i;
	if (!n)
		return;
	at = first + (unsigned)(which % n);
	for (size_t k = 0; k < setups[at].count; k++)
		dev_write(r->dev, setups[at].writes[k].region, setups[at].writes[k].off,
			  setups[at].writes[k].val, 1);
}

static unsigned count_regions(const struct alc_dev_class *cls)
{
	unsigned n = 0;

	while (cls->regions && cls->regions[n].name)
		n++;
	return n;
}

/* Values that registers care about: nothing, everything, one bit, an index, a command, noise. */
static u64 aim_value(const struct alc_dev_class *cls)
{
	switch (rnd(12)) {
	case 0:
		return 0;
	case 1:
		return ~0ull;
	case 2:
		return BIT(rnd(32));
	case 3:
	case 4:
		return rnd(64);
	case 5:
		return 0x0101010101010101ull * rnd(256);
	case 6:
		return rnd(256);
	case 7:
		return rng;
	default:
		return aim_word(cls);
	}
}

/* In large regions registers are few, low and aligned, and the rest is looked at too. */
static u64 aim_offset(const struct alc_dev_region *r)
{
	if (r->size <= 32 || rnd(4) == 0)
		return rnd(r->size);
	return rnd(min_u64(r->size, 0x40) / r->access_min) * r->access_min;
}

static unsigned aim_size(const struct alc_dev_region *r)
{
	static const u8 odd[] = {1, 2, 4, 8};

	if (rnd(8) == 0)
		return odd[rnd(4)];
	return rnd(2) ? r->access_min : r->access_max;
}

/* From a nanosecond to an hour, the small ones mostly. */
static u64 aim_time(void)
{
	static const u64 scales[] = {
		1, 1000, 30000, 1000000, 20000000, 1000000000, 3600000000000,
	};
	u64 scale = scales[min_u64(rnd(7), rnd(7))];

	return 1 + rnd(scale);
}

/* Configuration space: header and capabilities mostly. */
static struct op next_config_op(const struct alc_dev_class *cls)
{
	return (struct op){
		.kind = rnd(2) ? OP_CONFIG_READ : OP_CONFIG_WRITE,
		.size = 1u << rnd(3),
		.off = rnd(8) ? rnd(0xc0) : rnd(0x1008),
		.val = aim_value(cls),
	};
}

static struct op next_op(const struct alc_dev_class *cls)
{
	unsigned regions = count_regions(cls), dice = (unsigned)rnd(100);
	unsigned region = regions ? (unsigned)rnd(regions) : 0;
	const struct alc_dev_region *r = regions ? &cls->regions[region] : NULL;
	struct op op = {.region = region};

	if (cls->pci && (!regions || rnd(4) == 0))
		return next_config_op(cls);
	op.size = aim_size(r);
	op.off = aim_offset(r);
	op.val = aim_value(cls);
	if (dice < 38) {
		op.kind = OP_READ;
	} else if (dice < 80) {
		op.kind = OP_WRITE;
	} else if (dice < 90) {
		op.kind = OP_TIME;
		op.val = aim_time();
	} else {
		op.kind = dice == 99 ? OP_RESET : dice == 98 ? OP_SETUP : OP_INPUT;
		op.val = rng;
	}
	return op;
}

static void apply(struct rig *r, const struct op *op)
{
	const struct inputs *in = find_inputs(r->dev->cls);

	switch (op->kind) {
	case OP_READ:
		rig_note(r, EVENT_READ, dev_read(r->dev, op->region, op->off, op->size), 0);
		break;
	case OP_WRITE:
		dev_write(r->dev, op->region, op->off, op->val, op->size);
		break;
	case OP_CONFIG_READ:
		rig_note(r, EVENT_READ, pci_config_read(r->dev->pci, (unsigned)op->off, op->size),
			 0);
		break;
	case OP_CONFIG_WRITE:
		pci_config_write(r->dev->pci, (unsigned)op->off, (u32)op->val, op->size);
		break;
	case OP_TIME:
		rig_advance(r, op->val);
		break;
	case OP_INPUT:
		if (in)
			in->drive(r, op->val);
		break;
	case OP_SETUP:
		set_up(r, op->val >> 8);
		break;
	case OP_RESET:
		dev_reset(r->dev, ALC_RESET_WARM);
		break;
	}
}

static void use(struct rig *r, unsigned ops)
{
	while (ops--) {
		struct op op = next_op(r->dev->cls);

		apply(r, &op);
	}
}

/* ---- comparison ---- */

static void assert_same_lines(const struct rig *a, const struct rig *b, const char *when)
{
	if (memcmp(a->irq, b->irq, sizeof(a->irq)) != 0 || a->gsi != b->gsi)
		fail_msg("%s: interrupt lines differ %s", a->dev->cls->name, when);
}

static void report(const struct rig *a, const struct rig *b, const struct op *op, unsigned step)
{
	static const char *const kinds[] = {"read",   "write", "time",        "input",
					    "set-up", "reset", "config read", "config write"};
	const char *name = a->dev->cls->name;

	print_error("%s: step %u: %s region %u off 0x%llx size %u val 0x%llx\n", name, step,
		    kinds[op->kind], op->region, (unsigned long long)op->off, op->size,
		    (unsigned long long)op->val);
	for (size_t i = 0; i < RIG_EVENTS_MAX && (i < a->log_count || i < b->log_count); i++) {
		const struct event *x = &a->log[i], *y = &b->log[i];

		print_error("  event %zu: %d 0x%llx 0x%llx / %d 0x%llx 0x%llx\n", i, x->kind,
			    (unsigned long long)x->a, (unsigned long long)x->b, y->kind,
			    (unsigned long long)y->a, (unsigned long long)y->b);
	}
	fail_msg("%s: two devices that should be the same answer differently", name);
}

/* Both get the same operations and must do the same. */
static void lockstep(struct rig *a, struct rig *b, unsigned ops)
{
	for (unsigned step = 0; step < ops; step++) {
		struct op op = next_op(a->dev->cls);

		rig_clear(a);
		rig_clear(b);
		apply(a, &op);
		apply(b, &op);
		if (a->log_count != b->log_count || a->log_hash != b->log_hash)
			report(a, b, &op, step);
	}
}

static void assert_same_fields(const struct rig *a, const struct rig *b, const char *when)
{
	const struct alc_dev_class *cls = a->dev->cls;
	const struct alc_field *f;

	if (!cls->state)
		return;
	f = fields_differ(cls->state, a->dev->state, b->dev->state);
	if (f)
		fail_msg("%s: field '%s' differs %s", cls->name, f->name, when);
}

static u8 *snapshot(struct rig *r, size_t *len)
{
	u8 *bytes;

	*len = dev_save_size(r->dev);
	bytes = malloc(*len);
	assert_non_null(bytes);
	dev_save(r->dev, bytes);
	return bytes;
}

/* ---- the tests, each over every class ---- */

struct bench {
	struct test_host th;
	struct rig a, b;
};

static void bench_open(struct bench *t, const struct alc_dev_class *cls)
{
	test_host_init(&t->th, TEST_TIME_MANUAL);
	rig_init(&t->a, &t->th.host, rnd(2) ? 0 : rnd(1000000000000ull));
	rig_create(&t->a, cls->name);
}

static void bench_twin(struct bench *t)
{
	rig_init(&t->b, &t->th.host, t->a.clock.now_ns);
	rig_create(&t->b, t->a.dev->cls->name);
}

static void bench_close(struct bench *t, bool twin)
{
	if (twin)
		rig_fini(&t->b);
	rig_fini(&t->a);
	assert_int_equal(test_host_leaks(&t->th), 0);
	test_host_fini(&t->th);
}

static void for_every_class(void (*check)(const struct alc_dev_class *cls), unsigned rounds)
{
	for (size_t i = 0; alc_dev_classes[i]; i++) {
		for (unsigned round = 0; round < rounds; round++) {
			rng = (first_seed + round + 1) * 0x9e3779b97f4a7c15ull | 1;
			check(alc_dev_classes[i]);
		}
	}
}

static void check_reset(const struct alc_dev_class *cls)
{
	struct bench t;

	bench_open(&t, cls);
	use(&t.a, USE_OPS);
	dev_reset(t.a.dev, ALC_RESET_COLD);
	bench_twin(&t);
	assert_same_fields(&t.a, &t.b, "after a cold reset");
	assert_same_lines(&t.a, &t.b, "after a cold reset");
	lockstep(&t.a, &t.b, PROBE_OPS);
	bench_close(&t, true);
}

static void test_cold_reset_is_new(void **state)
{
	for_every_class(check_reset, ROUNDS);
}

static void check_restore(const struct alc_dev_class *cls)
{
	struct alc_err err = {0};
	struct bench t;
	size_t len;
	u8 *saved;

	bench_open(&t, cls);
	use(&t.a, 1 + (unsigned)rnd(USE_OPS));
	bench_twin(&t);
	if (rnd(2))
		use(&t.b, 20); /* a load replaces whatever there was */
	t.b.clock.now_ns = t.a.clock.now_ns;
	saved = snapshot(&t.a, &len);
	if (dev_load(t.b.dev, saved, len, &err))
		fail_msg("%s: own snapshot is refused: %s", cls->name, err.text);
	assert_same_lines(&t.a, &t.b, "after a load");
	lockstep(&t.a, &t.b, PROBE_OPS);
	assert_same_fields(&t.a, &t.b, "some time after a load");
	free(saved);
	bench_close(&t, true);
}

static void test_restored_copy_answers_the_same(void **state)
{
	for_every_class(check_restore, ROUNDS);
}

/* A refusal has a sentence and leaves no trace. */
static void assert_refused(struct rig *r, const u8 *bytes, size_t len)
{
	struct alc_err err = {0};
	size_t before_len, after_len;
	u8 *before = snapshot(r, &before_len), *after;

	rig_clear(r);
	assert_int_equal(dev_load(r->dev, bytes, len, &err), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_true(err.text[0] != '\0');
	assert_int_equal(r->log_count, 0);
	after = snapshot(r, &after_len);
	assert_int_equal(before_len, after_len);
	assert_memory_equal(before, after, after_len);
	free(before);
	free(after);
}

static void check_truncated(const struct alc_dev_class *cls)
{
	struct bench t;
	size_t len;
	u8 *saved;

	bench_open(&t, cls);
	saved = snapshot(&t.a, &len);
	use(&t.a, 100);
	for (size_t cut = 0; cut < len; cut += 1 + cut / 8) {
		u8 *exact = malloc(cut + 1); /* so that a sanitizer sees a read past the end */

		assert_non_null(exact);
		memcpy(exact, saved, cut);
		assert_refused(&t.a, exact, cut);
		free(exact);
	}
	saved = realloc(saved, len + 1);
	assert_non_null(saved);
	saved[len] = 0;
	assert_refused(&t.a, saved, len + 1);
	for (unsigned i = 0; i < 32; i++) { /* the header */
		saved[i] ^= 0x40;
		assert_refused(&t.a, saved, len);
		saved[i] ^= 0x40;
	}
	free(saved);
	bench_close(&t, false);
}

static void test_truncated_snapshots_are_refused(void **state)
{
	for_every_class(check_truncated, 2);
}

/* Damage to the fields: one bit, one byte, or all of them. */
static void garble(u8 *bytes, size_t len)
{
	u64 kind = rnd(16);

	if (kind == 0)
		for (size_t i = 0; i < len; i++)
			bytes[i] = (u8)rnd(256);
	else if (kind == 1)
		memset(bytes, 0xff, len);
	else if (kind < 9)
		bytes[rnd(len)] = (u8)(rnd(2) ? 0xff : rnd(256));
	else
		bytes[rnd(len)] ^= (u8)BIT(rnd(8));
}

/* What a garbled snapshot leaves, if it is taken, is safe, and saves and restores as any other. */
static void check_garbled(const struct alc_dev_class *cls)
{
	struct bench t;
	size_t len, body;
	u8 *saved, *bad;

	if (!cls->state)
		return;
	bench_open(&t, cls);
	bench_twin(&t);
	body = fields_size(cls->state, cls->version);
	for (unsigned i = 0; i < GARBLED_LOADS; i++) {
		struct alc_err err = {0};

		use(&t.a, 5);
		bad = snapshot(&t.a, &len);
		garble(bad + len - body, min_u64(body, 4096));
		t.b.clock.now_ns = t.a.clock.now_ns;
		if (dev_load(t.a.dev, bad, len, &err)) {
			assert_refused(&t.a, bad, len);
		} else {
			saved = snapshot(&t.a, &len);
			assert_int_equal(dev_load(t.b.dev, saved, len, NULL), 0);
			assert_same_lines(&t.a, &t.b, "after a garbled load");
			lockstep(&t.a, &t.b, GARBLED_OPS);
			free(saved);
		}
		free(bad);
	}
	bench_close(&t, true);
}

static void test_garbled_snapshots_are_safe(void **state)
{
	for_every_class(check_garbled, 3);
}

/* Values that no device can hold, and that would lead past the end of something if taken. */
static const struct {
	const char *class_name, *field;
	unsigned element;
	u64 val;
} impossible[] = {
	{"acpi-pm", "status", 0, 0x8000},
	{"acpi-pm", "control", 0, 0x2000},
	{"fw-cfg", "offset", 0, 5},
	{"fw-cfg", "key", 0, 0x4000},
	{"i8042", "queued", 0, 17},
	{"i8042", "queue", 0, 1},
	{"i8042", "awaiting", 0, 0x80},
	{"i8042", "scan_set", 0, 0},
	{"i8254", "ch[0].mode", 0, 6},
	{"i8254", "ch[2].counting", 0, 1},
	{"i8254", "ch[1].reload", 0, 0x10001},
	{"i8254", "ch[0].start", 0, ~0ull},
	{"i8259", "chip[0].lowest", 0, 8},
	{"i8259", "chip[1].init", 0, 5},
	{"i8259", "intr", 0, 1},
	{"ioapic", "id", 0, 16},
	{"ioapic", "rte", 23, 0x4000},
	{"ioapic", "lines", 0, 0x1000000},
	{"pc-reset", "control", 0, 1},
	{"pc-testdev", "lines", 0, 0x1000000},
	{"rtc", "index", 0, 128},
	{"rtc", "phase_ns", 0, 1000000000},
	{"rtc", "offset_s", 0, 1ull << 62},
	{"uart16550", "rx_len", 0, 17},
	{"uart16550", "rx", 15, 1},
	{"uart16550", "mcr", 0, 0x80},
	{"vga", "seq_index", 0, 8},
	{"vga", "gc_index", 0, 16},
	{"vga", "crtc_index", 0, 64},
	{"vga", "dac_part", 0, 3},
	{"vga", "dispi", 4, 1}, /* enabled, with a picture of no size */
};

static void test_impossible_states_are_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(impossible); i++) {
		struct bench t;
		size_t len;
		u8 *bytes;

		rng = first_seed | 1;
		bench_open(&t, dev_class_find(impossible[i].class_name));
		bytes = snapshot(&t.a, &len);
		rig_patch(&t.a, bytes, impossible[i].field, impossible[i].element,
			  impossible[i].val);
		assert_refused(&t.a, bytes, len);
		free(bytes);
		bench_close(&t, false);
	}
}

/* One access near an edge, directly and as a CPU makes it; beyond the region there is nothing. */
static void poke_edge(struct rig *r, unsigned region, i64 off, unsigned size)
{
	const struct alc_dev_region *reg = &r->dev->cls->regions[region];
	const struct region_map *map = reg->kind == ALC_REGION_PORT ? &r->ports : &r->space.devices;
	u64 addr = reg->base + (u64)off, val;

	if ((size & (size - 1)) == 0) {
		region_read(map, addr, size);
		region_write(map, addr, aim_value(r->dev->cls), size);
	}
	if (off < 0)
		return;
	dev_write(r->dev, region, (u64)off, aim_value(r->dev->cls), size);
	val = dev_read(r->dev, region, (u64)off, size);
	for (unsigned i = 0; i < size; i++)
		if ((u64)off + i >= reg->size)
			assert_int_equal(val >> i * 8 & 0xff, 0xff);
	assert_int_equal(val & ~mask_low(size * 8), 0);
}

static void check_edges(const struct alc_dev_class *cls)
{
	struct bench t;

	bench_open(&t, cls);
	for (unsigned region = 0; region < count_regions(cls); region++) {
		for (i64 near = -8; near <= 8; near++) {
			for (unsigned size = 1; size <= 8; size++) {
				poke_edge(&t.a, region, near, size);
				poke_edge(&t.a, region, (i64)cls->regions[region].size + near,
					  size);
			}
		}
	}
	bench_close(&t, false);
}

static void test_accesses_around_edges(void **state)
{
	for_every_class(check_edges, 3);
}

/* Tables that say what they should. */
static void check_tables(const struct alc_dev_class *cls)
{
	assert_true(cls->name && cls->summary && cls->reset && strlen(cls->name) < 24);
	assert_ptr_equal(dev_class_find(cls->name), cls);
	for (unsigned i = 0; i < count_regions(cls); i++) {
		const struct alc_dev_region *r = &cls->regions[i];

		assert_true(r->access_min >= 1 && r->access_min <= r->access_max);
		assert_true(r->access_max <= 8);
		assert_int_equal(r->access_min & (r->access_min - 1), 0);
		assert_int_equal(r->access_max & (r->access_max - 1), 0);
		assert_true(r->size % r->access_min == 0);
		assert_true(cls->read && cls->write);
	}
	for (const struct alc_field *f = cls->state; f && f->name; f++) {
		assert_true((size_t)f->offset + (size_t)f->size * f->count <= cls->state_size);
		for (const struct alc_field *g = cls->state; g < f; g++)
			assert_string_not_equal(f->name, g->name);
	}
	assert_true(!cls->props == !cls->options);
}

static void test_tables(void **state)
{
	for_every_class(check_tables, 1);
	for (size_t i = 1; alc_dev_classes[i]; i++)
		assert_true(strcmp(alc_dev_classes[i - 1]->name, alc_dev_classes[i]->name) < 0);
}

static int sweep_run(const struct alc_host *host, void *arg, struct alc_err *err)
{
	const struct alc_dev_class *cls = arg;
	struct rig r;
	int rc;

	rig_init(&r, host, 1000);
	rc = dev_create(cls, "swept", &r.env, NULL, 0, &r.dev, err);
	if (rc) {
		assert_int_equal(r.ports.count, RIG_PCI_WINDOWS);
		assert_int_equal(r.space.devices.count, RIG_PCI_WINDOWS);
		assert_null(r.dev);
	}
	rig_fini(&r);
	return rc;
}

/* Every allocation of a creation fails in turn; state, and so a snapshot, survives a failed load.
 */
static void test_allocation_sweep(void **state)
{
	for (size_t i = 0; alc_dev_classes[i]; i++) {
		union {
			const struct alc_dev_class *cls;
			void *arg;
		} u = {.cls = alc_dev_classes[i]};
		struct sweep s = {.run = sweep_run, .arg = u.arg, .has_err = true};

		assert_true(sweep(&s) >= 3);
	}
}

static void test_load_without_memory(void **state)
{
	for (size_t i = 0; alc_dev_classes[i]; i++) {
		struct alc_err err = {0};
		struct bench t;
		size_t len;
		u8 *saved;

		if (!alc_dev_classes[i]->state)
			continue;
		bench_open(&t, alc_dev_classes[i]);
		saved = snapshot(&t.a, &len);
		t.th.calls = 0;
		t.th.fail_nth = 1;
		assert_int_equal(dev_load(t.a.dev, saved, len, &err), -ENOMEM);
		assert_int_equal(err.code, -ENOMEM);
		free(saved);
		bench_close(&t, false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_cold_reset_is_new),
		cmocka_unit_test(test_restored_copy_answers_the_same),
		cmocka_unit_test(test_truncated_snapshots_are_refused),
		cmocka_unit_test(test_garbled_snapshots_are_safe),
		cmocka_unit_test(test_impossible_states_are_refused),
		cmocka_unit_test(test_accesses_around_edges),
		cmocka_unit_test(test_allocation_sweep),
		cmocka_unit_test(test_load_without_memory),
	};
	const char *seed = getenv("ALCAZAR_SEED");

	if (seed)
		first_seed = strtoull(seed, NULL, 0);
	print_message("ALCAZAR_SEED=%llu\n", (unsigned long long)first_seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
