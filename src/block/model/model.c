/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/model/model.h"

#include "base/errno.h"
#include "block/model/list.h"
#include "block/named.h"

const struct drive_class *const drive_classes[] = {
	&drive_disk, &drive_fixed, &drive_linear, &drive_ssd, NULL,
};

/* A preset's own parameters first, so that those given override them. */
static int set_params(const struct drive_class *class, const char *preset, const char *params,
		      void *values, struct alc_err *err)
{
	int rc = param_parse(class->params, preset, values, err);

	return rc ? rc : param_override(class->params, params, values, err);
}

static const struct drive_class *find(const char *text, const char **preset, const char **params,
				      struct alc_err *err)
{
	const struct drive_preset *p;
	struct alc_err of_presets = {0};

	*preset = NULL;
	p = named_find(drive_presets, sizeof(*p), "drive model", text, params, &of_presets);
	if (!p)
		return named_find_in((const void *const *)drive_classes, "drive model", text,
				     params, err);
	return named_find_in((const void *const *)drive_classes, "drive model", p->text, preset,
			     err);
}

int drive_create(const struct drive_env *env, const char *text, struct drive **out,
		 struct alc_err *err)
{
	const char *preset, *params;
	const struct drive_class *class = find(text, &preset, &params, err);
	void *values;
	int rc;

	if (!class)
		return -ENOENT;
	values = host_alloc(env->host, class->params_size + 1);
	if (!values)
		return alc_fail(err, -ENOMEM, "no memory for a drive model");
	rc = set_params(class, preset, params, values, err);
	if (!rc)
		rc = class->create(env, values, out, err);
	host_free(env->host, values, class->params_size + 1);
	return rc;
}
