/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "base/str.h"
#include "bus/pci_internal.h"

enum { DEVFNS = 256, EXP_DEVCTL = 8, EXP_INITIATE_FLR = 0x80 /* of its second byte */ };
enum { ROOT_BUS = 0, MSI_PENDING = 20 };

/* ---- the root complex ---- */

int pci_root_create(const struct pci_root_params *p, struct region_map *memory,
		    struct region_map *ports, struct pci_root **out, struct alc_err *err)
{
	struct pci_root *r = host_alloc(p->host, sizeof(*r));
	int rc;

	if (!r)
		return alc_fail(err, -ENOMEM, "no memory for a PCI root complex");
	r->p = *p;
	r->memory = memory;
	r->ports = ports;
	r->ecam = p->ecam_base;
	r->lock = p->host->mutex_create(p->host->ctx);
	rc = r->lock ? pci_windows_add(r, err)
		     : alc_fail(err, -ENOMEM, "no memory for a PCI root complex");
	if (rc) {
		pci_root_destroy(r);
		return rc;
	}
	*out = r;
	return 0;
}

void pci_root_destroy(struct pci_root *r)
{
	const struct alc_host *h;

	if (!r)
		return;
	h = r->p.host;
	pci_windows_remove(r);
	if (r->lock)
		h->mutex_destroy(h->ctx, r->lock);
	host_free(h, r, sizeof(*r));
}

void pci_set_ecam(struct pci_root *r, bool on, u64 base)
{
	atomic_store(&r->ecam, on ? base : ~0ull);
}

void pci_set_address(struct pci_root *r, u32 address)
{
	atomic_store(&r->address, address);
}

/* ---- functions ---- */

static struct pci_function *find_below(struct pci_root *r, const struct pci_function *parent,
				       unsigned devfn)
{
	for (unsigned i = 0; i < r->nfunctions; i++)
		if (r->functions[i]->parent == parent && r->functions[i]->devfn == devfn)
			return r->functions[i];
	return NULL;
}

/* Type 0 accesses reach the bus itself, type 1 the root port whose secondary bus it is. */
struct pci_function *pci_find(struct pci_root *r, unsigned bus, unsigned devfn)
{
	if (bus == ROOT_BUS)
		return find_below(r, NULL, devfn);
	for (unsigned i = 0; i < r->nfunctions; i++) {
		const struct pci_function *f = r->functions[i];

		if (f->desc->kind == PCI_ROOT_PORT && f->state.config[REG_BUS_SECONDARY] == bus)
			return find_below(r, f, devfn);
	}
	return NULL;
}

static int choose_devfn(struct pci_root *r, const struct pci_function *parent, int slot,
			const char *name, struct alc_err *err)
{
	const struct pci_function *other;

	/* A root port's link leads to one device, which is number 0. */
	for (unsigned devfn = 0; slot == PCI_SLOT_AUTO && devfn < (parent ? 8u : DEVFNS);
	     devfn += 8)
		if (!find_below(r, parent, devfn))
			return (int)devfn;
	if (slot == PCI_SLOT_AUTO)
		return alc_fail(err, -ENOSPC, "there is no PCI slot left for '%s'", name);
	if (slot < 0 || slot >= (parent ? 8 : DEVFNS))
		return alc_fail(err, -EINVAL, "'%s' can't be in PCI slot %x.%x", name,
				(unsigned)slot >> 3, (unsigned)slot & 7);
	other = find_below(r, parent, (unsigned)slot);
	if (other)
		return alc_fail(err, -EEXIST, "'%s' can't be in PCI slot %x.%x, where '%s' is",
				name, (unsigned)slot >> 3, (unsigned)slot & 7, other->name);
	return slot;
}

/* Function 0 must tell that its device has others (PCI 3.0, 6.2.1), and all may. */
static void mark_multifunction(struct pci_root *r, const struct pci_function *parent, u8 devfn)
{
	unsigned n = 0;

	for (unsigned fn = 0; fn < 8; fn++)
		n += find_below(r, parent, (devfn & ~7u) | fn) != NULL;
	for (unsigned fn = 0; fn < 8; fn++) {
		struct pci_function *f = find_below(r, parent, (devfn & ~7u) | fn);
		u8 *header = f ? &f->state.config[REG_HEADER] : NULL;

		if (!f)
			continue;
		f->multifunction = n > 1;
		*header = (u8)((*header & ~HEADER_MULTIFUNCTION) |
			       (n > 1 ? HEADER_MULTIFUNCTION : 0));
	}
}

static void join_root(struct pci_root *r, struct pci_function *f)
{
	pci_lock(r);
	pci_build(f);
	r->functions[r->nfunctions++] = f;
	mark_multifunction(r, f->parent, f->devfn);
	pci_unlock(r);
}

