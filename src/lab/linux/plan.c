/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/linux/experiment.h"

/* ---- YAML --------------------------------------------------------------------------------- */

enum { MESSAGE_MAX = 160, KEY_MAX = 64, PARTS_MAX = 10000, LABEL_MAX = 200 };

static const cyaml_schema_value_t text_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};

/* clang-format off */
#define TEXT_FIELD(name, flags) CYAML_FIELD_STRING_PTR(#name, flags, struct plan, name, 0, 1000)
#define LIST_FIELD(name) {                                                                      \
	.key = #name,                                                                           \
	.data_offset = offsetof(struct plan, name.items),                                       \
	.count_offset = offsetof(struct plan, name.count),                                      \
	.count_size = sizeof(((struct plan *)0)->name.count),                                   \
	.value = {CYAML_VALUE_SEQUENCE(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *,        \
				       &text_schema, 1, CYAML_UNLIMITED)},                      \
}
/* clang-format on */

static const cyaml_schema_field_t fields[] = {
	TEXT_FIELD(disk, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL),
	TEXT_FIELD(requests, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL),
	TEXT_FIELD(warmup, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL),
	TEXT_FIELD(until, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL),
	LIST_FIELD(seeds),
	LIST_FIELD(schedulers),
	LIST_FIELD(models),
	LIST_FIELD(workloads),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t plan_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct plan, fields)};

/* libcyaml's first line says what is wrong, its backtrace about where. */
struct complaint {
	char what[MESSAGE_MAX];
	unsigned line;
};

static void take_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct complaint *c = ctx;
	char text[MESSAGE_MAX];
	const char *at;

	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	at = strstr(text, "(line: ");
	if (at && !c->line)
		sscanf(at, "(line: %u", &c->line);
	if (!c->what[0])
		snprintf(c->what, sizeof(c->what), "%s",
			 strncmp(text, "Load: ", 6) ? text : text + 6);
}

static cyaml_config_t config(struct complaint *c)
{
	return (cyaml_config_t){
		.log_fn = take_log,
		.log_ctx = c,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
	};
}

static int lacking(const char *path, const char *key, struct alc_err *err)
{
	return alc_fail(err, -EINVAL, "%s: a plan needs '%s', a list", path, key);
}

static int complete(const char *path, const struct plan *p, struct alc_err *err)
{
	if (!p)
		return alc_fail(err, -EINVAL, "%s: the plan is empty", path);
	if (!p->schedulers.count)
		return lacking(path, "schedulers", err);
	if (!p->models.count)
		return lacking(path, "models", err);
	if (!p->workloads.count)
		return lacking(path, "workloads", err);
	return 0;
}

int plan_read(const char *path, struct plan **out, struct alc_err *err)
{
	struct complaint c = {0};
	cyaml_config_t cfg = config(&c);
	cyaml_data_t *data = NULL;
	FILE *f = fopen(path, "re");
	cyaml_err_t e;
	int rc;

	/* libcyaml doesn't tell why a file can't be opened. */
	if (!f)
		return alc_fail(err, -errno, "can't read the plan '%s': %s", path, strerror(errno));
	fclose(f);
	e = cyaml_load_file(path, &cfg, &plan_schema, &data, NULL);
	if (e != CYAML_OK)
		return alc_fail(err, -EINVAL, "%s: near line %u: %s", path, c.line ? c.line : 1,
				c.what[0] ? c.what : cyaml_strerror(e));
	rc = complete(path, (struct plan *)data, err);
	if (rc)
		plan_free((struct plan *)data);
	else
		*out = (struct plan *)data;
	return rc;
}

void plan_free(struct plan *plan)
{
	struct complaint c = {0};
	cyaml_config_t cfg = config(&c);

	if (plan)
		cyaml_free(&cfg, &plan_schema, plan, 0);
}

/* ---- Lists of values ---------------------------------------------------------------------- */

static int add_part(struct parts *parts, const char *label, const char *text, struct alc_err *err)
{
	struct part *more = realloc(parts->items, (parts->n + 1) * sizeof(*more));
	struct part p = {strdup(label), strdup(text)};

	if (more)
		parts->items = more;
	if (!more || !p.label || !p.text) {
		free(p.label);
		free(p.text);
		return alc_fail(err, -ENOMEM, "no memory for a plan");
	}
	parts->items[parts->n++] = p;
	if (parts->n > PARTS_MAX)
		return alc_fail(err, -E2BIG, "the plan has lists of values for more than %u cells",
				PARTS_MAX);
	return 0;
}

/* The name of the parameter that ends at `at`. */
static const char *name_before(const char *text, const char *at)
{
	while (at > text && at[-1] != ':')
		at--;
	return at;
}

/* label: NULL: the text itself is the label. */
static int expand(struct parts *parts, const char *label, const char *text, struct alc_err *err)
{
	const char *open = strchr(text, '['), *close, *name, *value;
	int rc = 0;

	if (!open)
		return add_part(parts, label ? label : text, text, err);
	close = strchr(open, ']');
	name = name_before(text, open);
	if (!close || open == text || open[-1] != '=')
		return alc_fail(err, -EINVAL, "'%s': a list of values is NAME=[VALUE,VALUE,...]",
				text);
	for (value = open + 1; !rc && value <= close; value += strcspn(value, ",]") + 1) {
		int len = (int)strcspn(value, ",]"), head = (int)(open - text);
		char *one = NULL, *called = NULL;

		if (!len)
			return alc_fail(err, -EINVAL, "'%s': a value of a list is empty", text);
		if (asprintf(&one, "%.*s%.*s%s", head, text, len, value, close + 1) < 0 ||
		    (label && asprintf(&called, "%s %.*s%.*s", label, (int)(open - name), name, len,
				       value) < 0))
			rc = alc_fail(err, -ENOMEM, "no memory for a plan");
		else
			rc = expand(parts, called, one, err);
		free(one);
		free(called);
	}
	return rc;
}

/* "LABEL = TEXT": parameters have no spaces around their signs. */
static int expand_labelled(struct parts *parts, const char *text, struct alc_err *err)
{
	const char *sign = strstr(text, " = ");
	char label[LABEL_MAX];
	int len = sign ? (int)(sign - text) : 0;

	if (!sign)
		return expand(parts, NULL, text, err);
	if (!len || len >= LABEL_MAX)
		return alc_fail(err, -EINVAL, "'%s': a label has 1 to %d characters", text,
				LABEL_MAX - 1);
	snprintf(label, sizeof(label), "%.*s", len, text);
	return expand(parts, label, sign + 3, err);
}

int parts_expand(const struct plan_texts *texts, struct parts *out, struct alc_err *err)
{
	int rc = 0;

	*out = (struct parts){0};
	for (unsigned i = 0; !rc && i < texts->count; i++)
		rc = expand_labelled(out, texts->items[i], err);
	if (rc)
		parts_free(out);
	return rc;
}

void parts_free(struct parts *parts)
{
	for (size_t i = 0; i < parts->n; i++) {
		free(parts->items[i].label);
		free(parts->items[i].text);
	}
	free(parts->items);
	*parts = (struct parts){0};
}
