/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which engine runs a machine. A description names it, or `auto`, with its options after a comma
 * each, as in `kvm,irqchip=split`.
 */
#include "alcazar/device.h"
#include "base/errno.h"
#include "base/fmt.h"
#include "base/str.h"
#include "vm/machine.h"

enum { NAMES_MAX = 100, OPTION_MAX = 160 };

/* "auto, kvm, interp" */
static void list_engines(const struct alc_engine *const *engines, char out[NAMES_MAX])
{
	size_t at = fmt_text(out, NAMES_MAX, "auto");

	for (size_t i = 0; engines[i] && at < NAMES_MAX; i++)
		at += fmt_text(out + at, NAMES_MAX - at, ", %s", engines[i]->name);
}

struct alc_engine_score engine_probe(const struct alc_host *host, const struct alc_engine *e)
{
	struct alc_engine_score score = {.usable = -ENODEV};

	e->probe(host, &score);
	score.why[sizeof(score.why) - 1] = '\0';
	return score;
}

const struct alc_engine *engine_best(const struct alc_host *host,
				     const struct alc_engine *const *engines, bool counting)
{
	const struct alc_engine *best = NULL;
	unsigned best_good = 0;

	for (size_t i = 0; engines[i]; i++) {
		struct alc_engine_score score = engine_probe(host, engines[i]);

		if (score.usable == 0 && score.good > best_good &&
		    (engines[i]->counts || !counting)) {
			best = engines[i];
			best_good = score.good;
		}
	}
	return best;
}

/* Does the text begin with this name, and then end or go on with options? */
static bool names(const char *text, const char *name)
{
	while (*name && *text == *name) {
		text++;
		name++;
	}
	return !*name && (!*text || *text == ',');
}

static int named_engine(const struct alc_host *host, const struct alc_engine *const *engines,
			const char *name, bool counting, const struct alc_engine **out,
			struct alc_err *err)
{
	struct alc_engine_score score;
	char list[NAMES_MAX];

	for (size_t i = 0; engines[i]; i++) {
		if (!names(name, engines[i]->name))
			continue;
		if (counting && !engines[i]->counts)
			return alc_fail(
				err, -ENOTSUP,
				"the engine '%s' does not count instructions, so it can't "
				"have the virtual clock: use --engine auto, or --clock host",
				engines[i]->name);
		score = engine_probe(host, engines[i]);
		if (score.usable)
			return alc_fail(err, score.usable, "the engine '%s' can't run here: %s",
					engines[i]->name, score.why);
		*out = engines[i];
		return 0;
	}
	list_engines(engines, list);
	return alc_fail(err, -EINVAL, "there is no engine '%s': use one of %s", name, list);
}

int engine_select(const struct alc_host *host, const struct alc_engine *const *engines,
		  const char *name, bool counting, const struct alc_engine **out,
		  struct alc_err *err)
{
	const struct alc_engine *best;

	if (!names(name, "auto"))
		return named_engine(host, engines, name, counting, out, err);
	if (!str_eq(name, "auto"))
		return alc_fail(err, -EINVAL,
				"options are an engine's own: name it instead of 'auto'");
	best = engine_best(host, engines, counting);
	if (!best)
		return alc_fail(err, -ENODEV, "no engine can run here: see `alcazar doctor`");
	*out = best;
	return 0;
}

/* Copies up to the end or the given character, and returns what follows it; NULL: too long. */
static const char *cut(const char *text, char at, char out[OPTION_MAX])
{
	size_t n = 0;

	while (text[n] && text[n] != at && n < OPTION_MAX - 1) {
		out[n] = text[n];
		n++;
	}
	out[n] = '\0';
	if (text[n] && text[n] != at)
		return NULL;
	return text[n] ? text + n + 1 : text + n;
}

static int set_option(const struct alc_engine *e, void *vm, const char *option, struct alc_err *err)
{
	char key[OPTION_MAX];
	const char *value = cut(option, '=', key);

	if (!value || !*value || !key[0])
		return alc_fail(err, -EINVAL, "the engine option '%s' is not KEY=VALUE", option);
	if (!e->configure)
		return alc_fail(err, -EINVAL, "the engine '%s' has no option '%s': it takes none",
				e->name, key);
	return e->configure(vm, key, value, err);
}

int engine_configure(const struct alc_engine *e, void *vm, const char *name, struct alc_err *err)
{
	char option[OPTION_MAX];
	const char *rest = cut(name, ',', option);
	int r = 0;

	while (!r && rest && *rest) {
		rest = cut(rest, ',', option);
		if (rest)
			r = set_option(e, vm, option, err);
	}
	return !r && !rest ? alc_fail(err, -EINVAL, "an option in '%s' is too long", name) : r;
}

const char *alc_cpu_profile(size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!cpuid_profiles[k])
			return NULL;
	return cpuid_profiles[i];
}
