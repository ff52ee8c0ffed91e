/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the strings of a description mean: each check here says in one line what would do.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpio.h"
#include "run_options.h"
#include "value.h"

#define AT(member) offsetof(struct run_values, member)

const struct option_row run_rows[] = {
	{"engine", "NAME", "who runs the CPUs: auto takes the best that works here", OPTION_VALUE,
	 AT(engine), "auto", "engine", VALUES_ENGINE, NULL},
	{"spectre", NULL,
	 "confine what the guest reaches where this machine's CPU mispredicts, too, for hostile "
	 "guests: --engine translate,spectre=yes",
	 OPTION_FLAG, AT(spectre), NULL, NULL, VALUES_ANY, NULL},
	{"cpus", "N", "how many CPUs", OPTION_VALUE, AT(cpus), "1", "cpus", VALUES_ANY, "1 2 4"},
	{"cpu", "PROFILE", "which features the CPUs have", OPTION_VALUE, AT(cpu), "default", "cpu",
	 VALUES_PROFILE, NULL},
	{"memory", "SIZE", "how much memory, as 512M or 2G", OPTION_VALUE, AT(memory), "512M",
	 "memory", VALUES_ANY, "256M 512M 1G 2G"},
	{"clock", "CLOCK",
	 "which time the guest has: host follows this machine's, virtual comes from executed "
	 "instructions, with options as virtual,rate=1e9,quantum=10us,seed=1",
	 OPTION_VALUE, AT(clock), "host", "clock", VALUES_ANY, "host virtual"},
	{"kernel", "FILE",
	 "kernel to boot: Linux bzImage, ELF with PVH entry or multiboot; without "
	 "it the default guest is booted",
	 OPTION_VALUE, AT(kernel), NULL, "kernel", VALUES_FILE, NULL},
	{"initrd", "FILE", "initial ramdisk", OPTION_VALUE, AT(initrd), NULL, "initrd", VALUES_FILE,
	 NULL},
	{"append", "TEXT", "kernel command line", OPTION_VALUE, AT(append), NULL, "append",
	 VALUES_ANY, NULL},
	{"firmware", "FILE", "firmware to start instead of a kernel: a ROM image", OPTION_VALUE,
	 AT(firmware), NULL, "firmware", VALUES_FILE, NULL},
	{"disk", "FILE[,OPTION…]",
	 "a disk: a file, nbd:URI, null:SIZE or ram:SIZE; options are readonly, snapshot, "
	 "overlay=FILE, serial=TEXT, device=CLASS and the device's; model, sched, cache, "
	 "throttle, fault, rate and record make it another drive's; may be given several times",
	 OPTION_LIST, AT(disks), NULL, "disks", VALUES_FILE, NULL},
	{"cloud-init", "DIR",
	 "a further disk, with the files user-data and meta-data of that folder for cloud-init",
	 OPTION_VALUE, AT(cloud_init), NULL, "cloud-init", VALUES_FILE, NULL},
	{"net", "KIND[,OPTION…]",
	 "a network card on user, tap, stream, hub, null or none; options as forward=tcp:2222:22, "
	 "mac=ADDRESS, capture=FILE, device=CLASS; may be given several times",
	 OPTION_LIST, AT(nets), NULL, "nets", VALUES_ANY, "user tap stream hub null none"},
	{"console", "WHERE", "where the first serial port goes: stdio, none or file:PATH",
	 OPTION_VALUE, AT(console), "stdio", "console", VALUES_ANY, "stdio none file:"},
	{"display", "png:FILE",
	 "give the machine a VGA, and write its screen at the end and on SIGUSR1, as a picture or, "
	 "with text:FILE, a text mode's characters",
	 OPTION_LIST, AT(displays), NULL, "displays", VALUES_ANY, "png: text:"},
	{"device", "NAME[,KEY=VALUE…]", "a further device; may be given several times", OPTION_LIST,
	 AT(devices), NULL, "devices", VALUES_DEVICE, NULL},
	{"timeout", "DURATION", "stop the machine after this time, as 500ms, 30s or 5m",
	 OPTION_VALUE, AT(timeout), NULL, "timeout", VALUES_ANY, "10s 1m"},
	{"shutdown-timeout", "DURATION",
	 "after SIGTERM, wait this long for the guest to power off; 0s: for ever", OPTION_VALUE,
	 AT(shutdown_timeout), "60s", "shutdown-timeout", VALUES_ANY, "10s 60s 5m"},
	{"halt-poll", "DURATION",
	 "let a CPU that halts look for work this long at most before it sleeps, as 50us",
	 OPTION_VALUE, AT(halt_poll), "0s", "halt-poll", VALUES_ANY, "0s 50us 200us"},
	{"stats", "FILE", "write counters of the run as JSON", OPTION_VALUE, AT(stats), NULL,
	 "stats", VALUES_FILE, NULL},
	{"state-hash", "INSTANT",
	 "in virtual time, print a hash of the machine's state at this instant, as 2s, or at the "
	 "end; may be given several times",
	 OPTION_LIST, AT(state_hashes), NULL, "state-hashes", VALUES_ANY, "end 1s"},
	{"print", NULL, "print the description that the flags amount to, and run nothing",
	 OPTION_FLAG, AT(print), NULL, NULL, VALUES_ANY, NULL},
	/* A key only: on the command line it follows a --. */
	{NULL, NULL, NULL, OPTION_LIST, AT(command), NULL, "command", VALUES_ANY, NULL},
	{NULL, NULL, NULL, OPTION_FLAG, 0, NULL, NULL, VALUES_ANY, NULL},
};

