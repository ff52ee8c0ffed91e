/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/linux/open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/param.h"
#include "base/str.h"
#include "block/instant.h"
#include "block/linux/file.h"
#include "block/linux/nbd.h"
#include "block/linux/sched_open.h"
#include "block/linux/stages.h"
#include "block/overlay.h"
#include "block/simple.h"

struct opening {
	const struct alc_host *host;
	const char *file, *overlay;
	bool read_only, snapshot;
	struct file_params params; /* of the base */
	u64 latency_ns;
	bool in_time; /* something keeps guest time */
};

/* ---- options ------------------------------------------------------------------------------ */

const struct alc_option_info block_options[] = {
	{"readonly", "bool", "off", "the guest may not write"},
	{"snapshot", "bool", "off", "what the guest writes is forgotten at the end"},
	{"overlay", "string", "", "file that takes what the guest writes; made if there is none"},
	{"aio", "string", "auto", "auto, io_uring or threads: how files are read and written"},
	{"cache", "string", "writeback", "writeback: by the host's page cache; none: past it"},
	{"latency", "string", "0", "in virtual time: what a request takes where there is no model"},
};
const size_t block_options_count = ARRAY_LEN(block_options);

/* The i-th option's name: those above, and those of stages. */
static const char *option_name(size_t i)
{
	return i < block_options_count ? block_options[i].name
				       : stages_key(i - block_options_count);
}

bool block_option_known(const char *key)
{
	const char *name;

	for (size_t i = 0; (name = option_name(i)); i++)
		if (str_eq(key, name))
			return true;
	return false;
}

static int unknown_option(const struct opening *o, const char *key, struct alc_err *err)
{
	const char *nearest = NULL, *name;
	size_t best = SIZE_MAX;

	for (size_t i = 0; (name = option_name(i)); i++)
		if (str_nearer(key, name, &best))
			nearest = name;
	if (nearest)
		return alc_fail(err, -EINVAL,
				"disk '%s': there is no option '%s', did you mean '%s'?", o->file,
				key, nearest);
	return alc_fail(err, -EINVAL, "disk '%s': there is no option '%s'", o->file, key);
}

static int wrong_value(const struct opening *o, const struct alc_device_opt *opt, const char *want,
		       struct alc_err *err)
{
	return alc_fail(err, -EINVAL, "disk '%s': option '%s' is %s, not '%s'", o->file, opt->key,
			want, opt->value ? opt->value : "");
}

static int set_flag(const struct opening *o, const struct alc_device_opt *opt, bool *to,
		    struct alc_err *err)
{
	const char *v = opt->value ? opt->value : "on";
	bool yes = str_eq(v, "on") || str_eq(v, "true") || str_eq(v, "yes");

	if (!yes && !str_eq(v, "off") && !str_eq(v, "false") && !str_eq(v, "no"))
		return wrong_value(o, opt, "'on' or 'off'", err);
	*to = yes;
	return 0;
}

static int set_aio(struct opening *o, const struct alc_device_opt *opt, struct alc_err *err)
{
	static const char *const names[] = {[FILE_AIO_AUTO] = "auto",
					    [FILE_AIO_URING] = "io_uring",
					    [FILE_AIO_THREADS] = "threads"};

	for (unsigned i = 0; opt->value && i < ARRAY_LEN(names); i++)
		if (str_eq(opt->value, names[i])) {
			o->params.aio = (enum file_aio)i;
			return 0;
		}
	return wrong_value(o, opt, "'auto', 'io_uring' or 'threads'", err);
}

/* The host's cache; one of a modelled drive has parameters, and is an option of a stage. */
static bool is_host_cache(const struct alc_device_opt *opt)
{
	return str_eq(opt->key, "cache") && !(opt->value && strchr(opt->value, '='));
}

static int set_cache(struct opening *o, const struct alc_device_opt *opt, struct alc_err *err)
{
	bool none = opt->value && str_eq(opt->value, "none");

	if (!none && !(opt->value && str_eq(opt->value, "writeback")))
		return wrong_value(o, opt,
				   "'none' or 'writeback', or parameters of a modelled cache", err);
	o->params.direct = none;
	return 0;
}

