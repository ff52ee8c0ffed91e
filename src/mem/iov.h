/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef MEM_IOV_H
#define MEM_IOV_H

#include "base/bits.h"

/* A piece of a scattered buffer in host memory; laid out as POSIX's struct iovec. */
struct alc_iov {
	u8 *base;
	size_t len;
};

/* Total length. */
u64 iov_len(const struct alc_iov *iov, unsigned n);
/* Copies up to len bytes from offset `at` of the buffer, or to there. Returns how many. */
size_t iov_copy_from(const struct alc_iov *iov, unsigned n, u64 at, void *to, size_t len);
size_t iov_copy_to(const struct alc_iov *iov, unsigned n, u64 at, const void *from, size_t len);
size_t iov_fill(const struct alc_iov *iov, unsigned n, u64 at, u8 byte, size_t len);
/*
 * The pieces that make up [at, at+len) of the buffer into out, which has room for n: how many.
 * What lies beyond the buffer's end is left out.
 */
unsigned iov_slice(const struct alc_iov *iov, unsigned n, u64 at, u64 len, struct alc_iov *out);

#endif