int pci_function_create(struct pci_root *root, struct pci_function *parent, int slot,
			const struct pci_desc *desc, const struct pci_ops *ops, void *ctx,
			const char *name, struct pci_function **out, struct alc_err *err)
{
	struct pci_function *f;
	int devfn = choose_devfn(root, parent, slot, name, err);

	if (devfn < 0)
		return devfn;
	if (root->nfunctions == FUNCTIONS_MAX)
		return alc_fail(err, -ENOSPC, "a machine has room for %u PCI functions",
				(unsigned)FUNCTIONS_MAX);
	if (parent && parent->desc->kind != PCI_ROOT_PORT)
		return alc_fail(err, -EINVAL, "'%s' can't be behind '%s', which is no root port",
				name, parent->name);
	f = host_alloc(root->p.host, sizeof(*f));
	if (!f)
		return alc_fail(err, -ENOMEM, "no memory for PCI function '%s'", name);
	*f = (struct pci_function){.root = root,
				   .parent = parent,
				   .devfn = (u8)devfn,
				   .name = name,
				   .desc = desc,
				   .ops = ops,
				   .ctx = ctx,
				   .pirq = -1};
	for (unsigned i = 0; i < PCI_BARS; i++)
		f->bar_at[i] = f->bar_told[i] = PCI_UNMAPPED;
	join_root(root, f);
	*out = f;
	return 0;
}

void pci_function_destroy(struct pci_function *f)
{
	struct pci_root *r;

	if (!f)
		return;
	r = f->root;
	pci_lock(r);
	f->state.intx = 0;
	pci_update_intx(f);
	for (unsigned i = 0, to = 0; i < r->nfunctions; i++)
		if (r->functions[i] != f)
			r->functions[to++] = r->functions[i];
	r->nfunctions--;
	mark_multifunction(r, f->parent, f->devfn);
	pci_remap(r);
	pci_unlock(r);
	host_free(r->p.host, f, sizeof(*f));
}

struct pci_function *pci_function_named(struct pci_root *r, const char *name)
{
	struct pci_function *f = NULL;

	pci_lock(r);
	for (unsigned i = 0; i < r->nfunctions && !f; i++)
		if (str_eq(r->functions[i]->name, name))
			f = r->functions[i];
	pci_unlock(r);
	return f;
}

void pci_function_reset(struct pci_function *f)
{
	pci_lock(f->root);
	pci_build(f);
	pci_remap(f->root);
	pci_update_intx(f);
	pci_unlock(f->root);
}

bool pci_bus_master(const struct pci_function *f)
{
	bool on = (config16(f, REG_COMMAND) & CMD_MASTER) && pci_awake(f);

	return on && (!f->parent || pci_bus_master(f->parent));
}

u8 *pci_config(struct pci_function *f)
{
	return f->state.config;
}

unsigned pci_cap_offset(const struct pci_function *f, unsigned index)
{
	return f->caps_at[index];
}

/* ---- INTx ---- */

/*
 * As on Q35, which firmware and tables agree on: devices 0-24 of bus 0 rotate over PIRQ E-H,
 * 25-31 take A-D; behind a bridge the pin is rotated by the device number first (PCI-to-PCI
 * Bridge 1.2, 9.1).
 */
unsigned pci_pirq(const struct pci_function *f)
{
	unsigned pin = 0;

	while (f->parent) {
		pin += f->devfn >> 3;
		f = f->parent;
	}
	if (f->devfn >> 3 > 24)
		return pin % INTX_PINS;
	return ((f->devfn >> 3) + pin) % INTX_PINS + INTX_PINS;
}

static void count_pirq(struct pci_root *r, unsigned pirq, bool up)
{
	bool was = r->pirq_count[pirq];

	if (up)
		r->pirq_count[pirq]++;
	else
		r->pirq_count[pirq]--;
	if (was != (r->pirq_count[pirq] != 0))
		irq_set(&r->p.pirq[pirq], !was);
}

void pci_update_intx(struct pci_function *f)
{
	u8 *status = &f->state.config[REG_STATUS];
	bool off = (config16(f, REG_COMMAND) & CMD_INTX_OFF) || pci_msi_on(f) || pci_msix_on(f) ||
		   !pci_awake(f);
	bool up = f->state.intx && !off;

	*status = (u8)((*status & ~STATUS_INTX) | (f->state.intx ? STATUS_INTX : 0));
	if (up == (f->pirq >= 0))
		return;
	if (up) {
		f->pirq = (int)pci_pirq(f);
		count_pirq(f->root, (unsigned)f->pirq, true);
	} else {
		unsigned pirq = (unsigned)f->pirq;

		f->pirq = -1;
		count_pirq(f->root, pirq, false);
	}
}

void pci_intx(struct pci_function *f, bool level)
{
	pci_lock(f->root);
	f->state.intx = level;
	pci_update_intx(f);
	pci_unlock(f->root);
}

/* ---- configuration accesses ---- */

/* Does the class itself want to hear of [off, off+len)? */
static bool is_own(const struct pci_function *f, unsigned off, unsigned len)
{
	return off + len > REG_OWN && (f->desc->ncaps || f->desc->kind == PCI_CHIPSET);
}

