/* SPDX-License-Identifier: BSD-2-Clause */
#include "alcazar/device.h"
#include "base/errno.h"
#include "base/fmt.h"
#include "base/str.h"
#include "vm/machine.h"

enum { NAMES_MAX = 100 };

/* "auto, kvm, interp" */
static void list_engines(char out[NAMES_MAX])
{
	size_t at = fmt_text(out, NAMES_MAX, "auto");

	for (size_t i = 0; alc_engines[i] && at < NAMES_MAX; i++)
		at += fmt_text(out + at, NAMES_MAX - at, ", %s", alc_engines[i]->name);
}

static struct alc_engine_score probe(const struct alc_host *host, const struct alc_engine *e)
{
	struct alc_engine_score score = {.usable = -ENODEV};

	e->probe(host, &score);
	score.why[sizeof(score.why) - 1] = '\0';
	return score;
}

static const struct alc_engine *best_engine(const struct alc_host *host)
{
	const struct alc_engine *best = NULL;
	unsigned best_good = 0;

	for (size_t i = 0; alc_engines[i]; i++) {
		struct alc_engine_score score = probe(host, alc_engines[i]);

		if (score.usable == 0 && (!best || score.good > best_good)) {
			best = alc_engines[i];
			best_good = score.good;
		}
	}
	return best;
}

static int named_engine(const struct alc_host *host, const char *name,
			const struct alc_engine **out, struct alc_err *err)
{
	struct alc_engine_score score;
	char names[NAMES_MAX];

	for (size_t i = 0; alc_engines[i]; i++) {
		if (!str_eq(alc_engines[i]->name, name))
			continue;
		score = probe(host, alc_engines[i]);
		if (score.usable)
			return alc_fail(err, score.usable, "the engine '%s' can't run here: %s",
					name, score.why);
		*out = alc_engines[i];
		return 0;
	}
	list_engines(names);
	return alc_fail(err, -EINVAL, "there is no engine '%s': use one of %s", name, names);
}

int engine_select(const struct alc_host *host, const char *name, const struct alc_engine **out,
		  struct alc_err *err)
{
	const struct alc_engine *best;

	if (!str_eq(name, "auto"))
		return named_engine(host, name, out, err);
	best = best_engine(host);
	if (!best)
		return alc_fail(err, -ENODEV, "no engine can run here: see `alcazar doctor`");
	*out = best;
	return 0;
}

bool alc_engine_info(struct alc_host *host, size_t i, struct alc_engine_info *out)
{
	struct alc_engine_score score;

	for (size_t k = 0; k <= i; k++)
		if (!alc_engines[k])
			return false;
	score = probe(host, alc_engines[i]);
	*out = (struct alc_engine_info){
		.name = alc_engines[i]->name,
		.summary = alc_engines[i]->summary,
		.usable = score.usable == 0,
		.chosen = best_engine(host) == alc_engines[i],
		.good = score.good,
	};
	_Static_assert(sizeof(out->why) == sizeof(score.why), "one is copied to the other");
	__builtin_memcpy(out->why, score.why, sizeof(out->why));
	return true;
}

const char *alc_cpu_profile(size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!cpuid_profiles[k])
			return NULL;
	return cpuid_profiles[i];
}
