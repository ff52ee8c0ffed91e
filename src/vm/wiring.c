/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which devices a machine has, and where their outputs go: an ISA line n is input n of the PIC
 * pair and pin n of the I/O APIC, except that the timer's line 0 is pin 2 there (what the MADT's
 * interrupt override says). The PIC's own output is the boot processor's LINT0. PCI's interrupts
 * go through the LPC bridge.
 */
#include "catalog/catalog.h"
#include "base/errno.h"
#include "base/fmt.h"
#include "base/str.h"
#include "device/irq/i8259.h"
#include "device/irq/ioapic.h"
#include "device/platform/ich9_lpc.h"
#include "device/video/vga.h"
#include "isa/lapic.h"
#include "vm/machine.h"

/* ISA lines of a class's interrupt outputs. */
static const struct line {
	const char *class_name;
	u8 line;
} lines[] = {
	{"acpi-pm", PC_IRQ_SCI}, {"i8042", PC_IRQ_KBD},      {"i8254", PC_IRQ_PIT},
	{"rtc", PC_IRQ_RTC},     {"uart16550", PC_IRQ_COM1},
};

/* PCI slots that firmware and drivers know parts of the platform by. */
static const struct slot {
	const char *class_name;
	struct alc_dev_opt addr;
} slots[] = {
	{"host-bridge", {"addr", "0"}},
	{"lpc-bridge", {"addr", "1f"}},
};

enum { IOAPIC_TIMER_PIN = 2, ID_MAX = 48, PCI_MEM64_ALIGN = 1 << 30 };

static bool controllers_inside(const struct machine *m)
{
	return m->irqchip && m->irqchip->has_ioapic;
}

static void set_isa_line(void *ctx, unsigned line, bool level)
{
	struct machine *m = ctx;
	struct alc_irq pic, pin;

	if (controllers_inside(m)) {
		m->irqchip->set_gsi(m->engine_vm, line, level);
		return;
	}
	pic = i8259_input(m->pic, line);
	pin = ioapic_input(m->ioapic, line == PC_IRQ_PIT ? IOAPIC_TIMER_PIN : line);
	irq_set(&pic, level);
	irq_set(&pin, level);
}

/* Global system interrupts: the ISA lines, then the I/O APIC's further pins. */
static void set_gsi(void *ctx, unsigned gsi, bool level)
{
	struct machine *m = ctx;
	struct alc_irq pin;

	if (gsi < PC_ISA_IRQS || controllers_inside(m)) {
		set_isa_line(ctx, gsi, level);
		return;
	}
	pin = ioapic_input(m->ioapic, gsi);
	irq_set(&pin, level);
}

static void set_pirq(void *ctx, unsigned pirq, bool level)
{
	struct machine *m = ctx;

	if (m->lpc)
		ich9_lpc_set_pirq(m->lpc, pirq, level);
}

static void set_intr(void *ctx, unsigned line, bool level)
{
	struct machine *m = ctx;

	if (m->irqchip)
		m->irqchip->set_intr(m->engine_vm, level);
	else
		lapic_set_extint(m->vcpus[0]->lapic, level);
}

static void deliver_msi(void *ctx, struct alc_msi msg)
{
	struct machine *m = ctx;

	if (m->irqchip)
		m->irqchip->deliver_msi(m->engine_vm, msg);
	else
		lapic_deliver_msi(&m->plat, msg);
}

static void route_pin(void *ctx, unsigned pin, struct alc_msi msg)
{
	struct machine *m = ctx;

	if (m->irqchip)
		m->irqchip->route_pin(m->engine_vm, pin, msg);
}

static int ack_pic(void *ctx)
{
	struct machine *m = ctx;

	return i8259_ack(m->pic);
}

static void end_interrupt(void *ctx, u8 vector)
{
	struct machine *m = ctx;

	ioapic_eoi(m->ioapic, vector);
}

static struct alc_dev_env environment(struct machine *m, const char *class_name)
{
	struct alc_dev_env env = {
		.host = m->host,
		.clock = m->clock,
		.entropy = m->virtual.on ? &m->entropy : NULL,
		.space = &m->space,
		.ports = &m->ports,
		.msi = {.deliver = deliver_msi, .route_pin = route_pin, .ctx = m},
		.gsi = {.set = set_gsi, .ctx = m},
		.fastpath = shortcuts(m),
		.pci = m->pci,
		.cpus = m->desc->cpus,
		.request = machine_request,
		.request_ctx = m,
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (str_eq(lines[i].class_name, class_name))
			env.irqs[0] = (struct alc_irq){set_isa_line, m, lines[i].line};
	return env;
}

static int add(struct machine *m, const struct alc_dev_class *cls, const char *id,
	       const struct alc_dev_env *env, const struct alc_dev_opt *opts, size_t nopts,
	       struct alc_err *err)
{
	int r;

