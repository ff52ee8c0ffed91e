/* SPDX-License-Identifier: BSD-2-Clause */
/* Pictures by gnuplot, in a process of its own: its licence stays out of ours. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab/linux/experiment.h"

enum { PATH_SIZE = 4096, NAME_SIZE = 160 };

extern char **environ;

/* A label as part of a file's name. */
static void add_slug(char *out, size_t size, const char *label)
{
	size_t n = strlen(out);

	for (; *label && n + 1 < size; label++) {
		char c = isalnum((unsigned char)*label) || *label == '.' ? *label : '-';

		if (c != '-' || (n && out[n - 1] != '-'))
			out[n++] = c;
	}
	out[n] = '\0';
}

static FILE *create(const char *folder, const char *name, const char *suffix, struct alc_err *err)
{
	char path[PATH_SIZE];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s%s", folder, name, suffix);
	f = fopen(path, "we");
	if (!f)
		alc_fail(err, -errno, "can't write '%s': %s", path, strerror(errno));
	return f;
}

static int finish(FILE *f, const char *folder, struct alc_err *err)
{
	bool failed = ferror(f);

	if (fclose(f) || failed)
		return alc_fail(err, -EIO, "can't write in '%s'", folder);
	return 0;
}

/* ---- Data --------------------------------------------------------------------------------- */

static u64 all_seeds(const struct cell *c, size_t seeds, unsigned bin)
{
	u64 n = 0;

	for (size_t i = 0; i < seeds; i++)
		n += c[i].tally.response.bins[bin];
	return n;
}

/* Lines "ms share": the share of responses of at most that long. A data set ends by two blanks. */
static void put_distribution(FILE *f, const struct cell *c, size_t seeds)
{
	u64 total = 0, sum = 0;

	for (size_t i = 0; i < seeds; i++)
		total += c[i].tally.response.n;
	fprintf(f, "# %s\n", c->scheduler->label);
	for (unsigned bin = 0; bin < HISTOGRAM_BINS; bin++) {
		u64 n = all_seeds(c, seeds, bin);

		sum += n;
		if (n)
			fprintf(f, "%.6f %.8f\n", (double)histogram_from(bin + 1) / 1e6,
				(double)sum / (double)total);
	}
	fputs("\n\n", f);
}

static void put_quoted(FILE *f, const char *s)
{
	fputc('\'', f);
	for (; *s; s++)
		fputs(*s == '\'' ? "''" : (const char[]){*s, '\0'}, f);
	fputc('\'', f);
}

static void put_script(FILE *f, const struct alc_experiment *x, const struct cell *c,
		       const char *name)
{
	static const char *const terminals[][2] = {
		{"svg size 900,560 dynamic background rgb 'white'", "svg"},
		{"pngcairo size 900,560", "png"},
	};

	fputs("set encoding utf8\nset logscale x\nset format x '%g'\nset yrange [0:1]\nset grid\n"
	      "set key bottom right noenhanced\nset xlabel 'response time, ms (virtual time)'\n"
	      "set ylabel 'share of requests'\nset title ",
	      f);
	put_quoted(f, c->workload->label);
	fputs(".' on '.", f);
	put_quoted(f, c->model->label);
	fputs(" noenhanced\n", f);
	for (size_t i = 0; i < ARRAY_LEN(terminals); i++) {
		fprintf(f, "set terminal %s\nset output '%s.%s'\nplot", terminals[i][0], name,
			terminals[i][1]);
		for (size_t s = 0; s < x->schedulers.n; s++) {
			fprintf(f, "%s '%s.dat' index %zu with steps linewidth 2 title ",
				s ? ", \\\n" : "", name, s);
			put_quoted(f, x->schedulers.items[s].label);
		}
		fputs("\n", f);
	}
}

/* ---- gnuplot ------------------------------------------------------------------------------ */

static int start(const char *folder, const char *script, pid_t *pid)
{
	char name[] = "gnuplot", file[NAME_SIZE + 8];
	char *argv[] = {name, file, NULL};
	posix_spawn_file_actions_t actions;
	int rc;

	snprintf(file, sizeof(file), "%s.gp", script);
	rc = posix_spawn_file_actions_init(&actions);
	if (rc)
		return rc;
	rc = posix_spawn_file_actions_addchdir_np(&actions, folder);
	if (!rc)
		rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY,
						      0);
	if (!rc)
		rc = posix_spawnp(pid, name, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static int draw(const char *folder, const char *name, struct alc_err *err)
{
	int rc, status;
	pid_t pid;

	rc = start(folder, name, &pid);
	if (rc == ENOENT)
		return alc_fail(err, -ENOENT,
				"there is no gnuplot: install Debian's package gnuplot-nox; the "
				"data and the scripts are in '%s'",
				folder);
	if (rc)
		return alc_fail(err, -rc, "can't start gnuplot: %s", strerror(rc));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return alc_fail(err, -errno, "can't wait for gnuplot");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return alc_fail(err, -EIO, "gnuplot failed on '%s/%s.gp'", folder, name);
	return 0;
}

static int write_files(const struct alc_experiment *x, const struct cell *c, const char *folder,
		       const char *name, struct alc_err *err)
{
	FILE *f = create(folder, name, ".dat", err);
	int rc;

	if (!f)
		return err->code;
	for (size_t s = 0; s < x->schedulers.n; s++)
		put_distribution(f, c + s * x->nseeds, x->nseeds);
	rc = finish(f, folder, err);
	f = rc ? NULL : create(folder, name, ".gp", err);
	if (!f)
		return err->code;
	put_script(f, x, c, name);
	return finish(f, folder, err);
}

int alc_experiment_plot(const struct alc_experiment *x, const char *folder, struct alc_err *err)
{
	size_t group = x->schedulers.n * x->nseeds;
	struct alc_err own = {0};
	int rc = 0;

	if (!x->ran)
		return alc_fail(err, -EINVAL, "the experiment has not been run");
	if (mkdir(folder, 0777) && errno != EEXIST)
		return alc_fail(err, -errno, "can't make the folder '%s': %s", folder,
				strerror(errno));
	for (size_t i = 0; !rc && i < x->ncells; i += group) {
		char name[NAME_SIZE];

		/* The number keeps labels apart that differ only in what a file name can't have. */
		snprintf(name, sizeof(name), "%zu-", i / group + 1);
		add_slug(name, sizeof(name), x->cells[i].workload->label);
		add_slug(name, sizeof(name), "-");
		add_slug(name, sizeof(name), x->cells[i].model->label);
		rc = write_files(x, &x->cells[i], folder, name, &own);
		if (!rc)
			rc = draw(folder, name, &own);
	}
	return rc ? alc_fail(err, rc, "%s", own.text) : 0;
}
