/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "entries.h"

/*
 * Cuts text at its first single comma and makes pairs of commas one: returns what follows, or
 * NULL.
 */
static char *cut(char *text)
{
	char *to = text;

	for (char *from = text; *from; from++) {
		if (*from == ',' && from[1] != ',') {
			*to = '\0';
			return from + 1;
		}
		from += *from == ',';
		*to++ = *from;
	}
	*to = '\0';
	return NULL;
}

static size_t count_commas(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == ',';
	return n;
}

static int parse_option(char *text, const struct entry *e, const char *option, bool bare,
			struct alc_device_opt *out)
{
	char *value = strchr(text, '=');

	if (!*text || value == text || (!value && !bare))
		return fail(EXIT_USAGE, "--%s %s: '%s' is not KEY=VALUE", option, e->head, text);
	if (value)
		*value++ = '\0';
	*out = (struct alc_device_opt){text, value};
	return 0;
}

static int parse_entry(const char *text, const char *option, bool bare, struct entry *e)
{
	char *rest;
	int rc = 0;

	e->head = xcalloc(1, strlen(text) + 1);
	e->opts = xcalloc(count_commas(text) + 1, sizeof(*e->opts));
	strcpy(e->head, text);
	rest = cut(e->head);
	if (!*e->head)
		return fail(EXIT_USAGE, "--%s '%s': begin with what it is", option, text);
	while (!rc && rest) {
		char *next = cut(rest);

		rc = parse_option(rest, e, option, bare, &e->opts[e->nopts++]);
		rest = next;
	}
	return rc;
}

int entries_parse(const struct strings *list, const char *option, bool bare, struct entries *out)
{
	int rc = 0;

	out->items = xcalloc(list->count, sizeof(*out->items));
	while (!rc && out->count < list->count) {
		out->count++;
		rc = parse_entry(list->items[out->count - 1], option, bare,
				 &out->items[out->count - 1]);
	}
	return rc;
}

void entries_free(struct entries *e)
{
	for (size_t i = 0; i < e->count; i++) {
		free(e->items[i].head);
		free(e->items[i].opts);
	}
	free(e->items);
}
