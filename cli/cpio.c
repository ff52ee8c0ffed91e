/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpio.h"

/* Header: six bytes of magic and 13 numbers of eight hexadecimal digits. */
enum { HEADER = 110, ALIGN = 4 };
enum { MODE_DIR = 0040755, MODE_FILE = 0100644 };

struct entry {
	unsigned ino, mode, nlink;
	const char *name;
	const char *data;
	size_t len;
};

static size_t aligned(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static size_t entry_size(const struct entry *e)
{
	return aligned(HEADER + strlen(e->name) + 1) + aligned(e->len);
}

/* The archive is zeroed, so padding is there already. */
static void put_entry(char *at, const struct entry *e)
{
	size_t namesize = strlen(e->name) + 1;
	char header[HEADER + 1];

	snprintf(header, sizeof(header),
		 "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", e->ino, e->mode, 0u,
		 0u, e->nlink, 0u, (unsigned)e->len, 0u, 0u, 0u, 0u, (unsigned)namesize, 0u);
	memcpy(at, header, HEADER);
	memcpy(at + HEADER, e->name, namesize);
	if (e->len)
		memcpy(at + aligned(HEADER + namesize), e->data, e->len);
}

static char *join(struct strings argv, size_t *len)
{
	char *data, *at;

	*len = 0;
	for (unsigned i = 0; i < argv.count; i++)
		*len += strlen(argv.items[i]) + 1;
	at = data = xcalloc(1, *len);
	for (unsigned i = 0; i < argv.count; i++)
		at = stpcpy(at, argv.items[i]) + 1;
	return data;
}

void *cpio_command(struct strings argv, size_t *len)
{
	struct entry entries[] = {
		{1, MODE_DIR, 2, "alcazar", NULL, 0},
		{2, MODE_FILE, 1, "alcazar/command", NULL, 0},
		{0, 0, 1, "TRAILER!!!", NULL, 0},
	};
	char *data = join(argv, &entries[1].len), *archive, *at;

	entries[1].data = data;
	*len = 0;
	for (size_t i = 0; i < 3; i++)
		*len += entry_size(&entries[i]);
	at = archive = xcalloc(1, *len);
	for (size_t i = 0; i < 3; at += entry_size(&entries[i]), i++)
		put_entry(at, &entries[i]);
	free(data);
	return archive;
}
