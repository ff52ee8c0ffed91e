/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/linux/linux.h"

enum {
	ALLOC_ALIGN = 64,
	PAGE_BYTES = 4096,
	HUGE_BYTES = 2 << 20,
	/* From here on straight from the kernel: zeroed and populated only when touched. */
	ALLOC_MAP_MIN = 128 << 10,
	/* Of such a size where the kernel has room below 2 GiB, within reach of 32 bits. */
	ALLOC_LOW_MIN = 1 << 20,
	ALLOC_LOW_MAX = 16 << 20,
	/* What is larger is not used from end to end. */
	ALLOC_HUGE_MAX = 16 << 20,
	/* Smaller code leaves too much of its last huge page empty. */
	CODE_HUGE_MIN = 12 << 20,
};

static bool round_up(u64 size, u64 to, u64 *out)
{
	if (!size || size > INT64_MAX - to)
		return false;
	*out = align_up(size, to);
	return true;
}

/* Where a huge page can begin, if it is large enough for one; NULL: it can't be had. */
static void *map_aligned(u64 size, int prot, int flags)
{
	u64 spare = size >= HUGE_BYTES ? HUGE_BYTES : 0, before;
	u8 *p;

	size = align_up(size, PAGE_BYTES);
	p = mmap(NULL, size + spare, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	before = spare ? -(u64)(uintptr_t)p & (HUGE_BYTES - 1) : 0;
	if (before)
		munmap(p, before);
	if (spare)
		munmap(p + before + size, spare - before);
	return p + before;
}

static void *map_anonymous(size_t size)
{
	bool low = size >= ALLOC_LOW_MIN && size <= ALLOC_LOW_MAX;
	void *p = low ? map_aligned(size, PROT_READ | PROT_WRITE, MAP_32BIT) : NULL;

	if (!p)
		p = map_aligned(size, PROT_READ | PROT_WRITE, 0);
	if (p && size >= HUGE_BYTES && size <= ALLOC_HUGE_MAX)
		madvise(p, size, MADV_HUGEPAGE); /* a wish: kernels may be set up without */
	return p;
}

void *linux_alloc(void *ctx, size_t size)
{
	u64 rounded;
	void *p;

	if (!round_up(size ? size : 1, ALLOC_ALIGN, &rounded))
		return NULL;
	if (size >= ALLOC_MAP_MIN)
		return map_anonymous(size);
	p = aligned_alloc(ALLOC_ALIGN, rounded);
	return p ? memset(p, 0, rounded) : NULL;
}

void linux_free(void *ctx, void *p, size_t size)
{
	if (!p)
		return;
	if (size >= ALLOC_MAP_MIN)
		munmap(p, size);
	else
		free(p);
}

/* What a refusal to give memory may look like, as one code. */
static int memory_error(int rc)
{
	return rc == -EINVAL || rc == -EFBIG || rc == -EOVERFLOW ? -ENOMEM : rc;
}

int linux_ram_map(void *ctx, u64 size, struct alc_host_ram *out)
{
	u64 rounded;
	void *base;
	int fd, rc;

	if (!round_up(size, PAGE_BYTES, &rounded))
		return size ? -ENOMEM : -EINVAL;
	fd = linux_object("alcazar-ram", rounded);
	if (fd < 0)
		return memory_error(fd);
	base = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED) {
		rc = -errno;
		close(fd);
		return memory_error(rc);
	}
	madvise(base, rounded, MADV_HUGEPAGE); /* a wish, as above */
	*out = (struct alc_host_ram){.base = base, .size = rounded, .fd = fd};
	return 0;
}

void linux_ram_unmap(void *ctx, struct alc_host_ram *ram)
{
	if (!ram || !ram->base)
		return;
	munmap(ram->base, ram->size);
	close(ram->fd);
	*ram = (struct alc_host_ram){.fd = -1};
}

int linux_ram_discard(void *ctx, const struct alc_host_ram *ram, u64 off, u64 len)
{
	if (!len)
		return 0;
	if (off > ram->size || len > ram->size - off)
		return -EINVAL;
	return fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
			 (off_t)len)
		       ? -errno
		       : 0;
}

/* Hardened kernels say no in two ways. */
static int code_error(int rc)
{
	return rc == -EACCES ? -EPERM : memory_error(rc);
}

/*
 * An old size of 0 makes a second mapping of the same pages: mremap(2). Below 2 GiB, within reach
 * of what is allocated there, if there is room.
 */
static void *map_again(void *rw, u64 size)
{
	void *at = map_aligned(size, PROT_NONE, MAP_NORESERVE | MAP_32BIT), *again;

	if (!at)
		return mremap(rw, 0, size, MREMAP_MAYMOVE);
	again = mremap(rw, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, at);
	if (again == MAP_FAILED)
		munmap(at, size);
	return again;
}

/* Of a file, or anonymous memory if that is negative. */
static int map_code(int fd, u64 size, struct alc_host_code *out)
{
	int kind = MAP_SHARED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0), rc;
	void *rw = mmap(NULL, size, PROT_READ | PROT_WRITE, kind, fd, 0), *rx;

	if (rw == MAP_FAILED)
		return -errno;
	rx = map_again(rw, size);
	rc = rx == MAP_FAILED || mprotect(rx, size, PROT_READ | PROT_EXEC) ? -errno : 0;
	if (!rc) {
		madvise(rw, size, MADV_HUGEPAGE); /* a wish, as above */
		madvise(rx, size, MADV_HUGEPAGE);
		*out = (struct alc_host_code){.rw = rw, .rx = rx, .size = size};
		return 0;
	}
	if (rx != MAP_FAILED)
		munmap(rx, size);
	munmap(rw, size);
	return rc;
}

/*
 * Shared memory that perf takes for no file: where it thinks of one it looks for symbols there, not
 * in /tmp/perf-PID.map. It goes by the beginning of the name (is_anon_memory in its util/map.c):
 * "/dev/zero", as the kernel calls shared anonymous memory, or "/anon_hugepage". Where a policy
 * forbids to execute files like that, anonymous memory may be allowed still.
 */
int linux_code_map(void *ctx, u64 size, struct alc_host_code *out)
{
	u64 rounded;
	int rc = -1, fd;

	if (!round_up(size, PAGE_BYTES, &rounded))
		return size ? -ENOMEM : -EINVAL;
	fd = rounded >= CODE_HUGE_MIN ? linux_huge_object("anon_hugepage", rounded) : -1;
	if (fd >= 0) {
		rc = map_code(fd, rounded, out);
		close(fd);
	}
	if (rc)
		rc = map_code(-1, rounded, out);
	return rc ? code_error(rc) : 0;
}

void linux_code_unmap(void *ctx, struct alc_host_code *code)
{
	if (!code || !code->rw)
		return;
	munmap(code->rw, code->size);
	munmap((void *)(uintptr_t)code->rx, code->size);
	*code = (struct alc_host_code){0};
}
