/* SPDX-License-Identifier: BSD-2-Clause */
#include "block/linux/open.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/linux/file.h"
#include "block/simple.h"

struct wish {
	struct file_params file;
};

/* ---- options of back ends ---- */

static int no_value(const char *key, const char *value, struct alc_err *err)
{
	if (value && strcmp(value, "on"))
		return alc_fail(err, -EINVAL,
				"a disk's option '%s' is given without a value, not '%s'", key,
				value);
	return 0;
}

static int set_readonly(struct wish *w, const char *value, struct alc_err *err)
{
	w->file.read_only = true;
	return no_value("readonly", value, err);
}

static int set_aio(struct wish *w, const char *value, struct alc_err *err)
{
	if (value && !strcmp(value, "io_uring"))
		w->file.aio = FILE_AIO_URING;
	else if (value && !strcmp(value, "threads"))
		w->file.aio = FILE_AIO_THREADS;
	else
		return alc_fail(err, -EINVAL, "a disk's aio is io_uring or threads, not '%s'",
				value ? value : "");
	return 0;
}

static int set_cache(struct wish *w, const char *value, struct alc_err *err)
{
	w->file.direct = value && !strcmp(value, "none");
	if (!w->file.direct && (!value || strcmp(value, "writeback")))
		return alc_fail(err, -EINVAL, "a disk's cache is writeback or none, not '%s'",
				value ? value : "");
	return 0;
}

static const struct option {
	const char *key;
	int (*set)(struct wish *w, const char *value, struct alc_err *err);
} options[] = {
	{"readonly", set_readonly},
	{"aio", set_aio},
	{"cache", set_cache},
};

static const struct option *find_option(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (!strcmp(options[i].key, key))
			return &options[i];
	return NULL;
}

static int take_options(const struct alc_disk_desc *d, struct wish *w, struct alc_device_opt *rest,
			size_t *nrest, struct alc_err *err)
{
	int rc = 0;

	*nrest = 0;
	for (size_t i = 0; !rc && i < d->nopts; i++) {
		const struct option *o = find_option(d->opts[i].key);

		if (o)
			rc = o->set(w, d->opts[i].value, err);
		else
			rest[(*nrest)++] = d->opts[i];
	}
	return rc;
}

/* ---- kinds ---- */

/* Bytes, or with a suffix K, M, G, T. */
static int parse_size(const char *text, u64 *out, struct alc_err *err)
{
	static const char suffixes[] = "KMGT";
	char *end;
	u64 n;
	const char *s;

	errno = 0;
	n = strtoull(text, &end, 10);
	s = *end ? strchr(suffixes, *end) : NULL;
	if (end == text || *text == '-' || errno || (*end && (!s || end[1])))
		return alc_fail(err, -EINVAL, "a disk's size is as 512M or 2G, not '%s'", text);
	if (s)
		n = n > UINT64_MAX >> (10 * (s - suffixes + 1)) ? 0
								: n << (10 * (s - suffixes + 1));
	if (!n || n % 512)
		return alc_fail(err, -EINVAL, "a disk has a multiple of 512 bytes, and not '%s'",
				text);
	*out = n;
	return 0;
}

static int open_null(const struct alc_host *host, const char *rest, const struct wish *w,
		     struct block **out, struct alc_err *err)
{
	u64 size;
	int rc = parse_size(rest, &size, err);

	return rc ? rc : block_null_create(host, size, out, err);
}

static int open_ram(const struct alc_host *host, const char *rest, const struct wish *w,
		    struct block **out, struct alc_err *err)
{
	u64 size;
	int rc = parse_size(rest, &size, err);

	return rc ? rc : block_ram_create(host, size, NULL, out, err);
}

static const struct kind {
	const char *prefix;
	int (*open)(const struct alc_host *host, const char *rest, const struct wish *w,
		    struct block **out, struct alc_err *err);
} kinds[] = {
	{"null:", open_null},
	{"ram:", open_ram},
};

int block_open(const struct alc_host *host, const struct alc_disk_desc *d,
	       struct alc_device_opt *rest, size_t *nrest, struct block **out, struct alc_err *err)
{
	struct wish w = {.file = {.aio = FILE_AIO_AUTO}};
	int rc = take_options(d, &w, rest, nrest, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t len = strlen(kinds[i].prefix);

		if (!strncmp(d->file, kinds[i].prefix, len))
			return kinds[i].open(host, d->file + len, &w, out, err);
	}
	return block_file_open(host, d->file, &w.file, out, err);
}
