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
 * the queue: pop returns -EPROTO, from then on the queue gives nothing, and the transport sets
 * NEEDS_RESET.
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

/* A chain, as pieces of host memory. */
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

/* Positions in the rings, what a driver can observe; for the owner's state table. */
struct virtq_state {
	u16 next_avail, next_used;
	u8 avail_wrap, used_wrap; /* packed only */
	u16 signalled;            /* next_used when the driver was last told; event indices */
	u8 signalled_valid, broken;
};

int virtq_create(const struct alc_host *host, struct alc_space *space, struct virtq **out);
void virtq_destroy(struct virtq *q); /* NULL is fine */
/* -EINVAL with a sentence: areas not in RAM, misaligned, overlapping device regions. */
int virtq_start(struct virtq *q, const struct virtq_config *c, struct alc_err *err) ALC_MUST_CHECK;
void virtq_stop(struct virtq *q);
bool virtq_started(const struct virtq *q);
bool virtq_broken(const struct virtq *q);
u16 virtq_size(const struct virtq *q);

/* 1: a chain; 0: none; -EPROTO: the driver broke a rule. */
int virtq_pop(struct virtq *q, struct virtq_chain *c) ALC_MUST_CHECK;
/* Puts the chain popped last back, as if it had not been popped. */
void virtq_unpop(struct virtq *q, const struct virtq_chain *c);
/* Gives a chain back, `written` bytes of its writable part filled; notes them as written. */
void virtq_push(struct virtq *q, const struct virtq_chain *c, u32 written);
/*
 * Several chains that become visible at one time (mergeable network buffers): push_hold for each,
 * then release.
 */
void virtq_push_hold(struct virtq *q, const struct virtq_chain *c, u32 written);
void virtq_release(struct virtq *q);
/* Does the driver want an interrupt for what was pushed since the last call? */
bool virtq_wants_signal(struct virtq *q);
/*
 * Asks the driver for notifications, or not to. Returns whether chains are there already, which
 * must then be looked at: enabling races with the driver's adding.
 */
bool virtq_notify_enable(struct virtq *q, bool on);

void virtq_save(const struct virtq *q, struct virtq_state *s);
int virtq_load(struct virtq *q, const struct virtq_config *c, const struct virtq_state *s,
	       struct alc_err *err) ALC_MUST_CHECK;

#endif
