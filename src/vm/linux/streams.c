/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams of the devices that a description names and that have one: their option `chardev`. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalog/catalog.h"
#include "vm/linux/vm_linux.h"

struct streams {
	size_t n;
	struct console *consoles;
	struct alc_char *list;
};

/* The option's last value, or the class's default. */
static const char *wanted(const struct alc_dev_class *cls, const struct alc_device_desc *d)
{
	const char *value = NULL;

	for (const struct alc_prop *p = cls->props; p && p->name; p++)
		if (!strcmp(p->name, "chardev"))
			value = p->initial;
	for (size_t i = 0; value && i < d->nopts; i++)
		if (!strcmp(d->opts[i].key, "chardev"))
			value = d->opts[i].value;
	return value;
}

static int parse(const char *text, struct alc_console *out, struct alc_err *err)
{
	static const char file[] = "file:";

	*out = (struct alc_console){.in_fd = -1, .out_fd = -1, .escape_char = -1};
	if (!strcmp(text, "none"))
		return 0;
	if (!strcmp(text, "stderr")) {
		out->kind = ALC_CONSOLE_FDS;
		out->out_fd = STDERR_FILENO;
		return 0;
	}
	if (strncmp(text, file, sizeof(file) - 1) || !text[sizeof(file) - 1])
		return alc_fail(err, -EINVAL, "chardev is stderr, none or file:PATH, not '%s'",
				text);
	out->kind = ALC_CONSOLE_FILE;
	out->path = text + sizeof(file) - 1;
	return 0;
}

static int open_one(struct streams *s, size_t i, const struct alc_device_desc *d,
		    struct alc_err *err)
{
	const struct alc_dev_class *cls = dev_class_find(d->class_name);
	struct alc_console desc;
	const char *text;
	int rc;

	if (!cls || cls->backend != ALC_BACKEND_CHAR)
		return 0;
	text = wanted(cls, d);
	if (!text)
		return 0;
	rc = parse(text, &desc, err);
	if (!rc)
		rc = console_open(&s->consoles[i], &desc, false, NULL, NULL, err);
	s->list[i] = console_stream(&s->consoles[i]);
	return rc;
}

static int make(struct streams *s, const struct alc_desc *desc, struct alc_err *err)
{
	int rc = 0;

	s->consoles = calloc(desc->ndevices, sizeof(*s->consoles));
	s->list = calloc(desc->ndevices, sizeof(*s->list));
	if (!s->consoles || !s->list)
		return alc_fail(err, -ENOMEM, "no memory for the streams of devices");
	s->n = desc->ndevices;
	for (size_t i = 0; i < s->n; i++)
		s->consoles[i].file_fd = -1;
	for (size_t i = 0; !rc && i < s->n; i++)
		rc = open_one(s, i, &desc->devices[i], err);
	return rc;
}

int streams_open(const struct alc_desc *desc, struct streams **out, struct alc_err *err)
{
	struct streams *s;
	int rc;

	if (!desc->ndevices)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return alc_fail(err, -ENOMEM, "no memory for the streams of devices");
	rc = make(s, desc, err);
	if (rc) {
		streams_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

const struct alc_char *streams_list(const struct streams *s)
{
	return s ? s->list : NULL;
}

void streams_unblock(struct streams *s)
{
	for (size_t i = 0; s && i < s->n; i++)
		if (s->consoles[i].fds)
			char_fds_unblock(s->consoles[i].fds);
}

void streams_close(struct streams *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		console_close(&s->consoles[i]);
	free(s->list);
	free(s->consoles);
	free(s);
}
