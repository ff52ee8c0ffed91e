/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/linux/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fmt.h"
#include "block/linux/inflight.h"
#include "block/linux/report.h"
#include "block/linux/threads.h"
#include "block/linux/transfer.h"
#include "block/linux/uring.h"

/* As many as a disk behind a thread pool commonly gets; enough to keep an SSD busy. */
enum { POOL_THREADS = 8, NAME_MAX_SHOWN = 120 };

struct file {
	struct block block;
	const struct alc_host *host;
	struct transfer t;
	struct report report;
	struct inflight inflight;
	_Atomic(int) flush_error; /* of the first fdatasync that failed, for good */
	struct uring *uring;      /* NULL: all goes to the pool */
	struct pool *pool;        /* beside a ring: for what may block and is rare */
	char name[NAME_MAX_SHOWN];
};

/* ---- completion --------------------------------------------------------------------------- */

static const char *const op_names[] = {
	[BLOCK_READ] = "read",       [BLOCK_WRITE] = "write",  [BLOCK_FLUSH] = "flush",
	[BLOCK_DISCARD] = "discard", [BLOCK_ZERO] = "zeroing",
};

static void report_failure(struct file *f, const struct block_req *r, int status)
{
	if (status == -ENODATA)
		report_line(&f->report,
			    "disk '%s': the file has shrunk: %s of %llu bytes at %llu is "
			    "beyond its end",
			    f->name, op_names[r->op], (unsigned long long)r->len,
			    (unsigned long long)r->offset);
	else if (r->op == BLOCK_FLUSH)
		report_line(&f->report, "disk '%s': flush failed, writes may be lost: %s", f->name,
			    strerror(-status));
	else
		report_line(&f->report, "disk '%s': %s of %llu bytes at %llu failed: %s", f->name,
			    op_names[r->op], (unsigned long long)r->len,
			    (unsigned long long)r->offset, strerror(-status));
}

static int flush_outcome(struct file *f, int status)
{
	int good = 0;

	if (status)
		atomic_compare_exchange_strong(&f->flush_error, &good, status);
	return atomic_load(&f->flush_error);
}

static void finish(struct file *f, struct block_req *r, int status)
{
	if (r->op == BLOCK_FLUSH)
		status = flush_outcome(f, status);
	if (status)
		report_failure(f, r, status);
	inflight_done(&f->inflight, r, status == -ENODATA ? -EIO : status);
}

/* In a thread of the pool. provider_use[0]: bytes transferred. */
static void run_here(void *ctx, struct block_req *r)
{
	struct file *f = ctx;

	finish(f, r, transfer_run(&f->t, r, r->provider_use[0]));
}

static void to_pool(struct file *f, struct block_req *r)
{
	int rc;

	r->next = NULL;
	rc = pool_submit(f->pool, r);
	if (rc)
		finish(f, r, rc);
}

/* What the ring could not do to its end is the pool's. */
static void ring_done(void *ctx, struct block_req *r, int result)
{
	struct file *f = ctx;

	if (result == -ECANCELED || result == -EAGAIN || result == -EINTR) {
		to_pool(f, r);
	} else if (result < 0 || r->op == BLOCK_FLUSH || (u64)result == r->len) {
		finish(f, r, result < 0 ? result : 0);
	} else {
		r->provider_use[0] = (u64)result;
		to_pool(f, r);
	}
}

/* ---- submission --------------------------------------------------------------------------- */

static bool for_ring(const struct file *f, const struct block_req *r)
{
	if (!f->uring)
		return false;
	if (r->op == BLOCK_FLUSH)
		return true;
	return (r->op == BLOCK_READ || r->op == BLOCK_WRITE) && r->len && r->len <= INT_MAX &&
	       r->niov <= URING_IOV_MAX && transfer_aligned(&f->t, r);
}

