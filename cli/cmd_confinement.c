/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "alcazar/device.h"
#include "cmds.h"

struct confinement_values {
	bool json;
};

static const struct option_row rows[] = {
	{"json", NULL, "print JSON", OPTION_FLAG, offsetof(struct confinement_values, json), NULL,
	 NULL, VALUES_ANY, NULL},
	{NULL, NULL, NULL, OPTION_FLAG, 0, NULL, NULL, VALUES_ANY, NULL},
};

static int print_text(struct alc_err *err)
{
	char *text;
	int rc;

	puts("Processes of a machine besides alcazar itself, which is as free as its user:");
	for (size_t i = 0; !(rc = alc_confinement(i, false, &text, err)); i++) {
		printf("\n%s", text);
		free(text);
	}
	return rc;
}

static int add_report(json_t *list, const char *text)
{
	json_error_t why;
	json_t *report = json_loads(text, 0, &why);

	return report && !json_array_append_new(list, report) ? 0 : -EIO;
}

static int print_json(struct alc_err *err)
{
	json_t *list = json_array();
	char *text;
	int rc;

	for (size_t i = 0; !(rc = alc_confinement(i, true, &text, err)); i++) {
		rc = add_report(list, text);
		free(text);
		if (rc)
			break;
	}
	if (rc == -ENOENT) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(list);
	return rc;
}

static int confinement(void *values, const char *operand, struct strings trailing)
{
	const struct confinement_values *v = values;
	struct alc_err err = {0};
	int rc = v->json ? print_json(&err) : print_text(&err);

	if (rc == -ENOENT)
		return EXIT_OK;
	return fail(EXIT_VMM, "%s", err.text[0] ? err.text : "a helper's report is no JSON");
}

const struct command cmd_confinement = {
	.name = "confinement",
	.summary = "tell what the helper processes of a machine may do",
	.options = rows,
	.values_size = sizeof(struct confinement_values),
	.run = confinement,
};
