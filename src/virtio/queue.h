/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VIRTIO_QUEUE_H
#define VIRTIO_QUEUE_H

#include "alcazar/err.h"
#include "base/field.h"
#include "mem/iov.h"
#include "mem/space.h"

/*
 * Virtqueues, split and packed (virtio 1.2, 2.7 and 2.8), from the device's side.
 *
 * Chains are checked here and nowhere else: loops, lengths, wrap-around of addresses, indirect
 * rules, the order of readable and writable parts, addresses outside RAM or on device regions
 * (so no device can be made to write to a device, itself included), ROM that a device should
 * write. Each descriptor is copied in once and then judged. A chain that breaks a rule breaks
 * the queue: pop returns -EPROTO, then and ever after until the queue is stopped, and the
 * transport sets NEEDS_RESET.
 *
 * The configuration is the device's own copy: taken over when the queue starts, and nothing that
 * the driver writes to registers later changes it.
 *
 * Threading: the owner's device lock is held in all functions.
 */
enum { VIRTQ_SIZE_MAX = 1024 };

struct virtq_config {
	u16 size; /* elements: 1-VIRTQ_SIZE_MAX; a power of two unless packed */
	bool packed, indirect, event_idx;
	u64 desc, driver, device; /* guest-physical addresses of the three areas */
};

/*
 * A chain, as pieces of host memory. The iov array must stay as pop filled it until the chain is
 * pushed, unpopped or dropped.
 *
 * A chain has at most as many descriptors as the queue has elements; one that ends in an indirect
 * table may have VIRTQ_SIZE_MAX, since drivers size such chains by the device's limits (a disk's
 * seg_max) rather than by the queue.
 */
struct virtq_chain {
	/* In: room for pieces, and how many. A chain of more pieces breaks the queue. */
	struct alc_iov *iov;
	unsigned iov_max;
	/* Out: first the parts that the device reads, then those that it writes. */
	unsigned nout, nin;
	u64 out_len, in_len;
	u16 id, count; /* the library's own: head or buffer ID; ring slots taken */
};

struct virtq;

/*
 * Positions in the rings, what a driver can observe. They live in the owner's state table, as an
 * array of u16, and are always up to date there.
 */
struct virtq_state {
	u16 next_avail, next_used;
	u16 avail_wrap, used_wrap; /* packed only: 0 or 1 */
	u16 signalled;             /* next_used when the driver was last told … */
	u16 signalled_wrap;        /* … and used_wrap */
	u16 broken;
};
enum { VIRTQ_STATE_WORDS = sizeof(struct virtq_state) / sizeof(u16) };

/* state stays the owner's and must live as long as the queue. */
int virtq_create(const struct alc_host *host, struct alc_space *space, struct virtq_state *state,
		 struct virtq **out) ALC_MUST_CHECK;
void virtq_destroy(struct virtq *q); /* NULL is fine */
/*
 * A stopped queue starts at the rings' beginning. -EINVAL with a sentence: a size that may not be,
 * areas not in RAM or misaligned.
 */
int virtq_start(struct virtq *q, const struct virtq_config *c, struct alc_err *err) ALC_MUST_CHECK;
/*
 * For snapshots, when the owner's state table has been loaded: could a queue run with this
 * configuration and these positions? Has no effects.
 */
int virtq_check(const struct virtq *q, const struct virtq_config *c,
		struct alc_err *err) ALC_MUST_CHECK;
/*
 * Starts at the positions in the state, which virtq_check found good. Chains that were popped and
 * not pushed come again, which is right for those that use theirs in order; who does not has
 * none in flight when it is saved.
 */
void virtq_resume(struct virtq *q, const struct virtq_config *c);
/* Chains popped are forgotten. Clears the positions. */
void virtq_stop(struct virtq *q);
bool virtq_started(const struct virtq *q);
bool virtq_broken(const struct virtq *q);
u16 virtq_size(const struct virtq *q);

/* 1: a chain; 0: none; -EPROTO: the driver broke a rule. */
int virtq_pop(struct virtq *q, struct virtq_chain *c) ALC_MUST_CHECK;
/* Puts the chain popped last back, as if it had not been popped. */
void virtq_unpop(struct virtq *q, const struct virtq_chain *c);
/*
 * Gives a chain back: the first `written` bytes of its writable part, and no others, may have
 * been written; notes them as written.
 */
void virtq_push(struct virtq *q, const struct virtq_chain *c, u32 written);
/*
 * Several chains that become visible at one time (mergeable network buffers): push_hold for each,
 * then release.
 */
void virtq_push_hold(struct virtq *q, const struct virtq_chain *c, u32 written);
void virtq_release(struct virtq *q);
/* For a chain that won't be pushed, as its device is being reset: only notes what was written. */
void virtq_drop(struct virtq *q, const struct virtq_chain *c, u32 written);
/* Does the driver want an interrupt for what was pushed since the last call? */
bool virtq_wants_signal(struct virtq *q);
/*
 * Asks the driver for notifications, or not to. Returns whether chains are there already, which
 * must then be looked at: enabling races with the driver's adding.
 */
bool virtq_notify_enable(struct virtq *q, bool on);

#endif
