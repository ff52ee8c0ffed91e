/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_ENTRIES_H
#define CLI_ENTRIES_H

#include "alcazar/vm.h"
#include "options.h"

/*
 * Values of the form HEAD[,KEY=VALUE…], as --device, --disk and --net have them. A comma that is
 * part of a file's name is written twice.
 */
struct entry {
	char *head; /* owns the text that all of the entry points into */
	struct alc_device_opt *opts;
	size_t nopts;
};

struct entries {
	struct entry *items;
	size_t count;
};

/*
 * option: its name, for messages. bare: a KEY without a value is fine, and has the value NULL. 0 or
 * an exit status, after having said why; entries_free either way.
 */
int entries_parse(const struct strings *list, const char *option, bool bare, struct entries *out);
void entries_free(struct entries *e);

#endif
