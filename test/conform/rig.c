/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "block/simple.h"
#include "bus/pc.h"
#include "catalog/catalog.h"
#include "host/test/test_host.h"
#include "rig.h"

/* ---- the clock ---- */

u64 clock_now_ns(struct alc_clock *c)
{
	return c->now_ns;
}

u64 clock_cpu_ns(struct alc_clock *c)
{
	return c->now_ns;
}

bool clock_is_virtual(const struct alc_clock *c)
{
	return false;
}

u64 clock_wall_ns(struct alc_clock *c)
{
	return c->wall_base_ns + c->now_ns;
}

void clock_timer_init(struct alc_timer *t, void (*fire)(void *arg), void *arg)
{
	*t = (struct alc_timer){.fire = fire, .arg = arg};
}

int clock_timer_set(struct alc_clock *c, struct alc_timer *t, u64 deadline_ns)
{
	t->deadline_ns = deadline_ns;
	if (!t->heap_pos) {
		assert_true(c->count < RIG_TIMERS_MAX);
		c->timers[c->count++] = t;
		t->heap_pos = c->count;
	}
	return 0;
}

void clock_timer_cancel(struct alc_clock *c, struct alc_timer *t)
{
	if (!t->heap_pos)
		return;
	c->timers[t->heap_pos - 1] = c->timers[--c->count];
	c->timers[t->heap_pos - 1]->heap_pos = t->heap_pos;
	t->heap_pos = 0;
}

static struct alc_timer *earliest(const struct alc_clock *c)
{
	struct alc_timer *best = NULL;

	for (size_t i = 0; i < c->count; i++)
		if (!best || c->timers[i]->deadline_ns < best->deadline_ns)
			best = c->timers[i];
	return best;
}

u64 rig_next_deadline(const struct rig *r)
{
	const struct alc_timer *t = earliest(&r->clock);

	return t ? t->deadline_ns : 0;
}

void rig_skip(struct rig *r, u64 ns)
{
	r->clock.now_ns += ns;
}

void rig_advance(struct rig *r, u64 ns)
{
	struct alc_clock *c = &r->clock;
	u64 until = c->now_ns + ns;
	struct alc_timer *t;

	for (unsigned fires = 0; fires < 2 * RIG_FIRES_MAX; fires++) {
		t = earliest(c);
		if (!t || t->deadline_ns > until)
			break;
		if (fires > RIG_FIRES_MAX)
			c->now_ns = until;
		else if (t->deadline_ns > c->now_ns)
			c->now_ns = t->deadline_ns;
		clock_timer_cancel(c, t);
		t->fire(t->arg);
	}
	c->now_ns = until;
}

/* ---- events ---- */

void rig_note(struct rig *r, enum event_kind kind, u64 a, u64 b)
{
	const u64 words[] = {kind, a, b};

	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		r->log_hash = (r->log_hash ^ words[i]) * 0x9e3779b97f4a7c15ull ^ r->log_hash >> 29;
	if (r->log_count < RIG_EVENTS_MAX)
		r->log[r->log_count] = (struct event){kind, a, b};
	r->log_count++;
}

void rig_clear(struct rig *r)
{
	r->log_count = r->log_hash = 0;
}

static size_t kept(const struct rig *r)
{
	return min_u64(r->log_count, RIG_EVENTS_MAX);
}

unsigned rig_count(const struct rig *r, enum event_kind kind)
{
	unsigned n = 0;

	for (size_t i = 0; i < kept(r); i++)
		n += r->log[i].kind == kind;
	return n;
}

const struct event *rig_last(const struct rig *r, enum event_kind kind)
{
	for (size_t i = kept(r); i-- > 0;)
		if (r->log[i].kind == kind)
			return &r->log[i];
	return NULL;
}

/* Lines are levels: driving one to where it is already is no event. */
static void on_irq(void *ctx, unsigned line, bool level)
{
	struct rig *r = ctx;

	assert_true(line < ARRAY_LEN(r->irq));
	if (r->irq[line] != level)
		rig_note(r, EVENT_IRQ, line, level);
	r->irq[line] = level;
}

static void on_gsi(void *ctx, unsigned line, bool level)
{
	struct rig *r = ctx;

	assert_true(line < 32);
	if ((r->gsi >> line & 1) != level)
		rig_note(r, EVENT_GSI, line, level);
	r->gsi = (u32)((r->gsi & ~BIT(line)) | (u64)level << line);
}

static void on_msi(void *ctx, struct alc_msi msg)
{
	rig_note(ctx, EVENT_MSI, msg.address, msg.data);
}

static void on_request(void *ctx, enum alc_request what, unsigned value)
{
	rig_note(ctx, EVENT_REQUEST, what, value);
}

static void on_write(void *ctx, const u8 *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		rig_note(ctx, EVENT_CHAR, bytes[i], 0);
}

static void on_resume(void *ctx)
{
	rig_note(ctx, EVENT_RESUME, 0, 0);
}

static void on_attach(void *ctx, const struct alc_char_front *front)
{
	struct rig *r = ctx;

	r->front = front;
}

