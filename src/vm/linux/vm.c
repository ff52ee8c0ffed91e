/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vm/linux/seed.h"
#include "vm/linux/vm_linux.h"

static int read_images(struct alc_vm *vm, struct alc_err *err)
{
	static const char memory[] = "the machine's memory";
	const struct alc_desc *d = &vm->desc;
	int rc;

	if (d->kernel && d->firmware)
		return alc_fail(err, -EINVAL, "a machine starts a kernel or firmware, not both");
	if (!d->kernel && !d->firmware)
		return alc_fail(err, -EINVAL, "a machine needs a kernel or firmware to run");
	rc = machine_check(d, err);
	if (!rc && d->firmware) {
		rc = image_read(&vm->firmware, "firmware", d->firmware, MACHINE_FIRMWARE_MAX,
				"a ROM", err);
		return rc ? rc : image_vga_rom(&vm->vga_rom, d->firmware, err);
	}
	if (!rc)
		rc = image_read(&vm->kernel, "kernel", d->kernel, d->memory_bytes, memory, err);
	if (!rc && d->initrd)
		rc = image_read(&vm->initrd, "initrd", d->initrd, d->memory_bytes, memory, err);
	if (!rc && d->initrd_extra)
		rc = image_append(&vm->initrd, d->initrd_extra, d->initrd_extra_len, err);
	return rc;
}

static int images_fetch(void *ctx, struct alc_err *err)
{
	struct alc_vm *vm = ctx;
	int rc = image_fetch(&vm->kernel, err);

	return rc ? rc : image_fetch(&vm->initrd, err);
}

static void images_release(void *ctx)
{
	struct alc_vm *vm = ctx;

	image_release(&vm->kernel);
	image_release(&vm->initrd);
}

static void guest_ready(void *ctx)
{
	struct alc_vm *vm = ctx;

	if (vm->com1.fds)
		char_fds_ready(vm->com1.fds);
}

static void unblock(void *ctx)
{
	struct alc_vm *vm = ctx;

	if (vm->com1.fds)
		char_fds_unblock(vm->com1.fds);
	if (vm->com2.fds)
		char_fds_unblock(vm->com2.fds);
	streams_unblock(vm->streams);
}

/* The escape character was typed: before, while or after the machine runs. */
static void stop(void *ctx)
{
	struct alc_vm *vm = ctx;

	pthread_mutex_lock(&vm->stop_lock);
	vm->stop_asked = true;
	if (vm->machine)
		alc_vm_stop(vm);
	pthread_mutex_unlock(&vm->stop_lock);
}

/* Returns the machine that there was. */
static struct machine *publish(struct alc_vm *vm, struct machine *m)
{
	struct machine *before;

	pthread_mutex_lock(&vm->stop_lock);
	before = vm->machine;
	vm->machine = m;
	if (m && vm->stop_asked)
		machine_stop(m);
	pthread_mutex_unlock(&vm->stop_lock);
	return before;
}

static int open_streams(struct alc_host *host, struct alc_vm *vm, struct alc_err *err)
{
	struct virtual_options options;
	bool is_virtual;
	int rc = virtual_parse(vm->desc.clock, &is_virtual, &options, err);

	if (!rc)
		rc = console_open(&vm->com1, &vm->desc.console, is_virtual, stop, vm, err);
	if (!rc)
		rc = console_open(&vm->com2, &vm->desc.console2, is_virtual, stop, vm, err);
	if (!rc)
		rc = streams_open(&vm->desc, &vm->streams, err);
	return rc ? rc : screen_open(host, &vm->desc, &vm->screen, err);
}

/* Those that this process may run on. */
static unsigned host_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 0 : (unsigned)CPU_COUNT(&set);
}

static int add_seed(struct alc_host *host, struct alc_vm *vm, struct alc_err *err)
{
	void *bytes;
	int rc = seed_build(vm->desc.cloud_init, &bytes, &vm->seed.len, err);

	if (rc)
		return rc;
	vm->seed.bytes = bytes;
	return cards_add_seed(&vm->cards, host, &vm->seed, err);
}

static void hashed(void *ctx, const struct alc_state_hash *h)
{
	struct alc_vm *vm = ctx;
	const struct alc_host *host = vm->machine->host;

	if (!stats_add_hash(vm, h))
		host->log(host->ctx, ALC_LOG_ERROR, "no memory for a hash in the statistics");
	if (vm->desc.hashed)
		vm->desc.hashed(vm->desc.hashed_ctx, h);
}

/* In virtual time: what comes from outside, and so at no certain instant. */
static void warn_of_outside(struct alc_host *host, const struct alc_vm *vm)
{
	const char *what = vm->com1.outside ? "standard input is no file" : NULL;
	char text[ALC_ERR_TEXT_MAX];

	for (size_t i = 0; i < vm->desc.nnets && !what; i++)
		if (strcmp(vm->desc.nets[i].kind, "null"))
			what = "there is a network";
	for (size_t i = 0; i < vm->desc.ndevices && !what; i++)
		if (!strcmp(vm->desc.devices[i].class_name, "virtio-vsock"))
			what = "there is a vsock device";
	if (!what)
		return;
	snprintf(text, sizeof(text),
		 "%s: what comes from outside comes at no certain instant, and makes runs in "
		 "virtual time differ",
		 what);
	host->log(host->ctx, ALC_LOG_WARN, text);
}

