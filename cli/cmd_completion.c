/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "cmds.h"

/* `manual-NAME` is for this program's own build: the options section of a manual page. */
static int completion(void *values, const char *operand, struct strings trailing)
{
	static const char manual[] = "manual-";
	const struct command *c;

	if (operand && !strcmp(operand, "bash")) {
		completion_bash(stdout);
		return EXIT_OK;
	}
	if (operand && !strncmp(operand, manual, sizeof(manual) - 1)) {
		c = command_find(operand + sizeof(manual) - 1);
		if (c) {
			command_manual(c, stdout);
			return EXIT_OK;
		}
	}
	return fail(EXIT_USAGE, "completion is there for bash: `alcazar completion bash`");
}

const struct command cmd_completion = {
	.name = "completion",
	.summary = "print a completion script for a shell",
	.operand = "SHELL",
	.operand_words = "bash",
	.run = completion,
};
