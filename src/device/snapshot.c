/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "device/device.h"

/*
 * A device's snapshot: class name (24 bytes, zero-padded), u16 version, u16 zero, u32 length of
 * the fields, then the fields: its class's, then its PCI function's if it has one. Little-endian.
 * Names are what users know, so they are what a snapshot carries; a number would need a registry.
 */
enum { NAME_SIZE = 24, AT_VERSION = 24, AT_ZERO = 26, AT_LENGTH = 28, HEADER_SIZE = 32 };

static void put_name(const char *name, u8 out[NAME_SIZE])
{
	for (unsigned i = 0; i < NAME_SIZE; i++)
		out[i] = *name ? (u8)*name++ : 0;
}

static size_t body_size(const struct alc_dev_class *cls, u16 version)
{
	return cls->state ? fields_size(cls->state, version) : 0;
}

enum { PCI_FIELDS_VERSION = 1 };

static size_t pci_size(const struct alc_dev *d)
{
	return d->pci ? fields_size(pci_function_fields, PCI_FIELDS_VERSION) : 0;
}

size_t dev_save_size(const struct alc_dev *d)
{
	return HEADER_SIZE + body_size(d->cls, d->cls->version) + pci_size(d);
}

void dev_quiesce(struct alc_dev *d)
{
	if (!d->cls->quiesce)
		return;
	dev_lock(d);
	d->cls->quiesce(d);
	dev_unlock(d);
}

void dev_save(struct alc_dev *d, u8 *out)
{
	const struct alc_dev_class *cls = d->cls;

	put_name(cls->name, out);
	st16(out + AT_VERSION, cls->version);
	st16(out + AT_ZERO, 0);
	st32(out + AT_LENGTH, (u32)(body_size(cls, cls->version) + pci_size(d)));
	out += HEADER_SIZE;
	dev_quiesce(d);
	dev_lock(d);
	if (cls->state)
		fields_save(cls->state, cls->version, d->state, out);
	if (d->pci)
		fields_save(pci_function_fields, PCI_FIELDS_VERSION, pci_function_state(d->pci),
			    out + body_size(cls, cls->version));
	dev_unlock(d);
}

/* Whether in[0, len) can be a snapshot of d at all; its version. */
static int check_header(const struct alc_dev *d, const u8 *in, size_t len, u16 *version,
			struct alc_err *err)
{
	const struct alc_dev_class *cls = d->cls;
	u8 name[NAME_SIZE];

	if (len < HEADER_SIZE)
		return alc_fail(err, -EINVAL,
				"device '%s': snapshot has %zu bytes, less than a header", d->id,
				len);
	put_name(cls->name, name);
	if (__builtin_memcmp(in, name, NAME_SIZE) != 0)
		return alc_fail(err, -EINVAL, "device '%s': snapshot is not one of class '%s'",
				d->id, cls->name);
	*version = ld16(in + AT_VERSION);
	if (*version < cls->version_min || *version > cls->version)
		return alc_fail(err, -EINVAL,
				"device '%s': snapshot has version %u, this program knows %u to %u",
				d->id, *version, cls->version_min, cls->version);
	if (ld16(in + AT_ZERO) || ld32(in + AT_LENGTH) != len - HEADER_SIZE ||
	    len - HEADER_SIZE != body_size(cls, *version) + pci_size(d))
		return alc_fail(err, -EINVAL,
				"device '%s': snapshot has a wrong length of %zu bytes", d->id,
				len);
	return 0;
}

/* With the lock held: loads the class's fields, or puts `old` back. */
static int load_class(struct alc_dev *d, const u8 *in, size_t len, u16 version, void *old,
		      struct alc_err *err)
{
	const struct alc_dev_class *cls = d->cls;
	int r;

	__builtin_memcpy(old, d->state, cls->state_size);
	r = fields_load(cls->state, version, d->state, in, len);
	if (r)
		r = alc_fail(err, r, "device '%s': snapshot does not fit its fields", d->id);
	else if (cls->loaded)
		r = cls->loaded(d, err);
	if (r)
		__builtin_memcpy(d->state, old, cls->state_size);
	return r;
}

/* Likewise the function's, whose old ones go into `old` as fields; with no effects yet. */
static int load_function(struct alc_dev *d, const u8 *in, u8 *old, struct alc_err *err)
{
	void *state = pci_function_state(d->pci);
	int r;

	fields_save(pci_function_fields, PCI_FIELDS_VERSION, state, old);
	r = fields_load(pci_function_fields, PCI_FIELDS_VERSION, state, in, pci_size(d));
	return r ? r : pci_function_check(d->pci, err);
}

/* The function first: a class looks at what its function may do. */
static int load_all(struct alc_dev *d, const u8 *in, size_t body, u16 version, u8 *old,
		    struct alc_err *err)
{
	u8 *old_function = old + d->cls->state_size;
	int r = d->pci ? load_function(d, in + body, old_function, err) : 0;

	if (!r && d->cls->state)
		r = load_class(d, in, body, version, old, err);
	if (r && d->pci)
		fields_load(pci_function_fields, PCI_FIELDS_VERSION, pci_function_state(d->pci),
			    old_function, pci_size(d));
	else if (d->pci)
		pci_function_loaded(d->pci);
	return r;
}

int dev_load(struct alc_dev *d, const u8 *in, size_t len, struct alc_err *err)
{
	const struct alc_dev_class *cls = d->cls;
	size_t old_size = cls->state_size + pci_size(d);
	u16 version = 0;
	u8 *old;
	int r;

	r = check_header(d, in, len, &version, err);
	if (r || !(cls->state || d->pci))
		return r;
	old = host_alloc(d->env.host, old_size);
	if (!old)
		return alc_fail(err, -ENOMEM, "device '%s': no memory to load a snapshot", d->id);
	dev_lock(d);
	r = load_all(d, in + HEADER_SIZE, body_size(cls, version), version, old, err);
	dev_unlock(d);
	host_free(d->env.host, old, old_size);
	return r;
}
