/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BLOCK_LINUX_URING_H
#define BLOCK_LINUX_URING_H

#include "alcazar/err.h"
#include "block/block.h"
#include "host/host.h"

/*
 * io_uring on one file: reads, writes and flushes (as fdatasync).
 *
 * A list is one system call. What the kernel has done by the time that the call returns (reads of
 * what the page cache has) is completed by who submitted it; a thread of the ring's own completes
 * the rest, which it learns of by an eventfd.
 */
struct uring;

enum { URING_IOV_MAX = 1024 }; /* pieces of one request, the kernel's UIO_MAXIOV */

/*
 * -EPERM, -ENOSYS: there is no io_uring here.
 * complete: with the result of the system call: bytes, or -errno. From any thread. -ECANCELED,
 * -EAGAIN and -EINTR say nothing about the file: the kernel gives up work that it does on behalf of
 * a thread when that thread ends.
 */
int uring_create(const struct alc_host *host, int fd,
		 void (*complete)(void *ctx, struct block_req *r, int result), void *ctx,
		 struct uring **out, struct alc_err *err) ALC_MUST_CHECK;
/* Nothing is in flight. NULL is fine. */
void uring_destroy(struct uring *u);
void uring_submit(struct uring *u, struct block_req *list);

#endif
