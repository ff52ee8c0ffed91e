/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/linux/sched_open.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/fmt.h"
#include "block/sched/plugin.h"

/* Layouts that differ would be read as garbage. */
static int check(const struct sched_plugin *p, const char *path, struct alc_err *err)
{
	if (p->abi != SCHED_ABI)
		return alc_fail(err, -ENOEXEC,
				"the scheduler '%s' is for interface %u, and this is %d: build it "
				"anew",
				path, p->abi, SCHED_ABI);
	if (p->class_size != sizeof(struct sched_class) ||
	    p->env_size != sizeof(struct sched_env) || p->req_size != sizeof(struct disk_req))
		return alc_fail(err, -ENOEXEC,
				"the scheduler '%s' was built with other headers: build it anew",
				path);
	return 0;
}

static int load(const char *path, const struct sched_class **out, struct alc_err *err)
{
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct sched_plugin *p;
	int rc;

	if (!object)
		return alc_fail(err, -ENOEXEC, "can't load a scheduler: %s", dlerror());
	p = dlsym(object, SCHED_PLUGIN_SYMBOL);
	rc = p ? check(p, path, err) : alc_fail(err, -ENOEXEC, "'%s' has no scheduler in it", path);
	if (rc) {
		dlclose(object);
		return rc;
	}
	*out = p->class;
	return 0;
}

static int open_object(const struct sched_env *env, const char *text, struct sched **out,
		       struct alc_err *err)
{
	const char *colon = strchr(text, ':');
	int len = (int)(colon ? (size_t)(colon - text) : strlen(text)), rc;
	const struct sched_class *class = NULL;
	char path[PATH_MAX];

	if (fmt_text(path, sizeof(path), "%.*s", len, text) >= sizeof(path))
		return alc_fail(err, -ENAMETOOLONG, "the scheduler's name is too long");
	rc = load(path, &class, err);
	if (!rc)
		rc = sched_create_class(env, class, colon ? colon + 1 : "", out, err);
	return rc ? alc_fail(err, rc, "the scheduler '%s' can't be made: %s", path, strerror(-rc))
		  : 0;
}

int sched_open(const struct sched_env *env, const char *text, struct sched **out,
	       struct alc_err *err)
{
	size_t name_len = strcspn(text, ":");

	return memchr(text, '/', name_len) ? open_object(env, text, out, err)
					   : sched_create(env, text, out, err);
}
