/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_MODEL_MODEL_H
#define BLOCK_MODEL_MODEL_H

#include "alcazar/err.h"
#include "base/param.h"
#include "block/disk_req.h"
#include "host/host.h"

/*
 * Models of drives: when a request that the drive was given is done. See disk_req.h for what they
 * may know. A drive may hold several requests and do them in an order of its own.
 *
 * A model is one file with one struct drive_class, and one line in the list in model.c; a preset
 * (a product's name) is a line of a table: a class and parameters, with their source.
 */
struct drive;

struct drive_env {
	const struct alc_host *host; /* for memory only */
	u64 sectors;                 /* size of the disk in front of the guest */
	u64 seed;                    /* of whatever is random in the model */
};

struct drive_class {
	const char *name, *summary;
	const struct param *params; /* may be NULL */
	size_t params_size;
	int (*create)(const struct drive_env *env, const void *params, struct drive **out,
		      struct alc_err *err);
	void (*destroy)(struct drive *d);
	/*
	 * Takes r, by its span; at most `depth` are inside at a time (the caller sees to it).
	 */
	void (*submit)(struct drive *d, struct disk_req *r, u64 now_ns);
	/* When the next request will be done if nothing else is submitted; DISK_NEVER: none. */
	u64 (*next_ns)(const struct drive *d);
	/*
	 * A request that is done at now_ns or before, the earliest first, with done_ns and cached
	 * set; NULL: none.
	 */
	struct disk_req *(*take)(struct drive *d, u64 now_ns);
	/*
	 * What r would take, by its span, if it were submitted now, for schedulers that know their
	 * drive (sched_env.access_ns); an estimate if others are inside. Changes nothing. Optional.
	 */
	u64 (*access_ns)(const struct drive *d, const struct disk_req *r, u64 now_ns);
	/*
	 * A flush at now_ns: when everything taken so far is durable, if nothing comes between.
	 * Optional: at once when nothing is inside.
	 */
	u64 (*flush_ns)(struct drive *d, u64 now_ns);
	/* Counters by name (hits, seeks, erases…). Optional. */
	void (*stats)(const struct drive *d, void (*fn)(void *ctx, const char *name, double value),
		      void *ctx);
};

/* Embed as the first member. */
struct drive {
	const struct drive_class *class;
	unsigned depth; /* requests that it takes at a time, at least 1; constant */
};

/* A drive one can name: CLASS:PARAM=VALUE:… under a name of its own. */
struct drive_preset {
	const char *name, *summary;
	const char *text;
	const char *source; /* where the parameters are from */
};

/* All there are; the classes NULL-terminated, the presets ended by a NULL name. */
extern const struct drive_class *const drive_classes[];
extern const struct drive_preset drive_presets[];

/*
 * text: NAME or NAME:PARAM=VALUE:…; NAME is a class or a preset, whose parameters those given here
 * override. -ENOENT: no such model (the message suggests one); others of param_parse and the class.
 */
int drive_create(const struct drive_env *env, const char *text, struct drive **out,
		 struct alc_err *err) ALC_MUST_CHECK;

static inline void drive_destroy(struct drive *d)
{
	if (d)
		d->class->destroy(d);
}

#endif
