/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_STAGE_H
#define BLOCK_STAGE_H

#include "alcazar/err.h"
#include "base/param.h"
#include "block/block.h"
#include "block/sched/sched.h"
#include "host/host.h"

/*
 * Stages of a disk's pipeline that change when, or whether, requests are done, by options of the
 * disk. A stage is one file with one struct stage_class, and one line in a list: in stage.c, or in
 * linux/open.c if it needs an operating system.
 *
 * They keep guest time, which block_attach gives them; before that they pass everything on at
 * once. In virtual time nothing of the host's may show: below the stages there is one that waits
 * for the back end (instant.h), so that all time comes from stages. Where several CPUs take turns,
 * an instant is that of the CPU or timer on whose behalf a stage runs: a stage must cope with one
 * that is before the last one, by less than a quantum.
 *
 * A drain does not wait for guest time, which may be standing still: what stages hold back is done
 * early, in the order in which it would have been done.
 */
struct stage_env {
	const struct alc_host *host;
	const char *disk; /* for messages; outlives the stage */
	u64 seed;         /* of whatever is random and has no seed of its own */
	/* Instead of sched_create, where schedulers may come from elsewhere; or NULL. */
	int (*sched_open)(const struct sched_env *env, const char *text, struct sched **out,
			  struct alc_err *err);
};

enum { STAGE_KEYS_MAX = 5 };

struct stage_class {
	const char *name, *summary;
	/*
	 * Options of the disk that the stage is made of. One with several keys is there once, at
	 * the place of the first that is given; else each time that the key is.
	 */
	const char *keys[STAGE_KEYS_MAX]; /* NULL-terminated */
	const char *helps[STAGE_KEYS_MAX];
	/*
	 * texts: the options' values by key, NULL where one is not given. Takes below if it
	 * succeeds. On failure err says why, without the disk's name.
	 */
	int (*create)(const struct stage_env *env, const char *const *texts, struct block *below,
		      struct block **out, struct alc_err *err);
};

/* stage_drive.c: is that value of `model` no model, but the back end itself as the drive? */
bool drive_is_host(const char *model);

/* Those of the core, NULL-terminated. */
extern const struct stage_class *const stage_classes[];

#endif
