/* SPDX-License-Identifier: BSD-2-Clause */
#include <cyaml/cyaml.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "description.h"

enum { KEY_MAX = 64, MESSAGE_MAX = 160, FILE_MAX = 1 << 20, ROWS_MAX = 32 };

/* ---- The schema, from the option table ---------------------------------------------------- */

struct schema {
	cyaml_schema_field_t fields[ROWS_MAX + 1];
	cyaml_schema_value_t top;
};

static const cyaml_schema_value_t string_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};

static cyaml_schema_field_t string_field(const struct option_row *o)
{
	return (cyaml_schema_field_t){
		.key = o->key,
		.data_offset = (uint32_t)o->offset,
		.value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char, 0,
					     CYAML_UNLIMITED)},
	};
}

static cyaml_schema_field_t list_field(const struct option_row *o)
{
	return (cyaml_schema_field_t){
		.key = o->key,
		.data_offset = (uint32_t)(o->offset + offsetof(struct strings, items)),
		.count_offset = (uint32_t)(o->offset + offsetof(struct strings, count)),
		.count_size = sizeof(((struct strings *)0)->count),
		.value = {CYAML_VALUE_SEQUENCE(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *,
					       &string_schema, 0, CYAML_UNLIMITED)},
	};
}

static void make_schema(struct schema *s, const struct option_row *rows, size_t values_size)
{
	size_t n = 0;

	memset(s, 0, sizeof(*s));
	for (const struct option_row *o = rows; o->name || o->key; o++)
		if (o->key && n < ROWS_MAX)
			s->fields[n++] = o->kind == OPTION_LIST ? list_field(o) : string_field(o);
	s->top = (cyaml_schema_value_t){
		.type = CYAML_MAPPING,
		.flags = CYAML_FLAG_POINTER,
		.data_size = (uint32_t)values_size,
		.mapping = {.fields = s->fields},
	};
}

/* ---- What libcyaml says ------------------------------------------------------------------- */

/*
 * libcyaml tells what is wrong in a first line and where in a backtrace, but the place is that of
 * the event before the bad one. So a bad key or value is looked up in the text.
 */
struct complaint {
	char message[MESSAGE_MAX]; /* its first error */
	char field[KEY_MAX];       /* innermost mapping field of the backtrace */
	unsigned line;             /* where the event before was */
};

static void take_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	static const char prefix[] = "Load: ";
	struct complaint *c = ctx;
	char text[MESSAGE_MAX];
	const char *at, *from = text;

	if (level < CYAML_LOG_ERROR)
		return;
	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	if (!strncmp(text, prefix, sizeof(prefix) - 1))
		from += sizeof(prefix) - 1;
	if (!c->message[0])
		snprintf(c->message, sizeof(c->message), "%s", from);
	at = strstr(text, "mapping field '");
	if (at && !c->field[0])
		sscanf(at, "mapping field '%63[^']", c->field);
	at = strstr(text, "(line: ");
	if (at && !c->line)
		sscanf(at, "(line: %u", &c->line);
}

static bool line_has_key(const char *line, const char *key)
{
	size_t len = strlen(key);

	line += strspn(line, " \t\"'");
	if (strncmp(line, key, len))
		return false;
	line += len;
	line += strspn(line, " \t\"'");
	return *line == ':';
}

/* The last line with that key (the second of two is the wrong one), or 0. */
static unsigned line_of_key(const char *text, const char *key)
{
	unsigned line = 1, found = 0;

	for (; text; text = strchr(text, '\n'), line++) {
		if (*text == '\n')
			text++;
		if (line_has_key(text, key))
			found = line;
	}
	return found;
}

static const char *key_name(size_t i, void *ctx)
{
	const cyaml_schema_field_t *fields = ctx;

	return fields[i].key;
}

