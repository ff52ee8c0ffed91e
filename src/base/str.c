/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/str.h"
#include "base/errno.h"

size_t str_len(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

bool str_eq(const char *a, const char *b)
{
	for (; *a && *a == *b; a++)
		b++;
	return *a == *b;
}

/* The value of a digit, or 255. */
static u8 digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (u8)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (u8)(c - 'a' + 10);
	if (c >= 'A' && c <= 'F')
		return (u8)(c - 'A' + 10);
	return 255;
}

int str_parse_u64(const char *s, u64 *out)
{
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	u64 radix = hex ? 16 : 10, v = 0;
	bool overflow = false;

	s += hex ? 2 : 0;
	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		u8 d = digit_value(*s);

		if (d >= radix)
			return -EINVAL;
		overflow |= __builtin_mul_overflow(v, radix, &v);
		overflow |= __builtin_add_overflow(v, (u64)d, &v);
	}
	if (overflow)
		return -ERANGE;
	*out = v;
	return 0;
}

bool str_take_hex(const char **s, unsigned max_digits, u64 *out)
{
	unsigned n = 0;
	u64 v = 0;

	for (; n < max_digits && digit_value((*s)[n]) < 16; n++)
		v = v << 4 | digit_value((*s)[n]);
	*s += n;
	*out = n ? v : *out;
	return n;
}

static u8 min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return (u8)(m < c ? m : c);
}

/* Optimal string alignment: three rows of the usual table, the third for swaps. */
size_t str_distance(const char *a, const char *b)
{
	u8 rows[3][STR_DISTANCE_MAX + 1];
	size_t na = str_len(a), nb = str_len(b);

	if (na > STR_DISTANCE_MAX || nb > STR_DISTANCE_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (u8)j;
	for (size_t i = 1; i <= na; i++) {
		u8 *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = (u8)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned differ = a[i - 1] != b[j - 1];

			row[j] = min3(above[j] + 1u, row[j - 1] + 1u, above[j - 1] + differ);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = min3(row[j], above2[j - 2] + 1u, row[j]);
		}
	}
	return rows[na % 3][nb];
}

bool str_nearer(const char *typed, const char *name, size_t *best)
{
	size_t d = str_distance(typed, name);

	/* A third of the letters wrong is a typing error; more is another word. */
	if (d >= *best || d > 1 + str_len(typed) / 3 || d >= str_len(name))
		return false;
	*best = d;
	return true;
}

const char *str_nearest(const char *typed, const char *const *names)
{
	const char *nearest = NULL;
	size_t best = SIZE_MAX;

	for (; *names; names++)
		if (str_nearer(typed, *names, &best))
			nearest = *names;
	return nearest;
}