	if (m->ndevices == MACHINE_DEVICES_MAX)
		return alc_fail(err, -ENOSPC, "a machine has room for %u devices",
				(unsigned)MACHINE_DEVICES_MAX);
	r = dev_create(cls, id, env, opts, nopts, &m->devices[m->ndevices], err);
	if (!r)
		m->ndevices++;
	return r;
}

/* The interrupt controllers come first: others drive their lines as soon as they are made. */
static int add_controllers(struct machine *m, struct alc_err *err)
{
	struct alc_dev_env env = environment(m, "i8259");
	int r;

	if (controllers_inside(m))
		return 0;
	env.irqs[0] = (struct alc_irq){set_intr, m, 0};
	r = add(m, dev_class_find("i8259"), "i8259", &env, NULL, 0, err);
	if (r)
		return r;
	m->pic = m->devices[m->ndevices - 1];
	env = environment(m, "ioapic");
	r = add(m, dev_class_find("ioapic"), "ioapic", &env, NULL, 0, err);
	if (r)
		return r;
	m->ioapic = m->devices[m->ndevices - 1];
	m->plat.pic_ack = ack_pic;
	m->plat.pic_ctx = m;
	m->plat.eoi = end_interrupt;
	m->plat.eoi_ctx = m;
	return 0;
}

static int add_serial(struct machine *m, struct alc_err *err)
{
	static const struct alc_dev_opt com2[] = {{"port", "0x2f8"}};
	const struct alc_dev_opt com1[] = {{"handshake", m->parts.firmware.bytes ? "off" : "on"}};
	const struct alc_dev_class *cls = dev_class_find("uart16550");
	struct alc_dev_env env = environment(m, "uart16550");
	int r;

	_Static_assert(PC_PORT_COM2 == 0x2f8, "as com2 says");
	env.chardev = m->parts.com1;
	r = add(m, cls, "com1", &env, com1, ARRAY_LEN(com1), err);
	if (r || !m->parts.has_com2)
		return r;
	env.chardev = m->parts.com2;
	env.irqs[0].line = PC_IRQ_COM2;
	return add(m, cls, "com2", &env, com2, ARRAY_LEN(com2), err);
}

static bool made_specially(const char *class_name)
{
	return str_eq(class_name, "i8259") || str_eq(class_name, "ioapic") ||
	       str_eq(class_name, "uart16550") || str_eq(class_name, "lpc-bridge");
}

static const struct alc_dev_opt *slot_of(const char *class_name)
{
	for (size_t i = 0; i < ARRAY_LEN(slots); i++)
		if (str_eq(slots[i].class_name, class_name))
			return &slots[i].addr;
	return NULL;
}

/* A platform device: where it is on PCI, and what it has to know about the machine. */
static int add_platform_device(struct machine *m, const struct alc_dev_class *cls,
			       struct alc_err *err)
{
	struct alc_dev_env env = environment(m, cls->name);
	const struct alc_dev_opt *addr = slot_of(cls->name);
	struct told t;
	int r;

