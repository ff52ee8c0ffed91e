/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's side of the machine's vsock devices. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/linux/vsock_unix.h"
#include "virtio/vsock.h"
#include "vm/linux/vm_linux.h"

static bool has_socket(const struct alc_dev *d)
{
	return !strcmp(d->cls->name, "virtio-vsock") && virtio_vsock_path(d);
}

int sockets_open(struct sockets *s, struct machine *m, struct cards *cards, struct alc_err *err)
{
	int rc = 0;

	s->open = calloc(m->ndevices + 1, sizeof(struct vsock_unix *));
	if (!s->open)
		return alc_fail(err, -ENOMEM, "no memory for the machine's sockets");
	for (unsigned i = 0; !rc && i < m->ndevices; i++) {
		struct alc_dev *d = m->devices[i];
		struct loop *loop;

		if (!has_socket(d))
			continue;
		rc = cards_loop(cards, &loop, err);
		if (!rc)
			rc = vsock_unix_create(d, virtio_vsock_path(d), loop, &s->open[s->count],
					       err);
		s->count += !rc;
	}
	return rc;
}

void sockets_close(struct sockets *s)
{
	while (s->count)
		vsock_unix_destroy(s->open[--s->count]);
	free(s->open);
}
