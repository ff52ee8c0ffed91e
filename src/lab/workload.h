/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAB_WORKLOAD_H
#define LAB_WORKLOAD_H

#include "alcazar/err.h"
#include "base/param.h"
#include "block/disk_req.h"
#include "host/host.h"

/*
 * Workloads: who asks the disk for what, and when. A workload is a number of actors (processes,
 * or the slots of a queue), each a small program of steps; it knows no clock but the instants it is
 * given. The same seed gives the same steps for the same answers of the disk.
 *
 * A workload is one file with one struct workload_class, and one line in the list in workload.c.
 */
struct workload;

/* One request of a trace, see work_replay.c. */
struct trace_req {
	u64 arrival_ns;
	u64 dispatch_ns, done_ns; /* done_ns 0: the trace doesn't tell */
	u64 sector;
	u32 sectors;
	u32 issuer;
	enum block_op op; /* BLOCK_READ or BLOCK_WRITE */
};

struct trace {
	struct trace_req *reqs; /* in order of arrival_ns */
	size_t n;
};

struct workload_env {
	const struct alc_host *host; /* for memory only */
	u64 sectors;                 /* size of the disk */
	u64 seed;
	const struct trace *trace; /* for those that need one; stays the caller's */
};

enum work_kind {
	WORK_SUBMIT, /* a request; then the next step, at the same instant */
	WORK_SLEEP,  /* the next step at until_ns */
	WORK_BLOCK,  /* the next step when `done` wakes this actor */
	WORK_END,    /* no further steps */
};

struct work_step {
	enum work_kind kind;
	u64 until_ns;
	/* Of a request; tag comes back in done. */
	enum block_op op;
	bool sync;
	u32 sectors;
	u64 sector;
	u32 issuer;
	u64 tag;
};

/* Actors to wake, each at most once; room for all. */
struct work_wake {
	u32 *actors;
	u32 n;
};

struct workload_class {
	const char *name, *summary;
	const struct param *params;
	size_t params_size;
	bool needs_trace;
	int (*create)(const struct workload_env *env, const void *params, struct workload **out,
		      struct alc_err *err);
	void (*destroy)(struct workload *w);
	void (*next)(struct workload *w, u32 actor, u64 now_ns, struct work_step *step);
	/* A request is done: what was submitted with that step. */
	void (*done)(struct workload *w, const struct disk_req *r, u64 tag, u64 now_ns,
		     struct work_wake *wake);
	/* Counters by name (page hits …). Optional. */
	void (*stats)(const struct workload *w, void (*fn)(void *ctx, const char *name, double v),
		      void *ctx);
};

/* Embed as the first member. */
struct workload {
	const struct workload_class *class;
	u32 actors;  /* constant, at least 1 */
	u32 issuers; /* issuers are below it */
};

extern const struct workload_class *const workload_classes[];

/*
 * text: NAME or NAME:PARAM=VALUE:…; -ENOENT: no such workload (the message suggests one); others
 * of param_parse and the class.
 */
int workload_create(const struct workload_env *env, const char *text, struct workload **out,
		    struct alc_err *err) ALC_MUST_CHECK;

static inline void workload_destroy(struct workload *w)
{
	if (w)
		w->class->destroy(w);
}

#endif
