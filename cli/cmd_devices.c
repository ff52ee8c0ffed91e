/* SPDX-License-Identifier: BSD-2-Clause */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alcazar/device.h"
#include "cmds.h"

struct devices_values {
	bool json;
};

static const struct option_row rows[] = {
	{"json", NULL, "print JSON", OPTION_FLAG, offsetof(struct devices_values, json), NULL, NULL,
	 VALUES_ANY, NULL},
	{NULL, NULL, NULL, OPTION_FLAG, 0, NULL, NULL, VALUES_ANY, NULL},
};

static const char *device_name(size_t i, void *ctx)
{
	struct alc_device_info d;

	return alc_device_info(i, &d) ? d.name : NULL;
}

/* ---- Text --------------------------------------------------------------------------------- */

static void print_list(void)
{
	struct alc_device_info d;
	int width = 0;

	for (size_t i = 0; alc_device_info(i, &d); i++)
		width = (int)strlen(d.name) > width ? (int)strlen(d.name) : width;
	for (int platform = 0; platform <= 1; platform++) {
		puts(platform ? "\nIn every machine:" : "For --device:");
		for (size_t i = 0; alc_device_info(i, &d); i++)
			if (d.platform == platform)
				printf("  %-*s  %s\n", width, d.name, d.summary);
	}
}

static void print_device(const struct alc_device_info *d)
{
	int width = 0;

	printf("%s: %s%s\n", d->name, d->summary, d->platform ? " (in every machine)" : "");
	for (size_t i = 0; i < d->noptions; i++)
		width = (int)strlen(d->options[i].name) > width ? (int)strlen(d->options[i].name)
								: width;
	if (d->noptions)
		puts("\noptions:");
	for (size_t i = 0; i < d->noptions; i++) {
		const struct alc_option_info *o = &d->options[i];

		printf("  %-*s  %-6s  %s (default: %s)\n", width, o->name, o->type, o->help,
		       o->initial && *o->initial ? o->initial : "none");
	}
	if (d->pci && !d->platform)
		puts("\nas every PCI device:\n"
		     "  addr=SLOT[.FUNCTION]  where on its bus, in hexadecimal (default: the next free)\n"
		     "  bus=ID                behind that root port, as pcie-root-port.0 for the first");
}

/* ---- JSON --------------------------------------------------------------------------------- */

static json_t *device_json(const struct alc_device_info *d)
{
	json_t *options = json_array();

	for (size_t i = 0; i < d->noptions; i++) {
		const struct alc_option_info *o = &d->options[i];

		json_array_append_new(options,
				      json_pack("{s:s, s:s, s:s?, s:s}", "name", o->name, "type",
						o->type, "default", o->initial, "help", o->help));
	}
	return json_pack("{s:s, s:s, s:b, s:b, s:o}", "name", d->name, "summary", d->summary,
			 "platform", (int)d->platform, "pci", (int)d->pci, "options", options);
}

static int print_json(json_t *o)
{
	int failed = json_dumpf(o, stdout, JSON_INDENT(2));

	putchar('\n');
	json_decref(o);
	return failed ? fail(EXIT_VMM, "out of memory") : EXIT_OK;
}

static json_t *list_json(void)
{
	json_t *list = json_array();
	struct alc_device_info d;

	for (size_t i = 0; alc_device_info(i, &d); i++)
		json_array_append_new(list, device_json(&d));
	return list;
}

static int unknown(const char *name)
{
	const char *near = nearest(name, device_name, NULL);

	if (near)
		return fail(EXIT_USAGE, "there is no device '%s' (did you mean %s?)", name, near);
	return fail(EXIT_USAGE, "there is no device '%s': see `alcazar devices`", name);
}

static int devices(void *values, const char *operand, struct strings trailing)
{
	const struct devices_values *v = values;
	struct alc_device_info d;
	size_t i;

	if (!operand) {
		if (v->json)
			return print_json(list_json());
		print_list();
		return EXIT_OK;
	}
	for (i = 0; alc_device_info(i, &d) && strcmp(d.name, operand); i++)
		;
	if (!alc_device_info(i, &d))
		return unknown(operand);
	if (v->json)
		return print_json(device_json(&d));
	print_device(&d);
	return EXIT_OK;
}

const struct command cmd_devices = {
	.name = "devices",
	.summary = "list device classes, or tell one's options",
	.operand = "NAME",
	.operand_values = VALUES_DEVICE,
	.options = rows,
	.values_size = sizeof(struct devices_values),
	.run = devices,
};
