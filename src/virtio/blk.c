/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdatomic.h>

#include "alcazar/device.h"
#include "base/errno.h"
#include "base/str.h"
#include "virtio/virtio.h"

/*
 * Disks (virtio 1.2, 5.2).
 *
 * A chain becomes one block request of a pool that all queues share. What the pool has no request
 * for stays in its queue, which is starved until some come back. What is done may be done on any
 * thread, which must not wait for the device's lock: it goes on a list without a lock. Who has the
 * device's lock because it submits collects from the list itself, since much is done by then; for
 * the rest a thread of the device's own takes the lock and collects.
 *
 * Where there are several queues Linux puts no scheduler before the disk and does not hand requests
 * to a worker either, which saves a third of the instructions that one costs; so there is one a
 * vCPU if nobody says otherwise.
 */
enum { ID_BLOCK = 2, PCI_CLASS_SCSI = 0x010000 };
enum { SECTOR = 512, SECTOR_SHIFT = 9, SERIAL_LEN = 20 };
/*
 * A chain may not be longer than its queue (2.7.5.3.1), so a disk that takes many segments has
 * large queues. As many as this, and 1 MiB of scattered pages is one request.
 */
enum { SEG_MAX = 510, SEG_OTHERS = 2, PIECES_MAX = SEG_MAX + SEG_OTHERS };
enum { QUEUES_MAX = 16, QUEUE_SIZE_MIN = 4, QUEUE_SIZE_MAX = 1024 };
/* In flight at one time, at most: what a back end takes, too. */
enum { REQUESTS_MAX = 256 };
/* What one discard or zeroing may take of a back end that has to do it bit by bit: 2 GiB. */
enum { RANGE_SECTORS_MAX = 1 << 22 };

/* 5.2.3 */
#define F_SEG_MAX      BIT(2)
#define F_RO           BIT(5)
#define F_BLK_SIZE     BIT(6)
#define F_FLUSH        BIT(9)
#define F_TOPOLOGY     BIT(10)
#define F_CONFIG_WCE   BIT(11)
#define F_MQ           BIT(12)
#define F_DISCARD      BIT(13)
#define F_WRITE_ZEROES BIT(14)

/* 5.2.4 */
enum {
	AT_CAPACITY = 0,
	AT_SEG_MAX = 12,
	AT_BLK_SIZE = 20,
	AT_PHYSICAL_EXP = 24,
	AT_MIN_IO = 26,
	AT_OPT_IO = 28,
	AT_WRITEBACK = 32,
	AT_NUM_QUEUES = 34,
	AT_DISCARD_SECTORS = 36,
	AT_DISCARD_SEG = 40,
	AT_DISCARD_ALIGN = 44,
	AT_ZEROES_SECTORS = 48,
	AT_ZEROES_SEG = 52,
	AT_ZEROES_UNMAP = 56,
	CONFIG_SIZE = 60,
};

/* 5.2.6 */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
enum { HEADER_LEN = 16, RANGE_LEN = 16, RANGE_UNMAP = 1 };

struct request {
	struct block_req block;
	struct blk *blk;
	struct request *next; /* of a list of free or done ones */
	struct virtq_chain chain;
	u16 queue;
	bool flush_after; /* done only when it is durable */
	u8 status;        /* for those that no back end sees */
	/* The data are pieces of the chain as they are; one shared with header or status is cut. */
	struct alc_iov *cut, uncut;
	struct alc_iov pieces[PIECES_MAX];
};

struct blk {
	struct virtio *v;
	struct block *disk;
	struct request *requests, *free;
	unsigned requests_len;
	u64 starved; /* queues that had chains when there was no request free */

	_Atomic(struct request *) done; /* the last one first */
	_Atomic(bool) submitting;       /* who does that collects afterwards */
};

struct config {
	struct virtio_options virtio;
	u64 queues, queue_size;
	const char *serial;
};

struct state {
	struct virtio_regs virtio;
	u8 writeback; /* 5.2.5: 0: a write is durable when it is done */
};

#define OPTIONS(P)                                                                          \
	VIRTIO_OPTIONS(P)                                                                   \
	P(struct config, UINT, queues, "0", 0, QUEUES_MAX, "request queues; 0: one a vCPU") \
	P(struct config, UINT, queue_size, "512", QUEUE_SIZE_MIN, QUEUE_SIZE_MAX,           \
	  "descriptors of a queue, a power of two")                                         \
	P(struct config, STRING, serial, "", 0, 0, "serial number, at most 20 characters")

