/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "base/bits.h"

/*
 * struct alc_host: the only way out of the core.
 *
 * Everything that the core needs of the world it is linked into goes through this table; core
 * code calls no operating system and no C library beyond what a freestanding compiler may emit
 * (memcpy, memmove, memset, memcmp). host/linux fills the table for a Linux process, host/test
 * for tests (a clock that stands still until told, and every call made to fail in turn), bare
 * kernels bring their own.
 *
 * Threading: every function may be called from any thread unless it says otherwise.
 * Failure: 0 or -errno; pointers: NULL. Every resource is released by its counterpart; the
 * counterparts take NULL where they take a pointer, and cannot fail.
 */
struct alc_host;
struct alc_thread;
struct alc_mutex;
struct alc_event;

enum alc_log { ALC_LOG_ERROR, ALC_LOG_WARN, ALC_LOG_INFO, ALC_LOG_DEBUG };

enum { ALC_WAIT_FOREVER = 0 }; /* a deadline that never comes */

/* Guest RAM: `size` bytes, zeroed, lazily populated, page-aligned. */
struct alc_host_ram {
	u8 *base;
	u64 size;
	int fd; /* the object behind it, -1 where there is none */
};

/* Executable memory, mapped twice: never writable and executable at one address. */
struct alc_host_code {
	u8 *rw;
	const u8 *rx;
	u64 size;
};

struct alc_host {
	void *ctx; /* first argument of every call */

	/* Memory. alloc returns zeroed memory aligned to 64 bytes, or NULL. */
	void *(*alloc)(void *ctx, size_t size);
	void (*free)(void *ctx, void *p, size_t size);
	int (*ram_map)(void *ctx, u64 size, struct alc_host_ram *out);
	void (*ram_unmap)(void *ctx, struct alc_host_ram *ram);
	/*
	 * Gives whole pages back to the host, [off, off+len) of the object: they read as zero, and
	 * take no memory until they are written again.
	 */
	int (*ram_discard)(void *ctx, const struct alc_host_ram *ram, u64 off, u64 len);
	/* May fail for good where the host forbids executable mappings: -EPERM. */
	int (*code_map)(void *ctx, u64 size, struct alc_host_code *out);
	void (*code_unmap)(void *ctx, struct alc_host_code *code);

	/* Time: monotonic and never stepping back across threads; and seconds of the calendar. */
	u64 (*now_ns)(void *ctx);
	u64 (*wall_ns)(void *ctx); /* UTC since 1970 */

	/* Threads. join waits for fn to return and frees the thread. */
	int (*thread_start)(void *ctx, const char *name, void (*fn)(void *arg), void *arg,
			    struct alc_thread **out);
	void (*thread_join)(void *ctx, struct alc_thread *t);
	/* CPU time that the calling thread has used. */
	u64 (*thread_cpu_ns)(void *ctx);

	/* Mutexes: not recursive. */
	struct alc_mutex *(*mutex_create)(void *ctx);
	void (*mutex_destroy)(void *ctx, struct alc_mutex *m);
	void (*mutex_lock)(void *ctx, struct alc_mutex *m);
	void (*mutex_unlock)(void *ctx, struct alc_mutex *m);

	/*
	 * Events: auto-reset, one waiter. signal makes the present or the next wait return at
	 * once. wait returns 0 when signalled, -ETIMEDOUT at the deadline (now_ns scale;
	 * ALC_WAIT_FOREVER: none).
	 */
	struct alc_event *(*event_create)(void *ctx);
	void (*event_destroy)(void *ctx, struct alc_event *e);
	int (*event_wait)(void *ctx, struct alc_event *e, u64 deadline_ns);
	void (*event_signal)(void *ctx, struct alc_event *e);
	/*
	 * A descriptor that signals e when its count is raised, by whoever has it (on Linux an
	 * eventfd). Stays the event's. To be asked for before the first wait and signal. Optional,
	 * for hosts that have such a thing.
	 */
	int (*event_fd)(void *ctx, struct alc_event *e, int *fd);

	/*
	 * A full memory barrier on every thread of the VM: after it returns, each thread has
	 * either not yet begun, or made visible, the stores that came before its next load. Lets
	 * the frequent side of a flag protocol go without a fence (see mem/space.h). It must
	 * not wait for other threads to get anywhere: they may spin until it returns.
	 */
	void (*barrier_all)(void *ctx);
	/* Give up the processor for a moment. */
	void (*yield)(void *ctx);

	/* Good random bytes; cannot fail. */
	void (*random)(void *ctx, void *buf, size_t len);
	/* One line for the operator, no newline. */
	void (*log)(void *ctx, enum alc_log level, const char *text);
};

static inline void *host_alloc(const struct alc_host *h, size_t size)
{
	return h->alloc(h->ctx, size);
}

static inline void host_free(const struct alc_host *h, void *p, size_t size)
{
	if (p)
		h->free(h->ctx, p, size);
}

static inline void host_lock(const struct alc_host *h, struct alc_mutex *m)
{
	h->mutex_lock(h->ctx, m);
}

static inline void host_unlock(const struct alc_host *h, struct alc_mutex *m)
{
	h->mutex_unlock(h->ctx, m);
}

static inline u64 host_now_ns(const struct alc_host *h)
{
	return h->now_ns(h->ctx);
}

#endif