static void say_unknown_key(struct schema *s, const char *path, const char *text, const char *key)
{
	unsigned line = line_of_key(text, key);
	const char *near = nearest(key, key_name, s->fields);

	if (near)
		fail(0, "%s:%u: there is no key '%s' (did you mean %s?)", path, line, key, near);
	else
		fail(0, "%s:%u: there is no key '%s': see `alcazar help run`", path, line, key);
}

static void say(struct schema *s, const struct complaint *c, const char *path, const char *text,
		cyaml_err_t e)
{
	static const char unknown[] = "Unexpected key: ";
	static const char twice[] = "Mapping field already seen: ";
	static const char parser[] = "libyaml: ";

	if (!strncmp(c->message, unknown, sizeof(unknown) - 1))
		say_unknown_key(s, path, text, c->message + sizeof(unknown) - 1);
	else if (!strncmp(c->message, twice, sizeof(twice) - 1))
		fail(0, "%s:%u: the key '%s' is there twice", path,
		     line_of_key(text, c->message + sizeof(twice) - 1),
		     c->message + sizeof(twice) - 1);
	else if (!strncmp(c->message, parser, sizeof(parser) - 1))
		fail(0, "%s: this is not YAML, near line %u: %s", path, c->line ? c->line : 1,
		     c->message + sizeof(parser) - 1);
	else if (c->field[0])
		fail(0, "%s:%u: '%s' can't have such a value: %s", path,
		     line_of_key(text, c->field), c->field, c->message);
	else
		fail(0, "%s: a machine's description is a list of `key: value`: %s", path,
		     c->message[0] ? c->message : cyaml_strerror(e));
}

/* ---- Reading and writing ------------------------------------------------------------------ */

static int read_text(const char *path, char **out)
{
	char *text = xcalloc(1, FILE_MAX + 2);
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, FILE_MAX + 1, f) : 0;
	int error = !f || ferror(f) ? errno : 0;

	if (f)
		fclose(f);
	if (!error && n > FILE_MAX)
		error = EFBIG;
	if (!error) {
		*out = text;
		return 0;
	}
	free(text);
	fail(0, "can't read the description '%s': %s", path, strerror(error));
	return -1;
}

static cyaml_config_t config(struct complaint *c)
{
	return (cyaml_config_t){
		.log_fn = take_log,
		.log_ctx = c,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_WARNING,
		.flags = CYAML_CFG_STYLE_BLOCK,
	};
}

int description_read(const struct option_row *rows, size_t values_size, const char *path,
		     void **values)
{
	struct complaint c = {0};
	cyaml_config_t cfg = config(&c);
	cyaml_data_t *data = NULL;
	struct schema s;
	cyaml_err_t e;
	char *text;

	if (read_text(path, &text))
		return -1;
	make_schema(&s, rows, values_size);
	e = cyaml_load_data((const uint8_t *)text, strlen(text), &cfg, &s.top, &data, NULL);
	if (e != CYAML_OK)
		say(&s, &c, path, text, e);
	free(text);
	if (e != CYAML_OK)
		return -1;
	/* An empty document has no data. */
	*values = data ? data : xcalloc(1, values_size);
	return 0;
}

void description_free(const struct option_row *rows, size_t values_size, void *values)
{
	struct complaint c = {0};
	cyaml_config_t cfg = config(&c);
	struct schema s;

	if (!values)
		return;
	make_schema(&s, rows, values_size);
	cyaml_free(&cfg, &s.top, values, 0);
}

int description_write(const struct option_row *rows, size_t values_size, const void *values,
		      FILE *out)
{
	struct complaint c = {0};
	cyaml_config_t cfg = config(&c);
	struct schema s;
	size_t len;
	char *text;

	make_schema(&s, rows, values_size);
	if (cyaml_save_data(&text, &len, &cfg, &s.top, values, 0) != CYAML_OK) {
		fail(0, "can't write the description: %s", c.message);
		return -1;
	}
	fwrite(text, 1, len, out);
	cyaml_mem(NULL, text, 0);
	return 0;
}