static const struct alc_char_ops char_ops = {
	.name = "rig", .write = on_write, .resume = on_resume, .attach = on_attach};

/* ---- the bench ---- */

/* INTx comes out as global system interrupts 16 to 23. */
static void on_pirq(void *ctx, unsigned pirq, bool level)
{
	on_gsi(ctx, PC_GSI_PIRQ_A + pirq, level);
}

static void make_pci(struct rig *r, const struct alc_host *host)
{
	struct pci_root_params p = {
		.host = host,
		.mem32_base = PC_ECAM_BASE,
		.mem32_end = PC_PCI_MEM_END,
		.mem64_base = PC_ABOVE_4G,
		.mem64_end = PC_ABOVE_4G << 4,
		.io_base = PC_PCI_IO_BASE,
		.ecam_base = PC_ECAM_BASE,
		.msi = {.deliver = on_msi, .ctx = r},
	};

	for (unsigned i = 0; i < PC_PIRQS; i++)
		p.pirq[i] = (struct alc_irq){on_pirq, r, i};
	if (pci_root_create(&p, &r->space.devices, &r->ports, &r->pci, NULL))
		fail_msg("no memory for the rig's root complex");
}

/* ---- back ends: a small disk, and a cable that leads nowhere ---- */

static bool nowhere_send(struct net_link *l, const struct net_frame *f)
{
	return true;
}

static void nowhere_attach(struct net_link *l, const struct net_front *front)
{
}

static void nowhere_close(struct net_link *l)
{
}

static const struct net_ops nowhere = {
	.name = "nowhere",
	.send = nowhere_send,
	.attach = nowhere_attach,
	.close = nowhere_close,
};

/* The bench itself is not what is made to fail. */
static void make_surroundings(struct rig *r, const struct alc_host *host)
{
	struct test_host *th = (struct test_host *)(uintptr_t)host;
	unsigned fail_nth = th->fail_nth, calls = th->calls;

	th->fail_nth = 0;
	make_pci(r, host);
	if (block_ram_create(host, RIG_DISK_SIZE, NULL, &r->block, NULL))
		fail_msg("no memory for the rig's disk");
	r->net = (struct net_link){.ops = &nowhere, .mtu = 1500};
	th->fail_nth = fail_nth;
	th->calls = calls;
}

void rig_init(struct rig *r, const struct alc_host *host, u64 now_ns)
{
	memset(r, 0, sizeof(*r));
	r->clock.now_ns = now_ns;
	r->clock.wall_base_ns = 1700000000123456789ull;
	region_map_init(&r->ports, host);
	r->space.host = host;
	region_map_init(&r->space.devices, host);
	make_surroundings(r, host);
	r->env = (struct alc_dev_env){
		.host = host,
		.pci = r->pci,
		.block = r->block,
		.net = &r->net,
		.clock = &r->clock,
		.space = &r->space,
		.ports = &r->ports,
		.gsi = {.set = on_gsi, .ctx = r},
		.msi = {.deliver = on_msi, .ctx = r},
		.chardev = {.ops = &char_ops, .ctx = r},
		.request = on_request,
		.request_ctx = r,
	};
	for (unsigned i = 0; i < ARRAY_LEN(r->env.irqs); i++)
		r->env.irqs[i] = (struct alc_irq){.set = on_irq, .ctx = r, .line = i};
}

void rig_create(struct rig *r, const char *class_name)
{
	struct alc_err err = {0};
	int rc = dev_create(dev_class_find(class_name), class_name, &r->env, NULL, 0, &r->dev,
			    &err);

	if (rc)
		fail_msg("%s: %s", class_name, err.text);
	rig_clear(r);
}

void rig_fini(struct rig *r)
{
	dev_destroy(r->dev);
	pci_root_destroy(r->pci);
	block_close(r->block);
	assert_int_equal(r->clock.count, 0);
	region_map_fini(&r->ports);
	region_map_fini(&r->space.devices);
}

u64 rig_in(struct rig *r, u16 port, unsigned size)
{
	return region_read(&r->ports, port, size);
}

void rig_out(struct rig *r, u16 port, u64 val, unsigned size)
{
	region_write(&r->ports, port, val, size);
}

size_t rig_type(struct rig *r, const char *text)
{
	size_t len = strlen(text), room = r->front->room(r->front->ctx);

	len = len < room ? len : room;
	if (len)
		r->front->input(r->front->ctx, (const u8 *)text, len);
	return len;
}

void rig_patch(const struct rig *r, u8 *snapshot, const char *field, unsigned element, u64 val)
{
	const struct alc_dev_class *cls = r->dev->cls;
	size_t at = dev_save_size(r->dev) - fields_size(cls->state, cls->version);

	if (r->dev->pci)
		at -= fields_size(pci_function_fields, 1);
	for (const struct alc_field *f = cls->state; f->name; f++) {
		if (strcmp(f->name, field) == 0) {
			assert_true(element < f->count);
			st_size(snapshot + at + element * f->size, val, f->size);
			return;
		}
		at += (size_t)f->size * f->count;
	}
	fail_msg("%s has no field '%s'", cls->name, field);
}
