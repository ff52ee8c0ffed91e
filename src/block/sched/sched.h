/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_SCHED_SCHED_H
#define BLOCK_SCHED_SCHED_H

#include "alcazar/err.h"
#include "base/param.h"
#include "block/disk_req.h"
#include "host/host.h"

/*
 * Disk schedulers: which of the waiting requests the drive gets next, and when. See disk_req.h for
 * what they may know.
 *
 * A scheduler is one file with one struct sched_class, and one line in the list in sched.c.
 */
struct sched;

struct sched_env {
	const struct alc_host *host; /* for memory only */
	u64 sectors;                 /* size of the disk */
	/*
	 * Optional: what the drive would take for r, by its span, if it were submitted now. Some
	 * schedulers then go by time instead of distance. Called from next alone.
	 */
	u64 (*access_ns)(const void *ctx, const struct disk_req *r, u64 now_ns);
	const void *access_ctx; /* of it; lives as long as the scheduler */
};

struct sched_class {
	const char *name, *summary;
	const struct param *params; /* named as where the scheduler comes from; may be NULL */
	size_t params_size;
	/* params: filled in; to be copied. */
	int (*create)(const struct sched_env *env, const void *params, struct sched **out,
		      struct alc_err *err);
	void (*destroy)(struct sched *s);
	/* A new request. Its span is its own range, it has no merged ones. */
	void (*add)(struct sched *s, struct disk_req *r, u64 now_ns);
	/*
	 * The drive has room: the request it shall get (dispatch_ns is set by the caller), or NULL:
	 * nothing now. Then *ask_ns says when to ask again if nothing is added or done before: a
	 * scheduler that waits on purpose sets it to the instant at which it would wait no longer;
	 * DISK_NEVER: it has nothing.
	 */
	struct disk_req *(*next)(struct sched *s, u64 now_ns, u64 *ask_ns);
	/* What was dispatched is done (with all its merged ones). Optional. */
	void (*done)(struct sched *s, struct disk_req *r, u64 now_ns);
};

/* Embed as the first member. */
struct sched {
	const struct sched_class *class;
};

/* All there are, NULL-terminated. */
extern const struct sched_class *const sched_classes[];

/*
 * text: NAME or NAME:PARAM=VALUE:…; -ENOENT: no such scheduler (the message suggests one); others
 * of param_parse and of the class.
 */
int sched_create(const struct sched_env *env, const char *text, struct sched **out,
		 struct alc_err *err) ALC_MUST_CHECK;

/* The same for a class that is in no list; params: PARAM=VALUE:…, or NULL. */
int sched_create_class(const struct sched_env *env, const struct sched_class *class,
		       const char *params, struct sched **out, struct alc_err *err) ALC_MUST_CHECK;

static inline void sched_destroy(struct sched *s)
{
	if (s)
		s->class->destroy(s);
}

#endif
