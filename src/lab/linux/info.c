/* SPDX-License-Identifier: BSD-2-Clause */
#include "alcazar/disk.h"
#include "block/model/model.h"
#include "block/sched/sched.h"
#include "lab/workload.h"

static const char *const type_names[] = {
	[PARAM_COUNT] = "number",
	[PARAM_TIME] = "time",
	[PARAM_REAL] = "real",
	[PARAM_FLAG] = "flag",
};

struct thing {
	struct alc_disk_info info;
	const struct param *params;
};

static bool in_table(const void *const *rows, size_t i)
{
	for (size_t n = 0; n <= i; n++)
		if (!rows[n])
			return false;
	return true;
}

static bool find_scheduler(size_t i, struct thing *t)
{
	const struct sched_class *c;

	if (!in_table((const void *const *)sched_classes, i))
		return false;
	c = sched_classes[i];
	*t = (struct thing){{.name = c->name, .summary = c->summary}, c->params};
	return true;
}

static bool find_model(size_t i, struct thing *t)
{
	const struct drive_class *c;

	if (!in_table((const void *const *)drive_classes, i))
		return false;
	c = drive_classes[i];
	*t = (struct thing){{.name = c->name, .summary = c->summary}, c->params};
	return true;
}

static bool find_preset(size_t i, struct thing *t)
{
	const struct drive_preset *p = drive_presets;

	for (; p->name && i; i--)
		p++;
	if (!p->name)
		return false;
	*t = (struct thing){{p->name, p->summary, p->text, p->source}, NULL};
	return true;
}

static bool find_workload(size_t i, struct thing *t)
{
	const struct workload_class *c;

	if (!in_table((const void *const *)workload_classes, i))
		return false;
	c = workload_classes[i];
	*t = (struct thing){{.name = c->name, .summary = c->summary}, c->params};
	return true;
}

static bool (*const finders[])(size_t i, struct thing *t) = {
	[ALC_DISK_SCHEDULERS] = find_scheduler,
	[ALC_DISK_MODELS] = find_model,
	[ALC_DISK_PRESETS] = find_preset,
	[ALC_DISK_WORKLOADS] = find_workload,
};

bool alc_disk_info(enum alc_disk_kind kind, size_t i, struct alc_disk_info *out)
{
	struct thing t;

	if (!finders[kind](i, &t))
		return false;
	*out = t.info;
	return true;
}

bool alc_disk_option(enum alc_disk_kind kind, size_t i, size_t j, struct alc_option_info *out)
{
	const struct param *p;
	struct thing t;

	if (!finders[kind](i, &t) || !t.params)
		return false;
	for (p = t.params; p->name && j; j--)
		p++;
	if (!p->name)
		return false;
	*out = (struct alc_option_info){p->name, type_names[p->kind], p->initial, p->help};
	return true;
}