static int set_latency(struct opening *o, const struct alc_device_opt *opt, struct alc_err *err)
{
	static const struct param table[] = {
		{"latency", "", PARAM_TIME, 0, "0", 0, 1e12},
		{.name = NULL},
	};

	if (!opt->value || param_set(table, "latency", opt->value, &o->latency_ns, NULL))
		return wrong_value(o, opt, "a time such as 100us", err);
	o->in_time = true;
	return 0;
}

static bool is_stage(const struct alc_device_opt *opt)
{
	const char *key;

	for (size_t i = 0; (key = stages_key(i)); i++)
		if (str_eq(opt->key, key))
			return !is_host_cache(opt);
	return false;
}

static int set_option(struct opening *o, const struct alc_device_opt *opt, struct alc_err *err)
{
	if (str_eq(opt->key, "readonly"))
		return set_flag(o, opt, &o->read_only, err);
	if (str_eq(opt->key, "snapshot"))
		return set_flag(o, opt, &o->snapshot, err);
	if (str_eq(opt->key, "aio"))
		return set_aio(o, opt, err);
	if (is_host_cache(opt))
		return set_cache(o, opt, err);
	if (str_eq(opt->key, "latency"))
		return set_latency(o, opt, err);
	if (is_stage(opt)) {
		o->in_time = true;
		return 0;
	}
	if (!str_eq(opt->key, "overlay"))
		return unknown_option(o, opt->key, err);
	if (!opt->value || !*opt->value)
		return wrong_value(o, opt, "a file's name", err);
	o->overlay = opt->value;
	return 0;
}

/* ---- back ends ---------------------------------------------------------------------------- */

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static int parse_size(const struct opening *o, const char *text, u64 *out, struct alc_err *err)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	u64 n;

	errno = 0;
	n = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (errno || end == text || *text < '0' || *text > '9' || (*end && (!unit || end[1])))
		return alc_fail(err, -EINVAL, "disk '%s': '%s' is no size such as 512M or 2G",
				o->file, text);
	for (const char *u = units; unit && u <= unit; u++)
		if (__builtin_mul_overflow(n, 1024, &n))
			return alc_fail(err, -EINVAL, "disk '%s' is too large", o->file);
	*out = n;
	return 0;
}

static int open_ram(const struct opening *o, struct block **out, struct alc_err *err)
{
	u64 size;
	int rc = parse_size(o, o->file + strlen("ram:"), &size, err);

	if (!rc)
		rc = block_ram_create(o->host, size, NULL, out, err);
	if (!rc)
		(*out)->info.read_only = o->params.read_only;
	return rc;
}

static int open_null(const struct opening *o, struct block **out, struct alc_err *err)
{
	u64 size;
	int rc = parse_size(o, o->file + strlen("null:"), &size, err);

	if (!rc)
		rc = block_null_create(o->host, size, out, err);
	if (!rc)
		(*out)->info.read_only = o->params.read_only;
	return rc;
}

static int open_nbd_uri(const struct opening *o, struct block **out, struct alc_err *err)
{
	return block_nbd_open(o->host, o->file, o->params.read_only, out, err);
}

static int open_nbd(const struct opening *o, struct block **out, struct alc_err *err)
{
	return block_nbd_open(o->host, o->file + strlen("nbd:"), o->params.read_only, out, err);
}

/* The first that fits; what none fits is a file. ./null:1 is one, too. */
static const struct kind {
	const char *prefix;
	int (*open)(const struct opening *o, struct block **out, struct alc_err *err);
} kinds[] = {
	{"null:", open_null},   {"ram:", open_ram},     {"nbd://", open_nbd_uri},
	{"nbd+", open_nbd_uri}, {"nbds", open_nbd_uri}, {"nbd:", open_nbd},
};

static bool is_uri(const char *file)
{
	return strchr(file, ':') != NULL;
}

