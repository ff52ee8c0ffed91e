/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "alcazar/version.h"
#include "cmds.h"
#include "options.h"

const struct command *const commands[] = {
	&cmd_run,         &cmd_doctor,     &cmd_devices, &cmd_disk,
	&cmd_confinement, &cmd_completion, &cmd_help,    NULL,
};

static void print_commands(FILE *out)
{
	fputs("usage: alcazar COMMAND [options]\n\nA virtual machine monitor.\n\n", out);
	for (size_t i = 0; commands[i]; i++)
		fprintf(out, "  %-12s%s\n", commands[i]->name, commands[i]->summary);
	fputs("\n`alcazar help COMMAND` tells a command's options.\n", out);
}

static const char *command_name(size_t i, void *ctx)
{
	return commands[i] ? commands[i]->name : NULL;
}

static int unknown_command(const char *name)
{
	const char *near = nearest(name, command_name, NULL);

	if (near)
		return fail(EXIT_USAGE, "there is no command '%s' (did you mean %s?)", name, near);
	return fail(EXIT_USAGE, "there is no command '%s': see `alcazar help`", name);
}

static int help(void *values, const char *operand, struct strings trailing)
{
	const struct command *c = operand ? command_find(operand) : NULL;

	if (operand && !c)
		return unknown_command(operand);
	if (c)
		command_help(c, stdout);
	else
		print_commands(stdout);
	return EXIT_OK;
}

const struct command cmd_help = {
	.name = "help",
	.summary = "tell what a command does and which options it has",
	.operand = "COMMAND",
	.operand_words = "run doctor devices disk confinement completion",
	.run = help,
};

static int run_command(int argc, char **argv)
{
	const struct command *c;

	if (argc < 2)
		return fail(EXIT_USAGE, "say what to do, as in `alcazar run`: see `alcazar help`");
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("alcazar " ALC_VERSION_STRING);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_commands(stdout);
		return EXIT_OK;
	}
	c = command_find(argv[1]);
	return c ? command_run(c, argc - 1, argv + 1) : unknown_command(argv[1]);
}

int main(int argc, char **argv)
{
	int status = run_command(argc, argv);

	if (fflush(stdout) && status == EXIT_OK)
		status = fail(EXIT_VMM, "can't write to standard output");
	return status;
}
