/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VIRTIO_BALLOON_H
#define VIRTIO_BALLOON_H

#include "device/device.h"

/* What a guest tells of its memory (virtio 1.2, 5.5.6.4): bytes, counts; by tag. */
enum virtio_balloon_stat {
	BALLOON_SWAP_IN,
	BALLOON_SWAP_OUT,
	BALLOON_MAJOR_FAULTS,
	BALLOON_MINOR_FAULTS,
	BALLOON_FREE,
	BALLOON_TOTAL,
	BALLOON_AVAILABLE,
	BALLOON_CACHES,
	BALLOON_HUGETLB_ALLOCATED,
	BALLOON_HUGETLB_FAILED,
	BALLOON_STATS,
};

struct virtio_balloon_info {
	u64 target, actual;       /* bytes that the guest is to give up, and says that it has */
	u64 returned;             /* bytes given back to the host so far */
	u32 known;                /* bit i: stats[i] was told */
	u64 stats[BALLOON_STATS]; /* as last told */
};

/* From any thread. The target is rounded down to pages of 4 KiB. */
void virtio_balloon_set_target(struct alc_dev *d, u64 bytes);
void virtio_balloon_info(struct alc_dev *d, struct virtio_balloon_info *out);
/* Asks the guest for fresh statistics, which it gives when it gets to it. */
void virtio_balloon_ask(struct alc_dev *d);

#endif
