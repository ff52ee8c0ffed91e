/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "block_work.h"
#include "planted.h"

/* ---- Guests -----------------------------------------------------------------------------------
 */

static const struct alc_engine *find(const char *name)
{
	return strcmp(name, planted_engine.name) ? world_engine(name) : &planted_engine;
}

static int open_guest(struct work *w, unsigned i, struct alc_err *err)
{
	const struct alc_engine *e = find(w->names[i]);
	int ret = e ? block_guest_create(&w->guest[i], e, &w->settings[i], err)
		    : alc_fail(err, -ENOENT, "no engine '%s'", w->names[i]);

	w->guest[i].world.slice = w->slice;
	if (!ret && i == 1 && w->disturb)
		ret = world_disturb(&w->guest[i].world, w->disturb, err);
	return ret;
}

int work_open(struct work *w, struct alc_err *err)
{
	int ret;

	memset(w->guest, 0, sizeof(w->guest));
	memset(&w->stepper, 0, sizeof(w->stepper));
	ret = open_guest(w, 0, err);
	if (!ret)
		ret = open_guest(w, 1, err);
	return ret ? ret : block_guest_create(&w->stepper, &interp_engine, NULL, err);
}

void work_close(struct work *w)
{
	block_guest_destroy(&w->guest[0]);
	block_guest_destroy(&w->guest[1]);
	block_guest_destroy(&w->stepper);
}

/* ---- Comparing --------------------------------------------------------------------------------
 */

/* An engine that can't be made again is the end: nothing could be compared any more. */
static void refresh(struct work *w)
{
	struct alc_err err = {0};

	block_guest_destroy(&w->guest[1]);
	if (open_guest(w, 1, &err)) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
}

const char *work_compare(struct work *w, struct block *b)
{
	const char *what = NULL;

	block_try(&w->stepper, b, &w->f->trial);
	if (!w->f->trial.fit)
		return NULL;
	block_guest_run(&w->guest[0], b, &w->f->out[0]);
	if (w->fresh)
		refresh(w);
	/* More than once, with what the engine remembers of the first time. */
	for (w->f->at_run = 0; w->f->at_run < w->runs && !what; w->f->at_run++) {
		block_guest_run(&w->guest[1], b, &w->f->out[1]);
		what = block_difference(&w->f->out[0], &w->f->out[1], w->f->trial.undefined,
					w->dead_on_fault);
	}
	return what;
}

const char *work_compare_apart(struct work *w, struct block *b)
{
	struct alc_err err = {0};
	int status = 0;
	pid_t pid;

	w->f->trial.fit = false;
	w->f->out[1].cpu.end = CASE_LOST;
	snprintf(w->f->out[1].cpu.why, sizeof(w->f->out[1].cpu.why), "the process died");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (work_open(w, &err))
			_exit(2);
		w->f->what = work_compare(w, b);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	if (WIFSIGNALED(status))
		return w->f->trial.fit ? "the process died" : NULL;
	return WEXITSTATUS(status) ? NULL : w->f->what;
}

/* ---- Reducing ---------------------------------------------------------------------------------
 */

enum { REDUCE_SECONDS = 60, ROUNDS = 4 };

struct reduction {
	struct work *w;
	const char *(*compare)(struct work *w, struct block *b);
	time_t end; /* programs that never end would take too long */
};

/* Is w->f->smaller as good? */
static bool adopt(struct reduction *d)
{
	struct work *w = d->w;

	if (time(NULL) > d->end || !block_link(&w->f->smaller) || !d->compare(w, &w->f->smaller))
		return false;
	w->f->block = w->f->smaller;
	return true;
}

/* NOPs keep all addresses as they are. */
static void take_away(struct block_item *it, bool keep_place)
{
	if (keep_place)
		it->nop = true;
	else
		it->len = 0;
}

static bool try_without(struct reduction *d, unsigned from, unsigned count, bool keep_place)
{
	struct block *b = &d->w->f->block, *s = &d->w->f->smaller;

	*s = *b;
	for (unsigned i = from; i < from + count && i + 1u < s->count; i++)
		if (s->item[i].len)
			take_away(&s->item[i], keep_place);
	return block_length(s) < block_length(b) && adopt(d);
}

/* Takes items away, in ever smaller pieces, as long as there is a difference. */
static void reduce_items(struct reduction *d)
{
	unsigned count = d->w->f->block.count;

	for (unsigned piece = count / 2; piece; piece /= 2)
		for (unsigned at = 0; at < count; at += piece)
			if (!try_without(d, at, piece, false))
				try_without(d, at, piece, true);
}

/* Nothing special in registers that don't matter. */
static void reduce_state(struct reduction *d)
{
	struct block *b = &d->w->f->block, *s = &d->w->f->smaller;

	for (unsigned i = 0; i < X86_GPRS; i++) {
		*s = *b;
		s->in.gpr[i] = 0;
		adopt(d);
	}
	*s = *b;
	s->in.rflags = X86_R1 | X86_IF;
	adopt(d);
	*s = *b;
	memset(s->in.vec, 0, sizeof(s->in.vec));
	memset(s->in.k, 0, sizeof(s->in.k));
	memset(s->in.st, 0, sizeof(s->in.st));
	s->in.fsw = s->in.ftw = 0;
	s->in.mxcsr = 0x1f80;
	adopt(d);
}

static void show(const struct work *w)
{
	if (w->f->out[1].cpu.end == CASE_LOST) {
		printf("  %s: %s\n", w->names[1], w->f->out[1].cpu.why);
		return;
	}
	block_print_difference(&w->f->out[0], &w->f->out[1], w->f->trial.undefined,
			       w->dead_on_fault, w->names);
}

void work_report(struct work *w, const char *what)
{
	struct reduction d = {
		.w = w, .compare = work_compare_apart, .end = time(NULL) + REDUCE_SECONDS};
	unsigned length = block_length(&w->f->block);

	printf("differs: %s (run %u)\n", what, w->f->at_run);
	if (w->verbose)
		block_print(&w->f->block);
	show(w);
	if (!work_compare_apart(w, &w->f->block)) {
		printf("not in a fresh guest: it needs what was run before\n");
		if (!w->stepper.image)
			return;
		/* Then it is reduced among the leftovers of all the others. */
		d.compare = work_compare;
	}
	for (unsigned i = 0; i < ROUNDS; i++)
		reduce_items(&d);
	reduce_state(&d);
	block_link(&w->f->block);
	what = d.compare(w, &w->f->block);
	printf("reduced from %u instructions; differs: %s (run %u)\n", length,
	       what ? what : "not any more", w->f->at_run);
	block_print(&w->f->block);
	show(w);
	length = block_length(&w->f->block);
	if (length < w->f->shortest)
		w->f->shortest = length;
	fflush(stdout);
}
