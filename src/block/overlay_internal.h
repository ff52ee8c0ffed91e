/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_OVERLAY_INTERNAL_H
#define BLOCK_OVERLAY_INTERNAL_H

#include "block/overlay_format.h"

/*
 * Private to overlay*.c.
 *
 * A job carries one request through steps, each of which is one request to base or store. All
 * decisions are made by one thread at a time, the runner: whoever brings work, a new request or a
 * step that is done, becomes it unless there is one. So what the maps say needs no lock, nothing
 * recurses when steps are done within submit, and nobody ever waits.
 */
enum { OVERLAY_JOBS = 32, OVERLAY_PIECES = 64 };

struct overlay;

struct job {
	struct overlay *o;
	struct job *next; /* of a list: free, ready or waiting */
	struct block_req *req;
	int status;
	u64 at; /* bytes of the request that are done */

	/* The step under way; NULL: decide on one. */
	void (*after)(struct job *j);
	struct block_req sub;
	u64 step_len;    /* bytes of the request that it does */
	u64 first, last; /* clusters [first, last) that nobody else may make meanwhile */
	struct alc_iov pieces[OVERLAY_PIECES], whole;
	u8 *bounce; /* a cluster */
	u64 bitmap_next;
};

struct job_list {
	struct job *first, **end;
};

/* What the store has, by cluster. */
struct overlay_map {
	u8 *now;    /* what is true */
	u8 *stable; /* what is being, or was, written to the store */
	u8 *flags;  /* by bitmap block: MAP_… */
	u64 len;    /* of now and stable */
	u64 blocks;
};
enum { MAP_DIRTY = 1, MAP_WRITING = 2 };

struct overlay {
	struct block block;
	const struct alc_host *host;
	struct block *base, *store;
	bool keep;
	struct overlay_layout l;
	u64 cluster;

	/* The runner's. */
	struct overlay_map map;
	struct job jobs[OVERLAY_JOBS];
	struct job_list waiting; /* for clusters that others make, or for the flush under way */
	struct job *flusher;
	u8 *bounce; /* of all jobs */
	u8 *zeroes; /* a cluster */

	struct alc_mutex *lock; /* of the rest */
	struct alc_event *idle; /* for drain */
	struct job *free;
	struct job_list ready;
	struct block_req *backlog, **backlog_end;
	u64 active; /* requests that are not done */
	bool runs, draining;
};

/* overlay_map.c */
int overlay_map_create(struct overlay *o, struct alc_err *err);
void overlay_map_destroy(struct overlay *o);
bool overlay_map_has(const struct overlay_map *m, u64 cluster);
void overlay_map_set(struct overlay_map *m, u64 first, u64 last);
/* Takes what is true now for what is to be written. False: nothing has changed. */
bool overlay_map_take(struct overlay_map *m);
/* The next run of blocks from `block` on that are to be written. */
bool overlay_map_next(const struct overlay_map *m, u64 *block, u64 *count);
/* It was written, or was not: then it is to be written again. */
void overlay_map_taken(struct overlay_map *m, bool written);

/* overlay_steps.c: begins the next step of j, or ends it. By the runner. */
void job_run(struct job *j);

/* overlay.c, by the runner. */
void job_submit(struct job *j, struct block *to, void (*after)(struct job *j));
void job_wait(struct job *j);
void job_wake_waiting(struct overlay *o);
void job_finish(struct job *j);

#endif
