/* SPDX-License-Identifier: BSD-2-Clause */
#include "alcazar/device.h"
#include "base/str.h"
#include "catalog/catalog.h"

#define DEVICE(name) extern const struct alc_dev_class name##_class;
#include "catalog/devices.inc"
#undef DEVICE

const struct alc_dev_class *const alc_dev_classes[] = {
#define DEVICE(name) &name##_class,
#include "catalog/devices.inc"
#undef DEVICE
	NULL};

const struct alc_dev_class *dev_class_find(const char *name)
{
	for (size_t i = 0; alc_dev_classes[i]; i++)
		if (str_eq(alc_dev_classes[i]->name, name))
			return alc_dev_classes[i];
	return NULL;
}

static size_t count_props(const struct alc_prop *p)
{
	size_t n = 0;

	while (p && p[n].name)
		n++;
	return n;
}

bool alc_device_info(size_t i, struct alc_device_info *out)
{
	const struct alc_dev_class *cls;

	if (i >= ARRAY_LEN(alc_dev_classes) - 1)
		return false;
	cls = alc_dev_classes[i];
	*out = (struct alc_device_info){
		.name = cls->name,
		.summary = cls->summary,
		.platform = cls->platform,
		.pci = cls->pci,
		.options = cls->options,
		.noptions = count_props(cls->props),
	};
	return true;
}
