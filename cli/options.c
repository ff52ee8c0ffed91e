/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

int fail(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("alcazar: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		exit(fail(EXIT_VMM, "out of memory"));
	return p;
}

void strings_add(struct strings *s, char *item)
{
	char **items = xcalloc(s->count + 1, sizeof(*items));

	if (s->count)
		memcpy(items, s->items, s->count * sizeof(*items));
	free(s->items);
	items[s->count++] = item;
	s->items = items;
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; commands[i]; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

/* ---- Suggestions -------------------------------------------------------------------------- */

enum { TYPED_MAX = 40 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Insertions, deletions and substitutions that turn a into b. */
static unsigned edit_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned row[TYPED_MAX + 1], corner, above;

	if (la > TYPED_MAX || lb > TYPED_MAX)
		return UINT32_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		corner = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			above = row[j];
			row[j] = min3(above + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1]));
			corner = above;
		}
	}
	return row[lb];
}

const char *nearest(const char *typed, const char *(*get)(size_t i, void *ctx), void *ctx)
{
	unsigned best = (unsigned)strlen(typed) / 3 + 2;
	const char *found = NULL, *name;

	for (size_t i = 0; (name = get(i, ctx)); i++) {
		unsigned d = edit_distance(typed, name);

		if (d < best && d < strlen(name)) {
			best = d;
			found = name;
		}
	}
	return found;
}

static const char *option_name(size_t i, void *ctx)
{
	const struct command *c = ctx;

	return c->options ? c->options[i].name : NULL;
}

/* ---- Parsing ------------------------------------------------------------------------------ */

static const struct option_row *find_option(const struct command *c, const char *name, size_t len)
{
	for (const struct option_row *o = c->options; o && o->name; o++)
		if (strlen(o->name) == len && !strncmp(o->name, name, len))
			return o;
	return NULL;
}

static int unknown_option(const struct command *c, const char *arg, size_t len)
{
	char name[TYPED_MAX + 1];
	const char *near = NULL;

	if (len <= TYPED_MAX) {
		memcpy(name, arg, len);
		name[len] = '\0';
		/* A cast for a callback that only reads. */
		near = nearest(name, option_name, (void *)(uintptr_t)c);
	}
	if (near)
		return fail(EXIT_USAGE, "there is no option --%.*s (did you mean --%s?)", (int)len,
			    arg, near);
	return fail(EXIT_USAGE, "there is no option --%.*s: see `alcazar help %s`", (int)len, arg,
		    c->name);
}

static void set_value(void *values, const struct option_row *o, char *value)
{
	void *at = (char *)values + o->offset;

	if (o->kind == OPTION_FLAG)
		*(bool *)at = true;
	else if (o->kind == OPTION_VALUE)
		*(char **)at = value;
	else
		strings_add(at, value);
}

/* One `--name`, `--name value` or `--name=value` at argv[*i]. */
static int parse_option(const struct command *c, int argc, char **argv, int *i, void *values)
{
	char *arg = argv[*i] + 2, *equals = strchr(arg, '=');
	size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
	const struct option_row *o = find_option(c, arg, len);

	if (!o)
		return unknown_option(c, arg, len);
	if (o->kind == OPTION_FLAG) {
		if (equals)
			return fail(EXIT_USAGE, "--%s takes no value", o->name);
		set_value(values, o, NULL);
		return 0;
	}
	if (!equals && *i + 1 >= argc)
		return fail(EXIT_USAGE, "--%s needs a value: --%s %s", o->name, o->name, o->value);
	set_value(values, o, equals ? equals + 1 : argv[++*i]);
	return 0;
}

struct parsed {
	void *values;
	const char *operand;
	struct strings trailing;
	bool help;
};

static int parse(const struct command *c, int argc, char **argv, struct parsed *p)
{
	int rc = 0;

	for (int i = 1; !rc && i < argc && !p->help; i++) {
		if (!strcmp(argv[i], "--")) {
			if (!c->trailing)
				return fail(EXIT_USAGE, "'%s' takes nothing after --", c->name);
			p->trailing = (struct strings){argv + i + 1, (unsigned)(argc - i - 1)};
			if (!p->trailing.count)
				return fail(EXIT_USAGE, "after -- goes a command to run");
			break;
		}
		if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help"))
			p->help = true;
		else if (!strncmp(argv[i], "--", 2))
			rc = parse_option(c, argc, argv, &i, p->values);
		else if (argv[i][0] == '-' && argv[i][1])
			rc = fail(EXIT_USAGE, "there is no option %s: see `alcazar help %s`",
				  argv[i], c->name);
		else if (!c->operand || p->operand)
			rc = fail(EXIT_USAGE, "'%s' does not belong there: see `alcazar help %s`",
				  argv[i], c->name);
		else
			p->operand = argv[i];
	}
	return rc;
}

static void free_lists(const struct command *c, void *values)
{
	for (const struct option_row *o = c->options; o && o->name; o++)
		if (o->kind == OPTION_LIST)
			free(((struct strings *)(void *)((char *)values + o->offset))->items);
}

/* ---- Families ----------------------------------------------------------------------------- */

const char *verb_name(const struct command *verb)
{
	const char *space = strrchr(verb->name, ' ');

	return space ? space + 1 : verb->name;
}

static const char *verb_at(size_t i, void *ctx)
{
	const struct command *c = ctx;

	return c->verbs[i] ? verb_name(c->verbs[i]) : NULL;
}

static int unknown_verb(const struct command *c, const char *typed)
{
	/* A cast for a callback that only reads. */
	const char *near = nearest(typed, verb_at, (void *)(uintptr_t)c);

	if (near)
		return fail(EXIT_USAGE, "there is no '%s %s' (did you mean %s?)", c->name, typed,
			    near);
	return fail(EXIT_USAGE, "there is no '%s %s': see `alcazar help %s`", c->name, typed,
		    c->name);
}

static int run_verb(const struct command *c, int argc, char **argv)
{
	if (argc < 2)
		return fail(EXIT_USAGE, "say what to do, as in `alcazar %s`: see `alcazar help %s`",
			    c->verbs[0]->name, c->name);
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
		command_help(c, stdout);
		return EXIT_OK;
	}
	for (size_t i = 0; c->verbs[i]; i++)
		if (!strcmp(verb_name(c->verbs[i]), argv[1]))
			return command_run(c->verbs[i], argc - 1, argv + 1);
	return unknown_verb(c, argv[1]);
}

int command_run(const struct command *c, int argc, char **argv)
{
	struct parsed p = {0};
	int rc;

	if (c->verbs)
		return run_verb(c, argc, argv);
	p.values = xcalloc(1, c->values_size);
	rc = parse(c, argc, argv, &p);
	if (!rc && p.help)
		command_help(c, stdout);
	else if (!rc)
		rc = c->run(p.values, p.operand, p.trailing);
	free_lists(c, p.values);
	free(p.values);
	return rc;
}
