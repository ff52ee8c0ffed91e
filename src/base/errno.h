/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_ERRNO_H
#define BASE_ERRNO_H

/*
 * Error codes for code that has no C library. The numbers are Linux's, since hosted callers of
 * the core see them as errno values.
 */
#if __STDC_HOSTED__
#include <errno.h>
#else
#define EPERM      1
#define ENOENT     2
#define EINTR      4
#define EIO        5
#define E2BIG      7
#define ENOEXEC    8
#define EAGAIN     11
#define ENOMEM     12
#define EACCES     13
#define EFAULT     14
#define EBUSY      16
#define EEXIST     17
#define ENODEV     19
#define EINVAL     22
#define ENOSPC     28
#define EROFS      30
#define EPIPE      32
#define ERANGE     34
#define ENOSYS     38
#define EPROTO     71
#define EOVERFLOW  75
#define ENOTSUP    95
#define EOPNOTSUPP 95
#define ENOTCONN   107
#define ETIMEDOUT  110
#define ECANCELED  125
#endif

#endif
