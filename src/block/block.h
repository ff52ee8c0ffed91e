/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include "base/bits.h"
#include "mem/iov.h"

/*
 * Block requests travel down a pipeline: front end (a disk that the guest sees), stages, back end.
 * A stage is provider and consumer of this one interface and knows nothing of its neighbours.
 *
 * Sizes and offsets are bytes. A front end submits only what lies within info.size, at multiples
 * of info.block, with data of exactly len bytes in iov (read, write; none for the others).
 *
 * Durability: a write that is done may be lost in a crash of the host until a flush that was
 * submitted after it is done with status 0. A flush covers the writes that were done when it was
 * submitted, and no others. Requests in flight at one time have no order among them.
 *
 * Threading: submit from any thread. `done` is called exactly once for each request, on any
 * thread, also from within submit; it must not block. From submit to done the provider owns the
 * request, and the memory in iov must stay.
 */
enum { BLOCK_MIN = 512, BLOCK_MAX = 4096 }; /* logical blocks */
enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_ZERO };

struct block_req {
	struct block_req *next; /* of a submission's list; then the provider's own */
	enum block_op op;
	bool unmap; /* BLOCK_ZERO: the space may be given back */
	u64 offset, len;
	const struct alc_iov *iov;
	unsigned niov;
	u64 issuer; /* for schedulers and records: I/O priority << 16 | the guest's queue */
	int status; /* when done: 0 or -errno */
	/* When done, if a model of a drive served it: guest time at which the drive got it. */
	u64 dispatch_ns; /* 0: no model did */
	bool cached;     /* by the drive's cache */
	void (*done)(struct block_req *r);
	void *ctx;           /* of who submitted */
	u64 provider_use[8]; /* the provider's own while it has the request, as `next` is */
};

struct block_info {
	u64 size;             /* a multiple of `block` */
	u32 block;            /* logical block: 512 or 4096 */
	u32 physical;         /* preferred alignment and size of writes, >= block */
	bool read_only;       /* writes of any kind are -EROFS */
	bool discard, zeroes; /* BLOCK_DISCARD, BLOCK_ZERO are understood (else -EOPNOTSUPP) */
	u32 discard_align;
};

struct alc_clock;
struct block;

/* What block_stats calls for each counter; name does not outlive the call. */
typedef void block_stat_fn(void *ctx, const char *name, double value);

struct block_ops {
	const char *name;
	/* list: one request or several linked by next; the last one's next is NULL. */
	void (*submit)(struct block *b, struct block_req *list);
	/*
	 * When it returns, everything submitted is done, and `done` has returned. Nobody submits
	 * meanwhile, but for what a `done` submits.
	 */
	void (*drain)(struct block *b);
	/* Nothing is in flight; gives back what lies below too. */
	void (*close)(struct block *b);
	/*
	 * Guest time, for stages that know it; passes down. Called once, by the machine before it
	 * runs; until then a stage adds no time of its own. What has no attach is done whenever
	 * the host has done it. Optional.
	 */
	void (*attach)(struct block *b, struct alc_clock *clock);
	/* Counters of this and what lies below, from any thread. Optional. */
	void (*stats)(struct block *b, block_stat_fn *fn, void *ctx);
};

/* The head of every stage and back end: embed as the first member. info is constant. */
struct block {
	const struct block_ops *ops;
	struct block_info info;
};

static inline void block_submit(struct block *b, struct block_req *list)
{
	b->ops->submit(b, list);
}

static inline void block_drain(struct block *b)
{
	b->ops->drain(b);
}

static inline void block_attach(struct block *b, struct alc_clock *clock)
{
	if (b->ops->attach)
		b->ops->attach(b, clock);
}

static inline void block_stats(struct block *b, block_stat_fn *fn, void *ctx)
{
	if (b->ops->stats)
		b->ops->stats(b, fn, ctx);
}

/*
 * May b be asked for this? 0; -EROFS, -EOPNOTSUPP; -EINVAL: not within it, or not in whole blocks.
 * A flush may always be asked for.
 */
int block_check(const struct block_info *info, enum block_op op, u64 offset, u64 len);

/* NULL is fine. */
static inline void block_close(struct block *b)
{
	if (b)
		b->ops->close(b);
}

#endif
