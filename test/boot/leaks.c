/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boots a kernel many times in one process, which must then have no more memory, descriptors,
 * threads or children than before.
 *
 *	leaks KERNEL ENGINE COUNT
 *
 * The first boots fill what libraries and the allocator keep for good, so they don't count. Every
 * boot has disks, networks and a second console, too; every eighth is stopped from outside rather
 *than ended by the guest, every ninth fails to be made. TAP on standard output.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "alcazar/vm.h"
#include "base/bits.h"

#if defined(__SANITIZE_ADDRESS__)
enum { KEEPS_FREED_MEMORY = true };
#elif defined(__has_feature)
enum { KEEPS_FREED_MEMORY = __has_feature(address_sanitizer) };
#else
enum { KEEPS_FREED_MEMORY = false };
#endif

/* The one thread is listed with "." and "..". */
enum { ONE_THREAD = 3, SETTLE_TRIES = 500 };
enum { WARM_UP = 16, STOPPED_EACH = 8, FAILED_EACH = 9, DISK_SIZE = 1 << 20 };

struct usage {
	size_t heap_bytes, descriptors, threads;
};

static _Noreturn void bail_out(const char *why)
{
	printf("Bail out! %s\n", why);
	exit(1);
}

static size_t count_entries(const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;

	if (!d)
		bail_out(path);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A thread that was joined may still be on its way out: pthread_join waits for less than that. */
static size_t count_threads(size_t expected)
{
	const struct timespec a_moment = {.tv_nsec = 10000000};
	size_t n = count_entries("/proc/self/task");

	for (unsigned i = 0; n > expected && i < SETTLE_TRIES; i++) {
		nanosleep(&a_moment, NULL);
		n = count_entries("/proc/self/task");
	}
	return n;
}

static struct usage measure(size_t threads_expected)
{
	struct mallinfo2 heap = mallinfo2();

	return (struct usage){
		.heap_bytes = heap.uordblks + heap.hblkhd,
		.descriptors = count_entries("/proc/self/fd"),
		.threads = count_threads(threads_expected),
	};
}

/* Mappings outside the heap: guest RAM, stacks, rings. */
static size_t mapped_pages(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	size_t pages = 0;

	if (!f || fscanf(f, "%zu", &pages) != 1)
		bail_out("no /proc/self/statm");
	fclose(f);
	return pages;
}

static const struct alc_device_desc exit_device = {.class_name = "isa-debug-exit"};
static const struct alc_device_desc no_device = {.class_name = "perpetuum-mobile"};

static void boot(struct alc_host *host, struct alc_desc *d, unsigned n)
{
	bool stopped = n % STOPPED_EACH == 0, failed = n % FAILED_EACH == 0;
	struct alc_err err = {0};
	struct alc_result res;
	struct alc_vm *vm;
	int rc;

	/* Devices come last, when all back ends are open. */
	d->devices = failed ? &no_device : &exit_device;
	rc = alc_vm_create(host, d, &vm, &err);
	if (failed) {
		if (!rc)
			bail_out("a machine with a device that there is not was made");
		return;
	}
	if (rc)
		bail_out(err.text);
	if (stopped)
		alc_vm_stop(vm);
	rc = alc_vm_run(vm, &res, &err);
	alc_vm_destroy(vm);
	if (rc)
		bail_out(err.text);
	if (res.outcome != (stopped ? ALC_OUTCOME_STOPPED : ALC_OUTCOME_EXIT))
		bail_out("a boot did not end as it should");
}

static void compare(unsigned number, const char *what, size_t before, size_t after)
{
	printf("%s %u - %s: %zu before, %zu after\n", after <= before ? "ok" : "not ok", number,
	       what, before, after);
}

static void make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, DISK_SIZE))
		bail_out("can't make a disk image");
	close(fd);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/alcazar-leaks-XXXXXX", disk[sizeof(dir) + 8], over[sizeof(dir) + 8];
	const struct alc_device_opt overlay = {"overlay", over};
	const struct alc_disk_desc disks[] = {{.file = disk, .opts = &overlay, .nopts = 1},
					      {.file = "ram:1M"}};
	const struct alc_net_desc nets[] = {{.kind = "user"}, {.kind = "null"}};
	struct alc_desc d = ALC_DESC_INIT;
	struct alc_err err = {0};
	struct usage before = {0}, after;
	size_t pages = 0;
	struct alc_host *host;

	if (argc != 4 || !mkdtemp(dir))
		bail_out("usage: leaks KERNEL ENGINE COUNT");
	snprintf(disk, sizeof(disk), "%s/disk", dir);
	snprintf(over, sizeof(over), "%s/over", dir);
	make_file(disk);
	d.kernel = argv[1];
	d.engine = argv[2];
	d.append = "test";
	d.cpus = 2;
	d.memory_bytes = 32 << 20;
	d.console = d.console2 = (struct alc_console){
		.kind = ALC_CONSOLE_FILE, .in_fd = -1, .path = "/dev/null", .escape_char = -1};
	d.ndevices = 1;
	d.disks = disks;
	d.ndisks = ARRAY_LEN(disks);
	d.nets = nets;
	d.nnets = ARRAY_LEN(nets);
	if (alc_host_open(&host, &err))
		bail_out(err.text);
	for (unsigned i = 1; i <= WARM_UP + (unsigned)atoi(argv[3]); i++) {
		boot(host, &d, i);
		if (i == WARM_UP) {
			before = measure(ONE_THREAD);
			pages = mapped_pages();
		}
	}
	after = measure(before.threads);
	puts("1..5");
	compare(1, "heap in bytes", before.heap_bytes, after.heap_bytes);
	if (KEEPS_FREED_MEMORY)
		puts("ok 2 - mapped pages # SKIP the sanitizer keeps what was freed");
	else
		compare(2, "mapped pages", pages, mapped_pages());
	compare(3, "descriptors", before.descriptors, after.descriptors);
	compare(4, "threads", before.threads, after.threads);
	alc_host_close(host);
	errno = 0;
	printf("%s 5 - no child processes\n",
	       waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? "ok" : "not ok");
	unlink(over);
	unlink(disk);
	rmdir(dir);
	return 0;
}