static void file_submit(struct block *b, struct block_req *list)
{
	struct file *f = container_of(b, struct file, block);
	struct block_req *ring = NULL, **ring_end = &ring;
	u64 n = 0;

	for (struct block_req *r = list; r; r = r->next)
		n++;
	inflight_add(&f->inflight, n);
	while (list) {
		struct block_req *r = list;
		int rc = block_check(&f->block.info, r->op, r->offset, r->len);

		list = r->next;
		r->next = NULL;
		r->provider_use[0] = 0;
		if (rc) {
			inflight_done(&f->inflight, r, rc);
		} else if (for_ring(f, r)) {
			*ring_end = r;
			ring_end = &r->next;
		} else {
			to_pool(f, r);
		}
	}
	if (ring)
		uring_submit(f->uring, ring);
}

static void file_drain(struct block *b)
{
	struct file *f = container_of(b, struct file, block);

	inflight_wait_none(&f->inflight);
}

/* The lock goes by hand: the kernel holds on to a ring, and a ring to its files, for a while. */
static void file_close(struct block *b)
{
	struct file *f = container_of(b, struct file, block);
	struct flock unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	uring_destroy(f->uring);
	pool_destroy(f->pool);
	fcntl(f->t.fd, F_OFD_SETLK, &unlock);
	close(f->t.fd);
	inflight_fini(&f->inflight);
	host_free(f->host, f, sizeof(*f));
}

static const struct block_ops file_ops = {
	.name = "file",
	.submit = file_submit,
	.drain = file_drain,
	.close = file_close,
};

/* ---- opening ------------------------------------------------------------------------------ */