static unsigned clip(unsigned off, unsigned size)
{
	if (off >= PCI_CONFIG_SIZE)
		return 0;
	return size < PCI_CONFIG_SIZE - off ? size : PCI_CONFIG_SIZE - off;
}

u64 pci_config_read(struct pci_function *f, unsigned off, unsigned size)
{
	unsigned len = clip(off, size);
	u64 val = ~0ull;

	if (!len)
		return zext(val, size);
	if (f->ops->config_reading && is_own(f, off, len))
		f->ops->config_reading(f->ctx, off, len);
	pci_lock(f->root);
	__builtin_memcpy(&val, f->state.config + off, len);
	pci_unlock(f->root);
	return zext(val, size);
}

static void write_bytes(struct pci_function *f, unsigned off, u64 val, unsigned len)
{
	u8 power = pci_power(f);

	for (unsigned i = 0; i < len; i++, val >>= 8) {
		u8 *c = &f->state.config[off + i];
		u8 w = f->writable[off + i], clear = f->clearable[off + i] & (u8)val;

		*c = (u8)(((*c & ~w) | (val & w)) & ~clear);
	}
	pci_power_written(f, power);
}

/* Is the FLR bit among the bytes written? It is not stored. */
static bool asks_reset(const struct pci_function *f, unsigned off, u64 val, unsigned len)
{
	unsigned at = f->cap_exp + EXP_DEVCTL + 1u;

	return f->cap_exp && f->desc->kind == PCI_ENDPOINT && off <= at && at < off + len &&
	       (val >> (8 * (at - off)) & EXP_INITIATE_FLR);
}

/* Header and capabilities decide what decodes and how interrupts travel. */
static void apply(struct pci_function *f)
{
	pci_remap(f->root);
	pci_update_intx(f);
	pci_flush_pending(f);
}

static void reset_whole(struct pci_function *f)
{
	pci_function_reset(f);
	f->ops->reset(f->ctx);
}

static bool bus_in_reset(const struct pci_function *f)
{
	return f->desc->kind == PCI_ROOT_PORT &&
	       (f->state.config[REG_BRIDGE_CONTROL] & BRIDGE_BUS_RESET);
}

/* Secondary bus reset (PCI-to-PCI Bridge 1.2, 3.2.5.18): what is behind the port is reset. */
static void reset_bus(struct pci_function *port)
{
	for (unsigned i = 0; i < port->root->nfunctions; i++)
		if (port->root->functions[i]->parent == port)
			reset_whole(port->root->functions[i]);
}

void pci_config_write(struct pci_function *f, unsigned off, u64 val, unsigned size)
{
	unsigned len = clip(off, size);
	bool resets_bus;

	if (!len)
		return;
	if (asks_reset(f, off, val, len)) {
		reset_whole(f);
		return;
	}
	pci_lock(f->root);
	resets_bus = !bus_in_reset(f);
	write_bytes(f, off, val, len);
	resets_bus = resets_bus && bus_in_reset(f);
	apply(f);
	pci_unlock(f->root);
	if (resets_bus)
		reset_bus(f);
	if (f->ops->config_written && is_own(f, off, len))
		f->ops->config_written(f->ctx, off, len);
}

/* ---- state ---- */

const struct alc_field pci_function_fields[] = {
	FIELD_ARRAY(struct pci_state, config),
	FIELD_ARRAY(struct pci_state, msix_table),
	FIELD(struct pci_state, msix_pending),
	FIELD(struct pci_state, intx),
	FIELD_END,
};

void *pci_function_state(struct pci_function *f)
{
	return &f->state;
}

/* Bits of byte `i` that a snapshot may have otherwise than power-on has them. */
static u8 variable_bits(const struct pci_function *f, unsigned i)
{
	u8 bits = f->writable[i] | f->clearable[i];

	if (i == REG_STATUS)
		bits |= STATUS_INTX;
	if (f->cap_msi && i - f->cap_msi >= MSI_PENDING && i - f->cap_msi < MSI_PENDING + 4)
		bits = 0xff;
	for (unsigned k = 0; k < f->desc->ncaps; k++)
		if (i - f->caps_at[k] < f->desc->caps[k].len + 2u)
			bits = 0xff; /* the class checks its own */
	return bits;
}

/* A snapshot may hold nothing that writes could not have made. */
int pci_function_check(struct pci_function *f, struct alc_err *err)
{
	struct pci_state loaded;
	bool good;

	pci_lock(f->root);
	loaded = f->state;
	pci_build(f);
	good = loaded.intx <= 1 && !(loaded.msix_pending & ~mask_low(f->desc->msix));
	for (unsigned i = 0; i < PCI_CONFIG_SIZE && good; i++)
		good = !((loaded.config[i] ^ f->state.config[i]) & ~variable_bits(f, i));
	f->state = loaded;
	pci_unlock(f->root);
	if (good)
		return 0;
	return alc_fail(err, -EINVAL, "PCI function '%s': snapshot has bits that no register has",
			f->name);
}

void pci_function_loaded(struct pci_function *f)
{
	pci_lock(f->root);
	apply(f);
	pci_unlock(f->root);
}