static struct state *state_of(const struct blk *b)
{
	return b->v->dev->state;
}

/* ---- what is done ---- */

static void list_push(struct blk *b, struct request *r)
{
	struct request *first = atomic_load(&b->done);

	do
		r->next = first;
	while (!atomic_compare_exchange_weak(&b->done, &first, r));
}

/* On any thread. */
static void block_done(struct block_req *req)
{
	struct request *r = req->ctx;
	struct blk *b = r->blk;

	if (r->flush_after && !req->status) {
		r->flush_after = false;
		req->op = BLOCK_FLUSH;
		req->next = NULL;
		block_submit(b->disk, req);
		return;
	}
	list_push(b, r);
	if (!atomic_load(&b->submitting))
		virtio_wake(b->v);
}

/* In the order in which they were done. */
static struct request *list_take(struct blk *b)
{
	struct request *r = atomic_exchange(&b->done, NULL), *first = NULL;

	while (r) {
		struct request *next = r->next;

		r->next = first;
		first = r;
		r = next;
	}
	return first;
}

static u8 status_of(const struct request *r)
{
	if (!r->block.status)
		return r->status;
	return r->block.status == -EOPNOTSUPP ? S_UNSUPP : S_IOERR;
}

/* The status is the last byte that the device may write, whatever the descriptors (2.7.4). */
static void put_status(const struct request *r, u8 status)
{
	const struct virtq_chain *c = &r->chain;

	iov_copy_to(c->iov + c->nout, c->nin, c->in_len - 1, &status, 1);
}

static void give_back(struct blk *b, struct request *r, bool push)
{
	struct virtq *q = b->v->queues[r->queue];

	if (r->cut)
		*r->cut = r->uncut;
	if (push) {
		put_status(r, status_of(r));
		virtq_push(q, &r->chain, (u32)r->chain.in_len);
	} else {
		virtq_drop(q, &r->chain, (u32)r->chain.in_len);
	}
	r->next = b->free;
	b->free = r;
}

/* With the lock held. except: a queue whose chains are forgotten; QUEUES_MAX: none. */
static void collect(struct blk *b, unsigned except)
{
	struct request *r = list_take(b);
	u64 signal = 0;

	while (r) {
		struct request *next = r->next;
		bool push = b->v->running && r->queue != except;

		if (push)
			signal |= BIT(r->queue);
		give_back(b, r, push);
		r = next;
	}
	for (unsigned i = 0; signal >> i; i++)
		if (signal >> i & 1)
			virtio_signal(b->v, i);
}

/* ---- requests ---- */

struct header {
	u32 type;
	u16 priority;
	u64 sector;
};

/*
 * Who issued it, as far as the guest says: 5.2.6 reserves the second word of the header; Linux puts
 * the process's I/O priority there (class and level, ioprio_set(2)), and others zero.
 */
static u64 issuer(const struct header *h, unsigned queue)
{
	return (u64)h->priority << 16 | queue;
}

static int wrong(struct request *r, u8 status)
{
	r->status = status;
	return -EINVAL;
}

static bool writes_through(const struct blk *b)
{
	return !virtio_has(b->v, F_FLUSH) || !state_of(b)->writeback;
}

static int set_range(struct request *r, u64 sector, u64 len)
{
	struct block_req *req = &r->block;

	if (sector > UINT64_MAX >> SECTOR_SHIFT)
		return wrong(r, S_IOERR);
	req->offset = sector << SECTOR_SHIFT;
	req->len = len;
	if (block_check(&r->blk->disk->info, req->op, req->offset, len))
		return wrong(r, S_IOERR);
	return 0;
}

static void cut(struct request *r, struct alc_iov *piece, size_t front, size_t back)
{
	r->cut = piece;
	r->uncut = *piece;
	piece->base += front;
	piece->len -= front + back;
}

/* All that the device may write but the last byte. */
static void data_in(struct request *r)
{
	const struct virtq_chain *c = &r->chain;
	struct alc_iov *p = c->iov + c->nout, *last = p + c->nin - 1;

	r->block.iov = p;
	r->block.niov = c->nin - (last->len == 1);
	if (last->len > 1)
		cut(r, last, 0, 1);
}

