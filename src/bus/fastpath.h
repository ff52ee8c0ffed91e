/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BUS_FASTPATH_H
#define BUS_FASTPATH_H

#include "bus/irq.h"
#include "mem/addr.h"

/*
 * Shortcuts between a guest and whoever serves a device on another thread: a register write that
 * becomes a count in an eventfd without leaving the hypervisor, and an eventfd whose count becomes
 * a message-signalled interrupt. A device must work without them: every call may say -ENOTSUP,
 * and then the register is written, and messages are delivered, as ever.
 *
 * Descriptors stay the caller's, and must be open until the shortcut is removed. Threading: any
 * thread.
 */
struct alc_fastpath_ops {
	/*
	 * From now on a guest's write of size bytes (1, 2, 4, 8; 0: any size) to gpa adds 1 to the
	 * eventfd, and the region that holds gpa isn't told.
	 */
	int (*doorbell_add)(void *ctx, alc_gpa gpa, unsigned size, int fd);
	void (*doorbell_remove)(void *ctx, alc_gpa gpa, unsigned size, int fd);
	/* Each signal of the eventfd sends msg. *route names the connection to the calls below. */
	int (*msi_add)(void *ctx, int fd, struct alc_msi msg, unsigned *route);
	/* The message is another one now, or (NULL) masked: what is signalled meanwhile is lost. */
	int (*msi_change)(void *ctx, unsigned route, const struct alc_msi *msg);
	void (*msi_remove)(void *ctx, unsigned route);
};

struct alc_fastpath {
	const struct alc_fastpath_ops *ops; /* NULL: there are no shortcuts */
	void *ctx;
};

#endif
