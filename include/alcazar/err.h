/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ALCAZAR_ERR_H
#define ALCAZAR_ERR_H

#include <stdarg.h>
#include <stddef.h>

/*
 * Errors.
 *
 * A function that can fail returns 0 or a negative errno value, leaves its out
 * parameters untouched on failure, and takes an optional `struct alc_err *`
 * (NULL: not interested). The innermost failure writes one sentence for a
 * person there; outer layers never overwrite it.
 */
enum { ALC_ERR_TEXT_MAX = 240 };

struct alc_err {
	int code;                    /* 0 or -errno, as returned */
	char text[ALC_ERR_TEXT_MAX]; /* one sentence, no newline, always terminated */
};

#define ALC_MUST_CHECK   __attribute__((warn_unused_result))
#define ALC_PRINTF(f, a) __attribute__((format(printf, f, a)))

/*
 * Sets err (if any, and if it is still empty) and returns code, so that a caller writes
 * `return alc_fail(err, -EINVAL, "disk '%s': …", name);`.
 * Understands %s %c %d %i %u %x %X %p %% with l, ll, z and width, zero-pad and precision for %s.
 */
int alc_fail(struct alc_err *err, int code, const char *fmt, ...) ALC_PRINTF(3, 4);

#endif
