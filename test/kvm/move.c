/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves a running test kernel between two engines, at each line that it prints.
 *
 *	move KERNEL CPUS ENGINE ENGINE
 *
 * The kernel's own cases must come out as if nothing had happened. TAP on standard output.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/linux/vm_linux.h"

enum { OUTPUT_MAX = 64 << 10, MOVES_MIN = 4 };

struct trial {
	struct machine *m;
	const char *engines[2];
	unsigned lines;
	char output[OUTPUT_MAX];
	size_t len;
};

static void take_output(void *ctx, const u8 *bytes, size_t len)
{
	struct trial *t = ctx;

	for (size_t i = 0; i < len; i++) {
		if (t->len < OUTPUT_MAX - 1)
			t->output[t->len++] = (char)bytes[i];
		if (bytes[i] == '\n')
			machine_move(t->m, t->engines[++t->lines % 2]);
	}
}

static const struct alc_char_ops stream = {.name = "test", .write = take_output};

static u8 *read_file(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rbe");
	long size;
	u8 *bytes;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) <= 0) {
		printf("Bail out! can't read %s\n", path);
		exit(1);
	}
	rewind(f);
	bytes = malloc((size_t)size);
	*len = bytes ? fread(bytes, 1, (size_t)size, f) : 0;
	fclose(f);
	return bytes;
}

/* The kernel's lines, as comments of ours; how many were cases, and how many of them bad. */
static void count_lines(char *output, unsigned *good, unsigned *bad)
{
	for (char *line = strtok(output, "\r\n"); line; line = strtok(NULL, "\r\n")) {
		*good += !strncmp(line, "ok ", 3);
		*bad += !strncmp(line, "not ok ", 7);
		if (strncmp(line, "ok ", 3))
			printf("# %s\n", line);
	}
}

static int skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	return 0;
}

static int judge(struct trial *t, const char *name, int r, const struct alc_result *res,
		 const struct alc_err *err)
{
	unsigned good = 0, bad = 0;
	bool all;

	count_lines(t->output, &good, &bad);
	if (r)
		printf("# %s\n", err->text);
	all = !r && res->outcome == ALC_OUTCOME_EXIT && res->status == 1 && good && !bad;
	printf("1..2\n%s 1 %s: %u cases, %u bad\n", all ? "ok" : "not ok", name, good, bad);
	printf("%s 2 it went to another engine %u times\n",
	       t->m->moves >= MOVES_MIN ? "ok" : "not ok", t->m->moves);
	return 0;
}

static int run(struct alc_host *host, char **argv, struct trial *t)
{
	static const struct alc_device_desc devices[] = {{.class_name = "isa-debug-exit"},
							 {.class_name = "pc-testdev"}};
	struct alc_desc desc = ALC_DESC_INIT;
	struct machine_parts parts = {.engines = linux_engines};
	struct alc_err err = {0};
	struct alc_result res;
	int r;

	parts.kernel.name = argv[1];
	parts.kernel.bytes = read_file(argv[1], &parts.kernel.len);
	parts.com1 = (struct alc_char){&stream, t};
	desc.cpus = (unsigned)atoi(argv[2]);
	desc.engine = t->engines[0];
	desc.memory_bytes = 64 << 20;
	desc.append = "test tcg";
	desc.devices = devices;
	desc.ndevices = ARRAY_LEN(devices);
	desc.timeout_ns = 120 * 1000000000ull;
	r = machine_create(host, &desc, &parts, &t->m, &err);
	if (r)
		return skip(err.text);
	r = machine_run(t->m, &res, &err);
	r = judge(t, argv[1], r, &res, &err);
	machine_destroy(t->m);
	free((void *)(uintptr_t)parts.kernel.bytes);
	return r;
}

int main(int argc, char **argv)
{
	static struct trial t;
	struct alc_err err = {0};
	struct alc_host *host;
	int r;

	if (argc != 5) {
		fprintf(stderr, "usage: move KERNEL CPUS ENGINE ENGINE\n");
		return 2;
	}
	t.engines[0] = argv[3];
	t.engines[1] = argv[4];
	if (alc_host_open(&host, &err)) {
		printf("Bail out! %s\n", err.text);
		return 1;
	}
	r = run(host, argv, &t);
	alc_host_close(host);
	return r;
}