	firmware_options(m, cls->name, &t);
	if (addr)
		t.opts[t.n++] = *addr;
	r = add(m, cls, cls->name, &env, t.opts, t.n, err);
	if (r || !str_eq(cls->name, "fw-cfg"))
		return r;
	m->fw_cfg = m->devices[m->ndevices - 1];
	return m->parts.firmware.bytes ? firmware_describe(m, err) : 0;
}

/* The windows: all that no RAM takes, up to the I/O APIC, and from the end of RAM above 4 GiB. */
static int add_pci(struct machine *m, struct alc_err *err)
{
	u64 low = min_u64(m->desc->memory_bytes, PC_LOW_RAM_MAX), high = PC_ABOVE_4G;
	struct pci_root_params p = {
		.host = m->host,
		.mem32_base = low,
		.mem32_end = PC_PCI_MEM_END,
		.mem64_end = MACHINE_PCI_MEM64_END,
		.io_base = PC_PCI_IO_BASE,
		.ecam_base = PC_ECAM_BASE,
		.msi = {.deliver = deliver_msi, .ctx = m},
	};
	int r;

	if (m->desc->memory_bytes > low)
		high += m->desc->memory_bytes - low;
	p.mem64_base = m->pci_mem64_base = align_up(high, PCI_MEM64_ALIGN);
	for (unsigned i = 0; i < PC_PIRQS; i++)
		p.pirq[i] = (struct alc_irq){set_pirq, m, i};
	r = pci_root_create(&p, &m->space.devices, &m->ports, &m->pci, err);
	if (!r)
		r = add_platform_device(m, dev_class_find("lpc-bridge"), err);
	if (!r)
		m->lpc = m->devices[m->ndevices - 1];
	return r;
}

static struct alc_dev *find_device(struct machine *m, const char *id)
{
	for (unsigned i = 0; i < m->ndevices; i++)
		if (str_eq(m->devices[i]->id, id))
			return m->devices[i];
	return NULL;
}

static int add_platform(struct machine *m, struct alc_err *err)
{
	int r = add_controllers(m, err);

	if (!r)
		r = add_pci(m, err);
	for (size_t i = 0; !r && alc_dev_classes[i]; i++) {
		const struct alc_dev_class *cls = alc_dev_classes[i];

		if (cls->platform && !made_specially(cls->name))
			r = add_platform_device(m, cls, err);
	}
	if (!r)
		m->pm = find_device(m, "acpi-pm");
	return r ? r : add_serial(m, err);
}

static int unknown_device(const char *name, struct alc_err *err)
{
	const char *near = NULL;
	size_t best = SIZE_MAX;

	for (size_t i = 0; alc_dev_classes[i]; i++)
		if (!alc_dev_classes[i]->platform &&
		    str_nearer(name, alc_dev_classes[i]->name, &best))
			near = alc_dev_classes[i]->name;
	if (near)
		return alc_fail(err, -EINVAL, "there is no device '%s' (did you mean %s?)", name,
				near);
	return alc_fail(err, -EINVAL, "there is no device '%s': see `alcazar devices`", name);
}

static int add_described(struct machine *m, const struct alc_device_desc *d, unsigned number,
			 struct alc_err *err)
{
	const struct alc_dev_class *cls = dev_class_find(d->class_name);
	struct alc_dev_env env;
	char id[ID_MAX];

	if (!cls)
		return unknown_device(d->class_name, err);
	if (cls->platform)
		return alc_fail(err, -EINVAL, "every machine has the device '%s' already",
				d->class_name);
	env = environment(m, cls->name);
	if (m->parts.streams)
		env.chardev = m->parts.streams[number];
	fmt_text(id, sizeof(id), "%s.%u", cls->name, number);
	return add(m, cls, id, &env, (const struct alc_dev_opt *)d->opts, d->nopts, err);
}

/* Where somebody looks at the screen there is one, described or not. */
static int add_screen(struct machine *m, struct alc_err *err)
{
	static const char name[] = "vga";
	struct alc_dev_env env;

	for (size_t i = 0; i < m->desc->ndevices; i++)
		if (str_eq(m->desc->devices[i].class_name, name))
			return 0;
	if (!machine_has_vga(m->desc))
		return 0;
	env = environment(m, name);
	return add(m, dev_class_find(name), name, &env, NULL, 0, err);
}

struct display_source machine_display(const struct machine *m)
{
	for (unsigned i = 0; i < m->ndevices; i++)
		if (str_eq(m->devices[i]->cls->name, "vga"))
			return vga_display(m->devices[i]);
	return (struct display_source){0};
}

static int add_card(struct machine *m, const struct machine_card *c, struct alc_err *err)
{
	const struct alc_dev_class *cls = dev_class_find(c->class_name);
	enum alc_backend has = c->block ? ALC_BACKEND_BLOCK : ALC_BACKEND_NET;
	struct alc_dev_env env;

	if (!cls)
		return unknown_device(c->class_name, err);
	if (cls->backend != has)
		return alc_fail(err, -EINVAL, "the device '%s' is no %s", cls->name,
				c->block ? "disk" : "network card");
	env = environment(m, cls->name);
	env.block = c->block;
	env.net = c->net;
	if (c->block)
		block_attach(c->block, m->clock);
	return add(m, cls, c->id, &env, (const struct alc_dev_opt *)c->opts, c->nopts, err);
}

_Static_assert(sizeof(struct alc_dev_opt) == sizeof(struct alc_device_opt) &&
		       offsetof(struct alc_dev_opt, value) ==
			       offsetof(struct alc_device_opt, value),
	       "the public options are passed on as they are");

/* Cards come after the other devices, which may be root ports that they are behind. */
int machine_add_devices(struct machine *m, struct alc_err *err)
{
	int r = add_platform(m, err);

	if (!r)
		r = add_screen(m, err);

	for (size_t i = 0; !r && i < m->desc->ndevices; i++)
		r = add_described(m, &m->desc->devices[i], (unsigned)i, err);
	for (size_t i = 0; !r && i < m->parts.ncards; i++)
		r = add_card(m, &m->parts.cards[i], err);
	return r;
}
