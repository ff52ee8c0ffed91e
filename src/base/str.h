/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/bits.h"

/* Strings for code that has no C library. */

size_t str_len(const char *s);
bool str_eq(const char *a, const char *b);

/*
 * All of s as an unsigned number, decimal or 0x hexadecimal: -EINVAL for anything else (an empty
 * string, a sign, spaces, trailing text), -ERANGE if it doesn't fit; out is then untouched.
 */
int str_parse_u64(const char *s, u64 *out);

/*
 * The hexadecimal number of 1 to max_digits digits that *s begins with; moves *s past it. False,
 * and *s where it was, if there is none.
 */
bool str_take_hex(const char **s, unsigned max_digits, u64 *out);

enum { STR_DISTANCE_MAX = 64 }; /* the longest string that str_distance looks at */

/*
 * Insertions, deletions, substitutions and swaps of neighbours that turn a into b; SIZE_MAX if
 * one is longer than STR_DISTANCE_MAX.
 */
size_t str_distance(const char *a, const char *b);

/*
 * The name closest to what somebody typed, for "did you mean '%s'?"; the first of several; NULL
 * if none is close enough to be worth suggesting. names ends with NULL.
 */
const char *str_nearest(const char *typed, const char *const *names);
/*
 * The same over any table: the step from one name to a later one. *best is SIZE_MAX at first; true
 * if name is worth suggesting and closer than all before.
 */
bool str_nearer(const char *typed, const char *name, size_t *best);

#endif