static const struct kind *kind_of(const char *file)
{
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
		if (is_uri(file) && begins(file, kinds[i].prefix))
			return &kinds[i];
	return NULL;
}

static int open_base(const struct opening *o, struct block **out, struct alc_err *err)
{
	const struct kind *kind = kind_of(o->file);

	if (!kind)
		return block_file_open(o->host, o->file, &o->params, out, err);
	if (o->params.direct || o->params.aio != FILE_AIO_AUTO)
		return alc_fail(err, -EINVAL, "disk '%s': 'cache' and 'aio' are for files",
				o->file);
	return kind->open(o, out, err);
}

/* ---- overlays ----------------------------------------------------------------------------- */

/* A file's name may be relative to where this program happens to run. */
static void base_name(const struct opening *o, char *out)
{
	char *real = kind_of(o->file) ? NULL : realpath(o->file, NULL);

	fmt_text(out, OVERLAY_BASE_NAME_MAX, "%s", real ? real : o->file);
	free(real);
}

static int overlay_failed(const char *path, int rc, const struct alc_err *why, struct alc_err *err)
{
	return alc_fail(err, rc, "disk overlay '%s': %s", path, why->text);
}

/* Takes base in any case. */
static int put_on(const struct opening *o, const char *path, struct block *base,
		  struct block *store, bool keep, struct block **out, struct alc_err *err)
{
	struct alc_err why = {0};
	int rc = block_overlay_create(o->host, base, store, keep, out, &why);

	if (!rc)
		return 0;
	block_close(store);
	block_close(base);
	return overlay_failed(path, rc, &why, err);
}

static int format(const struct opening *o, const char *path, struct block *base,
		  struct block *store, struct alc_err *err)
{
	char name[OVERLAY_BASE_NAME_MAX];
	struct alc_err why = {0};
	int rc;

	base_name(o, name);
	rc = overlay_format(o->host, store, base->info.size, name, OVERLAY_CLUSTER_BITS, &why);
	return rc ? overlay_failed(path, rc, &why, err) : 0;
}

