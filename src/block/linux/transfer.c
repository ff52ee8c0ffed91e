/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/linux/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BOUNCE_BYTES = 256 << 10 };

bool transfer_aligned(const struct transfer *t, const struct block_req *r)
{
	if (!t->align)
		return true;
	for (unsigned i = 0; i < r->niov; i++)
		if (((uintptr_t)r->iov[i].base | r->iov[i].len) & (t->align - 1))
			return false;
	return true;
}

/* The result of one system call on a part of the data: how much, or -errno. */
static ssize_t outcome(ssize_t n)
{
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	return n ? n : -ENODATA;
}

static ssize_t transfer_whole(const struct transfer *t, const struct block_req *r)
{
	const struct iovec *iov = (const struct iovec *)r->iov;
	int n = r->niov < IOV_MAX ? (int)r->niov : IOV_MAX;

	if (r->op == BLOCK_READ)
		return outcome(preadv(t->fd, iov, n, (off_t)r->offset));
	return outcome(pwritev(t->fd, iov, n, (off_t)r->offset));
}

static ssize_t transfer_piece(const struct transfer *t, enum block_op op, u8 *p, size_t len, u64 at)
{
	if (op == BLOCK_READ)
		return outcome(pread(t->fd, p, len, (off_t)at));
	return outcome(pwrite(t->fd, p, len, (off_t)at));
}

static int transfer_range(const struct transfer *t, enum block_op op, u8 *p, size_t len, u64 at)
{
	while (len) {
		ssize_t n = transfer_piece(t, op, p, len, at);

		if (n < 0)
			return (int)n;
		p += n;
		at += (u64)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Piece by piece from byte `done` of the data on. */
static int transfer_rest(const struct transfer *t, const struct block_req *r, u64 done)
{
	u64 start = 0;
	int rc = 0;

	for (unsigned i = 0; i < r->niov && !rc; i++) {
		u64 len = r->iov[i].len, skip = done > start ? min_u64(done - start, len) : 0;

		rc = transfer_range(t, r->op, r->iov[i].base + skip, len - skip,
				    r->offset + start + skip);
		start += len;
	}
	return rc;
}

static int transfer_bounced(const struct transfer *t, const struct block_req *r, u8 *bounce)
{
	int rc = 0;

	for (u64 at = 0; at < r->len && !rc; at += BOUNCE_BYTES) {
		size_t len = min_u64(r->len - at, BOUNCE_BYTES);

		if (r->op == BLOCK_WRITE)
			iov_copy_from(r->iov, r->niov, at, bounce, len);
		rc = transfer_range(t, r->op, bounce, len, r->offset + at);
		if (!rc && r->op == BLOCK_READ)
			iov_copy_to(r->iov, r->niov, at, bounce, len);
	}
	return rc;
}

static int transfer_unaligned(const struct transfer *t, const struct block_req *r)
{
	u8 *bounce = aligned_alloc(BLOCK_MAX, BOUNCE_BYTES);
	int rc = bounce ? transfer_bounced(t, r, bounce) : -ENOMEM;

	free(bounce);
	return rc;
}

static int transfer_data(const struct transfer *t, const struct block_req *r, u64 done)
{
	if (!transfer_aligned(t, r))
		return transfer_unaligned(t, r);
	if (!done) {
		ssize_t n = transfer_whole(t, r);

		if (n < 0)
			return (int)n;
		done = (u64)n;
	}
	return done < r->len ? transfer_rest(t, r, done) : 0;
}

static int allocate(const struct transfer *t, int mode, const struct block_req *r)
{
	int rc;

	do
		rc = fallocate(t->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)r->offset, (off_t)r->len);
	while (rc && errno == EINTR);
	return rc ? -errno : 0;
}

static bool unsupported(int rc)
{
	return rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -ENODEV || rc == -ENOTTY;
}

/* Advice: what can't be followed is done. */
static int discard(const struct transfer *t, const struct block_req *r)
{
	u64 range[2] = {r->offset, r->len};
	int rc;

	if (t->device)
		rc = ioctl(t->fd, BLKDISCARD, range) ? -errno : 0;
	else
		rc = allocate(t, FALLOC_FL_PUNCH_HOLE, r);
	return unsupported(rc) ? 0 : rc;
}

static int write_zeroes(const struct transfer *t, const struct block_req *r)
{
	u8 *zeroes = aligned_alloc(BLOCK_MAX, BOUNCE_BYTES);
	int rc = zeroes ? 0 : -ENOMEM;

	if (zeroes)
		__builtin_memset(zeroes, 0, BOUNCE_BYTES);
	for (u64 at = 0; at < r->len && !rc; at += BOUNCE_BYTES)
		rc = transfer_range(t, BLOCK_WRITE, zeroes, min_u64(r->len - at, BOUNCE_BYTES),
				    r->offset + at);
	free(zeroes);
	return rc;
}

static int zero(const struct transfer *t, const struct block_req *r)
{
	int rc = -EOPNOTSUPP;

	if (r->unmap)
		rc = allocate(t, FALLOC_FL_PUNCH_HOLE, r);
	if (unsupported(rc))
		rc = allocate(t, FALLOC_FL_ZERO_RANGE, r);
	return unsupported(rc) ? write_zeroes(t, r) : rc;
}

int transfer_run(const struct transfer *t, const struct block_req *r, u64 done)
{
	switch (r->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		return r->len ? transfer_data(t, r, done) : 0;
	case BLOCK_FLUSH:
		return fdatasync(t->fd) ? -errno : 0;
	case BLOCK_DISCARD:
		return discard(t, r);
	case BLOCK_ZERO:
		return zero(t, r);
	}
	return -EOPNOTSUPP;
}
