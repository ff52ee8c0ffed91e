/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOST_LINUX_LOOP_H
#define HOST_LINUX_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "alcazar/err.h"

/*
 * An event loop: one thread that waits for file descriptors (epoll) and calls who owns them.
 * Hosted back ends share one, so that a machine has few threads.
 *
 * Threading: add, change and remove from any thread, callbacks included. loop_remove, called
 * from another thread, waits until the callback is not running; so never with a lock held that
 * the callback takes. From the callback itself it takes effect at once.
 */
struct loop;
struct loop_fd;

int loop_create(const char *name, struct loop **out, struct alc_err *err) ALC_MUST_CHECK;
/* All descriptors were removed. NULL is fine. */
void loop_destroy(struct loop *l);

/* events: EPOLLIN, EPOLLOUT …; level-triggered. fd stays the caller's. */
int loop_add(struct loop *l, int fd, uint32_t events, void (*ready)(void *ctx, uint32_t events),
	     void *ctx, struct loop_fd **out, struct alc_err *err) ALC_MUST_CHECK;
void loop_change(struct loop_fd *f, uint32_t events); /* 0: asleep */
void loop_remove(struct loop_fd *f);                  /* NULL is fine */

#endif