static void keep_time(struct alc_host *host, struct alc_vm *vm)
{
	if (!clock_is_virtual(vm->machine->clock))
		return;
	if (vm->com1.fds)
		char_fds_set_clock(vm->com1.fds, vm->machine->clock);
	warn_of_outside(host, vm);
}

static int make(struct alc_host *host, struct alc_vm *vm, struct alc_err *err)
{
	struct machine_parts parts;
	struct machine *m;
	int rc = read_images(vm, err);

	if (!rc)
		rc = open_streams(host, vm, err);
	if (!rc)
		rc = cards_open(&vm->cards, host, &vm->desc, err);
	if (!rc && vm->desc.cloud_init)
		rc = add_seed(host, vm, err);
	if (rc)
		return rc;
	parts = (struct machine_parts){
		.kernel = {vm->desc.kernel, vm->kernel.bytes, vm->kernel.len},
		.initrd = {vm->desc.initrd ? vm->desc.initrd : "", vm->initrd.bytes,
			   vm->initrd.len},
		.firmware = {vm->desc.firmware, vm->firmware.bytes, vm->firmware.len},
		.vga_rom = {"VGA BIOS", vm->vga_rom.bytes, vm->vga_rom.len},
		.images_fetch = images_fetch,
		.images_release = images_release,
		.streams = streams_list(vm->streams),
		.com1 = console_stream(&vm->com1),
		.com2 = console_stream(&vm->com2),
		.engines = linux_engines,
		.host_cpus = host_cpus(),
		.has_com2 = vm->desc.console2.kind != ALC_CONSOLE_NONE,
		.cards = vm->cards.cards,
		.ncards = vm->cards.count,
		.ready = guest_ready,
		.unblock = unblock,
		.hashed = hashed,
		.ctx = vm,
	};
	rc = machine_create(host, &vm->desc, &parts, &m, err);
	if (rc)
		return rc;
	publish(vm, m);
	keep_time(host, vm);
	rc = sockets_open(&vm->sockets, m, &vm->cards, err);
	if (rc)
		return rc;
	return vm->screen ? screen_start(vm->screen, machine_display(m), err) : 0;
}

int alc_vm_create(struct alc_host *host, const struct alc_desc *desc, struct alc_vm **out,
		  struct alc_err *err)
{
	struct alc_vm *vm = calloc(1, sizeof(*vm));
	int rc;

	if (!vm)
		return alc_fail(err, -ENOMEM, "no memory for a machine");
	vm->desc = *desc;
	pthread_mutex_init(&vm->stop_lock, NULL);
	pthread_mutex_init(&vm->hashes_lock, NULL);
	vm->com1.file_fd = vm->com2.file_fd = -1;
	rc = make(host, vm, err);
	if (rc) {
		alc_vm_destroy(vm);
		return rc;
	}
	*out = vm;
	return 0;
}

int alc_vm_run(struct alc_vm *vm, struct alc_result *res, struct alc_err *err)
{
	int rc = machine_run(vm->machine, res, err);

	if (vm->screen)
		screen_write(vm->screen);
	return rc;
}

/* Nothing here takes a lock: a signal handler may be the caller. */
void alc_vm_stop(struct alc_vm *vm)
{
	machine_stop(vm->machine);
	unblock(vm);
}

void alc_vm_power_button(struct alc_vm *vm)
{
	machine_power_button(vm->machine);
}

void alc_vm_pause(struct alc_vm *vm)
{
	machine_pause(vm->machine);
}

void alc_vm_resume(struct alc_vm *vm)
{
	machine_resume(vm->machine);
}

void alc_vm_display(struct alc_vm *vm)
{
	if (vm->screen)
		screen_ask(vm->screen);
}

void alc_vm_destroy(struct alc_vm *vm)
{
	if (!vm)
		return;
	screen_close(vm->screen);
	sockets_close(&vm->sockets);
	/*
	 * The consoles' threads may still be inside a serial port, which detaches itself as the
	 * machine goes, or in stop(), which then finds no machine.
	 */
	machine_destroy(publish(vm, NULL));
	streams_close(vm->streams);
	console_close(&vm->com2);
	console_close(&vm->com1);
	image_free(&vm->vga_rom);
	image_free(&vm->firmware);
	cards_close(&vm->cards);
	image_free(&vm->seed);
	image_free(&vm->initrd);
	image_free(&vm->kernel);
	stats_free(vm);
	pthread_mutex_destroy(&vm->hashes_lock);
	pthread_mutex_destroy(&vm->stop_lock);
	free(vm);
}