/* All that it may read but the header. */
static void data_out(struct request *r)
{
	const struct virtq_chain *c = &r->chain;
	struct alc_iov *p = c->iov, *end = p + c->nout;
	size_t skip = HEADER_LEN;

	for (; p < end && p->len <= skip; p++)
		skip -= p->len;
	if (skip)
		cut(r, p, skip, 0);
	r->block.iov = p;
	r->block.niov = (unsigned)(end - p);
}

static int prepare_read(struct request *r, const struct header *h)
{
	const struct virtq_chain *c = &r->chain;

	r->block.op = BLOCK_READ;
	data_in(r);
	return set_range(r, h->sector, c->in_len - 1);
}

static int prepare_write(struct request *r, const struct header *h)
{
	const struct virtq_chain *c = &r->chain;

	r->block.op = BLOCK_WRITE;
	data_out(r);
	r->flush_after = writes_through(r->blk);
	return set_range(r, h->sector, c->out_len - HEADER_LEN);
}

static int prepare_flush(struct request *r, const struct header *h)
{
	r->block.op = BLOCK_FLUSH;
	return 0;
}

/* Discard and write zeroes: the data are ranges, of which the device takes one (5.2.6.2). */
static int prepare_range(struct request *r, const struct header *h)
{
	const struct virtq_chain *c = &r->chain;
	bool discard = h->type == T_DISCARD;
	u8 bytes[RANGE_LEN];
	u32 sectors, flags;

	if (!virtio_has(r->blk->v, discard ? F_DISCARD : F_WRITE_ZEROES))
		return wrong(r, S_UNSUPP);
	if (c->out_len != HEADER_LEN + RANGE_LEN)
		return wrong(r, S_IOERR);
	iov_copy_from(c->iov, c->nout, HEADER_LEN, bytes, sizeof(bytes));
	sectors = ld32(bytes + 8);
	flags = ld32(bytes + 12);
	if (flags & ~(discard ? 0u : RANGE_UNMAP))
		return wrong(r, S_UNSUPP);
	if (sectors > RANGE_SECTORS_MAX)
		return wrong(r, S_IOERR);
	r->block.op = discard ? BLOCK_DISCARD : BLOCK_ZERO;
	r->block.unmap = flags & RANGE_UNMAP;
	r->flush_after = !discard && writes_through(r->blk);
	return set_range(r, ld64(bytes), (u64)sectors << SECTOR_SHIFT);
}

/* 5.2.6: not terminated by a zero byte if it takes all the room. */
static int answer_id(struct request *r, const struct header *h)
{
	const struct config *config = r->blk->v->dev->config;
	const struct virtq_chain *c = &r->chain;
	u8 id[SERIAL_LEN] = {0};

	__builtin_memcpy(id, config->serial, str_len(config->serial));
	iov_copy_to(c->iov + c->nout, c->nin, 0, id, min_u64(c->in_len - 1, sizeof(id)));
	return wrong(r, S_OK);
}

static const struct kind {
	u32 type;
	/* 0: the back end is asked. Else the answer is r->status. */
	int (*prepare)(struct request *r, const struct header *h);
} kinds[] = {
	{T_IN, prepare_read},  {T_OUT, prepare_write},     {T_FLUSH, prepare_flush},
	{T_GET_ID, answer_id}, {T_DISCARD, prepare_range}, {T_WRITE_ZEROES, prepare_range},
};

/* The header is copied in, and not looked at again. */
static int prepare(struct request *r)
{
	const struct virtq_chain *c = &r->chain;
	u8 bytes[HEADER_LEN];
	struct header h;

	iov_copy_from(c->iov, c->nout, 0, bytes, sizeof(bytes));
	h = (struct header){
		.type = ld32(bytes), .priority = ld16(bytes + 4), .sector = ld64(bytes + 8)};
	r->block = (struct block_req){.issuer = issuer(&h, r->queue), .done = block_done, .ctx = r};
	r->cut = NULL;
	r->flush_after = false;
	r->status = S_OK;
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].type == h.type)
			return kinds[i].prepare(r, &h);
	return wrong(r, S_UNSUPP);
}

static bool is_empty(const struct request *r)
{
	return r->block.op != BLOCK_FLUSH && !r->block.len;
}

