/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef VIRTIO_QUEUE_INTERNAL_H
#define VIRTIO_QUEUE_INTERNAL_H

#include "virtio/queue.h"

/*
 * What the files of the queue library share: the two ring formats are one const table each, and
 * both hand every descriptor that they find to chain_add and chain_add_table, which judge it.
 */
enum {
	DESC_NEXT = 1,
	DESC_WRITE = 2,
	DESC_INDIRECT = 4,
	DESC_SIZE = 16,
};

/* A descriptor, copied in. `last` is `next` in split and the buffer ID in packed format. */
struct desc {
	u64 addr;
	u32 len;
	u16 flags;
	u16 last;
};

/* One of a queue's three areas: in RAM, all of it, for as long as the queue runs. */
struct area {
	struct alc_space *space;
	u8 *hva;
	struct alc_page *page; /* of the first byte */
	u64 page_off;          /* of the first byte in it */
};

struct ring_format {
	/* Bytes of an area for a size, and its alignment (2.7, 2.8.10). */
	struct area_shape {
		u32 fixed, each, align;
	} desc, driver, device;
	u16 first_wrap; /* of the wrap counters */
	bool (*positions_ok)(const struct virtq_state *s, u16 size);
	bool (*available)(const struct virtq *q);
	int (*pop)(struct virtq *q, struct virtq_chain *c);
	void (*unpop)(struct virtq *q, const struct virtq_chain *c);
	/* Writes the used element at q->put, which is then advanced; not visible yet. */
	void (*put)(struct virtq *q, const struct virtq_chain *c, u32 written);
	/* Makes all that was put visible. */
	void (*publish)(struct virtq *q);
	/* Something was pushed since the last signal: does the driver want to hear of it? */
	bool (*wants_signal)(const struct virtq *q);
	/* Tells the driver whether to notify; with event indices, when next_avail is passed. */
	void (*ask)(struct virtq *q, bool on);
};

extern const struct ring_format split_format, packed_format;

struct virtq {
	const struct alc_host *host;
	struct alc_space *space;
	struct virtq_state *state;
	const struct ring_format *format; /* NULL: stopped */
	struct virtq_config config;
	struct area desc, driver, device;
	bool asked; /* the driver is to notify */
	/* Where the next used element goes: next_used, and beyond it while pushes are held. */
	u16 put, put_wrap;
	u16 held;       /* elements */
	u16 held_flags; /* packed: of the first of them, which makes them all visible */
};

/* Both: 0 or -EPROTO. */
int chain_add(const struct virtq *q, struct virtq_chain *c, const struct desc *d);
int chain_add_table(const struct virtq *q, struct virtq_chain *c, const struct desc *table);

/*
 * Indices and flags by which driver and device hand memory to each other: acquire and release
 * order what they announce (2.7.13.3). Areas are aligned, so these are single accesses.
 */
static inline u16 ring_load16(const struct area *a, u64 off)
{
	return __atomic_load_n((const u16 *)(const void *)(a->hva + off), __ATOMIC_ACQUIRE);
}

static inline u32 ring_load32(const struct area *a, u64 off)
{
	return __atomic_load_n((const u32 *)(const void *)(a->hva + off), __ATOMIC_ACQUIRE);
}

static inline void ring_store16(const struct area *a, u64 off, u16 v)
{
	__atomic_store_n((u16 *)(void *)(a->hva + off), v, __ATOMIC_RELEASE);
	space_note_span(a->space, a->page, a->page_off + off, sizeof(v));
}

static inline void ring_store32(const struct area *a, u64 off, u32 v)
{
	__atomic_store_n((u32 *)(void *)(a->hva + off), v, __ATOMIC_RELEASE);
	space_note_span(a->space, a->page, a->page_off + off, sizeof(v));
}

/*
 * Between a store that the driver looks at and a load of what it stores: either sees the other's
 * (2.7.7, 2.7.10).
 */
static inline void ring_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline struct desc desc_load_split(const u8 *at)
{
	u64 high = ld64(at + 8);

	return (struct desc){
		.addr = ld64(at),
		.len = (u32)high,
		.flags = (u16)(high >> 32),
		.last = (u16)(high >> 48),
	};
}

static inline struct desc desc_load_packed(const u8 *at)
{
	u64 high = ld64(at + 8);

	return (struct desc){
		.addr = ld64(at),
		.len = (u32)high,
		.flags = (u16)(high >> 48),
		.last = (u16)(high >> 32),
	};
}

#endif