/* The file's name must be as durable as what is in it. */
static void sync_directory(const char *path)
{
	char dir[PATH_MAX];
	char *slash;
	int fd;

	fmt_text(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

/* A store of the right size around fd, which it takes. */
static int make_store(const struct opening *o, int fd, const char *path, struct block *base,
		      struct block **out, struct alc_err *err)
{
	struct file_params p = {.aio = o->params.aio};
	u64 size = overlay_store_size(base->info.size, OVERLAY_CLUSTER_BITS);
	int rc;

	if (ftruncate(fd, (off_t)size)) {
		rc = -errno;
		close(fd);
		return alc_fail(err, rc, "disk overlay '%s' can't be made %llu bytes long: %s",
				path, (unsigned long long)size, strerror(-rc));
	}
	rc = block_file_take(o->host, fd, path, &p, out, err);
	if (rc)
		return rc;
	rc = format(o, path, base, *out, err);
	if (rc)
		block_close(*out);
	return rc;
}

static int create_store(const struct opening *o, struct block *base, struct block **out,
			struct alc_err *err)
{
	int fd = open(o->overlay, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666), rc;

	if (fd < 0)
		return alc_fail(err, -errno, "can't make disk overlay '%s': %s", o->overlay,
				strerror(errno));
	rc = make_store(o, fd, o->overlay, base, out, err);
	if (rc)
		unlink(o->overlay);
	else
		sync_directory(o->overlay);
	return rc;
}

static void warn_other_base(const struct opening *o, const char *was, const char *is)
{
	char text[ALC_ERR_TEXT_MAX];

	fmt_text(text, sizeof(text), "disk overlay '%s' was made for '%s', its base is now '%s'",
		 o->overlay, was, is);
	o->host->log(o->host->ctx, ALC_LOG_WARN, text);
}

static int open_store(const struct opening *o, struct block **out, struct alc_err *err)
{
	struct file_params p = {.aio = o->params.aio, .read_only = o->read_only || o->snapshot};
	char was[OVERLAY_BASE_NAME_MAX], is[OVERLAY_BASE_NAME_MAX];
	struct alc_err why = {0};
	struct block *store;
	u64 size;
	int rc = block_file_open(o->host, o->overlay, &p, &store, err);

	if (rc)
		return rc;
	rc = overlay_identify(o->host, store, &size, was, &why);
	if (rc) {
		block_close(store);
		return overlay_failed(o->overlay, rc, &why, err);
	}
	base_name(o, is);
	if (!str_eq(was, is))
		warn_other_base(o, was, is);
	*out = store;
	return 0;
}

/* Takes base in any case. */
static int add_overlay(const struct opening *o, struct block *base, struct block **out,
		       struct alc_err *err)
{
	bool exists = access(o->overlay, F_OK) == 0;
	struct block *store;
	int rc = exists ? open_store(o, &store, err) : create_store(o, base, &store, err);

	if (rc) {
		block_close(base);
		return rc;
	}
	return put_on(o, o->overlay, base, store, true, out, err);
}

/* Where there is no place for files without a name, memory is one. */
static int temporary_file(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(dir && *dir ? dir : "/var/tmp", O_RDWR | O_TMPFILE | O_EXCL | O_CLOEXEC,
		      0600);

	return fd >= 0 ? fd : memfd_create("disk-snapshot", MFD_CLOEXEC);
}

/* Takes base in any case. */
static int add_snapshot(const struct opening *o, struct block *base, struct block **out,
			struct alc_err *err)
{
	static const char name[] = "(snapshot)";
	struct block *store;
	int fd = temporary_file(), rc;

	if (fd < 0)
		rc = alc_fail(err, -errno, "disk '%s': no temporary file for a snapshot: %s",
			      o->file, strerror(errno));
	else
		rc = make_store(o, fd, name, base, &store, err);
	if (rc) {
		block_close(base);
		return rc;
	}
	return put_on(o, name, base, store, false, out, err);
}

/* ---- stages ------------------------------------------------------------------------------- */

enum { MODEL_SEED = 1 };

/* Takes base in any case. */
static int add_stages(const struct opening *o, const struct alc_device_opt *opts, size_t nopts,
		      struct block *base, struct block **out, struct alc_err *err)
{
	struct stage_env env = {
		.host = o->host, .disk = o->file, .seed = MODEL_SEED, .sched_open = sched_open};
	struct alc_device_opt *stages = calloc(nopts + 1, sizeof(*stages));
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < nopts && stages; i++)
		if (is_stage(&opts[i]))
			stages[n++] = opts[i];
	rc = stages ? 0 : alc_fail(err, -ENOMEM, "no memory for the stages of disk '%s'", o->file);
	/* What is right above the back end keeps the host's time from all that is above it. */
	if (!rc)
		rc = instant_create(o->host, stages_have_model(stages, n) ? 0 : o->latency_ns, base,
				    &base, err);
	if (!rc)
		rc = stages_put(&env, stages, n, &base, err);
	free(stages);
	if (rc) {
		block_close(base);
		return rc;
	}
	*out = base;
	return 0;
}

/* ---- all of it ---------------------------------------------------------------------------- */

int block_open(const struct alc_host *host, const char *file, const struct alc_device_opt *opts,
	       size_t nopts, struct block **out, struct alc_err *err)
{
	struct opening o = {.host = host, .file = file};
	struct block *b;
	int rc = 0;

	for (size_t i = 0; i < nopts && !rc; i++)
		rc = set_option(&o, &opts[i], err);
	if (rc)
		return rc;
	o.params.read_only = o.read_only || o.snapshot || o.overlay;
	rc = open_base(&o, &b, err);
	if (!rc && o.overlay)
		rc = add_overlay(&o, b, &b, err);
	if (!rc && o.snapshot && !o.read_only)
		rc = add_snapshot(&o, b, &b, err);
	if (!rc && o.in_time)
		rc = add_stages(&o, opts, nopts, b, &b, err);
	if (!rc)
		*out = b;
	return rc;
}