/* Takes what the queue has, gives it to the back end as one list. Returns how many. */
static unsigned take_chains(struct blk *b, unsigned queue)
{
	struct block_req *list = NULL, **end = &list;
	struct request *r;
	unsigned n = 0;

	while ((r = b->free)) {
		r->chain = (struct virtq_chain){.iov = r->pieces, .iov_max = PIECES_MAX};
		if (!virtio_pop(b->v, queue, &r->chain))
			break;
		if (r->chain.out_len < HEADER_LEN || !r->chain.in_len) {
			virtio_break(b->v, "a disk request without header or status");
			break;
		}
		b->free = r->next;
		r->queue = (u16)queue;
		n++;
		if (prepare(r) || is_empty(r)) {
			list_push(b, r);
			continue;
		}
		*end = &r->block;
		end = &r->block.next;
	}
	if (!r)
		b->starved |= BIT(queue);
	if (list)
		block_submit(b->disk, list);
	return n;
}

/*
 * Notifications are off while chains are taken. After they are on again there may be one more: it
 * came in between. Chains that are there and are not given (a function that is no bus master) are
 * not waited for.
 */
static void serve(struct blk *b, unsigned queue)
{
	struct virtio *v = b->v;
	struct virtq *q = v->queues[queue];
	unsigned nothing = 0;

	do {
		virtq_notify_enable(q, false);
		atomic_store(&b->submitting, true);
		nothing = take_chains(b, queue) ? 0 : nothing + 1;
		atomic_store(&b->submitting, false);
		collect(b, QUEUES_MAX);
	} while (v->running && virtq_notify_enable(q, true) && nothing < 2);
}

/*
 * A queue that is still starved after that is so because requests are in flight, and they will be
 * collected.
 */
static void serve_starved(struct blk *b)
{
	u64 queues = b->starved;

	b->starved = 0;
	for (; queues; queues &= queues - 1)
		serve(b, (unsigned)__builtin_ctzll(queues));
}

static void blk_notify(struct virtio *v, unsigned queue)
{
	serve(v->priv, queue);
	serve_starved(v->priv);
}

static void blk_work(struct virtio *v)
{
	collect(v->priv, QUEUES_MAX);
	serve_starved(v->priv);
}

/* ---- configuration ---- */

static void blk_config(struct virtio *v, u8 *out)
{
	const struct blk *b = v->priv;
	const struct block_info *info = &b->disk->info;
	u32 ratio = info->physical / info->block;

	st64(out + AT_CAPACITY, info->size >> SECTOR_SHIFT);
	st32(out + AT_SEG_MAX, (u32)min_u64(SEG_MAX, v->queue_size[0] - SEG_OTHERS));
	st32(out + AT_BLK_SIZE, info->block);
	st8(out + AT_PHYSICAL_EXP, ratio > 1 ? (u8)(31 - __builtin_clz(ratio)) : 0);
	st16(out + AT_MIN_IO, (u16)(ratio > 1 ? ratio : 1));
	st8(out + AT_WRITEBACK, state_of(b)->writeback);
	st16(out + AT_NUM_QUEUES, (u16)v->nqueues);
	st32(out + AT_DISCARD_SECTORS, info->discard ? RANGE_SECTORS_MAX : 0);
	st32(out + AT_DISCARD_SEG, info->discard);
	st32(out + AT_DISCARD_ALIGN, info->discard_align >> SECTOR_SHIFT);
	st32(out + AT_ZEROES_SECTORS, info->zeroes ? RANGE_SECTORS_MAX : 0);
	st32(out + AT_ZEROES_SEG, info->zeroes);
	st8(out + AT_ZEROES_UNMAP, info->zeroes);
}

static void blk_config_written(struct virtio *v, const u8 *bytes, unsigned off, unsigned len)
{
	if (off <= AT_WRITEBACK && AT_WRITEBACK < off + len && virtio_has(v, F_CONFIG_WCE))
		state_of(v->priv)->writeback = bytes[AT_WRITEBACK] & 1;
}

/* ---- life ---- */

static int no_memory(const struct virtio *v, struct alc_err *err)
{
	return alc_fail(err, -ENOMEM, "no memory for the requests of disk '%s'", v->dev->id);
}

static int make_requests(struct blk *b, unsigned n, struct alc_err *err)
{
	struct request *r = host_alloc(b->v->dev->env.host, n * sizeof(*r));

	if (!r)
		return no_memory(b->v, err);
	b->requests = r;
	b->requests_len = n;
	for (unsigned i = 0; i < n; i++) {
		r[i].blk = b;
		r[i].next = b->free;
		b->free = &r[i];
	}
	return 0;
}

