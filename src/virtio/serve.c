/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/errno.h"
#include "base/str.h"
#include "virtio/transport.h"

/*
 * A device's own thread, for types that have work to do besides what a guest's accesses make them
 * do, and for notifications that are not to keep a vCPU.
 *
 * Where the engine has doorbells, a notification then costs its vCPU no exit to us. It says not
 * which queue it is for, so all are looked at, which takes a look at an index in each.
 *
 * In virtual time there are no such threads: notifications are the vCPU's, and work is done by a
 * timer that is due at once.
 */

static void serve(void *arg)
{
	struct transport *t = arg;
	struct virtio *v = &t->v;
	const struct alc_host *h = v->dev->env.host;

	for (;;) {
		h->event_wait(h->ctx, t->wake, ALC_WAIT_FOREVER);
		if (atomic_load(&t->quit))
			return;
		dev_lock(v->dev);
		if (v->type->work)
			v->type->work(v);
		if (t->threaded)
			transport_notify_all(t);
		dev_unlock(v->dev);
	}
}

static void work(void *arg)
{
	struct transport *t = arg;

	dev_lock(t->v.dev);
	t->v.type->work(&t->v);
	dev_unlock(t->v.dev);
}

void virtio_wake(struct virtio *v)
{
	const struct alc_host *h = v->dev->env.host;
	struct transport *t = transport_of(v);

	if (clock_is_virtual(v->dev->env.clock))
		dev_timer_set(v->dev, &t->work, 0);
	else
		h->event_signal(h->ctx, t->wake);
}

/* ---- doorbells ---- */

static bool has_doorbells(const struct transport *t)
{
	const struct alc_dev_env *env = &t->v.dev->env;

	return env->fastpath.ops && env->host->event_fd;
}

static alc_gpa bell(const struct transport *t, unsigned queue)
{
	return gpa(t->bells_at + NOTIFY_AT + (u64)queue * NOTIFY_STEP);
}

static void hang_up(struct transport *t, u64 base)
{
	const struct alc_fastpath *f = &t->v.dev->env.fastpath;

	t->bells_at = base;
	for (t->bells = 0; t->bells < t->v.nqueues; t->bells++)
		if (f->ops->doorbell_add(f->ctx, bell(t, t->bells), 0, t->bell_fd))
			break; /* the registers of the others do */
}

static void take_down(struct transport *t)
{
	const struct alc_fastpath *f = &t->v.dev->env.fastpath;

	while (t->bells)
		f->ops->doorbell_remove(f->ctx, bell(t, --t->bells), 0, t->bell_fd);
}

void virtio_pci_bar_mapped(struct alc_dev *d, unsigned bar, u64 base)
{
	struct transport *t = d->priv;

	if (bar != VIRTIO_BAR || !t->has_bell_fd)
		return;
	take_down(t);
	if (base != PCI_UNMAPPED)
		hang_up(t, base);
}

/* ---- creation and end ---- */

static int wants_thread(const struct transport *t, bool *wants, struct alc_err *err)
{
	const struct virtio *v = &t->v;
	const char *option = ((const struct virtio_options *)v->dev->config)->iothread;

	*wants = str_eq(option, "on") ||
		 (str_eq(option, "auto") && v->type->busy && has_doorbells(t));
	if (*wants || str_eq(option, "off") || str_eq(option, "auto"))
		return 0;
	return alc_fail(err, -EINVAL, "device '%s': iothread is on, off or auto, not '%s'",
			v->dev->id, option);
}

int transport_start_thread(struct transport *t, struct alc_err *err)
{
	struct virtio *v = &t->v;
	const struct alc_host *h = v->dev->env.host;
	int r = wants_thread(t, &t->threaded, err);

	if (r)
		return r;
	if (clock_is_virtual(v->dev->env.clock)) {
		clock_timer_init(&t->work, work, t);
		if (t->threaded)
			return alc_fail(err, -EINVAL,
					"device '%s': there are no threads in virtual time, so "
					"iothread is off",
					v->dev->id);
		return 0;
	}
	if (!(t->threaded || v->type->work))
		return 0;
	t->wake = h->event_create(h->ctx);
	if (!t->wake)
		return alc_fail(err, -ENOMEM, "no memory for the thread of device '%s'",
				v->dev->id);
	t->has_bell_fd = t->threaded && has_doorbells(t) &&
			 h->event_fd(h->ctx, t->wake, &t->bell_fd) == 0;
	r = h->thread_start(h->ctx, v->dev->cls->name, serve, t, &t->thread);
	if (r)
		return alc_fail(err, r, "can't start a thread for device '%s'", v->dev->id);
	return 0;
}

void transport_stop_thread(struct transport *t)
{
	const struct alc_host *h = t->v.dev->env.host;

	take_down(t);
	if (clock_is_virtual(t->v.dev->env.clock))
		clock_timer_cancel(t->v.dev->env.clock, &t->work);
	if (t->thread) {
		atomic_store(&t->quit, true);
		h->event_signal(h->ctx, t->wake);
		h->thread_join(h->ctx, t->thread);
	}
	h->event_destroy(h->ctx, t->wake);
}
