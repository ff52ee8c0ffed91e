/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <string.h>

#include "alcazar/device.h"
#include "alcazar/vm.h"
#include "options.h"

/* ---- --help ------------------------------------------------------------------------------- */

static int option_width(const struct option_row *o)
{
	return (int)(strlen(o->name) + (o->value ? strlen(o->value) + 1 : 0));
}

static void print_option(const struct option_row *o, int width, FILE *out)
{
	int pad = width - option_width(o);

	fprintf(out, "  --%s%s%s%*s  %s", o->name, o->value ? " " : "", o->value ? o->value : "",
		pad, "", o->help);
	if (o->initial)
		fprintf(out, " (default: %s)", o->initial);
	fputc('\n', out);
}

static void print_usage(const struct command *c, FILE *out)
{
	fprintf(out, "alcazar %s", c->name);
	if (c->options && c->options[0].name)
		fputs(" [options]", out);
	if (c->operand)
		fprintf(out, " [%s]", c->operand);
	if (c->trailing)
		fprintf(out, " [-- %s]", c->trailing);
}

static void print_verbs(const struct command *c, FILE *out)
{
	int width = 0;

	fprintf(out, "usage: alcazar %s VERB [options]\n\n%c%s.\n\n", c->name,
		toupper((unsigned char)c->summary[0]), c->summary + 1);
	for (size_t i = 0; c->verbs[i]; i++)
		if ((int)strlen(verb_name(c->verbs[i])) > width)
			width = (int)strlen(verb_name(c->verbs[i]));
	for (size_t i = 0; c->verbs[i]; i++)
		fprintf(out, "  %-*s  %s\n", width, verb_name(c->verbs[i]), c->verbs[i]->summary);
	fprintf(out, "\n`alcazar %s VERB --help` tells a verb's options.\n", c->name);
}

void command_help(const struct command *c, FILE *out)
{
	int width = 0;

	if (c->verbs) {
		print_verbs(c, out);
		return;
	}
	fputs("usage: ", out);
	print_usage(c, out);
	fprintf(out, "\n\n%c%s.\n", toupper((unsigned char)c->summary[0]), c->summary + 1);
	for (const struct option_row *o = c->options; o && o->name; o++)
		width = option_width(o) > width ? option_width(o) : width;
	if (width)
		fputc('\n', out);
	for (const struct option_row *o = c->options; o && o->name; o++)
		print_option(o, width, out);
}

/* ---- The manual --------------------------------------------------------------------------- */

/* scdoc gives a meaning to these. */
static void put_escaped(const char *s, FILE *out)
{
	for (; *s; s++) {
		if (strchr("\\*_[]#|<>~.", *s))
			fputc('\\', out);
		fputc(*s, out);
	}
}

static void put_options(const struct command *c, FILE *out)
{
	for (const struct option_row *o = c->options; o && o->name; o++) {
		fprintf(out, "\n*--%s*", o->name);
		if (o->value) {
			fputs(" _", out);
			put_escaped(o->value, out);
			fputc('_', out);
		}
		fprintf(out, "\n\t%c", toupper((unsigned char)o->help[0]));
		put_escaped(o->help + 1, out);
		fputc('.', out);
		if (o->initial) {
			fputs(" Default: *", out);
			put_escaped(o->initial, out);
			fputs("*.", out);
		}
		fputc('\n', out);
	}
}

void command_manual(const struct command *c, FILE *out)
{
	fputs("# OPTIONS\n", out);
	if (!c->verbs) {
		put_options(c, out);
		return;
	}
	for (size_t i = 0; c->verbs[i]; i++)
		if (c->verbs[i]->options) {
			fprintf(out, "\n## alcazar %s\n", c->verbs[i]->name);
			put_options(c->verbs[i], out);
		}
}

/* ---- Completion --------------------------------------------------------------------------- */

static void put_engines(FILE *out)
{
	struct alc_engine_info e;
	struct alc_err err = {0};
	struct alc_host *host;

	fputs("auto", out);
	if (alc_host_open(&host, &err))
		return;
	for (size_t i = 0; alc_engine_info(host, i, &e); i++)
		fprintf(out, " %s", e.name);
	alc_host_close(host);
}

