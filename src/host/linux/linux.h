/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOST_LINUX_H
#define HOST_LINUX_H

#include "host/host.h"

/* Private to host/linux: the functions behind the table, by file. */

struct linux_host {
	struct alc_host host; /* first: what alc_host_open returns */
	enum alc_log log_level;
	struct linux_barrier *barrier; /* the fallback's; NULL: membarrier works */
};

/* memory.c */
void *linux_alloc(void *ctx, size_t size);
void linux_free(void *ctx, void *p, size_t size);
int linux_ram_map(void *ctx, u64 size, struct alc_host_ram *out);
void linux_ram_unmap(void *ctx, struct alc_host_ram *ram);
int linux_ram_discard(void *ctx, const struct alc_host_ram *ram, u64 off, u64 len);
int linux_code_map(void *ctx, u64 size, struct alc_host_code *out);
void linux_code_unmap(void *ctx, struct alc_host_code *code);

/* object.c */
/*
 * A descriptor of shared memory of `size` bytes, zeroed and lazily populated, with huge pages where
 * the host allows any; or -errno. `name` is what /proc/PID/maps has for it. Any thread.
 */
int linux_object(const char *name, u64 size);
int linux_huge_object(const char *name, u64 size); /* -errno where it allows none */

/* thread.c */
int linux_thread_start(void *ctx, const char *name, void (*fn)(void *arg), void *arg,
		       struct alc_thread **out);
void linux_thread_join(void *ctx, struct alc_thread *t);
struct alc_mutex *linux_mutex_create(void *ctx);
void linux_mutex_destroy(void *ctx, struct alc_mutex *m);
void linux_mutex_lock(void *ctx, struct alc_mutex *m);
void linux_mutex_unlock(void *ctx, struct alc_mutex *m);
struct alc_event *linux_event_create(void *ctx);
void linux_event_destroy(void *ctx, struct alc_event *e);
int linux_event_wait(void *ctx, struct alc_event *e, u64 deadline_ns);
void linux_event_signal(void *ctx, struct alc_event *e);
int linux_event_fd(void *ctx, struct alc_event *e, int *fd);

/* barrier.c */
/* Sets up barrier_all: *out is NULL where the kernel has membarrier. */
int linux_barrier_open(struct linux_barrier **out);
/* The other way, wanted or not. */
int linux_barrier_open_fallback(struct linux_barrier **out);
void linux_barrier_close(struct linux_barrier *b);
/* b as opened; NULL uses membarrier. */
void linux_barrier(struct linux_barrier *b);

#endif
