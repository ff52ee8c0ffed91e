/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pauses and resumes a machine while the test kernel `clock` watches its clocks.
 *
 *	pause KERNEL CPUS ENGINE COUNT
 *
 * Between two pauses the kernel sends back a byte, so that it has run. Its verdict is TAP on
 * standard output, and ours is one more line.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alcazar/vm.h"

struct trial {
	struct alc_vm *vm;
	unsigned count;
	int to_guest, from_guest;
};

static _Noreturn void bail_out(const char *why)
{
	printf("Bail out! %s\n", why);
	fflush(stdout);
	exit(1);
}

static char take(struct trial *t)
{
	char c;

	if (read(t->from_guest, &c, 1) != 1)
		bail_out("the guest says nothing more");
	return c;
}

static void give(struct trial *t, char c)
{
	if (write(t->to_guest, &c, 1) != 1)
		bail_out("the guest takes nothing more");
}

static void copy_line(struct trial *t)
{
	char c;

	do {
		c = take(t);
		putchar(c);
	} while (c != '\n');
}

static void *pause_and_resume(void *arg)
{
	struct trial *t = arg;
	char c;

	copy_line(t); /* the plan or a comment: it runs */
	for (unsigned i = 0; i < t->count; i++) {
		give(t, '.');
		alc_vm_pause(t->vm);
		alc_vm_resume(t->vm);
		while ((c = take(t)) != '.')
			putchar(c);
	}
	give(t, 'q');
	while (read(t->from_guest, &c, 1) == 1)
		putchar(c);
	return NULL;
}

static bool paused_often_enough(const struct trial *t)
{
	struct alc_err err = {0};
	char wanted[32], *stats;
	bool found;

	if (alc_vm_stats_json(t->vm, &stats, &err))
		bail_out(err.text);
	snprintf(wanted, sizeof(wanted), "\"pauses\": %u,", t->count);
	found = strstr(stats, wanted);
	free(stats);
	return found;
}

static void describe(struct alc_desc *d, char **argv, int in_fd, int out_fd)
{
	static const struct alc_device_desc exit_device = {.class_name = "isa-debug-exit"};

	*d = (struct alc_desc)ALC_DESC_INIT;
	d->kernel = argv[1];
	d->append = "test";
	d->cpus = (unsigned)atoi(argv[2]);
	d->engine = argv[3];
	d->memory_bytes = 64 << 20;
	d->console = (struct alc_console){
		.kind = ALC_CONSOLE_FDS, .in_fd = in_fd, .out_fd = out_fd, .escape_char = -1};
	d->devices = &exit_device;
	d->ndevices = 1;
}

int main(int argc, char **argv)
{
	struct alc_err err = {0};
	struct alc_result res;
	struct alc_desc desc;
	struct alc_host *host;
	struct trial t = {0};
	pthread_t thread;
	int in[2], out[2];
	bool good;

	if (argc != 5 || pipe(in) || pipe(out))
		bail_out("usage: pause KERNEL CPUS ENGINE COUNT");
	t.count = (unsigned)atoi(argv[4]);
	t.to_guest = in[1];
	t.from_guest = out[0];
	describe(&desc, argv, in[0], out[1]);
	if (alc_host_open(&host, &err) || alc_vm_create(host, &desc, &t.vm, &err) ||
	    pthread_create(&thread, NULL, pause_and_resume, &t))
		bail_out(err.text);
	if (alc_vm_run(t.vm, &res, &err))
		bail_out(err.text);
	good = res.outcome == ALC_OUTCOME_EXIT && res.status == 1 && paused_often_enough(&t);
	alc_vm_destroy(t.vm);
	alc_host_close(host);
	close(out[1]);
	pthread_join(thread, NULL);
	if (!good)
		printf("not ok - %u pauses (outcome %u, status %d)\n", t.count, res.outcome,
		       res.status);
	return 0;
}
