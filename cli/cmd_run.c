/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmds.h"
#include "description.h"
#include "run_options.h"
#include "terminal.h"

/* ---- Flags over description over defaults ------------------------------------------------- */

static void *value_at(struct run_values *v, const struct option_row *o)
{
	return (char *)v + o->offset;
}

static void merge_lists(struct strings *to, const struct strings *first,
			const struct strings *second)
{
	for (unsigned i = 0; i < first->count; i++)
		strings_add(to, first->items[i]);
	for (unsigned i = 0; i < second->count; i++)
		strings_add(to, second->items[i]);
}

/*
 * Strings stay with their owners, lists are new. Devices, disks and networks of the flags are added
 * to those of the file; a command replaces the file's.
 */
static void merge(struct run_values *to, struct run_values *flags, struct run_values *file)
{
	static const struct strings none;

	*to = (struct run_values){.spectre = flags->spectre, .print = flags->print};
	for (const struct option_row *o = run_rows; o->name; o++) {
		char **text = value_at(to, o);

		if (o->kind == OPTION_LIST) {
			merge_lists(value_at(to, o), value_at(file, o), value_at(flags, o));
		} else if (o->kind == OPTION_VALUE) {
			*text = *(char **)value_at(flags, o);
			if (!*text)
				*text = *(char **)value_at(file, o);
		}
	}
	merge_lists(&to->command, flags->command.count ? &flags->command : &file->command, &none);
}

/* Defaults are strings of the table, which nobody writes to. */
static void set_defaults(struct run_values *v)
{
	for (const struct option_row *o = run_rows; o->name; o++) {
		char **text = value_at(v, o);

		if (o->kind == OPTION_VALUE && !*text && o->initial)
			memcpy(text, &o->initial, sizeof(*text));
	}
}

/*
 * --spectre is short for an option of the translator, which `auto` is then; so a description has no
 * key of its own for it. The text in *made is the caller's.
 */
static int add_spectre(struct run_values *v, char **made)
{
	static const char name[] = "translate", option[] = ",spectre=yes";
	const char *engine = v->engine && strcmp(v->engine, "auto") ? v->engine : name;
	size_t len = strlen(engine), name_len = sizeof(name) - 1;

	if (strncmp(engine, name, name_len) || (engine[name_len] && engine[name_len] != ','))
		return fail(EXIT_USAGE,
			    "--spectre is the translator's: use --engine translate, not '%s'",
			    engine);
	*made = xcalloc(1, len + sizeof(option));
	memcpy(*made, engine, len);
	memcpy(*made + len, option, sizeof(option));
	v->engine = *made;
	return EXIT_OK;
}

static void free_merged(struct run_values *v)
{
	free(v->disks.items);
	free(v->nets.items);
	free(v->devices.items);
	free(v->displays.items);
	free(v->command.items);
	free(v->state_hashes.items);
}

/* ---- How it ended ------------------------------------------------------------------------- */

static int write_stats(struct alc_vm *vm, const char *path)
{
	struct alc_err err = {0};
	char *text;
	FILE *f;
	int rc;

	if (alc_vm_stats_json(vm, &text, &err))
		return fail(EXIT_VMM, "%s", err.text);
	f = fopen(path, "we");
	rc = !f || fputs(text, f) < 0 || fputc('\n', f) < 0 ? errno : 0;
	if (f && fclose(f) && !rc)
		rc = errno;
	free(text);
	return rc ? fail(EXIT_VMM, "can't write statistics to '%s': %s", path, strerror(rc)) : 0;
}

static int say_outcome(const struct alc_result *res, const struct alc_err *err,
		       const struct run_values *v)
{
	switch (res->outcome) {
	case ALC_OUTCOME_POWEROFF:
	case ALC_OUTCOME_EXIT:
		return res->status & 0xff;
	case ALC_OUTCOME_STOPPED:
		return signals_caught() ? EXIT_SIGNAL + signals_caught() : EXIT_OK;
	case ALC_OUTCOME_TIMEOUT:
		return fail(EXIT_TIMEOUT, "the time limit of %s is over: allow more with --timeout",
			    v->timeout);
	case ALC_OUTCOME_CRASHED:
		return fail(EXIT_CRASHED,
			    "the guest crashed (triple fault): its console output may "
			    "tell why");
	case ALC_OUTCOME_RESET:
		return fail(EXIT_CRASHED, "the guest reset itself before its command was done: its "
					  "kernel's last words may be above");
	case ALC_OUTCOME_FAILED:
		break;
	}
	return fail(EXIT_VMM, "%s", err->text[0] ? err->text : "the machine could not go on");
}

static int run_vm(struct alc_vm *vm, const struct run_values *v)
{
	struct alc_err err = {0};
	struct alc_result res = {.outcome = ALC_OUTCOME_FAILED};
	int status, rc, stats = 0;

	signals_guard(vm);
	/* How it went is in res, whatever is returned. */
	rc = alc_vm_run(vm, &res, &err);
	signals_guard(NULL);
	terminal_restore();
	status = say_outcome(&res, &err, v);
	if (v->stats && !rc)
		stats = write_stats(vm, v->stats);
	return stats ? stats : status;
}

static int create_status(int rc)
{
	return rc == -EINVAL || rc == -ENOTSUP ? EXIT_USAGE : EXIT_VMM;
}

static int run_plan(const struct run_plan *plan, const struct run_values *v)
{
	struct alc_err err = {0};
	struct alc_host *host;
	struct alc_vm *vm;
	int status, rc = alc_host_open(&host, &err);

	if (rc)
		return fail(EXIT_VMM, "%s", err.text);
	signals_watch();
	if (plan->desc.console.escape_char >= 0)
		terminal_raw(plan->desc.console.in_fd);
	rc = alc_vm_create(host, &plan->desc, &vm, &err);
	if (rc) {
		terminal_restore();
		alc_host_close(host);
		return fail(create_status(rc), "%s", err.text);
	}
	status = run_vm(vm, v);
	alc_vm_destroy(vm);
	alc_host_close(host);
	return status;
}

static int run_values(const struct run_values *v)
{
	struct run_plan plan;
	int status;

	if (v->print)
		return description_write(run_rows, sizeof(*v), v, stdout) ? EXIT_VMM : EXIT_OK;
	status = run_plan_make(v, &plan);
	if (!status)
		status = run_plan(&plan, v);
	run_plan_free(&plan);
	return status;
}

static int run(void *values, const char *operand, struct strings trailing)
{
	struct run_values *flags = values, empty = {0}, merged;
	void *file = NULL;
	char *engine = NULL;
	int status = EXIT_OK;

	if (operand && description_read(run_rows, sizeof(empty), operand, &file))
		return EXIT_USAGE;
	flags->command = trailing;
	merge(&merged, flags, file ? file : &empty);
	set_defaults(&merged);
	if (merged.spectre)
		status = add_spectre(&merged, &engine);
	if (!status)
		status = run_values(&merged);
	free(engine);
	free_merged(&merged);
	description_free(run_rows, sizeof(empty), file);
	return status;
}

const struct command cmd_run = {
	.name = "run",
	.summary = "boot a machine, or run one command in it",
	.operand = "MACHINE.yaml",
	.operand_values = VALUES_FILE,
	.trailing = "COMMAND…",
	.options = run_rows,
	.values_size = sizeof(struct run_values),
	.run = run,
};
