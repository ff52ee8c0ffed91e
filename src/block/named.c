/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/named.h"

#include "base/errno.h"
#include "base/str.h"

enum { NAME_MAX = 32 };

struct search {
	char name[NAME_MAX];
	const char *nearest;
	size_t distance;
};

static void begin(struct search *s, const char *text, const char **params)
{
	size_t n = 0;

	while (*text && *text != ':' && n + 1 < sizeof(s->name))
		s->name[n++] = *text++;
	s->name[n] = 0;
	s->nearest = NULL;
	s->distance = SIZE_MAX;
	*params = *text == ':' ? text + 1 : text;
}

static const char *name_of(const void *row)
{
	return *(const char *const *)row;
}

static bool is_it(struct search *s, const void *row)
{
	if (str_eq(name_of(row), s->name))
		return true;
	if (str_nearer(s->name, name_of(row), &s->distance))
		s->nearest = name_of(row);
	return false;
}

static const void *none(const struct search *s, const char *what, struct alc_err *err)
{
	if (s->nearest)
		alc_fail(err, -ENOENT, "there is no %s '%s', did you mean '%s'?", what, s->name,
			 s->nearest);
	else
		alc_fail(err, -ENOENT, "there is no %s '%s'", what, s->name);
	return NULL;
}

const void *named_find(const void *table, size_t stride, const char *what, const char *text,
		       const char **params, struct alc_err *err)
{
	struct search s;

	begin(&s, text, params);
	for (const char *row = table; name_of(row); row += stride)
		if (is_it(&s, row))
			return row;
	return none(&s, what, err);
}

const void *named_find_in(const void *const *rows, const char *what, const char *text,
			  const char **params, struct alc_err *err)
{
	struct search s;

	begin(&s, text, params);
	for (; *rows; rows++)
		if (is_it(&s, *rows))
			return *rows;
	return none(&s, what, err);
}
