/* SPDX-License-Identifier: BSD-2-Clause */
#include <assert.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/linux/linux.h"

/*
 * A full barrier on all threads of this process.
 *
 * membarrier(2) does just that, by an interrupt to every processor that runs one of our threads
 * (a thread that isn't running had its barrier when it was switched out). Where a seccomp filter
 * forbids it, taking away a right to a page that is present has the same effect: the kernel must
 * interrupt the same processors so that they forget their translations. That holds for x86
 * kernels that shoot down translations by interrupt; it is only the second choice because
 * nothing promises it.
 */
struct linux_barrier {
	pthread_mutex_t lock;
	volatile u8 *page;
};

enum { PAGE_BYTES = 4096 };

static int membarrier(int cmd)
{
	return syscall(SYS_membarrier, cmd, 0, 0) ? -errno : 0;
}

int linux_barrier_open_fallback(struct linux_barrier **out)
{
	struct linux_barrier *b = calloc(1, sizeof(*b));
	void *page;

	if (!b)
		return -ENOMEM;
	page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) {
		free(b);
		return -ENOMEM;
	}
	mlock(page, PAGE_BYTES); /* best effort: a page that is swapped out needs no shootdown */
	pthread_mutex_init(&b->lock, NULL);
	b->page = page;
	*out = b;
	return 0;
}

int linux_barrier_open(struct linux_barrier **out)
{
	*out = NULL;
	if (!membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) &&
	    !membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
		return 0;
	return linux_barrier_open_fallback(out);
}

void linux_barrier_close(struct linux_barrier *b)
{
	if (!b)
		return;
	munmap((void *)(uintptr_t)b->page, PAGE_BYTES);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static void flip_page(struct linux_barrier *b)
{
	void *page = (void *)(uintptr_t)b->page;
	int rc;

	pthread_mutex_lock(&b->lock);
	rc = mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE);
	assert(!rc);
	*b->page = 1; /* present and dirty, so that there is a translation to forget */
	rc = mprotect(page, PAGE_BYTES, PROT_READ);
	assert(!rc);
	(void)rc;
	pthread_mutex_unlock(&b->lock);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void linux_barrier(struct linux_barrier *b)
{
	int rc;

	if (b) {
		flip_page(b);
		return;
	}
	rc = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	assert(!rc); /* it worked at open */
	(void)rc;
}
