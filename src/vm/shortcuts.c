/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An engine's shortcuts, as devices use them: a device that has hung up a doorbell need not know
 * that the machine goes to another engine, which may have doorbells or none. Messages go the usual
 * way, by the interrupt controllers' own calls: who signals them is in this process, and so an
 * eventfd would spare it nothing.
 */
#include "base/errno.h"
#include "vm/machine.h"

static bool has_doorbells(const struct machine *m)
{
	return m->engine->fastpath && m->engine->fastpath->doorbell_add;
}

static struct machine_doorbell *find(struct machine *m, alc_gpa gpa, unsigned size, int fd)
{
	for (unsigned i = 0; i < MACHINE_DOORBELLS_MAX; i++) {
		struct machine_doorbell *d = &m->doorbells[i];

		if (d->used && d->gpa.v == gpa.v && d->size == size && d->fd == fd)
			return d;
	}
	return NULL;
}

static struct machine_doorbell *find_free(struct machine *m)
{
	for (unsigned i = 0; i < MACHINE_DOORBELLS_MAX; i++)
		if (!m->doorbells[i].used)
			return &m->doorbells[i];
	return NULL;
}

static int doorbell_add(void *ctx, alc_gpa gpa, unsigned size, int fd)
{
	struct machine *m = ctx;
	struct machine_doorbell *d;
	int r;

	host_lock(m->host, m->doorbells_lock);
	d = find_free(m);
	r = d ? 0 : -ENOSPC;
	if (!r && has_doorbells(m))
		r = m->engine->fastpath->doorbell_add(m->engine_vm, gpa, size, fd);
	if (!r)
		*d = (struct machine_doorbell){true, gpa, size, fd};
	host_unlock(m->host, m->doorbells_lock);
	return r;
}

static void doorbell_remove(void *ctx, alc_gpa gpa, unsigned size, int fd)
{
	struct machine *m = ctx;
	struct machine_doorbell *d;

	host_lock(m->host, m->doorbells_lock);
	d = find(m, gpa, size, fd);
	if (d) {
		d->used = false;
		if (has_doorbells(m))
			m->engine->fastpath->doorbell_remove(m->engine_vm, gpa, size, fd);
	}
	host_unlock(m->host, m->doorbells_lock);
}

static int msi_add(void *ctx, int fd, struct alc_msi msg, unsigned *route)
{
	return -ENOTSUP;
}

static int msi_change(void *ctx, unsigned route, const struct alc_msi *msg)
{
	return -ENOTSUP;
}

static void msi_remove(void *ctx, unsigned route)
{
}

static const struct alc_fastpath_ops ops = {
	.doorbell_add = doorbell_add,
	.doorbell_remove = doorbell_remove,
	.msi_add = msi_add,
	.msi_change = msi_change,
	.msi_remove = msi_remove,
};

struct alc_fastpath shortcuts(struct machine *m)
{
	return has_doorbells(m) ? (struct alc_fastpath){&ops, m}
				: (struct alc_fastpath){NULL, NULL};
}

/* What the new engine does not take is a register as any other. */
void shortcuts_moved(struct machine *m)
{
	host_lock(m->host, m->doorbells_lock);
	for (unsigned i = 0; has_doorbells(m) && i < MACHINE_DOORBELLS_MAX; i++) {
		const struct machine_doorbell *d = &m->doorbells[i];

		if (d->used)
			(void)m->engine->fastpath->doorbell_add(m->engine_vm, d->gpa, d->size,
								d->fd);
	}
	host_unlock(m->host, m->doorbells_lock);
}