/* ---- Files ------------------------------------------------------------------------------- */

enum { FILE_NAME_MAX = 4096 };

/* Where images that the tools make are kept: $ALCAZAR_CACHE, $XDG_CACHE_HOME, ~/.cache. */
static int cache_file(char *out, size_t size, const char *name)
{
	const char *own = getenv("ALCAZAR_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
		   *home = getenv("HOME");
	int n;

	if (own && *own)
		n = snprintf(out, size, "%s/%s", own, name);
	else if (xdg && *xdg)
		n = snprintf(out, size, "%s/alcazar/%s", xdg, name);
	else
		n = snprintf(out, size, "%s/.cache/alcazar/%s", home ? home : "", name);
	return n < 0 || (size_t)n >= size ? -1 : 0;
}

static int default_guest_file(char *out, size_t size, const char *name)
{
	if (cache_file(out, size, name) || access(out, R_OK))
		return fail(EXIT_VMM,
			    "the default guest is not there (%s): run `make setup` or "
			    "tools/guest-image, or give --kernel",
			    out);
	return 0;
}

/*
 * Files in descriptions, where no shell expands them: ~/FILE, and cache:FILE for what the tools
 * made. The text lives as long as the plan.
 */
static const char *file_of(const char *text, struct run_plan *plan)
{
	static const char cache[] = "cache:";
	const char *home = getenv("HOME");
	char path[FILE_NAME_MAX];
	int n;

	if (text && !strncmp(text, cache, sizeof(cache) - 1))
		n = cache_file(path, sizeof(path), text + sizeof(cache) - 1);
	else if (text && home && !strncmp(text, "~/", 2))
		n = snprintf(path, sizeof(path), "%s%s", home, text + 1);
	else
		return text;
	if (n < 0 || (size_t)n >= sizeof(path))
		return text;
	strings_add(&plan->paths, strcpy(xcalloc(1, strlen(path) + 1), path));
	return plan->paths.items[plan->paths.count - 1];
}

/* ---- Devices, disks, networks --------------------------------------------------------------- */

static int plan_devices(const struct run_values *v, struct run_plan *plan)
{
	struct entries *e = &plan->device_entries;
	int rc = entries_parse(&v->devices, "device", false, e);

	plan->devices = xcalloc(e->count, sizeof(*plan->devices));
	for (size_t i = 0; i < e->count; i++)
		plan->devices[i] = (struct alc_device_desc){e->items[i].head, e->items[i].opts,
							    e->items[i].nopts};
	plan->desc.devices = plan->devices;
	plan->desc.ndevices = e->count;
	return rc;
}

static int plan_disks(const struct run_values *v, struct run_plan *plan)
{
	struct entries *e = &plan->disk_entries;
	int rc = entries_parse(&v->disks, "disk", true, e);

	plan->disks = xcalloc(e->count, sizeof(*plan->disks));
	for (size_t i = 0; i < e->count; i++)
		plan->disks[i] = (struct alc_disk_desc){file_of(e->items[i].head, plan),
							e->items[i].opts, e->items[i].nopts};
	plan->desc.disks = plan->disks;
	plan->desc.ndisks = e->count;
	plan->desc.cloud_init = file_of(v->cloud_init, plan);
	return rc;
}

/* `none` is no network, for descriptions that want to say so. */
static int plan_nets(const struct run_values *v, struct run_plan *plan)
{
	struct entries *e = &plan->net_entries;
	int rc = entries_parse(&v->nets, "net", true, e);

	plan->nets = xcalloc(e->count, sizeof(*plan->nets));
	for (size_t i = 0; i < e->count; i++)
		if (strcmp(e->items[i].head, "none"))
			plan->nets[plan->desc.nnets++] = (struct alc_net_desc){
				e->items[i].head, e->items[i].opts, e->items[i].nopts};
	plan->desc.nets = plan->nets;
	return rc;
}

/* ---- Screen ------------------------------------------------------------------------------- */

static bool parse_display(const char *text, struct alc_display *d)
{
	static const struct {
		const char *prefix;
		int kind;
	} kinds[] = {{"png:", ALC_DISPLAY_PNG}, {"text:", ALC_DISPLAY_TEXT}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].prefix);

		if (strncmp(text, kinds[i].prefix, len) || !text[len])
			continue;
		*d = (struct alc_display){.kind = kinds[i].kind, .path = text + len};
		return true;
	}
	return false;
}

