/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit sizes[] = {
	{"", 1},           {"K", 1ull << 10}, {"M", 1ull << 20},
	{"G", 1ull << 30}, {"T", 1ull << 40}, {NULL, 0},
};

static const struct unit durations[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", 60 * 1000000000ull},
	{"h", 3600 * 1000000000ull},
	{NULL, 0},
};

static const struct unit none[] = {{"", 1}, {NULL, 0}};

static bool parse(const char *text, const struct unit *units, uint64_t *out)
{
	char *end;
	uint64_t n;

	/* strtoull would take signs and spaces too. */
	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	for (; !errno && units->name; units++)
		if (!strcmp(end, units->name))
			return !__builtin_mul_overflow(n, units->factor, out);
	return false;
}

bool parse_count(const char *text, uint64_t *out)
{
	return parse(text, none, out);
}

bool parse_size(const char *text, uint64_t *bytes)
{
	return parse(text, sizes, bytes);
}

bool parse_duration(const char *text, uint64_t *ns)
{
	return parse(text, durations, ns);
}
