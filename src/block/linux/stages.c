/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/linux/stages.h"

#include <errno.h>
#include <string.h>

/* Those that need an operating system. */
static const struct stage_class *const hosted_classes[] = {
	&stage_record,
	NULL,
};

static const struct stage_class *const *const lists[] = {stage_classes, hosted_classes};

/* All classes, one after the other. */
static const struct stage_class *class_at(size_t i)
{
	for (size_t l = 0; l < sizeof(lists) / sizeof(*lists); l++)
		for (const struct stage_class *const *c = lists[l]; *c; c++)
			if (!i--)
				return *c;
	return NULL;
}

const char *stages_key(size_t i)
{
	const struct stage_class *c;

	for (size_t n = 0; (c = class_at(n)); n++)
		for (const char *const *key = c->keys; *key; key++)
			if (!i--)
				return *key;
	return NULL;
}

bool stages_have_model(const struct alc_device_opt *opts, size_t nopts)
{
	for (size_t i = 0; i < nopts; i++)
		if (!strcmp(opts[i].key, "model"))
			return opts[i].value && !drive_is_host(opts[i].value);
	return false;
}

static int index_in(const struct stage_class *c, const char *key)
{
	for (int i = 0; c->keys[i]; i++)
		if (!strcmp(c->keys[i], key))
			return i;
	return -1;
}

/* The class of an option, and which of its keys it is. */
static const struct stage_class *class_of(const char *key, int *index)
{
	const struct stage_class *c;

	for (size_t n = 0; (c = class_at(n)); n++) {
		*index = index_in(c, key);
		if (*index >= 0)
			return c;
	}
	return NULL;
}

/* Of a class with several keys: the values of all of them, and whether opts[at] is the first. */
static int collect(const struct stage_class *c, const struct alc_device_opt *opts, size_t nopts,
		   size_t at, const char **texts, bool *first, struct alc_err *err)
{
	*first = true;
	for (size_t i = 0; i < nopts; i++) {
		int k = index_in(c, opts[i].key);

		if (k < 0)
			continue;
		if (texts[k])
			return alc_fail(err, -EINVAL, "'%s' is given twice", opts[i].key);
		texts[k] = opts[i].value;
		*first = *first && i >= at;
	}
	return 0;
}

static int put_one(const struct stage_env *env, const struct alc_device_opt *opts, size_t nopts,
		   size_t at, struct block **b, struct alc_err *err)
{
	const char *texts[STAGE_KEYS_MAX] = {NULL};
	bool first = true;
	int k, rc = 0;
	const struct stage_class *c = class_of(opts[at].key, &k);

	if (!c)
		return 0;
	if (!opts[at].value || !*opts[at].value)
		return alc_fail(err, -EINVAL, "'%s' needs a value", opts[at].key);
	texts[k] = opts[at].value;
	if (c->keys[1]) {
		texts[k] = NULL;
		rc = collect(c, opts, nopts, at, texts, &first, err);
	}
	return rc || !first ? rc : c->create(env, texts, *b, b, err);
}

int stages_put(const struct stage_env *env, const struct alc_device_opt *opts, size_t nopts,
	       struct block **b, struct alc_err *err)
{
	struct alc_err why = {0};
	int rc = 0;

	for (size_t i = 0; i < nopts && !rc; i++)
		rc = put_one(env, opts, nopts, i, b, &why);
	return rc ? alc_fail(err, rc, "disk '%s': %s", env->disk, why.text) : 0;
}
