/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Subcommands and their options, by table: parsing, --help, shell completion, the keys of a
 * machine's description and the options of the manual page come from the same rows.
 */
enum option_kind { OPTION_FLAG, OPTION_VALUE, OPTION_LIST };

/* What a shell may offer for a value, besides the words in `words`. */
enum option_values { VALUES_ANY, VALUES_FILE, VALUES_ENGINE, VALUES_PROFILE, VALUES_DEVICE };

struct option_row {
	const char *name;  /* without dashes; NULL ends a table */
	const char *value; /* what stands for the value in help */
	const char *help;
	enum option_kind kind;
	size_t offset;       /* in the values: bool, char *, or struct strings */
	const char *initial; /* the default, or NULL */
	const char *key;     /* in a machine's description, or NULL */
	enum option_values values;
	const char *words; /* separated by spaces */
};

/* The layout is also what libcyaml makes of a sequence. */
struct strings {
	char **items;
	unsigned count;
};

struct command {
	const char *name, *summary;
	const char *operand;  /* what stands for the one operand in help, or NULL: none */
	const char *trailing; /* what may follow after --, or NULL: nothing */
	const struct option_row *options;
	size_t values_size;
	/* values: as parsed, zero where nothing was given. Returns the exit status. */
	int (*run)(void *values, const char *operand, struct strings trailing);
	enum option_values operand_values;
	const char *operand_words;
	bool hidden;
	/* The command is a family of these, NULL-terminated; their names have its own in front. */
	const struct command *const *verbs;
};

extern const struct command *const commands[]; /* NULL-terminated */
const struct command *command_find(const char *name);

enum {
	EXIT_OK = 0,
	EXIT_USAGE = 2,
	EXIT_TIMEOUT = 124,
	EXIT_VMM = 125,
	EXIT_CRASHED = 126,
	EXIT_SIGNAL = 128,
};

/* "alcazar: …" on standard error, one line; returns status. */
int fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *xcalloc(size_t n, size_t size); /* ends the program when there is no memory */
void strings_add(struct strings *s, char *item);

/* Parses, runs, gives back: the exit status. argv[0] is the subcommand's name. */
int command_run(const struct command *c, int argc, char **argv);
/* Its name within its family. */
const char *verb_name(const struct command *verb);
void command_help(const struct command *c, FILE *out);
/* The options as a section of a scdoc page. */
void command_manual(const struct command *c, FILE *out);
void completion_bash(FILE *out);

/* "did you mean": the nearest of n names (get(i, ctx)), NULL if none is near. */
const char *nearest(const char *typed, const char *(*get)(size_t i, void *ctx), void *ctx);

#endif