static int lock_image(const struct file *f, struct alc_err *err)
{
	bool ro = f->block.info.read_only;
	struct flock l = {.l_type = ro ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(f->t.fd, F_OFD_SETLK, &l) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return alc_fail(err, -EBUSY,
				ro ? "disk image '%s' is in use: another program is writing to it"
				   : "disk image '%s' is in use by another program: only one may "
				     "write to it, and only when no other reads it",
				f->name);
	return alc_fail(err, -errno, "can't lock disk image '%s': %s", f->name, strerror(errno));
}

/* The smallest transfer that O_DIRECT takes, found by trying one. */
static int probe_direct(struct file *f, struct alc_err *err)
{
	u8 *p = aligned_alloc(BLOCK_MAX, (size_t)2 * BLOCK_MAX);
	ssize_t n;

	if (!p)
		return alc_fail(err, -ENOMEM, "no memory to open disk image '%s'", f->name);
	n = pread(f->t.fd, p + BLOCK_MIN, BLOCK_MIN, BLOCK_MIN);
	f->t.align = n >= 0 || errno != EINVAL ? BLOCK_MIN : BLOCK_MAX;
	free(p);
	return 0;
}

static int device_geometry(struct file *f, u64 *size, struct alc_err *err)
{
	struct block_info *info = &f->block.info;
	int logical = 0;
	unsigned physical = 0;

	if (ioctl(f->t.fd, BLKGETSIZE64, size) || ioctl(f->t.fd, BLKSSZGET, &logical) ||
	    ioctl(f->t.fd, BLKPBSZGET, &physical))
		return alc_fail(err, -errno, "can't find the size of block device '%s': %s",
				f->name, strerror(errno));
	if (logical != BLOCK_MIN && logical != BLOCK_MAX)
		return alc_fail(err, -ENOTSUP, "block device '%s' has blocks of %d bytes", f->name,
				logical);
	info->block = (u32)logical;
	info->physical = physical;
	if (f->t.align)
		f->t.align = (u32)logical;
	return 0;
}

static int geometry(struct file *f, u64 *size, struct alc_err *err)
{
	struct stat st;

	if (fstat(f->t.fd, &st))
		return alc_fail(err, -errno, "can't look at disk image '%s': %s", f->name,
				strerror(errno));
	f->t.device = S_ISBLK(st.st_mode);
	if (!f->t.device && !S_ISREG(st.st_mode))
		return alc_fail(err, -EINVAL,
				"disk image '%s' is neither a file nor a block device", f->name);
	if (f->t.device)
		return device_geometry(f, size, err);
	*size = (u64)st.st_size;
	f->block.info.block = f->t.align ? f->t.align : BLOCK_MIN;
	f->block.info.physical = BLOCK_MAX;
	return 0;
}

static int set_info(struct file *f, struct alc_err *err)
{
	struct block_info *info = &f->block.info;
	char text[ALC_ERR_TEXT_MAX];
	u64 size;
	int rc = geometry(f, &size, err);

	if (rc)
		return rc;
	info->size = align_down(size, info->block);
	info->discard = info->zeroes = !info->read_only;
	info->discard_align = info->physical;
	if (!info->size)
		return alc_fail(err, -EINVAL, "disk image '%s' has only %llu bytes", f->name,
				(unsigned long long)size);
	if (info->size != size) {
		fmt_text(text, sizeof(text),
			 "disk '%s': %llu bytes are no whole number of blocks: the last %llu are "
			 "left out",
			 f->name, (unsigned long long)size,
			 (unsigned long long)(size - info->size));
		f->host->log(f->host->ctx, ALC_LOG_WARN, text);
	}
	return 0;
}

static bool ring_forbidden(int rc)
{
	return rc == -EPERM || rc == -ENOSYS || rc == -EACCES || rc == -ENOMEM;
}

static int start_io(struct file *f, enum file_aio aio, struct alc_err *err)
{
	int rc = pool_create(f->host, POOL_THREADS, run_here, f, &f->pool, err);

	if (rc || aio == FILE_AIO_THREADS)
		return rc;
	rc = uring_create(f->host, f->t.fd, ring_done, f, &f->uring,
			  aio == FILE_AIO_AUTO ? NULL : err);
	if (rc && aio == FILE_AIO_AUTO && ring_forbidden(rc))
		return 0;
	return rc ? alc_fail(err, rc, "can't set up io_uring: %s", strerror(-rc)) : 0;
}

static int file_set_up(struct file *f, const struct file_params *p, struct alc_err *err)
{
	int rc = 0;

	if (p->direct)
		rc = probe_direct(f, err);
	if (!rc)
		rc = set_info(f, err);
	if (!rc)
		rc = lock_image(f, err);
	if (!rc)
		rc = start_io(f, p->aio, err);
	return rc;
}

int block_file_take(const struct alc_host *host, int fd, const char *name,
		    const struct file_params *p, struct block **out, struct alc_err *err)
{
	struct file *f = host_alloc(host, sizeof(*f));
	int rc;

	if (!f) {
		close(fd);
		return alc_fail(err, -ENOMEM, "no memory to open disk image '%s'", name);
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	f->host = f->report.host = host;
	f->t.fd = fd;
	f->block.ops = &file_ops;
	f->block.info.read_only = p->read_only;
	inflight_init(&f->inflight);
	fmt_text(f->name, sizeof(f->name), "%s", name);
	rc = file_set_up(f, p, err);
	if (rc) {
		file_close(&f->block);
		return rc;
	}
	*out = &f->block;
	return 0;
}

static int open_failed(const char *path, const struct file_params *p, struct alc_err *err)
{
	int e = errno;

	if (!p->read_only && (e == EROFS || e == EACCES) && access(path, R_OK) == 0)
		return alc_fail(err, -e,
				"disk image '%s' can't be written to (%s): 'readonly' or "
				"'snapshot' leaves it as it is",
				path, strerror(e));
	if (p->direct && e == EINVAL)
		return alc_fail(err, -e, "disk image '%s': its file system has no cache=none",
				path);
	return alc_fail(err, -e, "can't open disk image '%s': %s", path, strerror(e));
}

/* O_NONBLOCK: a FIFO must not make us wait. Not for longer: io_uring takes it at its word. */
int block_file_open(const struct alc_host *host, const char *path, const struct file_params *p,
		    struct block **out, struct alc_err *err)
{
	int flags = O_CLOEXEC | O_NONBLOCK | (p->direct ? O_DIRECT : 0);
	int fd = open(path, flags | (p->read_only ? O_RDONLY : O_RDWR));

	if (fd < 0)
		return open_failed(path, p, err);
	return block_file_take(host, fd, path, p, out, err);
}