static void put_profiles(FILE *out)
{
	const char *name;

	for (size_t i = 0; (name = alc_cpu_profile(i)); i++)
		fprintf(out, "%s%s", i ? " " : "", name);
}

static void put_devices(FILE *out)
{
	struct alc_device_info d;

	for (size_t i = 0; alc_device_info(i, &d); i++)
		if (!d.platform)
			fprintf(out, "%s ", d.name);
}

/* The reply for one kind of value. */
static void put_reply(enum option_values values, const char *words, FILE *out)
{
	if (values == VALUES_FILE) {
		fputs("COMPREPLY=($(compgen -f -- \"$cur\"))", out);
		return;
	}
	fputs("COMPREPLY=($(compgen -W '", out);
	if (values == VALUES_ENGINE)
		put_engines(out);
	else if (values == VALUES_PROFILE)
		put_profiles(out);
	else if (values == VALUES_DEVICE)
		put_devices(out);
	else if (words)
		fputs(words, out);
	fputs("' -- \"$cur\"))", out);
}

/* The verb first, then whatever one of the verbs may take. */
static void put_family(const struct command *c, FILE *out)
{
	fprintf(out, "\t%s)\n\t\tif ((COMP_CWORD == 2)); then\n\t\t\tCOMPREPLY=($(compgen -W '",
		c->name);
	for (size_t i = 0; c->verbs[i]; i++)
		fprintf(out, "%s ", verb_name(c->verbs[i]));
	fputs("--help' -- \"$cur\"))\n\t\telif [[ $cur == -* ]]; then\n"
	      "\t\t\tCOMPREPLY=($(compgen -W '--help",
	      out);
	for (size_t i = 0; c->verbs[i]; i++)
		for (const struct option_row *o = c->verbs[i]->options; o && o->name; o++)
			fprintf(out, " --%s", o->name);
	fputs("' -- \"$cur\"))\n\t\telse\n\t\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n"
	      "\t\tfi\n\t\t;;\n",
	      out);
}

static void put_command(const struct command *c, FILE *out)
{
	if (c->verbs) {
		put_family(c, out);
		return;
	}
	fprintf(out, "\t%s)\n\t\tcase $prev in\n", c->name);
	for (const struct option_row *o = c->options; o && o->name; o++) {
		if (o->kind == OPTION_FLAG)
			continue;
		fprintf(out, "\t\t--%s) ", o->name);
		put_reply(o->values, o->words, out);
		fputs("; return ;;\n", out);
	}
	fputs("\t\tesac\n\t\tif [[ $cur == -* ]]; then\n\t\t\tCOMPREPLY=($(compgen -W '--help",
	      out);
	for (const struct option_row *o = c->options; o && o->name; o++)
		fprintf(out, " --%s", o->name);
	fputs("' -- \"$cur\"))\n", out);
	if (c->operand) {
		fputs("\t\telse\n\t\t\t", out);
		put_reply(c->operand_values, c->operand_words, out);
		fputc('\n', out);
	}
	fputs("\t\tfi\n\t\t;;\n", out);
}

void completion_bash(FILE *out)
{
	fputs("# bash completion for alcazar: source <(alcazar completion bash)\n"
	      "_alcazar()\n{\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word\n"
	      "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
	      "\t\t[[ $word == -- ]] && return\n"
	      "\tdone\n"
	      "\tif ((COMP_CWORD == 1)); then\n\t\tCOMPREPLY=($(compgen -W '",
	      out);
	for (size_t i = 0; commands[i]; i++)
		if (!commands[i]->hidden)
			fprintf(out, "%s ", commands[i]->name);
	fputs("--help --version' -- \"$cur\"))\n\t\treturn\n\tfi\n\tcase ${COMP_WORDS[1]} in\n",
	      out);
	for (size_t i = 0; commands[i]; i++)
		if (!commands[i]->hidden)
			put_command(commands[i], out);
	fputs("\tesac\n}\ncomplete -F _alcazar alcazar\n", out);
}