static int plan_displays(const struct strings *displays, struct run_plan *plan)
{
	plan->displays = xcalloc(displays->count, sizeof(*plan->displays));
	for (unsigned i = 0; i < displays->count; i++)
		if (!parse_display(displays->items[i], &plan->displays[i]))
			return fail(EXIT_USAGE, "--display is png:FILE or text:FILE, not '%s'",
				    displays->items[i]);
	plan->desc.displays = plan->displays;
	plan->desc.ndisplays = displays->count;
	return 0;
}

/* ---- What to boot ------------------------------------------------------------------------- */

/*
 * With a command the first serial port belongs to that command alone, so the kernel speaks on the
 * second, which goes to standard error with the command's own; of its messages only those about
 * its end. panic=-1 makes that end a reset, which ends the machine, too.
 */
static const char append_shell[] = "console=ttyS0";
static const char append_command[] = "console=ttyS1 quiet loglevel=1 panic=-1";

/* Firmware finds what it boots on disks. */
static int plan_firmware(const struct run_values *v)
{
	if (v->kernel || v->initrd || v->append)
		return fail(EXIT_USAGE, "--firmware boots from disks: leave out --kernel, --initrd "
					"and --append");
	if (v->command.count)
		return fail(EXIT_USAGE, "a command needs the default guest: leave out --firmware");
	return 0;
}

static int plan_guest(const struct run_values *v, struct run_plan *plan)
{
	bool command = v->command.count;
	int rc;

	plan->desc.kernel = file_of(v->kernel, plan);
	plan->desc.initrd = file_of(v->initrd, plan);
	plan->desc.append = v->append ? v->append : "";
	plan->desc.firmware = file_of(v->firmware, plan);
	if (v->firmware)
		return plan_firmware(v);
	plan->default_guest = !v->kernel;
	if (plan->default_guest) {
		rc = default_guest_file(plan->kernel, sizeof(plan->kernel), "guest/vmlinuz");
		if (!rc && !v->initrd)
			rc = default_guest_file(plan->initrd, sizeof(plan->initrd),
						"guest/initrd.img");
		if (rc)
			return rc;
		plan->desc.kernel = plan->kernel;
		if (!v->initrd)
			plan->desc.initrd = plan->initrd;
		if (!v->append)
			plan->desc.append = command ? append_command : append_shell;
	}
	if (command) {
		if (!plan->default_guest && !v->initrd)
			return fail(EXIT_USAGE, "a command needs a guest that runs it: leave out "
						"--kernel, or give the default guest's --initrd");
		plan->command_archive = cpio_command(v->command, &plan->desc.initrd_extra_len);
		plan->desc.initrd_extra = plan->command_archive;
		plan->desc.no_reboot = true;
		plan->default_guest = true;
	}
	return 0;
}

/* ---- Console ------------------------------------------------------------------------------ */

enum { ESCAPE = 0x1d }; /* Ctrl-] */

static int plan_console(const struct run_values *v, struct run_plan *plan)
{
	static const char file[] = "file:";
	const char *where = v->console;
	struct alc_console *c = &plan->desc.console;
	bool command = v->command.count;

	*c = (struct alc_console){.in_fd = -1, .out_fd = -1, .escape_char = -1};
	plan->desc.console2 = *c;
	if (command) {
		plan->desc.console2.kind = ALC_CONSOLE_FDS;
		plan->desc.console2.out_fd = STDERR_FILENO;
	}
	if (!strcmp(where, "none"))
		return 0;
	if (!strncmp(where, file, sizeof(file) - 1) && where[sizeof(file) - 1]) {
		c->kind = ALC_CONSOLE_FILE;
		c->path = where + sizeof(file) - 1;
		return 0;
	}
	if (strcmp(where, "stdio"))
		return fail(EXIT_USAGE, "--console is stdio, none or file:PATH, not '%s'", where);
	c->kind = ALC_CONSOLE_FDS;
	c->in_fd = STDIN_FILENO;
	c->out_fd = STDOUT_FILENO;
	c->await_ready = plan->default_guest;
	if (isatty(STDIN_FILENO) && !command)
		c->escape_char = ESCAPE;
	else
		/* A system with a disk has a login, which would ask again each time. */
		c->eof_as_eot = !v->disks.count;
	return 0;
}