static int check_options(const struct virtio *v, struct alc_err *err)
{
	const struct config *c = v->dev->config;

	if (!v->dev->env.block)
		return alc_fail(err, -EINVAL, "device '%s' needs a disk: --disk FILE gives it one",
				v->dev->id);
	if (c->queue_size & (c->queue_size - 1))
		return alc_fail(err, -EINVAL, "device '%s': queue_size %llu is no power of two",
				v->dev->id, (unsigned long long)c->queue_size);
	if (str_len(c->serial) > SERIAL_LEN)
		return alc_fail(err, -EINVAL,
				"device '%s': serial number '%s' has more than 20 characters",
				v->dev->id, c->serial);
	return 0;
}

static u64 features(const struct virtio *v)
{
	const struct block_info *info = &v->dev->env.block->info;
	u64 f = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_CONFIG_WCE;

	if (v->nqueues > 1)
		f |= F_MQ;
	if (info->read_only)
		return f | F_RO;
	return f | (info->discard ? F_DISCARD : 0) | (info->zeroes ? F_WRITE_ZEROES : 0);
}

static int blk_probe(struct virtio *v, struct alc_err *err)
{
	const struct config *c = v->dev->config;
	struct blk *b = v->priv;
	u64 queues = c->queues ? c->queues : v->dev->env.cpus;
	int rc = check_options(v, err);

	b->v = v;
	b->disk = v->dev->env.block;
	if (!rc)
		rc = make_requests(b, (unsigned)min_u64(c->queue_size, REQUESTS_MAX), err);
	if (rc)
		return rc;
	v->nqueues = queues ? (unsigned)min_u64(queues, QUEUES_MAX) : 1;
	for (unsigned i = 0; i < v->nqueues; i++)
		v->queue_size[i] = (u16)c->queue_size;
	v->offers = features(v);
	return 0;
}

static void blk_remove(struct virtio *v)
{
	const struct alc_host *h = v->dev->env.host;
	struct blk *b = v->priv;

	host_free(h, b->requests, b->requests_len * sizeof(struct request));
}

static void blk_stop(struct virtio *v)
{
	struct blk *b = v->priv;
	struct request *r;

	b->starved = 0;
	block_drain(b->disk);
	for (r = list_take(b); r;) {
		struct request *next = r->next;

		give_back(b, r, false);
		r = next;
	}
}

static void blk_stop_queue(struct virtio *v, unsigned queue)
{
	struct blk *b = v->priv;

	b->starved &= ~BIT(queue);
	block_drain(b->disk);
	collect(b, queue);
	serve_starved(b);
}

static void blk_quiesce(struct virtio *v)
{
	struct blk *b = v->priv;

	do {
		serve_starved(b);
		block_drain(b->disk);
		collect(b, QUEUES_MAX);
	} while (v->running && b->starved);
}

/* 5.2.5.2: what a driver finds that knows nothing of it. */
static void blk_reset(struct virtio *v)
{
	state_of(v->priv)->writeback = 1;
}

static int blk_check(struct virtio *v, struct alc_err *err)
{
	if (state_of(v->priv)->writeback <= 1)
		return 0;
	return alc_fail(err, -EINVAL, "device '%s': snapshot has a cache mode that can't be",
			v->dev->id);
}

static const struct virtio_type type = {
	.id = ID_BLOCK,
	.class_code = PCI_CLASS_SCSI,
	.priv_size = sizeof(struct blk),
	.config_size = CONFIG_SIZE,
	.probe = blk_probe,
	.remove = blk_remove,
	.config = blk_config,
	.config_written = blk_config_written,
	.notify = blk_notify,
	.stop = blk_stop,
	.stop_queue = blk_stop_queue,
	.quiesce = blk_quiesce,
	.work = blk_work,
	.busy = true,
	.reset = blk_reset,
	.check = blk_check,
};

static const struct alc_prop props[] = {OPTIONS(PROP_ROW) PROP_END};
static const struct alc_option_info options[] = {OPTIONS(OPTION_ROW)};
static const struct alc_field fields[] = {VIRTIO_FIELDS, FIELD(struct state, writeback), FIELD_END};

extern const struct alc_dev_class virtio_blk_class;
const struct alc_dev_class virtio_blk_class = {
	.name = "virtio-blk",
	.summary = "disk",
	.state_size = sizeof(struct state),
	.state = fields,
	.version = 1,
	.version_min = 1,
	.config_size = sizeof(struct config),
	.props = props,
	.options = options,
	.backend = ALC_BACKEND_BLOCK,
	VIRTIO_CLASS_OPS(type),
};