/* ---- Everything else ---------------------------------------------------------------------- */

static int compare_instants(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void print_hash(void *ctx, const struct alc_state_hash *h)
{
	(void)ctx;
	fprintf(stderr, "alcazar: state at %llu.%09llu s%s: %016llx\n",
		(unsigned long long)(h->at_ns / 1000000000),
		(unsigned long long)(h->at_ns % 1000000000), h->at_end ? " (end)" : "",
		(unsigned long long)h->hash);
}

static int plan_hashes(const struct strings *instants, struct run_plan *plan)
{
	struct alc_desc *d = &plan->desc;

	plan->hash_at_ns = xcalloc(instants->count, sizeof(*plan->hash_at_ns));
	for (unsigned i = 0; i < instants->count; i++) {
		if (!strcmp(instants->items[i], "end"))
			d->hash_at_end = true;
		else if (!parse_duration(instants->items[i], &plan->hash_at_ns[d->nhash_at++]))
			return fail(EXIT_USAGE,
				    "--state-hash is an instant as 500ms or 2s, or end, not '%s'",
				    instants->items[i]);
	}
	qsort(plan->hash_at_ns, d->nhash_at, sizeof(*plan->hash_at_ns), compare_instants);
	d->hash_at_ns = plan->hash_at_ns;
	d->hashed = print_hash;
	return 0;
}

static int plan_numbers(const struct run_values *v, struct run_plan *plan)
{
	const struct {
		const char *option, *text;
		uint64_t *ns;
	} durations[] = {
		{"timeout", v->timeout, &plan->desc.timeout_ns},
		{"shutdown-timeout", v->shutdown_timeout, &plan->desc.shutdown_timeout_ns},
		{"halt-poll", v->halt_poll, &plan->desc.halt_poll_ns},
	};
	uint64_t cpus;

	if (!parse_count(v->cpus, &cpus) || cpus > UINT16_MAX)
		return fail(EXIT_USAGE, "--cpus is a number of CPUs, not '%s'", v->cpus);
	plan->desc.cpus = (unsigned)cpus;
	if (!parse_size(v->memory, &plan->desc.memory_bytes))
		return fail(EXIT_USAGE, "--memory is a size as 512M or 2G, not '%s'", v->memory);
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++)
		if (durations[i].text && !parse_duration(durations[i].text, durations[i].ns))
			return fail(EXIT_USAGE, "--%s is a duration as 500ms, 30s or 5m, not '%s'",
				    durations[i].option, durations[i].text);
	if (v->timeout && !plan->desc.timeout_ns)
		return fail(EXIT_USAGE, "--timeout needs more than no time: leave it out for none");
	return 0;
}

int run_plan_make(const struct run_values *v, struct run_plan *plan)
{
	int rc;

	*plan = (struct run_plan){.desc = ALC_DESC_INIT};
	plan->desc.engine = v->engine;
	plan->desc.cpu = v->cpu;
	plan->desc.clock = v->clock;
	rc = plan_numbers(v, plan);
	if (!rc)
		rc = plan_hashes(&v->state_hashes, plan);
	if (!rc)
		rc = plan_guest(v, plan);
	if (!rc)
		rc = plan_console(v, plan);
	if (!rc)
		rc = plan_displays(&v->displays, plan);
	if (!rc)
		rc = plan_devices(v, plan);
	if (!rc)
		rc = plan_disks(v, plan);
	return rc ? rc : plan_nets(v, plan);
}

void run_plan_free(struct run_plan *plan)
{
	for (unsigned i = 0; i < plan->paths.count; i++)
		free(plan->paths.items[i]);
	free(plan->paths.items);
	free(plan->displays);
	free(plan->hash_at_ns);
	entries_free(&plan->device_entries);
	entries_free(&plan->disk_entries);
	entries_free(&plan->net_entries);
	free(plan->devices);
	free(plan->disks);
	free(plan->nets);
	free(plan->command_archive);
}
